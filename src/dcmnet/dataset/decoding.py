"""Compressed pixel data, decompressed by pydicom's decoders, which are loaded when the first is asked for."""

from __future__ import annotations

import copy
from typing import Any

from dcmnet.dataset import DECODABLE
from dcmnet.dataset.elements import split_fragments
from dcmnet.errors import InputFileError
from dcmnet.limits import MAX_DECOMPRESSED_LENGTH
from dcmnet.registry.transfer_syntaxes import LOSSLESS
from dcmnet.registry.uids import name_of

_PIXEL_DATA = 0x7FE00010


def decompressed(data_set: Any, transfer_syntax: str, name: str) -> Any:
    """The data set itself, decompressed: Explicit VR Little Endian then."""
    from dcmnet.dataset.bridge import decompress, get_decoder

    if _PIXEL_DATA not in data_set:  # an encapsulated data set is in Explicit VR Little Endian (PS3.5 A.4)
        return data_set
    if not get_decoder(transfer_syntax).is_available:
        raise InputFileError(
            name,
            f"is in {name_of(transfer_syntax)}, and cannot be decompressed: "
            "there is no decoder for it (pip install 'dcmnet[codecs]' installs one)",
        )
    length = _decompressed_length(data_set)
    if length > MAX_DECOMPRESSED_LENGTH:
        raise InputFileError(
            name, f"has {length} bytes of pixel data when decompressed, more than {MAX_DECOMPRESSED_LENGTH}"
        )
    # A lossless codec gives back what was compressed, whatever its colours; a lossy one's YCbCr few can read.
    as_rgb = transfer_syntax not in LOSSLESS
    try:
        for icon in data_set.get("IconImageSequence") or ():
            if _PIXEL_DATA in icon and split_fragments(icon.PixelData or b""):  # it may be native as well
                icon.file_meta = copy.copy(data_set.file_meta)
                decompress(icon, as_rgb=as_rgb, generate_instance_uid=False)
        return decompress(data_set, as_rgb=as_rgb, generate_instance_uid=False)
    except Exception as error:  # it depends on the decoder
        raise InputFileError(name, f"cannot be decompressed: {error}") from error


def _decompressed_length(data_set: Any) -> int:
    length = (int(data_set.get("BitsAllocated", 8) or 8) + 7) // 8
    for keyword in ("Rows", "Columns", "SamplesPerPixel", "NumberOfFrames"):
        length *= int(data_set.get(keyword, 1) or 1)
    return length


def decoders() -> list[tuple[str, bool]]:
    """The transfer syntaxes that can be decompressed in principle, and whether a decoder is installed."""
    from dcmnet.dataset.bridge import get_decoder

    return [(uid, get_decoder(uid).is_available) for uid in DECODABLE]
