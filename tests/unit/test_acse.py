from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from dcmnet import acse
from dcmnet._version import __version__
from dcmnet.acse import (
    ASSUMED_MAX_PDU_LENGTH,
    AcceptedContext,
    AcceptorPolicy,
    AcceptorRole,
    Negotiated,
    ProposedContext,
    RequestorPolicy,
    SupportedContext,
    acceptor_contexts,
    answer_to,
    build_request,
    negotiate,
    requestor_contexts,
)
from dcmnet.errors import AssociationRejected, LocalProtocolError, NoPresentationContext, RemoteProtocolError
from dcmnet.limits import DEFAULT_MAX_PDU_LENGTH, Limits, Tolerance
from dcmnet.registry._uids import UIDS
from dcmnet.registry.sop_classes import is_storage
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
from dcmnet.ul.pdu import AAssociateAC, AAssociateRJ, AAssociateRQ

VERIFICATION = "1.2.840.10008.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
PRIVATE = "1.2.3.4.5"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPEG = "1.2.840.10008.1.2.4.50"

VERSION_NAME_LENGTH = 16
HEADER_LENGTH = 6


def proposed(
    uid: str = CT, *syntaxes: str, scu: bool | None = None, scp: bool | None = None
) -> ProposedContext:
    return ProposedContext(
        abstract_syntax=uid, transfer_syntaxes=syntaxes or (EXPLICIT, IMPLICIT), scu_role=scu, scp_role=scp
    )


def request(*contexts: ProposedContext, **fields: Any) -> AAssociateRQ:
    fields = {"called_ae_title": "ARCHIVE", "calling_ae_title": "MODALITY"} | fields
    return build_request(RequestorPolicy(contexts=contexts or (proposed(),), **fields))


def supported(uid: str = CT, *syntaxes: str, role: AcceptorRole = AcceptorRole.DEFAULT) -> SupportedContext:
    return SupportedContext(abstract_syntax=uid, transfer_syntaxes=syntaxes, role=role)


def policy(*contexts: SupportedContext, **fields: Any) -> AcceptorPolicy:
    return AcceptorPolicy(contexts=contexts or (supported(),), **fields)


def accept(
    rq: AAssociateRQ, acceptor: AcceptorPolicy, response: UserIdentityAC | None = None
) -> AAssociateAC:
    answer = negotiate(rq, acceptor, identity_response=response)
    assert isinstance(answer, AAssociateAC)
    return answer


def both_sides(rq: AAssociateRQ, acceptor: AcceptorPolicy) -> tuple[Negotiated, Negotiated]:
    ac = accept(rq, acceptor)
    return requestor_contexts(rq, ac), acceptor_contexts(rq, ac)


def with_information(rq: AAssociateRQ, **fields: Any) -> AAssociateRQ:
    return replace(rq, user_information=replace(rq.user_information, **fields))


def answer_with(rq: AAssociateRQ, *answers: PresentationContextAC, **fields: Any) -> AAssociateAC:
    return AAssociateAC(
        called_ae_title=rq.called_ae_title,
        calling_ae_title=rq.calling_ae_title,
        presentation_contexts=answers or (PresentationContextAC(1, 0, EXPLICIT),),
        user_information=UserInformation(**fields),
    )


def results(ac: AAssociateAC) -> dict[int, int]:
    return {context.context_id: int(context.result) for context in ac.presentation_contexts}


# ---- who we are ----


def test_implementation_identity() -> None:
    uid, name = acse.IMPLEMENTATION_CLASS_UID, acse.IMPLEMENTATION_VERSION_NAME
    assert re.fullmatch(r"2\.25\.[1-9][0-9]{1,38}", uid)
    assert int(uid.removeprefix("2.25.")) < 1 << 128
    assert name == "DCMNET_" + __version__.replace(".", "")
    assert len(name) <= VERSION_NAME_LENGTH


def test_both_pdus_carry_the_implementation_identity_and_maximum_length() -> None:
    rq = request()
    ac = accept(rq, policy(max_pdu_length=0))
    for pdu, length in ((rq, DEFAULT_MAX_PDU_LENGTH), (ac, 0)):
        information = pdu.user_information
        assert information.max_length == length
        assert information.implementation_class_uid == acse.IMPLEMENTATION_CLASS_UID
        assert information.implementation_version_name == acse.IMPLEMENTATION_VERSION_NAME


def test_implementation_identity_can_be_set_and_is_seen_by_the_peer() -> None:
    rq = request(implementation_class_uid="1.2.3", implementation_version_name="ONE")
    requestor, acceptor = both_sides(
        rq, policy(implementation_class_uid="1.2.4", implementation_version_name="TWO")
    )
    assert (requestor.peer_implementation_class_uid, requestor.peer_implementation_version_name) == (
        "1.2.4",
        "TWO",
    )
    assert (acceptor.peer_implementation_class_uid, acceptor.peer_implementation_version_name) == (
        "1.2.3",
        "ONE",
    )


# ---- rejections ----


@pytest.mark.parametrize(
    ("rejection", "fields", "words"),
    [
        (acse.REJECT_NO_REASON_GIVEN, (1, 1, 1), "rejected-permanent, service-user, no-reason-given"),
        (
            acse.REJECT_APPLICATION_CONTEXT_NAME_NOT_SUPPORTED,
            (1, 1, 2),
            "rejected-permanent, service-user, application-context-name-not-supported",
        ),
        (
            acse.REJECT_CALLING_AE_TITLE_NOT_RECOGNIZED,
            (1, 1, 3),
            "rejected-permanent, service-user, calling-AE-title-not-recognized",
        ),
        (
            acse.REJECT_CALLED_AE_TITLE_NOT_RECOGNIZED,
            (1, 1, 7),
            "rejected-permanent, service-user, called-AE-title-not-recognized",
        ),
        (
            acse.REJECT_ACSE_NO_REASON_GIVEN,
            (1, 2, 1),
            "rejected-permanent, service-provider (ACSE related function), no-reason-given",
        ),
        (
            acse.REJECT_PROTOCOL_VERSION_NOT_SUPPORTED,
            (1, 2, 2),
            "rejected-permanent, service-provider (ACSE related function), protocol-version-not-supported",
        ),
        (
            acse.REJECT_TEMPORARY_CONGESTION,
            (2, 3, 1),
            "rejected-transient, service-provider (Presentation related function), temporary-congestion",
        ),
        (
            acse.REJECT_LOCAL_LIMIT_EXCEEDED,
            (2, 3, 2),
            "rejected-transient, service-provider (Presentation related function), local-limit-exceeded",
        ),
    ],
)
def test_every_rejection_of_the_standard(
    rejection: AAssociateRJ, fields: tuple[int, int, int], words: str
) -> None:
    assert (rejection.result, rejection.source, rejection.reason) == fields
    assert AssociationRejected(*fields).describe() == words


@pytest.mark.parametrize(
    ("changes", "rejection"),
    [
        ({"protocol_version": 0}, acse.REJECT_PROTOCOL_VERSION_NOT_SUPPORTED),
        ({"protocol_version": 2}, acse.REJECT_PROTOCOL_VERSION_NOT_SUPPORTED),
        (
            {"application_context_name": "1.2.3"},
            acse.REJECT_APPLICATION_CONTEXT_NAME_NOT_SUPPORTED,
        ),
        ({"application_context_name": ""}, acse.REJECT_APPLICATION_CONTEXT_NAME_NOT_SUPPORTED),
        ({"called_ae_title": ""}, acse.REJECT_CALLED_AE_TITLE_NOT_RECOGNIZED),
        ({"called_ae_title": " " * 16}, acse.REJECT_CALLED_AE_TITLE_NOT_RECOGNIZED),
        ({"calling_ae_title": ""}, acse.REJECT_CALLING_AE_TITLE_NOT_RECOGNIZED),
        ({"calling_ae_title": " " * 16}, acse.REJECT_CALLING_AE_TITLE_NOT_RECOGNIZED),
        ({"presentation_contexts": ()}, acse.REJECT_NO_REASON_GIVEN),
        # The order of the checks: each of these breaks everything that is checked later, too.
        (
            {"application_context_name": "", "called_ae_title": "", "calling_ae_title": ""},
            acse.REJECT_APPLICATION_CONTEXT_NAME_NOT_SUPPORTED,
        ),
        (
            {"protocol_version": 0, "application_context_name": "", "called_ae_title": ""},
            acse.REJECT_PROTOCOL_VERSION_NOT_SUPPORTED,
        ),
        ({"called_ae_title": "", "calling_ae_title": ""}, acse.REJECT_CALLED_AE_TITLE_NOT_RECOGNIZED),
        ({"calling_ae_title": "", "presentation_contexts": ()}, acse.REJECT_CALLING_AE_TITLE_NOT_RECOGNIZED),
    ],
)
def test_requests_that_no_acceptor_takes(changes: dict[str, Any], rejection: AAssociateRJ) -> None:
    assert negotiate(replace(request(), **changes), policy()) == rejection


@pytest.mark.parametrize("version", [1, 3, 0xFFFF])
def test_only_bit_0_of_the_protocol_version_is_tested(version: int) -> None:
    ac = accept(replace(request(), protocol_version=version), policy())
    assert ac.protocol_version == 1


@pytest.mark.parametrize(
    ("fields", "rejection"),
    [
        ({}, None),
        ({"ae_title": "OTHER"}, None),
        ({"ae_title": "ARCHIVE", "require_called_ae_title": True}, None),
        ({"ae_title": " ARCHIVE ", "require_called_ae_title": True}, None),
        (
            {"ae_title": "OTHER", "require_called_ae_title": True},
            acse.REJECT_CALLED_AE_TITLE_NOT_RECOGNIZED,
        ),
        ({"ae_title": "", "require_called_ae_title": True}, acse.REJECT_CALLED_AE_TITLE_NOT_RECOGNIZED),
        (
            {"ae_title": "archive", "require_called_ae_title": True},
            acse.REJECT_CALLED_AE_TITLE_NOT_RECOGNIZED,
        ),
        ({"calling_ae_titles": frozenset({"MODALITY"})}, None),
        ({"calling_ae_titles": frozenset({"X", "MODALITY  "})}, None),
        ({"calling_ae_titles": frozenset({"X"})}, acse.REJECT_CALLING_AE_TITLE_NOT_RECOGNIZED),
        ({"calling_ae_titles": frozenset()}, acse.REJECT_CALLING_AE_TITLE_NOT_RECOGNIZED),
    ],
)
def test_ae_titles_by_policy(fields: dict[str, Any], rejection: AAssociateRJ | None) -> None:
    answer = negotiate(request(), policy(**fields))
    assert (answer if isinstance(answer, AAssociateRJ) else None) == rejection


def test_rejection_without_accepted_contexts_is_a_choice() -> None:
    rq = request(proposed(MR))
    assert results(accept(rq, policy())) == {1: 3}
    assert negotiate(rq, policy(reject_without_contexts=True)) == acse.REJECT_NO_REASON_GIVEN
    one_good = request(proposed(MR), proposed(CT))
    assert results(accept(one_good, policy(reject_without_contexts=True))) == {1: 3, 3: 0}


def test_the_titles_of_the_request_are_echoed() -> None:
    rq = request(called_ae_title="A", calling_ae_title="B")
    ac = accept(rq, policy(ae_title="C"))
    assert (ac.called_ae_title, ac.calling_ae_title) == ("A", "B")
    for side in both_sides(rq, policy()):
        assert (side.called_ae_title, side.calling_ae_title) == ("A", "B")


# ---- contexts ----


@pytest.mark.parametrize(
    ("offered", "taken", "order", "result", "chosen"),
    [
        ((EXPLICIT, IMPLICIT), (IMPLICIT, EXPLICIT), "requestor", 0, EXPLICIT),
        ((EXPLICIT, IMPLICIT), (IMPLICIT, EXPLICIT), "acceptor", 0, IMPLICIT),
        ((JPEG, EXPLICIT, IMPLICIT), (IMPLICIT, BIG_ENDIAN, EXPLICIT), "requestor", 0, EXPLICIT),
        ((JPEG, EXPLICIT, IMPLICIT), (BIG_ENDIAN, IMPLICIT, EXPLICIT), "acceptor", 0, IMPLICIT),
        ((JPEG, IMPLICIT), (), "requestor", 0, JPEG),
        ((JPEG, IMPLICIT), (), "acceptor", 0, JPEG),
        ((JPEG,), (EXPLICIT, IMPLICIT), "requestor", 4, IMPLICIT),
        ((JPEG,), (EXPLICIT, IMPLICIT), "acceptor", 4, IMPLICIT),
    ],
)
def test_transfer_syntax_order(
    offered: tuple[str, ...], taken: tuple[str, ...], order: str, result: int, chosen: str
) -> None:
    ac = accept(request(proposed(CT, *offered)), policy(supported(CT, *taken), transfer_syntax_order=order))
    assert ac.presentation_contexts == (PresentationContextAC(1, result, chosen),)


def test_list_of_classes_is_answered_in_the_order_of_proposal() -> None:
    rq = request(proposed(PRIVATE), proposed(CT, JPEG), proposed(MR), proposed(CT), proposed(VERIFICATION))
    acceptor = policy(
        supported(VERIFICATION),
        supported(CT, EXPLICIT),
        supported(MR, IMPLICIT),
        refused=frozenset({VERIFICATION}),
    )
    ac = accept(rq, acceptor)
    assert list(results(ac).items()) == [(1, 3), (3, 4), (5, 0), (7, 0), (9, 1)]
    for side in both_sides(rq, acceptor):
        assert list(side.contexts) == [5, 7]
        assert side.contexts[5].transfer_syntax == IMPLICIT
        assert side.contexts[7].transfer_syntax == EXPLICIT
        assert [(context.context_id, result) for context, result in side.rejected] == [(1, 3), (3, 4), (9, 1)]
        assert side.proposed == rq.presentation_contexts


@pytest.mark.parametrize(
    ("promiscuous", "result", "chosen"),
    [(None, 3, IMPLICIT), ((), 0, JPEG), ((EXPLICIT, IMPLICIT), 0, IMPLICIT), ((BIG_ENDIAN,), 4, IMPLICIT)],
)
def test_promiscuous(promiscuous: tuple[str, ...] | None, result: int, chosen: str) -> None:
    rq = request(proposed(PRIVATE, JPEG, IMPLICIT), proposed(CT, JPEG))
    ac = accept(rq, policy(supported(CT, EXPLICIT), promiscuous=promiscuous))
    assert ac.presentation_contexts[0] == PresentationContextAC(1, result, chosen)
    # What is listed keeps its own rules.
    assert ac.presentation_contexts[1].result == ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED


@pytest.mark.parametrize("uid", [uid for uid in UIDS if not is_storage(uid)])
def test_promiscuous_is_for_what_may_be_stored(uid: str) -> None:
    # C-GET, C-FIND, Media Storage Directory, MPPS, storage commitment, print and the like.
    answers = accept(request(proposed(uid), proposed(PRIVATE), proposed(MR)), policy(promiscuous=()))
    assert results(answers) == {1: ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED, 3: 0, 5: 0}


def test_promiscuous_with_exceptions() -> None:
    acceptor = policy(promiscuous=(), refused=frozenset({PRIVATE, CT}))
    assert results(accept(request(proposed(PRIVATE), proposed(MR), proposed(CT)), acceptor)) == {
        1: 1,
        3: 0,
        5: 1,
    }


def test_a_class_listed_twice_adds_up() -> None:
    acceptor = policy(
        supported(CT, IMPLICIT, role=AcceptorRole.SCU), supported(CT, EXPLICIT, role=AcceptorRole.BOTH)
    )
    rq = request(proposed(CT, EXPLICIT, scu=True, scp=True), proposed(CT, IMPLICIT), proposed(CT, JPEG))
    ac = accept(rq, acceptor)
    assert results(ac) == {1: 0, 3: 0, 5: 4}
    assert ac.user_information.role_selections == (RoleSelection(CT, True, False),)
    anything = policy(supported(CT, IMPLICIT), supported(CT))
    assert results(accept(rq, anything)) == {1: 0, 3: 0, 5: 0}


def test_of_two_contexts_with_one_id_the_first_counts() -> None:
    twice = (PresentationContextRQ(1, MR, (IMPLICIT,)), PresentationContextRQ(1, CT, (EXPLICIT,)))
    rq = replace(request(), presentation_contexts=twice)
    assert results(accept(rq, policy())) == {1: 3}


def test_even_context_ids_are_answered_where_the_decoder_let_them_pass() -> None:
    rq = replace(request(), presentation_contexts=(PresentationContextRQ(2, CT, (IMPLICIT,)),))
    assert results(accept(rq, policy())) == {2: 0}


def test_a_context_without_transfer_syntax_is_refused() -> None:
    rq = replace(request(), presentation_contexts=(PresentationContextRQ(1, CT, ()),))
    assert results(accept(rq, policy())) == {1: 4}


# ---- roles ----

SCU, SCP, BOTH, NEITHER = (True, False), (False, True), (True, True), (False, False)
DEFAULT = "default"
REFUSED = "refused"

# Proposal, acceptor's setting, outcome: roles of the requestor that were answered, the default, or a refusal.
ROLE_MATRIX: list[tuple[tuple[bool, bool] | None, AcceptorRole, tuple[bool, bool] | str]] = [
    (SCU, AcceptorRole.SCP, NEITHER),
    (SCU, AcceptorRole.SCU, SCU),
    (SCU, AcceptorRole.BOTH, SCU),
    (SCU, AcceptorRole.DEFAULT, DEFAULT),
    (SCP, AcceptorRole.SCP, SCP),
    (SCP, AcceptorRole.SCU, NEITHER),
    (SCP, AcceptorRole.BOTH, SCP),
    (SCP, AcceptorRole.DEFAULT, DEFAULT),
    (BOTH, AcceptorRole.SCP, SCP),
    (BOTH, AcceptorRole.SCU, SCU),
    (BOTH, AcceptorRole.BOTH, BOTH),
    (BOTH, AcceptorRole.DEFAULT, DEFAULT),
    (None, AcceptorRole.SCP, REFUSED),
    (None, AcceptorRole.SCU, DEFAULT),
    (None, AcceptorRole.BOTH, DEFAULT),
    (None, AcceptorRole.DEFAULT, DEFAULT),
]


@pytest.mark.parametrize("always_default", [False, True])
@pytest.mark.parametrize(("proposal", "setting", "outcome"), ROLE_MATRIX)
def test_role_matrix(
    proposal: tuple[bool, bool] | None,
    setting: AcceptorRole,
    outcome: tuple[bool, bool] | str,
    always_default: bool,
) -> None:
    scu, scp = proposal or (None, None)
    rq = request(proposed(CT, scu=scu, scp=scp))
    acceptor_policy = policy(supported(role=setting), always_accept_default_role=always_default)
    ac = accept(rq, acceptor_policy)
    requestor, acceptor = both_sides(rq, acceptor_policy)
    if outcome == REFUSED and not always_default:
        assert results(ac) == {1: ContextResult.NO_REASON}
        assert ac.user_information.role_selections == ()
        assert requestor.contexts == acceptor.contexts == {}
        return
    answered = outcome if isinstance(outcome, tuple) else None
    assert ac.user_information.role_selections == ((RoleSelection(CT, *answered),) if answered else ())
    theirs = answered or SCU
    tolerated = answered or (True, bool(scp))  # an answer that says nothing leaves the proposal as it is
    assert requestor.contexts[1] == AcceptedContext(1, CT, EXPLICIT, *tolerated)
    strict = requestor_contexts(rq, ac, Tolerance.NONE)
    assert strict.contexts[1] == AcceptedContext(1, CT, EXPLICIT, *theirs)
    assert acceptor.contexts[1] == AcceptedContext(1, CT, EXPLICIT, *reversed(theirs))


def test_without_a_common_transfer_syntax_the_role_does_not_matter() -> None:
    rq = request(proposed(CT, IMPLICIT))
    acceptor_policy = policy(supported(CT, JPEG, role=AcceptorRole.SCP))
    assert results(accept(rq, acceptor_policy)) == {1: ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED}


def test_proposing_no_role_at_all_is_no_proposal() -> None:
    rq = with_information(request(), role_selections=(RoleSelection(CT, False, False),))
    assert results(accept(rq, policy(supported(role=AcceptorRole.SCP)))) == {1: 2}
    requestor, acceptor = both_sides(rq, policy(supported(role=AcceptorRole.BOTH)))
    assert (requestor.contexts[1].scu_role, requestor.contexts[1].scp_role) == SCU
    assert (acceptor.contexts[1].scu_role, acceptor.contexts[1].scp_role) == SCP


def test_roles_of_refused_classes_are_not_answered() -> None:
    rq = request(proposed(CT, scp=True), proposed(MR, scp=True), proposed(PRIVATE, scp=True))
    acceptor = policy(supported(CT, JPEG, role=AcceptorRole.BOTH), supported(MR, role=AcceptorRole.BOTH))
    ac = accept(rq, acceptor)
    assert results(ac) == {1: 4, 3: 0, 5: 3}
    assert ac.user_information.role_selections == (RoleSelection(MR, False, True),)


def test_a_class_in_several_contexts_has_one_role_item() -> None:
    rq = request(proposed(CT, EXPLICIT, scp=True), proposed(MR), proposed(CT, IMPLICIT, scp=True))
    assert rq.user_information.role_selections == (RoleSelection(CT, False, True),)
    requestor, _ = both_sides(rq, policy(supported(role=AcceptorRole.BOTH)))
    assert [context.scp_role for context in requestor.contexts.values()] == [True, True]


def test_roles_that_contexts_of_one_class_propose_are_joined() -> None:
    rq = request(proposed(CT), proposed(CT, JPEG, scp=True))
    assert rq.user_information.role_selections == (RoleSelection(CT, True, True),)


def test_a_role_that_was_not_proposed_is_ignored() -> None:
    rq = request(proposed(CT, scp=True), proposed(MR))
    given_too_much = answer_with(
        rq,
        PresentationContextAC(1, 0, EXPLICIT),
        PresentationContextAC(3, 0, EXPLICIT),
        role_selections=(RoleSelection(CT, True, True), RoleSelection(MR, False, True)),
    )
    contexts = requestor_contexts(rq, given_too_much).contexts
    assert (contexts[1].scu_role, contexts[1].scp_role) == SCP
    assert (contexts[3].scu_role, contexts[3].scp_role) == SCU


def test_roles_that_are_answered_for_some_classes_alone() -> None:
    """A server may know of roles and leave items out: what it has answered counts, a refusal (0/0) too."""
    rq = request(*(proposed(uid, scu=False, scp=True) for uid in (CT, MR, VERIFICATION)))
    accepting = [PresentationContextAC(number, 0, EXPLICIT) for number in (1, 3, 5)]
    items = (
        RoleSelection(MR, False, False),
        RoleSelection("1.2.3", False, True),
        RoleSelection(CT, True, False),
    )
    ac = answer_with(rq, *accepting, role_selections=items)
    contexts = requestor_contexts(rq, ac).contexts
    roles = [(context.scu_role, context.scp_role) for context in contexts.values()]
    assert roles == [NEITHER, NEITHER, BOTH]


def test_neither_role_cannot_be_proposed() -> None:
    with pytest.raises(LocalProtocolError, match=r"neither the role of SCU .* CT Image Storage"):
        request(proposed(CT, scu=False))


# ---- asynchronous operations window ----


@pytest.mark.parametrize(
    ("wanted", "taken", "answered"),
    [
        # Both in the order invoked, performed of the side that says it; the answer is in the requestor's.
        ((5, 5), (1, 1), (1, 1)),
        ((5, 1), (1, 3), (3, 1)),
        ((5, 2), (4, 8), (5, 2)),
        ((0, 1), (1, 8), (8, 1)),
        ((8, 1), (1, 0), (8, 1)),
        ((0, 0), (0, 0), (0, 0)),
        ((0, 0), (2, 3), (3, 2)),
        ((7, 9), (0, 0), (7, 9)),
    ],
)
def test_window(wanted: tuple[int, int], taken: tuple[int, int], answered: tuple[int, int]) -> None:
    rq = request(max_invoked=wanted[0], max_performed=wanted[1])
    acceptor_policy = policy(max_invoked=taken[0], max_performed=taken[1])
    window = accept(rq, acceptor_policy).user_information.asynchronous_operations_window
    assert window == AsynchronousOperationsWindow(*answered)
    requestor, acceptor = both_sides(rq, acceptor_policy)
    assert (requestor.max_invoked, requestor.max_performed) == answered
    assert (acceptor.max_performed, acceptor.max_invoked) == answered


def test_window_of_one_is_neither_proposed_nor_answered() -> None:
    rq = request()
    acceptor_policy = policy(max_invoked=0, max_performed=0)
    assert rq.user_information.asynchronous_operations_window is None
    assert accept(rq, acceptor_policy).user_information.asynchronous_operations_window is None
    for side in both_sides(rq, acceptor_policy):
        assert (side.max_invoked, side.max_performed) == (1, 1)


def test_window_that_is_not_answered_is_one() -> None:
    rq = request(max_invoked=0, max_performed=0)
    negotiated = requestor_contexts(rq, answer_with(rq))
    assert (negotiated.max_invoked, negotiated.max_performed) == (1, 1)


def test_window_answered_too_large_or_unasked() -> None:
    large = AsynchronousOperationsWindow(0, 9)
    rq = request(max_invoked=4, max_performed=2)
    negotiated = requestor_contexts(rq, answer_with(rq, asynchronous_operations_window=large))
    assert (negotiated.max_invoked, negotiated.max_performed) == (4, 2)
    rq = request()
    negotiated = requestor_contexts(rq, answer_with(rq, asynchronous_operations_window=large))
    assert (negotiated.max_invoked, negotiated.max_performed) == (1, 1)


# ---- maximum length ----


@pytest.mark.parametrize(
    ("announced", "used"),
    [
        (None, ASSUMED_MAX_PDU_LENGTH),
        (0, 0),
        (8, 8),
        (9, 9),
        (16384, 16384),
        (0xFFFFFFFF, 0xFFFFFFFF),
    ],
)
def test_maximum_length_of_the_peer(announced: int | None, used: int) -> None:
    rq = with_information(request(), max_length=announced)
    assert acceptor_contexts(rq, accept(rq, policy())).max_pdu_length_to_send == used
    rq = request()
    assert requestor_contexts(rq, answer_with(rq, max_length=announced)).max_pdu_length_to_send == used


@pytest.mark.parametrize("announced", range(1, 8))
def test_a_maximum_length_that_no_pdv_fits_is_refused(announced: int) -> None:
    rq = with_information(request(), max_length=announced)
    with pytest.raises(
        RemoteProtocolError, match=f"RQ: .* maximum length of {announced}, which no PDV"
    ) as at:
        answer_to(rq, policy())
    assert (at.value.source, at.value.reason) == (2, 6)
    rq = request()
    with pytest.raises(RemoteProtocolError, match=f"AC: .* maximum length of {announced}, which no PDV"):
        requestor_contexts(rq, answer_with(rq, max_length=announced))


# ---- user identity ----


@pytest.mark.parametrize(
    ("identity", "response", "answered"),
    [
        (UserIdentityRQ(1, b"user", b"", True), UserIdentityAC(b""), UserIdentityAC(b"")),
        (UserIdentityRQ(3, b"ticket", b"", True), UserIdentityAC(b"reply"), UserIdentityAC(b"reply")),
        (UserIdentityRQ(2, b"user", b"secret", True), None, None),
        (UserIdentityRQ(2, b"user", b"secret", False), UserIdentityAC(b""), None),
        (None, UserIdentityAC(b""), None),
    ],
)
def test_user_identity(
    identity: UserIdentityRQ | None, response: UserIdentityAC | None, answered: UserIdentityAC | None
) -> None:
    rq = request(user_identity=identity)
    assert rq.user_information.user_identity == identity
    ac = accept(rq, policy(), response)
    assert ac.user_information.user_identity == answered
    assert requestor_contexts(rq, ac).user_identity_response == answered
    assert acceptor_contexts(rq, ac).user_identity_response == answered


def test_user_identity_response_that_was_not_requested_is_ignored() -> None:
    for identity in (None, UserIdentityRQ(1, b"user")):
        rq = request(user_identity=identity)
        ac = answer_with(rq, user_identity=UserIdentityAC(b"x"))
        assert requestor_contexts(rq, ac).user_identity_response is None


def test_items_of_the_wrong_direction_are_ignored() -> None:
    rq = with_information(request(), user_identity=UserIdentityAC(b"x"))
    assert accept(rq, policy(), UserIdentityAC(b"")).user_information.user_identity is None
    rq = request(user_identity=UserIdentityRQ(1, b"user", b"", True))
    ac = answer_with(rq, user_identity=UserIdentityRQ(1, b"user"))
    assert requestor_contexts(rq, ac).user_identity_response is None


# ---- extended negotiation ----


def test_extended_negotiation_is_answered_through_the_policy() -> None:
    asked: list[SOPClassExtendedNegotiation] = []

    def answer(item: SOPClassExtendedNegotiation) -> bytes | None:
        asked.append(item)
        return bytes(item.application_information[:1]) if item.sop_class_uid == CT else None

    ct, mr, private = (SOPClassExtendedNegotiation(uid, b"\x01\x00\x01") for uid in (CT, MR, PRIVATE))
    rq = request(proposed(CT), proposed(MR), proposed(PRIVATE), extended_negotiations=(ct, mr, private))
    ac = accept(rq, policy(supported(CT), supported(MR), extended_negotiation=answer))
    assert asked == [ct, mr]
    answered = (SOPClassExtendedNegotiation(CT, b"\x01"),)
    assert ac.user_information.extended_negotiations == answered
    assert requestor_contexts(rq, ac).extended_negotiations == answered
    assert acceptor_contexts(rq, ac).extended_negotiations == answered


def test_extended_negotiation_without_an_answer() -> None:
    item = SOPClassExtendedNegotiation(CT, b"\x01")
    assert (
        accept(request(extended_negotiations=(item,)), policy()).user_information.extended_negotiations == ()
    )
    echo = policy(extended_negotiation=lambda item: item.application_information)
    assert accept(request(), echo).user_information.extended_negotiations == ()


def test_extended_negotiation_that_was_not_asked_for_is_ignored() -> None:
    rq = request(
        proposed(CT), proposed(MR), extended_negotiations=(SOPClassExtendedNegotiation(CT, b"\x01"),)
    )
    kept = SOPClassExtendedNegotiation(CT, b"\x00")
    answers = (kept, SOPClassExtendedNegotiation(MR, b"\x01"))
    assert requestor_contexts(rq, answer_with(rq, extended_negotiations=answers)).extended_negotiations == (
        kept,
    )


def test_common_extended_negotiation_is_kept_and_never_answered() -> None:
    items = (SOPClassCommonExtendedNegotiation(CT, "1.2.840.10008.4.2", (MR,)),)
    rq = request(common_extended_negotiations=items)
    ac = accept(rq, policy())
    assert rq.user_information.common_extended_negotiations == items
    assert ac.user_information.common_extended_negotiations == ()
    assert requestor_contexts(rq, ac).common_extended_negotiations == items
    assert acceptor_contexts(rq, ac).common_extended_negotiations == items


# ---- the request ----


def test_128_contexts_have_the_odd_ids() -> None:
    rq = request(*[proposed(f"1.2.{index}") for index in range(128)])
    assert [context.context_id for context in rq.presentation_contexts] == list(range(1, 256, 2))
    assert rq.presentation_contexts[-1].abstract_syntax == "1.2.127"
    assert rq.application_context_name == "1.2.840.10008.3.1.1.1"


def test_129_contexts_are_too_many() -> None:
    contexts = [proposed(f"1.2.{index}") for index in range(128)]
    with pytest.raises(LocalProtocolError) as raised:
        request(*contexts, proposed(CT))
    assert str(raised.value) == (
        "129 presentation contexts, and an association has at most 128 (PS3.8 9.3.2.2); 1 too many, "
        "the first of them for CT Image Storage (1.2.840.10008.5.1.4.1.1.2): propose fewer, or use several "
        "associations"
    )


def test_contexts_that_cannot_be_proposed() -> None:
    with pytest.raises(LocalProtocolError, match="at least one presentation context"):
        build_request(RequestorPolicy(called_ae_title="A", calling_ae_title="B", contexts=()))
    with pytest.raises(LocalProtocolError, match=r"CT Image Storage \(.*\) has no transfer syntax"):
        request(ProposedContext(abstract_syntax=CT, transfer_syntaxes=()))


# ---- answers that do not fit ----


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ((PresentationContextAC(3, 0, IMPLICIT),), "presentation context 3 was not proposed"),
        ((PresentationContextAC(3, 3, IMPLICIT),), "presentation context 3 was not proposed"),
        (
            (PresentationContextAC(1, 0, JPEG),),
            r"JPEG Baseline .* was not proposed; expected one of Explicit VR",
        ),
        (
            (PresentationContextAC(1, 0, EXPLICIT), PresentationContextAC(1, 0, IMPLICIT)),
            "presentation context 1 is answered twice",
        ),
    ],
)
def test_an_answer_that_does_not_fit_the_proposal(
    answers: tuple[PresentationContextAC, ...], message: str
) -> None:
    rq = request()
    ac = answer_with(rq, *answers)
    with pytest.raises(RemoteProtocolError, match=message) as remote:
        requestor_contexts(rq, ac, Tolerance.NONE)
    assert (remote.value.source, remote.value.reason) == (2, 6)
    with pytest.raises(LocalProtocolError, match=message):
        acceptor_contexts(rq, ac)


@pytest.mark.parametrize(
    ("answers", "accepted", "rejected"),
    [
        ((PresentationContextAC(3, 0, IMPLICIT), PresentationContextAC(1, 0, EXPLICIT)), [1], []),
        ((PresentationContextAC(2, 3, ""), PresentationContextAC(1, 0, EXPLICIT)), [1], []),
        ((PresentationContextAC(1, 0, EXPLICIT), PresentationContextAC(1, 3, "")), [1], []),
        ((PresentationContextAC(1, 3, ""), PresentationContextAC(1, 0, EXPLICIT)), [], [3]),
        ((PresentationContextAC(1, 0, JPEG),), [], [4]),
        ((PresentationContextAC(1, 0, ""),), [], [4]),
        ((PresentationContextAC(1, 0, "'x'"),), [], [4]),
        ((PresentationContextAC(1, 77, EXPLICIT),), [], [77]),
    ],
)
def test_an_answer_that_does_not_fit_is_passed_over(
    answers: tuple[PresentationContextAC, ...], accepted: list[int], rejected: list[int]
) -> None:
    rq = request()
    negotiated = requestor_contexts(rq, answer_with(rq, *answers))
    assert list(negotiated.contexts) == accepted
    assert [result for _, result in negotiated.rejected] == rejected


@pytest.mark.parametrize("promiscuous", [None, (), (IMPLICIT, JPEG)])
def test_contexts_that_cannot_be_served_are_refused_and_the_others_served(
    promiscuous: tuple[str, ...] | None,
) -> None:
    contexts = (
        PresentationContextRQ(1, r"'1.2\xe2\x80\x8b'", (IMPLICIT,)),
        PresentationContextRQ(2, "", (IMPLICIT,)),
        PresentationContextRQ(3, CT, ("'x'", IMPLICIT)),
        PresentationContextRQ(5, CT, ("''",)),
        PresentationContextRQ(7, CT, ()),
        PresentationContextRQ(9, "1.2.3.4", ("'x'",)),
    )
    rq = replace(request(), presentation_contexts=contexts)
    unknown = 3 if promiscuous is None else 4
    answers = accept(rq, policy(supported(CT), promiscuous=promiscuous)).presentation_contexts
    assert {each.context_id: each.result for each in answers} == {1: 3, 2: 3, 3: 0, 5: 4, 7: 4, 9: unknown}
    assert answers[2].transfer_syntax == IMPLICIT


def test_the_transfer_syntax_of_a_refused_context_means_nothing() -> None:
    rq = request()
    for transfer_syntax in (JPEG, ""):
        negotiated = requestor_contexts(rq, answer_with(rq, PresentationContextAC(1, 4, transfer_syntax)))
        assert negotiated.rejected == ((rq.presentation_contexts[0], 4),)


def test_a_context_without_answer_is_refused() -> None:
    rq = request(proposed(CT), proposed(MR))
    negotiated = requestor_contexts(rq, answer_with(rq))
    assert list(negotiated.contexts) == [1]
    assert negotiated.rejected == ((rq.presentation_contexts[1], ContextResult.NO_REASON),)


# ---- finding a context ----


def found(rq: AAssociateRQ, acceptor: AcceptorPolicy, **arguments: Any) -> int:
    return both_sides(rq, acceptor)[0].find(CT, **arguments).context_id


def test_find() -> None:
    rq = request(*(proposed(CT, syntax) for syntax in (IMPLICIT, JPEG, EXPLICIT)), proposed(MR))
    everything = policy(promiscuous=())
    assert found(rq, everything) == 5
    assert found(rq, everything, transfer_syntaxes=(JPEG, IMPLICIT)) == 3
    assert found(rq, everything, transfer_syntaxes=(BIG_ENDIAN, IMPLICIT)) == 1
    no_explicit = policy(supported(CT, IMPLICIT, JPEG))
    assert found(rq, no_explicit) == 1
    with pytest.raises(NoPresentationContext):
        found(rq, everything, transfer_syntaxes=())


def test_find_by_role() -> None:
    rq = request(proposed(CT, scp=True), proposed(MR))
    requestor, acceptor = both_sides(rq, policy(supported(CT, role=AcceptorRole.SCP), supported(MR)))
    assert requestor.find(CT, role="scp").context_id == acceptor.find(CT, role="scu").context_id == 1
    assert requestor.find(MR, role="scu").context_id == acceptor.find(MR, role="scp").context_id == 3
    for side, uid, role in ((requestor, CT, "scu"), (requestor, MR, "scp"), (acceptor, MR, "scu")):
        with pytest.raises(NoPresentationContext, match=f"not given the role of {role.upper()}"):
            side.find(uid, role="scu" if role == "scu" else "scp")


def missing(acceptor: AcceptorPolicy, uid: str, *syntaxes: str) -> NoPresentationContext:
    rq = request(proposed(CT, EXPLICIT, IMPLICIT), proposed(CT, JPEG), proposed(PRIVATE))
    with pytest.raises(NoPresentationContext) as raised:
        both_sides(rq, acceptor)[0].find(uid, syntaxes or None)
    return raised.value


def test_no_presentation_context_not_proposed() -> None:
    error = missing(policy(), MR)
    assert str(error) == (
        "no presentation context for MR Image Storage (1.2.840.10008.5.1.4.1.1.4): it was not proposed; "
        "add it to the presentation contexts of the association"
    )
    assert (error.abstract_syntax, error.transfer_syntaxes, error.offered, error.accepted) == (MR, (), (), ())


@pytest.mark.parametrize(
    ("acceptor", "text"),
    [
        (policy(supported(MR)), "abstract-syntax-not-supported (the acceptor does not provide this service"),
        (
            policy(supported(CT, BIG_ENDIAN)),
            "transfer-syntaxes-not-supported (propose other transfer syntaxes",
        ),
        (policy(refused=frozenset({CT})), "user-rejection (the acceptor is set up to refuse it)"),
        (policy(supported(role=AcceptorRole.SCP)), "no-reason (the acceptor may want other roles"),
    ],
)
def test_no_presentation_context_refused(acceptor: AcceptorPolicy, text: str) -> None:
    error = missing(acceptor, CT)
    start = (
        "no presentation context for CT Image Storage (1.2.840.10008.5.1.4.1.1.2): it was proposed with "
        "Explicit VR Little Endian (1.2.840.10008.1.2.1), Implicit VR Little Endian"
    )
    assert str(error).startswith(start)
    assert str(error).count(text) == 1
    assert error.offered == (EXPLICIT, IMPLICIT, JPEG)
    assert error.accepted == ()


def test_no_presentation_context_refused_with_an_unknown_result() -> None:
    rq = request(proposed(PRIVATE, "1.2.3.4.6"))
    negotiated = requestor_contexts(rq, answer_with(rq, PresentationContextAC(1, 9, IMPLICIT)))
    with pytest.raises(NoPresentationContext) as raised:
        negotiated.find(PRIVATE)
    assert str(raised.value) == (
        "no presentation context for 1.2.3.4.5: it was proposed with 1.2.3.4.6 and refused: "
        "result 9 (PS3.8 Table 9-18 does not define it)"
    )


def test_no_presentation_context_other_transfer_syntax() -> None:
    error = missing(policy(supported(CT, EXPLICIT)), CT, JPEG, BIG_ENDIAN)
    assert "it was accepted with Explicit VR Little Endian (1.2.840.10008.1.2.1), and this needs JPEG" in str(
        error
    )
    assert "convert the data set" in str(error)
    assert (error.transfer_syntaxes, error.accepted) == ((JPEG, BIG_ENDIAN), (EXPLICIT,))
    assert error.offered == (EXPLICIT, IMPLICIT, JPEG)


# ---- whatever comes ----

uids = st.sampled_from([VERIFICATION, CT, MR, PRIVATE])
syntaxes = st.lists(st.sampled_from([IMPLICIT, EXPLICIT, BIG_ENDIAN, JPEG]), max_size=4).map(tuple)
some_syntaxes = syntaxes.filter(bool)
counts = st.integers(0, 0xFFFF)
titles = st.sampled_from(["ARCHIVE"] * 6 + ["MODALITY", ""])
information = st.builds(
    UserInformation,
    max_length=st.none() | st.just(0) | st.integers(8, 0xFFFFFFFF),  # a PDV fits
    implementation_class_uid=st.sampled_from(["", "1.2.3"]),
    asynchronous_operations_window=st.none() | st.builds(AsynchronousOperationsWindow, counts, counts),
    role_selections=st.lists(st.builds(RoleSelection, uids, st.booleans(), st.booleans()), max_size=4).map(
        tuple
    ),
    extended_negotiations=st.lists(st.builds(SOPClassExtendedNegotiation, uids, st.binary(max_size=4))).map(
        tuple
    ),
    user_identity=st.none()
    | st.builds(UserIdentityRQ, st.integers(1, 5), st.binary(), st.binary(), st.booleans()),
)
requests = st.builds(
    AAssociateRQ,
    called_ae_title=titles,
    calling_ae_title=titles,
    presentation_contexts=st.lists(
        st.builds(PresentationContextRQ, st.integers(1, 255), uids, some_syntaxes), min_size=1, max_size=8
    ).map(tuple),
    user_information=information,
    protocol_version=st.sampled_from([1, 1, 1, 3, 0]),
)
policies = st.builds(
    AcceptorPolicy,
    ae_title=titles,
    require_called_ae_title=st.sampled_from([False, False, True]),
    calling_ae_titles=st.none() | st.none() | st.frozensets(titles, min_size=1),
    contexts=st.lists(
        st.builds(
            SupportedContext,
            abstract_syntax=uids,
            transfer_syntaxes=syntaxes,
            role=st.sampled_from(AcceptorRole),
        )
    ).map(tuple),
    promiscuous=st.none() | syntaxes,
    refused=st.frozensets(uids, max_size=2),
    transfer_syntax_order=st.sampled_from(["requestor", "acceptor"]),
    always_accept_default_role=st.booleans(),
    max_invoked=counts,
    max_performed=counts,
    reject_without_contexts=st.sampled_from([False, False, True]),
    extended_negotiation=st.sampled_from(
        [None, lambda item: item.application_information, lambda item: None]
    ),
)


@given(requests, policies, st.none() | st.builds(UserIdentityAC, st.binary(max_size=4)))
def test_every_request_gets_an_answer_that_its_requestor_takes(
    rq: AAssociateRQ, acceptor: AcceptorPolicy, response: UserIdentityAC | None
) -> None:
    answer = negotiate(rq, acceptor, identity_response=response)
    event(type(answer).__name__)
    if isinstance(answer, AAssociateRJ):
        assert answer in (
            acse.REJECT_NO_REASON_GIVEN,
            acse.REJECT_CALLED_AE_TITLE_NOT_RECOGNIZED,
            acse.REJECT_CALLING_AE_TITLE_NOT_RECOGNIZED,
            acse.REJECT_PROTOCOL_VERSION_NOT_SUPPORTED,
        )
        return
    ids = list(dict.fromkeys(context.context_id for context in rq.presentation_contexts))
    assert [context.context_id for context in answer.presentation_contexts] == ids
    ours, theirs = requestor_contexts(rq, answer, Tolerance.NONE), acceptor_contexts(rq, answer)
    assert [context.context_id for context, _ in ours.rejected] == [
        id_ for id_ in ids if id_ not in ours.contexts
    ]
    assert (ours.max_invoked, ours.max_performed) == (theirs.max_performed, theirs.max_invoked)
    assert ours.contexts.keys() == theirs.contexts.keys()
    for mine, peers in zip(ours.contexts.values(), theirs.contexts.values(), strict=True):
        assert mine == replace(peers, scu_role=peers.scp_role, scp_role=peers.scu_role)
    assert (
        ours.extended_negotiations
        == theirs.extended_negotiations
        == answer.user_information.extended_negotiations
    )
    assert ours.user_identity_response == answer.user_information.user_identity


def test_what_is_negotiated_survives_the_wire() -> None:
    rq = request(
        proposed(CT, scu=True, scp=True),
        proposed(PRIVATE),
        max_invoked=0,
        max_performed=4,
        user_identity=UserIdentityRQ(2, b"user", b"secret", True),
        extended_negotiations=(SOPClassExtendedNegotiation(CT, b"\x01"),),
    )
    acceptor = policy(
        supported(CT, role=AcceptorRole.BOTH), max_performed=8, extended_negotiation=lambda item: b"\x00"
    )
    ac = accept(rq, acceptor, UserIdentityAC(b""))
    assert AAssociateRQ.decode(memoryview(rq.encode())[HEADER_LENGTH:], Limits()) == rq
    assert AAssociateAC.decode(memoryview(ac.encode())[HEADER_LENGTH:], Limits()) == ac
