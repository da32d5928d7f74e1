"""Identifiers for people: a dump as DCMTK prints it, and single values.

Values are shown as they are encoded: what is no valid value of its attribute is shown all the same, with what
is wrong with it. Control characters are left to whatever writes the text somewhere.
"""

from __future__ import annotations

from collections.abc import Iterator

from dcmnet.dataset.content import Content, Element, Item, element_with, read_elements
from dcmnet.dataset.keys import tags_of
from dcmnet.dataset.values import TEXT
from dcmnet.payload import Buffer
from dcmnet.registry._uids import UIDS
from dcmnet.registry.transfer_syntaxes import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from dcmnet.registry.uids import dcmtk_name_of, name_of
from dcmnet.services.query_keys import Key

_TRANSFER_SYNTAXES = {
    IMPLICIT_VR_LITTLE_ENDIAN: "Little Endian Implicit",
    EXPLICIT_VR_LITTLE_ENDIAN: "Little Endian Explicit",
    EXPLICIT_VR_BIG_ENDIAN: "Big Endian Explicit",
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN: "Deflated Explicit VR Little Endian",
}
_STRUCTURE = {
    0xFFFEE000: "Item",
    0xFFFEE00D: "ItemDelimitationItem",
    0xFFFEE0DD: "SequenceDelimitationItem",
}
_VALUE_WIDTH = 40


def dump(data: Buffer, transfer_syntax: str, *, checked: bool = True) -> Iterator[str]:
    """The lines of a dump, without line breaks.

    Args:
        data: An identifier.
        transfer_syntax: UID of the one that it is in.
        checked: Say what is wrong with values that are not valid; those of a query have wildcards.
    """
    yield "# Dicom-Data-Set"
    yield f"# Used TransferSyntax: {transfer_syntax_name(transfer_syntax)}"
    content = read_elements(data, transfer_syntax)
    yield from _dump(content.elements, 0, checked)
    if content.fault:
        yield f"# the identifier {content.fault}"


def transfer_syntax_name(uid: str) -> str:
    """What DCMTK calls a transfer syntax in dumps and in XML."""
    return _TRANSFER_SYNTAXES.get(uid) or name_of(uid)


def value_at(content: Content, key: Key) -> tuple[str, str]:
    """What a data set has for a key, without padding: several values with backslashes between them.

    Args:
        content: A match.
        key: Its path alone counts.

    Returns:
        The text, "" if there is nothing, or the path ends with a sequence or an item; and why the value, or
        a sequence on the way to it, is not valid, or "".

    Raises:
        InputFileError: An attribute of the path is unknown.
    """
    elements = content.elements
    for tag, number in tags_of(key):
        element = element_with(tag, elements)
        if element is None:
            return "", ""
        if number is None:
            return element.text.strip(" \0"), element.fault
        if element.items is None or number >= len(element.items):
            return "", element.fault
        elements = element.items[number].elements
    return "", ""


# ---------------------------------------------------------------------- dumps


def _dump(elements: tuple[Element, ...], depth: int, checked: bool) -> Iterator[str]:
    for element in elements:
        line = _line(depth, element.tag, element.vr, _shown(element), element.length, element.multiplicity)
        yield f"{line} (invalid: {element.fault})" if element.fault and checked else line
        if element.items is not None:
            yield from _dump_items(element.items, depth + 1, checked)
            if element.length is None:
                text = "(SequenceDelimitationItem)"
            else:
                text = "(SequenceDelimitationItem for re-encod.)"
            yield _line(depth, 0xFFFEE0DD, "na", text, 0, 0)


def _dump_items(items: tuple[Item, ...], depth: int, checked: bool) -> Iterator[str]:
    for item in items:
        kind = "undefined" if item.length is None else "explicit"
        text = f"(Item with {kind} length #={len(item.elements)})"
        yield _line(depth, 0xFFFEE000, "na", text, item.length, 1)
        yield from _dump(item.elements, depth + 1, checked)
        text = "(ItemDelimitationItem)" if item.length is None else "(ItemDelimitationItem for re-encoding)"
        yield _line(depth, 0xFFFEE00D, "na", text, 0, 0)


def _line(depth: int, tag: int, vr: str, value: str, length: int | None, multiplicity: int) -> str:
    size = "u/l" if length is None else f"{length:3}"
    head = f"{'  ' * depth}({tag >> 16:04x},{tag & 0xFFFF:04x}) {vr}"
    return f"{head} {value:<{_VALUE_WIDTH}} # {size}, {multiplicity} {attribute_name(tag)}"


def _shown(element: Element) -> str:
    if element.items is not None:
        kind = "undefined" if element.length is None else "explicit"
        return f"(Sequence with {kind} length #={len(element.items)})"
    if not element.value:
        return "(no value available)"
    if element.vr == "UI":
        uid = element.text.rstrip("\0")
        return f"={dcmtk_name_of(uid)}" if uid in UIDS else f"[{uid}]"
    return f"[{element.text}]" if element.vr in TEXT else element.text


def attribute_name(tag: int) -> str:
    """The keyword of an attribute, as DCMTK's dumps have it."""
    from dcmnet.dataset.bridge import keyword_for_tag

    if tag in _STRUCTURE:
        return _STRUCTURE[tag]
    if tag & 0xFFFF == 0:
        return "GenericGroupLength"
    if tag >> 16 & 1:
        return "PrivateCreator" if 0x10 <= tag & 0xFFFF <= 0xFF else "Unknown Tag & Data"
    return keyword_for_tag(tag) or "Unknown Tag & Data"
