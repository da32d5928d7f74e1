"""The identifiers of queries and matches: keywords and values, data sets, bytes (PS3.4 C.1.4, K.2)."""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from dcmnet.arguments import kind_of
from dcmnet.dataset import AS_USUAL, Encoding, _is_whole, encode, is_data_set
from dcmnet.errors import InputFileError
from dcmnet.limits import MAX_INFLATED_IDENTIFIER_LENGTH
from dcmnet.payload import Buffer
from dcmnet.registry.transfer_syntaxes import is_big_endian, is_deflated, is_implicit

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

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
        except Exception as error:  # what a bad value makes pydicom raise depends on its kind
            raise InputFileError(name, f"{key} cannot be {value!r}: {error}") from error
    return data_set


def decode_identifier(data: Buffer, transfer_syntax: str, *, name: str = "identifier") -> Dataset:
    """The data set of a query, or of a match.

    Raises:
        InputFileError: It is not encoded as its transfer syntax says, or is too long when it is inflated.
    """
    from dcmnet.dataset.bridge import read_dataset

    encoded = bytes(data)
    if is_deflated(transfer_syntax):
        encoded = inflate(encoded, name)
    last: list[tuple[Any, int]] = [(None, 0)]

    def look(tag: Any, _: str | None, length: int) -> bool:
        last[0] = tag, length
        return False

    try:
        data_set = read_dataset(
            io.BytesIO(encoded),
            is_implicit(transfer_syntax),
            not is_big_endian(transfer_syntax),
            stop_when=look,
        )
    except Exception as error:  # what bad bytes make pydicom raise depends on where they are bad
        raise InputFileError(name, f"cannot be read: {error}") from error
    tag, length = last[0]
    if encoded and (tag is None or not _is_whole(data_set, tag, length)):
        raise InputFileError(name, "is truncated" if tag is None else f"is truncated within {tag}")
    element = data_set.get_item(tag) if encoded else None
    if element is not None and element.is_raw and element.value_tell + length != len(encoded):
        raise InputFileError(name, f"is truncated behind {tag}")
    return data_set


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


def inflate(deflated: bytes, name: str) -> bytes:
    """The bytes of a deflated identifier (PS3.5 A.5).

    Raises:
        InputFileError: They are no deflated stream, or too long when they are inflated.
    """
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(deflated, MAX_INFLATED_IDENTIFIER_LENGTH)
    except zlib.error as error:
        raise InputFileError(name, f"cannot be inflated: {error}") from error
    if inflater.unconsumed_tail:
        limit = MAX_INFLATED_IDENTIFIER_LENGTH
        raise InputFileError(name, f"is longer than {limit} bytes when inflated")
    return inflated
