r"""What a tool's log looks like: `L: message` on stderr, the letter repeated on every line.

A line break written in a message's text is layout. One that comes with an argument of the message, as
everything from a peer should, is shown as `\x0a`: nobody forges a line of this log. Other control characters
are shown the same way wherever they come from.
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import Literal, TypeAlias

TRACE = 5
DEBUG = logging.DEBUG
INFO = logging.INFO
WARN = logging.WARNING
ERROR = logging.ERROR
FATAL = logging.CRITICAL

LEVELS = {"fatal": FATAL, "error": ERROR, "warn": WARN, "info": INFO, "debug": DEBUG, "trace": TRACE}
"""Level names of the command line to numbers of `logging`."""

_LETTERS = ((FATAL, "F"), (ERROR, "E"), (WARN, "W"), (INFO, "I"), (DEBUG, "D"))

# Control characters but for tab and line feed, line and paragraph separators, and what turns text around.
_CONTROL = "\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069"
_UNSAFE = re.compile(f"[{_CONTROL}\n]")
_UNSAFE_IN_LAYOUT = re.compile(f"[{_CONTROL}]")

_ExcInfo: TypeAlias = (
    "tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]"
)


def logger(tool: str) -> logging.Logger:
    """The logger of a tool: `dcmnet.cli.<tool>`."""
    return logging.getLogger(f"dcmnet.cli.{tool}")


def escape(text: str) -> str:
    r"""`text` on one line and without control characters: `\x0a`, `\u2028`."""
    return _UNSAFE.sub(_escaped, text)


def level_letter(level: int) -> str:
    """The letter before every line of a level: F, E, W, I, D or T."""
    return next((letter for least, letter in _LETTERS if level >= least), "T")


class LineFormatter(logging.Formatter):
    """Puts the letter of the level before every line; subclasses put something else there."""

    def format(self, record: logging.LogRecord) -> str:
        """Every line of the message, and of the traceback if there is one."""
        text = self._message(record)
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        lines = _UNSAFE_IN_LAYOUT.sub(_escaped, text).split("\n")
        return "\n".join(self.format_line(record, line) for line in lines)

    def format_line(self, record: logging.LogRecord, line: str) -> str:
        """One line, with what goes before it."""
        return f"{level_letter(record.levelno)}: {line}"

    def formatException(self, ei: _ExcInfo) -> str:
        """The traceback; what an exception says is kept on one line."""
        if ei[1] is None:
            return ""
        parts = (part.rstrip("\n") for part in traceback.format_exception(ei[1]))
        return "\n".join(
            part if part.startswith((" ", "\n", "Traceback")) else escape(part) for part in parts
        )

    @staticmethod
    def _message(record: logging.LogRecord) -> str:
        text = record.msg if isinstance(record.msg, str) else escape(str(record.msg))
        if not record.args:
            return text
        if isinstance(record.args, Mapping):
            return text % {name: _guarded(value) for name, value in record.args.items()}
        return text % tuple(_guarded(value) for value in record.args)


class StandardStreamHandler(logging.Handler):
    """Writes to what `sys.stderr` (or `sys.stdout`) is at that moment, so that a bar can stand below."""

    def __init__(self, name: Literal["stderr", "stdout"] = "stderr") -> None:
        super().__init__()
        self._stream_name = name
        self.setFormatter(LineFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, and flush."""
        try:
            stream = getattr(sys, self._stream_name)
            stream.write(self.format(record) + "\n")
            stream.flush()
        except Exception:
            self.handleError(record)


def tell_once(handler: logging.Handler) -> logging.Handler:
    """Have a handler say once, on one line, that its output is broken: the program goes on."""
    told: list[bool] = []
    other_faults = handler.handleError

    def report(record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            other_faults(record)
        elif not told:
            told.append(True)
            with contextlib.suppress(OSError, ValueError, AttributeError):  # stderr may be what is broken
                sys.stderr.write(f"W: cannot write the log: {escape(str(error))}\n")

    handler.handleError = report  # type: ignore[method-assign]
    return handler


def configure(tool: str, *, level: str | None = None, config: str | None = None) -> None:
    """Set the logs of this process up: everything to stderr from `level` up, or as a file says.

    Args:
        tool: Name of the tool, which a configuration file may refer to.
        level: One of LEVELS; None for `warn`.
        config: Name of a configuration file, instead of the level.

    Raises:
        UsageError: The file is not one.
    """
    logging.addLevelName(TRACE, "TRACE")
    if config is not None:
        from dcmnet.cli import log_config  # rarely asked for

        log_config.apply(config, tool)
        return
    number = LEVELS[level or "warn"]
    install({"": (number, [tell_once(StandardStreamHandler())])})
    # Of the event loop's own records only warnings concern the user.
    logging.getLogger("asyncio").setLevel(max(number, WARN))


def install(settings: Mapping[str, tuple[int, list[logging.Handler]]]) -> None:
    """Give loggers, by name, a level and handlers; the root logger's name is empty."""
    for name, (level, handlers) in settings.items():
        target = logging.getLogger(name or None)
        for old in list(target.handlers):
            target.removeHandler(old)
        for handler in handlers:
            target.addHandler(handler)
        target.setLevel(level)


def emit(level: int, text: str) -> None:
    """Log `text` whatever the level is set to."""
    record = logging.LogRecord("dcmnet.cli", level, "", 0, text, None, None)
    logging.getLogger().handle(record)


class _Guarded:
    """An argument of a message that keeps to its line, whether it is shown with %s or with %r."""

    __slots__ = ("_value",)

    def __init__(self, value: object) -> None:
        self._value = value

    def __str__(self) -> str:
        return escape(str(self._value))

    def __repr__(self) -> str:
        return escape(repr(self._value))


def _guarded(value: object) -> object:
    return value if isinstance(value, (int, float)) else _Guarded(value)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
