"""`--inetd`: serve the one association whose connection is standard input, as inetd hands it over."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import sys

from dcmnet.cli.receiving import Reporter
from dcmnet.cli.running import EXIT_SUCCESS
from dcmnet.errors import DcmnetError
from dcmnet.procedures.scp import serve
from dcmnet.storage.node import Node
from dcmnet.sync.driver import Driver

EXIT_NO_CONNECTION = 99


def serve_standard_input(node: Node, reporter: Reporter) -> int:
    """Serve the association on standard input to its end; returns the exit code."""
    connection = _connection()
    if connection is None:
        reporter.log.critical(
            "standard input is no connection: inetd or systemd (Accept=yes) has to start this"
        )
        return EXIT_NO_CONNECTION
    reporter.open()
    core = node.new_core()
    error: BaseException | None = None
    with connection:
        try:
            Driver(core, connection).run(serve(core, node.acceptor()))
        except (DcmnetError, OSError) as ended:
            error = ended
            reporter.log.error("%s: %s", core.peer, ended)
    if node.hooks.ended is not None:
        node.hooks.ended(core, error)
    reporter.close()
    reporter.conclude()
    return EXIT_SUCCESS


def _connection() -> socket.socket | None:
    """A socket of its own for standard input; what is written to the outputs no longer goes to the peer."""
    try:
        descriptor = sys.stdin.fileno()
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            return None
        connection = socket.socket(fileno=os.dup(descriptor))
    except (OSError, ValueError, AttributeError):
        return None
    try:
        connection.getpeername()
    except OSError:  # it is not connected
        connection.close()
        return None
    _keep_from(descriptor)
    return connection


def _keep_from(descriptor: int) -> None:
    """Send standard output and error to nowhere where they are the connection: inetd hands over all three."""
    ours = os.fstat(descriptor)
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        with contextlib.suppress(OSError):
            theirs = os.fstat(number)
            if (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino):
                os.dup2(null, number)
    os.close(null)
