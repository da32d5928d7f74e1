"""Bytes that are encoded once and sent again and again, so that the other side of a transfer is judged alone.

They come from dcmnet's own codec. What differs from one object to the next, the Message ID and the SOP
Instance UID, is written over in place.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from dcmnet.acse import ProposedContext, RequestorPolicy, build_request
from dcmnet.dimse.messages import CEchoRQ, CEchoRSP, CStoreRQ, CStoreRSP, Message
from dcmnet.dimse.stream import fragment_message
from dcmnet.limits import Limits
from dcmnet.storage.elements import HEAD_LENGTH
from dcmnet.storage.part10 import FileMeta, read_file_meta
from dcmnet.ul.items import PresentationContextAC, UserInformation
from dcmnet.ul.pdu import AAssociateAC, AAssociateRQ, AReleaseRP, AReleaseRQ

VERIFICATION = "1.2.840.10008.1.1"
IMPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2"
CONTEXT_ID = 1
ROOT = "1.2.826.0.1.3680043.10.1500.9.7"
FIRST_NUMBER = 10**9
"""UIDs end in a number of ten digits: all are equally long, and none has a leading zero."""

RELEASE = AReleaseRQ().encode()
RELEASED = AReleaseRP().encode()

# Numbers of elements in group 0000.
COMMAND_FIELD = 0x0100
MESSAGE_ID = 0x0110
MESSAGE_ID_RESPONDED_TO = 0x0120
STATUS = 0x0900

NUMBER = struct.Struct("<H")
COMMAND = 12
"""Where a Command Set begins in a PDU with one PDV."""
_ELEMENT = struct.Struct("<HHL")


class Unexpected(Exception):
    """The peer did not do what canned bytes can deal with."""


def instance_uid(number: int) -> str:
    """The SOP Instance UID of the object with that number, 0 and up."""
    return f"{ROOT}.{FIRST_NUMBER + number}"


def request(abstract_syntax: str, transfer_syntax: str) -> bytes:
    """An A-ASSOCIATE-RQ with one presentation context."""
    context = ProposedContext(abstract_syntax=abstract_syntax, transfer_syntaxes=(transfer_syntax,))
    policy = RequestorPolicy(called_ae_title="ANY-SCP", calling_ae_title="CANNED", contexts=(context,))
    return build_request(policy).encode()


def accepting(view: memoryview, max_pdu_length: int) -> bytes:
    """An A-ASSOCIATE-AC that accepts all that the A-ASSOCIATE-RQ with the value `view` asks for."""
    received = AAssociateRQ.decode(view, Limits())
    return AAssociateAC(
        received.called_ae_title,
        received.calling_ae_title,
        tuple(
            PresentationContextAC(each.context_id, 0, each.transfer_syntaxes[0])
            for each in received.presentation_contexts
        ),
        UserInformation(
            max_length=max_pdu_length,
            implementation_class_uid=ROOT,
            asynchronous_operations_window=received.user_information.asynchronous_operations_window,
        ),
    ).encode()


def message(content: Message, payload: bytes | None, max_pdu_length: int) -> bytearray:
    """The PDUs of a message, one after the other."""
    batches = fragment_message(CONTEXT_ID, content, payload, max_pdu_length)
    return bytearray().join(bytes(part) for batch in batches for part in batch)  # type: ignore[arg-type]


def echo() -> bytearray:
    """A C-ECHO-RQ with Message ID 1."""
    return message(CEchoRQ(message_id=1, affected_sop_class_uid=VERIFICATION), None, 16384)


def store_response() -> bytearray:
    """A C-STORE-RSP with status 0000."""
    return message(CStoreRSP(message_id_being_responded_to=0, status=0), None, 16384)


def echo_response() -> bytearray:
    """A C-ECHO-RSP with status 0000."""
    return message(CEchoRSP(message_id_being_responded_to=0, status=0), None, 16384)


class Template:
    """An object of which any number of instances can be made: the file's data set with a UID of ours.

    Attributes:
        meta: The file's File Meta Information.
        data_set: Of the instance with the number 0.
    """

    def __init__(self, path: Path) -> None:
        content = path.read_bytes()
        self.meta, start = read_file_meta(content[:HEAD_LENGTH], path.name)
        original = _uid_element(self.meta.sop_instance_uid)
        if original not in content[start : start + HEAD_LENGTH]:
            raise ValueError(f"{path} has no (0008,0018) in Explicit VR Little Endian with its UID")
        self.data_set = content[start:].replace(original, _uid_element(instance_uid(0)), 1)

    def data_set_of(self, number: int) -> bytes:
        """The data set of one instance."""
        return self.data_set.replace(instance_uid(0).encode(), instance_uid(number).encode(), 1)


class CannedStore:
    """The PDUs of one C-STORE-RQ with its data set; `instance` makes it another object.

    Attributes:
        parts: What to send: a head with everything that changes, and the rest, shared by all.
    """

    def __init__(self, whole: bytes) -> None:
        uid = instance_uid(0).encode()
        self._numbers = list(_positions(whole, uid, len(uid) - 10))
        if len(self._numbers) != 2:
            raise ValueError("the maximum PDU length is so small that it cuts the UID or the Command Set")
        self._message_id = position_of(whole, MESSAGE_ID, COMMAND, len(whole))
        end = self._numbers[-1] + 10
        self._head = bytearray(whole[:end])
        self.parts = (memoryview(self._head), memoryview(whole)[end:])

    @staticmethod
    def encode(template: Template, max_pdu_length: int) -> bytes:
        """The bytes that all instances share."""
        meta: FileMeta = template.meta
        content = CStoreRQ(
            message_id=1,
            affected_sop_class_uid=meta.sop_class_uid,
            affected_sop_instance_uid=instance_uid(0),
        )
        return bytes(message(content, template.data_set, max_pdu_length))

    def instance(self, number: int) -> int:
        """Become the object with this number.

        Returns:
            Its Message ID.
        """
        digits = b"%d" % (FIRST_NUMBER + number)
        for position in self._numbers:
            self._head[position : position + 10] = digits
        message_id = number % 0xFFFF + 1
        NUMBER.pack_into(self._head, self._message_id, message_id)
        return message_id


def check_response(pdu: bytes | bytearray, length: int, message_id: int) -> None:
    """See that the first `length` bytes are a whole response with status 0000 to `message_id`.

    Raises:
        Unexpected: They are not.
    """
    # One PDV with the last fragment of a Command Set: how every server here sends what is this short.
    if pdu[0] != 4 or pdu[11] != 3 or int.from_bytes(pdu[6:10], "big") != length - 10:
        raise Unexpected(f"a PDU of type {pdu[0]} instead of a response in one PDV")
    answered = NUMBER.unpack_from(pdu, position_of(pdu, MESSAGE_ID_RESPONDED_TO, COMMAND, length))[0]
    status = NUMBER.unpack_from(pdu, position_of(pdu, STATUS, COMMAND, length))[0]
    if status != 0:
        raise Unexpected(f"status {status:04X}")
    if answered != message_id:
        raise Unexpected(f"a response to message {answered} instead of {message_id}")


def position_of(command: bytes | bytearray, number: int, start: int, end: int) -> int:
    """Where the value of an element begins in a Command Set, which is `command[start:end]`.

    Raises:
        Unexpected: It has no such element.
    """
    while start + 8 <= end:
        _, found, length = _ELEMENT.unpack_from(command, start)
        start += 8
        if found == number:
            return start
        start += length
    raise Unexpected(f"a command without (0000,{number:04X})")


def check_accepted(pdu: bytes | bytearray) -> None:
    """See that an A-ASSOCIATE-AC accepts the first presentation context.

    Raises:
        Unexpected: It does not, or it is something else.
    """
    if pdu[0] != 2:
        raise Unexpected(f"a PDU of type {pdu[0]} instead of an A-ASSOCIATE-AC")
    position = 74 + 4 + int.from_bytes(pdu[76:78], "big")  # PS3.8 9.3.3: behind the Application Context item
    if pdu[position] != 0x21 or pdu[position + 6] != 0:
        raise Unexpected("the presentation context was not accepted")


def associate(port: int, asking: bytes) -> socket.socket:
    """A blocking connection with an association.

    Raises:
        Unexpected: It was not accepted.
    """
    connection = socket.create_connection(("127.0.0.1", port), 60)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(asking)
    check_accepted(read_pdu(connection))
    return connection


def read_pdu(connection: socket.socket) -> bytes:
    """The next PDU from a blocking connection.

    Raises:
        Unexpected: The connection was closed.
    """
    header = _exactly(connection, 6)
    return header + _exactly(connection, int.from_bytes(header[2:], "big"))


def _exactly(connection: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        more = connection.recv(count - len(found))
        if not more:
            raise Unexpected("the peer closed the connection")
        found += more
    return found


def _uid_element(uid: str) -> bytes:
    raw = uid.encode() + b"\0" * (len(uid) & 1)
    return struct.pack("<HH2sH", 0x0008, 0x0018, b"UI", len(raw)) + raw


def _positions(whole: bytes, sought: bytes, behind: int) -> Iterator[int]:
    position = whole.find(sought)
    while position >= 0:
        yield position + behind
        position = whole.find(sought, position + 1)
