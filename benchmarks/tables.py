"""Medians, ratios and bars of what was measured, and the table that shows them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.cells import Cell

VERDICTS = {True: "ok", False: "below", None: "?"}


@dataclass(frozen=True, slots=True)
class Bar:
    """What a cell should reach.

    Attributes:
        cell: Its label.
        limit: The number, or the ratio where there is an `of`.
        of: A name in the row's `references`.
        column: Which number; the first one unless given.
        at_most: The limit is above.
    """

    cell: str
    limit: float
    of: str = ""
    column: str = ""
    at_most: bool = False

    def __str__(self) -> str:
        if self.of:
            return f"{self.limit:g} {self.of}"
        return f"{self.column or 'first'} {'<' if self.at_most else '>='} {self.limit:g}"

    def judge(self, result: dict[str, Any]) -> dict[str, Any]:
        """The bar as it goes into the document; `ok` is None where there is nothing to judge."""
        value = result["ratios"].get(self.of) if self.of else self._measured(result["median"])
        ok = None
        if value is not None:
            ok = value < self.limit if self.at_most else value >= self.limit
        return {"bar": str(self), "column": self.column, "value": value, "ok": ok}

    def _measured(self, median: dict[str, float]) -> float | None:
        return median.get(self.column or next(iter(median), ""))


@dataclass(slots=True)
class Row:
    """Cells that are compared with each other.

    Attributes:
        name: What to select it by.
        title: For people.
        cells: What is measured, in turn.
        references: Headings of ratios, and the label of the cell that is 1.00 in each.
        bars: What cells should reach.
    """

    name: str
    title: str
    cells: list[Cell]
    references: dict[str, str] = field(default_factory=dict)
    bars: Sequence[Bar] = ()


def summed_up(row: Row, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add medians, ranges, ratios and bars to what `measure` found."""
    for result in results:
        valid = [run for run in result["runs"] if run is not None]
        names = list(valid[0]) if valid else []
        result["median"] = {name: statistics.median(run[name] for run in valid) for name in names}
        if valid:
            first = [run[names[0]] for run in valid]
            result["range"] = [min(first), max(first)]
    by_label = {result["cell"]: result for result in results}
    for result in results:
        result["ratios"] = {
            heading: ratio(result["runs"], by_label[label]["runs"])
            for heading, label in row.references.items()
            if label in by_label
        }
        result["bars"] = [bar.judge(result) for bar in row.bars if bar.cell == result["cell"]]
    return results


def ratio(
    runs: Sequence[dict[str, float] | None], reference: Sequence[dict[str, float] | None]
) -> float | None:
    """The median of the ratios of each round: what disturbs a round disturbs both of its measurements."""
    ratios = [
        next(iter(own.values())) / next(iter(other.values()))
        for own, other in zip(runs, reference, strict=True)
        if own is not None and other is not None
    ]
    return statistics.median(ratios) if ratios else None


def table(row: Row, cells: Sequence[dict[str, Any]]) -> str:
    """The row for people."""
    names = next((list(cell["median"]) for cell in cells if cell["median"]), [])
    headings = [each for each in row.references if any(each in cell["ratios"] for cell in cells)]
    head = ["", *names, "min..max", *headings, "bar"]
    lines = [head]
    for cell in cells:
        numbers = [number_text(cell["median"].get(name)) for name in names]
        spread = (
            f"{number_text(cell['range'][0])}..{number_text(cell['range'][1])}" if "range" in cell else "-"
        )
        ratios = [_ratio(cell["ratios"].get(heading)) for heading in headings]
        lines.append([cell["cell"], *numbers, spread, *ratios, _remark(cell)])
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    text = [f"\n{row.name}: {row.title}"]
    for first, *others, last in lines:
        padded = [word.rjust(width) for word, width in zip(others, widths[1:-1], strict=True)]
        text.append("  ".join([first.ljust(widths[0]), *padded, last]).rstrip())
    return "\n".join(text)


def _remark(cell: dict[str, Any]) -> str:
    bars = [f"{each['bar']} {VERDICTS[each['ok']]}" for each in cell["bars"]]
    wrong = [f"INVALID: {cell['invalid'][0]}"] if cell["invalid"] else []
    return "; ".join([*bars, *wrong])


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def number_text(value: float | None) -> str:
    """With as many digits as count."""
    if value is None:
        return "-"
    if abs(value) < 1e-9:  # a difference of equal times
        return "0"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"
