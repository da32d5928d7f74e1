"""C-FIND, C-GET and C-MOVE: DCMTK's dcmqrscp and wlmscpfs; its findscu, getscu and movescu with ours."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

import dcmnet
from tests.conformance.peers import HOST, Face, Process, free_port, listening, run

SAMPLE = Path(dcmnet.__file__).parent / "sample" / "ct-1.dcm"

# Patient, Study Instance UID, Series Instance UID, SOP Instance UID of what the archives have.
ROOT = "2.25.777"
OBJECTS = [
    ("P1", f"{ROOT}.1", f"{ROOT}.1.1", f"{ROOT}.1.1.1"),
    ("P1", f"{ROOT}.1", f"{ROOT}.1.1", f"{ROOT}.1.1.2"),
    ("P1", f"{ROOT}.1", f"{ROOT}.1.2", f"{ROOT}.1.2.1"),
    ("P1", f"{ROOT}.2", f"{ROOT}.2.1", f"{ROOT}.2.1.1"),
    ("P2", f"{ROOT}.3", f"{ROOT}.3.1", f"{ROOT}.3.1.1"),
]
KEYS = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
LEVELS = ("PATIENT", "STUDY", "SERIES", "IMAGE")


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the objects."""
    folder = tmp_path_factory.mktemp("study")
    for number, (patient, study_uid, series_uid, instance_uid) in enumerate(OBJECTS, 1):
        data_set = pydicom.dcmread(SAMPLE)
        data_set.PatientID, data_set.PatientName = patient, f"{patient}^Größe"
        data_set.SpecificCharacterSet = "ISO_IR 100"
        data_set.StudyInstanceUID, data_set.SeriesInstanceUID = study_uid, series_uid
        data_set.SOPInstanceUID = data_set.file_meta.MediaStorageSOPInstanceUID = UID(instance_uid)
        data_set.InstanceNumber = number
        data_set.save_as(folder / f"{number}.dcm")
    return folder


def expected(level: str, **unique: str) -> set[tuple[str, ...]]:
    """The keys of what there is at a level, below the unique keys."""
    depth = LEVELS.index(level) + 1
    rows = (row for row in OBJECTS if all(row[KEYS.index(key)] == value for key, value in unique.items()))
    return {row[:depth] for row in rows}


def uids(folder: Path) -> set[str]:
    return {str(pydicom.dcmread(path).SOPInstanceUID) for path in folder.iterdir()}


# ---------------------------------------------------------------------- dcmqrscp


@pytest.fixture(scope="module")
def archive(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, int, int]]:
    """A dcmqrscp that has the objects, and the ports of the AEs DCMNET and OTHER that it knows."""
    folder = tmp_path_factory.mktemp("dcmqrscp")
    (folder / "database").mkdir()
    ours, other = free_port(), free_port()
    settings = folder / "dcmqrscp.cfg"

    def command(port: int) -> list[str | Path]:
        settings.write_text(
            f"NetworkTCPPort = {port}\nMaxPDUSize = 16384\nMaxAssociations = 16\n"
            f"HostTable BEGIN\nours = (DCMNET, localhost, {ours})\nother = (OTHER, localhost, {other})\n"
            "HostTable END\nVendorTable BEGIN\nVendorTable END\n"
            f"AETable BEGIN\nQRSCP {folder}/database RW (200, 1024mb) ANY\nAETable END\n"
        )
        return ["dcmqrscp", "--config", settings, str(port)]

    with listening(command, folder / "log") as process:
        dcmnet.send(HOST, process.port, study, called="QRSCP").raise_for_failures()
        yield process, ours, other


@pytest.mark.parametrize("model", ["STUDY_ROOT", "PATIENT_ROOT", "PATIENT_STUDY_ONLY"])
@pytest.mark.parametrize("level", LEVELS)
def test_dcmqrscp_finds(face: Face, archive: tuple[Process, int, int], model: str, level: str) -> None:
    first = "PATIENT" if model != "STUDY_ROOT" else "STUDY"
    if (level == "PATIENT" and model == "STUDY_ROOT") or (
        LEVELS.index(level) > 1 and model == "PATIENT_STUDY_ONLY"
    ):
        return  # the model has no such level
    unique = dict(zip(KEYS[: LEVELS.index(level)], OBJECTS[0], strict=False))
    if first == "STUDY":
        unique.pop("PatientID", None)
    keys = {**dict.fromkeys(KEYS[: LEVELS.index(level) + 1], ""), **unique}
    identifier = {"QueryRetrieveLevel": level, "PatientName": "", **keys}
    found = face.run(
        face.api.find(HOST, archive[0].port, identifier, model=getattr(dcmnet, model), called="QRSCP")
    )
    assert found.raise_for_status().status == 0
    depth = LEVELS.index(level) + 1
    rows = {tuple(str(match.identifier[key].value) for key in KEYS[:depth]) for match in found.matches}
    assert rows == expected(level, **unique)
    if level == first:
        assert "Größe" in str(found.matches[0].identifier.PatientName)


def test_dcmqrscp_refuses_an_identifier(face: Face, archive: tuple[Process, int, int]) -> None:
    found = face.run(face.api.find(HOST, archive[0].port, {"PatientName": ""}, called="QRSCP"))
    assert found.status == 0xA900
    with pytest.raises(dcmnet.StatusError, match="does not match"):
        found.raise_for_status()


def test_dcmqrscp_is_cancelled(face: Face, archive: tuple[Process, int, int]) -> None:
    identifier = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": ""}
    found = face.run(face.api.find(HOST, archive[0].port, identifier, called="QRSCP", cancel_after=1))
    assert found.status in (0, 0xFE00)  # it may have been through by then
    assert len(found.matches) >= 1


@pytest.mark.parametrize("model", ["STUDY_ROOT", "PATIENT_ROOT"])
def test_dcmqrscp_gets(face: Face, archive: tuple[Process, int, int], model: str, tmp_path: Path) -> None:
    identifier = {"QueryRetrieveLevel": "STUDY", "PatientID": "P1", "StudyInstanceUID": f"{ROOT}.1"}
    result = face.run(
        face.api.get(
            HOST, archive[0].port, identifier, tmp_path, model=getattr(dcmnet, model), called="QRSCP"
        )
    )
    assert result.raise_for_status().status == 0
    assert (result.progress.completed, result.progress.failed) == (3, 0)
    assert uids(tmp_path) == {row[3] for row in OBJECTS[:3]}


def test_dcmqrscp_moves_to_us(face: Face, archive: tuple[Process, int, int], tmp_path: Path) -> None:
    process, port, _ = archive
    identifier = {
        "QueryRetrieveLevel": "SERIES",
        "StudyInstanceUID": f"{ROOT}.1",
        "SeriesInstanceUID": f"{ROOT}.1.1",
    }
    result = face.run(
        face.api.move(HOST, process.port, identifier, called="QRSCP", store=tmp_path, listen_port=port)
    )
    assert (result.status, result.progress.completed, len(result.files)) == (0, 2, 2)
    assert uids(tmp_path) == {row[3] for row in OBJECTS[:2]}


def test_dcmqrscp_moves_to_a_third(face: Face, archive: tuple[Process, int, int], tmp_path: Path) -> None:
    process, _, other = archive
    identifier = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": f"{ROOT}.3"}
    server = dcmnet.StorageSCP(tmp_path, "OTHER").start(other)
    try:
        result = face.run(face.api.move(HOST, process.port, identifier, "OTHER", called="QRSCP"))
    finally:
        server.shutdown()
    assert (result.status, result.progress.completed, result.files) == (0, 1, ())
    assert uids(tmp_path) == {OBJECTS[4][3]}


def test_dcmqrscp_does_not_know_the_destination(face: Face, archive: tuple[Process, int, int]) -> None:
    identifier = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": f"{ROOT}.1"}
    result = face.run(face.api.move(HOST, archive[0].port, identifier, "NOBODY", called="QRSCP"))
    assert result.status == 0xA801


def test_dcmqrscp_cannot_reach_the_destination(face: Face, archive: tuple[Process, int, int]) -> None:
    identifier = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": f"{ROOT}.1"}
    result = face.run(face.api.move(HOST, archive[0].port, identifier, "OTHER", called="QRSCP"))
    assert dcmnet.status_class(result.status) is dcmnet.StatusClass.FAILURE


# ---------------------------------------------------------------------- wlmscpfs


@pytest.fixture(scope="module")
def worklist(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A wlmscpfs with two entries for the AE title RIS."""
    folder = tmp_path_factory.mktemp("wlmscpfs")
    (folder / "RIS").mkdir()
    (folder / "RIS" / "lockfile").touch()
    for number, modality in enumerate(("CT", "MR"), 1):
        entry(number, modality).save_as(folder / "RIS" / f"{number}.wl", enforce_file_format=True)

    def command(port: int) -> list[str | Path]:
        return ["wlmscpfs", "--data-files-path", folder, "-csk", str(port)]

    with listening(command, folder / "log") as process:
        yield process


def entry(number: int, modality: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = (
        UID("1.2.276.0.7230010.3.1.0.1"),
        generate_uid(),
    )
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data_set = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    data_set.SpecificCharacterSet = "ISO_IR 100"
    data_set.AccessionNumber, data_set.PatientID = f"A{number}", f"P{number}"
    data_set.PatientName, data_set.PatientBirthDate, data_set.PatientSex = f"Größe^{number}", "19700101", "O"
    data_set.StudyInstanceUID = f"{ROOT}.9.{number}"
    data_set.RequestedProcedureID, data_set.RequestedProcedureDescription = f"R{number}", "everything"
    step = Dataset()
    step.Modality, step.ScheduledStationAETitle = modality, "SCANNER"
    step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepStartTime = "20300101", "120000"
    step.ScheduledPerformingPhysicianName = "WHO^EVER"
    step.ScheduledProcedureStepDescription, step.ScheduledProcedureStepID = "step", f"S{number}"
    data_set.ScheduledProcedureStepSequence = [step]
    return data_set


@pytest.mark.parametrize(("modality", "count"), [("CT", 1), ("MR", 1), ("", 2), ("US", 0)])
def test_wlmscpfs_finds(face: Face, worklist: Process, modality: str, count: int) -> None:
    identifier = {
        "PatientName": "",
        "AccessionNumber": "",
        "ScheduledProcedureStepSequence": {
            "Modality": modality,
            "ScheduledStationAETitle": "",
            "ScheduledProcedureStepStartDate": "20291231-20300102",
        },
    }
    found = face.run(
        face.api.find(HOST, worklist.port, identifier, model=dcmnet.MODALITY_WORKLIST, called="RIS")
    )
    assert found.raise_for_status().status == 0
    assert len(found.matches) == count
    for match in found.matches:
        (step,) = match.identifier.ScheduledProcedureStepSequence
        assert step.Modality == modality or not modality
        assert "Größe" in str(match.identifier.PatientName)


# ---------------------------------------------------------------------- findscu, getscu, movescu


def matching(study: Path, request: Any) -> Iterator[tuple[Path, Dataset]]:
    """What is asked for, by its unique keys."""
    for path in sorted(study.iterdir()):
        data_set = pydicom.dcmread(path, stop_before_pixels=True)
        wanted = {key: request.identifier.get(key) for key in KEYS}
        if all(not value or str(data_set[key].value) in value for key, value in wanted.items()):
            yield path, data_set


def handlers(study: Path, kind: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """What answers queries, and retrievals: generators, plain or asynchronous."""

    def find(request: Any) -> Iterator[Any]:
        for _, data_set in matching(study, request):
            yield {"QueryRetrieveLevel": request.level, "PatientName": data_set.PatientName, **keys(data_set)}

    def retrieve(request: Any) -> Iterator[Path]:
        for path, _ in matching(study, request):
            yield path

    async def find_later(request: Any) -> AsyncIterator[Any]:
        for match in find(request):
            await asyncio.sleep(0)
            yield match

    async def retrieve_later(request: Any) -> list[Path]:
        await asyncio.sleep(0)
        return list(retrieve(request))

    return (find, retrieve) if kind == "plain" else (find_later, retrieve_later)


def keys(data_set: Dataset) -> dict[str, str]:
    return {key: str(data_set[key].value) for key in KEYS}


@contextmanager
def serving(face: Face, study: Path, kind: str, destination: int) -> Iterator[int]:
    server = face.api.Server("ARCHIVE")
    find, retrieve = handlers(study, kind)
    for model in (dcmnet.STUDY_ROOT, dcmnet.PATIENT_ROOT):
        server.on_find(model)(find)
        server.on_get(model)(retrieve)
        server.on_move(model)(retrieve)
    server.destinations = {"MOVESCU": (HOST, destination)}
    with face.serving(server):
        yield server.port


@pytest.fixture(scope="module", params=["plain", "asynchronous"])
def node(face: Face, study: Path, request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """The port of our server, and the one that it sends to for a C-MOVE to MOVESCU."""
    destination = free_port()
    with serving(face, study, request.param, destination) as port:
        yield port, destination


@pytest.mark.parametrize("syntax", ["-xe", "-xb", "-xd", "-xi"])
@pytest.mark.parametrize("root", ["-S", "-P"])
def test_findscu(node: tuple[int, int], root: str, syntax: str) -> None:
    said = run(
        "findscu", root, syntax, "-v", "-aec", "ARCHIVE", "-k", "QueryRetrieveLevel=IMAGE",
        "-k", "PatientName", "-k", f"StudyInstanceUID={ROOT}.1", HOST, str(node[0]),
    )  # fmt: skip
    assert len(re.findall(r"Find Response: \d+ \(Pending\)", said)) == 3
    assert "Received Final Find Response (Success)" in said


def test_findscu_cancels(node: tuple[int, int]) -> None:
    said = run(
        "findscu", "-S", "-v", "--cancel", "1", "-aec", "ARCHIVE", "-k", "QueryRetrieveLevel=IMAGE",
        HOST, str(node[0]),
    )  # fmt: skip
    assert "Sending Cancel Request" in said
    assert re.search(r"Received Final Find Response \((Success|Cancel)", said)


@pytest.mark.parametrize("root", ["-S", "-P"])
def test_getscu(node: tuple[int, int], root: str, tmp_path: Path) -> None:
    said = run(
        "getscu", root, "-v", "-aec", "ARCHIVE", "-k", "QueryRetrieveLevel=STUDY",
        "-k", f"StudyInstanceUID={ROOT}.1", "-od", tmp_path, HOST, str(node[0]),
    )  # fmt: skip
    assert uids(tmp_path) == {row[3] for row in OBJECTS[:3]}
    assert "Number of Completed Suboperations : 3" in said


@pytest.mark.parametrize("root", ["-S", "-P"])
def test_movescu(node: tuple[int, int], root: str, tmp_path: Path) -> None:
    said = run(
        "movescu", root, "-v", "-aec", "ARCHIVE", "-k", "QueryRetrieveLevel=STUDY",
        "-k", f"StudyInstanceUID={ROOT}.1", "-od", tmp_path, "+P", str(node[1]), HOST, str(node[0]),
    )  # fmt: skip
    assert uids(tmp_path) == {row[3] for row in OBJECTS[:3]}
    assert "Received Final Move Response (Success)" in said


def test_movescu_to_nobody(node: tuple[int, int]) -> None:
    said = run(
        "movescu", "-S", "-v", "-aec", "ARCHIVE", "-aem", "NOBODY", "-k", "QueryRetrieveLevel=STUDY",
        "-k", f"StudyInstanceUID={ROOT}.1", HOST, str(node[0]), expect=69,
    )  # fmt: skip
    assert "MoveDestinationUnknown" in said
