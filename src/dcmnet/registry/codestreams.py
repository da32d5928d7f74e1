"""What compressed images begin with, and the transfer syntaxes that they may be labelled with (PS3.5 A.4)."""

from __future__ import annotations

import re

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
_BEGINNINGS = (
    (re.compile(rb"\xff\xd8\xff"), _JPEG, "JPEG"),
    (re.compile(rb"\xff\x4f\xff\x51"), _JPEG_2000, "JPEG 2000"),
    # PS3.5 G.5: the number of segments, at most 15, and where the first begins: behind a header of 64 bytes
    (re.compile(rb"[\x01-\x0f]\0\0\0\x40\0\0\0"), (RLE_LOSSLESS,), "RLE"),
)
_KNOWN = frozenset((*_JPEG, *_JPEG_2000, RLE_LOSSLESS))

LONGEST_BEGINNING = 8
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
            if beginning.match(codestream) and transfer_syntax not in family:
                return name
    return ""
