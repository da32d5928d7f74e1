"""The end of a block: what a peer does instead of the release takes nothing away from its answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dcmnet.errors import (
    AssociationAborted,
    DeadlineExceeded,
    LocalProtocolError,
    RemoteProtocolError,
    TransportClosed,
)
from dcmnet.procedures.association import release
from dcmnet.procedures.leaving import leave
from dcmnet.ul.fsm import Sta
from dcmnet.ul.pdu import AAbort, AAssociateRQ, AReleaseRP, AReleaseRQ
from tests.procedures.pairs import REQUEST, RawServer
from tests.procedures.test_query_retrieve_scu import begun

Instead = Callable[[RawServer], Any]

INSTEAD: list[tuple[Instead, type[Exception], str]] = [
    (lambda peer: peer.close(), TransportClosed, "the peer closed the connection"),
    (lambda peer: peer.reset(), TransportClosed, "connection lost"),
    (lambda peer: peer.send(AAbort(0, 0)), AssociationAborted, "aborted by the peer: service-user"),
    (lambda peer: peer.send(AAbort(2, 1)), AssociationAborted, "unrecognized-PDU"),
    (lambda peer: peer.send(REQUEST), RemoteProtocolError, AAssociateRQ.__name__),
    (lambda peer: peer.send(b"\xff" * 6), RemoteProtocolError, "PDU"),
    (lambda peer: None, DeadlineExceeded, "the ACSE timer of 7 s ran out"),
]


@pytest.fixture(params=range(3))
def peer(request: pytest.FixtureRequest) -> RawServer:
    return RawServer(seed=request.param).associate()


@pytest.mark.parametrize("answers_first", [False, True])
@pytest.mark.parametrize(("instead", "kind", "text"), INSTEAD)
def test_what_a_peer_does_instead_is_noted(
    peer: RawServer, instead: Instead, kind: type[Exception], text: str, answers_first: bool
) -> None:
    core = peer.client.core
    if answers_first:  # it does not wait for the release
        instead(peer)
    peer.client.start(leave(core))
    if not answers_first:
        instead(peer)
    peer.client.finish()
    (ending,) = core.endings
    assert isinstance(ending, kind)
    assert text in str(ending)
    assert core.upper_layer.state is Sta.STA1


def test_a_silent_peer_is_not_waited_for_once_more(peer: RawServer) -> None:
    started = peer.network.now
    peer.client.run(leave(peer.client.core))
    assert peer.network.now == started + 7


def test_strict(peer: RawServer) -> None:
    peer.client.start(leave(peer.client.core, strict=True))
    peer.send(AAbort(0, 0))
    with pytest.raises(AssociationAborted):
        peer.client.finish()
    assert [type(each) for each in peer.client.core.endings] == [AssociationAborted]


def test_a_release_collision_is_no_failure(peer: RawServer) -> None:
    peer.send(AReleaseRQ())
    peer.client.start(leave(peer.client.core))
    peer.send(AReleaseRP())
    peer.close()
    peer.client.finish()
    assert [type(pdu) for pdu in peer.received()] == [AReleaseRQ, AReleaseRP]
    assert peer.client.core.endings == ()


def test_a_peer_that_asks_for_the_release_and_closes(peer: RawServer) -> None:
    peer.send(AReleaseRQ())
    peer.close()
    peer.client.run(leave(peer.client.core))
    assert [type(each) for each in peer.client.core.endings] == [TransportClosed]


def test_a_loss_that_came_with_the_last_response(peer: RawServer) -> None:
    core = peer.client.core
    core.upper_layer.transport_lost(peer.network.now)
    peer.client.run(leave(core))
    assert [type(each) for each in core.endings] == [TransportClosed]
    assert peer.received() == []  # nothing is asked for on a connection that is gone


def test_in_good_order_and_twice(peer: RawServer) -> None:
    peer.client.start(leave(peer.client.core))
    peer.send(AReleaseRP())
    peer.close()
    peer.client.finish()
    peer.client.run(leave(peer.client.core))
    peer.client.run(release(peer.client.core))
    assert peer.client.core.endings == ()


def test_an_operation_under_way_is_the_callers_mistake(peer: RawServer) -> None:
    begun(peer)
    with pytest.raises(LocalProtocolError, match="a C-FIND is under way"):
        peer.client.run(leave(peer.client.core))
    assert peer.client.core.upper_layer.established
