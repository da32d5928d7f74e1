"""Functions that block, called in threads, so that the event loop goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary, ref

from dcmnet._net.hands import Hands
from dcmnet.limits import MAX_CLIENT_THREADS

Ended: TypeAlias = Callable[[Any, BaseException | None], None]
"""Called with what a function has returned, or with what it has raised."""


class Threads:
    """Calls functions in threads, for one event loop.

    The loop is told once of all that have ended by the time that it looks.

    Args:
        loop: The event loop.
        most: How many threads there may be.
    """

    __slots__ = ("__weakref__", "_ended", "_hands", "_loop", "_told")

    def __init__(self, loop: asyncio.AbstractEventLoop, most: int) -> None:
        self._loop = ref(loop)
        self._hands = Hands(most, "dcmnet")
        self._ended: deque[tuple[Ended, Any, BaseException | None]] = deque()
        self._told = False

    def begin(self, function: Callable[..., Any], args: tuple[Any, ...], ended: Ended) -> None:
        """Have a function called; `ended` is called in the event loop, unless that has been closed.

        Raises:
            RuntimeError: There is no thread for it, and none to be had.
        """

        def job() -> None:
            outcome, error = None, None
            try:
                outcome = function(*args)
            except BaseException as raised:  # who waits for it gets it
                error = raised
            self._ended.append((ended, outcome, error))
            self._tell()

        self._hands.do(job)

    async def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function, and wait for its end: one that goes on alone would meet closed files.

        Raises:
            CancelledError: The task was cancelled meanwhile; the function has ended all the same.
            RuntimeError: As for `begin`.
        """
        waiting = _Waiting()
        self.begin(function, args, waiting.end)
        try:
            return await waiting.future
        except asyncio.CancelledError:
            while not waiting.is_over:
                waiting.future = asyncio.get_running_loop().create_future()
                with contextlib.suppress(asyncio.CancelledError, Exception):  # again, or what it ends with
                    await waiting.future
            raise

    def close(self) -> None:
        """Have the threads end when they have done what waits."""
        self._hands.close()

    def __del__(self) -> None:
        self.close()

    def _tell(self) -> None:
        loop = self._loop()
        if loop is None or self._told:
            return
        self._told = True
        with contextlib.suppress(RuntimeError):  # it has been closed: nobody waits any more
            loop.call_soon_threadsafe(self._take)

    def _take(self) -> None:
        self._told = False  # first: what ends from now on is told again
        try:
            for _ in range(len(self._ended)):
                ended, outcome, error = self._ended.popleft()
                ended(outcome, error)
        finally:
            if self._ended:  # one has raised: the others are not to wait for ever
                self._tell()


_OF_CLIENTS: WeakKeyDictionary[asyncio.AbstractEventLoop, Threads] = WeakKeyDictionary()


def of_clients() -> Threads:
    """The threads that all clients of the running event loop share; they end with it."""
    loop = asyncio.get_running_loop()
    threads = _OF_CLIENTS.get(loop)
    if threads is None:
        threads = _OF_CLIENTS[loop] = Threads(loop, MAX_CLIENT_THREADS)
    return threads


class _Waiting:
    """Who waits for the end of a call, with the future of the day."""

    __slots__ = ("future", "is_over")

    def __init__(self) -> None:
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.is_over = False

    def end(self, outcome: Any, error: BaseException | None) -> None:
        """The call is over."""
        self.is_over = True
        if self.future.done():  # cancelled
            return
        if error is None:
            self.future.set_result(outcome)
        elif isinstance(error, StopIteration):  # no future can hold it
            self.future.set_exception(RuntimeError("a handler raised StopIteration"))
        else:
            self.future.set_exception(error)
