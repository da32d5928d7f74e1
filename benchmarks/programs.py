"""The programs that are compared: how each is called, started, measured and stopped.

A program is named by a word and options as its command line has them: `dcmnet --window 32`, `dcmtk+B --fork`.
`+tls` alone stands for TLS with the certificates of the cache folder, on either side.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.certificates import certificates

HERE = Path(__file__).parent
TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS = 30.0
ANSWER_LENGTH = 10_000

COUNTS = "counts.json"
"""Where in its folder the canned server says what it has received."""
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


def available(program: str) -> bool:
    """Whether it can be run here."""
    word = program.partition(" ")[0]
    if word.startswith("dcmtk"):
        return all(shutil.which(tool) for tool in ("storescu", "storescp", "echoscu"))
    return word != "pynetdicom" or find_spec("pynetdicom") is not None


def dcmtk_tool(name: str) -> str:
    """The path of DCMTK's own tool: a virtual environment may have another one of that name."""
    own = str(Path(sys.executable).parent)
    path = os.pathsep.join(folder for folder in os.environ["PATH"].split(os.pathsep) if folder != own)
    return shutil.which(name, path=path) or name


def storescp(program: str, port: int, folder: Path, pdu: int) -> list[str]:
    """The command line of a storage server."""
    word, options = _split(program)
    number = str(port)
    if word == "raw":
        return [sys.executable, str(HERE / "raw.py"), *options, "receive", number, str(folder)]
    if word == "canned":
        return [sys.executable, str(HERE / "canned_server.py"), number, str(folder / COUNTS), str(pdu)]
    if word in FACES:
        return _library("storescp", word, number, str(folder), str(pdu))
    if word == "pynetdicom":
        options += ["--max-pdu", str(pdu), "-od", str(folder), "-q"]
        return [sys.executable, "-m", "pynetdicom", "storescp", *options, number]
    options += ["-pdu", str(pdu), "-od", str(folder)]
    if word == "dcmnet":
        return [sys.executable, "-m", "dcmnet", "storescp", *options, number]
    return [dcmtk_tool("storescp"), *(["+B"] if word == "dcmtk+B" else []), *options, number]


def storescu(program: str, port: int, folder: Path, pdu: int) -> list[str]:
    """The command line of a storage client that sends a folder."""
    word, options = _split(program)
    address = ["127.0.0.1", str(port)]
    if word == "raw":
        return [sys.executable, str(HERE / "raw.py"), *options, "send", str(port), str(folder)]
    if word in FACES:
        return _library("storescu", word, str(port), str(folder), str(pdu))
    if word == "pynetdicom":
        options += ["--max-pdu", str(pdu), "-r", "-cx", "-q"]
        return [sys.executable, "-m", "pynetdicom", "storescu", *options, *address, str(folder)]
    options += ["+sd", "-pdu", str(pdu)]
    tool = [sys.executable, "-m", "dcmnet", "storescu"] if word == "dcmnet" else [dcmtk_tool("storescu")]
    return [*tool, *options, *address, str(folder)]


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


def canned_client(what: str, port: int, *arguments: str | int | Path) -> list[str]:
    """The command line of the client that sends canned bytes."""
    words = [str(each) for each in arguments]
    return [sys.executable, str(HERE / "canned_client.py"), what, str(port), *words]


def delay(port: int, target: int, milliseconds: float) -> list[str]:
    """The command line of a proxy that is a long way off."""
    return [sys.executable, str(HERE / "delay.py"), str(port), str(target), str(milliseconds)]


def _split(program: str) -> tuple[str, list[str]]:
    word, *options = program.split()
    if "+tls" in options:
        try:
            key, certificate, authority = map(str, certificates())
        except (OSError, subprocess.SubprocessError) as error:
            raise Invalid(f"no certificates: {error}") from error
        position = options.index("+tls")
        options[position : position + 1] = ["+tls", key, certificate, "+cf", authority]
    return word, options


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
        start_new_session=True,  # so that what it starts can be ended with it
    )
    assert process.stderr is not None
    complaints: deque[str] = deque(maxlen=20)
    reader = threading.Thread(target=lambda: complaints.extend(process.stderr or ()), daemon=True)
    reader.start()
    try:
        _wait_until_it_listens(process, port, complaints)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        reader.join(5)
        process.stderr.close()


def run(command: list[str], server: int | None, timeout: float) -> Usage:
    """Run a client to its end.

    Raises:
        Invalid: It failed, or took longer than `timeout` seconds.
    """
    before = processor_seconds(server)
    begun = time.perf_counter()
    process = _start(command, subprocess.DEVNULL)
    guard = threading.Timer(timeout, process.kill)
    guard.start()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    guard.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    _check(process, timeout)
    after = processor_seconds(server)
    taken = {
        "client user": usage.ru_utime,
        "client sys": usage.ru_stime,
        "server user": after[0] - before[0],
        "server sys": after[1] - before[1],
    }
    return Usage(seconds, taken)


def ask(command: list[str], timeout: float) -> dict[str, float]:
    """Run a client that prints a line of JSON; what it printed.

    Raises:
        Invalid: It failed, or took longer than `timeout` seconds.
    """
    process = _start(command, subprocess.PIPE)
    assert process.stdout is not None
    guard = threading.Timer(timeout, process.kill)
    guard.start()
    with process.stdout:
        answer = process.stdout.read(ANSWER_LENGTH)
    process.wait()
    guard.cancel()
    _check(process, timeout)
    found: dict[str, float] = json.loads(answer)
    return found


def run_watched(command: list[str], timeout: float) -> int:
    """Run a client to its end; its peak resident memory in kB.

    The system's own figure (`ru_maxrss`) has that of the process that started it in it: so look, again and
    again, at what the client says of itself.

    Raises:
        Invalid: It failed, or took longer than `timeout` seconds.
    """
    process = _start(command, subprocess.DEVNULL)
    deadline = time.monotonic() + timeout
    peak = 0
    while process.poll() is None:
        if time.monotonic() > deadline:
            process.kill()
        with suppress(Invalid):
            peak = max(peak, kilobytes(process.pid, "VmHWM"))
        time.sleep(0.005)
    _check(process, timeout)
    return peak


def _start(command: list[str], stdout: int) -> subprocess.Popen[Any]:
    return subprocess.Popen(
        command, env=environment(), stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.DEVNULL
    )


def _check(process: subprocess.Popen[Any], timeout: float) -> None:
    if process.returncode == -signal.SIGKILL:
        raise Invalid(f"{_name(process.args)} took longer than {timeout:.0f} s")
    if process.returncode != 0:
        raise Invalid(f"{_name(process.args)} ended with {process.returncode}")


def processor_seconds(pid: int | None) -> tuple[float, float]:
    """Of a process and what it started, in the program and in the system (Linux; 0 elsewhere)."""
    user = system = 0.0
    for each in [] if pid is None else _family(pid):
        try:
            text = Path(f"/proc/{each}/stat").read_text()
        except OSError:
            continue
        # Its own, and that of children that have ended and were waited for.
        own = [int(field) / TICKS for field in text.rpartition(")")[2].split()[11:15]]
        user += own[0] + own[2]
        system += own[1] + own[3]
    return user, system


def _family(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        with suppress(OSError):  # processes end while they are looked at
            for path in Path("/proc").glob(f"{parent}/task/*/children"):
                found += map(int, path.read_text().split())
    return found


def kilobytes(pid: int, field: str) -> int:
    """A figure of a process's memory: VmRSS what is resident, VmHWM the most that ever was.

    Raises:
        Invalid: The process is gone, or the system has no such figures.
    """
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1])
    raise Invalid(f"/proc has no {field}")


def _wait_until_it_listens(process: subprocess.Popen[str], port: int, complaints: deque[str]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            said = " ".join(" ".join(complaints).split())
            raise Invalid(f"the server ended with {process.returncode}: {said[-200:]}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise Invalid("the server does not listen")


def _name(command: Any) -> str:
    return " ".join(Path(word).name for word in command[:4])
