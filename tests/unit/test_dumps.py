from __future__ import annotations

import pytest

from dcmnet._net.dumps import association_lines
from dcmnet.ul.items import (
    AsynchronousOperationsWindow,
    PresentationContextAC,
    PresentationContextRQ,
    RoleSelection,
    SOPClassExtendedNegotiation,
    UserIdentityAC,
    UserIdentityRQ,
    UserInformation,
)
from dcmnet.ul.pdu import AAssociateAC, AAssociateRQ
from tests.unit.objects import CT, EXPLICIT, IMPLICIT, MR


def test_a_request() -> None:
    user = UserInformation(
        max_length=16384,
        implementation_class_uid="1.2.3",
        implementation_version_name="OURS_1",
        asynchronous_operations_window=AsynchronousOperationsWindow(8, 1),
        role_selections=(RoleSelection(MR, True, True),),
        extended_negotiations=(SOPClassExtendedNegotiation(CT, b"\x01\x00"),),
        user_identity=UserIdentityRQ(2, b"ann", b"secret", True),
    )
    contexts = (
        PresentationContextRQ(1, CT, (EXPLICIT, IMPLICIT)),
        PresentationContextRQ(3, MR, ("1.2.3.4",)),
    )
    request = AAssociateRQ("THEM", "US", contexts, user)
    assert list(association_lines(request, sent=True)) == [
        "====================== BEGIN A-ASSOCIATE-RQ =====================",
        "Our Implementation Class UID:      1.2.3",
        "Our Implementation Version Name:   OURS_1",
        "Application Context Name:    1.2.840.10008.3.1.1.1",
        "Calling Application Name:    US",
        "Called Application Name:     THEM",
        "Our Max PDU Receive Size:     16384",
        "Presentation Contexts:",
        "  Context ID:        1 (Proposed)",
        "    Abstract Syntax: =CTImageStorage",
        "    Proposed SCP/SCU Role: Default",
        "    Proposed Transfer Syntax(es):",
        "      =LittleEndianExplicit",
        "      =LittleEndianImplicit",
        "  Context ID:        3 (Proposed)",
        "    Abstract Syntax: =MRImageStorage",
        "    Proposed SCP/SCU Role: SCP/SCU",
        "    Proposed Transfer Syntax(es):",
        "      1.2.3.4",
        "Requested Asynchronous Operations Window: 8, 1",
        "Requested Extended Negotiation:",
        "  =CTImageStorage: 01 00",
        "Requested User Identity Negotiation: user name and passcode, not shown, positive response requested",
        "======================= END A-ASSOCIATE-RQ ======================",
    ]


@pytest.mark.parametrize(
    ("identity", "line"),
    [
        (None, "User Identity Negotiation Response: none"),
        (UserIdentityAC(b"ticket"), "User Identity Negotiation Response: 6 bytes, not shown"),
    ],
)
def test_an_answer(identity: UserIdentityAC | None, line: str) -> None:
    user = UserInformation(max_length=0, implementation_version_name="THEIRS\x1b[31m", user_identity=identity)
    contexts = (PresentationContextAC(1, 0, EXPLICIT), PresentationContextAC(3, 4, IMPLICIT))
    answer = AAssociateAC("THEM", "US", contexts, user)
    assert list(association_lines(answer, sent=False)) == [
        "====================== BEGIN A-ASSOCIATE-AC =====================",
        "Their Implementation Version Name: 'THEIRS\\x1b[31m'",
        "Application Context Name:    1.2.840.10008.3.1.1.1",
        "Calling Application Name:    US",
        "Called Application Name:     THEM",
        "Their Max PDU Receive Size:   0",
        "Presentation Contexts:",
        "  Context ID:        1 (Accepted)",
        "    Accepted Transfer Syntax: =LittleEndianExplicit",
        "  Context ID:        3 (Transfer Syntaxes Not Supported)",
        "Accepted Extended Negotiation: none",
        line,
        "======================= END A-ASSOCIATE-AC ======================",
    ]


def test_no_identity() -> None:
    request = AAssociateRQ("THEM", "US", (PresentationContextRQ(1, CT, (EXPLICIT,)),), UserInformation())
    assert "Requested User Identity Negotiation: none" in list(association_lines(request, sent=False))
