"""What an association may do once it is negotiated: (RQ, AC) -> contexts, roles, window (PS3.7 Annex D.3).

Both sides read the same two PDUs, so both come to the same result, each from its own point of view. Pure: no
I/O and no clock. `dcmnet.acse` makes the two PDUs and re-exports the names of this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from dcmnet._records import dataclass, replace
from dcmnet.errors import LocalProtocolError, NoPresentationContext, RemoteProtocolError
from dcmnet.limits import DEFAULT_TOLERANCE, SMALLEST_MAX_PDU_LENGTH, Tolerance
from dcmnet.registry.transfer_syntaxes import EXPLICIT_VR_LITTLE_ENDIAN
from dcmnet.registry.uids import name_of
from dcmnet.ul.items import (
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
from dcmnet.ul.pdu import AAssociateAC, AAssociateRQ

ASSUMED_MAX_PDU_LENGTH = 16384
"""For a peer without a maximum length (PS3.8 D.1): what nearly all of them have taken for decades."""

_RESULTS: dict[int, tuple[str, str]] = {
    ContextResult.USER_REJECTION: ("user-rejection", "the acceptor is set up to refuse it"),
    ContextResult.NO_REASON: (
        "no-reason",
        "the acceptor may want other roles; see its configuration and log",
    ),
    ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED: (
        "abstract-syntax-not-supported",
        "the acceptor does not provide this service, or is not configured for it",
    ),
    ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED: (
        "transfer-syntaxes-not-supported",
        "propose other transfer syntaxes, Implicit VR Little Endian among them",
    ),
}

_Role = Literal["scu", "scp"]
_Error = type[LocalProtocolError] | type[RemoteProtocolError]


@dataclass(frozen=True, slots=True)
class AcceptedContext:
    """A presentation context that both sides agreed on.

    Attributes:
        context_id: 1 to 255, odd (PS3.8 9.3.2.2); a requestor may have used an even one or 0.
        abstract_syntax: UID.
        transfer_syntax: UID of the one that was accepted.
        scu_role: This side may be SCU.
        scp_role: This side may be SCP.
    """

    context_id: int
    abstract_syntax: str
    transfer_syntax: str
    scu_role: bool
    scp_role: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Negotiated:
    """The outcome of a negotiation, seen from this side.

    Attributes:
        contexts: Accepted contexts by id, in the order of proposal.
        proposed: Everything the requestor proposed.
        rejected: Proposed contexts that were refused, each with its result (PS3.8 Table 9-18).
        max_pdu_length_to_send: Longest P-DATA-TF variable field the peer takes, in bytes; 0 is no limit.
        max_invoked: Operations this side may have outstanding; 0 is no limit.
        max_performed: Operations the peer may have outstanding; 0 is no limit.
        called_ae_title: From the RQ.
        calling_ae_title: From the RQ.
        peer_implementation_class_uid: Empty when the peer sent none.
        peer_implementation_version_name: Empty when the peer sent none.
        extended_negotiations: What the acceptor answered to the requestor's items (PS3.7 D.3.3.5).
        common_extended_negotiations: What the requestor told about its classes (PS3.7 D.3.3.6).
        user_identity_response: The acceptor's positive response, where one was requested (PS3.7 D.3.3.7).
    """

    contexts: Mapping[int, AcceptedContext]
    proposed: tuple[PresentationContextRQ, ...]
    rejected: tuple[tuple[PresentationContextRQ, int], ...]
    max_pdu_length_to_send: int
    max_invoked: int
    max_performed: int
    called_ae_title: str
    calling_ae_title: str
    peer_implementation_class_uid: str = ""
    peer_implementation_version_name: str = ""
    extended_negotiations: tuple[SOPClassExtendedNegotiation, ...] = ()
    common_extended_negotiations: tuple[SOPClassCommonExtendedNegotiation, ...] = ()
    user_identity_response: UserIdentityAC | None = None

    def find(
        self,
        abstract_syntax: str,
        transfer_syntaxes: str | tuple[str, ...] | None = None,
        role: _Role = "scu",
    ) -> AcceptedContext:
        """Chooses the context for a message.

        Args:
            abstract_syntax: UID of the SOP Class, or of its Meta SOP Class.
            transfer_syntaxes: UIDs that will do, the best first. None takes any, and Explicit VR Little
                Endian before all others.
            role: Role of this side, `"scu"` or `"scp"`.

        Raises:
            NoPresentationContext: None fits; the message says why and what to do.
        """
        accepted = [each for each in self.contexts.values() if each.abstract_syntax == abstract_syntax]
        usable = [each for each in accepted if (each.scu_role if role == "scu" else each.scp_role)]
        if isinstance(transfer_syntaxes, str):
            transfer_syntaxes = (transfer_syntaxes,)
        preferences = (EXPLICIT_VR_LITTLE_ENDIAN,) if transfer_syntaxes is None else transfer_syntaxes
        for transfer_syntax in preferences:
            for each in usable:
                if each.transfer_syntax == transfer_syntax:
                    return each
        if usable and transfer_syntaxes is None:
            return usable[0]
        raise self._nothing_fits(abstract_syntax, transfer_syntaxes or (), accepted, usable, role)

    def _nothing_fits(
        self,
        abstract_syntax: str,
        needed: tuple[str, ...],
        accepted: list[AcceptedContext],
        usable: list[AcceptedContext],
        role: _Role,
    ) -> NoPresentationContext:
        proposed = [each for each in self.proposed if each.abstract_syntax == abstract_syntax]
        offered = _unique(syntax for each in proposed for syntax in each.transfer_syntaxes)
        agreed = _unique(each.transfer_syntax for each in accepted)
        if usable:
            why = (
                f"it was accepted with {named(agreed)}, and this needs {named(needed)}; convert the data "
                "set, or propose the transfer syntaxes it needs in presentation contexts of their own"
            )
        elif accepted:
            why = (
                f"it was accepted, but this side was not given the role of {role.upper()}; propose and "
                "accept that role with SCP/SCU Role Selection (PS3.7 D.3.3.4)"
            )
        elif proposed:
            why = f"it was proposed with {named(offered)} and refused: {self._refusals(abstract_syntax)}"
        else:
            why = "it was not proposed; add it to the presentation contexts of the association"
        return NoPresentationContext(
            f"no presentation context for {named((abstract_syntax,))}: {why}",
            abstract_syntax=abstract_syntax,
            transfer_syntaxes=needed,
            offered=offered,
            accepted=agreed,
        )

    def _refusals(self, abstract_syntax: str) -> str:
        results = (result for context, result in self.rejected if context.abstract_syntax == abstract_syntax)
        return "; ".join(_unique(_result_text(result) for result in results))


def requestor_contexts(
    rq: AAssociateRQ, ac: AAssociateAC, tolerance: Tolerance = DEFAULT_TOLERANCE
) -> Negotiated:
    """What the requestor may do, from the RQ it sent and the AC it received.

    A context without an answer counts as refused.

    Args:
        rq: What was asked for.
        ac: The answer.
        tolerance: With `MISSING_ROLE_SELECTION`, the role of SCP may be taken when it was proposed and not
            answered.

    Raises:
        RemoteProtocolError: The AC announces a maximum length that no PDV fits. Unless it is tolerated, it
            answers a context that was not proposed, or answers one twice, or accepts a transfer syntax that
            was not proposed (source 2, reason 6).
    """
    theirs = ac.user_information
    contexts, rejected = _contexts(rq, ac, tolerance, RemoteProtocolError)
    invoked, performed = _window(rq.user_information, theirs)
    return Negotiated(
        contexts=contexts,
        proposed=rq.presentation_contexts,
        rejected=rejected,
        max_pdu_length_to_send=_max_pdu_length(theirs, "A-ASSOCIATE-AC"),
        max_invoked=invoked,
        max_performed=performed,
        called_ae_title=rq.called_ae_title,
        calling_ae_title=rq.calling_ae_title,
        peer_implementation_class_uid=theirs.implementation_class_uid,
        peer_implementation_version_name=theirs.implementation_version_name,
        extended_negotiations=_extended_negotiations(rq.user_information, theirs),
        common_extended_negotiations=rq.user_information.common_extended_negotiations,
        user_identity_response=_identity_response(rq.user_information, theirs),
    )


def acceptor_contexts(rq: AAssociateRQ, ac: AAssociateAC) -> Negotiated:
    """What the acceptor may do, from the RQ it received and the AC it sent.

    Raises:
        LocalProtocolError: The AC is not an answer to this RQ.
        RemoteProtocolError: The RQ announces a maximum length that no PDV fits.
    """
    theirs, ours = rq.user_information, ac.user_information
    contexts, rejected = _contexts(rq, ac, Tolerance.NONE, LocalProtocolError)
    performed, invoked = _window(theirs, ours)
    return Negotiated(
        contexts={context_id: _other_side(context) for context_id, context in contexts.items()},
        proposed=rq.presentation_contexts,
        rejected=rejected,
        max_pdu_length_to_send=_max_pdu_length(theirs, "A-ASSOCIATE-RQ"),
        max_invoked=invoked,
        max_performed=performed,
        called_ae_title=rq.called_ae_title,
        calling_ae_title=rq.calling_ae_title,
        peer_implementation_class_uid=theirs.implementation_class_uid,
        peer_implementation_version_name=theirs.implementation_version_name,
        extended_negotiations=_extended_negotiations(theirs, ours),
        common_extended_negotiations=theirs.common_extended_negotiations,
        user_identity_response=_identity_response(theirs, ours),
    )


def smaller_window(one: int, other: int) -> int:
    """The smaller of two numbers of operations, where 0 means no limit (PS3.7 D.3.3.3)."""
    return min(one, other) if one and other else one or other


def unique_contexts(rq: AAssociateRQ) -> dict[int, PresentationContextRQ]:
    """The proposed contexts by id; of two with the same id the first one counts."""
    proposed: dict[int, PresentationContextRQ] = {}
    for context in rq.presentation_contexts:
        proposed.setdefault(context.context_id, context)
    return proposed


def _contexts(
    rq: AAssociateRQ, ac: AAssociateAC, tolerance: Tolerance, error: _Error
) -> tuple[dict[int, AcceptedContext], tuple[tuple[PresentationContextRQ, int], ...]]:
    """The accepted contexts, with the requestor's roles, and the refused ones."""
    proposed = unique_contexts(rq)
    answers = _answers(proposed, ac, tolerance, error)
    unanswered = Tolerance.MISSING_ROLE_SELECTION in tolerance
    roles = _requestor_roles(rq.user_information, ac.user_information, unanswered=unanswered)
    contexts: dict[int, AcceptedContext] = {}
    rejected: list[tuple[PresentationContextRQ, int]] = []
    for context_id, context in proposed.items():
        answer = answers.get(context_id)
        if answer is None:
            rejected.append((context, ContextResult.NO_REASON))
        elif answer.result != ContextResult.ACCEPTANCE:
            rejected.append((context, answer.result))
        else:
            # PS3.7 D.3.3.4: without role selection the requestor is SCU and the acceptor SCP.
            scu_role, scp_role = roles.get(context.abstract_syntax, (True, False))
            contexts[context_id] = AcceptedContext(
                context_id, context.abstract_syntax, answer.transfer_syntax, scu_role, scp_role
            )
    return contexts, tuple(rejected)


def _answers(
    proposed: dict[int, PresentationContextRQ], ac: AAssociateAC, tolerance: Tolerance, error: _Error
) -> dict[int, PresentationContextAC]:
    answers: dict[int, PresentationContextAC] = {}
    for answer in ac.presentation_contexts:
        context = proposed.get(answer.context_id)
        where = f"A-ASSOCIATE-AC: presentation context {answer.context_id}"
        if context is None:
            if Tolerance.UNPROPOSED_ANSWER not in tolerance:
                raise error(f"{where} was not proposed")
            continue
        if answer.context_id in answers:
            if Tolerance.DUPLICATE_CONTEXT_ID not in tolerance:
                raise error(f"{where} is answered twice")
            continue
        # PS3.8 9.3.3.2: the transfer syntax of a refused context is not significant.
        if (
            answer.result == ContextResult.ACCEPTANCE
            and answer.transfer_syntax not in context.transfer_syntaxes
        ):
            if Tolerance.UNPROPOSED_ANSWER not in tolerance:
                raise error(
                    f"{where} ({named((context.abstract_syntax,))}) is accepted with "
                    f"{named((answer.transfer_syntax,))}, which was not proposed; "
                    f"expected one of {named(context.transfer_syntaxes)}"
                )
            answer = replace(answer, result=ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED)
        answers[answer.context_id] = answer
    return answers


def _requestor_roles(
    proposal: UserInformation, answer: UserInformation, *, unanswered: bool
) -> dict[str, tuple[bool, bool]]:
    """(SCU, SCP) of the requestor for the classes whose roles were proposed and answered.

    With `unanswered`, a role of SCP that was proposed and not answered is there beside the default.
    """
    proposed = proposed_roles(proposal)
    roles = {uid: (True, role.scp_role) for uid, role in proposed.items()} if unanswered else {}
    # PS3.7 D.3.3.4: the requestor ignores the answer for a role that it has not proposed.
    answered = {
        role.sop_class_uid: (
            role.scu_role and proposed[role.sop_class_uid].scu_role,
            role.scp_role and proposed[role.sop_class_uid].scp_role,
        )
        for role in answer.role_selections
        if role.sop_class_uid in proposed
    }
    return roles | answered


def proposed_roles(proposal: UserInformation) -> dict[str, RoleSelection]:
    """The requestor's role selections by SOP class; one that asks for no role at all is no proposal."""
    return {each.sop_class_uid: each for each in proposal.role_selections if each.scu_role or each.scp_role}


def _other_side(context: AcceptedContext) -> AcceptedContext:
    return AcceptedContext(
        context.context_id,
        context.abstract_syntax,
        context.transfer_syntax,
        scu_role=context.scp_role,
        scp_role=context.scu_role,
    )


def _max_pdu_length(theirs: UserInformation, name: str) -> int:
    """What the peer takes: 0 for no limit, an assumption if it said nothing.

    Raises:
        RemoteProtocolError: No PDV fits: nothing can be sent without breaking PS3.8 D.1.1.
    """
    length = theirs.max_length
    if length is None:
        return ASSUMED_MAX_PDU_LENGTH
    if 0 < length < SMALLEST_MAX_PDU_LENGTH:
        raise RemoteProtocolError(
            f"{name}: the peer announces a maximum length of {length}, which no PDV fits; expected 0 for "
            f"no limit, or {SMALLEST_MAX_PDU_LENGTH} at least: check the maximum PDU length set at the peer"
        )
    return length


def _window(proposal: UserInformation, answer: UserInformation) -> tuple[int, int]:
    """(invoked, performed) of the requestor."""
    proposed, answered = proposal.asynchronous_operations_window, answer.asynchronous_operations_window
    # PS3.7 D.3.3.3: absent from either PDU, both numbers are one.
    if proposed is None or answered is None:
        return 1, 1
    return (
        smaller_window(proposed.max_invoked, answered.max_invoked),
        smaller_window(proposed.max_performed, answered.max_performed),
    )


def _extended_negotiations(
    proposal: UserInformation, answer: UserInformation
) -> tuple[SOPClassExtendedNegotiation, ...]:
    # PS3.7 D.3.3.5: what the requestor has not sent is not answered; such an answer says nothing.
    proposed = {each.sop_class_uid for each in proposal.extended_negotiations}
    return tuple(each for each in answer.extended_negotiations if each.sop_class_uid in proposed)


def _identity_response(proposal: UserInformation, answer: UserInformation) -> UserIdentityAC | None:
    identity, response = proposal.user_identity, answer.user_identity
    requested = isinstance(identity, UserIdentityRQ) and identity.positive_response_requested
    return response if requested and isinstance(response, UserIdentityAC) else None


def _result_text(result: int) -> str:
    text, advice = _RESULTS.get(result, (f"result {result}", "PS3.8 Table 9-18 does not define it"))
    return f"{text} ({advice})"


def _unique(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


def named(uids: tuple[str, ...]) -> str:
    """UIDs for a person to read, each with its name where it has one."""
    texts = (uid if (name := name_of(uid)) == uid else f"{name} ({uid})" for uid in uids)
    return ", ".join(texts) or "none"
