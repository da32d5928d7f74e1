from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli_runs import json_lines, run_cli
from tests.unit.cli_tools import logs_put_back
from tests.unit.profile_texts import CT, FULL, SMALL, US, changed, with_contexts, with_syntaxes

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _logs_put_back() -> Iterator[None]:
    with logs_put_back():
        yield


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "profiles.cfg"


def lines(text: str) -> list[str]:
    """What is in a table, without its blanks and rules."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip(" ─")]


def test_what_profiles_mean(capsys: Capture, path: Path) -> None:
    path.write_text(FULL)
    code, out, err = run_cli(capsys, "asconfig", "check", path)
    assert (code, err) == (0, "")
    not_for = f"; not for acceptors: line 12: {US} is listed in line 11 as well: not a valid SCP profile"
    syntaxes = [
        "transfer syntaxes the best first UID",
        "PLAIN Explicit VR Little Endian 1.2.840.10008.1.2.1",
        "Implicit VR Little Endian 1.2.840.10008.1.2",
        "BASELINE8 JPEG Baseline (Process 1) 1.2.840.10008.1.2.4.50",
    ]
    assert lines(out) == [
        f"profile ULTRASOUNDOUT (line 24), for requestors{not_for}",
        "SOP class transfer syntaxes the requestor is extended negotiation",
        "1 Ultrasound Image Storage PLAIN SCU and SCP 020003000000",
        "2 Ultrasound Image Storage BASELINE8 SCU and SCP 020003000000",
        "3 Verification SOP Class PLAIN",
        *syntaxes,
        f"profile ULTRASOUND-IN (line 28), for requestors{not_for}",
        "SOP class transfer syntaxes",
        "1 Ultrasound Image Storage PLAIN",
        "2 Ultrasound Image Storage BASELINE8",
        "3 Verification SOP Class PLAIN",
        *syntaxes,
        f"{path} can be used: 2 profiles, 0 errors, 0 warnings",
    ]


def test_one_profile(capsys: Capture, path: Path) -> None:
    path.write_text(FULL)
    code, out, _ = run_cli(capsys, "asconfig", "check", path, "ultrasound-in")
    assert code == 0
    assert "profile ULTRASOUND-IN (line 28)" in out
    assert "ULTRASOUNDOUT" not in out


def test_json(capsys: Capture, path: Path) -> None:
    path.write_text(FULL)
    code, out, _ = run_cli(capsys, "asconfig", "check", "--json", path)
    profile, other, summary = json_lines(out)
    plain = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"]
    first = {
        "sop_class_uid": US,
        "transfer_syntaxes": plain,
        "role": "BOTH",
        "extended_negotiation": "020003000000",
    }
    assert profile["contexts"][0] == first
    assert other["contexts"][0] == first | {"role": None, "extended_negotiation": None}
    assert (profile["name"], profile["line"], profile["requestor"], profile["acceptor"]) == (
        *("ULTRASOUNDOUT", 24),
        *(True, False),
    )
    assert summary == {
        "event": "summary",
        "file": str(path),
        "profiles": 2,
        "errors": 0,
        "warnings": 0,
        "exit_code": code,
    }


def test_problems(capsys: Capture, path: Path) -> None:
    path.write_text(
        changed("[[Profiles]]", "[[Profile]]", with_syntaxes("TransferSyntax2 = 1..2", "nothing"))
    )
    code, out, _ = run_cli(capsys, "asconfig", "check", path)
    assert code == 1
    assert [line.partition(": ")[0] for line in lines(out)] == [
        "error",
        "warning",
        "warning",
        "error",
        "error",
        "warning",
        f"{path} cannot be used",
    ]
    assert f"error: {path}:4: 'nothing' is neither a [section]" in out
    code, out, _ = run_cli(capsys, "asconfig", "check", "--json", path)
    *problems, summary = json_lines(out)
    assert (summary["errors"], summary["warnings"], summary["exit_code"]) == (3, 3, 1)
    assert problems[3] == {
        "event": "error",
        "file": str(path),
        "line": 4,
        "kind": "line",
        "text": "'nothing' is neither a [section], an entry with '=' nor a comment",
        "fix": "write Key = Value, or begin the line with '#'",
    }


def test_warnings_count_when_asked_for(capsys: Capture, path: Path) -> None:
    path.write_text(with_syntaxes("TransferSyntax2 = LittleEndianImplicit"))
    code, out, _ = run_cli(capsys, "asconfig", "check", path)
    assert code == 0
    assert out.startswith(f"warning: {path}:2: [Plain] has no TransferSyntax1; ")
    assert out.endswith("can be used: 1 profile, 0 errors, 1 warning\n")
    assert run_cli(capsys, "asconfig", "check", "--strict", path)[0] == 1


def test_nothing_to_show(capsys: Capture, path: Path) -> None:
    code, out, _ = run_cli(capsys, "asconfig", "check", path)
    assert (code, out) == (
        1,
        f"error: unable to open configuration file: {path}: No such file or directory\n",
    )
    path.write_text(SMALL)
    text = f"unknown configuration profile name: NOPE: {path} has DEFAULT"
    code, out, _ = run_cli(capsys, "asconfig", "check", path, "nope")
    assert (code, out) == (1, f"error: {text}\n")
    code, out, _ = run_cli(capsys, "asconfig", "check", "--json", path, "nope")
    error, summary = json_lines(out)
    assert (code, error) == (1, {"event": "error", "text": text})
    assert (summary["profiles"], summary["errors"]) == (1, 1)


def test_a_profile_for_nobody(capsys: Capture, path: Path) -> None:
    path.write_text(with_contexts(*[f"{CT}\\Plain"] * 129))
    code, out, _ = run_cli(capsys, "asconfig", "check", path)
    assert code == 0
    assert out.startswith(
        "profile DEFAULT (line 136), for nobody; not for requestors: line 134: 129 presentation"
    )


def test_names_of_the_file_are_no_markup(capsys: Capture, path: Path) -> None:
    path.write_text("[[A]]\n[\x1b[31m B\n[/bold]x\n")
    code, out, _ = run_cli(capsys, "asconfig", "check", path)
    assert code == 1
    assert "\x1b" not in out


def test_mistakes(capsys: Capture) -> None:
    code, _, err = run_cli(capsys, "asconfig", "chek", "x")
    assert code == 1
    assert err.endswith("error: Unknown action\none of: check\n")
