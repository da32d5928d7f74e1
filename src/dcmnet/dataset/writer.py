"""Encodes elements: headers, lengths of sequences, group lengths and padding as they are asked for.

Values stay as they are, but for the order of bytes in numbers and the byte that makes a length even.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from dcmnet.dataset import AS_USUAL, Encoding
from dcmnet.dataset.elements import (
    ITEM,
    ITEM_DELIMITER,
    SEQUENCE_DELIMITER,
    UNDEFINED_LENGTH,
    Element,
    Item,
    MalformedDataSet,
    shown,
)
from dcmnet.dataset.level import Level
from dcmnet.dataset.representations import LATE, SHORT_LENGTH, WIDTHS, padding, public_vr
from dcmnet.limits import MAX_SEQUENCE_DEPTH
from dcmnet.registry.transfer_syntaxes import is_big_endian, is_implicit

_PADDING = 0xFFFCFFFC
_PADDING_HEADER = {True: 8, False: 12}
"""Bytes of a padding element before its value, by whether VRs are implicit."""
_LONGEST_SHORT = 0xFFFE
_LONGEST = 0xFFFFFFFE


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
        explicit_lengths: Whether sequences and items say how long they are, or end in a delimiter; None for
            what each of them did before.
        padding: The file's length, and that of each item, become multiples of these; 0 pads nothing, None
            leaves the padding that is there.
        known_vrs: Whether an element of VR UN gets the VR that the dictionary has for it.
        encoding: How values are encoded.
    """

    group_lengths: GroupLengths = GroupLengths.RECALCULATE
    explicit_lengths: bool | None = True
    padding: tuple[int, int] | None = (0, 0)
    known_vrs: bool = False
    encoding: Encoding = AS_USUAL


AS_IT_WAS = Layout(GroupLengths.REMOVE, explicit_lengths=None, padding=None)
"""How a data set is laid out that is sent in another transfer syntax."""


def write_elements(elements: list[Element], transfer_syntax: str, layout: Layout, before: int = 0) -> bytes:
    """The encoded data set, not deflated.

    Args:
        elements: Its elements.
        transfer_syntax: UID of the one to encode in.
        layout: What it will look like.
        before: Length of what will stand before the data set in its file, which padding counts.

    Raises:
        MalformedDataSet: An element has no form in that transfer syntax.
    """
    encoder = _Encoder(layout, is_implicit(transfer_syntax), not is_big_endian(transfer_syntax))
    return encoder.encode(elements, before)


class _Encoder:
    """Writes a data set element by element."""

    def __init__(self, layout: Layout, implicit: bool, little: bool) -> None:
        self._layout = layout
        self._implicit = implicit
        self._little = little

    def encode(self, elements: list[Element], before: int) -> bytes:
        """The whole data set."""
        multiple = self._layout.padding[0] if self._layout.padding else 0
        return self._level(elements, None, before, multiple, 0)

    def _level(
        self, elements: list[Element], parent: Level | None, before: int, multiple: int, depth: int
    ) -> bytes:
        """The elements of a data set, or of an item."""
        if depth > MAX_SEQUENCE_DEPTH:
            raise MalformedDataSet(f"has sequences that are nested deeper than {MAX_SEQUENCE_DEPTH}")
        level = Level(elements, parent)
        groups: dict[int, list[bytes]] = {}
        with_length: set[int] = set()
        # PS3.5 7.1: elements are in the order of their tags
        for element in sorted(elements, key=lambda each: each.tag):
            # PS3.5 7.2: group lengths are made here; PS3.10 7.2: and so is Data Set Trailing Padding.
            if element.tag & 0xFFFF == 0:
                with_length.add(element.tag >> 16)
            elif element.tag != _PADDING or self._layout.padding is None:
                groups.setdefault(element.tag >> 16, []).append(self._element(element, level, depth))
        encoded = b"".join(self._group(group, parts, with_length) for group, parts in groups.items())
        return encoded + self._trailing_padding(before + len(encoded), multiple)

    def _group(self, group: int, parts: list[bytes], with_length: set[int]) -> bytes:
        body = b"".join(parts)
        ways = self._layout.group_lengths
        wanted = ways is GroupLengths.CREATE or (ways is GroupLengths.RECALCULATE and group in with_length)
        length = self._number(len(body), 4)
        return self._header(group << 16, "UL", 4) + length + body if wanted else body

    def _element(self, element: Element, level: Level, depth: int) -> bytes:
        if element.items is not None:
            return self._sequence(element, element.items, level, depth)
        if element.fragments is not None:
            return self._encapsulated(element)
        vr = self._vr(element, level)
        value = self._value(element, vr)
        length = len(value)
        if length > _LONGEST:
            raise MalformedDataSet(f"has a value that is too long in {shown(element.tag)}")
        if not self._implicit and vr in SHORT_LENGTH and length > _LONGEST_SHORT:
            # PS3.5 6.2.2, note 5: a value that is too long for its VR goes as UN, which is never swapped
            vr, value = "UN", self._swapped(value, vr, element.little, True)
        return self._header(element.tag, self._shown_vr(vr), length) + value

    def _vr(self, element: Element, level: Level) -> str:
        is_same_order = element.little == self._little
        if element.vr == "SQ" and (self._implicit or not is_same_order):  # it could not be taken apart
            raise MalformedDataSet(f"has something other than items in the sequence {shown(element.tag)}")
        if self._implicit and is_same_order:
            return element.vr  # it is not written, and no byte is moved
        vr = level.vr_of(element, known_vrs=self._layout.known_vrs)
        if vr == "SQ" and element.vr != "SQ":
            return "UN"  # PS3.5 6.2.2: whatever it is, it came in Implicit VR
        is_whole = len(element.value) % WIDTHS.get(vr, 1) == 0 or vr == "OW"
        if is_whole or (element.vr == vr and is_same_order):
            return vr
        # PS3.5 6.2.2: what has not the length of its VR may be anything: as UN it stays as it is
        return vr if is_same_order and (len(element.value) + 1) % WIDTHS[vr] == 0 else "UN"

    def _value(self, element: Element, vr: str) -> bytes:
        value = bytes(element.value)
        if len(value) & 1:  # PS3.5 7.1.1
            value += padding(vr or public_vr(element.tag))
        return self._swapped(value, vr, element.little, self._little)

    def _swapped(self, value: bytes, vr: str, little: bool, wanted: bool) -> bytes:
        """PS3.5 7.3: the bytes of each number the other way round, if the order is not the wanted one."""
        width = WIDTHS.get(vr, 1)
        if little == wanted or width == 1:
            return value
        swapped = bytearray(len(value))
        for position in range(width):
            swapped[position::width] = value[width - 1 - position :: width]
        return bytes(swapped)

    def _sequence(self, element: Element, items: list[Item], level: Level, depth: int) -> bytes:
        content = b"".join(self._item(item, level, depth) for item in items)
        if self._is_undefined(element.undefined):
            delimiter = self._tag(SEQUENCE_DELIMITER) + bytes(4)
            return self._header(element.tag, "SQ", UNDEFINED_LENGTH) + content + delimiter
        return self._header(element.tag, "SQ", len(content)) + content

    def _item(self, item: Item, level: Level, depth: int) -> bytes:
        multiple = self._layout.padding[1] if self._layout.padding else 0
        content = self._level(item.elements, level, 0, multiple, depth + 1)
        if self._is_undefined(item.undefined):
            delimiter = self._tag(ITEM_DELIMITER) + bytes(4)
            return self._tag(ITEM) + self._number(UNDEFINED_LENGTH, 4) + content + delimiter
        return self._tag(ITEM) + self._number(len(content), 4) + content

    def _is_undefined(self, before: bool) -> bool:
        explicit = self._layout.explicit_lengths
        return before if explicit is None else not explicit

    def _encapsulated(self, element: Element) -> bytes:
        # PS3.5 A.4: only Explicit VR Little Endian has encapsulated values
        if self._implicit or not self._little or element.fragments is None:
            why = "has an encapsulated value in {}, which only Explicit VR Little Endian can have"
            raise MalformedDataSet(why.format(shown(element.tag)))
        vr = element.vr if element.vr in ("OB", "OW", "UN") else "OB"
        parts = [self._header(element.tag, vr, UNDEFINED_LENGTH)]
        if any(len(fragment) & 1 for fragment in element.fragments[:-1]):  # offset tables would be wrong then
            raise MalformedDataSet(f"has a fragment of odd length in {shown(element.tag)} (PS3.5 A.4)")
        for fragment in element.fragments:
            content = bytes(fragment) + b"\0" * (len(fragment) & 1)
            parts += (self._tag(ITEM), self._number(len(content), 4), content)
        return b"".join((*parts, self._tag(SEQUENCE_DELIMITER), bytes(4)))

    def _trailing_padding(self, length: int, multiple: int) -> bytes:
        """Data Set Trailing Padding that makes the length a multiple (PS3.10 7.2)."""
        if multiple == 0 or length % multiple == 0:
            return b""
        header = _PADDING_HEADER[self._implicit]
        missing = multiple - length % multiple
        while missing < header:
            missing += multiple
        return self._header(_PADDING, "OB", missing - header) + bytes(missing - header)

    def _shown_vr(self, vr: str) -> str:
        return "OB" if vr in LATE and not self._layout.encoding.new_vr else vr

    def _header(self, tag: int, vr: str, length: int) -> bytes:
        if self._implicit:
            return self._tag(tag) + self._number(length, 4)
        if vr in SHORT_LENGTH:
            return self._tag(tag) + vr.encode() + self._number(length, 2)
        return self._tag(tag) + vr.encode() + b"\0\0" + self._number(length, 4)

    def _tag(self, tag: int) -> bytes:
        return self._number(tag >> 16, 2) + self._number(tag & 0xFFFF, 2)

    def _number(self, number: int, length: int) -> bytes:
        return number.to_bytes(length, "little" if self._little else "big")
