from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import dcmnet
from dcmnet.cli import catalogue, linking
from dcmnet.cli.link import COMMAND, SHELL
from tests.unit.cli_runs import run_cli

SOURCE = str(Path(dcmnet.__file__).parent.parent)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_command_for_each_tool_that_dcmtk_has(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    code, out, err = run_cli(capsys, "link", "--shell-scripts", folder)
    assert (code, err) == (0, "")
    assert set(catalogue.plain_names()) >= {"echoscu", "termscu", "storescu", "dcmsend", "storescp"}
    assert not {"man", "link", "demo", "asconfig"} & set(catalogue.plain_names())
    assert names(folder) == set(catalogue.plain_names())
    assert out.splitlines() == [str(folder / name) for name in catalogue.plain_names()]


def test_a_command_runs_its_tool_wherever_it_is_called(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
) -> None:
    assert run_cli(capsys, "link", "--shell-scripts", folder)[0] == 0
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "dcmnet").mkdir(parents=True)
    (elsewhere / "dcmnet" / "__main__.py").write_text("print('not this one')")
    result = subprocess.run(
        [folder / "echoscu", "a peer", "0"],
        cwd=elsewhere,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": SOURCE},
    )
    assert result.returncode == 1
    assert "error: Invalid parameter value 0 (underflow)" in result.stderr


def test_a_python_with_blanks_in_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = folder / "my python's"
    python.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(python))
    script = folder / "script"
    script.write_text(linking.text_for("--version", SHELL))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([SOURCE, *filter(None, sys.path)])}
    result = subprocess.run(["/bin/sh", script], capture_output=True, text=True, check=True, env=environment)
    assert result.stdout == f"dcmnet {dcmnet.__version__}\n"


def test_commands_for_windows(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", r"C:\100% my\python.exe")
    assert run_cli(capsys, "link", "--cmd-files", folder)[0] == 0
    assert names(folder) == {f"{name}.cmd" for name in catalogue.plain_names()}
    text = (folder / "echoscu.cmd").read_bytes()
    mark, call, rest = text.split(b"\r\n")
    assert mark == b"@rem made by `dcmnet link`"
    assert call == rb'@"C:\100%% my\python.exe" -P -m dcmnet echoscu %*'
    assert rest == b""
    assert linking.file_name("echoscu", COMMAND) == "echoscu.cmd"


def test_written_again_but_not_over_what_is_foreign(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert run_cli(capsys, "link", "--shell-scripts", folder)[0] == 0
    (folder / "echoscu").write_text("somebody else's")
    (folder / "storescu").unlink()
    code, out, err = run_cli(capsys, "link", "--shell-scripts", folder)
    assert (code, out) == (1, "")
    assert "error: there are files that are not of dcmnet: echoscu\nnothing was written; --force" in err
    assert (folder / "echoscu").read_text() == "somebody else's"
    assert not (folder / "storescu").exists()
    assert run_cli(capsys, "link", "--shell-scripts", "--force", folder)[0] == 0
    assert linking.MARK in (folder / "echoscu").read_text()
    assert os.access(folder / "storescu", os.X_OK)


def test_a_link_to_something_else_is_replaced_and_not_written_through(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
) -> None:
    real = tmp_path / "dcmtk-echoscu"
    real.write_text("DCMTK's")
    (folder / "echoscu").symlink_to(real)
    assert run_cli(capsys, "link", "--shell-scripts", folder)[0] == 1
    assert run_cli(capsys, "link", "--shell-scripts", "--force", folder)[0] == 0
    assert real.read_text() == "DCMTK's"
    assert not (folder / "echoscu").is_symlink()


def test_what_cannot_be_written(capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path) -> None:
    code, _, err = run_cli(capsys, "link", tmp_path / "nowhere")
    assert code == 1
    assert "nowhere is not a directory\nmake it first" in err
    (folder / "termscu").mkdir()
    code, _, err = run_cli(capsys, "link", "--shell-scripts", "--force", folder)
    assert code == 1
    assert "termscu is a directory\nnothing was written" in err
    assert names(folder) == {"termscu"}


def test_a_write_that_fails_leaves_nothing_behind(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: str, target: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    code, _, err = run_cli(capsys, "link", "--shell-scripts", folder)
    assert code == 1
    assert "echoscu: No space left on device" in err
    assert names(folder) == set()


def test_a_python_that_cannot_be_named(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "")
    assert run_cli(capsys, "link", folder)[0] == 1
    assert names(folder) == set()


def test_it_says_which_names_stand_for_something_else(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "echoscu").write_text("#!/bin/sh\n")
    (other / "echoscu").chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join([str(other), str(folder)]))
    code, _, err = run_cli(capsys, "link", "--shell-scripts", folder)
    assert code == 0
    assert err.splitlines()[1:] == [f"  echoscu: {other / 'echoscu'}"]
    monkeypatch.setenv("PATH", str(other))
    assert "  storescp: not found\n" in run_cli(capsys, "link", "--shell-scripts", folder)[2]
