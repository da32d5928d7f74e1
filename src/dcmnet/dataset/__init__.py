"""The bridge to pydicom, and the only importer of it: loaded when a data set has to be looked into."""

from __future__ import annotations

import array
import copy
import io
import sys
import zlib
from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from dcmnet.errors import InputFileError
from dcmnet.limits import (
    MAX_CONVERTED_LENGTH,
    MAX_INFLATE_RATIO,
    MAX_INFLATED_LENGTH,
)
from dcmnet.registry.transfer_syntaxes import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    HTJ2K,
    HTJ2K_LOSSLESS,
    HTJ2K_LOSSLESS_RPCL,
    IMPLICIT_VR_LITTLE_ENDIAN,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE_8BIT,
    JPEG_EXTENDED_12BIT,
    JPEG_LOSSLESS,
    JPEG_LOSSLESS_SV1,
    JPEG_LS_LOSSLESS,
    JPEG_LS_NEAR_LOSSLESS,
    RLE_LOSSLESS,
    is_big_endian,
    is_deflated,
    is_encapsulated,
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

DECODABLE = (
    RLE_LOSSLESS,
    JPEG_LOSSLESS_SV1,
    JPEG_LOSSLESS,
    JPEG_LS_LOSSLESS,
    JPEG_2000_LOSSLESS,
    HTJ2K_LOSSLESS,
    HTJ2K_LOSSLESS_RPCL,
    JPEG_BASELINE_8BIT,
    JPEG_EXTENDED_12BIT,
    JPEG_LS_NEAR_LOSSLESS,
    JPEG_2000,
    HTJ2K,
)
"""Transfer syntaxes that pydicom can decompress where a decoder is installed."""


class Encoding(NamedTuple):
    """How a data set is encoded that does not go out as it is.

    Attributes:
        compression_level: Of deflated transfer syntaxes, 0 to 9.
        new_vr: Whether value representations may appear that came late to the standard (OD OF OL OV SV UC UN
            UR UT UV), which old readers do not know; they become OB else.
    """

    compression_level: int = 6
    new_vr: bool = True


AS_USUAL = Encoding()

_LATE_VRS = frozenset(("OD", "OF", "OL", "OV", "SV", "UC", "UN", "UR", "UT", "UV"))
_IMPLICIT_HEADER_LENGTH = 8
_FIRST_TAG = 0x00010000
_UNDEFINED_LENGTH = 0xFFFFFFFF
_INFLATE_STEP = 1 << 18
_PIXEL_DATA = 0x7FE00010
_WORD_CODES = {"OW": "H", "OF": "I", "OL": "I", "OD": "Q", "OV": "Q"}


def is_data_set(source: object) -> bool:
    """Whether this is a pydicom data set; pydicom is not loaded to find out."""
    module = sys.modules.get("pydicom.dataset")
    return module is not None and isinstance(source, module.Dataset)


def read(
    source: str | PathLike[str] | BinaryIO,
    *,
    max_inflated_length: int | None = MAX_INFLATED_LENGTH,
    **options: Any,
) -> Dataset:
    """The data set of a file (pydicom's `dcmread`).

    Args:
        source: A path, or a file object that can go back.
        max_inflated_length: Longest deflated data set that is inflated, in bytes: all of them in memory. None
            does not look, where it is known that the data set is not deflated, or trusted.
        options: As for `dcmread`.

    Raises:
        InputFileError: A deflated data set is longer than that.
    """
    from pydicom import dcmread

    if max_inflated_length is None:
        pass
    elif isinstance(source, str | PathLike):
        with open(source, "rb") as file:
            _limit_inflating(file, str(source), max_inflated_length)
    else:
        _limit_inflating(source, str(getattr(source, "name", "file object")), max_inflated_length)
    return dcmread(source, **options)


def _limit_inflating(file: BinaryIO, name: str, limit: int) -> None:
    """Refuse a file whose deflated data set is longer than `limit`, which pydicom would inflate in one go.

    The file is left where it is. Nothing that is inflated here is kept.
    """
    start = file.tell()
    deflated = _deflated_length(file)
    if deflated * MAX_INFLATE_RATIO > limit and _inflated_length(file, limit) > limit:
        raise InputFileError(name, f"its deflated data set is longer than {limit} bytes when inflated")
    file.seek(start)


def _deflated_length(file: BinaryIO) -> int:
    """How many deflated bytes there are, and leave the file where they begin; 0 when it is not deflated."""
    from pydicom.filereader import _read_file_meta_info, read_preamble

    read_preamble(file, force=True)
    if _read_file_meta_info(file).get("TransferSyntaxUID") != DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
        return 0
    begin = file.tell()
    end = file.seek(0, io.SEEK_END)
    file.seek(begin)
    return end - begin


def _inflated_length(file: BinaryIO, limit: int) -> int:
    """The length of what is inflated from here on; counting stops above the limit."""
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    length = 0
    while length <= limit and not inflater.eof:
        deflated = inflater.unconsumed_tail or file.read(_INFLATE_STEP)
        inflated = inflater.decompress(deflated, _INFLATE_STEP)
        if not (deflated or inflated):  # it is truncated, which pydicom complains about
            break
        length += len(inflated)
    return length


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


def encode(
    data_set: Any,
    transfer_syntax: str,
    *,
    name: str = "data set",
    encoding: Encoding = AS_USUAL,
    changes: Mapping[str, str] | None = None,
) -> bytes:
    """Encode a data set in a transfer syntax.

    Elements of the groups 0000 and 0002 stay out: they belong into a Command Set (PS3.7 6.3) and into File
    Meta Information (PS3.10 7.1).

    Args:
        data_set: A pydicom data set; its values are left as they are.
        transfer_syntax: UID; one of `CONVERTIBLE`, or the one that the data set is in.
        name: What to call it in an error.
        encoding: How it is encoded.
        changes: Values to be sent instead of its own, by keyword.

    Raises:
        InputFileError: It cannot be encoded; the message says what is wrong with it.
    """
    source = transfer_syntax_of(data_set)
    if transfer_syntax != source and source in DECODABLE and transfer_syntax in CONVERTIBLE:
        from dcmnet.dataset.decoding import decompressed  # few transfers decompress

        data_set, source = decompressed(copy.deepcopy(data_set), source, name), EXPLICIT_VR_LITTLE_ENDIAN
    return _encode_as(data_set, source, transfer_syntax, name, encoding, changes)


def _encode_as(
    data_set: Any,
    source: str,
    transfer_syntax: str,
    name: str,
    encoding: Encoding,
    changes: Mapping[str, str] | None,
) -> bytes:
    if transfer_syntax != source and not {source, transfer_syntax} <= set(CONVERTIBLE):
        raise InputFileError(name, f"cannot be converted from transfer syntax {source} to {transfer_syntax}")
    try:
        part = _own_part(data_set)
        for keyword, value in (changes or {}).items():
            part.pop(keyword, None)  # or the element that it shares with the original would change
            setattr(part, keyword, value)
        if not encoding.new_vr and not is_implicit(transfer_syntax):
            part = _with_old_vrs(copy.deepcopy(part))
        encoded = _encode(part, source, transfer_syntax)
    except Exception as error:  # what a bad value makes pydicom raise depends on its kind
        raise InputFileError(name, f"cannot be encoded: {error}") from error
    return _deflate(encoded, encoding.compression_level) if is_deflated(transfer_syntax) else encoded


def convert(
    source: str | PathLike[str] | BinaryIO,
    transfer_syntax: str,
    *,
    name: str,
    encoding: Encoding = AS_USUAL,
    changes: Mapping[str, str] | None = None,
) -> bytes:
    """The data set of a file in another uncompressed or deflated transfer syntax, or with other values.

    A compressed one is decompressed. All of it is in memory, before and after.

    Raises:
        InputFileError: It cannot be read, is truncated, too large, or cannot be converted.
    """
    try:
        if isinstance(source, str | PathLike):
            with open(source, "rb") as file:
                data_set = _read_whole(file, name)
        else:
            data_set = _read_whole(source, name)
    except InputFileError:
        raise
    except Exception as error:  # what a bad file makes pydicom raise depends on where it is bad
        raise InputFileError(name, f"cannot be read: {error}") from error
    own = transfer_syntax_of(data_set)
    if transfer_syntax != own and own in DECODABLE and transfer_syntax in CONVERTIBLE:
        from dcmnet.dataset.decoding import decompressed  # as above

        data_set, own = decompressed(data_set, own, name), EXPLICIT_VR_LITTLE_ENDIAN
    return _encode_as(data_set, own, transfer_syntax, name, encoding, changes)


def _read_whole(file: BinaryIO, name: str) -> Dataset:
    """Read a data set that must not be truncated: of one that is, pydicom drops or cuts the last element."""
    from pydicom.filereader import read_partial

    start = file.tell()
    length = file.seek(0, io.SEEK_END) - start
    file.seek(start)
    if length > MAX_CONVERTED_LENGTH:
        raise InputFileError(
            name, f"has {length} bytes, and only up to {MAX_CONVERTED_LENGTH} can be converted"
        )
    _limit_inflating(file, name, MAX_INFLATED_LENGTH)
    last: list[tuple[Any, int]] = [(None, 0)]

    def look(tag: Any, _: str | None, length: int) -> bool:
        last[0] = tag, length
        return False

    data_set = read_partial(file, look, force=True)
    tag, length = last[0]
    if tag is None:
        raise InputFileError(name, "has no data set")
    if not _is_whole(data_set, tag, length):
        raise InputFileError(name, f"is truncated within {tag}")
    return data_set


def _is_whole(data_set: Any, tag: Any, length: int) -> bool:
    if tag not in data_set:
        return False
    element = data_set.get_item(tag)
    return length == _UNDEFINED_LENGTH or not element.is_raw or len(element.value or b"") == length


def _own_part(data_set: Any) -> Any:
    """A data set of its own with the same elements, except those that a message's data set does not have."""
    part = data_set[_FIRST_TAG:]
    for tag in [tag for tag in part.keys() if tag.group == 2]:
        del part[tag]
    return part


def _encode(data_set: Any, source: str, transfer_syntax: str) -> bytes:
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    if is_encapsulated(transfer_syntax) and _PIXEL_DATA in data_set:
        data_set[_PIXEL_DATA] = _of_undefined_length(data_set[_PIXEL_DATA])
    if is_big_endian(source) != is_big_endian(transfer_syntax):
        data_set = _with_swapped_words(data_set, little_endian=not is_big_endian(source))
    buffer = DicomBytesIO()
    buffer.is_little_endian = not is_big_endian(transfer_syntax)
    buffer.is_implicit_VR = is_implicit(transfer_syntax)
    write_dataset(buffer, data_set)
    encoded: bytes = buffer.getvalue()
    return encoded


def _of_undefined_length(pixel_data: Any) -> Any:
    # PS3.5 A.4: encapsulated Pixel Data have an undefined length. Who assembles them may not have said so.
    encapsulated = copy.copy(pixel_data)
    encapsulated.is_undefined_length = True
    return encapsulated


def _with_swapped_words(data_set: Any, *, little_endian: bool) -> Any:
    """A copy whose binary words have the other byte order (PS3.5 7.3); numbers are turned by the encoder.

    Args:
        data_set: The data set.
        little_endian: The byte order that it has now.
    """
    from pydicom.filewriter import correct_ambiguous_vr

    swapped = copy.deepcopy(data_set)
    for _ in swapped.iterall():  # parses every element, which gives it a value representation
        pass
    # "OB or OW" and the like have to be decided, and read as numbers, in the byte order that is left behind
    swapped = correct_ambiguous_vr(swapped, little_endian)
    for element in swapped.iterall():
        code = _WORD_CODES.get(element.VR)
        if code is not None and element.value:
            value = element.value if isinstance(element.value, bytes) else _whole(element.value)
            words = array.array(code, value)
            words.byteswap()
            element.value = words.tobytes()
    return swapped


def _whole(buffered: Any) -> bytes:
    """The rest of a value that is a buffer, as pydicom takes them; it is left where it was."""
    position = buffered.tell()
    value: bytes = buffered.read()
    buffered.seek(position)
    return value


def _with_old_vrs(data_set: Any) -> Any:
    """The data set itself, with OB in the place of value representations that old readers do not know."""
    from pydicom.dataelem import DataElement

    for element in data_set:
        if element.VR == "SQ":
            for item in element.value:
                _with_old_vrs(item)
        elif element.VR in _LATE_VRS:
            data_set[element.tag] = DataElement(element.tag, "OB", _encoded_value(element))
    return data_set


def _encoded_value(element: Any) -> bytes:
    """The encoded value of an element, little endian."""
    from pydicom.dataset import Dataset
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    buffer = DicomBytesIO()
    buffer.is_little_endian = True
    buffer.is_implicit_VR = True
    write_dataset(buffer, Dataset({element.tag: element}))
    encoded: bytes = buffer.getvalue()
    return encoded[_IMPLICIT_HEADER_LENGTH:]


def _deflate(encoded: bytes, level: int) -> bytes:
    # PS3.5 A.5: a raw deflate stream, padded to even length with one NUL.
    compressor = zlib.compressobj(level, wbits=-zlib.MAX_WBITS)
    deflated = compressor.compress(encoded) + compressor.flush()
    return deflated + b"\0" * (len(deflated) & 1)
