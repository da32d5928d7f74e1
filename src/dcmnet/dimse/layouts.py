"""How each message lies in a Command Set, worked out from its dataclass: what must be there, and be right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any, Literal, NamedTuple, TypeAlias

from dcmnet._records import MISSING, fields
from dcmnet.dimse.command import ELEMENTS, Value, command_error, missing_elements
from dcmnet.errors import RemoteProtocolError
from dcmnet.limits import Tolerance

DataSetRule: TypeAlias = Literal["required", "forbidden", "optional"]

# PS3.7 E.1: Command Data Set Type 0101H is "no Data Set", anything else says that one follows.
TYPE_WITHOUT_DATA_SET = 0x0101
TYPE_WITH_DATA_SET = 0x0001

COMMAND_FIELD_ELEMENT = 0x0100
DATA_SET_TYPE_ELEMENT = 0x0800

# Move Destination, whose fault is answered with a status; Priority and Move Originator.
_INFORMATION = frozenset((0x0600, 0x0700, 0x1030, 0x1031))


class Layout(NamedTuple):
    """How one message lies in a Command Set: worked out from its dataclass, once.

    Of the elements, the standard has those that are `required`; nothing can be done without those that are
    `needed`; `used` ones must be right if they are there; `unsaid` are fields that have no default otherwise.
    """

    message: type[Any]
    numbers: tuple[int, ...]
    keywords: dict[int, str]
    required: frozenset[int]
    needed: frozenset[int]
    used: frozenset[int]
    unsaid: dict[str, Any]
    values_of: Callable[[Any], tuple[Value | None, ...]]


def layout_of(message: type[Any]) -> Layout:
    """The layout of a kind of message."""
    found = {field.name: field for field in fields(message)}
    keywords = {element.number: element.keyword for element in ELEMENTS if element.keyword in found}
    # PS3.7 9.3: Priority is mandatory on the wire; the default is a convenience of ours.
    required = {
        number
        for number, keyword in keywords.items()
        if found[keyword].default is MISSING or keyword == "priority"
    }
    # PS3.7 9.3, 10.3: every message has a Command Data Set Type.
    required.add(DATA_SET_TYPE_ELEMENT)
    needed = frozenset(required - _INFORMATION)
    # What a response has beside these only repeats the request, or is for people.
    used = needed | (keywords.keys() - _INFORMATION) if message.IS_REQUEST else needed
    unsaid = {"move_destination": ""} if "move_destination" in found else {}
    # The last one is there because an attrgetter of one name gives no tuple.
    values_of = attrgetter(*keywords.values(), "has_data_set")
    return Layout(message, tuple(keywords), keywords, frozenset(required), needed, used, unsaid, values_of)


def check_elements(
    layout: Layout,
    elements: Mapping[int, Value],
    faults: Mapping[int, RemoteProtocolError],
    tolerance: Tolerance,
) -> None:
    """What the message needs is there and right.

    Raises:
        RemoteProtocolError: It is not.
    """
    for number in faults:
        if number in layout.used:
            raise faults[number]
    required = layout.needed if Tolerance.MALFORMED_ELEMENT in tolerance else layout.required
    if not required <= elements.keys():
        raise command_error(missing_elements(layout.message.NAME, required, elements))


def check_data_set(
    name: str, rule: DataSetRule, has_data_set: bool, error: Callable[[str], Exception]
) -> None:
    """There is a data set if there must be one, and none if there must not."""
    if rule == "required" and not has_data_set:
        raise error(f"{name} without the data set that it must have")
    if rule == "forbidden" and has_data_set:
        raise error(f"{name} with a data set, which it must not have")
