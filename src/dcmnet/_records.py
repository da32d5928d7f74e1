"""Data classes as `dataclasses` has them, at a tenth of the price when a program starts.

`dataclasses` loads `inspect`, `ast`, `dis` and `tokenize`, and compiles eight functions a class, used or
not: for the classes of dcmnet that was half of the time a tool took to start. Here the methods of a class are
compiled when the first of them is called. Whoever uses the classes sees no difference: type checkers see
`dataclasses`, and its own `fields()`, `replace()` and `asdict()`, pickling and `copy` work
(docs/decisions/0006-own-data-classes.md).

Every class is slotted. What dcmnet does not need is missing: `order`, `unsafe_hash`, `compare`, `InitVar`.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers see it; `typing` is slow to load as well
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, TypeVar

    T = TypeVar("T")


class _Missing:
    """No default."""

    def __repr__(self) -> str:
        return "<missing>"


class _KeywordOnly:
    """As an annotation: the fields that follow are given by name."""


_MISSING = _Missing()


class _Field:
    """A field of a class; the attributes are those of `dataclasses.Field`."""

    __slots__ = ("default", "default_factory", "init", "kw_only", "name", "repr", "type")

    def __init__(
        self, default: Any, default_factory: Any = _MISSING, *, init: bool = True, repr: bool = True
    ) -> None:
        self.name = ""
        self.type = ""
        self.default = default
        self.default_factory = default_factory
        self.init = init
        self.repr = repr
        self.kw_only = False


def _field(
    *,
    default: Any = _MISSING,
    default_factory: Any = _MISSING,
    init: bool = True,
    repr: bool = True,
    kw_only: bool = False,
) -> _Field:
    field = _Field(default, default_factory, init=init, repr=repr)
    field.kw_only = kw_only
    return field


def _dataclass(
    *, slots: bool, frozen: bool = False, kw_only: bool = False, eq: bool = True, repr: bool = True
) -> Callable[[type[T]], type[T]]:
    if not slots:
        raise TypeError("every data class of dcmnet has slots=True")

    def decorate(cls: type[T]) -> type[T]:
        own = {field.name: field for field in _own_fields(cls, kw_only)}
        record = _with_slots(cls, own)
        _add_methods(record, frozen=frozen, eq=eq, repr=repr)
        return record

    return decorate


def _fields(record: Any) -> tuple[_Field, ...]:
    """The fields of a class or of one of its objects."""
    return tuple(record.__record_fields__.values())


def _replace(record: T, **changes: Any) -> T:
    """A copy with other values; see `dataclasses.replace`."""
    for field in _fields(record):
        if field.init and field.name not in changes:
            changes[field.name] = getattr(record, field.name)
    return type(record)(**changes)


if TYPE_CHECKING:
    from dataclasses import KW_ONLY, MISSING, dataclass, field, fields, replace
else:
    KW_ONLY, MISSING = _KeywordOnly, _MISSING
    dataclass, field, fields, replace = _dataclass, _field, _fields, _replace

__all__ = ["KW_ONLY", "MISSING", "dataclass", "field", "fields", "replace"]


# ---------------------------------------------------------------------------------------- making a class


def _own_fields(cls: type, kw_only: bool) -> Iterator[_Field]:
    """What the body of a class declares; every module has its annotations as text."""
    for name, annotation in cls.__annotations__.items():
        if annotation.startswith("ClassVar"):
            continue
        if annotation == "KW_ONLY":
            kw_only = True
            continue
        default = cls.__dict__.get(name, _MISSING)
        field = default if isinstance(default, _Field) else _Field(default)
        field.name, field.type = name, annotation
        field.kw_only = field.kw_only or kw_only
        yield field


def _with_slots(cls: type[T], own: dict[str, _Field]) -> type[T]:
    """The class once more, with its fields and those of its bases; slots come when it is made."""
    inherited: dict[str, _Field] = {}
    for base in reversed(cls.__mro__[1:]):
        inherited.update(base.__dict__.get("__record_fields__", {}))
    every = inherited | own
    namespace = {name: value for name, value in cls.__dict__.items() if name not in own}
    namespace.pop("__dict__", None)
    namespace.pop("__weakref__", None)
    namespace["__slots__"] = tuple(name for name in own if name not in inherited)
    namespace["__record_fields__"] = every
    namespace["__match_args__"] = tuple(
        name for name, field in every.items() if field.init and not field.kw_only
    )
    metaclass: Any = type(cls)
    record: type[T] = metaclass(cls.__name__, cls.__bases__, namespace)
    record.__qualname__ = cls.__qualname__
    return record


def _add_methods(record: type, *, frozen: bool, eq: bool, repr: bool) -> None:
    written = record.__dict__
    methods: dict[str, Any] = {
        "__init__": _made_when_called(record, "__init__"),
        "__getstate__": _get_state,
        "__setstate__": _set_state,
        "__replace__": _replace,
        "__record_frozen__": frozen,
        "__dataclass_fields__": _FromStandardLibrary("__dataclass_fields__"),
        "__dataclass_params__": _FromStandardLibrary("__dataclass_params__"),
        "__signature__": _FromStandardLibrary("__signature__"),
    }
    if repr:
        methods["__repr__"] = _repr
    if frozen:
        methods |= {"__setattr__": _refuse_to_set, "__delattr__": _refuse_to_delete}
    if eq:
        methods["__eq__"] = _made_when_called(record, "__eq__")
        # A class that writes its own __eq__, and no __hash__, has None there.
        if frozen and written.get("__hash__") is None:
            record.__hash__ = _made_when_called(record, "__hash__")  # type: ignore[method-assign]
        methods["__hash__"] = None
    for name, method in methods.items():
        if name not in written:
            setattr(record, name, method)


def _made_when_called(record: type, name: str) -> Callable[..., Any]:
    def method(self: object, *args: object, **kwargs: object) -> Any:
        made = _compile(record, name)
        setattr(record, name, made)
        return made(self, *args, **kwargs)

    return method


def _compile(record: type, name: str) -> Callable[..., Any]:
    every = _fields(record)
    scope: dict[str, Any] = {}
    mine, others = (f"({''.join(f'{which}.{each.name}, ' for each in every)})" for which in ("self", "other"))
    if name == "__eq__":
        parameters = "self, other"
        lines = [f"return {mine} == {others} if other.__class__ is self.__class__ else NotImplemented"]
    elif name == "__hash__":
        parameters, lines = "self", [f"return hash({mine})"]
    else:
        parameters, lines = ", ".join(_parameters(every)), list(_assignments(record, every))
        scope = {"_MISSING": _MISSING}
        for each in every:
            # A slot's own setter is quicker than object.__setattr__; a frozen class does not refuse it.
            # Where nothing refuses, an assignment is three times as quick.
            scope[f"_set_{each.name}"] = getattr(record, each.name).__set__
            scope[f"_default_{each.name}"] = each.default
            scope[f"_factory_{each.name}"] = each.default_factory
    exec(f"def {name}({parameters}):\n " + "\n ".join(lines), scope)  # names from the source of dcmnet
    made: Callable[..., Any] = scope[name]
    made.__qualname__ = f"{record.__qualname__}.{name}"
    return made


def _parameters(every: tuple[_Field, ...]) -> Iterator[str]:
    yield "self"
    named = False
    for each in sorted((each for each in every if each.init), key=lambda each: each.kw_only):
        if each.kw_only and not named:
            named = True
            yield "*"
        if each.default is not _MISSING:
            yield f"{each.name}=_default_{each.name}"
        else:
            yield each.name if each.default_factory is _MISSING else f"{each.name}=_MISSING"


def _assignments(record: Any, every: tuple[_Field, ...]) -> Iterator[str]:
    assigns = record.__setattr__ is object.__setattr__
    for each in every:
        name = each.name
        made = f"_factory_{name}()"
        if each.default_factory is not _MISSING:
            value = f"{made} if {name} is _MISSING else {name}" if each.init else made
        elif not each.init and each.default is _MISSING:
            continue
        else:
            value = name if each.init else f"_default_{name}"
        yield f"self.{name} = {value}" if assigns else f"_set_{name}(self, {value})"
    yield "self.__post_init__()" if hasattr(record, "__post_init__") else "pass"


# ------------------------------------------------------------------------- methods that all classes share


def _repr(self: object) -> str:
    shown = ", ".join(f"{each.name}={getattr(self, each.name)!r}" for each in _fields(self) if each.repr)
    return f"{type(self).__qualname__}({shown})"


def _get_state(self: object) -> list[Any]:
    return [getattr(self, each.name) for each in _fields(self)]


def _set_state(self: object, state: list[Any]) -> None:
    for each, value in zip(_fields(self), state, strict=True):
        object.__setattr__(self, each.name, value)


def _refuse_to_set(self: object, name: str, value: object) -> None:
    _refuse(self, name, "assign to")
    object.__setattr__(self, name, value)


def _refuse_to_delete(self: object, name: str) -> None:
    _refuse(self, name, "delete")
    object.__delattr__(self, name)


def _refuse(self: object, name: str, what: str) -> None:
    # A subclass that is no data class has attributes of its own, and may change these.
    if name in {each.name for each in _fields(self)} or not hasattr(self, "__dict__"):
        from dataclasses import FrozenInstanceError  # slow to load, and only needed for a mistake

        raise FrozenInstanceError(f"cannot {what} field {name!r}")


# -------------------------------------------------------------------------- for users of `dataclasses`


class _FromStandardLibrary:
    """An attribute that `dataclasses` or `inspect` looks for on a class, made when somebody looks for it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type) -> Any:
        record = next(each for each in owner.__mro__ if "__record_fields__" in each.__dict__)
        value = getattr(_standard_class(record), self._name)
        setattr(record, self._name, value)
        return value


def _standard_class(record: Any) -> Any:
    """A class of `dataclasses` with the same fields."""
    import dataclasses  # what this module is there to avoid
    import inspect

    rows = []
    for each in _fields(record):
        keywords: dict[str, Any] = {"init": each.init, "repr": each.repr, "kw_only": each.kw_only}
        for key in ("default", "default_factory"):
            if getattr(each, key) is not _MISSING:
                keywords[key] = getattr(each, key)
        rows.append((each.name, each.type, dataclasses.field(**keywords)))
    standard: Any = dataclasses.make_dataclass(record.__name__, rows, frozen=record.__record_frozen__)
    standard.__signature__ = inspect.signature(standard)
    return standard
