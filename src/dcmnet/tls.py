"""What TLS is to be like, and what a connection that uses it is like: plain data (PS3.15 Annex B).

Nothing here talks TLS: the faces make of it what the `ssl` module needs.
"""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import Literal, TypeAlias

from dcmnet import arguments
from dcmnet._records import dataclass, field

File: TypeAlias = "str | PathLike[str]"
Version: TypeAlias = Literal["1.0", "1.1", "1.2", "1.3"]

DEFAULT_PROFILE = "8996"

ALPN = "dicom"
"""The protocol's name in the handshake (RFC 7301)."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A TLS secure transport connection profile.

    Attributes:
        title: What it is called.
        minimum_version: The oldest version of TLS.
        maximum_version: The newest; None for the newest there is.
        ciphers: Cipher suites of TLS 1.2 and before, by their names in RFCs, in order. Those of TLS 1.3 are
            the TLS library's.
        security_level: What keys and signatures must be like, as OpenSSL counts: 2 asks for RSA keys of 2048
            bits, 0 for nothing.
        retired: Whether the standard has retired it.
    """

    title: str
    minimum_version: Version
    maximum_version: Version | None
    ciphers: tuple[str, ...]
    security_level: int
    retired: bool = True


_GCM = (
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
)
_BCP195 = (
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384",
)
_MODIFIED = (
    "TLS_ECDHE_RSA_WITH_CAMELLIA_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CAMELLIA_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_CAMELLIA_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CAMELLIA_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CCM",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CCM",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
)
_AES = "TLS_RSA_WITH_AES_128_CBC_SHA"
_3DES = "TLS_RSA_WITH_3DES_EDE_CBC_SHA"

# PS3.15 B.12 and B.13 are in force; B.9 to B.11 and those before are retired.
PROFILES = {
    "8996": Profile("BCP 195 RFC 8996 TLS Profile", "1.2", None, _GCM, 2, retired=False),
    "8996-mod": Profile("Modified BCP 195 RFC 8996 TLS Profile", "1.2", None, _MODIFIED, 2, retired=False),
    "bcp195-nd": Profile("Non-downgrading BCP 195 TLS Profile", "1.2", None, _BCP195, 1),
    "bcp195": Profile("BCP 195 TLS Profile", "1.0", None, (*_BCP195, _AES, _3DES), 0),
    "bcp195-ex": Profile("Extended BCP 195 TLS Profile", "1.2", "1.2", (*_BCP195, *_GCM[1::2]), 1),
    "aes": Profile("AES TLS Secure Transport Connection Profile", "1.0", "1.2", (_AES, _3DES), 0),
    "basic": Profile("Basic TLS Secure Transport Connection Profile", "1.0", "1.2", (_3DES,), 0),
    "null": Profile("Authenticated unencrypted communication", "1.0", "1.2", ("TLS_RSA_WITH_NULL_SHA",), 0),
}
"""The profiles by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TLS:
    """How TLS is used. Files are PEM or DER, whichever they turn out to be.

    Attributes:
        certificate: File with this side's certificate, and the chain above it; "" for none, which only a
            requestor may do without.
        private_key: File with its key; "" when it is in the certificate's file.
        password: Of an encrypted key, or a function that returns it and is called only when needed. It is
            never shown.
        ca_files: Files with the certificates that are trusted to sign the peer's. Without any, and without
            `ca_directories`, a requestor that checks the host name trusts what the system trusts.
        ca_directories: Folders of such files, named by hash as `openssl rehash` does.
        crl_files: Certificate revocation lists.
        check_revocation: Whether the peer's certificate (`leaf`), or all above it too (`chain`), are looked
            up in the revocation lists, which must be there then.
        verify: Whether the peer must show a certificate that can be verified (`required`), may do without one
            (`optional`, for acceptors), or shows what it likes (`none`).
        check_hostname: Whether the acceptor's certificate must be for the host that was connected to.
        server_name: The host name that a requestor asks for (SNI) and checks, where it is not the one that
            it connects to; "" asks for none, which goes only without `check_hostname`.
        expected_server_name: The host name that requestors must ask an acceptor for (SNI).
        profile: A key of `dcmnet.tls.PROFILES`: versions and cipher suites.
        minimum_version: The oldest version of TLS, in place of the profile's.
        maximum_version: The newest version, in place of the profile's.
        ciphers: Cipher suites of TLS 1.2 and before, in place of the profile's; names as in RFCs or as
            OpenSSL has them.
        dh_parameters: File with Diffie-Hellman parameters, for acceptors; the group ffdhe2048 of RFC 7919
            when not given.
    """

    certificate: File = ""
    private_key: File = ""
    password: str | Callable[[], str] | None = field(default=None, repr=False)
    ca_files: tuple[File, ...] = ()
    ca_directories: tuple[File, ...] = ()
    crl_files: tuple[File, ...] = ()
    check_revocation: Literal["none", "leaf", "chain"] = "none"
    verify: Literal["required", "optional", "none"] = "required"
    check_hostname: bool = True
    server_name: str | None = None
    expected_server_name: str = ""
    profile: str = DEFAULT_PROFILE
    minimum_version: Version | None = None
    maximum_version: Version | None = None
    ciphers: tuple[str, ...] = ()
    dh_parameters: File = ""

    def __post_init__(self) -> None:
        for name in ("ca_files", "ca_directories", "crl_files"):
            arguments.set_field(self, name, arguments.several(getattr(self, name), name, str, PathLike))
        arguments.set_field(self, "ciphers", arguments.strings(self.ciphers, "ciphers"))
        arguments.check_types(self)
        for name in ("certificate", "private_key", "dh_parameters"):
            arguments.path(getattr(self, name), name)
        for name in ("check_revocation", "verify"):
            arguments.text(getattr(self, name), name)
        for name in ("minimum_version", "maximum_version"):
            arguments.check_type(getattr(self, name), name, "str | None")


@dataclass(frozen=True, slots=True)
class TLSSession:
    """What was agreed on in a handshake.

    Attributes:
        version: As `TLSv1.3`.
        cipher: The cipher suite, as OpenSSL calls it.
        peer_certificate: The peer's certificate, DER; empty when it showed none.
        peer_subject: The subject of that certificate, as `CN=pacs,O=Hospital`; empty where it was not
            verified, for then it may say anything.
        peer_names: Its DNS names and IP addresses, where it was verified.
    """

    version: str
    cipher: str
    peer_certificate: bytes = field(default=b"", repr=False)
    peer_subject: str = ""
    peer_names: tuple[str, ...] = ()
