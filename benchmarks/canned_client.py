"""A client that sends canned bytes on many associations from one process, as cheaply as Python allows.

    canned_client.py store PORT FILE COUNT ASSOCIATIONS [PDU]
    canned_client.py associate PORT COUNT AT_ONCE

`store` sends COUNT instances of FILE over so many associations at once, each of which waits for its response.
`associate` makes COUNT associations, each with one C-ECHO and a release. Both print a line of JSON: how many
responses with status 0000 there were, and seconds, for `store` without those of associating and of releasing.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

if not __package__:  # run as a script
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    sys.path.insert(1, str(Path(__file__).resolve().parent.parent / "src"))

from benchmarks import canned
from benchmarks.canned import CannedStore, Template, Unexpected

Conversation: TypeAlias = "Generator[Sequence[memoryview], tuple[bytearray, int], None]"
"""Yields what to send, and is sent the PDU that answers: a buffer and how many bytes of it count."""

ANSWER = 4096
"""Bytes of the longest answer that is understood: responses have some 150, an A-ASSOCIATE-AC some 200."""
PATIENCE = 60.0


class Line:
    """A connection and what is being said on it."""

    __slots__ = ("_answer", "_filled", "_room", "_unsent", "connection", "conversation", "writing")

    def __init__(self, connection: socket.socket, conversation: Conversation) -> None:
        connection.setblocking(False)
        self.connection = connection
        self.conversation = conversation
        self.writing = False
        self._answer = bytearray(ANSWER)
        self._room = memoryview(self._answer)
        self._filled = 0
        self._unsent: list[memoryview] = []

    def begin(self) -> None:
        """Send what comes first."""
        self._unsent = list(next(self.conversation))
        self.flush()

    def readable(self) -> bool:
        """Take what has come, and send what follows once an answer is whole.

        Returns:
            Whether the conversation goes on.
        """
        count = self.connection.recv_into(self._room[self._filled :])
        if not count:
            raise Unexpected("the peer closed the connection, or its answer is too long")
        self._filled += count
        if self._filled < 6 or self._filled < 6 + int.from_bytes(self._room[2:6], "big"):
            return True
        length, self._filled = self._filled, 0
        try:
            self._unsent = list(self.conversation.send((self._answer, length)))
        except StopIteration:
            return False
        self.flush()
        return True

    def flush(self) -> None:
        """Send as much as the connection takes now."""
        while self._unsent:
            try:
                count = self.connection.sendmsg(self._unsent)
            except BlockingIOError:
                break
            while self._unsent and count >= len(self._unsent[0]):
                count -= len(self._unsent.pop(0))
            if self._unsent:
                self._unsent[0] = self._unsent[0][count:]
        self.writing = bool(self._unsent)


def converse(lines: Iterator[Line], at_once: int) -> None:
    """Hold conversations, so many at a time, until there are no more."""
    with selectors.DefaultSelector() as selector:
        events: dict[Line, int] = {}
        try:
            for _ in range(at_once):
                _next_line(selector, lines, events)
            _hold(selector, lines, events)
        finally:
            for line in events:
                line.connection.close()


def _hold(selector: selectors.BaseSelector, lines: Iterator[Line], events: dict[Line, int]) -> None:
    while events:
        ready = selector.select(PATIENCE)
        if not ready:
            raise Unexpected(f"nothing was answered for {PATIENCE:.0f} s")
        for key, mask in ready:
            line: Line = key.data
            if mask & selectors.EVENT_WRITE:
                line.flush()
            if mask & selectors.EVENT_READ and not line.readable():
                selector.unregister(line.connection)
                line.connection.close()
                del events[line]
                _next_line(selector, lines, events)
                continue
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if line.writing else 0)
            if wanted != events[line]:
                selector.modify(line.connection, wanted, line)
                events[line] = wanted


def _next_line(selector: selectors.BaseSelector, lines: Iterator[Line], events: dict[Line, int]) -> None:
    line = next(lines, None)
    if line is None:
        return
    line.begin()
    events[line] = selectors.EVENT_READ | (selectors.EVENT_WRITE if line.writing else 0)
    selector.register(line.connection, events[line], line)


class Count:
    """How many responses with status 0000 there were, and when the last one came."""

    def __init__(self) -> None:
        self.responses = 0
        self.last = 0.0

    def storing(self, store: CannedStore, numbers: Iterator[int]) -> Conversation:
        """Store objects until there are no more numbers, then release."""
        for number in numbers:
            message_id = store.instance(number)
            pdu, length = yield store.parts
            canned.check_response(pdu, length, message_id)
            self.responses += 1
        self.last = time.perf_counter()
        yield from _releasing()

    def associating(self, asking: bytes, echo: bytes) -> Conversation:
        """Associate, echo, release."""
        pdu, length = yield (memoryview(asking),)
        canned.check_accepted(pdu)
        pdu, length = yield (memoryview(echo),)
        canned.check_response(pdu, length, 1)
        self.responses += 1
        yield from _releasing()
        self.last = time.perf_counter()


def _releasing() -> Conversation:
    pdu, _ = yield (memoryview(canned.RELEASE),)
    if pdu[0] != 6:
        raise Unexpected(f"a PDU of type {pdu[0]} instead of an A-RELEASE-RP")


def store(port: int, path: Path, count: int, associations: int, pdu: int = 131072) -> dict[str, float]:
    """Send `count` objects over so many associations at once."""
    template = Template(path)
    whole = CannedStore.encode(template, pdu)
    asking = canned.request(template.meta.sop_class_uid, template.meta.transfer_syntax)
    connections = [canned.associate(port, asking) for _ in range(associations)]
    numbers = iter(range(count))
    done = Count()
    lines = iter([Line(each, done.storing(CannedStore(whole), numbers)) for each in connections])
    begun = time.perf_counter()
    converse(lines, associations)
    return {"responses": done.responses, "seconds": done.last - begun}


def associate(port: int, count: int, at_once: int) -> dict[str, float]:
    """Make `count` associations, so many at a time."""
    asking = canned.request(canned.VERIFICATION, canned.IMPLICIT_VR_LITTLE_ENDIAN)
    echo = bytes(canned.echo())
    done = Count()
    lines = (Line(_connect(port), done.associating(asking, echo)) for _ in range(count))
    begun = time.perf_counter()
    converse(lines, at_once)
    return {"responses": done.responses, "seconds": done.last - begun}


def _connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), PATIENCE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def main(what: str, port: str, *others: str) -> int:
    """Print what came of it."""
    try:
        if what == "store":
            path, *numbers = others
            result = store(int(port), Path(path), *map(int, numbers))
        else:
            result = associate(int(port), *map(int, others))
    except (OSError, Unexpected) as error:
        print(f"canned client: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
