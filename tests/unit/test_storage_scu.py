"""The Storage SCU: every object has exactly one result, whatever happens to files, peers and associations.

The transfer runs on the driver of `tests.procedures.memory`, against a peer that accepts any number of
associations, one after the other.
"""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID

from dcmnet.acse import AcceptedContext, AcceptorPolicy, SupportedContext
from dcmnet.dataset import Encoding
from dcmnet.dimse.messages import CStoreRQ, Priority
from dcmnet.errors import (
    AssociationAborted,
    AssociationRejected,
    DcmnetError,
    InputFileError,
    LocalProtocolError,
    NoPresentationContext,
    TransportClosed,
)
from dcmnet.payload import Payload
from dcmnet.procedures.association import AssociationCore, closing, establish
from dcmnet.procedures.effects import Call, Procedure, Receive, Send
from dcmnet.procedures.scp import Acceptor, serve
from dcmnet.services.storage import Outcome, storage
from dcmnet.storage import feed, looking, pipeline, sources
from dcmnet.storage import scu as scu_module
from dcmnet.storage.contents import Contents
from dcmnet.storage.feed import Feed, Line
from dcmnet.storage.pipeline import Outcomes, Pipeline
from dcmnet.storage.planning import Plan, Proposal
from dcmnet.storage.report import Report, StoreResult
from dcmnet.storage.scu import Transfer, store_source, transfer
from dcmnet.storage.sources import DataSetOpener, ForeignFile, Instance
from tests.procedures.memory import End, Network, Pipe
from tests.procedures.pairs import MAX_PDU_LENGTH, REQUEST, TIMEOUTS, MemoryStore
from tests.unit.objects import (
    CT,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    MR,
    data_set,
    element,
    open_descriptors,
    write_file,
)

WHY_NOT = 'not a DICOM file: it has no "DICM" behind a preamble of 128 bytes'


class Always(set[str]):
    """What aborts each time."""

    def discard(self, element: object) -> None:
        pass


class Store(MemoryStore):
    """Answers as the test says, by SOP Instance UID."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[CStoreRQ] = []
        self.statuses: dict[str, int] = {}
        self.aborting: set[str] = set()

    def begin(self, core: AssociationCore, context: AcceptedContext, request: CStoreRQ) -> Any:
        self.requests.append(request)
        uid = request.affected_sop_instance_uid
        if uid in self.aborting:
            self.aborting.discard(uid)
            raise AssociationAborted(0, 0, locally=True)
        comment = "as the test says" if uid in self.statuses else ""
        self.outcome: Outcome = (self.statuses.get(uid, 0), comment)
        return super().begin(core, context, request)

    @property
    def uids(self) -> list[str]:
        return [request.affected_sop_instance_uid for request in self.requests]


class Peer:
    """Whom every `Connect` of the transfer reaches.

    Attributes:
        store: Where objects go.
        ends: One for each association.
        refuse: Numbers of the associations, from 1, that are rejected.
        window: Operations that are served at once.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.store = Store()
        self.ends: list[End] = []
        self.refuse: set[int] = set()
        self.window = 16
        self.contexts = tuple(
            SupportedContext(abstract_syntax=uid, transfer_syntaxes=(EXPLICIT, JPEG))
            for uid in (CT, MR, *(f"1.2.{number}" for number in range(200)))
        )

    def attach(self, incoming: Pipe, outgoing: Pipe) -> None:
        end = self.network.acceptor(timeouts=TIMEOUTS, max_pdu_length=MAX_PDU_LENGTH)
        self.ends.append(end)
        end.start(
            serve(
                end.core,
                Acceptor(
                    policy=AcceptorPolicy(
                        contexts=self.contexts, max_pdu_length=MAX_PDU_LENGTH, max_performed=self.window
                    ),
                    services={CStoreRQ: storage(self.store)},
                    on_request=partial(self._decide, len(self.ends)),
                ),
            )
        )
        end.attach(incoming, outgoing)

    def _decide(self, number: int, _: Any) -> None:
        if number in self.refuse:
            raise AssociationRejected(2, 1, 1)


class Sender:
    """A transfer in memory."""

    def __init__(self) -> None:
        self.network = Network(seed=3)
        self.peer = Peer(self.network)
        self.end = self.network.requestor(None, timeouts=TIMEOUTS)
        self.end.server = self.peer  # type: ignore[assignment]  # `attach` is all that is asked of it

    @property
    def store(self) -> Store:
        return self.peer.store

    def run(self, *sources: Any, **options: Any) -> Report:
        job = Transfer(host="peer", port=104, timeouts=TIMEOUTS, sources=list(sources), **options)
        report: Report = self.end.run(transfer(job))
        return report


@pytest.fixture(autouse=True)
def _no_descriptor_is_lost() -> Iterator[None]:
    before = open_descriptors()
    yield
    assert open_descriptors() <= before


@pytest.fixture
def sender() -> Sender:
    return Sender()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five objects, `1.2.0` to `1.2.4`."""
    for number in range(5):
        write_file(tmp_path / f"{number}.dcm", f"1.2.{number}")
    return tmp_path


def outcomes(report: Report) -> list[tuple[str, Any]]:
    """File name, and status or kind of error."""
    return [
        (os.path.basename(each.name), each.status if each.error is None else type(each.error))
        for each in report.results
    ]


# ---------------------------------------------------------------------- all is well


def test_a_folder(sender: Sender, folder: Path) -> None:
    report = sender.run(folder)
    assert report.ok
    assert (report.stored, report.associations, report.skipped, report.endings) == (5, 1, [], [])
    assert sender.store.kept == [data_set(f"1.2.{number}") for number in range(5)]
    assert report.results[0] == StoreResult(
        name=f"{folder}/0.dcm",
        sop_class_uid=CT,
        sop_instance_uid="1.2.0",
        transfer_syntax=EXPLICIT,
        size=len(data_set("1.2.0")),
        original_transfer_syntax=EXPLICIT,
        file_length=(folder / "0.dcm").stat().st_size,
        file_modified=(folder / "0.dcm").stat().st_mtime_ns,
        association=1,
        context_id=1,
        status=0,
    )
    assert isinstance(sender.peer.ends[0].result, bool)


def test_nothing(sender: Sender, tmp_path: Path) -> None:
    assert sender.run(tmp_path) == Report()
    assert sender.peer.ends == []


def test_the_calls_in_their_order(sender: Sender, folder: Path) -> None:
    calls: list[tuple[str, Any]] = []

    def note(what: str) -> Callable[..., None]:
        return lambda *arguments: calls.append((what, arguments))

    sender.run(
        folder / "0.dcm",
        folder / "1.dcm",
        priority=Priority.HIGH,
        **{
            name: note(name)
            for name in (
                "on_start",
                "on_association",
                "on_skipped",
                "on_sending",
                "on_request",
                "on_result",
                "on_end",
            )
        },
    )
    each = ["on_sending", "on_request", "on_result"]
    assert [what for what, _ in calls] == ["on_start", "on_association", *each, *each, "on_end"]
    started = calls[0][1][0]
    assert [instance.sop_instance_uid for instance in started] == ["1.2.0", "1.2.1"]
    instance, context, message_id = calls[3][1]
    assert (instance, context.transfer_syntax, message_id) == (started[0], EXPLICIT, 1)
    assert sender.store.requests[0].priority is Priority.HIGH


def inodes() -> set[int]:
    return {number for _, _, number in open_descriptors()}


def test_a_file_is_closed_before_its_result_is_told(sender: Sender, folder: Path) -> None:
    before = open_descriptors()
    counts: list[int] = []

    def moved(result: StoreResult) -> None:
        assert os.stat(result.name).st_ino not in inodes()
        counts.append(len(open_descriptors() - before))
        os.unlink(result.name)

    assert sender.run(folder, on_result=moved).ok
    assert counts == [0] * 5
    assert os.listdir(folder) == []


def test_a_folder_is_looked_at_in_one_call(sender: Sender, folder: Path) -> None:
    report = sender.run(folder)
    assert report.ok
    calls = [effect for effect in sender.end.effects if isinstance(effect, Call)]
    assert len(calls) == 1  # the association's own calls are its child's


def test_the_first_association_is_limited_to_what_is_asked(sender: Sender, folder: Path) -> None:
    cores: list[AssociationCore] = []
    sender.run(folder, max_send_pdu_length=256, on_association=cores.append)
    assert cores[0].agreed.max_pdu_length_to_send == 256


def test_repeat(sender: Sender, folder: Path) -> None:
    report = sender.run(folder / "0.dcm", folder / "1.dcm", repeat=3)
    assert [name for name, _ in outcomes(report)] == ["0.dcm"] * 3 + ["1.dcm"] * 3
    assert sender.store.uids == ["1.2.0"] * 3 + ["1.2.1"] * 3


def test_abort_at_the_end(sender: Sender, folder: Path) -> None:
    report = sender.run(folder, abort=True)
    assert report.ok
    assert isinstance(sender.peer.ends[0].error, AssociationAborted)


def test_objects_that_need_many_associations(sender: Sender, tmp_path: Path) -> None:
    for number in range(150):
        write_file(tmp_path / f"{number:03}.dcm", f"1.3.{number}", f"1.2.{number}")
    report = sender.run(tmp_path)
    assert report.ok
    assert (report.associations, report.stored) == (3, 150)
    assert [each.association for each in report.results] == [1] * 64 + [2] * 64 + [3] * 22
    assert sender.store.uids == [f"1.3.{number}" for number in range(150)]


def test_a_data_set_is_converted(sender: Sender) -> None:
    source = Dataset()
    source.SOPClassUID, source.SOPInstanceUID = UID(CT), UID("1.2.3")
    source.set_original_encoding(True, True)
    report = sender.run(source)
    assert (report.results[0].transfer_syntax, report.results[0].name) == (EXPLICIT, "data set 1.2.3")
    assert sender.store.kept == [
        element(0x0008, 0x0016, "UI", CT.encode()) + element(0x0008, 0x0018, "UI", b"1.2.3")
    ]


# ---------------------------------------------------------------------- preparing ahead


class Watch:
    """Which calls come in which order, with the names of files; whose result is told has been closed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, str]] = []
        self._before = open_descriptors()
        opened = DataSetOpener.open

        def note_and_open(opener: DataSetOpener, instance: Instance, transfer_syntax: str) -> Payload:
            self.calls.append(("open", os.path.basename(instance.name)))
            return opened(opener, instance, transfer_syntax)

        monkeypatch.setattr(DataSetOpener, "open", note_and_open)

    def note(self, what: str) -> Callable[..., None]:
        return lambda instance, *_: self.calls.append((what, os.path.basename(instance.name)))

    def told(self, result: StoreResult) -> None:
        name = os.path.basename(result.name)
        self.calls.append(("result", name))
        prepared = self.of("open").count(name) > self.of("result").count(name)  # to be sent once more
        if os.path.exists(result.name) and not prepared:
            assert os.stat(result.name).st_ino not in inodes()
        assert len(open_descriptors() - self._before) <= 1

    def hooks(self) -> dict[str, Any]:
        return {
            "on_sending": self.note("sending"),
            "on_request": self.note("request"),
            "on_result": self.told,
        }

    def of(self, what: str) -> list[str]:
        return [name for each, name in self.calls if each == what]


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


NAMES = [f"{number}.dcm" for number in range(5)]


def test_the_next_is_prepared_before_the_answer(sender: Sender, folder: Path, watch: Watch) -> None:
    assert sender.run(folder, **watch.hooks()).ok
    order = [("open", "0.dcm"), ("sending", "0.dcm"), ("request", "0.dcm")]
    for this, following in pairwise(NAMES):
        order += [("open", following), ("result", this), ("sending", following), ("request", following)]
    assert watch.calls == [*order, ("result", "4.dcm")]


@pytest.mark.parametrize("halt", [False, True])
@pytest.mark.parametrize("hooked", [False, True])
@pytest.mark.parametrize("repeat", [1, 2])
def test_the_next_cannot_be_prepared(
    sender: Sender, folder: Path, watch: Watch, halt: bool, hooked: bool, repeat: int
) -> None:
    """It has its results in its turn, once for each time; the one before has not suffered."""

    def spoil(instance: Instance, *_: Any) -> None:
        if instance.sop_instance_uid == "1.2.1":
            (folder / "2.dcm").unlink(missing_ok=True)
        watch.calls.append(("request", os.path.basename(instance.name)))

    hooks = watch.hooks() if hooked else {}
    report = sender.run(folder, **{**hooks, "on_request": spoil}, halt=halt, repeat=repeat)
    rest: list[Any] = [DcmnetError] * (3 * repeat - 1) if halt else [InputFileError, 0, 0] * repeat
    kinds = [0] * (2 * repeat) + (
        [InputFileError, *rest] if halt else sorted(rest, key=lambda kind: kind == 0)
    )
    assert outcomes(report) == [
        (name, kind)
        for name, kind in zip([each for each in NAMES for _ in range(repeat)], kinds, strict=True)
    ]
    assert report.associations == 1
    assert sender.peer.ends[0].result is True  # released
    sent = NAMES[:2] if halt else [*NAMES[:2], *NAMES[3:]]
    assert watch.of("request") == [each for each in sent for _ in range(repeat)]
    if hooked:
        assert watch.of("result") == [name for name, _ in outcomes(report)]
        reached = NAMES[:2] if halt else NAMES
        expected = [each for each in reached for _ in range(repeat)] + (["2.dcm"] if halt else [])
        assert watch.of("sending") == expected


@pytest.mark.parametrize("halt", [False, True])
def test_the_next_fits_no_context(sender: Sender, folder: Path, watch: Watch, halt: bool) -> None:
    """Nothing is opened for it, and the file before is closed all the same when its result is told."""
    write_file(folder / "2.dcm", "1.2.2", "1.9.9")
    report = sender.run(folder, halt=halt, **watch.hooks())
    rest = [DcmnetError] * 2 if halt else [0, 0]
    assert [kind for _, kind in outcomes(report)] == [0, 0, NoPresentationContext, *rest]
    assert watch.of("open") == (NAMES[:2] if halt else [*NAMES[:2], *NAMES[3:]])
    assert watch.of("result") == NAMES


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("hooked", [False, True])
@pytest.mark.parametrize("repeat", [1, 2])
def test_an_association_that_is_lost_while_the_next_is_prepared(
    sender: Sender, folder: Path, watch: Watch, number: int, hooked: bool, repeat: int
) -> None:
    sender.store.aborting = {f"1.2.{number}"}
    report = sender.run(folder, repeat=repeat, **(watch.hooks() if hooked else {}))
    every = [each for each in NAMES for _ in range(repeat)]
    lost = number * repeat
    assert [name for name, _ in outcomes(report)] == every
    assert [each.status for each in report.results] == [
        None if each == lost else 0 for each in range(5 * repeat)
    ]
    opened_ahead = every[lost + 1 : lost + 2]  # and once more for the next association
    assert watch.of("open") == [*every[: lost + 1], *opened_ahead, *every[lost + 1 :]]
    assert watch.of("result") == (every if hooked else [])
    assert watch.of("sending") == (every if hooked else [])


@pytest.mark.parametrize("hooked", [False, True])
def test_halt_with_one_prepared(sender: Sender, folder: Path, watch: Watch, hooked: bool) -> None:
    sender.store.statuses = {"1.2.1": 0xA700}
    report = sender.run(folder, halt=True, repeat=2, **(watch.hooks() if hooked else {}))
    every = [each for each in NAMES for _ in range(2)]
    assert outcomes(report) == list(zip(every, [0, 0, 0xA700] + [DcmnetError] * 7, strict=True))
    assert sender.store.uids == ["1.2.0", "1.2.0", "1.2.1"]
    assert watch.of("open") == every[:4]
    assert watch.of("result") == (every if hooked else [])
    assert sender.peer.ends[0].result is True


@pytest.fixture
def nothing_read_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for data sets that are too long to be read before they may leave."""
    monkeypatch.setattr(sources, "READ_AHEAD_LENGTH", -1)
    monkeypatch.setattr(looking, "KEPT_FILE_LENGTH", -1)


def test_what_was_read_ahead_is_sent(sender: Sender, folder: Path, watch: Watch) -> None:
    """It was read when the file was as it had been looked at: what happens to the file then is no matter."""
    whole = sources.describe(folder / "2.dcm")
    expected = (folder / "2.dcm").read_bytes()[whole.offset :]

    def told(result: StoreResult) -> None:
        if result.sop_instance_uid == "1.2.1":
            os.truncate(folder / "2.dcm", 300)

    report = sender.run(folder, on_result=told)
    assert [kind for _, kind in outcomes(report)] == [0] * 5
    assert expected in sender.peer.store.kept


@pytest.mark.parametrize("failure", ["short", "error"])
def test_what_cannot_be_read_ahead_is_read_when_it_leaves(
    sender: Sender, folder: Path, failure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pread(fd: int, count: int, offset: int) -> bytes:
        if failed:
            return real(fd, count, offset)
        failed.append(fd)
        if failure == "error":
            raise OSError(5, "Input/output error")
        return real(fd, 1, offset)

    monkeypatch.setattr(looking, "KEPT_FILE_LENGTH", -1)
    real = os.pread
    failed: list[int] = []
    monkeypatch.setattr(os, "pread", pread)
    report = sender.run(folder)
    assert failed
    assert [kind for _, kind in outcomes(report)] == [0] * 5


@pytest.mark.usefixtures("nothing_read_ahead")
def test_the_next_shrinks_when_it_is_prepared(sender: Sender, folder: Path, watch: Watch) -> None:
    """Nothing of it went out: the association stays."""

    def told(result: StoreResult) -> None:
        watch.told(result)
        if result.sop_instance_uid == "1.2.1":
            os.truncate(folder / "2.dcm", 300)

    report = sender.run(folder, **{**watch.hooks(), "on_result": told})
    assert [kind for _, kind in outcomes(report)] == [0, 0, InputFileError, 0, 0]
    assert str(report.results[2].error).startswith(f"{folder}/2.dcm: ")
    assert watch.of("result") == NAMES


def pending(sender: Sender, folder: Path, **options: Any) -> tuple[Report, Procedure[Any]]:
    """What a transfer does on one association, on one that is there."""
    core = established(sender)
    job = Transfer(host="peer", port=104, timeouts=TIMEOUTS, **options)
    report = Report(associations=1)
    line = Line(Plan(instances=[sources.describe(folder / name) for name in NAMES]), 1)
    empty = Feed(job)
    return report, closing(core, Pipeline(core, job, Outcomes(job, report), empty, line, 1).run())


@pytest.mark.usefixtures("nothing_read_ahead")
def test_a_transfer_that_is_dropped_with_one_prepared(sender: Sender, folder: Path) -> None:
    report, procedure = pending(sender, folder)
    sender.peer.ends[0].reading = False
    sender.end.start(procedure)
    del procedure
    sender.network.settle()
    first, second = (os.stat(folder / name).st_ino for name in NAMES[:2])
    assert first not in inodes()
    assert second in inodes()
    sender.end.drop()
    sender.end.effects.clear()
    sender.end.error = sender.end._procedure = None
    gc.collect()
    assert second not in inodes()
    assert report.results == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ZeroDivisionError()])
def test_preparing_that_is_interrupted(sender: Sender, folder: Path, error: BaseException) -> None:
    report, procedure = pending(sender, folder)
    sender.end.interrupt_at(Call, error, 2)
    with pytest.raises(type(error)):
        sender.end.run(procedure)
    sender.network.settle()
    assert isinstance(sender.peer.ends[0].error, AssociationAborted)
    assert report.results == []


# ---------------------------------------------------------------------- files that will not do


def test_what_is_no_dicom_is_passed_over_in_folders_only(sender: Sender, folder: Path) -> None:
    notes = folder / "notes.txt"
    notes.write_text("not DICOM")
    skipped: list[tuple[str, str]] = []
    report = sender.run(folder, on_skipped=lambda *each: skipped.append(each))
    assert report.ok
    assert report.skipped == skipped == [(str(notes), f"{notes}: {WHY_NOT}")]
    report = sender.run(notes, folder / "0.dcm")
    assert outcomes(report) == [("notes.txt", ForeignFile), ("0.dcm", 0)]
    assert not report.ok
    assert report.skipped == []


def test_a_folder_without_anybody_who_is_told(sender: Sender, folder: Path) -> None:
    (folder / "notes.txt").write_text("not DICOM")
    assert len(sender.run(folder).skipped) == 1


def test_a_broken_file_in_a_folder_is_no_success(sender: Sender, folder: Path) -> None:
    broken = folder / "2.dcm"
    os.truncate(broken, 200)
    report = sender.run(folder)
    assert outcomes(report)[0] == ("2.dcm", InputFileError)
    assert (report.stored, report.failed, report.skipped) == (4, 1, [])


def test_files_that_vanish_or_change(sender: Sender, folder: Path) -> None:
    def spoil(_: list[Instance]) -> None:
        os.unlink(folder / "1.dcm")
        os.truncate(folder / "3.dcm", 400)

    report = sender.run(folder, on_start=spoil)
    assert outcomes(report) == [
        ("0.dcm", 0),
        ("1.dcm", InputFileError),
        ("2.dcm", 0),
        ("3.dcm", InputFileError),
        ("4.dcm", 0),
    ]
    assert report.associations == 1
    assert report.results[1].association == 1


@pytest.mark.parametrize("length", [700, 60_000])
@pytest.mark.usefixtures("nothing_read_ahead")
def test_a_file_that_shrinks_while_it_is_sent(sender: Sender, folder: Path, length: int) -> None:
    """Later than its first bytes went out the association has to end; the rest goes over another one."""
    big = write_file(folder / "2.dcm", "1.2.2", data=data_set("1.2.2") + bytes(600_000))

    def spoil(instance: Instance, *_: Any) -> None:
        if instance.sop_instance_uid == "1.2.2":
            os.truncate(big, length)

    report = sender.run(folder, on_request=spoil, max_send_pdu_length=4096)
    assert [kind for _, kind in outcomes(report)] == [0, 0, InputFileError, 0, 0]
    assert str(report.results[2].error).startswith(f"{big}: the file has become shorter")


@pytest.mark.usefixtures("nothing_read_ahead")
def test_a_file_that_shrinks_after_its_first_bytes_went_out(sender: Sender, folder: Path) -> None:
    big = write_file(folder / "2.dcm", "1.2.2", data=data_set("1.2.2") + bytes(900_000))
    begin = sender.store.begin

    def spoil(core: AssociationCore, context: AcceptedContext, request: CStoreRQ) -> Any:
        if request.affected_sop_instance_uid == "1.2.2":
            os.truncate(big, 400_000)
        return begin(core, context, request)

    sender.store.begin = spoil  # type: ignore[method-assign]
    report = sender.run(folder)
    assert [kind for _, kind in outcomes(report)] == [0, 0, InputFileError, 0, 0]
    assert [each.association for each in report.results] == [1, 1, 1, 2, 2]
    assert report.associations == 2


def test_no_presentation_context(sender: Sender, folder: Path) -> None:
    write_file(folder / "2.dcm", "1.2.2", "1.9.9")
    write_file(folder / "3.dcm", "1.2.3", transfer_syntax="1.2.840.10008.1.2.4.90")
    report = sender.run(folder)
    assert outcomes(report) == [
        ("0.dcm", 0),
        ("1.dcm", 0),
        ("2.dcm", NoPresentationContext),
        ("3.dcm", NoPresentationContext),
        ("4.dcm", 0),
    ]


# ---------------------------------------------------------------------- peers that will not


def test_statuses_are_results(sender: Sender, folder: Path) -> None:
    sender.store.statuses = {"1.2.1": 0xA700, "1.2.3": 0xB000}
    report = sender.run(folder)
    assert [kind for _, kind in outcomes(report)] == [0, 0xA700, 0, 0xB000, 0]
    assert (report.failed, report.warnings, report.results[1].comment) == (1, 1, "as the test says")


def test_halt_stops_at_the_first_failure(sender: Sender, folder: Path) -> None:
    sender.store.statuses = {"1.2.1": 0xA700}
    report = sender.run(folder, halt=True)
    assert outcomes(report) == [
        ("0.dcm", 0),
        ("1.dcm", 0xA700),
        ("2.dcm", DcmnetError),
        ("3.dcm", DcmnetError),
        ("4.dcm", DcmnetError),
    ]
    why = f"not sent: the transfer stopped when {folder}/1.dcm was not stored"
    assert str(report.results[2].error) == why
    assert [each.association for each in report.results] == [1, 1, 0, 0, 0]
    assert sender.peer.ends[0].result is True  # released, not aborted


def test_halt_does_not_stop_at_a_warning(sender: Sender, folder: Path) -> None:
    sender.store.statuses = {"1.2.1": 0xB000}
    assert sender.run(folder, halt=True).ok


def test_halt_before_the_first_association(sender: Sender, folder: Path) -> None:
    report = sender.run(folder / "missing", folder / "0.dcm", halt=True, repeat=2)
    assert outcomes(report) == [("missing", InputFileError), ("0.dcm", DcmnetError), ("0.dcm", DcmnetError)]
    assert sender.peer.ends == []


def test_halt_stops_the_associations_to_come(sender: Sender, tmp_path: Path) -> None:
    for number in range(100):
        write_file(tmp_path / f"{number:03}.dcm", f"1.3.{number}", f"1.2.{number}")
    sender.store.statuses = {"1.3.10": 0xC000}
    report = sender.run(tmp_path, halt=True)
    assert (len(report.results), report.stored, report.associations) == (100, 10, 1)


@pytest.mark.usefixtures("nothing_read_ahead")
def test_halt_when_a_file_fails_in_the_middle(sender: Sender, folder: Path) -> None:
    big = write_file(folder / "2.dcm", "1.2.2", data=data_set("1.2.2") + bytes(900_000))
    begin = sender.store.begin

    def spoil(core: AssociationCore, context: AcceptedContext, request: CStoreRQ) -> Any:
        if request.affected_sop_instance_uid == "1.2.2":
            os.truncate(big, 400_000)
        return begin(core, context, request)

    sender.store.begin = spoil  # type: ignore[method-assign]
    report = sender.run(folder, halt=True)
    assert [kind for _, kind in outcomes(report)] == [0, 0, InputFileError, DcmnetError, DcmnetError]
    assert report.associations == 1


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("repeat", [1, 2])
def test_an_association_that_is_lost(sender: Sender, folder: Path, number: int, repeat: int) -> None:
    """The object under way is set aside; the rest goes over another association."""
    sender.store.aborting = {f"1.2.{number}"}
    report = sender.run(folder, repeat=repeat)
    assert Counter(os.path.basename(each.name) for each in report.results) == {
        f"{each}.dcm": repeat for each in range(5)
    }
    lost, count = number * repeat, 5 * repeat
    assert [each.status for each in report.results] == [None if each == lost else 0 for each in range(count)]
    assert isinstance(report.results[lost].error, AssociationAborted)
    assert [each.association for each in report.results] == [1] * (lost + 1) + [2] * (count - lost - 1)
    assert report.associations == (1 if lost == count - 1 else 2)
    assert (report.missing, report.endings) == ([], [])


def test_the_first_association_is_refused(sender: Sender, folder: Path) -> None:
    sender.peer.refuse = {1}
    with pytest.raises(AssociationRejected):
        sender.run(folder)


def test_there_is_nobody(folder: Path) -> None:
    end = Network().requestor(None, timeouts=TIMEOUTS)
    end.server = type("Nobody", (), {"attach": _refuse})()
    with pytest.raises(TransportClosed):
        end.run(transfer(Transfer(host="peer", port=104, sources=[folder])))


def _refuse(*_: Any) -> None:
    raise TransportClosed("cannot connect to peer")


def test_a_later_association_is_refused(sender: Sender, tmp_path: Path) -> None:
    for number in range(100):
        write_file(tmp_path / f"{number:03}.dcm", f"1.3.{number}", f"1.2.{number}")
    sender.peer.refuse = {2}
    report = sender.run(tmp_path, repeat=2)
    assert (len(report.results), report.stored, report.associations) == (200, 128, 1)
    assert all(isinstance(each.error, AssociationRejected) for each in report.results[128:])


def test_an_ae_title_that_is_none(sender: Sender, folder: Path) -> None:
    with pytest.raises(LocalProtocolError):
        sender.run(folder, called="A" * 17)
    assert sender.peer.ends == []


def test_a_peer_that_does_not_release(sender: Sender, folder: Path) -> None:
    """What has been answered for stays answered for."""

    def stall(core: AssociationCore) -> None:
        sender.peer.ends[0].interrupt(AssociationAborted(0, 0, locally=True))

    report = sender.run(folder, on_end=stall)
    assert report.ok
    assert len(report.results) == 5
    assert len(report.endings) == 1


# ---------------------------------------------------------------------- callers that fail


@pytest.mark.parametrize("name", ["on_association", "on_sending", "on_request", "on_result", "on_end"])
def test_a_call_that_fails_ends_the_association(sender: Sender, folder: Path, name: str) -> None:
    failure = RuntimeError("on purpose")

    def fail(*_: Any) -> None:
        raise failure

    with pytest.raises(RuntimeError, match="on purpose"):
        sender.run(folder, **{name: fail})
    sender.network.settle()
    assert isinstance(sender.peer.ends[0].error, AssociationAborted)


def test_a_start_that_fails(sender: Sender, folder: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        sender.run(folder, on_start=lambda _: 1 // 0)
    assert sender.peer.ends == []


def test_a_transfer_that_is_dropped(folder: Path) -> None:
    """Nobody is left to carry out effects: what is open goes with the last reference to it."""
    job = Transfer(host="peer", port=104, sources=[folder])
    procedure = transfer(job)
    next(procedure)
    procedure.close()


# ---------------------------------------------------------------------- one source


def established(sender: Sender) -> AssociationCore:
    sender.end.run(establish(sender.end.core, "peer", 104, REQUEST))
    return sender.end.core


def test_store_source(sender: Sender, folder: Path) -> None:
    core = established(sender)
    before = len(sender.end.effects)
    response = sender.end.run(store_source(core, folder / "0.dcm", Priority.LOW))
    assert response.status == 0
    assert sender.store.requests[0].priority is Priority.LOW
    assert sum(isinstance(effect, Call) for effect in sender.end.effects[before:]) == 2
    assert sender.store.kept == [data_set("1.2.0")]


@pytest.mark.parametrize("source", ["missing.dcm", "mr.dcm"])
def test_what_store_source_cannot_send_leaves_the_association(
    sender: Sender, folder: Path, source: str
) -> None:
    write_file(folder / "mr.dcm", "1.2.9", MR)
    core = established(sender)
    with pytest.raises((InputFileError, NoPresentationContext)):
        sender.end.run(store_source(core, folder / source))
    assert sender.end.run(store_source(core, folder / "0.dcm")).status == 0


def test_store_source_without_an_association(sender: Sender, folder: Path) -> None:
    with pytest.raises(LocalProtocolError):
        sender.end.run(store_source(sender.end.core, folder / "0.dcm"))


@pytest.mark.usefixtures("nothing_read_ahead")
def test_store_source_that_is_dropped_in_the_middle(sender: Sender, folder: Path) -> None:
    write_file(folder / "0.dcm", "1.2.0", data=data_set("1.2.0") + bytes(900_000))
    core = established(sender)
    sender.peer.ends[0].reading = False
    sender.end.start(store_source(core, folder / "0.dcm"))
    sender.network.settle()
    assert not sender.end.finished
    inode = os.stat(folder / "0.dcm").st_ino
    assert inode in [number for _, _, number in open_descriptors()]
    sender.end.drop()
    sender.end.effects.clear()
    sender.end.error = sender.end._procedure = None
    gc.collect()
    assert inode not in [number for _, _, number in open_descriptors()]


@pytest.mark.usefixtures("nothing_read_ahead")
def test_store_source_of_a_file_that_shrinks(sender: Sender, folder: Path) -> None:
    path = write_file(folder / "0.dcm", "1.2.0", data=data_set("1.2.0") + bytes(900_000))
    core = established(sender)
    sender.peer.ends[0].reading = False
    sender.end.start(store_source(core, path))
    sender.network.settle()
    os.truncate(path, 1000)
    sender.peer.ends[0].reading = True
    with pytest.raises(InputFileError, match=r"0\.dcm: the file has become shorter"):
        sender.end.finish()


def test_what_a_transfer_asks_for() -> None:
    job = Transfer(host="peer", port=104, called="THEM", calling="ME", max_pdu_length=4096)
    request = job.request(())
    assert (request.called_ae_title, request.calling_ae_title, request.max_pdu_length) == ("THEM", "ME", 4096)
    assert replace(job, timeouts=TIMEOUTS).new_core().timeouts is TIMEOUTS
    assert Proposal() == job.proposal


# ---------------------------------------------------------------------- several requests under way


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """Forty objects, small, middling and large."""
    for number in range(40):
        extra = {7: 100_000, 8: 90_000, 20: 1_100_000}.get(number, 0)
        write_file(
            tmp_path / f"{number:02}.dcm", f"1.2.{number}", data=data_set(f"1.2.{number}") + bytes(extra)
        )
    return tmp_path


@pytest.mark.parametrize("window", [2, 5, 16, 32])
@pytest.mark.parametrize("slow", [False, True])
def test_a_window(sender: Sender, many: Path, window: int, slow: bool) -> None:
    sender.store.may_take_long = slow
    report = sender.run(many, window=window)
    assert report.ok
    assert report.associations == 1
    assert [each.sop_instance_uid for each in report.results] != [] and len(report.results) == 40
    assert sorted(sender.store.uids) == sorted(f"1.2.{number}" for number in range(40))
    assert {len(each) for each in sender.store.kept} == {each.size for each in report.results}
    client = sender.peer.ends[0]
    assert client.core.agreed.max_performed == min(window, 16)


def test_a_peer_that_grants_no_window_gets_lockstep(sender: Sender, folder: Path, watch: Watch) -> None:
    sender.peer.window = 1
    assert sender.run(folder, window=8, **watch.hooks()).ok
    order = [("open", "0.dcm"), ("sending", "0.dcm"), ("request", "0.dcm")]
    for this, following in pairwise(NAMES):
        order += [("open", following), ("result", this), ("sending", following), ("request", following)]
    assert watch.calls == [*order, ("result", "4.dcm")]


def test_small_objects_leave_together(sender: Sender, folder: Path, watch: Watch) -> None:
    assert sender.run(folder, window=8, **watch.hooks()).ok
    assert watch.of("open") == watch.of("sending") == watch.of("request") == NAMES
    assert [what for what, _ in watch.calls[:5]] == ["open"] * 5
    assert sorted(watch.of("result")) == NAMES


@pytest.mark.parametrize("number", [0, 3, 9, 20, 39])
def test_an_association_that_is_lost_with_a_window(sender: Sender, many: Path, number: int) -> None:
    """What was under way is sent again one by one: only the object at fault fails."""
    sender.store.aborting = Always({f"1.2.{number}"})
    told: list[str] = []
    report = sender.run(many, window=8, on_result=lambda result: told.append(result.name))
    assert sorted(told) == [str(many / f"{number:02}.dcm") for number in range(40)]
    assert len(report.results) == 40
    assert [each.sop_instance_uid for each in report.results if not each.ok] == [f"1.2.{number}"]
    assert {type(each.error) for each in report.results if not each.ok} == {AssociationAborted}
    assert report.associations <= 4


@pytest.mark.parametrize("seed", range(5))
def test_halt_with_a_window(sender: Sender, many: Path, seed: int) -> None:
    """What was under way is answered, nothing else is sent."""
    sender.network.random.seed(seed)
    sender.store.statuses = {"1.2.3": 0xA700}
    report = sender.run(many, window=4, halt=True)
    assert len(report.results) == 40
    assert len(sender.store.uids) == sum(each.status is not None for each in report.results) <= 8
    unsent = [each for each in report.results if each.status is None]
    assert {str(each.error) for each in unsent} == {
        f"not sent: the transfer stopped when {many}/03.dcm was not stored"
    }


@pytest.mark.parametrize("broken", ["before", "within"])
def test_a_large_file_that_shrinks_with_a_window(sender: Sender, many: Path, broken: str) -> None:
    large = many / "20.dcm"

    def shrink(instance: Instance, *_: Any) -> None:
        if instance.name == str(large):
            os.truncate(large, 400 if broken == "before" else 700_000)

    report = sender.run(many, window=8, on_request=shrink)
    assert [os.path.basename(each.name) for each in report.results if not each.ok] == ["20.dcm"]
    assert isinstance(next(each.error for each in report.results if not each.ok), InputFileError)
    assert len(report.results) == 40
    assert report.associations == (1 if broken == "before" else 2)


def test_what_cannot_be_encoded_is_not_sent(sender: Sender, folder: Path) -> None:
    """With a window as without: the others go."""
    for window in (1, 4):
        job = Transfer(host="peer", port=104, timeouts=TIMEOUTS, window=window)
        core = established(Sender())
        instances = [sources.describe(folder / name) for name in NAMES[:2]]
        bad = replace(instances[0], sop_instance_uid="no UID")
        report = Report()
        line = Line(Plan(instances=[bad, instances[1]]), 1)
        empty = Feed(job)
        one = Pipeline(core, job, Outcomes(job, report), empty, line, 1)
        effects = [each for each in _prepared(one) if isinstance(each, Send)]
        assert isinstance(report.results[0].error, LocalProtocolError)
        assert len(effects) == 1


def _prepared(one: Pipeline) -> list[Any]:
    """The effects up to the first wait for an answer."""
    procedure = one.run()
    effects = [next(procedure)]
    while not isinstance(effects[-1], Receive):
        effect = effects[-1]
        outcome = effect.handler(*effect.args) if isinstance(effect, Call) else True
        effects.append(procedure.send(outcome))
    procedure.close()
    return effects


# ---------------------------------------------------------------------- several associations


@pytest.mark.parametrize("parallel", [2, 3, 8])
@pytest.mark.parametrize("window", [1, 4])
def test_several_associations(sender: Sender, many: Path, parallel: int, window: int) -> None:
    report = sender.run(many, parallel=parallel, window=window)
    assert report.ok
    assert len(report.results) == 40
    assert report.associations == parallel
    assert sorted(sender.store.uids) == sorted(f"1.2.{number}" for number in range(40))
    assert {each.association for each in report.results} <= set(range(1, parallel + 1))
    assert all(end.result is True for end in sender.peer.ends)


def test_no_more_associations_than_objects(sender: Sender, folder: Path) -> None:
    assert sender.run(folder, parallel=20).ok
    assert len(sender.peer.ends) == 5


def test_one_of_several_is_refused(sender: Sender, many: Path) -> None:
    sender.peer.refuse = {2}
    report = sender.run(many, parallel=2)
    assert report.ok
    assert report.associations == 1
    assert [type(error) for error in report.missing] == [AssociationRejected]


def test_all_of_several_are_refused(sender: Sender, many: Path) -> None:
    sender.peer.refuse = {1, 2}
    with pytest.raises(AssociationRejected):
        sender.run(many, parallel=2)


def test_one_of_several_is_lost(sender: Sender, many: Path) -> None:
    """What it had under way has no answer; the rest goes over the other one."""
    sender.store.aborting = {"1.2.5"}
    report = sender.run(many, parallel=2)
    assert (report.failed, report.stored) == (1, 39)
    assert [each.sop_instance_uid for each in report.results if not each.ok] == ["1.2.5"]


def test_halt_stops_all(sender: Sender, many: Path) -> None:
    sender.store.statuses = {"1.2.3": 0xA700}
    report = sender.run(many, parallel=3, halt=True)
    assert len(report.results) == 40
    assert sum(each.status is not None for each in report.results) < 20


@pytest.mark.parametrize(("window", "parallel"), [(0, 1), (1001, 1), (1, 0), (-1, 1)])
def test_numbers_that_cannot_be(window: int, parallel: int) -> None:
    with pytest.raises(ValueError, match="expected 1"):
        Transfer(host="peer", port=104, window=window, parallel=parallel)


# ---------------------------------------------------------------------- looking while sending


@pytest.fixture
def few_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (feed, scu_module):
        monkeypatch.setattr(module, "SCAN_FIRST", 10)
    monkeypatch.setattr(feed, "SCAN_STEP", 3)
    monkeypatch.setattr(feed, "LOOK_AHEAD", 7)
    monkeypatch.setattr(pipeline, "SCAN_STEP", 3)
    monkeypatch.setattr(pipeline, "SCAN_MANY", 3)


@pytest.mark.usefixtures("few_at_first")
@pytest.mark.parametrize("window", [1, 8])
@pytest.mark.parametrize("parallel", [1, 2])
def test_folders_are_searched_while_sending(sender: Sender, many: Path, window: int, parallel: int) -> None:
    write_file(many / "25.dcm", "1.2.25", "1.2.7")  # needs another context
    (many / "notes.txt").write_text("not DICOM")
    started: list[int] = []
    later: list[int] = []
    report = sender.run(
        many,
        window=window,
        parallel=parallel,
        on_start=lambda found: started.append(len(found)),
        on_found=lambda found: later.append(len(found)),
    )
    assert report.ok
    assert len(report.results) == 40
    assert len(report.skipped) == 1
    assert started == [10]
    assert sum(later) == 30
    assert max(later) <= 3
    assert report.associations == parallel + 1
    assert sorted(sender.store.uids) == sorted(f"1.2.{number}" for number in range(40))


@pytest.mark.usefixtures("few_at_first")
@pytest.mark.parametrize("how", ["lost", "halt"])
def test_what_was_not_looked_for_has_its_outcome_too(sender: Sender, many: Path, how: str) -> None:
    write_file(many / "25.dcm", "1.2.25", "1.2.7")
    if how == "lost":
        sender.store.aborting = {"1.2.3"}
    else:
        sender.store.statuses = {"1.2.3": 0xA700}
    report = sender.run(many, halt=how == "halt")
    assert len(report.results) == 40
    assert report.stored == (39 if how == "lost" else 3)
    assert report.associations == (3 if how == "lost" else 1)


@pytest.mark.usefixtures("few_at_first")
@pytest.mark.parametrize("how", ["lost", "given up", "broken", "window"])
def test_what_was_not_looked_for_when_an_association_ends(sender: Sender, many: Path, how: str) -> None:
    """What nothing is known of yet is not forgotten, even if nothing else waits."""
    write_file(many / "25.dcm", "1.2.25", "1.2.7")
    large = write_file(many / "09.dcm", "1.2.9", data=data_set("1.2.9") + bytes(1_500_000))
    for number in range(100):
        (many / f"09.x{number:02}.txt").write_text("not DICOM")
    found: list[str] = []
    sender.store.aborting = set() if how == "broken" else Always({"1.2.9"})

    def shrink(instance: Instance, *_: Any) -> None:
        if instance.name == str(large) and how == "broken":
            os.truncate(large, 700_000)

    report = sender.run(
        many,
        window=4 if how == "window" else 1,
        max_lost_in_a_row=1 if how == "given up" else 10,
        on_request=shrink,
        on_start=lambda instances: found.extend(each.name for each in instances),
        on_found=lambda instances: found.extend(each.name for each in instances),
    )
    assert len(report.results) == 40
    assert report.stored == (9 if how == "given up" else 39)
    assert how == "given up" or len(found) == 40


@pytest.mark.usefixtures("few_at_first")
def test_a_folder_that_begins_with_what_is_no_dicom(sender: Sender, folder: Path) -> None:
    for number in range(25):
        (folder / f"{number:02}-note.txt").write_text("not DICOM")
    report = sender.run(folder)
    assert report.ok
    assert (report.stored, len(report.skipped)) == (5, 25)


@pytest.mark.usefixtures("few_at_first")
@pytest.mark.parametrize("window", [1, 8])
def test_a_small_file_is_opened_once(
    sender: Sender, many: Path, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: Counter[str] = Counter()
    real = os.open

    def counted(path: Any, flags: int, *how: Any, **more: Any) -> int:
        opened[os.path.basename(path)] += 1
        return real(path, flags, *how, **more)

    monkeypatch.setattr(os, "open", counted)
    assert sender.run(many, window=window).ok
    large = {"07.dcm", "08.dcm", "20.dcm"}
    assert opened == {each: 2 if each in large else 1 for each in os.listdir(many)}


@pytest.mark.parametrize("how", ["in memory", "not kept", "parallel", "large", "converted", "changed"])
def test_what_is_in_memory_is_opened_in_place(
    sender: Sender, folder: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """But for what was read before the association; what may take its time the face carries out its way."""
    monkeypatch.setattr(scu_module, "SCAN_FIRST", 1)
    options: dict[str, Any] = {"parallel": 2} if how == "parallel" else {}
    if how == "not kept":
        monkeypatch.setattr(feed, "KEPT_LENGTH", 0)
    elif how == "large":
        for number in range(5):
            data = data_set(f"1.2.{number}") + bytes(100_000)
            write_file(folder / f"{number}.dcm", f"1.2.{number}", data=data)
    elif how == "converted":
        sender.peer.contexts = (SupportedContext(abstract_syntax=CT, transfer_syntaxes=(IMPLICIT,)),)
    elif how == "changed":
        options["proposal"] = Proposal(encoding=Encoding(new_vr=False))
    calls: list[Any] = []
    carry_out = End._carry_out_at_once

    def noted(end: End, effect: Any) -> Any:
        if isinstance(effect, Call) and getattr(effect.handler, "__name__", "") == "_open_all":
            calls.append(effect)
        return carry_out(end, effect)

    monkeypatch.setattr(End, "_carry_out_at_once", noted)
    report = sender.run(folder, **options)
    assert report.ok
    assert len(calls) == (1 if how == "in memory" else 5)
    assert len(sender.store.kept) == 5


@pytest.mark.usefixtures("few_at_first")
@pytest.mark.parametrize("repeat", [1, 2])
@pytest.mark.parametrize("room", [0, 3000, 1 << 20])
def test_what_is_kept_while_sending(
    sender: Sender, many: Path, repeat: int, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never more than there is room for, and nothing in the end; what arrives is the same."""
    monkeypatch.setattr(feed, "KEPT_LENGTH", room)
    write_file(many / "25.dcm", "1.2.25", "1.2.7")  # needs another context, and waits for long
    kept: list[Contents] = []
    lengths: list[int] = []
    init = Contents.__init__

    def noted(contents: Contents, room: int = 0) -> None:
        init(contents, room)
        kept.append(contents)

    monkeypatch.setattr(Contents, "__init__", noted)
    report = sender.run(many, repeat=repeat, on_result=lambda _: lengths.append(room - kept[0].room))
    assert report.ok
    assert len(report.results) == 40 * repeat
    assert max(lengths) <= room
    assert kept[0].room == room
    sent = {each.sop_instance_uid: each.name for each in report.results}
    for request, data in zip(sender.store.requests, sender.store.kept, strict=True):
        assert Path(sent[request.affected_sop_instance_uid]).read_bytes().endswith(data)


def test_a_file_that_was_kept_while_the_transfer_waited(sender: Sender, folder: Path) -> None:
    """It is another file by the time of the next association, and goes out as it is then."""
    sender.store.aborting = {"1.2.0"}
    other = data_set("1.2.4", extra=element(0x0020, 0x0010, "SH", b"OTHER")), data_set("1.2.4")

    def wait(error: DcmnetError, seconds: float) -> None:
        content = (folder / "4.dcm").read_bytes()
        (folder / "4.dcm").write_bytes(content.replace(b"TEST^OBJECT", b"NEXT^OBJECT"))
        write_file(folder / "3.dcm", "1.2.3", data=other[0])

    report = sender.run(folder, retries=1, retry_wait=0, on_retry=wait)
    assert outcomes(report) == [
        ("1.dcm", 0),
        ("2.dcm", 0),
        ("3.dcm", InputFileError),
        ("4.dcm", 0),
        ("0.dcm", 0),
    ]
    assert sender.store.kept[-2] == other[1].replace(b"TEST^OBJECT", b"NEXT^OBJECT")


@pytest.mark.parametrize("watched", [False, True])
def test_what_was_read_leaves_in_one_call(folder: Path, watched: bool) -> None:
    """Unless somebody wants to see how it proceeds."""
    path = write_file(folder / "0.dcm", "1.2.0", data=data_set("1.2.0") + bytes(900_000))
    progress: list[int] = []
    job = Transfer(
        host="peer",
        port=104,
        timeouts=TIMEOUTS,
        on_progress=(lambda _, sent: progress.append(sent)) if watched else None,
    )
    core = established(Sender())
    line = Line(Plan(instances=[sources.describe(path)]), 1)
    effects = _prepared(Pipeline(core, job, Outcomes(job, Report()), Feed(job), line, 1))
    sends = [each for each in effects if isinstance(each, Send)]
    assert (len(sends), len(progress)) == ((4, 4) if watched else (1, 0))
