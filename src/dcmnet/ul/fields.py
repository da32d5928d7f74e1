"""UIDs and AE titles as A-ASSOCIATE PDUs carry them (PS3.8 9.3.2, Annex F): strict out, tolerant in.

What should be a UID and is none is kept as a quoted, escaped text: it can be logged as it is, and it never
equals a UID, so that nothing is accepted, named or found by it.
"""

from __future__ import annotations

import re

from dcmnet.errors import LocalProtocolError, RemoteProtocolError
from dcmnet.limits import MAX_UID_LENGTH, Limits, Tolerance

AE_TITLE_LENGTH = 16

MAX_VERSION_NAME_LENGTH = 16
"""PS3.7 D.3.3.2.3: Implementation Version Name has 1 to 16 characters."""

_LONGEST_KEPT = MAX_UID_LENGTH + 4
"""Bytes that are kept of what is no UID: enough to see what is wrong with it."""

_DIGITS_AND_DOTS = re.compile(rb"[0-9.]{1,64}")
_CONFORMING_UID = re.compile(rb"(?=.{1,64}\Z)(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))*")
# PS3.5 6.2, AE: ISO 646 basic G0 set without backslash and control characters.
_AE_TITLE = re.compile(r"[\x20-\x5b\x5d-\x7e]{1,16}")
_NOT_ASCII_TEXT = re.compile(rb"[^\x20-\x7e]")


# UIDs


def is_uid(text: str) -> bool:
    """Whether a decoded text is a UID, and not what came in the place of one."""
    return _DIGITS_AND_DOTS.fullmatch(text.encode("ascii", "replace")) is not None


def uid_or_none(view: memoryview, tolerance: Tolerance) -> str | None:
    """The UID in `view`, None if it is not one."""
    raw = bytes(view)
    if Tolerance.PADDED_UID in tolerance:
        raw = raw.rstrip(b" \0")
    # PS3.5 9.1: at most 64 characters, digits and dots, no leading zeros in a component.
    pattern = _DIGITS_AND_DOTS if Tolerance.NONCONFORMING_UID in tolerance else _CONFORMING_UID
    return raw.decode("ascii") if pattern.fullmatch(raw) else None


def decode_uid(
    view: memoryview, limits: Limits, item_type: int, offset: int, unless: Tolerance = Tolerance.NONE
) -> str:
    """The UID that fills `view` (PS3.8 Annex F).

    Args:
        view: The bytes.
        limits: For the tolerances.
        item_type: The item that it is in, for the error message.
        offset: Where it is in the PDU, for the error message.
        unless: With this tolerance, bytes that are no UID become a quoted text.

    Raises:
        RemoteProtocolError: It is no UID.
    """
    uid = uid_or_none(view, limits.tolerance)
    if uid is not None:
        return uid
    raw = bytes(view[:_LONGEST_KEPT])
    if unless & limits.tolerance:
        return repr(raw)[1:]
    what = f"item {item_type:02X}H: {raw!r} at offset {offset}"
    raise RemoteProtocolError(f"{what}, expected a UID of 1 to {MAX_UID_LENGTH} digits and dots")


def encode_uid(uid: str, what: str) -> bytes:
    """A UID, not padded (PS3.8 Annex F). Raises LocalProtocolError unless it is 1 to 64 digits and dots."""
    raw = uid.encode("ascii", "replace")
    if not _DIGITS_AND_DOTS.fullmatch(raw):
        raise LocalProtocolError(f"{what} {uid!r}: expected a UID of 1 to {MAX_UID_LENGTH} digits and dots")
    return raw


def escaped(view: memoryview) -> str:
    """The beginning of what is no UID as printable ASCII; other bytes and backslashes are escaped."""
    return bytes(view[:_LONGEST_KEPT]).decode("latin-1").encode("unicode_escape").decode("ascii")


# Implementation version names


def encode_version_name(name: str) -> bytes:
    """An Implementation Version Name. Raises LocalProtocolError unless it is 1 to 16 ASCII characters."""
    raw = name.encode("ascii", "replace")
    if len(raw) > MAX_VERSION_NAME_LENGTH or not name.isascii() or _NOT_ASCII_TEXT.search(raw):
        raise LocalProtocolError(
            f"implementation version name {name!r}: expected 1 to {MAX_VERSION_NAME_LENGTH} ASCII characters"
        )
    return raw


def decode_version_name(view: memoryview) -> str:
    """An Implementation Version Name, made safe to show: an association never fails for it."""
    raw = bytes(view[:MAX_VERSION_NAME_LENGTH]).rstrip(b" \0")
    return _NOT_ASCII_TEXT.sub(b"?", raw).decode("ascii")


# AE titles


def is_ae_title(title: str) -> bool:
    """Whether a text can be sent as an AE title: 1 to 16 characters of the basic G0 set, no backslash."""
    return _AE_TITLE.fullmatch(title.strip(" ")) is not None


def encode_ae_title(title: str, which: str) -> bytes:
    """The 16 bytes of an AE title, padded with spaces (PS3.8 Table 9-11).

    Args:
        title: 1 to 16 characters; spaces at both ends are not significant.
        which: `called` or `calling`, for the error message.

    Raises:
        LocalProtocolError: It is empty, longer, or has characters that an AE title may not have.
    """
    if not is_ae_title(title):
        raise LocalProtocolError(
            f"{which} AE title {title!r}: expected 1 to {AE_TITLE_LENGTH} ASCII characters, "
            "no backslash, no control characters"
        )
    return title.strip(" ").encode("ascii").ljust(AE_TITLE_LENGTH)


def decode_ae_title(raw: bytes, limits: Limits, which: str) -> str:
    """An AE title of an A-ASSOCIATE-RQ without its padding; bytes beyond ASCII as Latin-1.

    Raises:
        RemoteProtocolError: It has characters that an AE title may not have, and that is not tolerated.
    """
    # PS3.8 Table 9-11: ISO 646 basic G0 set; leading and trailing spaces are not significant.
    if Tolerance.NONCONFORMING_AE_TITLE in limits.tolerance:
        return raw.strip(b" \0").decode("latin-1")
    if _NOT_ASCII_TEXT.search(raw):
        raise RemoteProtocolError(
            f"A-ASSOCIATE-RQ: {which} AE title {raw!r}, expected printable ASCII characters"
        )
    return raw.decode("ascii").strip(" ")


def echo_ae_title(title: str) -> bytes:
    """An AE title field that its receiver does not test."""
    raw = title.encode("latin-1", "replace")
    if len(raw) > AE_TITLE_LENGTH:
        raise LocalProtocolError(f"AE title {title!r}: expected at most {AE_TITLE_LENGTH} characters")
    return raw.ljust(AE_TITLE_LENGTH)
