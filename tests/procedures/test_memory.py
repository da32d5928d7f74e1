"""The driver that the other tests here run on."""

from __future__ import annotations

from typing import Any

import pytest

from dcmnet.dimse.messages import CEchoRSP
from dcmnet.errors import TransportClosed
from dcmnet.procedures.association import establish, new_core, release
from dcmnet.procedures.effects import Next, Procedure, Receive, Spawn
from dcmnet.procedures.scp import serve
from dcmnet.procedures.scu import echo
from dcmnet.ul.pdu import AAssociateAC, AReleaseRQ
from tests.procedures.memory import Network, Pipe, Stuck, parse
from tests.procedures.pairs import ECHO_ID, REQUEST, TIMEOUTS, Pair, RawServer, acceptor, message


def test_bytes_are_cut_as_the_seed_says() -> None:
    def cuts(seed: int) -> list[int]:
        network = Network(seed)
        return [network.cut(1000) for _ in range(50)]

    assert cuts(1) == cuts(1) != cuts(2)
    assert {1, 1000} < set(cuts(1)) <= set(range(1, 1001))
    assert Network(whole=True).cut(1000) == 1000


def test_a_pipe_is_full_at_its_length_and_empty_at_its_end() -> None:
    network = Network(whole=True)
    pipe = Pipe(room=10)
    assert pipe.write(memoryview(b"123456789abc"), network.cut) == 10
    assert pipe.write(memoryview(b"bc"), network.cut) == 0
    room = memoryview(bytearray(20))
    assert pipe.read_into(room, network.cut) == 10
    assert bytes(room[:10]) == b"123456789a"
    assert pipe.read_into(room, network.cut) is None
    pipe.ended = True
    assert pipe.read_into(room, network.cut) == 0


def test_two_that_wait_for_each_other_are_found_out() -> None:
    def wait() -> Procedure[None]:
        yield Receive()

    pair = Pair().establish_idle()
    pair.server.start(wait())
    with pytest.raises(Stuck, match="requestor in STA6"):
        pair.client.run(wait())


def test_time_passes_only_where_nobody_can_go_on() -> None:
    pair = Pair(seed=4).establish()
    pair.network.wait(1.5)
    assert pair.network.now == 1001.5
    assert pair.client.run(echo(pair.client.core)).status == 0
    assert pair.network.now == 1001.5


def test_iterators_are_advanced_and_procedures_spawned() -> None:
    network = Network(seed=5)
    server = network.acceptor(timeouts=TIMEOUTS)
    server.start(serve(server.core, acceptor()))
    parent = network.requestor(server)
    core = new_core(requestor=True, timeouts=TIMEOUTS, limits=parent.core.limits)

    def child() -> Procedure[CEchoRSP]:
        yield from establish(core, "peer", 104, REQUEST)
        response = yield from echo(core)
        yield from release(core)
        return response

    def work() -> Procedure[list[Any]]:
        items = iter("ab")
        found = [(yield Next(items)), (yield Next(items)), (yield Next(items))]
        return [*found, (yield Spawn(core, child()))]

    *items, response = parent.run(work())
    assert items == ["a", "b", None]
    assert response.status == 0
    assert server.finish() is True
    assert len(network.ends) == 2


def test_what_is_sent_to_one_that_has_closed_breaks() -> None:
    peer = RawServer().associate()
    pair = Pair().establish()
    pair.client._close()
    with pytest.raises(TransportClosed):
        pair.server.finish()
    assert peer.client.open


def test_pdus_are_read_from_what_was_sent() -> None:
    pair = Pair().establish()
    pair.client.run(release(pair.client.core))
    assert isinstance(pair.server.sent()[0], AAssociateAC)
    assert pair.client.sent() == [REQUEST, AReleaseRQ()]
    data = message(ECHO_ID, CEchoRSP(message_id_being_responded_to=1, status=0))
    (fragment,) = parse(data + b"\x04\x00")
    assert bytes(fragment.data) == data[12:]  # type: ignore[union-attr]
    assert Network().requestor(None).sent() == []
