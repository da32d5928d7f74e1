"""The blocking face of Query/Retrieve: the responses of an operation as an iterator."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

from dcmnet._records import replace
from dcmnet.dataset.identifiers import Identifier
from dcmnet.registry.query_models import STUDY_ROOT, QueryModel
from dcmnet.services.defaults import LITTLE_ENDIAN
from dcmnet.services.query_contexts import RETRIEVED, get_contexts, query_contexts
from dcmnet.storage.deliveries import Claim, Deliveries
from dcmnet.storage.querying import (
    FindResult,
    Inquiry,
    ResponsesBase,
    RetrieveResult,
    Store,
    check_question,
    file_store,
    find_result,
    move_destination,
    proposing,
    receiving_node,
    retrieve_result,
)
from dcmnet.sync.association import Association, connect
from dcmnet.sync.server import LOOPBACK, Server

A = TypeVar("A")


class Responses(ResponsesBase[A], Iterator[A]):
    """The pending responses of a C-FIND, C-GET or C-MOVE, one by one; made by `Association`.

    The request is sent when the first one is asked for. Leaving a loop over them early sends C-CANCEL and
    passes over what still comes; `close()` and leaving a `with` block do the same. When the loop has ended by
    itself, `status` and `response` tell how, and `raise_for_status()` makes a failure an exception.
    """

    def __init__(self, association: Association, inquiry: Inquiry[A]) -> None:
        super().__init__(inquiry)
        self._association = association

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> A:
        item = self._association._run(self._inquiry.advance())
        if item is None:
            raise StopIteration
        return item

    def wait(self) -> Self:
        """Take all responses to the final one, and return itself."""
        self._association._run(self._inquiry.complete())
        return self

    def cancel(self) -> None:
        """Ask the peer to stop (C-CANCEL); the responses that it sends until it does still come."""
        return self._association._run(self._inquiry.cancel())

    def close(self) -> None:
        """Send C-CANCEL, pass over what still comes; nothing happens when the operation is over."""
        return self._association._run(self._inquiry.finish())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if self._inquiry.leave():
            self._association._settle()


def find(
    host: str,
    port: int,
    identifier: Identifier,
    *,
    model: QueryModel | str = STUDY_ROOT,
    cancel_after: int | None = None,
    **options: Any,
) -> FindResult:
    """Query a peer (C-FIND): establish an association, take all matches, release.

    Args:
        host: Name or address of the peer.
        port: TCP port.
        identifier: What to look for; see `Association.find`.
        model: The information model, or the UID of a C-FIND SOP class.
        cancel_after: Matches after which C-CANCEL is sent.
        options: As for `connect`: `called`, `calling`, `timeouts` and the others.

    Returns:
        The matches and the final response. A failure status is among it: see `raise_for_status`. So is what a
        peer did instead of releasing the association after that: see `endings`.

    Raises:
        ValueError: The model has no C-FIND.
        InputFileError: The identifier cannot be encoded.
        NoPresentationContext: The peer does not accept the model.
        TransportClosed: There was no connection.
        AssociationRejected: The peer refused.
        DeadlineExceeded: The peer did not answer in time.
    """
    check_question(identifier, cancel_after)
    options = proposing(options, lambda: query_contexts(model))
    with connect(host, port, **options) as association:
        responses = association.find(identifier, model=model, cancel_after=cancel_after)
        result = find_result(tuple(responses), responses)
    return replace(result, endings=association.endings)


def get(  # every one is a keyword
    host: str,
    port: int,
    identifier: Identifier,
    store: Store,
    *,
    model: QueryModel | str = STUDY_ROOT,
    sop_classes: str | Iterable[str] = RETRIEVED,
    transfer_syntaxes: str | Iterable[str] = LITTLE_ENDIAN,
    cancel_after: int | None = None,
    **options: Any,
) -> RetrieveResult:
    """Retrieve objects over one association (C-GET): establish, take all objects, release.

    Args:
        host: Name or address of the peer.
        port: TCP port.
        identifier: What to retrieve: the level and its unique keys.
        store: Folder for the objects, which must exist, or a `FileStore`.
        model: The information model, or the UID of a C-GET SOP class.
        sop_classes: Storage classes to be ready for, at most 127; the most common ones unless given.
        transfer_syntaxes: UIDs that the objects may come in, the best first; see `get_contexts`.
        cancel_after: Pending responses after which C-CANCEL is sent.
        options: As for `connect`: `called`, `calling`, `timeouts` and the others.

    Returns:
        The counts, the objects that failed, and the files. A failure status is among it, and objects that the
        peer says it has sent and that did not come: see `raise_for_status`. So is what a peer did instead of
        releasing the association after that: see `endings`.

    Raises:
        ValueError: The model has no C-GET, or there are too many classes.
        InputFileError: The identifier cannot be encoded.
        NoPresentationContext: The peer does not accept the model.
        TransportClosed: There was no connection.
        AssociationRejected: The peer refused.
        DeadlineExceeded: The peer did not answer in time.
    """
    check_question(identifier, cancel_after)
    options = proposing(
        options, lambda: get_contexts(model, sop_classes=sop_classes, transfer_syntaxes=transfer_syntaxes)
    )
    deliveries = Deliveries()
    target = deliveries.collecting(file_store(store))
    with connect(host, port, **options) as association:
        responses = association.get(identifier, target, model=model, cancel_after=cancel_after)
        result = retrieve_result(responses.wait())
    return replace(result.completed_by(deliveries), endings=association.endings)


def move(  # noqa: PLR0913  # every one is a keyword
    host: str,
    port: int,
    identifier: Identifier,
    destination: str = "",
    *,
    store: Store | None = None,
    listen_port: int = 0,
    listen_host: str = LOOPBACK,
    model: QueryModel | str = STUDY_ROOT,
    cancel_after: int | None = None,
    **options: Any,
) -> RetrieveResult:
    """Have a peer send objects (C-MOVE), to this side with `store`: establish, wait for the end, release.

    Args:
        host: Name or address of the peer.
        port: TCP port.
        identifier: What to retrieve: the level and its unique keys.
        destination: AE title to send to; `calling` unless given. The peer must know its address.
        store: Folder for the objects, or a `FileStore`: a Storage SCP of that title runs meanwhile, and takes
            several associations at once. If the final response says that more objects were sent than have
            come, it goes on listening for `Timeouts.arrival` after the last one. None leaves the objects to
            the destination.
        listen_port: Where that SCP listens: the port that the peer knows.
        listen_host: Its address: loopback unless told otherwise; "" for every address.
        model: The information model, or the UID of a C-MOVE SOP class.
        cancel_after: Pending responses after which C-CANCEL is sent.
        options: As for `connect`: `called`, `calling`, `timeouts` and the others.

    Returns:
        The counts, the objects that failed, and the files, if they came to this side. Failures are among it
        as for `get`.

    Raises:
        ValueError: The model has no C-MOVE, or there is a `store` and no `listen_port`.
        OSError: The port cannot be had.
        InputFileError: The identifier cannot be encoded.
        NoPresentationContext: The peer does not accept the model.
        TransportClosed: There was no connection.
        AssociationRejected: The peer refused.
        DeadlineExceeded: The peer did not answer in time.
    """
    check_question(identifier, cancel_after)
    options = proposing(options, lambda: query_contexts(model, find=False, move=True))
    title = move_destination(destination, options)
    if store is None:
        return _move(host, port, identifier, title, model, cancel_after, options)
    node, deliveries = receiving_node(store, title, listen_port, options, listen_host)
    server = Server(node=node)
    server.start(listen_port, listen_host)
    try:
        result = _move(host, port, identifier, title, model, cancel_after, options)
        await_deliveries(deliveries, result.claim, node.timeouts.arrival)
    finally:
        server.shutdown()
    return result.completed_by(deliveries)


def _move(  # what a C-MOVE has
    host: str,
    port: int,
    identifier: Identifier,
    destination: str,
    model: QueryModel | str,
    cancel_after: int | None,
    options: dict[str, Any],
) -> RetrieveResult:
    with connect(host, port, **options) as association:
        responses = association.move(identifier, destination, model=model, cancel_after=cancel_after)
        result = retrieve_result(responses.wait())
    return replace(result, endings=association.endings)


def await_deliveries(deliveries: Deliveries, claim: Claim, limit: float | None) -> None:
    """Wait until all objects have come that a peer says it has sent, or nothing more does.

    Args:
        deliveries: What has come to a server that listens on.
        claim: What the peer has said.
        limit: Seconds to wait for the next object, None for ever.
    """
    changed = threading.Condition()
    seen, seconds = -1, limit

    def tell() -> None:
        with changed:
            changed.notify_all()

    def has_changed() -> bool:
        return deliveries.changes != seen

    deliveries.on_change = tell
    with changed:
        while changed.wait_for(has_changed, seconds):
            seen = deliveries.changes
            seconds = deliveries.patience(claim, limit)
