"""Query/Retrieve SCPs on raw sockets; one of them sends objects after its final response."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import dcmnet
from dcmnet.registry.query_models import QueryModel
from tests.faces.wire import (
    CT,
    DEADLINE,
    EXPLICIT,
    RELEASE_RP,
    RELEASE_RQ,
    Acceptor,
    RawPeer,
    associate_ac,
    associate_rq,
    command,
    context,
    ct_data_set,
    p_data,
    store_command,
    uid_element,
    us_element,
)

FIELDS = {"find": 0x8020, "get": 0x8010, "move": 0x8021}
COUNTS = ("remaining", "completed", "failed", "warnings")
PENDING = 0xFF00


def response(
    kind: str,
    status: int = 0,
    counts: Mapping[str, int] | None = None,
    *,
    data_set: bytes = b"",
    model: QueryModel = dcmnet.STUDY_ROOT,
    context_id: int = 1,
) -> bytes:
    """A response with the counts that are given."""
    numbers = [us_element(0x1020 + COUNTS.index(name), count) for name, count in (counts or {}).items()]
    elements = [
        uid_element(0x0002, getattr(model, kind)),
        us_element(0x0100, FIELDS[kind]),
        us_element(0x0120, 1),
        us_element(0x0800, 1 if data_set else 0x0101),
        us_element(0x0900, status),
        *numbers,
    ]
    data = p_data(context_id, 2, data_set) if data_set else b""
    return p_data(context_id, 3, command(*elements)) + data


def accepted(peer: RawPeer, *objects: int) -> None:
    """Accept the association, with these contexts for objects, and read the request with its identifier."""
    assert peer.read_pdu()[:1] == b"\x01"
    peer.send(associate_ac([(number, EXPLICIT) for number in (1, *objects)]))
    assert [peer.read_pdu()[11] for _ in range(2)] == [3, 2]


class Archive:
    """A peer that answers a C-MOVE first, and sends then.

    Args:
        port: Where it sends to.
        model: What it is asked by.
        context_id: The presentation context of that.
    """

    def __init__(self, port: int, model: QueryModel = dcmnet.STUDY_ROOT, context_id: int = 1) -> None:
        self.port = port
        self._model = model
        self._context_id = context_id
        self.answered = threading.Event()

    def answering(
        self,
        status: int = 0,
        counts: Mapping[str, int] | None = None,
        pending: Mapping[str, int] | None = None,
        before: Sequence[str] = (),
    ) -> Acceptor:
        """It answers one C-MOVE, and sends the objects `before` that."""

        def script(peer: RawPeer) -> None:
            accepted(peer, *({1, self._context_id} - {1}))
            if pending is not None:
                peer.send(self._response(PENDING, pending))
            for instance in before:
                self.send(instance)
            peer.send(self._response(status, counts))
            assert peer.read_pdu() == RELEASE_RQ
            peer.send(RELEASE_RP)
            peer.read_end()
            self.answered.set()

        return Acceptor(script)

    def _response(self, status: int, counts: Mapping[str, int] | None) -> bytes:
        return response("move", status, counts, model=self._model, context_id=self._context_id)

    def send(self, instance: str) -> int:
        """Send an object over an association of its own; returns the status of the response."""
        with RawPeer.associated(self.port, associate_rq(context(3, CT, (EXPLICIT,)))) as peer:
            peer.send(p_data(3, 3, store_command(instance)) + p_data(3, 2, ct_data_set(instance)))
            status = peer.read_status()
            peer.send(RELEASE_RQ)
            assert peer.read_pdu() == RELEASE_RP
        return status

    def send_late(self, *instances: str, statuses: list[int] | None = None) -> threading.Thread:
        """Send objects from a thread, when the final response has been given."""

        def work() -> None:
            assert self.answered.wait(DEADLINE)
            for instance in instances:
                status = self.send(instance)
                if statuses is not None:
                    statuses.append(status)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread
