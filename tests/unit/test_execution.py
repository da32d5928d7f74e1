from __future__ import annotations

import logging
import os
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from dcmnet.cli.execution import Command, Runner, cleaned, output_beside_json, safe_path
from dcmnet.cli.options import UsageError

VALUES = {"a": "CALLING", "c": "CALLED", "f": "CT.1", "p": "in/x y", "r": "host"}
DEADLINE = 30


class Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


@pytest.fixture
def log() -> tuple[logging.Logger, Records]:
    log, records = logging.Logger("x"), Records()
    log.addHandler(records)
    return log, records


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("run #a #c #f #p #r", ["run", "CALLING", "CALLED", "CT.1", "in/x y", "host"]),
        ("run '#p/#f'", ["run", "in/x y/CT.1"]),
        ('run "a  b" --from=#a', ["run", "a  b", "--from=CALLING"]),
        ("run # #x ##a a#", ["run", "#", "#x", "#CALLING", "a#"]),
    ],
)
def test_placeholders(text: str, words: list[str]) -> None:
    assert Command(text, "--x").arguments(VALUES) == words


def test_a_value_is_not_looked_into_again() -> None:
    assert Command("run #a", "--x").arguments({"a": "#p $(x) `y` 'z'", "p": "secret"})[1:] == [
        "#p $(x) `y` 'z'"
    ]
    assert Command("run #p#f", "--x").uses("f")
    assert not Command("run #p", "--x").uses("f")


@pytest.mark.parametrize("text", ["", "  ", "run 'x"])
def test_commands_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="Invalid value for option --exec-on-reception"):
        Command(text, "--exec-on-reception")


@pytest.mark.parametrize("text", ["echo a > b", "a | b", "a; b", "a && b"])
def test_a_shell_is_missed(text: str) -> None:
    assert "there is no shell" in Command(text, "--x").warning
    assert Command("sh -c 'a > b; c | d'", "--x").warning == ""


@pytest.mark.parametrize(
    ("value", "safe"),
    [
        ("STORESCU", "STORESCU"),
        ("a b.c:d@e_f-g", "a b.c:d@e_f-g"),
        ("-rf", "_rf"),
        ("--help", "_-help"),
        ("..", "_."),
        ("@file", "_file"),
        ("$(id)`x`;'\"\\|&<>", "__id__x_________"),
        ("a\nb\0c\x1b", "a_b_c_"),
        ("ÄÖ", "__"),
        ("", ""),
        ("   ", ""),
        ("x" * 500, "x" * 128),
    ],
)
def test_values_off_the_wire(value: str, safe: str) -> None:
    assert cleaned(value) == safe


def test_paths_that_look_like_options() -> None:
    assert safe_path("-x/y") == os.path.join(".", "-x/y")
    assert safe_path("+x") == os.path.join(".", "+x")
    assert safe_path("x") == "x"


def script(path: Path) -> str:
    return (
        f"{sys.executable} -c 'import os, sys; "
        'open(sys.argv[1], "w").write(repr([sys.argv[2:], os.environ["DCMNET_CALLING_AE_TITLE"]]))\' '
        f"{path} #a #f"
    )


def test_commands_run_without_a_shell(tmp_path: Path, log: tuple[logging.Logger, Records]) -> None:
    runner = Runner(log[0])
    runner.run(Command(script(tmp_path / "out"), "--x"), VALUES | {"a": "$(id); x"})
    runner.finish(DEADLINE)
    assert (tmp_path / "out").read_text() == repr([["$(id); x", "CT.1"], "$(id); x"])
    assert [text for text in log[1].texts if "executing" not in text] == []


@pytest.mark.parametrize("wait", [False, True])
@pytest.mark.parametrize(
    ("command", "text"),
    [
        (f"{sys.executable} -c 'raise SystemExit(3)'", "ended with exit code 3"),
        (f"{sys.executable} -c 'import os; os.abort()'", "was ended by signal 6"),
        ("/nowhere/at-all", "cannot execute /nowhere/at-all"),
    ],
)
def test_failures_are_logged(
    log: tuple[logging.Logger, Records], wait: bool, command: str, text: str
) -> None:
    runner = Runner(log[0], wait=wait)
    runner.run(Command(command, "--x"), {})
    runner.finish(DEADLINE)
    assert text in "\n".join(log[1].texts)


def test_a_value_that_no_process_takes(log: tuple[logging.Logger, Records]) -> None:
    Runner(log[0]).run(Command("true #a", "--x"), {"a": "a\0b"})
    assert "cannot execute true" in log[1].texts[-1]


def test_so_many_at_a_time_and_no_more(tmp_path: Path, log: tuple[logging.Logger, Records]) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    runner = Runner(log[0], limit=1)
    runner.run(Command(f"cat {gate}", "--x"), {})
    second = threading.Thread(target=runner.run, args=(Command(script(tmp_path / "out"), "--x"), VALUES))
    second.start()
    assert not (tmp_path / "out").exists()
    assert second.is_alive()
    with open(gate, "w"):
        pass  # the first one sees the end of its input
    second.join(DEADLINE)
    runner.finish(DEADLINE)
    assert (tmp_path / "out").exists()


def test_json_lines_are_kept_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    assert output_beside_json(False) is None
    assert isinstance(output_beside_json(True), int)
    missing: Any = None
    monkeypatch.setattr(sys, "__stderr__", missing)
    assert output_beside_json(True) == -3
