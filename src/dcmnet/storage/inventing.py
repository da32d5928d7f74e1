"""Identities made up for test data: every object that is sent belongs to patients that there are not."""

from __future__ import annotations

import itertools
import os

from dcmnet._records import replace
from dcmnet.storage.sources import Instance

IMAGES_OF_A_SERIES = 100
SERIES_OF_A_STUDY = 50
STUDIES_OF_A_PATIENT = 25

_UID_BITS = 122
"""PS3.5 B.2: a UUID of version 4 has so many random bits, as a decimal number behind 2.25."""


class Inventor:
    """Makes up SOP instances, series, studies and patients.

    Args:
        images: A new series begins after so many objects.
        series: A new study begins after so many series.
        studies: A new patient comes after so many studies.
    """

    def __init__(
        self,
        images: int = IMAGES_OF_A_SERIES,
        series: int = SERIES_OF_A_STUDY,
        studies: int = STUDIES_OF_A_PATIENT,
    ) -> None:
        self._images = images
        self._series = series
        self._studies = studies
        self._run = _random_number(28)
        self._count = itertools.count()
        self._series_uid = ""
        self._study_uid = ""

    def invent(self, instance: Instance) -> Instance:
        """The instance with an identity of its own; its data set changes when it is sent."""
        image = next(self._count)
        series, study = image // self._images, image // (self._images * self._series)
        patient = study // self._studies
        if image % self._images == 0:
            self._series_uid = new_uid()
        if image % (self._images * self._series) == 0:
            self._study_uid = new_uid()
        uid = new_uid()
        changes = {
            "SOPInstanceUID": uid,
            "PatientName": f"DCMNET^TEST_PN_{self._run}{patient}",
            "PatientID": f"PID_{self._run}{patient}",
            "StudyInstanceUID": self._study_uid,
            "StudyID": f"SID_{self._run}{study % self._studies}"[:16],
            "SeriesInstanceUID": self._series_uid,
            "SeriesNumber": str(series % self._series),
            "InstanceNumber": str(image % self._images),
        }
        return replace(instance, sop_instance_uid=uid, changes=changes)


def new_uid() -> str:
    """A UID that nobody else has (PS3.5 B.2)."""
    return f"2.25.{_random_number(_UID_BITS) + (1 << _UID_BITS)}"


def _random_number(bits: int) -> int:
    return int(os.urandom(16).hex(), 16) >> (128 - bits)
