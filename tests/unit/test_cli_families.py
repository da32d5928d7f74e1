from __future__ import annotations

from collections.abc import Iterable

import pytest

from dcmnet.cli import families
from dcmnet.cli.options import Arguments, Option, Section, Tool, UsageError
from dcmnet.cli.parser import parse
from dcmnet.registry.transfer_syntaxes import PREFERENCE_CODES


def read(rows: tuple[Option, ...], *argv: str, verbose_pc: bool = False) -> Arguments:
    return parse(
        Tool("t", "p", (), (families.general_options(verbose_pc=verbose_pc), Section("s", rows))), argv
    )


@pytest.mark.parametrize(
    ("argv", "level"),
    [
        ((), "warn"),
        (("--quiet",), "fatal"),
        (("--verbose",), "info"),
        (("--debug",), "debug"),
        (("--log-level", "TRACE"), "trace"),
        (("-ll", "error"), "error"),
    ],
)
def test_log_levels(argv: tuple[str, ...], level: str) -> None:
    assert read((), *argv).log_level == level


def test_log_config_and_arguments() -> None:
    arguments = read((), "-lc", "file", "--arguments")
    assert arguments.log_config == "file"
    assert arguments.arguments is True
    assert read(()).log_config is None


@pytest.mark.parametrize("argv", [("-v",), ("-d",), ("-ll", "info"), ("-lc", "file")])
def test_presentation_contexts_need_verbose_mode(argv: tuple[str, ...]) -> None:
    assert read((), "+v", *argv, verbose_pc=True).verbose_pc is True
    with pytest.raises(UsageError, match=r"^--verbose-pc only allowed with verbose mode$"):
        read((), "+v", verbose_pc=True)
    with pytest.raises(UsageError, match="Unknown option"):
        read((), "+v")


@pytest.mark.parametrize(
    ("argv", "version"),
    [((), 4), (("-i6",), 6), (("-i0",), 0), (("--ip-auto", "--ipv4"), 4), (("-i4", "--ipv6"), 6)],
)
def test_ip_protocol(argv: tuple[str, ...], version: int) -> None:
    assert read(families.ip_protocol(), *argv).ip_version == version


@pytest.mark.parametrize(
    ("option", "attribute", "default", "minimum"),
    [
        (families.connect_timeout(), "connect_timeout", None, 1),
        (families.socket_timeout(), "socket_timeout", 60, -1),
        (families.acse_timeout(), "acse_timeout", 30, 1),
        (families.dimse_timeout(), "dimse_timeout", None, 1),
        (families.dimse_timeout(5), "dimse_timeout", 5, 1),
    ],
)
def test_timeouts(option: Option, attribute: str, default: int | None, minimum: int) -> None:
    assert getattr(read((option,)), attribute) == default
    assert getattr(read((option,), option.short, str(minimum)), attribute) == minimum
    with pytest.raises(UsageError, match=rf"Invalid value for option {option.long} \(.*{minimum - 1}\)"):
        read((option,), option.long, str(minimum - 1))


@pytest.mark.parametrize(
    ("option", "default"), [(families.max_pdu(), 16384), (families.max_send_pdu(), None)]
)
def test_pdu_lengths(option: Option, default: int | None) -> None:
    assert getattr(read((option,)), option.attribute) == default
    for length in (4096, 131072):
        assert getattr(read((option,), option.long, str(length)), option.attribute) == length
    for length, reason in ((4095, "underflow"), (131073, "overflow")):
        with pytest.raises(UsageError, match=rf"\({reason}: {length}\)"):
            read((option,), option.long, str(length))


def test_ae_titles() -> None:
    rows = (families.own_ae_title("ME"), families.called_ae_title())
    arguments = read(rows)
    assert (arguments.ae_title, arguments.called_ae_title) == ("ME", "ANY-SCP")
    arguments = read(rows, "-aet", "  A TITLE ", "--call", "X" * 16)
    assert (arguments.ae_title, arguments.called_ae_title) == ("A TITLE", "X" * 16)


@pytest.mark.parametrize(
    ("title", "text"),
    [
        ("", "option --call$"),
        ("   ", r"\(empty:    \)"),
        ("X" * 17, "longer than 16"),
        ("A\\B", "no control"),
        ("A\tB", "no control"),
        ("A\x7f", "no control"),
        ("MÜNCHEN", "no control"),
    ],
)
def test_ae_titles_are_checked(title: str, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        read((families.called_ae_title(),), "--call", title)
    assert families.AETitle().describe() == ""


def test_every_code_can_be_proposed_and_preferred() -> None:
    codes = [code for code in PREFERENCE_CODES if code != "a"]
    proposed = families.proposed_transfer_syntaxes()
    preferred = families.preferred_transfer_syntaxes(accept_all=True)
    assert [option.short for option in proposed] == [f"-x{code}" for code in codes]
    assert [option.short for option in preferred] == [*(f"+x{code}" for code in codes), "+xa"]
    for option in (*proposed, *preferred):
        arguments = read((*proposed, *preferred), option.long)
        assert getattr(arguments, option.attribute) == option.short[2]
    assert (read(proposed).proposed, read(preferred).preferred) == ("=", "=")


def long_names(options: Iterable[Option]) -> tuple[str, ...]:
    return tuple(option.long for option in options)


def test_spellings_of_transfer_syntaxes() -> None:
    assert long_names(families.proposed_transfer_syntaxes("=id")) == (
        "--propose-uncompr", "--propose-implicit", "--propose-deflated",
    )  # fmt: skip
    assert long_names(families.preferred_transfer_syntaxes("=id")) == (
        "--prefer-uncompr", "--implicit", "--prefer-deflated",
    )  # fmt: skip


def test_the_rightmost_transfer_syntax_wins() -> None:
    assert read(families.proposed_transfer_syntaxes(), "-xs", "-xv", "-xe").proposed == "e"


def test_reporting_options() -> None:
    section = families.reporting()
    assert all(option.beyond_dcmtk for option in section.options)
    arguments = read(section.options, "--json")
    assert (arguments.json, arguments.no_progress) == (True, False)
