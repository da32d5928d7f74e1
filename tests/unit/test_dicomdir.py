from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID

from dcmnet.errors import InputFileError
from dcmnet.storage import dicomdir
from tests.unit.objects import EXPLICIT, write_file

DIRECTORY_STORAGE = "1.2.840.10008.1.3.10"


def write_dicomdir(path: Path, *file_ids: object, unused: int = -1) -> Path:
    """A DICOMDIR with a record for each File ID; None for a record without one."""
    directory = Dataset()
    directory.FileSetID = "TEST"
    records = []
    for number, file_id in enumerate(file_ids):
        record = Dataset()
        record.RecordInUseFlag = 0 if number == unused else 0xFFFF
        record.DirectoryRecordType = "IMAGE"
        if file_id is not None:
            record.add(DataElement(0x00041500, "CS", file_id, validation_mode=config.IGNORE))
        records.append(record)
    directory.DirectoryRecordSequence = records
    directory.file_meta = FileMetaDataset()
    directory.file_meta.MediaStorageSOPClassUID = UID(DIRECTORY_STORAGE)
    directory.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    directory.file_meta.TransferSyntaxUID = UID(EXPLICIT)
    directory.save_as(path, enforce_file_format=True)
    return path


def found(*sources: object) -> list[str]:
    """Paths, and what is wrong."""
    return [
        str(each) if isinstance(each, InputFileError) else os.fspath(each)
        for each, by_chance in dicomdir.find_files(sources)
        if by_chance is False
    ]


@pytest.fixture
def medium(tmp_path: Path) -> Path:
    """A folder with DICOMDIR, DIR/A, DIR/B and C."""
    folder = tmp_path / "medium"
    (folder / "DIR").mkdir(parents=True)
    for name in ("DIR/A", "DIR/B", "C"):
        write_file(folder / name)
    write_dicomdir(folder / "DICOMDIR", None, ["DIR", "A"], ["DIR", "B"], "C")
    return folder


def test_files_in_their_order(medium: Path) -> None:
    expected = [str(medium / name) for name in ("DIR/A", "DIR/B", "C")]
    assert found(medium / "DICOMDIR") == expected
    assert found(str(medium)) == expected


def test_in_the_folder_we_are_in(medium: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(medium)
    assert found("DICOMDIR") == [os.path.join(".", name) for name in ("DIR/A", "DIR/B", "C")]


def test_a_copy_in_lower_case(medium: Path) -> None:
    (medium / "DIR").rename(medium / "dir")
    (medium / "DICOMDIR").rename(medium / "dicomdir")
    (medium / "dir" / "A").rename(medium / "dir" / "a")
    assert found(medium) == [str(medium / name) for name in ("dir/a", "dir/B", "C")]


def test_records_that_are_not_in_use(medium: Path) -> None:
    write_dicomdir(medium / "DICOMDIR", "C", ["DIR", "A"], unused=0)
    assert found(medium) == [str(medium / "DIR" / "A")]


def test_a_file_that_is_missing(medium: Path) -> None:
    (medium / "DIR" / "A").unlink()
    what = found(medium)
    assert what[0] == f"{medium}/DIR/A: is listed in {medium}/DICOMDIR, and not there"
    assert what[1:] == [str(medium / "DIR" / "B"), str(medium / "C")]


@pytest.mark.parametrize(
    "file_id",
    [
        ["..", "SECRET"],
        ["DIR", "..", "..", "SECRET"],
        ["."],
        ["DIR/../../SECRET"],
        ["/etc/passwd"],
        ["C:", "SECRET"],
        ["DIR", "A\0B"],
        ["DIR"] * 9,
    ],
)
def test_what_is_no_file_id(medium: Path, file_id: list[str]) -> None:
    (medium.parent / "SECRET").write_bytes(b"secret")
    with pytest.raises(InputFileError, match="which is no File ID"):
        dicomdir.resolve(str(medium), tuple(file_id), "DICOMDIR")


def test_a_link_out_of_the_folder(medium: Path) -> None:
    write_file(medium.parent / "SECRET")
    (medium / "OUT").symlink_to(medium.parent / "SECRET")
    (medium / "IN").symlink_to("C")
    write_dicomdir(medium / "DICOMDIR", "OUT", "IN")
    what = found(medium)
    assert what[0].endswith("lists 'OUT', which is a link out of its folder")
    assert what[1] == str(medium / "IN")


def test_what_is_no_dicomdir(medium: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = tmp_path / "text"
    text.write_text("not DICOM at all, and longer than a preamble " * 5)
    assert "cannot be read as a DICOMDIR" in found(text)[0]
    assert found(medium / "C")[0].endswith("is no DICOMDIR: it has no Directory Record Sequence (0004,1220)")
    assert found(tmp_path / "nothing") == [f"{tmp_path}/nothing: cannot be read: No such file or directory"]
    assert found(tmp_path) == [f"{tmp_path}/DICOMDIR: cannot be read: No such file or directory"]
    assert "is no path of a DICOMDIR" in found(7)[0]
    monkeypatch.setattr(dicomdir, "MAX_DICOMDIR_LENGTH", 10)
    assert "is longer than 10 bytes" in found(medium)[0]
