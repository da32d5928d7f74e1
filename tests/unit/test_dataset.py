"""The bridge to pydicom: conversions are read back with pydicom and compared value by value."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
import zlib
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from dcmnet import dataset
from dcmnet.dataset import CONVERTIBLE, convert, encode, is_data_set, read, transfer_syntax_of
from dcmnet.errors import InputFileError
from dcmnet.storage.part10 import FileMeta, encode_file_meta
from tests.unit.objects import (
    BIG_ENDIAN,
    CT,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    element,
    file_meta,
    write_file,
)

WORDS = {
    "PixelData": ("OW", "<u2"),
    "FloatPixelData": ("OF", "<f4"),
    "DoubleFloatPixelData": ("OD", "<f8"),
    "LongPrimitivePointIndexList": ("OL", "<u4"),
    "ExtendedOffsetTable": ("OV", "<u8"),
}


def sample() -> Dataset:
    """A data set with one of everything that a conversion may break."""
    made = Dataset()
    made.SpecificCharacterSet = "ISO_IR 192"
    made.SOPClassUID = UID(CT)
    made.SOPInstanceUID = UID("1.2.3")
    made.PatientName = "Müller^Jürgen"
    made.FrameIncrementPointer = [0x00181063, 0x00181065]
    made.Rows, made.Columns, made.BitsAllocated, made.BitsStored, made.HighBit = 2, 3, 16, 12, 11
    made.SamplesPerPixel, made.PhotometricInterpretation, made.PixelRepresentation = 1, "MONOCHROME2", 1
    made.SmallestImagePixelValue = -3
    made.LargestImagePixelValue = 700
    made.LUTDescriptor = [4, 0, 16]
    made.add_new("LUTData", "OW", np.arange(4, dtype="<u2").tobytes())
    made.add_new("RecommendedDisplayFrameRateInFloat", "FL", 0.5)
    made.add_new("EventTimeOffset", "FD", 0.1)
    for number, (keyword, (vr, kind)) in enumerate(WORDS.items()):
        made.add_new(keyword, vr, (np.arange(6) + 258 * number + 1).astype(kind).tobytes())
    inner = Dataset()
    inner.ReferencedSOPClassUID = UID(CT)
    inner.add_new(0x00281201, "OW", b"\x01\x02\x03\x04")
    inner.PurposeOfReferenceCodeSequence = [Dataset()]
    made.ReferencedImageSequence = [inner, Dataset()]
    block = made.private_block(0x0009, "DCMNET TEST", create=True)
    block.add_new(1, "UN", b"\x01\x02\x03\x04")
    block.add_new(2, "US", 258)
    return made


def values(data_set: Dataset) -> dict[str, Any]:
    """Everything of a data set except its private elements, with its words in little endian."""
    found: dict[str, Any] = {}
    big = data_set.original_encoding[1] is False
    for each in data_set:
        value = each.value
        if each.VR == "SQ":
            value = [values(item) for item in value]
        elif big and each.VR in ("OW", "OF", "OL", "OD", "OV"):
            value = np.frombuffer(value, f">u{SIZES[each.VR]}").astype(f"<u{SIZES[each.VR]}").tobytes()
        if not each.tag.is_private:
            found[f"{each.tag}"] = value
    return found


SIZES = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}


def read_back(encoded: bytes, transfer_syntax: str) -> FileDataset:
    return pydicom.dcmread(io.BytesIO(file_meta(transfer_syntax=transfer_syntax) + encoded))


@pytest.fixture(params=CONVERTIBLE, ids=["explicit", "implicit", "big", "deflated"])
def converted(request: pytest.FixtureRequest) -> tuple[bytes, str]:
    return encode(sample(), request.param), request.param


# ---------------------------------------------------------------------- conversion


def test_from_memory(converted: tuple[bytes, str]) -> None:
    found = read_back(*converted)
    expected = sample()
    assert len(converted[0]) % 2 == 0
    assert values(found) == values(expected)
    assert found.SmallestImagePixelValue == -3


@pytest.mark.parametrize(("source", "target"), list(product(CONVERTIBLE, CONVERTIBLE)))
@pytest.mark.parametrize("as_file", [True, False])
def test_from_any_to_any(tmp_path: Path, source: str, target: str, as_file: bool) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(file_meta(transfer_syntax=source) + encode(sample(), source))
    with path.open("rb") as file:
        encoded = convert(path if as_file else file, target, name="a")
    assert values(read_back(encoded, target)) == values(sample())
    assert encode(read(path), target) == encoded


def test_private_elements_keep_their_bytes_between_the_little_endian_ones() -> None:
    implicit = read_back(encode(sample(), IMPLICIT), IMPLICIT)
    explicit = read_back(encode(implicit, EXPLICIT), EXPLICIT)
    assert explicit[0x00091001].VR == "UN"
    assert explicit[0x00091001].value == b"\x01\x02\x03\x04"
    assert explicit[0x00091002].value == b"\x02\x01"


def test_words_are_turned_once() -> None:
    """16-bit pixels that were read as Implicit VR have no value representation of their own."""
    implicit = read_back(encode(sample(), IMPLICIT), IMPLICIT)
    encoded = encode(implicit, BIG_ENDIAN)
    pixels = np.frombuffer(sample().PixelData, "<u2").astype(">u2").tobytes()
    assert b"\x7f\xe0\x00\x10OW\0\0\0\0\0\x0c" + pixels in encoded
    assert b"\x00\x28\x01\x06SS\x00\x02\xff\xfd" in encoded
    assert implicit.PixelData == sample().PixelData


def test_bytes_are_not_turned() -> None:
    made = Dataset()
    made.SOPClassUID = UID(CT)
    made.BitsAllocated = 8
    made.add_new("PixelData", "OB", b"\x01\x02\x03\x04")
    assert encode(made, BIG_ENDIAN).endswith(b"OB\0\0\0\0\0\x04\x01\x02\x03\x04")


def test_a_buffered_value_is_turned() -> None:
    made = Dataset()
    made.BitsAllocated = 16
    buffer = io.BytesIO(b"\x01\x02\x03\x04")
    made.add_new("PixelData", "OW", buffer)
    assert encode(made, BIG_ENDIAN).endswith(b"\x02\x01\x04\x03")
    assert buffer.tell() == 0
    assert encode(made, EXPLICIT).endswith(b"\x01\x02\x03\x04")


def test_an_empty_value_is_turned() -> None:
    made = Dataset()
    made.add_new("PixelData", "OW", None)
    made.BitsAllocated = 16
    assert encode(made, BIG_ENDIAN).endswith(b"OW\0\0\0\0\0\0")


def test_deflated_is_a_raw_stream_of_even_length() -> None:
    lengths = set()
    for text in ("A", "AB", "ABC", "ABCD", "XYZ01", "3.14159"):
        made = sample()
        made.PatientID = text
        encoded = encode(made, DEFLATED)
        lengths.add(len(encoded) % 2)
        inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        assert inflater.decompress(encoded) == encode(made, EXPLICIT)
        assert inflater.unused_data in (b"", b"\0")
    assert lengths == {0}


def test_the_data_set_is_left_as_it_is() -> None:
    made = sample()
    for transfer_syntax in CONVERTIBLE:
        encode(made, transfer_syntax)
    assert values(made) == values(sample())


def test_group_lengths_go_and_unknown_groups_stay() -> None:
    made = sample()
    made.add_new(0x00080000, "UL", 20)
    made.add_new(0x00010010, "LO", "creator")
    found = read_back(encode(made, EXPLICIT), EXPLICIT)
    assert 0x00080000 not in found
    assert found[0x00010010].value == "creator"


@pytest.mark.parametrize("kind", [Dataset, FileDataset])
def test_elements_that_do_not_belong_into_a_message(kind: type[Dataset]) -> None:
    """PS3.10 7.1 and PS3.7 6.3: neither File Meta Information nor a Command Set is part of it."""
    made = sample() if kind is Dataset else FileDataset("a.dcm", sample())
    expected = encode(made, EXPLICIT)
    made.add_new(0x00020010, "UI", UID(IMPLICIT))
    made.add_new(0x00000100, "US", 1)
    assert encode(made, EXPLICIT) == expected
    assert 0x00020010 in made


@pytest.mark.parametrize("vr", ["OB", "OW", "OB or OW"])
def test_encapsulated_pixel_data_have_an_undefined_length(vr: str) -> None:
    made = sample()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = UID(JPEG)
    made.add_new("PixelData", vr, encapsulate([b"\xff\xd8frame"]))
    encoded = encode(made, JPEG)
    start = encoded.index(b"\xe0\x7f\x10\x00O")
    assert encoded[start + 8 : start + 12] == b"\xff\xff\xff\xff"
    assert encoded.endswith(b"\xfe\xff\xdd\xe0\0\0\0\0")
    assert made["PixelData"].is_undefined_length is False
    made.file_meta.TransferSyntaxUID = UID(EXPLICIT)
    with pytest.raises(InputFileError, match=r"x: cannot be converted from .*1\.2\.1 to .*4\.50"):
        encode(made, JPEG, name="x")


def test_an_encapsulated_one_without_pixels() -> None:
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = UID(JPEG)
    made.PatientID = "1"
    assert encode(made, JPEG) == element(0x10, 0x20, "LO", b"1")


# ---------------------------------------------------------------------- which transfer syntax


def test_the_transfer_syntax_of_a_data_set() -> None:
    made = Dataset()
    assert transfer_syntax_of(made) == EXPLICIT
    made.file_meta = FileMetaDataset()
    assert transfer_syntax_of(made) == EXPLICIT
    made.file_meta.TransferSyntaxUID = UID(JPEG)
    assert transfer_syntax_of(made) == JPEG


@pytest.mark.parametrize("transfer_syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_the_transfer_syntax_of_one_that_was_read_without_file_meta(transfer_syntax: str) -> None:
    made = sample()
    del made.SpecificCharacterSet
    made.PatientName = "A"
    found = pydicom.dcmread(io.BytesIO(encode(made, transfer_syntax)), force=True)
    assert transfer_syntax_of(found) == transfer_syntax


def test_is_data_set() -> None:
    assert is_data_set(Dataset())
    assert not is_data_set("a.dcm")


def test_pydicom_is_not_loaded_to_find_out() -> None:
    code = "import sys; from dcmnet.dataset import is_data_set as f; f(1); print('pydicom' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"False\n"


# ---------------------------------------------------------------------- what cannot be done


def broken_data_sets() -> Iterator[Dataset]:
    for value in ("many", 70000):
        wrong = Dataset()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wrong.add_new("Rows", "US", value)
        yield wrong
    unknown = Dataset()
    unknown.add_new("Rows", "US", 1)
    unknown["Rows"].VR = "XX"
    yield unknown
    ambiguous = Dataset()
    ambiguous.add_new("PixelData", "OB or OW", b"12")
    yield ambiguous


@pytest.mark.parametrize("number", range(4))
def test_what_cannot_be_encoded(number: int) -> None:
    made = list(broken_data_sets())[number]
    with pytest.raises(InputFileError, match=r"^picture: cannot be encoded: "):
        encode(made, EXPLICIT, name="picture")


def test_words_that_are_not_whole() -> None:
    made = Dataset()
    made.add_new("FloatPixelData", "OF", b"123456")
    assert encode(made, BIG_ENDIAN).endswith(b"UN\0\0\0\0\0\x06123456")  # PS3.5 6.2.2: never swapped


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"^a: cannot be read: "):
        convert(tmp_path / "a.dcm", IMPLICIT, name="a")


@pytest.mark.parametrize("source", [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED])
def test_a_truncated_file_is_not_converted(source: str) -> None:
    """pydicom drops or shortens what is not whole: nobody may take the rest for the object."""
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID, made.PatientID = UID(CT), UID("1.2.3"), "ID"
    made.ReferencedImageSequence = [Dataset(), Dataset()]
    made.ReferencedImageSequence[0].ReferencedSOPClassUID = UID(CT)
    made["ReferencedImageSequence"].is_undefined_length = True
    made.BitsAllocated = 16
    made.add_new("PixelData", "OW", bytes(range(20)))
    whole = encode(made, source)
    complete: list[int] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for length in range(len(whole) + 1):
            head = file_meta(transfer_syntax=source) + whole[:length]
            try:
                found = convert(io.BytesIO(head), EXPLICIT, name="a")
            except InputFileError:
                continue
            complete.append(length)
            read_back(found, EXPLICIT)
    assert complete[-1] == len(whole)
    pixels = len(whole) - 20 - (8 if source == IMPLICIT else 12)
    assert not [length for length in complete if pixels + 8 <= length < len(whole) - (source == DEFLATED)]


def test_a_file_that_is_no_data_set(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.dcm", data=b"\x08\x00")
    with pytest.raises(InputFileError, match="a: has no data set"):
        convert(path, IMPLICIT, name="a")


def test_a_value_without_its_end_is_not_dropped(tmp_path: Path) -> None:
    endless = b"\x09\x00\x01\x10OB\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\x04\0\0\0abcd"
    path = write_file(tmp_path / "a.dcm", data=element(0x08, 0x18, "UI", b"1.2.3") + endless)
    with pytest.raises(InputFileError, match=r"is truncated within \(0009,1001\)"):
        convert(path, IMPLICIT, name="a")


def deflated_file(path: Path, inflated: int, cut: int = 0) -> Path:
    """A deflated file of an object and so many zeros."""
    meta = FileMeta(
        sop_class_uid="1.2.3",
        sop_instance_uid="1.2.3.4",
        transfer_syntax=DEFLATED,
        implementation_class_uid="1.2",
    )
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    head = b"\x28\x00\x00\x30OB\0\0" + inflated.to_bytes(4, "little")
    data = compressor.compress(head + bytes(inflated)) + compressor.flush()
    path.write_bytes(encode_file_meta(meta) + data[: len(data) - cut])
    return path


@pytest.mark.parametrize("inflated", [100, 3 << 20])
def test_inflating_has_a_limit(tmp_path: Path, inflated: int) -> None:
    path = deflated_file(tmp_path / "a", inflated)
    assert len(dataset.read(path, max_inflated_length=inflated + 12)[0x0028_3000].value) == inflated
    with pytest.raises(InputFileError, match=f"longer than {inflated + 11} bytes when inflated"):
        dataset.read(path, max_inflated_length=inflated + 11)
    with open(path, "rb") as file:
        with pytest.raises(InputFileError, match="when inflated"):
            dataset.read(file, max_inflated_length=inflated + 11)
        file.seek(0)
        assert len(dataset.read(file, max_inflated_length=inflated + 12)[0x0028_3000].value) == inflated


def test_what_cannot_be_too_long_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "_inflated_length", lambda *_: pytest.fail("measured"))
    assert dataset.read(deflated_file(tmp_path / "a", 1 << 20))
    monkeypatch.setattr(dataset, "_limit_inflating", lambda *_: pytest.fail("looked at"))
    assert dataset.read(tmp_path / "a", max_inflated_length=None)


def test_a_truncated_stream_ends_the_measuring(tmp_path: Path) -> None:
    with pytest.raises(zlib.error):
        dataset.read(deflated_file(tmp_path / "a", 100, cut=4), max_inflated_length=1000)


def test_converting_has_the_limit_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "MAX_INFLATED_LENGTH", 1000)
    with pytest.raises(InputFileError, match="when inflated"):
        dataset.convert(deflated_file(tmp_path / "a", 2000), EXPLICIT, name="a")
