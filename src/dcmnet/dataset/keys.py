"""Matching keys in a data set, and files that hold queries."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from os import PathLike
from typing import TYPE_CHECKING, Any

from dcmnet.dataset import _read_whole
from dcmnet.dataset.identifiers import attribute_called
from dcmnet.dataset.quiet import silently
from dcmnet.dataset.representations import LONG_LENGTH, SHORT_LENGTH, public_vr
from dcmnet.errors import InputFileError
from dcmnet.limits import MAX_IDENTIFIER_LENGTH
from dcmnet.services.query_keys import Key, Step

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_INTEGERS = frozenset(("SL", "SS", "SV", "UL", "US", "UV", "US or SS"))
_FLOATS = frozenset(("FD", "FL"))
_BYTES = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "OB or OW", "US or OW", "US or SS or OW"))
_DECIMALS = frozenset(("DS", "IS"))


@silently
def query(keys: Iterable[Key], base: Dataset | None = None) -> Dataset:
    """The identifier that these keys make, one after the other; later ones override earlier ones.

    Args:
        keys: The keys; sequences and items are made where a path needs them.
        base: A data set that they are put into, in place; an empty one unless given.

    Raises:
        InputFileError: An attribute is unknown, is no sequence where the path goes on, or cannot have the
            value.
    """
    from dcmnet.dataset.bridge import Dataset

    identifier = Dataset() if base is None else base
    for key in keys:
        set_key(identifier, key)
    return identifier


@silently
def read_query(path: str | PathLike[str]) -> Dataset:
    """The data set of a file that holds a query: a DICOM file, or a bare data set.

    Raises:
        InputFileError: It cannot be read, is truncated, or longer than an identifier may be.
    """
    name = str(path)
    try:
        with open(path, "rb") as file:
            if file.seek(0, 2) > MAX_IDENTIFIER_LENGTH:
                raise InputFileError(name, f"is longer than {MAX_IDENTIFIER_LENGTH} bytes, and no query is")
            file.seek(0)
            data_set = _read_whole(file, name)
    except InputFileError:
        raise
    except OSError as error:
        raise InputFileError(name, f"cannot be read: {error.strerror or error}") from error
    except Exception:  # bad bytes make pydicom raise anything, with values in its text
        raise InputFileError(name, "cannot be read: it is no DICOM file, or a damaged one") from None
    for tag in data_set.keys():
        vr = data_set.get_item(tag).VR
        if vr is not None and vr not in SHORT_LENGTH | LONG_LENGTH:
            raise InputFileError(name, f"has {tag} with {str(vr)!a}, which is no value representation")
    return data_set


def columns_of(data_set: Dataset) -> list[tuple[int, str | int]]:
    """The tags of a data set that are no sequences, each with its keyword, or itself if it has none."""
    from dcmnet.dataset.bridge import keyword_for_tag

    tags = [int(tag) for tag in sorted(data_set.keys())]
    vrs = {tag: data_set.get_item(tag).VR or public_vr(tag) for tag in tags}  # values may be none of their VR
    return [(tag, keyword_for_tag(tag) or tag) for tag in tags if vrs[tag] != "SQ"]


def set_key(data_set: Dataset, key: Key) -> None:
    """Put one key into a data set.

    Raises:
        InputFileError: As for `query`.
    """
    from dcmnet.dataset.bridge import Dataset

    item = data_set
    for position, step in enumerate(key.path):
        tag, vr = _attribute(step, key)
        if step.item is None:
            _put(item, tag, vr, key)
            return
        if vr != "SQ":
            raise InputFileError(
                "key", f"{key.name}: {_shown(key, position)} is no sequence, it has no items"
            )
        if tag not in item or item[tag].VR != "SQ":
            _add(item, tag, "SQ", [])
        sequence = item[tag].value
        while len(sequence) <= step.item:
            sequence.append(Dataset())
        item = sequence[step.item]


def tags_of(key: Key) -> list[tuple[int, int | None]]:
    """The path of a key with the tags of its attributes, and the numbers of the items.

    Raises:
        InputFileError: An attribute is unknown.
    """
    return [(_attribute(step, key)[0], step.item) for step in key.path]


def _attribute(step: Step, key: Key) -> tuple[int, str]:
    name = step.attribute
    asked = name if isinstance(name, str) else f"{name >> 16:04x},{name & 0xFFFF:04x}"
    try:
        tag, vr = attribute_called(asked, "key")
    except InputFileError as error:
        raise InputFileError("key", f"{key.name}: {error.why}") from None
    # PS3.5 7.8.1: (gggg,0010-00FF) of an odd group are the Private Creators.
    is_creator = tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF
    return tag, "LO" if is_creator else vr


def _shown(key: Key, position: int) -> str:
    return str(key.path[position]._replace(item=None))


def _put(item: Dataset, tag: int, vr: str, key: Key) -> None:
    value = key.value or ""
    if vr == "SQ":
        if value:
            raise InputFileError("key", f"{key.name}: a sequence has no value: name an attribute of an item")
        _add(item, tag, vr, [])
        return
    try:
        value.encode()
        _add(item, tag, vr.partition(" ")[0], _converted(vr, value))
    except UnicodeEncodeError:
        raise InputFileError("key", f"{key.name}: the value is not text in UTF-8") from None
    except (ValueError, OverflowError, TypeError) as error:
        raise InputFileError("key", f"{key.name}: {value!r} is no value for it ({vr}): {error}") from None


def _converted(vr: str, value: str) -> Any:
    if not value:
        return b"" if vr in _BYTES or vr == "UN" else None
    if vr in _BYTES:
        return bytes.fromhex(value.replace("\\", ""))
    if vr == "UN":
        encoded = value.encode()
        return encoded + b"\0" * (len(encoded) & 1)
    one = _conversion(vr)
    return value if one is None else [one(each) for each in value.split("\\")]


def _conversion(vr: str) -> Callable[[str], Any] | None:
    if vr in _INTEGERS:
        return int
    if vr in _FLOATS:
        return float
    return _tag if vr == "AT" else None


def _tag(text: str) -> int:
    digits = text.strip("()").replace(",", "")
    if len(digits) != 8:
        raise ValueError("a tag has eight hexadecimal digits")
    return int(digits, 16)


def _add(item: Dataset, tag: int, vr: str, value: Any) -> None:
    from dcmnet.dataset.bridge import IGNORE, DataElement

    # wildcards and ranges (PS3.4 C.2.2.2) are no valid values of most attributes
    if vr in _DECIMALS and value is not None:
        element = DataElement(tag, vr, None)
        element._value = value  # as it is: a number would be written in another way, or refused
    else:
        element = DataElement(tag, vr, value, validation_mode=IGNORE)
    item[tag] = element
