"""The elements of an encoded data set, taken apart at their headers: no value is decoded (PS3.5 7)."""

from __future__ import annotations

from collections.abc import Callable, Container, Generator, Iterator, Sequence

from dcmnet.dataset.representations import LONG_LENGTH, SHORT_LENGTH, public_vr
from dcmnet.errors import InputFileError, LimitExceeded
from dcmnet.limits import MAX_ELEMENTS, MAX_HEAD_SEQUENCE_LENGTH, MAX_ITEMS, MAX_SEQUENCE_DEPTH
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
_FIRST_READ = 1 << 14


class MalformedDataSet(ValueError):
    """The elements of a data set do not fit into one another; the message is the rest of a sentence."""


class BeyondLimit(MalformedDataSet):
    """A limit forbids to read on; it would not be read as a value without structure either."""


class Allowance:
    """How many elements and items may be read, in all of a data set; fragments count as elements.

    Args:
        elements: So many elements.
        items: So many items.
    """

    __slots__ = ("_elements", "_items", "_most")

    def __init__(self, elements: int = MAX_ELEMENTS, items: int = MAX_ITEMS) -> None:
        self._most = elements, items
        self._elements = elements
        self._items = items

    def take_elements(self, count: int = 1) -> None:
        """Some more elements are about to be read.

        Raises:
            BeyondLimit: They are too many.
        """
        self._elements -= count
        if self._elements < 0:
            raise BeyondLimit(f"has more than {self._most[0]} elements")

    def take_items(self, count: int = 1) -> None:
        """Some more items are; likewise."""
        self._items -= count
        if self._items < 0:
            raise BeyondLimit(f"has more than {self._most[1]} items")


def refusal(name: str, error: MalformedDataSet, before: str = "") -> InputFileError:
    """The exception for a data set of this name that cannot be read."""
    kind = LimitExceeded if isinstance(error, BeyondLimit) else InputFileError
    return kind(name, f"{before}{error}")


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


def read_elements(
    data: Buffer, *, implicit: bool, little: bool, allowance: Allowance | None = None
) -> list[Element]:
    """The elements of a data set.

    Raises:
        MalformedDataSet: It ends inside an element.
        BeyondLimit: Its sequences are nested too deep, or more is in it than `allowance` says.
    """
    view = memoryview(data)
    return _Reader(view, little, allowance).elements(0, len(view), implicit, 0)[0]


def read_items(value: Buffer, *, implicit: bool, little: bool) -> list[Item]:
    """The items of a sequence that has this value; errors as for `read_elements`."""
    view = memoryview(value)
    return _Reader(view, little).items(0, len(view), implicit, 0, shown(ITEM))[0]


def iterate_items(
    data: Buffer, tag: int, *, implicit: bool, little: bool, allowance: Allowance
) -> Iterator[Item]:
    """The items of a sequence, one at a time: none of those before is kept.

    Args:
        data: A data set.
        tag: Of the sequence, at the data set's own level.
        implicit: Whether it is in Implicit VR.
        little: The byte order.
        allowance: How much may be read.

    Raises:
        MalformedDataSet: As for `read_elements`.
    """
    return _Reader(memoryview(data), little, allowance).sequence_at_top(tag, implicit)


def leading_elements(
    read: Callable[[int, int], Buffer],
    last: int,
    wanted: Container[int],
    *,
    implicit: bool,
    little: bool,
    allowance: Allowance,
) -> Iterator[Element]:
    """Some of the elements that a data set has up to a tag; long values of others are passed over.

    Args:
        read: Reads bytes from an offset of the data set, as many as asked for if there are so many.
        last: The tag.
        wanted: The tags of these elements.
        implicit: Whether it is in Implicit VR.
        little: The byte order.
        allowance: How much may be read.

    Raises:
        BeyondLimit: An element is longer than `MAX_HEAD_SEQUENCE_LENGTH`, or there is too much of them.
    """
    position, count = 0, _FIRST_READ
    while True:
        view = memoryview(read(position, count))
        is_last = len(view) < count
        reader = _Reader(view, little, allowance)
        offset, needed = yield from reader.leading(last, wanted, implicit, is_last=is_last)
        if not needed or (is_last and offset <= len(view)):  # what is truncated has nothing more to give
            return
        if needed > MAX_HEAD_SEQUENCE_LENGTH:
            raise BeyondLimit(f"has an element of more than {MAX_HEAD_SEQUENCE_LENGTH} bytes near its begin")
        position, count = position + offset, max(needed, _FIRST_READ)


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
    def __init__(self, view: memoryview, little: bool, allowance: Allowance | None = None) -> None:
        self._view = view
        self._little = little
        self._allowance = Allowance() if allowance is None else allowance

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
            raise BeyondLimit(f"has sequences that are nested deeper than {MAX_SEQUENCE_DEPTH}")
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
            self._allowance.take_elements()
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
        except BeyondLimit:
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
            reader = _Reader(self._view, True, self._allowance) if implicit else self
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
        while True:
            item, position = self.next_item(position, end, implicit, depth, name, delimited=delimited)
            if item is None:
                return found, position
            found.append(item)

    def next_item(
        self, position: int, end: int, implicit: bool, depth: int, name: str, *, delimited: bool
    ) -> tuple[Item | None, int]:
        """The item here, and where it ends; None behind the last one."""
        while end - position >= _HEADER:
            tag, length = self._tag(position), self._number(position + 4, 4)
            position += _HEADER
            if tag == ITEM:
                self._allowance.take_items()
                return self._item(position, end, length, implicit, depth, name)
            if tag != SEQUENCE_DELIMITER:
                raise MalformedDataSet(f"has something other than items in the sequence {name}")
            if delimited:
                return None, position
        if delimited or position != end:
            raise MalformedDataSet(f"is truncated within {name}")
        return None, position

    def leading(
        self, last: int, wanted: Container[int], implicit: bool, *, is_last: bool
    ) -> Generator[Element, None, tuple[int, int]]:
        """The wanted elements up to the last one, as far as they are here.

        Returns:
            Where to go on, and how many bytes are needed there; 0 of them if nothing more is wanted.
        """
        position, end = 0, len(self._view)
        while end - position >= (_HEADER if is_last else _LONG_HEADER):
            tag = self._tag(position)
            if tag > last and tag not in _DELIMITERS:
                return position, 0
            self._allowance.take_elements()
            start, length = self._length(position, "" if implicit else self._vr(position))
            if length != UNDEFINED_LENGTH and tag not in wanted:
                position = start + length
                continue
            try:
                element, following = self._element(tag, position, end, implicit, 0)
            except BeyondLimit:
                raise
            except MalformedDataSet:  # of undefined length: it may end behind what is here
                needed = 2 * (end - position) if length == UNDEFINED_LENGTH else start + length - position
                return position, max(needed, 2 * _LONG_HEADER)
            position = following
            if tag in wanted:
                yield element
        return position, _LONG_HEADER

    def sequence_at_top(self, wanted: int, implicit: bool) -> Iterator[Item]:
        """The items of a sequence of the data set's own level, one at a time; none if it is not there."""
        position, end = 0, len(self._view)
        while end - position >= _HEADER and (tag := self._tag(position)) != wanted:
            self._allowance.take_elements()
            _, position = self._element(tag, position, end, implicit, 0)
        if end - position < _HEADER:
            return
        start, length = self._length(position, "" if implicit else self._vr(position))
        delimited = length == UNDEFINED_LENGTH
        stop = end if delimited else start + length
        if stop > end:
            raise MalformedDataSet(f"is truncated within {shown(wanted)}")
        item, start = self.next_item(start, stop, implicit, 0, shown(wanted), delimited=delimited)
        while item is not None:
            yield item
            item, start = self.next_item(start, stop, implicit, 0, shown(wanted), delimited=delimited)

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
            self._allowance.take_elements()
            found.append(self._view[position : position + length])
            position += length
        raise MalformedDataSet(f"is truncated within {shown(tag)}")
