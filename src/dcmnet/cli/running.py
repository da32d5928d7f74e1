"""From a tool's table and its arguments to an exit code."""

from __future__ import annotations

import sys

from dcmnet.cli import usage
from dcmnet.cli.options import Arguments, Tool, UsageError
from dcmnet.cli.parser import parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

EXIT_SUCCESS = 0
EXIT_USAGE = 1


def run_tool(tool: Tool, argv: Sequence[str], body: Callable[[Arguments], int]) -> int:
    """Parse `argv`, set the logs up and call `body`; deal with --help, --version and mistakes.

    A tool that needs parameters and gets no argument at all prints its usage text. `body` may raise
    UsageError for what only it can check.

    Returns:
        The exit code: that of `body`, 0 after --help and --version, 1 after a mistake on the command line.
    """
    try:
        arguments = parse(tool, argv)
        if arguments.exclusive in ("--help", "--version"):
            _describe(tool, arguments.exclusive)
            return EXIT_SUCCESS
        if not arguments.exclusive:
            _set_up_logs(tool, arguments)
    except UsageError as error:
        return _report(tool, error)
    try:
        return body(arguments)
    except UsageError as error:
        error.silent = error.silent or getattr(arguments, "log_level", "") == "fatal"
        return _report(tool, error)


def _describe(tool: Tool, what: str) -> None:
    if what == "--version":
        print(usage.version_text(tool), end="")
    else:
        print(usage.usage_text(tool, usage.terminal_width(sys.stdout)), end="")


def _report(tool: Tool, error: UsageError) -> int:
    if not error.silent:
        sys.stderr.write(usage.error_text(tool, error))
    return EXIT_USAGE


def _set_up_logs(tool: Tool, arguments: Arguments) -> None:
    from dcmnet.cli import logs  # logging is loaded by tools that run, not by --help

    logs.configure(tool.name, level=arguments.log_level, config=arguments.log_config)
    if "--arguments" in arguments:
        words = arguments.words()
        quoted = "".join(f"'{logs.escape(word)}' " for word in words)
        logs.emit(logs.INFO, f"calling '{tool.name}' with {len(words)} arguments: {quoted}\n")
    logs.logger(tool.name).debug("%s", usage.identification(tool))
    logs.logger(tool.name).debug("")
