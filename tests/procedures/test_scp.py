"""Serving an association: the hooks, what may be asked, and what a peer may do wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dcmnet.dimse.messages import (
    CCancelRQ,
    CEchoRQ,
    CEchoRSP,
    CFindRQ,
    CFindRSP,
    CStoreRSP,
    Message,
    NDeleteRQ,
    NDeleteRSP,
    NEventReportRQ,
    NEventReportRSP,
)
from dcmnet.errors import (
    AssociationAborted,
    AssociationRejected,
    DeadlineExceeded,
    LocalProtocolError,
    RemoteProtocolError,
    TransportClosed,
)
from dcmnet.procedures.association import AssociationCore, establish, release
from dcmnet.procedures.effects import Send
from dcmnet.procedures.scp import AssociationRequest
from dcmnet.procedures.scu import echo
from dcmnet.registry.sop_classes import VERIFICATION
from dcmnet.services.defaults import storage_contexts
from dcmnet.services.verification import verification
from dcmnet.ul.items import UserIdentityAC, UserIdentityRQ
from dcmnet.ul.pdu import PDV, AAbort, AAssociateAC, AAssociateRJ, AReleaseRP, AReleaseRQ, PDataTF
from tests.procedures.pairs import (
    CT_ID,
    ECHO_ID,
    FIND_ID,
    POLICY,
    REQUEST,
    STUDY_ROOT_FIND,
    TIMEOUTS,
    MemoryStore,
    Pair,
    RawClient,
    aborts,
    message,
    messages,
    store_request,
)

ECHO = CEchoRQ(message_id=1, affected_sop_class_uid=VERIFICATION)
FIND = CFindRQ(message_id=2, affected_sop_class_uid=STUDY_ROOT_FIND)
DELETE = NDeleteRQ(message_id=3, requested_sop_class_uid="1.2", requested_sop_instance_uid="1.3")


def echo_works(peer: RawClient) -> None:
    peer.incoming.seen.clear()
    peer.send(message(ECHO_ID, ECHO))
    assert [type(each) for each in messages(peer.received())] == [CEchoRSP]


# ---------------------------------------------------------------------- the hooks


def test_the_hooks_are_called_at_the_turns_of_an_association() -> None:
    seen: list[Any] = []
    pair = Pair(
        on_request=lambda request: seen.append(request),
        on_accepted=lambda core: seen.append(("accepted", core.upper_layer.established)),
        on_released=lambda core: seen.append(("released", core.upper_layer.established)),
    ).establish()
    pair.client.run(release(pair.client.core))
    pair.server.finish()
    request = seen[0]
    assert isinstance(request, AssociationRequest)
    assert (request.calling_ae_title, request.called_ae_title) == ("MODALITY", "ARCHIVE")
    assert (request.peer, request.user_identity) == ("memory:104", None)
    assert seen[1:] == [("accepted", True), ("released", False)]


def test_the_hook_may_answer_a_user_identity() -> None:
    identity = UserIdentityRQ(2, b"user", b"password", positive_response_requested=True)
    seen: list[UserIdentityRQ | None] = []

    def check(request: AssociationRequest) -> bytes:
        seen.append(request.user_identity)
        return b"ticket"

    peer = RawClient(on_request=check)
    peer.send(replace(REQUEST, user_information=replace(REQUEST.user_information, user_identity=identity)))
    answer = peer.received()[0]
    assert isinstance(answer, AAssociateAC)
    assert answer.user_information.user_identity == UserIdentityAC(b"ticket")
    assert seen == [identity]


def test_the_hook_may_reject() -> None:
    def refuse(request: AssociationRequest) -> None:
        raise AssociationRejected(1, 1, 3)

    pair = Pair(on_request=refuse)
    with pytest.raises(AssociationRejected, match="calling-AE-title-not-recognized"):
        pair.establish()
    assert pair.server.finish() is False


def test_a_hook_that_fails_aborts() -> None:
    def fail(request: AssociationRequest) -> None:
        raise ZeroDivisionError

    pair = Pair(on_request=fail)
    with pytest.raises(AssociationAborted):
        pair.establish()
    with pytest.raises(ZeroDivisionError):
        pair.server.finish()


@pytest.mark.parametrize("answer", [False, True, 0, "", "yes"])
def test_a_hook_that_returns_something_else_aborts(answer: Any) -> None:
    """False is meant as a refusal, and must not let the peer in."""
    pair = Pair(on_request=lambda request: answer)
    with pytest.raises(AssociationAborted):
        pair.establish()
    with pytest.raises(TypeError, match=r"^on_association returned an? "):
        pair.server.finish()


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"application_context_name": "1.2.3"}, (1, 1, 2)),
        ({"called_ae_title": "SOMEBODY"}, (1, 1, 7)),
        ({"calling_ae_title": "STRANGER"}, (1, 1, 3)),
    ],
)
def test_the_policy_rejects(changes: dict[str, Any], answer: tuple[int, int, int]) -> None:
    policy = replace(POLICY, require_called_ae_title=True, calling_ae_titles=frozenset({"MODALITY"}))
    peer = RawClient(policy=policy)
    peer.send(replace(REQUEST, **changes))
    assert peer.received() == [AAssociateRJ(*answer)]
    peer.close()
    assert peer.server.finish() is False
    assert peer.network.now == 1000


def test_a_rejected_peer_that_does_not_close() -> None:
    peer = RawClient(policy=replace(POLICY, calling_ae_titles=frozenset()))
    peer.send(REQUEST, message(ECHO_ID, ECHO))
    assert peer.server.finish() is False
    assert peer.network.now == 1005
    assert [type(pdu) for pdu in peer.received()] == [AAssociateRJ]


def test_a_handler_may_abort_through_the_upper_layer() -> None:
    pair = Pair(on_accepted=lambda core: core.upper_layer.abort())
    pair.establish()
    with pytest.raises(AssociationAborted):
        pair.client.run(echo(pair.client.core))
    with pytest.raises(TransportClosed, match="where a message was due"):
        pair.server.finish()


# ---------------------------------------------------------------------- verification


@pytest.mark.parametrize(("answer", "status"), [(None, 0), (0, 0), (0x0122, 0x0122)])
def test_an_echo_handler_says_the_status(answer: int | None, status: int) -> None:
    def handler(core: AssociationCore, context: Any, request: CEchoRQ) -> int | None:
        assert context.abstract_syntax == VERIFICATION
        core.state["echoes"] = core.state.get("echoes", 0) + 1
        return answer

    pair = Pair(services={CEchoRQ: verification(handler)}).establish()
    assert pair.client.run(echo(pair.client.core)).status == status
    assert pair.client.run(echo(pair.client.core)).status == status
    assert pair.server.core.state == {"echoes": 2}


@pytest.mark.parametrize("error", [ZeroDivisionError, LocalProtocolError])
@pytest.mark.parametrize("told", [True, False])
def test_an_echo_handler_that_fails_is_answered_with_a_failure(error: type[Exception], told: bool) -> None:
    def fail(*_: object) -> None:
        raise error("in the handler")

    failures: list[tuple[str, BaseException | None]] = []
    on_error = (lambda *what: failures.append(what)) if told else None
    pair = Pair(services={CEchoRQ: verification(fail, on_error)}).establish()
    assert pair.client.run(echo(pair.client.core)).status == 0x0110
    assert pair.client.run(echo(pair.client.core)).status == 0x0110
    assert [type(what) for _, what in failures] == ([error] * 2 if told else [])


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_an_echo_handler_aborts(interrupt: type[BaseException]) -> None:
    def stop(*_: object) -> None:
        raise interrupt

    pair = Pair(services={CEchoRQ: verification(stop)}).establish()
    with pytest.raises(AssociationAborted):
        pair.client.run(echo(pair.client.core))
    with pytest.raises(interrupt):
        pair.server.finish()


# ---------------------------------------------------------------------- roles


@pytest.mark.parametrize("scu_role", [True, False])
def test_who_was_not_made_scp_does_not_perform(scu_role: bool) -> None:
    peer = RawClient(store=MemoryStore()).associate()
    core = peer.server.core
    contexts = {
        number: replace(context, scp_role=False, scu_role=scu_role)
        for number, context in core.agreed.contexts.items()
    }
    core.negotiated = replace(core.agreed, contexts=contexts)
    peer.send(message(ECHO_ID, ECHO))
    (answer,) = messages(peer.received())
    assert isinstance(answer, CEchoRSP)
    assert answer.status == 0x0124
    peer.incoming.seen.clear()
    # PS3.7 10.1.1: N-EVENT-REPORT is invoked by the SCP: who may be SCU may get it; nobody serves it here.
    event = NEventReportRQ(
        message_id=8,
        affected_sop_class_uid=VERIFICATION,
        affected_sop_instance_uid="1.2.3",
        event_type_id=1,
    )
    peer.send(message(ECHO_ID, event))
    (answer,) = messages(peer.received())
    assert isinstance(answer, NEventReportRSP)
    assert answer.status == (0x0211 if scu_role else 0x0124)


# ---------------------------------------------------------------------- what is asked


@pytest.mark.parametrize("length", [0, 1, 5000])
def test_a_request_that_is_not_served_is_answered_and_its_data_set_drained(length: int) -> None:
    peer = RawClient(store=MemoryStore()).associate()
    peer.send(message(FIND_ID, FIND, bytes(length)))
    response = messages(peer.received())
    assert response == [
        CFindRSP(message_id_being_responded_to=2, status=0x0211, affected_sop_class_uid=STUDY_ROOT_FIND)
    ]
    echo_works(peer)
    peer.incoming.seen.clear()
    peer.send(message(FIND_ID, DELETE))
    (answer,) = messages(peer.received())
    assert isinstance(answer, NDeleteRSP)
    assert answer.status == 0x0211


def test_a_request_that_is_not_served_is_answered_after_its_data_set() -> None:
    peer = RawClient().associate()
    whole = message(FIND_ID, FIND, bytes(5000))
    peer.send(whole[:-1])
    assert peer.received() == []
    peer.send(whole[-1:])
    assert [type(each) for each in messages(peer.received())] == [CFindRSP]


def test_a_cancel_that_comes_too_late_is_passed_over() -> None:
    peer = RawClient().associate()
    peer.send(message(FIND_ID, CCancelRQ(message_id_being_responded_to=9)))
    assert peer.received() == []
    echo_works(peer)


def test_requests_may_come_before_their_forerunners_are_answered() -> None:
    peer = RawClient(store=MemoryStore()).associate()
    peer.send(message(ECHO_ID, ECHO) + message(CT_ID, store_request(2), b"12") + AReleaseRQ().encode())
    pdus = peer.received()
    assert [type(each) for each in messages(pdus)] == [CEchoRSP, CStoreRSP]
    assert pdus[-1] == AReleaseRP()


def bad_messages() -> list[Any]:
    def pdv(data: bytes, *, command: bool, last: bool = True, context_id: int = ECHO_ID) -> bytes:
        return PDataTF((PDV(context_id, command, last, data),)).encode()

    answer: Message = CEchoRSP(message_id_being_responded_to=1, status=0)
    half = message(ECHO_ID, ECHO, size=30)[:36]
    return [
        ("a response", message(ECHO_ID, answer), 0, 0),
        ("no Command Set", pdv(b"no such!", command=True), 0, 0),
        ("a data set at first", pdv(b"1234", command=False), 2, 5),
        ("a command within a data set", message(CT_ID, store_request(), b"")[:-12] + half, 2, 5),
        ("another context in the middle", half + pdv(b"1234", command=True, context_id=3), 2, 5),
        ("a context that was refused", message(7, ECHO), 2, 6),
        ("a second request", REQUEST.encode(), 2, 2),
        ("an accept", AAssociateAC("A", "B", (), REQUEST.user_information).encode(), 2, 2),
        ("a reject", AAssociateRJ(1, 1, 1).encode(), 2, 2),
        ("a release response", AReleaseRP().encode(), 2, 2),
        ("a release in the middle of a Command Set", half + AReleaseRQ().encode(), 2, 2),
        ("a release in a data set", message(CT_ID, store_request(), b"")[:-12] + AReleaseRQ().encode(), 2, 2),
        ("an unknown PDU", b"\x08\x00\x00\x00\x00\x00", 2, 1),
        ("a release of five bytes", b"\x05\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00", 2, 6),
        ("an abort of two bytes", b"\x07\x00\x00\x00\x00\x02\x00\x00", 2, 6),
        ("a PDU without PDV", b"\x04\x00\x00\x00\x00\x00", 2, 6),
        ("a PDV beyond its PDU", b"\x04\x00\x00\x00\x00\x08\x00\x00\x00\xff\x01\x03\x00\x00", 2, 6),
        ("a PDU above the maximum", b"\x04\x00\x00\x00\x10\x02\x00\x00\x0f\xfe\x01\x03", 2, 6),
        ("an odd command fragment", b"\x04\x00\x00\x00\x00\x07\x00\x00\x00\x03\x01\x03\x00", 2, 6),
    ]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("data", "source", "reason"),
    [each[1:] for each in bad_messages()],
    ids=[each[0] for each in bad_messages()],
)
def test_a_peer_that_breaks_the_protocol_is_aborted(data: bytes, source: int, reason: int, seed: int) -> None:
    peer = RawClient(store=MemoryStore(), seed=seed).associate()
    peer.send(data)
    assert aborts(peer.received()) == [(source, reason)]
    # PS3.8 Table 9-10, Sta13: what still comes is passed over, but an invalid PDU is answered again.
    peer.send(message(ECHO_ID, ECHO))
    peer.close()
    with pytest.raises(RemoteProtocolError):
        peer.server.finish()
    assert peer.network.now == 1000
    assert not peer.server.open


def test_in_sta13_another_request_is_aborted_again() -> None:
    peer = RawClient().associate()
    peer.send(REQUEST, REQUEST)
    peer.send(REQUEST)
    assert aborts(peer.received()) == [(2, 2)] * 3


# ---------------------------------------------------------------------- endings


@pytest.mark.parametrize("cut", [0, 5, 20])
def test_the_peer_leaves_without_a_release(cut: int) -> None:
    peer = RawClient().associate()
    peer.send(message(ECHO_ID, ECHO)[:cut])
    peer.close()
    with pytest.raises(TransportClosed):
        peer.server.finish()
    assert peer.received() == []


def test_what_came_before_the_end_is_served_first() -> None:
    peer = RawClient(store=MemoryStore()).associate()
    peer.outgoing.ended = True
    peer.send(message(ECHO_ID, ECHO) + message(CT_ID, store_request(2), bytes(3000)))
    assert [type(each) for each in messages(peer.received())] == [CEchoRSP, CStoreRSP]
    with pytest.raises(TransportClosed):
        peer.server.finish()


def test_the_peer_aborts_between_two_requests() -> None:
    peer = RawClient().associate()
    peer.send(message(ECHO_ID, ECHO), AAbort(0, 0))
    with pytest.raises(AssociationAborted):
        peer.server.finish()
    assert [type(each) for each in messages(peer.received())] == [CEchoRSP]
    assert not aborts(peer.received())


def test_the_peer_breaks_the_connection_instead_of_reading_the_answer() -> None:
    peer = RawClient(room=400).associate()
    peer.incoming.data += bytes(400)
    peer.send(message(ECHO_ID, ECHO))
    assert isinstance(peer.server.effects[-1], Send)
    peer.close()
    with pytest.raises(TransportClosed):
        peer.server.finish()


def test_the_peer_aborts_instead_of_reading_the_answer() -> None:
    target = MemoryStore()
    peer = RawClient(room=400, store=target).associate()
    peer.incoming.data += bytes(400)
    peer.send(message(ECHO_ID, ECHO), message(CT_ID, store_request(), b"not to be kept"), AAbort())
    with pytest.raises(AssociationAborted):
        peer.server.finish()
    assert target.kept == []


def test_the_peer_does_not_read_the_answer() -> None:
    peer = RawClient(room=400).associate()
    peer.incoming.data += bytes(400)
    peer.send(message(ECHO_ID, ECHO))
    with pytest.raises(DeadlineExceeded, match="the write timer of 17 s"):
        peer.server.finish()
    assert peer.network.now == 1017


def test_a_request_that_stops_in_the_middle() -> None:
    peer = RawClient().associate()
    peer.send(message(ECHO_ID, ECHO)[:40])
    with pytest.raises(DeadlineExceeded, match="the DIMSE timer of 11 s"):
        peer.server.finish()
    assert peer.network.now == 1000 + 11 + 5
    assert aborts(peer.received()) == [(0, 0)]


def test_a_server_that_is_shut_down_aborts() -> None:
    pair = Pair().establish()
    pair.server.interrupt(AssociationAborted(0, 0, locally=True))
    pair.network.settle()
    with pytest.raises(AssociationAborted, match="by the peer: service-user"):
        pair.client.run(echo(pair.client.core))
    with pytest.raises(AssociationAborted, match="by this side"):
        pair.server.finish()


def test_a_rejecting_server_judges_the_request_like_any_other() -> None:
    peer = RawClient()
    peer.send(b"GET / HTTP/1.0\r\n\r\n")
    assert aborts(peer.received()) == [(0, 0)]


def test_contexts_for_the_storage_classes() -> None:
    contexts = storage_contexts(("1.2.840.10008.1.2",), ("1.2.3", "1.2.4"))
    assert [each.abstract_syntax for each in contexts] == ["1.2.3", "1.2.4"]
    assert contexts[0].transfer_syntaxes == ("1.2.840.10008.1.2",)
    assert len(storage_contexts()) > 100


def test_establishing_needs_the_whole_answer() -> None:
    pair = Pair(seed=3)
    pair.server.reading = False
    pair.client.start(establish(pair.client.core, "peer", 104, REQUEST))
    pair.network.wait(3)
    assert not pair.client.finished
    with pytest.raises(DeadlineExceeded, match="ACSE"):
        pair.client.finish()


@pytest.mark.parametrize("whole", [message(ECHO_ID, ECHO), message(CT_ID, store_request(), b"12")])
def test_between_messages_a_peer_may_be_idle(whole: bytes) -> None:
    """The minimum rate holds within messages, the network timer between them."""
    timeouts = replace(TIMEOUTS, network=500, minimum_rate=64, minimum_rate_period=3.0)
    peer = RawClient(store=MemoryStore(), timeouts=timeouts).associate()
    for _ in range(2):
        peer.send(whole)
        peer.network.wait(400)
    with pytest.raises(DeadlineExceeded, match="the network timer of 500 s"):
        peer.server.finish()
