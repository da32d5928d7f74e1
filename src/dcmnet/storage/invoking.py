"""The normalized services as their SCU sees them: what comes back, and the procedures behind both faces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from dcmnet import arguments
from dcmnet.dataset import identifiers
from dcmnet.dimse.messages import (
    NActionRQ,
    NCreateRQ,
    NDeleteRQ,
    NEventReportRQ,
    NGetRQ,
    NSetRQ,
    Request,
    Response,
)
from dcmnet.limits import Limits
from dcmnet.procedures import normalized
from dcmnet.procedures.association import AssociationCore, settle
from dcmnet.procedures.effects import Call, Procedure
from dcmnet.procedures.reports import Reply

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

Attribute: TypeAlias = "str | int"
"""A keyword, or a tag: "0008,0060" or 0x00080060."""

MAX_TYPE_ID = 0xFFFF
"""PS3.7 10.3.1, 10.3.4: Event Type ID and Action Type ID are a US."""

_NAME = "data set"


class Received:
    """A message of a normalized service and its data set.

    Attributes:
        data: The data set as it came, encoded; empty when there was none.
        transfer_syntax: UID of the one that it is in.
    """

    __slots__ = ("_data_set", "_limits", "data", "transfer_syntax")

    def __init__(self, data: bytes, transfer_syntax: str, limits: Limits | None = None) -> None:
        self.data = data
        self.transfer_syntax = transfer_syntax
        self._limits = limits
        self._data_set: Dataset | None = None

    @property
    def data_set(self) -> Dataset | None:
        """As a pydicom data set, decoded when it is first looked at; None when there was none.

        Raises:
            InputFileError: It is not encoded as its transfer syntax says, or above a limit.
        """
        if self._data_set is None and self.data:
            self._data_set = identifiers.decode_identifier(
                self.data, self.transfer_syntax, name=_NAME, limits=self._limits
            )
        return self._data_set


class OperationResult(Received):
    """What the peer answered to the request of a normalized service.

    Attributes:
        response: The message.
        sop_instance_uid: The instance that it is about: that of an N-CREATE may be the peer's choice.
    """

    __slots__ = ("response", "sop_instance_uid")

    def __init__(
        self,
        response: Response,
        sop_instance_uid: str,
        data: bytes,
        transfer_syntax: str,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(data, transfer_syntax, limits)
        self.response = response
        self.sop_instance_uid = sop_instance_uid

    def __repr__(self) -> str:  # without the data, which may be a patient's
        return f"OperationResult(status=0x{self.status:04X}, {len(self.data)} bytes)"

    @property
    def status(self) -> int:
        """The status, such as 0x0000."""
        return self.response.status

    def raise_for_status(self) -> Self:
        """Return itself; StatusError where the status is a failure."""
        self.response.raise_for_status()
        return self


class EventReport(Received):
    """An N-EVENT-REPORT (PS3.7 10.1.1) that the peer has sent, and that was answered with success.

    Attributes:
        message: The request.
    """

    __slots__ = ("message",)

    def __init__(
        self, message: NEventReportRQ, data: bytes, transfer_syntax: str, limits: Limits | None = None
    ) -> None:
        super().__init__(data, transfer_syntax, limits)
        self.message = message

    def __repr__(self) -> str:  # without the data, which may be a patient's
        return f"EventReport(event_type_id={self.event_type_id}, {len(self.data)} bytes)"

    @property
    def event_type_id(self) -> int:
        """What has happened, as the service class has it."""
        return self.message.event_type_id

    @property
    def sop_class_uid(self) -> str:
        """The SOP class of the instance that it happened to."""
        return self.message.affected_sop_class_uid

    @property
    def sop_instance_uid(self) -> str:
        """The instance that it happened to."""
        return self.message.affected_sop_instance_uid


def check_request(
    sop_class_uid: str, sop_instance_uid: str, data_set: identifiers.Identifier | None, negotiated_as: str
) -> None:
    """Raise for arguments of a request that have another type than they must have.

    Raises:
        TypeError: It names the argument.
    """
    arguments.text(sop_class_uid, "sop_class_uid")
    arguments.text(sop_instance_uid, "sop_instance_uid")
    arguments.text(negotiated_as, "negotiated_as")
    if data_set is not None:
        identifiers.check_identifier(data_set, "data_set")


def event_report(
    core: AssociationCore,
    sop_class_uid: str,
    sop_instance_uid: str,
    event_type_id: int,
    data_set: identifiers.Identifier | None,
    negotiated_as: str,
) -> Procedure[OperationResult]:
    """N-EVENT-REPORT (PS3.7 10.1.1), which the SCP of a class invokes."""
    check_request(sop_class_uid, sop_instance_uid, data_set, negotiated_as)
    arguments.whole_number(event_type_id, "event_type_id", 0, MAX_TYPE_ID)

    def request(message_id: int, has_data_set: bool) -> Request:
        return NEventReportRQ(
            message_id=message_id,
            affected_sop_class_uid=sop_class_uid,
            affected_sop_instance_uid=sop_instance_uid,
            event_type_id=event_type_id,
            has_data_set=has_data_set,
        )

    return _perform(core, negotiated_as or sop_class_uid, request, data_set, sop_instance_uid, "scp")


def get(
    core: AssociationCore,
    sop_class_uid: str,
    sop_instance_uid: str,
    attributes: Sequence[Attribute],
    negotiated_as: str,
) -> Procedure[OperationResult]:
    """N-GET (PS3.7 10.1.2)."""
    check_request(sop_class_uid, sop_instance_uid, None, negotiated_as)
    attributes = arguments.several(attributes, "attributes", str, int)
    wanted: tuple[int, ...] = ()
    if attributes:
        wanted = yield Call(_tags, (attributes,))

    def request(message_id: int, has_data_set: bool) -> Request:
        return NGetRQ(
            message_id=message_id,
            requested_sop_class_uid=sop_class_uid,
            requested_sop_instance_uid=sop_instance_uid,
            attribute_identifier_list=wanted,
        )

    return (yield from _perform(core, negotiated_as or sop_class_uid, request, None, sop_instance_uid))


def set_(
    core: AssociationCore,
    sop_class_uid: str,
    sop_instance_uid: str,
    data_set: identifiers.Identifier,
    negotiated_as: str,
) -> Procedure[OperationResult]:
    """N-SET (PS3.7 10.1.3)."""
    check_request(sop_class_uid, sop_instance_uid, data_set, negotiated_as)
    identifiers.check_identifier(data_set, "data_set")

    def request(message_id: int, has_data_set: bool) -> Request:
        return NSetRQ(
            message_id=message_id,
            requested_sop_class_uid=sop_class_uid,
            requested_sop_instance_uid=sop_instance_uid,
            has_data_set=has_data_set,
        )

    return _perform(core, negotiated_as or sop_class_uid, request, data_set, sop_instance_uid)


def action(
    core: AssociationCore,
    sop_class_uid: str,
    sop_instance_uid: str,
    action_type_id: int,
    data_set: identifiers.Identifier | None,
    negotiated_as: str,
) -> Procedure[OperationResult]:
    """N-ACTION (PS3.7 10.1.4)."""
    check_request(sop_class_uid, sop_instance_uid, data_set, negotiated_as)
    arguments.whole_number(action_type_id, "action_type_id", 0, MAX_TYPE_ID)

    def request(message_id: int, has_data_set: bool) -> Request:
        return NActionRQ(
            message_id=message_id,
            requested_sop_class_uid=sop_class_uid,
            requested_sop_instance_uid=sop_instance_uid,
            action_type_id=action_type_id,
            has_data_set=has_data_set,
        )

    return _perform(core, negotiated_as or sop_class_uid, request, data_set, sop_instance_uid)


def create(
    core: AssociationCore,
    sop_class_uid: str,
    data_set: identifiers.Identifier | None,
    sop_instance_uid: str,
    negotiated_as: str,
) -> Procedure[OperationResult]:
    """N-CREATE (PS3.7 10.1.5)."""
    check_request(sop_class_uid, sop_instance_uid, data_set, negotiated_as)

    def request(message_id: int, has_data_set: bool) -> Request:
        return NCreateRQ(
            message_id=message_id,
            affected_sop_class_uid=sop_class_uid,
            affected_sop_instance_uid=sop_instance_uid,
            has_data_set=has_data_set,
        )

    return _perform(core, negotiated_as or sop_class_uid, request, data_set, sop_instance_uid)


def delete(
    core: AssociationCore, sop_class_uid: str, sop_instance_uid: str, negotiated_as: str
) -> Procedure[OperationResult]:
    """N-DELETE (PS3.7 10.1.6)."""
    check_request(sop_class_uid, sop_instance_uid, None, negotiated_as)

    def request(message_id: int, has_data_set: bool) -> Request:
        return NDeleteRQ(
            message_id=message_id,
            requested_sop_class_uid=sop_class_uid,
            requested_sop_instance_uid=sop_instance_uid,
        )

    return _perform(core, negotiated_as or sop_class_uid, request, None, sop_instance_uid)


def next_event(core: AssociationCore, timeout: float | None) -> Procedure[EventReport | None]:
    """The next event report of the peer, or None when none comes in time."""
    arguments.seconds(timeout, "timeout")
    reply = yield from normalized.next_report(core, timeout)
    if reply is None:
        return None
    assert isinstance(reply.message, NEventReportRQ)  # nothing else is kept
    return EventReport(reply.message, reply.data, reply.transfer_syntax, core.limits)


def _perform(
    core: AssociationCore,
    negotiated_as: str,
    request: Callable[[int, bool], Request],
    data_set: identifiers.Identifier | None,
    sop_instance_uid: str,
    role: Literal["scu", "scp"] = "scu",
) -> Procedure[OperationResult]:
    yield from settle(core)
    context = core.agreed.find(negotiated_as, role=role)
    encoded: bytes | None = None
    if data_set is not None:
        encoded = yield Call(_encode, (data_set, context.transfer_syntax))
    message = request(core.message_ids.next(), encoded is not None)
    reply: Reply = yield from normalized.invoke(core, context, message, encoded)
    response: Any = reply.message
    uid = response.affected_sop_instance_uid or sop_instance_uid
    return OperationResult(response, uid, reply.data, reply.transfer_syntax, core.limits)


def _encode(data_set: identifiers.Identifier, transfer_syntax: str) -> bytes:
    return identifiers.encode_identifier(data_set, transfer_syntax, name=_NAME)


def _tags(attributes: Sequence[Attribute]) -> tuple[int, ...]:
    return tuple(
        identifiers.attribute_called(each, _NAME)[0] if isinstance(each, str) else int(each)
        for each in attributes
    )
