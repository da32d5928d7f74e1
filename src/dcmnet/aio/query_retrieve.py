"""The asyncio face of Query/Retrieve: the responses of an operation as an asynchronous iterator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

from dcmnet._records import replace
from dcmnet.aio.association import Association, connect
from dcmnet.aio.server import LOOPBACK, Server
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

A = TypeVar("A")


class Responses(ResponsesBase[A], AsyncIterator[A]):
    """The pending responses of a C-FIND, C-GET or C-MOVE, one by one; made by `Association`.

    The request is sent when the first one is asked for. Leaving a loop over them early sends C-CANCEL and
    passes over what still comes, in a task of its own, before anything else happens on the association;
    `close()` and leaving an `async with` block wait for that. When the loop has ended by itself, `status` and
    `response` tell how, and `raise_for_status()` makes a failure an exception.
    """

    def __init__(self, association: Association, inquiry: Inquiry[A]) -> None:
        super().__init__(inquiry)
        self._association = association

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> A:
        item = await self._association._run(self._inquiry.advance())
        if item is None:
            raise StopAsyncIteration
        return item

    async def wait(self) -> Self:
        """Take all responses to the final one, and return itself."""
        await self._association._run(self._inquiry.complete())
        return self

    async def cancel(self) -> None:
        """Ask the peer to stop (C-CANCEL); the responses that it sends until it does still come."""
        return await self._association._run(self._inquiry.cancel())

    async def close(self) -> None:
        """Send C-CANCEL, pass over what still comes; nothing happens when the operation is over."""
        return await self._association._run(self._inquiry.finish())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __del__(self) -> None:
        if self._inquiry.leave():
            self._association._settle()


async def find(
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
    async with connect(host, port, **options) as association:
        responses = association.find(identifier, model=model, cancel_after=cancel_after)
        result = find_result(tuple([match async for match in responses]), responses)
    return replace(result, endings=association.endings)


async def get(  # every one is a keyword
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
    async with connect(host, port, **options) as association:
        responses = association.get(identifier, target, model=model, cancel_after=cancel_after)
        result = retrieve_result(await responses.wait())
    return replace(result.completed_by(deliveries), endings=association.endings)


async def move(  # noqa: PLR0913  # every one is a keyword
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
        return await _move(host, port, identifier, title, model, cancel_after, options)
    node, deliveries = receiving_node(store, title, listen_port, options, listen_host)
    server = Server(node=node)
    await server.start(listen_port, listen_host)
    try:
        result = await _move(host, port, identifier, title, model, cancel_after, options)
        await await_deliveries(deliveries, result.claim, node.timeouts.arrival)
    finally:
        await server.shutdown()
    return result.completed_by(deliveries)


async def _move(  # what a C-MOVE has
    host: str,
    port: int,
    identifier: Identifier,
    destination: str,
    model: QueryModel | str,
    cancel_after: int | None,
    options: dict[str, Any],
) -> RetrieveResult:
    async with connect(host, port, **options) as association:
        responses = association.move(identifier, destination, model=model, cancel_after=cancel_after)
        result = retrieve_result(await responses.wait())
    return replace(result, endings=association.endings)


async def await_deliveries(deliveries: Deliveries, claim: Claim, limit: float | None) -> None:
    """See `dcmnet.sync.query_retrieve.await_deliveries`."""
    changed = asyncio.Event()
    deliveries.on_change = partial(asyncio.get_running_loop().call_soon_threadsafe, changed.set)
    seconds = deliveries.patience(claim, limit)
    while seconds != 0:
        try:
            async with asyncio.timeout(seconds):
                await changed.wait()
        except TimeoutError:
            return
        changed.clear()
        seconds = deliveries.patience(claim, limit)
