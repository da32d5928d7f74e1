"""What can be sent: files, folders, file objects and pydicom data sets, each looked at no more than needed.

A file is read up to the end of its File Meta Information to find out what it is, and sent from where its data
set begins, unparsed. pydicom is loaded only for data sets, and for files that have to be converted.
"""

from __future__ import annotations

import contextlib
import fnmatch
import io
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, BinaryIO, TypeAlias

from dcmnet import dataset
from dcmnet._records import dataclass, replace
from dcmnet.arguments import kind_of
from dcmnet.dataset import Encoding
from dcmnet.errors import InputFileError
from dcmnet.limits import MAX_CONVERTED_LENGTH, READ_AHEAD_LENGTH, SMALL_DATA_SET_LENGTH, Tolerance
from dcmnet.payload import FileRange, Payload
from dcmnet.registry.sop_classes import is_another_service
from dcmnet.registry.transfer_syntaxes import is_deflated, is_implicit, is_transfer_syntax
from dcmnet.registry.uids import is_valid_uid, name_of
from dcmnet.storage.completeness import Place, check_data_set, ends_with_pixel_data
from dcmnet.storage.contents import Contents
from dcmnet.storage.elements import HEAD_LENGTH, guess_transfer_syntax
from dcmnet.storage.files import PARTIAL_PREFIX, PARTIAL_SUFFIX
from dcmnet.storage.identity import scan_identifiers
from dcmnet.storage.part10 import FileMeta, begin_of, has_file_meta, read_file_meta

Source: TypeAlias = "str | os.PathLike[str] | BinaryIO | Any"
"""A path, a binary file object, or a pydicom data set."""

FIRST_READ = 4096
"""Bytes of a file in which its File Meta Information most probably ends."""

_TOLERATED = Tolerance.NONCONFORMING_UID
_MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"
_PREFIX = slice(128, 132)
_IDENTITY = (0x00080016, 0x00080018)
_READ_FLAGS = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_READ_FLAGS |= getattr(os, "O_NONBLOCK", 0)  # a named pipe that nobody writes to must not hold us up


def as_sources(sources: Source | Iterable[Source]) -> Iterable[Source]:
    """One source or many, as many.

    Raises:
        TypeError: It is neither.
    """
    if is_source(sources):
        return (sources,)
    if not isinstance(sources, Iterable) or isinstance(sources, bytes | bytearray | memoryview):
        raise _no_source(sources, "sources")
    return sources


def is_source(value: object) -> bool:
    """Whether this can be one object that is sent, or a folder of them, by its type."""
    return isinstance(value, str | os.PathLike) or hasattr(value, "read") or dataset.is_data_set(value)


def check_source(value: object) -> None:
    """Raise for an argument that cannot be one object.

    Raises:
        TypeError: It is no path, no file object and no data set.
    """
    if not is_source(value):
        raise _no_source(value, "source")


def _no_source(value: object, name: str) -> TypeError:
    return TypeError(f"{name}: {kind_of(value)}, expected a path, a binary file object or a pydicom data set")


class ForeignFile(InputFileError):
    """A file that is no DICOM object to be stored: one that is found in a folder is passed over."""


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
        modified: When its file was last modified, in nanoseconds since 1970; 0 where there is no file.
        changes: Values, by keyword, that its data set gets before it is sent.
    """

    name: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: str
    source: Source
    offset: int = 0
    size: int = 0
    modified: int = 0
    changes: Mapping[str, str] | None = None


class OpenDataSet:
    """An encoded data set, ready to be sent; `close` when it is. One that is dropped closes itself."""

    __slots__ = ("_close", "_source", "payload")

    def __init__(self, payload: Payload, close: int | None = None, source: object = None) -> None:
        self.payload = payload
        self._close = close
        self._source = source  # it must not go while its descriptor is in use

    def close(self) -> None:
        """Give back the file; once is enough."""
        closing, self._close = self._close, None
        if closing is not None:
            os.close(closing)

    def __del__(self) -> None:
        self.close()


class DataSetOpener:
    """Opens one data set after the other, and reads those that are not too large.

    What is read is closed at once; what is not stays open until the next one is opened, or `close`.

    Args:
        encoding: How data sets are encoded that do not go out as they are.
        contents: What is there of some of them already.
    """

    __slots__ = ("_buffer", "_contents", "_encoding", "_opened")

    def __init__(self, encoding: Encoding = dataset.AS_USUAL, contents: Contents | None = None) -> None:
        self._encoding = encoding
        self._contents = Contents(0) if contents is None else contents
        self._opened: OpenDataSet | None = None
        self._buffer = bytearray()

    def open(self, instance: Instance, transfer_syntax: str) -> Payload:
        """Close the data set before, and open this one; arguments and errors as for `open_data_set`.

        Returns:
            The encoded data set. One that was read and is no small one is valid until the next such one.
        """
        if self._opened is not None:
            self.close()
        content = self._contents.take(instance)
        if (
            content is not None
            and transfer_syntax == instance.transfer_syntax
            and (content.era == self._contents.era or _is_unchanged(instance))
        ):
            return content.data_set
        opened = open_data_set(instance, transfer_syntax, self._encoding)
        payload = opened.payload
        if not isinstance(payload, FileRange):
            return payload
        if payload.count <= READ_AHEAD_LENGTH and (data := self._read(payload)) is not None:
            opened.close()
            return data
        self._opened = opened
        return payload

    def _read(self, part: FileRange) -> Payload | None:
        """The bytes; None where they cannot be had: who sends them will say what is wrong with the file."""
        if not hasattr(os, "preadv"):
            return None
        try:
            if part.count <= SMALL_DATA_SET_LENGTH:
                data = os.pread(part.fd, part.count, part.offset)
                return data if len(data) == part.count else None
            if len(self._buffer) < part.count:
                self._buffer = bytearray(part.count)
            view = memoryview(self._buffer)[: part.count]
            return view if os.preadv(part.fd, [view], part.offset) == part.count else None
        except OSError:
            return None

    def close(self) -> None:
        """Close the last data set; nothing happens when there is none."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None


def describe(
    source: Source, *, meta: bool = True, bare: bool = True, uid_checks: bool = True, check: bool = True
) -> Instance:
    """Find out what an object is.

    Args:
        source: A path, a binary file object, or a pydicom data set. What a file object has is read from its
            start, or from where it is when it cannot go back.
        meta: Whether a file with File Meta Information will do.
        bare: Whether a data set without File Meta Information will do.
        uid_checks: Whether UIDs must be valid ones (PS3.5 9.1), and the SOP class one that can be stored; one
            that the standard does not know can.
        check: Whether a file must be whole, and in the transfer syntax that it is labelled with.

    Raises:
        ForeignFile: It is no DICOM object to be stored.
        InputFileError: It cannot be sent; the message says why.
    """
    if dataset.is_data_set(source):
        return checked(_describe_data_set(source), meta=True, uid_checks=uid_checks)
    if isinstance(source, str | os.PathLike):
        return look_into(
            os.fspath(source),
            lambda fd, path, status: _examined(
                describe_start(fd, b"", path, status, bare), reader_of(fd), meta, uid_checks, check
            ),
        )
    name = str(getattr(source, "name", None) or "file object")
    if isinstance(source, io.TextIOBase):
        raise InputFileError(name, "is a text file object: open it in binary mode")
    if not hasattr(source, "read"):
        raise InputFileError(repr(type(source)), "is no path, no binary file object and no pydicom data set")
    try:
        if not isinstance(source, io.BytesIO) and not _is_plain_file(source):
            source = _Spool(_spooled(source))
        with rewound(source) as file:
            instance = _describe_head(file.read(HEAD_LENGTH), file.seek(0, io.SEEK_END), name, source, bare)
            return _examined(instance, _reading(file), meta, uid_checks, check)
    except (OSError, ValueError) as error:
        raise InputFileError(name, f"cannot be read: {_reason(error)}") from error


def _examined(
    instance: Instance, read: Callable[[int, int], bytes], meta: bool, uid_checks: bool, check: bool
) -> Instance:
    checked(instance, meta=meta, uid_checks=uid_checks)
    if check:
        check_whole(instance, read(0, FIRST_READ), read)
    return instance


def open_data_set(
    instance: Instance, transfer_syntax: str, encoding: Encoding = dataset.AS_USUAL
) -> OpenDataSet:
    """Open an instance's data set in a transfer syntax: its own, or one it can be converted to.

    Args:
        instance: The instance.
        transfer_syntax: UID.
        encoding: How it is encoded where it does not go out as it is.

    Raises:
        InputFileError: The file is gone, has changed its length, or cannot be converted.
    """
    source = instance.source
    if dataset.is_data_set(source):
        return OpenDataSet(
            dataset.encode(
                source, transfer_syntax, name=instance.name, encoding=encoding, changes=instance.changes
            )
        )
    try:
        opened = _opened(instance)
    except (OSError, ValueError) as error:
        raise InputFileError(instance.name, f"cannot be read: {_reason(error)}") from error
    if opened is None:
        raise InputFileError(instance.name, "has changed since it was looked at")
    as_it_is = transfer_syntax == instance.transfer_syntax and instance.changes is None
    if as_it_is and (encoding.new_vr or is_implicit(transfer_syntax)):
        # PS3.8 Annex E: the fragments of a message have an even length, and so has a data set.
        if instance.size % 2 == 0:
            return opened
        if is_deflated(transfer_syntax):
            return _padded(opened, instance)
    opened.close()
    return OpenDataSet(_converted(instance, transfer_syntax, encoding))


def _padded(opened: OpenDataSet, instance: Instance) -> OpenDataSet:
    # PS3.5 A.5: a deflated stream of odd length is followed by one NUL.
    payload = opened.payload
    if len(payload) > MAX_CONVERTED_LENGTH:
        why = f"has {len(payload)} bytes, an odd number, and only up to {MAX_CONVERTED_LENGTH} can be padded"
        raise InputFileError(instance.name, why)
    if isinstance(payload, FileRange):
        data = reader_of(payload.fd)(payload.offset, payload.count)
        opened.close()
        if len(data) != payload.count:
            raise InputFileError(instance.name, "has changed since it was looked at")
    else:
        data = bytes(payload)
    return OpenDataSet(data + b"\0")


def _opened(instance: Instance) -> OpenDataSet | None:
    """The data set as it is; None when the file has another length by now."""
    source, length = instance.source, instance.offset + instance.size
    if isinstance(source, io.BytesIO):
        view = source.getbuffer()
        return OpenDataSet(view[instance.offset :]) if len(view) == length else None
    if not isinstance(source, str | os.PathLike):
        fd = source.fileno()
        same = os.fstat(fd).st_size == length
        payload = FileRange(fd, instance.offset, instance.size)
        return OpenDataSet(payload, source=source) if same else None
    fd = os.open(source, _READ_FLAGS)
    opened = OpenDataSet(FileRange(fd, instance.offset, instance.size), fd)
    return opened if os.fstat(fd).st_size == length else None


def _is_unchanged(instance: Instance) -> bool:
    """Whether a file is the one that was looked at; who opens it again will say what is wrong with it."""
    try:
        status = os.stat(instance.source)  # type: ignore[arg-type]  # a path, as what was kept is that of one
    except OSError:
        return False
    length = instance.offset + instance.size
    return status.st_mtime_ns == instance.modified and status.st_size == length


def find_files(
    sources: Iterable[Source], *, recurse: bool = True, pattern: str = ""
) -> Iterator[tuple[Source, bool]]:
    """Every source, folders replaced by the files in them, in order of their names.

    Links to folders are not followed, and files that a Storage SCP is still writing are left out. A
    sub-folder that cannot be read comes up itself, as if it had been named.

    Args:
        sources: What the user gave.
        recurse: Whether to go into sub-folders.
        pattern: Shell pattern that the names of files found in folders must match; empty for any.

    Returns:
        Each source, and whether it was found in a folder rather than named.
    """
    for source in sources:
        if isinstance(source, str | os.PathLike) and os.path.isdir(source):
            yield from _walk(os.fspath(source), recurse, pattern)
        else:
            yield source, False


def _walk(folder: str, recurse: bool, pattern: str) -> Iterator[tuple[str, bool]]:
    unreadable: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=unreadable.append):
        folders.sort()
        if not recurse:
            folders.clear()
        files.sort()
        prefix = os.path.join(parent, "")
        for name in files:
            if not _is_partial(name) and (not pattern or fnmatch.fnmatch(name, pattern)):
                yield prefix + name, True
    for error in unreadable:
        yield str(error.filename), False


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)


def _is_partial(name: str) -> bool:
    return name.startswith(PARTIAL_PREFIX) and name.endswith(PARTIAL_SUFFIX)


def look_into(path: str, look: Callable[[int, str, os.stat_result], Instance]) -> Instance:
    """Open a file that can be sent by its kind, and close it when it has been looked at.

    Args:
        path: Its name.
        look: Called with the descriptor, the name and the file's status.

    Raises:
        ForeignFile: It is no regular file.
        InputFileError: It cannot be read.
    """
    try:
        fd = os.open(path, _READ_FLAGS)
    except (OSError, ValueError) as error:  # ValueError: the name has a NUL in it
        raise InputFileError(path, f"cannot be read: {_reason(error)}") from error
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise ForeignFile(path, "is no regular file")
        return look(fd, path, status)
    except OSError as error:
        raise InputFileError(path, f"cannot be read: {_reason(error)}") from error
    finally:
        os.close(fd)


def describe_start(fd: int, head: bytes, path: str, status: os.stat_result, bare: bool) -> Instance:
    """Find out what a file is from its first bytes; more are read from `fd` if these do not do."""
    size, read = status.st_size, reader_of(fd)
    head = head or read(0, FIRST_READ)
    try:
        instance = _describe_head(head, size, path, path, False)
    except InputFileError:  # the File Meta Information is longer, or there is none
        instance = _describe_head(read(0, HEAD_LENGTH), size, path, path, bare)
    return replace(instance, modified=status.st_mtime_ns)


def reader_of(fd: int) -> Callable[[int, int], bytes]:
    """What reads bytes from an offset of an open file."""

    def read(offset: int, count: int) -> bytes:
        os.lseek(fd, offset, os.SEEK_SET)
        return os.read(fd, count)

    return read


def _reading(file: BinaryIO) -> Callable[[int, int], bytes]:
    def read(offset: int, count: int) -> bytes:
        file.seek(offset)
        return file.read(count)

    return read


def check_whole(instance: Instance, head: bytes, read: Callable[[int, int], bytes]) -> Place | None:
    """Check that a file is whole, and in the transfer syntax that it is labelled with.

    Args:
        instance: What the file is.
        head: The file's first bytes.
        read: Reads bytes from an offset of the file.

    Returns:
        Where its Pixel Data are, if that was found out.

    Raises:
        InputFileError: It is not.
    """
    offset, size, transfer_syntax = instance.offset, instance.size, instance.transfer_syntax
    if ends_with_pixel_data(head, offset, size, transfer_syntax):
        return None
    try:
        start = memoryview(head)[offset:]
        return check_data_set(start, size, transfer_syntax, lambda at, count: read(offset + at, count))
    except ValueError as error:
        raise InputFileError(instance.name, str(error)) from None


def _describe_head(head: bytes, size: int, name: str, source: Source, bare: bool) -> Instance:
    """What a file is from its first bytes; `ForeignFile` if they do not look like DICOM."""
    begin = begin_of(head)
    if not (has_meta := has_file_meta(head)):
        instance = _describe_bare(head, begin, size, name, source) if bare else None
        if instance is not None:
            return instance
    try:
        meta, offset = read_file_meta(head, name)
    except InputFileError as error:
        if has_meta and size > len(head):
            raise _too_long(head, name) from None
        raise error if begin else ForeignFile(name, error.why) from None
    if size > len(head) and offset + 6 > len(head):  # that the group ends here cannot be told
        raise _too_long(head, name)
    if offset == size:
        raise InputFileError(name, "has no data set behind its File Meta Information")
    return _described(head, offset, size, meta, name, source)


def _too_long(head: bytes, name: str) -> InputFileError:
    return InputFileError(name, f"its File Meta Information is longer than {len(head)} bytes")


def _described(head: bytes, offset: int, size: int, meta: FileMeta, name: str, source: Source) -> Instance:
    """What a data set says that it is; what it does not say is taken from the File Meta Information."""
    start = memoryview(head)[offset:]
    transfer_syntax = meta.transfer_syntax or guess_transfer_syntax(start)
    if transfer_syntax is None:
        why = "its File Meta Information has no Transfer Syntax UID (0002,0010), and its data set shows none"
        raise InputFileError(name, why)
    found = scan_identifiers(start, transfer_syntax, uid_checks=False)
    if not found.complete and len(head) < min(size, HEAD_LENGTH):
        raise InputFileError(name, f"its SOP Instance UID is not among its first {len(head)} bytes")
    # PS3.4 B.3: the Affected SOP Instance is the data set's own; File Meta Information may be stale.
    class_uid = found.sop_class_uid or meta.sop_class_uid
    instance_uid = found.sop_instance_uid or meta.sop_instance_uid
    if not class_uid:
        raise InputFileError(name, "has no SOP Class UID (0008,0016)")
    if not instance_uid:
        raise InputFileError(name, "has no SOP Instance UID (0008,0018)")
    return Instance(name, class_uid, instance_uid, transfer_syntax, source, offset, size - offset)


_NO_FILE_META = FileMeta(sop_class_uid="", sop_instance_uid="", transfer_syntax="")


def _describe_bare(head: bytes, offset: int, size: int, name: str, source: Source) -> Instance | None:
    """What a data set without File Meta Information is; None if the bytes are not those of a data set."""
    if guess_transfer_syntax(memoryview(head)[offset:]) is None:
        return None
    try:
        return _described(head, offset, size, _NO_FILE_META, name, source)
    except InputFileError as error:
        raise ForeignFile(name, f"not a DICOM file, or one that {error.why}") from None


def _describe_data_set(source: Any) -> Instance:
    class_uid, instance_uid = (dataset.uid_in(source, tag) for tag in _IDENTITY)
    name = str(getattr(source, "filename", None) or f"data set {instance_uid}")
    if not class_uid or not instance_uid:
        raise InputFileError(name, "has no SOP Class UID (0008,0016) or no SOP Instance UID (0008,0018)")
    dataset.check_label(source, name)
    return Instance(name, class_uid, instance_uid, dataset.transfer_syntax_of(source), source)


def checked(instance: Instance, *, meta: bool, uid_checks: bool) -> Instance:
    """An instance that can be sent; arguments and errors as for `describe`."""
    if instance.sop_class_uid == _MEDIA_STORAGE_DIRECTORY:
        raise ForeignFile(instance.name, "is a DICOMDIR, which is not stored but read")
    if uid_checks:
        _check_uids(instance)
    known = is_transfer_syntax(instance.transfer_syntax)
    if not known and not is_valid_uid(instance.transfer_syntax, _TOLERATED):
        raise InputFileError(instance.name, f"{instance.transfer_syntax!r} is no transfer syntax UID")
    if instance.offset and not meta:
        raise ForeignFile(instance.name, "is a DICOM file, and not a data set without File Meta Information")
    return instance


def _check_uids(instance: Instance) -> None:
    for what, uid in (("SOP Class", instance.sop_class_uid), ("SOP Instance", instance.sop_instance_uid)):
        if not is_valid_uid(uid, _TOLERATED):
            raise InputFileError(instance.name, f"{uid!r} is no valid {what} UID (PS3.5 9.1)")
    uid = instance.sop_class_uid
    if is_another_service(uid):
        name = name_of(uid)
        raise InputFileError(instance.name, f"is of the SOP class {name}, which is no storage SOP class")


def _converted(instance: Instance, transfer_syntax: str, encoding: Encoding) -> bytes:
    source = instance.source
    own = instance.transfer_syntax, instance.offset
    with contextlib.ExitStack() as stack:
        if not isinstance(source, str | os.PathLike):
            source = stack.enter_context(rewound(source))
        return dataset.convert(
            source, transfer_syntax, name=instance.name, encoding=encoding, changes=instance.changes, own=own
        )


class _Spool:
    """A file without a name, which is gone with the last reference to it."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def __del__(self) -> None:
        os.close(self._fd)


def _is_plain_file(source: Any) -> bool:
    """Whether its descriptor has what it reads, at any offset: gzip's, for one, has the compressed bytes."""
    return isinstance(getattr(source, "raw", source), io.FileIO) and source.seekable()


def _spooled(source: BinaryIO) -> int:
    """The descriptor of a temporary file with what a file object has."""
    import shutil  # both for this alone, which is rare
    import tempfile

    with contextlib.suppress(OSError, AttributeError):
        source.seek(0)
    with tempfile.TemporaryFile() as spool:
        shutil.copyfileobj(source, spool)
        spool.flush()
        return os.dup(spool.fileno())


@contextlib.contextmanager
def rewound(source: Any) -> Iterator[BinaryIO]:
    """A file object at its start, to read from; a plain one is the caller's, and stays open."""
    if isinstance(source, _Spool):
        with open("file object", "rb", opener=lambda *_: os.dup(source.fileno())) as file:
            file.seek(0)
            yield file
    else:
        source.seek(0)
        yield source
