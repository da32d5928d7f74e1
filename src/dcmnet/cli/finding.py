"""What `dcmnet findscu` does once its command line is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcmnet.cli.findscu import (
    EXIT_NO_ASSOCIATION,
    EXIT_NOT_RELEASED,
    EXIT_NOT_WRITTEN,
    EXIT_USAGE,
    EXTRACTS,
)
from dcmnet.cli.matches import Output, outputs
from dcmnet.cli.options import Arguments
from dcmnet.cli.querying import (
    EXIT_FAILURE,
    Manner,
    Session,
    associate,
    check_queries,
    details_of,
    directory_refusal,
    log_request,
    queries,
    repeated,
    status_text,
    transfer_syntax,
)
from dcmnet.dataset.content import read_elements
from dcmnet.dataset.quiet import silence
from dcmnet.errors import InputFileError
from dcmnet.registry.statuses import CANCEL, SUCCESS, service_of
from dcmnet.registry.transfer_syntaxes import proposed
from dcmnet.services.query_contexts import query_contexts
from dcmnet.sync.association import Association

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

FINDSCU = Manner(
    tool="findscu",
    operation="find",
    title="Find",
    no_association=EXIT_NO_ASSOCIATION,
    no_context=EXIT_NO_ASSOCIATION,
    not_released=EXIT_NOT_RELEASED,
)


def find(arguments: Arguments) -> int:
    """Make the queries of a command line; returns the exit code."""
    check_queries(arguments)
    session = Session(arguments, FINDSCU)
    writes = any(option in arguments for option in EXTRACTS)
    refusal = directory_refusal(arguments.output_directory) if writes else ""
    if refusal:
        session.log.critical("%s", refusal)
        session.fail(EXIT_USAGE, refusal)
        return session.concluded(queries=0, matches=0)
    with silence():
        return _Run(session).perform()


class _Run:
    """The queries of one command line, one after the other on one association."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._data_sets: list[Dataset] = []
        self._outputs: list[Output] = []
        self._queries = 0
        self._matches = 0

    def perform(self) -> int:
        """Make them; returns the exit code."""
        session = self._session
        try:
            self._data_sets = queries(session)
            self._outputs = outputs(session, self._data_sets)
        except InputFileError as error:
            session.log.error("%s", error)
            session.fail(EXIT_USAGE, str(error))
        else:
            syntaxes = proposed(session.arguments.proposed)
            associate(session, query_contexts(session.model, transfer_syntaxes=syntaxes), self._work)
            self._tell("close")
        return session.concluded(queries=self._queries, matches=self._matches)

    def _work(self, association: Association) -> None:
        syntax = transfer_syntax(self._session, association)
        for identifier in repeated(self._session, self._data_sets, association):
            self._queries += 1
            log_request(self._session, self._queries, identifier, syntax)
            self._find(association, identifier)

    def _find(self, association: Association, identifier: bytes) -> None:
        session, arguments = self._session, self._session.arguments
        responses = association.find(identifier, model=session.model, cancel_after=arguments.cancel)
        for count, match in enumerate(responses, 1):
            self._matches += 1
            content = read_elements(match.data, match.transfer_syntax, known_vrs=True)
            self._tell("match", self._matches, match, content)
            if content.fault:
                text = f"response {self._matches} cannot be read: {content.fault}"
                session.log.error("%s", text)
                session.fail(EXIT_FAILURE, text)
            if count == arguments.cancel:
                session.log.info("Sending Cancel Request (MsgID %d)", self._queries)
        status, response = responses.status, responses.response
        assert status is not None and response is not None  # the loop has ended by itself
        text = status_text(status, service_of(session.sop_class))
        detail = f"{text}: {response.details}" if response.details else text
        session.log.info("Received Final Find Response (%s)", detail)
        session.event(
            "final",
            query=self._queries,
            status=f"0x{status:04X}",
            text=text,
            **{"comment": "", **details_of(response)},
        )
        if status != SUCCESS and not (status == CANCEL and arguments.cancel is not None):
            session.log.error("Find Failed: the peer answered with status 0x%04X (%s)", status, detail)
            session.fail(EXIT_FAILURE)

    def _tell(self, what: str, *arguments: object) -> None:
        """Hand something to every output; one that cannot go on is left out from then on."""
        for output in list(self._outputs):
            try:
                getattr(output, what)(*arguments)
            except BrokenPipeError:
                raise
            except OSError as error:
                text = f"{error.filename or 'output'}: {error.strerror or error}"
                self._session.log.error("cannot write: %s", text)
                self._session.fail(EXIT_NOT_WRITTEN, text)
                self._outputs.remove(output)
