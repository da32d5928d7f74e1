"""The TLS connection and its waiters where TLS writes in order to read, or the reverse, or breaks."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from dcmnet._net import tls
from dcmnet._net.readiness import Ready
from dcmnet._net.tls import RECORD_LENGTH, SEND_LENGTH, TLSSocket, Waiter
from dcmnet._net.transfer import unsent_length
from dcmnet.aio import readiness as aio_readiness
from dcmnet.aio import tls as aio_tls

WANT_READ, WANT_WRITE = ssl.SSLWantReadError, ssl.SSLWantWriteError


class Scripted:
    """An SSLSocket on a plain socket that answers each call with what its script says next."""

    def __init__(self, sock: socket.socket, *script: Any) -> None:
        self.sock = sock
        self.script = list(script)
        self.sent: list[bytes] = []
        self.decrypted = 0

    def _next(self) -> Any:
        step = self.script.pop(0)
        if isinstance(step, BaseException) or (isinstance(step, type) and issubclass(step, BaseException)):
            raise step
        return step

    def send(self, data: Any) -> int:
        self.sent.append(bytes(data))
        count: int = self._next()
        return count

    def recv_into(self, room: memoryview) -> int:
        count: int = self._next()
        return min(count, len(room))

    def do_handshake(self) -> None:
        self._next()

    def pending(self) -> int:
        return self.decrypted

    def fileno(self) -> int:
        return self.sock.fileno()


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, two = socket.socketpair()
    with one, two:
        yield one, two


def secured(sock: socket.socket, *script: Any) -> tuple[TLSSocket, Scripted]:
    scripted = Scripted(sock, *script)
    return TLSSocket(scripted, "peer:1", "TLS"), scripted  # type: ignore[arg-type]  # all that is used of one


Ends = tuple[socket.socket, socket.socket]


def test_what_tls_wants(ends: Ends) -> None:
    sock, _ = secured(ends[0], WANT_READ, WANT_WRITE, 5, WANT_WRITE, WANT_READ, 3)
    room = memoryview(bytearray(100))
    for writes in (False, True):
        with pytest.raises(BlockingIOError):
            sock.recv_into(room)
        assert sock.reading_writes is writes
    assert sock.recv_into(room) == 5
    assert not sock.reading_writes
    for reads in (False, True):
        with pytest.raises(BlockingIOError):
            sock.send(b"abc")
        assert sock.writing_reads is reads
    assert sock.send(b"abc") == 3
    assert not sock.writing_reads


def test_a_handshake_that_wants_to_write(ends: Ends) -> None:
    sock, _ = secured(ends[0], WANT_WRITE, WANT_READ, None)
    assert [(sock.handshake(), sock.reading_writes) for _ in range(3)] == [
        (False, True),
        (False, False),
        (True, False),
    ]


@pytest.mark.parametrize(
    ("script", "counts"),
    [
        ((RECORD_LENGTH, RECORD_LENGTH, 100), [2 * RECORD_LENGTH + 100]),
        ((100,), [100]),
        ((RECORD_LENGTH, WANT_READ, 7), [RECORD_LENGTH, 7]),
        ((RECORD_LENGTH, 0, 0), [RECORD_LENGTH, 0]),
        ((RECORD_LENGTH,) * 4, [4 * RECORD_LENGTH]),
    ],
)
def test_records_come_together(ends: Ends, script: tuple[Any, ...], counts: list[int]) -> None:
    sock, scripted = secured(ends[0], *script)
    room = memoryview(bytearray(4 * RECORD_LENGTH))
    assert [sock.recv_into(room) for _ in counts] == counts
    assert not scripted.script


def test_what_came_before_an_error_comes_first(ends: Ends) -> None:
    broken = ssl.SSLError(1, "[SSL: DECRYPTION_FAILED_OR_BAD_RECORD_MAC] bad record mac (_ssl.c:1)")
    broken.reason = "DECRYPTION_FAILED_OR_BAD_RECORD_MAC"
    sock, _ = secured(ends[0], RECORD_LENGTH, broken)
    room = memoryview(bytearray(4 * RECORD_LENGTH))
    assert sock.recv_into(room) == RECORD_LENGTH
    for _ in range(2):
        with pytest.raises(ConnectionError, match="TLS: decryption failed or bad record mac"):
            sock.recv_into(room)


def test_a_lost_connection_stays_lost(ends: Ends) -> None:
    sock, _ = secured(ends[0], RECORD_LENGTH, ConnectionResetError(104, "reset"))
    room = memoryview(bytearray(4 * RECORD_LENGTH))
    assert sock.recv_into(room) == RECORD_LENGTH
    with pytest.raises(ConnectionResetError):
        sock.recv_into(room)


def test_an_attempt_to_send_is_repeated_with_the_same_bytes(ends: Ends) -> None:
    """OpenSSL demands it after a write that could not be finished."""
    sock, scripted = secured(ends[0], WANT_WRITE, SEND_LENGTH, 10)
    parts = [b"header", bytes(SEND_LENGTH), b"more"]
    with pytest.raises(BlockingIOError):
        sock.sendmsg(parts)
    assert sock.sendmsg(parts) == SEND_LENGTH
    assert scripted.sent[0] == scripted.sent[1] == b"header" + bytes(SEND_LENGTH - 6)
    assert sock.sendmsg([bytes(6), b"more"]) == 10
    assert scripted.sent[2] == bytes(6) + b"more"


def test_errors_of_sending(ends: Ends) -> None:
    error = ssl.SSLError(1, "x")
    error.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    sock, _ = secured(ends[0], error)
    with pytest.raises(ConnectionError, match="requires a certificate of this side"):
        sock.send(b"abc")


# ---------------------------------------------------------------------- waiting


def wait(sock: TLSSocket, *, write: bool = False, read: bool = True) -> tuple[bool, bool]:
    ready = Waiter(sock).wait(write=write, read=read, timeout=0.0)
    return ready.readable, ready.writable


def wait_in_a_loop(sock: TLSSocket, *, write: bool = False, read: bool = True) -> tuple[bool, bool]:
    async def waiting() -> aio_readiness.Ready:
        loop = asyncio.get_running_loop()
        waiter = aio_tls.Waiter(loop, sock)
        try:
            return await waiter.wait(write=write, read=read, deadline=loop.time() + 0.05)
        finally:
            waiter.close()

    ready = asyncio.run(waiting())
    return ready.readable, ready.writable


@pytest.mark.parametrize("waiting", [wait, wait_in_a_loop])
class TestWaiting:
    def test_for_nothing(self, ends: Ends, waiting: Any) -> None:
        assert waiting(secured(ends[0])[0]) == (False, False)

    def test_for_what_is_there_already(self, ends: Ends, waiting: Any) -> None:
        sock, scripted = secured(ends[0])
        scripted.decrypted = 1
        assert waiting(sock) == (True, False)
        assert waiting(sock, read=False, write=True) == (False, True)

    def test_to_read(self, ends: Ends, waiting: Any) -> None:
        ends[1].send(b"x")
        assert waiting(secured(ends[0])[0]) == (True, False)

    def test_to_write(self, ends: Ends, waiting: Any) -> None:
        assert waiting(secured(ends[0])[0], write=True) == (False, True)

    def test_for_a_connection_that_has_ended(self, ends: Ends, waiting: Any) -> None:
        ends[1].close()
        assert waiting(secured(ends[0])[0])[0]
        assert waiting(secured(ends[0])[0], write=True, read=False)[1]

    def test_to_read_which_writes(self, ends: Ends, waiting: Any) -> None:
        sock, _ = secured(ends[0])
        sock.reading_writes = True
        assert waiting(sock) == (True, False)

    def test_to_write_which_reads(self, ends: Ends, waiting: Any) -> None:
        sock, _ = secured(ends[0])
        sock.writing_reads = True
        ends[1].send(b"x")
        assert waiting(sock, write=True, read=False)[1]
        assert not waiting(sock, write=True, read=False)[0]


def test_the_result_of_a_wait_is_that_of_a_plain_one(ends: Ends) -> None:
    assert isinstance(Waiter(secured(ends[0])[0]).wait(timeout=0.0), Ready)


# ---------------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError("odd"), "odd"),
        (ssl.SSLError("no reason"), "no reason"),
        (ConnectionResetError(104, "reset"), "the peer closed the connection: it may not speak TLS"),
    ],
)
def test_reasons(error: Exception, text: str) -> None:
    assert tls._handshake_text(error).startswith(text) or text in tls._handshake_text(error)


def test_subjects_are_written_so_that_nothing_hides_in_them() -> None:
    subject = (
        (("countryName", "DE"),),
        (("organizationName", "A,CN=boss"), ("commonName", "x\ny")),
        (("odd", "z"),),
    )
    names = (("DNS", "a.example"), ("IP Address", "10.0.0.1"), ("email", "no@example"))
    assert tls._subject({"subject": subject}) == "odd=z,O=A\\,CN\\=boss+CN=x\\0Ay,C=DE"
    assert tls._names({"subjectAltName": names}) == ("a.example", "10.0.0.1")
    assert tls._subject({}) == "" and tls._names({}) == ()


@pytest.mark.parametrize(
    ("length", "perhaps"),
    [(1, 0), (RECORD_LENGTH, 0), (RECORD_LENGTH + 1, RECORD_LENGTH), (10 * SEND_LENGTH, 3 * RECORD_LENGTH)],
)
@pytest.mark.parametrize("failure", [WANT_WRITE, WANT_READ, ConnectionResetError, ssl.SSLError("x")])
def test_what_may_have_left_all_the_same(
    ends: tuple[socket.socket, socket.socket], length: int, perhaps: int, failure: Any
) -> None:
    """A write that has failed may have sent every record but the last."""
    sock = TLSSocket(Scripted(ends[0], failure, 1), "peer", "TLS")  # type: ignore[arg-type]
    buffers = [memoryview(bytes(length)), memoryview(b"abc")]
    with pytest.raises(OSError):
        sock.send(buffers[0])
    assert unsent_length(sock, buffers) == length + 3 - perhaps
    sock.send(buffers[0])
    assert unsent_length(sock, buffers) == length + 3
    assert unsent_length(ends[0], buffers) == length + 3
