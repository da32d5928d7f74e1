"""What the elements of a data set, or of an item, say about one another's value representations."""

from __future__ import annotations

from dcmnet.dataset.elements import Element, MalformedDataSet
from dcmnet.dataset.representations import (
    LONG_LENGTH,
    SHORT_LENGTH,
    is_private,
    is_private_creator,
    private_vr,
    public_vr,
)

PIXEL_DATA = 0x7FE00010
_PIXEL_REPRESENTATION = 0x00280103
_BITS_ALLOCATED = 0x00280100
_WAVEFORM_BITS_ALLOCATED = 0x54001004
_WAVEFORM_GROUP = 0x5400


class Level:
    """The elements of a data set or of an item, and those around it.

    Args:
        elements: Its elements.
        parent: What the item belongs to; None for a data set.
    """

    __slots__ = ("_by_tag", "_elements", "_parent")

    def __init__(self, elements: list[Element], parent: Level | None = None) -> None:
        self._elements = elements
        self._parent = parent
        self._by_tag: dict[int, Element] | None = None  # few levels are asked

    def get(self, tag: int) -> Element | None:
        """The element with this tag; None when there is none here."""
        if self._by_tag is None:
            self._by_tag = {element.tag: element for element in self._elements}
        return self._by_tag.get(tag)

    def number(self, tag: int) -> int | None:
        """The value of an US, here or in the nearest level around; None when there is none."""
        level: Level | None = self
        while level is not None:
            element = level.get(tag)
            if element is not None and len(element.value) >= 2:
                return int.from_bytes(element.value[:2], "little" if element.little else "big")
            level = level._parent
        return None

    def vr_of(self, element: Element, *, known_vrs: bool = False) -> str:
        """The value representation that the element has in Explicit VR (PS3.5 6.2, A.1, A.2).

        Args:
            element: One of this level.
            known_vrs: Whether the dictionary is believed rather than an UN.

        Raises:
            MalformedDataSet: It cannot be found out.
        """
        vr = element.vr
        if vr == "UN" and known_vrs:
            vr = self._known(element.tag) or vr
            return self._decided(element, "UN" if vr == "SQ" else vr)
        if not vr:
            vr = self._known(element.tag) or "UN"
        return self._decided(element, vr)

    def _known(self, tag: int) -> str:
        if not is_private(tag) or is_private_creator(tag):
            return public_vr(tag)
        creator = self.get(tag & 0xFFFF0000 | tag >> 8 & 0xFF)
        if creator is None:
            return ""
        vr = private_vr(tag, bytes(creator.value).decode("latin-1").strip(" \0"))
        return "" if vr == "SQ" else vr  # of known length, it stays as opaque as it came

    def _decided(self, element: Element, vr: str) -> str:
        if vr == "OB" and element.tag == PIXEL_DATA and element.little:
            # PS3.5 A.2: native Pixel Data of more than 8 bits are OW; what was decompressed may still say OB
            return "OW" if (self.number(_BITS_ALLOCATED) or 0) > 8 else vr
        if vr in SHORT_LENGTH or vr in LONG_LENGTH:
            return vr
        if vr == "US or SS":
            # PS3.3 C.7.6.3.1: Pixel Representation says so; without it there are no pixels, and DCMTK and
            # pydicom take US
            return "SS" if self.number(_PIXEL_REPRESENTATION) == 1 else "US"
        if vr == "US or OW":  # PS3.3 C.11.1.1: one number is an US
            return "US" if len(element.value) == 2 else "OW"
        if vr == "OB or OW":
            return self._bytes_or_words(element)
        return "OW" if "OW" in vr else vr if len(vr) == 2 else "UN"

    def _bytes_or_words(self, element: Element) -> str:
        # PS3.5 A.1: in Implicit VR they are words, which they may stay in the other syntaxes (A.2)
        if element.tag >> 16 == _WAVEFORM_GROUP:  # PS3.5 8.3
            return "OB" if self.number(_WAVEFORM_BITS_ALLOCATED) == 8 else "OW"
        if element.tag == PIXEL_DATA and element.vr:  # made in memory, and not read as Implicit VR
            bits = self.number(_BITS_ALLOCATED)
            if bits is None:
                raise MalformedDataSet("has Pixel Data (7FE0,0010) and no Bits Allocated (0028,0100)")
            return "OB" if bits <= 8 else "OW"  # PS3.5 A.2
        return "OW"
