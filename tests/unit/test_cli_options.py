from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmnet.cli.options import (
    ANY_TEXT,
    PORT,
    TEXT,
    Arguments,
    Choice,
    Integer,
    InvalidValue,
    Option,
    Parameter,
    Section,
    Tool,
    UsageError,
    join_alternatives,
)
from dcmnet.cli.parser import expand_command_files, is_option, parse
from tests.unit.cli_tools import TOOL

PEER = ("host", "104")


def read(*argv: str) -> Arguments:
    return parse(TOOL, [*argv, *PEER])


def refusal(*argv: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        parse(TOOL, argv)
    return caught.value


# CL-1: what is an option.


@pytest.mark.parametrize("word", ["-v", "+v", "--", "++", "---", "--call", "-.5", "-x=", "+\u0661"])
def test_a_sign_and_a_non_digit_make_an_option(word: str) -> None:
    assert is_option(word)


@pytest.mark.parametrize("word", ["", "-", "+", "-5", "+5", "-1x", "host", "@x", "=x"])
def test_everything_else_is_a_parameter(word: str) -> None:
    assert not is_option(word)


def test_minus_and_plus_are_different_options() -> None:
    assert read("-r").recurse is False
    assert read("--scan", "+r").recurse is True


def test_lone_signs_and_numbers_are_parameters() -> None:
    assert parse(TOOL, ["-5", "104", "-", "+", "+7"]).file_in == ("-", "+", "+7")


# CL-2: spelling and values.


def test_a_short_option_has_several_letters_and_nothing_is_bundled() -> None:
    assert read("-aet", "ME").ae_title == "ME"
    assert str(refusal("-vd", *PEER)) == "Unknown option -vd"


@pytest.mark.parametrize("value", ["-v", "--help", "+r", "-5", "-", "-aet"])
def test_a_value_is_the_next_argument_whatever_it_looks_like(value: str) -> None:
    arguments = read("-aet", value)
    assert arguments.ae_title == value
    assert not arguments.exclusive


def test_an_option_may_take_two_values() -> None:
    assert read("-pad", "0", "9").padding == (0, 9)
    assert read("-xf", "file", "-profile").config_file == ("file", "-profile")


@pytest.mark.parametrize("argv", [("host", "104", "-aet"), ("host", "104", "-pad", "2")])
def test_a_missing_value_names_the_long_option(argv: tuple[str, ...]) -> None:
    error = refusal(*argv)
    assert str(error) in ("Missing value for option --aetitle", "Missing value for option --padding")


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("--acse-timeot", "did you mean --acse-timeout?"),
        ("--aetitle=ME", "the value is the next argument: --aetitle VALUE"),
        ("--frob=ME", ""),
        ("--log-l", "did you mean --log-level?"),
        ("-scan", "did you mean --scan?"),
        ("+aet", "did you mean -aet?"),
        ("-qwertz", ""),
        ("--", ""),
    ],
)
def test_an_unknown_option_suggests_the_nearest(word: str, hint: str) -> None:
    error = refusal(word, *PEER)
    assert str(error) == f"Unknown option {word}"
    assert error.hint == hint


# CL-3: position, and the rightmost of a group.


def test_options_stand_anywhere() -> None:
    for argv in (["-v", "host", "104", "a"], ["host", "-v", "104", "a"], ["host", "104", "a", "-v"]):
        arguments = parse(TOOL, argv)
        assert (arguments.peer, arguments.port, arguments.file_in) == ("host", 104, ("a",))
        assert arguments.log_level == "info"


@pytest.mark.parametrize(
    ("argv", "level"), [(("-q", "-v"), "info"), (("-v", "-d", "-q"), "fatal"), (("-q", "-v", "-q"), "fatal")]
)
def test_the_rightmost_of_a_group_wins(argv: tuple[str, ...], level: str) -> None:
    assert read(*argv).log_level == level


def test_an_overruled_option_counts_as_not_given() -> None:
    arguments = read("-xs", "-x=", "-xf", "file", "profile")
    assert "--propose-uncompr" in arguments
    assert "--propose-lossless" not in arguments
    assert read("+r", "-r").recurse is False
    overruled = read("-ss", "a", "-su", "b")
    assert (overruled.sort, overruled.sort_uid) == (None, "b")


def test_the_last_of_the_same_option_wins_and_only_it_is_checked() -> None:
    assert read("-pdu", "1", "-pdu", "4096").max_pdu == 4096
    assert str(refusal("-pdu", "4096", "-pdu", "1", *PEER)).endswith("(underflow: 1)")


def test_a_repeatable_option_keeps_every_value() -> None:
    assert read("-k", "a", "-v", "--key", "b").key == ("a", "b")
    assert read().key == ()


def test_everything_is_known_in_the_order_given() -> None:
    arguments = parse(TOOL, ["-v", "host", "-pwd", "12345", "104", "-q", "x", "y"])
    assert [one.name for one in arguments.given] == [
        "--verbose", "peer", "--password", "port", "--quiet", "file-in", "file-in",
    ]  # fmt: skip
    assert arguments.words() == ["--verbose", "host", "--password", "***", "104", "--quiet", "x", "y"]


# CL-4: command files.


def command_file(folder: object, text: str) -> str:
    path = f"{folder}/words"
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(text)
    return f"@{path}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a b\tc\nd\r\n", ["a", "b", "c", "d"]),
        ("\"a b\" 'c\"d' 'x\ny'", ["a b", 'c"d', "x\ny"]),
        ("'' \"\"", ["", ""]),
        ('z"q" "e"f', ["zq", "e", "f"]),
        ("\"g\"'h'", ["g", "h"]),
        ('"open end', ["open end"]),
        ("@other # -v", ["@other", "#", "-v"]),
        ("", []),
    ],
)
def test_a_command_file_gives_its_words(tmp_path: object, text: str, words: list[str]) -> None:
    assert expand_command_files(["x", command_file(tmp_path, text), "@"]) == ["x", *words, "@"]


def test_a_command_file_may_hold_a_value(tmp_path: object) -> None:
    assert read("-aet", command_file(tmp_path, "ME\n")).ae_title == "ME"


@pytest.mark.parametrize("name", ["/nowhere/at/all", "a\0b"])
def test_a_command_file_has_to_be_readable(name: str) -> None:
    error = refusal(f"@{name}")
    assert str(error) == f"Cannot open command file '{name}'"
    assert error.hint


# CL-5: exclusive options, and no arguments at all.


@pytest.mark.parametrize(
    "argv", [["--help"], ["-h", "a", "b", "c"], ["--version", "--help"], ["-h", "-pdu", "1"], []]
)
def test_help_suppresses_the_checks(argv: list[str]) -> None:
    assert parse(TOOL, argv).exclusive == "--help"


def test_other_exclusive_options_are_told_apart() -> None:
    assert parse(TOOL, ["--version"]).exclusive == "--version"
    assert parse(TOOL, ["--list"]).exclusive == "--list"
    assert parse(TOOL, ["--list"]).ae_title == "SAMPLE"


@pytest.mark.parametrize("argv", [["--help", "--frob"], ["--help", "-aet"]])
def test_help_does_not_excuse_bad_spelling(argv: list[str]) -> None:
    refusal(*argv)


def test_an_empty_command_file_is_no_argument_at_all(tmp_path: object) -> None:
    assert parse(TOOL, [command_file(tmp_path, " \n")]).exclusive == "--help"


def test_a_tool_without_mandatory_parameters_runs_without_arguments() -> None:
    tool = Tool("t", "p", (Parameter("x", "x", optional=True),), ())
    arguments = parse(tool, [])
    assert not arguments.exclusive
    assert arguments.x is None


# CL-6: the texts.


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (("-v",), "Missing parameter peer"),
        (("host",), "Missing parameter port"),
        (("host", "0"), "Invalid parameter value 0 (underflow)"),
        (("host", "65536"), "Invalid parameter value 65536 (overflow)"),
        (("host", "abc"), "Invalid parameter value abc"),
        (("host", "-5"), "Invalid parameter value -5"),
        (("-pdu", "1", *PEER), "Invalid value for option --max-pdu (underflow: 1)"),
        (("-pdu", "999999", *PEER), "Invalid value for option --max-pdu (overflow: 999999)"),
        (("-pdu", "9" * 4999, *PEER), f"Invalid value for option --max-pdu (overflow: {'9' * 4999})"),
        (("-pdu", "abc", *PEER), "Invalid value for option --max-pdu (abc)"),
        (("-pdu", "-5", *PEER), "Invalid value for option --max-pdu (-5)"),
        (("-pdu", "0x4000", *PEER), "Invalid value for option --max-pdu (underflow: 0x4000)"),
        (("-pdu", "", *PEER), "Invalid value for option --max-pdu"),
        (("-ts", "-2", *PEER), "Invalid value for option --socket-timeout (underflow: -2)"),
        (("-pad", "1", "10", *PEER), "Invalid value for option --padding (overflow: 10)"),
        (("-m", "slow", *PEER), "Invalid value for option --mode (slow)"),
        (("-pwd", "4", *PEER), "Invalid value for option --password (underflow: ***)"),
        (("-pwd", "", *PEER), "Invalid value for option --password"),
        (("-xf", "f", "p", "-xs", *PEER), "--config-file not allowed with --propose-lossless"),
        (("+r", *PEER), "--recurse only allowed with --scan, --deep or --all"),
        (("-v", "-ll", "info", *PEER), "--log-level not allowed with --verbose, --debug or --quiet"),
        (("-lc", "f", "-q", *PEER), "--log-config not allowed with --verbose, --debug or --quiet"),
        (("-lc", "f", "-ll", "info", *PEER), "--log-config not allowed with --log-level"),
        (("-ll", "loud", *PEER), "Invalid log level for --log-level option"),
    ],
)
def test_a_mistake_is_named(argv: tuple[str, ...], text: str) -> None:
    assert str(refusal(*argv)) == text


def test_parameters_are_counted() -> None:
    tool = Tool("t", "p", (Parameter("peer", "x"),), ())
    with pytest.raises(UsageError, match=r"^Too many parameters$"):
        parse(tool, ["a", "b"])
    with pytest.raises(UsageError, match=r"^Too many parameters$"):
        parse(Tool("t", "p", (), ()), ["a"])


def test_parameters_are_counted_before_they_are_looked_at() -> None:
    tool = Tool("t", "p", (Parameter("port", "x", kind=PORT), Parameter("y", "y")), ())
    with pytest.raises(UsageError, match=r"^Missing parameter y$"):
        parse(tool, ["abc"])


def test_an_option_may_stand_in_for_a_parameter() -> None:
    inetd = Section("s", (Option("-id", "--inetd", (), "h"),))
    tool = Tool("t", "p", (Parameter("port", "x", kind=PORT, unless="--inetd"),), (inetd,))
    assert parse(tool, []).exclusive == "--help"
    assert parse(tool, ["-id"]).port is None
    assert parse(tool, ["-id", "104"]).port == 104


# CL-7: lenient integers.


@pytest.mark.parametrize("text", ["16384", "16384xyz", " 16384", "+16384", "\t16384.7"])
def test_an_integer_is_read_leniently(text: str) -> None:
    assert read("-pdu", text).max_pdu == 16384


def test_signed_integers_take_a_minus_sign() -> None:
    assert read("-ts", "-1").socket_timeout == -1


@given(st.integers(-(10**30), 10**30), st.text(alphabet="abc .-", max_size=4))
def test_an_integer_is_within_its_range_or_refused(number: int, tail: str) -> None:
    kind = Integer(-50, 50)
    if -50 <= number <= 50:
        assert kind.convert(f"{number}{tail}") == number
        return
    with pytest.raises(InvalidValue) as caught:
        kind.convert(f"{number}{tail}")
    assert caught.value.reason == ("underflow" if number < 0 else "overflow")


# CL-8: empty values.


def test_empty_values_are_refused_where_they_are_checked() -> None:
    error = refusal("-aet", "", *PEER)
    assert (str(error), error.hint) == ("Invalid value for option --aetitle", "the value is empty")
    assert str(refusal("-k", "", *PEER)) == "Invalid value for option --key"
    assert read("-ss", "").sort == ""


def test_kinds_describe_themselves() -> None:
    assert (TEXT.describe(), ANY_TEXT.describe(), PORT.describe()) == ("", "", "1..65535")
    assert (Integer().describe(), Integer(1).describe()) == ("", "1 or more")
    assert Choice(("a", "b")).describe() == "a, b"
    assert TEXT.convert("x") == "x"


# CL-9: errors after the log options were evaluated.


@pytest.mark.parametrize(
    ("argv", "silent"),
    [
        (("-q", "-pdu", "1", *PEER), True),
        (("-ll", "fatal", "-pdu", "1", *PEER), True),
        (("-ll", "error", "-pdu", "1", *PEER), False),
        (("-q", "+v", *PEER), True),
        (("-q", "host", "abc"), False),
        (("-q", "--frob"), False),
        (("-q", "@/nowhere"), False),
        (("-q", "-ll", "loud", *PEER), False),
        (("-q", "-lc", "f", *PEER), False),
    ],
)
def test_quiet_silences_what_comes_after_the_log_options(argv: tuple[str, ...], silent: bool) -> None:
    assert refusal(*argv).silent is silent


# The rest of it.


def test_defaults() -> None:
    arguments = read()
    assert (arguments.ae_title, arguments.called_ae_title, arguments.ip_version) == ("SAMPLE", "ANY-SCP", 4)
    assert (arguments.connect_timeout, arguments.socket_timeout) == (None, 60)
    assert (arguments.recurse, arguments.scan, arguments.mode, arguments.file_in) == (False, False, None, ())
    assert arguments.log_level == "warn"


def test_an_attribute_nobody_defined() -> None:
    with pytest.raises(AttributeError, match="nothing called 'frob'"):
        _ = read().frob


def test_two_options_of_one_spelling_are_a_mistake_of_the_tool() -> None:
    rows = (Option("-a", "--one", (), "h"), Option("-a", "--two", (), "h"))
    with pytest.raises(ValueError, match="two options are spelled -a"):
        parse(Tool("t", "p", (), (Section("s", rows),)), ["-a"])


def test_a_check_is_called_with_every_value_known() -> None:
    def not_the_same(arguments: Arguments) -> None:
        if arguments.a == arguments.b:
            raise UsageError("a and b are the same")

    rows = (Option("", "--a", ("a",), "h", check=not_the_same), Option("", "--b", ("b",), "h", default="x"))
    tool = Tool("t", "p", (), (Section("s", rows),))
    assert parse(tool, ["--a", "1", "--b", "2"]).b == "2"
    with pytest.raises(UsageError, match="the same"):
        parse(tool, ["--a", "x"])
    assert parse(tool, []).a is None


def test_alternatives_are_listed() -> None:
    assert join_alternatives(["A"]) == "A"
    assert join_alternatives(["A", "B"]) == "A or B"
    assert join_alternatives(["A", "B", "C"]) == "A, B or C"


@given(st.lists(st.text(max_size=6), max_size=8))
def test_any_command_line_is_read_or_refused(words: list[str]) -> None:
    try:
        parse(TOOL, [word for word in words if not word.startswith("@")])
    except UsageError as error:
        assert str(error)
