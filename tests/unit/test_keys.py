"""Matching keys in data sets, and what is printed of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from dcmnet.dataset.content import read_elements
from dcmnet.dataset.identifiers import encode_identifier
from dcmnet.dataset.json_model import to_json_model
from dcmnet.dataset.keys import query, read_query, tags_of
from dcmnet.dataset.markup import to_xml
from dcmnet.dataset.printing import dump, transfer_syntax_name, value_at
from dcmnet.errors import InputFileError
from dcmnet.limits import MAX_IDENTIFIER_LENGTH, MAX_SEQUENCE_DEPTH
from dcmnet.registry.transfer_syntaxes import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from dcmnet.services.query_keys import parse_key
from tests.unit.objects import element, write_file

EXPLICIT = EXPLICIT_VR_LITTLE_ENDIAN
SYNTAXES = (
    EXPLICIT,
    IMPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
)


def made(*keys: str) -> Dataset:
    return query(map(parse_key, keys))


def encoded(*keys: str, syntax: str = EXPLICIT) -> bytes:
    return encode_identifier(made(*keys), syntax)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("8,52=STUDY", element(0x0008, 0x0052, "CS", b"STUDY")),
        ("QueryRetrieveLevel", element(0x0008, 0x0052, "CS", b"")),
        ("0020,000D=1.2\\1.3", element(0x0020, 0x000D, "UI", b"1.2\\1.3")),
        ("StudyDate=20250101-", element(0x0008, 0x0020, "DA", b"20250101-")),
        ("StudyTime=12*", element(0x0008, 0x0030, "TM", b"12*")),
        ("InstanceNumber=1*", element(0x0020, 0x0013, "IS", b"1*")),
        ("InstanceNumber=01\\2", element(0x0020, 0x0013, "IS", b"01\\2")),
        ("SliceThickness=1.50", element(0x0018, 0x0050, "DS", b"1.50")),
        ("SliceThickness", element(0x0018, 0x0050, "DS", b"")),
        ("Rows=512\\3", element(0x0028, 0x0010, "US", b"\x00\x02\x03\x00")),
        ("Rows", element(0x0028, 0x0010, "US", b"")),
        ("0018,9073=1.5", element(0x0018, 0x9073, "FD", bytes(6) + b"\xf8\x3f")),
        ("0028,0009=(0018,1063)", element(0x0028, 0x0009, "AT", b"\x18\x00\x63\x10")),
        ("0028,0009=00181063", element(0x0028, 0x0009, "AT", b"\x18\x00\x63\x10")),
        ("0009,0010=ACME", element(0x0009, 0x0010, "LO", b"ACME")),
        ("0009,1001=abc", b"\x09\x00\x01\x10UN\0\0\x04\0\0\0abc\0"),
        ("0009,1001", b"\x09\x00\x01\x10UN\0\0\0\0\0\0"),
        ("0042,0011=00\\01", b"\x42\x00\x11\x00OB\0\0\x02\0\0\0\x00\x01"),
        ("0040,0100", b"\x40\x00\x00\x01SQ\0\0\0\0\0\0"),
        ("0040,0100[0]", b"\x40\x00\x00\x01SQ\0\0\x08\0\0\0\xfe\xff\x00\xe0\0\0\0\0"),
    ],
)
def test_what_a_key_is_sent_as(key: str, expected: bytes) -> None:
    assert encoded(key) == expected


def test_items_are_made_and_keys_override() -> None:
    data_set = made(
        "(0040,0100)[1].Modality=MR",
        "PatientName=A",
        "(0040,0100)[1].Modality=CT",
        "ScheduledProcedureStepSequence[1].ScheduledProtocolCodeSequence[0].CodeValue=x",
        "PatientName=B",
    )
    first, second = data_set.ScheduledProcedureStepSequence
    assert (len(first), second.Modality, data_set.PatientName) == (0, "CT", "B")
    assert second.ScheduledProtocolCodeSequence[0].CodeValue == "x"
    assert "Modality" not in query([parse_key("0040,0100")], data_set).ScheduledProcedureStepSequence


@pytest.mark.parametrize(
    ("key", "complaint"),
    [
        ("NoSuch=1", "NoSuch: no attribute is called 'NoSuch'"),
        ("PatientNam=1", "did you mean PatientName"),
        ("A[0].Modality", "no attribute is called 'A'"),
        ("Modality[0].PatientName=1", "Modality is no sequence, it has no items"),
        ("0040,0100=CT", "a sequence has no value"),
        ("Rows=x", r"'x' is no value for it \(US\)"),
        ("Rows=1\\", "is no value for it"),
        ("0018,9073=a", "is no value for it"),
        ("0028,0009=12", "eight hexadecimal digits"),
        ("0042,0011=xy", "is no value for it"),
        ("PatientName=\udc80", "is not text in UTF-8"),
    ],
)
def test_what_cannot_be_a_key(key: str, complaint: str) -> None:
    with pytest.raises(InputFileError, match=complaint):
        made(key)


def test_numbers_that_do_not_fit_are_refused_when_they_are_encoded() -> None:
    with pytest.raises(InputFileError, match="cannot be encoded"):
        encoded("Rows=70000")


def test_text_beyond_ascii_names_its_character_set() -> None:
    assert b"ISO_IR 192" in encoded("PatientName=Größe")
    assert b"ISO_IR 192" in encoded("PatientComments=a", "OtherPatientNames=\x85\\b")  # a list, as text ASCII
    own = encoded("SpecificCharacterSet=ISO_IR 100", "PatientName=Größe")
    assert "Größe".encode("latin-1") in own


@settings(deadline=None)  # pydicom is loaded meanwhile
@given(st.lists(st.text(st.characters(min_codepoint=33, exclude_characters="\\")), min_size=1))
def test_text_comes_back(values: list[str]) -> None:
    value = "\\".join(values)
    try:
        value.encode()
    except UnicodeEncodeError:
        return
    key = parse_key(f"(0040,0100)[1].ScheduledProcedureStepDescription={value}")
    data = encode_identifier(query([key]), EXPLICIT)
    assert value_at(read_elements(data, EXPLICIT), key)[0] == value.strip(" \0")


# ---------------------------------------------------------------------- files


def test_a_query_file(tmp_path: Path) -> None:
    path = write_file(tmp_path / "query.dcm")
    data_set = query([parse_key("PatientName=OTHER"), parse_key("StudyID")], read_query(path))
    assert (data_set.PatientName, data_set.SOPInstanceUID, data_set.StudyID) == ("OTHER", "1.2.3", None)
    bare = tmp_path / "bare"
    bare.write_bytes(element(0x0008, 0x0052, "CS", b"STUDY") + element(0x0010, 0x0010, "PN", b"DOE"))
    assert read_query(bare).QueryRetrieveLevel == "STUDY"


def test_files_that_hold_no_query(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="missing: cannot be read: No such file"):
        read_query(tmp_path / "missing")
    (tmp_path / "text").write_text("a text, and nothing else in this file")
    with pytest.raises(InputFileError, match="text: "):
        read_query(tmp_path / "text")
    (tmp_path / "empty").touch()
    with pytest.raises(InputFileError, match="has no data set"):
        read_query(tmp_path / "empty")
    with (tmp_path / "long").open("wb") as file:
        file.truncate(MAX_IDENTIFIER_LENGTH + 1)
    with pytest.raises(InputFileError, match="no query is"):
        read_query(tmp_path / "long")


# ---------------------------------------------------------------------- dumps

SAMPLE = (
    "8,52=STUDY",
    "SOPClassUID=1.2.840.10008.5.1.4.1.1.2",
    "StudyInstanceUID=1.2.3",
    "PatientName=DÖE",
    "StudyID",
    "Rows=512\\3",
    "0028,0009=(0018,1063)",
    "0009,0010=ACME",
    "0009,1001=ab\x01c",
    "PatientComments=a\\b",
    "(0040,0100)[1].Modality=CT",
)
DUMP = """\
# Dicom-Data-Set
# Used TransferSyntax: {}
(0008,0005) CS [ISO_IR 192]                             #  10, 1 SpecificCharacterSet
(0008,0016) UI =CTImageStorage                          #  26, 1 SOPClassUID
(0008,0052) CS [STUDY ]                                 #   6, 1 QueryRetrieveLevel
(0009,0010) LO [ACME]                                   #   4, 1 PrivateCreator
(0009,1001) UN 61\\62\\01\\63                              #   4, 1 Unknown Tag & Data
(0010,0010) PN [DÖE]                                    #   4, 1 PatientName
(0010,4000) LT [a\\b ]                                   #   4, 1 PatientComments
(0020,000d) UI [1.2.3]                                  #   6, 1 StudyInstanceUID
(0020,0010) SH (no value available)                     #   0, 0 StudyID
(0028,0009) AT (0018,1063)                              #   4, 1 FrameIncrementPointer
(0028,0010) US 512\\3                                    #   4, 2 Rows
(0040,0100) SQ (Sequence with explicit length #=2)      #  26, 1 ScheduledProcedureStepSequence
  (fffe,e000) na (Item with explicit length #=0)          #   0, 1 Item
  (fffe,e00d) na (ItemDelimitationItem for re-encoding)   #   0, 0 ItemDelimitationItem
  (fffe,e000) na (Item with explicit length #=1)          #  10, 1 Item
    (0008,0060) CS [CT]                                     #   2, 1 Modality
  (fffe,e00d) na (ItemDelimitationItem for re-encoding)   #   0, 0 ItemDelimitationItem
(fffe,e0dd) na (SequenceDelimitationItem for re-encod.) #   0, 0 SequenceDelimitationItem"""


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_dump(syntax: str) -> None:
    text = "\n".join(dump(encoded(*SAMPLE, syntax=syntax), syntax))
    assert text == DUMP.format(transfer_syntax_name(syntax))


def item(content: bytes, *, defined: bool) -> bytes:
    if defined:
        return b"\xfe\xff\x00\xe0" + len(content).to_bytes(4, "little") + content
    return b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + content + b"\xfe\xff\x0d\xe0\0\0\0\0"


def sequence(content: bytes, *, defined: bool) -> bytes:
    head = b"\x40\x00\x00\x01SQ\0\0"
    if defined:
        return head + len(content).to_bytes(4, "little") + content
    return head + b"\xff\xff\xff\xff" + content + b"\xfe\xff\xdd\xe0\0\0\0\0"


@pytest.mark.parametrize("outer", [True, False])
@pytest.mark.parametrize("inner", [True, False])
def test_lengths_are_those_that_came(outer: bool, inner: bool) -> None:
    modality = element(0x0008, 0x0060, "CS", b"CT")
    within = item(sequence(item(modality, defined=inner), defined=inner), defined=outer)
    data = sequence(within, defined=outer)
    lines = list(dump(data, EXPLICIT))
    found = [line.partition("# ")[2].partition(",")[0].strip() for line in lines if "tem with" in line]
    whole = [line.partition("# ")[2].partition(",")[0].strip() for line in lines if "Sequence with" in line]
    deepest = "10" if inner else "u/l"
    length_inside = len(within) - (8 if outer else 16)
    assert found == [str(length_inside) if outer else "u/l", deepest]
    assert whole == [str(len(within)) if outer else "u/l", "18" if inner else "u/l"]


def nested(depth: int) -> bytes:
    data = element(0x0008, 0x0060, "CS", b"CT")
    for _ in range(depth):
        data = sequence(item(data, defined=True), defined=True)
    return data


def test_a_peer_cannot_nest_without_end() -> None:
    data = nested(3000)
    assert any("sequences within each other" in line for line in dump(data, EXPLICIT))
    assert list(to_xml(data, EXPLICIT))[-1] == "</data-set>"
    model = json.dumps(to_json_model(read_elements(data, EXPLICIT)))
    assert (model.count('"SQ"'), model.count('"UN"')) == (MAX_SEQUENCE_DEPTH, 1)


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_values_that_are_none_are_shown() -> None:
    data = (
        element(0x0020, 0x0013, "IS", b"abc")
        + element(0x0028, 0x0010, "US", b"\x01\x02\x03\x04\x05\x06\x07")
        + element(0x0010, 0x0010, "PN", b"a\x1b[31mb\n\xff")
    )
    text = "\n".join(dump(data, EXPLICIT))
    assert "IS [abc ]" in text
    assert "US 01\\02" in text or "US 513" in text
    assert "a\x1b[31mb\n" in text  # whoever writes it to a terminal escapes it
    model = to_json_model(read_elements(data, EXPLICIT))
    assert model["00200013"] == {"vr": "IS", "Value": ["abc"]}


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_character_sets_that_do_not_exist() -> None:
    data = element(0x0008, 0x0005, "CS", b"NO_SUCH") + element(0x0010, 0x0010, "PN", b"\xe4")
    assert any("PN [ä " in line for line in dump(data, EXPLICIT))


def test_an_item_has_the_character_set_around_it() -> None:
    name = element(0x0010, 0x0010, "PN", "Größe".encode())
    data = element(0x0008, 0x0005, "CS", b"ISO_IR 192") + sequence(item(name, defined=True), defined=True)
    content = read_elements(data, EXPLICIT)
    assert value_at(content, parse_key("0040,0100[0].PatientName")) == ("Größe", "")
    assert any("[Größe " in line for line in dump(data, EXPLICIT))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("PatientName", "DÖE"),
        ("8,52", "STUDY"),
        ("Rows", "512\\3"),
        ("StudyID", ""),
        ("Modality", ""),
        ("0040,0100", ""),
        ("0040,0100[1]", ""),
        ("0040,0100[1].Modality", "CT"),
        ("0040,0100[0].Modality", ""),
        ("0040,0100[7].Modality", ""),
        ("PatientName[0].Modality", ""),
    ],
)
def test_single_values(key: str, value: str) -> None:
    content = read_elements(encoded(*SAMPLE), EXPLICIT)
    assert value_at(content, parse_key(key)) == (value, "")


def test_tags_of_a_path() -> None:
    assert tags_of(parse_key("0040,0100[1].Modality")) == [(0x00400100, 1), (0x00080060, None)]


def test_multiplicity() -> None:
    content = read_elements(encoded(*SAMPLE), EXPLICIT)
    found = {each.tag: each.multiplicity for each in content.elements}
    assert found[0x00280010] == 2
    assert found[0x00104000] == found[0x00091001] == found[0x00400100] == 1
    assert found[0x00200010] == 0


# ---------------------------------------------------------------------- XML, JSON


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_xml_can_be_parsed(syntax: str) -> None:
    root = ElementTree.fromstring("\n".join(to_xml(encoded(*SAMPLE, syntax=syntax), syntax)))
    assert root.get("xfer") == syntax
    found: dict[str | None, Any] = {each.get("tag"): each for each in root.iter()}
    assert found["0010,0010"].text == "DÖE"
    assert found["0009,1001"].get("binary") == "hidden"
    assert found["0040,0100"].get("card") == "2"
    assert found["0008,0060"].text == "CT"


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@settings(deadline=None)
@given(st.binary())
def test_xml_can_be_parsed_whatever_the_value(value: bytes) -> None:
    data = element(0x0010, 0x0010, "PN", value[:1000]) + element(0x0040, 0xA124, "UI", b"<&\"'>")
    root = ElementTree.fromstring("\n".join(to_xml(data, EXPLICIT)))
    assert root[1].text == "<&\"'>"


def test_json_model() -> None:
    content = read_elements(encoded(*SAMPLE), EXPLICIT)
    model = json.loads(json.dumps(to_json_model(content)))
    assert model["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "DÖE"}]}
    assert model["00400100"]["Value"][1]["00080060"]["Value"] == ["CT"]
    assert pydicom.Dataset.from_json(model).PatientName == "DÖE"
    assert ExplicitVRLittleEndian == EXPLICIT
