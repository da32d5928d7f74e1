"""Writes the short commands of `dcmnet link`."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys

from dcmnet.cli import catalogue
from dcmnet.cli.link import COMMAND
from dcmnet.cli.options import Arguments, UsageError

MARK = "made by `dcmnet link`"
_WITHIN = 400
"""The mark is among so many bytes at the beginning."""


def link(arguments: Arguments) -> int:
    """Write the commands; returns the exit code.

    Raises:
        UsageError: The directory cannot be used, or has something else of such a name; nothing was written.
    """
    folder: str = os.path.expanduser(arguments.directory)
    if not os.path.isdir(folder):
        raise UsageError(f"{folder} is not a directory", "make it first, or name one that is there")
    if any(sign in sys.executable for sign in "\r\n") or not sys.executable:
        raise UsageError("the Python that runs this cannot be named in a command")
    texts = {
        os.path.join(folder, file_name(name, arguments.kind)): text_for(name, arguments.kind)
        for name in catalogue.plain_names()
    }
    _check(list(texts), force="--force" in arguments)
    for path, text in texts.items():
        try:
            _write(path, text)
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from None
        print(path)
    _tell_what_comes_first(folder)
    return 0


def file_name(name: str, kind: str) -> str:
    """What the command of a tool is called."""
    return f"{name}.cmd" if kind == COMMAND else name


def text_for(name: str, kind: str) -> str:
    """The command that calls a tool by this Python.

    -P: nothing is taken from the folder that one happens to be in.
    """
    if kind == COMMAND:
        python = sys.executable.replace("%", "%%")
        return f'@rem {MARK}\r\n@"{python}" -P -m dcmnet {name} %*\r\n'
    return f'#!/bin/sh\n# {MARK}\nexec {shlex.quote(sys.executable)} -P -m dcmnet {name} "$@"\n'


def _check(paths: list[str], *, force: bool) -> None:
    """Raise UsageError where something is in the way."""
    foreign = [path for path in paths if os.path.lexists(path) and not _is_ours(path)]
    folders = [path for path in foreign if os.path.isdir(path) and not os.path.islink(path)]
    if folders:
        raise UsageError(f"{folders[0]} is a directory", "nothing was written")
    if foreign and not force:
        listed = ", ".join(os.path.basename(path) for path in foreign)
        raise UsageError(
            f"there are files that are not of dcmnet: {listed}",
            "nothing was written; --force replaces them, another directory leaves them",
        )


def _is_ours(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return not os.path.islink(path) and MARK.encode() in file.read(_WITHIN)
    except OSError:
        return False


def _write(path: str, text: str) -> None:
    """Whole or not at all, and never through a symbolic link."""
    new = f"{path}.{os.getpid()}.new"
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o777)
        with open(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(text)
        os.replace(new, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(new)
        raise


def _tell_what_comes_first(folder: str) -> None:
    """On standard error: which names still stand for something else."""
    others = []
    for name in catalogue.plain_names():
        found = shutil.which(name)
        if found is None or not os.path.samefile(os.path.dirname(found), folder):
            others.append(f"{name}: {found or 'not found'}")
    if others:
        sys.stderr.write(f"PATH does not lead to these: {folder} is not in it, or not before\n")
        sys.stderr.writelines(f"  {line}\n" for line in others)
