"""What `dcmnet storescu` does once its command line is read."""

from __future__ import annotations

import os
import time
from logging import Logger

from dcmnet.cli import logs, networking, profiles
from dcmnet.cli.options import Arguments
from dcmnet.cli.running import EXIT_SUCCESS, EXIT_USAGE
from dcmnet.cli.storescu import EXIT_ENDED_EARLY, EXIT_NOT_STORED, TOOL
from dcmnet.cli.storing import Session
from dcmnet.errors import AssociationError, DcmnetError, DeadlineExceeded, ProfileError, RemoteProtocolError
from dcmnet.registry.transfer_syntaxes import proposed
from dcmnet.storage.planning import Proposal
from dcmnet.storage.report import Report
from dcmnet.sync.storage import StorageSCU


def send(arguments: Arguments) -> int:
    """Send the files that a command line names; returns the exit code."""
    log = logs.logger(TOOL.name)
    sources, missed = _sources(arguments, log)
    session = Session(arguments, log, sources=len(sources))
    if missed and not arguments.no_halt:
        return session.close(None, EXIT_NOT_STORED)
    if not sources:
        log.critical("no input files to be sent")
        return session.close(None, EXIT_NOT_STORED)
    log.info("checking input files ...")
    started = time.monotonic()
    try:
        report = _send(arguments, sources, _proposal(arguments, log), session)
    except ProfileError as error:
        profiles.log_refusal(log, error)
        return session.close(None, EXIT_USAGE, error)
    except networking.FAILURES as error:
        networking.log_no_association(log, arguments, error)
        return session.close(None, EXIT_USAGE, error)
    except BaseException:
        session.end_bar()
        raise
    session.seconds = time.monotonic() - (session.started or started)
    return session.close(report, exit_code(report) or int(missed))


def _sources(arguments: Arguments, log: Logger) -> tuple[list[str], bool]:
    """What to send, and whether something that was named is missing."""
    sources: list[str] = []
    for name in arguments.dcmfile_in:
        if not arguments.scan_directories and os.path.isdir(name):
            log.error("%s is a directory: +sd (--scan-directories) sends what is in it", name)
        else:
            sources.append(name)
    return sources, len(sources) < len(arguments.dcmfile_in)


def _send(arguments: Arguments, sources: list[str], proposal: Proposal, session: Session) -> Report:
    scu = StorageSCU(
        arguments.peer,
        arguments.port,
        called=arguments.called_ae_title,
        calling=arguments.ae_title,
        proposal=proposal,
        max_pdu_length=arguments.max_pdu,
        max_send_pdu_length=arguments.max_send_pdu or 0,
        timeouts=networking.timeouts(arguments),
        family=networking.address_family(arguments, arguments.peer),
        recurse=arguments.recurse,
        pattern=arguments.scan_pattern,
        meta=arguments.format != "bare",
        bare=arguments.format != "file",
        halt=not arguments.no_halt,
        repeat=arguments.repeat,
        window=arguments.window,
        parallel=arguments.parallel,
        abort=arguments.abort,
        **session.hooks(),
    )
    return scu.add(*sources).send()


def _proposal(arguments: Arguments, log: Logger) -> Proposal:
    profile = profiles.chosen_profile(arguments, log)
    if profile is not None:
        return Proposal.of_profile(profile)
    syntaxes = None if arguments.proposed is None else proposed(arguments.proposed)
    return Proposal(transfer_syntaxes=syntaxes, combine=arguments.combine)


def exit_code(report: Report) -> int:
    """0 when everything was stored, else why not: see `TOOL.exit_codes`."""
    failures = [result for result in report.results if not result.ok]
    statuses = [result.status for result in failures if result.status is not None]
    if statuses:
        return max(EXIT_NOT_STORED, statuses[-1] >> 8)
    errors: list[DcmnetError | None] = [*(result.error for result in failures), *report.endings]
    if any(isinstance(error, AssociationError | DeadlineExceeded | RemoteProtocolError) for error in errors):
        return EXIT_ENDED_EARLY
    return EXIT_SUCCESS if report.results and not failures else EXIT_NOT_STORED
