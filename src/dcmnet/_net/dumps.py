"""A-ASSOCIATE PDUs as text for people, laid out as DCMTK's tools do. What a user identity holds stays out."""

from __future__ import annotations

from collections.abc import Iterator

from dcmnet.registry.uids import dcmtk_name_of
from dcmnet.ul.items import PresentationContextAC, PresentationContextRQ, UserIdentityRQ, UserInformation
from dcmnet.ul.pdu import AAssociateAC, AAssociateRQ

_WIDTH = 65
# PS3.8 9.3.3.2, Table 9-18.
_RESULTS = {
    0: "Accepted",
    1: "User Rejection",
    2: "No Reason",
    3: "Abstract Syntax Not Supported",
    4: "Transfer Syntaxes Not Supported",
}
_ROLES = {(True, True): "SCP/SCU", (True, False): "SCU", (False, True): "SCP"}
# PS3.7 D.3.3.7.1, Table D.3-14.
_IDENTITIES = {
    1: "user name",
    2: "user name and passcode",
    3: "Kerberos ticket",
    4: "SAML assertion",
    5: "JWT",
}


def association_lines(pdu: AAssociateRQ | AAssociateAC, *, sent: bool) -> Iterator[str]:
    """An A-ASSOCIATE-RQ or -AC, line by line.

    Args:
        pdu: The PDU.
        sent: Whether this side has sent it.
    """
    name = "A-ASSOCIATE-RQ" if isinstance(pdu, AAssociateRQ) else "A-ASSOCIATE-AC"
    whose = "Our" if sent else "Their"
    user = pdu.user_information
    yield _ruled(f"BEGIN {name}")
    yield from _aligned(f"{whose} Implementation Class UID:", user.implementation_class_uid)
    yield from _aligned(f"{whose} Implementation Version Name:", user.implementation_version_name)
    yield f"Application Context Name:    {_safe(pdu.application_context_name)}"
    yield f"Calling Application Name:    {_safe(pdu.calling_ae_title)}"
    yield f"Called Application Name:     {_safe(pdu.called_ae_title)}"
    yield f"{whose} Max PDU Receive Size:{' ' * (8 - len(whose))}{user.max_length}"
    yield "Presentation Contexts:"
    roles = {each.sop_class_uid: _ROLES.get((each.scu_role, each.scp_role)) for each in user.role_selections}
    for context in pdu.presentation_contexts:
        if isinstance(context, PresentationContextRQ):
            yield from _proposed(context, roles.get(context.abstract_syntax) or "Default")
        else:
            yield from _answered(context)
    yield from _user_lines(user, "Requested" if isinstance(pdu, AAssociateRQ) else "Accepted")
    yield _ruled(f"END {name}")


def _ruled(text: str) -> str:
    return f" {text} ".center(_WIDTH, "=")


def _aligned(label: str, value: str) -> Iterator[str]:
    if value:
        yield f"{label:<35}{_safe(value)}"


def _proposed(context: PresentationContextRQ, role: str) -> Iterator[str]:
    yield f"  Context ID:        {context.context_id} (Proposed)"
    yield f"    Abstract Syntax: {_name(context.abstract_syntax)}"
    yield f"    Proposed SCP/SCU Role: {role}"
    yield "    Proposed Transfer Syntax(es):"
    for uid in context.transfer_syntaxes:
        yield f"      {_name(uid)}"


def _answered(context: PresentationContextAC) -> Iterator[str]:
    yield f"  Context ID:        {context.context_id} ({_RESULTS.get(context.result, context.result)})"
    if context.result == 0:
        yield f"    Accepted Transfer Syntax: {_name(context.transfer_syntax)}"


def _user_lines(user: UserInformation, verb: str) -> Iterator[str]:
    window = user.asynchronous_operations_window
    if window is not None:
        yield f"{verb} Asynchronous Operations Window: {window.max_invoked}, {window.max_performed}"
    yield f"{verb} Extended Negotiation: {'' if user.extended_negotiations else 'none'}".rstrip()
    for each in user.extended_negotiations:
        yield f"  {_name(each.sop_class_uid)}: {each.application_information.hex(' ')}"
    yield _identity_line(user, verb)


def _identity_line(user: UserInformation, verb: str) -> str:
    identity = user.user_identity
    if isinstance(identity, UserIdentityRQ):
        kind = _IDENTITIES.get(identity.identity_type, f"type {identity.identity_type}")
        confirm = ", positive response requested" if identity.positive_response_requested else ""
        return f"Requested User Identity Negotiation: {kind}, not shown{confirm}"
    if identity is not None:
        return f"User Identity Negotiation Response: {len(identity.server_response)} bytes, not shown"
    if verb == "Requested":
        return "Requested User Identity Negotiation: none"
    return "User Identity Negotiation Response: none"


def _safe(text: str) -> str:
    """What a peer has sent, on one line and without control characters."""
    return text if text.isprintable() else repr(text)


def _name(uid: str) -> str:
    name = dcmtk_name_of(uid)
    return uid if name == uid else f"={name}"
