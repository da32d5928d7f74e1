"""Identifiers as XML, in the form of DCMTK's dcm2xml and of `findscu -Xx`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

from dcmnet.dataset.content import Element, read_elements
from dcmnet.dataset.printing import attribute_name, transfer_syntax_name
from dcmnet.errors import InputFileError
from dcmnet.payload import Buffer

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'

# XML 1.0 has no way to express these, not even as references.
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_HIDDEN = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "UN"))


def to_xml(data: Buffer, transfer_syntax: str, *, name: str = "identifier") -> Iterator[str]:
    """The lines of a `data-set` element; characters that XML cannot have become U+FFFD.

    What is wrong with a value that is not valid is a comment behind its element.

    Raises:
        InputFileError: Not all of it can be read.
    """
    content = read_elements(data, transfer_syntax)
    if content.fault:
        raise InputFileError(name, content.fault)
    yield f'<data-set xfer="{transfer_syntax}" name="{transfer_syntax_name(transfer_syntax)}">'
    yield from _elements(content.elements)
    yield "</data-set>"


def _elements(elements: tuple[Element, ...]) -> Iterator[str]:
    for element in elements:
        if element.items is None:
            yield _element(element)
            continue
        yield f"<sequence {_about(element, 'card', len(element.items))}>"
        for item in element.items:
            length = "" if item.length is None else f' len="{item.length}"'
            yield f'<item card="{len(item.elements)}"{length}>'
            yield from _elements(item.elements)
            yield "</item>"
        yield "</sequence>"


def _element(element: Element) -> str:
    about = _about(element, "vm", element.multiplicity)
    fault = f"<!-- invalid: {element.fault} -->" if element.fault else ""
    if element.vr in _HIDDEN and element.value:
        return f'<element {about} binary="hidden"></element>{fault}'
    text = _NOT_IN_XML.sub("\ufffd", element.text.rstrip(" \0"))
    return f"<element {about}>{escape(text)}</element>{fault}"


def _about(element: Element, counted: str, count: int) -> str:
    tag = f"{element.tag >> 16:04x},{element.tag & 0xFFFF:04x}"
    length = "" if element.length is None else f' len="{element.length}"'
    name = quoteattr(attribute_name(element.tag))
    return f'tag="{tag}" vr="{element.vr}" {counted}="{count}"{length} name={name}'
