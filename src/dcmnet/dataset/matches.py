"""A match as a pydicom data set of which every value can be looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dcmnet.dataset.content import SPECIFIC_CHARACTER_SET, Element, element_with, read_elements
from dcmnet.dataset.quiet import silently
from dcmnet.dataset.values import TEXT, encodings_named
from dcmnet.errors import InputFileError
from dcmnet.limits import Limits
from dcmnet.payload import Buffer
from dcmnet.registry.transfer_syntaxes import is_implicit

if TYPE_CHECKING:
    from pydicom.dataset import Dataset


@silently
def decode_match(data: Buffer, transfer_syntax: str, limits: Limits | None = None) -> Dataset:
    """The data set of a match; what is no valid value of its VR, and would be an error, has VR UN.

    Raises:
        InputFileError: Not all of it can be read, or it is above a limit.
    """
    content = read_elements(data, transfer_syntax, limits=limits)
    if content.fault:
        raise InputFileError("match", content.fault)
    implicit = is_implicit(transfer_syntax)
    made = _data_set(content.elements, None, implicit, content.little_endian)
    made.set_original_encoding(implicit, content.little_endian, made._character_set)
    return made


def _data_set(elements: tuple[Element, ...], encodings: Any, implicit: bool, little_endian: bool) -> Dataset:
    from dcmnet.dataset.bridge import Dataset, default_encoding

    character_set = element_with(SPECIFIC_CHARACTER_SET, elements)
    own = (character_set and encodings_named(character_set.text)) or encodings
    found = (_element(element, own, implicit, little_endian) for element in elements)
    return Dataset({each.tag: each for each in found}, parent_encoding=encodings or default_encoding)


def _element(element: Element, encodings: Any, implicit: bool, little_endian: bool) -> Any:
    from dcmnet.dataset.bridge import DataElement, RawDataElement, Sequence, Tag, convert_raw_data_element

    tag = Tag(element.tag)
    if element.tag == SPECIFIC_CHARACTER_SET and (element.vr != "CS" or "\0" in element.text):
        return DataElement(tag, "CS", _character_sets(element))  # else pydicom could read no text at all
    if element.items is not None:
        items = [_data_set(item.elements, encodings, implicit, little_endian) for item in element.items]
        return DataElement(tag, "SQ", Sequence(items))
    vr = None if implicit and not element.fault else element.vr
    raw = RawDataElement(tag, vr, len(element.value), element.value, 0, implicit, little_endian)
    # pydicom gives an UN the VR of its dictionary when it is looked at (PS3.5 6.2.2), which may not fit
    if not element.fault and element.vr != "UN":
        return raw
    try:
        return convert_raw_data_element(raw, encoding=encodings)
    except Exception:  # what a bad value makes pydicom raise depends on its kind
        kept = DataElement(tag, "OB", element.value, already_converted=True)
        kept.VR = "UN"  # if that were said at once, pydicom would look the tag up
        return kept


def _character_sets(element: Element) -> list[str] | None:
    """The values of a Specific Character Set (0008,0005) that is not as it should be; None if it has none."""
    from dcmnet.dataset.bridge import convert_encodings

    if element.vr not in TEXT - {"PN"}:
        return None
    names = [name.strip(" \0") for name in element.text.split("\\")]
    try:
        convert_encodings(names)
    except Exception:  # what a bad value makes pydicom raise depends on its kind
        return None
    return names
