"""Single values as they are encoded: what they are as text, and whether they are valid (PS3.5 6.2)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

IN_CHARACTER_SET = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))
TEXT = IN_CHARACTER_SET | frozenset(("AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"))
ONE_VALUE = frozenset(("LT", "ST", "UR", "UT"))
NUMBERS = {"AT": "", "FD": "d", "FL": "f", "SL": "l", "SS": "h", "SV": "q", "UL": "L", "US": "H", "UV": "Q"}
"""The VRs of binary numbers, and what pydicom calls those that are no tags."""

SIZES = {
    **{"AT": 4, "FD": 8, "FL": 4, "SL": 4, "SS": 2, "SV": 8, "UL": 4, "US": 2, "UV": 8},
    **{"OD": 8, "OF": 4, "OL": 4, "OV": 8, "OW": 2},
}
"""Bytes of one value, of each VR that consists of values of fixed length."""

_DATE = r"\d{4}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
_TIME = r"([01]\d|2[0-3])([0-5]\d(([0-5]\d|60)(\.\d{1,6})?)?)?"
# PS3.5 6.2: also the forms of ACR-NEMA, which it keeps for what is old.
_FORMS = {
    "AS": re.compile(r"\d{3}[DWMY]"),
    "DA": re.compile(rf"{_DATE}|\d{{4}}\.\d\d\.\d\d"),
    "DT": re.compile(rf"(\d{{4}}|\d{{4}}(0[1-9]|1[0-2])|{_DATE}|{_DATE}{_TIME})([+-](0\d|1[0-4])[0-5]\d)?"),
    "TM": re.compile(rf"{_TIME}|\d\d:\d\d(:\d\d(\.\d{{1,6}})?)?"),
    "UI": re.compile(r"(?=.{1,64}$)(0|[1-9]\d*)(\.(0|[1-9]\d*))*"),
}
_INTEGER = re.compile(r"[+-]?\d{1,12}")
_DECIMAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_MOST_GROUPS, _MOST_COMPONENTS = 3, 5  # PS3.5 6.2.1.1: of a PN, and of each group


def encodings_named(text: str) -> Any:
    """Python's encodings for a Specific Character Set (0008,0005); None if it names none that is known."""
    from dcmnet.dataset.bridge import convert_encodings

    named = [name.strip(" \0") for name in text.split("\\")]
    if not any(named):
        return None
    try:
        return convert_encodings(named)
    except (LookupError, ValueError):
        return None


def vr_in_dictionary(tag: int, creators: Mapping[int, str]) -> str:
    """The VR of an attribute that does not say its own.

    Args:
        tag: Of the attribute.
        creators: The Private Creators of the same item, by their tags.
    """
    from dcmnet.dataset.bridge import dictionary_VR, private_dictionary_VR

    group, number = tag >> 16, tag & 0xFFFF
    if number == 0:
        return "UL"
    if group & 1 and 0x10 <= number <= 0xFF:
        return "LO"
    try:
        if group & 1:
            return private_dictionary_VR(tag, creators.get(group << 16 | number >> 8, ""))
        vr = dictionary_VR(tag)
    except KeyError:
        return "UN"
    # PS3.5 A.1: what has several VRs is a number, or words.
    return ("OW" if "OW" in vr else "US") if " or " in vr else vr


def read_value(vr: str, value: bytes, encodings: Any, *, little_endian: bool) -> tuple[str, str]:
    """A value as text, several with backslashes between them, and why it is no valid one, or ""."""
    if not value:
        return "", ""
    size = SIZES.get(vr, 1)
    if len(value) % size:
        return bytes_as_text(value), f"{len(value)} bytes, and {vr} has {size} a value"
    if vr in NUMBERS:
        shown = _tag_text if vr == "AT" else str
        return "\\".join(map(shown, numbers(vr, value, little_endian=little_endian))), ""
    if vr in TEXT:
        text, fault = _decoded(value, encodings) if vr in IN_CHARACTER_SET else (value.decode("latin-1"), "")
        return text, fault or _text_fault(vr, text)
    digits, width = value.hex(), 4 if vr == "OW" else 2
    return "\\".join(digits[start : start + width] for start in range(0, len(digits), width)), ""


def bytes_as_text(value: bytes) -> str:
    """Bytes that are no valid value: as text if they look like it, as hexadecimal digits if they do not."""
    text = value.rstrip(b"\0").decode("latin-1")
    if text and text.isascii() and text.isprintable():
        return text
    return value.hex("\\")


def numbers(vr: str, value: bytes, *, little_endian: bool) -> list[Any]:
    """The numbers of a valid value of `NUMBERS`; those of AT are tags."""
    from dcmnet.dataset.bridge import convert_numbers, convert_tag

    if vr == "AT":
        return [int(convert_tag(value, little_endian, start)) for start in range(0, len(value), 4)]
    found = convert_numbers(value, little_endian, NUMBERS[vr])
    return list(found) if isinstance(found, list) else [found]


def number_of(vr: str, text: str) -> int | float | None:
    """The number that a DS or IS stands for; None if it stands for none, or one that is too large."""
    text = text.strip(" \0")
    if vr == "IS":
        # PS3.5 6.2: from -2^31 to 2^31 - 1
        return number if _INTEGER.fullmatch(text) and -(2**31) <= (number := int(text)) < 2**31 else None
    decimal = float(text) if _DECIMAL.fullmatch(text) else math.inf
    return decimal if math.isfinite(decimal) else None


def _tag_text(tag: int) -> str:
    return f"({tag >> 16:04x},{tag & 0xFFFF:04x})"


def _decoded(value: bytes, encodings: Any) -> tuple[str, str]:
    from dcmnet.dataset.bridge import TEXT_VR_DELIMS, decode_bytes

    try:
        text = decode_bytes(value, encodings or ["iso8859"], TEXT_VR_DELIMS)
    except (LookupError, ValueError):
        text = "\ufffd"
    if "\ufffd" in text and b"\xef\xbf\xbd" not in value:  # what pydicom puts in place of bytes that are none
        return value.decode("latin-1"), "it is no text in its character set"
    return text, ""


def _text_fault(vr: str, text: str) -> str:
    fault_of = _FAULTS.get(vr)
    if fault_of is None:
        return ""
    values = (each.strip(" \0") for each in text.split("\\"))
    return next((fault for each in values if each and (fault := fault_of(each))), "")


def _of_form(vr: str) -> Callable[[str], str]:
    fullmatch = _FORMS[vr].fullmatch
    return lambda text: "" if fullmatch(text) else f"it is no valid {vr}"


def _number_fault(vr: str) -> Callable[[str], str]:
    return lambda text: f"it is no valid {vr}, or too large" if number_of(vr, text) is None else ""


def _name_fault(text: str) -> str:
    groups = text.split("=")
    if len(groups) > _MOST_GROUPS:
        return f"{len(groups)} component groups, and PN has {_MOST_GROUPS} at most"
    most = max(group.count("^") + 1 for group in groups)
    return f"{most} components, and PN has {_MOST_COMPONENTS} at most" if most > _MOST_COMPONENTS else ""


_FAULTS: dict[str, Callable[[str], str]] = {
    **{vr: _of_form(vr) for vr in _FORMS},
    **{vr: _number_fault(vr) for vr in ("DS", "IS")},
    "PN": _name_fault,
}
