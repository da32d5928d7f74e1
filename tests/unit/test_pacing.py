from __future__ import annotations

import pytest

from dcmnet._net.pacing import Pace, pace_of


def test_no_limit_has_no_pace() -> None:
    assert pace_of(0) is None


def test_turns_come_one_after_the_other() -> None:
    pace = Pace(1000)
    assert pace.reserve(500, 10.0) == 0.0
    assert pace.reserve(1000, 10.0) == pytest.approx(0.5)
    assert pace.reserve(1, 10.2) == pytest.approx(1.3)


def test_time_that_nobody_used_is_gone() -> None:
    pace = Pace(1000)
    pace.reserve(500, 10.0)
    assert pace.reserve(500, 20.0) == 0.0
    assert pace.reserve(500, 20.0) == pytest.approx(0.5)


@pytest.mark.parametrize("rate", [1, 20_000, 1 << 40])
def test_pieces_are_what_was_to_be_sent(rate: int) -> None:
    parts = [b"head", bytes(range(256)) * 9, bytes(700_000), b"", b"tail"]
    pieces = list(Pace(rate).pieces([memoryview(part) for part in parts]))
    assert all(sum(map(len, piece)) == sum(map(len, pieces[0])) for piece in pieces[:-1])
    assert b"".join(part for piece in pieces for part in piece) == b"".join(parts)


def test_a_piece_is_short_for_its_rate() -> None:
    sizes = {
        rate: len(next(Pace(rate).pieces([memoryview(bytes(1 << 20))]))[0]) for rate in (1, 100_000, 1 << 40)
    }
    assert sizes == {1: 256, 100_000: 5_000, 1 << 40: 1 << 18}
