from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dcmnet import StorageSCP
from dcmnet.cli import demonstration
from dcmnet.storage.scp import FileStore, StoreRequest
from tests.unit.cli_runs import HOST, SAMPLE, run_cli
from tests.unit.cli_tools import logs_put_back

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _logs_put_back() -> Iterator[None]:
    with logs_put_back():
        yield


def test_everything_arrives(capsys: Capture) -> None:
    code, out, err = run_cli(capsys, "demo")
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines() if ".dcm" in line]
    assert [row[0] for row in rows] == [
        *("ct-1.dcm", "ct-2.dcm", "ct-3.dcm", "fusion.dcm", "mr.dcm", "report.dcm")
    ]
    assert [row[1] for row in rows] == ["CT", "CT", "CT", "SC", "MR", "SRe"]
    assert [row[-1] for row in rows] == ["yes"] * 6
    assert "C-ECHO: success.\n" in out
    assert "JPEG Baseline (Process 1)" in out
    assert ", all identical (288.3 kB compared).\n" in out
    command = demonstration._command()
    assert f"    {command} storescp -v --bind 127.0.0.1 -od received " in out
    assert f"    {command} storescu -v +sd 127.0.0.1 " in out


def test_the_next_steps_can_be_typed_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bin_folder = tmp_path / "my bin"
    bin_folder.mkdir()
    monkeypatch.setattr(sys, "executable", f"{bin_folder}/python")
    monkeypatch.setenv("PATH", "/nowhere")
    assert demonstration._command() == f"'{bin_folder}/python' -m dcmnet"
    (bin_folder / "dcmnet").touch(0o755)
    assert demonstration._command() == f"'{bin_folder}/dcmnet'"
    monkeypatch.setenv("PATH", str(bin_folder))
    assert demonstration._command() == "dcmnet"


def test_the_folder_of_the_sample_study_has_nothing_else(capsys: Capture, tmp_path: Path) -> None:
    """The hint sends the folder: every other file in it would be warned of."""
    with StorageSCP(tmp_path, "DEMO").start(0) as server:
        assert run_cli(capsys, "storescu", "+sd", HOST, server.port, SAMPLE) == (0, "", "")
    assert len(list(tmp_path.iterdir())) == len(list(SAMPLE.iterdir())) == 6


def test_a_changed_byte_shows(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    keep = FileStore.keep

    def spoil(self: FileStore, request: StoreRequest, path: str, duplicates: None = None) -> int:
        status = keep(self, request, path, duplicates)
        content = bytearray(Path(path).read_bytes())
        content[-1] ^= 1
        Path(path).write_bytes(content)
        return status

    monkeypatch.setattr(FileStore, "keep", spoil)
    code, out, _ = run_cli(capsys, "demo")
    assert code == 1
    assert ", not all identical" in out


def test_a_refusal_shows(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FileStore, "keep", lambda *_: 0xA700)
    code, out, _ = run_cli(capsys, "demo")
    assert code == 1
    assert "not received" in out
    assert "0xA700 (Refused: Out of Resources)" in out


def test_a_failure_is_told(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> int:
        raise OSError("no network")

    monkeypatch.setattr(demonstration, "_demonstrate", fail)
    assert run_cli(capsys, "demo") == (1, "", "the demonstration failed: no network\n")


def test_a_port_that_is_taken_is_not_suggested(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(demonstration, "_FIRST_PORT_TO_TRY", port)
        assert demonstration._free_port() not in (0, port)


def test_as_a_process() -> None:
    command = [sys.executable, "-m", "dcmnet", "demo"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.count(" yes") == 6


def test_a_narrow_character_set_will_do() -> None:
    command = [sys.executable, "-m", "dcmnet", "demo"]
    environment = {"PYTHONIOENCODING": "ascii", "PATH": "/usr/bin"}
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert (result.returncode, result.stderr) == (0, "")
