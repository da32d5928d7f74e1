"""The elements of an encoded data set, taken apart at their headers: no value is decoded (PS3.5 7)."""

from __future__ import annotations

from collections.abc import Sequence

from dcmnet.dataset.representations import LONG_LENGTH, SHORT_LENGTH, public_vr
from dcmnet.limits import MAX_SEQUENCE_DEPTH
from dcmnet.payload import Buffer

UNDEFINED_LENGTH = 0xFFFFFFFF
ITEM = 0xFFFEE000
ITEM_DELIMITER = 0xFFFEE00D
SEQUENCE_DELIMITER = 0xFFFEE0DD

_ITEM_TAG = b"\xfe\xff\x00\xe0"
_DELIMITER = b"\xfe\xff\xdd\xe0\0\0\0\0"
_DELIMITERS = (ITEM_DELIMITER, SEQUENCE_DELIMITER)
_VR = slice(4, 6)
_HEADER = 8
_LONG_HEADER = 12


class MalformedDataSet(ValueError):
    """The elements of a data set do not fit into one another; the message is the rest of a sentence."""


class _TooDeep(MalformedDataSet):
    """It would not be read as a value without structure either."""


class Element:
    """One element: its value, its items or its fragments, whichever it has.

    Attributes:
        tag: Group and element number.
        vr: Value representation; empty when it was read as Implicit VR, two in one such as "US or SS" when
            it has to be decided.
        value: Its encoded value.
        items: The items of a sequence; None for any other element.
        fragments: The fragments of an encapsulated value (PS3.5 A.4); None for any other element.
        undefined: Whether the length of a sequence is undefined.
        little: Whether the least significant byte of its numbers comes first.
    """

    __slots__ = ("fragments", "items", "little", "tag", "undefined", "value", "vr")

    def __init__(
        self,
        tag: int,
        vr: str,
        value: Buffer = b"",
        *,
        items: list[Item] | None = None,
        fragments: Sequence[Buffer] | None = None,
        undefined: bool = False,
        little: bool = True,
    ) -> None:
        self.tag = tag
        self.vr = vr
        self.value = value
        self.items = items
        self.fragments = fragments
        self.undefined = undefined
        self.little = little


class Item:
    """One item of a sequence."""

    __slots__ = ("elements", "undefined")

    def __init__(self, elements: list[Element], undefined: bool) -> None:
        self.elements = elements
        self.undefined = undefined


def shown(tag: int) -> str:
    """A tag as the standard writes it."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def read_elements(data: Buffer, *, implicit: bool, little: bool) -> list[Element]:
    """The elements of a data set.

    Raises:
        MalformedDataSet: It ends inside an element, or its sequences are nested too deep.
    """
    view = memoryview(data)
    return _Reader(view, little).elements(0, len(view), implicit, 0)[0]


def read_items(value: Buffer, *, implicit: bool, little: bool) -> list[Item]:
    """The items of a sequence that has this value; errors as for `read_elements`."""
    view = memoryview(value)
    return _Reader(view, little).items(0, len(view), implicit, 0, shown(ITEM))[0]


def split_fragments(value: Buffer) -> list[memoryview] | None:
    """The fragments of an encapsulated value, with or without the delimiter; None when it is none."""
    view = memoryview(value)
    position, end = 0, len(view)
    if view[-len(_DELIMITER) :] == _DELIMITER:
        end -= len(_DELIMITER)
    fragments = []
    while position < end:
        start = position + _HEADER
        position = start + int.from_bytes(view[start - 4 : start], "little")
        if view[start - _HEADER : start - 4] != _ITEM_TAG or position > end:
            return None
        fragments.append(view[start:position])
    return fragments or None


class _Reader:
    def __init__(self, view: memoryview, little: bool) -> None:
        self._view = view
        self._little = little

    def _number(self, start: int, length: int) -> int:
        part = self._view[start : start + length]
        return int.from_bytes(part, "little" if self._little else "big")

    def _tag(self, start: int) -> int:
        return self._number(start, 2) << 16 | self._number(start + 2, 2)

    def elements(
        self, position: int, end: int, implicit: bool, depth: int, *, delimited: bool = False
    ) -> tuple[list[Element], int]:
        """The elements from here to the end, or to the delimiter of the item; and where they end."""
        if depth > MAX_SEQUENCE_DEPTH:
            raise _TooDeep(f"has sequences that are nested deeper than {MAX_SEQUENCE_DEPTH}")
        found: list[Element] = []
        last = 0
        while position < end:
            if end - position < _HEADER:
                raise MalformedDataSet(f"is truncated behind {shown(last)}" if last else "has no data set")
            last = self._tag(position)
            if last in _DELIMITERS:  # one that is not needed is passed over
                position += _HEADER
                if delimited and last == ITEM_DELIMITER:
                    return found, position
                continue
            element, position = self._element(last, position, end, implicit, depth)
            found.append(element)
        if delimited:
            raise MalformedDataSet(f"is truncated behind {shown(last)}")
        return found, position

    def _element(self, tag: int, position: int, end: int, implicit: bool, depth: int) -> tuple[Element, int]:
        vr = "" if implicit else self._vr(position)
        start, length = self._length(position, vr)
        if length == UNDEFINED_LENGTH:
            return self._endless(tag, vr, start, end, depth)
        if start + length > end:
            raise MalformedDataSet(f"is truncated within {shown(tag)}")
        value = self._view[start : start + length]
        if (vr or public_vr(tag)) == "SQ":
            return self._sequence(tag, vr, value, start, depth), start + length
        return Element(tag, vr, value, little=self._little), start + length

    def _vr(self, position: int) -> str:
        """The VR; empty when there is none: some writers put items in Implicit VR into Explicit VR."""
        code = bytes(self._view[position:][_VR])
        return code.decode() if code.isalpha() and code.isascii() and code.isupper() else ""

    def _length(self, position: int, vr: str) -> tuple[int, int]:
        """Where the value begins, and how long it is."""
        if not vr:
            return position + _HEADER, self._number(position + 4, 4)
        # PS3.5 7.1.2: value representations to come will have the long form, as `LONG_LENGTH` has it
        is_long = vr in LONG_LENGTH or (vr not in SHORT_LENGTH and self._number(position + 6, 2) == 0)
        if is_long:
            return position + _LONG_HEADER, self._number(position + _HEADER, 4)
        return position + _HEADER, self._number(position + 6, 2)

    def _sequence(self, tag: int, vr: str, value: memoryview, start: int, depth: int) -> Element:
        """A sequence of known length; one that has no items in it keeps its value."""
        try:
            items, _ = self.items(start, start + len(value), not vr, depth, shown(tag))
        except _TooDeep:
            raise
        except MalformedDataSet:
            return Element(tag, vr, value, little=self._little)
        return Element(tag, "SQ", items=items, little=self._little)

    def _endless(self, tag: int, vr: str, start: int, end: int, depth: int) -> tuple[Element, int]:
        """An element of undefined length: a sequence, or an encapsulated value."""
        implicit = not vr
        if (vr or public_vr(tag)).startswith("O"):  # PS3.5 A.4: OB, in effect
            fragments, position = self._fragments(tag, start, end)
            return Element(tag, vr, fragments=fragments, undefined=True, little=self._little), position
        if vr == "UN":
            # PS3.5 6.2.2: an UN of undefined length is a sequence in Implicit VR Little Endian; some writers
            # leave its items in Explicit VR.
            implicit = not self._is_explicit(start)
            reader = _Reader(self._view, True) if implicit else self
            items, position = reader.items(start, end, implicit, depth, shown(tag), delimited=True)
        else:
            items, position = self.items(start, end, implicit, depth, shown(tag), delimited=True)
        return Element(tag, "SQ", items=items, undefined=True, little=self._little), position

    def _is_explicit(self, start: int) -> bool:
        """Whether the first element of the first item has a value representation."""
        code = bytes(self._view[start + _HEADER :][_VR])
        return code.decode("latin-1") in SHORT_LENGTH | LONG_LENGTH

    def items(
        self, position: int, end: int, implicit: bool, depth: int, name: str, *, delimited: bool = False
    ) -> tuple[list[Item], int]:
        """The items from here to the end, or to the delimiter of the sequence; and where they end."""
        found: list[Item] = []
        while position < end:
            if end - position < _HEADER:
                break
            tag, length = self._tag(position), self._number(position + 4, 4)
            position += _HEADER
            if tag == SEQUENCE_DELIMITER:
                if delimited:
                    return found, position
                continue
            if tag != ITEM:
                raise MalformedDataSet(f"has something other than items in the sequence {name}")
            item, position = self._item(position, end, length, implicit, depth, name)
            found.append(item)
        if delimited or position != end:
            raise MalformedDataSet(f"is truncated within {name}")
        return found, position

    def _item(
        self, position: int, end: int, length: int, implicit: bool, depth: int, name: str
    ) -> tuple[Item, int]:
        if length == UNDEFINED_LENGTH:
            elements, position = self.elements(position, end, implicit, depth + 1, delimited=True)
            return Item(elements, True), position
        if position + length > end:
            raise MalformedDataSet(f"is truncated within {name}")
        elements, position = self.elements(position, position + length, implicit, depth + 1)
        return Item(elements, False), position

    def _fragments(self, tag: int, position: int, end: int) -> tuple[list[Buffer], int]:
        found: list[Buffer] = []
        while end - position >= _HEADER:
            kind, length = self._tag(position), self._number(position + 4, 4)
            position += _HEADER
            if kind == SEQUENCE_DELIMITER:
                return found, position
            if kind != ITEM or position + length > end:
                break
            found.append(self._view[position : position + length])
            position += length
        raise MalformedDataSet(f"is truncated within {shown(tag)}")
