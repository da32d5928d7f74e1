"""Wait for many sockets at once, in one thread, while others add to them."""

from __future__ import annotations

import select
import selectors
from collections.abc import Callable
from time import monotonic

from dcmnet._net import readiness
from dcmnet._net.readiness import look

Found = list[tuple[int, int]]
"""Descriptors that can be read, or have failed, each with what the system says of it."""


class Poller:
    """Waits for descriptors.

    Args:
        busy_wait: As for `Waiter`: after a wait of less than so many seconds the next one looks again and
            again for as long before it sleeps.
    """

    def __init__(self, busy_wait: float = 0.0) -> None:
        self._busy_wait = busy_wait if busy_wait and readiness.may_look() else 0.0
        self._was_short = False
        self._poll: Callable[[float | None], Found]
        self._add: Callable[[int, int], object]
        self._remove: Callable[[int], object]
        if hasattr(select, "epoll"):
            epoll = select.epoll()
            self._poll, self.close = epoll.poll, epoll.close
            self._add, self._remove = epoll.register, epoll.unregister
        else:
            self._selector = selectors.DefaultSelector()
            self._poll, self.close = self._select, self._selector.close
            self._add, self._remove = self._register, self._selector.unregister

    def watch(self, fd: int) -> None:
        """From now on wait for this one as well; from any thread."""
        self._add(fd, _READABLE)

    def ignore(self, fd: int) -> None:
        """Wait for it no more; before it is closed."""
        self._remove(fd)

    def wait(self, timeout: float | None, *, may_look: bool = True) -> Found:
        """Wait until one can be read, or for `timeout` seconds.

        Args:
            timeout: Seconds; None for as long as it takes.
            may_look: Whether to look without sleeping where that is worth it.
        """
        begun = monotonic()
        found: Found = []
        if may_look and self._was_short and (timeout is None or timeout > self._busy_wait):
            found = look(self._poll, begun, self._busy_wait)
        found = found or self._poll(timeout)
        self._was_short = monotonic() - begun < self._busy_wait
        return found

    def _register(self, fd: int, events: int) -> None:
        self._selector.register(fd, selectors.EVENT_READ)

    def _select(self, timeout: float | None) -> Found:
        return [(key.fd, events) for key, events in self._selector.select(timeout)]


_READABLE: int = getattr(select, "EPOLLIN", 1)
