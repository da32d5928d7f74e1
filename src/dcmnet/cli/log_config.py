"""Log configuration files: log4cplus properties, as DCMTK's tools take them, or a dictConfig in TOML or JSON.

Of log4cplus this takes: `rootLogger` and `logger.<name>` with level and appenders, `additivity.<name>`,
Console-, File-, RollingFile- and NullAppender with `Threshold`, `logToStdErr`, `File`, `Append`,
`MaxFileSize`, `MaxBackupIndex` and a PatternLayout, and `${variables}`. Logger names are DCMTK's:
`dcmtk.dcmnet` stands for `dcmnet`, `dcmtk.apps.<tool>` for `dcmnet.cli.<tool>`.
"""

from __future__ import annotations

import logging
import os
import platform
import re
import time
from typing import Any

from dcmnet.cli import logs
from dcmnet.cli.options import UsageError

_PREFIX = "log4cplus."
_LEVELS = {name.upper(): number for name, number in logs.LEVELS.items()} | {
    "WARNING": logs.WARN,
    "OFF": logs.FATAL + 10,
    "ALL": 1,
    "INHERIT": logging.NOTSET,
    "NOT_SET": logging.NOTSET,
}
_LEVEL_NAMES = {number: name.upper() for name, number in logs.LEVELS.items()}
_LOGGER_NAMES = (
    ("dcmtk.apps", "dcmnet.cli"),
    ("dcmtk.dcmnet", "dcmnet"),
    ("dcmtk.dcmtls", "dcmnet._net"),
    ("dcmtk", "dcmnet"),
)
_SIZE = re.compile(r"(\d+)\s*(KB|MB|)", re.IGNORECASE)
_SIZES = {"": 1, "KB": 1 << 10, "MB": 1 << 20}
_VARIABLE = re.compile(r"\$\{([^{}]*)\}")
_MAX_EXPANSIONS = 100
"""References that one value may lead to; a value that needs more refers to itself."""
_CONVERSION = re.compile(r"%(-?)(\d*)(?:\.(\d+))?([a-zA-Z%])(?:\{([^}]*)\})?")


def apply(name: str, tool: str) -> None:
    """Set the logs up as the file called `name` says.

    Raises:
        UsageError: The file does not exist, cannot be read, or says something impossible.
    """
    if not os.path.exists(name) or os.path.isdir(name):
        raise UsageError("Specified --log-config file does not exist")
    try:
        with open(name, "rb") as file:
            content = file.read()
    except OSError as error:
        raise UsageError("Specified --log-config file cannot be read", error.strerror or "") from None
    if name.endswith((".toml", ".json")):
        _apply_dictionary(name, content)
    else:
        _apply_properties(content.decode("utf-8", "surrogateescape"), tool)


def _apply_dictionary(name: str, content: bytes) -> None:
    import logging.config  # only needed here

    try:
        if name.endswith(".json"):
            import json  # only needed here

            settings = json.loads(content)
        else:
            import tomllib  # only needed here

            settings = tomllib.loads(content.decode())
        logging.config.dictConfig(settings)
    # dictConfig calls what the file names, and that may raise anything.
    except Exception as error:
        cause = f"{error}: {error.__cause__}" if error.__cause__ else str(error)
        raise UsageError("Specified --log-config file cannot be used", cause) from None


def _apply_properties(text: str, tool: str) -> None:
    properties = _read_properties(text, tool)
    if f"{_PREFIX}rootLogger" not in properties:
        raise UsageError("Specified --log-config file does not set up log4cplus.rootLogger")
    appenders: dict[str, logging.Handler] = {}
    settings: dict[str, tuple[int, list[logging.Handler]]] = {}
    for key, value in properties.items():
        if key == f"{_PREFIX}rootLogger":
            settings[""] = _logger_settings(key, value, properties, appenders)
        elif key.startswith(f"{_PREFIX}logger."):
            target = _logger_name(key[len(_PREFIX) + len("logger.") :])
            settings[target] = _logger_settings(key, value, properties, appenders)
        elif key.startswith(f"{_PREFIX}additivity."):
            target = _logger_name(key[len(_PREFIX) + len("additivity.") :])
            logging.getLogger(target).propagate = _truth(value)
    if not appenders:
        settings[""] = (settings[""][0], [logs.StandardStreamHandler()])
    logs.install(settings)


def _read_properties(text: str, tool: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in map(str.strip, text.splitlines()) if not line.startswith("#"))
    properties = {key.strip(): value.strip() for key, equals, value in pairs if equals}
    if not properties:
        raise UsageError("Specified --log-config file does not contain any settings")
    if not any(key.startswith(_PREFIX) for key in properties):
        raise UsageError("Specified --log-config file does not contain any valid settings")
    predefined = {
        "appname": tool,
        "hostname": platform.node(),
        "pid": str(os.getpid()),
        "date": time.strftime("%Y-%m-%d"),
        "time": time.strftime("%H-%M-%S"),
    }
    variables = {**os.environ, **predefined, **properties}
    return {key: _expand(key, value, variables) for key, value in properties.items()}


def _expand(key: str, value: str, variables: dict[str, str]) -> str:
    for _ in range(_MAX_EXPANSIONS):
        match = _VARIABLE.search(value)
        if match is None:
            return value
        value = value[: match.start()] + variables.get(match[1], "") + value[match.end() :]
    raise UsageError(f"Specified --log-config file: {key} refers to itself")


def _logger_name(name: str) -> str:
    for theirs, ours in _LOGGER_NAMES:
        if name == theirs or name.startswith(f"{theirs}."):
            return ours + name[len(theirs) :]
    return name


def _logger_settings(
    key: str, value: str, properties: dict[str, str], appenders: dict[str, logging.Handler]
) -> tuple[int, list[logging.Handler]]:
    level, *names = (part.strip() for part in value.split(","))
    if level and level.upper() not in _LEVELS:
        raise UsageError(f"Specified --log-config file: {key} has the unknown level {level}")
    for name in names:
        if name not in appenders:
            appenders[name] = _appender(name, properties)
    return _LEVELS.get(level.upper(), logging.NOTSET), [appenders[name] for name in names]


def _appender(name: str, properties: dict[str, str]) -> logging.Handler:
    prefix = f"{_PREFIX}appender.{name}"
    kind = properties.get(prefix, "")
    options = {
        key[len(prefix) + 1 :].lower(): value
        for key, value in properties.items()
        if key.startswith(f"{prefix}.")
    }
    try:
        handler = _handler(kind.rpartition("::")[2], options)
    except OSError as error:
        why = f"{error.strerror}: {options.get('file')}"
        raise UsageError(f"Specified --log-config file: appender {name} cannot open its file", why) from None
    except (KeyError, ValueError):
        why = "Console-, File-, RollingFile- and NullAppender are supported; the file ones need File"
        raise UsageError(f"Specified --log-config file: appender {name} cannot be set up", why) from None
    handler.setFormatter(PatternFormatter(options.get("layout.conversionpattern", "%P: %m")))
    handler.setLevel(_LEVELS.get(options.get("threshold", "").upper(), logging.NOTSET))
    return logs.tell_once(handler)


def _handler(kind: str, options: dict[str, str]) -> logging.Handler:
    mode = "a" if _truth(options.get("append", "false")) else "w"
    if kind == "ConsoleAppender":
        return logs.StandardStreamHandler(
            "stderr" if _truth(options.get("logtostderr", "true")) else "stdout"
        )
    if kind == "NullAppender":
        return logging.NullHandler()
    if kind == "FileAppender":
        return logging.FileHandler(options["file"], mode, encoding="utf-8", errors="backslashreplace")
    if kind == "RollingFileAppender":
        from logging.handlers import RotatingFileHandler  # only needed here

        length = _size(options.get("maxfilesize", "10MB"))
        count = int(options.get("maxbackupindex", "1"))
        return RotatingFileHandler(options["file"], mode, length, count, "utf-8", errors="backslashreplace")
    raise ValueError(kind)


def _size(text: str) -> int:
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return int(match[1]) * _SIZES[match[2].upper()]


def _truth(text: str) -> bool:
    return text.lower() in ("true", "1")


class PatternFormatter(logs.LineFormatter):
    """The conversions %m %n %p %P %c %D %d %i %t and %% of log4cplus's PatternLayout, on every line."""

    def __init__(self, pattern: str) -> None:
        super().__init__()
        self._pattern = pattern

    def format_line(self, record: logging.LogRecord, line: str) -> str:
        """One line as the pattern has it; conversions that are not known leave nothing."""
        values: dict[str, Any] = {
            "m": line,
            "p": _LEVEL_NAMES.get(record.levelno, record.levelname),
            "P": logs.level_letter(record.levelno),
            "c": record.name,
            "i": record.process,
            "t": record.thread,
            "%": "%",
        }

        def convert(match: re.Match[str]) -> str:
            left, width, most, letter, detail = match.groups()
            text = _time_text(record, letter, detail) if letter in "dD" else str(values.get(letter, ""))
            if letter == "c" and detail:
                text = ".".join(text.split(".")[-int(detail) :])
            text = text[-int(most) :] if most else text
            return text.ljust(int(width or 0)) if left else text.rjust(int(width or 0))

        return _CONVERSION.sub(convert, self._pattern).rstrip("\n")


def _time_text(record: logging.LogRecord, letter: str, detail: str | None) -> str:
    """%D is local time, %d UTC; %q in their format stands for milliseconds."""
    moment = time.localtime(record.created) if letter == "D" else time.gmtime(record.created)
    layout = (detail or "%Y-%m-%d %H:%M:%S").replace("%q", f"{int(record.msecs):03d}")
    return time.strftime(layout, moment)
