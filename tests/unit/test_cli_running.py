from __future__ import annotations

from collections.abc import Iterator

import pytest

from dcmnet._version import __version__
from dcmnet.cli import logs
from dcmnet.cli.options import Arguments, Tool, UsageError
from dcmnet.cli.running import run_tool
from tests.unit.cli_tools import TOOL, logs_put_back

IDENTIFICATION = f"$dcmnet: samplescu v{__version__} $"


@pytest.fixture(autouse=True)
def _logs_put_back() -> Iterator[None]:
    with logs_put_back():
        yield


def body(arguments: Arguments) -> int:
    if arguments.peer == "bad":
        raise UsageError("bad peer")
    logs.logger("samplescu").info("working")
    return 70


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = run_tool(TOOL, argv, body)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize("argv", [(), ("--help",), ("-h", "a", "b"), ("--version", "--help")])
def test_usage_goes_to_stdout(capsys: pytest.CaptureFixture[str], argv: tuple[str, ...]) -> None:
    code, out, err = run(capsys, *argv)
    assert (code, err) == (0, "")
    assert out.startswith(f"{IDENTIFICATION}\n\nsamplescu: a sample\nusage: dcmnet samplescu")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "--version", "-v")
    assert (code, err) == (0, "")
    assert out.startswith(f"{IDENTIFICATION}\n\nsamplescu: a sample\n\nHost type: ")


def test_a_mistake_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    expected = f"{IDENTIFICATION}\n\nsamplescu: a sample\nerror: Missing parameter peer\n"
    assert run(capsys, "-v") == (1, "", expected)


def test_quiet_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "-q", "host", "104", "-pdu", "1") == (1, "", "")
    assert run(capsys, "-q", "bad", "104") == (1, "", "")
    assert run(capsys, "bad", "104")[2].endswith("error: bad peer\n")


def test_a_bad_log_configuration_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "-lc", "/nowhere", "host", "104")
    assert code == 1
    assert err.endswith("error: Specified --log-config file does not exist\n")


def test_the_body_gives_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "host", "104") == (70, "", "")
    assert run(capsys, "-v", "host", "104") == (70, "", "I: working\n")


def test_debug_begins_with_the_identification(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "-d", "host", "104")[2] == f"D: {IDENTIFICATION}\nD: \nI: working\n"


def test_arguments_are_logged_whatever_the_level(capsys: pytest.CaptureFixture[str]) -> None:
    _, _, err = run(capsys, "--arguments", "-q", "-pwd", "12345", "host", "104", "a\nb")
    assert err == (
        "I: calling 'samplescu' with 7 arguments: "
        "'--arguments' '--quiet' '--password' '***' 'host' '104' 'a\\x0ab' \nI: \n"
    )


def test_another_exclusive_option_is_for_the_body(capsys: pytest.CaptureFixture[str]) -> None:
    def list_them(arguments: Arguments) -> int:
        return 5 if arguments.exclusive == "--list" else 6

    assert run_tool(TOOL, ["--list", "-v"], list_them) == 5
    assert capsys.readouterr() == ("", "")


def test_a_tool_without_general_options(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(arguments: Arguments) -> int:
        raise UsageError("no")

    assert run_tool(Tool("t", "p", (), ()), ["x"], refuse) == 1
    assert "error: Too many parameters" in capsys.readouterr().err
