"""Wide receive buffers, of which an asyncio server has a few."""

from __future__ import annotations

from dcmnet.limits import MAX_WIDE_BUFFERS, RECEIVE_BUFFER_LENGTH, WIDE_RECEIVE_BUFFER_LENGTH
from dcmnet.procedures.association import AssociationCore


class WideBuffers:
    """What the associations of a server may have beyond their ordinary receive buffers.

    Each piece of a data set goes to a thread to be written, and that takes as long as the writing: the fewer
    pieces the better. Whoever has set the length of receive buffers keeps it.

    Attributes:
        left: How many more associations may have a wide one.
    """

    __slots__ = ("left",)

    def __init__(self, count: int = MAX_WIDE_BUFFERS) -> None:
        self.left = count

    def take(self, core: AssociationCore) -> bool:
        """Let an association have one from now on; False where it has to do without."""
        if not self.left or core.limits.receive_buffer_length != RECEIVE_BUFFER_LENGTH:
            return False
        self.left -= 1
        core.upper_layer.widen(WIDE_RECEIVE_BUFFER_LENGTH)
        return True

    def give_back(self) -> None:
        """An association that has taken one has it no longer."""
        self.left += 1
