"""What `dcmnet storescp` stores and shows while it serves: file names, log lines, JSON lines, totals."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Sequence
from datetime import datetime
from logging import INFO, Logger
from pathlib import Path
from typing import TYPE_CHECKING

from dcmnet._records import dataclass
from dcmnet.acse import AcceptedContext
from dcmnet.cli import networking
from dcmnet.cli.conversions import conversion_asked_for, duplicates_of, new_namer, new_studies
from dcmnet.cli.json_output import JsonLines, details
from dcmnet.cli.options import Arguments
from dcmnet.cli.progress import readable_length
from dcmnet.dimse.messages import CEchoRQ, CStoreRQ
from dcmnet.errors import AssociationAborted
from dcmnet.procedures.association import AssociationCore
from dcmnet.procedures.scp import AssociationRequest
from dcmnet.registry.sop_classes import UNKNOWN_PREFIX, prefix_of
from dcmnet.registry.statuses import DUPLICATE_SOP_INSTANCE, SUCCESS, text_of
from dcmnet.services.storage import Outcome, Reception
from dcmnet.storage.files import Duplicates
from dcmnet.storage.naming import BySeriesDate, Sorter
from dcmnet.storage.node import Hooks
from dcmnet.storage.scp import FileStore, StoreRequest

if TYPE_CHECKING:
    from dcmnet.cli.events import Events
    from dcmnet.cli.faults import Faults

COUNTED = ("associations", "objects", "stored", "not_kept", "failed", "bytes")
_PLACES = {name: place for place, name in enumerate(COUNTED)}
_OBJECTS, _BYTES = _PLACES["objects"], _PLACES["bytes"]
_STRIDE = 16
"""From the numbers of one worker to those of the next: two of them do not share a line of the cache."""


def _shared_numbers(count: int) -> memoryview:
    """So many zeros that this process and those forked from it have in common."""
    import mmap

    return memoryview(mmap.mmap(-1, 8 * count)).cast("Q")


class Reporter:
    """Says what the server does. Its methods are called from the threads of the associations.

    Args:
        log: The tool's logger.
        json: Whether to write JSON lines to stdout.
        verbose_pc: Whether to list presentation contexts.
        workers: How many processes will serve; each counts for itself.

    Attributes:
        log: As above.
        events: What is done beside storing; None for nothing.
        faults: What goes wrong on purpose; None for nothing.
        look_up: Whether names of peers are looked up, where they are shown.
        prefix: Said before "Association".
    """

    prefix = ""

    def __init__(self, log: Logger, *, json: bool, verbose_pc: bool, workers: int = 0) -> None:
        self.log = log
        self._json = JsonLines() if json else None
        self._verbose_pc = verbose_pc
        self._lock = threading.Lock()
        self._counts = _shared_numbers(workers * _STRIDE) if workers else [0] * len(COUNTED)
        self._first = 0
        self.events: Events | None = None
        self.faults: Faults | None = None
        self.look_up = True

    def hooks(self) -> Hooks:
        """What the server calls."""
        return Hooks(
            request=self._requested,
            accepted=self._accepted,
            released=self._released,
            ended=self._ended,
            echo=self._echo,
            worker=self._worker,
        )

    def starting(self) -> None:
        """The command line is read."""

    def open(self) -> None:
        """It listens."""
        if self.events is not None:
            self.events.start()

    def stopping(self) -> None:
        """No new associations from now on."""
        if self.faults is not None:
            self.faults.close()

    def close(self) -> None:
        """Every association has ended."""
        if self.events is not None:
            self.events.close()

    def event(self, name: str, **fields: object) -> None:
        """Write a JSON line, if these are wanted."""
        if self._json is not None:
            self._json.event(name, **fields)

    def conclude(self) -> None:
        """Show the totals."""
        numbers = list(self._counts)
        counts = {name: sum(numbers[index::_STRIDE]) for index, name in enumerate(COUNTED)}
        self.log.info(
            "associations: %d, objects stored: %d (%s), not kept: %d, failed: %d",
            counts["associations"],
            counts["stored"],
            readable_length(counts["bytes"]),
            counts["not_kept"],
            counts["failed"],
        )
        if self._json is not None:
            self._json.summary(**counts)

    def requested(self, request: CStoreRQ) -> None:
        """A C-STORE-RQ has come."""
        if not self.log.isEnabledFor(INFO):
            return
        prefix = prefix_of(request.affected_sop_class_uid)
        prefix = "OT" if prefix == UNKNOWN_PREFIX else prefix
        self.log.info("Received Store Request (MsgID %d, %s)", request.message_id, prefix)

    def answered(self, core: AssociationCore, request: CStoreRQ, outcome: Outcome) -> None:
        """A C-STORE-RQ has been refused before its object was looked at."""
        self._count("failed")
        text = self._refused(outcome[0], outcome[1], request.affected_sop_instance_uid)
        self.event(
            "object",
            peer=core.peer,
            stored=False,
            file=None,
            sop_class_uid=request.affected_sop_class_uid,
            sop_instance_uid=request.affected_sop_instance_uid,
            status=f"0x{outcome[0]:04X}",
            text=text,
            **details(outcome[1], (), None),
        )

    def stored(self, request: StoreRequest, status: int) -> None:
        """An object has been received, and kept or refused."""
        self._report(request, status)
        if self.events is not None:
            self.events.stored(request)

    def _report(self, request: StoreRequest, status: int) -> None:
        if request.is_saved:
            self._count("stored", request.size)
        else:
            self._count("not_kept" if status == SUCCESS else "failed")
        if status == SUCCESS and self._json is None:
            return
        text = text_of(status, "storage")
        if status != SUCCESS:
            self._refused(status, request.comment, request.sop_instance_uid)
        self.event(
            "object",
            peer=request.peer,
            calling_ae_title=request.calling_ae_title,
            called_ae_title=request.called_ae_title,
            stored=request.is_saved,
            file=None if request.saved_as is None else str(request.saved_as),
            sop_class_uid=request.sop_class_uid,
            sop_instance_uid=request.sop_instance_uid,
            transfer_syntax=request.transfer_syntax,
            bytes=request.size,
            status=f"0x{status:04X}",
            text=text,
            **details(request.comment, (), None),
        )

    def kept(self, request: StoreRequest, path: str, status: int, *, existed: bool) -> None:
        """A complete object has its name now, or has not got one because that was taken."""
        if request.is_saved:
            if self.log.isEnabledFor(INFO):
                self.log.info("storing DICOM file: %s", request.saved_as)
            if existed:
                self.log.warning("DICOM file already exists, overwriting: %s", path)
        elif status == SUCCESS:
            self.log.info("DICOM file already exists, keeping it: %s", path)

    def _refused(self, status: int, comment: str, sop_instance_uid: str) -> str:
        text = text_of(status, "storage")
        detail = f": {comment}" if comment else ""
        self.log.error("object %s not stored: 0x%04X (%s)%s", sop_instance_uid, status, text, detail)
        return text

    def _count(self, outcome: str, length: int = 0) -> None:
        counts, first = self._counts, self._first
        with self._lock:
            counts[first + _OBJECTS] += 1
            counts[first + _PLACES[outcome]] += 1
            counts[first + _BYTES] += length

    def _worker(self, index: int) -> None:
        """This process is a worker from now on."""
        self._first = index * _STRIDE

    # ------------------------------------------------------------------ the life of an association

    def _requested(self, request: AssociationRequest) -> None:
        self.announce(request)
        with self._lock:
            self._counts[self._first + _PLACES["associations"]] += 1
        if self.faults is not None:
            self.faults.check(request)

    def announce(self, request: AssociationRequest) -> None:
        """An association is asked for."""
        self.log.info("%sAssociation Received", self.prefix)

    def _accepted(self, core: AssociationCore) -> None:
        agreed = core.agreed
        self.log.info(
            "%sAssociation Acknowledged (Max Send PDV: %d)", self.prefix, networking.max_send_pdv(agreed)
        )
        if self._verbose_pc:
            networking.log_contexts(self.log, agreed)
        if not agreed.contexts:
            self.log.info("    (but no valid presentation contexts)")
        self.event(
            "association",
            peer=core.peer,
            calling_ae_title=agreed.calling_ae_title,
            called_ae_title=agreed.called_ae_title,
            contexts_proposed=len(agreed.proposed),
            contexts_accepted=len(agreed.contexts),
        )

    def _echo(self, core: AssociationCore, context: AcceptedContext, request: CEchoRQ) -> None:
        self.log.info("Received Echo Request (MsgID %d)", request.message_id)
        self.event("echo", peer=core.peer)

    def _released(self, core: AssociationCore) -> None:
        self.log.info("%sAssociation Release", self.prefix)
        self.event("release", peer=core.peer)

    def _ended(self, core: AssociationCore, error: BaseException | None) -> None:
        if self.events is not None:
            self.events.association_ended(core.state)
        if error is None and core.negotiated is None:
            self.log.info("%sAssociation Rejected", self.prefix)
            self.event("reject", peer=core.peer)
        if error is None:
            return
        if isinstance(error, AssociationAborted):
            self.log.info("%sAssociation Aborted", self.prefix)
        self.event("abort", peer=core.peer, text=str(error))


@dataclass(slots=True, kw_only=True)
class ReportingStore(FileStore):
    """A `FileStore` that says what it does."""

    reporter: Reporter

    def begin(
        self, core: AssociationCore, context: AcceptedContext, request: CStoreRQ
    ) -> Reception | Outcome:
        """Prepare for one object, or refuse it."""
        reception = FileStore.begin(self, core, context, request)
        if isinstance(reception, tuple):
            return reception
        if self.reporter.faults is not None:
            reception = _Faulty(reception, self.reporter.faults)
        if not self.reporter.log.isEnabledFor(INFO):
            return reception
        return _Announced(reception, self.reporter, request)

    def refused(
        self, core: AssociationCore, context: AcceptedContext, request: CStoreRQ, outcome: Outcome
    ) -> None:
        """Tell that an object was refused before it was looked at."""
        self.told_refused(request, outcome[0])
        self.reporter.requested(request)
        self.reporter.answered(core, request, outcome)

    def keep(self, request: StoreRequest, path: str, duplicates: Duplicates | None = None) -> int:
        """Give a complete object its name."""
        ways = duplicates or self.duplicates
        replaces = ways is Duplicates.REPLACE
        # To look first whether the name is taken would wait for whoever else changes the folder.
        status = FileStore.keep(self, request, path, Duplicates.REFUSE if replaces else ways)
        existed = replaces and status == DUPLICATE_SOP_INSTANCE
        if existed:
            status = FileStore.keep(self, request, path, ways)
        self.reporter.kept(request, path, status, existed=existed)
        return status


class _Announced:
    """An object on its way in, of which the first bytes are announced: files and logs are not for `begin`."""

    __slots__ = ("_reception", "_reporter", "_request")

    def __init__(self, reception: Reception, reporter: Reporter, request: CStoreRQ) -> None:
        self._reception = reception
        self._reporter = reporter
        self._request: CStoreRQ | None = request

    def write(self, views: Sequence[memoryview]) -> None:
        self._announce()
        self._reception.write(views)

    def commit(self, views: Sequence[memoryview]) -> Outcome | Awaitable[Outcome]:
        self._announce()
        return self._reception.commit(views)

    def discard(self, error: BaseException | None) -> Outcome:
        return self._reception.discard(error)

    def _announce(self) -> None:
        if self._request is not None:
            self._reporter.requested(self._request)
            self._request = None


class _Faulty:
    """An object on its way in that is received as a bad server would, for testing the peer."""

    __slots__ = ("_faults", "_reception")

    def __init__(self, reception: Reception, faults: Faults) -> None:
        self._reception = reception
        self._faults = faults

    def write(self, views: Sequence[memoryview]) -> None:
        self._reception.write(views)
        self._faults.during()

    def commit(self, views: Sequence[memoryview]) -> Outcome | Awaitable[Outcome]:
        self._faults.during()
        outcome = self._reception.commit(views)
        self._faults.after()
        return outcome

    def discard(self, error: BaseException | None) -> Outcome:
        return self._reception.discard(error)


def new_sorter(arguments: Arguments, reporter: Reporter) -> Sorter | None:
    """What sorts objects into folders; what is done about their studies goes to the reporter."""
    if "--series-date-subdir" in arguments:
        return BySeriesDate(datetime.now)
    from dcmnet.cli.events import Events, asked_for

    studies = new_studies(arguments, threading.Lock())
    if studies is not None or asked_for(arguments):
        reporter.events = Events(arguments, reporter.log, studies)
    return studies


def new_store(arguments: Arguments, reporter: Reporter) -> ReportingStore:
    """The store that the output options ask for."""
    return ReportingStore(
        directory=Path(arguments.output_directory),
        namer=new_namer(arguments, threading.Lock()),
        sorter=new_sorter(arguments, reporter),
        conversion=conversion_asked_for(arguments),
        file_meta="--write-dataset" not in arguments,
        duplicates=duplicates_of(arguments),
        fsync=arguments.fsync,
        discard=arguments.ignore,
        on_stored=reporter.stored,
        reporter=reporter,
    )
