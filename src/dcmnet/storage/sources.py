"""What can be sent: files, folders, file objects and pydicom data sets, each looked at no more than needed.

A file is read up to the end of its File Meta Information to find out what it is, and sent from where its data
set begins, unparsed. pydicom is loaded only for data sets, and for files that have to be converted.
"""

from __future__ import annotations

import fnmatch
import io
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeAlias

from dcmnet import dataset
from dcmnet.errors import InputFileError
from dcmnet.payload import FileRange, Payload
from dcmnet.registry.transfer_syntaxes import is_transfer_syntax
from dcmnet.registry.uids import is_valid_uid
from dcmnet.limits import Tolerance
from dcmnet.storage.part10 import HEAD_LENGTH, guess_transfer_syntax, read_file_meta, scan_identifiers

Source: TypeAlias = "str | os.PathLike[str] | BinaryIO | Any"
"""A path, a binary file object, or a pydicom data set."""

_FIRST_READ = 4096
_TOLERATED = Tolerance.NONCONFORMING_UID
_MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"
_READ_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


@dataclass(frozen=True, slots=True)
class Instance:
    """One object to be sent.

    Attributes:
        name: The file's name, or what stands for it.
        sop_class_uid: UID.
        sop_instance_uid: UID.
        transfer_syntax: UID of the one it is in.
        source: Where it is.
        offset: Where its data set begins, in bytes.
        size: Length of its data set in bytes; 0 for a pydicom data set, which is encoded when it is sent.
    """

    name: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    source: Source
    offset: int = 0
    size: int = 0

    @property
    def convertible(self) -> bool:
        """Whether it can be sent in another uncompressed transfer syntax."""
        return self.transfer_syntax in dataset.CONVERTIBLE


class OpenDataSet:
    """An encoded data set, ready to be sent; `close` when it is."""

    __slots__ = ("_close", "payload")

    def __init__(self, payload: Payload, close: int | BinaryIO | None = None) -> None:
        self.payload = payload
        self._close = close

    def close(self) -> None:
        """Give back the file; once is enough."""
        closing, self._close = self._close, None
        if isinstance(closing, int):
            os.close(closing)
        elif closing is not None:
            closing.close()


def describe(source: Source, *, bare: bool = True) -> Instance:
    """Find out what an object is.

    Args:
        source: A path, a binary file object at the start of a file, or a pydicom data set.
        bare: Whether a data set without File Meta Information will do.

    Raises:
        InputFileError: It cannot be sent; the message says why.
    """
    if dataset.is_data_set(source):
        return _checked(_describe_data_set(source))
    if isinstance(source, str | os.PathLike):
        return _checked(_describe_path(os.fspath(source), bare))
    if isinstance(source, io.BytesIO):
        view = source.getbuffer()
        return _checked(_describe_head(view[:HEAD_LENGTH], len(view), "file object", source, bare))
    if hasattr(source, "read"):
        spooled = _spooled(source)
        size = os.fstat(spooled.fileno()).st_size
        name = str(getattr(source, "name", "file object"))
        return _checked(_describe_head(spooled.read(HEAD_LENGTH), size, name, spooled, bare))
    raise InputFileError(repr(type(source)), "is no path, no binary file object and no pydicom data set")


def open_data_set(instance: Instance, transfer_syntax: str) -> OpenDataSet:
    """Open an instance's data set in a transfer syntax: its own, or one it can be converted to.

    Raises:
        InputFileError: The file is gone, has changed its length, or cannot be converted.
    """
    source = instance.source
    if dataset.is_data_set(source):
        return OpenDataSet(dataset.encode(source, transfer_syntax, name=instance.name))
    if transfer_syntax != instance.transfer_syntax:
        return OpenDataSet(_converted(instance, transfer_syntax))
    if isinstance(source, io.BytesIO):
        return OpenDataSet(source.getbuffer()[instance.offset :])
    if not isinstance(source, str | os.PathLike):
        return OpenDataSet(FileRange(source.fileno(), instance.offset, instance.size))
    fd = _open(os.fspath(source))
    length = os.fstat(fd).st_size
    if length != instance.offset + instance.size:
        os.close(fd)
        raise InputFileError(instance.name, "has changed since it was looked at")
    return OpenDataSet(FileRange(fd, instance.offset, instance.size), fd)


def find_files(
    sources: Iterable[Source], *, recurse: bool = True, pattern: str = ""
) -> Iterator[tuple[Source, bool]]:
    """Every source, folders replaced by the files in them, in order of their names.

    Args:
        sources: What the user gave.
        recurse: Whether to go into sub-folders.
        pattern: Shell pattern that the names of files found in folders must match; empty for any.

    Returns:
        Each source, and whether it was found in a folder rather than named.
    """
    for source in sources:
        if isinstance(source, str | os.PathLike) and os.path.isdir(source):
            for path in _walk(os.fspath(source), recurse):
                if not pattern or fnmatch.fnmatch(os.path.basename(path), pattern):
                    yield path, True
        else:
            yield source, False


def _walk(folder: str, recurse: bool) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            yield os.path.join(parent, name)
        if not recurse:
            return


def _open(path: str) -> int:
    try:
        return os.open(path, _READ_FLAGS)
    except OSError as error:
        raise InputFileError(path, f"cannot be read: {error.strerror}") from error


def _describe_path(path: str, bare: bool) -> Instance:
    fd = _open(path)
    try:
        size = os.fstat(fd).st_size
        head = os.read(fd, _FIRST_READ)
        try:
            return _describe_head(head, size, path, path, False)
        except InputFileError:  # the File Meta Information is longer, or there is none
            head += os.read(fd, HEAD_LENGTH - len(head))
            return _describe_head(head, size, path, path, bare)
    except OSError as error:
        raise InputFileError(path, f"cannot be read: {error.strerror}") from error
    finally:
        os.close(fd)


def _describe_head(head: bytes | memoryview, size: int, name: str, source: Source, bare: bool) -> Instance:
    try:
        meta, offset = read_file_meta(head, name)
    except InputFileError:
        instance = _describe_bare(head, size, name, source) if bare else None
        if instance is None:
            raise
        return instance
    uids = (meta.sop_class_uid, meta.sop_instance_uid, meta.transfer_syntax)
    return Instance(name, *uids, source, offset, size - offset)


def _describe_bare(head: bytes | memoryview, size: int, name: str, source: Source) -> Instance | None:
    transfer_syntax = guess_transfer_syntax(head)
    if transfer_syntax is None:
        return None
    found = scan_identifiers(head, transfer_syntax)
    if not (found.sop_class_uid and found.sop_instance_uid):
        return None
    return Instance(name, found.sop_class_uid, found.sop_instance_uid, transfer_syntax, source, 0, size)


def _describe_data_set(source: Any) -> Instance:
    class_uid = str(source.get("SOPClassUID", "") or "")
    instance_uid = str(source.get("SOPInstanceUID", "") or "")
    name = str(getattr(source, "filename", None) or f"data set {instance_uid}")
    if not class_uid or not instance_uid:
        raise InputFileError(name, "has no SOP Class UID (0008,0016) or no SOP Instance UID (0008,0018)")
    return Instance(name, class_uid, instance_uid, dataset.transfer_syntax_of(source), source)


def _checked(instance: Instance) -> Instance:
    if instance.sop_class_uid == _MEDIA_STORAGE_DIRECTORY:
        raise InputFileError(instance.name, "is a DICOMDIR, which is not stored but read")
    for what, uid in (("SOP Class", instance.sop_class_uid), ("SOP Instance", instance.sop_instance_uid)):
        if not is_valid_uid(uid, _TOLERATED):
            raise InputFileError(instance.name, f"{uid!r} is no valid {what} UID (PS3.5 9.1)")
    known = is_transfer_syntax(instance.transfer_syntax)
    if not known and not is_valid_uid(instance.transfer_syntax, _TOLERATED):
        raise InputFileError(instance.name, f"{instance.transfer_syntax!r} is no transfer syntax UID")
    return instance


def _converted(instance: Instance, transfer_syntax: str) -> bytes:
    source = instance.source
    if isinstance(source, str | os.PathLike):
        return dataset.convert(source, transfer_syntax, name=instance.name)
    source.seek(0)
    return dataset.convert(source, transfer_syntax, name=instance.name)


def _spooled(source: BinaryIO) -> BinaryIO:
    """A file object with a descriptor: the source itself, or a temporary file with what it has."""
    try:
        os.fstat(source.fileno())
        source.seek(0)
        return source
    except (OSError, AttributeError):
        spooled: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the instance
        shutil.copyfileobj(source, spooled)
        spooled.flush()
        spooled.seek(0)
        return spooled
