"""Output that breaks, or that is not read, ends no server and no transfer."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dcmnet
from dcmnet.cli import json_queue, logs
from dcmnet.cli.json_output import JsonLines
from dcmnet.cli.json_queue import QueuedJsonLines
from dcmnet.storage import report_file
from tests.faces.wire import DEADLINE
from tests.unit.cli_runs import CT, HOST, MR

FULL = Path("/dev/full")


def tool(*words: object, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "dcmnet", *map(str, words)], **options)


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, Path]]:
    """A `storescp --json` whose first line has been read, its port and its folder."""
    folder = tmp_path / "received"
    folder.mkdir()
    words = ("storescp", "--json", "--bind", HOST, "-od", folder, 0)
    with (tmp_path / "log").open("wb") as log:
        process = tool(*words, stdout=subprocess.PIPE, stderr=log)
    assert process.stdout is not None
    try:
        yield process, json.loads(process.stdout.readline())["port"], folder
    finally:
        if process.poll() is None:
            process.kill()
        process.stdout.close()
        process.wait(DEADLINE)


def test_a_server_whose_reader_has_gone(receiver: tuple[subprocess.Popen[bytes], int, Path]) -> None:
    process, port, folder = receiver
    assert process.stdout is not None
    process.stdout.close()
    for path in (CT, MR):
        assert dcmnet.send(HOST, port, path).ok
    process.terminate()
    assert process.wait(DEADLINE) == 0
    assert len(list(folder.iterdir())) == 2
    assert (folder.parent / "log").read_text().count("cannot write JSON lines to stdout") == 1


def test_a_server_whose_reader_has_stalled(receiver: tuple[subprocess.Popen[bytes], int, Path]) -> None:
    process, port, _ = receiver
    assert dcmnet.send(HOST, port, [CT] * 400).ok  # a pipe holds 64 KiB
    process.terminate()
    assert process.wait(DEADLINE) == 0


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_a_transfer_whose_output_goes_to_a_full_device(tmp_path: Path) -> None:
    with dcmnet.StorageSCP(tmp_path).start(0) as server, FULL.open("wb") as full:
        process = tool("storescu", "--json", HOST, server.port, CT, MR, stdout=full, stderr=subprocess.PIPE)
        _, complaint = process.communicate(timeout=DEADLINE)
    assert process.returncode == 1
    assert len(list(tmp_path.iterdir())) == 2
    assert "Traceback" not in complaint.decode()
    assert "cannot write the output: No space left on device" in complaint.decode()


def test_a_transfer_whose_reader_has_gone(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with dcmnet.StorageSCP(tmp_path).start(0) as server:
        process = tool(
            "storescu", "--json", HOST, server.port, CT, MR, stdout=writing, stderr=subprocess.PIPE
        )
        os.close(writing)
        _, complaint = process.communicate(timeout=DEADLINE)
    assert (process.returncode, len(list(tmp_path.iterdir()))) == (141, 2)
    assert "Traceback" not in complaint.decode()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_report_into_a_pipe_does_not_replace_it(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    report_file.check_writable(str(pipe))
    report_file.write_file(str(pipe), "the report")
    reader.join(DEADLINE)
    assert (read, pipe.is_fifo()) == (["the report"], True)


# ---------------------------------------------------------------------- JSON lines


class Broken(io.StringIO):
    def flush(self) -> None:
        raise BrokenPipeError(32, "Broken pipe")


def test_lines_that_are_essential_and_lines_that_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BrokenPipeError):
        JsonLines(Broken(), is_essential=True).event("first")
    lines = JsonLines(Broken())
    lines.event("first")
    lines.event("second")
    lines.close(3)
    with pytest.raises(BrokenPipeError):
        lines.close(0)
    whole = JsonLines(io.StringIO())
    whole.event("first")
    whole.close()


class Stalled(io.StringIO):
    """A stream whose reader takes nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.go = threading.Event()

    def write(self, text: str) -> int:
        self.entered.set()
        assert self.go.wait(DEADLINE)
        return super().write(text)


def test_what_does_not_fit_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_queue, "MAX_WAITING", 3)
    stream = Stalled()
    lines = QueuedJsonLines(stream)
    lines.event("first")
    assert stream.entered.wait(DEADLINE)
    for number in range(10):
        lines.event("later", number=number)
    stream.go.set()
    last = 0
    while "dropped" not in stream.getvalue():  # until there is room again
        lines.event("last", number=last)
        last += 1
    lines.close()
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [each.get("number") for each in events[1:4]] == [0, 1, 2]
    dropped = next(each["lines"] for each in events if each["event"] == "dropped")
    assert dropped >= 7


def test_closing_does_not_wait_for_a_stalled_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_queue, "CLOSE_SECONDS", 0.05)
    stream = Stalled()
    lines = QueuedJsonLines(stream)
    lines.close()  # nothing has been written
    lines.event("first")
    lines.close()
    stream.go.set()


# ---------------------------------------------------------------------- logs


def test_a_log_that_cannot_be_written_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    handler = logs.tell_once(logging.StreamHandler(Broken()))
    for _ in range(3):
        handler.handle(logging.makeLogRecord({"msg": "hello"}))
    assert capsys.readouterr().err == "W: cannot write the log: [Errno 32] Broken pipe\n"
