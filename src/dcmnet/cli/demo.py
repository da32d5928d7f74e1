"""`dcmnet demo`: a transfer on this computer, from a sample study to a storage node and back to a comparison.

Exit codes: 0 when every object arrived byte for byte, 1 otherwise.
"""

from __future__ import annotations

from dcmnet.cli import families
from dcmnet.cli.options import Arguments, Tool
from dcmnet.cli.running import run_tool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

TOOL = Tool(
    "demo",
    "a transfer on this computer, to see how it goes",
    (),
    (families.general_options(),),
    exit_codes=(
        ("0", "every object of the sample study arrived as it was sent"),
        ("1", "a mistake on the command line, or something did not arrive"),
    ),
    notes=(
        "Starts a storage node on the loopback interface, in a temporary directory, verifies it, sends the "
        "sample study of the package and compares what arrived. Nothing stays behind.",
    ),
)


def run(argv: Sequence[str]) -> int:
    """Run the tool; returns its exit code."""
    return run_tool(TOOL, argv, _work)


def _work(arguments: Arguments) -> int:
    from dcmnet.cli.demonstration import demonstrate  # the network, which --help does without

    return demonstrate(arguments)
