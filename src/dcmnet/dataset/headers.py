"""Data sets without their bulk data: Composite Instance Retrieve Without Bulk Data (PS3.4 Annex Z)."""

from __future__ import annotations

import io
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO

from dcmnet.dataset import transfer_syntax_of
from dcmnet.dataset.quiet import quietly
from dcmnet.errors import InputFileError
from dcmnet.limits import MAX_INFLATED_LENGTH
from dcmnet.registry.transfer_syntaxes import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    is_big_endian,
    is_deflated,
    is_implicit,
    is_transfer_syntax,
)

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# PS3.4 Z.1.3. Icon images keep their Pixel Data, as these are not at the top level.
_BULK_DATA = frozenset(
    (
        0x00287FE0,  # Pixel Data Provider URL
        0x00420011,  # Encapsulated Document
        0x56000020,  # Spectroscopy Data
        0x7FE00001,  # Extended Offset Table, which is about the Pixel Data alone
        0x7FE00002,  # Extended Offset Table Lengths
        0x7FE00008,  # Float Pixel Data
        0x7FE00009,  # Double Float Pixel Data
        0x7FE00010,  # Pixel Data
    )
)
_BULK_DATA_OF_REPEATING_GROUPS = frozenset(
    (
        0x50003000,  # Curve Data
        0x5000200C,  # Audio Sample Data
        0x60003000,  # Overlay Data
    )
)
_WAVEFORM_SEQUENCE, _WAVEFORM_DATA = 0x54000100, 0x54001010
_PIXEL_GROUP = 0x7FE0
_UNDEFINED_LENGTH = 0xFFFFFFFF


def is_bulk_data(tag: int) -> bool:
    """Whether an element at the top level of a data set is left out."""
    # PS3.5 7.6: the groups 50xx and 60xx repeat with even numbers.
    return tag in _BULK_DATA or (not tag & 0x10000 and tag & 0xFF00FFFF in _BULK_DATA_OF_REPEATING_GROUPS)


@quietly
def header_of(data_set: Any) -> Dataset:
    """A data set of its own with all but the bulk data; it is in an uncompressed transfer syntax.

    Args:
        data_set: A pydicom data set, which is left as it is.
    """
    syntax = uncompressed_form(transfer_syntax_of(data_set))
    elements = {tag: data_set.get_item(tag) for tag in data_set.keys() if not is_bulk_data(tag)}
    return _header(elements, syntax, data_set)


@quietly
def read_header(file: BinaryIO, transfer_syntax: str, *, name: str) -> Dataset:
    """Read a data set without its bulk data, in an uncompressed transfer syntax. Pixel Data are passed over.

    Args:
        file: At the start of the data set, which ends where the file does.
        transfer_syntax: UID of the one that it is in.
        name: What to call it in an error.

    Raises:
        InputFileError: It cannot be read, or is truncated.
    """
    if not is_transfer_syntax(transfer_syntax):
        raise InputFileError(
            name, f"bulk data cannot be taken out in the unknown transfer syntax {transfer_syntax}"
        )
    if is_deflated(transfer_syntax):
        file = _inflated(file, name)
    syntax = uncompressed_form(transfer_syntax)
    try:
        return _header(_read_elements(file, syntax, name), syntax)
    except InputFileError:
        raise
    except Exception:  # bad bytes make pydicom raise anything, with values in its text
        raise InputFileError(name, "cannot be read: it is not encoded as its transfer syntax says") from None


def uncompressed_form(transfer_syntax: str) -> str:
    """The transfer syntax that a data set of this one is in when its Pixel Data are gone (PS3.5 A.4)."""
    if is_big_endian(transfer_syntax):
        return EXPLICIT_VR_BIG_ENDIAN
    return IMPLICIT_VR_LITTLE_ENDIAN if is_implicit(transfer_syntax) else EXPLICIT_VR_LITTLE_ENDIAN


def _inflated(file: BinaryIO, name: str) -> BinaryIO:
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(file.read(), MAX_INFLATED_LENGTH)
    except zlib.error as error:
        raise InputFileError(name, f"cannot be inflated: {error}") from error
    if inflater.unconsumed_tail:
        raise InputFileError(name, f"is longer than {MAX_INFLATED_LENGTH} bytes when inflated")
    if not inflater.eof:
        raise InputFileError(name, "is truncated: its deflated data set has no end")
    return io.BytesIO(inflated)


def _read_elements(file: BinaryIO, syntax: str, name: str) -> dict[Any, Any]:
    """The elements from here to the end of the file, except those of bulk data."""
    from dcmnet.dataset.bridge import data_element_generator

    reached = file.tell()
    end = file.seek(0, io.SEEK_END)
    file.seek(reached)
    elements: dict[Any, Any] = {}
    passed: list[tuple[int, int]] = []

    def look(tag: Any, _: str | None, length: int) -> bool:
        start = file.tell()
        if length != _UNDEFINED_LENGTH and start + length > end:
            raise InputFileError(name, f"is truncated within {tag}")
        if tag.group == _PIXEL_GROUP and is_bulk_data(tag):
            passed.append((start, length))
        return bool(passed)

    while True:
        for element in data_element_generator(
            file, is_implicit(syntax), not is_big_endian(syntax), stop_when=look
        ):
            reached = file.tell()
            if not is_bulk_data(element.tag):
                elements[element.tag] = element
        if not passed:
            break
        _pass_over(file, *passed.pop(), little_endian=not is_big_endian(syntax))
        reached = file.tell()
    if reached != end:
        raise InputFileError(name, "is truncated: it does not end where an element does")
    return elements


def _pass_over(file: BinaryIO, start: int, length: int, *, little_endian: bool) -> None:
    from dcmnet.dataset.bridge import SequenceDelimiterTag, read_undefined_length_value

    if length == _UNDEFINED_LENGTH:
        file.seek(start)
        read_undefined_length_value(file, little_endian, SequenceDelimiterTag, defer_size=0)
    else:
        file.seek(start + length)


def _header(elements: dict[Any, Any], syntax: str, original: Any = None) -> Dataset:
    from dcmnet.dataset.bridge import UID, Dataset, FileMetaDataset

    header = Dataset(elements)
    charset = original.original_character_set if original is not None else "iso8859"
    header.set_original_encoding(is_implicit(syntax), not is_big_endian(syntax), charset)
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = UID(syntax)
    _take_out_waveform_data(header)
    return header


def _take_out_waveform_data(header: Dataset) -> None:
    from dcmnet.dataset.bridge import DataElement

    if _WAVEFORM_SEQUENCE not in header:
        return
    items = header[_WAVEFORM_SEQUENCE].value or ()
    header[_WAVEFORM_SEQUENCE] = DataElement(
        _WAVEFORM_SEQUENCE, "SQ", [_without_waveform_data(item) for item in items]
    )


def _without_waveform_data(item: Dataset) -> Dataset:
    own = item[:]  # the item itself may belong to a handler
    own.pop(_WAVEFORM_DATA, None)
    return own
