"""One object over which the association ends costs no other one its place, however it ends."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dcmnet
from dcmnet.errors import (
    AssociationAborted,
    AssociationReleased,
    DeadlineExceeded,
    RemoteProtocolError,
    TransportClosed,
)
from dcmnet.limits import Timeouts
from tests.faces.adapters import PATIENT, Face
from tests.faces.fussy import (
    FussyPeer,
    abort,
    early_answer_to_another,
    garbage,
    read_all,
    release,
)
from tests.faces.wire import DEADLINE, RawPeer
from tests.unit.objects import data_set, write_file

QUICK = Timeouts(connect=10.0, artim=0.2, acse=10.0, dimse=1.0, write=1.0, minimum_rate=0)
LARGE = 1 << 24

ENDINGS: dict[str, tuple[Callable[[RawPeer], Any], type[Exception], Timeouts]] = {
    "abort": (abort, AssociationAborted, PATIENT),
    "close": (RawPeer.close, TransportClosed, PATIENT),
    "reset": (RawPeer.reset, TransportClosed, PATIENT),
    "release": (release, AssociationReleased, PATIENT),
    "garbage": (garbage, RemoteProtocolError, PATIENT),
    "wrong answer": (early_answer_to_another, RemoteProtocolError, PATIENT),
    "silence": (read_all, DeadlineExceeded, QUICK),
}


@pytest.fixture
def twenty(tmp_path: Path) -> Path:
    """Twenty objects, most of them small."""
    folder = tmp_path / "twenty"
    folder.mkdir()
    for number in range(20):
        extra = {7: 90_000, 12: 600_000}.get(number, 0)
        content = data_set(f"1.2.{number}") + bytes(extra)
        write_file(folder / f"{number:02}.dcm", f"1.2.{number}", data=content)
    return folder


def everything(but: set[str]) -> list[str]:
    return sorted({f"1.2.{number}" for number in range(20)} - but)


@pytest.mark.parametrize("how", ENDINGS)
@pytest.mark.parametrize("bad", [{"1.2.6"}, {"1.2.12"}])
@pytest.mark.parametrize("window", [1, 4])
def test_nineteen_of_twenty_arrive(face: Face, twenty: Path, how: str, bad: set[str], window: int) -> None:
    end, error, timeouts = ENDINGS[how]
    with FussyPeer(bad, end, window) as peer:
        report = face.send(peer.port, twenty, window=window, timeouts=timeouts)
    assert sorted(set(peer.kept)) == everything(bad)
    failed = [each for each in report.results if not each.ok]
    assert {each.sop_instance_uid for each in failed} == bad
    if not (how == "release" and bad == {"1.2.12"}):  # in the middle of a message it breaks the protocol
        assert isinstance(failed[0].error, error) or how == "close"
    assert failed[0].association
    assert (len(report.results), report.stored, report.missing, report.endings) == (20, 19, [], [])
    assert report.associations == peer.associations <= 4


def test_a_peer_that_stops_reading_one(face: Face, twenty: Path) -> None:
    write_file(twenty / "12.dcm", "1.2.12", data=data_set("1.2.12") + bytes(LARGE))

    def stop_reading(connection: RawPeer) -> None:
        assert peer.came_again.wait(DEADLINE)

    with FussyPeer({"1.2.12"}, stop_reading) as peer:
        report = face.send(peer.port, twenty, timeouts=QUICK)
    assert sorted(peer.kept) == everything({"1.2.12"})
    (failed,) = (each for each in report.results if not each.ok)
    assert isinstance(failed.error, DeadlineExceeded)
    assert failed.error.timer == "write"


@pytest.mark.parametrize(("window", "parallel"), [(1, 1), (4, 1), (1, 3), (4, 3)])
@pytest.mark.parametrize("retries", [0, 2])
def test_five_in_a_row(face: Face, twenty: Path, window: int, parallel: int, retries: int) -> None:
    bad = {f"1.2.{number}" for number in range(3, 8)}
    with FussyPeer(bad, abort, window) as peer:
        report = face.send(
            peer.port,
            twenty,
            window=window,
            parallel=parallel,
            retries=retries,
            retry_wait=0,
            timeouts=PATIENT,
        )
    assert sorted(set(peer.kept)) == everything(bad)
    assert {each.sop_instance_uid for each in report.results if not each.ok} == bad
    assert (len(report.results), report.stored) == (20, 15)


@pytest.mark.parametrize("window", [1, 4])
def test_what_fails_once_is_stored_at_the_end(face: Face, twenty: Path, window: int) -> None:
    bad = {"1.2.3", "1.2.9"}
    with FussyPeer(bad, abort, window, times=1) as peer:
        report = face.send(peer.port, twenty, window=window, retries=1, retry_wait=0, timeouts=PATIENT)
    assert report.ok
    assert sorted(set(peer.kept)) == everything(set())
    assert window > 1 or set(peer.kept[-2:]) == bad  # with more under way they are sent alone before


def test_a_peer_that_aborts_every_association(face: Face, twenty: Path) -> None:
    with FussyPeer(set(everything(set())), abort) as peer:
        report = face.send(peer.port, twenty, timeouts=PATIENT)
    assert (report.stored, len(report.results)) == (0, 20)
    assert report.associations == peer.associations == 10


def test_a_peer_that_crashes_over_one(face: Face, twenty: Path) -> None:
    """With several associations all of them end: only the object at fault fails."""
    peers: list[RawPeer] = []
    crashed = threading.Event()

    class Crashing(FussyPeer):
        def _serve(self, peer: RawPeer) -> None:
            peers.append(peer)
            super()._serve(peer)
            if crashed.is_set():
                self.errors.clear()  # what the others were reading is cut off anywhere

    def crash(_: RawPeer) -> None:
        crashed.set()
        for each in peers:
            with contextlib.suppress(OSError):
                each.sock.shutdown(socket.SHUT_RDWR)

    with Crashing({"1.2.6"}, crash) as peer:
        report = face.send(peer.port, twenty, parallel=3, timeouts=PATIENT)
    assert sorted(set(peer.kept)) == everything({"1.2.6"})
    assert [each.sop_instance_uid for each in report.results if not each.ok] == ["1.2.6"]


def test_halt_stops_at_the_bad_one(face: Face, twenty: Path) -> None:
    with FussyPeer({"1.2.6"}, abort) as peer:
        report = face.send(peer.port, twenty, halt=True, timeouts=PATIENT)
    assert (report.stored, report.associations) == (6, 1)
    assert isinstance(report.results[6].error, dcmnet.AssociationAborted)
    assert "the transfer stopped when" in str(report.results[7].error)
