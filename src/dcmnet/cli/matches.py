"""Where the matches of a query go: the log, JSON lines, comma-separated values, a table, files."""

from __future__ import annotations

import csv
import logging
import os
import sys
import uuid
from typing import TYPE_CHECKING, Protocol

from dcmnet.acse import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from dcmnet.cli import logs
from dcmnet.cli.findscu import EXTRACTS
from dcmnet.cli.options import UsageError
from dcmnet.cli.querying import Session, log_dump, status_text
from dcmnet.dataset.content import Content
from dcmnet.dataset.json_model import to_json_model
from dcmnet.dataset.keys import columns_of, tags_of
from dcmnet.dataset.printing import value_at
from dcmnet.errors import InputFileError
from dcmnet.registry.statuses import service_of
from dcmnet.services.query_keys import Key, Step
from dcmnet.storage.files import Duplicates, PartialFile
from dcmnet.storage.identity import scan_identifiers
from dcmnet.storage.part10 import FileMeta, encode_file_meta
from dcmnet.storage.querying import Match

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

RESPONSES = "dcmnet.responses"
"""The logger of what is printed of responses; DCMTK's is `dcmtk.dcmnet.responses`."""

GENERIC_CLASS = "1.2.276.0.7230010.3.1.0.1"
"""DCMTK's private SOP class for files whose data set has none."""

_LOG_OPTIONS = ("--quiet", "--verbose", "--debug", "--log-level", "--log-config")
_ELSEWHERE = ("--json", "--csv", "--table", *EXTRACTS)
_RULE = "---------------------------"
_WIDE = 10_000


class Output(Protocol):
    """One place that matches go to."""

    def match(self, number: int, match: Match, content: Content) -> None:
        """One has come; they are numbered from 1 over all queries. Raises OSError when it cannot go there."""

    def close(self) -> None:
        """There are no more. Raises OSError as above."""


def outputs(session: Session, data_sets: list[Dataset]) -> list[Output]:
    """The places that the command line names.

    Raises:
        UsageError: A column is no attribute.
    """
    arguments = session.arguments
    made: list[Output] = [_Log(session, dumping=_is_shown(session))]
    if arguments.json:
        made.append(_Json(session))
    if arguments.csv is not None:
        made.append(_Csv(session, _checked(arguments.csv)))
    if "--table" in arguments:
        made.append(_Table(session, _checked(_columns(session, data_sets))))
    if "--extract" in arguments or "--extract-xml" in arguments:
        made.append(_Files(session, arguments.extract))
    if "--extract-xml-single" in arguments:
        made.append(_OneFile(session, arguments.extract_xml_single))
    return made


def _is_shown(session: Session) -> bool:
    arguments = session.arguments
    if "--show-responses" in arguments or "--hide-responses" in arguments:
        return "--show-responses" in arguments
    return not any(option in arguments for option in _ELSEWHERE)


def _columns(session: Session, data_sets: list[Dataset]) -> tuple[Key, ...]:
    """The keys of the command line, then the attributes of the query files."""
    given = (key for key in session.arguments.key if key.path[-1].item is None)
    columns = {tuple(tags_of(key)): Key(key.path) for key in given}
    if session.arguments.dcmfile_in:
        for data_set in data_sets:
            for tag, name in columns_of(data_set):
                columns.setdefault(((tag, None),), Key((Step(name),)))
    return tuple(columns.values())


def _checked(columns: tuple[Key, ...]) -> tuple[Key, ...]:
    try:
        for key in columns:
            tags_of(key)
    except InputFileError as error:
        raise UsageError(f"Bad key for a column: {error.why}") from None
    return columns


class _Log:
    """Says that a response has come, and shows what is in it where that is asked for."""

    def __init__(self, session: Session, *, dumping: bool) -> None:
        self._session = session
        self._dumping = dumping
        self._log = logging.getLogger(RESPONSES)
        if dumping and not any(option in session.arguments for option in _LOG_OPTIONS):
            self._log.setLevel(logging.INFO)

    def match(self, number: int, match: Match, content: Content) -> None:
        text = status_text(match.status, service_of(self._session.sop_class))
        if not self._dumping:
            self._session.log.info("Received Find Response %d (%s)", number, text)
        elif self._log.isEnabledFor(logging.INFO):
            self._log.info(_RULE)
            self._log.info("Find Response: %d (%s)", number, text)
            log_dump(self._log, match.data, match.transfer_syntax)

    def close(self) -> None:
        """Nothing is left to do."""


class _Json:
    """JSON lines, with the identifier in the DICOM JSON Model."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def match(self, number: int, match: Match, content: Content) -> None:
        self._session.event(
            "match",
            number=number,
            status=f"0x{match.status:04X}",
            identifier=to_json_model(content),
            faults=[f"{where}: {fault}" for where, fault in content.faults()],
        )

    def close(self) -> None:
        """Nothing is left to do."""


class _Csv:
    """Comma-separated values on stdout (RFC 4180), with a line of names first."""

    def __init__(self, session: Session, columns: tuple[Key, ...]) -> None:
        self._session = session
        self._columns = columns
        self._writer = csv.writer(sys.stdout)
        self._writer.writerow([key.name for key in columns])

    def match(self, number: int, match: Match, content: Content) -> None:
        self._writer.writerow(_row(self._session, self._columns, number, content))
        sys.stdout.flush()

    def close(self) -> None:
        sys.stdout.flush()


class _Table:
    """A table on stdout, when all matches are there."""

    def __init__(self, session: Session, columns: tuple[Key, ...]) -> None:
        self._session = session
        self._columns = columns
        self._rows: list[list[str]] = []

    def match(self, number: int, match: Match, content: Content) -> None:
        self._rows.append(_row(self._session, self._columns, number, content))

    def close(self) -> None:
        from rich.console import Console  # slow to load, and few runs have a table
        from rich.table import Table
        from rich.text import Text

        table = Table()
        for key in self._columns:
            table.add_column(Text(key.name), overflow="fold")
        for row in self._rows:
            table.add_row(*map(Text, row))
        # where it does not go to a terminal, lines are as long as they need to be
        Console(width=None if sys.stdout.isatty() else _WIDE).print(table)


class _Files:
    """A file a response: `rsp0001.dcm` with the data set as it came, or `rsp0001.xml`."""

    def __init__(self, session: Session, kind: str) -> None:
        self._session = session
        self._kind = kind
        self._limit = _Limit(session)

    def match(self, number: int, match: Match, content: Content) -> None:
        if not self._limit.admits():
            return
        directory: str = self._session.arguments.output_directory
        path = os.path.join(directory, f"rsp{number:04d}.{'dcm' if self._kind == 'dicom' else 'xml'}")
        try:
            written = _dicom(match) if self._kind == "dicom" else _xml(match)
        except InputFileError:
            return  # that it cannot be read has been said, and half of it would pass for a whole
        self._session.log.info("Writing response dataset to file: %s", path)
        file = PartialFile(directory, written)
        try:
            file.publish(path, Duplicates.REPLACE)
        finally:
            file.discard()

    def close(self) -> None:
        """Nothing is left to do."""


class _OneFile:
    """All responses in one XML file, which is there when they are complete."""

    def __init__(self, session: Session, name: str) -> None:
        from dcmnet.dataset.markup import DECLARATION

        self._session = session
        self._limit = _Limit(session)
        self._path = os.path.join(session.arguments.output_directory, name)
        header = f'{DECLARATION}\n<responses type="C-FIND">\n'.encode()
        self._file = PartialFile(os.path.dirname(self._path), header)
        session.log.info("Writing all response datasets to file: %s", self._path)

    def match(self, number: int, match: Match, content: Content) -> None:
        from dcmnet.dataset.markup import to_xml

        if not self._limit.admits():
            return
        try:
            lines = [*to_xml(match.data, match.transfer_syntax, name="response"), ""]
        except InputFileError:
            return  # that it cannot be read has been said, and half of it would pass for a whole
        self._file.write(["\n".join(lines).encode("utf-8", "replace")])

    def close(self) -> None:
        try:
            self._file.write([b"</responses>\n"])
            self._file.publish(self._path, Duplicates.REPLACE)
        finally:
            self._file.discard()


class _Limit:
    """Counts responses that go to files."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._left: int | None = session.arguments.limit_output
        self._told = False

    def admits(self) -> bool:
        """Whether one more may go there; that there are enough is said once."""
        if self._left is None:
            return True
        if self._left > 0:
            self._left -= 1
            return True
        if not self._told:
            self._told = True
            self._session.log.info(
                "Maximum number of responses already written to file ... not writing this and all "
                "following responses to file"
            )
        return False


def _row(session: Session, columns: tuple[Key, ...], number: int, content: Content) -> list[str]:
    """The values of a match; cells have no place for what is wrong with one, so that goes to the log."""
    row = []
    for key in columns:
        text, fault = value_at(content, key)
        if fault:
            session.log.warning(
                "response %d: %s is not valid, and shown as it came: %s", number, key.name, fault
            )
        row.append(_printable(text))
    return row


def _printable(text: str) -> str:
    encoding = sys.stdout.encoding or "utf-8"
    return logs.escape(text).encode(encoding, "backslashreplace").decode(encoding)


def _dicom(match: Match) -> bytes:
    """A DICOM file (PS3.10 7) around the data set as it came."""
    found = scan_identifiers(match.data, match.transfer_syntax)  # without those that are no UIDs
    meta = FileMeta(
        sop_class_uid=found.sop_class_uid or GENERIC_CLASS,
        sop_instance_uid=found.sop_instance_uid or f"2.25.{uuid.uuid4().int}",
        transfer_syntax=match.transfer_syntax,
        implementation_class_uid=IMPLEMENTATION_CLASS_UID,
        implementation_version_name=IMPLEMENTATION_VERSION_NAME,
    )
    return encode_file_meta(meta) + match.data


def _xml(match: Match) -> bytes:
    from dcmnet.dataset.markup import DECLARATION, to_xml

    lines = [DECLARATION, *to_xml(match.data, match.transfer_syntax, name="response"), ""]
    return "\n".join(lines).encode("utf-8", "replace")
