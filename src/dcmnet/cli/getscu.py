"""`dcmnet getscu`: retrieve objects over the association that asks for them (C-GET).

Exit codes: see `TOOL.exit_codes`. Unlike DCMTK's tool it does not end with 0 when the peer answered with a
failure, or could not send an object.
"""

from __future__ import annotations

from dcmnet._records import replace
from dcmnet.cli import families, output_options, querying_options, tls_options
from dcmnet.cli.options import Arguments, Section, Tool
from dcmnet.cli.running import run_tool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

TOOL = Tool(
    "getscu",
    "DICOM retrieve (C-GET) SCU",
    querying_options.PARAMETERS,
    (
        families.general_options(verbose_pc=True),
        Section(
            "network options",
            (
                querying_options.keys(),
                *querying_options.models("patient", "study", "psonly"),
                *families.ip_protocol(),
                families.own_ae_title("GETSCU"),
                families.called_ae_title(),
                families.connect_timeout(),
                families.acse_timeout(),
                replace(families.dimse_timeout(), default_text="60"),
                families.max_pdu(),
                querying_options.repeat(),
                querying_options.abort(),
                querying_options.cancel(beyond_dcmtk=True),
            ),
        ),
        Section("transfer syntaxes of objects", families.preferred_transfer_syntaxes()),
        Section(
            "transfer syntaxes of the query",
            families.proposed_transfer_syntaxes(querying_options.PROPOSED),
        ),
        Section(
            "output options",
            (
                replace(output_options.directory(), conflicts_with=("--ignore",)),
                *output_options.storage_mode(),
                output_options.ignore(),
                *output_options.safe_storing(),
            ),
        ),
        tls_options.requestor_tls(),
        families.reporting(),
    ),
    exit_codes=(
        ("0", "every object was retrieved, or the retrieval cancelled as --cancel asks for"),
        (
            "1",
            "a mistake on the command line; a query or the output directory cannot be used; no association, "
            "or no presentation context for the information model; the association could not be released",
        ),
        ("68", "some objects were not retrieved, or the peer answered with another warning"),
        ("69", "the peer answered with a failure status"),
        ("70", "the association ended early: the peer aborted or broke the protocol, or a timeout ran out"),
        ("130", "interrupted"),
    ),
    notes=(
        "127 storage classes are proposed, each in one context: objects come in the transfer syntax that the "
        "peer chooses for their class.",
    ),
)


def run(argv: Sequence[str]) -> int:
    """Run the tool; returns its exit code."""
    return run_tool(TOOL, argv, _work)


def _work(arguments: Arguments) -> int:
    from dcmnet.cli.getting import get  # the network, which --help does without

    return get(arguments)
