"""Signals as messages for the main thread, which waits for nothing else."""

from __future__ import annotations

import contextlib
import signal
import socket
from types import TracebackType
from typing import Any, Self

FIRST_NOTE = 128
"""Below are the numbers of signals."""


class Inbox:
    """Where signals arrive meanwhile, and what other threads have to say.

    A thread that waits for a lock or a queue learns nothing of a signal that another thread is given, or that
    comes right before it sleeps. Signals are written to a socket therefore, which wakes it in any case.

    Args:
        signals: The numbers of those that are taken.
    """

    def __init__(self, *signals: int) -> None:
        self._signals = signals
        self._before: dict[int, Any] = {}
        self._descriptor = -1

    def put(self, number: int) -> None:
        """Say something, a number from `FIRST_NOTE` to 255, from any thread."""
        with contextlib.suppress(OSError):  # full, or closed: nobody listens
            self._sender.send(bytes((number,)))

    def get(self) -> int:
        """Wait for the next signal or number."""
        while True:
            number = self._receiver.recv(1)[0]
            if number in self._signals or number >= FIRST_NOTE:
                return number

    def __enter__(self) -> Self:
        self._receiver, self._sender = socket.socketpair()
        self._sender.setblocking(False)
        self._descriptor = signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, _nothing) for number in self._signals}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._descriptor)
        self._receiver.close()
        self._sender.close()


def _nothing(*_: Any) -> None:
    """The socket tells."""
