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

    Args:
        stream: Where the lines go; stdout when not given.
        is_essential: Whether what is told of ends when the stream breaks: OSError is raised then. Otherwise a
            warning is logged, and the lines that follow are left out: no transfer fails over its output.
    """

    def __init__(self, stream: TextIO | None = None, *, is_essential: bool = False) -> None:
        from json import dumps  # not for runs without --json

        self._dumps = dumps
        self._stream = sys.stdout if stream is None else stream
        self._is_essential = is_essential
        self._error: Exception | None = None
        self._lock = threading.Lock()

    def event(self, name: str, /, **fields: object) -> None:
        """Write `{"event": name, ...}`; what JSON cannot express is written as its text."""
        self._put(self._dumps({"event": name, **fields}, default=str) + "\n")

    def summary(self, **fields: object) -> None:
        """Write the last line, an event called `summary`."""
        self.event("summary", **fields)

    def close(self, code: int = 0) -> None:
        """No more lines will come.

        Args:
            code: The tool's exit code.

        Raises:
            OSError: Lines were left out, and the code says that nothing is wrong.
        """
        if isinstance(self._error, OSError) and code == 0:
            raise self._error

    def _put(self, line: str) -> None:
        with self._lock:
            if self._error is None:
                self._write(line)

    def _write(self, line: str) -> None:
        try:
            self._stream.write(line)
            self._stream.flush()
        except (OSError, ValueError) as error:  # ValueError: the stream is closed
            if self._is_essential:
                raise
            self._broken(error)

    def _broken(self, error: Exception) -> None:
        from dcmnet.cli import logs

        self._error = error
        reason = getattr(error, "strerror", None) or error
        logs.emit(logs.WARN, f"cannot write JSON lines to stdout, they are left out from now on: {reason}")
