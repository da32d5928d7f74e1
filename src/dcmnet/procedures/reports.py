"""Event reports that come to whoever invokes the other operations, whatever is under way (PS3.7 10.1.1)."""

from __future__ import annotations

from typing import NamedTuple

from dcmnet.acse import AcceptedContext
from dcmnet.dimse.messages import Message, NEventReportRQ, Request
from dcmnet.dimse.responses import response_to
from dcmnet.errors import ABORT_SOURCE_USER, RemoteProtocolError
from dcmnet.limits import MAX_KEPT_REPORTS
from dcmnet.procedures.association import AssociationCore
from dcmnet.procedures.effects import Procedure
from dcmnet.procedures.query_retrieve import receive_identifier
from dcmnet.procedures.scp import refuse, respond
from dcmnet.registry.statuses import NOT_AUTHORIZED, RESOURCE_LIMITATION, SUCCESS, UNRECOGNIZED_OPERATION


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


def with_data_set(core: AssociationCore, context: AcceptedContext, message: Message) -> Procedure[Reply]:
    """The message with its data set, which is gathered in memory.

    Raises:
        RemoteProtocolError: It is longer than `Limits.max_identifier_length`.
    """
    data: bytes | None = b""
    if message.has_data_set:
        data = yield from receive_identifier(core)
    if data is None:
        limit = core.limits.max_identifier_length
        why = f"a data set of more than {limit} bytes (max_identifier_length) in a {message.NAME}"
        raise RemoteProtocolError(why, source=ABORT_SOURCE_USER, reason=0)
    return Reply(message, data, context.transfer_syntax)


def take_request(core: AssociationCore, context: AcceptedContext, message: Message) -> Procedure[None]:
    """Keep an event report for whoever asks for it, and answer; nothing else is performed here.

    Raises:
        RemoteProtocolError: It is no request, or longer than the limit.
    """
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
        kept.append((yield from with_data_set(core, context, message)))
        yield from respond(core, context, response_to(message, SUCCESS))
