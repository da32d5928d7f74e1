"""What compressed images begin with, and the transfer syntaxes that they may be labelled with (PS3.5 A.4)."""

from __future__ import annotations

from dcmnet.payload import Buffer
from dcmnet.registry.transfer_syntaxes import (
    HTJ2K,
    HTJ2K_LOSSLESS,
    HTJ2K_LOSSLESS_RPCL,
    JPEG_2000,
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE_8BIT,
    JPEG_EXTENDED_12BIT,
    JPEG_LOSSLESS,
    JPEG_LOSSLESS_SV1,
    JPEG_LS_LOSSLESS,
    JPEG_LS_NEAR_LOSSLESS,
    RLE_LOSSLESS,
)

_JPEG = (
    JPEG_BASELINE_8BIT,
    JPEG_EXTENDED_12BIT,
    JPEG_LOSSLESS,
    JPEG_LOSSLESS_SV1,
    JPEG_LS_LOSSLESS,
    JPEG_LS_NEAR_LOSSLESS,
)
_JPEG_2000 = (JPEG_2000, JPEG_2000_LOSSLESS, HTJ2K, HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL)
_BEGINNINGS = ((b"\xff\xd8\xff", _JPEG, "JPEG"), (b"\xff\x4f\xff\x51", _JPEG_2000, "JPEG 2000"))
_KNOWN = frozenset((*_JPEG, *_JPEG_2000, RLE_LOSSLESS))

LONGEST_BEGINNING = 4
"""Bytes of a code stream that show what it is."""


def foreign_codec(codestream: Buffer, transfer_syntax: str) -> str:
    """The name of the codec that a code stream is of, if its transfer syntax is one of another codec.

    Args:
        codestream: The first bytes of the first fragment behind the Basic Offset Table.
        transfer_syntax: UID.

    Returns:
        "" if the two agree, or if that cannot be told.
    """
    if transfer_syntax in _KNOWN:
        for beginning, family, name in _BEGINNINGS:
            if bytes(codestream[: len(beginning)]) == beginning and transfer_syntax not in family:
                return name
    return ""
