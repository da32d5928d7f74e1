"""Which object a data set is: its SOP Class UID and SOP Instance UID, from its first bytes."""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache

from dcmnet._records import dataclass
from dcmnet.limits import Tolerance
from dcmnet.payload import Buffer
from dcmnet.registry import transfer_syntaxes
from dcmnet.registry.uids import is_valid_uid
from dcmnet.storage.elements import (
    EXPLICIT_LITTLE,
    HEAD_LENGTH,
    ITEM_GROUP,
    SHORT_VRS,
    Encoding,
    Window,
    element_at,
    encoding_of,
    end_of,
)

SOP_CLASS_UID = 0x00080016
SOP_INSTANCE_UID = 0x00080018
_IDENTIFIERS = (SOP_CLASS_UID, SOP_INSTANCE_UID)

_LONGEST_TEXT = 256
_LONGEST_OPENING = 1024


@dataclass(frozen=True, slots=True)
class Identifiers:
    """What the start of a data set says that it is; a text is empty when the attribute was not found.

    Attributes:
        sop_class_uid: SOP Class UID (0008,0016).
        sop_instance_uid: SOP Instance UID (0008,0018).
        complete: Whether this is final: both were found, or an element behind the place of the last one.
            False when the bytes ended before that, or are malformed.
    """

    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    complete: bool = False


def scan_identifiers(head: Buffer, transfer_syntax: str, *, uid_checks: bool = True) -> Identifiers:
    """Read the SOP Class and SOP Instance UIDs at the start of a data set.

    Sequences in front of them are passed over, of defined and undefined length, up to `MAX_SEQUENCE_DEPTH`
    deep. A deflated data set is inflated up to `HEAD_LENGTH` bytes. Malformed bytes are not an error: what
    was found before them is returned, with `complete` False.

    Args:
        head: The data set's first bytes, from its first element.
        transfer_syntax: UID of its transfer syntax; one that is unknown counts as Explicit VR Little Endian.
        uid_checks: Whether a value that is no UID counts as malformed.
    """
    if transfer_syntaxes.is_deflated(transfer_syntax):
        head = _inflate(head)
    found: dict[int, str] = {}
    complete = _collect(Window(head), encoding_of(transfer_syntax), found, uid_checks)
    return Identifiers(
        sop_class_uid=found.get(SOP_CLASS_UID, ""),
        sop_instance_uid=found.get(SOP_INSTANCE_UID, ""),
        complete=complete,
    )


def _inflate(head: Buffer) -> bytes:
    # PS3.5 A.5: a raw deflate stream (RFC 1951), without the header and checksum of zlib.
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(head, HEAD_LENGTH)
    except zlib.error:
        return b""


def _collect(window: Window, encoding: Encoding, found: dict[int, str], uid_checks: bool) -> bool:
    """Put the wanted UIDs into `found`; whether nothing more can come."""
    wanted = _IDENTIFIERS
    view = window.view
    offset = 0
    try:
        while len(found) < len(wanted):
            if not encoding.implicit:
                offset = _skip_short(view, offset, encoding)
            element = element_at(window, offset, encoding)
            # PS3.5 7.1: elements come in ascending order of their tags, and items only within sequences.
            if element.tag > wanted[-1]:
                return element.tag >> 16 != ITEM_GROUP
            offset = end_of(window, element, encoding)
            if element.tag in wanted:
                found[element.tag] = _uid(view[element.start : offset], uid_checks)
    except ValueError:
        return False
    return True


def _skip_short(view: memoryview, offset: int, encoding: Encoding) -> int:
    """Pass over elements in front of the last identifier that are none and have a short length, fast."""
    unpack = encoding.header.unpack_from
    last = len(view) - 8
    while offset <= last:
        group, number, vr, length = unpack(view, offset)
        tag = group << 16 | number
        if tag >= SOP_INSTANCE_UID or vr not in SHORT_VRS or tag in _IDENTIFIERS:
            break
        offset += 8 + length
    return offset


def _uid(value: memoryview, uid_checks: bool) -> str:
    uid = text_of(value)
    if uid and uid_checks and not is_valid_uid(uid, Tolerance.NONCONFORMING_UID):
        raise ValueError(f"{uid!r} is not a UID")
    return uid


def text_of(value: memoryview) -> str:
    """A value as text without padding, safe to be printed; one that is far too long is cut."""
    text = str(value[:_LONGEST_TEXT], "ascii", "replace").strip("\0 ")
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


# ---------------------------------------------------------------------- data sets that begin alike


class Opening:
    """How a data set begins in front of (0008,0016): what comes from one device mostly begins alike.

    Args:
        headers: Of the elements there, all of which take eight bytes.
        lengths: Of their values.
        length: Of what is expected behind them.

    Attributes:
        length: Of all of it, in bytes.
    """

    __slots__ = ("_headers", "_unpack_from", "length")

    def __init__(self, headers: tuple[bytes, ...], lengths: tuple[int, ...], length: int) -> None:
        whole = struct.Struct("<" + "".join(f"8s{count}x" for count in lengths) + f"{length}s")
        self.length = whole.size
        self._unpack_from = whole.unpack_from
        self._headers = headers

    def matches(self, head: Buffer, expected: bytes, offset: int = 0) -> bool:
        """Whether a data set begins with the same elements, of the same lengths, and then with `expected`.

        Args:
            head: The bytes.
            expected: What is expected behind these elements.
            offset: Where the data set begins.
        """
        # Every header is where it was, and so `expected` is no part of a value.
        if len(head) < offset + self.length:
            return False
        return self._unpack_from(head, offset) == (*self._headers, expected)


_opening_of = lru_cache(64)(Opening)
_recent = Opening((), (), 0)


def is_as_expected(head: Buffer, expected: bytes) -> bool:
    """Whether a data set says of itself what is expected, fast; False when that takes a closer look.

    Args:
        head: Its first bytes, in Explicit VR Little Endian.
        expected: The elements (0008,0016) and (0008,0018).
    """
    global _recent
    if _recent.matches(head, expected):
        return True
    view = memoryview(head)
    offset = _skip_short(view, 0, EXPLICIT_LITTLE)
    if view[offset : offset + len(expected)] != expected:
        return False
    if offset <= _LONGEST_OPENING:
        _recent = _opening_of(*_headers_of(Window(view[:offset]), EXPLICIT_LITTLE), len(expected))
    return True


def opening_of(head: Buffer, offset: int, transfer_syntax: str) -> tuple[Opening, bytes, int] | None:
    """How a data set begins up to the value of its SOP Instance UID.

    Args:
        head: The bytes.
        offset: Where the data set begins.
        transfer_syntax: UID of its transfer syntax.

    Returns:
        What is in front of (0008,0016); that and the header of (0008,0018); the length of its value. None if
        that cannot be compared with the start of another data set.
    """
    if transfer_syntaxes.is_deflated(transfer_syntax):
        return None
    encoding = encoding_of(transfer_syntax)
    view = memoryview(head)[offset:]
    window = Window(view)
    position = end = 0
    tag = 0
    try:
        while tag < SOP_CLASS_UID and position <= _LONGEST_OPENING:
            end, element = position, element_at(window, position, encoding)
            tag, position = element.tag, end_of(window, element, encoding)
            if element.start - end != 8 or element.length > _LONGEST_OPENING:
                return None
        instance = element_at(window, position, encoding)
        if tag != SOP_CLASS_UID or instance.tag != SOP_INSTANCE_UID or instance.start - position != 8:
            return None
        headers = _headers_of(Window(view[:end]), encoding)
    except ValueError:
        return None
    expected = bytes(view[end : instance.start])
    return _opening_of(*headers, len(expected)), expected, instance.length


def _headers_of(window: Window, encoding: Encoding) -> tuple[tuple[bytes, ...], tuple[int, ...]]:
    """The headers of all elements, each of which takes eight bytes, and the lengths of their values."""
    headers, lengths = [], []
    offset = 0
    while offset < window.size:
        element = element_at(window, offset, encoding)
        headers.append(bytes(window.view[offset : element.start]))
        lengths.append(element.length)
        offset = element.start + element.length
    return tuple(headers), tuple(lengths)
