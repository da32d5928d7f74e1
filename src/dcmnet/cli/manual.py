"""Writes manual pages: roff with the man macros, from the tables of the tools."""

from __future__ import annotations

import os
import sys

from dcmnet import cli
from dcmnet._version import __version__
from dcmnet.cli import catalogue, usage
from dcmnet.cli.options import Arguments, Tool, UsageError, join_alternatives

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from dcmnet.cli.options import Option, Section


def show(arguments: Arguments) -> int:
    """Print one page, or write all; returns the exit code.

    Raises:
        UsageError: There is nothing to show, or it cannot be written.
    """
    if "--all" not in arguments:
        sys.stdout.write(page(catalogue.tool_of(arguments.tool)))
        return 0
    if arguments.tool is not None:
        raise UsageError("a tool and --all do not go together", "leave one of them out")
    folder = os.path.join(os.path.expanduser(arguments.folder), "man1")
    pages = {"dcmnet": overview()}
    pages.update((f"dcmnet-{name}", page(catalogue.tool_of(name))) for name in catalogue.names())
    for name, text in pages.items():
        print(_write(folder, f"{name}.1", text))
    return 0


def _write(folder: str, name: str, text: str) -> str:
    path = os.path.join(folder, name)
    try:
        os.makedirs(folder, exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
    return path


def page(tool: Tool) -> str:
    """The page of one tool."""
    lines = [*_head(f"dcmnet-{tool.name}", tool.purpose), ".SH SYNOPSIS"]
    lines.append(f".B dcmnet {_text(tool.name)}")
    lines.append(_text(" ".join(["[options]", *map(usage.parameter_usage, tool.parameters)])))
    if tool.parameters:
        lines.append(".SH PARAMETERS")
        for parameter in tool.parameters:
            lines += [".TP", f".I {_text(parameter.name)}", _line(usage.parameter_help(parameter))]
    lines.append(".SH OPTIONS")
    for section in tool.sections:
        lines += _section(tool, section)
    if any(option.beyond_dcmtk for option in tool.options):
        lines += [".PP", _line("* not an option of DCMTK's tool of this name")]
    if tool.exit_codes:
        lines.append(".SH EXIT STATUS")
        for code, meaning in tool.exit_codes:
            lines += [".TP", f".B {_text(code)}", _line(meaning)]
    if tool.notes:
        lines.append(".SH NOTES")
        for note in tool.notes:
            lines += [".PP", _line(note)]
    return "\n".join([*lines, ".SH SEE ALSO", ".BR dcmnet (1)"]) + "\n"


def overview() -> str:
    """The page of `dcmnet` itself, which lists the tools."""
    lines = [*_head("dcmnet", "DICOM networking"), ".SH SYNOPSIS", ".B dcmnet", _text("TOOL [options] ...")]
    for title, tools in cli.GROUPS.items():
        lines.append(f".SH {_text(title.upper())}")
        for name, (_, line) in tools.items():
            lines += [".TP", f".BR dcmnet\\-{_text(name)} (1)", _line(line)]
    return "\n".join(lines) + "\n"


def _head(name: str, purpose: str) -> Iterator[str]:
    yield f'.TH {_text(name.upper())} 1 "" "dcmnet {_text(__version__)}" "dcmnet"'
    yield ".SH NAME"
    yield f"{_text(name)} \\- {_text(purpose)}"


def _section(tool: Tool, section: Section) -> Iterator[str]:
    condition = f", with {join_alternatives(section.requires)}" if section.requires else ""
    yield f".SS {_text(section.title + condition)}"
    for option in section.options:
        yield ".TP"
        yield _spellings(option)
        yield _line(usage.option_help(tool, section, option))


def _spellings(option: Option) -> str:
    mark = "* " if option.beyond_dcmtk else ""
    names = ", ".join(f"\\fB{_text(name)}\\fR" for name in (option.short, option.long) if name)
    values = "".join(f" \\fI{_text(metavar)}\\fR" for metavar in option.metavars)
    return mark + names + values


def _line(text: str) -> str:
    """A line of text: what begins with a dot or an apostrophe would be a request."""
    escaped = _text(text)
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


_SIGNS = {"-": "\\-", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti", '"': "\\(dq", "\\": "\\e"}


def _text(text: str) -> str:
    """Text as it is: a lone `-` would become a hyphen, other signs typographic ones."""
    return "".join(_SIGNS.get(sign, sign) for sign in text)
