"""An object of 2 GiB passes through both faces, and neither end grows by it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest

from tests.conformance.peers import ENVIRONMENT, RUN_SECONDS, data_set_bytes, end

GIB = 1 << 30
PIXELS = 2 * GIB
PEAK_KIB = 64 * 1024
SAMPLES = 64
SAMPLE_LENGTH = 1 << 16

# The peak is VmHWM, that of the program itself: what getrusage says begins with the peak of its parent.
SHOW_PEAK = 'print("\\n".join(line for line in open("/proc/self/status") if line.startswith("VmHWM")))'

SENDERS = {
    "blocking": f"""
import sys
import dcmnet
dcmnet.send("127.0.0.1", int(sys.argv[1]), sys.argv[2]).raise_for_failures()
{SHOW_PEAK}
""",
    "asyncio": f"""
import asyncio, sys
import dcmnet
asyncio.run(dcmnet.aio.send("127.0.0.1", int(sys.argv[1]), sys.argv[2])).raise_for_failures()
{SHOW_PEAK}
""",
}

# Each says on which port it listens, and ends when its standard input does.
RECEIVERS = {
    "blocking": f"""
import sys
import dcmnet
with dcmnet.StorageSCP(sys.argv[1]).start(0) as server:
    print(server.port, flush=True)
    sys.stdin.read()
{SHOW_PEAK}
""",
    "asyncio": f"""
import asyncio, sys
import dcmnet
async def main():
    server = dcmnet.aio.StorageSCP(sys.argv[1])
    await server.start(0)
    print(server.port, flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.shutdown()
asyncio.run(main())
{SHOW_PEAK}
""",
}


@pytest.fixture
def big_object(objects: dict[str, Path], tmp_path: Path) -> Iterator[Path]:
    """A valid file with 2 GiB of Pixel Data, nearly all of it a hole; it has marks to know places by."""
    path = tmp_path / "big.dcm"
    ds = pydicom.dcmread(objects["explicit_little"])
    del ds.PixelData
    ds.save_as(path)
    with open(path, "ab") as file:
        file.write(b"\xe0\x7f\x10\x00OB\x00\x00" + PIXELS.to_bytes(4, "little"))
        start = file.tell()
        file.truncate(start + PIXELS)
    with open(path, "r+b") as file:
        for offset in sample_offsets(start + PIXELS):
            file.seek(max(offset, start))
            file.write(hashlib.sha256(str(offset).encode()).digest())
    try:
        yield path
    finally:
        path.unlink()


def sample_offsets(size: int) -> list[int]:
    """Where samples are taken: from the first byte to the last, at even distances."""
    last = size - SAMPLE_LENGTH
    return [last * number // (SAMPLES - 1) for number in range(SAMPLES)]


def sample_digests(path: Path, start: int) -> list[str]:
    """Digests of samples of a file, from `start` on."""
    fd = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(fd).st_size - start
        samples = (os.pread(fd, SAMPLE_LENGTH, start + offset) for offset in sample_offsets(size))
        return [hashlib.sha256(sample).hexdigest() for sample in samples]
    finally:
        os.close(fd)


def data_set_start(path: Path) -> int:
    """Where the data set of a file begins."""
    with open(path, "rb") as file:
        head = file.read(4096)
    return len(head) - len(data_set_bytes(head))


def peak_kib(said: str) -> int:
    """The peak of resident memory that a script has shown at its end."""
    found = re.search(r"VmHWM:\s*(\d+) kB", said)
    assert found is not None, said
    return int(found[1])


@contextmanager
def running(script: str, *arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Run a script of Python with pipes to it; end it if it does not end by itself."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            end(process)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that goes with all that is in it: pytest keeps those of the last runs."""
    path = tmp_path / "received"
    path.mkdir()
    try:
        yield path
    finally:
        shutil.rmtree(path)


@pytest.mark.parametrize("face", ["blocking", "asyncio"])
def test_two_gibibytes(face: str, big_object: Path, folder: Path) -> None:
    with running(RECEIVERS[face], folder) as receiver:
        assert receiver.stdout is not None
        port = receiver.stdout.readline().strip()
        assert port.isdigit(), port + receiver.stdout.read()
        with running(SENDERS[face], port, big_object) as sender:
            sent, _ = sender.communicate(timeout=RUN_SECONDS)
        assert sender.returncode == 0, sent
        received, _ = receiver.communicate(timeout=RUN_SECONDS)
        assert receiver.returncode == 0, received
    (arrived,) = folder.iterdir()
    start, arrived_start = data_set_start(big_object), data_set_start(arrived)
    assert arrived.stat().st_size - arrived_start == big_object.stat().st_size - start
    assert sample_digests(arrived, arrived_start) == sample_digests(big_object, start)
    peaks = {"sender": peak_kib(sent), "receiver": peak_kib(received)}
    print(f"{face}: peaks in KiB {peaks}")
    assert max(peaks.values()) < PEAK_KIB, peaks
