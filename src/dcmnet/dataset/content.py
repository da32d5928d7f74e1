"""The elements of an identifier as they are encoded, read one by one.

What a peer answers may have bad values and bad ends. Each costs nothing but itself: an element whose value
is no valid one has its bytes and a fault, and so has a sequence that does not hold items; if it is not
known any more where the next element begins, what came before is there all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, NoReturn

from dcmnet.dataset.elements import Allowance, BeyondLimit
from dcmnet.dataset.identifiers import inflate
from dcmnet.dataset.quiet import silently
from dcmnet.dataset.values import (
    NUMBERS,
    ONE_VALUE,
    TEXT,
    bytes_as_text,
    encodings_named,
    read_value,
    vr_in_dictionary,
)
from dcmnet.errors import InputFileError
from dcmnet.limits import MAX_IDENTIFIER_ELEMENTS, MAX_IDENTIFIER_ITEMS, MAX_SEQUENCE_DEPTH, Limits, Tolerance
from dcmnet.payload import Buffer
from dcmnet.registry.transfer_syntaxes import is_big_endian, is_deflated, is_implicit
from dcmnet.registry.uids import is_valid_uid

SPECIFIC_CHARACTER_SET = 0x00080005
UNKNOWN_VR = "??"
"""Stands for a VR that is none."""

_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_UNDEFINED = 0xFFFFFFFF
# PS3.5 7.1.2: the VRs whose length has two bytes, and those where it has four, behind two reserved ones.
_SHORT_HEADER = frozenset("AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
_LONG_HEADER = frozenset("OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
# Of VR UN if the list is too long for UI (PS3.5 6.2.2); the others are wrong, and can be read all the same.
_LISTS_UIDS = TEXT | {"OB", "UN", UNKNOWN_VR}
_HOLDS_ITEMS = frozenset(("SQ", "UN", UNKNOWN_VR))  # PS3.5 6.2.2: UN of undefined length is a sequence


class Element(NamedTuple):
    """One element, as it is encoded.

    Attributes:
        tag: Its tag.
        vr: Its value representation.
        value: The encoded value; empty for a sequence of items.
        length: Its length field; None if that is undefined.
        items: The items of a sequence; None for anything else, and for a sequence that does not hold items.
        text: The value as text; the bytes if it is no valid one.
        fault: Why it is no valid value; "" for one that is.
    """

    tag: int
    vr: str
    value: bytes
    length: int | None
    items: tuple[Item, ...] | None
    text: str
    fault: str

    @property
    def multiplicity(self) -> int:
        """How many values it has."""
        if self.items is not None:
            return 1
        if not self.value:
            return 0
        if self.vr in ONE_VALUE or self.vr not in TEXT | NUMBERS.keys():
            return 1
        return self.text.count("\\") + 1


class Item(NamedTuple):
    """An item of a sequence.

    Attributes:
        elements: Its elements, in the order in which they came.
        length: Its length field; None if that is undefined.
    """

    elements: tuple[Element, ...]
    length: int | None


class Content(NamedTuple):
    """What could be read of an identifier.

    Attributes:
        elements: Its elements, in the order in which they came; the last one may be a part.
        fault: Why not all of it could be read; "" if it could.
        little_endian: The byte order of its values.
    """

    elements: tuple[Element, ...]
    fault: str
    little_endian: bool

    def faults(self) -> Iterator[tuple[str, str]]:
        """Where values are that are not valid, such as "(0040,0100)[0].(0028,0010)", and why."""
        return _faults(self.elements, "")


class _Lost(Exception):
    """It is not known where the next element begins."""


class _Header(NamedTuple):
    """What stands before a value: `start` is where that begins."""

    tag: int
    vr: str
    length: int
    start: int
    fault: str = ""


class _Scope(NamedTuple):
    """What holds for elements by the item that they are in."""

    encodings: Any
    depth: int
    implicit: bool


@silently
def read_elements(
    data: Buffer, transfer_syntax: str, *, known_vrs: bool = False, limits: Limits | None = None
) -> Content:
    """Read an identifier as far as it can be read.

    Args:
        data: Encoded.
        transfer_syntax: UID of the one that it is in.
        known_vrs: Give elements of VR UN the VR that the dictionary has for them (PS3.5 6.2.2).
        limits: How much is read; the defaults unless given.
    """
    encoded, found, fault = bytes(data), list[Element](), ""
    little_endian = not is_big_endian(transfer_syntax)
    try:
        if is_deflated(transfer_syntax):
            encoded = inflate(encoded, "identifier", limits)
        reader = _Reader(encoded, little_endian=little_endian, known_vrs=known_vrs)
        reader.allow(limits)
        reader.read(found, 0, len(encoded), _Scope(None, 0, is_implicit(transfer_syntax)))
    except InputFileError as error:
        fault = error.why
    except (_Lost, BeyondLimit) as lost:
        fault = str(lost)
    return Content(tuple(found), fault, little_endian)


def element_with(tag: int, elements: Iterable[Element]) -> Element | None:
    """The first element with a tag."""
    return next((element for element in elements if element.tag == tag), None)


def failed_instances(data: Buffer, transfer_syntax: str) -> tuple[tuple[str, ...], str]:
    """The Failed SOP Instance UID List (0008,0058) of a retrieval's final response.

    Returns:
        The UIDs, () if there is no list; and why not all of the identifier can be read, or "".
    """
    content = read_elements(data, transfer_syntax)
    element = element_with(0x00080058, content.elements)
    if element is None:
        return (), content.fault
    if element.vr not in _LISTS_UIDS:
        return (), content.fault or f"has {_shown(element.tag)} of VR {element.vr}, and not of UI"
    uids = [uid for each in element.value.decode("latin-1").split("\\") if (uid := each.strip(" \0"))]
    if content.fault and element is content.elements[-1]:
        del uids[-1:]  # the last one may be cut off
    valid = tuple(uid for uid in uids if is_valid_uid(uid, Tolerance.NONCONFORMING_UID))
    fault = "" if len(valid) == len(uids) else f"has what is no UID in {_shown(element.tag)}"
    return valid, content.fault or fault


def _faults(elements: tuple[Element, ...], path: str) -> Iterator[tuple[str, str]]:
    for element in elements:
        where = f"{path}{_shown(element.tag)}"
        if element.fault:
            yield where, element.fault
        for number, item in enumerate(element.items or ()):
            yield from _faults(item.elements, f"{where}[{number}].")


class _Reader:
    """Reads elements out of bytes; no length is believed before it is compared with what is there."""

    def __init__(self, data: bytes, *, little_endian: bool, known_vrs: bool) -> None:
        from dcmnet.dataset.bridge import DicomBytesIO

        self._data = data
        self._little_endian = little_endian
        self._known_vrs = known_vrs
        self._allowance = Allowance()
        self._source = DicomBytesIO(data)
        self._source.is_little_endian = little_endian

    def allow(self, limits: Limits | None) -> None:
        """Read no more than these limits allow."""
        if limits is None:
            self._allowance = Allowance(MAX_IDENTIFIER_ELEMENTS, MAX_IDENTIFIER_ITEMS)
        else:
            self._allowance = Allowance(limits.max_identifier_elements, limits.max_identifier_items)
        self._allowance.take_elements(self._data.count(b"\\"))  # one for each further value

    def read(
        self, found: list[Element], position: int, end: int, scope: _Scope, *, delimited: bool = False
    ) -> int:
        """Append the elements up to `end`, or an Item Delimitation Item; returns where what follows begins.

        Raises:
            _Lost: It is not known where the next one begins; `found` has those before.
        """
        creators: dict[int, str] = {}
        while position < end:
            header = self._header(position, end, scope.implicit, creators, found)
            if delimited and header.tag == _ITEM_END:
                return header.start
            self._allowance.take_elements()
            position = self._element(found, header, end, scope)
            tag, text = found[-1].tag, found[-1].text
            if tag == SPECIFIC_CHARACTER_SET:
                scope = scope._replace(encodings=encodings_named(text) or scope.encodings)
            elif tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF:  # PS3.5 7.8.1: a Private Creator
                creators[tag] = text.strip(" \0")
        if delimited:
            _lose("is truncated", "behind", found)
        return position

    # ------------------------------------------------------------------ headers

    def _tag_and_length(self, position: int) -> tuple[int, int]:
        self._source.seek(position)
        group, number = self._source.read_tag()
        return group << 16 | number, self._source.read_UL()

    def _header(
        self, position: int, end: int, implicit: bool, creators: dict[int, str], found: list[Element]
    ) -> _Header:
        if end - position < 8:
            _lose("is truncated", "behind", found)
        tag, length = self._tag_and_length(position)
        start = position + 8
        vr = self._data[position + 4 : position + 6].decode("latin-1")
        fits = length == _UNDEFINED or length <= end - start
        if tag >> 16 == 0xFFFE:  # PS3.5 7.5: items and delimiters have no VR
            return _Header(tag, "na", length, start)
        if implicit and (fits or vr not in _SHORT_HEADER | _LONG_HEADER):
            return _Header(tag, vr_in_dictionary(tag, creators), length, start)
        if not implicit and fits and not (vr.isascii() and vr.isalpha() and vr.isupper()):
            return _Header(
                tag, vr_in_dictionary(tag, creators), length, start, "it is encoded in Implicit VR"
            )
        header = self._explicit_header(tag, vr, position, end)
        if implicit:
            return header._replace(fault="it is encoded in Explicit VR")
        if header.vr == "UN" and self._known_vrs and header.length != _UNDEFINED:
            return header._replace(vr=vr_in_dictionary(tag, creators))
        return header

    def _explicit_header(self, tag: int, vr: str, position: int, end: int) -> _Header:
        self._source.seek(position + 6)
        length = self._source.read_US()
        if vr in _SHORT_HEADER:
            return _Header(tag, vr, length, position + 8)
        whole = self._source.read_UL() if end - position >= 12 else _UNDEFINED + 1
        if vr in _LONG_HEADER:
            if whole > _UNDEFINED:
                raise _Lost(f"is truncated within {_shown(tag)}")
            return _Header(tag, vr, whole, position + 12)
        fault = "its value representation is unknown"
        # PS3.5 7.1.2: VRs that are yet to come have the long header.
        if length == 0 and whole <= end - position - 12:
            return _Header(tag, UNKNOWN_VR, whole, position + 12, fault)
        return _Header(tag, UNKNOWN_VR, length, position + 8, fault)

    # ------------------------------------------------------------------ values

    def _element(self, found: list[Element], header: _Header, end: int, scope: _Scope) -> int:
        """Append one element; returns where the next one begins."""
        tag, vr, length, start, fault = header
        undefined = length == _UNDEFINED
        stop = end if undefined else start + length
        if vr == "na":
            raise _Lost(f"has {_shown(tag)} outside of a sequence")
        if stop > end:
            part = self._data[start:end]
            text, _ = self._read(vr, part, scope)
            came = f"it is truncated: {len(part)} of {length} bytes"
            found.append(Element(tag, vr, part, length, None, text, came))
            raise _Lost(f"is truncated within {_shown(tag)}")
        if vr != "SQ" and not (undefined and vr in _HOLDS_ITEMS):
            value = self._data[start:stop]
            text, why = self._read(vr, value, scope)
            why = "its length is undefined" if undefined else fault or why
            found.append(Element(tag, vr, value, None if undefined else length, None, text, why))
            if undefined:
                raise _Lost(f"has {vr} {_shown(tag)} of undefined length")
            return stop
        try:
            items, position = self._items(start, stop, vr, scope, delimited=undefined)
        except _Lost as lost:
            value = self._data[start:stop]
            why = f"it is no sequence of items: it {lost}"
            found.append(
                Element(tag, vr, value, None if undefined else length, None, bytes_as_text(value), why)
            )
            if undefined:
                raise _Lost(f"cannot be read within {_shown(tag)}") from None
            return stop
        found.append(Element(tag, "SQ", b"", None if undefined else length, items, "", fault))
        return position

    def _read(self, vr: str, value: bytes, scope: _Scope) -> tuple[str, str]:
        if vr == "SQ":
            return bytes_as_text(value), ""
        return read_value(vr, value, scope.encodings, little_endian=self._little_endian)

    def _items(
        self, position: int, end: int, vr: str, scope: _Scope, *, delimited: bool
    ) -> tuple[tuple[Item, ...], int]:
        """The items up to `end`, or a Sequence Delimitation Item, and where what follows begins."""
        if scope.depth >= MAX_SEQUENCE_DEPTH:
            raise _Lost(f"has more than {MAX_SEQUENCE_DEPTH} sequences within each other")
        inner = _Scope(scope.encodings, scope.depth + 1, scope.implicit or vr != "SQ")
        items: list[Item] = []
        while position < end:
            if end - position < 8:
                raise _Lost("is truncated")
            tag, length = self._tag_and_length(position)
            start = position + 8
            if tag == _SEQUENCE_END and delimited:
                return tuple(items), start
            undefined = length == _UNDEFINED
            if tag != _ITEM or not (undefined or length <= end - start):
                raise _Lost(f"has no item at offset {position}" if tag != _ITEM else "is truncated")
            self._allowance.take_items()
            found: list[Element] = []
            stop = end if undefined else start + length
            position = self.read(found, start, stop, inner, delimited=undefined)
            items.append(Item(tuple(found), None if undefined else length))
        if delimited:
            raise _Lost("is truncated")
        return tuple(items), position


def _lose(what: str, where: str, found: list[Element]) -> NoReturn:
    raise _Lost(f"{what} {where} {_shown(found[-1].tag)}" if found else what)


def _shown(tag: int) -> str:
    return f"({tag >> 16:04x},{tag & 0xFFFF:04x})"
