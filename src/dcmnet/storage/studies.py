"""Which studies are being received, into which folder each goes, and when one is complete.

Nothing in DICOM says that a study is complete. It counts as complete when the association that brought it
goes on to another study and nobody else sends to it; when its last association has ended and another one
brings another study, or nothing has come for some time; or when the server ends.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from dcmnet._records import dataclass, field
from dcmnet.storage.files import rename_exclusively
from dcmnet.storage.naming import NO_LOCK, Clock, patient_folder, study_uid_of, timestamp

if TYPE_CHECKING:
    from datetime import datetime

    from dcmnet.storage.naming import Lock
    from dcmnet.storage.scp import StoreRequest

FolderMaker = Callable[[str, str], str]
"""Gives the folder of a study that begins, from its Study Instance UID and the patient's name."""

_MODALITY_LENGTH = 2


@dataclass(slots=True, eq=False)
class Study:
    """A study that is being received.

    Attributes:
        uid: Study Instance UID.
        folder: Below the store's folder, with `/` between its parts.
        files: Its objects, in the order in which they came.
        last: The last request that belonged to it; None while the first one is under way.
        quiet_since: When its last association ended, in seconds; None while there is one.
    """

    uid: str
    folder: str
    files: list[str] = field(default_factory=list)
    last: StoreRequest | None = None
    quiet_since: float | None = None
    _associations: set[int] = field(default_factory=set, repr=False)
    _under_way: dict[int, int] = field(default_factory=dict, repr=False)
    _left: bool = field(default=False, repr=False)

    def join(self, association: int, request: int) -> None:
        """An object of it is being stored."""
        self._associations.add(association)
        self._under_way[request] = association
        self._left = False
        self.quiet_since = None

    def leave(self, association: int) -> None:
        """An association has gone on to another study; what nobody is at is complete."""
        self._associations.discard(association)
        self._left = self._left or not self._associations

    def lose(self, association: int, now: float) -> None:
        """An association has ended."""
        self._under_way = {key: value for key, value in self._under_way.items() if value != association}
        if association in self._associations:
            self._associations.remove(association)
            self.quiet_since = now if not self._associations else None

    def settle(self, request: int) -> bool:
        """An object is not under way any more; whether it belonged here."""
        return self._under_way.pop(request, None) is not None

    @property
    def is_complete(self) -> bool:
        """Whether nobody is at it, and somebody went on to another one."""
        return self._left and not self._under_way


class Studies:
    """Sorts objects into a folder a study, and knows when one is complete; a `Sorter`.

    Args:
        folder: Names the folder of a study that begins.
        lock: Held whenever something changes, where several threads store.
    """

    def __init__(self, folder: FolderMaker, lock: Lock = NO_LOCK) -> None:
        self._folder = folder
        self._lock = lock
        self._studies: dict[str, Study] = {}
        self._complete: list[Study] = []

    def __call__(self, request: StoreRequest) -> str:
        """The folder for an object; its study is under way from now on.

        Raises:
            StatusError: It has no usable Study Instance UID.
        """
        uid = study_uid_of(request)
        name = request.attributes("PatientName")["PatientName"]
        association = id(request.state)
        with self._lock:
            study = self._studies.get(uid)
            if study is None:
                study = self._studies[uid] = Study(uid, self._folder(uid, name))
            study.join(association, id(request))
            for other in list(self._studies.values()):
                if other is not study:
                    other.leave(association)
                    self._end_if_complete(other)
            return study.folder

    def stored(self, request: StoreRequest) -> None:
        """An object that was sorted has its file, or has not got one."""
        with self._lock:
            for study in list(self._studies.values()):
                if study.settle(id(request)):
                    if request.saved_as is not None:
                        _add(study, request)
                    self._end_if_complete(study)

    def association_ended(self, state: dict[str, Any], now: float) -> None:
        """An association has ended, however it did.

        Args:
            state: `StoreRequest.state` of its requests.
            now: In seconds, by any clock that does not go back.
        """
        with self._lock:
            for study in list(self._studies.values()):
                study.lose(id(state), now)
                self._end_if_complete(study)

    def take_complete(self, now: float, timeout: float | None) -> list[Study]:
        """The studies that have become complete; each is given once.

        Args:
            now: As for `association_ended`.
            timeout: Seconds after which a study without an association is complete; None for never.
        """
        with self._lock:
            for study in list(self._studies.values()):
                since = study.quiet_since
                if timeout is not None and since is not None and now - since >= timeout:
                    self._end(study)
            return self._take()

    def take_all(self) -> list[Study]:
        """What is left, complete or not: the server ends."""
        with self._lock:
            for study in list(self._studies.values()):
                self._end(study)
            return self._take()

    def next_deadline(self, timeout: float) -> float | None:
        """When the next quiet study becomes complete, by the clock of `association_ended`; None for none."""
        with self._lock:
            quiet = [study.quiet_since for study in self._studies.values() if study.quiet_since is not None]
        return min(quiet) + timeout if quiet else None

    def _end_if_complete(self, study: Study) -> None:
        if study.is_complete:
            self._end(study)

    def _end(self, study: Study) -> None:
        del self._studies[study.uid]
        if study.files:
            self._complete.append(study)

    def _take(self) -> list[Study]:
        complete, self._complete = self._complete, []
        return complete


def _add(study: Study, request: StoreRequest) -> None:
    path = str(request.saved_as)
    if path in study.files:  # it has replaced the one that was there
        study.files.remove(path)
    study.files.append(path)
    study.last = request


def by_uid(prefix: str) -> FolderMaker:
    """Folders `<prefix>_<Study Instance UID>`, the UID alone without a prefix."""
    return lambda uid, name: f"{prefix}_{uid}" if prefix else uid


def by_time(prefix: str, now: Clock) -> FolderMaker:
    """Folders `<prefix>_20260131_235959123`, from the time at which the study began."""
    times = DifferentTimes(now)
    return lambda uid, name: f"{prefix}_{timestamp(times())}"


def by_patient_name(now: Clock) -> FolderMaker:
    """Folders `DOE_JOHN_20260131_235959123`, from the time at which the study began."""
    times = DifferentTimes(now)
    return lambda uid, name: patient_folder(name, times())


class DifferentTimes:
    """A clock that gives no millisecond twice: two studies never share a folder."""

    def __init__(self, now: Clock) -> None:
        self._now = now
        self._last: datetime | None = None

    def __call__(self) -> datetime:
        """The time, or the first one after what was given last."""
        from datetime import timedelta  # clocks are rare

        now = self._now()
        if self._last is not None and timestamp(now) <= timestamp(self._last):
            now = self._last + timedelta(milliseconds=1)
        self._last = now
        return now


def rename_in_order(files: Iterable[str]) -> list[tuple[str, str]]:
    """Rename a study's files to two letters of their modality and a number: `CT000001`, `MR000002`.

    A name that is taken is passed over; no file is lost.

    Returns:
        Old and new path of each file that was renamed.

    Raises:
        OSError: One could not be renamed; those before have their new names.
    """
    renamed = []
    number = 0
    for path in files:
        folder, name = os.path.split(path)
        while True:
            number += 1
            target = os.path.join(folder, f"{name[:_MODALITY_LENGTH]}{number:06d}")
            try:
                rename_exclusively(path, target)
            except FileExistsError:
                continue
            break
        renamed.append((path, target))
    return renamed
