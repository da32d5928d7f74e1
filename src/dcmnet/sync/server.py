"""The blocking server: a few threads, whatever the number of associations."""

from __future__ import annotations

import socket
import threading
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from dcmnet import arguments
from dcmnet._net.forks import own
from dcmnet._net.isolation import isolate_decoders
from dcmnet._net.listening import Listener
from dcmnet.storage.node import Handlers, Node
from dcmnet.sync.calls import call
from dcmnet.sync.guests import Guests, Messenger

if TYPE_CHECKING:
    from dcmnet._net.crew import Crew
    from dcmnet._net.link import Link
    from dcmnet._net.tls import Security

isolate_decoders()

LOOPBACK = "127.0.0.1"
DRAIN_SECONDS = 10.0


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
    _closed: threading.Event | None = None
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
        return len(self._associations.present) if isinstance(running, Listener) else running.associations

    def serve(self, port: int, host: str = LOOPBACK, *, family: int = socket.AF_UNSPEC) -> None:
        """Listen and serve until `shutdown` is called, or Ctrl-C.

        Args:
            port: TCP port; 0 for a free one.
            host: Address to listen on: loopback unless told otherwise; "" for every address.
            family: `socket.AF_INET`, `AF_INET6`, or `AF_UNSPEC` for both.

        Raises:
            TypeError: An argument has another type.
            OSError: The port cannot be had, or the folder for objects does not exist.
            TLSSettingsError: The settings of TLS cannot be used.
            ValueError: There is no such port; `workers` were asked for, and this system cannot have them.
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
        self._check_start(host, port, family)
        security = _security(self.node)
        if self.node.workers:
            from dcmnet._net.crew import Crew  # for those who ask for it

            self._crew = Crew(host, port, family, self.node, partial(self._work, security))
            self._has_workers = True
            return self
        listener = self._listener = Listener(host, port, family)
        associations = self._associations = Guests(self.node, security, f"dcmnet-{self.port}")
        self._closed, self._ended = threading.Event(), threading.Event()
        own(self)
        associations.listen(listener)
        associations.lookout.start()
        return self

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the server stops accepting; False when `timeout` seconds passed first.

        With workers until these have ended.
        """
        arguments.seconds(timeout, "timeout")
        crew = self._crew
        if crew is not None:
            return crew.wait(timeout)
        return self._closed is None or self._closed.wait(timeout)

    def shutdown(self, drain: float = DRAIN_SECONDS) -> None:
        """Stop accepting, let associations finish for `drain` seconds, abort those that are left.

        One whose handler does not return within a few seconds more is logged and left behind; with workers
        it ends with its process.
        """
        arguments.seconds(drain, "drain")
        crew = self._crew
        if crew is not None:
            crew.shutdown(drain)
            self._crew = None
            self._has_workers = False
            return
        listener, self._listener = self._listener, None
        if self._ended is None:  # it never ran
            return
        try:
            if listener is not None:
                self._stop_accepting(listener)
            elif not self._associations.is_mine():  # somebody else is at it
                self._ended.wait()
            self._associations.end(drain)
        finally:  # Ctrl-C must not leave the next one waiting
            self._ended.set()

    def _stop_accepting(self, listener: Listener) -> None:
        assert self._closed is not None
        self._associations.lookout.post(partial(self._close, listener))
        self._closed.wait()

    def _close(self, listener: Listener) -> None:
        """Close the listening sockets, while nobody accepts from them."""
        assert self._closed is not None
        self._associations.close(listener)
        self._closed.set()

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

    def disown(self) -> None:
        """In a child process that was forked: the server runs in the parent only."""
        if self._listener is not None:
            self._listener.disown()
        self._listener = self._closed = self._ended = None

    def _running(self) -> Listener | Crew | Link:
        crew = self._crew
        running = self._listener if crew is None or crew.stopping else crew
        if running is None:
            raise RuntimeError("the server is not running: call start or serve")
        return running

    def _work(self, security: Security | None, index: int, link: Link) -> None:
        """Be a worker: serve what comes over `link` until that says to stop."""
        self._crew = link
        self._has_workers = False  # each worker calls the hook, which may register handlers therefore
        if self.node.hooks.worker is not None:
            call(self.node.hooks.worker, index)
        self._has_workers = True
        associations = Guests(self.node, security, f"dcmnet-{link.port}")
        messenger = Messenger(link, associations)
        associations.lookout.add(messenger)
        associations.lookout.start()
        messenger.stopped.wait()
        hasten = threading.Thread(target=_hasten, args=(link, associations), daemon=True)
        hasten.start()
        associations.end(link.drain or 0.0)


def _hasten(link: Link, associations: Guests) -> None:
    link.wait_for_haste()
    associations.wake()


def _security(node: Node) -> Security | None:
    """TLS for the connections of a server, if they are to have it; the rest of the program never loads it."""
    if node.tls is None:
        return None
    from dcmnet._net.tls import acceptor_security

    return acceptor_security(node.tls)
