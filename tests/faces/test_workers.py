"""Servers with worker processes: shared limits, workers that die, and the end of it all, on both faces."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import dcmnet
from dcmnet import aio
from dcmnet.storage.node import Handlers
from tests.faces.adapters import PATIENT, Face, LoopThread, Server, running
from tests.faces.wire import (
    DEADLINE,
    ECHO,
    RELEASE_RP,
    RELEASE_RQ,
    RawPeer,
    associate_rq,
    ct_data_set,
    p_data,
    status_of,
    store,
    store_command,
    until,
)

# From Python 3.12 on a fork beside other threads, as the test runner has them, is warned of.
pytestmark = pytest.mark.filterwarnings("default:.*fork.*:DeprecationWarning")

HALF_A_STORE = p_data(3, 3, store_command()) + p_data(3, 0, ct_data_set())


class Crew:
    """Marks that workers leave in a folder: which have begun, and which have answered a C-ECHO."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def watch(self, node: Handlers) -> Handlers:
        """Have a server leave them."""
        folder = self.folder

        def begin(index: int) -> None:
            (folder / f"begun.{index}.{os.getpid()}").touch()

        def echo(core: Any, context: Any, request: Any) -> None:
            (folder / f"echo.0.{os.getpid()}").touch()

        node.on_worker(begin)
        node.on_echo(echo)
        return node

    def begun(self) -> set[int]:
        """Process ids of all workers so far."""
        return self._of("begun.*")

    def echoed(self) -> set[int]:
        """Process ids of the workers that have answered a C-ECHO."""
        return self._of("echo.*")

    def _of(self, pattern: str) -> set[int]:
        return {int(path.name.split(".")[2]) for path in self.folder.glob(pattern)}

    def worker_of(self, peer: RawPeer) -> int:
        """Process id of the worker that serves an association."""
        for path in self.folder.glob("echo.*"):
            path.unlink()
        peer.send(ECHO)
        assert peer.read_status() == 0
        (pid,) = self.echoed()
        return pid


@pytest.fixture
def crew(tmp_path: Path) -> Crew:
    folder = tmp_path / "crew"
    folder.mkdir()
    return Crew(folder)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    """What all processes log; the capturing of the test runner sees this one alone."""
    path = tmp_path / "log"
    handler = logging.FileHandler(path)
    logging.getLogger("dcmnet").addHandler(handler)
    yield path
    logging.getLogger("dcmnet").removeHandler(handler)
    handler.close()


@pytest.fixture
def node(face: Face, crew: Crew, received: Path) -> Handlers:
    """A Storage SCP with two workers that does not run yet."""
    return crew.watch(face.new_storage_scp(received, workers=2))


@pytest.fixture
def workers(face: Face, node: Handlers) -> Iterator[Server]:
    with running(face, node) as server:
        yield server


def lives(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not collected yet does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def one_of_each(crew: Crew, server: Server, stack: ExitStack) -> dict[int, RawPeer]:
    """An association on every worker, by process id."""
    peers = [stack.enter_context(RawPeer.associated(server.port)) for _ in range(2)]
    by_worker = {crew.worker_of(peer): peer for peer in peers}
    assert len(by_worker) == 2
    return by_worker


# ---------------------------------------------------------------------- connections


def test_associations_go_to_the_worker_with_the_fewest(face: Face, crew: Crew, workers: Server) -> None:
    with ExitStack() as stack:
        peers = [stack.enter_context(RawPeer.associated(workers.port)) for _ in range(6)]
        serving = [crew.worker_of(peer) for peer in peers]
        assert sorted(serving.count(pid) for pid in set(serving)) == [3, 3]
        assert set(serving) == crew.begun()
        assert os.getpid() not in serving
        until(lambda: workers.associations == 6)
        for peer in [peer for peer, pid in zip(peers, serving, strict=True) if pid == serving[0]]:
            peer.send(RELEASE_RQ)
            assert peer.read_pdu() == RELEASE_RP
            peer.close()
        until(lambda: workers.associations == 3)
        late = [stack.enter_context(RawPeer.associated(workers.port)) for _ in range(3)]
        assert {crew.worker_of(peer) for peer in late} == {serving[0]}


def test_one_after_the_other(face: Face, crew: Crew, workers: Server) -> None:
    """Also where nobody has more to do than another all get their share."""
    for _ in range(4):
        with face.connect(workers.port) as association:
            assert association.echo().status == 0
    assert crew.echoed() == crew.begun()
    assert workers.addresses == [f"127.0.0.1:{workers.port}"]


def test_objects_arrive(face: Face, workers: Server, received: Path, sample: Path) -> None:
    report = face.send(workers.port, sample)
    assert report.ok
    assert len(list(received.iterdir())) == len(list(sample.iterdir()))


def test_a_coroutine_function_as_a_handler(face: Face, received: Path, ct: Path) -> None:
    node = face.new_server(workers=2, spool=received)
    begun = received / "begun"

    @node.on_worker
    async def begin(index: int) -> None:
        begun.touch()

    @node.on_store
    async def keep(request: dcmnet.StoreRequest) -> int:
        return request.save(received / f"{os.getpid()}.dcm")

    with running(face, node) as server:
        assert face.send(server.port, ct).ok
        assert not (received / f"{os.getpid()}.dcm").exists()
        assert len(list(received.glob("*.dcm"))) == 1
        assert begun.exists()


# ---------------------------------------------------------------------- limits


def test_limits_hold_over_all_workers(face: Face, node: Handlers) -> None:
    node.node.max_associations = 3
    with running(face, node) as server, ExitStack() as stack:
        held = [stack.enter_context(RawPeer.associated(server.port)) for _ in range(3)]
        for _ in range(3):
            with RawPeer.connected(server.port, associate_rq()) as peer:
                assert peer.read_reject() == (2, 3, 2)
            until(lambda: server.associations == 3)
        held[1].send(RELEASE_RQ)
        assert held[1].read_pdu() == RELEASE_RP
        held[1].close()
        until(lambda: server.associations == 2)
        stack.enter_context(RawPeer.associated(server.port))


def test_limits_by_address_hold_over_all_workers(face: Face, node: Handlers) -> None:
    node.node.max_associations_by_peer = 2
    with running(face, node) as server, ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(RawPeer.associated(server.port))
        with RawPeer.connected(server.port, associate_rq()) as peer:
            assert peer.read_reject() == (2, 3, 2)
        until(lambda: server.associations == 2)
        for _ in range(2):  # more than that many are on their way to a rejection: not even answered
            stack.enter_context(RawPeer.connected(server.port))
        until(lambda: server.associations == 4)
        stack.enter_context(RawPeer.connected(server.port)).read_end()
        other = socket.create_connection(("127.0.0.1", server.port), DEADLINE, ("127.0.0.2", 0))
        peer = stack.enter_context(RawPeer(other))
        peer.send(associate_rq())
        assert peer.read_pdu()[:1] == b"\x02"


# ---------------------------------------------------------------------- workers that die


def test_a_worker_that_is_killed(face: Face, node: Handlers, crew: Crew, received: Path, log: Path) -> None:
    """The others go on, nothing of what it had begun is left, its places are free, and another one comes."""
    node.node.max_associations = 2
    with running(face, node) as server, ExitStack() as stack:
        (victim, cut), (other, kept) = one_of_each(crew, server, stack).items()
        kept.send(HALF_A_STORE)
        until(lambda: len(list(received.iterdir())) == 1)
        mine = next(received.iterdir())
        cut.send(HALF_A_STORE)
        until(lambda: len(list(received.iterdir())) == 2)
        os.kill(victim, signal.SIGKILL)
        assert cut.read_pdu() == b""
        until(lambda: list(received.iterdir()) == [mine])
        kept.send(p_data(3, 2, bytes(100)))
        assert kept.read_status() == 0
        assert [path.name for path in received.iterdir()] == ["CT.1.2.3.dcm"]
        until(lambda: len(crew.begun()) == 3)
        late = stack.enter_context(RawPeer.associated(server.port))
        assert crew.worker_of(late) not in (victim, other)
        assert crew.worker_of(kept) == other
    assert (
        f"(process {victim}) was killed by SIGKILL; another one takes its place in 0.1 s" in log.read_text()
    )


class Callers:
    """Four that send object after object, over association after association."""

    def __init__(self, port: int) -> None:
        self.stored: list[str] = []
        self.cut: list[str] = []
        self.wrong: list[bytes] = []
        self.soon_enough = threading.Event()
        self._port = port
        self._threads = [threading.Thread(target=self._call, args=(name,)) for name in range(4)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Ten associations more each."""
        self.soon_enough.set()
        for thread in self._threads:
            thread.join(DEADLINE)

    def _call(self, name: int) -> None:
        after = 0
        while after < 10:
            after += self.soon_enough.is_set()
            uid = f"1.{name}.{len(self.stored)}.{len(self.cut)}.{after}"
            with RawPeer.connected(self._port) as peer:
                try:
                    self._send(peer, uid)
                except ConnectionError:
                    self.cut.append(uid)

    def _send(self, peer: RawPeer, uid: str) -> None:
        self._ask(peer, associate_rq(), b"\x02")
        for number in range(5):
            data_set = ct_data_set(f"{uid}.{number}", pixels=20_000)
            self._ask(peer, store(f"{uid}.{number}", data_set), b"\x04")
            self.stored.append(f"{uid}.{number}")

    def _ask(self, peer: RawPeer, request: bytes, answer: bytes) -> None:
        peer.send(request)
        said = peer.read_pdu()
        if not said:
            raise ConnectionError("the connection has ended")
        if said[:1] != answer or (answer == b"\x04" and status_of(said) != 0):
            self.wrong.append(said)


def test_a_worker_is_killed_under_load(face: Face, node: Handlers, crew: Crew, received: Path) -> None:
    """Only its own associations fail; whatever was answered with success is there, and whole."""
    with running(face, node) as server:
        callers = Callers(server.port)
        until(lambda: len(callers.stored) > 100)
        os.kill(min(crew.begun()), signal.SIGKILL)
        until(lambda: len(crew.begun()) == 3)
        callers.end()
    assert not callers.wrong
    assert len(callers.cut) <= 4
    found = {path.name.removeprefix("CT.").removesuffix(".dcm"): path for path in received.iterdir()}
    assert set(callers.stored) <= set(found)
    assert len(found) <= len(callers.stored) + len(callers.cut)
    for uid, path in found.items():
        assert path.read_bytes().endswith(ct_data_set(uid, pixels=20_000))


def test_every_worker_is_killed(face: Face, node: Handlers, crew: Crew, ct: Path) -> None:
    """Who comes meanwhile waits for the next ones."""
    with running(face, node) as server:
        until(lambda: len(crew.begun()) == 2)
        for pid in crew.begun():
            os.kill(pid, signal.SIGKILL)
        assert face.send(server.port, [ct, ct]).ok
        until(lambda: len(crew.begun()) == 4)


def test_workers_that_die_at_once(face: Face, tmp_path: Path, log: Path) -> None:
    """Each waits longer than the one before, and says what is wrong."""
    node = face.new_server(workers=1)
    times = tmp_path / "times"

    @node.on_worker
    def begin(index: int) -> None:
        with times.open("a") as file:
            file.write(f"{time.monotonic()}\n")
        raise LookupError("no database")

    def tried() -> list[float]:
        return [float(line) for line in times.read_text().split()] if times.exists() else []

    with running(face, node):
        until(lambda: len(tried()) >= 4)
    first, second, third, fourth = tried()[:4]
    assert (second - first >= 0.1, third - second >= 0.2, fourth - third >= 0.4) == (True, True, True)
    said = log.read_text()
    assert "LookupError: no database" in said
    assert "has ended with 1; another one takes its place in 0.4 s" in said


def test_signals_that_end_the_parent_leave_the_workers_to_it(face: Face, crew: Crew, workers: Server) -> None:
    """Ctrl-C and a service manager reach every process; what they mean is decided in one of them."""
    with ExitStack() as stack:
        for pid, peer in one_of_each(crew, workers, stack).items():
            os.kill(pid, signal.SIGINT)
            os.kill(pid, signal.SIGTERM)
            assert crew.worker_of(peer) == pid
    assert len(crew.begun()) == 2


# ---------------------------------------------------------------------- the end


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), DEADLINE).close()
    except ConnectionError:
        return True
    return False


def test_shutdown_lets_all_workers_finish(face: Face, node: Handlers, crew: Crew, received: Path) -> None:
    server = face.start(node)
    port = server.port
    with ExitStack() as stack:
        peers = one_of_each(crew, server, stack)
        for number, peer in enumerate(peers.values()):
            uid = f"1.2.{number}"
            peer.send(p_data(3, 3, store_command(uid)) + p_data(3, 0, ct_data_set(uid)))
        until(lambda: len(list(received.iterdir())) == 2)
        stopping = threading.Thread(target=server.shutdown, args=(DEADLINE,))
        stopping.start()
        until(lambda: refused(port))
        for peer in peers.values():
            peer.send(p_data(3, 2, bytes(100)))
            assert peer.read_status() == 0
            assert stopping.is_alive()
            peer.send(RELEASE_RQ)
            assert peer.read_pdu() == RELEASE_RP
            peer.close()
        stopping.join(DEADLINE)
        assert not stopping.is_alive()
    assert sorted(path.name for path in received.iterdir()) == ["CT.1.2.0.dcm", "CT.1.2.1.dcm"]
    assert not any(map(lives, peers))


def test_shutdown_aborts_what_does_not_finish(face: Face, node: Handlers, crew: Crew, received: Path) -> None:
    server = face.start(node)
    with ExitStack() as stack:
        idle, busy = one_of_each(crew, server, stack).values()
        busy.send(HALF_A_STORE)
        until(lambda: any(received.iterdir()))
        stopping = threading.Thread(target=server.shutdown, args=(0.1,))
        stopping.start()
        assert idle.read_abort() == (0, 0)
        assert busy.read_abort() == (0, 0)
        idle.close()
        busy.close()
        stopping.join(DEADLINE)
        assert not stopping.is_alive()
    assert not any(received.iterdir())


def test_shutdown_is_hastened(face: Face, node: Handlers, crew: Crew) -> None:
    server = face.start(node)
    with ExitStack() as stack:
        peers = one_of_each(crew, server, stack).values()
        port = server.port
        stopping = threading.Thread(target=server.shutdown, args=(DEADLINE,))
        stopping.start()
        until(lambda: refused(port))
        node.hasten_shutdown()  # type: ignore[attr-defined]  # both faces have it
        for peer in peers:
            assert peer.read_abort() == (0, 0)
            peer.close()
        stopping.join(DEADLINE / 2)
        assert not stopping.is_alive()


def test_a_handler_that_never_returns_ends_with_its_worker(
    face: Face, received: Path, crew: Crew, monkeypatch: pytest.MonkeyPatch, log: Path
) -> None:
    monkeypatch.setattr("dcmnet.sync.guests.ABORT_SECONDS", 0.1)
    monkeypatch.setattr("dcmnet.aio.server.ABORT_SECONDS", 0.1)
    node = crew.watch(face.new_server(workers=1, spool=received))

    @node.on_store
    def hang(request: dcmnet.StoreRequest) -> None:
        (received / "entered").touch()
        threading.Event().wait()

    server = face.start(node)
    with RawPeer.associated(server.port) as peer:
        peer.send(store())
        until((received / "entered").exists)
        server.shutdown(0.0)
    assert not any(map(lives, crew.begun()))
    assert "left behind" in log.read_text()


def test_a_worker_that_does_not_end_is_killed(
    face: Face, crew: Crew, monkeypatch: pytest.MonkeyPatch, log: Path
) -> None:
    monkeypatch.setattr("dcmnet._net.supervisor.KILL_SECONDS", 0.2)
    node = crew.watch(face.new_server(workers=2))
    server = face.start(node)
    until(lambda: len(crew.begun()) == 2)
    stopped = min(crew.begun())
    os.kill(stopped, signal.SIGSTOP)
    server.shutdown(0.0)
    assert not any(map(lives, crew.begun()))
    assert f"(process {stopped}) does not end: killed" in log.read_text()


def test_a_handler_stops_its_server(face: Face, received: Path, ct: Path) -> None:
    node = face.new_server(workers=2, spool=received)
    if isinstance(node, dcmnet.Server):
        blocking = node

        @node.on_store
        def keep(request: dcmnet.StoreRequest) -> None:
            assert blocking.associations == 1
            blocking.shutdown(5.0)
    else:
        assert isinstance(node, aio.Server)
        served = node

        @node.on_store
        async def keep_and_stop(request: dcmnet.StoreRequest) -> None:
            assert served.associations == 1
            await served.shutdown(5.0)

    server = face.start(node)
    assert face.send(server.port, ct).ok
    assert server.wait(DEADLINE)
    server.shutdown()


PARENT = {
    "blocking": """
import sys, dcmnet
server = dcmnet.StorageSCP(sys.argv[1], workers=2).start(0)
print(server.port, flush=True)
server.wait()
""",
    "asyncio": """
import asyncio, sys
from dcmnet import aio
async def main():
    server = await aio.StorageSCP(sys.argv[1], workers=2).start(0)
    print(server.port, flush=True)
    await server.wait()
asyncio.run(main())
""",
}


def descendants(pid: int) -> set[int]:
    """The processes that a process has started, and those that these have."""
    lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]  # one a thread
    children = [int(child) for text in lists for child in text.split()]
    return {each for child in children for each in (child, *descendants(child))}


def test_no_orphans(face: Face, received: Path) -> None:
    """Whoever kills the parent ends the workers; what they had begun is gone, and the port is free."""
    command = (sys.executable, "-c", PARENT[face.name], str(received))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        port = int(parent.stdout.readline())
        until(lambda: len(descendants(parent.pid)) == 3)
        crew = descendants(parent.pid)
        with RawPeer.associated(port) as peer:
            peer.send(HALF_A_STORE)
            until(lambda: any(received.iterdir()))
            parent.kill()
            assert peer.read_abort() == (0, 0)
        until(lambda: not any(map(lives, crew)))
    assert not any(received.iterdir())
    assert refused(port)


def test_a_supervisor_that_is_killed(face: Face, received: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = descendants(os.getpid())
    server = face.start(face.new_storage_scp(received, workers=2))
    until(lambda: len(descendants(os.getpid()) - before) == 3)
    crew = descendants(os.getpid()) - before
    (supervisor,) = (pid for pid in crew if crew & descendants(pid))
    os.kill(supervisor, signal.SIGKILL)
    assert server.wait(DEADLINE)
    until(lambda: not any(map(lives, crew)))
    assert "the supervisor of the workers has ended (-9)" in caplog.text
    server.shutdown()


# ---------------------------------------------------------------------- starting


def test_starting_again(face: Face, node: Handlers) -> None:
    for _ in range(3):
        with running(face, node) as server, face.connect(server.port) as association:
            assert association.echo().status == 0
            with pytest.raises(RuntimeError, match="running already"):
                face.start(node)
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.port


def test_a_port_that_is_taken(face: Face, node: Handlers, server: Server) -> None:
    with pytest.raises(OSError, match="in use"):
        face.start(node, server.port)


def test_no_process_to_be_had(face: Face, node: Handlers, monkeypatch: pytest.MonkeyPatch) -> None:
    def fork() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fork", fork)
        with pytest.raises(OSError, match="temporarily unavailable"):
            face.start(node)
    with running(face, node) as server, face.connect(server.port) as association:
        assert association.echo().status == 0


def test_a_system_without_fork(face: Face, node: Handlers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork")
    with pytest.raises(ValueError, match=r"need fork, which this system .* serve with workers=0"):
        face.start(node)


def test_fewer_workers_than_none(face: Face) -> None:
    with pytest.raises(ValueError, match="there cannot be -1 workers"):
        face.new_server(workers=-1)


@pytest.mark.parametrize("module", ["dcmnet", "dcmnet.aio"])
def test_without_workers_nothing_is_loaded_for_them(module: str) -> None:
    code = f"""
import asyncio, inspect, sys, {module} as face
server = face.Server()
async def run():
    for step in (lambda: server.start(0), server.shutdown):
        outcome = step()
        if inspect.isawaitable(outcome):
            await outcome
asyncio.run(run())
print(*sys.modules)
"""
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    found = set(loaded.split())
    assert "dcmnet._net.listening" in found
    assert not found & {"dcmnet._net.crew", "dcmnet._net.supervisor", "mmap", "multiprocessing"}


def test_a_cancelled_serve_ends_the_workers(received: Path, crew: Crew) -> None:
    thread = LoopThread()
    server = aio.StorageSCP(received, timeouts=PATIENT, workers=2)
    crew.watch(server)

    async def serve() -> None:
        task = asyncio.ensure_future(server.serve(0))
        await asyncio.sleep(0)
        async with aio.connect("127.0.0.1", server.port) as association:
            assert (await association.echo()).status == 0
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    thread.call(serve())
    thread.close()
    assert crew.begun()
    assert not any(map(lives, crew.begun()))


def test_a_worker_without_descriptors_gives_a_connection_back(face: Face, crew: Crew, log: Path) -> None:
    """It waits, as it would in the queue of a listening socket, until there is room for it."""
    node = crew.watch(face.new_server(workers=1))
    begin = node.node.hooks.worker
    assert begin is not None

    @node.on_worker
    def limit(index: int) -> None:
        begin(index)
        lowest_free = os.dup(0)
        os.close(lowest_free)
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free + 16, hard))

    with running(face, node) as server, ExitStack() as stack:
        peers = [stack.enter_context(RawPeer.connected(server.port, associate_rq())) for _ in range(20)]
        until(lambda: log.exists() and "this process has no descriptor left" in log.read_text())
        for peer in peers:
            assert peer.read_pdu()[:1] == b"\x02"
            peer.close()
    assert len(crew.begun()) == 1


def has_stopped(pid: int) -> bool:
    """Whether every thread of a process has taken note of SIGSTOP."""
    states = [
        path.read_text().rpartition(")")[2].split()[0] for path in Path(f"/proc/{pid}/task").glob("*/stat")
    ]
    return set(states) == {"T"}


def test_a_held_up_worker_keeps_few_connections(face: Face, crew: Crew, node: Handlers) -> None:
    """Others are served meanwhile, and it when the worker goes on."""
    with running(face, node) as server, ExitStack() as stack:
        until(lambda: len(crew.begun()) == 2)
        stopped = min(crew.begun())
        os.kill(stopped, signal.SIGSTOP)
        try:
            until(lambda: has_stopped(stopped))  # a thread that is at it may take one connection before
            peers = [stack.enter_context(RawPeer.connected(server.port, associate_rq())) for _ in range(10)]
            until(lambda: len(select.select([peer.sock for peer in peers], [], [], 0)[0]) >= 8)
        finally:
            os.kill(stopped, signal.SIGCONT)
        for peer in peers:
            assert peer.read_pdu()[:1] == b"\x02"
            peer.close()


def test_a_second_call_does_not_wait_for_aborts(face: Face, node: Handlers, crew: Crew) -> None:
    server = face.start(node)
    with ExitStack() as stack:
        peers = one_of_each(crew, server, stack)
        stopping = threading.Thread(target=server.shutdown, args=(DEADLINE,))
        port = server.port
        stopping.start()
        until(lambda: refused(port))
        for _ in range(2):  # the peers do not close: workers would wait for that
            node.hasten_shutdown()  # type: ignore[attr-defined]  # both faces have it
            for peer in peers.values():
                peer.read_pdu()
        stopping.join(DEADLINE)
        assert not stopping.is_alive()
    assert not any(map(lives, peers))


def test_a_stress_of_short_associations(face: Face, node: Handlers) -> None:
    """Nothing is left of them: no descriptor in the supervisor or in a worker, and no count."""

    def some() -> None:
        for _ in range(50):
            with RawPeer.associated(server.port) as peer:
                peer.send(RELEASE_RQ)
                assert peer.read_pdu() == RELEASE_RP
            with RawPeer.connected(server.port, associate_rq()) as peer:
                peer.reset()

    def descriptors() -> dict[int, int]:
        return {pid: len(os.listdir(f"/proc/{pid}/fd")) for pid in crew}

    before = descendants(os.getpid())
    with running(face, node) as server:
        some()
        crew = descendants(os.getpid()) - before
        assert len(crew) == 3
        until(lambda: server.associations == 0)
        settled = descriptors()
        threads = [threading.Thread(target=some) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
        until(lambda: server.associations == 0)
        until(lambda: all(count <= settled[pid] + 1 for pid, count in descriptors().items()))
