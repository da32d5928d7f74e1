"""JSON lines of a server, which serves on whatever becomes of their reader."""

from __future__ import annotations

import os
import queue
import threading
from typing import TextIO

from dcmnet.cli.json_output import JsonLines

MAX_WAITING = 10_000
"""Lines that wait for a reader that has stalled; more are dropped, and counted."""

CLOSE_SECONDS = 2.0
"""How long the reader has for the last lines when the server ends."""


class QueuedJsonLines(JsonLines):
    """Writes from a thread of its own: an event never waits for the reader.

    When more than `MAX_WAITING` lines wait, further ones are dropped; the next line that fits is preceded by
    the event `dropped` with their number.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(stream)
        self._descriptor = _descriptor_of(self._stream)
        self._waiting: queue.Queue[str | None] = queue.Queue(MAX_WAITING)
        self._dropped = 0
        self._thread: threading.Thread | None = None
        self._process = 0

    def _put(self, line: str) -> None:
        with self._lock:
            if self._error is not None:
                return
            self._begin()
            if self._dropped:
                line = self._dumps({"event": "dropped", "lines": self._dropped}) + "\n" + line
            try:
                self._waiting.put_nowait(line)
            except queue.Full:
                self._dropped += 1
            else:
                self._dropped = 0

    def _begin(self) -> None:
        """Start the thread with the first line of this process: threads do not come along with a fork."""
        if self._process != os.getpid():
            self._process = os.getpid()
            self._waiting = queue.Queue(MAX_WAITING)
            self._thread = threading.Thread(target=self._write_all, name="dcmnet-json", daemon=True)
            self._thread.start()

    def _write_all(self) -> None:
        while (line := self._waiting.get()) is not None:
            if self._error is None:
                self._write(line)

    def _write(self, line: str) -> None:
        if self._descriptor is None:
            super()._write(line)
            return
        # Not through the stream: whoever blocks in it would hold its lock when the interpreter ends.
        rest = memoryview(line.encode())
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            self._broken(error)

    def close(self, code: int = 0) -> None:
        """Write what waits, if the reader takes it within `CLOSE_SECONDS`; a server's code stays as it is."""
        if self._thread is None or self._process != os.getpid():
            return
        try:
            self._waiting.put(None, timeout=CLOSE_SECONDS)
        except queue.Full:
            return
        self._thread.join(CLOSE_SECONDS)


def _descriptor_of(stream: TextIO) -> int | None:
    try:
        stream.flush()
        return stream.fileno()
    except (OSError, ValueError, AttributeError):
        return None
