"""Command lines as tables: options, parameters, kinds of values; and what a command line said."""

from __future__ import annotations

from dcmnet._records import KW_ONLY, dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any, Protocol

    class Kind(Protocol):
        """What a value has to look like, and what becomes of it."""

        def convert(self, text: str) -> object:
            """The value of `text`; raises InvalidValue."""

        def describe(self) -> str:
            """The values allowed, for the usage text; empty when anything goes."""


_LARGEST_INTEGER = (1 << 63) - 1


class UsageError(Exception):
    """A mistake on the command line: the tool prints `error: <text>` and exits with 1.

    Attributes:
        hint: What to do about it, printed on a line of its own; empty when there is nothing to say.
        silent: Found after the log options were evaluated, and these ask for silence.
    """

    def __init__(self, text: str, hint: str = "") -> None:
        super().__init__(text)
        self.hint = hint
        self.silent = False


class InvalidValue(Exception):
    """A kind refuses a value; the reason may be empty."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Text:
    """Any text; empty text only where that means something."""

    empty: bool = False

    def convert(self, text: str) -> str:
        """The text itself."""
        if not text and not self.empty:
            raise InvalidValue("empty")
        return text

    def describe(self) -> str:
        """Nothing: anything goes."""
        return ""


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number from `minimum` to `maximum`, read leniently: what follows the digits is ignored.

    Without a negative minimum the number is unsigned and refuses a minus sign.
    """

    minimum: int = 0
    maximum: int = _LARGEST_INTEGER

    def convert(self, text: str) -> int:
        """The number at the start of `text`."""
        stripped = text.lstrip()
        sign = stripped[:1] if stripped[:1] in ("-", "+") else ""
        digits = _leading_digits(stripped[len(sign) :])
        if not digits or (sign == "-" and self.minimum >= 0):
            raise InvalidValue
        # 20 digits are beyond 64 bits already; more would make int() slow.
        number = int(sign + digits[:20])
        if number < self.minimum:
            raise InvalidValue("underflow")
        if number > self.maximum:
            raise InvalidValue("overflow")
        return number

    def describe(self) -> str:
        """The range."""
        if self.maximum == _LARGEST_INTEGER:
            return f"{self.minimum} or more" if self.minimum else ""
        return f"{self.minimum}..{self.maximum}"


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several words, in any case."""

    words: tuple[str, ...]
    refusal: str = ""

    def convert(self, text: str) -> str:
        """The word in lower case."""
        if text.lower() not in self.words:
            raise (
                UsageError(self.refusal, f"one of: {', '.join(self.words)}") if self.refusal else InvalidValue
            )
        return text.lower()

    def describe(self) -> str:
        """The words."""
        return ", ".join(self.words)


TEXT = Text()
ANY_TEXT = Text(empty=True)
PORT = Integer(1, 65535)


@dataclass(frozen=True, slots=True)
class Option:
    """One row of a command-line table.

    Attributes:
        short: Short spelling, with one or more letters; empty when there is none.
        long: Long spelling, the one used in messages.
        metavars: Names of the values that follow; none makes the option a flag.
        help: One sentence without a full stop.
        kind: What the values are: one kind for all, or one each.
        dest: Attribute that takes the value; from the long spelling when empty. Options may share one.
        const: What a flag puts there.
        default: What is there when no option of that `dest` is given.
        default_text: How the usage text names the default; None shows the default itself, "" hides it.
        group: Options of one group exclude each other: the rightmost wins, the others count as not given.
        conflicts_with: Long spellings it may not meet; a tuple of them is named as a whole.
        requires: Long spellings, one of which has to be given too.
        repeatable: Every occurrence counts; the value is a tuple.
        exclusive: Suppresses every other check, as --help does.
        secret: The value does not appear in logs.
        beyond_dcmtk: DCMTK's tool has no such option.
        check: Called once every value is known; raises UsageError.
    """

    short: str
    long: str
    metavars: tuple[str, ...]
    help: str
    _: KW_ONLY
    kind: Kind | tuple[Kind, ...] = TEXT
    dest: str = ""
    const: object = True
    default: object = None
    default_text: str | None = None
    group: str = ""
    conflicts_with: tuple[str | tuple[str, ...], ...] = ()
    requires: tuple[str, ...] = ()
    repeatable: bool = False
    exclusive: bool = False
    secret: bool = False
    beyond_dcmtk: bool = False
    check: Callable[[Arguments], None] | None = None

    @property
    def attribute(self) -> str:
        """The attribute of `Arguments` that takes the value."""
        return self.dest or self.long.lstrip("-+").replace("-", "_")


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument without a spelling; its attribute is the name with `-` turned into `_`.

    Attributes:
        name: What the usage text and messages call it.
        help: One sentence without a full stop.
        kind: What it has to look like.
        optional: May be left out, then None (or an empty tuple).
        many: Takes all that is left, as a tuple; only the last parameter may.
        unless: Long spelling of an option that makes it unnecessary.
    """

    name: str
    help: str
    _: KW_ONLY
    kind: Kind = TEXT
    optional: bool = False
    many: bool = False
    unless: str = ""

    @property
    def attribute(self) -> str:
        """The attribute of `Arguments` that takes the value."""
        return self.name.replace("-", "_")


@dataclass(frozen=True, slots=True)
class Section:
    """Options under a heading of the usage text.

    Attributes:
        title: The heading.
        options: The rows.
        requires: What nearly all of them require, said once in the heading.
    """

    title: str
    options: tuple[Option, ...]
    requires: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool's whole command line. Options are checked in the order of the table.

    Attributes:
        name: What it is called on the command line.
        purpose: What it does, in a few words.
        parameters: In their order.
        sections: Options under their headings.
        exit_codes: Code, or range of codes, and what it means, for the usage text.
        notes: Paragraphs at the end of the usage text.
    """

    name: str
    purpose: str
    parameters: tuple[Parameter, ...]
    sections: tuple[Section, ...]
    exit_codes: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def options(self) -> Iterator[Option]:
        """Every option, in the order of the table."""
        return (option for section in self.sections for option in section.options)


@dataclass(frozen=True, slots=True)
class Given:
    """An argument as it was given: an option's long spelling or a parameter's name, and the words."""

    name: str
    values: tuple[str, ...]
    option: Option | None = None

    def words(self) -> list[str]:
        """The words of the command line, spelled out, without secrets."""
        if self.option is None:
            return list(self.values)
        return [self.name, *("***" if self.option.secret else value for value in self.values)]


class Arguments:
    """What a command line said: values as attributes, and all of it in the order given.

    Attributes:
        given: Options and parameters in the order of the command line, those that were overruled as well.
        exclusive: Long spelling of the exclusive option that was given, as `--help`: parameters and options
            have not been checked then. Else empty.
    """

    __slots__ = ("_present", "_values", "exclusive", "given")

    def __init__(self, given: Sequence[Given], values: dict[str, Any], exclusive: str = "") -> None:
        self.given = tuple(given)
        self.exclusive = exclusive
        self._values = values
        self._present: frozenset[str] = frozenset()

    def accept(self, present: Iterable[str]) -> None:
        """Note which options count, by their long spellings; the parser does this."""
        self._present = frozenset(present)

    def assign(self, attribute: str, value: object) -> None:
        """Set a value; the parser does this, and a check that has to amend one."""
        self._values[attribute] = value

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f"the command line has nothing called {name!r}") from None

    def __contains__(self, long: object) -> bool:
        """Whether the option with this long spelling was given, and not overruled."""
        return long in self._present

    def words(self) -> list[str]:
        """The whole command line, @files expanded, options by their long names, secrets hidden."""
        return [word for given in self.given for word in given.words()]


def join_alternatives(names: Sequence[str]) -> str:
    """`A`, `A or B`, `A, B or C`."""
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _leading_digits(text: str) -> str:
    count = 0
    while count < len(text) and text[count] in "0123456789":
        count += 1
    return text[:count]
