"""What a server does, whatever face it has: whom it accepts, which handlers it calls."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dcmnet._records import dataclass, field, replace
from dcmnet.acse import AcceptorPolicy, AcceptorRole, SupportedContext
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
from dcmnet.storage.operations import OperationHandlers, Operations
from dcmnet.storage.queries import Queries, QueryHandlers
from dcmnet.storage.scp import FileStore, StoreHandler
from dcmnet.ul.provider import Trace

if TYPE_CHECKING:
    from dcmnet.tls import TLS

_AE_TITLE = "DCMNET"

H = TypeVar("H", bound=Callable[..., Any])


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


class Handlers(QueryHandlers, OperationHandlers):
    """The decorators of both faces' `Server`, and the configuration they fill in.

    Args:
        ae_title: The server's AE title.
        contexts: What is accepted; Verification, and storage where there is a handler, when not given.
        require_called_ae_title: Reject who calls another title.
        calling_ae_titles: Titles that may call; None for all.
        spool: Folder for objects on their way in; handlers that `save` to the same file system pay nothing.
            A private one, made for this server and removed with it, unless given.
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
        ValueError: There is a `node`, and something else that belongs into it; `workers` is negative.
    """

    def __init__(  # noqa: PLR0913  # each is an option of its own
        self,
        ae_title: str = _AE_TITLE,
        *,
        contexts: Sequence[SupportedContext] = (),
        require_called_ae_title: bool = False,
        calling_ae_titles: Iterable[str] | None = None,
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
        own = Node(
            policy=AcceptorPolicy(
                ae_title=ae_title,
                contexts=tuple(contexts),
                require_called_ae_title=require_called_ae_title,
                calling_ae_titles=None if calling_ae_titles is None else frozenset(calling_ae_titles),
                max_pdu_length=max_pdu_length,
                max_performed=max_window,
            ),
            timeouts=timeouts or Timeouts(),
            limits=limits or Limits(),
            tls=tls,
            max_associations=max_associations,
            max_associations_by_peer=max_associations_by_peer,
            workers=workers,
        )
        if workers < 0:
            raise ValueError(f"there cannot be {workers} workers: give 0 for none, or how many")
        if node is not None and own != Node(policy=AcceptorPolicy(ae_title=_AE_TITLE)):
            raise ValueError("a node has all the other arguments but spool: set them there")
        self.node = own if node is None else node
        self._queries = self.node.queries
        self._operations = self.node.operations
        self._spool = spool

    def on_store(self, handler: H) -> H:
        """Decorator: `handler(request)` is called with each complete `StoreRequest`.

        It may `request.save(...)` the object; otherwise the object is gone when the handler returns. What it
        returns is the status to answer with, None for success; an exception becomes 0110, processing failure.
        """
        self._own_store().handler = handler
        return handler

    def on_receiving(self, handler: H) -> H:
        """Decorator: `handler(request)` is called before the data set of an object is received.

        It may raise `dcmnet.errors.ObjectRefused(status, comment)`, or return a failure status, to refuse it.
        """
        self._own_store().on_receiving = handler
        return handler

    def on_progress(self, handler: H) -> H:
        """Decorator: `handler(request)` is called when more of an object was written; see `request.size`."""
        self._own_store().on_progress = handler
        return handler

    def on_stored(self, handler: H) -> H:
        """Decorator: `handler(request, status)` is called when it is clear what became of an object."""
        self._own_store().on_stored = handler
        return handler

    def on_echo(self, handler: H) -> H:
        """Decorator: `handler(core, context, request)` answers each C-ECHO.

        It returns a status, or None for success; an exception becomes 0110, processing failure.
        """
        self.node.hooks.echo = handler
        return handler

    def on_association(self, handler: H) -> H:
        """Decorator: `handler(request)` is called before an association is answered.

        It may raise `AssociationRejected(result, source, reason)` to refuse it.
        """
        self.node.hooks.request = handler
        return handler

    def on_accepted(self, handler: H) -> H:
        """Decorator: `handler(core)` is called when an association is established."""
        self.node.hooks.accepted = handler
        return handler

    def on_released(self, handler: H) -> H:
        """Decorator: `handler(core)` is called when an association was released in good order."""
        self.node.hooks.released = handler
        return handler

    def on_ended(self, handler: H) -> H:
        """Decorator: `handler(core, error)` is called when an association has ended.

        `error` is what ended it before its time, an abort, a timeout or the peer's mistake, or None.
        """
        self.node.hooks.ended = handler
        return handler

    def on_worker(self, handler: H) -> H:
        """Decorator: `handler(index)` is called in each worker process before it serves.

        The place for what processes must not share, as a connection to a database. What it raises ends the
        worker, and another one is tried after a pause. Without `workers` it is not called.
        """
        self.node.hooks.worker = handler
        return handler

    def _own_store(self) -> FileStore:
        """Where objects go; one in the spool folder, unless there is another."""
        if self.node.store is None:
            self.node.store = FileStore(directory=self._spool_folder())
        return self.node.store

    def _spool_folder(self) -> Path:
        if self._spool is None:
            import tempfile

            self._spool = tempfile.mkdtemp(prefix="dcmnet-")  # nobody else may read it
            weakref.finalize(self, _remove_folder, self._spool, os.getpid())
        return Path(self._spool)


def _remove_folder(folder: str, owner: int) -> None:
    """Remove a folder, but not in a child process, which is not the one to end its parent's work."""
    import shutil

    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


__all__ = ["Handlers", "Hooks", "Node", "StoreHandler"]
