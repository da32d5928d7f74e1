"""`dcmnet asconfig check`: what a file of association negotiation profiles means, and what is wrong with it.

Exit codes: 0 when the file can be used, 1 otherwise.
"""

from __future__ import annotations

from dcmnet.cli import families
from dcmnet.cli.options import Arguments, Choice, Option, Parameter, Section, Tool
from dcmnet.cli.running import run_tool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

TOOL = Tool(
    "asconfig",
    "association negotiation profiles, as for -xf",
    (
        Parameter("action", "what to do: check", kind=Choice(("check",), "Unknown action")),
        Parameter("file", "the file with the profiles"),
        Parameter("profile", "the profile to show; all of them without it", optional=True),
    ),
    (
        families.general_options(),
        Section(
            "check options",
            (
                Option(
                    "",
                    "--strict",
                    (),
                    "end with 1 for warnings as well: for what DCMTK's tools read otherwise",
                    beyond_dcmtk=True,
                ),
            ),
        ),
        families.json_reporting(),
    ),
    exit_codes=(
        ("0", "the file can be used, if need be with warnings"),
        (
            "1",
            "a mistake on the command line; it cannot be used, or lacks the profile; with --strict a warning",
        ),
    ),
)


def run(argv: Sequence[str]) -> int:
    """Run the tool; returns its exit code."""
    return run_tool(TOOL, argv, _work)


def _work(arguments: Arguments) -> int:
    from dcmnet.cli.checking import check  # reads the file, which --help does without

    return check(arguments)
