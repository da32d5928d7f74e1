"""Text in the character sets of Specific Character Set (0008,0005): all of it, or an error (PS3.5 6.1.2)."""

from __future__ import annotations

import re
from collections.abc import Sequence

UTF_8 = "ISO_IR 192"
UTF_8_ENCODINGS = ("UTF8",)
DEFAULT_ENCODINGS = ("iso8859",)
"""What pydicom takes for the default repertoire (ISO_IR 6), which is ASCII: PS3.5 6.1.1."""
_DEFAULT = DEFAULT_ENCODINGS[0]
_ESCAPE = b"\x1b"
_DELIMITERS = re.compile(r"([\\^=\r\n\t\f])")
_MISSPELT = re.compile(r"ISO[^_]IR(.*)")
_MISSPELT_EXTENSION = re.compile(r"ISO.2022.IR.(.*)")


def encodings_of(terms: Sequence[str]) -> tuple[str, ...] | None:
    """Python's encodings for the values of Specific Character Set; None when one of them is unknown."""
    from dcmnet.dataset.bridge import STAND_ALONE_ENCODINGS, python_encoding

    first, *others = terms or ("",)
    # PS3.3 C.12.1.1.2: these have no code extensions, and are none
    others = [] if first in STAND_ALONE_ENCODINGS else [t for t in others if t not in STAND_ALONE_ENCODINGS]
    found = [python_encoding.get(term) for term in (first, *others)]
    return None if None in found else tuple(str(encoding) for encoding in found)


def well_spelt(term: str) -> str:
    """A defined term in which another character than the right one separates its parts."""
    for pattern, begin in ((_MISSPELT, "ISO_IR"), (_MISSPELT_EXTENSION, "ISO 2022 IR ")):
        match = pattern.fullmatch(term)
        if match:
            return begin + match[1]
    return term


def encode_text(text: str, encodings: Sequence[str]) -> bytes:
    """Text in one of these encodings, or in several, with the escape sequences between them.

    Raises:
        UnicodeError: They have not all of its characters.
    """
    if text.isascii():
        return text.encode()
    if len(encodings) == 1:
        return _in_one(text, encodings[0])
    return b"".join(_in_several(part, encodings) for part in _DELIMITERS.split(text))


def _in_one(text: str, encoding: str) -> bytes:
    encoded = text.encode("ascii" if encoding == _DEFAULT else encoding)
    if encoding == "shift_jis" and len(encoded) != len(text):  # JIS X 0201 has bytes, and no kanji
        raise UnicodeError
    return encoded


def _in_several(part: str, encodings: Sequence[str]) -> bytes:
    """A part between two delimiters, each of which ends what an escape sequence began (PS3.5 6.1.2.5.3)."""
    from dcmnet.dataset.bridge import encode_string

    if part.isascii():
        return part.encode()
    if encodings[0] == _DEFAULT and any("\x7f" < each < "\u0100" for each in part):
        raise UnicodeError  # pydicom would not switch to the set that has these
    if not all(_is_in(each, encodings) for each in part):
        raise UnicodeError  # pydicom would put a question mark
    return encode_string(part, list(encodings))


def _is_in(character: str, encodings: Sequence[str]) -> bool:
    for encoding in encodings:
        try:
            _in_one(character, encoding)
        except UnicodeError:
            continue
        return True
    return False


def decode_text(value: bytes, encodings: Sequence[str]) -> str:
    """The text that was encoded in these encodings.

    Raises:
        UnicodeError: It was not.
    """
    if _ESCAPE not in value:
        return value.decode("ascii" if encodings[0] == _DEFAULT else encodings[0])
    from dcmnet.dataset.bridge import CODES_TO_ENCODINGS, decode_bytes

    codes = re.findall(rb"\x1b(?:\$[()].|[^$].|\$.)", value, re.DOTALL)
    known = (*encodings, _DEFAULT)
    if len(codes) != value.count(_ESCAPE) or not all(CODES_TO_ENCODINGS.get(each) in known for each in codes):
        raise UnicodeError
    text = decode_bytes(value, list(encodings), set(b"\\^=\r\n\t\f"))
    if "\ufffd" in text:
        raise UnicodeError
    return text
