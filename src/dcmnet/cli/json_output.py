"""Machine-readable output: one JSON object a line, for every event, and a summary at the end."""

from __future__ import annotations

import sys
import threading
from typing import TextIO


def details(comment: str, offending_element: tuple[int, ...], error_id: int | None) -> dict[str, object]:
    """The fields of an event for what a response has beside its status (PS3.7 Annex C): those that came."""
    found: dict[str, object] = {"comment": comment} if comment else {}
    if offending_element:
        found["offending_element"] = [f"{tag:08X}" for tag in offending_element]
    if error_id is not None:
        found["error_id"] = error_id
    return found


class JsonLines:
    """Writes events as JSON lines, each flushed at once so that a reader can follow.

    Characters outside ASCII are written as escapes, so that a line stays one whatever a peer has sent.
    Several threads may write.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        from json import dumps  # not for runs without --json

        self._dumps = dumps
        self._stream = sys.stdout if stream is None else stream
        self._lock = threading.Lock()

    def event(self, name: str, /, **fields: object) -> None:
        """Write `{"event": name, ...}`; what JSON cannot express is written as its text."""
        line = self._dumps({"event": name, **fields}, default=str) + "\n"
        with self._lock:
            self._stream.write(line)
            self._stream.flush()

    def summary(self, **fields: object) -> None:
        """Write the last line, an event called `summary`."""
        self.event("summary", **fields)
