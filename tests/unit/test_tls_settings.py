"""From TLS settings to a context: what is set, and what is said where that cannot be."""

from __future__ import annotations

import datetime
import ssl
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from dcmnet import TLS, TLSSettingsError
from dcmnet._net.tls_context import acceptor_context, cipher_suites, openssl_name, requestor_context
from dcmnet._net.tls_files import DH_PARAMETERS, FFDHE2048, as_pem
from dcmnet.storage.querying import receiving_node
from dcmnet.tls import PROFILES
from tests.certificates import PASSWORD, Certificates

ANYBODY = TLS(verify="none")


def names_of(context: ssl.SSLContext) -> list[str]:
    return [suite["name"] for suite in context.get_ciphers() if not suite["name"].startswith("TLS_")]


def opened(certificates: Certificates, name: str, **more: Any) -> TLS:
    return TLS(**certificates.pair(name), verify="none", **more)


# ---------------------------------------------------------------------- what is set


def test_a_requestor_checks_everything_unless_told_otherwise(certificates: Certificates) -> None:
    context = requestor_context(TLS(ca_files=(certificates.ca,)))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.maximum_version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.MAXIMUM_SUPPORTED)
    assert len(context.get_ca_certs()) == 1
    assert context.options & ssl.OP_NO_RENEGOTIATION


def test_without_a_ca_a_requestor_trusts_the_system_only_with_the_host_name() -> None:
    assert requestor_context(TLS()).check_hostname
    with pytest.raises(TLSSettingsError, match="ca_files: say who signs the peer's certificate"):
        requestor_context(TLS(check_hostname=False))


def test_nobody_need_be_verified() -> None:
    context = requestor_context(ANYBODY)
    assert context.verify_mode is ssl.CERT_NONE
    assert not context.check_hostname


def test_an_acceptor_keeps_no_sessions(certificates: Certificates) -> None:
    context = acceptor_context(replace(opened(certificates, "server"), ca_files=(certificates.ca,)))
    assert context.num_tickets == 0
    assert context.options & ssl.OP_NO_TICKET
    assert context.options & ssl.OP_CIPHER_SERVER_PREFERENCE


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_profiles(name: str) -> None:
    profile = PROFILES[name]
    newer, older = cipher_suites()
    here = [openssl_name(each) for each in profile.ciphers if each in older]
    if not here:
        with pytest.raises(TLSSettingsError, match=f"none of the cipher suites of '{name}'"):
            requestor_context(replace(ANYBODY, profile=name))
        return
    context = requestor_context(replace(ANYBODY, profile=name))
    assert names_of(context) == here
    versions = {"1.0": ssl.TLSVersion.TLSv1, "1.2": ssl.TLSVersion.TLSv1_2}
    assert context.minimum_version is versions[profile.minimum_version]
    assert (context.maximum_version is ssl.TLSVersion.TLSv1_2) is (profile.maximum_version == "1.2")
    assert newer


def test_the_profiles_in_force_come_first() -> None:
    assert [name for name, profile in PROFILES.items() if not profile.retired] == ["8996", "8996-mod"]


def test_versions_and_cipher_suites_in_place_of_the_profile() -> None:
    rfc, openssl = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"
    tls = replace(ANYBODY, minimum_version="1.2", maximum_version="1.2", ciphers=(rfc, openssl))
    context = requestor_context(tls)
    assert names_of(context) == [openssl_name(rfc), openssl]
    assert context.minimum_version is context.maximum_version is ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("rfc", "openssl"),
    [
        ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
        ("TLS_RSA_WITH_AES_128_CBC_SHA", "AES128-SHA"),
        ("TLS_RSA_WITH_3DES_EDE_CBC_SHA", "DES-CBC3-SHA"),
        ("TLS_RSA_WITH_NULL_SHA", "NULL-SHA"),
        ("TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "DHE-RSA-CHACHA20-POLY1305"),
        ("TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8", "ECDHE-ECDSA-AES256-CCM8"),
        ("TLS_ECDHE_ECDSA_WITH_AES_256_CCM", "ECDHE-ECDSA-AES256-CCM"),
        ("TLS_ECDHE_RSA_WITH_CAMELLIA_256_CBC_SHA384", "ECDHE-RSA-CAMELLIA256-SHA384"),
        ("TLS_ECDHE_RSA_WITH_ARIA_128_GCM_SHA256", "ECDHE-ARIA128-GCM-SHA256"),
        ("TLS_DH_anon_WITH_AES_128_CBC_SHA", "ADH-AES128-SHA"),
        ("TLS_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"),
        ("AES128-SHA", "AES128-SHA"),
    ],
)
def test_names_of_cipher_suites(rfc: str, openssl: str) -> None:
    assert openssl_name(rfc) == openssl


def test_names_of_cipher_suites_are_openssls_own() -> None:
    """Every suite that is listed, against the list that OpenSSL's tool prints."""
    command = ("openssl", "ciphers", "-stdname", "ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    pairs = {line.split()[0]: line.split()[2] for line in printed.splitlines()}
    newer, older = cipher_suites()
    assert len(older) > 20
    for name in (*newer, *older):
        assert pairs[name] == openssl_name(name)


def test_keys_in_der_and_behind_passwords(certificates: Certificates) -> None:
    requestor_context(opened(certificates, "der"))
    requestor_context(opened(certificates, "locked", password=PASSWORD))
    requestor_context(opened(certificates, "locked", password=lambda: PASSWORD))


def test_nobody_is_asked_for_a_password_without_need(certificates: Certificates) -> None:
    def ask() -> str:
        raise AssertionError("asked")

    requestor_context(opened(certificates, "client", password=ask))


def test_certificate_and_key_in_one_file(certificates: Certificates, tmp_path: Path) -> None:
    pair = certificates.pair("client")
    both = tmp_path / "both.pem"
    both.write_bytes(pair["certificate"].read_bytes() + pair["private_key"].read_bytes())
    requestor_context(TLS(certificate=both, verify="none"))


def test_a_ca_in_der(certificates: Certificates, tmp_path: Path) -> None:
    der = tmp_path / "ca.der"
    der.write_bytes(ssl.PEM_cert_to_DER_cert(certificates.ca.read_text()))
    assert len(requestor_context(TLS(ca_files=(der,))).get_ca_certs()) == 1


def test_a_ca_directory(certificates: Certificates, tmp_path: Path) -> None:
    (tmp_path / "12345678.0").write_bytes(certificates.ca.read_bytes())
    requestor_context(TLS(ca_directories=(tmp_path,), check_hostname=False))


def test_dh_parameters(certificates: Certificates, tmp_path: Path) -> None:
    file = tmp_path / "dh.pem"
    file.write_text(FFDHE2048)
    acceptor_context(opened(certificates, "server", dh_parameters=file))
    with as_pem(file, DH_PARAMETERS) as name:
        assert name == str(file)


def test_temporary_files_are_private_and_gone(certificates: Certificates) -> None:
    with as_pem(certificates.pair("der")["private_key"], "PRIVATE KEY") as name:
        path = Path(name)
        assert path.stat().st_mode & 0o077 == 0
        assert "RSA PRIVATE KEY" in path.read_text()
    assert not path.exists()


@pytest.mark.parametrize(
    ("key", "label"),
    [
        (bytes.fromhex("3082 04be 020100 300d"), "PRIVATE KEY"),
        (bytes.fromhex("3082 04a4 020100 0282"), "RSA PRIVATE KEY"),
        (bytes.fromhex("3077 020101 0420"), "EC PRIVATE KEY"),
        (bytes.fromhex("3082 0500 3050 0609"), "ENCRYPTED PRIVATE KEY"),
        (bytes.fromhex("30"), "PRIVATE KEY"),
    ],
)
def test_kinds_of_keys_in_der(tmp_path: Path, key: bytes, label: str) -> None:
    file = tmp_path / "key"
    file.write_bytes(key)
    with as_pem(file, "PRIVATE KEY") as name:
        assert Path(name).read_text().startswith(f"-----BEGIN {label}-----\n")


# ---------------------------------------------------------------------- what is said


def wrong(name: str, tls: Callable[[Certificates, Path], TLS], match: str) -> Any:
    return pytest.param(tls, match, id=name)


MISTAKES = [
    wrong(
        "no file",
        lambda c, t: TLS(certificate=t / "none.pem", verify="none"),
        r"none\.pem: cannot be read: No such",
    ),
    wrong("a folder", lambda c, t: TLS(certificate=t, verify="none"), "cannot be read: Is a directory"),
    wrong("no CA file", lambda c, t: TLS(ca_files=(t / "ca.pem",)), r"ca\.pem: cannot be read"),
    wrong("no CA folder", lambda c, t: TLS(ca_directories=(t / "cas",)), r"cas: cannot be read: No such"),
    wrong("names without hash", lambda c, t: TLS(ca_directories=(t,)), "run `openssl rehash` on it"),
    wrong(
        "a key in place of the certificate",
        lambda c, t: TLS(certificate=c.pair("client")["private_key"], verify="none"),
        r"client-key\.pem: has no certificate in it",
    ),
    wrong(
        "a certificate without its key",
        lambda c, t: TLS(certificate=c.pair("client")["certificate"], verify="none"),
        r"client\.pem: has no private key in it",
    ),
    wrong(
        "a key without its certificate",
        lambda c, t: TLS(private_key=c.pair("client")["private_key"], verify="none"),
        "private_key: a key without a certificate",
    ),
    wrong(
        "somebody else's key",
        lambda c, t: replace(opened(c, "client"), private_key=c.pair("server")["private_key"]),
        r"server-key\.pem: this private key does not belong to the certificate .*client\.pem",
    ),
    wrong("wrong password", lambda c, t: opened(c, "locked", password="no"), "the password is wrong"),
    wrong("empty password", lambda c, t: opened(c, "locked", password=""), "the password is wrong"),
    wrong("long password", lambda c, t: opened(c, "locked", password="x" * 2000), "the password is wrong"),
    wrong("no password", lambda c, t: opened(c, "locked"), "is encrypted: give its password"),
    wrong("no such profile", lambda c, t: TLS(profile="9999"), "profile: '9999' is not one of 8996, "),
    wrong(
        "no such cipher suite",
        lambda c, t: TLS(ciphers=("TLS_ROT13",)),
        "ciphers: 'TLS_ROT13' is not a cipher suite of OpenSSL",
    ),
    wrong(
        "no such version",
        lambda c, t: TLS(minimum_version="3.0"),  # type: ignore[arg-type]  # that is the mistake
        "minimum_version: '3.0' is not one of 1.0, 1.1, 1.2, 1.3",
    ),
    wrong(
        "versions the wrong way round",
        lambda c, t: TLS(minimum_version="1.3", maximum_version="1.2"),
        "TLS 1.3 is newer than the maximum, TLS 1.2",
    ),
    wrong(
        "no such mode",
        lambda c, t: TLS(verify="maybe"),  # type: ignore[arg-type]  # that is the mistake
        "verify: 'maybe' is not one of none, optional, required",
    ),
    wrong(
        "no such check of revocation",
        lambda c, t: TLS(ca_files=(c.ca,), check_revocation="all"),  # type: ignore[arg-type]  # likewise
        "check_revocation: 'all' is not one of",
    ),
    wrong(
        "a name to check, and none to check it with",
        lambda c, t: TLS(ca_files=(c.ca,), server_name=""),
        "server_name: without a name there is none to check",
    ),
    wrong(
        "a CRL that is none", lambda c, t: TLS(crl_files=(c.ca,), ca_files=(c.ca,)), "has no certificate rev"
    ),
]


@pytest.mark.parametrize(("tls", "match"), MISTAKES)
def test_mistakes(
    certificates: Certificates, tmp_path: Path, tls: Callable[[Certificates, Path], TLS], match: str
) -> None:
    with pytest.raises(TLSSettingsError, match=match) as caught:
        requestor_context(tls(certificates, tmp_path))
    assert PASSWORD not in str(caught.value)
    assert caught.value.name and caught.value.why


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"\x30\x03\x02\x01\x00", b"-----BEGIN CERTIFICATE-----\nAA"]
)
def test_files_that_are_something_else(certificates: Certificates, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "broken"
    file.write_bytes(content)
    key = certificates.pair("client")["private_key"]
    with pytest.raises(TLSSettingsError, match="broken: "):
        requestor_context(TLS(certificate=file, private_key=key, verify="none"))
    with pytest.raises(TLSSettingsError, match="broken: "):
        requestor_context(TLS(ca_files=(file,)))
    with pytest.raises(TLSSettingsError, match="broken: "):
        acceptor_context(opened(certificates, "server", dh_parameters=file))


def test_a_file_that_never_ends() -> None:
    with pytest.raises(TLSSettingsError, match="/dev/zero: is too long"):
        requestor_context(TLS(ca_files=("/dev/zero",)))


def test_weak_keys(certificates: Certificates, tmp_path: Path) -> None:
    """The profiles in force want RSA keys of 2048 bits."""
    key, certificate = tmp_path / "weak-key.pem", tmp_path / "weak.pem"
    command = "openssl req -x509 -newkey rsa:1024 -nodes -days 1 -subj /CN=weak -batch -keyout".split()
    subprocess.run([*command, key, "-out", certificate], check=True, capture_output=True)
    tls = TLS(certificate=certificate, private_key=key, verify="none")
    with pytest.raises(TLSSettingsError, match=r"weak\.pem: too weak for the TLS profile"):
        requestor_context(tls)
    requestor_context(replace(tls, profile="bcp195"))


@pytest.mark.parametrize(
    ("tls", "match"),
    [(TLS(), "certificate: a server needs one"), (TLS(ca_files=("x",)), "certificate: a server needs one")],
)
def test_mistakes_of_an_acceptor(tls: TLS, match: str) -> None:
    with pytest.raises(TLSSettingsError, match=match):
        acceptor_context(tls)


def test_an_acceptor_that_verifies_must_know_whom_to_trust(certificates: Certificates) -> None:
    with pytest.raises(TLSSettingsError, match="ca_files: say who signs the certificates of clients"):
        acceptor_context(TLS(**certificates.pair("server")))


def test_objects_of_a_move_come_back_as_securely_as_they_were_asked_for(tmp_path: Path) -> None:
    node, _ = receiving_node(tmp_path, "HERE", 104, {"tls": ANYBODY})
    assert node.tls is ANYBODY


def test_passwords_are_not_shown() -> None:
    assert "secret" not in repr(TLS(password="secret"))
    assert "secret" not in str(TLS(password="secret"))


def test_settings_are_frozen_and_can_be_compared() -> None:
    tls = TLS(certificate="a")
    assert tls == TLS(certificate="a") != TLS(certificate="b")
    with pytest.raises(AttributeError):
        tls.certificate = "b"  # type: ignore[misc]  # that is the point


def test_a_program_without_tls_does_not_load_ssl() -> None:
    code = "import dcmnet, sys; dcmnet.connect; dcmnet.Server(); sys.exit('ssl' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ---------------------------------------------------------------------- with revocation lists


def test_revocation(certificates: Certificates, tmp_path: Path) -> None:
    """A handshake in memory against a certificate that is, and one that is not, in the list."""
    ca = x509.load_pem_x509_certificate(certificates.ca.read_bytes())
    key = serialization.load_pem_private_key((certificates.folder / "ca-key.pem").read_bytes(), None)
    revoked = x509.load_pem_x509_certificate(certificates.pair("elsewhere")["certificate"].read_bytes())
    now = datetime.datetime.now(datetime.UTC)
    entry = x509.RevokedCertificateBuilder().serial_number(revoked.serial_number).revocation_date(now).build()
    crl = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ca.subject)
        .last_update(now - datetime.timedelta(days=1))
        .next_update(now + datetime.timedelta(days=1))
        .add_revoked_certificate(entry)
        .sign(key, hashes.SHA256())  # type: ignore[arg-type]  # an RSA key
    )
    for encoding, name in ((serialization.Encoding.PEM, "crl.pem"), (serialization.Encoding.DER, "crl.der")):
        file = tmp_path / name
        file.write_bytes(crl.public_bytes(encoding))
        tls = TLS(ca_files=(certificates.ca,), check_hostname=False, server_name="")
        checking = replace(tls, crl_files=(file,), check_revocation="leaf")
        assert _handshake(checking, opened(certificates, "server")) == ""
        assert _handshake(tls, opened(certificates, "elsewhere")) == ""
        assert "certificate revoked" in _handshake(checking, opened(certificates, "elsewhere"))


def _handshake(client: TLS, server: TLS) -> str:
    """What the client says of a handshake in memory; nothing when it went well."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = requestor_context(client).wrap_bio(back, there)
    two = acceptor_context(server).wrap_bio(there, back, server_side=True)
    for _ in range(6):
        for end in (one, two):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLCertVerificationError as error:
                return error.verify_message
    assert one.version() is not None
    return ""
