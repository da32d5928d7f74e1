"""Identifiers as XML, in the form of DCMTK's dcm2xml and of `findscu -Xx`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from dcmnet.dataset.identifiers import decode_identifier
from dcmnet.dataset.printing import (
    Element,
    attribute_name,
    content_length,
    elements,
    encodings_of,
    transfer_syntax_name,
)
from dcmnet.limits import MAX_SEQUENCE_DEPTH
from dcmnet.payload import Buffer

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'

# XML 1.0 has no way to express these, not even as references.
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_HIDDEN = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "UN"))


def to_xml(data: Buffer, transfer_syntax: str, *, name: str = "identifier") -> Iterator[str]:
    """The lines of a `data-set` element; characters that XML cannot have become U+FFFD.

    Raises:
        InputFileError: It is not encoded as its transfer syntax says.
    """
    data_set = decode_identifier(data, transfer_syntax, name=name)
    yield f'<data-set xfer="{transfer_syntax}" name="{transfer_syntax_name(transfer_syntax)}">'
    yield from _content(data_set, transfer_syntax, None, 0)
    yield "</data-set>"


def _content(data_set: Any, transfer_syntax: str, encodings: Any, depth: int) -> Iterator[str]:
    for element in elements(data_set, transfer_syntax, encodings):
        if element.items is None:
            yield _element(element)
            continue
        own = encodings_of(data_set, encodings)
        yield f"<sequence {_about(element, 'card', len(element.items))}>"
        if depth < MAX_SEQUENCE_DEPTH:
            for item in element.items:
                length = content_length(item, transfer_syntax, depth)
                yield f'<item card="{len(item)}" len="{length}">'
                yield from _content(item, transfer_syntax, own, depth + 1)
                yield "</item>"
        yield "</sequence>"


def _element(element: Element) -> str:
    about = _about(element, "vm", element.multiplicity)
    if element.vr in _HIDDEN and element.value:
        return f'<element {about} binary="hidden"></element>'
    text = _NOT_IN_XML.sub("\ufffd", element.text.rstrip(" \0"))
    return f"<element {about}>{escape(text)}</element>"


def _about(element: Element, counted: str, count: int) -> str:
    tag = f"{element.tag >> 16:04x},{element.tag & 0xFFFF:04x}"
    length = "" if element.length is None else f' len="{element.length}"'
    name = quoteattr(attribute_name(element.tag))
    return f'tag="{tag}" vr="{element.vr}" {counted}="{count}"{length} name={name}'
