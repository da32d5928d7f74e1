"""The Command Set codec: PS3.7 6.3.1, Annex E."""

from __future__ import annotations

import struct
from dataclasses import replace
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.datadict import dictionary_VM, dictionary_VR, keyword_for_tag
from pydicom.filebase import DicomFileLike
from pydicom.filewriter import write_dataset

from dcmnet.dimse import command
from dcmnet.dimse.command import (
    ELEMENTS,
    MAX_ERROR_COMMENT_LENGTH,
    Value,
    clean_error_comment,
    decode_command,
    encode_command,
    read_command,
)
from dcmnet.errors import LocalProtocolError, RemoteProtocolError
from dcmnet.limits import DEFAULT_TOLERANCE, Limits, Tolerance

LIMITS = Limits()
STRICT = Limits(tolerance=Tolerance.NONE)

# C-ECHO-RQ with Message ID 7, written out by PS3.7 Table 9.3-12 and PS3.5 A.1.
ECHO_RQ = bytes.fromhex(
    "0000 0000 04000000 38000000"
    "0000 0200 12000000 312e322e3834302e31303030382e312e3100"
    "0000 0001 02000000 3000"
    "0000 1001 02000000 0700"
    "0000 0008 02000000 0101"
)
ECHO_RQ_FIELDS: dict[int, Value] = {0x0002: "1.2.840.10008.1.1", 0x0100: 0x0030, 0x0110: 7, 0x0800: 0x0101}


def element(number: int, raw: bytes, group: int = 0) -> bytes:
    return struct.pack("<HHL", group, number, len(raw)) + raw


def command_set(*elements: bytes) -> bytes:
    body = b"".join(elements)
    return element(0, struct.pack("<L", len(body))) + body


def decode_one(number: int, raw: bytes, limits: Limits = LIMITS) -> Value | None:
    return decode_command(command_set(element(number, raw)), limits).get(number)


def refused(data: bytes, limits: Limits = LIMITS) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        decode_command(memoryview(data), limits)
    assert (caught.value.source, caught.value.reason) == (0, 0)
    return str(caught.value)


def test_echo_rq_is_encoded_as_the_standard_has_it() -> None:
    assert encode_command(ECHO_RQ_FIELDS) == ECHO_RQ
    assert encode_command(dict(reversed(ECHO_RQ_FIELDS.items()))) == ECHO_RQ


def test_echo_rq_is_decoded() -> None:
    assert decode_command(memoryview(ECHO_RQ), STRICT) == {0: 0x38, **ECHO_RQ_FIELDS}


def test_a_given_group_length_is_worked_out_anew() -> None:
    assert encode_command({0: 9999, **ECHO_RQ_FIELDS}) == ECHO_RQ


@pytest.mark.parametrize("each", ELEMENTS, ids=lambda each: each.keyword)
def test_the_elements_are_those_of_pydicom(each: tuple[int, str, str]) -> None:
    number, keyword, vr = each
    assert dictionary_VR(number) == vr
    assert (dictionary_VM(number) == "1-n") == (vr == "AT")
    assert (
        keyword.replace("_", "").replace("aetitle", "applicationentitytitle")
        == keyword_for_tag(number).lower()
    )


def test_every_vr_is_encoded_as_pydicom_does() -> None:
    fields: dict[int, Value] = {
        0x0003: "1.2.3",
        0x0100: 0x8110,
        0x0600: "STORE_SCP",
        0x0900: 0x0107,
        0x0901: (0x00100010, 0x7FE00010),
        0x0902: "no such attribute",
        0x1030: "A",
        0x1031: 65535,
    }
    data_set = Dataset()
    for number, value in fields.items():
        data_set.add_new(number, dictionary_VR(number), list(value) if isinstance(value, tuple) else value)
    stream = BytesIO()
    file = DicomFileLike(stream)
    file.is_implicit_VR = file.is_little_endian = True
    write_dataset(file, data_set)
    assert encode_command(fields)[12:] == stream.getvalue()


@pytest.mark.parametrize(
    ("number", "value", "raw"),
    [
        (0x0002, "1.2", b"1.2\0"),
        (0x0002, "1.23", b"1.23"),
        (0x0600, "ABC", b"ABC "),
        (0x0902, "x" * 64, b"x" * 64),
        (0x0901, (0x00080018, 0x7FE00010), bytes.fromhex("08001800 e07f1000")),
        (0x0110, 65535, b"\xff\xff"),
    ],
)
def test_values(number: int, value: Value, raw: bytes) -> None:
    assert encode_command({number: value}) == command_set(element(number, raw))
    assert decode_one(number, raw, STRICT) == value


@pytest.mark.parametrize(
    ("number", "value"),
    [
        (0x0110, 65536),
        (0x0110, -1),
        (0x0110, "1"),
        (0x0002, ""),
        (0x0002, "1." + "2" * 63),
        (0x0002, "1.2a"),
        (0x0002, 5),
        (0x0600, "SEVENTEEN_LETTERS"),
        (0x0600, "A\\B"),
        (0x0600, "A\n"),
        (0x0600, "Ä"),
        (0x0902, "x" * 65),
        (0x0901, (1 << 32,)),
        (0x0901, 5),
        (0x0004, 1),
    ],
)
def test_what_does_not_fit_is_not_sent(number: int, value: Value) -> None:
    with pytest.raises(LocalProtocolError, match=f"0000,{number:04X}"):
        encode_command({number: value})


@pytest.mark.parametrize(
    ("number", "raw", "value"),
    [
        (0x0600, b"  ABC ", "ABC"),
        (0x0600, b"ABC\0", "ABC"),
        (0x0600, b"    ", None),
        (0x0902, b"  \xe4\xf6 ", "\xe4\xf6"),
        (0x0902, b"Gr\xf6\xdfe", "Gr\xf6\xdfe"),
        (0x0902, b"ends with \xe4", "ends with \xe4"),
        (0x0902, "Größe".encode(), "Größe"),
        (0x0902, "Größe, ä".encode()[:-1], "Größe, \ufffd"),
        (0x0902, b"y" * 200, "y" * 200),
        (0x0902, b"  ", None),
        (0x0002, b"1.2.3   ", "1.2.3"),
        (0x0002, b"1.2.3\0\0\0", "1.2.3"),
        (0x0002, b"1.2.3", "1.2.3"),
        (0x0002, b"\0\0", None),
        (0x0002, b"", None),
        (0x0002, b"1.02", "1.02"),
        (0x0110, b"", None),
        (0x0901, b"", None),
    ],
)
def test_what_peers_get_away_with(number: int, raw: bytes, value: Value | None) -> None:
    assert decode_one(number, raw) == value


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"1.2.3   ", "padded"),
        (b"1.2.3\0\0\0", "padded"),
        (b"\0\0", "padded"),
        (b"1.02", "PS3.5 9.1"),
        (b"00.1", "PS3.5 9.1"),
        (b"1..2", "PS3.5 9.1"),
        (b".1", "PS3.5 9.1"),
        (b"1.2.", "PS3.5 9.1"),
    ],
)
def test_uids_that_need_a_tolerance(raw: bytes, words: str) -> None:
    assert decode_one(0x0002, raw) == (raw.rstrip(b" \0").decode() or None)
    assert words in refused(command_set(element(0x0002, raw)), STRICT)


def test_zero_is_a_component() -> None:
    assert decode_one(0x0002, b"1.0.10.0", STRICT) == "1.0.10.0"


@pytest.mark.parametrize(
    ("number", "raw"),
    [
        (0x0002, b"1.2.a\0"),
        (0x0002, b" 1.2.3"),
        (0x0002, b"1.\x002.3"),
        (0x0002, b"../../.."),
        (0x1000, b"1" * 66),
        (0x0600, b"A" * 18),
        (0x0600, b"A\\BC"),
        (0x0600, b"A\0BC"),
        (0x0600, b"\xc4A"),
        (0x0901, b"\0\0"),
        (0x0110, b"\1"),
        (0x0110, b"\1\0\0"),
        (0x0110, b"\0\0\1\0"),
        (0x0110, b"\1\0\0\0\0\0\0\0"),
        (0x0000, b"\1\0"),
    ],
)
def test_values_that_are_refused(number: int, raw: bytes) -> None:
    assert f"(0000,{number:04X})" in refused(command_set(element(number, raw)))
    assert f"(0000,{number:04X})" in refused(command_set(element(number, raw)), STRICT)


def test_a_number_of_four_bytes_is_read() -> None:
    assert decode_one(0x0110, b"\1\2\0\0") == 0x0201
    assert decode_one(0x1020, b"\1\0\1\0") == 0x10001
    only = Limits(tolerance=DEFAULT_TOLERANCE & ~Tolerance.LONG_US)
    assert "has 4 bytes, a US has 2" in refused(command_set(element(0x0110, b"\1\2\0\0")), only)


@pytest.mark.parametrize(
    ("number", "raw", "kept"),
    [
        (0x0002, b"1.2\xe2\x80\x8b", r"1.2\xe2\x80\x8b"),
        (0x1000, b"1" * 66, "1" * 66),
        (0x1000, b"\x1b[0m\n", r"\x1b[0m\n"),
        (0x0600, b"A\\BC", "A\\BC"),
        (0x1030, b"R\xd6NTGEN ", "R\xd6NTGEN"),
        (0x1030, b"A" * 18, "A" * 18),
        (0x0901, b"\x08\0\x18\0\0", (0x00080018,)),
        (0x0901, b"\0", ()),
        (0x0700, b"\1\0\0", None),
        (0x0000, b"\1\0", None),
    ],
)
def test_what_is_kept_of_a_malformed_value(number: int, raw: bytes, kept: Value | None) -> None:
    data = command_set(element(0x0110, b"\7\0"), element(number, raw))
    fields, faults = read_command(data, LIMITS)
    expected = {0x0110: 7} if kept is None else {0x0110: 7, number: kept}
    assert {key: value for key, value in fields.items() if key} == expected
    assert list(faults) == [number]
    assert f"(0000,{number:04X})" in str(faults[number])


def test_of_two_the_last_one_is_judged() -> None:
    good, bad = element(0x1000, b"1.2\0"), element(0x1000, b"1.x\0")
    assert decode_command(command_set(bad, good), LIMITS)[0x1000] == "1.2"
    assert "(0000,1000)" in refused(command_set(good, bad))
    assert "(0000,1000)" in refused(command_set(bad, good), STRICT)


@pytest.mark.parametrize("group", [0x0009, 0x0001, 0x0008, 0x0002, 0xFFFF])
def test_elements_of_other_groups_are_passed_over(group: int) -> None:
    data = command_set(element(0x0110, b"\7\0"), element(0x0010, b"PRIVATE ", group=group))
    for _ in range(2):
        assert decode_command(data, LIMITS) == {0: len(data) - 12, 0x0110: 7}
        assert f"({group:04X},0010)" in refused(data, STRICT)


def test_unknown_elements_of_the_group_are_passed_over() -> None:
    data = command_set(element(0x0001, b"\0\0\0\0"), element(0x0110, b"\7\0"), element(0x5010, b"old stuff "))
    assert decode_command(data, STRICT) == {0: len(data) - 12, 0x0110: 7}


def test_any_order_and_the_last_of_two() -> None:
    elements = (element(0x0800, b"\1\1"), element(0x0110, b"\1\0"), element(0x0110, b"\2\0"))
    assert decode_command(command_set(*elements), STRICT)[0x0110] == 2


@pytest.mark.parametrize("length", [11, 0x10000, 0x7FFFFFFF, 0x80000000, 0x81000001, 0xFFFFFFFE, 0xFFFFFFFF])
@pytest.mark.parametrize("number", [0x0002, 0x0110, 0x0600, 0x0901, 0x5010])
def test_a_length_beyond_the_set_is_refused(number: int, length: int) -> None:
    data = command_set(struct.pack("<HHL", 0, number, length) + b"1.2.3.4.5\0")
    assert f"claims {length} bytes, 10 are left" in refused(data)


@pytest.mark.parametrize("cut", range(1, 8))
def test_a_set_that_ends_in_a_header_is_refused(cut: int) -> None:
    assert "ends within an element header" in refused(ECHO_RQ + b"\0" * cut)


def test_every_truncation_is_refused_or_shorter() -> None:
    for end in range(len(ECHO_RQ)):
        if end:
            refused(ECHO_RQ[:end], STRICT)
    assert "without Command Group Length" in refused(b"", STRICT)


def test_group_length() -> None:
    assert decode_command(ECHO_RQ[12:], LIMITS) == ECHO_RQ_FIELDS
    assert "without Command Group Length" in refused(ECHO_RQ[12:], STRICT)
    wrong = ECHO_RQ[:8] + b"\x36" + ECHO_RQ[9:]
    assert decode_command(wrong, LIMITS) == {0: 0x36, **ECHO_RQ_FIELDS}
    assert "is 54, but 56 bytes follow" in refused(wrong, STRICT)


def test_the_limit_of_its_length() -> None:
    exact = replace(LIMITS, max_command_set_length=len(ECHO_RQ))
    assert decode_command(ECHO_RQ, exact)
    short = replace(LIMITS, max_command_set_length=len(ECHO_RQ) - 1)
    assert "68 bytes; the limit is 67" in refused(ECHO_RQ, short)


@pytest.mark.parametrize(
    ("text", "comment"),
    [
        ("disk full", "disk full"),
        ("C:\\temp\n\tfüll ", "C: temp f?ll"),
        ("x" * 63 + " y", "x" * 63),
        ("\0", ""),
    ],
)
def test_error_comments_are_made_to_fit(text: str, comment: str) -> None:
    assert clean_error_comment(text) == comment


@given(st.text())
def test_every_cleaned_comment_can_be_sent(text: str) -> None:
    comment = clean_error_comment(text)
    assert len(comment) <= MAX_ERROR_COMMENT_LENGTH
    assert decode_command(encode_command({0x0902: comment}), STRICT).get(0x0902, "") == comment


UIDS = st.lists(st.integers(0, 10**12).map(str), min_size=1, max_size=4).map(".".join)
TEXTS = st.from_regex(r"\A[!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?\Z")
VALUES = {
    "UI": UIDS,
    "AE": TEXTS,
    "LO": TEXTS,
    "US": st.integers(0, 65535),
    "UL": st.just(0),
    "AT": st.lists(st.integers(0, 0xFFFFFFFF), min_size=1).map(tuple),
}
SOME_FIELDS = st.fixed_dictionaries({}, optional={each.number: VALUES[each.vr] for each in ELEMENTS[1:]})


@given(SOME_FIELDS)
def test_round_trip(fields: dict[int, Value]) -> None:
    data = encode_command(fields)
    assert len(data) % 2 == 0
    decoded = decode_command(memoryview(data), STRICT)
    assert decoded.pop(0) == len(data) - 12
    assert decoded == fields


LIKE_ELEMENTS = st.builds(
    lambda number, raw, length: struct.pack("<HHL", 0, number, len(raw) if length is None else length) + raw,
    st.sampled_from([each.number for each in ELEMENTS]),
    st.binary(max_size=20),
    st.none() | st.integers(0, 0xFFFFFFFF),
)


@given(st.binary() | st.lists(LIKE_ELEMENTS).map(b"".join), st.sampled_from([LIMITS, STRICT]))
def test_arbitrary_bytes_are_decoded_or_refused(data: bytes, limits: Limits) -> None:
    try:
        decode_command(memoryview(data), limits)
    except RemoteProtocolError as error:
        assert (error.source, error.reason) == (0, 0)


def test_a_layout_that_was_seen_before_is_read_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every value, every limit, and every fault: as the first time."""
    monkeypatch.setattr(command, "_SHAPES", {})
    for number in range(3):
        for uid in ("1.2.840.10008.1.1", "1.2.840.10008.1.2"):
            fields = {**ECHO_RQ_FIELDS, 0x0002: uid, 0x0110: number}
            expected = {0: 56, **fields}
            assert decode_command(encode_command(fields), LIMITS) == expected
    assert list(command._SHAPES) == [len(ECHO_RQ)]
    other_order = command_set(
        element(0x0110, b"\x01\0"),
        element(0x0002, ECHO_RQ[20:38]),
        element(0x0100, b"\x30\0"),
        element(0x0800, b"\x01\x01"),
    )
    assert len(other_order) == len(ECHO_RQ)
    assert decode_command(other_order, LIMITS)[0x0110] == 1
    assert decode_command(ECHO_RQ, LIMITS)[0x0110] == 7
    wrong_length = ECHO_RQ[:8] + b"\x37" + ECHO_RQ[9:]
    assert "is 55, but 56 bytes follow" in refused(wrong_length, STRICT)
    assert decode_command(wrong_length, LIMITS)[0] == 55
    assert "other characters" in refused(ECHO_RQ.replace(b"1.1\0", b"1.x\0"))
    assert "padded" in refused(ECHO_RQ.replace(b"1.1\0", b"1.\0\0"), STRICT)
    assert 0x0002 not in decode_command(ECHO_RQ[:20] + bytes(18) + ECHO_RQ[38:], LIMITS)


def test_layouts_are_not_kept_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_SHAPES", {})
    for length in range(200):
        decode_command(encode_command({0x0902: "a" * (length % 65), 0x1005: (1,) * length}), LIMITS)
        assert len(command._SHAPES) <= command._MAX_SHAPES


@pytest.mark.parametrize(
    "extra",
    [
        element(0x0110, b""),
        element(0x7777, b"ab"),
        element(0x0110, b"\x01\0"),
        element(0x0700, b"\x01\0\0\0"),
        element(0x1030, b"\xd6\xd6"),
        element(0x0010, b"ab", group=9),
    ],
)
def test_only_ordinary_layouts_are_kept(monkeypatch: pytest.MonkeyPatch, extra: bytes) -> None:
    monkeypatch.setattr(command, "_SHAPES", {})
    read_command(command_set(ECHO_RQ[12:], extra), LIMITS)
    assert command._SHAPES == {}
