"""Connecting, echoing, releasing and aborting, the same on both faces."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import dcmnet
import dcmnet.sync.driver
from dcmnet import aio
from dcmnet.acse import RequestorPolicy
from dcmnet.limits import Timeouts
from dcmnet.ul.provider import UpperLayer
from tests.faces.adapters import PATIENT, QUICK, Face, Server, running
from tests.faces.wire import (
    ABORT,
    DEADLINE,
    EXPLICIT,
    IMPLICIT,
    RELEASE_RP,
    RELEASE_RQ,
    Acceptor,
    RawPeer,
    associate_ac,
    command,
    p_data,
    pdu,
    uid_element,
    until,
    us_element,
)

CT = "1.2.840.10008.5.1.4.1.1.2"
MPPS = "1.2.840.10008.3.1.2.3.3"
VERIFICATION = "1.2.840.10008.1.1"
AC = associate_ac([(1, IMPLICIT)])


def accepting(then: Callable[[RawPeer], None], answer: bytes = AC) -> Callable[[RawPeer], None]:
    """A script that accepts the association and goes on with `then`."""

    def script(peer: RawPeer) -> None:
        assert peer.read_pdu()[:1] == b"\x01"
        peer.send(answer)
        then(peer)

    return script


def test_echo_and_release(face: Face, server: Server) -> None:
    with face.connect(server.port) as association:
        assert association.is_established
        assert association.peer == f"127.0.0.1:{server.port}"
        assert [each.abstract_syntax for each in association.accepted_contexts] == ["1.2.840.10008.1.1"]
        for _ in range(3):
            assert association.echo().status == 0
    until(lambda: not association.is_established)
    until(lambda: server.associations == 0)


def test_an_association_that_rests_goes_on(
    face: Face, server: Server, ct: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while without a byte the server gives its buffers back, and makes new ones for the next."""
    rested = threading.Event()
    rest = UpperLayer.rest

    def noted(upper_layer: UpperLayer) -> None:
        rest(upper_layer)
        rested.set()

    monkeypatch.setattr(UpperLayer, "rest", noted)
    for name in ("sync", "aio"):
        monkeypatch.setattr(f"dcmnet.{name}.driver.REST_AFTER", 0.05)
    contexts = (dcmnet.ProposedContext(abstract_syntax=CT, transfer_syntaxes=(EXPLICIT, IMPLICIT)),)
    with face.connect(server.port, contexts=contexts) as association:
        for _ in range(2):
            assert association.store(ct).status == 0
            rested.clear()
            assert rested.wait(10)


def test_release_and_abort_may_be_repeated(face: Face, server: Server) -> None:
    association = face.connect(server.port)
    association.release()
    association.release()
    association.abort()
    with pytest.raises(dcmnet.AssociationReleased, match="the association is over: this side released"):
        association.echo()


def test_abort_tells_the_peer(face: Face) -> None:
    def script(peer: RawPeer) -> None:
        assert peer.read_abort() == (0, 0)

    with Acceptor(accepting(script)) as acceptor:
        face.connect(acceptor.port).abort()


def test_an_exception_inside_the_block_aborts(face: Face) -> None:
    def script(peer: RawPeer) -> None:
        assert peer.read_abort() == (0, 0)

    with Acceptor(accepting(script)) as acceptor, pytest.raises(KeyError), face.connect(acceptor.port):
        raise KeyError("mine")


def test_a_port_where_nobody_listens(face: Face) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(dcmnet.TransportClosed, match=rf"127\.0\.0\.1:{port}: Connection refused"):
        face.connect(port)


def test_a_host_that_is_not_known(face: Face) -> None:
    with pytest.raises(dcmnet.TransportClosed, match=r"cannot find the host no-such-host\.invalid"):
        face.connect(11112, "no-such-host.invalid")


def test_a_host_that_never_answers_the_connection(face: Face) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = []
        try:
            for _ in range(4):  # fill the queue; what comes after hears nothing
                sock = socket.socket()
                sock.setblocking(False)
                sock.connect_ex(listener.getsockname())
                waiting.append(sock)
            with pytest.raises(dcmnet.DeadlineExceeded) as caught:
                face.connect(listener.getsockname()[1], timeouts=Timeouts(connect=0.2))
            assert caught.value.timer == "connect"
        finally:
            for sock in waiting:
                sock.close()


def test_an_abort_does_not_wait_for_a_peer_that_hangs(face: Face) -> None:
    gone = threading.Event()

    def hang(peer: RawPeer) -> None:
        assert gone.wait(DEADLINE)
        assert peer.read_abort() == (0, 0)

    with Acceptor(accepting(hang)) as acceptor:
        association = face.connect(acceptor.port, timeouts=Timeouts(artim=None))
        association.abort()
        gone.set()


def test_an_abort_ends_what_another_is_at(face: Face) -> None:
    asked, gone = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def silent(peer: RawPeer) -> None:
        peer.read_pdu()
        asked.set()
        assert gone.wait(DEADLINE)
        assert peer.read_abort() == (0, 0)

    def echo() -> None:
        try:
            association.echo()
        except dcmnet.AssociationAborted as error:
            errors.append(error)

    with Acceptor(accepting(silent)) as acceptor:
        association = face.connect(acceptor.port, timeouts=Timeouts(artim=None, dimse=None))
        other = threading.Thread(target=echo)
        other.start()
        assert asked.wait(DEADLINE)
        association.abort()
        gone.set()
        other.join(DEADLINE)
    assert [str(error) for error in errors] == ["association aborted by this side: service-user"]
    assert not association.is_established


def test_an_abort_ends_a_transfer_that_does_not_get_on(face: Face, big_ct: Path) -> None:
    gone = threading.Event()
    errors: list[BaseException] = []

    def stalled(peer: RawPeer) -> None:
        peer.read(100)
        asked.set()
        assert gone.wait(DEADLINE)

    def send() -> None:
        try:
            association.store(big_ct)
        except dcmnet.AssociationAborted as error:
            errors.append(error)

    asked = threading.Event()
    proposed = dcmnet.ProposedContext(abstract_syntax=CT, transfer_syntaxes=(EXPLICIT,))
    script = accepting(stalled, associate_ac([(1, EXPLICIT)]))
    with Acceptor(script) as acceptor:
        timeouts = Timeouts(artim=None, dimse=None, write=None)
        association = face.connect(acceptor.port, contexts=(proposed,), timeouts=timeouts)
        other = threading.Thread(target=send)
        other.start()
        assert asked.wait(DEADLINE)
        association.abort()
        gone.set()
        other.join(DEADLINE)
    assert len(errors) == 1
    assert not association.is_established


def test_no_operation_within_another() -> None:
    """A signal handler, for example, that runs in the thread whose operation it interrupts."""

    class Meddler:
        error: Exception | None = None

        def __call__(self, number: int, frame: object) -> None:
            try:
                association.abort()
            except dcmnet.LocalProtocolError as error:
                self.error = error

    def late(peer: RawPeer) -> None:
        peer.read_pdu()
        signal.raise_signal(signal.SIGUSR1)
        peer.send(ABORT)

    meddler = Meddler()
    before = signal.signal(signal.SIGUSR1, meddler)
    try:
        with Acceptor(accepting(late)) as acceptor:
            association = dcmnet.connect("127.0.0.1", acceptor.port, timeouts=PATIENT)
            with pytest.raises(dcmnet.AssociationAborted):
                association.echo()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert "under way in this thread" in str(meddler.error)


def test_a_policy_in_place_of_the_keywords(face: Face, server: Server) -> None:
    proposed = dcmnet.ProposedContext(abstract_syntax="1.2.840.10008.1.1", transfer_syntaxes=(IMPLICIT,))
    policy = RequestorPolicy(called_ae_title="DCMNET", calling_ae_title="POLICY", contexts=(proposed,))
    with face.connect(server.port, policy=policy) as association:
        assert association.negotiated.calling_ae_title == "POLICY"
        assert association.echo().status == 0
    with pytest.raises(ValueError, match="contexts are part of the policy"):
        face.connect(server.port, policy=policy, contexts=(proposed,))


# ---------------------------------------------------------------------- several addresses, blocking


@pytest.fixture
def blocking() -> Iterator[dcmnet.Server]:
    with dcmnet.Server(timeouts=PATIENT).start(0) as server:
        yield server


def found(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[int, str, int]) -> None:
    """What every name stands for."""
    infos = [(family, socket.SOCK_STREAM, 0, "", (host, port)) for family, host, port in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: infos)


def test_an_address_family_that_is_not_there(
    blocking: dcmnet.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    found(monkeypatch, (12345, "::", 1), (socket.AF_INET, "127.0.0.1", blocking.port))
    with dcmnet.connect("two", blocking.port, timeouts=PATIENT) as association:
        assert association.echo().status == 0


def test_an_address_that_does_not_answer_leaves_time_for_the_next(
    blocking: dcmnet.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = dcmnet.sync.driver.Driver._connect_one
    shares: list[float] = []

    def silent_at_first(self: Any, sock: socket.socket, address: Any, seconds: float, *rest: Any) -> None:
        shares.append(seconds)
        if len(shares) == 1:
            sock.close()
            raise TimeoutError(errno.ETIMEDOUT, "Connection timed out")
        connect(self, sock, address, seconds, *rest)

    monkeypatch.setattr(dcmnet.sync.driver.Driver, "_connect_one", silent_at_first)
    here = (socket.AF_INET, "127.0.0.1", blocking.port)
    found(monkeypatch, here, here)
    with dcmnet.connect("two", blocking.port, timeouts=PATIENT) as association:
        assert association.echo().status == 0
    assert shares[0] <= 5.0 < shares[1]
    shares.clear()
    found(monkeypatch, here)
    with pytest.raises(dcmnet.TransportClosed, match="timed out"):
        dcmnet.connect("one", blocking.port, timeouts=PATIENT)


def test_rejection(face: Face) -> None:
    def script(peer: RawPeer) -> None:
        peer.read_pdu()
        peer.send(pdu(3, bytes((0, 2, 3, 1))))
        peer.read_end()

    with Acceptor(script) as acceptor, pytest.raises(dcmnet.AssociationRejected) as caught:
        face.connect(acceptor.port)
    assert (caught.value.result, caught.value.source, caught.value.reason) == (2, 3, 1)
    assert "rejected-transient" in str(caught.value)
    assert "temporary-congestion" in str(caught.value)


def test_rejections_by_our_server(face: Face, received: Path) -> None:
    node = face.new_storage_scp(received, require_called_ae_title=True, calling_ae_titles={"FRIEND"})
    with running(face, node) as server:
        with pytest.raises(dcmnet.AssociationRejected) as caught:
            face.connect(server.port, called="OTHER", calling="FRIEND")
        assert (caught.value.result, caught.value.source, caught.value.reason) == (1, 1, 7)
        with pytest.raises(dcmnet.AssociationRejected) as caught:
            face.connect(server.port, called="DCMNET", calling="FOE")
        assert (caught.value.result, caught.value.source, caught.value.reason) == (1, 1, 3)
        with face.connect(server.port, called="DCMNET", calling="FRIEND") as association:
            assert association.echo().status == 0


def test_abort_instead_of_an_answer(face: Face) -> None:
    def script(peer: RawPeer) -> None:
        peer.read_pdu()
        peer.send(pdu(7, bytes((0, 0, 2, 6))))
        peer.read_end()

    with Acceptor(script) as acceptor, pytest.raises(dcmnet.AssociationAborted) as caught:
        face.connect(acceptor.port)
    assert (caught.value.source, caught.value.reason, caught.value.locally) == (2, 6, False)


@pytest.mark.parametrize("answer", [b"", AC[:40], b"SSH-2.0-OpenSSH_9.2p1\r\n"])
def test_a_connection_that_ends_instead_of_an_answer(face: Face, answer: bytes) -> None:
    def script(peer: RawPeer) -> None:
        peer.read_pdu()
        peer.send(answer)

    with (
        Acceptor(script) as acceptor,
        pytest.raises((dcmnet.TransportClosed, dcmnet.RemoteProtocolError)),
    ):
        face.connect(acceptor.port)


def test_an_answer_that_never_comes(face: Face) -> None:
    def script(peer: RawPeer) -> None:
        peer.read_pdu()
        assert peer.read_abort() == (0, 0)
        peer.read_end()

    with Acceptor(script) as acceptor, pytest.raises(dcmnet.DeadlineExceeded) as caught:
        face.connect(acceptor.port, timeouts=Timeouts(acse=0.2, artim=0.2))
    assert (caught.value.timer, caught.value.seconds) == ("ACSE", 0.2)


def test_an_echo_that_is_never_answered(face: Face) -> None:
    def script(peer: RawPeer) -> None:
        assert peer.read_pdu()[:1] == b"\x04"
        assert peer.read_abort() == (0, 0)

    with Acceptor(accepting(script)) as acceptor:
        association = face.connect(acceptor.port, timeouts=QUICK)
        with pytest.raises(dcmnet.DeadlineExceeded) as caught:
            association.echo()
        assert caught.value.timer == "DIMSE"
        assert not association.is_established
        association.release()  # nothing is left to release


@pytest.mark.parametrize("last", [ABORT, b"", RELEASE_RQ])
def test_an_association_that_ends_instead_of_a_response(face: Face, last: bytes) -> None:
    errors = {ABORT: dcmnet.AssociationAborted, b"": dcmnet.TransportClosed}

    def script(peer: RawPeer) -> None:
        peer.read_pdu()
        peer.send(last)
        if last == RELEASE_RQ:
            assert peer.read_pdu() == RELEASE_RP

    with Acceptor(accepting(script)) as acceptor:
        association = face.connect(acceptor.port)
        with pytest.raises(errors.get(last, dcmnet.AssociationReleased)):
            association.echo()
        assert not association.is_established


def test_a_response_to_something_else_is_aborted(face: Face) -> None:
    wrong = command(
        uid_element(0x0002, "1.2.840.10008.1.1"),
        us_element(0x0100, 0x8030),
        us_element(0x0120, 77),
        us_element(0x0800, 0x0101),
        us_element(0x0900, 0),
    )

    def script(peer: RawPeer) -> None:
        peer.read_pdu()
        peer.send(p_data(1, 3, wrong))
        assert peer.read_abort() == (0, 0)

    with Acceptor(accepting(script)) as acceptor:
        association = face.connect(acceptor.port)
        with pytest.raises(dcmnet.RemoteProtocolError):
            association.echo()


def test_release_collision(face: Face) -> None:
    def script(peer: RawPeer) -> None:
        assert peer.read_pdu() == RELEASE_RQ
        peer.send(RELEASE_RQ)
        # PS3.8 9.2: the requestor answers first, then the acceptor confirms
        assert peer.read_pdu() == RELEASE_RP
        peer.send(RELEASE_RP)
        peer.read_end()

    with Acceptor(accepting(script)) as acceptor:
        face.connect(acceptor.port).release()


def test_release_that_is_not_confirmed(face: Face) -> None:
    def script(peer: RawPeer) -> None:
        assert peer.read_pdu() == RELEASE_RQ
        assert peer.read_abort() == (0, 0)

    with Acceptor(accepting(script)) as acceptor:
        association = face.connect(acceptor.port, timeouts=Timeouts(acse=1.0, artim=0.3))
        with pytest.raises(dcmnet.DeadlineExceeded, match="ACSE"):
            association.release()


def test_data_that_come_while_releasing_are_dropped(face: Face) -> None:
    def script(peer: RawPeer) -> None:
        assert peer.read_pdu() == RELEASE_RQ
        peer.send(p_data(1, 2, bytes(1000)) * 50 + RELEASE_RP)
        peer.read_end()

    with Acceptor(accepting(script)) as acceptor:
        face.connect(acceptor.port).release()


def test_a_context_that_was_not_accepted(face: Face, server: Server, ct: Path) -> None:
    with face.connect(server.port) as association:
        with pytest.raises(dcmnet.NoPresentationContext) as caught:
            association.store(ct)
        assert caught.value.abstract_syntax == CT
        assert association.echo().status == 0  # the association is as it was


def test_user_identity_and_its_response(face: Face, received: Path) -> None:
    seen = []
    node = face.new_storage_scp(received)

    @node.on_association
    def check(request: dcmnet.AssociationRequest) -> bytes:
        assert request.user_identity is not None
        seen.append((request.calling_ae_title, request.called_ae_title, request.user_identity.primary_field))
        return b"granted"

    identity = dcmnet.UserIdentityRQ(1, b"me", positive_response_requested=True)
    with (
        running(face, node) as server,
        face.connect(server.port, calling="ME", called="YOU", user_identity=identity) as association,
    ):
        response = association.negotiated.user_identity_response
        assert response is not None
        assert response.server_response == b"granted"
    assert seen == [("ME", "YOU", b"me")]


def test_the_peers_maximum_length_is_kept(face: Face, received: Path, ct: Path) -> None:
    def script(peer: RawPeer) -> None:
        peer.read_pdu()
        peer.send(associate_ac([(1, "1.2.840.10008.1.2.1")], 4096))
        lengths = []
        while (received := peer.read_pdu())[11] & 3 != 2:
            lengths.append(struct.unpack_from(">I", received, 2)[0])
        assert max(lengths) == 4096
        peer.send(ABORT)

    contexts = [dcmnet.ProposedContext(abstract_syntax=CT, transfer_syntaxes=("1.2.840.10008.1.2.1",))]
    with Acceptor(script) as acceptor:
        association = face.connect(acceptor.port, contexts=contexts)
        with pytest.raises(dcmnet.AssociationAborted):
            association.store(ct)


def test_both_families(face: Face, received: Path) -> None:
    started = face.start(face.new_storage_scp(received), host="localhost")
    try:
        assert started.addresses
        with face.connect(started.port, "localhost", timeouts=PATIENT) as association:
            assert association.echo().status == 0
    finally:
        started.shutdown(0)


async def test_an_abort_while_data_keep_coming() -> None:
    """The asyncio driver lets other tasks run between receptions without waiting itself."""
    stop, flowing = threading.Event(), threading.Event()

    def flood(peer: RawPeer) -> None:
        peer.read_pdu()
        while not stop.is_set():
            peer.send_as_far_as_it_goes(pdu(4, struct.pack(">IBB", 4, 1, 1) + b"\0\0") * 10)
            flowing.set()

    with Acceptor(accepting(flood)) as acceptor:
        limits = dcmnet.Limits(max_command_fragments=1 << 30, max_command_set_length=1 << 30)
        timeouts = Timeouts(artim=None, dimse=None)
        association = await aio.connect("127.0.0.1", acceptor.port, timeouts=timeouts, limits=limits)
        task = asyncio.ensure_future(association.echo())
        assert await asyncio.to_thread(flowing.wait, 10)
        await association.abort()
        stop.set()
        with pytest.raises(dcmnet.AssociationAborted, match="by this side"):
            await task


# ---------------------------------------------------------------------- a timer, and nothing on top of it


def mute(peer: RawPeer) -> None:
    """Read everything, answer nothing and do not close."""
    while peer.sock.recv(65536):
        pass


@pytest.mark.parametrize("operation", ["echo", "store", "release"])
def test_a_peer_that_falls_silent_is_waited_for_once(face: Face, operation: str, ct: Path) -> None:
    contexts: dict[str, Any] = {"contexts": [CT]} if operation == "store" else {}
    with Acceptor(accepting(mute, associate_ac([(1, EXPLICIT)]))) as acceptor:
        timeouts = Timeouts(acse=0.5, dimse=0.5, artim=DEADLINE)
        association = face.connect(acceptor.port, timeouts=timeouts, **contexts)
        arguments = (ct,) if operation == "store" else ()
        started = time.monotonic()
        with pytest.raises(dcmnet.DeadlineExceeded):
            getattr(association, operation)(*arguments)
        assert time.monotonic() - started < DEADLINE / 2
        assert not association.is_established


def test_a_request_that_is_never_answered_ends_after_the_acse_timer(face: Face) -> None:
    with Acceptor(mute) as acceptor:
        started = time.monotonic()
        with pytest.raises(dcmnet.DeadlineExceeded, match="ACSE"):
            face.connect(acceptor.port, timeouts=Timeouts(acse=0.5, artim=DEADLINE))
        assert time.monotonic() - started < DEADLINE / 2


# ---------------------------------------------------------------------- after the end


def all_operations(association: Any, ct: Path) -> Iterator[Callable[[], Any]]:
    """Every operation of an association."""
    yield association.echo
    yield lambda: association.store(ct)
    yield lambda: list(association.find({"QueryRetrieveLevel": "STUDY"}))
    yield lambda: association.get({"QueryRetrieveLevel": "STUDY"}, ct.parent).wait()
    yield lambda: association.move({"QueryRetrieveLevel": "STUDY"}, "ME").wait()
    yield lambda: association.n_get(MPPS, "1.2")
    yield lambda: association.n_set(MPPS, "1.2", {"PatientID": "1"})
    yield lambda: association.n_action(MPPS, "1.2", 1)
    yield lambda: association.n_create(MPPS)
    yield lambda: association.n_delete(MPPS, "1.2")
    yield lambda: association.n_event_report(MPPS, "1.2", 1)
    yield lambda: association.next_event(0.1)


ENDINGS: dict[str, tuple[Callable[[Any], None], type[Exception], str]] = {
    "released": (lambda association: association.release(), dcmnet.AssociationReleased, "this side released"),
    "aborted": (lambda association: association.abort(), dcmnet.AssociationAborted, "aborted by this side"),
}
PEERS: dict[str, tuple[bytes, type[Exception], str]] = {
    "the peer releases": (RELEASE_RQ, dcmnet.AssociationReleased, "the peer released"),
    "the peer aborts": (ABORT, dcmnet.AssociationAborted, "aborted by the peer"),
    "the peer closes": (b"", dcmnet.AssociationAborted, "the peer closed the connection"),
}
EVERYTHING = (VERIFICATION, CT, MPPS, *(getattr(dcmnet.STUDY_ROOT, kind) for kind in ("find", "get", "move")))


ALL_ACCEPTED = associate_ac([(number, EXPLICIT) for number in range(1, 2 * len(EVERYTHING), 2)])


@pytest.mark.parametrize("how", ENDINGS)
def test_calls_after_this_side_ended_it(face: Face, how: str, ct: Path) -> None:
    end, error, text = ENDINGS[how]

    def script(peer: RawPeer) -> None:
        while peer.read_pdu()[:1] not in {b"\x05", b"\x07", b""}:
            pass
        peer.send_as_far_as_it_goes(RELEASE_RP)

    with Acceptor(accepting(script, ALL_ACCEPTED)) as acceptor:
        association = face.connect(acceptor.port, contexts=EVERYTHING)
        end(association)
        assert not association.is_established
        for operation in all_operations(association, ct):
            with pytest.raises(error, match=f"the association is over: .*{text}.* s ago"):
                operation()
        association.release()
        association.abort()


@pytest.mark.parametrize("how", PEERS)
def test_calls_after_the_peer_ended_it(face: Face, how: str, ct: Path) -> None:
    last, error, text = PEERS[how]
    ended = threading.Event()

    def script(peer: RawPeer) -> None:
        peer.send(last)
        if not last:
            peer.close()
            return
        ended.wait(DEADLINE)

    with Acceptor(accepting(script, ALL_ACCEPTED)) as acceptor:
        association = face.connect(acceptor.port, contexts=EVERYTHING)
        until(lambda: not association.is_established)  # without an operation
        ended.set()
        with pytest.raises(dcmnet.AssociationError):
            association.echo()
        for operation in all_operations(association, ct):
            with pytest.raises(error, match=f"the association is over: .*{text}.* s ago"):
                operation()


def test_an_established_association_stays_so_when_it_is_asked(face: Face, server: Server) -> None:
    with face.connect(server.port) as association:
        for _ in range(3):
            assert association.is_established
            assert association.echo().status == 0
    assert not association.is_established
