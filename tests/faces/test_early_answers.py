"""A peer that says it has stored an object of which it has read a part only: the object was not sent."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest

import dcmnet
from dcmnet import RemoteProtocolError
from dcmnet._net import tls
from dcmnet._net.transfer import prepare
from dcmnet.registry.sop_classes import MODALITY_PERFORMED_PROCEDURE_STEP as MPPS
from tests.certificates import Certificates
from tests.faces.adapters import PATIENT, Face, running
from tests.faces.fussy import FussyPeer, read_to_the_last_pdu
from tests.faces.test_associations import accepting
from tests.faces.test_sending import response
from tests.faces.test_tls import tls_acceptor
from tests.faces.wire import (
    ABORT,
    CT,
    DEADLINE,
    EXPLICIT,
    RELEASE_RP,
    USER_ITEMS,
    Acceptor,
    RawPeer,
    associate_ac,
    associate_rq,
    command,
    command_value,
    context,
    item,
    p_data,
    uid_element,
    until,
    us_element,
)
from tests.unit.objects import data_set, element, write_file

READ = 48_000
"""What the peer has read when it answers."""

ONE_CONTEXT = associate_ac([(1, EXPLICIT)])

LARGE = 33_000_000
"""More than the buffers of the system hold."""

ENDS: dict[str, Callable[[RawPeer], Any]] = {
    "resets": RawPeer.reset,
    "closes": RawPeer.close,
    "aborts": lambda peer: peer.send(ABORT),
    "goes on": read_to_the_last_pdu,
}


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Three objects, of which the second is large."""
    folder = tmp_path / "three"
    folder.mkdir()
    for number, length in enumerate((100, LARGE, 200), 1):
        write_file(folder / f"{number}.dcm", f"1.2.{number}", data=large(f"1.2.{number}", length))
    return folder


def large(uid: str, length: int) -> bytes:
    header = element(0x7FE0, 0x0010, "OB", b"")[:6] + b"\0\0" + length.to_bytes(4, "little")
    return data_set(uid) + header + bytes(length)


def read_a_part(peer: RawPeer) -> None:
    read = 0
    while read < READ:
        read += len(peer.read_pdu())


class Hasty(FussyPeer):
    """Answers the large object when it has read a part of it."""

    def __init__(self, end: Callable[[RawPeer], Any], window: int = 1) -> None:
        super().__init__({"1.2.2"}, end, window)

    def _spoil(self, peer: RawPeer, message_id: int) -> bool:
        read_a_part(peer)
        peer.send(response(0, message_id))
        return super()._spoil(peer, message_id)


class HastyRefusal(FussyPeer):
    """Refuses the large object when it has read a part of it, and ends the association."""

    def _spoil(self, peer: RawPeer, message_id: int) -> bool:
        read_a_part(peer)
        peer.send(response(0xA700, message_id))
        return super()._spoil(peer, message_id)


class Refusing(FussyPeer):
    """Refuses the large object before it has read it, and reads it then."""

    def _spoil(self, peer: RawPeer, message_id: int) -> bool:
        peer.send(response(0xA700, message_id))
        while peer.read_pdu()[11] != 2:
            pass
        return True


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize(
    "options", [{}, {"window": 3}, {"rate": 40_000_000}, {"parallel": 2}, {"retries": 1}]
)
def test_an_object_that_did_not_leave_whole_is_not_stored(
    face: Face, three: Path, how: str, options: dict[str, int]
) -> None:
    with Hasty(ENDS[how], options.get("window", 1)) as peer:
        report = face.send(peer.port, three, timeouts=PATIENT, **options)
    assert sorted(set(peer.kept)) == ["1.2.1", "1.2.3"]
    assert (len(report.results), report.stored, report.ok) == (3, 2, False)
    (failed,) = (each for each in report.results if not each.ok)
    assert (failed.sop_instance_uid, failed.status) == ("1.2.2", None)
    assert failed.error is not None


@pytest.mark.parametrize("how", ["resets", "goes on"])
def test_a_data_set_in_memory(face: Face, how: str, tmp_path: Path) -> None:
    path = write_file(tmp_path / "2.dcm", "1.2.2", data=large("1.2.2", LARGE))
    with Hasty(ENDS[how]) as peer:
        report = face.send(peer.port, [pydicom.dcmread(path)], timeouts=PATIENT)
    assert (report.stored, report.results[0].status) == (0, None)


@pytest.mark.parametrize("status", [0, 0xB000])
def test_one_object_on_an_association(face: Face, status: int, tmp_path: Path) -> None:
    path = write_file(tmp_path / "2.dcm", "1.2.2", data=large("1.2.2", LARGE))

    def script(peer: RawPeer) -> None:
        read_a_part(peer)
        peer.send(response(status))
        read_to_the_last_pdu(peer)

    with Acceptor(accepting(script)) as acceptor:
        association = face.connect(acceptor.port, contexts=[CT], timeouts=PATIENT)
        with pytest.raises(RemoteProtocolError, match=f"C-STORE-RSP with status {status:04X}H came before"):
            association.store(path)
        assert not association.is_established


def test_a_refusal_may_come_early(face: Face, three: Path) -> None:
    """The rest of the object is sent, and the association goes on."""
    with Refusing({"1.2.2"}, read_to_the_last_pdu) as peer:
        report = face.send(peer.port, three, timeouts=PATIENT)
    assert [each.status for each in report.results] == [0, 0xA700, 0]
    assert (report.associations, report.endings) == (1, [])


BREAKS = [how for how in ENDS if how != "goes on"]


@pytest.mark.parametrize("how", BREAKS)
@pytest.mark.parametrize("window", [1, 3])
def test_a_refusal_counts_if_the_association_ends_with_it(
    face: Face, three: Path, how: str, window: int
) -> None:
    with HastyRefusal({"1.2.2"}, ENDS[how], window) as peer:
        report = face.send(peer.port, three, timeouts=PATIENT, window=window)
    assert {each.sop_instance_uid: each.status for each in report.results} == {
        "1.2.1": 0,
        "1.2.2": 0xA700,
        "1.2.3": 0,
    }


@pytest.mark.parametrize("how", BREAKS)
def test_a_refusal_of_one_object(face: Face, how: str, tmp_path: Path) -> None:
    path = write_file(tmp_path / "2.dcm", "1.2.2", data=large("1.2.2", LARGE))

    def script(peer: RawPeer) -> None:
        read_a_part(peer)
        peer.send(response(0xA700))
        ENDS[how](peer)

    with Acceptor(accepting(script)) as acceptor:
        association = face.connect(acceptor.port, contexts=[CT], timeouts=PATIENT)
        assert association.store(path).status == 0xA700
        assert not association.is_established
        with pytest.raises(dcmnet.AssociationAborted, match="the association is over"):
            association.store(path)


def n_set_response(status: int) -> bytes:
    return command(
        us_element(0x0100, 0x8120),
        us_element(0x0120, 1),
        us_element(0x0800, 0x0101),
        us_element(0x0900, status),
    )


@pytest.mark.parametrize("status", [0, 0x0107, 0x0110])
def test_a_normalized_operation(face: Face, status: int) -> None:
    def script(peer: RawPeer) -> None:
        read_a_part(peer)
        peer.send(p_data(1, 3, n_set_response(status)))
        read_to_the_last_pdu(peer)

    mpps = dcmnet.ProposedContext(abstract_syntax=MPPS, transfer_syntaxes=(EXPLICIT,))
    with Acceptor(accepting(script, ONE_CONTEXT)) as acceptor:
        association = face.connect(acceptor.port, contexts=[mpps], timeouts=PATIENT)
        if status == 0x0110:
            assert association.n_set(MPPS, "1.2.2", large("1.2.2", LARGE)).status == status
            association.abort()
        else:
            with pytest.raises(RemoteProtocolError, match="before the N-SET-RQ"):
                association.n_set(MPPS, "1.2.2", large("1.2.2", LARGE))


GET = "1.2.840.10008.5.1.4.1.2.2.3"
CT_ROLES = item(0x54, len(CT).to_bytes(2, "big") + CT.encode() + b"\0\1")
GET_REQUEST = command(
    uid_element(0x0002, GET),
    us_element(0x0100, 0x0010),
    us_element(0x0110, 7),
    us_element(0x0700, 0),
    us_element(0x0800, 1),
)
LEVEL = element(0x0008, 0x0052, "CS", b"STUDY")


def test_a_server_counts_nothing_that_has_not_left(face: Face, three: Path) -> None:
    """A sub-operation of C-GET: the association ends, and the object is not among the completed ones."""
    server: Any = face.new_server()
    server.on_get(dcmnet.STUDY_ROOT)(lambda request: [three / "2.dcm"])
    errors: list[BaseException | None] = []
    server.on_ended(lambda core, error: errors.append(error))
    request = associate_rq(context(1, CT, [EXPLICIT]) + context(3, GET, [EXPLICIT]), USER_ITEMS + CT_ROLES)
    with running(face, server) as started, RawPeer.associated(started.port, request) as peer:
        peer.send(p_data(3, 3, GET_REQUEST) + p_data(3, 2, LEVEL))
        read_a_part(peer)
        peer.send(response(0))
        read_to_the_last_pdu(peer)
        peer.close()
        until(lambda: bool(errors))
    assert isinstance(errors[0], RemoteProtocolError)
    assert "before the C-STORE-RQ" in str(errors[0])


@pytest.mark.parametrize("how", ENDS)
def test_a_move_counts_nothing_that_has_not_left(face: Face, three: Path, how: str) -> None:
    server: Any = face.new_server()
    server.on_move(dcmnet.STUDY_ROOT)(lambda request: sorted(three.iterdir()))
    with Hasty(ENDS[how]) as peer, running(face, server) as started:
        server.destinations = {"THERE": ("127.0.0.1", peer.port)}
        result = face.ask("move", started.port, {"QueryRetrieveLevel": "STUDY"}, "THERE", timeouts=PATIENT)
    assert (result.progress.completed, result.progress.failed) == (2, 1)
    assert result.progress.failed_sop_instance_uids == ("1.2.2",)


@pytest.mark.parametrize("how", BREAKS)
def test_a_move_goes_on_after_a_refusal(face: Face, three: Path, how: str) -> None:
    server: Any = face.new_server()
    server.on_move(dcmnet.STUDY_ROOT)(lambda request: sorted(three.iterdir()))
    with HastyRefusal({"1.2.2"}, ENDS[how]) as peer, running(face, server) as started:
        server.destinations = {"THERE": ("127.0.0.1", peer.port)}
        result = face.ask("move", started.port, {"QueryRetrieveLevel": "STUDY"}, "THERE", timeouts=PATIENT)
    assert (result.progress.completed, result.progress.failed) == (2, 1)


# ---------------------------------------------------------------------- TLS


def answer_at_once(peer: RawPeer, blocked: threading.Event, answered: threading.Event) -> None:
    """Begin to read when the other side has to wait, and answer each object as soon as it is there."""
    peer.read_pdu()
    peer.send(associate_ac([(1, EXPLICIT)], window=5))
    blocked.wait(DEADLINE)
    while (first := peer.read_pdu())[:1] == b"\x04":
        number = command_value(first[12:], 0x0110)
        assert number is not None
        while peer.read_pdu()[11] != 2:
            pass
        peer.send(response(0, int.from_bytes(number, "little")))
        answered.set()
    peer.send(RELEASE_RP)


def test_answers_in_time_over_tls(
    face: Face, certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS does not say how much of a write has left: an answer to what may have left is no early one."""
    blocked, answered = threading.Event(), threading.Event()
    send = tls.TLSSocket.send

    def send_and_wait(sock: tls.TLSSocket, buffer: Any) -> int:
        try:
            return send(sock, buffer)
        except BlockingIOError:
            blocked.set()
            answered.wait(DEADLINE)
            raise

    def prepare_small(sock: socket.socket) -> None:
        prepare(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 30_000)

    monkeypatch.setattr(tls.TLSSocket, "send", send_and_wait)
    monkeypatch.setattr("dcmnet._net.tls.prepare", prepare_small)
    for number in range(1, 11):
        write_file(tmp_path / f"{number}.dcm", f"1.2.{number}", data=large(f"1.2.{number}", 12_000))
    settings = dcmnet.TLS(**certificates.pair("client"), ca_files=(certificates.ca,), server_name="localhost")
    with tls_acceptor(
        certificates, lambda peer: answer_at_once(peer, blocked, answered), receive_buffer=4096
    ) as peer:
        report = face.send(peer.port, tmp_path, window=5, tls=settings, timeouts=PATIENT)
    assert blocked.is_set()
    assert (report.stored, report.associations) == (10, 1)
