"""What a peer answers beside the status, and identifiers that are not as they should be, on both faces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydicom
import pytest

import dcmnet
from tests.faces.adapters import Face
from tests.faces.scripted import answering, response
from tests.faces.wire import Acceptor, element, explicit_element, us_element

COMMENT = b"no \x1b[31m\nK\xe4se"
DETAILS = (
    element(0x0901, b"\x10\x00\x10\x00\x20\x00\x0d\x00"),
    element(0x0902, COMMENT + b" "),
    us_element(0x0903, 7),
)
OFFENDING = (0x00100010, 0x0020000D)
STUDY = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "1.2.3"}
NAME = explicit_element(0x0010, 0x0010, "PN", b"DOE^JANE")


def ask(face: Face, kind: str, port: int, folder: Path) -> Any:
    arguments: dict[str, tuple[Any, ...]] = {"find": (), "get": (folder,), "move": ("ELSEWHERE",)}
    return face.ask(kind, port, STUDY, *arguments[kind])


def check(details: Any) -> None:
    assert details.comment.startswith("no \x1b[31m\nK")
    assert (details.offending_element, details.error_id) == (OFFENDING, 7)


def check_text(text: str) -> None:
    assert text.isprintable()
    assert r"no \x1b[31m\nK" in text
    assert text.endswith("offending element (0010,0010), (0020,000D); error ID 7")


@pytest.mark.parametrize("kind", ["find", "get", "move"])
def test_details_of_a_final_response(face: Face, kind: str, tmp_path: Path) -> None:
    with Acceptor(answering(response(0xC001, *DETAILS))) as acceptor:
        result = ask(face, kind, acceptor.port, tmp_path)
    check(result)
    with pytest.raises(dcmnet.StatusError) as caught:
        result.raise_for_status()
    check(caught.value)
    check_text(str(caught.value))


def test_no_details(face: Face, tmp_path: Path) -> None:
    with Acceptor(answering(response(0xC001))) as acceptor:
        result = ask(face, "find", acceptor.port, tmp_path)
    assert (result.comment, result.offending_element, result.error_id) == ("", (), None)


def test_details_of_stored_objects(face: Face, sample: Path) -> None:
    with Acceptor(answering(response(0xA900, *DETAILS))) as acceptor:
        report = face.send(acceptor.port, sample)
    for result in report.results:
        check(result)
        check_text(result.describe())
    with pytest.raises(dcmnet.StatusError) as caught:
        report.raise_for_failures()
    check(caught.value)


@pytest.mark.parametrize("kind", ["get", "move"])
@pytest.mark.parametrize(
    ("data", "uids", "fault"),
    [
        (explicit_element(0x0008, 0x0058, "UI", b"1.2\\1.3\0"), ("1.2", "1.3"), ""),
        (explicit_element(0x0008, 0x0058, "UI", b"1.2\\1.3\0")[:-2], ("1.2",), "is truncated within"),
        (NAME[:5], (), "is truncated"),
        (b"\0\0\x02\x10" + b"US\2\0\1\0", (), ""),
        (b"\xff" * 12, (), "cannot be read within"),
    ],
)
def test_a_bad_list_of_failed_objects(
    face: Face, kind: str, data: bytes, uids: tuple[str, ...], fault: str, tmp_path: Path
) -> None:
    counts = (us_element(0x1021, 5), us_element(0x1022, 1), us_element(0x1023, 0))
    with Acceptor(answering(response(0xB000, *counts, data=data))) as acceptor:
        progress = ask(face, kind, acceptor.port, tmp_path).progress
    assert (progress.status, progress.completed, progress.failed) == (0xB000, 5, 1)
    assert progress.failed_sop_instance_uids == uids
    assert fault in progress.fault
    assert bool(progress.fault) == bool(fault)


BAD_ROWS = b"\x28\0\x10\0US\3\0\1\2\3"
BAD_NUMBER = explicit_element(0x0020, 0x0013, "IS", b"inf ")
BAD_SEQUENCE = explicit_element(0x0040, 0x0100, "SQ", b"text")


def test_matches_with_bad_values(face: Face) -> None:
    matches = [NAME + BAD_NUMBER + BAD_ROWS + BAD_SEQUENCE, NAME[:-1], NAME]
    pending = [response(0xFF00, data=data) for data in matches]
    with Acceptor(answering(*pending, response(0))) as acceptor:
        bad, truncated, good = face.ask("find", acceptor.port, STUDY).matches
    found = bad.identifier
    assert str(found)
    assert (found.PatientName, found.InstanceNumber, found.Rows) == ("DOE^JANE", b"inf ", b"\1\2\3")
    sequence = found["ScheduledProcedureStepSequence"]
    assert (sequence.VR, sequence.value) == ("UN", b"text")
    assert [fault.partition(":")[0] for fault in bad.faults] == ["(0020,0013)", "(0028,0010)", "(0040,0100)"]
    with pytest.raises(dcmnet.InputFileError, match=r"match: is truncated within \(0010,0010\)"):
        truncated.identifier  # noqa: B018  # it is decoded when it is looked at
    assert truncated.faults[-1] == "the identifier is truncated within (0010,0010)"
    assert (good.faults, good.identifier.PatientName) == ((), "DOE^JANE")
    assert isinstance(good.identifier, pydicom.Dataset)
