"""A peer that stores objects, and ends the association over some of them."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any, Self

from tests.faces.test_sending import response
from tests.faces.wire import (
    ABORT,
    DEADLINE,
    EXPLICIT,
    RELEASE_RP,
    RELEASE_RQ,
    RawPeer,
    associate_ac,
    command_value,
    pdu,
)

GARBAGE = pdu(0x55, b"what is this")


class FussyPeer:
    """Takes any number of associations, and ends each over some objects.

    Args:
        bad: SOP Instance UIDs.
        end: Ends an association, at the first PDU of an object.
        window: Operations that it grants; it answers when as many have come, or nothing more is there.
        times: How often it ends one over the same object.
    """

    def __init__(
        self, bad: set[str], end: Callable[[RawPeer], Any], window: int = 1, times: int = 1000
    ) -> None:
        self.bad = dict.fromkeys(bad, times)
        self.end = end
        self.window = window
        self.kept: list[str] = []
        self.associations = 0
        self.came_again = threading.Event()
        self.errors: list[BaseException] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=50)
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()
        assert self.errors == []

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.associations += 1
            if self.associations > 1:
                self.came_again.set()
            thread = threading.Thread(target=self._serve, args=(RawPeer(connection),), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, peer: RawPeer) -> None:
        try:
            with peer, contextlib.suppress(ConnectionError):
                assert peer.read_pdu()[:1] == b"\x01"
                peer.send(associate_ac([(1, EXPLICIT)], window=self.window))
                while self._take(peer):
                    pass
        except BaseException as error:
            self.errors.append(error)

    def _take(self, peer: RawPeer) -> bool:
        """One object; False when the association has ended."""
        first = peer.read_pdu()
        if first[:1] == b"\x05":
            peer.send(RELEASE_RP)
        if first[:1] != b"\x04":
            return False
        value = command_value(first[12:], 0x1000)
        assert value is not None
        uid = value.rstrip(b"\0").decode()
        number = command_value(first[12:], 0x0110)
        assert number is not None
        message_id = int.from_bytes(number, "little")
        if self.bad.get(uid, 0) > 0:
            self.bad[uid] -= 1
            return self._spoil(peer, message_id)
        while peer.read_pdu()[11] != 2:
            pass
        self.kept.append(uid)
        peer.send(response(0, message_id))
        return True

    def _spoil(self, peer: RawPeer, message_id: int) -> bool:
        """What is done over an object that is bad; False when the association has ended."""
        self.end(peer)
        return False


def read_all(peer: RawPeer) -> None:
    while peer.read(65536):
        pass


def read_to_the_last_pdu(peer: RawPeer) -> None:
    """Up to an A-RELEASE-RP or an A-ABORT, after which this side closes the connection."""
    while (pdu := peer.read_pdu()) and pdu[:1] not in {b"\x06", b"\x07"}:
        pass


def abort(peer: RawPeer) -> None:
    peer.send(ABORT)
    read_all(peer)


def release(peer: RawPeer) -> None:
    peer.send(RELEASE_RQ)
    read_to_the_last_pdu(peer)


def garbage(peer: RawPeer) -> None:
    peer.send(GARBAGE)
    read_to_the_last_pdu(peer)


def early_answer_to_another(peer: RawPeer) -> None:
    peer.send(response(0, 999))
    read_to_the_last_pdu(peer)
