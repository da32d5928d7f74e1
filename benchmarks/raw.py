"""The limit: a bare pair of Python programs that moves files with as little as can be, and without DICOM.

    raw.py [--spin] receive PORT FOLDER
    raw.py [--spin] send PORT FOLDER

The sender reads a file (a large one goes by `sendfile`), sends its length and its bytes, and waits for an
answer as long as a C-STORE response before it takes the next one. The receiver writes to a file under a
temporary name, renames it, and answers. What a store costs above this is the protocol and its implementation.

Either end sleeps while it waits, as programs do; with `--spin` it asks again and again, which is faster as
long as there is a processor for each end and nothing else to do for it.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path

LENGTH = struct.Struct(">Q")
ANSWER = bytes(150)
BUFFER = 1 << 18
WHOLE = 1 << 20
"""A file up to this long is read and sent with its length in one call; a longer one goes by `sendfile`."""


class Wire:
    """A connection; either every call blocks, or it is made until it no longer would."""

    def __init__(self, connection: socket.socket, spin: bool) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(not spin)
        self._connection = connection
        self.receive: Callable[[memoryview], int] = connection.recv_into
        if spin:
            self.receive = self._receive

    def _receive(self, room: memoryview) -> int:
        while True:
            try:
                return self._connection.recv_into(room)
            except BlockingIOError:
                pass

    def fill(self, room: memoryview) -> bool:
        """Receive as much as there is room for; False at the end of the connection."""
        while room:
            count = self.receive(room)
            if not count:
                return False
            room = room[count:]
        return True

    def send(self, data: memoryview) -> None:
        """Send all of it."""
        while data:
            try:
                data = data[self._connection.send(data) :]
            except BlockingIOError:
                pass

    def send_file(self, fd: int, size: int) -> None:
        """Send a file without reading it."""
        offset = 0
        while offset < size:
            try:
                offset += os.sendfile(self._connection.fileno(), fd, offset, size - offset)
            except BlockingIOError:
                pass


def receive(listener: socket.socket, folder: str, spin: bool = False) -> None:
    """Take one connection after the other, until the listener is shut down."""
    buffer = memoryview(bytearray(BUFFER))
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            wire = Wire(connection, spin)
            number = 0
            while _receive_one(wire, buffer, folder, number):
                number += 1


def _receive_one(wire: Wire, buffer: memoryview, folder: str, number: int) -> bool:
    """One file; False at the end of the connection."""
    filled = wire.receive(buffer)
    if not filled or (filled < LENGTH.size and not wire.fill(buffer[filled : LENGTH.size])):
        return False
    filled = max(filled, LENGTH.size)
    left = LENGTH.unpack_from(buffer)[0] - (filled - LENGTH.size)
    making = f"{folder}/.{number}"
    fd = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    os.write(fd, buffer[LENGTH.size : filled])
    while left:
        count = wire.receive(buffer)
        if not count:
            raise ConnectionError("the sender went away in the middle of a file")
        os.write(fd, buffer[:count])
        left -= count
    os.close(fd)
    os.rename(making, f"{folder}/{number}.dcm")
    wire.send(memoryview(ANSWER))
    return True


def send(port: int, folder: str, spin: bool = False) -> None:
    """Send every file of a folder."""
    paths = sorted(str(path) for path in Path(folder).iterdir())
    scratch = memoryview(bytearray(LENGTH.size + WHOLE))
    answer = memoryview(bytearray(len(ANSWER)))
    with socket.create_connection(("127.0.0.1", port)) as connection:
        wire = Wire(connection, spin)
        for path in paths:
            fd = os.open(path, os.O_RDONLY)
            _send_one(wire, fd, scratch)
            os.close(fd)
            if not wire.fill(answer):
                raise ConnectionError("the receiver went away")


def _send_one(wire: Wire, fd: int, scratch: memoryview) -> None:
    size = os.fstat(fd).st_size
    LENGTH.pack_into(scratch, 0, size)
    if size <= WHOLE:
        count = os.readv(fd, [scratch[LENGTH.size : LENGTH.size + size]])
        wire.send(scratch[: LENGTH.size + count])
    else:
        wire.send(scratch[: LENGTH.size])
        wire.send_file(fd, size)


def main(*arguments: str) -> None:
    """Either end."""
    what, port, folder = (each for each in arguments if each != "--spin")
    spin = "--spin" in arguments
    if what == "send":
        send(int(port), folder, spin)
        return
    with socket.create_server(("127.0.0.1", int(port))) as listener:
        receive(listener, folder, spin)


if __name__ == "__main__":
    main(*sys.argv[1:])
