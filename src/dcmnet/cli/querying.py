"""What findscu, getscu and movescu do alike: queries from keys and files, an association, its end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from logging import INFO, Logger
from typing import TYPE_CHECKING

from dcmnet._records import dataclass
from dcmnet.acse import ProposedContext
from dcmnet.cli import logs, networking
from dcmnet.cli.associating import request_association
from dcmnet.cli.json_output import JsonLines, details
from dcmnet.cli.options import Arguments, UsageError
from dcmnet.cli.running import EXIT_SUCCESS
from dcmnet.cli.tls_settings import tls_settings
from dcmnet.dataset import Encoding
from dcmnet.dataset.identifiers import encode_identifier
from dcmnet.dataset.keys import query, read_query
from dcmnet.dataset.printing import dump
from dcmnet.dimse.messages import Response
from dcmnet.errors import AssociationAborted, InputFileError, NoPresentationContext
from dcmnet.registry.query_models import (
    MODALITY_WORKLIST,
    PATIENT_ROOT,
    PATIENT_STUDY_ONLY,
    STUDY_ROOT,
    QueryModel,
    class_for,
)
from dcmnet.registry.statuses import CANCEL, PENDING, PENDING_OPTIONAL_KEYS_NOT_SUPPORTED, SUCCESS, text_of
from dcmnet.registry.transfer_syntaxes import EXPLICIT_VR_LITTLE_ENDIAN
from dcmnet.sync.association import Association

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

EXIT_WARNING = 68
EXIT_FAILURE = 69
EXIT_ENDED_EARLY = 70

MODELS = {
    "worklist": MODALITY_WORKLIST,
    "patient": PATIENT_ROOT,
    "study": STUDY_ROOT,
    "psonly": PATIENT_STUDY_ONLY,
}
_SHORT_TEXTS = {
    SUCCESS: "Success",
    PENDING: "Pending",
    PENDING_OPTIONAL_KEYS_NOT_SUPPORTED: "Pending: one or more optional keys are not supported",
    CANCEL: "Cancel",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How one of the tools differs from the others.

    Attributes:
        tool: Its name.
        operation: "find", "get" or "move".
        title: What its log lines call the operation.
        no_association: Exit code when there is none.
        no_context: Exit code when the information model was not accepted.
        not_released: Exit code when the association could not be released.
        shows_identifiers: Whether `-v` shows what is asked for.
    """

    tool: str
    operation: str
    title: str
    no_association: int
    no_context: int
    not_released: int
    shows_identifiers: bool = True


class Session:
    """What a run shows: log lines, JSON lines, and the exit code that is due.

    Args:
        arguments: The command line.
        manner: Of the tool.
    """

    def __init__(self, arguments: Arguments, manner: Manner) -> None:
        self.arguments = arguments
        self.manner = manner
        self.log: Logger = logs.logger(manner.tool)
        self.code = EXIT_SUCCESS
        self.json = JsonLines() if arguments.json else None
        self.tls = tls_settings(arguments)

    @property
    def model(self) -> QueryModel:
        """The information model that was asked for."""
        return MODELS[self.arguments.model]

    @property
    def sop_class(self) -> str:
        """The UID of the operation's SOP class."""
        return class_for(self.model, self.manner.operation)

    def event(self, name: str, **fields: object) -> None:
        """Write a JSON line, if these are wanted."""
        if self.json is not None:
            self.json.event(name, **fields)

    def fail(self, code: int, text: str = "") -> None:
        """Note an exit code; the first one that is no success stays."""
        self.code = self.code or code
        if text:
            self.event("error", text=text)

    def concluded(self, **totals: object) -> int:
        """Write the last JSON line; returns the exit code."""
        if self.json is not None:
            self.json.summary(**totals, exit_code=self.code)
        return self.code


def status_text(status: int, service: str) -> str:
    """What a status means: a word for the usual ones, the standard's words for the others."""
    return _SHORT_TEXTS.get(status) or text_of(status, service)


def details_of(response: Response) -> dict[str, object]:
    """What a response says beside its status, as fields of an event."""
    return details(response.error_comment, response.offending_element, response.error_id)


def directory_refusal(directory: str) -> str:
    """Why files cannot be written there; empty when they can."""
    if not os.path.isdir(directory):
        return f"specified output directory does not exist: {directory}"
    if not os.access(directory, os.W_OK | os.X_OK):
        return f"specified output directory is not writable: {directory}"
    return ""


# ---------------------------------------------------------------------- queries


def check_queries(arguments: Arguments) -> None:
    """Make sure that there is something to ask for.

    Raises:
        UsageError: There is not.
    """
    if not arguments.key and not arguments.dcmfile_in:
        raise UsageError("either query file or override keys (or both) must be specified", "-k names a key")


def queries(session: Session) -> list[Dataset]:
    """The data sets of all queries: one a file, or one that the keys make.

    Raises:
        UsageError: A key cannot be used.
        InputFileError: A file cannot.
    """
    arguments = session.arguments
    made: list[Dataset] = []
    for name in arguments.dcmfile_in or (None,):
        base = None if name is None else read_query(name)
        try:
            data_set = query(arguments.key, base)
        except InputFileError as error:
            raise UsageError(f"Bad override key/path: {error.why}") from None
        encode_identifier(data_set, EXPLICIT_VR_LITTLE_ENDIAN, name=name or "query")  # would it do?
        made.append(data_set)
    return made


def repeated(session: Session, data_sets: list[Dataset], association: Association) -> Iterator[bytes]:
    """Every query as often as it is asked for, encoded for the accepted context, and shown."""
    arguments = session.arguments
    syntax = transfer_syntax(session, association)
    level = getattr(arguments, "compression_level", 6)
    encoding = Encoding(compression_level=level, new_vr=getattr(arguments, "new_vr", True))
    for data_set in data_sets:
        encoded = encode_identifier(data_set, syntax, name="query", encoding=encoding)
        for _ in range(arguments.repeat):
            yield encoded


def transfer_syntax(session: Session, association: Association) -> str:
    """The one of the operation's context."""
    return association.negotiated.find(session.sop_class).transfer_syntax


def log_request(session: Session, number: int, identifier: bytes, syntax: str) -> None:
    """Show a request before it is sent."""
    log, title = session.log, session.manner.title
    log.info("Sending %s Request (MsgID %d)", title, number)
    if session.manner.shows_identifiers and log.isEnabledFor(INFO):
        log.info("Request Identifiers:")
        log_dump(log, identifier, syntax, checked=False)


def log_dump(log: Logger, identifier: bytes, syntax: str, *, checked: bool = True) -> None:
    """Show a data set, with empty lines around it; `checked` as for `dump`."""
    log.info("")
    for line in dump(identifier, syntax, checked=checked):
        log.info("%s", line)
    log.info("")


# ---------------------------------------------------------------------- associations


def associate(
    session: Session, contexts: tuple[ProposedContext, ...], work: Callable[[Association], None]
) -> None:
    """Do the work over an association; what goes wrong is shown, and its exit code noted."""
    arguments, log, manner = session.arguments, session.log, session.manner
    log.info("Requesting Association")
    try:
        association = request_association(arguments, contexts, session.tls)
    except networking.FAILURES as error:
        networking.log_no_association(log, arguments, error)
        session.fail(manner.no_association, str(error))
        return
    agreed = association.negotiated
    log.info("Association Accepted (Max Send PDV: %d)", networking.max_send_pdv(agreed))
    if getattr(arguments, "verbose_pc", False):
        networking.log_contexts(log, agreed)
    _perform(session, association, work)


def _perform(session: Session, association: Association, work: Callable[[Association], None]) -> None:
    log, manner = session.log, session.manner
    try:
        association.negotiated.find(session.sop_class)
        work(association)
    except NoPresentationContext as error:
        log.critical("No Acceptable Presentation Contexts: %s", error)
        session.fail(manner.no_context, str(error))
    except networking.FAILURES as error:
        log.error("%s Failed: %s", manner.title, error)
        aborted = isinstance(error, AssociationAborted)
        log.info("Peer Aborted Association" if aborted else "Aborting Association")  # that has happened
        session.fail(EXIT_ENDED_EARLY, str(error))
        return
    except BaseException:
        association.abort()
        raise
    _end(session, association)


def _end(session: Session, association: Association) -> None:
    log, asked = session.log, session.arguments.abort
    try:
        if asked:
            log.info("Aborting Association")
            association.abort()
        else:
            log.info("Releasing Association")
            association.release()
    except networking.FAILURES as error:
        log.critical("Association %s Failed: %s", "Abort" if asked else "Release", error)
        session.fail(session.manner.not_released, str(error))
