"""DICOM networking for Python: the Upper Layer (PS3.8), DIMSE (PS3.7) and the services above them (PS3.4).

```python
import dcmnet

with dcmnet.connect("127.0.0.1", 11112, called="ARCHIVE") as assoc:
    assoc.echo()

report = dcmnet.send("127.0.0.1", 11112, ["study/"])
```

The names here are the blocking face; `dcmnet.aio` has the same names for asyncio. They are loaded when they
are first used, so that importing dcmnet, and `dcmnet --version`, cost next to nothing.
"""

from __future__ import annotations

from dcmnet._version import __version__

TYPE_CHECKING = False  # as type checkers see it; importing `typing` would double the time that this takes
if TYPE_CHECKING:
    from typing import Any

    from dcmnet import aio
    from dcmnet.acse import (
        AcceptedContext,
        AcceptorPolicy,
        AcceptorRole,
        Negotiated,
        ProposedContext,
        RequestorPolicy,
        SupportedContext,
    )
    from dcmnet.dimse.messages import Priority, StatusClass, status_class
    from dcmnet.errors import (
        AssociationAborted,
        AssociationError,
        AssociationRejected,
        AssociationReleased,
        DcmnetError,
        DeadlineExceeded,
        InputFileError,
        LocalProtocolError,
        NoPresentationContext,
        ProtocolError,
        RemoteProtocolError,
        StatusError,
        TLSSettingsError,
        TransportClosed,
    )
    from dcmnet.limits import Limits, Timeouts, Tolerance
    from dcmnet.procedures.scp import AssociationRequest
    from dcmnet.registry.query_models import MODALITY_WORKLIST, PATIENT_ROOT, PATIENT_STUDY_ONLY, STUDY_ROOT
    from dcmnet.services.defaults import storage_contexts
    from dcmnet.services.query_contexts import QueryOptions, get_contexts, query_contexts
    from dcmnet.storage.files import Duplicates
    from dcmnet.storage.node import Hooks, Node
    from dcmnet.storage.planning import Proposal, contexts_for
    from dcmnet.storage.profiles import Profiles
    from dcmnet.storage.report import Report, StoreResult
    from dcmnet.storage.scp import FileStore, StoreRequest
    from dcmnet.sync.association import Association, connect
    from dcmnet.sync.query_retrieve import find, get, move
    from dcmnet.sync.server import Server
    from dcmnet.sync.storage import StorageSCP, StorageSCU, send
    from dcmnet.tls import TLS, TLSSession
    from dcmnet.ul.items import UserIdentityRQ

__all__ = [
    "__version__",
    "aio",
    # Associations
    "Association",
    "connect",
    "AcceptedContext",
    "Negotiated",
    "ProposedContext",
    "RequestorPolicy",
    "UserIdentityRQ",
    # Storage
    "StorageSCU",
    "send",
    "contexts_for",
    "Proposal",
    "Report",
    "StoreResult",
    "Priority",
    # Query/Retrieve
    "find",
    "get",
    "move",
    "query_contexts",
    "get_contexts",
    "QueryOptions",
    "STUDY_ROOT",
    "PATIENT_ROOT",
    "PATIENT_STUDY_ONLY",
    "MODALITY_WORKLIST",
    # Servers
    "Server",
    "StorageSCP",
    "StoreRequest",
    "AssociationRequest",
    "AcceptorPolicy",
    "AcceptorRole",
    "SupportedContext",
    "storage_contexts",
    "Duplicates",
    "FileStore",
    "Hooks",
    "Node",
    # Settings
    "Profiles",
    "Limits",
    "Timeouts",
    "TLS",
    "TLSSession",
    "Tolerance",
    # Statuses
    "StatusClass",
    "status_class",
    # Errors
    "AssociationAborted",
    "AssociationError",
    "AssociationRejected",
    "AssociationReleased",
    "DcmnetError",
    "DeadlineExceeded",
    "InputFileError",
    "LocalProtocolError",
    "NoPresentationContext",
    "ProtocolError",
    "RemoteProtocolError",
    "StatusError",
    "TLSSettingsError",
    "TransportClosed",
]

_HOMES = {
    "dcmnet.acse": (
        "AcceptedContext",
        "AcceptorPolicy",
        "AcceptorRole",
        "Negotiated",
        "ProposedContext",
        "RequestorPolicy",
        "SupportedContext",
    ),
    "dcmnet.dimse.messages": ("Priority", "StatusClass", "status_class"),
    "dcmnet.errors": (
        "AssociationAborted",
        "AssociationError",
        "AssociationRejected",
        "AssociationReleased",
        "DcmnetError",
        "DeadlineExceeded",
        "InputFileError",
        "LocalProtocolError",
        "NoPresentationContext",
        "ProtocolError",
        "RemoteProtocolError",
        "StatusError",
        "TLSSettingsError",
        "TransportClosed",
    ),
    "dcmnet.limits": ("Limits", "Timeouts", "Tolerance"),
    "dcmnet.procedures.scp": ("AssociationRequest",),
    "dcmnet.registry.query_models": ("MODALITY_WORKLIST", "PATIENT_ROOT", "PATIENT_STUDY_ONLY", "STUDY_ROOT"),
    "dcmnet.services.defaults": ("storage_contexts",),
    "dcmnet.services.query_contexts": ("QueryOptions", "get_contexts", "query_contexts"),
    "dcmnet.storage.files": ("Duplicates",),
    "dcmnet.storage.node": ("Hooks", "Node"),
    "dcmnet.storage.planning": ("Proposal", "contexts_for"),
    "dcmnet.storage.profiles": ("Profiles",),
    "dcmnet.storage.report": ("Report", "StoreResult"),
    "dcmnet.storage.scp": ("FileStore", "StoreRequest"),
    "dcmnet.sync.association": ("Association", "connect"),
    "dcmnet.sync.query_retrieve": ("find", "get", "move"),
    "dcmnet.sync.server": ("Server",),
    "dcmnet.sync.storage": ("StorageSCP", "StorageSCU", "send"),
    "dcmnet.tls": ("TLS", "TLSSession"),
    "dcmnet.ul.items": ("UserIdentityRQ",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name == "aio":
        return import_module("dcmnet.aio")
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'dcmnet' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
