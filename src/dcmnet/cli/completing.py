"""Writes completions for shells: the tables of the tools as functions, before the script that asks them.

The scripts are in `shells/`. They call, for the tool that is on the command line:

- options: its spellings (for zsh and fish with what they do);
- values: what the values of an option are, one entry each;
- parameters: what its parameters are, one entry each, and whether the last takes all that is left.

An entry is what `catalogue.expected` says, or `any`.
"""

from __future__ import annotations

from importlib import resources

from dcmnet.cli import catalogue

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from dcmnet.cli.options import Option, Parameter, Tool

    Cases = Iterator[tuple[list[str], list[str]]]
    """Words, and what is answered for each of them."""

_WORDS = ("help", "--help", "--version")
_DETAIL = 60
"""A description is cut after the word that reaches so many characters."""


def script(shell: str, *, plain: bool = False) -> str:
    """The completions for a shell.

    Args:
        shell: `bash`, `zsh` or `fish`.
        plain: Also for the plain names of the tools.
    """
    commands = " ".join(["dcmnet", *(catalogue.plain_names() if plain else ())])
    fixed = (resources.files("dcmnet.cli") / "shells" / f"dcmnet.{shell}").read_text(encoding="utf-8")
    tables = "".join(_fish_tables() if shell == "fish" else _case_tables(described=shell == "zsh"))
    first, last = {
        "bash": ("", f"complete -o default -F _dcmnet {commands}\n"),
        "zsh": (f"#compdef {commands}\n", _ZSH_END.format(commands)),
        "fish": (
            "",
            "".join(f"complete -c {name} -f -a '(__dcmnet_complete)'\n" for name in commands.split()),
        ),
    }[shell]
    return f"{first}# Written by `dcmnet completion {shell}`.\n\n{tables}\n{fixed}\n{last}"


_ZSH_END = """\
if [[ $funcstack[1] == _dcmnet ]]; then
  _dcmnet "$@"
else
  compdef _dcmnet {}
fi
"""


# ---------------------------------------------------------------------- the tables


def _tools() -> Cases:
    yield [""], [*(f"{name}\t{catalogue.line_of(name)}" for name in catalogue.names()), *_WORDS]


def _options(tool: Tool) -> Cases:
    found = []
    for option in tool.options:
        found += [f"{spelling}\t{_detail(option.help)}" for spelling in _spellings(option)]
    yield [tool.name], found


def _values(tool: Tool) -> Cases:
    """The options that have values; those with the same kind of values together."""
    together: dict[tuple[str, ...], list[str]] = {}
    for option in tool.options:
        if option.metavars:
            kinds = option.kind if isinstance(option.kind, tuple) else (option.kind,) * len(option.metavars)
            entries = tuple(
                catalogue.expected(name, kind) or "any"
                for name, kind in zip(option.metavars, kinds, strict=True)
            )
            together.setdefault(entries, []).extend(f"{tool.name} {each}" for each in _spellings(option))
    for entries, spellings in together.items():
        yield spellings, list(entries)


def _parameters(tool: Tool) -> Cases:
    entries = [_parameter(parameter) for parameter in tool.parameters]
    if tool.parameters and tool.parameters[-1].many:
        entries.append("more")
    yield [tool.name], entries


def _parameter(parameter: Parameter) -> str:
    return catalogue.expected(parameter.name, parameter.kind) or "any"


def _spellings(option: Option) -> list[str]:
    return [spelling for spelling in (option.short, option.long) if spelling]


def _detail(text: str) -> str:
    """As many words as a list has room for."""
    shown = ""
    for word in text.split():
        if len(shown) > _DETAIL:
            return f"{shown} ..."
        shown = f"{shown} {word}".lstrip()
    return shown


# ---------------------------------------------------------------------- as a shell writes them


def _tables() -> Iterator[tuple[str, Cases]]:
    tools = [catalogue.tool_of(name) for name in catalogue.names()]
    yield "tools", _tools()
    yield "options", (case for tool in tools for case in _options(tool))
    yield "values", (case for tool in tools for case in _values(tool))
    yield "parameters", (case for tool in tools for case in _parameters(tool))


def _case_tables(*, described: bool) -> Iterator[str]:
    """For bash and zsh: `_dcmnet_options WORD` sets the array `answer`."""
    for name, cases in _tables():
        yield f"_dcmnet_{name}() {{\n  answer=()\n  case $1 in\n"
        for words, entries in cases:
            patterns = "|".join(map(_quoted, words))
            shown = " ".join(_quoted(_for_case(entry, described)) for entry in entries)
            yield f"    {patterns}) answer=({shown}) ;;\n"
        yield "    *) return 1 ;;\n  esac\n}\n"


def _for_case(entry: str, described: bool) -> str:
    """For zsh `spelling:what it does`, for bash the spelling."""
    word, tab, text = entry.partition("\t")
    return f"{word}:{text}" if tab and described else word


def _fish_tables() -> Iterator[str]:
    """For fish: `__dcmnet_options WORD` prints a line for each entry."""
    for name, cases in _tables():
        yield f"function __dcmnet_{name}\n    switch $argv[1]\n"
        for words, entries in cases:
            yield f"        case {' '.join(map(_fish_quoted, words))}\n"
            if entries:
                yield f"            printf '%s\\n' {' '.join(map(_fish_quoted, entries))}\n"
        yield "        case '*'\n            return 1\n    end\nend\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
