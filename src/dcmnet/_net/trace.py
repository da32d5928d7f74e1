"""The core's trace records as log records: made only where somebody listens, and without patient data."""

from __future__ import annotations

import logging
from typing import Any

from dcmnet.errors import abort_text, reject_texts
from dcmnet.ul.pdu import AAbort, AAssociateAC, AAssociateRJ, AAssociateRQ
from dcmnet.ul.provider import Trace

logger = logging.getLogger("dcmnet")


def log_trace() -> Trace | None:
    """The trace callable for a new association; None, which costs nothing, unless DEBUG is logged."""
    return _log if logger.isEnabledFor(logging.DEBUG) else None


def _log(what: str, subject: Any) -> None:
    if what == "state":
        event, before, transition = subject
        logger.debug(
            "%s in %s: %s, now %s", event.name, before.name, transition.action, transition.next_state.name
        )
    elif what.startswith("message"):
        from dcmnet._net.message_dumps import message_lines  # only where somebody looks for a fault

        for line in message_lines(*subject, sent=what == "message sent"):
            logger.debug("%s", line)
    else:
        logger.debug("%s %s", what, describe(subject))
        if isinstance(subject, AAssociateRQ | AAssociateAC):
            from dcmnet._net.dumps import association_lines  # only where somebody looks for a fault

            for line in association_lines(subject, sent=what == "sent"):
                logger.debug("%s", line)


def describe(pdu: Any) -> str:
    """A PDU in one line, without user identities."""
    match pdu:
        case AAssociateRQ() | AAssociateAC():
            name = "A-ASSOCIATE-RQ" if isinstance(pdu, AAssociateRQ) else "A-ASSOCIATE-AC"
            titles = f"{pdu.calling_ae_title!r} -> {pdu.called_ae_title!r}"
            contexts = len(pdu.presentation_contexts)
            return f"{name} {titles}, {contexts} contexts, maximum length {pdu.user_information.max_length}"
        case AAssociateRJ():
            return "A-ASSOCIATE-RJ: " + ", ".join(reject_texts(pdu.result, pdu.source, pdu.reason))
        case AAbort():
            return "A-ABORT: " + abort_text(pdu.source, pdu.reason)
        case _:
            return type(pdu).__name__


def log_failure(text: str, error: BaseException | None) -> None:
    """Log what went wrong while an object was being kept."""
    logger.error("%s", text, exc_info=error)
