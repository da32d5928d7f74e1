"""The handshake of TLS, and waiting for what it brings, for the asyncio face."""

from __future__ import annotations

import asyncio
import socket

from dcmnet._net.tls import Security, TLSSocket
from dcmnet._net.trace import logger
from dcmnet.aio.readiness import Ready
from dcmnet.aio.readiness import Waiter as SocketWaiter
from dcmnet.errors import DeadlineExceeded
from dcmnet.procedures.association import AssociationCore


class Waiter(SocketWaiter):
    """Waits for a TLS connection.

    Args:
        loop: The event loop.
        sock: The connection.
        busy_wait: As for a plain one.
    """

    __slots__ = ("_tls",)

    def __init__(self, loop: asyncio.AbstractEventLoop, sock: TLSSocket, *, busy_wait: float = 0.0) -> None:
        super().__init__(loop, sock, busy_wait=busy_wait)
        self._tls = sock

    async def wait(self, *, write: bool = False, read: bool = True, deadline: float | None = None) -> Ready:
        """Wait until it can be read or, with `write`, written; or until `deadline` (loop's clock)."""
        tls = self._tls
        if read and tls.pending():
            return Ready(True, False)
        crossed_read, crossed_write = read and tls.reading_writes, write and tls.writing_reads
        if not (crossed_read or crossed_write):
            return await super().wait(write=write, read=read, deadline=deadline)
        ready = await super().wait(write=write or crossed_read, read=read or crossed_write, deadline=deadline)
        return Ready(
            (read and ready.readable) or (crossed_read and ready.writable),
            (write and ready.writable) or (crossed_write and ready.readable),
        )


def attach(core: AssociationCore, sock: TLSSocket, loop: asyncio.AbstractEventLoop) -> Waiter:
    """Tell the association about its TLS connection; returns what waits for it."""
    core.peer = sock.peer
    core.tls = sock.session()
    logger.debug("%s: %s", sock.peer, core.tls)
    return Waiter(loop, sock, busy_wait=core.timeouts.busy_wait)


async def secure(
    sock: socket.socket, security: Security, *, seconds: float | None, deadline: float | None = None
) -> TLSSocket:
    """Make a TLS connection of a plain one, which is closed where that fails.

    Args:
        sock: The connection.
        security: What is wanted of TLS.
        seconds: How long the handshake may take in all; None for as long as it likes.
        deadline: When it is over in any case (loop's clock): what connecting has left of its time.

    Raises:
        TransportClosed: The handshake failed.
        DeadlineExceeded: It took too long.
    """
    loop = asyncio.get_running_loop()
    if seconds is not None:
        end = loop.time() + seconds
        deadline = end if deadline is None else min(end, deadline)
    secured = security.wrap(sock)
    waiter = Waiter(loop, secured)
    try:
        while not secured.handshake():
            writes = secured.reading_writes
            await waiter.wait(write=writes, read=not writes, deadline=deadline)
            if deadline is not None and loop.time() >= deadline:
                raise DeadlineExceeded("TLS handshake", seconds)
    except BaseException:
        waiter.close()
        secured.close()
        raise
    waiter.close()
    return secured
