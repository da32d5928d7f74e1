"""What was worked out lately: most peers come again, and say the same."""

from __future__ import annotations

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """A few values by their keys; when there are too many it begins anew.

    Args:
        most: How many it keeps.
    """

    __slots__ = ("_most", "_values")

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """The value, if it is kept."""
        return self._values.get(key)

    def keep(self, key: K, value: V) -> V:
        """Keep a value; returns it."""
        if len(self._values) >= self._most:
            self._values.clear()
        self._values[key] = value
        return value
