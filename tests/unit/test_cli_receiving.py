"""The output options of storescp and dcmrecv: what a command line means, and what is a mistake."""

from __future__ import annotations

import io
import logging
import os
import socket
import sys
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import dcmnet
from dcmnet import AssociationAborted, AssociationRejected
from dcmnet.cli import dcmrecv, logs, storescp
from dcmnet.cli.conversions import (
    conversion_asked_for,
    duplicates_of,
    new_namer,
    new_studies,
    storable_transfer_syntaxes,
)
from dcmnet.cli.dcmrecv_serving import DCMRECV
from dcmnet.cli.events import Events, host_name
from dcmnet.cli.faults import faults_asked_for
from dcmnet.cli.options import Arguments, Tool, UsageError
from dcmnet.cli.parser import parse
from dcmnet.cli.receiving import Reporter, new_store
from dcmnet.dataset import DECODABLE
from dcmnet.dataset.layout import GroupLengths
from dcmnet.limits import Tolerance
from dcmnet.registry.sop_classes import VERIFICATION
from dcmnet.registry.transfer_syntaxes import ALL
from dcmnet.storage.files import Duplicates
from dcmnet.storage.naming import NO_LOCK, BySeriesDate
from dcmnet.storage.studies import Studies
from tests.unit.cli_runs import CT, HOST, run_cli
from tests.unit.cli_tools import logs_put_back

Capture = pytest.CaptureFixture[str]
DEADLINE = 60
CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture(autouse=True)
def _logs_put_back() -> Iterator[None]:
    with logs_put_back():
        yield


def scp(*options: object, tool: Tool = storescp.TOOL) -> Arguments:
    return parse(tool, ["0", *map(str, options)])


# ---------------------------------------------------------------------- conversion


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-B",),
        ("+B",),
        ("+t=",),
        ("+F",),
        ("-F",),
        ("+u",),
        ("-uc",),
        ("+cl", 9),
        ("+te", "+t="),
    ],
    ids=str,
)
def test_objects_are_stored_as_they_come(options: tuple[object, ...]) -> None:
    assert conversion_asked_for(scp(*options)) is None


@pytest.mark.parametrize(
    ("option", "syntax"),
    [
        ("+te", "1.2.840.10008.1.2.1"),
        ("+tb", "1.2.840.10008.1.2.2"),
        ("+ti", "1.2.840.10008.1.2"),
        ("+td", "1.2.840.10008.1.2.1.99"),
    ],
)
def test_transfer_syntaxes_to_write(option: str, syntax: str) -> None:
    arguments = scp(option)
    conversion = conversion_asked_for(arguments)
    assert conversion is not None
    assert conversion.transfer_syntax == syntax
    assert (conversion.layout.explicit_lengths, conversion.layout.padding) == (True, (0, 0))
    accepted = storable_transfer_syntaxes(arguments)
    assert set(accepted) < set(ALL)
    assert {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99"} < set(accepted)
    assert set(accepted) <= {*DECODABLE, *(f"1.2.840.10008.1.2{end}" for end in ("", ".1", ".2", ".1.99"))}
    assert storable_transfer_syntaxes(scp("+g")) == ALL


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        (("+g=",), "group_lengths", GroupLengths.RECALCULATE),
        (("+g",), "group_lengths", GroupLengths.CREATE),
        (("+g", "-g"), "group_lengths", GroupLengths.REMOVE),
        (("+e",), "explicit_lengths", True),
        (("-e",), "explicit_lengths", False),
        (("+p", 512, 64), "padding", (512, 64)),
        (("+p", 512, 64, "-p"), "padding", (0, 0)),
        (("-p",), "padding", (0, 0)),
        (("+uc",), "known_vrs", True),
        (("-u",), "encoding", (6, False)),
        (("-u", "+cl", 9), "encoding", (9, False)),
    ],
)
def test_layouts(options: tuple[object, ...], field: str, value: object) -> None:
    conversion = conversion_asked_for(scp(*options))
    assert conversion is not None
    assert conversion.transfer_syntax is None
    assert getattr(conversion.layout, field) == value


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("+B", "+te"), "--write-xfer-little not allowed with --bit-preserving"),
        (("+B", "+g"), "--group-length-create not allowed with --bit-preserving"),
        (("+B", "-e"), "--length-undefined not allowed with --bit-preserving"),
        (("+B", "+p", "1", "1"), "--padding-create not allowed with --bit-preserving"),
        (("+B", "-u"), "--disable-new-vr not allowed with --bit-preserving"),
        (("+B", "+uc"), "--convert-un not allowed with --bit-preserving"),
        (("-F", "+p", "2", "2"), "--padding-create not allowed with --write-dataset"),
        (("+p", "x", "2"), "Invalid value for option --padding-create"),
        (("+cl", "10"), "Invalid value for option --compression-level"),
        (("-ss", "a/b"), "Invalid value for option --sort-conc-studies (a file name cannot hold that"),
        (("-su", "x" * 129), "Invalid value for option --sort-on-study-uid (longer than 128 bytes"),
        (
            ("-xcs", "x"),
            "--exec-on-eostudy only allowed with --sort-conc-studies, --sort-on-study-uid or "
            "--sort-on-patientname",
        ),
        (("-rns",), "--rename-on-eostudy only allowed with --sort-conc-studies"),
        (("-tos", "5"), "--eostudy-timeout only allowed with --sort-conc-studies"),
        (("-xcs", "x", "-su", "", "--fork"), "--exec-on-eostudy not allowed with --fork"),
        (("-rns", "-su", "", "--workers", "2"), "--rename-on-eostudy not allowed with --workers"),
        (("--inetd", "--fork"), "--inetd not allowed with --fork"),
        (("-xcr", ""), "Invalid value for option --exec-on-reception"),
        (("+ac",), "--access-control is not supported"),
        (("--sleep-after", "-1"), "Invalid value for option --sleep-after"),
    ],
)
def test_mistakes_of_storescp(capsys: Capture, options: tuple[str, ...], error: str) -> None:
    code, out, err = run_cli(capsys, "storescp", 0, *options)
    assert (code, out) == (1, "")
    assert f"\nerror: {error.partition(' or ')[0]}" in err


def test_a_command_that_cannot_be_split(capsys: Capture, tmp_path: Path) -> None:
    code, _, err = run_cli(capsys, "storescp", 0, "-od", tmp_path, "-xcr", "echo 'x")
    assert code == 1
    assert "error: Invalid value for option --exec-on-reception (No closing quotation" in err


# ---------------------------------------------------------------------- names and folders


def named(*options: object, tool: Tool = storescp.TOOL) -> str:
    request: Any = SimpleNamespace(sop_class_uid=CT_CLASS, sop_instance_uid="1.2.9")
    return new_namer(scp(*options, tool=tool), NO_LOCK, lambda: datetime(2026, 1, 31))(request)


def test_names() -> None:
    assert named("-fe", ".x") == "CT.1.2.9.x"
    assert named("+uf").startswith("CT.X.2.25.")
    assert named("+uf", "-uf") == "CT.1.2.9"
    assert named("-tn") == "20260131000000000.CT"
    assert named("+fd", tool=dcmrecv.TOOL) == "CT.1.2.9"
    assert named("+fu", tool=dcmrecv.TOOL).startswith("CT.X.2.25.")
    assert len(named("+fsu", tool=dcmrecv.TOOL)) == 19
    assert named("+fst", "-fe", ".x", tool=dcmrecv.TOOL) == "20260131000000.000000.CT.x"


@pytest.mark.parametrize(
    ("tool", "options", "ways"),
    [
        (storescp.TOOL, (), Duplicates.REPLACE),
        (storescp.TOOL, ("-tn",), Duplicates.RENAME),
        (storescp.TOOL, ("-tn", "--on-duplicate", "refuse"), Duplicates.REFUSE),
        (dcmrecv.TOOL, ("+fst",), Duplicates.RENAME),
        (dcmrecv.TOOL, ("+fst", "--on-duplicate", "keep"), Duplicates.KEEP),
    ],
)
def test_names_that_are_taken(tool: Tool, options: tuple[str, ...], ways: Duplicates) -> None:
    assert duplicates_of(scp(*options, tool=tool)) is ways


@pytest.mark.parametrize(
    ("options", "folder"),
    [
        (("-ss", "pre"), "pre_20260131_000000000"),
        (("-su", "st"), "st_1.2.3"),
        (("-su", ""), "1.2.3"),
        (("-ss", "pre", "-sp"), "A_B_20260131_000000000"),
    ],
)
def test_folders(options: tuple[str, ...], folder: str) -> None:
    found = {"StudyInstanceUID": "1.2.3", "PatientName": "A^B"}
    request: Any = SimpleNamespace(
        state={},
        tolerance=Tolerance.NONE,
        attributes=lambda *names: {name: found[name] for name in names},
    )
    studies = new_studies(scp(*options), NO_LOCK, lambda: datetime(2026, 1, 31))
    assert studies is not None
    assert studies(request) == folder


def test_stores() -> None:
    reporter = Reporter(logs.logger("x"), json=False, verbose_pc=False)
    store = new_store(scp("-su", "x", "-F"), reporter)
    assert isinstance(store.sorter, Studies)
    assert not store.file_meta
    assert reporter.events is not None
    dated = new_store(scp("+ssd", tool=dcmrecv.TOOL), reporter)
    assert isinstance(dated.sorter, BySeriesDate)
    assert new_store(scp("+ssd", "-s", tool=dcmrecv.TOOL), reporter).sorter is None


# ---------------------------------------------------------------------- events


class Log(logging.Logger):
    def __init__(self) -> None:
        super().__init__("x")
        self.texts: list[str] = []
        self.said = threading.Condition()
        handler = logging.Handler()
        handler.emit = self._take  # type: ignore[method-assign]
        self.addHandler(handler)

    def _take(self, record: logging.LogRecord) -> None:
        with self.said:
            self.texts.append(record.getMessage())
            self.said.notify_all()

    def wait_for(self, text: str) -> None:
        with self.said:
            assert self.said.wait_for(lambda: any(text in each for each in self.texts), DEADLINE), self.texts


def store_one(events: Events, studies: Studies, path: Path, uid: str, state: dict[str, Any]) -> None:
    path.write_text("")
    found = {"StudyInstanceUID": uid, "PatientName": ""}
    request: Any = SimpleNamespace(
        state=state,
        tolerance=Tolerance.NONE,
        attributes=lambda *names: {name: found[name] for name in names},
        saved_as=None,
        calling_ae_title="-$(x)",
        called_ae_title="ME",
        peer=f"{HOST}:4000",
    )
    studies(request)
    request.saved_as = path
    events.stored(request)


def test_a_quiet_study_ends(tmp_path: Path) -> None:
    arguments = scp("-su", "", "-rns", "-tos", "0", "-dhl", "-xs", "-xcs", "nowhere-to-be-found #a > #p")
    studies = new_studies(arguments, NO_LOCK)
    assert studies is not None
    log = Log()
    events = Events(arguments, log, studies)
    events.start()
    log.wait_for("there is no shell")
    state: dict[str, Any] = {}
    store_one(events, studies, tmp_path / "CT.1", "1.2", state)
    events.association_ended(state)
    log.wait_for("cannot execute nowhere-to-be-found")
    events.close()
    assert [path.name for path in tmp_path.iterdir()] == ["CT000001"]
    assert "end of study 1.2: 1 objects" in log.texts


def test_what_is_left_at_the_end(tmp_path: Path) -> None:
    arguments = scp("-su", "", "-rns")
    studies = new_studies(arguments, NO_LOCK)
    assert studies is not None
    log = Log()
    events = Events(arguments, log, studies)
    events.start()
    store_one(events, studies, tmp_path / "CT.1", "1.2", {})
    (tmp_path / "CT.1").unlink()
    events.close()
    assert any(text.startswith("cannot rename the files of study 1.2") for text in log.texts)


def test_events_without_studies(tmp_path: Path) -> None:
    arguments = scp("-xcr", f"{sys.executable} -c 'import sys; raise SystemExit(len(sys.argv))' #f #p #r #a")
    log = Log()
    events = Events(arguments, log, None)
    events.start()
    found: Any = SimpleNamespace(
        saved_as=Path("-x/CT.1"), calling_ae_title="A", called_ae_title="B", peer="[::1]:5", state={}
    )
    events.stored(found)
    log.wait_for("ended with exit code 5")
    found.saved_as = None
    events.stored(found)
    events.association_ended({})
    events.close()


def test_names_of_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    host_name.cache_clear()
    monkeypatch.setattr(socket, "gethostbyaddr", lambda address: ("pc.example.org", [], [address]))
    assert host_name("192.0.2.1") == "pc"

    def unknown(address: str) -> Any:
        raise OSError("unknown")

    monkeypatch.setattr(socket, "gethostbyaddr", unknown)
    assert host_name("192.0.2.2") == "192.0.2.2"
    host_name.cache_clear()


# ---------------------------------------------------------------------- faults


def test_faults() -> None:
    log = Log()
    assert faults_asked_for(scp(), log) is None
    assert faults_asked_for(scp("+ssd", tool=dcmrecv.TOOL), log) is None
    pdu = SimpleNamespace(user_information=SimpleNamespace(implementation_class_uid=""))
    request: Any = SimpleNamespace(pdu=pdu)
    for option in ("--refuse", "--reject"):
        faults = faults_asked_for(scp(option), log)
        assert faults is not None
        with pytest.raises(AssociationRejected) as caught:
            faults.check(request)
        assert (caught.value.result, caught.value.source, caught.value.reason) == (1, 1, 1)
    pdu.user_information.implementation_class_uid = "1.2.3"
    assert faults is not None
    faults.check(request)
    for option in ("--abort-after", "--abort-during"):
        faults = faults_asked_for(scp(option), log)
        assert faults is not None
        with pytest.raises(AssociationAborted):
            (faults.after if option == "--abort-after" else faults.during)()
    slow = faults_asked_for(scp("--sleep-after", 3600, "--sleep-during", 3600), log)
    assert slow is not None
    slow.close()
    slow.during()
    slow.after()


# ---------------------------------------------------------------------- dcmrecv


def policy(*options: object) -> Any:
    return DCMRECV.policy(scp(*options, tool=dcmrecv.TOOL), logs.logger("dcmrecv"))


def test_whom_dcmrecv_accepts(capsys: Capture) -> None:
    found = policy()
    assert [context.abstract_syntax for context in found.contexts] == [VERIFICATION]
    assert found.reject_without_contexts
    assert not found.require_called_ae_title
    assert len(policy("--accept-all").contexts) > 150
    assert not policy("-aet", "ME").require_called_ae_title
    assert policy("-aet", "ME").ae_title == "ME"
    assert policy("-aet", "ME", "--check-aetitle").require_called_ae_title
    assert not policy("-uca").require_called_ae_title
    with pytest.raises(UsageError, match="--use-called-aetitle not allowed with --check-aetitle"):
        policy("-uca", "--check-aetitle")


@pytest.mark.parametrize(
    ("options", "code", "error"),
    [
        (("-od", "/nowhere"), 45, "F: specified output directory does not exist: /nowhere"),
        (("-xf", "/nowhere", "x"), 66, "F: cannot read config file"),
        (("-xf", "/nowhere", "x", "--accept-all"), 1, "--accept-all not allowed with --config-file"),
        (("+x",), 1, "Unknown option +x"),
    ],
)
def test_exit_codes_of_dcmrecv(
    capsys: Capture, options: tuple[str, ...], code: int, error: str, tmp_path: Path
) -> None:
    found, _, err = run_cli(capsys, "dcmrecv", 0, *options)
    assert found == code
    assert error in err


def test_a_port_that_is_taken(capsys: Capture, tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as sock:
        port = sock.getsockname()[1]
        code, _, err = run_cli(capsys, "dcmrecv", port, "--bind", HOST, "-od", tmp_path, "-v")
    assert code == 64
    assert err.startswith("I: configuring service class provider ...\n")
    assert "F: cannot listen on" in err


def test_help_of_dcmrecv(capsys: Capture) -> None:
    code, out, _ = run_cli(capsys, "dcmrecv", "--help")
    assert code == 0
    for option in ("-xf", "-uca", "-dhl", "+ssd", "+fsu", "+fst", "+tls", "--ignore", "-fe"):
        assert f"  {option} " in out or f"{option}  " in out
    assert "45" in out


# ---------------------------------------------------------------------- inetd


def test_inetd_needs_a_connection(capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with open(os.devnull) as null:
        monkeypatch.setattr(sys, "stdin", null)
        code, _, err = run_cli(capsys, "storescp", "--inetd", "-od", tmp_path)
    assert code == 99
    assert "standard input is no connection" in err
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert run_cli(capsys, "storescp", "--inetd", "-od", tmp_path)[0] == 99
    with socket.socket() as lonely:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(fileno=lonely.fileno))
        assert run_cli(capsys, "storescp", "--inetd", "-od", tmp_path)[0] == 99


def test_inetd_serves_one_association(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sent: list[bool] = []
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
        client = threading.Thread(target=lambda: sent.append(dcmnet.send(HOST, port, [CT]).ok))
        client.start()
        connection, _ = listener.accept()
        with connection:
            monkeypatch.setattr(sys, "stdin", SimpleNamespace(fileno=connection.fileno))
            code, _, err = run_cli(capsys, "storescp", "--inetd", "-od", tmp_path, "-v")
        client.join(DEADLINE)
    assert (code, sent) == (0, [True])
    assert len(list(tmp_path.iterdir())) == 1
    assert "I: associations: 1, objects stored: 1" in err
