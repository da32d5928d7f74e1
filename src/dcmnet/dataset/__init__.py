"""The bridge to pydicom, and the only importer of it: loaded when a data set has to be looked into."""

from __future__ import annotations

import array
import copy
import io
import sys
import zlib
from collections.abc import Iterable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeAlias

from dcmnet.errors import InputFileError
from dcmnet.limits import (
    MAX_CONVERTED_LENGTH,
    MAX_INFLATE_RATIO,
    MAX_INFLATED_IDENTIFIER_LENGTH,
    MAX_INFLATED_LENGTH,
)
from dcmnet.payload import Buffer
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

Identifier: TypeAlias = "Mapping[str, Any] | Dataset | Buffer"
"""The data set of a query: keywords and values, a pydicom data set, or bytes that are encoded already.

A value is a text or number, a list of several, None or "" for a key that is only to be returned, and for a
sequence a mapping or a list of mappings. A key may be a tag, as in "0008,0052".
"""

_UTF_8 = "ISO_IR 192"
_SPECIFIC_CHARACTER_SET = 0x00080005
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


# ---------------------------------------------------------------------- identifiers


def encode_identifier(identifier: Identifier, transfer_syntax: str, *, name: str = "identifier") -> bytes:
    """Encode the identifier of a query, or of a match (PS3.4 C.1.4).

    Text that is not ASCII goes out in UTF-8 (ISO_IR 192) where the identifier does not name a Specific
    Character Set (0008,0005) of its own.

    Args:
        identifier: Keywords and values, a pydicom data set, which is left as it is, or bytes, which are taken
            to be in `transfer_syntax`.
        transfer_syntax: UID; one of `CONVERTIBLE`.
        name: What to call it in an error.

    Raises:
        InputFileError: It cannot be encoded; the message says what is wrong with it.
    """
    if isinstance(identifier, bytes | bytearray | memoryview):
        return bytes(identifier)
    given: Any = identifier
    data_set = given if is_data_set(given) else from_keywords(given, name=name)
    if _SPECIFIC_CHARACTER_SET not in data_set and not _is_ascii(data_set):
        data_set = copy.deepcopy(data_set)
        data_set.SpecificCharacterSet = _UTF_8
    return encode(data_set, transfer_syntax, name=name)


def from_keywords(values: Any, *, name: str = "identifier") -> Dataset:
    """A pydicom data set of a mapping: keywords, or tags such as "0008,0052", and their values.

    Raises:
        InputFileError: A keyword is unknown, or a value does not fit its attribute.
    """
    from pydicom import config
    from pydicom.dataelem import DataElement
    from pydicom.dataset import Dataset

    if not isinstance(values, Mapping):
        kind = type(values).__name__
        raise InputFileError(name, f"is a {kind}: give keywords and values, a data set, or encoded bytes")
    data_set = Dataset()
    for key, value in values.items():
        tag, vr = _attribute(key, name)
        try:
            # wildcards and ranges (PS3.4 C.2.2.2) are no valid values of most attributes
            data_set.add(DataElement(tag, vr, _value_of(vr, value, name), validation_mode=config.IGNORE))
        except InputFileError:
            raise
        except Exception as error:  # what a bad value makes pydicom raise depends on its kind
            raise InputFileError(name, f"{key} cannot be {value!r}: {error}") from error
    return data_set


def decode_identifier(data: Buffer, transfer_syntax: str, *, name: str = "identifier") -> Dataset:
    """The data set of a query, or of a match.

    Raises:
        InputFileError: It is not encoded as its transfer syntax says, or is too long when it is inflated.
    """
    from pydicom.filereader import read_dataset

    encoded = bytes(data)
    if is_deflated(transfer_syntax):
        encoded = _inflate(encoded, name)
    last: list[tuple[Any, int]] = [(None, 0)]

    def look(tag: Any, _: str | None, length: int) -> bool:
        last[0] = tag, length
        return False

    try:
        data_set = read_dataset(
            io.BytesIO(encoded),
            is_implicit(transfer_syntax),
            not is_big_endian(transfer_syntax),
            stop_when=look,
        )
    except Exception as error:  # what bad bytes make pydicom raise depends on where they are bad
        raise InputFileError(name, f"cannot be read: {error}") from error
    tag, length = last[0]
    if encoded and (tag is None or not _is_whole(data_set, tag, length)):
        raise InputFileError(name, "is truncated" if tag is None else f"is truncated within {tag}")
    return data_set


def failed_instances(data: Buffer, transfer_syntax: str) -> tuple[str, ...]:
    """The Failed SOP Instance UID List (0008,0058) of a retrieval's response; () where there is none.

    Raises:
        InputFileError: The identifier cannot be read.
    """
    found = decode_identifier(data, transfer_syntax).get("FailedSOPInstanceUIDList") if data else None
    if not found:
        return ()
    return (str(found),) if isinstance(found, str) else tuple(str(uid) for uid in found)


def _attribute(key: str, name: str) -> tuple[int, str]:
    """Tag and VR of an attribute that is named by its keyword or its tag."""
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    tag = tag_for_keyword(key)
    if tag is None:
        tag = _tag_of(key)
    if tag is None:
        raise InputFileError(name, f"no attribute is called {key!r}{_alternatives(key)}")
    try:
        return tag, dictionary_VR(tag)
    except KeyError:
        return tag, "UN" if tag >> 16 & 1 else "LO"


def _tag_of(key: str) -> int | None:
    group, comma, element = key.strip("()").partition(",")
    try:
        return int(group, 16) << 16 | int(element, 16) if comma else None
    except ValueError:
        return None


def _alternatives(key: str) -> str:
    from difflib import get_close_matches

    from pydicom.datadict import keyword_dict

    close = get_close_matches(key, keyword_dict, 1)
    return f"; did you mean {close[0]}?" if close else " in the dictionary (PS3.6)"


def _value_of(vr: str, value: Any, name: str) -> Any:
    if vr == "SQ":
        items = [value] if isinstance(value, Mapping) else (value or [])
        return [item if is_data_set(item) else from_keywords(item, name=name) for item in items]
    if value is None:
        return ""
    is_many = isinstance(value, Iterable) and not isinstance(value, str | bytes)
    return list(value) if is_many else value


def _is_ascii(data_set: Any) -> bool:
    return all(str(element.value).isascii() for element in data_set.iterall() if element.VR != "SQ")


def _inflate(deflated: bytes, name: str) -> bytes:
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(deflated, MAX_INFLATED_IDENTIFIER_LENGTH)
    except zlib.error as error:
        raise InputFileError(name, f"cannot be inflated: {error}") from error
    if inflater.unconsumed_tail:
        limit = MAX_INFLATED_IDENTIFIER_LENGTH
        raise InputFileError(name, f"is longer than {limit} bytes when inflated")
    return inflated
