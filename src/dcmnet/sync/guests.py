"""The associations of a blocking server, each served when its peer has said something."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextvars import Context, ContextVar
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

from dcmnet._net.admission import Admission, Verdict
from dcmnet._net.readiness import Wake
from dcmnet._net.trace import log_failure, log_trace, logger
from dcmnet._net.transfer import address_text
from dcmnet.acse import REJECT_LOCAL_LIMIT_EXCEEDED
from dcmnet.errors import DcmnetError
from dcmnet.procedures.association import AssociationCore
from dcmnet.procedures.effects import Procedure
from dcmnet.procedures.scp import reject, serve
from dcmnet.storage.node import CurrentAcceptor, Node
from dcmnet.sync.calls import call
from dcmnet.sync.lookout import SLOW_STEPS, Lookout
from dcmnet.sync.serving import ServingDriver

if TYPE_CHECKING:
    from dcmnet._net.link import Link
    from dcmnet._net.listening import Listener
    from dcmnet._net.tls import Security, TLSSocket

ABORT_SECONDS = 5.0
"""How long aborted associations may take to end; a handler that never returns does not hold `shutdown`."""


class Guest:
    """One association that is served: its connection, and what is done at its end.

    Attributes:
        core: The association.
        connection: To the peer.
        peer: The peer's host.
        verdict: Whether it is served or rejected.
        done: Called at its end.
        driver: Runs it; None before it has begun.
    """

    __slots__ = (
        *("_context", "_guests", "connection", "core", "deadline", "done", "driver", "fd", "slow_steps"),
        *("is_watched", "peer", "verdict"),
    )

    def __init__(
        self,
        guests: Guests,
        core: AssociationCore,
        connection: socket.socket,
        peer: str,
        verdict: Verdict,
        done: Callable[[], None],
    ) -> None:
        self._guests = guests
        self._context = Context()
        self._context.run(_SERVED.set, self)
        self.core = core
        self.connection: socket.socket | TLSSocket = connection
        self.peer = peer
        self.verdict = verdict
        self.done = done
        self.driver: ServingDriver | None = None
        self.fd = connection.fileno()
        self.deadline = inf
        self.slow_steps = 0 if guests.security is None else SLOW_STEPS  # a handshake takes its time
        self.is_watched = False

    def go_on(self) -> bool:
        """Go on as far as the peer has said something; False at the end."""
        goes_on = self._context.run(self._guests.go_on, self)
        if not goes_on:
            del self._context  # it knows this guest
        return goes_on


_SERVED: ContextVar[Guest | None] = ContextVar("_SERVED", default=None)
"""Whom a thread serves, or is at work for beside the one that does."""


class Guests:
    """The associations of a server, and how many there may be.

    Args:
        node: The server's configuration.
        security: TLS for their connections; None for plain ones.
        name: Of its threads.

    Attributes:
        security: The same.
        lookout: Serves them.
        present: Those that are served now.
    """

    def __init__(self, node: Node, security: Security | None, name: str) -> None:
        self._node = node
        self._acceptor = CurrentAcceptor(node, log_failure)
        self._lock = threading.Condition()
        self._admission = Admission(node.max_associations, node.max_associations_by_peer)
        self._wake = Wake()
        self._over = False
        self.security = security
        self.lookout = Lookout(name, node.timeouts.busy_wait)
        self.present: set[Guest] = set()
        self._doors: list[Door] = []

    def listen(self, listener: Listener) -> None:
        """Let in whoever comes."""
        self._doors = [Door(listener, sock, self) for sock in listener.sockets]
        for door in self._doors:
            self.lookout.add(door)

    def close(self, listener: Listener) -> None:
        """Let nobody in any more; by who has the lookout."""
        for door in self._doors:
            self.lookout.remove(door)
        listener.close()

    def begin(self, connection: socket.socket, address: str) -> None:
        """Serve a connection; one over the limits is rejected."""
        peer = address.rpartition(":")[0]
        with self._lock:
            verdict = self._admission.decide(peer)
        if verdict is Verdict.CLOSE:
            connection.close()
        else:
            self.serve(connection, peer, verdict, partial(self._admission.done, peer, verdict), address)

    def serve(
        self,
        connection: socket.socket,
        peer: str,
        verdict: Verdict,
        done: Callable[[], None],
        address: str = "",
    ) -> None:
        """Serve, or reject, a connection; `done` is called at its end.

        Args:
            connection: To the peer.
            peer: The peer's host.
            verdict: Which of both.
            done: Called at its end.
            address: `host:port` of the peer, where that is known.
        """
        core = self._node.new_core(log_trace())
        core.peer = address
        guest = Guest(self, core, connection, peer, verdict, done)
        with self._lock:
            self.present.add(guest)
        self.lookout.add(guest)

    def end(self, drain: float) -> None:
        """Wait for the associations to end; after `drain` seconds abort them."""
        with self._lock:
            if not self._lock.wait_for(lambda: not self._others(), drain):
                self.wake()
                self._lock.wait_for(lambda: not self._others(), ABORT_SECONDS)
            for guest in self._others():
                logger.error("dcmnet-%s: left behind, a handler has not returned", guest.peer)
            self._over = True
            self._give_back()
        self.lookout.end()

    def _give_back(self) -> None:
        if self._over and not self.present:
            self._wake.close()

    def wake(self) -> None:
        """Have every association that waits aborted."""
        self._wake.set()
        self.lookout.go_on_with_all()

    def is_mine(self) -> bool:
        """Whether this thread serves one of them."""
        return _SERVED.get() in self.present

    def _others(self) -> list[Guest]:
        """Those but for this thread's own: a handler may stop its own server."""
        return [guest for guest in self.present if guest is not _SERVED.get()]

    # ------------------------------------------------------------------ one association

    def go_on(self, guest: Guest) -> bool:
        """Go on with one of them, in its context; False at its end."""
        error: BaseException | None = None
        goes_on = False
        try:
            driver = guest.driver or self._begin(guest)
            goes_on = driver.go_on()
            guest.deadline = driver.deadline
        except (DcmnetError, OSError) as ended:
            error = ended
            logger.warning("%s: %s", guest.core.peer, str(ended))  # a record must not hold the association
        except Exception as failure:  # a hook's mistake must not end the server
            error = failure
            logger.exception("%s: a handler failed", guest.core.peer)
        finally:
            if not goes_on:
                self._conclude(guest, error)
        return goes_on

    def _begin(self, guest: Guest) -> ServingDriver:
        core = guest.core
        if self.security is not None:
            guest.connection = _secure(core, self.security, guest.connection, self._wake)
        if guest.verdict is Verdict.REJECT:
            logger.warning("%s: rejected, too many associations", core.peer)
            procedure: Procedure[Any] = reject(core, REJECT_LOCAL_LIMIT_EXCEEDED)
        else:
            procedure = serve(core, self._acceptor())
        leave = partial(self.lookout.remove, guest)
        guest.driver = ServingDriver(core, guest.connection, procedure, wake=self._wake, on_close=leave)
        return guest.driver

    def _conclude(self, guest: Guest, error: BaseException | None) -> None:
        self.lookout.remove(guest)
        guest.connection.close()
        guest.driver = None  # the two hold each other
        try:
            if self._node.hooks.ended is not None:
                self._call_ended(self._node.hooks.ended, guest.core, error)
        finally:
            with self._lock:
                self.present.discard(guest)
                guest.done()
                self._give_back()
                self._lock.notify_all()

    @staticmethod
    def _call_ended(
        hook: Callable[[AssociationCore, BaseException | None], Any],
        core: AssociationCore,
        error: BaseException | None,
    ) -> None:
        try:
            call(hook, core, error)
        except Exception:
            logger.exception("%s: a hook failed", core.peer)


def _secure(core: AssociationCore, security: Security, connection: Any, wake: Wake) -> TLSSocket:
    from dcmnet.sync.tls import secure

    core.peer = core.peer or address_text(connection.getpeername())
    seconds = core.timeouts.artim  # a client that is silent has this long, with TLS or without
    return secure(connection, security, seconds=seconds, wake=wake)


# ---------------------------------------------------------------------- where they come from


class Door:
    """A listening socket."""

    __slots__ = ("_guests", "_listener", "_sock", "deadline", "fd", "is_watched", "slow_steps")

    def __init__(self, listener: Listener, sock: socket.socket, guests: Guests) -> None:
        self._listener = listener
        self._sock = sock
        self._guests = guests
        self.fd = sock.fileno()
        self.deadline = inf
        self.slow_steps = 0
        self.is_watched = False

    def go_on(self) -> bool:
        """Let the next one in."""
        found = self._listener.accept(self._sock)
        if found is not None:
            self._guests.begin(*found)
        return True


class Messenger:
    """A worker's link to its supervisor, which brings connections until it says to stop.

    Attributes:
        stopped: Set then.
    """

    __slots__ = ("_guests", "_link", "deadline", "fd", "is_watched", "slow_steps", "stopped")

    def __init__(self, link: Link, guests: Guests) -> None:
        self._link = link
        self._guests = guests
        self.stopped = threading.Event()
        self.fd = link.sock.fileno()
        self.deadline = inf
        self.slow_steps = 0
        self.is_watched = False

    def go_on(self) -> bool:
        """Take what has come; False when it says to stop."""
        arrival = self._link.receive()
        if arrival is not None:
            self._guests.serve(*arrival)
        if self._link.drain is None:
            return True
        self._guests.lookout.remove(self)
        self.stopped.set()
        return False
