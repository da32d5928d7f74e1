"""The bridge to pydicom, and the only importer of it: loaded when a data set has to be looked into or changed."""

from __future__ import annotations

import array
import sys
import zlib
from os import PathLike
from typing import TYPE_CHECKING, Any, BinaryIO

from dcmnet.errors import InputFileError
from dcmnet.registry.transfer_syntaxes import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    is_big_endian,
    is_deflated,
    is_implicit,
)

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

CONVERTIBLE = (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
)
"""Transfer syntaxes that a data set can be converted between without touching a pixel."""

_WORD_CODES = {"OW": "H", "OF": "I", "OL": "I", "OD": "Q", "OV": "Q"}


def is_data_set(source: object) -> bool:
    """Whether this is a pydicom data set; pydicom is not loaded to find out."""
    module = sys.modules.get("pydicom.dataset")
    return module is not None and isinstance(source, module.Dataset)


def read(source: str | PathLike[str] | BinaryIO, **options: Any) -> Dataset:
    """The data set of a file; values stay in the file until they are asked for (pydicom's `dcmread`)."""
    from pydicom import dcmread

    return dcmread(source, **options)


def transfer_syntax_of(data_set: Any) -> str:
    """The transfer syntax a data set is in; Explicit VR Little Endian for one that was made in memory."""
    file_meta = getattr(data_set, "file_meta", None)
    named = getattr(file_meta, "TransferSyntaxUID", None)
    if named is not None:
        return str(named)
    implicit, little = data_set.original_encoding
    if little is False:
        return EXPLICIT_VR_BIG_ENDIAN
    return IMPLICIT_VR_LITTLE_ENDIAN if implicit else EXPLICIT_VR_LITTLE_ENDIAN


def encode(data_set: Any, transfer_syntax: str, *, name: str = "data set") -> bytes:
    """Encode a data set in a transfer syntax.

    Args:
        data_set: A pydicom data set; it is left as it is.
        transfer_syntax: UID; one of `CONVERTIBLE`, or the one that the data set is in.
        name: What to call it in an error.

    Raises:
        InputFileError: It cannot be encoded; the message says what is wrong with it.
    """
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    source = transfer_syntax_of(data_set)
    if transfer_syntax != source and not {source, transfer_syntax} <= set(CONVERTIBLE):
        raise InputFileError(name, f"cannot be converted from transfer syntax {source} to {transfer_syntax}")
    try:
        if is_big_endian(source) != is_big_endian(transfer_syntax):
            data_set = _with_swapped_words(data_set)
        buffer = DicomBytesIO()
        buffer.is_little_endian = not is_big_endian(transfer_syntax)
        buffer.is_implicit_VR = is_implicit(transfer_syntax)
        write_dataset(buffer, data_set.group_dataset(2) and _without_file_meta(data_set) or data_set)
        encoded: bytes = buffer.getvalue()
    except (AttributeError, KeyError, NotImplementedError, OSError, TypeError, ValueError) as error:
        raise InputFileError(name, f"cannot be encoded: {error}") from error
    return _deflate(encoded) if is_deflated(transfer_syntax) else encoded


def convert(source: str | PathLike[str] | BinaryIO, transfer_syntax: str, *, name: str) -> bytes:
    """The data set of a file, in another uncompressed or deflated transfer syntax.

    Raises:
        InputFileError: It cannot be read, or not be converted.
    """
    from pydicom.errors import InvalidDicomError

    try:
        data_set = read(source, force=True)
    except (InvalidDicomError, OSError, ValueError) as error:
        raise InputFileError(name, f"cannot be read: {error}") from error
    return encode(data_set, transfer_syntax, name=name)


def _without_file_meta(data_set: Any) -> Any:
    """The data set without elements of group 0002, which do not belong into a message (PS3.10 7.1)."""
    rest = data_set.__class__(data_set)
    for element in data_set.group_dataset(2):
        del rest[element.tag]
    return rest


def _with_swapped_words(data_set: Any) -> Any:
    """A copy whose binary words have the other byte order (PS3.5 7.3); numbers are turned by the encoder."""
    import copy

    swapped = copy.deepcopy(data_set)
    for element in swapped.iterall():
        code = _WORD_CODES.get(element.VR)
        if code is not None and isinstance(element.value, bytes):
            words = array.array(code, element.value)
            words.byteswap()
            element.value = words.tobytes()
    return swapped


def _deflate(encoded: bytes) -> bytes:
    # PS3.5 A.5: a raw deflate stream, padded to even length with one NUL.
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = compressor.compress(encoded) + compressor.flush()
    return deflated + b"\0" * (len(deflated) & 1)
