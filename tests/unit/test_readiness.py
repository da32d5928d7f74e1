"""Waiting for one socket, with and without `poll`."""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from dcmnet._net import readiness
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
    waiter.ignore(wake)
    assert waiter.wait() == Ready(True, False, False)


def test_being_woken_again_and_again(pair: tuple[socket.socket, socket.socket], wake: Wake) -> None:
    waiter = Waiter(pair[0])
    waiter.heed(wake)
    for _ in range(3):
        wake.set()
        wake.set()
        assert waiter.wait(timeout=30).woken
        wake.clear()
        assert not wake.is_set
        assert waiter.wait(timeout=0) == NOTHING


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


class Counted:
    """A poll object that counts how it is asked; its clock moves when it is, and not otherwise."""

    def __init__(self, poll: Any) -> None:
        self._poll = poll
        self.timeouts: list[float] = []
        self.now = 100.0

    def poll(self, timeout: float) -> list[tuple[int, int]]:
        self.timeouts.append(timeout)
        found: list[tuple[int, int]] = self._poll.poll(0)
        self.now += readiness.TAKEN_SECONDS / 2 if found or not timeout else timeout / 1000
        return found


def busy_waiter(sock: socket.socket, monkeypatch: pytest.MonkeyPatch, processors: int = 2) -> Any:
    monkeypatch.setattr(readiness, "_processors", lambda: processors)
    monkeypatch.setattr(readiness, "_BUSY", readiness._Busy())
    waiter: Any = Waiter(sock, busy_wait=0.05)
    if waiter._poll is None:  # `select` never looks without sleeping
        return None
    waiter._poll.register(sock, select.POLLIN)
    waiter._registered = select.POLLIN
    counted = waiter._poll = Counted(waiter._poll)
    monkeypatch.setattr(readiness, "monotonic", lambda: counted.now)
    return waiter


def test_a_short_wait_is_followed_by_looking(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    waiter = busy_waiter(pair[0], monkeypatch)
    if waiter is None:
        return
    pair[1].send(b"x")
    assert waiter.wait(timeout=5).readable
    assert waiter._poll.timeouts == [5000]  # nothing is known of the peer yet: sleep
    assert waiter.wait(timeout=5).readable
    assert waiter._poll.timeouts == [5000, 0]
    pair[0].recv(10)
    assert not any(waiter.wait(timeout=0.1))
    assert set(waiter._poll.timeouts[1:-1]) == {0}
    assert waiter._poll.timeouts[-1] == 100  # looked long enough
    del waiter._poll.timeouts[:]
    assert not any(waiter.wait(timeout=0.1))
    assert waiter._poll.timeouts == [100]  # the wait before was long


def test_one_thread_looks_at_a_time(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    waiter = busy_waiter(pair[0], monkeypatch)
    if waiter is None:
        return
    waiter._was_short = True
    assert readiness._BUSY.enter(waiter._poll.now)
    assert not any(waiter.wait(timeout=0.1))
    readiness._BUSY.leave(0.0, answered=False, lost=0.0)
    assert waiter._poll.timeouts == [100]


def test_nobody_looks_for_a_while_where_two_would() -> None:
    busy = readiness._Busy()
    assert busy.enter(10.0)
    assert not busy.enter(10.1)
    busy.leave(10.1, answered=True, lost=0.0)
    assert not busy.enter(10.1 + readiness.CONTENDED_SECONDS / 2)
    assert busy.enter(10.1 + readiness.CONTENDED_SECONDS)
    busy.leave(10.2, answered=True, lost=0.0)


def test_one_processor_is_left_to_the_peer(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    waiter = busy_waiter(pair[0], monkeypatch, processors=1)
    if waiter is None:
        return
    pair[1].send(b"x")
    assert waiter.wait(timeout=5).readable
    assert waiter.wait(timeout=5).readable
    assert waiter._poll.timeouts == [5000, 5000]


def test_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    assert readiness._processors() >= 1
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert readiness._processors() == (os.cpu_count() or 1)


def looks(busy: readiness._Busy, now: float, *, answered: int = 0, lost: float = 0.0) -> float:
    """Some that are answered and one that loses the processor; the time when they are over."""
    for _ in range(answered):
        assert busy.enter(now)
        now += 0.0001
        busy.leave(now, answered=True, lost=0.0)
    if lost:
        assert busy.enter(now)
        now += lost
        busy.leave(now, answered=False, lost=lost)
    return now


def test_nobody_looks_on_a_machine_that_is_crowded() -> None:
    busy = readiness._Busy()
    now = looks(busy, 50.0, answered=100)
    pause = readiness.CROWDED_SECONDS
    for _ in range(10):  # it is tried again, after longer and longer, and is as it was
        now = looks(busy, now, lost=0.006)
        assert not busy.enter(now)
        assert not busy.enter(now + 0.99 * pause)
        now += 1.01 * pause
        pause = min(2 * pause, readiness.LONGEST_CROWDED_SECONDS)
    now = looks(busy, now, answered=1000)  # the others have gone
    for _ in range(3):
        now = looks(busy, now, lost=0.006)
    assert not busy.enter(now + 0.99 * readiness.CROWDED_SECONDS)
    assert busy.enter(now + 1.01 * readiness.CROWDED_SECONDS)
    busy.leave(now, answered=False, lost=0.0)


def test_who_saves_more_than_it_costs_goes_on_looking() -> None:
    busy = readiness._Busy()
    now = 50.0
    for _ in range(100):
        now = looks(busy, now, answered=500, lost=0.006)
    assert busy.enter(now)
    busy.leave(now, answered=False, lost=0.0)


def test_what_was_gained_long_ago_does_not_count() -> None:
    busy = readiness._Busy()
    now = looks(busy, 50.0, answered=100_000)
    for _ in range(3):
        now = looks(busy, now, lost=0.006)
    assert not busy.enter(now)


def test_the_time_that_is_lost_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.00091, 0.00092, 0.00492, 0.00493, 0.00494])
    monkeypatch.setattr(readiness, "monotonic", lambda: next(clock))
    told: list[tuple[float, bool, float]] = []

    class Busy(readiness._Busy):
        def leave(self, now: float, *, answered: bool, lost: float) -> None:
            told.append((now, answered, lost))
            super().leave(now, answered=answered, lost=lost)

    monkeypatch.setattr(readiness, "_BUSY", Busy())
    answers = iter([[], [], [], [(7, 1)]])
    assert readiness.look(lambda _: next(answers), 0.0009, 1.0) == [(7, 1)]
    ((now, answered, lost),) = told
    assert (now, answered) == (0.00494, True)
    assert lost == pytest.approx(0.004)
