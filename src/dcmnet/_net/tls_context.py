"""From TLS settings to what the `ssl` module wants, with errors for people."""

from __future__ import annotations

import os
import ssl
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

from dcmnet._net.tls_files import (
    CERTIFICATE,
    CRL,
    DH_PARAMETERS,
    FFDHE2048,
    PRIVATE_KEY,
    as_pem,
    temporary,
)
from dcmnet.errors import TLSSettingsError
from dcmnet.tls import ALPN, PROFILES, TLS, Profile

T = TypeVar("T")

_VERSIONS: Final = {
    "1.0": ssl.TLSVersion.TLSv1,
    "1.1": ssl.TLSVersion.TLSv1_1,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
}
_MODES: Final = {
    "none": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}
_REVOCATION: Final = {
    "none": ssl.VerifyFlags.VERIFY_DEFAULT,
    "leaf": ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF,
    "chain": ssl.VerifyFlags.VERIFY_CRL_CHECK_CHAIN,
}


def requestor_context(tls: TLS) -> ssl.SSLContext:
    """The context of who connects.

    Raises:
        TLSSettingsError: The settings cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # before verify_mode may be CERT_NONE
    context.verify_mode = _choice(_MODES, tls.verify, "verify")
    context.check_hostname = tls.check_hostname and tls.verify == "required"
    if context.check_hostname and tls.server_name == "":
        raise TLSSettingsError(
            "server_name", "without a name there is none to check: set check_hostname=False"
        )
    _set_up(context, tls)
    _trust_for_requestor(context, tls)
    return context


def acceptor_context(tls: TLS) -> ssl.SSLContext:
    """The context of who is connected to.

    Raises:
        TLSSettingsError: The settings cannot be used.
    """
    if not os.fspath(tls.certificate):
        raise TLSSettingsError("certificate", "a server needs one: give certificate and private_key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = _choice(_MODES, tls.verify, "verify")
    _set_up(context, tls)
    # Every association shakes hands anew: nothing is kept of one for the next.
    context.options |= ssl.OP_NO_TICKET | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 0
    if tls.verify != "none" and not _trust(context, tls):
        why = 'say who signs the certificates of clients, or set verify="none" to serve any client'
        raise TLSSettingsError("ca_files", why)
    _load_dh(context, tls)
    if tls.expected_server_name:
        context.sni_callback = _expect(tls.expected_server_name)
    return context


def _set_up(context: ssl.SSLContext, tls: TLS) -> None:
    profile = PROFILES.get(tls.profile)
    if profile is None:
        raise TLSSettingsError("profile", f"{tls.profile!r} is not one of {', '.join(PROFILES)}")
    context.options |= ssl.OP_NO_RENEGOTIATION
    _set_ciphers(context, tls, profile)  # first: keys are measured by its security level as they are loaded
    _set_versions(context, tls, profile)
    context.set_alpn_protocols([ALPN])
    if os.fspath(tls.certificate):
        _load_own(context, tls)
    elif os.fspath(tls.private_key):
        raise TLSSettingsError(
            "private_key", "a key without a certificate serves nothing: give certificate too"
        )


# ---------------------------------------------------------------------- versions and cipher suites


def _set_versions(context: ssl.SSLContext, tls: TLS, profile: Profile) -> None:
    minimum = tls.minimum_version or profile.minimum_version
    maximum = tls.maximum_version or profile.maximum_version or "1.3"
    oldest = _choice(_VERSIONS, minimum, "minimum_version")
    newest = _choice(_VERSIONS, maximum, "maximum_version")
    if oldest > newest:
        raise TLSSettingsError("minimum_version", f"TLS {minimum} is newer than the maximum, TLS {maximum}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TLS 1.0 was asked for
        context.minimum_version = oldest
        context.maximum_version = newest


def _set_ciphers(context: ssl.SSLContext, tls: TLS, profile: Profile) -> None:
    known = _known_suites()
    for name in tls.ciphers:
        if name not in profile.ciphers and openssl_name(name) not in known:
            why = f"{name!r} is not a cipher suite of {ssl.OPENSSL_VERSION}"
            raise TLSSettingsError("ciphers", f"{why}: `openssl ciphers -stdname` lists those there are")
    wanted = [openssl_name(name) for name in tls.ciphers or profile.ciphers]
    # The suites of TLS 1.3 are all on wherever TLS 1.3 is; `set_ciphers` does not know them.
    usable = [name for name in wanted if name in known and not name.startswith("TLS_")]
    if not usable and not tls.ciphers:
        why = f"{ssl.OPENSSL_VERSION} has none of the cipher suites of {tls.profile!r}"
        raise TLSSettingsError("profile", f"{why}: {', '.join(profile.ciphers)}")
    if usable:
        context.set_ciphers(":".join((f"@SECLEVEL={profile.security_level}", *usable)))


def _known_suites() -> set[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    return {suite["name"] for suite in context.get_ciphers()}


_KEY_EXCHANGES = {"RSA": "", "DH_anon": "ADH-", "ECDH_anon": "AECDH-"}


def openssl_name(name: str) -> str:
    """OpenSSL's name of a cipher suite that an RFC calls `TLS_..._WITH_...`; other names as they are."""
    exchange, found, cipher = name.removeprefix("TLS_").partition("_WITH_")
    if not found:
        return name
    prefix = _KEY_EXCHANGES.get(exchange, exchange.replace("_", "-") + "-")
    cipher = cipher.replace("3DES_EDE_CBC", "DES-CBC3").replace(
        "CHACHA20_POLY1305_SHA256", "CHACHA20_POLY1305"
    )
    for family in ("AES", "CAMELLIA", "ARIA"):
        cipher = cipher.replace(f"{family}_", family)
    cipher = cipher.replace("_CBC", "").replace("CCM_8", "CCM8")
    if prefix == "ECDHE-RSA-" and cipher.startswith("ARIA"):
        prefix = "ECDHE-"
    return prefix + cipher.replace("_", "-")


_EXCHANGES = ("ECDHE_ECDSA", "ECDHE_RSA", "DHE_RSA", "RSA")
_CIPHERS = (
    "AES_256_GCM_SHA384",
    "CHACHA20_POLY1305_SHA256",
    "AES_256_CCM",
    "AES_256_CCM_8",
    "CAMELLIA_256_GCM_SHA384",
    "ARIA_256_GCM_SHA384",
    "AES_128_GCM_SHA256",
    "AES_128_CCM",
    "AES_128_CCM_8",
    "CAMELLIA_128_GCM_SHA256",
    "ARIA_128_GCM_SHA256",
    "AES_256_CBC_SHA384",
    "AES_256_CBC_SHA256",
    "CAMELLIA_256_CBC_SHA384",
    "CAMELLIA_256_CBC_SHA256",
    "AES_128_CBC_SHA256",
    "CAMELLIA_128_CBC_SHA256",
    "AES_256_CBC_SHA",
    "CAMELLIA_256_CBC_SHA",
    "AES_128_CBC_SHA",
    "CAMELLIA_128_CBC_SHA",
    "3DES_EDE_CBC_SHA",
    "NULL_SHA256",
    "NULL_SHA",
)


def cipher_suites() -> tuple[list[str], list[str]]:
    """The cipher suites that this OpenSSL has, by their names in RFCs: of TLS 1.3, and of TLS 1.2 and before.

    Those without authentication, and with keys that are agreed on beforehand, are left out.
    """
    known = _known_suites()
    newer = sorted(name for name in known if name.startswith("TLS_"))
    older = [f"TLS_{exchange}_WITH_{cipher}" for cipher in _CIPHERS for exchange in _EXCHANGES]
    return newer, [name for name in older if openssl_name(name) in known]


def _choice(table: Mapping[str, T], value: str, setting: str) -> T:
    if value not in table:
        raise TLSSettingsError(setting, f"{value!r} is not one of {', '.join(table)}")
    return table[value]


# ---------------------------------------------------------------------- this side's certificate


class _Password:
    """Asked for by OpenSSL when a key is encrypted, and only then: nobody is asked without need."""

    def __init__(self, password: str | Callable[[], str] | None, key: str) -> None:
        self._password = password
        self._key = key
        self.used = False

    def __call__(self) -> str:
        self.used = True
        if self._password is None:
            raise TLSSettingsError(self._key, "the private key is encrypted: give its password")
        return self._password if isinstance(self._password, str) else self._password()


def _load_own(context: ssl.SSLContext, tls: TLS) -> None:
    certificate = os.fspath(tls.certificate)
    key = os.fspath(tls.private_key) or certificate
    password = _Password(tls.password, key)
    with as_pem(certificate, CERTIFICATE) as certificate_file, as_pem(key, PRIVATE_KEY) as key_file:
        try:
            context.load_cert_chain(certificate_file, key_file, password)
        except (ssl.SSLError, ValueError) as error:
            raise _own_error(certificate, key, password, error) from error


_TOO_WEAK = ("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK", "EE_MD_TOO_WEAK", "MD_TOO_WEAK")


def _own_error(certificate: str, key: str, password: _Password, error: Exception) -> TLSSettingsError:
    reason = getattr(error, "reason", None) or ""
    if reason == "KEY_VALUES_MISMATCH" or "mismatch" in str(error).lower():
        return TLSSettingsError(key, f"this private key does not belong to the certificate {certificate}")
    if reason in _TOO_WEAK:
        why = f"too weak for the TLS profile ({_words(reason)}): make a new one, RSA of 2048 bits or more"
        return TLSSettingsError(certificate, why)
    if password.used:
        return TLSSettingsError(key, "the password is wrong")
    return TLSSettingsError(certificate, f"cannot be used with the key {key}: {_words(reason) or error}")


def _words(reason: str) -> str:
    return reason.replace("_", " ").lower()


# ---------------------------------------------------------------------- whom to trust


def _trust_for_requestor(context: ssl.SSLContext, tls: TLS) -> None:
    if tls.verify == "none" or _trust(context, tls):
        return
    if not context.check_hostname:
        # Whoever the system trusts has signed some certificate for anybody who asked.
        why = 'say who signs the peer\'s certificate, or check the host name as well, or set verify="none"'
        raise TLSSettingsError("ca_files", why)
    context.load_default_certs(ssl.Purpose.SERVER_AUTH)


def _trust(context: ssl.SSLContext, tls: TLS) -> bool:
    """Load what is trusted; False when nothing is."""
    for file in tls.ca_files:
        with as_pem(file, CERTIFICATE) as name:
            _load(context, os.fspath(file), cafile=name)
    for folder in tls.ca_directories:
        _load(context, _hashed(os.fspath(folder)), capath=os.fspath(folder))
    for file in tls.crl_files:
        with as_pem(file, CRL) as name:
            _load(context, os.fspath(file), cafile=name)
    context.verify_flags |= _choice(_REVOCATION, tls.check_revocation, "check_revocation")
    return bool(tls.ca_files or tls.ca_directories)


def _load(
    context: ssl.SSLContext, name: str, *, cafile: str | None = None, capath: str | None = None
) -> None:
    try:
        context.load_verify_locations(cafile, capath)
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", None)
        raise TLSSettingsError(name, f"cannot be used: {_words(reason) if reason else error}") from error


def _hashed(folder: str) -> str:
    try:
        names = os.listdir(folder)
    except OSError as error:
        raise TLSSettingsError(folder, f"cannot be read: {error.strerror or error}") from error
    if not any(Path(name).suffix[1:].isdigit() for name in names):
        raise TLSSettingsError(folder, "has no certificates named by hash: run `openssl rehash` on it")
    return folder


def _load_dh(context: ssl.SSLContext, tls: TLS) -> None:
    if not os.fspath(tls.dh_parameters):
        with temporary(FFDHE2048) as name:
            context.load_dh_params(name)
        return
    with as_pem(tls.dh_parameters, DH_PARAMETERS) as name:
        try:
            context.load_dh_params(name)
        except ssl.SSLError as error:
            why = f"cannot be used: {_words(error.reason or str(error))}"
            raise TLSSettingsError(os.fspath(tls.dh_parameters), why) from error


def _expect(wanted: str) -> Callable[[ssl.SSLObject, str | None, ssl.SSLContext], int | None]:
    def check(_: object, name: str | None, __: ssl.SSLContext) -> int | None:
        if name is not None and name.lower() == wanted.lower():
            return None
        return int(ssl.AlertDescription.ALERT_DESCRIPTION_UNRECOGNIZED_NAME)

    return check
