from __future__ import annotations

import csv
import io
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pydicom
import pytest

import dcmnet
from dcmnet import AssociationRequest, Server
from dcmnet._net import trace
from dcmnet.cli import findscu
from dcmnet.cli.parser import parse
from dcmnet.storage.answering import QueryRequest
from dcmnet.sync import guests as sync_guests
from tests.faces.archives import accepted, response
from tests.faces.wire import ABORT, Acceptor, RawPeer
from tests.unit.cli_runs import HOST, json_lines, run_cli
from tests.unit.cli_tools import logs_put_back
from tests.unit.objects import element, write_file

Capture = pytest.CaptureFixture[str]
NAMES = ("DOE^JANE", "DOE^JOHN", "ROE^RÖ")
KEYS = ("-k", "8,52=STUDY", "-k", "PatientName")


@pytest.fixture(autouse=True)
def _logs_put_back() -> Iterator[None]:
    with logs_put_back():
        yield


@pytest.fixture
def associations() -> list[AssociationRequest]:
    """What the peer is asked for."""
    return []


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, associations: list[AssociationRequest]) -> Iterator[Server]:
    """The peer: three studies. It runs in this process, but what it logs belongs on no tool's stderr."""
    own = logging.Logger("peer")
    own.addHandler(logging.NullHandler())
    for module in (sync_guests, trace):
        monkeypatch.setattr(module, "logger", own)
    with Server("PEER") as made:
        for model in (dcmnet.MODALITY_WORKLIST, dcmnet.STUDY_ROOT, dcmnet.PATIENT_STUDY_ONLY):
            made.on_find(model)(matches)
        made.on_association(associations.append)
        made.start(0)
        yield made


def matches(request: QueryRequest) -> Iterator[Any]:
    for number, name in enumerate(NAMES, 1):
        yield {"QueryRetrieveLevel": "STUDY", "PatientName": name, "StudyInstanceUID": f"1.2.{number}"}


def run(capsys: Capture, server: Server, *words: object) -> tuple[int, str, str]:
    return run_cli(capsys, "findscu", "-S", HOST, server.port, *words)


def test_what_is_printed_without_an_option(capsys: Capture, server: Server) -> None:
    code, out, err = run(capsys, server, *KEYS)
    assert (code, out) == (0, "")
    lines = err.splitlines()
    assert lines[:9] == [
        "I: ---------------------------",
        "I: Find Response: 1 (Pending)",
        "I: ",
        "I: # Dicom-Data-Set",
        "I: # Used TransferSyntax: Little Endian Explicit",
        "I: (0008,0052) CS [STUDY ]                                 #   6, 1 QueryRetrieveLevel",
        "I: (0010,0010) PN [DOE^JANE]                               #   8, 1 PatientName",
        "I: (0020,000d) UI [1.2.1]                                  #   6, 1 StudyInstanceUID",
        "I: ",
    ]
    assert [line for line in lines if "Response" in line] == [
        f"I: Find Response: {number} (Pending)" for number in (1, 2, 3)
    ]


def test_what_is_said(capsys: Capture, server: Server) -> None:
    code, out, err = run(capsys, server, *KEYS, "-v", "-sr", "--repeat", 2)
    assert (code, out) == (0, "")
    request = [
        "I: Request Identifiers:",
        "I: ",
        "I: # Dicom-Data-Set",
        "I: # Used TransferSyntax: Little Endian Explicit",
        "I: (0008,0052) CS [STUDY ]                                 #   6, 1 QueryRetrieveLevel",
        "I: (0010,0010) PN (no value available)                     #   0, 0 PatientName",
        "I: ",
    ]
    assert err.splitlines() == [
        "I: Requesting Association",
        "I: Association Accepted (Max Send PDV: 131066)",
        "I: Sending Find Request (MsgID 1)",
        *request,
        *(f"I: Received Find Response {number} (Pending)" for number in (1, 2, 3)),
        "I: Received Final Find Response (Success)",
        "I: Sending Find Request (MsgID 2)",
        *request,
        *(f"I: Received Find Response {number} (Pending)" for number in (4, 5, 6)),
        "I: Received Final Find Response (Success)",
        "I: Releasing Association",
    ]


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ((), True),
        (("-q",), False),
        (("-ll", "error"), False),
        (("-sr",), False),
        (("--json",), False),
        (("--table",), False),
        (("--csv", "PatientName"), False),
        (("--json", "+sr"), True),
        (("-sr", "+sr"), True),
        (("-q", "+sr"), False),
        (("-X",), False),
        (("-X", "+sr"), True),
    ],
)
def test_where_responses_are_shown(
    capsys: Capture, server: Server, tmp_path: Path, words: tuple[str, ...], shown: bool
) -> None:
    more = ("-od", tmp_path) if "-X" in words else ()
    code, _, err = run(capsys, server, *KEYS, *words, *more)
    assert (code, "Find Response: 3" in err) == (0, shown)


def test_json(capsys: Capture, server: Server) -> None:
    code, out, err = run(capsys, server, *KEYS, "--json")
    assert (code, err) == (0, "")
    *found, final, summary = json_lines(out)
    assert [each["number"] for each in found] == [1, 2, 3]
    assert found[2]["identifier"]["00100010"]["Value"] == [{"Alphabetic": "ROE^RÖ"}]
    assert (found[0]["event"], found[0]["status"]) == ("match", "0xFF00")
    assert final == {"event": "final", "query": 1, "status": "0x0000", "text": "Success", "comment": ""}
    assert summary == {"event": "summary", "queries": 1, "matches": 3, "exit_code": 0}


def test_csv(capsys: Capture, server: Server) -> None:
    code, out, err = run(capsys, server, *KEYS, "--csv", "PatientName,0020,000D,(0040,0100)[0].8,60,StudyID")
    assert (code, err) == (0, "")
    rows = list(csv.reader(io.StringIO(out)))
    assert rows[0] == ["PatientName", "(0020,000d)", "(0040,0100)[0].(0008,0060)", "StudyID"]
    assert rows[1:] == [[name, f"1.2.{number}", "", ""] for number, name in enumerate(NAMES, 1)]


def test_a_table(capsys: Capture, server: Server, tmp_path: Path) -> None:
    path = write_file(tmp_path / "q", data=element(8, 0x52, "CS", b"STUDY") + element(0x20, 0xD, "UI", b""))
    code, out, err = run(capsys, server, "-k", "0020,000D", "-k", "PatientName", path, "--table")
    assert (code, err) == (0, "")
    lines = [[cell.strip() for cell in line.split(line[0])[1:-1]] for line in out.splitlines()]
    assert lines[1] == ["(0020,000d)", "PatientName", "QueryRetrieveLevel"]
    assert lines[3:-1] == [[f"1.2.{number}", name, "STUDY"] for number, name in enumerate(NAMES, 1)]


def test_values_of_a_peer_keep_to_their_line(capsys: Capture, server: Server) -> None:
    @server.on_find(dcmnet.STUDY_ROOT)
    def find(request: QueryRequest) -> Iterator[bytes]:
        yield element(0x0008, 0x0052, "CS", b"STUDY") + element(
            0x0010, 0x0010, "PN", b"\x1b]0;x\x07[red]\nI: y"
        )

    for words in ((), ("--table",), ("--csv", "PatientName")):
        code, out, err = run(capsys, server, *KEYS, *words)
        assert code == 0
        assert "\x1b" not in out + err and "\x07" not in out + err
        assert "\\x1b]0;x\\x07[red]\\x0aI: y" in out + err


def test_a_character_set_that_is_none_forges_no_line(
    capfd: pytest.CaptureFixture[str], server: Server
) -> None:
    @server.on_find(dcmnet.STUDY_ROOT)
    def find(request: QueryRequest) -> Iterator[bytes]:
        yield element(0x0008, 0x0005, "CS", b"A\nE: forged") + element(0x0010, 0x0010, "PN", b"\xe4")

    for words in ((), ("--json",), ("--csv", "PatientName")):
        code, out, err = run(capfd, server, *KEYS, *words)
        assert code == 0
        assert not [line for line in (out + err).splitlines() if line.startswith(("E: ", "W: "))]


def test_what_cannot_be_read(capsys: Capture, server: Server) -> None:
    @server.on_find(dcmnet.STUDY_ROOT)
    def find(request: QueryRequest) -> Iterator[Any]:
        yield b"\x08\x00\x52\x00CS\x20\x00STUDY "
        yield {"PatientName": "LAST"}

    for words in ((), ("--table",), ("--csv", "PatientName"), ("--json",)):
        code, out, err = run(capsys, server, *KEYS, *words)
        assert code == 69
        assert "E: response 1 cannot be read: is truncated within (0008,0052)" in err.splitlines()
        assert "LAST" in out + err


@pytest.mark.parametrize("words", [("-Xx",), ("-Xs", "all.xml")])
def test_what_cannot_be_extracted(
    capsys: Capture, server: Server, tmp_path: Path, words: tuple[str, ...]
) -> None:
    @server.on_find(dcmnet.STUDY_ROOT)
    def find(request: QueryRequest) -> Iterator[Any]:
        yield b"\x08\x00\x52\x00CS\x20\x00STUDY "
        yield {"PatientName": "LAST"}

    code, _, err = run(capsys, server, *KEYS, *words, "-od", tmp_path)
    assert (code, "E: response 1 cannot be read: is truncated" in err) == (69, True)
    (path,) = tmp_path.iterdir()
    assert b"LAST" in path.read_bytes()


def test_a_uid_that_is_none_gets_into_no_file_meta(capsys: Capture, server: Server, tmp_path: Path) -> None:
    @server.on_find(dcmnet.STUDY_ROOT)
    def find(request: QueryRequest) -> Iterator[bytes]:
        yield element(0x0008, 0x0018, "UI", b"../../x")

    assert run(capsys, server, *KEYS, "-X", "-od", tmp_path)[0] == 0
    assert os.listdir(tmp_path) == ["rsp0001.dcm"]
    meta = pydicom.filereader.read_file_meta_info(tmp_path / "rsp0001.dcm")
    assert meta.MediaStorageSOPInstanceUID.startswith("2.25.")


def test_extracted_files(capsys: Capture, server: Server, tmp_path: Path) -> None:
    code, out, err = run(capsys, server, *KEYS, "-X", "-od", tmp_path, "-Xlo", 2, "-v")
    assert (code, out) == (0, "")
    assert err.count("Maximum number of responses already written") == 1
    assert sorted(os.listdir(tmp_path)) == ["rsp0001.dcm", "rsp0002.dcm"]
    data_set = pydicom.dcmread(tmp_path / "rsp0002.dcm")
    assert (data_set.PatientName, data_set.StudyInstanceUID) == ("DOE^JOHN", "1.2.2")
    assert data_set.file_meta.MediaStorageSOPClassUID == "1.2.276.0.7230010.3.1.0.1"
    assert run(capsys, server, *KEYS, "-Xx", "-od", tmp_path)[0] == 0
    root = ElementTree.parse(tmp_path / "rsp0003.xml").getroot()
    assert (root.tag, root[1].get("tag"), root[2].text) == ("data-set", "0008,0052", "ROE^RÖ")
    assert run(capsys, server, *KEYS, "-X", "-Xs", "all.xml", "-od", tmp_path)[0] == 0
    root = ElementTree.parse(tmp_path / "all.xml").getroot()
    assert (root.tag, root.get("type"), len(root)) == ("responses", "C-FIND", 3)
    assert len(os.listdir(tmp_path)) == 6


def test_an_extracted_object_keeps_its_uids(capsys: Capture, server: Server, tmp_path: Path) -> None:
    @server.on_find(dcmnet.STUDY_ROOT)
    def find(request: QueryRequest) -> Iterator[Any]:
        yield {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2", "SOPInstanceUID": "1.2.77"}

    assert run(capsys, server, *KEYS, "-X", "-od", tmp_path)[0] == 0
    meta = pydicom.dcmread(tmp_path / "rsp0001.dcm").file_meta
    assert meta.MediaStorageSOPClassUID == "1.2.840.10008.5.1.4.1.1.2"
    assert meta.MediaStorageSOPInstanceUID == "1.2.77"


def test_files_that_cannot_be_written(capsys: Capture, server: Server, tmp_path: Path) -> None:
    (tmp_path / "rsp0001.dcm").mkdir()
    code, _, err = run(capsys, server, *KEYS, "-X", "-od", tmp_path)
    assert (code, "E: cannot write: " in err) == (findscu.EXIT_NOT_WRITTEN, True)
    assert os.listdir(tmp_path) == ["rsp0001.dcm"]
    code, _, err = run(capsys, server, *KEYS, "-Xs", "no/all.xml", "-od", tmp_path)
    assert code == findscu.EXIT_NOT_WRITTEN
    code, out, err = run(capsys, server, *KEYS, "-X", "-od", tmp_path / "none", "--json")
    assert (code, "F: specified output directory does not exist" in err) == (1, True)
    assert json_lines(out)[-1]["exit_code"] == 1


def test_queries_from_files(capsys: Capture, server: Server, tmp_path: Path) -> None:
    seen: list[QueryRequest] = []

    @server.on_find(dcmnet.STUDY_ROOT)
    def find(request: QueryRequest) -> list[Any]:
        seen.append(request)
        return []

    first, second = write_file(tmp_path / "1"), write_file(tmp_path / "2", uid="1.2.4")
    code, out, err = run(capsys, server, first, second, "-k", "PatientName=OTHER")
    assert (code, out, err) == (0, "", "")
    assert [each.identifier.SOPInstanceUID for each in seen] == ["1.2.3", "1.2.4"]
    assert {str(each.identifier.PatientName) for each in seen} == {"OTHER"}
    (tmp_path / "text").write_text("this is no DICOM file, and there is no query in it")
    code, out, err = run(capsys, server, tmp_path / "text", "--json")
    assert (code, "text: " in err, json_lines(out)[-1]["exit_code"]) == (1, True, 1)


def test_models_and_transfer_syntaxes(
    capsys: Capture, server: Server, associations: list[AssociationRequest]
) -> None:
    for words in (("-W", "-xi"), ("-O", "-xd", "+cl", 9), ("-S", "-xb", "-u"), ("-S", "-xe", "+dc")):
        code, out, _ = run(capsys, server, *KEYS, *words, "--csv", "PatientName", "-aet", "ME", "-aec", "YOU")
        assert (code, out.splitlines()[3]) == (0, "ROE^RÖ")
    contexts = [each.pdu.presentation_contexts for each in associations]
    assert [len(each) for each in contexts] == [1] * 4
    assert [each[0].abstract_syntax.rpartition("10008.")[2] for each in contexts] == [
        "5.1.4.31", "5.1.4.1.2.3.1", "5.1.4.1.2.2.1", "5.1.4.1.2.2.1",
    ]  # fmt: skip
    assert [len(each[0].transfer_syntaxes) for each in contexts] == [1, 4, 3, 3]
    assert (associations[0].pdu.calling_ae_title, associations[0].pdu.called_ae_title) == ("ME", "YOU")
    code, _, err = run(capsys, server, *KEYS, "-P")
    assert (code, "F: No Acceptable Presentation Contexts" in err) == (findscu.EXIT_NO_ASSOCIATION, True)


def test_a_failure_status(capsys: Capture, server: Server) -> None:
    @server.on_find(dcmnet.STUDY_ROOT)
    def find(request: QueryRequest) -> None:
        raise dcmnet.StatusError("busy", status=0xA700, comment="come back later")

    code, out, err = run(capsys, server, *KEYS, "--json")
    assert code == 69
    assert err.startswith("E: Find Failed: the peer answered with status 0xA700 (Refused: Out of Resources")
    assert (json_lines(out)[0]["status"], json_lines(out)[-1]["exit_code"]) == ("0xA700", 69)
    assert len(err.splitlines()) == 1


def test_cancel(capsys: Capture, server: Server) -> None:
    going_on = threading.Event()

    @server.on_find(dcmnet.STUDY_ROOT)
    def find(request: QueryRequest) -> Iterator[Any]:
        try:
            for number in range(100_000):
                yield {"StudyID": str(number)}
        finally:
            going_on.set()

    code, out, err = run(capsys, server, *KEYS, "--cancel", 2, "--json", "-v")
    assert (code, going_on.wait(10)) == (0, True)
    assert "I: Sending Cancel Request (MsgID 1)" in err.splitlines()
    assert "I: Received Final Find Response (Cancel)" in err.splitlines()
    assert 2 <= json_lines(out)[-1]["matches"] < 100_000
    code, out, _ = run(capsys, server, *KEYS, "--cancel", 0, "--json")
    assert (code, json_lines(out)[-2]["status"]) == (0, "0xFE00")


def test_a_cancellation_that_nobody_asked_for(capsys: Capture, server: Server) -> None:
    @server.on_find(dcmnet.STUDY_ROOT)
    def find(request: QueryRequest) -> None:
        raise dcmnet.StatusError("no", status=0xFE00)

    assert run(capsys, server, *KEYS)[0] == 69


def test_no_association(capsys: Capture, server: Server) -> None:
    port = server.port
    server.shutdown()
    code, out, err = run_cli(capsys, "findscu", "-S", HOST, port, *KEYS, "--json")
    assert (code, err.startswith("F: Association Request Failed")) == (findscu.EXIT_NO_ASSOCIATION, True)
    assert json_lines(out)[0]["event"] == "error"


def test_the_peer_breaks_off(capsys: Capture) -> None:
    def breaks_off(peer: RawPeer) -> None:
        accepted(peer)
        study_id = element(0x0020, 0x0010, "SH", b"1")
        peer.send(response("find", 0xFF00, data_set=study_id, model=dcmnet.MODALITY_WORKLIST) + ABORT)
        peer.read_end()

    with Acceptor(breaks_off) as peer:
        code, _, err = run_cli(capsys, "findscu", HOST, peer.port, *KEYS, "-q")
    assert (code, err) == (70, "")


def test_abort(capsys: Capture, server: Server) -> None:
    code, _, err = run(capsys, server, *KEYS, "-v", "--abort")
    assert (code, err.splitlines()[-1]) == (0, "I: Aborting Association")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "either query file or override keys (or both) must be specified\n-k names a key"),
        (("-k", "NoSuch=1"), "Bad override key/path: NoSuch: no attribute is called 'NoSuch' in the dic"),
        (("-k", "A[x].B"), "Bad override key/path: A[x].B\n'[x]' names no item"),
        (("-k", "Rows=x"), "Bad override key/path: Rows: 'x' is no value for it (US)"),
        (("-k", "PatientID", "-od", "."), "--output-directory only allowed with --extract, --extract-xml or"),
        (("-k", "PatientID", "-Xlo", "1"), "--limit-output only allowed with --extract, --extract-xml or"),
        (("-k", "PatientID", "-X", "-Xlo", "0"), "Invalid value for option --limit-output (underflow: 0)"),
        (("-k", "PatientID", "+cl", "3"), "--compression-level only allowed with --propose-deflated"),
        (("-k", "PatientID", "--table", "--json"), "--table not allowed with --json"),
        (("-k", "PatientID", "--csv", "PatientID", "--json"), "--csv not allowed with --json"),
        (("-k", "PatientID", "--csv", "NoSuch"), "Bad key for a column: NoSuch: no attribute"),
        (("-k", "PatientID", "--csv", ""), "Bad override key/path: \nthere is no attribute"),
        (("-k", "PatientID", "--cancel", "-1"), "Invalid value for option --cancel (-1)"),
        (("-k", "PatientID", "--repeat", "0"), "Invalid value for option --repeat (underflow: 0)"),
        (("-k",), "Missing value for option --key"),
    ],
)
def test_mistakes(capsys: Capture, words: tuple[str, ...], complaint: str) -> None:
    code, out, err = run_cli(capsys, "findscu", HOST, 104, *words)
    assert (code, out) == (1, "")
    assert f"error: {complaint}" in err


def test_keys_in_their_order_and_defaults() -> None:
    arguments = parse(findscu.TOOL, [HOST, "104", "-k", "8,52=STUDY", "-k", "PatientID=*"])
    assert [str(key) for key in arguments.key] == ["(0008,0052)=STUDY", "PatientID=*"]
    assert (arguments.model, arguments.proposed, arguments.cancel) == ("worklist", "=", None)
    assert (arguments.ae_title, arguments.called_ae_title) == ("FINDSCU", "ANY-SCP")
    assert parse(findscu.TOOL, [HOST, "104", "-W", "-O", "-S"]).model == "study"
