"""The Storage SCU: a list of objects, the associations they need, and what came of each (PS3.4 Annex B)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from dcmnet.acse import RequestorPolicy, build_request
from dcmnet.dimse.messages import CStoreRSP, Priority
from dcmnet.errors import AssociationError, DcmnetError, DeadlineExceeded, InputFileError, ProtocolError
from dcmnet.limits import DEFAULT_MAX_PDU_LENGTH, Limits, Timeouts
from dcmnet.procedures import association, scu
from dcmnet.procedures.association import HARMLESS, AssociationCore, new_core
from dcmnet.procedures.effects import Call, Next, Procedure, Spawn
from dcmnet.storage.planning import Plan, Proposal, choose_context, plan
from dcmnet.storage.report import Report, StoreResult
from dcmnet.storage.sources import Instance, OpenDataSet, Source, describe, find_files, open_data_set
from dcmnet.ul.items import UserIdentityRQ
from dcmnet.ul.provider import Trace


@dataclass(slots=True, kw_only=True)
class Transfer:
    """Everything that one transfer needs to know; made by the faces' `StorageSCU`.

    Attributes:
        host: Name or address of the peer.
        port: TCP port.
        called: The peer's AE title.
        calling: This side's AE title.
        sources: What to send.
        proposal: How transfer syntaxes are proposed.
        max_pdu_length: Longest P-DATA-TF this side takes, in bytes.
        max_send_pdu_length: Longest P-DATA-TF this side sends, in bytes; 0 for what the peer takes.
        user_identity: Who is calling.
        timeouts: Every timer.
        limits: What the peer may send.
        recurse: Whether folders are searched to the bottom.
        pattern: Shell pattern for the names of files in folders.
        bare: Whether data sets without File Meta Information will do.
        halt: Stop at the first object that is not kept.
        repeat: How often each object is sent.
        abort: End the association with an abort instead of a release, for tests of the peer.
        priority: Told to the peer.
        on_start: Called with the instances once they are known.
        on_association: Called with the core when an association is established.
        on_sending: Called with each instance before it is sent.
        on_result: Called with each result.
        family: Address family (`socket.AF_INET`, `AF_INET6`), 0 for whatever the name stands for.
        trace: Called for every PDU and transition.
    """

    host: str
    port: int
    called: str = "ANY-SCP"
    calling: str = "DCMNET"
    sources: list[Source] = field(default_factory=list)
    proposal: Proposal = field(default_factory=Proposal)
    max_pdu_length: int = DEFAULT_MAX_PDU_LENGTH
    max_send_pdu_length: int = 0
    user_identity: UserIdentityRQ | None = None
    timeouts: Timeouts = field(default_factory=Timeouts)
    limits: Limits = field(default_factory=Limits)
    recurse: bool = True
    pattern: str = ""
    bare: bool = True
    halt: bool = False
    repeat: int = 1
    abort: bool = False
    priority: Priority = Priority.MEDIUM
    on_start: Callable[[list[Instance]], Any] | None = None
    on_association: Callable[[AssociationCore], Any] | None = None
    on_sending: Callable[[Instance], Any] | None = None
    on_result: Callable[[StoreResult], Any] | None = None
    family: int = 0
    trace: Trace | None = None

    def new_core(self) -> AssociationCore:
        """A core for one of the transfer's associations."""
        return new_core(
            requestor=True,
            timeouts=self.timeouts,
            limits=self.limits,
            max_pdu_length=self.max_pdu_length,
            trace=self.trace,
        )

    def request(self, contexts: Iterable[Any]) -> RequestorPolicy:
        """What to ask the peer for."""
        return RequestorPolicy(
            called_ae_title=self.called,
            calling_ae_title=self.calling,
            contexts=tuple(contexts),
            max_pdu_length=self.max_pdu_length,
            user_identity=self.user_identity,
        )


def transfer(job: Transfer) -> Procedure[Report]:
    """Send everything, over as many associations as it needs.

    Objects that cannot be sent, or that the peer does not keep, are in the report.

    Raises:
        AssociationRejected: The peer refused the first association.
        TransportClosed: There was no connection for the first association.
        DeadlineExceeded: The peer did not answer to it.
    """
    report = Report()
    instances = yield from _describe_all(job, report)
    if job.on_start is not None:
        yield Call(job.on_start, (instances,))
    for step in plan(instances, job.proposal):
        if job.halt and report.failed:
            yield from _give_up(
                job,
                report,
                step.instances,
                DcmnetError("not sent: the transfer stopped at the first object that was not stored"),
            )
            continue
        core = job.new_core()
        try:
            yield Spawn(core, _send_plan(core, step, job, report))
        except (AssociationError, DeadlineExceeded, ProtocolError) as error:
            if report.associations == 0:
                raise
            yield from _give_up(job, report, step.instances, error)
    return report


def store_source(
    core: AssociationCore, source: Source, priority: Priority = Priority.MEDIUM
) -> Procedure[CStoreRSP]:
    """C-STORE of one source on an association that is there (PS3.7 9.1.1)."""
    instance: Instance = yield Call(describe, (source,))
    context = choose_context(core.agreed, instance)
    opened: OpenDataSet = yield Call(open_data_set, (instance, context.transfer_syntax))
    try:
        return (
            yield from scu.store(core, context, instance.sop_instance_uid, opened.payload, priority=priority)
        )
    finally:
        opened.close()


def _describe_all(job: Transfer, report: Report) -> Procedure[list[Instance]]:
    found = find_files(job.sources, recurse=job.recurse, pattern=job.pattern)
    instances: list[Instance] = []
    while (item := (yield Next(found))) is not None:
        source, in_folder = item
        try:
            instances.append((yield Call(_describe, (source, job.bare))))
        except InputFileError as error:
            if in_folder:
                report.skipped.append((error.name, str(error)))
            else:
                yield from _record(job, report, StoreResult(name=error.name, error=error))
    return instances


def _describe(source: Source, bare: bool) -> Instance:
    return describe(source, bare=bare)


def _send_plan(core: AssociationCore, step: Plan, job: Transfer, report: Report) -> Procedure[None]:
    yield from association.establish(core, job.host, job.port, build_request(job.request(step.contexts)))
    report.associations += 1
    if job.max_send_pdu_length:
        core.limit_sending(job.max_send_pdu_length)
    if job.on_association is not None:
        yield Call(job.on_association, (core,))
    pending = [instance for instance in step.instances for _ in range(job.repeat)]
    end: DcmnetError | None = None
    for done, instance in enumerate(pending, 1):
        result = yield from _send_one(core, instance, job, report.associations)
        yield from _record(job, report, result)
        if not core.upper_layer.established:
            end = result.error
        elif job.halt and not result.ok:
            end = DcmnetError(f"not sent: the transfer stopped when {result.name} was not stored")
        if end is not None:
            yield from _give_up(job, report, pending[done:], end)
            break
    if core.upper_layer.established:
        yield from association.abort(core) if job.abort else association.release(core)


def _send_one(
    core: AssociationCore, instance: Instance, job: Transfer, number: int
) -> Procedure[StoreResult]:
    result = _result_of(instance)
    if job.on_sending is not None:
        yield Call(job.on_sending, (instance,))
    try:
        context = choose_context(core.agreed, instance)
        opened: OpenDataSet = yield Call(open_data_set, (instance, context.transfer_syntax))
        try:
            size = len(opened.payload)
            uid = instance.sop_instance_uid
            response = yield from scu.store(core, context, uid, opened.payload, priority=job.priority)
        finally:
            opened.close()
    except (*HARMLESS, AssociationError, DeadlineExceeded, ProtocolError) as error:
        return replace(result, error=error, association=number)
    return replace(
        result,
        transfer_syntax=context.transfer_syntax,
        size=size,
        association=number,
        status=response.status,
        comment=response.error_comment,
    )


def _give_up(
    job: Transfer, report: Report, instances: Iterable[Instance], error: DcmnetError
) -> Procedure[None]:
    for instance in instances:
        yield from _record(job, report, replace(_result_of(instance), error=error))


def _record(job: Transfer, report: Report, result: StoreResult) -> Procedure[None]:
    report.results.append(result)
    if job.on_result is not None:
        yield Call(job.on_result, (result,))


def _result_of(instance: Instance) -> StoreResult:
    return StoreResult(
        name=instance.name,
        sop_class_uid=instance.sop_class_uid,
        sop_instance_uid=instance.sop_instance_uid,
    )
