"""Seeded mutations of valid bytes, and how long to go on with them."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator, Sequence

SECONDS = float(os.environ.get("DCMNET_FUZZ_SECONDS", "0"))
"""Seconds for each fuzz test; unless set, each makes a fixed number of rounds, a few seconds in all."""

_INTERESTING = (0, 1, 2, 3, 4, 5, 6, 7, 8, 0x7F, 0x80, 0xFE, 0xFF)
_LENGTHS = (0, 1, 2, 3, 0x7FFF, 0xFFFC, 0xFFFF, 0x7FFFFFFF, 0x80000001, 0xFFFFFFFC, 0xFFFFFFFF)


def rounds(count: int) -> Iterator[random.Random]:
    """A generator of random numbers for each round; its seed is in `repr`, through the round's number."""
    end = time.monotonic() + SECONDS
    number = 0
    while number < count or time.monotonic() < end:
        yield random.Random(number)
        number += 1


def mutated(data: bytes, chance: random.Random) -> bytes:
    """`data` with one to four faults."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        if changed:
            _FAULTS[chance.randrange(len(_FAULTS))](changed, chance)
    return bytes(changed)


def cut(data: bytes, chance: random.Random) -> list[bytes]:
    """`data` in pieces of random sizes."""
    size = chance.choice((1, 7, 100, 5000, 1 << 20))
    if size == 1 and len(data) > 2000:
        size = 50
    return [data[start : start + size] for start in range(0, len(data), size)]


def shuffled(parts: Sequence[bytes], chance: random.Random) -> bytes:
    """Some of the parts, in some order."""
    return b"".join(chance.choices(parts, k=chance.randint(1, 2 * len(parts))))


def _set_byte(data: bytearray, chance: random.Random) -> None:
    data[chance.randrange(len(data))] = chance.choice(_INTERESTING)


def _flip_bit(data: bytearray, chance: random.Random) -> None:
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _set_length(data: bytearray, chance: random.Random) -> None:
    size = chance.choice((2, 4))
    at = chance.randrange(len(data))
    value = chance.choice(_LENGTHS) & (1 << 8 * size) - 1
    data[at : at + size] = value.to_bytes(size, chance.choice(("big", "little")))


def _delete(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data))
    del data[at : at + chance.randint(1, 40)]


def _insert(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data))
    data[at:at] = chance.randbytes(chance.randint(1, 40))


def _repeat(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data))
    data[at:at] = data[at : at + chance.randint(1, 100)]


def _truncate(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data)) :]


_FAULTS = (_set_byte, _flip_bit, _set_length, _delete, _insert, _repeat, _truncate)
