"""A peer that accepts every context, and answers requests with responses whose bytes are made by hand."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import TypeAlias

from tests.faces.wire import (
    RELEASE_RP,
    RawPeer,
    associate_ac,
    command,
    command_value,
    element,
    p_data,
    us_element,
)

Answer: TypeAlias = "tuple[tuple[bytes, ...], bytes | None]"
"""Elements of a Command Set, and the data set."""

_NO_DATA_SET = struct.pack("<H", 0x0101)
_COMMAND, _LAST = 1, 2


def response(status: int, *more: bytes, data: bytes | None = None) -> Answer:
    """A response with this status and more elements."""
    return (us_element(0x0900, status), *more), data


def answering(*answers: Answer) -> Callable[[RawPeer], None]:
    """A script that answers each request with all of these, until the peer releases the association."""

    def script(peer: RawPeer) -> None:
        peer.send(associate_ac(list(_proposed(peer.read_pdu()))))
        request = b""
        while (read := peer.read_pdu())[:1] == b"\x04":
            for context_id, control, data in _pdvs(read):
                if control & _COMMAND:
                    request = data
                is_bare = command_value(request, 0x0800) == _NO_DATA_SET
                if control == _LAST or (control == _LAST | _COMMAND and is_bare):
                    for answer in answers:
                        peer.send(_response(context_id, request, *answer))
        if read[:1] == b"\x05":
            peer.send(RELEASE_RP)

    return script


def _proposed(request: bytes) -> Iterator[tuple[int, str]]:
    """Id and first transfer syntax of each context of an A-ASSOCIATE-RQ."""
    for kind, body in _items(request[74:]):
        if kind == 0x20:
            first, *_ = (value for inner, value in _items(body[4:]) if inner == 0x40)
            yield body[0], first.decode()


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    while data:
        kind, length = struct.unpack_from(">BxH", data)
        yield kind, data[4 : 4 + length]
        data = data[4 + length :]


def _pdvs(read: bytes) -> Iterator[tuple[int, int, bytes]]:
    position = 6
    while position < len(read):
        length, context_id, control = struct.unpack_from(">IBB", read, position)
        yield context_id, control, read[position + 6 : position + 4 + length]
        position += 4 + length


def _response(context_id: int, request: bytes, more: tuple[bytes, ...], data: bytes | None) -> bytes:
    field, message_id = command_value(request, 0x0100), command_value(request, 0x0110)
    assert field is not None and message_id is not None
    elements = (
        us_element(0x0100, int.from_bytes(field, "little") | 0x8000),
        element(0x0120, message_id),
        element(0x0800, _NO_DATA_SET if data is None else b"\1\0"),
        *more,
    )
    sent = p_data(context_id, _COMMAND | _LAST, command(*elements))
    return sent if data is None else sent + p_data(context_id, _LAST, data)
