"""The tools and their tables, for what is made from all of them: manual pages, completions, links."""

from __future__ import annotations

from dcmnet import cli
from dcmnet.cli.options import Choice, InvalidValue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dcmnet.cli.options import Kind, Tool

_OUR_OWN = ("configuration", "demonstration")
"""Groups whose tools DCMTK does not have: their names alone would mean nothing, or something else."""

_FILES = ("file", "filename", "report")


class ToolName:
    """The name of a tool."""

    @property
    def words(self) -> tuple[str, ...]:
        """The names."""
        return names()

    def convert(self, text: str) -> str:
        """The name, if there is such a tool."""
        if text not in names():
            raise InvalidValue("no such tool; dcmnet --help lists them")
        return text

    def describe(self) -> str:
        """Nothing: there are many."""
        return ""


def names() -> tuple[str, ...]:
    """The names of all tools, in the order of `dcmnet --help`."""
    return tuple(name for tools in cli.GROUPS.values() for name in tools)


def plain_names() -> tuple[str, ...]:
    """The names of the tools that DCMTK has as well, which people type without `dcmnet`."""
    return tuple(name for title, tools in cli.GROUPS.items() if title not in _OUR_OWN for name in tools)


def tool_of(name: str) -> Tool:
    """The table of a tool."""
    import importlib

    (home,) = (tools[name][0] for tools in cli.GROUPS.values() if name in tools)
    tool: Tool = importlib.import_module(home).TOOL
    return tool


def line_of(name: str) -> str:
    """What a tool does, in one line."""
    (line,) = (tools[name][1] for tools in cli.GROUPS.values() if name in tools)
    return line


def expected(name: str, kind: Kind) -> str:
    """What a shell can offer for a value: `file`, `directory`, `words` and these, or nothing.

    Args:
        name: The value's metavar, or the parameter's name.
        kind: What it has to look like.
    """
    words = kind.words if isinstance(kind, (Choice, ToolName)) else ()
    if words:
        return " ".join(("words", *words))
    if name in _FILES or name.startswith("dcmfile") or name.endswith("-file"):
        return "file"
    return "directory" if name == "directory" else ""
