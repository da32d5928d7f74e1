from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from dcmnet import (
    AcceptorPolicy,
    Association,
    AssociationRejected,
    AssociationRequest,
    DeadlineExceeded,
    Node,
    Server,
    SupportedContext,
    Timeouts,
)
from dcmnet._net import trace
from dcmnet.cli import echoscu, networking, verifying
from dcmnet.cli.parser import parse
from dcmnet.registry.sop_classes import VERIFICATION
from dcmnet.registry.transfer_syntaxes import EXPLICIT_VR_BIG_ENDIAN
from dcmnet.sync import guests as sync_guests
from tests.unit.cli_runs import HOST, json_lines, run_cli
from tests.unit.cli_tools import logs_put_back

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _logs_put_back() -> Iterator[None]:
    with logs_put_back():
        yield


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The peer. It runs in this process, but what it logs belongs on no tool's stderr."""
    own = logging.Logger("peer")
    own.addHandler(logging.NullHandler())
    for module in (sync_guests, trace):
        monkeypatch.setattr(module, "logger", own)
    with Server("PEER") as made:
        yield made


def test_a_verification(capsys: Capture, server: Server) -> None:
    server.start(0)
    assert run_cli(capsys, "echoscu", HOST, server.port) == (0, "", "")
    code, out, err = run_cli(capsys, "echoscu", "-v", HOST, server.port)
    assert (code, out) == (0, "")
    *lines, totals = err.splitlines()
    assert lines == [
        "I: Requesting Association",
        "I: Association Accepted (Max Send PDV: 131066)",
        "I: Sending Echo Request (MsgID 1)",
        "I: Received Echo Response (Success)",
        "I: Releasing Association",
    ]
    assert re.fullmatch(r"I: echoes: 1 in \d\.\d{3} s \(\d+\.\d echoes/s\)", totals)


def test_json_lines(capsys: Capture, server: Server) -> None:
    answers = iter([0, 0x0122])
    server.on_echo(lambda core, context, request: next(answers))
    server.start(0)
    code, out, _ = run_cli(capsys, "echoscu", HOST, server.port, "--json", "--repeat", 2)
    assert code == echoscu.EXIT_BAD_STATUS
    first, second, summary = json_lines(out)
    assert 0 < first.pop("seconds") <= summary["seconds"]
    assert first == {"event": "echo", "message_id": 1, "status": "0x0000", "text": "Success"}
    assert (second["message_id"], second["status"]) == (2, "0x0122")
    assert (summary["event"], summary["echoes"], summary["failed"]) == ("summary", 2, 1)
    assert summary["exit_code"] == code


def test_json_lines_without_an_association(capsys: Capture, server: Server) -> None:
    server.start(0)
    port = server.port
    server.shutdown()
    code, out, _ = run_cli(capsys, "echoscu", HOST, port, "--json")
    error, summary = json_lines(out)
    assert (code, error["event"], bool(error["text"])) == (echoscu.EXIT_NO_ASSOCIATION, "error", True)
    assert (summary["echoes"], summary["exit_code"]) == (0, code)


def test_what_is_proposed(capsys: Capture, server: Server) -> None:
    seen: list[AssociationRequest] = []
    server.on_association(seen.append)
    server.start(0)
    code, _, _ = run_cli(
        capsys,
        "echoscu",
        HOST,
        server.port,
        "-aet",
        "ME",
        "-aec",
        "YOU",
        "-pts",
        3,
        "-ppc",
        128,
        "-pdu",
        4096,
    )
    assert code == 0
    pdu = seen[0].pdu
    assert (pdu.calling_ae_title, pdu.called_ae_title) == ("ME", "YOU")
    assert pdu.user_information.max_length == 4096
    assert len(pdu.presentation_contexts) == 128
    assert all(each.abstract_syntax == VERIFICATION for each in pdu.presentation_contexts)
    assert pdu.presentation_contexts[0].transfer_syntaxes == verifying.TRANSFER_SYNTAXES[:3]


def test_the_most_that_can_be_proposed(capsys: Capture, server: Server) -> None:
    assert len(set(verifying.TRANSFER_SYNTAXES)) == echoscu.MOST_TRANSFER_SYNTAXES
    server.start(0)
    assert run_cli(capsys, "echoscu", HOST, server.port, "-pts", 53, "-ppc", 128)[0] == 0


def test_repeated_and_aborted(capsys: Capture, server: Server) -> None:
    server.start(0)
    code, _, err = run_cli(capsys, "echoscu", "-v", HOST, server.port, "--repeat", 3, "--abort")
    assert code == 0
    assert "I: Sending Echo Request (MsgID 3)\nI: Received Echo Response (Success)\nI: Aborting Ass" in err


def test_a_failure_status_shows_in_the_exit_code(capsys: Capture, server: Server) -> None:
    answers = iter([0, 0x0122, 0])
    server.on_echo(lambda core, context, request: next(answers))
    server.start(0)
    code, _, err = run_cli(capsys, "echoscu", HOST, server.port, "--repeat", 3)
    assert code == echoscu.EXIT_BAD_STATUS
    assert err == "E: Echo Failed: the peer answered with status 0x0122 (Refused: SOP Class not supported)\n"


def test_a_rejection(capsys: Capture, server: Server) -> None:
    def refuse(request: AssociationRequest) -> None:
        raise AssociationRejected(1, 1, 7 if request.calling_ae_title == "KNOWN" else 3)

    server.on_association(refuse)
    server.start(0)
    code, _, err = run_cli(capsys, "echoscu", HOST, server.port, "-aet", "KNOWN")
    assert code == 1
    assert err == (
        "F: Association Rejected:\n"
        "F: Result: Rejected Permanent, Source: Service User\n"
        "F: Reason: Called AE Title Not Recognized\n"
        "F: it has another title than ANY-SCP: name it with -aec\n"
    )
    code, _, err = run_cli(capsys, "echoscu", HOST, server.port)
    assert code == 1
    assert "Reason: Calling AE Title Not Recognized" in err
    assert "does not know the title ECHOSCU" in err


def test_a_rejection_without_advice(capsys: Capture, server: Server) -> None:
    def refuse(request: AssociationRequest) -> None:
        raise AssociationRejected(2, 3, 1)

    server.on_association(refuse)
    server.start(0)
    _, _, err = run_cli(capsys, "echoscu", HOST, server.port)
    assert err.endswith("F: Reason: Temporary Congestion\n")


def test_no_acceptable_context(capsys: Capture) -> None:
    context = SupportedContext(abstract_syntax=VERIFICATION, transfer_syntaxes=(EXPLICIT_VR_BIG_ENDIAN,))
    node = Node(policy=AcceptorPolicy(contexts=(context,)))
    with Server(node=node).start(0) as server:
        code, _, err = run_cli(capsys, "echoscu", HOST, server.port)
        assert (code, err) == (1, "F: No Acceptable Presentation Contexts\n")
        assert run_cli(capsys, "echoscu", HOST, server.port, "-pts", 3)[0] == 0


def test_a_failure_of_the_peer_is_a_status(capsys: Capture, server: Server) -> None:
    def fail(core: object, context: object, request: object) -> None:
        raise ValueError("broken")

    server.on_echo(fail)
    server.start(0)
    code, _, err = run_cli(capsys, "echoscu", HOST, server.port)
    assert code == echoscu.EXIT_BAD_STATUS
    assert (
        err
        == "E: Echo Failed: the peer answered with status 0x0110 (Processing failure: the handler failed)\n"
    )


def test_an_abort_by_the_peer_is_a_failure(capsys: Capture, server: Server) -> None:
    def fail(core: object) -> None:
        raise ValueError("broken")

    server.node.hooks.accepted = fail  # a mistake there ends the association
    server.start(0)
    code, _, err = run_cli(capsys, "echoscu", "-v", HOST, server.port)
    assert code == echoscu.EXIT_ENDED_EARLY
    assert "E: Echo Failed: association aborted by the peer" in err
    assert err.count("I: Peer Aborted Association\n") == 1


def test_nobody_listens(capsys: Capture, server: Server) -> None:
    port = server.start(0).port
    server.shutdown()
    code, _, err = run_cli(capsys, "echoscu", HOST, port)
    assert code == 1
    assert err == f"F: Association Request Failed: cannot connect to {HOST}:{port}: Connection refused\n"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), Timeouts(connect=None, artim=30, acse=30, dimse=60, network=60, write=60)),
        (("-ts", "0"), Timeouts(connect=None, artim=30, acse=30, dimse=None, network=None, write=None)),
        (
            ("-ts", "-1", "-td", "5"),
            Timeouts(connect=None, artim=30, acse=30, dimse=5, network=None, write=None),
        ),
        (("-to", "4", "-ta", "7"), Timeouts(connect=4, artim=7, acse=7, dimse=60, network=60, write=60)),
    ],
)
def test_timeouts(options: tuple[str, ...], expected: Timeouts) -> None:
    assert networking.timeouts(parse(echoscu.TOOL, ["host", "104", *options])) == expected


@pytest.mark.parametrize(
    ("options", "host", "expected"),
    [
        ((), "peer", "AF_INET"),
        ((), "::1", "AF_INET6"),
        (("-i4",), "::1", "AF_INET"),
        (("-i6",), "peer", "AF_INET6"),
        (("-i0",), "peer", "AF_UNSPEC"),
    ],
)
def test_address_families(options: tuple[str, ...], host: str, expected: str) -> None:
    import socket

    arguments = parse(echoscu.TOOL, [host, "104", *options])
    assert networking.address_family(arguments, host) == getattr(socket, expected)


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (("host",), "Missing parameter port"),
        (("host", "0"), "Invalid parameter value 0 (underflow)"),
        (("host", "104", "-pts", "54"), "Invalid value for option --propose-ts (overflow: 54)"),
        (("host", "104", "-ppc", "129"), "Invalid value for option --propose-pc (overflow: 129)"),
        (("host", "104", "-pdu", "4095"), "Invalid value for option --max-pdu (underflow: 4095)"),
        (("host", "104", "--repeat", "0"), "Invalid value for option --repeat (underflow: 0)"),
        (("host", "104", "+v"), "Unknown option +v"),
        (("host", "104", "-aec", "seventeen letters"), "Invalid value for option --call (longer than 16"),
    ],
)
def test_mistakes(capsys: Capture, argv: tuple[str, ...], error: str) -> None:
    code, out, err = run_cli(capsys, "echoscu", *argv)
    assert (code, out) == (1, "")
    assert f"\nerror: {error}" in err


def test_help_has_the_exit_codes(capsys: Capture) -> None:
    code, out, _ = run_cli(capsys, "echoscu", "--help")
    assert code == 0
    assert "\nexit codes:\n  0  " in out


def test_pydicom_is_not_loaded(server: Server) -> None:
    server.start(0)
    code = (
        "import sys; from dcmnet.cli import main; "
        f"code = main(['echoscu', '{HOST}', '{server.port}']); "
        "print(code, *({'pydicom', 'rich', 'asyncio'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, env=os.environ
    )
    assert result.stdout == "0\n"


def test_a_peer_that_does_not_answer(capsys: Capture, server: Server) -> None:
    go_on = threading.Event()
    server.on_echo(lambda core, context, request: go_on.wait(60) and None)
    server.start(0)
    code, _, err = run_cli(capsys, "echoscu", "-v", "-td", 1, "-ta", 1, HOST, server.port)
    go_on.set()
    assert code == echoscu.EXIT_ENDED_EARLY
    assert err.startswith("I: Requesting Association\n")
    assert "E: Echo Failed: the DIMSE timer of 1 s ran out\nI: Aborting Association\n" in err


def test_a_release_that_fails(capsys: Capture, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Association) -> None:
        self.abort()
        raise DeadlineExceeded("ACSE", 30)

    monkeypatch.setattr(Association, "release", fail)
    server.start(0)
    code, _, err = run_cli(capsys, "echoscu", HOST, server.port)
    assert (code, err) == (1, "F: Association Release Failed: the ACSE timer of 30 s ran out\n")
