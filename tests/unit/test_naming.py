from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest

from dcmnet.errors import StatusError
from dcmnet.limits import Tolerance
from dcmnet.storage.naming import (
    BySeriesDate,
    SystemTimeNames,
    by_study_uid,
    checked_file_name,
    checked_folder,
    default_name,
    named_dcm,
    patient_folder,
    safe_name,
    short_unique_name,
    unique_name,
    with_extension,
)
from dcmnet.storage.studies import (
    DifferentTimes,
    Studies,
    by_patient_name,
    by_time,
    by_uid,
    rename_in_order,
)

CT = "1.2.840.10008.5.1.4.1.1.2"
NOON = datetime(2026, 1, 31, 12, 0, 0, 123456)


def request(state: dict[str, Any] | None = None, **attributes: str) -> Any:
    """What a namer or sorter looks at."""
    found = {"StudyInstanceUID": "1.2.3", "PatientName": "", "SeriesDate": ""} | attributes
    return SimpleNamespace(
        sop_class_uid=CT,
        sop_instance_uid="1.2.9",
        state={} if state is None else state,
        saved_as=None,
        tolerance=Tolerance.NONCONFORMING_UID,
        attributes=lambda *keywords: {keyword: found[keyword] for keyword in keywords},
    )


def test_names_of_files() -> None:
    one = request()
    assert default_name(one) == "CT.1.2.9"
    assert named_dcm(one) == "CT.1.2.9.dcm"
    assert unique_name(one).startswith("CT.X.2.25.")
    assert unique_name(one) != unique_name(one)
    assert len(short_unique_name(one)) == len("CT_0123456789abcdef")
    assert short_unique_name(one) != short_unique_name(one)
    assert SystemTimeNames(lambda: NOON)(one) == "20260131120000.123456.CT"
    assert with_extension(default_name, ".x")(one) == "CT.1.2.9.x"
    assert with_extension(default_name, "") is default_name


@pytest.mark.parametrize(
    ("date", "folder"),
    [
        ("20250616", "data/2025/06/16"),
        ("", "undef/20260131"),
        ("2025.06.16", "undef/20260131"),
        ("../../..", "undef/20260131"),
        ("\uff12" * 8, "undef/20260131"),
    ],
)
def test_folders_by_series_date(date: str, folder: str) -> None:
    assert BySeriesDate(lambda: NOON)(request(SeriesDate=date)) == folder


@pytest.mark.parametrize("uid", ["", "..", "../../x", "1.2.3/..", "-rf", "1.2.3\n", "1" * 65, "a"])
def test_a_study_uid_that_is_none_is_refused(uid: str) -> None:
    for sorter in (by_study_uid(), Studies(by_uid(""))):
        with pytest.raises(StatusError) as caught:
            sorter(request(StudyInstanceUID=uid))
        assert caught.value.status == 0xC000
        assert len(caught.value.comment) <= 64


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("DOE^JOHN", "DOE_JOHN"),
        ("", "ANONYMOUS"),
        ("  ", "ANONYMOUS"),
        ("Müller^Jürgen", "Muller_Jurgen"),
        ("Ærø^Ðóra ß", "AEro_Dora_ss"),
        ("../../etc/passwd", "______etc_passwd"),
        ("-rf", "_rf"),
        ("a\nb\0c", "a_b_c"),
        ("山田^太郎", "_____"),
        ("$(id);`x`", "__id___x_"),
        ("x" * 300, "x" * 128),
    ],
)
def test_folders_after_patients(name: str, folder: str) -> None:
    assert safe_name(name) == ("" if folder == "ANONYMOUS" else folder)
    assert patient_folder(name, NOON) == f"{folder}_20260131_120000123"
    sorter = Studies(by_patient_name(lambda: NOON))
    assert sorter(request(PatientName=name)) == f"{folder}_20260131_120000123"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "a\0b"])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no name for a file"):
        checked_file_name(name)
    with pytest.raises(ValueError, match="no name for a file"):
        checked_folder(f"fine/{name}/fine" if "/" not in name else f"/{name}")
    assert checked_folder("data/2026/01") == ["data", "2026", "01"]


def test_prefixes() -> None:
    assert by_study_uid("st")(request()) == "st_1.2.3"
    assert by_study_uid()(request()) == "1.2.3"
    assert by_uid("st")("1.2.3", "") == "st_1.2.3"
    assert by_uid("")("1.2.3", "") == "1.2.3"
    times = by_time("pre", lambda: NOON)
    assert [times("1", ""), times("2", "")] == ["pre_20260131_120000123", "pre_20260131_120000124"]


def test_no_time_is_given_twice() -> None:
    def clock() -> Iterator[datetime]:
        yield NOON
        yield NOON
        yield NOON.replace(hour=11)
        yield NOON.replace(hour=13)

    moments = clock()
    times = DifferentTimes(lambda: next(moments))
    given = [times() for _ in range(4)]
    assert given == sorted(set(given))
    assert given[-1].hour == 13


# ---------------------------------------------------------------------- studies


class Store:
    """Stores objects of studies as associations bring them."""

    def __init__(self) -> None:
        self.studies = Studies(by_uid("st"))

    def store(self, state: dict[str, Any], uid: str, name: str | None) -> None:
        one = request(state, StudyInstanceUID=uid)
        self.studies(one)
        one.saved_as = name
        self.studies.stored(one)

    def complete(self, now: float = 0.0, timeout: float | None = None) -> list[tuple[str, list[str]]]:
        return [(study.uid, study.files) for study in self.studies.take_complete(now, timeout)]


def test_a_study_ends_when_its_association_goes_on() -> None:
    store, state = Store(), {"one": 1}
    for uid, name in (("1", "a"), ("1", "b"), ("2", "c"), ("1", "d")):
        store.store(state, uid, name)
    assert store.complete() == [("1", ["a", "b"]), ("2", ["c"])]
    assert store.complete() == []
    assert [study.uid for study in store.studies.take_all()] == ["1"]


def test_studies_of_two_associations_do_not_end_each_other() -> None:
    store, one, two = Store(), {"one": 1}, {"two": 2}
    store.store(one, "1", "a")
    store.store(two, "2", "b")
    store.store(one, "1", "c")
    store.store(two, "1", "d")
    assert store.complete() == [("2", ["b"])]
    store.store(one, "3", "e")
    assert store.complete() == []  # the other one is still at it
    store.store(two, "3", "f")
    assert store.complete() == [("1", ["a", "c", "d"])]


def test_a_study_outlives_its_association() -> None:
    store, one, two = Store(), {"one": 1}, {"two": 2}
    store.store(one, "1", "a")
    store.studies.association_ended(one, 10.0)
    assert store.studies.next_deadline(5.0) == 15.0
    assert store.complete(14.9, 5.0) == []
    store.store(two, "1", "b")  # another association goes on with it
    assert store.studies.next_deadline(5.0) is None
    assert store.complete(15.0, 5.0) == []
    store.studies.association_ended(two, 20.0)
    assert store.complete(25.0, None) == []
    assert store.complete(25.0, 5.0) == [("1", ["a", "b"])]


def test_the_next_study_ends_one_that_nobody_is_at() -> None:
    store, one, two = Store(), {"one": 1}, {"two": 2}
    store.store(one, "1", "a")
    store.studies.association_ended(one, 0.0)
    store.store(two, "2", "b")
    assert store.complete() == [("1", ["a"])]


def test_an_object_under_way_keeps_its_study_open() -> None:
    store, state = Store(), {"one": 1}
    late = request(state, StudyInstanceUID="1")
    store.studies(late)
    store.store(state, "2", "b")
    assert store.complete() == []
    late.saved_as = "a"
    store.studies.stored(late)
    assert store.complete() == [("1", ["a"])]


def test_what_was_not_kept_is_no_part_of_a_study() -> None:
    store, state = Store(), {"one": 1}
    store.store(state, "1", None)
    store.store(state, "2", "a")
    store.store(state, "2", "b")
    store.store(state, "2", "a")  # replaced
    store.store(state, "3", "c")
    assert store.complete() == [("2", ["b", "a"])]


def test_an_object_that_is_lost_with_its_association() -> None:
    store, one, two = Store(), {"one": 1}, {"two": 2}
    store.store(one, "1", "a")
    store.studies(request(one, StudyInstanceUID="1"))
    store.studies.association_ended(one, 0.0)
    store.store(two, "2", "b")
    assert store.complete() == [("1", ["a"])]


def test_renaming_loses_no_file(tmp_path: Any) -> None:
    files = [tmp_path / name for name in ("CT.1", "MR.2", "CT.3")]
    for path in files:
        path.write_text(path.name)
    (tmp_path / "CT000001").write_text("there before")
    renamed = rename_in_order(map(str, files))
    assert [new for _, new in renamed] == [
        str(tmp_path / name) for name in ("CT000002", "MR000003", "CT000004")
    ]
    assert sorted(path.read_text() for path in tmp_path.iterdir()) == ["CT.1", "CT.3", "MR.2", "there before"]
    with pytest.raises(FileNotFoundError):
        rename_in_order([str(tmp_path / "gone")])
