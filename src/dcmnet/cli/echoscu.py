"""`dcmnet echoscu`: verify that a peer speaks DICOM (C-ECHO).

Exit codes: see `TOOL.exit_codes`. Unlike DCMTK's tool it does not end with 0 when the peer aborted, or
answered with a failure.
"""

from __future__ import annotations

from dcmnet._records import replace
from dcmnet.cli import families, tls_options
from dcmnet.cli.options import PORT, Arguments, Integer, Option, Parameter, Section, Tool
from dcmnet.cli.running import EXIT_USAGE, run_tool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_NO_ASSOCIATION = EXIT_USAGE
EXIT_ENDED_EARLY = 70
EXIT_BAD_STATUS = 71

MOST_TRANSFER_SYNTAXES = 53
MOST_CONTEXTS = 128

TOOL = Tool(
    "echoscu",
    "DICOM verification (C-ECHO) SCU",
    (
        Parameter("peer", "host name or address of the peer"),
        Parameter("port", "TCP port of the peer", kind=PORT),
    ),
    (
        families.general_options(),
        Section(
            "network options",
            (
                *families.ip_protocol(),
                families.own_ae_title("ECHOSCU"),
                families.called_ae_title(),
                Option(
                    "-pts",
                    "--propose-ts",
                    ("number",),
                    "propose so many transfer syntaxes",
                    kind=Integer(1, MOST_TRANSFER_SYNTAXES),
                    default=1,
                ),
                Option(
                    "-ppc",
                    "--propose-pc",
                    ("number",),
                    "propose so many presentation contexts",
                    kind=Integer(1, MOST_CONTEXTS),
                    default=1,
                ),
                families.connect_timeout(),
                families.socket_timeout(),
                families.acse_timeout(),
                replace(families.dimse_timeout(), default_text="as --socket-timeout"),
                families.max_pdu(),
                Option(
                    "",
                    "--repeat",
                    ("number",),
                    "verify so many times, on one association",
                    kind=Integer(1),
                    default=1,
                ),
                Option("", "--abort", (), "abort the association instead of releasing it"),
            ),
        ),
        tls_options.requestor_tls(offline=True),
        families.json_reporting(),
    ),
    exit_codes=(
        ("0", "every C-ECHO was answered with success"),
        ("1", "a mistake on the command line; no association; no presentation context; not released"),
        ("70", "the association ended early: the peer aborted or broke the protocol, or a timeout ran out"),
        ("71", "a C-ECHO was answered with another status than success"),
        ("130", "interrupted"),
    ),
)


def run(argv: Sequence[str]) -> int:
    """Run the tool; returns its exit code."""
    return run_tool(TOOL, argv, _work)


def _work(arguments: Arguments) -> int:
    from dcmnet.cli.verifying import verify  # the network, which --help does without

    return verify(arguments)
