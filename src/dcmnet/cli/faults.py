"""Faults on purpose, for testing how a peer takes them: `--refuse`, `--abort-during` and the like."""

from __future__ import annotations

import threading
from logging import Logger

from dcmnet.cli.options import Arguments
from dcmnet.errors import AssociationAborted, AssociationRejected
from dcmnet.procedures.scp import AssociationRequest

_REJECTION = (1, 1, 1)
"""Permanent, by the service-user, no reason given."""
_OPTIONS = (
    "--refuse",
    "--reject",
    "--sleep-after",
    "--sleep-during",
    "--abort-after",
    "--abort-during",
)


class Faults:
    """Goes wrong as the command line says.

    Args:
        arguments: The command line.
        log: The tool's logger.
    """

    def __init__(self, arguments: Arguments, log: Logger) -> None:
        self._arguments = arguments
        self._log = log
        self._over = threading.Event()

    def check(self, request: AssociationRequest) -> None:
        """Reject an association.

        Raises:
            AssociationRejected: It is to be rejected.
        """
        if self._arguments.refuse:
            self._log.info("Refusing Association (forced via command line)")
            raise AssociationRejected(*_REJECTION)
        if self._arguments.reject and not request.pdu.user_information.implementation_class_uid:
            self._log.info("Refusing Association (no implementation class UID provided)")
            raise AssociationRejected(*_REJECTION)

    def during(self) -> None:
        """A part of an object has come.

        Raises:
            AssociationAborted: The association is to be aborted.
        """
        self._over.wait(self._arguments.sleep_during)
        if self._arguments.abort_during:
            raise AssociationAborted(0, 0, locally=True)

    def after(self) -> None:
        """An object is stored, and not answered yet.

        Raises:
            AssociationAborted: The association is to be aborted.
        """
        self._over.wait(self._arguments.sleep_after)
        if self._arguments.abort_after:
            raise AssociationAborted(0, 0, locally=True)

    def close(self) -> None:
        """The server ends: nobody sleeps any longer."""
        self._over.set()


def faults_asked_for(arguments: Arguments, log: Logger) -> Faults | None:
    """The faults that a command line asks for; None for none."""
    return Faults(arguments, log) if any(option in arguments for option in _OPTIONS) else None
