"""Machine-readable output: one JSON object a line, for every event, and a summary at the end."""

from __future__ import annotations

import json
import sys
from typing import TextIO


class JsonLines:
    """Writes events as JSON lines, each flushed at once so that a reader can follow.

    Characters outside ASCII are written as escapes, so that a line stays one whatever a peer has sent.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stdout if stream is None else stream

    def event(self, name: str, /, **fields: object) -> None:
        """Write `{"event": name, ...}`; what JSON cannot express is written as its text."""
        self._stream.write(json.dumps({"event": name, **fields}, default=str) + "\n")
        self._stream.flush()

    def summary(self, **fields: object) -> None:
        """Write the last line, an event called `summary`."""
        self.event("summary", **fields)
