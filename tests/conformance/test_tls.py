"""TLS with DCMTK's echoscu, storescu and storescp, in both directions, with TLS 1.2 and 1.3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dcmnet
from tests.certificates import PASSWORD, Certificates
from tests.conformance.peers import (
    DCMNET,
    HOST,
    Face,
    Folder,
    Process,
    data_set_bytes,
    eventually,
    listening,
    run,
)

VERSIONS = pytest.mark.parametrize("version", ["1.2", "1.3"])

# The extended BCP 195 profile of DCMTK has TLS 1.2 only.
ONLY = {"1.2": ("+pz",), "1.3": ()}


def options(certificates: Certificates, name: str, *more: object) -> tuple[str, ...]:
    """`+tls` with the key and the certificate of a name; the same for dcmnet's tools and DCMTK's."""
    pair = certificates.pair(name)
    return ("+tls", str(pair["private_key"]), str(pair["certificate"]), *map(str, more))


def trusting(certificates: Certificates, name: str) -> tuple[str, ...]:
    return options(certificates, name, "+cf", certificates.ca)


def settings(certificates: Certificates, name: str, version: Any = None) -> dcmnet.TLS:
    return dcmnet.TLS(
        **certificates.pair(name),
        ca_files=(certificates.ca,),
        minimum_version=version,
        maximum_version=version,
    )


@pytest.fixture(scope="module")
def dcmtk_scp(
    certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Process, Folder]]:
    """DCMTK's storescp, which wants a certificate of every client."""
    folder = tmp_path_factory.mktemp("dcmtk-storescp")
    log = tmp_path_factory.mktemp("log") / "storescp.log"
    command: tuple[str | Path, ...]
    command = ("storescp", "-v", "+xa", "+B", "-dhl", "-od", folder, *trusting(certificates, "server"))
    with listening(lambda port: (*command, str(port)), log) as process:
        yield process, Folder(folder)


@pytest.fixture(scope="module")
def dcmnet_scp(
    certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Process, Folder]]:
    """`dcmnet storescp`, likewise."""
    folder = tmp_path_factory.mktemp("dcmnet-storescp")
    log = tmp_path_factory.mktemp("log") / "storescp.log"
    command: tuple[str | Path, ...]
    command = (*DCMNET, "storescp", "-d", "--bind", HOST, "-od", folder, *trusting(certificates, "server"))
    with listening(lambda port: (*command, str(port)), log) as process:
        yield process, Folder(folder)


# ---------------------------------------------------------------------- dcmnet calls


@VERSIONS
def test_both_faces_send_to_storescp(
    dcmtk_scp: tuple[Process, Folder], face: Face, certificates: Certificates, large: Path, version: str
) -> None:
    tls = settings(certificates, "client", version)
    assert face.echo(dcmtk_scp[0].port, tls=tls) == 0
    report = face.send(dcmtk_scp[0].port, [large], tls=tls)
    assert report.ok
    assert data_set_bytes(dcmtk_scp[1].take_one()) == data_set_bytes(large.read_bytes())


def test_the_tools_call_storescp(
    dcmtk_scp: tuple[Process, Folder], certificates: Certificates, objects: dict[str, Path]
) -> None:
    port, path = str(dcmtk_scp[0].port), objects["explicit_little"]
    said = run(*DCMNET, "echoscu", "-v", *trusting(certificates, "client"), HOST, port)
    assert "Received Echo Response (Success)" in said
    run(*DCMNET, "storescu", *options(certificates, "locked", "-ic", "+pw", PASSWORD), HOST, port, path)
    assert data_set_bytes(dcmtk_scp[1].take_one()) == data_set_bytes(path.read_bytes())


def test_storescp_wants_a_certificate(dcmtk_scp: tuple[Process, Folder], certificates: Certificates) -> None:
    said = run(*DCMNET, "echoscu", "+tla", "+cf", certificates.ca, HOST, str(dcmtk_scp[0].port), expect=1)
    assert "the peer requires a certificate of this side" in said


def test_storescp_wants_another_certificate(
    dcmtk_scp: tuple[Process, Folder], certificates: Certificates
) -> None:
    said = run(
        *DCMNET, "echoscu", *trusting(certificates, "stranger"), HOST, str(dcmtk_scp[0].port), expect=1
    )
    assert "the peer does not accept this side's certificate" in said


def test_the_certificate_of_storescp_is_verified(
    dcmtk_scp: tuple[Process, Folder], certificates: Certificates
) -> None:
    command = (*DCMNET, "echoscu", *options(certificates, "client", "+cf", certificates.other_ca))
    said = run(*command, HOST, str(dcmtk_scp[0].port), expect=1)
    assert "the peer's certificate was not accepted" in said


def test_storescp_without_tls(certificates: Certificates, tmp_path: Path) -> None:
    with listening(lambda port: ("storescp", "--ignore", str(port)), tmp_path / "log") as process:
        command = (*DCMNET, "echoscu", *trusting(certificates, "client"))
        said = run(*command, HOST, str(process.port), expect=1)
    assert "speak TLS" in said  # it closes, or answers a ClientHello with an A-ABORT


@pytest.mark.parametrize("profile", ["+py", "+px", "+pz", "+pa"])
def test_retired_profiles_with_storescp(certificates: Certificates, tmp_path: Path, profile: str) -> None:
    server = (*trusting(certificates, "server"), profile)
    with listening(lambda port: ("storescp", "--ignore", *server, str(port)), tmp_path / "log") as process:
        run(*DCMNET, "echoscu", *trusting(certificates, "client"), profile, HOST, str(process.port))


# ---------------------------------------------------------------------- DCMTK calls


@VERSIONS
def test_both_faces_receive_from_storescu(
    face: Face, certificates: Certificates, objects: dict[str, Path], tmp_path: Path, version: str
) -> None:
    folder = tmp_path / "received"
    seen: list[dcmnet.TLSSession | None] = []
    folder.mkdir()
    server = face.api.StorageSCP(folder, tls=settings(certificates, "server"))
    server.on_association(lambda request: seen.append(request.tls))
    secure = (*trusting(certificates, "client"), *ONLY[version])
    with face.serving(server):
        run("echoscu", *secure, HOST, str(server.port))
        run("storescu", "-xe", *secure, HOST, str(server.port), objects["explicit_little"])
    assert len(Folder(folder).take()) == 1
    assert [session.version if session else "" for session in seen] == [f"TLSv{version}"] * 2
    assert all(session and "CN=modality" in session.peer_subject for session in seen)


@VERSIONS
def test_storescu_sends_to_the_tool(
    dcmnet_scp: tuple[Process, Folder], certificates: Certificates, large: Path, version: str
) -> None:
    secure = (*options(certificates, "client", "-ic"), *ONLY[version])
    run("storescu", "-xe", *secure, HOST, str(dcmnet_scp[0].port), large)
    assert data_set_bytes(dcmnet_scp[1].take_one()) == data_set_bytes(large.read_bytes())
    assert f"TLSSession(version='TLSv{version}'" in dcmnet_scp[0].said()


def test_the_tool_wants_a_certificate(dcmnet_scp: tuple[Process, Folder], certificates: Certificates) -> None:
    run("echoscu", "+tla", "-ic", HOST, str(dcmnet_scp[0].port), expect=None)
    eventually(lambda: "the peer has shown no certificate" in dcmnet_scp[0].said(), "word of it")
    run("echoscu", *options(certificates, "stranger", "-ic"), HOST, str(dcmnet_scp[0].port), expect=None)
    eventually(lambda: "the peer's certificate was not accepted" in dcmnet_scp[0].said(), "word of it")


def test_echoscu_without_tls(dcmnet_scp: tuple[Process, Folder]) -> None:
    run("echoscu", HOST, str(dcmnet_scp[0].port), expect=None)
    eventually(lambda: "the peer does not speak TLS" in dcmnet_scp[0].said(), "word of it")


@pytest.mark.parametrize("profile", ["+py", "+px", "+pz", "+pa"])
def test_retired_profiles_of_echoscu(certificates: Certificates, tmp_path: Path, profile: str) -> None:
    server = (*DCMNET, "storescp", "--ignore", "--bind", HOST, *trusting(certificates, "server"), profile)
    with listening(lambda port: (*server, str(port)), tmp_path / "log") as process:
        run("echoscu", *trusting(certificates, "client"), profile, HOST, str(process.port))
