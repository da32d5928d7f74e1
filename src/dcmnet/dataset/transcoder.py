"""From one transfer syntax to another: headers change, values do not."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

from dcmnet.dataset import CONVERTIBLE, DECODABLE
from dcmnet.dataset.data_sets import elements_of, some_elements_of
from dcmnet.dataset.elements import Element, MalformedDataSet, read_elements
from dcmnet.dataset.labels import PIXEL_TAGS, check_byte_order, check_pixel_data
from dcmnet.dataset.level import PIXEL_DATA
from dcmnet.dataset.writer import Layout, write_elements
from dcmnet.errors import InputFileError, LimitExceeded
from dcmnet.payload import Buffer
from dcmnet.registry.transfer_syntaxes import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    is_big_endian,
    is_deflated,
    is_encapsulated,
    is_implicit,
)


def transcode(
    data: Buffer,
    own: str,
    target: str,
    layout: Layout,
    *,
    name: str,
    max_inflated_length: int,
    changes: Mapping[str, str] | None = None,
    before: int = 0,
) -> bytes:
    """An encoded data set in another transfer syntax, or laid out in another way.

    Args:
        data: The data set as it is encoded.
        own: UID of the transfer syntax that it is in.
        target: UID of the one that it gets.
        layout: What it will look like.
        name: What to call it in an error.
        max_inflated_length: Longest deflated data set that is inflated, in bytes.
        changes: Values that it gets instead of its own, by keyword.
        before: Length of what will stand before it in its file, which padding counts.

    Raises:
        InputFileError: It is truncated, or cannot be converted; the message says what is wrong.
    """
    _check_convertible(own, target, name)
    if is_deflated(own):
        data = _inflated(data, name, max_inflated_length)
    if not len(data):
        raise InputFileError(name, "has no data set")
    try:
        elements = read_elements(data, implicit=is_implicit(own), little=not is_big_endian(own))
        check_pixel_data(elements, own)
    except MalformedDataSet as error:
        raise InputFileError(name, str(error)) from error
    if _is_decompressed(own, target):
        elements = _decompressed(elements, own, name)
    return _written(elements, target, layout, name, changes, before)


def encode_data_set(
    data_set: Any,
    own: str,
    target: str,
    layout: Layout,
    *,
    name: str,
    changes: Mapping[str, str] | None = None,
) -> bytes:
    """Encode a pydicom data set, which stays as it is; arguments and errors as for `transcode`."""
    if own != target and is_encapsulated(own) and PIXEL_DATA not in data_set:
        own = EXPLICIT_VR_LITTLE_ENDIAN  # PS3.5 A.4: apart from Pixel Data, it is that
    _check_convertible(own, target, name)
    elements = _checked_elements(data_set, own, name)
    if _is_decompressed(own, target):
        elements = _decompressed(elements, own, name)
    return _written(elements, target, layout, name, changes, 0)


def check_data_set(data_set: Any, own: str, name: str) -> None:
    """Refuse a pydicom data set that is not in this transfer syntax, as far as its Pixel Data show.

    Raises:
        InputFileError: It is not.
    """
    try:
        check_byte_order(data_set, own)
        check_pixel_data(some_elements_of(data_set, PIXEL_TAGS, little=not is_big_endian(own)), own)
    except MalformedDataSet as error:
        raise InputFileError(name, f"cannot be encoded: it {error}") from error


def _checked_elements(data_set: Any, own: str, name: str) -> list[Element]:
    try:
        check_byte_order(data_set, own)
        elements = elements_of(data_set, little=not is_big_endian(own))
        check_pixel_data(elements, own)
    except MalformedDataSet as error:
        raise InputFileError(name, f"cannot be encoded: it {error}") from error
    except Exception as error:  # reading what was put off fails in many ways; its text may have values in it
        raise InputFileError(name, f"cannot be encoded: {type(error).__name__}") from error
    return elements


def _check_convertible(own: str, target: str, name: str) -> None:
    convertible = own in CONVERTIBLE or own in DECODABLE
    if target != own and not (convertible and target in CONVERTIBLE):
        raise InputFileError(name, f"cannot be converted from transfer syntax {own} to {target}")


def _is_decompressed(own: str, target: str) -> bool:
    return target != own and own in DECODABLE


def _decompressed(elements: list[Element], own: str, name: str) -> list[Element]:
    from dcmnet.dataset.decoding import decompressed  # few transfers decompress
    from dcmnet.dataset.isolation import DecodingLimitExceeded, UndecodablePixelData

    try:
        found = decompressed(elements, own)
        check_pixel_data(found, EXPLICIT_VR_LITTLE_ENDIAN)
    except DecodingLimitExceeded as error:
        raise LimitExceeded(name, str(error)) from None
    except (UndecodablePixelData, MalformedDataSet) as error:
        raise InputFileError(name, str(error)) from None
    return found


def _written(
    elements: list[Element],
    target: str,
    layout: Layout,
    name: str,
    changes: Mapping[str, str] | None,
    before: int,
) -> bytes:
    # PS3.7 6.3, PS3.10 7.1: these groups belong into a Command Set and into File Meta Information.
    elements = [element for element in elements if element.tag >> 16 not in (0, 2)]
    if changes:
        elements = _changed(elements, changes)
    try:
        encoded = write_elements(elements, target, layout, before)
    except MalformedDataSet as error:
        raise InputFileError(name, f"cannot be encoded: it {error}") from error
    return _deflated(encoded, layout.encoding.compression_level) if is_deflated(target) else encoded


def _changed(elements: list[Element], changes: Mapping[str, str]) -> list[Element]:
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    changed = {}
    for keyword, value in changes.items():
        tag = tag_for_keyword(keyword)
        assert tag is not None, keyword
        changed[tag] = Element(tag, dictionary_VR(tag), value.encode("ascii"))
    return [element for element in elements if element.tag not in changed] + list(changed.values())


def _inflated(data: Buffer, name: str, limit: int) -> bytes:
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(data, limit + 1)
    except zlib.error as error:
        raise InputFileError(name, f"cannot be inflated: {error}") from error
    if len(inflated) > limit:
        raise InputFileError(name, f"its deflated data set is longer than {limit} bytes when inflated")
    if not inflater.eof:
        raise InputFileError(name, "is truncated within its deflated data set")
    return inflated


def _deflated(encoded: bytes, level: int) -> bytes:
    # PS3.5 A.5: a raw deflate stream, padded to even length with one NUL.
    compressor = zlib.compressobj(level, wbits=-zlib.MAX_WBITS)
    deflated = compressor.compress(encoded) + compressor.flush()
    return deflated + b"\0" * (len(deflated) & 1)
