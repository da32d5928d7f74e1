"""`dcmnet completion`: completions for shells."""

from __future__ import annotations

from dcmnet.cli import families
from dcmnet.cli.options import Arguments, Choice, Option, Parameter, Section, Tool
from dcmnet.cli.running import run_tool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

SHELLS = ("bash", "zsh", "fish")

TOOL = Tool(
    "completion",
    "completions of tools, options and values, for a shell to source",
    (Parameter("shell", "the shell", kind=Choice(SHELLS, "Unknown shell")),),
    (
        families.general_options(),
        Section(
            "completion options",
            (Option("", "--plain", (), "for the plain names as well, that dcmnet link writes"),),
        ),
    ),
    exit_codes=(("0", "the completions were printed"), ("1", "a mistake on the command line")),
    notes=(
        'bash: put `eval "$(dcmnet completion bash)"` into ~/.bashrc. zsh: the same with zsh into ~/.zshrc, '
        "after compinit. fish: dcmnet completion fish > ~/.config/fish/completions/dcmnet.fish.",
    ),
)


def run(argv: Sequence[str]) -> int:
    """Run the tool; returns its exit code."""
    return run_tool(TOOL, argv, _work)


def _work(arguments: Arguments) -> int:
    from dcmnet.cli.completing import script  # all tables, which --help does without

    print(script(arguments.shell, plain="--plain" in arguments), end="")
    return 0
