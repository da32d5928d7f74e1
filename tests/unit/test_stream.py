"""Messages to fragments and back: PS3.7 6.3, PS3.8 9.3.5 and Annex E."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmnet.dimse.messages import (
    CEchoRQ,
    CEchoRSP,
    CFindRQ,
    CFindRSP,
    CStoreRQ,
    CStoreRSP,
    Message,
    NGetRQ,
)
from dcmnet.dimse.responses import response_to
from dcmnet.dimse.stream import (
    MAX_BATCH_PDVS,
    Assembler,
    DataFragment,
    MessageIDs,
    MessageStart,
    fragment_message,
    lone_message,
)
from dcmnet.errors import LocalProtocolError, RemoteProtocolError
from dcmnet.limits import LARGEST_PDU_SENT, Limits
from dcmnet.payload import FileRange, Payload
from dcmnet.ul.pdu import pdata_header
from dcmnet.ul.reader import Fragment, Reader

LIMITS = Limits()
ECHO = CEchoRQ(message_id=1, affected_sop_class_uid="1.2.840.10008.1.1")
STORE = CStoreRQ(
    message_id=2, affected_sop_class_uid="1.2.840.10008.5.1.4.1.1.2", affected_sop_instance_uid="1.2.3"
)
FIND = CFindRQ(message_id=3, affected_sop_class_uid="1.2.840.10008.5.1.4.1.2.2.1")


def piece(data: bytes, *, command: bool, last: bool = True, context: int = 1, ends: bool = True) -> Fragment:
    return Fragment(
        context_id=context, is_command=command, is_last=last, ends_pdv=ends, data=memoryview(data)
    )


def unexpected(assembler: Assembler, fragment: Fragment) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        assembler.feed(fragment)
    assert (caught.value.source, caught.value.reason) == (2, 5)
    return str(caught.value)


def above_limit(assembler: Assembler, fragment: Fragment) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        assembler.feed(fragment)
    assert (caught.value.source, caught.value.reason) == (0, 0)
    return str(caught.value)


def test_a_message_without_data_set() -> None:
    assembler = Assembler(LIMITS)
    assert not assembler.in_message
    assert assembler.feed(piece(ECHO.encode(), command=True, context=3)) == MessageStart(3, ECHO)
    assert not assembler.in_message


def test_a_message_with_data_set() -> None:
    assembler = Assembler(LIMITS)
    assert assembler.feed(piece(STORE.encode(), command=True)) == MessageStart(1, STORE)
    assert assembler.in_message
    first = piece(b"abcd", command=False, last=False)
    event = assembler.feed(first)
    assert event == DataFragment(first.data, False)
    assert isinstance(event, DataFragment)
    assert event.data is first.data
    assert assembler.in_message
    assert assembler.feed(piece(b"", command=False)) == DataFragment(memoryview(b""), True)
    assert not assembler.in_message


def test_messages_on_different_contexts_one_after_another() -> None:
    assembler = Assembler(LIMITS)
    for context in (1, 5, 3):
        assert assembler.feed(piece(ECHO.encode(), command=True, context=context)) == MessageStart(
            context, ECHO
        )


def test_a_command_set_in_pieces() -> None:
    assembler = Assembler(LIMITS)
    command = ECHO.encode()
    for start in range(0, len(command), 2):
        assert assembler.feed(piece(command[start : start + 2], command=True, last=False)) is None
        assert assembler.in_message
    assert assembler.feed(piece(b"", command=True)) == MessageStart(1, ECHO)
    assert not assembler.in_message
    assert assembler.feed(piece(command, command=True)) == MessageStart(1, ECHO)


def test_data_set_where_a_command_set_is_due() -> None:
    data = piece(b"ab", command=False)
    assert "where a Command Set was due" in unexpected(Assembler(LIMITS), data)
    after_echo = Assembler(LIMITS)
    after_echo.feed(piece(ECHO.encode(), command=True))
    assert "where a Command Set was due" in unexpected(after_echo, data)
    within = Assembler(LIMITS)
    within.feed(piece(ECHO.encode()[:10], command=True, last=False))
    assert "where a Command Set was due" in unexpected(within, data)


def test_command_set_where_a_data_set_is_due() -> None:
    assembler = Assembler(LIMITS)
    assembler.feed(piece(STORE.encode(), command=True))
    command = piece(ECHO.encode(), command=True)
    assert "where one of a data set was due" in unexpected(assembler, command)
    assembler.feed(piece(b"ab", command=False, last=False))
    assert "where one of a data set was due" in unexpected(assembler, command)


@pytest.mark.parametrize("command", [True, False])
def test_the_context_may_not_change_in_a_message(command: bool) -> None:
    in_command = Assembler(LIMITS)
    in_command.feed(piece(b"", command=True, last=False))
    other = piece(b"ab", command=command, context=3)
    assert "presentation context 3 in the middle of a message on 1" in unexpected(in_command, other)
    in_data = Assembler(LIMITS)
    in_data.feed(piece(STORE.encode(), command=True))
    assert "presentation context 3 in the middle of a message on 1" in unexpected(in_data, other)


def test_the_limit_of_a_command_sets_length() -> None:
    command = ECHO.encode()
    exact = Assembler(replace(LIMITS, max_command_set_length=len(command)))
    exact.feed(piece(command[:20], command=True, last=False))
    assert exact.feed(piece(command[20:], command=True)) == MessageStart(1, ECHO)
    exact.feed(piece(command, command=True, last=False))
    assert "the limit is 68" in above_limit(exact, piece(b"ab", command=True, last=False))


def test_the_limit_of_a_command_sets_fragments() -> None:
    assembler = Assembler(replace(LIMITS, max_command_fragments=3))
    command = ECHO.encode()
    for _ in range(2):
        for _ in range(2):
            assembler.feed(piece(b"", command=True, last=False))
        assert assembler.feed(piece(command, command=True)) == MessageStart(1, ECHO)
    for _ in range(3):
        assembler.feed(piece(b"", command=True, last=False))
    assert "more than 3 fragments" in above_limit(assembler, piece(command, command=True))


def test_pieces_of_one_pdv_count_as_one_fragment() -> None:
    assembler = Assembler(replace(LIMITS, max_command_fragments=1))
    command = ECHO.encode()
    for index in range(len(command) - 1):
        assembler.feed(piece(command[index : index + 1], command=True, last=False, ends=False))
    assert assembler.feed(piece(command[-1:], command=True)) == MessageStart(1, ECHO)


def test_what_is_no_command_set_is_refused() -> None:
    assert "Command Field" in above_limit(Assembler(LIMITS), piece(b"", command=True))


def bytes_of(parts: list[Payload]) -> bytes:
    return b"".join(part for part in parts if not isinstance(part, FileRange))


def test_an_odd_command_set_that_is_none_is_the_fault_of_its_pdu() -> None:
    whole = ECHO.encode() + b"1"
    with pytest.raises(RemoteProtocolError, match="a command fragment of odd length: ") as caught:
        Assembler(LIMITS).feed(piece(whole, command=True))
    assert (caught.value.source, caught.value.reason) == (2, 6)


def test_a_message_without_data_set_is_one_batch() -> None:
    command = ECHO.encode()
    batches = list(fragment_message(7, ECHO, None, 0))
    assert batches == [[pdata_header(7, True, True, len(command)), command]]


def test_command_set_and_data_set_leave_together() -> None:
    command = STORE.encode()
    [parts] = fragment_message(1, STORE, b"abc", 16384)
    assert parts == [
        pdata_header(1, True, True, len(command)),
        command,
        pdata_header(1, False, True, 3),
        b"abc",
    ]


def test_an_empty_data_set_is_one_empty_pdv() -> None:
    for payload in (b"", FileRange(3, 10, 0)):
        [parts] = fragment_message(1, STORE, payload, 16384)
        assert parts[2:] == [pdata_header(1, False, True, 0), payload]


@pytest.mark.parametrize("max_length", [16384, 16385])
def test_a_file_range_is_sliced(max_length: int) -> None:
    size = 16378
    batches = list(fragment_message(5, STORE, FileRange(9, 100, 3 * size), max_length, 2 * size))
    full = pdata_header(5, False, False, size)
    assert [parts[-2:] for parts in batches] == [
        [full, FileRange(9, 100, size)],
        [pdata_header(5, False, True, size), FileRange(9, 100 + 2 * size, size)],
    ]
    assert batches[1][:2] == [full, FileRange(9, 100 + size, size)]


@pytest.mark.parametrize("max_length", [0, LARGEST_PDU_SENT, LARGEST_PDU_SENT + 1, 0xFFFFFFFF])
def test_no_pdu_is_larger_than_we_send(max_length: int) -> None:
    size = LARGEST_PDU_SENT - 6
    parts = [
        part for batch in fragment_message(1, STORE, FileRange(3, 0, 300_000), max_length) for part in batch
    ]
    assert [len(part) for part in parts[3::2]] == [size, size, 300_000 - 2 * size]


def test_a_batch_holds_batch_length() -> None:
    batches = list(fragment_message(1, STORE, bytes(100_000), 1006, 10_000))
    assert all(sum(map(len, parts[1::2])) <= 10_000 for parts in batches)
    assert len(batches) == 11


def test_a_batch_of_tiny_pdvs_stays_within_one_sendmsg() -> None:
    batches = list(fragment_message(1, STORE, bytes(5000), 8))
    assert all(len(parts) <= 2 * MAX_BATCH_PDVS <= 1024 for parts in batches)
    assert len(batches) > 5


@pytest.mark.parametrize("max_length", range(1, 8))
def test_a_maximum_that_holds_no_pdv_is_refused(max_length: int) -> None:
    with pytest.raises(LocalProtocolError, match=f"maximum PDU length of {max_length} "):
        fragment_message(1, ECHO, None, max_length)


def test_the_message_and_the_payload_must_agree() -> None:
    with pytest.raises(LocalProtocolError, match="C-STORE-RQ with has_data_set True, but none"):
        fragment_message(1, STORE, None, 0)
    with pytest.raises(LocalProtocolError, match="C-ECHO-RQ with has_data_set False, but one"):
        fragment_message(1, ECHO, b"", 0)


@given(
    payload=st.binary(max_size=400),
    max_length=st.integers(8, 200) | st.just(0),
    batch_length=st.integers(1, 500),
    cut=st.integers(1, 50),
)
def test_what_leaves_arrives(payload: bytes, max_length: int, batch_length: int, cut: int) -> None:
    parts = [
        part for batch in fragment_message(1, STORE, payload, max_length, batch_length) for part in batch
    ]
    sizes = [len(part) for part in parts[1::2]]
    assert all(size % 2 == 0 for size in sizes[:-1])
    assert max_length == 0 or max(sizes) + 6 <= max_length
    reader, assembler = Reader(limits=LIMITS, max_pdu_length=max_length), Assembler(LIMITS)
    events: list[MessageStart | bytes] = []
    ended = False
    wire = bytes_of(parts)
    while wire:
        buffer = reader.get_buffer()
        count = min(cut, len(buffer), len(wire))
        buffer[:count] = wire[:count]
        wire = wire[count:]
        reader.received(count)
        while (fragment := reader.next()) is not None:
            assert isinstance(fragment, Fragment)
            event = assembler.feed(fragment)
            if isinstance(event, DataFragment):
                events.append(bytes(event.data))
                ended = event.is_last
            elif event is not None:
                events.append(event)
    assert events[0] == MessageStart(1, STORE)
    assert b"".join(event for event in events if isinstance(event, bytes)) == payload
    assert ended
    assert not assembler.in_message


PIECES = st.builds(
    piece,
    st.binary(max_size=6) | st.sampled_from([ECHO.encode(), STORE.encode(), FIND.encode()[:30]]),
    command=st.booleans(),
    last=st.booleans(),
    context=st.sampled_from([1, 1, 1, 3]),
    ends=st.booleans(),
)


@given(st.lists(PIECES, max_size=20))
def test_any_fragments_are_taken_or_refused(pieces: list[Fragment]) -> None:
    assembler = Assembler(LIMITS)
    try:
        for each in pieces:
            assembler.feed(each)
    except RemoteProtocolError as error:
        assert (error.source, error.reason) in {(0, 0), (2, 5), (2, 6)}


def test_message_ids_go_round_past_the_outstanding_ones() -> None:
    ids = MessageIDs()
    assert [ids.next() for _ in range(65535)] == list(range(1, 65536))
    ids.add(ECHO)
    ids.add(STORE)
    assert [ids.next(), ids.next()] == [3, 4]


def test_message_ids_can_run_out() -> None:
    ids = MessageIDs()
    ids.outstanding = dict.fromkeys(range(1, 65536), ECHO)
    with pytest.raises(LocalProtocolError, match="all 65535"):
        ids.next()
    del ids.outstanding[777]
    assert ids.next() == 777


def test_a_message_id_is_taken_once() -> None:
    ids = MessageIDs()
    ids.add(ECHO)
    with pytest.raises(LocalProtocolError, match="Message ID 1 is outstanding for a C-ECHO-RQ"):
        ids.add(replace(STORE, message_id=1))


def test_responses_are_matched() -> None:
    ids = MessageIDs()
    for request in (ECHO, STORE, FIND):
        ids.add(request)
    assert ids.match(response_to(STORE, 0xA700)) is STORE
    assert ids.match(response_to(FIND, 0xFF00)) is FIND
    assert ids.match(response_to(FIND, 0xFF01)) is FIND
    assert list(ids.outstanding) == [1, 3]
    assert ids.match(response_to(FIND, 0)) is FIND
    assert ids.match(response_to(ECHO, 0xFF00)) is ECHO
    assert ids.outstanding == {}


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (CEchoRSP(message_id_being_responded_to=9, status=0), "Message ID 9, which is not outstanding"),
        (CStoreRSP(message_id_being_responded_to=1, status=0), "Message ID 1, which is a C-ECHO-RQ"),
        (CFindRSP(message_id_being_responded_to=1, status=0xFF00), "which is a C-ECHO-RQ"),
    ],
)
def test_responses_that_do_not_fit(response: CEchoRSP, words: str) -> None:
    ids = MessageIDs()
    ids.add(ECHO)
    with pytest.raises(RemoteProtocolError, match=words) as caught:
        ids.match(response)
    assert (caught.value.source, caught.value.reason) == (0, 0)
    assert list(ids.outstanding) == [1]


def test_a_long_command_set_is_cut_too() -> None:
    message: Message = NGetRQ(
        message_id=1,
        requested_sop_class_uid="1.2",
        requested_sop_instance_uid="1.3",
        attribute_identifier_list=tuple(range(500)),
    )
    command = message.encode()
    [parts] = fragment_message(1, message, None, 1006)
    assert [len(part) for part in parts[1::2]] == [1000, 1000, len(command) - 2000]
    assert parts[0::2] == [
        pdata_header(1, True, False, 1000),
        pdata_header(1, True, False, 1000),
        pdata_header(1, True, True, len(command) - 2000),
    ]
    assert bytes_of(parts[1::2]) == command


@pytest.mark.parametrize("max_length", [0, 8, 20, 74, 75, 76, 77, 78, 1006, 1 << 20])
def test_a_message_without_a_data_set_in_one_piece(max_length: int) -> None:
    [parts] = fragment_message(3, ECHO, None, max_length)
    alone = lone_message(3, ECHO, max_length)
    assert bytes_of(alone) == bytes_of(parts)
    assert len(alone) == (1 if len(parts) == 2 else len(parts))


@pytest.mark.parametrize(
    ("message", "max_length"), [(STORE, 0), (ECHO, 7), (replace(ECHO, message_id=-1), 0)]
)
def test_a_message_that_cannot_go_alone(message: Message, max_length: int) -> None:
    with pytest.raises(LocalProtocolError) as expected:
        next(fragment_message(3, message, None, max_length))
    with pytest.raises(LocalProtocolError) as caught:
        lone_message(3, message, max_length)
    assert str(caught.value) == str(expected.value)


def test_the_upcoming_message_id_is_what_next_gives() -> None:
    ids = MessageIDs()
    for _ in range(3):
        upcoming = ids.upcoming
        assert ids.next() == upcoming
    ids.add(CEchoRQ(message_id=4, affected_sop_class_uid="1.2.840.10008.1.1"))
    assert ids.upcoming == ids.next() == 5
