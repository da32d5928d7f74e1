"""Payloads: counted, never read."""

from __future__ import annotations

from dcmnet.payload import FileRange


def test_the_length_of_a_range_is_its_count() -> None:
    assert len(FileRange(7, 100, 25)) == 25
    assert FileRange(7, 100, 25) == FileRange(7, 100, 25)
