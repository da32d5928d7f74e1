"""Moments on the monotonic clock, and how far they are."""

from __future__ import annotations

import time


def earliest(first: float | None, second: float | None) -> float | None:
    """The earlier of two deadlines; None is never."""
    if first is None or second is None:
        return first if second is None else second
    return min(first, second)


def until(deadline: float | None) -> float | None:
    """How long it is until a deadline; None for ever."""
    return None if deadline is None else deadline - time.monotonic()


def share_of(deadline: float | None, addresses: int) -> float | None:
    """How long one of the addresses that are left may take."""
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no time is left")
    return left / addresses
