"""Hooks, limits and shutdown of the servers, the same on both faces."""

from __future__ import annotations

import asyncio
import errno
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import dcmnet
from dcmnet import aio
from dcmnet._net.admission import Verdict
from dcmnet.sync.lookout import SLOW_STEPS
from tests.faces.adapters import PATIENT, QUICK, BlockingFace, Face, LoopThread, Server, running
from tests.faces.wire import (
    CT,
    DEADLINE,
    ECHO,
    RELEASE_RP,
    RELEASE_RQ,
    RawPeer,
    associate_rq,
    ct_data_set,
    p_data,
    store,
    store_command,
    until,
)


@pytest.fixture(params=["function", "coroutine"])
def wrap(request: pytest.FixtureRequest) -> Any:
    """Make a coroutine function of a hook, or not."""

    def as_coroutine(hook: Any) -> Any:
        async def called(*args: Any) -> Any:
            return hook(*args)

        return called

    return as_coroutine if request.param == "coroutine" else lambda hook: hook


def test_on_association_refuses(face: Face, wrap: Any) -> None:
    node = face.new_server()

    def check(request: dcmnet.AssociationRequest) -> None:
        if request.calling_ae_title == "FOE":
            raise dcmnet.AssociationRejected(2, 1, 1)

    node.on_association(wrap(check))
    with running(face, node) as server:
        with pytest.raises(dcmnet.AssociationRejected) as caught:
            face.connect(server.port, calling="FOE")
        assert (caught.value.result, caught.value.source, caught.value.reason) == (2, 1, 1)
        with face.connect(server.port, calling="FRIEND") as association:
            assert association.echo().status == 0


@pytest.mark.parametrize("error", [RuntimeError("mine"), StopIteration()])
def test_on_association_fails(
    face: Face, wrap: Any, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    node = face.new_server()

    def check(request: dcmnet.AssociationRequest) -> None:
        raise error

    node.on_association(wrap(check))
    with running(face, node) as server:
        for _ in range(2):  # the server goes on
            with pytest.raises(dcmnet.AssociationAborted) as caught:
                face.connect(server.port)
            assert (caught.value.source, caught.value.reason) == (0, 0)
        until(lambda: server.associations == 0)
    assert "a handler failed" in caplog.text


def test_on_echo(face: Face, wrap: Any) -> None:
    node = face.new_server()
    node.on_echo(
        wrap(lambda core, context, request: 0x0124 if core.agreed.calling_ae_title == "FOE" else None)
    )
    with running(face, node) as server:
        for title, status in (("FOE", 0x0124), ("FRIEND", 0)):
            with face.connect(server.port, calling=title) as association:
                assert association.echo().status == status


def test_hooks_at_the_turns_of_an_association(face: Face, wrap: Any) -> None:
    node = face.new_server()
    turns: list[tuple[str, Any]] = []
    ended = threading.Semaphore(0)

    def end(core: Any, error: BaseException | None) -> None:
        turns.append(("ended", type(error)))
        ended.release()

    node.node.hooks.accepted = wrap(lambda core: turns.append(("accepted", core.agreed.calling_ae_title)))
    node.node.hooks.released = wrap(lambda core: turns.append(("released", core.agreed.calling_ae_title)))
    node.on_ended(wrap(end))
    with running(face, node) as server:
        face.connect(server.port, calling="ONE").release()
        assert ended.acquire(timeout=DEADLINE)
        face.connect(server.port, calling="TWO").abort()
        assert ended.acquire(timeout=DEADLINE)
    assert turns == [
        ("accepted", "ONE"),
        ("released", "ONE"),
        ("ended", type(None)),
        ("accepted", "TWO"),
        ("ended", dcmnet.AssociationAborted),
    ]


def test_on_ended_fails(face: Face, wrap: Any, caplog: pytest.LogCaptureFixture) -> None:
    node = face.new_server()

    def end(core: Any, error: BaseException | None) -> None:
        raise RuntimeError("mine")

    node.on_ended(wrap(end))
    with running(face, node) as server:
        for _ in range(2):
            face.connect(server.port).release()
        until(lambda: server.associations == 0)
    assert "a hook failed" in caplog.text


# ---------------------------------------------------------------------- limits


def test_too_many_associations(face: Face, received: Path) -> None:
    node = face.new_storage_scp(received)
    node.node.max_associations = 3
    with running(face, node) as server, ExitStack() as stack:
        held = [stack.enter_context(RawPeer.associated(server.port)) for _ in range(3)]
        for _ in range(3):
            with RawPeer.connected(server.port, associate_rq()) as peer:
                assert peer.read_reject() == (2, 3, 2)
            until(lambda: server.associations == 3)
        held[0].send(ECHO)
        assert held[0].read_status() == 0
        held[1].send(RELEASE_RQ)
        assert held[1].read_pdu() == RELEASE_RP
        held[1].close()
        until(lambda: server.associations == 2)
        stack.enter_context(RawPeer.associated(server.port))


def test_far_too_many_associations_are_not_even_answered(face: Face, received: Path) -> None:
    node = face.new_storage_scp(received)
    node.node.max_associations = 2
    with running(face, node) as server, ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(RawPeer.connected(server.port))
        until(lambda: server.associations == 4)
        stack.enter_context(RawPeer.connected(server.port)).read_end()


def test_too_many_associations_from_one_address(face: Face, received: Path) -> None:
    node = face.new_storage_scp(received)
    node.node.max_associations_by_peer = 2
    with running(face, node) as server, ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(RawPeer.associated(server.port))
        with RawPeer.connected(server.port, associate_rq()) as peer:
            assert peer.read_reject() == (2, 3, 2)
        other = socket.create_connection(("127.0.0.1", server.port), DEADLINE, ("127.0.0.2", 0))
        with RawPeer(other) as peer:
            peer.send(associate_rq())
            assert peer.read_pdu()[:1] == b"\x02"


def test_one_address_locks_nobody_out(face: Face, received: Path) -> None:
    """What is over the limit of an address is rejected or closed, and fills no place of another's."""
    node = face.new_storage_scp(received)
    node.node.max_associations, node.node.max_associations_by_peer = 4, 2
    with running(face, node) as server, ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(RawPeer.associated(server.port))
        for _ in range(2):  # silent: they would have to ask before they can be rejected
            stack.enter_context(RawPeer.connected(server.port))
        until(lambda: server.associations == 4)
        stack.enter_context(RawPeer.connected(server.port)).read_end()
        address = ("127.0.0.1", server.port)
        for _ in range(2):
            other = socket.create_connection(address, DEADLINE, ("127.0.0.2", 0))
            peer = stack.enter_context(RawPeer(other))
            peer.send(associate_rq())
            assert peer.read_pdu()[:1] == b"\x02"


@pytest.fixture
def few_descriptors() -> Iterator[int]:
    """A soft limit that can be reached."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_no_descriptors_left(face: Face, received: Path, few_descriptors: int) -> None:
    """A server that cannot accept waits until it can."""
    with running(face, face.new_storage_scp(received)) as server, ExitStack() as stack:
        waiting = [stack.enter_context(RawPeer.connected(server.port)) for _ in range(5)]
        until(lambda: server.associations == 5)
        client = socket.socket()
        stack.callback(client.close)
        highest = client.fileno()
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, few_descriptors))
        client.connect(("127.0.0.1", server.port))
        with pytest.raises(OSError) as caught:
            socket.socket()
        assert caught.value.errno == errno.EMFILE
        for peer in waiting:
            peer.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (few_descriptors, few_descriptors))
        late = RawPeer(client)
        late.send(associate_rq())
        assert late.read_pdu()[:1] == b"\x02"


# ---------------------------------------------------------------------- shutdown


def test_shutdown_lets_associations_finish(face: Face, received: Path) -> None:
    server = face.start(face.new_storage_scp(received))
    port = server.port
    with RawPeer.associated(port) as peer:
        peer.send(p_data(3, 3, store_command()) + p_data(3, 0, ct_data_set()))
        until(lambda: any(received.iterdir()))
        stopping = threading.Thread(target=server.shutdown, args=(DEADLINE,))
        stopping.start()
        until(lambda: not _listens(port))
        peer.send(p_data(3, 2, bytes(100)))
        assert peer.read_status() == 0
        peer.send(RELEASE_RQ)
        assert peer.read_pdu() == RELEASE_RP
    stopping.join(DEADLINE)
    assert not stopping.is_alive()
    assert [path.name for path in received.iterdir()] == ["CT.1.2.3.dcm"]


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), DEADLINE).close()
    except ConnectionError:
        return False
    return True


def test_shutdown_aborts_what_does_not_finish(face: Face, received: Path) -> None:
    server = face.start(face.new_storage_scp(received))
    with RawPeer.associated(server.port) as idle, RawPeer.associated(server.port) as busy:
        busy.send(p_data(3, 3, store_command()) + p_data(3, 0, ct_data_set()))
        until(lambda: any(received.iterdir()))
        stopping = threading.Thread(target=server.shutdown, args=(0.1,))
        stopping.start()
        assert idle.read_abort() == (0, 0)
        assert busy.read_abort() == (0, 0)
    stopping.join(DEADLINE)
    assert not stopping.is_alive()
    assert not any(received.iterdir())


def test_shutdown_aborts_a_peer_that_never_stops_sending(face: Face, received: Path) -> None:
    node = face.new_storage_scp(received, timeouts=dcmnet.Timeouts(artim=1.0))
    server = face.start(node)
    stop = threading.Event()

    def flood(peer: RawPeer) -> None:
        block = p_data(3, 0, bytes(16000)) * 20
        while not stop.is_set():
            peer.send_as_far_as_it_goes(block)

    with RawPeer.associated(server.port) as peer:
        peer.send(p_data(3, 3, store_command()) + p_data(3, 0, ct_data_set()))
        flooding = threading.Thread(target=flood, args=(peer,))
        flooding.start()
        try:
            until(lambda: any(path.stat().st_size > 1 << 20 for path in received.iterdir()))
            stopping = threading.Thread(target=server.shutdown, args=(0.0,))
            stopping.start()
            stopping.join(DEADLINE)
            assert not stopping.is_alive()
        finally:
            stop.set()
            flooding.join(DEADLINE)
    assert not any(received.iterdir())


def test_shutdown_does_not_wait_for_a_peer_that_was_told_goodbye(face: Face, received: Path) -> None:
    """RELEASE-RP or RJ are out, the peer does not close: nothing is left to wait for."""
    server = face.start(
        face.new_storage_scp(received, require_called_ae_title=True, timeouts=dcmnet.Timeouts(artim=None))
    )
    with (
        RawPeer.associated(server.port, associate_rq(called=b"DCMNET")) as released,
        RawPeer.connected(server.port, associate_rq()) as rejected,
    ):
        released.send(RELEASE_RQ)
        assert released.read_pdu() == RELEASE_RP
        assert rejected.read_reject() == (1, 1, 7)
        stopping = threading.Thread(target=server.shutdown, args=(0.0,))
        stopping.start()
        stopping.join(DEADLINE)
        assert not stopping.is_alive()


def test_shutdown_does_not_wait_for_a_peer_that_hangs(face: Face, received: Path) -> None:
    timeouts = dcmnet.Timeouts(artim=None, network=None, write=None)
    server = face.start(face.new_storage_scp(received, timeouts=timeouts))
    with RawPeer.associated(server.port) as peer:
        server.shutdown(0.0)
        assert peer.read_abort() == (0, 0)
        peer.read_end()


def test_shutdown_leaves_a_handler_behind_that_never_returns(
    face: Face, received: Path, ct: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dcmnet.sync.guests.ABORT_SECONDS", 0.1)
    monkeypatch.setattr("dcmnet.aio.server.ABORT_SECONDS", 0.1)
    node = face.new_server(spool=received)
    entered, leave, ended = threading.Event(), threading.Event(), threading.Event()

    @node.on_store
    def hang(request: dcmnet.StoreRequest) -> None:
        entered.set()
        leave.wait(DEADLINE)

    node.on_ended(lambda core, error: ended.set())
    server = face.start(node)
    with RawPeer.associated(server.port) as peer:
        peer.send(store())
        assert entered.wait(DEADLINE)
        server.shutdown(0.0)
        assert "left behind" in caplog.text
        assert not ended.is_set()
        leave.set()
        assert ended.wait(DEADLINE)


def test_shutdown_before_start_and_twice(face: Face, received: Path) -> None:
    node = face.new_storage_scp(received)
    server = face.start(node)
    assert not server.wait(0.01)
    server.shutdown(0)
    server.shutdown(0)
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.port


def test_a_shutdown_that_was_interrupted(received: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while it drains, and the end of a `with` behind that: the second one ends what is left."""
    server = dcmnet.StorageSCP(received, timeouts=PATIENT).start(0)

    def interrupted(drain: float) -> None:
        raise KeyboardInterrupt

    with RawPeer.associated(server.port) as peer:
        with monkeypatch.context() as patch:
            patch.setattr(server._associations, "end", interrupted)
            with pytest.raises(KeyboardInterrupt):
                server.shutdown(DEADLINE)
        again = threading.Thread(target=server.shutdown, args=(0.0,), daemon=True)
        again.start()
        assert peer.read_abort() == (0, 0)
        again.join(DEADLINE)
        assert not again.is_alive()


def test_slow_handlers_of_several_associations(received: Path) -> None:
    """They wait for each other, object by object: none is called after another."""
    server = dcmnet.Server(spool=received, timeouts=PATIENT)
    barrier = threading.Barrier(4)

    @server.on_store
    def meet(request: dcmnet.StoreRequest) -> None:
        barrier.wait(DEADLINE)

    with running(BlockingFace(), server) as running_server, ExitStack() as stack:
        peers = [stack.enter_context(RawPeer.associated(running_server.port)) for _ in range(4)]
        for _ in range(5):
            for peer in peers:
                peer.send(store())
            assert [peer.read_status() for peer in peers] == [0] * 4


def test_an_association_with_a_slow_handler_does_not_keep_the_lookout(received: Path) -> None:
    """It is too quick for anybody to take over, and slow enough to be noticed."""
    server = dcmnet.Server(spool=received, timeouts=PATIENT)
    never = threading.Event()

    @server.on_store
    def wait(request: dcmnet.StoreRequest) -> None:
        never.wait(0.004)

    with running(BlockingFace(), server) as running_server, RawPeer.associated(running_server.port) as peer:
        for _ in range(SLOW_STEPS):
            peer.send(store())
            assert peer.read_status() == 0
        until(lambda: [each.slow_steps >= SLOW_STEPS for each in server._associations.present] == [True])


HANGING = """
import sys, threading, dcmnet, dcmnet.sync.guests
from tests.faces.test_window import ask_for
from tests.faces.wire import RawPeer, store

dcmnet.sync.guests.ABORT_SECONDS = 0.1
entered = threading.Event()
server = dcmnet.Server(spool=sys.argv[1])

@server.on_store
def hang(request):
    entered.set()
    threading.Event().wait()

server.start(0)
peer = RawPeer.associated(server.port, ask_for(4))
peer.send(store())
assert entered.wait(30)
server.shutdown(0.0)
"""


HANGING_IN_A_LOOP = """
import asyncio, sys, threading, dcmnet, dcmnet.aio.server
from tests.faces.test_window import ask_for
from tests.faces.wire import RawPeer, store

dcmnet.aio.server.ABORT_SECONDS = 0.1
entered = threading.Event()
server = dcmnet.aio.Server(spool=sys.argv[1])

@server.on_store
def hang(request):
    entered.set()
    threading.Event().wait()

def send(port):
    peer = RawPeer.associated(port, ask_for(4))
    peer.send(store())
    assert entered.wait(30)
    return peer

async def main():
    await server.start(0)
    peer = await asyncio.to_thread(send, server.port)
    await server.shutdown(0.0)

loop = asyncio.new_event_loop()
loop.run_until_complete(main())
"""


@pytest.mark.parametrize("program", [HANGING, HANGING_IN_A_LOOP])
def test_a_handler_that_never_returns_does_not_hold_the_end_of_the_program(
    received: Path, program: str
) -> None:
    run = subprocess.run(
        [sys.executable, "-c", program, received], timeout=3 * DEADLINE, check=True, capture_output=True
    )
    assert b"left behind" in run.stderr


def test_a_connection_whose_task_is_cancelled_before_it_begins(received: Path) -> None:
    ended: list[str] = []

    async def cancel_at_once() -> int:
        async with aio.StorageSCP(received) as server:
            await server.start(0)
            connection, peer = socket.socketpair()
            with peer:
                server._begin_task(connection, "peer", Verdict.SERVE, lambda: ended.append("counted"))
                server.hasten_shutdown()
                await server.shutdown(0.0)
            return connection.fileno()

    assert asyncio.run(cancel_at_once()) == -1
    assert ended == ["counted"]


def test_starting_twice(face: Face, received: Path) -> None:
    node = face.new_storage_scp(received)
    with running(face, node), pytest.raises(RuntimeError, match="running already"):
        face.start(node)


def test_starting_again(face: Face, received: Path) -> None:
    node = face.new_storage_scp(received)
    for _ in range(3):
        with running(face, node) as server, face.connect(server.port) as association:
            assert association.echo().status == 0


def test_a_port_that_is_taken(face: Face, server: Server, received: Path) -> None:
    with pytest.raises(OSError) as caught:
        face.start(face.new_storage_scp(received), server.port)
    assert caught.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize("window", [1, 4])
def test_a_handler_may_stop_its_server(face: Face, received: Path, ct: Path, window: int) -> None:
    node = face.new_server(spool=received)
    if isinstance(node, dcmnet.Server):
        blocking = node

        @node.on_store
        def keep(request: dcmnet.StoreRequest) -> None:
            blocking.shutdown(DEADLINE)
    else:
        assert isinstance(node, aio.Server)
        served = node

        @node.on_store
        async def keep_and_stop(request: dcmnet.StoreRequest) -> None:
            await served.shutdown(DEADLINE)

    server = face.start(node)
    assert face.send(server.port, ct, window=window).ok
    server.shutdown()


def test_serve_returns_when_all_is_over(received: Path) -> None:
    """`serve` does not return while the `shutdown` of another thread still drains."""
    server = dcmnet.StorageSCP(received, timeouts=PATIENT)
    serving = threading.Thread(target=server.serve, args=(0,))
    serving.start()
    until(lambda: server._listener is not None)
    with RawPeer.associated(server.port) as peer:
        stopping = threading.Thread(target=server.shutdown, args=(DEADLINE,))
        stopping.start()
        assert stopping.is_alive()
        serving.join(0.1)
        assert serving.is_alive()
        peer.send(RELEASE_RQ)
        assert peer.read_pdu() == RELEASE_RP
    serving.join(DEADLINE)
    stopping.join(DEADLINE)
    assert not serving.is_alive()


def test_a_cancelled_serve_shuts_down(received: Path) -> None:
    thread = LoopThread()
    server = aio.StorageSCP(received, timeouts=QUICK)

    async def serve() -> None:
        task = asyncio.ensure_future(server.serve(0))
        await asyncio.sleep(0)
        association = await aio.connect("127.0.0.1", server.port)
        await association.release()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    thread.call(serve())
    thread.close()


def test_with_blocks(received: Path, ct: Path) -> None:
    with dcmnet.StorageSCP(received).start(0) as server:
        assert dcmnet.send("127.0.0.1", server.port, ct).ok
        assert server.associations >= 0

    async def use() -> None:
        async with await aio.StorageSCP(received).start(0) as served:
            assert (await aio.StorageSCU("127.0.0.1", served.port).add(ct, ct).send()).stored == 2

    asyncio.run(use())


def test_an_association_of_a_server_without_a_store(face: Face) -> None:
    with running(face, face.new_server()) as server:
        contexts = (dcmnet.ProposedContext(abstract_syntax=CT, transfer_syntaxes=("1.2.840.10008.1.2",)),)
        with face.connect(server.port, contexts=contexts) as association:
            assert association.accepted_contexts == ()
            assert len(association.negotiated.rejected) == 1


def test_store_and_echo_take_turns(face: Face, server: Server) -> None:
    with RawPeer.associated(server.port) as peer:
        peer.send((store() + ECHO) * 50)  # nobody waits for an answer
        for _ in range(100):
            assert peer.read_status() == 0
