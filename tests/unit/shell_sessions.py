"""Interactive shells on a pseudo-terminal, for what only they can tell."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import time
from pathlib import Path

DEADLINE = 20.0

_STARTS = {
    "bash": ["bash", "--noprofile", "--norc", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
_BEFORE = {
    "bash": "",
    "zsh": "autoload -Uz compinit && compinit -D -u; unsetopt auto_menu; ",
    "fish": "",
}
_ARGUMENTS_SHOWN = {
    "bash": "{name}() {{ printf '<%s>' \"$@\"; echo; }}; ",
    "zsh": "{name}() {{ printf '<%s>' \"$@\"; echo; }}; ",
    "fish": "function {name}; printf '<%s>' $argv; echo; end; ",
}


class ShellSession:
    """A shell that has read a file, and prints the arguments of some commands instead of calling them."""

    def __init__(self, shell: str, folder: Path, script: Path, commands: tuple[str, ...]) -> None:
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "TERM": "xterm", "LC_ALL": "C.UTF-8",
            "XDG_DATA_HOME": str(folder / ".data"), "XDG_CONFIG_HOME": str(folder / ".config"),
        }  # fmt: skip
        self.seen = b""
        self._pid, self._terminal = pty.fork()
        if not self._pid:
            try:
                os.chdir(folder)
                os.execvpe(_STARTS[shell][0], _STARTS[shell], environment)
            finally:
                os._exit(127)
        shown = "".join(_ARGUMENTS_SHOWN[shell].format(name=name) for name in commands)
        self.enter(f"{_BEFORE[shell]}{shown}source {script}; echo 'rea''dy'", "ready")

    def enter(self, line: str, expected: str) -> None:
        """Type a line and Enter; returns when `expected` was printed.

        Raises:
            AssertionError: It was not.
        """
        self.seen = b""
        self._write(line.encode() + b"\r")
        deadline = time.monotonic() + DEADLINE
        while expected.encode() not in self.seen:
            ready, _, _ = select.select([self._terminal], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{expected!r} did not come, but {self.seen!r}"
            self.seen += os.read(self._terminal, 65536)

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._terminal, data) :]

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._terminal)
