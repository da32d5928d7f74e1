"""Waiting for many sockets in one thread, with epoll and without."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from dcmnet._net import polling, readiness
from dcmnet._net.polling import Poller


@pytest.fixture(params=["the system's own", "selectors"])
def poller(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Poller]:
    if request.param == "selectors":
        monkeypatch.delattr(select, "epoll", raising=False)
    made = Poller()
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    first, second = socket.socketpair()
    with first, second:
        yield first, second


def descriptors(poller: Poller, timeout: float | None = 5.0) -> list[int]:
    return [fd for fd, _ in poller.wait(timeout)]


def test_what_can_be_read(poller: Poller, pair: tuple[socket.socket, socket.socket]) -> None:
    first, second = pair
    poller.watch(first.fileno())
    poller.watch(second.fileno())
    assert descriptors(poller, 0.0) == []
    first.send(b"x")
    assert descriptors(poller) == [second.fileno()]
    second.send(b"x")
    assert sorted(descriptors(poller)) == sorted((first.fileno(), second.fileno()))
    poller.ignore(second.fileno())
    assert descriptors(poller) == [first.fileno()]


def test_the_end_of_a_connection(poller: Poller, pair: tuple[socket.socket, socket.socket]) -> None:
    poller.watch(pair[0].fileno())
    pair[1].close()
    assert descriptors(poller, None) == [pair[0].fileno()]


def test_a_descriptor_comes_again(poller: Poller, pair: tuple[socket.socket, socket.socket]) -> None:
    pair[1].send(b"x")
    for _ in range(2):
        poller.watch(pair[0].fileno())
        assert descriptors(poller) == [pair[0].fileno()]
        poller.ignore(pair[0].fileno())
        assert descriptors(poller, 0.0) == []


class Counted:
    """What a poller asks, and what it is told; its clock moves when it is asked, and not otherwise."""

    def __init__(self) -> None:
        self.timeouts: list[float] = []
        self.answers: list[list[tuple[int, int]]] = []
        self.now = 100.0

    def __call__(self, timeout: float) -> list[tuple[int, int]]:
        self.timeouts.append(timeout)
        found = self.answers.pop(0) if self.answers else []
        self.now += readiness.TAKEN_SECONDS / 2 if found or not timeout else timeout
        return found


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Counted]]:
    monkeypatch.setattr(readiness, "_processors", lambda: 2)
    monkeypatch.setattr(readiness, "_BUSY", readiness._Busy())
    poller: Any = Poller(busy_wait=0.05)
    asked = poller._poll = Counted()
    for module in (readiness, polling):
        monkeypatch.setattr(module, "monotonic", lambda: asked.now)
    yield poller, asked
    poller.close()


def test_a_short_wait_is_followed_by_looking(counted: tuple[Any, Counted]) -> None:
    poller, asked = counted
    asked.answers = [[(7, 1)], [], [(7, 1)]]
    assert poller.wait(5.0) == [(7, 1)]
    assert asked.timeouts == [5.0]
    assert poller.wait(5.0) == [(7, 1)]
    assert asked.timeouts == [5.0, 0, 0]
    assert poller.wait(5.0) == []
    assert set(asked.timeouts[3:-1]) == {0}
    assert asked.timeouts[-1] == 5.0  # looked long enough


def test_many_are_waited_for_asleep(counted: tuple[Any, Counted]) -> None:
    poller, asked = counted
    asked.answers = [[(7, 1)]]
    poller.wait(5.0)
    poller.wait(5.0, may_look=False)
    assert asked.timeouts == [5.0, 5.0]


def test_no_time_to_look(counted: tuple[Any, Counted]) -> None:
    poller, asked = counted
    asked.answers = [[(7, 1)]]
    poller.wait(5.0)
    poller.wait(0.01)  # a deadline is nearer than that
    assert asked.timeouts == [5.0, 0.01]


def test_one_processor_is_left_to_the_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "_processors", lambda: 1)
    poller: Any = Poller(busy_wait=0.05)
    asked = poller._poll = Counted()
    poller.wait(5.0)
    poller.wait(5.0)
    assert asked.timeouts == [5.0, 5.0]
    poller.close()
    assert readiness.may_look() is False
