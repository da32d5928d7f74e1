"""Listening sockets, and accepting until told to stop."""

from __future__ import annotations

import errno
import logging
import os
import socket
import threading
from typing import Any

import pytest

from dcmnet._net import listening
from dcmnet._net.listening import Listener, open_listeners
from tests.unit.objects import open_descriptors


def close(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


def test_loopback() -> None:
    (sock,) = open_listeners("127.0.0.1", 0)
    assert sock.getsockname()[0] == "127.0.0.1"
    assert not sock.getblocking()
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    close([sock])


def found(*hosts: str, port: int = 0) -> list[Any]:
    """What `getaddrinfo` answers."""
    return [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (host, port, 0, 0))
        if ":" in host
        else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))
        for host in hosts
    ]


def test_every_address_has_the_same_port(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = found("127.0.0.1", "127.0.0.2", "127.0.0.1")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: answer)
    sockets = open_listeners("here", 0)
    names = [sock.getsockname() for sock in sockets]
    close(sockets)
    assert [name[0] for name in names] == ["127.0.0.1", "127.0.0.2"]
    assert names[0][1] == names[1][1] != 0


def test_ipv6_is_ipv6_only() -> None:
    try:
        (probe,) = open_listeners("::1", 0)
    except OSError:  # this machine has no IPv6
        return
    probe.close()
    (sock,) = open_listeners("::1", 0, socket.AF_INET6)
    assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    close([sock])


def test_all_or_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_descriptors()
    answer = found("127.0.0.1", "192.0.2.1")
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: answer)
    with pytest.raises(OSError):
        open_listeners("here", 0)
    assert open_descriptors() <= before


@pytest.mark.parametrize("number", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
def test_a_family_that_is_not_here_is_passed_over(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    without_ipv6(monkeypatch, number)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found("::", "127.0.0.1"))
    (sock,) = open_listeners("", 0)
    assert sock.getsockname()[0] == "127.0.0.1"
    close([sock])
    with pytest.raises(OSError) as caught:  # it was asked for
        open_listeners("here", 0)
    assert caught.value.errno == number


def test_no_family_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    without_ipv6(monkeypatch, errno.EAFNOSUPPORT)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found("::", "::1"))
    with pytest.raises(OSError) as caught:
        open_listeners("", 0)
    assert caught.value.errno == errno.EAFNOSUPPORT


def test_another_error_is_one_for_every_address(monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_descriptors()
    without_ipv6(monkeypatch, errno.EADDRINUSE)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found("127.0.0.1", "::"))
    with pytest.raises(OSError) as caught:
        open_listeners("", 0)
    assert caught.value.errno == errno.EADDRINUSE
    assert open_descriptors() <= before


def without_ipv6(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Every socket of IPv6 fails with this error."""
    listener = listening._listener

    def checked(family: int, address: tuple[object, ...]) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(number, os.strerror(number))
        return listener(family, address)

    monkeypatch.setattr(listening, "_listener", checked)


def test_a_port_that_is_taken() -> None:
    first = open_listeners("127.0.0.1", 0)
    with pytest.raises(OSError) as caught:
        open_listeners("127.0.0.1", first[0].getsockname()[1])
    assert caught.value.errno == errno.EADDRINUSE
    close(first)


def test_where_reusing_an_address_would_share_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """On Windows SO_REUSEADDR lets two servers have one port."""
    monkeypatch.setattr(socket, "SO_EXCLUSIVEADDRUSE", -5, raising=False)
    (sock,) = open_listeners("127.0.0.1", 0)
    assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
    close([sock])


# ---------------------------------------------------------------------- accepting


def test_accepting() -> None:
    listener = Listener("127.0.0.1", 0)
    assert listener.addresses == [f"127.0.0.1:{listener.port}"]
    (sock,) = listener.sockets
    assert listener.accept(sock) is None  # nobody has come
    with socket.create_connection(("127.0.0.1", listener.port)) as client:
        found = listener.accept(sock)
        assert found is not None
        connection, address = found
        with connection:
            assert connection.getpeername() == client.getsockname()
            assert address == f"127.0.0.1:{client.getsockname()[1]}"
    listener.close()
    assert listener.accept(sock) is None
    listener.close()


class Refusing:
    """A listening socket whose `accept` fails."""

    def __init__(self, number: int) -> None:
        self._number = number

    def accept(self) -> Any:
        raise OSError(self._number, "on purpose")


@pytest.mark.parametrize(
    ("number", "told"), [(errno.EMFILE, 1), (errno.ENOBUFS, 1), (errno.ECONNABORTED, 0), (errno.EAGAIN, 0)]
)
def test_a_connection_that_cannot_be_accepted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int, told: int
) -> None:
    monkeypatch.setattr(listening, "PAUSE", 0.0)
    caplog.set_level(logging.WARNING, "dcmnet")
    listener = Listener("127.0.0.1", 0)
    assert listener.accept(Refusing(number)) is None  # type: ignore[arg-type]
    assert len(caplog.records) == told
    listener.close()


def test_the_pause_ends_when_it_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "PAUSE", 3600.0)
    listener = Listener("127.0.0.1", 0)
    waiting = threading.Thread(target=listener.accept, args=(Refusing(errno.EMFILE),))
    waiting.start()
    listener.close()
    waiting.join(timeout=30)
    assert not waiting.is_alive()
