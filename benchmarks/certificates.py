"""Key and certificate of the rows with TLS: made once for a cache folder, of no use to anybody else."""

from __future__ import annotations

import shutil
import subprocess
import uuid
from pathlib import Path

from benchmarks.objects import cache_folder

EXTENSIONS = """\
subjectAltName = DNS:localhost, IP:127.0.0.1
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""
CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]


def certificates() -> tuple[Path, Path, Path]:
    """The key, its certificate for localhost, and that of the authority which signed it.

    Raises:
        OSError: There is no `openssl` command.
        CalledProcessError: It failed.
    """
    folder = cache_folder() / "tls"
    if not folder.exists():
        making = folder.with_name(f"tls.{uuid.uuid4().hex}")
        making.mkdir()
        _make(making)
        shutil.move(making, folder)
    return folder / "key.pem", folder / "certificate.pem", folder / "authority.pem"


def _make(folder: Path) -> None:
    (folder / "extensions").write_text(EXTENSIONS)
    _openssl(
        folder, "req", "-x509", *CURVE, "-keyout", "authority.key", "-out", "authority.pem", "-days", "3650",
        "-subj", "/CN=dcmnet benchmarks", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
    )  # fmt: skip
    _openssl(folder, "req", *CURVE, "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=localhost")
    _openssl(
        folder, "x509", "-req", "-in", "request.pem", "-CA", "authority.pem", "-CAkey", "authority.key",
        "-CAcreateserial", "-days", "3650", "-extfile", "extensions", "-out", "certificate.pem",
    )  # fmt: skip


def _openssl(folder: Path, *arguments: str) -> None:
    command = ["openssl", *arguments]
    subprocess.run(command, cwd=folder, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
