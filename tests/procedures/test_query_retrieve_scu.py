"""C-FIND, C-GET and C-MOVE as SCU, against a peer that does exactly what the test says."""

from __future__ import annotations

from typing import Any

import pytest

from dcmnet._records import replace
from dcmnet.dimse.messages import (
    CCancelRQ,
    CEchoRQ,
    CEchoRSP,
    CFindRQ,
    CFindRSP,
    CGetRQ,
    CGetRSP,
    CStoreRQ,
    CStoreRSP,
)
from dcmnet.errors import (
    AssociationAborted,
    AssociationReleased,
    DeadlineExceeded,
    LocalProtocolError,
    RemoteProtocolError,
    TransportClosed,
)
from dcmnet.limits import Limits
from dcmnet.procedures.association import release
from dcmnet.procedures.query_retrieve import Operation
from dcmnet.procedures.scu import echo
from dcmnet.services.storage import storage
from dcmnet.ul.fsm import Sta
from dcmnet.ul.pdu import AAbort, AReleaseRP, AReleaseRQ
from tests.procedures.pairs import (
    CT_ID,
    ECHO_ID,
    FIND_ID,
    STUDY_ROOT_FIND,
    MemoryStore,
    RawServer,
    aborts,
    message,
    messages,
    store_request,
)

IDENTIFIER = b"\x08\x00\x52\x00CS\x06\x00STUDY "


def pending(message_id: int = 1, *, data: bytes = b"match", status: int = 0xFF00) -> bytes:
    response = CFindRSP(message_id_being_responded_to=message_id, status=status, has_data_set=True)
    return message(FIND_ID, response, data, size=20)


def final(message_id: int = 1, status: int = 0) -> bytes:
    return message(FIND_ID, CFindRSP(message_id_being_responded_to=message_id, status=status))


def half() -> bytes:
    """A response without the last PDU of its identifier, which has 14 bytes behind 12 of headers."""
    return pending(data=bytes(28))[:-26]


def operation(peer: RawServer, **options: Any) -> Operation:
    core = peer.client.core
    request = CFindRQ(message_id=core.message_ids.next(), affected_sop_class_uid=STUDY_ROOT_FIND)
    return Operation(core, core.context(FIND_ID), request, **options)


def begun(peer: RawServer) -> Operation:
    found = operation(peer)
    peer.client.run(found.begin(IDENTIFIER))
    return found


def final_status(found: Operation) -> int:
    assert not found.under_way
    assert found.final is not None
    return found.final.response.status


def advance(peer: RawServer, found: Operation, *answers: Any) -> Any:
    peer.client.start(found.advance())
    peer.send(*answers)
    return peer.client.finish()


def received(peer: RawServer) -> list[Any]:
    found = messages(peer.received())
    peer.incoming.seen.clear()
    return found


@pytest.fixture(params=range(3))
def peer(request: pytest.FixtureRequest) -> RawServer:
    return RawServer(seed=request.param).associate()


def test_responses_come_one_by_one(peer: RawServer) -> None:
    found = begun(peer)
    assert received(peer) == [
        CFindRQ(message_id=1, affected_sop_class_uid=STUDY_ROOT_FIND, has_data_set=True)
    ]
    answers = [pending(data=b"first"), pending(data=b"second" * 9, status=0xFF01), final()]
    first = advance(peer, found, *answers)
    assert (first.response.status, first.identifier) == (0xFF00, b"first")
    assert first.transfer_syntax == peer.client.core.context(FIND_ID).transfer_syntax
    second = advance(peer, found)
    assert (second.response.status, second.identifier) == (0xFF01, b"second" * 9)
    assert (found.under_way, found.final) == (True, None)
    assert advance(peer, found) is None
    assert final_status(found) == 0
    assert advance(peer, found) is None
    peer.client.start(echo(peer.client.core))
    peer.send(message(ECHO_ID, CEchoRSP(message_id_being_responded_to=2, status=0)))
    assert peer.client.finish().status == 0


def test_a_pending_response_without_an_identifier_is_taken(peer: RawServer) -> None:
    found = begun(peer)
    bare = message(FIND_ID, CFindRSP(message_id_being_responded_to=1, status=0xFF00))
    assert advance(peer, found, bare).identifier == b""


def test_a_failure_status_is_a_result(peer: RawServer) -> None:
    found = begun(peer)
    assert advance(peer, found, final(status=0xA700)) is None
    assert final_status(found) == 0xA700
    assert peer.client.core.upper_layer.established


def test_cancel_is_sent_once_and_what_comes_is_passed_over(peer: RawServer) -> None:
    found = begun(peer)
    advance(peer, found, pending())
    received(peer)
    peer.client.start(found.finish())
    peer.send(pending(), pending(), final(status=0xFE00))
    peer.client.finish()
    assert received(peer) == [CCancelRQ(message_id_being_responded_to=1)]
    assert final_status(found) == 0xFE00
    peer.client.run(found.cancel())
    peer.client.run(found.finish())
    assert received(peer) == []


def test_cancel_twice_sends_one(peer: RawServer) -> None:
    found = begun(peer)
    received(peer)
    peer.client.run(found.cancel())
    peer.client.run(found.cancel())
    assert received(peer) == [CCancelRQ(message_id_being_responded_to=1)]


def test_a_cancel_that_comes_too_late_changes_nothing(peer: RawServer) -> None:
    found = begun(peer)
    peer.client.run(found.cancel())
    assert advance(peer, found, final()) is None
    assert final_status(found) == 0


@pytest.mark.parametrize("procedure", [echo, release])
def test_nothing_else_happens_while_it_is_under_way(peer: RawServer, procedure: Any) -> None:
    found = begun(peer)
    with pytest.raises(LocalProtocolError, match=r"C-FIND is under way.*close"):
        peer.client.run(procedure(peer.client.core))
    with pytest.raises(LocalProtocolError, match="under way"):
        peer.client.run(operation(peer).begin(IDENTIFIER))
    assert advance(peer, found, pending()).identifier == b"match"
    assert advance(peer, found, final()) is None


def test_who_comes_next_ends_an_abandoned_one(peer: RawServer) -> None:
    found = begun(peer)
    received(peer)
    found.abandoned = True
    peer.client.start(release(peer.client.core))
    peer.send(pending(), final(status=0xFE00))
    seen = peer.received()
    assert messages(seen) == [CCancelRQ(message_id_being_responded_to=1)]
    assert isinstance(seen[-1], AReleaseRQ)
    peer.send(AReleaseRP())
    peer.close()
    peer.client.finish()


def test_an_association_that_is_gone_is_in_nobodys_way(peer: RawServer) -> None:
    found = begun(peer)
    with pytest.raises(AssociationAborted):
        advance(peer, found, AAbort(0, 0))
    assert not found.under_way
    with pytest.raises(AssociationAborted, match=r"the association is over: .* by the peer"):
        peer.client.run(echo(peer.client.core))
    assert peer.client.core.operation is None
    peer.client.run(release(peer.client.core))
    with pytest.raises(AssociationAborted, match="the association is over"):
        advance(peer, found)


def test_a_request_that_cannot_be_encoded_leaves_the_association_as_it_was(peer: RawServer) -> None:
    core = peer.client.core
    request = CFindRQ(message_id=1, affected_sop_class_uid="")
    with pytest.raises(LocalProtocolError):
        peer.client.run(Operation(core, core.context(FIND_ID), request).begin(IDENTIFIER))
    assert core.message_ids.outstanding == {}
    advance(peer, begun(peer), final())
    assert core.upper_layer.established


def test_a_request_that_cannot_be_sent(peer: RawServer) -> None:
    peer.reset()
    with pytest.raises(TransportClosed):
        peer.client.run(operation(peer).begin(IDENTIFIER))


def test_a_cancel_that_cannot_be_sent(peer: RawServer) -> None:
    found = begun(peer)
    peer.reset()
    with pytest.raises(TransportClosed):
        peer.client.run(found.cancel())


def unwritable(peer: RawServer) -> None:
    """The peer has gone; what it had sent before can still be read."""
    peer.incoming.broken = BrokenPipeError(32, "Broken pipe")


@pytest.mark.parametrize("status", [0, 0xFE00])
def test_a_cancel_that_comes_too_late_to_be_sent_loses_nothing(peer: RawServer, status: int) -> None:
    found = begun(peer)
    peer.send(pending(data=b"first"), pending(data=b"second"), final(status=status))
    peer.close()
    unwritable(peer)
    assert advance(peer, found).identifier == b"first"
    peer.client.run(found.cancel())
    assert advance(peer, found).identifier == b"second"
    assert (advance(peer, found), advance(peer, found)) == (None, None)
    assert final_status(found) == status


def test_a_cancel_that_cannot_be_sent_to_a_peer_that_has_not_finished(peer: RawServer) -> None:
    found = begun(peer)
    peer.send(pending(), pending())
    peer.close()
    unwritable(peer)
    with pytest.raises(TransportClosed):
        peer.client.run(found.finish())


def test_an_operation_that_is_cancelled_too_late_is_over(peer: RawServer) -> None:
    found = begun(peer)
    peer.send(pending(), final())
    peer.close()
    unwritable(peer)
    peer.client.run(found.finish())
    assert final_status(found) == 0


def test_the_peer_releases_instead(peer: RawServer) -> None:
    found = begun(peer)
    peer.client.start(found.advance())
    peer.send(AReleaseRQ())
    peer.close()
    with pytest.raises(AssociationReleased):
        peer.client.finish()


def test_the_peer_aborts_in_the_middle_of_an_identifier(peer: RawServer) -> None:
    found = begun(peer)
    with pytest.raises(AssociationAborted):
        advance(peer, found, half(), AAbort(2, 0))


def test_the_peer_releases_in_the_middle_of_an_identifier(peer: RawServer) -> None:
    found = begun(peer)
    peer.client.start(found.advance())
    peer.send(half(), AReleaseRQ())
    with pytest.raises(RemoteProtocolError, match="in the middle"):
        peer.client.finish()


def test_a_silent_peer_is_aborted(peer: RawServer) -> None:
    found = begun(peer)
    with pytest.raises(DeadlineExceeded, match="DIMSE"):
        advance(peer, found)
    assert aborts(peer.received()) == [(0, 0)]


@pytest.mark.parametrize(
    "answer",
    [
        final(message_id=7),
        message(FIND_ID, CGetRSP(message_id_being_responded_to=1, status=0)),
        message(CT_ID, store_request(), b"object"),
        message(ECHO_ID, CEchoRQ(message_id=1, affected_sop_class_uid="1.2.840.10008.1.1")),
    ],
    ids=["wrong Message ID", "wrong response", "C-STORE that nobody asked for", "another request"],
)
def test_what_is_no_answer_ends_the_association(peer: RawServer, answer: bytes) -> None:
    found = begun(peer)
    with pytest.raises(RemoteProtocolError):
        advance(peer, found, answer)
    assert aborts(peer.received()) == [(0, 0)]
    assert peer.client.core.upper_layer.state in (Sta.STA13, Sta.STA1)


def test_an_identifier_above_the_limit_is_not_gathered() -> None:
    peer = RawServer(limits=Limits(max_identifier_length=40)).associate()
    found = begun(peer)
    assert advance(peer, found, pending(data=bytes(40))).identifier == bytes(40)
    with pytest.raises(RemoteProtocolError, match="more than 40 bytes in a C-FIND-RSP"):
        advance(peer, found, pending(data=bytes(42)))


def test_a_list_of_failed_objects_above_the_limit_takes_no_counts_away() -> None:
    peer = RawServer(limits=Limits(max_identifier_length=40)).associate()
    found = begun(peer)
    response = CFindRSP(message_id_being_responded_to=1, status=0xA702, has_data_set=True)
    assert advance(peer, found, message(FIND_ID, response, bytes(42), size=20)) is None
    assert final_status(found) == 0xA702
    assert found.final is not None and found.final.identifier == b""


def getting(peer: RawServer, store: MemoryStore) -> Operation:
    """A C-GET that has begun, with every role."""
    core = peer.client.core
    contexts = {number: replace(each, scp_role=True) for number, each in core.agreed.contexts.items()}
    core.negotiated = replace(core.agreed, contexts=contexts)
    request = CGetRQ(message_id=core.message_ids.next(), affected_sop_class_uid="1.2.3")
    found = Operation(core, core.context(FIND_ID), request, storage(store))
    peer.client.run(found.begin(IDENTIFIER))
    return found


def test_a_peer_that_is_gone_before_the_last_object_is_answered(peer: RawServer) -> None:
    store = MemoryStore()
    found = getting(peer, store)
    over = CGetRSP(message_id_being_responded_to=1, status=0, number_of_completed_suboperations=1)
    peer.send(message(CT_ID, store_request(5), b"object"), message(FIND_ID, over))
    peer.close()
    unwritable(peer)
    assert advance(peer, found) is None
    assert (store.kept, final_status(found)) == ([b"object"], 0)


def test_a_peer_that_is_gone_amid_a_get(peer: RawServer) -> None:
    store = MemoryStore()
    found = getting(peer, store)
    peer.send(message(CT_ID, store_request(5), b"object"))
    peer.close()
    unwritable(peer)
    with pytest.raises(TransportClosed):
        advance(peer, found)
    assert store.kept == [b"object"]


def test_sub_operations_of_a_get_need_the_role(peer: RawServer) -> None:
    store = MemoryStore()
    core = peer.client.core
    request = CGetRQ(message_id=core.message_ids.next(), affected_sop_class_uid="1.2.3")
    found = Operation(core, core.context(FIND_ID), request, storage(store))
    peer.client.run(found.begin(IDENTIFIER))
    received(peer)
    over = message(FIND_ID, CGetRSP(message_id_being_responded_to=1, status=0xA702))
    assert advance(peer, found, message(CT_ID, store_request(5), b"object"), over) is None
    (refusal,) = received(peer)
    assert isinstance(refusal, CStoreRSP)
    assert (refusal.message_id_being_responded_to, refusal.status) == (5, 0x0124)
    assert store.kept == []


def test_sub_operations_of_a_get_are_performed(peer: RawServer) -> None:
    store = MemoryStore()
    found = getting(peer, store)
    counted = CGetRSP(message_id_being_responded_to=1, status=0xFF00, number_of_completed_suboperations=1)
    asked: CStoreRQ = store_request(5)
    answer = advance(peer, found, message(CT_ID, asked, b"object"), message(FIND_ID, counted))
    assert answer.response.number_of_completed_suboperations == 1
    assert store.kept == [b"object"]
    assert [type(each) for each in received(peer)] == [CGetRQ, CStoreRSP]
