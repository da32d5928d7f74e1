"""DIMSE messages as text for people, laid out as DCMTK's tools do. What is in data sets stays out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dcmnet.dimse.codes import tag_text
from dcmnet.dimse.messages import Message, Priority
from dcmnet.registry.statuses import service_of, text_of
from dcmnet.registry.uids import dcmtk_name_of

_WIDTH = 65
_LABELS = {
    "message_id": "Message ID",
    "message_id_being_responded_to": "Message ID Being Responded To",
    "affected_sop_class_uid": "Affected SOP Class UID",
    "requested_sop_class_uid": "Requested SOP Class UID",
    "affected_sop_instance_uid": "Affected SOP Instance UID",
    "requested_sop_instance_uid": "Requested SOP Instance UID",
    "event_type_id": "Event Type ID",
    "action_type_id": "Action Type ID",
    "move_destination": "Move Destination",
    "move_originator_ae_title": "Move Originator AE Title",
    "move_originator_message_id": "Move Originator ID",
    "number_of_remaining_suboperations": "Remaining Suboperations",
    "number_of_completed_suboperations": "Completed Suboperations",
    "number_of_failed_suboperations": "Failed Suboperations",
    "number_of_warning_suboperations": "Warning Suboperations",
}


def message_lines(context_id: int, message: Message, *, sent: bool) -> Iterator[str]:
    """A message, line by line.

    Args:
        context_id: The presentation context it goes over.
        message: The message.
        sent: Whether this side sends it.
    """
    yield _ruled("OUTGOING DIMSE MESSAGE" if sent else "INCOMING DIMSE MESSAGE")
    yield _line("Message Type", _type_of(message.NAME))
    yield _line("Presentation Context ID", context_id)
    for name, label in _LABELS.items():
        value = getattr(message, name, None)
        if value not in (None, ""):
            yield _line(label, dcmtk_name_of(value) if name.endswith("class_uid") else value)
    yield _line("Data Set", "present" if message.has_data_set else "none")
    yield from _last_lines(message)
    yield _ruled("END DIMSE MESSAGE")


def _last_lines(message: Any) -> Iterator[str]:
    priority = getattr(message, "priority", None)
    if isinstance(priority, Priority):
        yield _line("Priority", priority.name.lower())
    status = getattr(message, "status", None)
    if status is not None:
        service = service_of(message.affected_sop_class_uid)
        yield _line("DIMSE Status", f"0x{status:04x}: {text_of(status, service)}")
    elements = getattr(message, "offending_element", ())
    if elements:
        yield _line("Offending Element", ", ".join(map(tag_text, elements)))
    error_id = getattr(message, "error_id", None)
    if error_id is not None:
        yield _line("Error ID", error_id)
    comment = getattr(message, "error_comment", "")
    if comment:
        yield _line("Error Comment", comment)


def _type_of(name: str) -> str:
    return " ".join(name.rsplit("-", 1))


def _ruled(text: str) -> str:
    return f" {text} ".center(_WIDTH, "=")


def _line(label: str, value: object) -> str:
    """What a peer has sent, on one line and without control characters."""
    shown = "".join(each if each.isprintable() else "?" for each in str(value))
    return f"{label:<30}: {shown}"
