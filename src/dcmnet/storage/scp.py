"""The Storage SCP: received objects become files, byte for byte, before they are answered (PS3.4 Annex B)."""

from __future__ import annotations

import errno
import os
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcmnet import arguments
from dcmnet._records import dataclass, field, replace
from dcmnet.acse import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, AcceptedContext
from dcmnet.dimse.messages import CStoreRQ, StatusClass, status_class
from dcmnet.errors import DcmnetError, InputFileError, LimitExceeded, StatusError
from dcmnet.limits import Limits, Tolerance
from dcmnet.procedures.association import AssociationCore
from dcmnet.registry.sop_classes import is_another_service
from dcmnet.registry.statuses import (
    CANNOT_UNDERSTAND,
    DATA_SET_DOES_NOT_MATCH_SOP_CLASS,
    DUPLICATE_SOP_INSTANCE,
    INVALID_SOP_INSTANCE,
    OUT_OF_RESOURCES,
    PROCESSING_FAILURE,
    SOP_CLASS_NOT_SUPPORTED,
    SUCCESS,
)
from dcmnet.registry.uids import is_valid_uid
from dcmnet.services.handler_status import FAILED, chosen_outcome, handler_status
from dcmnet.services.storage import Outcome, Reception
from dcmnet.storage.elements import HEAD_LENGTH
from dcmnet.storage.files import Duplicates, PartialFile, existing_folder, make_folders
from dcmnet.storage.heads import DataSetHead
from dcmnet.storage.identity import Identifiers, is_as_expected
from dcmnet.storage.naming import Namer, Sorter, checked_file_name, checked_folder, default_name, named_dcm
from dcmnet.storage.part10 import NO_FRAME, FileMeta, Frame, encode_file_meta, frame_of, padded_uid
from dcmnet.ul.fields import is_ae_title

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from dcmnet.storage.conversion import Conversion
    from dcmnet.tls import TLSSession

_COPY_LENGTH = 1 << 20
_SUCCESS = SUCCESS, ""
_new = object.__new__
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT if hasattr(errno, "EDQUOT") else errno.ENOSPC, errno.EFBIG)


@dataclass(slots=True, eq=False)
class StoreRequest:
    """One received object, complete, in a file that nobody else can see yet.

    Attributes:
        size: Length of its data set in bytes.
        sop_class_uid: Affected SOP Class UID.
        sop_instance_uid: Affected SOP Instance UID.
        context: The presentation context it came on.
        calling_ae_title: Who sent it.
        called_ae_title: To whom it was sent.
        peer: The sender's address.
        message: The C-STORE-RQ.
        state: A dictionary that belongs to the association; handlers may keep things in it.
        tls: What the TLS handshake agreed on, with the sender's certificate; None without TLS.
        comment: The Error Comment (0000,0902) that it is answered with; for `FileStore.on_stored`.
    """

    size: int
    sop_class_uid: str
    sop_instance_uid: str
    context: AcceptedContext
    calling_ae_title: str
    called_ae_title: str
    peer: str
    message: CStoreRQ
    state: dict[str, Any]
    tls: TLSSession | None = field(default=None, kw_only=True)
    comment: str = field(default="", kw_only=True)
    _file: PartialFile | None = field(repr=False, kw_only=True)
    _store: FileStore = field(repr=False, kw_only=True)
    _saved_as: str | None = field(default=None, repr=False, kw_only=True)
    _converted_to: str | None = field(default=None, repr=False, kw_only=True)
    _limits: Limits = field(default=Limits(), repr=False, kw_only=True)

    @property
    def path(self) -> Path:
        """The file: a DICOM file with File Meta Information.

        It is readable until it is saved or the handler returns; the null device where objects are not kept.
        """
        return Path(os.devnull if self._file is None else self._file.name)

    @property
    def is_saved(self) -> bool:
        """Whether the object is kept."""
        return self._saved_as is not None

    @property
    def saved_as(self) -> Path | None:
        """Where the object is kept.

        None before it is, and when the name was taken and `Duplicates.KEEP` says to keep what is there.
        """
        return None if self._saved_as is None else Path(self._saved_as)

    @property
    def transfer_syntax(self) -> str:
        """UID of the transfer syntax that the data set is in."""
        return self._converted_to or self.context.transfer_syntax

    @property
    def tolerance(self) -> Tolerance:
        """What the store forgives."""
        return self._store.tolerance

    @property
    def file_name(self) -> str:
        """A safe name: modality, SOP Instance UID and `.dcm`."""
        return named_dcm(self)

    def attributes(self, *keywords: str) -> dict[str, str]:
        """A few attributes of the data set's beginning; the pixels are not read.

        Args:
            keywords: As PS3.6 has them, `StudyInstanceUID` for example.

        Returns:
            A text for each: empty where the attribute is missing; of several values the first.

        Raises:
            InputFileError: The data set cannot be read so far.
        """
        from dcmnet.dataset.attributes import read_attributes  # few objects are looked into

        path, offset, name = self._place()
        return read_attributes(path, offset, self.transfer_syntax, keywords, name=name, limits=self._limits)

    def dataset(self, *, max_inflated_length: int | None = None, **options: Any) -> Dataset:
        """The object as a pydicom data set.

        Args:
            max_inflated_length: Longest deflated data set that is inflated, in bytes; that of the server's
                `Limits` unless given.
            options: As for pydicom's `dcmread`.

        Raises:
            LimitExceeded: A deflated data set is longer than that, or the object has more elements or items
                than the server's `Limits` allow.
            InputFileError: It cannot be read.
        """
        from dcmnet import dataset
        from dcmnet.storage.extent import check_extent

        path, offset, name = self._place()
        limits = self._limits
        if max_inflated_length is not None:
            limits = replace(limits, max_inflated_length=max_inflated_length)
        check_extent(path, offset, self.transfer_syntax, limits, name=name)
        if not self._store.file_meta:  # pydicom has to guess how a bare data set is encoded
            options.setdefault("force", True)
        return dataset.read(path, max_inflated_length=None, **options)

    def _place(self) -> tuple[str, int, str]:
        """The file, where in it the data set begins, and what to call it."""
        path = self.path if self.saved_as is None else self.saved_as
        offset = 0 if self._file is None else self._file.header_length
        return str(path), offset, f"object {self.sop_instance_uid}"

    def save(self, target: str | PathLike[str], *, duplicates: Duplicates | None = None) -> int:
        """Keep the file; once more for a copy.

        Args:
            target: A folder, made if need be when it ends in a slash, or the whole path of the file.
            duplicates: What happens when the name is taken; the server's way if not given.

        Returns:
            The status to answer with: success, or what `Duplicates.REFUSE` demands.

        Raises:
            OSError: It could not be kept; the server answers with A700 then.
        """
        path = os.fspath(target) or os.curdir
        if path.endswith(("/", os.sep)):
            os.makedirs(path, exist_ok=True)
        if os.path.isdir(path):
            path = os.path.join(path, self.file_name)
        return self._store.keep(self, path, duplicates)


StoreHandler = Callable[[StoreRequest], Any]


@dataclass(slots=True, kw_only=True)
class FileStore:
    """Receives objects into files; the target of the storage service.

    Attributes:
        directory: Where files are written, and where they stay when there is no handler; it must exist.
        handler: Called with each complete `StoreRequest`; returns a status, or None for success, or raises
            `dcmnet.StatusError`; may be a coroutine function. Without one the file is kept in `directory`
            under the name that `namer` gives.
        namer: Gives the file its name, without a folder; one with a folder is refused.
        sorter: Gives the folder below `directory` it goes into, which is made if need be; None for none.
        conversion: What objects are converted to before they get their name; None keeps them byte for byte.
        file_meta: Whether files begin with File Meta Information (PS3.10 7.1), or are bare data sets.
        duplicates: What happens when the name is taken.
        fsync: Whether a file must be on the disk, not only with the operating system, before the answer.
        check: Whether the data set must say the same SOP Class and Instance UIDs as the request.
        discard: Whether objects are received, answered with success and not kept.
        on_receiving: Called with each request before its data set comes, when nothing but the message is
            known. It may raise `dcmnet.StatusError`, or return a failure status, to refuse it; may
            be a coroutine function.
        on_progress: Called with each request, whose `size` has grown, when a part of its data set has been
            written; for one that comes in one piece, once.
        on_stored: Called with each request that was received, kept or not, and the status it is answered
            with.
        on_refused: Called with the C-STORE-RQ of each object that was refused before it was received, and the
            status it is answered with.
        on_error: Called with what went wrong, for people.
        tolerance: What is forgiven.
    """

    directory: Path
    handler: StoreHandler | None = None
    namer: Namer = default_name
    sorter: Sorter | None = None
    conversion: Conversion | None = None
    file_meta: bool = True
    duplicates: Duplicates = Duplicates.REPLACE
    fsync: bool = False
    check: bool = True
    discard: bool = False
    on_receiving: Callable[[StoreRequest], Any] | None = None
    on_progress: Callable[[StoreRequest], Any] | None = None
    on_stored: Callable[[StoreRequest, int], Any] | None = None
    on_refused: Callable[[CStoreRQ, int], Any] | None = None
    on_error: Callable[[str, BaseException | None], Any] | None = None
    tolerance: Tolerance = Tolerance.NONCONFORMING_UID

    def __post_init__(self) -> None:
        self.directory = Path(arguments.path(self.directory, "directory"))  # a text will do as well
        arguments.check_types(self)

    def check_folder(self) -> None:
        """Raise if objects could not be kept, before the first one comes.

        Raises:
            OSError: The directory does not exist, or is none.
        """
        if not self.discard:
            existing_folder(self.directory, "directory")

    @property
    def may_take_long(self) -> bool:
        """Whether keeping an object may take longer than writing it."""
        looks_into = self.conversion is not None or self.sorter is not None
        return self.fsync or looks_into or self.handler is not None

    @property
    def ask_first(self) -> Callable[[Any], Outcome | Awaitable[Outcome | None] | None] | None:
        """What `on_receiving` has to say comes first, where there is one."""
        return None if self.on_receiving is None else self._ask

    def _ask(self, incoming: _Incoming | _Discarded) -> Outcome | Awaitable[Outcome | None] | None:
        assert self.on_receiving is not None
        try:
            answer = self.on_receiving(incoming.request)
            return self._wait(answer) if isinstance(answer, Awaitable) else _refusal(answer)
        except Exception as error:  # the peer needs an answer
            return self.failed(error)

    async def _wait(self, answer: Awaitable[Any]) -> Outcome | None:
        """The rest of `_ask`, when it is a coroutine function."""
        try:
            return _refusal(await answer)
        except Exception as error:
            return self.failed(error)

    def begin(
        self, core: AssociationCore, context: AcceptedContext, request: CStoreRQ
    ) -> Reception | Outcome:
        """Decide on one object; nothing is touched before its first bytes are written."""
        sop_class_uid, sop_instance_uid = request.affected_sop_class_uid, request.affected_sop_instance_uid
        if not is_valid_uid(sop_instance_uid, self.tolerance):
            return INVALID_SOP_INSTANCE, "SOP Instance UID is not valid"
        if sop_class_uid != context.abstract_syntax:
            return SOP_CLASS_NOT_SUPPORTED, "SOP class is not that of the presentation context"
        if is_another_service(sop_class_uid):
            return SOP_CLASS_NOT_SUPPORTED, "SOP class is no storage SOP class"
        if self.discard:
            return _Discarded(self, self.new_request(core, context, request, None))
        instance = padded_uid(sop_instance_uid)
        has_meta = self.file_meta or self.conversion is not None
        try:
            source = core.peer_ae_title
            frame = _frame_of(sop_class_uid, len(instance), context.transfer_syntax, source)
        except ValueError:  # a UID that was negotiated, but is none
            if has_meta:
                return PROCESSING_FAILURE, "a UID is not valid"
            frame = NO_FRAME
        file = PartialFile(self.directory, frame.before + instance + frame.behind if has_meta else b"")
        expected = frame.in_data_set and frame.in_data_set + instance
        return _Incoming(self, self.new_request(core, context, request, file), file, expected)

    def refused(
        self, core: AssociationCore, context: AcceptedContext, request: CStoreRQ, outcome: Outcome
    ) -> None:
        """Tell that an object was refused before it was looked at."""
        self.told_refused(request, outcome[0])
        self.report(f"object {request.affected_sop_instance_uid!r} refused: {outcome[1]}", None)

    def told_refused(self, request: CStoreRQ, status: int) -> None:
        """Call `on_refused`; the object is refused whatever that makes of it."""
        if self.on_refused is None:
            return
        try:
            self.on_refused(request, status)
        except Exception as error:
            self.report("on_refused failed", error)

    def header(self, request: StoreRequest, transfer_syntax: str) -> bytes:
        """The File Meta Information for an object in that transfer syntax."""
        meta = FileMeta(
            sop_class_uid=request.sop_class_uid,
            sop_instance_uid=request.sop_instance_uid,
            transfer_syntax=transfer_syntax,
            implementation_class_uid=IMPLEMENTATION_CLASS_UID,
            implementation_version_name=IMPLEMENTATION_VERSION_NAME,
            source_application_entity_title=_source(request.calling_ae_title),
        )
        return encode_file_meta(meta)

    def place(self, request: StoreRequest) -> str:
        """The path that a complete object gets; its folder is there then."""
        name = checked_file_name(self.namer(request))
        if self.sorter is None:
            folder = os.fspath(self.directory) if request._file is None else request._file.directory
            return f"{folder}{os.sep}{name}"
        try:
            parts = checked_folder(self.sorter(request))
        except LimitExceeded:
            raise  # `failed` has an answer to that
        except InputFileError as error:
            raise StatusError(CANNOT_UNDERSTAND, "the data set cannot be read") from error
        return os.path.join(make_folders(self.directory, parts, fsync=self.fsync), name)

    def new_request(
        self, core: AssociationCore, context: AcceptedContext, request: CStoreRQ, file: PartialFile | None
    ) -> StoreRequest:
        """The typed request that handlers see."""
        agreed = core.agreed
        sender, receiver = agreed.calling_ae_title, agreed.called_ae_title
        if core.requestor:  # in a C-GET the objects come from who was called
            sender, receiver = receiver, sender
        made = _new(StoreRequest)  # one field after the other is faster than with all of them as arguments
        made.size = 0
        made.sop_class_uid = request.affected_sop_class_uid
        made.sop_instance_uid = request.affected_sop_instance_uid
        made.context = context
        made.calling_ae_title = sender
        made.called_ae_title = receiver
        made.peer = core.peer
        made.message = request
        made.state = core.state
        made.tls = core.tls
        made._limits = core.limits
        made._file = file
        made._store = self
        made._saved_as = made._converted_to = None
        return made

    def keep(self, request: StoreRequest, path: str, duplicates: Duplicates | None = None) -> int:
        """Give a complete object its name."""
        file = request._file
        if file is None:  # it is not kept
            return SUCCESS
        ways = duplicates or self.duplicates
        try:
            if request._saved_as is None:
                request._saved_as = self._publish(file, path, ways)
            else:
                _copy(request._saved_as, path, ways, self.fsync)
        except FileExistsError:
            return DUPLICATE_SOP_INSTANCE
        return SUCCESS

    def _publish(self, file: PartialFile, path: str, duplicates: Duplicates) -> str | None:
        try:
            return file.publish(path, duplicates, fsync=self.fsync)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
        return _copy(file.name, path, duplicates, self.fsync)

    def failed(self, error: BaseException) -> Outcome:
        """The outcome for an object that could not be kept (PS3.4 Table B.2-1), after telling people why."""
        chosen = chosen_outcome(error)
        if chosen is not None:
            return chosen
        if isinstance(error, LimitExceeded):
            self.report(str(error), None)
            return OUT_OF_RESOURCES, f"the object {error.why}"
        if not isinstance(error, OSError) or isinstance(error, DcmnetError):  # DeadlineExceeded is both
            if isinstance(error, InputFileError):  # its text says it all
                self.report(f"the handler failed: {error}", None)
            else:
                self.report("the handler failed", error)
            return FAILED
        self.report(f"cannot keep an object: {error}", None)
        full = error.errno in _NO_SPACE
        return OUT_OF_RESOURCES, "no space left" if full else "the object could not be written"

    def stored(self, request: StoreRequest, status: int) -> None:
        """Tell what became of an object; it is as it is, whatever the one who is told makes of it."""
        if self.on_stored is None:
            return
        try:
            self.on_stored(request, status)
        except Exception as error:
            self.report("on_stored failed", error)

    def progressed(self, request: StoreRequest) -> None:
        """Tell that more of an object is there; likewise."""
        if self.on_progress is None:
            return
        try:
            self.on_progress(request)
        except Exception as error:
            self.report("on_progress failed", error)

    def report(self, text: str, error: BaseException | None) -> None:
        """Tell people what went wrong."""
        if self.on_error is not None:
            self.on_error(text, error)


class _Incoming:
    """One object on its way into a file."""

    __slots__ = ("_agrees", "_expected", "_file", "_head", "_looking", "_store", "request")

    def __init__(self, store: FileStore, request: StoreRequest, file: PartialFile, expected: bytes) -> None:
        self._store = store
        self._file = file
        self.request = request
        self._expected = expected  # the UIDs as the data set most probably has them
        self._agrees = False
        self._head: DataSetHead | None = None
        self._looking = store.check

    def write(self, views: Sequence[memoryview]) -> None:
        self._file.write(views)
        request = self.request
        for view in views:
            request.size += len(view)
            if self._looking:
                self._looking = self._look(view)
        if self._store.on_progress is not None:
            self._store.progressed(request)

    def _look(self, view: memoryview) -> bool:
        """Look for the UIDs of the data set; whether more of it is of use."""
        if self._head is None:
            # Most often the first piece says it all, and need not be taken apart.
            enough = self._expected and len(view) >= DataSetHead.FIRST_LOOK
            if enough and is_as_expected(view, self._expected):
                self._agrees = True
                return False
            self._head = DataSetHead(self.request.transfer_syntax)
        return self._head.feed(view)

    def commit(self, views: Sequence[memoryview]) -> Outcome | Awaitable[Outcome]:
        try:
            self.write(views)
            outcome = (None if self._agrees else self._contradiction()) or self._keep()
        except Exception as error:  # a handler may raise anything, and the peer needs an answer
            outcome = self._store.failed(error)
        except BaseException:
            self._drop()
            raise
        return self._concluded(outcome) if isinstance(outcome, tuple) else self._wait(outcome)

    async def _wait(self, answer: Awaitable[Any]) -> Outcome:
        """The rest of `commit`, when the handler is a coroutine function."""
        try:
            outcome = _answered(await answer)
        except Exception as error:
            outcome = self._store.failed(error)
        except BaseException:
            self._drop()
            raise
        return self._concluded(outcome)

    def _concluded(self, outcome: Outcome) -> Outcome:
        self._drop()  # nothing happens when it has been kept
        if self._store.on_stored is not None:
            self.request.comment = outcome[1]
            self._store.stored(self.request, outcome[0])
        return outcome

    def discard(self, error: BaseException | None) -> Outcome:
        self._drop()
        if not isinstance(error, OSError) or isinstance(error, DcmnetError):  # the association has ended
            return OUT_OF_RESOURCES, ""
        return self._concluded(self._store.failed(error))

    def _drop(self) -> None:
        try:
            self._file.discard()
        except OSError as error:  # it stays behind, but nobody takes it for an object
            self._store.report(f"cannot remove {self._file.name}: {error}", None)

    def _keep(self) -> Outcome | Awaitable[Any]:
        store, request = self._store, self.request
        if store.conversion is not None:
            self._convert(store.conversion)
        if store.handler is None:
            return _outcome(store.keep(request, store.place(request)))
        self._file.finish(fsync=store.fsync)
        answer = store.handler(request)
        return answer if isinstance(answer, Awaitable) else _answered(answer)

    def _convert(self, conversion: Conversion) -> None:
        """Put the converted object in the place of what was received."""
        from dcmnet.storage.conversion import convert  # few stores do

        self.request._file = self._file = convert(self._store, self.request, self._file)
        self.request._converted_to = conversion.transfer_syntax

    def _contradiction(self) -> Outcome | None:
        """What is wrong with the data set's own UIDs (PS3.4 B.2.3: A900, C000); None when nothing is."""
        if not self._store.check:
            return None
        found = Identifiers() if self._head is None else self._head.identifiers
        request = self.request
        if found.sop_class_uid and found.sop_class_uid != request.sop_class_uid:
            return DATA_SET_DOES_NOT_MATCH_SOP_CLASS, "SOP Class UID differs from the data set's"
        if found.sop_instance_uid and found.sop_instance_uid != request.sop_instance_uid:
            return DATA_SET_DOES_NOT_MATCH_SOP_CLASS, "SOP Instance UID differs from the data set's"
        seen = found.complete or request.size <= HEAD_LENGTH  # all of it, or all where the UIDs may be
        if seen and not (found.sop_class_uid and found.sop_instance_uid):
            return CANNOT_UNDERSTAND, "the data set has no SOP Class or SOP Instance UID"
        return None


class _Discarded:
    """One object that is received and not kept."""

    __slots__ = ("_store", "request")

    def __init__(self, store: FileStore, request: StoreRequest) -> None:
        self._store = store
        self.request = request

    def write(self, views: Sequence[memoryview]) -> None:
        self.request.size += sum(map(len, views))
        self._store.progressed(self.request)

    def commit(self, views: Sequence[memoryview]) -> Outcome:
        self.write(views)
        self._store.stored(self.request, SUCCESS)
        return SUCCESS, ""

    def discard(self, error: BaseException | None) -> Outcome:
        return OUT_OF_RESOURCES, ""


def _answered(answer: Any) -> Outcome:
    """The outcome that a handler's return value stands for."""
    return _SUCCESS if answer is None else _outcome(handler_status(answer))


def _refusal(answer: Any) -> Outcome | None:
    """What a handler's return value refuses an object with; None when it does not."""
    outcome = _answered(answer)
    return None if status_class(outcome[0]) in (StatusClass.SUCCESS, StatusClass.WARNING) else outcome


def _outcome(status: int) -> Outcome:
    if status == SUCCESS:
        return _SUCCESS
    return status, "" if status_class(status) is not StatusClass.FAILURE else "refused by the storage handler"


@lru_cache(256)
def _frame_of(sop_class_uid: str, length: int, transfer_syntax: str, source: str) -> Frame:
    own = IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
    return frame_of(sop_class_uid, length, transfer_syntax, *own, _source(source))


def _source(title: str) -> str:
    """(0002,0016), which is optional (PS3.10 Table 7.1-1): left out if the title is none that AE can hold."""
    return title if is_ae_title(title) else ""


def _copy(complete: str, path: str, duplicates: Duplicates, fsync: bool) -> str | None:
    """Copy a complete file, to another file system as well; it becomes visible in one step there too."""
    copy = PartialFile(os.path.dirname(path), b"")
    try:
        with open(complete, "rb") as source:
            while chunk := source.read(_COPY_LENGTH):
                copy.write([chunk])
        return copy.publish(path, duplicates, fsync=fsync)
    finally:
        copy.discard()
