"""Counts elements and items of an object: one with too many is not handed to pydicom, which has no limits."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from typing import BinaryIO

from dcmnet.dataset.elements import Allowance, BeyondLimit
from dcmnet.errors import InputFileError, LimitExceeded
from dcmnet.limits import MAX_SEQUENCE_DEPTH, Limits
from dcmnet.payload import Buffer
from dcmnet.registry.transfer_syntaxes import is_deflated
from dcmnet.storage.elements import (
    ITEM,
    ITEM_DELIMITATION,
    SEQUENCE_DELIMITATION,
    UNDEFINED_LENGTH,
    Element,
    Encoding,
    Window,
    element_at,
    encoding_of,
    encoding_within,
)

_ITEM_TAGS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
_BULK = frozenset((b"OB", b"OW"))
_STEP = 1 << 16


def check_extent(path: str, offset: int, transfer_syntax: str, limits: Limits, *, name: str) -> None:
    """Refuse an object that would cost too much to look into. Large values are passed over.

    Args:
        path: Its file.
        offset: Where in it the data set begins.
        transfer_syntax: UID of the one that it is in.
        limits: How much may be in it.
        name: What to call it in an error.

    Raises:
        LimitExceeded: It has too many elements or items, is nested too deep, or too long when it is inflated.
        InputFileError: It is no deflated stream.
    """
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END) - offset
        file.seek(offset)
        if is_deflated(transfer_syntax):
            inflated = _Inflated(file, limits.max_inflated_length, name)
            window = Window(b"", limits.max_inflated_length + 1, inflated.read)
        else:
            window = Window(b"", max(0, size), _reading(file, offset))
        try:
            _walk(window, encoding_of(transfer_syntax), Allowance(limits.max_elements, limits.max_items))
        except BeyondLimit as error:
            raise LimitExceeded(name, str(error)) from None
        except zlib.error as error:
            raise InputFileError(name, f"cannot be inflated: {error}") from None
        except ValueError:  # it ends early, or is malformed: what is read of it is what has been counted
            return


def _reading(file: BinaryIO, start: int) -> Callable[[int, int], Buffer]:
    def read(offset: int, count: int) -> Buffer:
        file.seek(start + offset)
        return file.read(count)

    return read


class _Inflated:
    """Reads a deflated data set from its begin to its end; what is behind is not kept."""

    def __init__(self, file: BinaryIO, limit: int, name: str) -> None:
        self._file = file
        self._limit = limit
        self._name = name
        self._inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
        self._begin = 0
        self._kept = b""

    def read(self, offset: int, count: int) -> Buffer:
        """The bytes from an offset, which is never one in front of the last."""
        while self._begin + len(self._kept) < offset + count and not self._inflater.eof:
            deflated = self._inflater.unconsumed_tail or self._file.read(_STEP)
            inflated = self._inflater.decompress(deflated, _STEP)
            if not (deflated or inflated):
                break
            passed = min(max(0, offset - self._begin), len(self._kept))
            self._kept = self._kept[passed:] + inflated
            self._begin += passed
            if self._begin + len(self._kept) > self._limit:
                why = f"its deflated data set is longer than {self._limit} bytes when inflated"
                raise LimitExceeded(self._name, why)
        start = offset - self._begin
        return self._kept[start : start + count]


def _walk(window: Window, encoding: Encoding, allowance: Allowance) -> None:
    """Visit all elements and items.

    Raises:
        BeyondLimit: They are too many, or too deep in one another.
        ValueError: They do not fit into one another.
    """
    # One entry for each level that is open: its end, or None if it has a delimiter; how its elements are
    # laid out; and whether items are fragments there, which have nothing in them.
    levels: list[tuple[int | None, Encoding, bool]] = [(window.size, encoding, False)]
    offset = 0
    while levels:
        end, encoding, is_fragmented = levels[-1]
        if end is not None and offset >= end:
            levels.pop()
            continue
        element = element_at(window, offset, encoding)
        offset = element.start
        if element.tag in (ITEM_DELIMITATION, SEQUENCE_DELIMITATION):
            if end is None:
                levels.pop()
            continue
        if element.tag != ITEM or is_fragmented:
            allowance.take_elements()
        else:
            allowance.take_items()
        if not is_fragmented and (element.tag == ITEM or _has_items(window, element, encoding)):
            inner = encoding if element.tag == ITEM else encoding_within(element, encoding)
            undefined = element.length == UNDEFINED_LENGTH
            levels.append((None if undefined else offset + element.length, inner, element.vr in _BULK))
            if len(levels) > 2 * MAX_SEQUENCE_DEPTH + 1:
                raise BeyondLimit(f"has sequences that are nested deeper than {MAX_SEQUENCE_DEPTH}")
        else:
            offset += element.length


def _has_items(window: Window, element: Element, encoding: Encoding) -> bool:
    if element.length == UNDEFINED_LENGTH or element.vr == b"SQ":
        return True
    if not encoding.implicit or element.length < 8 or element.tag >> 16 == 0x7FE0:
        return False
    # in Implicit VR its first item alone says that it is a sequence
    start = window.find(element.start, 4)
    return window.view[start : start + 4] in _ITEM_TAGS
