"""From the options of TLS to its settings, and what these options print."""

from __future__ import annotations

from dcmnet.cli.options import Arguments, UsageError
from dcmnet.cli.tls_options import OFFLINE, PROFILE_OPTIONS
from dcmnet.tls import PROFILES, TLS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

SEED_LENGTH = 1024
"""Bytes that are written to a seed file."""

MOST_OF_A_SEED = 1 << 20
"""Bytes that are read of one."""


def tls_settings(arguments: Arguments) -> TLS | None:
    """What the options of `tls_options` stand for; None for plain TCP. Call it once.

    Raises:
        UsageError: They leave open whom to trust; a seed file cannot be used.
    """
    enabled = "--enable-tls" in arguments
    if not enabled and "--anonymous-tls" not in arguments:
        return None
    _refuse_trusting_nobody(arguments)
    _use_seeds(arguments)
    key, certificate = arguments.tls_files if enabled else ("", "")
    return TLS(
        certificate=certificate,
        private_key=key,
        password=_password(arguments, key),
        ca_files=arguments.add_cert_file,
        ca_directories=arguments.add_cert_dir,
        crl_files=arguments.add_crl_file,
        check_revocation=_revocation(arguments),
        verify=arguments.tls_verify,
        check_hostname="--check-hostname" in arguments,
        server_name=_server_name(arguments),
        expected_server_name=getattr(arguments, "expect_sni", None) or "",
        profile=arguments.tls_profile,
        ciphers=(*PROFILES[arguments.tls_profile].ciphers, *arguments.cipher) if arguments.cipher else (),
        dh_parameters=getattr(arguments, "dhparam", None) or "",
    )


def _refuse_trusting_nobody(arguments: Arguments) -> None:
    trusts = arguments.add_cert_file or arguments.add_cert_dir or "--check-hostname" in arguments
    if not trusts and arguments.tls_verify != "none":
        raise UsageError(
            "no certificate is trusted, so that every peer would be refused",
            "+cf (--add-cert-file) names one, -ic (--ignore-peer-cert) takes any peer",
        )


def _password(arguments: Arguments, key: str) -> str | Callable[[], str]:
    if "--use-passwd" in arguments:
        password: str = arguments.use_passwd
        return password
    if "--null-passwd" in arguments:
        return ""
    return _Asker(key)


class _Asker:
    """Asks at the terminal, once, when somebody needs to know."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._answer: str | None = None

    def __call__(self) -> str:
        if self._answer is None:
            import getpass

            try:
                self._answer = getpass.getpass(f"Password of the private key {self._key}: ")
            except EOFError:
                why = f"{self._key} has a password, and nobody is there to give it"
                raise UsageError(why, "+pw (--use-passwd) gives it") from None
        return self._answer


def _revocation(arguments: Arguments) -> Literal["none", "leaf", "chain"]:
    if arguments.enable_crl_all:
        return "chain"
    return "leaf" if arguments.enable_crl_vfy or arguments.add_crl_file else "none"


def _server_name(arguments: Arguments) -> str | None:
    """The name to ask for: the one given, None for that of the host where it is checked, else none."""
    if "--request-sni" in arguments:
        name: str = arguments.request_sni
        return name
    return None if "--check-hostname" in arguments else ""


def _use_seeds(arguments: Arguments) -> None:
    if arguments.seed is not None:
        _read_seed(arguments.seed)
    target = arguments.seed if arguments.write_seed else arguments.write_seed_file
    if target is not None:
        _write_seed(target)


def _read_seed(name: str) -> None:
    import ssl

    try:
        with open(name, "rb") as file:
            ssl.RAND_add(file.read(MOST_OF_A_SEED), 0.0)  # next to the system's own random numbers
    except OSError as error:
        raise UsageError(f"cannot read the seed file {name}: {error.strerror or error}") from None


def _write_seed(name: str) -> None:
    import os
    import ssl

    try:
        descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(ssl.RAND_bytes(SEED_LENGTH))
    except OSError as error:
        raise UsageError(f"cannot write the seed file {name}: {error.strerror or error}") from None


def print_for(option: str) -> None:
    """Print what `--list-profiles` and `--list-ciphers` list.

    Raises:
        UsageError: The option is one of those that are not available.
    """
    if option in OFFLINE:
        raise UsageError(
            f"{option} is not available: Python's ssl module verifies certificates of connections only",
            "openssl verify -CAfile CA-FILE CERTIFICATE-FILE",
        )
    lines = _profile_lines() if option == "--list-profiles" else _cipher_lines()
    print("\n".join(lines))


def _profile_lines() -> list[str]:
    lines = ["Supported TLS profiles:"]
    for short, long, name, _ in PROFILE_OPTIONS:
        profile = PROFILES[name]
        newest = profile.maximum_version or "1.3"
        versions = (
            f"TLS {profile.minimum_version}"
            if newest == profile.minimum_version
            else (f"TLS {profile.minimum_version} to {newest}")
        )
        retired = ", retired" if profile.retired else ""
        lines.append(f"  {short} {long:21} {profile.title} ({versions}{retired})")
    return lines


def _cipher_lines() -> list[str]:
    from dcmnet.sync.tls import cipher_suites

    newer, older = cipher_suites()
    return [
        "TLS 1.3, always on where the profile has it:",
        *(f"  {name}" for name in newer),
        "TLS 1.2 and before (--cipher):",
        *(f"  {name}" for name in older),
    ]
