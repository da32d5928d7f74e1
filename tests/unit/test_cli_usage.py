from __future__ import annotations

import io
import os
import shutil
import sys
from importlib import metadata
from pathlib import Path

import pytest

from dcmnet._version import __version__
from dcmnet.cli import usage
from dcmnet.cli.options import Option, Parameter, Section, Tool, UsageError
from tests.unit.cli_tools import TOOL

HEADING = f"$dcmnet: samplescu v{__version__} $\n\nsamplescu: a sample\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_mistake_is_reported_below_the_identification() -> None:
    assert usage.error_text(TOOL, UsageError("Text")) == f"{HEADING}error: Text\n"
    assert usage.error_text(TOOL, UsageError("Text", "hint")) == f"{HEADING}error: Text\nhint\n"


def test_usage_text() -> None:
    text = usage.usage_text(TOOL)
    assert text.startswith(
        f"{HEADING}usage: dcmnet samplescu [options] peer port [file-in...]\n\nparameters:\n"
    )
    for line in (
        "  port                            its port (1..65535)",
        "general options:",
        "sample options:",
        "  -aet  --aetitle AETITLE         application entity title of this side",
        "                                  (default: SAMPLE)",
        "  -i4   --ipv4                    use IPv4 (default)",
        "  -i6   --ipv6                    use IPv6",
        "  -r    --no-recurse              stay (default)",
        "  -pad  --padding FILE ITEM       pad",
        "  -k    --key KEY                 a key (may be repeated)",
        "*       --new                     not there before",
        "* not an option of DCMTK's tool of this name",
    ):
        assert line in text.splitlines()
    assert "(1 or more; default: unlimited)" in text
    assert "--scan, --deep or --all)" in text
    assert "default: warn)" in text


@pytest.mark.parametrize("width", [50, 80, 120])
def test_usage_text_keeps_to_its_width(width: int) -> None:
    assert all(len(line) <= max(width, 56) for line in usage.usage_text(TOOL, width).splitlines()[4:])


def test_usage_text_of_small_tools() -> None:
    long_one = Option("", "--a-very-long-option-name-of-a-tool", ("value",), "help")
    tool = Tool("t", "p", (Parameter("port", "x", unless="--inetd"),), (Section("s", (long_one,)),))
    text = usage.usage_text(tool)
    assert "usage: dcmnet t [options] [port]\n" in text
    assert "(not needed with --inetd)" in text
    assert "\n    --a-very-long-option-name-of-a-tool VALUE\n" in text
    assert "not an option" not in text
    assert "parameters" not in usage.usage_text(
        Tool("t", "p", (), (Section("s", (Option("-x", "--x", (), ""),)),))
    )
    assert usage.usage_text(Tool("t", "p", (), ())).endswith("usage: dcmnet t [options]\n")


@pytest.mark.parametrize(("columns", "width"), [(100, 100), (20, 50), (400, 120)])
def test_the_width_is_that_of_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: int, width: int) -> None:
    monkeypatch.setattr(shutil, "get_terminal_size", lambda fallback=None: os.terminal_size((columns, 24)))
    assert usage.terminal_width(Terminal()) == width
    assert usage.terminal_width(io.StringIO()) == 80
    assert usage.terminal_width(None) == 80


def test_version_text(monkeypatch: pytest.MonkeyPatch) -> None:
    text = usage.version_text(TOOL)
    assert text.startswith(HEADING)
    assert f"\n- pydicom {metadata.version('pydicom')}\n- rich {metadata.version('rich')}\n" in text


def test_versions_of_what_is_installed_otherwise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "pydicom-9.1.egg-info").write_text("Metadata-Version: 2.1\nName: pydicom\nVersion: 9.1\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "missing"), str(tmp_path)])
    assert "\n- pydicom 9.1\n- rich (not installed)\n" in usage.version_text(TOOL)
