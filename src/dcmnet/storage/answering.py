"""Query/Retrieve as an SCP's handlers see it: typed requests, data sets instead of bytes, files to send."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from dcmnet import dataset
from dcmnet._records import dataclass, field
from dcmnet.acse import AcceptedContext, Negotiated, RequestorPolicy, build_request
from dcmnet.arguments import kind_of
from dcmnet.dataset import identifiers
from dcmnet.dataset.quiet import quietly
from dcmnet.dimse.messages import CFindRQ, CGetRQ, CMoveRQ
from dcmnet.errors import InputFileError, LimitExceeded, NoPresentationContext, StatusError
from dcmnet.procedures.association import AssociationCore, new_core
from dcmnet.registry.sop_classes import COMPOSITE_INSTANCE_WITHOUT_BULK_DATA_GET
from dcmnet.registry.statuses import (
    DATA_SET_DOES_NOT_MATCH_SOP_CLASS,
    OUT_OF_RESOURCES,
    PENDING,
    PENDING_OPTIONAL_KEYS_NOT_SUPPORTED,
    SOP_CLASS_NOT_SUPPORTED,
    SUCCESS,
)
from dcmnet.registry.transfer_syntaxes import ALL, EXPLICIT_VR_LITTLE_ENDIAN, is_encapsulated
from dcmnet.services.handler_status import FAILED, ReturnTypeError, chosen_outcome, handler_status, is_status
from dcmnet.services.query_contexts import QueryOptions
from dcmnet.services.query_retrieve import Answers
from dcmnet.services.retrieve import Item, Opened, Step
from dcmnet.services.storage import Outcome
from dcmnet.storage.headers import header_of, labelled
from dcmnet.storage.planning import Proposal, choose_context, plan
from dcmnet.storage.queries import checked_address
from dcmnet.storage.sources import (
    ForeignFile,
    Instance,
    OpenDataSet,
    describe,
    find_files,
    is_source,
    open_data_set,
)
from dcmnet.ul.fields import is_ae_title

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from dcmnet.tls import TLS

DEFAULT_CALLING = "DCMNET"
_ENCAPSULATED = tuple(filter(is_encapsulated, ALL))

HANDLER_FAILED = 0xC001
"""PS3.4 Tables C.4-1 to C.4-3, Cxxx, unable to process: the handler raised."""

QueryHandler: TypeAlias = Callable[["QueryRequest"], Any]

Address: TypeAlias = "tuple[str, int] | tuple[str, int, TLS | None]"
"""Host and port of an AE, and how TLS is used there."""

Destinations: TypeAlias = "Mapping[str, Address] | Callable[[str], Any]"
"""Where AEs are, by title: a mapping, or a function, which may be a coroutine function; None is unknown."""


@dataclass(slots=True, eq=False)
class QueryRequest:
    """What a peer asks for with a C-FIND, C-GET or C-MOVE.

    Attributes:
        identifier: What it looks for, as a pydicom data set.
        data: The same as it came, encoded.
        context: The presentation context it came on.
        calling_ae_title: Who asks.
        called_ae_title: Who is asked.
        peer: The peer's address.
        message: The request.
        options: What was agreed on by extended negotiation.
        state: A dictionary that belongs to the association; handlers may keep things in it.
    """

    identifier: Dataset = field(repr=False)
    data: bytes = field(repr=False)
    context: AcceptedContext
    calling_ae_title: str
    called_ae_title: str
    peer: str
    message: CFindRQ | CGetRQ | CMoveRQ
    options: QueryOptions
    state: dict[str, Any] = field(repr=False)

    @property
    def model(self) -> str:
        """The SOP Class UID that the request goes by."""
        return self.message.affected_sop_class_uid

    @property
    @quietly
    def level(self) -> str:
        """Query/Retrieve Level (0008,0052), such as STUDY; empty where there is none, as in a worklist."""
        return str(self.identifier.get("QueryRetrieveLevel", "") or "")

    @property
    def destination(self) -> str:
        """The AE title that a C-MOVE sends to; for a C-GET who asks; empty for a C-FIND."""
        if isinstance(self.message, CMoveRQ):
            return self.message.move_destination
        return self.calling_ae_title if isinstance(self.message, CGetRQ) else ""


@dataclass(slots=True)
class Handling(ABC):
    """Calls the handlers of one kind of request; what `FindHandling` and `RetrieveHandling` share.

    Attributes:
        handlers: By SOP Class UID.
        report: Told what went wrong.
    """

    handlers: Mapping[str, QueryHandler]
    report: Callable[[str, BaseException | None], Any] | None = None

    def begin(
        self,
        core: AssociationCore,
        context: AcceptedContext,
        request: CFindRQ | CGetRQ | CMoveRQ,
        identifier: bytes,
    ) -> Any:
        """Call the handler.

        Raises:
            StatusError: There is none, or the identifier cannot be read.
        """
        handler = self.handlers.get(request.affected_sop_class_uid)
        if handler is None or request.affected_sop_class_uid != context.abstract_syntax:
            raise StatusError("no such service", status=SOP_CLASS_NOT_SUPPORTED)
        outcome = handler(_query_request(core, context, request, identifier))
        if inspect.isawaitable(outcome):
            return self._begin_later(outcome, context)
        return self._answers(outcome, context)

    async def _begin_later(self, outcome: Any, context: AcceptedContext) -> Answers:
        return self._answers(await outcome, context)

    def _answers(self, outcome: Any, context: AcceptedContext) -> Answers:
        """What a handler has returned: a status that ends it, or items.

        Raises:
            StatusError: It is a status, and not success.
            ReturnTypeError: It is neither.
        """
        if outcome is None or is_status(outcome):
            status = handler_status(outcome)
            if status != SUCCESS:
                raise StatusError(status)
            outcome = ()
        return self.answers(outcome, context)

    @abstractmethod
    def answers(self, outcome: Any, context: AcceptedContext) -> Answers:
        """What a handler has returned, item by item."""

    def failed(self, error: BaseException) -> Outcome:
        """The outcome for what a handler raised: a StatusError chooses it."""
        chosen = chosen_outcome(error)
        if chosen is not None:
            return chosen
        if isinstance(error, InputFileError):  # its text says it all, and may be all that is fit to be logged
            self.told(f"the query handler failed: {error}", None)
        else:
            self.told("the query handler failed", error)
        return FAILED if isinstance(error, ReturnTypeError) else (HANDLER_FAILED, FAILED[1])

    def told(self, text: str, error: BaseException | None) -> None:
        """Tell people what went wrong."""
        if self.report is not None:
            self.report(text, error)


@dataclass(slots=True)
class FindHandling(Handling):
    """Makes encoded identifiers of what the handlers of C-FIND give."""

    def answers(self, outcome: Any, context: AcceptedContext) -> Answers:
        """The matches: data sets, keywords and values, encoded bytes, or pairs of status and one of those."""

        def encode(match: Any) -> tuple[int, bytes]:
            status, data_set = match if _is_pair(match) else (PENDING, match)
            if not (is_status(status) and _is_identifier(data_set)):
                wrong = status if _is_identifier(data_set) else data_set
                raise ReturnTypeError(f"a handler gave {kind_of(wrong)}: give data sets or mappings")
            if status not in (PENDING, PENDING_OPTIONAL_KEYS_NOT_SUPPORTED):
                raise ValueError(f"a match has the status FF00 or FF01, not {status:#06x}: raise StatusError")
            encoded = identifiers.encode_identifier(data_set, context.transfer_syntax, name="match")
            return int(status), encoded

        one = _is_identifier(outcome) or _is_pair(outcome)
        return _each((outcome,) if one else _iterable(outcome, "data sets or mappings"), encode)


@dataclass(slots=True)
class RetrieveHandling(Handling):
    """Makes objects that can be sent of what the handlers of C-GET and C-MOVE give.

    Attributes:
        ae_title: The title that sub-associations call with; the one that was called when it is empty.
        destinations: Where AEs are.
    """

    ae_title: str = ""
    destinations: Destinations = field(default_factory=dict)

    def answers(self, outcome: Any, context: AcceptedContext) -> Answers:
        """The sources: paths, folders, file objects, data sets, or an `Instance` that is known already."""
        one = isinstance(outcome, Instance) or is_source(outcome)
        return _each((outcome,) if one else _iterable(outcome, "paths, file objects or data sets"), _source)

    def describe(self, sources: Sequence[Any]) -> list[Item]:
        """Find out what there is to be sent; files in folders that are not DICOM are left out."""
        return [item for source in sources for item in _items(source)]

    def opener(self, request: CGetRQ | CMoveRQ) -> Opener:
        """What opens the objects of one retrieval."""
        headers = request.affected_sop_class_uid == COMPOSITE_INSTANCE_WITHOUT_BULK_DATA_GET
        return HeaderOpener() if headers else Opener()

    def encode_failed(self, uids: Sequence[str], transfer_syntax: str) -> bytes:
        """The identifier with a Failed SOP Instance UID List (0008,0058)."""
        return identifiers.encode_failed_instances(uids, transfer_syntax)

    def address(self, destination: str) -> Any:
        """Where an AE is, or an awaitable of that.

        Raises:
            ReturnTypeError: It is no address.
        """
        destinations = self.destinations
        found = (
            destinations.get(destination) if isinstance(destinations, Mapping) else destinations(destination)
        )
        return _address_later(found) if inspect.isawaitable(found) else _address(found)

    def steps(self, core: AssociationCore, request: CMoveRQ, items: Sequence[Item]) -> list[Step]:
        """The associations that these objects need; each class in the transfer syntaxes that they are in."""
        called = core.agreed.called_ae_title
        own = self.ae_title or (called if is_ae_title(called) else DEFAULT_CALLING)
        return [
            Step(
                build_request(
                    RequestorPolicy(
                        called_ae_title=request.move_destination,
                        calling_ae_title=own,
                        contexts=tuple(each.contexts),
                    )
                ),
                [Item(instance.sop_instance_uid, instance) for instance in each.instances],
            )
            for each in plan([item.source for item in items], Proposal())
        ]

    def new_core(self, core: AssociationCore) -> AssociationCore:
        """A core for a sub-association, with the timers and limits of the association that asked for it."""
        return new_core(requestor=True, timeouts=core.timeouts, limits=core.limits)


class Opener:
    """Opens one object after the other, in a transfer syntax that was negotiated."""

    __slots__ = ("_opened",)

    def __init__(self) -> None:
        self._opened: OpenDataSet | None = None

    def open(self, negotiated: Negotiated, item: Item) -> Opened:
        """Close the object before, and open this one.

        Raises:
            InputFileError: It cannot be sent.
            NoPresentationContext: Nothing was negotiated that it could be sent on.
        """
        self.close()
        context = choose_context(negotiated, item.source)
        self._opened = open_data_set(item.source, context.transfer_syntax)
        return Opened(context, self._opened.payload)

    def close(self) -> None:
        """Close the last object."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None


class HeaderOpener(Opener):
    """Opens objects without their bulk data, whatever the handler has given (PS3.4 Annex Z)."""

    __slots__ = ()

    def open(self, negotiated: Negotiated, item: Item) -> Opened:
        """Close the object before, and open this one; errors as for `Opener`."""
        header = header_of(item.source)
        try:
            return super().open(negotiated, Item(item.sop_instance_uid, header))
        except NoPresentationContext:
            if header.transfer_syntax != EXPLICIT_VR_LITTLE_ENDIAN:
                raise
        # PS3.5 A.4: without Pixel Data, a compressed transfer syntax encodes a data set as Explicit VR Little
        # Endian does, so the header can go over what was accepted for the images themselves.
        context = negotiated.find(header.sop_class_uid, _ENCAPSULATED)
        header = labelled(header, context.transfer_syntax)
        return super().open(negotiated, Item(item.sop_instance_uid, header))


def _query_request(
    core: AssociationCore, context: AcceptedContext, request: CFindRQ | CGetRQ | CMoveRQ, data: bytes
) -> QueryRequest:
    try:
        identifier = identifiers.decode_identifier(data, context.transfer_syntax, limits=core.limits)
    except InputFileError as error:
        # PS3.4 C.4.1.1.4: A700, refused: out of resources; A900, the identifier does not match the SOP class
        beyond = isinstance(error, LimitExceeded)
        status = OUT_OF_RESOURCES if beyond else DATA_SET_DOES_NOT_MATCH_SOP_CLASS
        raise StatusError(str(error), status=status, comment=str(error)) from error
    agreed = core.agreed
    answered = [
        each.application_information
        for each in agreed.extended_negotiations
        if each.sop_class_uid == context.abstract_syntax
    ]
    return QueryRequest(
        identifier=identifier,
        data=data,
        context=context,
        calling_ae_title=agreed.calling_ae_title,
        called_ae_title=agreed.called_ae_title,
        peer=core.peer,
        message=request,
        options=QueryOptions.from_information(
            answered[0] if answered else b"", find=isinstance(request, CFindRQ)
        ),
        state=core.state,
    )


def _items(source: Any) -> Iterator[Item]:
    if isinstance(source, Instance):
        yield Item(source.sop_instance_uid, source)
        return
    for found, in_folder in find_files([source]):
        try:
            instance = describe(found)
        except InputFileError as error:
            if not (in_folder and isinstance(error, ForeignFile)):
                yield Item(_uid_in(found), None, error)
        else:
            yield Item(instance.sop_instance_uid, instance)


def _uid_in(source: Any) -> str:
    """The SOP Instance UID of what cannot be sent, for the list of failed objects; "" if it has none."""
    try:
        return describe(source, check=False).sop_instance_uid
    except InputFileError:
        return ""


async def _address_later(found: Any) -> Any:
    return _address(await found)


def _address(found: Any) -> Any:
    try:
        return None if found is None else checked_address(found, "destinations")
    except (TypeError, ValueError) as error:
        raise ReturnTypeError(str(error)) from error


def _is_pair(match: Any) -> bool:
    """Whether it is a status and a match, and not two matches."""
    return isinstance(match, tuple) and len(match) == 2 and isinstance(match[0], int)


def _is_identifier(match: Any) -> bool:
    return isinstance(match, Mapping | bytes) or dataset.is_data_set(match)


def _source(source: Any) -> Any:
    if not (isinstance(source, Instance) or is_source(source)):
        raise ReturnTypeError(f"a handler gave {kind_of(source)}: give paths, file objects or data sets")
    return source


def _iterable(outcome: Any, wanted: str) -> Any:
    """What a handler returned, if it can be iterated over.

    Raises:
        ReturnTypeError: It cannot.
    """
    if isinstance(outcome, str | bytes | bytearray | Mapping) or not (
        hasattr(outcome, "__aiter__") or hasattr(outcome, "__iter__")
    ):
        raise ReturnTypeError(f"a handler returned {kind_of(outcome)}: return {wanted}, or a status")
    return outcome


def _each(found: Any, convert: Callable[[Any], Any]) -> Answers:
    if hasattr(found, "__aiter__"):
        later = _convert_later(found, convert)
        return Answers(later, later.aclose)
    items = _convert(found, convert)
    return Answers(items, items.close)


def _convert(found: Iterable[Any], convert: Callable[[Any], Any]) -> Any:
    iterator = iter(found)
    try:
        for item in iterator:
            yield convert(item)
    finally:
        if hasattr(iterator, "close"):
            iterator.close()  # so that a handler's own `finally` is run now


async def _convert_later(found: Any, convert: Callable[[Any], Any]) -> Any:
    iterator = aiter(found)
    try:
        async for item in iterator:
            yield convert(item)
    finally:
        if hasattr(iterator, "aclose"):
            await iterator.aclose()
