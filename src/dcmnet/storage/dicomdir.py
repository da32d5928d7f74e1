"""The files that a DICOMDIR lists (PS3.3 Annex F, PS3.10 8), found within its folder and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

from dcmnet.dataset.directories import referenced_files
from dcmnet.errors import InputFileError
from dcmnet.limits import MAX_DICOMDIR_LENGTH

NAME = "DICOMDIR"

_FORBIDDEN = frozenset('/\\\0:*?"<>|')
_MOST_COMPONENTS = 8
"""PS3.10 8.2: a File ID has one to eight components."""


def find_files(sources: Iterable[Any]) -> Iterator[tuple[Any, bool]]:
    """The files that DICOMDIR files list, in their order.

    Args:
        sources: Paths of DICOMDIR files, or of folders that have one.

    Returns:
        The path of each file, or an `InputFileError` where it cannot be had; and False, as no file was found
        by chance.
    """
    for source in sources:
        try:
            path, components = _read(source)
        except InputFileError as error:
            yield error, False
            continue
        folder = os.path.dirname(path) or "."
        for each in components:
            try:
                yield resolve(folder, each, path), False
            except InputFileError as error:
                yield error, False


def _read(source: Any) -> tuple[str, list[tuple[str, ...]]]:
    if not isinstance(source, str | os.PathLike):
        raise InputFileError(repr(type(source)), "is no path of a DICOMDIR")
    path = os.fspath(source)
    if os.path.isdir(path):
        path = _in_folder(path, NAME) or os.path.join(path, NAME)
    try:
        length = os.path.getsize(path)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise InputFileError(path, f"cannot be read: {why}") from error
    if length > MAX_DICOMDIR_LENGTH:
        raise InputFileError(path, f"is longer than {MAX_DICOMDIR_LENGTH} bytes, which no DICOMDIR should be")
    return path, referenced_files(path)


def resolve(folder: str, components: tuple[str, ...], name: str) -> str:
    """The path of a referenced file.

    A File ID has upper-case letters only; where a medium was copied in lower case, that is found as well.

    Args:
        folder: Where the DICOMDIR is.
        components: The Referenced File ID (0004,1500).
        name: The DICOMDIR's name, for errors.

    Raises:
        InputFileError: It leads out of the folder, is no File ID, or there is no such file.
    """
    shown = "\\".join(components)
    if not 1 <= len(components) <= _MOST_COMPONENTS or not all(map(_is_component, components)):
        raise InputFileError(name, f"lists {shown!r}, which is no File ID (PS3.10 8.2)")
    path = folder
    for component in components:
        found = _in_folder(path, component)
        if found is None:
            raise InputFileError(os.path.join(folder, *components), f"is listed in {name}, and not there")
        path = found
    top = os.path.realpath(folder)
    if os.path.commonpath((top, os.path.realpath(path))) != top:
        raise InputFileError(name, f"lists {shown!r}, which is a link out of its folder")
    return path


def _is_component(component: str) -> bool:
    return component not in ("", ".", "..") and not _FORBIDDEN & set(component)


def _in_folder(folder: str, name: str) -> str | None:
    path = os.path.join(folder, name)
    if os.path.lexists(path):
        return path
    try:
        entries = sorted(os.listdir(folder))
    except OSError:
        return None
    return next((os.path.join(folder, each) for each in entries if each.upper() == name.upper()), None)
