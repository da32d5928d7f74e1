"""What a peer says it has sent, and how long what is missing is waited for."""

from __future__ import annotations

import pytest

from dcmnet.limits import UNCOUNTED_ARRIVAL
from dcmnet.storage.deliveries import Claim, Deliveries
from dcmnet.storage.querying import Progress, claim_of

SUCCESS, WARNING, FAILURE, CANCEL, PENDING = 0, 0xB000, 0xA702, 0xFE00, 0xFF00
UNKNOWN = Claim(is_counted=False)

CLAIMS: list[tuple[Progress, Progress | None, Claim]] = [
    (Progress(SUCCESS, None, 3, 0, 1), None, Claim(4, 0)),
    (Progress(SUCCESS, None, 3), None, Claim(3, 0)),
    (Progress(WARNING, None, 3, 2, 0), None, Claim(3, 2)),
    (Progress(CANCEL, 5, 3, 0, 0), Progress(PENDING, 6, 2, 0, 0), Claim(3, 0)),
    (Progress(FAILURE), None, Claim(0, 0)),
    (Progress(FAILURE, None, 0, 4, 0), None, Claim(0, 4)),
    (Progress(FAILURE), Progress(PENDING, 2, 1, 0, 0), Claim(1, 0)),
    # Nothing, or zeros, in the final response
    (Progress(SUCCESS), None, UNKNOWN),
    (Progress(SUCCESS), Progress(PENDING), UNKNOWN),
    (Progress(SUCCESS), Progress(PENDING, 1, 2, 0, 1), Claim(4, 0)),
    (Progress(WARNING), Progress(PENDING, 1, 2, 0, 1), Claim(3, 0, is_counted=False)),
    (Progress(SUCCESS, None, 0, 0, 0), Progress(PENDING, 0, 3, 0, 0), Claim(3, 0)),
    # More than 65,535, which cannot be told
    (Progress(SUCCESS, None, None, 0, 0), Progress(PENDING, 5, 65_535, 0, 0), Claim(65_540, 0)),
    (Progress(SUCCESS, None, None, 0, 0), None, UNKNOWN),
]


@pytest.mark.parametrize(("final", "last", "claim"), CLAIMS)
def test_what_a_peer_says(final: Progress, last: Progress | None, claim: Claim) -> None:
    assert claim_of(final, last) == claim


def test_claims_of_several_retrievals() -> None:
    assert Claim(1, 2) + Claim(3, 4) == Claim(4, 6)
    assert Claim(1, 2) + UNKNOWN == Claim(1, 2, is_counted=False)


@pytest.mark.parametrize(
    ("kept", "refused", "under_way", "claim", "patience"),
    [
        (0, 0, False, Claim(), 0),
        (2, 0, False, Claim(2), 0),
        (3, 0, False, Claim(2), 0),
        (2, 0, True, Claim(2), 60),  # it is about to be released
        (1, 0, False, Claim(2), 60),
        (1, 0, True, Claim(2), None),
        (1, 1, False, Claim(2), 0),  # counted as completed, and refused here
        (1, 1, False, Claim(2, 1), 60),
        (2, 1, False, Claim(2, 1), 0),
        (0, 0, False, Claim(0, 3), 0),
        (0, 0, False, UNKNOWN, UNCOUNTED_ARRIVAL),
        (5, 0, False, UNKNOWN, UNCOUNTED_ARRIVAL),
        (5, 0, True, UNKNOWN, None),
        (1, 0, False, Claim(2, is_counted=False), 60),
    ],
)
def test_patience(kept: int, refused: int, under_way: bool, claim: Claim, patience: float | None) -> None:
    deliveries = Deliveries(
        kept=["1.2"] * kept, refused=["1.3"] * refused, under_way={1} if under_way else set()
    )
    assert deliveries.patience(claim, 60) == patience
    assert deliveries.missing(claim) == max(0, claim.delivered - kept)


def test_limits_of_patience() -> None:
    deliveries = Deliveries()
    assert deliveries.patience(Claim(1), None) is None
    assert deliveries.patience(UNKNOWN, None) == UNCOUNTED_ARRIVAL
    assert deliveries.patience(UNKNOWN, 0.1) == 0.1
