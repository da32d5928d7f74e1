"""The start of a data set that arrives in pieces."""

from __future__ import annotations

from typing import Final

from dcmnet.payload import Buffer
from dcmnet.storage.elements import HEAD_LENGTH
from dcmnet.storage.identity import Identifiers, scan_identifiers


class DataSetHead:
    """Collects the first bytes of a data set that arrives in pieces, until they say what it is.

    It holds `HEAD_LENGTH` bytes at most, and looks at them again only when they have doubled: a data set in
    tiny pieces costs no more than one in large ones.

    Args:
        transfer_syntax: UID.
    """

    __slots__ = ("_buffer", "_identifiers", "_next_look", "_transfer_syntax")

    FIRST_LOOK: Final = 1024
    """Bytes that are waited for before the first look: the UIDs of most objects are among them."""

    def __init__(self, transfer_syntax: str) -> None:
        self._transfer_syntax = transfer_syntax
        self._buffer = bytearray()
        self._next_look = self.FIRST_LOOK
        self._identifiers: Identifiers | None = None

    def feed(self, data: Buffer) -> bool:
        """Take the next bytes of the data set (they are copied); whether more are of use."""
        room = HEAD_LENGTH - len(self._buffer)
        if room == 0 or (self._identifiers is not None and self._identifiers.complete):
            return False
        if not self._buffer and len(data) >= self._next_look:
            # Most often the first piece says it all, and need not be copied.
            self._identifiers = scan_identifiers(memoryview(data)[:room], self._transfer_syntax)
            if self._identifiers.complete:
                return False
        self._buffer += memoryview(data)[:room]
        self._identifiers = None
        if len(self._buffer) >= self._next_look:
            self._next_look = min(2 * len(self._buffer), HEAD_LENGTH)
            return not self.identifiers.complete and len(self._buffer) < HEAD_LENGTH
        return True

    @property
    def identifiers(self) -> Identifiers:
        """What the bytes so far say."""
        if self._identifiers is None:
            self._identifiers = scan_identifiers(self._buffer, self._transfer_syntax)
        return self._identifiers
