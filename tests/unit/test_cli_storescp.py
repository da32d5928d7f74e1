from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dcmnet import AcceptedContext, AssociationAborted, AssociationRejected, Server, connect, send
from dcmnet.acse import ProposedContext, RequestorPolicy, build_request, negotiate
from dcmnet.cli import logs, storescp
from dcmnet.cli import serving as work
from dcmnet.cli.parser import parse
from dcmnet.cli.receiving import Reporter, new_store
from dcmnet.dimse.messages import CStoreRQ
from dcmnet.registry.sop_classes import STUDY_ROOT_GET, VERIFICATION
from dcmnet.registry.transfer_syntaxes import ALL, JPEG_BASELINE_8BIT, UNCOMPRESSED
from dcmnet.storage.naming import TimeNames, with_extension
from dcmnet.storage.part10 import read_file_meta
from dcmnet.storage.planning import Proposal
from dcmnet.ul.pdu import AAssociateAC
from tests.unit.cli_runs import CT, HOST, JPEG, MR, json_lines, run_cli
from tests.unit.cli_tools import logs_put_back

Capture = pytest.CaptureFixture[str]
Client = Callable[[int], None]
DEADLINE = 60
CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture(autouse=True)
def _logs_put_back() -> Iterator[None]:
    with logs_put_back():
        yield


@pytest.fixture
def serve(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """Runs the tool on a free port, a client in a thread meanwhile, then ends it with SIGTERM."""
    announce = work._announce
    listening = threading.Event()
    port: list[int] = []

    def announced(server: Server, *rest: Any) -> None:
        announce(server, *rest)
        port.append(server.port)
        listening.set()

    monkeypatch.setattr(work, "_announce", announced)

    def serving(client: Client, *options: object) -> tuple[int, str, str]:
        failures: list[BaseException] = []

        def work() -> None:
            try:
                assert listening.wait(DEADLINE)
                client(port[-1])
            except BaseException as error:
                failures.append(error)
            os.kill(os.getpid(), signal.SIGTERM)

        thread = threading.Thread(target=work)
        thread.start()
        result = run_cli(capsys, "storescp", 0, "-od", tmp_path, "--bind", HOST, *options)
        thread.join()
        if failures:
            raise failures[0]
        return result

    return serving


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_objects_become_files(serve: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    def client(port: int) -> None:
        with connect(HOST, port) as association:
            association.echo()
        assert send(HOST, port, [CT, JPEG], calling="SENDER").ok

    code, out, err = serve(client, "-v")
    assert (code, out) == (0, "")
    sent = Path(CT).read_bytes()
    meta, offset = read_file_meta(sent, "ct")
    stored = tmp_path / f"CT.{meta.sop_instance_uid}"
    kept = stored.read_bytes()
    found, kept_offset = read_file_meta(kept, "kept")
    assert kept[kept_offset:] == sent[offset:]
    assert found.source_application_entity_title == "SENDER"
    lines = err.splitlines()
    assert lines[0].startswith(f"I: listening on {HOST}:")
    # What is said about one association may come between what is said about another.
    assert sorted(lines[1:-1]) == sorted(
        [
            "I: Association Received",
            "I: Association Acknowledged (Max Send PDV: 131066)",
            "I: Received Echo Request (MsgID 1)",
            "I: Association Release",
            "I: Association Received",
            "I: Association Acknowledged (Max Send PDV: 131066)",
            "I: Received Store Request (MsgID 1, CT)",
            f"I: storing DICOM file: {stored}",
            "I: Received Store Request (MsgID 2, SC)",
            f"I: storing DICOM file: {next(tmp_path.glob('SC.*'))}",
            "I: Association Release",
            "I: SIGTERM: serving what is under way, and nothing new",
        ]
    )
    assert lines[-1] == "I: associations: 2, objects stored: 2 (83.3 kB), not kept: 0, failed: 0"
    assert len(names(tmp_path)) == 2


def test_json_lines(serve: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    def client(port: int) -> None:
        with connect(HOST, port) as association:
            association.echo()
        with connect(HOST, port) as association:
            association.abort()
        assert send(HOST, port, [CT]).ok

    code, out, _ = serve(client, "--json", "-fe", ".dcm")
    assert code == 0
    events = json_lines(out)
    kinds = [each["event"] for each in events]
    assert kinds[0] == "listening"
    assert kinds[-1] == "summary"
    assert sorted(kinds[1:-1]) == [
        *("abort", "association", "association", "association", "echo", "object", "release", "release"),
    ]
    stored = next(each for each in events if each["event"] == "object")
    assert stored["stored"] is True
    assert stored["status"] == "0x0000"
    assert [stored["file"]] == [str(tmp_path / name) for name in names(tmp_path)]
    assert stored["file"].endswith(".dcm")
    assert (events[-1]["stored"], events[-1]["failed"], events[-1]["associations"]) == (1, 0, 3)


@pytest.mark.parametrize(
    ("action", "files", "answer", "line", "totals"),
    [
        ("replace", 1, 0, "W: DICOM file already exists, overwriting: ", (2, 0, 0)),
        ("keep", 1, 0, "I: DICOM file already exists, keeping it: ", (1, 1, 0)),
        ("rename", 2, 0, ".1\n", (2, 0, 0)),
        ("refuse", 1, 0x0111, "not stored: 0x0111 (Duplicate SOP Instance)", (1, 0, 1)),
    ],
)
def test_duplicates(
    serve: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    action: str,
    files: int,
    answer: int,
    line: str,
    totals: tuple[int, int, int],
) -> None:
    statuses: list[int | None] = []

    def client(port: int) -> None:
        report = send(HOST, port, [CT, CT])
        statuses.extend(result.status for result in report.results)

    _, out, err = serve(client, "-v", "--json", "--on-duplicate", action)
    assert statuses == [0, answer]
    assert len(names(tmp_path)) == files
    assert line in err
    events = json_lines(out)
    summary = events[-1]
    stored = [each for each in events if each["event"] == "object" and each["stored"]]
    assert (summary["stored"], summary["not_kept"], summary["failed"]) == totals
    assert len(stored) == totals[0]
    assert summary["bytes"] == sum(each["bytes"] for each in stored)


def test_nothing_is_stored_with_ignore(serve: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    def client(port: int) -> None:
        assert send(HOST, port, [CT, MR]).ok

    _, out, _ = serve(client, "--ignore", "--json")
    assert names(tmp_path) == []
    totals = json_lines(out)[-1]
    assert (totals["objects"], totals["stored"], totals["not_kept"], totals["bytes"]) == (2, 0, 2, 0)


def test_file_names(serve: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    def client(port: int) -> None:
        assert send(HOST, port, [CT, CT]).ok

    serve(client, "+uf", "--fsync", "-fe", ".x")
    first, second = names(tmp_path)
    assert first != second
    assert first.startswith("CT.X.2.25.")
    assert first.endswith(".x")


def test_files_named_by_time() -> None:
    moments = iter([datetime(2026, 1, 31, 23, 59, 59, 123456)] * 2 + [datetime(2026, 2, 1, 0, 0, 0, 999)])
    namer = with_extension(TimeNames(lambda: next(moments)), ".dcm")
    request: Any = SimpleNamespace(sop_class_uid="1.2.840.10008.5.1.4.1.1.4")
    assert namer(request) == "20260131235959123.MR.dcm"
    assert namer(request) == "20260131235959123_0001.MR.dcm"
    assert namer(request) == "20260201000000000.MR.dcm"


def test_no_time_name_comes_twice_where_the_clock_is_put_back() -> None:
    later, sooner = datetime(2026, 1, 31, 3, 0), datetime(2026, 1, 31, 2, 0)
    moments = iter([later, sooner, sooner, later])
    namer = TimeNames(lambda: next(moments))
    request: Any = SimpleNamespace(sop_class_uid="1.2.840.10008.5.1.4.1.1.4")
    assert [namer(request) for _ in range(4)] == [
        "20260131030000000.MR",
        "20260131030000000_0001.MR",
        "20260131030000000_0002.MR",
        "20260131030000000_0003.MR",
    ]


@pytest.mark.parametrize(("options", "files"), [((), 2), (("--on-duplicate", "replace"), 1)])
def test_a_time_name_that_is_taken(
    serve: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    files: int,
) -> None:
    monkeypatch.setattr(TimeNames, "__call__", lambda *_: "as-in-another-run.CT")
    serve(lambda port: send(HOST, port, [CT, CT]).raise_for_failures(), "-tn", *options)
    assert len(names(tmp_path)) == files


def test_time_names_are_used(serve: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    def client(port: int) -> None:
        assert send(HOST, port, [CT]).ok

    serve(client, "-tn")
    (name,) = names(tmp_path)
    assert name[:17].isdigit()
    assert name[17:] == ".CT"


def test_a_signal_that_another_thread_takes(
    serve: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system may choose any thread; Python's handlers run in the main one, which has to wake up."""
    monkeypatch.setattr(os, "kill", lambda _, number: signal.pthread_kill(threading.get_ident(), number))
    code, _, err = serve(lambda _: None, "-v")
    assert code == 0
    assert "SIGTERM: serving what is under way" in err


def test_the_called_title_is_checked_when_asked_for(serve: Callable[..., tuple[int, str, str]]) -> None:
    def client(port: int) -> None:
        connect(HOST, port, called="ME").release()
        with pytest.raises(AssociationRejected):
            connect(HOST, port, called="OTHER")

    _, _, err = serve(client, "-v", "-aet", "ME", "--check-aetitle")
    assert "I: Association Rejected\n" in err


def test_too_many_associations(serve: Callable[..., tuple[int, str, str]]) -> None:
    def client(port: int) -> None:
        with connect(HOST, port):
            with pytest.raises(AssociationRejected) as caught:
                connect(HOST, port)
            assert (caught.value.result, caught.value.reason) == (2, 2)

    assert serve(client, "--max-associations", 1)[0] == 0


@pytest.mark.parametrize(
    ("options", "limits"),
    [
        ((), (2000, 1000)),
        (("--max-associations", "1"), (1, 1)),
        (("--max-associations", "1001"), (1001, 1000)),
        (("--max-associations", "3000"), (3000, 1500)),
    ],
)
def test_one_address_gets_all_of_a_few_associations_and_half_of_many(
    options: tuple[str, ...], limits: tuple[int, int]
) -> None:
    arguments = parse(storescp.TOOL, ["0", *options])
    node = work._new_node(arguments, Reporter(logs.logger("x"), json=False, verbose_pc=False), work.STORESCP)
    assert (node.max_associations, node.max_associations_by_peer) == limits


def test_transfer_syntaxes_that_are_not_accepted(serve: Callable[..., tuple[int, str, str]]) -> None:
    def client(port: int) -> None:
        assert not send(HOST, port, [JPEG]).ok
        converted = send(HOST, port, [CT], proposal=Proposal(combine=True))
        assert converted.results[0].transfer_syntax == "1.2.840.10008.1.2"

    _, _, err = serve(client, "-v", "+v", "+xi")
    assert "I:     (but no valid presentation contexts)\n" in err
    assert "I:   Context ID:        1 (Transfer Syntaxes Not Supported)\n" in err


def test_a_full_disk_is_answered_for(
    serve: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dcmnet.storage.files.PartialFile.write", no_space)
    statuses: list[int | None] = []

    def client(port: int) -> None:
        statuses.extend(result.status for result in send(HOST, port, [CT]).results)

    _, out, err = serve(client, "--json")
    assert statuses == [0xA700]
    assert "not stored: 0xA700 (Refused: Out of Resources)" in err
    assert json_lines(out)[-1]["failed"] == 1


@pytest.mark.parametrize(
    ("options", "syntaxes", "order"),
    [
        ((), ALL, "requestor"),
        (("+x=",), UNCOMPRESSED, "acceptor"),
        (("+xy",), (JPEG_BASELINE_8BIT, *UNCOMPRESSED), "acceptor"),
        (("+xa",), ALL, "acceptor"),
    ],
)
def test_what_is_accepted(options: tuple[str, ...], syntaxes: tuple[str, ...], order: str) -> None:
    arguments = parse(storescp.TOOL, ["104", "-pm", *options])
    reporter = Reporter(logs.logger("storescp"), json=False, verbose_pc=False)
    policy = work._new_node(arguments, reporter, work.STORESCP).policy
    assert policy.transfer_syntax_order == order
    assert policy.contexts[0].abstract_syntax == VERIFICATION
    assert {context.transfer_syntaxes for context in policy.contexts} == {policy.promiscuous} == {syntaxes}


# What DCMTK 3.7 accepts beyond 3.6.7, and what it would not store.
RECENT = ("1.2.840.10008.5.1.4.1.1.66.7", "1.2.840.10008.5.1.4.1.1.9.100.1", "1.2.840.10008.5.1.4.1.1.601.5")
OTHER_SERVICES = (STUDY_ROOT_GET, "1.2.840.10008.1.3.10", "1.2.840.10008.1.20.1", "1.2.840.10008.5.1.1.9")


@pytest.mark.parametrize(("options", "private"), [((), False), (("-pm",), True)])
def test_classes_that_are_accepted(options: tuple[str, ...], private: bool) -> None:
    reporter = Reporter(logs.logger("storescp"), json=False, verbose_pc=False)
    policy = work._new_node(parse(storescp.TOOL, ["104", *options]), reporter, work.STORESCP).policy
    asked = (VERIFICATION, *RECENT, "1.2.3.4", *OTHER_SERVICES)
    contexts = tuple(ProposedContext(abstract_syntax=uid, transfer_syntaxes=UNCOMPRESSED) for uid in asked)
    rq = build_request(RequestorPolicy(called_ae_title="A", calling_ae_title="B", contexts=contexts))
    answer = negotiate(rq, policy)
    assert isinstance(answer, AAssociateAC)
    results = [each.result == 0 for each in answer.presentation_contexts]
    assert results == [True, *(True for _ in RECENT), private, *(False for _ in OTHER_SERVICES)]


def test_it_says_that_it_listens_everywhere(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts: list[tuple[str, int]] = []

    def start(self: Server, port: int, host: str, *, family: int) -> None:
        hosts.append((host, family))
        raise OSError(98, "Address already in use")

    monkeypatch.setattr(Server, "start", start)
    for options in ((), ("-i6",), ("-i0",), ("--bind", "::1"), ("--bind", "x", "-i4")):
        code, _, err = run_cli(capsys, "storescp", 104, *options)
        assert code == 1
        assert err.endswith("104: Address already in use\n")
    assert hosts == [
        ("", socket.AF_INET),
        ("", socket.AF_INET6),
        ("", socket.AF_UNSPEC),
        ("::1", socket.AF_UNSPEC),
        ("x", socket.AF_INET),
    ]

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Server, "start", forbidden)
    assert run_cli(capsys, "storescp", 104)[2] == "F: cannot listen on port 104, insufficient privileges\n"


def test_the_directory_has_to_be_there(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = run_cli(capsys, "storescp", 0, "-od", tmp_path / "none")
    assert (code, err) == (1, f"F: specified output directory does not exist: {tmp_path / 'none'}\n")
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "is not writable" in run_cli(capsys, "storescp", 0, "-od", tmp_path)[2]


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (("-v",), "Missing parameter port"),
        (("65536",), "Invalid parameter value 65536 (overflow)"),
        (("0", "-fe", "a/b"), "Invalid value for option --filename-extension (a file name cannot hold that"),
        (("0", "-fe", "x" * 129), "Invalid value for option --filename-extension (longer than 128 bytes"),
        (("0", "+uf", "-tn"), "--timenames not allowed with --unique-filenames"),
        (("0", "--on-duplicate", "x"), "Invalid value for option --on-duplicate\none of: replace, keep"),
    ],
)
def test_mistakes(capsys: Capture, argv: tuple[str, ...], error: str) -> None:
    code, out, err = run_cli(capsys, "storescp", *argv)
    assert (code, out) == (1, "")
    assert f"\nerror: {error}" in err


@pytest.mark.parametrize("options", [(), ("--workers", "2")])
def test_signals(options: tuple[str, ...], tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "dcmnet",
        "storescp",
        "--json",
        "-v",
        *options,
        "-od",
        str(tmp_path),
        "0",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        port = json.loads(process.stdout.readline())["port"]
        while (line := process.stderr.readline()).startswith("I: worker"):
            assert options
        assert line.startswith(f"W: listening on every address (0.0.0.0:{port})")
        association = connect(HOST, port)
        process.send_signal(signal.SIGINT)
        while "SIGINT" not in process.stderr.readline():
            pass
        association.echo()  # what is under way is still served
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
        with pytest.raises(AssociationAborted):
            association.echo()
        assert json.loads(process.stdout.read().splitlines()[-1])["event"] == "summary"


@pytest.mark.parametrize(
    ("options", "workers"),
    [
        ((), 0),
        (("--workers", "3"), 3),
        (("--workers", "0"), 0),
        (("--workers", "auto"), storescp.available_processors()),
        (("--fork",), storescp.available_processors()),
        (("--fork", "--single-process"), 0),
        (("--single-process", "--workers", "2"), 2),
    ],
)
def test_how_many_workers(options: tuple[str, ...], workers: int) -> None:
    arguments = parse(storescp.TOOL, ["0", *options])
    reporter = Reporter(logs.logger("x"), json=False, verbose_pc=False)
    assert work._new_node(arguments, reporter, work.STORESCP).workers == workers
    assert storescp.available_processors() >= 1


@pytest.mark.parametrize("option", ["--fork", "--workers=1"])
def test_workers_where_there_are_none(capsys: Capture, monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    monkeypatch.delattr(os, "fork")
    code, _, err = run_cli(capsys, "storescp", *option.split("="), 0)
    assert (code, "this system cannot have worker processes" in err) == (1, True)


@contextlib.contextmanager
def two_workers(tmp_path: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], int, list[int]]]:
    """The tool, its port, and its processes: the supervisor and two workers."""
    folder = tmp_path / "received"
    folder.mkdir()
    command = [sys.executable, "-m", "dcmnet", "storescp", "--json", "--workers", "2", "--bind", HOST]
    command += ["-v", "-od", str(folder), *options, "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        port = json.loads(process.stdout.readline())["port"]
        said = [line for _ in range(3) if ": process " in (line := process.stderr.readline())]
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        yield process, port, [int(children[0]), *(int(line.split()[-1]) for line in said)]
        if process.poll() is None:
            process.kill()


def test_totals_count_over_all_workers(tmp_path: Path) -> None:
    with two_workers(tmp_path) as (process, port, crew):
        for _ in range(2):
            assert send(HOST, port, [CT, MR]).ok
        os.kill(crew[1], signal.SIGKILL)
        for _ in range(2):
            assert send(HOST, port, [CT]).ok
        process.terminate()
        out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0
    summary = json_lines(out)[-1]
    assert (summary["associations"], summary["objects"], summary["stored"]) == (4, 6, 6)
    assert summary["bytes"] == sum(each.get("bytes", 0) for each in json_lines(out)[:-1])
    assert "was killed by SIGKILL; another one takes its place" in err
    assert "associations: 4, objects stored: 6 " in err


def test_without_its_supervisor_it_ends(tmp_path: Path) -> None:
    with two_workers(tmp_path) as (process, _, crew):
        os.kill(crew[0], signal.SIGKILL)
        _, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == work.EXIT_LOST == 70
    assert "F: the process that shares connections out is gone" in err


def test_help_says_where_it_listens(capsys: Capture) -> None:
    code, out, _ = run_cli(capsys, "storescp", "--help")
    assert code == 0
    assert "It listens on every address of this computer" in out
    assert "\nexit codes:\n" in out
    assert "* " in out


def test_an_object_that_is_refused_at_once(capsys: Capture, tmp_path: Path) -> None:
    arguments = parse(storescp.TOOL, ["0", "-od", str(tmp_path), "--ignore"])
    log = logging.Logger("storescp", logging.INFO)
    records: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]
    log.addHandler(handler)
    reporter = Reporter(log, json=True, verbose_pc=False)
    store = new_store(arguments, reporter)
    core: Any = SimpleNamespace(peer="192.0.2.7:4000")
    request = CStoreRQ(message_id=1, affected_sop_class_uid=CT_CLASS, affected_sop_instance_uid="../x")
    context = AcceptedContext(1, CT_CLASS, ALL[0], False, True)
    outcome = store.begin(core, context, request)
    assert isinstance(outcome, tuple)
    assert (records, capsys.readouterr().out) == ([], "")
    store.refused(core, context, request, outcome)
    assert records[0] == "Received Store Request (MsgID 1, CT)"
    assert records[1].startswith("object ../x not stored: 0x0117")
    reporter.conclude()
    event, summary = json_lines(capsys.readouterr().out)
    assert (event["stored"], event["status"]) == (False, "0x0117")
    assert (summary["objects"], summary["stored"], summary["failed"]) == (1, 0, 1)
