"""Messages to PDV fragments and back, and the message IDs of operations under way (PS3.7 6.3, PS3.8 Annex E).

Data sets pass through untouched: arriving ones as views, one at a time, leaving ones as slices of whatever
the caller has. Only Command Sets are ever gathered.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from dcmnet._records import dataclass
from dcmnet.dimse.command import command_error
from dcmnet.dimse.messages import (
    RESPONSE_TO,
    CFindRQ,
    CGetRQ,
    CMoveRQ,
    Message,
    Request,
    Response,
    StatusClass,
    decode_message,
    status_class,
)
from dcmnet.errors import ABORT_UNEXPECTED_PARAMETER, LocalProtocolError, RemoteProtocolError
from dcmnet.limits import LARGEST_PDU_SENT, SEND_BATCH_LENGTH, SMALLEST_MAX_PDU_LENGTH, Limits
from dcmnet.payload import FileRange, Payload
from dcmnet.ul.pdu import pdata_header
from dcmnet.ul.reader import Fragment

PDV_OVERHEAD = 6
"""Length, context id and message control header of a PDV, all of which the maximum PDU length counts."""

MAX_BATCH_PDVS = 500
"""Header and bytes of so many PDVs, however small, stay below the 1024 buffers of one sendmsg (IOV_MAX)."""

LARGEST_MESSAGE_ID = 0xFFFF


@dataclass(frozen=True, slots=True)
class MessageStart:
    """A Command Set is complete.

    Attributes:
        context_id: The presentation context it came on.
        message: The message; if `message.has_data_set`, a `DataFragment` with `is_last` ends it.
    """

    context_id: int
    message: Message


class DataFragment(NamedTuple):
    """A piece of the data set of the message in progress; one is made for every piece, so it is a bare tuple.

    Attributes:
        data: The bytes, valid as long as the view that the reader handed out.
        is_last: Whether they end the data set.
    """

    data: memoryview
    is_last: bool


class Assembler:
    """Makes messages of the fragments of one association, in one direction.

    A message is its Command Set and then, if it says so, its data set, all on one presentation context;
    nothing comes in between (PS3.8 Annex E.1).
    """

    __slots__ = ("_command", "_context_id", "_data_set_due", "_fragments", "_limits")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._command: bytearray | None = None
        self._context_id = 0
        self._data_set_due = False
        self._fragments = 0

    @property
    def in_message(self) -> bool:
        """Whether part of a message has arrived, but not all of it."""
        return self._data_set_due or self._command is not None

    def feed(self, fragment: Fragment) -> MessageStart | DataFragment | None:
        """Take the next fragment.

        Returns:
            The message whose Command Set the fragment completes, the piece of data set that it is, or None
            while the Command Set is incomplete.

        Raises:
            RemoteProtocolError: The fragment cannot come now (unexpected-PDU-parameter), or the Command Set
                is no message, or above its limits (service-user).
        """
        if self._data_set_due:
            return DataFragment(fragment.data, self.feed_data(fragment))
        if self._command is not None and fragment.context_id != self._context_id:
            raise self._other_context(fragment)
        if not fragment.is_command:
            raise _unexpected("a fragment of a data set where a Command Set was due")
        whole: memoryview | bytearray = fragment.data
        if self._command is not None or not fragment.is_last:
            whole = self._gather(fragment)
        if not fragment.is_last:
            return None
        self._command = None
        self._fragments = 0
        try:
            message = decode_message(whole, self._limits)
        except RemoteProtocolError as error:
            if len(whole) % 2:  # PS3.8 9.3.5.1: it was tolerated, and is the fault of the PDU after all
                raise RemoteProtocolError(f"a command fragment of odd length: {error}") from error
            raise
        self._context_id = fragment.context_id
        self._data_set_due = message.has_data_set
        return MessageStart(fragment.context_id, message)

    def feed_data(self, fragment: Fragment) -> bool:
        """Take the next fragment of the data set of the message in progress; whether it is the last one.

        Raises:
            RemoteProtocolError: As for `feed`.
        """
        if fragment.context_id != self._context_id:
            raise self._other_context(fragment)
        if fragment.is_command:
            raise _unexpected("a fragment of a Command Set where one of a data set was due")
        if fragment.is_last:
            self._data_set_due = False
        return fragment.is_last

    def _other_context(self, fragment: Fragment) -> RemoteProtocolError:
        # PS3.8 E.1: the fragments of a message come on one presentation context.
        return _unexpected(
            f"a fragment on presentation context {fragment.context_id} in the middle of a message on "
            f"{self._context_id}"
        )

    def _gather(self, fragment: Fragment) -> bytearray:
        command = bytearray() if self._command is None else self._command
        self._command, self._context_id = command, fragment.context_id
        self._fragments += fragment.ends_pdv
        length = len(command) + len(fragment.data)
        if length > self._limits.max_command_set_length:
            limit = self._limits.max_command_set_length
            raise command_error(f"a Command Set of {length} bytes or more; the limit is {limit}")
        if self._fragments > self._limits.max_command_fragments:
            limit = self._limits.max_command_fragments
            raise command_error(f"a Command Set in more than {limit} fragments")
        command += fragment.data
        return command


class MessageIDs:
    """Message IDs of one association, and the requests that wait for their response.

    Attributes:
        outstanding: The requests by Message ID (0000,0110), in the order in which they were sent.
    """

    __slots__ = ("_last", "outstanding")

    def __init__(self) -> None:
        self.outstanding: dict[int, Request] = {}
        self._last = 0

    def next(self) -> int:
        """A Message ID that no outstanding request has: 1 to 65535 and round again.

        Raises:
            LocalProtocolError: All of them are outstanding.
        """
        for _ in range(LARGEST_MESSAGE_ID):
            self._last = self._last % LARGEST_MESSAGE_ID + 1
            if self._last not in self.outstanding:
                return self._last
        raise LocalProtocolError("all 65535 Message IDs are outstanding; wait for responses")

    @property
    def upcoming(self) -> int:
        """What `next` gives when it is called next, where not all are outstanding."""
        number = self._last % LARGEST_MESSAGE_ID + 1
        while number in self.outstanding and len(self.outstanding) < LARGEST_MESSAGE_ID:
            number = number % LARGEST_MESSAGE_ID + 1
        return number

    def add(self, request: Request) -> None:
        """Note a request as outstanding.

        Raises:
            LocalProtocolError: Its Message ID is that of another one (PS3.7 9.1, 10.1).
        """
        if request.message_id in self.outstanding:
            other = self.outstanding[request.message_id]
            raise LocalProtocolError(
                f"Message ID {request.message_id} is outstanding for a {other.NAME}; take it from next()"
            )
        self.outstanding[request.message_id] = request

    def match(self, response: Response) -> Request:
        """The request that a response answers; the last response to it ends its being outstanding.

        Raises:
            RemoteProtocolError: No such request is outstanding, or this is no response to it (service-user).
        """
        message_id = response.message_id_being_responded_to
        request = self.outstanding.get(message_id)
        if request is None:
            raise command_error(f"{response.NAME} to Message ID {message_id}, which is not outstanding")
        if type(response) is not RESPONSE_TO[type(request)]:
            raise command_error(f"{response.NAME} to Message ID {message_id}, which is a {request.NAME}")
        # PS3.7 9.1.2, 9.1.3, 9.1.4: only these have pending responses; any other response is the only one.
        pending = isinstance(request, CFindRQ | CGetRQ | CMoveRQ) and (
            status_class(response.status) is StatusClass.PENDING
        )
        if not pending:
            del self.outstanding[message_id]
        return request


def fragment_message(
    context_id: int,
    message: Message,
    payload: Payload | None,
    max_length: int,
    batch_length: int = SEND_BATCH_LENGTH,
) -> Iterator[list[Payload]]:
    """Cut a message into P-DATA-TF PDUs of one PDV each.

    Args:
        context_id: Presentation context to send on.
        message: The message; it says whether there is a data set.
        payload: The encoded data set, which may be empty, or None. A FileRange is sliced, not read.
        max_length: The peer's maximum PDU length (PS3.8 D.1), 0 for no limit; `LARGEST_PDU_SENT` caps it.
        batch_length: Bytes of a batch at most, headers not counted, unless one PDV alone is longer; a
            batch also ends after `MAX_BATCH_PDVS`.

    Returns:
        Batches of parts to be sent one after another: header, bytes, header, bytes ... The Command Set and
        the first PDVs of the data set are in the first batch.

    Raises:
        LocalProtocolError: The message cannot be encoded, says otherwise than `payload` whether there is a
            data set, or no PDV fits the peer's maximum.
    """
    if 0 < max_length < SMALLEST_MAX_PDU_LENGTH:
        raise LocalProtocolError(f"the peer's maximum PDU length of {max_length} has no room for a PDV")
    if message.has_data_set is (payload is None):
        given = "none was given" if payload is None else "one was given"
        raise LocalProtocolError(f"{message.NAME} with has_data_set {message.has_data_set}, but {given}")
    # PS3.8 9.3.5.1: a fragment has an even length; the last one of a data set is as long as it happens to be.
    size = (min(max_length or LARGEST_PDU_SENT, LARGEST_PDU_SENT) - PDV_OVERHEAD) & ~1
    command = message.encode()
    fits = payload is None or len(payload) <= min(size, batch_length - len(command))
    if fits and len(command) <= size:
        return iter((_small_message(context_id, command, payload),))
    parts: list[Payload] = []
    for header_and_data in _pdvs(context_id, True, command, size):
        parts += header_and_data
    if payload is None:
        return iter([parts])
    return _batches(parts, _pdvs(context_id, False, payload, size), len(command), size, batch_length)


def lone_message(context_id: int, message: Message, max_length: int) -> list[Payload]:
    """The P-DATA-TF PDUs of a message without a data set: mostly one, in one piece.

    Raises:
        LocalProtocolError: As for `fragment_message`.
    """
    if message.has_data_set is False and not 0 < max_length < SMALLEST_MAX_PDU_LENGTH:
        command = message.encode()
        if len(command) + PDV_OVERHEAD <= (max_length or LARGEST_PDU_SENT):
            return [pdata_header(context_id, True, True, len(command)) + command]
    return next(fragment_message(context_id, message, None, max_length))


def _small_message(context_id: int, command: bytes, payload: Payload | None) -> list[Payload]:
    """A message that needs one PDU for its Command Set and one for its data set, if any."""
    parts: list[Payload] = [pdata_header(context_id, True, True, len(command)), command]
    if payload is not None:
        parts += (pdata_header(context_id, False, True, len(payload)), payload)
    return parts


def _batches(
    parts: list[Payload], pdvs: Iterator[tuple[bytes, Payload]], used: int, size: int, batch_length: int
) -> Iterator[list[Payload]]:
    count = min((batch_length - used) // size, MAX_BATCH_PDVS - len(parts) // 2)
    while True:
        for header_and_data in islice(pdvs, max(1, count)):
            parts += header_and_data
        if not parts:
            return
        yield parts
        parts = []
        count = min(batch_length // size, MAX_BATCH_PDVS)


def _pdvs(context_id: int, is_command: bool, payload: Payload, size: int) -> Iterator[tuple[bytes, Payload]]:
    """Header and bytes of each PDV: full ones under one header, then the last one, which may be empty."""
    header = pdata_header(context_id, is_command, False, size)
    last = max(0, len(payload) - 1) // size * size
    rest = len(payload) - last
    last_header = pdata_header(context_id, is_command, True, rest)
    if isinstance(payload, FileRange):
        fd, offset = payload.fd, payload.offset
        for start in range(offset, offset + last, size):
            yield header, FileRange(fd, start, size)
        yield last_header, FileRange(fd, offset + last, rest)
    else:
        view = memoryview(payload)
        for start in range(0, last, size):
            yield header, view[start : start + size]
        yield last_header, view[last:]


def _unexpected(message: str) -> RemoteProtocolError:
    return RemoteProtocolError(message, reason=ABORT_UNEXPECTED_PARAMETER)
