"""The life of an association, from both ends: establish, release, abort, and what goes wrong meanwhile."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmnet.acse import (
    REJECT_CALLED_AE_TITLE_NOT_RECOGNIZED,
    REJECT_LOCAL_LIMIT_EXCEEDED,
    REJECT_TEMPORARY_CONGESTION,
)
from dcmnet.dimse.messages import CEchoRSP
from dcmnet.errors import (
    AssociationAborted,
    AssociationRejected,
    AssociationReleased,
    DeadlineExceeded,
    LocalProtocolError,
    RemoteProtocolError,
    TransportClosed,
)
from dcmnet.limits import Timeouts
from dcmnet.procedures.association import (
    ABORT_LINGER,
    abort,
    await_end,
    closing,
    establish,
    finish,
    guarded,
    release,
)
from dcmnet.procedures.effects import Call, Close, Procedure, Receive, Send
from dcmnet.procedures.ended import is_over
from dcmnet.procedures.scp import reject
from dcmnet.procedures.scu import echo
from dcmnet.ul.fsm import Sta
from dcmnet.ul.pdu import PDU, AAbort, AAssociateRJ, AReleaseRP, AReleaseRQ
from tests.procedures.memory import Network, Stuck
from tests.procedures.pairs import (
    ECHO_ID,
    REQUEST,
    TIMEOUTS,
    MemoryStore,
    Pair,
    RawClient,
    RawServer,
    aborts,
    accepting,
    message,
    store_request,
)

SEEDS = pytest.mark.parametrize("seed", range(5))
RESET = ConnectionResetError(104, "Connection reset by peer")


def opening(peer: RawServer) -> Procedure[Any]:
    return establish(peer.client.core, "peer", 104, REQUEST)


# ---------------------------------------------------------------------- establishing


@SEEDS
def test_an_association_is_established_and_released(seed: int) -> None:
    pair = Pair(seed).establish()
    client, server = pair.client, pair.server
    assert client.core.upper_layer.established
    assert server.core.upper_layer.established
    assert client.core.agreed.max_pdu_length_to_send == 4096
    assert not client.core.busy
    client.run(release(client.core))
    assert server.finish() is True
    assert client.core.upper_layer.state is Sta.STA1
    assert server.core.upper_layer.state is Sta.STA1
    assert pair.network.now == 1000  # nobody had to wait for a timer


def test_releasing_twice_or_after_an_abort_does_nothing() -> None:
    pair = Pair().establish()
    pair.client.run(release(pair.client.core))
    pair.client.run(release(pair.client.core))
    pair = Pair().establish()
    pair.client.run(abort(pair.client.core))
    pair.client.run(release(pair.client.core))
    pair.client.run(abort(pair.client.core))
    never = Network().requestor(None)
    never.run(release(never.core))
    assert never.effects == [Close()]


@pytest.mark.parametrize(
    "answer",
    [
        REJECT_CALLED_AE_TITLE_NOT_RECOGNIZED,
        REJECT_LOCAL_LIMIT_EXCEEDED,
        REJECT_TEMPORARY_CONGESTION,
        AAssociateRJ(result=1, source=1, reason=2),
        AAssociateRJ(result=2, source=2, reason=9),
    ],
)
def test_a_rejection_says_why_and_closes(answer: AAssociateRJ) -> None:
    peer = RawServer()
    peer.send(answer)
    with pytest.raises(AssociationRejected) as caught:
        peer.client.run(opening(peer))
    error = caught.value
    assert (error.result, error.source, error.reason) == (answer.result, answer.source, answer.reason)
    assert not peer.client.open
    assert not aborts(peer.received())


@SEEDS
def test_a_server_at_its_limit_rejects(seed: int) -> None:
    pair = Pair(seed)
    pair.server.start(reject(pair.server.core, REJECT_LOCAL_LIMIT_EXCEEDED))
    with pytest.raises(AssociationRejected, match="local-limit-exceeded"):
        pair.client.run(establish(pair.client.core, "peer", 104, REQUEST))
    pair.server.finish()
    assert pair.network.now == 1000


def test_there_is_nobody_to_connect_to() -> None:
    network = Network()
    client = network.requestor(None, timeouts=TIMEOUTS)
    client.connect_error = ConnectionRefusedError(111, "Connection refused")
    with pytest.raises(TransportClosed) as caught:
        client.run(establish(client.core, "peer", 104, REQUEST))
    assert caught.value.__cause__ is client.connect_error
    assert client.core.upper_layer.state is Sta.STA1
    assert network.now == 1000


def test_the_connection_takes_too_long() -> None:
    network = Network()
    client = network.requestor(None, timeouts=TIMEOUTS)
    client.connect_never = True
    with pytest.raises(DeadlineExceeded, match="the connect timer of 3 s"):
        client.run(establish(client.core, "peer", 104, REQUEST))
    assert network.now == 1003


def test_a_request_that_cannot_be_encoded_fails_before_connecting() -> None:
    network = Network()
    client = network.requestor(None)
    request = replace(REQUEST, called_ae_title="A TITLE THAT IS TOO LONG")
    with pytest.raises(LocalProtocolError, match="1 to 16"):
        client.run(establish(client.core, "peer", 104, request))
    assert client.effects == []


def test_establishing_twice_leaves_the_association_as_it_is() -> None:
    pair = Pair().establish()
    with pytest.raises(LocalProtocolError, match="Evt1 cannot happen in Sta6"):
        pair.client.run(establish(pair.client.core, "peer", 104, REQUEST))
    assert pair.client.run(echo(pair.client.core)).status == 0


def test_no_answer_to_the_request() -> None:
    peer = RawServer()
    with pytest.raises(DeadlineExceeded, match="the ACSE timer of 7 s"):
        peer.client.run(opening(peer))
    # ARTIM does not come on top: the peer has been waited for.
    assert peer.network.now == 1000 + 7
    assert aborts(peer.received()) == [(0, 0)]
    assert not peer.client.open


@pytest.mark.parametrize("first", [1, 5, 40])
def test_the_answer_stops_in_the_middle(first: int) -> None:
    peer = RawServer()
    peer.send(accepting().encode()[:first])
    with pytest.raises(DeadlineExceeded, match="ACSE"):
        peer.client.run(opening(peer))


def test_the_peer_aborts_before_it_answers() -> None:
    peer = RawServer()
    peer.send(AAbort(2, 1))
    with pytest.raises(AssociationAborted, match="by the peer: service-provider, unrecognized-PDU") as caught:
        peer.client.run(opening(peer))
    assert (caught.value.source, caught.value.reason) == (2, 1)
    assert peer.network.now == 1000


@pytest.mark.parametrize("cut", [0, 3, 30])
def test_the_connection_breaks_before_the_answer(cut: int) -> None:
    peer = RawServer()
    peer.send(accepting().encode()[:cut])
    peer.close()
    with pytest.raises(TransportClosed, match="the peer closed the connection"):
        peer.client.run(opening(peer))
    assert not peer.client.open


def test_the_connection_is_reset_before_the_answer() -> None:
    peer = RawServer()
    peer.client.start(opening(peer))
    peer.network.settle()
    assert peer.client.core.busy
    peer.reset()
    with pytest.raises(TransportClosed, match="Connection reset by peer") as caught:
        peer.client.finish()
    assert isinstance(caught.value.__cause__, ConnectionResetError)


@pytest.mark.parametrize(
    ("answer", "source", "reason"),
    [
        (REQUEST, 2, 2),
        (AReleaseRQ(), 2, 2),
        (AReleaseRP(), 2, 2),
        (message(ECHO_ID, CEchoRSP(message_id_being_responded_to=1, status=0)), 2, 2),
        (b"\x63\x00\x00\x00\x00\x00", 2, 1),
        (b"\x03\x00\x00\x00\x00\x05", 2, 6),
        (b"\x02\x00\x7f\xff\xff\xff", 2, 6),
        (b"HTTP/1.1 400 Bad Request\r\n", 2, 1),
        (
            replace(accepting(), user_information=replace(accepting().user_information, max_length=5)),
            2,
            6,
        ),
    ],
)
def test_an_answer_that_is_none(answer: Any, source: int, reason: int) -> None:
    peer = RawServer()
    peer.client.start(opening(peer))
    peer.send(answer)
    peer.close()
    with pytest.raises(RemoteProtocolError):
        peer.client.finish()
    assert aborts(peer.received()) == [(source, reason)]
    assert peer.network.now == 1000


# ---------------------------------------------------------------------- the acceptor, before it accepts

ECHO_BYTES = message(ECHO_ID, CEchoRSP(message_id_being_responded_to=1, status=0))


@pytest.mark.parametrize("length", [1, 7])
def test_a_requestor_whose_maximum_length_no_pdv_fits_is_aborted(length: int) -> None:
    peer = RawClient()
    peer.send(replace(REQUEST, user_information=replace(REQUEST.user_information, max_length=length)))
    assert aborts(peer.received()) == [(2, 6)]


@pytest.mark.parametrize(
    "first",
    [
        ECHO_BYTES,
        AReleaseRQ(),
        AReleaseRP(),
        accepting(),
        REJECT_TEMPORARY_CONGESTION,
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"\x01\x00\x00\x00\x00\x02\x00\x01",
        b"\x01\x00\x7f\xff\xff\xff",
        b"\x01\0" + (len(REQUEST.encode()) - 7).to_bytes(4, "big") + REQUEST.encode()[6:-1],
    ],
)
def test_anything_but_a_request_is_aborted(first: Any) -> None:
    peer = RawClient()
    peer.send(first)
    # PS3.8 Table 9-10: AA-1, whose source is the service-user.
    assert aborts(peer.received()) == [(0, 0)]
    peer.send(b"more of it" * 1000)
    with pytest.raises(RemoteProtocolError):
        peer.server.finish()
    assert peer.network.now == 1005  # ARTIM
    assert not peer.server.open


def test_silence_instead_of_a_request() -> None:
    peer = RawClient()
    peer.send(REQUEST.encode()[:50])
    with pytest.raises(DeadlineExceeded, match="the ARTIM timer of 5 s ran out"):
        peer.server.finish()
    assert peer.network.now == 1005
    assert peer.received() == []
    assert not peer.server.open


def test_without_artim_an_acceptor_waits_for_ever() -> None:
    peer = RawClient(timeouts=replace(TIMEOUTS, artim=None))
    with pytest.raises(Stuck, match="STA2"):
        peer.server.finish()


def test_an_abort_instead_of_a_request() -> None:
    peer = RawClient()
    peer.send(AAbort())
    with pytest.raises(AssociationAborted):
        peer.server.finish()
    assert peer.received() == []
    assert peer.network.now == 1000


def test_a_visitor_that_says_nothing_and_leaves() -> None:
    peer = RawClient()
    peer.close()
    with pytest.raises(TransportClosed):
        peer.server.finish()
    assert peer.network.now == 1000


def test_another_protocol_version_is_rejected_by_the_provider() -> None:
    peer = RawClient()
    peer.send(replace(REQUEST, protocol_version=2))
    assert peer.received() == [AAssociateRJ(result=1, source=2, reason=2)]
    peer.close()
    with pytest.raises(RemoteProtocolError, match="protocol version 0x0002"):
        peer.server.finish()


def test_a_visitor_is_aborted_while_it_has_said_nothing() -> None:
    peer = RawClient()
    peer.network.settle()
    peer.server.interrupt(KeyboardInterrupt())
    peer.network.settle()
    with pytest.raises(KeyboardInterrupt):
        peer.server.finish()
    assert peer.received() == []  # PS3.8 Table 9-10 has no A-ABORT in Sta2
    assert not peer.server.open


# ---------------------------------------------------------------------- release


def both_release(pair: Pair) -> None:
    pair.client.start(release(pair.client.core))
    pair.server.start(release(pair.server.core))
    pair.network.run_until(lambda: pair.client.finished and pair.server.finished)


@SEEDS
def test_both_release_at_once(seed: int) -> None:
    pair = Pair(seed).establish_idle()
    both_release(pair)
    assert pair.client.error is None
    assert pair.server.error is None
    assert pair.states("client")[-5:] == [Sta.STA6, Sta.STA7, Sta.STA9, Sta.STA11, Sta.STA1]
    assert pair.states("server")[-5:] == [Sta.STA7, Sta.STA10, Sta.STA12, Sta.STA13, Sta.STA1]
    assert pair.network.now == 1000


@SEEDS
def test_the_acceptor_may_release(seed: int) -> None:
    pair = Pair(seed).establish_idle()
    pair.server.start(release(pair.server.core))
    with pytest.raises(Exception, match="released the association while an answer was due"):
        pair.client.run(echo(pair.client.core))
    assert pair.server.finish() is None
    assert not pair.client.open
    assert not pair.server.open
    assert pair.network.now == 1000


@pytest.mark.parametrize("late", [b"", AReleaseRQ().encode()], ids=["plain", "collision"])
def test_a_release_that_is_not_confirmed(late: bytes) -> None:
    peer = RawServer().associate()
    peer.client.start(release(peer.client.core))
    peer.send(late)
    assert peer.client.core.busy
    with pytest.raises(DeadlineExceeded, match="the ACSE timer of 7 s"):
        peer.client.finish()
    assert peer.network.now == 1000 + 7
    assert aborts(peer.received()) == [(0, 0)]


def test_data_that_was_under_way_when_this_side_released() -> None:
    peer = RawServer().associate()
    peer.client.start(release(peer.client.core))
    peer.send(ECHO_BYTES)
    peer.send(ECHO_BYTES[:9])
    peer.send(ECHO_BYTES[9:], AReleaseRP())
    assert peer.client.finish() is None
    assert peer.received() == [AReleaseRQ()]


def test_a_peer_that_goes_on_sending_does_not_put_off_the_end() -> None:
    peer = RawServer().associate()
    peer.client.start(release(peer.client.core))
    for _ in range(6):
        peer.network.wait(2)
        peer.send(ECHO_BYTES)
    peer.close()
    with pytest.raises(DeadlineExceeded, match="ACSE"):
        peer.client.finish()
    assert aborts(peer.received()) == [(0, 0)]
    unlimited = RawServer(timeouts=replace(TIMEOUTS, acse=None)).associate()
    unlimited.client.start(release(unlimited.client.core))
    unlimited.network.wait(1000)
    unlimited.send(ECHO_BYTES, AReleaseRP())
    unlimited.client.finish()


@pytest.mark.parametrize("junk", [b"", ECHO_BYTES, b"\x63 junk", REQUEST.encode()])
def test_what_comes_behind_the_confirmation_is_not_looked_at(junk: bytes) -> None:
    peer = RawServer().associate()
    peer.client.start(release(peer.client.core))
    peer.send(AReleaseRP().encode() + junk)
    assert peer.client.finish() is None
    assert peer.received() == [AReleaseRQ()]


def test_the_peer_aborts_instead_of_confirming() -> None:
    peer = RawServer().associate()
    peer.client.start(release(peer.client.core))
    peer.send(AAbort())
    with pytest.raises(AssociationAborted):
        peer.client.finish()


def test_the_connection_breaks_instead_of_the_confirmation() -> None:
    peer = RawServer().associate()
    peer.client.start(release(peer.client.core))
    peer.close()
    with pytest.raises(TransportClosed):
        peer.client.finish()


def test_the_upper_layer_was_aborted_behind_the_back_of_a_release() -> None:
    core = RawServer().associate().client.core
    procedure = release(core)
    assert isinstance(next(procedure), Send)
    assert isinstance(procedure.send(True), Receive)
    core.upper_layer.abort()
    assert isinstance(procedure.send(None), Send)  # the A-ABORT
    assert isinstance(procedure.send(False), Close)
    with pytest.raises(TransportClosed, match="before the release was confirmed"):
        procedure.send(None)


def test_no_release_while_an_operation_is_under_way() -> None:
    peer = RawServer().associate()
    peer.client.core.busy = True
    with pytest.raises(LocalProtocolError, match="under way"):
        peer.client.run(release(peer.client.core))
    assert peer.received() == []
    assert peer.client.core.upper_layer.established


@pytest.mark.parametrize(
    "junk",
    [ECHO_BYTES, REQUEST.encode(), b"\x63 junk", AReleaseRQ().encode(), AReleaseRP().encode()],
)
def test_a_peer_that_does_not_close_after_the_release(junk: bytes) -> None:
    peer = RawClient().associate()
    peer.send(AReleaseRQ(), junk)
    assert not peer.server.finished
    assert peer.server.core.upper_layer.state is Sta.STA13
    assert peer.server.finish() is True
    assert peer.network.now == 1005
    assert peer.received()[0] == AReleaseRP()


@pytest.mark.parametrize("junk", [b"", ECHO_BYTES, REQUEST.encode(), b"\x63 junk"])
def test_a_peer_that_aborts_after_the_release(junk: bytes) -> None:
    peer = RawClient().associate()
    peer.send(AReleaseRQ())
    peer.send(AAbort().encode() + junk)
    assert peer.server.finish() is True
    assert peer.network.now == 1000


# ---------------------------------------------------------------------- abort


@SEEDS
def test_the_requestor_aborts(seed: int) -> None:
    pair = Pair(seed).establish()
    pair.client.run(abort(pair.client.core))
    with pytest.raises(AssociationAborted) as caught:
        pair.server.finish()
    assert (caught.value.source, caught.value.reason) == (0, 0)
    assert pair.network.now == 1000
    pair.network.now += 60
    with pytest.raises(AssociationAborted, match=r"is over: association aborted by this side.*, 60\.0 s ago"):
        pair.client.run(echo(pair.client.core))


def test_an_abort_that_a_stalled_peer_does_not_take() -> None:
    peer = RawServer(room=1000).associate()
    peer.incoming.data += bytes(1000)
    peer.client.run(abort(peer.client.core))
    assert peer.network.now == 1000 + ABORT_LINGER
    assert not peer.client.open


def test_an_abort_that_a_stalled_peer_does_not_take_after_it_broke_the_protocol() -> None:
    peer = RawClient(room=1000).associate()
    peer.incoming.data += bytes(1000)
    peer.send(b"\x63" + bytes(5))
    with pytest.raises(RemoteProtocolError, match="PDU type 63H"):
        peer.server.finish()
    assert peer.network.now == 1017
    assert not peer.server.open


def test_an_abort_by_hand_while_the_peer_does_not_close() -> None:
    peer = RawServer().associate()
    peer.client.start(abort(peer.client.core, 2, 4))
    peer.network.wait(ABORT_LINGER / 2)
    assert not peer.client.finished
    assert peer.client.finish() is None
    assert aborts(peer.received()) == [(2, 4)]
    assert peer.network.now == 1000 + ABORT_LINGER
    assert not peer.client.open


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), SystemExit(), AssociationAborted(0, 0, locally=True), RuntimeError()]
)
def test_whoever_wants_to_be_gone_does_not_wait_for_a_peer_that_hangs(error: BaseException) -> None:
    peer = RawServer().associate()
    peer.client.start(echo(peer.client.core))
    peer.network.settle()
    peer.client.interrupt(error)
    with pytest.raises(type(error)):
        peer.client.finish()
    assert aborts(peer.received()) == [(0, 0)]
    assert peer.network.now == 1000 + ABORT_LINGER
    assert not peer.client.open


def test_somebody_does_not_want_to_wait_for_the_peer_to_close() -> None:
    peer = RawServer().associate()
    peer.client.start(abort(peer.client.core))
    peer.network.settle()
    peer.client.interrupt(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        peer.client.finish()
    assert not peer.client.open
    assert peer.network.now == 1000


def test_interrupted_twice() -> None:
    peer = RawServer().associate()
    peer.client.start(echo(peer.client.core))
    peer.network.settle()
    peer.client.interrupt(KeyboardInterrupt())
    peer.network.settle()
    assert aborts(peer.received()) == [(0, 0)]
    assert not peer.client.finished
    peer.client.interrupt(SystemExit())
    with pytest.raises(SystemExit):
        peer.client.finish()
    assert not peer.client.open


def test_a_procedure_that_is_dropped_sends_nothing_more() -> None:
    for begin in (echo, release, abort):
        peer = RawServer().associate()
        peer.client.start(begin(peer.client.core))
        peer.network.settle()
        before = len(peer.received())
        peer.client.drop()
        peer.network.settle()
        assert len(peer.received()) == before
    peer = RawServer().associate()
    peer.client.start(echo(peer.client.core))
    peer.network.settle()
    peer.client.interrupt(KeyboardInterrupt())
    peer.network.settle()
    peer.client.drop()  # while it waited for the peer to close


# ---------------------------------------------------------------------- odds and ends


def test_an_acceptor_that_hears_nothing_more() -> None:
    peer = RawClient().associate()
    with pytest.raises(DeadlineExceeded, match="the network timer of 13 s"):
        peer.server.finish()
    assert peer.network.now == 1000 + 13 + 5
    assert aborts(peer.received()) == [(0, 0)]


def test_what_needs_an_association_says_so() -> None:
    client = Network().requestor(None)
    with pytest.raises(LocalProtocolError, match="has not been established"):
        client.run(echo(client.core))
    assert client.effects == []


@pytest.mark.parametrize(("ours", "theirs", "used"), [(1000, 4096, 1000), (8000, 4096, 4096), (500, 0, 500)])
def test_the_length_of_what_is_sent_can_be_limited(ours: int, theirs: int, used: int) -> None:
    core = Pair().establish_idle().client.core
    core.negotiated = replace(core.agreed, max_pdu_length_to_send=theirs)
    core.limit_sending(ours)
    assert core.agreed.max_pdu_length_to_send == used


def test_closing_ends_even_after_harmless_errors() -> None:
    def failing(error: BaseException) -> Procedure[None]:
        yield Call(lambda: None)
        raise error

    for error in (LocalProtocolError("harmless"), ValueError("not ours"), RemoteProtocolError("theirs")):
        peer = RawServer().associate()
        peer.client.start(closing(peer.client.core, failing(error)))
        peer.close()
        with pytest.raises(type(error)):
            peer.client.finish()
        expected = (2, 6) if isinstance(error, RemoteProtocolError) else (0, 0)
        assert aborts(peer.received()) == [expected]
        assert not peer.client.open
    peer = RawServer().associate()
    peer.client.start(closing(peer.client.core, finish(peer.client.core)))
    peer.network.settle()
    peer.client.drop()
    assert peer.received() == []


def test_a_harmless_error_of_an_idle_association_harms_nothing() -> None:
    def failing() -> Procedure[None]:
        yield Call(lambda: None)
        raise LocalProtocolError("harmless")

    pair = Pair().establish()
    with pytest.raises(LocalProtocolError):
        pair.client.run(guarded(pair.client.core, failing()))
    assert pair.client.run(echo(pair.client.core)).status == 0


def test_after_a_send_that_failed_the_reason_comes_up() -> None:
    core = RawServer().associate().client.core
    procedure = await_end(core)
    assert next(procedure) == Receive("DIMSE", core.timeouts.dimse)
    assert procedure.send(AReleaseRQ()) == Receive("DIMSE", core.timeouts.dimse)
    with pytest.raises(TransportClosed, match="before the message was complete"):
        procedure.send(None)


@settings(deadline=None)
@given(st.integers(0, 1 << 32), st.integers(0, 40), st.booleans())
def test_an_abort_at_any_moment_ends_both_sides(seed: int, turns: int, by_client: bool) -> None:
    """Whoever is interrupted, whatever both are doing: both end, closed, without waiting for a timer."""
    pair = Pair(seed, store=MemoryStore()).establish()
    client, server = pair.client, pair.server

    def work() -> Procedure[None]:
        from dcmnet.procedures.scu import store

        context = client.core.context(3)
        for number in range(3):
            yield from store(client.core, context, f"1.2.{number}", bytes(30000))
        yield from release(client.core)

    client.start(closing(client.core, work()))
    for _ in range(turns):
        for end in pair.network.random.sample(pair.network.ends, 2):
            end.step()
    victim = client if by_client else server
    if not victim.finished:
        victim.interrupt(KeyboardInterrupt())
    pair.network.run_until(lambda: client.finished and server.finished)
    assert not client.open
    assert not server.open
    assert pair.network.now == 1000
    assert client.core.upper_layer.state is Sta.STA1
    assert server.core.upper_layer.state is Sta.STA1


def test_the_default_timeouts_are_used_where_nothing_is_said() -> None:
    network = Network()
    end = network.acceptor()
    assert end.core.timeouts == Timeouts()
    assert end.core.wait_dimse == Receive("DIMSE", 300.0, looked=True)
    assert store_request().has_data_set


# ---------------------------------------------------------------------- after the end


def test_after_a_release_by_this_side() -> None:
    pair = Pair().establish()
    core = pair.client.core
    assert not is_over(core)
    pair.client.run(release(core))
    assert is_over(core)
    with pytest.raises(AssociationReleased, match="this side released the association"):
        pair.client.run(echo(core))


def test_after_a_loss_that_no_operation_has_met() -> None:
    peer = RawServer().associate()
    core = peer.client.core
    core.upper_layer.transport_lost(peer.network.now)
    assert is_over(core)
    peer.client.run(release(core))
    with pytest.raises(AssociationAborted, match="the association is over: the connection was closed"):
        peer.client.run(echo(core))


@pytest.mark.parametrize("last", [AReleaseRQ(), AAbort(0, 0)])
def test_an_end_that_has_arrived_and_was_not_read(last: PDU) -> None:
    peer = RawServer().associate()
    upper_layer = peer.client.core.upper_layer
    data = last.encode()
    upper_layer.get_buffer()[: len(data)] = data
    upper_layer.bytes_received(len(data), peer.network.now)
    assert upper_layer.established
    assert is_over(peer.client.core)
