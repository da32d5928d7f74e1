"""What a server does, whatever face it has: whom it accepts, which handlers it calls."""

from __future__ import annotations

import os
import sys
import weakref
from collections.abc import Callable, Iterable
from operator import is_
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcmnet import arguments
from dcmnet._records import dataclass, field, replace
from dcmnet.acse import MAX_OPERATIONS, AcceptorPolicy, AcceptorRole, SupportedContext, several_contexts
from dcmnet.dataset import load_pydicom
from dcmnet.dimse.messages import CEchoRQ, CStoreRQ, Message
from dcmnet.limits import (
    DEFAULT_MAX_PDU_LENGTH,
    DEFAULT_WINDOW_SERVED,
    MAX_ASSOCIATIONS,
    MAX_ASSOCIATIONS_BY_PEER,
    Limits,
    Timeouts,
)
from dcmnet.procedures.association import AssociationCore, new_core
from dcmnet.procedures.scp import Acceptor, AssociationRequest, Service
from dcmnet.services.defaults import VERIFICATION_CONTEXT, storage_contexts
from dcmnet.services.storage import storage
from dcmnet.services.verification import verification
from dcmnet.storage.files import existing_folder
from dcmnet.storage.operations import OperationHandlers, Operations
from dcmnet.storage.queries import Queries, QueryHandlers
from dcmnet.storage.registering import H
from dcmnet.storage.scp import FileStore, StoreHandler
from dcmnet.ul.provider import Trace

if TYPE_CHECKING:
    from dcmnet.tls import TLS

_AE_TITLE = "DCMNET"


@dataclass(slots=True, kw_only=True)
class Hooks:
    """What a server calls at the turns of an association's life; each may be None.

    Attributes:
        request: `hook(AssociationRequest)` before an association is answered; raises AssociationRejected to
            refuse it, returns the server response to a user identity (bytes) or None.
        accepted: `hook(core)` when it is established.
        released: `hook(core)` after an orderly release.
        ended: `hook(core, error)` when it has ended, with what ended it before its time, or None.
        echo: `hook(core, context, request)` for each C-ECHO; returns a status, or None for success.
        worker: `hook(index)` in each worker process before it serves, from 0 up; also in one that takes the
            place of another.
        failed: `hook(text, error)` when a handler raised, or an object was refused or could not be kept; a
            log record is written when it is None.
    """

    request: Callable[[AssociationRequest], Any] | None = None
    accepted: Callable[[AssociationCore], Any] | None = None
    released: Callable[[AssociationCore], Any] | None = None
    ended: Callable[[AssociationCore, BaseException | None], Any] | None = None
    echo: Callable[..., Any] | None = None
    worker: Callable[[int], Any] | None = None
    failed: Callable[[str, BaseException | None], Any] | None = None

    def __post_init__(self) -> None:
        arguments.check_types(self)


@dataclass(slots=True, kw_only=True)
class Node:
    """The configuration of a server.

    Attributes:
        policy: How associations are negotiated. Without `contexts`, Verification is accepted, and every
            storage class where there is a store.
        timeouts: Every timer.
        limits: What peers may send.
        tls: How TLS is used; None for plain TCP.
        max_associations: At most so many at once; more are rejected as transient (2/3/2).
        max_associations_by_peer: At most so many at once from one address.
        workers: How many processes serve; 0 for this one alone.
        store: Where received objects go; None accepts none.
        queries: What answers queries and retrievals.
        operations: What performs the normalized services.
        hooks: What is called when.
        trace: Called for every PDU and transition.
    """

    policy: AcceptorPolicy = field(default_factory=AcceptorPolicy)
    timeouts: Timeouts = field(default_factory=Timeouts)
    limits: Limits = field(default_factory=Limits)
    tls: TLS | None = None
    max_associations: int = MAX_ASSOCIATIONS
    max_associations_by_peer: int = MAX_ASSOCIATIONS_BY_PEER
    workers: int = 0
    store: FileStore | None = None
    queries: Queries = field(default_factory=Queries)
    operations: Operations = field(default_factory=Operations)
    hooks: Hooks = field(default_factory=Hooks)
    trace: Trace | None = None

    def __post_init__(self) -> None:
        arguments.check_types(self)
        for name in ("max_associations", "max_associations_by_peer", "workers"):
            arguments.whole_number(getattr(self, name), name, name != "workers")

    @property
    def looks_into_data_sets(self) -> bool:
        """Whether what is called for messages may need data sets as pydicom has them."""
        store, queries = self.store, self.queries
        handles = store is not None and (store.handler or store.on_receiving or store.conversion)
        return bool(
            handles or queries.finders or queries.getters or queries.movers or self.operations.handlers
        )

    def load(self) -> None:
        """Load pydicom, if handlers may need it, before there are threads.

        The first messages of several peers would have them all wait for that. A handler may also import parts
        of pydicom itself, which must not happen beside another thread that does so (`dcmnet.dataset.bridge`).
        """
        if self.looks_into_data_sets:
            load_pydicom()

    def acceptor(self, log_failure: Callable[[str, BaseException | None], Any] | None = None) -> Acceptor:
        """The acceptor that serves each association.

        Args:
            log_failure: Told what went wrong, where there is no hook for it.
        """
        failed = self.hooks.failed or log_failure
        services: dict[type[Message], Service] = {CEchoRQ: verification(self.hooks.echo, failed)}
        contexts: tuple[SupportedContext, ...] = (VERIFICATION_CONTEXT,)
        if self.store is not None:
            self.store.on_error = self.store.on_error or failed
            services[CStoreRQ] = storage(self.store)
        policy = self.policy
        if not policy.contexts:
            more = (*self._storage_contexts(), *self.queries.contexts(), *self.operations.contexts())
            policy = replace(policy, contexts=(*contexts, *more))
        if policy.extended_negotiation is None and self.queries.options:
            policy = replace(policy, extended_negotiation=self.queries.agree)
        services.update(self.queries.services(policy.ae_title, failed))
        services.update(self.operations.services(failed))
        return Acceptor(
            policy=policy,
            services=services,
            on_request=self.hooks.request,
            on_accepted=self.hooks.accepted,
            on_released=self.hooks.released,
        )

    def _storage_contexts(self) -> tuple[SupportedContext, ...]:
        if not self.queries.getters:
            return storage_contexts() if self.store is not None else ()
        # PS3.7 D.3.3.4: who asks for objects receives them, and so is their SCP.
        return storage_contexts(role=AcceptorRole.SCP if self.store is None else AcceptorRole.BOTH)

    def new_core(self, trace: Trace | None = None) -> AssociationCore:
        """A core for one association that is served."""
        return new_core(
            requestor=False,
            timeouts=self.timeouts,
            limits=self.limits,
            max_pdu_length=self.policy.max_pdu_length,
            trace=self.trace or trace,
        )


class CurrentAcceptor:
    """The acceptor for the next association: made once, and anew when something has been registered since.

    Args:
        node: The configuration.
        log_failure: As for `Node.acceptor`.
    """

    def __init__(self, node: Node, log_failure: Callable[[str, BaseException | None], Any]) -> None:
        self._node = node
        self._log_failure = log_failure
        node.load()
        self._remember()

    def __call__(self) -> Acceptor:
        """The acceptor for an association that begins now."""
        if not all(map(is_, self._values, self._now())) or self._tables != self._tables_now():
            self._remember()
        return self._acceptor

    def _remember(self) -> None:
        self._values = self._now()
        self._tables = [dict(table) for table in self._tables_now()]
        self._acceptor = self._node.acceptor(self._log_failure)

    def _now(self) -> tuple[Any, ...]:
        node, hooks = self._node, self._node.hooks
        called = hooks.request, hooks.accepted, hooks.released, hooks.echo, hooks.failed
        return (node.policy, node.store, node.queries.destinations, *called)

    def _tables_now(self) -> list[dict[Any, Any]]:
        asked, performed = self._node.queries, self._node.operations
        return [asked.finders, asked.getters, asked.movers, asked.options, performed.handlers]


class Handlers(QueryHandlers, OperationHandlers):
    """The decorators of both faces' `Server`, and the configuration they fill in.

    Handlers and destinations may be set while the server runs: they are used for the associations that are
    accepted from then on. With `workers` that raises RuntimeError, but in `on_worker`, which each worker
    calls.

    Args:
        ae_title: The server's AE title.
        contexts: What is accepted: contexts, or SOP Class UIDs for any transfer syntax. Verification, and
            storage if there is a handler, when not given.
        require_called_ae_title: Reject who calls another title.
        calling_ae_titles: Titles that may call, one or several; None for all.
        spool: Folder, which must exist, for objects on their way in; handlers that `save` to the same file
            system pay nothing. A private one, made for this server and removed with it, unless given.
        max_pdu_length: Longest P-DATA-TF this side takes, in bytes.
        max_window: At most so many objects of one association are being kept at once, where its peer asks for
            an asynchronous operations window (PS3.7 D.3.3.3); 1 for one after the other.
        timeouts: Every timer.
        limits: What peers may send.
        tls: How TLS is used; plain TCP when not given.
        max_associations: At most so many at once; more are rejected as transient (2/3/2).
        max_associations_by_peer: At most so many at once from one address.
        workers: How many processes serve the port; 0 for this one alone. Limits hold over all of them, and
            one that dies is replaced. Handlers run in the workers: each has a copy of what this process was
            when the server was started, and what one changes the others do not see. Start it before any
            thread.
        node: All of this but `spool` at once, for those who need more.

    Raises:
        TypeError: An argument has another type.
        ValueError: There is a `node`, and something else that belongs into it; a number is out of range, or
            an AE title is none.
        OSError: The folder of `spool`, or of the node's store, does not exist.
    """

    def __init__(  # noqa: PLR0913  # each is an option of its own
        self,
        ae_title: str = _AE_TITLE,
        *,
        contexts: Iterable[SupportedContext | str] = (),
        require_called_ae_title: bool = False,
        calling_ae_titles: str | Iterable[str] | None = None,
        spool: str | Path | None = None,
        max_pdu_length: int = DEFAULT_MAX_PDU_LENGTH,
        max_window: int = DEFAULT_WINDOW_SERVED,
        timeouts: Timeouts | None = None,
        limits: Limits | None = None,
        tls: TLS | None = None,
        max_associations: int = MAX_ASSOCIATIONS,
        max_associations_by_peer: int = MAX_ASSOCIATIONS_BY_PEER,
        workers: int = 0,
        node: Node | None = None,
    ) -> None:
        if arguments.whole_number(workers, "workers", -sys.maxsize) < 0:
            raise ValueError(f"there cannot be {workers} workers: give 0 for none, or how many")
        titles = calling_ae_titles
        if titles is not None:
            given = arguments.strings(titles, "calling_ae_titles")
            titles = frozenset(arguments.ae_title(each, "calling_ae_titles") for each in given)
        own = Node(
            policy=AcceptorPolicy(
                ae_title=arguments.ae_title(ae_title, "ae_title"),
                contexts=several_contexts(contexts, SupportedContext),
                require_called_ae_title=require_called_ae_title,
                calling_ae_titles=titles,
                max_pdu_length=max_pdu_length,
                max_performed=arguments.whole_number(max_window, "max_window", 0, MAX_OPERATIONS),
            ),
            timeouts=Timeouts() if timeouts is None else timeouts,
            limits=Limits() if limits is None else limits,
            tls=tls,
            max_associations=max_associations,
            max_associations_by_peer=max_associations_by_peer,
            workers=workers,
        )
        arguments.check_type(node, "node", "Node | None")
        if node is not None and own != Node(policy=AcceptorPolicy(ae_title=_AE_TITLE)):
            raise ValueError("a node has all the other arguments but spool: set them there")
        self.node = own if node is None else node
        if self.node.store is not None:
            self.node.store.check_folder()
        self._queries = self.node.queries
        self._operations = self.node.operations
        self._spool = None if spool is None else existing_folder(spool, "spool")

    def on_store(self, handler: H) -> H:
        """Decorator: `handler(request)` is called with each complete `StoreRequest`.

        It may `request.save(...)` the object; otherwise the object is gone when the handler returns. What it
        returns is the status to answer with, None for success. `dcmnet.StatusError(status, comment)` is that
        status, any other exception becomes 0110, processing failure, and so does any other return value.
        """
        self._check("on_store", handler, 1)
        self._own_store().handler = handler
        return handler

    def on_receiving(self, handler: H) -> H:
        """Decorator: `handler(request)` is called before the data set of an object is received.

        It may raise `dcmnet.StatusError(status, comment)`, or return a failure status, to refuse it.
        """
        self._check("on_receiving", handler, 1)
        self._own_store().on_receiving = handler
        return handler

    def on_progress(self, handler: H) -> H:
        """Decorator: `handler(request)` is called when more of an object was written; see `request.size`.

        No coroutine function: nothing waits for it.
        """
        self._check("on_progress", handler, 1, waits=False)
        self._own_store().on_progress = handler
        return handler

    def on_stored(self, handler: H) -> H:
        """Decorator: `handler(request, status)` is called when it is clear what became of an object.

        No coroutine function: nothing waits for it.
        """
        self._check("on_stored", handler, 2, waits=False)
        self._own_store().on_stored = handler
        return handler

    def on_echo(self, handler: H) -> H:
        """Decorator: `handler(core, context, request)` answers each C-ECHO.

        It returns a status, or None for success, or raises `dcmnet.StatusError(status, comment)`; any other
        exception becomes 0110, processing failure.
        """
        self.node.hooks.echo = self._check("on_echo", handler, 3)
        return handler

    def on_association(self, handler: H) -> H:
        """Decorator: `handler(request)` is called before an association is answered.

        It may raise `AssociationRejected(result, source, reason)` to refuse it. It returns the server
        response to a user identity (bytes), or None; another value, such as False, aborts the association.
        """
        self.node.hooks.request = self._check("on_association", handler, 1)
        return handler

    def on_accepted(self, handler: H) -> H:
        """Decorator: `handler(core)` is called when an association is established."""
        self.node.hooks.accepted = self._check("on_accepted", handler, 1)
        return handler

    def on_released(self, handler: H) -> H:
        """Decorator: `handler(core)` is called when an association was released in good order."""
        self.node.hooks.released = self._check("on_released", handler, 1)
        return handler

    def on_ended(self, handler: H) -> H:
        """Decorator: `handler(core, error)` is called when an association has ended.

        `error` is what ended it before its time, an abort, a timeout or the peer's mistake, or None.
        """
        self.node.hooks.ended = self._check("on_ended", handler, 2)
        return handler

    def on_worker(self, handler: H) -> H:
        """Decorator: `handler(index)` is called in each worker process before it serves.

        The place for what processes must not share, as a connection to a database. What it raises ends the
        worker, and another one is tried after a pause. Without `workers` it is not called.
        """
        self.node.hooks.worker = self._check("on_worker", handler, 1)
        return handler

    def _check_start(self, host: str, port: int, family: int = 0) -> None:
        """Raise for an address that a server cannot listen on, or a store without a folder.

        Raises:
            TypeError: The host is no text, or the port or the address family no integer.
            ValueError: There is no such port.
            OSError: There is no such folder.
        """
        arguments.text(host, "host")
        arguments.port(port, free=True)
        arguments.whole_number(family, "family")
        if self.node.store is not None:
            self.node.store.check_folder()
        self.node.load()  # workers are copies of this process, and have it then

    def _own_store(self) -> FileStore:
        """Where objects go; one in the spool folder, unless there is another."""
        if self.node.store is None:
            self.node.store = FileStore(directory=self._spool_folder())
        return self.node.store

    def _spool_folder(self) -> Path:
        if self._spool is None:
            import tempfile

            self._spool = Path(tempfile.mkdtemp(prefix="dcmnet-"))  # only this user may read it
            weakref.finalize(self, _remove_folder, str(self._spool), os.getpid())
        return self._spool


def _remove_folder(folder: str, owner: int) -> None:
    """Remove a folder, but not in a child process, which is not the one to end its parent's work."""
    import shutil

    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


__all__ = ["Handlers", "Hooks", "Node", "StoreHandler"]
