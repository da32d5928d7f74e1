"""What a code stream says of its image, held against the data set that it is in.

A decoder allocates what the code stream says, whatever Rows and Columns are, so it is not given one that
contradicts them. Nothing is decoded here, and nothing is allocated that depends on what is read.
"""

from __future__ import annotations

import itertools
from math import ceil
from typing import NamedTuple

from dcmnet.dataset.elements import MalformedDataSet
from dcmnet.payload import Buffer
from dcmnet.registry.transfer_syntaxes import (
    HTJ2K,
    HTJ2K_LOSSLESS,
    HTJ2K_LOSSLESS_RPCL,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    RLE_LOSSLESS,
)

_JPEG_2000 = (JPEG_2000, JPEG_2000_LOSSLESS, HTJ2K, HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL)

# ISO/IEC 10918-1 Table B.1, and ISO/IEC 14495-1 Table C.1 for SOF55
_SOI, _EOI, _SOS, _DNL = 0xD8, 0xD9, 0xDA, 0xDC
_NO_LENGTH = frozenset((0x00, 0x01, *range(0xD0, 0xD8), _SOI))
_DCT_HUFFMAN, _LOSSLESS_HUFFMAN = frozenset((0xC0, 0xC1, 0xC2)), 0xC3
_FRAME_HEADERS = frozenset((*range(0xC0, 0xD0), 0xDE, 0xF7)) - {0xC4, 0xC8, 0xCC}  # 0xDE is DHP

_JP2_SIGNATURE = b"\0\0\0\x0cjP  "
_SOC_SIZ = b"\xff\x4f\xff\x51"
_SIZ_LENGTH = 38
"""Bytes of the marker segment SIZ before what it says of each component (ISO/IEC 15444-1 A.5.1)."""

_RLE_HEADER_LENGTH = 64
_RLE_MOST = 64
"""Two bytes, at least, stand for at most 128 (PS3.5 G.3.1)."""


class PixelModule(NamedTuple):
    """What a data set says of its Pixel Data (PS3.3 C.7.6.3).

    Attributes:
        rows: (0028,0010).
        columns: (0028,0011).
        samples: Samples per Pixel (0028,0002).
        bits_allocated: (0028,0100), a multiple of 8.
        frames: Number of Frames (0028,0008), 1 if there is none.
    """

    rows: int
    columns: int
    samples: int
    bits_allocated: int
    frames: int

    @property
    def frame_length(self) -> int:
        """Bytes of a frame that is decompressed."""
        return self.rows * self.columns * self.samples * (self.bits_allocated // 8)


class _Image(NamedTuple):
    """What a header says of the image; and how many bytes its code stream has at least."""

    rows: int
    columns: int
    samples: int
    precision: int
    length: int = 0


def check_frame(frame: Buffer, transfer_syntax: str, module: PixelModule, number: int) -> None:
    """Refuse a code stream that does not agree with its data set.

    A precision below Bits Allocated is right: Bits Stored is often less than what was compressed.

    Args:
        frame: The whole code stream of one frame.
        transfer_syntax: UID of one that can be decompressed.
        module: What the data set says.
        number: The frame's, from 1, for the error.

    Raises:
        MalformedDataSet: It does not agree, or cannot be read; the message is the rest of a sentence.
    """
    where = f"in frame {number} of its Pixel Data (7FE0,0010)"
    try:
        if transfer_syntax == RLE_LOSSLESS:
            _check_rle(frame, module, where)
            return
        images = _jpeg_2000(frame) if transfer_syntax in _JPEG_2000 else _jpeg(frame)
    except IndexError:
        images = []
    if not images:
        raise MalformedDataSet(f"has no complete code stream header {where}")
    for image in images:
        _check_image(image, module, where)
        if len(frame) < image.length:
            raise MalformedDataSet(f"has a code stream {where} that is too short for its pixels")


def _check_image(image: _Image, module: PixelModule, where: str) -> None:
    pairs = (
        (
            f"{image.columns} x {image.rows} pixels",
            (image.columns, image.rows) == (module.columns, module.rows),
            f"Columns (0028,0011) and Rows (0028,0010) say {module.columns} x {module.rows}",
        ),
        (
            f"{image.samples} components",
            image.samples == module.samples,
            f"Samples per Pixel (0028,0002) says {module.samples}",
        ),
        (
            f"{image.precision} bits per sample",
            0 < image.precision <= module.bits_allocated,
            f"Bits Allocated (0028,0100) says {module.bits_allocated}",
        ),
    )
    for found, agrees, said in pairs:
        if not agrees:
            raise MalformedDataSet(f"has {found} {where}, and {said}")


def _word(data: Buffer, position: int) -> int:
    return data[position] << 8 | data[position + 1]


def _long(data: Buffer, position: int) -> int:
    return _word(data, position) << 16 | _word(data, position + 2)


# ---------------------------------------------------------------------- JPEG and JPEG-LS


def _jpeg(data: Buffer) -> list[_Image]:
    """What each frame header before the first scan says: a hierarchical image has several."""
    found: list[_Image] = []
    position = 0
    while True:
        if data[position] != 0xFF:
            return []
        marker = data[position + 1]
        if marker == 0xFF:  # ISO/IEC 10918-1 B.1.1.2: fill bytes
            position += 1
            continue
        if marker in (_SOS, _EOI):
            return [_with_lines(image, data, position) for image in found]
        position += 2
        if marker in _NO_LENGTH:
            continue
        if marker in _FRAME_HEADERS:
            found.append(_frame_header(data, position, marker))
        position += _word(data, position)


def _frame_header(data: Buffer, position: int, marker: int) -> _Image:
    # ISO/IEC 10918-1 B.2.2: Lf, P, Y, X, Nf; then C, H and V, Tq of each component
    rows, columns, samples = _word(data, position + 3), _word(data, position + 5), data[position + 7]
    sampling = [data[position + 9 + 3 * each] for each in range(samples)]
    bits = 0
    if marker == _LOSSLESS_HUFFMAN:  # H.1.2.2: a code for every sample
        bits = _units(rows, columns, sampling, 1)
    elif marker in _DCT_HUFFMAN:  # F.1.2, G.1.2: a code for every block of 8 x 8, of its first coefficient
        bits = _units(rows, columns, sampling, 8)
    return _Image(rows, columns, samples, data[position + 2], bits // 8)


def _units(rows: int, columns: int, sampling: list[int], side: int) -> int:
    """How many blocks of so many samples a side the components have together (A.1.1)."""
    widest = max((each >> 4 for each in sampling), default=0) or 1
    highest = max((each & 15 for each in sampling), default=0) or 1
    return sum(
        ceil(columns * (each >> 4) / widest / side) * ceil(rows * (each & 15) / highest / side)
        for each in sampling
    )


def _with_lines(image: _Image, data: Buffer, position: int) -> _Image:
    """ISO/IEC 10918-1 B.2.5: an image of 0 lines has their number behind its first scan, in a DNL segment."""
    if image.rows:
        return image
    start = bytes(data).find(bytes((0xFF, _DNL, 0, 4)), position)
    return image if start < 0 else image._replace(rows=_word(data, start + 4))


# ---------------------------------------------------------------------- JPEG 2000 and HTJ2K


def _jpeg_2000(data: Buffer) -> list[_Image]:
    start = 0
    if bytes(data[: len(_JP2_SIGNATURE)]) == _JP2_SIGNATURE:  # PS3.5 A.4.4 forbids the boxes; some write them
        start = bytes(data).find(b"jp2c" + _SOC_SIZ) + 4
    if bytes(data[start : start + 4]) != _SOC_SIZ:
        return []
    # ISO/IEC 15444-1 A.5.1: Lsiz, Rsiz, Xsiz, Ysiz, XOsiz, YOsiz, tiles, Csiz; then each component
    siz = start + 4
    columns = _long(data, siz + 4) - _long(data, siz + 12)
    rows = _long(data, siz + 8) - _long(data, siz + 16)
    samples = _word(data, siz + _SIZ_LENGTH - 2)
    components = range(siz + _SIZ_LENGTH, siz + _SIZ_LENGTH + 3 * samples, 3)
    depths = [(data[each] & 0x7F) + 1 for each in components]
    return [_Image(rows, columns, samples, max(depths, default=0))]


# ---------------------------------------------------------------------- RLE


def _check_rle(data: Buffer, module: PixelModule, where: str) -> None:
    """PS3.5 G.3 to G.5: a segment for each byte of a pixel, each with a byte for every pixel."""
    little = [_little(data, position) for position in range(0, _RLE_HEADER_LENGTH, 4)]
    segments = module.samples * (module.bits_allocated // 8)
    if little[0] != segments:
        raise MalformedDataSet(f"has {little[0]} RLE segments {where}, and its pixels have {segments} bytes")
    bounds = [*little[1 : segments + 1], len(data)]
    pixels = module.rows * module.columns
    for start, end in itertools.pairwise(bounds):
        if not _RLE_HEADER_LENGTH <= start <= end <= len(data):
            raise MalformedDataSet(f"has RLE segments {where} that are not where its header says")
        if (end - start) * _RLE_MOST < pixels:
            raise MalformedDataSet(f"has an RLE segment {where} that is too short for {pixels} pixels")


def _little(data: Buffer, position: int) -> int:
    low, high = data[position] | data[position + 1] << 8, data[position + 2] | data[position + 3] << 8
    return low | high << 16
