"""The streaming parser: the same stream cut anywhere gives the same events, and nothing grows by a claim."""

from __future__ import annotations

import pickle
import random
import struct
import tracemalloc
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmnet.errors import RemoteProtocolError
from dcmnet.limits import (
    DEFAULT_TOLERANCE,
    OVERSIZED_PDU_MARGIN,
    RECEIVE_BUFFER_LENGTH,
    SMALL_RECEIVE_BUFFER_LENGTH,
    Limits,
    Tolerance,
)
from dcmnet.ul.items import PresentationContextRQ, UserIdentityRQ, UserInformation
from dcmnet.ul.pdu import (
    PDU,
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
from dcmnet.ul.reader import SMALLEST_BUFFER_LENGTH, Fragment, Reader
from tests.unit.test_pdu import RQ_BYTES, pdus

LIMITS = Limits()
TINY = Limits(receive_buffer_length=1)
ABORT = AAbort(2, 6).encode()
RELEASE = AReleaseRQ().encode()


def new(limits: Limits = LIMITS, max_pdu_length: int = 0) -> Reader:
    return Reader(limits=limits, max_pdu_length=max_pdu_length)


def header(pdu_type: int, length: int) -> bytes:
    return struct.pack(">BBI", pdu_type, 0, length)


def pdv(data: bytes, control: int, context_id: int = 1) -> bytes:
    return struct.pack(">IBB", len(data) + 2, context_id, control) + data


def pdata(*values: bytes) -> bytes:
    body = b"".join(values)
    return header(4, len(body)) + body


def put(reader: Reader, data: bytes) -> None:
    """Let bytes arrive that fit into the buffer."""
    reader.get_buffer()[: len(data)] = data
    reader.received(len(data))


def drain(reader: Reader) -> Iterator[PDU | Fragment]:
    while (event := reader.next()) is not None:
        yield event


def feed(reader: Reader, stream: bytes, cuts: Iterable[int] = ()) -> Iterator[PDU | Fragment]:
    """Let a stream arrive, cut at the given places, and yield what comes out of it."""
    places = sorted({cut for cut in cuts if 0 < cut < len(stream)} | {len(stream)})
    position = 0
    for place in places:
        while position < place:
            buffer = reader.get_buffer()
            assert len(buffer) > 0
            count = min(len(buffer), place - position)
            buffer[:count] = stream[position : position + count]
            reader.received(count)
            position += count
            yield from drain(reader)


def joined(events: Iterable[PDU | Fragment]) -> list[Any]:
    """Events with the pieces of each PDV put together; an error of the peer is the last one."""
    result: list[Any] = []
    data = b""
    try:
        for event in events:
            if not isinstance(event, Fragment):
                result.append(event)
                continue
            data += event.data
            assert event.ends_pdv or not event.is_last
            if event.ends_pdv:
                result.append(PDV(event.context_id, event.is_command, event.is_last, data))
                data = b""
    except RemoteProtocolError as error:
        result.append((str(error), error.source, error.reason))
    return result


def expected(sent: Iterable[Any]) -> list[Any]:
    """What a reader makes of PDUs: itself, or the PDVs of a P-DATA-TF."""
    result: list[Any] = []
    for pdu in sent:
        result += pdu.pdvs if isinstance(pdu, PDataTF) else [pdu]
    return result


def fails(
    stream: bytes, message: str, limits: Limits = LIMITS, max_pdu_length: int = 16384
) -> RemoteProtocolError:
    reader = new(limits, max_pdu_length)
    with pytest.raises(RemoteProtocolError, match=message) as raised:
        list(feed(reader, stream))
    assert reader.next() is None
    assert not reader.in_pdu
    return raised.value


cuts = st.lists(st.integers(0, 2000), max_size=30) | st.just(list(range(2000)))


@given(st.lists(pdus, max_size=5), cuts, st.sampled_from((LIMITS, TINY, Limits(receive_buffer_length=40))))
def test_any_cutting_of_a_stream_gives_the_same_events(
    sent: list[Any], cuts: list[int], limits: Limits
) -> None:
    reader = new(limits)
    stream = b"".join(pdu.encode() for pdu in sent)
    assert joined(feed(reader, stream, cuts)) == expected(sent)
    assert not reader.in_pdu
    assert reader.consumed_position == reader.received_position == len(stream)


def test_the_position_in_the_stream_outlives_the_buffer() -> None:
    reader = new(TINY)
    for number in range(3):
        put(reader, RELEASE + RELEASE[:4])
        assert (reader.consumed_position, reader.received_position) == (20 * number, 20 * number + 14)
        assert len(list(drain(reader))) == 1
        assert (reader.consumed_position, reader.received_position) == (20 * number + 10, 20 * number + 14)
        put(reader, RELEASE[4:])
        assert len(list(drain(reader))) == 1
        assert reader.rest()
    reader.discard()
    assert reader.consumed_position == reader.received_position == 60


@given(st.lists(pdus, min_size=1, max_size=3), st.data(), cuts)
def test_any_cutting_of_a_damaged_stream_gives_the_same_events(
    sent: list[Any], data: st.DataObject, cuts: list[int]
) -> None:
    stream = bytearray(b"".join(pdu.encode() for pdu in sent))
    for _ in range(data.draw(st.integers(1, 3))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    whole = joined(feed(new(max_pdu_length=200), bytes(stream)))
    assert joined(feed(new(max_pdu_length=200), bytes(stream), cuts)) == whole
    assert joined(feed(new(TINY, max_pdu_length=200), bytes(stream), cuts)) == whole


@given(st.binary(max_size=200), cuts)
def test_any_bytes_are_read_or_refused(stream: bytes, cuts: list[int]) -> None:
    assert joined(feed(new(), stream, cuts)) == joined(feed(new(), stream))


def test_a_pdv_comes_out_as_it_arrives() -> None:
    reader = new()
    stream = pdata(pdv(b"abcdef", 2, 5))
    put(reader, stream[:10])
    assert reader.next() is None
    assert reader.in_pdu
    put(reader, stream[10:14])
    (first,) = drain(reader)
    assert isinstance(first, Fragment)
    assert bytes(first.data) == b"ab"
    put(reader, stream[14:])
    (second,) = drain(reader)
    assert isinstance(second, Fragment)
    assert (first.context_id, first.is_command, first.is_last, first.ends_pdv) == (5, False, False, False)
    assert (second.context_id, second.is_command, second.is_last, second.ends_pdv) == (5, False, True, True)
    assert bytes(second.data) == b"cdef"
    assert not reader.in_pdu


def test_an_empty_last_pdv() -> None:
    reader = new()
    put(reader, pdata(pdv(b"ab", 0), pdv(b"", 2)))
    assert joined(drain(reader)) == [PDV(1, False, False, b"ab"), PDV(1, False, True, b"")]


def test_reserved_bits_of_the_control_header_are_not_checked() -> None:
    reader = new()
    put(reader, pdata(pdv(b"ab", 0xFF)))
    assert joined(drain(reader)) == [PDV(1, True, True, b"ab")]


def test_every_pdu_of_four_bytes() -> None:
    sent: list[PDU] = [AAssociateRJ(1, 2, 3), AReleaseRQ(), AReleaseRP(), AAbort(2, 1)]
    reader = new()
    put(reader, b"".join(pdu.encode() for pdu in sent))
    assert list(drain(reader)) == sent


def test_an_associate_pdu_longer_than_the_buffer() -> None:
    contexts = tuple(
        PresentationContextRQ(2 * n + 1, "1.2.3", ("1.2.840.10008.1.2",) * 50) for n in range(128)
    )
    rq = AAssociateRQ("A", "B", contexts, UserInformation(user_identity=UserIdentityRQ(3, bytes(60000))))
    stream = rq.encode()
    assert len(stream) > 40 * SMALL_RECEIVE_BUFFER_LENGTH
    reader = new()
    assert list(feed(reader, stream + RELEASE)) == [rq, AReleaseRQ()]
    assert len(reader.get_buffer()) == SMALL_RECEIVE_BUFFER_LENGTH


def test_an_ac_after_an_rq() -> None:
    ac = AAssociateAC("A", "B", (), UserInformation())
    reader = new()
    events = list(feed(reader, RQ_BYTES + ac.encode(), range(0, 400, 7)))
    assert [type(event) for event in events] == [AAssociateRQ, AAssociateAC]
    assert events[1] == ac


# Limits


@pytest.mark.parametrize("pdu_type", [0, 8, 0x99, 0xFF])
def test_an_unknown_type(pdu_type: int) -> None:
    error = fails(header(pdu_type, 4), f"type {pdu_type:02X}H")
    assert (error.source, error.reason) == (2, 1)


@pytest.mark.parametrize(
    "stream", [b"GET / HTTP/1.0\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"SSH-2.0-OpenSSH\r\n"]
)
def test_other_protocols(stream: bytes) -> None:
    assert fails(stream, "does not speak DICOM").reason == 1


@pytest.mark.parametrize("pdu_type", [1, 2])
@pytest.mark.parametrize("length", [(1 << 20) + 1, 0x7FFFFFFF, 0xFFFFFFFF])
def test_an_associate_pdu_that_is_too_long(pdu_type: int, length: int) -> None:
    assert fails(header(pdu_type, length), f"{length}, expected at most 1048576").reason == 6


@pytest.mark.parametrize("length", [0, 1, 67])
def test_an_associate_pdu_that_is_too_short(length: int) -> None:
    fails(header(1, length) + bytes(length), "at least 68")


@pytest.mark.parametrize("pdu_type", [3, 5, 6, 7])
@pytest.mark.parametrize("length", [0, 3, 5, 0xFFFFFFFF])
def test_pdus_of_four_bytes_with_another_length(pdu_type: int, length: int) -> None:
    fails(header(pdu_type, length), f"{pdu_type:02X}H: a length of {length}, expected 4")


def test_a_claim_allocates_nothing() -> None:
    reader = new()
    tracemalloc.start()
    try:
        assert list(feed(reader, header(1, 1 << 20) + bytes(5000))) == []
        assert tracemalloc.get_traced_memory()[1] < 50000
    finally:
        tracemalloc.stop()
    assert reader.in_pdu


def test_the_longest_pdata() -> None:
    tolerant = Limits(tolerance=DEFAULT_TOLERANCE | Tolerance.OVERSIZED_PDU)
    longest = pdata(pdv(bytes(94), 0))
    assert len(list(feed(new(max_pdu_length=100), longest))) == 1
    assert fails(header(4, 101), "a length of 101, expected at most 100", max_pdu_length=100).reason == 6
    more = 100 + OVERSIZED_PDU_MARGIN
    assert len(list(feed(new(tolerant, 100), pdata(pdv(bytes(more - 6), 0))))) == 1
    fails(header(4, more + 1), f"expected at most {more}", tolerant, 100)
    fails(header(4, 0xFFFFFFFF), "expected at most 16384")


def test_without_a_limit_a_pdu_may_be_as_long_as_it_says() -> None:
    reader = new()
    put(reader, header(4, 0xFFFFFFFF) + struct.pack(">IBB", 0xFFFFFFFB, 1, 2) + bytes(100))
    (fragment,) = drain(reader)
    assert isinstance(fragment, Fragment)
    assert len(fragment.data) == 100
    assert not fragment.ends_pdv


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "0 bytes left, expected a PDV"),
        (b"\0\0\0\x02\x01", "5 bytes left, expected a PDV"),
        (pdv(b"", 0) + b"\0\0\0\0\0", "5 bytes left, expected a PDV"),
        (b"\0\0\0\0\x01\0", "claims 0 bytes"),
        (b"\0\0\0\x01\x01\0", "claims 1 bytes"),
        (b"\0\0\0\x04\x01\0\0", "claims 4 bytes, expected 2 to 3"),
        (b"\xff\xff\xff\xfc\x01\0", "claims 4294967292 bytes"),
        (b"\xff\xff\xff\xfe\x01\0", "claims 4294967294 bytes"),
    ],
)
def test_malformed_pdvs(body: bytes, message: str) -> None:
    assert fails(header(4, len(body)) + body, message).reason == 6


@pytest.mark.parametrize(("control", "kind"), [(2, "data set"), (3, "command")])
def test_an_odd_fragment_may_be_tolerated(control: int, kind: str) -> None:
    stream = pdata(pdv(b"abc", control))
    assert joined(feed(new(), stream)) == [PDV(1, control == 3, True, b"abc")]
    fails(stream, f"a {kind} fragment of 3 bytes", Limits(tolerance=Tolerance.NONE))


def test_many_tiny_pdvs() -> None:
    stream = pdata(*[pdv(b"ab", 0)] * 12500) * 8
    assert sum(1 for _ in feed(new(max_pdu_length=131072), stream, range(0, len(stream), 1460))) >= 100000


# The buffer


def test_the_buffer_grows_with_the_first_data_set() -> None:
    reader = new()
    put(reader, pdata(pdv(b"abcd", 3)))
    assert len(list(drain(reader))) == 1
    assert len(reader.get_buffer()) == SMALL_RECEIVE_BUFFER_LENGTH
    put(reader, pdata(pdv(b"ab", 2)) + b"\x05\0")
    assert len(list(drain(reader))) == 1
    assert len(reader.get_buffer()) == LIMITS.receive_buffer_length - 2
    put(reader, RELEASE[2:])
    assert list(drain(reader)) == [AReleaseRQ()]


def test_the_smallest_buffer() -> None:
    assert len(new(TINY).get_buffer()) == SMALLEST_BUFFER_LENGTH


def test_the_buffer_is_empty_only_when_nothing_was_taken_out() -> None:
    reader = new(TINY)
    put(reader, RELEASE + RELEASE[:6])
    assert len(reader.get_buffer()) == 0
    assert reader.next() == AReleaseRQ()
    assert len(reader.get_buffer()) == 10


def test_views_are_released() -> None:
    reader = new()
    tail = reader.get_buffer()
    put(reader, pdata(pdv(b"abcd", 2)))
    with pytest.raises(ValueError, match="released"):
        tail[0]
    (fragment,) = drain(reader)
    assert isinstance(fragment, Fragment)
    assert bytes(fragment.data) == b"abcd"
    reader.get_buffer()
    with pytest.raises(ValueError, match="released"):
        bytes(fragment.data)


def test_a_view_that_somebody_still_uses_keeps_its_bytes() -> None:
    reader = new()
    put(reader, pdata(pdv(b"abcd", 3)) + RELEASE[:3])
    (fragment,) = drain(reader)
    assert isinstance(fragment, Fragment)
    # As a write that a thread has under way does, this keeps the view from being released.
    user = pickle.PickleBuffer(fragment.data)
    put(reader, RELEASE[3:] + bytes(100))
    assert reader.next() == AReleaseRQ()
    assert bytes(user) == b"abcd"
    assert len(reader.get_buffer()) == SMALL_RECEIVE_BUFFER_LENGTH - 100


def test_a_small_buffer_that_is_full_of_what_nobody_reads_becomes_a_large_one() -> None:
    reader = new()
    room = reader.get_buffer()
    responses = AReleaseRP().encode() * 1000  # ten bytes each
    room[:] = responses[:SMALL_RECEIVE_BUFFER_LENGTH]
    reader.received(SMALL_RECEIVE_BUFFER_LENGTH)
    room = reader.get_buffer()
    assert len(room) == RECEIVE_BUFFER_LENGTH - SMALL_RECEIVE_BUFFER_LENGTH
    rest = responses[SMALL_RECEIVE_BUFFER_LENGTH:]
    room[: len(rest)] = rest
    reader.received(len(rest))
    assert [reader.next() for _ in range(1001)] == [AReleaseRP()] * 1000 + [None]
    reader.rest()
    assert len(reader.get_buffer()) == SMALL_RECEIVE_BUFFER_LENGTH


def test_a_reader_at_rest_has_no_buffer() -> None:
    reader = new()
    put(reader, pdata(pdv(b"abcd", 2))[:-1])
    (fragment,) = drain(reader)
    assert isinstance(fragment, Fragment)
    user = pickle.PickleBuffer(fragment.data)
    reader.rest()
    assert len(reader._view) == 0
    assert bytes(user) == b"abc"
    assert len(reader.get_buffer()) == SMALL_RECEIVE_BUFFER_LENGTH
    put(reader, b"d" + RELEASE)
    (last, release) = drain(reader)
    assert isinstance(last, Fragment)
    assert (last.is_last, release) == (True, AReleaseRQ())


def test_what_has_arrived_stays_at_rest() -> None:
    reader = new()
    put(reader, RELEASE[:7])
    assert not reader.rest()
    put(reader, RELEASE[7:])
    assert list(drain(reader)) == [AReleaseRQ()]
    assert reader.rest()


@pytest.mark.parametrize("length", [RECEIVE_BUFFER_LENGTH - 1, 2 * RECEIVE_BUFFER_LENGTH])
def test_a_wide_buffer(length: int) -> None:
    """For data sets only, no shorter than the ordinary one, and until the next rest."""
    reader = new()
    reader.widen(length)
    assert len(reader.get_buffer()) == SMALL_RECEIVE_BUFFER_LENGTH
    for expected in (max(length, RECEIVE_BUFFER_LENGTH), RECEIVE_BUFFER_LENGTH):
        put(reader, pdata(pdv(b"abcd", 2)))
        (fragment,) = drain(reader)
        assert isinstance(fragment, Fragment)
        assert bytes(fragment.data) == b"abcd"
        assert len(reader.get_buffer()) == expected
        assert reader.rest()
        assert len(reader.get_buffer()) == SMALL_RECEIVE_BUFFER_LENGTH


def test_more_bytes_than_the_buffer_has_room_for() -> None:
    reader = new()
    reader.get_buffer()
    for count in (-1, SMALL_RECEIVE_BUFFER_LENGTH + 1):
        with pytest.raises(ValueError, match=f"the buffer has room for {SMALL_RECEIVE_BUFFER_LENGTH}"):
            reader.received(count)
    reader.received(0)
    assert not reader.in_pdu


# Discarding, and looking ahead


def test_after_an_error_everything_is_discarded() -> None:
    reader = new()
    put(reader, RELEASE + header(0x99, 0) + RELEASE)
    assert reader.next() == AReleaseRQ()
    with pytest.raises(RemoteProtocolError):
        reader.next()
    for _ in range(1000):
        put(reader, RELEASE * 20)
        assert reader.next() is None
    assert not reader.in_pdu
    assert not reader.abort_ahead()


@pytest.mark.parametrize("begun", [RQ_BYTES[:50], pdata(pdv(bytes(100), 2))[:50], RELEASE[:3], b""])
def test_discard(begun: bytes) -> None:
    reader = new()
    put(reader, begun)
    list(drain(reader))
    assert reader.in_pdu == bool(begun)
    reader.discard()
    put(reader, RELEASE + ABORT)
    assert reader.next() is None
    assert not reader.in_pdu


def test_an_abort_ahead() -> None:
    reader = new()
    assert not reader.abort_ahead()
    put(reader, pdata(pdv(bytes(100), 2)) + RELEASE)
    assert not reader.abort_ahead()
    put(reader, ABORT[:9])
    assert not reader.abort_ahead()
    put(reader, ABORT[9:])
    assert reader.abort_ahead()
    # Nothing was consumed by looking.
    assert [type(event) for event in drain(reader)] == [Fragment, AReleaseRQ, AAbort]
    assert not reader.abort_ahead()


@given(
    st.lists(st.sampled_from((RELEASE, pdata(pdv(b"ab", 2)), RQ_BYTES)), max_size=4), st.integers(0, 2**32)
)
def test_an_abort_ahead_is_seen_wherever_the_reader_stands(before: list[bytes], seed: int) -> None:
    draw = random.Random(seed)
    stream = b"".join(before) + ABORT
    reader = new()
    position = 0
    while position < len(stream):
        count = draw.randint(1, 12)
        put(reader, stream[position : position + count])
        position += count
        if position < len(stream):
            assert not reader.abort_ahead()
            if draw.random() < 0.5:
                reader.next()
    assert reader.abort_ahead()


def test_a_malformed_abort_is_not_one() -> None:
    reader = new()
    put(reader, header(7, 5) + bytes(5))
    assert not reader.abort_ahead()


def test_an_abort_is_not_looked_for_inside_other_pdus() -> None:
    reader = new()
    put(reader, pdata_header(1, False, True, 40) + ABORT * 2)
    assert len(list(drain(reader))) == 1
    assert not reader.abort_ahead()
    put(reader, ABORT * 2)
    assert not reader.abort_ahead()
    put(reader, ABORT)
    assert reader.abort_ahead()


@pytest.mark.parametrize("last", [RELEASE, ABORT])
def test_an_end_that_waits_behind_other_pdus(last: bytes) -> None:
    reader = new()
    data = pdata(pdv(b"1234", 2))
    put(reader, data[:5])
    assert not reader.end_ahead()
    put(reader, data[5:14])
    assert reader.next() is not None  # a part of the first PDU is consumed
    put(reader, data[14:] + data + last[:5])
    assert not reader.end_ahead()
    put(reader, last[5:])
    assert reader.end_ahead()
    assert len(list(drain(reader))) == 3
    assert not reader.end_ahead()
