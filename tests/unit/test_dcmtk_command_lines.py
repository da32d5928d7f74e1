"""The rules by which DCMTK's tools read their command lines (CL-1 to CL-9), on ours as they are.

`test_cli_options.py` has the parser's own cases.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dcmnet.cli import catalogue
from dcmnet.cli.options import Arguments
from dcmnet.cli.parser import parse
from tests.unit.cli_runs import run_cli

PLAIN = catalogue.plain_names()
ALL = catalogue.names()
PARAMETERS = {
    "echoscu": ["host", "104"], "termscu": ["host", "104"], "storescu": ["host", "104", "file"],
    "dcmsend": ["host", "104", "file"], "storescp": ["104"], "dcmrecv": ["104"],
    "findscu": ["host", "104"], "getscu": ["host", "104"], "movescu": ["host", "104"],
}  # fmt: skip


def read(tool: str, *words: str) -> Arguments:
    return parse(catalogue.tool_of(tool), [*words, *PARAMETERS[tool]])


def mistake(capsys: pytest.CaptureFixture[str], tool: str, *words: str) -> str:
    """The `error:` line of a run that ends with 1, behind the heading and before a hint."""
    code, out, err = run_cli(capsys, tool, *words)
    assert (code, out) == (1, "")
    purpose = re.escape(catalogue.tool_of(tool).purpose)
    heading = rf"\$dcmnet: {tool} v\S+ \$\n\n{tool}: {purpose}\n"
    found = re.fullmatch(rf"{heading}error: (.*)\n(?:.+\n)?", err)
    assert found, err
    return found[1]


def test_all_of_them_are_looked_at() -> None:
    assert set(PLAIN) <= set(PARAMETERS)


def test_cl_1_plus_and_minus_are_different_options_and_numbers_are_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "--no-recurse" in read("storescu", "+sd", "-r")
    assert "--recurse" in read("storescu", "+sd", "+r")
    assert read("storescu", "-xs").proposed == "s"
    assert "--exec-sync" in read("storescp", "-xcr", "true", "-xs")
    assert read("storescp", "+xs").preferred == "s"
    assert mistake(capsys, "echoscu", "host", "-5") == "Invalid parameter value -5"
    assert mistake(capsys, "storescu", "+xs", "host", "104", "f") == "Unknown option +xs"


@pytest.mark.parametrize("tool", ALL)
def test_cl_2_neither_abbreviated_nor_bundled_nor_joined(
    capsys: pytest.CaptureFixture[str], tool: str
) -> None:
    for word in ("--verb", "--verbos", "-qv", "--log-level=info", "--VERBOSE"):
        assert mistake(capsys, tool, word, "x") == f"Unknown option {word}"


@pytest.mark.parametrize("tool", PLAIN)
def test_cl_2_the_value_is_the_next_argument(tool: str) -> None:
    assert read(tool, "-aet", "-v").ae_title == "-v"
    assert "--verbose" not in read(tool, "-aet", "-v")


@pytest.mark.parametrize("tool", PLAIN)
def test_cl_3_options_stand_anywhere_and_the_rightmost_wins(tool: str) -> None:
    table, words = catalogue.tool_of(tool), PARAMETERS[tool]
    for position in range(len(words) + 1):
        arguments = parse(table, [*words[:position], "-q", "-d", "-v", "-i6", "-i0", *words[position:]])
        assert (arguments.log_level, arguments.ip_version) == ("info", 0)
        assert arguments.port == 104


@pytest.mark.parametrize("tool", PLAIN)
def test_cl_4_words_of_a_file(tool: str, tmp_path: Path) -> None:
    file = tmp_path / "words"
    file.write_text("-aet 'MY TITLE'\n\t-v\n")
    arguments = read(tool, f"@{file}")
    assert (arguments.ae_title, arguments.log_level) == ("MY TITLE", "info")


@pytest.mark.parametrize("tool", ALL)
def test_cl_4_a_file_that_cannot_be_read(
    capsys: pytest.CaptureFixture[str], tool: str, tmp_path: Path
) -> None:
    assert mistake(capsys, tool, f"@{tmp_path}/none") == f"Cannot open command file '{tmp_path}/none'"


@pytest.mark.parametrize("tool", ALL)
@pytest.mark.parametrize("words", [("--help",), ("-h", "a", "b", "c", "d"), ("--version",)])
def test_cl_5_help_and_version_need_nothing_else(
    capsys: pytest.CaptureFixture[str], tool: str, words: tuple[str, ...]
) -> None:
    code, out, err = run_cli(capsys, tool, *words)
    assert (code, err) == (0, "")
    assert out.startswith(f"$dcmnet: {tool} v")
    assert ("usage: dcmnet " in out) == (words[0] != "--version")


@pytest.mark.parametrize("tool", [name for name in ALL if name != "demo"])
def test_cl_5_no_arguments_at_all(capsys: pytest.CaptureFixture[str], tool: str) -> None:
    code, out, err = run_cli(capsys, tool)
    assert (code, err) == (0, "")
    assert f"usage: dcmnet {tool} [options] " in out


@pytest.mark.parametrize("tool", PLAIN)
def test_cl_6_mistakes_are_named(capsys: pytest.CaptureFixture[str], tool: str) -> None:
    words = PARAMETERS[tool]
    first = catalogue.tool_of(tool).parameters[0].name
    assert mistake(capsys, tool, "--frob", *words) == "Unknown option --frob"
    assert mistake(capsys, tool, *words, "-aet") == "Missing value for option --aetitle"
    assert mistake(capsys, tool, "-v") == f"Missing parameter {first}"
    assert mistake(capsys, tool, "-pdu", "1", *words) == "Invalid value for option --max-pdu (underflow: 1)"
    assert mistake(capsys, tool, "-pdu", "999999", *words).endswith("(overflow: 999999)")
    assert mistake(capsys, tool, *["65536" if word == "104" else word for word in words]) == (
        "Invalid parameter value 65536 (overflow)"
    )
    assert mistake(capsys, tool, "-v", "-ll", "info", *words) == (
        "--log-level not allowed with --verbose, --debug or --quiet"
    )
    assert mistake(capsys, tool, "+cf", "ca.pem", *words).startswith("--add-cert-file only allowed with ")
    if not catalogue.tool_of(tool).parameters[-1].many:
        assert mistake(capsys, tool, *words, "more") == "Too many parameters"


@pytest.mark.parametrize("tool", PLAIN)
def test_cl_7_integers_are_read_leniently(capsys: pytest.CaptureFixture[str], tool: str) -> None:
    assert read(tool, "-pdu", "16384 bytes").max_pdu == 16384
    assert mistake(capsys, tool, "-pdu", "-16384", *PARAMETERS[tool]) == (
        "Invalid value for option --max-pdu (-16384)"
    )


@pytest.mark.parametrize("tool", PLAIN)
def test_cl_8_an_empty_value_is_a_mistake(capsys: pytest.CaptureFixture[str], tool: str) -> None:
    words = PARAMETERS[tool]
    assert mistake(capsys, tool, "-aet", "", *words) == "Invalid value for option --aetitle"


@pytest.mark.parametrize("tool", PLAIN)
def test_cl_9_quiet_silences_what_comes_after_the_log_options(
    capsys: pytest.CaptureFixture[str], tool: str
) -> None:
    assert run_cli(capsys, tool, "-q", "-pdu", "1", *PARAMETERS[tool]) == (1, "", "")
    assert mistake(capsys, tool, "-q", "--frob") == "Unknown option --frob"
