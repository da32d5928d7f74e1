"""The association that a command line asks for, of tools that need one and no more."""

from __future__ import annotations

from collections.abc import Sequence

from dcmnet.acse import ProposedContext
from dcmnet.cli import networking
from dcmnet.cli.options import Arguments
from dcmnet.limits import Timeouts
from dcmnet.sync.association import Association, connect
from dcmnet.tls import TLS


def request_association(
    arguments: Arguments,
    contexts: Sequence[ProposedContext],
    tls: TLS | None,
    timeouts: Timeouts | None = None,
) -> Association:
    """Connect to the peer of a command line; errors as for `connect`.

    Args:
        arguments: The command line.
        contexts: What to propose.
        tls: As `tls_settings` made it of the command line, once: it may ask for a password.
        timeouts: Those of the command line unless given.
    """
    return connect(
        arguments.peer,
        arguments.port,
        called=arguments.called_ae_title,
        calling=arguments.ae_title,
        contexts=contexts,
        max_pdu_length=arguments.max_pdu,
        timeouts=timeouts or networking.timeouts(arguments),
        family=networking.address_family(arguments, arguments.peer),
        tls=tls,
    )
