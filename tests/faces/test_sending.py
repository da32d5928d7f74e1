"""What `send` and `store` do with every kind of source, and with peers that fail in the middle."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

import dcmnet
from dcmnet import aio
from dcmnet.limits import Timeouts
from dcmnet.ul.provider import UpperLayer
from tests.faces.adapters import PATIENT, AsyncioFace, Face, LoopThread, Server, running
from tests.faces.wire import (
    ABORT,
    CT,
    DEADLINE,
    EXPLICIT,
    Acceptor,
    RawPeer,
    associate_ac,
    command,
    p_data,
    uid_element,
    us_element,
)

CONTEXTS = (dcmnet.ProposedContext(abstract_syntax=CT, transfer_syntaxes=(EXPLICIT,)),)
NO_WRITE_TIMER = Timeouts(write=None, artim=5.0, dimse=10.0)


def accepting(then: Callable[[RawPeer], None]) -> Callable[[RawPeer], None]:
    def script(peer: RawPeer) -> None:
        assert peer.read_pdu()[:1] == b"\x01"
        peer.send(associate_ac([(1, EXPLICIT)]))
        then(peer)

    return script


def read_data_set(peer: RawPeer) -> None:
    """A whole C-STORE-RQ."""
    while peer.read_pdu()[11] != 2:
        pass


def response(status: int, message_id: int = 1) -> bytes:
    return p_data(
        1,
        3,
        command(
            uid_element(0x0002, CT),
            us_element(0x0100, 0x8001),
            us_element(0x0120, message_id),
            us_element(0x0800, 0x0101),
            us_element(0x0900, status),
        ),
    )


def data_set_bytes(path: Path) -> bytes:
    """A Part 10 file behind its File Meta Information."""
    whole = path.read_bytes()
    length = int.from_bytes(whole[140:144], "little")
    return whole[144 + length :]


# ---------------------------------------------------------------------- sources


def test_a_folder(face: Face, server: Server, sample: Path, received: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    shutil.copytree(sample, folder / "deep")
    (folder / "README.md").write_text("not DICOM")
    report = face.send(server.port, folder)
    assert report.ok
    assert report.stored == 6
    assert [Path(name).name for name, _ in report.skipped] == ["README.md"]
    sent = {data_set_bytes(path) for path in sample.glob("*.dcm")}
    assert {data_set_bytes(path) for path in received.iterdir()} == sent


def test_each_kind_of_source(face: Face, server: Server, sample: Path, received: Path) -> None:
    with open(sample / "ct-3.dcm", "rb") as opened:
        sources = [
            sample / "ct-1.dcm",
            str(sample / "ct-2.dcm"),
            opened,
            io.BytesIO((sample / "mr.dcm").read_bytes()),
            pydicom.dcmread(sample / "report.dcm"),
        ]
        report = face.send(server.port, sources)
    assert [result.status for result in report.results] == [0] * 5
    assert len(list(received.iterdir())) == 5
    assert {data_set_bytes(path) for path in received.glob("CT*")} == {
        data_set_bytes(sample / f"ct-{number}.dcm") for number in (1, 2, 3)
    }


def test_a_file_object_without_descriptor(face: Face, server: Server, ct: Path) -> None:
    class Stream(io.RawIOBase):
        def __init__(self) -> None:
            self._data = io.BytesIO(ct.read_bytes())

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
            return self._data.readinto(buffer)

    assert face.send(server.port, Stream()).ok


def test_what_cannot_be_sent_is_in_the_report(face: Face, server: Server, tmp_path: Path, ct: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not DICOM")
    report = face.send(server.port, [tmp_path / "missing.dcm", text, ct])
    assert [isinstance(result.error, dcmnet.InputFileError) for result in report.results] == [
        True,
        True,
        False,
    ]
    assert not report.ok
    with pytest.raises(dcmnet.StatusError, match="2 of 3 objects not stored"):
        report.raise_for_failures()


def test_store_on_an_association(face: Face, server: Server, ct: Path, received: Path) -> None:
    with face.connect(server.port, contexts=CONTEXTS) as association:
        assert association.store(ct).status == 0
        with pytest.raises(dcmnet.InputFileError):
            association.store(ct.parent / "nothing.dcm")
        assert association.store(io.BytesIO(ct.read_bytes())).status == 0
    assert [data_set_bytes(path) for path in received.iterdir()] == [data_set_bytes(ct)]


def test_a_big_object_arrives_as_it_is(face: Face, server: Server, big_ct: Path, received: Path) -> None:
    assert face.send(server.port, big_ct).ok
    (path,) = received.iterdir()
    assert data_set_bytes(path) == data_set_bytes(big_ct)


def test_a_failure_status_is_a_result(face: Face, ct: Path) -> None:
    def script(peer: RawPeer) -> None:
        read_data_set(peer)
        peer.send(response(0xA701))
        peer.read_pdu()  # A-RELEASE-RQ

    with Acceptor(accepting(script)) as acceptor:
        report = face.send(acceptor.port, ct)
    assert report.results[0].status == 0xA701
    assert not report.ok


def test_send_to_nobody(face: Face, ct: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody else gets the port, and nobody listens on it
        with pytest.raises(dcmnet.TransportClosed):
            face.send(taken.getsockname()[1], ct)


# ---------------------------------------------------------------------- peers that fail in the middle


def test_an_abort_is_seen_while_sending(face: Face, big_ct: Path) -> None:
    """The peer aborts in the middle and reads no more: the sender sees it all the same."""
    seen = threading.Event()

    def script(peer: RawPeer) -> None:
        peer.read(70_000)
        peer.send(ABORT)
        assert seen.wait(DEADLINE)

    with Acceptor(accepting(script)) as acceptor:
        report = face.send(acceptor.port, [big_ct, big_ct], timeouts=NO_WRITE_TIMER)
        seen.set()
    errors = [type(result.error) for result in report.results]
    assert errors == [dcmnet.AssociationAborted, dcmnet.TransportClosed]  # nothing listens any more


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_connection_lost_while_sending(face: Face, big_ct: Path, how: str) -> None:
    def script(peer: RawPeer) -> None:
        peer.read(70_000)
        peer.close() if how == "close" else peer.reset()

    with Acceptor(accepting(script)) as acceptor:
        report = face.send(acceptor.port, big_ct)
    assert type(report.results[0].error) is dcmnet.TransportClosed


def test_a_peer_that_stops_reading(face: Face, big_ct: Path) -> None:
    done = threading.Event()

    def script(peer: RawPeer) -> None:
        peer.read(70_000)
        assert done.wait(DEADLINE)

    with Acceptor(accepting(script)) as acceptor:
        report = face.send(acceptor.port, big_ct, timeouts=Timeouts(write=0.3, artim=5.0))
        done.set()
    error = report.results[0].error
    assert isinstance(error, dcmnet.DeadlineExceeded)
    assert error.timer == "write"


def test_a_peer_that_talks_instead_of_reading(face: Face, big_ct: Path) -> None:
    """What it says fills the receive buffer and no more; the write timer runs nevertheless."""
    done = threading.Event()

    def script(peer: RawPeer) -> None:
        peer.read(70_000)
        peer.sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            while not done.is_set():
                peer.sock.send(p_data(1, 0, bytes(4096)))
        assert done.wait(DEADLINE)

    with Acceptor(accepting(script)) as acceptor:
        report = face.send(acceptor.port, big_ct, timeouts=Timeouts(write=0.3, artim=0.3))
        done.set()
    assert isinstance(report.results[0].error, dcmnet.DeadlineExceeded)


def test_an_answer_before_the_end(face: Face, big_ct: Path) -> None:
    def script(peer: RawPeer) -> None:
        peer.read_pdu()
        peer.send(response(0xA700))
        read_data_set(peer)
        peer.read_pdu()

    with Acceptor(accepting(script)) as acceptor:
        assert face.send(acceptor.port, big_ct).results[0].status == 0xA700


def test_a_file_that_becomes_shorter_while_it_is_sent(face: Face, big_ct: Path) -> None:
    def script(peer: RawPeer) -> None:
        peer.read_pdu()
        os.truncate(big_ct, 1 << 20)
        while (received := peer.read_pdu())[:1] == b"\x04":
            assert received[11] != 2, "the data set was finished with something else"
        assert received == ABORT

    with Acceptor(accepting(script)) as acceptor:
        report = face.send(acceptor.port, big_ct)
    assert isinstance(report.results[0].error, dcmnet.InputFileError)


def test_a_file_that_vanishes_before_it_is_sent(face: Face, server: Server, tmp_path: Path, ct: Path) -> None:
    first, second = tmp_path / "1.dcm", tmp_path / "2.dcm"
    for path in (first, second):
        shutil.copy(ct, path)
    report = face.send(server.port, [first, second], on_start=lambda _: first.unlink())
    assert [result.ok for result in report.results] == [False, True]
    assert isinstance(report.results[0].error, dcmnet.InputFileError)


def test_a_callback_that_fails_aborts(face: Face, ct: Path) -> None:
    def script(peer: RawPeer) -> None:
        read_data_set(peer)
        peer.send(response(0))
        assert peer.read_abort() == (0, 0)

    def fail(result: dcmnet.StoreResult) -> None:
        raise ZeroDivisionError

    with Acceptor(accepting(script)) as acceptor, pytest.raises(ZeroDivisionError):
        face.send(acceptor.port, [ct, ct], on_result=fail)


# ---------------------------------------------------------------------- cancellation and Ctrl-C


def test_a_cancelled_store_aborts(big_ct: Path) -> None:
    """The whole object is out, the answer is due: an A-ABORT goes out, the socket and the file are closed."""
    face = AsyncioFace()
    waiting = threading.Event()

    def script(peer: RawPeer) -> None:
        read_data_set(peer)
        waiting.set()
        assert peer.read_abort() == (0, 0)

    _cancel_a_store(face.thread, script, big_ct, waiting)
    face.close()


def test_a_store_that_is_cancelled_in_the_middle_of_a_pdu_closes(big_ct: Path) -> None:
    """Bytes of an A-ABORT would be taken for pixels: the connection is closed at once."""
    face = AsyncioFace()
    stuck, closed = threading.Event(), threading.Event()

    def script(peer: RawPeer) -> None:
        peer.read(70_000)
        stuck.set()
        assert closed.wait(DEADLINE)
        while peer.read(1 << 20):
            pass

    _cancel_a_store(face.thread, script, big_ct, stuck, closed)
    face.close()


def _cancel_a_store(
    thread: LoopThread,
    script: Callable[[RawPeer], None],
    path: Path,
    when: threading.Event,
    done: threading.Event | None = None,
) -> None:
    async def store(port: int) -> None:
        async with aio.connect("127.0.0.1", port, contexts=CONTEXTS, timeouts=PATIENT) as association:
            task = asyncio.ensure_future(association.store(path))
            await asyncio.get_running_loop().run_in_executor(None, when.wait, DEADLINE)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not association.is_established
        if done is not None:
            done.set()

    with Acceptor(accepting(script)) as acceptor:
        thread.call(store(acceptor.port))


def test_a_transfer_that_is_cancelled_between_objects_aborts(ct: Path) -> None:
    face = AsyncioFace()

    def script(peer: RawPeer) -> None:
        read_data_set(peer)
        peer.send(response(0))
        assert peer.read_abort() == (0, 0)

    async def transfer(port: int) -> None:
        loop = asyncio.get_running_loop()
        tasks: list[asyncio.Task[dcmnet.Report]] = []

        def cancel(_: dcmnet.StoreResult) -> None:
            loop.call_soon_threadsafe(tasks[0].cancel)
            threading.Event().wait(0.05)

        tasks.append(asyncio.ensure_future(aio.send("127.0.0.1", port, [ct, ct], on_result=cancel)))
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]

    with Acceptor(accepting(script)) as acceptor:
        face.thread.call(transfer(acceptor.port))
    face.close()


@pytest.mark.parametrize("stop_reading", [False, True])
@pytest.mark.parametrize("blocking", [True, False])
def test_ctrl_c(big_ct: Path, blocking: bool, stop_reading: bool) -> None:
    main = threading.main_thread().ident
    assert main is not None
    ended = threading.Event()
    timeouts = Timeouts(artim=0.3 if stop_reading else 5.0)

    def script(peer: RawPeer) -> None:
        if stop_reading:
            peer.read(70_000)
        else:
            read_data_set(peer)
        signal.pthread_kill(main, signal.SIGINT)
        if stop_reading:
            assert ended.wait(DEADLINE)
            while peer.read(1 << 20):
                pass
        else:
            assert peer.read_abort() == (0, 0)

    with Acceptor(accepting(script)) as acceptor:
        with pytest.raises(KeyboardInterrupt):
            if blocking:
                dcmnet.send("127.0.0.1", acceptor.port, big_ct, timeouts=timeouts)
            else:
                asyncio.run(aio.send("127.0.0.1", acceptor.port, big_ct, timeouts=timeouts))
        ended.set()


def test_a_connect_that_is_cancelled_leaves_nothing() -> None:
    face = AsyncioFace()
    waiting = threading.Event()

    def script(peer: RawPeer) -> None:
        peer.read_pdu()
        waiting.set()
        assert peer.read_abort() == (0, 0)

    async def connect(port: int) -> None:
        async def establish() -> None:
            await aio.connect("127.0.0.1", port, timeouts=PATIENT)

        task = asyncio.ensure_future(establish())
        await asyncio.get_running_loop().run_in_executor(None, waiting.wait, DEADLINE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with Acceptor(script) as acceptor:
        face.thread.call(connect(acceptor.port))
    face.close()


def test_cancelled_twice_does_not_wait(received: Path) -> None:
    """The first cancellation aborts and waits for the peer to close; the second one does not."""
    face = AsyncioFace()
    waiting, done = threading.Event(), threading.Event()

    def script(peer: RawPeer) -> None:
        peer.read_pdu()
        waiting.set()
        peer.read_abort()
        waiting.set()
        assert done.wait(DEADLINE)

    async def echo(port: int) -> None:
        association = await aio.connect("127.0.0.1", port, timeouts=Timeouts(artim=None))
        task = asyncio.ensure_future(association.echo())
        for _ in range(2):
            await asyncio.get_running_loop().run_in_executor(None, waiting.wait, DEADLINE)
            waiting.clear()
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(task), DEADLINE)
        done.set()

    def accept(peer: RawPeer) -> None:
        peer.read_pdu()
        peer.send(associate_ac([(1, "1.2.840.10008.1.2")]))
        script(peer)

    with Acceptor(accept) as acceptor:
        face.thread.call(echo(acceptor.port))
    face.close()


def test_many_at_once(face: Face, received: Path, sample: Path) -> None:
    with running(face, face.new_storage_scp(received)) as server:
        reports: list[dcmnet.Report] = []
        threads = [
            threading.Thread(target=lambda: reports.append(face.send(server.port, sample))) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
    assert [report.stored for report in reports] == [6] * 8
    assert len(list(received.iterdir())) == 6


def test_ctrl_c_between_two_effects(ct: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no effect is under way the procedure cannot be told: the connection is closed all the same."""
    closed = threading.Event()

    def script(peer: RawPeer) -> None:
        while peer.read(1 << 20):
            pass
        closed.set()

    calls = iter(range(10))

    def interrupted(self: UpperLayer, now: float) -> None:
        if next(calls) == 2:
            raise KeyboardInterrupt

    with Acceptor(accepting(script)) as acceptor:
        association = dcmnet.connect("127.0.0.1", acceptor.port, contexts=CONTEXTS)
        monkeypatch.setattr(UpperLayer, "advance", interrupted)
        with pytest.raises(KeyboardInterrupt):
            association.store(ct)
        assert closed.wait(DEADLINE)


def test_what_a_generator_yields_is_sent(face: Face, ct: Path, received: Path) -> None:
    with running(face, face.new_storage_scp(received)) as server:
        report = face.send(server.port, (path for path in [ct, ct.with_name("ct-2.dcm")]))
    assert (report.ok, report.stored) == (True, 2)


def test_nothing_to_send_is_no_success(face: Face, received: Path) -> None:
    with running(face, face.new_storage_scp(received)) as server:
        report = face.send(server.port, iter(()))
    assert not report.ok
