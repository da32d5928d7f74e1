"""Code streams that contradict their data set are refused before a decoder sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import ceil
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dcmnet.dataset import convert, decoding, encode, isolation
from dcmnet.dataset.codestreams import PixelModule, check_frame
from dcmnet.dataset.elements import MalformedDataSet
from dcmnet.errors import InputFileError, LimitExceeded
from dcmnet.registry.transfer_syntaxes import (
    HTJ2K,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE_8BIT,
    JPEG_LOSSLESS_SV1,
    JPEG_LS_LOSSLESS,
    RLE_LOSSLESS,
)
from tests.unit.compressed import CODECS, COLUMNS, ROWS, codestream, image, native, replace_frames, says
from tests.unit.objects import EXPLICIT

MODULE = PixelModule(ROWS, COLUMNS, 1, 8, 1)
SOF0, SOF55, SIZ = b"\xff\xc0", b"\xff\xf7", b"\xff\x51"
HUGE, HUGE_4 = (65000).to_bytes(2, "big"), (65000).to_bytes(4, "big")


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "_chosen", [])


@pytest.fixture
def no_decoder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No decoder may see what is decompressed."""

    def fail(*_: object) -> Any:
        raise AssertionError("a decoder was asked")

    monkeypatch.setattr(decoding, "_decode", fail)
    yield


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("codec", CODECS)
def test_what_is_right_is_decompressed(codec: str, frames: int, samples: int, bits: int) -> None:
    if codec == JPEG_BASELINE_8BIT and bits == 16:
        bits = 8
    options: dict[str, Any] = {"frames": frames, "samples": samples, "bits": bits}
    encoded = encode(image(codec, **options), EXPLICIT)
    original = encode(native(**options), EXPLICIT)
    assert len(encoded) == len(original)
    if codec != JPEG_BASELINE_8BIT:
        assert encoded == original


def a_table_of_lies() -> Iterator[Any]:
    """Codec, what is changed in its code stream, and what the error says."""
    jpeg: list[tuple[int, bytes, str]] = [
        (5, HUGE, "64 x 65000 pixels"),
        (7, HUGE, "65000 x 40 pixels"),
        (5, HUGE * 2, "65000 x 65000 pixels"),
        (5, b"\0\0", "64 x 0 pixels"),
        (4, b"\x0c", "12 bits per sample"),
        (9, b"\x04", "4 components"),
    ]
    for offset, value, error in jpeg:
        yield JPEG_BASELINE_8BIT, (SOF0, offset, value), error
        yield JPEG_LS_LOSSLESS, (SOF55, offset, value), error
    for offset, value, error in (
        (6, HUGE_4, "65000 x 40 pixels"),
        (10, HUGE_4, "64 x 65000 pixels"),
        (14, b"\0\0\0\1", "63 x 40 pixels"),
        (38, b"\0\3", "3 components"),
        (40, b"\x0f", "16 bits per sample"),
        (40, b"\x8f", "16 bits per sample"),
    ):
        yield JPEG_2000_LOSSLESS, (SIZ, offset, value), error


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize(("codec", "change", "error"), list(a_table_of_lies()))
@pytest.mark.parametrize("frame", [1, 3])
def test_lies(codec: str, change: tuple[bytes, int, bytes], error: str, frame: int) -> None:
    frames = [bytes(codestream(image(codec)))] * 3
    frames[frame - 1] = says(bytearray(frames[0]), *change)
    lying = replace_frames(image(codec, frames=3), frames)
    with pytest.raises(InputFileError, match=f"has {error} in frame {frame} of its Pixel Data") as caught:
        encode(lying, EXPLICIT)
    assert "\n" not in str(caught.value)


def _cut(made: Dataset) -> None:
    replace_frames(made, [bytes(codestream(made)[:20])])


def _empty(made: Dataset) -> None:
    replace_frames(made, [b"\0\0"])


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize("spoil", [_cut, _empty])
@pytest.mark.parametrize("codec", CODECS)
def test_headers_that_are_not_whole(codec: str, spoil: Callable[[Dataset], None]) -> None:
    spoilt = image(codec)
    spoil(spoilt)
    with pytest.raises(InputFileError, match=r"has no complete code stream header|has 0 frames|cannot be"):
        encode(spoilt, EXPLICIT)


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize(
    ("keyword", "value", "error"),
    [
        ("Rows", 39, "and Columns .* say 64 x 39|RLE segments"),
        ("Columns", 65, "and Columns .* say 65 x 40|RLE segments"),
        ("SamplesPerPixel", 3, r"Samples per Pixel \(0028,0002\) says 3|RLE segments"),
        ("NumberOfFrames", 2, "has 1 frames, and .0028,0008. says 2|no complete code stream"),
        ("Rows", None, "it has no .0028,0010."),
        ("BitsAllocated", 1, ".0028,0100. says 1$"),
        ("BitsAllocated", 128, ".0028,0100. says 128$"),
    ],
)
@pytest.mark.parametrize("codec", CODECS[:3])
def test_data_sets_that_lie(codec: str, keyword: str, value: int | None, error: str) -> None:
    made = image(codec)
    setattr(made, keyword, value)
    with pytest.raises(InputFileError, match=error):
        encode(made, EXPLICIT)


@pytest.mark.usefixtures("no_decoder")
def test_more_frames_than_said() -> None:
    made = image(RLE_LOSSLESS, frames=3)
    made.NumberOfFrames = 2
    with pytest.raises(InputFileError, match="has more than 2 frames"):
        encode(made, EXPLICIT)


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize("value", [b"x ", b"-1", b"1e9 "])
def test_number_of_frames_that_is_none(value: bytes) -> None:
    from dcmnet.dataset.decoding import pixel_module
    from dcmnet.dataset.elements import Element

    numbers = [(0x00280010, 2), (0x00280011, 2), (0x00280002, 1), (0x00280100, 8)]
    elements = [Element(tag, "US", bytes((number, 0))) for tag, number in numbers]
    assert pixel_module(elements) == (2, 2, 1, 8, 1)
    assert pixel_module([*elements, Element(0x00280008, "IS", b"0 ")]).frames == 1
    with pytest.raises(isolation.UndecodablePixelData, match="no number of frames"):
        pixel_module([*elements, Element(0x00280008, "IS", value)])


@pytest.mark.usefixtures("no_decoder")
@pytest.mark.parametrize(
    ("position", "value", "error"),
    [
        (0, 2, "has 2 RLE segments in frame 1 of its Pixel Data .*, and its pixels have 1 bytes"),
        (4, 32, "not where its header says"),
        (4, 0x7FFFFFFF, "not where its header says"),
    ],
)
def test_rle_segments(position: int, value: int, error: str) -> None:
    made = image(RLE_LOSSLESS)
    stream = codestream(made)
    stream[position : position + 4] = value.to_bytes(4, "little")
    if position == 0:
        stream[8:12] = (65).to_bytes(4, "little")
    with pytest.raises(InputFileError, match=error):
        encode(replace_frames(made, [bytes(stream)]), EXPLICIT)


@pytest.mark.parametrize(
    ("codec", "marker"), [(JPEG_BASELINE_8BIT, b"\xff\xc0"), (JPEG_LOSSLESS_SV1, b"\xff\xc3")]
)
def test_a_small_code_stream_cannot_have_a_large_image(codec: str, marker: bytes) -> None:
    stream = says(codestream(image(JPEG_BASELINE_8BIT)), SOF0, 5, HUGE * 2)
    stream = stream.replace(SOF0, marker, 1)
    large = MODULE._replace(rows=65000, columns=65000)
    with pytest.raises(MalformedDataSet, match="too short for its pixels"):
        check_frame(stream, codec, large, 1)
    long_enough = stream + bytes(ceil(65000 / 8) ** 2 // 8)
    if marker == SOF0:
        check_frame(long_enough, codec, large, 1)


def test_a_small_rle_segment_cannot_have_a_large_image() -> None:
    with pytest.raises(MalformedDataSet, match=r"RLE segment in frame 7 .* too short for 4225000000 pixels"):
        check_frame(
            codestream(image(RLE_LOSSLESS)), RLE_LOSSLESS, MODULE._replace(rows=65000, columns=65000), 7
        )


def test_jpeg_markers() -> None:
    stream = bytes(codestream(image(JPEG_BASELINE_8BIT)))
    check_frame(b"\xff" + stream, JPEG_BASELINE_8BIT, MODULE, 1)  # fill bytes
    check_frame(stream.replace(SOF0, b"\xff\x01\xff\xff" + SOF0, 1), JPEG_BASELINE_8BIT, MODULE, 1)
    second = SOF0 + b"\0\x0b\x08" + HUGE * 2 + b"\x01\x01\x11\0"
    with pytest.raises(MalformedDataSet, match="65000 x 65000"):
        check_frame(stream.replace(b"\xff\xda", second + b"\xff\xda", 1), JPEG_BASELINE_8BIT, MODULE, 1)
    for spoilt in (b"\xff\xd8\x12\x34", b"\xff\xd8\xff\xd9", b"", stream[: stream.index(SOF0)] + b"\xff\xd9"):
        with pytest.raises(MalformedDataSet, match="no complete code stream header"):
            check_frame(spoilt, JPEG_BASELINE_8BIT, MODULE, 1)


def test_lines_that_are_counted_behind_the_scan() -> None:
    stream = says(codestream(image(JPEG_BASELINE_8BIT)), SOF0, 5, b"\0\0")
    check_frame(stream[:-2] + b"\xff\xdc\0\4\0\x28\xff\xd9", JPEG_BASELINE_8BIT, MODULE, 1)
    with pytest.raises(MalformedDataSet, match="64 x 65000"):
        check_frame(stream[:-2] + b"\xff\xdc\0\4" + HUGE + b"\xff\xd9", JPEG_BASELINE_8BIT, MODULE, 1)


@pytest.mark.parametrize("codec", [JPEG_2000, HTJ2K])
def test_jpeg_2000_in_boxes(codec: str) -> None:
    stream = codestream(image(JPEG_2000_LOSSLESS))
    boxes = b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\0jp2c"
    check_frame(boxes + stream, codec, MODULE, 1)
    for spoilt in (boxes, boxes + b"\xff\x4f"):
        with pytest.raises(MalformedDataSet, match="no complete code stream header"):
            check_frame(spoilt, codec, MODULE, 1)
    with pytest.raises(MalformedDataSet, match="65000 x 40"):
        check_frame(boxes + says(stream, SIZ, 6, HUGE_4), codec, MODULE, 1)


def test_icons_and_images_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    made = image(JPEG_2000_LOSSLESS)
    made.IconImageSequence = [image(JPEG_2000_LOSSLESS)]
    found = encode(made, EXPLICIT)
    assert found.count(native().PixelData) == 2
    monkeypatch.setattr(decoding, "MAX_DECOMPRESSED_LENGTH", 2 * ROWS * COLUMNS - 1)
    with pytest.raises(
        LimitExceeded, match=f"has {2 * ROWS * COLUMNS} bytes of pixel data when decompressed"
    ):
        encode(made, EXPLICIT)


def test_a_lie_in_an_icon() -> None:
    made = image(JPEG_2000_LOSSLESS)
    icon = image(JPEG_2000_LOSSLESS)
    made.IconImageSequence = [replace_frames(icon, [says(codestream(icon), SIZ, 6, HUGE_4)])]
    with pytest.raises(InputFileError, match="65000 x 40 pixels in frame 1"):
        encode(made, EXPLICIT)


def test_the_data_set_of_the_caller_stays() -> None:
    made = image(RLE_LOSSLESS)
    made.IconImageSequence = [image(RLE_LOSSLESS)]
    before = made.PixelData, made.IconImageSequence[0].PixelData
    encode(made, EXPLICIT)
    assert (made.PixelData, made.IconImageSequence[0].PixelData) == before


def test_fewer_bits_than_are_allocated() -> None:
    made = image(JPEG_2000_LOSSLESS)
    made.BitsAllocated = 16
    wide = native(bits=16)
    wide.BitsStored, wide.HighBit = 8, 7
    assert encode(made, EXPLICIT) == encode(wide, EXPLICIT)


def test_extended_offset_table_goes_with_its_fragments() -> None:
    made = image(JPEG_LS_LOSSLESS)
    made.ExtendedOffsetTable = bytes(8)
    made.ExtendedOffsetTableLengths = len(codestream(made)).to_bytes(8, "little")
    assert encode(made, EXPLICIT) == encode(native(), EXPLICIT)


def test_from_a_file(tmp_path: Any) -> None:
    path = tmp_path / "a.dcm"
    lying = image(JPEG_BASELINE_8BIT)
    stream = says(codestream(lying), SOF0, 5, HUGE * 2)
    replace_frames(lying, [stream]).save_as(path, enforce_file_format=True)
    with pytest.raises(InputFileError, match="65000 x 65000 pixels"):
        convert(path, EXPLICIT, name="a")
