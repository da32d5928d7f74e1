"""What a peer has answered is a result, whatever it does afterwards; peers on raw sockets, both faces."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dcmnet
from dcmnet.errors import (
    AssociationAborted,
    DeadlineExceeded,
    LocalProtocolError,
    NoPresentationContext,
    StatusError,
    TransportClosed,
)
from dcmnet.limits import DEFAULT_TOLERANCE
from tests.faces.adapters import Face, running
from tests.faces.archives import PENDING, Archive, accepted, response
from tests.faces.test_queries import free_port
from tests.faces.wire import (
    ABORT,
    CT,
    DEADLINE,
    EXPLICIT,
    RELEASE_RP,
    RELEASE_RQ,
    Acceptor,
    RawPeer,
    associate_ac,
    ct_data_set,
    p_data,
    store_command,
)

STUDY = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "1.2"}
KINDS = ("find", "get", "move")
TIMEOUTS = dcmnet.Timeouts(connect=DEADLINE, acse=1, dimse=DEADLINE, write=DEADLINE, arrival=DEADLINE)
IMPATIENT = dcmnet.Timeouts(connect=DEADLINE, acse=DEADLINE, dimse=DEADLINE, arrival=0.2)
OBJECTS = (3,)
CT_CONTEXTS = (dcmnet.ProposedContext(abstract_syntax=CT, transfer_syntaxes=(EXPLICIT,)),)


def answer(peer: RawPeer, kind: str) -> bytes:
    """Do the whole of an operation but for the final response, which is returned."""
    accepted(peer, *(OBJECTS if kind == "get" else ()))
    if kind == "find":
        peer.send(response("find", PENDING, data_set=b"\x10\x00\x10\x00PN\x04\x00A^B "))
        return response("find")
    if kind == "get":
        peer.send(p_data(3, 3, store_command("1.2.3")) + p_data(3, 2, ct_data_set("1.2.3")))
        assert peer.read_status() == 0
    return response(kind, 0, {"completed": 1, "failed": 0, "warnings": 0})


def closes(peer: RawPeer) -> None:
    peer.close()


def resets(peer: RawPeer) -> None:
    assert peer.read_pdu() == RELEASE_RQ
    peer.reset()


def aborts(peer: RawPeer) -> None:
    assert peer.read_pdu() == RELEASE_RQ
    peer.send(ABORT)
    peer.read_end()


def aborts_at_once(peer: RawPeer) -> None:
    peer.send_as_far_as_it_goes(ABORT)


def says_nothing(peer: RawPeer) -> None:
    assert peer.read_pdu() == RELEASE_RQ
    assert peer.read_pdu()[:1] == b"\x07"
    peer.read_end()  # it is not waited for


def releases_and_closes(peer: RawPeer) -> None:
    peer.send_as_far_as_it_goes(RELEASE_RQ)


ENDS: dict[Callable[[RawPeer], None], tuple[type[Exception], ...]] = {
    closes: (TransportClosed,),
    resets: (TransportClosed,),
    aborts: (AssociationAborted,),
    aborts_at_once: (AssociationAborted, TransportClosed),
    says_nothing: (DeadlineExceeded,),
    releases_and_closes: (TransportClosed,),
}


def ask(face: Face, kind: str, port: int, folder: Path, **options: Any) -> Any:
    more: dict[str, tuple[Any, ...]] = {"find": (), "get": (folder,), "move": ("ELSEWHERE",)}
    if kind == "get":
        options["sop_classes"] = [CT]
    return face.ask(kind, port, STUDY, *more[kind], **{"timeouts": TIMEOUTS, **options})


@pytest.mark.parametrize("end", ENDS, ids=lambda each: each.__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_the_result_of_an_operation_that_is_complete(
    face: Face, received: Path, kind: str, end: Callable[[RawPeer], None]
) -> None:
    def script(peer: RawPeer) -> None:
        peer.send(answer(peer, kind))
        end(peer)

    with Acceptor(script) as server:
        result = ask(face, kind, server.port, received)
    assert result.raise_for_status().status == 0
    (ending,) = result.endings
    assert isinstance(ending, ENDS[end])
    if kind == "find":
        assert [str(each.identifier.PatientName) for each in result.matches] == ["A^B"]
    else:
        assert result.progress.completed == 1
        assert [path.name for path in result.files] == (["CT.1.2.3.dcm"] if kind == "get" else [])


@pytest.mark.parametrize("kind", KINDS)
def test_strict_releases(face: Face, received: Path, kind: str) -> None:
    def script(peer: RawPeer) -> None:
        peer.send(answer(peer, kind))
        aborts(peer)

    with Acceptor(script) as server, pytest.raises(AssociationAborted):
        ask(face, kind, server.port, received, strict_release=True)


@pytest.mark.parametrize("kind", KINDS)
def test_an_association_in_good_order_has_no_endings(face: Face, received: Path, kind: str) -> None:
    def script(peer: RawPeer) -> None:
        peer.send(answer(peer, kind))
        assert peer.read_pdu() == RELEASE_RQ
        peer.send(RELEASE_RP)
        peer.read_end()

    with Acceptor(script) as server:
        assert ask(face, kind, server.port, received, strict_release=True).endings == ()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_complete_is_an_error(face: Face, received: Path, kind: str) -> None:
    def script(peer: RawPeer) -> None:
        answer(peer, kind)  # without the final response
        peer.send(ABORT)

    with Acceptor(script) as server, pytest.raises(AssociationAborted):
        ask(face, kind, server.port, received)


def test_the_end_of_a_block(face: Face) -> None:
    def script(peer: RawPeer) -> None:
        peer.send(answer(peer, "find"))
        aborts(peer)

    contexts = dcmnet.query_contexts()
    with Acceptor(script) as server, face.connect(server.port, contexts=contexts) as association:
        assert len(list(association.find(STUDY))) == 1
        assert association.endings == ()
    assert list(map(type, association.endings)) == [AssociationAborted]


def test_the_end_of_a_block_that_fails_itself(face: Face) -> None:
    def script(peer: RawPeer) -> None:
        peer.send(answer(peer, "find"))
        peer.reset()

    contexts = dcmnet.query_contexts()
    with Acceptor(script) as server, pytest.raises(KeyError, match="ours") as caught:
        with face.connect(server.port, contexts=contexts) as association:
            list(association.find(STUDY))
            raise KeyError("ours")
    assert caught.value.__context__ is None


def test_a_query_that_is_not_complete_cannot_be_left(face: Face) -> None:
    def script(peer: RawPeer) -> None:
        accepted(peer)
        peer.send(response("find", PENDING, data_set=b"\x10\x00\x10\x00PN\x04\x00A^B "))
        peer.read_pdu()

    contexts = dcmnet.query_contexts()
    with Acceptor(script) as server:
        with pytest.raises(LocalProtocolError, match="a C-FIND is under way"):
            with face.connect(server.port, contexts=contexts) as association:
                responses = association.find(STUDY)
                next(iter(responses))
        association.abort()


# ---------------------------------------------------------------------- roles that are not answered


def test_objects_of_a_get_without_role_items(face: Face, received: Path) -> None:
    """`accepted` answers no role: the objects are taken, unless that is not tolerated."""

    def script(peer: RawPeer) -> None:
        accepted(peer, *OBJECTS)
        peer.send(p_data(3, 3, store_command("1.2.3")) + p_data(3, 2, ct_data_set("1.2.3")))
        statuses.append(peer.read_status())
        peer.send(response("get", 0, {"completed": 1}))

    statuses: list[int] = []
    strict = dcmnet.Limits(tolerance=DEFAULT_TOLERANCE & ~dcmnet.Tolerance.MISSING_ROLE_SELECTION)
    with Acceptor(script) as server:
        assert len(ask(face, "get", server.port, received).files) == 1
    with Acceptor(script) as server:
        result = ask(face, "get", server.port, received, limits=strict)
    assert statuses == [0, 0x0124]
    with pytest.raises(StatusError, match="1 objects, and 0 came here"):
        result.raise_for_status()


def test_a_role_that_was_not_proposed_is_not_taken(face: Face) -> None:
    def script(peer: RawPeer) -> None:
        assert peer.read_pdu()[:1] == b"\x01"
        peer.send(associate_ac([(1, EXPLICIT)]))
        peer.read_pdu()

    with (
        Acceptor(script) as server,
        face.connect(server.port, contexts=CT_CONTEXTS) as association,
    ):
        with pytest.raises(NoPresentationContext, match="role of SCP"):
            association.negotiated.find(CT, role="scp")


# ---------------------------------------------------------------------- objects of a C-MOVE


@pytest.fixture
def archive() -> Archive:
    return Archive(free_port())


def move(face: Face, port: int, archive: Archive, store: Any, **options: Any) -> Any:
    options = {"timeouts": TIMEOUTS, "listen_port": archive.port, **options}
    return face.ask("move", port, STUDY, "DCMNET", store=store, **options)


@pytest.mark.parametrize(
    ("counts", "pending"),
    [
        ({"completed": 2, "failed": 0, "warnings": 1}, None),
        ({"completed": 3}, None),
        ({}, {"remaining": 1, "completed": 1, "failed": 0, "warnings": 1}),
        (
            {"completed": 0, "failed": 0, "warnings": 0},
            {"remaining": 0, "completed": 3, "failed": 0, "warnings": 0},
        ),
        ({}, None),
    ],
    ids=["counts", "one count", "pending counts", "zeros at the end", "no counts"],
)
def test_objects_that_come_after_the_final_response(
    face: Face, received: Path, archive: Archive, counts: dict[str, int], pending: dict[str, int] | None
) -> None:
    sender = archive.send_late("1.2.3", "1.2.4", "1.2.5")
    with archive.answering(0, counts, pending) as server:
        result = move(face, server.port, archive, received)
    sender.join(DEADLINE)
    assert sorted(path.name for path in result.files) == [f"CT.1.2.{number}.dcm" for number in (3, 4, 5)]
    assert result.raise_for_status().missing == 0


def test_objects_that_do_not_come(face: Face, received: Path, archive: Archive) -> None:
    sender = archive.send_late("1.2.3")
    with archive.answering(0, {"completed": 3}) as server:
        result = move(face, server.port, archive, received, timeouts=IMPATIENT)
    sender.join(DEADLINE)
    assert (len(result.files), result.missing, result.status) == (1, 2, 0)
    with pytest.raises(StatusError, match="has sent 3 objects, and 1 came here"):
        result.raise_for_status()


def test_nothing_to_wait_for(face: Face, received: Path, archive: Archive) -> None:
    """Not one object, all failed, or a failure without counts: nothing more comes."""
    eternal = dcmnet.Timeouts(acse=1, arrival=None)
    for status, counts in ((0, {"completed": 0}), (0xB000, {"completed": 0, "failed": 2}), (0xA702, {})):
        with archive.answering(status, counts) as server:
            assert move(face, server.port, archive, received, timeouts=eternal).missing == 0


def test_an_object_that_comes_twice(face: Face, received: Path, archive: Archive) -> None:
    sender = archive.send_late("1.2.3", "1.2.3")
    with archive.answering(0, {"completed": 2}) as server:
        result = move(face, server.port, archive, received)
    sender.join(DEADLINE)
    assert (result.missing, len(set(result.files))) == (0, 1)


@pytest.mark.parametrize(
    ("counts", "missing"),
    [({"completed": 2}, 1), ({"completed": 1, "failed": 1}, 0), ({"completed": 1, "failed": 0}, 0)],
)
def test_objects_that_this_side_refuses(
    face: Face, received: Path, archive: Archive, counts: dict[str, int], missing: int
) -> None:
    """A peer may count them as failed, or, wrongly, as completed; neither is waited for."""

    def handler(request: dcmnet.StoreRequest) -> int:
        return 0xA700 if request.sop_instance_uid == "1.2.3" else 0

    statuses: list[int] = []
    sender = archive.send_late("1.2.3", "1.2.4", statuses=statuses)
    with archive.answering(0xB000, counts) as server:
        store = dcmnet.FileStore(directory=received, handler=handler)
        eternal = dcmnet.Timeouts(acse=1, arrival=None)
        result = move(face, server.port, archive, store, timeouts=eternal)
    sender.join(DEADLINE)
    assert (statuses, result.missing, result.refused) == ([0xA700, 0], missing, 1)
    with pytest.raises(StatusError, match="came here and"):
        result.raise_for_status()


def test_an_association_under_way_is_not_aborted(face: Face, received: Path, archive: Archive) -> None:
    """It may take longer than the limit for what comes next."""
    go_on = threading.Event()

    def handler(request: dcmnet.StoreRequest) -> int:
        go_on.wait(5 * 0.2)  # much longer than `IMPATIENT` waits for a new association
        request.save(received / "kept.dcm")
        return 0

    statuses: list[int] = []
    sender = archive.send_late("1.2.3", statuses=statuses)
    with archive.answering(0, {"completed": 1}) as server:
        store = dcmnet.FileStore(directory=received, handler=handler)
        result = move(face, server.port, archive, store, timeouts=IMPATIENT)
    sender.join(DEADLINE)
    assert (statuses, result.missing) == ([0], 0)


def test_a_get_that_brings_less_than_its_peer_says(face: Face, received: Path, sample: Path) -> None:
    def script(peer: RawPeer) -> None:
        accepted(peer)
        peer.send(response("get", 0, {"completed": 2}))

    with Acceptor(script) as server:
        result = ask(face, "get", server.port, received)
    assert (result.status, result.missing) == (0, 2)
    with pytest.raises(StatusError, match="2 objects, and 0 came here"):
        result.raise_for_status()


def test_progress_without_counts(face: Face, received: Path) -> None:
    """More than 65,535 sub-operations have no count that could be sent (PS3.4 C.4.2.2, C.4.3.2)."""

    def script(peer: RawPeer) -> None:
        accepted(peer)
        peer.send(response("move", PENDING) + response("move", PENDING, {"remaining": 2}) + response("move"))

    with (
        Acceptor(script) as server,
        face.connect(server.port, contexts=dcmnet.query_contexts(move=True)[1:]) as assoc,
    ):
        responses = assoc.move(STUDY, "ELSEWHERE")
        assert [(each.remaining, each.completed) for each in responses] == [(None, None), (2, None)]
        assert (responses.result.completed, responses.status) == (None, 0)


def test_a_server_that_is_ours_is_complete_at_once(face: Face, sample: Path, received: Path) -> None:
    server = face.new_server("ARCHIVE")
    port = free_port()
    server.on_move()(lambda request: [sample / "ct-1.dcm", sample / "mr.dcm"])
    server.destinations = {"DCMNET": ("127.0.0.1", port)}
    eternal = dcmnet.Timeouts(arrival=None)
    with running(face, server) as running_server:
        result = face.ask(
            "move", running_server.port, STUDY, store=received, listen_port=port, timeouts=eternal
        )
    assert (len(result.files), result.missing, result.endings) == (2, 0, ())
