"""Looking at files that resemble each other, and what is kept of them: nothing shows, but that it is fast."""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dcmnet.errors import InputFileError
from dcmnet.limits import KEPT_FILE_LENGTH, KEPT_LENGTH, LOOK_AHEAD, MAX_LAYOUTS
from dcmnet.payload import FileRange
from dcmnet.storage.completeness import Shape
from dcmnet.storage.contents import ENTRY_LENGTH, Contents
from dcmnet.storage.looking import Looker
from dcmnet.storage.part10 import sop_instance_uid_span
from dcmnet.storage.sources import FIRST_READ, DataSetOpener, Instance, describe
from tests.unit.objects import (
    BIG_ENDIAN,
    CT,
    EXPLICIT,
    IMPLICIT,
    MR,
    data_set,
    element,
    encoded,
    file_meta,
    open_descriptors,
    write_file,
)


@pytest.fixture(autouse=True)
def _no_descriptor_is_lost() -> Iterator[None]:
    before = open_descriptors()
    yield
    assert open_descriptors() <= before


class Slow(Looker):
    """Counts the files that took a closer look."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.closer = 0

    def _learn(self, head: bytes, instance: Instance, shape: Shape) -> None:
        self.closer += 1
        super()._learn(head, instance, shape)


def outcome(look: Any, path: Path) -> Any:
    try:
        return look(path)
    except InputFileError as error:
        return type(error), str(error)


# ---------------------------------------------------------------------- recognising


def test_one_closer_look_for_each_length_of_uid(tmp_path: Path) -> None:
    looker = Slow()
    for number in range(0, 120, 7):
        path = write_file(tmp_path / f"{number}.dcm", f"1.2.{number}")
        assert looker.look(path) == looker.look(str(path)) == describe(path)
    assert looker.closer == 2  # 1.2.0 to 1.2.99 take six bytes, 1.2.100 and more eight


def test_kinds_of_files_are_few(tmp_path: Path) -> None:
    looker = Slow()
    paths = [
        write_file(tmp_path / f"{number}.dcm", "1.2.3", f"1.2.{number}") for number in range(MAX_LAYOUTS + 1)
    ]
    for path in [*paths, *paths[1:], paths[0], paths[0]]:
        assert looker.look(path) == describe(path)
    assert looker.closer == MAX_LAYOUTS + 2
    assert len(looker._layouts) == MAX_LAYOUTS


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(file_meta("1.2.4"), id="no data set"),
        pytest.param(file_meta("1.2.4") + b"\x08\0\x16", id="hardly any data set"),
        pytest.param(file_meta("1.2.4") + element(2, 0x102, "OB", b"x") + data_set(), id="a longer group"),
        pytest.param(file_meta("1.2.4") + b"\x02\0\x16\0AE", id="a group that is cut off"),
        pytest.param(file_meta("1.2.4")[:-3], id="a truncated group"),
        pytest.param(file_meta("1.2.4").replace(b"1.2.4\0", b"1.2..4") + data_set(), id="no UID"),
        pytest.param(file_meta("1.2.4").replace(b"1.2.4\0", b" 1.2 \0") + data_set(), id="padding"),
        pytest.param(file_meta("1.2.4").replace(b"1.2.4\0", b"1.2\xe94\0") + data_set(), id="no ASCII"),
        pytest.param(file_meta("1.2.4", MR) + data_set(), id="another class"),
        pytest.param(file_meta("1.2.4", CT, IMPLICIT) + data_set(), id="another transfer syntax"),
        pytest.param(data_set("1.2.4"), id="no group at all"),
        pytest.param(b"", id="nothing"),
    ],
)
@pytest.mark.parametrize("room", [0, 1 << 20])
def test_what_is_no_other_file_of_the_series(tmp_path: Path, content: bytes, room: int) -> None:
    looker = Looker(contents=Contents(room))
    looker.look(write_file(tmp_path / "first.dcm", "1.2.3"))
    path = tmp_path / "second.dcm"
    path.write_bytes(content)
    for _ in range(2):
        assert outcome(looker.look, path) == outcome(describe, path)


def test_a_data_set_that_begins_like_the_group(tmp_path: Path) -> None:
    """A deflated one may; what cannot be told from the group is looked at closely each time."""
    looker = Slow()
    private = "1.2.3.4"  # a transfer syntax of which nothing is known
    data = data_set().replace(b"\x08\0\x16\0", b"\x02\0\x16\0", 1)
    path = write_file(tmp_path / "a.dcm", "1.2.3", CT, private, data=data)
    assert looker.look(path) == looker.look(path) == describe(path)
    assert looker.closer == 2


def stale_file(path: Path, meta_uid: str, uid: str, time: str = "120000", **options: Any) -> Path:
    """A file whose File Meta Information names another instance than its data set does."""
    begin = element(8, 5, "CS", b"ISO_IR 100") + element(8, 0x13, "TM", time.encode())
    data = encoded(begin + data_set(uid, options.get("sop_class", CT)), options.get("syntax", EXPLICIT))
    meta = file_meta(meta_uid, options.get("meta_class", CT), options.get("syntax", EXPLICIT))
    path.write_bytes(meta + data)
    return path


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_stale_files_of_a_series_take_one_closer_look(tmp_path: Path, syntax: str) -> None:
    """Identity is that of the data set, also if all files of a series name the same instance in front."""
    looker = Slow()
    for number in range(10, 30):
        for meta_uid in ("1.2.99", f"1.2.{number + 1}"):
            path = stale_file(
                tmp_path / f"{number}", meta_uid, f"1.2.{number}", f"12{number}00", syntax=syntax
            )
            instance = looker.look(path)
            assert instance == describe(path)
            assert instance.sop_instance_uid == f"1.2.{number}"
    assert looker.closer == 1


def test_a_data_set_of_another_class_is_another_kind(tmp_path: Path) -> None:
    looker = Slow()
    for uid, sop_class in (("1.2.10", CT), ("1.2.11", MR), ("1.2.12", CT), ("1.2.13", MR)):
        path = stale_file(tmp_path / uid, "1.2.99", uid, sop_class=sop_class)
        instance = looker.look(path)
        assert (instance.sop_class_uid, instance.sop_instance_uid) == (sop_class, uid)
    assert looker.closer == 2


def test_a_class_in_front_that_nothing_can_be_stored_with_plays_no_part(tmp_path: Path) -> None:
    path = stale_file(tmp_path / "a", "1.2.9", "1.2.3", meta_class="1.2.840.10008.1.3.10")  # a DICOMDIR
    assert Looker().look(path).sop_class_uid == describe(path).sop_class_uid == CT


_ELEMENTS = st.lists(
    st.builds(
        element,
        st.just(2),
        st.sampled_from([0x2, 0x3, 0x10, 0x12, 0x13, 0x16, 0x102, 0x3]),
        st.sampled_from(["UI", "SH", "AE", "UI"]),
        st.sampled_from([CT.encode(), b"1.2.3", b"1.2.4", b"1.22.3", EXPLICIT.encode(), b"no UID", b""]),
    ),
    max_size=8,
)
_EDITS = st.lists(st.tuples(st.integers(120, 420), st.binary(max_size=3), st.integers(0, 3)), max_size=3)
_OPTIONS = st.fixed_dictionaries({"meta": st.booleans(), "bare": st.booleans(), "uid_checks": st.booleans()})


@given(_ELEMENTS, st.booleans(), _EDITS, _OPTIONS, st.sampled_from([0, 1 << 20]))
@example([], True, [(270, b"5", 1)], {}, 0)
def test_a_look_is_what_describe_says(
    elements: list[bytes], usual: bool, edits: list[tuple[int, bytes, int]], options: Any, room: int
) -> None:
    """Whatever comes second, and whatever the first file was like."""
    start = file_meta("1.2.3") if usual else bytes(128) + b"DICM"
    content = start + b"".join(elements) + data_set("1.2.3")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "x")
        looker = Looker(contents=Contents(room), **options)
        path.write_bytes(content)
        assert outcome(looker.look, path) == outcome(lambda path: describe(path, **options), path)
        for position, inserted, removed in edits:
            edited = content[:position] + inserted + content[position + removed :]
            path.write_bytes(edited)
            assert outcome(looker.look, path) == outcome(lambda path: describe(path, **options), path)


def test_where_the_uid_is() -> None:
    long = b"\x02\0\x03\0OB\0\0\x04\0\0\0" + b"1.9\0"  # of a kind that is passed over
    head = file_meta("1.2.3") + element(2, 3, "UI", b"1.2.77") + long + data_set()
    span = sop_instance_uid_span(head, len(head) - len(data_set()))
    assert span is not None
    assert head[slice(*span)] == b"1.2.3\0"
    assert sop_instance_uid_span(head, 0) is None


# ---------------------------------------------------------------------- keeping


def test_what_is_small_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = Contents()
    looker, opener = Looker(contents=contents), DataSetOpener(contents=contents)
    instance = looker.look(path := write_file(tmp_path / "a.dcm"))
    assert contents.room == KEPT_LENGTH - os.path.getsize(path) - ENTRY_LENGTH
    opened: list[Any] = []
    monkeypatch.setattr(os, "open", lambda *how: opened.append(how))
    assert opener.open(instance, EXPLICIT) == data_set()
    assert opened == []
    assert contents.room == KEPT_LENGTH
    assert contents.take(instance) is None


def test_a_file_is_sent_as_often_as_asked_for(tmp_path: Path) -> None:
    contents = Contents()
    opener = DataSetOpener(contents=contents)
    instance = Looker(contents=contents).look(write_file(tmp_path / "a.dcm"))
    assert [bytes(opener.open(instance, EXPLICIT)) for _ in range(3)] == [data_set()] * 3  # type: ignore[arg-type]


def test_what_is_to_be_converted_is_not_sent_as_it_is(tmp_path: Path) -> None:
    contents = Contents()
    opener = DataSetOpener(contents=contents)
    instance = Looker(contents=contents).look(write_file(tmp_path / "a.dcm"))
    converted = opener.open(instance, IMPLICIT)
    assert not isinstance(converted, FileRange)
    assert bytes(converted)[:8] == b"\x08\0\x16\0\x1a\0\0\0"
    assert contents.room == KEPT_LENGTH


@pytest.mark.parametrize("change", ["gone", "shorter", "longer", "touched"])
def test_a_file_that_changes_before_the_association_begins(tmp_path: Path, change: str) -> None:
    contents = Contents()
    path = write_file(tmp_path / "a.dcm")
    instance = Looker(contents=contents).look(path)
    if change == "gone":
        path.unlink()
    elif change == "touched":
        path.write_bytes(path.read_bytes().replace(b"TEST^", b"NEXT^"))
        os.utime(path, ns=(0, instance.modified + 1))
    else:
        os.truncate(path, os.path.getsize(path) + (2 if change == "longer" else -2))
    contents.era += 1
    opener = DataSetOpener(contents=contents)
    if change == "touched":
        assert b"NEXT^OBJECT" in bytes(opener.open(instance, EXPLICIT))  # type: ignore[arg-type]
        return
    with pytest.raises(InputFileError, match="No such file" if change == "gone" else "has changed since"):
        opener.open(instance, EXPLICIT)


def test_a_file_that_stays_until_the_association_begins(tmp_path: Path) -> None:
    contents = Contents()
    instance = Looker(contents=contents).look(write_file(tmp_path / "a.dcm"))
    contents.era += 1
    assert isinstance(DataSetOpener(contents=contents).open(instance, EXPLICIT), memoryview)


@pytest.mark.parametrize("change", [-2, 2])
def test_a_file_that_changes_while_it_is_looked_at(
    tmp_path: Path, change: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not kept, and found out when it is opened."""
    path = write_file(tmp_path / "a.dcm")
    read = os.read

    def late(fd: int, count: int) -> bytes:
        os.truncate(path, os.path.getsize(path) + change)
        return read(fd, count)

    contents = Contents()
    with monkeypatch.context() as patch:
        patch.setattr(os, "read", late)
        instance = Looker(contents=contents).look(path)
    assert contents.take(instance) is None
    with pytest.raises(InputFileError, match="has changed since"):
        DataSetOpener(contents=contents).open(instance, EXPLICIT)


def test_what_is_kept_is_bounded(tmp_path: Path) -> None:
    """However many files are looked at; the others are opened again."""
    contents = Contents(5000)
    looker, opener = Looker(contents=contents), DataSetOpener(contents=contents)
    instances = [looker.look(write_file(tmp_path / f"{number}", f"1.2.{number}")) for number in range(50)]
    assert 0 < sum(len(each.data_set) + each.instance.offset for each in contents._kept.values()) < 5000
    assert 0 <= contents.room < 1000
    assert [opener.open(each, EXPLICIT) for each in instances] == [data_set(f"1.2.{n}") for n in range(50)]
    assert contents.room == 5000


def test_large_files_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    read = os.read

    def counted(fd: int, count: int) -> bytes:
        counts.append(count)
        return read(fd, count)

    monkeypatch.setattr(os, "read", counted)
    looker = Looker(contents=(contents := Contents()))
    pixels = struct.pack("<HH2sHI", 0x7FE0, 0x10, b"OB", 0, KEPT_FILE_LENGTH) + bytes(KEPT_FILE_LENGTH)
    looker.look(write_file(tmp_path / "a", data=data_set() + pixels))
    assert contents.room == KEPT_LENGTH
    assert counts == [FIRST_READ]


def test_what_is_not_to_be_sent_soon_is_not_kept(tmp_path: Path) -> None:
    contents = Contents()
    looker = Looker(contents=contents)
    instances = [looker.look(write_file(tmp_path / f"{number}")) for number in range(3)]
    contents.drop(instances[1:])
    assert [contents.take(each) is None for each in instances] == [False, True, True]
    assert contents.room == KEPT_LENGTH
    contents.drop(instances)
    assert contents.room == KEPT_LENGTH


def test_there_is_room_for_what_is_looked_for_ahead() -> None:
    assert (LOOK_AHEAD - 1) * (KEPT_FILE_LENGTH + ENTRY_LENGTH) <= KEPT_LENGTH
