from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmnet import AcceptorRole, Limits, Profiles
from dcmnet.acse import ProposedContext, RequestorPolicy, build_request, negotiate, requestor_contexts
from dcmnet.errors import ProfileError
from dcmnet.limits import MAX_PROFILE_TEXT_LENGTH
from dcmnet.registry._uids import UIDS
from dcmnet.registry.dcmtk_names import DCMTK_NAMES
from dcmnet.registry.sop_classes import STORAGE, VERIFICATION
from dcmnet.registry.transfer_syntaxes import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    JPEG_BASELINE_8BIT,
    is_transfer_syntax,
)
from dcmnet.ul.items import RoleSelection, SOPClassExtendedNegotiation
from dcmnet.ul.pdu import AAssociateAC, AAssociateRQ
from tests.unit.profile_texts import CT, FULL, SMALL, US, changed, with_contexts, with_syntaxes

PLAIN = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
INFORMATION = bytes.fromhex("020003000000")


def syntaxes(text: str) -> tuple[str, ...]:
    """The transfer syntaxes of the first context of the profile Default."""
    return Profiles(text)["Default"].contexts[0].transfer_syntaxes


def classes(text: str) -> list[str]:
    return [context.abstract_syntax for context in Profiles(text)["Default"].contexts]


def kinds(text: str) -> list[tuple[str, int]]:
    """What is warned of, and in which line."""
    return [(warning.kind, warning.line) for warning in Profiles(text).warnings]


# ---------------------------------------------------------------------- what a profile means


def test_everything_at_once() -> None:
    profiles = Profiles(FULL, "us.cfg")
    assert list(profiles) == ["ULTRASOUNDOUT", "ULTRASOUND-IN"]
    assert len(profiles) == 2
    assert profiles.warnings == ()
    profile = profiles["Ultrasound Out"]
    assert [(each.abstract_syntax, each.transfer_syntaxes) for each in profile.contexts] == [
        (US, PLAIN),
        (US, (JPEG_BASELINE_8BIT,)),
        (VERIFICATION, PLAIN),
    ]
    assert profile.roles == {US: AcceptorRole.BOTH}
    assert profile.extended_negotiation == {US: INFORMATION}
    assert (profile.line, profile.source) == (24, "us.cfg")


@pytest.mark.parametrize("name", ["UltrasoundOut", "ultrasoundout", "ULTRASOUND OUT", "[UltrasoundOut]"])
def test_of_a_name_letters_digits_hyphens_and_underscores_count(name: str) -> None:
    profiles = Profiles(FULL)
    assert name in profiles
    assert profiles[name] is profiles["ULTRASOUNDOUT"]


def test_a_profile_that_is_not_there() -> None:
    profiles = Profiles(FULL, "us.cfg")
    assert "nope" not in profiles
    assert 1 not in profiles
    with pytest.raises(ProfileError, match="unknown configuration profile name: NOPE: us"):
        profiles["nope"]


def test_a_requestor_proposes_the_contexts_in_order() -> None:
    policy = Profiles(FULL)["UltrasoundOut"].requestor_policy(
        called_ae_title="ARCHIVE", calling_ae_title="US", max_pdu_length=16384
    )
    rq = build_request(policy)
    assert (rq.called_ae_title, rq.calling_ae_title, rq.user_information.max_length) == (
        "ARCHIVE",
        "US",
        16384,
    )
    contexts = [(each.context_id, each.abstract_syntax) for each in rq.presentation_contexts]
    assert contexts == [(1, US), (3, US), (5, VERIFICATION)]
    assert rq.user_information.role_selections == (RoleSelection(US, True, True),)
    item = SOPClassExtendedNegotiation(US, INFORMATION)
    assert rq.user_information.extended_negotiations == (item,)


@pytest.mark.parametrize(
    ("word", "role", "proposed"),
    [
        ("SCU", AcceptorRole.SCU, (True, False)),
        ("scp", AcceptorRole.SCP, (False, True)),
        ("Both", AcceptorRole.BOTH, (True, True)),
    ],
)
def test_roles(word: str, role: AcceptorRole, proposed: tuple[bool, bool]) -> None:
    profile = Profiles(changed("BOTH", word))["UltrasoundOut"]
    assert profile.roles == {US: role}
    rq = build_request(profile.requestor_policy())
    assert rq.user_information.role_selections == (RoleSelection(US, *proposed),)


def test_without_lists_of_roles_none_is_proposed() -> None:
    rq = build_request(Profiles(FULL)["Ultrasound-In"].requestor_policy())
    assert rq.user_information.role_selections == ()
    assert rq.user_information.extended_negotiations == ()


def answer(text: str, *proposals: str, profile: str = "Default") -> AAssociateAC:
    """What the acceptor that follows `text` answers to the profile of the same name in `proposals`."""
    rq = build_request(Profiles(proposals[0])[profile].requestor_policy())
    ac = negotiate(rq, Profiles(text)[profile].acceptor_policy())
    assert isinstance(ac, AAssociateAC)
    return ac


def test_an_acceptor_chooses_by_its_own_order() -> None:
    ac = answer(
        with_syntaxes("TransferSyntax1 = BigEndianExplicit", "TransferSyntax2 = LittleEndianImplicit"),
        with_syntaxes("TransferSyntax1 = LittleEndianImplicit", "TransferSyntax2 = BigEndianExplicit"),
    )
    assert [(each.result, each.transfer_syntax) for each in ac.presentation_contexts] == [
        (0, EXPLICIT_VR_BIG_ENDIAN)
    ]


def test_an_acceptor_refuses_what_is_not_listed() -> None:
    ac = answer(
        with_contexts("MRImageStorage\\Plain"), with_contexts("CTImageStorage\\Plain", "=Verification\\Plain")
    )
    assert [each.result for each in ac.presentation_contexts] == [3, 3]
    ac = answer(with_syntaxes("TransferSyntax1 = RLELossless"), SMALL)
    assert [each.result for each in ac.presentation_contexts] == [4]


def acceptor_text() -> str:
    return changed(
        "PresentationContext2 = UltrasoundImageStorage\\Baseline8\nPresentationContext3",
        "PresentationContext2",
    )


def test_an_acceptor_answers_roles_and_extended_negotiation_that_were_proposed() -> None:
    profile = Profiles(acceptor_text())["UltrasoundOut"]
    policy = profile.acceptor_policy(ae_title="US", max_pdu_length=4096)
    assert (policy.ae_title, policy.max_pdu_length, policy.promiscuous) == ("US", 4096, None)
    rq = build_request(profile.requestor_policy())
    ac = negotiate(rq, policy)
    assert isinstance(ac, AAssociateAC)
    assert ac.user_information.role_selections == (RoleSelection(US, True, True),)
    assert ac.user_information.extended_negotiations == (SOPClassExtendedNegotiation(US, INFORMATION),)
    assert requestor_contexts(rq, ac).contexts[1].scp_role
    # PS3.7 D.3.3.4, D.3.3.5: what was not proposed is not answered.
    ac = negotiate(build_request(Profiles(acceptor_text())["Ultrasound-In"].requestor_policy()), policy)
    assert isinstance(ac, AAssociateAC)
    assert ac.user_information.role_selections == ()
    assert ac.user_information.extended_negotiations == ()


def test_policies_of_the_same_profile_are_equal() -> None:
    one, other = (Profiles(acceptor_text())["UltrasoundOut"].acceptor_policy() for _ in range(2))
    assert one == other


def test_a_class_twice_is_not_for_an_acceptor() -> None:
    profile = Profiles(FULL, "us.cfg")["UltrasoundOut"]
    with pytest.raises(ProfileError) as caught:
        profile.acceptor_policy()
    message = str(caught.value)
    assert message.startswith(f"us.cfg:12: {US} is listed in line 11 as well: not a valid SCP profile: ")
    assert message.endswith("; profile ULTRASOUNDOUT cannot serve an acceptor")
    assert caught.value.problems == (profile.acceptor_problem,)
    assert profile.requestor_problem is None


def test_129_contexts_are_not_for_a_requestor() -> None:
    text = with_contexts(*(f"1.2.{number}\\Plain" for number in range(129)))
    profile = Profiles(text, "many.cfg")["Default"]
    assert len(profile.acceptor_policy().contexts) == 129
    with pytest.raises(
        ProfileError, match=r"many.cfg:134: 129 presentation contexts, and a requestor proposes"
    ):
        profile.requestor_policy()
    text = with_contexts(*(f"1.2.{number}\\Plain" for number in range(128)))
    assert len(Profiles(text)["Default"].requestor_policy().contexts) == 128


# ---------------------------------------------------------------------- names of UIDs


@pytest.mark.parametrize(
    ("value", "uid"),
    [
        ("1.2.840.10008.1.2", IMPLICIT_VR_LITTLE_ENDIAN),
        ("LittleEndianImplicit", IMPLICIT_VR_LITTLE_ENDIAN),
        ("=LittleEndianImplicit", IMPLICIT_VR_LITTLE_ENDIAN),
        ("ImplicitVRLittleEndian", IMPLICIT_VR_LITTLE_ENDIAN),
        ("LocalEndianExplicit", EXPLICIT_VR_LITTLE_ENDIAN),
        ("OppositeEndianExplicit", EXPLICIT_VR_BIG_ENDIAN),
        ("JPEGBaseline", JPEG_BASELINE_8BIT),
        ("JPEGLossless:Non-hierarchical-1stOrderPrediction", "1.2.840.10008.1.2.4.70"),
        ("1.3.6.1.4.1.99", "1.3.6.1.4.1.99"),
    ],
)
def test_names_of_transfer_syntaxes(value: str, uid: str) -> None:
    text = with_syntaxes(f"TransferSyntax1 = {value}")
    assert syntaxes(text) == (uid,)
    assert kinds(text) == []


def test_every_name_and_keyword_can_be_used() -> None:
    for uid, entry in UIDS.items():
        for name in {DCMTK_NAMES.get(uid, entry[1]), entry[1]}:
            if is_transfer_syntax(uid):
                assert syntaxes(with_syntaxes(f"TransferSyntax1 = {name}")) == (uid,), name
    for uid in STORAGE:
        assert classes(with_contexts(f"{DCMTK_NAMES.get(uid, UIDS[uid][1])}\\Plain")) == [uid]


def test_a_profile_as_of_dcmtk_3_7_is_negotiated_context_by_context() -> None:
    # Made by us, with the names that its sample profiles have and earlier ones have not.
    profiles = Profiles(
        r"""[[TransferSyntaxes]]
[Any]
TransferSyntax1 = JPEGXLLossless
TransferSyntax2 = HighThroughputJPEG2000ImageCompressionLosslessOnly
TransferSyntax3 = FragmentableMPEG2MainProfile/MainLevel
TransferSyntax4 = EncapsulatedUncompressedLittleEndianExplicit
TransferSyntax5 = LittleEndianImplicit
[[PresentationContexts]]
[All]
PresentationContext1 = VerificationSOPClass\Any
PresentationContext2 = LabelMapSegmentationStorage\Any
PresentationContext3 = HeightMapSegmentationStorage\Any
PresentationContext4 = General32BitECGWaveformStorage\Any
PresentationContext5 = WaveformPresentationStateStorage\Any
PresentationContext6 = DICONDE_ThermographyImageStorage\Any
PresentationContext7 = RETIRED_VLMultiFrameImageStorage\Any
[[Profiles]]
[Default]
PresentationContexts = All
"""
    )
    assert profiles.warnings == ()
    implicit, jpeg_xl, htj2k = "1.2.840.10008.1.2", "1.2.840.10008.1.2.4.110", "1.2.840.10008.1.2.4.201"
    proposals = {
        "1.2.840.10008.1.1": (implicit,),
        "1.2.840.10008.5.1.4.1.1.66.7": (implicit, htj2k, jpeg_xl),
        "1.2.840.10008.5.1.4.1.1.66.8": (implicit, htj2k),
        "1.2.840.10008.5.1.4.1.1.9.1.4": ("1.2.840.10008.1.2.4.100.1",),
        "1.2.840.10008.5.1.4.1.1.9.100.1": ("1.2.840.10008.1.2.1.98", implicit),
        "1.2.840.10008.5.1.4.1.1.601.3": ("1.2.840.10008.1.2.1",),
        "1.2.840.10008.5.1.4.1.1.77.2": (implicit,),
        "1.2.840.10008.5.1.4.1.1.2": (implicit,),
    }
    rq = build_request(
        RequestorPolicy(
            called_ae_title="A",
            calling_ae_title="B",
            contexts=tuple(
                ProposedContext(abstract_syntax=uid, transfer_syntaxes=offered)
                for uid, offered in proposals.items()
            ),
        )
    )
    answer = negotiate(rq, profiles["Default"].acceptor_policy())
    assert isinstance(answer, AAssociateAC)
    contexts = answer.presentation_contexts
    chosen = [each.transfer_syntax if each.result == 0 else each.result for each in contexts]
    assert chosen == [
        implicit,
        jpeg_xl,
        htj2k,
        "1.2.840.10008.1.2.4.100.1",
        "1.2.840.10008.1.2.1.98",
        4,
        implicit,
        3,
    ]


def test_an_acceptor_may_have_more_contexts_than_a_requestor_can_propose() -> None:
    lines = [f"PresentationContext{number} = 1.2.{number}\\Plain" for number in range(1, 201)]
    assert len(classes(with_contexts("\n".join(lines).removeprefix("PresentationContext1 = ")))) == 200


# ---------------------------------------------------------------------- what is refused

# What is wrong with the file, and the message.
REFUSED = {
    "no transfer syntaxes": (
        changed("[[TransferSyntaxes]]", "[[Other]]"),
        "x.cfg: there is no [[TransferSyntaxes]]: an association negotiation file has to have it",
    ),
    "no presentation contexts": (
        changed("[[PresentationContexts]]", "[[Other]]"),
        "x.cfg: there is no [[PresentationContexts]]: an association negotiation file has to have it",
    ),
    "no profiles": (
        changed("[[Profiles]]", "[[Other]]"),
        "x.cfg: there is no [[Profiles]]: an association negotiation file has to have it",
    ),
    "no profile": (
        SMALL.partition("[Default]")[0],
        "x.cfg:7: [[Profiles]] has no [section]: add one",
    ),
    "transfer syntax": (
        with_syntaxes("TransferSyntax1 = LittleEndianImplict"),
        "x.cfg:3: 'LittleEndianImplict' is not a known transfer syntax: did you mean LittleEndianImplicit?",
    ),
    "transfer syntax that is like nothing": (
        with_syntaxes("TransferSyntax1 = ?"),
        "x.cfg:3: '?' is not a known transfer syntax: write a UID, DCMTK's name or the keyword",
    ),
    "SOP class of a context": (
        with_contexts("CTImageStorag\\Plain"),
        "x.cfg:6: 'CTImageStorag' is not a known SOP class: did you mean CTImageStorage?",
    ),
    "SOP class of a role": (
        changed("Role1 = UltrasoundImageStorage", "Role1 = 1.2.x"),
        "x.cfg:17: '1.2.x' is not a known SOP class: write a UID, DCMTK's name or the keyword",
    ),
    "SOP class of an extended negotiation": (
        changed("ExtendedNegotiation1 = UltrasoundImageStorage", "ExtendedNegotiation1 = "),
        "x.cfg:21: '' is not a known SOP class: write a UID, DCMTK's name or the keyword",
    ),
    "separator of a context": (
        with_contexts("CTImageStorage"),
        "x.cfg:6: 'CTImageStorage' has no '\\': write a SOP class, "
        "'\\' and the name of a transfer syntax list",
    ),
    "separator of a role": (
        changed("UltrasoundImageStorage\\BOTH", "UltrasoundImageStorage/BOTH"),
        "x.cfg:17: 'UltrasoundImageStorage/BOTH' has no '\\': write a SOP class, '\\' and SCU, SCP or BOTH",
    ),
    "separator of an extended negotiation": (
        changed("UltrasoundImageStorage\\02", "UltrasoundImageStorage 02"),
        "x.cfg:21: 'UltrasoundImageStorage 020003000000' has no '\\': "
        "write a SOP class, '\\' and bytes in hexadecimal digits",
    ),
    "transfer syntax list": (
        changed("VerificationSOPClass\\Plain", "VerificationSOPClass\\Plan"),
        "x.cfg:13: there is no transfer syntax list 'Plan': did you mean PLAIN?",
    ),
    "transfer syntax list behind another separator": (
        with_contexts("CTImageStorage\\Plain\\Plain"),
        "x.cfg:6: there is no transfer syntax list 'Plain\\\\Plain': did you mean PLAIN?",
    ),
    "empty transfer syntax list": (
        with_syntaxes(""),
        "x.cfg:6: the transfer syntax list [Plain] in line 2 has no entry that counts: add one",
    ),
    "too many transfer syntaxes": (
        with_syntaxes(*(f"TransferSyntax{number} = 1.2.{number}" for number in range(1, 130))),
        "x.cfg:2: [Plain] has 129 transfer syntaxes: 128 are the most for a presentation context",
    ),
    "role": (
        changed("BOTH", "EITHER"),
        "x.cfg:17: 'EITHER' is no role: write SCU, SCP or BOTH",
    ),
    "two roles of a class": (
        changed(
            "Role1 = UltrasoundImageStorage\\BOTH", f"Role1 = {US}\\SCU\nRole2 = =UltrasoundImageStorage\\SCP"
        ),
        f"x.cfg:18: the role of {US} stands in line 17 as well: remove one of them",
    ),
    "two extended negotiations of a class": (
        changed("\\020003000000", f"\\02\nExtendedNegotiation2 = {US}\\03"),
        f"x.cfg:22: the extended negotiation of {US} stands in line 21 as well: remove one of them",
    ),
    "odd number of hexadecimal digits": (
        changed("020003000000", "02000"),
        "x.cfg:21: '02000' does not consist of bytes with two hexadecimal digits each: "
        "write them without blanks, 0200 for example",
    ),
    "no hexadecimal digits": (
        changed("020003000000", "0200 0G"),
        "x.cfg:21: '0200 0G' does not consist of bytes with two hexadecimal digits each: "
        "write them without blanks, 0200 for example",
    ),
    "no bytes": (
        changed("020003000000", ""),
        "x.cfg:21: '' does not consist of bytes with two hexadecimal digits each: "
        "write them without blanks, 0200 for example",
    ),
    "too many bytes": (
        changed("020003000000", "00" * 1025),
        "x.cfg:21: 1025 bytes of extended negotiation: 1024 are the most",
    ),
    "two profiles": (
        changed("[ultrasound-in]", "[Ultrasound OUT]"),
        "x.cfg:28: profile [Ultrasound OUT] is defined in line 24 as well: rename one of them",
    ),
    "too many profiles": (
        SMALL + "".join(f"[{number}]\nPresentationContexts = Out\n" for number in range(256)),
        "x.cfg:520: 257 profiles: spread them over several files, 256 are the most",
    ),
    "profile without contexts": (
        changed("PresentationContexts = Out", "", SMALL),
        "x.cfg:8: profile [Default] names no presentation contexts: "
        "add PresentationContexts = and the name of a list",
    ),
    "context list": (
        changed("PresentationContexts = Out", "PresentationContexts = In", SMALL),
        "x.cfg:9: there is no presentation context list 'In': there is OUT",
    ),
    "role list": (
        changed("= BothWays", "= OneWay"),
        "x.cfg:26: there is no role list 'OneWay': there is BOTHWAYS",
    ),
    "role list where there is none": (
        SMALL + "SCPSCURoleSelection = Any\n",
        "x.cfg:10: there is no role list 'Any': there is none",
    ),
    "role of a class without context": (
        changed("UltrasoundImageStorage\\BOTH", "CTImageStorage\\BOTH"),
        f"x.cfg:17: the role of {CT} is for no presentation context of the profile: "
        "line 26 puts the two lists together: add the context, or remove this",
    ),
    "extended negotiation list": (
        changed("= Level2", "= Level9"),
        "x.cfg:27: there is no extended negotiation list 'Level9': did you mean LEVEL2?",
    ),
    "extended negotiation of a class without context": (
        changed("UltrasoundImageStorage\\02", "CTImageStorage\\02"),
        f"x.cfg:21: the extended negotiation of {CT} is for no presentation context of the profile: "
        "line 27 puts the two lists together: add the context, or remove this",
    ),
    "too long": (
        "#" * (MAX_PROFILE_TEXT_LENGTH + 1),
        "x.cfg: longer than 1048576 characters: is it an association negotiation file?",
    ),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(ProfileError) as caught:
        Profiles(text, "x.cfg")
    assert str(caught.value) == message
    errors = [problem for problem in caught.value.problems if problem.severity == "error"]
    assert [problem.describe("x.cfg") for problem in errors] == [message]


def test_all_errors_are_told_at_once() -> None:
    with pytest.raises(ProfileError) as caught:
        Profiles("nothing\n[[Profile]]\n", "x.cfg")
    message = str(caught.value)
    assert message.startswith("x.cfg: there is no [[TransferSyntaxes]]: ")
    assert message.endswith(" (and 3 more)")
    assert [(problem.severity, problem.line) for problem in caught.value.problems] == [
        *[("error", 0)] * 3,
        ("error", 1),
        ("warning", 2),
    ]


# ---------------------------------------------------------------------- what DCMTK reads otherwise


@pytest.mark.parametrize(
    ("lines", "expected", "warned"),
    [
        (  # a gap
            ("TransferSyntax1 = LittleEndianImplicit", "TransferSyntax3 = JPEGBaseline"),
            (IMPLICIT_VR_LITTLE_ENDIAN, JPEG_BASELINE_8BIT),
            [("gap", 2)],
        ),
        (("TransferSyntax2 = JPEGBaseline",), (JPEG_BASELINE_8BIT,), [("gap", 2)]),
        (  # not in the order of the numbers: DCMTK sorts them as well
            ("TransferSyntax2 = LittleEndianImplicit", "TransferSyntax1 = JPEGBaseline"),
            (JPEG_BASELINE_8BIT, IMPLICIT_VR_LITTLE_ENDIAN),
            [],
        ),
        (  # a number twice
            ("TransferSyntax1 = LittleEndianImplicit", "TransferSyntax1 = JPEGBaseline"),
            (IMPLICIT_VR_LITTLE_ENDIAN, JPEG_BASELINE_8BIT),
            [("repeated-number", 4)],
        ),
        (("TransferSyntax01 = JPEGBaseline",), (JPEG_BASELINE_8BIT,), [("number", 3)]),
        (
            ("TransferSyntax0 = JPEGBaseline", "TransferSyntax1 = LittleEndianImplicit"),
            (JPEG_BASELINE_8BIT, IMPLICIT_VR_LITTLE_ENDIAN),
            [("number", 3)],
        ),
        (  # a transfer syntax twice
            ("TransferSyntax1 = JPEGBaseline", "TransferSyntax2 = 1.2.840.10008.1.2.4.50"),
            (JPEG_BASELINE_8BIT,),
            [("repeated-transfer-syntax", 2)],
        ),
        (("TransferSyntax1 = JPEGBaseline \t",), (JPEG_BASELINE_8BIT,), [("blanks", 3)]),
        (("TransferSyntax1 = 1.02",), ("1.02",), [("malformed-uid", 3)]),
        (
            ("TransferSyntax1 = 1..2", "TransferSyntax2 = .1", "TransferSyntax3 = 1.2"),
            ("1.2",),
            [("malformed-uid", 3), ("malformed-uid", 4)],
        ),
        (
            (f"TransferSyntax1 = 1.{'2' * 63}", "TransferSyntax2 = 1.2"),
            ("1.2",),
            [("malformed-uid", 3)],
        ),
        (("TransferSyntax1 = CTImageStorage",), (CT,), [("wrong-kind", 3)]),
        (("TransferSyntax1 = " + CT,), (CT,), [("wrong-kind", 3)]),
        (
            ("TransferSyntx1 = JPEGBaseline", "TransferSyntax = JPEGBaseline", "TransferSyntax1 = 1.2"),
            ("1.2",),
            [("unknown-key", 3), ("unknown-key", 4)],
        ),
        (
            ("TransferSyntax1 = JPEGBaseline", "[plain]", "TransferSyntax1 = 1.2"),
            (JPEG_BASELINE_8BIT, "1.2"),
            [("repeated-section", 4)],
        ),
    ],
)
def test_transfer_syntax_lists(
    lines: tuple[str, ...], expected: tuple[str, ...], warned: list[tuple[str, int]]
) -> None:
    text = with_syntaxes(*lines)
    assert syntaxes(text) == expected
    assert kinds(text) == warned


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        (with_contexts("CTImageStorage \\ Plain"), [("blanks", 6)]),
        (with_contexts("CTImageStorage\\ Pl ain"), []),  # DCMTK takes white space out of references as well
        (with_contexts("CTImageStorage\\P.lain"), [("reference", 6)]),
        (with_contexts(f"{CT}\\Plain", "1..2\\Plain"), [("malformed-uid", 7)]),
        (SMALL + "PresentationContext = Out\n", [("unknown-key", 10)]),
        (SMALL + "PresentationContexts = Out\n", [("repeated-key", 10)]),
        (SMALL + "[[TransferSyntax]]\n[A]\n", [("unknown-supersection", 10)]),
        (changed("= Out", "= Out ", SMALL), []),
    ],
)
def test_contexts_and_profiles(text: str, warned: list[tuple[str, int]]) -> None:
    assert classes(text) == [CT]
    assert kinds(text) == warned


def test_a_transfer_syntax_as_sop_class() -> None:
    assert kinds(with_contexts("LittleEndianImplicit\\Plain")) == [("wrong-kind", 6)]


def test_blanks_around_roles_and_bytes() -> None:
    profiles = Profiles(changed("\\BOTH", " \\ BOTH ", changed("\\020003000000", "\\ 0200 ")))
    assert profiles["UltrasoundOut"].roles == {US: AcceptorRole.BOTH}
    assert profiles["UltrasoundOut"].extended_negotiation == {US: b"\x02\x00"}
    assert [(warning.kind, warning.line) for warning in profiles.warnings] == [
        *[("blanks", 17)] * 2,
        ("blanks", 21),
    ]


def test_a_warning_for_a_person() -> None:
    profiles = Profiles(with_syntaxes("TransferSyntax2 = JPEGBaseline"), "x.cfg")
    assert [warning.describe(profiles.source) for warning in profiles.warnings] == [
        "x.cfg:2: [Plain] has no TransferSyntax1; DCMTK leaves out everything behind the gap: "
        "number the entries 1, 2, 3 and so on"
    ]


# ---------------------------------------------------------------------- whatever comes


def read_or_refused(text: str) -> None:
    with contextlib.suppress(ProfileError):
        profiles = Profiles(text)
        for name in profiles:
            with contextlib.suppress(ProfileError):
                rq = build_request(profiles[name].requestor_policy())
                assert AAssociateRQ.decode(memoryview(rq.encode())[6:], Limits()) == rq
            with contextlib.suppress(ProfileError):
                profiles[name].acceptor_policy()


@given(st.text(alphabet=st.sampled_from("[]=\\#\n\r\t .-_,\0\ufeffAZaz019é\u2028"), max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    read_or_refused(text)


@given(
    st.lists(st.sampled_from([*FULL.splitlines(keepends=True), "\t", " ", "[", "\\", "=", "1"]), max_size=60)
)
def test_any_lines_are_read_or_refused(lines: list[str]) -> None:
    read_or_refused("".join(lines))


@given(
    st.permutations(list(STORAGE)[:20]),
    st.lists(st.sampled_from(["1.2.3", "1.2.4", "1.2.5"]), unique=True, min_size=1),
)
def test_what_is_written_is_proposed(sop_classes: list[str], transfer_syntaxes: list[str]) -> None:
    lines = [f"TransferSyntax{number} = {uid}" for number, uid in enumerate(transfer_syntaxes, 1)]
    text = with_contexts(*(f"{uid}\\Plain" for uid in sop_classes))
    text = changed("TransferSyntax1 = LittleEndianImplicit", "\n".join(lines), text)
    policy = Profiles(text)["Default"].requestor_policy()
    assert [each.abstract_syntax for each in policy.contexts] == sop_classes
    assert {each.transfer_syntaxes for each in policy.contexts} == {tuple(transfer_syntaxes)}
