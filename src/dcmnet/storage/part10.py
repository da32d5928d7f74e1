"""The file format of PS3.10: the File Meta Information in front of a data set.

Nothing here opens a file: callers read the first `HEAD_LENGTH` bytes and hand them over. No length that a
file declares is ever allocated; whatever does not fit into the bytes at hand is reported as missing.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final, NamedTuple

from dcmnet._records import dataclass
from dcmnet.errors import InputFileError
from dcmnet.limits import Tolerance
from dcmnet.payload import Buffer
from dcmnet.registry import transfer_syntaxes
from dcmnet.registry.uids import is_valid_uid
from dcmnet.storage.elements import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    HEAD_LENGTH,
    IMPLICIT_BIG,
    IMPLICIT_LITTLE,
    SHORT_VRS,
    VRS,
    Encoding,
    Window,
    element_at,
    encoding_of,
    end_of,
    tag_text,
)
from dcmnet.storage.identity import SOP_CLASS_UID, SOP_INSTANCE_UID, text_of

PREAMBLE_LENGTH: Final = 128
"""PS3.10 7.1; "DICM" follows it."""

MAX_TEXT_LENGTH: Final = 16
"""Characters of an AE or SH value (PS3.5 6.2)."""

_PREFIX_END = PREAMBLE_LENGTH + 4

_LAST_META_ELEMENT = 0x0102
"""PS3.10 Table 7.1-1 ends with (0002,0102)."""

_LONGEST_META_VALUE = HEAD_LENGTH
"""Bytes; in an implicit header only the length tells whether the bytes are an element."""

_META_ENCODINGS = (
    # PS3.10 7.1 asks for the first; the others are met in the field.
    (b"\x02\0", EXPLICIT_LITTLE, IMPLICIT_LITTLE),
    (b"\0\x02", EXPLICIT_BIG, IMPLICIT_BIG),
)

_FILE_META_GROUP = 0x0002

_GROUP_LENGTH = 0x00020000
_MEDIA_STORAGE_SOP_CLASS_UID = 0x00020002
_MEDIA_STORAGE_SOP_INSTANCE_UID = 0x00020003
_TRANSFER_SYNTAX_UID = 0x00020010
_IMPLEMENTATION_CLASS_UID = 0x00020012
_IMPLEMENTATION_VERSION_NAME = 0x00020013
_SOURCE_APPLICATION_ENTITY_TITLE = 0x00020016

_FILE_META_TEXTS = frozenset(
    (
        _MEDIA_STORAGE_SOP_CLASS_UID,
        _MEDIA_STORAGE_SOP_INSTANCE_UID,
        _TRANSFER_SYNTAX_UID,
        _IMPLEMENTATION_CLASS_UID,
        _IMPLEMENTATION_VERSION_NAME,
        _SOURCE_APPLICATION_ENTITY_TITLE,
    )
)

_UINT32 = struct.Struct("<I")
_HEADER = struct.Struct("<HH2sH")
_SLOW_TO_READ = frozenset(
    (transfer_syntaxes.IMPLICIT_VR_LITTLE_ENDIAN, transfer_syntaxes.EXPLICIT_VR_BIG_ENDIAN)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMeta:
    """The File Meta Information of a file (PS3.10 7.1, Table 7.1-1), without padding.

    What a file that was read lacks is empty here; the first three are required in a file that is written.

    Attributes:
        sop_class_uid: Media Storage SOP Class UID (0002,0002).
        sop_instance_uid: Media Storage SOP Instance UID (0002,0003).
        transfer_syntax: Transfer Syntax UID (0002,0010).
        implementation_class_uid: Implementation Class UID (0002,0012).
        implementation_version_name: Implementation Version Name (0002,0013), at most 16 characters.
        source_application_entity_title: Source Application Entity Title (0002,0016), at most 16 characters.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    implementation_class_uid: str = ""
    implementation_version_name: str = ""
    source_application_entity_title: str = ""


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
        in_data_set = _encode_uid(SOP_CLASS_UID, sop_class_uid)
        in_data_set += _encode_header(SOP_INSTANCE_UID, b"UI", length)
    return Frame(start + before, behind, in_data_set)


def _encode_uid(tag: int, uid: str) -> bytes:
    if not is_valid_uid(uid, Tolerance.NONCONFORMING_UID):
        raise ValueError(f"{tag_text(tag)} needs a UID, which {uid!r} is not")
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
            f"{tag_text(tag)} takes at most {MAX_TEXT_LENGTH} characters of printable ASCII, not {text!r}"
        )
    return _encode_element(tag, vr, text.encode("ascii") + b" " * (len(text) & 1))


def _encode_element(tag: int, vr: bytes, value: bytes) -> bytes:
    return _encode_header(tag, vr, len(value)) + value


def _encode_header(tag: int, vr: bytes, length: int) -> bytes:
    return _HEADER.pack(tag >> 16, tag & 0xFFFF, vr, length)


def begin_of(head: Buffer) -> int:
    """The offset of group 0002, or of a data set without it: behind the preamble, if there is one."""
    prefix = bytes(memoryview(head)[PREAMBLE_LENGTH:_PREFIX_END])
    return _PREFIX_END if prefix == b"DICM" else 0


def has_file_meta(head: Buffer) -> bool:
    """Whether a file begins with File Meta Information; a preamble in front of it may be missing."""
    begin = begin_of(head)
    return len(head) >= begin + 8 and _encoding_at(memoryview(head), begin) is not None


def read_file_meta(head: Buffer, name: str) -> tuple[FileMeta, int]:
    """The File Meta Information of a file, and the offset of its data set.

    Group 0002 is read as explicit little endian, or as implicit or big endian if it begins like that.
    Elements that the standard does not know are passed over, and so are those that come again. The group ends
    as its length (0002,0000) says; if that is missing or wrong, it ends in front of the first element of
    another group.

    Args:
        head: The file's first `HEAD_LENGTH` bytes, or all of it.
        name: The file's name, for messages.

    Raises:
        InputFileError: There is no File Meta Information, or it is truncated.
    """
    view = memoryview(head)
    begin = begin_of(view)
    encoding = _encoding_at(view, begin) if len(view) >= begin + 8 else None
    if not view:
        raise InputFileError(name, "the file is empty")
    if encoding is None:
        why = "has no File Meta Information" if begin else 'has no "DICM" behind a preamble of 128 bytes'
        raise InputFileError(name, f"not a DICOM file: it {why}")
    values, offset = _read_group(view, begin, encoding, name)
    meta = FileMeta(
        sop_class_uid=values.get(_MEDIA_STORAGE_SOP_CLASS_UID, ""),
        sop_instance_uid=values.get(_MEDIA_STORAGE_SOP_INSTANCE_UID, ""),
        transfer_syntax=values.get(_TRANSFER_SYNTAX_UID, ""),
        implementation_class_uid=values.get(_IMPLEMENTATION_CLASS_UID, ""),
        implementation_version_name=values.get(_IMPLEMENTATION_VERSION_NAME, ""),
        source_application_entity_title=values.get(_SOURCE_APPLICATION_ENTITY_TITLE, ""),
    )
    return meta, offset


def _encoding_at(view: memoryview, offset: int) -> Encoding | None:
    """How the element of group 0002 that begins here is laid out; None when there is none.

    The value representation is examined too: a deflated data set may begin with the bytes of the group.
    """
    start = bytes(view[offset : offset + 8])
    for group, explicit, implicit in _META_ENCODINGS:
        if not start or start[:2] != group[: len(start)]:
            continue
        if len(start) < 6 or start[4:6] in VRS:
            return explicit
        if len(start) < 8:
            continue
        number = implicit.header.unpack(start)[1]
        length = implicit.long_length.unpack_from(start, 4)[0]
        if number <= _LAST_META_ELEMENT and length <= _LONGEST_META_VALUE:
            return implicit
    return None


def _read_group(view: memoryview, begin: int, encoding: Encoding, name: str) -> tuple[dict[int, str], int]:
    """The texts of group 0002 by tag, and where the group ends."""
    values: dict[int, str] = {}
    window = Window(view)
    offset, declared_end = begin, -1
    while _encoding_at(view, offset) is encoding:
        # PS3.10 7.1: (0002,0000) counts the bytes up to the data set, which may begin like the group.
        # An element in another encoding than that of the data set belongs to the group, whatever that says.
        named = values.get(_TRANSFER_SYNTAX_UID)
        if offset == declared_end and named is not None and encoding_of(named) is encoding:
            break
        try:
            element = element_at(window, offset, encoding)
            end = end_of(window, element, encoding)
        except ValueError as error:
            raise InputFileError(name, f"truncated within its File Meta Information: {error}") from None
        if offset == begin and element.tag == _GROUP_LENGTH and element.length == 4:
            declared_end = end + encoding.long_length.unpack_from(view, element.start)[0]
        elif element.tag in _FILE_META_TEXTS:
            # PS3.5 7.1: a tag comes once; one that comes again may be one of the data set
            values.setdefault(element.tag, text_of(view[element.start : end]))
        offset = end
    return values, offset


def sop_instance_uid_span(head: Buffer, offset: int) -> tuple[int, int] | None:
    """Where the value of the Media Storage SOP Instance UID starts and ends.

    Args:
        head: A file's first bytes, which `read_file_meta` has read.
        offset: Where its data set begins, as that has said.

    Returns:
        None if there is none in Explicit VR Little Endian.
    """
    window = Window(memoryview(head)[:offset])
    end = begin_of(head)
    try:
        while end < offset:
            element = element_at(window, end, EXPLICIT_LITTLE)
            end = end_of(window, element, EXPLICIT_LITTLE)
            if element.tag == _MEDIA_STORAGE_SOP_INSTANCE_UID and element.vr in SHORT_VRS:
                return element.start, end
    except ValueError:  # it has another encoding
        pass
    return None
