"""Queries and retrievals as their SCU sees them: what comes back, and the procedures behind both faces.

PS3.4 Annex C (Query/Retrieve) and Annex K (Modality Worklist).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Self, TypeAlias, TypeVar, cast

from dcmnet import arguments
from dcmnet._records import dataclass, replace
from dcmnet.acse import AcceptedContext, AcceptorPolicy, ProposedContext
from dcmnet.dataset import identifiers
from dcmnet.dimse.messages import (
    CFindRQ,
    CGetRQ,
    CMoveRQ,
    Priority,
    Response,
    StatusClass,
    SubOperationsResponse,
    status_class,
)
from dcmnet.errors import DcmnetError, LocalProtocolError, StatusError
from dcmnet.limits import Limits, Timeouts
from dcmnet.procedures.association import AssociationCore, settle
from dcmnet.procedures.effects import Call, Procedure
from dcmnet.procedures.query_retrieve import Answer, Operation
from dcmnet.registry.query_models import QueryModel, class_for
from dcmnet.registry.statuses import SUCCESS
from dcmnet.services.storage import storage
from dcmnet.storage.deliveries import Claim, Deliveries
from dcmnet.storage.files import existing_folder
from dcmnet.storage.naming import named_dcm
from dcmnet.storage.node import Node
from dcmnet.storage.scp import FileStore

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Store: TypeAlias = "FileStore | str | PathLike[str]"
"""Where the objects of a C-GET go: a folder, or a `FileStore` for those who need more."""

DEFAULT_CALLING = "DCMNET"
"""The title that `connect` calls with when it is not told another."""

A = TypeVar("A")


class Match:
    """One match of a C-FIND (PS3.4 C.4.1).

    Attributes:
        status: FF00, or FF01 where the peer did not support an optional key.
        data: The identifier as it came, encoded.
        transfer_syntax: UID of the one that it is in.
    """

    __slots__ = ("_identifier", "_limits", "data", "status", "transfer_syntax")

    def __init__(self, status: int, data: bytes, transfer_syntax: str, limits: Limits | None = None) -> None:
        self.status = status
        self.data = data
        self.transfer_syntax = transfer_syntax
        self._identifier: Dataset | None = None
        self._limits = limits

    def __repr__(self) -> str:  # without the data, which are a patient's
        return f"Match(status=0x{self.status:04X}, {len(self.data)} bytes)"

    @property
    def identifier(self) -> Dataset:
        """The identifier as a pydicom data set, decoded when it is first looked at.

        A value that is none of its VR, such as a US of three bytes, is there as it came, with VR UN; `faults`
        names it.

        Raises:
            InputFileError: Not all of it can be read, because it is truncated, for example, or too long for
                the association's limits.
        """
        if self._identifier is None:
            from dcmnet.dataset.matches import decode_match  # many users only count matches

            self._identifier = decode_match(self.data, self.transfer_syntax, self._limits)
        return self._identifier

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong with the identifier: values that are not valid, by their tags, and a missing end."""
        from dcmnet.dataset.content import read_elements

        content = read_elements(self.data, self.transfer_syntax, limits=self._limits)
        found = tuple(f"{where}: {fault}" for where, fault in content.faults())
        return (*found, f"the identifier {content.fault}") if content.fault else found


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a C-MOVE or C-GET is, by the peer's word (PS3.4 C.4.2, C.4.3); None where it does not say.

    Attributes:
        status: FF00 while sub-operations go on, then that of the final response.
        remaining: Sub-operations still to come.
        completed: Objects that arrived.
        failed: Objects that did not.
        warnings: Objects that arrived, with a warning.
        failed_sop_instance_uids: The objects that did not arrive; only a final response names them.
        fault: Why the list of these cannot be read, or not to its end; "" if it can.
    """

    status: int
    remaining: int | None = None
    completed: int | None = None
    failed: int | None = None
    warnings: int | None = None
    failed_sop_instance_uids: tuple[str, ...] = ()
    fault: str = ""


def match_of(answer: Answer, limits: Limits | None = None) -> Match:
    """The match that a pending response brings."""
    return Match(answer.response.status, answer.identifier, answer.transfer_syntax, limits)


def progress_of(answer: Answer) -> Progress:
    """The counts of a response; an identifier that cannot be read takes nothing from them."""
    response = answer.response
    assert isinstance(response, SubOperationsResponse)
    uids: tuple[str, ...] = ()
    fault = ""
    if answer.identifier and status_class(response.status) is not StatusClass.PENDING:
        from dcmnet.dataset.content import failed_instances

        uids, fault = failed_instances(answer.identifier, answer.transfer_syntax)
    return Progress(
        response.status,
        response.number_of_remaining_suboperations,
        response.number_of_completed_suboperations,
        response.number_of_failed_suboperations,
        response.number_of_warning_suboperations,
        uids,
        fault,
    )


def claim_of(final: Progress, last: Progress | None) -> Claim:
    """What the peer says it has sent: in the final response, or in the last pending one.

    PS3.7 9.1.4.1: only a pending response has to have the counts, and some peers have none, or zeros, in the
    final one.
    """
    delivered = max(_delivered(final), 0 if last is None else _delivered(last))
    is_counted = final.completed is not None or status_class(final.status) is StatusClass.FAILURE
    if not is_counted and last is not None and last.completed is not None and final.status == SUCCESS:
        delivered = _delivered(last) + (last.remaining or 0)  # all of them have ended well
        is_counted = True
    return Claim(delivered, final.failed or 0, is_counted)


def _delivered(progress: Progress) -> int:
    return (progress.completed or 0) + (progress.warnings or 0)


@dataclass(slots=True, kw_only=True)
class Inquiry(Generic[A]):
    """One C-FIND, C-GET or C-MOVE from its request, sent with the first `advance`, to its final response.

    Attributes:
        core: The association.
        kind: "find", "get" or "move".
        identifier: What is asked for.
        model: By which model.
        convert: Makes of an answer what the user sees.
        priority: Told to the peer.
        destination: AE title that a C-MOVE sends to.
        store: Where the objects of a C-GET go.
        cancel_after: Responses after which C-CANCEL is sent; 0 sends it right behind the request.
        operation: The operation, once it has begun.
        responses: How many pending responses came.
        last: What the last of them brought.
    """

    core: AssociationCore
    kind: str
    identifier: identifiers.Identifier
    model: QueryModel | str
    convert: Callable[[Answer], A]
    priority: Priority = Priority.MEDIUM
    destination: str = ""
    store: FileStore | None = None
    cancel_after: int | None = None
    operation: Operation | None = None
    responses: int = 0
    last: A | None = None

    def advance(self) -> Procedure[A | None]:
        """The next pending response; None after the final one.

        Raises:
            InputFileError: The identifier cannot be encoded; nothing was sent.
            NoPresentationContext: The model was not accepted; nothing was sent.
            LocalProtocolError: Another operation is under way.
        """
        operation = self.operation
        if operation is None:
            operation = yield from self._begin()
            yield from self._cancel_when_due(operation)
        answer = yield from operation.advance()
        if answer is None:
            return None
        self.responses += 1
        yield from self._cancel_when_due(operation)
        self.last = self.convert(answer)
        return self.last

    def _cancel_when_due(self, operation: Operation) -> Procedure[None]:
        if self.responses == self.cancel_after:
            yield from operation.cancel()

    def complete(self) -> Procedure[None]:
        """Pass over the pending responses to the final one."""
        while (yield from self.advance()) is not None:
            pass

    def cancel(self) -> Procedure[None]:
        """Ask the peer to stop; what it sends until it sees that still comes."""
        if self.operation is not None:
            yield from self.operation.cancel()

    def finish(self) -> Procedure[None]:
        """Cancel, and pass over what still comes; nothing happens before the first response was asked for."""
        if self.operation is not None:
            yield from self.operation.finish()

    def leave(self) -> bool:
        """Nobody will ask for more; True when the operation is still under way."""
        operation = self.operation
        if operation is None or not operation.under_way:
            return False
        operation.abandoned = True
        return True

    def _begin(self) -> Procedure[Operation]:
        core = self.core
        yield from settle(core)
        context = core.agreed.find(class_for(self.model, self.kind))
        service = None if self.store is None else storage(self.store)
        arguments = (self.identifier, context.transfer_syntax)
        encoded: bytes = yield Call(identifiers.encode_identifier, arguments)
        operation = Operation(core, context, self._request(context), service)
        yield from operation.begin(encoded)
        self.operation = operation
        return operation

    def _request(self, context: AcceptedContext) -> CFindRQ | CGetRQ | CMoveRQ:
        message_id, uid = self.core.message_ids.next(), context.abstract_syntax
        if self.kind == "find":
            return CFindRQ(message_id=message_id, affected_sop_class_uid=uid, priority=self.priority)
        if self.kind == "get":
            return CGetRQ(message_id=message_id, affected_sop_class_uid=uid, priority=self.priority)
        return CMoveRQ(
            message_id=message_id,
            affected_sop_class_uid=uid,
            move_destination=self.destination,
            priority=self.priority,
        )


def check_question(
    identifier: identifiers.Identifier, cancel_after: int | None, priority: Priority = Priority.MEDIUM
) -> None:
    """Raise for what a query or retrieval cannot ask for, before anything is connected or sent.

    Raises:
        TypeError: An argument has another type.
        ValueError: A number is out of range.
    """
    identifiers.check_identifier(identifier)
    if cancel_after is not None:
        arguments.whole_number(cancel_after, "cancel_after")
    arguments.whole_number(priority, "priority", 0, max(Priority))


def find_inquiry(
    core: AssociationCore,
    identifier: identifiers.Identifier,
    model: QueryModel | str,
    priority: Priority,
    cancel_after: int | None,
) -> Inquiry[Match]:
    """A C-FIND; ValueError where the model has none."""
    check_question(identifier, cancel_after, priority)
    class_for(model, "find")
    return Inquiry(
        core=core,
        kind="find",
        identifier=identifier,
        model=model,
        convert=lambda answer: match_of(answer, core.limits),
        priority=priority,
        cancel_after=cancel_after,
    )


def get_inquiry(  # what a C-GET has
    core: AssociationCore,
    identifier: identifiers.Identifier,
    store: Store,
    model: QueryModel | str,
    priority: Priority,
    cancel_after: int | None,
) -> Inquiry[Progress]:
    """A C-GET; ValueError where the model has none."""
    check_question(identifier, cancel_after, priority)
    class_for(model, "get")
    return Inquiry(
        core=core,
        kind="get",
        identifier=identifier,
        model=model,
        convert=progress_of,
        priority=priority,
        store=file_store(store),
        cancel_after=cancel_after,
    )


def move_inquiry(  # what a C-MOVE has
    core: AssociationCore,
    identifier: identifiers.Identifier,
    destination: str,
    model: QueryModel | str,
    priority: Priority,
    cancel_after: int | None,
) -> Inquiry[Progress]:
    """A C-MOVE; ValueError if the model has none, or the destination is no AE title."""
    check_question(identifier, cancel_after, priority)
    class_for(model, "move")
    return Inquiry(
        core=core,
        kind="move",
        identifier=identifier,
        model=model,
        convert=progress_of,
        priority=priority,
        destination=arguments.ae_title(destination, "destination"),
        cancel_after=cancel_after,
    )


def file_store(store: Store) -> FileStore:
    """The store itself, or one that keeps files in the folder under names such as `CT.1.2.3.dcm`.

    Raises:
        TypeError: It is neither a store nor a path.
        OSError: The folder does not exist.
    """
    if isinstance(store, FileStore):
        store.check_folder()
        return store
    return FileStore(directory=existing_folder(store, "store"), namer=named_dcm)


def proposing(options: dict[str, Any], contexts: Callable[[], tuple[ProposedContext, ...]]) -> dict[str, Any]:
    """The options of `connect`, with contexts where the caller has not given any."""
    given = options.get("policy") is not None or options.get("contexts") is not None
    return options if given else {**options, "contexts": contexts()}


def move_destination(destination: str, options: dict[str, Any]) -> str:
    """Where a C-MOVE goes: unless told, to what an association with these options of `connect` calls with.

    Raises:
        TypeError: The title is no text, or the policy none.
        InvalidAETitle: It is no AE title.
    """
    policy = options.get("policy")
    arguments.check_type(policy, "policy", "RequestorPolicy | None")
    if destination != "":
        return arguments.ae_title(destination, "destination")
    if policy is None:
        return arguments.ae_title(options.get("calling", DEFAULT_CALLING), "calling")
    return str(policy.calling_ae_title)


def receiving_node(
    store: Store, title: str, port: int, options: dict[str, Any], host: str = ""
) -> tuple[Node, Deliveries]:
    """A server's configuration for the objects of a C-MOVE to this side, and what counts them.

    Raises:
        TypeError: An argument has another type.
        ValueError: There is no port.
    """
    arguments.text(host, "listen_host")
    if arguments.port(port, "listen_port", free=True) == 0:
        raise ValueError("give the listen_port that the peer knows for the destination")
    deliveries = Deliveries()
    node = Node(
        policy=AcceptorPolicy(ae_title=title),
        timeouts=options.get("timeouts") or Timeouts(),
        limits=options.get("limits") or Limits(),
        tls=options.get("tls"),  # objects come back no less securely than they were asked for
        store=file_store(store),
    )
    deliveries.attach(node)
    return node, deliveries


class Details:
    """What the final response says beside its status (PS3.7 Annex C)."""

    __slots__ = ()

    response: Any

    @property
    def comment(self) -> str:
        """Error Comment (0000,0902); "" if there is none."""
        return self.response.error_comment if self.response is not None else ""

    @property
    def offending_element(self) -> tuple[int, ...]:
        """Tags of Offending Element (0000,0901); () if there is none."""
        return self.response.offending_element if self.response is not None else ()

    @property
    def error_id(self) -> int | None:
        """Error ID (0000,0903); None if there is none."""
        return self.response.error_id if self.response is not None else None


class ResponsesBase(Details, Generic[A]):
    """What both faces' `Responses` know about an operation.

    Args:
        inquiry: The operation.
    """

    def __init__(self, inquiry: Inquiry[A]) -> None:
        self._inquiry = inquiry

    @property
    def response(self) -> Response | None:
        """The final response; None before it came."""
        answer = self._final
        return None if answer is None else answer.response

    @property
    def status(self) -> int | None:
        """The status of the final response, such as 0x0000, or 0xFE00 when it was cancelled; None before."""
        answer = self._final
        return None if answer is None else answer.response.status

    @property
    def result(self) -> Progress | None:
        """The counts of the final response, and the objects that failed; None before, and for a C-FIND."""
        answer = self._final
        if answer is None or not isinstance(answer.response, SubOperationsResponse):
            return None
        return progress_of(answer)

    @property
    def claim(self) -> Claim | None:
        """What a C-GET or C-MOVE says it has sent; None before the final response, and for a C-FIND."""
        result = self.result
        return None if result is None else claim_of(result, cast("Progress | None", self._inquiry.last))

    def raise_for_status(self) -> Self:
        """Return itself, or raise where the final status is a failure.

        Raises:
            StatusError: The status in the standard's words, with the peer's comment.
            LocalProtocolError: There is no final status yet.
        """
        answer = self._final
        if answer is None:
            raise LocalProtocolError("the operation is not over: take its responses to the end first")
        answer.response.raise_for_status()
        return self

    @property
    def _final(self) -> Answer | None:
        operation = self._inquiry.operation
        return None if operation is None else operation.final


@dataclass(frozen=True, slots=True)
class FindResult(Details):
    """What came of a query that is over.

    Attributes:
        matches: The matches, in the order in which they came.
        response: The final response.
        endings: What went wrong when the association was released, after that response; () when nothing did.
    """

    matches: tuple[Match, ...]
    response: Response
    endings: tuple[DcmnetError, ...] = ()

    @property
    def status(self) -> int:
        """The status of the final response."""
        return self.response.status

    def raise_for_status(self) -> Self:
        """Return itself; StatusError where the final status is a failure."""
        self.response.raise_for_status()
        return self


@dataclass(frozen=True, slots=True)
class RetrieveResult(Details):
    """What came of a retrieval that is over.

    Attributes:
        progress: The final counts, and the objects that failed.
        response: The final response.
        files: Where the objects are that came to this side, in the order in which they came.
        claim: How many objects the peer says it has sent.
        missing: How many of them did not come to this side, or were not kept; 0 if they went elsewhere.
        endings: What went wrong when the association was released, after the final response; () when nothing
            did.
        refused: How many objects this side has refused, or could not keep, whatever the peer counts.
    """

    progress: Progress
    response: Response
    files: tuple[Path, ...] = ()
    claim: Claim = Claim()
    missing: int = 0
    endings: tuple[DcmnetError, ...] = ()
    refused: int = 0

    @property
    def status(self) -> int:
        """The status of the final response."""
        return self.response.status

    def raise_for_status(self) -> Self:
        """Return itself, or raise if the result is not what the peer says.

        Raises:
            StatusError: The final status is a failure, or objects are missing or were refused here. B000,
                some failed, is a warning.
        """
        self.response.raise_for_status()
        if self.missing:
            raise StatusError(missing_text(self.missing, self.claim), status=self.status)
        if self.refused:
            raise StatusError(refused_text(self.refused), status=self.status)
        return self

    def completed_by(self, deliveries: Deliveries) -> Self:
        """The same result with what has come to this side."""
        return replace(
            self,
            files=tuple(deliveries.files),
            missing=deliveries.missing(self.claim),
            refused=deliveries.lost,
        )


def missing_text(missing: int, claim: Claim) -> str:
    """That objects are missing, for a person."""
    came = claim.delivered - missing
    return f"the peer says that it has sent {claim.delivered} objects, and {came} came here and were kept"


def refused_text(refused: int) -> str:
    """That objects were refused here, for a person."""
    return f"{refused} object{'' if refused == 1 else 's'} came here and could not be kept"


def find_result(matches: Iterable[Match], responses: ResponsesBase[Match]) -> FindResult:
    """What came of a query whose responses have been taken to the end."""
    response = responses.response
    assert response is not None  # the iteration has ended by itself
    return FindResult(tuple(matches), response)


def retrieve_result(responses: ResponsesBase[Progress]) -> RetrieveResult:
    """What came of a retrieval whose responses have been taken to the end."""
    response, progress, claim = responses.response, responses.result, responses.claim
    assert response is not None and progress is not None and claim is not None  # likewise
    return RetrieveResult(progress, response, claim=claim)
