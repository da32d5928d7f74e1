"""Looking at one file after the other, fast where they resemble each other."""

from __future__ import annotations

import os
from typing import NamedTuple

from dcmnet.limits import KEPT_FILE_LENGTH, MAX_LAYOUTS, Tolerance
from dcmnet.registry.uids import is_valid_uid
from dcmnet.storage.completeness import NO_SEQUENCES, Shape, ends_with_pixel_data, shape_of
from dcmnet.storage.contents import Contents
from dcmnet.storage.elements import HEAD_LENGTH
from dcmnet.storage.identity import Opening, opening_of
from dcmnet.storage.part10 import sop_instance_uid_span
from dcmnet.storage.sources import (
    FIRST_READ,
    Instance,
    Source,
    check_whole,
    checked,
    describe,
    describe_start,
    look_into,
    reader_of,
)

_TOLERATED = Tolerance.NONCONFORMING_UID
_META_GROUP = b"\x02\0"
"""How an element of the File Meta Information begins; few data sets, deflated ones, begin with it."""

_HEADER_LENGTH = 16
"""Bytes of Pixel Data that show what they are: the header of the element, and of a fragment."""


class _Layout(NamedTuple):
    """The start of a file that can be sent, around its SOP Instance UIDs.

    Attributes:
        before: The bytes in front of the value of (0002,0003); its length is among them.
        behind: Those behind it, up to the data set.
        end: Where the value ends.
        offset: Where the data set begins.
        opening: What the data set has in front of (0008,0016).
        identity: (0008,0016), and the header of (0008,0018).
        uid: Where the value of (0008,0018) starts and ends.
        sop_class_uid: UID.
        transfer_syntax: UID.
        shape: That of the last data set that was whole.
    """

    before: bytes
    behind: bytes
    end: int
    offset: int
    opening: Opening
    identity: bytes
    uid: slice
    sop_class_uid: str
    transfer_syntax: str
    shape: Shape


class Looker:
    """Finds out what sources are, as `describe` does.

    The first bytes of the files of a series differ in the SOP Instance UID, and in values whose length is the
    same, such as times. If the other bytes are those of a file that has been examined, so is everything that
    was found out from them.

    Args:
        meta: As for `describe`.
        bare: As for `describe`.
        uid_checks: As for `describe`.
        check: As for `describe`.
        contents: Keeps the data sets of small files, which are read whole.
    """

    def __init__(
        self,
        *,
        meta: bool = True,
        bare: bool = True,
        uid_checks: bool = True,
        check: bool = True,
        contents: Contents | None = None,
    ) -> None:
        self._meta = meta
        self._bare = bare
        self._uid_checks = uid_checks
        self._check = check
        self._contents = Contents(0) if contents is None else contents
        self._layouts: list[_Layout] = []
        self._first_read = FIRST_READ

    def look(self, source: Source) -> Instance:
        """What a source is; errors as for `describe`."""
        if type(source) is str:  # as what is found in folders
            return look_into(source, self._look_at)
        if isinstance(source, os.PathLike):
            return look_into(os.fspath(source), self._look_at)
        return describe(
            source, meta=self._meta, bare=self._bare, uid_checks=self._uid_checks, check=self._check
        )

    def _look_at(self, fd: int, path: str, status: os.stat_result) -> Instance:
        size = status.st_size
        kept = size <= KEPT_FILE_LENGTH and size <= self._contents.room
        # With one byte more than there should be it shows whether the file has grown meanwhile.
        head = os.read(fd, size + 1 if kept else self._first_read)
        instance = self._recognised(fd, head, path, status)
        if instance is None:
            found = describe_start(fd, head, path, status, self._bare)
            instance = checked(found, meta=self._meta, uid_checks=self._uid_checks)
            self._learn(head, instance, self._shape_of(fd, head, instance))
        if kept and len(head) == size and instance.size % 2 == 0:  # an odd one is padded when it is opened
            self._contents.keep(instance, head)
        return instance

    def _shape_of(self, fd: int, head: bytes, instance: Instance) -> Shape:
        """Check a file, if that is wanted, and see what similar files can be compared with."""
        read = reader_of(fd)
        place = check_whole(instance, head, read) if self._check else None
        if place is None:
            return NO_SEQUENCES
        needed = instance.offset + place.begin + _HEADER_LENGTH
        if len(head) < needed <= HEAD_LENGTH:  # so much is read of the next files
            self._first_read = needed + FIRST_READ
            head = read(0, self._first_read)
        offset, size, transfer_syntax = instance.offset, instance.size, instance.transfer_syntax
        return shape_of(head, offset, size, transfer_syntax, place) or NO_SEQUENCES

    def _recognised(self, fd: int, head: bytes, path: str, status: os.stat_result) -> Instance | None:
        """What a file is whose start is that of another one; None if that takes a closer look."""
        for layout in self._layouts:
            before, behind, end, offset, opening, identity, where, sop_class_uid, transfer_syntax, _ = layout
            if not (head.startswith(before) and head.startswith(behind, end)):
                continue
            if not opening.matches(head, identity, offset) or len(head) < where.stop:
                continue
            size = status.st_size - offset
            if head.startswith(_META_GROUP, offset):  # the group may go on
                return None
            uid = str(head[where], "ascii", "replace").strip("\0 ")
            if not is_valid_uid(uid, _TOLERATED):
                return None
            if layout is not self._layouts[0]:  # the next file most probably has a UID of the same length
                self._layouts.remove(layout)
                self._layouts.insert(0, layout)
            instance = Instance(
                path, sop_class_uid, uid, transfer_syntax, path, offset, size, status.st_mtime_ns
            )
            if self._check and not ends_with_pixel_data(head, offset, size, transfer_syntax, layout.shape):
                self._layouts[0] = layout._replace(shape=self._shape_of(fd, head, instance))
            return instance
        return None

    def _learn(self, head: bytes, instance: Instance, shape: Shape) -> None:
        """Remember the start of a file; it is one that can be sent."""
        offset = instance.offset
        if offset > len(head):
            return
        found = opening_of(head, offset, instance.transfer_syntax)
        if found is None:
            return
        opening, identity, length = found
        start = offset + opening.length
        uid = slice(start, start + length)
        span = sop_instance_uid_span(head, offset) or (offset, offset)
        self._layouts.insert(
            0,
            _Layout(
                head[: span[0]],
                head[span[1] : offset],
                span[1],
                offset,
                opening,
                identity,
                uid,
                instance.sop_class_uid,
                instance.transfer_syntax,
                shape,
            ),
        )
        del self._layouts[MAX_LAYOUTS:]
