"""What a tool says about itself: identification, usage text, versions, and how a mistake is reported."""

from __future__ import annotations

import os
import sys

from dcmnet._version import __version__
from dcmnet.cli.options import Option, Parameter, Section, Tool, UsageError, join_alternatives
from dcmnet.cli.parser import default_values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

_PLAIN_WIDTH = 80
_WIDEST = 120
_NARROWEST = 50
_WIDEST_LEFT_COLUMN = 30


def identification(tool: Tool) -> str:
    """The line that names the tool and its version."""
    return f"$dcmnet: {tool.name} v{__version__} $"


def heading(tool: Tool) -> str:
    """Identification line, empty line, purpose; ends in a newline."""
    return f"{identification(tool)}\n\n{tool.name}: {tool.purpose}\n"


def error_text(tool: Tool, error: UsageError) -> str:
    """What stderr shows for a mistake on the command line."""
    hint = f"{error.hint}\n" if error.hint else ""
    return f"{heading(tool)}error: {error}\n{hint}"


def terminal_width(stream: TextIO | None) -> int:
    """Columns to write within: those of the terminal, or 80 when the stream is not one."""
    if stream is None or not stream.isatty():
        return _PLAIN_WIDTH
    import shutil  # not needed where nothing is printed

    return max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size().columns))


def usage_text(tool: Tool, width: int = _PLAIN_WIDTH) -> str:
    """The whole usage text, within `width` columns."""
    usage = " ".join(["usage: dcmnet", tool.name, "[options]", *map(parameter_usage, tool.parameters)])
    short = max((len(option.short) for option in tool.options), default=0)
    left = [_left_column(option, short) for option in tool.options]
    widths = [len(text) for text in (*left, *(parameter.name for parameter in tool.parameters))]
    column = min(max(widths, default=0), _WIDEST_LEFT_COLUMN) + 4
    lines = [heading(tool) + usage]
    if tool.parameters:
        lines += ["", "parameters:"]
        for parameter in tool.parameters:
            lines += _row("  " + parameter.name, parameter_help(parameter), column, width)
    for section in tool.sections:
        condition = f", with {join_alternatives(section.requires)}" if section.requires else ""
        lines += ["", f"{section.title}{condition}:"]
        for option in section.options:
            mark = "* " if option.beyond_dcmtk else "  "
            lines += _row(
                mark + _left_column(option, short), option_help(tool, section, option), column, width
            )
    if any(option.beyond_dcmtk for option in tool.options):
        lines += ["", "* not an option of DCMTK's tool of this name"]
    lines += _epilogue(tool, column, width)
    return "\n".join(lines) + "\n"


def _epilogue(tool: Tool, column: int, width: int) -> Iterator[str]:
    if tool.exit_codes:
        yield from ("", "exit codes:")
        for code, meaning in tool.exit_codes:
            yield from _row(f"  {code}", meaning, column, width)
    for note in tool.notes:
        yield ""
        yield from _row("", note, 0, width)


def version_text(tool: Tool) -> str:
    """Version, platform and libraries."""
    import platform  # as zlib, only for this
    import zlib

    libraries = (f"- {name} {_version_of(name)}" for name in ("pydicom", "rich"))
    lines = [
        heading(tool),
        f"Host type: {platform.machine()}-{platform.system()}",
        f"Character encoding: {sys.getfilesystemencoding()}",
        f"Python: {sys.implementation.name} {sys.version.split()[0]}",
        "",
        "External libraries used:",
        *libraries,
        f"- zlib {zlib.ZLIB_RUNTIME_VERSION}",
    ]
    return "\n".join(lines) + "\n"


def _version_of(distribution: str) -> str:
    """The version of what is installed, by the name of the folder that an installer writes next to it.

    Its name is specified (Python packaging, "Recording installed projects"). importlib.metadata takes
    longer to load than all else that --version does, so it is asked only about what has no such folder.
    """
    for folder in sys.path:
        try:
            names = os.listdir(folder or ".")
        except OSError:
            continue
        for name in names:
            if name.startswith(f"{distribution}-") and name.endswith(".dist-info"):
                return name.removesuffix(".dist-info").partition("-")[2]
    from importlib import metadata

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "(not installed)"


def parameter_usage(parameter: Parameter) -> str:
    """The parameter as the synopsis has it: `[file...]`."""
    name = f"{parameter.name}..." if parameter.many else parameter.name
    return f"[{name}]" if parameter.optional or parameter.unless else name


def parameter_help(parameter: Parameter) -> str:
    """What the parameter is, with what it has to look like."""
    details = [parameter.kind.describe()]
    if parameter.unless:
        details.append(f"not needed with {parameter.unless}")
    return _with_details(parameter.help, details)


def _left_column(option: Option, short: int) -> str:
    values = "".join(f" {metavar.upper()}" for metavar in option.metavars)
    return f"{option.short:<{short}}  {option.long}{values}"


def option_help(tool: Tool, section: Section, option: Option) -> str:
    """What the option does, with its values, its default and its conditions."""
    details = [] if isinstance(option.kind, tuple) or not option.metavars else [option.kind.describe()]
    details.append(_default_text(tool, option))
    if option.repeatable:
        details.append("may be repeated")
    if option.requires and option.requires != section.requires:
        details.append(f"only with {join_alternatives(option.requires)}")
    return _with_details(option.help, details)


def _default_text(tool: Tool, option: Option) -> str:
    """`default: x` on an option with values, `default` on the flag that sets what is there without it."""
    if option.metavars:
        text = option.default_text
        if text is None:
            text = "" if option.default is None else str(option.default)
        return f"default: {text}" if text else ""
    return "default" if default_values(tool)[option.attribute] == option.const else ""


def _with_details(text: str, details: list[str]) -> str:
    shown = "; ".join(filter(None, details))
    return f"{text} ({shown})" if shown else text


def _row(left: str, text: str, column: int, width: int) -> Iterator[str]:
    wrapped = list(_wrapped(text, max(20, width - column)))
    if len(left) > max(0, column - 2):
        yield left
    else:
        yield f"{left:<{column}}{wrapped.pop(0)}".rstrip()
    for line in wrapped:
        yield " " * column + line


def _wrapped(text: str, width: int) -> Iterator[str]:
    """Lines of whole words, at least one line; as textwrap has it, which loads re."""
    line = ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > width:
            yield line
            line = word
        else:
            line = f"{line} {word}" if line else word
    yield line
