"""The Storage SCP: what is kept, under which name, what is answered; nothing half-done is ever seen."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pydicom
import pytest

from dcmnet.acse import AcceptedContext, Negotiated
from dcmnet.dimse.messages import CStoreRQ
from dcmnet.errors import AssociationAborted, DeadlineExceeded, InputFileError
from dcmnet.limits import Limits, Timeouts
from dcmnet.procedures.association import AssociationCore, new_core
from dcmnet.registry.sop_classes import STUDY_ROOT_FIND, VERIFICATION
from dcmnet.services.storage import Outcome
from dcmnet.storage.conversion import Conversion
from dcmnet.storage.elements import HEAD_LENGTH
from dcmnet.storage.files import Duplicates
from dcmnet.storage.naming import default_name
from dcmnet.storage.scp import FileStore, StoreRequest
from tests.unit.objects import CT, DEFLATED, EXPLICIT, IMPLICIT, MR, data_set, element, open_descriptors

Report = list[tuple[str, BaseException | None]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "received").mkdir()
    return tmp_path / "received"


@pytest.fixture(autouse=True)
def _nothing_stays_open() -> Any:
    before = open_descriptors()
    yield
    assert open_descriptors() <= before


def new_association(calling: str = "MODALITY") -> AssociationCore:
    core = new_core(requestor=False, timeouts=Timeouts(), limits=Limits())
    core.peer = "192.0.2.7:40000"
    core.negotiated = Negotiated(
        contexts={},
        proposed=(),
        rejected=(),
        max_pdu_length_to_send=0,
        max_invoked=1,
        max_performed=1,
        called_ae_title="ARCHIVE",
        calling_ae_title=calling,
    )
    return core


def begin(
    store: FileStore,
    uid: str = "1.2.3",
    sop_class: str = CT,
    *,
    abstract_syntax: str = "",
    transfer_syntax: str = EXPLICIT,
    core: AssociationCore | None = None,
) -> Any:
    context = AcceptedContext(1, abstract_syntax or sop_class, transfer_syntax, False, True)
    request = CStoreRQ(message_id=1, affected_sop_class_uid=sop_class, affected_sop_instance_uid=uid)
    return store.begin(core or new_association(), context, request)


def receive(store: FileStore, data: bytes | None = None, **options: Any) -> Outcome:
    """One object, in three pieces; the last are left to `commit`."""
    reception = begin(store, **options)
    whole = memoryview(data_set() if data is None else data)
    half = len(whole) // 2
    third = len(whole) // 3
    reception.write([whole[:third]])
    reception.write([whole[third:half]])
    outcome: Outcome = reception.commit([whole[half:-1], whole[-1:]])
    return outcome


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def failing(number: int) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


# ---------------------------------------------------------------------- without a handler


def test_an_object_is_kept_byte_for_byte(folder: Path) -> None:
    stored: list[tuple[StoreRequest, int]] = []
    store = FileStore(directory=folder, on_stored=lambda request, status: stored.append((request, status)))
    assert receive(store) == (0, "")
    path = folder / "CT.1.2.3"
    assert visible(folder) == [path.name]
    assert hidden(folder) == []
    assert path.read_bytes().endswith(data_set())
    meta = pydicom.dcmread(path).file_meta
    assert meta.MediaStorageSOPInstanceUID == "1.2.3"
    assert meta.TransferSyntaxUID == EXPLICIT
    assert meta.SourceApplicationEntityTitle == "MODALITY"
    ((request, status),) = stored
    assert (status, request.size, request.saved_as) == (0, len(data_set()), path)
    assert (request.calling_ae_title, request.called_ae_title) == ("MODALITY", "ARCHIVE")
    assert (request.peer, request.transfer_syntax, request.file_name) == (
        "192.0.2.7:40000",
        EXPLICIT,
        "CT.1.2.3.dcm",
    )


def test_nobody_sees_it_before_it_is_complete(folder: Path) -> None:
    reception = begin(FileStore(directory=folder))
    reception.write([memoryview(data_set())])
    assert visible(folder) == []
    assert reception.commit([]) == (0, "")
    assert visible(folder) == ["CT.1.2.3"]


def test_all_of_it_may_come_with_the_commit(folder: Path) -> None:
    stored: list[int] = []
    reception = begin(FileStore(directory=folder, on_stored=lambda each, _: stored.append(each.size)))
    assert reception.commit([memoryview(data_set())]) == (0, "")
    assert (folder / "CT.1.2.3").read_bytes().endswith(data_set())
    assert stored == [len(data_set())]
    assert hidden(folder) == []


def test_beginning_touches_nothing(folder: Path) -> None:
    """It is called where others wait meanwhile."""
    before = open_descriptors(), os.stat(folder).st_mtime_ns
    reception = begin(FileStore(directory=folder))
    assert os.listdir(folder) == []
    assert open_descriptors() <= before[0]
    assert os.stat(folder).st_mtime_ns == before[1]
    assert reception.discard(None) == (0xA700, "")
    assert os.stat(folder).st_mtime_ns == before[1]


@pytest.mark.parametrize(
    ("ways", "status", "names"),
    [
        (Duplicates.REPLACE, 0, ["CT.1.2.3"]),
        (Duplicates.KEEP, 0, ["CT.1.2.3"]),
        (Duplicates.RENAME, 0, ["CT.1.2.3", "CT.1.2.3.1"]),
        (Duplicates.REFUSE, 0x0111, ["CT.1.2.3"]),
    ],
)
def test_duplicates(folder: Path, ways: Duplicates, status: int, names: list[str]) -> None:
    store = FileStore(directory=folder, duplicates=ways)
    assert receive(store)[0] == 0
    second = data_set(extra=element(0x20, 0x10, "SH", b"SECOND"))
    assert receive(store, second)[0] == status
    assert visible(folder) == names
    assert hidden(folder) == []
    assert (folder / "CT.1.2.3").read_bytes().endswith(second) is (ways is Duplicates.REPLACE)


def test_fsync(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    receive(FileStore(directory=folder, fsync=True))
    assert len(synced) == 2


# ---------------------------------------------------------------------- names


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/b", "..", ".", "", "a\\b", "a\0b"])
def test_a_name_is_never_a_path(folder: Path, name: str) -> None:
    errors: Report = []
    store = FileStore(directory=folder, namer=lambda _: name, on_error=lambda *error: errors.append(error))
    assert receive(store) == (0x0110, "the handler failed")
    assert isinstance(errors[0][1], ValueError)
    assert os.listdir(folder) == []
    assert os.listdir(folder.parent) == ["received"]


def test_an_ae_title_that_is_a_path(folder: Path) -> None:
    """PS3.5 6.2 forbids a backslash in an AE title, and nothing else."""
    store = FileStore(directory=folder, namer=lambda request: request.calling_ae_title)
    assert receive(store, core=new_association("../../tmp/x"))[0] == 0x0110
    assert os.listdir(folder) == []
    assert receive(FileStore(directory=folder), core=new_association("../../tmp/x"))[0] == 0
    assert visible(folder) == ["CT.1.2.3"]


@pytest.mark.parametrize(
    "uid", ["../../etc/passwd", "..", "1.2/3", "", "1." + "2" * 63, "1.2\0", "1.2 ", "1.\u0662"]
)
def test_a_uid_that_is_none(folder: Path, uid: str) -> None:
    assert begin(FileStore(directory=folder), uid) == (0x0117, "SOP Instance UID is not valid")
    assert os.listdir(folder) == []


@pytest.mark.parametrize("field", ["abstract_syntax", "transfer_syntax"])
def test_negotiated_uids_that_are_none(folder: Path, field: str) -> None:
    errors: Report = []
    store = FileStore(directory=folder, on_error=lambda *error: errors.append(error))
    options: dict[str, Any] = {field: "1..2"}
    if field == "abstract_syntax":
        options["sop_class"] = "1..2"
    assert begin(store, **options) == (0x0110, "a UID is not valid")
    assert errors == []  # who is told may block, which `begin` must not
    assert os.listdir(folder) == []


def test_the_class_must_be_that_of_the_context(folder: Path) -> None:
    status, _ = begin(FileStore(directory=folder), abstract_syntax=MR)
    assert status == 0x0122


@pytest.mark.parametrize("uid", [VERIFICATION, STUDY_ROOT_FIND, EXPLICIT])
@pytest.mark.parametrize("discard", [False, True])
def test_what_is_known_not_to_be_stored(folder: Path, uid: str, discard: bool) -> None:
    outcome = begin(FileStore(directory=folder, discard=discard), sop_class=uid)
    assert outcome == (0x0122, "SOP class is no storage SOP class")


@pytest.mark.parametrize("uid", ["1.2.840.113619.4.26", "1.2.840.10008.5.1.4.1.1.999"])
def test_private_and_unknown_classes_are_stored(folder: Path, uid: str) -> None:
    data = data_set("1.2.3", uid)
    assert receive(FileStore(directory=folder), data, sop_class=uid) == (0, "")
    assert len(visible(folder)) == 1


@pytest.mark.parametrize(
    ("options", "long"),
    [
        ({}, False),
        ({"discard": True}, False),
        ({"conversion": Conversion()}, True),
        ({"fsync": True}, True),
        ({"sorter": lambda _: ()}, True),
        ({"handler": lambda _: None}, True),
    ],
)
def test_what_may_take_long(folder: Path, options: dict[str, Any], long: bool) -> None:
    assert FileStore(directory=folder, **options).may_take_long is long


def test_default_name(folder: Path) -> None:
    names = []
    store = FileStore(directory=folder, handler=lambda request: names.append(default_name(request)))
    receive(store, data_set(sop_class=MR), sop_class=MR)
    receive(store, data_set(sop_class="1.2.3.4"), sop_class="1.2.3.4")
    assert names[0] == "MR.1.2.3"
    assert names[1].endswith(".1.2.3")


# ---------------------------------------------------------------------- what the data set says


BIG = element(0x0020, 0x4000, "LT", b"x" * 60000)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (data_set(), 0),
        (data_set("1.2.4"), 0xA900),
        (data_set(sop_class=MR), 0xA900),
        (data_set() + BIG + BIG, 0),
        (data_set("1.2.4") + BIG + BIG, 0xA900),
        (element(0x0020, 0x0010, "SH", b"1"), 0xC000),
        (element(0x0020, 0x0010, "SH", b"1") + BIG + BIG, 0xC000),
        (element(0x0008, 0x0018, "UI", b"1.2.3"), 0xC000),
        (b"no data set at all", 0xC000),
        (element(0x0008, 0x0008, "LT", b"x" * 65000) + data_set(), 0),  # too far behind to be looked at
    ],
)
def test_the_uids_of_the_data_set(folder: Path, data: bytes, status: int) -> None:
    store = FileStore(directory=folder)
    assert receive(store, data)[0] == status
    assert visible(folder) == ([] if status else ["CT.1.2.3"])
    assert hidden(folder) == []


def test_an_empty_data_set(folder: Path) -> None:
    reception = begin(FileStore(directory=folder))
    assert reception.commit([])[0] == 0xC000
    assert os.listdir(folder) == []


def test_nothing_is_looked_at_unless_asked(folder: Path) -> None:
    assert receive(FileStore(directory=folder, check=False), b"no data set at all") == (0, "")
    assert visible(folder) == ["CT.1.2.3"]


@pytest.mark.parametrize("transfer_syntax", [IMPLICIT, DEFLATED])
def test_the_uids_in_other_transfer_syntaxes(folder: Path, transfer_syntax: str) -> None:
    from dcmnet.dataset import convert

    path = folder / "a"
    path.write_bytes(data_set())
    data = convert(path, transfer_syntax, name="a")
    path.unlink()
    assert receive(FileStore(directory=folder), data, transfer_syntax=transfer_syntax)[0] == 0
    assert (
        receive(FileStore(directory=folder), data, uid="1.2.4", transfer_syntax=transfer_syntax)[0] == 0xA900
    )
    assert visible(folder) == ["CT.1.2.3"]


def test_each_data_set_is_asked_for_its_own_uids(folder: Path) -> None:
    """Also where it begins like the one before."""
    store = FileStore(directory=folder)
    behind = element(0x0020, 0x4000, "LT", b"x" * 2000)
    charset = element(0x0008, 0x0005, "CS", b"ISO_IR 100")
    for number, status in ((3, 0), (4, 0xA900), (3, 0)):
        data = charset + data_set(f"1.2.{number}", extra=behind)
        assert begin(store).commit([memoryview(data)])[0] == status
    inside = element(0x0008, 0x0005, "CS", b"ISO_IR 100" + data_set()) + data_set("1.2.4", extra=behind)
    assert begin(store).commit([memoryview(inside)])[0] == 0xA900
    assert begin(store, sop_class=MR).commit([memoryview(charset + data_set(extra=behind))])[0] == 0xA900


def test_a_bare_data_set_is_asked_too(folder: Path) -> None:
    data = data_set(extra=element(0x0020, 0x4000, "LT", b"x" * 2000))
    store = FileStore(directory=folder, file_meta=False)
    assert begin(store).commit([memoryview(data)]) == (0, "")
    assert (folder / "CT.1.2.3").read_bytes() == data
    assert begin(store, uid="1.2.4").commit([memoryview(data)])[0] == 0xA900
    nameless = new_association("a title of a peer that is too long")
    assert begin(store, core=nameless).commit([memoryview(data)]) == (0, "")
    with_meta = FileStore(directory=folder)
    assert begin(with_meta, core=nameless).commit([memoryview(data)]) == (0, "")
    assert begin(with_meta, sop_class="1..2") == (0x0110, "a UID is not valid")


def test_the_head_is_not_collected_for_ever(folder: Path) -> None:
    reception = begin(FileStore(directory=folder))
    data = data_set() + element(0x0020, 0x4000, "LT", b"x" * 50000)
    reception.write([memoryview(data)])
    reception.write([memoryview(bytes(3 * HEAD_LENGTH))])
    assert reception._looking is False
    reception.discard(None)


# ---------------------------------------------------------------------- failures


@pytest.mark.parametrize(
    ("number", "comment"),
    [
        (errno.ENOSPC, "no space left"),
        (errno.EDQUOT, "no space left"),
        (errno.EFBIG, "no space left"),
        (errno.EIO, "the object could not be written"),
    ],
)
def test_a_disk_that_fails_in_the_middle(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int, comment: str
) -> None:
    errors: Report = []
    stored: list[int] = []
    store = FileStore(
        directory=folder,
        on_error=lambda *error: errors.append(error),
        on_stored=lambda _, status: stored.append(status),
    )
    reception = begin(store)
    monkeypatch.setattr(os, "writev", failing(number))
    with pytest.raises(OSError) as caught:
        reception.write([memoryview(data_set())])
    monkeypatch.undo()
    assert reception.discard(caught.value) == (0xA700, comment)
    assert os.strerror(number) in errors[0][0]
    assert stored == [0xA700]
    assert os.listdir(folder) == []


def test_a_disk_that_is_full_for_the_last_bytes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    errors: Report = []
    stored: list[int] = []
    handled: list[StoreRequest] = []
    store = FileStore(
        directory=folder,
        handler=handled.append,
        on_error=lambda *error: errors.append(error),
        on_stored=lambda _, status: stored.append(status),
    )
    reception = begin(store)
    whole = memoryview(data_set())
    reception.write([whole[:-100]])
    monkeypatch.setattr(os, "writev", failing(errno.ENOSPC))
    assert reception.commit([whole[-100:]]) == (0xA700, "no space left")
    assert os.strerror(errno.ENOSPC) in errors[0][0]
    assert (stored, handled) == ([0xA700], [])
    assert os.listdir(folder) == []


def test_a_disk_that_fails_at_the_end(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "replace", failing(errno.EDQUOT))
    assert receive(FileStore(directory=folder)) == (0xA700, "no space left")
    assert os.listdir(folder) == []


def test_a_folder_that_is_gone(folder: Path) -> None:
    errors: Report = []
    stored: list[int] = []
    store = FileStore(
        directory=folder / "missing",
        on_error=lambda *error: errors.append(error),
        on_stored=lambda _, status: stored.append(status),
    )
    with pytest.raises(FileNotFoundError) as caught:
        begin(store).write([memoryview(data_set())])
    assert begin(store).discard(caught.value) == (0xA700, "the object could not be written")
    assert begin(store).commit([memoryview(data_set())]) == (0xA700, "the object could not be written")
    assert begin(store).commit([]) == (0xA700, "the object could not be written")
    assert stored == [0xA700] * 3
    assert all(text.startswith("cannot keep an object") for text, _ in errors)
    assert os.listdir(folder) == []


@pytest.mark.parametrize("error", [AssociationAborted(0, 0), DeadlineExceeded("DIMSE", 3.0), None])
def test_an_association_that_ends_in_the_middle(folder: Path, error: BaseException | None) -> None:
    errors: Report = []
    reception = begin(FileStore(directory=folder, on_error=lambda *each: errors.append(each)))
    reception.write([memoryview(data_set())])
    assert reception.discard(error) == (0xA700, "")
    assert errors == []  # it is no failure of the disk, although DeadlineExceeded is an OSError
    assert os.listdir(folder) == []


def test_an_object_that_is_forgotten_removes_itself(folder: Path) -> None:
    reception = begin(FileStore(directory=folder))
    reception.write([memoryview(data_set())])
    del reception
    assert os.listdir(folder) == []


def test_a_hidden_file_that_cannot_be_removed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, while a handler's data set still has it open."""
    errors: Report = []
    monkeypatch.setattr(os, "unlink", failing(errno.EACCES))
    store = FileStore(
        directory=folder, handler=lambda _: 0xA701, on_error=lambda *error: errors.append(error)
    )
    assert receive(store) == (0xA701, "refused by the storage handler")
    assert errors[0][0].startswith(f"cannot remove {folder}")
    assert len(errors) == 1
    assert visible(folder) == []


def test_on_stored_may_fail(folder: Path) -> None:
    errors: Report = []
    failure = RuntimeError("on purpose")

    def on_stored(request: StoreRequest, status: int) -> None:
        raise failure

    store = FileStore(directory=folder, on_stored=on_stored, on_error=lambda *error: errors.append(error))
    assert receive(store) == (0, "")
    assert visible(folder) == ["CT.1.2.3"]
    assert errors == [("on_stored failed", failure)]


# ---------------------------------------------------------------------- with a handler


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (None, (0, "")),
        (0, (0, "")),
        (0xB000, (0xB000, "")),
        (0xA700, (0xA700, "refused by the storage handler")),
        (0x0124, (0x0124, "refused by the storage handler")),
        (0x10000, (0x0110, "the handler failed")),
        (-1, (0x0110, "the handler failed")),
        ("no", (0x0110, "the handler failed")),
    ],
)
def test_what_a_handler_returns(folder: Path, answer: Any, outcome: Outcome) -> None:
    assert receive(FileStore(directory=folder, handler=lambda _: answer)) == outcome
    assert os.listdir(folder) == []  # a handler that does not save does not keep


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (RuntimeError("on purpose"), (0x0110, "the handler failed")),
        (DeadlineExceeded("ACSE", 1.0), (0x0110, "the handler failed")),
        (OSError(errno.ENOSPC, "full"), (0xA700, "no space left")),
        (PermissionError(errno.EACCES, "no"), (0xA700, "the object could not be written")),
    ],
)
@pytest.mark.parametrize("told", [True, False])
def test_what_a_handler_raises(folder: Path, error: Exception, outcome: Outcome, told: bool) -> None:
    errors: Report = []

    def handler(request: StoreRequest) -> None:
        raise error

    store = FileStore(directory=folder, handler=handler)
    store.on_error = (lambda *each: errors.append(each)) if told else None
    assert receive(store) == outcome
    assert len(errors) == told
    assert os.listdir(folder) == []


def test_ctrl_c_in_a_handler(folder: Path) -> None:
    def handler(request: StoreRequest) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        receive(FileStore(directory=folder, handler=handler))
    assert os.listdir(folder) == []


class TestCoroutineFunctions:
    """The asyncio face awaits what `commit` returns then."""

    def finish(self, folder: Path, answer: Any) -> Outcome:
        async def handler(request: StoreRequest) -> Any:
            if isinstance(answer, BaseException):
                raise answer
            return answer

        waiting: Any = receive(FileStore(directory=folder, handler=handler))
        with pytest.raises(StopIteration) as stopped:
            waiting.send(None)
        outcome: Outcome = stopped.value.value
        return outcome

    def test_what_they_return(self, folder: Path) -> None:
        assert self.finish(folder, 0xB000) == (0xB000, "")
        assert self.finish(folder, None) == (0, "")

    def test_what_they_raise(self, folder: Path) -> None:
        assert self.finish(folder, ValueError("on purpose")) == (0x0110, "the handler failed")
        assert self.finish(folder, OSError(errno.EIO, "on purpose"))[0] == 0xA700
        assert os.listdir(folder) == []

    def test_cancellation(self, folder: Path) -> None:
        async def handler(request: StoreRequest) -> Any:
            raise KeyboardInterrupt

        waiting: Any = receive(FileStore(directory=folder, handler=handler))
        with pytest.raises(KeyboardInterrupt):
            waiting.send(None)
        assert os.listdir(folder) == []


# ---------------------------------------------------------------------- save


def saving(folder: Path, *targets: Any, **options: Any) -> tuple[Outcome, StoreRequest]:
    requests: list[StoreRequest] = []

    def handler(request: StoreRequest) -> int:
        requests.append(request)
        assert request.dataset().PatientName == "TEST^OBJECT"
        for target in targets:
            status = request.save(target, **options)
        assert request.dataset(stop_before_pixels=True).SOPInstanceUID == "1.2.3"
        return status

    outcome = receive(FileStore(directory=folder, handler=handler))
    assert hidden(folder) == []
    return outcome, requests[0]


def test_save_to_a_folder_that_is_made(folder: Path, tmp_path: Path) -> None:
    outcome, request = saving(folder, f"{tmp_path}/new/deep/")
    path = tmp_path / "new" / "deep" / "CT.1.2.3.dcm"
    assert (outcome, request.saved_as) == ((0, ""), path)
    assert path.read_bytes().endswith(data_set())


def test_save_to_a_folder_that_is_there(folder: Path, tmp_path: Path) -> None:
    assert saving(folder, tmp_path)[1].saved_as == tmp_path / "CT.1.2.3.dcm"


def test_save_without_a_folder(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert saving(folder, "")[0] == (0, "")
    assert (tmp_path / "CT.1.2.3.dcm").exists()


def test_save_to_a_path(folder: Path, tmp_path: Path) -> None:
    assert saving(folder, tmp_path / "x.dcm")[1].saved_as == tmp_path / "x.dcm"


def test_save_twice(folder: Path, tmp_path: Path) -> None:
    outcome, request = saving(folder, tmp_path / "x.dcm", tmp_path / "y.dcm")
    assert (outcome, request.saved_as) == ((0, ""), tmp_path / "x.dcm")
    assert (tmp_path / "x.dcm").read_bytes() == (tmp_path / "y.dcm").read_bytes()


def test_save_into_nowhere(folder: Path, tmp_path: Path) -> None:
    def handler(request: StoreRequest) -> int:
        return request.save(tmp_path / "missing" / "x.dcm")

    assert receive(FileStore(directory=folder, handler=handler))[0] == 0xA700
    assert os.listdir(folder) == []


@pytest.mark.parametrize(
    ("ways", "status", "names"),
    [
        (None, 0, ["x"]),
        (Duplicates.REPLACE, 0, ["x"]),
        (Duplicates.KEEP, 0, ["x"]),
        (Duplicates.RENAME, 0, ["x", "x.1"]),
        (Duplicates.REFUSE, 0x0111, ["x"]),
    ],
)
@pytest.mark.parametrize("across", [False, True])
def test_save_where_the_name_is_taken(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ways: Duplicates | None,
    status: int,
    names: list[str],
    across: bool,
) -> None:
    if across:
        other_file_system(monkeypatch, folder)
    target = tmp_path / "target"
    target.mkdir()
    (target / "x").write_bytes(b"old")
    outcome, request = saving(folder, target / "x", duplicates=ways)
    assert outcome[0] == status
    assert sorted(os.listdir(target)) == names
    old = ways not in (None, Duplicates.REPLACE)
    assert ((target / "x").read_bytes() == b"old") is old
    assert (request.saved_as is None) is (ways in (Duplicates.KEEP, Duplicates.REFUSE))


def other_file_system(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Nothing can be renamed or linked out of `folder`."""
    replace, link = os.replace, os.link

    def checked(function: Callable[..., None]) -> Callable[..., None]:
        def call(source: Path, target: Path) -> None:
            if Path(source).parent == folder != Path(target).parent:
                raise OSError(errno.EXDEV, "Invalid cross-device link")
            function(source, target)

        return call

    monkeypatch.setattr(os, "replace", checked(replace))
    monkeypatch.setattr(os, "link", checked(link))


def test_save_across_file_systems(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other_file_system(monkeypatch, folder)
    outcome, request = saving(folder, f"{tmp_path}/other/")
    path = tmp_path / "other" / "CT.1.2.3.dcm"
    assert (outcome, request.saved_as) == ((0, ""), path)
    assert path.read_bytes().endswith(data_set())
    assert os.listdir(folder) == []


def test_another_file_system_that_is_full(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other_file_system(monkeypatch, folder)
    writev = os.writev

    def full(fd: int, views: Sequence[Any]) -> int:
        if os.readlink(f"/proc/self/fd/{fd}").startswith(f"{tmp_path}/other/"):
            raise OSError(errno.ENOSPC, "No space left on device")
        return writev(fd, views)

    monkeypatch.setattr(os, "writev", full)

    def handler(request: StoreRequest) -> int:
        return request.save(f"{tmp_path}/other/")

    assert receive(FileStore(directory=folder, handler=handler)) == (0xA700, "no space left")
    assert os.listdir(tmp_path / "other") == []
    assert os.listdir(folder) == []


# ---------------------------------------------------------------------- discarding


def test_objects_that_are_not_kept(folder: Path) -> None:
    stored: list[tuple[Path, int, int]] = []
    store = FileStore(
        directory=folder,
        discard=True,
        on_stored=lambda request, status: stored.append((request.path, request.size, status)),
    )
    assert receive(store) == (0, "")
    assert stored == [(Path(os.devnull), len(data_set()), 0)]
    assert begin(store).discard(None) == (0xA700, "")
    assert os.listdir(folder) == []
    assert receive(FileStore(directory=folder, discard=True)) == (0, "")


def test_saving_what_is_not_kept(folder: Path) -> None:
    statuses: list[int] = []
    store = FileStore(
        directory=folder,
        discard=True,
        on_stored=lambda request, _: statuses.append(request.save(folder / "x")),
    )
    receive(store)
    assert statuses == [0]
    assert os.listdir(folder) == []


def test_the_state_belongs_to_the_association(folder: Path) -> None:
    seen: list[int] = []

    def handler(request: StoreRequest) -> None:
        request.state["count"] = request.state.get("count", 0) + 1
        seen.append(request.state["count"])

    core = new_association()
    for association in (core, core, new_association()):
        receive(FileStore(directory=folder, handler=handler), core=association)
    assert seen == [1, 2, 1]


def test_a_refusal_is_reported(folder: Path) -> None:
    errors: Report = []
    store = FileStore(directory=folder, on_error=lambda *error: errors.append(error))
    request = CStoreRQ(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="../x")
    context = AcceptedContext(1, CT, EXPLICIT, False, True)
    store.refused(new_association(), context, request, (0x0117, "SOP Instance UID is not valid"))
    assert errors == [("object '../x' refused: SOP Instance UID is not valid", None)]


def test_a_deflated_object_is_not_inflated_beyond_the_limit(folder: Path) -> None:
    from dcmnet.dataset import convert

    path = folder / "a"
    path.write_bytes(data_set())
    data = convert(path, DEFLATED, name="a")
    seen: list[Any] = []

    def look(request: StoreRequest) -> None:
        seen.append(request.dataset().SOPInstanceUID)
        with pytest.raises(InputFileError, match="longer than 20 bytes when inflated"):
            request.dataset(max_inflated_length=20)

    assert receive(FileStore(directory=folder, handler=look), data, transfer_syntax=DEFLATED)[0] == 0
    assert seen == ["1.2.3"]
