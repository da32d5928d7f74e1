"""C-FIND, C-GET and C-MOVE on both faces, as SCU and as SCP."""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest

import dcmnet
from dcmnet.errors import (
    AssociationAborted,
    InputFileError,
    LocalProtocolError,
    NoPresentationContext,
    StatusError,
)
from dcmnet.registry.sop_classes import COMPOSITE_INSTANCE_WITHOUT_BULK_DATA_GET
from dcmnet.storage.answering import QueryRequest
from dcmnet.storage.node import Handlers
from tests.faces.adapters import Face, running
from tests.faces.wire import DEADLINE

STUDY = {"QueryRetrieveLevel": "STUDY", "PatientName": "DOE*", "StudyInstanceUID": ""}
IMAGES = {"QueryRetrieveLevel": "IMAGE", "SOPInstanceUID": ""}
NAMES = ["DOE^JANE", "DOE^JOHN", "Dör^Ümläut"]
FILES = ("ct-1.dcm", "ct-2.dcm", "mr.dcm")


def matches() -> Iterator[Any]:
    """A mapping, a data set, and one with the other status."""
    yield {"PatientName": NAMES[0], "StudyInstanceUID": "1.2"}
    data_set = pydicom.Dataset()
    data_set.PatientName, data_set.StudyInstanceUID = NAMES[1], "1.3"
    yield data_set
    yield 0xFF01, {"PatientName": NAMES[2]}


def generator(request: QueryRequest) -> Iterator[Any]:
    yield from matches()


def function(request: QueryRequest) -> Any:
    return list(matches())


async def coroutine(request: QueryRequest) -> Any:
    await asyncio.sleep(0)
    return list(matches())


async def async_generator(request: QueryRequest) -> AsyncIterator[Any]:
    for match in matches():
        await asyncio.sleep(0)
        yield match


HANDLERS = pytest.mark.parametrize(
    "handler", [generator, function, coroutine, async_generator], ids=lambda each: each.__name__
)


@HANDLERS
def test_find(face: Face, handler: Callable[..., Any]) -> None:
    seen: list[QueryRequest] = []
    server = face.new_server("ARCHIVE")

    def looked_at(request: QueryRequest) -> Any:
        seen.append(request)
        return handler(request)

    server.on_find(dcmnet.STUDY_ROOT)(looked_at)
    with running(face, server) as running_server:
        found = face.ask("find", running_server.port, STUDY, called="ARCHIVE", calling="VIEWER")
    assert found.raise_for_status().status == 0
    assert [each.status for each in found.matches] == [0xFF00, 0xFF00, 0xFF01]
    assert [str(each.identifier.PatientName) for each in found.matches] == NAMES
    assert found.matches[2].identifier.SpecificCharacterSet == "ISO_IR 192"
    (request,) = seen
    assert (request.level, str(request.identifier.PatientName)) == ("STUDY", "DOE*")
    assert (request.calling_ae_title, request.called_ae_title, request.destination) == (
        "VIEWER",
        "ARCHIVE",
        "",
    )
    assert request.model == dcmnet.STUDY_ROOT.find
    assert request.data and request.peer.startswith("127.0.0.1:")


@pytest.mark.parametrize("outcome", [None, [], {"PatientName": "A"}, (0xFF01, {"PatientName": "A"})])
def test_find_with_one_answer_or_none(face: Face, outcome: Any) -> None:
    server = face.new_server()
    server.on_find("1.2.3.4")(lambda request: outcome)
    with running(face, server) as running_server:
        found = face.ask("find", running_server.port, {"PatientName": ""}, model="1.2.3.4")
    assert len(found.matches) == bool(outcome)


def endless(closed: threading.Event) -> Callable[[Any], Iterator[Any]]:
    def find(request: Any) -> Iterator[Any]:
        try:
            while True:
                yield {"PatientName": "X" * 40}
        finally:
            closed.set()

    return find


@pytest.fixture
def endless_server(face: Face) -> Iterator[tuple[int, threading.Event]]:
    server, closed = face.new_server(), threading.Event()
    server.on_find()(endless(closed))
    with running(face, server) as running_server:
        yield running_server.port, closed


def test_leaving_the_loop_early_cancels(face: Face, endless_server: tuple[int, threading.Event]) -> None:
    port, closed = endless_server
    contexts = (*dcmnet.query_contexts(), *dcmnet.contexts_for())
    with face.connect(port, contexts=contexts) as association:
        for _ in association.find(STUDY):
            break
        gc.collect()
        assert closed.wait(DEADLINE)
        with association.find(STUDY) as responses:
            assert len([each for each, _ in zip(responses, range(3), strict=False)]) == 3
        assert responses.status == 0xFE00
        responses = association.find(STUDY)
        next(iter(responses))
        responses.close()
        assert (responses.status, responses.result) == (0xFE00, None)
        assert association.is_established


def test_cancel_after(face: Face, endless_server: tuple[int, threading.Event]) -> None:
    port, _ = endless_server
    for count in (0, 5):
        found = face.ask("find", port, STUDY, cancel_after=count)
        assert found.status == 0xFE00
        assert len(found.matches) >= count


def test_cancel_in_the_loop(face: Face, endless_server: tuple[int, threading.Event]) -> None:
    with face.connect(endless_server[0], contexts=dcmnet.query_contexts()) as association:
        responses = association.find(STUDY)
        for _ in responses:
            responses.cancel()
        assert responses.raise_for_status().status == 0xFE00


def test_one_operation_at_a_time(face: Face, endless_server: tuple[int, threading.Event]) -> None:
    contexts = (*dcmnet.query_contexts(), *dcmnet.services.defaults.DEFAULT_CONTEXTS)
    with face.connect(endless_server[0], contexts=contexts) as association:
        responses = association.find(STUDY)
        responses.close()  # before it has begun
        next(iter(responses))
        for operation in (association.echo, association.release, association.find(STUDY).wait):
            with pytest.raises(LocalProtocolError, match="C-FIND is under way"):
                operation()
        with pytest.raises(LocalProtocolError, match="not over"):
            responses.raise_for_status()
        responses.close()
        assert association.echo().status == 0


def test_abort_in_the_middle(face: Face, endless_server: tuple[int, threading.Event]) -> None:
    port, closed = endless_server
    association = face.connect(port, contexts=dcmnet.query_contexts())
    responses = association.find(STUDY)
    next(iter(responses))
    association.abort()
    assert closed.wait(DEADLINE)
    with pytest.raises((AssociationAborted, LocalProtocolError, dcmnet.TransportClosed)):
        next(iter(responses))


def test_a_server_that_stops_ends_a_query(face: Face) -> None:
    server, closed, begun = face.new_server(), threading.Event(), threading.Event()
    server.on_find()(endless(closed))
    errors: list[BaseException] = []

    def ask(port: int) -> None:
        try:
            with face.connect(port, contexts=dcmnet.query_contexts()) as association:
                for _ in association.find(STUDY):
                    begun.set()
        except dcmnet.DcmnetError as error:
            errors.append(error)

    with running(face, server) as running_server:
        asking = threading.Thread(target=ask, args=(running_server.port,))
        asking.start()
        assert begun.wait(DEADLINE)
    asking.join(DEADLINE)
    assert closed.is_set()
    assert [type(error) for error in errors] == [AssociationAborted]


def test_what_cannot_be_asked(face: Face, endless_server: tuple[int, threading.Event]) -> None:
    with face.connect(endless_server[0], contexts=dcmnet.query_contexts()) as association:
        with pytest.raises(InputFileError, match="did you mean PatientName"):
            association.find({"PatinetName": ""}).wait()
        with pytest.raises(NoPresentationContext, match="not proposed"):
            association.find(STUDY, model=dcmnet.PATIENT_ROOT).wait()
        with pytest.raises(ValueError, match="no C-MOVE"):
            association.move(STUDY, "X", model=dcmnet.MODALITY_WORKLIST)
        with pytest.raises(ValueError, match="no C-GET"):
            association.get(STUDY, ".", model=dcmnet.MODALITY_WORKLIST)
        assert association.is_established
    with pytest.raises(ValueError, match="listen_port"):
        face.ask("move", endless_server[0], STUDY, store=".")


@pytest.mark.parametrize("where", ["function", "generator", "encoding", "status"])
def test_a_handler_that_fails(face: Face, where: str, caplog: pytest.LogCaptureFixture) -> None:
    def find(request: Any) -> Any:
        if where == "function":
            raise ValueError("no database")
        return failing()

    def failing() -> Iterator[Any]:
        yield {"PatientName": "A"}
        if where == "generator":
            raise ValueError("no database")
        yield {"NoSuchKeyword": ""} if where == "encoding" else (0x0000, {"PatientName": "A"})

    server = face.new_server()
    server.on_find()(find)
    with running(face, server) as running_server, caplog.at_level(logging.ERROR, "dcmnet"):
        found = face.ask("find", running_server.port, STUDY)
    assert (found.status, found.response.error_comment) == (0xC001, "the handler failed")
    with pytest.raises(StatusError, match="Unable to process"):
        found.raise_for_status()
    assert "the query handler failed" in caplog.text


def test_a_handler_chooses_the_status(face: Face) -> None:
    server = face.new_server()

    @server.on_find()
    def find(request: Any) -> Any:
        raise StatusError("too many", status=0xA700, comment="too many matches")

    with running(face, server) as running_server:
        found = face.ask("find", running_server.port, STUDY)
    assert (found.status, found.response.error_comment) == (0xA700, "too many matches")


def test_an_identifier_that_cannot_be_read(face: Face) -> None:
    server = face.new_server()
    server.on_find()(generator)
    with running(face, server) as running_server:
        found = face.ask("find", running_server.port, b"\x08\x00\x52\x00CS\x40\x00STUDY ")
    assert found.status == 0xA900
    assert "truncated" in found.response.error_comment


def test_a_class_without_a_handler(face: Face) -> None:
    server = face.new_server(
        contexts=[
            dcmnet.SupportedContext(abstract_syntax=uid, transfer_syntaxes=("1.2.840.10008.1.2",))
            for uid in (dcmnet.STUDY_ROOT.find, "1.2.3.4")
        ]
    )
    server.on_find()(generator)
    with running(face, server) as running_server:
        assert face.ask("find", running_server.port, STUDY, model="1.2.3.4").status == 0x0122
        assert len(face.ask("find", running_server.port, STUDY).matches) == 3


def test_extended_negotiation(face: Face) -> None:
    server, seen = face.new_server(), []

    @server.on_find(options=dcmnet.QueryOptions(fuzzy=True, timezone=True))
    def find(request: QueryRequest) -> None:
        seen.append(request.options)

    wanted = dcmnet.QueryOptions(relational=True, fuzzy=True)
    with running(face, server) as running_server:
        port, contexts = running_server.port, dcmnet.query_contexts(dcmnet.STUDY_ROOT, move=True)
        with face.connect(port, contexts=contexts, extended=wanted.negotiations()) as association:
            (answer,) = association.negotiated.extended_negotiations
            association.find(STUDY).wait()
        face.ask("find", port, STUDY)
    assert answer.application_information == b"\0\0\1"
    assert seen == [dcmnet.QueryOptions(fuzzy=True), dcmnet.QueryOptions()]


# ---------------------------------------------------------------------- retrievals


def archive(face: Face, sample: Path, answer: Callable[[Any], Any], **options: Any) -> Handlers:
    """A server that has three objects, whatever is asked for."""
    server = face.new_server("ARCHIVE", **options)
    server.on_get()(answer)
    server.on_move()(answer)
    return server


def paths(sample: Path) -> dict[str, Callable[[Any], Any]]:
    found = [sample / name for name in FILES]

    def one_by_one(request: QueryRequest) -> Iterator[Any]:
        yield found[0]
        yield pydicom.dcmread(found[1])
        yield found[2].open("rb")

    async def later(request: QueryRequest) -> AsyncIterator[Path]:
        for path in found:
            await asyncio.sleep(0)
            yield path

    async def at_once(request: QueryRequest) -> list[Path]:
        await asyncio.sleep(0)
        return found

    return {
        "a list": lambda request: found,
        "one by one": one_by_one,
        "a coroutine": at_once,
        "an async generator": later,
    }


KINDS = pytest.mark.parametrize("kind", ["a list", "one by one", "a coroutine", "an async generator"])


def uids(folder: Path) -> set[str]:
    return {str(pydicom.dcmread(path).SOPInstanceUID) for path in folder.glob("*.dcm")}


@KINDS
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # a file object of the test's own
def test_bulk_data_stay_where_they_are(face: Face, sample: Path, received: Path, kind: str) -> None:
    model = COMPOSITE_INSTANCE_WITHOUT_BULK_DATA_GET  # PS3.4 Annex Z
    server = face.new_server("ARCHIVE")
    server.on_get(model)(paths(sample)[kind])
    with running(face, server) as running_server:
        result = face.ask("get", running_server.port, IMAGES, received, model=model, called="ARCHIVE")
    assert (result.status, result.progress.completed) == (0, 3)
    assert uids(received) == {str(pydicom.dcmread(sample / name).SOPInstanceUID) for name in FILES}
    for path in received.glob("*.dcm"):
        data_set = pydicom.dcmread(path)
        assert "PixelData" not in data_set
        assert data_set.PatientName


@pytest.mark.parametrize(
    ("accepted", "native", "sent"),
    [
        (("1.2.840.10008.1.2",), False, "1.2.840.10008.1.2"),
        (("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.1"), False, "1.2.840.10008.1.2.1"),
        (("1.2.840.10008.1.2.4.50",), False, "1.2.840.10008.1.2.4.50"),
        (("1.2.840.10008.1.2.4.50",), True, None),
    ],
)
def test_headers_of_compressed_images(
    face: Face, sample: Path, received: Path, accepted: tuple[str, ...], native: bool, sent: str | None
) -> None:
    image = pydicom.dcmread(sample / FILES[0])
    if native:
        image.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
        image = pydicom.dcmread(as_bytes(image))
    else:
        image.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8frame!"])
        image["PixelData"].is_undefined_length = True
        image.file_meta.TransferSyntaxUID = pydicom.uid.JPEG2000Lossless
    model = COMPOSITE_INSTANCE_WITHOUT_BULK_DATA_GET
    server = face.new_server("ARCHIVE")
    server.on_get(model)(lambda request: as_bytes(image))
    contexts = dcmnet.get_contexts(model, sop_classes=[image.SOPClassUID], transfer_syntaxes=accepted)
    with running(face, server) as running_server:
        with face.connect(running_server.port, contexts=contexts) as association:
            result = association.get(IMAGES, received, model=model).wait()
    assert result.result.completed == (sent is not None)
    for path in received.glob("*.dcm"):
        found = pydicom.dcmread(path)
        assert (found.file_meta.TransferSyntaxUID, "PixelData" in found) == (sent, False)
        assert found.PatientName == image.PatientName


def as_bytes(data_set: pydicom.Dataset) -> io.BytesIO:
    file = io.BytesIO()
    data_set.save_as(file, enforce_file_format=True)
    file.seek(0)
    return file


@KINDS
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # a file object of the test's own
def test_get(face: Face, sample: Path, received: Path, kind: str) -> None:
    with running(face, archive(face, sample, paths(sample)[kind])) as server:
        result = face.ask("get", server.port, STUDY, received, called="ARCHIVE", calling="VIEWER")
    progress = result.raise_for_status().progress
    assert (progress.completed, progress.failed, progress.warnings, progress.remaining) == (3, 0, 0, None)
    assert set(result.files) == set(received.iterdir())
    assert {path.read_bytes()[-1000:] for path in result.files} == {
        (sample / name).read_bytes()[-1000:] for name in FILES
    }
    sources = {pydicom.dcmread(path).file_meta.SourceApplicationEntityTitle for path in result.files}
    assert sources == {"ARCHIVE"}


@KINDS
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_move(face: Face, sample: Path, received: Path, kind: str) -> None:
    port = free_port()
    server = archive(face, sample, paths(sample)[kind])
    server.destinations = {"VIEWER": ("127.0.0.1", port)}
    with running(face, server) as running_server:
        result = face.ask(
            "move",
            running_server.port,
            STUDY,
            called="ARCHIVE",
            calling="VIEWER",
            store=received,
            listen_port=port,
        )
    assert result.raise_for_status().status == 0
    assert (result.progress.completed, len(result.files)) == (3, 3)
    assert uids(received) == {str(pydicom.dcmread(sample / name).SOPInstanceUID) for name in FILES}


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def test_destinations_may_be_looked_up(face: Face, sample: Path, received: Path) -> None:
    asked: list[str] = []
    with running(face, face.new_storage_scp(received, ae_title="STORE")) as storage:
        port = storage.port

        async def where(title: str) -> tuple[str, int] | None:
            asked.append(title)
            return ("127.0.0.1", port) if title == "STORE" else None

        server = archive(face, sample, paths(sample)["a list"])
        server.destinations = where
        assert server.destinations is where
        with running(face, server) as running_server:
            result = face.ask("move", running_server.port, STUDY, "STORE")
            unknown = face.ask("move", running_server.port, STUDY, "ELSEWHERE")
    assert (result.status, result.progress.completed, result.files) == (0, 3, ())
    assert (unknown.status, asked) == (0xA801, ["STORE", "ELSEWHERE"])
    assert len(uids(received)) == 3


def test_what_cannot_be_sent_is_named(
    face: Face, sample: Path, received: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gone = tmp_path / "gone.dcm"
    jpeg = next(path for path in sample.glob("*.dcm") if _is_compressed(path))
    truncated = tmp_path / "truncated.dcm"
    truncated.write_bytes((sample / FILES[1]).read_bytes()[:-2])
    server = archive(face, sample, lambda request: [sample / FILES[0], gone, truncated, jpeg])
    with running(face, server) as running_server, caplog.at_level(logging.ERROR, "dcmnet"):
        with face.connect(running_server.port, contexts=dcmnet.get_contexts()) as association:
            responses = association.get(STUDY, received).wait()
    assert responses.status == 0xB000
    result = responses.result
    assert (result.completed, result.failed) == (1, 3)
    named = [str(pydicom.dcmread(path).SOPInstanceUID) for path in (sample / FILES[1], jpeg)]
    assert sorted(result.failed_sop_instance_uids) == sorted(named)
    assert "gone.dcm" in caplog.text
    assert "truncated.dcm: is truncated" in caplog.text


def _is_compressed(path: Path) -> bool:
    return bool(pydicom.dcmread(path).file_meta.TransferSyntaxUID.is_compressed)


def test_a_store_with_a_handler(face: Face, sample: Path, received: Path) -> None:
    stored: list[str] = []

    def store(request: dcmnet.StoreRequest) -> int:
        stored.append(f"{request.calling_ae_title} -> {request.called_ae_title}")
        return request.save(received / "kept") if len(stored) == 1 else 0xA700

    target = dcmnet.FileStore(directory=received, handler=store, on_stored=lambda request, status: None)
    with running(face, archive(face, sample, paths(sample)["a list"])) as server:
        result = face.ask("get", server.port, STUDY, target, called="ARCHIVE", calling="VIEWER")
    assert (result.progress.completed, result.progress.failed) == (1, 2)
    assert result.files == (received / "kept",)
    assert stored == ["ARCHIVE -> VIEWER"] * 3
    assert len(result.progress.failed_sop_instance_uids) == 2


def test_a_get_is_cancelled(face: Face, sample: Path, received: Path) -> None:
    with running(face, archive(face, sample, lambda request: [sample / FILES[0]] * 300)) as server:
        with face.connect(server.port, contexts=dcmnet.get_contexts()) as association:
            responses = association.get(STUDY, received, cancel_after=1)
            counts = [each.completed for each in responses]
            assert responses.status == 0xFE00
            assert responses.result.remaining + responses.result.completed == 300
            assert counts[0] == 1
            assert responses.result.completed < 300


def test_folders_and_a_handler_that_has_nothing(
    face: Face, sample: Path, received: Path, tmp_path: Path
) -> None:
    (tmp_path / "study").mkdir()
    for name in FILES:
        (tmp_path / "study" / name).write_bytes((sample / name).read_bytes())
    (tmp_path / "study" / "notes.txt").write_text("no DICOM")
    with running(face, archive(face, sample, lambda request: tmp_path / "study")) as server:
        assert face.ask("get", server.port, STUDY, received).progress.completed == 3
    with running(face, archive(face, sample, lambda request: None)) as server:
        assert face.ask("get", server.port, STUDY, received).progress.completed == 0


def test_a_server_that_stores_and_gives(face: Face, sample: Path, received: Path, tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    server = face.new_storage_scp(tmp_path / "archive")
    server.on_get()(lambda request: sorted((tmp_path / "archive").glob("*.dcm")))
    with running(face, server) as running_server:
        assert face.send(running_server.port, [sample / name for name in FILES]).ok
        assert face.ask("get", running_server.port, STUDY, received).progress.completed == 3
    assert len(uids(received)) == 3
