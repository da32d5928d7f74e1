"""Variable items of A-ASSOCIATE PDUs: presentation contexts and user information, with their codec.

PS3.8 9.3.2, 9.3.3 and Annex D; PS3.7 Annex D.3.3. An item is: type (1 byte), reserved (1), length (2), value.

Decoders take the item's value, the limits, and the offset of that value in the PDU (for error messages). They
copy what they keep and raise `RemoteProtocolError` for whatever does not fit into what encloses it. Encoders
raise `LocalProtocolError` for values that the wire cannot carry.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Self

from dcmnet import arguments
from dcmnet._records import dataclass
from dcmnet.errors import LocalProtocolError, RemoteProtocolError
from dcmnet.limits import Limits, Tolerance
from dcmnet.ul.fields import (
    decode_uid,
    decode_version_name,
    encode_uid,
    encode_version_name,
    escaped,
    uid_or_none,
)

APPLICATION_CONTEXT = 0x10
ABSTRACT_SYNTAX = 0x30
TRANSFER_SYNTAX = 0x40

_ITEM_HEADER = struct.Struct(">BxH")
_UINT16 = struct.Struct(">H")
_UINT32 = struct.Struct(">I")
_WINDOW = struct.Struct(">HH")


class ContextResult(enum.IntEnum):
    """Result/Reason of a presentation context in an A-ASSOCIATE-AC PDU (PS3.8 Table 9-18)."""

    ACCEPTANCE = 0
    USER_REJECTION = 1
    NO_REASON = 2
    ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
    TRANSFER_SYNTAXES_NOT_SUPPORTED = 4


# Decoding


def iterate_items(view: memoryview, offset: int, within: str) -> Iterator[tuple[int, int, memoryview]]:
    """Walk the items that fill `view` exactly.

    Args:
        view: The items, one behind the other.
        offset: Offset of `view` in the PDU.
        within: What encloses the items, for error messages.

    Yields:
        Type, offset of the value in the PDU, and value of each item.

    Raises:
        RemoteProtocolError: An item header or value goes beyond the end of `view`.
    """
    position, end = 0, len(view)
    while position < end:
        if end - position < 4:
            left, at = end - position, offset + position
            raise RemoteProtocolError(
                f"{within}: {left} bytes left at offset {at}, expected an item header of 4"
            )
        item_type, length = _ITEM_HEADER.unpack_from(view, position)
        position += 4
        if length > end - position:
            what = f"{within}: item {item_type:02X}H at offset {offset + position - 4}"
            raise RemoteProtocolError(f"{what} claims {length} bytes, expected at most {end - position}")
        yield item_type, offset + position, view[position : position + length]
        position += length


def _take(view: memoryview, position: int, count: int, item_type: int, offset: int) -> int:
    """The end of `count` bytes from `position`, checked against the end of the item."""
    end = position + count
    if end > len(view):
        what = f"item {item_type:02X}H: {len(view) - position} bytes left at offset {offset + position}"
        raise RemoteProtocolError(f"{what}, expected {count}")
    return end


def _take_field(view: memoryview, position: int, item_type: int, offset: int) -> tuple[int, int]:
    """Start and end of the field whose two-byte length is at `position`."""
    start = _take(view, position, 2, item_type, offset)
    (length,) = _UINT16.unpack_from(view, position)
    return start, _take(view, start, length, item_type, offset)


def _take_uid(view: memoryview, at: int, limits: Limits, item_type: int, offset: int) -> tuple[str, int]:
    """The UID behind its two-byte length, and where it ends."""
    start, end = _take_field(view, at, item_type, offset)
    return decode_uid(view[start:end], limits, item_type, offset + start), end


def _check_length(view: memoryview, expected: int, item_type: int, offset: int) -> None:
    """The value of an item has exactly `expected` bytes."""
    if len(view) != expected:
        what = f"item {item_type:02X}H at offset {offset - 4}"
        raise RemoteProtocolError(f"{what}: a length of {len(view)}, expected {expected}")


# Encoding


def encode_item(item_type: int, value: bytes) -> bytes:
    """An item. Raises LocalProtocolError for a value longer than 65535 bytes."""
    _check_number(len(value), 0xFFFF, f"the length of item {item_type:02X}H")
    return _ITEM_HEADER.pack(item_type, len(value)) + value


def _encode_field(value: bytes, what: str) -> bytes:
    _check_number(len(value), 0xFFFF, f"the length of {what}")
    return _UINT16.pack(len(value)) + value


def _check_number(value: int, largest: int, what: str) -> None:
    if not 0 <= value <= largest:
        raise LocalProtocolError(f"{what} is {value}, expected 0 to {largest}")


# Presentation contexts


@dataclass(frozen=True, slots=True)
class PresentationContextRQ:
    """A presentation context as proposed (PS3.8 9.3.2.2).

    Attributes:
        context_id: Presentation-context-ID, odd, 1 to 255.
        abstract_syntax: UID of the abstract syntax.
        transfer_syntaxes: UIDs of the transfer syntaxes, at least one.

    In one that was received, what came in the place of a UID is a quoted text, and what is missing is empty
    (`Tolerance.MALFORMED_CONTEXT`): a context to be refused.
    """

    ITEM_TYPE: ClassVar[int] = 0x20

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]

    def encode(self) -> bytes:
        """The item. Raises LocalProtocolError for a bad id or UID, or if there is no transfer syntax."""
        what = f"presentation context {self.context_id} ({self.abstract_syntax})"
        # PS3.8 9.3.2.2: Presentation-context-ID values shall be odd integers between 1 and 255.
        if not 1 <= self.context_id <= 255 or self.context_id % 2 == 0:
            raise LocalProtocolError(f"{what}: expected an odd id, 1 to 255")
        if not self.transfer_syntaxes:
            raise LocalProtocolError(f"{what}: name at least one transfer syntax")
        abstract_syntax = encode_item(ABSTRACT_SYNTAX, encode_uid(self.abstract_syntax, "abstract syntax"))
        transfer_syntaxes = b"".join(
            encode_item(TRANSFER_SYNTAX, encode_uid(uid, "transfer syntax")) for uid in self.transfer_syntaxes
        )
        value = bytes((self.context_id, 0, 0, 0)) + abstract_syntax + transfer_syntaxes
        return encode_item(self.ITEM_TYPE, value)

    @classmethod
    def decode(cls, view: memoryview, limits: Limits, offset: int = 4) -> Self:
        """Decode the item's value; sub-items of other types are passed over.

        Raises:
            RemoteProtocolError: A length does not fit, or there are more than `limits.max_transfer_syntaxes`
                transfer syntaxes. Unless it is tolerated: the id is even, a UID is none, there is not exactly
                one abstract syntax, or no transfer syntax.
        """
        _take(view, 0, 4, cls.ITEM_TYPE, offset)
        context_id = view[0]
        where = f"presentation context {context_id} (item 20H at offset {offset - 4})"
        # PS3.8 9.3.2.2: Presentation-context-ID values shall be odd integers between 1 and 255.
        if context_id % 2 == 0 and Tolerance.EVEN_CONTEXT_ID not in limits.tolerance:
            raise RemoteProtocolError(f"{where}: expected an odd id")
        abstract_syntaxes: list[str] = []
        transfer_syntaxes: list[str] = []
        for item_type, start, value in iterate_items(view[4:], offset + 4, where):
            if item_type == ABSTRACT_SYNTAX:
                abstract_syntaxes.append(_decode_syntax(value, limits, item_type, start))
            elif item_type == TRANSFER_SYNTAX:
                if len(transfer_syntaxes) >= limits.max_transfer_syntaxes:
                    most = limits.max_transfer_syntaxes
                    raise RemoteProtocolError(f"{where}: expected at most {most} transfer syntaxes")
                transfer_syntaxes.append(_decode_syntax(value, limits, item_type, start))
        if Tolerance.MALFORMED_CONTEXT not in limits.tolerance:
            _check_syntaxes(where, len(abstract_syntaxes), len(transfer_syntaxes))
        abstract_syntax = abstract_syntaxes[0] if len(abstract_syntaxes) == 1 else ""
        return cls(context_id, abstract_syntax, tuple(transfer_syntaxes))


def _decode_syntax(view: memoryview, limits: Limits, item_type: int, offset: int) -> str:
    return decode_uid(view, limits, item_type, offset, unless=Tolerance.MALFORMED_CONTEXT)


def _check_syntaxes(where: str, abstract_syntaxes: int, transfer_syntaxes: int) -> None:
    # PS3.8 9.3.2.2: one Abstract Syntax sub-item and one or more Transfer Syntax sub-items.
    if abstract_syntaxes != 1:
        raise RemoteProtocolError(f"{where}: expected an abstract syntax, there are {abstract_syntaxes}")
    if not transfer_syntaxes:
        raise RemoteProtocolError(f"{where}: expected a transfer syntax, there is none")


@dataclass(frozen=True, slots=True)
class PresentationContextAC:
    """The answer to a proposed presentation context (PS3.8 9.3.3.2).

    Attributes:
        context_id: Presentation-context-ID as proposed.
        result: A `ContextResult`; other values are passed on as they came.
        transfer_syntax: UID of the accepted transfer syntax; means nothing unless `result` is 0. If it was
            received and is no UID, a quoted text; "" if there was not exactly one.
    """

    ITEM_TYPE: ClassVar[int] = 0x21

    context_id: int
    result: int
    transfer_syntax: str

    def encode(self) -> bytes:
        """The item. Raises LocalProtocolError for a number out of range or a malformed UID."""
        _check_number(self.context_id, 255, "the presentation context id")
        _check_number(self.result, 255, "the result of a presentation context")
        raw = b""
        if self.transfer_syntax or self.result == ContextResult.ACCEPTANCE:
            raw = encode_uid(self.transfer_syntax, "transfer syntax")
        value = bytes((self.context_id, 0, self.result, 0)) + encode_item(TRANSFER_SYNTAX, raw)
        return encode_item(self.ITEM_TYPE, value)

    @classmethod
    def decode(cls, view: memoryview, limits: Limits, offset: int = 4) -> Self:
        """Decode the item's value; a transfer syntax that means nothing and is not a UID becomes "".

        Raises:
            RemoteProtocolError: A length does not fit, or, unless that is tolerated, the context was accepted
                without exactly one valid transfer syntax.
        """
        _take(view, 0, 4, cls.ITEM_TYPE, offset)
        context_id, result = view[0], view[2]
        if result != ContextResult.ACCEPTANCE:
            # PS3.8 Table 9-18: the transfer syntax is not significant and not tested unless accepted.
            return cls(context_id, result, uid_or_none(view[8:], limits.tolerance) or "")
        where = f"presentation context {context_id} (item 21H at offset {offset - 4})"
        found = [item for item in iterate_items(view[4:], offset + 4, where) if item[0] == TRANSFER_SYNTAX]
        # PS3.8 Table 9-18: one Transfer Syntax sub-item.
        if len(found) != 1:
            if Tolerance.MALFORMED_CONTEXT in limits.tolerance:
                return cls(context_id, result, "")
            raise RemoteProtocolError(f"{where}: expected one transfer syntax, there are {len(found)}")
        _, start, value = found[0]
        return cls(context_id, result, _decode_syntax(value, limits, TRANSFER_SYNTAX, start))


# User information


@dataclass(frozen=True, slots=True)
class AsynchronousOperationsWindow:
    """Asynchronous operations window (PS3.7 D.3.3.3); 0 means unlimited.

    Attributes:
        max_invoked: Operations that the requestor may have outstanding, 0 to 65535.
        max_performed: Operations that the acceptor may have outstanding, 0 to 65535.
    """

    ITEM_TYPE: ClassVar[int] = 0x53

    max_invoked: int
    max_performed: int

    def encode(self) -> bytes:
        """The sub-item. Raises LocalProtocolError for a number beyond 65535."""
        _check_number(self.max_invoked, 0xFFFF, "the maximum number of operations invoked")
        _check_number(self.max_performed, 0xFFFF, "the maximum number of operations performed")
        return encode_item(self.ITEM_TYPE, _WINDOW.pack(self.max_invoked, self.max_performed))

    @classmethod
    def decode(cls, view: memoryview, limits: Limits, offset: int = 4) -> Self:
        """Decode the sub-item's value. Raises RemoteProtocolError unless it has four bytes."""
        _check_length(view, 4, cls.ITEM_TYPE, offset)
        return cls(*_WINDOW.unpack(view))


@dataclass(frozen=True, slots=True)
class RoleSelection:
    """SCP/SCU role selection of one SOP class (PS3.7 D.3.3.4).

    Attributes:
        sop_class_uid: UID of the SOP class or meta SOP class.
        scu_role: The requestor may be (RQ), is accepted as (AC) SCU.
        scp_role: The requestor may be (RQ), is accepted as (AC) SCP.
    """

    ITEM_TYPE: ClassVar[int] = 0x54

    sop_class_uid: str
    scu_role: bool
    scp_role: bool

    def encode(self) -> bytes:
        """The sub-item. Raises LocalProtocolError for a malformed UID."""
        uid = _encode_field(encode_uid(self.sop_class_uid, "SOP class"), "a SOP class UID")
        return encode_item(self.ITEM_TYPE, uid + bytes((self.scu_role, self.scp_role)))

    @classmethod
    def decode(cls, view: memoryview, limits: Limits, offset: int = 4) -> Self:
        """Decode the sub-item's value. Raises RemoteProtocolError if UID and roles do not fill it exactly."""
        uid, end = _take_uid(view, 0, limits, cls.ITEM_TYPE, offset)
        _check_length(view, end + 2, cls.ITEM_TYPE, offset)
        return cls(uid, view[end] != 0, view[end + 1] != 0)


@dataclass(frozen=True, slots=True)
class SOPClassExtendedNegotiation:
    """Service-class-specific information for one SOP class (PS3.7 D.3.3.5).

    Attributes:
        sop_class_uid: UID of the SOP class.
        application_information: Its bytes, defined by the service class in PS3.4.
    """

    ITEM_TYPE: ClassVar[int] = 0x56

    sop_class_uid: str
    application_information: bytes

    def encode(self) -> bytes:
        """The sub-item. Raises LocalProtocolError for a malformed UID or too many bytes."""
        uid = _encode_field(encode_uid(self.sop_class_uid, "SOP class"), "a SOP class UID")
        return encode_item(self.ITEM_TYPE, uid + self.application_information)

    @classmethod
    def decode(cls, view: memoryview, limits: Limits, offset: int = 4) -> Self:
        """Decode the sub-item's value. Raises RemoteProtocolError if the UID does not fit."""
        uid, end = _take_uid(view, 0, limits, cls.ITEM_TYPE, offset)
        return cls(uid, bytes(view[end:]))


@dataclass(frozen=True, slots=True)
class SOPClassCommonExtendedNegotiation:
    """Service class and generalizations of one SOP class (PS3.7 D.3.3.6); only a requestor sends it.

    Attributes:
        sop_class_uid: UID of the SOP class.
        service_class_uid: UID of its service class.
        related_general_sop_classes: UIDs of the SOP classes that it specializes.
    """

    ITEM_TYPE: ClassVar[int] = 0x57

    sop_class_uid: str
    service_class_uid: str
    related_general_sop_classes: tuple[str, ...] = ()

    def encode(self) -> bytes:
        """The sub-item, version 0. Raises LocalProtocolError for a malformed UID or too many of them."""
        related = b"".join(
            _encode_field(encode_uid(uid, "related general SOP class"), "a SOP class UID")
            for uid in self.related_general_sop_classes
        )
        value = (
            _encode_field(encode_uid(self.sop_class_uid, "SOP class"), "a SOP class UID")
            + _encode_field(encode_uid(self.service_class_uid, "service class"), "a service class UID")
            + _encode_field(related, "the related general SOP classes")
        )
        return encode_item(self.ITEM_TYPE, value)

    @classmethod
    def decode(cls, view: memoryview, limits: Limits, offset: int = 4) -> Self:
        """Decode the sub-item's value. Raises RemoteProtocolError for a bad length or too many UIDs."""
        sop_class_uid, end = _take_uid(view, 0, limits, cls.ITEM_TYPE, offset)
        service_class_uid, end = _take_uid(view, end, limits, cls.ITEM_TYPE, offset)
        # PS3.7 Table D.3-12: what is behind the list is reserved for later versions of the sub-item.
        position, end = _take_field(view, end, cls.ITEM_TYPE, offset)
        related: list[str] = []
        while position < end:
            if len(related) >= limits.max_user_items:
                what = f"item 57H at offset {offset - 4}"
                raise RemoteProtocolError(f"{what}: expected at most {limits.max_user_items} SOP classes")
            uid, position = _take_uid(view[:end], position, limits, cls.ITEM_TYPE, offset)
            related.append(uid)
        return cls(sop_class_uid, service_class_uid, tuple(related))


@dataclass(frozen=True, slots=True, repr=False)
class UserIdentityRQ:
    """The identity of the requesting user (PS3.7 D.3.3.7.1). Its repr never shows the fields.

    Attributes:
        identity_type: 1 user name, 2 user name and passcode, 3 Kerberos ticket, 4 SAML, 5 JWT.
        primary_field: User name, ticket, assertion or token.
        secondary_field: Passcode; only with type 2.
        positive_response_requested: The acceptor is asked for a `UserIdentityAC`.
    """

    ITEM_TYPE: ClassVar[int] = 0x58

    identity_type: int
    primary_field: bytes
    secondary_field: bytes = b""
    positive_response_requested: bool = False

    def __post_init__(self) -> None:
        arguments.check_types(self)

    def __repr__(self) -> str:
        return (
            f"UserIdentityRQ(identity_type={self.identity_type}, "
            f"primary_field=<{len(self.primary_field)} bytes>, "
            f"secondary_field=<{len(self.secondary_field)} bytes>, "
            f"positive_response_requested={self.positive_response_requested})"
        )

    def encode(self) -> bytes:
        """The sub-item. Raises LocalProtocolError for a type or length that does not fit."""
        _check_number(self.identity_type, 255, "the user identity type")
        value = (
            bytes((self.identity_type, self.positive_response_requested))
            + _encode_field(self.primary_field, "the primary field of the user identity")
            + _encode_field(self.secondary_field, "the secondary field of the user identity")
        )
        return encode_item(self.ITEM_TYPE, value)

    @classmethod
    def decode(cls, view: memoryview, limits: Limits, offset: int = 4) -> Self:
        """Decode the sub-item's value. Raises RemoteProtocolError if the fields do not fill it exactly."""
        position = _take(view, 0, 2, cls.ITEM_TYPE, offset)
        primary, primary_end = _take_field(view, position, cls.ITEM_TYPE, offset)
        secondary, secondary_end = _take_field(view, primary_end, cls.ITEM_TYPE, offset)
        _check_length(view, secondary_end, cls.ITEM_TYPE, offset)
        fields = bytes(view[primary:primary_end]), bytes(view[secondary:secondary_end])
        return cls(view[0], *fields, view[1] != 0)


@dataclass(frozen=True, slots=True, repr=False)
class UserIdentityAC:
    """The acceptor's answer to a `UserIdentityRQ` (PS3.7 D.3.3.7.2). Its repr never shows the response.

    Attributes:
        server_response: Kerberos service ticket, SAML response or JWT; empty for types 1 and 2.
    """

    ITEM_TYPE: ClassVar[int] = 0x59

    server_response: bytes

    def __repr__(self) -> str:
        return f"UserIdentityAC(server_response=<{len(self.server_response)} bytes>)"

    def encode(self) -> bytes:
        """The sub-item. Raises LocalProtocolError for a response beyond 65533 bytes."""
        return encode_item(self.ITEM_TYPE, _encode_field(self.server_response, "the server response"))

    @classmethod
    def decode(cls, view: memoryview, limits: Limits, offset: int = 4) -> Self:
        """Decode the sub-item's value. Raises RemoteProtocolError if the response does not fill it."""
        start, end = _take_field(view, 0, cls.ITEM_TYPE, offset)
        _check_length(view, end, cls.ITEM_TYPE, offset)
        return cls(bytes(view[start:end]))


def _encode_max_length(max_length: int) -> bytes:
    _check_number(max_length, 0xFFFFFFFF, "the maximum PDU length")
    return encode_item(0x51, _UINT32.pack(max_length))


def _decode_max_length(view: memoryview, limits: Limits, offset: int) -> int | None:
    if len(view) != 4 and Tolerance.BAD_MAXIMUM_LENGTH in limits.tolerance:
        return None
    # PS3.8 D.1.1: the Maximum Length sub-item has a length of four.
    _check_length(view, 4, 0x51, offset)
    return int.from_bytes(view, "big")


def _encode_class_uid(uid: str) -> bytes:
    return encode_item(0x52, encode_uid(uid, "implementation class"))


def _decode_class_uid(view: memoryview, limits: Limits, offset: int) -> str:
    if not view and Tolerance.MISSING_IMPLEMENTATION_CLASS_UID in limits.tolerance:
        return ""
    if Tolerance.MALFORMED_ITEM in limits.tolerance and uid_or_none(view, limits.tolerance) is None:
        return escaped(view)  # only ever shown to people, as the version name
    return decode_uid(view, limits, 0x52, offset)


def _encode_version_name(name: str) -> bytes:
    return encode_item(0x55, encode_version_name(name))


def _decode_version_name(view: memoryview, limits: Limits, offset: int) -> str:
    return decode_version_name(view)


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of the table of user-information sub-items; one that is `needed` is not passed over."""

    field: str
    value_type: Any
    repeated: bool = False
    needed: bool = False
    decode: Callable[[memoryview, Limits, int], object] | None = None
    encode: Callable[[Any], bytes] | None = None


# PS3.8 D.1, PS3.7 D.3.3: the sub-items in the order they are sent; those without a row are passed over.
# A value type that is a sub-item of its own brings its codec.
_SUB_ITEMS = {
    0x51: _Row("max_length", int, False, True, _decode_max_length, _encode_max_length),
    0x52: _Row("implementation_class_uid", str, False, False, _decode_class_uid, _encode_class_uid),
    0x53: _Row("asynchronous_operations_window", AsynchronousOperationsWindow),
    0x54: _Row("role_selections", RoleSelection, True),
    0x55: _Row("implementation_version_name", str, False, False, _decode_version_name, _encode_version_name),
    0x56: _Row("extended_negotiations", SOPClassExtendedNegotiation, True),
    0x57: _Row("common_extended_negotiations", SOPClassCommonExtendedNegotiation, True),
    0x58: _Row("user_identity", UserIdentityRQ, needed=True),
    0x59: _Row("user_identity", UserIdentityAC),
}


@dataclass(frozen=True, slots=True)
class UserInformation:
    """The User Information item (PS3.8 9.3.2.3, Annex D; PS3.7 D.3.3).

    Attributes:
        max_length: Largest P-DATA-TF PDU that its sender takes, in bytes behind the PDU header; 0 no limit,
            None when not told.
        implementation_class_uid: "" when not told.
        implementation_version_name: "" when not told.
        asynchronous_operations_window: None when not proposed or answered.
        role_selections: One a SOP class.
        extended_negotiations: One a SOP class.
        common_extended_negotiations: One a SOP class; only from a requestor.
        user_identity: `UserIdentityRQ` from a requestor, `UserIdentityAC` from an acceptor.
    """

    ITEM_TYPE: ClassVar[int] = 0x50

    max_length: int | None = None
    implementation_class_uid: str = ""
    implementation_version_name: str = ""
    asynchronous_operations_window: AsynchronousOperationsWindow | None = None
    role_selections: tuple[RoleSelection, ...] = ()
    extended_negotiations: tuple[SOPClassExtendedNegotiation, ...] = ()
    common_extended_negotiations: tuple[SOPClassCommonExtendedNegotiation, ...] = ()
    user_identity: UserIdentityRQ | UserIdentityAC | None = None

    def encode(self) -> bytes:
        """The item, sub-items by type. Raises LocalProtocolError if a value, or the whole, does not fit."""
        parts: list[bytes] = []
        for row in _SUB_ITEMS.values():
            value = getattr(self, row.field)
            values = value if row.repeated else (value,)
            encode = row.encode or row.value_type.encode
            parts += [encode(each) for each in values if isinstance(each, row.value_type) and each != ""]
        return encode_item(self.ITEM_TYPE, b"".join(parts))

    @classmethod
    def decode(cls, view: memoryview, limits: Limits, offset: int = 4) -> Self:
        """Decode the item's value; of a sub-item that may come once, the last one counts.

        Raises:
            RemoteProtocolError: A length does not fit, there are too many sub-items, or a value is malformed
                that is needed or not tolerated.
        """
        found: dict[str, Any] = {}
        where = f"user information at offset {offset - 4}"
        for count, (item_type, start, value) in enumerate(iterate_items(view, offset, where)):
            if count >= limits.max_user_items:
                raise RemoteProtocolError(f"{where}: expected at most {limits.max_user_items} sub-items")
            # PS3.8 9.3.1: items of unrecognized types are ignored.
            row = _SUB_ITEMS.get(item_type)
            decoded = None if row is None else _decode_sub_item(row, value, limits, start)
            if row is not None and decoded is not None:
                found[row.field] = (*found.get(row.field, ()), decoded) if row.repeated else decoded
        return cls(**found)


def _decode_sub_item(row: _Row, value: memoryview, limits: Limits, offset: int) -> object | None:
    """The value of a sub-item; None if it is to be passed over."""
    try:
        return (row.decode or row.value_type.decode)(value, limits, offset)
    except RemoteProtocolError:
        if row.needed or Tolerance.MALFORMED_ITEM not in limits.tolerance:
            raise
        return None
