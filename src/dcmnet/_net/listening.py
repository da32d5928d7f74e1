"""Listening sockets, and accepting from them."""

from __future__ import annotations

import contextlib
import errno
import socket
import threading

from dcmnet._net.trace import logger
from dcmnet._net.transfer import address_text

BACKLOG = 1024
"""Connections that wait to be accepted; the system caps it (net.core.somaxconn)."""

PAUSE = 0.05
"""Seconds before the next try when there is no descriptor or memory left for another connection."""

NOT_HERE = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
"""Errors of an address family that this machine does not have: IPv6 is often switched off."""

OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""Errors of `accept` that pass when somebody else closes something."""


def open_listeners(host: str, port: int, family: int = socket.AF_UNSPEC) -> list[socket.socket]:
    """Bind and listen on every address that `host` stands for, all on the same port.

    Args:
        host: Name or address; "" for every address of this machine, of the families that it has.
        port: TCP port; 0 for a free one.
        family: `AF_INET`, `AF_INET6`, or `AF_UNSPEC` for both.

    Raises:
        OSError: An address cannot be had; for "", all of them.
    """
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    try:
        found = socket.getaddrinfo(host or None, port, family, socket.SOCK_STREAM, 0, socket.AI_PASSIVE)
        for kind, _, _, _, address in dict.fromkeys(found):
            bound = (
                (address[0], sockets[0].getsockname()[1], *address[2:]) if sockets and port == 0 else address
            )
            try:
                sockets.append(_listener(kind, bound))
            except OSError as error:
                if host or error.errno not in NOT_HERE:
                    raise
                missing = error
        if missing is not None and not sockets:
            raise missing
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _listener(family: int, address: tuple[object, ...]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if hasattr(socket, "SO_REUSEADDR") and not hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def close_listener(sock: socket.socket) -> None:
    """Stop listening, also if a child process has a copy of the socket, which would keep the port."""
    with contextlib.suppress(OSError):  # Linux ends the listening with it, others do not know it
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()


class Listener:
    """Listens on every address of a host.

    Args:
        host: Name or address; "" for all.
        port: TCP port; 0 for a free one.
        family: Address family.

    Attributes:
        sockets: Non-blocking, one an address.
    """

    def __init__(self, host: str, port: int, family: int = socket.AF_UNSPEC) -> None:
        self.sockets = open_listeners(host, port, family)
        self._stopped = threading.Event()

    @property
    def port(self) -> int:
        """The port, the same on every address."""
        port: int = self.sockets[0].getsockname()[1]
        return port

    @property
    def addresses(self) -> list[str]:
        """Every address, `host:port` each."""
        return [address_text(sock.getsockname()) for sock in self.sockets]

    def accept(self, listener: socket.socket) -> tuple[socket.socket, str] | None:
        """The next connection to one of the sockets and the peer's address; None where there is none now."""
        try:
            connection, address = listener.accept()
        except OSError as error:
            if (
                error.errno in OUT_OF_RESOURCES
            ):  # the connection goes on waiting; without a pause we would spin
                logger.warning("cannot accept a connection: %s", error)
                self._stopped.wait(PAUSE)
            return None  # or it is gone again
        return connection, address_text(address)

    def close(self) -> None:
        """Close the listening sockets."""
        self._stopped.set()
        for sock in self.sockets:
            close_listener(sock)

    def disown(self) -> None:
        """Close this process's copies, in a child that was forked: the parent goes on listening."""
        for sock in self.sockets:
            sock.close()
