"""dcmsend, storescu, termscu and echoscu: DCMTK's and ours with one command line, against one server.

Same files kept, same exit code; what is different on purpose stands in docs/reference/differences.md.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID

from tests.conformance.peers import (
    DCMNET,
    HOST,
    Folder,
    Process,
    eventually,
    listening,
    run,
)
from tests.conformance.recording import relay
from tests.conformance.test_dcmtk import dcmrecv
from tests.conformance.test_orthanc import orthanc

MAKERS = ("dcmnet", "dcmtk")
TOOLS: dict[str, tuple[str, ...]] = {"dcmnet": DCMNET, "dcmtk": ()}

__all__ = ["dcmrecv", "orthanc"]


@contextmanager
def storescp(folder: Path, *options: str) -> Iterator[tuple[Process, Folder]]:
    """DCMTK's storescp with options."""
    folder.mkdir(exist_ok=True)
    command: tuple[str | Path, ...] = ("storescp", "-v", "-dhl", *options, "-od", folder)
    with listening(lambda port: (*command, str(port)), folder.parent / f"{folder.name}.log") as process:
        yield process, Folder(folder)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, Folder]]:
    """It takes uncompressed objects, and keeps what arrives."""
    with storescp(tmp_path_factory.mktemp("plain") / "in", "+B") as found:
        yield found


@pytest.fixture
def study(tmp_path: Path, objects: dict[str, Path]) -> Path:
    """A folder with uncompressed objects, at two levels, and something else."""
    folder = tmp_path / "study"
    (folder / "deep").mkdir(parents=True)
    shutil.copy(objects["explicit_little"], folder / "a.dcm")
    shutil.copy(objects["implicit_little"], folder / "b.dcm")
    shutil.copy(objects["explicit_big"], folder / "deep" / "c.dcm")
    return folder


def uids_of(contents: list[bytes], folder: Path) -> list[str]:
    """The SOP Instance UIDs of received files."""
    found = []
    for content in contents:
        (folder / "one").write_bytes(content)
        found.append(str(pydicom.dcmread(folder / "one").SOPInstanceUID))
    return sorted(found)


def example(name: str) -> Path:
    return Path(str(get_testdata_file(name, download=False)))


# ---------------------------------------------------------------------- dcmsend


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("+ma",),
        ("-ma",),
        ("-nip",),
        ("-nuc",),
        ("-dn",),
        ("+dly", "+cl", "9"),
        ("-pdu", "4096", "--max-send-pdu", "4096"),
        ("-to", "5", "-ta", "5", "-td", "5"),
        ("-aet", "US", "-aec", "THEM"),
    ],
)
def test_dcmsend_files(
    plain: tuple[Process, Folder], objects: dict[str, Path], options: tuple[str, ...], tmp_path: Path
) -> None:
    files = [objects[name] for name in ("explicit_little", "implicit_little", "explicit_big")]
    kept = []
    for maker in MAKERS:
        run(*TOOLS[maker], "dcmsend", *options, HOST, str(plain[0].port), *files)
        kept.append(uids_of(plain[1].take(3), tmp_path))
    assert kept[0] == kept[1]


@pytest.mark.parametrize(
    ("options", "count"), [(("+sd",), 2), (("+sd", "+r"), 3), (("+sd", "+r", "+sp", "b*"), 1)]
)
def test_dcmsend_folders(
    dcmrecv: tuple[Process, Folder], study: Path, options: tuple[str, ...], count: int, tmp_path: Path
) -> None:
    kept = []
    for maker in MAKERS:
        run(*TOOLS[maker], "dcmsend", *options, HOST, str(dcmrecv[0].port), study)
        kept.append(uids_of(dcmrecv[1].take(count), tmp_path))
    assert kept[0] == kept[1]


@pytest.mark.parametrize("maker", MAKERS)
def test_dcmsend_exit_codes_that_are_the_same(
    maker: str, plain: tuple[Process, Folder], objects: dict[str, Path], tmp_path: Path
) -> None:
    text = tmp_path / "text.dcm"
    text.write_text("not DICOM" * 50)
    (tmp_path / "empty").mkdir()
    port, good = str(plain[0].port), objects["explicit_little"]
    for expected, arguments in (
        (1, ("--nonsense", HOST, port, good)),
        (1, ("+r", HOST, port, good)),
        (21, ("+sd", HOST, port, tmp_path / "empty")),
        (22, (HOST, port, text)),
        (22, (HOST, port, good, text)),
        (23, ("-nh", HOST, port, text)),
        (61, (HOST, "1", good)),
        (65, ("-ma", "-dn", HOST, port, objects["jpeg_baseline"])),
    ):
        run(*TOOLS[maker], "dcmsend", *arguments, expect=expected)
    assert plain[1].take_any() == []


def test_dcmsend_exit_codes_that_tell_more(
    plain: tuple[Process, Folder], objects: dict[str, Path], tmp_path: Path
) -> None:
    """DCMTK's tool ends with 0 for all of these."""
    port, good, bad = str(plain[0].port), objects["explicit_little"], objects["jpeg_baseline"]
    text = tmp_path / "text.dcm"
    text.write_text("not DICOM" * 50)
    for codes, arguments in (
        ((65, 0), ("-nh", HOST, port, good, bad)),
        ((65, 0), (HOST, port, bad)),
        ((22, 0), ("-nh", HOST, port, good, text)),
    ):
        for maker, code in zip(MAKERS, codes, strict=True):
            run(*TOOLS[maker], "dcmsend", *arguments, expect=code)
    assert len(plain[1].take_any()) > 0


@pytest.mark.parametrize("option", ["-dn", "+dls", "+dly"])
@pytest.mark.parametrize(
    "name", ["MR_small_RLE.dcm", "MR_small_jpeg_ls_lossless.dcm", "SC_rgb_jpeg_dcmtk.dcm"]
)
def test_dcmsend_decompresses(plain: tuple[Process, Folder], option: str, name: str, tmp_path: Path) -> None:
    """The same objects arrive, with the same pixels where they were compressed without loss."""
    kept = []
    for maker in MAKERS:
        code = None if maker == "dcmnet" and option == "-dn" else 0
        lossy_refused = option == "+dls" and "jpeg_dcmtk" in name
        if lossy_refused and maker == "dcmnet":
            code = None
        run(*TOOLS[maker], "dcmsend", option, HOST, str(plain[0].port), example(name), expect=code)
        kept.append(plain[1].take_any())
    assert len(kept[0]) == len(kept[1])
    if not kept[0]:
        assert option == "-dn" or "jpeg_dcmtk" in name
        return
    pixels = []
    for (content,) in kept:
        (tmp_path / "one").write_bytes(content)
        found = pydicom.dcmread(tmp_path / "one")
        assert found.PhotometricInterpretation == ("RGB" if "rgb" in name else "MONOCHROME2")
        pixels.append(found.pixel_array.astype(int))
    largest = int(np.abs(pixels[0] - pixels[1]).max())
    assert largest <= (3 if "jpeg_dcmtk" in name else 0)


def test_dcmsend_report(plain: tuple[Process, Folder], objects: dict[str, Path], tmp_path: Path) -> None:
    """The same lines, but for names of transfer syntaxes, contexts, and lengths of what is encoded anew."""
    files = [objects[name] for name in ("explicit_little", "implicit_little", "jpeg_baseline")]
    found = {}
    for maker in MAKERS:
        report = tmp_path / maker
        code = 65 if maker == "dcmnet" else 0
        port = str(plain[0].port)
        run(*TOOLS[maker], "dcmsend", "-nh", "+crf", report, HOST, port, *files, expect=code)
        found[maker] = report.read_text().rstrip().splitlines()
        plain[1].take(2)
    labels = {maker: [line.partition(":")[0] for line in lines] for maker, lines in found.items()}
    assert [label for label in labels["dcmtk"] if label not in labels["dcmnet"]] == []
    same = ("Filename", "SOP Instance", "SOP Class", "DIMSE Status", "- sent", "  * ", "Communication", "AE ")
    for start in same:
        ours, theirs = (
            [line for line in lines if line.startswith(start)] for lines in (found["dcmnet"], found["dcmtk"])
        )
        assert ours == theirs, start


@pytest.mark.parametrize("maker", MAKERS)
def test_dcmsend_dicomdir(
    maker: str, plain: tuple[Process, Folder], objects: dict[str, Path], tmp_path: Path
) -> None:
    medium = tmp_path / "medium"
    (medium / "DIR").mkdir(parents=True)
    shutil.copy(objects["explicit_little"], medium / "DIR" / "A")
    shutil.copy(objects["implicit_little"], medium / "B")
    dicomdir(medium / "DICOMDIR", "DIR/A", "B")
    run(*TOOLS[maker], "dcmsend", "+rd", HOST, str(plain[0].port), medium / "DICOMDIR")
    assert len(plain[1].take(2)) == 2


def dicomdir(path: Path, *names: str) -> None:
    """A DICOMDIR that lists files, made so that DCMTK reads it."""
    directory = Dataset()
    directory.FileSetID = "TEST"
    directory.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity = 0
    directory.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity = 0
    directory.FileSetConsistencyFlag = 0
    records = []
    for name in names:
        meta = pydicom.dcmread(path.parent / name).file_meta
        record = Dataset()
        record.OffsetOfTheNextDirectoryRecord = 0
        record.RecordInUseFlag = 0xFFFF
        record.OffsetOfReferencedLowerLevelDirectoryEntity = 0
        record.DirectoryRecordType = "IMAGE"
        record.ReferencedFileID = name.split("/")
        record.ReferencedSOPClassUIDInFile = meta.MediaStorageSOPClassUID
        record.ReferencedSOPInstanceUIDInFile = meta.MediaStorageSOPInstanceUID
        record.ReferencedTransferSyntaxUIDInFile = meta.TransferSyntaxUID
        records.append(record)
    directory.DirectoryRecordSequence = records
    directory.file_meta = FileMetaDataset()
    directory.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.1.3.10")
    directory.file_meta.MediaStorageSOPInstanceUID = UID("2.25.7")
    directory.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.1")
    directory.save_as(path, enforce_file_format=True)


def test_dcmsend_to_orthanc(orthanc: object, objects: dict[str, Path], tmp_path: Path) -> None:
    port = str(orthanc.dicom_port)  # type: ignore[attr-defined]
    report = tmp_path / "report.json"
    files = list(objects.values())
    run(*DCMNET, "dcmsend", "--report-json", report, "-aec", "ORTHANC", HOST, port, *files)
    found = json.loads(report.read_text())["objects"]
    assert [each["stored"] for each in found] == [True] * len(files)
    for path in files:
        assert orthanc.take(path)  # type: ignore[attr-defined]


@pytest.mark.parametrize("maker", MAKERS)
def test_the_others_and_orthanc(maker: str, orthanc: object, objects: dict[str, Path]) -> None:
    port = str(orthanc.dicom_port)  # type: ignore[attr-defined]
    path = objects["explicit_little"]
    run(*TOOLS[maker], "echoscu", "-aec", "ORTHANC", HOST, port)
    run(*TOOLS[maker], "storescu", "-R", "-aec", "ORTHANC", HOST, port, path)
    assert orthanc.take(path)  # type: ignore[attr-defined]
    code = 1 if maker == "dcmnet" else 0  # Orthanc accepts what it does not know, and goes on
    run(*TOOLS[maker], "termscu", "-aec", "ORTHANC", HOST, port, expect=code)
    run(*TOOLS[maker], "echoscu", "-aec", "ORTHANC", HOST, port)


# ---------------------------------------------------------------------- lost associations, resuming


@pytest.mark.parametrize("tool", ["dcmsend", "storescu"])
def test_a_connection_that_breaks_again_and_again(
    tool: str, plain: tuple[Process, Folder], objects: dict[str, Path], tmp_path: Path
) -> None:
    """Each connection breaks after 150 kB, which is some objects: every object arrives all the same."""
    files = []
    for number in range(12):
        path = tmp_path / f"{number:02}.dcm"
        ds = pydicom.dcmread(objects["explicit_little"])
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = UID(f"2.25.99{number}")
        ds.Rows, ds.Columns = 128, 128
        ds.PixelData = bytes(128 * 128 * 2)
        ds.save_as(path)
        files.append(path)
    report = tmp_path / "report.json"
    with relay(plain[0].port, cut_after=150_000) as between:
        said = run(
            *DCMNET,
            *(tool, "--retry", "3", "--retry-wait", "0", "--report-json", report, HOST, str(between.port)),
            *files,
        )
        assert 0 < said.count("trying again") < len(between.heard())
    found = json.loads(report.read_text())["objects"]
    assert [each["stored"] for each in found] == [True] * 12
    assert uids_of(plain[1].take_any(), tmp_path) == sorted(f"2.25.99{number}" for number in range(12))


def test_resuming_after_a_broken_connection(
    plain: tuple[Process, Folder], study: Path, large: Path, tmp_path: Path
) -> None:
    shutil.copy(large, study / "z.dcm")
    report = tmp_path / "report.json"
    arguments = ("dcmsend", "+sd", "+r", "--report-json", report, HOST)
    with relay(plain[0].port, cut_after=1_000_000) as between:
        run(*DCMNET, *arguments, str(between.port), study, expect=62)
        before = json.loads(report.read_text())["objects"]
        stored = [each["stored"] for each in before]
        assert any(stored) and not all(stored)
        eventually(lambda: len(list(plain[1].path.iterdir())) >= sum(stored), "objects")
        port = between.port
    plain[1].take_any()
    with relay(plain[0].port) as whole:
        edited = report.read_text().replace(f'"port": {port}', f'"port": {whole.port}')
        report.write_text(edited)
        run(*DCMNET, *arguments, str(whole.port), study, "--resume", report)
    assert len(plain[1].take_any()) == stored.count(False)
    assert all(each["stored"] for each in json.loads(report.read_text())["objects"])


# ---------------------------------------------------------------------- storescu


@pytest.mark.parametrize(
    "options",
    [
        ("-R",),
        ("-R", "+C"),
        ("-R", "-xi"),
        ("-R", "-xb"),
        ("-R", "-xd", "+cl", "9"),
        ("-R", "--repeat", "2"),
        ("-R", "-up", "+u"),
        ("-R", "-u"),
        ("-R", "+fo"),
        ("-usr", "ann", "-pwd", "secret", "-R"),
        ("-usr", "ann", "-epw", "-R"),
    ],
)
def test_storescu_files(
    plain: tuple[Process, Folder], objects: dict[str, Path], options: tuple[str, ...], tmp_path: Path
) -> None:
    files = [objects[name] for name in ("explicit_little", "implicit_little")]
    kept = []
    for maker in MAKERS:
        run(*TOOLS[maker], "storescu", *options, HOST, str(plain[0].port), *files)
        kept.append(uids_of(plain[1].take(2), tmp_path))
    assert kept[0] == kept[1]


@pytest.mark.parametrize("maker", MAKERS)
def test_storescu_renames(
    maker: str, plain: tuple[Process, Folder], objects: dict[str, Path], tmp_path: Path
) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    shutil.copy(objects["explicit_little"], good)
    shutil.copy(objects["jpeg_baseline"], bad)
    code = 0 if maker == "dcmtk" else 1
    run(*TOOLS[maker], "storescu", "-R", "-nh", "+rn", HOST, str(plain[0].port), good, bad, expect=code)
    plain[1].take_any()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.bad", "good.done"]


@pytest.mark.parametrize("maker", MAKERS)
def test_storescu_makes_identities_up(
    maker: str, plain: tuple[Process, Folder], objects: dict[str, Path], tmp_path: Path
) -> None:
    files = [objects["explicit_little"]] * 6
    options = ("-R", "+II", "+IR", "2", "+IS", "2", "+IP", "1")
    run(*TOOLS[maker], "storescu", *options, HOST, str(plain[0].port), *files)
    received = []
    for content in plain[1].take(6):
        (tmp_path / "one").write_bytes(content)
        received.append(pydicom.dcmread(tmp_path / "one"))
    kinds = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID")
    assert [len({each[kind].value for each in received}) for kind in kinds] == [6, 3, 2, 2]


@pytest.mark.parametrize("maker", MAKERS)
def test_storescu_identity_that_is_not_confirmed(
    maker: str, plain: tuple[Process, Folder], objects: dict[str, Path]
) -> None:
    options = ("-R", "-usr", "ann", "-rsp")
    run(*TOOLS[maker], "storescu", *options, HOST, str(plain[0].port), objects["explicit_little"], expect=1)
    assert plain[1].take_any() == []


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize(
    "options",
    [
        ("-pwd", "x"),
        ("-epw",),
        ("-rsp",),
        ("+IR", "0"),
        ("+sp", "x"),
        ("+r",),
        ("+cl", "3"),
        ("+cl", "10", "-xd"),
        ("--max-send-pdu", "1"),
        ("-xf", "a", "b", "-R"),
        ("-usr",),
    ],
)
def test_storescu_mistakes(maker: str, options: tuple[str, ...], objects: dict[str, Path]) -> None:
    said = run(*TOOLS[maker], "storescu", HOST, "104", objects["explicit_little"], *options, expect=1)
    assert "\nerror: " in said


# ---------------------------------------------------------------------- termscu, echoscu


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Process]:
    """DCMTK's dcmqrscp, which may be told to end."""
    (tmp_path / "store").mkdir()
    config = tmp_path / "dcmqrscp.cfg"
    config.write_text(
        "NetworkTCPPort = 0\nMaxPDUSize = 16384\nMaxAssociations = 16\n\n"
        "HostTable BEGIN\nHostTable END\n\nVendorTable BEGIN\nVendorTable END\n\n"
        f"AETable BEGIN\nARCHIVE {tmp_path / 'store'} RW (9, 1024mb) ANY\nAETable END\n"
    )
    command = ("dcmqrscp", "-c", config, "--allow-shutdown")
    with listening(lambda port: (*command, str(port)), tmp_path / "log") as process:
        yield process


@pytest.mark.parametrize(("maker", "code"), [("dcmnet", 0), ("dcmtk", 1)])
def test_termscu_ends_an_archive(archive: Process, maker: str, code: int) -> None:
    run(*TOOLS[maker], "termscu", "-aec", "ARCHIVE", HOST, str(archive.port), expect=code)
    assert archive.process.wait(30) is not None


@pytest.mark.parametrize("maker", MAKERS)
def test_termscu_and_who_does_not_know_it(maker: str, plain: tuple[Process, Folder]) -> None:
    said = run(*TOOLS[maker], "termscu", HOST, str(plain[0].port), expect=1)
    assert "F: No Acceptable Presentation Contexts" in said
    run(*TOOLS[maker], "termscu", HOST, "1", expect=1)


@pytest.mark.parametrize(
    "options",
    [(), ("-pts", "38"), ("-ppc", "128"), ("--repeat", "5"), ("--abort",), ("-aet", "US", "-aec", "THEM")],
)
def test_echoscu(plain: tuple[Process, Folder], options: tuple[str, ...]) -> None:
    said = [run(*TOOLS[maker], "echoscu", "-v", *options, HOST, str(plain[0].port)) for maker in MAKERS]
    for line in ("Requesting Association", "Received Echo Response (Success)", "ing Association"):
        assert said[0].count(line) == said[1].count(line)
