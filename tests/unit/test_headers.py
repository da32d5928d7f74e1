"""Objects without their bulk data (PS3.4 Annex Z)."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import UID

from dcmnet import dataset
from dcmnet.dataset import headers
from dcmnet.errors import InputFileError
from dcmnet.registry import transfer_syntaxes as ts
from dcmnet.storage import sources
from dcmnet.storage.headers import header_of

CT = "1.2.840.10008.5.1.4.1.1.2"

# Every attribute that PS3.4 Z.1.3 names, at the ends of the repeating groups too.
BULK_DATA = {
    "(0028,7FE0) Pixel Data Provider URL": (0x00287FE0, "UR", "http://127.0.0.1/pixels"),
    "(0042,0011) Encapsulated Document": (0x00420011, "OB", b"%PDF"),
    "(5000,3000) Curve Data": (0x50003000, "OW", b"\1\2"),
    "(501E,3000) Curve Data": (0x501E3000, "OW", b"\1\2"),
    "(5000,200C) Audio Sample Data": (0x5000200C, "OW", b"\1\2"),
    "(5002,200C) Audio Sample Data": (0x5002200C, "OW", b"\1\2"),
    "(5600,0020) Spectroscopy Data": (0x56000020, "OF", b"\1\2\3\4"),
    "(6000,3000) Overlay Data": (0x60003000, "OW", b"\1\2"),
    "(601E,3000) Overlay Data": (0x601E3000, "OW", b"\1\2"),
    "(7FE0,0001) Extended Offset Table": (0x7FE00001, "OV", bytes(8)),
    "(7FE0,0002) Extended Offset Table Lengths": (0x7FE00002, "OV", bytes(8)),
    "(7FE0,0008) Float Pixel Data": (0x7FE00008, "OF", b"\1\2\3\4"),
    "(7FE0,0009) Double Float Pixel Data": (0x7FE00009, "OD", bytes(8)),
    "(7FE0,0010) Pixel Data": (0x7FE00010, "OW", b"\1\2"),
}
# What is no bulk data in the sense of the standard, large or not.
KEPT = {
    "(0028,1201) palette": (0x00281201, "OW", b"\1\2"),
    "(0028,1221) segmented palette": (0x00281221, "OW", b"\1\2"),
    "(0009,1010) private": (0x00091010, "OB", b"\1\2"),
    "(6001,3000) private, and no overlay": (0x60013000, "OB", b"\1\2"),
    "(6000,0010) rows of an overlay": (0x60000010, "US", 1),
    "(7FE1,1010) private": (0x7FE11010, "OB", b"\1\2"),
    "(FFFC,FFFC) trailing padding": (0xFFFCFFFC, "OB", b"\0\0"),
}


def an_object(*elements: tuple[int, str, Any]) -> Dataset:
    """A data set with an icon, and with waveforms."""
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = CT, "2.25.1"
    made.PatientName = "DOE^JANE"
    icon = Dataset()
    icon.Rows, icon.BitsAllocated = 1, 8
    icon.add_new(0x7FE00010, "OW", b"ic")
    made.IconImageSequence = [icon]
    group = Dataset()
    group.WaveformBitsAllocated, group.WaveformSampleInterpretation = 16, "SS"
    group.add_new(0x54001010, "OW", b"wave")
    made.WaveformSequence = [group, Dataset()]
    for tag, vr, value in elements:
        made.add_new(tag, vr, value)
    return made


def encoded(data_set: Dataset, syntax: str) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_little_endian = not ts.is_big_endian(syntax)
    buffer.is_implicit_VR = ts.is_implicit(syntax)
    write_dataset(buffer, data_set)
    found: bytes = buffer.getvalue()
    if not ts.is_deflated(syntax):
        return found
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(found) + compressor.flush()


def labelled(data_set: Dataset, syntax: str) -> Dataset:
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = UID(syntax)
    return data_set


@pytest.mark.parametrize("name", BULK_DATA)
def test_bulk_data_are_left_out(name: str) -> None:
    element = BULK_DATA[name]
    for syntax in (ts.EXPLICIT_VR_LITTLE_ENDIAN, ts.IMPLICIT_VR_LITTLE_ENDIAN):
        file = io.BytesIO(encoded(an_object(element), syntax))
        assert element[0] not in headers.read_header(file, syntax, name="x")
    assert element[0] not in headers.header_of(an_object(element))


@pytest.mark.parametrize("name", KEPT)
def test_everything_else_is_kept(name: str) -> None:
    element = KEPT[name]
    whole = an_object(element, (0x7FE00010, "OW", b"\1\2"))
    syntax = ts.EXPLICIT_VR_LITTLE_ENDIAN
    for header in (
        headers.read_header(io.BytesIO(encoded(whole, syntax)), syntax, name="x"),
        headers.header_of(whole),
    ):
        assert header[element[0]].value == element[2]
        assert header.IconImageSequence[0].PixelData == b"ic"  # PS3.4 Z.1.3: at the top level only


@pytest.mark.parametrize("syntax", [uid for uid in ts.ALL if uid != ts.EXPLICIT_VR_LITTLE_ENDIAN])
def test_a_file_in_any_transfer_syntax(syntax: str) -> None:
    pixels = encapsulate([b"\xff\xd8frame!"]) if ts.is_encapsulated(syntax) else b"\1\2"
    whole = an_object((0x7FE00010, "OB", pixels), (0xFFFCFFFC, "OB", b"\0\0"))
    whole[0x7FE00010].is_undefined_length = ts.is_encapsulated(syntax)
    header = headers.read_header(io.BytesIO(encoded(whole, syntax)), syntax, name="x")
    assert (0x7FE00010 in header, 0xFFFCFFFC in header) == (False, True)
    assert [0x54001010 in group for group in header.WaveformSequence] == [False, False]
    assert header.WaveformSequence[0].WaveformBitsAllocated == 16
    own = dataset.transfer_syntax_of(header)
    assert own in ts.UNCOMPRESSED
    again = headers.read_header(io.BytesIO(dataset.encode(header, own)), own, name="x")
    assert again.PatientName == "DOE^JANE"


def test_pixel_data_are_not_read() -> None:
    class File(io.BytesIO):
        most = 0

        def read(self, count: int | None = -1, /) -> bytes:
            data = super().read(count)
            self.most = max(self.most, len(data))
            return data

    file = File(encoded(an_object((0x7FE00010, "OW", bytes(1 << 20))), ts.EXPLICIT_VR_LITTLE_ENDIAN))
    headers.read_header(file, ts.EXPLICIT_VR_LITTLE_ENDIAN, name="x")
    assert file.most < 1000


def test_the_data_set_of_a_handler_is_left_as_it_is() -> None:
    whole = labelled(an_object((0x7FE00010, "OB", encapsulate([b"ab"]))), ts.JPEG_BASELINE_8BIT)
    whole.SpecificCharacterSet = "ISO_IR 192"
    header = headers.header_of(whole)
    assert header.file_meta.TransferSyntaxUID == ts.EXPLICIT_VR_LITTLE_ENDIAN
    assert whole.file_meta.TransferSyntaxUID == ts.JPEG_BASELINE_8BIT
    assert "PixelData" in whole
    assert whole.WaveformSequence[0].WaveformData == b"wave"


def test_an_empty_waveform_sequence() -> None:
    whole = an_object()
    whole.WaveformSequence = None
    assert len(headers.header_of(whole).WaveformSequence) == 0


@pytest.mark.parametrize("cut", [1, 3, 9, 60])
@pytest.mark.parametrize("last", [(0x7FE00010, "OW", bytes(50)), (0x7FE11010, "OB", bytes(50))])
def test_a_truncated_file_is_refused(cut: int, last: tuple[int, str, Any]) -> None:
    data = encoded(an_object(last), ts.EXPLICIT_VR_LITTLE_ENDIAN)
    with pytest.raises(InputFileError, match="truncated"):
        headers.read_header(io.BytesIO(data[:-cut]), ts.EXPLICIT_VR_LITTLE_ENDIAN, name="x")


@pytest.mark.parametrize("cut", [4, 9])
def test_truncated_fragments_are_refused(cut: int) -> None:
    whole = an_object((0x7FE00010, "OB", encapsulate([b"frame!"])))
    whole[0x7FE00010].is_undefined_length = True
    data = encoded(whole, ts.EXPLICIT_VR_LITTLE_ENDIAN)
    with pytest.raises(InputFileError, match=r"^x: (is truncated|cannot be read)"):
        headers.read_header(io.BytesIO(data[:-cut]), ts.JPEG_BASELINE_8BIT, name="x")


@pytest.mark.parametrize(
    ("data", "limit", "match"),
    [
        (b"\xff\xff\xff", 1 << 20, "cannot be inflated"),
        (encoded(an_object(), ts.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN)[:-9], 1 << 20, "truncated"),
        (encoded(an_object(), ts.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN), 99, "longer than 99 bytes"),
    ],
)
def test_bad_deflated_data(data: bytes, limit: int, match: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "MAX_INFLATED_LENGTH", limit)
    with pytest.raises(InputFileError, match=match):
        headers.read_header(io.BytesIO(data), ts.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, name="x")


def test_an_unknown_transfer_syntax_is_refused() -> None:
    with pytest.raises(InputFileError, match=r"unknown transfer syntax 1\.2\.3"):
        headers.read_header(io.BytesIO(), "1.2.3", name="x")


@pytest.mark.parametrize("kind", ["path", "file object", "bytes", "data set"])
def test_instances(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.dcm"
    whole = labelled(an_object((0x7FE00010, "OW", b"\1\2")), ts.IMPLICIT_VR_LITTLE_ENDIAN)
    whole.save_as(path, enforce_file_format=True)
    with path.open("rb") as file:
        given: Any = {
            "path": path,
            "file object": file,
            "bytes": io.BytesIO(path.read_bytes()),
            "data set": dcmread(path),
        }[kind]
        header = header_of(sources.describe(given))
    assert header.transfer_syntax == ts.IMPLICIT_VR_LITTLE_ENDIAN
    with_it = sources.open_data_set(header, ts.EXPLICIT_VR_LITTLE_ENDIAN).payload
    assert isinstance(with_it, bytes)
    assert b"DOE^JANE" in with_it
    assert b"wave" not in with_it


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "x.dcm"
    labelled(an_object(), ts.IMPLICIT_VR_LITTLE_ENDIAN).save_as(path, enforce_file_format=True)
    instance = sources.describe(path)
    path.unlink()
    with pytest.raises(InputFileError, match="No such file"):
        header_of(instance)
