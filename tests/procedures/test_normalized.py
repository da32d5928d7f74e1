"""The normalized services as SCU and as SCP, against a peer that does exactly what the test says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from dcmnet._records import replace
from dcmnet.acse import AcceptedContext
from dcmnet.dimse.messages import (
    CCancelRQ,
    CEchoRQ,
    CEchoRSP,
    CFindRQ,
    CFindRSP,
    Message,
    NActionRQ,
    NActionRSP,
    NCreateRQ,
    NCreateRSP,
    NEventReportRQ,
    NEventReportRSP,
    NGetRQ,
    NGetRSP,
)
from dcmnet.errors import (
    AssociationAborted,
    AssociationReleased,
    DeadlineExceeded,
    LocalProtocolError,
    RemoteProtocolError,
)
from dcmnet.limits import MAX_KEPT_REPORTS, Limits
from dcmnet.procedures.association import AssociationCore, release
from dcmnet.procedures.normalized import invoke, next_report
from dcmnet.procedures.query_retrieve import Operation
from dcmnet.procedures.reports import Reply
from dcmnet.procedures.scu import echo
from dcmnet.services.normalized import Performed, Report, event_responses, normalized
from dcmnet.services.query_retrieve import Answers, query
from dcmnet.services.storage import Outcome
from dcmnet.services.verification import verification
from dcmnet.ul.pdu import AAbort, AReleaseRP, AReleaseRQ
from tests.procedures.pairs import (
    CT,
    CT_ID,
    ECHO_ID,
    FIND_ID,
    INSTANCE,
    STUDY_ROOT_FIND,
    Pair,
    RawClient,
    RawServer,
    aborts,
    message,
    messages,
)

SHORT = Limits(max_identifier_length=100)


def action(message_id: int = 1, *, has_data_set: bool = False) -> NActionRQ:
    return NActionRQ(
        message_id=message_id,
        requested_sop_class_uid=CT,
        requested_sop_instance_uid=INSTANCE,
        action_type_id=1,
        has_data_set=has_data_set,
    )


def event(message_id: int = 7, *, has_data_set: bool = False) -> NEventReportRQ:
    return NEventReportRQ(
        message_id=message_id,
        affected_sop_class_uid=CT,
        affected_sop_instance_uid=INSTANCE,
        event_type_id=2,
        has_data_set=has_data_set,
    )


def done(data: bytes | None = None, *, message_id: int = 1, status: int = 0) -> bytes:
    """An N-ACTION-RSP."""
    response = NActionRSP(
        message_id_being_responded_to=message_id, status=status, has_data_set=data is not None
    )
    return message(CT_ID, response, data, size=30)


def reporting(data: bytes | None = None) -> bytes:
    """An N-EVENT-REPORT-RQ."""
    return message(CT_ID, event(has_data_set=data is not None), data, size=30)


def responses(peer: RawServer | RawClient) -> list[Any]:
    found: list[Any] = messages(peer.received())
    peer.incoming.seen.clear()
    return found


# ---------------------------------------------------------------------- as SCU


@pytest.fixture(params=range(3))
def peer(request: pytest.FixtureRequest) -> RawServer:
    return RawServer(seed=request.param).associate()


def test_a_refusal_before_the_request_has_left_and_the_end_of_the_connection() -> None:
    peer = RawServer(room=5000).associate()
    core = peer.client.core
    peer.client.start(invoke(core, core.context(CT_ID), action(has_data_set=True), bytes(200_000)))
    peer.send(done(status=0x0213))
    assert not peer.client.finished
    peer.close()
    assert peer.client.finish().message.status == 0x0213
    assert not core.upper_layer.established


def begin(peer: RawServer, data: bytes | None = None) -> None:
    core = peer.client.core
    request = action(core.message_ids.next(), has_data_set=data is not None)
    peer.client.start(invoke(core, core.context(CT_ID), request, data))


def is_usable(peer: RawServer) -> bool:
    message_id = peer.client.core.message_ids.upcoming
    peer.client.start(echo(peer.client.core))
    peer.send(message(ECHO_ID, CEchoRSP(message_id_being_responded_to=message_id, status=0)))
    status: int = peer.client.finish().status
    return status == 0


def test_a_response_without_a_data_set(peer: RawServer) -> None:
    begin(peer)
    peer.send(done())
    reply = peer.client.finish()
    assert responses(peer) == [action()]
    assert (reply.message.status, reply.data) == (0, b"")
    assert is_usable(peer)


def test_a_response_with_a_data_set(peer: RawServer) -> None:
    begin(peer, b"what to do")
    peer.send(done(b"what was done" * 5))
    reply = peer.client.finish()
    assert reply.data == b"what was done" * 5
    assert reply.transfer_syntax == peer.client.core.context(CT_ID).transfer_syntax
    assert is_usable(peer)


def test_a_failure_is_a_result(peer: RawServer) -> None:
    begin(peer)
    peer.send(done(status=0x0112))
    assert peer.client.finish().message.status == 0x0112
    assert is_usable(peer)


def test_a_request_that_cannot_be_encoded_leaves_the_association_as_it_was(peer: RawServer) -> None:
    core = peer.client.core
    with pytest.raises(LocalProtocolError, match="one was given"):
        peer.client.run(invoke(core, core.context(CT_ID), action(), b"data that the message denies"))
    assert is_usable(peer)


def test_a_response_above_the_limit_names_it() -> None:
    peer = RawServer(limits=SHORT).associate()
    begin(peer)
    peer.send(done(bytes(102)))
    with pytest.raises(
        RemoteProtocolError, match=r"more than 100 bytes \(max_identifier_length\).*N-ACTION-RSP"
    ):
        peer.client.finish()
    assert aborts(peer.received()) == [(0, 0)]


@pytest.mark.parametrize(
    "answer",
    [
        CEchoRSP(message_id_being_responded_to=1, status=0),
        NActionRSP(message_id_being_responded_to=9, status=0),
    ],
)
def test_a_response_to_something_else_ends_the_association(peer: RawServer, answer: Message) -> None:
    begin(peer)
    peer.send(message(CT_ID, answer))
    with pytest.raises(RemoteProtocolError, match="Message ID"):
        peer.client.finish()


def test_a_cancel_is_no_response(peer: RawServer) -> None:
    begin(peer)
    peer.send(message(CT_ID, CCancelRQ(message_id_being_responded_to=1)))
    with pytest.raises(RemoteProtocolError, match="where a response was due"):
        peer.client.finish()


def test_a_release_instead_of_a_response(peer: RawServer) -> None:
    begin(peer)
    peer.send(AReleaseRQ())
    peer.close()
    with pytest.raises(AssociationReleased):
        peer.client.finish()
    assert AReleaseRP() in peer.received()


def test_no_response(peer: RawServer) -> None:
    begin(peer)
    with pytest.raises(DeadlineExceeded, match="DIMSE"):
        peer.client.finish()


# ---------------------------------------------------------------------- event reports, as their performer


def test_an_event_report_is_waited_for(peer: RawServer) -> None:
    peer.client.start(next_report(peer.client.core, 60))
    peer.send(reporting(b"committed" * 9))
    found = peer.client.finish()
    assert (found.message.event_type_id, found.data) == (2, b"committed" * 9)
    (answer,) = responses(peer)
    assert (answer.status, answer.message_id_being_responded_to, answer.event_type_id) == (0, 7, 2)
    assert is_usable(peer)


def test_no_event_report_in_time(peer: RawServer) -> None:
    before = peer.network.now
    assert peer.client.run(next_report(peer.client.core, 3)) is None
    assert peer.network.now - before == 3
    assert is_usable(peer)


def test_an_association_that_is_silent(peer: RawServer) -> None:
    peer.client.start(next_report(peer.client.core, None))
    peer.send(AAbort(0, 0))
    with pytest.raises(AssociationAborted):
        peer.client.finish()


@pytest.mark.parametrize("length", [60, -50], ids=["in its command", "in its data set"])
def test_an_event_report_that_is_cut_short(peer: RawServer, length: int) -> None:
    peer.client.start(next_report(peer.client.core, 3))
    peer.send(reporting(bytes(100))[:length])
    with pytest.raises(DeadlineExceeded, match="DIMSE"):
        peer.client.finish()


def test_an_event_report_amid_another_operation_is_kept(peer: RawServer) -> None:
    begin(peer)
    peer.send(reporting(b"early"), reporting(), done(b"late"))
    assert peer.client.finish().data == b"late"
    assert [each.NAME for each in responses(peer)] == ["N-ACTION-RQ", *["N-EVENT-REPORT-RSP"] * 2]
    found = [peer.client.run(next_report(peer.client.core, 0)) for _ in range(2)]
    assert [each.data for each in found] == [b"early", b""]
    assert is_usable(peer)


def test_an_event_report_amid_an_echo_is_kept(peer: RawServer) -> None:
    peer.client.start(echo(peer.client.core))
    answer = message(ECHO_ID, CEchoRSP(message_id_being_responded_to=1, status=0))
    peer.send(reporting(b"early"), reporting(b"next"), answer)
    assert peer.client.finish().status == 0
    found = [peer.client.run(next_report(peer.client.core, 0)) for _ in range(2)]
    assert [each.data for each in found] == [b"early", b"next"]


def test_a_release_behind_an_event_report_amid_an_echo(peer: RawServer) -> None:
    peer.client.start(echo(peer.client.core))
    peer.send(reporting(), AReleaseRQ())
    peer.close()
    with pytest.raises(AssociationReleased):
        peer.client.finish()


def test_an_event_report_amid_a_query_is_kept(peer: RawServer) -> None:
    core = peer.client.core
    request = CFindRQ(message_id=core.message_ids.next(), affected_sop_class_uid=STUDY_ROOT_FIND)
    query = Operation(core, core.context(FIND_ID), request)
    peer.client.run(query.begin(b"what to look for"))
    peer.client.start(query.advance())
    final = CFindRSP(message_id_being_responded_to=1, status=0)
    peer.send(reporting(b"early"), message(FIND_ID, final))
    assert peer.client.finish() is None
    assert peer.client.run(next_report(core, 0)).data == b"early"


def test_more_event_reports_than_are_kept(peer: RawServer) -> None:
    begin(peer)
    peer.send(*[reporting(b"event")] * (MAX_KEPT_REPORTS + 1), done())
    peer.client.finish()
    _, *answers = responses(peer)
    assert [each.status for each in answers] == [0] * MAX_KEPT_REPORTS + [0x0213]
    assert len(peer.client.core.reports or ()) == MAX_KEPT_REPORTS


def test_another_request_is_refused(peer: RawServer) -> None:
    peer.client.start(next_report(peer.client.core, 60))
    peer.send(
        message(ECHO_ID, CEchoRQ(message_id=3, affected_sop_class_uid="1.2.840.10008.1.1")), reporting()
    )
    assert isinstance(peer.client.finish(), Reply)
    assert [each.status for each in responses(peer)] == [0x0211, 0]


def test_an_event_report_to_the_scp_of_the_class_is_refused(peer: RawServer) -> None:
    core = peer.client.core
    context = replace(core.context(CT_ID), scu_role=False, scp_role=True)
    core.negotiated = replace(core.agreed, contexts={**core.agreed.contexts, CT_ID: context})
    peer.client.start(next_report(core, 60))
    peer.send(reporting(b"event"))
    assert [each.status for each in responses(peer)] == [0x0124]
    assert peer.client.finish() is None


def test_a_release_instead_of_an_event_report(peer: RawServer) -> None:
    peer.client.start(next_report(peer.client.core, None))
    peer.send(AReleaseRQ())
    peer.close()
    with pytest.raises(AssociationReleased):
        peer.client.finish()


# ---------------------------------------------------------------------- as SCP


SUCCEEDED = Performed(0)


@dataclass
class Handler:
    """Performs requests as the test says.

    Attributes:
        performed: What `begin` gives; an exception is raised.
        seen: The requests and their data sets.
        failures: What was raised.
        reported: The statuses of the answers to event reports.
    """

    performed: Performed | Exception = SUCCEEDED
    seen: list[tuple[Any, bytes]] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    reported_statuses: list[int] = field(default_factory=list)

    def begin(self, core: AssociationCore, context: AcceptedContext, request: Any, data: bytes) -> Any:
        assert core.context(context.context_id) is context
        self.seen.append((request, data))
        if isinstance(self.performed, Exception):
            raise self.performed
        return self.performed

    def failed(self, error: BaseException) -> Outcome:
        self.failures.append(error)
        return 0x0110, "it went wrong"

    def reported(self, response: NEventReportRSP) -> None:
        self.reported_statuses.append(response.status)


def services(handler: Handler) -> dict[type[Message], Any]:
    service = normalized(handler)
    kinds: tuple[type[Message], ...] = (NActionRQ, NGetRQ, NCreateRQ)
    return {
        **dict.fromkeys(kinds, service),
        NEventReportRSP: event_responses(handler),
        CEchoRQ: verification(),
    }


def client(handler: Handler, **options: Any) -> RawClient:
    return RawClient(services=services(handler), **options).associate()


def test_a_request_and_its_answer() -> None:
    handler = Handler(Performed(0x0107, b"the answer" * 20))
    peer = client(handler)
    peer.send(message(CT_ID, action(has_data_set=True), b"question" * 9, size=30))
    ((request, data),) = handler.seen
    assert (request.action_type_id, data) == (1, b"question" * 9)
    (answer,) = responses(peer)
    assert answer == NActionRSP(
        message_id_being_responded_to=1,
        status=0x0107,
        affected_sop_class_uid=CT,
        affected_sop_instance_uid=INSTANCE,
        action_type_id=1,
        has_data_set=True,
    )


def test_the_performer_may_name_the_instance() -> None:
    peer = client(Handler(Performed(0, sop_instance_uid="1.2.3")))
    peer.send(message(CT_ID, NCreateRQ(message_id=1, affected_sop_class_uid=CT)))
    (answer,) = responses(peer)
    assert isinstance(answer, NCreateRSP)
    assert (answer.affected_sop_instance_uid, answer.has_data_set) == ("1.2.3", False)


def test_a_handler_that_raises() -> None:
    handler = Handler(ZeroDivisionError())
    peer = client(handler)
    peer.send(message(CT_ID, action(1)), message(CT_ID, action(2)))
    assert [(each.status, each.error_comment) for each in responses(peer)] == [(0x0110, "it went wrong")] * 2
    assert [type(each) for each in handler.failures] == [ZeroDivisionError] * 2


def test_a_data_set_above_the_limit_is_refused() -> None:
    handler = Handler()
    peer = client(handler, limits=SHORT)
    peer.send(message(CT_ID, action(has_data_set=True), bytes(102)), message(CT_ID, action(2)))
    first, second = responses(peer)
    assert (first.status, first.error_comment) == (0x0213, "data set longer than 100 bytes")
    assert second.status == 0
    assert len(handler.seen) == 1


def reports(*event_type_ids: int, data: bytes | None = None) -> Performed:
    return Performed(0, reports=[Report(CT, INSTANCE, each, data) for each in event_type_ids])


def answered(request: Any, status: int = 0, data: bytes | None = None) -> bytes:
    response = NEventReportRSP(
        message_id_being_responded_to=request.message_id, status=status, has_data_set=data is not None
    )
    return message(CT_ID, response, data)


def test_events_are_reported_one_after_the_other() -> None:
    handler = Handler(reports(1, 2, data=b"event"))
    peer = client(handler)
    peer.send(message(CT_ID, action()))
    response, first = responses(peer)
    assert (response.NAME, first.event_type_id, first.has_data_set) == ("N-ACTION-RSP", 1, True)
    handler.performed = reports(3)
    peer.send(message(CT_ID, action(2)), answered(first, data=b"thanks"))
    response, second = responses(peer)
    assert (response.NAME, second.event_type_id) == ("N-ACTION-RSP", 2)
    peer.send(answered(second, status=0x0113))
    (third,) = responses(peer)
    assert (third.event_type_id, third.has_data_set) == (3, False)
    peer.send(answered(third), AReleaseRQ())
    assert AReleaseRP() in peer.received()
    assert handler.reported_statuses == [0, 0x0113, 0]


def test_a_peer_that_does_not_answer_event_reports() -> None:
    handler = Handler(reports(*range(MAX_KEPT_REPORTS + 1)))
    peer = client(handler)
    peer.send(message(CT_ID, action()), message(CT_ID, action(2, has_data_set=True), b"more"))
    _, first, refusal = responses(peer)
    assert (refusal.status, refusal.error_comment) == (0x0213, "answer the event reports first")
    handler.performed = SUCCEEDED
    peer.send(answered(first), message(CT_ID, action(3)))
    assert [each.NAME for each in responses(peer)] == ["N-EVENT-REPORT-RQ", "N-ACTION-RSP"]


def test_a_release_before_an_event_report_is_answered() -> None:
    peer = client(Handler(reports(1, 2)))
    peer.send(message(CT_ID, action()), AReleaseRQ())
    assert AReleaseRP() in peer.received()
    peer.close()
    assert peer.server.finish() is True


def test_an_answer_to_no_event_report() -> None:
    peer = client(Handler())
    peer.send(answered(event(5)))
    assert aborts(peer.received()) == [(0, 0)]
    peer.close()
    with pytest.raises(RemoteProtocolError, match="Message ID 5, which is not outstanding"):
        peer.server.finish()


class Finder(Handler):
    """Answers a query with one match, once the test has had its turn."""

    def begin(self, core: AssociationCore, context: AcceptedContext, request: Any, data: bytes) -> Any:
        matches = iter([(0xFF00, b"match")])
        return Answers(matches, lambda: None)


def test_the_answer_to_an_event_report_comes_amid_a_query() -> None:
    handler = Handler(reports(1))
    more = {CFindRQ: query(Finder())}
    peer = RawClient(services={**services(handler), **more}).associate()
    peer.send(message(CT_ID, action()))
    _, reported = responses(peer)
    request = CFindRQ(message_id=2, affected_sop_class_uid=STUDY_ROOT_FIND)
    peer.send(message(FIND_ID, request, b"what to look for") + answered(reported, data=b"thanks"))
    assert [each.status for each in responses(peer)] == [0xFF00, 0]
    assert handler.reported_statuses == [0]


def test_an_abort_while_a_request_comes() -> None:
    handler = Handler()
    peer = client(handler)
    peer.send(message(CT_ID, action(has_data_set=True), bytes(100), size=30)[:-20], AAbort(0, 0))
    with pytest.raises((AssociationAborted, RemoteProtocolError)):
        peer.server.finish()
    assert not handler.seen


# ---------------------------------------------------------------------- both


@pytest.mark.parametrize("seed", range(5))
def test_ours_with_ours(seed: int) -> None:
    handler = Handler(replace_reports(Performed(0, b"answer" * 900)))
    pair = Pair(seed, services=services(handler)).establish()
    core = pair.client.core
    request = NGetRQ(message_id=1, requested_sop_class_uid=CT, requested_sop_instance_uid=INSTANCE)
    core.message_ids.next()
    reply = pair.client.run(invoke(core, core.context(CT_ID), request))
    assert isinstance(reply.message, NGetRSP)
    assert reply.data == b"answer" * 900
    assert pair.client.run(next_report(core, 10)).message.event_type_id == 4
    pair.client.run(release(core))
    assert pair.server.finish() is True
    assert handler.reported_statuses == [0]


def replace_reports(performed: Performed) -> Performed:
    return performed._replace(reports=reports(4).reports)
