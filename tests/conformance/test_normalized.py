"""The normalized services with pynetdicom as the peer, in both directions."""

from __future__ import annotations

import queue
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydicom import Dataset

import dcmnet
from dcmnet.registry.sop_classes import (
    BASIC_FILM_SESSION,
    BASIC_GRAYSCALE_PRINT_MANAGEMENT_META,
    MODALITY_PERFORMED_PROCEDURE_STEP,
    PRINTER,
    PRINTER_INSTANCE,
    STORAGE_COMMITMENT_PUSH_MODEL,
    STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE,
)
from dcmnet.registry.transfer_syntaxes import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from tests.conformance.peers import HOST, Face

with warnings.catch_warnings():
    # It asks the old interfaces of what it depends on.
    warnings.simplefilter("ignore")
    import pynetdicom
    from pynetdicom import evt

MPPS, META = MODALITY_PERFORMED_PROCEDURE_STEP, BASIC_GRAYSCALE_PRINT_MANAGEMENT_META
COMMITMENT, COMMITMENT_INSTANCE = STORAGE_COMMITMENT_PUSH_MODEL, STORAGE_COMMITMENT_PUSH_MODEL_INSTANCE
CLASSES = (MPPS, META, PRINTER, COMMITMENT)
STEP = "1.2.3.4"
SECONDS = 30.0

SYNTAXES = pytest.mark.parametrize(
    "transfer_syntax", [EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN], ids=["explicit", "implicit"]
)


def data_set(**values: Any) -> Dataset:
    made = Dataset()
    made.SpecificCharacterSet = "ISO_IR 100"
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def to_commit() -> Dataset:
    item = data_set(ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.2", ReferencedSOPInstanceUID="1.2.9")
    return data_set(TransactionUID="2.25.1", ReferencedSOPSequence=[item])


# ---------------------------------------------------------------------- ours asks


@contextmanager
def pynetdicom_scp(steps: dict[str, Dataset]) -> Iterator[int]:
    """A printer, a place for procedure steps and an archive; its port."""

    def create(event: Any) -> Any:
        uid = str(event.request.AffectedSOPInstanceUID)
        if uid in steps:
            return 0x0111, None
        steps[uid] = event.attribute_list
        return 0, None

    def change(event: Any) -> Any:
        step = steps[str(event.request.RequestedSOPInstanceUID)]
        step.update(event.modification_list)
        return 0, step

    def get(event: Any) -> Any:
        if event.request.RequestedSOPInstanceUID != PRINTER_INSTANCE:
            return 0x0112, None
        every = data_set(PrinterStatus="NORMAL", PrinterName="LÄSER")
        wanted = event.attribute_identifiers
        return 0, data_set(**{each.keyword: each.value for each in every if not wanted or each.tag in wanted})

    def delete(event: Any) -> int:
        return 0 if steps.pop(str(event.request.RequestedSOPInstanceUID), None) else 0x0112

    def act(event: Any) -> Any:
        return (0, event.action_information) if event.action_type == 1 else (0x0123, None)

    entity: Any = pynetdicom.AE(ae_title="PYNETDICOM")
    for uid in CLASSES:
        entity.add_supported_context(uid)
    handlers = [
        (evt.EVT_N_CREATE, create),
        (evt.EVT_N_SET, change),
        (evt.EVT_N_GET, get),
        (evt.EVT_N_DELETE, delete),
        (evt.EVT_N_ACTION, act),
    ]
    server = entity.start_server((HOST, 0), block=False, evt_handlers=handlers)
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()


class Caller:
    """An association of a face, whose methods are called without `await`."""

    def __init__(self, face: Face, association: Any) -> None:
        self._face, self._association = face, association

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._association, name)
        return lambda *args, **options: self._face.run(method(*args, **options))


@contextmanager
def calling(face: Face, port: int, transfer_syntax: str, **role: bool) -> Iterator[Any]:
    contexts = [
        dcmnet.ProposedContext(abstract_syntax=uid, transfer_syntaxes=(transfer_syntax,), **role)
        for uid in CLASSES
    ]

    async def connected() -> Any:
        return await dcmnet.aio.connect(HOST, port, contexts=contexts)

    found = dcmnet.connect(HOST, port, contexts=contexts) if face.loop is None else face.run(connected())
    caller = Caller(face, found)
    try:
        yield caller
    finally:
        caller.release()


@SYNTAXES
def test_procedure_step(face: Face, transfer_syntax: str) -> None:
    steps: dict[str, Dataset] = {}
    with pynetdicom_scp(steps) as port, calling(face, port, transfer_syntax) as association:
        values = {"PatientName": "Gröbe^Jürgen", "PerformedProcedureStepStatus": "IN PROGRESS"}
        assert association.n_create(MPPS, values, STEP).raise_for_status().sop_instance_uid == STEP
        assert association.n_create(MPPS, values, STEP).status == 0x0111
        changed = association.n_set(MPPS, STEP, data_set(PerformedProcedureStepStatus="COMPLETED"))
        step = steps[STEP]
        session = association.n_create(
            BASIC_FILM_SESSION, {"NumberOfCopies": "1"}, "1.2.5", negotiated_as=META
        )
        deleted = [
            association.n_delete(BASIC_FILM_SESSION, "1.2.5", negotiated_as=META).status for _ in range(2)
        ]
    assert (str(step.PatientName), step.PerformedProcedureStepStatus) == ("Gröbe^Jürgen", "COMPLETED")
    assert changed.status == 0 and changed.data_set == step
    assert (session.status, deleted, list(steps)) == (0, [0, 0x0112], [STEP])


@SYNTAXES
def test_printer(face: Face, transfer_syntax: str) -> None:
    with pynetdicom_scp({}) as port, calling(face, port, transfer_syntax) as association:
        every = association.n_get(PRINTER, PRINTER_INSTANCE).raise_for_status()
        one = association.n_get(PRINTER, PRINTER_INSTANCE, ["PrinterStatus"])
        by_meta = association.n_get(PRINTER, PRINTER_INSTANCE, negotiated_as=META)
        assert association.n_get(PRINTER, "1.2.3").status == 0x0112
    assert (every.data_set.PrinterStatus, every.data_set.PrinterName) == ("NORMAL", "LÄSER")
    assert by_meta.data_set == every.data_set
    assert "PrinterName" not in one.data_set and one.data_set.PrinterStatus == "NORMAL"


def test_action(face: Face) -> None:
    with pynetdicom_scp({}) as port, calling(face, port, IMPLICIT_VR_LITTLE_ENDIAN) as association:
        result = association.n_action(COMMITMENT, COMMITMENT_INSTANCE, 1, to_commit())
        refused = association.n_action(COMMITMENT, COMMITMENT_INSTANCE, 7)
    assert result.status == 0 and result.data_set == to_commit()
    assert refused.status == 0x0123


def test_events_of_pynetdicom_on_the_same_association(face: Face) -> None:
    answers: queue.Queue[int] = queue.Queue()

    def act(event: Any) -> Any:  # before it is answered: while our response is due
        status, _ = event.assoc.send_n_event_report(to_commit(), 1, COMMITMENT, COMMITMENT_INSTANCE)
        answers.put(status.Status)
        return 0, None

    entity: Any = pynetdicom.AE()
    entity.add_supported_context(COMMITMENT)
    server = entity.start_server((HOST, 0), block=False, evt_handlers=[(evt.EVT_N_ACTION, act)])
    try:
        port = server.socket.getsockname()[1]
        with calling(face, port, IMPLICIT_VR_LITTLE_ENDIAN) as association:
            assert association.n_action(COMMITMENT, COMMITMENT_INSTANCE, 1, to_commit()).status == 0
            event = association.next_event(SECONDS)
            assert association.next_event(0.01) is None
    finally:
        server.shutdown()
    assert answers.get(timeout=SECONDS) == 0
    assert (event.event_type_id, event.data_set) == (1, to_commit())


def test_an_event_on_an_association_of_its_own(face: Face) -> None:
    seen: queue.Queue[Any] = queue.Queue()

    def told(event: Any) -> Any:
        seen.put((event.event_type, event.event_information))
        return 0, None

    entity: Any = pynetdicom.AE()
    entity.add_supported_context(COMMITMENT, scu_role=False, scp_role=True)
    server = entity.start_server((HOST, 0), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, told)])
    try:
        port = server.socket.getsockname()[1]
        with calling(face, port, IMPLICIT_VR_LITTLE_ENDIAN, scp_role=True) as association:
            result = association.n_event_report(COMMITMENT, COMMITMENT_INSTANCE, 2, to_commit())
    finally:
        server.shutdown()
    assert result.status == 0
    assert seen.get(timeout=SECONDS) == (2, to_commit())


# ---------------------------------------------------------------------- ours serves


@contextmanager
def our_server(face: Face) -> Iterator[tuple[int, dict[str, Any]]]:
    """A printer, a place for procedure steps and an archive; its port, and the steps."""
    server, steps = face.api.Server("OURS"), dict[str, Any]()

    @server.on_n_create(MPPS)  # type: ignore[untyped-decorator]
    def create(request: Any) -> None:
        steps[request.sop_instance_uid] = request.data_set

    @server.on_n_set(MPPS)  # type: ignore[untyped-decorator]
    def change(request: Any) -> Any:
        steps[request.sop_instance_uid].update(request.data_set)
        return 0x0001, steps[request.sop_instance_uid]

    @server.on_n_delete(MPPS)  # type: ignore[untyped-decorator]
    def delete(request: Any) -> Any:
        return None if steps.pop(request.sop_instance_uid, None) else 0x0112

    @server.on_n_get(PRINTER, negotiated_as=(PRINTER, META))  # type: ignore[untyped-decorator]
    def get(request: Any) -> Any:
        return {"PrinterStatus": "NORMAL", "PrinterName": "LÄSER"}

    @server.on_n_create(BASIC_FILM_SESSION, negotiated_as=META)  # type: ignore[untyped-decorator]
    async def session(request: Any) -> Any:
        return request.data_set

    @server.on_n_action(COMMITMENT)  # type: ignore[untyped-decorator]
    def commit(request: Any) -> None:
        request.report_event(1, request.data_set)
        request.report_event(2)

    @server.on_n_event_report(COMMITMENT)  # type: ignore[untyped-decorator]
    def committed(request: Any) -> None:
        steps[request.sop_instance_uid] = request.data_set

    with face.serving(server):
        yield server.port, steps


@SYNTAXES
def test_procedure_step_of_pynetdicom(face: Face, transfer_syntax: str) -> None:
    with our_server(face) as (port, steps):
        entity: Any = pynetdicom.AE()
        entity.add_requested_context(MPPS, transfer_syntax)
        association = entity.associate(HOST, port)
        values = data_set(PatientName="Gröbe^Jürgen", PerformedProcedureStepStatus="IN PROGRESS")
        created, _ = association.send_n_create(values, MPPS, STEP)
        named, _ = association.send_n_create(values, MPPS)
        ends = data_set(PerformedProcedureStepStatus="COMPLETED")
        changed, answer = association.send_n_set(ends, MPPS, STEP)
        unknown = association.send_n_delete(MPPS, "1.2.3.5")
        step = steps[STEP]
        deleted = association.send_n_delete(MPPS, STEP)
        association.release()
    assert [each.Status for each in (created, named, changed, unknown, deleted)] == [0, 0, 1, 0x0112, 0]
    assert (str(step.PatientName), step.PerformedProcedureStepStatus) == ("Gröbe^Jürgen", "COMPLETED")
    assert answer == step
    assert [uid.startswith("2.25.") for uid in steps] == [True]


@SYNTAXES
def test_printer_for_pynetdicom(face: Face, transfer_syntax: str) -> None:
    with our_server(face) as (port, _):
        entity: Any = pynetdicom.AE()
        for uid in (PRINTER, META):
            entity.add_requested_context(uid, transfer_syntax)
        association = entity.associate(HOST, port)
        status, every = association.send_n_get([], PRINTER, PRINTER_INSTANCE)
        _, one = association.send_n_get([0x21100010], PRINTER, PRINTER_INSTANCE, meta_uid=META)
        film = data_set(NumberOfCopies="2")
        made, session = association.send_n_create(film, BASIC_FILM_SESSION, "1.2.3", meta_uid=META)
        refused, _ = association.send_n_get([], MPPS, "1.2.3", meta_uid=META)
        association.release()
    assert (status.Status, every.PrinterName, every.PrinterStatus) == (0, "LÄSER", "NORMAL")
    assert [each.keyword for each in one] == ["PrinterStatus"]
    assert (made.Status, session) == (0, film)
    assert refused.Status == 0x0211


def test_commitment_for_pynetdicom_on_the_same_association(face: Face) -> None:
    seen: queue.Queue[Any] = queue.Queue()

    def told(event: Any) -> Any:
        seen.put((event.event_type, event.event_information))
        return 0, None

    with our_server(face) as (port, _):
        entity: Any = pynetdicom.AE()
        entity.add_requested_context(COMMITMENT)
        association = entity.associate(HOST, port, evt_handlers=[(evt.EVT_N_EVENT_REPORT, told)])
        status, _ = association.send_n_action(to_commit(), 1, COMMITMENT, COMMITMENT_INSTANCE)
        events = [seen.get(timeout=SECONDS) for _ in range(2)]
        association.release()
    assert status.Status == 0
    assert events == [(1, to_commit()), (2, Dataset())]


def test_an_event_of_pynetdicom_on_an_association_of_its_own(face: Face) -> None:
    with our_server(face) as (port, seen):
        entity: Any = pynetdicom.AE()
        entity.add_requested_context(COMMITMENT)
        role = pynetdicom.build_role(COMMITMENT, scp_role=True)
        association = entity.associate(HOST, port, ext_neg=[role])
        status, _ = association.send_n_event_report(to_commit(), 1, COMMITMENT, COMMITMENT_INSTANCE)
        association.release()
        assert seen[COMMITMENT_INSTANCE] == to_commit()
    assert status.Status == 0
