"""pydicom tells no value while dcmnet works with a data set; what the program does itself is its own."""

from __future__ import annotations

import io
import logging
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from dcmnet import dataset
from dcmnet.dataset.attributes import read_attributes
from dcmnet.dataset.content import read_elements
from dcmnet.dataset.headers import read_header
from dcmnet.dataset.identifiers import decode_identifier, encode_identifier, from_keywords
from dcmnet.dataset.keys import read_query
from dcmnet.dataset.quiet import WITHOUT_VALUE, quietly, silence
from dcmnet.errors import InputFileError
from dcmnet.storage.querying import Match
from tests.unit.objects import EXPLICIT, IMPLICIT

SECRET = "MILLER^SECRET"


def element(tag: int, vr: str, value: bytes) -> bytes:
    head = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little") + vr.encode()
    return head + len(value).to_bytes(2, "little") + value


# Values that pydicom complains of, each with the text that must not be seen.
BAD = (
    element(0x00080005, "CS", SECRET.encode() + b" ")
    + element(0x00080016, "UI", SECRET.encode() + b"\0")
    + element(0x00080018, "UI", SECRET.encode() + b"\0")
    + element(0x00080020, "DA", SECRET.encode() + b" ")
    + element(0x00100010, "PN", b"\xe4" + SECRET.encode())
    + element(0x00200013, "IS", SECRET.encode() + b" ")
)


def query_file(path: Path) -> Path:
    path.write_bytes(BAD)
    return path


def made() -> Dataset:
    with silence():
        data_set = Dataset()
        data_set.PatientName = SECRET
        data_set.StudyInstanceUID = SECRET
        data_set.StudyDate = SECRET
    return data_set


WAYS: dict[str, Callable[[Path], Any]] = {
    "decode": lambda path: decode_identifier(BAD, EXPLICIT),
    "match": lambda path: Match(0xFF00, BAD, EXPLICIT).identifier,
    "faults": lambda path: Match(0xFF00, BAD, EXPLICIT).faults,
    "content": lambda path: read_elements(BAD, EXPLICIT),
    "read": lambda path: dataset.read(query_file(path), force=True),
    "query": lambda path: read_query(query_file(path)),
    "attributes": lambda path: read_attributes(
        str(query_file(path)), 0, EXPLICIT, ["PatientName", "InstanceNumber"], name="x"
    ),
    "convert": lambda path: dataset.convert(query_file(path), IMPLICIT, name="x", own=(EXPLICIT, 0)),
    "header": lambda path: read_header(io.BytesIO(BAD), EXPLICIT, name="x"),
    "encode": lambda path: dataset.encode(made(), EXPLICIT),
    "keywords": lambda path: encode_identifier({"StudyDate": SECRET, "PatientName": SECRET}, EXPLICIT),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_no_value_is_told(way: Callable[[Path], Any], tmp_path: Path, caplog: Any, capfd: Any) -> None:
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        way(tmp_path / "x")
    assert not caught
    assert {record.getMessage() for record in caplog.records} <= {WITHOUT_VALUE}
    assert "SECRET" not in "".join(capfd.readouterr())


def test_that_something_is_wrong_is_told_once(caplog: Any) -> None:
    decode_identifier(BAD, EXPLICIT)
    assert [record.getMessage() for record in caplog.records] == [WITHOUT_VALUE]


def test_the_program_is_warned_of_what_it_does_itself(caplog: Any) -> None:
    found = decode_identifier(element(0x00080018, "UI", SECRET.encode() + b"\0"), EXPLICIT)
    with pytest.warns(UserWarning, match="SECRET"):
        assert found.SOPInstanceUID
    assert "SECRET" in caplog.text


def test_another_thread_is_not_touched() -> None:
    """`warnings.catch_warnings` would change what holds for it."""
    found = decode_identifier(element(0x00080018, "UI", SECRET.encode() + b"\0"), EXPLICIT)
    within, done = threading.Event(), threading.Event()

    @quietly
    def work() -> None:
        within.set()
        assert done.wait(20)

    thread = threading.Thread(target=work)
    thread.start()
    assert within.wait(20)
    try:
        with pytest.warns(UserWarning, match="SECRET"):
            assert found.SOPInstanceUID
    finally:
        done.set()
        thread.join(20)


def test_silence(caplog: Any) -> None:
    with silence():
        decode_identifier(BAD, EXPLICIT)
        assert "SECRET" in decode_identifier(BAD, EXPLICIT).SOPInstanceUID
    assert not caplog.records


@pytest.mark.parametrize(
    "values", [{"Rows": SECRET}, {"StudyTime": object()}, {"ReferencedStudySequence": [{"Rows": SECRET}]}]
)
def test_an_error_has_neither_a_value_nor_what_pydicom_said(values: dict[str, Any]) -> None:
    with pytest.raises(InputFileError) as caught:
        dataset.encode(from_keywords(values, name="match"), EXPLICIT, name="match")
    error = caught.value
    assert "SECRET" not in str(error) and "\n" not in str(error) and "pydicom" not in str(error)
    assert error.__cause__ is None and error.__suppress_context__
