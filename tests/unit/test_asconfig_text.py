from __future__ import annotations

import pytest

from dcmnet.asconfig_text import Problems, canonical, nearest, read_sections, shown, some
from dcmnet.limits import MAX_PROBLEMS

Sections = dict[str, dict[str, list[tuple[str, str]]]]


def read(text: str) -> tuple[Sections, list[tuple[str, int]], list[tuple[str, int]]]:
    """Supersections, sections and entries; errors; warnings."""
    problems = Problems()
    tree = read_sections(text, problems)
    found = {
        name: {
            section.name: [(entry.key, entry.value) for entry in section.entries] for section in each.sections
        }
        for name, each in tree.items()
    }
    errors, warnings = problems.errors, problems.warnings
    return found, [(each.kind, each.line) for each in errors], [(each.kind, each.line) for each in warnings]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_lines(end: str) -> None:
    text = end.join(["# a comment", "[[Two]]", "", "[One]", "Key = Value", "Other=#x=y"])
    expected = {"TWO": {"ONE": [("Key", "Value"), ("Other", "#x=y")]}}
    assert read(text) == (expected, [], [])
    assert read(text + end) == (expected, [], [])
    assert read("\ufeff" + text) == (expected, [], [("byte-order-mark", 1)])
    assert read(text.replace(" ", "\0")) == (expected, [], [])


def test_trailing_blanks_are_kept() -> None:
    assert read("[[A]]\n[B]\nk =  v \t")[0] == {"A": {"B": [("k", "v \t")]}}


@pytest.mark.parametrize(
    ("line", "warned"),
    [
        ("[[Name]]", []),
        ("[[Name]]  ", []),
        ("[[[Name]]]", []),
        ("[[ N,am e ]]", []),
        ("[[Name]", [("brackets", 1)]),
        ("[[name", [("brackets", 1)]),
        ("[[Name]] # it", [("header", 1)]),
        (" [[Name]]", []),
    ],
)
def test_headers(line: str, warned: list[tuple[str, int]]) -> None:
    assert read(f"{line}\n[S]\nk = v") == ({"NAME": {"S": [("k", "v")]}}, [], warned)


def test_sections_of_the_same_name_stay_apart() -> None:
    problems = Problems()
    tree = read_sections("[[A]]\n[B]\nk=1\n[[X]]\n[[a]]\n[B]\nk=2\n[C\n", problems)
    assert [(each.title, each.line, len(each.entries)) for each in tree["A"].sections] == [
        ("B", 2, 1),
        ("B", 6, 1),
        ("C", 8, 0),
    ]
    assert [problem.text for problem in problems.warnings] == ["'[C' lacks a bracket"]


@pytest.mark.parametrize(
    ("text", "expected", "errors", "warned"),
    [
        ("k = v", {}, [], [("orphan", 1)]),
        ("[A]\nk = v", {}, [], [("orphan", 1)]),
        ("[[A]]\nk = v", {"A": {}}, [], [("orphan", 2)]),
        ("[[A]]\n[B]\nk", {"A": {"B": []}}, [("line", 3)], []),
        ("[[A]]\n [B]\n  k = v", {"A": {"B": [("k", "v")]}}, [], []),
        ("[[A]]\n[B]\nk=v\n\n\tl=w", {"A": {"B": [("k", "v"), ("l", "w")]}}, [], [("indentation", 5)]),
        ("[[A]]\n[B]\nk=v\n [C]", {"A": {"B": [("k", "v")], "C": []}}, [], [("indentation", 4)]),
        ("[[A]]\n[B]\nk = v\n  # c", {"A": {"B": [("k", "v")]}}, [], [("indentation", 4)]),
        ("[[A]]\n[B]\nk = v\n  w", {"A": {"B": [("k", "v")]}}, [("line", 4)], []),
        ("[[A]]\n[.]\nk = v", {"A": {"": [("k", "v")]}}, [("name", 2)], []),
        ("[[]]", {"": {}}, [("name", 1)], []),
        ("[[A]]\n[B]\n=", {"A": {"B": [("", "")]}}, [], []),
    ],
)
def test_what_is_odd(
    text: str, expected: Sections, errors: list[tuple[str, int]], warned: list[tuple[str, int]]
) -> None:
    assert read(text) == (expected, errors, warned)


def test_a_line_that_is_nothing_is_told_of_with_a_remedy() -> None:
    problems = Problems()
    read_sections("TransferSyntax1 LittleEndian\x1b", problems)
    assert [problem.describe("f.cfg") for problem in problems.errors] == [
        "f.cfg:1: 'TransferSyntax1 LittleEndian\\x1b' is neither a [section], an entry with '=' "
        "nor a comment: write Key = Value, or begin the line with '#'"
    ]


def test_names() -> None:
    assert canonical(" Ultra-sound_Profile 2!é") == "ULTRA-SOUND_PROFILE2"
    assert shown("x" * 100) == "'" + "x" * 80 + "...'"
    assert nearest("Profile", ["Profiles"]) == "did you mean Profiles?"
    assert nearest("?", ["Profiles"]) == ""
    assert some("abc") == "a, b, c"
    assert some("abcdefghijk") == "a, b, c, d, e, f, g, h, i, j and others"


def test_problems_are_bounded() -> None:
    _, errors, _ = read("x\n" * (MAX_PROBLEMS + 1))
    assert len(errors) == MAX_PROBLEMS
    _, _, warnings = read("k = v\n" * (MAX_PROBLEMS + 1))
    assert len(warnings) == MAX_PROBLEMS
