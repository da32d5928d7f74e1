"""The process behind a port with several workers: it accepts, shares connections out, and replaces the dead.

It has one thread and does not look into connections. Limits are exact without locks between processes
(docs/decisions/0007-connections-are-shared-out.md), and a fork is harmless at any time.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from dcmnet._net.admission import Admission, Verdict
from dcmnet._net.link import NOW, RECORD_LENGTH, RecordReader, encode_record, send_with
from dcmnet._net.listening import OUT_OF_RESOURCES, PAUSE, close_listener
from dcmnet._net.trace import logger
from dcmnet._net.transfer import address_text
from dcmnet._records import dataclass, field
from dcmnet.storage.files import current_run, remove_leftovers
from dcmnet.storage.node import Node

FIRST_PAUSE = 0.1
"""Seconds before a worker that has died is replaced; doubled each time its successor dies soon."""

LONGEST_PAUSE = 10.0
STEADY = 10.0
"""Seconds after which a worker counts as one that works."""

MOST_UNTAKEN = 2
"""Connections on their way to one worker: a held-up one must not keep many that others could serve."""

KILL_SECONDS = 7.0
"""Seconds, after the end of draining, that workers may take to end: aborting takes up to five."""

LOOK_UP = 1.0
"""Seconds between two looks whether the parent is still there, when nothing else happens."""

Begin = Callable[[int, socket.socket], None]
"""Does the work of a worker, by number, with its socket to the supervisor; does not return."""


@dataclass(slots=True, eq=False)
class _Connection:
    """A connection that has been accepted; this descriptor is closed when a worker has taken its own."""

    sock: socket.socket
    peer: str
    verdict: Verdict


@dataclass(slots=True, eq=False)
class _Worker:
    """A process that serves connections.

    Attributes:
        held: What it has been given, by number.
        untaken: Numbers of those that are still on their way to it.
        last: Number of the latest.
        run: What its hidden files have in their names; empty until it has said so.
        broken: Whether it is dead or dying.
    """

    index: int
    pid: int
    sock: socket.socket
    born: float
    records: RecordReader = field(default_factory=RecordReader)
    held: dict[int, _Connection] = field(default_factory=dict)
    untaken: set[int] = field(default_factory=set)
    last: int = 0
    run: str = ""
    broken: bool = False

    def may_take(self) -> bool:
        """Whether it can be given a connection."""
        return not self.broken and len(self.untaken) < MOST_UNTAKEN

    def load(self) -> tuple[int, int, int]:
        """The least comes first: who takes at once, then who has few, then who has waited longest."""
        return len(self.untaken), len(self.held), self.last


@dataclass(slots=True, eq=False)
class _Place:
    """One of the workers that there should be.

    Attributes:
        due: When it is to be filled.
        pause: How long it stayed empty the last time.
        leftover: The run of its last worker, whose hidden files are to be removed.
    """

    index: int
    worker: _Worker | None = None
    due: float = 0.0
    pause: float = 0.0
    leftover: str = ""


class Supervisor:
    """Forks workers and hands connections to them, until it is told to stop or its parent is gone.

    Args:
        node: How many workers and associations there may be, and where their hidden files are.
        parent: Process id of who has forked it.
        listeners: Listening sockets.
        control: To the parent: says "drain" or "hasten"; its end is the parent's.
        count: The first item gets the number of associations.
        begin: What a worker does.
    """

    def __init__(
        self,
        node: Node,
        parent: int,
        listeners: Sequence[socket.socket],
        control: socket.socket,
        count: memoryview,
        begin: Begin,
    ) -> None:
        self._directory = None if node.store is None else node.store.directory
        self._admission = Admission(node.max_associations, node.max_associations_by_peer)
        self._parent = parent
        self._listeners = list(listeners)
        self._control = control
        self._count = count
        self._begin = begin
        self._places = [_Place(index) for index in range(node.workers)]
        self._selector = selectors.DefaultSelector()
        self._wakeup = socket.socketpair()
        self._orders = RecordReader()
        self._waiting: deque[_Connection] = deque()  # taken back from a worker that has died
        self._number = 0
        self._listening = False
        self._some_have_ended = False
        self._accept_again = 0.0
        self._kill_at: float | None = None  # set when the server is to stop
        self._hastened = False

    def run(self) -> None:
        """Work until every worker has ended after an order to stop."""
        child_ended, wakeup = self._wakeup
        wakeup.setblocking(False)
        self._signals(wakeup)
        self._selector.register(child_ended, selectors.EVENT_READ, lambda: self._child_has_ended(child_ended))
        self._selector.register(self._control, selectors.EVENT_READ, self._ordered)
        self._hire()
        while self._kill_at is None or any(self._workers()):
            self._listen()
            ready = [key.data for key, _ in self._selector.select(self._timeout())]
            for act in (
                sorted(ready, key=_is_accept) if len(ready) > 1 else ready
            ):  # what has ended comes first
                act()
            self._turn(look_up=not ready)

    def _child_has_ended(self, sock: socket.socket) -> None:
        _empty(sock)
        self._some_have_ended = True

    def _turn(self, *, look_up: bool) -> None:
        if os.getppid() != self._parent and self._kill_at is None:
            self._stop(0.0)
        if look_up or self._some_have_ended or self._kill_at is not None:
            self._some_have_ended = False
            self._bury()
        if self._kill_at is None:
            self._hire()
        elif time.monotonic() >= self._kill_at:
            self._kill()
        self._share_out()
        self._count[0] = len(self._waiting) + sum(len(worker.held) for worker in self._workers())

    def _workers(self) -> Iterator[_Worker]:
        return (place.worker for place in self._places if place.worker is not None)

    def _timeout(self) -> float:
        now = time.monotonic()
        times = [now + LOOK_UP, *(place.due for place in self._places if place.worker is None)]
        if self._kill_at is not None:
            times = [now + LOOK_UP, self._kill_at]
        if self._accept_again > now:
            times.append(self._accept_again)
        return max(0.0, min(times) - now)

    @staticmethod
    def _signals(wakeup: socket.socket) -> None:
        # The parent decides what Ctrl-C and SIGTERM mean; a handler, unlike SIG_IGN, is not inherited by what
        # the workers execute.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)

    # ------------------------------------------------------------------ workers

    def _hire(self) -> None:
        """Fill the empty places whose time has come."""
        now = time.monotonic()
        for place in self._places:
            if place.worker is None and place.due <= now:
                try:
                    place.worker = self._fork(place)
                except OSError as error:
                    logger.error("cannot start worker %d: %s", place.index, error)
                    self._empty_place(place)

    def _fork(self, place: _Place) -> _Worker:
        ours, theirs = socket.socketpair()
        try:
            pid = os.fork()
        except BaseException:
            ours.close()
            theirs.close()
            raise
        if not pid:
            ours.close()
            self._become_worker(place, theirs)
        theirs.close()
        worker = _Worker(place.index, pid, ours, time.monotonic())
        self._selector.register(ours, selectors.EVENT_READ, lambda: self._told(worker))
        logger.info("worker %d: process %d", place.index, pid)
        return worker

    def _become_worker(self, place: _Place, sock: socket.socket) -> None:
        """In the new process: let go of what is the supervisor's, so that its end is seen, and begin."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        links = (worker.sock for worker in self._workers())
        held = [each.sock for worker in self._workers() for each in worker.held.values()]
        waiting = [each.sock for each in self._waiting]
        for other in (self._control, *self._listeners, *self._wakeup, *links, *held, *waiting):
            other.close()
        self._selector.close()
        self._clean_up(place.leftover)
        sock.sendall(encode_record("ready", current_run()))
        self._begin(place.index, sock)

    def _bury(self) -> None:
        """Collect the workers that have ended."""
        for place in self._places:
            worker = place.worker
            if worker is None:
                continue
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid:
                self._told(worker)  # what it said last
                self._ended(place, worker, os.waitstatus_to_exitcode(status))

    def _ended(self, place: _Place, worker: _Worker, code: int) -> None:
        self._break(worker)
        worker.sock.close()
        for number in list(worker.held):
            if number in worker.untaken:
                self._waiting.append(worker.held[number])
            else:
                self._done(worker, number)
        place.worker = None
        if self._kill_at is not None:
            if code:
                logger.warning("%s", _epitaph(worker, code))
                self._clean_up(worker.run)
            return
        place.leftover = worker.run or place.leftover
        lived = time.monotonic() - worker.born
        self._empty_place(place, soon=lived < STEADY)
        logger.error("%s; another one takes its place in %.1f s", _epitaph(worker, code), place.pause)

    @staticmethod
    def _empty_place(place: _Place, *, soon: bool = True) -> None:
        longer = min(max(2 * place.pause, FIRST_PAUSE), LONGEST_PAUSE)
        place.pause = longer if soon else FIRST_PAUSE
        place.due = time.monotonic() + place.pause

    def _clean_up(self, run: str) -> None:
        """Remove the hidden files of a worker that could not do it itself."""
        if run and self._directory is not None:
            remove_leftovers(self._directory, run)

    def _kill(self) -> None:
        for worker in self._workers():
            logger.warning("worker %d (process %d) does not end: killed", worker.index, worker.pid)
            os.kill(worker.pid, signal.SIGKILL)
        self._kill_at = time.monotonic() + KILL_SECONDS

    def _told(self, worker: _Worker) -> None:
        """Take what a worker says; it dies where it says nothing more."""
        while data := _received(worker.sock):
            for what, about in worker.records.feed(data):
                match what:
                    case "taken":
                        self._taken(worker, int(about))
                    case "untaken":  # it has no descriptor left
                        worker.untaken.discard(int(about))
                        self._waiting.append(worker.held.pop(int(about)))
                        self._accept_again = time.monotonic() + PAUSE
                    case "done":
                        self._done(worker, int(about))
                    case "ready":
                        worker.run = about
                    case "drain":  # a handler stops its server
                        self._stop(float(about))
                    case "hasten":
                        self._hasten()
        if data is not None:
            self._break(worker)

    def _break(self, worker: _Worker) -> None:
        """Expect nothing more of a worker but its end."""
        if not worker.broken:
            worker.broken = True
            self._selector.unregister(worker.sock)

    def _taken(self, worker: _Worker, number: int) -> None:
        worker.untaken.discard(number)
        worker.held[number].sock.close()

    def _done(self, worker: _Worker, number: int) -> None:
        connection = worker.held.pop(number)
        self._admission.done(connection.peer, connection.verdict)

    # ------------------------------------------------------------------ connections

    def _listen(self) -> None:
        """Watch the listening sockets while there is somebody to take connections; else these wait."""
        able = (
            self._kill_at is None
            and time.monotonic() >= self._accept_again
            and not self._waiting
            and any(worker.may_take() for worker in self._workers())
        )
        if able == self._listening:
            return
        self._listening = able
        for sock in self._listeners:
            if able:
                self._selector.register(sock, selectors.EVENT_READ, partial(self._accept, sock))
            else:
                self._selector.unregister(sock)

    def _accept(self, listener: socket.socket) -> None:
        if self._kill_at is not None:  # told to stop in the same turn
            return
        try:
            connection, address = listener.accept()
        except OSError as error:
            if error.errno in OUT_OF_RESOURCES:  # the connection goes on waiting
                logger.warning("cannot accept a connection: %s", error)
                self._accept_again = time.monotonic() + PAUSE
            return  # or it is gone again
        peer = address_text(address).rpartition(":")[0]
        verdict = self._admission.decide(peer)
        if verdict is Verdict.CLOSE:
            connection.close()
            return
        self._waiting.append(_Connection(connection, peer, verdict))
        self._count[0] += 1  # before a worker can ask
        self._share_out()

    def _share_out(self) -> None:
        """Give what waits to the workers with the least to do."""
        if self._kill_at is not None:
            while self._waiting:
                self._waiting.popleft().sock.close()
            return
        while self._waiting and time.monotonic() >= self._accept_again:
            able = filter(_Worker.may_take, self._workers())
            worker = min(able, key=_Worker.load, default=None)
            if worker is None:
                return
            self._number += 1
            connection = self._waiting[0]
            record = encode_record(connection.verdict.value, self._number)
            try:
                send_with(worker.sock, record, connection.sock.fileno())
            except ConnectionError:  # it has died, and is buried soon
                self._break(worker)
                continue
            except OSError as error:  # too much is on its way already
                logger.warning("cannot hand a connection over: %s", error)
                self._accept_again = time.monotonic() + PAUSE
                return
            self._waiting.popleft()
            worker.held[self._number] = connection
            worker.untaken.add(self._number)
            worker.last = self._number

    # ------------------------------------------------------------------ the end

    def _ordered(self) -> None:
        """Take what the parent says; its end is an order too."""
        while data := _received(self._control):
            for what, *rest in self._orders.feed(data):
                if what == "drain":
                    self._stop(float(rest[0]))
                else:
                    self._hasten()
        if data is not None:
            self._selector.unregister(self._control)
            self._stop(0.0)
            self._hasten()

    def _stop(self, drain: float) -> None:
        if self._kill_at is not None:
            return
        self._listen_no_more()
        self._kill_at = time.monotonic() + drain + KILL_SECONDS
        self._tell_all("drain", drain)
        if self._hastened:  # early
            self._tell_all("hasten")

    def _hasten(self) -> None:
        """Have what is left aborted; the second time do not wait for that any longer."""
        if self._kill_at is not None:
            seconds = 0.0 if self._hastened else KILL_SECONDS
            self._kill_at = min(self._kill_at, time.monotonic() + seconds)
        self._hastened = True
        self._tell_all("hasten")

    def _listen_no_more(self) -> None:
        for sock in self._listeners:
            if self._listening:
                self._selector.unregister(sock)
            close_listener(sock)
        self._listening = False
        self._listeners.clear()

    def _tell_all(self, *words: object) -> None:
        for worker in self._workers():
            with contextlib.suppress(OSError):  # it has died
                worker.sock.send(encode_record(*words), NOW)


def _is_accept(act: Callable[[], None]) -> bool:
    return isinstance(act, partial)


def _received(sock: socket.socket) -> bytes | None:
    """What has come; None when there is nothing now, empty at the end."""
    try:
        return sock.recv(64 * RECORD_LENGTH, NOW)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def _empty(sock: socket.socket) -> None:
    while _received(sock):
        pass


def _epitaph(worker: _Worker, code: int) -> str:
    if code < 0:
        how = f"was killed by {signal.Signals(-code).name}" if -code in _SIGNALS else f"was killed by {-code}"
    else:
        how = f"has ended with {code}"
    return f"worker {worker.index} (process {worker.pid}) {how}"


_SIGNALS = frozenset(signal.Signals)
