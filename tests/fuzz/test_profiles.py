"""Whatever a file of association negotiation profiles says, it is read, or refused as documented."""

from __future__ import annotations

import pytest

from tests.fuzz.mutations import mutated, rounds, shuffled
from tests.unit.profile_texts import FULL
from tests.unit.test_asconfig import read_or_refused

LINES = FULL.encode().splitlines(keepends=True)


@pytest.mark.parametrize("seed", range(2))
def test_mutated_files(seed: int) -> None:
    for chance in rounds(300):
        chance.seed((seed << 32) + chance.randrange(1 << 32))
        read_or_refused(mutated(FULL.encode(), chance).decode("utf-8", "replace"))


def test_shuffled_lines() -> None:
    for chance in rounds(300):
        read_or_refused(shuffled(LINES, chance).decode())
