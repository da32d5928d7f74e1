"""What `dcmnet termscu` does once its command line is read."""

from __future__ import annotations

from logging import Logger

from dcmnet.acse import ProposedContext
from dcmnet.cli import logs, networking
from dcmnet.cli.associating import request_association
from dcmnet.cli.json_output import JsonLines
from dcmnet.cli.options import Arguments
from dcmnet.cli.running import EXIT_SUCCESS
from dcmnet.cli.termscu import EXIT_NOT_SHUT_DOWN, SHUTDOWN, TOOL
from dcmnet.cli.tls_settings import tls_settings
from dcmnet.errors import AssociationRejected
from dcmnet.limits import Timeouts
from dcmnet.registry.transfer_syntaxes import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from dcmnet.sync.association import Association

_SECONDS = 30.0
_SYNTAXES = (IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN)
_SHUTS_DOWN = (1, 1, 1)
"""PS3.8 Table 9-21: permanent, service-user, no-reason-given."""


def terminate(arguments: Arguments) -> int:
    """Ask the peer that a command line names to shut down; returns the exit code."""
    log = logs.logger(TOOL.name)
    shuts_down, text = _ask(arguments, log)
    code = EXIT_SUCCESS if shuts_down else EXIT_NOT_SHUT_DOWN
    if arguments.json:
        JsonLines(is_essential=True).summary(shuts_down=shuts_down, text=text, exit_code=code)
    return code


def _ask(arguments: Arguments, log: Logger) -> tuple[bool, str]:
    log.info("Requesting Association")
    try:
        association = request_association(
            arguments,
            (ProposedContext(abstract_syntax=SHUTDOWN, transfer_syntaxes=_SYNTAXES),),
            tls_settings(arguments),
            Timeouts(connect=_SECONDS, acse=_SECONDS, artim=_SECONDS),
        )
    except AssociationRejected as error:
        if (error.result, error.source, error.reason) == _SHUTS_DOWN:
            log.info("Association Rejected: the peer shuts down")
            return True, str(error)
        networking.log_no_association(log, arguments, error)
        return False, str(error)
    except networking.FAILURES as error:
        networking.log_no_association(log, arguments, error)
        return False, str(error)
    return _leave(association, log)


def _leave(association: Association, log: Logger) -> tuple[bool, str]:
    """The peer has accepted the association: it does not shut down."""
    if not association.accepted_contexts:
        text = "No Acceptable Presentation Contexts"
        log.critical("%s: the peer cannot be shut down like this", text)
        association.abort()
        return False, text
    text = "the peer accepted the request, and does not shut down"
    log.critical("%s", text)
    log.info("Releasing Association")
    try:
        association.release()
    except networking.FAILURES as error:
        log.critical("Association Release Failed: %s", error)
    return False, text
