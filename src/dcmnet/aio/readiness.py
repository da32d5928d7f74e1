"""Wait for one socket in an event loop."""

from __future__ import annotations

import asyncio
import select
from functools import partial
from time import monotonic
from typing import NamedTuple

from dcmnet._net.readiness import HasFileno, begin_looking, may_look


class Ready(NamedTuple):
    """What a wait ended with; both False when the time was up."""

    readable: bool
    writable: bool


class Waiter:
    """Waits for a socket.

    The loop keeps watching for reading between two waits, and one timer runs on from wait to wait.

    Args:
        loop: The event loop.
        sock: The socket.
        busy_wait: As for the blocking face: after a wait of less than so many seconds, the loop does not
            sleep for as long in the next one. It goes round and round, so that other tasks have their turns.
    """

    __slots__ = (
        *("_busy_wait", "_deadline", "_fd", "_future", "_loop", "_reading", "_sock", "_stale", "_timer"),
        "_was_short",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: HasFileno, *, busy_wait: float = 0.0) -> None:
        self._loop = loop
        self._sock = sock
        self._busy_wait = busy_wait if busy_wait and may_look() else 0.0
        self._was_short = False
        self._fd = sock.fileno()  # the loop puts a socket into words each time that it begins to watch it
        self._future: asyncio.Future[Ready] | None = None
        self._reading = False
        self._stale = False
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, *, write: bool = False, read: bool = True, deadline: float | None = None) -> Ready:
        """Wait until the socket can be read or, with `write`, written; or until `deadline` (loop's clock)."""
        try:
            return await self._wait(write, read, deadline)
        except NotImplementedError:  # a loop without readiness, as Windows has by default
            timeout = None if deadline is None else max(0.0, deadline - self._loop.time())
            waiting = partial(_select, self._sock, write, read, timeout)
            return await self._loop.run_in_executor(None, waiting)

    def close(self) -> None:
        """Stop watching; must come before the socket is closed."""
        self._stop_reading()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def fail(self, error: BaseException) -> bool:
        """Make who waits get `error`; False when nobody waits."""
        if self._future is None or self._future.done():
            return False
        self._future.set_exception(error)
        return True

    def wake(self) -> None:
        """Let who waits go on, as if the time was up."""
        if self._future is not None:
            _finish(self._future, Ready(False, False))

    async def _wait(self, write: bool, read: bool, deadline: float | None) -> Ready:
        future: asyncio.Future[Ready] = self._loop.create_future()
        self._future = future
        self._deadline = deadline
        try:
            if not read:
                self._stop_reading()
            elif not self._reading:
                self._loop.add_reader(self._fd, self._readable)
                self._reading = True
            if write:
                self._loop.add_writer(self._fd, _finish, future, Ready(False, True))
            begun = monotonic()
            if self._was_short and not write:
                await self._look(future, begun)
            if deadline is not None and not future.done():
                self._set_timer(deadline)
            ready = await future
            self._was_short = monotonic() - begun < self._busy_wait
            return ready
        finally:
            self._future = None
            if write:
                self._loop.remove_writer(self._fd)

    async def _look(self, future: asyncio.Future[Ready], begun: float) -> None:
        looking = begin_looking(begun, self._busy_wait)
        if looking is None:
            return
        try:
            while not future.done() and looking.goes_on():  # noqa: ASYNC110  # what would set an event sleeps
                await asyncio.sleep(0)
        finally:
            looking.end(found=future.done())

    def _stop_reading(self) -> None:
        if self._reading:
            self._loop.remove_reader(self._fd)
            self._reading = False

    def _readable(self) -> None:
        if self._stale:  # the loop has looked before who was woken had its turn
            self._stale = False
        elif self._future is None:
            self._stop_reading()  # nobody waits: the peer has to
        else:
            _finish(self._future, Ready(True, False))
            self._stale = True

    def _set_timer(self, deadline: float) -> None:
        """Have the timer end by then; it may end before."""
        if self._timer is not None:
            if self._timer.when() <= deadline:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._time_is_up)

    def _time_is_up(self) -> None:
        assert self._timer is not None
        ended, self._timer = self._timer.when(), None
        if self._future is None or self._deadline is None:
            return
        if self._deadline > ended:
            self._set_timer(self._deadline)
        else:
            self.wake()


def _finish(future: asyncio.Future[Ready], ready: Ready) -> None:
    if not future.done():
        future.set_result(ready)


def _select(sock: HasFileno, write: bool, read: bool, timeout: float | None) -> Ready:
    readable, writable, failed = select.select(
        [sock] if read else [], [sock] if write else [], [sock], timeout
    )
    return Ready(bool(readable or (failed and read)), bool(writable or failed))
