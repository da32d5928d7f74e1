"""The status that the return value of a handler stands for, or the exception that it raised."""

from __future__ import annotations

from typing import Any

from dcmnet.arguments import kind_of
from dcmnet.errors import StatusError
from dcmnet.registry.statuses import PENDING, PENDING_OPTIONAL_KEYS_NOT_SUPPORTED, PROCESSING_FAILURE, SUCCESS

_LARGEST = 0xFFFF
_NOT_FINAL = (PENDING, PENDING_OPTIONAL_KEYS_NOT_SUPPORTED)

FAILED = PROCESSING_FAILURE, "the handler failed"
"""The outcome if a handler raised something unexpected, or returned what no handler may return."""


class ReturnTypeError(TypeError):
    """A handler returned, or yielded, what it may not."""


def is_status(answer: object) -> bool:
    """Whether a return value is meant to be a status: an integer, and neither True nor False."""
    return isinstance(answer, int) and not isinstance(answer, bool)


def handler_status(answer: Any) -> int:
    """The final status that a return value stands for: None is success, an integer itself.

    Raises:
        ReturnTypeError: It is something else, has more than 16 bits, or is pending.
    """
    if answer is None:
        return SUCCESS
    if not is_status(answer):
        raise ReturnTypeError(f"a handler returned {kind_of(answer)}: return None or a status")
    status = int(answer)
    if not 0 <= status <= _LARGEST:
        raise ReturnTypeError(f"status (0000,0900) cannot be {status}: a handler returns 0 to 0xFFFF")
    if status in _NOT_FINAL:
        raise ReturnTypeError(f"a handler returned 0x{status:04X}: a pending status ends nothing")
    return status


def chosen_outcome(error: BaseException) -> tuple[int, str] | None:
    """The status and comment of a StatusError that a handler raised; None for every other exception.

    Success and pending say nothing about what went wrong, and the peer must not take it for done: the
    StatusError of a transfer that sent nothing has the status 0.
    """
    if isinstance(error, StatusError) and error.status != SUCCESS and error.status not in _NOT_FINAL:
        return error.status, error.comment
    return None
