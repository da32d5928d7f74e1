"""The normalized services as this side invokes them: one request, one response (PS3.7 10.1).

N-EVENT-REPORT goes the other way round: whoever invokes the others has to take it when it comes.
"""

from __future__ import annotations

from dcmnet.acse import AcceptedContext
from dcmnet.dimse.messages import Request, Response
from dcmnet.errors import DeadlineExceeded
from dcmnet.payload import Payload
from dcmnet.procedures.association import (
    AssociationCore,
    guarded,
    next_message,
    released_instead,
    send_unsent,
)
from dcmnet.procedures.effects import Procedure, Receive
from dcmnet.procedures.reports import Reply, take_request, with_data_set
from dcmnet.procedures.scu import send_request, take_end
from dcmnet.procedures.sending import match
from dcmnet.ul.pdu import AReleaseRQ

_EVENT = "event"


def invoke(
    core: AssociationCore, context: AcceptedContext, request: Request, data_set: Payload | None = None
) -> Procedure[Reply]:
    """Send the request of a normalized service, and wait for its response.

    Args:
        core: The association.
        context: The accepted presentation context to send it on.
        request: The request; its Message ID must be one of `core.message_ids`.
        data_set: Encoded as the context demands; None when there is none.

    Raises:
        AssociationError: The association ended, or the peer released it instead of answering.
        DeadlineExceeded: The peer did not answer in time; the association was aborted.
        RemoteProtocolError: What came is no answer, or longer than the limit.
    """
    return (yield from guarded(core, _invoke(core, context, request, data_set)))


def _invoke(
    core: AssociationCore, context: AcceptedContext, request: Request, data_set: Payload | None
) -> Procedure[Reply]:
    sent = yield from send_request(core, context, request, data_set)
    while True:
        start = yield from next_message(core, core.wait_dimse)
        if isinstance(start, AReleaseRQ):
            raise (yield from released_instead(core))
        message, on = start.message, core.context(start.context_id)
        if isinstance(message, Response):
            break
        yield from take_request(core, on, message)
    match(core, message)
    reply = yield from with_data_set(core, on, message)
    if not sent:
        yield from take_end(core)
    core.busy = False
    return reply


def next_report(core: AssociationCore, seconds: float | None) -> Procedure[Reply | None]:
    """The next N-EVENT-REPORT (PS3.7 10.1.1) of the peer, answered with success.

    Args:
        core: The association.
        seconds: How long to wait for it; None for ever.

    Returns:
        The request; None when none came in time.

    Raises:
        AssociationReleased: The peer released the association.
        AssociationError: The association ended.
        RemoteProtocolError: What came is no request, or longer than the limit.
    """
    return (yield from guarded(core, _next_report(core, seconds)))


def _next_report(core: AssociationCore, seconds: float | None) -> Procedure[Reply | None]:
    wait = Receive(_EVENT, seconds, looked=True)
    while not core.reports:
        try:
            start = yield from next_message(core, wait)
        except DeadlineExceeded as error:
            if error.timer != _EVENT:
                raise
            return None
        core.busy = True
        if isinstance(start, AReleaseRQ):
            raise (yield from released_instead(core))
        yield from take_request(core, core.context(start.context_id), start.message)
        yield from send_unsent(core)
        core.busy = False
    reply: Reply = core.reports.pop(0)
    return reply
