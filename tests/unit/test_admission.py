from __future__ import annotations

from dcmnet._net.admission import Admission, Verdict

SERVE, REJECT, CLOSE = Verdict


def test_one_address_locks_nobody_out() -> None:
    admission = Admission(4, 2)
    assert [admission.decide("foe") for _ in range(7)] == [SERVE] * 2 + [REJECT] * 2 + [CLOSE] * 3
    assert [admission.decide("friend") for _ in range(2)] == [SERVE] * 2


def test_a_full_server_rejects_everybody_and_then_answers_nobody() -> None:
    admission = Admission(2, 2)
    assert [admission.decide(peer) for peer in "abcde"] == [SERVE, SERVE, REJECT, REJECT, CLOSE]


def test_who_has_gone_counts_no_more() -> None:
    admission = Admission(1, 1)
    for _ in range(3):
        assert [admission.decide("a") for _ in range(3)] == [SERVE, REJECT, CLOSE]
        admission.done("a", REJECT)
        assert admission.decide("b") is REJECT
        admission.done("b", REJECT)
        admission.done("a", SERVE)
