"""A folder for received objects, on the disk that the objects are on."""

from __future__ import annotations

import atexit
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from benchmarks.objects import cache_folder


@contextmanager
def scratch() -> Iterator[Path]:
    """The folder; empty again afterwards."""
    folder = _root() / "received"
    folder.mkdir(exist_ok=True)
    try:
        yield folder
    finally:
        empty(folder)


def empty(folder: Path) -> None:
    """Take the files out of the way: emptied and put aside, not removed.

    For some seconds after a file was removed ext4 looks at its inode again and again when a file is created,
    which would be most of what is measured.
    """
    for path in folder.iterdir():
        os.truncate(path, 0)
        path.rename(_root() / "done" / uuid.uuid4().hex)


@cache
def _root() -> Path:
    root = cache_folder() / f"scratch.{uuid.uuid4().hex}"
    (root / "done").mkdir(parents=True)
    atexit.register(shutil.rmtree, root)
    return root
