"""Association negotiation profiles: whoever reads them, DCMTK or dcmnet, the same PDUs come of it.

Every profile as requestor against every profile as acceptor, four times: DCMTK's tools with each other are
what the others are compared to. Among the files are the ones that DCMTK comes with.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from dcmnet import Limits
from dcmnet.asconfig import Profiles
from dcmnet.ul.items import PresentationContextRQ, RoleSelection, SOPClassExtendedNegotiation
from dcmnet.ul.pdu import AAssociateAC, AAssociateRQ
from tests.conformance.peers import DCMNET, ENVIRONMENT, HOST, RUN_SECONDS, free_port, listening, program, run
from tests.conformance.recording import Conversation, relay
from tests.unit.test_asconfig import REFUSED

TOOLS: dict[str, tuple[str, ...]] = {"dcmtk": (), "dcmnet": DCMNET}
OF_DCMTK = Path("/etc/dcmtk")
_HEADER = 6

# Roles in every combination, numbers out of order, names and UIDs in all their spellings.
OWN = r"""# roles, extended negotiation, orders of preference
[[TransferSyntaxes]]
[Little Endian]
TransferSyntax2 = =LittleEndianImplicit
TransferSyntax1 = LittleEndianExplicit
[implicit_only]
TransferSyntax1 = 1.2.840.10008.1.2
[Backwards]
TransferSyntax1 = LittleEndianImplicit
TransferSyntax2 = LocalEndianExplicit
TransferSyntax3 = OppositeEndianExplicit
TransferSyntax4 = 1.3.6.1.4.1.99999.1

[[PresentationContexts]]
[Out]
PresentationContext1 = CTImageStorage\LittleEndian
PresentationContext2 = MRImageStorage\LittleEndian
PresentationContext3 = SecondaryCaptureImageStorage\Backwards
PresentationContext4 = SecondaryCaptureImageStorage\implicit_only
PresentationContext5 = ComputedRadiographyImageStorage\LittleEndian
PresentationContext6 = 1.3.6.1.4.1.99999.2\LittleEndian
PresentationContext7 = UltrasoundImageStorage\Backwards
[In]
PresentationContext1 = 1.3.6.1.4.1.99999.2\Backwards
PresentationContext2 = SecondaryCaptureImageStorage\LittleEndian
PresentationContext3 = MRImageStorage\Backwards
PresentationContext4 = CTImageStorage\implicit_only
PresentationContext5 = ComputedRadiographyImageStorage\Backwards

[[SCPSCURoleSelection]]
[SCU]
Role1 = CTImageStorage\SCU
Role2 = MRImageStorage\scu
Role3 = SecondaryCaptureImageStorage\SCU
Role4 = 1.3.6.1.4.1.99999.2\SCU
[SCP]
Role1 = CTImageStorage\SCP
Role2 = MRImageStorage\SCP
Role3 = SecondaryCaptureImageStorage\SCP
[Both]
Role1 = CTImageStorage\BOTH
Role2 = MRImageStorage\Both
Role3 = SecondaryCaptureImageStorage\BOTH

[[ExtendedNegotiation]]
[Storage]
ExtendedNegotiation1 = CTImageStorage\020000000000
ExtendedNegotiation2 = SecondaryCaptureImageStorage\00ff

[[Profiles]]
[Out]
PresentationContexts = Out
[Out SCU]
PresentationContexts = Out
SCPSCURoleSelection = SCU
ExtendedNegotiation = Storage
[Out SCP]
PresentationContexts = Out
SCPSCURoleSelection = SCP
ExtendedNegotiation = Storage
[Out Both]
PresentationContexts = Out
SCPSCURoleSelection = Both
ExtendedNegotiation = Storage
[In]
PresentationContexts = In
[In SCU]
PresentationContexts = In
SCPSCURoleSelection = SCU
[In SCP]
PresentationContexts = In
SCPSCURoleSelection = SCP
[In Both]
PresentationContexts = In
SCPSCURoleSelection = Both
ExtendedNegotiation = Storage
"""

REQUESTORS = [
    *[("storescu.cfg", "Default"), ("storescp.cfg", "Default"), ("storescp.cfg", "all dicom")],
    *[("own.cfg", name) for name in ("Out", "OutSCU", "out scp", "Out Both", "In")],
]
ACCEPTORS = [
    *[("storescp.cfg", "Default"), ("storescp.cfg", "AllDICOM")],
    *[("own.cfg", name) for name in ("In", "InSCU", "in scp", "In Both")],
]


class Asked(NamedTuple):
    """What a requestor proposes; DCMTK repeats a role for each context of its class."""

    contexts: tuple[PresentationContextRQ, ...]
    roles: frozenset[RoleSelection]
    extended: frozenset[SOPClassExtendedNegotiation]


class Answered(NamedTuple):
    """What an acceptor answers: by context id the result, and the transfer syntax where it is accepted."""

    contexts: dict[int, tuple[int, str]]
    roles: frozenset[RoleSelection]
    extended: frozenset[SOPClassExtendedNegotiation]


def pdu(conversation: Conversation, sent: bool) -> memoryview:
    """The first PDU of one side, without its header."""
    said = b"".join(data for from_requestor, data in conversation.pieces if from_requestor is sent)
    assert said[0] == (0x01 if sent else 0x02)
    return memoryview(said)[_HEADER : _HEADER + int.from_bytes(said[2:_HEADER], "big")]


def asked(conversation: Conversation) -> Asked:
    rq = AAssociateRQ.decode(pdu(conversation, True), Limits())
    user = rq.user_information
    return Asked(
        rq.presentation_contexts, frozenset(user.role_selections), frozenset(user.extended_negotiations)
    )


def answered(conversation: Conversation) -> Answered:
    """The answer, without extended negotiation that was not asked for, which DCMTK adds."""
    ac = AAssociateAC.decode(pdu(conversation, False), Limits())
    contexts = {
        each.context_id: (each.result, each.transfer_syntax if each.result == 0 else "")
        for each in ac.presentation_contexts
    }
    user = ac.user_information
    proposed = {each.sop_class_uid for each in asked(conversation).extended}
    extended = (each for each in user.extended_negotiations if each.sop_class_uid in proposed)
    return Answered(contexts, frozenset(user.role_selections), frozenset(extended))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    own = tmp_path_factory.mktemp("profiles") / "own.cfg"
    own.write_text(OWN)
    return {"own.cfg": own, **{name: OF_DCMTK / name for name in ("storescu.cfg", "storescp.cfg")}}


@pytest.fixture(scope="module", params=ACCEPTORS, ids=" ".join)
def acceptors(
    request: pytest.FixtureRequest, files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, int]]:
    """The ports where DCMTK's storescp and dcmnet's follow the same profile."""
    name, profile = request.param
    with ExitStack() as stack:
        ports = {}
        for who, tool in TOOLS.items():
            log = tmp_path_factory.mktemp("log") / f"{who}.log"
            options = ("--ignore", *(("--bind", HOST) if tool else ("-dhl",)))
            command = (*tool, "storescp", "-xf", str(files[name]), profile, *options)
            process = stack.enter_context(listening(lambda port, c=command: (*c, str(port)), log))  # type: ignore[misc]
            ports[who] = process.port
        yield ports


def converse(who: str, port: int, file: Path, profile: str, path: Path) -> Conversation:
    """Have a storescu negotiate as a profile says, and send, if it can."""
    with relay(port) as recorded:
        command = (*TOOLS[who], "storescu", "-xf", str(file), profile, HOST, str(recorded.port), str(path))
        # Whether the object is sent is for its profile to decide, so any exit status will do.
        subprocess.run(
            (program(command[0]), *command[1:]),
            env=ENVIRONMENT,
            capture_output=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        (conversation,) = recorded.heard()
    return conversation


@pytest.mark.parametrize(("name", "profile"), REQUESTORS, ids=lambda each: str(each))
def test_the_same_comes_of_a_profile(
    acceptors: dict[str, int], files: dict[str, Path], name: str, profile: str, objects: dict[str, Path]
) -> None:
    heard = {
        (requestor, acceptor): converse(requestor, port, files[name], profile, objects["explicit_little"])
        for requestor in TOOLS
        for acceptor, port in acceptors.items()
    }
    expected = heard["dcmtk", "dcmtk"]
    assert len(asked(expected).contexts) == len(Profiles(files[name].read_text())[profile].contexts)
    for who, conversation in heard.items():
        assert asked(conversation) == asked(expected), who
        assert answered(conversation) == answered(expected), who


@pytest.mark.parametrize("who", TOOLS)
def test_a_profile_with_a_class_twice_is_not_for_storescp(who: str, files: dict[str, Path]) -> None:
    port = str(free_port())
    said = run(*TOOLS[who], "storescp", "-xf", files["storescu.cfg"], "Default", port, expect=1)
    assert re.search("not (valid for SCP use|a valid SCP profile)", said)


@pytest.mark.parametrize("who", TOOLS)
def test_a_profile_that_is_not_there(who: str, files: dict[str, Path]) -> None:
    port = str(free_port())
    said = run(*TOOLS[who], "storescp", "-xf", files["storescp.cfg"], "no such", port, expect=1)
    assert "unknown configuration profile name: NOSUCH" in said


# It has not got the profile that is asked for then, or negotiates what is there.
READ_BY_DCMTK = ("no profile", "too many transfer syntaxes", "too many profiles")


@pytest.mark.parametrize("what", [name for name in REFUSED if name not in READ_BY_DCMTK])
def test_what_is_refused_is_refused_by_dcmtk_as_well(
    what: str, tmp_path: Path, objects: dict[str, Path]
) -> None:
    path = tmp_path / "refused.cfg"
    path.write_text(REFUSED[what][0])
    object_path = objects["explicit_little"]
    said = run("storescu", "-xf", path, "Default", HOST, str(free_port()), object_path, expect=1)
    assert "reading config file: " in said
