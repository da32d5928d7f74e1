"""The exceptions: what they carry, and what they say to people."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from dcmnet import errors
from dcmnet.errors import (
    AssociationAborted,
    AssociationError,
    AssociationRejected,
    DcmnetError,
    DeadlineExceeded,
    InputFileError,
    LocalProtocolError,
    NoPresentationContext,
    ProtocolError,
    RemoteProtocolError,
    StatusError,
    TransportClosed,
    abort_text,
    reject_texts,
)

PRESENTATION = "service-provider (Presentation related function)"


def test_the_docstring_draws_every_exception() -> None:
    drawn = errors.__doc__ or ""
    classes = [
        each for _, each in inspect.getmembers(errors, inspect.isclass) if each.__module__ == "dcmnet.errors"
    ]
    assert len(classes) == 17
    for each in classes:
        assert issubclass(each, DcmnetError)
        assert each.__name__ in drawn


def test_a_local_error_maps_to_an_abort_by_the_user() -> None:
    error = LocalProtocolError("no")
    assert isinstance(error, ProtocolError)
    assert (str(error), error.source, error.reason) == ("no", 0, 0)


def test_a_remote_error_maps_to_an_invalid_parameter_value() -> None:
    assert (RemoteProtocolError("no").source, RemoteProtocolError("no").reason) == (2, 6)
    error = RemoteProtocolError("no", source=0, reason=0)
    assert (error.source, error.reason) == (0, 0)


@pytest.mark.parametrize(
    ("numbers", "texts"),
    [
        ((1, 1, 7), ("rejected-permanent", "service-user", "called-AE-title-not-recognized")),
        (
            (2, 3, 2),
            (
                "rejected-transient",
                PRESENTATION,
                "local-limit-exceeded",
            ),
        ),
        (
            (1, 3, 7),
            ("rejected-permanent", PRESENTATION, "reserved reason 7"),
        ),
        ((9, 8, 7), ("result 9", "source 8", "reserved reason 7")),
    ],
)
def test_a_rejection_in_words(numbers: tuple[int, int, int], texts: tuple[str, str, str]) -> None:
    assert reject_texts(*numbers) == texts
    error = AssociationRejected(*numbers)
    assert (error.result, error.source, error.reason) == numbers
    assert error.describe() == ", ".join(texts)
    assert str(error) == f"association rejected: {error.describe()}"


@pytest.mark.parametrize(
    ("source", "reason", "text"),
    [
        (0, 0, "service-user"),
        (0, 6, "service-user"),  # PS3.8 9.3.8: a user's reason is not significant
        (1, 2, "reserved"),
        (2, 0, "service-provider, reason-not-specified"),
        (2, 6, "service-provider, invalid-PDU-parameter-value"),
        (2, 77, "service-provider, reason 77"),
        (5, 0, "source 5"),
    ],
)
def test_an_abort_in_words(source: int, reason: int, text: str) -> None:
    assert abort_text(source, reason) == text
    assert str(AssociationAborted(source, reason)) == f"association aborted by the peer: {text}"
    local = AssociationAborted(source, reason, locally=True)
    assert str(local) == f"association aborted by this side: {text}"
    assert (local.source, local.reason, local.locally) == (source, reason, True)
    assert isinstance(local, AssociationError)


def test_a_deadline_is_a_timeout() -> None:
    error = DeadlineExceeded("ARTIM", 2.5)
    assert isinstance(error, TimeoutError)
    assert (error.timer, error.seconds, str(error)) == ("ARTIM", 2.5, "the ARTIM timer of 2.5 s ran out")
    assert str(DeadlineExceeded("minimum rate")) == "the minimum rate timer ran out"


def test_what_no_presentation_context_carries() -> None:
    error = NoPresentationContext("none", abstract_syntax="1.2", transfer_syntaxes=("1",), offered=("2",))
    assert (error.abstract_syntax, error.transfer_syntaxes, error.offered, error.accepted) == (
        "1.2",
        ("1",),
        ("2",),
        (),
    )


def test_what_the_others_carry() -> None:
    status = StatusError("refused", status=0xA700, comment="full")
    assert (str(status), status.status, status.comment) == ("refused", 0xA700, "full")
    refused = StatusError(0xA700, "full")
    assert (str(refused), refused.status, refused.comment) == ("0xA700: full", 0xA700, "full")
    assert str(StatusError(0xA700)) == str(StatusError(status=0xA700)) == "0xA700"
    assert StatusError(0xA700, comment="full").comment == "full"
    file = InputFileError("a.dcm", "is empty")
    assert (str(file), file.name, file.why) == ("a.dcm: is empty", "a.dcm", "is empty")
    assert issubclass(TransportClosed, AssociationError)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (lambda: StatusError(), TypeError),
        (lambda: StatusError("why"), TypeError),
        (lambda: StatusError(True), TypeError),
        (lambda: StatusError(0xA700, 5), TypeError),  # type: ignore[arg-type]
        (lambda: StatusError(3.7), TypeError),  # type: ignore[arg-type]
        (lambda: StatusError("why", status="A700"), TypeError),  # type: ignore[arg-type]
        (lambda: StatusError(0xA700, status=0xA700), TypeError),
        (lambda: StatusError(-1), ValueError),
        (lambda: StatusError(0x10000), ValueError),
    ],
)
def test_a_status_that_is_none(given: Callable[[], Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        given()


@pytest.mark.parametrize(
    "error",
    [
        StatusError(0xA700, "full"),
        StatusError("refused", status=0xA700, comment="full"),
        AssociationRejected(1, 1, 7),
        AssociationAborted(2, 6, locally=True),
        DeadlineExceeded("ARTIM", 2.5),
        InputFileError("a.dcm", "is empty"),
        NoPresentationContext("none", abstract_syntax="1.2", offered=("2",)),
        RemoteProtocolError("no", source=0, reason=0),
        errors.InvalidAETitle("no"),
        errors.ProfileError("no"),
        errors.TLSSettingsError("a.pem", "is empty"),
        TransportClosed("gone"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_error_can_be_pickled_and_copied(error: DcmnetError) -> None:
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(other) is type(error)
        assert (str(other), other.args, vars(other)) == (str(error), error.args, vars(error))
