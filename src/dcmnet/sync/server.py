"""The blocking server: one thread an association."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from dcmnet._net.admission import Admission, Verdict
from dcmnet._net.listening import Listener
from dcmnet._net.readiness import Wake
from dcmnet._net.trace import log_failure, log_trace, logger
from dcmnet._net.transfer import address_text
from dcmnet.acse import REJECT_LOCAL_LIMIT_EXCEEDED
from dcmnet.errors import DcmnetError
from dcmnet.procedures.association import AssociationCore
from dcmnet.procedures.scp import reject, serve
from dcmnet.storage.node import Handlers, Node
from dcmnet.sync.driver import Driver, call

if TYPE_CHECKING:
    from dcmnet._net.crew import Crew
    from dcmnet._net.link import Link
    from dcmnet._net.tls import Security

LOOPBACK = "127.0.0.1"
DRAIN_SECONDS = 10.0

THREAD_SECONDS = 10.0
"""How long a thread waits for another association once its own has ended."""

ABORT_SECONDS = 5.0
"""How long aborted associations may take to end; a handler that never returns does not hold `shutdown`."""


class Server(Handlers):
    """A server that performs what its handlers say; see `Handlers` for its options and decorators.

    ```python
    server = dcmnet.Server("ARCHIVE")

    @server.on_store
    def store(request):
        return request.save("received/")

    server.serve(11112)
    ```
    """

    _listener: Listener | None = None
    _crew: Crew | Link | None = None
    _thread: threading.Thread | None = None
    _ended: threading.Event | None = None

    @property
    def port(self) -> int:
        """The TCP port it listens on."""
        return self._running().port

    @property
    def addresses(self) -> list[str]:
        """The addresses it listens on, `host:port` each."""
        return self._running().addresses

    @property
    def associations(self) -> int:
        """How many associations are being served now."""
        running = self._running()
        return len(self._associations.guests) if isinstance(running, Listener) else running.associations

    def serve(self, port: int, host: str = LOOPBACK, *, family: int = socket.AF_UNSPEC) -> None:
        """Listen and serve until `shutdown` is called, or Ctrl-C.

        Args:
            port: TCP port; 0 for a free one.
            host: Address to listen on: loopback unless told otherwise; "" for every address.
            family: `socket.AF_INET`, `AF_INET6`, or `AF_UNSPEC` for both.

        Raises:
            OSError: The port cannot be had.
            TLSSettingsError: The settings of TLS cannot be used.
            ValueError: `workers` were asked for, and this system cannot have them.
        """
        self.start(port, host, family=family)
        try:
            self.wait()
        finally:
            self.shutdown()

    def start(self, port: int, host: str = LOOPBACK, *, family: int = socket.AF_UNSPEC) -> Self:
        """Listen, and serve from a thread; returns at once. Arguments and errors as for `serve`."""
        if self._listener is not None or self._crew is not None:
            raise RuntimeError("the server is running already")
        security = _security(self.node)
        if self.node.workers:
            from dcmnet._net.crew import Crew  # for those who ask for it

            self._crew = Crew(host, port, family, self.node, partial(self._work, security))
            return self
        self._listener = Listener(host, port, family)
        self._associations = _Associations(self, security)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._accept, name=f"dcmnet-{self.port}", daemon=True)
        self._thread.start()
        return self

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the server stops accepting; False when `timeout` seconds passed first.

        With workers until these have ended.
        """
        crew = self._crew
        if crew is not None:
            return crew.wait(timeout)
        thread = self._thread
        if thread is None:
            return True
        thread.join(timeout)
        return not thread.is_alive()

    def shutdown(self, drain: float = DRAIN_SECONDS) -> None:
        """Stop accepting, let associations finish for `drain` seconds, abort those that are left.

        One whose handler does not return within a few seconds more is logged and left behind; with workers
        it ends with its process.
        """
        crew = self._crew
        if crew is not None:
            crew.shutdown(drain)
            self._crew = None
            return
        listener, self._listener = self._listener, None
        if self._ended is None or self._thread is None:  # it never ran
            return
        try:
            if listener is not None:
                self._stop_accepting(listener, self._thread)
            elif not self._associations.is_mine():  # somebody else is at it
                self._ended.wait()
            self._associations.end(drain)
        finally:  # Ctrl-C must not leave the next one waiting
            self._ended.set()

    @staticmethod
    def _stop_accepting(listener: Listener, accepting: threading.Thread) -> None:
        listener.stop()
        try:
            accepting.join()
        finally:
            listener.close()

    def hasten_shutdown(self) -> None:
        """While `shutdown` waits, from another thread or a signal handler: abort what is left at once.

        Called again it ends what workers are left, which are processes of their own.
        """
        crew = self._crew
        if crew is not None:
            crew.hasten()
        elif self._ended is not None and not self._ended.is_set():
            self._associations.wake()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()

    def _running(self) -> Listener | Crew | Link:
        crew = self._crew
        running = self._listener if crew is None or crew.stopping else crew
        if running is None:
            raise RuntimeError("the server is not running: call start or serve")
        return running

    def _accept(self) -> None:
        assert self._listener is not None
        for connection in self._listener.accept():
            self._associations.begin(connection)

    def _work(self, security: Security | None, index: int, link: Link) -> None:
        """Be a worker: serve what comes over `link` until that says to stop."""
        self._crew = link
        if self.node.hooks.worker is not None:
            call(self.node.hooks.worker, index)
        associations = _Associations(self, security)
        for arrival in link.arrivals():
            associations.serve(*arrival)
        hasten = threading.Thread(target=_hasten, args=(link, associations), daemon=True)
        hasten.start()
        associations.end(link.drain or 0.0)


def _hasten(link: Link, associations: _Associations) -> None:
    link.wait_for_haste()
    associations.wake()


def _security(node: Node) -> Security | None:
    """TLS for the connections of a server, if they are to have it; the rest of the program never loads it."""
    if node.tls is None:
        return None
    from dcmnet._net.tls import acceptor_security

    return acceptor_security(node.tls)


class _Guest:
    """One association that is served: its connection, and what is done at its end."""

    __slots__ = ("connection", "done", "peer", "verdict")

    def __init__(
        self, connection: socket.socket, peer: str, verdict: Verdict, done: Callable[[], None]
    ) -> None:
        self.connection = connection
        self.peer = peer
        self.verdict = verdict
        self.done = done


_SERVED: ContextVar[_Guest | None] = ContextVar("_SERVED", default=None)
"""Whom a thread serves, or is at work for beside the one that does."""


class _Associations:
    """The associations of a server, a thread each, and how many there may be.

    A thread whose association has ended waits for another one for a while: to start one takes longer than a
    short association.

    Attributes:
        guests: Those that are served now.
    """

    def __init__(self, server: Server, security: Security | None) -> None:
        self._node = server.node
        self._acceptor = server.node.acceptor(log_failure)
        self._security = security
        self._lock = threading.Condition()
        self._admission = Admission(self._node.max_associations, self._node.max_associations_by_peer)
        self._wake = Wake()
        self._over = False
        self._idle = 0
        self._next: queue.SimpleQueue[_Guest | None] = queue.SimpleQueue()
        self.guests: set[_Guest] = set()

    def begin(self, connection: socket.socket) -> None:
        """Serve a connection in a thread of its own; one over the limits is rejected there."""
        try:
            peer = address_text(connection.getpeername()).rpartition(":")[0]
        except OSError:  # gone already
            connection.close()
            return
        with self._lock:
            verdict = self._admission.decide(peer)
        if verdict is Verdict.CLOSE:
            connection.close()
        else:
            self.serve(connection, peer, verdict, partial(self._admission.done, peer, verdict))

    def serve(self, connection: socket.socket, peer: str, verdict: Verdict, done: Callable[[], None]) -> None:
        """Serve, or reject, a connection in a thread of its own; `done` is called at its end."""
        guest = _Guest(connection, peer, verdict, done)
        with self._lock:
            self.guests.add(guest)
            if self._idle:
                self._idle -= 1
                self._next.put(guest)
                return
        try:
            threading.Thread(target=self._host, args=(guest,), daemon=True).start()
        except RuntimeError as error:  # no more threads to be had
            logger.error("cannot serve %s: %s", peer, error)
            connection.close()
            self._forget(guest)

    def end(self, drain: float) -> None:
        """Wait for the associations to end; after `drain` seconds abort them."""
        with self._lock:
            if not self._lock.wait_for(lambda: not self._others(), drain):
                self._wake.set()
                self._lock.wait_for(lambda: not self._others(), ABORT_SECONDS)
            for guest in self._others():
                logger.error("dcmnet-%s: left behind, a handler has not returned", guest.peer)
            self._over = True
            for _ in range(self._idle):
                self._next.put(None)
            self._give_back()

    def _give_back(self) -> None:
        if self._over and not self.guests:
            self._wake.close()

    def wake(self) -> None:
        """Make every thread that waits abort its association."""
        self._wake.set()

    def is_mine(self) -> bool:
        """Whether this thread serves one of them."""
        return _SERVED.get() in self.guests

    def _others(self) -> list[_Guest]:
        """Those but for this thread's own: a handler may stop its own server."""
        return [guest for guest in self.guests if guest is not _SERVED.get()]

    def _host(self, first: _Guest) -> None:
        """Serve one association after the other, until none has come for a while."""
        guest: _Guest | None = first
        while guest is not None:
            self._serve(guest)
            guest = self._await_next()

    def _await_next(self) -> _Guest | None:
        with self._lock:
            if self._over:
                return None
            self._idle += 1
        while True:
            try:
                return self._next.get(timeout=THREAD_SECONDS)
            except queue.Empty:
                with self._lock:
                    if self._next.empty():  # else one came at the last moment
                        self._idle -= 1
                        return None

    def _serve(self, guest: _Guest) -> None:
        threading.current_thread().name = f"dcmnet-{guest.peer}"
        _SERVED.set(guest)
        try:
            with guest.connection:
                self._run(guest.connection, guest.verdict)
        finally:
            _SERVED.set(None)
            self._forget(guest)

    def _run(self, connection: socket.socket, verdict: Verdict) -> None:
        core = self._node.new_core(log_trace())
        error: BaseException | None = None
        try:
            if self._security is None:
                self._drive(core, Driver(core, connection, wake=self._wake), verdict)
            else:
                self._run_securely(core, self._security, connection, verdict)
        except (DcmnetError, OSError) as ended:
            error = ended
            logger.warning("%s: %s", core.peer, str(ended))  # a record must not hold the association
        except Exception as failure:  # a hook's mistake must not end the server
            error = failure
            logger.exception("%s: a handler failed", core.peer)
        if self._node.hooks.ended is not None:
            self._call_ended(self._node.hooks.ended, core, error)

    def _run_securely(
        self, core: AssociationCore, security: Security, connection: socket.socket, verdict: Verdict
    ) -> None:
        from dcmnet.sync.tls import secure

        core.peer = address_text(connection.getpeername())
        seconds = core.timeouts.artim  # a client that is silent has this long, with TLS or without
        with secure(connection, security, seconds=seconds, wake=self._wake) as secured:
            self._drive(core, Driver(core, secured, wake=self._wake), verdict)

    def _drive(self, core: AssociationCore, driver: Driver, verdict: Verdict) -> None:
        if verdict is Verdict.REJECT:
            logger.warning("%s: rejected, too many associations", core.peer)
            driver.run(reject(core, REJECT_LOCAL_LIMIT_EXCEEDED))
        else:
            driver.run(serve(core, self._acceptor))

    def _call_ended(
        self,
        hook: Callable[[AssociationCore, BaseException | None], Any],
        core: AssociationCore,
        error: BaseException | None,
    ) -> None:
        try:
            call(hook, core, error)
        except Exception:
            logger.exception("%s: a hook failed", core.peer)

    def _forget(self, guest: _Guest) -> None:
        with self._lock:
            self.guests.discard(guest)
            guest.done()
            self._give_back()
            self._lock.notify_all()
