"""From a tool's table and its arguments to an exit code."""

from __future__ import annotations

import sys

from dcmnet.cli import usage
from dcmnet.cli.options import Arguments, Tool, UsageError
from dcmnet.cli.parser import parse
from dcmnet.cli.tls_options import LISTS, OFFLINE
from dcmnet.errors import TLSSettingsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

EXIT_SUCCESS = 0
EXIT_USAGE = 1

ABOUT_TLS = (*LISTS, *OFFLINE)


def run_tool(tool: Tool, argv: Sequence[str], body: Callable[[Arguments], int]) -> int:
    """Parse `argv`, set the logs up and call `body`; deal with --help, --version and mistakes.

    A tool that needs parameters and gets no argument at all prints its usage text. `body` may raise
    UsageError for what only it can check.

    Returns:
        The exit code: that of `body`, 0 after --help and --version, 1 after a mistake on the command line.
    """
    try:
        arguments = parse(tool, argv)
        if _describe(tool, arguments.exclusive):
            return EXIT_SUCCESS
        if not arguments.exclusive:
            _set_up_logs(tool, arguments)
    except UsageError as error:
        return _report(tool, error)
    try:
        return body(arguments)
    except (UsageError, TLSSettingsError) as error:
        mistake = error if isinstance(error, UsageError) else UsageError(f"TLS: {error}")
        mistake.silent = mistake.silent or getattr(arguments, "log_level", "") == "fatal"
        return _report(tool, mistake)


def _describe(tool: Tool, what: str) -> bool:
    """Print what an exclusive option asks for; False when that is for the tool itself to do."""
    if what == "--version":
        print(usage.version_text(tool), end="")
    elif what == "--help":
        print(usage.usage_text(tool, usage.terminal_width(sys.stdout)), end="")
    elif what in ABOUT_TLS:
        from dcmnet.cli.tls_settings import print_for

        print_for(what)
    else:
        return False
    return True


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
