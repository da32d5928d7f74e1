"""What is remembered of associations: requests, answers, and what was agreed on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmnet import acse
from dcmnet.acse import (
    AcceptorPolicy,
    ProposedContext,
    RequestorPolicy,
    SupportedContext,
    acceptor_contexts,
    answer_to,
    build_request,
    negotiate,
)
from dcmnet.limits import MAX_RECENT, RECENT_PDU_LENGTH, Limits, Tolerance
from dcmnet.ul import pdu as module
from dcmnet.ul.items import SOPClassExtendedNegotiation, UserIdentityAC, UserIdentityRQ
from dcmnet.ul.pdu import PDU_HEADER_LENGTH, AAssociateAC, AAssociateRJ, AAssociateRQ
from dcmnet.ul.recent import Recent

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
POLICY = AcceptorPolicy(contexts=(SupportedContext(abstract_syntax=CT),))


@pytest.fixture(autouse=True)
def nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(module, "_REQUESTS", Recent(MAX_RECENT))
    monkeypatch.setattr(module, "_ANSWERS", Recent(MAX_RECENT))
    monkeypatch.setattr(acse, "_ANSWERED", Recent(MAX_RECENT))
    yield


def request(**fields: Any) -> AAssociateRQ:
    context = ProposedContext(abstract_syntax=CT, transfer_syntaxes=(EXPLICIT,))
    fields = {"called_ae_title": "HERE", "calling_ae_title": "THERE", "contexts": (context,)} | fields
    return build_request(RequestorPolicy(**fields))


def decode(rq: AAssociateRQ, limits: Limits | None = None) -> AAssociateRQ:
    return AAssociateRQ.decode(memoryview(rq.encode())[PDU_HEADER_LENGTH:], limits or Limits())


def test_the_same_bytes_are_the_same_request() -> None:
    assert decode(request()) == request()
    assert decode(request()) is decode(request())
    assert decode(request()) is not decode(request(calling_ae_title="OTHER"))


def test_other_limits_are_another_matter() -> None:
    assert decode(request()) is not decode(request(), Limits(tolerance=Tolerance.NONE))


def test_who_identifies_a_user_is_not_remembered() -> None:
    """A password does not stay in memory."""
    identity = UserIdentityRQ(2, b"USER", b"PASSWORD")
    first, second = decode(request(user_identity=identity)), decode(request(user_identity=identity))
    assert first == second
    assert first is not second
    answers = [answer_to(first, POLICY)[0] for _ in range(2)]
    assert answers[0] == answers[1]
    assert answers[0] is not answers[1]


def test_a_server_response_is_not_remembered() -> None:
    identity = UserIdentityRQ(1, b"USER", positive_response_requested=True)
    rq = request(user_identity=identity)
    answers = [answer_to(rq, POLICY, identity_response=UserIdentityAC(each))[0] for each in (b"A", b"B")]
    sent = [each.encode() for each in answers]
    assert b"A" in sent[0][-1:]
    assert b"B" in sent[1][-1:]
    assert module._ANSWERS.get(answers[0]) is None  # type: ignore[arg-type]  # it is an AC


def test_a_long_request_is_not_remembered() -> None:
    contexts = tuple(
        ProposedContext(abstract_syntax=f"{CT}.{number}", transfer_syntaxes=(EXPLICIT,))
        for number in range(64)
    )
    long = request(contexts=contexts)
    assert len(long.encode()) > RECENT_PDU_LENGTH
    assert decode(long) == long
    assert decode(long) is not decode(long)
    answer = negotiate(long, AcceptorPolicy(promiscuous=()))
    assert isinstance(answer, AAssociateAC)
    assert answer.encode() == answer.encode()


def test_an_answer_is_what_negotiate_gives() -> None:
    rq = decode(request())
    for _ in range(2):
        answer, agreed = answer_to(rq, POLICY)
        assert isinstance(answer, AAssociateAC)
        assert answer == negotiate(rq, POLICY)
        assert agreed == acceptor_contexts(rq, answer)
    assert answer_to(rq, POLICY)[1] is agreed
    assert answer.encode() is answer.encode()


def test_a_rejection() -> None:
    policy = AcceptorPolicy(ae_title="ELSEWHERE", require_called_ae_title=True)
    for _ in range(2):
        answer, agreed = answer_to(decode(request()), policy)
        assert isinstance(answer, AAssociateRJ)
        assert agreed is None


def test_another_policy_is_another_matter() -> None:
    rq = decode(request())
    strict = AcceptorPolicy(contexts=POLICY.contexts, max_pdu_length=4096)
    first, second = answer_to(rq, POLICY)[0], answer_to(rq, strict)[0]
    assert isinstance(first, AAssociateAC) and isinstance(second, AAssociateAC)
    assert second.user_information.max_length == 4096
    assert first.encode() != second.encode()


def test_what_a_callable_decides_is_asked_each_time() -> None:
    asked: list[bytes] = []

    def decide(item: SOPClassExtendedNegotiation) -> bytes:
        asked.append(item.application_information)
        return bytes([len(asked)])

    policy = AcceptorPolicy(contexts=POLICY.contexts, extended_negotiation=decide)
    rq = decode(request(extended_negotiations=(SOPClassExtendedNegotiation(CT, b"\x02"),)))
    answers = [answer_to(rq, policy)[0].encode() for _ in range(2)]
    assert len(asked) == 2
    assert answers[0] != answers[1]


@given(st.lists(st.integers(0, 200)))
def test_few_are_kept(keys: list[int]) -> None:
    recent = Recent[int, str](8)
    for key in keys:
        assert recent.get(key) in (None, str(key))
        assert recent.keep(key, str(key)) == str(key)
        assert recent.get(key) == str(key)
    assert len(recent._values) <= 8
