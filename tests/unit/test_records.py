"""The data classes behave as those of the standard library."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from dcmnet import _records
from dcmnet._records import KW_ONLY, dataclass, field, fields, replace


@dataclass(frozen=True, slots=True)
class Point:
    """Two numbers."""

    DIMENSIONS: ClassVar[int] = 2

    x: int
    y: int = 0


@dataclass(frozen=True, slots=True)
class Named(Point):
    """More fields, some of them with their own ways."""

    _: KW_ONLY
    name: str = ""
    tags: list[str] = field(default_factory=list)
    hidden: int = field(default=1, repr=False)


@dataclass(slots=True)
class Counter:
    """May be changed."""

    count: int = 0
    seen: list[int] = field(init=False)
    made: dict[str, int] = field(init=False, default_factory=dict)
    fixed: int = field(init=False, default=7)

    def __post_init__(self) -> None:
        self.seen = [self.count]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Plain:
    """Equal to itself alone."""

    x: int


@dataclass(frozen=True, slots=True)
class OwnMethods:
    """Methods that are written stay."""

    x: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OwnMethods)

    def __hash__(self) -> int:
        return 5

    def __repr__(self) -> str:
        return "own"


class Extended(Point):
    """No data class itself: it has a dictionary."""


def test_values_come_by_position_and_by_name() -> None:
    assert (Point(1).x, Point(1).y, Point(1, 2).y, Point(y=2, x=1).x) == (1, 0, 2, 1)
    named = Named(1, 2, name="n")
    assert (named.x, named.y, named.name, named.tags, named.hidden) == (1, 2, "n", [], 1)
    assert Named(1).tags is not Named(1).tags


@pytest.mark.parametrize("arguments", [(), (1, 2, 3)])
def test_wrong_arguments_are_refused(arguments: tuple[int, ...]) -> None:
    with pytest.raises(TypeError):
        Point(*arguments)
    with pytest.raises(TypeError):
        Named(1, 2, "by position")  # type: ignore[call-arg]


def test_fields_that_are_not_given() -> None:
    counter = Counter(3)
    assert (counter.seen, counter.made, counter.fixed) == ([3], {}, 7)
    counter.count = 4
    assert counter.count == 4
    with pytest.raises(TypeError):
        hash(counter)


def test_equality_and_hash() -> None:
    assert Point(1) == Point(1, 0)
    assert Point(1) != Point(2)
    assert Point(1) != Named(1)
    assert len({Point(1), Point(1), Point(2)}) == 2
    assert Plain(1) != Plain(1)
    assert len({Plain(1), Plain(1)}) == 2
    assert OwnMethods(1) == OwnMethods(2)
    assert hash(OwnMethods(1)) == 5


def test_text() -> None:
    assert repr(Named(1, name="n")) == "Named(x=1, y=0, name='n', tags=[])"
    assert repr(Plain(1)).startswith("<")
    assert repr(OwnMethods(1)) == "own"


def test_frozen_objects_stay() -> None:
    point = Point(1)
    for change in (
        lambda: setattr(point, "x", 2),
        lambda: delattr(point, "x"),
        lambda: setattr(point, "z", 2),
    ):
        with pytest.raises(dataclasses.FrozenInstanceError):
            change()  # type: ignore[no-untyped-call]
    extended = Extended(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        extended.x = 2  # type: ignore[misc]
    extended.more = 3  # type: ignore[attr-defined]
    del extended.more  # type: ignore[attr-defined]
    assert not hasattr(Point(1), "__dict__")


def test_subclasses_that_are_no_data_classes() -> None:
    assert Extended(1, 2) == Extended(1, 2)
    assert Extended(1) != Point(1)
    assert repr(Extended(1)) == "Extended(x=1, y=0)"
    assert dataclasses.replace(Extended(1), y=5).y == 5


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))])
def test_copies(copied: Callable[[Any], Any]) -> None:
    for original in (Point(1, 2), Named(1, tags=["a"], name="n"), Counter(3)):
        assert copied(original) == original


def test_replacement() -> None:
    assert replace(Point(1), y=2) == Point(1, 2) == dataclasses.replace(Point(1), y=2)
    assert [each.name for each in fields(Named)] == ["x", "y", "name", "tags", "hidden"]


def test_the_standard_library_takes_them_for_its_own() -> None:
    assert dataclasses.is_dataclass(Point)
    assert [each.name for each in dataclasses.fields(Named(1))] == ["x", "y", "name", "tags", "hidden"]
    assert dataclasses.asdict(Named(1, name="n")) == {"x": 1, "y": 0, "name": "n", "tags": [], "hidden": 1}
    assert list(inspect.signature(Named).parameters) == ["x", "y", "name", "tags", "hidden"]
    assert inspect.signature(Point).parameters["y"].default == 0

    @dataclasses.dataclass(frozen=True)
    class Further(Point):
        z: int = 1

    assert dataclasses.astuple(Further(1, 2)) == (1, 2, 1)
    with pytest.raises(TypeError, match="frozen"):

        @dataclasses.dataclass
        class Thawed(Point):  # type: ignore[misc]
            z: int = 1


def test_patterns() -> None:
    match Named(1, 2, name="n"):
        case Named(x, y, name=name):
            assert (x, y, name) == (1, 2, "n")
    assert Named.__match_args__ == ("x", "y")


def test_classes_without_slots_are_refused() -> None:
    decorator: Any = _records.dataclass
    with pytest.raises(TypeError, match="slots"):
        decorator(slots=False)
    assert repr(_records.MISSING) == "<missing>"


def test_a_class_that_watches_its_attributes_is_not_told_of_the_first_ones() -> None:
    """While an object is made, a slot's own setter is used."""
    seen: list[str] = []

    @dataclass(slots=True)
    class Watched:
        one: int
        two: int = 2

        def __setattr__(self, name: str, value: object) -> None:
            seen.append(name)
            object.__setattr__(self, name, value)

    watched = Watched(1)
    assert (watched.one, watched.two, seen) == (1, 2, [])
    watched.two = 3
    assert seen == ["two"]
