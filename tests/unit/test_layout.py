from __future__ import annotations

from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID

from dcmnet.dataset import Encoding
from dcmnet.dataset.attributes import read_attributes
from dcmnet.dataset.layout import GroupLengths, Layout, encode_anew
from dcmnet.errors import InputFileError
from dcmnet.storage.part10 import read_file_meta
from tests.unit.cli_runs import CT, JPEG, MR

IMPLICIT, EXPLICIT, BIG, DEFLATED = (f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".2", ".1.99"))


def file_with(path: Path, *elements: tuple[int, str, Any], syntax: str = EXPLICIT) -> Path:
    data_set = Dataset()
    for tag, vr, value in elements:
        data_set.add(DataElement(tag, vr, value))
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = UID(syntax)
    data_set.save_as(path, implicit_vr=syntax == IMPLICIT, little_endian=syntax != BIG)
    return path


def nested(depth: int) -> Dataset:
    data_set = Dataset()
    data_set.PatientID = "x"
    for _ in range(depth):
        outer = Dataset()
        outer.ReferencedStudySequence = [data_set]
        data_set = outer
    return data_set


def test_group_lengths(tmp_path: Path) -> None:
    path = file_with(tmp_path / "x", (0x00080060, "CS", "CT"), (0x00100020, "LO", "AB"))
    plain = encode_anew(path, None, Layout(), name="x")
    made = encode_anew(path, None, Layout(group_lengths=GroupLengths.CREATE), name="x")
    first, second = plain[:10], plain[10:]
    assert made == b"\x08\0\0\0UL\4\0\x0a\0\0\0" + first + b"\x10\0\0\0UL\4\0\x0a\0\0\0" + second
    implicit = encode_anew(path, IMPLICIT, Layout(group_lengths=GroupLengths.CREATE), name="x")
    assert implicit.startswith(b"\x08\0\0\0\4\0\0\0\x0a\0\0\0")
    big = encode_anew(path, BIG, Layout(group_lengths=GroupLengths.CREATE), name="x")
    assert big.startswith(b"\0\x08\0\0UL\0\4\0\0\0\x0a")
    (tmp_path / "y").write_bytes(path.read_bytes()[:-20] + made[:8] + b"\x63\0\0\0" + plain)
    assert encode_anew(tmp_path / "y", None, Layout(), name="y") == made[:12] + plain
    removed = encode_anew(tmp_path / "y", None, Layout(group_lengths=GroupLengths.REMOVE), name="y")
    assert removed == plain


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG])
def test_lengths_of_sequences(tmp_path: Path, syntax: str) -> None:
    path = file_with(tmp_path / "x", (0x00081110, "SQ", [nested(2), nested(0)]))
    explicit = encode_anew(path, syntax, Layout(), name="x")
    undefined = encode_anew(path, syntax, Layout(explicit_lengths=False), name="x")
    assert b"\xff\xff\xff\xff" not in explicit
    assert undefined.count(b"\xff\xff\xff\xff") == 7  # three sequences, four items
    assert len(undefined) == len(explicit) + 7 * 8


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
@pytest.mark.parametrize("before", [0, 100, 328])
@pytest.mark.parametrize("padding", [(64, 16), (512, 0), (7, 30), (0, 8)])
def test_padding(tmp_path: Path, syntax: str, before: int, padding: tuple[int, int]) -> None:
    path = file_with(tmp_path / "x", (0x00081110, "SQ", [nested(0)]), (0x00100020, "LO", "AB"))
    padded = encode_anew(path, syntax, Layout(padding=padding), name="x", before=before)
    if padding[0]:
        assert (before + len(padded)) % padding[0] == 0
    if padding[1]:
        start = padded.index(b"\xfe\xff\x00\xe0")
        assert int.from_bytes(padded[start + 4 : start + 8], "little") % padding[1] == 0
    header = b"P" * 128 + b"DICM" + b"\2\0\x10\0UI\x14\0" + syntax.encode().ljust(20, b"\0")
    (tmp_path / "y").write_bytes(header + padded)
    assert encode_anew(tmp_path / "y", None, Layout(), name="y") == encode_anew(
        path, syntax, Layout(), name="x"
    )


def test_unknown_elements_stay_or_get_what_is_known(tmp_path: Path) -> None:
    path = file_with(tmp_path / "x", (0x00100020, "LO", "AB"), (0x00091001, "UN", b"??"))
    path.write_bytes(path.read_bytes().replace(b"LO\2\0AB", b"UN\0\0\2\0\0\0AB"))
    kept = encode_anew(path, None, Layout(), name="x")
    assert kept.count(b"UN") == 2
    for syntax in (IMPLICIT, BIG):
        assert b"AB" in encode_anew(path, syntax, Layout(), name="x")
    known = encode_anew(path, None, Layout(known_vrs=True), name="x")
    assert b"\x10\0\x20\0LO\2\0AB" in known
    old = encode_anew(path, None, Layout(encoding=Encoding(new_vr=False)), name="x")
    assert old.count(b"OB") == 2
    assert b"UN" not in old


def test_sequences_that_are_nested_too_deep(tmp_path: Path) -> None:
    path = file_with(tmp_path / "x", (0x00081110, "SQ", [nested(70)]))
    for layout in (Layout(), Layout(known_vrs=True)):
        with pytest.raises(InputFileError, match="nested deeper than 64"):
            encode_anew(path, None, layout, name="x")


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG, DEFLATED])
@pytest.mark.parametrize("source", [CT, MR])
def test_nothing_is_lost_on_the_way_there_and_back(tmp_path: Path, source: str, syntax: str) -> None:
    content = Path(source).read_bytes()
    meta, offset = read_file_meta(content, "x")
    there = encode_anew(source, syntax, Layout(), name="x")
    header = b"P" * 128 + b"DICM" + b"\2\0\x10\0UI" + bytes((len(syntax.encode()) + 1 & ~1, 0))
    (tmp_path / "y").write_bytes(header + syntax.encode() + b"\0" * (len(syntax) & 1) + there)
    back = encode_anew(tmp_path / "y", meta.transfer_syntax, Layout(), name="y")
    assert back == encode_anew(source, None, Layout(), name="x") == content[offset:]


def test_what_cannot_be_converted(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="cannot be converted from transfer syntax"):
        encode_anew(CT, "1.2.840.10008.1.2.5", Layout(), name="x")
    (tmp_path / "x").write_bytes(Path(CT).read_bytes()[:-100])
    with pytest.raises(InputFileError, match="truncated"):
        encode_anew(tmp_path / "x", IMPLICIT, Layout(), name="x")
    with pytest.raises(OSError, match="No such file"):
        encode_anew(tmp_path / "gone", IMPLICIT, Layout(), name="x")


def test_compressed_pixels_stay_as_they_are() -> None:
    content = Path(JPEG).read_bytes()
    offset = read_file_meta(content, "x")[1]
    assert pydicom.dcmread(JPEG).PixelData in encode_anew(JPEG, None, Layout(), name="x")
    assert encode_anew(JPEG, None, Layout(), name="x") == content[offset:]


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG, DEFLATED])
def test_attributes(tmp_path: Path, syntax: str) -> None:
    (tmp_path / "x").write_bytes(b"before" + encode_anew(CT, syntax, Layout(), name="x"))
    keywords = ("PatientName", "StudyInstanceUID", "AccessionNumber", "ImageType", "SeriesDate")
    found = read_attributes(str(tmp_path / "x"), 6, syntax, keywords, name="x")
    sent = pydicom.dcmread(CT)
    assert found == {
        "PatientName": str(sent.PatientName),
        "StudyInstanceUID": sent.StudyInstanceUID,
        "AccessionNumber": str(sent.get("AccessionNumber") or ""),
        "ImageType": sent.ImageType[0],
        "SeriesDate": sent.SeriesDate,
    }


def test_attributes_of_what_is_none(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\x08\0\x60\0\xff\xff\xff\x7fxx")
    found = read_attributes(str(tmp_path / "x"), 0, IMPLICIT, ("PatientName",), name="x")
    assert found == {"PatientName": ""}
    (tmp_path / "x").write_bytes(b"no deflated data")
    with pytest.raises(InputFileError, match="x: cannot be read"):
        read_attributes(str(tmp_path / "x"), 0, DEFLATED, ("PatientName",), name="x")


def test_attributes_of_little_that_is_deflated_to_nothing(tmp_path: Path) -> None:
    """Only the beginning of a deflated data set is inflated, however much it would become."""
    import zlib

    compressor = zlib.compressobj(wbits=-15)
    head = b"\x10\0\x20\0LO\2\0AB" + b"\x11\0\0\0OB\0\0\0\0\0\x10"
    (tmp_path / "x").write_bytes(compressor.compress(head + bytes(1 << 28)) + compressor.flush())
    assert read_attributes(str(tmp_path / "x"), 0, DEFLATED, ("PatientID",), name="x") == {"PatientID": "AB"}
