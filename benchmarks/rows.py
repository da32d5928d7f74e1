"""What is measured: each row is a set of cells that are run in turn, round after round."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from benchmarks import programs
from benchmarks.cells import Associations, Canned, Cell, Echo, Peak, StartUp, Transfer
from benchmarks.idle import Idle
from benchmarks.objects import BATCHES, HUGE, HUGE_IN_SHORT, Batch
from benchmarks.programs import Invalid
from benchmarks.tables import Bar, Row

OURS = "dcmnet -> dcmnet"
ASYNCIO = "dcmnet-aio -> dcmnet-aio"
WINDOW = ("dcmnet --window 32", "dcmnet --max-window 32")
WITH_WINDOW = " -> ".join(WINDOW)
DCMTK = {"of DCMTK": "dcmtk -> dcmtk"}
"""The peer of the bars is DCMTK as it is by default."""
BOTH = {**DCMTK, "of +B": "dcmtk -> dcmtk+B"}
RAW = {"of raw": "raw -> raw"}

LOCKSTEP_BARS = {
    "12kB-131072": (
        Bar(OURS, 2, "of DCMTK"),
        Bar(WITH_WINDOW, 4, "of DCMTK"),
        Bar(ASYNCIO, 1, "of DCMTK"),
    ),
    "527kB-131072": (Bar(OURS, 1.4, "of DCMTK"), Bar(OURS, 0.7, "of raw"), Bar(ASYNCIO, 1, "of DCMTK")),
    "527kB-16384": (Bar(OURS, 1.2, "of DCMTK"),),
    "524MB-131072": (Bar(OURS, 1, "of DCMTK"), Bar(OURS, 0.75, "of raw")),
}
SCP_BARS = {"12kB": 1.3, "527kB": 1.0}
SCU_BARS = {"12kB": 4.0, "527kB": 2.0}


def rows(quick: bool) -> Iterator[Row]:
    """Every row, in the order of the table."""
    for batch in BATCHES.values():
        for pdu in (131072, 16384):
            yield _lockstep_row(batch, pdu, _some(batch.count, quick))
    yield _tls_row(_some(BATCHES["527kB"].count, quick))
    for name, count in (("12kB", 5000), ("527kB", 500)):
        yield _scp_row(BATCHES[name], _some(count, quick))
    for name in ("12kB", "527kB"):
        yield _scu_row(BATCHES[name], _some(BATCHES[name].count, quick))
    yield _distant_row(quick)
    yield _echo_row(_some(5000, quick))
    for at_once in (1, 16):
        yield _association_row(_some(2000, quick), at_once)
    yield from _idle_rows(quick)
    yield _peak_row(HUGE_IN_SHORT if quick else HUGE)
    yield _start_row(3 if quick else 10)
    for batch in BATCHES.values():
        yield _pynetdicom_row(batch, quick)


def _some(count: int, quick: bool) -> int:
    return max(1, count // 5) if quick else count


def _transfers(
    pairs: Iterable[tuple[str, str]], batch: Batch, count: int, pdu: int, delay: float = 0.0
) -> list[Cell]:
    return [
        Transfer(client, server, batch, count, pdu, delay)
        for client, server in pairs
        if _can(client) and _can(server)
    ]


def _lockstep_row(batch: Batch, pdu: int, count: int) -> Row:
    name = f"{batch.name}-{pdu}"
    pairs = [
        ("dcmnet", "dcmnet"),
        ("dcmtk", "dcmtk"),
        ("dcmtk", "dcmtk+B"),
        ("dcmnet-api", "dcmnet-api"),
        ("dcmnet-aio", "dcmnet-aio"),
        ("dcmnet", "dcmtk+B"),
        ("dcmtk", "dcmnet"),
        ("dcmtk", "dcmnet-aio"),
    ]
    if pdu == 131072:  # there are no PDUs in the raw pair
        pairs[3:3] = [("raw", "raw"), ("raw --spin", "raw --spin")]
    if name == "12kB-131072":
        pairs.insert(1, WINDOW)
    title = f"C-STORE, {count} x {batch.name}, PDU {pdu}"
    return Row(
        name,
        title,
        _transfers(pairs, batch, count, pdu),
        BOTH | RAW if ("raw", "raw") in pairs else BOTH,
        LOCKSTEP_BARS.get(name, ()),
    )


def _tls_row(count: int) -> Row:
    ours = "dcmnet +tls -> dcmnet +tls"
    pairs = [("dcmnet +tls", "dcmnet +tls"), ("dcmtk +tls", "dcmtk +tls"), ("dcmtk +tls", "dcmtk+B +tls")]
    references = {"of DCMTK": "dcmtk +tls -> dcmtk +tls", "of +B": "dcmtk +tls -> dcmtk+B +tls"}
    return Row(
        "527kB-tls",
        f"C-STORE over TLS 1.3, {count} x 527kB, PDU 131072",
        _transfers(pairs, BATCHES["527kB"], count, 131072),
        references,
        (Bar(ours, 1, "of DCMTK"),),
    )


def _scp_row(batch: Batch, count: int) -> Row:
    """The receiving side alone: the client is the same for all, and does next to nothing."""
    servers = ("dcmnet", "dcmnet --workers 2", "dcmtk --fork", "dcmtk+B --fork", "canned")
    return Row(
        f"scp-{batch.name}",
        f"C-STORE, canned bytes on 16 associations at once, {count} x {batch.name}, PDU 131072",
        [Canned(each, batch, count, 16) for each in servers if _can(each)],
        {
            "of DCMTK": "canned -> dcmtk --fork",
            "of +B": "canned -> dcmtk+B --fork",
            "of canned": "canned -> canned",
        },
        (Bar("canned -> dcmnet --workers 2", SCP_BARS[batch.name], "of DCMTK"),),
    )


def _scu_row(batch: Batch, count: int) -> Row:
    """The sending side alone: the server is the same for all, and does next to nothing."""
    pairs = [(client, "canned") for client in ("dcmnet", WINDOW[0], "dcmtk", "dcmnet-api", "dcmnet-aio")]
    return Row(
        f"scu-{batch.name}",
        f"C-STORE to canned answers, {count} x {batch.name}, PDU 131072",
        _transfers(pairs, batch, count, 131072),
        {"of DCMTK": "dcmtk -> canned"},
        # In lockstep the canned server takes most of the time that the bar leaves for both ends.
        [Bar(f"{WINDOW[0]} -> canned", SCU_BARS[batch.name], "of DCMTK")],
    )


def _distant_row(quick: bool) -> Row:
    batch = BATCHES["12kB"]
    # Lockstep gets through 50 a second: fewer objects are as good.
    few, many = (20, 400) if quick else (200, 2000)
    return Row(
        "rtt-20ms",
        f"C-STORE, {few} or (window 32) {many} x 12kB, PDU 131072, with a round trip of 20 ms",
        [
            *_transfers([WINDOW], batch, many, 131072, 10),
            *_transfers([("dcmnet", "dcmnet"), ("dcmtk", "dcmtk")], batch, few, 131072, 10),
        ],
        {"of window 1": OURS, **DCMTK},
        (Bar(WITH_WINDOW, 15, "of window 1"),),
    )


def _pynetdicom_row(batch: Batch, quick: bool) -> Row:
    """It is far slower: fewer objects do, the numbers are for each."""
    few, many = max(1, batch.count // 50), _some(batch.count, quick)
    cells = _transfers([("pynetdicom", "pynetdicom")], batch, few, 131072)
    cells += _transfers([("dcmtk", "dcmtk"), ("dcmnet", "dcmnet")], batch, many, 131072)
    title = f"C-STORE, {many} (pynetdicom {few}) x {batch.name}, PDU 131072"
    return Row(f"pynetdicom-{batch.name}", title, cells, DCMTK)


def _echo_row(count: int) -> Row:
    pairs = [
        ("dcmnet", "dcmnet"),
        ("dcmtk", "dcmtk"),
        ("dcmnet-api", "dcmnet-api"),
        ("dcmnet-aio", "dcmnet-aio"),
        ("dcmnet", "dcmtk"),
        ("dcmtk", "dcmnet"),
    ]
    cells: list[Cell] = [
        Echo(client, server, count) for client, server in pairs if _can(client) and _can(server)
    ]
    if _can("pynetdicom"):
        cells.append(Echo("pynetdicom", "pynetdicom", max(2, count // 10)))
    title = f"C-ECHO on one association, {count} times"
    return Row("echo", title, cells, DCMTK, (Bar(OURS, 1, "of DCMTK"), Bar(ASYNCIO, 1, "of DCMTK")))


def _association_row(count: int, at_once: int) -> Row:
    servers = ["dcmnet", "dcmnet --workers 2", "dcmnet-aio", "dcmtk --fork"]
    references = {"of DCMTK --fork": "canned -> dcmtk --fork"}
    if at_once == 1:
        servers.append("dcmtk")  # serves one after the other
        references["of DCMTK"] = "canned -> dcmtk"
    return Row(
        "association" if at_once == 1 else f"association-{at_once}",
        f"associate, C-ECHO, release: {count} times, {at_once} at once",
        [Associations(each, count, at_once) for each in servers if _can(each)],
        references,
        (Bar("canned -> dcmnet", 8, "of DCMTK --fork"),),
    )


def _idle_rows(quick: bool) -> Iterator[Row]:
    seconds = 2 if quick else 10
    count = 100 if quick else 900  # of one address storescp takes 1000
    cells: list[Cell] = [Idle(each, count, 2) for each in ("dcmnet", "dcmnet-api", "dcmnet-aio")]
    yield Row("idle", f"{count} idle associations", cells)
    count = 500 if quick else 5000
    bars = (
        Bar("dcmnet-aio", 15, column="kB each", at_most=True),
        Bar("dcmnet-aio", 1, column="CPU %", at_most=True),
        Bar("dcmnet-aio", 5, column="echo p95 ms", at_most=True),
    )
    title = f"{count} idle associations in one process, for {seconds} s"
    yield Row("idle-5000", title, [Idle("dcmnet-aio", count, seconds)], bars=bars)


def _peak_row(batch: Batch) -> Row:
    pairs = [("dcmnet", "dcmnet"), ("dcmnet-aio", "dcmnet-aio"), ("dcmtk", "dcmtk+B")]
    return Row(
        "memory",
        f"peak of resident memory, one object of {batch.name}",
        [Peak(client, server, batch) for client, server in pairs if _can(client) and _can(server)],
        bars=(Bar(OURS, 48, column="MiB at most", at_most=True),),
    )


def _start_row(runs: int) -> Row:
    python = [sys.executable, "-c", "pass"]
    commands: dict[str, tuple[list[str], list[str] | None]] = {
        "python -c pass": (python, None),
        "import dcmnet": ([sys.executable, "-c", "import dcmnet"], python),
        "from dcmnet import connect": ([sys.executable, "-c", "from dcmnet import connect"], python),
        "dcmnet --version": ([sys.executable, "-m", "dcmnet", "--version"], python),
        "dcmnet echoscu --version": ([sys.executable, "-m", "dcmnet", "echoscu", "--version"], python),
        "dcmtk echoscu --version": ([programs.dcmtk_tool("echoscu"), "--version"], None),
        "pynetdicom --version": ([sys.executable, "-m", "pynetdicom", "--version"], python),
    }
    cells: list[Cell] = [
        StartUp(label, command, over, runs)
        for label, (command, over) in commands.items()
        if _can(label.partition(" ")[0])
    ]
    bars = (
        Bar("dcmnet echoscu --version", 60, column="ms whole", at_most=True),
        Bar("import dcmnet", 35, column="ms", at_most=True),
    )
    return Row("start", "start-up; `ms` is over `python -c pass` for what is Python", cells, bars=bars)


def _can(program: str) -> bool:
    return programs.available(program)


def measure(row: Row, rounds: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Measure a row's cells in turn, `rounds` times; every measurement, and what was wrong."""
    results: list[dict[str, Any]] = [{"cell": cell.label, "runs": [], "invalid": []} for cell in row.cells]
    for number in range(rounds):
        for cell, result in zip(row.cells, results, strict=True):
            begun = time.perf_counter()
            try:
                result["runs"].append(cell.measure())
            except Invalid as reason:
                result["runs"].append(None)
                result["invalid"].append(str(reason))
            say(f"{row.name} {number + 1}/{rounds} {cell.label}: {time.perf_counter() - begun:.1f} s")
    return results
