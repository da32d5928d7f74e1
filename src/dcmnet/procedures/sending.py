"""Requests that leave, and the responses that may answer them: none that came before the request had left."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dcmnet.dimse.command import command_error
from dcmnet.dimse.messages import Message, Request, Response, StatusClass
from dcmnet.dimse.stream import fragment_message
from dcmnet.payload import Payload
from dcmnet.procedures.association import AssociationCore
from dcmnet.procedures.effects import NEVER, Look, Procedure, Send


def send_message(
    core: AssociationCore, context_id: int, message: Message, payload: Payload | None = None
) -> Procedure[bool]:
    """Send a message and its data set (PS3.7 6.3, PS3.8 Annex E).

    Returns:
        True when all went out; False when the association ended meanwhile (see `Send`).
    """
    core.upper_layer.trace_message("message sent", context_id, message)
    number = message.message_id if isinstance(message, Request) else None
    is_first = True
    for parts in fragment_message(context_id, message, payload, core.agreed.max_pdu_length_to_send):
        requests = () if number is None else ((number, len(parts)),)
        if not (yield from send_parts(core, parts, requests, is_first=is_first)):
            return False
        core.busy, is_first = True, False
    return True


def send_parts(
    core: AssociationCore,
    parts: Sequence[Payload],
    requests: Sequence[tuple[int, int]],
    *,
    is_first: bool = True,
) -> Procedure[bool]:
    """Send one or more requests, or a part of one, and note what the peer sends before they have left.

    Args:
        core: The association.
        parts: What to send.
        requests: The Message IDs, each with the number of the parts that has left when the request has.
        is_first: The parts begin with a message, and do not go on with one.

    Returns:
        As `send_message`.
    """
    upper_layer = core.upper_layer
    upper_layer.data_request()
    if not is_first and requests:
        yield Look(to_the_end=True)  # the socket may have had room at every time, so that nothing was read
    if upper_layer.has_input:
        core.early.update((number, upper_layer.received) for number, _ in requests)
    send = Send(parts)
    sent: bool = yield send
    if send.heard is not None:
        for number, count in requests:
            behind = sum(map(len, parts[count:]))
            core.early.update((number, position) for left, position in send.heard if left > behind)
    return sent


def never_sent(core: AssociationCore, numbers: Iterable[int]) -> None:
    """The requests of these Message IDs do not leave any more: nothing that comes answers them."""
    core.early.update((number, NEVER) for number in numbers)


def match(core: AssociationCore, response: Response) -> Request:
    """The request that a response answers.

    Raises:
        RemoteProtocolError: No such request is outstanding, this is no response to it, or it says that
            something was done with a request that had not left as a whole.
    """
    request = core.message_ids.match(response)
    if core.early:
        _check_early(core, request, response)
    return request


def _check_early(core: AssociationCore, request: Request, response: Response) -> None:
    number = request.message_id
    position = core.early.get(number, 0)
    if number not in core.message_ids.outstanding:
        core.early.pop(number, None)
    # A peer may refuse a request of which it has read a part, but it cannot have done what it asks for.
    if core.upper_layer.consumed <= position and response.status_class is not StatusClass.FAILURE:
        raise command_error(
            f"{response.NAME} with status {response.status:04X}H came before the {request.NAME} "
            "that it answers had been sent as a whole"
        )
