"""The normalized services on both faces, as SCU and as SCP."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pydicom
import pytest

import dcmnet
from dcmnet.errors import (
    AssociationReleased,
    InputFileError,
    LocalProtocolError,
    NoPresentationContext,
    RemoteProtocolError,
    StatusError,
)
from dcmnet.limits import MAX_KEPT_REPORTS
from dcmnet.registry.sop_classes import (
    BASIC_FILM_SESSION,
    BASIC_GRAYSCALE_PRINT_MANAGEMENT_META,
    MODALITY_PERFORMED_PROCEDURE_STEP,
    PRINTER,
    PRINTER_INSTANCE,
    STORAGE_COMMITMENT_PUSH_MODEL,
    STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE,
    VERIFICATION,
)
from dcmnet.registry.transfer_syntaxes import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from dcmnet.storage.node import Handlers
from dcmnet.storage.performing import OperationRequest
from tests.faces.adapters import Association, Face, running
from tests.faces.wire import DEADLINE

MPPS, COMMITMENT = MODALITY_PERFORMED_PROCEDURE_STEP, STORAGE_COMMITMENT_PUSH_MODEL
SYNTAXES = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
STATUS = {"PrinterStatus": "NORMAL", "PrinterName": "LÄSER", "Manufacturer": "X"}


def proposed(*uids: str, scp: bool = False) -> tuple[dcmnet.ProposedContext, ...]:
    return tuple(
        dcmnet.ProposedContext(abstract_syntax=uid, transfer_syntaxes=SYNTAXES, scp_role=scp or None)
        for uid in uids
    )


@contextmanager
def associated(face: Face, server: Handlers, *uids: str, **options: Any) -> Iterator[Association]:
    """An association of the face with a server of the face."""
    options.setdefault("contexts", proposed(*uids))
    with running(face, server, DEADLINE) as started, face.connect(started.port, **options) as association:
        yield association


def data_set_of(values: dict[str, Any]) -> Any:
    data_set = pydicom.Dataset()
    for keyword, value in values.items():
        setattr(data_set, keyword, value)
    data_set.SpecificCharacterSet = "ISO_IR 100"
    return data_set


def function(request: OperationRequest) -> Any:
    return STATUS


def with_status(request: OperationRequest) -> Any:
    return 0x0107, data_set_of(STATUS)


async def coroutine(request: OperationRequest) -> Any:
    await asyncio.sleep(0)
    return data_set_of(STATUS)


@pytest.mark.parametrize("handler", [function, with_status, coroutine], ids=lambda each: each.__name__)
def test_get(face: Face, handler: Callable[..., Any]) -> None:
    server, seen = face.new_server("PRINTER"), []

    def looked_at(request: OperationRequest) -> Any:
        seen.append(request)
        return handler(request)

    server.on_n_get(PRINTER)(looked_at)
    with associated(face, server, PRINTER, calling="CONSOLE") as association:
        every = association.n_get(PRINTER, PRINTER_INSTANCE)
        some = association.n_get(PRINTER, PRINTER_INSTANCE, ["PrinterName", "2110,0010", 0x00080070])
        one = association.n_get(PRINTER, PRINTER_INSTANCE, "PrinterStatus")
    assert every.raise_for_status().status == (0x0107 if handler is with_status else 0)
    assert {each.keyword for each in every.data_set} - {"SpecificCharacterSet"} == set(STATUS)
    assert every.data_set.PrinterName == "LÄSER"
    assert every.data_set is every.data_set
    assert every.sop_instance_uid == PRINTER_INSTANCE
    assert every.data and "LÄSER" not in repr(every)
    assert some.data_set == every.data_set
    assert one.data_set.get("PrinterStatus") == "NORMAL" and "PrinterName" not in one.data_set
    first, second, _ = seen
    assert (first.sop_class_uid, first.sop_instance_uid, first.attributes) == (PRINTER, PRINTER_INSTANCE, ())
    assert second.attributes == (0x21100030, 0x21100010, 0x00080070)
    assert (first.calling_ae_title, first.called_ae_title) == ("CONSOLE", "ANY-SCP")
    assert (first.data, first.data_set, first.action_type_id, first.event_type_id) == (b"", None, None, None)
    assert first.peer.startswith("127.0.0.1:") and first.state is second.state


def mpps_server(face: Face) -> tuple[Handlers, dict[str, Any]]:
    """A server that keeps procedure steps."""
    server, steps = face.new_server("RIS"), dict[str, Any]()

    @server.on_n_create(MPPS)
    def create(request: OperationRequest) -> Any:
        if request.sop_instance_uid in steps:
            raise StatusError("there already", status=0x0111, comment="duplicate")
        steps[request.sop_instance_uid] = request.data_set
        return None

    @server.on_n_set(MPPS)
    async def change(request: OperationRequest) -> Any:
        if request.sop_instance_uid not in steps:
            return 0x0112
        steps[request.sop_instance_uid].update(request.data_set)
        return {"PerformedProcedureStepStatus": "COMPLETED"}

    @server.on_n_delete(MPPS)
    def delete(request: OperationRequest) -> Any:
        del steps[request.sop_instance_uid]

    return server, steps


def test_create_set_and_delete(face: Face) -> None:
    server, steps = mpps_server(face)
    with associated(face, server, MPPS) as association:
        started = {"PerformedProcedureStepStatus": "IN PROGRESS", "PatientName": "DOE^JANE"}
        created = association.n_create(MPPS, started, "1.2.3").raise_for_status()
        again = association.n_create(MPPS, started, "1.2.3")
        named = association.n_create(MPPS)
        changed = association.n_set(MPPS, "1.2.3", data_set_of({"PerformedProcedureStepStatus": "COMPLETED"}))
        unknown = association.n_set(MPPS, "1.2.4", changed.data)
        deleted = association.n_delete(MPPS, named.sop_instance_uid)
    assert (created.status, created.sop_instance_uid, created.data_set) == (0, "1.2.3", None)
    assert (again.status, again.response.error_comment) == (0x0111, "duplicate")
    with pytest.raises(StatusError, match=r"0x0111 \(Duplicate SOP Instance\): duplicate"):
        again.raise_for_status()
    assert named.sop_instance_uid.startswith("2.25.")
    assert changed.data_set.PerformedProcedureStepStatus == "COMPLETED"
    assert (unknown.status, deleted.status) == (0x0112, 0)
    assert set(steps) == {"1.2.3"}
    assert steps["1.2.3"].PerformedProcedureStepStatus == "COMPLETED"
    assert steps["1.2.3"].PatientName == "DOE^JANE"


@pytest.mark.parametrize(
    ("outcome", "why"),
    [
        (ZeroDivisionError(), "ZeroDivisionError"),
        ([1], "returned a list"),
        ({"NoKeyword": ""}, "no attribute is called"),
        (0x99999, "status (0000,0900) cannot be"),
        ((0, {"PrinterName": "A"}, 1), "too many values"),
    ],
    ids=["raises", "a list", "no data set", "no status", "three things"],
)
def test_a_handler_that_fails(face: Face, caplog: pytest.LogCaptureFixture, outcome: Any, why: str) -> None:
    server = face.new_server()

    @server.on_n_get(PRINTER)
    def get(request: OperationRequest) -> Any:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    with caplog.at_level(logging.ERROR, "dcmnet"), associated(face, server, PRINTER) as association:
        result = association.n_get(PRINTER, PRINTER_INSTANCE)
        assert association.is_established
    assert (result.status, result.response.error_comment) == (0x0110, "the handler failed")
    assert "the handler of a normalized service failed" in caplog.text and why in caplog.text


@pytest.mark.parametrize(
    ("act", "why"),
    [
        (lambda request: setattr(request, "sop_instance_uid", "no UID"), "'no UID'"),
        (lambda request: request.report_event(0x10000), "event_type_id"),
        (lambda request: request.report_event(1, sop_instance_uid="no UID"), "'no UID'"),
    ],
    ids=["instance", "event type", "instance of an event"],
)
def test_what_cannot_be_sent_is_the_handlers_mistake(
    face: Face, caplog: pytest.LogCaptureFixture, act: Callable[[OperationRequest], None], why: str
) -> None:
    server = face.new_server()
    server.on_n_create(MPPS)(act)
    with caplog.at_level(logging.ERROR, "dcmnet"), associated(face, server, MPPS) as association:
        assert association.n_create(MPPS).status == 0x0110
        assert association.is_established
    assert why in caplog.text


def test_a_delete_is_answered_without_a_data_set(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    server = face.new_server()
    server.on_n_delete(PRINTER)(function)
    with caplog.at_level(logging.ERROR, "dcmnet"), associated(face, server, PRINTER) as association:
        assert association.n_delete(PRINTER, "1.2.3").status == 0x0110
    assert "N-DELETE-RSP has no data set" in caplog.text


def test_a_data_set_that_cannot_be_read(face: Face) -> None:
    server, _ = mpps_server(face)
    with associated(face, server, MPPS) as association:
        result = association.n_create(MPPS, b"\x08\x00\x20")
    assert result.status == 0x0110
    assert "truncated" in result.response.error_comment or "cannot be read" in result.response.error_comment


def test_what_there_is_no_handler_for(face: Face) -> None:
    server = face.new_server()
    server.on_n_get(PRINTER)(function)
    server.on_n_delete(MPPS)(lambda request: None)
    with associated(face, server, PRINTER, MPPS) as association:
        assert association.n_set(PRINTER, "1.2.3", {"PrinterName": "A"}).status == 0x0211
        assert association.n_delete(PRINTER, "1.2.3").status == 0x0211
        assert association.n_delete("1.2.3.4", "1.2.3", negotiated_as=PRINTER).status == 0x0118
        assert association.n_get(PRINTER, "1.2.3", negotiated_as=MPPS).status == 0x0118
        with pytest.raises(NoPresentationContext):
            association.n_get(BASIC_FILM_SESSION, "1.2.3")
        assert association.is_established


def test_a_decorator_without_its_class(face: Face) -> None:
    server: Any = face.new_server()
    with pytest.raises(TypeError, match=r"@server.on_n_event_report\("):
        server.on_n_event_report(function)


def test_an_event_amid_an_echo(face: Face) -> None:
    with associated(face, committing(face), COMMITMENT, VERIFICATION) as association:
        association.n_action(COMMITMENT, "1.2.3", 1, COMMITTED)
        assert association.echo().status == 0
        assert [association.next_event(DEADLINE).event_type_id for _ in range(2)] == [1, 2]


def test_a_meta_class(face: Face) -> None:
    server = face.new_server()
    meta = BASIC_GRAYSCALE_PRINT_MANAGEMENT_META
    server.on_n_get(PRINTER, negotiated_as=meta)(function)
    server.on_n_create(BASIC_FILM_SESSION, negotiated_as=[meta])(lambda request: None)
    with associated(face, server, meta) as association:
        result = association.n_get(PRINTER, PRINTER_INSTANCE, ["PrinterName"], negotiated_as=meta)
        created = association.n_create(BASIC_FILM_SESSION, negotiated_as=meta)
    assert result.data_set.PrinterName == "LÄSER"
    assert created.status == 0 and created.sop_instance_uid


def test_bad_arguments_leave_the_association_as_it_was(face: Face) -> None:
    server, _ = mpps_server(face)
    with associated(face, server, MPPS) as association:
        with pytest.raises(InputFileError, match="did you mean PatientName"):
            association.n_create(MPPS, {"PatientNam": "A"})
        with pytest.raises(InputFileError, match="no attribute is called"):
            association.n_get(MPPS, "1.2.3", ["Nothing"])
        with pytest.raises(LocalProtocolError):
            association.n_delete(MPPS, "not a UID, and much longer than one may be" * 9)
        with pytest.raises(NoPresentationContext, match="SCP"):
            association.n_event_report(MPPS, "1.2.3", 1)
        assert association.n_create(MPPS, {}).status == 0


def test_a_response_longer_than_the_limit(face: Face) -> None:
    server = face.new_server()
    server.on_n_get(PRINTER)(lambda request: {"PrinterName": "X" * 60})
    limits = dcmnet.Limits(max_identifier_length=40)
    with (
        associated(face, server, PRINTER, limits=limits) as association,
        pytest.raises(RemoteProtocolError, match="max_identifier_length"),
    ):
        association.n_get(PRINTER, PRINTER_INSTANCE)


# ---------------------------------------------------------------------- events


COMMITTED = {"TransactionUID": "1.2.9", "ReferencedSOPSequence": {"ReferencedSOPInstanceUID": "1.2.3"}}


def committing(face: Face) -> Handlers:
    """A server that answers a storage commitment request on the same association."""
    server = face.new_server("ARCHIVE")

    @server.on_n_action(COMMITMENT)
    def commit(request: OperationRequest) -> None:
        assert request.action_type_id == 1
        request.report_event(1, request.data_set)
        request.report_event(2, sop_instance_uid="1.2.3")

    return server


def test_events_on_the_same_association(face: Face) -> None:
    with associated(face, committing(face), COMMITMENT, VERIFICATION) as association:
        result = association.n_action(COMMITMENT, STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE, 1, COMMITTED)
        assert (result.status, result.data_set) == (0, None)
        first, second = association.next_event(DEADLINE), association.next_event(DEADLINE)
        assert association.next_event(0.01) is None
        assert association.echo().status == 0
    assert first.sop_instance_uid == STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE
    assert (first.sop_class_uid, first.event_type_id) == (COMMITMENT, 1)
    assert first.data_set.TransactionUID == "1.2.9" and "1.2.9" not in repr(first)
    assert (second.sop_instance_uid, second.event_type_id, second.data_set) == ("1.2.3", 2, None)


def test_waiting_for_events_ends_with_the_association(face: Face) -> None:
    server = face.new_server(timeouts=dcmnet.Timeouts(network=0.2))
    server.on_n_action(COMMITMENT)(lambda request: None)
    with running(face, server) as started:
        association = face.connect(started.port, contexts=proposed(COMMITMENT))
        with pytest.raises((dcmnet.AssociationAborted, AssociationReleased)):
            association.next_event()
        association.release()


def test_an_event_on_an_association_of_its_own(face: Face) -> None:
    server, seen, told = face.new_server("MODALITY"), [], threading.Event()

    @server.on_n_event_report(COMMITMENT)
    def committed(request: OperationRequest) -> Any:
        with pytest.raises(LocalProtocolError, match="SCP"):
            request.report_event(1)
        assert request.data_set is not None
        seen.append((request.event_type_id, request.data_set.TransactionUID))
        told.set()
        return None

    with associated(face, server, contexts=proposed(COMMITMENT, scp=True)) as association:
        result = association.n_event_report(COMMITMENT, STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE, 1, COMMITTED)
        assert association.n_event_report(COMMITMENT, "1.2.3", 1, b"bad").status == 0x0110
    assert result.status == 0
    assert told.wait(DEADLINE)
    assert seen == [(1, "1.2.9")]


def test_one_class_in_both_roles(face: Face) -> None:
    server = committing(face)
    server.on_n_event_report(COMMITMENT)(lambda request: 0x0000)
    both = (
        dcmnet.ProposedContext(
            abstract_syntax=COMMITMENT, transfer_syntaxes=SYNTAXES, scu_role=True, scp_role=True
        ),
    )
    with associated(face, server, contexts=both) as association:
        assert association.n_event_report(COMMITMENT, "1.2.3", 1).status == 0
        assert association.n_action(COMMITMENT, "1.2.3", 1, COMMITTED).status == 0
        assert association.next_event(DEADLINE).event_type_id == 1


def test_an_event_that_the_peer_refuses_is_logged(face: Face, caplog: pytest.LogCaptureFixture) -> None:
    server = committing(face)
    with caplog.at_level(logging.ERROR, "dcmnet"), associated(face, server, COMMITMENT) as association:
        for _ in range(2 * MAX_KEPT_REPORTS + 2):  # nobody takes the events
            association.n_action(COMMITMENT, "1.2.3", 1, COMMITTED)
    assert "an event report was answered with 0x0213" in caplog.text
