"""The harness of the conformance tests: real peers as processes, and both faces of dcmnet as one thing.

A peer that is not installed fails the test: what was not tried does not conform.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import dcmnet

HOST = "127.0.0.1"
START_SECONDS = 30.0
STOP_SECONDS = 30.0
RUN_SECONDS = 120.0
PROBE_SECONDS = 0.02
START_ATTEMPTS = 3

# Without it DCMTK waits for the delayed acknowledgement of each command set: 40 ms an object.
ENVIRONMENT = {**os.environ, "TCP_NODELAY": "1", "LC_ALL": "C"}

DCMNET = (sys.executable, "-m", "dcmnet")

PACKAGES = {
    **dict.fromkeys(
        (
            "echoscu",
            "termscu",
            "storescu",
            "storescp",
            "dcmsend",
            "dcmrecv",
            "dcmconv",
            "findscu",
            "getscu",
            "movescu",
            "dcmqrscp",
            "wlmscpfs",
        ),
        "dcmtk",
    ),
    "Orthanc": "orthanc",
    "tshark": "tshark",
}


def program(name: str) -> str:
    """The path of a peer's program; without it the test fails and says what to install."""
    if os.path.isabs(name):
        return name
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if path is None:
        pytest.fail(f"{name} is not installed; on Debian and Ubuntu: apt-get install {PACKAGES[name]}")
    return path


def run(*command: str | Path, expect: int | None = 0) -> str:
    """Run a program to its end; what it said on both outputs.

    Args:
        command: Its name, or its path, and its arguments.
        expect: The exit status it must have, None for any but success.
    """
    done = subprocess.run(
        [program(str(command[0])), *map(str, command[1:])],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=RUN_SECONDS,
        check=False,
    )
    as_expected = done.returncode != 0 if expect is None else done.returncode == expect
    assert as_expected, f"{command} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


# What makes dcmconv write a transfer syntax; compressed ones it can only leave as they are.
DCMCONV_OUTPUTS = {
    "1.2.840.10008.1.2": "+ti",
    "1.2.840.10008.1.2.1": "+te",
    "1.2.840.10008.1.2.1.99": "+td",
    "1.2.840.10008.1.2.2": "+tb",
}

# ---------------------------------------------------------------------- processes


EPHEMERAL_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOWEST_PORT = 10_000


def free_port() -> int:
    """A port that is free now, and stays so until it is listened on.

    It is below those that the system gives to sockets that ask for any port, as those of other tests do.
    """
    highest = int(EPHEMERAL_PORTS.read_text().split()[0]) if EPHEMERAL_PORTS.exists() else 32_768
    while True:
        port = random.SystemRandom().randrange(LOWEST_PORT, highest)
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind((HOST, port))
            return port


@dataclass(slots=True)
class Process:
    """A peer that runs and listens."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def said(self) -> str:
        """What it has written so far."""
        return self.log.read_text("utf-8", "replace")


@contextmanager
def listening(command: Callable[[int], Sequence[str | Path]], log: Path) -> Iterator[Process]:
    """Start what listens on a port, wait until it does, and end it at the end.

    Args:
        command: Program and arguments for a port. Another port is tried when the program ends at once, as it
            does when somebody else took the port meanwhile.
        log: File for what it says.
    """
    for _ in range(START_ATTEMPTS):
        port = free_port()
        name, *arguments = map(str, command(port))
        with open(log, "wb") as output:
            process = subprocess.Popen(
                [program(name), *arguments],
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        started = Process(port, process, log)
        try:
            if _answers(started):
                yield started
                return
        finally:
            end(process)
    pytest.fail(f"{name} {arguments} does not start:\n{started.said()}")


def _answers(started: Process) -> bool:
    """Probe the port until somebody answers; False when the process ends instead."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            socket.create_connection((HOST, started.port), timeout=START_SECONDS).close()
        except OSError:
            with contextlib.suppress(subprocess.TimeoutExpired):
                started.process.wait(PROBE_SECONDS)
                return False
        else:
            return True
    pytest.fail(f"nothing listens on port {started.port} after {START_SECONDS} s:\n{started.said()}")


def end(process: subprocess.Popen[Any]) -> None:
    """End a process that these tests have started, and wait for its end."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)


def eventually(found: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:
    """Look again and again until there is something; it comes back.

    Only for what another process shows in no other way than by a file or a log.
    """
    turn = threading.Event()
    deadline = time.monotonic() + seconds
    while not (result := found()):
        assert time.monotonic() < deadline, f"after {seconds} s still no {what}"
        turn.wait(PROBE_SECONDS)
    return result


# ---------------------------------------------------------------------- both faces


@dataclass(slots=True)
class Face:
    """One face of dcmnet. `run` has what it gives awaited where that is the asyncio one."""

    name: str
    api: ModuleType | Any
    loop: asyncio.AbstractEventLoop | None = None

    def run(self, outcome: Any) -> Any:
        """The outcome of a call of the face."""
        if self.loop is None:
            return outcome
        return asyncio.run_coroutine_threadsafe(_awaited(outcome), self.loop).result(RUN_SECONDS)

    def send(self, port: int, sources: Any, **options: Any) -> dcmnet.Report:
        """Send to a peer on this machine."""
        report: dcmnet.Report = self.run(self.api.send(HOST, port, sources, **options))
        return report

    def echo(self, port: int, **options: Any) -> int:
        """C-ECHO to a peer on this machine; the status."""
        association = self.run(self.api.connect(HOST, port, **options))
        status: int = self.run(association.echo()).status
        self.run(association.release())
        return status

    @contextmanager
    def serving(self, server: Any) -> Iterator[Any]:
        """Have a server run; it has its port by then."""
        self.run(server.start(0))
        try:
            yield server
        finally:
            self.run(server.shutdown())

    def storage_scp(self, folder: Path, **options: Any) -> contextlib.AbstractContextManager[Any]:
        """A Storage SCP that keeps objects in a folder."""
        folder.mkdir(exist_ok=True)
        return self.serving(self.api.StorageSCP(folder, **options))


async def _awaited(outcome: Any) -> Any:
    return await outcome


@contextmanager
def face(name: str) -> Iterator[Face]:
    """The face "blocking" or "asyncio", the latter with an event loop in a thread of its own."""
    if name == "blocking":
        yield Face(name, dcmnet)
        return
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="conformance-loop")
    thread.start()
    try:
        yield Face(name, dcmnet.aio, loop)
    finally:
        asyncio.run_coroutine_threadsafe(loop.shutdown_default_executor(), loop).result(RUN_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


# ---------------------------------------------------------------------- files


def data_set_bytes(content: bytes) -> bytes:
    """What follows the File Meta Information of a DICOM file (PS3.10 7.1), found without dcmnet's help."""
    assert content[128:140] == b"DICM\x02\x00\x00\x00UL\x04\x00"
    return content[144 + int.from_bytes(content[140:144], "little") :]


def encoded_by_dcmtk(path: Path, transfer_syntax: str, folder: Path) -> bytes:
    """A data set as DCMTK's SCUs send it, and as Orthanc keeps and sends it, by DCMTK's own word.

    They read an object into memory and encode it anew: sequences get explicit lengths, group lengths go,
    uncompressed objects change into the accepted transfer syntax. dcmconv encodes in the same way.

    Args:
        path: The file.
        transfer_syntax: UID of the one it is wanted in.
        folder: Where a file may be written.
    """
    output = DCMCONV_OUTPUTS.get(transfer_syntax, "+t=")
    run("dcmconv", output, "+e", "-g", path, folder / "expected.dcm")
    return data_set_bytes((folder / "expected.dcm").read_bytes())


@dataclass(slots=True)
class Folder:
    """Where a peer, or dcmnet, puts what it receives."""

    path: Path

    def take(self, count: int = 1) -> list[bytes]:
        """The files that came since the last time; exactly as many as are expected."""
        files = sorted(self.path.iterdir())
        contents = self.take_any()
        assert len(files) == count, f"{len(files)} files instead of {count} in {self.path}: {files}"
        return contents

    def take_any(self) -> list[bytes]:
        """The files that came since the last time, however many."""
        files = sorted(self.path.iterdir())
        contents = [path.read_bytes() for path in files]
        for path in files:
            path.unlink()
        return contents

    def take_one(self) -> bytes:
        """The one file that came since the last time."""
        return self.take()[0]
