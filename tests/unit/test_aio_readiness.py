"""Waiting for one socket in an event loop, with as little to do for the loop as can be."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import pytest

from dcmnet._net import readiness
from dcmnet.aio.readiness import Ready, Waiter

NOTHING, READABLE, WRITABLE = Ready(False, False), Ready(True, False), Ready(False, True)


class Fixture:
    """A waiter, its peer, and what the loop was asked for."""

    def __init__(self, sock: socket.socket, peer: socket.socket, busy_wait: float) -> None:
        self.loop = asyncio.get_running_loop()
        self.peer = peer
        self.sock = sock
        self.asked: list[str] = []
        self.waiter = Waiter(Watched(self.loop, self.asked), sock, busy_wait=busy_wait)  # type: ignore[arg-type]

    async def turns(self, count: int = 3) -> None:
        for _ in range(count):
            await asyncio.sleep(0)


class Watched:
    """An event loop that writes down what it is asked for."""

    def __init__(self, loop: asyncio.AbstractEventLoop, asked: list[str]) -> None:
        self._loop = loop
        self._asked = asked

    def __getattr__(self, name: str) -> Any:
        if name in ("add_reader", "remove_reader", "add_writer", "remove_writer", "call_at"):
            self._asked.append(name)
        return getattr(self._loop, name)


@asynccontextmanager
async def fixture(busy_wait: float) -> AsyncIterator[Fixture]:
    sock, peer = socket.socketpair()
    sock.setblocking(False)
    with sock, peer:
        made = Fixture(sock, peer, busy_wait)
        async with asyncio.timeout(20):
            yield made
        made.waiter.close()


def run(main: Callable[[Fixture], Awaitable[None]], busy_wait: float = 0.0) -> None:
    async def with_fixture() -> None:
        async with fixture(busy_wait) as made:
            await main(made)

    asyncio.run(with_fixture())


async def exchange(each: Fixture, **how: Any) -> None:
    """Wait for something that is there."""
    each.peer.send(b"x")
    assert await each.waiter.wait(**how) == READABLE
    each.sock.recv(1)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop go on until something that nobody announces has come true."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


def test_request_and_answer_ask_the_loop_for_nothing() -> None:
    """But at first; the loop looks once more before who has waited takes the bytes."""

    async def main(each: Fixture) -> None:
        for _ in range(10):
            await exchange(each, deadline=each.loop.time() + 5)
            await each.turns()
        assert each.asked == ["add_reader", "call_at"]

    run(main)


def test_what_comes_while_nobody_waits_is_not_looked_at_again_and_again() -> None:
    async def main(each: Fixture) -> None:
        each.peer.send(b"x")
        assert await each.waiter.wait() == READABLE
        await each.turns(5)
        assert each.asked == ["add_reader", "remove_reader"]
        assert await each.waiter.wait() == READABLE
        assert each.asked == ["add_reader", "remove_reader", "add_reader"]

    run(main)


def test_writing() -> None:
    async def main(each: Fixture) -> None:
        assert await each.waiter.wait(write=True) == WRITABLE
        assert await each.waiter.wait(write=True, read=False) == WRITABLE
        again = ("remove_reader", "add_writer", "remove_writer")
        assert each.asked == ["add_reader", "add_writer", "remove_writer", *again]

    run(main)


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 0.02])
def test_the_time_is_up(seconds: float) -> None:
    async def main(each: Fixture) -> None:
        for _ in range(2):
            begun = each.loop.time()
            assert await each.waiter.wait(deadline=begun + seconds) == NOTHING
            assert each.loop.time() - begun >= seconds - 0.001

    run(main)


def test_a_deadline_before_that_of_the_last_wait() -> None:
    async def main(each: Fixture) -> None:
        await exchange(each, deadline=each.loop.time() + 1000)
        begun = each.loop.time()
        assert await each.waiter.wait(deadline=begun + 0.02) == NOTHING
        assert each.loop.time() - begun < 10

    run(main)


def test_a_deadline_behind_that_of_the_last_wait() -> None:
    """The timer of the last one ends, and this one goes on."""

    async def main(each: Fixture) -> None:
        await exchange(each, deadline=each.loop.time() + 0.02)
        begun = each.loop.time()
        assert await each.waiter.wait(deadline=begun + 0.08) == NOTHING
        assert each.loop.time() - begun >= 0.079

    run(main)


@pytest.mark.parametrize("waits", [False, True])
def test_a_timer_that_ends_when_nobody_minds(waits: bool) -> None:
    async def main(each: Fixture) -> None:
        await exchange(each, deadline=each.loop.time() + 0.02)
        waiting = asyncio.create_task(each.waiter.wait()) if waits else None
        await until(lambda: each.waiter._timer is None)
        assert each.asked.count("call_at") == 1
        if waiting is not None:
            assert not waiting.done()
            each.peer.send(b"x")
            assert await waiting == READABLE

    run(main)


def test_the_end_stops_the_timer() -> None:
    async def main(each: Fixture) -> None:
        await exchange(each, deadline=each.loop.time() + 1000)
        timer = each.waiter._timer
        assert timer is not None
        each.waiter.close()
        assert timer.cancelled()

    run(main)


def test_somebody_else_ends_the_waiting() -> None:
    async def main(each: Fixture) -> None:
        each.waiter.wake()  # nobody waits
        assert not each.waiter.fail(ValueError())
        waiting = asyncio.create_task(each.waiter.wait())
        await each.turns()
        each.waiter.wake()
        assert not each.waiter.fail(ValueError("too late"))
        assert await waiting == NOTHING
        waiting = asyncio.create_task(each.waiter.wait())
        await each.turns()
        assert each.waiter.fail(ValueError("the end"))
        with pytest.raises(ValueError, match="the end"):
            await waiting

    run(main)


# ---------------------------------------------------------------------- without sleeping

LONG = 10.0
"""Nobody waits for so long here."""


class Busy(readiness._Busy):
    """Who looks without sleeping, and what came of it."""

    def __init__(self) -> None:
        super().__init__()
        self.looks: list[bool] = []

    def leave(self, now: float, *, answered: bool, lost: float) -> None:
        super().leave(now, answered=answered, lost=0.0)
        self.looks.append(answered)


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> Busy:
    made = Busy()
    monkeypatch.setattr(readiness, "_BUSY", made)
    monkeypatch.setattr(readiness, "_processors", lambda: 2)
    return made


def test_a_short_wait_is_followed_by_looking(busy: Busy) -> None:
    """While other tasks go on; a long one by sleeping."""

    async def main(each: Fixture) -> None:
        await exchange(each)
        assert busy.looks == []  # nothing is known of the peer yet
        await exchange(each)
        assert busy.looks == [True]
        turns = 0
        waiting = asyncio.create_task(each.waiter.wait())
        while turns < 100:
            turns += 1
            await asyncio.sleep(0)
        assert not waiting.done()
        assert busy.looks == [True]  # it still looks
        each.peer.send(b"x")
        assert await waiting == READABLE
        assert busy.looks == [True, True]

    run(main, LONG)


def test_looking_has_an_end(busy: Busy) -> None:
    async def main(each: Fixture) -> None:
        await exchange(each)
        waiting = asyncio.create_task(each.waiter.wait())
        await until(lambda: bool(busy.looks))
        assert busy.looks == [False]
        each.peer.send(b"x")
        assert await waiting == READABLE
        each.sock.recv(1)
        await exchange(each)
        assert busy.looks == [False]  # the wait before was long

    run(main, 0.3)


@pytest.mark.parametrize("how", ["write", "off", "one processor", "somebody else does"])
def test_nobody_looks(busy: Busy, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    if how == "one processor":
        monkeypatch.setattr(readiness, "_processors", lambda: 1)
    if how == "somebody else does":
        assert busy.enter(0.0)

    async def main(each: Fixture) -> None:
        await exchange(each)
        if how == "write":
            assert await each.waiter.wait(write=True) == WRITABLE
        else:
            await exchange(each)
        assert busy.looks == []

    run(main, 0.0 if how == "off" else LONG)


@pytest.mark.parametrize("how", ["cancelled", "failed", "woken"])
def test_looking_is_ended(busy: Busy, how: str) -> None:
    async def main(each: Fixture) -> None:
        await exchange(each)
        waiting = asyncio.create_task(each.waiter.wait())
        await each.turns()
        if how == "cancelled":
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        elif how == "failed":
            assert each.waiter.fail(ValueError("the end"))
            with pytest.raises(ValueError, match="the end"):
                await waiting
        else:
            each.waiter.wake()
            assert await waiting == NOTHING
        assert busy.looks == [how != "cancelled"]
        assert busy.enter(monotonic())  # somebody else may
        busy.leave(0.0, answered=False, lost=0.0)

    run(main, LONG)
