"""What numbers in a message stand for: priorities, classes of statuses and their details (PS3.7 Annex C)."""

from __future__ import annotations

import enum


class Priority(enum.IntEnum):
    """Priority (0000,0700), PS3.7 9.3.1.1."""

    MEDIUM = 0
    HIGH = 1
    LOW = 2


class StatusClass(enum.Enum):
    """What a status says, PS3.7 Annex C."""

    SUCCESS = "success"
    WARNING = "warning"
    FAILURE = "failure"
    CANCEL = "cancel"
    PENDING = "pending"
    UNKNOWN = "unknown"


# PS3.7 Annex C: the statuses that stand outside the ranges, or alone.
_STATUS_CLASSES = {
    0x0000: StatusClass.SUCCESS,
    0x0001: StatusClass.WARNING,
    0x0107: StatusClass.WARNING,
    0x0116: StatusClass.WARNING,
    0xFE00: StatusClass.CANCEL,
    0xFF00: StatusClass.PENDING,
    0xFF01: StatusClass.PENDING,
}


def status_class(status: int) -> StatusClass:
    """The class of a status, by the ranges of PS3.7 Annex C."""
    known = _STATUS_CLASSES.get(status)
    if known is not None:
        return known
    if status >> 12 in (0xA, 0xC) or status >> 8 in (0x01, 0x02):
        return StatusClass.FAILURE
    return StatusClass.WARNING if status >> 12 == 0xB else StatusClass.UNKNOWN


def status_details(comment: str, offending_element: tuple[int, ...], error_id: int | None) -> str:
    """What a response says beside its status (PS3.7 Annex C), for people, or "".

    One line without control characters, whatever the peer has sent.

    Args:
        comment: Error Comment (0000,0902).
        offending_element: Tags of Offending Element (0000,0901).
        error_id: Error ID (0000,0903).
    """
    found = [_escaped(comment)] if comment else []
    if offending_element:
        found.append(f"offending element {', '.join(map(tag_text, offending_element))}")
    if error_id is not None:
        found.append(f"error ID {error_id}")
    return "; ".join(found)


def tag_text(tag: int) -> str:
    """A tag as the standard prints it: "(0010,0020)"."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _escaped(text: str) -> str:
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
