"""What `dcmnet getscu` does once its command line is read."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from dcmnet._records import replace
from dcmnet.acse import ProposedContext
from dcmnet.cli.dcmrecv_serving import ReceiverReporter
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
from dcmnet.cli.receiving import new_store
from dcmnet.cli.retrieving import Arrivals, Retrieval, for_storing, share_events
from dcmnet.cli.running import EXIT_USAGE
from dcmnet.dataset.quiet import silence
from dcmnet.errors import InputFileError
from dcmnet.registry.transfer_syntaxes import accepted, proposed
from dcmnet.services.query_contexts import get_contexts
from dcmnet.storage.deliveries import Deliveries
from dcmnet.storage.scp import FileStore, StoreRequest
from dcmnet.sync.association import Association

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

GETSCU = Manner(
    tool="getscu",
    operation="get",
    title="C-GET",
    no_association=EXIT_USAGE,
    no_context=EXIT_USAGE,
    not_released=EXIT_USAGE,
    shows_identifiers=False,
)


class GetReporter(ReceiverReporter):
    """Says what happens to objects, and counts them."""

    arrivals: Arrivals

    def stored(self, request: StoreRequest, status: int) -> None:
        """An object has been received, and kept or refused."""
        super().stored(request, status)
        self.arrivals.stored(request)


def get(arguments: Arguments) -> int:
    """Make the retrievals of a command line; returns the exit code."""
    check_queries(arguments)
    session = Session(arguments, GETSCU)
    refusal = "" if arguments.ignore else directory_refusal(arguments.output_directory)
    try:
        data_sets = [] if refusal else queries(session)
    except InputFileError as error:
        refusal = str(error)
    if refusal:
        session.log.critical("%s", refusal)
        session.fail(EXIT_USAGE, refusal)
        return session.concluded(queries=0)
    with silence(), progress(arguments, objects=0) as bar:
        return _get(session, data_sets, bar)


def _get(session: Session, data_sets: list[Dataset], bar: Progressing) -> int:
    retrieval, arrivals, deliveries = Retrieval(session, bar), Arrivals(bar), Deliveries()
    store = deliveries.collecting(_new_store(session, arrivals))
    started = time.monotonic()

    def work(association: Association) -> None:
        syntax = transfer_syntax(session, association)
        cancel = session.arguments.cancel
        for identifier in repeated(session, data_sets, association):
            retrieval.begin(identifier, syntax)
            retrieval.follow(association.get(identifier, store, model=session.model, cancel_after=cancel))

    associate(session, _contexts(session), work)
    retrieval.compare(deliveries)
    return session.concluded(**retrieval.summary(arrivals, time.monotonic() - started))


def _new_store(session: Session, arrivals: Arrivals) -> FileStore:
    arguments = session.arguments
    reporter = GetReporter(session.log, json=False, verbose_pc=False)
    reporter.arrivals = arrivals
    share_events(reporter, session)
    for_storing(arguments)
    store = new_store(arguments, reporter)
    if arguments.bit_preserving:  # DCMTK's tool names files in another way then
        return replace(store, namer=lambda request: request.sop_instance_uid)
    return store


def _contexts(session: Session) -> tuple[ProposedContext, ...]:
    arguments = session.arguments
    own, *objects = get_contexts(session.model, transfer_syntaxes=accepted(arguments.preferred))
    return (replace(own, transfer_syntaxes=proposed(arguments.proposed)), *objects)
