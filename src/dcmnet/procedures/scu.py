"""Operations that this side invokes: one request, its responses (PS3.7 7.5, 8)."""

from __future__ import annotations

import contextlib
from typing import TypeVar

from dcmnet.acse import AcceptedContext
from dcmnet.dimse.messages import (
    CEchoRQ,
    CEchoRSP,
    CStoreRQ,
    CStoreRSP,
    NEventReportRQ,
    Priority,
    Request,
    Response,
)
from dcmnet.errors import ABORT_SOURCE_USER, DcmnetError, RemoteProtocolError
from dcmnet.payload import Payload
from dcmnet.procedures.association import (
    HARMLESS,
    AssociationCore,
    await_end,
    closing,
    guarded,
    next_message,
    receive_data,
    released_instead,
)
from dcmnet.procedures.effects import Procedure
from dcmnet.procedures.sending import match, send_message
from dcmnet.registry.sop_classes import VERIFICATION
from dcmnet.ul.pdu import AReleaseRQ

R = TypeVar("R", bound=Response)


def echo(core: AssociationCore) -> Procedure[CEchoRSP]:
    """C-ECHO (PS3.7 9.1.5).

    Raises:
        NoPresentationContext: Verification was not accepted.
    """
    return (yield from guarded(core, _echo(core)))


def _echo(core: AssociationCore) -> Procedure[CEchoRSP]:
    context = core.agreed.find(VERIFICATION)
    request = CEchoRQ(message_id=core.message_ids.next(), affected_sop_class_uid=VERIFICATION)
    return (yield from invoke(core, context, request, CEchoRSP))


def store(
    core: AssociationCore,
    context: AcceptedContext,
    sop_instance_uid: str,
    data_set: Payload,
    *,
    priority: Priority = Priority.MEDIUM,
) -> Procedure[CStoreRSP]:
    """C-STORE (PS3.7 9.1.1) of a data set that is encoded as `context` demands.

    Args:
        core: The association.
        context: The accepted presentation context whose abstract syntax is the SOP class.
        sop_instance_uid: The Affected SOP Instance UID.
        data_set: The encoded data set.
        priority: PS3.7 9.1.1.1.6.
    """
    request = CStoreRQ(
        message_id=core.message_ids.next(),
        affected_sop_class_uid=context.abstract_syntax,
        affected_sop_instance_uid=sop_instance_uid,
        priority=priority,
    )
    return (yield from guarded(core, invoke(core, context, request, CStoreRSP, data_set)))


def invoke(
    core: AssociationCore,
    context: AcceptedContext,
    request: Request,
    response_type: type[R],
    data_set: Payload | None = None,
) -> Procedure[R]:
    """Send a request that has one response, and wait for that.

    Raises:
        AssociationReleased: The peer released instead of answering.
        RemoteProtocolError: The response belongs to no request, or is of another kind.
    """
    busy = core.busy
    sent = yield from send_request(core, context, request, data_set)
    response = yield from next_response(core)
    if not sent:
        yield from take_end(core)
    assert isinstance(response, response_type)  # the message ids match requests to responses
    core.busy = busy
    return response


def send_request(
    core: AssociationCore, context: AcceptedContext, request: Request, data_set: Payload | None = None
) -> Procedure[bool]:
    """Send a request and note it as outstanding.

    Returns:
        As `send_message`. If the association ended meanwhile, an early refusal may still be there to be read.
    """
    core.message_ids.add(request)
    try:
        return (yield from send_message(core, context.context_id, request, data_set))
    except HARMLESS:
        del core.message_ids.outstanding[request.message_id]  # it was never sent
        raise


def take_end(core: AssociationCore) -> Procedure[None]:
    """After the refusal of a request that did not leave as a whole: the association ends without an error."""
    with contextlib.suppress(DcmnetError):
        yield from closing(core, await_end(core))


def next_response(core: AssociationCore) -> Procedure[Response]:
    """The response that comes next, to whichever of the requests under way.

    Raises:
        AssociationReleased: The peer released instead of answering.
        RemoteProtocolError: What came is no response, or answers no request.
    """
    start = yield from next_message(core, core.wait_dimse)
    while not isinstance(start, AReleaseRQ) and isinstance(start.message, NEventReportRQ):
        from dcmnet.procedures.reports import take_request  # few associations have any

        yield from take_request(core, core.context(start.context_id), start.message)
        start = yield from next_message(core, core.wait_dimse)
    if isinstance(start, AReleaseRQ):
        raise (yield from released_instead(core))
    response = start.message
    if not isinstance(response, Response):
        kind = f"{response.NAME} came where a response was due"
        raise RemoteProtocolError(kind, source=ABORT_SOURCE_USER, reason=0)
    match(core, response)
    if response.has_data_set:
        # PS3.7 9.3: no response that comes here carries one; it is dropped, so that the stream stays in step.
        yield from receive_data(core, None)
    return response
