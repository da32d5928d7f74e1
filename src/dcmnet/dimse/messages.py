"""The 23 DIMSE messages as frozen data (PS3.7 9.3 and 10.3).

The fields of a message are named as PS3.7 names them, in snake case; `ELEMENTS` of the codec says which
element each one is. A field without a default is one that the message must have: a request that lacks it is
refused. Responses are read leniently: what only repeats the request may be missing. `has_data_set` is the
Command Data Set Type (0000,0800). Optional fields are None, "" or () when they are absent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, ClassVar, Self

from dcmnet._records import dataclass
from dcmnet.dimse.codes import Priority as Priority
from dcmnet.dimse.codes import StatusClass as StatusClass
from dcmnet.dimse.codes import status_class as status_class
from dcmnet.dimse.codes import status_details
from dcmnet.dimse.command import Value, command_error, encode_command, read_command
from dcmnet.dimse.layouts import (
    COMMAND_FIELD_ELEMENT,
    DATA_SET_TYPE_ELEMENT,
    TYPE_WITH_DATA_SET,
    TYPE_WITHOUT_DATA_SET,
    DataSetRule,
    Layout,
    check_data_set,
    check_elements,
    layout_of,
)
from dcmnet.dimse.patterns import BARE_RESPONSE, ECHO_RQ, ECHO_RSP, Pattern, Patterns, Quick
from dcmnet.errors import LocalProtocolError, StatusError
from dcmnet.limits import Limits
from dcmnet.payload import Buffer
from dcmnet.registry.sop_classes import VERIFICATION
from dcmnet.registry.statuses import service_of, text_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What every message has.

    Attributes:
        NAME: Its name in the standard.
        COMMAND_FIELD: Command Field (0000,0100).
        IS_REQUEST: Whether it is a -RQ.
        DATA_SET: Whether a data set follows.
    """

    NAME: ClassVar[str]
    COMMAND_FIELD: ClassVar[int]
    IS_REQUEST: ClassVar[bool]
    DATA_SET: ClassVar[DataSetRule] = "forbidden"

    has_data_set: bool = False

    def encode(self) -> bytes:
        """The Command Set of this message.

        Raises:
            LocalProtocolError: A required field is empty, a value does not fit its element, or `has_data_set`
                is not what PS3.7 has for this message.
        """
        quick = _QUICK.get(self.COMMAND_FIELD)
        if quick is None or quick.others(self) != quick.plain:
            return self._encode()
        values = quick.varying(self)
        return quick.patterns.encode(values) or quick.patterns.learn_to_encode(values, self._encode())

    def _encode(self) -> bytes:
        layout = _LAYOUTS[self.COMMAND_FIELD]
        check_data_set(self.NAME, self.DATA_SET, self.has_data_set, LocalProtocolError)
        elements: dict[int, Value] = {
            COMMAND_FIELD_ELEMENT: self.COMMAND_FIELD,
            DATA_SET_TYPE_ELEMENT: TYPE_WITH_DATA_SET if self.has_data_set else TYPE_WITHOUT_DATA_SET,
        }
        for number, value in zip(layout.numbers, layout.values_of(self), strict=False):
            if value or value == 0:
                elements[number] = value
            elif number in layout.required:
                raise LocalProtocolError(f"{self.NAME} needs {layout.keywords[number]}")
        return encode_command(elements)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Message):
    """A request that is answered, all but C-CANCEL-RQ."""

    IS_REQUEST: ClassVar[bool] = True

    message_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Response(Message):
    """What every response has; the status details of PS3.7 Annex C are among it."""

    IS_REQUEST: ClassVar[bool] = False

    message_id_being_responded_to: int
    status: int
    affected_sop_class_uid: str = ""
    offending_element: tuple[int, ...] = ()
    error_comment: str = ""
    error_id: int | None = None

    @property
    def status_class(self) -> StatusClass:
        """The class of its status (PS3.7 Annex C)."""
        return status_class(self.status)

    @property
    def details(self) -> str:
        """What it says beside its status, on one line; "" for nothing."""
        return status_details(self.error_comment, self.offending_element, self.error_id)

    def raise_for_status(self) -> Self:
        """Return the response, or raise where its status is a failure.

        Raises:
            StatusError: The status in the standard's words, with the peer's comment.
        """
        if self.status_class not in (StatusClass.FAILURE, StatusClass.UNKNOWN):
            return self
        text = f"0x{self.status:04X} ({text_of(self.status, service_of(self.affected_sop_class_uid))})"
        message = f"{text}: {self.details}" if self.details else text
        more: dict[str, Any] = {"offending_element": self.offending_element, "error_id": self.error_id}
        raise StatusError(message, status=self.status, comment=self.error_comment, **more)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubOperationsResponse(Response):
    """A response that counts sub-operations."""

    DATA_SET: ClassVar[DataSetRule] = "optional"

    number_of_remaining_suboperations: int | None = None
    number_of_completed_suboperations: int | None = None
    number_of_failed_suboperations: int | None = None
    number_of_warning_suboperations: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CStoreRQ(Request):
    """C-STORE-RQ, PS3.7 9.3.1.1."""

    NAME: ClassVar[str] = "C-STORE-RQ"
    COMMAND_FIELD: ClassVar[int] = 0x0001
    DATA_SET: ClassVar[DataSetRule] = "required"

    affected_sop_class_uid: str
    affected_sop_instance_uid: str
    priority: Priority = Priority.MEDIUM
    move_originator_ae_title: str = ""
    move_originator_message_id: int | None = None
    has_data_set: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CStoreRSP(Response):
    """C-STORE-RSP, PS3.7 9.3.1.2."""

    NAME: ClassVar[str] = "C-STORE-RSP"
    COMMAND_FIELD: ClassVar[int] = 0x8001

    affected_sop_instance_uid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CFindRQ(Request):
    """C-FIND-RQ, PS3.7 9.3.2.1."""

    NAME: ClassVar[str] = "C-FIND-RQ"
    COMMAND_FIELD: ClassVar[int] = 0x0020
    DATA_SET: ClassVar[DataSetRule] = "required"

    affected_sop_class_uid: str
    priority: Priority = Priority.MEDIUM
    has_data_set: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CFindRSP(Response):
    """C-FIND-RSP, PS3.7 9.3.2.2."""

    NAME: ClassVar[str] = "C-FIND-RSP"
    COMMAND_FIELD: ClassVar[int] = 0x8020
    DATA_SET: ClassVar[DataSetRule] = "optional"


@dataclass(frozen=True, slots=True, kw_only=True)
class CCancelRQ(Message):
    """C-CANCEL-FIND-RQ, C-CANCEL-GET-RQ and C-CANCEL-MOVE-RQ, PS3.7 9.3.2.3: one message, never answered."""

    NAME: ClassVar[str] = "C-CANCEL-RQ"
    COMMAND_FIELD: ClassVar[int] = 0x0FFF
    IS_REQUEST: ClassVar[bool] = True

    message_id_being_responded_to: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CGetRQ(Request):
    """C-GET-RQ, PS3.7 9.3.3.1."""

    NAME: ClassVar[str] = "C-GET-RQ"
    COMMAND_FIELD: ClassVar[int] = 0x0010
    DATA_SET: ClassVar[DataSetRule] = "required"

    affected_sop_class_uid: str
    priority: Priority = Priority.MEDIUM
    has_data_set: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CGetRSP(SubOperationsResponse):
    """C-GET-RSP, PS3.7 9.3.3.2."""

    NAME: ClassVar[str] = "C-GET-RSP"
    COMMAND_FIELD: ClassVar[int] = 0x8010


@dataclass(frozen=True, slots=True, kw_only=True)
class CMoveRQ(Request):
    """C-MOVE-RQ, PS3.7 9.3.4.1."""

    NAME: ClassVar[str] = "C-MOVE-RQ"
    COMMAND_FIELD: ClassVar[int] = 0x0021
    DATA_SET: ClassVar[DataSetRule] = "required"

    affected_sop_class_uid: str
    move_destination: str
    priority: Priority = Priority.MEDIUM
    has_data_set: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CMoveRSP(SubOperationsResponse):
    """C-MOVE-RSP, PS3.7 9.3.4.2."""

    NAME: ClassVar[str] = "C-MOVE-RSP"
    COMMAND_FIELD: ClassVar[int] = 0x8021


@dataclass(frozen=True, slots=True, kw_only=True)
class CEchoRQ(Request):
    """C-ECHO-RQ, PS3.7 9.3.5.1."""

    NAME: ClassVar[str] = "C-ECHO-RQ"
    COMMAND_FIELD: ClassVar[int] = 0x0030

    affected_sop_class_uid: str

    def encode(self) -> bytes:
        """As for every message."""
        is_plain = self.affected_sop_class_uid == VERIFICATION and not self.has_data_set
        return (is_plain and ECHO_RQ.pack(self.message_id)) or self._encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class CEchoRSP(Response):
    """C-ECHO-RSP, PS3.7 9.3.5.2."""

    NAME: ClassVar[str] = "C-ECHO-RSP"
    COMMAND_FIELD: ClassVar[int] = 0x8030

    def encode(self) -> bytes:
        """As for every message."""
        is_plain = _PLAIN_ECHO_RSP(self) == (VERIFICATION, False, (), "", None)
        encoded = is_plain and ECHO_RSP.pack(self.message_id_being_responded_to, self.status)
        return encoded or self._encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class NEventReportRQ(Request):
    """N-EVENT-REPORT-RQ, PS3.7 10.3.1.1."""

    NAME: ClassVar[str] = "N-EVENT-REPORT-RQ"
    COMMAND_FIELD: ClassVar[int] = 0x0100
    DATA_SET: ClassVar[DataSetRule] = "optional"

    affected_sop_class_uid: str
    affected_sop_instance_uid: str
    event_type_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NEventReportRSP(Response):
    """N-EVENT-REPORT-RSP, PS3.7 10.3.1.2."""

    NAME: ClassVar[str] = "N-EVENT-REPORT-RSP"
    COMMAND_FIELD: ClassVar[int] = 0x8100
    DATA_SET: ClassVar[DataSetRule] = "optional"

    affected_sop_instance_uid: str = ""
    event_type_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NGetRQ(Request):
    """N-GET-RQ, PS3.7 10.3.2.1."""

    NAME: ClassVar[str] = "N-GET-RQ"
    COMMAND_FIELD: ClassVar[int] = 0x0110

    requested_sop_class_uid: str
    requested_sop_instance_uid: str
    attribute_identifier_list: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NGetRSP(Response):
    """N-GET-RSP, PS3.7 10.3.2.2."""

    NAME: ClassVar[str] = "N-GET-RSP"
    COMMAND_FIELD: ClassVar[int] = 0x8110
    DATA_SET: ClassVar[DataSetRule] = "optional"

    affected_sop_instance_uid: str = ""
    attribute_identifier_list: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NSetRQ(Request):
    """N-SET-RQ, PS3.7 10.3.3.1."""

    NAME: ClassVar[str] = "N-SET-RQ"
    COMMAND_FIELD: ClassVar[int] = 0x0120
    DATA_SET: ClassVar[DataSetRule] = "required"

    requested_sop_class_uid: str
    requested_sop_instance_uid: str
    has_data_set: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class NSetRSP(Response):
    """N-SET-RSP, PS3.7 10.3.3.2."""

    NAME: ClassVar[str] = "N-SET-RSP"
    COMMAND_FIELD: ClassVar[int] = 0x8120
    DATA_SET: ClassVar[DataSetRule] = "optional"

    affected_sop_instance_uid: str = ""
    attribute_identifier_list: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NActionRQ(Request):
    """N-ACTION-RQ, PS3.7 10.3.4.1."""

    NAME: ClassVar[str] = "N-ACTION-RQ"
    COMMAND_FIELD: ClassVar[int] = 0x0130
    DATA_SET: ClassVar[DataSetRule] = "optional"

    requested_sop_class_uid: str
    requested_sop_instance_uid: str
    action_type_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NActionRSP(Response):
    """N-ACTION-RSP, PS3.7 10.3.4.2."""

    NAME: ClassVar[str] = "N-ACTION-RSP"
    COMMAND_FIELD: ClassVar[int] = 0x8130
    DATA_SET: ClassVar[DataSetRule] = "optional"

    affected_sop_instance_uid: str = ""
    action_type_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NCreateRQ(Request):
    """N-CREATE-RQ, PS3.7 10.3.5.1; without an instance UID the SCP gives one."""

    NAME: ClassVar[str] = "N-CREATE-RQ"
    COMMAND_FIELD: ClassVar[int] = 0x0140
    DATA_SET: ClassVar[DataSetRule] = "optional"

    affected_sop_class_uid: str
    affected_sop_instance_uid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NCreateRSP(Response):
    """N-CREATE-RSP, PS3.7 10.3.5.2."""

    NAME: ClassVar[str] = "N-CREATE-RSP"
    COMMAND_FIELD: ClassVar[int] = 0x8140
    DATA_SET: ClassVar[DataSetRule] = "optional"

    affected_sop_instance_uid: str = ""
    attribute_identifier_list: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NDeleteRQ(Request):
    """N-DELETE-RQ, PS3.7 10.3.6.1."""

    NAME: ClassVar[str] = "N-DELETE-RQ"
    COMMAND_FIELD: ClassVar[int] = 0x0150

    requested_sop_class_uid: str
    requested_sop_instance_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NDeleteRSP(Response):
    """N-DELETE-RSP, PS3.7 10.3.6.2."""

    NAME: ClassVar[str] = "N-DELETE-RSP"
    COMMAND_FIELD: ClassVar[int] = 0x8150

    affected_sop_instance_uid: str = ""


REQUESTS: tuple[type[Request], ...] = (
    *(CStoreRQ, CFindRQ, CGetRQ, CMoveRQ, CEchoRQ),
    *(NEventReportRQ, NGetRQ, NSetRQ, NActionRQ, NCreateRQ, NDeleteRQ),
)
RESPONSES: tuple[type[Response], ...] = (
    *(CStoreRSP, CFindRSP, CGetRSP, CMoveRSP, CEchoRSP),
    *(NEventReportRSP, NGetRSP, NSetRSP, NActionRSP, NCreateRSP, NDeleteRSP),
)
MESSAGES: tuple[type[Message], ...] = (*REQUESTS, *RESPONSES, CCancelRQ)

RESPONSE_TO: Mapping[type[Request], type[Response]] = dict(zip(REQUESTS, RESPONSES, strict=True))
"""The type of the response to each type of request."""


def decode_message(view: Buffer, limits: Limits) -> Message:
    """Decode the Command Set of a message.

    A Priority other than MEDIUM, HIGH and LOW reads as MEDIUM: nothing may depend on it. What the message
    uses only for information may be malformed (`Tolerance.MALFORMED_ELEMENT`): texts are kept as they came.

    Args:
        view: The whole Command Set.
        limits: Its length and the tolerances.

    Raises:
        RemoteProtocolError: The bytes are no Command Set; the Command Field is unknown; a required element is
            missing, empty or malformed; a request has a data set that PS3.7 forbids, or lacks one that it
            requires.
    """
    if (plain := _decode_plain(view, limits)) is not None:
        return plain
    elements, faults = read_command(view, limits)
    command_field = elements.get(COMMAND_FIELD_ELEMENT)
    layout = _LAYOUTS.get(command_field)
    if layout is None:
        if command_field is None:
            missing = command_error("Command Set without Command Field (0000,0100)")
            raise faults.get(COMMAND_FIELD_ELEMENT, missing)
        raise command_error(f"unknown Command Field (0000,0100) {command_field:#06x}")
    message = layout.message
    check_elements(layout, elements, faults, limits.tolerance)
    keywords = layout.keywords
    found: dict[str, Any] = dict(layout.unsaid)
    found.update({keywords[n]: value for n, value in elements.items() if n in keywords})
    if "priority" in found:
        found["priority"] = _PRIORITIES.get(found["priority"], Priority.MEDIUM)
    has_data_set = elements[DATA_SET_TYPE_ELEMENT] != TYPE_WITHOUT_DATA_SET
    if message.IS_REQUEST:
        check_data_set(message.NAME, message.DATA_SET, has_data_set, command_error)
    made: Message = message(has_data_set=has_data_set, **found)
    if command_field in _QUICK and _QUICK[command_field].others(made) == _QUICK[command_field].plain:
        _QUICK[command_field].patterns.learn_to_decode(view)
    return made


def _decode_plain(view: Buffer, limits: Limits) -> Message | None:
    """A message that looks like many others; None for one that needs a closer look."""
    for quick in _QUICK.values():
        if (values := quick.patterns.decode(view, limits)) is not None:
            known: Message = quick.made_of(*values)
            return known
    of_numbers = _NUMBERS.get(len(view))
    if of_numbers is None or len(view) > limits.max_command_set_length:
        return None
    pattern, made_of = of_numbers
    numbers = pattern.unpack(view)
    return None if numbers is None else made_of(*numbers)


def _echo_rq(message_id: int) -> CEchoRQ:
    return CEchoRQ(message_id=message_id, affected_sop_class_uid=VERIFICATION)


def _echo_rsp(message_id: int, status: int) -> CEchoRSP:
    return CEchoRSP(
        message_id_being_responded_to=message_id, status=status, affected_sop_class_uid=VERIFICATION
    )


def _bare_response(command_field: int, message_id: int, status: int) -> Response | None:
    response = _RESPONSES.get(command_field)
    if response is None:
        return None
    return response(message_id_being_responded_to=message_id, status=status)


def _store_rq(sop_class_uid: str, message_id: int, priority: int, sop_instance_uid: str) -> CStoreRQ:
    return CStoreRQ(
        message_id=message_id,
        affected_sop_class_uid=sop_class_uid,
        affected_sop_instance_uid=sop_instance_uid,
        priority=_PRIORITIES.get(priority, _MEDIUM),
    )


def store_rsp(sop_class_uid: str, message_id: int, status: int, sop_instance_uid: str) -> CStoreRSP:
    """A C-STORE-RSP that says nothing but its status, fast."""
    return CStoreRSP(
        message_id_being_responded_to=message_id,
        status=status,
        affected_sop_class_uid=sop_class_uid,
        affected_sop_instance_uid=sop_instance_uid,
    )


_LAYOUTS: dict[Value | None, Layout] = {message.COMMAND_FIELD: layout_of(message) for message in MESSAGES}
_QUICK: dict[Value | None, Quick] = {
    CStoreRQ.COMMAND_FIELD: Quick(
        Patterns((0, 0x0002, 0x0100, 0x0110, 0x0700, 0x0800, 0x1000), (0x0110, 0x0700)),
        attrgetter("has_data_set", "move_originator_ae_title", "move_originator_message_id"),
        (True, "", None),
        attrgetter("affected_sop_class_uid", "affected_sop_instance_uid", "message_id", "priority"),
        _store_rq,
    ),
    CStoreRSP.COMMAND_FIELD: Quick(
        Patterns((0, 0x0002, 0x0100, 0x0120, 0x0800, 0x0900, 0x1000), (0x0120, 0x0900)),
        attrgetter("has_data_set", "offending_element", "error_comment", "error_id"),
        (False, (), "", None),
        attrgetter(
            "affected_sop_class_uid", "affected_sop_instance_uid", "message_id_being_responded_to", "status"
        ),
        store_rsp,
    ),
}
_NUMBERS: dict[int, tuple[Pattern, Callable[..., Message | None]]] = {
    ECHO_RQ.size: (ECHO_RQ, _echo_rq),
    ECHO_RSP.size: (ECHO_RSP, _echo_rsp),
    BARE_RESPONSE.size: (BARE_RESPONSE, _bare_response),
}
"""What differs in numbers only, by its length."""
_PLAIN_ECHO_RSP = attrgetter(
    "affected_sop_class_uid", "has_data_set", "offending_element", "error_comment", "error_id"
)
_MEDIUM = Priority.MEDIUM
_RESPONSES = {response.COMMAND_FIELD: response for response in RESPONSES}
_PRIORITIES = {int(priority): priority for priority in Priority}
