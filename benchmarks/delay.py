"""A proxy that is a long way off: what it is sent leaves it some milliseconds later, in either direction.

    delay.py PORT TARGET_PORT MILLISECONDS

Only time is added: there is no limit to how much is under way. A round trip through it takes twice the delay.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque

ENDED = b""
"""Stands in the queue for the end of a direction."""


class Delayed(asyncio.Protocol):
    """One side of a connection: what comes in leaves on the other side after the delay, in order."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.transport: asyncio.Transport | None = None
        self.other: Delayed | None = None
        self._under_way: deque[bytes] = deque()
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._queue(data)

    def eof_received(self) -> bool:
        self._queue(ENDED)
        return True  # the other direction goes on

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._queue(ENDED)

    def _queue(self, data: bytes) -> None:
        self._under_way.append(data)
        asyncio.get_running_loop().call_later(self.seconds, self._deliver)

    def _deliver(self) -> None:
        """The first of the queue is due: timers of one delay end in order, and there is one for each."""
        data = self._under_way.popleft()
        other = self.other
        if other is None or other.transport is None or other.transport.is_closing():
            return
        if data:
            other.transport.write(data)
            return
        self._ended = True
        if self.transport is not None and not other._ended:
            other.transport.write_eof()  # the other direction goes on
            return
        other.transport.close()
        if self.transport is not None:
            self.transport.close()


class Arrival(Delayed):
    """The side that was connected to: it connects to the target in turn."""

    def __init__(self, seconds: float, target: int) -> None:
        super().__init__(seconds)
        self.target = target
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None
        self.transport.pause_reading()
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        assert self.transport is not None
        there = Delayed(self.seconds)
        try:
            await asyncio.get_running_loop().create_connection(lambda: there, "127.0.0.1", self.target)
        except OSError:
            self.transport.abort()
            return
        self.other, there.other = there, self
        self.transport.resume_reading()


async def listen(port: int, target: int, seconds: float) -> asyncio.Server:
    """Start the proxy."""
    return await asyncio.get_running_loop().create_server(lambda: Arrival(seconds, target), "127.0.0.1", port)


async def serve(port: int, target: int, seconds: float) -> None:
    """Until killed."""
    await (await listen(port, target, seconds)).serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1000))
