from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmnet.limits import MAX_KEY_DEPTH, MAX_KEY_ITEMS
from dcmnet.services.query_keys import Key, Step, parse_key

NAME, STEPS, MODALITY = 0x00100010, 0x00400100, 0x00080060


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("PatientName", Key((Step("PatientName"),))),
        ("PatientName=", Key((Step("PatientName"),), "")),
        ("PatientName=DOE*", Key((Step("PatientName"),), "DOE*")),
        ("0010,0010=DOE^J", Key((Step(NAME),), "DOE^J")),
        ("10,10=DOE", Key((Step(NAME),), "DOE")),
        ("(0010,0010)", Key((Step(NAME),))),
        ("(10,10)=a=b", Key((Step(NAME),), "a=b")),
        ("7FE0,0010", Key((Step(0x7FE00010),))),
        ("7fe0,0010", Key((Step(0x7FE00010),))),
        ("0008,0018=1.2\\1.3", Key((Step(0x00080018),), "1.2\\1.3")),
        ("StudyDate=20250101-", Key((Step("StudyDate"),), "20250101-")),
        ("PatientName=[0].(1,2)", Key((Step("PatientName"),), "[0].(1,2)")),
        ("(0040,0100)[0].Modality=CT", Key((Step(STEPS, 0), Step("Modality")), "CT")),
        ("0040,0100[12].0008,0060", Key((Step(STEPS, 12), Step(MODALITY)))),
        ("(0040,0100)[0].(0008,0060)=", Key((Step(STEPS, 0), Step(MODALITY)), "")),
        ("A[0].B[1].C[2].D=x", Key((Step("A", 0), Step("B", 1), Step("C", 2), Step("D")), "x")),
        ("(0040,0100)[0]", Key((Step(STEPS, 0),))),
        ("(0040,0100)[3]=", Key((Step(STEPS, 3),), "")),
    ],
)
def test_a_key(text: str, key: Key) -> None:
    assert parse_key(text) == key
    assert parse_key(str(key)) == key


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "there is no attribute"),
        ("=CT", "there is no attribute"),
        ("Sequence[0].", "there is no attribute"),
        ("Patient Name=x", "'Patient Name' is neither a tag"),
        (" PatientName", "neither a tag"),
        ("Größe", "neither a tag"),
        ("(0010,0010", "is not closed"),
        ("(0010)", "'0010' is no tag"),
        ("(0010,0010,1)", "is no tag"),
        ("(,)", "is no tag"),
        ("0010,", "is no tag"),
        ("00100,10", "is no tag"),
        ("x,10", "is no tag"),
        ("0000,0900=1", r"\(0000,0900\) does not belong into a data set"),
        ("0002,0010=1", "does not belong"),
        ("8,52 = STUDY", "' ' is not expected after"),
        ("(0010,0010)x", "'x' is not expected after"),
        ("(0040,0100).Modality", r"which item of \(0040,0100\) is meant"),
        ("A[0]=CT", r"A\[0\] is an item and has no value"),
        ("A[*].B", r"'\[\*\]' names no item"),
        ("A[].B", r"'\[\]' names no item"),
        ("A[-1].B", "names no item"),
        ("A[1", r"'\[1' names no item"),
        ("A[²].B", "names no item"),
        (f"A[{MAX_KEY_ITEMS}].B", f"item {MAX_KEY_ITEMS} is beyond"),
        (f"A[{'9' * 5000}].B", "item 99999999999999999999 is beyond"),
        (".".join(["A[0]"] * MAX_KEY_DEPTH) + ".B", f"more than {MAX_KEY_DEPTH} attributes"),
    ],
)
def test_no_key(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_key(text)


def test_a_name_without_its_value() -> None:
    assert parse_key("(0040,0100)[0].Modality=CT").name == "(0040,0100)[0].Modality"
    assert str(parse_key("8,52=STUDY")) == "(0008,0052)=STUDY"


_KEYWORDS = st.from_regex(r"\A[A-Za-z][A-Za-z0-9]{0,20}\Z")
_TAGS = st.integers(0x00080000, 0xFFFFFFFF)
_ITEMS = st.integers(0, MAX_KEY_ITEMS - 1)
_STEPS_BEFORE = st.lists(st.builds(Step, _TAGS | _KEYWORDS, _ITEMS), max_size=5)
_LAST = st.builds(Step, _TAGS | _KEYWORDS, st.none())


@given(_STEPS_BEFORE, _LAST, st.none() | st.text())
def test_what_is_written_is_read_again(before: list[Step], last: Step, value: str | None) -> None:
    key = Key((*before, last), value)
    assert parse_key(str(key)) == key


@given(st.text(st.sampled_from("0123456789abAB()[],.=* \\Ä")))
def test_any_text_is_a_key_or_refused(text: str) -> None:
    try:
        key = parse_key(text)
    except ValueError as error:
        assert str(error)
    else:
        assert parse_key(str(key)) == key
