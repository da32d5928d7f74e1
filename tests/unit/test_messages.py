"""The 23 DIMSE messages: PS3.7 9.3, 10.3, Annex C."""

from __future__ import annotations

import struct
from dataclasses import MISSING, FrozenInstanceError, fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom import dimse_messages

from dcmnet.dimse.command import ELEMENTS, Value, decode_command, encode_command
from dcmnet.dimse.messages import (
    MESSAGES,
    REQUESTS,
    RESPONSE_TO,
    RESPONSES,
    CCancelRQ,
    CEchoRQ,
    CEchoRSP,
    CFindRQ,
    CFindRSP,
    CGetRQ,
    CMoveRQ,
    CMoveRSP,
    CStoreRQ,
    CStoreRSP,
    Message,
    NActionRQ,
    NActionRSP,
    NCreateRQ,
    NEventReportRQ,
    NEventReportRSP,
    NGetRQ,
    NSetRQ,
    Priority,
    StatusClass,
    decode_message,
    status_class,
)
from dcmnet.dimse.responses import response_to
from dcmnet.errors import LocalProtocolError, RemoteProtocolError, StatusError
from dcmnet.limits import DEFAULT_TOLERANCE, Limits, Tolerance

LIMITS = Limits()
STRICT = Limits(tolerance=Tolerance.NONE)
VERIFICATION = "1.2.840.10008.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"

# PS3.7 E.1, Table E.1-1, Command Field.
COMMAND_FIELDS = {
    "C-STORE-RQ": 0x0001,
    "C-STORE-RSP": 0x8001,
    "C-GET-RQ": 0x0010,
    "C-GET-RSP": 0x8010,
    "C-FIND-RQ": 0x0020,
    "C-FIND-RSP": 0x8020,
    "C-MOVE-RQ": 0x0021,
    "C-MOVE-RSP": 0x8021,
    "C-ECHO-RQ": 0x0030,
    "C-ECHO-RSP": 0x8030,
    "N-EVENT-REPORT-RQ": 0x0100,
    "N-EVENT-REPORT-RSP": 0x8100,
    "N-GET-RQ": 0x0110,
    "N-GET-RSP": 0x8110,
    "N-SET-RQ": 0x0120,
    "N-SET-RSP": 0x8120,
    "N-ACTION-RQ": 0x0130,
    "N-ACTION-RSP": 0x8130,
    "N-CREATE-RQ": 0x0140,
    "N-CREATE-RSP": 0x8140,
    "N-DELETE-RQ": 0x0150,
    "N-DELETE-RSP": 0x8150,
    "C-CANCEL-RQ": 0x0FFF,
}


def refused(data: bytes) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        decode_message(memoryview(data), LIMITS)
    assert (caught.value.source, caught.value.reason) == (0, 0)
    return str(caught.value)


def by_name(message: type[Message]) -> str:
    return message.NAME


def test_the_23_messages_and_their_command_fields() -> None:
    assert {message.NAME: message.COMMAND_FIELD for message in MESSAGES} == COMMAND_FIELDS
    assert all(message.IS_REQUEST is message.NAME.endswith("-RQ") for message in MESSAGES)
    assert all(message.NAME.replace("-", "").lower() == message.__name__.lower() for message in MESSAGES)


@pytest.mark.parametrize("request_type", REQUESTS, ids=by_name)
def test_each_request_has_its_response(request_type: type[Message]) -> None:
    response = RESPONSE_TO[request_type]  # type: ignore[index]
    assert response.COMMAND_FIELD == request_type.COMMAND_FIELD | 0x8000
    assert response.NAME == request_type.NAME[:-2] + "RSP"


@pytest.mark.parametrize("message", MESSAGES, ids=by_name)
def test_the_elements_of_each_message_are_those_of_pynetdicom(message: type[Message]) -> None:
    name = message.NAME.replace("-", "_")
    theirs = {int(elem.tag) for elem in dimse_messages.__dict__[name]().command_set}
    names = {field.name for field in fields(message)}
    ours = {each.number for each in ELEMENTS if each.keyword in names} | {0x0000, 0x0100, 0x0800}
    assert theirs - ours == set()
    # PS3.7 Annex C: any response may carry status details.
    assert ours - theirs <= {0x0901, 0x0902, 0x0903, 0x1005}


def test_c_store_rq_bytes() -> None:
    message = CStoreRQ(
        message_id=258,
        affected_sop_class_uid=CT,
        affected_sop_instance_uid="1.2.3",
        priority=Priority.LOW,
        move_originator_ae_title="PACS",
        move_originator_message_id=3,
    )
    encoded = bytes.fromhex(
        "0000 0000 04000000 6e000000"
        "0000 0200 1a000000 312e322e3834302e31303030382e352e312e342e312e312e3200"
        "0000 0001 02000000 0100"
        "0000 1001 02000000 0201"
        "0000 0007 02000000 0200"
        "0000 0008 02000000 0100"
        "0000 0010 06000000 312e322e3300"
        "0000 3010 04000000 50414353"
        "0000 3110 02000000 0300"
    )
    assert message.encode() == encoded
    assert decode_message(memoryview(encoded), STRICT) == message


def test_c_echo_rsp_bytes() -> None:
    message = CEchoRSP(message_id_being_responded_to=7, status=0, affected_sop_class_uid=VERIFICATION)
    encoded = bytes.fromhex(
        "0000 0000 04000000 42000000"
        "0000 0200 12000000 312e322e3834302e31303030382e312e3100"
        "0000 0001 02000000 3080"
        "0000 2001 02000000 0700"
        "0000 0008 02000000 0101"
        "0000 0009 02000000 0000"
    )
    assert message.encode() == encoded
    assert decode_message(encoded, STRICT) == message


def test_c_cancel_rq_bytes() -> None:
    encoded = bytes.fromhex(
        "0000 0000 04000000 1e0000000000 0001 02000000 ff0f0000 2001 02000000 09000000 0008 02000000 0101"
    )
    assert CCancelRQ(message_id_being_responded_to=9).encode() == encoded
    assert decode_message(encoded, STRICT) == CCancelRQ(message_id_being_responded_to=9)


def test_messages_are_frozen_and_slotted() -> None:
    message = CEchoRQ(message_id=1, affected_sop_class_uid=VERIFICATION)
    with pytest.raises(FrozenInstanceError):
        message.message_id = 2  # type: ignore[misc]
    assert not hasattr(message, "__dict__")


UIDS = st.lists(st.integers(0, 10**12).map(str), min_size=1, max_size=4).map(".".join)
TEXTS = st.from_regex(r"\A[!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?\Z")
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "UI": UIDS,
    "AE": TEXTS,
    "LO": TEXTS,
    "US": st.integers(0, 65535),
    "AT": st.lists(st.integers(0, 0xFFFFFFFF), min_size=1, max_size=5).map(tuple),
}
VR = {each.keyword: each.vr for each in ELEMENTS}


def strategy_of(message: type[Message]) -> st.SearchStrategy[Message]:
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for field in fields(message):
        if field.name == "priority":
            optional[field.name] = st.sampled_from(Priority)
        elif field.name != "has_data_set":
            target = required if field.default is MISSING else optional
            target[field.name] = VALUES[VR[field.name]]
    data_set = {"required": st.just(True), "forbidden": st.just(False), "optional": st.booleans()}
    required["has_data_set"] = data_set[message.DATA_SET]
    return st.fixed_dictionaries(required, optional=optional).map(lambda values: message(**values))


@pytest.mark.parametrize("message", MESSAGES, ids=by_name)
def test_round_trip(message: type[Message]) -> None:
    @given(strategy_of(message))
    def holds(sent: Message) -> None:
        received = decode_message(memoryview(sent.encode()), STRICT)
        assert received == sent
        assert type(received) is message

    holds()


@given(
    st.fixed_dictionaries(
        {0x0100: st.sampled_from([*COMMAND_FIELDS.values(), 0x0002, 0xFFFF])},
        optional={each.number: VALUES[each.vr] for each in ELEMENTS[1:] if each.number != 0x0100},
    )
)
def test_any_command_set_is_a_message_or_refused(elements: dict[int, Any]) -> None:
    try:
        message = decode_message(encode_command(elements), STRICT)
    except RemoteProtocolError as error:
        assert (error.source, error.reason) == (0, 0)
    else:
        assert message.COMMAND_FIELD == elements[0x0100]


@given(st.binary())
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    refused(data)


@given(st.data())
def test_a_damaged_message_is_decoded_or_refused(data: st.DataObject) -> None:
    sent = bytearray(data.draw(st.sampled_from(MESSAGES).flatmap(strategy_of)).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        sent[data.draw(st.integers(0, len(sent) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode_message(sent, LIMITS)
    except RemoteProtocolError as error:
        assert (error.source, error.reason) == (0, 0)


ECHO: dict[int, Value] = {0x0002: VERIFICATION, 0x0100: 0x0030, 0x0110: 1, 0x0800: 0x0101}
STORE: dict[int, Value] = {0x0002: CT, 0x0100: 0x0001, 0x0110: 1, 0x0700: 0, 0x0800: 1, 0x1000: "1.2.3"}
MOVE: dict[int, Value] = {0x0002: CT, 0x0100: 0x0021, 0x0110: 1, 0x0600: "STORE", 0x0700: 0, 0x0800: 1}
ECHO_RSP: dict[int, Value] = {0x0100: 0x8030, 0x0120: 1, 0x0800: 0x0101, 0x0900: 0}
CANCEL: dict[int, Value] = {0x0100: 0x0FFF, 0x0120: 1, 0x0800: 0x0101}
ACTION: dict[int, Value] = {0x0003: CT, 0x0100: 0x0130, 0x0110: 1, 0x0800: 0x0101, 0x1001: "1.2.3", 0x1008: 1}


@pytest.mark.parametrize("whole", [ECHO, STORE, MOVE, ECHO_RSP, CANCEL, ACTION])
def test_no_required_element_may_be_missing(whole: dict[int, Any]) -> None:
    decode_message(encode_command(whole), STRICT)
    for number in whole:
        elements = {key: value for key, value in whole.items() if key != number}
        if number in (0x0600, 0x0700):
            with pytest.raises(RemoteProtocolError, match=f"0000,{number:04X}"):
                decode_message(encode_command(elements), STRICT)
        else:
            assert f"(0000,{number:04X})" in refused(encode_command(elements))


def with_element(whole: dict[int, Any], number: int, raw: bytes, group: int = 0) -> bytes:
    """The Command Set with raw bytes at the end, in the place of the element if it has that one."""
    rest = encode_command({key: value for key, value in whole.items() if group or key != number})
    return rest + struct.pack("<HHL", group, number, len(raw)) + raw


FIND: dict[int, Value] = {0x0002: CT, 0x0100: 0x0020, 0x0110: 1, 0x0700: 0, 0x0800: 1}
CREATE: dict[int, Value] = {0x0002: CT, 0x0100: 0x0140, 0x0110: 1, 0x0800: 0x0101, 0x1000: "1.2.3"}
GET: dict[int, Value] = {0x0003: CT, 0x0100: 0x0110, 0x0110: 1, 0x0800: 0x0101, 0x1001: "1.2.3"}
STORE_RSP: dict[int, Value] = {
    **{0x0002: CT, 0x0100: 0x8001, 0x0120: 1, 0x0800: 0x0101, 0x0900: 0, 0x1000: "1.2.3"}
}
MOVE_RSP: dict[int, Value] = {0x0100: 0x8021, 0x0120: 1, 0x0800: 0x0101, 0x0900: 0xFF00}
ACTION_RSP: dict[int, Value] = {0x0100: 0x8130, 0x0120: 1, 0x0800: 0x0101, 0x0900: 0}


@pytest.mark.parametrize(
    ("whole", "number", "raw", "keyword", "value"),
    [
        (STORE, 0x1030, b"R\xd6NTGEN", "move_originator_ae_title", "R\xd6NTGEN"),
        (STORE, 0x1030, b"EIGHTEEN_CHARACTER", "move_originator_ae_title", "EIGHTEEN_CHARACTER"),
        (STORE, 0x1030, b"PACS\\A", "move_originator_ae_title", "PACS\\A"),
        (STORE, 0x1030, b"PACS\t\n", "move_originator_ae_title", "PACS\t\n"),
        (STORE, 0x1030, b"PACS\0\0\0", "move_originator_ae_title", "PACS"),
        (STORE, 0x1030, b"", "move_originator_ae_title", ""),
        (STORE, 0x1031, b"\1", "move_originator_message_id", None),
        (STORE, 0x1031, b"\1\0\0\0", "move_originator_message_id", 1),
        (STORE, 0x1031, b"\1\0\1\0", "move_originator_message_id", None),
        (STORE, 0x0700, b"\3\0", "priority", Priority.MEDIUM),
        (STORE, 0x0700, b"\1\0\0\0", "priority", Priority.HIGH),
        (STORE, 0x0700, b"HIGH", "priority", Priority.MEDIUM),
        (STORE, 0x0700, b"", "priority", Priority.MEDIUM),
        (STORE, 0x0003, b"rubbish", "has_data_set", True),
        (STORE, 0x0600, b"\xff" * 40, "has_data_set", True),
        (STORE, 0x0900, b"\1", "has_data_set", True),
        (STORE, 0x0902, b"\xff\n", "has_data_set", True),
        (STORE, 0x0000, b"\1\0", "has_data_set", True),
        (STORE, 0x0001, b"\0\0\0\0", "has_data_set", True),
        (STORE, 0x0010, b"ACR-NEMA 1.0", "has_data_set", True),
        (STORE, 0x0110, b"\1\0\0\0", "message_id", 1),
        (STORE, 0x0800, b"\0\0\0\0", "has_data_set", True),
        (FIND, 0x0600, b"\xff\n\\" * 9, "message_id", 1),
        (FIND, 0x1000, b"rubbish", "message_id", 1),
        (MOVE, 0x0600, b"R\xd6NTGEN", "move_destination", "R\xd6NTGEN"),
        (MOVE, 0x0600, b"EIGHTEEN_CHARACTER", "move_destination", "EIGHTEEN_CHARACTER"),
        (MOVE, 0x0600, b"A\\B", "move_destination", "A\\B"),
        (MOVE, 0x0600, b"    ", "move_destination", ""),
        (MOVE, 0x0600, b"", "move_destination", ""),
        (STORE_RSP, 0x0002, b"1.2.x", "affected_sop_class_uid", "1.2.x"),
        (STORE_RSP, 0x1000, b"1.2.3\xe2\x80\x8b", "affected_sop_instance_uid", r"1.2.3\xe2\x80\x8b"),
        (STORE_RSP, 0x1000, b"1.2" * 30, "affected_sop_instance_uid", "1.2" * 30),
        (STORE_RSP, 0x0902, b"\xe4" * 90, "error_comment", "\xe4" * 90),
        (STORE_RSP, 0x0901, b"\x08\0\x18\0\x08\0", "offending_element", (0x00080018,)),
        (STORE_RSP, 0x0901, b"\x08", "offending_element", ()),
        (STORE_RSP, 0x0903, b"\1\0\0", "error_id", None),
        (STORE_RSP, 0x0903, b"\1\0\0\0", "error_id", 1),
        (STORE_RSP, 0x0900, b"\0\0\0\0", "status", 0),
        (STORE_RSP, 0x0120, b"\1\0\0\0", "message_id_being_responded_to", 1),
        (STORE_RSP, 0x1030, b"\xff" * 18, "status", 0),
        (MOVE_RSP, 0x1020, b"\1\0\1\0", "number_of_remaining_suboperations", 65537),
        (MOVE_RSP, 0x1021, b"7", "number_of_completed_suboperations", None),
        (MOVE_RSP, 0x1022, b"\1\0\2\0\3\0", "number_of_failed_suboperations", None),
        (MOVE_RSP, 0x1023, b"", "number_of_warning_suboperations", None),
        (ACTION_RSP, 0x1008, b"\1", "action_type_id", None),
        (ACTION_RSP, 0x1000, b"x", "affected_sop_instance_uid", "x"),
    ],
)
def test_what_only_informs_may_be_malformed(
    whole: dict[int, Any], number: int, raw: bytes, keyword: str, value: object
) -> None:
    plain = decode_message(encode_command(whole), STRICT)
    for _ in range(2):  # the second time a shape or pattern may be known
        message = decode_message(with_element(whole, number, raw), LIMITS)
        assert type(message) is type(plain)
        assert getattr(message, keyword) == value
        assert decode_message(encode_command(whole), LIMITS) == plain
    for group in (0x0009, 0x0008):
        message = decode_message(with_element(whole, number, raw, group), LIMITS)
        assert type(message) is type(plain)


@pytest.mark.parametrize(
    ("whole", "number", "raw"),
    [
        (STORE, 0x0002, b"1.2.x"),
        (STORE, 0x1000, b"1.2.3\xe2\x80\x8b"),
        (STORE, 0x1000, b"1" * 66),
        (STORE, 0x0110, b"\1"),
        (STORE, 0x0110, b"\1\0\1\0"),
        (STORE, 0x0100, b"\1"),
        (STORE, 0x0800, b"\1"),
        (STORE_RSP, 0x0900, b"\0"),
        (STORE_RSP, 0x0120, b"\1\0\0"),
        (CREATE, 0x1000, b"1.x"),
        (GET, 0x1005, b"\x08\0\x18"),
        (GET, 0x1001, b"x"),
        (ACTION, 0x1008, b"\1"),
        (CANCEL, 0x0120, b"\1"),
    ],
)
def test_what_a_message_needs_must_be_right(whole: dict[int, Any], number: int, raw: bytes) -> None:
    for _ in range(2):
        assert f"(0000,{number:04X})" in refused(with_element(whole, number, raw))
        decode_message(encode_command(whole), LIMITS)


@pytest.mark.parametrize(
    ("whole", "number", "raw"),
    [
        (STORE, 0x1030, b"\xd6\xd6"),
        (STORE_RSP, 0x1000, b"1.x\0"),
        (FIND, 0x0600, b"\xd6\xd6"),
        (MOVE, 0x0600, b""),
    ],
)
def test_malformed_elements_may_be_refused(whole: dict[int, Any], number: int, raw: bytes) -> None:
    strict = Limits(tolerance=DEFAULT_TOLERANCE & ~Tolerance.MALFORMED_ELEMENT)
    decode_message(with_element(whole, number, raw), LIMITS)
    with pytest.raises(RemoteProtocolError, match=f"0000,{number:04X}"):
        decode_message(with_element(whole, number, raw), strict)


@pytest.mark.parametrize("raw", [b"", b"\0", b"\0\0"])
def test_an_empty_uid_is_a_missing_one(raw: bytes) -> None:
    data = encode_command({number: STORE[number] for number in STORE if number != 0x1000})
    assert "(0000,1000) affected_sop_instance_uid" in refused(
        data + struct.pack("<HHL", 0, 0x1000, len(raw)) + raw
    )


def test_an_unknown_command_field_is_refused() -> None:
    assert "unknown Command Field (0000,0100) 0x0999" in refused(encode_command({**ECHO, 0x0100: 0x0999}))
    assert "0x8999" in refused(encode_command({**ECHO_RSP, 0x0100: 0x8999}))
    assert "without Command Field" in refused(encode_command({}))
    # as short as a response that says its status only, which is read in a way of its own
    assert "0x8999" in refused(encode_command({**ECHO_RSP, 0x0100: 0x8999}))


def test_a_request_must_keep_to_its_data_set() -> None:
    assert "C-ECHO-RQ with a data set" in refused(encode_command({**ECHO, 0x0800: 1}))
    assert "C-STORE-RQ without the data set" in refused(encode_command({**STORE, 0x0800: 0x0101}))


@pytest.mark.parametrize("kind", [0x0000, 0x0001, 0x0100, 0x0102, 0xFEFE])
def test_every_type_but_0101_announces_a_data_set(kind: int) -> None:
    assert decode_message(encode_command({**STORE, 0x0800: kind}), STRICT).has_data_set


def test_responses_are_read_leniently() -> None:
    bare = decode_message(encode_command(ECHO_RSP), STRICT)
    assert bare == CEchoRSP(message_id_being_responded_to=1, status=0)
    announced = decode_message(encode_command({**ECHO_RSP, 0x0800: 0}), STRICT)
    assert announced == CEchoRSP(message_id_being_responded_to=1, status=0, has_data_set=True)


def test_elements_of_other_messages_are_passed_over() -> None:
    assert decode_message(encode_command({**ECHO, 0x0900: 0, 0x1021: 4}), STRICT) == CEchoRQ(
        message_id=1, affected_sop_class_uid=VERIFICATION
    )


def test_an_unknown_priority_is_medium() -> None:
    message = decode_message(encode_command({**STORE, 0x0700: 9}), STRICT)
    assert isinstance(message, CStoreRQ)
    assert message.priority is Priority.MEDIUM


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            CStoreRQ(message_id=1, affected_sop_class_uid=CT, affected_sop_instance_uid=""),
            "needs affected_sop_inst",
        ),
        (CEchoRQ(message_id=1, affected_sop_class_uid=""), "needs affected_sop_class_uid"),
        (CEchoRQ(message_id=1, affected_sop_class_uid=VERIFICATION, has_data_set=True), "must not have"),
        (CFindRQ(message_id=1, affected_sop_class_uid=CT, has_data_set=False), "must have"),
        (
            CStoreRSP(message_id_being_responded_to=1, status=0, has_data_set=True),
            "C-STORE-RSP with a data set",
        ),
        (CEchoRQ(message_id=65536, affected_sop_class_uid=VERIFICATION), "message_id"),
        (CEchoRSP(message_id_being_responded_to=1, status=0, error_comment="a\\b"), "error_comment"),
        (NSetRQ(message_id=1, requested_sop_class_uid=CT, requested_sop_instance_uid=""), "needs requested"),
        (CMoveRQ(message_id=1, affected_sop_class_uid=CT, move_destination=""), "needs move_destination"),
    ],
)
def test_what_cannot_be_sent(message: Message, words: str) -> None:
    with pytest.raises(LocalProtocolError, match=words):
        message.encode()


def test_an_empty_list_of_attributes_is_not_sent() -> None:
    message = NGetRQ(message_id=1, requested_sop_class_uid=CT, requested_sop_instance_uid="1.2")
    assert 0x1005 not in decode_command(message.encode(), STRICT)


def test_response_to_a_composite_request() -> None:
    request = CStoreRQ(message_id=5, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2.3")
    assert response_to(request, 0xA700, error_comment="disk\nfull " * 9) == CStoreRSP(
        message_id_being_responded_to=5,
        status=0xA700,
        affected_sop_class_uid=CT,
        affected_sop_instance_uid="1.2.3",
        error_comment=("disk full " * 9)[:64].strip(),
    )


def test_response_with_a_data_set_and_counters() -> None:
    find = CFindRQ(message_id=1, affected_sop_class_uid=CT)
    assert response_to(find, 0xFF00, has_data_set=True) == CFindRSP(
        message_id_being_responded_to=1, status=0xFF00, affected_sop_class_uid=CT, has_data_set=True
    )
    move = CMoveRQ(message_id=1, affected_sop_class_uid=CT, move_destination="A")
    response = response_to(move, 0xFF00, number_of_remaining_suboperations=0)
    assert isinstance(response, CMoveRSP)
    assert (response.number_of_remaining_suboperations, response.number_of_failed_suboperations) == (0, None)
    assert decode_message(response.encode(), STRICT) == response


def test_response_to_a_normalized_request() -> None:
    request = NActionRQ(
        message_id=2, requested_sop_class_uid=CT, requested_sop_instance_uid="1.2", action_type_id=3
    )
    assert response_to(request, 0) == NActionRSP(
        message_id_being_responded_to=2,
        status=0,
        affected_sop_class_uid=CT,
        affected_sop_instance_uid="1.2",
        action_type_id=3,
    )
    report = NEventReportRQ(
        message_id=2, affected_sop_class_uid=CT, affected_sop_instance_uid="1.2", event_type_id=4
    )
    answer = response_to(report, 0)
    assert isinstance(answer, NEventReportRSP)
    assert answer.event_type_id == 4


def test_the_scp_may_name_the_instance_it_created() -> None:
    request = NCreateRQ(message_id=2, affected_sop_class_uid=CT)
    assert response_to(request, 0).affected_sop_instance_uid == ""  # type: ignore[attr-defined]
    response = response_to(request, 0, affected_sop_instance_uid="1.9")
    assert response.affected_sop_instance_uid == "1.9"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "message",
    [CCancelRQ(message_id_being_responded_to=1), CEchoRSP(message_id_being_responded_to=1, status=0)],
)
def test_what_is_not_answered(message: Message) -> None:
    with pytest.raises(LocalProtocolError, match=f"{message.NAME} is not answered"):
        response_to(message, 0)


@pytest.mark.parametrize("request_type", REQUESTS, ids=by_name)
def test_every_request_can_be_answered(request_type: type[Message]) -> None:
    @given(strategy_of(request_type))
    def holds(request: Message) -> None:
        response = response_to(request, 0x0110, error_comment="no")
        assert type(response) in RESPONSES
        assert decode_message(response.encode(), STRICT) == response

    holds()


@pytest.mark.parametrize(
    ("expected", "statuses"),
    [
        (StatusClass.SUCCESS, [0x0000]),
        (StatusClass.WARNING, [0x0001, 0x0107, 0x0116, 0xB000, 0xB007, 0xBFFF]),
        (
            StatusClass.FAILURE,
            [
                *(0x0100, 0x0106, 0x0108, 0x0115, 0x0117, 0x01FF, 0x0200, 0x0211, 0x02FF),
                *(0xA000, 0xA700, 0xAFFF, 0xC000, 0xCFFF),
            ],
        ),
        (StatusClass.CANCEL, [0xFE00]),
        (StatusClass.PENDING, [0xFF00, 0xFF01]),
        (
            StatusClass.UNKNOWN,
            [0x0002, 0x00FF, 0x0300, 0x2200, 0x9999, 0xD000, 0xDEAD, 0xFE01, 0xFF02, 0xFFFF],
        ),
    ],
)
def test_status_classes(expected: StatusClass, statuses: list[int]) -> None:
    assert {status_class(status) for status in statuses} == {expected}


def test_c_get_rq_needs_an_identifier() -> None:
    assert CGetRQ(message_id=1, affected_sop_class_uid=CT).has_data_set


class TestRaiseForStatus:
    def test_a_success_or_a_warning_is_returned(self) -> None:
        for status in (0x0000, 0xB000, 0x0107, 0xFF00, 0xFE00):
            response = CStoreRSP(message_id_being_responded_to=1, status=status)
            assert response.raise_for_status() is response

    @pytest.mark.parametrize("status", [0xA700, 0x0110, 0xC123, 0x9999])
    def test_a_failure_says_what_it_is(self, status: int) -> None:
        response = CStoreRSP(
            message_id_being_responded_to=1,
            status=status,
            affected_sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
            error_comment="disk full",
        )
        with pytest.raises(StatusError, match=rf"^0x{status:04X} \(.+\): disk full$") as caught:
            response.raise_for_status()
        assert (caught.value.status, caught.value.comment) == (status, "disk full")

    def test_a_failure_of_storage_has_the_words_of_storage(self) -> None:
        response = CStoreRSP(
            message_id_being_responded_to=1,
            status=0xA700,
            affected_sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        )
        assert response.status_class is StatusClass.FAILURE
        with pytest.raises(StatusError, match=r"Refused: Out of Resources\)$"):
            response.raise_for_status()


@pytest.mark.parametrize(
    ("details", "text"),
    [
        ({}, ""),
        ({"error_comment": "no\x1b[1m\nrööm\u2028"}, r"no\x1b[1m\nrööm\u2028"),
        ({"offending_element": (0x00100010, 0x0020000D)}, "offending element (0010,0010), (0020,000D)"),
        ({"error_comment": "no", "error_id": 0}, "no; error ID 0"),
    ],
)
def test_details_of_a_status(details: dict[str, Any], text: str) -> None:
    response = CEchoRSP(message_id_being_responded_to=1, status=0x0110, **details)
    assert response.details == text
    with pytest.raises(StatusError) as caught:
        response.raise_for_status()
    assert str(caught.value) == f"0x0110 (Processing failure){': ' if text else ''}{text}"
    for name, default in (("offending_element", ()), ("error_id", None)):
        assert getattr(caught.value, name) == details.get(name, default)
