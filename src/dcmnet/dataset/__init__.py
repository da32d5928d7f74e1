"""The bridge to pydicom, and the only importer of it: loaded when a data set has to be looked into."""

from __future__ import annotations

import io
import sys
import zlib
from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from dcmnet.dataset.quiet import quietly
from dcmnet.errors import InputFileError, LimitExceeded
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

_UNDEFINED_LENGTH = 0xFFFFFFFF
_INFLATE_STEP = 1 << 18


def load_pydicom() -> None:
    """Load all of pydicom that is used here, unless that has been done; it takes some tenths of a second."""
    from dcmnet.dataset import bridge  # noqa: F401  # loading it is what is wanted


def is_data_set(source: object) -> bool:
    """Whether this is a pydicom data set; pydicom is not loaded to find out."""
    module = sys.modules.get("pydicom.dataset")
    return module is not None and isinstance(source, module.Dataset)


@quietly
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
    from dcmnet.dataset.bridge import dcmread

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
        raise LimitExceeded(name, f"its deflated data set is longer than {limit} bytes when inflated")
    file.seek(start)


def _deflated_length(file: BinaryIO) -> int:
    """How many deflated bytes there are, and leave the file where they begin; 0 when it is not deflated."""
    from dcmnet.dataset.bridge import read_file_meta_info, read_preamble

    read_preamble(file, force=True)
    if read_file_meta_info(file).get("TransferSyntaxUID") != DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN:
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


@quietly
def transfer_syntax_of(data_set: Any) -> str:
    """The transfer syntax a data set is in; Explicit VR Little Endian for one that was made in memory."""
    file_meta = getattr(data_set, "file_meta", None)
    named = getattr(file_meta, "TransferSyntaxUID", None)
    if named:
        return str(named)
    implicit, little = data_set.original_encoding
    if little is False:
        return EXPLICIT_VR_BIG_ENDIAN
    return IMPLICIT_VR_LITTLE_ENDIAN if implicit else EXPLICIT_VR_LITTLE_ENDIAN


@quietly
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
    Meta Information (PS3.10 7.1). What was read and not looked at keeps its bytes. Text that does not fit the
    Specific Character Set (0008,0005) goes out in UTF-8 (ISO_IR 192), and the encoded data set says so.

    Args:
        data_set: A pydicom data set, which is left as it is.
        transfer_syntax: UID; one of `CONVERTIBLE`, or the one that the data set is in.
        name: What to call it in an error.
        encoding: How it is encoded.
        changes: Values to be sent instead of its own, by keyword.

    Raises:
        InputFileError: It cannot be encoded; the message says what is wrong with it.
    """
    from dcmnet.dataset.transcoder import encode_data_set
    from dcmnet.dataset.writer import AS_IT_WAS

    layout = AS_IT_WAS._replace(encoding=encoding)
    own = transfer_syntax_of(data_set)
    return encode_data_set(data_set, own, transfer_syntax, layout, name=name, changes=changes)


@quietly
def convert(
    source: str | PathLike[str] | BinaryIO,
    transfer_syntax: str,
    *,
    name: str,
    encoding: Encoding = AS_USUAL,
    changes: Mapping[str, str] | None = None,
    own: tuple[str, int] | None = None,
) -> bytes:
    """The data set of a file in another uncompressed or deflated transfer syntax, or with other values.

    Its values stay as they are, byte by byte; only the order of bytes in numbers, and the byte that makes a
    length even, depend on the transfer syntax. A compressed data set is decompressed. All of it is in memory,
    before and after.

    Args:
        source: A path, or a file object that can go back.
        transfer_syntax: UID of the one that it gets.
        name: What to call it in an error.
        encoding: How it is encoded.
        changes: Values to be sent instead of its own, by keyword.
        own: The transfer syntax that it is in, and where its data set begins; None if its File Meta
            Information says so.

    Raises:
        InputFileError: It cannot be read, is truncated, too large, or cannot be converted.
    """
    from dcmnet.dataset.transcoder import transcode
    from dcmnet.dataset.writer import AS_IT_WAS

    try:
        if isinstance(source, str | PathLike):
            with open(source, "rb") as file:
                data, syntax = read_encoded(file, name, own)
        else:
            data, syntax = read_encoded(source, name, own)
    except OSError as error:
        raise InputFileError(name, f"cannot be read: {error.strerror or error}") from error
    except ValueError:  # of pydicom, about its File Meta Information
        raise InputFileError(name, "cannot be read: its File Meta Information is damaged") from None
    layout = AS_IT_WAS._replace(encoding=encoding)
    limit = MAX_INFLATED_LENGTH
    return transcode(
        data, syntax, transfer_syntax, layout, name=name, max_inflated_length=limit, changes=changes
    )


def read_encoded(file: BinaryIO, name: str, own: tuple[str, int] | None = None) -> tuple[bytes, str]:
    """The encoded data set of a file that is to be converted, and its transfer syntax.

    Args:
        file: A file object that can go back; one without `own` is read from where it is.
        name: What to call it in an error.
        own: Transfer syntax and offset, if they are known already.

    Raises:
        InputFileError: It is too long.
    """
    syntax, begin = _own_start(file) if own is None else own
    length = file.seek(0, io.SEEK_END) - begin
    if length > MAX_CONVERTED_LENGTH:
        raise InputFileError(
            name, f"has {length} bytes, and only up to {MAX_CONVERTED_LENGTH} can be converted"
        )
    file.seek(begin)
    return file.read(), syntax


def _own_start(file: BinaryIO) -> tuple[str, int]:
    """The transfer syntax that File Meta Information names, else what it looks like; and where it begins."""
    from dcmnet.dataset.bridge import read_file_meta_info, read_preamble

    read_preamble(file, force=True)
    named = read_file_meta_info(file).get("TransferSyntaxUID")
    begin = file.tell()
    if named:
        return str(named), begin
    first = file.read(6)
    if not first[4:].isupper():
        return IMPLICIT_VR_LITTLE_ENDIAN, begin
    return EXPLICIT_VR_LITTLE_ENDIAN if first[0] else EXPLICIT_VR_BIG_ENDIAN, begin


@quietly
def check_label(data_set: Any, name: str) -> None:
    """Refuse a pydicom data set whose bytes contradict its transfer syntax, as far as that shows at once.

    `encode` looks at all of it.

    Raises:
        InputFileError: They do; the message says what to do.
    """
    from dcmnet.dataset.transcoder import check_data_set

    check_data_set(data_set, transfer_syntax_of(data_set), name)


@quietly
def uid_in(data_set: Any, tag: int) -> str:
    """The UID that an element of a pydicom data set has, as it is; empty when there is none."""
    element = data_set.get_item(tag)
    value = "" if element is None or element.value is None else element.value
    return (value.decode("latin-1") if isinstance(value, bytes) else str(value)).rstrip(" \0")


def _read_whole(file: BinaryIO, name: str) -> Dataset:
    """Read a data set that must not be truncated: of one that is, pydicom drops or cuts the last element."""
    from dcmnet.dataset.bridge import read_partial

    start = file.tell()
    length = file.seek(0, io.SEEK_END) - start
    file.seek(start)
    if length > MAX_CONVERTED_LENGTH:
        raise InputFileError(
            name, f"has {length} bytes, and only up to {MAX_CONVERTED_LENGTH} can be converted"
        )
    _check_extent(file, name)
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


def _check_extent(file: BinaryIO, name: str) -> None:
    """Refuse a file with a query that would cost pydicom too much; the file is left where it is."""
    from dcmnet.dataset.identifiers import check_extent, inflate

    start = file.tell()
    data, syntax = read_encoded(file, name)
    if is_deflated(syntax):
        data = inflate(data, name)
    check_extent(data, implicit=is_implicit(syntax), little=not is_big_endian(syntax), name=name)
    file.seek(start)


def _is_whole(data_set: Any, tag: Any, length: int) -> bool:
    if tag not in data_set:
        return False
    element = data_set.get_item(tag)
    return length == _UNDEFINED_LENGTH or not element.is_raw or len(element.value or b"") == length
