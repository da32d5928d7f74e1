"""Progress of a transfer: a bar on a terminal while it runs, and a line of totals at the end."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from dcmnet.cli.options import Arguments

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_UNITS = ("B", "kB", "MB", "GB", "TB")


class Progressing(Protocol):
    """What a transfer reports to, whether there is a bar or not."""

    def __enter__(self) -> Self:
        """Start."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish."""

    def advance(self, *, objects: int = 0, length: int = 0) -> None:
        """Count what has been transferred since the last call: objects, and bytes."""

    def extend(self, *, objects: int, length: int) -> None:
        """There is more to do than was known."""


def is_wanted(arguments: Arguments) -> bool:
    """Whether a bar is shown: stderr is a terminal, and no option asks for something else there."""
    asked = {"--no-progress", "--json", "--quiet", "--verbose", "--debug", "--log-level", "--log-config"}
    return sys.stderr.isatty() and not any(option in arguments for option in asked)


def progress(arguments: Arguments, *, objects: int | None = None, length: int | None = None) -> Progressing:
    """A bar if it is wanted, else something that takes the same calls and does nothing.

    Args:
        arguments: The command line.
        objects: How many there are in all; None when nobody knows.
        length: How many bytes they have together; None when nobody knows.
    """
    return Bar(objects, length) if is_wanted(arguments) else NoBar()


def totals(objects: int, length: int, seconds: float, *, verb: str = "sent", failed: int = 0) -> str:
    """The line at the end: `12 objects sent, 6.3 MB in 1.02 s (11.8 objects/s, 6.2 MB/s); 1 failed`."""
    noun = "object" if objects == 1 else "objects"
    rates = ""
    if seconds > 0:
        rates = f" ({objects / seconds:.1f} objects/s, {length / seconds / 1e6:.1f} MB/s)"
    failures = f"; {failed} failed" if failed else ""
    return f"{objects} {noun} {verb}, {readable_length(length)} in {seconds:.2f} s{rates}{failures}"


def readable_length(length: int) -> str:
    """A number of bytes in units of 1000: `999 B`, `1.0 kB`, `6.3 MB`."""
    value = float(length)
    for unit in _UNITS[:-1]:
        if value < 999.95:
            return f"{length} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} {_UNITS[-1]}"


class NoBar:
    """Nothing to see."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def advance(self, *, objects: int = 0, length: int = 0) -> None:
        """Do nothing."""

    def extend(self, *, objects: int, length: int) -> None:
        """Do nothing."""


class Bar:
    """A bar on stderr: objects done of all, bytes, objects a second, MB a second, time left.

    What is logged meanwhile appears above it. May be advanced from several threads.
    """

    def __init__(self, objects: int | None, length: int | None) -> None:
        self._all_objects = objects
        self._all_length = length
        self._objects = 0
        self._length = 0
        self._started = 0.0
        self._lock = threading.Lock()
        self._rich: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        # rich is slow to load, and most runs show no bar.
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._rich = Progress(
            TextColumn("{task.fields[text]}", markup=False),
            BarColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            refresh_per_second=5,
            transient=True,
            redirect_stdout=False,
        )
        self._started = time.monotonic()
        total = self._all_length or self._all_objects
        self._task = self._rich.add_task("", total=total, text=self.describe(0.0))
        self._rich.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._rich is not None:
            self._rich.stop()
            self._rich = None

    def advance(self, *, objects: int = 0, length: int = 0) -> None:
        """Count, and show the sums at the next refresh."""
        with self._lock:
            self._objects += objects
            self._length += length
            done = self._length if self._all_length else self._objects
            text = self.describe(time.monotonic() - self._started)
        if self._rich is not None and self._task is not None:
            self._rich.update(self._task, completed=done, text=text)

    def extend(self, *, objects: int, length: int) -> None:
        """There is more to do than was known."""
        with self._lock:
            if self._all_objects is not None:
                self._all_objects += objects
            if self._all_length is not None:
                self._all_length += length
        if self._rich is not None and self._task is not None:
            self._rich.update(self._task, total=self._all_length or self._all_objects)

    def describe(self, seconds: float) -> str:
        """What stands before the bar after `seconds`."""
        of_objects = "" if self._all_objects is None else f"/{self._all_objects}"
        of_length = "" if self._all_length is None else f"/{readable_length(self._all_length)}"
        text = f"{self._objects}{of_objects} objects  {readable_length(self._length)}{of_length}"
        if seconds > 0:
            text += f"  {self._objects / seconds:.1f} objects/s  {self._length / seconds / 1e6:.1f} MB/s"
        return text
