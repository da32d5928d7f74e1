"""Names for received objects: of files, and of the folders that they are sorted into.

What comes off the wire enters a name only after it was checked or cleaned: a UID is digits and dots, of
everything else letters and digits are left.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeAlias

from dcmnet.errors import StatusError
from dcmnet.limits import LONGEST_NAME_PART
from dcmnet.registry.sop_classes import prefix_of
from dcmnet.registry.statuses import CANNOT_UNDERSTAND
from dcmnet.registry.uids import is_valid_uid

if TYPE_CHECKING:
    from datetime import datetime

    from dcmnet.storage.scp import StoreRequest

Lock: TypeAlias = AbstractContextManager[Any]
Clock: TypeAlias = "Callable[[], datetime]"
Namer = Callable[["StoreRequest"], str]
"""Gives an object's file its name, without a folder."""
Sorter = Callable[["StoreRequest"], str]
"""Gives the folder an object goes into, below the one of the store, with `/` between its parts."""

NO_LOCK: Lock = nullcontext()
_ANONYMOUS = "ANONYMOUS"
_SHORT_ID_LENGTH = 8
# What Latin-1 has and Unicode does not take apart into a letter and a sign.
_LATIN_1 = str.maketrans(
    {"Æ": "AE", "æ": "ae", "Ø": "O", "ø": "o", "ß": "ss", "Ð": "D", "ð": "d", "Þ": "TH", "þ": "th"}
)

# ---------------------------------------------------------------------- files


def default_name(request: StoreRequest) -> str:
    """`CT.1.2.3`: the modality's short code and the SOP Instance UID."""
    return f"{prefix_of(request.sop_class_uid)}.{request.sop_instance_uid}"


def named_dcm(request: StoreRequest) -> str:
    """The default name with `.dcm` behind it."""
    return default_name(request) + ".dcm"


def unique_name(request: StoreRequest) -> str:
    """`CT.X.2.25.1234`: a new UID for every object, also for one that came before."""
    import uuid  # loads more than it seems, and few use it

    return f"{prefix_of(request.sop_class_uid)}.X.2.25.{uuid.uuid4().int}"


def short_unique_name(request: StoreRequest) -> str:
    """`CT_0123456789abcdef`: 64 random bits."""
    return f"{prefix_of(request.sop_class_uid)}_{os.urandom(_SHORT_ID_LENGTH).hex()}"


def with_extension(namer: Namer, extension: str) -> Namer:
    """The names that `namer` gives, with `extension` behind them as it is: give the dot yourself."""
    return (lambda request: namer(request) + extension) if extension else namer


class TimeNames:
    """File names from the time of reception: `20260131235959123.CT`, `20260131235959123_0001.CT`.

    None is given twice: where the clock is put back, the last time stays until it has come again.

    Args:
        now: The clock.
        lock: Held while a name is made, where several threads do that.
    """

    def __init__(self, now: Clock, lock: Lock = NO_LOCK) -> None:
        self._now = now
        self._last = ""
        self._number = 0
        self._lock = lock

    def __call__(self, request: StoreRequest) -> str:
        """The name for an object that is complete now."""
        with self._lock:
            stamp = _milliseconds(self._now())
            self._number = self._number + 1 if stamp <= self._last else 0
            self._last = max(stamp, self._last)
            number = f"_{self._number:04d}" if self._number else ""
            return f"{self._last}{number}.{prefix_of(request.sop_class_uid)}"


class SystemTimeNames:
    """File names from the time of reception, to the microsecond: `20260131235959.123456.CT`.

    Two at the same time differ by a number as those of `Duplicates.RENAME` do.
    """

    def __init__(self, now: Clock) -> None:
        self._now = now

    def __call__(self, request: StoreRequest) -> str:
        """The name for an object that is complete now."""
        return f"{self._now():%Y%m%d%H%M%S.%f}.{prefix_of(request.sop_class_uid)}"


# ---------------------------------------------------------------------- folders


class BySeriesDate:
    """Folders by the Series Date: `data/2026/01/31`; `undef/20260201`, today, without a usable one."""

    def __init__(self, now: Clock) -> None:
        self._now = now

    def __call__(self, request: StoreRequest) -> str:
        """The folder for an object."""
        date = request.attributes("SeriesDate")["SeriesDate"]
        if len(date) == 8 and date.isascii() and date.isdigit():
            return f"data/{date[:4]}/{date[4:6]}/{date[6:]}"
        return f"undef/{self._now():%Y%m%d}"


def by_study_uid(prefix: str = "") -> Sorter:
    """Folders `<prefix>_<Study Instance UID>`, the UID alone without a prefix."""

    def sorter(request: StoreRequest) -> str:
        uid = study_uid_of(request)
        return f"{prefix}_{uid}" if prefix else uid

    return sorter


def study_uid_of(request: StoreRequest) -> str:
    """The Study Instance UID of an object.

    Raises:
        StatusError: It has none, or what is none.
    """
    uid = request.attributes("StudyInstanceUID")["StudyInstanceUID"]
    if not uid:
        raise StatusError(CANNOT_UNDERSTAND, "the data set has no Study Instance UID")
    if not is_valid_uid(uid, request.tolerance):
        raise StatusError(CANNOT_UNDERSTAND, "the Study Instance UID is not valid")
    return uid


def patient_folder(name: str, now: datetime) -> str:
    """`DOE_JOHN_20260131_235959123`: the patient's name as far as it is ASCII, and the time."""
    return f"{safe_name(name) or _ANONYMOUS}_{timestamp(now)}"


def timestamp(now: datetime) -> str:
    """`20260131_235959123`."""
    stamp = _milliseconds(now)
    return f"{stamp[:8]}_{stamp[8:]}"


def safe_name(text: str) -> str:
    """A text as part of a name: letters and digits of ASCII, accents gone, `_` for everything else."""
    import unicodedata  # few runs name anything after a patient

    plain = unicodedata.normalize("NFKD", text.strip().translate(_LATIN_1))
    letters = "".join(each for each in plain if not unicodedata.combining(each))
    safe = "".join(each if each.isascii() and each.isalnum() else "_" for each in letters)
    return safe[:LONGEST_NAME_PART]


# ---------------------------------------------------------------------- what others gave


def checked_file_name(name: str) -> str:
    """The name, if it is that of a file in the folder: a wire value may have ended up in it.

    Raises:
        ValueError: It is none.
    """
    if name in ("", ".", "..") or "/" in name or "\\" in name or "\0" in name:
        raise ValueError(f"{name!r} is no name for a file")
    return name


def checked_folder(folder: str) -> list[str]:
    """The parts of a folder's relative path, if it leads nowhere else.

    Raises:
        ValueError: It is empty, absolute, or has a part that is no name.
    """
    return [checked_file_name(part) for part in folder.split("/")]


def _milliseconds(now: datetime) -> str:
    return f"{now:%Y%m%d%H%M%S}{now.microsecond // 1000:03d}"
