"""`dcmnet man`: manual pages of the tools."""

from __future__ import annotations

from dcmnet.cli import families
from dcmnet.cli.catalogue import ToolName
from dcmnet.cli.options import Arguments, Option, Parameter, Section, Tool
from dcmnet.cli.running import run_tool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

TOOL = Tool(
    "man",
    "manual pages of the tools",
    (Parameter("tool", "the tool whose page is printed, as roff", kind=ToolName(), unless="--all"),),
    (
        families.general_options(),
        Section(
            "manual options",
            (
                Option(
                    "",
                    "--all",
                    ("directory",),
                    "write the pages of all tools into the folder man1 of this one, as ~/.local/share/man",
                    dest="folder",
                ),
            ),
        ),
    ),
    exit_codes=(
        ("0", "the page was printed, or all were written"),
        ("1", "a mistake on the command line; a page could not be written"),
    ),
    notes=("dcmnet man echoscu | man -l - shows a page; dcmnet-echoscu is its name once it is installed.",),
)


def run(argv: Sequence[str]) -> int:
    """Run the tool; returns its exit code."""
    return run_tool(TOOL, argv, _work)


def _work(arguments: Arguments) -> int:
    from dcmnet.cli.manual import show  # all tables, which --help does without

    return show(arguments)
