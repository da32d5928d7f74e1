"""The elements of pydicom data sets: what was read and not looked at keeps its bytes, the rest is encoded."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from dcmnet.dataset.elements import (
    UNDEFINED_LENGTH,
    Element,
    Item,
    MalformedDataSet,
    read_items,
    shown,
    split_fragments,
)
from dcmnet.dataset.representations import IN_CHARACTER_SET, public_vr
from dcmnet.dataset.text import (
    DEFAULT_ENCODINGS,
    UTF_8,
    UTF_8_ENCODINGS,
    decode_text,
    encode_text,
    encodings_of,
    well_spelt,
)
from dcmnet.limits import MAX_SEQUENCE_DEPTH

_PIXEL_DATA = 0x7FE00010
_SPECIFIC_CHARACTER_SET = 0x00080005
_IMPLICIT_HEADER_LENGTH = 8
_ESCAPE = b"\x1b"
_UNREADABLE_TEXT = (
    "has text in {} that is not in its Specific Character Set (0008,0005), and that would have to be changed "
    "for other text to fit: set the one that it is in"
)


_DAMAGED_TEXT = (
    "has text in {} that is not in its Specific Character Set (0008,0005), and that pydicom replaced when it "
    "was looked at: send it as it was read"
)


class _Characters(NamedTuple):
    """How the text of a data set is encoded, and of its items that say nothing of their own (PS3.5 7.5.3).

    Attributes:
        encodings: Python's names of the encodings for text that is there as such.
        undeclared: Those of text that was read when no Specific Character Set was there.
        unread: Those of text which is still encoded, in a data set that was not read as a whole.
        kept: Text that is still encoded, in these, stays as it is; () encodes all of it anew.
        replaced: Whether Specific Character Set becomes ISO_IR 192.
    """

    encodings: tuple[str, ...]
    undeclared: tuple[str, ...] = DEFAULT_ENCODINGS
    unread: tuple[str, ...] = DEFAULT_ENCODINGS
    kept: tuple[str, ...] = ()
    replaced: bool = False

    def origin(self, data_set: Any) -> tuple[str, ...] | None:
        """The encodings of text of this data set that is still encoded; None if it stays as it is."""
        found = _encodings_when_read(data_set) or self.unread
        if found == DEFAULT_ENCODINGS:
            found = self.undeclared
        return None if found == self.kept else found


_ANY = _Characters(UTF_8_ENCODINGS)


def elements_of(data_set: Any, *, little: bool) -> list[Element]:
    """The elements of a data set, with its text in a character set that it names.

    Text that does not fit its Specific Character Set (0008,0005) is encoded in UTF-8, and the data set says
    so; nothing is replaced by other characters. The data set itself stays as it is.

    Args:
        data_set: A pydicom data set.
        little: The byte order of the words in it, unless it, or an item, says otherwise.

    Raises:
        MalformedDataSet: A value cannot be encoded.
    """
    return _Bridge(little).elements(data_set, None, 0)


def some_elements_of(data_set: Any, tags: Sequence[int], *, little: bool) -> list[Element]:
    """Those of these elements that are there and have been read, none of them text."""
    found = []
    for tag in tags:
        element = data_set.get_item(tag, keep_deferred=True)
        if element is not None and not (element.is_raw and element.value is None):
            found.append(_Bridge(little)._element(data_set, tag, _ANY, 0))
    return found


class _Bridge:
    def __init__(self, little: bool) -> None:
        self._little = little

    def elements(self, data_set: Any, around: _Characters | None, depth: int) -> list[Element]:
        """The elements of a data set, or of an item."""
        if depth > MAX_SEQUENCE_DEPTH:
            raise MalformedDataSet(f"has sequences that are nested deeper than {MAX_SEQUENCE_DEPTH}")
        if around is None or _SPECIFIC_CHARACTER_SET in data_set:
            around = _characters(data_set)
        found = [self._element(data_set, int(tag), around, depth) for tag in sorted(data_set.keys())]
        if around.replaced and (depth == 0 or _SPECIFIC_CHARACTER_SET in data_set):
            found = [each for each in found if each.tag != _SPECIFIC_CHARACTER_SET]
            found.append(Element(_SPECIFIC_CHARACTER_SET, "CS", UTF_8.encode()))
        return found

    def _element(self, data_set: Any, tag: int, characters: _Characters, depth: int) -> Element:
        element = item_of(data_set, tag)
        if element.is_raw:
            return self._raw(element, characters, characters.origin(data_set))
        if element.VR == "SQ":
            items = [
                Item(
                    self.elements(item, characters, depth + 1),
                    bool(getattr(item, "is_undefined_length_sequence_item", False)),
                )
                for item in element.value or ()
            ]
            return Element(tag, "SQ", items=items, undefined=bool(element.is_undefined_length))
        return self._encoded(data_set, element, characters)

    def _raw(self, raw: Any, characters: _Characters, origin: tuple[str, ...] | None) -> Element:
        """One that was not decoded yet."""
        element = _from_raw(raw)
        if origin is not None:
            _recode(element, characters, origin)
        return element

    def _encoded(self, data_set: Any, element: Any, characters: _Characters) -> Element:
        tag, vr = int(element.tag), str(element.VR)
        if vr in IN_CHARACTER_SET:
            if data_set.original_encoding[1] is not None and _is_damaged(element.value):
                raise MalformedDataSet(_DAMAGED_TEXT.format(shown(tag)))
            try:
                return Element(tag, vr, _encoded_text(element, characters, characters.origin(data_set)))
            except UnicodeEncodeError:
                raise MalformedDataSet(f"has characters in {shown(tag)} that cannot be encoded") from None
            except UnicodeError:
                raise MalformedDataSet(_UNREADABLE_TEXT.format(shown(tag))) from None
        value = element.value
        if value is None:  # what else the element says is of the value before
            return Element(tag, vr)
        if element.is_buffered:
            value = _whole(value)
        if isinstance(value, bytes | bytearray | memoryview):
            little = data_set.original_encoding[1]
            little = self._little if little is None else little
            return _binary(tag, vr, value, little, undefined=bool(element.is_undefined_length))
        try:
            vr, encoded = _numbers(vr, value) if " or " in vr else (vr, _encoded_value(element))
        except Exception:  # what a bad value makes pydicom raise depends on its kind, and has it in its text
            why = f"has a value in {shown(tag)} that its value representation ({vr}) does not allow"
            raise MalformedDataSet(why) from None
        return Element(tag, vr, encoded)


def item_of(data_set: Any, tag: int) -> Any:
    """An element as it is: raw if it has not been decoded. One whose reading was put off is read."""
    element = data_set.get_item(tag, keep_deferred=True)
    if element.is_raw and element.value is None and element.length:
        from dcmnet.dataset.bridge import read_deferred_data_element

        buffer = getattr(data_set, "buffer", None)
        is_open = buffer is not None and not getattr(buffer, "closed", False)
        source: Any = buffer if is_open else data_set.filename
        return read_deferred_data_element(data_set.fileobj_type, source, data_set.timestamp, element)
    return element


def _from_raw(raw: Any) -> Element:
    tag, vr, value = int(raw.tag), raw.VR or "", raw.value or b""
    little = bool(raw.is_little_endian)
    if (vr or public_vr(tag)) == "SQ":
        with contextlib.suppress(MalformedDataSet):  # it stays as it is, whatever it is
            items = read_items(value, implicit=not vr, little=little)
            return Element(tag, "SQ", items=items, little=little, undefined=raw.length == UNDEFINED_LENGTH)
    return _binary(tag, vr, value, little, undefined=raw.length == UNDEFINED_LENGTH)


def _binary(tag: int, vr: str, value: Any, little: bool, *, undefined: bool = False) -> Element:
    """An element of bytes; encapsulated if they are fragments, whatever pydicom calls them."""
    if undefined or tag & 0xFF00FFFF in (0x7F000010, 0x7F000009, 0x7F000008):
        fragments = split_fragments(value)
        if fragments is not None:
            return Element(tag, vr if len(vr) == 2 else "OB", fragments=fragments, undefined=True)
    return Element(tag, vr, value, little=little)


def _numbers(vr: str, value: Any) -> tuple[str, bytes]:
    """Numbers that are US or SS; what they are tells sometimes which."""
    numbers = list(value) if isinstance(value, Sequence) else [] if value is None else [value]
    if not all(-0x8000 <= number <= 0xFFFF for number in numbers):
        raise ValueError("a number that has 16 bits is too large")
    if any(number < 0 for number in numbers):
        vr = "SS"
    elif any(number > 0x7FFF for number in numbers):
        vr = "US"
    return vr, b"".join(int(number & 0xFFFF).to_bytes(2, "little") for number in numbers)


def _encoded_value(element: Any) -> bytes:
    """The encoded value of an element that is neither text nor bytes, little endian."""
    from dcmnet.dataset.bridge import DicomBytesIO, write_data_element

    buffer = DicomBytesIO()
    buffer.is_little_endian = True
    buffer.is_implicit_VR = True
    write_data_element(buffer, element)
    encoded: bytes = buffer.getvalue()
    return encoded[_IMPLICIT_HEADER_LENGTH:]


def _whole(buffered: Any) -> bytes:
    """The rest of a value that is a buffer, as pydicom takes them; it is left where it was."""
    position = buffered.tell()
    value: bytes = buffered.read()
    buffered.seek(position)
    return value


# ---------------------------------------------------------------------- text


def _encoded_text(element: Any, characters: _Characters, origin: tuple[str, ...] | None) -> bytes:
    return b"\\".join(_encoded_one(value, characters, origin) for value in _values(element.value))


def _encoded_one(value: Any, characters: _Characters, origin: tuple[str, ...] | None) -> bytes:
    if not isinstance(value, bytes):
        return encode_text(str(value), characters.encodings)
    return value if origin is None else _recoded(value, characters, origin)


def _is_damaged(value: Any) -> bool:
    """Whether pydicom has put U+FFFD for bytes that it could not decode, and has not kept."""
    return any("\ufffd" in str(each) for each in _values(value) if not isinstance(each, bytes))


def _values(value: Any) -> list[Any]:
    # A person's name can be iterated over, letter by letter, and is no sequence.
    is_many = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    return list(value) if is_many else [] if value is None else [value]


def _recoded(value: bytes, characters: _Characters, origin: tuple[str, ...]) -> bytes:
    """Text in another character set; what is the same in all of them stays."""
    if value.isascii() and _ESCAPE not in value:
        return value
    return encode_text(decode_text(value, origin), characters.encodings)


def _recode(element: Element, characters: _Characters, origin: tuple[str, ...]) -> None:
    """Encode the text of an element, and of its items, in another character set."""
    for each in _texts_of(element):
        try:
            each.value = _recoded(bytes(each.value), characters, origin)
        except UnicodeError:
            raise MalformedDataSet(_UNREADABLE_TEXT.format(shown(each.tag))) from None


def _texts_of(element: Element) -> Iterator[Element]:
    """Its text that is in the character set of what is around it."""
    if element.items is None:
        if (element.vr or public_vr(element.tag)) in IN_CHARACTER_SET:
            yield element
        return
    for item in element.items:
        if not any(each.tag == _SPECIFIC_CHARACTER_SET for each in item.elements):
            for each in item.elements:
                yield from _texts_of(each)


def _characters(data_set: Any) -> _Characters:
    """How the text of a data set can be encoded, of all of it at once."""
    terms = _terms(data_set)
    declared = encodings_of(terms)
    unread = encodings_of([well_spelt(term) for term in terms]) or DEFAULT_ENCODINGS
    stays = _Characters(declared or DEFAULT_ENCODINGS, unread=unread, kept=unread)
    if _fits(data_set, stays):
        return stays
    if declared:  # nothing was declared when it was read, and what is now is right
        named = _Characters(declared, undeclared=declared, unread=declared)
        if _fits(data_set, named):
            return named._replace(kept=declared)
    kept = UTF_8_ENCODINGS if unread == UTF_8_ENCODINGS else ()
    return _Characters(UTF_8_ENCODINGS, unread=unread, kept=kept, replaced=True)


def _terms(data_set: Any) -> list[str]:
    if _SPECIFIC_CHARACTER_SET not in data_set:
        return []
    element = data_set.get_item(_SPECIFIC_CHARACTER_SET)
    value = element.value
    if isinstance(value, bytes):
        value = value.decode("latin-1").split("\\")
    terms = [str(term or "").strip(" \0") for term in _values(value)]
    return terms if any(terms) else []


def _encodings_when_read(data_set: Any) -> tuple[str, ...]:
    """What text that was not decoded yet is in; () in a data set that was not read as a whole."""
    found = data_set.original_character_set
    return tuple(filter(None, (found,) if isinstance(found, str) else found))


def _fits(data_set: Any, characters: _Characters) -> bool:
    try:
        for value, origin in _scope(data_set, characters):
            if not isinstance(value, bytes):
                encode_text(value, characters.encodings)
            elif origin is not None:
                _recoded(value, characters, origin)
    except UnicodeError:
        return False
    return True


def _scope(
    data_set: Any, characters: _Characters, depth: int = 0
) -> Iterator[tuple[str | bytes, tuple[str, ...] | None]]:
    """The text of a data set, and of its items that name no Specific Character Set: encoded, or not.

    With each comes what it is encoded in; None if it stays as it is.
    """
    if depth > MAX_SEQUENCE_DEPTH:
        raise MalformedDataSet(f"has sequences that are nested deeper than {MAX_SEQUENCE_DEPTH}")
    origin = characters.origin(data_set)
    for tag in data_set.keys():
        element = data_set.get_item(tag, keep_deferred=True)
        if element.is_raw:
            if origin is not None:
                yield from ((text, origin) for text in _scope_of_raw(data_set, int(tag), element))
        elif element.VR == "SQ":
            for item in element.value or ():
                if _SPECIFIC_CHARACTER_SET not in item:
                    yield from _scope(item, characters, depth + 1)
        elif element.VR in IN_CHARACTER_SET:
            for value in _values(element.value):
                yield (value if isinstance(value, bytes) else str(value)), origin


def _scope_of_raw(data_set: Any, tag: int, raw: Any) -> Iterator[bytes]:
    if (raw.VR or public_vr(tag)) in IN_CHARACTER_SET | {"SQ"}:
        for text in _texts_of(_from_raw(item_of(data_set, tag))):
            yield bytes(text.value)
