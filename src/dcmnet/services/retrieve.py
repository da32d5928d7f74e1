"""The retrieve part of the Query/Retrieve Service Class (PS3.4 C.4.2, C.4.3): C-GET and C-MOVE as SCP.

Each object is a C-STORE sub-operation: over the same association for a C-GET, over one of its own to the
destination for a C-MOVE.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from dcmnet._records import dataclass, field
from dcmnet.acse import AcceptedContext, Negotiated
from dcmnet.dimse.messages import (
    CGetRQ,
    CMoveRQ,
    CStoreRQ,
    CStoreRSP,
    Response,
    StatusClass,
    status_class,
)
from dcmnet.dimse.responses import response_to
from dcmnet.errors import (
    AssociationError,
    DcmnetError,
    DeadlineExceeded,
    ProtocolError,
)
from dcmnet.limits import MAX_LOST_IN_A_ROW
from dcmnet.payload import Payload
from dcmnet.procedures.association import (
    HARMLESS,
    AssociationCore,
    abort,
    await_end,
    establish,
    guarded,
    next_message,
    receive_data,
    release,
    released_instead,
)
from dcmnet.procedures.effects import Call, Next, Procedure, Spawn
from dcmnet.procedures.scp import Service
from dcmnet.procedures.scu import invoke
from dcmnet.procedures.sending import match, send_message
from dcmnet.registry.statuses import (
    CANCEL,
    MOVE_DESTINATION_UNKNOWN,
    PENDING,
    SUBOPERATIONS_COMPLETE_WITH_FAILURES,
    SUCCESS,
    UNABLE_TO_PERFORM_SUBOPERATIONS,
)
from dcmnet.services.query_retrieve import (
    HandlerFailed,
    Performer,
    Watch,
    asked,
    ending_with,
    failure,
    identifier_of,
    send_response,
    take_answers,
)
from dcmnet.services.storage import Outcome
from dcmnet.ul.fields import is_ae_title
from dcmnet.ul.pdu import AAssociateRQ, AReleaseRQ

LARGEST_COUNT = 0xFFFF
"""The most sub-operations that a response can count: its elements are US."""

_ENDED = (AssociationError, DeadlineExceeded, ProtocolError)


class Item(NamedTuple):
    """One object to be sent.

    Attributes:
        sop_instance_uid: UID; empty where it could not be found out.
        source: What the retriever knows about it.
        error: Why it cannot be sent.
    """

    sop_instance_uid: str
    source: Any
    error: DcmnetError | None = None


class Opened(NamedTuple):
    """An object that can be sent.

    Attributes:
        context: The presentation context to send it on.
        payload: Its data set, encoded as that demands.
    """

    context: AcceptedContext
    payload: Payload


class Step(NamedTuple):
    """An association that a C-MOVE sends over: how it is asked for, and what goes over it."""

    request: AAssociateRQ
    items: Sequence[Item]


class Opener(Protocol):
    """Opens one object after the other."""

    def open(self, negotiated: Negotiated, item: Item) -> Opened:
        """Open an object, and close the one before.

        Raises:
            InputFileError: It cannot be sent.
            NoPresentationContext: Nothing was negotiated that it could be sent on.
        """

    def close(self) -> None:
        """Close the last object."""


class Retriever(Performer, Protocol):
    """Answers C-GET and C-MOVE: the items of its answers are whatever `describe` takes."""

    def describe(self, sources: Sequence[Any]) -> list[Item]:
        """Find out what there is to be sent."""

    def opener(self, request: CGetRQ | CMoveRQ) -> Opener:
        """What opens the objects of one retrieval."""

    def encode_failed(self, uids: Sequence[str], transfer_syntax: str) -> bytes:
        """The identifier with a Failed SOP Instance UID List (0008,0058)."""

    def address(self, destination: str) -> Any:
        """Where an AE is: (host, port) or (host, port, TLS), or an awaitable; None where it is unknown."""

    def steps(self, core: AssociationCore, request: CMoveRQ, items: Sequence[Item]) -> list[Step]:
        """The associations that these objects need."""

    def new_core(self, core: AssociationCore) -> AssociationCore:
        """A core for one of them."""

    def told(self, text: str, error: BaseException | None) -> None:
        """Tell people why a sub-operation failed."""


@dataclass(slots=True)
class Tally:
    """The sub-operations of one retrieval (PS3.4 C.4.2.1.5 to C.4.2.1.10).

    Attributes:
        remaining: Not begun.
        completed: Ended with success.
        failed: Failed.
        warnings: Ended with a warning.
        failed_uids: The SOP Instance UIDs of those that failed.
    """

    remaining: int
    completed: int = 0
    failed: int = 0
    warnings: int = 0
    failed_uids: list[str] = field(default_factory=list)

    @property
    def kept(self) -> int:
        """How many were stored."""
        return self.completed + self.warnings

    def count(self, item: Item, status: int | None) -> None:
        """Note how one ended; None for one that could not be performed."""
        self.remaining -= 1
        kind = StatusClass.FAILURE if status is None else status_class(status)
        if kind is StatusClass.SUCCESS:
            self.completed += 1
        elif kind is StatusClass.WARNING:
            self.warnings += 1
        else:
            self.failed += 1
            if item.sop_instance_uid:
                self.failed_uids.append(item.sop_instance_uid)

    def status(self, cancelled: bool) -> int:
        """The final status: PS3.4 Tables C.4-2 and C.4-3."""
        if cancelled:
            return CANCEL
        if not self.failed and not self.warnings:
            return SUCCESS
        if self.kept:
            return SUBOPERATIONS_COMPLETE_WITH_FAILURES
        return UNABLE_TO_PERFORM_SUBOPERATIONS

    @property
    def can_be_told(self) -> bool:
        """Whether a pending response has room for all counts, which it must have."""
        return max(self.remaining, self.completed, self.failed, self.warnings) <= LARGEST_COUNT

    def response(self, request: CGetRQ | CMoveRQ, status: int, **more: Any) -> Response:
        """The response with the counts."""
        # PS3.7 9.1.3.1.6, 9.1.4.1.7: how many remain is told while it is pending, and when it was cancelled.
        remaining = self.remaining if status in (PENDING, CANCEL) else None
        return response_to(
            request,
            status,
            number_of_remaining_suboperations=_told(remaining),
            number_of_completed_suboperations=_told(self.completed),
            number_of_failed_suboperations=_told(self.failed),
            number_of_warning_suboperations=_told(self.warnings),
            **more,
        )


def _told(count: int | None) -> int | None:
    # PS3.4 C.4.2.2, C.4.3.2: a count that its US has no room for is left out.
    return None if count is None or count > LARGEST_COUNT else count


@dataclass(slots=True)
class _Retrieval:
    """One C-GET or C-MOVE that is being performed."""

    core: AssociationCore
    context: AcceptedContext
    request: CGetRQ | CMoveRQ
    retriever: Retriever
    watch: Watch
    opener: Opener
    tally: Tally = field(default_factory=lambda: Tally(0))

    def gather(self, identifier: bytes) -> Procedure[list[Item]]:
        """What the handler wants to be sent: all of it first, so that it can be counted and proposed."""
        arguments = (self.core, self.context, self.request, identifier)
        answers = yield from asked(Call(self.retriever.begin, arguments))
        sources = yield from take_answers(self.retriever, answers, self._take(answers.items))
        if self.watch.cancelled:
            return []
        items: list[Item] = yield from asked(Call(self.retriever.describe, (sources,)))
        self.tally.remaining = len(items)
        for item in items:
            if item.error is not None:
                yield from self.fail(item, item.error)
        return [item for item in items if item.error is None]

    def _take(self, sources: Any) -> Procedure[list[Any]]:
        found: list[Any] = []
        yield from self.watch.look()
        while not self.watch.cancelled and (source := (yield from asked(Next(sources)))) is not None:
            found.append(source)
            yield from self.watch.look()
        return found

    def store_request(self, core: AssociationCore, opened: Opened, item: Item, **more: Any) -> CStoreRQ:
        """The request of a sub-operation."""
        return CStoreRQ(
            message_id=core.message_ids.next(),
            affected_sop_class_uid=opened.context.abstract_syntax,
            affected_sop_instance_uid=item.sop_instance_uid,
            priority=self.request.priority,
            **more,
        )

    def count(self, item: Item, status: int | None) -> Procedure[None]:
        """Note how a sub-operation ended, and tell the peer."""
        self.tally.count(item, status)
        # PS3.4 C.4.2.2, C.4.3.2: a pending response whose counts do not fit is not sent.
        if self.tally.remaining and self.tally.can_be_told:
            yield from send_response(self.core, self.context, self.tally.response(self.request, PENDING))

    def fail(self, item: Item, error: DcmnetError) -> Procedure[None]:
        """Note that a sub-operation could not be performed, and tell why."""
        yield Call(self.retriever.told, (f"{item.sop_instance_uid or 'an object'} not sent: {error}", None))
        yield from self.count(item, None)

    def close_files(self) -> Procedure[None]:
        """Close what was opened last."""
        yield Call(self.opener.close)

    def conclude(self) -> Procedure[None]:
        """Send the final response, with the objects that failed."""
        status = self.tally.status(self.watch.cancelled)
        uids = self.tally.failed_uids
        identifier: bytes | None = None
        if uids:  # PS3.4 C.4.2.1.4.2, C.4.3.1.3.2: with every final status but success
            identifier = yield Call(self.retriever.encode_failed, (uids, self.context.transfer_syntax))
        response = self.tally.response(self.request, status, has_data_set=identifier is not None)
        yield from send_response(self.core, self.context, response, identifier)


def get(retriever: Retriever) -> Service:
    """The service that performs C-GET (PS3.7 9.1.3): each object as a C-STORE on the same association."""

    def serve_get(core: AssociationCore, context: AcceptedContext, request: CGetRQ) -> Procedure[None]:
        watch = Watch(core, request.message_id, refuse_others=True)
        retrieval = _Retrieval(core, context, request, retriever, watch, retriever.opener(request))
        yield from _serve(retrieval, _get)

    return serve_get


def move(retriever: Retriever) -> Service:
    """The service that performs C-MOVE (PS3.7 9.1.4): each object as a C-STORE to the destination."""

    def serve_move(core: AssociationCore, context: AcceptedContext, request: CMoveRQ) -> Procedure[None]:
        watch = Watch(core, request.message_id)
        retrieval = _Retrieval(core, context, request, retriever, watch, retriever.opener(request))
        yield from _serve(retrieval, _move)

    return serve_move


def _serve(
    retrieval: _Retrieval, perform: Callable[[_Retrieval, bytes], Procedure[Outcome | None]]
) -> Procedure[None]:
    core, context, request = retrieval.core, retrieval.context, retrieval.request
    identifier = yield from identifier_of(core, context, request)
    if identifier is None:
        return
    try:
        refusal = yield from ending_with(perform(retrieval, identifier), retrieval.close_files)
    except HandlerFailed as failed:
        refusal = yield from failure(retrieval.retriever, failed)
    if refusal is None:
        yield from retrieval.conclude()
    else:
        status, comment = refusal
        yield from send_response(core, context, response_to(request, status, error_comment=comment))


# ---------------------------------------------------------------------- C-GET


def _get(retrieval: _Retrieval, identifier: bytes) -> Procedure[None]:
    for item in (yield from retrieval.gather(identifier)):
        yield from retrieval.watch.look()
        if retrieval.watch.cancelled:
            return
        yield from _send_here(retrieval, item)


def _send_here(retrieval: _Retrieval, item: Item) -> Procedure[None]:
    try:
        opened: Opened = yield Call(retrieval.opener.open, (retrieval.core.agreed, item))
    except HARMLESS as error:
        yield from retrieval.fail(item, error)
    else:
        yield from _store_here(retrieval, opened, item)


def _store_here(retrieval: _Retrieval, opened: Opened, item: Item) -> Procedure[None]:
    core = retrieval.core
    request = retrieval.store_request(core, opened, item)
    core.message_ids.add(request)
    core.busy = False  # it tells whether part of the message has left
    try:
        sent = yield from send_message(core, opened.context.context_id, request, opened.payload)
    except HARMLESS as error:
        if core.busy:
            raise  # half a message is out: the association has to end
        core.busy = True
        del core.message_ids.outstanding[request.message_id]
        yield from retrieval.fail(item, error)
        return
    core.busy = True
    response = yield from _response_here(retrieval)
    yield from retrieval.count(item, response.status)
    if not sent:
        yield from await_end(core)


def _response_here(retrieval: _Retrieval) -> Procedure[Response]:
    """The response to a sub-operation; a C-CANCEL may come first."""
    core = retrieval.core
    while True:
        start = yield from next_message(core, core.wait_dimse)
        if isinstance(start, AReleaseRQ):
            raise (yield from released_instead(core))
        message = start.message
        if isinstance(message, Response):
            match(core, message)
            if message.has_data_set:  # PS3.7 9.3.1.2: there is none; it is dropped
                yield from receive_data(core, None)
            return message
        yield from retrieval.watch.hear(start)


# ---------------------------------------------------------------------- C-MOVE


def _move(retrieval: _Retrieval, identifier: bytes) -> Procedure[Outcome | None]:
    core, request, retriever = retrieval.core, retrieval.request, retrieval.retriever
    assert isinstance(request, CMoveRQ)
    if not is_ae_title(request.move_destination):  # no association can be asked for with it
        return MOVE_DESTINATION_UNKNOWN, "the Move Destination is no AE title"
    address = yield from asked(Call(retriever.address, (request.move_destination,)))
    if address is None:
        return MOVE_DESTINATION_UNKNOWN, "the Move Destination is not known here"
    items = yield from retrieval.gather(identifier)
    for step in (yield Call(retriever.steps, (core, request, items))):
        yield from _send_over_one(retrieval, address, step)
    return None


def _send_over_one(retrieval: _Retrieval, address: Sequence[Any], step: Step) -> Procedure[None]:
    """Send the objects of a step; the rest goes over another association when one ends early."""
    waiting = deque(step.items)
    lost_in_a_row = 0
    while waiting and not (yield from retrieval.watch.look()):
        kept = retrieval.tally.kept
        child = retrieval.retriever.new_core(retrieval.core)
        host, port, tls = (*address, None)[:3]
        try:
            yield Spawn(child, establish(child, host, port, step.request, tls))
        except _ENDED as error:
            yield from _fail_all(retrieval, waiting, error)
            return
        ended = yield from _store_and_release(retrieval, child, waiting)
        lost_in_a_row = lost_in_a_row + 1 if retrieval.tally.kept == kept else 0
        if ended is not None and lost_in_a_row >= MAX_LOST_IN_A_ROW:
            count = f"{lost_in_a_row} associations in a row ended early with nothing stored"
            yield from _fail_all(retrieval, waiting, AssociationError(f"{count}; the last one: {ended}"))


def _fail_all(retrieval: _Retrieval, waiting: deque[Item], error: DcmnetError) -> Procedure[None]:
    while waiting:
        yield from retrieval.fail(waiting.popleft(), error)


def _store_and_release(
    retrieval: _Retrieval, child: AssociationCore, waiting: deque[Item]
) -> Procedure[DcmnetError | None]:
    """Send objects over an association until there are no more, or it ends: the error that ended it."""
    try:
        ended = yield from _store_there(retrieval, child, waiting)
    except GeneratorExit:
        raise
    except BaseException:
        yield Spawn(child, abort(child))
        raise
    if ended is not None:
        return ended
    try:
        yield Spawn(child, release(child))
    except _ENDED as error:  # every object has its answer by now
        yield Call(retrieval.retriever.told, (f"the sub-association was not released: {error}", None))
    return None


def _store_there(
    retrieval: _Retrieval, child: AssociationCore, waiting: deque[Item]
) -> Procedure[DcmnetError | None]:
    while waiting and not (yield from retrieval.watch.look()):
        error = yield from _send_there(retrieval, child, waiting.popleft())
        if not child.upper_layer.established:
            return error
    return None


def _send_there(retrieval: _Retrieval, child: AssociationCore, item: Item) -> Procedure[DcmnetError | None]:
    """One sub-operation; the error when it could not be performed, which may have ended the association."""
    asking = retrieval.core.peer_ae_title
    originator = {
        # PS3.7 9.1.1.1: it may be left out, as it has to be for a title that is none.
        "move_originator_ae_title": asking if is_ae_title(asking) else "",
        "move_originator_message_id": retrieval.request.message_id,
    }
    try:
        opened: Opened = yield Call(retrieval.opener.open, (child.agreed, item))
        request = retrieval.store_request(child, opened, item, **originator)
        storing = invoke(child, opened.context, request, CStoreRSP, opened.payload)
        response: CStoreRSP = yield Spawn(child, guarded(child, storing))
    except (*HARMLESS, *_ENDED) as error:
        yield from retrieval.fail(item, error)
        return error
    yield from retrieval.count(item, response.status)
    return None
