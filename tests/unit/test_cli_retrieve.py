"""getscu and movescu, against our own Query/Retrieve SCP."""

from __future__ import annotations

import io
import logging
import os
import re
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dcmnet
from dcmnet import AssociationRequest, Server, StorageSCP
from dcmnet._net import trace
from dcmnet.cli import getscu, movescu, moving, progress
from dcmnet.cli.parser import parse
from dcmnet.registry.transfer_syntaxes import ALL, EXPLICIT_VR_BIG_ENDIAN
from dcmnet.storage.answering import QueryRequest
from dcmnet.sync import guests as sync_guests
from tests.certificates import Certificates
from tests.faces.archives import PENDING, Archive, accepted, response
from tests.faces.wire import ABORT, RELEASE_RP, RELEASE_RQ, Acceptor, RawPeer
from tests.unit.cli_runs import CT, HOST, JPEG, MR, json_lines, run_cli
from tests.unit.cli_tools import logs_put_back
from tests.unit.objects import write_file

Capture = pytest.CaptureFixture[str]
KEYS = ("-k", "8,52=STUDY", "-k", "StudyInstanceUID=1.2.9")


@pytest.fixture(autouse=True)
def _logs_put_back() -> Iterator[None]:
    with logs_put_back():
        yield


@pytest.fixture
def associations() -> list[AssociationRequest]:
    """What the peer is asked for."""
    return []


@pytest.fixture
def port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        number: int = sock.getsockname()[1]
        return number


@pytest.fixture
def sources() -> list[Any]:
    """What the peer has for every retrieval."""
    return [CT, MR]


@pytest.fixture
def server(
    monkeypatch: pytest.MonkeyPatch, associations: list[AssociationRequest], port: int, sources: list[Any]
) -> Iterator[Server]:
    """The peer. It runs in this process, but what it logs belongs on no tool's stderr."""
    own = logging.Logger("peer")
    own.addHandler(logging.NullHandler())
    for module in (sync_guests, trace):
        monkeypatch.setattr(module, "logger", own)

    def retrieve(request: QueryRequest) -> Iterator[Any]:
        yield from sources

    with Server("PEER") as made:
        for model in (dcmnet.PATIENT_ROOT, dcmnet.STUDY_ROOT):
            made.on_get(model)(retrieve)
            made.on_move(model)(retrieve)
        made.on_find(dcmnet.PATIENT_ROOT)(retrieve)
        made.destinations = {"MOVESCU": (HOST, port), "GONE": (HOST, port)}
        made.on_association(associations.append)
        made.start(0)
        yield made


def names(folder: Path) -> list[str]:
    return sorted(name.partition(".")[0] for name in os.listdir(folder))


# ---------------------------------------------------------------------- getscu


def test_what_getscu_says(capsys: Capture, server: Server, tmp_path: Path) -> None:
    code, out, err = run_cli(capsys, "getscu", "-v", HOST, server.port, *KEYS, "-od", tmp_path)
    assert (code, out) == (0, "")
    *lines, totals = err.splitlines()
    assert [line for line in lines if "file" not in line] == [
        "I: Requesting Association",
        "I: Association Accepted (Max Send PDV: 131066)",
        "I: Sending C-GET Request (MsgID 1)",
        "I: Received C-STORE Request (MsgID 1)",
        "I: Sending C-STORE Response (Success)",
        "I: Received C-GET Response (Pending)",
        "I: Received C-STORE Request (MsgID 2)",
        "I: Sending C-STORE Response (Success)",
        "I: Received C-GET Response (Success)",
        "I: Final status report from last C-GET message:",
        "I:   Number of Remaining Suboperations : 0",
        "I:   Number of Completed Suboperations : 2",
        "I:   Number of Failed Suboperations    : 0",
        "I:   Number of Warning Suboperations   : 0",
        "I: Releasing Association",
    ]
    assert totals.startswith("I: 2 objects received, ")
    assert names(tmp_path) == ["CT", "MR"]


def test_getscu_as_json(capsys: Capture, server: Server, tmp_path: Path) -> None:
    words = (*KEYS, "-od", tmp_path, "--json", "+B", "--repeat", 2)
    code, out, err = run_cli(capsys, "getscu", HOST, server.port, *words)
    assert code == 0
    assert [line[:40] for line in err.splitlines()] == [
        "W: file already exists, overwriting: " + str(tmp_path)[:3]
    ] * 2
    events = json_lines(out)
    kinds = [each["event"] for each in events]
    assert kinds == ["object", "progress", "object", "final"] * 2 + ["summary"]
    assert (events[1]["remaining"], events[1]["completed"]) == (1, 1)
    assert (events[3]["completed"], events[3]["failed_sop_instance_uids"]) == (2, [])
    assert (events[-1]["queries"], events[-1]["completed"], events[-1]["received"]) == (2, 4, 4)
    assert all(name[0].isdigit() for name in os.listdir(tmp_path))  # +B: the bare SOP Instance UID


def test_getscu_keeps_nothing(capsys: Capture, server: Server, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = run_cli(capsys, "getscu", HOST, server.port, *KEYS, "--ignore")
    assert (code, err, os.listdir(tmp_path)) == (0, "", [])


def test_getscu_and_what_is_not_sent(
    capsys: Capture, server: Server, sources: list[Any], tmp_path: Path
) -> None:
    sources.append(write_file(tmp_path / "x", uid="1.2.55", sop_class="1.2.840.10008.5.1.4.1.1.501.1"))
    (tmp_path / "out").mkdir()
    words = (*KEYS, "-od", tmp_path / "out")
    code, out, err = run_cli(capsys, "getscu", HOST, server.port, *words, "--json")
    assert code == 68
    assert "E: not retrieved: 1.2.55" in err.splitlines()
    assert "W: C-GET response with error status 0xB000" in err
    final, summary = json_lines(out)[-2:]
    assert (final["failed"], final["failed_sop_instance_uids"]) == (1, ["1.2.55"])
    assert (summary["exit_code"], summary["received"]) == (68, 2)
    del sources[:2]
    code, _, err = run_cli(capsys, "getscu", HOST, server.port, *words)
    assert (code, "E: C-GET response with error status 0xA702" in err) == (69, True)


def test_getscu_cannot_keep_an_object(capsys: Capture, server: Server, tmp_path: Path) -> None:
    words = (*KEYS, "-od", tmp_path, "--on-duplicate", "refuse")
    assert run_cli(capsys, "getscu", HOST, server.port, *words)[0] == 0
    code, _, err = run_cli(capsys, "getscu", HOST, server.port, *words)
    assert (code, err.count("E: object "), err.count("E: not retrieved: ")) == (69, 2, 2)


def test_what_getscu_proposes(
    capsys: Capture, server: Server, associations: list[AssociationRequest], tmp_path: Path
) -> None:
    words = (*KEYS, "-od", tmp_path, "-xi", "+xb", "-S", "+v", "-v")
    code, _, err = run_cli(capsys, "getscu", HOST, server.port, *words)
    assert (code, "I: Presentation Contexts:" in err) == (0, True)
    own, *objects = associations[0].pdu.presentation_contexts
    assert (own.abstract_syntax, own.transfer_syntaxes) == (
        "1.2.840.10008.5.1.4.1.2.2.3",
        ("1.2.840.10008.1.2",),
    )
    assert len(objects) == 127
    assert {each.transfer_syntaxes[0] for each in objects} == {EXPLICIT_VR_BIG_ENDIAN}
    roles = associations[0].pdu.user_information.role_selections
    assert {(each.scu_role, each.scp_role) for each in roles} == {(False, True)}


def test_getscu_cancels(capsys: Capture, server: Server, tmp_path: Path) -> None:
    words = (*KEYS, "-od", tmp_path, "--cancel", 0, "--json")
    code, out, _ = run_cli(capsys, "getscu", HOST, server.port, *words)
    assert (code, json_lines(out)[-2]["status"] in ("0x0000", "0xFE00")) == (0, True)  # as fast as it is


def test_getscu_without_an_association(capsys: Capture, server: Server, tmp_path: Path) -> None:
    words = (*KEYS, "-od", tmp_path)
    assert run_cli(capsys, "getscu", "-O", HOST, server.port, *words)[0] == 1
    port = server.port
    server.shutdown()
    code, _, err = run_cli(capsys, "getscu", HOST, port, *words)
    assert (code, err.startswith("F: Association Request Failed")) == (1, True)


def test_getscu_with_several_files(capsys: Capture, server: Server, tmp_path: Path) -> None:
    files = [write_file(tmp_path / f"{number}.dcm", uid=f"1.2.{number}") for number in (1, 2)]
    (tmp_path / "out").mkdir()
    code, out, _ = run_cli(
        capsys, "getscu", HOST, server.port, *files, *KEYS, "-od", tmp_path / "out", "--json"
    )
    assert (code, json_lines(out)[-1]["queries"]) == (0, 2)
    (tmp_path / "text").write_text("this is no DICOM file, and there is no query in it")
    code, out, err = run_cli(capsys, "getscu", HOST, server.port, tmp_path / "text", "--json")
    assert (code, "text: " in err, json_lines(out)[-1]["exit_code"]) == (1, True, 1)


def breaks_off(peer: RawPeer) -> None:
    """A peer that aborts the association when the retrieval has begun."""
    accepted(peer)
    peer.send(response("get", 0xFF00, model=dcmnet.PATIENT_ROOT) + ABORT)
    peer.read_end()


def test_getscu_loses_its_peer(capsys: Capture, tmp_path: Path) -> None:
    with Acceptor(breaks_off) as peer:
        assert run_cli(capsys, "getscu", "-q", HOST, peer.port, *KEYS, "-od", tmp_path)[0] == 70


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "either query file or override keys (or both) must be specified"),
        (("-k", "NoSuch"), "Bad override key/path: NoSuch: no attribute"),
        (("-k", "PatientID", "-od", ".", "--ignore"), "--output-directory not allowed with --ignore"),
        (("-k", "PatientID", "+xa"), "Unknown option +xa"),
        (("-k", "PatientID", "+v"), "--verbose-pc only allowed with verbose mode"),
        (("-k", "PatientID", "-W"), "Unknown option -W"),
    ],
)
def test_mistakes_of_getscu(capsys: Capture, words: tuple[str, ...], complaint: str) -> None:
    code, out, err = run_cli(capsys, "getscu", HOST, 104, *words)
    assert (code, out) == (1, "")
    assert f"error: {complaint}" in err


def test_getscu_needs_its_directory(capsys: Capture, tmp_path: Path) -> None:
    code, _, err = run_cli(capsys, "getscu", HOST, 104, *KEYS, "-od", tmp_path / "none")
    assert (code, err.startswith("F: specified output directory does not exist")) == (1, True)


def test_defaults_of_getscu() -> None:
    arguments = parse(getscu.TOOL, [HOST, "104", "-k", "PatientID"])
    assert (arguments.model, arguments.proposed, arguments.preferred) == ("patient", "=", "=")
    assert (arguments.ae_title, arguments.bit_preserving) == ("GETSCU", False)


def test_a_bar_of_getscu(monkeypatch: pytest.MonkeyPatch, server: Server, tmp_path: Path) -> None:
    shown: list[str] = []
    describe = progress.Bar.describe

    def record(self: progress.Bar, seconds: float) -> str:
        shown.append(describe(self, 0.0))
        return shown[-1]

    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress.Bar, "describe", record)
    code = dcmnet.cli.main(["getscu", HOST, str(server.port), *KEYS, "-od", str(tmp_path)])
    assert code == 0
    assert shown[-1].startswith("2/2 objects  ")


# ---------------------------------------------------------------------- movescu


def test_what_movescu_says(capsys: Capture, server: Server, port: int, tmp_path: Path) -> None:
    words = (*KEYS, "-od", tmp_path, "+P", port, "--bind", HOST)
    code, out, err = run_cli(capsys, "movescu", "-v", HOST, server.port, *words)
    assert (code, out) == (0, "")
    *lines, totals = err.splitlines()
    said = sorted(line for line in lines if "Sub-Association Release" not in line)  # by several threads
    expected = [
        f"I: listening on {HOST}:{port}",
        "I: Requesting Association",
        "I: Association Accepted (Max Send PDV: 131066)",
        "I: Sending Move Request (MsgID 1)",
        "I: Request Identifiers:",
        "I: ",
        "I: # Dicom-Data-Set",
        "I: # Used TransferSyntax: Little Endian Explicit",
        "I: (0008,0052) CS [STUDY ]                                 #   6, 1 QueryRetrieveLevel",
        "I: (0020,000d) UI [1.2.9]                                  #   6, 1 StudyInstanceUID",
        "I: ",
        "I: Sub-Association Received",
        "I: Sub-Association Acknowledged (Max Send PDV: 131066)",
        "I: Received Store Request (MsgID 1, CT)",
        *[line for line in lines if "storing DICOM file" in line and "CT." in line],
        "I: Received Move Response 1 (Pending)",
        "I: Received Store Request (MsgID 2, MR)",
        *[line for line in lines if "storing DICOM file" in line and "MR." in line],
        "I: Received Final Move Response (Success)",
        "I: Releasing Association",
    ]
    assert said == sorted(expected)
    assert totals.startswith("I: 2 objects received, ")
    assert names(tmp_path) == ["CT", "MR"]


def test_movescu_as_json(capsys: Capture, server: Server, port: int, tmp_path: Path) -> None:
    words = (*KEYS, "-od", tmp_path, "+P", port, "--bind", HOST, "--json")
    code, out, _ = run_cli(capsys, "movescu", HOST, server.port, *words)
    events = {each["event"]: each for each in json_lines(out)}
    assert code == 0
    assert set(events) >= {"listening", "association", "object", "progress", "final", "summary"}
    assert events["listening"]["port"] == port
    assert (events["summary"]["completed"], events["summary"]["received"]) == (2, 2)


def test_movescu_to_a_third(capsys: Capture, server: Server, port: int, tmp_path: Path) -> None:
    with StorageSCP(tmp_path, "MOVESCU").start(port):
        code, out, err = run_cli(
            capsys, "movescu", HOST, server.port, *KEYS, "-aet", "ME", "-aem", "MOVESCU", "--no-port"
        )
    assert (code, out, err, names(tmp_path)) == (0, "", "", ["CT", "MR"])


def test_movescu_takes_compressed_objects_and_converts(
    capsys: Capture, server: Server, port: int, sources: list[Any], tmp_path: Path
) -> None:
    sources.append(JPEG)
    words = (*KEYS, "-od", tmp_path, "+P", port, "--bind", HOST)
    assert run_cli(capsys, "movescu", HOST, server.port, *words)[0] == 0
    assert len(os.listdir(tmp_path)) == 3
    del sources[2]
    code, _, err = run_cli(capsys, "movescu", HOST, server.port, *words, "-F", "+ti", "+x=")
    stored = [path.read_bytes() for path in tmp_path.iterdir() if path.name.startswith(("CT", "MR"))]
    assert (code, err.count("overwriting"), len(stored)) == (0, 2, 2)
    assert all(data[128:132] != b"DICM" and data[4:6] != b"CS" for data in stored)


def test_movescu_destinations(capsys: Capture, server: Server) -> None:
    code, _, err = run_cli(capsys, "movescu", HOST, server.port, *KEYS, "-aem", "NOBODY")
    assert code == 69
    assert err.splitlines() == [
        "E: Move response with error status 0xA801 (Refused: Move Destination unknown: "
        "the Move Destination is not known here)"
    ]
    code, out, err = run_cli(capsys, "movescu", HOST, server.port, *KEYS, "-aem", "GONE", "--json")
    assert (code, err.count("E: not retrieved: ")) == (69, 2)
    assert len(json_lines(out)[-2]["failed_sop_instance_uids"]) == 2


def test_objects_that_went_elsewhere(capsys: Capture, server: Server, port: int, tmp_path: Path) -> None:
    with StorageSCP(tmp_path, "MOVESCU").start(port), socket.socket() as sock:
        sock.bind((HOST, 0))
        other = sock.getsockname()[1]
        sock.close()
        words = (*KEYS, "+P", other, "--bind", HOST, "-od", tmp_path, "--arrival-timeout", 0)
        code, _, err = run_cli(capsys, "movescu", HOST, server.port, *words, "-v")
    assert code == 68
    assert "I: Waiting for 2 objects that the peer says it has sent\n" in err
    assert "W: the peer says that it has sent 2 objects, and 0 came here and were kept: does it know" in err


@pytest.mark.parametrize("title", [(), ("-aem", "ALIAS")])
def test_movescu_waits_for_objects(
    capsys: Capture, port: int, title: tuple[str, ...], tmp_path: Path
) -> None:
    """They may come after the final response, and under another title that stands for this port."""
    archive = Archive(port, dcmnet.PATIENT_ROOT, context_id=3)
    sender = archive.send_late("1.2.4")
    with archive.answering(0, {"completed": 2}, before=["1.2.3"]) as peer:
        words = (*KEYS, "+P", port, "--bind", HOST, "-od", tmp_path, *title)
        code, _, err = run_cli(capsys, "movescu", HOST, peer.port, *words)
    sender.join()
    assert (code, err, len(os.listdir(tmp_path))) == (0, "", 2)


def test_movescu_and_objects_for_another_title(capsys: Capture, port: int, tmp_path: Path) -> None:
    archive = Archive(port, dcmnet.PATIENT_ROOT, context_id=3)
    with archive.answering(0, {"completed": 2}) as peer:
        words = (*KEYS, "+P", port, "--bind", HOST, "-od", tmp_path, "-aem", "OTHER")
        assert run_cli(capsys, "movescu", HOST, peer.port, *words)[0] == 0


def test_getscu_compares(capsys: Capture, tmp_path: Path) -> None:
    def script(peer: RawPeer) -> None:
        accepted(peer)
        peer.send(response("get", 0, {"completed": 2}, model=dcmnet.PATIENT_ROOT))
        assert peer.read_pdu() == RELEASE_RQ  # what is unread when a socket is closed makes it a reset

    with Acceptor(script) as peer:
        code, out, err = run_cli(capsys, "getscu", HOST, peer.port, *KEYS, "-od", tmp_path, "--json")
    assert (code, json_lines(out)[-1]["exit_code"]) == (68, 68)
    assert "F: Association Release Failed: the peer closed the connection\n" in err
    assert "W: the peer says that it has sent 2 objects, and 0 came here and were kept\n" in err


@pytest.mark.parametrize(("tool", "expected"), [("getscu", 1), ("movescu", movescu.EXIT_NOT_RELEASED)])
def test_an_association_that_is_not_released(
    capsys: Capture, tool: str, expected: int, tmp_path: Path
) -> None:
    """The retrieval is complete, and its result is shown."""

    def script(peer: RawPeer) -> None:
        objects = () if tool == "getscu" else (3,)
        accepted(peer, *objects)
        kind, context_id = ("move", 3) if objects else ("get", 1)
        final = response(kind, 0, {"completed": 0}, model=dcmnet.PATIENT_ROOT, context_id=context_id)
        peer.send(final)
        assert peer.read_pdu() == RELEASE_RQ
        peer.send(ABORT)

    with Acceptor(script) as peer:
        words = (*KEYS, "-od", tmp_path) if tool == "getscu" else KEYS
        code, out, err = run_cli(capsys, tool, HOST, peer.port, *words, "--json")
    assert code == expected
    assert [each["event"] for each in json_lines(out)] == ["final", "error", "summary"]
    assert "Association Release Failed: association aborted by the peer" in err


@pytest.mark.parametrize("counts", [None, {"remaining": 1}])
def test_getscu_without_counts(capsys: Capture, tmp_path: Path, counts: dict[str, int] | None) -> None:
    """More than 65,535 objects cannot be counted: what is not told is not shown as none."""

    def script(peer: RawPeer) -> None:
        accepted(peer)
        pending = response("get", PENDING, counts, model=dcmnet.PATIENT_ROOT)
        peer.send(pending + response("get", model=dcmnet.PATIENT_ROOT))
        assert peer.read_pdu() == RELEASE_RQ
        peer.send(RELEASE_RP)

    with Acceptor(script) as peer:
        code, _, err = run_cli(capsys, "getscu", "-v", HOST, peer.port, *KEYS, "-od", tmp_path)
    assert code == 0
    assert "I:   Number of Completed Suboperations : not told\n" in err


def test_what_movescu_proposes(
    capsys: Capture, server: Server, associations: list[AssociationRequest]
) -> None:
    assert run_cli(capsys, "movescu", HOST, server.port, *KEYS, "-aem", "X", "-xd", "-aet", "ME")[0] == 69
    find, move = associations[0].pdu.presentation_contexts
    assert [find.abstract_syntax[-7:], move.abstract_syntax[-7:]] == ["1.2.1.1", "1.2.1.2"]
    assert len(move.transfer_syntaxes) == 4
    code, _, err = run_cli(capsys, "movescu", HOST, server.port, *KEYS, "-O")
    assert (code, "F: No Acceptable Presentation Contexts" in err) == (movescu.EXIT_NO_CONTEXT, True)


def test_movescu_cancels(capsys: Capture, server: Server, port: int, tmp_path: Path) -> None:
    words = (*KEYS, "-od", tmp_path, "+P", port, "--bind", HOST, "--cancel", 0)
    code, _, err = run_cli(capsys, "movescu", HOST, server.port, *words, "-v")
    assert code == 0
    assert re.search(r"I: Received Final Move Response \((Success|Cancel)\)", err)  # as fast as it is


def test_ports_and_directories_of_movescu(
    capsys: Capture, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = (HOST, server.port, *KEYS, "--bind", HOST)
    assert run_cli(capsys, "movescu", *words, "+P", server.port, "-od", tmp_path)[0] == movescu.EXIT_LISTEN
    assert run_cli(capsys, "movescu", *words, "+P", 1, "-od", tmp_path / "no")[0] == movescu.EXIT_NO_DIRECTORY
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert run_cli(capsys, "movescu", *words, "+P", 1, "-od", tmp_path)[0] == movescu.EXIT_NOT_WRITABLE
    monkeypatch.undo()

    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Server, "start", refuse)
    code, out, err = run_cli(capsys, "movescu", *words, "+P", 80, "-od", tmp_path, "--json")
    assert (code, json_lines(out)[-1]["exit_code"]) == (movescu.EXIT_PRIVILEGE, 2)
    assert err == "F: cannot listen on port 80, insufficient privileges\n"


def test_movescu_without_an_association(capsys: Capture, server: Server, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("this is no DICOM file, and there is no query in it")
    assert run_cli(capsys, "movescu", HOST, server.port, tmp_path / "text")[0] == 1
    port = server.port
    server.shutdown()
    assert run_cli(capsys, "movescu", HOST, port, *KEYS)[0] == movescu.EXIT_NO_ASSOCIATION


def test_movescu_loses_its_peer(capsys: Capture, port: int, tmp_path: Path) -> None:
    def breaks_off(peer: RawPeer) -> None:
        accepted(peer, 3)
        peer.send(response("move", 0xFF00, model=dcmnet.PATIENT_ROOT, context_id=3) + ABORT)
        peer.read_end()

    words = (*KEYS, "+P", port, "--bind", HOST, "-od", tmp_path)
    with Acceptor(breaks_off) as peer:
        assert run_cli(capsys, "movescu", "-q", HOST, peer.port, *words)[0] == 70


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "either query file or override keys (or both) must be specified"),
        (("-k", "PatientID", "-od", "."), "--output-directory only allowed with --port"),
        (("-k", "PatientID", "--bind", HOST), "--bind only allowed with --port"),
        (("-k", "PatientID", "+P", "0"), "Invalid value for option --port (underflow: 0)"),
        (("-k", "PatientID", "+P", "65536"), "Invalid value for option --port (overflow: 65536)"),
        (("-k", "PatientID", "+B", "+te"), "--write-xfer-little not allowed with --bit-preserving"),
        (("-k", "PatientID", "-aem", "A" * 17), "Invalid value for option --move (longer than 16"),
        (("-k", "PatientID", "+ac"), "--access-control is not supported"),
        (("-k", "(0040,0100)[0].NoSuch=1"), "Bad override key/path: (0040,0100)[0].NoSuch: no attribute"),
        (("-k", "PatientID", "--max-associations", "2"), "--max-associations only allowed with --port"),
    ],
)
def test_mistakes_of_movescu(capsys: Capture, words: tuple[str, ...], complaint: str) -> None:
    code, out, err = run_cli(capsys, "movescu", HOST, 104, *words)
    assert (code, out) == (1, "")
    assert f"error: {complaint}" in err


def test_defaults_of_movescu() -> None:
    arguments = parse(movescu.TOOL, [HOST, "104", "-k", "PatientID", "+P", "104", "--no-port"])
    assert (arguments.model, arguments.proposed, arguments.preferred) == ("patient", "=", None)
    assert (arguments.ae_title, arguments.move, arguments.listen_port) == ("MOVESCU", None, None)
    assert moving._policy(arguments).contexts[0].transfer_syntaxes == ALL
    arguments = parse(movescu.TOOL, [HOST, "104", "-k", "PatientID", "--no-port", "+P", "104"])
    assert arguments.listen_port == 104


# ---------------------------------------------------------------------- all three


@pytest.mark.parametrize("tool", ["findscu", "getscu", "movescu"])
def test_tls_in_both_directions(
    capsys: Capture, certificates: Certificates, port: int, tmp_path: Path, tool: str
) -> None:
    ca = (str(certificates.ca),)
    own = dcmnet.TLS(**certificates.pair("server"), ca_files=ca)
    server = Server("PEER", tls=own)
    server.on_find(dcmnet.PATIENT_ROOT)(lambda request: [{"PatientID": "1"}])
    server.on_get(dcmnet.PATIENT_ROOT)(lambda request: [CT])
    server.on_move(dcmnet.PATIENT_ROOT)(lambda request: [CT])
    server.destinations = {"MOVESCU": (HOST, port, own)}
    pair = [str(certificates.folder / f"server{end}.pem") for end in ("-key", "")]
    words = ["-P", *KEYS, "+tls", *pair, "+cf", *ca]
    more: dict[str, list[object]] = {
        "findscu": ["--json"],
        "getscu": ["-od", tmp_path],
        "movescu": ["-od", tmp_path, "+P", port],
    }
    with server.start(0):
        done = run_cli(capsys, tool, HOST, server.port, *words, *more[tool], "--check-hostname")
        assert done[0] == 0, done[2]
        strangers = certificates.folder / "other-ca.pem"
        failed = run_cli(capsys, tool, HOST, server.port, *words[:-1], strangers, *more[tool])
    assert failed[0] == {"findscu": 2, "getscu": 1, "movescu": 61}[tool]
    assert names(tmp_path) == ([] if tool == "findscu" else ["CT"])


@pytest.mark.parametrize("tool", ["findscu", "getscu", "movescu"])
def test_an_interrupt_aborts(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, server: Server, tmp_path: Path, tool: str
) -> None:
    aborted = threading.Event()
    abort = dcmnet.Association.abort

    def record(self: dcmnet.Association) -> None:
        abort(self)
        aborted.set()

    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(dcmnet.Association, "abort", record)
    monkeypatch.setattr(dcmnet.Association, tool.removesuffix("scu"), interrupt)
    monkeypatch.chdir(tmp_path)
    code, _, err = run_cli(capsys, tool, "-P", HOST, server.port, *KEYS)
    assert (code, err, aborted.is_set()) == (130, "", True)


@pytest.mark.parametrize(("tool", "expected"), [("findscu", 3), ("getscu", 1), ("movescu", 67)])
def test_an_association_that_cannot_be_released(
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
    server: Server,
    port: int,
    tmp_path: Path,
    tool: str,
    expected: int,
) -> None:
    def refuse(self: dcmnet.Association) -> None:
        self.abort()
        raise dcmnet.DeadlineExceeded("ACSE", 30.0)

    server.on_find(dcmnet.PATIENT_ROOT)(lambda request: [])
    monkeypatch.setattr(dcmnet.Association, "release", refuse)
    monkeypatch.chdir(tmp_path)
    more = ("+P", port, "--bind", HOST) if tool == "movescu" else ()
    code, _, err = run_cli(capsys, tool, "-P", HOST, server.port, *KEYS, *more)
    assert "F: Association Release Failed: " in err
    assert code == expected
