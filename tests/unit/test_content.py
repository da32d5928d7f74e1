"""Identifiers with bad values and bad ends: what is read, shown and written as JSON and XML."""

from __future__ import annotations

import json
import struct
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmnet.dataset.content import Content, failed_instances, read_elements
from dcmnet.dataset.identifiers import encode_identifier
from dcmnet.dataset.json_model import to_json_model
from dcmnet.dataset.markup import to_xml
from dcmnet.dataset.matches import decode_match
from dcmnet.dataset.printing import dump, value_at
from dcmnet.errors import InputFileError
from dcmnet.registry.transfer_syntaxes import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from dcmnet.services.query_keys import parse_key

EXPLICIT, IMPLICIT, BIG = EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN
SYNTAXES = (EXPLICIT, IMPLICIT, BIG)
LONG = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")
FIRST, LAST = 0x00080060, 0x0040A124

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


def encoded(tag: int, vr: str, value: bytes, syntax: str = EXPLICIT, length: int | None = None) -> bytes:
    """One element, of which the length may be wrong."""
    order = ">" if syntax == BIG else "<"
    head = struct.pack(order + "HH", tag >> 16, tag & 0xFFFF)
    length = len(value) if length is None else length
    if syntax == IMPLICIT:
        return head + struct.pack("<L", length) + value
    if vr in LONG:
        return head + vr.encode() + struct.pack(order + "2xL", length) + value
    return head + vr.encode() + struct.pack(order + "H", length) + value


def item(content: bytes, syntax: str = EXPLICIT, length: int | None = None) -> bytes:
    order = ">" if syntax == BIG else "<"
    return struct.pack(order + "HHL", 0xFFFE, 0xE000, len(content) if length is None else length) + content


def among_others(bad: bytes, syntax: str = EXPLICIT) -> bytes:
    """With good elements before and behind it."""
    return encoded(FIRST, "CS", b"CT", syntax) + bad + encoded(LAST, "UI", b"1.23", syntax)


def check_others(content: Content) -> None:
    assert content.fault == ""
    assert (content.elements[0].text, content.elements[-1].text) == ("CT", "1.23")


def strict_json(content: Content) -> Any:
    return json.loads(json.dumps(to_json_model(content), allow_nan=False))


BAD_VALUES = [
    (0x00280010, "US", b"\1\2\3", "01\\02\\03", "3 bytes, and US has 2 a value"),
    (0x00189219, "SS", b"\1", "01", "1 bytes, and SS has 2"),
    (0x00081161, "UL", b"\1\2\3", "01\\02\\03", "UL has 4"),
    (0x00186020, "SL", b"\1\2\3\4\5\6", "01\\02\\03\\04\\05\\06", "SL has 4"),
    (0x00089459, "FL", b"\1\2", "01\\02", "FL has 4"),
    (0x00189073, "FD", b"\1\2\3\4", "01\\02\\03\\04", "FD has 8"),
    (0x00280009, "AT", b"\1\2", "01\\02", "AT has 4"),
    (0x0008040C, "UV", b"\1", "01", "UV has 8"),
    (0x00720082, "SV", b"abcd", "abcd", "SV has 8"),
    (0x00281201, "OW", b"\1\2\3", "01\\02\\03", "OW has 2"),
    (0x00660040, "OL", b"\1\2\3", "01\\02\\03", "OL has 4"),
    (0x00660016, "OF", b"\1\2\3", "01\\02\\03", "OF has 4"),
    (0x00700001, "SQ", b"text", "text", "no sequence of items"),
    (0x00081140, "SQ", b"not a sequence at all.", "not a sequence at all.", "no sequence of items"),
    (0x00081140, "SQ", item(b"\1\2\3"), "", "no sequence of items"),
    (0x00200013, "IS", b"inf ", "inf ", "no valid IS"),
    (0x00200013, "IS", b"1e999 ", "1e999 ", "no valid IS"),
    (0x00200013, "IS", b"1.5 ", "1.5 ", "no valid IS"),
    (0x00200013, "IS", b"99999999999 ", "99999999999 ", "no valid IS"),
    (0x00200013, "IS", b"1\\x ", "1\\x ", "no valid IS"),
    (0x00101030, "DS", b"1e999 ", "1e999 ", "no valid DS"),
    (0x00101030, "DS", b"NaN ", "NaN ", "no valid DS"),
    (0x00101030, "DS", b"1,5 ", "1,5 ", "no valid DS"),
    (0x00080020, "DA", b"20251345", "20251345", "no valid DA"),
    (0x00080020, "DA", b"yesterday ", "yesterday ", "no valid DA"),
    (0x00080030, "TM", b"2561", "2561", "no valid TM"),
    (0x0008002A, "DT", b"2025130112", "2025130112", "no valid DT"),
    (0x00101010, "AS", b"42 ", "42 ", "no valid AS"),
    (0x00200010, "SH", b"\xff\xfe", "ÿþ", "no text in its character set"),
    (0x0020000D, "UI", b"1.a ", "1.a ", "no valid UI"),
    (0x0020000D, "UI", b"1.02\0", "1.02\0", "no valid UI"),
    (0x00100010, "PN", b"a=b=c=d ", "a=b=c=d ", "4 component groups"),
    (0x00100010, "PN", b"a^b^c^d^e^f ", "a^b^c^d^e^f ", "6 components"),
]
UTF_8 = 0x00080005, "CS", b"ISO_IR 192"


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(("tag", "vr", "value", "text", "fault"), BAD_VALUES)
def test_bad_values(
    tag: int, vr: str, value: bytes, text: str, fault: str, nested: bool, syntax: str
) -> None:
    bad = encoded(tag, vr, value, syntax)
    if nested:
        bad = encoded(0x00081115, "SQ", item(among_others(bad, syntax), syntax), syntax)
    data = encoded(*UTF_8, syntax) + among_others(bad, syntax)
    content = read_elements(data, syntax)
    element = content.elements[2].items[0].elements[1] if nested else content.elements[2]  # type: ignore[index]
    assert (element.tag, element.vr, element.value) == (tag, vr, value)
    assert element.text == text or not text
    assert fault in element.fault
    assert len(list(content.faults())) == 1
    assert (content.elements[1].text, content.elements[-1].text) == ("CT", "1.23")
    start = f"({tag >> 16:04x},{tag & 0xFFFF:04x})"
    (line,) = [each for each in dump(data, syntax) if each.strip().startswith(start)]
    assert f"(invalid: {element.fault})" in line
    assert "invalid" not in "".join(dump(data, syntax, checked=False))
    strict_json(content)
    markup = "\n".join(to_xml(data, syntax))
    assert ElementTree.fromstring(markup) is not None
    assert f"<!-- invalid: {element.fault} -->" in markup
    made = decode_match(data, syntax)
    assert str(made)
    assert made.get_item(LAST).value


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        *(("DA", each) for each in (b"20250131", b"1997.01.31")),
        *(("TM", each) for each in (b"12", b"2359", b"235960", b"235959.123456", b"12:30:00")),
        *(("DT", each) for each in (b"2025", b"202501", b"20250131", b"20250131120000.5+0100", b"2025-0500")),
        *(("DS", each) for each in (b"1", b" 1.5e-3", b".5", b"5.", b"+1\\-2")),
        *(("IS", each) for each in (b"0", b" -5 ", b"2147483647", b"1\\\\3")),
        *(("UI", each) for each in (b"1.2.3\0", b"2.25.0", b"1.2\\1.3\0")),
        *(("PN", each) for each in (b"a^b^c^d^e", b"a=b=c", b"a\\b")),
        *(("AS", each) for each in (b"042Y", b"")),
        *(("FD", each) for each in (struct.pack("<d", float("nan")), struct.pack("<2d", float("inf"), 1))),
        *(("AE", each) for each in (b"\xff", b"anything at all, however long it is")),
    ],
)
def test_values_that_are_valid(vr: str, value: bytes) -> None:
    content = read_elements(encoded(0x00091001, vr, value), EXPLICIT)
    assert list(content.faults()) == []
    assert (content.elements[0].vr, content.elements[0].value) == (vr, value)


# ---------------------------------------------------------------------- structure


def test_unknown_value_representations() -> None:
    for bad in (b"\x09\0\1\x10XX\4\0abcd", b"\x09\0\1\x10XX\0\0\4\0\0\0abcd", b"\x09\0\1\x10ab\4\0abcd"):
        content = read_elements(among_others(bad), EXPLICIT)
        check_others(content)
        assert (content.elements[1].vr, content.elements[1].value) == ("??", b"abcd")
        assert "unknown" in content.elements[1].fault
        assert strict_json(content)["00091001"] == {"vr": "UN", "InlineBinary": "YWJjZA=="}
        assert decode_match(among_others(bad), EXPLICIT)[0x00091001].value == b"abcd"
    empty = read_elements(among_others(b"\x09\0\1\x10XX\0\0"), EXPLICIT)
    check_others(empty)
    assert strict_json(empty)["00091001"] == {"vr": "UN"}


@pytest.mark.parametrize(("syntax", "other"), [(EXPLICIT, IMPLICIT), (IMPLICIT, EXPLICIT)])
def test_elements_in_the_other_kind_of_vr(syntax: str, other: str) -> None:
    data = among_others(encoded(0x00100010, "PN", b"DOE^JANE", other), syntax)
    content = read_elements(data, syntax)
    check_others(content)
    (name,) = [each for each in content.elements if each.tag == 0x00100010]
    assert (name.vr, name.text) == ("PN", "DOE^JANE")
    assert "it is encoded in" in name.fault
    assert decode_match(data, syntax).PatientName == "DOE^JANE"
    assert decode_match(among_others(b"", other), syntax).Modality == "CT"


def test_what_the_dictionary_knows() -> None:
    data = (
        encoded(0x00080000, "UL", b"\4\0\0\0", IMPLICIT)
        + encoded(0x00090010, "LO", b"SIEMENS CM VA0  CMS ", IMPLICIT)
        + encoded(0x00091010, "??", b"abcd", IMPLICIT)
        + encoded(0x00280106, "??", b"\xff\xff", IMPLICIT)
        + encoded(0x00283006, "??", b"\xff\xff", IMPLICIT)
        + encoded(0x7FE00010, "??", b"\1\2", IMPLICIT)
    )
    vrs = [element.vr for element in read_elements(data, IMPLICIT).elements]
    assert vrs == ["UL", "LO", "CS", "US", "OW", "OW"]
    assert "00080000" not in to_json_model(read_elements(data, IMPLICIT))


def test_un_of_known_attributes() -> None:
    data = encoded(0x00100010, "UN", b"DOE") + encoded(0x00091001, "UN", b"ab")
    assert [each.vr for each in read_elements(data, EXPLICIT).elements] == ["UN", "UN"]
    assert to_json_model(read_elements(data, EXPLICIT, known_vrs=True)) == {
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "DOE"}]},
        "00091001": {"vr": "UN", "InlineBinary": "YWI="},
    }


def test_un_of_undefined_length_is_a_sequence_in_implicit_vr() -> None:
    content = item(encoded(FIRST, "CS", b"CT", IMPLICIT)) + b"\xfe\xff\xdd\xe0\0\0\0\0"
    read = read_elements(among_others(encoded(0x00091001, "UN", content, length=0xFFFFFFFF)), EXPLICIT)
    check_others(read)
    assert read.elements[1].items is not None
    assert read.elements[1].items[0].elements[0].text == "CT"


NESTED = encoded(0x00400100, "SQ", item(encoded(FIRST, "CS", b"CT")))
UNDEFINED = (
    encoded(0x00400100, "SQ", b"", length=0xFFFFFFFF)
    + item(encoded(FIRST, "CS", b"CT") + b"\xfe\xff\x0d\xe0\0\0\0\0", length=0xFFFFFFFF)
    + b"\xfe\xff\xdd\xe0\0\0\0\0"
)


@pytest.mark.parametrize("middle", [NESTED, UNDEFINED])
def test_a_truncated_identifier(middle: bytes) -> None:
    data = among_others(middle)
    for end in range(len(data)):
        content = read_elements(data[:end], EXPLICIT)
        whole = end in (0, 10, 10 + len(middle))
        assert bool(content.fault) != whole, end
        assert end < 10 or content.elements[0].text == "CT"
        assert whole or list(dump(data[:end], EXPLICIT))[-1] == f"# the identifier {content.fault}"
        strict_json(content)
        if not whole:
            with pytest.raises(InputFileError, match="match: "):
                decode_match(data[:end], EXPLICIT)
            with pytest.raises(InputFileError, match="identifier: "):
                list(to_xml(data[:end], EXPLICIT))


@pytest.mark.parametrize(
    ("bad", "fault"),
    [
        (encoded(0x00400100, "SQ", b"text", length=0xFFFFFFFF), "cannot be read within (0040,0100)"),
        (encoded(0x7FE00010, "OW", b"text", length=0xFFFFFFFF), "has OW (7fe0,0010) of undefined length"),
        (item(b"text"), "has (fffe,e000) outside of a sequence"),
        (b"\x10\0\x10\0UN", "is truncated"),
        (b"\x10\0\x10\0UN\0\0\4", "is truncated within (0010,0010)"),
    ],
)
def test_where_reading_ends(bad: bytes, fault: str) -> None:
    content = read_elements(encoded(FIRST, "CS", b"CT") + bad, EXPLICIT)
    assert content.elements[0].text == "CT"
    assert fault in content.fault


def test_what_cannot_be_inflated() -> None:
    content = read_elements(b"\xff" * 20, DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN)
    assert (content.elements, "cannot be inflated" in content.fault) == ((), True)


@settings(deadline=None)
@given(st.binary(max_size=200), st.sampled_from(SYNTAXES), st.booleans())
def test_anything_can_be_shown(data: bytes, syntax: str, good: bool) -> None:
    data = among_others(data, syntax) if good else data
    content = read_elements(data, syntax, known_vrs=True)
    assert all(list(content.faults()) or [True])
    assert list(dump(data, syntax))
    strict_json(content)
    value_at(content, parse_key("0040,0100[0].PatientName"))
    for function in (lambda: str(decode_match(data, syntax)), lambda: list(to_xml(data, syntax))):
        if content.fault:
            with pytest.raises(InputFileError):
                function()
        else:
            function()


# ---------------------------------------------------------------------- JSON


def test_numbers_in_json() -> None:
    data = (
        encoded(0x00189073, "FD", struct.pack("<4d", float("nan"), float("inf"), -float("inf"), 1.5))
        + encoded(0x00200013, "IS", b"7")
        + encoded(0x00280009, "AT", b"\x18\0\x63\x10")
        + encoded(0x00280030, "DS", b"0.5\\\\1e999\\x")
        + encoded(0x00400280, "ST", b"a\\b ")
    )
    assert strict_json(read_elements(data, EXPLICIT)) == {
        "00189073": {"vr": "FD", "Value": ["NaN", "Infinity", "-Infinity", 1.5]},
        "00200013": {"vr": "IS", "Value": [7]},
        "00280009": {"vr": "AT", "Value": ["00181063"]},
        "00280030": {"vr": "DS", "Value": [0.5, None, "1e999", "x"]},
        "00400280": {"vr": "ST", "Value": ["a\\b"]},
    }


def test_names_in_json() -> None:
    names = encoded(0x00100010, "PN", b"A^B=C=D=E\\\\=F")
    assert strict_json(read_elements(names, EXPLICIT))["00100010"]["Value"] == [
        {"Alphabetic": "A^B", "Ideographic": "C", "Phonetic": "D=E"},
        None,
        {"Ideographic": "F"},
    ]


def test_bytes_in_json_are_little_endian() -> None:
    data = encoded(0x00281201, "OW", b"\1\2\3\4", BIG)
    assert strict_json(read_elements(data, BIG))["00281201"]["InlineBinary"] == "AgEEAw=="


# ---------------------------------------------------------------------- pydicom, failed objects


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_good_match_as_pydicom_has_it(syntax: str) -> None:
    identifier = {
        "SpecificCharacterSet": "ISO_IR 192",
        "PatientName": "Größe",
        "Rows": 512,
        "SmallestImagePixelValue": 3,
        "ScheduledProcedureStepSequence": [{"ScheduledProcedureStepDescription": "Größe"}],
    }
    found = decode_match(encode_identifier(identifier, syntax), syntax)
    assert (found.PatientName, found.Rows, found.original_encoding[1]) == ("Größe", 512, syntax != BIG)
    assert found.ScheduledProcedureStepSequence[0].ScheduledProcedureStepDescription == "Größe"


@pytest.mark.parametrize("uids", [(), ("1.2",), ("1.2", "1.3")])
def test_failed_instances(uids: tuple[str, ...]) -> None:
    data = encode_identifier({"FailedSOPInstanceUIDList": list(uids)}, IMPLICIT)
    assert failed_instances(data, IMPLICIT) == (uids, "")
    assert failed_instances(b"", IMPLICIT) == ((), "")
    assert failed_instances(encode_identifier({"PatientName": "X"}, IMPLICIT), IMPLICIT) == ((), "")


@pytest.mark.parametrize("vr", ["UI", "LO", "CS", "UN", "OB", "UT", "XX", "SQ", "US", "FD", "AT"])
def test_a_list_of_failed_instances_of_another_vr(vr: str) -> None:
    """What can be read is; what cannot is told, and is no empty list."""
    head = b"\x08\0\x58\0" + vr.encode()
    value = b"1.2.3\\1.4 "
    long = vr in ("UN", "OB", "UT", "SQ")
    length = b"\0\0" + len(value).to_bytes(4, "little") if long else len(value).to_bytes(2, "little")
    uids, fault = failed_instances(head + length + value, EXPLICIT)
    if vr in ("SQ", "US", "FD", "AT"):
        assert (uids, fault) == ((), f"has (0008,0058) of VR {vr}, and not of UI")
    else:
        assert uids == ("1.2.3", "1.4")


def test_what_is_no_uid_among_failed_instances() -> None:
    data = b"\x08\0\x58\0UI\x0c\x001.2.3\\DOE^J "
    assert failed_instances(data, EXPLICIT) == (("1.2.3",), "has what is no UID in (0008,0058)")
