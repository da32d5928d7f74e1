"""Peers that do one odd thing each: a script for a raw socket, and the engine that runs it.

A script is a tuple of steps. Bytes are sent, `READ` takes the next message or PDU, a function is called with
the conversation and what it returns is sent, and `CLOSE`, `RESET` and `SILENT` end the connection. So a
script reads as the conversation that it holds: `(READ, accept, READ, final(0), READ, RELEASE_RP, CLOSE)`.
"""

from __future__ import annotations

import enum
import socket
import struct
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.faces.wire import (
    APPLICATION_CONTEXT,
    CLASS_UID,
    DEADLINE,
    IMPLICIT,
    RELEASE_RP,
    RELEASE_RQ,
    RawPeer,
    associate_rq,
    command,
    command_value,
    ct_data_set,
    item,
    p_data,
    pdu,
    store_command,
    uid_element,
    us_element,
)

CT = "1.2.840.10008.5.1.4.1.1.2"
FIND, MOVE, GET = (f"1.2.840.10008.5.1.4.1.2.2.{number}" for number in (1, 2, 3))
PENDING, CANCELLED, OUT_OF_RESOURCES = 0xFF00, 0xFE00, 0xA700
COMMENT, OFFENDING, FAILED_LIST = 0x0902, 0x0901, 0x00080058


class Step(enum.Enum):
    """What a script does besides sending."""

    READ = enum.auto()
    """Take the next message with its data set, or the next PDU that is no P-DATA-TF."""
    CLOSE = enum.auto()
    RESET = enum.auto()
    SILENT = enum.auto()
    """Send nothing more, and read on until the other side ends the connection."""


READ, CLOSE, RESET, SILENT = Step.READ, Step.CLOSE, Step.RESET, Step.SILENT

# ---------------------------------------------------------------------- the engine


class Conversation:
    """What has been said on one connection.

    Attributes:
        peer: The socket.
        proposed: The contexts of the A-ASSOCIATE-RQ: id, abstract syntax, transfer syntaxes.
        pdu: The last PDU that was read and is no P-DATA-TF; empty at the end of the connection.
        context_id: The presentation context of the last message.
        command_set: Its Command Set.
        data: Its data set.
        asked: Context and Command Set of the C-GET-RQ that a sub-operation serves.
    """

    def __init__(self, peer: RawPeer) -> None:
        self.peer = peer
        self.proposed: list[tuple[int, str, list[str]]] = []
        self.pdu = b""
        self.context_id = 0
        self.command_set = b""
        self.data = b""
        self.asked = (0, b"")

    def run(self, script: Script) -> None:
        for step in script:
            if step is READ:
                self.read()
                if self.pdu[:1] in (b"\x07", b""):  # A-ABORT: the other side waits for the connection's end
                    return
            elif isinstance(step, Step):
                self.end(step)
                return
            else:
                self.say(step(self) if callable(step) else step)

    def read(self) -> None:
        """Take the next message, or the next PDU of another kind."""
        self.command_set, self.data = b"", b""
        complete = False
        while not complete:
            self.pdu = self.peer.read_pdu()
            if self.pdu[:1] != b"\x04":
                if self.pdu[:1] == b"\x01":
                    self.proposed = proposed_contexts(self.pdu)
                return
            complete = self._take(self.pdu[6:])

    def _take(self, values: bytes) -> bool:
        """Take the PDVs of a P-DATA-TF; True when the message is complete."""
        complete = False
        while values:
            length, self.context_id, control = struct.unpack_from(">IBB", values)
            fragment, values = values[6 : 4 + length], values[4 + length :]
            if control & 1:
                self.command_set += fragment
            else:
                self.data += fragment
            complete = control == 2 or (control == 3 and self.us(0x0800) == 0x0101)
        return complete

    def say(self, data: bytes) -> None:
        """Send to a peer that may have closed already."""
        if data:
            self.peer.send_as_far_as_it_goes(data)

    def end(self, step: Step) -> None:
        """End the connection in one of the ways that there are."""
        if step is SILENT:
            while self.peer.read(4096):
                pass
        if step is RESET:
            self.peer.reset()
        else:
            self.peer.close()

    def us(self, number: int) -> int:
        """An element of the last Command Set that is a US; -1 if it is not there."""
        value = command_value(self.command_set, number)
        return -1 if value is None else int.from_bytes(value, "little")

    def context_of(self, abstract_syntax: str) -> int:
        """The context that was proposed for a SOP class."""
        return next(number for number, abstract, _ in self.proposed if abstract == abstract_syntax)


Script = tuple["bytes | Step | Callable[[Conversation], bytes]", ...]


def proposed_contexts(request: bytes) -> list[tuple[int, str, list[str]]]:
    """The presentation contexts of an A-ASSOCIATE-RQ, ids with their abstract and transfer syntaxes."""
    found = []
    for kind, body in items(request[74:]):
        if kind == 0x20:
            parts = list(items(body[4:]))
            abstract = next(value for kind, value in parts if kind == 0x30).decode("latin-1")
            found.append(
                (body[0], abstract, [value.decode("latin-1") for kind, value in parts if kind == 0x40])
            )
    return found


def accepted_contexts(answer: bytes) -> dict[int, int]:
    """The results of the contexts of an A-ASSOCIATE-AC, by id (PS3.8 9.3.3.2)."""
    return {body[0]: body[2] for kind, body in items(answer[74:]) if kind == 0x21}


def items(data: bytes) -> Iterable[tuple[int, bytes]]:
    while data:
        kind, length = struct.unpack_from(">BxH", data)
        yield kind, data[4 : 4 + length]
        data = data[4 + length :]


class OddPeer:
    """A listening socket; each of its callers is served by a script, in a thread of its own.

    Args:
        scripts: The script of the first connection, of the second and so on; the last one serves all others.
    """

    def __init__(self, *scripts: Script) -> None:
        self._scripts = scripts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self.port: int = self._listener.getsockname()[1]
        self.conversations: list[Conversation] = []
        self.errors: list[BaseException] = []

    def _listen(self) -> None:
        with suppress(OSError):  # it is closed
            while True:
                connection, _ = self._listener.accept()
                conversation = Conversation(RawPeer(connection))
                script = self._scripts[min(len(self.conversations), len(self._scripts) - 1)]
                self.conversations.append(conversation)
                self._begin(self._serve, conversation, script)

    def _serve(self, conversation: Conversation, script: Script) -> None:
        try:
            with conversation.peer:
                conversation.run(script)
        except BaseException as error:
            self.errors.append(error)

    def _begin(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def __enter__(self) -> Self:
        self._begin(self._listen)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # which ends accept() in the thread
        self._listener.close()
        if error is None:
            for thread in self._threads:
                thread.join(DEADLINE)
            assert not self.errors, self.errors


# ---------------------------------------------------------------------- association


def accepting(
    *,
    max_length: int = 16384,
    class_uid: bytes = CLASS_UID,
    roles: tuple[int, int] | None = None,
    more: bytes = b"",
    transfer: str = IMPLICIT,
) -> Callable[[Conversation], bytes]:
    """An A-ASSOCIATE-AC that accepts each proposed context.

    Args:
        max_length: What is announced (51H).
        class_uid: The implementation class UID item.
        roles: A role item (54H) for CT Image Storage: the SCU and the SCP role.
        more: Further presentation context items.
        transfer: The transfer syntax that is taken if it was proposed, otherwise the first one.
    """

    def answer(conversation: Conversation) -> bytes:
        contexts = b""
        for number, _, syntaxes in conversation.proposed:
            chosen = transfer if transfer in syntaxes else syntaxes[0]
            contexts += item(0x21, bytes((number, 0, 0, 0)) + item(0x40, chosen.encode("latin-1")))
        user = item(0x51, struct.pack(">I", max_length)) + class_uid
        if roles is not None:
            user += item(0x54, struct.pack(">H", len(CT)) + CT.encode() + bytes(roles))
        body = struct.pack(">H2x16s16s32x", 1, b"ODD".ljust(16), b"TEST".ljust(16))
        application = item(0x10, APPLICATION_CONTEXT.encode())
        return pdu(0x02, body + application + contexts + more + item(0x50, user))

    return answer


accept = accepting()
LAST = (READ, RELEASE_RP, CLOSE)
"""How an association ends properly."""

# ---------------------------------------------------------------------- messages


def implicit(group: int, number: int, value: bytes) -> bytes:
    """An element in Implicit VR Little Endian, of any length."""
    return struct.pack("<HHI", group, number, len(value)) + value


def sequence(group: int, number: int, *contents: bytes) -> bytes:
    return implicit(group, number, b"".join(implicit(0xFFFE, 0xE000, each) for each in contents))


def response(
    status: int, *more: bytes, data: bytes = b"", tail: bytes = b"", status_element: bytes = b""
) -> Callable[[Conversation], bytes]:
    """A response to the last request.

    Args:
        status: Its status.
        more: Elements between (0000,0900) and (0000,1000).
        data: Its data set, if it has one.
        tail: Elements behind.
        status_element: Takes the place of (0000,0900).
    """

    def answer(conversation: Conversation) -> bytes:
        sop_class = command_value(conversation.command_set, 0x0002)
        if sop_class is None:  # it releases the association instead
            return b""
        set_ = command(
            uid_element(0x0002, sop_class.rstrip(b"\0").decode()),
            us_element(0x0100, conversation.us(0x0100) | 0x8000),
            us_element(0x0120, conversation.us(0x0110)),
            us_element(0x0800, 1 if data else 0x0101),
            status_element or us_element(0x0900, status),
            *more,
        )
        set_ = _with_tail(set_, tail)
        sent = p_data(conversation.context_id, 3, set_)
        return sent + p_data(conversation.context_id, 2, data) if data else sent

    return answer


def _with_tail(command_set: bytes, tail: bytes) -> bytes:
    """A Command Set with elements behind it, counted in its group length."""
    body = command_set[12:] + tail
    return command_set[:8] + struct.pack("<I", len(body)) + body


def counts(*, remaining: int | None, completed: int, failed: int = 0, warning: int = 0) -> tuple[bytes, ...]:
    """The counts of a C-GET or C-MOVE response."""
    numbers = ((0x1020, remaining), (0x1021, completed), (0x1022, failed), (0x1023, warning))
    return tuple(us_element(number, value) for number, value in numbers if value is not None)


def match(
    name: bytes = b"DOE^JANE", more: bytes = b"", before: bytes = b""
) -> Callable[[Conversation], bytes]:
    """A match of a C-FIND; `before` and `more` are elements around the patient's name."""
    name += b" " * (len(name) & 1)
    return response(PENDING, data=before + implicit(0x0010, 0x0010, name) + more)


def sub_operation(instance: str) -> Script:
    """A C-STORE of the peer over the association of a C-GET; the C-GET-RQ is the last request again then."""

    def request(conversation: Conversation) -> bytes:
        conversation.asked = (conversation.context_id, conversation.command_set)
        number = conversation.context_of(CT)
        syntaxes = next(syntaxes for context, _, syntaxes in conversation.proposed if context == number)
        data = small_ct(instance) if IMPLICIT in syntaxes else ct_data_set(instance)
        return p_data(number, 3, store_command(instance, message_id=77)) + p_data(number, 2, data)

    def resume(conversation: Conversation) -> bytes:
        conversation.context_id, conversation.command_set = conversation.asked
        return b""

    return (request, READ, resume)


def small_ct(instance: str) -> bytes:
    """An object in Implicit VR Little Endian."""
    values = ((0x0008, 0x0016, CT), (0x0008, 0x0018, instance), (0x0010, 0x0010, "TEST^ODD"))
    return b"".join(implicit(group, number, _even(value.encode())) for group, number, value in values)


def _even(value: bytes) -> bytes:
    return value + b"\0" * (len(value) & 1)


def storing(odd: Callable[[Conversation, str], Step | None]) -> Callable[[Conversation], bytes]:
    """A Storage SCP that takes objects, until `odd` says that one of them ends the association, and how.

    Args:
        odd: Gets the SOP Instance UID of each object that has come whole.
    """

    def serve(conversation: Conversation) -> bytes:
        while True:
            conversation.read()
            if not conversation.command_set:
                return RELEASE_RP if conversation.pdu[:1] == b"\x05" else b""
            uid = (command_value(conversation.command_set, 0x1000) or b"").rstrip(b"\0").decode()
            end = odd(conversation, uid)
            if end is not None:
                conversation.end(end)
                return b""
            conversation.say(response(0, tail=uid_element(0x1000, uid))(conversation))

    return serve


# ---------------------------------------------------------------------- the other direction


def delivering(port: int, *instances: str, before_last: Callable[[], None] = lambda: None) -> None:
    """What the sending side of a C-MOVE does: an association with one C-STORE for each instance.

    Args:
        port: Where the objects go.
        instances: Their SOP Instance UIDs.
        before_last: Called when half of the last object is on its way.
    """
    context = b"".join((bytes((1, 0, 0, 0)), item(0x30, CT.encode()), item(0x40, IMPLICIT.encode())))
    with RawPeer.associated(port, associate_rq(item(0x20, context), called=b"DCMNET")) as peer:
        for number, instance in enumerate(instances, 1):
            data = small_ct(instance)
            peer.send(p_data(1, 3, store_command(instance, message_id=number)) + p_data(1, 0, data[:20]))
            if number == len(instances):
                before_last()
            peer.send(p_data(1, 2, data[20:]))
            assert peer.read_status() == 0
        peer.send(RELEASE_RQ)
        assert peer.read_pdu() == RELEASE_RP
