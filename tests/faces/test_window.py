"""Several operations under way on an association (PS3.7 D.3.3.3), and several associations for a transfer."""

from __future__ import annotations

import asyncio
import os
import queue
import select
import signal
import socket
import struct
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import dcmnet
from dcmnet.aio.driver import Driver as AioDriver
from dcmnet.limits import REST_AFTER, Limits
from dcmnet.procedures.association import new_core
from dcmnet.procedures.effects import Close, Finished, Procedure, Receive, Start
from dcmnet.sync.driver import Driver
from tests.faces.adapters import PATIENT, Face, Server, running
from tests.faces.test_sending import accepting, data_set_bytes, read_data_set, response
from tests.faces.wire import (
    ABORT,
    DEADLINE,
    EXPLICIT,
    RELEASE_RP,
    USER_ITEMS,
    Acceptor,
    RawPeer,
    associate_ac,
    associate_rq,
    item,
    store,
)
from tests.unit.objects import data_set, write_file


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Thirty objects, small, middling and large."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(30):
        extra = {3: 100_000, 4: 527_000, 20: 3_000_000}.get(number, 0)
        data = data_set(f"1.2.{number}") + bytes(extra)
        write_file(folder / f"{number:02}.dcm", f"1.2.{number}", data=data)
    return folder


def all_of(folder: Path) -> set[bytes]:
    return {data_set_bytes(path) for path in folder.iterdir()}


@pytest.mark.parametrize("window", [2, 16, 100])
@pytest.mark.parametrize("parallel", [1, 3])
def test_every_object_arrives(
    face: Face, server: Server, many: Path, received: Path, window: int, parallel: int
) -> None:
    told: list[str] = []
    report = face.send(
        server.port,
        many,
        window=window,
        parallel=parallel,
        on_result=lambda result: told.append(result.name),
    )
    assert report.ok
    assert (report.stored, report.associations) == (30, parallel)
    assert sorted(told) == sorted(str(path) for path in many.iterdir())
    assert all_of(received) == all_of(many)


def test_a_slow_handler_does_not_hold_the_others(face: Face, many: Path) -> None:
    """The first object is kept for as long as it takes to answer for all the others."""
    server = face.new_server("ANY-SCP")
    others = threading.Semaphore(0)
    running_now = Counter[str]()
    most = 0

    @server.on_store
    def store(request: dcmnet.StoreRequest) -> None:
        nonlocal most
        running_now["handlers"] += 1
        most = max(most, running_now["handlers"])
        if request.sop_instance_uid == "1.2.0":
            for _ in range(29):
                assert others.acquire(timeout=DEADLINE)
        running_now["handlers"] -= 1

    def told(result: dcmnet.StoreResult) -> None:
        others.release()

    with running(face, server) as started:
        report = face.send(started.port, many, window=8, on_result=told)
    assert report.ok
    assert report.results[-1].sop_instance_uid == "1.2.0"
    assert 1 < most <= 8


def test_a_server_that_takes_one_at_a_time(face: Face, many: Path) -> None:
    server = face.new_server("ANY-SCP", max_window=1)
    order: list[str] = []

    @server.on_store
    def store(request: dcmnet.StoreRequest) -> None:
        order.append(request.sop_instance_uid)

    with running(face, server) as started:
        assert face.send(started.port, many, window=8).ok
    assert order == [f"1.2.{number}" for number in range(30)]


def test_a_coroutine_function_as_handler(face: Face, many: Path) -> None:
    server = face.new_server("ANY-SCP")

    @server.on_store
    async def store(request: dcmnet.StoreRequest) -> int:
        return 0xB000 if request.sop_instance_uid == "1.2.7" else 0

    with running(face, server) as started:
        report = face.send(started.port, many, window=8)
    assert report.ok
    assert [each.sop_instance_uid for each in report.results if each.status] == ["1.2.7"]


def test_a_handler_that_fails(face: Face, many: Path) -> None:
    server = face.new_server("ANY-SCP")
    server.node.hooks.failed = lambda *_: None

    @server.on_store
    def store(request: dcmnet.StoreRequest) -> None:
        if request.sop_instance_uid in ("1.2.7", "1.2.20"):
            raise ZeroDivisionError

    with running(face, server) as started:
        report = face.send(started.port, many, window=8)
    assert {each.sop_instance_uid: each.status for each in report.results if each.status} == {
        "1.2.7": 0x0110,
        "1.2.20": 0x0110,
    }
    assert (report.stored, report.associations) == (28, 1)


@pytest.mark.parametrize("how", ["abort", "close"])
def test_a_peer_that_ends_it_with_a_full_window(face: Face, many: Path, how: str) -> None:
    """Two are answered, in the other order; each of the others has one outcome."""

    def script(peer: RawPeer) -> None:
        for _ in range(4):
            read_data_set(peer)
        peer.send(response(0, 2) + response(0, 1))
        if how == "abort":
            peer.send(ABORT)
        peer.close()

    with Acceptor(windowed(script, 4)) as peer:
        told: list[str] = []
        report = face.send(peer.port, many, window=4, on_result=lambda each: told.append(each.name))
    assert [each.status for each in report.results[:2]] == [0, 0]
    assert [each.sop_instance_uid for each in report.results[:2]] == ["1.2.1", "1.2.0"]
    assert sorted(told) == sorted(str(path) for path in many.iterdir())
    assert report.failed == 28


def ask_for(window: int) -> bytes:
    """An A-ASSOCIATE-RQ that asks for a window."""
    return associate_rq(user_items=USER_ITEMS + item(0x53, struct.pack(">HH", window, 1)))


def test_an_abort_right_behind_an_object(face: Face, received: Path) -> None:
    """The object is kept or not, and nothing of it stays under way."""
    server = face.new_storage_scp(received)
    ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
    server.node.hooks.ended = lambda _, error: ended.put(error)
    with running(face, server) as started, RawPeer.associated(started.port, ask_for(4)) as peer:
        peer.send(store() + ABORT)
        assert isinstance(ended.get(timeout=DEADLINE), dcmnet.AssociationAborted)
    assert [path.name for path in received.iterdir() if path.name.startswith(".")] == []


def windowed(then: Any, window: int) -> Any:
    def script(peer: RawPeer) -> None:
        assert peer.read_pdu()[:1] == b"\x01"
        peer.send(associate_ac([(1, EXPLICIT)], window=window))
        then(peer)

    return script


def test_a_peer_that_answers_without_the_item_gets_lockstep(face: Face, many: Path) -> None:
    seen: list[int] = []

    def script(peer: RawPeer) -> None:
        for number in range(1, 31):
            read_data_set(peer)
            seen.append(number)
            assert select.select([peer.sock], [], [], 0)[0] == []
            peer.send(response(0, number))
        assert peer.read_pdu()[:1] == b"\x05"
        peer.send(RELEASE_RP)

    with Acceptor(accepting(script)) as peer:
        assert face.send(peer.port, many, window=32).ok
    assert len(seen) == 30


def test_a_server_that_is_stopped_with_a_full_window(face: Face, many: Path) -> None:
    """What it has begun to keep it finishes; whoever sent it learns of each object once."""
    server = face.new_server("ANY-SCP")
    started_to_keep, go_on = threading.Semaphore(0), threading.Event()

    @server.on_store
    def store(request: dcmnet.StoreRequest) -> None:
        started_to_keep.release()
        assert go_on.wait(DEADLINE)

    reports: list[Any] = []
    with running(face, server) as started:
        port = started.port
        thread = threading.Thread(target=lambda: reports.append(face.send(port, many, window=4)))
        thread.start()
        for _ in range(4):
            assert started_to_keep.acquire(timeout=DEADLINE)
        stopper = threading.Thread(target=started.shutdown, args=(0.0,))
        stopper.start()
        go_on.set()
        stopper.join(DEADLINE)
        thread.join(DEADLINE)
    (report,) = reports
    assert len(report.results) == 30
    assert len({each.name for each in report.results}) == 30


@pytest.mark.parametrize(("window", "parallel"), [(0, 1), (1001, 1), (1, 0)])
def test_numbers_that_cannot_be(face: Face, window: int, parallel: int) -> None:
    with pytest.raises(ValueError, match="expected 1"):
        face.send(1, [], window=window, parallel=parallel)


def test_ctrl_c_while_several_associations_connect(many: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that does not even answer to that is not waited for."""
    attempts = threading.Semaphore(0)
    connect = Driver._connect_one

    def connecting(*args: Any) -> None:
        attempts.release()
        connect(*args)

    def press() -> None:
        for _ in range(2):
            assert attempts.acquire(timeout=DEADLINE)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Driver, "_connect_one", connecting)
    with ExitStack() as sockets, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):  # no more fit into its queue: the next ones hear nothing
            sock = sockets.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        pressing = threading.Thread(target=press)
        pressing.start()
        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            dcmnet.send("127.0.0.1", listener.getsockname()[1], many, parallel=2)
        pressing.join()
    assert time.monotonic() - begun < 25  # the timer for connecting has 30 s


def test_no_more_threads_for_several_associations(
    many: Path, received: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that have begun do not go on behind the back of who was told."""
    start = threading.Thread.start
    begun: list[threading.Thread] = []

    def short(thread: threading.Thread) -> None:
        if thread.name == "dcmnet-association":
            if len(begun) == 2:
                raise RuntimeError("can't start new thread")
            begun.append(thread)
        start(thread)

    with dcmnet.StorageSCP(received).start(0) as server:
        monkeypatch.setattr(threading.Thread, "start", short)
        with pytest.raises(RuntimeError, match="new thread"):
            dcmnet.send("127.0.0.1", server.port, many, parallel=4, on_result=lambda _: None)
        assert [thread.is_alive() for thread in begun] == [False, False]


def test_what_is_found_after_the_transfer_has_stopped(face: Face, tmp_path: Path, received: Path) -> None:
    """The window has taken all that was found, and the last one of it cannot be opened."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    for number in range(1100):
        write_file(folder / f"{number:04}.dcm", f"1.2.{number}")
    with running(face, face.new_storage_scp(received, max_window=1000)) as started:
        report = face.send(
            started.port,
            folder,
            window=1000,
            halt=True,
            on_start=lambda found: Path(found[-1].name).unlink(),
        )
    assert (len(report.results), report.stored) == (1100, 999)


def test_ctrl_c_with_several_associations(many: Path) -> None:
    """A hook that raises ends all of them."""
    with dcmnet.StorageSCP(many.parent, "ANY-SCP").start(0) as server:

        def stop(_: Any) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            dcmnet.send("127.0.0.1", server.port, many, parallel=4, on_result=stop)


def test_an_operation_that_ends_while_other_tasks_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a PDU has arrived; the end of the operation must not wait for the other half."""
    finished = Finished(Start(print, (), lambda _: iter(()), print))  # type: ignore[arg-type,return-value]

    async def receive() -> object:
        core = new_core(requestor=False, timeouts=PATIENT, limits=Limits())
        with socket.create_server(("127.0.0.1", 0)) as listener:
            peers = socket.create_connection(listener.getsockname())
            mine, _ = listener.accept()
        with mine, peers:
            driver = AioDriver(core, mine)

            async def turn() -> None:
                driver._finished.append(finished)

            monkeypatch.setattr(driver, "_take_turns", turn)
            peers.send(b"\x01\0")
            async with asyncio.timeout(REST_AFTER / 2):
                outcome = await driver.run(one(Receive()))
            await driver._close(Close())
            return outcome

    assert asyncio.run(receive()) is finished


def one(effect: Receive) -> Procedure[Any]:
    return (yield effect)
