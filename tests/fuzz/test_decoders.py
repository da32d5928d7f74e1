"""Whatever bytes come, a decoder gives a value or the documented error."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmnet.dimse.command import decode_command
from dcmnet.dimse.messages import decode_message
from dcmnet.errors import InputFileError, RemoteProtocolError
from dcmnet.limits import Limits
from dcmnet.registry.transfer_syntaxes import ALL
from dcmnet.storage.elements import guess_transfer_syntax
from dcmnet.storage.identity import scan_identifiers
from dcmnet.storage.part10 import read_file_meta
from dcmnet.ul.pdu import AAssociateAC, AAssociateRJ, AAssociateRQ
from dcmnet.ul.reader import Fragment, Reader
from tests.faces.wire import ECHO_COMMAND, associate_ac, associate_rq, p_data, store, store_command
from tests.fuzz.mutations import cut, mutated, rounds, shuffled

LIMITS = Limits()
SAMPLE = Path(__file__).parents[2] / "src" / "dcmnet" / "sample"
PDUS = [associate_rq(), associate_ac([(1, "1.2.840.10008.1.2")]), store(), p_data(1, 3, ECHO_COMMAND)]
PDUS += [bytes((kind, 0, 0, 0, 0, 4, 0, 0, 0, 0)) for kind in (3, 5, 6, 7)]


def read_events(stream: list[bytes]) -> list[object]:
    """What a Reader makes of a stream: PDUs, the bytes of each PDV, and at last an error if there is one."""
    reader = Reader(limits=LIMITS, max_pdu_length=16384)
    events: list[object] = []
    pdv = bytearray()
    for piece in stream:
        rest = memoryview(piece)
        while rest:
            room = reader.get_buffer()
            count = min(len(room), len(rest))
            room[:count] = rest[:count]
            reader.received(count)
            rest = rest[count:]
            try:
                while (item := reader.next()) is not None:
                    if not isinstance(item, Fragment):
                        events.append(item)
                        continue
                    pdv += item.data
                    if item.ends_pdv:
                        events.append((item.context_id, item.is_command, item.is_last, bytes(pdv)))
                        pdv.clear()
            except RemoteProtocolError as error:
                events.append((error.source, error.reason, str(error)))
                return events
    return events


@pytest.mark.parametrize("seed", range(4))
def test_reader(seed: int) -> None:
    """However a stream is cut, the same comes out, and nothing but RemoteProtocolError."""
    for chance in rounds(400):
        chance = random.Random(f"{seed}-{chance.random()}")
        stream = mutated(shuffled(PDUS, chance), chance)
        assert read_events([stream]) == read_events(cut(stream, chance))


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_association_pdus_from_nothing(data: bytes) -> None:
    for pdu in (AAssociateRQ, AAssociateAC, AAssociateRJ):
        try:
            pdu.decode(memoryview(data), LIMITS)
        except RemoteProtocolError as error:
            assert (error.source, error.reason) == (2, 6)


def test_association_pdus() -> None:
    for chance in rounds(3000):
        for pdu, valid in ((AAssociateRQ, PDUS[0]), (AAssociateAC, PDUS[1])):
            data = mutated(valid[6:], chance)
            try:
                decoded = pdu.decode(memoryview(data), LIMITS)
            except RemoteProtocolError as error:
                assert (error.source, error.reason) == (2, 6)
            else:
                assert repr(decoded)


def test_command_sets() -> None:
    for chance in rounds(6000):
        data = mutated(chance.choice((ECHO_COMMAND, store_command())), chance)
        for decode in (decode_command, decode_message):
            try:
                decode(memoryview(data), LIMITS)
            except RemoteProtocolError as error:
                assert (error.source, error.reason) == (0, 0)


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_command_sets_from_nothing(data: bytes) -> None:
    try:
        decode_message(memoryview(data), LIMITS)
    except RemoteProtocolError as error:
        assert (error.source, error.reason) == (0, 0)


def test_heads_of_files() -> None:
    heads = [path.read_bytes()[:4096] for path in SAMPLE.glob("*.dcm")]
    for chance in rounds(2000):
        head = mutated(chance.choice(heads), chance)
        try:
            _, offset = read_file_meta(head, "fuzzed")
        except InputFileError:
            offset = chance.randrange(400)
        data_set = head[offset:]
        guess_transfer_syntax(data_set)
        scan_identifiers(data_set, chance.choice(ALL))
