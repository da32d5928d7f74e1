"""What `dcmnet echoscu` does once its command line is read."""

from __future__ import annotations

import time
from logging import Logger

from dcmnet.acse import ProposedContext
from dcmnet.cli import logs, networking
from dcmnet.cli.associating import request_association
from dcmnet.cli.echoscu import (
    EXIT_BAD_STATUS,
    EXIT_ENDED_EARLY,
    EXIT_NO_ASSOCIATION,
    MOST_TRANSFER_SYNTAXES,
    TOOL,
)
from dcmnet.cli.json_output import JsonLines, details
from dcmnet.cli.options import Arguments
from dcmnet.cli.running import EXIT_SUCCESS
from dcmnet.cli.tls_settings import tls_settings
from dcmnet.dimse.messages import CEchoRSP
from dcmnet.dimse.stream import LARGEST_MESSAGE_ID
from dcmnet.errors import AssociationAborted
from dcmnet.registry.sop_classes import VERIFICATION
from dcmnet.registry.statuses import SUCCESS, text_of
from dcmnet.registry.transfer_syntaxes import (
    ALL,
    ENCAPSULATED_UNCOMPRESSED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from dcmnet.sync.association import Association


def _in_numerical_order(uid: str) -> tuple[int, ...]:
    return tuple(map(int, uid.split(".")))


TRANSFER_SYNTAXES = tuple(
    dict.fromkeys(
        (
            IMPLICIT_VR_LITTLE_ENDIAN,
            EXPLICIT_VR_LITTLE_ENDIAN,
            EXPLICIT_VR_BIG_ENDIAN,
            ENCAPSULATED_UNCOMPRESSED_EXPLICIT_VR_LITTLE_ENDIAN,
            *sorted(ALL, key=_in_numerical_order),
        )
    )
)[:MOST_TRANSFER_SYNTAXES]
"""What `-pts` proposes the first of."""


class Session:
    """What the tool shows of its echoes: log lines, JSON lines and the totals.

    Args:
        log: The tool's logger.
        json: Whether to write JSON lines to stdout.
    """

    def __init__(self, log: Logger, *, json: bool) -> None:
        self.log = log
        self._json = JsonLines(is_essential=True) if json else None
        self._echoes = 0
        self._failed = 0
        self._seconds = 0.0

    def event(self, name: str, **fields: object) -> None:
        """Write a JSON line, if these are wanted."""
        if self._json is not None:
            self._json.event(name, **fields)

    def error(self, error: BaseException) -> None:
        """What ended the work before its time."""
        self.event("error", text=str(error))

    def echoed(self, message_id: int, response: CEchoRSP, seconds: float) -> int:
        """An echo has its answer; returns the exit code for it."""
        self._echoes += 1
        self._seconds += seconds
        status = response.status
        text = text_of(status, "verification")
        detail = f"{text}: {response.details}" if response.details else text
        self.log.info("Received Echo Response (%s)", detail)
        self.event(
            "echo",
            message_id=message_id,
            status=f"0x{status:04X}",
            text=text,
            **details(response.error_comment, response.offending_element, response.error_id),
            seconds=round(seconds, 6),
        )
        if status == SUCCESS:
            return EXIT_SUCCESS
        self._failed += 1
        self.log.error("Echo Failed: the peer answered with status 0x%04X (%s)", status, detail)
        return EXIT_BAD_STATUS

    def conclude(self, code: int) -> int:
        """Show the totals; returns the exit code."""
        if self._echoes:
            rate = self._echoes / self._seconds if self._seconds else 0.0
            self.log.info("echoes: %d in %.3f s (%.1f echoes/s)", self._echoes, self._seconds, rate)
        if self._json is not None:
            self._json.summary(
                echoes=self._echoes, failed=self._failed, seconds=round(self._seconds, 6), exit_code=code
            )
        return code


def verify(arguments: Arguments) -> int:
    """Verify the peer that a command line names; returns the exit code."""
    session = Session(logs.logger(TOOL.name), json=arguments.json)
    return session.conclude(_associate(arguments, session))


def _associate(arguments: Arguments, session: Session) -> int:
    log = session.log
    context = ProposedContext(
        abstract_syntax=VERIFICATION, transfer_syntaxes=TRANSFER_SYNTAXES[: arguments.propose_ts]
    )
    log.info("Requesting Association")
    try:
        association = request_association(
            arguments, (context,) * arguments.propose_pc, tls_settings(arguments)
        )
    except networking.FAILURES as error:
        networking.log_no_association(log, arguments, error)
        session.error(error)
        return EXIT_NO_ASSOCIATION
    log.info("Association Accepted (Max Send PDV: %d)", networking.max_send_pdv(association.negotiated))
    return _verify(association, arguments, session)


def _verify(association: Association, arguments: Arguments, session: Session) -> int:
    log = session.log
    if not association.accepted_contexts:
        log.critical("No Acceptable Presentation Contexts")
        session.event("error", text="no acceptable presentation contexts")
        return _end(association, arguments, session) or EXIT_NO_ASSOCIATION
    try:
        code = _echo(association, arguments, session)
    except networking.FAILURES as error:
        log.error("Echo Failed: %s", error)
        aborted = isinstance(error, AssociationAborted)
        log.info("Peer Aborted Association" if aborted else "Aborting Association")  # that has happened
        session.error(error)
        return EXIT_ENDED_EARLY
    except BaseException:
        association.abort()
        raise
    return _end(association, arguments, session) or code


def _echo(association: Association, arguments: Arguments, session: Session) -> int:
    code = EXIT_SUCCESS
    for count in range(arguments.repeat):
        message_id = count % LARGEST_MESSAGE_ID + 1
        session.log.info("Sending Echo Request (MsgID %d)", message_id)
        started = time.monotonic()
        response = association.echo()
        code = session.echoed(message_id, response, time.monotonic() - started) or code
    return code


def _end(association: Association, arguments: Arguments, session: Session) -> int:
    log = session.log
    try:
        if arguments.abort:
            log.info("Aborting Association")
            association.abort()
        else:
            log.info("Releasing Association")
            association.release()
    except networking.FAILURES as error:
        log.critical("Association %s Failed: %s", "Abort" if arguments.abort else "Release", error)
        session.error(error)
        return EXIT_NO_ASSOCIATION
    return EXIT_SUCCESS
