"""How fast one thread gets files into a socket, in several ways: `python benchmarks/pouring.py [BATCH]`.

The other end, a process of its own, throws the bytes away. There is no DICOM but headers of twelve bytes
between pieces as long as a PDV of 131072 bytes: a Storage SCU that does the same cannot be faster. Prints,
for each way, the median of the rounds in microseconds for a file: on the clock, of the sender's processor, of
the receiver's.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from multiprocessing.queues import Queue
from pathlib import Path
from queue import SimpleQueue

if not __package__:  # run as a script
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    sys.path.insert(1, str(Path(__file__).resolve().parent.parent / "src"))

from benchmarks.objects import BATCHES, objects_of

OFFSET = 308
"""Where the data set begins, about: it is never where a page begins."""
HEADER = bytes(12)
PIECE = 131066
PIPE = 1 << 20
ROUNDS = 7
MOST_FILES = 400

One = Callable[[socket.socket, str], None]
Way = Callable[[socket.socket, list[str]], None]


def pieces(length: int) -> Iterator[tuple[int, int]]:
    """Offset and length of each PDV."""
    for start in range(0, length, PIECE):
        yield start, min(PIECE, length - start)


def send_all(connection: socket.socket, data_set: memoryview) -> None:
    """Send a data set with headers, in as few calls as the connection takes."""
    parts = [
        part for start, count in pieces(len(data_set)) for part in (HEADER, data_set[start : start + count])
    ]
    views = [memoryview(part) for part in parts]
    while views:
        count = connection.sendmsg(views)
        while views and count >= len(views[0]):
            count -= len(views.pop(0))
        if views:
            views[0] = views[0][count:]


def read(path: str, buffer: memoryview) -> memoryview:
    """Read the data set of a file."""
    fd = os.open(path, os.O_RDONLY)
    room = buffer[: os.fstat(fd).st_size - OFFSET]
    os.preadv(fd, [room], OFFSET)
    os.close(fd)
    return room


def reading(buffer: memoryview) -> Way:
    """Read a file into a buffer and send that."""
    return one_by_one(lambda connection, path: send_all(connection, read(path, buffer)))


def reading_ahead(buffers: list[memoryview]) -> Way:
    """The same, with a thread that reads the next files meanwhile."""

    def send(connection: socket.socket, paths: list[str]) -> None:
        free: SimpleQueue[memoryview] = SimpleQueue()
        ready: SimpleQueue[tuple[memoryview, memoryview]] = SimpleQueue()
        for buffer in buffers:
            free.put(buffer)

        def read_all() -> None:
            for path in paths:
                buffer = free.get()
                ready.put((buffer, read(path, buffer)))

        thread = threading.Thread(target=read_all)
        thread.start()
        for _ in paths:
            buffer, data_set = ready.get()
            send_all(connection, data_set)
            free.put(buffer)
        thread.join()

    return send


def one_by_one(send: One) -> Way:
    """A way to send one file, for many."""

    def send_them(connection: socket.socket, paths: list[str]) -> None:
        for path in paths:
            send(connection, path)

    return send_them


def mapping(connection: socket.socket, path: str) -> None:
    """Send a file from where it is mapped."""
    fd = os.open(path, os.O_RDONLY)
    flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
    mapped = mmap.mmap(fd, os.fstat(fd).st_size, flags=flags, prot=mmap.PROT_READ)
    os.close(fd)
    send_all(connection, memoryview(mapped)[OFFSET:])


def sendfile(connection: socket.socket, path: str) -> None:
    """Let the system send a file."""
    fd = os.open(path, os.O_RDONLY)
    for start, count in pieces(os.fstat(fd).st_size - OFFSET):
        connection.send(HEADER, getattr(socket, "MSG_MORE", 0))
        position, end = OFFSET + start, OFFSET + start + count
        while position < end:
            position += os.sendfile(connection.fileno(), fd, position, end - position)
    os.close(fd)


def splicing(connection: socket.socket, path: str) -> None:
    """Have headers and pages lie in a pipe, by reference, and move from there to the connection."""
    reader, writer = pipe()
    fd = os.open(path, os.O_RDONLY)
    left = 0
    for start, count in pieces(os.fstat(fd).st_size - OFFSET):
        left += os.write(writer, HEADER)
        position, end = OFFSET + start, OFFSET + start + count
        while position < end:
            moved = os.splice(fd, writer, end - position, offset_src=position)
            position += moved
            left += moved
    while left:
        left -= os.splice(reader, connection.fileno(), left)
    os.close(fd)


@cache
def pipe() -> tuple[int, int]:
    """One that has room for a file."""
    import fcntl  # as `splice` only where there is one

    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE)
    return reader, writer


def all_ways(length: int) -> dict[str, Way]:
    """Every way to send files of at most that length."""
    by_reference = {"sendfile": one_by_one(sendfile)}
    if hasattr(os, "splice"):
        by_reference["splice"] = one_by_one(splicing)
    return {
        "read, then send": reading(memoryview(bytearray(length))),
        "the same, buffer of whole pages": reading(memoryview(mmap.mmap(-1, length))),
        "a thread reads ahead": reading_ahead([memoryview(bytearray(length)) for _ in range(3)]),
        "send from a mapping": one_by_one(mapping),
        **by_reference,
    }


def throw_away(listener: socket.socket, spent: Queue[float]) -> None:
    """Receive from one connection after the other; tell how much processor time each took."""
    buffer = memoryview(bytearray(1 << 18))
    while True:
        connection, _ = listener.accept()
        before = time.process_time()
        with connection:
            while connection.recv_into(buffer):
                pass
        spent.put(time.process_time() - before)


def measure(way: Way, port: int, files: list[str], spent: Queue[float]) -> tuple[float, float, float]:
    """Microseconds for a file: on the clock, the sender's processor, the receiver's."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        clock, processor = time.perf_counter(), time.process_time()
        way(connection, files)
        taken = time.perf_counter() - clock, time.process_time() - processor
    each = 1e6 / len(files)
    return taken[0] * each, taken[1] * each, spent.get() * each


def main(name: str = "527kB") -> None:
    """Measure every way, in turn, round after round."""
    batch = BATCHES[name]
    files = sorted(str(path) for path in objects_of(batch, batch.count).iterdir())[:MOST_FILES]
    spent: Queue[float] = multiprocessing.Queue()
    ways = all_ways(2 * batch.size)
    found: dict[str, list[tuple[float, float, float]]] = {each: [] for each in ways}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        receiver = multiprocessing.Process(target=throw_away, args=(listener, spent), daemon=True)
        receiver.start()
        for _ in range(ROUNDS):
            for label, way in ways.items():
                found[label].append(measure(way, listener.getsockname()[1], files, spent))
        receiver.kill()
    print(f"{'us for a file of ' + name:34}{'clock':>8}{'sender':>8}{'receiver':>10}")
    for label, runs in found.items():
        clock, sender, receiving = (statistics.median(column) for column in zip(*runs, strict=True))
        print(f"{label:34}{clock:8.0f}{sender:8.0f}{receiving:10.0f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
