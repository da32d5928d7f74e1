"""What is proposed and accepted when the user does not say."""

from __future__ import annotations

from collections.abc import Iterable

from dcmnet.acse import AcceptorRole, ProposedContext, SupportedContext
from dcmnet.registry.sop_classes import STORAGE, VERIFICATION
from dcmnet.registry.transfer_syntaxes import ALL, EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN

LITTLE_ENDIAN = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)

DEFAULT_CONTEXTS = (ProposedContext(abstract_syntax=VERIFICATION, transfer_syntaxes=LITTLE_ENDIAN),)
"""Proposed by `connect` without contexts."""

VERIFICATION_CONTEXT = SupportedContext(abstract_syntax=VERIFICATION, transfer_syntaxes=LITTLE_ENDIAN)


def storage_contexts(
    transfer_syntaxes: Iterable[str] = ALL,
    sop_classes: Iterable[str] = tuple(STORAGE),
    *,
    role: AcceptorRole = AcceptorRole.DEFAULT,
) -> tuple[SupportedContext, ...]:
    """Supported contexts for an SCP of storage classes: every class with the same transfer syntaxes.

    A data set is stored as it comes, so every transfer syntax will do that can be stored. For a C-GET the
    requestor needs the role of SCP.
    """
    syntaxes = tuple(transfer_syntaxes)
    return tuple(
        SupportedContext(abstract_syntax=uid, transfer_syntaxes=syntaxes, role=role) for uid in sop_classes
    )
