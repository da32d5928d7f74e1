"""The status that a return value or an exception of a handler stands for."""

from __future__ import annotations

import enum
from typing import Any

import pytest

from dcmnet.errors import StatusError
from dcmnet.services.handler_status import ReturnTypeError, chosen_outcome, handler_status, is_status


class Status(enum.IntEnum):
    FULL = 0xA700


@pytest.mark.parametrize(
    ("answer", "status"),
    [(None, 0), (0, 0), (1, 1), (0xFEFF, 0xFEFF), (0xFE00, 0xFE00), (0xFFFF, 0xFFFF), (Status.FULL, 0xA700)],
)
def test_a_status(answer: Any, status: int) -> None:
    assert handler_status(answer) == status
    assert type(handler_status(answer)) is int
    assert is_status(answer) is (answer is not None)


@pytest.mark.parametrize(
    "answer",
    [True, False, "0000", "", 0.0, 3.7, b"", (), (0,), [], {}, object(), -1, 0x10000, 0xFF00, 0xFF01],
)
def test_what_is_none(answer: Any) -> None:
    with pytest.raises(TypeError) as caught:
        handler_status(answer)
    assert type(caught.value) is ReturnTypeError
    assert "\n" not in str(caught.value)


def test_errors_do_not_show_what_may_be_a_patients() -> None:
    with pytest.raises(TypeError, match=r"^a handler returned a str: return None or a status$"):
        handler_status("DOE^JOHN")


def test_what_an_exception_chooses() -> None:
    assert chosen_outcome(StatusError(0xA700, "full")) == (0xA700, "full")
    assert chosen_outcome(StatusError(0xFE00)) == (0xFE00, "")
    for error in (ValueError(), StatusError(0), StatusError(0xFF00), StatusError(0xFF01)):
        assert chosen_outcome(error) is None
