"""What `dcmnet movescu` does once its command line is read."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dcmnet.acse import AcceptorPolicy, SupportedContext
from dcmnet.cli import networking
from dcmnet.cli.conversions import storable_transfer_syntaxes
from dcmnet.cli.movescu import (
    EXIT_LISTEN,
    EXIT_NO_ASSOCIATION,
    EXIT_NO_CONTEXT,
    EXIT_NO_DIRECTORY,
    EXIT_NOT_RELEASED,
    EXIT_NOT_WRITABLE,
    EXIT_PRIVILEGE,
)
from dcmnet.cli.options import Arguments
from dcmnet.cli.progress import Progressing, progress
from dcmnet.cli.querying import (
    Manner,
    Session,
    associate,
    check_queries,
    directory_refusal,
    queries,
    repeated,
    transfer_syntax,
)
from dcmnet.cli.receiving import Reporter, new_store
from dcmnet.cli.retrieving import Arrivals, Retrieval, for_storing, share_events
from dcmnet.cli.running import EXIT_USAGE
from dcmnet.dataset.quiet import silence
from dcmnet.errors import InputFileError
from dcmnet.registry.sop_classes import VERIFICATION
from dcmnet.registry.transfer_syntaxes import accepted, proposed
from dcmnet.services.defaults import storage_contexts
from dcmnet.services.query_contexts import query_contexts
from dcmnet.storage.deliveries import Claim, Deliveries
from dcmnet.storage.node import Node
from dcmnet.storage.querying import Progress
from dcmnet.storage.scp import StoreRequest
from dcmnet.sync.association import Association
from dcmnet.sync.query_retrieve import await_deliveries
from dcmnet.sync.server import Server

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MOVESCU = Manner(
    tool="movescu",
    operation="move",
    title="Move",
    no_association=EXIT_NO_ASSOCIATION,
    no_context=EXIT_NO_CONTEXT,
    not_released=EXIT_NOT_RELEASED,
)


class MoveReporter(Reporter):
    """Says what happens to objects, and counts them; called from the threads of their associations."""

    prefix = "Sub-"
    arrivals: Arrivals

    def __init__(self, session: Session, arrivals: Arrivals) -> None:
        super().__init__(session.log, json=False, verbose_pc=False)
        self.arrivals = arrivals
        self._arriving = threading.Lock()
        share_events(self, session)

    def stored(self, request: StoreRequest, status: int) -> None:
        """An object has been received, and kept or refused."""
        super().stored(request, status)
        with self._arriving:
            self.arrivals.stored(request)


class MoveRetrieval(Retrieval):
    """Says what DCMTK's movescu says."""

    def pending(self, count: int, text: str) -> None:
        """Say that a pending response has come."""
        self._session.log.info("Received Move Response %d (%s)", count, text)

    def final(self, result: Progress, text: str) -> None:
        """Say what the final response has."""
        self._session.log.info("Received Final Move Response (%s)", text)


def move(arguments: Arguments) -> int:
    """Make the retrievals of a command line; returns the exit code."""
    check_queries(arguments)
    session = Session(arguments, MOVESCU)
    try:
        code, refusal = _directory_refusal(arguments)
        data_sets = [] if code else queries(session)
    except InputFileError as error:
        code, refusal = EXIT_USAGE, str(error)
    if code:
        session.log.critical("%s", refusal)
        session.fail(code, refusal)
        return session.concluded(queries=0)
    with silence(), progress(arguments, objects=0) as bar:
        return _move(session, data_sets, bar)


def _directory_refusal(arguments: Arguments) -> tuple[int, str]:
    if arguments.listen_port is None or arguments.ignore:
        return 0, ""
    refusal = directory_refusal(arguments.output_directory)
    if not refusal:
        return 0, ""
    return EXIT_NOT_WRITABLE if os.path.isdir(arguments.output_directory) else EXIT_NO_DIRECTORY, refusal


def _move(session: Session, data_sets: list[Dataset], bar: Progressing) -> int:
    arguments = session.arguments
    retrieval = MoveRetrieval(session, bar)
    arrivals = None if arguments.listen_port is None else Arrivals(bar)
    destination = arguments.move or arguments.ae_title
    started = time.monotonic()

    def work(association: Association) -> None:
        syntax = transfer_syntax(session, association)
        for identifier in repeated(session, data_sets, association):
            retrieval.begin(identifier, syntax)
            responses = association.move(
                identifier, destination, model=session.model, cancel_after=arguments.cancel
            )
            retrieval.follow(responses)

    with _receiving(session, arrivals) as deliveries:
        if deliveries is not None:
            syntaxes = proposed(arguments.proposed)
            associate(session, query_contexts(session.model, move=True, transfer_syntaxes=syntaxes), work)
            if arrivals is not None:
                _await_objects(session, retrieval, deliveries, destination)
    return session.concluded(**retrieval.summary(arrivals, time.monotonic() - started))


def _await_objects(
    session: Session, retrieval: MoveRetrieval, deliveries: Deliveries, destination: str
) -> None:
    """Listen on until everything has come that the peer says it has sent here."""
    title, limit = session.arguments.ae_title, session.arguments.arrival_timeout
    if destination != title and not deliveries.kept:  # it goes elsewhere
        await_deliveries(deliveries, Claim(), limit)
        return
    missing = deliveries.missing(retrieval.claim)
    if missing:
        session.log.info("Waiting for %d objects that the peer says it has sent", missing)
    await_deliveries(deliveries, retrieval.claim, limit)
    retrieval.compare(deliveries, f": does it know the right address of {title}?")


@contextmanager
def _receiving(session: Session, arrivals: Arrivals | None) -> Iterator[Deliveries | None]:
    """Have a Storage SCP run meanwhile, if a port was given, and count what it gets; None when it cannot."""
    deliveries = Deliveries()
    if arrivals is None:
        yield deliveries
        return
    node = _new_node(session, arrivals)
    deliveries.attach(node)
    server = Server(node=node)
    try:
        _listen(session, server)
    except OSError as error:
        _refuse(session, error)
        yield None
        return
    session.log.info("listening on %s", " and ".join(server.addresses))
    session.event("listening", addresses=server.addresses, port=server.port)
    try:
        yield deliveries
    except BaseException:
        server.shutdown(0.0)
        raise
    server.shutdown()


def _new_node(session: Session, arrivals: Arrivals) -> Node:
    arguments = session.arguments
    reporter = MoveReporter(session, arrivals)
    reporter.look_up = not arguments.disable_host_lookup
    for_storing(arguments)
    return Node(
        policy=_policy(arguments),
        timeouts=networking.timeouts(arguments),
        tls=session.tls,
        max_associations=arguments.max_associations,
        max_associations_by_peer=arguments.max_associations,  # they come from one archive
        store=new_store(arguments, reporter),
        hooks=reporter.hooks(),
    )


def _policy(arguments: Arguments) -> AcceptorPolicy:
    code = arguments.preferred
    syntaxes = storable_transfer_syntaxes(arguments) if code is None else accepted(code)
    return AcceptorPolicy(
        ae_title=arguments.ae_title,
        contexts=(
            SupportedContext(abstract_syntax=VERIFICATION, transfer_syntaxes=syntaxes),
            *storage_contexts(syntaxes),
        ),
        transfer_syntax_order="requestor" if code is None else "acceptor",
        max_pdu_length=arguments.max_pdu,
        max_performed=arguments.max_window,
    )


def _listen(session: Session, server: Server) -> None:
    arguments = session.arguments
    asked = any(option in arguments for option in ("--ipv4", "--ipv6", "--ip-auto"))
    family = networking.address_family(arguments)
    if arguments.bind is not None and not asked:
        family = socket.AF_UNSPEC
    server.start(arguments.listen_port, arguments.bind or "", family=family)


def _refuse(session: Session, error: OSError) -> None:
    port = session.arguments.listen_port
    if isinstance(error, PermissionError):
        text, code = f"cannot listen on port {port}, insufficient privileges", EXIT_PRIVILEGE
    else:
        text, code = f"cannot listen on port {port}: {error.strerror or error}", EXIT_LISTEN
    session.log.critical("%s", text)
    session.fail(code, text)
