"""Names, keywords and validity of unique identifiers (PS3.5 clause 9, PS3.6 Annex A)."""

from __future__ import annotations

import re
from functools import cache

from dcmnet.limits import MAX_UID_LENGTH, Tolerance
from dcmnet.registry._uids import UIDS
from dcmnet.registry.dcmtk_names import DCMTK_NAMES, OTHER_NAMES

APPLICATION_CONTEXT_NAME = "1.2.840.10008.3.1.1.1"
"""DICOM Application Context Name (PS3.7 A.2.1)."""

_DIGITS_AND_DOTS = re.compile(r"[0-9]+(\.[0-9]+)*")
_CONFORMING = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))*")
_BETWEEN_DIGITS = re.compile(r"[0-9](?:[0-9.]*[0-9])?")  # without groups that are repeated, quicker
_NONCONFORMING_UID: int = Tolerance.NONCONFORMING_UID.value


def name_of(uid: str) -> str:
    """The name of a UID in PS3.6; the UID itself when it is not registered."""
    entry = UIDS.get(uid)
    return entry[0] if entry else uid


def keyword_of(uid: str) -> str:
    """The keyword of a UID in PS3.6; the UID itself when it is not registered."""
    entry = UIDS.get(uid)
    return entry[1] if entry else uid


def dcmtk_name_of(uid: str) -> str:
    """What DCMTK prints for a UID: its own name, else the keyword, else the UID itself."""
    return DCMTK_NAMES.get(uid) or keyword_of(uid)


def uid_for(keyword_or_uid: str) -> str:
    """The UID for a keyword of PS3.6 or a name of DCMTK; digits and dots are returned as they are.

    Raises:
        ValueError: The text is neither.
    """
    if _DIGITS_AND_DOTS.fullmatch(keyword_or_uid):
        return keyword_or_uid
    uid = _uids_by_keyword().get(keyword_or_uid)
    if uid is None:
        raise ValueError(
            f"{keyword_or_uid!r} is neither a UID nor a keyword of the registry, such as CTImageStorage"
        )
    return uid


@cache
def _uids_by_keyword() -> dict[str, str]:
    found = dict(OTHER_NAMES)
    found.update((name, uid) for uid, name in DCMTK_NAMES.items())
    # The standard's keywords come last: whatever DCMTK calls a UID, a keyword keeps its meaning.
    found.update((entry[1], uid) for uid, entry in UIDS.items())
    return found


def is_valid_uid(text: str, tolerance: Tolerance = Tolerance.NONE) -> bool:
    """Whether a text is a UID: 1 to 64 characters, numbers joined by dots, without padding.

    Args:
        text: The text, already without the padding that PS3.5 9.1 allows in a data set.
        tolerance: With `Tolerance.NONCONFORMING_UID`, numbers may have leading zeros; others are ignored.
    """
    # PS3.5 9.1: each component is a number, the first digit of a number shall not be zero unless it is the
    # only one; the whole shall not exceed 64 characters.
    if len(text) > MAX_UID_LENGTH:
        return False
    if tolerance._value_ & _NONCONFORMING_UID:
        return ".." not in text and _BETWEEN_DIGITS.fullmatch(text) is not None
    return _CONFORMING.fullmatch(text) is not None
