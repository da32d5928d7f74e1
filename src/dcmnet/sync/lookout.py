"""Serves many connections with few threads: one that looks out, and one for each that is held up.

One thread at a time has the lookout. It waits for all connections at once, and goes on with those that have
something to say: nobody has to be woken, and nobody waits for the interpreter. Where one of them holds it up,
for a slow disk, a handler or a peer that does not read, another thread takes the lookout over.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import Protocol

from dcmnet._net.polling import Poller
from dcmnet._net.readiness import Wake
from dcmnet._net.trace import logger
from dcmnet.limits import HELD_UP_SECONDS

THREAD_SECONDS = 10.0
"""How long a thread waits to be needed again."""

QUICK_SECONDS = 0.001
"""Who takes no longer than this holds nobody up."""

SLOW_STEPS = 3
"""Who has taken longer so often in a row holds everybody up: once may have been the system's doing."""

SWEEP_SECONDS = 0.02
"""Deadlines are looked at so often at most, as all of them are looked at."""

FEW_STATIONS = 4
"""With more of them something comes soon, and the processor that looking takes is missed by their peers."""

QUIET_LOOKS = 200
"""After so many looks without anything to be done nobody watches who has the lookout."""


class Station(Protocol):
    """What is waited for: a connection, or a listening socket.

    Attributes:
        fd: Its descriptor.
        deadline: When it wants to go on in any case, by the monotonic clock; `inf` for never, 0 for as soon
            as the others had their turn.
        slow_steps: How often in a row it has held others up; the lookout's own, but for the beginning.
        is_watched: Whether the lookout waits for it; the lookout's own.
    """

    fd: int
    deadline: float
    slow_steps: int
    is_watched: bool

    def go_on(self) -> bool:
        """Do what can be done without waiting for the peer; False at the end."""


class _Turn:
    """The time for which one thread has the lookout.

    Attributes:
        station: What it goes on with; None while it waits.
        begun: Since when.
        is_over: Somebody else has taken over.
    """

    __slots__ = ("begun", "is_over", "station")

    def __init__(self) -> None:
        self.station: Station | None = None
        self.begun = 0.0
        self.is_over = False


class Lookout:
    """Serves stations until it is told to end, and there are none.

    Args:
        name: Of its threads.
        busy_wait: As for `Poller`.
    """

    def __init__(self, name: str, busy_wait: float) -> None:
        self._name = name
        self._poller = Poller(busy_wait)
        self._bell = Wake()
        self._poller.watch(self._bell.fileno())
        self._stations: dict[int, Station] = {}
        self._ready: dict[int, Station] = {}  # those whose turn comes, of who has the lookout
        self._again: list[Station] = []  # those that come after them
        self._alerts = 0
        self._posted: deque[Callable[[], None]] = deque()
        self._soonest = inf
        self._swept = 0.0
        self._lock = threading.Lock()
        self._turn = _Turn()
        self._next: queue.SimpleQueue[_Turn | None] = queue.SimpleQueue()
        self._idle = 0
        self._ending = False
        self._ended = threading.Event()
        self._is_overseen = False
        self._looks = 0
        self._alarm = threading.Event()
        self._thread = 0  # which has the lookout

    def start(self) -> None:
        """Begin, in threads of its own."""
        threading.Thread(target=self._host, args=(self._turn,), name=self._name, daemon=True).start()
        threading.Thread(target=self._oversee, name=f"{self._name}-overseer", daemon=True).start()

    def end(self) -> None:
        """End when there are no more stations."""
        self._ending = True
        self._bell.set()

    def add(self, station: Station) -> None:
        """Begin with a station; it goes on soon, and is waited for when it has."""
        with self._lock:
            self._stations[station.fd] = station
            self._again.append(station)
        if threading.get_ident() != self._thread:
            self._bell.set()

    def remove(self, station: Station) -> None:
        """Wait for it no more: its descriptor is about to be closed. By who goes on with it, or `post`."""
        with self._lock:
            if self._stations.get(station.fd) is station:
                del self._stations[station.fd]
                self._ignore(station)

    def post(self, call: Callable[[], None]) -> None:
        """Have something done between two stations, by who has the lookout: quick and without raising."""
        self._posted.append(call)
        self._bell.set()

    def go_on_with_all(self) -> None:
        """Have every station go on, whether anything has come or not."""
        with self._lock:
            self._alerts += 1  # who is at it now goes on once more
        self.post(lambda: self._ready.update((each.fd, each) for each in self._waiting()))

    # ------------------------------------------------------------------ threads

    def _host(self, turn: _Turn | None) -> None:
        """Have the lookout, and again when it is this thread's turn."""
        while turn is not None:
            self._look_out(turn)
            turn = self._await_turn()

    def _await_turn(self) -> _Turn | None:
        with self._lock:
            if self._ended.is_set():
                return None
            self._idle += 1
        while True:
            try:
                return self._next.get(timeout=THREAD_SECONDS)
            except queue.Empty:
                with self._lock:
                    if self._next.empty():  # else it was called at the last moment
                        self._idle -= 1
                        return None

    def _appoint(self) -> None:
        """Give another thread the lookout; what this one goes on with is not waited for. With the lock."""
        former = self._turn
        self._turn = successor = _Turn()
        former.is_over = True
        if former.station is not None:
            self._ignore(former.station)  # before anybody can wait for it
        if self._idle:
            self._idle -= 1
            self._next.put(successor)
            return
        try:
            threading.Thread(target=self._host, args=(successor,), name=self._name, daemon=True).start()
        except RuntimeError as error:  # no more threads to be had
            logger.error("%s: everybody waits for one association: %s", self._name, error)
            self._turn = former
            former.is_over = False

    def _oversee(self) -> None:
        """See that nobody is held up by who has the lookout."""
        self._is_overseen = True
        while not self._ended.wait(HELD_UP_SECONDS / 2):
            self._looks += 1
            if self._looks > QUIET_LOOKS:
                self._rest()
            with self._lock:
                turn = self._turn
                station = turn.station
                if station is not None and monotonic() - turn.begun >= HELD_UP_SECONDS:
                    station.slow_steps = SLOW_STEPS
                    self._appoint()

    def _rest(self) -> None:
        """Sleep until there is something to be seen."""
        self._alarm.clear()
        self._is_overseen = False
        if self._turn.station is None:  # who begins with one now sees that nobody oversees it
            self._alarm.wait()
        self._is_overseen = True
        self._looks = 0

    # ------------------------------------------------------------------ the lookout

    def _look_out(self, turn: _Turn) -> None:
        """Go on with one station after the other until the turn is over."""
        self._thread = threading.get_ident()
        ready = self._ready
        while not turn.is_over:
            if ready:
                self._go_on(turn, ready.pop(next(iter(ready))))
            elif self._again:
                self._await(0.0)
                with self._lock:
                    again, self._again = self._again, []
                ready.update((each.fd, each) for each in again)
            elif self._ending and not self._stations:
                self._close()
                return
            else:
                self._await(self._timeout())

    def _go_on(self, turn: _Turn, station: Station) -> None:
        begun = monotonic()
        with self._lock:
            if self._stations.get(station.fd) is not station:  # removed meanwhile
                return
            turn.station, turn.begun = station, begun
            alerts = self._alerts
            if station.slow_steps >= SLOW_STEPS:
                self._appoint()
        self._looks = 0
        if not self._is_overseen:
            self._alarm.set()
        try:
            goes_on = station.go_on()
        except BaseException:  # one of them must not end the others
            logger.exception("%s: what was being served has failed", self._name)
            goes_on = False
        if monotonic() - begun < QUICK_SECONDS:
            station.slow_steps = 0
        elif station.deadline:  # else it was only asked to let others go first
            station.slow_steps += 1
        with self._lock:
            turn.station = None
            if goes_on:
                self._park(station, at_once=alerts != self._alerts)
        if not goes_on:
            self.remove(station)
        if turn.is_over:
            self._bell.set()  # what it has said or added is news to whoever waits now

    def _park(self, station: Station, at_once: bool) -> None:
        """Wait for it, unless it was removed meanwhile or wants to go on; with the lock."""
        if self._stations.get(station.fd) is not station:
            return
        if at_once or not station.deadline:
            self._again.append(station)
            return
        if not station.is_watched:
            station.is_watched = True
            self._poller.watch(station.fd)
        self._soonest = min(self._soonest, station.deadline)

    def _ignore(self, station: Station) -> None:
        if station.is_watched:
            station.is_watched = False
            self._poller.ignore(station.fd)

    def _await(self, timeout: float | None) -> None:
        """Wait until there is something to go on with."""
        stations, ready = self._stations, self._ready
        for fd, _ in self._poller.wait(timeout, may_look=len(stations) <= FEW_STATIONS):
            station = stations.get(fd)
            if station is not None:
                ready[fd] = station
            else:
                self._answer_bell()
        now = monotonic()
        if now >= self._soonest and now >= self._swept + SWEEP_SECONDS:
            self._sweep(now)

    def _timeout(self) -> float | None:
        if self._soonest == inf:
            return None
        return max(0.0, max(self._soonest, self._swept + SWEEP_SECONDS) - monotonic())

    def _answer_bell(self) -> None:
        self._bell.clear()
        while self._posted:
            self._posted.popleft()()

    def _waiting(self) -> list[Station]:
        """The stations that nobody is at."""
        return [each for each in list(self._stations.values()) if each.is_watched]

    def _sweep(self, now: float) -> None:
        """Go on with those whose time has come."""
        self._swept = now
        soonest = inf
        for station in self._waiting():
            if station.deadline <= now:
                self._ready[station.fd] = station
            elif station.deadline < soonest:
                soonest = station.deadline
        self._soonest = soonest

    def _close(self) -> None:
        with self._lock:
            self._ended.set()
            self._alarm.set()
            for _ in range(self._idle):
                self._next.put(None)
        self._poller.close()
        self._bell.close()
