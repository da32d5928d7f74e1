"""The Storage service: objects that arrive whole, in pieces, not at all, or to a full disk."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmnet.dimse.messages import CEchoRQ, CEchoRSP, CStoreRSP
from dcmnet.errors import (
    AssociationAborted,
    DeadlineExceeded,
    RemoteProtocolError,
    TransportClosed,
)
from dcmnet.limits import Limits
from dcmnet.procedures.effects import Call, Receive, Send, Store
from dcmnet.registry.sop_classes import VERIFICATION
from dcmnet.services.storage import storage
from dcmnet.ul.pdu import PDV, AAbort, PDataTF
from dcmnet.ul.reader import Fragment
from tests.procedures.pairs import (
    CT_ID,
    ECHO_ID,
    INSTANCE,
    TIMEOUTS,
    MemoryStore,
    RawClient,
    aborts,
    message,
    messages,
    store_request,
)

DATA = bytes(range(256)) * 40


def statuses(peer: RawClient) -> list[int]:
    found = []
    for each in messages(peer.received()):
        assert isinstance(each, CStoreRSP)
        assert each.affected_sop_instance_uid == INSTANCE
        found.append(each.status)
    return found


def next_store_works(peer: RawClient, target: MemoryStore) -> None:
    peer.incoming.seen.clear()
    target.full_after = target.refusal = None
    peer.send(message(CT_ID, store_request(77), DATA[:99]))
    assert statuses(peer) == [0]
    assert target.kept[-1] == DATA[:99]


@settings(deadline=None)
@given(
    st.integers(0, 1 << 32),
    st.binary(max_size=3000),
    st.lists(st.integers(0, 5), max_size=4),
    st.integers(8, 3000).map(lambda size: size * 2),
    st.sampled_from([16, 100, 4096, 256 * 1024]),
)
def test_any_data_set_in_any_cutting(
    seed: int, data: bytes, empties: list[int], size: int, buffer_length: int
) -> None:
    """PDVs of any length, empty ones among them, in PDUs that arrive in any pieces, through any buffer."""
    target = MemoryStore()
    peer = RawClient(store=target, seed=seed, limits=Limits(receive_buffer_length=buffer_length)).associate()
    request = message(CT_ID, store_request(), b"", size=min(size, 4096))[:-12]
    pieces = [data[start : start + 500] for start in range(0, len(data), 500)]
    for position in empties:
        pieces.insert(position, b"")
    pdvs = [PDV(CT_ID, False, False, piece) for piece in pieces] + [PDV(CT_ID, False, True, b"")]
    pdus = [PDataTF(tuple(pdvs[start : start + 2])).encode() for start in range(0, len(pdvs), 2)]
    peer.send(request, *pdus)
    assert statuses(peer) == [0]
    assert target.kept == [data]
    assert target.discarded == []


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("length", [0, 1, 5000, len(DATA) - 1])
def test_no_space_left(seed: int, length: int) -> None:
    target = MemoryStore(full_after=length)
    peer = RawClient(store=target, seed=seed).associate()
    peer.send(message(CT_ID, store_request(), DATA))
    assert statuses(peer) == [0xA700]
    assert target.kept == []
    assert [type(error) for error in target.discarded] == [OSError]
    next_store_works(peer, target)


@pytest.mark.parametrize("data", [b"", b"1", DATA])
def test_a_refused_object_is_read_to_its_end(data: bytes) -> None:
    target = MemoryStore(refusal=(0xA900, "not here"))
    peer = RawClient(store=target).associate()
    peer.send(message(CT_ID, store_request(), data))
    assert statuses(peer) == [0xA900]
    assert target.kept == []
    assert target.discarded == []
    next_store_works(peer, target)


@pytest.mark.parametrize(("answer", "status"), [(None, 0), ((0xA700, "not now"), 0xA700)])
def test_who_is_asked_first_may_refuse(answer: tuple[int, str] | None, status: int) -> None:
    target = MemoryStore(ask_first=lambda reception: answer)
    peer = RawClient(store=target).associate()
    peer.send(message(CT_ID, store_request(), DATA))
    assert statuses(peer) == [status]
    assert target.kept == ([DATA] if answer is None else [])
    assert target.refused_with == ([] if answer is None else [answer])
    target.ask_first = None
    next_store_works(peer, target)


def test_a_target_that_fails_aborts() -> None:
    target = MemoryStore(refusal=ZeroDivisionError())
    peer = RawClient(store=target).associate()
    peer.send(message(CT_ID, store_request(), DATA))
    assert aborts(peer.received()) == [(0, 0)]
    peer.close()
    with pytest.raises(ZeroDivisionError):
        peer.server.finish()


def failing(error: BaseException) -> Callable[..., Any]:
    def fail(*_: object) -> Any:
        raise error

    return fail


@pytest.mark.parametrize("method", ["write", "commit"])
@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyboardInterrupt(), AssociationAborted(0, 0)])
def test_a_reception_that_fails_is_discarded(
    method: str, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = MemoryStore()
    monkeypatch.setattr(f"tests.procedures.pairs.Kept.{method}", failing(error))
    peer = RawClient(store=target).associate()
    peer.send(message(CT_ID, store_request(), DATA))
    assert target.discarded == [error]
    assert aborts(peer.received()) == [(0, 0)]
    peer.close()
    with pytest.raises(type(error)):
        peer.server.finish()


@pytest.mark.parametrize("method", ["write", "commit"])
@pytest.mark.parametrize("data", [b"", b"1", DATA])
def test_a_disk_that_fails_is_no_reason_to_end(
    method: str, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the last bytes, or any before them, find no place: the object is refused, the next is taken."""
    target = MemoryStore()
    error = OSError(errno.EIO, "Input/output error")
    with monkeypatch.context() as patch:
        patch.setattr(f"tests.procedures.pairs.Kept.{method}", failing(error))
        peer = RawClient(store=target).associate()
        peer.send(message(CT_ID, store_request(), data))
        assert statuses(peer) == [0xA700]
    assert target.discarded == [error]
    assert target.kept == []
    next_store_works(peer, target)


def test_the_last_bytes_come_with_the_commit() -> None:
    """A small object takes one call; a large one is written as it arrives."""
    target = MemoryStore()
    peer = RawClient(store=target).associate()
    before = len(peer.server.effects)
    peer.send(message(CT_ID, store_request(), DATA[:500]))
    assert [type(each) for each in peer.server.effects[before:] if isinstance(each, Store | Call)] == [Call]
    data = message(CT_ID, store_request(2), DATA)
    for start in range(0, len(data), 3000):
        peer.send(data[start : start + 3000])
    assert sum(isinstance(each, Store) for each in peer.server.effects[before:]) >= 2
    assert statuses(peer) == [0, 0]
    assert target.kept == [DATA[:500], DATA]


BEFORE_LAST = message(CT_ID, store_request(), DATA)[:-300]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("end", "error"),
    [
        (lambda peer: peer.close(), TransportClosed),
        (lambda peer: peer.reset(), TransportClosed),
        (lambda peer: peer.network.wait(20), DeadlineExceeded),
        (lambda peer: peer.server.interrupt(KeyboardInterrupt()), KeyboardInterrupt),
    ],
    ids=["closed", "reset", "silent", "interrupted"],
)
def test_an_object_that_ends_in_the_middle(seed: int, end: Any, error: type[BaseException]) -> None:
    target = MemoryStore()
    peer = RawClient(store=target, seed=seed).associate()
    peer.send(BEFORE_LAST)
    assert target.discarded == []
    end(peer)
    with pytest.raises(error):
        peer.server.finish()
    assert target.kept == []
    assert [type(each) for each in target.discarded] == [error]
    assert not peer.server.open
    spoken = aborts(peer.received())
    assert spoken == ([] if error is TransportClosed else [(0, 0)])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("pdu", "error", "answer"),
    [
        (AAbort(0, 0), AssociationAborted, []),
        (b"\x05\x00\x00\x00\x00\x04\x00\x00\x00\x00", RemoteProtocolError, [(2, 2)]),
        (
            message(ECHO_ID, CEchoRQ(message_id=8, affected_sop_class_uid=VERIFICATION)),
            RemoteProtocolError,
            [(2, 5)],
        ),
        (PDataTF((PDV(ECHO_ID, False, True, b""),)), RemoteProtocolError, [(2, 5)]),
        (b"\x0a\x00\x00\x00\x00\x00", RemoteProtocolError, [(2, 1)]),
    ],
    ids=["abort", "release", "command", "other context", "unknown PDU"],
)
def test_what_must_not_come_within_a_data_set(
    seed: int, pdu: Any, error: type[BaseException], answer: list[tuple[int, int]]
) -> None:
    target = MemoryStore()
    peer = RawClient(store=target, seed=seed).associate()
    peer.send(message(CT_ID, store_request(), DATA, size=300)[: -(len(DATA) % 294 + 12)], pdu)
    peer.close()
    with pytest.raises(error):
        peer.server.finish()
    assert target.kept == []
    assert [type(each) for each in target.discarded] == [error]
    assert aborts(peer.received()) == answer


def test_a_peer_that_sends_too_slowly() -> None:
    target = MemoryStore()
    peer = RawClient(
        store=target, timeouts=replace(TIMEOUTS, minimum_rate=64, minimum_rate_period=30)
    ).associate()
    peer.send(message(CT_ID, store_request(), b"", size=4000)[:-12])
    peer.send(b"\x04\x00\x00\x00\x0f\x00\x00\x00\x0e\xfc\x03\x02")
    for _ in range(45):  # at 70 bytes a second it is left alone
        peer.network.wait(1)
        peer.send(bytes(70))
    assert target.discarded == []
    for _ in range(60):
        peer.network.wait(1)
        peer.send(bytes(3))
    with pytest.raises(DeadlineExceeded, match="minimum rate"):
        peer.server.finish()
    assert [type(each) for each in target.discarded] == [DeadlineExceeded]
    assert aborts(peer.received()) == [(0, 0)]


def test_a_slow_disk_is_not_held_against_the_peer() -> None:
    target = MemoryStore()
    peer = RawClient(
        store=target, timeouts=replace(TIMEOUTS, minimum_rate=64, minimum_rate_period=30)
    ).associate()

    class Slow(MemoryStore):
        def begin(self, *args: Any) -> Any:
            peer.network.now += 1000
            return super().begin(*args)

    slow = Slow()
    peer = RawClient(
        store=slow, timeouts=replace(TIMEOUTS, minimum_rate=64, minimum_rate_period=30)
    ).associate()
    data = message(CT_ID, store_request(), DATA)
    peer.send(data[:-100])
    peer.send(data[-100:])
    assert statuses(peer) == [0]


def test_the_reception_is_discarded_where_the_procedure_is_dropped() -> None:
    target = MemoryStore()
    peer = RawClient(store=target).associate()
    peer.send(BEFORE_LAST)
    assert isinstance(peer.server.effects[-1], Receive)
    peer.server.drop()
    assert [type(each) for each in target.discarded] == [GeneratorExit]


@pytest.mark.parametrize("effect", [Store, Call, Receive])
@pytest.mark.parametrize("number", range(1, 6))
def test_interrupted_at_any_effect(effect: type, number: int) -> None:
    target = MemoryStore()
    peer = RawClient(store=target, seed=number).associate()
    peer.server.interrupt_at(effect, KeyboardInterrupt(), number)
    peer.send(message(CT_ID, store_request(), DATA), message(CT_ID, store_request(2), DATA))
    peer.close()
    with pytest.raises((KeyboardInterrupt, TransportClosed)):
        peer.server.finish()
    assert len(target.kept) + len(target.discarded) <= 2
    assert not peer.server.open


def test_a_handler_that_aborts_through_the_upper_layer_while_data_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = MemoryStore()
    peer = RawClient(store=target).associate()
    core = peer.server.core
    monkeypatch.setattr("tests.procedures.pairs.Kept.write", lambda *_: core.upper_layer.abort())
    peer.send(BEFORE_LAST)
    peer.close()
    with pytest.raises(TransportClosed, match="where a message was due"):
        peer.server.finish()
    assert [type(each) for each in target.discarded] == [TransportClosed]
    assert aborts(peer.received()) == [(0, 0)]


def test_an_echo_between_two_objects() -> None:
    target = MemoryStore()
    peer = RawClient(store=target).associate()
    ask = CEchoRQ(message_id=5, affected_sop_class_uid=VERIFICATION)
    one = message(CT_ID, store_request(), DATA)
    peer.send(one + message(ECHO_ID, ask) + one)
    assert [type(each) for each in messages(peer.received())] == [CStoreRSP, CEchoRSP, CStoreRSP]
    assert target.kept == [DATA, DATA]


def test_a_refusal_is_told_through_an_effect() -> None:
    target = MemoryStore(refusal=(0x0122, "not here"))
    peer = RawClient(store=target).associate()
    before = len(peer.server.effects)
    peer.send(message(CT_ID, store_request(), DATA))
    assert statuses(peer) == [0x0122]
    assert target.refused_with == [(0x0122, "not here")]
    calls = [each for each in peer.server.effects[before:] if isinstance(each, Call)]
    assert [each.handler for each in calls] == [target.refused]


def test_a_response_that_cannot_be_sent() -> None:
    """How the association has ended comes up as soon as it is known."""
    target = MemoryStore()
    peer = RawClient(store=target).associate()
    procedure = storage(target)(peer.server.core, peer.server.core.context(CT_ID), store_request())
    peer.server.core.assembler.feed(fragment(store_request().encode(), is_command=True))
    assert next(procedure) is peer.server.core.wait_dimse
    call = procedure.send(fragment(DATA, is_command=False))
    assert isinstance(call, Call)
    assert isinstance(procedure.send(call.handler(*call.args)), Send)
    assert isinstance(procedure.send(False), Receive)
    with pytest.raises(TransportClosed):
        procedure.send(None)
    assert target.kept == [DATA]


def fragment(data: bytes, *, is_command: bool) -> Fragment:
    return Fragment(CT_ID, is_command, True, True, memoryview(data))
