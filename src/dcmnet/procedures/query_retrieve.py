"""C-FIND, C-GET and C-MOVE as their SCU invokes them: one request, many responses (PS3.7 9.1.2 to 9.1.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from dcmnet.acse import AcceptedContext
from dcmnet.dimse.messages import (
    CCancelRQ,
    CFindRQ,
    CGetRQ,
    CMoveRQ,
    CStoreRQ,
    NEventReportRQ,
    Response,
    StatusClass,
)
from dcmnet.dimse.stream import DataFragment
from dcmnet.errors import ABORT_SOURCE_USER, LocalProtocolError, RemoteProtocolError
from dcmnet.payload import Payload
from dcmnet.procedures.association import (
    HARMLESS,
    AssociationCore,
    await_end,
    closing,
    cut_short,
    guarded,
    next_event_of,
    next_message,
    released_instead,
)
from dcmnet.procedures.effects import Procedure
from dcmnet.procedures.ended import check_not_over
from dcmnet.procedures.scp import refuse
from dcmnet.procedures.sending import match, send_message
from dcmnet.registry.statuses import NOT_AUTHORIZED
from dcmnet.ul.pdu import AReleaseRQ
from dcmnet.ul.reader import Fragment


class Answer(NamedTuple):
    """A response and the identifier that came with it.

    Attributes:
        response: The message.
        identifier: Its encoded data set; empty when it had none, or the final response one above the limit.
        transfer_syntax: UID of the one that the identifier is in.
    """

    response: Response
    identifier: bytes
    transfer_syntax: str


class Operation:
    """A C-FIND, C-GET or C-MOVE that this side invokes, one response at a time.

    `begin`, then `advance` until it returns None; `final` is there then. The association can do nothing else
    meanwhile.

    Args:
        core: The association.
        context: The accepted presentation context of the model.
        request: The request; its Message ID must be one of `core.message_ids`.
        store: Performs the C-STORE sub-operations of a C-GET.

    Attributes:
        final: The response that ended the operation; None before.
        abandoned: Nobody waits for its responses any more: whoever needs the association next ends it first.
    """

    __slots__ = ("_cancelled", "_context", "_core", "_request", "_store", "_taken", "abandoned", "final")

    def __init__(
        self,
        core: AssociationCore,
        context: AcceptedContext,
        request: CFindRQ | CGetRQ | CMoveRQ,
        store: Callable[[AssociationCore, AcceptedContext, Any], Procedure[None]] | None = None,
    ) -> None:
        self._core = core
        self._context = context
        self._request = request
        self._store = store
        self._cancelled = False
        self._taken: list[Answer] = []
        self.abandoned = False
        self.final: Answer | None = None

    @property
    def under_way(self) -> bool:
        """True from the request to the final response, or the end of the association."""
        return self._core.operation is self and self._core.upper_layer.established

    def begin(self, identifier: Payload) -> Procedure[None]:
        """Send the request.

        Args:
            identifier: Encoded as the context demands.

        Raises:
            LocalProtocolError: Another operation is under way, or a value of the request cannot be encoded.
        """
        yield from guarded(self._core, self._begin(identifier))

    def _begin(self, identifier: Payload) -> Procedure[None]:
        core, request = self._core, self._request
        core.message_ids.add(request)
        try:
            sent = yield from send_message(core, self._context.context_id, request, identifier)
        except HARMLESS:
            del core.message_ids.outstanding[request.message_id]  # it was never sent
            raise
        if not sent:
            yield from await_end(core)
        core.operation = self

    def advance(self) -> Procedure[Answer | None]:
        """The next pending response; None after the final one.

        Sub-operations of a C-GET that come before it are performed.

        Raises:
            AssociationError: The association ended.
            DeadlineExceeded: The peer did not answer in time; the association was aborted.
            RemoteProtocolError: What came is no answer, or longer than the limit.
        """
        if self._taken:
            return self._taken.pop(0)
        if self.final is not None:
            return None
        check_not_over(self._core)
        return (yield from closing(self._core, self._advance()))

    def _advance(self) -> Procedure[Answer | None]:
        core = self._core
        while True:
            start = yield from next_message(core, core.wait_dimse)
            if isinstance(start, AReleaseRQ):
                raise (yield from released_instead(core))
            message, context = start.message, core.context(start.context_id)
            if isinstance(message, Response):
                return (yield from self._answered(context, message))
            if isinstance(message, NEventReportRQ):
                from dcmnet.procedures.reports import take_request  # which is built on this module

                yield from take_request(core, context, message)
                continue
            if not isinstance(message, CStoreRQ) or self._store is None:
                kind = f"{message.NAME} came where a response was due"
                raise RemoteProtocolError(kind, source=ABORT_SOURCE_USER, reason=0)
            # PS3.7 9.1.3: the sub-operations of a C-GET come on the association that it was asked for on.
            if context.scp_role:
                yield from self._store(core, context, message)
            else:
                yield from refuse(core, context, message, NOT_AUTHORIZED, "the role was not negotiated")

    def _answered(self, context: AcceptedContext, response: Response) -> Procedure[Answer | None]:
        core = self._core
        match(core, response)
        identifier: bytes | None = b""
        if response.has_data_set:
            identifier = yield from receive_identifier(core)
        is_pending = response.status_class is StatusClass.PENDING
        if identifier is None and is_pending:
            limit = core.limits.max_identifier_length
            why = f"an identifier of more than {limit} bytes in a {response.NAME}"
            raise RemoteProtocolError(why, source=ABORT_SOURCE_USER, reason=0)
        # The final response has counts that must not be lost over a list of failed objects that is too long.
        answer = Answer(response, identifier or b"", context.transfer_syntax)
        if is_pending:
            return answer
        self.final = answer
        core.operation = None
        core.busy = False
        return None

    def cancel(self) -> Procedure[None]:
        """Ask the peer to stop, once (C-CANCEL, PS3.7 9.3.2.3); what it had sent before still comes."""
        if self._cancelled or not self.under_way:
            return
        self._cancelled = True
        yield from closing(self._core, self._cancel())

    def _cancel(self) -> Procedure[None]:
        message = CCancelRQ(message_id_being_responded_to=self._request.message_id)
        if not (yield from send_message(self._core, self._context.context_id, message)):
            yield from self._take_rest()

    def _take_rest(self) -> Procedure[None]:
        """The association has ended: take the responses that came before, if the final one is among them."""
        while (answer := (yield from self._advance())) is not None:
            self._taken.append(answer)

    def finish(self) -> Procedure[None]:
        """Cancel, and pass over what still comes; nothing happens when the operation is over."""
        if self.under_way:
            yield from self.cancel()
            while (yield from self.advance()) is not None:
                pass

    def make_way(self) -> Procedure[None]:
        """Somebody else wants the association: end an operation that nobody waits for.

        Raises:
            LocalProtocolError: Somebody does.
        """
        if not self.under_way:
            self._core.operation = None
        elif self.abandoned:
            yield from self.finish()
        else:
            name = self._request.NAME.removesuffix("-RQ")
            raise LocalProtocolError(f"a {name} is under way: take its responses to the end, or close() it")


def receive_identifier(core: AssociationCore) -> Procedure[bytes | None]:
    """The data set of the message under way, gathered in memory.

    Returns:
        Its bytes; None when it is longer than `Limits.max_identifier_length`. It is read to its end then, and
        not kept, so that the association stays in step.
    """
    gathered = bytearray()
    fits = True
    while True:
        event = core.upper_layer.next_event()
        if event is None:
            event = yield from next_event_of(core)
        if type(event) is not Fragment:
            raise cut_short(event)
        item = core.assembler.feed(event)
        assert isinstance(item, DataFragment)  # the assembler raises for anything else inside a data set
        fits = fits and len(gathered) + len(item.data) <= core.limits.max_identifier_length
        if fits:
            gathered += item.data
        if item.is_last:
            core.upper_layer.message_ended()
            return bytes(gathered) if fits else None
