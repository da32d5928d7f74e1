"""The text of an association negotiation file: lines to sections and entries, with what is odd about them.

DCMTK's format: two levels of sections, `[[Supersection]]` and `[Section]`, with entries `Key = Value`. A line
that begins with `#` is a comment. Of names and keys only letters, digits, `-` and `_` count, in any case.
What DCMTK reads otherwise than its writer meant, or not at all, is read as it was meant, with a warning.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Literal

from dcmnet._records import dataclass, field
from dcmnet.limits import MAX_PROBLEMS

_LINE_END = re.compile(r"\r\n|\r|\n")
_HEADER = re.compile(r"(\[+)([^\]]*)(\]*)(.*)", re.DOTALL)
_BLANKS = " \t\v\f"
_BYTE_ORDER_MARK = "\ufeff"
_LONGEST_SHOWN = 80
_MOST_NAMED = 10
_MOST_COMPARED = 1000


@dataclass(frozen=True, slots=True)
class Problem:
    """Something about a file that its writer should know.

    Attributes:
        severity: "error": the file cannot be used. "warning": it can, but DCMTK's tools read it otherwise.
        kind: One of a fixed set of words, for programs.
        line: Number of the line, from 1; 0 for the file as a whole.
        text: What is wrong.
        fix: What to do about it; may be empty.
    """

    severity: Literal["error", "warning"]
    kind: str
    line: int
    text: str
    fix: str = ""

    def describe(self, name: str) -> str:
        """File, line, what is wrong and what to do about it, for a person."""
        where = f"{name}:{self.line}" if self.line else name
        return f"{where}: {self.text}" + (f": {self.fix}" if self.fix else "")


class Problems:
    """Collects problems, up to MAX_PROBLEMS of either severity."""

    def __init__(self) -> None:
        self.errors: list[Problem] = []
        self.warnings: list[Problem] = []

    def error(self, kind: str, line: int, text: str, fix: str = "") -> None:
        """Note why the file cannot be used."""
        if len(self.errors) < MAX_PROBLEMS:
            self.errors.append(Problem("error", kind, line, text, fix))

    def warn(self, kind: str, line: int, text: str, fix: str = "") -> None:
        """Note what DCMTK reads otherwise."""
        if len(self.warnings) < MAX_PROBLEMS:
            self.warnings.append(Problem("warning", kind, line, text, fix))


@dataclass(frozen=True, slots=True)
class Entry:
    """`Key = Value`.

    Attributes:
        key: As it was written, without blanks around it.
        value: As it was written, without the blanks before it.
        line: Where it is.
    """

    key: str
    value: str
    line: int


@dataclass(frozen=True, slots=True)
class Section:
    """`[Name]` and the entries below.

    Attributes:
        title: The name as it was written, in printable characters.
        line: Where it begins.
        entries: In their order.
    """

    title: str
    line: int
    entries: list[Entry] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What counts of the title."""
        return canonical(self.title)


@dataclass(frozen=True, slots=True)
class Supersection:
    """`[[Name]]` and the sections below; supersections of the same name are joined."""

    title: str
    line: int
    sections: list[Section] = field(default_factory=list)


def canonical(name: str) -> str:
    """What counts of a name or key: letters, digits, `-` and `_`, in upper case."""
    return "".join(each for each in name if each.isascii() and (each.isalnum() or each in "-_")).upper()


def shown(text: str) -> str:
    """Text of the file for a message: quoted, unprintable characters escaped, not too long."""
    return repr(text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "...")


def printable(text: str) -> str:
    """The text with a replacement character for each that a terminal might obey."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def nearest(word: str, words: Iterable[str]) -> str:
    """`did you mean ...?`, or nothing."""
    import difflib  # only needed for a mistake

    near = difflib.get_close_matches(word[:_LONGEST_SHOWN], islice(words, _MOST_COMPARED), n=1)
    return f"did you mean {near[0]}?" if near else ""


def some(names: Iterable[str]) -> str:
    """The first of the names, as many as a person reads."""
    first = list(islice(names, _MOST_NAMED + 1))
    return ", ".join(first[:_MOST_NAMED]) + (" and others" if len(first) > _MOST_NAMED else "")


def read_sections(text: str, problems: Problems) -> dict[str, Supersection]:
    """The supersections of a text by name."""
    reader = _Reader(problems)
    if text.startswith(_BYTE_ORDER_MARK):
        fix = "save the file as UTF-8 without it"
        problems.warn(
            "byte-order-mark", 1, "begins with a byte order mark; DCMTK refuses the file for it", fix
        )
    for line, content in _lines(text):
        reader.take(line, content)
    return reader.supersections


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines that are neither blank nor comments, with their numbers."""
    text = text.removeprefix(_BYTE_ORDER_MARK).replace("\0", " ")
    for number, line in enumerate(_LINE_END.split(text), 1):
        if line.strip(_BLANKS) and line[0] != "#":
            yield number, line


class _Reader:
    def __init__(self, problems: Problems) -> None:
        self.supersections: dict[str, Supersection] = {}
        self._problems = problems
        self._supersection: Supersection | None = None
        self._section: Section | None = None
        self._after_entry = False

    def take(self, line: int, content: str) -> None:
        body = content.lstrip(_BLANKS)
        if body != content and self._after_entry:
            self._indented(line, body)
        if body[0] == "[":
            self._take_header(line, body)
        elif body[0] == "#":
            pass  # a comment all the same
        elif "=" in body:
            self._take_entry(line, body)
        else:
            what = f"{shown(body.rstrip(_BLANKS))} is neither a [section], an entry with '=' nor a comment"
            self._problems.error("line", line, what, "write Key = Value, or begin the line with '#'")

    def _indented(self, line: int, body: str) -> None:
        if body[0] in "[#" or "=" in body:
            text = "blanks at the start of the line, which make it a part of the value before for DCMTK"
            self._problems.warn("indentation", line, text, "let it begin in the first column")

    def _take_header(self, line: int, body: str) -> None:
        self._after_entry = False
        match = _HEADER.fullmatch(body)
        assert match is not None  # it begins with a bracket
        opening, title, closing, rest = match.groups()
        title = printable(title.strip(_BLANKS))
        level = min(len(opening), 2)
        if len(closing) < level:
            expected = "[" * level + title + "]" * level
            self._problems.warn("brackets", line, f"{shown(body)} lacks a bracket", f"write {expected}")
        if rest.strip(_BLANKS):
            text = f"{shown(rest.strip(_BLANKS))} behind {shown(title)} does not count"
            self._problems.warn("header", line, text, "put a comment on a line of its own")
        if not canonical(title):
            self._problems.error(
                "name", line, f"{shown(title)} is no name", "use letters, digits, '-' and '_'"
            )
        if level == 2:
            self._supersection = self.supersections.setdefault(canonical(title), Supersection(title, line))
            self._section = None
        else:
            self._section = Section(title, line)
            self._add_section(self._section)

    def _add_section(self, section: Section) -> None:
        if self._supersection is None:
            text = f"section [{section.title}] comes before the first [[supersection]], so it does not count"
            self._problems.warn("orphan", section.line, text, "move it below the one it belongs to")
        else:
            self._supersection.sections.append(section)

    def _take_entry(self, line: int, body: str) -> None:
        self._after_entry = True
        key, _, value = body.partition("=")
        entry = Entry(key.strip(_BLANKS), value.lstrip(_BLANKS), line)
        if self._section is None:
            text = f"{shown(entry.key)} stands in no [section], so it does not count"
            self._problems.warn("orphan", line, text, "write the [section] above it")
        else:
            self._section.entries.append(entry)
