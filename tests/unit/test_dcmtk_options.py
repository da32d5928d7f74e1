"""Our tables of options against those of DCMTK's tools (tests/data/dcmtk-options.csv), row by row."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

from dcmnet.cli import catalogue
from dcmnet.cli.options import Integer, Option
from tests.unit.cli_runs import run_cli

ROOT = Path(__file__).parent.parent.parent
DIFFERENCES = (ROOT / "docs" / "reference" / "differences.md").read_text()

with (ROOT / "tests" / "data" / "dcmtk-options.csv").open(newline="") as _file:
    ROWS = list(csv.DictReader(_file))

THEIRS = tuple(list(ROWS[0])[3:])

NOT_IN_THEIR_MANUAL = {("movescu", "--request-sni")}
"""Options that DCMTK's tools take without saying so."""

REFUSED = {
    ("storescp", "+ac", "--access-control"): ["104"],
    ("movescu", "+ac", "--access-control"): ["host", "104", "-k", "0010,0020=1"],
    ("echoscu", "+vc", "--verify-cert"): ["ca.pem"],
    ("echoscu", "+rc", "--is-root-cert"): ["ca.pem"],
}
"""Options that are there to say that they cannot be had, with the words they need; differences.md has why."""


def option(tool: str, row: dict[str, str]) -> Option:
    """Our option of this row's spellings."""
    found = [
        each
        for each in catalogue.tool_of(tool).options
        if each.short == row["short"] and each.long == row["long"]
    ]
    assert len(found) == 1, f"{tool}: {row['short']} {row['long']}"
    return found[0]


def test_the_table_is_whole() -> None:
    assert len(ROWS) == 215
    counts = {tool: sum(bool(row[tool]) for row in ROWS) for tool in THEIRS}
    assert counts == {
        "dcmrecv": 62, "dcmsend": 38, "echoscu": 55, "findscu": 74, "getscu": 86, "movescu": 114,
        "storescp": 123, "storescu": 103, "termscu": 14,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("tool", "row"),
    [(tool, row) for tool in THEIRS for row in ROWS if row[tool]],
    ids=lambda each: each if isinstance(each, str) else f"{each['short']}{each['long']}",
)
def test_an_option_of_theirs_is_one_of_ours(tool: str, row: dict[str, str]) -> None:
    ours = option(tool, row)
    assert not ours.beyond_dcmtk
    assert len(ours.metavars) == number_of_values(row)
    limits = re.search(r"\((\d+)\.\.(\d+)\)", row["argument"])
    if limits is not None:
        kind = ours.kind
        assert isinstance(kind, Integer)
        assert (kind.minimum, kind.maximum) == (int(limits[1]), int(limits[2]))


def number_of_values(row: dict[str, str]) -> int:
    if row["long"] == "--key":  # one, with a comma
        return 1
    return len(row["argument"].split(",")) if row["argument"] else 0


@pytest.mark.parametrize("tool", THEIRS)
def test_what_they_do_not_have_is_marked(tool: str) -> None:
    theirs = {(row["short"], row["long"]) for row in ROWS if row[tool]} | {
        ("", long) for each, long in NOT_IN_THEIR_MANUAL if each == tool
    }
    for ours in catalogue.tool_of(tool).options:
        assert ((ours.short, ours.long) not in theirs) == ours.beyond_dcmtk, ours.long


@pytest.mark.parametrize(("tool", "short", "long"), REFUSED)
def test_what_cannot_be_had_says_so_here_and_in_the_documentation(
    capsys: pytest.CaptureFixture[str], tool: str, short: str, long: str
) -> None:
    words = REFUSED[tool, short, long]
    code, out, err = run_cli(capsys, tool, long, *words)
    assert (code, out) == (1, "")
    assert long in err
    rows = [line for line in DIFFERENCES.splitlines() if line.startswith("|") and f"`{short}`" in line]
    assert any("error" in line for line in rows)
