"""What callers may pass: each function returns an argument in its regular form, or an error names it.

A wrong type is a TypeError, a value out of range a ValueError, each in one line. The errors show a value only
if it is a number, an AE title or a name: never one that may be a patient's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dcmnet._records import fields
from dcmnet.errors import InvalidAETitle

TYPE_CHECKING = False  # as type checkers see it, without importing `typing`
if TYPE_CHECKING:
    from typing import Any

MAX_PORT = 65535
MAX_AE_TITLE_LENGTH = 16
"""PS3.8 Table 9-11."""

MAX_SECONDS = 2_000_000
"""The longest timer, 23 days: `poll` counts milliseconds in 32 bits."""


def kind_of(value: object) -> str:
    """The type of a value, in words."""
    if value is None:
        return "None"
    name = type(value).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def several(value: Any, name: str, *kinds: type) -> tuple[Any, ...]:
    """One or several values as a tuple; a text is one text, not its characters.

    Raises:
        TypeError: It is neither one of `kinds`, nor an iterable of them.
    """
    if isinstance(value, kinds):
        return (value,)
    # A tuple is what most callers have; asking an abstract class takes long.
    if type(value) is not tuple and (not isinstance(value, Iterable) or isinstance(value, bytes | bytearray)):
        raise _not_several(kind_of(value), name, kinds)
    found = tuple(value)
    for each in found:
        if not isinstance(each, kinds):
            raise _not_several(f"{kind_of(each)} is among them", name, kinds)
    return found


def _not_several(what: str, name: str, kinds: tuple[type, ...]) -> TypeError:
    wanted = " or ".join(kind.__name__ for kind in kinds)
    return TypeError(f"{name}: {what}, expected one or several of {wanted}")


def strings(value: Any, name: str) -> tuple[str, ...]:
    """One or several texts, such as UIDs or AE titles, as a tuple.

    Raises:
        TypeError: It is something else.
    """
    return several(value, name, str)


def text(value: Any, name: str) -> str:
    """A text.

    Raises:
        TypeError: It is none.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name}: {kind_of(value)}, expected str")
    return value


def whole_number(value: Any, name: str, lowest: int = 0, highest: int | None = None) -> int:
    """An integer within limits; True is none.

    Raises:
        TypeError: It is no integer.
        ValueError: It is out of range.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name}: {kind_of(value)}, expected int")
    if value < lowest or (highest is not None and value > highest):
        upwards = f"{lowest} or more" if highest is None else f"{lowest} to {highest}"
        raise ValueError(f"{name}: {value}, expected {upwards}")
    return value


def port(value: Any, name: str = "port", *, free: bool = False) -> int:
    """A TCP port.

    Args:
        value: The argument.
        name: What it is called.
        free: Whether 0 is allowed, which stands for a free port.

    Raises:
        TypeError: It is no integer.
        ValueError: There is no such port.
    """
    return whole_number(value, name, 0 if free else 1, MAX_PORT)


def path(value: Any, name: str) -> Any:
    """The path of a file or folder, a text or a path object.

    Raises:
        TypeError: It is neither.
    """
    if not isinstance(value, str) and not hasattr(value, "__fspath__"):
        raise TypeError(f"{name}: {kind_of(value)}, expected a path")
    return value


def seconds(value: Any, name: str) -> float | None:
    """A length of time, or None for no limit.

    Raises:
        TypeError: It is no number.
        ValueError: It is negative, not a number, or longer than a timer can be.
    """
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"{name}: {kind_of(value)}, expected seconds or None")
    if not 0 <= value <= MAX_SECONDS:  # NaN is neither
        raise ValueError(f"{name}: {value}, expected 0 to {MAX_SECONDS} seconds, or None for no limit")
    return value


def ae_title(value: Any, name: str) -> str:
    """An AE title without the spaces around it, which are not significant (PS3.5 6.2, PS3.8 Table 9-11).

    Raises:
        TypeError: It is no text.
        InvalidAETitle: It is empty, longer than 16 characters, or has characters that it may not have.
    """
    title = text(value, name).strip(" ")
    if not (title and title.isascii() and title.isprintable() and "\\" not in title):
        raise InvalidAETitle(
            f"{name}: {value!a}, expected an AE title: ASCII characters, no backslash, no control characters"
        )
    if len(title) > MAX_AE_TITLE_LENGTH:
        raise InvalidAETitle(
            f"{name}: {value!a} has {len(title)} characters, expected 1 to {MAX_AE_TITLE_LENGTH}"
        )
    return title


def known(options: Iterable[str], names: Iterable[str], function: str) -> None:
    """Raise for the first option that a function does not have.

    Raises:
        TypeError: It names the option, and the one that was probably meant.
    """
    allowed = list(names)
    for option in options:
        if option not in allowed:
            from difflib import get_close_matches  # slow to load, and only needed for a mistake

            near = get_close_matches(option, allowed, 1)
            meant = f": do you mean {near[0]!r}?" if near else ""
            raise TypeError(f"{function}() has no argument {option!r}{meant}")


# ---------------------------------------------------------------------- handlers


def handler(value: Any, name: str, parameters: int) -> Any:
    """A function that can be called with that many arguments.

    Raises:
        TypeError: It is no function, or it takes another number of arguments, as far as that is known.
    """
    if not callable(value):
        raise TypeError(f"{name}: {kind_of(value)}, expected a function")
    import inspect  # slow to load, and only needed when something is registered

    try:
        # Not the signature of what it wraps: a wrapper may add arguments.
        signature = inspect.signature(value, follow_wrapped=False)
    except (TypeError, ValueError):  # some functions of C have none
        return value
    try:
        signature.bind(*range(parameters))
    except TypeError:
        called = getattr(value, "__name__", type(value).__name__)
        count = f"{parameters} argument{'s' if parameters > 1 else ''}"
        raise TypeError(f"{name}: {called}{signature} cannot be called with {count}") from None
    return value


def plain_handler(value: Any, name: str, parameters: int) -> Any:
    """The same, for a function that must not be a coroutine function: nothing waits for it.

    Raises:
        TypeError: It is none, takes another number of arguments, or is a coroutine function.
    """
    import inspect

    if inspect.iscoroutinefunction(value):
        raise TypeError(f"{name}: a coroutine function, expected a plain one: nothing waits for it")
    return handler(value, name, parameters)


# ---------------------------------------------------------------------- fields of data classes

_CHECKS: dict[type, list[tuple[str, str, frozenset[str]]]] = {}
_FUNCTIONS = frozenset("Callable Namer Sorter StoreHandler Trace".split())
_ANYTHING = frozenset("Any Literal Destinations File Source Version".split())


def check_types(record: Any) -> None:
    """Raise for a field of a data class that holds something else than its annotation says.

    It is a check for mistakes: what a container holds is not checked, and classes are known by their names,
    so that none is loaded for it.

    Raises:
        TypeError: It names the field.
    """
    kind = type(record)
    checks = _CHECKS.get(kind)
    if checks is None:
        checks = _CHECKS[kind] = [
            (each.name, str(each.type), wanted)
            for each in fields(record)
            if not (wanted := _types_in(str(each.type))) & _ANYTHING
        ]
    for name, annotation, wanted in checks:
        value = getattr(record, name)
        if value.__class__.__name__ not in wanted and not _is_one_of(value, wanted):
            raise TypeError(f"{name}: {kind_of(value)}, expected {_in_words(annotation)}")


def check_type(value: Any, name: str, annotation: str) -> None:
    """Raise for an argument that is something else than its annotation says, as `check_types` does.

    Raises:
        TypeError: It names the argument.
    """
    if not _is_one_of(value, _types_in(annotation)):
        raise TypeError(f"{name}: {kind_of(value)}, expected {_in_words(annotation)}")


def _alternatives(annotation: str) -> Iterator[str]:
    """`Callable` and `None` for `Callable[[int | str], Any] | None`."""
    depth, name = 0, ""
    for character in annotation + "|":
        if character == "|" and depth == 0:
            yield name.partition("[")[0].strip(" \"'")
            name = ""
            continue
        depth += (character == "[") - (character == "]")
        name += character


def _types_in(annotation: str) -> frozenset[str]:
    """The names that the types have which an annotation allows."""
    return frozenset("NoneType" if each == "None" else each for each in _alternatives(annotation))


def _is_one_of(value: object, wanted: frozenset[str]) -> bool:
    if value is None:
        return "NoneType" in wanted
    if isinstance(value, bool):
        return "bool" in wanted
    if wanted & _FUNCTIONS and callable(value):
        return True
    names = {kind.__name__ for kind in type(value).__mro__}
    return bool(names & wanted) or ("float" in wanted and "int" in names)


def _in_words(annotation: str) -> str:
    words = ["a function" if each in _FUNCTIONS else each for each in _alternatives(annotation)]
    return " or ".join(words)


def set_field(record: Any, name: str, value: object) -> None:
    """Put the regular form of a value into a data class, a frozen one too, when it is made."""
    object.__setattr__(record, name, value)
