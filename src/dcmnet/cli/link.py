"""`dcmnet link`: let the tools be called by their names alone, as DCMTK's are."""

from __future__ import annotations

import os

from dcmnet.cli import families
from dcmnet.cli.options import Arguments, Option, Parameter, Section, Tool
from dcmnet.cli.running import run_tool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

SHELL, COMMAND = "shell", "command"
_USUAL = COMMAND if os.name == "nt" else SHELL

TOOL = Tool(
    "link",
    "commands for the tools' plain names: echoscu, storescu ...",
    (Parameter("directory", "where they go, as ~/.local/bin; must exist"),),
    (
        families.general_options(),
        Section(
            "link options",
            (
                Option("", "--force", (), "replace files that are there and are not of dcmnet"),
                Option(
                    "",
                    "--shell-scripts",
                    (),
                    "write scripts for Unix shells",
                    dest="kind",
                    const=SHELL,
                    default=_USUAL,
                    group="kind",
                ),
                Option(
                    "",
                    "--cmd-files",
                    (),
                    "write .cmd files for Windows",
                    dest="kind",
                    const=COMMAND,
                    default=_USUAL,
                    group="kind",
                ),
            ),
        ),
    ),
    exit_codes=(
        ("0", "every command was written"),
        ("1", "a mistake on the command line; a file is in the way, and nothing or not all was written"),
    ),
    notes=(
        "The commands call the Python that dcmnet runs in now: write them again when that has moved. Only "
        "tools that DCMTK has too get one. What the command line finds first under a name depends on PATH.",
    ),
)


def run(argv: Sequence[str]) -> int:
    """Run the tool; returns its exit code."""
    return run_tool(TOOL, argv, _work)


def _work(arguments: Arguments) -> int:
    from dcmnet.cli.linking import link  # files, which --help does without

    return link(arguments)
