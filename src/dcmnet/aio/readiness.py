"""Wait for one socket in an event loop."""

from __future__ import annotations

import asyncio
import select
from functools import partial
from typing import NamedTuple

from dcmnet._net.readiness import HasFileno


class Ready(NamedTuple):
    """What a wait ended with; both False when the time was up."""

    readable: bool
    writable: bool


class Waiter:
    """Waits for a socket.

    The loop keeps watching for reading between two waits, which saves two system calls for each.

    Args:
        loop: The event loop.
        sock: The socket.
    """

    __slots__ = ("_future", "_loop", "_reading", "_sock")

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: HasFileno) -> None:
        self._loop = loop
        self._sock = sock
        self._future: asyncio.Future[Ready] | None = None
        self._reading = False

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
        if self._reading:
            self._loop.remove_reader(self._sock)
            self._reading = False

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
        timer = (
            None if deadline is None else self._loop.call_at(deadline, _finish, future, Ready(False, False))
        )
        try:
            if read and not self._reading:
                self._loop.add_reader(self._sock, self._readable)
                self._reading = True
            elif not read:
                self.close()
            if write:
                self._loop.add_writer(self._sock, _finish, future, Ready(False, True))
            return await future
        finally:
            self._future = None
            if timer is not None:
                timer.cancel()
            if write:
                self._loop.remove_writer(self._sock)

    def _readable(self) -> None:
        if self._future is None:
            self.close()  # nobody waits: the peer has to
        else:
            _finish(self._future, Ready(True, False))


def _finish(future: asyncio.Future[Ready], ready: Ready) -> None:
    if not future.done():
        future.set_result(ready)


def _select(sock: HasFileno, write: bool, read: bool, timeout: float | None) -> Ready:
    readable, writable, failed = select.select(
        [sock] if read else [], [sock] if write else [], [sock], timeout
    )
    return Ready(bool(readable or (failed and read)), bool(writable or failed))
