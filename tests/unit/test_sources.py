"""What can be sent: files, folders, file objects and data sets, in every state that people leave them in."""

from __future__ import annotations

import errno
import gzip
import io
import os
import struct
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID

from dcmnet._records import replace
from dcmnet.dataset import encode
from dcmnet.errors import InputFileError
from dcmnet.limits import READ_AHEAD_LENGTH, SMALL_DATA_SET_LENGTH
from dcmnet.payload import FileRange, Payload
from dcmnet.registry.transfer_syntaxes import MPEG2_MPML
from dcmnet.storage.elements import HEAD_LENGTH
from dcmnet.storage.sources import (
    DataSetOpener,
    ForeignFile,
    Instance,
    OpenDataSet,
    as_sources,
    describe,
    find_files,
    open_data_set,
)
from tests.unit.objects import (
    BIG_ENDIAN,
    CT,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    data_set,
    element,
    encoded,
    file_meta,
    open_descriptors,
    write_file,
)

DICOMDIR = "1.2.840.10008.1.3.10"


@pytest.fixture(autouse=True)
def _no_descriptor_is_lost() -> Iterator[None]:
    before = open_descriptors()
    yield
    assert open_descriptors() <= before


def content(payload: Payload) -> bytes:
    if isinstance(payload, FileRange):
        return os.pread(payload.fd, payload.count, payload.offset)
    return bytes(payload)


def unmodified(path: Any) -> Instance:
    """What a file is, whenever it was written."""
    instance = describe(path)
    assert instance.modified == os.stat(path).st_mtime_ns
    return replace(instance, modified=0)


def sent(source: Any, transfer_syntax: str = EXPLICIT) -> bytes:
    opened = open_data_set(describe(source), transfer_syntax)
    try:
        return content(opened.payload)
    finally:
        opened.close()


def made(uid: str = "1.2.3") -> Dataset:
    found = Dataset()
    found.SOPClassUID, found.SOPInstanceUID, found.PatientID = UID(CT), UID(uid), "ID"
    return found


# ---------------------------------------------------------------------- files


@pytest.mark.parametrize("transfer_syntax", [EXPLICIT, IMPLICIT, DEFLATED, JPEG, "1.2.3.4.5"])
def test_a_file(tmp_path: Path, transfer_syntax: str) -> None:
    path = write_file(tmp_path / "a.dcm", transfer_syntax=transfer_syntax)
    offset = len(file_meta(transfer_syntax=transfer_syntax))
    data = encoded(data_set(), transfer_syntax)
    expected = Instance(str(path), CT, "1.2.3", transfer_syntax, str(path), offset, len(data))
    assert unmodified(path) == unmodified(str(path)) == expected
    assert sent(path, transfer_syntax) == data


def test_what_cannot_be_converted(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.dcm", transfer_syntax=MPEG2_MPML)
    instance = describe(path)
    with pytest.raises(InputFileError, match="cannot be converted"):
        open_data_set(instance, EXPLICIT)


@pytest.mark.parametrize(
    ("length", "why"),
    [
        (0, "the file is empty"),
        (1, "not a DICOM file"),
        (131, "not a DICOM file"),
        (132, "it has no File Meta Information"),
        (200, "truncated"),
        (len(file_meta()), "has no data set"),
    ],
)
def test_a_truncated_file(tmp_path: Path, length: int, why: str) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes((file_meta() + data_set())[:length])
    with pytest.raises(InputFileError, match=rf"a\.dcm: .*{why}") as caught:
        describe(path)
    assert isinstance(caught.value, ForeignFile) is (length < 132)


@pytest.mark.parametrize("bare", [True, False])
def test_a_file_that_is_not_dicom(tmp_path: Path, bare: bool) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("Dear colleague, " * 1000)
    with pytest.raises(ForeignFile, match="not a DICOM file"):
        describe(path, bare=bare)


def test_a_dicomdir(tmp_path: Path) -> None:
    with pytest.raises(ForeignFile, match="is a DICOMDIR"):
        describe(write_file(tmp_path / "DICOMDIR", sop_class=DICOMDIR))


@pytest.mark.parametrize("name", ["missing.dcm", "nul\0.dcm"])
def test_a_file_that_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputFileError, match=r"cannot be read: (No such file|.*embedded null)"):
        describe(f"{tmp_path}/{name}")


def test_a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_file(tmp_path / "a.dcm")

    def fail(*_: Any) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "read", fail)
    with pytest.raises(InputFileError, match=r"a\.dcm: cannot be read: Input/output error"):
        describe(path)


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    """A named pipe that nobody writes to must not hold up everything."""
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(ForeignFile, match="is no regular file"):
            describe(tmp_path / name)


@pytest.mark.parametrize("missing", [0, 1, 2, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("first_read", [4096, HEAD_LENGTH])
def test_long_file_meta_information(tmp_path: Path, first_read: int, missing: int) -> None:
    """The first read ends at, or shortly before, the end of an element of group 0002."""
    head = file_meta()
    private = first_read - missing - len(head) - 12
    head += struct.pack("<HH2sHI", 2, 0x102, b"OB", 0, private) + bytes(private)
    assert len(head) == first_read - missing
    head += element(2, 0x0103, "SH", b"MORE")
    head = head[:140] + struct.pack("<I", len(head) - 144) + head[144:]
    path = tmp_path / "a.dcm"
    path.write_bytes(head + data_set())
    if first_read == HEAD_LENGTH:
        with pytest.raises(InputFileError, match="its File Meta Information is longer than 65536 bytes"):
            describe(path)
    else:
        assert describe(path).offset == len(head)
        assert sent(path) == data_set()


def test_bare_data_sets(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(data_set())
    assert unmodified(path) == Instance(str(path), CT, "1.2.3", EXPLICIT, str(path), 0, len(data_set()))
    assert sent(path) == data_set()
    with pytest.raises(ForeignFile):
        describe(path, bare=False)
    assert describe(path, meta=False).offset == 0
    with pytest.raises(ForeignFile, match="is a DICOM file, and not"):
        describe(write_file(tmp_path / "b"), meta=False)


def test_a_bare_data_set_must_say_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(element(0x10, 0x10, "PN", b"TEST^BARE"))
    with pytest.raises(ForeignFile):
        describe(path)


@pytest.mark.parametrize("transfer_syntax", [IMPLICIT, BIG_ENDIAN])
def test_bare_data_sets_are_converted(tmp_path: Path, transfer_syntax: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(encode(made(), transfer_syntax))
    assert describe(path).transfer_syntax == transfer_syntax
    assert sent(path, EXPLICIT) == encode(made(), EXPLICIT)


# ---------------------------------------------------------------------- between looking and sending


@pytest.mark.parametrize("transfer_syntax", [EXPLICIT, IMPLICIT])
def test_a_file_that_vanishes(tmp_path: Path, transfer_syntax: str) -> None:
    path = write_file(tmp_path / "a.dcm")
    instance = describe(path)
    path.unlink()
    with pytest.raises(InputFileError, match=r"a\.dcm: cannot be read: No such file"):
        open_data_set(instance, transfer_syntax)


@pytest.mark.parametrize("transfer_syntax", [EXPLICIT, IMPLICIT])
@pytest.mark.parametrize("change", [-2, 2])
def test_a_file_that_shrinks_or_grows(tmp_path: Path, transfer_syntax: str, change: int) -> None:
    path = write_file(tmp_path / "a.dcm")
    instance = describe(path)
    os.truncate(path, path.stat().st_size + change)
    with pytest.raises(InputFileError, match="has changed since it was looked at"):
        open_data_set(instance, transfer_syntax)


def test_file_objects_that_change(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.dcm")
    memory = io.BytesIO(path.read_bytes())
    with path.open("r+b") as file:
        instances = [describe(file), describe(memory)]
        memory.truncate(300)
        file.truncate(300)
        for instance in instances:
            with pytest.raises(InputFileError, match="has changed"):
                open_data_set(instance, EXPLICIT)
    memory.close()
    for instance in instances:
        with pytest.raises(InputFileError, match="closed file"):
            open_data_set(instance, EXPLICIT)


# ---------------------------------------------------------------------- file objects


def test_a_plain_file_object_is_read_through_its_descriptor(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.dcm")
    with path.open("rb") as buffered, path.open("rb", buffering=0) as raw:
        for file in (buffered, raw):
            file.read(5)
            instance = describe(file)
            assert (instance.name, instance.source) == (str(path), file)
            opened = open_data_set(instance, EXPLICIT)
            assert isinstance(opened.payload, FileRange)
            assert opened.payload.fd == file.fileno()
            opened.close()
            assert not file.closed
            assert sent(file) == data_set()


def test_what_was_not_flushed_is_sent() -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(file_meta() + data_set())
        assert sent(file) == data_set()


def test_a_file_object_whose_name_is_none() -> None:
    with tempfile.SpooledTemporaryFile() as file:
        file.write(file_meta() + data_set())
        assert describe(file).name == "file object"
        assert sent(file) == data_set()


def test_a_file_object_in_memory() -> None:
    source = io.BytesIO(file_meta() + data_set())
    source.read(10)
    instance = describe(source)
    assert (instance.name, instance.source, instance.size) == ("file object", source, len(data_set()))
    source.write(b"")  # nothing holds its buffer
    assert sent(source) == data_set()
    assert sent(source, IMPLICIT) == encode(pydicom.dcmread(io.BytesIO(source.getvalue())), IMPLICIT)


def test_a_compressed_file_object_lends_the_descriptor_of_the_compressed_file(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm.gz"
    with gzip.open(path, "wb") as file:
        file.write(file_meta() + data_set())
    with gzip.open(path) as file:
        file.read(3)
        assert sent(file) == data_set()
        assert sent(file, IMPLICIT) == encode(pydicom.dcmread(io.BytesIO(file_meta() + data_set())), IMPLICIT)


def test_a_file_object_without_descriptor(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.dcm", file_meta() + data_set())
    with zipfile.ZipFile(tmp_path / "a.zip") as archive, archive.open("a.dcm") as file:
        instance = describe(file)
        assert instance.name == "a.dcm"
        first, second = (open_data_set(instance, EXPLICIT) for _ in range(2))
        assert content(first.payload) == content(second.payload) == data_set()


def test_a_pipe_is_read_from_where_it_is() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as file:
        file.write(file_meta() + data_set())
    with os.fdopen(reading, "rb") as file:
        assert sent(file) == data_set()


class Minimal:
    """No descriptor, no position, no name."""

    def __init__(self, data: bytes) -> None:
        self._rest = io.BytesIO(data)

    def read(self, count: int = -1) -> bytes:
        return self._rest.read(count)


def test_an_object_that_can_only_be_read() -> None:
    assert sent(Minimal(file_meta() + data_set())) == data_set()
    with pytest.raises(ForeignFile, match="file object: the file is empty"):
        describe(Minimal(b""))


def test_file_objects_that_will_not_do(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.dcm")
    with path.open(encoding="latin-1") as file, pytest.raises(InputFileError, match="is a text file object"):
        describe(file)
    with pytest.raises(InputFileError, match=r"cannot be read: .*closed file"):
        describe(file.buffer)
    with path.open("ab") as append, pytest.raises(InputFileError, match=r"a\.dcm: cannot be read: "):
        describe(append)
    memory = io.BytesIO()
    memory.close()
    with pytest.raises(InputFileError, match="cannot be read"):
        describe(memory)


@pytest.mark.parametrize("source", [None, 5, b"a.dcm", object()])
def test_what_is_no_source(source: object) -> None:
    with pytest.raises(InputFileError, match="is no path, no binary file object and no pydicom data set"):
        describe(source)


# ---------------------------------------------------------------------- data sets


def test_a_data_set_made_in_memory() -> None:
    source = made()
    assert describe(source) == Instance("data set 1.2.3", CT, "1.2.3", EXPLICIT, source)
    assert sent(source) == encode(source, EXPLICIT)
    assert sent(source, IMPLICIT) == encode(source, IMPLICIT)


def test_a_data_set_that_was_read(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.dcm")
    source = pydicom.dcmread(path)
    source.file_meta.TransferSyntaxUID = UID(IMPLICIT)
    instance = describe(source)
    assert (instance.name, instance.transfer_syntax, instance.size) == (str(path), IMPLICIT, 0)


@pytest.mark.parametrize("keyword", ["SOPClassUID", "SOPInstanceUID"])
@pytest.mark.parametrize("value", [None, "", "delete"])
def test_a_data_set_that_does_not_say_what_it_is(keyword: str, value: str | None) -> None:
    source = made()
    if value == "delete":
        delattr(source, keyword)
    else:
        setattr(source, keyword, value)
    with pytest.raises(InputFileError, match="has no SOP Class UID"):
        describe(source)


@pytest.mark.parametrize("uid", ["../../etc/passwd", "1.2.x", "1..2", "1." + "2" * 63])
def test_a_data_set_with_bad_uids(uid: str) -> None:
    for keyword in ("SOPClassUID", "SOPInstanceUID"):
        source = made()
        source.add(pydicom.DataElement(keyword, "UI", "1.2"))
        source[keyword]._value = uid
        with pytest.raises(InputFileError, match=r"is no valid SOP \w+ UID"):
            describe(source)
    source = made()
    source.file_meta = FileMetaDataset()
    source.file_meta.TransferSyntaxUID = UID(EXPLICIT)
    source.file_meta["TransferSyntaxUID"]._value = uid
    with pytest.raises(InputFileError, match="is no transfer syntax UID"):
        describe(source)


# ---------------------------------------------------------------------- opening and closing


def test_an_open_file_is_closed_once(tmp_path: Path) -> None:
    opened = open_data_set(describe(write_file(tmp_path / "a.dcm")), EXPLICIT)
    assert isinstance(opened.payload, FileRange)
    fd = opened.payload.fd
    opened.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    opened.close()


def test_an_open_file_that_is_dropped_closes_itself(tmp_path: Path) -> None:
    before = open_descriptors()
    opened = open_data_set(describe(write_file(tmp_path / "a.dcm")), EXPLICIT)
    assert len(open_descriptors() - before) == 1
    del opened
    assert open_descriptors() <= before


@pytest.mark.parametrize(
    ("length", "is_read"), [(0, True), (SMALL_DATA_SET_LENGTH, True), (READ_AHEAD_LENGTH, False)]
)
def test_an_opener_reads_what_is_not_large(tmp_path: Path, length: int, is_read: bool) -> None:
    data = [data_set(f"1.2.{number}") + bytes(length) for number in range(3)]
    instances = [
        describe(write_file(tmp_path / f"{number}.dcm", f"1.2.{number}", data=data[number]))
        for number in range(3)
    ]
    before = open_descriptors()
    opener = DataSetOpener()
    opener.close()
    for instance, expected in zip(instances, data, strict=True):
        payload = opener.open(instance, EXPLICIT)
        assert isinstance(payload, FileRange) is not is_read
        assert content(payload) == expected
        assert len(open_descriptors() - before) == (not is_read)
    with pytest.raises(InputFileError):
        opener.open(Instance("gone", CT, "1.2", EXPLICIT, f"{tmp_path}/gone"), EXPLICIT)
    assert open_descriptors() <= before
    opener.open(instances[0], EXPLICIT)
    opener.close()
    opener.close()


def test_an_opener_without_preadv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "preadv", raising=False)
    opener = DataSetOpener()
    payload = opener.open(describe(write_file(tmp_path / "a.dcm", "1.2.3")), EXPLICIT)
    assert isinstance(payload, FileRange)
    opener.close()


def test_a_payload_without_a_file() -> None:
    opened = OpenDataSet(b"bytes")
    opened.close()
    assert opened.payload == b"bytes"


# ---------------------------------------------------------------------- folders


def tree(folder: Path) -> Path:
    for name in ("b.dcm", "a.dcm", "readme.txt", "sub/d.DCM", "sub/c.dcm", "sub/deep/e", ".dcmnet-1f.part"):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    return folder


def found(*arguments: Any, **options: Any) -> list[tuple[str, bool]]:
    return [(str(source), in_folder) for source, in_folder in find_files(*arguments, **options)]


def test_folders_are_searched_in_order(tmp_path: Path) -> None:
    tree(tmp_path)
    names = ["a.dcm", "b.dcm", "readme.txt", "sub/c.dcm", "sub/d.DCM", "sub/deep/e"]
    assert found([tmp_path]) == [(f"{tmp_path}/{name}", True) for name in names]
    assert found([str(tmp_path)], recurse=False) == [(f"{tmp_path}/{name}", True) for name in names[:3]]


def test_patterns_are_for_what_is_found(tmp_path: Path) -> None:
    tree(tmp_path)
    assert found([tmp_path, tmp_path / "readme.txt"], pattern="*.dcm") == [
        (f"{tmp_path}/a.dcm", True),
        (f"{tmp_path}/b.dcm", True),
        (f"{tmp_path}/sub/c.dcm", True),
        (f"{tmp_path}/readme.txt", False),
    ]


def test_other_sources_pass(tmp_path: Path) -> None:
    source, memory = made(), io.BytesIO()
    assert list(find_files([source, memory, "missing/"])) == [
        (source, False),
        (memory, False),
        ("missing/", False),
    ]


def test_an_empty_folder(tmp_path: Path) -> None:
    assert found([tmp_path]) == []


def test_a_link_that_leads_back_ends(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "loop").symlink_to(tmp_path)
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    assert found([tmp_path]) == [(f"{tmp_path}/dangling", True)]


def test_a_folder_that_cannot_be_read_comes_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path)
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("sub"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert found([tmp_path])[-1] == (f"{tmp_path}/sub", False)
    assert found([tmp_path / "sub"]) == [(f"{tmp_path}/sub", False)]


def test_one_source_or_many(tmp_path: Path) -> None:
    file = io.BytesIO()
    data_set = pydicom.Dataset()
    for one in ("a", tmp_path, file, data_set):
        assert list(as_sources(one)) == [one]
    many = ["a", tmp_path, file]
    for group in (many, tuple(many), iter(many), (each for each in many), dict.fromkeys(many)):
        assert list(as_sources(group)) == many
    assert list(as_sources([])) == []
    for wrong in (7, None, 3.5, b"a", object()):
        with pytest.raises(TypeError, match=r"^sources: .*, expected a path, a binary file object or"):
            as_sources(wrong)
