"""Encodes a data set anew: lengths of sequences, group lengths and padding as they are asked for."""

from __future__ import annotations

import enum
from os import PathLike
from typing import Any, NamedTuple

from dcmnet.dataset import (
    AS_USUAL,
    CONVERTIBLE,
    DECODABLE,
    Encoding,
    _deflate,
    _of_undefined_length,
    _own_part,
    _read_whole,
    _with_old_vrs,
    _with_swapped_words,
    transfer_syntax_of,
)
from dcmnet.errors import InputFileError
from dcmnet.limits import MAX_SEQUENCE_DEPTH
from dcmnet.registry.transfer_syntaxes import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    is_big_endian,
    is_deflated,
    is_encapsulated,
    is_implicit,
)

_PIXEL_DATA = 0x7FE00010
_PADDING = 0xFFFCFFFC
_UNDEFINED_LENGTH = 0xFFFFFFFF
_PADDING_HEADER = {True: 8, False: 12}
"""Bytes of a padding element before its value, by whether VRs are implicit."""


_LOOKED_AT = (None, "SQ", "UN")
"""VRs of elements that are not written as they were read; UN is left only where it is to be looked up."""


class GroupLengths(enum.Enum):
    """What happens to the elements (gggg,0000), which PS3.5 7.2 has retired."""

    RECALCULATE = "recalculate"
    """They stay where they are, and are right."""
    CREATE = "create"
    """Every group has one, in items as well."""
    REMOVE = "remove"
    """There are none."""


class Layout(NamedTuple):
    """What a data set that is encoded anew looks like.

    Attributes:
        group_lengths: What happens to group lengths.
        explicit_lengths: Whether sequences and items say how long they are, or end in a delimiter.
        padding: The file's length, and that of each item, become multiples of these; 0 pads nothing.
        known_vrs: Whether an element of VR UN gets the VR that the dictionary has for it.
        encoding: How values are encoded.
    """

    group_lengths: GroupLengths = GroupLengths.RECALCULATE
    explicit_lengths: bool = True
    padding: tuple[int, int] = (0, 0)
    known_vrs: bool = False
    encoding: Encoding = AS_USUAL


def encode_anew(
    source: str | PathLike[str], transfer_syntax: str | None, layout: Layout, *, name: str, before: int = 0
) -> bytes:
    """The data set of a file, decoded and encoded again. All of it is in memory, before and after.

    Args:
        source: The file.
        transfer_syntax: UID of the one to encode in; None for the one that it is in.
        layout: What it will look like.
        name: What to call the file in an error.
        before: Length of what will stand before the data set in the new file, which padding counts.

    Raises:
        InputFileError: It cannot be read, is truncated, too large, or cannot be converted.
    """
    try:
        with open(source, "rb") as file:
            data_set = _read_whole(file, name)
        return _encode_anew(data_set, transfer_syntax, layout, name, before)
    except (InputFileError, OSError):
        raise
    except Exception as error:  # what bad content makes pydicom raise depends on its kind
        raise InputFileError(name, f"cannot be converted: {error}") from error


def _encode_anew(data_set: Any, transfer_syntax: str | None, layout: Layout, name: str, before: int) -> bytes:
    own = transfer_syntax_of(data_set)
    target = transfer_syntax or own
    if target != own and own in DECODABLE and target in CONVERTIBLE:
        from dcmnet.dataset.decoding import decompressed  # few conversions decompress

        data_set, own = decompressed(data_set, own, name), EXPLICIT_VR_LITTLE_ENDIAN
    data_set = _own_part(data_set)
    if not layout.known_vrs:
        _keep_unknown(data_set)
    if target != own and not {own, target} <= set(CONVERTIBLE):
        raise InputFileError(name, f"cannot be converted from transfer syntax {own} to {target}")
    if is_encapsulated(target) and _PIXEL_DATA in data_set:
        data_set[_PIXEL_DATA] = _of_undefined_length(data_set[_PIXEL_DATA])
    if is_big_endian(own) != is_big_endian(target):
        data_set = _with_swapped_words(data_set, little_endian=not is_big_endian(own))
    if not layout.encoding.new_vr and not is_implicit(target):
        data_set = _with_old_vrs(data_set)
    encoded = _Encoder(layout, target, same=target == own).encode(data_set, before)
    return _deflate(encoded, layout.encoding.compression_level) if is_deflated(target) else encoded


def _keep_unknown(data_set: Any, depth: int = 0) -> None:
    """Have elements that came as UN stay that, which pydicom would look up."""
    from pydicom.dataelem import DataElement

    _check_depth(depth)
    for tag in list(data_set.keys()):
        element = data_set.get_item(tag)
        if element.is_raw and element.VR == "UN":
            kept = DataElement(element.tag, "OB", element.value or b"", already_converted=True)
            kept.VR = "UN"  # said at once, it would be looked up
            data_set[tag] = kept
        elif element.VR == "SQ":
            for item in data_set[tag].value:
                _keep_unknown(item, depth + 1)


def _check_depth(depth: int) -> None:
    if depth > MAX_SEQUENCE_DEPTH:
        raise ValueError(f"its sequences are nested deeper than {MAX_SEQUENCE_DEPTH}")


class _Encoder:
    """Writes a data set element by element: pydicom the values, this the structure around them."""

    def __init__(self, layout: Layout, transfer_syntax: str, *, same: bool) -> None:
        self._layout = layout
        self._implicit = is_implicit(transfer_syntax)
        self._little = not is_big_endian(transfer_syntax)
        self._same = same

    def encode(self, data_set: Any, before: int) -> bytes:
        """The whole data set."""
        from pydicom.filewriter import correct_ambiguous_vr

        if not self._same and not self._implicit:
            data_set = correct_ambiguous_vr(data_set, self._little)
        return self._data_set(data_set, None, before, self._layout.padding[0], 0)

    def _data_set(self, data_set: Any, characters: Any, before: int, padding: int, depth: int) -> bytes:
        """The elements of a data set, or of an item."""
        _check_depth(depth)
        characters = data_set.get("SpecificCharacterSet", characters)
        groups: dict[int, list[bytes]] = {}
        with_length: set[int] = set()
        for tag in sorted(data_set.keys()):
            # PS3.5 7.2: group lengths are made here; PS3.10 7.2: and so is Data Set Trailing Padding.
            if tag.element == 0:
                with_length.add(tag.group)
            elif tag != _PADDING:
                groups.setdefault(tag.group, []).append(self._element(data_set, tag, characters, depth))
        encoded = b"".join(self._group(group, parts, with_length) for group, parts in groups.items())
        return encoded + self._padding(before + len(encoded), padding)

    def _group(self, group: int, parts: list[bytes], with_length: set[int]) -> bytes:
        body = b"".join(parts)
        ways = self._layout.group_lengths
        wanted = ways is GroupLengths.CREATE or (ways is GroupLengths.RECALCULATE and group in with_length)
        return self._group_length(group, len(body)) + body if wanted else body

    def _element(self, data_set: Any, tag: Any, characters: Any, depth: int) -> bytes:
        from pydicom.filewriter import write_data_element

        element = data_set.get_item(tag)
        if element.is_raw and (not self._same or element.VR in _LOOKED_AT):
            element = data_set[tag]
        if element.VR == "SQ":
            return self._sequence(element, characters, depth)
        buffer = self._buffer()
        write_data_element(buffer, element, characters)
        encoded: bytes = buffer.getvalue()
        return encoded

    def _sequence(self, element: Any, characters: Any, depth: int) -> bytes:
        items = b"".join(self._item(item, characters, depth) for item in element.value)
        buffer = self._buffer()
        buffer.write_tag(element.tag)
        if not self._implicit:
            buffer.write(b"SQ\0\0")
        explicit = self._layout.explicit_lengths
        buffer.write_UL(len(items) if explicit else _UNDEFINED_LENGTH)
        buffer.write(items if explicit else items + self._delimiter(0xFFFEE0DD))
        encoded: bytes = buffer.getvalue()
        return encoded

    def _item(self, item: Any, characters: Any, depth: int) -> bytes:
        content = self._data_set(item, characters, 0, self._layout.padding[1], depth + 1)
        buffer = self._buffer()
        buffer.write_tag(0xFFFEE000)
        explicit = self._layout.explicit_lengths
        buffer.write_UL(len(content) if explicit else _UNDEFINED_LENGTH)
        buffer.write(content if explicit else content + self._delimiter(0xFFFEE00D))
        encoded: bytes = buffer.getvalue()
        return encoded

    def _delimiter(self, tag: int) -> bytes:
        buffer = self._buffer()
        buffer.write_tag(tag)
        buffer.write_UL(0)
        encoded: bytes = buffer.getvalue()
        return encoded

    def _group_length(self, group: int, length: int) -> bytes:
        buffer = self._buffer()
        buffer.write_tag(group << 16)
        if self._implicit:
            buffer.write_UL(4)
        else:
            buffer.write(b"UL")
            buffer.write_US(4)
        buffer.write_UL(length)
        encoded: bytes = buffer.getvalue()
        return encoded

    def _padding(self, length: int, multiple: int) -> bytes:
        """Data Set Trailing Padding that makes the length a multiple (PS3.10 7.2)."""
        if multiple == 0 or length % multiple == 0:
            return b""
        header = _PADDING_HEADER[self._implicit]
        missing = multiple - length % multiple
        while missing < header:
            missing += multiple
        buffer = self._buffer()
        buffer.write_tag(_PADDING)
        if not self._implicit:
            buffer.write(b"OB\0\0")
        buffer.write_UL(missing - header)
        buffer.write(bytes(missing - header))
        encoded: bytes = buffer.getvalue()
        return encoded

    def _buffer(self) -> Any:
        from pydicom.filebase import DicomBytesIO

        buffer = DicomBytesIO()
        buffer.is_little_endian = self._little
        buffer.is_implicit_VR = self._implicit
        return buffer
