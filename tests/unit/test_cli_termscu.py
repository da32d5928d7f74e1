from __future__ import annotations

from collections.abc import Iterator

import pytest

from dcmnet import (
    AcceptorPolicy,
    AssociationRejected,
    AssociationRequest,
    Hooks,
    Node,
    Server,
    SupportedContext,
)
from dcmnet.cli.termscu import SHUTDOWN
from dcmnet.registry.transfer_syntaxes import IMPLICIT_VR_LITTLE_ENDIAN
from tests.unit.cli_runs import HOST, json_lines, run_cli
from tests.unit.cli_tools import logs_put_back

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _logs_put_back() -> Iterator[None]:
    with logs_put_back():
        yield


def rejecting(reason: int) -> Server:
    server = Server()

    @server.on_association
    def decide(request: AssociationRequest) -> None:
        raise AssociationRejected(1, 1, reason)

    return server


def test_a_server_that_shuts_down(capsys: Capture) -> None:
    with rejecting(1).start(0) as server:
        code, out, err = run_cli(capsys, "termscu", "-v", "--json", HOST, server.port)
    assert code == 0
    assert err == "I: Requesting Association\nI: Association Rejected: the peer shuts down\n"
    assert json_lines(out)[-1]["shuts_down"] is True


def test_a_server_that_rejects(capsys: Capture) -> None:
    with rejecting(7).start(0) as server:
        code, _, err = run_cli(capsys, "termscu", HOST, server.port)
    assert code == 1
    assert "F: Reason: Called AE Title Not Recognized\n" in err


def test_a_server_that_does_not_know_it(capsys: Capture) -> None:
    with Server().start(0) as server:
        code, out, err = run_cli(capsys, "termscu", "--json", HOST, server.port)
    assert code == 1
    assert err.startswith("F: No Acceptable Presentation Contexts: the peer cannot be shut down like this\n")
    assert json_lines(out)[-1]["shuts_down"] is False


def test_a_server_that_goes_on(capsys: Capture) -> None:
    context = SupportedContext(abstract_syntax=SHUTDOWN, transfer_syntaxes=(IMPLICIT_VR_LITTLE_ENDIAN,))
    with Server(node=Node(policy=AcceptorPolicy(contexts=(context,)), hooks=Hooks())).start(0) as server:
        code, _, err = run_cli(capsys, "termscu", "-v", HOST, server.port)
    assert code == 1
    assert "F: the peer accepted the request, and does not shut down\nI: Releasing Association\n" in err


def test_nobody(capsys: Capture) -> None:
    with Server().start(0) as server:
        port = server.port
    code, _, err = run_cli(capsys, "termscu", HOST, port)
    assert code == 1
    assert err.startswith("F: Association Request Failed: cannot connect to ")
