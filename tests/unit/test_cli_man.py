from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dcmnet import cli
from dcmnet.cli import catalogue, manual
from dcmnet.cli.options import Option, Parameter, Section, Tool
from tests.unit.cli_runs import run_cli

PAGES = {"dcmnet": manual.overview()}
PAGES.update((name, manual.page(catalogue.tool_of(name))) for name in catalogue.names())

REQUESTS = {"TH", "SH", "SS", "TP", "PP", "B", "I", "BR"}


def rendered(page: str) -> str:
    """The page as a reader has it: by groff where there is one, else by what the page itself says."""
    if shutil.which("groff"):
        command = ["groff", "-man", "-Tascii", "-ww", "-P-c", "-P-b", "-P-u", "-rLL=2000n"]
        result = subprocess.run(command, input=page, capture_output=True, text=True, check=True)
        assert result.stderr == ""
        return result.stdout
    text = re.sub(r"^\.\w+ ?", "", page, flags=re.MULTILINE)
    text = re.sub(r"\\f[BIR]|\\&", "", text)
    for escape, sign in (
        ("\\-", "-"),
        ("\\(aq", "'"),
        ("\\(ga", "`"),
        ("\\(dq", '"'),
        ("\\(ha", "^"),
        ("\\(ti", "~"),
    ):
        text = text.replace(escape, sign)
    return text.replace("\\e", "\\")


def flat(text: str) -> str:
    """Without line breaks and the blanks that fill lines."""
    return " ".join(text.split())


@pytest.mark.parametrize("name", PAGES)
def test_a_page_uses_only_requests_of_man_pages(name: str) -> None:
    lines = PAGES[name].splitlines()
    assert lines[0].startswith(".TH DCMNET")
    assert lines[1] == ".SH NAME"
    assert " \\- " in lines[2]
    for line in lines:
        if line.startswith((".", "'")):
            assert line[1:].split()[0] in REQUESTS
        assert not re.search(r"\\(?![-&e]|f[BIR]|\((?:aq|ga|dq|ha|ti))", line)
        assert line.isascii()


@pytest.mark.parametrize("name", catalogue.names())
def test_a_page_says_all_that_the_table_says(name: str) -> None:
    tool = catalogue.tool_of(name)
    text = flat(rendered(PAGES[name]))
    assert f"dcmnet-{name} - {tool.purpose}" in text
    for option in tool.options:
        shown = ", ".join(filter(None, (option.short, option.long)))
        assert flat(" ".join([shown, *option.metavars, option.help])) in text
    for parameter in tool.parameters:
        assert flat(f"{parameter.name} {parameter.help}") in text
    for code, meaning in tool.exit_codes:
        assert flat(f"{code} {meaning}") in text
    for note in tool.notes:
        assert flat(note) in text


def test_the_overview_lists_all_tools() -> None:
    text = flat(rendered(PAGES["dcmnet"]))
    for tools in cli.GROUPS.values():
        for name, (_, line) in tools.items():
            assert f"dcmnet-{name}(1) {line}" in text


def test_signs_that_mean_something_in_roff() -> None:
    rows = (Option("-a", "--all", ("x",), ".SH 'is' \\fB no \"request\" ~ ^ `", beyond_dcmtk=True),)
    tool = Tool(
        "sample",
        "it's a sample",
        (Parameter("file-in", "'in'", many=True),),
        (Section("options", rows, requires=("--b",)),),
        notes=(".TH nor this", "'nor this"),
    )
    text = flat(rendered(manual.page(tool)))
    for part in (
        "dcmnet-sample - it's a sample",
        "dcmnet sample [options] file-in...",
        ".TH nor this",
        "'nor this",
        "options, with --b",
        "* -a, --all x .SH 'is' \\fB no \"request\" ~ ^ `",
        "* not an option of DCMTK's",
    ):
        assert part in text


def test_one_page_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(capsys, "man", "echoscu") == (0, PAGES["echoscu"], "")


def test_all_pages_in_a_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, err = run_cli(capsys, "man", "--all", tmp_path / "share")
    assert (code, err) == (0, "")
    folder = tmp_path / "share" / "man1"
    assert {path.name for path in folder.iterdir()} == {
        "dcmnet.1", *(f"dcmnet-{name}.1" for name in catalogue.names()),
    }  # fmt: skip
    assert (folder / "dcmnet-man.1").read_text() == PAGES["man"]
    assert out.splitlines()[0] == str(folder / "dcmnet.1")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["frob"], "error: Invalid parameter value frob (no such tool; dcmnet --help lists them)"),
        (["-v"], "error: Missing parameter tool"),
        (["--all", "{}/file", "echoscu"], "error: a tool and --all do not go together"),
        (["--all", "{}/file"], "error: cannot write"),
    ],
)
def test_mistakes(capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], text: str) -> None:
    (tmp_path / "file").touch()
    code, out, err = run_cli(capsys, "man", *(word.format(tmp_path) for word in words))
    assert (code, out) == (1, "")
    assert text in err
