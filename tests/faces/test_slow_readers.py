"""A peer that reads hardly anything holds an association for a while only."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydicom
import pytest

import dcmnet
from tests.faces.adapters import PATIENT, Face, running
from tests.faces.test_associations import accepting
from tests.faces.wire import (
    DEADLINE,
    EXPLICIT,
    Acceptor,
    RawPeer,
    associate_ac,
    associate_rq,
    command,
    context,
    p_data,
    uid_element,
    until,
    us_element,
)
from tests.unit.objects import data_set, element, write_file

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
IMPATIENT = replace(PATIENT, minimum_send_rate=50_000_000, minimum_rate_period=0.5, write=DEADLINE)
"""A peer that reads 1 MB a second is too slow here."""

LARGE = 30_000_000
ONE_CONTEXT = associate_ac([(1, EXPLICIT)])


def read_slowly(peer: RawPeer, over: threading.Event) -> None:
    """Read up to 1 MB a second, so that some progress is made all the time."""
    try:
        while not over.wait(0.02) and peer.sock.recv(20_000):
            pass
    except OSError:
        pass


def endless(request: Any) -> Iterator[dict[str, str]]:
    for number in itertools.count():
        yield {"PatientID": str(number), "PatientComments": "x" * 5000}


def test_an_endless_query_ends(face: Face) -> None:
    server: Any = face.new_server(timeouts=IMPATIENT)
    server.on_find(dcmnet.STUDY_ROOT)(endless)
    errors: list[BaseException | None] = []
    server.on_ended(lambda core, error: errors.append(error))
    question = command(
        uid_element(0x0002, FIND), us_element(0x0100, 0x0020), us_element(0x0110, 1), us_element(0x0700, 0),
        us_element(0x0800, 1),
    )  # fmt: skip
    over = threading.Event()
    with running(face, server) as started:
        peer = RawPeer.associated(started.port, associate_rq(context(1, FIND, [EXPLICIT])))
        with peer:
            peer.send(p_data(1, 3, question) + p_data(1, 2, element(0x0008, 0x0052, "CS", b"STUDY")))
            reader = threading.Thread(target=read_slowly, args=(peer, over))
            reader.start()
            until(lambda: bool(errors))
            over.set()
            reader.join(DEADLINE)
    (error,) = errors
    assert isinstance(error, dcmnet.DeadlineExceeded)
    assert error.timer == "minimum send rate"


@pytest.fixture
def large(tmp_path: Path) -> Path:
    header = element(0x7FE0, 0x0010, "OB", b"")[:6] + b"\0\0" + LARGE.to_bytes(4, "little")
    return write_file(tmp_path / "large.dcm", "1.2", data=data_set("1.2") + header + bytes(LARGE))


@pytest.mark.parametrize("memory", [False, True])
def test_a_transfer_to_a_slow_peer_ends(face: Face, large: Path, memory: bool) -> None:
    over = threading.Event()
    source = pydicom.dcmread(large) if memory else large
    with Acceptor(accepting(lambda peer: read_slowly(peer, over), ONE_CONTEXT)) as acceptor:
        report = face.send(acceptor.port, [source], timeouts=IMPATIENT)
        over.set()
    (result,) = report.results
    assert isinstance(result.error, dcmnet.DeadlineExceeded)
    assert result.error.timer == "minimum send rate"


def test_it_can_be_switched_off(face: Face, large: Path) -> None:
    """The peer is as slow for some of the periods, and then breaks off."""
    over = threading.Event()
    timer = threading.Timer(2.0, over.set)
    timer.start()
    timeouts = replace(IMPATIENT, minimum_send_rate=0)
    with Acceptor(accepting(lambda peer: read_slowly(peer, over), ONE_CONTEXT)) as acceptor:
        report = face.send(acceptor.port, large, timeouts=timeouts)
    assert over.is_set()
    assert isinstance(report.results[0].error, dcmnet.AssociationError)
    timer.join()
