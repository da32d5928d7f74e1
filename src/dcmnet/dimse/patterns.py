"""Command Sets that look like others, packed and unpacked in one go: the fast path beside the codec."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from dcmnet.dimse.command import (
    HEADER,
    UL_VALUE,
    US_TAGS,
    Value,
    decode_uid,
    encode_command,
    encode_uid,
)
from dcmnet.errors import RemoteProtocolError
from dcmnet.limits import Limits
from dcmnet.payload import Buffer
from dcmnet.registry._uids import UIDS
from dcmnet.registry.sop_classes import VERIFICATION

_SOP_CLASS, _SOP_INSTANCE = 0x0002 << 16, 0x1000 << 16
_REGISTERED: dict[bytes, str] = {}
_LENGTH_OF_CLASS = 16
"""Where the length of (0000,0002) is, its lowest byte first, where that comes behind (0000,0000)."""
_MAX_PATTERNS = 256


class Patterns:
    """The plain Command Sets of one kind of message, each packed and unpacked in one go.

    They differ in four values only: SOP class, two numbers, and the SOP instance, which is the last element.
    At all other places they have the very bytes of one that was encoded, or decoded, element by element.

    Args:
        numbers: Of all their elements.
        varying: Of the two numbers that vary.
    """

    __slots__ = ("_decoded", "_encoded", "_tags", "_varying")

    def __init__(self, numbers: tuple[int, ...], varying: tuple[int, int]) -> None:
        self._tags = [number << 16 for number in numbers]
        self._varying = frozenset((*(number << 16 for number in varying), _SOP_INSTANCE))
        self._encoded: dict[tuple[str, int], Pattern] = {}
        self._decoded: dict[int, Pattern] = {}

    def encode(self, values: tuple[Any, ...]) -> bytes | None:
        """The Command Set; None where none like it was encoded yet, or a value does not fit.

        Args:
            values: SOP class, SOP instance and the two numbers.
        """
        sop_class_uid, sop_instance_uid, first, second = values
        try:
            instance = encode_uid(sop_instance_uid)
            pattern = self._encoded.get((sop_class_uid, len(instance)))
        except (ValueError, TypeError, AttributeError):
            return None
        return None if pattern is None else pattern.pack(first, second, instance)

    def learn_to_encode(self, values: tuple[Any, ...], encoded: bytes) -> bytes:
        """Remember how a Command Set is encoded; returns it."""
        sop_class_uid, sop_instance_uid = values[:2]
        if sop_class_uid and sop_instance_uid:
            key = (sop_class_uid, (len(sop_instance_uid) + 1) & ~1)
            self._learn(self._encoded, key, encoded, self._varying)
        return encoded

    def decode(self, view: Buffer, limits: Limits) -> tuple[str, int, int, str] | None:
        """The values of a Command Set; None if none like it was decoded yet, or one is missing or no UID."""
        length = len(view)
        if not _LENGTH_OF_CLASS < length <= limits.max_command_set_length:
            return None
        pattern = self._decoded.get(length << 8 | view[_LENGTH_OF_CLASS])
        values = pattern and pattern.unpack(view)
        if not values:
            return None
        sop_class, first, second, instance = values
        tolerance: int = limits.tolerance._value_
        try:
            sop_class_uid = _REGISTERED.get(sop_class) or _decode_class(sop_class, tolerance)
            sop_instance_uid = decode_uid(instance, _SOP_INSTANCE, tolerance)
        except RemoteProtocolError:
            return None
        if sop_class_uid is None or sop_instance_uid is None:
            return None
        return sop_class_uid, first, second, sop_instance_uid

    def learn_to_decode(self, view: Buffer) -> None:
        """Remember what a Command Set that was decoded looks like."""
        key = len(view) << 8 | view[_LENGTH_OF_CLASS]
        self._learn(self._decoded, key, bytes(view), self._varying | {_SOP_CLASS})

    def _learn(
        self, patterns: dict[Any, Pattern], key: object, encoded: bytes, varying: frozenset[int]
    ) -> None:
        elements = list(_elements(encoded))
        plain = [tag for tag, _ in elements] == self._tags and all(
            len(raw) == 2 if tag in US_TAGS else raw for tag, raw in elements
        )
        if plain and UL_VALUE.unpack_from(encoded, 8)[0] == len(encoded) - 12:
            if len(patterns) >= _MAX_PATTERNS:
                patterns.clear()
            patterns[key] = Pattern(elements, varying)


class Pattern:
    """What the Command Sets with the same elements, equally long, have in common.

    Args:
        elements: Tag, as `HEADER` reads it, and value of each.
        varying: Tags of those whose value may be another one: a number (US), or bytes.

    Attributes:
        size: How long they are, in bytes.
    """

    __slots__ = ("_constants", "_pack", "_parts", "_unpack", "size")

    def __init__(self, elements: Iterable[tuple[int, bytes]], varying: frozenset[int]) -> None:
        constants = [b""]
        layout = ""
        for tag, raw in elements:
            constants[-1] += HEADER.pack(tag, len(raw))
            if tag in varying:
                layout += f"{len(constants[-1])}s{'H' if tag in US_TAGS else f'{len(raw)}s'}"
                constants.append(b"")
            else:
                constants[-1] += raw
        whole = struct.Struct(f"<{layout}{len(constants[-1])}s")  # behind the last value there may be nothing
        self._constants = tuple(constants)
        self._parts: list[Any] = [None] * (2 * len(constants) - 1)
        self._parts[::2] = constants
        self._pack, self._unpack = whole.pack, whole.unpack
        self.size: int = whole.size

    def pack(self, *values: Any) -> bytes | None:
        """A Command Set with these values, bytes of the right length; None where a number does not fit."""
        parts = self._parts.copy()
        parts[1::2] = values
        try:
            return self._pack(*parts)
        except struct.error:
            return None

    def unpack(self, view: Buffer) -> tuple[Any, ...] | None:
        """The values of a Command Set of that size; None where it has another pattern."""
        parts = self._unpack(view)
        return parts[1::2] if parts[::2] == self._constants else None


class Quick(NamedTuple):
    """How a message is encoded and decoded fast where `others`, all fields but four, are `plain`."""

    patterns: Patterns
    others: Callable[[Any], tuple[Any, ...]]
    plain: tuple[Any, ...]
    varying: Callable[[Any], tuple[Any, ...]]
    made_of: Callable[[str, int, int, str], Any]


def _decode_class(raw: bytes, tolerance: int) -> str | None:
    """Decode a SOP Class UID, and remember one of the registry, which needs no tolerance."""
    uid = decode_uid(raw, _SOP_CLASS, tolerance)
    if uid is not None and uid in UIDS and raw == encode_uid(uid):
        _REGISTERED[raw] = uid
    return uid


def _elements(encoded: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag, as `HEADER` reads it, and value of each element of a Command Set that was decoded before."""
    offset = 0
    while offset < len(encoded):
        tag, length = HEADER.unpack_from(encoded, offset)
        offset += 8 + length
        yield tag, encoded[offset - length : offset]


def _pattern(fields: Mapping[int, Value], *varying: int) -> Pattern:
    return Pattern(_elements(encode_command(fields)), frozenset(number << 16 for number in varying))


ECHO_RQ = _pattern({0x0002: VERIFICATION, 0x0100: 0x0030, 0x0110: 0, 0x0800: 0x0101}, 0x0110)
"""A C-ECHO-RQ (PS3.7 9.3.5.1); its Message ID varies."""

ECHO_RSP = _pattern(
    {0x0002: VERIFICATION, 0x0100: 0x8030, 0x0120: 0, 0x0800: 0x0101, 0x0900: 0}, 0x0120, 0x0900
)
"""A C-ECHO-RSP (PS3.7 9.3.5.2); Message ID Being Responded To and Status vary."""

BARE_RESPONSE = _pattern({0x0100: 0, 0x0120: 0, 0x0800: 0x0101, 0x0900: 0}, 0x0100, 0x0120, 0x0900)
"""A response that says nothing but its status, as some peers send them; Command Field and these two vary."""
