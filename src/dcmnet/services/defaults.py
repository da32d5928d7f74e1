"""What is proposed and accepted when the user does not say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from dcmnet import arguments
from dcmnet.acse import AcceptorRole, ProposedContext, RequestorPolicy, SupportedContext, several_contexts
from dcmnet.registry.sop_classes import STORAGE, VERIFICATION
from dcmnet.registry.transfer_syntaxes import ALL, EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from dcmnet.ul.items import SOPClassExtendedNegotiation

if TYPE_CHECKING:
    from dcmnet.limits import Limits, Timeouts
    from dcmnet.tls import TLS
    from dcmnet.ul.items import UserIdentityRQ

LITTLE_ENDIAN = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)

DEFAULT_CONTEXTS = (ProposedContext(abstract_syntax=VERIFICATION, transfer_syntaxes=LITTLE_ENDIAN),)
"""Proposed by `connect` without contexts."""

VERIFICATION_CONTEXT = SupportedContext(abstract_syntax=VERIFICATION, transfer_syntaxes=LITTLE_ENDIAN)


def storage_contexts(
    transfer_syntaxes: str | Iterable[str] = ALL,
    sop_classes: str | Iterable[str] = tuple(STORAGE),
    *,
    role: AcceptorRole = AcceptorRole.DEFAULT,
) -> tuple[SupportedContext, ...]:
    """Supported contexts for an SCP of storage classes: every class with the same transfer syntaxes.

    A data set is stored as it comes, so every transfer syntax will do that can be stored. For a C-GET the
    requestor needs the role of SCP.
    """
    syntaxes = arguments.strings(transfer_syntaxes, "transfer_syntaxes")
    uids = arguments.strings(sop_classes, "sop_classes")
    return tuple(SupportedContext(abstract_syntax=uid, transfer_syntaxes=syntaxes, role=role) for uid in uids)


def check_connection(
    host: str,
    port: int,
    timeouts: Timeouts | None,
    limits: Limits | None,
    tls: TLS | None,
    *,
    family: int = 0,
    strict_release: bool = False,
) -> None:
    """Raise for arguments of `connect` that cannot be.

    Raises:
        TypeError: One has another type.
        ValueError: There is no such port.
    """
    arguments.text(host, "host")
    arguments.port(port)
    arguments.check_type(timeouts, "timeouts", "Timeouts | None")
    arguments.check_type(limits, "limits", "Limits | None")
    arguments.check_type(tls, "tls", "TLS | None")
    arguments.whole_number(family, "family")
    arguments.check_type(strict_release, "strict_release", "bool")


def requestor_policy(
    policy: RequestorPolicy | None,
    *,
    called: str,
    calling: str,
    contexts: Iterable[ProposedContext | str] | None,
    max_pdu_length: int,
    user_identity: UserIdentityRQ | None,
    extended: Iterable[SOPClassExtendedNegotiation],
) -> RequestorPolicy:
    """What `connect` asks for: the policy, or one that is made of its other arguments.

    Raises:
        TypeError: An argument has another type.
        ValueError: Both `policy` and `contexts` are given, an AE title is none, or a number is out of range.
    """
    if policy is not None:
        if contexts is not None:
            raise ValueError("contexts are part of the policy: give one of the two")
        arguments.check_type(policy, "policy", "RequestorPolicy | None")
        return policy
    return RequestorPolicy(
        called_ae_title=arguments.ae_title(called, "called"),
        calling_ae_title=arguments.ae_title(calling, "calling"),
        contexts=DEFAULT_CONTEXTS if contexts is None else several_contexts(contexts, ProposedContext),
        max_pdu_length=max_pdu_length,
        user_identity=user_identity,
        extended_negotiations=arguments.several(extended, "extended", SOPClassExtendedNegotiation),
    )
