"""The rows that have a bar, as a table: `figures.py RESULT.json [PAGE.md]`.

It is printed, or put into the page between the lines that have `figures` in a comment.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

if not __package__:  # run as a script
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    sys.path.insert(1, str(Path(__file__).resolve().parent.parent / "src"))

from benchmarks.tables import VERDICTS, number_text

BEGIN = "<!-- figures: python benchmarks/figures.py RESULT.json docs/topics/performance.md -->"
END = "<!-- end of figures -->"


def lines(document: dict[str, Any]) -> Iterator[str]:
    """A line for each cell that has a bar or is the measure of one."""
    yield "| row | cell | median | ratios | bar |"
    yield "|---|---|---|---|---|"
    for row in document["rows"]:
        if not any(cell["bars"] for cell in row["cells"]):
            continue
        measures = set(row["references"].values())
        for cell in row["cells"]:
            if cell["bars"] or cell["cell"] in measures:
                yield f"| `{row['name']}` | {' | '.join(_columns(cell, row['references']))} |"


def _columns(cell: dict[str, Any], references: dict[str, str]) -> Iterator[str]:
    yield f"`{cell['cell']}`"
    named = {bar["column"] for bar in cell["bars"]}
    shown = {
        name: value
        for place, (name, value) in enumerate(cell["median"].items())
        if name in named or (place == 0 and (not named or "" in named))
    }
    if cell["invalid"] or not shown:
        yield "invalid"
    else:
        yield ", ".join(
            f"{number_text(value)}{name if name[0] == '/' else f' {name}'}" for name, value in shown.items()
        )
    own = [heading for heading, label in references.items() if label == cell["cell"]]
    ratios = {heading: value for heading, value in cell["ratios"].items() if heading not in own}
    yield ", ".join(f"{value:.2f} {heading}" for heading, value in ratios.items() if value is not None)
    yield "; ".join(f"{bar['bar']}: {VERDICTS[bar['ok']]}" for bar in cell["bars"])


def caption(document: dict[str, Any]) -> str:
    """What was measured where."""
    machine = document["machine"]
    load = machine["load"][0]
    return (
        f"{machine['processors']} processors, loopback, {machine['system'].partition('-')[0]}, "
        f"Python {machine['python'].split()[0]}, {machine['dcmtk'].strip('$ ')}; "
        f"rounds: {document['rounds']}{', with --quick' if document['quick'] else ''}; "
        f"load when it began: {load:.1f}"
    )


def put_into(page: Path, text: str) -> None:
    """Replace what is between the marks."""
    before, mark, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise SystemExit(f"{page} has no lines {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n{text}{END}{after}")


def main(result: str, *page: str) -> None:
    """Print the table, or put it into a page."""
    document = json.loads(Path(result).read_text())
    text = "\n".join([caption(document), "", *lines(document), ""])
    if page:
        put_into(Path(page[0]), text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main(*sys.argv[1:])
