from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dcmnet.cli import families, progress
from dcmnet.cli.json_output import JsonLines
from dcmnet.cli.options import Arguments, Tool
from dcmnet.cli.parser import parse

TOOL = Tool("t", "p", (), (families.general_options(), families.reporting()))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    return stream


def read(*argv: str) -> Arguments:
    return parse(TOOL, argv)


class CountingStream(io.StringIO):
    flushes = 0

    def flush(self) -> None:
        self.flushes += 1


def test_json_lines() -> None:
    stream = CountingStream()
    output = JsonLines(stream)
    output.event("stored", file=Path("a"), status=0, text="Ä\n\u2028")
    output.summary(objects=1, name="x")
    assert stream.flushes == 2
    assert stream.getvalue().isascii()
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first == {"event": "stored", "file": "a", "status": 0, "text": "Ä\n\u2028"}
    assert second == {"event": "summary", "objects": 1, "name": "x"}


def test_json_lines_go_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    JsonLines().event("x")
    assert capsys.readouterr().out == '{"event": "x"}\n'


@pytest.mark.parametrize(
    "argv", [("--no-progress",), ("--json",), ("-q",), ("-v",), ("-d",), ("-ll", "warn"), ("-lc", "file")]
)
def test_a_bar_is_only_shown_where_nothing_else_is(
    monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...]
) -> None:
    on_terminal(monkeypatch)
    assert progress.is_wanted(read())
    assert not progress.is_wanted(read(*argv))


def test_no_bar_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress(read(), objects=1, length=10) as bar:
        bar.advance(objects=1, length=10)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("objects", "length"), [(2, 20_000), (2, None), (None, None)])
def test_a_bar(monkeypatch: pytest.MonkeyPatch, objects: int | None, length: int | None) -> None:
    terminal = on_terminal(monkeypatch)
    with progress.progress(read(), objects=objects, length=length) as bar:
        bar.advance(length=5_000)
        bar.advance(objects=2, length=15_000)
    assert ("2/2 objects" if objects else "2 objects") in terminal.getvalue()
    assert ("20.0 kB/20.0 kB" if length else "20.0 kB") in terminal.getvalue()
    assert "objects/s" in terminal.getvalue()


def test_what_is_logged_meanwhile_stands_above_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    with progress.Bar(1, None):
        sys.stderr.write("W: [bold]careful[/bold]\n")
    assert "W: [bold]careful[/bold]\n" in terminal.getvalue()


def test_a_bar_before_and_after() -> None:
    bar = progress.Bar(None, None)
    bar.advance(objects=1)
    bar.__exit__(None, None, None)
    assert bar.describe(0.0) == "1 objects  0 B"


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: progress.totals(12, 6_300_000, 1.0),
            "12 objects sent, 6.3 MB in 1.00 s (12.0 objects/s, 6.3 MB/s)",
        ),
        (lambda: progress.totals(1, 0, 0.0, verb="received"), "1 object received, 0 B in 0.00 s"),
        (lambda: progress.totals(0, 0, 0.0, failed=2), "0 objects sent, 0 B in 0.00 s; 2 failed"),
    ],
)
def test_totals(call: Callable[[], str], text: str) -> None:
    assert call() == text


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_999, "1.0 MB"),
        (2_500_000_000, "2.5 GB"),
        (10**16, "10000.0 TB"),
    ],
)
def test_lengths(length: int, text: str) -> None:
    assert progress.readable_length(length) == text


def test_a_bar_that_learns_of_more() -> None:
    bar = progress.Bar(2, 100)
    bar.extend(objects=3, length=900)
    bar.advance(objects=1, length=500)
    assert bar.describe(0) == "1/5 objects  500 B/1.0 kB"
    unknown = progress.Bar(None, None)
    unknown.extend(objects=3, length=900)
    assert unknown.describe(0) == "0 objects  0 B"
    progress.NoBar().extend(objects=1, length=1)
