"""The handshake of TLS, for the blocking face."""

from __future__ import annotations

import socket
import time

from dcmnet._net.readiness import Wake
from dcmnet._net.tls import Security, TLSSocket, Waiter
from dcmnet._net.tls_context import cipher_suites
from dcmnet._net.trace import logger
from dcmnet.errors import AssociationAborted, DeadlineExceeded
from dcmnet.procedures.association import AssociationCore

__all__ = ["attach", "cipher_suites", "secure"]


def attach(core: AssociationCore, sock: TLSSocket) -> None:
    """Tell the association about its TLS connection."""
    core.peer = sock.peer
    core.tls = sock.session()
    logger.debug("%s: %s", sock.peer, core.tls)


def secure(
    sock: socket.socket,
    security: Security,
    *,
    seconds: float | None,
    deadline: float | None = None,
    wake: Wake | None = None,
) -> TLSSocket:
    """Make a TLS connection of a plain one, which is closed where that fails.

    Args:
        sock: The connection.
        security: What is wanted of TLS.
        seconds: How long the handshake may take in all; None for as long as it likes.
        deadline: When it is over in any case: what connecting has left of its time.
        wake: Set when the server stops.

    Raises:
        TransportClosed: The handshake failed.
        DeadlineExceeded: It took too long.
        AssociationAborted: The server stops.
    """
    if seconds is not None:
        end = time.monotonic() + seconds
        deadline = end if deadline is None else min(end, deadline)
    secured = security.wrap(sock)
    try:
        waiter = Waiter(secured, wake)
        while not secured.handshake():
            writes = secured.reading_writes
            timeout = None if deadline is None else deadline - time.monotonic()
            if waiter.wait(write=writes, read=not writes, timeout=timeout).woken:
                raise AssociationAborted(0, 0, locally=True)
            if deadline is not None and time.monotonic() >= deadline:
                raise DeadlineExceeded("TLS handshake", seconds)
    except BaseException:
        secured.close()
        raise
    return secured
