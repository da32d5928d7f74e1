"""What was read of small files when they were looked at, until they are sent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from dcmnet.limits import KEPT_LENGTH

if TYPE_CHECKING:
    from dcmnet.storage.sources import Instance


ENTRY_LENGTH = 512
"""Memory that each takes beside its bytes, about: the smallest files are no longer than that."""


class Content(NamedTuple):
    """What was kept of one instance.

    Attributes:
        instance: Whose it is.
        data_set: All of it.
        length: Memory that it takes, in bytes.
        era: When it was read.
    """

    instance: Instance
    data_set: memoryview
    length: int
    era: int


class Contents:
    """The data sets of some instances, so that their files need not be opened a second time.

    One that finds no room is not kept: who wants to send it opens the file again. Calls must not overlap,
    which those within a `Call` do not.

    Args:
        room: Bytes of memory that may be taken.

    Attributes:
        era: Goes up when an association begins: what was read before may have waited for it for long.
    """

    __slots__ = ("_kept", "era", "room")

    def __init__(self, room: int = KEPT_LENGTH) -> None:
        self.room = room
        self.era = 0
        self._kept: dict[int, Content] = {}

    def keep(self, instance: Instance, file: bytes) -> None:
        """Keep the whole file of an instance, if there is room."""
        length = len(file) + ENTRY_LENGTH
        if length <= self.room:
            self.room -= length
            data_set = memoryview(file)[instance.offset :]
            # By identity: equal ones may have been looked at twice. While it is here its id is its own.
            self._kept[id(instance)] = Content(instance, data_set, length, self.era)

    def take(self, instance: Instance) -> Content | None:
        """What was kept of an instance, once; None where nothing was."""
        content = self._kept.pop(id(instance), None)
        if content is not None:
            self.room += content.length
        return content

    def has(self, instance: Instance) -> bool:
        """Whether something is kept of an instance that was read lately: nobody need look at its file."""
        content = self._kept.get(id(instance))
        return content is not None and content.era == self.era

    def drop(self, instances: Iterable[Instance]) -> None:
        """Keep nothing of these."""
        for instance in instances:
            self.take(instance)
