"""Functions that block, and the event loop that waits for them."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dcmnet.aio.threads import Ended, Threads, of_clients

DEADLINE = 20.0


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    gc.collect()
    for thread in set(threading.enumerate()) - before:
        thread.join(DEADLINE)
        assert not thread.is_alive()


def run(main: Callable[[Threads], Any], most: int = 8) -> Any:
    async def with_threads() -> Any:
        threads = Threads(asyncio.get_running_loop(), most)
        try:
            async with asyncio.timeout(DEADLINE):
                return await main(threads)
        finally:
            threads.close()

    return asyncio.run(with_threads())


def into(found: list[Any]) -> Ended:
    return lambda outcome, _: found.append(outcome)


def failing(error: BaseException) -> None:
    raise error


def test_what_a_function_returns() -> None:
    async def main(threads: Threads) -> None:
        assert await threads.call(divmod, 7, 2) == (3, 1)
        assert await threads.call(threading.get_ident) != threading.get_ident()

    run(main)


@pytest.mark.parametrize("error", [OSError(28, "full"), ValueError("x"), KeyboardInterrupt(), SystemExit(3)])
def test_what_a_function_raises(error: BaseException) -> None:
    async def main(threads: Threads) -> BaseException | None:
        try:
            await threads.call(failing, error)
        except BaseException as raised:
            return raised
        return None

    assert run(main) is error


def test_a_function_that_raises_what_no_future_can_hold() -> None:
    async def main(threads: Threads) -> None:
        with pytest.raises(RuntimeError, match="StopIteration"):
            await threads.call(next, iter(()))

    run(main)


def test_a_task_that_is_cancelled_waits_for_the_function() -> None:
    """However often it is: it would meet closed files."""
    entered, go_on = threading.Event(), threading.Event()
    ended: list[bool] = []

    def function() -> None:
        entered.set()
        ended.append(go_on.wait(DEADLINE))

    async def main(threads: Threads) -> None:
        task = asyncio.create_task(threads.call(function))
        assert await asyncio.to_thread(entered.wait, DEADLINE)
        for _ in range(3):
            task.cancel()
            for _ in range(3):  # the task has its turn, and waits again
                await asyncio.sleep(0)
        assert not task.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended == [True]

    run(main)


def test_nobody_is_left_to_wait() -> None:
    """As when the loop is dropped with a task that was cancelled."""
    go_on = threading.Event()

    async def main(threads: Threads) -> None:
        calling = threads.call(go_on.wait, DEADLINE)
        calling.send(None)
        calling.throw(asyncio.CancelledError)
        calling.close()
        go_on.set()

    run(main)


def test_a_task_that_is_cancelled_while_the_function_fails() -> None:
    entered, go_on = threading.Event(), threading.Event()

    def function() -> None:
        entered.set()
        go_on.wait(DEADLINE)
        raise OSError(5, "broken")

    async def main(threads: Threads) -> None:
        task = asyncio.create_task(threads.call(function))
        assert await asyncio.to_thread(entered.wait, DEADLINE)
        task.cancel()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main)


def test_a_function_that_ends_as_it_is_cancelled() -> None:
    """Its end is known already, and the task has not had its turn."""

    async def main(threads: Threads) -> None:
        task = asyncio.create_task(threads.call(int))
        await asyncio.sleep(0)
        while not threads._ended:
            pass  # the loop stands still: it cannot have been told
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main)


def test_the_loop_is_told_once_of_all_that_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main(threads: Threads) -> None:
        loop = asyncio.get_running_loop()
        real, told = loop.call_soon_threadsafe, []

        def tell(callback: Callable[..., Any], *args: Any) -> Any:
            told.append(callback)
            return real(callback, *args)

        monkeypatch.setattr(loop, "call_soon_threadsafe", tell)
        for count in (1, 2):
            found: list[int] = []
            for number in range(5):
                threads.begin(abs, (-number,), into(found))
            done = threading.Event()
            threads._hands.do(done.set)
            assert done.wait(DEADLINE)  # the loop stands still
            assert found == []
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert found == [0, 1, 2, 3, 4]
            assert len(told) == count

    run(main, most=1)  # of two threads each may find that the loop has not been told


def test_one_whose_end_cannot_be_dealt_with_does_not_hold_up_the_others() -> None:
    async def main(threads: Threads) -> None:
        failures: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
        ended = asyncio.Event()
        threads.begin(int, (), lambda *_: failing(ValueError("mistake")))
        threads.begin(int, (), lambda *_: ended.set())
        while len(threads._ended) < 2:
            pass
        await ended.wait()
        assert [str(each["exception"]) for each in failures] == ["mistake"]

    run(main)


def test_a_loop_that_is_closed_before_the_end() -> None:
    """Nobody waits any more, and nothing is printed."""
    entered, go_on, gone = threading.Event(), threading.Event(), threading.Event()

    def function() -> None:
        entered.set()
        go_on.wait(DEADLINE)

    async def main(threads: Threads) -> None:
        threads.begin(function, (), lambda *_: None)
        threads.begin(lambda: gone.set(), (), lambda *_: None)

    run(main)
    assert entered.wait(DEADLINE)
    go_on.set()
    assert gone.wait(DEADLINE)


def test_clients_share_threads_that_end_with_the_loop() -> None:
    async def main() -> None:
        threads = of_clients()
        assert of_clients() is threads
        assert await threads.call(threading.get_ident) != threading.get_ident()

    for _ in range(20):
        asyncio.run(main())
