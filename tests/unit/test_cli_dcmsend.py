from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dcmnet import AcceptorPolicy, Hooks, Node, Server, StorageSCP, StoreRequest, storage_contexts
from dcmnet.cli import dcmsend, sending, storing
from dcmnet.cli.parser import parse
from dcmnet.procedures.association import AssociationCore
from dcmnet.registry.transfer_syntaxes import UNCOMPRESSED
from tests.unit.cli_runs import CT, HOST, JPEG, MR, SAMPLE, answering, json_lines, received, run_cli
from tests.unit.cli_tools import logs_put_back
from tests.unit.objects import write_file
from tests.unit.test_dicomdir import write_dicomdir

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


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Server]:
    """A server that takes uncompressed objects only."""
    node = Node(policy=AcceptorPolicy(contexts=storage_contexts(UNCOMPRESSED)))
    with Server(node=node) as server:
        server.on_store(lambda request: 0)
        yield server.start(0)


def test_what_is_said(capsys: Capture, archive: StorageSCP) -> None:
    code, out, err = run_cli(capsys, "dcmsend", "-v", HOST, archive.port, CT, MR)
    assert (code, out) == (0, "")
    lines = err.splitlines()
    assert lines[:-1] == [
        "I: checking input files ...",
        "I: starting association #1",
        "I: initializing network ...",
        "I: negotiating network association ...",
        "I: Requesting Association",
        "I: Association Accepted (Max Send PDV: 131066)",
        "I: sending SOP instances ...",
        "I: Sending C-STORE Request (MsgID 1, CT)",
        "I: Received C-STORE Response (Success)",
        "I: Sending C-STORE Request (MsgID 2, MR)",
        "I: Received C-STORE Response (Success)",
        "I: Releasing Association",
        "I: ",
        "I: Status Summary",
        "I: --------------",
        "I: Number of associations   : 1",
        "I: Number of pres. contexts : 4",
        "I: Number of SOP instances  : 2",
        "I: - sent to the peer       : 2",
        "I:   * with status SUCCESS  : 2",
        "I: - NOT sent to the peer   : 0",
    ]
    assert lines[-1].startswith("I: 2 objects stored")
    assert received(archive) == ["CT", "MR"]
    assert run_cli(capsys, "dcmsend", HOST, archive.port, CT) == (0, "", "")


def test_files_are_named_where_details_are_logged(capsys: Capture, archive: StorageSCP) -> None:
    _, _, err = run_cli(capsys, "dcmsend", "-d", HOST, archive.port, CT)
    assert f"D: sending SOP instance from file: {CT}\n" in err
    assert "D: ===================== OUTGOING DIMSE MESSAGE ====================\n" in err
    assert "D: Message Type                  : C-STORE RQ\n" in err
    assert "D: Affected SOP Class UID        : CTImageStorage\n" in err
    assert "D: DIMSE Status                  : 0x0000: Success\n" in err
    assert "D: ====================== BEGIN A-ASSOCIATE-AC =====================\n" in err


def test_reports(capsys: Capture, plain: Server, tmp_path: Path) -> None:
    text, document = tmp_path / "report.txt", tmp_path / "report.json"
    code, _, err = run_cli(
        capsys, "dcmsend", HOST, plain.port, CT, JPEG, "+crf", text, "--report-json", document
    )
    assert code == dcmsend.EXIT_NO_CONTEXT
    assert "E: +dly (--decompress-lossy) may have it decompressed\n" in err
    assert f"Filename      : {CT}\n" in text.read_text()
    assert "  * no acceptable pres.  : 1\n" in text.read_text()
    found = json.loads(document.read_text())
    assert (found["host"], found["port"], found["calling_ae_title"]) == (HOST, plain.port, "DCMSEND")
    assert [each["stored"] for each in found["objects"]] == [True, False]


@pytest.mark.parametrize("option", ["+crf", "--report-json"])
def test_a_report_that_cannot_be_written(
    capsys: Capture, archive: StorageSCP, tmp_path: Path, option: str
) -> None:
    name = tmp_path / "nowhere" / "report"
    code, _, err = run_cli(capsys, "dcmsend", HOST, archive.port, CT, option, name)
    assert code == dcmsend.EXIT_NO_REPORT
    assert err == f"E: cannot write the report {name}: No such file or directory\n"
    assert received(archive) == []


def test_a_report_whose_folder_goes_away(capsys: Capture, tmp_path: Path) -> None:
    folder = tmp_path / "reports"
    folder.mkdir()
    with Server() as server:

        @server.on_store
        def store(request: StoreRequest) -> int:
            folder.rmdir()
            return 0

        server.start(0)
        code, _, _ = run_cli(capsys, "dcmsend", HOST, server.port, CT, "+crf", folder / "report")
    assert code == dcmsend.EXIT_NO_REPORT


def test_a_report_without_an_association(capsys: Capture, archive: StorageSCP, tmp_path: Path) -> None:
    port = archive.port
    archive.shutdown()
    document = tmp_path / "report.json"
    code, _, err = run_cli(capsys, "dcmsend", HOST, port, CT, MR, "--report-json", document)
    assert code == dcmsend.EXIT_NO_ASSOCIATION
    assert err.startswith("F: Association Request Failed: cannot connect to ")
    objects = json.loads(document.read_text())["objects"]
    assert [each["file"] for each in objects] == [CT, MR]
    assert all(each["error"].startswith("cannot connect") and each["file_length"] for each in objects)


def test_a_report_after_an_interruption(
    capsys: Capture, archive: StorageSCP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = storing.Session._result

    def interrupted(self: storing.Session, result: object) -> None:
        ended(self, result)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(storing.Session, "_result", interrupted)
    document = tmp_path / "report.json"
    code, _, _ = run_cli(capsys, "dcmsend", HOST, archive.port, CT, MR, "--report-json", document)
    assert code == 130
    found = json.loads(document.read_text())
    assert [(each["stored"], each["error"]) for each in found["objects"]] == [
        (True, ""),
        (False, "not sent: interrupted"),
    ]
    assert found["associations"] == 1


def test_going_on_from_a_report(capsys: Capture, plain: Server, archive: StorageSCP, tmp_path: Path) -> None:
    study, document = tmp_path / "study", tmp_path / "report.json"
    shutil.copytree(SAMPLE, study)
    arguments = ("+sd", study, "--report-json", document)
    assert run_cli(capsys, "dcmsend", HOST, plain.port, *arguments)[0] == dcmsend.EXIT_NO_CONTEXT
    write_file(study / "mr.dcm", "1.2.3", "1.2.840.10008.5.1.4.1.1.4")
    again = ("-v", "+dly", *arguments, "--resume", document)
    code, out, err = run_cli(capsys, "dcmsend", "--json", HOST, plain.port, *again)
    assert code == 0
    objects = [each for each in json_lines(out) if each["event"] == "object"]
    assert [Path(each["file"]).name for each in objects] == ["fusion.dcm", "mr.dcm"]
    assert json_lines(out)[-1]["stored_before"] == 4
    assert "I: Stored before            : 4\n" in err
    code, out, err = run_cli(capsys, "dcmsend", "--json", HOST, plain.port, *again)
    assert code == 0
    assert [each["event"] for each in json_lines(out)] == ["summary"]
    assert "I: 6 stored before, not sent again\n" in err
    found = json.loads(document.read_text())
    assert [(each["stored"], each["before"]) for each in found["objects"]] == [(True, True)] * 6
    code, _, err = run_cli(capsys, "dcmsend", HOST, archive.port, "+sd", study, "--resume", document)
    assert code == 1
    assert "error: cannot resume: " in err
    assert f"tells of a transfer to ANY-SCP at {HOST}:{plain.port}, not to" in err


@pytest.mark.parametrize(
    ("options", "code", "sent"),
    [
        (("-dn",), 65, []),
        ((), 65, []),
        (("+dly",), 0, ["SC"]),
    ],
)
def test_decompression(
    capsys: Capture, tmp_path: Path, options: tuple[str, ...], code: int, sent: list[str]
) -> None:
    (tmp_path / "in").mkdir()
    with StorageSCP(tmp_path / "in") as server:
        server.node.policy = AcceptorPolicy(contexts=storage_contexts(UNCOMPRESSED))
        server.start(0)
        assert run_cli(capsys, "dcmsend", *options, HOST, server.port, JPEG)[0] == code
        assert received(server) == sent


def test_a_dicomdir(capsys: Capture, archive: StorageSCP, tmp_path: Path) -> None:
    medium = tmp_path / "medium"
    medium.mkdir()
    shutil.copy(CT, medium / "A")
    shutil.copy(MR, tmp_path / "SECRET")
    write_dicomdir(medium / "DICOMDIR", "A", "GONE", ["..", "SECRET"])
    code, _, err = run_cli(capsys, "dcmsend", "+rd", HOST, archive.port, medium / "DICOMDIR")
    assert code == dcmsend.EXIT_INVALID_INPUT
    assert f"E: {medium}/GONE: is listed in {medium}/DICOMDIR, and not there\n" in err
    assert "which is no File ID" in err
    assert received(archive) == []
    assert run_cli(capsys, "dcmsend", "-nh", "+rd", HOST, archive.port, medium)[0] == 22
    assert received(archive) == ["CT"]


@pytest.mark.parametrize(
    ("statuses", "code"), [((0, 0), 0), ((0xB000, 0), 0), ((0xA700, 0), 70), ((0, 0xC000), 70)]
)
def test_statuses(capsys: Capture, statuses: tuple[int, ...], code: int) -> None:
    with answering(*statuses).start(0) as server:
        found, out, _ = run_cli(capsys, "dcmsend", "--json", HOST, server.port, CT, MR)
    assert found == code
    assert json_lines(out)[-1]["objects"] == 2


def test_bad_input(capsys: Capture, archive: StorageSCP, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("not DICOM")
    empty = tmp_path / "empty"
    empty.mkdir()
    bare = tmp_path / "bare"
    bare.write_bytes(Path(MR).read_bytes()[344:])
    for options, code, sent in (
        ((text,), 22, []),
        ((text, CT), 22, []),
        ((tmp_path / "missing", CT), 22, []),
        (("-nh", text), 23, []),
        (("-nh", text, tmp_path / "missing"), 23, []),
        (("+sd", empty), 21, []),
        ((empty, CT), 22, []),
        ((empty,), 22, []),
        (("-nh", empty), 21, []),
        (("-nh", text, CT), 22, ["CT"]),
    ):
        found, _, _ = run_cli(capsys, "dcmsend", HOST, archive.port, *options)
        assert (found, received(archive)) == (code, sent), options
    (empty / "notes").write_text("not DICOM")
    assert run_cli(capsys, "dcmsend", "+sd", HOST, archive.port, empty)[0] == 23


def test_uid_checks(capsys: Capture, archive: StorageSCP, tmp_path: Path) -> None:
    echo = write_file(tmp_path / "echo", "1.2.3", "1.2.840.10008.1.1")
    commitment = write_file(tmp_path / "commitment", "1.2.3", "1.2.840.10008.1.20.1")
    private = write_file(tmp_path / "private", "1.2.3", "1.2.3.4.5")
    code, _, err = run_cli(capsys, "dcmsend", HOST, archive.port, echo)
    assert code == dcmsend.EXIT_INVALID_INPUT
    assert "is of the SOP class Verification SOP Class, which is no storage SOP class" in err
    _, _, err = run_cli(capsys, "dcmsend", HOST, archive.port, commitment)
    assert "is of the SOP class Storage Commitment Push Model SOP Class, which is no storage SOP class" in err
    assert run_cli(capsys, "dcmsend", HOST, archive.port, private)[0] == dcmsend.EXIT_NO_CONTEXT
    code, _, err = run_cli(capsys, "dcmsend", "-nuc", HOST, archive.port, echo)
    assert code == dcmsend.EXIT_NOT_STORED  # it was sent: the peer is the one that refuses it
    assert "0x0122" in err


def test_an_association_that_is_lost(capsys: Capture) -> None:
    cores: list[AssociationCore] = []

    def fail_once(core: AssociationCore) -> None:
        cores.append(core)
        if len(cores) == 1:
            raise ValueError("the first association fails, as this test wants it")

    for options, code in (((), 62), (("--retry", "1", "--retry-wait", "0"), 0)):
        cores.clear()
        with Server(node=Node(hooks=Hooks(accepted=fail_once))) as server:
            server.on_store(lambda request: 0)
            server.start(0)
            found, out, err = run_cli(capsys, "dcmsend", "--json", HOST, server.port, CT, MR, *options)
        assert found == code
        assert ("trying again in 0 s" in err) is (code == 0)
        assert [each["event"] for each in json_lines(out)].count("retry") == (code == 0)


def test_single_association(capsys: Capture, archive: StorageSCP, tmp_path: Path) -> None:
    for number in range(130):
        write_file(tmp_path / f"{number}.dcm", f"1.2.{number}", f"1.2.3.{number}")
    code, _, err = run_cli(capsys, "dcmsend", "-ma", "+sd", HOST, archive.port, tmp_path)
    assert code == dcmsend.EXIT_NO_CONTEXT
    assert err.startswith("F: 260 presentation contexts are needed: too many for one association")


def test_many_at_once(capsys: Capture, archive: StorageSCP, tmp_path: Path) -> None:
    for number in range(20):
        write_file(tmp_path / f"{number:02}.dcm", f"1.2.{number}")
    document = tmp_path / "report.json"
    options = ("--window", 4, "--parallel", 2, "--report-json", document)
    code, out, _ = run_cli(
        capsys, "dcmsend", "--json", "+sd", "+sp", "*.dcm", *options, HOST, archive.port, tmp_path
    )
    assert code == 0
    assert json_lines(out)[-1]["stored"] == 20
    found = json.loads(document.read_text())
    assert len({each["sop_instance_uid"] for each in found["objects"] if each["stored"]}) == 20
    assert found["associations"] == 2


def test_a_limited_rate(capsys: Capture, archive: StorageSCP) -> None:
    code, out, _ = run_cli(capsys, "dcmsend", "--json", "--limit-rate", "500K", HOST, archive.port, CT)
    assert code == 0
    assert json_lines(out)[-1]["seconds"] > 0.1


def test_decoders_are_listed(capsys: Capture) -> None:
    code, out, _ = run_cli(capsys, "dcmsend", "--list-decoders")
    assert code == 0
    assert "- RLE Lossless\n" in out
    assert out.startswith("$dcmnet: dcmsend v")


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ((), {"decompress": "lossless", "format": "file", "single_association": False}),
        (("-dn", "+dly"), {"decompress": "lossy"}),
        (("+dly", "-dn"), {"decompress": "never"}),
        (("-ma", "+ma"), {"single_association": False}),
        (("--limit-rate", "2M"), {"limit_rate": 2_000_000}),
        (("--limit-rate", "1g"), {"limit_rate": 1_000_000_000}),
        (("+cl", "9"), {"compression_level": 9}),
    ],
)
def test_command_lines(argv: tuple[str, ...], expected: dict[str, object]) -> None:
    arguments = parse(dcmsend.TOOL, [HOST, "104", "file", *argv])
    assert {name: getattr(arguments, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (("+rd", "+sd"), "--read-from-dicomdir not allowed with --scan-directories"),
        (("+r",), "--recurse only allowed with --scan-directories"),
        (("--retry-wait", "5"), "--retry-wait only allowed with --retry"),
        (("--limit-rate", "10"), "Invalid value for option --limit-rate (underflow: 10)"),
        (("--limit-rate", "x"), "Invalid value for option --limit-rate (a number, or one with K, M or G: x)"),
        (("+cl", "10"), "Invalid value for option --compression-level (overflow: 10)"),
        (("-ts", "5"), "Unknown option -ts"),
        (("+tls", "a"), "Missing value for option --enable-tls"),
        (("--resume", "/nowhere"), "cannot resume: /nowhere: cannot be read"),
    ],
)
def test_mistakes(capsys: Capture, argv: tuple[str, ...], error: str) -> None:
    code, out, err = run_cli(capsys, "dcmsend", HOST, "104", "file", *argv)
    assert (code, out) == (1, "")
    assert f"\nerror: {error}" in err


def test_every_exit_code_is_told() -> None:
    told = {code for code, _ in dcmsend.TOOL.exit_codes}
    assert {str(value) for name, value in vars(dcmsend).items() if name.startswith("EXIT_")} <= told
    assert sending.dcmsend().name == "dcmsend"
