"""Whether the bytes of a data set are in the transfer syntax that it is said to be in (PS3.5 A.4, 8.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dcmnet.dataset.elements import Element, MalformedDataSet, shown
from dcmnet.dataset.level import PIXEL_DATA, Level
from dcmnet.payload import Buffer
from dcmnet.registry.codestreams import foreign_codec
from dcmnet.registry.transfer_syntaxes import is_big_endian, is_encapsulated, is_transfer_syntax
from dcmnet.registry.uids import name_of

_FLOAT_PIXEL_DATA = (0x7FE00008, 0x7FE00009)
_ITEM_TAG = b"\xfe\xff\x00\xe0"
_ROWS, _COLUMNS, _SAMPLES, _FRAMES = 0x00280010, 0x00280011, 0x00280002, 0x00280008
_BITS_ALLOCATED = 0x00280100
PIXEL_TAGS = (_SAMPLES, _FRAMES, _ROWS, _COLUMNS, _BITS_ALLOCATED, *_FLOAT_PIXEL_DATA, PIXEL_DATA)
"""What has to be known of a data set to see whether its Pixel Data are encapsulated."""


def check_byte_order(data_set: Any, transfer_syntax: str) -> None:
    """Refuse a pydicom data set that was read in another byte order than it is said to be in.

    Raises:
        MalformedDataSet: It was; which of the two holds for its words cannot be known.
    """
    little = data_set.original_encoding[1]
    if not is_transfer_syntax(transfer_syntax):
        return
    if little is not None and little is is_big_endian(transfer_syntax):
        order = "little" if little else "big"
        raise MalformedDataSet(
            f"was read as {order} endian, and its transfer syntax says {name_of(transfer_syntax)}: "
            "set file_meta.TransferSyntaxUID to the one that it was read in"
        )


def check_pixel_data(elements: list[Element], transfer_syntax: str, around: Level | None = None) -> None:
    """Refuse Pixel Data that are not as the transfer syntax says.

    Items, such as those of an Icon Image Sequence, may have native Pixel Data in a compressed data set.

    Raises:
        MalformedDataSet: They contradict it.
    """
    if not is_transfer_syntax(transfer_syntax):
        return
    level = Level(elements, around)
    for element in elements:
        if element.items is not None:
            for item in element.items:
                check_pixel_data(item.elements, transfer_syntax, level)
        elif element.tag == PIXEL_DATA and is_encapsulated(transfer_syntax):
            _check_compressed(element, transfer_syntax, is_nested=around is not None)
        elif element.tag == PIXEL_DATA or element.tag in _FLOAT_PIXEL_DATA:
            _check_native(element, level, transfer_syntax)


def _check_compressed(element: Element, transfer_syntax: str, *, is_nested: bool) -> None:
    if element.fragments is None:
        if _begins(element.value, _ITEM_TAG):
            raise MalformedDataSet(f"has fragments in {shown(element.tag)} that are not whole")
        if len(element.value) and not is_nested:
            raise MalformedDataSet(
                f"has native Pixel Data (7FE0,0010), and its transfer syntax is {name_of(transfer_syntax)}: "
                "compress them, or set file_meta.TransferSyntaxUID to the one that they are in"
            )
    else:
        _check_codec(element.fragments, transfer_syntax)


def _check_codec(fragments: Sequence[Buffer], transfer_syntax: str) -> None:
    first = fragments[1] if len(fragments) > 1 else b""  # behind the Basic Offset Table
    if name := foreign_codec(first, transfer_syntax):
        raise MalformedDataSet(
            f"has Pixel Data (7FE0,0010) in {name}, and its transfer syntax is {name_of(transfer_syntax)}"
        )


def _check_native(element: Element, level: Level, transfer_syntax: str) -> None:
    encapsulated = element.fragments is not None
    if not encapsulated and _begins(element.value, _ITEM_TAG):  # pixels may have these values
        encapsulated = len(element.value) != _native_length(level)
    if encapsulated:
        raise MalformedDataSet(
            f"has encapsulated Pixel Data {shown(element.tag)}, and its transfer syntax is "
            f"{name_of(transfer_syntax)}: set file_meta.TransferSyntaxUID to the one that they are in"
        )


def _begins(value: Buffer, beginning: bytes) -> bool:
    return bytes(value[: len(beginning)]) == beginning


def _native_length(level: Level) -> int:
    """PS3.5 8.1.1: how many bytes native Pixel Data have, with the one that makes their number even."""
    bits = level.number(_BITS_ALLOCATED) or 0
    for tag in (_ROWS, _COLUMNS, _SAMPLES):
        bits *= level.number(tag) or 1
    frames = level.get(_FRAMES)
    number = bytes(frames.value).strip(b" \0") if frames is not None else b""
    length = (bits * (int(number) if number.isdigit() else 1) + 7) // 8
    return length + (length & 1)
