"""Moving bytes: every file range ends up in its place, and a file that is too short sends nothing."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmnet._net import transfer
from dcmnet._net.transfer import IOV_MAX, Gatherer, address_text, prepare, reason_text, rest_after, send_some
from dcmnet.errors import InputFileError
from dcmnet.payload import FileRange, Payload

DATA = bytes(range(256)) * 64


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "data"
    path.write_bytes(DATA)
    opened = os.open(path, os.O_RDONLY)
    yield opened
    os.close(opened)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    first, second = socket.socketpair()
    with first, second:
        yield first, second


def joined(buffers: Sequence[memoryview]) -> bytes:
    return b"".join(buffers)


# ---------------------------------------------------------------------- gathering


def test_small_buffers_are_joined() -> None:
    parts: list[Payload] = [b"ab", bytearray(b"cd"), memoryview(b"ef")]
    (joint,) = Gatherer().gather(parts)
    assert bytes(joint) == b"abcdef"


def test_many_tiny_buffers_are_joined() -> None:
    """The PDUs of a data set of 20 kB for a peer that takes 8 bytes at a time."""
    parts: list[Payload] = [b"012345678901", memoryview(b"ab")] * 10_000
    (joint,) = Gatherer().gather(parts)
    assert bytes(joint) == b"012345678901ab" * 10_000


def test_large_buffers_are_passed_on() -> None:
    parts: list[Payload] = [bytes(100_000), bytearray(b"cd"), memoryview(b"ef")]
    gathered = Gatherer().gather(parts)
    assert joined(gathered) == bytes(100_000) + b"cdef"
    assert gathered[0].obj is parts[0]


def test_ranges_between_buffers(fd: int) -> None:
    parts: list[Payload] = [b"<", FileRange(fd, 10, 20), b"|", FileRange(fd, 30, 5), b">"]
    assert joined(Gatherer().gather(parts)) == b"<" + DATA[10:30] + b"|" + DATA[30:35] + b">"


def test_runs_that_do_not_join_on(fd: int, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"0123456789")
    with other.open("rb") as file:
        parts = [
            FileRange(fd, 100, 4),
            FileRange(fd, 104, 4),
            FileRange(fd, 50, 4),
            FileRange(file.fileno(), 54, 0),
            FileRange(file.fileno(), 3, 4),
            FileRange(fd, 7, 2),
        ]
        expected = DATA[100:108] + DATA[50:54] + b"3456" + DATA[7:9]
        assert joined(Gatherer().gather(parts)) == expected


def test_an_empty_range(fd: int) -> None:
    assert joined(Gatherer().gather([b"header", FileRange(fd, len(DATA), 0)])) == b"header"


def test_more_ranges_than_one_call_reads(fd: int) -> None:
    parts: list[Any] = []
    for number in range(2 * IOV_MAX + 3):
        parts += [b"-", FileRange(fd, 3 * number, 3)]
    count = 3 * (2 * IOV_MAX + 3)
    gathered = joined(Gatherer().gather(parts))
    assert gathered.replace(b"-", b"") == DATA[:count].replace(b"-", b"")
    assert len(gathered) == count + 2 * IOV_MAX + 3


def test_the_scratch_buffer_is_used_again(fd: int) -> None:
    gatherer = Gatherer()
    first = gatherer.gather([FileRange(fd, 0, 1000)])[0]
    second = gatherer.gather([FileRange(fd, 5, 10)])[0]
    assert first.obj is second.obj
    assert bytes(second) == DATA[5:15]
    assert gatherer.gather([FileRange(fd, 0, 1001)])[0].obj is not first.obj


@pytest.mark.parametrize("systems", ["preadv", "pread", "neither"])
@given(st.lists(st.tuples(st.integers(0, 16000), st.integers(0, 300)), max_size=8))
def test_any_ranges_on_any_system(systems: str, ranges: list[tuple[int, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch, open("/proc/self/exe", "rb") as file:
        patch.setattr(transfer, "_HAS_PREADV", systems == "preadv")
        patch.setattr(transfer, "_HAS_PREAD", systems != "neither")
        head = file.read(17000)
        fd = file.fileno()
        parts = [FileRange(fd, offset, count) for offset, count in ranges]
        expected = b"".join(head[offset : offset + count] for offset, count in ranges)
        assert joined(Gatherer().gather(parts)) == expected


@pytest.mark.parametrize("has_pread", [True, False])
def test_short_reads_are_completed(fd: int, monkeypatch: pytest.MonkeyPatch, has_pread: bool) -> None:
    preadv, pread, read = os.preadv, os.pread, os.read
    monkeypatch.setattr(transfer, "_HAS_PREAD", has_pread)
    monkeypatch.setattr(os, "preadv", lambda fd, views, offset: preadv(fd, [views[0][:3]], offset))
    monkeypatch.setattr(os, "pread", lambda fd, count, offset: pread(fd, min(count, 7), offset))
    monkeypatch.setattr(os, "read", lambda fd, count: read(fd, min(count, 7)))
    parts: list[Payload] = [b"<", FileRange(fd, 10, 50), b"|", FileRange(fd, 60, 50), b">"]
    assert joined(Gatherer().gather(parts)) == b"<" + DATA[10:60] + b"|" + DATA[60:110] + b">"


def test_the_position_of_the_file_stays(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    os.lseek(fd, 77, os.SEEK_SET)
    monkeypatch.setattr(transfer, "_HAS_PREADV", False)
    Gatherer().gather([FileRange(fd, 10, 20)])
    assert os.lseek(fd, 0, os.SEEK_CUR) == 77


@pytest.mark.parametrize("has_preadv", [True, False])
@pytest.mark.parametrize("offset", [len(DATA) - 10, len(DATA), len(DATA) + 5])
def test_a_file_that_has_become_shorter(
    fd: int, monkeypatch: pytest.MonkeyPatch, has_preadv: bool, offset: int
) -> None:
    monkeypatch.setattr(transfer, "_HAS_PREADV", has_preadv)
    with pytest.raises(InputFileError, match=f"descriptor {fd}: the file has become shorter"):
        Gatherer().gather([b"header", FileRange(fd, offset, 11)])


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(InputFileError, match="cannot be read: Is a directory"):
            Gatherer().gather([FileRange(fd, 0, 5)])
    finally:
        os.close(fd)


# ---------------------------------------------------------------------- sending


def test_send_some(pair: tuple[socket.socket, socket.socket]) -> None:
    first, second = pair
    assert send_some(first, [b"one"]) == 3
    assert send_some(first, [b"two", memoryview(b"three")]) == 8
    assert second.recv(100) == b"onetwothree"


def test_more_buffers_than_one_call_sends(pair: tuple[socket.socket, socket.socket]) -> None:
    assert send_some(pair[0], [b"x"] * (IOV_MAX + 5)) == IOV_MAX


def test_without_sendmsg(pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "_HAS_SENDMSG", False)
    assert send_some(pair[0], [b"one", b"two"]) == 3


def test_a_socket_that_is_full(pair: tuple[socket.socket, socket.socket]) -> None:
    first, second = pair
    first.setblocking(False)
    chunk = [b"x" * 65536, b"y" * 65536]
    with pytest.raises(BlockingIOError):
        while True:
            send_some(first, chunk)
    second.close()
    with pytest.raises(OSError):
        send_some(first, chunk)


@given(st.lists(st.binary(max_size=5), max_size=6), st.data())
def test_rest_after(parts: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(parts)
    count = data.draw(st.integers(0, len(whole)))
    rest = rest_after([memoryview(part) for part in parts], count)
    assert joined(rest) == whole[count:]
    assert bool(rest) is (count < len(whole))


def test_prepare() -> None:
    with socket.socket() as sock:
        prepare(sock)
        assert not sock.getblocking()
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (("192.0.2.1", 104), "192.0.2.1:104"),
        (("::1", 104, 0, 0), "[::1]:104"),
        (("fe80::1%eth0", 104, 0, 2), "[fe80::1%eth0]:104"),
        ("", ""),
        ("/run/dicom", "/run/dicom"),
    ],
)
def test_address_text(address: object, text: str) -> None:
    assert address_text(address) == text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (None, "it has no address"),
        (OSError(111, "Connect call failed ('192.0.2.1', 104)"), os.strerror(111)),
        (OSError("Multiple exceptions: ..."), "Multiple exceptions: ..."),
    ],
)
def test_reason_text(error: OSError | None, text: str) -> None:
    assert reason_text(error) == text
