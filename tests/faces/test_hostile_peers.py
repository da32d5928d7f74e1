"""Peers that are slow, silent or rude: each ends at its deadline, and none of them delays a good one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

import dcmnet
from dcmnet.services.defaults import DEFAULT_CONTEXTS
from tests.faces.adapters import Face, Server, running
from tests.faces.wire import (
    ABORT,
    DEADLINE,
    ECHO,
    RawPeer,
    associate_rq,
    ct_data_set,
    p_data,
    pieces,
    store,
    store_command,
    until,
)

SHORT = dcmnet.Timeouts(
    artim=0.5, dimse=0.7, network=0.7, write=0.5, minimum_rate=5000, minimum_rate_period=0.5
)
HALF = p_data(3, 3, store_command()) + p_data(3, 0, ct_data_set(pixels=5000))


@pytest.fixture
def server(face: Face, received: Path) -> Iterator[Server]:
    with running(face, face.new_storage_scp(received, timeouts=SHORT)) as server:
        yield server


class Trickle:
    """Sends a byte now and then, from a thread, until the other side has had enough."""

    def __init__(self, peer: RawPeer, data: bytes) -> None:
        self._peer = peer
        self._data = data
        self._pause = threading.Event()
        self.thread = threading.Thread(target=self._send, daemon=True)
        self.thread.start()

    def _send(self) -> None:
        with suppress(OSError):
            for byte in pieces(self._data, 1):
                if self._pause.wait(0.01):
                    return
                self._peer.sock.sendall(byte)

    def stop(self) -> None:
        self._pause.set()
        self.thread.join(DEADLINE)
        assert not self.thread.is_alive()


def read_all(peer: RawPeer) -> bytes:
    """Everything up to the end of the connection."""
    data = b""
    while piece := peer.read(65536):
        data += piece
    return data


TRICKLES = {
    "request": (b"", associate_rq()),
    "header": (associate_rq(), b"\x04\0\0\0\0\x20" * 1),
    "long request": (b"", associate_rq(length=1 << 20) + bytes(20_000)),
    "data": (associate_rq(), HALF + bytes(20_000)),
    "zeros behind an abort": (b"\xff" * 10, bytes(20_000)),
}


@pytest.mark.parametrize("what", TRICKLES)
def test_a_byte_now_and_then(server: Server, received: Path, what: str) -> None:
    """Slow loris: the timers that end it are not restarted by single bytes."""
    first, then = TRICKLES[what]
    with RawPeer.connected(server.port, first) as peer:
        if first == associate_rq():
            assert peer.read_pdu()[:1] == b"\x02"
        if what == "data":
            peer.send(HALF)
            then = p_data(3, 0, bytes(20_000))
        trickle = Trickle(peer, then)
        rest = read_all(peer)
        trickle.stop()
    assert rest in (b"", ABORT)
    until(lambda: server.associations == 0)
    assert not any(received.iterdir())


def test_a_trickle_that_is_fast_enough(face: Face, received: Path) -> None:
    """The minimum rate does not hit a peer that keeps it."""
    timeouts = dcmnet.Timeouts(minimum_rate=1, minimum_rate_period=0.5)
    data = ct_data_set(pixels=20)
    with (
        running(face, face.new_storage_scp(received, timeouts=timeouts)) as server,
        RawPeer.associated(server.port) as peer,
    ):
        peer.send(p_data(3, 3, store_command()))
        trickle = Trickle(peer, p_data(3, 2, data))
        assert peer.read_status() == 0
        trickle.stop()


def test_a_peer_that_asks_and_never_reads(server: Server) -> None:
    with RawPeer.associated(server.port) as peer:
        with suppress(ConnectionError):
            while True:
                peer.send(ECHO * 500)
        until(lambda: server.associations == 0)


def test_a_reset_in_the_middle(server: Server, received: Path) -> None:
    for _ in range(50):
        peer = RawPeer.associated(server.port)
        peer.send(HALF)
        peer.reset()
    until(lambda: server.associations == 0)
    assert not any(received.iterdir())


def _silent(port: int) -> RawPeer:
    return RawPeer.connected(port)


def _half_a_header(port: int) -> RawPeer:
    return RawPeer.connected(port, associate_rq()[:3])


def _half_a_request(port: int) -> RawPeer:
    return RawPeer.connected(port, associate_rq()[:90])


def _half_an_object(port: int) -> RawPeer:
    peer = RawPeer.associated(port)
    peer.send(HALF)
    return peer


def _never_reads(port: int) -> RawPeer:
    peer = RawPeer.associated(port)
    peer.sock.setblocking(False)
    with suppress(BlockingIOError, ConnectionError):
        for _ in range(10):  # enough to be busy with; a flood is another test's
            peer.sock.send(ECHO * 100)
    peer.sock.settimeout(DEADLINE)
    return peer


def _rude(port: int) -> RawPeer:
    return RawPeer.connected(port, b"\xff" * 100)


def _resets(port: int) -> RawPeer:
    peer = _half_an_object(port)
    peer.reset()
    return peer


KINDS: tuple[Callable[[int], RawPeer], ...] = (
    _silent,
    _half_a_header,
    _half_a_request,
    _half_an_object,
    _never_reads,
    _rude,
    _resets,
)


def test_two_hundred_of_them_do_not_delay_a_good_one(face: Face, received: Path, ct: Path) -> None:
    """While 200 hang, 20 echoes and stores are served, long before any deadline of the others."""
    patient = dcmnet.Timeouts(artim=DEADLINE, dimse=DEADLINE, network=DEADLINE, write=DEADLINE)
    server = face.start(face.new_storage_scp(received, timeouts=patient))
    with ExitStack() as stack:
        peers = [stack.enter_context(KINDS[number % len(KINDS)](server.port)) for number in range(200)]
        before = server.associations
        assert before > 100
        contexts = (
            *DEFAULT_CONTEXTS,
            dcmnet.ProposedContext(
                abstract_syntax="1.2.840.10008.5.1.4.1.1.2", transfer_syntaxes=("1.2.840.10008.1.2.1",)
            ),
        )
        for _ in range(20):
            with face.connect(server.port, contexts=contexts) as association:
                assert association.echo().status == 0
                assert association.store(ct).status == 0
        assert server.associations >= before - len(peers) // len(KINDS)  # they hang still
    server.shutdown(0)
    assert [path.suffix for path in received.iterdir()] == [".dcm"]


def test_two_hundred_of_them_end_at_their_deadlines(server: Server, received: Path) -> None:
    with ExitStack() as stack:
        for number in range(200):
            with suppress(AssertionError):  # the deadline came before the test did
                stack.enter_context(KINDS[number % len(KINDS)](server.port))
        until(lambda: server.associations == 0)
    assert not any(received.iterdir())
    with RawPeer.associated(server.port) as peer:
        peer.send(store())
        assert peer.read_status() == 0
