"""The normalized services as an SCP's handlers see them: typed requests, data sets instead of bytes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from dcmnet import dataset
from dcmnet._records import dataclass, field
from dcmnet.acse import AcceptedContext
from dcmnet.arguments import kind_of
from dcmnet.dataset import identifiers
from dcmnet.dimse.messages import (
    RESPONSE_TO,
    NActionRQ,
    NCreateRQ,
    NDeleteRQ,
    NEventReportRQ,
    NEventReportRSP,
    NGetRQ,
    NSetRQ,
    Request,
    StatusClass,
)
from dcmnet.dimse.responses import response_to
from dcmnet.errors import InputFileError, LimitExceeded, LocalProtocolError, StatusError
from dcmnet.limits import Limits
from dcmnet.procedures.association import AssociationCore
from dcmnet.registry.statuses import (
    NO_SUCH_SOP_CLASS,
    PROCESSING_FAILURE,
    RESOURCE_LIMITATION,
    SUCCESS,
    UNRECOGNIZED_OPERATION,
)
from dcmnet.services.handler_status import FAILED, ReturnTypeError, chosen_outcome, handler_status, is_status
from dcmnet.services.normalized import Performed, Report
from dcmnet.services.storage import Outcome
from dcmnet.storage.inventing import new_uid

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from dcmnet.storage.operations import Registration

NormalizedRQ: TypeAlias = "NEventReportRQ | NGetRQ | NSetRQ | NActionRQ | NCreateRQ | NDeleteRQ"

OperationHandler: TypeAlias = Callable[["OperationRequest"], Any]

_SPECIFIC_CHARACTER_SET = 0x00080005


@dataclass(slots=True, eq=False)
class OperationRequest:
    """What a peer asks for with a normalized service.

    Attributes:
        sop_instance_uid: The instance that it is about. Where an N-CREATE names none it is one made up, and a
            handler may put another one here: the response tells it to the peer.
        data: Its data set as it came, encoded; empty when there is none.
        context: The presentation context it came on.
        calling_ae_title: The title of the association's requestor.
        called_ae_title: The title of its acceptor.
        peer: The peer's address.
        message: The request.
        state: A dictionary that belongs to the association; handlers may keep things in it.
    """

    sop_instance_uid: str
    data: bytes = field(repr=False)
    context: AcceptedContext
    calling_ae_title: str
    called_ae_title: str
    peer: str
    message: NormalizedRQ
    state: dict[str, Any] = field(repr=False)
    _limits: Limits | None = field(default=None, repr=False)
    _data_set: Dataset | None = field(default=None, repr=False)
    _reports: list[Report] = field(default_factory=list, repr=False)

    @property
    def data_set(self) -> Dataset | None:
        """Its data set as pydicom has it, decoded when it is first looked at; None when there is none.

        Raises:
            StatusError: It is not encoded as its transfer syntax says.
        """
        if self._data_set is None and self.data:
            try:
                self._data_set = identifiers.decode_identifier(
                    self.data, self.context.transfer_syntax, name="data set", limits=self._limits
                )
            except InputFileError as error:
                comment = str(error)
                # PS3.7 Annex C.5.22: 0213H, resource limitation
                status = RESOURCE_LIMITATION if isinstance(error, LimitExceeded) else PROCESSING_FAILURE
                raise StatusError(comment, status=status, comment=comment) from error
        return self._data_set

    @property
    def sop_class_uid(self) -> str:
        """The SOP class of the instance."""
        return _class_of(self.message)

    @property
    def attributes(self) -> tuple[int, ...]:
        """The tags that an N-GET asks for; () for all, and in other requests."""
        return self.message.attribute_identifier_list if isinstance(self.message, NGetRQ) else ()

    @property
    def action_type_id(self) -> int | None:
        """What an N-ACTION asks for; None in other requests."""
        return self.message.action_type_id if isinstance(self.message, NActionRQ) else None

    @property
    def event_type_id(self) -> int | None:
        """What an N-EVENT-REPORT is about; None in other requests."""
        return self.message.event_type_id if isinstance(self.message, NEventReportRQ) else None

    def report_event(
        self,
        event_type_id: int,
        data_set: identifiers.Identifier | None = None,
        *,
        sop_instance_uid: str = "",
    ) -> None:
        """Have an N-EVENT-REPORT (PS3.7 10.1.1) sent on this association once the request has been answered.

        Several go out one after the other, each when the one before has been answered. What the peer answers
        is logged where it is a failure.

        Args:
            event_type_id: As the service class has it.
            data_set: Keywords and values, a pydicom data set, or encoded bytes.
            sop_instance_uid: The instance; that of the request unless given.

        Raises:
            InputFileError: The data set cannot be encoded.
            LocalProtocolError: This side is not the SCP of the class, or a value cannot be sent.
        """
        if not self.context.scp_role:
            raise LocalProtocolError("events are reported by the SCP, whose role this side does not have")
        encoded = None if data_set is None else _encoded(data_set, self.context)
        uid = sop_instance_uid or self.sop_instance_uid
        NEventReportRQ(
            message_id=1,
            affected_sop_class_uid=self.sop_class_uid,
            affected_sop_instance_uid=uid,
            event_type_id=event_type_id,
        ).encode()  # what cannot be sent is told to whoever asked for it
        self._reports.append(Report(self.sop_class_uid, uid, event_type_id, encoded))


@dataclass(slots=True)
class Handling:
    """Calls the handlers of the normalized services.

    Attributes:
        handlers: By kind of request and SOP Class UID.
        report: Told what went wrong.
    """

    handlers: Mapping[tuple[type[Request], str], Registration]
    report: Callable[[str, BaseException | None], Any] | None = None

    def begin(
        self, core: AssociationCore, context: AcceptedContext, request: NormalizedRQ, data: bytes
    ) -> Any:
        """Call the handler; returns a `Performed`, or an awaitable of that.

        Raises:
            StatusError: There is none.
        """
        registration = self._registration(context, request)
        asked = _operation_request(core, context, request, data)
        outcome = registration.handler(asked)
        if inspect.isawaitable(outcome):
            return _later(outcome, asked)
        return _performed(outcome, asked)

    def _registration(self, context: AcceptedContext, request: NormalizedRQ) -> Registration:
        uid = _class_of(request)
        found = self.handlers.get((type(request), uid))
        if found is not None and context.abstract_syntax in found.negotiated_as:
            return found
        if found is None and any(each == uid for _, each in self.handlers):
            raise StatusError("no such service", status=UNRECOGNIZED_OPERATION)
        raise StatusError("no such class on this context", status=NO_SUCH_SOP_CLASS)

    def failed(self, error: BaseException) -> Outcome:
        """The outcome for what a handler raised: a StatusError chooses it."""
        chosen = chosen_outcome(error)
        if chosen is not None:
            return chosen
        if isinstance(error, InputFileError):  # its text says it all
            self._tell(f"the handler of a normalized service failed: {error}", None)
        else:
            self._tell("the handler of a normalized service failed", error)
        return FAILED

    def reported(self, response: NEventReportRSP) -> None:
        """Tell people where the peer did not take an event report."""
        if response.status_class in (StatusClass.FAILURE, StatusClass.UNKNOWN):
            self._tell(f"an event report was answered with 0x{response.status:04X}", None)

    def _tell(self, text: str, error: BaseException | None) -> None:
        if self.report is not None:
            self.report(text, error)


def _class_of(request: NormalizedRQ) -> str:
    if isinstance(request, NEventReportRQ | NCreateRQ):
        return request.affected_sop_class_uid
    return request.requested_sop_class_uid


def _operation_request(
    core: AssociationCore, context: AcceptedContext, request: NormalizedRQ, data: bytes
) -> OperationRequest:
    if isinstance(request, NEventReportRQ | NCreateRQ):
        uid = request.affected_sop_instance_uid
    else:
        uid = request.requested_sop_instance_uid
    return OperationRequest(
        sop_instance_uid=uid or new_uid(),  # PS3.7 10.1.5.1.3: the performer names what has no name
        data=data,
        context=context,
        calling_ae_title=core.agreed.calling_ae_title,
        called_ae_title=core.agreed.called_ae_title,
        peer=core.peer,
        message=request,
        state=core.state,
        _limits=core.limits,
    )


async def _later(outcome: Any, asked: OperationRequest) -> Performed:
    return _performed(await outcome, asked)


def _performed(outcome: Any, asked: OperationRequest) -> Performed:
    """What a handler has returned, as the response says it.

    Raises:
        ReturnTypeError: It is nothing that a handler may return.
        ValueError: There is a data set, and the response has none.
        LocalProtocolError: The status or the instance cannot be sent.
        InputFileError: The data set cannot be encoded.
    """
    status, data_set = _status_and_data_set(outcome)
    # Found out now, it is the handler's mistake and is answered; when it is sent it would be too late.
    response_to(asked.message, status, affected_sop_instance_uid=asked.sop_instance_uid).encode()
    data: bytes | None = None
    if data_set is not None:
        response = RESPONSE_TO[type(asked.message)]
        if response.DATA_SET == "forbidden":
            raise ValueError(f"{response.NAME} has no data set: return None or a status")
        if asked.attributes and not isinstance(data_set, bytes | bytearray | memoryview):
            data_set = _only(data_set, asked.attributes)
        data = _encoded(data_set, asked.context) or None
    return Performed(status, data, asked.sop_instance_uid, asked._reports)


def _status_and_data_set(outcome: Any) -> tuple[int, Any]:
    if outcome is None or is_status(outcome):
        return handler_status(outcome), None
    status, data_set = SUCCESS, outcome
    if isinstance(outcome, tuple):
        if len(outcome) != 2:
            count = "many" if len(outcome) > 2 else "few"
            raise ReturnTypeError(
                f"a handler returned a tuple with too {count} values: a status and a data set"
            )
        status, data_set = outcome
    if data_set is None or _is_data_set(data_set):
        return handler_status(status), data_set
    raise ReturnTypeError(
        f"a handler returned {kind_of(data_set)}: return None, a status, a data set, or both in a tuple"
    )


def _is_data_set(value: object) -> bool:
    return isinstance(value, Mapping | bytes | bytearray | memoryview) or dataset.is_data_set(value)


def _only(data_set: Any, attributes: tuple[int, ...]) -> Any:
    """The attributes that were asked for, and how their text is to be read (PS3.7 10.1.2.1.3)."""
    given = (
        data_set if dataset.is_data_set(data_set) else identifiers.from_keywords(data_set, name="data set")
    )
    wanted = {*attributes, _SPECIFIC_CHARACTER_SET}
    found = type(given)()
    for tag in given.keys() & wanted:
        found[tag] = given[tag]
    return found


def _encoded(data_set: identifiers.Identifier, context: AcceptedContext) -> bytes:
    return identifiers.encode_identifier(data_set, context.transfer_syntax, name="data set")
