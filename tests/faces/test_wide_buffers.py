"""A few associations of an asyncio server receive more at once, and no more than a few."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dcmnet
from dcmnet.aio import driver
from dcmnet.aio.buffers import WideBuffers
from dcmnet.limits import MAX_WIDE_BUFFERS, RECEIVE_BUFFER_LENGTH, Limits
from tests.faces.adapters import AsyncioFace, running
from tests.faces.test_sending import data_set_bytes
from tests.faces.wire import RELEASE_RQ, RawPeer, p_data, pieces, store_command, until
from tests.unit.objects import data_set, write_file

LARGE = data_set("1.2.3") + bytes(3_000_000)


def store(data: bytes = LARGE) -> bytes:
    """A C-STORE-RQ whose data set comes in many PDVs."""
    *others, last = pieces(data, 100_000)
    whole = [p_data(3, 3, store_command()), *(p_data(3, 0, each) for each in others), p_data(3, 2, last)]
    return b"".join(whole)


@pytest.fixture
def face() -> Iterator[AsyncioFace]:
    face = AsyncioFace()
    yield face
    face.close()


class Spied(WideBuffers):
    """Writes down who has taken one."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.taken: list[bool] = []

    def take(self, core: Any) -> bool:
        self.taken.append(super().take(core))
        return self.taken[-1]


@pytest.fixture
def spied(monkeypatch: pytest.MonkeyPatch) -> list[Spied]:
    made: list[Spied] = []

    def make() -> Spied:
        made.append(Spied(1))
        return made[-1]

    monkeypatch.setattr("dcmnet.aio.server.WideBuffers", make)
    return made


def test_an_association_that_receives_much_has_one_until_its_end(
    face: AsyncioFace, received: Path, spied: list[Spied]
) -> None:
    assert WideBuffers().left == MAX_WIDE_BUFFERS
    with running(face, face.new_storage_scp(received)) as server, RawPeer.associated(server.port) as first:
        for _ in range(2):
            first.send(store())
            assert first.read_status() == 0
        (wide,) = spied
        assert wide.taken == [True]
        assert wide.left == 0
        with RawPeer.associated(server.port) as second:  # the others do without
            second.send(store())
            assert second.read_status() == 0
        assert set(wide.taken[1:]) == {False}
        first.send(RELEASE_RQ)
        until(lambda: wide.left == 1)
    for path in received.iterdir():
        assert data_set_bytes(path) == LARGE


def test_one_that_is_idle_has_none(
    face: AsyncioFace, received: Path, spied: list[Spied], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "REST_AFTER", 0.02)
    with running(face, face.new_storage_scp(received)) as server, RawPeer.associated(server.port) as peer:
        for count in (1, 2):
            peer.send(store())
            assert peer.read_status() == 0
            until(lambda: spied[0].left == 1)
            assert spied[0].taken == [True] * count
    assert spied[0].left == 1


@pytest.mark.parametrize("how", ["small", "other length", "lost"])
def test_who_has_none(face: AsyncioFace, received: Path, spied: list[Spied], how: str) -> None:
    length = RECEIVE_BUFFER_LENGTH + (how == "other length")
    node = face.new_storage_scp(received, limits=Limits(receive_buffer_length=length))
    with running(face, node) as server:
        with RawPeer.associated(server.port) as peer:
            if how == "lost":
                peer.send(store()[:1_500_000])
                until(lambda: spied[0].taken == [True])
            else:
                peer.send(store(data_set("1.2.3") if how == "small" else LARGE))
                assert peer.read_status() == 0
                assert True not in spied[0].taken
        until(lambda: spied[0].left == 1)


def test_what_goes_through_wide_buffers_is_what_was_sent(
    face: AsyncioFace, received: Path, tmp_path: Path
) -> None:
    """Objects shorter and longer than any buffer, on several associations, in lockstep and with a window."""
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(24):
        length = (100, 200_000, 527_000, 655_360, 700_000, 2_000_000)[number % 6]
        content = data_set(f"1.2.{number}") + bytes([number]) * length
        write_file(folder / f"{number}.dcm", f"1.2.{number}", data=content)
    with running(face, face.new_storage_scp(received)) as server:
        for window in (1, 8):
            report = dcmnet.send("127.0.0.1", server.port, folder, window=window, parallel=2)
            assert report.ok
            sent = {data_set_bytes(path) for path in folder.iterdir()}
            assert {data_set_bytes(path) for path in received.iterdir()} == sent
