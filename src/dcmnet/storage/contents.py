"""What was read of small files when they were looked at, until they are sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from dcmnet.limits import KEPT_LENGTH

if TYPE_CHECKING:
    from dcmnet.storage.sources import Instance


class Content(NamedTuple):
    """What was kept of one instance.

    Attributes:
        instance: Whose it is.
        data_set: All of it.
        era: When it was read.
    """

    instance: Instance
    data_set: memoryview
    era: int


class Contents:
    """The data sets of some instances, so that their files need not be opened a second time.

    One that finds no room is not kept: who wants to send it opens the file again. Calls must not overlap,
    which those within a `Call` do not.

    Args:
        room: Bytes to be kept at most.

    Attributes:
        era: Goes up when an association begins: what was read before may have waited for it for long.
    """

    __slots__ = ("_kept", "era", "room")

    def __init__(self, room: int = KEPT_LENGTH) -> None:
        self.room = room
        self.era = 0
        self._kept: dict[int, Content] = {}

    def keep(self, instance: Instance, data_set: memoryview) -> None:
        """Keep the whole data set of an instance, if there is room."""
        length = len(data_set)
        if length <= self.room:
            self.room -= length
            # By identity: equal ones may have been looked at twice. While it is here its id is its own.
            self._kept[id(instance)] = Content(instance, data_set, self.era)

    def take(self, instance: Instance) -> Content | None:
        """What was kept of an instance, once; None where nothing was."""
        content = self._kept.pop(id(instance), None)
        if content is not None:
            self.room += len(content.data_set)
        return content
