"""Items of A-ASSOCIATE PDUs: byte vectors of PS3.8 9.3 and PS3.7 D.3.3, malformed input, round trips."""

from __future__ import annotations

import string
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmnet.errors import LocalProtocolError, RemoteProtocolError
from dcmnet.limits import DEFAULT_TOLERANCE, Limits, Tolerance
from dcmnet.ul.items import (
    AsynchronousOperationsWindow,
    ContextResult,
    PresentationContextAC,
    PresentationContextRQ,
    RoleSelection,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityAC,
    UserIdentityRQ,
    UserInformation,
    encode_item,
    iterate_items,
)

LIMITS = Limits()
STRICT = Limits(tolerance=Tolerance.NONE)
VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT = "1.2.840.10008.1.2"

ITEM_CLASSES: tuple[Any, ...] = (
    PresentationContextRQ,
    PresentationContextAC,
    AsynchronousOperationsWindow,
    RoleSelection,
    SOPClassExtendedNegotiation,
    SOPClassCommonExtendedNegotiation,
    UserIdentityRQ,
    UserIdentityAC,
    UserInformation,
)

# Strategies, also for the tests of PDUs and of the reader.

_components = st.integers(0, 10**6).map(str)
uids = st.lists(_components, min_size=1, max_size=8).map(".".join)
context_ids = st.integers(0, 127).map(lambda n: 2 * n + 1)
uint16 = st.integers(0, 0xFFFF)
contexts_rq = st.builds(
    PresentationContextRQ, context_ids, uids, st.lists(uids, min_size=1, max_size=4).map(tuple)
)
contexts_ac = st.builds(PresentationContextAC, context_ids, st.sampled_from(ContextResult), uids)
roles = st.builds(RoleSelection, uids, st.booleans(), st.booleans())
extended = st.builds(SOPClassExtendedNegotiation, uids, st.binary(max_size=20))
common = st.builds(SOPClassCommonExtendedNegotiation, uids, uids, st.lists(uids, max_size=3).map(tuple))
identities = st.builds(
    UserIdentityRQ, st.integers(0, 255), st.binary(max_size=20), st.binary(max_size=20), st.booleans()
)
windows = st.builds(AsynchronousOperationsWindow, uint16, uint16)
version_names = st.text(string.ascii_letters + string.digits + "_.", max_size=16)
user_informations = st.builds(
    UserInformation,
    max_length=st.none() | st.integers(0, 0xFFFFFFFF),
    implementation_class_uid=st.just("") | uids,
    implementation_version_name=version_names,
    asynchronous_operations_window=st.none() | windows,
    role_selections=st.lists(roles, max_size=3).map(tuple),
    extended_negotiations=st.lists(extended, max_size=3).map(tuple),
    common_extended_negotiations=st.lists(common, max_size=3).map(tuple),
    user_identity=st.none() | identities | st.builds(UserIdentityAC, st.binary(max_size=20)),
)
items = st.one_of(
    contexts_rq,
    contexts_ac,
    windows,
    roles,
    extended,
    common,
    identities,
    st.builds(UserIdentityAC, st.binary()),
    user_informations,
)


def item(item_type: int, value: bytes, length: int | None = None) -> bytes:
    """An item, with a length that may be a lie."""
    return struct.pack(">BBH", item_type, 0, len(value) if length is None else length) + value


def field(value: bytes) -> bytes:
    return struct.pack(">H", len(value)) + value


def decode(cls: Any, encoded: bytes, limits: Limits = LIMITS) -> Any:
    """Decode an item of which only the value is looked at."""
    return cls.decode(memoryview(encoded)[4:], limits)


def user(*sub_items: bytes) -> bytes:
    return item(0x50, b"".join(sub_items))


def tolerating(flag: Tolerance) -> Limits:
    return Limits(tolerance=DEFAULT_TOLERANCE | flag)


def without(flag: Tolerance) -> Limits:
    return Limits(tolerance=DEFAULT_TOLERANCE & ~flag)


VECTORS = [
    (
        PresentationContextRQ(1, VERIFICATION, (IMPLICIT,)),
        b"\x20\x00\x00\x2e\x01\x00\x00\x00\x30\x00\x00\x111.2.840.10008.1.1\x40\x00\x00\x111.2.840.10008.1.2",
    ),
    (
        PresentationContextRQ(255, "1.2", ("3.4", "5.6")),
        b"\x20\x00\x00\x19\xff\x00\x00\x00\x30\x00\x00\x031.2\x40\x00\x00\x033.4\x40\x00\x00\x035.6",
    ),
    (
        PresentationContextAC(1, ContextResult.ACCEPTANCE, IMPLICIT),
        b"\x21\x00\x00\x19\x01\x00\x00\x00\x40\x00\x00\x111.2.840.10008.1.2",
    ),
    (PresentationContextAC(3, 4, "1.2"), b"\x21\x00\x00\x0b\x03\x00\x04\x00\x40\x00\x00\x031.2"),
    (PresentationContextAC(3, 3, ""), b"\x21\x00\x00\x08\x03\x00\x03\x00\x40\x00\x00\x00"),
    (AsynchronousOperationsWindow(5, 258), b"\x53\x00\x00\x04\x00\x05\x01\x02"),
    (RoleSelection("1.2", True, False), b"\x54\x00\x00\x07\x00\x031.2\x01\x00"),
    (SOPClassExtendedNegotiation("1.2", b"\x02\x00\x01"), b"\x56\x00\x00\x08\x00\x031.2\x02\x00\x01"),
    (
        SOPClassCommonExtendedNegotiation("1.2", "1.2.3", ("4.5", "6.78")),
        b"\x57\x00\x00\x19\x00\x031.2\x00\x051.2.3\x00\x0b\x00\x034.5\x00\x046.78",
    ),
    (
        SOPClassCommonExtendedNegotiation("1.2", "3.4"),
        b"\x57\x00\x00\x0c\x00\x031.2\x00\x033.4\x00\x00",
    ),
    (
        UserIdentityRQ(2, b"user", b"pass", True),
        b"\x58\x00\x00\x0e\x02\x01\x00\x04user\x00\x04pass",
    ),
    (UserIdentityAC(b"ok"), b"\x59\x00\x00\x04\x00\x02ok"),
    (UserInformation(), b"\x50\x00\x00\x00"),
    (
        UserInformation(
            max_length=16384,
            implementation_class_uid="1.2.3",
            implementation_version_name="VERSION_1",
            asynchronous_operations_window=AsynchronousOperationsWindow(1, 2),
            role_selections=(RoleSelection("1.2", False, True),),
            extended_negotiations=(SOPClassExtendedNegotiation("1.2", b""),),
            common_extended_negotiations=(SOPClassCommonExtendedNegotiation("1", "2"),),
            user_identity=UserIdentityRQ(1, b"u"),
        ),
        b"\x50\x00\x00\x51"
        b"\x51\x00\x00\x04\x00\x00\x40\x00"
        b"\x52\x00\x00\x051.2.3"
        b"\x53\x00\x00\x04\x00\x01\x00\x02"
        b"\x54\x00\x00\x07\x00\x031.2\x00\x01"
        b"\x55\x00\x00\x09VERSION_1"
        b"\x56\x00\x00\x05\x00\x031.2"
        b"\x57\x00\x00\x08\x00\x011\x00\x012\x00\x00"
        b"\x58\x00\x00\x07\x01\x00\x00\x01u\x00\x00",
    ),
    (
        UserInformation(max_length=0, user_identity=UserIdentityAC(b"")),
        b"\x50\x00\x00\x0e\x51\x00\x00\x04\x00\x00\x00\x00\x59\x00\x00\x02\x00\x00",
    ),
]


@pytest.mark.parametrize(("value", "encoded"), VECTORS)
def test_vectors(value: Any, encoded: bytes) -> None:
    assert value.encode() == encoded
    assert decode(type(value), encoded) == value
    assert decode(type(value), encoded, STRICT) == value


@given(items)
def test_round_trip(value: Any) -> None:
    encoded = value.encode()
    assert encoded[0] == value.ITEM_TYPE
    assert int.from_bytes(encoded[2:4], "big") == len(encoded) - 4
    assert decode(type(value), encoded) == value


@pytest.mark.parametrize("cls", ITEM_CLASSES)
@given(data=st.binary(max_size=80), limits=st.sampled_from((LIMITS, STRICT, tolerating(~Tolerance.NONE))))
def test_any_bytes_decode_or_are_refused(cls: Any, data: bytes, limits: Limits) -> None:
    try:
        cls.decode(memoryview(data), limits)
    except RemoteProtocolError as error:
        assert (error.source, error.reason) == (2, 6)


@given(items, st.data())
def test_damaged_items_decode_or_are_refused(value: Any, data: st.DataObject) -> None:
    encoded = bytearray(value.encode())
    position = data.draw(st.integers(0, len(encoded) - 1))
    encoded[position] = data.draw(st.integers(0, 255))
    try:
        decode(type(value), bytes(encoded))
    except RemoteProtocolError as error:
        assert (error.source, error.reason) == (2, 6)


@given(items, st.data())
def test_cut_items_decode_or_are_refused(value: Any, data: st.DataObject) -> None:
    encoded = value.encode()
    end = data.draw(st.integers(4, len(encoded)))
    try:
        decode(type(value), encoded[:end])
    except RemoteProtocolError as error:
        assert (error.source, error.reason) == (2, 6)


def test_items_are_walked_with_their_offsets() -> None:
    walked = list(iterate_items(memoryview(item(1, b"ab") + item(2, b"")), 100, "test"))
    assert [(kind, offset, bytes(value)) for kind, offset, value in walked] == [
        (1, 104, b"ab"),
        (2, 110, b""),
    ]


@pytest.mark.parametrize("length", [3, 1, 0x7FFF, 0xFFFC, 0xFFFD, 0xFFFE, 0xFFFF])
@pytest.mark.parametrize("item_type", [0x51, 0x54, 0x60, 0xFF])
def test_a_sub_item_longer_than_what_is_left(item_type: int, length: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"{item_type:02X}H at offset 4 claims {length} bytes"):
        decode(UserInformation, user(item(item_type, b"", length)))


@pytest.mark.parametrize("rest", [b"\0", b"\x51\0", b"\x51\0\0"])
def test_a_header_that_is_cut(rest: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="at offset 4, expected an item header of 4"):
        decode(UserInformation, user(rest))


# Presentation contexts


def context_rq(*sub_items: bytes, header: bytes = b"\x01\0\0\0") -> bytes:
    return item(0x20, header + b"".join(sub_items))


def context_ac(*sub_items: bytes, result: int = 0) -> bytes:
    return item(0x21, bytes((1, 0, result, 0)) + b"".join(sub_items))


ABSTRACT = item(0x30, b"1.2")
TRANSFER = item(0x40, b"3.4")


@pytest.mark.parametrize(
    ("encoded", "message"),
    [
        (item(0x20, b"\x01\0\0"), "item 20H: 3 bytes left at offset 4, expected 4"),
        (context_rq(), "expected an abstract syntax"),
        (context_rq(TRANSFER), "expected an abstract syntax"),
        (context_rq(ABSTRACT), "expected a transfer syntax"),
        (context_rq(ABSTRACT, ABSTRACT, TRANSFER), "expected an abstract syntax, there are 2"),
        (context_rq(ABSTRACT, item(0x40, b"")), "item 40H: b'' at offset 19, expected a UID"),
        (context_rq(item(0x30, b"1" * 65), TRANSFER), "item 30H"),
        (context_rq(item(0x30, b"1.x"), TRANSFER), "expected a UID"),
        (context_rq(item(0x30, b"1.\xb2"), TRANSFER), "expected a UID"),
        (context_rq(item(0x30, b"1.2\n"), TRANSFER), "expected a UID"),
        (context_rq(item(0x30, b"1.2", 4)), "claims 4 bytes, expected at most 3"),
        (context_rq(item(0x30, b"1.2", 2), TRANSFER), "claims"),
        (context_rq(ABSTRACT, TRANSFER, header=b"\x02\0\0\0"), "context 2 .*expected an odd id"),
        (context_rq(ABSTRACT, TRANSFER, header=b"\0\0\0\0"), "context 0 .*expected an odd id"),
    ],
)
def test_malformed_proposed_contexts(encoded: bytes, message: str) -> None:
    with pytest.raises(RemoteProtocolError, match=message):
        decode(
            PresentationContextRQ, encoded, without(Tolerance.MALFORMED_CONTEXT | Tolerance.EVEN_CONTEXT_ID)
        )


@pytest.mark.parametrize(
    ("encoded", "abstract_syntax", "transfer_syntaxes"),
    [
        (context_rq(), "", ()),
        (context_rq(TRANSFER), "", ("3.4",)),
        (context_rq(ABSTRACT), "1.2", ()),
        (context_rq(ABSTRACT, ABSTRACT, TRANSFER), "", ("3.4",)),
        (context_rq(ABSTRACT, item(0x40, b""), TRANSFER), "1.2", ("''", "3.4")),
        (context_rq(item(0x30, b""), TRANSFER), "''", ("3.4",)),
        (context_rq(item(0x30, b"\0 "), TRANSFER), r"'\x00 '", ("3.4",)),
        (context_rq(item(0x30, b"1" * 65), TRANSFER), f"'{'1' * 65}'", ("3.4",)),
        (context_rq(item(0x30, b"1" * 60000), TRANSFER), f"'{'1' * 68}'", ("3.4",)),
        (context_rq(item(0x30, b"1.x"), item(0x40, b"../a")), "'1.x'", ("'../a'",)),
        (context_rq(item(0x30, b"1.2\xe2\x80\x8b"), TRANSFER), r"'1.2\xe2\x80\x8b'", ("3.4",)),
        (context_rq(item(0x30, b"\xe2\x80\x8b1.2"), TRANSFER), r"'\xe2\x80\x8b1.2'", ("3.4",)),
        (context_rq(item(0x30, b" 1.2"), TRANSFER), "' 1.2'", ("3.4",)),
        (context_rq(item(0x30, b"1.2\n"), TRANSFER), r"'1.2\n'", ("3.4",)),
    ],
)
def test_a_context_that_cannot_be_served_is_kept_to_be_refused(
    encoded: bytes, abstract_syntax: str, transfer_syntaxes: tuple[str, ...]
) -> None:
    expected = PresentationContextRQ(1, abstract_syntax, transfer_syntaxes)
    assert decode(PresentationContextRQ, encoded) == expected
    with pytest.raises(RemoteProtocolError):
        decode(PresentationContextRQ, encoded, without(Tolerance.MALFORMED_CONTEXT))


def test_lengths_within_a_context_are_never_tolerated() -> None:
    with pytest.raises(RemoteProtocolError, match="claims 4 bytes"):
        decode(PresentationContextRQ, context_rq(item(0x30, b"1.2", 4)))
    with pytest.raises(RemoteProtocolError, match="3 bytes left"):
        decode(PresentationContextRQ, item(0x20, b"\x01\0\0"))


def test_unknown_sub_items_of_a_context_are_passed_over() -> None:
    encoded = context_rq(item(0x99, b"?"), ABSTRACT, item(0x41, b""), TRANSFER)
    assert decode(PresentationContextRQ, encoded) == PresentationContextRQ(1, "1.2", ("3.4",))


def test_the_number_of_transfer_syntaxes_is_limited() -> None:
    encoded = context_rq(ABSTRACT, TRANSFER * 128)
    assert len(decode(PresentationContextRQ, encoded).transfer_syntaxes) == 128
    with pytest.raises(RemoteProtocolError, match="at most 128 transfer syntaxes"):
        decode(PresentationContextRQ, context_rq(ABSTRACT, TRANSFER * 129))


@pytest.mark.parametrize("context_id", [0, 2, 254])
def test_an_even_id_is_tolerated(context_id: int) -> None:
    encoded = context_rq(ABSTRACT, TRANSFER, header=bytes((context_id, 0, 0, 0)))
    assert decode(PresentationContextRQ, encoded).context_id == context_id
    with pytest.raises(RemoteProtocolError, match="expected an odd id"):
        decode(PresentationContextRQ, encoded, without(Tolerance.EVEN_CONTEXT_ID))


@pytest.mark.parametrize("padding", [b"\0", b" ", b" \0\0"])
def test_a_padded_uid_may_be_tolerated(padding: bytes) -> None:
    encoded = context_rq(item(0x30, b"1.2" + padding), TRANSFER)
    assert decode(PresentationContextRQ, encoded).abstract_syntax == "1.2"
    with pytest.raises(RemoteProtocolError, match="expected a UID"):
        decode(PresentationContextRQ, encoded, STRICT)


@pytest.mark.parametrize("uid", [b"1.02", b"1..2", b".1", b"1."])
def test_a_nonconforming_uid_may_be_tolerated(uid: bytes) -> None:
    encoded = context_rq(item(0x30, uid), TRANSFER)
    assert decode(PresentationContextRQ, encoded).abstract_syntax == uid.decode()
    with pytest.raises(RemoteProtocolError, match="expected a UID"):
        decode(PresentationContextRQ, encoded, STRICT)


def test_uids_of_64_characters_and_of_65() -> None:
    longest = b"1." + b"2" * 62
    found = decode(PresentationContextRQ, context_rq(item(0x30, longest), TRANSFER), STRICT)
    assert found.abstract_syntax == longest.decode()
    with pytest.raises(RemoteProtocolError, match="expected a UID"):
        decode(PresentationContextRQ, context_rq(item(0x30, longest + b"2"), TRANSFER), STRICT)


@pytest.mark.parametrize(
    ("encoded", "message"),
    [
        (item(0x21, b"\x01\0\0"), "3 bytes left"),
        (context_ac(), "expected one transfer syntax, there are 0"),
        (context_ac(item(0x30, b"1.2")), "there are 0"),
        (context_ac(TRANSFER, TRANSFER), "there are 2"),
        (context_ac(item(0x40, b"")), "expected a UID"),
        (context_ac(item(0x40, b"1.2", 4)), "claims 4 bytes"),
    ],
)
def test_malformed_accepted_contexts(encoded: bytes, message: str) -> None:
    with pytest.raises(RemoteProtocolError, match=message):
        decode(PresentationContextAC, encoded, without(Tolerance.MALFORMED_CONTEXT))


@pytest.mark.parametrize(
    ("encoded", "transfer_syntax"),
    [
        (context_ac(), ""),
        (context_ac(item(0x30, b"1.2")), ""),
        (context_ac(TRANSFER, TRANSFER), ""),
        (context_ac(item(0x40, b"")), "''"),
        (context_ac(item(0x40, b"1.2\xe2\x80\x8b")), r"'1.2\xe2\x80\x8b'"),
        (context_ac(item(0x40, b"3.4\0")), "3.4"),
    ],
)
def test_an_acceptance_without_a_transfer_syntax_is_kept(encoded: bytes, transfer_syntax: str) -> None:
    assert decode(PresentationContextAC, encoded) == PresentationContextAC(1, 0, transfer_syntax)


@pytest.mark.parametrize("rest", [b"", item(0x40, b""), item(0x40, b"junk"), b"\x40\0\xff\xff", b"\x40"])
def test_the_transfer_syntax_of_a_refused_context_is_not_tested(rest: bytes) -> None:
    assert decode(PresentationContextAC, context_ac(rest, result=9)) == PresentationContextAC(1, 9, "")


@pytest.mark.parametrize(
    "value",
    [
        PresentationContextRQ(0, "1.2", ("1.2",)),
        PresentationContextRQ(2, "1.2", ("1.2",)),
        PresentationContextRQ(257, "1.2", ("1.2",)),
        PresentationContextRQ(-1, "1.2", ("1.2",)),
        PresentationContextRQ(1, "", ("1.2",)),
        PresentationContextRQ(1, "1.2", ()),
        PresentationContextRQ(1, "1.2", ("1" * 65,)),
        PresentationContextRQ(1, "1.2", ("1.٢",)),
        PresentationContextAC(256, 0, "1.2"),
        PresentationContextAC(1, 256, "1.2"),
        PresentationContextAC(1, 0, ""),
        PresentationContextAC(1, 3, "x"),
        AsynchronousOperationsWindow(65536, 1),
        AsynchronousOperationsWindow(1, -1),
        RoleSelection("", True, True),
        SOPClassExtendedNegotiation("1.2", bytes(65535)),
        SOPClassCommonExtendedNegotiation("1.2", "", ()),
        SOPClassCommonExtendedNegotiation("1.2", "1.2", ("1" * 64,) * 1000),
        UserIdentityRQ(256, b""),
        UserIdentityRQ(1, bytes(65536)),
        UserIdentityRQ(2, b"", bytes(65536)),
        UserIdentityRQ(2, bytes(40000), bytes(40000)),
        UserIdentityAC(bytes(65534)),
        UserInformation(max_length=1 << 32),
        UserInformation(max_length=-1),
        UserInformation(implementation_class_uid="x"),
        UserInformation(implementation_version_name="x" * 17),
        UserInformation(implementation_version_name="tab\t"),
        UserInformation(implementation_version_name="é"),
        UserInformation(role_selections=(RoleSelection("1" * 60, True, True),) * 1000),
    ],
)
def test_what_the_wire_cannot_carry_is_not_encoded(value: Any) -> None:
    with pytest.raises(LocalProtocolError):
        value.encode()


def test_the_longest_item() -> None:
    assert len(encode_item(0x59, bytes(65535))) == 65539


# User information


@pytest.mark.parametrize("length", [0, 1, 2, 3, 5, 8])
def test_a_maximum_length_that_does_not_have_four_bytes(length: int) -> None:
    encoded = user(item(0x51, bytes(length)), item(0x52, b"1.2"))
    with pytest.raises(RemoteProtocolError, match=f"51H at offset 4: a length of {length}, expected 4"):
        decode(UserInformation, encoded, without(Tolerance.BAD_MAXIMUM_LENGTH))
    assert decode(UserInformation, encoded) == UserInformation(implementation_class_uid="1.2")
    good = item(0x51, b"\0\0\x40\0")
    assert decode(UserInformation, user(good, item(0x51, bytes(length)))).max_length == 16384


@pytest.mark.parametrize(
    "sub_item",
    [
        item(0x53, bytes(3)),
        item(0x53, bytes(5)),
        item(0x54, b""),
        item(0x54, b"\0"),
        item(0x54, field(b"1.2")),
        item(0x54, field(b"1.2") + b"\0"),
        item(0x54, field(b"1.2") + b"\0\0\0"),
        item(0x54, field(b"") + b"\0\0"),
        item(0x54, b"\xff\xff1.2\0\0"),
        item(0x54, b"\x00\x061.2\0\0"),
        item(0x56, b""),
        item(0x56, b"\0\x041.2"),
        item(0x56, field(b"x")),
        item(0x57, field(b"1.2")),
        item(0x57, field(b"1.2") + field(b"1.2")),
        item(0x57, field(b"1.2") + field(b"1.2") + b"\0\x05"),
        item(0x57, field(b"1.2") + field(b"1.2") + field(b"\0")),
        item(0x57, field(b"1.2") + field(b"1.2") + field(b"\0\0")),
        item(0x57, field(b"1.2") + field(b"1.2") + field(b"\0\x031") + b"23"),
        item(0x58, b""),
        item(0x58, b"\x01"),
        item(0x58, b"\x01\0\0"),
        item(0x58, b"\x01\0\0\x01u"),
        item(0x58, b"\x01\0\xff\xffu\0\0"),
        item(0x58, b"\x01\0\0\x01u\0\x01"),
        item(0x58, b"\x01\0\0\x01u\0\0?"),
        item(0x59, b"\0"),
        item(0x59, b"\0\x03ok"),
        item(0x59, b"\0\x01ok"),
        item(0x52, b"x"),
        item(0x52, b"1" * 65),
    ],
)
def test_malformed_sub_items(sub_item: bytes) -> None:
    encoded = user(item(0x60, b"?"), sub_item, item(0x51, b"\0\0\0\x0e"))
    with pytest.raises(RemoteProtocolError, match=f"item {sub_item[0]:02X}H") as raised:
        decode(UserInformation, encoded, without(Tolerance.MALFORMED_ITEM))
    assert (raised.value.source, raised.value.reason) == (2, 6)
    assert "offset" in str(raised.value)
    if sub_item[0] == UserIdentityRQ.ITEM_TYPE:
        with pytest.raises(RemoteProtocolError, match="item 58H"):
            decode(UserInformation, encoded)
    else:
        found = decode(UserInformation, encoded)
        kept = found.implementation_class_uid
        assert kept == ("" if sub_item[0] != 0x52 else sub_item[4:].decode())
        assert found == UserInformation(max_length=14, implementation_class_uid=kept)


def test_of_roles_only_the_malformed_one_is_passed_over() -> None:
    good, bad = RoleSelection("1.2", False, True), item(0x54, field(b"1.2\xe2\x80\x8b") + b"\1\1")
    assert decode(UserInformation, user(bad, good.encode(), bad)).role_selections == (good,)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"dcm4che", "dcm4che"),
        (b"1.2.\xe2\x80\x8b", r"1.2.\xe2\x80\x8b"),
        (b"\x1b[0m\n", r"\x1b[0m\n"),
        (b"\0", r"\x00"),
        (b"1" * 1000, "1" * 68),
        (b"1.2\0", "1.2"),
    ],
)
def test_an_implementation_class_uid_that_is_none_is_shown(raw: bytes, shown: str) -> None:
    assert decode(UserInformation, user(item(0x52, raw))).implementation_class_uid == shown


def test_unknown_sub_items_are_passed_over() -> None:
    encoded = user(item(0x60, b"junk"), item(0x51, b"\0\0\0\x0e"), item(0xFF, b""))
    assert decode(UserInformation, encoded) == UserInformation(max_length=14)


def test_of_repeated_single_sub_items_the_last_counts() -> None:
    one, two = UserIdentityRQ(1, b"one").encode(), UserIdentityRQ(1, b"two").encode()
    encoded = user(item(0x51, bytes(4)), one, item(0x51, b"\0\0\0\x0e"), two)
    assert decode(UserInformation, encoded) == UserInformation(
        max_length=14, user_identity=UserIdentityRQ(1, b"two")
    )


def test_the_number_of_sub_items_is_limited() -> None:
    role = RoleSelection("1.2", True, True)
    assert decode(UserInformation, user(role.encode() * 1024)).role_selections == (role,) * 1024
    with pytest.raises(RemoteProtocolError, match="at most 1024 sub-items"):
        decode(UserInformation, user(item(0x60, b"") * 1025))


def test_the_number_of_related_sop_classes_is_limited() -> None:
    negotiation = SOPClassCommonExtendedNegotiation("1.2", "3.4", ("5.6",) * 3)
    assert decode(SOPClassCommonExtendedNegotiation, negotiation.encode(), Limits(max_user_items=3))
    with pytest.raises(RemoteProtocolError, match="at most 2 SOP classes"):
        decode(SOPClassCommonExtendedNegotiation, negotiation.encode(), Limits(max_user_items=2))


def test_a_later_version_of_common_extended_negotiation() -> None:
    negotiation = SOPClassCommonExtendedNegotiation("1.2", "3.4", ("5.6",))
    encoded = item(0x57, negotiation.encode()[4:] + b"new field")
    assert decode(SOPClassCommonExtendedNegotiation, encoded) == negotiation


def test_an_empty_implementation_class_uid_is_a_missing_one() -> None:
    assert decode(UserInformation, user(item(0x52, b""))) == UserInformation()
    with pytest.raises(RemoteProtocolError, match="52H"):
        decode(UserInformation, user(item(0x52, b"")), STRICT)


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"NAME \0", "NAME"),
        (b"", ""),
        (b"A\nB\x1b[0m\xff", "A?B?[0m?"),
        (b"0123456789ABCDEFGHI", "0123456789ABCDEF"),
    ],
)
def test_a_version_name_is_made_safe_to_show(raw: bytes, name: str) -> None:
    assert decode(UserInformation, user(item(0x55, raw))).implementation_version_name == name


def test_role_bytes_other_than_0_mean_support() -> None:
    assert decode(RoleSelection, item(0x54, field(b"1.2") + b"\xff\0")) == RoleSelection("1.2", True, False)


def test_identities_are_never_shown() -> None:
    shown = repr(
        [UserInformation(user_identity=UserIdentityRQ(2, b"jane", b"secret", True)), UserIdentityAC(b"token")]
    )
    for hidden in ("jane", "secret", "token"):
        assert hidden not in shown
    assert "primary_field=<4 bytes>" in shown
    assert "secondary_field=<6 bytes>" in shown
    assert "server_response=<5 bytes>" in shown


def test_items_keep_no_view_of_the_buffer() -> None:
    buffer = bytearray(
        user(SOPClassExtendedNegotiation("1.2", b"abc").encode(), UserIdentityRQ(1, b"u").encode())
    )
    decoded = UserInformation.decode(memoryview(buffer)[4:], LIMITS)
    buffer[:] = bytes(len(buffer))
    assert decoded.extended_negotiations[0].application_information == b"abc"
    assert decoded.user_identity == UserIdentityRQ(1, b"u")
