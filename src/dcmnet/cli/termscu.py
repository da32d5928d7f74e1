"""`dcmnet termscu`: ask a server to shut down.

Only DCMTK's dcmqrscp (with --allow-shutdown) and a few of its relatives know how. They answer by rejecting
the association, which is success here; DCMTK's tool ends with 1 then.
"""

from __future__ import annotations

from dcmnet.cli import families, tls_options
from dcmnet.cli.options import PORT, Arguments, Parameter, Section, Tool
from dcmnet.cli.running import run_tool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_NOT_SHUT_DOWN = 1

SHUTDOWN = "1.2.276.0.7230010.3.4.1915765545.18030.917282194.0"
"""DCMTK's private SOP class: whoever accepts its context, or knows it, is asked to end."""

TOOL = Tool(
    "termscu",
    "DICOM termination SCU",
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
                families.own_ae_title("TERMSCU"),
                families.called_ae_title(),
                families.max_pdu(),
            ),
        ),
        tls_options.requestor_tls(beyond_dcmtk=True),
        families.json_reporting(),
    ),
    exit_codes=(
        ("0", "the peer said that it shuts down"),
        ("1", "a mistake on the command line; no association; the peer does not know this request"),
        ("130", "interrupted"),
    ),
    notes=(
        "A server that shuts down rejects the association: permanent, by its user, without a reason. One "
        "that rejects everybody like that cannot be told from it.",
    ),
)


def run(argv: Sequence[str]) -> int:
    """Run the tool; returns its exit code."""
    return run_tool(TOOL, argv, _work)


def _work(arguments: Arguments) -> int:
    from dcmnet.cli.terminating import terminate  # the network, which --help does without

    return terminate(arguments)
