"""The file format of PS3.10: File Meta Information, and a look at the start of a data set.

Nothing here opens a file: callers read the first `HEAD_LENGTH` bytes and hand them over. No length that a
file declares is ever allocated; whatever does not fit into the bytes at hand is reported as missing.
"""

from __future__ import annotations

import struct
import zlib
from functools import lru_cache
from typing import Final, NamedTuple

from dcmnet._records import dataclass
from dcmnet.errors import InputFileError
from dcmnet.limits import MAX_SEQUENCE_DEPTH, Tolerance
from dcmnet.payload import Buffer
from dcmnet.registry import transfer_syntaxes
from dcmnet.registry.uids import is_valid_uid

HEAD_LENGTH: Final = 65536
"""Bytes of a file, or of an inflated data set, that are looked at: group 0002 takes about 400 of them."""

PREAMBLE_LENGTH: Final = 128
"""PS3.10 7.1; "DICM" follows it."""

MAX_TEXT_LENGTH: Final = 16
"""Characters of an AE or SH value (PS3.5 6.2)."""

_FILE_META_GROUP = 0x0002
_ITEM_GROUP = 0xFFFE
_UNDEFINED_LENGTH = 0xFFFFFFFF

_ITEM = 0xFFFEE000
_ITEM_DELIMITATION = 0xFFFEE00D
_SEQUENCE_DELIMITATION = 0xFFFEE0DD

_GROUP_LENGTH = 0x00020000
_MEDIA_STORAGE_SOP_CLASS_UID = 0x00020002
_MEDIA_STORAGE_SOP_INSTANCE_UID = 0x00020003
_TRANSFER_SYNTAX_UID = 0x00020010
_IMPLEMENTATION_CLASS_UID = 0x00020012
_IMPLEMENTATION_VERSION_NAME = 0x00020013
_SOURCE_APPLICATION_ENTITY_TITLE = 0x00020016

_SOP_CLASS_UID = 0x00080016
_SOP_INSTANCE_UID = 0x00080018
_IDENTIFIERS = (_SOP_CLASS_UID, _SOP_INSTANCE_UID)

_REQUIRED_NAMES = {
    _MEDIA_STORAGE_SOP_CLASS_UID: "Media Storage SOP Class UID",
    _MEDIA_STORAGE_SOP_INSTANCE_UID: "Media Storage SOP Instance UID",
    _TRANSFER_SYNTAX_UID: "Transfer Syntax UID",
}

_FILE_META_TEXTS = frozenset(
    (
        *_REQUIRED_NAMES,
        _IMPLEMENTATION_CLASS_UID,
        _IMPLEMENTATION_VERSION_NAME,
        _SOURCE_APPLICATION_ENTITY_TITLE,
    )
)

# PS3.5 7.1.2: these have a length of two bytes; all others two reserved bytes and a length of four.
_SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_VRS = _SHORT_VRS | _LONG_VRS

_LONGEST_TEXT = 256
_LONGEST_OPENING = 1024

_UINT32 = struct.Struct("<I")
_HEADER = struct.Struct("<HH2sH")


class _Encoding(NamedTuple):
    """How elements of a data set are laid out."""

    implicit: bool
    header: struct.Struct
    long_length: struct.Struct


_IMPLICIT_LITTLE = _Encoding(True, _HEADER, _UINT32)
_EXPLICIT_LITTLE = _Encoding(False, _HEADER, _UINT32)
_SLOW_TO_READ = frozenset(
    (transfer_syntaxes.IMPLICIT_VR_LITTLE_ENDIAN, transfer_syntaxes.EXPLICIT_VR_BIG_ENDIAN)
)
_EXPLICIT_BIG = _Encoding(False, struct.Struct(">HH2sH"), struct.Struct(">I"))


class _Element(NamedTuple):
    """The header of an element: where its value starts, and its declared length."""

    tag: int
    vr: bytes
    length: int
    start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMeta:
    """The File Meta Information of a file (PS3.10 7.1, Table 7.1-1), without padding.

    Attributes:
        sop_class_uid: Media Storage SOP Class UID (0002,0002).
        sop_instance_uid: Media Storage SOP Instance UID (0002,0003).
        transfer_syntax: Transfer Syntax UID (0002,0010).
        implementation_class_uid: Implementation Class UID (0002,0012); empty when a file lacks it.
        implementation_version_name: Implementation Version Name (0002,0013), at most 16 characters.
        source_application_entity_title: Source Application Entity Title (0002,0016), at most 16 characters.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    implementation_class_uid: str = ""
    implementation_version_name: str = ""
    source_application_entity_title: str = ""


@dataclass(frozen=True, slots=True)
class Identifiers:
    """What the start of a data set says that it is; a text is empty where the attribute was not found.

    Attributes:
        sop_class_uid: SOP Class UID (0008,0016).
        sop_instance_uid: SOP Instance UID (0008,0018).
        complete: Whether this is final: both were found, or an element behind the place of the last one.
            False when the bytes ended before that, or are malformed.
    """

    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    complete: bool = False


def encode_file_meta(meta: FileMeta) -> bytes:
    """The preamble, "DICM" and group 0002 of a file: everything in front of its data set.

    Raises:
        ValueError: A required UID is missing or is none, or a text is too long or not ASCII.
    """
    instance = _encode_uid(_MEDIA_STORAGE_SOP_INSTANCE_UID, meta.sop_instance_uid)
    frame = frame_of(
        meta.sop_class_uid,
        len(instance) - _HEADER.size,
        meta.transfer_syntax,
        meta.implementation_class_uid,
        meta.implementation_version_name,
        meta.source_application_entity_title,
    )
    return frame.before + instance[_HEADER.size :] + frame.behind


class Frame(NamedTuple):
    """What stands around the SOP Instance UID, the one thing that differs from object to object.

    Attributes:
        before: What is in front of it in a file: preamble, "DICM", the group as far as its header.
        behind: The rest of the group, up to the data set.
        in_data_set: The element (0008,0016) and the header of (0008,0018), in front of it in the data set;
            empty where that is not in Explicit VR Little Endian, or deflated.
    """

    before: bytes
    behind: bytes
    in_data_set: bytes


NO_FRAME = Frame(b"", b"", b"")


@lru_cache(256)
def frame_of(
    sop_class_uid: str, length: int, transfer_syntax: str, implementation: str, version: str, source: str
) -> Frame:
    """The frame for a SOP Instance UID that is `length` bytes long, padding included; see `FileMeta`.

    Raises:
        ValueError: As for `encode_file_meta`.
    """
    # PS3.10 7.1: group 0002 is Explicit VR Little Endian whatever the transfer syntax of the data set;
    # (0002,0001) has bit 0 of its second byte set for version 1.
    before = b"\x02\x00\x01\x00OB\x00\x00\x02\x00\x00\x00\x00\x01" + _encode_uid(
        _MEDIA_STORAGE_SOP_CLASS_UID, sop_class_uid
    )
    before += _encode_header(_MEDIA_STORAGE_SOP_INSTANCE_UID, b"UI", length)
    behind = b"".join(
        (
            _encode_uid(_TRANSFER_SYNTAX_UID, transfer_syntax),
            _encode_uid(_IMPLEMENTATION_CLASS_UID, implementation),
            _encode_text(_IMPLEMENTATION_VERSION_NAME, b"SH", version),
            _encode_text(_SOURCE_APPLICATION_ENTITY_TITLE, b"AE", source),
        )
    )
    group_length = _UINT32.pack(len(before) + length + len(behind))
    start = bytes(PREAMBLE_LENGTH) + b"DICM" + _encode_element(_GROUP_LENGTH, b"UL", group_length)
    in_data_set = b""
    if transfer_syntax not in _SLOW_TO_READ and not transfer_syntaxes.is_deflated(transfer_syntax):
        in_data_set = _encode_uid(_SOP_CLASS_UID, sop_class_uid)
        in_data_set += _encode_header(_SOP_INSTANCE_UID, b"UI", length)
    return Frame(start + before, behind, in_data_set)


def _encode_uid(tag: int, uid: str) -> bytes:
    if not is_valid_uid(uid, Tolerance.NONCONFORMING_UID):
        raise ValueError(f"{_tag_text(tag)} needs a UID, which {uid!r} is not")
    return _encode_element(tag, b"UI", padded_uid(uid))


def padded_uid(uid: str) -> bytes:
    """A valid UID as the value of an element (PS3.5 9.1): one of odd length is padded with one NUL."""
    raw = uid.encode("ascii")
    return raw + b"\0" if len(raw) & 1 else raw


def _encode_text(tag: int, vr: bytes, text: str) -> bytes:
    if not text:
        return b""
    if len(text) > MAX_TEXT_LENGTH or not text.isascii() or not text.isprintable():
        raise ValueError(
            f"{_tag_text(tag)} takes at most {MAX_TEXT_LENGTH} characters of printable ASCII, not {text!r}"
        )
    return _encode_element(tag, vr, text.encode("ascii") + b" " * (len(text) & 1))


def _encode_element(tag: int, vr: bytes, value: bytes) -> bytes:
    return _encode_header(tag, vr, len(value)) + value


def _encode_header(tag: int, vr: bytes, length: int) -> bytes:
    return _HEADER.pack(tag >> 16, tag & 0xFFFF, vr, length)


def read_file_meta(head: Buffer, name: str) -> tuple[FileMeta, int]:
    """The File Meta Information of a file, and the offset of its data set.

    Elements of group 0002 that the standard does not know are passed over, and so is a (0002,0000) that is
    missing or wrong: the group ends where its elements end.

    Args:
        head: The file's first `HEAD_LENGTH` bytes, or all of it.
        name: The file's name, for messages.

    Raises:
        InputFileError: The file is empty, not DICOM, truncated, or lacks a required UID; it says which.
    """
    view = memoryview(head)
    if not view:
        raise InputFileError(name, "the file is empty")
    if bytes(view[PREAMBLE_LENGTH : PREAMBLE_LENGTH + 4]) != b"DICM":
        raise InputFileError(name, 'not a DICOM file: it has no "DICM" behind a preamble of 128 bytes')
    values, offset = _read_group(view, name)
    for tag, text in _REQUIRED_NAMES.items():
        if tag not in values:
            why = (
                "truncated: it ends before the" if offset == len(view) else "its File Meta Information has no"
            )
            raise InputFileError(name, f"{why} {text} {_tag_text(tag)}")
        if not is_valid_uid(values[tag], Tolerance.NONCONFORMING_UID):
            raise InputFileError(name, f"its {text} {_tag_text(tag)} is not a UID: {values[tag]!r}")
    meta = FileMeta(
        sop_class_uid=values[_MEDIA_STORAGE_SOP_CLASS_UID],
        sop_instance_uid=values[_MEDIA_STORAGE_SOP_INSTANCE_UID],
        transfer_syntax=values[_TRANSFER_SYNTAX_UID],
        implementation_class_uid=values.get(_IMPLEMENTATION_CLASS_UID, ""),
        implementation_version_name=values.get(_IMPLEMENTATION_VERSION_NAME, ""),
        source_application_entity_title=values.get(_SOURCE_APPLICATION_ENTITY_TITLE, ""),
    )
    return meta, offset


def _read_group(view: memoryview, name: str) -> tuple[dict[int, str], int]:
    """The texts of group 0002 by tag, and where the group ends."""
    values: dict[int, str] = {}
    offset = PREAMBLE_LENGTH + 4
    while True:
        offset = _read_short(view, offset, values)
        if not _is_file_meta_at(view, offset):
            return values, offset
        try:
            element = _element_at(view, offset, _EXPLICIT_LITTLE)
            end = _end_of(view, element, _EXPLICIT_LITTLE)
        except ValueError as error:
            raise InputFileError(name, f"truncated within its File Meta Information: {error}") from None
        offset = end


def _read_short(view: memoryview, offset: int, values: dict[int, str]) -> int:
    """Read elements of group 0002 that have a short length, fast; where the first other one starts."""
    unpack = _HEADER.unpack_from
    last = len(view) - 8
    while offset <= last:
        group, number, vr, length = unpack(view, offset)
        end = offset + 8 + length
        if group != _FILE_META_GROUP or vr not in _SHORT_VRS or end > len(view):
            break
        tag = group << 16 | number
        if tag in _FILE_META_TEXTS:
            values[tag] = _text(view[offset + 8 : end])
        offset = end
    return offset


def sop_instance_uid_span(head: Buffer, offset: int) -> tuple[int, int] | None:
    """Where the value of the Media Storage SOP Instance UID starts and ends.

    Args:
        head: A file's first bytes, which `read_file_meta` has read.
        offset: Where its data set begins, as that has said.

    Returns:
        None where there is no File Meta Information.
    """
    view = memoryview(head)
    span = None
    end = PREAMBLE_LENGTH + 4
    while end < offset:
        element = _element_at(view, end, _EXPLICIT_LITTLE)
        end = _end_of(view, element, _EXPLICIT_LITTLE)
        if element.tag == _MEDIA_STORAGE_SOP_INSTANCE_UID and element.vr in _SHORT_VRS:
            span = element.start, end
    return span


def _is_file_meta_at(view: memoryview, offset: int) -> bool:
    """Whether an element of group 0002 starts here, or is cut off here.

    The value representation is looked at too: the two bytes of the group may as well begin a deflated data
    set.
    """
    start = bytes(view[offset : offset + 6])
    return start[:1] == b"\x02" and start[1:2] in (b"\0", b"") and (len(start) < 6 or start[4:] in _VRS)


def scan_identifiers(head: Buffer, transfer_syntax: str) -> Identifiers:
    """Look for the SOP Class and SOP Instance UIDs at the start of a data set.

    Sequences in front of them are passed over, of defined and undefined length, up to `MAX_SEQUENCE_DEPTH`
    deep. A deflated data set is inflated up to `HEAD_LENGTH` bytes. Malformed bytes are not an error: what
    was found before them is returned, with `complete` False.

    Args:
        head: The data set's first bytes, from its first element.
        transfer_syntax: UID of its transfer syntax; one that is unknown counts as Explicit VR Little Endian.
    """
    if transfer_syntaxes.is_deflated(transfer_syntax):
        head = _inflate(head)
    found: dict[int, str] = {}
    complete = _collect(memoryview(head), _encoding_of(transfer_syntax), found)
    return Identifiers(
        sop_class_uid=found.get(_SOP_CLASS_UID, ""),
        sop_instance_uid=found.get(_SOP_INSTANCE_UID, ""),
        complete=complete,
    )


def is_as_expected(head: Buffer, expected: bytes) -> bool:
    """Whether a data set says of itself what is expected, fast; False where that takes a closer look.

    Args:
        head: Its first bytes, in Explicit VR Little Endian.
        expected: The elements (0008,0016) and (0008,0018).
    """
    global _recent
    if _recent.matches(head, expected):
        return True
    view = memoryview(head)
    offset = _skip_short(view, 0, _EXPLICIT_LITTLE)
    if view[offset : offset + len(expected)] != expected:
        return False
    if offset <= _LONGEST_OPENING:
        _recent = _opening_of(_headers_of(view, offset), len(expected))
    return True


class _Opening:
    """How a data set begins in front of (0008,0016): what comes from one device mostly begins alike.

    Args:
        headers: Of the elements there, all of which have a short length.
        length: Of the two elements that are expected.
    """

    __slots__ = ("_headers", "_length", "_unpack_from")

    def __init__(self, headers: tuple[bytes, ...], length: int) -> None:
        values = "".join(f"8s{_HEADER.unpack(header)[3]}x" for header in headers)
        whole = struct.Struct(f"<{values}{length}s")
        self._length = whole.size
        self._unpack_from = whole.unpack_from
        self._headers = headers

    def matches(self, head: Buffer, expected: bytes) -> bool:
        """Whether a data set begins with the same elements, of the same lengths, and then with `expected`."""
        # Every header is where it was, and so `expected` is no part of a value.
        return len(head) >= self._length and self._unpack_from(head) == (*self._headers, expected)


_opening_of = lru_cache(64)(_Opening)
_recent = _Opening((), 0)


def _headers_of(view: memoryview, end: int) -> tuple[bytes, ...]:
    """The headers of the elements in front of `end`, all of which have a short length."""
    headers = []
    offset = 0
    while offset < end:
        headers.append(bytes(view[offset : offset + 8]))
        offset += 8 + _HEADER.unpack(headers[-1])[3]
    return tuple(headers)


def _encoding_of(transfer_syntax: str) -> _Encoding:
    if transfer_syntaxes.is_implicit(transfer_syntax):
        return _IMPLICIT_LITTLE
    return _EXPLICIT_BIG if transfer_syntaxes.is_big_endian(transfer_syntax) else _EXPLICIT_LITTLE


def _inflate(head: Buffer) -> bytes:
    # PS3.5 A.5: a raw deflate stream (RFC 1951), without the header and checksum of zlib.
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(head, HEAD_LENGTH)
    except zlib.error:
        return b""


def _collect(view: memoryview, encoding: _Encoding, found: dict[int, str]) -> bool:
    """Put the wanted UIDs into `found`; whether nothing more can come."""
    wanted = _IDENTIFIERS
    offset = 0
    try:
        while len(found) < len(wanted):
            if not encoding.implicit:
                offset = _skip_short(view, offset, encoding)
            element = _element_at(view, offset, encoding)
            # PS3.5 7.1: elements come in ascending order of their tags, and items only within sequences.
            if element.tag > wanted[-1]:
                return element.tag >> 16 != _ITEM_GROUP
            offset = _end_of(view, element, encoding)
            if element.tag in wanted:
                found[element.tag] = _uid(view[element.start : offset])
    except ValueError:
        return False
    return True


def _skip_short(view: memoryview, offset: int, encoding: _Encoding) -> int:
    """Pass over elements in front of the last identifier that are none and have a short length, fast."""
    unpack = encoding.header.unpack_from
    last = len(view) - 8
    while offset <= last:
        group, number, vr, length = unpack(view, offset)
        tag = group << 16 | number
        if tag >= _SOP_INSTANCE_UID or vr not in _SHORT_VRS or tag in _IDENTIFIERS:
            break
        offset += 8 + length
    return offset


def _uid(value: memoryview) -> str:
    uid = _text(value)
    if uid and not is_valid_uid(uid, Tolerance.NONCONFORMING_UID):
        raise ValueError(f"{uid!r} is not a UID")
    return uid


def _text(value: memoryview) -> str:
    """A value as text without padding, safe to be printed; one that is far too long is cut."""
    text = str(value[:_LONGEST_TEXT], "ascii", "replace").strip("\0 ")
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def _element_at(view: memoryview, offset: int, encoding: _Encoding) -> _Element:
    """The header of the element at an offset; ValueError where it is cut off or no element."""
    if offset + 8 > len(view):
        raise ValueError(f"the element at byte {offset} is cut off")
    group, number, vr, length = encoding.header.unpack_from(view, offset)
    tag = group << 16 | number
    # PS3.5 7.5: items and delimiters have no value representation in any transfer syntax.
    if encoding.implicit or group == _ITEM_GROUP:
        return _Element(tag, b"", encoding.long_length.unpack_from(view, offset + 4)[0], offset + 8)
    if vr in _SHORT_VRS:
        return _Element(tag, vr, length, offset + 8)
    # PS3.5 7.1.2: a value representation of a later edition has a length of four bytes too.
    if not (vr.isalpha() and vr.isupper()):
        raise ValueError(f"{_tag_text(tag)} at byte {offset} has no value representation")
    if offset + 12 > len(view):
        raise ValueError(f"the element at byte {offset} is cut off")
    return _Element(tag, vr, encoding.long_length.unpack_from(view, offset + 8)[0], offset + 12)


def _end_of(view: memoryview, element: _Element, encoding: _Encoding) -> int:
    """The offset behind an element's value; ValueError where that is not among the bytes at hand."""
    if element.length == _UNDEFINED_LENGTH:
        return _end_of_sequence(view, element, encoding)
    end = element.start + element.length
    if end > len(view):
        raise ValueError(
            f"{_tag_text(element.tag)} claims {element.length} bytes, {len(view) - element.start} are there"
        )
    return end


def _end_of_sequence(view: memoryview, sequence: _Element, encoding: _Encoding) -> int:
    """The offset behind the delimiter of a sequence of undefined length."""
    # One entry for each sequence and each item that is open and has no length: its delimiter, its encoding.
    open_levels = [(_SEQUENCE_DELIMITATION, _encoding_within(sequence, encoding))]
    offset = sequence.start
    while open_levels:
        delimiter, encoding = open_levels[-1]
        element = _element_at(view, offset, encoding)
        offset = element.start
        if element.tag == delimiter:
            open_levels.pop()
        elif not _belongs(element.tag, within_item=delimiter == _ITEM_DELIMITATION):
            raise ValueError(f"{_tag_text(element.tag)} has no place in front of byte {offset}")
        elif element.length != _UNDEFINED_LENGTH:
            offset = _end_of(view, element, encoding)
        elif element.tag == _ITEM:
            open_levels.append((_ITEM_DELIMITATION, encoding))
        elif len(open_levels) >= 2 * MAX_SEQUENCE_DEPTH:
            raise ValueError(f"sequences are nested more than {MAX_SEQUENCE_DEPTH} deep")
        else:
            open_levels.append((_SEQUENCE_DELIMITATION, _encoding_within(element, encoding)))
    return offset


def _belongs(tag: int, *, within_item: bool) -> bool:
    # PS3.5 7.5.1: a sequence consists of items, an item of elements that are neither items nor delimiters.
    return tag >> 16 != _ITEM_GROUP if within_item else tag == _ITEM


def _encoding_within(element: _Element, encoding: _Encoding) -> _Encoding:
    # PS3.5 6.2.2 note: a UN of undefined length holds a sequence in Implicit VR Little Endian.
    return _IMPLICIT_LITTLE if element.vr == b"UN" else encoding


def guess_transfer_syntax(head: Buffer) -> str | None:
    """The transfer syntax of a data set without File Meta Information, from the look of its first element.

    Returns:
        Implicit VR Little Endian, Explicit VR Little Endian or Explicit VR Big Endian; None when the bytes do
        not look like a data set. A deflated one cannot be told from any other file.
    """
    view = memoryview(head)
    if len(view) < 8:
        return None
    little, big = view[0] | view[1] << 8, view[0] << 8 | view[1]
    if bytes(view[4:6]) in _VRS:
        if _may_be_first_group(little):
            return transfer_syntaxes.EXPLICIT_VR_LITTLE_ENDIAN
        return transfer_syntaxes.EXPLICIT_VR_BIG_ENDIAN if _may_be_first_group(big) else None
    length = _UINT32.unpack_from(view, 4)[0]
    plausible = length == _UNDEFINED_LENGTH or (length <= HEAD_LENGTH and length % 2 == 0)
    return transfer_syntaxes.IMPLICIT_VR_LITTLE_ENDIAN if plausible and _may_be_first_group(little) else None


def _may_be_first_group(group: int) -> bool:
    """Whether a data set may begin with this group: an even one, and not far behind 0008."""
    return 0x0004 <= group <= 0x00FE and group % 2 == 0


def _tag_text(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
