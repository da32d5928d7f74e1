"""What the tools show of what a peer answers: details beside the status, bad values in matches."""

from __future__ import annotations

import csv
import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pydicom
import pytest

import dcmnet
from dcmnet.cli.dcmrecv_serving import ReceiverReporter
from dcmnet.cli.receiving import Reporter
from tests.faces.scripted import Answer, answering, response
from tests.faces.wire import Acceptor, element, explicit_element, us_element
from tests.unit.cli_runs import CT, HOST, json_lines, run_cli
from tests.unit.cli_tools import logs_put_back

Capture = pytest.CaptureFixture[str]

DETAILS = (
    element(0x0901, b"\x10\x00\x10\x00"),
    element(0x0902, b"no \x1b[31m\nE: K\xe4se"),
    us_element(0x0903, 7),
)
SHOWN = r"no \x1b[31m\nE: K"
REST = "; offending element (0010,0010); error ID 7"
KEYS = ("-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyInstanceUID=1.2.3")


@pytest.fixture(autouse=True)
def _logs_put_back() -> Iterator[None]:
    with logs_put_back():
        yield


def run(capsys: Capture, answers: list[Answer], tool: str, *words: object) -> tuple[int, str, str]:
    with Acceptor(answering(*answers)) as acceptor:
        return run_cli(capsys, tool, HOST, acceptor.port, *words)


def check_line(err: str) -> None:
    (line, *_) = [each for each in err.splitlines() if SHOWN in each]
    assert line.isprintable()
    assert line.rstrip(")").endswith(REST)


TOOLS = [
    ("echoscu", (), 0x0122, 71),
    ("storescu", (CT,), 0xA700, 167),
    ("storescu", (CT,), 0xB007, 0),
    ("dcmsend", (CT,), 0xA700, 70),
    ("dcmsend", (CT,), 0xB007, 0),
    ("findscu", KEYS, 0xC001, 69),
    ("getscu", (*KEYS, "--ignore"), 0xC001, 69),
    ("movescu", KEYS, 0xB000, 68),
]


@pytest.mark.parametrize(("tool", "words", "status", "code"), TOOLS)
def test_details(capsys: Capture, tool: str, words: tuple[object, ...], status: int, code: int) -> None:
    answers = [response(status, *DETAILS)]
    found, _, err = run(capsys, answers, tool, *words)
    assert found == code
    check_line(err)
    found, _, err = run(capsys, answers, tool, *words, "-v")
    assert found == code
    check_line(err)
    found, out, _ = run(capsys, answers, tool, *words, "--json")
    assert found == code
    (event,) = [each for each in json_lines(out) if "offending_element" in each]
    assert event["comment"].startswith("no \x1b[31m\nE: K")
    assert (event["offending_element"], event["error_id"]) == (["00100010"], 7)


def test_details_of_a_success_are_for_those_that_want_details(capsys: Capture) -> None:
    answers = [response(0, *DETAILS)]
    assert run(capsys, answers, "echoscu") == (0, "", "")
    _, _, err = run(capsys, answers, "echoscu", "-v")
    check_line(err)


def test_details_in_reports(capsys: Capture, tmp_path: Path) -> None:
    text, made = tmp_path / "report.txt", tmp_path / "report.json"
    run(capsys, [response(0xA700, *DETAILS)], "dcmsend", CT, "+crf", text, "--report-json", made)
    lines = [re.split(" +: ", line, maxsplit=1)[-1] for line in text.read_text().splitlines()]
    assert {"(0010,0010)", "7"} <= set(lines)
    (entry,) = json.loads(made.read_text())["objects"]
    assert (entry["offending_element"], entry["error_id"]) == (["00100010"], 7)


@pytest.mark.parametrize("kind", [Reporter, ReceiverReporter])
def test_what_the_receiving_tools_answer(
    caplog: pytest.LogCaptureFixture, kind: type[Reporter], tmp_path: Path
) -> None:
    reporter = kind(logging.getLogger("dcmnet.cli.receiver"), json=False, verbose_pc=False)
    folder = tmp_path / "removed"
    folder.mkdir()
    store = dcmnet.FileStore(directory=folder, on_stored=reporter.stored)
    server = dcmnet.Server("ANY")
    server.node.store = store
    with caplog.at_level(logging.INFO), server:
        server.start(0)
        folder.rmdir()
        report = dcmnet.send(HOST, server.port, CT)
    (result,) = report.results
    assert result.comment
    errors = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    assert any(result.comment in each for each in errors)


# ---------------------------------------------------------------------- matches

GOOD = explicit_element(0x0010, 0x0010, "PN", b"LAST")
BAD = (
    explicit_element(0x0010, 0x0010, "PN", b"FIRST ")
    + explicit_element(0x0018, 0x9073, "FD", b"\0\0\0\0\0\0\xf8\x7f")
    + explicit_element(0x0020, 0x0013, "IS", b"1e999 ")
    + b"\x28\0\x10\0US\3\0\1\2\3"
    + explicit_element(0x0040, 0x0100, "SQ", b"text")
)
MATCHES = [response(0xFF00, data=BAD), response(0xFF00, data=GOOD), response(0)]
CUT_OFF = [response(0xFF00, data=BAD + GOOD[:-2]), response(0xFF00, data=GOOD), response(0)]


def find(capsys: Capture, answers: list[Answer], *words: object) -> tuple[int, str, str]:
    return run(capsys, answers, "findscu", *KEYS, *words)


def test_a_dump_of_bad_values(capsys: Capture) -> None:
    code, _, err = find(capsys, MATCHES)
    assert code == 0
    assert "[1e999 ]" in err and "US 01\\02\\03 " in err and "SQ text " in err and "LAST" in err
    assert err.count("(invalid: ") == 3


def strict(text: str) -> dict[str, Any]:
    def refuse(name: str) -> None:
        raise ValueError(name)

    found: dict[str, Any] = json.loads(text, parse_constant=refuse)
    return found


def test_json_of_bad_values(capsys: Capture) -> None:
    code, out, err = find(capsys, MATCHES, "--json")
    assert (code, err) == (0, "")
    bad, good, *_ = map(strict, out.splitlines())
    assert good["faults"] == []
    assert [each[:11] for each in bad["faults"]] == ["(0020,0013)", "(0028,0010)", "(0040,0100)"]
    assert bad["identifier"]["00189073"]["Value"] == ["NaN"]
    assert bad["identifier"]["00200013"]["Value"] == ["1e999"]
    assert bad["identifier"]["00280010"] == {"vr": "UN", "InlineBinary": "AQID"}
    assert bad["identifier"]["00400100"] == {"vr": "UN", "InlineBinary": "dGV4dA=="}


def test_rows_of_bad_values(capsys: Capture) -> None:
    code, out, err = find(capsys, MATCHES, "--csv", "PatientName,Rows,InstanceNumber,(0040,0100)[0].Modality")
    assert code == 0
    rows = list(csv.reader(io.StringIO(out)))[1:]
    assert rows == [["FIRST", "01\\02\\03", "1e999", ""], ["LAST", "", "", ""]]
    assert [line[:22] for line in err.splitlines()] == [
        "W: response 1: Rows is",
        "W: response 1: Instanc",
        "W: response 1: (0040,0",
    ]
    code, out, err = find(capsys, MATCHES, "-k", "Rows", "-k", "PatientName", "--table")
    assert code == 0
    assert "01\\02\\03" in out and "LAST" in out and "W: response 1: Rows is not valid" in err


def test_files_of_bad_values(capsys: Capture, tmp_path: Path) -> None:
    assert find(capsys, MATCHES, "-X", "-od", tmp_path)[0] == 0
    assert (tmp_path / "rsp0001.dcm").read_bytes().endswith(BAD)
    assert pydicom.dcmread(tmp_path / "rsp0002.dcm").PatientName == "LAST"
    assert find(capsys, MATCHES, "-Xx", "-od", tmp_path)[0] == 0
    root = ElementTree.parse(tmp_path / "rsp0001.xml").getroot()
    assert [each.text for each in root][2:] == ["1e999", "01\\02\\03", "text"]
    assert find(capsys, MATCHES, "-Xs", "all.xml", "-od", tmp_path)[0] == 0
    assert len(ElementTree.parse(tmp_path / "all.xml").getroot()) == 2


@pytest.mark.parametrize("words", [(), ("--json",), ("--csv", "Rows"), ("--table",), ("-X",), ("-Xx",)])
def test_a_match_that_is_cut_off(capsys: Capture, tmp_path: Path, words: tuple[str, ...]) -> None:
    more = ("-od", tmp_path) if words[:1] in (("-X",), ("-Xx",)) else ()
    code, out, err = find(capsys, CUT_OFF, *words, *more)
    assert code == 69
    assert err.count("E: response 1 cannot be read: is truncated within (0010,0010)\n") == 1
    if not words:
        assert "[LA]" in err and "# the identifier is truncated" in err and "[LAST]" in err
    if words == ("--json",):
        assert strict(out.splitlines()[0])["identifier"]["00400100"]["vr"] == "UN"


@pytest.mark.parametrize("tool", ["getscu", "movescu"])
@pytest.mark.parametrize(("status", "code"), [(0x0000, 68), (0xB000, 68), (0xC001, 69)])
def test_a_list_of_failed_objects_that_is_cut_off(capsys: Capture, tool: str, status: int, code: int) -> None:
    data = explicit_element(0x0008, 0x0058, "UI", b"1.2\\1.3.4\\1.5\0")[:-3]
    counts = (us_element(0x1021, 5), us_element(0x1022, 3 if status else 0), us_element(0x1023, 0))
    answers = [response(status, *counts, data=data)]
    words = (*KEYS, "--ignore") if tool == "getscu" else KEYS
    found, out, err = run(capsys, answers, tool, *words, "--json")
    assert found == code
    assert "E: cannot read the list of what was not retrieved: it is truncated within (0008,0058)\n" in err
    assert "E: not retrieved: 1.2\n" in err and "E: not retrieved: 1.3.4\n" in err
    (final,) = [each for each in json_lines(out) if each["event"] == "final"]
    assert (final["completed"], final["failed_sop_instance_uids"]) == (5, ["1.2", "1.3.4"])
    assert "truncated" in final["fault"]
