"""Measure dcmnet beside DCMTK and pynetdicom: `python benchmarks/run.py --help`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

if not __package__:  # run as a script
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks import programs
from benchmarks.rows import Row, measure, rows


def main(argv: Sequence[str] | None = None) -> int:
    """Run the rows that were asked for; 1 when a cell is invalid."""
    options = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that scratch folders are removed
    selected = [
        row
        for row in rows(options.quick)
        if not options.rows or any(fnmatch(row.name, each) for each in options.rows)
    ]
    if options.list:
        for row in selected:
            print(f"{row.name:20} {row.title}: {', '.join(cell.label for cell in row.cells)}")
        return 0
    rounds = options.rounds or (1 if options.quick else 5)
    document: dict[str, Any] = {"machine": _machine(), "rounds": rounds, "quick": options.quick, "rows": []}
    for row in selected:
        row.cells = [cell for cell in row.cells if _wanted(cell.label, options.cells)]
        if not row.cells:
            continue
        cells = _summed_up(row, measure(row, rounds, _say))
        document["rows"].append({"name": row.name, "title": row.title, "cells": cells})
        print(_table(row, cells), flush=True)
        if options.json:
            Path(options.json).write_text(json.dumps(document, indent=1) + "\n")
    return int(any(cell["invalid"] for row in document["rows"] for cell in row["cells"]))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure dcmnet beside DCMTK and pynetdicom.")
    parser.add_argument("rows", nargs="*", help="names or patterns of rows, such as '12kB-*' (default: all)")
    parser.add_argument("--list", action="store_true", help="show the rows and their cells, measure nothing")
    parser.add_argument("--quick", action="store_true", help="a tenth of the objects, one round")
    parser.add_argument("--rounds", type=int, help="how often every cell is measured (default: 5)")
    parser.add_argument("--cells", action="append", help="only cells whose label matches this pattern")
    parser.add_argument("--json", metavar="FILE", help="write every measurement to FILE")
    return parser


def _wanted(label: str, patterns: list[str] | None) -> bool:
    return not patterns or any(fnmatch(label, pattern) for pattern in patterns)


def _summed_up(row: Row, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for result in results:
        valid = [run for run in result["runs"] if run is not None]
        names = list(valid[0]) if valid else []
        result["median"] = {name: statistics.median(run[name] for run in valid) for name in names}
        if valid:
            first = [run[names[0]] for run in valid]
            result["range"] = [min(first), max(first)]
    reference = _reference(row, results)
    for result in results:
        result["ratio"] = None if reference is None else _ratio(result, reference)
    return results


def _reference(row: Row, results: list[dict[str, Any]]) -> dict[str, Any] | None:
    candidates = [each for each in results if each["cell"] in row.reference and each["median"]]
    if not candidates:
        return None
    return max(candidates, key=lambda each: float(next(iter(each["median"].values()))))


def _ratio(result: dict[str, Any], reference: dict[str, Any]) -> float | None:
    """The median of the ratios of each round: what disturbs a round disturbs both of its measurements."""
    ratios = [
        next(iter(own.values())) / next(iter(other.values()))
        for own, other in zip(result["runs"], reference["runs"], strict=True)
        if own is not None and other is not None
    ]
    return statistics.median(ratios) if ratios else None


def _table(row: Row, cells: list[dict[str, Any]]) -> str:
    names = next((list(cell["median"]) for cell in cells if cell["median"]), [])
    head = ["", *names, "min..max", "ratio", ""]
    lines = [head]
    for cell in cells:
        numbers = [_number(cell["median"].get(name)) for name in names]
        spread = f"{_number(cell['range'][0])}..{_number(cell['range'][1])}" if "range" in cell else "-"
        ratio = "-" if cell["ratio"] is None else f"{cell['ratio']:.2f}"
        remark = f"INVALID: {cell['invalid'][0]}" if cell["invalid"] else ""
        lines.append([cell["cell"], *numbers, spread, ratio, remark])
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    text = [f"\n{row.name}: {row.title}"]
    for line in lines:
        first, *others = line
        padded = [word.rjust(width) for word, width in zip(others[:-1], widths[1:-1], strict=True)]
        text.append("  ".join([first.ljust(widths[0]), *padded, others[-1]]).rstrip())
    return "\n".join(text)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def _machine() -> dict[str, Any]:
    command = [programs.dcmtk_tool("echoscu"), "--version"]
    try:
        dcmtk = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[0]
    except OSError:
        dcmtk = ""
    return {
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "load": os.getloadavg(),
        "python": sys.version,
        "dcmtk": dcmtk,
    }


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
