"""Value representations: how their values are laid out, and what the dictionaries have (PS3.5 6.2, PS3.6)."""

from __future__ import annotations

from functools import lru_cache

SHORT_LENGTH = frozenset("AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
"""PS3.5 7.1.2: in Explicit VR these have a length of 16 bits."""

LONG_LENGTH = frozenset("OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
"""PS3.5 7.1.2: and these one of 32 bits."""

WIDTHS = {
    **dict.fromkeys(("AT", "OW", "SS", "US"), 2),
    **dict.fromkeys(("FL", "OF", "OL", "SL", "UL"), 4),
    **dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), 8),
}
"""PS3.5 7.3: bytes of what changes with the byte order. An AT is two words of 16 bits."""

IN_CHARACTER_SET = frozenset("LO LT PN SH ST UC UT".split())
"""PS3.5 6.1.2.2: Specific Character Set (0008,0005) says how text of these is to be read."""

_PADDED_WITH_SPACE = IN_CHARACTER_SET | frozenset("AE AS CS DA DS DT IS TM UR".split())

LATE = frozenset("OD OF OL OV SV UC UN UR UT UV".split())
"""Value representations that old readers do not know."""


def padding(vr: str) -> bytes:
    """What makes the length of a value even (PS3.5 6.2)."""
    return b" " if vr in _PADDED_WITH_SPACE else b"\0"


def is_private(tag: int) -> bool:
    """Whether the group is an odd one (PS3.5 7.8)."""
    return bool(tag >> 16 & 1)


def is_private_creator(tag: int) -> bool:
    """PS3.5 7.8.1: (gggg,0010-00FF) of an odd group."""
    return is_private(tag) and 0x10 <= tag & 0xFFFF <= 0xFF


@lru_cache(1 << 14)
def public_vr(tag: int) -> str:
    """What the dictionary (PS3.6) has, such as "CS" and "US or SS"; empty when the tag is not in it."""
    from dcmnet.dataset.bridge import dictionary_VR

    if is_private(tag):
        return "LO" if is_private_creator(tag) else ""
    try:
        return "UL" if tag & 0xFFFF == 0 else str(dictionary_VR(tag))
    except KeyError:
        return ""


@lru_cache(1 << 12)
def private_vr(tag: int, creator: str) -> str:
    """What is known of an element of a private creator; empty when nothing is."""
    from dcmnet.dataset.bridge import private_dictionary_VR

    try:
        vr = str(private_dictionary_VR(tag, creator))
    except KeyError:
        return ""
    return vr if vr in SHORT_LENGTH or vr in LONG_LENGTH else ""
