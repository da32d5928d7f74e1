"""Names, folders and conversion of what a server receives, the same on both faces."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

import dcmnet
from dcmnet.dataset import Encoding
from dcmnet.dataset.layout import GroupLengths, Layout
from dcmnet.errors import StatusError
from dcmnet.storage.conversion import Conversion
from dcmnet.storage.naming import BySeriesDate, SystemTimeNames, by_study_uid, short_unique_name
from dcmnet.storage.part10 import read_file_meta
from dcmnet.storage.studies import Studies, by_uid
from tests.faces.adapters import Face, running
from tests.faces.test_receiving import is_empty, names

STUDY = "2.25.143734832320794287360863968662885570342"
IMPLICIT, EXPLICIT, BIG, DEFLATED = (f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".2", ".1.99"))


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_folders(face: Face, received: Path, sample: Path) -> None:
    with running(face, face.new_storage_scp(received, sorter=by_study_uid("st"))) as server:
        assert face.send(server.port, sample).ok
    assert names(received) == [f"st_{STUDY}"]
    assert len(names(received / f"st_{STUDY}")) == 6


def test_folders_by_date_and_short_names(face: Face, received: Path, ct: Path) -> None:
    from datetime import datetime

    node = face.new_storage_scp(
        received, sorter=BySeriesDate(datetime.now), namer=short_unique_name, fsync=True
    )
    with running(face, node) as server:
        assert face.send(server.port, [ct, ct]).ok
    assert len(names(received / "data" / "2025" / "06" / "16")) == 2


def test_names_that_come_twice(face: Face, received: Path, ct: Path) -> None:
    from datetime import datetime

    moment = datetime(2026, 1, 31, 12, 0)
    node = face.new_storage_scp(
        received, namer=SystemTimeNames(lambda: moment), duplicates=dcmnet.Duplicates.RENAME
    )
    with running(face, node) as server:
        assert face.send(server.port, [ct, ct]).ok
    assert names(received) == ["20260131120000.000000.CT", "20260131120000.000000.CT.1"]


@pytest.mark.parametrize("folder", ["..", "a/../b", "/abs", "a//b", "", "a\\b", "a\0b"])
def test_a_folder_that_leads_elsewhere(face: Face, received: Path, ct: Path, folder: str) -> None:
    with running(face, face.new_storage_scp(received, sorter=lambda request: folder)) as server:
        assert face.send(server.port, ct).statuses == {0x0110: 1}
    assert is_empty(received)


def test_a_folder_whose_name_is_taken(face: Face, received: Path, ct: Path) -> None:
    (received / "taken").touch()
    with running(face, face.new_storage_scp(received, sorter=lambda request: "taken")) as server:
        assert face.send(server.port, ct).statuses == {0xA700: 1}
    assert names(received) == ["taken"]


def test_an_object_that_is_refused(face: Face, received: Path, ct: Path) -> None:
    def sorter(request: dcmnet.StoreRequest) -> str:
        raise StatusError(0xA702, request.attributes("Modality")["Modality"])

    with running(face, face.new_storage_scp(received, sorter=sorter)) as server:
        report = face.send(server.port, ct)
    assert report.statuses == {0xA702: 1}
    assert report.results[0].comment == "CT"
    assert is_empty(received)


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG, DEFLATED, None])
@pytest.mark.parametrize("bare", [False, True])
def test_conversion(face: Face, received: Path, ct: Path, syntax: str | None, bare: bool) -> None:
    conversion = Conversion(
        transfer_syntax=syntax,
        layout=Layout(group_lengths=GroupLengths.CREATE, encoding=Encoding(compression_level=9)),
    )
    node = face.new_storage_scp(
        received, conversion=conversion, file_meta=not bare, sorter=Studies(by_uid("st"))
    )
    with running(face, node) as server:
        assert face.send(server.port, ct, calling="ME").ok
    (path,) = files(received)
    if bare:
        assert not path.read_bytes().startswith(bytes(128) + b"DICM")
        return
    meta, _ = read_file_meta(path.read_bytes(), "x")
    assert meta.transfer_syntax == (syntax or EXPLICIT)
    assert meta.source_application_entity_title == "ME"
    found, sent = pydicom.dcmread(path), pydicom.dcmread(ct)
    assert (0x0008, 0x0000) in found
    assert found.SOPInstanceUID == sent.SOPInstanceUID
    assert found.pixel_array.tolist() == sent.pixel_array.tolist()
    assert path.parent.name == f"st_{STUDY}"


def test_bare_data_sets_byte_for_byte(face: Face, received: Path, ct: Path) -> None:
    with running(face, face.new_storage_scp(received, file_meta=False, sorter=by_study_uid())) as server:
        assert face.send(server.port, ct).ok
    (path,) = files(received)
    content = ct.read_bytes()
    assert path.read_bytes() == content[read_file_meta(content, "ct")[1] :]


def test_what_cannot_be_converted(face: Face, received: Path, sample: Path, tmp_path: Path) -> None:
    """The pixels of a compressed object are broken: nothing is kept, the sender is told, the next one is."""
    content = (sample / "fusion.dcm").read_bytes()
    broken = tmp_path / "broken.dcm"
    start = content.index(b"\xff\xd8")  # where the compressed image begins
    broken.write_bytes(content[:start] + bytes(400) + content[start + 400 :])
    conversion = Conversion(transfer_syntax=EXPLICIT)
    with running(face, face.new_storage_scp(received, conversion=conversion)) as server:
        report = face.send(server.port, [broken, sample / "mr.dcm"])
    assert report.statuses == {0xC000: 1, 0: 1}
    assert [path.name[:3] for path in files(received)] == ["MR."]


def test_a_handler_sees_what_was_converted(face: Face, received: Path, sample: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, str]] = []
    node = face.new_server(spool=tmp_path)

    @node.on_store
    def keep(request: dcmnet.StoreRequest) -> int:
        seen.append((request.transfer_syntax, request.dataset().file_meta.TransferSyntaxUID))
        return request.save(received)

    assert node.node.store is not None
    node.node.store.conversion = Conversion(transfer_syntax=EXPLICIT)
    with running(face, node) as server:
        assert face.send(server.port, sample / "mr.dcm").ok
    assert seen == [(EXPLICIT, EXPLICIT)]
    assert len(names(received)) == 1


def test_no_space_for_what_was_converted(
    face: Face, received: Path, ct: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*_: object, **__: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dcmnet.storage.conversion.encode_anew", no_space)
    with running(face, face.new_storage_scp(received, conversion=Conversion())) as server:
        assert face.send(server.port, ct).statuses == {0xA700: 1}
    assert is_empty(received)
