"""The Upper Layer by itself: for every state and event, what goes out, what comes up, and until when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmnet.errors import (
    AssociationAborted,
    DeadlineExceeded,
    LocalProtocolError,
    RemoteProtocolError,
    TransportClosed,
)
from dcmnet.limits import Limits, Timeouts
from dcmnet.ul.fsm import TABLE, Evt, Sta
from dcmnet.ul.items import PresentationContextAC, PresentationContextRQ, UserInformation
from dcmnet.ul.pdu import (
    PDU,
    PDV,
    AAbort,
    AAssociateAC,
    AAssociateRJ,
    AAssociateRQ,
    AReleaseRP,
    AReleaseRQ,
    PDataTF,
)
from dcmnet.ul.provider import Event, UpperLayer
from dcmnet.ul.reader import Fragment

IMPLICIT = "1.2.840.10008.1.2"
USER = UserInformation(max_length=16384, implementation_class_uid="1.2.3")
RQ = AAssociateRQ("CALLED", "CALLING", (PresentationContextRQ(1, "1.2.840.10008.1.1", (IMPLICIT,)),), USER)
AC = AAssociateAC("CALLED", "CALLING", (PresentationContextAC(1, 0, IMPLICIT),), USER)
RJ = AAssociateRJ(1, 1, 1)
DATA = PDataTF((PDV(1, True, False, b"1234"),))
RELEASE, CONFIRM, ABORT = AReleaseRQ(), AReleaseRP(), AAbort(2, 6)

RECEIVED: dict[Evt, PDU] = {
    Evt.EVT3: AC,
    Evt.EVT4: RJ,
    Evt.EVT6: RQ,
    Evt.EVT10: DATA,
    Evt.EVT12: RELEASE,
    Evt.EVT13: CONFIRM,
    Evt.EVT16: ABORT,
}
INVALID: dict[str, tuple[bytes, int]] = {
    # Bytes and the reason of PS3.8 Table 9-26.
    "unknown type": (b"\x08\x00\x00\x00\x00\x04\x00\x00\x00\x00", 1),
    "type zero": (bytes(6), 1),
    "release of three bytes": (b"\x05\x00\x00\x00\x00\x03\x00\x00\x00", 6),
    "abort of five bytes": (b"\x07\x00\x00\x00\x00\x05", 6),
    "reject of no bytes": (b"\x03\x00\x00\x00\x00\x00", 6),
    "request without contexts": (b"\x01\x00\x00\x00\x00\x44\x00\x01\x00\x00" + b"A" * 32 + bytes(32), 6),
    "request of 2 GiB": (b"\x01\x00\x7f\xff\xff\xff", 6),
    "data without PDV": (b"\x04\x00\x00\x00\x00\x00", 6),
    "data beyond the maximum": (b"\x04\x00\x00\x00\x40\x02", 6),
    "PDV beyond its PDU": (b"\x04\x00\x00\x00\x00\x06\x00\x00\x00\x09\x01\x03", 6),
}
TIMEOUTS = Timeouts(artim=10.0, minimum_rate=100, minimum_rate_period=4.0)
NOW = 500.0


class Layer(UpperLayer):
    """An Upper Layer, what it traced, and a way to feed it."""

    def __init__(self, *, requestor: bool, timeouts: Timeouts = TIMEOUTS, traced: bool = True) -> None:
        self.traced: list[tuple[str, Any]] = []
        trace: Callable[[str, object], None] | None = None
        if traced:

            def trace(what: str, subject: object) -> None:
                self.traced.append((what, subject))

        super().__init__(
            requestor=requestor, timeouts=timeouts, limits=Limits(), max_pdu_length=16384, trace=trace
        )
        self.advance(NOW)

    def feed(self, *pdus: PDU | bytes, at: float | None = None) -> None:
        data = b"".join(pdu if isinstance(pdu, bytes) else pdu.encode() for pdu in pdus)
        room = self.get_buffer()
        room[: len(data)] = data
        self.bytes_received(len(data), self.now if at is None else at)

    def hear(self, *pdus: PDU | bytes) -> Event | None:
        self.feed(*pdus)
        return self.next_event()

    def states(self) -> list[Any]:
        return [subject for what, subject in self.traced if what == "state"]


def sent(layer: UpperLayer) -> bytes:
    expected = layer.has_output
    joined = b"".join(layer.output())
    assert bool(joined) is expected
    assert not layer.has_output
    return joined


def place(layer: UpperLayer) -> tuple[Sta, bool, float | None]:
    """The state, whether the connection has to be closed, and the deadline."""
    return layer.state, layer.closing, layer.deadline


def layer_in(state: Sta, *, timeouts: Timeouts = TIMEOUTS) -> Layer:
    """An Upper Layer brought to a state by what happens to it, with nothing left to send."""
    acceptor = state in (Sta.STA2, Sta.STA3, Sta.STA10, Sta.STA12, Sta.STA13)
    layer = Layer(requestor=not acceptor, timeouts=timeouts)
    if state is not Sta.STA1:
        if acceptor:
            _accept(layer, state)
        else:
            _request(layer, state)
        _leave(layer, state)
    layer.output()
    assert layer.state is state
    layer.traced.clear()
    return layer


def _accept(layer: Layer, state: Sta) -> None:
    layer.transport_connected(NOW)
    if state is Sta.STA2:
        return
    assert layer.hear(RQ) == RQ
    if state is Sta.STA13:
        layer.associate_reject(RJ)
    elif state is not Sta.STA3:
        layer.associate_accept(AC)


def _request(layer: Layer, state: Sta) -> None:
    layer.associate_request(RQ)
    if state is Sta.STA4:
        return
    layer.transport_connected(NOW)
    if state is not Sta.STA5:
        assert layer.hear(AC) == AC


def _leave(layer: Layer, state: Sta) -> None:
    if state in (Sta.STA7, Sta.STA9, Sta.STA10, Sta.STA11, Sta.STA12):
        layer.release_request()
    if state in (Sta.STA8, Sta.STA9, Sta.STA10, Sta.STA11, Sta.STA12):
        assert layer.hear(RELEASE) == RELEASE
    if state is Sta.STA11:
        layer.release_response()
    if state is Sta.STA12:
        assert layer.hear(CONFIRM) == CONFIRM


# ---------------------------------------------------------------------- received PDUs: every cell

CELLS = [(state, event) for state in Sta for event in RECEIVED if (event, state) in TABLE]
INDICATED = {"AE-3": 6, "AE-4": 1, "AE-6": 3, "DT-2": 6, "AR-2": 8, "AR-3": 1, "AR-6": 7, "AR-10": 12}


@pytest.mark.parametrize(("state", "event"), CELLS, ids=lambda value: value.name)
def test_a_received_pdu(state: Sta, event: Evt) -> None:
    action = TABLE[event, state]
    layer = layer_in(state)
    pdu = RECEIVED[event]
    layer.feed(pdu)
    match action:
        case "AA-1" | "AA-8":
            with pytest.raises(RemoteProtocolError) as caught:
                layer.next_event()
            assert caught.value.reason == 2
            assert sent(layer) == (AAbort(0, 0) if action == "AA-1" else AAbort(2, 2)).encode()
            assert place(layer) == (Sta.STA13, False, NOW + 10)
        case "AA-6" | "AA-7":
            deadline = layer.deadline
            assert layer.next_event() is None
            assert sent(layer) == (b"" if action == "AA-6" else AAbort(2, 2).encode())
            assert place(layer) == (Sta.STA13, False, deadline)
        case "AA-2" | "AA-3":
            if state is Sta.STA13:
                assert layer.next_event() is None
            else:
                with pytest.raises(AssociationAborted) as aborted:
                    layer.next_event()
                assert (aborted.value.source, aborted.value.reason) == (2, 6)
            assert sent(layer) == b""
            assert place(layer) == (Sta.STA1, True, None)
        case "AR-8":
            assert layer.next_event() == pdu
            assert place(layer) == (Sta.STA9, False, None)
        case _:
            found = layer.next_event()
            if event is Evt.EVT10:
                assert isinstance(found, Fragment)
                assert bytes(found.data) == b"1234"
            else:
                assert found == pdu
            assert layer.state == INDICATED[action]
            assert layer.closing is (action in ("AE-4", "AR-3"))
            assert layer.deadline is None
    assert layer.next_event() is None
    assert sent(layer) == b""
    if event is Evt.EVT10:  # payload is not traced, nor is the path that must be fast
        assert all(what in ("state", "sent") for what, _ in layer.traced)
    else:
        assert layer.traced[0] == ("received", pdu)


LISTENING = [state for state in Sta if (Evt.EVT19, state) in TABLE]


@pytest.mark.parametrize("state", LISTENING, ids=lambda state: state.name)
@pytest.mark.parametrize(("data", "reason"), INVALID.values(), ids=INVALID)
def test_an_invalid_pdu(state: Sta, data: bytes, reason: int) -> None:
    action = TABLE[Evt.EVT19, state]
    layer = layer_in(state)
    layer.feed(data)
    if action == "AA-7":
        assert layer.next_event() is None
    else:
        with pytest.raises(RemoteProtocolError) as caught:
            layer.next_event()
        assert (caught.value.source, caught.value.reason) == (2, reason)
    answer = AAbort(0, 0) if action == "AA-1" else AAbort(2, reason)
    assert sent(layer) == answer.encode()
    assert place(layer)[:2] == (Sta.STA13, False)
    # Nothing that follows can be told apart any more.
    assert layer.hear(RELEASE, ABORT, b"junk") is None
    assert sent(layer) == b""
    layer.transport_lost(NOW)
    assert layer.next_event() is None
    assert place(layer) == (Sta.STA1, True, None)


def test_a_release_collision_from_the_acceptors_side() -> None:
    layer = layer_in(Sta.STA10)
    assert layer.hear(CONFIRM) == CONFIRM
    assert layer.state is Sta.STA12
    layer.release_response()
    assert sent(layer) == CONFIRM.encode()
    assert (layer.state, layer.deadline) == (Sta.STA13, NOW + 10)


def test_a_version_without_bit_zero_is_rejected_by_the_provider() -> None:
    layer = layer_in(Sta.STA2)
    with pytest.raises(RemoteProtocolError, match="protocol version 0x0006"):
        layer.hear(replace(RQ, protocol_version=6))
    assert sent(layer) == AAssociateRJ(1, 2, 2).encode()
    assert (layer.state, layer.deadline) == (Sta.STA13, NOW + 10)
    assert layer_in(Sta.STA2).hear(replace(RQ, protocol_version=3)) is not None


# ---------------------------------------------------------------------- the transport connection


@pytest.mark.parametrize("state", [state for state in Sta if state is not Sta.STA1], ids=lambda s: s.name)
@pytest.mark.parametrize("cause", [None, ConnectionResetError(104, "Connection reset by peer")])
def test_the_connection_is_lost(state: Sta, cause: OSError | None) -> None:
    layer = layer_in(state)
    layer.transport_lost(NOW, cause)
    layer.transport_lost(NOW, OSError("the second one says nothing new"))
    assert layer.closing
    if state is Sta.STA13:
        assert layer.next_event() is None
    else:
        with pytest.raises(TransportClosed) as caught:
            layer.next_event()
        assert caught.value.__cause__ is cause
        assert ("reset by peer" in str(caught.value)) is (cause is not None)
    assert layer.next_event() is None
    assert sent(layer) == b""
    assert (layer.state, layer.deadline) == (Sta.STA1, None)


@pytest.mark.parametrize("state", Sta, ids=lambda state: state.name)
def test_the_connection_is_closed_by_this_side(state: Sta) -> None:
    layer = layer_in(state)
    layer.transport_closed(NOW)
    layer.transport_closed(NOW)
    assert place(layer) == (Sta.STA1, True, None)
    assert layer.next_event() is None
    assert len(layer.states()) == (state is not Sta.STA1)


def test_what_came_before_the_end_is_delivered_before_it_is_raised() -> None:
    layer = layer_in(Sta.STA6)
    layer.feed(DATA, DATA)
    layer.transport_lost(NOW)
    for _ in range(2):
        assert isinstance(layer.next_event(), Fragment)
    with pytest.raises(TransportClosed):
        layer.next_event()
    assert layer.next_event() is None


def test_what_came_before_an_abort_is_delivered_before_it_is_raised() -> None:
    layer = layer_in(Sta.STA6)
    layer.feed(DATA, RELEASE, ABORT, DATA, b"\x63 junk")
    layer.transport_lost(NOW)
    assert not layer_in(Sta.STA6).abort_ahead()
    assert layer.abort_ahead()
    assert isinstance(layer.next_event(), Fragment)
    assert layer.next_event() == RELEASE
    with pytest.raises(AssociationAborted):
        layer.next_event()
    assert layer.next_event() is None


@pytest.mark.parametrize("end", [ABORT, RJ, CONFIRM], ids=lambda pdu: type(pdu).__name__)
@pytest.mark.parametrize("behind", [DATA.encode(), RQ.encode(), b"\x63 junk", ABORT.encode()])
def test_what_comes_behind_the_end_belongs_to_no_association(end: PDU, behind: bytes) -> None:
    state = {AAbort: Sta.STA13, AAssociateRJ: Sta.STA5, AReleaseRP: Sta.STA7}[type(end)]
    layer = layer_in(state)
    assert layer.hear(end, behind) == (None if state is Sta.STA13 else end)
    assert layer.state is Sta.STA1
    assert layer.next_event() is None
    assert layer.hear(behind) is None
    assert sent(layer) == b""


@pytest.mark.parametrize("requestor", [True, False])
def test_the_connection_opens(requestor: bool) -> None:
    layer = Layer(requestor=requestor)
    assert layer.deadline is None
    if requestor:
        layer.associate_request(RQ)
        assert sent(layer) == b""
    layer.transport_connected(NOW + 1)
    assert sent(layer) == (RQ.encode() if requestor else b"")
    assert layer.deadline == (None if requestor else NOW + 11)


# ---------------------------------------------------------------------- primitives

PRIMITIVES: dict[Evt, tuple[Callable[[UpperLayer], None], bytes]] = {
    Evt.EVT1: (lambda layer: layer.associate_request(RQ), b""),
    Evt.EVT7: (lambda layer: layer.associate_accept(AC), AC.encode()),
    Evt.EVT8: (lambda layer: layer.associate_reject(RJ), RJ.encode()),
    Evt.EVT9: (lambda layer: layer.data_request(), b""),
    Evt.EVT11: (lambda layer: layer.release_request(), RELEASE.encode()),
    Evt.EVT14: (lambda layer: layer.release_response(), CONFIRM.encode()),
}
AFTER = {"AE-1": 4, "AE-7": 6, "AE-8": 13, "DT-1": 6, "AR-7": 8, "AR-1": 7, "AR-4": 13, "AR-9": 11}


@pytest.mark.parametrize("state", Sta, ids=lambda state: state.name)
@pytest.mark.parametrize("event", PRIMITIVES, ids=lambda event: event.name)
def test_a_primitive(state: Sta, event: Evt) -> None:
    layer = layer_in(state)
    primitive, output = PRIMITIVES[event]
    action = TABLE.get((event, state))
    if action is None:
        with pytest.raises(LocalProtocolError, match=f"E{event.name[1:].lower()} cannot happen in"):
            primitive(layer)
        assert sent(layer) == b""
        assert layer.state is state
        assert layer.traced == []
        return
    primitive(layer)
    assert sent(layer) == output
    assert layer.state == AFTER[action]
    assert layer.deadline == (NOW + 10 if layer.state is Sta.STA13 else None)
    if event is not Evt.EVT9:  # data must be fast
        assert layer.states()[0][:2] == (event, state)
        assert [what for what, _ in layer.traced] == ["sent", "state"][: len(output)][::-1] or ["state"]


def test_a_primitive_that_cannot_be_does_not_disturb_the_request_that_waits() -> None:
    layer = layer_in(Sta.STA4)
    for primitive, _ in PRIMITIVES.values():
        with pytest.raises(LocalProtocolError):
            primitive(layer)
    layer.transport_connected(NOW)
    assert sent(layer) == RQ.encode()


def test_a_request_that_cannot_be_encoded_changes_nothing() -> None:
    layer = layer_in(Sta.STA1)
    with pytest.raises(LocalProtocolError):
        layer.associate_request(replace(RQ, presentation_contexts=()))
    assert layer.state is Sta.STA1
    layer.associate_request(RQ)


@pytest.mark.parametrize("state", Sta, ids=lambda state: state.name)
def test_an_abort_by_this_side(state: Sta) -> None:
    layer = layer_in(state)
    before = layer.deadline
    layer.abort(2, 5)
    match state:
        case Sta.STA1 | Sta.STA13:
            assert place(layer) == (state, False, before)
            assert sent(layer) == b""
        case Sta.STA2:
            assert (layer.state, layer.closing) == (Sta.STA2, True)
            assert sent(layer) == b""
        case Sta.STA4:
            assert (layer.state, layer.closing) == (Sta.STA1, True)
            assert sent(layer) == b""
        case _:
            assert place(layer) == (Sta.STA13, False, NOW + 10)
            assert sent(layer) == AAbort(2, 5).encode()
    assert layer.next_event() is None  # it is no surprise to this side


# ---------------------------------------------------------------------- timers


@pytest.mark.parametrize("state", [Sta.STA2, Sta.STA13])
def test_artim(state: Sta) -> None:
    layer = layer_in(state)
    assert layer.deadline == NOW + 10
    layer.timer_expired(NOW + 9)
    assert layer.state is state
    layer.timer_expired(NOW + 10)
    assert place(layer) == (Sta.STA1, True, None)
    assert sent(layer) == b""
    if state is Sta.STA2:
        with pytest.raises(DeadlineExceeded, match="the ARTIM timer of 10 s"):
            layer.next_event()
    assert layer.next_event() is None


def test_artim_stops_when_the_request_has_come() -> None:
    layer = layer_in(Sta.STA2)
    layer.hear(RQ)
    assert layer.deadline is None
    layer.timer_expired(NOW + 100)
    assert layer.state is Sta.STA3


def test_without_artim() -> None:
    timeouts = replace(TIMEOUTS, artim=None)
    for state in (Sta.STA2, Sta.STA13):
        layer = layer_in(state, timeouts=timeouts)
        assert layer.deadline is None
        layer.timer_expired(NOW + 1e6)
        assert layer.state is state


def test_the_time_starts_where_the_clock_was_told_last() -> None:
    layer = layer_in(Sta.STA6)
    layer.advance(NOW + 3)
    assert layer.now == NOW + 3
    layer.abort()
    assert layer.deadline == NOW + 13


def test_the_minimum_rate_is_measured_within_messages_only() -> None:
    layer = layer_in(Sta.STA6)
    assert place(layer)[2] is None
    layer.message_started()
    assert place(layer)[2] == NOW + 4
    layer.message_ended()
    assert place(layer)[2] is None
    layer = layer_in(Sta.STA6, timeouts=replace(TIMEOUTS, minimum_rate=0))
    layer.message_started()
    assert layer.deadline is None


def test_a_message_below_the_minimum_rate_is_aborted() -> None:
    layer = layer_in(Sta.STA6)
    layer.message_started()
    layer.feed(DATA.encode()[:3], at=NOW + 3)
    assert layer.deadline == NOW + 4  # one second of waiting is left
    layer.timer_expired(NOW + 3.5)
    assert place(layer)[0] is Sta.STA6
    layer.timer_expired(NOW + 4)
    assert sent(layer) == AAbort(0, 0).encode()
    with pytest.raises(DeadlineExceeded, match="the minimum rate timer of 4 s"):
        layer.next_event()
    assert layer.next_event() is None
    assert (layer.state, layer.deadline) == (Sta.STA13, NOW + 14)


@pytest.mark.parametrize(("count", "enough"), [(399, False), (400, True)])
def test_the_minimum_rate_is_bytes_by_time_waited(count: int, enough: bool) -> None:
    layer = layer_in(Sta.STA6)
    layer.message_started()
    layer.feed(bytes(count), at=NOW + 1)
    layer.timer_expired(NOW + 4)
    assert place(layer)[0] is (Sta.STA6 if enough else Sta.STA13)
    if enough:  # another period begins
        assert layer.deadline == NOW + 8
        layer.timer_expired(NOW + 8)
        assert place(layer)[0] is Sta.STA13


def test_time_that_this_side_takes_is_not_held_against_the_peer() -> None:
    layer = layer_in(Sta.STA6)
    layer.message_started()
    layer.feed(b"\x04", at=NOW + 3)
    layer.advance(NOW + 1000)  # a slow disk
    assert layer.deadline == NOW + 1001
    layer.message_started()
    assert layer.deadline == NOW + 1004


def test_of_two_deadlines_the_nearer_one_counts() -> None:
    """ARTIM never runs in Sta6, so this is a matter of form: the earlier of the two is given."""
    layer = layer_in(Sta.STA6)
    layer.message_started()
    layer._artim = NOW + 1
    assert layer.deadline == NOW + 1
    layer._artim = NOW + 9
    assert layer.deadline == NOW + 4


# ---------------------------------------------------------------------- the whole of it


def test_the_trace_of_an_association() -> None:
    layer = Layer(requestor=False)
    layer.transport_connected(NOW)
    layer.hear(RQ)
    layer.associate_accept(AC)
    layer.hear(DATA)
    layer.hear(RELEASE)
    layer.release_response()
    layer.transport_lost(NOW)
    layer.next_event()
    assert [what for what, _ in layer.traced] == [
        "state", "received", "state", "state", "sent", "received", "state", "state", "sent", "state"
    ]  # fmt: skip
    assert [subject for what, subject in layer.traced if what in ("sent", "received")] == [
        RQ,
        AC,
        RELEASE,
        CONFIRM,
    ]
    actions = [transition.action for _, _, transition in layer.states()]
    assert actions == ["AE-5", "AE-6", "AE-7", "AR-2", "AR-4", "AR-5"]


def test_without_a_trace_everything_goes_its_way() -> None:
    layer = Layer(requestor=False, traced=False)
    layer.transport_connected(NOW)
    assert layer.hear(RQ) == RQ
    layer.associate_reject(RJ)
    assert sent(layer) == RJ.encode()


@settings(deadline=None)
@given(st.lists(st.sampled_from([*RECEIVED.values(), b"\x63", bytes(6)]), max_size=8), st.sampled_from(Sta))
def test_whatever_comes_ends_at_most_once(pdus: list[PDU | bytes], state: Sta) -> None:
    if state in (Sta.STA1, Sta.STA4):
        return
    layer = layer_in(state)
    layer.feed(*pdus)
    layer.transport_lost(NOW)
    ends = 0
    for _ in range(2 * len(pdus) + 3):
        try:
            layer.next_event()
        except (AssociationAborted, RemoteProtocolError, TransportClosed):
            ends += 1
    assert ends <= 1
    assert (layer.state, layer.deadline) == (Sta.STA1, None)


def test_the_receive_buffer_is_given_up_at_rest() -> None:
    """Unless there is something in it; it is as long as it was before, also where it was wide."""
    upper_layer = UpperLayer(requestor=False, timeouts=Timeouts(), limits=Limits())
    upper_layer.transport_connected(0.0)
    upper_layer.widen(1 << 20)
    before = upper_layer.get_buffer()
    assert upper_layer.rest()
    room = upper_layer.get_buffer()
    assert not upper_layer.has_input
    with pytest.raises(ValueError):
        len(before)
    room[:1] = b"\x01"
    upper_layer.bytes_received(1, 0.0)
    assert not upper_layer.rest()
    assert upper_layer.has_input
