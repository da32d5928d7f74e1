"""Command Set codec: group 0000 in Implicit VR Little Endian (PS3.7 6.3 and Annex E).

A Command Set is small and its elements are few and fixed, so it has a codec of its own: one table of
elements, one loop in each direction, integers and strings out. What the elements mean is for
`dcmnet.dimse.messages`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from dcmnet.errors import LocalProtocolError, RemoteProtocolError
from dcmnet.limits import MAX_UID_LENGTH, Limits, Tolerance
from dcmnet.payload import Buffer

Value: TypeAlias = "int | str | tuple[int, ...]"
"""UI, AE, LO are strings without padding, US and UL integers, AT a tuple of tags, group << 16 | element."""


class Element(NamedTuple):
    """One command element: (0000,`number`), its keyword in snake case and its VR."""

    number: int
    keyword: str
    vr: str


# PS3.7 E.1, Table E.1-1.
ELEMENTS = (
    Element(0x0000, "command_group_length", "UL"),
    Element(0x0002, "affected_sop_class_uid", "UI"),
    Element(0x0003, "requested_sop_class_uid", "UI"),
    Element(0x0100, "command_field", "US"),
    Element(0x0110, "message_id", "US"),
    Element(0x0120, "message_id_being_responded_to", "US"),
    Element(0x0600, "move_destination", "AE"),
    Element(0x0700, "priority", "US"),
    Element(0x0800, "command_data_set_type", "US"),
    Element(0x0900, "status", "US"),
    Element(0x0901, "offending_element", "AT"),
    Element(0x0902, "error_comment", "LO"),
    Element(0x0903, "error_id", "US"),
    Element(0x1000, "affected_sop_instance_uid", "UI"),
    Element(0x1001, "requested_sop_instance_uid", "UI"),
    Element(0x1002, "event_type_id", "US"),
    Element(0x1005, "attribute_identifier_list", "AT"),
    Element(0x1008, "action_type_id", "US"),
    Element(0x1020, "number_of_remaining_suboperations", "US"),
    Element(0x1021, "number_of_completed_suboperations", "US"),
    Element(0x1022, "number_of_failed_suboperations", "US"),
    Element(0x1023, "number_of_warning_suboperations", "US"),
    Element(0x1030, "move_originator_ae_title", "AE"),
    Element(0x1031, "move_originator_message_id", "US"),
)

MAX_AE_TITLE_LENGTH = 16
MAX_ERROR_COMMENT_LENGTH = 64

# A tag read as one little-endian number is element << 16 | group: in group 0000 the low half is zero.
HEADER = struct.Struct("<LL")
UL_VALUE = struct.Struct("<L")
_US_ELEMENT = struct.Struct("<LLH")
_UL_ELEMENT = struct.Struct("<LLL")
_AT_VALUE = struct.Struct("<HH")

_UID_CHARACTERS = b"0123456789."
_LEADING_ZERO = re.compile(rb"(?:\A|\.)0[0-9]")
_EMPTY_COMPONENT = re.compile(rb"\A\.|\.\.|\.\Z")
# PS3.5 6.2: AE and LO exclude backslash and control characters; a Command Set has the default repertoire.
_NOT_TEXT = re.compile(rb"[^ -\[\]-~]")

_PADDED_UID = Tolerance.PADDED_UID.value
_NONCONFORMING_UID = Tolerance.NONCONFORMING_UID.value
_MALFORMED_ELEMENT = Tolerance.MALFORMED_ELEMENT.value
_LONG_US = Tolerance.LONG_US.value
_FOREIGN_ELEMENT = Tolerance.FOREIGN_ELEMENT.value
_NO_FAULTS: Mapping[int, RemoteProtocolError] = {}


def encode_command(fields: Mapping[int, Value]) -> bytes:
    """Encode a Command Set, Command Group Length first, the rest in ascending order (PS3.7 6.3.1).

    Args:
        fields: Values by element number; (0000,0000) is worked out and may be left out.

    Returns:
        The Command Set; its length is even.

    Raises:
        LocalProtocolError: An element is not in PS3.7 E.1, or its value does not fit its VR.
    """
    parts = []
    for number in sorted(fields):
        value = fields[number]
        try:
            if number in _US_NUMBERS:
                parts.append(_US_ELEMENT.pack(number << 16, 2, value))
            elif number:
                raw = _ENCODERS[number](value)
                parts.append(HEADER.pack(number << 16, len(raw)))
                parts.append(raw)
        except KeyError:
            raise LocalProtocolError(f"(0000,{number:04X}) is not a command element of PS3.7 E.1") from None
        except (ValueError, TypeError, AttributeError, struct.error) as error:
            raise LocalProtocolError(f"{_describe(number)} cannot be {value!r}: {error}") from None
    body = b"".join(parts)
    return _UL_ELEMENT.pack(0, 4, len(body)) + body


def decode_command(view: Buffer, limits: Limits) -> dict[int, Value]:
    """Decode a Command Set in which every value is needed.

    Elements that PS3.7 E.1 does not list are passed over, empty ones count as absent, any order is taken, and
    of an element that comes twice the last one counts.

    Args:
        view: The whole Command Set; nothing of the result refers to it.
        limits: Its length and the tolerances.

    Returns:
        Values by element number, (0000,0000) among them if it was sent.

    Raises:
        RemoteProtocolError: The bytes are no Command Set, or a value is malformed; source service-user.
    """
    fields, faults = read_command(view, limits)
    for fault in faults.values():
        raise fault
    return fields


def read_command(view: Buffer, limits: Limits) -> tuple[dict[int, Value], Mapping[int, RemoteProtocolError]]:
    """Decode a Command Set, of which perhaps not every value is needed.

    Args:
        view: The whole Command Set; nothing of the result refers to it.
        limits: Its length and the tolerances.

    Returns:
        Values by element number, as `decode_command` gives them; and for each malformed one what is wrong
        with it. A malformed text is among the values as it came, UIDs escaped, a malformed number is not.

    Raises:
        RemoteProtocolError: The bytes are no Command Set; a value is malformed, and that is not tolerated.
    """
    end = len(view)
    if end > limits.max_command_set_length:
        raise command_error(f"Command Set of {end} bytes; the limit is {limits.max_command_set_length}")
    tolerance: int = limits.tolerance._value_
    known = _SHAPES.get(end)
    if known is not None and (found := known.read(view, tolerance)) is not None:
        return found, _NO_FAULTS
    # Two bytes more, so that a header and the US that mostly follows it can be read in one go.
    data = bytes(view) + b"\0\0"
    headers: list[tuple[int, int]] = []
    fields: dict[int, Value] = {}
    faults: dict[int, RemoteProtocolError] = {}
    offset = 0
    while offset < end:
        if end - offset < 8:
            raise command_error(
                f"Command Set ends within an element header, {end - offset} bytes from its end"
            )
        tag, length, first = _US_ELEMENT.unpack_from(data, offset)
        offset += 8
        if length > end - offset:
            raise _bad_header(tag, offset, f"claims {length} bytes, {end - offset} are left")
        headers.append((tag, length))
        if length == 2 and tag in US_TAGS:
            fields[tag >> 16] = first
        elif tag in _DECODERS:
            _decode_element(tag, data[offset : offset + length], tolerance, fields, faults)
        elif tag & 0xFFFF and not tolerance & _FOREIGN_ELEMENT:
            # PS3.7 6.3: a Command Set has elements of group 0000.
            raise _bad_header(tag, offset, "is not in group 0000")
        offset += length
    _check_group_length(fields, end, limits.tolerance)
    if not faults:
        _learn(end, headers)
    return fields, faults


def _decode_element(
    tag: int, raw: bytes, tolerance: int, fields: dict[int, Value], faults: dict[int, RemoteProtocolError]
) -> None:
    """Add a value, or what is wrong with it; of an element that comes twice the last one counts."""
    number = tag >> 16
    if not raw:
        return
    try:
        value = _DECODERS[tag](raw, tag, tolerance)
    except RemoteProtocolError as fault:
        if not tolerance & _MALFORMED_ELEMENT:
            raise
        faults[number] = fault
        value = _KEPT_OF_VR.get(_VRS[number], _not_kept)(raw)
    else:
        faults.pop(number, None)
    if value is not None:
        fields[number] = value


class _Shape:
    """The layout of a Command Set that has been decoded: those that follow mostly have the same.

    Args:
        headers: Tag, as `HEADER` reads it, and length of each element.
    """

    __slots__ = ("_headers", "_numbers", "_texts", "_unpack")

    def __init__(self, headers: list[tuple[int, int]]) -> None:
        numbers = [tag >> 16 for tag, _ in headers]
        values = "".join(
            f"8s{_SHAPE_OF_VR.get(_VRS[number], f'{length}s')}"
            for number, (_, length) in zip(numbers, headers, strict=True)
        )
        self._unpack = struct.Struct(f"<{values}").unpack
        self._headers = tuple(HEADER.pack(*header) for header in headers)
        self._numbers = tuple(numbers)
        self._texts = tuple(
            (number, _DECODERS[number << 16]) for number in numbers if _VRS[number] not in _SHAPE_OF_VR
        )

    def read(self, view: Buffer, tolerance: int) -> dict[int, Value] | None:
        """The values of a Command Set as long as the one that it was made from.

        Returns:
            None if it is another, or a value is malformed.
        """
        parts = self._unpack(view)
        if parts[::2] != self._headers or parts[1] != len(view) - 12:
            return None
        fields: dict[int, Any] = dict(zip(self._numbers, parts[1::2], strict=True))
        for number, decode in self._texts:
            try:
                value = decode(fields[number], number << 16, tolerance)
            except RemoteProtocolError:
                return None
            if value is None:
                del fields[number]
            else:
                fields[number] = value
        return fields


def missing_elements(name: str, required: frozenset[int], elements: Mapping[int, Value]) -> str:
    """Which elements a message should have, and has not."""
    missing = sorted(required - elements.keys())
    names = ", ".join(f"(0000,{number:04X}) {_KEYWORDS[number]}" for number in missing)
    return f"{name} without {names}"


def _learn(length: int, headers: list[tuple[int, int]]) -> None:
    """Remember the layout of a Command Set of that length, where it is an ordinary one."""
    numbers = {tag >> 16 for tag, _ in headers if tag in _DECODERS}
    ordinary = len(numbers) == len(headers) > 0 == headers[0][0]
    if ordinary and all(length == 2 if tag in US_TAGS else length for tag, length in headers):
        if len(_SHAPES) >= _MAX_SHAPES:
            _SHAPES.clear()
        _SHAPES[length] = _Shape(headers)


def command_error(message: str) -> RemoteProtocolError:
    """What a faulty message raises: to be answered by an A-ABORT of the service-user (PS3.8 Table 9-26)."""
    return RemoteProtocolError(message, source=0, reason=0)


def clean_error_comment(text: str) -> str:
    """Any text as an Error Comment (0000,0902) can carry it: LO, 64 characters of the default repertoire."""
    kept = _NOT_TEXT.sub(b" ", text.encode("ascii", "replace"))
    return b" ".join(kept.split())[:MAX_ERROR_COMMENT_LENGTH].rstrip().decode("ascii")


def _describe(number: int) -> str:
    return f"{_KEYWORDS[number]} (0000,{number:04X})"


def _bad_header(tag: int, offset: int, what: str) -> RemoteProtocolError:
    where = f"({tag & 0xFFFF:04X},{tag >> 16:04X}) at offset {offset - 8}"
    return command_error(f"Command Set element {where} {what}")


def _bad_value(tag: int, raw: bytes, what: str) -> RemoteProtocolError:
    return command_error(f"{_describe(tag >> 16)} {what}: {raw[:80]!r}")


def _check_group_length(fields: Mapping[int, Value], end: int, tolerance: Tolerance) -> None:
    # PS3.7 6.3.1: the bytes from the end of this element's value to the end of the Command Set.
    stated = fields.get(0)
    if stated == end - 12 or tolerance & Tolerance.MISSING_GROUP_LENGTH:
        return
    if stated is None:
        raise command_error("Command Set without Command Group Length (0000,0000)")
    raise command_error(f"Command Group Length (0000,0000) is {stated}, but {end - 12} bytes follow it")


def encode_uid(value: str) -> bytes:
    """A UID as the value of an element. Raises ValueError if it is none."""
    raw = value.encode("ascii")
    if raw.translate(None, _UID_CHARACTERS) or not 0 < len(raw) <= MAX_UID_LENGTH:
        raise ValueError("a UID has 1 to 64 digits and dots")
    # PS3.5 9.1: a UID is padded with one NUL to an even length.
    return raw + b"\0" if len(raw) & 1 else raw


def _encode_text(value: str, longest: int) -> bytes:
    raw = value.encode("ascii")
    if len(raw) > longest:
        raise ValueError(f"it is longer than {longest} characters")
    if _NOT_TEXT.search(raw):
        raise ValueError("it has a backslash or a control character")
    # PS3.5 6.2: AE and LO are padded with a space.
    return raw + b" " if len(raw) & 1 else raw


def _encode_ae(value: str) -> bytes:
    return _encode_text(value, MAX_AE_TITLE_LENGTH)


def _encode_lo(value: str) -> bytes:
    return _encode_text(value, MAX_ERROR_COMMENT_LENGTH)


def _encode_at(value: tuple[int, ...]) -> bytes:
    # PS3.5 6.2: an AT value is two 16-bit numbers, group and element, each in the byte order of the data set.
    return b"".join([_AT_VALUE.pack(tag >> 16, tag & 0xFFFF) for tag in value])


def decode_uid(raw: bytes, tag: int, tolerance: int) -> str | None:
    """The UID that is the value of an element, None if it is all padding. Raises RemoteProtocolError."""
    text = raw[:-1] if raw[-1] == 0 else raw
    if not text or text.translate(None, _UID_CHARACTERS):
        text = _unpad(raw, tag, tolerance)
    if len(text) > MAX_UID_LENGTH:
        raise _bad_value(tag, raw, f"has {len(text)} characters, a UID has 64 at most")
    if not tolerance & _NONCONFORMING_UID and (_LEADING_ZERO.search(text) or _EMPTY_COMPONENT.search(text)):
        raise _bad_value(tag, raw, "breaks PS3.5 9.1 (a leading zero or an empty component)")
    return text.decode("ascii") or None


def _unpad(raw: bytes, tag: int, tolerance: int) -> bytes:
    text = raw.rstrip(b" \0")
    if text.translate(None, _UID_CHARACTERS):
        raise _bad_value(tag, raw, "has other characters than digits and dots")
    if not tolerance & _PADDED_UID:
        raise _bad_value(tag, raw, "is padded with more than one NUL, or with spaces")
    return text


def _decode_ae(raw: bytes, tag: int, _tolerance: int) -> str | None:
    if len(raw) > MAX_AE_TITLE_LENGTH:
        raise _bad_value(tag, raw, f"has {len(raw)} bytes, an AE title has 16 at most")
    # PS3.5 6.2: leading and trailing spaces of an AE are not significant.
    text = raw.strip(b" \0")
    if _NOT_TEXT.search(text):
        raise _bad_value(tag, raw, "has characters that an AE title cannot have")
    return text.decode("ascii") or None


def _decode_lo(raw: bytes, _tag: int, _tolerance: int) -> str | None:
    # For people to read: what is wrong with it is no reason to end an association.
    text = raw.strip(b" \0")
    try:
        return text.decode("utf-8") or None
    except UnicodeDecodeError as error:
        # PS3.7 E.1 allows ASCII alone. What is no UTF-8 is taken for Latin-1, which has a character for each
        # byte, unless characters before show that it is UTF-8 that was cut off.
        is_utf_8 = not text[: error.start].isascii()
        return text.decode("utf-8", "replace") if is_utf_8 else text.decode("latin-1")


def _decode_at(raw: bytes, tag: int, _tolerance: int) -> tuple[int, ...]:
    if len(raw) % 4:
        raise _bad_value(tag, raw, f"has {len(raw)} bytes, an AT has 4 a tag")
    return tuple([group << 16 | element for group, element in _AT_VALUE.iter_unpack(raw)])


def _decode_us(raw: bytes, tag: int, tolerance: int) -> int:
    # One of two bytes never comes here.
    if len(raw) != 4 or not tolerance & _LONG_US:
        raise _bad_value(tag, raw, f"has {len(raw)} bytes, a US has 2")
    value = int.from_bytes(raw, "little")
    # Sub-operations may be more than a US can count; any other number has to be sent back as a US.
    if value > 0xFFFF and tag not in _COUNTS:
        raise _bad_value(tag, raw, f"is {value}, a US is 65535 at most")
    return value


def _decode_ul(raw: bytes, tag: int, _tolerance: int) -> int:
    if len(raw) != 4:
        raise _bad_value(tag, raw, f"has {len(raw)} bytes, a UL has 4")
    value: int = UL_VALUE.unpack(raw)[0]
    return value


def _keep_uid(raw: bytes) -> str:
    return raw.decode("latin-1").encode("unicode_escape").decode("ascii")


def _keep_ae(raw: bytes) -> str:
    return raw.strip(b" \0").decode("latin-1")


def _keep_at(raw: bytes) -> tuple[int, ...]:
    return _decode_at(raw[: len(raw) & ~3], 0, 0)


def _not_kept(_raw: bytes) -> None:
    """A number of the wrong length says nothing."""


_VRS = {element.number: element.vr for element in ELEMENTS}
_SHAPE_OF_VR = {"US": "H", "UL": "L"}
_MAX_SHAPES = 64
_SHAPES: dict[int, _Shape] = {}
_KEYWORDS = {element.number: element.keyword for element in ELEMENTS}
_US_NUMBERS = frozenset(element.number for element in ELEMENTS if element.vr == "US")
US_TAGS = frozenset(number << 16 for number in _US_NUMBERS)
_COUNTS = frozenset(number << 16 for number in (0x1020, 0x1021, 0x1022, 0x1023))

_ENCODER_OF_VR: dict[str, Callable[..., bytes]] = {
    "UI": encode_uid,
    "AE": _encode_ae,
    "LO": _encode_lo,
    "AT": _encode_at,
}
_DECODER_OF_VR: dict[str, Callable[[bytes, int, int], Value | None]] = {
    "UI": decode_uid,
    "AE": _decode_ae,
    "LO": _decode_lo,
    "AT": _decode_at,
    "US": _decode_us,
    "UL": _decode_ul,
}
_KEPT_OF_VR: dict[str, Callable[[bytes], Value | None]] = {
    "UI": _keep_uid,
    "AE": _keep_ae,
    "AT": _keep_at,
}
"""What becomes of a malformed value that the message does not need."""
_ENCODERS = {e.number: _ENCODER_OF_VR[e.vr] for e in ELEMENTS if e.vr in _ENCODER_OF_VR}
_DECODERS = {e.number << 16: _DECODER_OF_VR[e.vr] for e in ELEMENTS}
