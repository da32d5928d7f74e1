"""Connecting to the first address that answers (RFC 8305); the test decides which one does."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from dcmnet._net import connecting
from dcmnet._net.connecting import _interleaved, happy_eyeballs
from tests.unit.objects import open_descriptors


def address(name: str, family: int = socket.AF_INET) -> Any:
    """As `getaddrinfo` answers."""
    return (family, socket.SOCK_STREAM, 0, "", (name, 104))


class Loop:
    """The running loop, but every connection waits for the test.

    Attributes:
        waiting: What decides about each attempt, by host, in the order in which they began.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.waiting: dict[str, asyncio.Future[None]] = {}
        self.began = asyncio.Event()

    def create_task(self, coroutine: Any) -> Any:
        return self._loop.create_task(coroutine)

    async def sock_connect(self, sock: socket.socket, where: tuple[str, int]) -> None:
        assert not sock.getblocking()
        self.waiting[where[0]] = self._loop.create_future()
        self.began.set()
        await self.waiting[where[0]]

    async def until(self, *names: str) -> None:
        """Until these attempts, and no others, have begun."""
        async with asyncio.timeout(30):
            while len(self.waiting) < len(names):
                self.began.clear()
                await self.began.wait()
        assert tuple(self.waiting) == names


def start(loop: Loop, *found: Any) -> asyncio.Task[socket.socket]:
    return asyncio.create_task(happy_eyeballs(loop, found))  # type: ignore[arg-type]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "ATTEMPT_DELAY", 1e6)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "ATTEMPT_DELAY", 0.0)


def test_families_take_turns() -> None:
    six = [address(f"6-{number}", socket.AF_INET6) for number in range(3)]
    four = [address(f"4-{number}") for number in range(2)]
    names = [each[4][0] for each in _interleaved(six + four)]
    assert names == ["6-0", "4-0", "6-1", "4-1", "6-2"]
    assert _interleaved([]) == []


@pytest.mark.usefixtures("patient")
async def test_the_first_answers() -> None:
    before = open_descriptors()
    loop = Loop()
    task = start(loop, address("a"), address("b"))
    await loop.until("a")
    loop.waiting["a"].set_result(None)
    (await task).close()
    assert open_descriptors() <= before


@pytest.mark.usefixtures("patient")
async def test_a_refusal_brings_the_next_at_once() -> None:
    loop = Loop()
    task = start(loop, address("a"), address("b"))
    await loop.until("a")
    loop.waiting["a"].set_exception(ConnectionRefusedError("a"))
    await loop.until("a", "b")
    loop.waiting["b"].set_result(None)
    (await task).close()


@pytest.mark.usefixtures("impatient")
async def test_silence_brings_the_next_after_a_while() -> None:
    before = open_descriptors()
    loop = Loop()
    task = start(loop, address("a"), address("b"), address("c"))
    await loop.until("a", "b", "c")
    loop.waiting["b"].set_result(None)
    (await task).close()
    await settle()
    assert open_descriptors() <= before  # the others were dropped


@pytest.mark.usefixtures("impatient")
async def test_two_answer_at_once() -> None:
    before = open_descriptors()
    loop = Loop()
    task = start(loop, address("a"), address("b"), address("c"))
    await loop.until("a", "b", "c")
    for future in loop.waiting.values():
        future.set_result(None)
    (await task).close()
    await settle()
    assert open_descriptors() <= before


@pytest.mark.usefixtures("impatient")
async def test_one_answers_while_another_is_refused() -> None:
    before = open_descriptors()
    loop = Loop()
    task = start(loop, address("a"), address("b"))
    await loop.until("a", "b")
    loop.waiting["a"].set_exception(OSError("a"))
    loop.waiting["b"].set_result(None)
    (await task).close()
    await settle()
    assert open_descriptors() <= before


@pytest.mark.usefixtures("impatient")
async def test_the_last_one_is_waited_for() -> None:
    loop = Loop()
    task = start(loop, address("a"), address("b"))
    await loop.until("a", "b")
    loop.waiting["a"].set_exception(OSError("a"))
    await settle()
    assert not task.done()
    loop.waiting["b"].set_result(None)
    (await task).close()


@pytest.mark.usefixtures("patient")
async def test_nobody_answers() -> None:
    before = open_descriptors()
    loop = Loop()
    task = start(loop, address("a"), address("b"))
    await loop.until("a")
    loop.waiting["a"].set_exception(ConnectionRefusedError("a"))
    await loop.until("a", "b")
    loop.waiting["b"].set_exception(ConnectionRefusedError("b"))
    with pytest.raises(ConnectionRefusedError, match="b"):
        await task
    assert open_descriptors() <= before


async def test_there_is_no_address() -> None:
    with pytest.raises(OSError, match="there is no address"):
        await start(Loop())


@pytest.mark.usefixtures("impatient")
async def test_another_error_ends_everything() -> None:
    before = open_descriptors()
    loop = Loop()
    task = start(loop, address("a"), address("b"))
    await loop.until("a", "b")
    loop.waiting["a"].set_exception(ValueError("on purpose"))
    with pytest.raises(ValueError, match="on purpose"):
        await task
    await settle()
    assert open_descriptors() <= before


@pytest.mark.usefixtures("impatient")
async def test_cancellation() -> None:
    before = open_descriptors()
    loop = Loop()
    task = start(loop, address("a"), address("b"))
    await loop.until("a", "b")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await settle()
    assert open_descriptors() <= before


async def test_a_real_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        where = (socket.AF_INET, socket.SOCK_STREAM, 0, "", listener.getsockname())
        with await happy_eyeballs(asyncio.get_running_loop(), [where]) as sock:
            assert sock.getpeername() == listener.getsockname()
