"""The Verification Service Class (PS3.4 Annex A)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dcmnet.acse import AcceptedContext
from dcmnet.dimse.messages import CEchoRQ
from dcmnet.dimse.responses import response_to
from dcmnet.procedures.association import AssociationCore
from dcmnet.procedures.effects import Call, Procedure
from dcmnet.procedures.scp import Service, respond
from dcmnet.registry.statuses import SUCCESS
from dcmnet.services.handler_status import FAILED, chosen_outcome, handler_status


def verification(
    handler: Callable[..., Any] | None = None,
    on_error: Callable[[str, BaseException | None], Any] | None = None,
) -> Service:
    """The service that answers C-ECHO (PS3.7 9.1.5).

    Args:
        handler: Called as `handler(core, context, request)`; returns a status, or None for success. A
            StatusError chooses the status; for any other exception the answer is 0110, processing failure.
        on_error: Told what the handler raised.
    """

    def serve_echo(core: AssociationCore, context: AcceptedContext, request: CEchoRQ) -> Procedure[None]:
        status, comment = SUCCESS, ""
        if handler is not None:
            try:
                status = handler_status((yield Call(handler, (core, context, request))))
            except Exception as error:  # a handler may raise anything, and the peer needs an answer
                chosen = chosen_outcome(error)
                status, comment = chosen or FAILED
                if chosen is None and on_error is not None:
                    yield Call(on_error, ("the echo handler failed", error))
        yield from respond(core, context, response_to(request, status, error_comment=comment))

    return serve_echo
