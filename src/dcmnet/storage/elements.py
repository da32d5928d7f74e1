"""The headers of data elements (PS3.5 7.1): what stands at an offset, and where it ends.

Nothing here opens a file. A `Window` holds some bytes of a data set and reads more when they are needed; no
length that a data set declares is ever allocated.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, NamedTuple

from dcmnet.limits import MAX_SEQUENCE_DEPTH
from dcmnet.payload import Buffer
from dcmnet.registry import transfer_syntaxes

HEAD_LENGTH: Final = 65536
"""Bytes of a file, or of an inflated data set, that are searched for what a data set is."""

WINDOW_LENGTH: Final = 16384
"""Bytes that are read at a time: most headers stand close together, and large values are skipped."""

ITEM_GROUP: Final = 0xFFFE
UNDEFINED_LENGTH: Final = 0xFFFFFFFF

ITEM: Final = 0xFFFEE000
ITEM_DELIMITATION: Final = 0xFFFEE00D
SEQUENCE_DELIMITATION: Final = 0xFFFEE0DD

# PS3.5 7.1.2: these have a length of two bytes; all others two reserved bytes and a length of four.
SHORT_VRS: Final = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
LONG_VRS: Final = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
VRS: Final = SHORT_VRS | LONG_VRS


class Encoding(NamedTuple):
    """How the elements of a data set are laid out.

    Attributes:
        implicit: Whether value representations are left out.
        header: Group, element, value representation, length of two bytes.
        long_length: A length of four bytes.
    """

    implicit: bool
    header: struct.Struct
    long_length: struct.Struct


_LITTLE = struct.Struct("<HH2sH"), struct.Struct("<I")
_BIG = struct.Struct(">HH2sH"), struct.Struct(">I")
IMPLICIT_LITTLE: Final = Encoding(True, *_LITTLE)
EXPLICIT_LITTLE: Final = Encoding(False, *_LITTLE)
IMPLICIT_BIG: Final = Encoding(True, *_BIG)
EXPLICIT_BIG: Final = Encoding(False, *_BIG)


class Element(NamedTuple):
    """The header of an element: where its value starts, and its declared length."""

    tag: int
    vr: bytes
    length: int
    start: int


class CutOffError(ValueError):
    """The bytes end inside an element."""


class Window:
    """Some bytes of a data set, of which more are read when they are needed.

    Args:
        start: Its first bytes.
        size: Its length; that of `start` unless given.
        read: Reads bytes from an offset of the data set, as many as asked for if there are so many.

    Attributes:
        view: The bytes at hand.
        base: The offset of the first of them.
        size: Length of the data set.
    """

    __slots__ = ("_read", "base", "size", "view")

    def __init__(
        self, start: Buffer, size: int | None = None, read: Callable[[int, int], Buffer] | None = None
    ) -> None:
        self.size = len(start) if size is None else size
        self.view = memoryview(start)[: self.size]
        self.base = 0
        self._read = read

    def find(self, offset: int, count: int) -> int:
        """Where an offset is in `view`, with `count` bytes behind it unless the data set ends before."""
        position = offset - self.base
        end = len(self.view)
        if (position < 0 or position + count > end) and self._read is not None:
            if position < 0 or self.base + end < self.size:
                self.view = memoryview(self._read(offset, min(WINDOW_LENGTH, self.size - offset)))
                self.base = offset
                return 0
        return position


def encoding_of(transfer_syntax: str) -> Encoding:
    """How elements are laid out in a transfer syntax: if it is unknown, as explicit little endian."""
    if transfer_syntaxes.is_implicit(transfer_syntax):
        return IMPLICIT_LITTLE
    return EXPLICIT_BIG if transfer_syntaxes.is_big_endian(transfer_syntax) else EXPLICIT_LITTLE


def element_at(window: Window, offset: int, encoding: Encoding) -> Element:
    """The header of the element at an offset.

    Raises:
        CutOffError: The bytes end before the header does.
        ValueError: There is no element.
    """
    position = window.find(offset, 12)
    view = window.view
    if position + 8 > len(view):
        raise CutOffError(f"the element at byte {offset} is cut off")
    group, number, vr, length = encoding.header.unpack_from(view, position)
    tag = group << 16 | number
    # PS3.5 7.5: items and delimiters have no value representation in any transfer syntax.
    if encoding.implicit or group == ITEM_GROUP:
        return Element(tag, b"", encoding.long_length.unpack_from(view, position + 4)[0], offset + 8)
    if vr in SHORT_VRS:
        return Element(tag, vr, length, offset + 8)
    # PS3.5 7.1.2: a value representation of a later edition has a length of four bytes too.
    if not (vr.isalpha() and vr.isupper()):
        raise ValueError(f"{tag_text(tag)} at byte {offset} has no value representation")
    if position + 12 > len(view):
        raise CutOffError(f"the element at byte {offset} is cut off")
    return Element(tag, vr, encoding.long_length.unpack_from(view, position + 8)[0], offset + 12)


def end_of(window: Window, element: Element, encoding: Encoding) -> int:
    """The offset behind an element's value.

    Raises:
        CutOffError: The bytes end before the value does.
        ValueError: A sequence of undefined length is malformed.
    """
    if element.length == UNDEFINED_LENGTH:
        return _end_of_sequence(window, element, encoding)
    end = element.start + element.length
    if end > window.size:
        raise CutOffError(
            f"{tag_text(element.tag)} claims {element.length} bytes, {window.size - element.start} are there"
        )
    return end


def _end_of_sequence(window: Window, sequence: Element, encoding: Encoding) -> int:
    """The offset behind the delimiter of a sequence, or of fragments, of undefined length."""
    # One entry for each sequence and each item that is open and has no length: its delimiter, its encoding.
    open_levels = [(SEQUENCE_DELIMITATION, encoding_within(sequence, encoding))]
    offset = sequence.start
    while open_levels:
        delimiter, encoding = open_levels[-1]
        element = element_at(window, offset, encoding)
        offset = element.start
        if element.tag == delimiter:
            open_levels.pop()
        elif not _belongs(element.tag, within_item=delimiter == ITEM_DELIMITATION):
            raise ValueError(f"{tag_text(element.tag)} has no place in front of byte {offset}")
        elif element.length != UNDEFINED_LENGTH:
            offset = end_of(window, element, encoding)
        elif element.tag == ITEM:
            open_levels.append((ITEM_DELIMITATION, encoding))
        elif len(open_levels) >= 2 * MAX_SEQUENCE_DEPTH:
            raise ValueError(f"sequences are nested more than {MAX_SEQUENCE_DEPTH} deep")
        else:
            open_levels.append((SEQUENCE_DELIMITATION, encoding_within(element, encoding)))
    return offset


def _belongs(tag: int, *, within_item: bool) -> bool:
    # PS3.5 7.5.1: a sequence consists of items, an item of elements that are neither items nor delimiters.
    return tag >> 16 != ITEM_GROUP if within_item else tag == ITEM


def encoding_within(element: Element, encoding: Encoding) -> Encoding:
    """How the items of an element are laid out."""
    # PS3.5 6.2.2 note: a UN of undefined length holds a sequence in Implicit VR Little Endian.
    return IMPLICIT_LITTLE if element.vr == b"UN" else encoding


def guess_transfer_syntax(head: Buffer) -> str | None:
    """The transfer syntax of a data set without File Meta Information, from its first element.

    Returns:
        Implicit VR Little Endian, Explicit VR Little Endian or Explicit VR Big Endian; None when the bytes do
        not look like a data set. A deflated one cannot be told from any other file.
    """
    view = memoryview(head)
    if len(view) < 8:
        return None
    little, big = view[0] | view[1] << 8, view[0] << 8 | view[1]
    if bytes(view[4:6]) in VRS:
        if _may_be_first_group(little):
            return transfer_syntaxes.EXPLICIT_VR_LITTLE_ENDIAN
        return transfer_syntaxes.EXPLICIT_VR_BIG_ENDIAN if _may_be_first_group(big) else None
    length = IMPLICIT_LITTLE.long_length.unpack_from(view, 4)[0]
    plausible = length == UNDEFINED_LENGTH or (length <= HEAD_LENGTH and length % 2 == 0)
    return transfer_syntaxes.IMPLICIT_VR_LITTLE_ENDIAN if plausible and _may_be_first_group(little) else None


def _may_be_first_group(group: int) -> bool:
    """Whether a data set may begin with this group: an even one, and not far behind 0008."""
    return 0x0004 <= group <= 0x00FE and group % 2 == 0


def tag_text(tag: int) -> str:
    """A tag as the standard prints it."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
