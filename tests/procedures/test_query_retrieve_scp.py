"""C-FIND, C-GET and C-MOVE as SCP: against our own SCU, and against a peer that does what the test says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from dcmnet.acse import (
    AcceptedContext,
    AcceptorPolicy,
    AcceptorRole,
    Negotiated,
    ProposedContext,
    RequestorPolicy,
    SupportedContext,
    build_request,
)
from dcmnet.dimse import command
from dcmnet.dimse.messages import (
    CCancelRQ,
    CEchoRQ,
    CEchoRSP,
    CFindRQ,
    CFindRSP,
    CGetRQ,
    CGetRSP,
    CMoveRQ,
    CStoreRQ,
    CStoreRSP,
    Message,
    Request,
)
from dcmnet.dimse.stream import Assembler, DataFragment, MessageStart
from dcmnet.errors import (
    AssociationAborted,
    AssociationReleased,
    DeadlineExceeded,
    InputFileError,
    NoPresentationContext,
    RemoteProtocolError,
    TransportClosed,
)
from dcmnet.limits import MAX_LOST_IN_A_ROW, Limits, Timeouts
from dcmnet.payload import FileRange, Payload
from dcmnet.procedures.association import AssociationCore, establish, new_core, release
from dcmnet.procedures.effects import Call, Next, Spawn
from dcmnet.procedures.query_retrieve import Operation
from dcmnet.procedures.scp import Acceptor, serve
from dcmnet.procedures.scu import echo
from dcmnet.registry.sop_classes import STUDY_ROOT_FIND, STUDY_ROOT_GET, STUDY_ROOT_MOVE, VERIFICATION
from dcmnet.services import retrieve
from dcmnet.services.query_retrieve import Answers, query
from dcmnet.services.retrieve import Item, Opened, Step, Tally, get, move
from dcmnet.services.storage import Outcome, storage
from dcmnet.services.verification import verification
from dcmnet.ul.pdu import AAbort, AReleaseRP, AReleaseRQ
from dcmnet.ul.reader import Fragment
from tests.procedures.memory import End, Network
from tests.procedures.pairs import (
    CT,
    MAX_PDU_LENGTH,
    SYNTAXES,
    TIMEOUTS,
    MemoryStore,
    RawClient,
    aborts,
    message,
    messages,
)

CLASSES = (VERIFICATION, STUDY_ROOT_FIND, STUDY_ROOT_GET, STUDY_ROOT_MOVE, CT)
ECHO_ID, FIND_ID, GET_ID, MOVE_ID, CT_ID = 1, 3, 5, 7, 9


def proposed(uid: str) -> ProposedContext:
    role = True if uid == CT else None
    return ProposedContext(abstract_syntax=uid, transfer_syntaxes=SYNTAXES, scu_role=role, scp_role=role)


REQUEST = build_request(
    RequestorPolicy(
        called_ae_title="ARCHIVE",
        calling_ae_title="VIEWER",
        contexts=tuple(proposed(uid) for uid in CLASSES),
        max_pdu_length=MAX_PDU_LENGTH,
    )
)
POLICY = AcceptorPolicy(
    ae_title="ARCHIVE",
    contexts=tuple(
        SupportedContext(abstract_syntax=uid, transfer_syntaxes=SYNTAXES, role=AcceptorRole.BOTH)
        for uid in CLASSES
    ),
    max_pdu_length=MAX_PDU_LENGTH,
)
IDENTIFIER = b"what to look for"


@dataclass
class Handler:
    """Answers queries and retrievals out of a list.

    Attributes:
        items: What it gives; an exception is raised in its turn.
        begins: What `begin` raises.
        closes: What ending the handler before its time raises.
        seen: The identifiers, and what happened.
        places: Where AEs are.
        per_association: Objects that go over one association of a C-MOVE.
    """

    items: Sequence[Any] = ()
    begins: Exception | None = None
    closes: Exception | None = None
    seen: list[Any] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)
    places: dict[str, Any] = field(default_factory=lambda: {"STORE": ("store", 104)})
    per_association: int = 1000
    opened: list[str] = field(default_factory=list)

    def begin(
        self, core: AssociationCore, context: AcceptedContext, request: Request, identifier: bytes
    ) -> Answers:
        self.seen.append(identifier)
        if self.begins is not None:
            raise self.begins
        answers = self._answers()
        return Answers(answers, lambda: self._close(answers))

    def _answers(self) -> Iterator[Any]:
        try:
            for item in self.items:
                if isinstance(item, Exception) and not isinstance(item, InputFileError):
                    raise item
                yield item
        finally:
            self.seen.append("closed")

    def _close(self, answers: Any) -> None:
        answers.close()
        if self.closes is not None:
            raise self.closes

    def failed(self, error: BaseException) -> Outcome:
        self.reports.append(str(error))
        return 0xC001, "the handler failed"

    # ------------------------------------------------------------------ retrievals

    def describe(self, sources: Sequence[Any]) -> list[Item]:
        return [
            Item("", None, source) if isinstance(source, InputFileError) else Item(*source)
            for source in sources
        ]

    def opener(self, request: CGetRQ | CMoveRQ) -> Handler:
        return self

    def open(self, negotiated: Negotiated, item: Item) -> Opened:
        self.opened.append(item.sop_instance_uid)
        if isinstance(item.source, Exception):
            raise item.source
        return Opened(negotiated.find(CT), item.source)

    def close(self) -> None:
        self.opened.append("closed")

    def encode_failed(self, uids: Sequence[str], transfer_syntax: str) -> bytes:
        return ("failed " + ",".join(uids)).encode()

    def address(self, destination: str) -> Any:
        place = self.places.get(destination)
        if isinstance(place, Exception):
            raise place
        return place

    def steps(self, core: AssociationCore, request: CMoveRQ, items: Sequence[Item]) -> list[Step]:
        size = self.per_association
        return [Step(REQUEST, items[first : first + size]) for first in range(0, len(items), size)]

    def new_core(self, core: AssociationCore) -> AssociationCore:
        return new_core(requestor=True, timeouts=core.timeouts, limits=core.limits)

    def told(self, text: str, error: BaseException | None) -> None:
        self.reports.append(text)


def services(handler: Handler, store: MemoryStore | None = None) -> dict[type[Message], Any]:
    found: dict[type[Message], Any] = {
        CEchoRQ: verification(),
        CFindRQ: query(handler),
        CGetRQ: get(handler),
        CMoveRQ: move(handler),
    }
    return found if store is None else {**found, CStoreRQ: storage(store)}


class Pair:
    """Our SCU, our SCP, and a Storage SCP that a C-MOVE may send to."""

    def __init__(self, handler: Handler, seed: int = 0, limits: Limits | None = None) -> None:
        self.network = Network(seed)
        self.handler = handler
        self.store = MemoryStore()
        self.received = MemoryStore()
        self.server = self.network.acceptor(timeouts=TIMEOUTS, limits=limits, max_pdu_length=MAX_PDU_LENGTH)
        self.client = self.network.requestor(self.server, timeouts=TIMEOUTS, max_pdu_length=MAX_PDU_LENGTH)
        self.server.start(serve(self.server.core, Acceptor(policy=POLICY, services=services(handler))))
        self.client.run(establish(self.client.core, "peer", 104, REQUEST))
        self.destinations = [self._destination()]
        self.server.server = self.destinations[0]

    def _destination(self) -> End:
        end = self.network.acceptor(timeouts=TIMEOUTS, max_pdu_length=MAX_PDU_LENGTH)
        found = services(self.handler, self.store)
        end.start(serve(end.core, Acceptor(policy=POLICY, services=found)))
        return end

    def operation(self, context_id: int, identifier: bytes = IDENTIFIER, **options: Any) -> Operation:
        """Begin a C-FIND, C-GET or C-MOVE."""
        core = self.client.core
        context = core.context(context_id)
        kind: Any = {FIND_ID: CFindRQ, GET_ID: CGetRQ, MOVE_ID: CMoveRQ}[context_id]
        request = kind(
            message_id=core.message_ids.next(), affected_sop_class_uid=context.abstract_syntax, **options
        )
        found = Operation(core, context, request, storage(self.received))
        self.client.run(found.begin(identifier))
        return found

    def all(self, found: Operation) -> list[Any]:
        """Take every response, the final one too."""
        answers = []
        while (answer := self.client.run(found.advance())) is not None:
            answers.append(answer)
        assert found.final is not None
        return [*answers, found.final]

    def end(self) -> None:
        """The association is in order, and can be released."""
        assert self.client.run(echo(self.client.core)).status == 0
        self.client.run(release(self.client.core))
        assert self.server.finish() is True


def counts(answer: Any) -> tuple[Any, ...]:
    response = answer.response
    return (
        response.status,
        response.number_of_remaining_suboperations,
        response.number_of_completed_suboperations,
        response.number_of_failed_suboperations,
        response.number_of_warning_suboperations,
    )


class Raw(RawClient):
    """A requestor that does what the test says, in front of our SCP."""

    def __init__(self, handler: Handler, **options: Any) -> None:
        super().__init__(policy=POLICY, services=services(handler), **options)
        self.send(REQUEST)
        self.received()
        self.incoming.seen.clear()

    def find(self, message_id: int = 5, size: int = 1000) -> bytes:
        request = CFindRQ(message_id=message_id, affected_sop_class_uid=STUDY_ROOT_FIND)
        return message(FIND_ID, request, IDENTIFIER, size=size)

    def get(self, message_id: int = 5) -> bytes:
        return message(
            GET_ID, CGetRQ(message_id=message_id, affected_sop_class_uid=STUDY_ROOT_GET), IDENTIFIER
        )

    def took(self) -> list[Any]:
        """The messages that came since the last time."""
        found = messages(self.received())
        self.incoming.seen.clear()
        return found


def cancel(message_id: int = 5, context_id: int = FIND_ID) -> bytes:
    return message(context_id, CCancelRQ(message_id_being_responded_to=message_id))


def data_sets(pdus: Sequence[object]) -> list[bytes]:
    """The data sets in what a peer received."""
    assembler = Assembler(Limits())
    found: list[bytearray] = []
    for item in (assembler.feed(pdu) for pdu in pdus if isinstance(pdu, Fragment)):
        if isinstance(item, MessageStart) and item.message.has_data_set:
            found.append(bytearray())
        elif isinstance(item, DataFragment):
            found[-1] += item.data
    return [bytes(each) for each in found]


# ---------------------------------------------------------------------- C-FIND


@pytest.mark.parametrize("seed", range(4))
def test_matches_are_pending_responses(seed: int) -> None:
    handler = Handler([(0xFF00, b"one"), (0xFF01, b"two" * 3000), (0xFF00, b"three")])
    pair = Pair(handler, seed)
    answers = pair.all(pair.operation(FIND_ID))
    assert [(each.response.status, each.identifier) for each in answers] == [*handler.items, (0, b"")]
    assert handler.seen == [IDENTIFIER, "closed"]
    pair.end()


def test_no_match() -> None:
    pair = Pair(Handler())
    assert [each.response.status for each in pair.all(pair.operation(FIND_ID))] == [0]
    pair.end()


@pytest.mark.parametrize("context_id", [FIND_ID, GET_ID, MOVE_ID])
@pytest.mark.parametrize("where", ["begin", "first", "later"])
def test_a_handler_that_raises_is_a_failure_status(where: str, context_id: int) -> None:
    error = ValueError("no such patient")
    cases: dict[str, list[Any]] = {"begin": [], "first": [error], "later": [(0xFF00, b"one"), error]}
    items = cases[where]
    handler = Handler(items, begins=error if where == "begin" else None)
    pair = Pair(handler)
    options: dict[str, Any] = {"move_destination": "STORE"} if context_id == MOVE_ID else {}
    final = pair.all(pair.operation(context_id, **options))[-1]
    assert (final.response.status, final.response.error_comment) == (0xC001, "the handler failed")
    assert handler.reports == ["no such patient"]
    pair.end()


@pytest.mark.parametrize("context_id", [FIND_ID, GET_ID, MOVE_ID])
def test_an_identifier_above_the_limit_is_refused(context_id: int) -> None:
    handler = Handler()
    pair = Pair(handler, limits=Limits(max_identifier_length=100))
    options: dict[str, Any] = {"move_destination": "STORE"} if context_id == MOVE_ID else {}
    (final,) = pair.all(pair.operation(context_id, bytes(102), **options))
    assert (final.response.status, final.response.error_comment) == (
        0xA700,
        "identifier longer than 100 bytes",
    )
    assert handler.seen == []
    assert [each.response.status for each in pair.all(pair.operation(FIND_ID, bytes(100)))] == [0]
    pair.end()


def test_cancelled_by_our_scu() -> None:
    handler = Handler([(0xFF00, bytes(60_000))] * 10)  # more than fits on the way
    pair = Pair(handler)
    found = pair.operation(FIND_ID)
    pair.client.run(found.advance())
    pair.client.run(found.finish())
    assert found.final is not None
    assert found.final.response.status == 0xFE00
    assert handler.seen[-1] == "closed"
    pair.end()


@pytest.mark.parametrize("size", [1000, 14])
def test_a_cancel_that_comes_with_the_request(size: int) -> None:
    handler = Handler([(0xFF00, b"one")] * 9)
    peer = Raw(handler)
    peer.send(peer.find(size=size) + cancel())
    took = peer.took()
    assert took[-1] == CFindRSP(
        message_id_being_responded_to=5, status=0xFE00, affected_sop_class_uid=STUDY_ROOT_FIND
    )
    assert len(took) < 10


def test_a_cancel_while_the_handler_works_ends_before_its_match_is_sent() -> None:
    class Late(Handler):
        def _answers(self) -> Iterator[Any]:
            peer.outgoing.data += cancel()  # it arrives while the first match is being looked for
            yield 0xFF00, b"one"

    handler = Late()
    peer = Raw(handler)
    peer.network.whole = True
    peer.send(peer.find())
    assert [each.status for each in peer.took()] == [0xFE00]


def test_cancels_of_other_operations_and_late_ones_are_passed_over() -> None:
    peer = Raw(Handler([(0xFF00, b"one")] * 3))
    peer.send(peer.find() + cancel(message_id=4))
    assert [each.status for each in peer.took()] == [0xFF00] * 3 + [0]
    peer.send(cancel())
    peer.send(peer.find(message_id=6))
    assert [each.status for each in peer.took()] == [0xFF00] * 3 + [0]


def test_another_request_is_set_aside_until_the_operation_is_over() -> None:
    peer = Raw(Handler([(0xFF00, b"one")] * 3))
    ping = message(ECHO_ID, CEchoRQ(message_id=6, affected_sop_class_uid=VERIFICATION))
    peer.send(peer.find() + ping + cancel())
    took = peer.took()
    assert [type(each) for each in took] == [CFindRSP] * 4 + [CEchoRSP]
    assert took[3].status == 0  # behind another request a cancel is not seen any more


def test_a_release_in_the_middle_ends_the_operation_and_is_answered() -> None:
    handler = Handler([(0xFF00, b"one")] * 3)
    peer = Raw(handler)
    peer.send(peer.find() + AReleaseRQ().encode())
    seen = peer.received()
    assert isinstance(seen[-1], AReleaseRP)
    assert messages(seen)[-1].status == 0xFE00  # type: ignore[attr-defined]
    peer.close()
    peer.server.finish()


class Interrupting(Handler):
    """Sends something as the peer between two matches."""

    def interrupt(self, peer: Raw, data: bytes) -> None:
        """Say what, and as whom."""
        self.peer, self.data = peer, data

    def _answers(self) -> Iterator[Any]:
        try:
            yield 0xFF00, b"one"
            self.peer.outgoing.data += self.data
            yield 0xFF00, b"two"
        finally:
            self.seen.append("closed")


def test_a_response_that_nothing_was_asked_for_ends_the_association() -> None:
    handler = Interrupting()
    peer = Raw(handler)
    handler.interrupt(peer, message(ECHO_ID, CEchoRSP(message_id_being_responded_to=1, status=0)))
    peer.send(peer.find())
    assert aborts(peer.received()) == [(0, 0)]
    assert handler.seen == [IDENTIFIER, "closed"]


def test_an_abort_in_the_middle_closes_the_handler() -> None:
    handler = Interrupting()
    peer = Raw(handler)
    handler.interrupt(peer, AAbort(0, 0).encode())
    peer.send(peer.find())
    peer.close()
    with pytest.raises(AssociationAborted):
        peer.server.finish()
    assert handler.seen == [IDENTIFIER, "closed"]


def test_a_handler_that_fails_when_it_is_closed_is_told_of() -> None:
    handler = Handler([(0xFF00, b"one")] * 9, closes=ValueError("cannot close"))
    peer = Raw(handler)
    peer.send(peer.find() + cancel())
    assert peer.took()[-1].status == 0xFE00
    assert handler.reports == ["cannot close"]


def test_a_stalled_cancel_runs_into_the_timer() -> None:
    peer = Raw(Handler([(0xFF00, b"one")] * 9))
    peer.send(peer.find() + cancel()[:20])
    with pytest.raises(DeadlineExceeded, match="DIMSE"):
        peer.server.finish()


@pytest.mark.parametrize("effect", [Next, Call])
def test_a_procedure_that_is_dropped_carries_out_no_more(effect: type) -> None:
    class Dropped(Handler):
        def _answers(self) -> Iterator[Any]:
            yield 0xFF00, bytes(200_000)

    peer = Raw(Dropped(), room=5000)
    peer.send(peer.find())  # now it waits for room
    count = len(peer.server.effects)
    peer.server.drop()
    assert len(peer.server.effects) == count


def test_the_connection_breaks_while_a_match_is_sent() -> None:
    peer = Raw(Handler([(0xFF00, bytes(200_000))]), room=5000)
    peer.send(peer.find())
    peer.reset()
    with pytest.raises(TransportClosed):
        peer.server.finish()


# ---------------------------------------------------------------------- C-GET


OBJECTS = [("1.1", b"first object"), ("1.2", b"second" * 2000), ("1.3", b"third object")]


@pytest.mark.parametrize("seed", range(4))
def test_objects_come_on_the_association_of_a_get(seed: int) -> None:
    handler = Handler(OBJECTS)
    pair = Pair(handler, seed)
    answers = pair.all(pair.operation(GET_ID))
    assert [counts(each) for each in answers] == [
        (0xFF00, 2, 1, 0, 0),
        (0xFF00, 1, 2, 0, 0),
        (0, None, 3, 0, 0),
    ]
    assert pair.received.kept == [data for _, data in OBJECTS]
    assert handler.opened == ["1.1", "1.2", "1.3", "closed"]
    pair.end()


def test_nothing_to_get() -> None:
    pair = Pair(Handler())
    assert [counts(each) for each in pair.all(pair.operation(GET_ID))] == [(0, None, 0, 0, 0)]
    pair.end()


def test_objects_that_cannot_be_sent_are_counted_and_named() -> None:
    lost = InputFileError("a.dcm", "cannot be read")
    unfit = NoPresentationContext("no context", abstract_syntax=CT)
    handler = Handler([lost, ("1.2", lost), OBJECTS[0], ("1.4", unfit)])
    pair = Pair(handler)
    *_, final = pair.all(pair.operation(GET_ID))
    assert counts(final) == (0xB000, None, 1, 3, 0)
    assert final.identifier == b"failed 1.2,1.4"
    assert [text.partition(" not sent")[0] for text in handler.reports] == ["an object", "1.2", "1.4"]
    pair.end()


def test_objects_that_all_fail() -> None:
    handler = Handler([("1.1", InputFileError("a.dcm", "is gone"))])
    pair = Pair(handler)
    (final,) = pair.all(pair.operation(GET_ID))
    assert counts(final) == (0xA702, None, 0, 1, 0)
    assert final.identifier == b"failed 1.1"
    pair.end()


def test_only_nameless_objects_fail() -> None:
    pair = Pair(Handler([InputFileError("a.dcm", "is gone")]))
    (final,) = pair.all(pair.operation(GET_ID))
    assert (counts(final)[0], final.identifier) == (0xA702, b"")
    pair.end()


@pytest.mark.parametrize(
    ("status", "expected"),
    [(0xB007, (0xB000, None, 0, 0, 2)), (0xA700, (0xA702, None, 0, 2, 0)), (0x0107, (0xB000, None, 0, 0, 2))],
)
def test_what_the_peer_says_about_the_objects(status: int, expected: tuple[Any, ...]) -> None:
    pair = Pair(Handler(OBJECTS[:2]))
    pair.received.outcome = (status, "")
    *_, final = pair.all(pair.operation(GET_ID))
    assert counts(final) == expected
    assert final.identifier == (b"failed 1.1,1.2" if expected[3] else b"")
    pair.end()


@pytest.mark.parametrize("number", [65_535, 65_536])
def test_counts_that_do_not_fit_are_left_out(number: int) -> None:
    """A US has no room for more than 65,535 (PS3.4 C.4.2.2, C.4.3.2)."""
    fits = number if number == 65_535 else None
    request = CGetRQ(message_id=1, affected_sop_class_uid=STUDY_ROOT_GET)
    for status in (0, 0xFE00):
        response = Tally(number, number, number, number).response(request, status)
        response.encode()  # it can be sent
        remaining = fits if status else None
        assert counts(SimpleNamespace(response=response)) == (status, remaining, fits, fits, fits)


def test_objects_that_all_arrive_and_cannot_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieve, "LARGEST_COUNT", 2)
    many = [(f"1.{number}", b"object") for number in range(6)]
    pair = Pair(Handler(many))
    for context_id, store in ((GET_ID, pair.received), (MOVE_ID, pair.store)):
        more: Any = {"move_destination": "STORE"} if context_id == MOVE_ID else {}
        (final,) = pair.all(pair.operation(context_id, **more))
        assert counts(final) == (0, None, None, 0, 0)
        assert len(store.kept) == 6
    pair.end()


def test_pending_responses_while_their_counts_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieve, "LARGEST_COUNT", 3)
    many = [(f"1.{number}", b"object") for number in range(5)]
    pair = Pair(Handler(many))
    answers = pair.all(pair.operation(GET_ID))
    assert [counts(each) for each in answers] == [
        (0xFF00, 3, 2, 0, 0),
        (0xFF00, 2, 3, 0, 0),
        (0, None, None, 0, 0),
    ]
    pair.end()


def test_a_get_is_cancelled_between_objects() -> None:
    pair = Pair(Handler(OBJECTS))
    found = pair.operation(GET_ID)
    pair.client.run(found.advance())
    pair.client.run(found.cancel())
    final = pair.all(found)[-1]
    assert final.response.status == 0xFE00
    remaining, completed = counts(final)[1:3]
    assert (remaining + completed, completed) == (3, len(pair.received.kept))
    assert remaining > 0
    pair.end()


def test_a_get_is_cancelled_before_anything_is_sent() -> None:
    handler = Handler(OBJECTS)
    peer = Raw(handler)
    peer.send(peer.get() + cancel(context_id=GET_ID))
    (final,) = peer.took()
    assert isinstance(final, CGetRSP)
    assert (final.status, final.number_of_remaining_suboperations) == (0xFE00, 0)
    assert handler.seen == [IDENTIFIER]


def stored(peer: Raw, number: int = 0, **more: Any) -> bytes:
    """The response to the C-STORE-RQ that came."""
    requests = [each for each in peer.took() if isinstance(each, CStoreRQ)]
    response = CStoreRSP(message_id_being_responded_to=requests[number].message_id, status=0, **more)
    return message(CT_ID, response)


def test_other_requests_are_refused_while_a_get_is_performed() -> None:
    peer = Raw(Handler(OBJECTS[:1]))
    peer.send(peer.get())
    response = stored(peer)
    ping = message(ECHO_ID, CEchoRQ(message_id=6, affected_sop_class_uid=VERIFICATION))
    peer.send(ping + peer.find(7) + response)
    took = peer.took()
    assert [(type(each), each.status) for each in took] == [
        (CEchoRSP, 0x0213),
        (CFindRSP, 0x0213),
        (CGetRSP, 0),
    ]


def test_a_cancel_in_place_of_the_response_ends_the_get_after_the_object() -> None:
    peer = Raw(Handler(OBJECTS))
    peer.send(peer.get())
    response = stored(peer)
    peer.send(cancel(context_id=GET_ID) + response)
    final = peer.took()[-1]
    assert (final.status, final.number_of_remaining_suboperations) == (0xFE00, 2)
    assert final.number_of_completed_suboperations == 1


def test_a_data_set_behind_a_response_is_dropped() -> None:
    peer = Raw(Handler(OBJECTS[:1]))
    peer.send(peer.get())
    (request,) = (each for each in peer.took() if isinstance(each, CStoreRQ))
    find = CFindRSP(message_id_being_responded_to=request.message_id, status=0, has_data_set=True)
    odd = message(CT_ID, find, b"whatever").replace(b"\x20\x80", b"\x01\x80")  # a C-STORE-RSP by its number
    peer.send(odd)
    assert [each.status for each in peer.took()] == [0]


@pytest.mark.parametrize("message_id", [1, 9])
def test_a_wrong_response_to_a_sub_operation_ends_the_association(message_id: int) -> None:
    peer = Raw(Handler(OBJECTS[:1]))
    peer.send(peer.get())
    peer.took()
    peer.send(message(CT_ID, CStoreRSP(message_id_being_responded_to=message_id + 1, status=0)))
    assert aborts(peer.received()) == [(0, 0)]
    with pytest.raises(RemoteProtocolError):
        peer.server.finish()


def test_the_peer_releases_instead_of_answering_a_sub_operation() -> None:
    handler = Handler(OBJECTS)
    peer = Raw(handler)
    peer.send(peer.get())
    peer.send(AReleaseRQ())
    peer.close()
    with pytest.raises(AssociationReleased):
        peer.server.finish()
    assert handler.opened[-1] == "closed"


def test_the_connection_breaks_while_an_object_is_sent() -> None:
    peer = Raw(Handler([("1.1", bytes(200_000))]), room=5000)
    peer.send(peer.get())
    peer.reset()
    with pytest.raises(TransportClosed):
        peer.server.finish()


def test_a_peer_refuses_an_object_before_it_has_left_and_closes() -> None:
    handler = Handler([("1.1", bytes(200_000))])
    peer = Raw(handler, room=5000)
    peer.send(peer.get())
    refusal = CStoreRSP(message_id_being_responded_to=1, status=0xA700)
    peer.send(message(CT_ID, refusal))
    peer.close()
    with pytest.raises(TransportClosed):
        peer.server.finish()


def short_file(path: Any, length: int) -> FileRange:
    path.write_bytes(bytes(100))
    import os

    return FileRange(os.open(path, os.O_RDONLY), 0, length)


def test_a_file_that_is_short_before_anything_left_counts_as_failed(tmp_path: Any) -> None:
    payload: Payload = short_file(tmp_path / "short", 200)
    handler = Handler([("1.1", payload), OBJECTS[0]])
    pair = Pair(handler)
    *_, final = pair.all(pair.operation(GET_ID))
    assert counts(final) == (0xB000, None, 1, 1, 0)
    pair.end()


def test_a_file_that_is_short_in_the_middle_ends_the_association(tmp_path: Any) -> None:
    path = tmp_path / "short"
    payload = short_file(path, 600_000)
    path.write_bytes(bytes(300_000))  # the first batch is there, the next is not
    pair = Pair(Handler([("1.1", payload)]))
    found = pair.operation(GET_ID)
    with pytest.raises(AssociationAborted):
        pair.client.run(found.advance())


# ---------------------------------------------------------------------- C-MOVE


def test_objects_of_a_move_go_to_the_destination() -> None:
    handler = Handler(OBJECTS)
    pair = Pair(handler)
    requests = pair.store.begun
    answers = pair.all(pair.operation(MOVE_ID, move_destination="STORE"))
    assert [counts(each) for each in answers] == [
        (0xFF00, 2, 1, 0, 0),
        (0xFF00, 1, 2, 0, 0),
        (0, None, 3, 0, 0),
    ]
    assert pair.store.kept == [data for _, data in OBJECTS]
    assert [each.affected_sop_instance_uid for each in requests] == ["1.1", "1.2", "1.3"]
    originators = {(each.move_originator_ae_title, each.move_originator_message_id) for each in requests}
    assert originators == {("VIEWER", 1)}
    assert pair.destinations[0].finish() is True  # it was released
    pair.end()


def test_an_unknown_destination() -> None:
    handler = Handler(OBJECTS)
    pair = Pair(handler)
    (final,) = pair.all(pair.operation(MOVE_ID, move_destination="ELSEWHERE"))
    assert final.response.status == 0xA801
    assert handler.seen == []
    pair.end()


@pytest.mark.parametrize("title", ["R\xd6NTGEN1", "SEVENTEEN_LETTERS_", "A\\BC"])
def test_a_destination_that_is_no_ae_title(title: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No association can be asked for with it: it is not known, whatever the handler says."""
    monkeypatch.setitem(command._ENCODERS, 0x0600, lambda value: value.encode("latin-1"))
    handler = Handler(OBJECTS, places={title: ("127.0.0.1", 104)})
    pair = Pair(handler)
    (final,) = pair.all(pair.operation(MOVE_ID, move_destination=title))
    assert final.response.status == 0xA801
    pair.end()


def test_looking_for_the_destination_fails() -> None:
    handler = Handler(OBJECTS, places={"STORE": LookupError("no directory")})
    pair = Pair(handler)
    (final,) = pair.all(pair.operation(MOVE_ID, move_destination="STORE"))
    assert (final.response.status, handler.reports) == (0xC001, ["no directory"])
    pair.end()


def test_a_destination_that_is_not_there() -> None:
    handler = Handler(OBJECTS)
    pair = Pair(handler)
    pair.server.server = None
    *_, final = pair.all(pair.operation(MOVE_ID, move_destination="STORE"))
    assert counts(final) == (0xA702, None, 0, 3, 0)
    assert final.identifier == b"failed 1.1,1.2,1.3"
    assert "cannot connect" in handler.reports[0]
    pair.end()


def test_a_move_over_several_associations() -> None:
    handler = Handler(OBJECTS, per_association=2)
    pair = Pair(handler)
    second = pair._destination()
    first = pair.destinations[0]

    def two(end: End, pipes: tuple[Any, Any]) -> None:
        pair.server.server = second
        End.attach(first, *pipes)

    first.attach = lambda incoming, outgoing: two(first, (incoming, outgoing))  # type: ignore[method-assign]
    *_, final = pair.all(pair.operation(MOVE_ID, move_destination="STORE"))
    assert counts(final) == (0, None, 3, 0, 0)
    assert (first.finish(), second.finish()) == (True, True)
    pair.end()


def test_what_fails_at_the_destination_is_counted() -> None:
    lost = InputFileError("a.dcm", "is gone")
    handler = Handler([lost, ("1.4", lost), *OBJECTS])
    pair = Pair(handler)
    pair.store.full_after = 1000
    *_, final = pair.all(pair.operation(MOVE_ID, move_destination="STORE"))
    assert counts(final) == (0xB000, None, 2, 3, 0)
    assert final.identifier == b"failed 1.4,1.2"
    pair.end()


def test_the_sub_association_ends_in_the_middle() -> None:
    handler = Handler(OBJECTS)
    pair = Pair(handler)
    pair.destinations[0].interrupt_at(Call, AssociationAborted(0, 0, locally=True), number=2)
    *_, final = pair.all(pair.operation(MOVE_ID, move_destination="STORE"))
    assert counts(final) == (0xB000, None, 1, 2, 0)
    assert final.identifier == b"failed 1.2,1.3"
    pair.end()


class Fussy(MemoryStore):
    """Ends the association over some objects, each in its own way."""

    def __init__(self, endings: dict[str, Exception]) -> None:
        super().__init__()
        self.endings = endings

    def begin(self, core: AssociationCore, context: AcceptedContext, request: CStoreRQ) -> Any:
        ending = self.endings.get(request.affected_sop_instance_uid)
        if ending is not None:
            raise ending
        return super().begin(core, context, request)


def fussy_pair(handler: Handler, endings: dict[str, Exception]) -> Pair:
    """A destination that takes one association after another."""
    pair = Pair(handler)
    pair.store = Fussy(endings)
    pair.destinations.clear()

    class Destination:
        def attach(self, incoming: Any, outgoing: Any) -> None:
            pair.destinations.append(pair._destination())
            pair.destinations[-1].attach(incoming, outgoing)

    pair.server.server = Destination()  # type: ignore[assignment]  # `attach` is all that is asked of it
    return pair


ABORTED = AssociationAborted(0, 0, locally=True)


@pytest.mark.parametrize(
    "ending", [ABORTED, RemoteProtocolError("broken"), TransportClosed("lost"), DeadlineExceeded("DIMSE", 1)]
)
@pytest.mark.parametrize("bad", [{1}, {0}, {19}, {0, 1, 2}, {5, 6, 7, 8, 9}, {2, 11}])
def test_one_object_of_a_move_costs_no_other_one_its_place(ending: Exception, bad: set[int]) -> None:
    """The association to the destination is made again, and the rest is sent."""
    handler = Handler([(f"1.{number}", b"object") for number in range(20)])
    endings = {f"1.{number}": ending for number in sorted(bad)}
    pair = fussy_pair(handler, endings)
    answers = pair.all(pair.operation(MOVE_ID, move_destination="STORE"))
    assert counts(answers[-1]) == (0xB000, None, 20 - len(bad), len(bad), 0)
    assert answers[-1].identifier == f"failed {','.join(endings)}".encode()
    assert [each.response.number_of_remaining_suboperations for each in answers[:-1]] == list(
        range(19, 0, -1)
    )
    assert len(pair.store.kept) == 20 - len(bad)
    assert len(pair.destinations) == len(bad) + (0 if 19 in bad else 1)
    pair.end()


def test_a_destination_that_aborts_every_time_is_given_up() -> None:
    handler = Handler([(f"1.{number}", b"object") for number in range(40)])
    pair = fussy_pair(handler, {f"1.{number}": ABORTED for number in range(1, 40)})
    *_, final = pair.all(pair.operation(MOVE_ID, move_destination="STORE"))
    assert counts(final) == (0xB000, None, 1, 39, 0)
    assert len(pair.destinations) == MAX_LOST_IN_A_ROW + 1
    assert "10 associations in a row ended early with nothing stored" in handler.reports[-1]
    pair.end()


def test_a_destination_that_is_gone_after_an_abort() -> None:
    handler = Handler(OBJECTS)
    pair = fussy_pair(handler, {"1.2": ABORTED})
    destination: Any = pair.server.server
    attach = destination.attach

    def once(incoming: Any, outgoing: Any) -> None:
        pair.server.server = None
        attach(incoming, outgoing)

    destination.attach = once
    *_, final = pair.all(pair.operation(MOVE_ID, move_destination="STORE"))
    assert counts(final) == (0xB000, None, 1, 2, 0)
    assert final.identifier == b"failed 1.2,1.3"
    assert "aborted" in handler.reports[0]
    assert "cannot connect" in handler.reports[1]
    pair.end()


@pytest.mark.parametrize(("length", "associations"), [(200, 1), (600_000, 2)])
def test_a_file_of_a_move_that_is_short(tmp_path: Any, length: int, associations: int) -> None:
    """Before its first bytes the association stays; in the middle it ends, and the rest goes over another."""
    payload = short_file(tmp_path / "short", length)
    if associations == 2:
        (tmp_path / "short").write_bytes(bytes(300_000))
    handler = Handler([OBJECTS[0], ("1.4", payload), OBJECTS[2]])
    pair = fussy_pair(handler, {})
    *_, final = pair.all(pair.operation(MOVE_ID, move_destination="STORE"))
    assert counts(final) == (0xB000, None, 2, 1, 0)
    assert final.identifier == b"failed 1.4"
    assert len(pair.destinations) == associations
    pair.end()


def test_a_sub_association_that_cannot_be_released_changes_no_count() -> None:
    handler = Handler(OBJECTS)
    pair = Pair(handler)
    original = pair.server._spawn
    spawned: list[Spawn] = []

    def spawn(effect: Spawn) -> Any:
        spawned.append(effect)
        if len(spawned) == 5:  # establish, three objects, release
            effect.procedure.close()
            raise DeadlineExceeded("ACSE", 7)
        return original(effect)

    pair.server._spawn = spawn  # type: ignore[method-assign]
    *_, final = pair.all(pair.operation(MOVE_ID, move_destination="STORE"))
    assert counts(final) == (0, None, 3, 0, 0)
    assert "not released" in handler.reports[0]
    pair.end()


@pytest.mark.parametrize("per_association", [1, 1000])
def test_a_move_is_cancelled_between_objects(per_association: int) -> None:
    class Cancelled(Handler):
        def close(self) -> None:
            pass

        def open(self, negotiated: Negotiated, item: Item) -> Opened:
            assert pair.server.incoming is not None
            pair.server.incoming.data += cancel(1, MOVE_ID)  # it comes while the first object is sent
            return super().open(negotiated, item)

    pair = Pair(Cancelled(OBJECTS, per_association=per_association))
    pair.network.whole = True
    final = pair.all(pair.operation(MOVE_ID, move_destination="STORE"))[-1]
    assert counts(final) == (0xFE00, 2, 1, 0, 0)
    assert len(pair.store.kept) == 1
    assert pair.destinations[0].finish() is True
    pair.end()


def test_a_move_that_is_aborted_aborts_the_sub_association() -> None:
    class Aborted(Handler):
        def open(self, negotiated: Negotiated, item: Item) -> Opened:
            assert pair.server.incoming is not None
            pair.server.incoming.data += AAbort(0, 0).encode()  # it comes while the first object is sent
            return super().open(negotiated, item)

    handler = Aborted(OBJECTS)
    pair = Pair(handler)
    pair.operation(MOVE_ID, move_destination="STORE")
    with pytest.raises(AssociationAborted):
        pair.server.finish()
    with pytest.raises(AssociationAborted):
        pair.destinations[0].finish()
    assert handler.opened == ["1.1", "closed"]


def test_a_move_that_is_dropped_carries_out_no_more() -> None:
    handler = Handler([(f"1.{number}", b"object") for number in range(100)])
    peer = Raw(handler, room=5000)
    store = MemoryStore()
    destination = peer.network.acceptor(timeouts=TIMEOUTS, max_pdu_length=MAX_PDU_LENGTH)
    destination.start(serve(destination.core, Acceptor(policy=POLICY, services=services(handler, store))))
    peer.server.server = destination
    request = CMoveRQ(message_id=5, affected_sop_class_uid=STUDY_ROOT_MOVE, move_destination="STORE")
    peer.send(message(MOVE_ID, request, IDENTIFIER))  # now a pending response waits for room
    assert 0 < len(store.kept) < 100
    peer.server.drop()
    assert "closed" not in handler.opened


def test_timers_of_the_association_are_not_taken_for_a_look() -> None:
    timeouts = Timeouts(
        connect=3,
        artim=5,
        acse=7,
        dimse=None,
        network=None,
        write=17,
        minimum_rate=1000,
        minimum_rate_period=2.0,
    )
    peer = Raw(Handler([(0xFF00, b"one")] * 9), timeouts=timeouts)
    peer.send(peer.find() + cancel()[:20])
    with pytest.raises(DeadlineExceeded, match="minimum rate"):
        peer.server.finish()
