"""What is called around an object and an association, the same on both faces."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

import dcmnet
from dcmnet.errors import StatusError
from dcmnet.storage.sources import Instance
from tests.faces.adapters import QUICK, Face, running
from tests.faces.wire import DEADLINE, until

# ---------------------------------------------------------------------- around a received object


def refuse_by_raising(request: dcmnet.StoreRequest) -> None:
    raise StatusError(0xA700, "no room for CT")


def refuse_by_status(request: dcmnet.StoreRequest) -> int:
    return 0x0124


async def refuse_later(request: dcmnet.StoreRequest) -> int:
    await asyncio.sleep(0)
    return 0x0124


async def fail_later(request: dcmnet.StoreRequest) -> int:
    raise ZeroDivisionError


def fail(request: dcmnet.StoreRequest) -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("handler", "status", "comment"),
    [
        (refuse_by_raising, 0xA700, "no room for CT"),
        (refuse_by_status, 0x0124, "refused by the storage handler"),
        (refuse_later, 0x0124, "refused by the storage handler"),
        (fail, 0x0110, "the handler failed"),
        (fail_later, 0x0110, "the handler failed"),
    ],
)
def test_an_object_is_refused_before_it_is_received(
    face: Face, received: Path, sample: Path, handler: Any, status: int, comment: str
) -> None:
    node = face.new_storage_scp(received)
    node.on_receiving(handler)
    stored: list[int] = []
    node.on_stored(lambda request, status: stored.append(status))
    with running(face, node) as server:
        report = face.send(server.port, [sample / "ct-1.dcm", sample / "mr.dcm"])
    assert [(each.status, each.comment) for each in report.results] == [(status, comment)] * 2
    assert not list(received.iterdir())
    assert not stored


def test_an_object_that_is_not_refused_is_received(face: Face, received: Path, ct: Path) -> None:
    node = face.new_storage_scp(received)
    told: list[tuple[str, int]] = []

    @node.on_receiving
    async def before(request: dcmnet.StoreRequest) -> None:
        request.state["before"] = request.calling_ae_title
        told.append(("before", request.size))

    @node.on_progress
    def progress(request: dcmnet.StoreRequest) -> None:
        told.append(("progress", request.size))

    @node.on_stored
    def after(request: dcmnet.StoreRequest, status: int) -> None:
        assert request.state["before"] == "ME"
        assert request.saved_as is not None
        assert request.saved_as.exists()
        told.append(("after", status))

    with running(face, node) as server:
        assert face.send(server.port, ct, calling="ME").ok
    assert told[0] == ("before", 0)
    assert told[-2:] == [("progress", 74890), ("after", 0)]


def test_progress_within_an_object(face: Face, received: Path, big_ct: Path) -> None:
    arrived: list[int] = []
    left: list[tuple[str, int]] = []
    node = face.new_storage_scp(received)
    node.on_progress(lambda request: arrived.append(request.size))
    with running(face, node) as server:
        report = face.send(
            server.port, big_ct, on_progress=lambda instance, length: left.append((instance.name, length))
        )
    (result,) = report.results
    for lengths in (arrived, [length for _, length in left]):
        assert lengths == sorted(lengths)
        assert len(lengths) > 10
        assert lengths[-1] == result.size > 24 << 20
    assert {name for name, _ in left} == {str(big_ct)}


def test_a_hook_that_fails_changes_nothing(face: Face, received: Path, ct: Path) -> None:
    node = face.new_storage_scp(received)
    failures: list[str] = []
    node.node.hooks.failed = lambda text, error: failures.append(text)
    node.on_progress(fail)
    with running(face, node) as server:
        assert face.send(server.port, ct).ok
    assert set(failures) == {"on_progress failed"}


def test_the_hooks_of_a_server_that_keeps_nothing(face: Face, ct: Path) -> None:
    node = face.new_server()
    seen: list[int] = []
    node.on_stored(lambda request, status: seen.append(request.size))
    node.on_store(lambda request: 0xB000)
    with running(face, node) as server:
        (result,) = face.send(server.port, ct).results
    assert (result.status, seen) == (0xB000, [74890])


# ---------------------------------------------------------------------- around a sent object


def test_an_object_is_left_out(face: Face, received: Path, sample: Path, big_ct: Path) -> None:
    skipped: list[str] = []

    def only_mr(instance: Instance) -> bool:
        return instance.name.endswith("mr.dcm")

    with running(face, face.new_storage_scp(received)) as server:
        report = face.send(
            server.port,
            [sample / "ct-1.dcm", big_ct, sample / "mr.dcm"],
            on_sending=only_mr,
            on_skipped=lambda name, why: skipped.append(Path(name).name),
        )
    assert report.ok
    assert [Path(each.name).name for each in report.results] == ["mr.dcm"]
    assert [(Path(name).name, why) for name, why in report.skipped] == [
        ("ct-1.dcm", "left out by on_sending"),
        ("big.dcm", "left out by on_sending"),
    ]
    assert skipped == ["ct-1.dcm", "big.dcm"]


# ---------------------------------------------------------------------- around an association


def test_an_association_from_its_request_to_its_end(face: Face, received: Path) -> None:
    node = face.new_storage_scp(received)
    told: list[tuple[str, str]] = []
    ended = threading.Event()

    @node.on_association
    def asked(request: dcmnet.AssociationRequest) -> None:
        told.append(("asked", f"{request.calling_ae_title} {request.called_ae_title}"))
        assert request.peer.startswith("127.0.0.1:")

    @node.on_accepted
    def accepted(core: Any) -> None:
        told.append(("accepted", core.peer_ae_title))

    @node.on_released
    def released(core: Any) -> None:
        told.append(("released", core.peer_ae_title))

    @node.on_ended
    def end(core: Any, error: BaseException | None) -> None:
        told.append(("ended", type(error).__name__))
        ended.set()

    with running(face, node) as server:
        with face.connect(server.port, calling="ME", called="YOU"):
            pass
        assert ended.wait(DEADLINE)
        assert told == [
            ("asked", "ME YOU"), ("accepted", "ME"), ("released", "ME"), ("ended", "NoneType"),
        ]  # fmt: skip
        ended.clear()
        face.connect(server.port).abort()
        assert ended.wait(DEADLINE)
    assert told[-2:] == [("accepted", "DCMNET"), ("ended", "AssociationAborted")]


def test_a_timeout_is_told(face: Face, received: Path) -> None:
    node = face.new_storage_scp(received, timeouts=QUICK)
    errors: list[BaseException | None] = []
    node.on_ended(lambda core, error: errors.append(error))
    with running(face, node) as server:
        association = face.connect(server.port)
        until(lambda: bool(errors))
        with pytest.raises(dcmnet.AssociationAborted):
            association.echo()
    (error,) = errors
    assert isinstance(error, dcmnet.DeadlineExceeded)


def test_stop_after_this_association(face: Face, received: Path) -> None:
    node: Any = face.new_storage_scp(received)
    node.on_ended(lambda core, error: node.shutdown())
    server = face.start(node)
    port = server.port
    with face.connect(port) as association:
        association.echo()
    assert server.wait(DEADLINE)
    with pytest.raises(dcmnet.TransportClosed):
        face.connect(port)
    server.shutdown()
