"""The options of TLS: what they stand for, which of them exclude each other, what is said of mistakes."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Any

import pytest

import dcmnet
from dcmnet.cli import tls_options
from dcmnet.cli.options import Arguments, Section, Tool, UsageError
from dcmnet.cli.parser import parse
from dcmnet.cli.tls_settings import tls_settings
from dcmnet.tls import PROFILES
from tests.certificates import PASSWORD, Certificates
from tests.unit.cli_runs import CT, HOST, run_cli

REQUESTOR = tls_options.requestor_tls()
ACCEPTOR = tls_options.acceptor_tls()
BOTH = tls_options.both_tls()
ON = ("+tls", "key", "cert")


def read(*argv: str, section: Section = REQUESTOR) -> Arguments:
    return parse(Tool("t", "p", (), (section,)), argv)


def settings(*argv: str, section: Section = REQUESTOR) -> dcmnet.TLS:
    tls = tls_settings(read(*argv, section=section))
    assert tls is not None
    return tls


@pytest.mark.parametrize("argv", [(), ("-tls",), (*ON, "-tls"), ("+tla", "--disable-tls")])
def test_plain(argv: tuple[str, ...]) -> None:
    assert tls_settings(read(*argv)) is None


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ((), {"certificate": "cert", "private_key": "key", "check_hostname": False, "server_name": ""}),
        (("+cf", "other"), {"ca_files": ("ca", "other")}),
        (("+cd", "folder"), {"ca_directories": ("folder",)}),
        (("+crl", "list"), {"crl_files": ("list",), "check_revocation": "leaf"}),
        (("+crv",), {"check_revocation": "leaf"}),
        (("+cra", "+crl", "list"), {"check_revocation": "chain"}),
        (("-ic",), {"verify": "none"}),
        (("-ic", "-rc"), {"verify": "required"}),
        (("+pw", "secret"), {"password": "secret"}),
        (("-pw",), {"password": ""}),
        (("+px",), {"profile": "bcp195", "ciphers": ()}),
        (("+px", "+pn"), {"profile": "null"}),
        (("--request-sni", "there"), {"server_name": "there"}),
        (("--no-sni",), {"server_name": ""}),
        (("--check-hostname",), {"server_name": None, "check_hostname": True}),
        (("--check-hostname", "--request-sni", "there"), {"server_name": "there", "check_hostname": True}),
        (("-der",), {"certificate": "cert"}),
    ],
)
def test_what_options_stand_for(argv: tuple[str, ...], expected: dict[str, Any]) -> None:
    tls = settings(*ON, "+cf", "ca", *argv)
    assert {name: getattr(tls, name) for name in expected} == expected


def test_anonymous() -> None:
    tls = settings("+tla", "-ic")
    assert (tls.certificate, tls.private_key, tls.verify) == ("", "", "none")


def test_cipher_suites_come_next_to_the_profile() -> None:
    name = "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384"
    assert settings(*ON, "-ic", "+cs", name).ciphers == (*PROFILES["8996"].ciphers, name)


@pytest.mark.parametrize("section", [ACCEPTOR, BOTH])
def test_acceptors(section: Section) -> None:
    argv = (*ON, "-vc", "+cf", "ca", "+dp", "dh", "--expect-sni", "here")
    tls = settings(*argv, section=section)
    assert (tls.verify, tls.dh_parameters, tls.expected_server_name) == ("optional", "dh", "here")


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (("-ic",), "--ignore-peer-cert only allowed with --enable-tls or --anonymous-tls"),
        (("+cf", "x"), "--add-cert-file only allowed with --enable-tls or --anonymous-tls"),
        (("+pa",), "--profile-aes only allowed with --enable-tls or --anonymous-tls"),
        (("+tls", "key"), "Missing value for option --enable-tls"),
        ((*ON, "+ws"), "--write-seed only allowed with --seed"),
        ((*ON, "+pz", "+cs", "x"), "--cipher not allowed with --profile-bcp195-ex"),
        ((*ON, "+pm", "+cs", "x"), "--cipher not allowed with --profile-8996-mod"),
        (
            (*ON, "+cs", "TLS_RSA_WITH_AES_128_CBC_SHA"),
            "cipher suite TLS_RSA_WITH_AES_128_CBC_SHA is not allowed with --profile-8996",
        ),
        (
            (*ON, "+px", "+cs", "TLS_RSA_WITH_NULL_SHA"),
            "cipher suite TLS_RSA_WITH_NULL_SHA only allowed with --profile-null",
        ),
        ((*ON, "-ic", "--check-hostname"), "--check-hostname not allowed with --ignore-peer-cert"),
        ((*ON, "--no-sni", "--check-hostname"), "--no-sni not allowed with --check-hostname"),
        (("+dp", "x"), "Unknown option +dp"),
        (("-vc",), "Unknown option -vc"),
    ],
)
def test_mistakes(argv: tuple[str, ...], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(*argv)
    assert str(caught.value) == text


def test_only_scus_may_be_anonymous() -> None:
    for section in (ACCEPTOR, BOTH):
        with pytest.raises(UsageError, match="Unknown option"):
            read("+tla", section=section)


def test_somebody_must_be_trusted() -> None:
    with pytest.raises(UsageError, match="no certificate is trusted") as caught:
        tls_settings(read("+tla"))
    assert "+cf (--add-cert-file)" in caught.value.hint


def test_the_password_is_asked_for_once_and_late(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return "secret"

    monkeypatch.setattr(getpass, "getpass", answer)
    password = settings(*ON, "-ic").password
    assert not asked
    assert callable(password)
    assert password() == password() == "secret"
    assert asked == ["Password of the private key key: "]


def test_nobody_is_there_to_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr(getpass, "getpass", nobody)
    password = settings(*ON, "-ic").password
    assert callable(password)
    with pytest.raises(UsageError, match="key has a password, and nobody is there to give it"):
        password()


def test_passwords_do_not_get_into_logs() -> None:
    assert read(*ON, "+pw", "secret").words() == ["--enable-tls", "key", "cert", "--use-passwd", "***"]


def test_seeds(tmp_path: Path) -> None:
    seed, other = tmp_path / "seed", tmp_path / "other"
    with pytest.raises(UsageError, match=r"cannot read the seed file .*seed: No such file"):
        settings(*ON, "-ic", "+rs", str(seed))
    seed.write_bytes(b"x" * 100)
    settings(*ON, "-ic", "+rs", str(seed), "+wf", str(other))
    assert len(other.read_bytes()) == 1024
    assert other.stat().st_mode & 0o077 == 0
    assert seed.read_bytes() == b"x" * 100
    settings(*ON, "-ic", "+rs", str(seed), "+ws")
    assert len(seed.read_bytes()) == 1024 and seed.read_bytes() != other.read_bytes()
    with pytest.raises(UsageError, match="cannot write the seed file"):
        settings(*ON, "-ic", "+wf", str(tmp_path))


# ---------------------------------------------------------------------- the tools


@pytest.mark.parametrize("tool", ["echoscu", "storescu", "dcmsend", "termscu", "storescp"])
def test_lists(capsys: pytest.CaptureFixture[str], tool: str) -> None:
    code, out, _ = run_cli(capsys, tool, "+ph")
    assert code == 0
    assert out.count("\n") == 1 + len(PROFILES)
    assert "+pg --profile-8996        BCP 195 RFC 8996 TLS Profile (TLS 1.2 to 1.3)" in out
    assert "+pz --profile-bcp195-ex   Extended BCP 195 TLS Profile (TLS 1.2, retired)" in out
    code, out, _ = run_cli(capsys, tool, "--list-ciphers")
    assert code == 0
    assert "  TLS_AES_256_GCM_SHA384\n" in out
    assert "  TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\n" in out


@pytest.mark.parametrize("option", ["+vc", "+rc"])
def test_what_python_cannot_do(capsys: pytest.CaptureFixture[str], option: str) -> None:
    code, _, err = run_cli(capsys, "echoscu", option, "cert.pem")
    assert code == 1
    assert "is not available: Python's ssl module" in err
    assert "openssl verify" in err


def words(certificates: Certificates, name: str) -> tuple[object, ...]:
    pair = certificates.pair(name)
    return ("+tls", pair["private_key"], pair["certificate"], "+cf", certificates.ca)


@pytest.fixture
def node(certificates: Certificates, tmp_path: Path) -> Any:
    tls = dcmnet.TLS(**certificates.pair("server"), ca_files=(certificates.ca,))
    with dcmnet.StorageSCP(tmp_path, tls=tls) as server:
        yield server.start(0)


def test_echoscu_and_storescu(
    capsys: pytest.CaptureFixture[str], node: dcmnet.StorageSCP, certificates: Certificates, tmp_path: Path
) -> None:
    secure = words(certificates, "client")
    assert run_cli(capsys, "echoscu", HOST, node.port, *secure)[0] == 0
    assert run_cli(capsys, "echoscu", HOST, node.port, *secure, "--check-hostname")[0] == 0
    locked = (*words(certificates, "locked"), "+pw", PASSWORD)
    assert run_cli(capsys, "storescu", HOST, node.port, *locked, CT)[0] == 0
    assert len(list(tmp_path.iterdir())) == 1


def test_debug_shows_what_was_agreed_on(
    capsys: pytest.CaptureFixture[str], node: dcmnet.StorageSCP, certificates: Certificates
) -> None:
    _, _, err = run_cli(capsys, "echoscu", "-d", HOST, node.port, *words(certificates, "client"))
    assert "TLSSession(version='TLSv1.3', cipher='TLS_" in err


@pytest.mark.parametrize("tool", ["echoscu", "storescu"])
@pytest.mark.parametrize(
    ("name", "match"), [("stranger", "does not accept this side's certificate"), ("nobody", "cannot be read")]
)
def test_failures(
    capsys: pytest.CaptureFixture[str],
    node: dcmnet.StorageSCP,
    certificates: Certificates,
    tool: str,
    name: str,
    match: str,
) -> None:
    files = (CT,) if tool == "storescu" else ()
    code, _, err = run_cli(capsys, tool, HOST, node.port, *words(certificates, name), *files)
    assert code == 1
    assert match in err
    assert "Traceback" not in err


def test_storescp_says_what_it_needs(capsys: pytest.CaptureFixture[str], certificates: Certificates) -> None:
    code, _, err = run_cli(capsys, "storescp", 0, *words(certificates, "nobody"))
    assert code == 1
    assert "nobody.pem: cannot be read" in err
    code, _, err = run_cli(capsys, "storescp", 0, *words(certificates, "server")[:3])
    assert code == 1
    assert "no certificate is trusted" in err
