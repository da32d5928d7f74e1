"""`dcmnet storescu`: send DICOM files to a peer (C-STORE).

Exit codes: see `TOOL.exit_codes`. Unlike DCMTK's tool it tells the truth with `-nh` too, counts a directory
that was not scanned as a failure, and works out from the files what to propose where no `-x?` says so.
"""

from __future__ import annotations

from dcmnet._records import replace
from dcmnet.cli import families, sending_options, tls_options
from dcmnet.cli.options import PORT, Arguments, Integer, Option, Parameter, Section, Tool
from dcmnet.cli.running import run_tool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_NOT_STORED = 1
EXIT_ENDED_EARLY = 10

PROPOSED = tuple(replace(option, default=None) for option in families.proposed_transfer_syntaxes())


def _invented(short: str, long: str, of: str, default: int) -> Option:
    text = f"a new {long.rpartition('-')[2]} after so many {of}"
    return Option(short, long, ("number",), text, kind=Integer(1), default=default)


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
                *sending_options.read_formats("any"),
                sending_options.no_check(),
                *sending_options.scanning(),
                Option(
                    "-rn",
                    "--no-rename",
                    (),
                    "leave the names of files alone",
                    dest="rename",
                    const=False,
                    default=False,
                    group="rename",
                ),
                Option(
                    "+rn",
                    "--rename",
                    (),
                    "append .done to the names of files that were stored, .bad to those that were not",
                    dest="rename",
                    group="rename",
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
                *families.sharing(),
                Option("", "--repeat", ("number",), "send each file so often", kind=Integer(1), default=1),
                Option("", "--abort", (), "abort the association instead of releasing it"),
                Option("-nh", "--no-halt", (), "go on after a file that was not stored"),
                Option("-up", "--uid-padding", (), "take blanks off the UIDs of files; it always does"),
            ),
        ),
        sending_options.user_identity(),
        sending_options.going_on(),
        Section(
            "proposed transfer syntaxes (without any: those of the files, which go out as they are)",
            (
                *PROPOSED,
                Option("-R", "--required", (), "propose only what the files need; it never does otherwise"),
                Option("+C", "--combine", (), "one context a class with all its transfer syntaxes"),
                families.config_file(
                    (*(each.long for each in PROPOSED if each.short != "-x="), "--required", "--combine")
                ),
            ),
        ),
        Section(
            "encoding of data sets that do not go out as they are",
            (
                Option(
                    "+u",
                    "--enable-new-vr",
                    (),
                    "with the value representations of the standard",
                    dest="new_vr",
                    default=True,
                    group="new_vr",
                ),
                Option(
                    "-u",
                    "--disable-new-vr",
                    (),
                    "OB for those that came late to the standard, in every file with explicit ones",
                    dest="new_vr",
                    const=False,
                    group="new_vr",
                ),
                sending_options.compression_level("--propose-deflated", "--config-file"),
            ),
        ),
        Section(
            "made-up identities, for test data (each of these makes up all of them)",
            (
                Option("+II", "--invent-instance", (), "a new SOP Instance UID for every object"),
                _invented("+IR", "--invent-series", "objects", 100),
                _invented("+IS", "--invent-study", "series", 50),
                _invented("+IP", "--invent-patient", "studies", 25),
            ),
        ),
        tls_options.requestor_tls(),
        families.reporting(sending_options.json_report()),
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
    return run_tool(TOOL, argv, _work)


def _work(arguments: Arguments) -> int:
    from dcmnet.cli.sending import send, storescu  # the network, which --help does without

    return send(arguments, storescu())
