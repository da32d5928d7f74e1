"""Bytes of PDUs, made by hand so that any part of them can be wrong, and raw sockets to send them on."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Self

DEADLINE = 20.0
"""Seconds after which a test gives up waiting: no answer takes a hundredth of that."""

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
VERIFICATION = "1.2.840.10008.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
ABORT_USER = (0, 0)
RELEASE_RQ = bytes.fromhex("05000000000400000000")
RELEASE_RP = bytes.fromhex("06000000000400000000")
ABORT = bytes.fromhex("07000000000400000000")
C_ECHO_RQ, C_ECHO_RSP, C_STORE_RQ, C_STORE_RSP, C_CANCEL_RQ = 0x0030, 0x8030, 0x0001, 0x8001, 0x0FFF


# ---------------------------------------------------------------------- PS3.8: PDUs and items


def pdu(kind: int, body: bytes, length: int | None = None) -> bytes:
    return struct.pack(">BxI", kind, len(body) if length is None else length) + body


def item(kind: int, body: bytes, length: int | None = None) -> bytes:
    return struct.pack(">BxH", kind, len(body) if length is None else length) + body


def context(
    context_id: int = 1, abstract: str | None = VERIFICATION, transfer: Iterable[str] = (IMPLICIT,)
) -> bytes:
    body = bytes((context_id, 0, 0, 0))
    if abstract is not None:
        body += item(0x30, abstract.encode("latin-1"))
    return item(0x20, body + b"".join(item(0x40, uid.encode("latin-1")) for uid in transfer))


VERIFICATION_CONTEXT = context()
CT_CONTEXT = context(3, CT, (EXPLICIT,))
MAX_LENGTH = item(0x51, struct.pack(">I", 16384))
CLASS_UID = item(0x52, b"1.2.3.4")
USER_ITEMS = MAX_LENGTH + CLASS_UID


def associate_rq(
    contexts: bytes = VERIFICATION_CONTEXT + CT_CONTEXT,
    user_items: bytes | None = USER_ITEMS,
    *,
    application: bytes | None = None,
    version: int = 1,
    called: bytes = b"SERVER",
    calling: bytes = b"RAW",
    length: int | None = None,
    extra: bytes = b"",
) -> bytes:
    body = struct.pack(">H2x16s16s32x", version, called.ljust(16), calling.ljust(16))
    body += item(0x10, APPLICATION_CONTEXT.encode()) if application is None else application
    body += contexts
    if user_items is not None:
        body += item(0x50, user_items)
    return pdu(0x01, body + extra, length)


def associate_ac(contexts: Iterable[tuple[int, str]], max_length: int = 16384, window: int = 0) -> bytes:
    body = struct.pack(">H2x16s16s32x", 1, b"SERVER".ljust(16), b"RAW".ljust(16))
    body += item(0x10, APPLICATION_CONTEXT.encode())
    for context_id, transfer in contexts:
        body += item(0x21, bytes((context_id, 0, 0, 0)) + item(0x40, transfer.encode()))
    granted = item(0x53, struct.pack(">HH", window, 1)) if window else b""
    body += item(0x50, item(0x51, struct.pack(">I", max_length)) + CLASS_UID + granted)
    return pdu(0x02, body)


def pdv(context_id: int, control: int, data: bytes, length: int | None = None) -> bytes:
    return struct.pack(">IBB", len(data) + 2 if length is None else length, context_id, control) + data


def p_data(context_id: int, control: int, data: bytes) -> bytes:
    return pdu(0x04, pdv(context_id, control, data))


# ---------------------------------------------------------------------- PS3.7: Command Sets


def element(number: int, value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<HHI", 0, number, len(value) if length is None else length) + value


def uid_element(number: int, uid: str) -> bytes:
    value = uid.encode("latin-1")
    return element(number, value + b"\0" * (len(value) & 1))


def us_element(number: int, value: int) -> bytes:
    return element(number, struct.pack("<H", value))


def command(*elements: bytes, group_length: bool = True) -> bytes:
    body = b"".join(elements)
    return (element(0, struct.pack("<I", len(body))) if group_length else b"") + body


def echo_elements(
    field: int = C_ECHO_RQ, *, sop_class: str = VERIFICATION, data_set: int = 0x0101
) -> list[bytes]:
    return [
        uid_element(0x0002, sop_class),
        us_element(0x0100, field),
        us_element(0x0110, 1),
        us_element(0x0800, data_set),
    ]


ECHO_COMMAND = command(*echo_elements())
ECHO = p_data(1, 3, ECHO_COMMAND)


def store_command(
    sop_instance: str = "1.2.3", *, sop_class: str = CT, data_set: int = 1, message_id: int = 1
) -> bytes:
    return command(
        uid_element(0x0002, sop_class),
        us_element(0x0100, C_STORE_RQ),
        us_element(0x0110, message_id),
        us_element(0x0700, 0),
        us_element(0x0800, data_set),
        uid_element(0x1000, sop_instance),
    )


def explicit_element(group: int, number: int, vr: str, value: bytes) -> bytes:
    value += (b"\0" if vr == "UI" else b" ") * (len(value) & 1)
    if vr in ("OB", "OW", "SQ", "UN"):
        return struct.pack("<HH2sxxI", group, number, vr.encode(), len(value)) + value
    return struct.pack("<HH2sH", group, number, vr.encode(), len(value)) + value


def ct_data_set(sop_instance: str = "1.2.3", *, sop_class: str = CT, pixels: int = 64) -> bytes:
    """A small data set in Explicit VR Little Endian."""
    return (
        explicit_element(0x0008, 0x0016, "UI", sop_class.encode())
        + explicit_element(0x0008, 0x0018, "UI", sop_instance.encode())
        + explicit_element(0x0010, 0x0010, "PN", b"TEST^DCMNET")
        + explicit_element(0x7FE0, 0x0010, "OW", bytes(pixels))
    )


def store(sop_instance: str = "1.2.3", data_set: bytes | None = None) -> bytes:
    """A whole C-STORE-RQ on presentation context 3."""
    data = ct_data_set(sop_instance) if data_set is None else data_set
    return p_data(3, 3, store_command(sop_instance)) + p_data(3, 2, data)


def command_value(command_set: bytes, number: int) -> bytes | None:
    """The value of an element of a Command Set, None when it is not there."""
    position = 0
    while position < len(command_set):
        _, found, length = struct.unpack_from("<HHI", command_set, position)
        if found == number:
            return command_set[position + 8 : position + 8 + length]
        position += 8 + length
    return None


def status_of(p_data_tf: bytes) -> int:
    """The status in a response's P-DATA-TF PDU."""
    value = command_value(p_data_tf[12:], 0x0900)
    assert value is not None
    return int.from_bytes(value, "little")


# ---------------------------------------------------------------------- sockets


class RawPeer:
    """A socket that says what it is told to, and reads PDUs; every wait has a deadline."""

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(DEADLINE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock

    @classmethod
    def connected(cls, port: int, *sent: bytes) -> Self:
        peer = cls(socket.create_connection(("127.0.0.1", port), DEADLINE))
        for data in sent:
            peer.send(data)
        return peer

    @classmethod
    def associated(cls, port: int, request: bytes = b"") -> Self:
        """Connected, with an association that has been accepted."""
        peer = cls.connected(port, request or associate_rq())
        answer = peer.read_pdu()
        if answer[:1] != b"\x02":
            peer.close()
            raise AssertionError(f"{answer!r} instead of an A-ASSOCIATE-AC")
        return peer

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def send_as_far_as_it_goes(self, data: bytes) -> None:
        """Send to a peer that may have closed already."""
        with contextlib.suppress(ConnectionError):
            self.sock.sendall(data)

    def read(self, count: int) -> bytes:
        """`count` bytes, fewer when the connection ends first."""
        data = b""
        while len(data) < count:
            try:
                piece = self.sock.recv(count - len(data))
            except ConnectionError:
                break
            if not piece:
                break
            data += piece
        return data

    def read_pdu(self) -> bytes:
        """The next PDU; empty when the connection is closed."""
        header = self.read(6)
        return header + self.read(int.from_bytes(header[2:6], "big")) if len(header) == 6 else header

    def read_abort(self) -> tuple[int, int]:
        """Source and reason of the A-ABORT that must come now."""
        answer = self.read_pdu()
        assert answer[:6] == bytes.fromhex("070000000004"), answer
        return answer[8], answer[9]

    def read_reject(self) -> tuple[int, int, int]:
        """Result, source and reason of the A-ASSOCIATE-RJ that must come now."""
        answer = self.read_pdu()
        assert answer[:6] == bytes.fromhex("030000000004"), answer
        return answer[7], answer[8], answer[9]

    def read_status(self) -> int:
        """The status of the response that must come now."""
        answer = self.read_pdu()
        assert answer[:1] == b"\x04", answer
        return status_of(answer)

    def read_end(self) -> None:
        """Nothing more comes, and the connection is closed."""
        assert self.read(1) == b""

    def reset(self) -> None:
        """Close so that the other side gets a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Acceptor:
    """A listening socket whose callers are served, one after another, by a script in a thread.

    Args:
        script: What is done with each.
        times: How many there are; later ones are refused.
        receive_buffer: Bytes that the system takes while the script does not read; 0 for its own choice.
    """

    def __init__(self, script: Callable[[RawPeer], None], times: int = 1, receive_buffer: int = 0) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        if receive_buffer:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._listener.settimeout(DEADLINE)
        self._script = script
        self._times = times
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.error: BaseException | None = None
        self.port: int = self._listener.getsockname()[1]

    def _serve(self) -> None:
        try:
            for left in range(self._times - 1, -1, -1):
                connection, _ = self._listener.accept()
                if left == 0:
                    self._listener.close()
                with RawPeer(connection) as peer:
                    self._script(peer)
        except BaseException as error:
            self.error = error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._thread.join(DEADLINE)
            assert not self._thread.is_alive()
        self._listener.close()
        if self.error is not None:
            raise self.error


def until(condition: Callable[[], bool]) -> None:
    """Wait until something that nobody announces has come true."""
    end = time.monotonic() + DEADLINE
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        pause.wait(0.002)


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]
