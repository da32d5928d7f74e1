"""DIMSE messages of a transfer as text for people, laid out as DCMTK's tools do."""

from __future__ import annotations

from collections.abc import Iterator

from dcmnet.acse import AcceptedContext
from dcmnet.registry.statuses import text_of
from dcmnet.registry.uids import dcmtk_name_of
from dcmnet.storage.report import StoreResult
from dcmnet.storage.sources import Instance

_WIDTH = 65


def store_request_lines(instance: Instance, context: AcceptedContext, message_id: int) -> Iterator[str]:
    """A C-STORE-RQ, before it is sent."""
    yield " OUTGOING DIMSE MESSAGE ".center(_WIDTH, "=")
    yield _line("Message Type", "C-STORE RQ")
    yield _line("Presentation Context ID", context.context_id)
    yield _line("Message ID", message_id)
    yield _line("Affected SOP Class UID", dcmtk_name_of(instance.sop_class_uid))
    yield _line("Affected SOP Instance UID", instance.sop_instance_uid)
    yield _line("Data Set", "present")
    yield " END DIMSE MESSAGE ".center(_WIDTH, "=")


def store_response_lines(result: StoreResult) -> Iterator[str]:
    """What the C-STORE-RSP for an object said."""
    assert result.status is not None
    yield " INCOMING DIMSE MESSAGE ".center(_WIDTH, "=")
    yield _line("Message Type", "C-STORE RSP")
    yield _line("Presentation Context ID", result.context_id)
    yield _line("Affected SOP Class UID", dcmtk_name_of(result.sop_class_uid))
    yield _line("Affected SOP Instance UID", result.sop_instance_uid)
    yield _line("DIMSE Status", f"0x{result.status:04x}: {text_of(result.status, 'storage')}")
    if result.comment:
        yield _line("Error Comment", result.comment)
    yield " END DIMSE MESSAGE ".center(_WIDTH, "=")


def _line(label: str, value: object) -> str:
    return f"{label:<30}: {value}"
