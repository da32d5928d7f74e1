"""A peer that says it has stored an object of which it has read a part only: the object was not sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest

from dcmnet import RemoteProtocolError
from tests.faces.adapters import PATIENT, Face
from tests.faces.fussy import FussyPeer, read_to_the_last_pdu
from tests.faces.test_associations import accepting
from tests.faces.test_sending import response
from tests.faces.wire import ABORT, CT, Acceptor, RawPeer
from tests.unit.objects import data_set, element, write_file

READ = 48_000
"""What the peer has read when it answers."""

LARGE = 33_000_000
"""More than the buffers of the system hold."""

ENDS: dict[str, Callable[[RawPeer], Any]] = {
    "resets": RawPeer.reset,
    "closes": RawPeer.close,
    "aborts": lambda peer: peer.send(ABORT),
    "goes on": read_to_the_last_pdu,
}


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Three objects, of which the second is large."""
    folder = tmp_path / "three"
    folder.mkdir()
    for number, length in enumerate((100, LARGE, 200), 1):
        write_file(folder / f"{number}.dcm", f"1.2.{number}", data=large(f"1.2.{number}", length))
    return folder


def large(uid: str, length: int) -> bytes:
    header = element(0x7FE0, 0x0010, "OB", b"")[:6] + b"\0\0" + length.to_bytes(4, "little")
    return data_set(uid) + header + bytes(length)


def read_a_part(peer: RawPeer) -> None:
    read = 0
    while read < READ:
        read += len(peer.read_pdu())


class Hasty(FussyPeer):
    """Answers the large object when it has read a part of it."""

    def __init__(self, end: Callable[[RawPeer], Any], window: int = 1) -> None:
        super().__init__({"1.2.2"}, end, window)

    def _spoil(self, peer: RawPeer, message_id: int) -> bool:
        read_a_part(peer)
        peer.send(response(0, message_id))
        return super()._spoil(peer, message_id)


class Refusing(FussyPeer):
    """Refuses the large object before it has read it, and reads it then."""

    def _spoil(self, peer: RawPeer, message_id: int) -> bool:
        peer.send(response(0xA700, message_id))
        while peer.read_pdu()[11] != 2:
            pass
        return True


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize(
    "options", [{}, {"window": 3}, {"rate": 40_000_000}, {"parallel": 2}, {"retries": 1}]
)
def test_an_object_that_did_not_leave_whole_is_not_stored(
    face: Face, three: Path, how: str, options: dict[str, int]
) -> None:
    with Hasty(ENDS[how], options.get("window", 1)) as peer:
        report = face.send(peer.port, three, timeouts=PATIENT, **options)
    assert sorted(set(peer.kept)) == ["1.2.1", "1.2.3"]
    assert (len(report.results), report.stored, report.ok) == (3, 2, False)
    (failed,) = (each for each in report.results if not each.ok)
    assert (failed.sop_instance_uid, failed.status) == ("1.2.2", None)
    assert failed.error is not None


@pytest.mark.parametrize("how", ["resets", "goes on"])
def test_a_data_set_in_memory(face: Face, how: str, tmp_path: Path) -> None:
    path = write_file(tmp_path / "2.dcm", "1.2.2", data=large("1.2.2", LARGE))
    with Hasty(ENDS[how]) as peer:
        report = face.send(peer.port, [pydicom.dcmread(path)], timeouts=PATIENT)
    assert (report.stored, report.results[0].status) == (0, None)


@pytest.mark.parametrize("status", [0, 0xB000])
def test_one_object_on_an_association(face: Face, status: int, tmp_path: Path) -> None:
    path = write_file(tmp_path / "2.dcm", "1.2.2", data=large("1.2.2", LARGE))

    def script(peer: RawPeer) -> None:
        read_a_part(peer)
        peer.send(response(status))
        read_to_the_last_pdu(peer)

    with Acceptor(accepting(script)) as acceptor:
        association = face.connect(acceptor.port, contexts=[CT], timeouts=PATIENT)
        with pytest.raises(RemoteProtocolError, match=f"C-STORE-RSP with status {status:04X}H came before"):
            association.store(path)
        assert not association.is_established


def test_a_refusal_may_come_early(face: Face, three: Path) -> None:
    """The rest of the object is sent, and the association goes on."""
    with Refusing({"1.2.2"}, read_to_the_last_pdu) as peer:
        report = face.send(peer.port, three, timeouts=PATIENT)
    assert [each.status for each in report.results] == [0, 0xA700, 0]
    assert (report.associations, report.endings) == (1, [])
