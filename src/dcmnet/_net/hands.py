"""Threads that do what others must not wait for."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias

Job: TypeAlias = Callable[[], Any]


class Hands:
    """Threads that do one job after the other; there are more of them while none is idle.

    They do not hold the end of the program: a handler may never return.

    Args:
        most: How many there may be.
        name: What they are called.
    """

    __slots__ = ("_closed", "_idle", "_jobs", "_most", "_name", "_threads")

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._threads = 0
        self._closed = False
        self._idle: deque[None] = deque()  # one for each thread that nothing was given to since it was done
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()

    def do(self, job: Job) -> None:
        """Have a job done, which must not raise; it waits where all threads are at work.

        To be called from one thread. What comes after `close` has a thread of its own.

        Raises:
            RuntimeError: There is no thread, and none to be had.
        """
        if self._closed:
            self._thread(job).start()
            return
        try:
            self._idle.pop()
        except IndexError:
            if self._threads < self._most:
                self._begin_thread()
        self._jobs.put(job)

    def close(self) -> None:
        """Have the threads end when they have done what waits."""
        if not self._closed:
            self._closed = True
            for _ in range(self._threads):
                self._jobs.put(None)

    def _begin_thread(self) -> None:
        try:
            self._thread(self._work).start()
        except RuntimeError:
            if not self._threads:
                raise
            return  # those that are there do it, one after the other
        self._threads += 1

    def _thread(self, target: Job) -> threading.Thread:
        return threading.Thread(target=target, name=self._name, daemon=True)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            del job  # an idle thread holds nothing
            self._idle.append(None)
