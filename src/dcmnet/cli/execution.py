"""Runs the commands of `-xcr` and `-xcs`: without a shell, a bounded number at a time, none left behind.

The text of the option is split into words once. A placeholder is replaced inside its word, which is never
split again: whatever a peer calls itself, it stays one argument, and cannot become an option.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
from collections.abc import Mapping
from logging import Logger

from dcmnet.cli.options import UsageError
from dcmnet.limits import LONGEST_NAME_PART, MAX_RUNNING_COMMANDS

_SIGNS = frozenset(" -.:@_")
_SHELL_SIGNS = frozenset((">", ">>", "<", "|", "||", "&", "&&", ";", "2>", "2>&1"))
_VARIABLES = {
    "a": "DCMNET_CALLING_AE_TITLE",
    "c": "DCMNET_CALLED_AE_TITLE",
    "f": "DCMNET_FILE",
    "p": "DCMNET_DIRECTORY",
    "r": "DCMNET_PEER",
}


class Command:
    """A command with placeholders: #p folder, #f file name, #a calling and #c called AE title, #r peer.

    Args:
        text: As on the command line.
        option: Long spelling of the option it came with.

    Raises:
        UsageError: The text cannot be split into words.
    """

    def __init__(self, text: str, option: str) -> None:
        try:
            self.words = shlex.split(text)
        except ValueError as error:
            raise UsageError(f"Invalid value for option {option} ({error}: {text})") from None
        if not self.words:
            raise UsageError(f"Invalid value for option {option}", "it names no command")
        signs = [word for word in self.words if word in _SHELL_SIGNS or word.endswith(";")]
        self.warning = (
            f"{option}: there is no shell, {signs[0]} is an argument like any other; "
            "let sh -c '...' run a script, which finds the values in $DCMNET_FILE and the like"
            if signs
            else ""
        )

    def uses(self, placeholder: str) -> bool:
        """Whether a placeholder stands in it."""
        return any(f"#{placeholder}" in word for word in self.words)

    def arguments(self, values: Mapping[str, str]) -> list[str]:
        """The words with the values in the place of the placeholders; a value is not looked into again."""
        return [_filled(word, values) for word in self.words]


def _filled(word: str, values: Mapping[str, str]) -> str:
    first, *rest = word.split("#")
    parts = [first]
    for part in rest:
        value = values.get(part[:1])
        parts.append(f"#{part}" if value is None else value + part[1:])
    return "".join(parts)


def cleaned(value: str) -> str:
    """A value off the wire that no program takes for an option, and no shell for more than a word.

    Letters, digits, blanks and `-.:@_` are kept as DCMTK keeps them, everything else becomes `_`, as does a
    sign at the beginning.
    """
    kept = "".join(
        each if (each.isascii() and each.isalnum()) or each in _SIGNS else "_" for each in value.strip(" ")
    )
    first = kept[:1]
    return ("_" + kept[1:] if first and not first.isalnum() else kept)[:LONGEST_NAME_PART]


def safe_path(path: str) -> str:
    """A path that no program takes for an option."""
    return os.path.join(os.curdir, path) if path[:1] in ("-", "+") else path


class Runner:
    """Starts commands and looks after them until they end.

    Args:
        log: Gets what went wrong.
        wait: Whether `run` returns only when the command has ended.
        limit: So many at a time; one more waits until another has ended.
        output: Where they write, if not to this program's standard output.
    """

    def __init__(
        self, log: Logger, *, wait: bool = False, limit: int = MAX_RUNNING_COMMANDS, output: int | None = None
    ) -> None:
        self._log = log
        self._wait = wait
        self._room = threading.BoundedSemaphore(limit)
        self._output = output
        self._threads: set[threading.Thread] = set()
        self._lock = threading.Lock()

    def run(self, command: Command, values: Mapping[str, str]) -> None:
        """Start a command; problems are logged, never raised.

        Args:
            command: The command.
            values: By the letter of their placeholder. They are the command's environment variables too.
        """
        arguments = command.arguments(values)
        environment = os.environ | {_VARIABLES[letter]: value for letter, value in values.items()}
        self._room.acquire()
        try:
            process = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=self._output, env=environment
            )
        except (OSError, ValueError) as error:
            self._room.release()
            self._log.error("cannot execute %s: %s", arguments[0], error)
            return
        self._log.debug("executing: %s", shlex.join(arguments))
        if self._wait:
            self._await(process, arguments[0])
            return
        thread = threading.Thread(target=self._await, args=(process, arguments[0]), daemon=True)
        with self._lock:
            self._threads.add(thread)
        thread.start()

    def finish(self, seconds: float) -> None:
        """Wait until what was started has ended, so many seconds at most; it is left running then."""
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(seconds)

    def _await(self, process: subprocess.Popen[bytes], name: str) -> None:
        try:
            code = process.wait()
        finally:
            self._room.release()
            with self._lock:
                self._threads.discard(threading.current_thread())
        if code > 0:
            self._log.error("%s ended with exit code %d", name, code)
        elif code < 0:
            self._log.error("%s was ended by signal %d", name, -code)


def output_beside_json(json: bool) -> int | None:
    """Where commands write when standard output is for JSON lines: standard error."""
    if not json:
        return None
    sys.stderr.flush()
    return sys.__stderr__.fileno() if sys.__stderr__ is not None else subprocess.DEVNULL
