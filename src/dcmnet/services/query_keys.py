"""Matching keys as text, such as people write on a command line: `PatientName=DOE*`.

A key is an attribute, by its tag or its keyword, and a value: `0010,0010=DOE*`, `(0008,0052)=STUDY`,
`StudyDate=20200101-20201231`. One within a sequence has a path, such as
`ScheduledProcedureStepSequence[0].Modality=CT`.
Without `=` it is a return key, with nothing to match (PS3.4 C.2.2.1.3).
"""

from __future__ import annotations

from typing import NamedTuple

from dcmnet.limits import MAX_KEY_DEPTH, MAX_KEY_ITEMS

_HEXADECIMAL = frozenset("0123456789abcdefABCDEF")
_DIGITS = frozenset("0123456789")
_LONGEST_GROUP = 4


class Step(NamedTuple):
    """One attribute on the way to that of a key.

    Attributes:
        attribute: Its tag, or its keyword in the dictionary (PS3.6).
        item: Which item of its sequence the path goes on in, from 0; None where the path ends.
    """

    attribute: int | str
    item: int | None = None

    def __str__(self) -> str:
        name = self.attribute
        shown = name if isinstance(name, str) else f"({name >> 16:04x},{name & 0xFFFF:04x})"
        return shown if self.item is None else f"{shown}[{self.item}]"


class Key(NamedTuple):
    """A matching key.

    Attributes:
        path: From the top of the data set to the attribute. A last step with an item stands for the item,
            which is empty then.
        value: What to match; several values have backslashes between them. None for a return key.
    """

    path: tuple[Step, ...]
    value: str | None = None

    @property
    def name(self) -> str:
        """The path as text: keywords where it was given so, tags such as `(0010,0010)` else."""
        return ".".join(map(str, self.path))

    def __str__(self) -> str:
        return self.name if self.value is None else f"{self.name}={self.value}"


def parse_key(text: str) -> Key:
    """Read a key.

    Raises:
        ValueError: It is none; the message says what is wrong with it.
    """
    path: list[Step] = []
    position = 0
    while True:
        attribute, position = _attribute(text, position)
        item, position = _item(text, position)
        path.append(Step(attribute, item))
        if len(path) > MAX_KEY_DEPTH:
            raise ValueError(f"the path has more than {MAX_KEY_DEPTH} attributes")
        if position == len(text):
            return Key(tuple(path))
        sign, position = text[position], position + 1
        if sign == "=":
            return _with_value(path, text[position:])
        if sign != ".":
            raise ValueError(f"{sign!r} is not expected after {'.'.join(map(str, path))}")
        if item is None:
            raise ValueError(f"which item of {path[-1]} is meant? {path[-1]}[0] is the first one")


def _with_value(path: list[Step], value: str) -> Key:
    if path[-1].item is not None and value:
        raise ValueError(f"{path[-1]} is an item and has no value: name an attribute within it")
    return Key(tuple(path), value)


def _attribute(text: str, start: int) -> tuple[int | str, int]:
    """A tag or a keyword, and where it ends."""
    if text[start : start + 1] == "(":
        end = text.find(")", start)
        if end < 0:
            raise ValueError(f"the parenthesis at {text[start:]!r} is not closed")
        return _tag(text[start + 1 : end]), end + 1
    end = start
    while end < len(text) and text[end] not in "[.=,":
        end += 1
    if text[end : end + 1] == ",":
        comma = end
        end += 1
        while end < len(text) and text[end] in _HEXADECIMAL:
            end += 1
        return _tag(f"{text[start:comma]},{text[comma + 1 : end]}"), end
    return _keyword(text[start:end]), end


def _keyword(word: str) -> str:
    if not word:
        raise ValueError("there is no attribute: a tag such as 0010,0010, or a keyword such as PatientName")
    if not (word.isascii() and word.isalnum()):
        raise ValueError(f"{word!r} is neither a tag, such as 0010,0010, nor a keyword, such as PatientName")
    return word


def _tag(text: str) -> int:
    parts = text.split(",")
    if len(parts) != 2 or not all(_is_number(part) for part in parts):
        raise ValueError(f"{text!r} is no tag: two numbers of up to four hexadecimal digits, as 0010,0010")
    group, element = (int(part, 16) for part in parts)
    if group < 8:  # PS3.5 7.1: groups 0000 to 0006 are not those of data sets
        raise ValueError(f"({group:04x},{element:04x}) does not belong into a data set")
    return group << 16 | element


def _is_number(part: str) -> bool:
    return 0 < len(part) <= _LONGEST_GROUP and _HEXADECIMAL.issuperset(part)


def _item(text: str, start: int) -> tuple[int | None, int]:
    """The number of an item in brackets, if there are some, and where they end."""
    if text[start : start + 1] != "[":
        return None, start
    end = text.find("]", start)
    digits = text[start + 1 : end]
    if end < 0 or not digits or not _DIGITS.issuperset(digits):
        raise ValueError(f"{text[start : end + 1 or None]!r} names no item: [0] is the first one")
    if len(digits) > len(str(MAX_KEY_ITEMS)) or int(digits) >= MAX_KEY_ITEMS:
        raise ValueError(f"item {digits[:20]} is beyond the {MAX_KEY_ITEMS} that a key may ask for")
    return int(digits), end + 1
