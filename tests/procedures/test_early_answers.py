"""Responses that come before the request that they answer has left: nothing can have been done with it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from dcmnet.dimse.messages import CFindRQ, CFindRSP, CStoreRSP
from dcmnet.dimse.stream import fragment_message
from dcmnet.errors import RemoteProtocolError
from dcmnet.payload import Payload
from dcmnet.procedures.association import AssociationCore
from dcmnet.procedures.effects import NEVER, Look, Procedure, Send
from dcmnet.procedures.scu import next_response, store
from dcmnet.procedures.sending import match, never_sent, send_parts
from tests.procedures.pairs import CT_ID, INSTANCE, MemoryStore, Pair, RawServer, message, store_request

ROOM = 5000
LARGE = bytes(400_000)
"""Of a request that leaves in two batches."""


def store_response(number: int, status: int = 0) -> CStoreRSP:
    return CStoreRSP(message_id_being_responded_to=number, status=status)


def answer(number: int, status: int = 0) -> bytes:
    return message(CT_ID, store_response(number, status))


def storing(peer: RawServer, data_set: Payload = LARGE) -> Procedure[CStoreRSP]:
    core = peer.client.core
    return store(core, core.context(CT_ID), INSTANCE, data_set)


def read(peer: RawServer, count: int) -> None:
    """Read so many bytes."""
    while count:
        taken = min(count, len(peer.incoming.data))
        assert taken
        del peer.incoming.data[:taken]
        count -= taken
        peer.network.settle()


def take_all(peer: RawServer) -> None:
    """Read everything, for as long as the client sends."""
    while peer.incoming.data:
        peer.incoming.data.clear()
        peer.network.settle()


@pytest.mark.parametrize("status", [0x0000, 0xB000, 0xB007, 0xFF00])
@pytest.mark.parametrize("length", [20_000, len(LARGE)])
def test_what_had_not_left_cannot_have_been_stored(status: int, length: int) -> None:
    peer = RawServer(room=ROOM).associate()
    peer.client.start(storing(peer, bytes(length)))
    peer.network.settle()
    peer.send(answer(1, status))
    peer.network.settle()
    take_all(peer)
    expected = (
        f"C-STORE-RSP with status {status:04X}H came before the C-STORE-RQ that it answers had been sent"
    )
    with pytest.raises(RemoteProtocolError, match=expected):
        peer.client.finish()


@pytest.mark.parametrize("status", [0xA700, 0xC123, 0x0122])
def test_a_refusal_may_come_early(status: int) -> None:
    """The peer has read what it refuses; the rest is sent, and the association goes on."""
    peer = RawServer(room=ROOM).associate()
    peer.client.start(storing(peer))
    peer.network.settle()
    peer.send(answer(1, status))
    peer.network.settle()
    take_all(peer)
    assert peer.client.finish().status == status
    core = peer.client.core
    assert (core.early, core.message_ids.outstanding, core.busy) == ({}, {}, False)


def test_an_answer_that_came_before_the_question() -> None:
    """Two responses come together, the second to a request that this side has not begun."""
    peer = RawServer().associate()
    core = peer.client.core
    peer.client.start(storing(peer, b"12"))
    peer.network.settle()
    take_all(peer)
    peer.network.whole = True
    peer.send(answer(1) + answer(2))
    assert peer.client.finish().status == 0
    with pytest.raises(RemoteProtocolError, match="before the C-STORE-RQ"):
        peer.client.run(storing(peer, b"34"))
    assert not core.upper_layer.established


def test_an_early_answer_behind_bytes_that_wait_to_be_read() -> None:
    """The first bytes of an answer have arrived; the rest comes before the last batch leaves."""
    core = RawServer().associate().client.core
    take_in(core, answer(1)[:7])
    procedure = send_parts(core, [b"the last batch"], [(1, 1)], is_first=False)
    look = next(procedure)
    assert look == Look(to_the_end=True)
    take_in(core, answer(1)[7:])
    assert isinstance(procedure.send(True), Send)
    assert core.early == {1: core.upper_layer.received}


def take_in(core: AssociationCore, data: bytes) -> None:
    room = core.upper_layer.get_buffer()
    room[: len(data)] = data
    core.upper_layer.bytes_received(len(data), 0.0)


def test_an_answer_in_time() -> None:
    pair = Pair(store=MemoryStore()).establish()
    for _ in range(3):
        assert (
            pair.client.run(store(pair.client.core, pair.client.core.context(CT_ID), INSTANCE, LARGE)).status
            == 0
        )
    assert pair.client.core.early == {}


# ---------------------------------------------------------------------- several requests in one go


def three(peer: RawServer, length: int) -> tuple[list[Payload], list[tuple[int, int]]]:
    """Three C-STORE-RQs with data sets of that length, and where each ends."""
    parts: list[Payload] = []
    requests = []
    for _ in range(3):
        request = store_request(peer.client.core.message_ids.next())
        for batch in fragment_message(CT_ID, request, bytes(length), 4096):
            parts += batch
        requests.append((request.message_id, len(parts)))
        peer.client.core.message_ids.add(request)
    return parts, requests


def sending(core: AssociationCore, parts: list[Payload], requests: Any, taken: list[int]) -> Procedure[None]:
    core.busy = True
    yield from send_parts(core, parts, requests)
    while len(taken) < len(requests):
        response = yield from next_response(core)
        taken.append(response.message_id_being_responded_to)


@pytest.mark.parametrize("count", range(0, 30_001, 2500))
@pytest.mark.parametrize("answered", [(1,), (1, 2), (2,), (1, 2, 3), (3,)])
def test_each_of_several_requests_has_its_own_end(count: int, answered: tuple[int, ...]) -> None:
    """The peer has read so many bytes when it answers; this side knows how many it had handed over then."""
    room = 500
    peer = RawServer(room=room).associate()
    parts, requests = three(peer, 10_000)
    ends = list(itertools.accumulate(map(len, parts)))
    whole = {number for number, last in requests if ends[last - 1] <= count + room}
    taken: list[int] = []
    peer.network.whole = True
    peer.client.start(sending(peer.client.core, parts, requests, taken))
    peer.network.settle()
    read(peer, count)
    peer.send(b"".join(map(answer, answered)))
    peer.network.settle()
    take_all(peer)
    peer.send(b"".join(answer(number) for number, _ in requests if number not in answered))
    if whole.issuperset(answered):
        peer.client.finish()
        assert sorted(taken) == [1, 2, 3]
        return
    with pytest.raises(RemoteProtocolError, match="before the C-STORE-RQ"):
        peer.client.finish()
    assert set(taken) <= whole


def test_what_is_not_sent_at_all() -> None:
    peer = RawServer().associate()
    core = peer.client.core
    three(peer, 10)
    never_sent(core, [1, 3])
    assert core.early == {1: NEVER, 3: NEVER}
    with pytest.raises(RemoteProtocolError, match="before the C-STORE-RQ"):
        match(core, store_response(1))
    assert match(core, store_response(2)).message_id == 2
    assert match(core, store_response(3, 0xA700)).message_id == 3
    assert core.early == {}


def test_pending_responses_leave_the_note_and_the_last_one_takes_it() -> None:
    core = RawServer().associate().client.core
    core.message_ids.add(CFindRQ(message_id=1, affected_sop_class_uid="1.2"))
    core.early[1] = core.upper_layer.consumed - 1
    for status, left in ((0xFF00, [1]), (0xFF01, [1]), (0, [])):
        match(core, CFindRSP(message_id_being_responded_to=1, status=status))
        assert list(core.early) == left


def test_what_is_noted_while_parts_are_sent() -> None:
    send = Send([bytes(10)])
    for left, position in ((9, 100), (9, 150), (3, 160)):
        send.note(left, position)
    assert send.heard == [(9, 150), (3, 160)]
