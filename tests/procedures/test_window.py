"""Several operations of one association under way at once (PS3.7 D.3.3.3), seen from the side that serves."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmnet.acse import AcceptedContext
from dcmnet.dimse.messages import CEchoRQ, CEchoRSP, CStoreRQ, CStoreRSP, Message
from dcmnet.errors import AssociationAborted, DeadlineExceeded, RemoteProtocolError, TransportClosed
from dcmnet.limits import MAX_WINDOW
from dcmnet.procedures.association import AssociationCore
from dcmnet.procedures.effects import Join, Send, Start, Store
from dcmnet.registry.sop_classes import VERIFICATION
from dcmnet.services import storage as service
from dcmnet.services.storage import Outcome
from dcmnet.ul.items import AsynchronousOperationsWindow
from dcmnet.ul.pdu import AAbort, AAssociateAC, AAssociateRQ, AReleaseRP, AReleaseRQ
from dcmnet.ul.reader import Fragment
from tests.procedures.memory import RawPeer
from tests.procedures.pairs import (
    CT_ID,
    ECHO_ID,
    INSTANCE,
    POLICY,
    REQUEST,
    Kept,
    MemoryStore,
    RawClient,
    aborts,
    message,
    messages,
    store_request,
)

ECHO = CEchoRQ(message_id=900, affected_sop_class_uid=VERIFICATION)


@dataclass
class SlowStore(MemoryStore):
    """Keeps objects beside the next ones.

    Attributes:
        failing: What `commit` raises, by the content of the object.
        told: The contents, in the order in which they were kept.
    """

    may_take_long: bool = True
    failing: dict[bytes, BaseException] = field(default_factory=dict)

    def begin(self, core: AssociationCore, context: AcceptedContext, request: CStoreRQ) -> Any:
        return SlowlyKept(self)


class SlowlyKept(Kept):
    def commit(self, views: Sequence[memoryview]) -> Outcome:
        assert isinstance(self.store, SlowStore)
        failure = self.store.failing.get(bytes(self.data) + b"".join(views))
        if failure is not None:
            raise failure
        return super().commit(views)


def with_window(invoked: int) -> AAssociateRQ:
    information = replace(
        REQUEST.user_information, asynchronous_operations_window=AsynchronousOperationsWindow(invoked, 1)
    )
    return replace(REQUEST, user_information=information)


def client(window: int = 4, seed: int = 0, **options: Any) -> RawClient:
    peer = RawClient(seed=seed, policy=replace(POLICY, max_performed=16), **options)
    peer.send(with_window(window))
    (answer,) = peer.received()
    assert isinstance(answer, AAssociateAC)
    granted = answer.user_information.asynchronous_operations_window
    assert granted == AsynchronousOperationsWindow(window if 0 < window <= 16 else 16, 1)
    peer.incoming.seen.clear()
    return peer


def store(number: int, data: bytes | None = None) -> bytes:
    request = CStoreRQ(
        message_id=number,
        affected_sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        affected_sop_instance_uid=INSTANCE,
    )
    return message(CT_ID, request, content(number) if data is None else data)


def content(number: int) -> bytes:
    return b"%08d" % number * 30


def answers(peer: RawPeer) -> dict[int, int]:
    """Status by Message ID."""
    found: dict[int, int] = {}
    for each in messages(peer.received()):
        assert isinstance(each, CStoreRSP | CEchoRSP)
        assert each.message_id_being_responded_to not in found
        found[each.message_id_being_responded_to] = each.status
    return found


@settings(deadline=None)
@given(st.integers(0, 1 << 32), st.sampled_from([0, 2, 4, 16, 900]), st.booleans())
def test_every_object_is_kept_and_answered_once(seed: int, window: int, slow: bool) -> None:
    target = SlowStore(may_take_long=slow)
    peer = client(window, seed, store=target)
    peer.send(*(store(number) for number in range(1, 41)), message(ECHO_ID, ECHO))
    assert answers(peer) == dict.fromkeys([*range(1, 41), 900], 0)
    assert sorted(target.kept) == [content(number) for number in range(1, 41)]
    peer.send(AReleaseRQ())
    assert isinstance(peer.received()[-1], AReleaseRP)
    assert peer.server.core.started == 0
    started = [effect for effect in peer.server.effects if isinstance(effect, Start)]
    assert len(started) == (40 if slow else 0)


def test_responses_come_in_the_order_in_which_operations_end() -> None:
    orders = set()
    for seed in range(20):
        peer = client(16, seed, store=SlowStore())
        peer.send(*(store(number) for number in range(1, 9)))
        orders.add(tuple(answers(peer)))
    assert len(orders) > 5
    assert all(sorted(order) == list(range(1, 9)) for order in orders)


def test_no_more_than_were_granted_are_under_way() -> None:
    peer = client(2, store=SlowStore())
    peer.send(*(store(number) for number in range(1, 20)))
    count = most = 0
    for effect in peer.server.effects:
        count += isinstance(effect, Start) - isinstance(effect, Join)
        most = max(most, count)
    assert len(answers(peer)) == 19
    assert most <= 19
    assert any(isinstance(effect, Join) for effect in peer.server.effects)


def test_responses_to_what_arrives_together_leave_together() -> None:
    peer = client(16, store=MemoryStore())
    peer.network.whole = True
    peer.send(store(41))  # from the first data set on the receive buffer is a large one
    assert list(answers(peer)) == [41]
    before = len(peer.server.effects)
    peer.send(b"".join(store(number) for number in range(1, 9)))
    assert list(answers(peer)) == [41, *range(1, 9)]
    assert sum(isinstance(effect, Send) for effect in peer.server.effects[before:]) == 1


def test_not_too_many_responses_are_put_off() -> None:
    peer = client(0, store=MemoryStore())
    peer.network.whole = True
    peer.send(store(41))  # from the first data set on the receive buffer is a large one
    assert list(answers(peer)) == [41]
    before = len(peer.server.effects)
    peer.send(b"".join(store(number) for number in range(1, 41)))
    assert list(answers(peer)) == [41, *range(1, 41)]
    assert sum(isinstance(effect, Send) for effect in peer.server.effects[before:]) == 3


def test_without_the_item_it_is_lockstep() -> None:
    peer = RawClient(store=SlowStore(), policy=replace(POLICY, max_performed=16)).associate()
    peer.send(store(1), store(2))
    assert list(answers(peer)) == [1, 2]
    assert not any(isinstance(effect, Start) for effect in peer.server.effects)


def test_a_face_that_calls_in_threads_keeps_every_object_beside() -> None:
    peer = client(4, store=MemoryStore())
    peer.server.core.calls_in_threads = True
    peer.send(store(1), store(2))
    assert sorted(answers(peer)) == [1, 2]
    assert sum(isinstance(effect, Start) for effect in peer.server.effects) == 2


def test_a_long_end_is_written_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "DETACHED_LENGTH", 500)
    target = SlowStore()
    peer = client(4, store=target)
    peer.network.whole = True
    data = bytes(800)
    peer.send(store(1, data))
    assert answers(peer) == {1: 0}
    assert target.kept == [data]
    peer.server.core.upper_layer.get_buffer()  # it is large from now on
    peer.send(store(2, data))
    target.full_after = 10
    peer.send(store(3, data))
    assert answers(peer) == {1: 0, 2: 0, 3: 0xA700}
    kinds = [type(effect) for effect in peer.server.effects]
    assert kinds.count(Start) == 2
    assert Store in kinds


def test_a_long_end_that_finds_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "DETACHED_LENGTH", 500)
    core = client(4, store=SlowStore()).server.core
    reception = SlowlyKept(SlowStore())
    beside = service._Beside(core, core.context(CT_ID), store_request(), reception)
    procedure = beside.begin([memoryview(bytes(800))])
    assert isinstance(next(procedure), Store)
    with pytest.raises(OSError, match="No space"):
        procedure.throw(OSError(errno.ENOSPC, "No space left on device"))


def test_requests_that_come_while_responses_are_sent() -> None:
    """They are in the buffer by then, and no byte needs to come for them to be served."""
    peer = client(16, store=MemoryStore())
    peer.network.whole = True
    peer.incoming.room = 100
    peer.send(store(1) + store(2))
    peer.send(store(3) + store(4))
    for _ in range(20):
        peer.incoming.data.clear()
        peer.network.settle()
    assert answers(peer) == {1: 0, 2: 0, 3: 0, 4: 0}


@pytest.mark.parametrize("seed", range(8))
def test_an_object_that_cannot_be_kept(seed: int) -> None:
    target = SlowStore(failing={content(2): OSError(errno.ENOSPC, "No space left on device")})
    peer = client(4, seed, store=target)
    peer.send(*(store(number) for number in range(1, 6)))
    assert answers(peer) == {1: 0, 2: 0xA700, 3: 0, 4: 0, 5: 0}
    assert [type(error) for error in target.discarded] == [OSError]


@pytest.mark.parametrize("seed", range(8))
def test_a_handler_that_breaks_out(seed: int) -> None:
    """What is no answer ends the association, after everything that was begun has ended."""
    target = SlowStore(failing={content(2): ZeroDivisionError()})
    peer = client(8, seed, store=target)
    peer.send(*(store(number) for number in range(1, 6)))
    with pytest.raises(ZeroDivisionError):
        peer.server.finish()
    assert aborts(peer.received()) == [(0, 0)]
    assert peer.server.started == []
    assert peer.server.core.started == 0


@pytest.mark.parametrize("end", ["abort", "close", "half"])
@pytest.mark.parametrize("seed", range(4))
def test_the_association_ends_with_operations_under_way(end: str, seed: int) -> None:
    target = SlowStore()
    peer = client(16, seed, store=target)
    last = {"abort": AAbort(0, 0).encode(), "close": b"", "half": store(9)[:-10]}[end]
    peer.outgoing.data += b"".join(store(number) for number in range(1, 6)) + last
    if end != "abort":
        peer.outgoing.ended = True
    with pytest.raises((AssociationAborted, TransportClosed)):
        peer.server.finish()
    assert sorted(target.kept) == [content(number) for number in range(1, 6)]
    assert peer.server.started == []


@pytest.mark.parametrize("end", ["abort", "close", "nonsense"])
@pytest.mark.parametrize("seed", range(8))
def test_what_cannot_be_kept_when_the_association_has_ended(end: str, seed: int) -> None:
    """Nobody is answered any more, and nothing of it stays."""
    failure = OSError(errno.ENOSPC, "No space left on device")
    target = SlowStore(failing={content(2): failure, content(4): failure})
    peer = client(16, seed, store=target)
    peer.server.held_until = peer.network.now + 1
    last = {"abort": AAbort(0, 0).encode(), "close": b"", "nonsense": b"\x09" * 10}[end]
    peer.outgoing.data += b"".join(store(number) for number in range(1, 6)) + last
    peer.outgoing.ended = end == "close"
    with pytest.raises((AssociationAborted, TransportClosed, RemoteProtocolError)):
        peer.server.finish()
    assert sorted(target.kept) == [content(number) for number in (1, 3, 5)]
    assert target.discarded == [failure, failure]
    assert peer.server.core.started == 0


def test_a_release_waits_for_what_is_under_way() -> None:
    for seed in range(10):
        peer = client(16, seed, store=SlowStore())
        peer.send(b"".join(store(number) for number in range(1, 6)) + AReleaseRQ().encode())
        received = peer.received()
        assert len(messages(received)) == 5
        assert isinstance(received[-1], AReleaseRP)
        assert peer.server.finish() is True


def test_an_association_with_operations_under_way_is_not_idle() -> None:
    """A handler may take longer than a peer may be silent; the time begins when all are answered."""
    peer = client(4, store=SlowStore())
    peer.server.held_until = peer.network.now + 1300
    peer.send(store(1), store(2))
    peer.network.wait(1290)
    assert answers(peer) == {}
    peer.network.wait(11)
    assert answers(peer) == {1: 0, 2: 0}
    with pytest.raises(DeadlineExceeded, match="network"):
        peer.server.finish()


def test_an_end_of_a_call_in_the_middle_of_a_message() -> None:
    """The response does not wait for the object that is arriving."""
    peer = client(4, store=SlowStore())
    whole = store(2, bytes(5000))
    peer.send(store(1) + whole[:3000])
    assert list(answers(peer)) == [1]
    peer.send(whole[3000:])
    assert sorted(answers(peer)) == [1, 2]


def test_a_peer_that_is_gone_when_it_is_answered() -> None:
    peer = client(4, store=MemoryStore())
    peer.incoming.broken = ConnectionResetError(104, "Connection reset by peer")
    peer.send(store(1))
    peer.close()
    with pytest.raises(TransportClosed):
        peer.server.finish()


def test_no_limit_means_a_limit() -> None:
    peer = RawClient(store=MemoryStore(), policy=replace(POLICY, max_performed=0))
    peer.send(with_window(0))
    assert peer.server.core.serves == MAX_WINDOW


def test_fragments_of_responses_that_leave_together_are_whole() -> None:
    peer = client(16, store=MemoryStore())
    peer.send(*(store(number) for number in range(1, 9)))
    fragments: list[Any] = [each for each in peer.received() if isinstance(each, Fragment)]
    assert all(each.is_command and each.is_last for each in fragments)
    found: list[Message] = messages(fragments)
    assert len(found) == len(fragments) == 8
