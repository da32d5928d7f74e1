"""What came of a transfer: counted, and in words."""

from __future__ import annotations

import pytest

from dcmnet.dimse.messages import StatusClass
from dcmnet.errors import InputFileError, StatusError
from dcmnet.storage.report import Report, StoreResult

GOOD = StoreResult(name="good", status=0x0000, size=100)
WARNING = StoreResult(name="warning", status=0xB000, size=20)
FULL = StoreResult(name="full", status=0xA700, comment="no space left", size=3)
GONE = StoreResult(name="gone", error=InputFileError("gone", "cannot be read"))
NOTHING = StoreResult(name="nothing")


@pytest.mark.parametrize(
    ("result", "kind", "ok", "text"),
    [
        (GOOD, StatusClass.SUCCESS, True, "0x0000 ("),
        (WARNING, StatusClass.WARNING, True, "0xB000 ("),
        (FULL, StatusClass.FAILURE, False, "0xA700 ("),
        (GONE, StatusClass.FAILURE, False, "gone: cannot be read"),
        (NOTHING, StatusClass.FAILURE, False, "not sent"),
        (StoreResult(name="a", status=0xFE00), StatusClass.CANCEL, False, "0xFE00 ("),
        (StoreResult(name="a", status=0xFF00), StatusClass.PENDING, False, "0xFF00 ("),
    ],
)
def test_one_object(result: StoreResult, kind: StatusClass, ok: bool, text: str) -> None:
    assert result.status_class is kind
    assert result.ok is ok
    assert result.describe().startswith(text)


def test_the_comment_is_told() -> None:
    assert FULL.describe().endswith("): no space left")


def test_a_transfer_without_objects() -> None:
    report = Report()
    assert (report.ok, report.stored, report.failed, report.warnings, report.size) == (False, 0, 0, 0, 0)
    assert report.statuses == {}
    with pytest.raises(StatusError, match=r"^nothing to send$"):
        report.raise_for_failures()


@pytest.mark.parametrize(
    ("count", "names"), [(1, "f0"), (5, "f0, f1, f2, f3, f4"), (7, "f0, f1, f2, f3, f4 and 2 more")]
)
def test_a_transfer_of_nothing_but_other_files(count: int, names: str) -> None:
    report = Report(skipped=[(f"f{number}", "is no DICOM file") for number in range(count)])
    assert not report.ok
    with pytest.raises(StatusError, match=f"^nothing to send; passed over: {names}$"):
        report.raise_for_failures()


def test_a_transfer_in_numbers() -> None:
    report = Report(results=[GOOD, GONE, WARNING, FULL, GOOD])
    assert (report.ok, report.stored, report.failed, report.warnings, report.size) == (False, 3, 2, 1, 220)
    assert report.statuses == {0: 2, 0xB000: 1, 0xA700: 1}
    assert Report(results=[GOOD, WARNING]).ok


def test_raising_names_the_first_failure() -> None:
    with pytest.raises(StatusError, match=r"2 of 3 objects not stored; full: 0xA700 \(") as caught:
        Report(results=[GOOD, FULL, GONE]).raise_for_failures()
    assert (caught.value.status, caught.value.comment) == (0xA700, "no space left")
    with pytest.raises(StatusError, match="1 of 1 objects not stored; gone: gone: cannot be read") as caught:
        Report(results=[GONE]).raise_for_failures()
    assert caught.value.__cause__ is GONE.error
    Report(results=[GOOD, WARNING]).raise_for_failures()
