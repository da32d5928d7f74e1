"""TLS on both faces: what it carries, whom it lets in, and what it says when it fails."""

from __future__ import annotations

import hashlib
import logging
import socket
import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import dcmnet
from dcmnet import TLS
from dcmnet.storage.part10 import read_file_meta
from tests.certificates import Certificates
from tests.faces.adapters import PATIENT, QUICK, Face, running
from tests.faces.wire import (
    ABORT,
    CT_CONTEXT,
    DEADLINE,
    ECHO,
    EXPLICIT,
    Acceptor,
    RawPeer,
    associate_ac,
    associate_rq,
    ct_data_set,
    p_data,
    store,
    store_command,
    until,
)


@pytest.fixture
def server_tls(certificates: Certificates) -> TLS:
    return TLS(**certificates.pair("server"), ca_files=(certificates.ca,))


@pytest.fixture
def client_tls(certificates: Certificates) -> TLS:
    return TLS(**certificates.pair("client"), ca_files=(certificates.ca,))


def data_set_of(path: Path) -> bytes:
    data = path.read_bytes()
    return data[read_file_meta(data, path.name)[1] :]


def object_of(length: int, folder: Path, ct: Path) -> Path:
    import pydicom

    data_set = pydicom.dcmread(ct)
    data_set.PixelData = hashlib.shake_128(b"pixels").digest(length)
    path = folder / f"{length}.dcm"
    data_set.save_as(path)
    return path


def raw(port: int, certificates: Certificates, name: str = "client") -> RawPeer:
    """A client made of Python's own ssl, after its handshake."""
    context = ssl.create_default_context(cafile=certificates.ca)
    pair = certificates.pair(name)
    context.load_cert_chain(pair["certificate"], pair["private_key"])
    sock = socket.create_connection(("127.0.0.1", port), DEADLINE)
    return RawPeer(context.wrap_socket(sock, server_hostname="localhost"))


def tls_acceptor(
    certificates: Certificates, script: Callable[[RawPeer], None], receive_buffer: int = 0
) -> Acceptor:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    pair = certificates.pair("server")
    context.load_cert_chain(pair["certificate"], pair["private_key"])

    def secured(peer: RawPeer) -> None:
        with context.wrap_socket(peer.sock, server_side=True) as sock:
            script(RawPeer(sock))

    return Acceptor(secured, receive_buffer=receive_buffer)


# ---------------------------------------------------------------------- what it carries


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_both_versions(face: Face, received: Path, server_tls: TLS, client_tls: TLS, version: Any) -> None:
    only = replace(client_tls, minimum_version=version, maximum_version=version)
    with running(face, face.new_storage_scp(received, tls=server_tls)) as server:
        with face.connect(server.port, tls=only) as association:
            assert association.echo().status == 0
            session = association.tls
    assert session is not None
    assert session.version == f"TLSv{version}"
    assert session.cipher
    assert session.peer_names == ("localhost", "127.0.0.1")
    assert "O=trustme" in session.peer_subject
    assert session.peer_certificate[:1] == b"\x30"


def test_plain_associations_have_no_tls(face: Face, received: Path) -> None:
    with running(face, face.new_storage_scp(received)) as server, face.connect(server.port) as association:
        assert association.tls is None


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("length", [200_000, 5_000_000])
def test_objects_arrive_byte_for_byte(  # fixtures
    face: Face,
    received: Path,
    tmp_path: Path,
    ct: Path,
    server_tls: TLS,
    client_tls: TLS,
    length: int,
    version: Any,
) -> None:
    path = object_of(length, tmp_path, ct)
    only = replace(client_tls, minimum_version=version, maximum_version=version)
    with running(face, face.new_storage_scp(received, tls=server_tls), drain=DEADLINE) as server:
        report = face.send(server.port, [path, path], tls=only)
    assert report.ok
    (kept,) = received.iterdir()
    assert data_set_of(kept) == data_set_of(path)


def test_many_associations_at_once(face: Face, received: Path, server_tls: TLS, client_tls: TLS) -> None:
    with running(face, face.new_storage_scp(received, tls=server_tls), drain=DEADLINE) as server:
        associations = [face.connect(server.port, tls=client_tls) for _ in range(20)]
        assert [each.echo().status for each in associations] == [0] * 20
        for each in associations:
            each.release()


@pytest.mark.filterwarnings("default:.*fork.*:DeprecationWarning")
def test_worker_processes(face: Face, received: Path, server_tls: TLS, client_tls: TLS, ct: Path) -> None:
    with running(face, face.new_storage_scp(received, tls=server_tls, workers=2)) as server:
        for number in range(3):
            assert face.send(server.port, ct, tls=client_tls).ok
            assert [data_set_of(path) for path in received.iterdir()] == [data_set_of(ct)], number


@pytest.mark.parametrize("options", [{"window": 4}, {"parallel": 3}, {"rate": 2_000_000}], ids=str)
def test_ways_to_send(  # fixtures
    face: Face,
    received: Path,
    sample: Path,
    server_tls: TLS,
    client_tls: TLS,
    options: dict[str, Any],
) -> None:
    with running(
        face, face.new_storage_scp(received, tls=server_tls, max_window=4), drain=DEADLINE
    ) as server:
        report = face.send(server.port, sample, tls=client_tls, **options)
    assert report.ok
    assert len(list(received.iterdir())) == len(report.results) > 3


def test_workers(face: Face, received: Path, ct: Path, server_tls: TLS, client_tls: TLS) -> None:
    with running(face, face.new_storage_scp(received, tls=server_tls, workers=2), drain=DEADLINE) as server:
        with (
            face.connect(server.port, tls=client_tls) as one,
            face.connect(server.port, tls=client_tls) as two,
        ):
            assert one.echo().status == two.echo().status == 0
        assert face.send(server.port, [ct], tls=client_tls).ok
        with pytest.raises(dcmnet.TransportClosed, match="certificate"):
            face.connect(server.port, tls=replace(client_tls, certificate="", private_key=""))
    assert data_set_of(next(received.iterdir())) == data_set_of(ct)


def test_handlers_see_who_is_there(face: Face, server_tls: TLS, client_tls: TLS, ct: Path) -> None:
    seen: list[dcmnet.TLSSession | None] = []
    server = face.new_server(tls=server_tls)
    server.on_association(lambda request: seen.append(request.tls))
    server.on_store(lambda request: seen.append(request.tls))
    with running(face, server, drain=DEADLINE) as started:
        assert face.send(started.port, [ct], tls=client_tls).ok
    assert len(seen) == 2
    for session in seen:
        assert session is not None
        assert "CN=modality" in session.peer_subject
        assert session.peer_names == ("modality.example",)


def test_a_client_may_be_anonymous(face: Face, received: Path, certificates: Certificates) -> None:
    open_to_all = TLS(**certificates.pair("server"), verify="none")
    with running(face, face.new_storage_scp(received, tls=open_to_all)) as server:
        with face.connect(server.port, tls=TLS(ca_files=(certificates.ca,))) as association:
            assert association.echo().status == 0


def test_a_certificate_may_be_optional(face: Face, received: Path, certificates: Certificates) -> None:
    tls = TLS(**certificates.pair("server"), ca_files=(certificates.ca,), verify="optional")
    anonymous = TLS(ca_files=(certificates.ca,))
    stranger = replace(anonymous, **certificates.pair("stranger"))
    with running(face, face.new_storage_scp(received, tls=tls)) as server:
        with face.connect(server.port, tls=anonymous) as association:
            assert association.echo().status == 0
        with pytest.raises(dcmnet.TransportClosed, match=r"does not accept|closed|reset"):
            face.connect(server.port, tls=stranger)


def test_pending_bytes_are_found_without_a_poll(
    face: Face, received: Path, certificates: Certificates, server_tls: TLS
) -> None:
    """C-ECHO-RQs and a store in one record: most of it comes out of the TLS library's buffer."""
    with running(face, face.new_storage_scp(received, tls=server_tls), drain=DEADLINE) as server:
        with raw(server.port, certificates) as peer:
            peer.send(associate_rq())
            assert peer.read_pdu()[:1] == b"\x02"
            peer.send(ECHO * 180 + store())  # one record, longer than the first receive buffer
            assert [peer.read_status() for _ in range(181)] == [0] * 181


# ---------------------------------------------------------------------- who is not let in


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("stranger", "not accepted: .*(self-signed|local issuer).*; who signed it is not trusted"),
        ("expired", "not accepted: certificate has expired"),
        ("elsewhere", "not accepted: .*not valid for '127.0.0.1'"),
    ],
)
def test_a_server_that_is_not_who_it_should_be(  # fixtures
    face: Face, received: Path, certificates: Certificates, client_tls: TLS, name: str, match: str
) -> None:
    tls = TLS(**certificates.pair(name), verify="none")
    with running(face, face.new_storage_scp(received, tls=tls)) as server:
        with pytest.raises(dcmnet.TransportClosed, match=match) as caught:
            face.connect(server.port, tls=client_tls)
    assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)


def test_the_name_to_check_may_be_another(face: Face, received: Path, certificates: Certificates) -> None:
    server_tls = TLS(
        **certificates.pair("elsewhere"), verify="none", expected_server_name="elsewhere.example"
    )
    client_tls = TLS(ca_files=(certificates.ca,), server_name="elsewhere.example")
    with running(face, face.new_storage_scp(received, tls=server_tls)) as server:
        with face.connect(server.port, tls=client_tls) as association:
            assert association.echo().status == 0
        wrong = replace(client_tls, server_name="other.example", check_hostname=False)
        with pytest.raises(dcmnet.TransportClosed, match="does not know the host name"):
            face.connect(server.port, tls=wrong)


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize(
    ("name", "match"), [("", "certificate"), ("stranger", "does not accept this side's certificate")]
)
def test_a_client_that_is_not_let_in(  # fixtures
    face: Face,
    received: Path,
    certificates: Certificates,
    server_tls: TLS,
    name: str,
    match: str,
    version: Any,
) -> None:
    tls = TLS(ca_files=(certificates.ca,), minimum_version=version, maximum_version=version)
    if name:
        tls = replace(tls, **certificates.pair(name))
    with running(face, face.new_storage_scp(received, tls=server_tls)) as server:
        with pytest.raises(dcmnet.TransportClosed, match=match):
            face.connect(server.port, tls=tls)
        until(lambda: server.associations == 0)


def test_no_version_in_common(face: Face, received: Path, server_tls: TLS, client_tls: TLS) -> None:
    tls = replace(server_tls, maximum_version="1.2")
    with running(face, face.new_storage_scp(received, tls=tls)) as server:
        with pytest.raises(dcmnet.TransportClosed, match="no version of TLS in common"):
            face.connect(server.port, tls=replace(client_tls, minimum_version="1.3"))


def test_no_cipher_suite_in_common(face: Face, received: Path, server_tls: TLS, client_tls: TLS) -> None:
    suites = ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",)
    ours = replace(server_tls, maximum_version="1.2", ciphers=suites)
    theirs = replace(client_tls, maximum_version="1.2", ciphers=("ECDHE-RSA-AES256-GCM-SHA384",))
    with running(face, face.new_storage_scp(received, tls=ours)) as server:
        with pytest.raises(dcmnet.TransportClosed, match="no cipher suite in common"):
            face.connect(server.port, tls=theirs)


def test_a_plain_client_at_a_tls_port(
    face: Face, received: Path, server_tls: TLS, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "dcmnet"):
        with running(face, face.new_storage_scp(received, tls=server_tls)) as server:
            with pytest.raises(dcmnet.TransportClosed):
                face.connect(server.port)
            until(lambda: "the peer does not speak TLS" in caplog.text)


def test_a_tls_client_at_a_plain_port(face: Face, received: Path, client_tls: TLS) -> None:
    with running(face, face.new_storage_scp(received)) as server:
        with pytest.raises(dcmnet.TransportClosed, match="does not speak TLS"):
            face.connect(server.port, tls=client_tls)


def test_a_server_that_closes_at_once(face: Face, client_tls: TLS) -> None:
    with Acceptor(lambda peer: None) as acceptor:
        with pytest.raises(dcmnet.TransportClosed, match="closed the connection"):
            face.connect(acceptor.port, tls=client_tls)


# ---------------------------------------------------------------------- time


def test_a_silent_client_ends_at_its_deadline_and_delays_nobody(
    face: Face, received: Path, server_tls: TLS, client_tls: TLS, caplog: pytest.LogCaptureFixture
) -> None:
    server = face.new_storage_scp(received, tls=server_tls, timeouts=QUICK)
    with caplog.at_level(logging.WARNING, "dcmnet"), running(face, server) as started:
        silent = [RawPeer.connected(started.port) for _ in range(20)]
        silent.append(RawPeer.connected(started.port, bytes.fromhex("160301")))  # half a record
        with face.connect(started.port, tls=client_tls) as association:
            assert association.echo().status == 0
        for peer in silent:
            with peer:
                peer.read_end()
        assert "the TLS handshake timer of 1.5 s ran out" in caplog.text


@pytest.mark.parametrize("timer", ["connect", "acse"])
def test_a_silent_server_ends_at_the_deadline(face: Face, client_tls: TLS, timer: str) -> None:
    def silent(peer: RawPeer) -> None:
        while peer.sock.recv(4096):  # takes the ClientHello, and says nothing
            pass

    limit: Any = {timer: 0.4}
    with Acceptor(silent) as acceptor:
        with pytest.raises(dcmnet.DeadlineExceeded, match="TLS handshake") as caught:
            face.connect(acceptor.port, tls=client_tls, timeouts=replace(PATIENT, **limit))
        assert (caught.value.timer, caught.value.seconds) == ("TLS handshake", 0.4)


def test_a_handshake_under_way_ends_with_the_server(face: Face, received: Path, server_tls: TLS) -> None:
    with running(face, face.new_storage_scp(received, tls=server_tls)) as server:
        peer = RawPeer.connected(server.port)
        until(lambda: server.associations == 1)
        server.shutdown(0.0)
        with peer:
            peer.read_end()


# ---------------------------------------------------------------------- in the middle


def test_an_abort_is_seen_while_sending(
    face: Face, certificates: Certificates, client_tls: TLS, big_ct: Path
) -> None:
    def aborting(peer: RawPeer) -> None:
        assert peer.read_pdu()[:1] == b"\x01"
        peer.send(associate_ac([(1, EXPLICIT)]))
        peer.read(100_000)
        peer.send(ABORT)
        while peer.read(1 << 16):
            pass

    with tls_acceptor(certificates, aborting) as acceptor:
        report = face.send(acceptor.port, [big_ct], tls=client_tls)
    assert isinstance(report.results[0].error, dcmnet.AssociationAborted)


def test_a_peer_that_stops_reading(
    face: Face, certificates: Certificates, client_tls: TLS, big_ct: Path
) -> None:
    def stuck(peer: RawPeer) -> None:
        assert peer.read_pdu()[:1] == b"\x01"
        peer.send(associate_ac([(1, EXPLICIT)]))
        until(lambda: bool(ended))

    ended: list[bool] = []
    with tls_acceptor(certificates, stuck) as acceptor:
        report = face.send(acceptor.port, [big_ct], tls=client_tls, timeouts=replace(PATIENT, write=0.5))
        ended.append(True)
    error = report.results[0].error
    assert isinstance(error, dcmnet.DeadlineExceeded)
    assert error.timer == "write"


@pytest.mark.parametrize("how", ["close", "reset", "close_notify"])
def test_a_connection_lost_in_the_middle(  # fixtures
    face: Face,
    received: Path,
    certificates: Certificates,
    server_tls: TLS,
    caplog: pytest.LogCaptureFixture,
    how: str,
) -> None:
    half = p_data(3, 3, store_command()) + p_data(3, 0, ct_data_set(pixels=5000))
    with caplog.at_level(logging.WARNING, "dcmnet"):
        with running(face, face.new_storage_scp(received, tls=server_tls)) as server:
            peer = raw(server.port, certificates)
            peer.send(associate_rq(CT_CONTEXT))
            assert peer.read_pdu()[:1] == b"\x02"
            peer.send(half)
            if how == "reset":
                peer.reset()
            elif how == "close_notify":
                assert isinstance(peer.sock, ssl.SSLSocket)
                peer.sock.unwrap().close()
            else:
                peer.sock.shutdown(socket.SHUT_RDWR)  # without close_notify: the data set is cut short
                peer.close()
            until(lambda: server.associations == 0)
    assert not list(received.iterdir())
    assert "closed the connection" in caplog.text or "connection lost" in caplog.text


def test_garbage_in_the_middle(
    face: Face, received: Path, certificates: Certificates, server_tls: TLS, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "dcmnet"):
        with running(face, face.new_storage_scp(received, tls=server_tls)) as server:
            with raw(server.port, certificates) as peer:
                peer.send(associate_rq())
                assert peer.read_pdu()[:1] == b"\x02"
                with socket.socket(fileno=socket.dup(peer.sock.fileno())) as below:
                    below.sendall(bytes.fromhex("1703030020") + bytes(32))  # a record that nobody encrypted
                until(lambda: server.associations == 0)
    assert "TLS: " in caplog.text


def test_closing_says_goodbye(
    face: Face, received: Path, certificates: Certificates, server_tls: TLS
) -> None:
    with running(face, face.new_storage_scp(received, tls=server_tls), drain=DEADLINE) as server:
        with raw(server.port, certificates) as peer:
            peer.send(bytes.fromhex("07000000000400000000"))  # A-ABORT first: the server closes
            assert isinstance(peer.sock, ssl.SSLSocket)
            assert peer.sock.recv(1) == b""
            peer.sock.unwrap().close()  # raises SSLEOFError where no close_notify came


# ---------------------------------------------------------------------- settings


def test_settings_that_cannot_be_used_are_found_before_anything_is_opened(
    face: Face, received: Path, certificates: Certificates
) -> None:
    missing = TLS(certificate=certificates.folder / "missing.pem", verify="none")
    with pytest.raises(dcmnet.TLSSettingsError, match=r"missing\.pem: cannot be read: No such file"):
        face.connect(1, tls=missing)
    with pytest.raises(dcmnet.TLSSettingsError, match=r"missing\.pem"):
        face.start(face.new_storage_scp(received, tls=missing))
