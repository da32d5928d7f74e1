"""The programs that are compared: how each is called, started, measured and stopped."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).parent
TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS = 30.0

CLIENTS = ("dcmnet", "dcmnet-api", "dcmnet-aio", "dcmtk", "pynetdicom")
SERVERS = ("dcmnet", "dcmnet-api", "dcmnet-aio", "dcmtk", "dcmtk+B", "pynetdicom")
FACES = {"dcmnet-api": "sync", "dcmnet-aio": "aio"}


class Invalid(Exception):
    """A measurement that does not count, and why."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one run took.

    Attributes:
        seconds: On the clock.
        processor: Processor time in seconds, of the client and the server, in the program and in the system.
    """

    seconds: float
    processor: dict[str, float]

    def __sub__(self, other: Usage) -> Usage:
        taken = {name: seconds - other.processor[name] for name, seconds in self.processor.items()}
        return Usage(self.seconds - other.seconds, taken)


def environment() -> dict[str, str]:
    """As on a user's machine: byte code is cached, and DCMTK does not wait for acknowledgements."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    source = str(HERE.parent / "src")
    paths = [source, kept["PYTHONPATH"]] if kept.get("PYTHONPATH") else [source]
    return kept | {"TCP_NODELAY": "1", "PYTHONPATH": os.pathsep.join(paths)}


@cache
def available(program: str) -> bool:
    """Whether it can be run here."""
    if program.startswith("dcmtk"):
        return all(shutil.which(tool) for tool in ("storescu", "storescp", "echoscu"))
    if program == "dcmnet":
        return find_spec("dcmnet.cli.storescu") is not None and find_spec("dcmnet.cli.storescp") is not None
    return program != "pynetdicom" or find_spec("pynetdicom") is not None


def dcmtk_tool(name: str) -> str:
    """The path of DCMTK's own tool: a virtual environment may have another one of that name."""
    own = str(Path(sys.executable).parent)
    path = os.pathsep.join(folder for folder in os.environ["PATH"].split(os.pathsep) if folder != own)
    return shutil.which(name, path=path) or name


def storescp(program: str, port: int, folder: Path, pdu: int) -> list[str]:
    """The command line of a storage server."""
    number = str(port)
    if program == "dcmnet":
        return [sys.executable, "-m", "dcmnet", "storescp", "-pdu", str(pdu), "-od", str(folder), number]
    if program == "pynetdicom":
        options = ["--max-pdu", str(pdu), "-od", str(folder), "-q"]
        return [sys.executable, "-m", "pynetdicom", "storescp", *options, number]
    if program in FACES:
        return _library("storescp", program, number, str(folder), str(pdu))
    modes = ["+B"] if program == "dcmtk+B" else []
    return [dcmtk_tool("storescp"), *modes, "-pdu", str(pdu), "-od", str(folder), number]


def storescu(program: str, port: int, folder: Path, pdu: int) -> list[str]:
    """The command line of a storage client that sends a folder."""
    address = ["127.0.0.1", str(port)]
    if program == "dcmnet":
        options = ["+sd", "-pdu", str(pdu)]
        return [sys.executable, "-m", "dcmnet", "storescu", *options, *address, str(folder)]
    if program == "pynetdicom":
        options = ["--max-pdu", str(pdu), "-r", "-cx", "-q"]
        return [sys.executable, "-m", "pynetdicom", "storescu", *options, *address, str(folder)]
    if program in FACES:
        return _library("storescu", program, str(port), str(folder), str(pdu))
    return [dcmtk_tool("storescu"), "+sd", "-pdu", str(pdu), *address, str(folder)]


def echoscu(program: str, port: int, count: int) -> list[str]:
    """The command line of a client that sends C-ECHO requests on one association."""
    options = ["--repeat", str(count), "127.0.0.1", str(port)]
    if program == "dcmnet":
        return [sys.executable, "-m", "dcmnet", "echoscu", *options]
    if program == "pynetdicom":
        return [sys.executable, "-m", "pynetdicom", "echoscu", "-q", *options]
    if program in FACES:
        return _library("echoscu", program, str(port), str(count))
    return [dcmtk_tool("echoscu"), *options]


def _library(what: str, program: str, *arguments: str) -> list[str]:
    return [sys.executable, str(HERE / "library.py"), what, FACES[program], *arguments]


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextmanager
def running(command: list[str], port: int) -> Iterator[int]:
    """A server, from when it accepts connections; its process id."""
    process = subprocess.Popen(
        command,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    complaints: list[str] = []
    reader = threading.Thread(target=lambda: complaints.extend(process.stderr or ()), daemon=True)
    reader.start()
    try:
        _wait_until_it_listens(process, port, complaints)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(5)
        process.stderr.close()


def run(command: list[str], server: int | None, timeout: float) -> Usage:
    """Run a client to its end.

    Raises:
        Invalid: It failed, or took longer than `timeout` seconds.
    """
    user, system = processor_seconds(server)
    begun = time.perf_counter()
    process = subprocess.Popen(
        command,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    guard = threading.Timer(timeout, process.kill)
    guard.start()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    guard.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode == -signal.SIGKILL:
        raise Invalid(f"{_name(command)} took longer than {timeout:.0f} s")
    if process.returncode != 0:
        raise Invalid(f"{_name(command)} ended with {process.returncode}")
    user_after, system_after = processor_seconds(server)
    taken = {
        "client user": usage.ru_utime,
        "client sys": usage.ru_stime,
        "server user": user_after - user,
        "server sys": system_after - system,
    }
    return Usage(seconds, taken)


def processor_seconds(pid: int | None) -> tuple[float, float]:
    """Processor time of a process and its threads, in the program and in the system (Linux; 0 elsewhere)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0, 0.0
    fields = text.rpartition(")")[2].split()
    return int(fields[11]) / TICKS, int(fields[12]) / TICKS


def resident_kilobytes(pid: int) -> int:
    """Resident memory of a process, from /proc/PID/status."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise Invalid("/proc has no VmRSS")


def _wait_until_it_listens(process: subprocess.Popen[str], port: int, complaints: list[str]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Invalid(
                f"the server ended with {process.returncode}: {' '.join(complaints).strip()[-300:]}"
            )
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise Invalid("the server does not listen")


def _name(command: list[str]) -> str:
    return " ".join(Path(word).name for word in command[:4])
