from __future__ import annotations

import io
import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dcmnet import (
    AcceptorPolicy,
    DcmnetError,
    Hooks,
    Node,
    Server,
    StorageSCP,
    StoreResult,
    storage_contexts,
)
from dcmnet.cli import identity, logs, sending, storescu
from dcmnet.cli.parser import parse
from dcmnet.errors import AssociationAborted, DeadlineExceeded, InputFileError
from dcmnet.procedures.association import AssociationCore
from dcmnet.registry.transfer_syntaxes import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    JPEG_BASELINE_8BIT,
    UNCOMPRESSED,
)
from dcmnet.storage.part10 import read_file_meta
from dcmnet.storage.report import Report
from dcmnet.ul.items import UserIdentityRQ
from tests.faces.fussy import FussyPeer, abort
from tests.unit.cli_runs import CT, HOST, JPEG, MR, SAMPLE, answering, json_lines, received, run_cli
from tests.unit.cli_tools import logs_put_back
from tests.unit.objects import write_file

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _logs_put_back() -> Iterator[None]:
    with logs_put_back():
        yield


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[StorageSCP]:
    directory = tmp_path / "archive"
    directory.mkdir()
    with StorageSCP(directory, "ARCHIVE").start(0) as server:
        yield server


def test_files_are_sent_as_they_are(capsys: Capture, archive: StorageSCP) -> None:
    code, out, err = run_cli(capsys, "storescu", "-v", HOST, archive.port, CT, MR, JPEG)
    assert (code, out) == (0, "")
    lines = err.splitlines()
    assert lines[:-1] == [
        "I: checking input files ...",
        "I: Requesting Association",
        "I: Association Accepted (Max Send PDV: 131066)",
        f"I: Sending file: {CT}",
        "I: Sending Store Request (MsgID 1, CT)",
        "I: Received Store Response (Success)",
        f"I: Sending file: {MR}",
        "I: Sending Store Request (MsgID 2, MR)",
        "I: Received Store Response (Success)",
        f"I: Sending file: {JPEG}",
        "I: Sending Store Request (MsgID 3, SC)",
        "I: Received Store Response (Success)",
        "I: Releasing Association",
    ]
    assert lines[-1].startswith("I: 3 objects stored, 135.6 kB in ")
    assert received(archive) == ["CT", "MR", "SC"]


def test_without_v_nothing_is_said(capsys: Capture, archive: StorageSCP) -> None:
    assert run_cli(capsys, "storescu", HOST, archive.port, CT) == (0, "", "")


def test_conversion_is_announced(capsys: Capture, archive: StorageSCP) -> None:
    code, _, err = run_cli(capsys, "storescu", "-v", HOST, archive.port, MR, "-x=")
    assert code == 0
    assert "I: Converting transfer syntax: Implicit VR Little Endian -> Explicit VR Little Endian\n" in err


def test_what_cannot_be_converted_is_not_stored(capsys: Capture, archive: StorageSCP) -> None:
    code, _, err = run_cli(capsys, "storescu", HOST, archive.port, JPEG, CT, "-x=")
    assert code == 1
    assert f"E: Store Failed, file: {JPEG}:\nE: no presentation context for Secondary" in err
    assert "E: without -x? the transfer syntax of each file is proposed\n" in err
    assert err.endswith("W: 1 more not sent; with -nh (--no-halt) they would have been\n")
    assert received(archive) == []
    assert run_cli(capsys, "storescu", "-nh", HOST, archive.port, JPEG, CT, "-x=")[0] == 1
    assert received(archive) == ["CT"]


@pytest.mark.parametrize(
    ("statuses", "options", "code", "sent"),
    [
        ((0, 0), (), 0, 2),
        ((0xB000, 0), (), 0, 2),
        ((0xA700, 0), (), 0xA7, 1),
        ((0xA700, 0), ("-nh",), 0xA7, 2),
        ((0xC000, 0xA900), ("-nh",), 0xA9, 2),
        ((0x0122,), (), 1, 1),
        ((0xC123,), (), 0xC1, 1),
    ],
)
def test_statuses_and_exit_codes(
    capsys: Capture, statuses: tuple[int, ...], options: tuple[str, ...], code: int, sent: int
) -> None:
    with answering(*statuses).start(0) as server:
        found, out, err = run_cli(capsys, "storescu", "--json", HOST, server.port, CT, MR, *options)
    assert found == code
    events = json_lines(out)
    answered = [each for each in events if each["event"] == "object" and each["status"] is not None]
    assert [each["status"] for each in answered] == [f"0x{status:04X}" for status in statuses[:sent]]
    assert events[-1]["event"] == "summary"
    assert events[-1]["exit_code"] == code
    assert ("E: Store Failed" in err) is (code != 0)


def test_json_lines(capsys: Capture, archive: StorageSCP, tmp_path: Path) -> None:
    study = tmp_path / "study"
    shutil.copytree(SAMPLE, study)
    (study / "README.md").write_text("not DICOM")
    code, out, err = run_cli(capsys, "storescu", "--json", "+sd", HOST, archive.port, study)
    assert code == 0
    assert "W: ignoring " in err
    events = json_lines(out)
    assert [each["event"] for each in events] == ["skipped", "association", *["object"] * 6, "summary"]
    assert events[1]["called_ae_title"] == "ANY-SCP"
    assert events[2]["stored"] is True
    assert events[2]["association"] == 1
    assert events[2]["transfer_syntax"] == EXPLICIT_VR_LITTLE_ENDIAN
    summary = events[-1]
    assert (summary["stored"], summary["failed"], summary["skipped"]) == (6, 0, 1)
    assert summary["bytes"] == sum(each["bytes"] for each in events[2:-1])


def test_directories(capsys: Capture, archive: StorageSCP, tmp_path: Path) -> None:
    deep = tmp_path / "study" / "series"
    deep.mkdir(parents=True)
    shutil.copy(CT, deep)
    shutil.copy(MR, tmp_path / "study")
    study = tmp_path / "study"
    code, _, err = run_cli(capsys, "storescu", HOST, archive.port, study)
    assert code == 1
    assert err == f"E: {study} is a directory: +sd (--scan-directories) sends what is in it\n"
    assert run_cli(capsys, "storescu", "-nh", HOST, archive.port, study, JPEG)[0] == 1
    assert received(archive) == ["SC"]
    assert run_cli(capsys, "storescu", HOST, archive.port, "+sd", study)[0] == 0
    assert received(archive) == ["MR", "SC"]
    assert run_cli(capsys, "storescu", HOST, archive.port, "+sd", "+r", "+sp", "ct*", study)[0] == 0
    assert received(archive) == ["CT", "MR", "SC"]


def test_nothing_to_send(capsys: Capture, archive: StorageSCP, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    for options in (("+sd", empty), ("-nh", empty)):
        code, _, err = run_cli(capsys, "storescu", HOST, archive.port, *options)
        assert code == 1
        assert err.endswith("F: no input files to be sent\n")


def test_bad_input_stops_before_anything_is_sent(capsys: Capture, archive: StorageSCP) -> None:
    missing = SAMPLE / "nothing.dcm"
    code, _, err = run_cli(capsys, "storescu", "-v", HOST, archive.port, CT, missing)
    assert code == 1
    assert f"E: {missing}: cannot be read: No such file or directory\n" in err
    assert "Requesting Association" not in err
    assert run_cli(capsys, "storescu", "-nh", HOST, archive.port, missing, CT)[0] == 1
    assert received(archive) == ["CT"]


def test_formats_of_input(capsys: Capture, archive: StorageSCP, tmp_path: Path) -> None:
    content = Path(MR).read_bytes()
    bare = tmp_path / "bare"
    bare.write_bytes(content[read_file_meta(content, "mr")[1] :])
    assert run_cli(capsys, "storescu", HOST, archive.port, bare, "+fo")[0] == 1
    code, _, err = run_cli(capsys, "storescu", HOST, archive.port, CT, "-f")
    assert code == 1
    assert "is a DICOM file, and not a data set without File Meta Information" in err
    assert received(archive) == []
    assert run_cli(capsys, "storescu", HOST, archive.port, bare, "-f")[0] == 0
    assert run_cli(capsys, "storescu", HOST, archive.port, bare, CT, "+f")[0] == 0
    assert received(archive) == ["CT", "MR"]


def test_repeat_and_abort(capsys: Capture, archive: StorageSCP) -> None:
    code, _, err = run_cli(capsys, "storescu", "-v", "--repeat", 2, "--abort", HOST, archive.port, CT, MR)
    assert code == 0
    sent = [line for line in err.splitlines() if line.startswith("I: Sending file: ")]
    assert sent == [f"I: Sending file: {name}" for name in (CT, CT, MR, MR)]
    assert "I: Aborting Association\n" in err


def test_presentation_contexts_are_listed(capsys: Capture) -> None:
    policy = AcceptorPolicy(contexts=storage_contexts((IMPLICIT_VR_LITTLE_ENDIAN,)))
    node = Node(policy=policy)
    with Server(node=node) as server:
        server.on_store(lambda request: 0)
        server.start(0)
        code, _, err = run_cli(capsys, "storescu", "-v", "+v", HOST, server.port, CT)
    assert code == 0
    assert "I:   Context ID:        1 (Transfer Syntaxes Not Supported)\n" in err
    assert "I:     Abstract Syntax: =CTImageStorage\n" in err
    assert "I:     Accepted Transfer Syntax: =LittleEndianImplicit\n" in err


def test_no_acceptable_context(capsys: Capture) -> None:
    with Server("ECHO").start(0) as server:
        code, _, err = run_cli(capsys, "storescu", HOST, server.port, CT)
    assert code == 1
    assert err.startswith("F: No Acceptable Presentation Contexts\nE: Store Failed, file: ")


def test_an_abort_in_the_middle(capsys: Capture) -> None:
    def fail(core: AssociationCore) -> None:
        raise ValueError("broken")

    node = Node(hooks=Hooks(accepted=fail))
    with Server(node=node) as server:
        server.on_store(lambda request: 0)
        server.start(0)
        code, out, err = run_cli(capsys, "storescu", "-nh", "--json", HOST, server.port, CT, MR, JPEG)
    assert code == storescu.EXIT_ENDED_EARLY
    assert err.count("E: Store Failed") == 3
    assert "not sent" not in err
    assert json_lines(out)[-1]["failed"] == 3


@pytest.mark.parametrize(
    ("tool", "code"),
    [
        (("storescu", "-nh"), 10),
        (("storescu", "-nh", "--window", "4"), 10),
        (("storescu", "-nh", "--retry", "1", "--retry-wait", "0"), 10),
        (("dcmsend",), 62),
        (("dcmsend", "-nh", "--parallel", "2"), 62),
    ],
)
def test_nineteen_of_twenty(capsys: Capture, tmp_path: Path, tool: tuple[str, ...], code: int) -> None:
    for number in range(20):
        write_file(tmp_path / f"{number:02}.dcm", f"1.2.{number}")
    with FussyPeer({"1.2.7"}, abort, window=4) as server:
        found, out, err = run_cli(capsys, *tool, "--json", "+sd", HOST, server.port, tmp_path)
    assert found == code
    *_, summary = events = json_lines(out)
    assert (summary["stored"], summary["failed"]) == (19, 1)
    objects = [each for each in events if each["event"] == "object"]
    (failed,) = (each for each in objects if not each["stored"])
    assert (failed["sop_instance_uid"], failed["status"]) == ("1.2.7", None)
    assert failed["text"] == "association aborted by the peer: service-user"
    assert f"E: Store Failed, file: {tmp_path / '07.dcm'}:\n" in err


def test_without_no_halt_the_rest_stays_behind(capsys: Capture, tmp_path: Path) -> None:
    for number in range(20):
        write_file(tmp_path / f"{number:02}.dcm", f"1.2.{number}")
    with FussyPeer({"1.2.7"}, abort) as server:
        code, _, err = run_cli(capsys, "storescu", "+sd", HOST, server.port, tmp_path)
    assert code == 10
    assert "W: 12 more not sent; with -nh (--no-halt) they would have been\n" in err


def test_no_association(capsys: Capture, archive: StorageSCP) -> None:
    port = archive.port
    archive.shutdown()
    code, out, err = run_cli(capsys, "storescu", "--json", HOST, port, CT)
    assert code == 1
    assert err.startswith("F: Association Request Failed: cannot connect to ")
    assert [each["event"] for each in json_lines(out)] == ["error", "summary"]


def test_the_bar_ends_with_the_totals(
    capsys: Capture, archive: StorageSCP, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert run_cli(capsys, "storescu", HOST, archive.port, CT, MR)[0] == 0
    last = terminal.getvalue().rstrip().splitlines()[-1]
    assert "2 objects stored, 127.2 kB in " in last
    assert "objects/s" in last


def outcome(**fields: object) -> StoreResult:
    return StoreResult(name="x", **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("report", "code"),
    [
        (Report(), 1),
        (Report(results=[outcome(status=0)]), 0),
        (Report(results=[outcome(status=0)], endings=[DeadlineExceeded("ACSE", 30)]), 10),
        (Report(results=[outcome(error=AssociationAborted(0, 0))]), 10),
        (Report(results=[outcome(error=InputFileError("x", "bad"))]), 1),
        (Report(results=[outcome(error=DcmnetError("not sent")), outcome(status=0xA701)]), 0xA7),
        (Report(results=[outcome(status=0x0042)]), 1),
    ],
)
def test_exit_codes(report: Report, code: int) -> None:
    assert sending.exit_code(report) == code


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ((), None),
        (("-x=",), UNCOMPRESSED),
        (("-xi",), (IMPLICIT_VR_LITTLE_ENDIAN,)),
        (("-xi", "-xb"), (EXPLICIT_VR_BIG_ENDIAN, EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)),
        (("-xy",), (JPEG_BASELINE_8BIT, *UNCOMPRESSED)),
    ],
)
def test_proposals(option: tuple[str, ...], expected: tuple[str, ...] | None) -> None:
    arguments = parse(storescu.TOOL, ["host", "104", "file", "+C", *option])
    proposal = sending._proposal(arguments, logs.logger("x"))
    assert proposal.transfer_syntaxes == expected
    assert proposal.combine


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (("host", "104"), "Missing parameter dcmfile-in"),
        (("host", "104", "f", "+r"), "--recurse only allowed with --scan-directories"),
        (("host", "104", "f", "+sp", "*"), "--scan-pattern only allowed with --scan-directories"),
        (("host", "104", "f", "+v"), "--verbose-pc only allowed with verbose mode"),
        (
            ("host", "104", "f", "--max-send-pdu", "1"),
            "Invalid value for option --max-send-pdu (underflow: 1)",
        ),
    ],
)
def test_mistakes(capsys: Capture, argv: tuple[str, ...], error: str) -> None:
    code, out, err = run_cli(capsys, "storescu", *argv)
    assert (code, out) == (1, "")
    assert f"\nerror: {error}" in err


def test_as_a_process(archive: StorageSCP) -> None:
    command = [sys.executable, "-m", "dcmnet", "storescu", "-v", HOST, str(archive.port), CT]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (0, "")
    assert "I: Received Store Response (Success)\n" in result.stderr


# ---------------------------------------------------------------------- user identity


SECRET = "open-sesame"


def identity_of(*argv: str) -> UserIdentityRQ | None:
    arguments = parse(storescu.TOOL, [HOST, "104", "file", *argv])
    return identity.user_identity(arguments, logging.getLogger("test"))


def test_user_identities(tmp_path: Path) -> None:
    secret, ticket = tmp_path / "secret", tmp_path / "ticket"
    secret.write_text(f"{SECRET}\r\nsecond line\n")
    ticket.write_bytes(b"\x01\x02ticket\n")
    assert identity_of() is None
    assert identity_of("-usr", "ann") == UserIdentityRQ(1, b"ann")
    assert identity_of("-usr", "ann", "-rsp") == UserIdentityRQ(1, b"ann", b"", True)
    for option in (("-pwd", SECRET), ("-pwf", str(secret))):
        assert identity_of("-usr", "ann", *option) == UserIdentityRQ(2, b"ann", SECRET.encode())
    assert identity_of("-usr", "ann", "-epw") == UserIdentityRQ(2, b"ann")
    assert identity_of("-kt", str(ticket), "-rsp") == UserIdentityRQ(3, b"\x01\x02ticket\n", b"", True)
    assert identity_of("--saml", str(ticket)) == UserIdentityRQ(4, b"\x01\x02ticket\n")
    assert identity_of("--jwt", str(ticket)) == UserIdentityRQ(5, b"\x01\x02ticket")
    assert identity_of("-kt", str(ticket), "-usr", "ann") == UserIdentityRQ(1, b"ann")


def test_the_password_is_in_no_log(capsys: Capture, archive: StorageSCP) -> None:
    options = ("-ll", "trace", "--arguments", "-usr", "ann", "-pwd", SECRET)
    code, out, err = run_cli(capsys, "storescu", *options, HOST, archive.port, CT)
    assert code == 0
    assert SECRET not in out + err
    assert "'--password' '***'" in err
    assert "W: the password of -pwd shows in the list of processes: -pwf reads it from a file\n" in err


def test_an_identity_that_is_not_confirmed(capsys: Capture, archive: StorageSCP) -> None:
    code, _, err = run_cli(capsys, "storescu", "-usr", "ann", "-rsp", HOST, archive.port, CT)
    assert code == 1
    assert "User Identity Negotiation failed: a positive response was requested, and none received" in err
    assert received(archive) == []


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (("-pwd", "x"), "--password only allowed with --user"),
        (("-epw",), "--empty-password only allowed with --user"),
        (("-rsp",), "--pos-response only allowed with --user, --kerberos, --saml or --jwt"),
        (("--resume", "x", "+IP", "1"), "--resume not allowed with --invent-instance, --invent-series"),
        (("-usr", "a", "-pwf", "/nowhere"), "cannot read /nowhere: No such file or directory"),
        (("-kt", "/dev/null"), "/dev/null is empty"),
        (("--jwt", "/dev/zero"), "/dev/zero is longer than 65535 bytes"),
        (("+cl", "3"), "--compression-level only allowed with --propose-deflated or --config-file"),
        (("+IR", "0"), "Invalid value for option --invent-series (underflow: 0)"),
    ],
)
def test_mistakes_with_files(capsys: Capture, argv: tuple[str, ...], error: str) -> None:
    code, out, err = run_cli(capsys, "storescu", HOST, "104", CT, *argv)
    assert (code, out) == (1, "")
    assert f"\nerror: {error}" in err


# ---------------------------------------------------------------------- the rest of DCMTK's options


def test_files_get_other_names(capsys: Capture, tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        shutil.copy(CT, tmp_path / name)
    (tmp_path / "a.done").write_text("mine")
    with answering(0, 0, 0, 0xA700, 0, 0, 0, 0).start(0) as server:
        files = [tmp_path / name for name in ("a", "b", "c", "d")]
        code, _, err = run_cli(capsys, "storescu", "+rn", "-nh", "--repeat", 2, HOST, server.port, *files)
    assert code == 0xA7
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == ["a", "a.done", "b.bad", "c.done", "d.done"]
    assert f"E: cannot rename {tmp_path}/a to {tmp_path}/a.done: File exists\n" in err


def test_what_was_not_tried_keeps_its_name(capsys: Capture, tmp_path: Path) -> None:
    for name in ("a", "b"):
        shutil.copy(CT, tmp_path / name)
    with answering(0xA700).start(0) as server:
        run_cli(capsys, "storescu", "+rn", HOST, server.port, tmp_path / "a", tmp_path / "b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.bad", "b"]


@pytest.mark.parametrize("option", [("+II",), ("+IR", "1"), ("+IS", "1"), ("+IP", "1")])
def test_made_up_identities(capsys: Capture, archive: StorageSCP, option: tuple[str, ...]) -> None:
    code, _, err = run_cli(capsys, "storescu", "-v", *option, HOST, archive.port, CT, CT)
    assert code == 0
    assert received(archive) == ["CT", "CT"]
    assert err.count("I: Inventing Identifying Information:\n") == 2
    assert err.count("I:   PatientName=DCMNET^TEST_PN_") == 2


def test_old_value_representations(capsys: Capture, archive: StorageSCP) -> None:
    assert run_cli(capsys, "storescu", "-u", HOST, archive.port, CT)[0] == 0
    assert received(archive) == ["CT"]


def test_a_report(capsys: Capture, archive: StorageSCP, tmp_path: Path) -> None:
    document = tmp_path / "report.json"
    options = ("-up", "--report-json", document, HOST, archive.port)
    assert run_cli(capsys, "storescu", *options, CT)[0] == 0
    code, out, _ = run_cli(capsys, "storescu", "--json", "--resume", document, *options, CT, MR)
    assert code == 0
    objects = [each for each in json_lines(out) if each["event"] == "object"]
    assert [each["file"] for each in objects] == [MR]
    assert len(json.loads(document.read_text())["objects"]) == 2
