"""Files that become visible only when they are complete.

Everything is written to a hidden file in the target directory, which gets its name in one step when all bytes
are there. Whatever happens before, nobody sees half an object.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dcmnet.arguments import kind_of

PARTIAL_PREFIX = ".dcmnet-"
PARTIAL_SUFFIX = ".part"
IOV_MAX = 1024
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)

_RUN = _HIDDEN = ""
_NUMBERS = itertools.count()


def _begin_run() -> None:
    """Make hidden names unlike those of every other process, and of this one before."""
    global _RUN, _HIDDEN
    _RUN = os.urandom(8).hex()
    _HIDDEN = f"{PARTIAL_PREFIX}{_RUN}-"


_begin_run()
getattr(os, "register_at_fork", lambda **_: None)(after_in_child=_begin_run)  # Windows cannot fork


def current_run() -> str:
    """What the hidden names of this process have in common, and those of no other."""
    return _RUN


def existing_folder(folder: Any, name: str) -> Path:
    """An argument that is the path of a folder, as a `Path`.

    Raises:
        TypeError: It is no path.
        FileNotFoundError: There is no such folder.
        NotADirectoryError: It is a file.
    """
    if not isinstance(folder, str | os.PathLike):
        raise TypeError(f"{name}: {kind_of(folder)}, expected the path of a folder")
    path = Path(folder)
    if not path.is_dir():
        if path.exists():
            raise NotADirectoryError(errno.ENOTDIR, f"{name}: is no folder", str(path))
        raise FileNotFoundError(errno.ENOENT, f"{name}: the folder does not exist, make it first", str(path))
    return path


def remove_leftovers(directory: str | os.PathLike[str], run: str) -> int:
    """Remove the hidden files of a process that has died; how many there were.

    Args:
        directory: Where it kept them.
        run: Its `current_run`; a process that lives must not lose its files.
    """
    removed = 0
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith(f"{PARTIAL_PREFIX}{run}-") and entry.name.endswith(PARTIAL_SUFFIX):
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)
                    removed += 1
    return removed


class Duplicates(enum.Enum):
    """What happens to an object whose file name is taken."""

    REPLACE = "replace"
    """The new one takes the place of the old one, in one step."""
    KEEP = "keep"
    """The old one stays; the new one is not kept, and answered with success."""
    RENAME = "rename"
    """The new one gets a name of its own: `name.1`, `name.2`, ..."""
    REFUSE = "refuse"
    """The new one is answered with 0111 (duplicate SOP instance)."""


_REPLACE = Duplicates.REPLACE  # to look it up takes longer than to compare with it


def make_folders(directory: str | os.PathLike[str], parts: Sequence[str], *, fsync: bool) -> str:
    """Make folders in one another below `directory`, as far as they are missing; returns the last one's path.

    Raises:
        OSError: One could not be made, or something else has its name.
    """
    path = os.fspath(directory)
    for part in parts:
        above, path = path, os.path.join(path, part)
        try:
            os.mkdir(path)
        except FileExistsError:
            if not os.path.isdir(path):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from None
        else:
            if fsync:
                _sync_directory(above)
    return path


class PartialFile:
    """A file that is being written and is not visible yet. One that is dropped removes itself.

    It is made when its first bytes are written; until then there is nothing to clean up.

    Args:
        directory: Where it will be; must exist.
        header: Its first bytes, written together with the first data.

    Attributes:
        directory: As a text.
        name: Its hidden name, with the directory.
        size: Bytes written so far, the header among them.
        header_length: Of the header, in bytes.
    """

    __slots__ = ("_exists", "_fd", "_header", "directory", "header_length", "name", "size")

    def __init__(self, directory: str | os.PathLike[str], header: bytes) -> None:
        self.directory = folder = os.fspath(directory)
        before = f"{folder}{os.sep}{_HIDDEN}" if folder else _HIDDEN
        self.name = f"{before}{next(_NUMBERS)}{PARTIAL_SUFFIX}"
        self.size = 0
        self._header: bytes | None = header
        self.header_length = len(header)
        self._fd: int | None = None
        self._exists = False

    def __del__(self) -> None:
        if self._exists:
            with contextlib.suppress(OSError):
                self.discard()

    def write(self, views: Sequence[bytes | memoryview]) -> None:
        """Append all the bytes of `views`.

        Raises:
            OSError: The file could not be made, or they could not all be written.
        """
        fd = self._fd
        if self._header is not None:
            fd = self._fd = os.open(self.name, _FLAGS, 0o666)
            self._exists = True
            views = [self._header, *views]
            self._header = None
        assert fd is not None
        if len(views) <= IOV_MAX:
            self.size += _write_all(fd, views)
            return
        for first in range(0, len(views), IOV_MAX):
            self.size += _write_all(fd, views[first : first + IOV_MAX])

    def finish(self, *, fsync: bool) -> None:
        """Close the file, all of whose bytes are written now; with `fsync` they are on the disk as well."""
        if self._header is not None:
            self.write(())
        if self._fd is None:
            return
        if fsync:
            os.fsync(self._fd)
        self._close()

    def publish(self, path: str, duplicates: Duplicates, *, fsync: bool = False) -> str | None:
        """Give the file its name.

        Returns:
            The path it has now: `path`, or one beside it; None when the name was taken and `duplicates` says
            to keep what is there.

        Raises:
            FileExistsError: The name was taken and `duplicates` says to refuse.
            OSError: The disk refused; nothing has that name that was not there before. One exception: with
                `fsync` the folder goes to the disk after the file has its name, which it keeps if that fails.
        """
        if fsync or self._fd is None:
            self.finish(fsync=fsync)
        else:
            self._close()
        if duplicates is _REPLACE:
            os.replace(self.name, path)
            published: str | None = path
        else:
            published = self._publish_beside(path, duplicates)
        self._exists = published is None
        if fsync:
            _sync_directory(os.path.dirname(path) or os.curdir)
        return published

    def discard(self) -> None:
        """Remove the file; nothing happens when it is gone, or published, already.

        Raises:
            OSError: It cannot be removed.
        """
        if not self._exists:
            return
        self._exists = False
        try:
            self._close()
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.name)

    def _publish_beside(self, path: str, duplicates: Duplicates) -> str | None:
        number = 0
        while True:
            target = path if number == 0 else f"{path}.{number}"
            try:
                rename_exclusively(self.name, target)
                return target
            except FileExistsError:
                if duplicates is Duplicates.REFUSE:
                    raise
                if duplicates is Duplicates.KEEP:
                    return None
            number += 1

    def _close(self) -> None:
        if self._fd is not None:
            fd, self._fd = self._fd, None
            os.close(fd)


def _write_all(fd: int, views: Sequence[bytes | memoryview]) -> int:
    total = sum(map(len, views))
    written = 0
    if views and hasattr(os, "writev"):
        written = os.writev(fd, views)
        if written == total:
            return total
    for view in views:  # the rest of a short write: a full disk shows as an error now
        if written >= len(view):
            written -= len(view)
            continue
        rest = memoryview(view)[written:]
        written = 0
        while rest:
            rest = rest[os.write(fd, rest) :]
    return total


def rename_exclusively(source: str, target: str) -> None:
    """Rename without replacing: a hard link fails where the name is taken."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS, errno.EINVAL):
            raise
        _take_and_replace(source, target)
        return
    with contextlib.suppress(OSError):  # it has its name, and the hidden one harms nobody
        os.unlink(source)


def _take_and_replace(source: str, target: str) -> None:
    """For a file system without hard links: take the name with an empty file, then replace that."""
    os.close(os.open(target, _FLAGS, 0o666))
    try:
        os.replace(source, target)
    except BaseException:
        os.unlink(target)
        raise


def _sync_directory(directory: str) -> None:
    if os.name != "posix":
        return
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
