"""A server that accepts everything, answers with canned bytes and writes nothing.

    canned_server.py PORT FILE [PDU]

It counts the objects and the bytes of their data sets, and puts both into FILE, as JSON, before it answers a
release. A thread an association.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

if not __package__:  # run as a script
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    sys.path.insert(1, str(Path(__file__).resolve().parent.parent / "src"))

from benchmarks import canned
from benchmarks.canned import NUMBER, Unexpected

BUFFER = 1 << 18
STORE = 0x0001
ECHO = 0x0030


class Incoming:
    """What comes in on a connection: a few bytes together, or any number passed over.

    Attributes:
        answers: What is sent, in one call, before more is received.
    """

    __slots__ = ("_connection", "_end", "_room", "answers", "buffer")

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.answers = bytearray()
        self.buffer = bytearray(BUFFER)
        self._room = memoryview(self.buffer)
        self._end = 0

    def need(self, start: int, count: int) -> int:
        """Have `count` bytes from `start` on in the buffer.

        Returns:
            Where they begin, which is `start` unless they had to be moved.
        """
        if start + count > BUFFER:
            left = self._end - start
            self.buffer[:left] = self.buffer[start : self._end]
            start, self._end = 0, left
        while self._end < start + count:
            self._end += self._receive(self._end)
        return start

    def skip(self, start: int, count: int) -> int:
        """Pass over `count` bytes from `start` on; where they end."""
        left = count - (self._end - start)
        if left <= 0:
            return start + count
        while True:
            self._end = self._receive(0)
            if self._end >= left:
                return left
            left -= self._end

    def _receive(self, position: int) -> int:
        if self.answers:
            self._connection.sendall(self.answers)
            self.answers.clear()
        count = self._connection.recv_into(self._room[position:])
        if not count:
            raise EOFError
        return count


class Canned:
    """One association, from the first byte to the last."""

    def __init__(
        self, connection: socket.socket, max_pdu_length: int, released: Callable[[Canned], None]
    ) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.objects = 0
        self.octets = 0
        self._incoming = Incoming(connection)
        self._max_pdu_length = max_pdu_length
        self._released = released
        self._answers = {STORE: canned.store_response(), ECHO: canned.echo_response()}
        self._due: tuple[int, int] | None = None
        self._command = b""

    def serve(self) -> None:
        """Until the peer has released, or gone."""
        incoming, position = self._incoming, 0
        while True:
            position = incoming.need(position, 6)
            pdu_type = incoming.buffer[position]
            length = int.from_bytes(incoming.buffer[position + 2 : position + 6], "big")
            if pdu_type == 4:
                position = self._data(position + 6, length)
                continue
            position = incoming.need(position, 6 + length)
            if pdu_type == 1:
                value = bytes(incoming.buffer[position + 6 : position + 6 + length])
                incoming.answers += canned.accepting(memoryview(value), self._max_pdu_length)
            elif pdu_type == 5:
                self._released(self)
                incoming.answers += canned.RELEASED
            else:
                raise Unexpected(f"a PDU of type {pdu_type}")
            position += 6 + length

    def _data(self, position: int, length: int) -> int:
        """The PDVs of a P-DATA-TF; where it ends."""
        incoming = self._incoming
        while length > 0:
            position = incoming.need(position, 6)
            count = int.from_bytes(incoming.buffer[position : position + 4], "big") - 2
            context_id, control = incoming.buffer[position + 4 : position + 6]
            position += 6
            length -= 6 + count
            if control & 1:
                position = incoming.need(position, count)
                self._command += incoming.buffer[position : position + count]
                position += count
                if control & 2:
                    self._request(context_id)
            else:
                position = incoming.skip(position, count)
                self.octets += count
                if control & 2:
                    self.objects += 1
                    self._answer(context_id)
        return position

    def _request(self, context_id: int) -> None:
        command, self._command = self._command, b""
        field, message_id = (
            NUMBER.unpack_from(command, canned.position_of(command, element, 0, len(command)))[0]
            for element in (canned.COMMAND_FIELD, canned.MESSAGE_ID)
        )
        if field not in self._answers:
            raise Unexpected(f"a command {field:04X}")
        self._due = field, message_id
        if field == ECHO:
            self._answer(context_id)

    def _answer(self, context_id: int) -> None:
        if self._due is None:
            raise Unexpected("a data set without a command")
        (field, message_id), self._due = self._due, None
        answer = self._answers[field]
        answer[10] = context_id
        position = canned.position_of(answer, canned.MESSAGE_ID_RESPONDED_TO, canned.COMMAND, len(answer))
        NUMBER.pack_into(answer, position, message_id)
        self._incoming.answers += answer


def serve(listener: socket.socket, counts: Path, max_pdu_length: int = 131072) -> None:
    """Answer every association, until the listener is shut down."""
    lock = threading.Lock()
    total = {"objects": 0, "octets": 0}

    def released(association: Canned) -> None:
        with lock:
            total["objects"] += association.objects
            total["octets"] += association.octets
            counts.write_text(json.dumps(total))

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                Canned(connection, max_pdu_length, released).serve()
            except (EOFError, ConnectionError):
                pass
            except Unexpected as error:
                print(f"canned server: {error}", file=sys.stderr)

    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def main(port: str, counts: str, *pdu: str) -> None:
    """Serve until killed."""
    with socket.create_server(("127.0.0.1", int(port)), backlog=128) as listener:
        serve(listener, Path(counts), *map(int, pdu))


if __name__ == "__main__":
    main(*sys.argv[1:])
