"""The limit: a bare pair of Python programs that moves files with as little as can be, and without DICOM.

    raw.py receive PORT FOLDER
    raw.py send PORT FOLDER

The sender reads a file (a large one goes by `sendfile`), sends its length and its bytes, and waits for an
answer as long as a C-STORE response before it takes the next one. The receiver writes to a file under a
temporary name, renames it, and answers. What a store costs above this is the protocol and its implementation.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from pathlib import Path

LENGTH = struct.Struct(">Q")
ANSWER = bytes(150)
BUFFER = 1 << 18
WHOLE = 1 << 20
"""A file up to this long is read and sent with its length in one call; a longer one goes by `sendfile`."""


def receive(listener: socket.socket, folder: str) -> None:
    """Take one connection after the other, until the listener is shut down."""
    buffer = memoryview(bytearray(BUFFER))
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            number = 0
            while _receive_one(connection, buffer, folder, number):
                number += 1


def _receive_one(connection: socket.socket, buffer: memoryview, folder: str, number: int) -> bool:
    """One file; False at the end of the connection."""
    filled = 0
    while filled < LENGTH.size:
        count = connection.recv_into(buffer[filled:])
        if not count:
            return False
        filled += count
    left = LENGTH.unpack_from(buffer)[0] - (filled - LENGTH.size)
    making = f"{folder}/.{number}"
    fd = os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    os.write(fd, buffer[LENGTH.size : filled])
    while left:
        count = connection.recv_into(buffer)
        if not count:
            raise ConnectionError("the sender went away in the middle of a file")
        os.write(fd, buffer[:count])
        left -= count
    os.close(fd)
    os.rename(making, f"{folder}/{number}.dcm")
    connection.sendall(ANSWER)
    return True


def send(port: int, folder: str) -> None:
    """Send every file of a folder."""
    paths = sorted(str(path) for path in Path(folder).iterdir())
    scratch = bytearray(LENGTH.size + WHOLE)
    answer = memoryview(bytearray(len(ANSWER)))
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for path in paths:
            fd = os.open(path, os.O_RDONLY)
            _send_one(connection, fd, memoryview(scratch))
            os.close(fd)
            due = len(ANSWER)
            while due:
                count = connection.recv_into(answer[:due])
                if not count:
                    raise ConnectionError("the receiver went away")
                due -= count


def _send_one(connection: socket.socket, fd: int, scratch: memoryview) -> None:
    size = os.fstat(fd).st_size
    LENGTH.pack_into(scratch, 0, size)
    if size <= WHOLE:
        count = os.readv(fd, [scratch[LENGTH.size : LENGTH.size + size]])
        connection.sendall(scratch[: LENGTH.size + count])
        return
    connection.sendall(scratch[: LENGTH.size])
    offset = 0
    while offset < size:
        offset += os.sendfile(connection.fileno(), fd, offset, size - offset)


def main(what: str, port: str, folder: str) -> None:
    """Either end."""
    if what == "send":
        send(int(port), folder)
        return
    with socket.create_server(("127.0.0.1", int(port))) as listener:
        receive(listener, folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
