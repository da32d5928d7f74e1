"""The identifiers of queries and matches: keywords and values, data sets, bytes (PS3.4 C.1.4, K.2)."""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from dcmnet.arguments import kind_of
from dcmnet.dataset import AS_USUAL, Encoding, _is_whole, encode, is_data_set
from dcmnet.dataset.elements import Allowance, BeyondLimit, MalformedDataSet, read_elements, refusal
from dcmnet.dataset.quiet import quietly
from dcmnet.errors import InputFileError, LimitExceeded
from dcmnet.limits import (
    MAX_IDENTIFIER_ELEMENTS,
    MAX_IDENTIFIER_ITEMS,
    MAX_INFLATED_IDENTIFIER_LENGTH,
    MAX_SEQUENCE_DEPTH,
    Limits,
)
from dcmnet.payload import Buffer
from dcmnet.registry.transfer_syntaxes import is_big_endian, is_deflated, is_implicit

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_ITEM_TAG = b"\xfe\xff\x00\xe0"
_BIG_ITEM_TAG = b"\xff\xfe\xe0\x00"
_LEAST_LENGTH = 8

Identifier: TypeAlias = "Mapping[str, Any] | Dataset | Buffer"
"""The data set of a query: keywords and values, a pydicom data set, or bytes that are encoded already.

A value is a text or number, a list of several, None or "" for a key that is only to be returned, and for a
sequence a mapping or a list of mappings. A key may be a tag, as in "0008,0052".
"""


def check_identifier(value: Any, name: str = "identifier") -> None:
    """Raise for an argument that cannot be the data set of a request.

    Raises:
        TypeError: It is neither a mapping, nor a pydicom data set, nor bytes.
    """
    if not isinstance(value, bytes | bytearray | memoryview | Mapping) and not is_data_set(value):
        raise TypeError(
            f"{name}: {kind_of(value)}, expected keywords and values, a data set, or encoded bytes"
        )


@quietly
def encode_identifier(
    identifier: Identifier,
    transfer_syntax: str,
    *,
    name: str = "identifier",
    encoding: Encoding = AS_USUAL,
) -> bytes:
    """Encode the identifier of a query, or of a match (PS3.4 C.1.4).

    Text that is not ASCII goes out in UTF-8 (ISO_IR 192) unless the identifier names a Specific Character Set
    (0008,0005) that has all of it. An empty one, the usual return key, names none.

    Args:
        identifier: Keywords and values, a pydicom data set, which is left as it is, or bytes, which are taken
            to be in `transfer_syntax`.
        transfer_syntax: UID; one of `CONVERTIBLE`.
        name: What to call it in an error.
        encoding: How it is encoded.

    Raises:
        InputFileError: It cannot be encoded; the message says what is wrong with it.
    """
    if isinstance(identifier, bytes | bytearray | memoryview):
        return bytes(identifier)
    given: Any = identifier
    data_set = given if is_data_set(given) else from_keywords(given, name=name)
    return encode(data_set, transfer_syntax, name=name, encoding=encoding)


@quietly
def from_keywords(values: Any, *, name: str = "identifier") -> Dataset:
    """A pydicom data set of a mapping: keywords, or tags such as "0008,0052", and their values.

    Raises:
        InputFileError: A keyword is unknown, or a value does not fit its attribute.
    """
    from dcmnet.dataset.bridge import IGNORE, DataElement, Dataset

    if not isinstance(values, Mapping):
        kind = type(values).__name__
        raise InputFileError(name, f"is a {kind}: give keywords and values, a data set, or encoded bytes")
    data_set = Dataset()
    for key, value in values.items():
        tag, vr = attribute_called(key, name)
        try:
            # wildcards and ranges (PS3.4 C.2.2.2) are no valid values of most attributes
            data_set.add(DataElement(tag, vr, _value_of(vr, value, name), validation_mode=IGNORE))
        except InputFileError:
            raise
        except Exception:  # what a bad value makes pydicom raise depends on its kind, and has the value in it
            raise InputFileError(
                name, f"{key} cannot have this value: {kind_of(value)}, for VR {vr}"
            ) from None
    return data_set


@quietly
def decode_identifier(
    data: Buffer, transfer_syntax: str, *, name: str = "identifier", limits: Limits | None = None
) -> Dataset:
    """The data set of a query, or of a match.

    Args:
        data: Encoded.
        transfer_syntax: UID of the one that it is in.
        name: What to call it in an error.
        limits: How much of it may be read; the defaults unless given.

    Raises:
        LimitExceeded: It is too long when it is inflated, or has too many elements, values or items.
        InputFileError: It is not encoded as its transfer syntax says.
    """
    from dcmnet.dataset.bridge import read_dataset

    encoded = bytes(data)
    if is_deflated(transfer_syntax):
        encoded = inflate(encoded, name, limits)
    implicit, little = is_implicit(transfer_syntax), not is_big_endian(transfer_syntax)
    check_extent(encoded, implicit=implicit, little=little, name=name, limits=limits)
    last: list[tuple[Any, int]] = [(None, 0)]

    def look(tag: Any, _: str | None, length: int) -> bool:
        last[0] = tag, length
        return False

    try:
        data_set = read_dataset(io.BytesIO(encoded), implicit, little, stop_when=look)
    except Exception:  # bad bytes make pydicom raise anything, with values in its text
        raise InputFileError(name, "cannot be read: it is not encoded as its transfer syntax says") from None
    tag, length = last[0]
    if encoded and (tag is None or not _is_whole(data_set, tag, length)):
        raise InputFileError(name, "is truncated" if tag is None else f"is truncated within {tag}")
    element = data_set.get_item(tag) if encoded else None
    if element is not None and element.is_raw and element.value_tell + length != len(encoded):
        raise InputFileError(name, f"is truncated behind {tag}")
    return data_set


def check_extent(
    encoded: bytes, *, implicit: bool, little: bool, name: str, limits: Limits | None = None
) -> None:
    """Refuse a data set that would cost pydicom too much, before it is handed over.

    Args:
        encoded: The data set, not deflated.
        implicit: Whether it is in Implicit VR.
        little: The byte order.
        name: What to call it in an error.
        limits: How much of it may be read; the defaults unless given.

    Raises:
        LimitExceeded: It has too many elements, values or items, or is nested too deep.
    """
    most, most_items = MAX_IDENTIFIER_ELEMENTS, MAX_IDENTIFIER_ITEMS
    if limits is not None:
        most, most_items = limits.max_identifier_elements, limits.max_identifier_items
    # These cannot be too few, whatever the elements are: an item has this tag, an element takes eight bytes.
    items = encoded.count(_ITEM_TAG) + (0 if little else encoded.count(_BIG_ITEM_TAG))
    values = encoded.count(b"\\")
    allowance = Allowance(most, most_items)
    try:
        allowance.take_items(items)
        allowance.take_elements(values)
        if items <= MAX_SEQUENCE_DEPTH and values + len(encoded) // _LEAST_LENGTH <= most:
            return
        counted = Allowance(most - values, most_items)
        read_elements(encoded, implicit=implicit, little=little, allowance=counted)
    except BeyondLimit as error:
        raise refusal(name, error) from None
    except MalformedDataSet as error:
        if values + len(encoded) // _LEAST_LENGTH > most:  # how many there are cannot be known
            raise refusal(name, error) from None


def encode_failed_instances(uids: Sequence[str], transfer_syntax: str) -> bytes:
    """An identifier with the Failed SOP Instance UID List (0008,0058); of VR UN if it is too long for UI."""
    return encode_identifier({"FailedSOPInstanceUIDList": list(uids)}, transfer_syntax)


def attribute_called(key: str, name: str) -> tuple[int, str]:
    """Tag and VR of an attribute that is named by its keyword or its tag.

    Raises:
        InputFileError: There is none in the dictionary (PS3.6).
    """
    from dcmnet.dataset.bridge import dictionary_VR, tag_for_keyword

    tag = tag_for_keyword(key)
    if tag is None:
        tag = _tag_of(key)
    if tag is None:
        raise InputFileError(name, f"no attribute is called {key!r}{_alternatives(key)}")
    try:
        return tag, dictionary_VR(tag)
    except KeyError:
        return tag, "UN" if tag >> 16 & 1 else "LO"


def _tag_of(key: str) -> int | None:
    group, comma, element = key.strip("()").partition(",")
    try:
        return int(group, 16) << 16 | int(element, 16) if comma else None
    except ValueError:
        return None


def _alternatives(key: str) -> str:
    from difflib import get_close_matches

    from dcmnet.dataset.bridge import keyword_dict

    close = get_close_matches(key, keyword_dict, 1)
    return f"; did you mean {close[0]}?" if close else " in the dictionary (PS3.6)"


def _value_of(vr: str, value: Any, name: str) -> Any:
    if vr == "SQ":
        items = [value] if isinstance(value, Mapping) else (value or [])
        return [item if is_data_set(item) else from_keywords(item, name=name) for item in items]
    if value is None:
        return ""
    # A person's name can be iterated over, letter by letter, and is no sequence.
    is_many = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    return list(value) if is_many else value


def inflate(deflated: bytes, name: str, limits: Limits | None = None) -> bytes:
    """The bytes of a deflated identifier (PS3.5 A.5).

    Raises:
        LimitExceeded: They are too long when they are inflated.
        InputFileError: They are no deflated stream.
    """
    limit = MAX_INFLATED_IDENTIFIER_LENGTH if limits is None else limits.max_inflated_identifier_length
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(deflated, limit + 1)
    except zlib.error as error:
        raise InputFileError(name, f"cannot be inflated: {error}") from error
    if len(inflated) > limit:
        raise LimitExceeded(name, f"is longer than {limit} bytes when inflated")
    return inflated
