"""Listening sockets, and accepting until told to stop."""

from __future__ import annotations

import errno
import logging
import os
import selectors
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


def test_accepting_until_stopped() -> None:
    listener = Listener("127.0.0.1", 0)
    assert listener.addresses == [f"127.0.0.1:{listener.port}"]
    clients = [socket.create_connection(("127.0.0.1", listener.port)) for _ in range(3)]
    accepted = []
    for connection in listener.accept():
        accepted.append(connection)
        if len(accepted) == 3:
            listener.stop()
    assert {each.getpeername() for each in accepted} == {each.getsockname() for each in clients}
    close(clients + accepted)
    listener.close()


def test_stopped_while_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    listener = Listener("127.0.0.1", 0)

    class Stopping(selectors.DefaultSelector):
        def select(self, timeout: float | None = None) -> Any:
            listener.stop()
            return super().select(timeout)

    monkeypatch.setattr(selectors, "DefaultSelector", Stopping)
    assert list(listener.accept()) == []
    listener.close()


def test_stopped_from_another_thread() -> None:
    listener = Listener("127.0.0.1", 0)
    accepted: list[socket.socket] = []
    thread = threading.Thread(target=lambda: accepted.extend(listener.accept()))
    thread.start()
    listener.stop()
    thread.join(timeout=30)
    assert not thread.is_alive()
    assert list(listener.accept()) == []
    listener.close()
    listener.stop()


class Refusing:
    """A listening socket whose `accept` fails the first time."""

    def __init__(self, listener: Listener, number: int) -> None:
        self._listener = listener
        self._number = number
        self.calls = 0

    def accept(self) -> Any:
        self.calls += 1
        if self.calls > 1:
            self._listener.stop()
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
    refusing = Refusing(listener, number)
    assert listener._accepted(refusing) is None  # type: ignore[arg-type]
    assert len(caplog.records) == told
    listener.close()


def test_accepting_goes_on_after_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    listener = Listener("127.0.0.1", 0)
    accept = listener._accepted
    failures = [None]

    def fail_once(sock: socket.socket) -> socket.socket | None:
        return failures.pop() if failures else accept(sock)

    monkeypatch.setattr(listener, "_accepted", fail_once)
    with socket.create_connection(("127.0.0.1", listener.port)) as client:
        for connection in listener.accept():
            assert connection.getpeername() == client.getsockname()
            connection.close()
            listener.stop()
    listener.close()
