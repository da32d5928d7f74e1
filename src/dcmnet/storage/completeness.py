"""Whether a data set is what its transfer syntax says, and whole, before the first byte of it is sent.

An object that ends too early, or is labelled as something that its bytes are not, is refused by name. The
top-level elements are visited one after the other. For most images that is not needed: if the
file ends with Pixel Data, nothing is missing.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

from dcmnet.limits import MAX_INFLATED_LENGTH
from dcmnet.payload import Buffer
from dcmnet.registry.codestreams import LONGEST_BEGINNING, foreign_codec
from dcmnet.registry.transfer_syntaxes import is_deflated, is_encapsulated, is_transfer_syntax
from dcmnet.registry.uids import name_of
from dcmnet.storage.elements import (
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    ITEM,
    SEQUENCE_DELIMITATION,
    SHORT_VRS,
    UNDEFINED_LENGTH,
    CutOffError,
    Element,
    Encoding,
    Window,
    element_at,
    encoding_of,
    end_of,
    guess_transfer_syntax,
)

_PIXEL_DATA: Final = 0x7FE00010
_ITEM_TAG = b"\xfe\xff\x00\xe0"
_SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"
_PIXEL_DATA_TAG = b"\xe0\x7f\x10\x00"
# In bytes with many zeros a regular expression is three times as fast as `bytes.find` and `bytes.count`.
_search_pixel_data = re.compile(re.escape(_PIXEL_DATA_TAG)).search
_all_items = re.compile(re.escape(_ITEM_TAG)).findall
_PIXEL_DATA_VRS = (b"OW\0\0", b"OB\0\0")  # PS3.5 A.2 and A.4
_UINT32 = struct.Struct("<I")
_IMPLICIT_HEADER = struct.Struct("<4sI")
_LOOKED_AT = (_PIXEL_DATA_TAG, bytes(4))
_INFLATE_STEP = 1 << 18


class LabelError(ValueError):
    """The data set is not what it is labelled as."""


class Shape(NamedTuple):
    """What stands around the Pixel Data of a data set that was found to be whole.

    Attributes:
        items: How many items are in front of them.
        header: The header of the element in front of them.
        distance: How far in front of them it is.
        behind: The bytes behind them.
    """

    items: int = 0
    header: bytes = b""
    distance: int = 0
    behind: bytes = b""


class Place(NamedTuple):
    """Where in a data set the Pixel Data are, in bytes.

    Attributes:
        before: Where the element in front of them begins.
        begin: Where they begin.
        end: Where they end.
    """

    before: int
    begin: int
    end: int


NO_SEQUENCES = Shape()
"""Nothing is in front of Pixel Data that could have Pixel Data of its own, and nothing is behind them."""


def ends_with_pixel_data(
    file: bytes, offset: int, length: int, transfer_syntax: str, shape: Shape = NO_SEQUENCES
) -> bool:
    """Whether a data set is whole, and what it is labelled as; False if that takes `check_data_set`.

    This is quick: Pixel Data are found by their tag, and end with the data set. That they are not those of an
    icon image, in an item that is open still, is known from the number of items in front of them.

    Args:
        file: The first bytes of the file.
        offset: Where the data set begins.
        length: The length of the data set.
        transfer_syntax: UID of its transfer syntax.
        shape: That of a similar data set.
    """
    header_length, encapsulated = _pixel_data_of(transfer_syntax)
    match = _search_pixel_data(file, offset)
    if match is None or not header_length:
        return False
    found = match.start()
    start = found + header_length
    if start + 4 > len(file):
        return False
    if header_length == 12 and file[found + 4 : found + 8] not in _PIXEL_DATA_VRS:
        return False
    items, header, distance, behind = shape
    if len(_all_items(file, offset, found)) != items or not file.startswith(header, found - distance):
        return False
    value_length: int = _UINT32.unpack_from(file, start - 4)[0]
    end = offset + length - len(behind)
    if encapsulated:
        whole = value_length == UNDEFINED_LENGTH and _has_fragments(file, start, end, transfer_syntax)
    else:
        whole = start + value_length == end and not file.startswith(_ITEM_TAG, start)
    return whole and (not behind or file.startswith(behind, end))


def _has_fragments(file: bytes, start: int, end: int, transfer_syntax: str) -> bool:
    """Whether encapsulated Pixel Data begin and end as they should."""
    if not (file.startswith(_ITEM_TAG, start) and file.startswith(_SEQUENCE_END, end - len(_SEQUENCE_END))):
        return False
    # PS3.5 A.4: the first item is the Basic Offset Table, the second one the first fragment.
    first = start + 16 + int.from_bytes(file[start + 4 : start + 8], "little")
    return not foreign_codec(file[first : first + LONGEST_BEGINNING], transfer_syntax)


def shape_of(file: bytes, offset: int, length: int, transfer_syntax: str, place: Place) -> Shape | None:
    """The shape of a data set that `check_data_set` has found to be whole.

    Args:
        file: The first bytes of the file.
        offset: Where the data set begins.
        length: The length of the data set.
        transfer_syntax: UID of its transfer syntax.
        place: Where its Pixel Data are.

    Returns:
        None if the bytes at hand do not show it, or if something in front has the tag of Pixel Data.
    """
    before, found, end = offset + place.before, offset + place.begin, offset + place.end
    shape = Shape(
        items=len(_all_items(file, offset, found)),
        header=file[before : before + 8],
        distance=found - before,
        behind=file[end : offset + length],
    )
    return shape if ends_with_pixel_data(file, offset, length, transfer_syntax, shape) else None


@lru_cache(64)
def _pixel_data_of(transfer_syntax: str) -> tuple[int, bool]:
    """The length of the header of Pixel Data, 0 if it is not known, and whether they are encapsulated."""
    encoding = encoding_of(transfer_syntax)
    if not is_transfer_syntax(transfer_syntax) or is_deflated(transfer_syntax):
        return 0, False
    lengths = {IMPLICIT_LITTLE: 8, EXPLICIT_LITTLE: 12}
    return lengths.get(encoding, 0), is_encapsulated(transfer_syntax)


def check_data_set(
    start: Buffer, size: int, transfer_syntax: str, read: Callable[[int, int], Buffer] | None = None
) -> Place | None:
    """Visit the elements of a data set.

    Args:
        start: Its first bytes.
        size: Its length.
        transfer_syntax: UID of its transfer syntax; nothing is known of one that is not registered, which is
            not checked.
        read: Reads bytes from an offset of the data set, as many as asked for.

    Returns:
        Where its Pixel Data are; None if it has none.

    Raises:
        ValueError: It is truncated, or is not in this transfer syntax; the message says where, and how.
    """
    if not is_transfer_syntax(transfer_syntax):
        return None
    window = Window(start, size, read)
    if is_deflated(transfer_syntax):
        _check_deflated(window, transfer_syntax)
        return None
    encoding = encoding_of(transfer_syntax)
    _check_encoding(window.view[:12], transfer_syntax)
    walk = _Walk(window, encoding, transfer_syntax)
    try:
        walk.run()
    except CutOffError as error:
        raise ValueError(f"is truncated: {error}") from None
    return walk.place


def _check_encoding(start: memoryview, transfer_syntax: str) -> None:
    found = guess_transfer_syntax(start)
    if found is not None and encoding_of(found) is not encoding_of(transfer_syntax):
        raise ValueError(
            f"is labelled {name_of(transfer_syntax)}, and its data set is encoded as {name_of(found)}"
        )


def _check_deflated(window: Window, transfer_syntax: str) -> None:
    """Inflate a data set in steps, of which nothing is kept: a stream that is whole has an end."""
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    offset = length = 0
    try:
        while not inflater.eof and length <= MAX_INFLATED_LENGTH:
            deflated: Buffer = inflater.unconsumed_tail
            if not deflated:
                position = window.find(offset, 1)
                deflated = window.view[position:]
                offset += len(deflated)
            inflated = inflater.decompress(deflated, _INFLATE_STEP)
            if not (deflated or inflated):
                raise ValueError("is truncated: its deflated data set has no end")
            length += len(inflated)
    except zlib.error:
        raise ValueError(
            f"is labelled {name_of(transfer_syntax)}, and its data set is not deflated"
        ) from None


class _Walk:
    """Goes from one top-level element to the next.

    Args:
        window: The data set.
        encoding: How its elements are laid out.
        transfer_syntax: UID.

    Attributes:
        place: Where the Pixel Data are, once they have been visited.
    """

    def __init__(self, window: Window, encoding: Encoding, transfer_syntax: str) -> None:
        self.place: Place | None = None
        self._before = 0
        self._window = window
        self._encoding = encoding
        self._transfer_syntax = transfer_syntax

    def run(self) -> None:
        """Visit all of them."""
        window, encoding = self._window, self._encoding
        offset = 0
        while offset < window.size:
            offset = self._skip_implicit(offset) if encoding.implicit else self._skip_short(offset)
            if offset == window.size or self._is_filled_up(offset):
                return
            try:
                element = element_at(window, offset, encoding)
                end = self._end_of_pixel_data(offset, element) if element.tag == _PIXEL_DATA else None
                self._before, offset = offset, end or end_of(window, element, encoding)
            except (CutOffError, LabelError):
                raise
            except ValueError as error:
                if offset == 0:
                    raise LabelError(f"does not begin with a data element: {error}") from None
                return  # files of old or careless devices, which their readers know, go out as they are

    def _skip_short(self, offset: int) -> int:
        """Pass over elements that have a short length, fast."""
        window = self._window
        position = window.find(offset, 8)
        view, unpack = window.view, self._encoding.header.unpack_from
        last = len(view) - 8
        start = position
        while position <= last:
            _, _, vr, length = unpack(view, position)
            if vr not in SHORT_VRS:
                break
            start, position = position, position + 8 + length
        return self._checked(start, position)

    def _skip_implicit(self, offset: int) -> int:
        """Pass over elements that have no value representation, fast, up to one that is examined."""
        window = self._window
        position = window.find(offset, 8)
        view, unpack = window.view, _IMPLICIT_HEADER.unpack_from
        last = len(view) - 8
        start = position
        while position <= last:
            tag, length = unpack(view, position)
            if length == UNDEFINED_LENGTH or tag in _LOOKED_AT:
                break
            start, position = position, position + 8 + length
        return self._checked(start, position)

    def _checked(self, start: int, end: int) -> int:
        """The offset for a position in the window; CutOffError if an element reaches beyond the data set."""
        window = self._window
        if end > start:
            self._before = window.base + start
        if window.base + end > window.size:
            end_of(window, element_at(window, self._before, self._encoding), self._encoding)
        return window.base + end

    def _is_filled_up(self, offset: int) -> bool:
        """Whether nothing but NULs follow, with which some devices fill up the last block of a file."""
        window = self._window
        position = window.find(offset, 8)
        # No element has the tag (0000,0000); a few bytes that cannot be a header are the rest of one.
        if any(window.view[position : position + 8]) or window.size - offset < 8:
            return False
        while offset < window.size:
            position = window.find(offset, 1)
            part = bytes(window.view[position:])
            if part.strip(b"\0"):
                return False
            offset += len(part)
        return True

    def _check_pixel_data(self, element: Element) -> None:
        encapsulated = is_encapsulated(self._transfer_syntax)
        label = name_of(self._transfer_syntax)
        # PS3.5 A.4: encapsulated Pixel Data have an undefined length; PS3.5 8.2: native ones do not.
        if element.length == UNDEFINED_LENGTH:
            if not encapsulated:
                raise LabelError(f"is labelled {label}, and its Pixel Data are encapsulated")
            self._check_codec(element.start)
        elif encapsulated and element.length:
            raise LabelError(f"is labelled {label}, and its Pixel Data are not encapsulated")
        elif self._consists_of_fragments(element):
            raise LabelError(f"is labelled {label}, and its Pixel Data are encapsulated")

    def _check_codec(self, start: int) -> None:
        """Compare the first fragment, which follows the Basic Offset Table, with the transfer syntax."""
        window = self._window
        table = element_at(window, start, self._encoding)
        first = table.start + table.length + 8
        if table.length < UNDEFINED_LENGTH and first < window.size:
            position = window.find(first, LONGEST_BEGINNING)
            beginning = window.view[position : position + LONGEST_BEGINNING]
            if name := foreign_codec(beginning, self._transfer_syntax):
                label = name_of(self._transfer_syntax)
                raise LabelError(f"is labelled {label}, and its Pixel Data are in {name}")

    def _consists_of_fragments(self, element: Element) -> bool:
        """Whether a value of defined length is made of items, which native pixels are not by accident."""
        window, end = self._window, element.start + element.length
        if element.length < 16 or end > window.size:
            return False
        # PS3.5 7.5: items have no value representation.
        items = self._encoding._replace(implicit=True)
        offset = element.start
        while offset < end:
            item = element_at(window, offset, items)
            if item.tag == SEQUENCE_DELIMITATION:
                return item.start <= end
            if item.tag != ITEM or item.length == UNDEFINED_LENGTH:
                return False
            offset = item.start + item.length
        return offset == end

    def _end_of_pixel_data(self, offset: int, element: Element) -> int:
        self._check_pixel_data(element)
        window = self._window
        end = window.size if self._ends_in_delimiter(element) else end_of(window, element, self._encoding)
        self.place = Place(self._before, offset, end)
        return end

    def _ends_in_delimiter(self, element: Element) -> bool:
        """Whether encapsulated Pixel Data are the last element: their fragments need not be visited."""
        if element.length != UNDEFINED_LENGTH or self._encoding is not EXPLICIT_LITTLE:
            return False
        window = self._window
        last = window.size - len(_SEQUENCE_END)
        if last < element.start:
            return False
        position = window.find(last, len(_SEQUENCE_END))
        return window.view[position : position + len(_SEQUENCE_END)] == _SEQUENCE_END
