"""Association negotiation (PS3.7 Annex D.3, PS3.8 7.1): pure functions from proposals and policies to PDUs.

The requestor's policy becomes an A-ASSOCIATE-RQ with `build_request`. The acceptor's policy and an RQ become
an AC or RJ with `negotiate`. What came of it is worked out by `requestor_contexts` and `acceptor_contexts`.
Nothing here does I/O, looks at a clock or checks a password: who is the user is decided before `negotiate`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeVar

from dcmnet import arguments
from dcmnet._records import dataclass
from dcmnet._version import __version__
from dcmnet.acse_contexts import (
    ASSUMED_MAX_PDU_LENGTH,
    AcceptedContext,
    Negotiated,
    acceptor_contexts,
    named,
    proposed_roles,
    requestor_contexts,
    smaller_window,
    unique_contexts,
)
from dcmnet.errors import LocalProtocolError
from dcmnet.limits import (
    DEFAULT_MAX_PDU_LENGTH,
    DEFAULT_WINDOW_SERVED,
    MAX_PRESENTATION_CONTEXTS,
    MAX_RECENT,
    SMALLEST_MAX_PDU_LENGTH,
)
from dcmnet.registry.sop_classes import is_another_service
from dcmnet.registry.transfer_syntaxes import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from dcmnet.ul.fields import is_uid
from dcmnet.ul.items import (
    AsynchronousOperationsWindow,
    ContextResult,
    PresentationContextAC,
    PresentationContextRQ,
    RoleSelection,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityAC,
    UserIdentityRQ,
    UserInformation,
)
from dcmnet.ul.pdu import APPLICATION_CONTEXT_NAME, AAssociateAC, AAssociateRJ, AAssociateRQ
from dcmnet.ul.recent import Recent

__all__ = [
    # Proposing and accepting
    "AcceptorPolicy",
    "AcceptorRole",
    "ProposedContext",
    "RequestorPolicy",
    "SupportedContext",
    "answer_to",
    "build_request",
    "negotiate",
    # The outcome
    "AcceptedContext",
    "Negotiated",
    "acceptor_contexts",
    "requestor_contexts",
    # Constants
    "ASSUMED_MAX_PDU_LENGTH",
    "IMPLEMENTATION_CLASS_UID",
    "IMPLEMENTATION_VERSION_NAME",
    "REJECT_ACSE_NO_REASON_GIVEN",
    "REJECT_APPLICATION_CONTEXT_NAME_NOT_SUPPORTED",
    "REJECT_CALLED_AE_TITLE_NOT_RECOGNIZED",
    "REJECT_CALLING_AE_TITLE_NOT_RECOGNIZED",
    "REJECT_LOCAL_LIMIT_EXCEEDED",
    "REJECT_NO_REASON_GIVEN",
    "REJECT_PROTOCOL_VERSION_NOT_SUPPORTED",
    "REJECT_TEMPORARY_CONGESTION",
]

IMPLEMENTATION_CLASS_UID = "2.25.172435666255558476196049614677439904816"
"""PS3.7 D.3.3.2.1: names dcmnet, whatever its version. Never changed."""

IMPLEMENTATION_VERSION_NAME = f"DCMNET_{__version__.replace('.', '')}"[:16]
"""PS3.7 D.3.3.2.3: at most 16 characters."""

# PS3.8 9.3.4, Table 9-21: every rejection there is, with the result that fits its reason.
REJECT_NO_REASON_GIVEN = AAssociateRJ(result=1, source=1, reason=1)
REJECT_APPLICATION_CONTEXT_NAME_NOT_SUPPORTED = AAssociateRJ(result=1, source=1, reason=2)
REJECT_CALLING_AE_TITLE_NOT_RECOGNIZED = AAssociateRJ(result=1, source=1, reason=3)
REJECT_CALLED_AE_TITLE_NOT_RECOGNIZED = AAssociateRJ(result=1, source=1, reason=7)
REJECT_ACSE_NO_REASON_GIVEN = AAssociateRJ(result=1, source=2, reason=1)
REJECT_PROTOCOL_VERSION_NOT_SUPPORTED = AAssociateRJ(result=1, source=2, reason=2)
REJECT_TEMPORARY_CONGESTION = AAssociateRJ(result=2, source=3, reason=1)
REJECT_LOCAL_LIMIT_EXCEEDED = AAssociateRJ(result=2, source=3, reason=2)


class AcceptorRole(enum.Flag):
    """The roles that an acceptor lets the *requestor* take for a SOP class (PS3.7 D.3.3.4).

    DEFAULT takes no part in role selection: a proposal stays without answer, and the requestor is SCU.
    With SCP alone, a requestor that does not propose a role is refused the context, as it would be SCU.
    """

    DEFAULT = 0
    SCU = 1
    SCP = 2
    BOTH = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SupportedContext:
    """What an acceptor takes for one SOP class.

    Attributes:
        abstract_syntax: UID.
        transfer_syntaxes: UIDs, the best first; empty takes any that is proposed.
        role: Roles that the requestor may take.
    """

    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...] = ()
    role: AcceptorRole = AcceptorRole.DEFAULT

    def __post_init__(self) -> None:
        _make_tuples(self, "transfer_syntaxes")
        arguments.check_types(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptorPolicy:
    """How an acceptor answers an A-ASSOCIATE-RQ.

    Attributes:
        ae_title: Its own title; judged only with `require_called_ae_title`.
        require_called_ae_title: Reject a called title that is not `ae_title`. A blank one is always rejected.
        calling_ae_titles: Titles that may call; None lets all of them. A blank one is always rejected.
        contexts: Supported classes; a SOP Class UID stands for one in any transfer syntax. For a class listed
            twice the transfer syntaxes add up and the first role counts.
        promiscuous: Transfer syntaxes accepted for every class that is not in `contexts` and with which an
            object may be stored: a storage class of the registry, or one that it does not know. None refuses
            those classes, an empty tuple takes any transfer syntax.
        refused: Abstract syntaxes refused with user-rejection, whatever the other fields say.
        transfer_syntax_order: Whose order of preference chooses among the transfer syntaxes both sides have.
        always_accept_default_role: Accept a requestor without role selection where its role should be SCP.
        max_pdu_length: To announce, in bytes; 0 for no limit.
        max_invoked: Operations this side wants to have outstanding; 0 for no limit.
        max_performed: Operations this side serves at a time; 0 for no limit.
        reject_without_contexts: Reject the association when no context was accepted.
        extended_negotiation: Answers a SOP Class Extended Negotiation item of an accepted class with the
            application information to return, or with None for no answer.
        implementation_class_uid: To announce.
        implementation_version_name: To announce, at most 16 characters.
    """

    ae_title: str = ""
    require_called_ae_title: bool = False
    calling_ae_titles: frozenset[str] | None = None
    contexts: tuple[SupportedContext, ...] = ()
    promiscuous: tuple[str, ...] | None = None
    refused: frozenset[str] = frozenset()
    transfer_syntax_order: Literal["requestor", "acceptor"] = "requestor"
    always_accept_default_role: bool = False
    max_pdu_length: int = DEFAULT_MAX_PDU_LENGTH
    max_invoked: int = 1
    max_performed: int = DEFAULT_WINDOW_SERVED
    reject_without_contexts: bool = False
    extended_negotiation: Callable[[SOPClassExtendedNegotiation], bytes | None] | None = None
    implementation_class_uid: str = IMPLEMENTATION_CLASS_UID
    implementation_version_name: str = IMPLEMENTATION_VERSION_NAME

    def __post_init__(self) -> None:
        if self.ae_title != "":
            arguments.set_field(self, "ae_title", arguments.ae_title(self.ae_title, "ae_title"))
        if self.calling_ae_titles is not None:  # a blank one is never accepted, and does no harm here
            given = arguments.strings(self.calling_ae_titles, "calling_ae_titles")
            titles = frozenset(each and arguments.ae_title(each, "calling_ae_titles") for each in given)
            arguments.set_field(self, "calling_ae_titles", titles)
        if self.promiscuous is not None:
            _make_tuples(self, "promiscuous")
        arguments.set_field(self, "refused", frozenset(arguments.strings(self.refused, "refused")))
        _make_contexts(self, SupportedContext)
        _check_policy(self)
        if self.transfer_syntax_order not in ("requestor", "acceptor"):
            raise ValueError("transfer_syntax_order: expected 'requestor' or 'acceptor'")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedContext:
    """A presentation context to propose.

    Attributes:
        abstract_syntax: UID.
        transfer_syntaxes: UIDs, the best first; at least one. Explicit and Implicit VR Little Endian unless
            given.
        scu_role: Propose to be SCU. None: the default, which is SCU alone when `scp_role` is None too.
        scp_role: Propose to be SCP. None: do not.
    """

    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...] = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
    scu_role: bool | None = None
    scp_role: bool | None = None

    def __post_init__(self) -> None:
        _make_tuples(self, "transfer_syntaxes")
        arguments.check_types(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestorPolicy:
    """What a requestor asks for.

    Attributes:
        called_ae_title: Of the peer.
        calling_ae_title: Its own.
        contexts: 1 to 128 presentation contexts; a SOP Class UID stands for one with the default transfer
            syntaxes. Roles belong to the SOP class: what several contexts of one class propose is joined.
        max_pdu_length: To announce, in bytes; 0 for no limit.
        max_invoked: Operations this side wants to have outstanding; 0 for no limit.
        max_performed: Operations this side serves at a time; 0 for no limit.
        user_identity: Who is calling (PS3.7 D.3.3.7).
        extended_negotiations: Sent as they are (PS3.7 D.3.3.5).
        common_extended_negotiations: Sent as they are (PS3.7 D.3.3.6).
        implementation_class_uid: To announce.
        implementation_version_name: To announce, at most 16 characters.
    """

    called_ae_title: str
    calling_ae_title: str
    contexts: tuple[ProposedContext, ...]
    max_pdu_length: int = DEFAULT_MAX_PDU_LENGTH
    max_invoked: int = 1
    max_performed: int = 1
    user_identity: UserIdentityRQ | None = None
    extended_negotiations: tuple[SOPClassExtendedNegotiation, ...] = ()
    common_extended_negotiations: tuple[SOPClassCommonExtendedNegotiation, ...] = ()
    implementation_class_uid: str = IMPLEMENTATION_CLASS_UID
    implementation_version_name: str = IMPLEMENTATION_VERSION_NAME

    def __post_init__(self) -> None:
        for name in ("called_ae_title", "calling_ae_title"):
            arguments.set_field(self, name, arguments.ae_title(getattr(self, name), name))
        _make_contexts(self, ProposedContext)
        for name, kind in _NEGOTIATIONS:
            arguments.set_field(self, name, arguments.several(getattr(self, name), name, kind))
        _check_policy(self)


_NEGOTIATIONS = (
    ("extended_negotiations", SOPClassExtendedNegotiation),
    ("common_extended_negotiations", SOPClassCommonExtendedNegotiation),
)
_Context = TypeVar("_Context", ProposedContext, SupportedContext)
_MAX_LENGTH = 0xFFFFFFFF
MAX_OPERATIONS = 0xFFFF
"""PS3.7 Table D.3-7: a window is two bytes."""
_MAX_VERSION_NAME_LENGTH = 16


def several_contexts(value: Any, kind: type[_Context]) -> tuple[_Context, ...]:
    """The argument `contexts`: one or several, each of which may be the UID of its SOP class.

    Raises:
        TypeError: It is something else.
    """
    given = arguments.several(value, "contexts", kind, str)
    return tuple(kind(abstract_syntax=each) if isinstance(each, str) else each for each in given)


def _make_contexts(policy: Any, kind: type[_Context]) -> None:
    arguments.set_field(policy, "contexts", several_contexts(policy.contexts, kind))


def _make_tuples(record: Any, *names: str) -> None:
    for name in names:
        arguments.set_field(record, name, arguments.strings(getattr(record, name), name))


def _check_policy(policy: AcceptorPolicy | RequestorPolicy) -> None:
    """What the policies of both sides have in common.

    Raises:
        TypeError: A field has another type.
        ValueError: A number is out of range, or a text is too long.
    """
    arguments.check_types(policy)
    longest = arguments.whole_number(policy.max_pdu_length, "max_pdu_length", 0, _MAX_LENGTH)
    if 0 < longest < SMALLEST_MAX_PDU_LENGTH:  # PS3.8 D.1: a PDV has a header of six bytes
        raise ValueError(
            f"max_pdu_length: {longest}, expected 0 for no limit, or {SMALLEST_MAX_PDU_LENGTH} or more"
        )
    for name in ("max_invoked", "max_performed"):
        arguments.whole_number(getattr(policy, name), name, 0, MAX_OPERATIONS)
    if len(policy.implementation_version_name) > _MAX_VERSION_NAME_LENGTH:  # PS3.7 D.3.3.2.3
        raise ValueError(f"implementation_version_name: more than {_MAX_VERSION_NAME_LENGTH} characters")


def build_request(policy: RequestorPolicy) -> AAssociateRQ:
    """The A-ASSOCIATE-RQ of a requestor; its contexts have the ids 1, 3, 5 and so on, in order.

    Raises:
        LocalProtocolError: No context, more than 128, one without transfer syntax, or a class without a role.
    """
    _check_proposals(policy.contexts)
    synchronous = policy.max_invoked == policy.max_performed == 1
    return AAssociateRQ(
        called_ae_title=policy.called_ae_title,
        calling_ae_title=policy.calling_ae_title,
        presentation_contexts=tuple(
            # PS3.8 9.3.2.2: odd ids, 1 to 255.
            PresentationContextRQ(2 * index + 1, context.abstract_syntax, context.transfer_syntaxes)
            for index, context in enumerate(policy.contexts)
        ),
        user_information=UserInformation(
            max_length=policy.max_pdu_length,
            implementation_class_uid=policy.implementation_class_uid,
            implementation_version_name=policy.implementation_version_name,
            # PS3.7 D.3.3.3: one and one is the default; some peers stumble over the item.
            asynchronous_operations_window=None
            if synchronous
            else AsynchronousOperationsWindow(policy.max_invoked, policy.max_performed),
            role_selections=_role_selections(policy.contexts),
            extended_negotiations=policy.extended_negotiations,
            common_extended_negotiations=policy.common_extended_negotiations,
            user_identity=policy.user_identity,
        ),
    )


def negotiate(
    rq: AAssociateRQ, policy: AcceptorPolicy, *, identity_response: UserIdentityAC | None = None
) -> AAssociateAC | AAssociateRJ:
    """The acceptor's answer to an A-ASSOCIATE-RQ.

    Args:
        rq: As it was received.
        policy: What this side accepts.
        identity_response: For a user whose identity was verified; sent only if a positive response was
            requested.

    Returns:
        An AC with an answer for every context that was proposed, or an RJ. A context whose abstract syntax
        is no UID is refused, and so is one without a transfer syntax that is one.
    """
    rejection = _rejection(rq, policy)
    if rejection is not None:
        return rejection
    answers, roles = _answer_contexts(rq, policy)
    accepted = {
        abstract_syntax for abstract_syntax, answer in answers if answer.result == ContextResult.ACCEPTANCE
    }
    # PS3.8 9.3.3: an AC has at least one presentation context item, so nothing proposed cannot be accepted.
    if not answers or (policy.reject_without_contexts and not accepted):
        return REJECT_NO_REASON_GIVEN
    proposal = rq.user_information
    # PS3.7 D.3.3.3 to D.3.3.7: only what was proposed is answered, and common extended negotiation never.
    return AAssociateAC(
        # PS3.8 9.3.3: the titles are those of the RQ.
        called_ae_title=rq.called_ae_title,
        calling_ae_title=rq.calling_ae_title,
        presentation_contexts=tuple(answer for _, answer in answers),
        user_information=UserInformation(
            max_length=policy.max_pdu_length,
            implementation_class_uid=policy.implementation_class_uid,
            implementation_version_name=policy.implementation_version_name,
            asynchronous_operations_window=_answer_window(proposal, policy),
            role_selections=tuple(role for role in roles if role.sop_class_uid in accepted),
            extended_negotiations=_answer_extended_negotiations(proposal, policy, accepted),
            user_identity=identity_response if _positive_response_requested(proposal) else None,
        ),
        # PS3.8 Table 9-17: the reserved bytes are those of the RQ as well.
        reserved=rq.reserved,
        ae_title_fields=rq.ae_title_fields,
    )


def answer_to(
    rq: AAssociateRQ, policy: AcceptorPolicy, *, identity_response: UserIdentityAC | None = None
) -> tuple[AAssociateAC | AAssociateRJ, Negotiated | None]:
    """The acceptor's answer, as `negotiate` gives it, and what was agreed on where it accepts.

    An answer is remembered for the same request under the same policy, unless it depends on who asks.

    Raises:
        RemoteProtocolError: The requestor announces a maximum length that no PDV fits.
    """
    key = id(rq), id(policy)
    known = _ANSWERED.get(key)
    if known is not None and known.request is rq and known.policy is policy and identity_response is None:
        return known.answer, known.agreed
    made = negotiate(rq, policy, identity_response=identity_response)
    agreed = acceptor_contexts(rq, made) if isinstance(made, AAssociateAC) else None
    if policy.extended_negotiation is None and rq.user_information.user_identity is None:
        _ANSWERED.keep(key, _Answered(rq, policy, made, agreed))
    return made, agreed


class _Answered(NamedTuple):
    """An answer, and what it was made from: nothing else has their identities as long as it is kept."""

    request: AAssociateRQ
    policy: AcceptorPolicy
    answer: AAssociateAC | AAssociateRJ
    agreed: Negotiated | None


_ANSWERED: Recent[tuple[int, int], _Answered] = Recent(MAX_RECENT)


def _check_proposals(contexts: tuple[ProposedContext, ...]) -> None:
    if not contexts:
        raise LocalProtocolError("an association needs at least one presentation context: propose one")
    surplus = contexts[MAX_PRESENTATION_CONTEXTS:]
    if surplus:
        names = named(tuple(context.abstract_syntax for context in surplus[:3]))
        raise LocalProtocolError(
            f"{len(contexts)} presentation contexts, and an association has at most "
            f"{MAX_PRESENTATION_CONTEXTS} (PS3.8 9.3.2.2); {len(surplus)} too many, "
            f"the first of them for {names}: propose fewer, or use several associations"
        )
    for context in contexts:
        if not context.transfer_syntaxes:
            raise LocalProtocolError(
                f"the presentation context for {named((context.abstract_syntax,))} has no transfer syntax: "
                "propose at least one"
            )


def _role_selections(contexts: tuple[ProposedContext, ...]) -> tuple[RoleSelection, ...]:
    """One item for each class with a context that names a role; contexts that name none want to be SCU."""
    roles: dict[str, RoleSelection] = {}
    explicit: set[str] = set()
    for context in contexts:
        uid = context.abstract_syntax
        default = context.scu_role is None and context.scp_role is None
        before = roles.get(uid, RoleSelection(uid, False, False))
        scu_role = before.scu_role or default or bool(context.scu_role)
        roles[uid] = RoleSelection(uid, scu_role, before.scp_role or bool(context.scp_role))
        if not default:
            explicit.add(uid)
    for role in roles.values():
        if not role.scu_role and not role.scp_role:
            raise LocalProtocolError(
                f"neither the role of SCU nor that of SCP is proposed for {named((role.sop_class_uid,))}: "
                "set scu_role or scp_role to True, or leave both out"
            )
    return tuple(role for uid, role in roles.items() if uid in explicit)


def _rejection(rq: AAssociateRQ, policy: AcceptorPolicy) -> AAssociateRJ | None:
    # PS3.8 9.3.2: of the protocol version, bit 0 alone is tested.
    if not rq.protocol_version & 1:
        return REJECT_PROTOCOL_VERSION_NOT_SUPPORTED
    if rq.application_context_name != APPLICATION_CONTEXT_NAME:
        return REJECT_APPLICATION_CONTEXT_NAME_NOT_SUPPORTED
    # PS3.8 9.3.2: spaces around a title are not significant; sixteen of them shall not be used.
    called, calling = rq.called_ae_title.strip(" "), rq.calling_ae_title.strip(" ")
    if not called or (policy.require_called_ae_title and called != policy.ae_title.strip(" ")):
        return REJECT_CALLED_AE_TITLE_NOT_RECOGNIZED
    allowed = policy.calling_ae_titles
    if not calling or (allowed is not None and calling not in {title.strip(" ") for title in allowed}):
        return REJECT_CALLING_AE_TITLE_NOT_RECOGNIZED
    return None


def _answer_contexts(
    rq: AAssociateRQ, policy: AcceptorPolicy
) -> tuple[list[tuple[str, PresentationContextAC]], list[RoleSelection]]:
    """The answers, each with its abstract syntax, and the answers to role selections."""
    supported = _supported_by_class(policy.contexts)
    promiscuous = policy.promiscuous
    proposals = proposed_roles(rq.user_information)
    answers: list[tuple[str, PresentationContextAC]] = []
    roles: dict[str, RoleSelection] = {}
    for context in unique_contexts(rq).values():
        uid = context.abstract_syntax
        offer = supported.get(uid)
        servable = is_uid(uid) and not is_another_service(uid)
        if offer is None and promiscuous is not None and servable:
            offer = SupportedContext(abstract_syntax=uid, transfer_syntaxes=promiscuous)
        answers.append((uid, _answer_context(context, offer, uid in proposals, policy)))
        if offer is not None and uid in proposals and offer.role:
            roles[uid] = _answer_role(proposals[uid], offer.role)
    return answers, list(roles.values())


_BY_CLASS: dict[int, tuple[tuple[SupportedContext, ...], dict[str, SupportedContext]]] = {}
"""What policies support, by the identity of their contexts, which are kept so that it stays theirs."""

_MAX_BY_CLASS = 16


def _supported_by_class(contexts: tuple[SupportedContext, ...]) -> dict[str, SupportedContext]:
    known = _BY_CLASS.get(id(contexts))
    if known is None:
        known = (contexts, _sorted_by_class(contexts))
        if len(_BY_CLASS) >= _MAX_BY_CLASS:
            _BY_CLASS.clear()
        _BY_CLASS[id(contexts)] = known
    return known[1]


def _sorted_by_class(contexts: tuple[SupportedContext, ...]) -> dict[str, SupportedContext]:
    supported: dict[str, SupportedContext] = {}
    for context in contexts:
        uid = context.abstract_syntax
        first = supported.setdefault(uid, context)
        if first is not context:
            one, other = first.transfer_syntaxes, context.transfer_syntaxes
            syntaxes = one + other if one and other else ()
            supported[uid] = SupportedContext(
                abstract_syntax=uid, transfer_syntaxes=syntaxes, role=first.role
            )
    return supported


def _answer_context(
    context: PresentationContextRQ, offer: SupportedContext | None, has_role: bool, policy: AcceptorPolicy
) -> PresentationContextAC:
    # PS3.8 9.3.3.2: the transfer syntax of a refused context is not significant.
    transfer_syntax = IMPLICIT_VR_LITTLE_ENDIAN
    if context.abstract_syntax in policy.refused:
        result = ContextResult.USER_REJECTION
    elif offer is None:
        result = ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED
    else:
        common = _common_transfer_syntax(context.transfer_syntaxes, offer.transfer_syntaxes, policy)
        if common is None:
            result = ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED
        elif offer.role is AcceptorRole.SCP and not has_role and not policy.always_accept_default_role:
            result = ContextResult.NO_REASON
        else:
            result, transfer_syntax = ContextResult.ACCEPTANCE, common
    return PresentationContextAC(context.context_id, result, transfer_syntax)


def _common_transfer_syntax(
    proposed: tuple[str, ...], supported: tuple[str, ...], policy: AcceptorPolicy
) -> str | None:
    if not supported:
        return next(filter(is_uid, proposed), None)
    first, second = proposed, supported
    if policy.transfer_syntax_order == "acceptor":
        first, second = second, first
    return next((syntax for syntax in first if syntax in second), None)


def _answer_role(proposal: RoleSelection, setting: AcceptorRole) -> RoleSelection:
    # PS3.7 D.3.3.4: a role that was not proposed is not granted.
    return RoleSelection(
        proposal.sop_class_uid,
        proposal.scu_role and AcceptorRole.SCU in setting,
        proposal.scp_role and AcceptorRole.SCP in setting,
    )


def _answer_window(proposal: UserInformation, policy: AcceptorPolicy) -> AsynchronousOperationsWindow | None:
    window = proposal.asynchronous_operations_window
    if window is None:
        return None
    # PS3.7 D.3.3.3: at most what was proposed, and both numbers are the requestor's.
    return AsynchronousOperationsWindow(
        smaller_window(window.max_invoked, policy.max_performed),
        smaller_window(window.max_performed, policy.max_invoked),
    )


def _answer_extended_negotiations(
    proposal: UserInformation, policy: AcceptorPolicy, accepted: set[str]
) -> tuple[SOPClassExtendedNegotiation, ...]:
    if policy.extended_negotiation is None:
        return ()
    # PS3.7 D.3.3.5: one item a class; of two the last one counts.
    items = {
        each.sop_class_uid: each for each in proposal.extended_negotiations if each.sop_class_uid in accepted
    }
    answers = ((uid, policy.extended_negotiation(item)) for uid, item in items.items())
    return tuple(SOPClassExtendedNegotiation(uid, answer) for uid, answer in answers if answer is not None)


def _positive_response_requested(proposal: UserInformation) -> bool:
    identity = proposal.user_identity
    return isinstance(identity, UserIdentityRQ) and identity.positive_response_requested
