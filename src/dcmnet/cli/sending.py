"""What `dcmnet storescu` and `dcmnet dcmsend` do once their command line is read."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from logging import Logger
from typing import Any, NamedTuple

from dcmnet._records import replace
from dcmnet.cli import logs, networking, profiles
from dcmnet.cli.identity import user_identity
from dcmnet.cli.options import Arguments, UsageError
from dcmnet.cli.reporting import Reporter
from dcmnet.cli.running import EXIT_SUCCESS, EXIT_USAGE
from dcmnet.cli.storing import DCMSEND_WORDING, STORESCU_WORDING, Session, Wording
from dcmnet.cli.tls_settings import tls_settings
from dcmnet.dataset import Encoding
from dcmnet.errors import (
    AssociationError,
    DcmnetError,
    DeadlineExceeded,
    InputFileError,
    LocalProtocolError,
    NoPresentationContext,
    ProfileError,
    RemoteProtocolError,
)
from dcmnet.registry.transfer_syntaxes import proposed
from dcmnet.storage.planning import Decompress, Proposal
from dcmnet.storage.report import Report
from dcmnet.sync.storage import StorageSCU

_ENDED_EARLY = (AssociationError, DeadlineExceeded, RemoteProtocolError)


class Kind(NamedTuple):
    """What tells the two tools apart.

    Attributes:
        name: The tool's.
        wording: What its log lines say.
        options: The attributes of a `Transfer` that its own options stand for.
        exit_code: What it comes to: a report, whether something that was named is missing, and whether to go
            on without what cannot be sent.
        no_input: Exit code when there is nothing to send.
        missing_input: Exit code when something that was named is missing, and nothing is sent therefore.
        no_association: Exit code when there is none.
        too_many_contexts: Exit code when one association does not do.
        no_report: Exit code when a report cannot be written.
    """

    name: str
    wording: Wording
    options: Callable[[Arguments, Logger], dict[str, Any]]
    exit_code: Callable[[Report, bool, bool], int]
    no_input: int
    missing_input: int
    no_association: int
    too_many_contexts: int
    no_report: int


def storescu() -> Kind:
    """`dcmnet storescu`."""
    from dcmnet.cli import storescu as storescu_table  # one of the two tables does

    failed = storescu_table.EXIT_NOT_STORED
    return Kind(
        storescu_table.TOOL.name,
        STORESCU_WORDING,
        _storescu_options,
        exit_code,
        no_input=failed,
        missing_input=failed,
        no_association=EXIT_USAGE,
        too_many_contexts=failed,
        no_report=failed,
    )


def dcmsend() -> Kind:
    """`dcmnet dcmsend`."""
    from dcmnet.cli import dcmsend as dcmsend_table  # as above

    return Kind(
        dcmsend_table.TOOL.name,
        DCMSEND_WORDING,
        _dcmsend_options,
        dcmsend_exit_code,
        no_input=dcmsend_table.EXIT_NO_INPUT_FILES,
        missing_input=dcmsend_table.EXIT_INVALID_INPUT,
        no_association=dcmsend_table.EXIT_NO_ASSOCIATION,
        too_many_contexts=dcmsend_table.EXIT_NO_CONTEXT,
        no_report=dcmsend_table.EXIT_NO_REPORT,
    )


def send(arguments: Arguments, kind: Kind) -> int:
    """Send the files that a command line names; returns the exit code."""
    log = logs.logger(kind.name)
    sources, missed = _sources(arguments, log)
    reporter = Reporter(arguments, log)
    session = Session(arguments, log, kind.wording, reporter)
    try:
        options = kind.options(arguments, log) | _common_options(arguments)
    except ProfileError as error:
        profiles.log_refusal(log, error)
        return session.close(None, EXIT_USAGE, error)
    if not reporter.can_write():
        return session.close(None, kind.no_report)
    if missed and not arguments.no_halt:
        return session.close(None, kind.missing_input)
    if not sources:
        log.critical("no input files to be sent")
        return session.close(None, kind.no_input)
    return _transfer(arguments, kind, session, sources, missed, options)


def _transfer(
    arguments: Arguments,
    kind: Kind,
    session: Session,
    sources: list[str],
    missed: bool,
    options: dict[str, Any],
) -> int:
    log = session.log
    log.info("checking input files ...")
    scu = StorageSCU(arguments.peer, arguments.port, **options, **session.hooks())
    report: Report | None = None
    error: DcmnetError | None = None
    code = kind.no_association
    started = time.monotonic()
    try:
        report = scu.add(*sources).send()
        code = kind.exit_code(report, missed, bool(arguments.no_halt))
    except ProfileError as failure:
        profiles.log_refusal(log, failure)
        error = failure
    except LocalProtocolError as failure:
        log.critical("%s", failure)
        code, error = kind.too_many_contexts, failure
    except networking.FAILURES as failure:
        networking.log_no_association(log, arguments, failure)
        error = failure
    except BaseException as failure:
        session.end_bar()
        session.write_reports(None, failure)
        raise
    session.seconds = time.monotonic() - (session.started or started)
    if not session.write_reports(report, error):
        code = code or kind.no_report
    return session.close(report, code, error)


def _sources(arguments: Arguments, log: Logger) -> tuple[list[str], bool]:
    """What to send, and whether something that was named is missing."""
    sources: list[str] = []
    folders = arguments.scan_directories or getattr(arguments, "read_from_dicomdir", None)
    for name in arguments.dcmfile_in:
        if not folders and os.path.isdir(name):
            log.error("%s is a directory: +sd (--scan-directories) sends what is in it", name)
        else:
            sources.append(name)
    return sources, len(sources) < len(arguments.dcmfile_in)


def _common_options(arguments: Arguments) -> dict[str, Any]:
    return {
        "called": arguments.called_ae_title,
        "calling": arguments.ae_title,
        "max_pdu_length": arguments.max_pdu,
        "max_send_pdu_length": arguments.max_send_pdu or 0,
        "timeouts": networking.timeouts(arguments),
        "family": networking.address_family(arguments, arguments.peer),
        "tls": tls_settings(arguments),
        "recurse": arguments.recurse,
        "pattern": arguments.scan_pattern,
        "meta": arguments.format != "bare",
        "bare": arguments.format != "file",
        "check": not arguments.no_check,
        "window": arguments.window,
        "parallel": arguments.parallel,
        "retries": arguments.retry,
        "retry_wait": float(arguments.retry_wait),
        "rate": arguments.limit_rate or 0,
        "former": _former(arguments),
    }


def _former(arguments: Arguments) -> Any:
    if arguments.resume is None:
        return None
    from dcmnet.storage.report_file import FormerReport  # few transfers go on from another

    try:
        return FormerReport(arguments.resume, arguments.peer, arguments.port, arguments.called_ae_title)
    except InputFileError as error:
        raise UsageError(f"cannot resume: {error}") from error


# ---------------------------------------------------------------------- storescu


def _storescu_options(arguments: Arguments, log: Logger) -> dict[str, Any]:
    return {
        "proposal": _proposal(arguments, log),
        "user_identity": user_identity(arguments, log),
        "halt": not arguments.no_halt,
        "repeat": arguments.repeat,
        "abort": arguments.abort,
        "inventor": _inventor(arguments),
    }


def _proposal(arguments: Arguments, log: Logger) -> Proposal:
    profile = profiles.chosen_profile(arguments, log)
    encoding = Encoding(arguments.compression_level, arguments.new_vr)
    if profile is not None:
        return replace(Proposal.of_profile(profile), encoding=encoding)
    syntaxes = None if arguments.proposed is None else proposed(arguments.proposed)
    return Proposal(transfer_syntaxes=syntaxes, combine=arguments.combine, encoding=encoding)


def _inventor(arguments: Arguments) -> Any:
    names = ("--invent-instance", "--invent-series", "--invent-study", "--invent-patient")
    if not any(name in arguments for name in names):
        return None
    from dcmnet.storage.inventing import Inventor  # few transfers have one

    return Inventor(arguments.invent_series, arguments.invent_study, arguments.invent_patient)


def exit_code(report: Report, missed: bool = False, go_on: bool = False) -> int:
    """0 when everything was stored, else why not: see storescu's `TOOL.exit_codes`."""
    from dcmnet.cli import storescu as storescu_table  # as above

    failures = [result for result in report.results if not result.ok]
    statuses = [result.status for result in failures if result.status is not None]
    if statuses:
        return max(storescu_table.EXIT_NOT_STORED, statuses[-1] >> 8)
    errors: list[DcmnetError | None] = [*(result.error for result in failures), *report.endings]
    if any(isinstance(error, _ENDED_EARLY) for error in errors):
        return storescu_table.EXIT_ENDED_EARLY
    return EXIT_SUCCESS if report.ok and not missed else storescu_table.EXIT_NOT_STORED


# ---------------------------------------------------------------------- dcmsend


def _dcmsend_options(arguments: Arguments, log: Logger) -> dict[str, Any]:
    proposal = Proposal(
        decompress=Decompress(arguments.decompress),
        always_uncompressed=bool(arguments.no_illegal_proposal),
        encoding=Encoding(arguments.compression_level),
    )
    return {
        "proposal": proposal,
        "check_first": not arguments.no_halt,
        "dicomdir": bool(arguments.read_from_dicomdir),
        "uid_checks": not arguments.no_uid_checks,
        "single_association": arguments.single_association,
    }


def dcmsend_exit_code(report: Report, missed: bool = False, go_on: bool = False) -> int:
    """0 when everything was stored, else why not: see dcmsend's `TOOL.exit_codes`."""
    from dcmnet.cli import dcmsend as dcmsend_table  # as above

    if not (report.results or report.former):
        return dcmsend_table.EXIT_NO_VALID_INPUT if report.skipped else dcmsend_table.EXIT_NO_INPUT_FILES
    failures = [result for result in report.results if not result.ok]
    errors: list[DcmnetError | None] = [*(result.error for result in failures), *report.endings]
    if any(isinstance(error, _ENDED_EARLY) for error in errors):
        return dcmsend_table.EXIT_SENDING_FAILED
    if any(result.status is not None for result in failures):
        return dcmsend_table.EXIT_NOT_STORED
    if any(isinstance(error, NoPresentationContext) for error in errors):
        return dcmsend_table.EXIT_NO_CONTEXT
    if not (failures or missed):
        return EXIT_SUCCESS
    nothing_else = not report.former and all(not result.sop_class_uid for result in report.results)
    invalid = dcmsend_table.EXIT_INVALID_INPUT
    return dcmsend_table.EXIT_NO_VALID_INPUT if nothing_else and go_on else invalid
