"""Certificates for tests, made anew in every run: nothing secret lies in the repository."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization

PASSWORD = "correct horse"


@dataclass(frozen=True)
class Certificates:
    """Files in one folder, PEM unless the name says otherwise.

    Attributes:
        ca: The CA that signed all but `stranger`.
        other_ca: Another one.
        server: For localhost and 127.0.0.1.
        client: For a client, subject CN=modality.
        elsewhere: For another host.
        expired: For localhost, no longer valid.
        stranger: For localhost, signed by the other CA.
        locked: As `client`, its key encrypted with PASSWORD.
        der: As `client`, certificate and key in DER.
    """

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def other_ca(self) -> Path:
        return self.folder / "other-ca.pem"

    def pair(self, name: str) -> dict[str, Any]:
        """The arguments `certificate` and `private_key` of a name: `server`, `client`, ..."""
        ending = "der" if name == "der" else "pem"
        return {
            "certificate": self.folder / f"{name}.{ending}",
            "private_key": self.folder / f"{name}-key.{ending}",
        }


def make(folder: Path) -> Certificates:
    """Write them all into a folder."""
    ca, other = trustme.CA(key_type=trustme.KeyType.RSA), trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    ca.private_key_pem.write_to_path(folder / "ca-key.pem")
    other.cert_pem.write_to_path(folder / "other-ca.pem")
    rsa = trustme.KeyType.RSA  # the old cipher suites know nothing else
    here = ("localhost", "127.0.0.1")
    long_ago = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    _write(folder, "server", ca.issue_cert(*here, key_type=rsa))
    client = ca.issue_cert("modality.example", common_name="modality", key_type=rsa)
    _write(folder, "client", client)
    _write(folder, "elsewhere", ca.issue_cert("elsewhere.example", key_type=rsa))
    _write(folder, "expired", ca.issue_cert(*here, key_type=rsa, not_after=long_ago))
    _write(folder, "stranger", other.issue_cert(*here))
    _write(folder, "locked", client)
    key = serialization.load_pem_private_key(client.private_key_pem.bytes(), None)
    (folder / "locked-key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(PASSWORD.encode()),
        )
    )
    (folder / "der-key.der").write_bytes(
        key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    certificate = x509.load_pem_x509_certificate(client.cert_chain_pems[0].bytes())
    (folder / "der.der").write_bytes(certificate.public_bytes(serialization.Encoding.DER))
    return Certificates(folder)


def _write(folder: Path, name: str, leaf: trustme.LeafCert) -> None:
    leaf.private_key_pem.write_to_path(folder / f"{name}-key.pem")
    (folder / f"{name}.pem").write_bytes(b"".join(each.bytes() for each in leaf.cert_chain_pems))
