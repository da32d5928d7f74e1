"""Streaming parser of what arrives: bytes into one fixed buffer, PDUs and fragments of PDVs out (PS3.8 9.3).

Data of P-DATA-TF PDUs is never copied and never waited for: a view of whatever part of a PDV is there comes
out at once. Other PDUs come out whole. The length that a PDU claims is checked before anything is kept for
it, and memory grows with bytes that arrived, not with lengths that were claimed.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TypeAlias

from dcmnet._records import dataclass
from dcmnet.errors import ABORT_UNRECOGNIZED_PDU, RemoteProtocolError
from dcmnet.limits import OVERSIZED_PDU_MARGIN, SMALL_RECEIVE_BUFFER_LENGTH, Limits, Tolerance
from dcmnet.ul.pdu import (
    PDATA_HEADER,
    PDU,
    PDU_HEADER,
    PDU_HEADER_LENGTH,
    PDV_HEADER,
    PDV_HEADER_LENGTH,
    AAbort,
    AAssociateAC,
    AAssociateRJ,
    AAssociateRQ,
    AReleaseRP,
    AReleaseRQ,
    PDataTF,
    check_pdv,
    pdv_header_error,
)

SMALLEST_BUFFER_LENGTH = 16
"""The longest thing that has to be in the buffer as a whole is an A-ABORT PDU of ten bytes."""

_NO_BUFFER = memoryview(bytearray())
_LARGEST_LENGTH = 0xFFFFFFFF
_DATA_STARTS = PDU_HEADER_LENGTH + PDV_HEADER_LENGTH
_new = object.__new__
_unpack_headers = PDATA_HEADER.unpack_from
_P_DATA_TF = PDataTF.PDU_TYPE
_ABORT = AAbort.PDU_TYPE
_ENDS = (AReleaseRQ.PDU_TYPE, _ABORT)

_Associate: TypeAlias = "type[AAssociateRQ] | type[AAssociateAC]"
_ASSOCIATE: dict[int, _Associate] = {each.PDU_TYPE: each for each in (AAssociateRQ, AAssociateAC)}
_FOUR_BYTES: dict[int, type[AAssociateRJ | AReleaseRQ | AReleaseRP | AAbort]] = {
    each.PDU_TYPE: each for each in (AAssociateRJ, AReleaseRQ, AReleaseRP, AAbort)
}


@dataclass(slots=True, eq=False)
class Fragment:
    """A part of a PDV, as it arrived. Not frozen for speed only: nobody changes it.

    Attributes:
        context_id: Presentation-context-ID.
        is_command: The data belongs to a Command Set, not to a data set.
        is_last: The Command Set or data set ends with this data.
        ends_pdv: The PDV ends with this data.
        data: The bytes, valid until the next `Reader.get_buffer`.
    """

    context_id: int
    is_command: bool
    is_last: bool
    ends_pdv: bool
    data: memoryview


class Reader:
    """Parser of one connection's incoming bytes.

    Use: `get_buffer`, read into it, `received`, then `next` until it returns None; again.

    Args:
        limits: What may arrive, and which faults are passed over.
        max_pdu_length: The Maximum Length that this side announced (PS3.8 D.1), 0 for no limit.
    """

    def __init__(self, *, limits: Limits, max_pdu_length: int) -> None:
        self._limits = limits
        margin = OVERSIZED_PDU_MARGIN if Tolerance.OVERSIZED_PDU in limits.tolerance else 0
        self._max_pdata_length = max_pdu_length + margin if max_pdu_length else _LARGEST_LENGTH
        self._own_length = max(limits.receive_buffer_length, SMALLEST_BUFFER_LENGTH)
        self._buffer_length = self._own_length
        self._small_length = min(self._buffer_length, SMALL_RECEIVE_BUFFER_LENGTH)
        self._view = _NO_BUFFER
        self._capacity = 0
        self._start = 0  # of what was not consumed yet
        self._end = 0
        self._before = 0  # how many bytes of the connection lie before the start of the buffer
        self._handed_out: list[memoryview] = []
        self._data_arrived = False
        self._discarding = False
        self._walked = 0  # how far `abort_ahead` has looked: always where a PDU begins
        # The P-DATA-TF or A-ASSOCIATE PDU being consumed, and the PDV in it:
        self._pdu_left = 0
        self._pdv_left = 0
        self._context_id = 0
        self._is_command = False
        self._is_last = False
        self._associate: _Associate | None = None
        self._body = bytearray()

    @property
    def in_pdu(self) -> bool:
        """A part of a PDU has arrived, but not all of it (asked when `next` has returned None)."""
        return self._pdu_left > 0 or self._end > self._start

    @property
    def received_position(self) -> int:
        """How many bytes of the connection have arrived."""
        return self._before + self._end

    @property
    def consumed_position(self) -> int:
        """How many bytes of the connection `next` has consumed."""
        return self._before + self._start

    def get_buffer(self) -> memoryview:
        """Where to read into next; releases every view that was handed out before.

        Views that others made of those views (slices, arrays) cannot be released: they show other bytes then.
        It is empty only if the buffer is full and `next` was not called until it returned None; to read into
        it would then look like the end of the connection.
        """
        # Full of what nobody has read yet: whoever sends much gets as many answers meanwhile.
        large = self._data_arrived or self._end - self._start >= self._small_length
        capacity = self._buffer_length if large else self._small_length
        if not self._release() or capacity > self._capacity:
            self._replace(capacity)
        elif self._start == self._end:  # nothing has to be moved
            self._walked = max(self._walked - self._start, 0)
            self._before += self._start
            self._start = self._end = 0
        elif self._start:
            self._compact(self._view)
        tail = self._view[self._end :]
        self._handed_out.append(tail)
        return tail

    def widen(self, length: int) -> None:
        """Have a buffer of that length for data sets, if it is the longer one; until `rest` gives it up."""
        self._buffer_length = max(length, self._own_length)

    def rest(self) -> bool:
        """Give the buffer up, unless there is something in it; the next `get_buffer` makes a small one.

        Returns:
            Whether it was given up.
        """
        if self._start != self._end:
            return False
        self._release()
        self._compact(_NO_BUFFER)
        self._data_arrived = False
        self._buffer_length = self._own_length
        return True

    def _release(self) -> bool:
        """Make every view handed out unusable; False if one is in use, by a write under way for instance."""
        handed_out = self._handed_out
        try:
            for view in handed_out:
                view.release()
        except BufferError:
            return self._release_others()
        handed_out.clear()
        return True

    def _release_others(self) -> bool:
        """Go on where one is in use; to release a view twice does nothing."""
        for view in self._handed_out:
            with suppress(BufferError):
                view.release()
        self._handed_out.clear()
        return False

    def _replace(self, capacity: int) -> None:
        """Go on in a new buffer; the old one stays with whoever still holds a part of it."""
        self._compact(memoryview(bytearray(capacity)))

    def _compact(self, target: memoryview) -> None:
        """Move what was not consumed to the beginning of `target`, the buffer from now on."""
        start, unread = self._start, self._end - self._start
        target[:unread] = self._view[start : self._end]
        self._view, self._capacity = target, len(target)
        self._start, self._end = 0, unread
        self._before += start
        self._walked = max(self._walked - start, 0)

    def received(self, count: int) -> None:
        """Tell that `count` more bytes are in the buffer.

        Raises:
            ValueError: The buffer that was handed out has no room for that many.
        """
        if not 0 <= count <= self._capacity - self._end:
            raise ValueError(f"{count} bytes received, the buffer has room for {self._capacity - self._end}")
        if not self._discarding:
            self._end += count

    def discard(self) -> None:
        """Drop everything that is there and everything that still comes (PS3.8 Sta13)."""
        self._discarding = True
        self._before += self._end
        self._start = self._end = 0
        self._walked = self._pdu_left = self._pdv_left = 0
        self._associate = None
        self._body = bytearray()

    def next(self) -> PDU | Fragment | None:
        """The next PDU, or the next piece of a P-DATA-TF PDU; None when more bytes are needed.

        However the bytes were cut on their way, the same comes out; only a PDV may come in other pieces.

        Raises:
            RemoteProtocolError: What arrived is not valid. From then on everything is discarded.
        """
        if not self._pdu_left:
            start = self._start
            count = self._end - start
            if count > _DATA_STARTS:
                pdu_type, length, pdv_length, context_id, control = _unpack_headers(self._view, start)
                if (
                    pdu_type == _P_DATA_TF
                    and 4 <= pdv_length == length - 4
                    and not pdv_length & 1
                    and length <= self._max_pdata_length
                    and length <= count - PDU_HEADER_LENGTH
                ):  # one PDV with nothing wrong, and all of it is there
                    self._start = end = start + PDU_HEADER_LENGTH + length
                    data = self._view[start + _DATA_STARTS : end]
                    self._handed_out.append(data)
                    fragment = _new(Fragment)  # so that it takes half of the time
                    fragment.context_id = context_id
                    # PS3.8 E.2: bits 2 to 7 of the message control header are not checked.
                    fragment.is_command = is_command = control & 1 == 1
                    fragment.is_last = control & 2 == 2
                    fragment.ends_pdv = True
                    fragment.data = data
                    if not is_command:
                        self._data_arrived = True
                    return fragment
            elif count < PDU_HEADER_LENGTH:
                return None
        try:
            return self._go_on()
        except RemoteProtocolError:
            self.discard()
            raise

    def _go_on(self) -> PDU | Fragment | None:
        """The next PDU, or piece of a P-DATA-TF PDU, whose header is there."""
        if self._pdv_left:
            return self._piece()
        if self._pdu_left:
            return self._next_pdv() if self._associate is None else self._gather(self._associate)
        start = self._start
        pdu_type, length = PDU_HEADER.unpack_from(self._view, start)
        if pdu_type != _P_DATA_TF:
            return self._control(pdu_type, length)
        # PS3.8 D.1.1: the PDU length is bounded by the Maximum Length that was announced.
        if length > self._max_pdata_length:
            raise RemoteProtocolError(
                f"P-DATA-TF: a length of {length}, expected at most {self._max_pdata_length}"
            )
        if length < PDV_HEADER_LENGTH:
            raise pdv_header_error(length)
        self._start = start + PDU_HEADER_LENGTH
        self._pdu_left = length
        return self._next_pdv()

    def _next_pdv(self) -> Fragment | None:
        """Begin the next PDV of the P-DATA-TF PDU."""
        start, left = self._start, self._pdu_left
        if left < PDV_HEADER_LENGTH:
            raise pdv_header_error(left)
        if self._end - start < PDV_HEADER_LENGTH:
            return None
        length, self._context_id, control = PDV_HEADER.unpack_from(self._view, start)
        if not 2 <= length <= left - 4 or length & 1:
            check_pdv(length, control, left, self._limits)
        # PS3.8 E.2: bits 2 to 7 of the message control header are not checked.
        self._is_command = control & 1 == 1
        self._is_last = control & 2 == 2
        self._start = start + PDV_HEADER_LENGTH
        self._pdu_left = left - PDV_HEADER_LENGTH
        self._pdv_left = length - 2
        if not control & 1:
            self._data_arrived = True
        if length == 2:
            return Fragment(self._context_id, self._is_command, self._is_last, True, self._view[:0])
        return self._piece()

    def _piece(self) -> Fragment | None:
        """What has arrived of the data of the PDV."""
        start = self._start
        count = self._end - start
        left = self._pdv_left
        if count >= left:
            count = left
        elif not count:
            return None
        self._start = end = start + count
        self._pdu_left -= count
        self._pdv_left = left = left - count
        data = self._view[start:end]
        self._handed_out.append(data)
        if left:
            return Fragment(self._context_id, self._is_command, False, False, data)
        return Fragment(self._context_id, self._is_command, self._is_last, True, data)

    def _control(self, pdu_type: int, length: int) -> PDU | None:
        """A PDU other than P-DATA-TF, whose header is in the buffer."""
        associate = _ASSOCIATE.get(pdu_type)
        if associate is not None:
            limit = self._limits.max_associate_pdu_length
            if length > limit:
                raise RemoteProtocolError(f"A-ASSOCIATE PDU: a length of {length}, expected at most {limit}")
            self._start += PDU_HEADER_LENGTH
            self._pdu_left = length
            return self._gather(associate)
        pdu = _FOUR_BYTES.get(pdu_type)
        if pdu is None:
            raise RemoteProtocolError(
                f"PDU type {pdu_type:02X}H, expected 01H to 07H: the peer does not speak DICOM",
                reason=ABORT_UNRECOGNIZED_PDU,
            )
        if length != 4:
            raise RemoteProtocolError(f"PDU {pdu_type:02X}H: a length of {length}, expected 4")
        begin = self._start + PDU_HEADER_LENGTH
        if self._end < begin + 4:
            return None
        self._start = begin + 4
        return pdu.decode(self._view[begin : begin + 4], self._limits)

    def _gather(self, associate: _Associate) -> PDU | None:
        """An A-ASSOCIATE PDU, from the buffer if it is there as a whole, else gathered as it arrives."""
        start = self._start
        count = min(self._end - start, self._pdu_left)
        self._start = start + count
        self._pdu_left -= count
        piece = self._view[start : start + count]
        if self._pdu_left:
            self._associate = associate
            self._body += piece
            return None
        if self._associate is None:
            return associate.decode(piece, self._limits)
        body = self._body
        body += piece
        self._associate, self._body = None, bytearray()
        return associate.decode(memoryview(body), self._limits)

    def end_ahead(self) -> bool:
        """Whether an A-RELEASE-RQ or an A-ABORT PDU waits behind what was not consumed yet."""
        position = self._start + self._pdu_left
        while position + PDU_HEADER_LENGTH <= self._end:
            pdu_type, length = PDU_HEADER.unpack_from(self._view, position)
            if pdu_type in _ENDS:
                return True
            position += PDU_HEADER_LENGTH + length
        return False

    def abort_ahead(self) -> bool:
        """Whether a whole A-ABORT PDU waits behind what was not consumed yet; consumes nothing.

        For a sender that reads while it sends: it stops at once instead of when it gets to the PDU.
        """
        position = max(self._walked, self._start + self._pdu_left)
        found = False
        while position + PDU_HEADER_LENGTH <= self._end:
            pdu_type, length = PDU_HEADER.unpack_from(self._view, position)
            if pdu_type == _ABORT:
                found = length == 4 and position + PDU_HEADER_LENGTH + 4 <= self._end
                break
            position += PDU_HEADER_LENGTH + length
        self._walked = position
        return found
