"""The response to a request (PS3.7 9.1 and 10.1)."""

from __future__ import annotations

from typing import Any

from dcmnet._records import fields
from dcmnet.dimse.command import clean_error_comment
from dcmnet.dimse.messages import RESPONSE_TO, Message, Request, Response
from dcmnet.errors import LocalProtocolError


def response_to(request: Message, status: int, **more: Any) -> Response:
    """The response to a request, with its message id, SOP class and instance, event or action type.

    Args:
        request: What is answered.
        status: Status (0000,0900).
        **more: Other fields of the response; an `error_comment` may be any text, it is made to fit.

    Raises:
        LocalProtocolError: The request is a C-CANCEL-RQ or no request: nothing answers it.
    """
    if not isinstance(request, Request):
        raise LocalProtocolError(f"{request.NAME} is not answered")
    values: dict[str, Any] = {"message_id_being_responded_to": request.message_id, "status": status}
    for source, target in _REPEATED[type(request)]:
        values[target] = getattr(request, source)
    values.update(more)
    if values.get("error_comment"):
        values["error_comment"] = clean_error_comment(values["error_comment"])
    return RESPONSE_TO[type(request)](**values)


def _names_of(message: type[Message]) -> set[str]:
    return {each.name for each in fields(message)}


# PS3.7 9.1, 10.1: what a response repeats of its request.
_COPIED = (
    ("affected_sop_class_uid", "affected_sop_class_uid"),
    ("requested_sop_class_uid", "affected_sop_class_uid"),
    ("affected_sop_instance_uid", "affected_sop_instance_uid"),
    ("requested_sop_instance_uid", "affected_sop_instance_uid"),
    ("event_type_id", "event_type_id"),
    ("action_type_id", "action_type_id"),
)
_REPEATED: dict[type[Message], list[tuple[str, str]]] = {
    request: [
        (source, target)
        for source, target in _COPIED
        if source in _names_of(request) and target in _names_of(response)
    ]
    for request, response in RESPONSE_TO.items()
}
