"""A few attributes from the beginning of a stored data set; the rest of it is not read."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import BinaryIO

from dcmnet.dataset.elements import Allowance, Element, MalformedDataSet, leading_elements, refusal
from dcmnet.dataset.quiet import silently
from dcmnet.dataset.representations import IN_CHARACTER_SET, public_vr
from dcmnet.dataset.values import ONE_VALUE, encodings_named, read_value
from dcmnet.errors import InputFileError
from dcmnet.limits import MAX_HEAD_LENGTH, MAX_IDENTIFIER_ELEMENTS, MAX_IDENTIFIER_ITEMS, Limits
from dcmnet.payload import Buffer
from dcmnet.registry.transfer_syntaxes import is_big_endian, is_deflated, is_implicit

_SPECIFIC_CHARACTER_SET = 0x00080005
_STEP = 1 << 16
# What objects are sorted by: the whole dictionary is not loaded for these.
_KNOWN = {
    "StudyInstanceUID": (0x0020000D, "UI"),
    "SeriesDate": (0x00080021, "DA"),
    "PatientName": (0x00100010, "PN"),
}
_VRS = dict(_KNOWN.values())


@silently
def read_attributes(
    path: str,
    offset: int,
    transfer_syntax: str,
    keywords: Sequence[str],
    *,
    name: str,
    limits: Limits | None = None,
) -> dict[str, str]:
    """The values of some attributes of a data set's own level, as text.

    Args:
        path: The file.
        offset: Where in it the data set begins.
        transfer_syntax: UID of the one it is in.
        keywords: Of the attributes, as PS3.6 has them.
        name: What to call the data set in an error.
        limits: How much is read for them; as for an identifier unless given.

    Returns:
        A text for each keyword: empty if the attribute is missing, empty or a sequence; of several values the
        first.

    Raises:
        LimitExceeded: There is too much in front of them.
        InputFileError: The data set cannot be read so far.
    """
    tags = {keyword: tag for keyword in keywords if (tag := _tag_of(keyword)) is not None}
    if not tags:
        return dict.fromkeys(keywords, "")
    wanted = frozenset((*tags.values(), _SPECIFIC_CHARACTER_SET))
    elements, items = MAX_IDENTIFIER_ELEMENTS, MAX_IDENTIFIER_ITEMS
    if limits is not None:
        elements, items = limits.max_identifier_elements, limits.max_identifier_items
    implicit, little = is_implicit(transfer_syntax), not is_big_endian(transfer_syntax)
    with open(path, "rb") as file:
        file.seek(offset)
        try:
            read = _inflating(file) if is_deflated(transfer_syntax) else _reading(file, offset)
            leading = leading_elements(
                read,
                max(tags.values()),
                wanted,
                implicit=implicit,
                little=little,
                allowance=Allowance(elements, items),
            )
            found = {element.tag: element for element in leading}
        except MalformedDataSet as error:
            raise refusal(name, error, "cannot be read: it ") from None
        except zlib.error as error:
            raise InputFileError(name, f"cannot be read: {error}") from None
    encodings = None
    if (charset := found.get(_SPECIFIC_CHARACTER_SET)) is not None:
        encodings = bytes(charset.value).decode("latin-1")
    return {
        keyword: _text(found.get(tags.get(keyword, 0)), encodings, little_endian=little)
        for keyword in keywords
    }


def _tag_of(keyword: str) -> int | None:
    if keyword in _KNOWN:
        return _KNOWN[keyword][0]
    from dcmnet.dataset.bridge import tag_for_keyword

    return tag_for_keyword(keyword)


def _text(element: Element | None, character_set: str | None, *, little_endian: bool) -> str:
    if element is None or element.items is not None:
        return ""
    value = bytes(element.value)
    vr = element.vr or _VRS.get(element.tag) or public_vr(element.tag).partition(" ")[0]
    is_plain = value.isascii() and b"\x1b" not in value  # which is the same in every character set
    encodings = None if is_plain or not character_set else encodings_named(character_set)
    if is_plain and vr in IN_CHARACTER_SET:
        text = value.decode("ascii")
    else:
        text, _ = read_value(vr, value, encodings, little_endian=little_endian)
    return (text if vr in ONE_VALUE else text.partition("\\")[0]).strip(" \0")


def _reading(file: BinaryIO, start: int) -> Callable[[int, int], Buffer]:
    def read(offset: int, count: int) -> Buffer:
        file.seek(start + offset)
        return file.read(count)

    return read


def _inflating(file: BinaryIO) -> Callable[[int, int], Buffer]:
    """As much of a deflated data set as is looked into."""
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    head = bytearray()
    while len(head) < MAX_HEAD_LENGTH and not inflater.eof:
        deflated = inflater.unconsumed_tail or file.read(_STEP)
        inflated = inflater.decompress(deflated, _STEP)
        if not (deflated or inflated):
            break
        head += inflated
    return lambda offset, count: bytes(head[offset : offset + count])
