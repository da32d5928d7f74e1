"""Serve an association: accept or reject it, then perform what the peer asks until it ends (PS3.7 7, 8)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from dcmnet._records import dataclass, field
from dcmnet.acse import AcceptedContext, AcceptorPolicy, answer_to
from dcmnet.arguments import kind_of
from dcmnet.dimse.messages import (
    CCancelRQ,
    Message,
    NEventReportRQ,
    Request,
    Response,
)
from dcmnet.dimse.responses import response_to
from dcmnet.errors import ABORT_SOURCE_USER, AssociationRejected, RemoteProtocolError
from dcmnet.limits import PUT_OFF_RESPONSES
from dcmnet.payload import Payload
from dcmnet.procedures.association import (
    AssociationCore,
    abandon,
    answer_release,
    await_end,
    finish,
    flush,
    guarded,
    join,
    message_parts,
    next_message,
    receive_data,
    send_unsent,
)
from dcmnet.procedures.effects import Call, Procedure, Receive, Send
from dcmnet.registry.statuses import NOT_AUTHORIZED, UNRECOGNIZED_OPERATION
from dcmnet.ul.items import UserIdentityAC, UserIdentityRQ
from dcmnet.ul.pdu import AAssociateRJ, AAssociateRQ, AReleaseRQ

if TYPE_CHECKING:
    from dcmnet.tls import TLSSession

Service: TypeAlias = Callable[[AssociationCore, AcceptedContext, Any], Procedure[None]]
"""Performs one operation: receives its data set, if any, does the work, sends the response."""


@dataclass(frozen=True, slots=True)
class AssociationRequest:
    """What a peer asks for, as the association hook sees it.

    Attributes:
        peer: The peer's address.
        pdu: The A-ASSOCIATE-RQ.
        tls: What the TLS handshake agreed on, with the peer's certificate; None without TLS.
    """

    peer: str
    pdu: AAssociateRQ
    tls: TLSSession | None = None

    @property
    def calling_ae_title(self) -> str:
        """The requestor's AE title."""
        return self.pdu.calling_ae_title

    @property
    def called_ae_title(self) -> str:
        """The AE title that the requestor believes this side has."""
        return self.pdu.called_ae_title

    @property
    def user_identity(self) -> UserIdentityRQ | None:
        """The 58H sub-item (PS3.7 D.3.3.7), None when the peer sent none."""
        identity = self.pdu.user_information.user_identity
        return identity if isinstance(identity, UserIdentityRQ) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptor:
    """How one side serves: whom it accepts, and what it performs.

    Attributes:
        policy: The negotiation.
        services: What performs each kind of request.
        on_request: Called with an `AssociationRequest` before anything is answered; raises
            AssociationRejected to refuse. What it returns is the server response to a user identity
            (bytes), or None.
        on_accepted: Called with the core once the association is established.
        on_released: Called with the core after an orderly release.
    """

    policy: AcceptorPolicy
    services: Mapping[type[Message], Service] = field(default_factory=dict)
    on_request: Callable[[AssociationRequest], Any] | None = None
    on_accepted: Callable[[AssociationCore], Any] | None = None
    on_released: Callable[[AssociationCore], Any] | None = None


def serve(core: AssociationCore, acceptor: Acceptor) -> Procedure[bool]:
    """Serve one association from the open connection to its end.

    Returns:
        True when it was accepted and released in good order, False when it was rejected.

    Raises:
        AssociationError: It was aborted, or the connection broke.
        RemoteProtocolError: The peer broke the protocol and was aborted.
        DeadlineExceeded: The peer was silent or too slow, and was aborted.
    """
    try:
        return (yield from guarded(core, _serve(core, acceptor)))
    except GeneratorExit:
        raise
    except BaseException:
        yield from abandon(core)
        raise


def reject(core: AssociationCore, answer: AAssociateRJ) -> Procedure[None]:
    """Wait for the A-ASSOCIATE-RQ and reject it, whatever it says (a server at its limit)."""
    yield from guarded(core, _reject(core, answer))


def _reject(core: AssociationCore, answer: AAssociateRJ) -> Procedure[None]:
    yield Receive()  # Sta2 has no other indication than an A-ASSOCIATE-RQ
    core.upper_layer.associate_reject(answer)
    yield from finish(core)


def _serve(core: AssociationCore, acceptor: Acceptor) -> Procedure[bool]:
    core.busy = True  # every failure from here on ends the association
    request = yield Receive()
    assert isinstance(request, AAssociateRQ)  # Sta2 has no other indication
    answer, core.negotiated = yield from _decide(core, acceptor, request)
    if isinstance(answer, AAssociateRJ):
        core.upper_layer.associate_reject(answer)
        yield from finish(core)
        return False
    core.upper_layer.associate_accept(answer)
    yield from flush(core)
    if acceptor.on_accepted is not None:
        yield Call(acceptor.on_accepted, (core,))
    yield from _serve_messages(core, acceptor)
    if acceptor.on_released is not None:
        yield Call(acceptor.on_released, (core,))
    return True


def _decide(core: AssociationCore, acceptor: Acceptor, request: AAssociateRQ) -> Procedure[Any]:
    response: UserIdentityAC | None = None
    if acceptor.on_request is not None:
        try:
            answer = yield Call(acceptor.on_request, (AssociationRequest(core.peer, request, core.tls),))
        except AssociationRejected as refusal:
            return AAssociateRJ(refusal.result, refusal.source, refusal.reason), None
        if isinstance(answer, bytes):
            response = UserIdentityAC(answer)
        elif answer is not None:  # False, for example, is meant as a refusal, and must not let the peer in
            raise TypeError(f"on_association returned {kind_of(answer)}: return None or bytes, or raise")
    return answer_to(request, acceptor.policy, identity_response=response)


def _serve_messages(core: AssociationCore, acceptor: Acceptor) -> Procedure[None]:
    while True:
        start = yield from next_message(core, core.wait_request)
        if isinstance(start, AReleaseRQ):
            break
        context = core.agreed.contexts[start.context_id]  # `next_message` has seen that it is there
        performance = _performance(core, acceptor, context, start.message)
        if performance is not None:
            yield from performance
        if len(core.unsent) >= PUT_OFF_RESPONSES:
            yield from send_unsent(core)
    yield from join(core)
    yield from answer_release(core)
    yield from finish(core)


def _performance(
    core: AssociationCore, acceptor: Acceptor, context: AcceptedContext, message: Message
) -> Procedure[None] | None:
    """The procedure that performs what is asked, or refuses it; None where there is nothing to be done."""
    service = acceptor.services.get(type(message))
    if isinstance(message, Request) and not _may_perform(context, message):
        return refuse(core, context, message, NOT_AUTHORIZED, "the role was not negotiated")
    if service is not None:
        return service(core, context, message)
    if isinstance(message, Request):
        return refuse(core, context, message, UNRECOGNIZED_OPERATION)
    if isinstance(message, CCancelRQ):
        return None  # PS3.7 9.3.2.3: a cancel that comes too late is passed over
    kind = type(message).__name__
    raise RemoteProtocolError(f"{kind} came, but nothing was asked", source=ABORT_SOURCE_USER, reason=0)


def _may_perform(context: AcceptedContext, request: Request) -> bool:
    # PS3.7 D.3.3.4: who performs is the SCP, except for N-EVENT-REPORT, which the SCP invokes (PS3.7 10.1.1).
    return context.scu_role if isinstance(request, NEventReportRQ) else context.scp_role


def refuse(
    core: AssociationCore, context: AcceptedContext, request: Request, status: int, comment: str = ""
) -> Procedure[None]:
    """Read the request's data set, if any, to its end and answer with a failure status."""
    if request.has_data_set:
        yield from receive_data(core, None)
    yield from respond(core, context, response_to(request, status, error_comment=comment))


def respond(core: AssociationCore, context: AcceptedContext, response: Response) -> Procedure[None]:
    """Send a response without a data set; with others, where the peer has several operations under way.

    Raises:
        AssociationError: The association ended before it was out.
    """
    parts = parts_of_response(core, context, response)
    if parts:
        if not (yield Send(parts)):
            yield from await_end(core)
        core.busy = True


def parts_of_response(core: AssociationCore, context: AcceptedContext, response: Response) -> list[Payload]:
    """What has to be sent for a response without a data set; nothing where it leaves with others."""
    parts = message_parts(core, context.context_id, response)
    if core.serves > 1:  # they leave when there is nothing else to be done, or there are many
        core.unsent += parts
        return []
    return parts
