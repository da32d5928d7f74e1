"""What a child process inherits by fork() belongs to its parent."""

from __future__ import annotations

import os
import socket
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

import dcmnet
from tests.faces.adapters import Face, running
from tests.faces.wire import DEADLINE, RawPeer

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork()")


class Child:
    """A forked process that does something, then waits until it is told to end."""

    def __init__(self, action: Callable[[], bool] = lambda: True) -> None:
        ours, theirs = socket.socketpair()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of 3.12: there are threads
            self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                ours.close()
                status = not action()
                theirs.sendall(b"!")
                theirs.recv(1)
            finally:
                os._exit(status)
        theirs.close()
        self._control = ours
        ours.settimeout(DEADLINE)
        self.done = ours.recv(1) == b"!"

    def end(self) -> int:
        """Let it end; returns its exit code."""
        self._control.close()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_the_port_is_free_although_a_child_lives(face: Face, received: Path) -> None:
    with running(face, face.new_storage_scp(received)) as server:
        port = server.port
        child = Child()
    try:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), DEADLINE)
        again = face.start(face.new_storage_scp(received), port)
        assert again.port == port
        again.shutdown()
    finally:
        assert child.end() == 0


def test_a_child_neither_serves_nor_stops_the_server(face: Face, received: Path, ct: Path) -> None:
    with running(face, face.new_storage_scp(received)) as server:
        association = face.connect(server.port)
        child = Child(lambda: not sys.exc_info()[0])
        assert association.echo().status == 0
        assert child.end() == 0
        assert association.echo().status == 0
        association.release()
        assert face.send(server.port, ct).ok


def test_a_child_that_shuts_the_server_down_shuts_nothing_down(received: Path) -> None:
    with dcmnet.StorageSCP(received).start(0) as server:

        def leave() -> bool:
            server.shutdown()
            with pytest.raises(RuntimeError, match="not running"):
                _ = server.port
            return True

        child = Child(leave)
        assert child.done
        with dcmnet.connect("127.0.0.1", server.port) as association:
            assert association.echo().status == 0
        assert child.end() == 0


def test_a_child_does_not_answer_for_an_association_of_its_parent(received: Path) -> None:
    with dcmnet.StorageSCP(received).start(0) as server:
        association = dcmnet.connect("127.0.0.1", server.port)

        def use_and_leave() -> bool:
            with association:
                with pytest.raises(dcmnet.AssociationAborted, match="belongs to the process that made it"):
                    association.echo()
                assert not association.is_established
            association.abort()
            return True

        child = Child(use_and_leave)
        assert child.done
        assert association.echo().status == 0
        assert child.end() == 0
        assert association.is_established
        association.release()


def test_a_peer_of_the_server_is_served_by_the_parent(received: Path) -> None:
    """The connection was there when the child was forked: it closes with the parent's copy."""
    with dcmnet.StorageSCP(received).start(0) as server, RawPeer.associated(server.port) as peer:
        child = Child()
        try:
            server.hasten_shutdown()
            server.shutdown(0)
            assert peer.read_abort() == (0, 0)
            peer.read_end()
        finally:
            assert child.end() == 0
