"""`dcmnet storescu`: send DICOM files to a peer (C-STORE).

Exit codes: see `TOOL.exit_codes`. Unlike DCMTK's tool it tells the truth with `-nh` too, counts a directory
that was not scanned as a failure, and works out from the files what to propose where no `-x?` says so.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from logging import Logger
from typing import TYPE_CHECKING, Any

from dcmnet._records import replace
from dcmnet.cli import families, logs, networking
from dcmnet.cli.options import PORT, Arguments, Integer, Option, Parameter, Section, Tool
from dcmnet.cli.running import EXIT_SUCCESS, EXIT_USAGE, run_tool
from dcmnet.errors import AssociationError, DcmnetError, DeadlineExceeded, RemoteProtocolError
from dcmnet.registry.transfer_syntaxes import proposed

if TYPE_CHECKING:
    from dcmnet.storage.planning import Proposal
    from dcmnet.storage.report import Report

EXIT_NOT_STORED = 1
EXIT_ENDED_EARLY = 10

PROPOSED = tuple(replace(option, default=None) for option in families.proposed_transfer_syntaxes())

TOOL = Tool(
    "storescu",
    "DICOM storage (C-STORE) SCU",
    (
        Parameter("peer", "host name or address of the peer"),
        Parameter("port", "TCP port of the peer", kind=PORT),
        Parameter("dcmfile-in", "DICOM file to send, or with +sd a directory", many=True),
    ),
    (
        families.general_options(verbose_pc=True),
        Section(
            "input options",
            (
                Option(
                    "+f",
                    "--read-file",
                    (),
                    "read DICOM files and bare data sets",
                    dest="format",
                    const="any",
                    default="any",
                    group="format",
                ),
                Option(
                    "+fo",
                    "--read-file-only",
                    (),
                    "read DICOM files only",
                    dest="format",
                    const="file",
                    group="format",
                ),
                Option(
                    "-f",
                    "--read-dataset",
                    (),
                    "read bare data sets only, without File Meta Information",
                    dest="format",
                    const="bare",
                    group="format",
                ),
                Option("+sd", "--scan-directories", (), "send the DICOM files in directories as well"),
                Option(
                    "+sp",
                    "--scan-pattern",
                    ("pattern",),
                    "only files of such names, with wildcards",
                    default="",
                    requires=("--scan-directories",),
                ),
                Option(
                    "-r",
                    "--no-recurse",
                    (),
                    "stay out of sub-directories",
                    dest="recurse",
                    const=False,
                    default=False,
                    group="recurse",
                ),
                Option(
                    "+r",
                    "--recurse",
                    (),
                    "go into sub-directories",
                    dest="recurse",
                    group="recurse",
                    requires=("--scan-directories",),
                ),
            ),
        ),
        Section(
            "network options",
            (
                *families.ip_protocol(),
                families.own_ae_title("STORESCU"),
                families.called_ae_title(),
                families.connect_timeout(),
                families.socket_timeout(),
                families.acse_timeout(),
                replace(families.dimse_timeout(), default_text="as --socket-timeout"),
                families.max_pdu(),
                families.max_send_pdu(),
                Option("", "--repeat", ("number",), "send each file so often", kind=Integer(1), default=1),
                Option("", "--abort", (), "abort the association instead of releasing it"),
                Option("-nh", "--no-halt", (), "go on after a file that was not stored"),
            ),
        ),
        Section(
            "proposed transfer syntaxes (without any: those of the files, which go out as they are)",
            (
                *PROPOSED,
                Option("-R", "--required", (), "propose only what the files need; it never does otherwise"),
                Option("+C", "--combine", (), "one context a class with all its transfer syntaxes"),
            ),
        ),
        families.reporting(),
    ),
    exit_codes=(
        ("0", "everything was stored, if need be with a warning"),
        ("1", "a mistake on the command line or in the input; no association; no context for an object"),
        ("10", "an association ended early: the peer aborted or broke the protocol, or a timeout ran out"),
        ("1..255", "the peer refused: the high byte of its last failure status, 167 for A7xx, 169 for A9xx"),
        ("130", "interrupted"),
    ),
    notes=("The codes are the same with --no-halt: 0 means that everything was stored.",),
)


def run(argv: Sequence[str]) -> int:
    """Run the tool; returns its exit code."""
    return run_tool(TOOL, argv, _body)


def _body(arguments: Arguments) -> int:
    from dcmnet.cli.storing import Session  # loads the storage layer, which --help does without

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
        report = _send(arguments, sources, session)
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


def _send(arguments: Arguments, sources: list[str], session: Any) -> Report:
    from dcmnet.sync.storage import StorageSCU  # as above

    scu = StorageSCU(
        arguments.peer,
        arguments.port,
        called=arguments.called_ae_title,
        calling=arguments.ae_title,
        proposal=_proposal(arguments),
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
        abort=arguments.abort,
        **session.hooks(),
    )
    return scu.add(*sources).send()


def _proposal(arguments: Arguments) -> Proposal:
    from dcmnet.storage.planning import Proposal  # as above

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
