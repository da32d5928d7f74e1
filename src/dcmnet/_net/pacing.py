"""How fast to send: a token bucket that the associations of a transfer share, and a bound for slow peers."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from dcmnet.errors import DeadlineExceeded
from dcmnet.limits import Timeouts

PIECES_A_SECOND = 20
"""What is sent is cut into so many pieces a second, so that it flows evenly."""

_SMALLEST_PIECE = 256
_LARGEST_PIECE = 1 << 18


def pace_of(rate: int) -> Pace | None:
    """The pace for a rate in bytes a second; None for 0, which is no limit."""
    return Pace(rate) if rate else None


class Pace:
    """A limit on bytes a second. Several threads may share it.

    Time comes in with each call: whoever sends asks how long to wait, and waits.

    Args:
        rate: Bytes a second, at least 1.
    """

    __slots__ = ("_free_at", "_lock", "_piece", "_rate")

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._piece = max(_SMALLEST_PIECE, min(_LARGEST_PIECE, rate // PIECES_A_SECOND))
        self._free_at = 0.0
        self._lock = threading.Lock()

    def reserve(self, count: int, now: float) -> float:
        """Take a turn for `count` bytes; returns the seconds until it comes."""
        with self._lock:
            start = max(self._free_at, now)
            self._free_at = start + count / self._rate
        return start - now

    def pieces(self, parts: Sequence[memoryview]) -> Iterator[list[memoryview]]:
        """Cut what is to be sent, in order, into pieces that are short for this rate."""
        piece: list[memoryview] = []
        room = self._piece
        for part in parts:
            offset = 0
            while offset < len(part):
                taken = part[offset : offset + room]
                piece.append(taken)
                offset += len(taken)
                room -= len(taken)
                if room == 0:
                    yield piece
                    piece, room = [], self._piece
        if piece:
            yield piece


class ReadingRate:
    """How fast a peer reads while this side waits to send, over several `Send`s.

    Args:
        timeouts: The minimum, and the time over which it is measured.

    Attributes:
        seconds: How long this side has waited since the measurement began; 0 before the first wait.
    """

    __slots__ = ("_moved", "_timeouts", "seconds")

    def __init__(self, timeouts: Timeouts) -> None:
        self._timeouts = timeouts
        self._moved = 0
        self.seconds = 0.0

    def moved(self, count: int) -> None:
        """The system has taken so many bytes, after a wait.

        Raises:
            DeadlineExceeded: The peer reads too slowly.
        """
        self._moved += count
        if self.seconds < self._timeouts.minimum_rate_period:
            return
        if self._moved < self._timeouts.minimum_send_rate * self.seconds:
            raise DeadlineExceeded("minimum send rate", self._timeouts.minimum_rate_period)
        self.seconds = 0.0
        self._moved = 0
