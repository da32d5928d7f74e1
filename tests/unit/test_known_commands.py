"""C-STORE messages that look like one before, and C-ECHO, take a fast way: what comes out is the same."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmnet.dimse import command, patterns
from dcmnet.dimse import messages as module
from dcmnet.dimse.messages import CEchoRQ, CEchoRSP, CStoreRQ, CStoreRSP, Message, Priority, decode_message
from dcmnet.dimse.responses import response_to
from dcmnet.errors import LocalProtocolError, RemoteProtocolError
from dcmnet.limits import Limits, Tolerance
from dcmnet.registry.sop_classes import VERIFICATION

CT = "1.2.840.10008.5.1.4.1.1.2"
LIMITS = Limits()
STRICT = Limits(tolerance=Tolerance.NONE)
REQUEST = CStoreRQ(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3.4")
RESPONSE = response_to(REQUEST, 0)
ECHO = CEchoRQ(message_id=1, affected_sop_class_uid=VERIFICATION)


@pytest.fixture(autouse=True)
def _nothing_is_known() -> Iterator[None]:
    forget()
    yield
    forget()


def forget() -> None:
    for quick in module._QUICK.values():
        quick.patterns._encoded.clear()
        quick.patterns._decoded.clear()
    command._SHAPES.clear()
    patterns._REGISTERED.clear()


def known(message: Message) -> tuple[int, int]:
    """How many patterns of its kind are encoded and decoded fast."""
    patterns = module._QUICK[message.COMMAND_FIELD].patterns
    return len(patterns._encoded), len(patterns._decoded)


def outcome(data: bytes, limits: Limits) -> Message | str:
    try:
        return decode_message(memoryview(data), limits)
    except RemoteProtocolError as error:
        assert (error.source, error.reason) == (0, 0)
        return str(error)


UIDS = st.lists(st.integers(0, 10**9).map(str), min_size=1, max_size=6).map(".".join)
NUMBERS = st.integers(0, 0xFFFF)
PLAIN = st.builds(
    CStoreRQ,
    message_id=NUMBERS,
    affected_sop_class_uid=UIDS | st.just(CT),
    affected_sop_instance_uid=UIDS,
    priority=st.sampled_from(Priority),
) | st.builds(
    CStoreRSP,
    message_id_being_responded_to=NUMBERS,
    status=NUMBERS,
    affected_sop_class_uid=UIDS | st.just(CT),
    affected_sop_instance_uid=UIDS,
)


@given(st.lists(PLAIN, min_size=1, max_size=6), st.sampled_from([LIMITS, STRICT]))
def test_both_ways_are_the_same(sent: list[CStoreRQ | CStoreRSP], limits: Limits) -> None:
    forget()
    for message in (*sent, *sent):
        encoded = message.encode()
        assert encoded == message._encode()
        assert decode_message(memoryview(encoded), limits) == message
    for message in sent:
        forget()
        assert decode_message(message.encode(), limits) == message


@given(PLAIN, st.data(), st.sampled_from([LIMITS, STRICT]))
def test_a_damaged_one_ends_as_if_none_had_been_seen(
    message: CStoreRQ | CStoreRSP, data: st.DataObject, limits: Limits
) -> None:
    whole = message.encode()
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        value = data.draw(st.sampled_from(b"\0\x01 .09a") | st.integers(0, 255))
        damaged[data.draw(st.integers(0, len(whole) - 1))] = value
    forget()
    first = outcome(bytes(damaged), limits)
    forget()
    decode_message(whole, limits)
    decode_message(whole, limits)
    assert outcome(bytes(damaged), limits) == first


def test_request_and_response_of_the_same_length_by_turns() -> None:
    request, response = REQUEST.encode(), RESPONSE.encode()
    assert len(request) == len(response)
    for _ in range(3):
        assert decode_message(request, LIMITS) == REQUEST
        assert decode_message(response, LIMITS) == RESPONSE
        assert known(REQUEST)[1] == known(RESPONSE)[1] == 1


def test_a_uid_is_looked_at_each_time_and_as_the_tolerance_has_it() -> None:
    odd = REQUEST.encode().replace(b"1.2.3.4\0", b"1.2.03.4")
    padded = REQUEST.encode().replace(b"1.2.3.4\0", b"1.2.34 \0")
    other_class = REQUEST.encode().replace(CT.encode(), CT.encode()[:-2] + b".x")
    padded_class = REQUEST.encode().replace(CT.encode() + b"\0", CT.encode()[:-1] + b"\0\0")
    for _ in range(2):
        assert decode_message(REQUEST.encode(), LIMITS) == decode_message(REQUEST.encode(), STRICT) == REQUEST
        for data, uid in ((odd, "1.2.03.4"), (padded, "1.2.34")):
            found = decode_message(data, LIMITS)
            assert isinstance(found, CStoreRQ)
            assert found.affected_sop_instance_uid == uid
        found = decode_message(padded_class, LIMITS)
        assert isinstance(found, CStoreRQ)
        assert found.affected_sop_class_uid == CT[:-1]
        assert "breaks PS3.5 9.1" in str(outcome(odd, STRICT))
        assert "is padded with more than one NUL" in str(outcome(padded, STRICT))
        assert "is padded with more than one NUL" in str(outcome(padded_class, STRICT))
        assert "other characters" in str(outcome(other_class, LIMITS))
    assert known(REQUEST)[1] == 1


def test_a_uid_of_nothing_is_missing() -> None:
    nothing = REQUEST.encode().replace(b"1.2.3.4\0", bytes(8))
    no_class = REQUEST.encode().replace(CT.encode(), bytes(len(CT)))
    for _ in range(2):
        assert outcome(nothing, LIMITS) == "C-STORE-RQ without (0000,1000) affected_sop_instance_uid"
        assert outcome(no_class, LIMITS) == "C-STORE-RQ without (0000,0002) affected_sop_class_uid"
        assert decode_message(REQUEST.encode(), LIMITS) == REQUEST


def test_an_unknown_priority_is_medium_here_too() -> None:
    high = CStoreRQ(
        message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3.4", priority=Priority.HIGH
    )
    priority = struct.pack("<HHLH", 0, 0x0700, 2, 1)
    strange = high.encode().replace(priority, priority[:-2] + b"\x09\0")
    for _ in range(2):
        assert decode_message(strange, LIMITS) == REQUEST
        assert decode_message(high.encode(), LIMITS) == high


def test_the_longest_command_set_is_asked_for_each_time() -> None:
    data = REQUEST.encode()
    assert decode_message(data, LIMITS) == decode_message(data, LIMITS)
    short = Limits(max_command_set_length=len(data) - 1)
    assert "the limit is" in str(outcome(data, short))


@pytest.mark.parametrize(
    "message",
    [
        CStoreRQ(
            message_id=1,
            affected_sop_class_uid=CT,
            affected_sop_instance_uid="1.2.3.4",
            move_originator_ae_title="PACS",
            move_originator_message_id=0,
        ),
        response_to(REQUEST, 0xA700, error_comment="full"),
        response_to(REQUEST, 0xA700, offending_element=(0x00080018,)),
        response_to(REQUEST, 0xA700, error_id=0),
        response_to(REQUEST, 0, affected_sop_class_uid=""),
        response_to(REQUEST, 0, affected_sop_instance_uid=""),
    ],
)
def test_what_says_more_or_less_takes_the_long_way(message: Message) -> None:
    for _ in range(2):
        assert decode_message(message.encode(), LIMITS) == message
    assert known(message) == (0, 0)


def test_a_response_that_announces_a_data_set_is_not_taken_for_one_without() -> None:
    kind = struct.pack("<HHLH", 0, 0x0800, 2, 0x0101)
    announced = RESPONSE.encode().replace(kind, kind[:-2] + b"\x02\0")
    for _ in range(2):
        assert decode_message(announced, LIMITS).has_data_set
        assert not decode_message(RESPONSE.encode(), LIMITS).has_data_set


def test_a_group_length_that_is_wrong_is_no_pattern() -> None:
    wrong = bytearray(REQUEST.encode())
    wrong[8] ^= 2
    for _ in range(2):
        assert decode_message(bytes(wrong), LIMITS) == REQUEST
        assert "Command Group Length" in str(outcome(bytes(wrong), STRICT))
    assert known(REQUEST)[1] == 0


def test_patterns_are_not_kept_without_end() -> None:
    for first in range(1, 49):
        for second in range(1, 30, 2):
            message = CStoreRQ(
                message_id=1,
                affected_sop_class_uid=f"1.{'1' * first}",
                affected_sop_instance_uid=f"1.{'1' * second}",
            )
            assert decode_message(message.encode(), LIMITS) == message
            assert max(known(message)) <= patterns._MAX_PATTERNS
    assert patterns._REGISTERED == {}  # none of them is one of the registry
    assert decode_message(REQUEST.encode(), LIMITS) == decode_message(REQUEST.encode(), LIMITS)
    assert patterns._REGISTERED == {CT.encode() + b"\0": CT}


WRONG: list[dict[str, Any]] = [
    {"message_id": 65536},
    {"message_id": -1},
    {"message_id": 1.0},
    {"priority": 70000},
    {"affected_sop_instance_uid": "1.2.x.4"},
    {"affected_sop_instance_uid": "1.2.3.é"},
    {"affected_sop_instance_uid": "1." + "2" * 63},
    {"affected_sop_instance_uid": ""},
    {"affected_sop_instance_uid": 7},
    {"affected_sop_class_uid": "CT"},
    {"affected_sop_class_uid": ["1.2"]},
    {"has_data_set": False},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_what_cannot_be_sent_is_refused_with_the_same_words(wrong: dict[str, Any]) -> None:
    fields: dict[str, Any] = {
        "message_id": 1,
        "affected_sop_class_uid": CT,
        "affected_sop_instance_uid": "1.2.3.4",
    }
    message = CStoreRQ(**{**fields, **wrong})
    with pytest.raises(LocalProtocolError) as first:
        message._encode()
    REQUEST.encode()
    assert known(REQUEST)[0] == 1
    for _ in range(2):
        with pytest.raises(LocalProtocolError) as then:
            message.encode()
        assert str(then.value) == str(first.value)


BARE = [
    kind(message_id_being_responded_to=0x1234, status=status)
    for kind in module.RESPONSES
    for status in (0x0000, 0xFF00, 0xA700)
]


@pytest.mark.parametrize("message", BARE, ids=lambda each: f"{each.NAME} {each.status:04X}")
def test_a_response_with_nothing_but_its_status(message: Message, monkeypatch: pytest.MonkeyPatch) -> None:
    data = message.encode()
    assert patterns.BARE_RESPONSE.unpack(data) is not None
    fast = outcome(data, LIMITS)
    monkeypatch.setattr(module, "_NUMBERS", {})
    assert fast == outcome(data, LIMITS) == message


@given(st.sampled_from(BARE), st.data(), st.sampled_from([LIMITS, STRICT, Limits(max_command_set_length=51)]))
def test_a_damaged_bare_response(message: Message, data: st.DataObject, limits: Limits) -> None:
    raw = bytearray(message.encode())
    for _ in range(data.draw(st.integers(0, 2))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    fast = outcome(bytes(raw), limits)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_NUMBERS", {})
        assert fast == outcome(bytes(raw), limits)


# ---------------------------------------------------------------------- C-ECHO


ECHOES = st.builds(
    CEchoRQ, message_id=NUMBERS, affected_sop_class_uid=st.just(VERIFICATION) | UIDS
) | st.builds(
    CEchoRSP,
    message_id_being_responded_to=NUMBERS,
    status=NUMBERS,
    affected_sop_class_uid=st.just(VERIFICATION) | st.just("") | UIDS,
    error_comment=st.sampled_from(["", "why"]),
    error_id=st.none() | NUMBERS,
)


def the_long_way(data: bytes, limits: Limits) -> Message | str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_NUMBERS", {})
        return outcome(data, limits)


@given(ECHOES, st.sampled_from([LIMITS, STRICT]))
def test_echoes(message: CEchoRQ | CEchoRSP, limits: Limits) -> None:
    encoded = message.encode()
    assert encoded == message._encode()
    assert outcome(encoded, limits) == the_long_way(encoded, limits) == message


@given(ECHOES, st.integers(0, 200), st.integers(0, 255), st.sampled_from([LIMITS, STRICT]))
def test_echoes_with_a_fault(message: CEchoRQ | CEchoRSP, offset: int, byte: int, limits: Limits) -> None:
    data = bytearray(message.encode())
    data[offset % len(data)] = byte
    assert outcome(bytes(data), limits) == the_long_way(bytes(data), limits)


@pytest.mark.parametrize("message", [ECHO, response_to(ECHO, 0)])
def test_an_echo_that_is_too_long_for_the_limit(message: Message) -> None:
    limits = Limits(max_command_set_length=64)
    assert "the limit is 64" in str(outcome(message.encode(), limits))


@pytest.mark.parametrize(
    "message",
    [
        CEchoRQ(message_id=0x10000, affected_sop_class_uid=VERIFICATION),
        CEchoRQ(message_id=1, affected_sop_class_uid=VERIFICATION, has_data_set=True),
        CEchoRQ(message_id=1, affected_sop_class_uid=""),
        CEchoRSP(message_id_being_responded_to=-1, status=0, affected_sop_class_uid=VERIFICATION),
        CEchoRSP(message_id_being_responded_to=1, status=0x10000, affected_sop_class_uid=VERIFICATION),
        CEchoRSP(message_id_being_responded_to=1, status=0, has_data_set=True),
    ],
)
def test_an_echo_that_cannot_be_encoded(message: Message) -> None:
    with pytest.raises(LocalProtocolError):
        message.encode()
