"""Transfers, echoes and associations between two programs: what one measurement does."""

from __future__ import annotations

import json
import statistics
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from benchmarks import programs
from benchmarks.canned import Template, instance_uid
from benchmarks.objects import BATCHES, Batch, data_set_start, differences, objects_of, read_head
from benchmarks.programs import Invalid, Usage
from benchmarks.scratch import empty, scratch

TIMEOUT = 300.0
SHORT_RUNS = 3
"""Of runs that do as good as nothing, whose time comes off; the middle one of them counts."""


class Cell(Protocol):
    """One thing that is measured, again and again."""

    label: str

    def measure(self) -> dict[str, float]:
        """One measurement; the first number is the one that counts.

        Raises:
            Invalid: It does not count.
        """


@dataclass(slots=True)
class Transfer:
    """A client sends a folder of objects to a server, which writes them to a folder on the same disk.

    Attributes:
        client: The program that sends.
        server: The program that receives; `canned` counts the objects and writes nothing.
        batch: What is sent.
        count: How much of it.
        pdu: Maximum PDU length of both.
        delay: Milliseconds that everything takes on its way, in either direction.
    """

    client: str
    server: str
    batch: Batch
    count: int
    pdu: int
    delay: float = 0.0
    label: str = ""
    short: Batch = field(default_factory=lambda: BATCHES["12kB"])

    def __post_init__(self) -> None:
        self.label = f"{self.client} -> {self.server}"

    def measure(self) -> dict[str, float]:
        sent = objects_of(self.batch, self.count)
        one = objects_of(self.short, 1)
        with ExitStack() as stack:
            folder = stack.enter_context(scratch())
            port = programs.free_port()
            command = programs.storescp(self.server, port, folder, self.pdu)
            server = stack.enter_context(programs.running(command, port))
            if self.delay:
                target, port = port, programs.free_port()
                stack.enter_context(programs.running(programs.delay(port, target, self.delay), port))
            self._run(port, one, folder, server)  # so that everything is loaded
            base = _middle([self._run(port, one, folder, server) for _ in range(SHORT_RUNS)])
            taken = self._run(port, sent, folder, server) - base
        # The short run sends one small object, which comes off as well.
        objects = self.count - 1 if self.batch is self.short else self.count
        return rates(taken, objects, objects * self.batch.size)

    def _run(self, port: int, sent: Path, folder: Path, server: int) -> Usage:
        counted = _counted(folder)
        usage = programs.run(programs.storescu(self.client, port, sent, self.pdu), server, TIMEOUT)
        if self.server == "canned":
            _check_counts(sent, counted, _counted(folder))
            return usage
        wrong = differences(sent, folder)
        if wrong:
            raise Invalid(f"{len(wrong)} objects: {wrong[0]}")
        empty(folder)
        return usage


def _middle(runs: list[Usage]) -> Usage:
    return sorted(runs, key=lambda each: each.seconds)[len(runs) // 2]


def _counted(folder: Path) -> dict[str, int]:
    """What the canned server has received so far."""
    path = folder / programs.COUNTS
    counts: dict[str, int] = json.loads(path.read_text()) if path.exists() else {"objects": 0, "octets": 0}
    return counts


def _check_counts(sent: Path, before: dict[str, int], after: dict[str, int]) -> None:
    paths = list(sent.iterdir())
    octets = sum(path.stat().st_size - data_set_start(path) for path in paths)
    expected = {"objects": before["objects"] + len(paths), "octets": before["octets"] + octets}
    if after != expected:
        raise Invalid(f"received {after} in all, expected {expected}")


@dataclass(slots=True)
class Echo:
    """A client sends C-ECHO requests on one association."""

    client: str
    server: str
    count: int
    label: str = ""

    def __post_init__(self) -> None:
        self.label = f"{self.client} -> {self.server}"

    def measure(self) -> dict[str, float]:
        port = programs.free_port()
        with scratch() as folder:
            with programs.running(programs.storescp(self.server, port, folder, 16384), port) as server:
                programs.run(programs.echoscu(self.client, port, 1), server, TIMEOUT)
                once = programs.echoscu(self.client, port, 1)
                base = _middle([programs.run(once, server, TIMEOUT) for _ in range(SHORT_RUNS)])
                whole = programs.run(programs.echoscu(self.client, port, self.count), server, TIMEOUT)
        return rates(whole - base, self.count - 1, 0)


@dataclass(slots=True)
class Canned:
    """The canned client stores objects on many associations at once; its own clock counts.

    Attributes:
        server: The program that receives; `canned` writes nothing, and is the most that this client can do.
        batch: Whose first object is sent, each time as another instance.
        count: How often.
        associations: So many at once.
    """

    server: str
    batch: Batch
    count: int
    associations: int
    label: str = ""

    def __post_init__(self) -> None:
        self.label = f"canned -> {self.server}"

    def measure(self) -> dict[str, float]:
        path = next(objects_of(self.batch, 1).iterdir())
        template = Template(path)
        port = programs.free_port()
        with scratch() as folder:
            with programs.running(programs.storescp(self.server, port, folder, 131072), port) as server:
                self._run(port, template, path, self.associations, folder)  # so that everything is loaded
                before = programs.processor_seconds(server)
                found = self._run(port, template, path, self.count, folder)
                after = programs.processor_seconds(server)
        size = self.count * self.batch.size
        return {
            "/s": self.count / found["seconds"],
            "MB/s": size / found["seconds"] / 1e6,
            "server user ms": 1000 * (after[0] - before[0]) / self.count,
            "server sys ms": 1000 * (after[1] - before[1]) / self.count,
        }

    def _run(self, port: int, template: Template, path: Path, count: int, folder: Path) -> dict[str, float]:
        before = _counted(folder)
        command = programs.canned_client("store", port, path, count, self.associations)
        found = programs.ask(command, TIMEOUT)
        if found["responses"] != count:
            raise Invalid(f"{found['responses']:.0f} responses for {count} objects")
        if self.server == "canned":
            after = _counted(folder)
            octets = count * len(template.data_set)
            if after != {"objects": before["objects"] + count, "octets": before["octets"] + octets}:
                raise Invalid(f"received {after}")
            return found
        _check_instances(template, count, folder)
        empty(folder)
        return found


def _check_instances(template: Template, count: int, folder: Path) -> None:
    """See that every instance is there once, as it was sent."""
    there = {read_head(path)[0].sop_instance_uid: path for path in folder.rglob("*") if path.is_file()}
    if len(there) != count:
        raise Invalid(f"{len(there)} objects received of {count}")
    for number in range(count):
        path = there.get(instance_uid(number))
        if path is None:
            raise Invalid(f"object {number} is missing")
        if path.read_bytes()[data_set_start(path) :] != template.data_set_of(number):
            raise Invalid(f"{path.name} differs")


@dataclass(slots=True)
class Associations:
    """The canned client associates, sends one C-ECHO and releases, again and again; its own clock counts."""

    server: str
    count: int
    at_once: int
    label: str = ""

    def __post_init__(self) -> None:
        self.label = f"canned -> {self.server}"

    def measure(self) -> dict[str, float]:
        port = programs.free_port()
        with scratch() as folder:
            with programs.running(programs.storescp(self.server, port, folder, 16384), port) as server:
                self._run(port, 4 * self.at_once)
                before = programs.processor_seconds(server)
                found = self._run(port, self.count)
                after = programs.processor_seconds(server)
        return {
            "/s": self.count / found["seconds"],
            "server user ms": 1000 * (after[0] - before[0]) / self.count,
            "server sys ms": 1000 * (after[1] - before[1]) / self.count,
        }

    def _run(self, port: int, count: int) -> dict[str, float]:
        found = programs.ask(programs.canned_client("associate", port, count, self.at_once), TIMEOUT)
        if found["responses"] != count:
            raise Invalid(f"{found['responses']:.0f} responses for {count} associations")
        return found


@dataclass(slots=True)
class Peak:
    """The most memory that is resident in either process while one object is sent."""

    client: str
    server: str
    batch: Batch
    label: str = ""

    def __post_init__(self) -> None:
        self.label = f"{self.client} -> {self.server}"

    def measure(self) -> dict[str, float]:
        sent = objects_of(self.batch, 1)
        port = programs.free_port()
        with scratch() as folder:
            with programs.running(programs.storescp(self.server, port, folder, 131072), port) as server:
                command = programs.storescu(self.client, port, sent, 131072)
                client_peak = programs.run_watched(command, TIMEOUT) / 1024
                server_peak = programs.kilobytes(server, "VmHWM") / 1024
            wrong = differences(sent, folder)
            if wrong:
                raise Invalid(wrong[0])
        return {
            "MiB at most": max(client_peak, server_peak),
            "client MiB": client_peak,
            "server MiB": server_peak,
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


def rates(taken: Usage, objects: int, size: int) -> dict[str, float]:
    """Objects and bytes a second, and processor time of each object.

    Raises:
        Invalid: No time is left.
    """
    if taken.seconds <= 0:
        raise Invalid("the long run took no longer than the short one")
    found = {"/s": objects / taken.seconds}
    if size:
        found["MB/s"] = size / taken.seconds / 1e6
    for name, seconds in taken.processor.items():
        found[f"{name} ms"] = 1000 * seconds / objects
    return found
