from __future__ import annotations

from pathlib import Path

import pydicom

from dcmnet.dataset import encode
from dcmnet.registry.uids import is_valid_uid
from dcmnet.storage.inventing import Inventor, new_uid
from dcmnet.storage.sources import Instance, describe, open_data_set
from tests.unit.cli_runs import JPEG, MR
from tests.unit.objects import CT, EXPLICIT, write_file


def test_uids() -> None:
    made = {new_uid() for _ in range(100)}
    assert len(made) == 100
    assert all(is_valid_uid(uid) and uid.startswith("2.25.") for uid in made)


def test_series_studies_and_patients(tmp_path: Path) -> None:
    inventor = Inventor(images=2, series=3, studies=2)
    instance = Instance("a", CT, "1.2.3", EXPLICIT, "a")
    made = [inventor.invent(instance) for _ in range(25)]
    changes = [dict(each.changes or {}) for each in made]
    assert [each.sop_instance_uid for each in made] == [each["SOPInstanceUID"] for each in changes]
    assert all(is_valid_uid(each.sop_instance_uid) for each in made)
    for keyword, run in (
        ("SOPInstanceUID", 1),
        ("SeriesInstanceUID", 2),
        ("StudyInstanceUID", 6),
        ("PatientID", 12),
        ("PatientName", 12),
    ):
        values = [each[keyword] for each in changes]
        assert [values.index(value) for value in values] == [number // run * run for number in range(25)]
    assert [each["InstanceNumber"] for each in changes[:4]] == ["0", "1", "0", "1"]
    assert [each["SeriesNumber"] for each in changes[:8:2]] == ["0", "1", "2", "0"]
    assert max(len(each["StudyID"]) for each in changes) <= 16


def test_what_is_sent(tmp_path: Path) -> None:
    for path, transfer_syntax in ((MR, EXPLICIT), (MR, None), (JPEG, None)):
        one = Inventor().invent(describe(path))
        payload = open_data_set(one, transfer_syntax or one.transfer_syntax).payload
        assert isinstance(payload, bytes)
        sent = write_file(
            tmp_path / "sent", one.sop_instance_uid, CT, transfer_syntax or one.transfer_syntax, payload
        )
        found, original = pydicom.dcmread(sent), pydicom.dcmread(path)
        assert {keyword: str(found[keyword].value) for keyword in one.changes or {}} == one.changes
        assert found.PixelData == original.PixelData
        assert found.StudyDate == original.StudyDate


def test_the_original_is_left_alone() -> None:
    original = pydicom.dcmread(MR)
    name = original.PatientName
    encode(original, EXPLICIT, changes={"PatientName": "OTHER"})
    assert original.PatientName == name
