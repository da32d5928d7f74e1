"""The identifiers of queries and matches, to bytes and back."""

from __future__ import annotations

import zlib
from typing import Any

import pydicom
import pytest

from dcmnet import limits
from dcmnet.dataset import CONVERTIBLE, identifiers
from dcmnet.dataset.content import failed_instances
from dcmnet.dataset.identifiers import (
    decode_identifier,
    encode_failed_instances,
    encode_identifier,
    from_keywords,
)
from dcmnet.errors import InputFileError
from dcmnet.registry.transfer_syntaxes import DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN as DEFLATED
from dcmnet.registry.transfer_syntaxes import EXPLICIT_VR_LITTLE_ENDIAN as EXPLICIT
from dcmnet.registry.transfer_syntaxes import IMPLICIT_VR_LITTLE_ENDIAN as IMPLICIT


def both_ways(identifier: Any, transfer_syntax: str = EXPLICIT) -> pydicom.Dataset:
    return decode_identifier(encode_identifier(identifier, transfer_syntax), transfer_syntax)


@pytest.mark.parametrize("transfer_syntax", CONVERTIBLE)
def test_keywords_both_ways(transfer_syntax: str) -> None:
    found = both_ways(
        {
            "QueryRetrieveLevel": "STUDY",
            "PatientName": "DOE*",
            "StudyDate": "20200101-20201231",
            "StudyInstanceUID": ["1.2", "1.3"],
            "NumberOfStudyRelatedInstances": None,
            "Rows": 512,
            "ScheduledProcedureStepSequence": {"Modality": "CT", "ScheduledStationAETitle": ""},
            "ReferencedStudySequence": [{"StudyDate": ""}, pydicom.Dataset()],
            "RequestAttributesSequence": None,
        },
        transfer_syntax,
    )
    assert found.QueryRetrieveLevel == "STUDY"
    assert found.PatientName == "DOE*"
    assert found.StudyDate == "20200101-20201231"
    assert found.StudyInstanceUID == ["1.2", "1.3"]
    assert found.NumberOfStudyRelatedInstances is None
    assert found.Rows == 512
    assert found.ScheduledProcedureStepSequence[0].Modality == "CT"
    assert len(found.ReferencedStudySequence) == 2
    assert list(found.RequestAttributesSequence) == []
    assert "SpecificCharacterSet" not in found


@pytest.mark.parametrize(
    ("key", "tag"), [("0008,0052", 0x00080052), ("(0010,0010)", 0x00100010), ("8,52", 0x00080052)]
)
def test_keys_may_be_tags(key: str, tag: int) -> None:
    assert list(from_keywords({key: "X"}).keys()) == [tag]


@pytest.mark.parametrize(("key", "vr"), [("0009,1001", "UN"), ("0008,9999", "LO")])
def test_tags_that_are_in_no_dictionary(key: str, vr: str) -> None:
    (element,) = from_keywords({key: b"" if vr == "UN" else "X"})
    assert element.VR == vr


def test_values_as_pydicom_has_them() -> None:
    source = both_ways({"PatientName": "DOE^JANE", "StudyInstanceUID": ["1.2", "1.3"]})
    copied = from_keywords({"PatientName": source.PatientName, "StudyInstanceUID": source.StudyInstanceUID})
    assert copied == source


def test_text_that_is_not_ascii_goes_out_in_utf_8() -> None:
    found = both_ways({"PatientName": "Größe^山田"})
    assert (found.SpecificCharacterSet, found.PatientName) == ("ISO_IR 192", "Größe^山田")
    nested = both_ways({"ScheduledProcedureStepSequence": {"ScheduledPerformingPhysicianName": "Größe"}})
    assert nested.SpecificCharacterSet == "ISO_IR 192"


def test_a_character_set_of_its_own_stays() -> None:
    encoded = encode_identifier({"SpecificCharacterSet": "ISO_IR 100", "PatientName": "Größe"}, EXPLICIT)
    assert "Größe".encode("latin-1") in encoded
    assert decode_identifier(encoded, EXPLICIT).PatientName == "Größe"


def test_a_data_set_is_left_as_it_is() -> None:
    data_set = pydicom.Dataset()
    data_set.PatientName = "Größe"
    assert both_ways(data_set).PatientName == "Größe"
    assert "SpecificCharacterSet" not in data_set


def test_bytes_are_taken_as_they_are() -> None:
    assert encode_identifier(b"as it is", IMPLICIT) == b"as it is"
    assert encode_identifier(memoryview(b"as it is"), IMPLICIT) == b"as it is"


@pytest.mark.parametrize(
    ("identifier", "why"),
    [
        ({"PatinetName": ""}, "did you mean PatientName"),
        ({"Xyzzyplugh": ""}, "no attribute is called 'Xyzzyplugh' in the dictionary"),
        ({"0008,00zz": ""}, "no attribute is called '0008,00zz'"),
        ({"ReferencedStudySequence": [{"NoSuchThing": ""}]}, "NoSuchThing"),
        ({"ReferencedStudySequence": ["X"]}, "is a str"),
        ({"Rows": "many"}, "Rows|cannot be encoded"),
        (["PatientName"], "is a list: give keywords and values"),
        (7, "is a int"),
    ],
)
def test_what_cannot_be_encoded(identifier: Any, why: str) -> None:
    with pytest.raises(InputFileError, match=why):
        encode_identifier(identifier, EXPLICIT)


ENCODED = encode_identifier({"QueryRetrieveLevel": "STUDY", "PatientName": "DOE*"}, EXPLICIT)


@pytest.mark.parametrize("end", [len(ENCODED) - 1, 20, 16])
def test_a_truncated_identifier(end: int) -> None:
    with pytest.raises(InputFileError, match="is truncated"):
        found = decode_identifier(ENCODED[:end], EXPLICIT)
        raise AssertionError(found)


def test_no_identifier_at_all() -> None:
    assert len(decode_identifier(b"", EXPLICIT)) == 0


@pytest.mark.parametrize("data", [b"\x08\x00\x52\x00??\xff\xff\xff", b"\xff" * 40])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_garbage(data: bytes) -> None:
    with pytest.raises(InputFileError):
        raise AssertionError(decode_identifier(data, EXPLICIT))


def test_a_deflated_identifier_that_is_none() -> None:
    with pytest.raises(InputFileError, match="cannot be inflated"):
        decode_identifier(b"\xff" * 20, DEFLATED)


def test_a_deflated_identifier_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits.MAX_INFLATED_IDENTIFIER_LENGTH > limits.MAX_IDENTIFIER_LENGTH
    monkeypatch.setattr(identifiers, "MAX_INFLATED_IDENTIFIER_LENGTH", 1000)
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    bomb = compressor.compress(bytes(100_000)) + compressor.flush()
    with pytest.raises(InputFileError, match="longer than 1000 bytes when inflated"):
        decode_identifier(bomb, DEFLATED)


@pytest.mark.parametrize("uids", [(), ("1.2",), ("1.2", "1.3")])
def test_failed_instances(uids: tuple[str, ...]) -> None:
    data = encode_failed_instances(uids, EXPLICIT)
    assert data == encode_identifier({"FailedSOPInstanceUIDList": list(uids)}, EXPLICIT)
    assert failed_instances(data, EXPLICIT) == (uids, "")


def test_many_failed_instances() -> None:
    """A list of more than 64 KiB is of VR UN in Explicit VR (PS3.5 6.2.2)."""
    uids = tuple(f"1.2.{number}" for number in range(10_000))
    for transfer_syntax in (EXPLICIT, IMPLICIT):
        data = encode_failed_instances(uids, transfer_syntax)
        assert failed_instances(data, transfer_syntax) == (uids, "")
