"""What a server makes of the objects it receives, the same on both faces."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import threading
import time
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any

import pytest

import dcmnet
from dcmnet.services.storage import Outcome, Reception
from dcmnet.storage.scp import FileStore
from tests.faces.adapters import Face, Server, running
from tests.faces.wire import (
    ABORT,
    CT,
    DEADLINE,
    ECHO,
    RawPeer,
    associate_rq,
    context,
    ct_data_set,
    p_data,
    store,
    store_command,
    until,
)

SOON = 5.0
"""Seconds: more than any answer takes on a busy machine, and far less than who is held up would wait."""

OTHER_CT = "1.2.840.10008.5.1.4.1.1.2.1"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def is_empty(folder: Path) -> bool:
    return not any(folder.iterdir())


# ---------------------------------------------------------------------- handlers


def test_a_handler_that_saves(face: Face, received: Path, ct: Path, tmp_path: Path) -> None:
    seen: list[dcmnet.StoreRequest] = []
    node = face.new_server("ARCHIVE", spool=tmp_path)

    @node.on_store
    def keep(request: dcmnet.StoreRequest) -> int:
        seen.append(request)
        request.state["count"] = request.state.get("count", 0) + 1
        assert request.dataset().PatientName == "DEMO^DCMNET"
        status = request.save(f"{received}/sub/")
        assert request.dataset(stop_before_pixels=True).SOPInstanceUID == request.sop_instance_uid
        return status

    with running(face, node) as server:
        assert face.send(server.port, [ct, ct.with_name("ct-2.dcm")], calling="ME", called="ARCHIVE").ok
    assert len(names(received / "sub")) == 2
    assert (seen[0].calling_ae_title, seen[0].called_ae_title) == ("ME", "ARCHIVE")
    assert seen[0].size == 74890
    assert seen[0].peer.startswith("127.0.0.1:")
    assert seen[1].state == {"count": 2}


def test_a_handler_that_is_a_coroutine_function(face: Face, received: Path, sample: Path) -> None:
    node = face.new_server(spool=received)

    @node.on_store
    async def keep(request: dcmnet.StoreRequest) -> int:
        await asyncio.sleep(0)
        return request.save(received)

    with running(face, node) as server:
        assert face.send(server.port, sample).ok
    assert len(names(received)) == 6


@pytest.mark.parametrize("answer", [0x0000, 0xB000, 0xA702, 0x0124])
@pytest.mark.parametrize("coroutine", [False, True])
def test_a_handler_that_gives_a_status(
    face: Face, received: Path, ct: Path, answer: int, coroutine: bool
) -> None:
    node = face.new_server(spool=received)

    def plain(request: dcmnet.StoreRequest) -> int:
        return answer

    async def awaited(request: dcmnet.StoreRequest) -> int:
        return answer

    node.on_store(awaited if coroutine else plain)
    with running(face, node) as server:
        assert face.send(server.port, ct).statuses == {answer: 1}
    assert is_empty(received)


@pytest.mark.parametrize("error", [ValueError("mine"), StopIteration(), "text"])
@pytest.mark.parametrize("coroutine", [False, True])
def test_a_handler_that_fails(
    face: Face, received: Path, ct: Path, error: Any, coroutine: bool, caplog: pytest.LogCaptureFixture
) -> None:
    node = face.new_server(spool=received)

    def plain(request: dcmnet.StoreRequest) -> Any:
        if isinstance(error, str):
            return error
        raise error

    async def awaited(request: dcmnet.StoreRequest) -> Any:
        return plain(request)

    node.on_store(awaited if coroutine else plain)
    with running(face, node) as server:
        report = face.send(server.port, [ct, ct])
    assert report.statuses == {0x0110: 2}
    assert "the handler failed" in caplog.text
    assert "mine" not in report.results[0].comment
    assert is_empty(received)


def test_a_handler_whose_folder_is_gone(face: Face, received: Path, ct: Path) -> None:
    node = face.new_server(spool=received)

    @node.on_store
    def keep(request: dcmnet.StoreRequest) -> int:
        return request.save(received / "nowhere" / "name.dcm")

    with running(face, node) as server:
        assert face.send(server.port, ct).statuses == {0xA700: 1}
    assert is_empty(received)


def test_slow_handlers_do_not_hold_up_others(face: Face, received: Path, ct: Path) -> None:
    """More of them than an event loop's default executor has threads."""
    go_on = threading.Event()
    node = face.new_server(spool=received)
    slow = max(40, 2 * (os.cpu_count() or 1))
    entered = threading.Semaphore(0)

    @node.on_store
    def keep(request: dcmnet.StoreRequest) -> int | None:
        if request.calling_ae_title == "SLOW":
            entered.release()
            assert go_on.wait(DEADLINE)
        return None

    reports: list[dcmnet.Report] = []

    def send(calling: str) -> None:
        reports.append(face.send(server.port, ct, calling=calling))

    with running(face, node) as server:
        threads = [threading.Thread(target=send, args=("SLOW",)) for _ in range(slow)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(slow if face.name == "blocking" else min(slow, 20)):
                assert entered.acquire(timeout=DEADLINE)
            with RawPeer.associated(server.port) as peer:
                peer.send(store())
                assert peer.read_status() == 0
        finally:
            go_on.set()
            for thread in threads:
                thread.join(DEADLINE)
    assert [report.ok for report in reports] == [True] * slow


class SlowDisk(FileStore):
    """A store whose writes wait until they may go on, for one caller."""

    go_on: threading.Event
    entered: threading.Semaphore

    def begin(self, core: Any, context: Any, request: Any) -> Reception | Outcome:
        reception = FileStore.begin(self, core, context, request)
        slow = core.agreed.calling_ae_title == "SLOW" and not isinstance(reception, tuple)
        return SlowReception(reception, self) if slow else reception  # type: ignore[arg-type]


class SlowReception:
    def __init__(self, reception: Reception, disk: SlowDisk) -> None:
        self._reception = reception
        self._disk = disk

    def write(self, views: Sequence[memoryview]) -> None:
        self._disk.entered.release()
        assert self._disk.go_on.wait(DEADLINE)
        self._reception.write(views)

    def commit(self, views: Sequence[memoryview]) -> Outcome | Awaitable[Outcome]:
        return self._reception.commit(views)

    def discard(self, error: BaseException | None) -> Outcome:
        return self._reception.discard(error)


def test_a_slow_disk_does_not_hold_up_others(face: Face, received: Path, big_ct: Path) -> None:
    """While eight files cannot be written, others are answered at once, 200 times."""
    node = face.new_storage_scp(received)
    disk = SlowDisk(directory=received)
    disk.go_on, disk.entered = threading.Event(), threading.Semaphore(0)
    node.node.store = disk
    reports: list[dcmnet.Report] = []

    def send() -> None:
        reports.append(face.send(server.port, big_ct, calling="SLOW"))

    with running(face, node) as server:
        threads = [threading.Thread(target=send) for _ in range(8)]
        for thread in threads:
            thread.start()
        try:
            for _ in threads:
                assert disk.entered.acquire(timeout=DEADLINE)
            longest = 0.0
            with RawPeer.associated(server.port) as peer:
                for number in range(100):
                    for request in (ECHO, store(f"1.2.{number}")):
                        begun = time.monotonic()
                        peer.send(request)
                        assert peer.read_status() == 0
                        longest = max(longest, time.monotonic() - begun)
            assert longest < SOON
        finally:
            disk.go_on.set()
            for thread in threads:
                thread.join(DEADLINE)
    assert [report.ok for report in reports] == [True] * len(threads)


# ---------------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("ways", "statuses", "count"),
    [
        (dcmnet.Duplicates.REPLACE, [0, 0, 0], 1),
        (dcmnet.Duplicates.KEEP, [0, 0, 0], 1),
        (dcmnet.Duplicates.RENAME, [0, 0, 0], 3),
        (dcmnet.Duplicates.REFUSE, [0, 0x0111, 0x0111], 1),
    ],
)
def test_duplicates(
    face: Face, received: Path, ways: dcmnet.Duplicates, statuses: list[int], count: int
) -> None:
    with (
        running(face, face.new_storage_scp(received, duplicates=ways)) as server,
        RawPeer.associated(server.port) as peer,
    ):
        answers = []
        for pixels in (64, 66, 68):
            peer.send(store("1.2.3", ct_data_set(pixels=pixels)))
            answers.append(peer.read_status())
    assert answers == statuses
    assert len(names(received)) == count
    whole = (received / "CT.1.2.3.dcm").read_bytes()
    assert whole.endswith(ct_data_set(pixels=68 if ways is dcmnet.Duplicates.REPLACE else 64))


def test_a_full_disk(face: Face, server: Server, received: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first write is cut short, as it is when a disk becomes full, the next one fails."""
    real = os.writev

    def writev(fd: int, views: Sequence[Any]) -> int:
        return real(fd, [memoryview(views[0])[:100]])

    def write(fd: int, data: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with RawPeer.associated(server.port) as peer:
        with monkeypatch.context() as patched:
            patched.setattr(os, "writev", writev)
            patched.setattr("dcmnet.storage.files.os.write", write)
            peer.send(p_data(3, 3, store_command()) + p_data(3, 0, ct_data_set()) + p_data(3, 2, bytes(500)))
            assert peer.read_status() == 0xA700
        assert is_empty(received)
        peer.send(store())
        assert peer.read_status() == 0
    assert names(received) == ["CT.1.2.3.dcm"]


def test_a_folder_that_was_removed(face: Face, server: Server, received: Path) -> None:
    with RawPeer.associated(server.port) as peer:
        shutil.rmtree(received)
        peer.send(store())
        assert peer.read_status() == 0xA700
        received.mkdir()
        peer.send(store())
        assert peer.read_status() == 0
    assert names(received) == ["CT.1.2.3.dcm"]


def test_a_folder_that_is_removed_while_an_object_comes(face: Face, server: Server, received: Path) -> None:
    with RawPeer.associated(server.port) as peer:
        peer.send(p_data(3, 3, store_command()) + p_data(3, 0, ct_data_set()))
        until(lambda: not is_empty(received))
        shutil.rmtree(received)
        peer.send(p_data(3, 2, bytes(100)))
        assert peer.read_status() == 0xA700
        received.mkdir()
        peer.send(store())
        assert peer.read_status() == 0
    assert names(received) == ["CT.1.2.3.dcm"]


@pytest.mark.parametrize("how", ["abort", "close", "reset", "release", "command", "silence"])
def test_half_an_object_leaves_nothing(face: Face, received: Path, how: str) -> None:
    # time enough to see the file before the timer runs out
    timeouts = dcmnet.Timeouts(artim=1.0, dimse=2.0 if how == "silence" else DEADLINE)
    node = face.new_storage_scp(received, timeouts=timeouts)
    with running(face, node) as server, RawPeer.associated(server.port) as peer:
        peer.send(p_data(3, 3, store_command()) + p_data(3, 0, ct_data_set()))
        until(lambda: not is_empty(received))
        match how:
            case "abort":
                peer.send(ABORT)
            case "close":
                peer.close()
            case "reset":
                peer.reset()
            case "release":
                peer.send(bytes.fromhex("05000000000400000000"))
                peer.read_abort()
            case "command":
                peer.send(p_data(3, 3, store_command()))
                assert peer.read_abort() == (2, 5)
            case "silence":
                assert peer.read_abort() == (0, 0)
        until(lambda: is_empty(received))
        until(lambda: server.associations == 0)


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "uid", ["1..2", "1.2.", ".1", "1.a", "..", "../../etc/passwd", "/etc/passwd", "1.2 3", "1/2", "1\\2"]
)
def test_a_bad_sop_instance_uid(face: Face, server: Server, received: Path, uid: str) -> None:
    """V-11, V-22: refused with 0117, or with an A-ABORT where no UID can look like that; never a path."""
    with RawPeer.associated(server.port) as peer:
        peer.send(store(uid, ct_data_set()))
        answer = peer.read_pdu()
        assert answer[:1] == b"\x07" or b"\x17\x01" in answer
    assert is_empty(received)
    assert sorted(os.listdir(received.parent)) == [received.name]


@pytest.mark.parametrize(
    ("data_set", "status"),
    [
        (ct_data_set("1.2.4"), 0xA900),
        (ct_data_set(sop_class=OTHER_CT), 0xA900),
        (ct_data_set()[46:], 0xC000),
    ],
)
def test_a_contradicting_data_set(
    face: Face, server: Server, received: Path, data_set: bytes, status: int
) -> None:
    with RawPeer.associated(server.port) as peer:
        peer.send(store("1.2.3", data_set))
        assert peer.read_status() == status
        peer.send(store())
        assert peer.read_status() == 0
    assert names(received) == ["CT.1.2.3.dcm"]


def test_a_sop_class_that_is_not_the_contexts(face: Face, server: Server, received: Path) -> None:
    with RawPeer.associated(server.port) as peer:
        peer.send(p_data(3, 3, store_command(sop_class=OTHER_CT)) + p_data(3, 2, ct_data_set()))
        assert peer.read_status() == 0x0122
    assert is_empty(received)


def test_store_where_there_is_no_store(face: Face) -> None:
    with running(face, face.new_server()) as server:
        with RawPeer.connected(server.port, associate_rq(context() + context(3, CT))) as peer:
            answer = peer.read_pdu()
            assert bytes((0x21, 0)) in answer
            peer.send(p_data(1, 3, store_command()) + p_data(1, 2, bytes(100)))
            assert peer.read_status() == 0x0211


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_however_the_bytes_are_cut(face: Face, server: Server, received: Path, size: int) -> None:
    data = ct_data_set(pixels=200)
    stream = p_data(3, 3, store_command()) + b"".join(
        p_data(3, 2 if start + 50 >= len(data) else 0, data[start : start + 50])
        for start in range(0, len(data), 50)
    )
    with RawPeer.associated(server.port) as peer:
        for start in range(0, len(stream), size):
            peer.send(stream[start : start + size])
        assert peer.read_status() == 0
    (path,) = received.iterdir()
    assert path.read_bytes().endswith(data)
