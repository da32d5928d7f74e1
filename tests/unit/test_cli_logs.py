from __future__ import annotations

import io
import json
import logging
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dcmnet.cli import log_config, logs
from dcmnet.cli.options import UsageError
from tests.unit.cli_tools import logs_put_back

LOG = logs.logger("samplescu")


@pytest.fixture(autouse=True)
def _logs_put_back() -> Iterator[None]:
    with logs_put_back():
        yield


def one_of_each() -> None:
    for level in (logs.FATAL, logs.ERROR, logs.WARN, logs.INFO, logs.DEBUG, logs.TRACE):
        LOG.log(level, "message")


@pytest.mark.parametrize(
    ("level", "letters"),
    [
        ("fatal", "F"),
        ("error", "FE"),
        (None, "FEW"),
        ("info", "FEWI"),
        ("debug", "FEWID"),
        ("trace", "FEWIDT"),
    ],
)
def test_levels(capsys: pytest.CaptureFixture[str], level: str | None, letters: str) -> None:
    logs.configure("samplescu", level=level)
    one_of_each()
    out, err = capsys.readouterr()
    assert err == "".join(f"{letter}: message\n" for letter in letters)
    assert out == ""
    assert logging.getLevelName(logs.TRACE) == "TRACE"


def test_the_event_loop_is_not_debugged(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("samplescu", level="debug")
    logging.getLogger("asyncio").debug("Using selector")
    logging.getLogger("asyncio").warning("slow")
    assert capsys.readouterr().err == "W: slow\n"


def test_every_line_has_its_prefix(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("samplescu")
    LOG.error("Association Rejected:\nResult: %s\nReason: %r, %d, %.1f", "x", "y", 3, 0.25)
    assert capsys.readouterr().err == "E: Association Rejected:\nE: Result: x\nE: Reason: 'y', 3, 0.2\n"


def test_nobody_forges_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("samplescu")
    LOG.warning("from %s", "A\nI: Association Accepted\r\x1b[2J\x9b\u2028\u202e")
    LOG.warning("from %(ae)s", {"ae": "A\nB"})
    LOG.warning("in the text\rA\x1b[1m\tB")
    LOG.warning(ValueError("A\nB"))
    assert capsys.readouterr().err.splitlines() == [
        "W: from A\\x0aI: Association Accepted\\x0d\\x1b[2J\\x9b\\u2028\\u202e",
        "W: from A\\x0aB",
        "W: in the text\\x0dA\\x1b[1m\tB",
        "W: A\\x0aB",
    ]
    assert logs.escape("a\tÄ東\x00\n") == "a\tÄ東\\x00\\x0a"


def test_a_traceback_has_the_prefix_too(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("samplescu")
    try:
        try:
            raise ValueError("first\nE: forged")
        except ValueError:
            raise KeyError("second") from None
    except KeyError:
        LOG.exception("it failed")
    LOG.error("nothing to show", exc_info=(None, None, None))
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("E: ") for line in lines)
    assert lines[0] == "E: it failed"
    assert lines[1] == "E: Traceback (most recent call last):"
    assert "E: KeyError: 'second'" in lines


def test_an_exception_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("samplescu")
    try:
        raise ValueError("first\nI: forged")
    except ValueError:
        LOG.exception("it failed")
    assert capsys.readouterr().err.splitlines()[-1] == "E: ValueError: first\\x0aI: forged"


def test_emit_ignores_the_level(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("samplescu", level="fatal")
    logs.emit(logs.INFO, "a\nb")
    assert capsys.readouterr().err == "I: a\nI: b\n"


def test_configuring_twice_does_not_log_twice(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("samplescu")
    logs.configure("samplescu")
    LOG.warning("once")
    assert capsys.readouterr().err == "W: once\n"


def test_stderr_is_looked_up_when_it_is_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    logs.configure("samplescu")
    other = io.StringIO()
    monkeypatch.setattr(sys, "stderr", other)
    LOG.warning("there")
    assert other.getvalue() == "W: there\n"


def test_a_broken_message_is_reported_by_logging(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("samplescu")
    LOG.warning("%d", "no number")  # type: ignore[call-overload, unused-ignore]
    assert "--- Logging error ---" in capsys.readouterr().err


# Configuration files.


def configure(folder: Path, text: str, name: str = "log.cfg") -> None:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    logs.configure("samplescu", config=str(path))


def refusal(folder: Path, text: str, name: str = "log.cfg") -> str:
    with pytest.raises(UsageError) as caught:
        configure(folder, text, name)
    return f"{caught.value} | {caught.value.hint}"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "does not contain any settings"),
        ("# only = a comment\n", "does not contain any settings"),
        ("x = 1\n", "does not contain any valid settings"),
        ("log4cplus.logger.x = INFO\n", "does not set up log4cplus.rootLogger"),
        ("log4cplus.rootLogger = LOUD\n", "log4cplus.rootLogger has the unknown level LOUD"),
        ("log4cplus.rootLogger = INFO, a\n", "appender a cannot be set up"),
        (
            "log4cplus.rootLogger = INFO, a\nlog4cplus.appender.a = log4cplus::FileAppender\n",
            "the file ones need File",
        ),
        (
            "log4cplus.rootLogger = INFO, a\nlog4cplus.appender.a = FileAppender\n"
            "log4cplus.appender.a.File = /no/x\n",
            "appender a cannot open its file | No such file or directory: /no/x",
        ),
        (
            "log4cplus.rootLogger = INFO, a\nlog4cplus.appender.a = RollingFileAppender\n"
            "log4cplus.appender.a.File = x\nlog4cplus.appender.a.MaxFileSize = big\n",
            "appender a cannot be set up",
        ),
        ("log4cplus.rootLogger = ${a}\na = ${a}${a}\n", "refers to itself"),
    ],
)
def test_what_a_property_file_needs(tmp_path: Path, text: str, why: str) -> None:
    message = refusal(tmp_path, text)
    assert message.startswith("Specified --log-config file")
    assert why in message


def test_the_file_has_to_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (str(tmp_path), str(tmp_path / "none")):
        with pytest.raises(UsageError, match=r"^Specified --log-config file does not exist$"):
            logs.configure("samplescu", config=name)

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(log_config, "open", denied, raising=False)
    assert refusal(tmp_path, "x") == "Specified --log-config file cannot be read | Permission denied"


def test_levels_by_logger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(
        tmp_path,
        "# comment\nlog4cplus.rootLogger = WARN\n"
        "log4cplus.logger.dcmtk.dcmnet = DEBUG\nlog4cplus.logger.dcmtk.apps.samplescu=INFO\n"
        "log4cplus.logger.dcmtk.dcmtls = off\nlog4cplus.logger.other = ERROR\nlog4cplus.unknown = x\n",
    )
    LOG.info("tool")
    LOG.debug("not shown")
    logging.getLogger("dcmnet.ul").debug("library")
    logging.getLogger("dcmnet._net").critical("not shown")
    logging.getLogger("other").warning("not shown")
    logging.getLogger("another").warning("root")
    assert capsys.readouterr().err == "I: tool\nD: library\nW: root\n"


def test_appenders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = f"""
        log4cplus.rootLogger = DEBUG, console, file
        log4cplus.logger.dcmtk.special = DEBUG, file, null
        log4cplus.additivity.dcmtk.special = false
        log4cplus.appender.console = log4cplus::ConsoleAppender
        log4cplus.appender.console.Threshold = INFO
        log4cplus.appender.console.layout = log4cplus::PatternLayout
        log4cplus.appender.console.layout.ConversionPattern = [%-5p] %c{{1}} %8.3c %P %x%m%%%n
        log4cplus.appender.console.logToStdErr = false
        log4cplus.appender.file = log4cplus::FileAppender
        log4cplus.appender.file.File = ${{folder}}/${{appname}}-${{pid}}.log
        log4cplus.appender.null = log4cplus::NullAppender
        folder = {tmp_path}
    """
    configure(tmp_path, text)
    LOG.debug("one")
    LOG.info("two\nthree")
    logging.getLogger("dcmnet.special").warning("four")
    written = (tmp_path / f"samplescu-{os.getpid()}.log").read_text(encoding="utf-8")
    assert written == "D: one\nI: two\nI: three\nW: four\n"
    out, err = capsys.readouterr()
    assert out == "[INFO ] samplescu      scu I two%\n[INFO ] samplescu      scu I three%\n"
    assert err == ""


def test_a_file_is_appended_to_and_rolled(tmp_path: Path) -> None:
    text = f"""
        log4cplus.rootLogger = INFO, file
        log4cplus.appender.file = log4cplus::RollingFileAppender
        log4cplus.appender.file.File = {tmp_path}/x.log
        log4cplus.appender.file.Append = true
        log4cplus.appender.file.MaxFileSize = 1KB
        log4cplus.appender.file.MaxBackupIndex = 2
    """
    (tmp_path / "x.log").write_text("before\n")
    configure(tmp_path, text)
    for _ in range(30):
        LOG.info("x" * 90)
    assert sorted(path.name for path in tmp_path.glob("x.log*")) == ["x.log", "x.log.1", "x.log.2"]


def test_times_in_patterns() -> None:
    record = logging.LogRecord("a.b", logs.WARN, "", 0, "m", None, None)
    record.created, record.msecs = 0.25, 250.0
    local = time.strftime("%H:%M", time.localtime(0.25))
    assert (
        log_config.PatternFormatter("%d{%Y-%m-%d %H:%M:%S.%q} %m%n").format(record)
        == "1970-01-01 00:00:00.250 m"
    )
    assert log_config.PatternFormatter("%D{%H:%M} %i").format(record) == f"{local} {os.getpid()}"
    assert log_config.PatternFormatter("%d").format(record) == "1970-01-01 00:00:00"


def test_variables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHO", "somebody")
    monkeypatch.setattr(platform, "node", lambda: "here")
    configure(
        tmp_path,
        "log4cplus.rootLogger = ${level}, a\nlevel = ${inner}\ninner = INFO\n"
        "log4cplus.appender.a = log4cplus::ConsoleAppender\n"
        "log4cplus.appender.a.layout.ConversionPattern = ${WHO} ${hostname} ${nothing}%m\n",
    )
    LOG.info("x")
    LOG.debug("y")
    assert capsys.readouterr().err == "somebody here x\n"


DICTIONARY = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"h": {"class": "dcmnet.cli.logs.StandardStreamHandler"}},
    "root": {"level": "INFO", "handlers": ["h"]},
}


def test_a_json_file_is_a_dictionary_for_logging(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure(tmp_path, json.dumps(DICTIONARY), "log.json")
    LOG.info("x")
    assert capsys.readouterr().err == "I: x\n"


def test_a_toml_file_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = """
        version = 1
        disable_existing_loggers = false
        [handlers.h]
        class = "dcmnet.cli.logs.StandardStreamHandler"
        [root]
        level = "INFO"
        handlers = ["h"]
    """
    configure(tmp_path, text, "log.toml")
    LOG.info("x")
    assert capsys.readouterr().err == "I: x\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("log.json", "{"),
        ("log.toml", "a = "),
        ("log.json", "[]"),
        ("log.json", '{"version": 1, "handlers": {"h": {"class": "no.such.Handler"}}}'),
    ],
)
def test_a_dictionary_that_cannot_be_used(tmp_path: Path, name: str, text: str) -> None:
    message = refusal(tmp_path, text, name)
    assert message.startswith("Specified --log-config file cannot be used | ")
