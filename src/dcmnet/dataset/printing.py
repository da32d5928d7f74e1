"""Identifiers for people: a dump as DCMTK prints it, single values, XML as its dcm2xml writes it, and JSON.

Values are shown as they are encoded: what is no valid value of its attribute is shown all the same, though
pydicom may warn about it. Control characters are left to whoever writes the text somewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from dcmnet.dataset.data_sets import encoded_value
from dcmnet.dataset.keys import tags_of
from dcmnet.errors import InputFileError
from dcmnet.limits import MAX_SEQUENCE_DEPTH
from dcmnet.payload import Buffer
from dcmnet.registry._uids import UIDS
from dcmnet.registry.transfer_syntaxes import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    is_implicit,
)
from dcmnet.registry.uids import dcmtk_name_of, name_of
from dcmnet.services.query_keys import Key

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_TRANSFER_SYNTAXES = {
    IMPLICIT_VR_LITTLE_ENDIAN: "Little Endian Implicit",
    EXPLICIT_VR_LITTLE_ENDIAN: "Little Endian Explicit",
    EXPLICIT_VR_BIG_ENDIAN: "Big Endian Explicit",
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN: "Deflated Explicit VR Little Endian",
}
_IN_CHARACTER_SET = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))
_TEXT = _IN_CHARACTER_SET | frozenset(("AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"))
_ONE_VALUE = frozenset(("LT", "ST", "UR", "UT"))
_NUMBERS = frozenset(("FD", "FL", "SL", "SS", "SV", "UL", "US", "UV", "AT"))
_SHORT_HEADER = _TEXT - {"UC", "UR", "UT"} | frozenset(("FD", "FL", "SL", "SS", "UL", "US", "AT"))
_STRUCTURE = {
    0xFFFEE000: "Item",
    0xFFFEE00D: "ItemDelimitationItem",
    0xFFFEE0DD: "SequenceDelimitationItem",
}
_VALUE_WIDTH = 40
_UNDEFINED = 0xFFFFFFFF


class Element(NamedTuple):
    """One element, as it is encoded.

    Attributes:
        tag: Its tag.
        vr: Its value representation.
        value: The encoded value; empty for a sequence.
        length: Its length field; None where that is undefined.
        items: The items of a sequence; None for anything else.
        text: The value as text.
    """

    tag: int
    vr: str
    value: bytes
    length: int | None
    items: tuple[Dataset, ...] | None
    text: str

    @property
    def multiplicity(self) -> int:
        """How many values it has."""
        if self.items is not None:
            return 1
        if not self.value:
            return 0
        if self.vr in _ONE_VALUE or self.vr not in _TEXT | _NUMBERS:
            return 1
        return self.text.count("\\") + 1


def elements(
    data_set: Dataset, transfer_syntax: str, encodings: Any = None, depth: int = 0
) -> Iterator[Element]:
    """The elements of a data set, in the order of their tags.

    Args:
        data_set: As `decode_identifier` gives it.
        transfer_syntax: UID of the one it came in; lengths are those that it has there.
        encodings: Character sets around an item.
        depth: How many sequences the item is in.
    """
    own = _encodings(data_set) or encodings or ["iso8859"]
    for tag in sorted(data_set.keys()):
        yield _element(data_set, tag, transfer_syntax, own, depth)


def encodings_of(data_set: Dataset, inherited: Any = None) -> Any:
    """The character sets that the text of a data set is in."""
    return _encodings(data_set) or inherited


def dump(data: Buffer, transfer_syntax: str, *, name: str = "identifier") -> Iterator[str]:
    """The lines of a dump, without line breaks.

    Raises:
        InputFileError: It is not encoded as its transfer syntax says.
    """
    from dcmnet.dataset.identifiers import decode_identifier

    yield "# Dicom-Data-Set"
    yield f"# Used TransferSyntax: {transfer_syntax_name(transfer_syntax)}"
    yield from _dump(decode_identifier(data, transfer_syntax, name=name), transfer_syntax, None, 0)


def transfer_syntax_name(uid: str) -> str:
    """What DCMTK calls a transfer syntax in dumps and in XML."""
    return _TRANSFER_SYNTAXES.get(uid) or name_of(uid)


def value_at(data_set: Dataset, key: Key, transfer_syntax: str) -> str:
    """What a data set has for a key, without padding: several values with backslashes between them.

    Args:
        data_set: A match.
        key: Its path alone counts.
        transfer_syntax: UID of the one that the match came in.

    Returns:
        "" where there is nothing, and where the path ends with a sequence or an item.

    Raises:
        InputFileError: An attribute of the path is unknown.
    """
    item, encodings = data_set, None
    for tag, number in tags_of(key):
        if tag not in item:
            return ""
        encodings = _encodings(item) or encodings or ["iso8859"]
        element = _element(item, tag, transfer_syntax, encodings)
        if number is None:
            return element.text.strip(" \0")
        if element.items is None or number >= len(element.items):
            return ""
        item = element.items[number]
    return ""


def to_json_model(data_set: Dataset, *, name: str = "identifier") -> dict[str, Any]:
    """The data set in the DICOM JSON Model (PS3.18 F); values that cannot be expressed in it are left out.

    Raises:
        InputFileError: It has too many sequences within each other.
    """
    level = [data_set]
    for _ in range(MAX_SEQUENCE_DEPTH + 1):  # pydicom leaves out what makes it run out of stack
        level = [item for each in level for item in _items(each)]
    if level:
        raise InputFileError(name, f"has more than {MAX_SEQUENCE_DEPTH} sequences within each other")
    model: dict[str, Any] = data_set.to_json_dict(suppress_invalid_tags=True)
    return model


def _items(data_set: Dataset) -> Iterator[Dataset]:
    for tag in data_set.keys():
        if _vr_of(data_set.get_item(tag), data_set, tag) == "SQ":
            yield from data_set[tag].value


# ---------------------------------------------------------------------- elements


def _element(data_set: Dataset, tag: int, transfer_syntax: str, encodings: Any, depth: int = 0) -> Element:
    raw = data_set.get_item(tag)
    vr = _vr_of(raw, data_set, tag)
    if vr == "SQ":
        return _sequence(data_set, tag, raw, transfer_syntax, depth)
    value = raw.value or b"" if raw.is_raw else encoded_value(data_set, tag)
    return Element(tag, vr, value, len(value), None, _text(data_set, tag, vr, value, encodings))


def _vr_of(raw: Any, data_set: Dataset, tag: int) -> str:
    if raw.VR is None:  # Implicit VR
        return str(data_set[tag].VR)
    return str(raw.VR)


def _sequence(data_set: Dataset, tag: int, raw: Any, transfer_syntax: str, depth: int) -> Element:
    known: int | None = None
    if raw.is_raw:  # it is not any more when its items have been looked at
        undefined, known = raw.length == _UNDEFINED, raw.length
    else:
        undefined = bool(raw.is_undefined_length)
    items = tuple(data_set[tag].value)
    if undefined:
        known = None
    elif known is None:
        known = sum(_item_length(item, transfer_syntax, depth + 1) for item in items)
    return Element(tag, "SQ", b"", known, items, "")


def _item_length(item: Any, transfer_syntax: str, depth: int) -> int:
    delimiter = 8 if item.is_undefined_length_sequence_item else 0
    return 8 + delimiter + content_length(item, transfer_syntax, depth)


def content_length(item: Dataset, transfer_syntax: str, depth: int) -> int:
    """How many bytes an item has, `depth` sequences below the top."""
    length = 0
    if depth > MAX_SEQUENCE_DEPTH:
        return length
    for element in elements(item, transfer_syntax, depth=depth):
        short = is_implicit(transfer_syntax) or element.vr in _SHORT_HEADER
        length += 8 if short else 12
        if element.length is not None:
            length += element.length
        else:
            inner = element.items or ()
            length += 8 + sum(_item_length(each, transfer_syntax, depth + 1) for each in inner)
    return length


def _encodings(data_set: Dataset) -> Any:
    """Python's encodings for the Specific Character Set (0008,0005); None where there is none."""
    from pydicom.charset import convert_encodings

    named = data_set.get("SpecificCharacterSet")
    if not named:
        return None
    try:
        return convert_encodings(named)
    except (LookupError, ValueError):
        return None


def _text(data_set: Dataset, tag: int, vr: str, value: bytes, encodings: Any) -> str:
    if not value:
        return ""
    if vr in _IN_CHARACTER_SET:
        return _decoded(value, encodings)
    if vr in _TEXT:
        return value.decode("latin-1")
    if vr in _NUMBERS:
        return _numbers(data_set, tag, value)
    width = 4 if vr == "OW" else 2
    digits = value.hex()
    return "\\".join(digits[start : start + width] for start in range(0, len(digits), width))


def _decoded(value: bytes, encodings: Any) -> str:
    from pydicom.charset import decode_bytes
    from pydicom.valuerep import TEXT_VR_DELIMS

    try:
        return decode_bytes(value, encodings, TEXT_VR_DELIMS)
    except (LookupError, ValueError):
        return value.decode("latin-1")


def _numbers(data_set: Dataset, tag: int, value: bytes) -> str:
    from pydicom.multival import MultiValue

    try:
        number = data_set[tag].value
    except Exception:  # what a bad value makes pydicom raise depends on its kind
        return "\\".join(f"{byte:02x}" for byte in value)
    return "\\".join(map(str, number)) if isinstance(number, MultiValue | list) else str(number)


# ---------------------------------------------------------------------- dumps


def _dump(data_set: Dataset, transfer_syntax: str, encodings: Any, depth: int) -> Iterator[str]:
    for element in elements(data_set, transfer_syntax, encodings):
        shown = _shown(element)
        yield _line(depth, element.tag, element.vr, shown, element.length, element.multiplicity)
        if element.items is not None:
            own = encodings_of(data_set, encodings)
            yield from _dump_items(element.items, transfer_syntax, own, depth + 1)
            if element.length is None:
                text = "(SequenceDelimitationItem)"
            else:
                text = "(SequenceDelimitationItem for re-encod.)"
            yield _line(depth, 0xFFFEE0DD, "na", text, 0, 0)


def _dump_items(
    items: tuple[Dataset, ...], transfer_syntax: str, encodings: Any, depth: int
) -> Iterator[str]:
    if depth > MAX_SEQUENCE_DEPTH:
        yield f"{'  ' * depth}# more than {MAX_SEQUENCE_DEPTH} sequences within each other"
        return
    for item in items:
        undefined = bool(getattr(item, "is_undefined_length_sequence_item", False))
        length = None if undefined else content_length(item, transfer_syntax, depth)
        kind = "undefined" if undefined else "explicit"
        yield _line(depth, 0xFFFEE000, "na", f"(Item with {kind} length #={len(item)})", length, 1)
        yield from _dump(item, transfer_syntax, encodings, depth + 1)
        text = "(ItemDelimitationItem)" if undefined else "(ItemDelimitationItem for re-encoding)"
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
    return f"[{element.text}]" if element.vr in _TEXT else element.text


def attribute_name(tag: int) -> str:
    """The keyword of an attribute, as DCMTK's dumps have it."""
    from pydicom.datadict import keyword_for_tag

    if tag in _STRUCTURE:
        return _STRUCTURE[tag]
    if tag & 0xFFFF == 0:
        return "GenericGroupLength"
    if tag >> 16 & 1:
        return "PrivateCreator" if 0x10 <= tag & 0xFFFF <= 0xFF else "Unknown Tag & Data"
    return keyword_for_tag(tag) or "Unknown Tag & Data"
