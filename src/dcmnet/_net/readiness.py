"""Wait for one socket, and for a wake-up from another thread, without a limit on descriptor numbers."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any, NamedTuple, Protocol


class Ready(NamedTuple):
    """What a wait ended with; all False when the time was up."""

    readable: bool
    writable: bool
    woken: bool


_READABLE = Ready(True, False, False)


class _Busy:
    """Which one thread of this process waits without sleeping.

    Nobody does for a while where several could, each of which would take the processor, and the interpreter,
    from the others; nor where others want the processor so much that the time for which it is taken from who
    looks is more than not sleeping saves: who sleeps is served sooner then.
    """

    __slots__ = ("_gained", "_lock", "_pause", "_until")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._until = 0.0
        self._gained = ALLOWED_SECONDS
        self._pause = CROWDED_SECONDS

    def enter(self, now: float) -> bool:
        """Whether this thread may; it has to `leave` then."""
        if now < self._until:
            return False
        if self._lock.acquire(blocking=False):
            return True
        self._until = now + CONTENDED_SECONDS
        return False

    def leave(self, now: float, *, answered: bool, lost: float) -> None:
        """It sleeps, or works, again.

        Args:
            now: The time.
            answered: Whether it has waited for something.
            lost: For how long the processor was taken from it meanwhile.
        """
        gained = self._gained + (SAVED_SECONDS if answered else 0.0) - LOST_MORE * lost
        if gained < 0.0:
            self._until, gained = now + self._pause, ALLOWED_SECONDS
            self._pause = min(2 * self._pause, LONGEST_CROWDED_SECONDS)
        elif gained >= MOST_GAINED:
            self._pause, gained = CROWDED_SECONDS, MOST_GAINED
        self._gained = gained
        self._lock.release()


CONTENDED_SECONDS = 0.05
"""How long nobody waits without sleeping once two threads wanted to."""

CROWDED_SECONDS = 0.2
"""How long nobody does once others wanted the processor; twice as long each time, until it pays again."""

LONGEST_CROWDED_SECONDS = 3.2

TAKEN_SECONDS = 50e-6
"""Who gets no further for so long had to give the processor, or the interpreter, to somebody."""

SAVED_SECONDS = 40e-6
"""What an answer comes sooner by than if it had to wake somebody."""

LOST_MORE = 2.0
"""The processor is taken from who works as well, where that is not measured."""

ALLOWED_SECONDS = 0.005
"""What may be lost before something was gained: now and then every system has something to do."""

MOST_GAINED = 0.03
"""What was gained long ago is no reason to go on."""

_BUSY = _Busy()


def _processors() -> int:
    """How many processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def may_look() -> bool:
    """Whether there is a processor for the peer beside that of who looks without sleeping."""
    return _processors() > 1


class Looking:
    """A while in which one thread, or event loop, looks again and again without sleeping.

    Args:
        begun: The time.
        seconds: How long it may take.
    """

    __slots__ = ("_end", "_last", "_lost")

    def __init__(self, begun: float, seconds: float) -> None:
        self._last = begun
        self._lost = 0.0
        self._end = begun + seconds

    def goes_on(self) -> bool:
        """Whether to look once more."""
        now = monotonic()
        if now - self._last > TAKEN_SECONDS:
            self._lost += now - self._last
        self._last = now
        return now < self._end

    def end(self, *, found: bool) -> None:
        """Somebody else may look now."""
        self.goes_on()
        _BUSY.leave(self._last, answered=found, lost=self._lost)


def begin_looking(begun: float, seconds: float) -> Looking | None:
    """Begin to look, for so many seconds; None where to sleep is better. Whoever begins has to end it."""
    return Looking(begun, seconds) if _BUSY.enter(begun) else None


def look(poll: Callable[[int], list[Any]], begun: float, seconds: float) -> list[Any]:
    """Look again and again, for so many seconds, without sleeping; what `poll` has found, if anything."""
    looking = begin_looking(begun, seconds)
    if looking is None:
        return []
    ready: list[Any] = []
    try:
        while not ready and looking.goes_on():
            ready = poll(0)
        return ready
    finally:
        looking.end(found=bool(ready))


class Wake:
    """Tells many threads at once to stop, whether they wait or not.

    Attributes:
        is_set: True once they have been told.
    """

    __slots__ = ("_receiver", "_sender", "is_set")

    def __init__(self) -> None:
        self._receiver, self._sender = socket.socketpair()  # a pipe cannot be waited for everywhere
        self._receiver.setblocking(False)
        self._sender.setblocking(False)  # full means that they have been told
        self.is_set = False

    def fileno(self) -> int:
        """A descriptor that is readable from `set` on."""
        return self._receiver.fileno()

    def set(self) -> None:
        """Tell them."""
        self.is_set = True
        with contextlib.suppress(OSError):
            self._sender.send(b"\0")

    def clear(self) -> None:
        """From now on nobody has been told; for one who waits alone."""
        self.is_set = False
        with contextlib.suppress(OSError):
            self._receiver.recv(4096)

    def close(self) -> None:
        """Give back the descriptors, when nobody waits any more."""
        self._receiver.close()
        self._sender.close()


class HasFileno(Protocol):
    """A socket, or what stands for one."""

    def fileno(self) -> int:
        """Its descriptor."""


class Waiter:
    """Waits for a socket.

    Args:
        sock: The socket.
        wake: Ends the waiting as well.
        busy_wait: After a wait of less than so many seconds, look again and again for as long before the next
            one sleeps: to be woken takes longer than most answers. One thread of a process does so, as long
            as no other one wants to as well, and none where there is one processor only.
    """

    __slots__ = ("_busy_wait", "_fd", "_poll", "_readable", "_registered", "_sock", "_wakes", "_was_short")

    def __init__(self, sock: HasFileno, wake: Wake | None = None, *, busy_wait: float = 0.0) -> None:
        self._sock = sock
        self._fd = sock.fileno()
        self._wakes: list[Wake] = []
        self._poll = select.poll() if hasattr(select, "poll") else None
        self._readable = [(self._fd, select.POLLIN)] if self._poll is not None else []
        self._registered = 0
        self._busy_wait = busy_wait if busy_wait and may_look() else 0.0
        self._was_short = False
        if wake is not None:
            self.heed(wake)

    def heed(self, wake: Wake) -> None:
        """From now on this ends the waiting as well."""
        self._wakes.append(wake)
        if self._poll is not None:
            self._poll.register(wake, select.POLLIN)

    def ignore(self, wake: Wake) -> None:
        """From now on this does not end the waiting any more."""
        self._wakes.remove(wake)
        if self._poll is not None:
            self._poll.unregister(wake)

    def wait(self, *, write: bool = False, read: bool = True, timeout: float | None = None) -> Ready:
        """Wait until the socket can be read or, with `write`, written; or for `timeout` seconds."""
        if self._poll is None:
            return self._select(write, read, timeout)
        events = (select.POLLIN if read else 0) | (select.POLLOUT if write else 0)
        if events != self._registered:
            self._poll.register(self._sock, events)
            self._registered = events
        found = 0
        woken = False
        begun = monotonic()
        ready: list[tuple[int, int]] = []
        if self._was_short and (timeout is None or timeout > self._busy_wait):
            ready = look(self._poll.poll, begun, self._busy_wait)
        if not ready:
            ready = self._poll.poll(None if timeout is None else max(0.0, timeout) * 1000)
        self._was_short = monotonic() - begun < self._busy_wait
        if ready == self._readable:
            return _READABLE  # what it nearly always is
        for ready_fd, flags in ready:
            if ready_fd == self._fd:
                found = flags
            else:
                woken = True
        ended = bool(found & ~(select.POLLIN | select.POLLOUT))  # hang-up or error: let the next call tell
        return Ready(
            bool(found & select.POLLIN) or (read and ended), bool(found & select.POLLOUT) or ended, woken
        )

    def _select(self, write: bool, read: bool, timeout: float | None) -> Ready:
        reading: list[Any] = [*([self._sock] if read else []), *self._wakes]
        writing = [self._sock] if write else []
        seconds = None if timeout is None else max(0.0, timeout)
        readable, writable, failed = select.select(reading, writing, [self._sock], seconds)
        woken = any(wake in readable for wake in self._wakes)
        return Ready(self._sock in readable or bool(failed and read), bool(writable or failed), woken)
