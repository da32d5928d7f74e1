"""What the network tools have in common: timers and addresses from options, and what their logs say."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from logging import Logger
from typing import TYPE_CHECKING

from dcmnet.cli.options import Arguments
from dcmnet.dimse.stream import PDV_OVERHEAD
from dcmnet.errors import (
    AssociationError,
    AssociationRejected,
    DcmnetError,
    DeadlineExceeded,
    ProtocolError,
    reject_texts,
)
from dcmnet.limits import LARGEST_PDU_SENT, Timeouts
from dcmnet.registry.uids import dcmtk_name_of

if TYPE_CHECKING:
    from dcmnet.acse import Negotiated

FAILURES = (AssociationError, DeadlineExceeded, ProtocolError)
"""What an association may fail with."""

DEFAULT_SOCKET_TIMEOUT = 60
"""Seconds, for tools without `-ts`."""

_CALLED_UNKNOWN = (1, 7)
_CALLING_UNKNOWN = (1, 3)
_RESULTS = {
    1: "User Rejection",
    2: "No Reason",
    3: "Abstract Syntax Not Supported",
    4: "Transfer Syntaxes Not Supported",
}


def timeouts(arguments: Arguments) -> Timeouts:
    """The timers that `-to`, `-ts`, `-ta` and `-td` stand for.

    Without `-td` the socket's timeout bounds the wait for a message as well, as a blocking socket would.
    """
    # 0 is none, -1 leaves the socket alone, which has none by itself.
    asked = getattr(arguments, "socket_timeout", DEFAULT_SOCKET_TIMEOUT)
    on_socket = asked if asked > 0 else None
    dimse = arguments.dimse_timeout
    return Timeouts(
        connect=getattr(arguments, "connect_timeout", None),
        artim=arguments.acse_timeout,
        acse=arguments.acse_timeout,
        dimse=on_socket if dimse is None else dimse,
        network=on_socket,
        write=on_socket,
    )


def address_family(arguments: Arguments, host: str = "") -> int:
    """The address family that `-i4`, `-i6` or `-i0` stands for; an IPv6 address says it by itself."""
    asked = any(option in arguments for option in ("--ipv4", "--ipv6", "--ip-auto"))
    if not asked and ":" in host:
        return socket.AF_INET6
    families = {4: socket.AF_INET, 6: socket.AF_INET6}
    return families.get(arguments.ip_version, socket.AF_UNSPEC)


def max_send_pdv(negotiated: Negotiated) -> int:
    """The most bytes of a data set that one PDV to the peer carries."""
    length = negotiated.max_pdu_length_to_send
    # PS3.8 9.3.5.1: a fragment has an even length.
    return (min(length or LARGEST_PDU_SENT, LARGEST_PDU_SENT) - PDV_OVERHEAD) & ~1


def log_no_association(log: Logger, arguments: Arguments, error: DcmnetError) -> None:
    """Say why there is no association, and what to do where that is known."""
    if not isinstance(error, AssociationRejected):
        log.critical("Association Request Failed: %s", error)
        return
    result, source, reason = map(_in_capitals, reject_texts(error.result, error.source, error.reason))
    log.critical("Association Rejected:\nResult: %s, Source: %s\nReason: %s", result, source, reason)
    if (error.source, error.reason) == _CALLED_UNKNOWN:
        log.critical("it has another title than %s: name it with -aec", arguments.called_ae_title)
    elif (error.source, error.reason) == _CALLING_UNKNOWN:
        log.critical(
            "it does not know the title %s: name one that it knows with -aet, or let it know this one",
            arguments.ae_title,
        )


def log_contexts(log: Logger, negotiated: Negotiated) -> None:
    """List the presentation contexts with what became of them (`+v`)."""
    log.info("Presentation Contexts:")
    for line in _context_lines(negotiated):
        log.info("  %s", line)


def _context_lines(negotiated: Negotiated) -> Iterator[str]:
    results = {context.context_id: result for context, result in negotiated.rejected}
    for proposed in negotiated.proposed:
        accepted = negotiated.contexts.get(proposed.context_id)
        text = "Accepted" if accepted else _RESULTS.get(results.get(proposed.context_id, 0), "Refused")
        yield f"Context ID:        {proposed.context_id} ({text})"
        yield f"  Abstract Syntax: ={dcmtk_name_of(proposed.abstract_syntax)}"
        if accepted:
            yield f"  Accepted Transfer Syntax: ={dcmtk_name_of(accepted.transfer_syntax)}"
        else:
            names = " ".join(f"={dcmtk_name_of(uid)}" for uid in proposed.transfer_syntaxes)
            yield f"  Proposed Transfer Syntax(es): {names}"


def _in_capitals(text: str) -> str:
    return " ".join(word[:1].upper() + word[1:] for word in text.replace("-", " ").split())
