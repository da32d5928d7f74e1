"""A relay that records what passes between two peers, and a pcap file of it that Wireshark can read."""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.conformance.peers import HOST, RUN_SECONDS

REQUESTOR_PORT = 50000
"""Port of the first requestor in a pcap file; the next ones count up."""

_SEGMENT = 60000
_LINKTYPE_RAW = 101
_TCP = 6
_FIN, _SYN, _PSH, _ACK = 0x01, 0x02, 0x08, 0x10


@dataclass(slots=True)
class Conversation:
    """One connection: what was sent, in order; True for what the requestor sent."""

    pieces: list[tuple[bool, bytes]] = field(default_factory=list)
    finished: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True)
class Relay:
    """Where to connect to, and what was said there."""

    port: int
    conversations: list[Conversation] = field(default_factory=list)

    def heard(self) -> list[Conversation]:
        """The conversations so far, all of them over."""
        for conversation in self.conversations:
            assert conversation.finished.wait(RUN_SECONDS), "a connection has not ended"
        return self.conversations


@contextmanager
def relay(port: int, cut_after: int | None = None) -> Iterator[Relay]:
    """Pass on every connection to a port of this machine, and record it.

    Args:
        port: The acceptor's.
        cut_after: Break a connection when its requestor has sent so many bytes; None for never.
    """
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((HOST, 0)))
        recorded = Relay(listener.getsockname()[1])
        threads: list[threading.Thread] = []

        def accept() -> None:
            while True:
                try:
                    requestor, _ = listener.accept()
                except OSError:
                    return
                conversation = Conversation()
                recorded.conversations.append(conversation)
                thread = threading.Thread(target=_converse, args=(requestor, port, conversation, cut_after))
                threads.append(thread)
                thread.start()

        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield recorded
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            for thread in (accepting, *threads):
                thread.join()


def _converse(requestor: socket.socket, port: int, conversation: Conversation, cut_after: int | None) -> None:
    with requestor, socket.create_connection((HOST, port), timeout=RUN_SECONDS) as acceptor:
        requestor.settimeout(RUN_SECONDS)
        back = threading.Thread(target=_pass_on, args=(acceptor, requestor, False, conversation))
        back.start()
        _pass_on(requestor, acceptor, True, conversation, cut_after)
        back.join()
    conversation.finished.set()


def _pass_on(
    source: socket.socket,
    target: socket.socket,
    sent: bool,
    conversation: Conversation,
    cut_after: int | None = None,
) -> None:
    total = 0
    with contextlib.suppress(OSError):
        while (cut_after is None or total < cut_after) and (data := source.recv(_SEGMENT)):
            total += len(data)
            conversation.pieces.append((sent, data))
            target.sendall(data)
    if cut_after is not None:  # this side first: what the other one says when it notices must not pass
        with contextlib.suppress(OSError):
            source.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


# ---------------------------------------------------------------------- pcap


def write_pcap(path: Path, conversations: Sequence[Conversation], port: int) -> None:
    """Write conversations as TCP connections to a port, from handshake to FIN, in the format of libpcap."""
    clock = itertools.count()
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 0xFFFF, _LINKTYPE_RAW))
        for number, conversation in enumerate(conversations):
            for packet in _packets(conversation, REQUESTOR_PORT + number, port):
                seconds, micros = divmod(next(clock) * 100, 1_000_000)
                file.write(struct.pack("<IIII", seconds, micros, len(packet), len(packet)) + packet)


def _packets(conversation: Conversation, requestor: int, acceptor: int) -> Iterator[bytes]:
    ports = {True: (requestor, acceptor), False: (acceptor, requestor)}
    sequence = {True: 1000, False: 2000}

    def packet(sent: bool, flags: int, data: bytes = b"") -> bytes:
        acknowledged = sequence[not sent] if flags & _ACK else 0
        header = struct.pack(
            ">HHIIBBHHH", *ports[sent], sequence[sent], acknowledged, 5 << 4, flags, 0xFFFF, 0, 0
        )
        sequence[sent] += len(data) + bool(flags & (_SYN | _FIN))
        return _internet(header + data)

    yield packet(True, _SYN)
    yield packet(False, _SYN | _ACK)
    yield packet(True, _ACK)
    for sent, data in conversation.pieces:
        yield packet(sent, _PSH | _ACK, data)
        yield packet(not sent, _ACK)
    yield packet(True, _FIN | _ACK)
    yield packet(False, _FIN | _ACK)
    yield packet(True, _ACK)


def _internet(segment: bytes) -> bytes:
    address = socket.inet_aton(HOST)
    return (
        struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0x4000, 64, _TCP, 0)
        + address
        + address
        + segment
    )
