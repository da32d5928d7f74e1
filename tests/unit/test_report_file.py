from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from dcmnet.errors import AssociationAborted, DcmnetError, InputFileError, NoPresentationContext
from dcmnet.storage import report_file
from dcmnet.storage.report import Report, StoreResult
from dcmnet.storage.report_file import (
    FormerReport,
    Occasion,
    check_writable,
    summary_lines,
    to_json,
    to_text,
    write_file,
)
from dcmnet.storage.sources import Instance, describe
from tests.unit.objects import CT, EXPLICIT, IMPLICIT
from tests.unit.objects import write_file as write_object

OCCASION = Occasion(
    host="peer", port=104, called="ARCHIVE", calling="SENDER", started="2026-01-02 03:04:05", seconds=1.5
)
PEER = ("peer", 104, "ARCHIVE")


def result_of(instance: Instance, **outcome: Any) -> StoreResult:
    values: dict[str, Any] = {
        "name": instance.name,
        "sop_class_uid": instance.sop_class_uid,
        "sop_instance_uid": instance.sop_instance_uid,
        "original_transfer_syntax": instance.transfer_syntax,
        "transfer_syntax": IMPLICIT,
        "size": 100,
        "file_length": instance.offset + instance.size,
        "file_modified": instance.modified,
        "association": 1,
        "context_id": 3,
        "status": 0,
    }
    return StoreResult(**(values | outcome))


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [write_object(tmp_path / f"{number}.dcm", f"1.2.{number}") for number in range(6)]


@pytest.fixture
def report(files: list[Path]) -> Report:
    """One of each: success, warning, refusal, error, no context, association lost; and a bad file."""
    each = [describe(path) for path in files]
    unsent: dict[str, Any] = {"status": None, "transfer_syntax": "", "size": 0, "context_id": 0}
    nothing = NoPresentationContext("no context", abstract_syntax=CT)
    return Report(
        results=[
            result_of(each[0]),
            result_of(each[1], status=0xB000, comment="coerced\nthe name"),
            result_of(each[2], status=0xA700),
            result_of(each[3], status=0xC001),
            result_of(each[4], error=nothing, **unsent),
            result_of(each[5], error=AssociationAborted(0, 0), **unsent),
            StoreResult(name="bad\x1b[31m.dcm", error=InputFileError("bad", "is no DICOM file")),
        ],
        skipped=[("notes.txt", "is no DICOM file")],
        associations=1,
        contexts=2,
        endings=[DcmnetError("not released")],
    )


def test_text(report: Report, files: list[Path]) -> None:
    text = to_text(report, OCCASION)
    assert text.startswith(
        "Detailed Report on the Transfer of Instances\n"
        "============================================\n"
        "\n"
        "Communication Peer : peer:104\n"
        "AE Titles used     : SENDER -> ARCHIVE\n"
        "Current Date/Time  : 2026-01-02 03:04:05\n"
        "\n"
        "\n"
        "Number        : 1\n"
        f"Filename      : {files[0]}\n"
        "SOP Instance  : 1.2.0\n"
        "SOP Class     : 1.2.840.10008.5.1.4.1.1.2 = CTImageStorage\n"
        "Original Xfer : 1.2.840.10008.1.2.1 = Explicit VR Little Endian\n"
        "Dataset Size  : 100 bytes\n"
        "Association   : 1\n"
        "Pres. Context : 3\n"
        "Network Xfer  : 1.2.840.10008.1.2 = Implicit VR Little Endian\n"
        "DIMSE Status  : 0x0000 (Success)\n"
        "\n"
        "Number        : 2\n"
    )
    assert "Error Comment : coerced\\x0athe name\n" in text
    assert "DIMSE Status  : <no acceptable presentation context>\n" in text
    assert "DIMSE Status  : <not sent> association aborted by the peer: service-user\n" in text
    assert "Filename      : bad\\x1b[31m.dcm\nError         : bad: is no DICOM file\n" in text


def test_summary(report: Report) -> None:
    assert list(summary_lines(report)) == [
        "Status Summary",
        "--------------",
        "Number of associations   : 1",
        "Number of pres. contexts : 2",
        "Number of SOP instances  : 6",
        "- sent to the peer       : 4",
        "  * with status SUCCESS  : 1",
        "  * with status WARNING  : 1",
        "  * with status REFUSED  : 1",
        "  * with status ERROR    : 1",
        "- NOT sent to the peer   : 2",
        "  * no acceptable pres.  : 1",
        "  * for another reason   : 1",
        "Invalid input files      : 1",
    ]


def test_json(report: Report, files: list[Path]) -> None:
    found = json.loads(to_json(report, OCCASION))
    assert (found["format"], found["version"]) == ("dcmnet-send-report", 1)
    assert (found["host"], found["port"], found["called_ae_title"]) == PEER
    assert (found["stored"], found["failed"], found["contexts"], found["associations"]) == (2, 5, 2, 1)
    assert found["skipped"] == [{"file": "notes.txt", "reason": "is no DICOM file"}]
    assert found["errors"] == ["not released"]
    entries = found["objects"]
    assert [each["stored"] for each in entries] == [True, True, False, False, False, False, False]
    assert [each["status"] for each in entries[:5]] == ["0x0000", "0xB000", "0xA700", "0xC001", None]
    assert entries[0]["path"] == os.path.abspath(files[0])
    assert entries[0]["sop_instance_uid"] == "1.2.0"
    assert entries[4]["error"] == "no context"
    assert entries[6]["path"] == ""


def test_an_empty_report() -> None:
    assert json.loads(to_json(Report(), OCCASION))["objects"] == []


# ---------------------------------------------------------------------- files


def test_a_file_is_written_whole_or_not(tmp_path: Path) -> None:
    path = tmp_path / "report"
    path.write_text("before")
    write_file(str(path), "ä\udcff")
    assert path.read_bytes() == "ä\\udcff".encode()
    with pytest.raises(FileNotFoundError):
        write_file(str(tmp_path / "nowhere" / "report"), "x")
    assert os.listdir(tmp_path) == ["report"]


def test_it_is_known_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_writable("report")
    assert os.listdir(tmp_path) == []
    for name in ("nowhere/report", "."):
        with pytest.raises(OSError, match=r"No such file|Is a directory"):
            check_writable(name)


# ---------------------------------------------------------------------- going on


def former(path: Path, report: Report) -> FormerReport:
    path.write_text(to_json(report, OCCASION))
    return FormerReport(str(path), *PEER)


def test_what_was_stored(report: Report, files: list[Path], tmp_path: Path) -> None:
    before = former(tmp_path / "report", report)
    assert len(before) == 2
    found = [before(describe(path)) for path in files]
    assert found[0] == report.results[0]
    assert found[1] == report.results[1]
    assert found[2:] == [None] * 4
    again = former(tmp_path / "again", Report(former=[each for each in found if each is not None]))
    assert again(describe(files[0])) == report.results[0]


def test_a_file_that_has_changed(report: Report, files: list[Path], tmp_path: Path) -> None:
    before = former(tmp_path / "report", report)
    os.utime(files[0], ns=(1, 1))
    assert before(describe(files[0])) is None
    length = files[1].stat()
    files[1].write_bytes(files[1].read_bytes() + bytes(8))
    os.utime(files[1], ns=(length.st_mtime_ns, length.st_mtime_ns))
    assert before(describe(files[1])) is None


def test_a_file_that_was_stored_once_of_twice(files: list[Path], tmp_path: Path) -> None:
    one = describe(files[0])
    before = former(tmp_path / "report", Report(results=[result_of(one), result_of(one, status=0xA700)]))
    assert before(one) is None


def test_what_is_no_file(tmp_path: Path, files: list[Path]) -> None:
    before = former(tmp_path / "report", Report(results=[result_of(describe(files[0]), file_length=0)]))
    assert len(before) == 0
    assert before(Instance("data set", CT, "1.2.0", EXPLICIT, object())) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "is no report of a transfer"),
        ('{"format": "other"}', "is no report of a transfer"),
        ('{"format": "dcmnet-send-report", "version": 2}', "is not of version 1"),
        ('{"format": "dcmnet-send-report", "version": 1, "objects": 7}', "has no list of objects"),
        ('{"format": "dcmnet-send-report", "version": 1, "objects": []}', "tells of a transfer to None at"),
    ],
)
def test_what_is_no_report(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "report"
    path.write_text(text)
    with pytest.raises(InputFileError, match=why):
        FormerReport(str(path), *PEER)


@pytest.mark.parametrize("entry", ["7", "{}", '{"status": 5, "file": ""}', '{"status": "0xZZ", "file": ""}'])
def test_bad_entries(tmp_path: Path, entry: str) -> None:
    path = tmp_path / "report"
    path.write_text(to_json(Report(), OCCASION).replace('"objects": [', f'"objects": [{entry}'))
    with pytest.raises(InputFileError, match="has an object without"):
        FormerReport(str(path), *PEER)


def test_another_peer(report: Report, tmp_path: Path) -> None:
    former(tmp_path / "report", report)
    with pytest.raises(InputFileError, match="to ARCHIVE at peer:104, not to B at other:1"):
        FormerReport(str(tmp_path / "report"), "other", 1, "B")


def test_a_report_that_is_missing_or_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputFileError, match="cannot be read: No such file"):
        FormerReport(str(tmp_path / "nothing"), *PEER)
    (tmp_path / "long").write_text(" " * 11)
    monkeypatch.setattr(report_file, "MAX_REPORT_LENGTH", 10)
    with pytest.raises(InputFileError, match="is longer than 10 bytes"):
        FormerReport(str(tmp_path / "long"), *PEER)
