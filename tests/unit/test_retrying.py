"""A transfer goes on over another association when one is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dcmnet.errors import (
    AssociationAborted,
    AssociationError,
    AssociationRejected,
    AssociationReleased,
    DcmnetError,
    DeadlineExceeded,
    LocalProtocolError,
    RemoteProtocolError,
    TransportClosed,
)
from dcmnet.procedures.effects import Wait
from dcmnet.storage.retrying import LONGEST_WAIT, Backoff, may_pass
from dcmnet.ul.items import UserIdentityRQ
from tests.unit.objects import write_file
from tests.unit.test_storage_scu import Sender, outcomes

LOST = TransportClosed("the connection is gone")


@pytest.fixture
def sender() -> Sender:
    return Sender()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(5):
        write_file(tmp_path / f"{number}.dcm", f"1.2.{number}")
    return tmp_path


def waits(sender: Sender) -> list[float]:
    return [effect.seconds for effect in sender.end.effects if isinstance(effect, Wait)]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (LOST, True),
        (DeadlineExceeded("DIMSE", 30), True),
        (AssociationAborted(2, 0), True),
        (AssociationAborted(0, 0, locally=True), False),
        (AssociationReleased("released"), True),
        (AssociationRejected(2, 3, 1), True),
        (AssociationRejected(1, 1, 7), False),
        (RemoteProtocolError("broken"), False),
        (LocalProtocolError("forbidden"), False),
        (AssociationError("no user identity"), False),
    ],
)
def test_what_may_pass(error: DcmnetError, expected: bool) -> None:
    assert may_pass(error) is expected


def test_waits_double_until_something_is_answered_for() -> None:
    backoff = Backoff(3, 2.0)
    assert [backoff.lost(LOST, progress=False) for _ in range(4)] == [2.0, 4.0, 8.0, None]
    assert backoff.lost(LOST, progress=True) == 2.0


def test_waits_have_an_end() -> None:
    backoff = Backoff(10_000, 1.0)
    found = [backoff.lost(LOST, progress=False) for _ in range(5000)]
    assert found[-1] == LONGEST_WAIT


def test_what_was_not_answered_for_is_sent_again(sender: Sender, folder: Path) -> None:
    sender.store.aborting = {"1.2.1", "1.2.3"}
    told: list[Any] = []
    report = sender.run(folder, retries=1, retry_wait=3.0, on_retry=lambda *what: told.append(what))
    assert report.ok
    assert sender.store.uids == ["1.2.0", "1.2.1", "1.2.1", "1.2.2", "1.2.3", "1.2.3", "1.2.4"]
    assert [each.association for each in report.results] == [1, 2, 2, 3, 3]
    assert waits(sender) == [3.0, 3.0]
    assert [(type(error), seconds) for error, seconds in told] == [(AssociationAborted, 3.0)] * 2


@pytest.mark.parametrize("window", [2, 3, 5])
@pytest.mark.parametrize("parallel", [1, 2])
@pytest.mark.parametrize("number", range(5))
def test_with_many_at_once(sender: Sender, folder: Path, window: int, parallel: int, number: int) -> None:
    """Each object has one result, whatever was under way; what has no answer is sent again."""
    sender.store.aborting = {f"1.2.{number}"}
    report = sender.run(folder, retries=2, window=window, parallel=parallel)
    assert sorted(each.sop_instance_uid for each in report.results) == [f"1.2.{each}" for each in range(5)]
    assert report.ok
    assert report.associations >= 2
    assert set(sender.store.uids) == {f"1.2.{each}" for each in range(5)}


def test_attempts_come_to_an_end(sender: Sender, folder: Path) -> None:
    class Always(set[str]):
        def discard(self, element: object) -> None:
            pass

    sender.store.aborting = Always({"1.2.2"})
    report = sender.run(folder, retries=2, retry_wait=1.0)
    assert [kind for _, kind in outcomes(report)] == [0, 0, *[AssociationAborted] * 3]
    assert [each.association for each in report.results] == [1, 1, 3, 0, 0]
    assert waits(sender) == [1.0, 2.0]
    assert sender.store.uids == ["1.2.0", "1.2.1", "1.2.2", "1.2.2", "1.2.2"]


def test_a_peer_that_is_busy_at_first(sender: Sender, folder: Path) -> None:
    sender.peer.refuse = {1, 2}
    report = sender.run(folder, retries=2)
    assert (report.ok, report.associations) == (True, 1)
    assert waits(sender) == [1.0, 2.0]


def test_a_peer_that_stays_busy(sender: Sender, folder: Path) -> None:
    sender.peer.refuse = {1, 2, 3}
    with pytest.raises(AssociationRejected):
        sender.run(folder, retries=2)


def test_an_identity_that_nobody_confirms(sender: Sender, folder: Path) -> None:
    identity = UserIdentityRQ(1, b"somebody", positive_response_requested=True)
    with pytest.raises(AssociationError, match="a positive response was requested, and none received"):
        sender.run(folder, user_identity=identity, retries=5)
    assert sender.store.uids == []
    assert waits(sender) == []


def test_more_contexts_than_one_association_has(sender: Sender, tmp_path: Path) -> None:
    for number in range(150):
        write_file(tmp_path / f"{number:03}.dcm", f"1.3.{number}", f"1.2.{number}")
    with pytest.raises(LocalProtocolError, match="300 presentation contexts are needed"):
        sender.run(tmp_path, single_association=True)
    assert sender.peer.ends == []


@pytest.mark.parametrize("check_first", [False, True])
def test_inputs_are_checked_first(sender: Sender, folder: Path, check_first: bool) -> None:
    sender.store.statuses = {"1.2.1": 0xA700}
    report = sender.run(folder / "missing", folder, check_first=check_first)
    assert len(sender.store.uids) == (0 if check_first else 5)
    assert len(report.results) == 6


def test_a_refusal_does_not_stop_what_was_checked_first(sender: Sender, folder: Path) -> None:
    sender.store.statuses = {"1.2.1": 0xA700}
    sender.store.aborting = {"1.2.3"}
    report = sender.run(folder, check_first=True, retries=1)
    assert [kind for _, kind in outcomes(report)] == [0, 0xA700, 0, 0, 0]
