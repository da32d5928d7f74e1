"""The life of an association: establish, accept, exchange messages, release, abort (PS3.7 7, PS3.8 7).

An `AssociationCore` is what both ends of an association hold: the Upper Layer, what was negotiated, and the
messages under way. The procedures here and in `scu` and `scp` work on it; a driver runs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from dcmnet._records import dataclass, field, replace
from dcmnet.acse import AcceptedContext, Negotiated, requestor_contexts
from dcmnet.dimse.messages import Message
from dcmnet.dimse.stream import (
    Assembler,
    MessageIDs,
    MessageStart,
    lone_message,
)
from dcmnet.errors import (
    ABORT_SOURCE_USER,
    ABORT_UNEXPECTED_PDU,
    AssociationAborted,
    AssociationRejected,
    AssociationReleased,
    DcmnetError,
    DeadlineExceeded,
    InputFileError,
    LocalProtocolError,
    NoPresentationContext,
    RemoteProtocolError,
    TransportClosed,
)
from dcmnet.limits import DEFAULT_MAX_PDU_LENGTH, MAX_WINDOW, Limits, Timeouts
from dcmnet.payload import Payload
from dcmnet.procedures.effects import (
    Call,
    Close,
    Connect,
    Finished,
    Join,
    Procedure,
    Receive,
    Send,
    Sink,
    Start,
    Store,
)
from dcmnet.procedures.ended import RELEASED_HERE, check_not_over, is_silent, note_end
from dcmnet.ul.fsm import Sta
from dcmnet.ul.pdu import AAssociateAC, AAssociateRJ, AAssociateRQ, AReleaseRP, AReleaseRQ
from dcmnet.ul.provider import Event, Trace, UpperLayer
from dcmnet.ul.reader import Fragment

if TYPE_CHECKING:
    from dcmnet.tls import TLS, TLSSession

T = TypeVar("T")

ABORT_LINGER = 1.0
"""Seconds that a peer gets to take an A-ABORT and to close, where this side wants to be gone at once."""

HARMLESS = (LocalProtocolError, NoPresentationContext, InputFileError)
"""Errors that end an operation and, when nothing of it has been sent, leave the association as it was."""


class Unfinished(Protocol):
    """An operation that takes the association for itself until its last response."""

    def make_way(self) -> Procedure[None]:
        """End it, where nobody waits for it any more; LocalProtocolError where somebody does."""


@dataclass(slots=True)
class AssociationCore:
    """One association, seen from one end.

    Attributes:
        upper_layer: The PS3.8 machine.
        timeouts: Every timer.
        limits: What the peer may send.
        negotiated: What both sides agreed on; None before.
        peer: The peer's address, for people.
        tls: What the TLS handshake agreed on; None without TLS.
        state: What handlers keep for the association.
        busy: True from the first byte of an operation to its last: the association cannot serve another.
        calls_in_threads: Whether the face carries out every `Call` in a thread.
        started: Calls that were begun with `Start` and have not ended.
        unsent: Responses that leave with the next ones, or when there is nothing else to be done.
        reports: Event reports: those that wait to be sent, or that came while a response was due.
        endings: What went wrong when the association was to be released, after complete operations.
        ending: When and how the association ended, on the clock of `UpperLayer.now`; None before.
        early: Positions in the incoming stream, by Message ID: what lies before was sent by the peer when the
            request had not left as a whole.
    """

    upper_layer: UpperLayer
    timeouts: Timeouts
    limits: Limits
    peer: str = ""
    negotiated: Negotiated | None = None
    busy: bool = False
    operation: Unfinished | None = None
    set_aside: MessageStart | AReleaseRQ | None = None
    requestor: bool = False
    tls: TLSSession | None = None
    calls_in_threads: bool = False
    started: int = 0
    unsent: list[Payload] = field(default_factory=list)
    reports: list[Any] | None = None
    endings: tuple[DcmnetError, ...] = ()
    ending: tuple[float, DcmnetError] | None = None
    early: dict[int, int] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    assembler: Assembler = field(init=False)
    message_ids: MessageIDs = field(init=False)
    wait_dimse: Receive = field(init=False)
    wait_request: Receive = field(init=False)
    wait_while_started: Receive = field(init=False)

    def __post_init__(self) -> None:
        self.assembler = Assembler(self.limits)
        self.message_ids = MessageIDs()
        self.wait_dimse = Receive("DIMSE", self.timeouts.dimse, looked=True)
        self.wait_request = Receive("network", self.timeouts.network, looked=True)
        self.wait_while_started = Receive(looked=True)

    @property
    def agreed(self) -> Negotiated:
        """What was negotiated.

        Raises:
            LocalProtocolError: There is no association yet.
        """
        if self.negotiated is None:
            raise LocalProtocolError("the association has not been established")
        return self.negotiated

    @property
    def peer_ae_title(self) -> str:
        """The title of the other side: called by a requestor, calling an acceptor."""
        return self.agreed.called_ae_title if self.requestor else self.agreed.calling_ae_title

    @property
    def serves(self) -> int:
        """How many operations of the peer may be under way at once (PS3.7 D.3.3.3)."""
        agreed = self.negotiated or self.agreed
        return agreed.max_performed or MAX_WINDOW

    def limit_sending(self, max_pdu_length: int) -> None:
        """Send P-DATA-TF PDUs of at most this length, where the peer would take longer ones."""
        limit = min(self.agreed.max_pdu_length_to_send or max_pdu_length, max_pdu_length)
        self.negotiated = replace(self.agreed, max_pdu_length_to_send=limit)

    def context(self, context_id: int) -> AcceptedContext:
        """The accepted presentation context of that id.

        Raises:
            RemoteProtocolError: The peer used an id that was not accepted.
        """
        agreed = self.negotiated or self.agreed
        context = agreed.contexts.get(context_id)
        if context is None:
            raise RemoteProtocolError(f"presentation context {context_id} was not accepted")
        return context


def new_core(
    *,
    requestor: bool,
    timeouts: Timeouts,
    limits: Limits,
    max_pdu_length: int = DEFAULT_MAX_PDU_LENGTH,
    trace: Trace | None = None,
) -> AssociationCore:
    """A core for one association, in Sta1."""
    upper_layer = UpperLayer(
        requestor=requestor, timeouts=timeouts, limits=limits, max_pdu_length=max_pdu_length, trace=trace
    )
    return AssociationCore(upper_layer, timeouts, limits, requestor=requestor)


# ---------------------------------------------------------------------- establishing and ending


def establish(
    core: AssociationCore, host: str, port: int, request: AAssociateRQ, tls: TLS | None = None
) -> Procedure[Negotiated]:
    """Connect and negotiate, as the association-requestor (PS3.8 7.1).

    Raises:
        TransportClosed: The connection could not be made, or broke.
        DeadlineExceeded: The peer did not answer in time (`connect` or `ACSE`).
        AssociationRejected: The peer answered with A-ASSOCIATE-RJ.
        AssociationAborted: The peer aborted.
        RemoteProtocolError: The answer breaks the protocol.
        TLSSettingsError: The settings of TLS cannot be used.
    """
    return (yield from guarded(core, _establish(core, host, port, request, tls)))


def _establish(
    core: AssociationCore, host: str, port: int, request: AAssociateRQ, tls: TLS | None
) -> Procedure[Negotiated]:
    core.upper_layer.associate_request(request)
    core.busy = True
    yield Connect(host, port, core.timeouts.connect, tls)
    yield from flush(core)
    answer = yield Receive("ACSE", core.timeouts.acse)
    if isinstance(answer, AAssociateRJ):
        raise AssociationRejected(answer.result, answer.source, answer.reason)
    assert isinstance(answer, AAssociateAC)  # Sta5 has no other indication
    core.negotiated = requestor_contexts(request, answer, core.limits.tolerance)
    core.busy = False
    return core.negotiated


def release(core: AssociationCore, *, hasty: bool = False) -> Procedure[None]:
    """Release the association in good order (PS3.8 7.2), `hasty` as `guarded`; nothing happens if it is over.

    Raises:
        LocalProtocolError: An operation is under way; it goes on.
        DeadlineExceeded: The peer did not confirm in time (`ACSE`).
        AssociationAborted: The peer aborted instead.
    """
    if core.upper_layer.closing or core.upper_layer.state is Sta.STA1:
        yield Close()
        return
    yield from settle(core)
    if core.busy:
        raise LocalProtocolError("an operation is under way: let it end, or abort")
    yield from guarded(core, _release(core), hasty=hasty)


def _release(core: AssociationCore) -> Procedure[None]:
    core.upper_layer.release_request()
    core.busy = True
    started, limit = core.upper_layer.now, core.timeouts.acse
    yield from flush(core)
    wait = Receive("ACSE", limit)
    while not isinstance(event := (yield wait), AReleaseRP):
        # PS3.8 9.2: data may still arrive in Sta7 and are dropped; a collision is answered.
        if isinstance(event, AReleaseRQ):
            yield from answer_release(core)
        elif event is None:
            raise TransportClosed("the connection was closed before the release was confirmed")
        elif limit is not None and core.upper_layer.now - started >= limit:
            raise DeadlineExceeded("ACSE", limit)  # a peer that never stops sending must not go on for ever
    if core.upper_layer.state is Sta.STA12:
        yield from answer_release(core)
    note_end(core, AssociationReleased(RELEASED_HERE))
    yield from finish(core)


def answer_release(core: AssociationCore) -> Procedure[None]:
    """Confirm the peer's A-RELEASE-RQ, except in Sta10, where the peer confirms first (PS3.8 9.2)."""
    if core.upper_layer.state is not Sta.STA10:
        core.upper_layer.release_response()
        yield from flush(core)


def abort(core: AssociationCore, source: int = ABORT_SOURCE_USER, reason: int = 0) -> Procedure[None]:
    """End the association at once with an A-ABORT PDU (PS3.8 7.3); a peer that hangs is not waited for."""
    note_end(core, AssociationAborted(source, reason, locally=True))
    core.upper_layer.abort(source, reason)
    yield from closing(core, _leave(core))


def _leave(core: AssociationCore) -> Procedure[None]:
    """Send the A-ABORT if the peer takes it, give it a moment to close, then close."""
    write = core.timeouts.write
    soon = ABORT_LINGER if write is None else min(write, ABORT_LINGER)
    core.timeouts = replace(core.timeouts, write=soon)  # nothing else will be sent
    try:
        yield from finish(core, Receive("abort", ABORT_LINGER))
    except DeadlineExceeded:
        yield Close()


def _hang_up(core: AssociationCore) -> Procedure[None]:
    """Send the A-ABORT if it can leave at once, and close: the peer has been waited for long enough."""
    core.timeouts = replace(core.timeouts, write=0.0)  # nothing else will be sent
    yield from flush(core)
    yield Close()


def finish(core: AssociationCore, wait: Receive | None = None) -> Procedure[None]:
    """Send what is left, wait for the peer to close as long as ARTIM allows, then close (Sta13)."""
    sent = yield from flush(core)
    wait = wait or Receive()
    while sent and not core.upper_layer.closing:
        yield from _pass_over(core, (yield wait))
    yield Close()


def flush(core: AssociationCore) -> Procedure[bool]:
    """Send the PDUs that the Upper Layer has made; False where they could not be sent."""
    output = core.upper_layer.output()
    return (yield Send(output)) if output else True


def settle(core: AssociationCore) -> Procedure[None]:
    """Before an operation: end a query or retrieval whose responses are not read any more.

    Raises:
        LocalProtocolError: They are still to be read.
        AssociationReleased: The association was released before.
        AssociationAborted: It was aborted before, or lost.
    """
    if core.operation is not None:
        yield from core.operation.make_way()
    check_not_over(core)


def guarded(core: AssociationCore, procedure: Procedure[T], *, hasty: bool = False) -> Procedure[T]:
    """Run an operation; where it fails with the association out of step, abort and close before raising.

    What is left of a query whose responses are not read any more is passed over first. `hasty`: the peer gets
    `ABORT_LINGER` to close.
    """
    yield from settle(core)
    try:
        return (yield from procedure)
    except GeneratorExit:
        raise
    except BaseException as error:
        if not isinstance(error, HARMLESS) or core.busy:
            yield from _end_after(core, error, hasty=hasty)
        raise


def closing(core: AssociationCore, procedure: Procedure[T]) -> Procedure[T]:
    """Run what is done on an association of its own; where it fails, abort and close before raising."""
    try:
        return (yield from procedure)
    except GeneratorExit:
        raise
    except BaseException as error:
        yield from _end_after(core, error)
        raise


def _end_after(core: AssociationCore, error: BaseException, *, hasty: bool = False) -> Procedure[None]:
    source, reason = ABORT_SOURCE_USER, 0
    note_end(core, error if isinstance(error, DcmnetError) else AssociationAborted(0, 0, locally=True))
    if isinstance(error, RemoteProtocolError):
        source, reason = error.source, error.reason
    upper_layer = core.upper_layer
    said_already = upper_layer.state in (Sta.STA1, Sta.STA13) and not upper_layer.has_output
    upper_layer.abort(source, reason)
    if said_already:  # whoever waited for the peer to close does not want to wait any longer
        yield Close()
        return
    try:
        if is_silent(core, error):
            yield from _hang_up(core)
        else:
            yield from _leave(core) if hasty or _is_ours(error) else finish(core)
    except GeneratorExit:
        raise
    except DcmnetError:
        yield Close()
    except BaseException:
        yield Close()
        raise


def _is_ours(error: BaseException) -> bool:
    """Whether this side wants to be gone: interrupted, cancelled, stopped, a handler that failed."""
    return not isinstance(error, DcmnetError) or (isinstance(error, AssociationAborted) and error.locally)


# ---------------------------------------------------------------------- messages


def message_parts(core: AssociationCore, context_id: int, message: Message) -> list[Payload]:
    """A message without a data set, to be sent together with others."""
    upper_layer, agreed = core.upper_layer, core.negotiated or core.agreed
    upper_layer.data_request()
    upper_layer.trace_message("message sent", context_id, message)
    return lone_message(context_id, message, agreed.max_pdu_length_to_send)


def await_end(core: AssociationCore) -> Procedure[Any]:
    """After a `Send` that did not complete: let the reason come up as an exception."""
    if core.operation is not None:
        return  # its final response may have come before the end: it reads on itself
    wait = Receive("DIMSE", core.timeouts.dimse)
    while (event := (yield wait)) is not None:
        yield from _pass_over(core, event)
    raise TransportClosed("the connection was closed before the message was complete")


def next_message(core: AssociationCore, wait: Receive) -> Procedure[MessageStart | AReleaseRQ]:
    """The next Command Set; its data set, if any, is left to `receive_data`.

    Args:
        core: The association.
        wait: How long to wait for it.

    Returns:
        The message with its presentation context id, or the peer's wish to release.
    """
    if core.set_aside is not None:
        aside, core.set_aside = core.set_aside, None
        return aside
    upper_layer = core.upper_layer
    while True:
        event: Event | Finished | None = upper_layer.next_event()
        if event is None:
            event = (yield from _wait(core, wait)) if core.unsent or core.started else (yield wait)
        if type(event) is Fragment:
            item = _message_of(core, event)
            if item is not None:
                return item
            wait = core.wait_dimse
        elif isinstance(event, Finished):
            yield from conclude(core, event)
        elif isinstance(event, AReleaseRQ) and not core.assembler.in_message:
            return event
        else:
            raise cut_short(event)


def _message_of(core: AssociationCore, fragment: Fragment) -> MessageStart | None:
    """The message whose Command Set the fragment completes."""
    upper_layer, assembler = core.upper_layer, core.assembler
    if not assembler.in_message:
        upper_layer.message_started()
    item = assembler.feed(fragment)
    if type(item) is not MessageStart:
        return None
    upper_layer.trace_message("message received", item.context_id, item.message)
    core.context(item.context_id)
    if not item.message.has_data_set:
        upper_layer.message_ended()
    return item


def receive_data(
    core: AssociationCore, sink: Sink | None
) -> Procedure[tuple[OSError | None, list[memoryview]]]:
    """Receive the data set of the message under way, as it comes, into `sink`.

    The data set is read to its end whatever the sink says, so that the association stays in step.

    Returns:
        The error that writing ended with, None when there was none; and the last bytes, which are not written
        yet: most data sets are small, and whoever concludes writes them as well. They are valid until more is
        received.
    """
    views: list[memoryview] = []
    failure = None if pieces_at_hand(core, views) else (yield from receive_rest(core, sink, views))
    return failure, views


def receive_rest(
    core: AssociationCore, sink: Sink | None, views: list[memoryview]
) -> Procedure[OSError | None]:
    """Go on with a data set where `pieces_at_hand` has not come to its end; see `receive_data`.

    Args:
        core: The association.
        sink: Where it goes.
        views: What has arrived of it; in the end, the last bytes.
    """
    failure: OSError | None = None
    is_last = False
    while not is_last:
        if sink is not None and views:
            failure = yield from _store(sink, views)
            sink = sink if failure is None else None
        views.clear()
        event = yield from next_event_of(core)
        is_last = _take_piece(core, event, views) or pieces_at_hand(core, views)
    return failure


def pieces_at_hand(core: AssociationCore, views: list[memoryview]) -> bool:
    """Add to `views` what has arrived of the data set of the message under way; whether it ends with that."""
    next_event = core.upper_layer.next_event
    while (event := next_event()) is not None:
        if _take_piece(core, event, views):
            return True
    return False


def _take_piece(core: AssociationCore, event: Event | None, views: list[memoryview]) -> bool:
    """Add to `views` the piece of a data set that an event has brought; whether it is the last one."""
    if type(event) is not Fragment:
        raise cut_short(event)
    is_last = core.assembler.feed_data(event)
    views.append(event.data)
    if is_last:
        core.upper_layer.message_ended()
    return is_last


def _wait(core: AssociationCore, wait: Receive) -> Procedure[Event | Finished | None]:
    """Wait, with nothing left unsaid."""
    event: Event | Finished | None
    if core.unsent:
        yield from send_unsent(core)
        event = core.upper_layer.next_event()  # bytes may have come meanwhile
        if event is not None:
            return event
    if core.started and wait is core.wait_request:
        wait = (
            core.wait_while_started
        )  # the peer is not idle: it waits for an answer, however long that takes
    event = yield wait
    return event


def next_event_of(core: AssociationCore) -> Procedure[Event | None]:
    """What comes next in the middle of a message, while other operations go on."""
    while True:
        event = yield from _wait(core, core.wait_dimse)
        if not isinstance(event, Finished):
            return event
        yield from conclude(core, event)


def _store(sink: Sink, views: Sequence[memoryview]) -> Procedure[OSError | None]:
    """Write to the sink; returns the error that it ended with."""
    try:
        yield Store(sink, views)
    except OSError as error:
        return error
    return None


# ---------------------------------------------------------------------- several operations at once


def start(core: AssociationCore, call: Start) -> Procedure[None]:
    """Begin a call beside the rest; `make_room` has to follow."""
    yield call
    core.started += 1


def make_room(core: AssociationCore) -> Procedure[None]:
    """While as many calls are under way as the peer may have operations, wait for the end of one."""
    while core.started >= core.serves:
        yield from send_unsent(core)
        yield from conclude(core, (yield Join()))


def conclude(core: AssociationCore, finished: Finished) -> Procedure[None]:
    """Deal with the end of a call that was started."""
    core.started -= 1
    yield from finished.call.then(finished)


def join(core: AssociationCore) -> Procedure[None]:
    """Wait for every call that was started, and send what there is to say."""
    while core.started:
        yield from conclude(core, (yield Join()))
    yield from send_unsent(core)


def _pass_over(core: AssociationCore, event: Event | Finished | None) -> Procedure[None]:
    """At the end of an association nothing that comes is answered any more."""
    if isinstance(event, Finished):
        core.started -= 1
        if event.error is not None:
            yield Call(event.call.failed, (event.error,))


def abandon(core: AssociationCore) -> Procedure[None]:
    """After the end of the association: wait for the calls that were started, whatever they end with."""
    while core.started:
        yield from _pass_over(core, (yield Join(cancel=True)))


def send_unsent(core: AssociationCore) -> Procedure[None]:
    """Send the responses that have been put off.

    Raises:
        AssociationError: The association ended before they were out.
    """
    parts, core.unsent = core.unsent, []
    if parts and not (yield Send(parts)):
        yield from await_end(core)


def cut_short(event: Event | None) -> DcmnetError:
    """The error to raise for an event that came where a part of a message was due."""
    if isinstance(event, AReleaseRQ):
        return RemoteProtocolError("A-RELEASE-RQ in the middle of a message", reason=ABORT_UNEXPECTED_PDU)
    return TransportClosed("the connection was closed where a message was due")


def released_instead(core: AssociationCore) -> Procedure[AssociationReleased]:
    """Confirm a release that came where a message was due; returns the error to raise."""
    yield from answer_release(core)
    yield from finish(core)
    return AssociationReleased("the peer released the association while an answer was due")
