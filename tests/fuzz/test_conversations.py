"""Mutated conversations: with the whole of an acceptor in memory, and with a running server."""

from __future__ import annotations

import gc
import logging
import os
import random
import socket
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import dcmnet
from dcmnet.errors import DcmnetError
from dcmnet.limits import Timeouts
from dcmnet.procedures.effects import Call, Close, Effect, Finished, Join, Receive, Send, Start, Store
from dcmnet.procedures.scp import serve
from dcmnet.storage.files import PARTIAL_PREFIX
from dcmnet.storage.node import Node
from dcmnet.storage.scp import FileStore
from tests.faces.adapters import AsyncioFace, BlockingFace, Face, running
from tests.faces.wire import (
    ABORT,
    DEADLINE,
    ECHO,
    ECHO_COMMAND,
    RELEASE_RQ,
    USER_ITEMS,
    RawPeer,
    associate_rq,
    ct_data_set,
    item,
    p_data,
    pieces,
    store,
    store_command,
    until,
)
from tests.fuzz.mutations import cut, mutated, rounds, shuffled

PDUS = [
    ECHO,
    store(),
    p_data(1, 1, ECHO_COMMAND[:20]),
    p_data(1, 3, ECHO_COMMAND[20:]),
    p_data(3, 3, store_command("1.2.4")),
    p_data(3, 0, ct_data_set("1.2.4")),
    p_data(3, 2, bytes(300)),
    p_data(3, 2, b""),
    RELEASE_RQ,
    ABORT,
]
STEPS = 20_000
WINDOWS = pytest.mark.parametrize("window", [1, 4])


def conversation(chance: random.Random, window: int) -> bytes:
    """A request for an association and what comes behind it, with faults here, there or in both."""
    asked = item(0x53, struct.pack(">HH", window, 1)) if window != 1 else b""
    request = associate_rq(user_items=USER_ITEMS + asked)
    rest = b"".join(PDUS[:3]) + store("1.2.5") * 3 + RELEASE_RQ
    match chance.randrange(4):
        case 0:
            return mutated(request, chance) + rest
        case 1:
            return request + mutated(rest, chance)
        case 2:
            return request + shuffled(PDUS, chance)
        case _:
            return mutated(request + shuffled(PDUS, chance), chance)


class Memory:
    """A driver without socket, thread or clock: the peer's bytes are given, the answers are collected."""

    def __init__(self, node: Node, received: list[bytes], chance: random.Random) -> None:
        self.core = node.new_core()
        self.core.calls_in_threads = True
        self.started: list[Start] = []
        self._chance = chance
        self.sent = bytearray()
        self.steps = 0
        self._received = iter(received)
        self._now = 0.0
        self._actions: dict[type, Callable[[Any], Any]] = {
            Send: self._send,
            Receive: self._receive,
            Store: lambda effect: effect.sink.write(effect.views),
            Call: lambda effect: effect.handler(*effect.args),
            Start: self.started.append,
            Join: lambda _: self._end_one(),
            Close: lambda effect: self.core.upper_layer.transport_closed(self._now),
        }
        self.core.upper_layer.transport_connected(0.0)

    def run(self, procedure: Any) -> None:
        outcome: Any = None
        failure: BaseException | None = None
        with suppress(StopIteration):
            while True:
                self.steps += 1
                assert self.steps < STEPS, "it does not end"
                effect: Effect = procedure.send(outcome) if failure is None else procedure.throw(failure)
                outcome = failure = None
                try:
                    outcome = self._actions[type(effect)](effect)
                except DcmnetError as error:
                    failure = error

    def _send(self, effect: Send) -> bool:
        for part in effect.parts:
            self.sent += memoryview(part)  # type: ignore[arg-type]  # responses hold no file ranges
        return True

    def _end_one(self) -> Finished:
        call = self.started.pop(self._chance.randrange(len(self.started)))
        return Finished(call, call.handler(*call.args))

    def _receive(self, effect: Receive) -> Any:
        if self.started and self._chance.random() < 0.2:
            return self._end_one()
        upper_layer = self.core.upper_layer
        event = None if effect.looked else upper_layer.next_event()
        while event is None and not upper_layer.closing:
            piece = next(self._received, b"")
            self._now += 0.001
            if not piece:
                upper_layer.transport_lost(self._now)
            for part in pieces(piece, 1024):
                room = upper_layer.get_buffer()
                room[: len(part)] = part
                upper_layer.bytes_received(len(part), self._now)
                break  # the rest would not fit while this has not been looked at
            event = upper_layer.next_event()
        return event


def whole_pdus(sent: bytes) -> list[int]:
    """The types of the PDUs in a stream, which has to end where one ends."""
    kinds = []
    position = 0
    while position < len(sent):
        kinds.append(sent[position])
        position += 6 + int.from_bytes(sent[position + 2 : position + 6], "big")
    assert position == len(sent)
    return kinds


@WINDOWS
@pytest.mark.parametrize("seed", range(2))
def test_in_memory(tmp_path: Path, seed: int, window: int) -> None:
    node = Node(store=FileStore(directory=tmp_path), timeouts=Timeouts())
    acceptor = node.acceptor()
    for chance in rounds(500):
        chance = random.Random(f"{seed}-{chance.random()}")
        stream = [part for piece in cut(conversation(chance, window), chance) for part in pieces(piece, 1024)]
        memory = Memory(node, stream, chance)
        with suppress(DcmnetError):
            memory.run(serve(memory.core, acceptor))
        kinds = whole_pdus(bytes(memory.sent))
        assert set(kinds) <= {2, 3, 4, 6, 7}
        assert all(kind == 4 for kind in kinds[1:-1])
        assert memory.core.upper_layer.closing
        assert (memory.core.started, memory.started) == (0, [])
        assert not [path for path in tmp_path.iterdir() if path.name.startswith(PARTIAL_PREFIX)]


@WINDOWS
def test_in_memory_nothing_grows(tmp_path: Path, window: int) -> None:
    node = Node(store=FileStore(directory=tmp_path), timeouts=Timeouts())
    acceptor = node.acceptor()

    def some(count: int) -> None:
        for number in range(count):
            chance = random.Random(number)
            memory = Memory(node, list(pieces(conversation(chance, window), 1024)), chance)
            with suppress(DcmnetError):
                memory.run(serve(memory.core, acceptor))

    tracemalloc.start()
    try:
        some(100)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        some(300)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 200_000


@pytest.fixture(params=[BlockingFace, AsyncioFace])
def face(request: pytest.FixtureRequest) -> Iterator[Face]:
    face: Face = request.param()
    yield face
    face.close()


@WINDOWS
def test_a_running_server(face: Face, tmp_path: Path, caplog: pytest.LogCaptureFixture, window: int) -> None:
    """A mutated conversation, then a good one; nothing is left behind in the end."""
    caplog.set_level(logging.CRITICAL, "dcmnet")
    timeouts = dcmnet.Timeouts(artim=1.0, dimse=1.0, network=1.0, write=1.0)
    with running(face, face.new_storage_scp(tmp_path, timeouts=timeouts, fsync=window != 1)) as server:
        descriptors = len(os.listdir("/proc/self/fd"))
        for chance in rounds(250):
            with RawPeer.connected(server.port) as peer:
                for piece in cut(conversation(chance, window), chance):
                    peer.send_as_far_as_it_goes(piece)
                with suppress(OSError):
                    peer.sock.shutdown(socket.SHUT_WR)
                whole_pdus(_rest(peer))
            if chance.random() < 0.2:
                with RawPeer.associated(server.port) as good:
                    good.send(ECHO)
                    assert good.read_status() == 0
                    good.send(RELEASE_RQ)
                    good.read_pdu()
        until(lambda: server.associations == 0)
        until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors + 2)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(PARTIAL_PREFIX)]


def _rest(peer: RawPeer) -> bytes:
    """What the server answers up to the end; a reset may have destroyed it."""
    data = b""
    peer.sock.settimeout(DEADLINE)
    while True:
        try:
            piece = peer.sock.recv(65536)
        except ConnectionError:
            return b""
        if not piece:
            return data
        data += piece
