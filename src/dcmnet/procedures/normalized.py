"""The normalized services as this side invokes them: one request, one response (PS3.7 10.1).

N-EVENT-REPORT goes the other way round: whoever invokes the others has to take it when it comes.
"""

from __future__ import annotations

from typing import NamedTuple

from dcmnet.acse import AcceptedContext
from dcmnet.dimse.messages import Message, NEventReportRQ, Request, Response, response_to
from dcmnet.errors import ABORT_SOURCE_USER, DeadlineExceeded, RemoteProtocolError
from dcmnet.limits import MAX_KEPT_REPORTS
from dcmnet.payload import Payload
from dcmnet.procedures.association import (
    AssociationCore,
    guarded,
    next_message,
    released_instead,
    send_unsent,
)
from dcmnet.procedures.effects import Procedure, Receive
from dcmnet.procedures.query_retrieve import receive_identifier
from dcmnet.procedures.scp import refuse, respond
from dcmnet.procedures.scu import send_request
from dcmnet.registry.statuses import NOT_AUTHORIZED, RESOURCE_LIMITATION, SUCCESS, UNRECOGNIZED_OPERATION
from dcmnet.ul.pdu import AReleaseRQ

_EVENT = "event"


class Reply(NamedTuple):
    """A message and the data set that came with it.

    Attributes:
        message: The response, or the N-EVENT-REPORT-RQ.
        data: Its encoded data set; empty when it had none.
        transfer_syntax: UID of the one that the data set is in.
    """

    message: Message
    data: bytes
    transfer_syntax: str


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
    yield from send_request(core, context, request, data_set)
    while True:
        start = yield from next_message(core, core.wait_dimse)
        if isinstance(start, AReleaseRQ):
            raise (yield from released_instead(core))
        message, on = start.message, core.context(start.context_id)
        if isinstance(message, Response):
            break
        yield from _take_request(core, on, message)
    core.message_ids.match(message)
    reply = yield from _with_data_set(core, on, message)
    core.busy = False
    return reply


def _with_data_set(core: AssociationCore, context: AcceptedContext, message: Message) -> Procedure[Reply]:
    data: bytes | None = b""
    if message.has_data_set:
        data = yield from receive_identifier(core)
    if data is None:
        limit = core.limits.max_identifier_length
        why = f"a data set of more than {limit} bytes (max_identifier_length) in a {message.NAME}"
        raise RemoteProtocolError(why, source=ABORT_SOURCE_USER, reason=0)
    return Reply(message, data, context.transfer_syntax)


def _take_request(core: AssociationCore, context: AcceptedContext, message: Message) -> Procedure[None]:
    """Keep an event report for whoever asks for it, and answer; nothing else is performed here."""
    if not isinstance(message, Request):
        kind = f"{message.NAME} came where a response was due"
        raise RemoteProtocolError(kind, source=ABORT_SOURCE_USER, reason=0)
    kept = core.reports = core.reports or []
    if not isinstance(message, NEventReportRQ):
        yield from refuse(core, context, message, UNRECOGNIZED_OPERATION)
    elif len(kept) >= MAX_KEPT_REPORTS:
        yield from refuse(core, context, message, RESOURCE_LIMITATION, "nobody takes the event reports")
    elif not context.scu_role:
        # PS3.7 10.1.1, D.3.3.4: the SCP reports events, and the SCU performs that.
        yield from refuse(core, context, message, NOT_AUTHORIZED, "the role was not negotiated")
    else:
        kept.append((yield from _with_data_set(core, context, message)))
        yield from respond(core, context, response_to(message, SUCCESS))


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
        yield from _take_request(core, core.context(start.context_id), start.message)
        yield from send_unsent(core)
        core.busy = False
    reply: Reply = core.reports.pop(0)
    return reply
