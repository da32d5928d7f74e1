"""Calls that go on in threads beside a procedure."""

from __future__ import annotations

import queue
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import Any

from dcmnet._net.hands import Hands
from dcmnet._net.readiness import Wake
from dcmnet.procedures.effects import Finished, Start


class Beside:
    """The calls that one association has started and that have not been dealt with.

    Args:
        threads: How many there may be at once.
        call: Calls a handler.

    Attributes:
        wake: Set when a call has ended.
    """

    def __init__(self, threads: int, call: Callable[..., Any]) -> None:
        self._hands = Hands(threads, "dcmnet-operation")
        self._ended: queue.SimpleQueue[Finished] = queue.SimpleQueue()
        self._call = call
        self.wake = Wake()

    def start(self, effect: Start) -> None:
        """Begin a call.

        Raises:
            RuntimeError: There is no thread for it, and none to be had.
        """
        self._hands.do(partial(copy_context().run, self._run, effect))

    def take(self) -> Finished | None:
        """A call that has ended, if there is one."""
        try:
            return self._ended.get_nowait()
        except queue.Empty:
            return None

    def join(self) -> Finished:
        """A call that has ended; waits for it."""
        return self._ended.get()

    def close(self) -> None:
        """Begin no more calls, and wake nobody; those under way go on."""
        self._hands.close()
        self.wake.close()

    def _run(self, effect: Start) -> None:
        try:
            finished = Finished(effect, self._call(effect.handler, *effect.args))
        except BaseException as error:  # whoever waits for the end gets it
            finished = Finished(effect, error=error)
        self._ended.put(finished)
        self.wake.set()
