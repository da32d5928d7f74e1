"""Move bytes between sockets, files and buffers with as few system calls and copies as Python allows."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dcmnet.errors import InputFileError
from dcmnet.payload import Buffer, FileRange, Payload

if TYPE_CHECKING:
    from dcmnet._net.tls import TLSSocket

IOV_MAX = 1024
"""Buffers that one system call takes (POSIX: at least 16; Linux, macOS and the BSDs: 1024)."""

_SMALL = 4096
"""Bytes that are joined rather than handed over in several buffers: a response, a C-ECHO."""

_TINY = 256
"""Bytes on average below which buffers are joined: the PDUs for a peer that takes short ones only."""

_NO_SCRATCH = memoryview(bytearray())
_HAS_PREADV = hasattr(os, "preadv")
_HAS_PREAD = hasattr(os, "pread")
_HAS_SENDMSG = hasattr(socket.socket, "sendmsg")


class Gatherer:
    """Brings the parts of a `Send` into buffers, reading file ranges into a scratch buffer of its own.

    The scratch buffer is made when the first file range comes and kept: it is as large as the largest batch.
    """

    __slots__ = ("_scratch",)

    def __init__(self) -> None:
        self._scratch = _NO_SCRATCH

    def rest(self) -> None:
        """Give the scratch buffer up; no bytes of the last `gather` may be needed any more."""
        self._scratch = _NO_SCRATCH

    def gather(self, parts: Sequence[Payload]) -> list[memoryview]:
        """The bytes of `parts`, in order; valid until the next call.

        Raises:
            InputFileError: A file is shorter than its range, or cannot be read; nothing of `parts` may be
                sent then.
        """
        total = sum(map(len, parts))
        if FileRange not in map(type, parts):
            if total <= max(_SMALL, len(parts) * _TINY):
                return [memoryview(b"".join(parts))]  # type: ignore[arg-type]  # no range among them
            return [memoryview(part) for part in parts]  # type: ignore[arg-type]
        if len(self._scratch) < total:
            self._scratch = memoryview(bytearray(total))
        scratch = self._scratch
        position = 0
        fd, offset, run = -1, 0, [scratch[:0]]
        del run[0]
        for part in parts:
            end = position + len(part)
            if type(part) is FileRange:
                if part.fd != fd or part.offset != offset:
                    _read_run(fd, offset, run)
                    fd, offset = part.fd, part.offset
                run.append(scratch[position:end])
                offset += part.count
            else:
                scratch[position:end] = part  # type: ignore[assignment]  # a buffer
            position = end
        _read_run(fd, offset, run)
        return [scratch[:total]]


def _read_run(fd: int, end: int, run: list[memoryview]) -> None:
    """Fill the views of `run` with what lies in front of `end`, then empty the list."""
    offset = end - sum(map(len, run))
    for first in range(0, len(run), IOV_MAX):
        views = run[first : first + IOV_MAX]
        wanted = sum(map(len, views))
        try:
            count = _read_at(fd, views, offset, wanted)
        except OSError as error:
            raise InputFileError(f"descriptor {fd}", f"cannot be read: {error.strerror}") from error
        if count != wanted:
            raise InputFileError(f"descriptor {fd}", "the file has become shorter while it was being sent")
        offset += wanted
    run.clear()


def _read_at(fd: int, views: list[memoryview], offset: int, wanted: int) -> int:
    if _HAS_PREADV:
        count = os.preadv(fd, views, offset)
        if count in (wanted, 0):
            return count
    return _read_slowly(fd, views, offset)


def _read_slowly(fd: int, views: list[memoryview], offset: int) -> int:
    """What a short `preadv` left over, and systems without it."""
    total = 0
    for view in views:
        position = 0
        while position < len(view):
            data = _pread(fd, len(view) - position, offset + total)
            if not data:
                return total
            view[position : position + len(data)] = data
            position += len(data)
            total += len(data)
    return total


def _pread(fd: int, count: int, offset: int) -> bytes:
    if _HAS_PREAD:  # the file may be the caller's, and have a position of its own
        return os.pread(fd, count, offset)
    os.lseek(fd, offset, os.SEEK_SET)
    return os.read(fd, count)


def send_some(sock: socket.socket | TLSSocket, buffers: Sequence[Buffer]) -> int:
    """Send as much as the socket takes now.

    Returns:
        The number of bytes that went out.

    Raises:
        BlockingIOError: It takes nothing now.
    """
    if len(buffers) == 1 or not _HAS_SENDMSG:
        return sock.send(buffers[0])
    return sock.sendmsg(buffers[:IOV_MAX])


def total_length(buffers: Sequence[memoryview]) -> int:
    """How many bytes these are together."""
    return sum(map(len, buffers))


def unsent_length(sock: socket.socket | TLSSocket, buffers: Sequence[memoryview]) -> int:
    """How many bytes at the end of these are certainly not with the system yet."""
    return total_length(buffers) - (0 if isinstance(sock, socket.socket) else sock.perhaps_sent)


def rest_after(buffers: list[memoryview], count: int) -> list[memoryview]:
    """What is left of `buffers` once `count` bytes have gone."""
    if count == total_length(buffers):
        return []
    for index, view in enumerate(buffers):
        if count < len(view):
            return [view[count:], *buffers[index + 1 :]]
        count -= len(view)
    return []


def prepare(sock: socket.socket) -> None:
    """Set the options of a connected socket: non-blocking, small messages leave at once, dead peers show."""
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def reason_text(error: OSError | None) -> str:
    """Why a connection failed, in the system's words: asyncio puts its own in their place."""
    if error is None:
        return "it has no address"
    return os.strerror(error.errno) if error.errno else str(error)


def address_text(address: object) -> str:
    """`host:port` of a socket address, an IPv6 host in brackets."""
    match address:
        case (str(host), int(port), *_):
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        case _:
            return str(address)
