"""Calls that go on in threads beside a procedure."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any

from dcmnet._net.readiness import Wake
from dcmnet.procedures.effects import Finished, Start


class Beside:
    """The calls that one association has started and that have not been dealt with.

    Its threads do not hold the end of the program: a handler may never return.

    Args:
        threads: How many there may be at once.
        call: Calls a handler.

    Attributes:
        wake: Set when a call has ended.
    """

    def __init__(self, threads: int, call: Callable[..., Any]) -> None:
        self._most = threads
        self._threads = 0
        self._idle = threading.Semaphore(0)
        self._waiting: queue.SimpleQueue[tuple[Context, Start] | None] = queue.SimpleQueue()
        self._ended: queue.SimpleQueue[Finished] = queue.SimpleQueue()
        self._call = call
        self.wake = Wake()

    def start(self, effect: Start) -> None:
        """Begin a call.

        Raises:
            RuntimeError: There is no thread for it, and none to be had.
        """
        if not self._idle.acquire(blocking=False) and self._threads < self._most:
            self._begin_thread()
        self._waiting.put((copy_context(), effect))

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
        for _ in range(self._threads):
            self._waiting.put(None)
        self.wake.close()

    def _begin_thread(self) -> None:
        try:
            threading.Thread(target=self._work, name="dcmnet-operation", daemon=True).start()
        except RuntimeError:
            if not self._threads:
                raise
            return  # those that are there do it, one after the other
        self._threads += 1

    def _work(self) -> None:
        while (waiting := self._waiting.get()) is not None:
            context, effect = waiting
            context.run(self._run, effect)
            del waiting, context, effect  # an idle thread holds nothing
            self._idle.release()

    def _run(self, effect: Start) -> None:
        try:
            finished = Finished(effect, self._call(effect.handler, *effect.args))
        except BaseException as error:  # whoever waits for the end gets it
            finished = Finished(effect, error=error)
        self._ended.put(finished)
        self.wake.set()
