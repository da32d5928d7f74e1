"""The seven PDUs: byte vectors of PS3.8 9.3, malformed input, round trips."""

from __future__ import annotations

import string
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmnet.errors import LocalProtocolError, RemoteProtocolError
from dcmnet.limits import DEFAULT_TOLERANCE, MAX_ASSOCIATE_PDU_LENGTH, Limits, Tolerance
from dcmnet.payload import FileRange
from dcmnet.ul.fields import encode_ae_title
from dcmnet.ul.items import PresentationContextAC, PresentationContextRQ, UserIdentityRQ, UserInformation
from dcmnet.ul.pdu import (
    APPLICATION_CONTEXT_NAME,
    PDV,
    AAbort,
    AAssociateAC,
    AAssociateRJ,
    AAssociateRQ,
    AReleaseRP,
    AReleaseRQ,
    PDataTF,
    pdata_header,
)
from tests.unit.test_items import contexts_ac, contexts_rq, item, uids, uint16, user_informations

LIMITS = Limits()
STRICT = Limits(tolerance=Tolerance.NONE)

PDU_CLASSES: tuple[Any, ...] = (
    AAssociateRQ,
    AAssociateAC,
    AAssociateRJ,
    PDataTF,
    AReleaseRQ,
    AReleaseRP,
    AAbort,
)

# Strategies, also for the tests of the reader.

_letters = string.ascii_letters + string.digits + "_-.[]^~"
ae_titles = st.builds(
    lambda first, middle, last: first + middle + last,
    st.sampled_from(_letters),
    st.text(_letters + " ", max_size=14),
    st.sampled_from(_letters),
)


def _contexts(one: st.SearchStrategy[Any], smallest: int) -> st.SearchStrategy[tuple[Any, ...]]:
    many = st.lists(one, min_size=smallest, max_size=4, unique_by=lambda context: context.context_id)
    return many.map(tuple)


def _associates(cls: Any, contexts: st.SearchStrategy[tuple[Any, ...]]) -> st.SearchStrategy[Any]:
    return st.builds(
        cls,
        called_ae_title=ae_titles,
        calling_ae_title=ae_titles,
        presentation_contexts=contexts,
        user_information=user_informations,
        application_context_name=uids,
        protocol_version=uint16,
        reserved=st.binary(min_size=32, max_size=32),
    )


_bytes = st.integers(0, 255)
_even = st.binary(max_size=20).map(lambda data: data[: len(data) // 2 * 2])
pdvs = st.builds(PDV, _bytes, st.booleans(), st.booleans(), _even)
pdatas = st.builds(PDataTF, st.lists(pdvs, min_size=1, max_size=4).map(tuple))
pdus = st.one_of(
    _associates(AAssociateRQ, _contexts(contexts_rq, 1)),
    _associates(AAssociateAC, _contexts(contexts_ac, 0)),
    st.builds(AAssociateRJ, _bytes, _bytes, _bytes),
    pdatas,
    st.just(AReleaseRQ()),
    st.just(AReleaseRP()),
    st.builds(AAbort, _bytes, _bytes),
)


def decode(cls: Any, encoded: bytes, limits: Limits = LIMITS) -> Any:
    """Decode a PDU of which only the body is looked at."""
    return cls.decode(memoryview(encoded)[6:], limits)


def associate(
    *items: bytes,
    pdu_type: int = 1,
    called: bytes = b"CALLED".ljust(16),
    calling: bytes = b"CALLING".ljust(16),
    version: int = 1,
) -> bytes:
    body = struct.pack(">HH", version, 0) + called + calling + bytes(32) + b"".join(items)
    return struct.pack(">BBI", pdu_type, 0, len(body)) + body


APPLICATION_CONTEXT = item(0x10, APPLICATION_CONTEXT_NAME.encode())
CONTEXT_RQ = PresentationContextRQ(1, "1.2", ("3.4",))
CONTEXT_AC = PresentationContextAC(1, 0, "3.4")
CLASS_UID = item(0x50, item(0x52, b"1.2.3"))

RQ_BYTES = (
    b"\x01\x00\x00\x00\x00\x80"
    b"\x00\x01\x00\x00"
    b"ARCHIVE         "
    b"MODALITY 1      " + bytes(32) + b"\x10\x00\x00\x151.2.840.10008.3.1.1.1"
    b"\x20\x00\x00\x12\x01\x00\x00\x00\x30\x00\x00\x031.2\x40\x00\x00\x033.4"
    b"\x50\x00\x00\x09\x52\x00\x00\x051.2.3"
)
AC_BYTES = (
    b"\x02\x00\x00\x00\x00\x79"
    b"\x00\x01\x00\x00"
    b"ARCHIVE         "
    b"MODALITY 1      " + bytes(32) + b"\x10\x00\x00\x151.2.840.10008.3.1.1.1"
    b"\x21\x00\x00\x0b\x01\x00\x00\x00\x40\x00\x00\x033.4"
    b"\x50\x00\x00\x09\x52\x00\x00\x051.2.3"
)
USER = UserInformation(implementation_class_uid="1.2.3")

VECTORS = [
    (AAssociateRQ("ARCHIVE", "MODALITY 1", (CONTEXT_RQ,), USER), RQ_BYTES),
    (AAssociateAC("ARCHIVE", "MODALITY 1", (CONTEXT_AC,), USER), AC_BYTES),
    (AAssociateRJ(1, 2, 3), b"\x03\x00\x00\x00\x00\x04\x00\x01\x02\x03"),
    (PDataTF((PDV(1, True, True, b"ab"),)), b"\x04\x00\x00\x00\x00\x08\x00\x00\x00\x04\x01\x03ab"),
    (PDataTF((PDV(255, False, True, b""),)), b"\x04\x00\x00\x00\x00\x06\x00\x00\x00\x02\xff\x02"),
    (
        PDataTF((PDV(3, True, False, b"ab"), PDV(3, False, False, b"cdef"))),
        b"\x04\x00\x00\x00\x00\x12\x00\x00\x00\x04\x03\x01ab\x00\x00\x00\x06\x03\x00cdef",
    ),
    (AReleaseRQ(), b"\x05\x00\x00\x00\x00\x04\x00\x00\x00\x00"),
    (AReleaseRP(), b"\x06\x00\x00\x00\x00\x04\x00\x00\x00\x00"),
    (AAbort(2, 6), b"\x07\x00\x00\x00\x00\x04\x00\x00\x02\x06"),
    (AAbort(), b"\x07\x00\x00\x00\x00\x04\x00\x00\x00\x00"),
]


@pytest.mark.parametrize(("pdu", "encoded"), VECTORS)
def test_vectors(pdu: Any, encoded: bytes) -> None:
    assert pdu.encode() == encoded
    assert decode(type(pdu), encoded) == pdu
    assert decode(type(pdu), encoded, STRICT) == pdu


@given(pdus)
def test_round_trip(pdu: Any) -> None:
    encoded = pdu.encode()
    assert encoded[0] == pdu.PDU_TYPE
    assert int.from_bytes(encoded[2:6], "big") == len(encoded) - 6
    assert decode(type(pdu), encoded) == pdu


@pytest.mark.parametrize("cls", PDU_CLASSES)
@given(head=st.sampled_from((b"", RQ_BYTES[6:74])), data=st.binary(max_size=120))
def test_any_bytes_decode_or_are_refused(cls: Any, head: bytes, data: bytes) -> None:
    for limits in (LIMITS, STRICT):
        try:
            cls.decode(memoryview(head + data), limits)
        except RemoteProtocolError as error:
            assert (error.source, error.reason) == (2, 6)


@given(pdus, st.data())
def test_damaged_pdus_decode_or_are_refused(pdu: Any, data: st.DataObject) -> None:
    encoded = bytearray(pdu.encode())
    position = data.draw(st.integers(6, len(encoded) - 1))
    encoded[position] = data.draw(_bytes)
    end = data.draw(st.just(len(encoded)) | st.integers(6, len(encoded)))
    try:
        decode(type(pdu), bytes(encoded[:end]))
    except RemoteProtocolError as error:
        assert (error.source, error.reason) == (2, 6)


# A-ASSOCIATE


@pytest.mark.parametrize(
    "title", ["A", "0123456789ABCDEF", "  spaces inside  ", "!\"#$%&'()*+,-./", "[]^_`{|}~"]
)
def test_good_ae_titles(title: str) -> None:
    encoded = encode_ae_title(title, "called")
    assert encoded == title.strip().encode().ljust(16)


@pytest.mark.parametrize("title", ["", "   ", "0123456789ABCDEFG", "a\\b", "a\nb", "\0", "\x7f", "é", "AE\t"])
def test_bad_ae_titles_are_not_sent(title: str) -> None:
    with pytest.raises(LocalProtocolError, match="called AE title"):
        AAssociateRQ(title, "CALLING", (CONTEXT_RQ,), USER).encode()
    with pytest.raises(LocalProtocolError, match="calling AE title"):
        AAssociateRQ("CALLED", title, (CONTEXT_RQ,), USER).encode()


@pytest.mark.parametrize(
    "raw",
    [
        b"A\nB".ljust(16),
        b"A".ljust(16, b"\0"),
        b"A\x7f".ljust(16),
        b"\xc3\xa9".ljust(16),
        b"\x1b[0m".ljust(16),
    ],
)
def test_bad_ae_titles_may_be_refused(raw: bytes) -> None:
    items = APPLICATION_CONTEXT, CONTEXT_RQ.encode(), CLASS_UID
    with pytest.raises(RemoteProtocolError, match="called AE title"):
        decode(AAssociateRQ, associate(*items, called=raw), STRICT)
    with pytest.raises(RemoteProtocolError, match="calling AE title"):
        decode(AAssociateRQ, associate(*items, calling=raw), STRICT)


@pytest.mark.parametrize(
    ("raw", "title"),
    [
        (b"STORESCP\0\0\0\0\0\0\0\0", "STORESCP"),
        (b"STORESCP \0 \0 \0 \0", "STORESCP"),
        (b"\0\0A B", "A B"),
        (b"A\tB", "A\tB"),
        (b"R\xd6NTGEN", "R\xd6NTGEN"),
        (b"\xc3\xa9", "\xc3\xa9"),
        (b"A\\B", "A\\B"),
        (b"A\0B", "A\0B"),
        (b"\x1b[0m\n", "\x1b[0m\n"),
        (b"\0" * 16, ""),
        (b"  A B", "A B"),
    ],
)
def test_titles_that_are_none_are_kept_and_echoed_byte_for_byte(raw: bytes, title: str) -> None:
    raw = raw.ljust(16)
    encoded = associate(APPLICATION_CONTEXT, CONTEXT_RQ.encode(), CLASS_UID, called=raw, calling=raw)
    rq = decode(AAssociateRQ, encoded)
    assert (rq.called_ae_title, rq.calling_ae_title) == (title, title)
    # PS3.8 Table 9-17: identical to what came in the A-ASSOCIATE-RQ.
    ac = AAssociateAC(title, title, (CONTEXT_AC,), USER, ae_title_fields=rq.ae_title_fields)
    assert ac.encode()[10:42] == raw + raw


def test_spaces_around_ae_titles_do_not_count() -> None:
    encoded = associate(
        CONTEXT_RQ.encode(), called=b"  A B           ", calling=bytes(16).replace(b"\0", b" ")
    )
    rq = decode(AAssociateRQ, encoded)
    assert (rq.called_ae_title, rq.calling_ae_title) == ("A B", "")


def test_the_titles_of_an_ac_are_not_tested() -> None:
    encoded = associate(
        APPLICATION_CONTEXT, CONTEXT_AC.encode(), pdu_type=2, called=b"\0\xff\n".ljust(16), calling=b" " * 16
    )
    ac = decode(AAssociateAC, encoded)
    assert (ac.called_ae_title, ac.calling_ae_title) == ("\0\xff\n", "")
    assert ac.encode()[10:42] == encoded[10:42]
    with pytest.raises(LocalProtocolError, match="at most 16"):
        AAssociateAC("A" * 17, "B", (), USER).encode()


def test_absent_items() -> None:
    rq = decode(AAssociateRQ, associate(CONTEXT_RQ.encode(), version=0x8002))
    assert rq.application_context_name == ""
    assert rq.user_information == UserInformation()
    assert rq.protocol_version == 0x8002
    assert (
        decode(AAssociateRQ, associate(item(0x10, b""), CONTEXT_RQ.encode())).application_context_name == ""
    )
    ac = decode(AAssociateAC, associate(pdu_type=2))
    assert (ac.application_context_name, ac.presentation_contexts) == ("", ())


def test_of_repeated_single_items_the_last_counts() -> None:
    other = item(0x50, item(0x52, b"9.9"))
    encoded = associate(item(0x10, b"1"), other, APPLICATION_CONTEXT, CONTEXT_RQ.encode(), CLASS_UID)
    rq = decode(AAssociateRQ, encoded)
    assert rq.application_context_name == APPLICATION_CONTEXT_NAME
    assert rq.user_information == USER


def test_unknown_items_are_passed_over() -> None:
    encoded = associate(
        item(0x11, b"?"), APPLICATION_CONTEXT, CONTEXT_RQ.encode(), item(0xFF, b""), CLASS_UID
    )
    assert decode(AAssociateRQ, encoded).presentation_contexts == (CONTEXT_RQ,)
    # An item of the other kind of PDU is unknown too.
    encoded = associate(CONTEXT_RQ.encode(), CONTEXT_AC.encode(), pdu_type=2)
    assert decode(AAssociateAC, encoded).presentation_contexts == (CONTEXT_AC,)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "0 bytes, expected at least 68"),
        (RQ_BYTES[6:73], "67 bytes, expected at least 68"),
        (RQ_BYTES[6:74], "at least one presentation context"),
        (RQ_BYTES[6:] + b"\x10", "1 bytes left at offset 134"),
        (RQ_BYTES[6:74] + b"\x10\0\xff\xff", "item 10H at offset 74 claims 65535 bytes, expected at most 0"),
        (RQ_BYTES[6:74] + item(0x20, b"", 46), "claims 46 bytes"),
    ],
)
def test_malformed_requests(body: bytes, message: str) -> None:
    with pytest.raises(RemoteProtocolError, match=message):
        AAssociateRQ.decode(memoryview(body), LIMITS)


@pytest.mark.parametrize("pdu_type", [1, 2])
def test_an_id_that_comes_twice(pdu_type: int) -> None:
    cls: Any = (AAssociateRQ, AAssociateAC)[pdu_type - 1]
    first: Any = (CONTEXT_RQ, CONTEXT_AC)[pdu_type - 1]
    second: Any = (PresentationContextRQ(1, "5", ("6",)), PresentationContextAC(1, 0, "6"))[pdu_type - 1]
    encoded = associate(first.encode(), second.encode(), pdu_type=pdu_type)
    assert decode(cls, encoded).presentation_contexts == (first,)
    with pytest.raises(RemoteProtocolError, match="id 1 comes twice"):
        decode(cls, encoded, Limits(tolerance=DEFAULT_TOLERANCE & ~Tolerance.DUPLICATE_CONTEXT_ID))


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (APPLICATION_CONTEXT_NAME.encode() + b"\0", APPLICATION_CONTEXT_NAME),
        (APPLICATION_CONTEXT_NAME.encode() + b"  ", APPLICATION_CONTEXT_NAME),
        (b"DICOM", "'DICOM'"),
        (b"\x1b\xe2\n", r"'\x1b\xe2\n'"),
        (b"1" * 70, "'" + "1" * 68 + "'"),
    ],
)
def test_an_application_context_name_that_is_none_is_kept(raw: bytes, name: str) -> None:
    encoded = associate(item(0x10, raw), CONTEXT_RQ.encode(), CLASS_UID)
    assert decode(AAssociateRQ, encoded).application_context_name == name
    if name != APPLICATION_CONTEXT_NAME:
        with pytest.raises(RemoteProtocolError, match="item 10H"):
            decode(AAssociateRQ, encoded, Limits(tolerance=DEFAULT_TOLERANCE & ~Tolerance.MALFORMED_ITEM))


def test_the_number_of_contexts_is_limited() -> None:
    contexts = tuple(PresentationContextRQ(2 * n + 1, "1.2", ("3.4",)) for n in range(128))
    encoded = AAssociateRQ("A", "B", contexts, USER).encode()
    assert len(decode(AAssociateRQ, encoded).presentation_contexts) == 128
    with pytest.raises(RemoteProtocolError, match="at most 127 presentation contexts"):
        decode(AAssociateRQ, encoded, Limits(max_presentation_contexts=127))
    with pytest.raises(LocalProtocolError, match="129 presentation contexts"):
        AAssociateRQ("A", "B", (*contexts, CONTEXT_RQ), USER).encode()
    with pytest.raises(LocalProtocolError, match="at least one presentation context"):
        AAssociateRQ("A", "B", (), USER).encode()


@pytest.mark.parametrize("pdu_type", [1, 2])
def test_a_missing_implementation_class_uid(pdu_type: int) -> None:
    cls: Any = (AAssociateRQ, AAssociateAC)[pdu_type - 1]
    context: Any = (CONTEXT_RQ, CONTEXT_AC)[pdu_type - 1]
    encoded = associate(context.encode(), item(0x50, item(0x51, bytes(4))), pdu_type=pdu_type)
    assert decode(cls, encoded).user_information == UserInformation(max_length=0)
    with pytest.raises(RemoteProtocolError, match="52H"):
        decode(cls, encoded, STRICT)


@pytest.mark.parametrize(
    "changes",
    [
        {"application_context_name": ""},
        {"protocol_version": 0x10000},
        {"protocol_version": -1},
        {"reserved": bytes(31)},
        {"user_information": UserInformation(user_identity=UserIdentityRQ(1, bytes(65536)))},
    ],
)
def test_what_the_wire_cannot_carry_is_not_encoded(changes: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {
        "called_ae_title": "A",
        "calling_ae_title": "B",
        "presentation_contexts": (CONTEXT_RQ,),
        "user_information": USER,
    }
    with pytest.raises(LocalProtocolError):
        AAssociateRQ(**arguments | changes).encode()


def test_an_associate_pdu_that_is_too_long_is_not_encoded() -> None:
    syntaxes = tuple(f"1.2.{n:060d}" for n in range(128))
    contexts = tuple(PresentationContextRQ(2 * n + 1, "1.2", syntaxes) for n in range(128))
    with pytest.raises(LocalProtocolError, match=f"at most {MAX_ASSOCIATE_PDU_LENGTH}"):
        AAssociateRQ("A", "B", contexts, USER).encode()


def test_the_reserved_field_can_be_sent_back() -> None:
    encoded = bytearray(RQ_BYTES)
    encoded[42:74] = bytes(range(32))
    rq = decode(AAssociateRQ, bytes(encoded))
    ac = AAssociateAC("A", "B", (CONTEXT_AC,), USER, reserved=rq.reserved)
    assert ac.encode()[42:74] == bytes(range(32))


# P-DATA-TF


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "0 bytes left, expected a PDV"),
        (b"\0\0\0\x02\x01", "5 bytes left, expected a PDV"),
        (b"\0\0\0\x02\x01\0\0", "1 bytes left, expected a PDV"),
        (b"\0\0\0\0\x01\0", "claims 0 bytes, expected 2 to 2"),
        (b"\0\0\0\x01\x01\0", "claims 1 bytes"),
        (b"\0\0\0\x04\x01\0\0", "claims 4 bytes, expected 2 to 3"),
        (b"\xff\xff\xff\xfc\x01\0", "claims 4294967292 bytes"),
        (b"\xff\xff\xff\xff\x01\0", "claims 4294967295 bytes"),
    ],
)
def test_malformed_pdvs(body: bytes, message: str) -> None:
    with pytest.raises(RemoteProtocolError, match=message):
        PDataTF.decode(memoryview(body), LIMITS)


@pytest.mark.parametrize(("control", "kind"), [(2, "data set"), (3, "command")])
def test_an_odd_fragment_may_be_tolerated(control: int, kind: str) -> None:
    body = memoryview(b"\0\0\0\x03\x01" + bytes((control,)) + b"a")
    assert PDataTF.decode(body, LIMITS) == PDataTF((PDV(1, control == 3, True, b"a"),))
    with pytest.raises(RemoteProtocolError, match=f"a {kind} fragment of 1 bytes, expected an even number"):
        PDataTF.decode(body, STRICT)


def test_reserved_bits_of_the_control_header_are_not_checked() -> None:
    assert PDataTF.decode(memoryview(b"\0\0\0\x02\x01\xff"), STRICT) == PDataTF((PDV(1, True, True, b""),))


def test_parts_leave_payloads_as_they_are() -> None:
    view, file = memoryview(b"abcd"), FileRange(3, 100, 6)
    parts = PDataTF((PDV(1, False, False, view), PDV(1, False, True, file))).parts()
    assert parts == [b"\x04\0\0\0\0\x16\0\0\0\x06\x01\0", view, b"\0\0\0\x08\x01\x02", file]
    assert parts[1] is view
    assert parts[3] is file


@pytest.mark.parametrize(
    ("pdu", "message"),
    [
        (PDataTF(()), "at least one PDV"),
        (PDataTF((PDV(256, True, True, b""),)), "id 256"),
        (PDataTF((PDV(-1, True, True, b""),)), "id -1"),
        (PDataTF((PDV(1, False, True, FileRange(0, 0, 1 << 32)),)), "4294967302 bytes"),
    ],
)
def test_pdata_that_the_wire_cannot_carry(pdu: PDataTF, message: str) -> None:
    with pytest.raises(LocalProtocolError, match=message):
        pdu.parts()


def test_a_file_range_is_not_encoded() -> None:
    with pytest.raises(TypeError, match="use parts"):
        PDataTF((PDV(1, False, True, FileRange(0, 0, 2)),)).encode()


@given(_bytes, st.booleans(), st.booleans(), st.integers(0, 0xFFFFFFFF - 6))
def test_pdata_header(context_id: int, is_command: bool, is_last: bool, length: int) -> None:
    header = pdata_header(context_id, is_command, is_last, length)
    pdu = PDataTF((PDV(context_id, is_command, is_last, FileRange(0, 0, length)),))
    assert header == pdu.parts()[0]
    assert len(header) == 12


# PDUs of four bytes


@pytest.mark.parametrize("cls", [AAssociateRJ, AReleaseRQ, AReleaseRP, AAbort])
@pytest.mark.parametrize("length", [0, 3, 5, 128])
def test_bodies_have_four_bytes(cls: Any, length: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"a length of {length}, expected 4"):
        cls.decode(memoryview(bytes(length)), LIMITS)


@pytest.mark.parametrize("pdu", [AAssociateRJ(256, 1, 1), AAssociateRJ(1, 1, -1), AAbort(2, 300)])
def test_fields_of_one_byte(pdu: Any) -> None:
    with pytest.raises(LocalProtocolError, match="expected 0 to 255"):
        pdu.encode()
