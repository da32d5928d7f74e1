"""Identifiers in the DICOM JSON Model (PS3.18 Annex F), which is JSON whatever the values are."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Iterable
from typing import Any

from dcmnet.dataset.content import UNKNOWN_VR, Content, Element
from dcmnet.dataset.values import NUMBERS, ONE_VALUE, SIZES, TEXT, number_of, numbers

_NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


def to_json_model(content: Content) -> dict[str, Any]:
    """The data set in the DICOM JSON Model.

    The bytes of what is no valid number, and no sequence of items, are there as those of VR UN; text is there
    as it came, valid or not.
    """
    return _model(content.elements, content.little_endian)


def _model(elements: Iterable[Element], little_endian: bool) -> dict[str, Any]:
    # PS3.18 F.2.2: in ascending order, without group lengths
    chosen = sorted((each for each in elements if each.tag & 0xFFFF), key=lambda element: element.tag)
    return {f"{element.tag:08X}": _attribute(element, little_endian) for element in chosen}


def _attribute(element: Element, little_endian: bool) -> dict[str, Any]:
    vr = element.vr
    if element.items is not None:
        return {"vr": vr, "Value": [_model(item.elements, little_endian) for item in element.items]}
    if not element.value:
        return {"vr": "UN" if vr == UNKNOWN_VR else vr}
    if vr in TEXT:
        return {"vr": vr, "Value": _texts(vr, element.text)}
    is_whole = not len(element.value) % SIZES.get(vr, 1)
    if vr in NUMBERS and is_whole:
        found = numbers(vr, element.value, little_endian=little_endian)
        return {"vr": vr, "Value": [f"{each:08X}" if vr == "AT" else _finite(each) for each in found]}
    if vr in NUMBERS or vr in ("SQ", UNKNOWN_VR) or not is_whole:
        return {"vr": "UN", "InlineBinary": b64encode(element.value).decode()}
    # PS3.18 F.2.7: little endian
    value = element.value if little_endian else _swapped(element.value, SIZES.get(vr, 1))
    return {"vr": vr, "InlineBinary": b64encode(value).decode()}


def _texts(vr: str, text: str) -> list[Any]:
    if vr in ONE_VALUE:
        return [text.rstrip(" \0")]
    values = (each.strip(" \0") for each in text.split("\\"))
    # PS3.18 F.2.5: an empty value among others is null
    return [_text(vr, each) if each else None for each in values]


def _text(vr: str, text: str) -> Any:
    if vr == "PN":
        # A group that a name must not have stays with the last one: nothing is lost.
        groups = text.split("=", len(_NAME_GROUPS) - 1)
        return {name: group for name, group in zip(_NAME_GROUPS, groups, strict=False) if group}
    if vr in ("DS", "IS"):
        number = number_of(vr, text)
        # PS3.18 F.2.3: a string preserves what is no number of JSON
        return text if number is None else number
    return text


def _finite(number: float) -> int | float | str:
    # RFC 8259 6: JSON has no such numbers.
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"


def _swapped(value: bytes, size: int) -> bytes:
    return b"".join(value[start : start + size][::-1] for start in range(0, len(value), size))
