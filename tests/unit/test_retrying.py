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
from dcmnet.limits import MAX_LOST_IN_A_ROW
from dcmnet.procedures.association import AssociationCore
from dcmnet.procedures.effects import Wait
from dcmnet.storage.retrying import LONGEST_WAIT, Backoff, may_be_the_object, may_pass
from dcmnet.ul.items import UserIdentityRQ
from tests.unit.objects import write_file
from tests.unit.test_storage_scu import Always, Sender, outcomes

LOST = TransportClosed("the connection is gone")


@pytest.fixture
def sender() -> Sender:
    return Sender()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(5):
        write_file(tmp_path / f"{number}.dcm", f"1.2.{number}")
    return tmp_path


@pytest.fixture
def twenty(tmp_path: Path) -> Path:
    for number in range(20):
        write_file(tmp_path / f"{number:02}.dcm", f"1.2.{number}")
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
    assert may_be_the_object(error) is (expected or isinstance(error, RemoteProtocolError))


def test_waits_double_until_something_is_answered_for() -> None:
    backoff = Backoff(3, 2.0)
    assert [backoff.lost(LOST, progress=False) for _ in range(4)] == [2.0, 4.0, 8.0, None]
    assert backoff.lost(LOST, progress=True) == 2.0


def test_waits_have_an_end() -> None:
    backoff = Backoff(10_000, 1.0)
    found = [backoff.lost(LOST, progress=False) for _ in range(5000)]
    assert found[-1] == LONGEST_WAIT


def test_what_was_set_aside_is_sent_once_more_at_the_end(sender: Sender, folder: Path) -> None:
    sender.store.aborting = {"1.2.1", "1.2.3"}
    told: list[Any] = []
    report = sender.run(folder, retries=1, retry_wait=3.0, on_retry=lambda *what: told.append(what))
    assert report.ok
    assert sender.store.uids == ["1.2.0", "1.2.1", "1.2.2", "1.2.3", "1.2.4", "1.2.1", "1.2.3"]
    assert [each.association for each in report.results] == [1, 2, 3, 4, 5]
    assert waits(sender) == [3.0, 3.0]
    assert [(type(error), seconds) for error, seconds in told] == [(AssociationAborted, 3.0)] * 2


def test_with_halt_it_is_sent_again_at_once(sender: Sender, folder: Path) -> None:
    sender.store.aborting = {"1.2.1", "1.2.3"}
    report = sender.run(folder, halt=True, retries=1, retry_wait=3.0)
    assert report.ok
    assert sender.store.uids == ["1.2.0", "1.2.1", "1.2.1", "1.2.2", "1.2.3", "1.2.3", "1.2.4"]
    assert waits(sender) == [3.0, 3.0]


@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize("window", [1, 3])
def test_with_halt_nothing_else_is_sent(sender: Sender, folder: Path, retries: int, window: int) -> None:
    sender.store.aborting = Always({"1.2.2"})
    report = sender.run(folder, halt=True, retries=retries, window=window)
    lost = [each for each in report.results if type(each.error) is AssociationAborted]
    assert len({each.association for each in lost}) == 1
    assert lost[0].association == report.associations == retries + 1
    rest = report.results[report.results.index(lost[-1]) + 1 :]
    why = f"not sent: the transfer stopped when {lost[0].name} was not stored"
    assert {str(each.error) for each in rest} <= {why}
    assert len(report.results) == 5
    assert "1.2.4" not in sender.store.uids or window > 1


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


def test_it_is_sent_once_more_and_no_more(sender: Sender, folder: Path) -> None:
    sender.store.aborting = Always({"1.2.2"})
    report = sender.run(folder, retries=5, retry_wait=1.0)
    assert [kind for _, kind in outcomes(report)] == [0, 0, 0, 0, AssociationAborted]
    assert [each.association for each in report.results] == [1, 1, 2, 2, 3]
    assert waits(sender) == [1.0]
    assert sender.store.uids == ["1.2.0", "1.2.1", "1.2.2", "1.2.3", "1.2.4", "1.2.2"]


@pytest.mark.parametrize("bad", [{4, 5, 6, 7, 8}, {0, 1, 2}, {17, 18, 19}, {1, 4, 9, 11, 19}])
@pytest.mark.parametrize("window", [1, 4, 16])
@pytest.mark.parametrize("parallel", [1, 3])
@pytest.mark.parametrize("retries", [0, 3])
def test_several_bad_ones(
    sender: Sender, twenty: Path, bad: set[int], window: int, parallel: int, retries: int
) -> None:
    sender.store.aborting = Always({f"1.2.{number}" for number in bad})
    report = sender.run(twenty, window=window, parallel=parallel, retries=retries)
    failed = [each for each in report.results if not each.ok]
    assert {each.sop_instance_uid for each in failed} == sender.store.aborting
    assert {type(each.error) for each in failed} == {AssociationAborted}
    assert all(each.association for each in report.results)
    assert (len(report.results), report.stored, report.missing) == (20, 20 - len(bad), [])


@pytest.mark.parametrize("window", [1, 8])
@pytest.mark.parametrize("retries", [0, 3])
def test_a_peer_that_aborts_every_object(sender: Sender, twenty: Path, window: int, retries: int) -> None:
    sender.store.aborting = Always({f"1.2.{number}" for number in range(20)})
    report = sender.run(twenty, window=window, retries=retries)
    assert report.associations == MAX_LOST_IN_A_ROW
    assert (len(report.results), report.stored) == (20, 0)
    tried = [each for each in report.results if each.association]
    assert {type(each.error) for each in tried} == {AssociationAborted}
    rest = {str(each.error) for each in report.results if not each.association}
    text = "association aborted by the peer: service-user"
    assert rest == {
        f"not sent: 10 associations in a row ended early with nothing stored; the last one: {text}"
    }


def test_how_many_in_a_row_may_be_lost(sender: Sender, twenty: Path) -> None:
    sender.store.aborting = Always({f"1.2.{number}" for number in range(5)})
    report = sender.run(twenty, max_lost_in_a_row=6)
    assert report.stored == 15
    sender.store.aborting = Always({f"1.2.{number}" for number in range(5)})
    report = sender.run(twenty, max_lost_in_a_row=5)
    assert (report.stored, report.associations) == (0, 5)
    with pytest.raises(ValueError, match="max_lost_in_a_row: 0, expected 1 or more"):
        sender.run(twenty, max_lost_in_a_row=0)


@pytest.mark.parametrize("window", [1, 8])
@pytest.mark.parametrize("retries", [0, 1])
def test_what_follows_when_there_is_no_other_association(
    sender: Sender, folder: Path, window: int, retries: int
) -> None:
    """What was under way failed because of its association, the others have none."""
    sender.store.aborting = {"1.2.1"}
    sender.peer.refuse = {2, 3}
    report = sender.run(folder, window=window, retries=retries)
    lost = [each.sop_instance_uid for each in report.results if type(each.error) is AssociationAborted]
    assert "1.2.1" in lost
    assert [each.association for each in report.results if each.sop_instance_uid in lost] == [1] * len(lost)
    rest = [each for each in report.results if each.sop_instance_uid not in lost and not each.ok]
    assert {(type(each.error), each.association) for each in rest} <= {(AssociationRejected, 0)}
    assert (len(report.results), report.associations) == (5, 1)


def test_the_end_is_given_up_when_there_is_no_association(sender: Sender, folder: Path) -> None:
    sender.store.aborting = {"1.2.1", "1.2.3"}
    sender.peer.refuse = {4, 5}
    report = sender.run(folder, retries=1)
    assert outcomes(report)[3:] == [("1.dcm", AssociationAborted), ("3.dcm", AssociationAborted)]
    assert [each.association for each in report.results] == [1, 2, 3, 1, 2]


def test_an_error_that_is_not_of_the_peer_ends_the_transfer(sender: Sender, folder: Path) -> None:
    def fail(core: AssociationCore) -> None:
        raise AssociationError("as this test wants it")

    report = sender.run(folder, on_association=fail)
    assert {str(each.error) for each in report.results} == {"as this test wants it"}
    assert (len(report.results), report.associations) == (5, 1)


def test_one_of_several_is_not_had_while_another_is_lost(sender: Sender, folder: Path) -> None:
    sender.store.aborting = {"1.2.0", "1.2.1"}
    sender.peer.refuse = {2}
    report = sender.run(folder, parallel=2)
    assert (report.stored, report.failed) == (3, 2)
    assert [type(each) for each in report.missing] == [AssociationRejected]


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
    assert sender.store.uids[-1] == "1.2.3"
