"""The Upper Layer service provider of PS3.8: bytes, primitives and time in; events, bytes and a deadline out.

An `UpperLayer` owns the state machine, the reader and the ARTIM timer of one association. It never touches a
socket or a clock: whoever drives it reports what arrived and when, sends what `output` returns, and calls
`timer_expired` when `deadline` has passed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from dcmnet.errors import (
    ABORT_SOURCE_PROVIDER,
    ABORT_SOURCE_USER,
    ABORT_UNEXPECTED_PDU,
    AssociationAborted,
    DcmnetError,
    DeadlineExceeded,
    LocalProtocolError,
    RemoteProtocolError,
    TransportClosed,
)
from dcmnet.limits import DEFAULT_MAX_PDU_LENGTH, Limits, Timeouts
from dcmnet.ul.fsm import Evt, Op, Sta, StateMachine, Transition
from dcmnet.ul.pdu import (
    PDU,
    AAbort,
    AAssociateAC,
    AAssociateRJ,
    AAssociateRQ,
    AReleaseRP,
    AReleaseRQ,
    PDataTF,
)
from dcmnet.ul.reader import Fragment, Reader

Event: TypeAlias = "AAssociateRQ | AAssociateAC | AAssociateRJ | AReleaseRQ | AReleaseRP | Fragment"
"""An indication or confirmation: the PDU that carried it, or a part of a P-DATA-TF's data."""

Trace: TypeAlias = Callable[[str, object], None]
"""Called with what happened and its subject, never with payload bytes: `sent` and `received` with a PDU,
`state` with event, state and transition, `message sent` and `message received` with context and message."""

_STA6 = Sta.STA6  # to look a member of an enumeration up takes longer than most of what is done with it
_RECEIVED: dict[type, Evt] = {
    AAssociateAC: Evt.EVT3,
    AAssociateRJ: Evt.EVT4,
    AAssociateRQ: Evt.EVT6,
    Fragment: Evt.EVT10,
    AReleaseRQ: Evt.EVT12,
    AReleaseRP: Evt.EVT13,
    AAbort: Evt.EVT16,
}


_ENDED = (Sta.STA1, Sta.STA13)
_INDICATE = Op.INDICATE
_OTHERS = (Op.INDICATE, Op.INDICATE_P_ABORT, Op.CONNECT, Op.IGNORE)
"""These are the caller's; the indication of an abort is raised."""


class UpperLayer:
    """One association's Upper Layer.

    Args:
        requestor: True on the side that asks for the association.
        timeouts: ARTIM and the minimum rate are kept here; the other timers belong to the procedures.
        limits: What the peer may send.
        max_pdu_length: The maximum length of P-DATA-TF PDUs that this side announces, 0 for none.
        trace: Called for every PDU and transition.

    Attributes:
        closing: True once the transport connection has to be closed, or is closed.
    """

    def __init__(
        self,
        *,
        requestor: bool,
        timeouts: Timeouts,
        limits: Limits,
        max_pdu_length: int = DEFAULT_MAX_PDU_LENGTH,
        trace: Trace | None = None,
    ) -> None:
        self._machine = StateMachine(requestor=requestor)
        self._reader = Reader(limits=limits, max_pdu_length=max_pdu_length)
        self._timeouts = timeouts
        self._trace = trace
        self._now = 0.0
        self._artim: float | None = None
        self._rate_waited = 0.0
        self._rate_bytes = 0
        self._in_message = False
        self._output: list[bytes] = []
        self._to_send: PDU | None = None
        self._lost: TransportClosed | None = None
        self._end: DcmnetError | None = None
        self.closing = False

    # ------------------------------------------------------------------ what the driver asks

    @property
    def state(self) -> Sta:
        """The state of PS3.8 9.2."""
        return self._machine.state

    @property
    def established(self) -> bool:
        """True while data may be transferred (Sta6)."""
        return self._machine.state is _STA6

    @property
    def now(self) -> float:
        """The time it was told last."""
        return self._now

    @property
    def deadline(self) -> float | None:
        """When `timer_expired` must be called at the latest, on the clock that `now` is read from."""
        rate = self._rate_deadline()
        if self._artim is None or (rate is not None and rate < self._artim):
            return rate
        return self._artim

    @property
    def has_output(self) -> bool:
        """True when `output` has something to send."""
        return bool(self._output)

    @property
    def has_input(self) -> bool:
        """True when bytes have arrived that no event has brought yet: the next one comes soon."""
        return self._reader.in_pdu

    @property
    def received(self) -> int:
        """The position in the incoming stream up to which bytes have arrived."""
        return self._reader.received_position

    @property
    def consumed(self) -> int:
        """The position in the incoming stream up to which events have brought what arrived."""
        return self._reader.consumed_position

    def output(self) -> list[bytes]:
        """Bytes to be sent now, in order; they are handed out once."""
        output, self._output = self._output, []
        return output

    # ------------------------------------------------------------------ the transport and the clock

    def advance(self, now: float) -> None:
        """Tell the time, so that timers started from here on start from `now`."""
        self._now = now

    def transport_connected(self, now: float) -> None:
        """The transport connection is open (Evt2 for the requestor, Evt5 for the acceptor)."""
        self._now = now
        self._handle(Evt.EVT2 if self.state is Sta.STA4 else Evt.EVT5)

    def transport_lost(self, now: float, cause: OSError | None = None) -> None:
        """No more bytes will come: Evt17, once the events that have arrived are read."""
        self._now = now
        self.closing = True
        if self._lost is None:
            why = "the peer closed the connection" if cause is None else f"connection lost: {cause}"
            self._lost = TransportClosed(why)
            self._lost.__cause__ = cause

    def transport_closed(self, now: float) -> None:
        """The transport connection has been closed by this side."""
        self._now = now
        self.closing = True
        if self.state is not Sta.STA1:
            self._handle(Evt.EVT17)

    def get_buffer(self) -> memoryview:
        """Room for received bytes. Views that events brought before are released by this call."""
        return self._reader.get_buffer()

    def widen(self, length: int) -> None:
        """Receive as many bytes of data sets at once, until `rest` has given the buffer up."""
        self._reader.widen(length)

    def rest(self) -> bool:
        """Nothing has come for a while: give the receive buffer up until something does.

        Returns:
            Whether it was given up: it is kept where there is something in it.
        """
        return self._reader.rest()

    def bytes_received(self, count: int, now: float) -> None:
        """`count` bytes have been written to the start of the last `get_buffer()`."""
        self._rate_waited += now - self._now
        self._rate_bytes += count
        self._now = now
        self._reader.received(count)

    def timer_expired(self, now: float) -> None:
        """The clock has reached `deadline`."""
        rate = self._rate_deadline()
        self._rate_waited += now - self._now
        self._now = now
        if self._artim is not None and now >= self._artim:
            self._handle(Evt.EVT18, error=DeadlineExceeded("ARTIM", self._timeouts.artim))
        elif rate is not None and now >= rate:
            self._check_rate()

    # ------------------------------------------------------------------ events

    def next_event(self) -> Event | None:
        """The next indication or confirmation; None when more bytes are needed first.

        Raises:
            AssociationAborted: The peer aborted (A-ABORT or A-P-ABORT indication).
            RemoteProtocolError: The peer broke the protocol; an A-ABORT waits in `output`.
            TransportClosed: The connection is gone.
            DeadlineExceeded: The ARTIM timer or the minimum rate ended the association.

            Each is raised once; after that there are no more events.
        """
        while self._end is None:
            try:
                item = self._reader.next()
            except RemoteProtocolError as error:
                self._handle(Evt.EVT19, error=error)
                continue
            if item is None:
                if not self._is_lost():
                    return None
                continue
            if type(item) is Fragment and self._machine.state is _STA6:
                return item  # DT-2, the one that must be fast
            event = self._receive(item)
            if event is not None:
                return event
        end, self._end = self._end, None
        raise end

    def abort_ahead(self) -> bool:
        """True when an A-ABORT has arrived behind what has not been read yet."""
        return self._reader.abort_ahead()

    def end_ahead(self) -> bool:
        """True when the peer has ended the association, or wants to, behind what has not been read yet."""
        return self.closing or self._reader.end_ahead()

    def trace_message(self, what: str, context_id: int, message: object) -> None:
        """Tell who traces of a DIMSE message, whose payload never comes in here."""
        if self._trace is not None:
            self._trace(what, (context_id, message))

    def message_started(self) -> None:
        """A message has begun to arrive; from here on the minimum rate holds."""
        self._in_message = True
        self._rate_waited = 0.0
        self._rate_bytes = 0

    def message_ended(self) -> None:
        """The message is complete; the peer may be idle."""
        self._in_message = False

    # ------------------------------------------------------------------ primitives

    def associate_request(self, request: AAssociateRQ) -> None:
        """A-ASSOCIATE request (Evt1). The PDU leaves when the transport connection is open.

        Raises:
            LocalProtocolError: There is an association already, or the request cannot be encoded.
        """
        request.encode()  # what cannot be sent must show before there is a connection
        self._request(Evt.EVT1, request)

    def associate_accept(self, answer: AAssociateAC) -> None:
        """A-ASSOCIATE response, accepting (Evt7)."""
        self._request(Evt.EVT7, answer)

    def associate_reject(self, answer: AAssociateRJ) -> None:
        """A-ASSOCIATE response, rejecting (Evt8)."""
        self._request(Evt.EVT8, answer)

    def data_request(self) -> None:
        """P-DATA request (Evt9); the caller sends the P-DATA-TF PDUs, whose payload never comes in here.

        Raises:
            LocalProtocolError: There is no association to send data on.
        """
        if self._machine.state is not _STA6:  # DT-1 in Sta6, which must be fast
            self._machine.handle(Evt.EVT9)

    def release_request(self) -> None:
        """A-RELEASE request (Evt11)."""
        self._request(Evt.EVT11, AReleaseRQ())

    def release_response(self) -> None:
        """A-RELEASE response (Evt14)."""
        self._request(Evt.EVT14, AReleaseRP())

    def abort(self, source: int = ABORT_SOURCE_USER, reason: int = 0) -> None:
        """A-ABORT request (Evt15); nothing happens where there is no association to abort."""
        if self.state in (Sta.STA1, Sta.STA13):
            return
        if self.state is Sta.STA2:
            self.closing = True
            return
        self._to_send = AAbort(source, reason)
        self._handle(Evt.EVT15)

    # ------------------------------------------------------------------ inside

    def _request(self, event: Evt, pdu: PDU) -> None:
        before, self._to_send = self._to_send, pdu
        try:
            self._handle(event)
        except LocalProtocolError:
            self._to_send = before  # in Sta4 an A-ASSOCIATE-RQ waits there
            raise

    def _is_lost(self) -> bool:
        """After the last event: whether the loss of the connection ends the association before its time."""
        if self._lost is not None and self.state is not Sta.STA1:
            self._handle(Evt.EVT17, error=self._lost)
        return self._end is not None

    def _receive(self, item: PDU | Fragment) -> Event | None:
        if self._trace is not None and not isinstance(item, Fragment):
            self._trace("received", item)
        acceptable = True
        if isinstance(item, AAssociateRQ):
            acceptable = bool(item.protocol_version & 1)  # PS3.8 9.3.2: only bit 0 is tested
        transition = self._handle(_RECEIVED[type(item)], acceptable=acceptable, item=item)
        indicated = _INDICATE in transition.operations
        return item if indicated and not isinstance(item, AAbort | PDataTF) else None

    @staticmethod
    def _refusal(item: PDU | Fragment, state: Sta) -> DcmnetError:
        """What ends the association where an item does that came in this state."""
        if isinstance(item, AAbort):
            return AssociationAborted(item.source, item.reason)
        if isinstance(item, AAssociateRQ) and state is Sta.STA2:
            return RemoteProtocolError(
                f"protocol version {item.protocol_version:#06x} has no bit for version 1"
            )
        kind = "P-DATA-TF" if isinstance(item, Fragment) else type(item).__name__
        where = state.name.capitalize()
        return RemoteProtocolError(
            f"the peer sent {kind} in {where}, where PS3.8 Table 9-10 has no place for it",
            reason=ABORT_UNEXPECTED_PDU,
        )

    def _handle(
        self,
        event: Evt,
        *,
        acceptable: bool = True,
        error: DcmnetError | None = None,
        item: PDU | Fragment | None = None,
    ) -> Transition:
        before = self._machine.state
        transition = self._machine.handle(event, acceptable=acceptable)
        if item is not None and transition.next_state in _ENDED:
            error = self._refusal(item, before)
        if self._trace is not None:
            self._trace("state", (event, before, transition))
        for operation in transition.operations:
            self._perform(operation, error)
        if transition.next_state is Sta.STA1:
            self._reader.discard()  # whatever came behind the end belongs to no association
        ends = transition.next_state in _ENDED and before is not Sta.STA13
        if ends and self._is_failure(event, transition):
            self._end = error
        return transition

    def _is_failure(self, event: Evt, transition: Transition) -> bool:
        if event in (Evt.EVT16, Evt.EVT17, Evt.EVT18):
            return True
        # PS3.8 Tables 9-6, 9-9: these refuse what the peer sent, but AA-1 at the wish of the user (Evt15)
        # is no failure.
        return transition.action in ("AE-6", "AA-1", "AA-8") and event is not Evt.EVT15

    def _perform(self, operation: Op, error: DcmnetError | None) -> None:
        if operation in _OTHERS:
            return
        match operation:
            case Op.SEND:
                self._send(self._to_send)
            case Op.SEND_REJECT:
                self._send(AAssociateRJ(result=1, source=2, reason=2))
            case Op.SEND_USER_ABORT:
                self._send(
                    self._to_send if isinstance(self._to_send, AAbort) else AAbort(ABORT_SOURCE_USER, 0)
                )
            case Op.SEND_PROVIDER_ABORT:
                reason = error.reason if isinstance(error, RemoteProtocolError) else ABORT_UNEXPECTED_PDU
                self._send(AAbort(ABORT_SOURCE_PROVIDER, reason))
            case Op.START_ARTIM:
                limit = self._timeouts.artim
                self._artim = None if limit is None else self._now + limit
            case Op.STOP_ARTIM:
                self._artim = None
            case _:  # CLOSE
                self.closing = True

    def _send(self, pdu: PDU | None) -> None:
        assert pdu is not None  # every primitive that leads to SEND sets it
        self._output.append(pdu.encode())
        if self._trace is not None:
            self._trace("sent", pdu)

    # ------------------------------------------------------------------ the minimum rate

    def _rate_deadline(self) -> float | None:
        if self._timeouts.minimum_rate == 0 or not (self._in_message and self.established):
            return None
        return self._now + self._timeouts.minimum_rate_period - self._rate_waited

    def _restart_rate(self) -> None:
        self._rate_waited = 0.0
        self._rate_bytes = 0

    def _check_rate(self) -> None:
        period = self._timeouts.minimum_rate_period
        if self._rate_bytes < self._timeouts.minimum_rate * period:
            self.abort()
            self._end = DeadlineExceeded("minimum rate", period)
        self._restart_rate()
