"""What a supervisor and its workers say to each other, and a worker's end of it.

Records of one size go over a Unix socket, so that none is ever received in part. A connection travels as the
descriptor beside its record.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from dcmnet._net.admission import Verdict
from dcmnet._net.readiness import Waiter
from dcmnet._net.trace import logger
from dcmnet._net.transfer import address_text

RECORD_LENGTH = 64
"""Bytes of a record: the longest is `ready` with an identifier of 16 characters."""

NOW = getattr(socket, "MSG_DONTWAIT", 0)
_NOT_INHERITED = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


def encode_record(*words: object) -> bytes:
    """The words of a record, as bytes of its fixed length."""
    return " ".join(map(str, words)).encode("ascii").ljust(RECORD_LENGTH)


class RecordReader:
    """Cuts what has been received into records."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[list[str]]:
        """The words of each record that is complete now."""
        self._rest += data
        while len(self._rest) >= RECORD_LENGTH:
            record, self._rest = self._rest[:RECORD_LENGTH], self._rest[RECORD_LENGTH:]
            yield record.decode("ascii").split()


# Not socket.send_fds and recv_fds, which do not pass the flags on.


def send_with(sock: socket.socket, record: bytes, descriptor: int) -> None:
    """Send a record and a descriptor.

    Raises:
        OSError: They cannot be sent now, or never more.
    """
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [descriptor]))
    sock.sendmsg([record], [rights], NOW)


def _receive_record(sock: socket.socket) -> tuple[bytes, array[int]]:
    """A record and the descriptor beside it, if there is one."""
    descriptor = array("i")
    space = socket.CMSG_LEN(descriptor.itemsize)
    data, ancillary, _, _ = sock.recvmsg(RECORD_LENGTH, space, NOW | _NOT_INHERITED)
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptor.frombytes(content[: len(content) // descriptor.itemsize * descriptor.itemsize])
    return data, descriptor


class Arrival(NamedTuple):
    """A connection for a worker, and what has been decided about it."""

    connection: socket.socket
    peer: str
    verdict: Verdict
    done: Callable[[], None]


class Link:
    """A worker's connection to its supervisor: takes connections, and tells which have ended.

    It stands in a worker for what its server is in the parent.

    Args:
        sock: To the supervisor, blocking: it always listens.
        port: Where the server listens.
        addresses: `host:port` each.
        count: How many associations all workers have now.

    Attributes:
        drain: Seconds for the associations under way, once the server has been told to stop; else None.
        hastened: Whether these are to be aborted now.
    """

    def __init__(
        self, sock: socket.socket, port: int, addresses: Sequence[str], count: Callable[[], int]
    ) -> None:
        self._sock = sock
        self._lock = threading.Lock()
        self._count = count
        self.port = port
        self.addresses = list(addresses)
        self.stopping = False
        self.drain: float | None = None
        self.hastened = False

    @property
    def associations(self) -> int:
        """How many associations all workers have now."""
        return self._count()

    @property
    def sock(self) -> socket.socket:
        """The socket, to wait for."""
        return self._sock

    def tell(self, *words: object) -> None:
        """Tell the supervisor something; nothing happens when it is gone."""
        with contextlib.suppress(OSError), self._lock:
            self._sock.sendall(encode_record(*words))

    def arrivals(self) -> Iterator[Arrival]:
        """Connections as they come, until the server is to stop."""
        waiter = Waiter(self._sock)
        while self.drain is None:
            waiter.wait()
            arrival = self.receive()
            if arrival is not None:
                yield arrival

    def wait_for_haste(self) -> None:
        """Wait until what is left is to be aborted."""
        waiter = Waiter(self._sock)
        while not self.hastened:
            waiter.wait()
            self.refuse(self.receive())

    @staticmethod
    def refuse(arrival: Arrival | None) -> None:
        """Close a connection that comes too late, if there is one."""
        if arrival is not None:
            arrival.connection.close()
            arrival.done()

    def receive(self) -> Arrival | None:
        """Take the next record, which has come: a connection, or something that changes the attributes."""
        descriptor = array("i")
        try:
            data, descriptor = _receive_record(self._sock)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        words = data.decode("ascii").split()
        if not words:  # the supervisor is gone, and with it the port
            self._stop(0.0)
            self.hastened = True
        elif words[0] == "drain":
            self._stop(float(words[1]))
        elif words[0] == "hasten":
            self.hastened = True
        else:
            return self._arrival(Verdict(words[0]), words[1], descriptor)
        return None

    def wait(self, timeout: float | None = None) -> bool:
        """Whether the server has been told to stop: who serves in it cannot wait for its end."""
        return self.stopping

    def begin_shutdown(self, drain: float) -> float:
        """Ask for the end of the whole server, from a handler; nobody there can wait for it."""
        self.tell("drain", drain)
        return 0.0

    def shutdown(self, drain: float) -> None:
        """The same."""
        self.begin_shutdown(drain)

    def kill(self) -> None:
        """Nothing: a worker does not end its supervisor."""

    def hasten(self) -> None:
        """Have every worker abort what is left."""
        self.tell("hasten", 0)

    def _stop(self, drain: float) -> None:
        self.stopping = True
        if self.drain is None:
            self.drain = drain

    def _arrival(self, verdict: Verdict, number: str, descriptor: array[int]) -> Arrival | None:
        if not descriptor:
            logger.warning("cannot take a connection: this process has no descriptor left")
            self.tell("untaken", number)
            return None
        self.tell("taken", number)
        done = partial(self.tell, "done", number)
        os.set_inheritable(descriptor[0], False)
        connection = socket.socket(fileno=descriptor[0])
        try:
            peer = address_text(connection.getpeername()).rpartition(":")[0]
        except OSError:  # gone already
            connection.close()
            done()
            return None
        return Arrival(connection, peer, verdict, done)
