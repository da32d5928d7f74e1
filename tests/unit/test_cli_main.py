from __future__ import annotations

import io
import os
import re
import runpy
import subprocess
import sys
import types

import pytest

from dcmnet import cli
from dcmnet._version import __version__


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """A tool `sample` that notes its arguments; `fail` and what follows make it raise."""
    calls: list[list[str]] = []

    def run(arguments: list[str]) -> int:
        calls.append(arguments)
        if arguments == ["interrupt"]:
            raise KeyboardInterrupt
        if arguments == ["pipe"]:
            raise BrokenPipeError
        return 7

    module = types.ModuleType("sample_tool")
    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sample_tool", module)
    monkeypatch.setitem(cli.GROUPS, "samples", {"sample": ("sample_tool", "a sample")})
    return calls


def test_a_tool_gets_the_rest_of_the_command_line(called: list[list[str]]) -> None:
    assert cli.main(["sample", "-v", "--help"]) == 7
    assert called == [["-v", "--help"]]


def test_the_command_line_is_the_default(called: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["dcmnet", "sample", "x"])
    assert cli.main() == 7
    assert called == [["x"]]


def test_help_for_a_tool(called: list[list[str]]) -> None:
    assert cli.main(["help", "sample"]) == 7
    assert called == [["--help"]]


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"], ["help"]])
def test_help_lists_the_tools(capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    assert cli.main(argv) == 0
    out = capsys.readouterr().out
    assert "\nverification:\n  echoscu     ask a peer whether it speaks DICOM (C-ECHO)\n" in out
    for name in ("storescu", "storescp", "demo"):
        assert f"  {name} " in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"dcmnet {__version__}\n"


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["storescv"], "error: Unknown tool storescv\ndid you mean storesc"),
        (["help", "ecoscu"], "error: Unknown tool ecoscu\ndid you mean echoscu?\n"),
        (["zzz"], "error: Unknown tool zzz\ndcmnet --help lists the tools\n"),
        (["--frob"], "error: Unknown option --frob\ndcmnet --help lists the tools\n"),
    ],
)
def test_an_unknown_tool(capsys: pytest.CaptureFixture[str], argv: list[str], text: str) -> None:
    assert cli.main(argv) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert text in err


def test_an_interrupt_ends_quietly(called: list[list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sample", "interrupt"]) == 130
    assert capsys.readouterr() == ("", "")


def test_a_broken_pipe_ends_quietly(called: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert cli.main(["sample", "pipe"]) == 141
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as output:
        monkeypatch.setattr(sys, "stdout", output)
        assert cli.main(["--version"]) == 141
        output.write("nobody reads this, and nothing complains")


def test_a_closed_stdout_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert cli.main(["--version"]) == 0
    assert cli.main(["--help"]) == 0


def test_python_minus_m(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["dcmnet", "--version"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("dcmnet.__main__", run_name="__main__")
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"dcmnet {__version__}\n"
    runpy.run_module("dcmnet.__main__", run_name="imported")


def modules_loaded(*words: str) -> set[str]:
    """What `dcmnet` with these words adds to what Python has loaded by itself."""
    code = (
        "import sys; before = set(sys.modules); from dcmnet.cli import main; main(sys.argv[1:]); "
        "print(end='\\n' + ' '.join(set(sys.modules) - before))"
    )
    source = os.path.dirname(os.path.dirname(os.path.dirname(cli.__file__)))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([source, *filter(None, sys.path)])}
    # -S: an editable installation's hooks load modules of their own.
    command = [sys.executable, "-S", "-c", code, *words]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return set(result.stdout.splitlines()[-1].split())


def test_version_loads_next_to_nothing() -> None:
    assert modules_loaded("--version") == {"__future__", "dcmnet", "dcmnet._version", "dcmnet.cli"}


TOOLS = [name for tools in cli.GROUPS.values() for name in tools]
# What the table of a tool may be made of: nothing that does any work.
TABLES = re.compile(r"dcmnet(\.(cli|registry)(\.\w+)?|\.(_records|_version|errors|limits))?")
SLOW = frozenset(
    "pydicom rich asyncio logging socket select selectors ssl threading queue signal dataclasses inspect "
    "typing json pathlib tempfile random datetime email contextlib importlib.metadata traceback uuid".split()
)


@pytest.mark.parametrize("words", [("--help",), ("--version",), ("--no-such-option",), ()])
@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_reads_its_command_line_before_it_loads_what_does_the_work(
    tool: str, words: tuple[str, ...]
) -> None:
    if tool == "demo" and not words:
        return  # that is a whole command line
    loaded = modules_loaded(tool, *words)
    assert not {name for name in loaded if name.startswith("dcmnet") and not TABLES.fullmatch(name)}
    assert not SLOW & loaded
