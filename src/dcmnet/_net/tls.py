"""A TLS connection that the drivers use as they use a plain socket.

Loaded only where TLS is asked for. What the drivers of both faces share is here; waiting is theirs.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Mapping, Sequence
from typing import Any

from dcmnet._net.readiness import Ready, Wake
from dcmnet._net.readiness import Waiter as SocketWaiter
from dcmnet._net.tls_context import acceptor_context, requestor_context
from dcmnet._net.transfer import IOV_MAX, address_text, prepare
from dcmnet._records import dataclass
from dcmnet.errors import TransportClosed
from dcmnet.payload import Buffer
from dcmnet.tls import TLS, TLSSession

SEND_LENGTH = 64 * 1024
"""Bytes handed to one SSL_write: a few records of 16 kB. It reports nothing until all of them are out."""

RECORD_LENGTH = 16 * 1024
"""What a record holds at most (RFC 8446 5.1)."""


@dataclass(frozen=True, slots=True)
class Security:
    """Makes TLS connections of plain ones; what takes time has been done when it is made.

    Attributes:
        context: The settings as `ssl` has them.
        server_name: The host name that a requestor asks for and checks; None for an acceptor, and for none.
        acceptor: Which end this is.
    """

    context: ssl.SSLContext
    server_name: str | None
    acceptor: bool

    def wrap(self, sock: socket.socket) -> TLSSocket:
        """Take over a connected socket, non-blocking from now on; the handshake is still to come.

        Raises:
            TransportClosed: The connection is gone.
        """
        what = "TLS"
        try:
            peer = address_text(sock.getpeername())
            what = "TLS" if self.acceptor else f"TLS with {peer}"  # a server says who it is anyway
            prepare(sock)
            wrapped = self.context.wrap_socket(
                sock,
                server_side=self.acceptor,
                do_handshake_on_connect=False,
                server_hostname=self.server_name,
            )
        except (OSError, ValueError) as error:
            sock.close()
            raise TransportClosed(f"{what}: {_handshake_text(error)}") from error
        return TLSSocket(wrapped, peer, what)


def requestor_security(tls: TLS, host: str) -> Security:
    """For a connection to `host`.

    Raises:
        TLSSettingsError: The settings cannot be used.
    """
    context = requestor_context(tls)
    if tls.server_name is None:
        name = (
            host.partition("%")[0] if context.check_hostname else None
        )  # without the zone of an IPv6 address
    else:
        name = tls.server_name or None
    return Security(context, name, acceptor=False)


def acceptor_security(tls: TLS) -> Security:
    """For the connections to a server.

    Raises:
        TLSSettingsError: The settings cannot be used.
    """
    return Security(acceptor_context(tls), None, acceptor=True)


class TLSSocket:
    """What the drivers need of a socket, over TLS.

    TLS may have to write in order to read, and the reverse: the two attributes say so to who waits.

    Attributes:
        peer: The peer's address, for people.
        reading_writes: The last attempt to read waits for room to write.
        writing_reads: The last attempt to write waits for something to read.
        perhaps_sent: After an attempt to write that has failed, how many of the bytes may have left all the
            same. TLS does not say how many records have; the last of them has not.
    """

    __slots__ = ("_failure", "_ssl", "_what", "peer", "perhaps_sent", "reading_writes", "writing_reads")

    def __init__(self, wrapped: ssl.SSLSocket, peer: str, what: str) -> None:
        self._failure: OSError | None = None
        self._ssl = wrapped
        self._what = what
        self.peer = peer
        self.reading_writes = False
        self.writing_reads = False
        self.perhaps_sent = 0

    def __enter__(self) -> TLSSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def handshake(self) -> bool:
        """Go on with the handshake; False when it waits for the peer.

        Raises:
            TransportClosed: It failed; says why.
        """
        self.reading_writes = self.writing_reads = False
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLWantWriteError:
            self.reading_writes = True
            return False
        except (OSError, ValueError) as error:
            raise TransportClosed(f"{self._what}: {_handshake_text(error)}") from error
        return True

    def session(self) -> TLSSession:
        """What the handshake agreed on."""
        cipher = self._ssl.cipher()
        verified = self._ssl.getpeercert() or {}
        return TLSSession(
            version=self._ssl.version() or "",
            cipher=cipher[0] if cipher else "",
            peer_certificate=self._ssl.getpeercert(binary_form=True) or b"",
            peer_subject=_subject(verified),
            peer_names=_names(verified),
        )

    def fileno(self) -> int:
        """The descriptor, for waiting."""
        return self._ssl.fileno()

    def pending(self) -> bool:
        """Whether bytes have been decrypted that nobody has read: no poll tells of them."""
        return self._ssl.pending() > 0

    def send(self, buffer: Buffer) -> int:
        """Send the beginning of the buffer; returns the number of bytes.

        After a BlockingIOError the same bytes must come again.

        Raises:
            BlockingIOError: Nothing goes out now.
            OSError: The connection is lost.
        """
        self.writing_reads = False
        view = memoryview(buffer)[:SEND_LENGTH]
        self.perhaps_sent = (len(view) - 1) // RECORD_LENGTH * RECORD_LENGTH
        try:
            count = self._ssl.send(view)
        except ssl.SSLWantWriteError:
            raise BlockingIOError from None
        except ssl.SSLWantReadError:
            self.writing_reads = True
            raise BlockingIOError from None
        except ssl.SSLError as error:
            raise ConnectionError(f"TLS: {_failure_text(error)}") from error
        self.perhaps_sent = 0
        return count

    def sendmsg(self, buffers: Sequence[Buffer]) -> int:
        """Send the beginning of the buffers, as few records; otherwise as `send`."""
        joined: list[Buffer] = []
        length = 0
        for buffer in buffers[:IOV_MAX]:
            joined.append(memoryview(buffer)[: SEND_LENGTH - length])
            length += len(joined[-1])
            if length >= SEND_LENGTH:
                break
        return self.send(b"".join(joined))

    def recv_into(self, room: memoryview) -> int:
        """Receive; returns the number of bytes, 0 when the peer has closed.

        Raises:
            BlockingIOError: There is nothing now.
            OSError: The connection is lost.
        """
        if self._failure is not None:
            raise self._failure
        count = self._read(room)
        # SSL_read gives one record at a time; full ones are rarely alone.
        while count and count % RECORD_LENGTH == 0 and len(room) - count >= RECORD_LENGTH:
            try:
                more = self._read(room[count:])
            except BlockingIOError:
                break
            except OSError as error:  # what came before it comes first
                self._failure = error
                break
            if more == 0:  # as the next call will find
                break
            count += more
        return count

    def _read(self, room: memoryview) -> int:
        self.reading_writes = False
        try:
            return self._ssl.recv_into(room)
        except ssl.SSLWantReadError:
            raise BlockingIOError from None
        except ssl.SSLWantWriteError:
            self.reading_writes = True
            raise BlockingIOError from None
        except ssl.SSLError as error:
            raise ConnectionError(f"TLS: {_failure_text(error)}") from error

    def shutdown(self, how: int) -> None:
        """Shut the connection below down; safe from another thread."""
        socket.socket.shutdown(self._ssl, how)  # SSLSocket's own would take TLS away from who uses it now

    def close(self) -> None:
        """Say goodbye (close_notify) where that can be done at once, and close."""
        with contextlib.suppress(OSError, ValueError):  # the handshake failed, or the peer does not read
            self._ssl.unwrap()
        self._ssl.close()


class Waiter(SocketWaiter):
    """Waits for a TLS connection.

    Args:
        sock: The connection.
        wake: Ends the waiting as well.
        busy_wait: As for a plain one.
    """

    __slots__ = ("_tls",)

    def __init__(self, sock: TLSSocket, wake: Wake | None = None, *, busy_wait: float = 0.0) -> None:
        super().__init__(sock, wake, busy_wait=busy_wait)
        self._tls = sock

    def wait(self, *, write: bool = False, read: bool = True, timeout: float | None = None) -> Ready:
        """Wait until it can be read or, with `write`, written; or for `timeout` seconds."""
        tls = self._tls
        if read and tls.pending():
            return Ready(True, False, False)
        crossed_read, crossed_write = read and tls.reading_writes, write and tls.writing_reads
        if not (crossed_read or crossed_write):
            return super().wait(write=write, read=read, timeout=timeout)
        ready = super().wait(write=write or crossed_read, read=read or crossed_write, timeout=timeout)
        return Ready(
            (read and ready.readable) or (crossed_read and ready.writable),
            (write and ready.writable) or (crossed_write and ready.readable),
            ready.woken,
        )


# ---------------------------------------------------------------------- what a certificate says

_SHORT = {
    "commonName": "CN",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "localityName": "L",
    "stateOrProvinceName": "ST",
}

_SPECIAL = '\\,+"<>;='


def _subject(certificate: Mapping[str, Any]) -> str:
    """The subject as RFC 4514 writes it, what stands for people first."""
    relatives = (
        "+".join(f"{_SHORT.get(key, key)}={_escaped(value)}" for key, value in relative)
        for relative in certificate.get("subject", ())
    )
    return ",".join(reversed(tuple(relatives)))


def _escaped(value: str) -> str:
    """RFC 4514 2.4: nothing in a value can be taken for another attribute, or leave the line."""
    return "".join(map(_escaped_character, value))


def _escaped_character(character: str) -> str:
    if character in _SPECIAL:
        return f"\\{character}"
    return character if character.isprintable() else "".join(f"\\{byte:02X}" for byte in character.encode())


def _names(certificate: Mapping[str, Any]) -> tuple[str, ...]:
    found = certificate.get("subjectAltName", ())
    return tuple(value for kind, value in found if kind in ("DNS", "IP Address"))


# ---------------------------------------------------------------------- what went wrong

_CLOSED = "the peer closed the connection"
_NO_TLS = "the peer does not speak TLS"
_NO_VERSION = "the two sides have no version of TLS in common"
_NO_CIPHER = "the two sides have no cipher suite in common, or the peer wants a certificate"
_NO_CERTIFICATE = "the peer has shown no certificate"
_WANTS_CERTIFICATE = "the peer requires a certificate of this side"
_BAD_CERTIFICATE = "the peer does not accept this side's certificate"

_REASONS = {
    "WRONG_VERSION_NUMBER": _NO_TLS,
    "HTTP_REQUEST": _NO_TLS,
    "HTTPS_PROXY_REQUEST": _NO_TLS,
    "UNKNOWN_PROTOCOL": _NO_TLS,
    "RECORD_LAYER_FAILURE": _NO_TLS,
    "PACKET_LENGTH_TOO_LONG": _NO_TLS,
    "UNSUPPORTED_PROTOCOL": _NO_VERSION,
    "NO_PROTOCOLS_AVAILABLE": _NO_VERSION,
    "VERSION_TOO_LOW": _NO_VERSION,
    "VERSION_TOO_HIGH": _NO_VERSION,
    "TLSV1_ALERT_PROTOCOL_VERSION": _NO_VERSION,
    "NO_CIPHERS_AVAILABLE": "no cipher suite of this side goes with its versions of TLS",
    "NO_SHARED_CIPHER": "the two sides have no cipher suite in common",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": _NO_CIPHER,
    "INSUFFICIENT_SECURITY": _NO_CIPHER,
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": _NO_CERTIFICATE,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": _WANTS_CERTIFICATE,
    "TLSV1_ALERT_UNKNOWN_CA": f"{_BAD_CERTIFICATE}: it does not know the CA",
    "SSLV3_ALERT_BAD_CERTIFICATE": _BAD_CERTIFICATE,
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": f"{_BAD_CERTIFICATE}: it is of the wrong kind",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": f"{_BAD_CERTIFICATE}: it has expired",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": f"{_BAD_CERTIFICATE}: it has been revoked",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _BAD_CERTIFICATE,
    "TLSV1_UNRECOGNIZED_NAME": "the peer does not know the host name that was asked for (server_name)",
    "TLSV1_ALERT_NO_APPLICATION_PROTOCOL": 'the peer does not take the protocol "dicom" (ALPN)',
    "UNEXPECTED_EOF_WHILE_READING": _CLOSED,
    "EOF": _CLOSED,
    "CALLBACK_FAILED": "the host name that the peer asked for is not the expected one",
}
_TRUST_CODES = (2, 18, 19, 20, 21)
"""X509_V_ERR_... of chains that do not end at somebody who is trusted."""


def _handshake_text(error: Exception) -> str:
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError)):
        return f"{_CLOSED}: it may not speak TLS, or refuses; its log may tell"
    return _failure_text(error)


def _failure_text(error: Exception) -> str:
    """Why TLS failed, in words for a person."""
    if isinstance(error, ssl.SSLCertVerificationError):
        text = f"the peer's certificate was not accepted: {error.verify_message.rstrip('.')}"
        hint = "; who signed it is not trusted (ca_files, +cf)" if error.verify_code in _TRUST_CODES else ""
        return text + hint
    reason = getattr(error, "reason", None)
    if not reason:
        return str(error)
    return _REASONS.get(reason) or reason.replace("_", " ").lower()
