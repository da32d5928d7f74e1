"""Which presentation contexts objects need, and over how many associations."""

from __future__ import annotations

import io
from pathlib import Path

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmnet.acse import (
    AcceptorPolicy,
    Negotiated,
    RequestorPolicy,
    SupportedContext,
    build_request,
    negotiate,
    requestor_contexts,
)
from dcmnet.asconfig import Profiles
from dcmnet.errors import InputFileError, LocalProtocolError, NoPresentationContext
from dcmnet.storage.planning import Plan, Proposal, choose_context, contexts_for, plan
from dcmnet.storage.scu import Transfer
from dcmnet.storage.sources import ForeignFile, Instance
from dcmnet.ul.pdu import AAssociateAC
from tests.unit.objects import BIG_ENDIAN, CT, DEFLATED, EXPLICIT, IMPLICIT, JPEG, MR, RLE, write_file
from tests.unit.profile_texts import FULL


def instance(sop_class: str = CT, transfer_syntax: str = EXPLICIT, name: str = "a") -> Instance:
    return Instance(name, sop_class, "1.2.3", transfer_syntax, name)


def groups(step: Plan) -> list[tuple[str, ...]]:
    return [context.transfer_syntaxes for context in step.contexts]


@pytest.mark.parametrize(
    ("own", "proposal", "expected"),
    [
        ([EXPLICIT], Proposal(), [(EXPLICIT,), (IMPLICIT,)]),
        ([IMPLICIT], Proposal(), [(IMPLICIT,), (EXPLICIT,)]),
        ([BIG_ENDIAN], Proposal(), [(BIG_ENDIAN,), (EXPLICIT, IMPLICIT)]),
        ([DEFLATED], Proposal(), [(DEFLATED,), (EXPLICIT, IMPLICIT)]),
        ([EXPLICIT, IMPLICIT, EXPLICIT], Proposal(), [(EXPLICIT,), (IMPLICIT,)]),
        ([JPEG], Proposal(), [(JPEG,)]),
        ([JPEG, IMPLICIT, RLE], Proposal(), [(JPEG,), (IMPLICIT,), (RLE,), (EXPLICIT,)]),
        ([JPEG, IMPLICIT], Proposal(combine=True), [(JPEG, IMPLICIT, EXPLICIT)]),
        ([JPEG], Proposal(combine=True), [(JPEG,)]),
        ([EXPLICIT], Proposal(transfer_syntaxes=(JPEG, EXPLICIT, IMPLICIT)), [(JPEG,), (EXPLICIT, IMPLICIT)]),
        ([RLE], Proposal(transfer_syntaxes=(EXPLICIT,)), [(EXPLICIT,)]),
        ([RLE], Proposal(transfer_syntaxes=(EXPLICIT, EXPLICIT)), [(EXPLICIT,)]),
        (
            [RLE],
            Proposal(transfer_syntaxes=(EXPLICIT, IMPLICIT), combine=True),
            [(EXPLICIT, IMPLICIT)],
        ),
        ([EXPLICIT], Proposal(transfer_syntaxes=()), [(EXPLICIT,), (IMPLICIT,)]),
    ],
)
def test_groups_of_transfer_syntaxes(
    own: list[str], proposal: Proposal, expected: list[tuple[str, ...]]
) -> None:
    (step,) = plan([instance(CT, syntax) for syntax in own], proposal)
    assert groups(step) == expected
    assert {context.abstract_syntax for context in step.contexts} == {CT}
    assert len(step.instances) == len(own)


def test_a_profile_says_what_is_proposed_whatever_is_sent() -> None:
    profile = Profiles(FULL)["UltrasoundOut"]
    proposal = Proposal.of_profile(profile)
    assert plan([], proposal) == []
    instances = [instance(CT), instance(MR, JPEG)]
    (step,) = plan(instances, proposal)
    assert tuple(step.contexts) == profile.requestor_policy().contexts
    assert step.instances == instances
    assert Transfer(host="", port=1, proposal=proposal).request(step.contexts) == profile.requestor_policy()


def test_nothing_needs_nothing() -> None:
    assert plan([], Proposal()) == []


def test_more_than_128_contexts_are_split_and_stay_in_order() -> None:
    instances = [instance(f"1.2.{number % 100}", EXPLICIT, str(number)) for number in range(300)]
    steps = plan(instances, Proposal())
    assert [len(step.contexts) for step in steps] == [128, 72]
    for step in steps:
        names = [int(each.name) for each in step.instances]
        assert names == sorted(names)
        assert {each.sop_class_uid for each in step.instances} == {
            context.abstract_syntax for context in step.contexts
        }
    assert sum(len(step.instances) for step in steps) == 300


def test_one_class_in_more_transfer_syntaxes_than_fit() -> None:
    """Private transfer syntaxes are not limited in number."""
    instances = [instance(CT, f"1.2.3.{number}", str(number)) for number in range(300)]
    steps = plan(instances, Proposal())
    assert [len(step.contexts) for step in steps] == [127, 127, 46]
    assert [each.name for step in steps for each in step.instances] == [str(number) for number in range(300)]


@given(
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from([EXPLICIT, IMPLICIT, BIG_ENDIAN, JPEG, RLE]))),
    st.booleans(),
    st.integers(2, 9),
)
def test_every_object_has_a_context_and_no_association_too_many(
    objects: list[tuple[int, str]], combine: bool, limit: int
) -> None:
    instances = [instance(f"1.2.{number}", syntax, str(at)) for at, (number, syntax) in enumerate(objects)]
    steps = plan(instances, Proposal(combine=combine), limit)
    sent = [each for step in steps for each in step.instances]
    assert sorted(sent, key=lambda each: int(each.name)) == instances
    for step in steps:
        assert 0 < len(step.contexts) <= limit
        offered = [
            (each.abstract_syntax, syntax) for each in step.contexts for syntax in each.transfer_syntaxes
        ]
        assert {(each.sop_class_uid, each.transfer_syntax) for each in step.instances} <= set(offered)
        names = [int(each.name) for each in step.instances]
        assert names == sorted(names)


# ---------------------------------------------------------------------- choosing


def negotiated(instances: list[Instance], accepted: tuple[str, ...]) -> Negotiated:
    (step,) = plan(instances, Proposal())
    policy = RequestorPolicy(called_ae_title="PEER", calling_ae_title="ME", contexts=tuple(step.contexts))
    request = build_request(policy)
    answer = negotiate(
        request, AcceptorPolicy(contexts=(SupportedContext(abstract_syntax=CT, transfer_syntaxes=accepted),))
    )
    assert isinstance(answer, AAssociateAC)
    return requestor_contexts(request, answer)


@pytest.mark.parametrize(
    ("own", "accepted", "chosen"),
    [
        (EXPLICIT, (EXPLICIT, IMPLICIT), EXPLICIT),
        (IMPLICIT, (EXPLICIT, IMPLICIT), IMPLICIT),
        (IMPLICIT, (EXPLICIT,), EXPLICIT),
        (BIG_ENDIAN, (IMPLICIT,), IMPLICIT),
        (DEFLATED, (EXPLICIT, IMPLICIT), EXPLICIT),
        (JPEG, (JPEG, EXPLICIT), JPEG),
    ],
)
def test_its_own_transfer_syntax_comes_first(own: str, accepted: tuple[str, ...], chosen: str) -> None:
    one = instance(CT, own)
    assert choose_context(negotiated([one], accepted), one).transfer_syntax == chosen


@pytest.mark.parametrize(("own", "accepted"), [(JPEG, EXPLICIT), (EXPLICIT, JPEG)])
def test_none_serves(own: str, accepted: str) -> None:
    one = instance(CT, own)
    agreed = negotiated([one, instance(CT, accepted)], ("1.2.840.10008.1.2.4.90", RLE))
    with pytest.raises(NoPresentationContext):
        choose_context(agreed, one)
    with pytest.raises(NoPresentationContext):
        choose_context(agreed, instance(MR))


# ---------------------------------------------------------------------- contexts for one association


def proposed(*sources: object, **options: Proposal) -> list[tuple[str, tuple[str, ...]]]:
    contexts = contexts_for(*sources, **options)
    return [(context.abstract_syntax, context.transfer_syntaxes) for context in contexts]


def test_contexts_for_each_kind_of_source(tmp_path: Path) -> None:
    (tmp_path / "study" / "deep").mkdir(parents=True)
    write_file(tmp_path / "study" / "deep" / "1.dcm", "1.2.1")
    (tmp_path / "study" / "notes.txt").write_text("not DICOM")
    mr = write_file(tmp_path / "2.dcm", "1.2.2", MR, JPEG)
    with open(write_file(tmp_path / "3.dcm", "1.2.3", MR, RLE), "rb") as opened:
        expected = [(CT, (EXPLICIT,)), (CT, (IMPLICIT,)), (MR, (JPEG,)), (MR, (RLE,))]
        assert proposed(tmp_path / "study", str(mr), opened) == expected
    data = io.BytesIO(mr.read_bytes())
    assert proposed(data) == [(MR, (JPEG,))]
    assert proposed(data) == [(MR, (JPEG,))]
    made = pydicom.dcmread(write_file(tmp_path / "4.dcm", "1.2.4"))
    assert proposed(made) == [(CT, (EXPLICIT,)), (CT, (IMPLICIT,))]


def test_contexts_for_nothing() -> None:
    assert contexts_for() == ()


def test_contexts_for_a_proposal(tmp_path: Path) -> None:
    path = write_file(tmp_path / "1.dcm")
    assert proposed(path, proposal=Proposal(combine=True)) == [(CT, (EXPLICIT, IMPLICIT))]


def test_contexts_for_what_cannot_be_sent(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not DICOM")
    with pytest.raises(ForeignFile):
        contexts_for(tmp_path / "notes.txt")
    assert contexts_for(tmp_path) == ()
    with pytest.raises(InputFileError):
        contexts_for(tmp_path / "missing.dcm")
    write_file(tmp_path / "broken.dcm").write_bytes(bytes(128) + b"DICM")
    with pytest.raises(InputFileError, match=r"broken\.dcm"):
        contexts_for(tmp_path)


def test_contexts_for_more_than_an_association_can_have(tmp_path: Path) -> None:
    for number in range(65):
        write_file(tmp_path / f"{number}.dcm", f"1.2.{number}", f"{CT}.{number}")
    assert len(contexts_for(tmp_path, proposal=Proposal(combine=True))) == 65
    with pytest.raises(LocalProtocolError, match=r"need 130 .* at most 128: let dcmnet\.send spread them"):
        contexts_for(tmp_path)
