"""Measure dcmnet beside DCMTK and pynetdicom: `python benchmarks/run.py --help`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

if not __package__:  # run as a script
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks import programs
from benchmarks.objects import cache_folder
from benchmarks.rows import measure, rows
from benchmarks.tables import summed_up, table


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
    file = Path(options.json) if options.json else cache_folder() / "result.json"
    document: dict[str, Any] = {"machine": _machine(), "rounds": rounds, "quick": options.quick, "rows": []}
    for row in selected:
        row.cells = [cell for cell in row.cells if _wanted(cell.label, options.cells)]
        if not row.cells:
            continue
        cells = summed_up(row, measure(row, rounds, _say))
        document["rows"].append(
            {"name": row.name, "title": row.title, "references": row.references, "cells": cells}
        )
        print(table(row, cells), flush=True)
        file.write_text(json.dumps(document, indent=1) + "\n")
    _say(f"every measurement: {file}")
    return int(any(cell["invalid"] for row in document["rows"] for cell in row["cells"]))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure dcmnet beside DCMTK and pynetdicom.")
    parser.add_argument("rows", nargs="*", help="names or patterns of rows, such as '12kB-*' (default: all)")
    parser.add_argument("--list", action="store_true", help="show the rows and their cells, measure nothing")
    parser.add_argument("--quick", action="store_true", help="a fifth of the objects, one round")
    parser.add_argument("--rounds", type=int, help="how often every cell is measured (default: 5)")
    parser.add_argument("--cells", action="append", help="only cells whose label matches this pattern")
    parser.add_argument(
        "--json",
        metavar="FILE",
        help="where every measurement goes (default: result.json in the cache folder)",
    )
    return parser


def _wanted(label: str, patterns: list[str] | None) -> bool:
    return not patterns or any(fnmatch(label, pattern) for pattern in patterns)


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
