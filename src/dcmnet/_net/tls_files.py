"""The files of TLS: PEM or DER, and what is wrong with them."""

from __future__ import annotations

import base64
import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dcmnet.errors import TLSSettingsError
from dcmnet.tls import File

MAX_LENGTH = 16 << 20
"""A list of every CA there is has 250 kB, a revocation list of a large CA some MB."""

FFDHE2048 = """-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==
-----END DH PARAMETERS-----
"""
"""The group of 2048 bits of RFC 7919 A.1."""

CERTIFICATE = "CERTIFICATE"
PRIVATE_KEY = "PRIVATE KEY"
CRL = "X509 CRL"
DH_PARAMETERS = "DH PARAMETERS"

_WORDS = {
    CERTIFICATE: "a certificate",
    PRIVATE_KEY: "a private key",
    CRL: "a certificate revocation list",
    DH_PARAMETERS: "Diffie-Hellman parameters",
}
_SEQUENCE, _INTEGER, _OCTET_STRING = 0x30, 0x02, 0x04
_KEY_LABELS = {_SEQUENCE: "PRIVATE KEY", _INTEGER: "RSA PRIVATE KEY", _OCTET_STRING: "EC PRIVATE KEY"}


def read_file(file: File) -> bytes:
    """The bytes of a file.

    Raises:
        TLSSettingsError: It cannot be read, or is much too long to be what it should be.
    """
    name = os.fspath(file)
    try:
        with Path(name).open("rb") as opened:
            data = opened.read(MAX_LENGTH + 1)
    except OSError as error:
        raise TLSSettingsError(name, f"cannot be read: {error.strerror or error}") from error
    if len(data) > MAX_LENGTH:
        raise TLSSettingsError(name, "is too long to be what it should be")
    return data


@contextlib.contextmanager
def as_pem(file: File, label: str) -> Iterator[str]:
    """The name of a PEM file with the contents of `file`: itself, or one that lives as long as the block.

    Args:
        file: PEM or DER.
        label: What it must have: CERTIFICATE, PRIVATE_KEY, CRL or DH_PARAMETERS.

    Raises:
        TLSSettingsError: It cannot be read, or is something else.
    """
    name, data = os.fspath(file), read_file(file)
    if b"-----BEGIN " in data:
        if f"{label}-----".encode() not in data:
            raise TLSSettingsError(name, f"has no {_WORDS[label].partition(' ')[2]} in it")
        yield name
    elif data[:1] == bytes((_SEQUENCE,)):
        yield from _temporary(_pem(data, _key_label(data) if label == PRIVATE_KEY else label))
    else:
        raise TLSSettingsError(name, f"is not {_WORDS[label]}, neither PEM nor DER")


@contextlib.contextmanager
def temporary(text: str) -> Iterator[str]:
    """The name of a file with that text, which nobody else can read and which is gone after the block."""
    yield from _temporary(text)


def _temporary(text: str) -> Iterator[str]:
    descriptor, name = tempfile.mkstemp(prefix="dcmnet-")  # readable by its owner only
    try:
        with open(descriptor, "w", encoding="ascii") as opened:
            opened.write(text)
        yield name
    finally:
        os.unlink(name)


def _pem(data: bytes, label: str) -> str:
    return f"-----BEGIN {label}-----\n{base64.encodebytes(data).decode('ascii')}-----END {label}-----\n"


def _key_label(data: bytes) -> str:
    """What PEM calls a key in DER, by how it begins (RFC 5208, RFC 5915, RFC 8017 A.1.2)."""
    body = data[2 + (data[1] & 0x7F if len(data) > 1 and data[1] & 0x80 else 0) :]
    if body[:1] == bytes((_SEQUENCE,)):
        return "ENCRYPTED PRIVATE KEY"
    after_version = body[2 + body[1] :][:1] if len(body) > 1 else b""
    return _KEY_LABELS.get(after_version[0] if after_version else 0, "PRIVATE KEY")
