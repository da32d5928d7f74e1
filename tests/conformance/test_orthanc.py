"""dcmnet and Orthanc, in both directions."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest

import dcmnet
from tests.conformance.peers import (
    HOST,
    RUN_SECONDS,
    Face,
    Folder,
    data_set_bytes,
    encoded_by_dcmtk,
    free_port,
    listening,
)

MODALITY = "dcmnet"
SAMPLE = Path(dcmnet.__file__).parent / "sample" / "ct-1.dcm"


@dataclass(slots=True)
class Orthanc:
    """A running Orthanc: its DICOM port, and its REST interface."""

    dicom_port: int
    http_port: int

    def rest(self, method: str, path: str, body: bytes | dict[str, Any] | str = b"") -> bytes:
        """Ask its REST interface for something that it must give."""
        status, answer = self.ask(method, path, body)
        assert status == http.client.OK, f"{method} {path}: {status} {answer!r}"
        return answer

    def ask(self, method: str, path: str, body: bytes | dict[str, Any] | str = b"") -> tuple[int, bytes]:
        """Ask its REST interface for something; the status and the answer."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection(HOST, self.http_port, timeout=RUN_SECONDS)
        try:
            connection.request(method, path, content)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def identifier(self, path: Path) -> str:
        """Its own identifier of an object."""
        uid = str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)
        found = json.loads(self.rest("POST", "/tools/lookup", uid.encode()))
        (identifier,) = [each["ID"] for each in found if each["Type"] == "Instance"]
        return str(identifier)

    def take(self, path: Path) -> bytes:
        """The file that it keeps for an object, which it then forgets."""
        identifier = self.identifier(path)
        content = self.rest("GET", f"/instances/{identifier}/file")
        self.rest("DELETE", f"/instances/{identifier}")
        return content

    def put(self, path: Path) -> str:
        """Give it a file over REST; its identifier."""
        return str(json.loads(self.rest("POST", "/instances", path.read_bytes()))["ID"])

    def introduce(self, port: int, title: str = "DCMNET") -> None:
        """Tell it about a DICOM peer on this machine."""
        modality = {"AET": title, "Host": HOST, "Port": port}
        self.rest("PUT", f"/modalities/{MODALITY}", modality)


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """An Orthanc as it is by default."""
    with started(tmp_path_factory.mktemp("orthanc")) as found:
        yield found


@contextmanager
def started(folder: Path, **more: Any) -> Iterator[Orthanc]:
    """An Orthanc without plugins, in a temporary folder, that takes everything from everybody."""
    configuration = folder / "orthanc.json"
    dicom_ports: list[int] = []

    def command(http_port: int) -> Sequence[str | Path]:
        dicom_ports.append(free_port())
        settings = {
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "index"),
            "Plugins": [],
            "HttpPort": http_port,
            "RemoteAccessAllowed": False,
            "DicomAet": "ORTHANC",
            "DicomPort": dicom_ports[-1],
            "DicomCheckCalledAet": False,
            "DicomCheckModalityHost": False,
            "DicomAlwaysAllowEcho": True,
            "DicomAlwaysAllowStore": True,
            "DicomAlwaysAllowFind": True,
            "DicomAlwaysAllowGet": True,
            "DicomAlwaysAllowMove": True,
            "UnknownSopClassAccepted": True,
            "OverwriteInstances": True,
            "StorageCompression": False,
            **more,
        }
        configuration.write_text(json.dumps(settings), "utf-8")
        return ("Orthanc", "--verbose", configuration)

    with listening(command, folder / "log") as process:
        yield Orthanc(dicom_ports[-1], process.port)


@pytest.fixture(scope="module")
def scp(face: Face, orthanc: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    """The folder of a Storage SCP of dcmnet that Orthanc knows."""
    folder = tmp_path_factory.mktemp("dcmnet")
    with face.storage_scp(folder) as server:
        orthanc.introduce(server.port)
        yield Folder(folder)


def test_echo(face: Face, orthanc: Orthanc) -> None:
    assert face.echo(orthanc.dicom_port, called="ORTHANC") == 0x0000


def test_send(face: Face, orthanc: Orthanc, objects: dict[str, Path], encoding: str, tmp_path: Path) -> None:
    path = objects[encoding]
    report = face.send(orthanc.dicom_port, path)
    assert report.statuses == {0x0000: 1}
    transfer_syntax = pydicom.dcmread(path).file_meta.TransferSyntaxUID
    kept, expected = data_set_bytes(orthanc.take(path)), encoded_by_dcmtk(path, transfer_syntax, tmp_path)
    assert kept[: len(expected)] == expected
    # Orthanc reckons with the length before deflation and leaves NULs behind a deflated data set.
    assert kept[len(expected) :].strip(b"\0") == b""
    assert encoding == "deflated" or len(kept) == len(expected)


def test_send_large(face: Face, orthanc: Orthanc, large: Path) -> None:
    assert face.send(orthanc.dicom_port, large).ok
    assert data_set_bytes(orthanc.take(large)) == data_set_bytes(large.read_bytes())


def test_send_everything_on_one_association(
    face: Face, orthanc: Orthanc, objects: dict[str, Path], tmp_path: Path
) -> None:
    report = face.send(orthanc.dicom_port, list(objects.values()))
    assert report.ok
    assert report.associations == 1
    for path in objects.values():
        (tmp_path / "kept.dcm").write_bytes(orthanc.take(path))
        assert pydicom.dcmread(tmp_path / "kept.dcm") == pydicom.dcmread(path)


def test_echo_from(orthanc: Orthanc, scp: Folder) -> None:
    assert scp.path.is_dir()
    orthanc.rest("POST", f"/modalities/{MODALITY}/echo", {})


def test_receive(
    orthanc: Orthanc, scp: Folder, objects: dict[str, Path], encoding: str, tmp_path: Path
) -> None:
    path = objects[encoding]
    identifier = orthanc.put(path)
    orthanc.rest("POST", f"/modalities/{MODALITY}/store", identifier)
    orthanc.rest("DELETE", f"/instances/{identifier}")
    content = scp.take_one()
    (tmp_path / "received.dcm").write_bytes(content)
    transfer_syntax = pydicom.dcmread(path).file_meta.TransferSyntaxUID
    assert pydicom.dcmread(tmp_path / "received.dcm").file_meta.TransferSyntaxUID == transfer_syntax
    assert data_set_bytes(content) == encoded_by_dcmtk(path, transfer_syntax, tmp_path)


def test_receive_large(orthanc: Orthanc, scp: Folder, large: Path) -> None:
    identifier = orthanc.put(large)
    orthanc.rest("POST", f"/modalities/{MODALITY}/store", identifier)
    orthanc.rest("DELETE", f"/instances/{identifier}")
    assert data_set_bytes(scp.take_one()) == data_set_bytes(large.read_bytes())


def test_status_for_orthanc(face: Face, orthanc: Orthanc, objects: dict[str, Path], tmp_path: Path) -> None:
    """Orthanc says over REST that its job has failed when we answer with a failure status."""
    server = face.api.Server(spool=tmp_path)
    server.on_store(lambda _: 0xA700)
    identifier = orthanc.put(objects["rle"])
    with face.serving(server):
        orthanc.introduce(server.port)
        status, answer = orthanc.ask("POST", f"/modalities/{MODALITY}/store", identifier)
    orthanc.rest("DELETE", f"/instances/{identifier}")
    assert status == http.client.INTERNAL_SERVER_ERROR, answer
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------------- queries and retrievals

SERIES = [f"2.25.888.{number}" for number in range(3)]
STUDY_UID = "2.25.888"


@pytest.fixture(scope="module")
def study(orthanc: Orthanc, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """A study of three series that Orthanc has, by SOP Instance UID."""
    folder = tmp_path_factory.mktemp("study")
    made: dict[str, Path] = {}
    for number, series in enumerate(SERIES):
        ds = pydicom.dcmread(SAMPLE)
        ds.PatientID, ds.StudyInstanceUID, ds.SeriesInstanceUID = "ORTHANC", STUDY_UID, series
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.UID(f"{series}.1")
        ds.Modality = ("CT", "MR", "CT")[number]
        made[f"{series}.1"] = folder / f"{number}.dcm"
        ds.save_as(folder / f"{number}.dcm")
    identifiers = [orthanc.put(path) for path in made.values()]
    yield made
    for identifier in identifiers:
        orthanc.rest("DELETE", f"/instances/{identifier}")


def kept(folder: Path) -> set[str]:
    return {str(pydicom.dcmread(path).SOPInstanceUID) for path in folder.iterdir()}


def test_find(face: Face, orthanc: Orthanc, study: dict[str, Path]) -> None:
    identifier = {
        "QueryRetrieveLevel": "SERIES",
        "StudyInstanceUID": STUDY_UID,
        "SeriesInstanceUID": "",
        "Modality": "CT",
    }
    found = face.run(face.api.find(HOST, orthanc.dicom_port, identifier, called="ORTHANC"))
    assert found.raise_for_status().status == 0
    assert {str(match.identifier.SeriesInstanceUID) for match in found.matches} == {SERIES[0], SERIES[2]}


def test_get(face: Face, orthanc: Orthanc, study: dict[str, Path], tmp_path: Path) -> None:
    identifier = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": STUDY_UID}
    result = face.run(face.api.get(HOST, orthanc.dicom_port, identifier, tmp_path, called="ORTHANC"))
    assert (result.raise_for_status().status, result.progress.completed) == (0, 3)
    assert kept(tmp_path) == set(study)
    for path in result.files:
        uid = str(pydicom.dcmread(path).SOPInstanceUID)
        assert pydicom.dcmread(path).PixelData == pydicom.dcmread(study[uid]).PixelData


def test_a_get_that_orthanc_cannot_complete(
    face: Face, orthanc: Orthanc, study: dict[str, Path], tmp_path: Path
) -> None:
    """Orthanc 1.10.1 puts the list of what it could not send into the Command Set of its final response."""
    path = SAMPLE.parent / "mr.dcm"
    ds = pydicom.dcmread(path)
    identifier = orthanc.put(path)
    asked = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": str(ds.StudyInstanceUID)}
    options = {"called": "ORTHANC", "sop_classes": [pydicom.uid.CTImageStorage]}
    result = face.run(face.api.get(HOST, orthanc.dicom_port, asked, tmp_path, **options))
    orthanc.rest("DELETE", f"/instances/{identifier}")
    assert (result.status, result.progress.completed, result.progress.failed) == (0xC000, 0, 1)
    with pytest.raises(dcmnet.StatusError):
        result.raise_for_status()


def test_move(face: Face, orthanc: Orthanc, study: dict[str, Path], tmp_path: Path) -> None:
    port = free_port()
    orthanc.introduce(port, "MOVER")
    identifier = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": STUDY_UID}
    result = face.run(
        face.api.move(
            HOST, orthanc.dicom_port, identifier, "MOVER", called="ORTHANC", store=tmp_path, listen_port=port
        )
    )
    assert (result.raise_for_status().status, len(result.files)) == (0, 3)
    assert kept(tmp_path) == set(study)


def test_move_that_is_answered_before_the_objects_come(
    face: Face, study: dict[str, Path], tmp_path: Path
) -> None:
    """Without `SynchronousCMove` Orthanc has a job of its own send them."""
    port = free_port()
    (tmp_path / "received").mkdir()
    with started(tmp_path, SynchronousCMove=False) as orthanc:
        orthanc.introduce(port)
        for path in study.values():
            orthanc.put(path)
        identifier = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": STUDY_UID}
        moving = face.api.move(
            HOST, orthanc.dicom_port, identifier, store=tmp_path / "received", listen_port=port
        )
        result = face.run(moving)
    assert result.raise_for_status().missing == 0
    assert len(result.files) == len(list((tmp_path / "received").iterdir())) == len(study)


def test_orthanc_queries_and_retrieves(face: Face, orthanc: Orthanc, tmp_path: Path) -> None:
    """Its REST interface makes it an SCU of C-FIND, and of C-MOVE to itself."""
    ds = pydicom.dcmread(SAMPLE)
    ds.PatientID, ds.StudyInstanceUID = "DCMNET", "2.25.999"
    ds.SeriesInstanceUID, ds.SOPInstanceUID = "2.25.999.1", pydicom.uid.UID("2.25.999.1.1")
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.save_as(tmp_path / "one.dcm")
    server = face.api.Server("DCMNET")

    def find(request: Any) -> Iterator[Any]:
        keys = ("PatientID", "PatientName", "StudyInstanceUID", "StudyDate", "StudyDescription")
        yield {"QueryRetrieveLevel": request.level, **{key: ds.get(key) for key in keys}}

    for model in (dcmnet.STUDY_ROOT, dcmnet.PATIENT_ROOT):
        server.on_find(model)(find)
        server.on_move(model)(lambda request: [tmp_path / "one.dcm"])
    server.destinations = {"ORTHANC": (HOST, orthanc.dicom_port)}
    with face.serving(server):
        orthanc.introduce(server.port)
        asked = {"Level": "Study", "Query": {"PatientID": "DCMNET"}}
        query = json.loads(orthanc.rest("POST", f"/modalities/{MODALITY}/query", asked))["ID"]
        assert json.loads(orthanc.rest("GET", f"/queries/{query}/answers")) == ["0"]
        orthanc.rest("POST", f"/queries/{query}/retrieve", {"TargetAet": "ORTHANC", "Synchronous": True})
    kept_file = orthanc.take(tmp_path / "one.dcm")
    (tmp_path / "kept.dcm").write_bytes(kept_file)
    assert pydicom.dcmread(tmp_path / "kept.dcm").PixelData == ds.PixelData
