"""The Query/Retrieve (PS3.4 Annex C) and Modality Worklist (Annex K) services: C-FIND as an SCP performs it.

What all three services share is here; C-GET and C-MOVE are in `services/retrieve.py`. Identifiers are bytes
here: whoever answers a query decodes them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

from dcmnet._records import dataclass
from dcmnet.acse import AcceptedContext
from dcmnet.dimse.messages import (
    CCancelRQ,
    CFindRQ,
    CGetRQ,
    CMoveRQ,
    NEventReportRSP,
    Request,
    Response,
)
from dcmnet.dimse.responses import response_to
from dcmnet.dimse.stream import MessageStart
from dcmnet.errors import ABORT_SOURCE_USER, RemoteProtocolError
from dcmnet.procedures.association import AssociationCore, await_end, join, next_message
from dcmnet.procedures.effects import Call, Effect, Look, Next, Procedure
from dcmnet.procedures.query_retrieve import receive_identifier
from dcmnet.procedures.scp import Service, refuse, respond
from dcmnet.procedures.sending import send_message
from dcmnet.registry.statuses import CANCEL, OUT_OF_RESOURCES, RESOURCE_LIMITATION, SUCCESS
from dcmnet.services.storage import Outcome
from dcmnet.ul.pdu import AReleaseRQ

T = TypeVar("T")

LOOK = Look()


class Answers(NamedTuple):
    """What a handler gives.

    Attributes:
        items: An iterator or an asynchronous iterator.
        close: Ends it before its time; may return an awaitable.
    """

    items: Any
    close: Callable[[], Any]


class Performer(Protocol):
    """Answers queries; the methods are called as handlers are, and may raise anything."""

    def begin(
        self,
        core: AssociationCore,
        context: AcceptedContext,
        request: CFindRQ | CGetRQ | CMoveRQ,
        identifier: bytes,
    ) -> Any:
        """Begin with one request; returns its `Answers`, or an awaitable of them."""

    def failed(self, error: BaseException) -> Outcome:
        """Tell people what the handler raised; returns the status and the comment to answer with."""


class Finder(Performer, Protocol):
    """Answers C-FIND: its items are pairs of status (FF00, FF01) and encoded identifier."""


class HandlerFailed(Exception):
    """A handler has raised the cause of this."""


@dataclass(slots=True)
class Watch:
    """Looks for the C-CANCEL of the operation that is being performed.

    Attributes:
        core: The association.
        message_id: Of the request.
        refuse_others: Another request is refused at once. Otherwise it is set aside, and nothing more is read
            until the operation is over.
        cancelled: Whether the peer wants no more.
    """

    core: AssociationCore
    message_id: int
    refuse_others: bool = False
    cancelled: bool = False

    def look(self) -> Procedure[bool]:
        """Deal with what has arrived, without waiting for more; True when the peer has had enough."""
        while not self.cancelled and self.core.set_aside is None and (yield LOOK):
            yield from self.hear((yield from next_message(self.core, self.core.wait_dimse)))
        return self.cancelled

    def hear(self, start: MessageStart | AReleaseRQ) -> Procedure[None]:
        """Deal with what came in the middle of the operation.

        Raises:
            RemoteProtocolError: It is a response that nothing was asked for.
        """
        if isinstance(start, AReleaseRQ):
            # PS3.8 7.2: whoever releases has no use for what is left; it is answered when this is over.
            self.cancelled = True
            self.core.set_aside = start
            return
        message = start.message
        if isinstance(message, CCancelRQ):
            # PS3.7 9.3.2.3: one for another operation comes too late, and is passed over.
            self.cancelled = self.cancelled or message.message_id_being_responded_to == self.message_id
        elif isinstance(message, NEventReportRSP) and not self.refuse_others:
            self.core.set_aside = start  # the answer to what an earlier request led to
        elif not isinstance(message, Request):
            why = f"{message.NAME} came, but nothing was asked"
            raise RemoteProtocolError(why, source=ABORT_SOURCE_USER, reason=0)
        elif self.refuse_others:
            context = self.core.context(start.context_id)
            yield from refuse(self.core, context, message, RESOURCE_LIMITATION, "a retrieval is under way")
        else:
            self.core.set_aside = start


def asked(effect: Effect) -> Procedure[Any]:
    """Have a handler do something.

    Raises:
        HandlerFailed: It raised.
    """
    try:
        return (yield effect)
    except Exception as error:  # a handler may raise anything, and the peer needs an answer
        raise HandlerFailed from error


def failure(performer: Performer, failed: HandlerFailed) -> Procedure[Outcome]:
    """The outcome for what a handler has raised."""
    outcome: Outcome = yield Call(performer.failed, (failed.__cause__,))
    return outcome


def ending_with(procedure: Procedure[T], ending: Callable[[], Procedure[None]]) -> Procedure[T]:
    """Run a procedure, and then `ending`, however it ended."""
    try:
        result = yield from procedure
    except GeneratorExit:
        raise  # nobody is left to carry out an effect
    except BaseException:
        yield from ending()
        raise
    yield from ending()
    return result


def take_answers(performer: Performer, answers: Answers, procedure: Procedure[T]) -> Procedure[T]:
    """Run a procedure, then end the handler, which may have been left in the middle."""

    def close() -> Procedure[None]:
        try:
            yield from asked(Call(answers.close))
        except HandlerFailed as failed:
            yield from failure(performer, failed)  # people are told; the peer has its answer

    return (yield from ending_with(procedure, close))


def identifier_of(
    core: AssociationCore, context: AcceptedContext, request: CFindRQ | CGetRQ | CMoveRQ
) -> Procedure[bytes | None]:
    """The identifier of a request; None where it is too long, which has been answered then.

    Whatever else the peer has asked for is answered first: from here on the association belongs to this.
    """
    yield from join(core)
    identifier = yield from receive_identifier(core)
    if identifier is None:
        comment = f"identifier longer than {core.limits.max_identifier_length} bytes"
        yield from respond(core, context, response_to(request, OUT_OF_RESOURCES, error_comment=comment))
    return identifier


def send_response(
    core: AssociationCore, context: AcceptedContext, response: Response, identifier: bytes | None = None
) -> Procedure[None]:
    """Send a response, pending or final, with its identifier.

    Raises:
        AssociationError: The association ended before it was out.
    """
    if not (yield from send_message(core, context.context_id, response, identifier)):
        yield from await_end(core)


def query(finder: Finder) -> Service:
    """The service that performs C-FIND (PS3.7 9.1.2): matches as pending responses, until it is cancelled."""

    def serve_find(core: AssociationCore, context: AcceptedContext, request: CFindRQ) -> Procedure[None]:
        identifier = yield from identifier_of(core, context, request)
        if identifier is None:
            return
        try:
            answers = yield from asked(Call(finder.begin, (core, context, request, identifier)))
            procedure = _send_matches(core, context, request, answers.items)
            status, comment = yield from take_answers(finder, answers, procedure)
        except HandlerFailed as failed:
            status, comment = yield from failure(finder, failed)
        yield from send_response(core, context, response_to(request, status, error_comment=comment))

    return serve_find


def _send_matches(
    core: AssociationCore, context: AcceptedContext, request: CFindRQ, matches: Any
) -> Procedure[Outcome]:
    watch = Watch(core, request.message_id)
    while not (yield from watch.look()):
        match = yield from asked(Next(matches))
        if match is None:
            return SUCCESS, ""
        if (yield from watch.look()):  # finding it may have taken long
            break
        status, identifier = match
        yield from send_response(core, context, response_to(request, status, has_data_set=True), identifier)
    return CANCEL, ""
