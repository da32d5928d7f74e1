"""What is measured: each row is a set of cells that are run in turn, round after round."""

from __future__ import annotations

import atexit
import os
import resource
import shutil
import socket
import statistics
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from benchmarks import programs
from benchmarks.objects import BATCHES, Batch, cache_folder, differences, objects_of
from benchmarks.programs import Invalid, Usage
from dcmnet.acse import ProposedContext, RequestorPolicy, build_request

VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"


class Cell(Protocol):
    """One thing that is measured, again and again."""

    label: str

    def measure(self) -> dict[str, float]:
        """One measurement; the first number is the one that counts.

        Raises:
            Invalid: It does not count.
        """


@dataclass(slots=True)
class Row:
    """Cells that are compared with each other.

    Attributes:
        name: What to select it by.
        title: For people.
        cells: What is measured, in turn.
        reference: Labels of cells; the better one of them is 1.00 in the ratios.
        more_is_better: Whether a higher number is better.
    """

    name: str
    title: str
    cells: list[Cell]
    reference: tuple[str, ...] = ()
    more_is_better: bool = True


@dataclass(slots=True)
class Transfer:
    """A client sends a folder of objects to a server, which writes them to a folder on the same disk."""

    client: str
    server: str
    batch: Batch
    count: int
    pdu: int
    timeout: float
    label: str = ""
    short: Batch = field(default_factory=lambda: BATCHES["12kB"])

    def __post_init__(self) -> None:
        self.label = f"{self.client} -> {self.server}"

    def measure(self) -> dict[str, float]:
        sent = objects_of(self.batch, self.count)
        one = objects_of(self.short, 1)
        port = programs.free_port()
        with scratch() as folder:
            with programs.running(programs.storescp(self.server, port, folder, self.pdu), port) as server:
                self._run(port, one, folder, server)  # so that everything is loaded
                base = self._run(port, one, folder, server)
                taken = self._run(port, sent, folder, server) - base
        # The short run sends one small object, which comes off as well.
        objects = self.count - 1 if self.batch is self.short else self.count
        return _rates(taken, objects, objects * self.batch.size)

    def _run(self, port: int, sent: Path, folder: Path, server: int) -> Usage:
        usage = programs.run(programs.storescu(self.client, port, sent, self.pdu), server, self.timeout)
        wrong = differences(sent, folder)
        if wrong:
            raise Invalid(f"{len(wrong)} objects: {wrong[0]}")
        _empty(folder)
        return usage


@dataclass(slots=True)
class Echo:
    """A client sends C-ECHO requests on one association."""

    client: str
    server: str
    count: int
    timeout: float
    label: str = ""

    def __post_init__(self) -> None:
        self.label = f"{self.client} -> {self.server}"

    def measure(self) -> dict[str, float]:
        port = programs.free_port()
        with scratch() as folder:
            with programs.running(programs.storescp(self.server, port, folder, 16384), port) as server:
                programs.run(programs.echoscu(self.client, port, 1), server, self.timeout)
                base = programs.run(programs.echoscu(self.client, port, 1), server, self.timeout)
                whole = programs.run(programs.echoscu(self.client, port, self.count), server, self.timeout)
        taken = whole - base
        return _rates(taken, self.count - 1, 0)


@dataclass(slots=True)
class Idle:
    """Associations that were established, have answered one C-ECHO each, and are idle."""

    server: str
    count: int
    label: str = ""

    def __post_init__(self) -> None:
        self.label = self.server

    def measure(self) -> dict[str, float]:
        port = programs.free_port()
        _allow_descriptors(self.count + 100)
        with scratch() as folder:
            with programs.running(programs.storescp(self.server, port, folder, 131072), port) as server:
                connections = [_associate(port)]
                before = programs.resident_kilobytes(server)
                try:
                    connections += [_associate(port) for _ in range(self.count - 1)]
                    after = programs.resident_kilobytes(server)
                finally:
                    for connection in connections:
                        connection.close()
        return {
            "kB each": (after - before) / (self.count - 1),
            "MB": after / 1000,
            "MB before": before / 1000,
        }


@dataclass(slots=True)
class StartUp:
    """How long a program takes that has nothing to do, over `python -c pass`."""

    label: str
    command: list[str]
    over: list[str] | None
    runs: int = 10

    def measure(self) -> dict[str, float]:
        programs.run(self.command, None, 60)
        taken, bare = [], []
        for _ in range(self.runs):
            taken.append(programs.run(self.command, None, 60).seconds)
            bare.append(0.0 if self.over is None else programs.run(self.over, None, 60).seconds)
        own = statistics.median(taken)
        base = statistics.median(bare)
        return {"ms": 1000 * (own - base), "ms whole": 1000 * own}


def rows(quick: bool) -> Iterator[Row]:
    """Every row, in the order of the table."""
    for batch in BATCHES.values():
        for pdu in (131072, 16384):
            yield _transfer_row(batch, pdu, quick)
    for batch in BATCHES.values():
        yield _pynetdicom_row(batch, quick)
    yield _echo_row(200 if quick else 5000)
    count = 100 if quick else 1000
    cells: list[Cell] = [Idle(each, count) for each in ("dcmnet-api", "dcmnet-aio", "dcmnet") if _can(each)]
    yield Row("idle", f"resident memory, {count} idle associations", cells, more_is_better=False)
    yield _start_row(3 if quick else 10)


def _transfer_row(batch: Batch, pdu: int, quick: bool) -> Row:
    count = max(1, batch.count // 10) if quick else batch.count
    pairs = [
        ("dcmnet", "dcmnet"),
        ("dcmnet-api", "dcmnet-api"),
        ("dcmnet-aio", "dcmnet-aio"),
        ("dcmtk", "dcmtk"),
        ("dcmtk", "dcmtk+B"),
        ("dcmnet", "dcmtk+B"),
        ("dcmtk", "dcmnet"),
        ("dcmnet-api", "dcmtk+B"),
        ("dcmtk", "dcmnet-api"),
        ("dcmtk", "dcmnet-aio"),
    ]
    if _can("dcmnet"):  # the tools; else what they are made of
        pairs = [pair for pair in pairs if pair not in (("dcmnet-api", "dcmtk+B"), ("dcmtk", "dcmnet-api"))]
    cells: list[Cell] = [
        Transfer(client, server, batch, count, pdu, timeout=300)
        for client, server in pairs
        if _can(client) and _can(server)
    ]
    title = f"C-STORE, {count} x {batch.name}, PDU {pdu}"
    return Row(f"{batch.name}-{pdu}", title, cells, ("dcmtk -> dcmtk", "dcmtk -> dcmtk+B"))


def _pynetdicom_row(batch: Batch, quick: bool) -> Row:
    """It is far slower: fewer objects, beside DCMTK with as many."""
    count = max(1, batch.count // (200 if quick else 20))
    cells: list[Cell] = [
        Transfer(name, name, batch, count, 131072, timeout=300)
        for name in ("pynetdicom", "dcmtk", "dcmnet" if _can("dcmnet") else "dcmnet-api")
        if _can(name)
    ]
    title = f"C-STORE, {count} x {batch.name}, PDU 131072, with pynetdicom"
    return Row(f"pynetdicom-{batch.name}", title, cells, ("dcmtk -> dcmtk",))


def _echo_row(count: int) -> Row:
    pairs = [
        ("dcmnet", "dcmnet"),
        ("dcmnet-api", "dcmnet-api"),
        ("dcmnet-aio", "dcmnet-aio"),
        ("dcmtk", "dcmtk"),
        ("dcmnet", "dcmtk"),
        ("dcmtk", "dcmnet"),
        ("dcmnet-api", "dcmtk"),
        ("dcmtk", "dcmnet-api"),
    ]
    cells: list[Cell] = [
        Echo(client, server, count, 300) for client, server in pairs if _can(client) and _can(server)
    ]
    if _can("pynetdicom"):
        cells.append(Echo("pynetdicom", "pynetdicom", max(2, count // 10), 300))
    return Row("echo", f"C-ECHO on one association, {count} times", cells, ("dcmtk -> dcmtk",))


def _start_row(runs: int) -> Row:
    python = [sys.executable, "-c", "pass"]
    commands: dict[str, tuple[list[str], list[str] | None]] = {
        "python -c pass": (python, None),
        "dcmnet --version": ([sys.executable, "-m", "dcmnet", "--version"], python),
        "dcmnet echoscu --version": ([sys.executable, "-m", "dcmnet", "echoscu", "--version"], python),
        "DCMTK echoscu --version": ([programs.dcmtk_tool("echoscu"), "--version"], None),
        "pynetdicom --version": ([sys.executable, "-m", "pynetdicom", "--version"], python),
    }
    programs_of = {"dcmnet echoscu": "dcmnet", "DCMTK": "dcmtk", "pynetdicom": "pynetdicom"}
    cells: list[Cell] = [
        StartUp(label, command, over, runs)
        for label, (command, over) in commands.items()
        if all(_can(needed) for start, needed in programs_of.items() if label.startswith(start))
    ]
    return Row("start", "start-up; Python programs over `python -c pass`", cells, more_is_better=False)


def _can(program: str) -> bool:
    return programs.available(program)


def _rates(taken: Usage, objects: int, size: int) -> dict[str, float]:
    if taken.seconds <= 0:
        raise Invalid("the long run took no longer than the short one")
    rates = {"/s": objects / taken.seconds}
    if size:
        rates["MB/s"] = size / taken.seconds / 1e6
    for name, seconds in taken.processor.items():
        rates[f"{name} ms"] = 1000 * seconds / objects
    return rates


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for received objects, on the disk that the objects are on; empty again afterwards."""
    folder = _scratch_root() / "received"
    folder.mkdir(exist_ok=True)
    try:
        yield folder
    finally:
        _empty(folder)


@cache
def _scratch_root() -> Path:
    root = cache_folder() / f"scratch.{uuid.uuid4().hex}"
    (root / "done").mkdir(parents=True)
    atexit.register(shutil.rmtree, root)
    return root


def _empty(folder: Path) -> None:
    """Take the files out of the way: emptied and put aside, not removed.

    For some seconds after a file was removed ext4 looks at its inode again and again when a file is created,
    which would be most of what is measured.
    """
    for path in folder.iterdir():
        os.truncate(path, 0)
        path.rename(_scratch_root() / "done" / uuid.uuid4().hex)


def _allow_descriptors(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(count, 4096)), hard))


def _associate(port: int) -> socket.socket:
    """An association that has been used once, on a bare socket: this side must not cost much."""
    policy = RequestorPolicy(
        called_ae_title="ANY-SCP",
        calling_ae_title="BENCH",
        contexts=(
            ProposedContext(abstract_syntax=VERIFICATION, transfer_syntaxes=(IMPLICIT_VR_LITTLE_ENDIAN,)),
        ),
    )
    connection = socket.create_connection(("127.0.0.1", port), 30)
    connection.sendall(build_request(policy).encode())
    if _pdu(connection)[0] != 2:
        raise Invalid("the association was not accepted")
    from dcmnet.dimse.messages import CEchoRQ
    from dcmnet.dimse.stream import fragment_message

    echo = CEchoRQ(message_id=1, affected_sop_class_uid=VERIFICATION)
    for parts in fragment_message(1, echo, None, 16384):
        connection.sendall(b"".join(bytes(part) for part in parts))  # type: ignore[arg-type]  # no file range
    if _pdu(connection)[0] != 4:
        raise Invalid("C-ECHO was not answered")
    return connection


def _pdu(connection: socket.socket) -> bytes:
    header = _exactly(connection, 6)
    return header + _exactly(connection, int.from_bytes(header[2:], "big"))


def _exactly(connection: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        more = connection.recv(count - len(found))
        if not more:
            raise Invalid("the server closed the connection")
        found += more
    return found


def measure(row: Row, rounds: int, say: Any) -> list[dict[str, Any]]:
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
