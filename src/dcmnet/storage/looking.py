"""Looking at one file after the other, fast where they resemble each other."""

from __future__ import annotations

import os
from typing import NamedTuple

from dcmnet.limits import KEPT_FILE_LENGTH, MAX_LAYOUTS, Tolerance
from dcmnet.registry.uids import is_valid_uid
from dcmnet.storage.contents import Contents
from dcmnet.storage.part10 import sop_instance_uid_span
from dcmnet.storage.sources import (
    FIRST_READ,
    Instance,
    Source,
    checked,
    describe,
    describe_start,
    look_into,
)

_TOLERATED = Tolerance.NONCONFORMING_UID
_LEAST_KNOWN = 6
"""Bytes of the data set that show that the File Meta Information has ended."""

_META_GROUP = 2
"""The first byte of an element of the File Meta Information; few data sets, deflated ones, begin with it."""


class _Layout(NamedTuple):
    """The start of a file that was found to be all right, around its SOP Instance UID.

    Attributes:
        before: The bytes in front of the UID's value; its length is among them.
        behind: Those behind it, up to the data set.
        start: Where the value starts.
        end: Where it ends.
        offset: Where the data set begins.
        sop_class_uid: UID.
        transfer_syntax: UID.
    """

    before: bytes
    behind: bytes
    start: int
    end: int
    offset: int
    sop_class_uid: str
    transfer_syntax: str


class Looker:
    """Finds out what sources are, as `describe` does.

    The File Meta Information of the files of a series differs in the SOP Instance UID alone. Where the bytes
    around that are those of a file that has been looked at, so is everything that was found out from them.

    Args:
        meta: As for `describe`.
        bare: As for `describe`.
        uid_checks: As for `describe`.
        contents: Keeps the data sets of small files, which are read whole.
    """

    def __init__(
        self,
        *,
        meta: bool = True,
        bare: bool = True,
        uid_checks: bool = True,
        contents: Contents | None = None,
    ) -> None:
        self._meta = meta
        self._bare = bare
        self._uid_checks = uid_checks
        self._contents = Contents(0) if contents is None else contents
        self._layouts: list[_Layout] = []

    def look(self, source: Source) -> Instance:
        """What a source is; errors as for `describe`."""
        if type(source) is str:  # as what is found in folders
            return look_into(source, self._look_at)
        if isinstance(source, os.PathLike):
            return look_into(os.fspath(source), self._look_at)
        return describe(source, meta=self._meta, bare=self._bare, uid_checks=self._uid_checks)

    def _look_at(self, fd: int, path: str, status: os.stat_result) -> Instance:
        size = status.st_size
        whole = size <= KEPT_FILE_LENGTH and size <= self._contents.room
        # With one byte more than there should be it shows whether the file has grown meanwhile.
        head = os.read(fd, size + 1 if whole else FIRST_READ)
        instance = self._recognised(head, path, status)
        if instance is None:
            found = describe_start(fd, head, path, status, self._bare)
            instance = checked(found, meta=self._meta, uid_checks=self._uid_checks)
            self._learn(head, instance)
        if whole and len(head) == size:
            self._contents.keep(instance, head)
        return instance

    def _recognised(self, head: bytes, path: str, status: os.stat_result) -> Instance | None:
        """What a file is whose start is that of another one; None where that takes a closer look."""
        for layout in self._layouts:
            before, behind, start, end, offset, sop_class_uid, transfer_syntax = layout
            if not (head.startswith(before) and head.startswith(behind, end)):
                continue
            size = status.st_size
            if len(head) < offset + _LEAST_KNOWN or size <= offset or head[offset] == _META_GROUP:
                return None
            uid = str(head[start:end], "ascii", "replace").strip("\0 ")
            if not is_valid_uid(uid, _TOLERATED):
                return None
            if layout is not self._layouts[0]:  # the next file most probably has a UID of the same length
                self._layouts.remove(layout)
                self._layouts.insert(0, layout)
            return Instance(
                path, sop_class_uid, uid, transfer_syntax, path, offset, size - offset, status.st_mtime_ns
            )
        return None

    def _learn(self, head: bytes, instance: Instance) -> None:
        """Remember the start of a file; it is one that can be sent."""
        span = sop_instance_uid_span(head, instance.offset) if instance.offset <= len(head) else None
        if span is not None:
            before, behind = head[: span[0]], head[span[1] : instance.offset]
            layout = _Layout(
                before, behind, *span, instance.offset, instance.sop_class_uid, instance.transfer_syntax
            )
            self._layouts.insert(0, layout)
            del self._layouts[MAX_LAYOUTS:]
