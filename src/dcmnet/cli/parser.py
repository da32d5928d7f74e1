"""Reads command lines by their tables.

The grammar is that of DCMTK's tools, which argparse cannot express: spellings that start with `-` and with
`+` are different options, the value is always the next argument whatever it looks like, nothing is bundled or
abbreviated, and within a group of options that exclude each other the rightmost one wins.
"""

from __future__ import annotations

from dcmnet.cli.options import (
    Arguments,
    Given,
    InvalidValue,
    Option,
    Parameter,
    Tool,
    UsageError,
    join_alternatives,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, TypeAlias

    from dcmnet.cli.options import Kind

    Occurrences: TypeAlias = dict[str, list[Given]]

_BLANKS = " \t\r\n"
_QUOTES = "\"'"


def parse(tool: Tool, argv: Sequence[str]) -> Arguments:
    """Read a command line.

    Raises:
        UsageError: It is not one this tool takes.
    """
    words = expand_command_files(argv)
    if not words and any(not parameter.optional for parameter in tool.parameters):
        return Arguments((), default_values(tool), exclusive="--help")
    given, parameters = _scan(tool, words)
    arguments = Arguments(given, default_values(tool))
    for option in tool.options:
        if option.exclusive and any(one.option is option for one in given):
            arguments.exclusive = option.long
            return arguments
    winners = _winners(given)
    arguments.accept(winners)
    _assign_parameters(tool, parameters, arguments)
    _assign_options(tool, winners, arguments)
    return arguments


def expand_command_files(argv: Sequence[str]) -> list[str]:
    """The arguments with every `@file` replaced by the words of that file; these are taken as they are."""
    words: list[str] = []
    for argument in argv:
        if len(argument) > 1 and argument[0] == "@":
            words.extend(_split_words(_read_command_file(argument[1:])))
        else:
            words.append(argument)
    return words


def is_option(word: str) -> bool:
    """Whether a word is an option: `-` or `+` followed by something that is not a digit."""
    return len(word) > 1 and word[0] in "-+" and word[1] not in "0123456789"


def _read_command_file(name: str) -> str:
    try:
        with open(name, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"Cannot open command file '{name}'", f"{why}" if why else "") from None


def _split_words(text: str) -> Iterator[str]:
    """Words apart at blanks; a quote may open anywhere in a word, and the closing one ends the word."""
    word, quote = "", ""
    for character in text:
        if quote and character != quote:
            word += character
        elif quote or character in _BLANKS:
            if word or quote:
                yield word
            word, quote = "", ""
        elif character in _QUOTES:
            quote = character
        else:
            word += character
    if word:
        yield word


def _scan(tool: Tool, words: list[str]) -> tuple[list[Given], list[str]]:
    spellings = _spellings(tool)
    given: list[Given] = []
    parameters: list[str] = []
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if not is_option(word):
            parameters.append(word)
            given.append(Given(_parameter_name(tool, len(parameters)), (word,)))
            continue
        option = spellings.get(word)
        if option is None:
            raise UsageError(f"Unknown option {word}", _nearest_spelling(word, spellings))
        values = tuple(words[position : position + len(option.metavars)])
        if len(values) < len(option.metavars):
            raise UsageError(f"Missing value for option {option.long}")
        position += len(values)
        given.append(Given(option.long, values, option))
    return given, parameters


def _spellings(tool: Tool) -> dict[str, Option]:
    table: dict[str, Option] = {}
    for option in tool.options:
        for spelling in filter(None, (option.short, option.long)):
            if table.setdefault(spelling, option) is not option:
                raise ValueError(f"{tool.name}: two options are spelled {spelling}")
    return table


def _parameter_name(tool: Tool, count: int) -> str:
    if not tool.parameters:
        return ""
    return tool.parameters[min(count, len(tool.parameters)) - 1].name


def _nearest_spelling(word: str, spellings: dict[str, Option]) -> str:
    name, equals, _ = word.partition("=")
    if equals and name in spellings:
        return f"the value is the next argument: {name} VALUE"
    other_sign = ("+" if word[0] == "-" else "-") + word[1:]
    longer = [spelling for spelling in spellings if len(word) > 3 and spelling.startswith(word)]
    if other_sign in spellings or longer:
        return f"did you mean {other_sign if other_sign in spellings else longer[0]}?"
    import difflib  # only needed for a mistake

    near = difflib.get_close_matches(word, spellings, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else ""


def default_values(tool: Tool) -> dict[str, Any]:
    """What every attribute holds when nothing is given."""
    values: dict[str, Any] = {}
    for parameter in tool.parameters:
        values[parameter.attribute] = () if parameter.many else None
    for option in tool.options:
        absent: object = option.default
        if absent is None and option.repeatable:
            absent = ()
        elif absent is None and not option.metavars and option.const is True:
            absent = False
        if values.get(option.attribute) is None:
            values[option.attribute] = absent
    return values


def _winners(given: list[Given]) -> Occurrences:
    """By long spelling: what counts. In a group that is the rightmost, and of each option the last one."""
    winners: Occurrences = {}
    holders: dict[str, str] = {}
    for one in given:
        if one.option is None:
            continue
        if one.option.group:
            overruled = holders.get(one.option.group, one.name)
            if overruled != one.name:
                winners.pop(overruled, None)
            holders[one.option.group] = one.name
        if one.option.repeatable:
            winners.setdefault(one.name, []).append(one)
        else:
            winners[one.name] = [one]
    return winners


def _assign_parameters(tool: Tool, words: list[str], arguments: Arguments) -> None:
    taken: list[tuple[Parameter, list[str]]] = []
    rest = list(words)
    for parameter in tool.parameters:
        if not rest and not parameter.optional and parameter.unless not in arguments:
            raise UsageError(f"Missing parameter {parameter.name}")
        count = len(rest) if parameter.many else 1
        taken.append((parameter, rest[:count]))
        rest = rest[count:]
    if rest:
        raise UsageError("Too many parameters")
    for parameter, words_of_it in taken:
        values = tuple(_convert_parameter(parameter, word) for word in words_of_it)
        if values:
            arguments.assign(parameter.attribute, values if parameter.many else values[0])


def _convert_parameter(parameter: Parameter, word: str) -> object:
    try:
        return parameter.kind.convert(word)
    except InvalidValue as error:
        reason = f" ({error.reason})" if error.reason else ""
        raise UsageError(f"Invalid parameter value {word}{reason}") from None


def _assign_options(tool: Tool, winners: Occurrences, arguments: Arguments) -> None:
    try:
        for option in tool.options:
            occurrences = winners.get(option.long)
            if occurrences:
                _check_company(option, winners)
                values = tuple(_convert_values(option, one.values) for one in occurrences)
                arguments.assign(option.attribute, values if option.repeatable else values[0])
        for option in tool.options:
            if option.check is not None and option.long in winners:
                option.check(arguments)
    except UsageError as error:
        # --quiet silences what is found once the log options, first in every table, have been evaluated.
        is_log_option = option.attribute in ("log_level", "log_config")
        error.silent = getattr(arguments, "log_level", "") == "fatal" and not is_log_option
        raise


def _check_company(option: Option, winners: Occurrences) -> None:
    if option.requires and not any(name in winners for name in option.requires):
        raise UsageError(f"{option.long} only allowed with {join_alternatives(option.requires)}")
    for others in option.conflicts_with:
        names = (others,) if isinstance(others, str) else others
        if any(name in winners for name in names):
            raise UsageError(f"{option.long} not allowed with {join_alternatives(names)}")


def _convert_values(option: Option, words: tuple[str, ...]) -> object:
    if not option.metavars:
        return option.const
    kinds = option.kind if isinstance(option.kind, tuple) else (option.kind,) * len(words)
    values = tuple(_convert_value(option, kind, word) for kind, word in zip(kinds, words, strict=True))
    return values if len(values) > 1 else values[0]


def _convert_value(option: Option, kind: Kind, word: str) -> object:
    try:
        return kind.convert(word)
    except InvalidValue as error:
        shown = "***" if option.secret and word else word
        detail = ": ".join(filter(None, (error.reason if word else "", shown)))
        detail = f" ({detail})" if detail else ""
        hint = "" if word else "the value is empty"
        raise UsageError(f"Invalid value for option {option.long}{detail}", hint) from None
