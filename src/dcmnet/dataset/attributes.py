"""A few attributes from the beginning of a stored data set; the rest of it is not read."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from typing import Any, BinaryIO

from dcmnet.errors import InputFileError
from dcmnet.limits import MAX_HEAD_LENGTH
from dcmnet.registry.transfer_syntaxes import is_big_endian, is_deflated, is_implicit

_SPECIFIC_CHARACTER_SET = 0x00080005
_STEP = 1 << 16


def read_attributes(
    path: str, offset: int, transfer_syntax: str, keywords: Sequence[str], *, name: str
) -> dict[str, str]:
    """The values of some attributes of a data set's own level, as text.

    Args:
        path: The file.
        offset: Where in it the data set begins.
        transfer_syntax: UID of the one it is in.
        keywords: Of the attributes, as PS3.6 has them.
        name: What to call the data set in an error.

    Returns:
        A text for each keyword: empty where the attribute is missing or empty; of several values the first.

    Raises:
        InputFileError: The data set cannot be read so far.
    """
    from pydicom.datadict import tag_for_keyword
    from pydicom.filereader import read_dataset

    tags = [tag for keyword in keywords if (tag := tag_for_keyword(keyword)) is not None]
    last = max(tags)
    with open(path, "rb") as file:
        file.seek(offset)
        try:
            source = _inflated(file) if is_deflated(transfer_syntax) else file
            found = read_dataset(
                source,
                is_implicit_VR=is_implicit(transfer_syntax),
                is_little_endian=not is_big_endian(transfer_syntax),
                stop_when=lambda tag, vr, length: tag > last,
                specific_tags=[*tags, _SPECIFIC_CHARACTER_SET],
            )
            return {keyword: _text(found.get(keyword)) for keyword in keywords}
        except Exception as error:  # what bad content makes pydicom raise depends on its kind
            raise InputFileError(name, f"cannot be read: {error}") from error


def _text(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) and isinstance(value, Sequence):
        value = value[0] if len(value) else ""
    return str(value).strip(" \0")


def _inflated(file: BinaryIO) -> BinaryIO:
    """As much of a deflated data set as is looked into."""
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    head = bytearray()
    while len(head) < MAX_HEAD_LENGTH and not inflater.eof:
        deflated = inflater.unconsumed_tail or file.read(_STEP)
        inflated = inflater.decompress(deflated, _STEP)
        if not (deflated or inflated):
            break
        head += inflated
    return io.BytesIO(head)
