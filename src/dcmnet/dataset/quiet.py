"""What pydicom says about values while dcmnet works with data sets: that something is wrong, and not what.

pydicom's warnings have the value in them, which may be a patient's name. Within a function that is `quietly`
decorated they are no warnings, and one line of its logger without the value. What a program does with a data
set itself is not touched: the warnings that it gets there are its own.

`warnings.catch_warnings` would not do: it changes what holds for all threads. A context variable belongs to
one thread, or to one task.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

WITHOUT_VALUE = "a value is not as its attribute demands; it is not shown here"
"""The text of the line: pydicom's own may have the value in any place."""

_WARNING = 30  # as `logging` has it


class _Call:
    """One call that is quiet; `told` if its line has been logged, or must not be."""

    __slots__ = ("told",)

    def __init__(self, *, told: bool = False) -> None:
        self.told = told


_current: ContextVar[_Call | None] = ContextVar("dcmnet_quiet_call", default=None)


@contextmanager
def silence() -> Iterator[None]:
    """Have pydicom tell nothing at all: for what says itself which values are wrong."""
    with _within(_Call(told=True)):
        yield


@contextmanager
def _within(call: _Call) -> Iterator[None]:
    if "pydicom" in sys.modules:  # the program has loaded it, and has made a data set perhaps
        from dcmnet.dataset import bridge  # noqa: F401  # it has pydicom heed `_current`
    token = _current.set(call)
    try:
        yield
    finally:
        _current.reset(token)


def quietly(function: Callable[P, T]) -> Callable[P, T]:
    """Decorator: pydicom tells no value while the function runs. Not for generators."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        if _current.get() is not None:
            return function(*args, **kwargs)
        with _within(_Call()):
            return function(*args, **kwargs)

    return call


def silently(function: Callable[P, T]) -> Callable[P, T]:
    """Decorator: as `silence` does. Not for generators."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        with silence():
            return function(*args, **kwargs)

    return call


class Warnings:
    """The module `warnings`, for pydicom: nothing is warned of in what runs `quietly`."""

    def warn(
        self,
        message: str | Warning,
        category: type[Warning] | None = None,
        stacklevel: int = 1,
        source: Any = None,
    ) -> None:
        """As `warnings.warn`."""
        if _current.get() is None:
            warnings.warn(message, category, stacklevel + 1, source)

    def __getattr__(self, name: str) -> Any:
        return getattr(warnings, name)


def admits(record: Any) -> bool:
    """A filter for pydicom's logger: what runs `quietly` gets one line, without a value."""
    current = _current.get()
    if current is None:
        return True
    if current.told or record.levelno < _WARNING:
        return False
    current.told = True
    record.msg, record.args, record.exc_info = WITHOUT_VALUE, (), None
    return True
