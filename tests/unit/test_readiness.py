"""Waiting for one socket, with and without `poll`."""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from dcmnet._net.readiness import Ready, Waiter, Wake

NOTHING = Ready(False, False, False)


@pytest.fixture(params=["poll", "select"], autouse=True)
def _way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "select":
        monkeypatch.delattr(select, "poll")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    first, second = socket.socketpair()
    with first, second:
        yield first, second


@pytest.fixture
def wake() -> Iterator[Wake]:
    made = Wake()
    yield made
    made.close()


def fill(sock: socket.socket) -> None:
    sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            sock.send(bytes(65536))


def test_nothing_happens(pair: tuple[socket.socket, socket.socket]) -> None:
    waiter = Waiter(pair[0])
    assert waiter.wait(timeout=0) == NOTHING
    assert not any(waiter.wait(timeout=0.001))


def test_a_time_that_is_over(pair: tuple[socket.socket, socket.socket], wake: Wake) -> None:
    assert Waiter(pair[0], wake).wait(timeout=-5.0) == NOTHING


def test_reading(pair: tuple[socket.socket, socket.socket]) -> None:
    waiter = Waiter(pair[0])
    pair[1].send(b"x")
    assert waiter.wait() == Ready(True, False, False)
    assert waiter.wait(timeout=5) == Ready(True, False, False)


def test_writing(pair: tuple[socket.socket, socket.socket]) -> None:
    waiter = Waiter(pair[0])
    assert waiter.wait(write=True) == Ready(False, True, False)
    assert waiter.wait(timeout=0) == NOTHING  # what is waited for changes
    pair[1].send(b"x")
    assert waiter.wait(write=True) == Ready(True, True, False)
    assert waiter.wait(write=True, read=False) == Ready(False, True, False)
    fill(pair[0])
    assert waiter.wait(write=True, timeout=0) == Ready(True, False, False)
    assert waiter.wait(write=True, read=False, timeout=0) == NOTHING
    assert waiter.wait(read=False, timeout=0) == NOTHING


def test_a_peer_that_has_closed(pair: tuple[socket.socket, socket.socket]) -> None:
    waiter = Waiter(pair[0])
    pair[1].close()
    assert waiter.wait().readable
    assert waiter.wait(write=True).writable


def test_a_connection_that_was_reset() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname()) as client:
            server, _ = listener.accept()
            server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            fill(client)
            server.close()
            waiter = Waiter(client)
            assert waiter.wait(timeout=5).readable
            assert waiter.wait(write=True, read=False, timeout=5) == Ready(False, True, False)


def test_being_woken(pair: tuple[socket.socket, socket.socket], wake: Wake) -> None:
    waiter = Waiter(pair[0], wake)
    timer = threading.Timer(0.01, wake.set)
    timer.start()
    assert waiter.wait(timeout=30) == Ready(False, False, True)
    timer.join()
    assert wake.is_set
    pair[1].send(b"x")
    assert waiter.wait() == Ready(True, False, True)
    waiter.ignore_wake()
    waiter.ignore_wake()
    assert waiter.wait() == Ready(True, False, False)


def test_many_are_woken_at_once(wake: Wake) -> None:
    pairs = [socket.socketpair() for _ in range(4)]
    woken: list[Ready] = []
    threads = [
        threading.Thread(target=lambda sock=pair[0]: woken.append(Waiter(sock, wake).wait(timeout=30)))
        for pair in pairs
    ]
    for thread in threads:
        thread.start()
    wake.set()
    for thread in threads:
        thread.join(timeout=30)
    for first, second in pairs:
        first.close()
        second.close()
    assert woken == [Ready(False, False, True)] * 4


def test_waking_up_what_is_closed() -> None:
    wake = Wake()
    wake.close()
    wake.set()
    assert wake.is_set
