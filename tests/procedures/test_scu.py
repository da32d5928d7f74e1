"""Operations that this side invokes: C-ECHO and C-STORE, whatever the peer does to them."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmnet.dimse.messages import CCancelRQ, CEchoRQ, CEchoRSP, CFindRSP, CStoreRQ, CStoreRSP, Message
from dcmnet.errors import (
    AssociationAborted,
    AssociationReleased,
    DeadlineExceeded,
    InputFileError,
    LocalProtocolError,
    NoPresentationContext,
    RemoteProtocolError,
    TransportClosed,
)
from dcmnet.payload import FileRange, Payload
from dcmnet.procedures.association import release
from dcmnet.procedures.effects import Procedure, Send
from dcmnet.procedures.scu import echo, invoke, store
from dcmnet.registry.sop_classes import VERIFICATION
from dcmnet.ul.fsm import Sta
from dcmnet.ul.pdu import PDV, AAbort, AReleaseRP, AReleaseRQ, PDataTF
from tests.procedures.pairs import (
    CT_ID,
    ECHO_ID,
    INSTANCE,
    POLICY,
    TIMEOUTS,
    MemoryStore,
    Pair,
    RawServer,
    aborts,
    accepting,
    message,
    messages,
)

ECHO_RESPONSE = CEchoRSP(message_id_being_responded_to=1, status=0)
STORE_RESPONSE = CStoreRSP(message_id_being_responded_to=1, status=0)
HUGE = 1_000_000


def storing(peer: RawServer | Pair, data_set: Payload) -> Procedure[CStoreRSP]:
    core = peer.client.core
    return store(core, core.context(CT_ID), INSTANCE, data_set)


@settings(deadline=None)
@given(st.integers(0, 1 << 32))
def test_echo(seed: int) -> None:
    pair = Pair(seed).establish()
    for number in (1, 2, 3):
        response = pair.client.run(echo(pair.client.core))
        assert isinstance(response, CEchoRSP)
        assert (response.status, response.message_id_being_responded_to) == (0, number)
    assert not pair.client.core.busy
    assert not pair.client.core.message_ids.outstanding
    pair.client.run(release(pair.client.core))
    assert pair.server.finish() is True
    assert pair.network.now == 1000


@settings(deadline=None)
@given(st.integers(0, 1 << 32), st.sampled_from([0, 1, 2, 999, 4090, 4091, 4092, 8180, 30000]))
def test_store_of_any_length_in_any_cutting(seed: int, length: int) -> None:
    target = MemoryStore()
    pair = Pair(seed, store=target).establish()
    data = pair.network.random.randbytes(length)
    for kind in (bytes, bytearray, memoryview):
        assert pair.client.run(storing(pair, kind(data))).status == 0
    assert target.kept == [data] * 3
    pair.client.run(release(pair.client.core))
    assert pair.server.finish() is True


def test_store_of_a_huge_data_set_whose_pdus_are_bounded_by_the_peers_maximum() -> None:
    target = MemoryStore()
    pair = Pair(store=target).establish()
    pair.network.whole = True
    data = pair.network.random.randbytes(HUGE)
    assert pair.client.run(storing(pair, data)).status == 0
    assert target.kept == [data]
    sends = [effect for effect in pair.client.effects if isinstance(effect, Send)]
    lengths = [len(part) for effect in sends[1:] for part in effect.parts]
    assert max(lengths) == 4090


@pytest.mark.parametrize("status", [0xB000, 0xA700, 0xC123, 0x0122])
def test_a_status_of_the_peer_is_a_result(status: int) -> None:
    pair = Pair(store=MemoryStore(outcome=(status, "why"))).establish()
    response = pair.client.run(storing(pair, b"data"))
    assert (response.status, response.error_comment) == (status, "why")
    assert pair.client.core.upper_layer.established


def test_no_presentation_context_harms_nothing() -> None:
    refused = replace(
        accepting(),
        presentation_contexts=tuple(
            replace(each, result=3 if each.context_id == ECHO_ID else 0)
            for each in accepting().presentation_contexts
        ),
    )
    peer = RawServer().associate(refused)
    with pytest.raises(NoPresentationContext, match="Verification"):
        peer.client.run(echo(peer.client.core))
    assert peer.received() == []
    assert peer.client.core.upper_layer.established
    assert POLICY.contexts


@pytest.mark.parametrize("fault", ["instance UID", "data set flag"])
def test_a_message_that_cannot_be_sent_harms_nothing(fault: str) -> None:
    pair = Pair(store=MemoryStore()).establish()
    core = pair.client.core
    context = core.context(CT_ID)
    request = CStoreRQ(
        message_id=9,
        affected_sop_class_uid=context.abstract_syntax,
        affected_sop_instance_uid="" if fault == "instance UID" else INSTANCE,
    )
    payload = b"" if fault == "instance UID" else None
    with pytest.raises(LocalProtocolError):
        pair.client.run(invoke(core, context, request, CStoreRSP, payload))
    assert not core.busy
    assert not core.message_ids.outstanding
    assert pair.client.run(storing(pair, b"")).status == 0


def test_a_file_range() -> None:
    target = MemoryStore()
    pair = Pair(store=target).establish()
    with tempfile.TemporaryFile() as file:
        file.write(bytes(range(256)) * 100)
        file.flush()
        assert pair.client.run(storing(pair, FileRange(file.fileno(), 256, 20001))).status == 0
    assert target.kept == [(bytes(range(256)) * 100)[256:20257]]


@pytest.mark.parametrize("claimed", [600, HUGE])
def test_a_file_that_is_too_short(claimed: int) -> None:
    """Where nothing of it has been sent the association goes on, else it is aborted."""
    pair = Pair(store=MemoryStore()).establish()
    with tempfile.TemporaryFile() as file:
        file.truncate(300_000 if claimed == HUGE else 599)
        with pytest.raises(InputFileError, match="shorter"):
            pair.client.run(storing(pair, FileRange(file.fileno(), 0, claimed)))
    assert pair.client.core.upper_layer.established is (claimed != HUGE)
    if claimed != HUGE:
        assert pair.client.run(storing(pair, b"next")).status == 0
        return
    with pytest.raises(AssociationAborted):
        pair.server.finish()
    assert not pair.client.open


# ---------------------------------------------------------------------- answers that are none


def answers(context_id: int = ECHO_ID) -> list[Any]:
    find = CFindRSP(message_id_being_responded_to=1, status=0xFF00, has_data_set=True)
    request = CEchoRQ(message_id=1, affected_sop_class_uid=VERIFICATION)
    return [
        (
            message(context_id, replace(ECHO_RESPONSE, message_id_being_responded_to=2)),
            0,
            0,
            "not outstanding",
        ),
        (message(context_id, STORE_RESPONSE), 0, 0, "which is a C-ECHO-RQ"),
        (message(context_id, find, b"1234"), 0, 0, "which is a C-ECHO-RQ"),
        (message(context_id, request), 0, 0, "C-ECHO-RQ came where a response was due"),
        (message(context_id, CCancelRQ(message_id_being_responded_to=1)), 0, 0, "C-CANCEL-RQ came"),
        (message(7, ECHO_RESPONSE), 2, 6, "presentation context 7 was not accepted"),
        (PDataTF((PDV(context_id, True, True, b"\x00\x00"),)).encode(), 0, 0, "Command Set"),
        (PDataTF((PDV(context_id, False, True, b"\x00\x00"),)).encode(), 2, 5, "where a Command Set was due"),
        (PDataTF((PDV(context_id, True, False, b""),)).encode() + AReleaseRQ().encode(), 2, 2, "middle"),
        (accepting(), 2, 2, "AAssociateAC in Sta6"),
        (AReleaseRP(), 2, 2, "AReleaseRP in Sta6"),
        (b"\x04\x00\x00\x00\x20\x01", 2, 6, "at most 4096"),
        (b"\x09\x00\x00\x00\x00\x00", 2, 1, "PDU type 09H"),
    ]


@pytest.mark.parametrize(("answer", "source", "reason", "text"), answers())
def test_an_answer_that_breaks_the_protocol(answer: Any, source: int, reason: int, text: str) -> None:
    peer = RawServer().associate()
    peer.client.start(echo(peer.client.core))
    peer.send(answer)
    peer.close()
    with pytest.raises(RemoteProtocolError, match=text):
        peer.client.finish()
    assert aborts(peer.received()) == [(source, reason)]
    assert not peer.client.open
    assert peer.client.core.upper_layer.state is Sta.STA1


def test_a_response_with_a_data_set_is_drained() -> None:
    """No response to C-ECHO may have one; where it claims to, it is read to its end or refused, in step."""
    peer = RawServer().associate()
    core = peer.client.core
    request = CEchoRQ(message_id=core.message_ids.next(), affected_sop_class_uid=VERIFICATION)
    # C-FIND-RSP is the nearest message that may carry a data set.
    find = CFindRSP(message_id_being_responded_to=5, status=0, has_data_set=True)
    core.message_ids.outstanding[5] = _find_request()
    peer.client.start(invoke(core, core.context(5), request, CFindRSP))
    peer.send(message(5, find, bytes(2345)))
    assert peer.client.finish() == find
    assert core.upper_layer.established


def _find_request() -> Any:
    from dcmnet.dimse.messages import CFindRQ

    return CFindRQ(message_id=5, affected_sop_class_uid="1.2.840.10008.5.1.4.1.2.2.1")


def test_the_peer_releases_instead_of_answering() -> None:
    peer = RawServer().associate()
    peer.client.start(echo(peer.client.core))
    peer.send(AReleaseRQ())
    assert [type(pdu) for pdu in peer.received()][-1:] == [AReleaseRP]
    peer.close()
    with pytest.raises(AssociationReleased):
        peer.client.finish()
    assert not peer.client.open


def test_the_peer_releases_instead_of_answering_and_does_not_close() -> None:
    peer = RawServer().associate()
    peer.client.start(echo(peer.client.core))
    peer.send(AReleaseRQ())
    with pytest.raises(AssociationReleased):
        peer.client.finish()
    assert peer.network.now == 1005


@pytest.mark.parametrize("before", [0, 1, 20])
def test_the_peer_aborts_instead_of_answering(before: int) -> None:
    peer = RawServer().associate()
    peer.client.start(echo(peer.client.core))
    if before == 1:
        before = 0
        peer.send(AAbort(2, 2).encode() + b"and more behind it")
    else:
        # In the middle of a P-DATA-TF an A-ABORT cannot come, between two of them it can.
        half = PDataTF((PDV(ECHO_ID, True, False, b"12"),)).encode() if before else b""
        peer.send(half, AAbort(2, 2))
    with pytest.raises(AssociationAborted, match="unexpected-PDU"):
        peer.client.finish()
    assert not aborts(peer.received())
    assert peer.network.now == 1000


def test_no_answer() -> None:
    peer = RawServer().associate()
    with pytest.raises(DeadlineExceeded, match="the DIMSE timer of 11 s"):
        peer.client.run(echo(peer.client.core))
    assert peer.network.now == 1000 + 11
    assert aborts(peer.received()) == [(0, 0)]


def test_an_answer_that_stops_in_the_middle() -> None:
    peer = RawServer().associate()
    peer.client.start(echo(peer.client.core))
    peer.network.wait(10)
    peer.send(message(ECHO_ID, ECHO_RESPONSE)[:30])
    with pytest.raises(DeadlineExceeded, match="the DIMSE timer of 11 s"):
        peer.client.finish()
    assert peer.network.now == 1000 + 10 + 11


def test_an_answer_that_comes_too_slowly() -> None:
    timeouts = replace(TIMEOUTS, minimum_rate=64, minimum_rate_period=30.0)
    peer = RawServer(timeouts=timeouts).associate()
    peer.client.start(echo(peer.client.core))
    answer = message(ECHO_ID, ECHO_RESPONSE)
    peer.send(answer[:12])
    for byte in answer[12:]:
        peer.send(bytes([byte]))
        peer.network.wait(1)
    with pytest.raises(DeadlineExceeded, match="the minimum rate timer of 30 s"):
        peer.client.finish()
    assert aborts(peer.received()) == [(0, 0)]


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("cut", [0, 7, 40])
def test_the_connection_breaks_instead_of_the_answer(cut: int, reset: bool) -> None:
    peer = RawServer().associate()
    peer.client.start(echo(peer.client.core))
    peer.send(message(ECHO_ID, ECHO_RESPONSE)[:cut])
    if reset:
        peer.reset()
    else:
        peer.close()
    with pytest.raises(TransportClosed):
        peer.client.finish()
    assert not peer.client.open
    with pytest.raises(AssociationAborted, match="the association is over: ") as caught:
        peer.client.run(echo(peer.client.core))
    assert (caught.value.source, isinstance(caught.value.__cause__, TransportClosed)) == (2, True)


# ---------------------------------------------------------------------- while sending


def test_the_peer_aborts_while_this_side_sends() -> None:
    peer = RawServer(room=5000).associate()
    peer.client.start(storing(peer, bytes(HUGE)))
    peer.network.settle()
    assert not peer.client.finished
    peer.send(AAbort(2, 0))
    with pytest.raises(AssociationAborted) as caught:
        peer.client.finish()
    assert caught.value.source == 2
    assert not peer.client.open
    assert peer.network.now == 1000


@pytest.mark.parametrize("reset", [False, True])
def test_the_connection_breaks_while_this_side_sends(reset: bool) -> None:
    peer = RawServer(room=5000).associate()
    peer.client.start(storing(peer, bytes(HUGE)))
    peer.network.settle()
    if reset:
        peer.reset()
    else:
        peer.close()
    with pytest.raises(TransportClosed):
        peer.client.finish()


def test_the_peer_answers_early_and_breaks_the_connection() -> None:
    """A refusal is the result of the operation, although the data set has not gone out as a whole."""
    peer = RawServer(room=5000).associate()
    core = peer.client.core
    peer.client.start(storing(peer, bytes(HUGE)))
    peer.send(message(CT_ID, replace(STORE_RESPONSE, status=0xA700)))
    assert not peer.client.finished
    peer.close()
    assert peer.client.finish().status == 0xA700
    assert not core.upper_layer.established
    with pytest.raises(AssociationAborted, match="the association is over"):
        peer.client.run(storing(peer, b"12"))


def test_the_peer_answers_early_and_reads_on() -> None:
    peer = RawServer(room=5000).associate()
    peer.client.start(storing(peer, bytes(HUGE)))
    peer.send(message(CT_ID, replace(STORE_RESPONSE, status=0xA700)))
    while not peer.client.finished:
        peer.received()
        peer.network.settle()
    assert peer.client.finish().status == 0xA700
    assert [type(each) for each in messages(peer.received())] == [CStoreRQ]
    assert peer.client.core.upper_layer.established


def test_a_peer_that_stops_reading() -> None:
    peer = RawServer(room=5000).associate()
    with pytest.raises(DeadlineExceeded, match="the write timer of 17 s"):
        peer.client.run(storing(peer, bytes(HUGE)))
    # A PDU is half sent, so that no A-ABORT can be sent either.
    assert peer.network.now == 1017
    assert not aborts(peer.received())
    assert not peer.client.open


def test_a_peer_that_reads_slowly() -> None:
    peer = RawServer(room=5000).associate()
    peer.client.start(storing(peer, bytes(50000)))
    while len(peer.incoming.seen) < 50000:
        peer.network.wait(16)
        peer.incoming.data.clear()
    peer.send(message(CT_ID, STORE_RESPONSE))
    assert peer.client.finish().status == 0


def test_without_a_write_timer_there_is_no_end_to_waiting() -> None:
    peer = RawServer(room=5000, timeouts=replace(TIMEOUTS, write=None)).associate()
    peer.client.start(storing(peer, bytes(HUGE)))
    peer.network.wait(1_000_000)
    assert not peer.client.finished


def test_interrupted_while_sending() -> None:
    peer = RawServer(room=5000).associate()
    peer.client.start(storing(peer, bytes(HUGE)))
    peer.network.settle()
    peer.client.interrupt(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        peer.client.finish()
    assert peer.network.now == 1000
    assert not aborts(peer.received())
    assert not peer.client.open


def test_interrupted_while_waiting_for_the_answer() -> None:
    peer = RawServer().associate()
    peer.client.start(storing(peer, b"data"))
    peer.network.settle()
    peer.client.interrupt(KeyboardInterrupt())
    peer.network.settle()
    assert aborts(peer.received()) == [(0, 0)]
    peer.close()
    with pytest.raises(KeyboardInterrupt):
        peer.client.finish()


def test_an_operation_within_another_leaves_the_association_busy() -> None:
    """As a server does that performs C-GET: its association is one operation from beginning to end."""
    peer = RawServer().associate()
    core = peer.client.core
    core.busy = True
    request = CEchoRQ(message_id=core.message_ids.next(), affected_sop_class_uid=VERIFICATION)
    peer.client.start(invoke(core, core.context(ECHO_ID), request, CEchoRSP))
    peer.send(message(ECHO_ID, ECHO_RESPONSE))
    assert peer.client.finish() == ECHO_RESPONSE
    assert core.busy


def test_responses_may_come_in_many_fragments() -> None:
    peer = RawServer().associate()
    peer.client.start(echo(peer.client.core))
    whole: Message = ECHO_RESPONSE
    peer.send(message(ECHO_ID, whole, size=10))
    assert peer.client.finish() == ECHO_RESPONSE
