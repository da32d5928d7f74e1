"""The options of TLS, as rows for the tables of every tool that has a network connection.

A tool adds one section, and gives `tls_settings(arguments)` to what it calls.
"""

from __future__ import annotations

from dcmnet._records import replace
from dcmnet.cli.options import ANY_TEXT, Arguments, Option, Section, UsageError

PROFILE_OPTIONS = (
    ("+pg", "--profile-8996", "8996", "BCP 195 RFC 8996 profile"),
    ("+pm", "--profile-8996-mod", "8996-mod", "modified BCP 195 RFC 8996 profile"),
    ("+py", "--profile-bcp195-nd", "bcp195-nd", "non-downgrading BCP 195 profile (retired)"),
    ("+px", "--profile-bcp195", "bcp195", "BCP 195 profile (retired)"),
    ("+pz", "--profile-bcp195-ex", "bcp195-ex", "extended BCP 195 profile (retired)"),
    ("+pb", "--profile-basic", "basic", "basic TLS profile, 3DES (retired)"),
    ("+pa", "--profile-aes", "aes", "AES TLS profile, AES-128-CBC (retired)"),
    ("+pn", "--profile-null", "null", "authentication without encryption (retired)"),
)

LISTS = ("--list-profiles", "--list-ciphers")
"""Options that print something and end the tool."""

OFFLINE = ("--verify-cert", "--is-root-cert")
"""Options of DCMTK's echoscu that Python's ssl module cannot do."""

_TITLE = "transport layer security (TLS) options"


def requestor_tls(*, anonymous: bool = True, offline: bool = False, beyond_dcmtk: bool = False) -> Section:
    """For a tool that connects to a peer.

    Args:
        anonymous: With `+tla`.
        offline: With `+vc` and `+rc`, which explain why they are not there.
        beyond_dcmtk: DCMTK's tool has no TLS.
    """
    needs = ("--enable-tls", "--anonymous-tls") if anonymous else ("--enable-tls",)
    rows = [
        *_enabling(anonymous=anonymous),
        *_files(needs),
        *_revocation(needs),
        *_suites(needs),
        *_seeds(needs),
        *_verification(needs, acceptor=False),
        _check_hostname(needs),
        *_requested_name(needs),
    ]
    if offline:
        rows.extend(_offline())
    if beyond_dcmtk:
        rows = [replace(row, beyond_dcmtk=True) for row in rows]
    return Section(_TITLE, tuple(rows), needs)


def acceptor_tls() -> Section:
    """For a tool that peers connect to."""
    needs = ("--enable-tls",)
    rows = (
        *_enabling(anonymous=False),
        *_files(needs),
        *_revocation(needs),
        *_suites(needs),
        _dh_parameters(needs),
        *_seeds(needs),
        *_verification(needs, acceptor=True),
        Option("", "--no-sni", (), "take every host name, or none", group="tls_expected", requires=needs),
        replace(_expected_name(needs), group="tls_expected"),
    )
    return Section(_TITLE, rows, needs)


def both_tls() -> Section:
    """For a tool that connects to a peer, and that peers connect to."""
    needs = ("--enable-tls",)
    rows = (
        *_enabling(anonymous=False),
        *_files(needs),
        *_revocation(needs),
        *_suites(needs),
        _dh_parameters(needs),
        *_seeds(needs),
        *_verification(needs, acceptor=True),
        _check_hostname(needs),
        *_requested_name(needs),
        _expected_name(needs),
    )
    return Section(_TITLE, rows, needs)


def _enabling(*, anonymous: bool) -> list[Option]:
    rows = [
        _one_of("tls", "none", "-tls", "--disable-tls", "plain TCP", default="none"),
        Option(
            "+tls",
            "--enable-tls",
            ("key-file", "certificate-file"),
            "TLS with this private key and certificate",
            dest="tls_files",
            group="tls",
        ),
    ]
    if anonymous:
        text = "TLS without a certificate of this side"
        rows.append(_one_of("tls", "anonymous", "+tla", "--anonymous-tls", text))
    return rows


def _files(needs: tuple[str, ...]) -> list[Option]:
    return [
        _one_of(
            "tls_password",
            "ask",
            "+ps",
            "--std-passwd",
            "ask for the password of the private key, if it has one",
            default="ask",
            requires=needs,
        ),
        Option(
            "+pw",
            "--use-passwd",
            ("password",),
            "the password; other users of this computer may see it",
            kind=ANY_TEXT,
            group="tls_password",
            secret=True,
            requires=needs,
        ),
        _one_of("tls_password", "none", "-pw", "--null-passwd", "an empty password", requires=needs),
        _one_of(
            "tls_format",
            "pem",
            "-pem",
            "--pem-keys",
            "files are PEM; that they are is found out in any case",
            default="pem",
            requires=needs,
        ),
        _one_of("tls_format", "der", "-der", "--der-keys", "files are DER; likewise", requires=needs),
        Option(
            "+cf",
            "--add-cert-file",
            ("file",),
            "trust who has a certificate signed by one in this file",
            repeatable=True,
            requires=needs,
        ),
        Option(
            "+cd",
            "--add-cert-dir",
            ("directory",),
            "the same with the files of a directory, named by hash",
            repeatable=True,
            requires=needs,
        ),
    ]


def _revocation(needs: tuple[str, ...]) -> list[Option]:
    return [
        Option(
            "+crl",
            "--add-crl-file",
            ("file",),
            "certificate revocation list; implies --enable-crl-vfy",
            repeatable=True,
            requires=needs,
        ),
        Option("+crv", "--enable-crl-vfy", (), "look the peer up in the revocation lists", requires=needs),
        Option("+cra", "--enable-crl-all", (), "look up the peer and all who signed for it", requires=needs),
    ]


def _suites(needs: tuple[str, ...]) -> list[Option]:
    profiles = [
        _one_of("tls_profile", name, short, long, text, default=PROFILE_OPTIONS[0][2], requires=needs)
        for short, long, name, text in PROFILE_OPTIONS
    ]
    return [
        Option("+ph", "--list-profiles", (), "print the TLS profiles and exit", exclusive=True),
        *profiles,
        Option("+cc", "--list-ciphers", (), "print the cipher suites and exit", exclusive=True),
        Option(
            "+cs",
            "--cipher",
            ("name",),
            "a cipher suite next to those of the profile",
            repeatable=True,
            requires=needs,
            conflicts_with=("--profile-bcp195-ex", "--profile-8996-mod"),
            check=_check_ciphers,
        ),
    ]


def _check_ciphers(arguments: Arguments) -> None:
    for name in arguments.cipher:
        if arguments.tls_profile == "8996" and name.endswith("_SHA"):
            raise UsageError(f"cipher suite {name} is not allowed with --profile-8996", "it uses SHA-1")
        if "_NULL_" in name and arguments.tls_profile != "null":
            raise UsageError(f"cipher suite {name} only allowed with --profile-null", "it does not encrypt")


def _dh_parameters(needs: tuple[str, ...]) -> Option:
    text = "Diffie-Hellman parameters"
    return Option("+dp", "--dhparam", ("file",), text, default_text="ffdhe2048 of RFC 7919", requires=needs)


def _seeds(needs: tuple[str, ...]) -> list[Option]:
    return [
        Option("+rs", "--seed", ("file",), "stir this file into the random numbers", requires=needs),
        Option("+ws", "--write-seed", (), "write random bytes into that file", requires=("--seed",)),
        Option("+wf", "--write-seed-file", ("file",), "write random bytes into this file", requires=needs),
    ]


def _verification(needs: tuple[str, ...], *, acceptor: bool) -> list[Option]:
    who = "tls_verify"
    rows = [
        _one_of(
            who,
            "required",
            "-rc",
            "--require-peer-cert",
            "verify the peer's certificate, and fail without one",
            default="required",
            requires=needs,
        )
    ]
    if acceptor:
        text = "verify the peer's certificate if it shows one"
        rows.append(_one_of(who, "optional", "-vc", "--verify-peer-cert", text, requires=needs))
    text = "do not verify the peer's certificate: anybody may be there"
    rows.append(_one_of(who, "none", "-ic", "--ignore-peer-cert", text, requires=needs))
    return rows


def _check_hostname(needs: tuple[str, ...]) -> Option:
    return Option(
        "",
        "--check-hostname",
        (),
        "the peer's certificate must be for its host name; without +cf and +cd trust whom the system trusts",
        requires=needs,
        conflicts_with=("--ignore-peer-cert",),
        beyond_dcmtk=True,
    )


def _requested_name(needs: tuple[str, ...]) -> list[Option]:
    return [
        Option(
            "",
            "--no-sni",
            (),
            "tell the peer no host name",
            group="tls_sni",
            requires=needs,
            conflicts_with=("--check-hostname",),
        ),
        Option(
            "", "--request-sni", ("name",), "tell the peer this host name", group="tls_sni", requires=needs
        ),
    ]


def _expected_name(needs: tuple[str, ...]) -> Option:
    return Option("", "--expect-sni", ("name",), "refuse who asks for another host name", requires=needs)


def _offline() -> tuple[Option, ...]:
    text = "not available: use `openssl verify`"
    return (
        Option("+vc", "--verify-cert", ("file",), text, exclusive=True),
        Option("+rc", "--is-root-cert", ("file",), text, exclusive=True),
    )


def _one_of(
    dest: str,
    const: object,
    short: str,
    long: str,
    text: str,
    *,
    default: object = None,
    requires: tuple[str, ...] = (),
) -> Option:
    return Option(
        short, long, (), text, dest=dest, const=const, default=default, group=dest, requires=requires
    )
