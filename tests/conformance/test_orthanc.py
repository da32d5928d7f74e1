"""dcmnet and Orthanc, in both directions."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest

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
    """An Orthanc without plugins, in a temporary folder, that takes everything from everybody."""
    folder = tmp_path_factory.mktemp("orthanc")
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
            "UnknownSopClassAccepted": True,
            "OverwriteInstances": True,
            "StorageCompression": False,
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
