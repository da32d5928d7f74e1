"""Bytes that the core counts and never reads: buffers, and ranges of open files."""

from __future__ import annotations

from typing import TypeAlias

from dcmnet._records import dataclass

Buffer: TypeAlias = "bytes | bytearray | memoryview"


@dataclass(frozen=True, slots=True)
class FileRange:
    """A range of bytes of an open file; the descriptor is touched by the drivers only.

    Attributes:
        fd: File descriptor, open for reading.
        offset: First byte, from the start of the file.
        count: Number of bytes.
    """

    fd: int
    offset: int
    count: int

    def __len__(self) -> int:
        return self.count


Payload: TypeAlias = "Buffer | FileRange"
