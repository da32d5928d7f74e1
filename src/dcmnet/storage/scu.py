"""The Storage SCU: a list of objects, the associations they need, and what came of each (PS3.4 Annex B)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from dcmnet._records import dataclass, field
from dcmnet.acse import AcceptedContext, Negotiated, ProposedContext, RequestorPolicy, build_request
from dcmnet.dimse.messages import CStoreRSP, Priority
from dcmnet.errors import (
    AssociationError,
    DcmnetError,
    DeadlineExceeded,
    InputFileError,
    LocalProtocolError,
    ProtocolError,
)
from dcmnet.limits import DEFAULT_MAX_PDU_LENGTH, Limits, Timeouts
from dcmnet.procedures import association, scu
from dcmnet.procedures.association import HARMLESS, AssociationCore, closing, new_core
from dcmnet.procedures.effects import Call, Next, Procedure, Spawn, Wait
from dcmnet.storage.inventing import Inventor
from dcmnet.storage.planning import Decompress, Proposal, choose_context, plan
from dcmnet.storage.report import Report, StoreResult
from dcmnet.storage.retrying import Backoff
from dcmnet.storage.sources import (
    DataSetOpener,
    ForeignFile,
    Instance,
    OpenDataSet,
    Source,
    describe,
    find_files,
)
from dcmnet.ul.items import UserIdentityRQ
from dcmnet.ul.provider import Trace

if TYPE_CHECKING:
    from dcmnet.tls import TLS

T = TypeVar("T")


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
        tls: How TLS is used; None for plain TCP.
        recurse: Whether folders are searched to the bottom.
        pattern: Shell pattern for the names of files in folders.
        meta: Whether files with File Meta Information will do.
        bare: Whether data sets without File Meta Information will do.
        dicomdir: Whether sources are DICOMDIR files, or folders with one, that say what to send.
        uid_checks: Whether objects with UIDs that are none, or of no storage SOP class, are refused.
        former: What a former transfer has stored already, by its report: asked about each instance, the
            result of that transfer, or None to send it.
        inventor: Makes up UIDs, patients and studies for every object that is sent; None leaves them.
        single_association: Raise rather than use several associations because of many contexts.
        check_first: Send nothing when there is a source that cannot be sent.
        halt: Stop at the first object that is not kept; implies `check_first`.
        repeat: How often each object is sent.
        abort: End the association with an abort instead of a release, for tests of the peer.
        priority: Told to the peer.
        retries: How often in a row, without an object answered for meanwhile, to go on over another
            association when one is lost or cannot be had; what was not answered for is sent again.
        retry_wait: Seconds before the first of these attempts; each next one waits twice as long.
        rate: Bytes a second that all associations together send at most; 0 for no limit.
        on_start: Called with the instances once they are known.
        on_association: Called with the core when an association is established.
        on_skipped: Called with the name of each file that is passed over, and why.
        on_sending: Called with each instance before it is sent.
        on_request: Called with the instance, the context it goes out on and the Message ID, right before.
        on_result: Called with each result.
        on_retry: Called with the error, and the seconds until it is tried again.
        on_end: Called with the core before an association is released or aborted.
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
    tls: TLS | None = None
    recurse: bool = True
    pattern: str = ""
    meta: bool = True
    bare: bool = True
    dicomdir: bool = False
    uid_checks: bool = True
    former: Callable[[Instance], StoreResult | None] | None = None
    inventor: Inventor | None = None
    single_association: bool = False
    check_first: bool = False
    halt: bool = False
    repeat: int = 1
    abort: bool = False
    priority: Priority = Priority.MEDIUM
    retries: int = 0
    retry_wait: float = 1.0
    rate: int = 0
    on_start: Callable[[list[Instance]], Any] | None = None
    on_association: Callable[[AssociationCore], Any] | None = None
    on_skipped: Callable[[str, str], Any] | None = None
    on_sending: Callable[[Instance], Any] | None = None
    on_request: Callable[[Instance, AcceptedContext, int], Any] | None = None
    on_result: Callable[[StoreResult], Any] | None = None
    on_retry: Callable[[DcmnetError, float], Any] | None = None
    on_end: Callable[[AssociationCore], Any] | None = None
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

    def invented(self, instance: Instance) -> Instance:
        """The instance as it is to be sent."""
        return instance if self.inventor is None else self.inventor.invent(instance)

    def request(self, contexts: Iterable[Any]) -> RequestorPolicy:
        """What to ask the peer for."""
        return RequestorPolicy(
            called_ae_title=self.called,
            calling_ae_title=self.calling,
            contexts=tuple(contexts),
            max_pdu_length=self.max_pdu_length,
            user_identity=self.user_identity,
            extended_negotiations=self.proposal.extended_negotiations,
        )


def transfer(job: Transfer) -> Procedure[Report]:
    """Send everything, over as many associations as it needs.

    Objects that cannot be sent, or that the peer does not keep, are in the report.

    Where a file fails in the middle of its message the association has to end; the rest goes over another.

    Raises:
        LocalProtocolError: What is to be asked for cannot be: an AE title is none, for example.
        AssociationRejected: The peer refused the first association.
        TransportClosed: There was no connection for the first association.
        DeadlineExceeded: The peer did not answer to it.
    """
    report = Report()
    instances = yield from _describe_all(job, report)
    if job.on_start is not None:
        yield Call(job.on_start, (instances,))
    plans = plan(instances, job.proposal)
    if job.single_association and len(plans) > 1:
        count = sum(len(step.contexts) for step in plans)
        raise LocalProtocolError(f"{count} presentation contexts are needed: too many for one association")
    for step in plans:
        pending = deque(job.invented(instance) for instance in step.instances for _ in range(job.repeat))
        yield from _transfer_step(job, report, step.contexts, pending)
    return report


def _transfer_step(
    job: Transfer, report: Report, contexts: list[ProposedContext], pending: deque[Instance]
) -> Procedure[None]:
    """Send what is pending, over other associations when one is lost."""
    backoff = Backoff(job.retries, job.retry_wait)
    while pending:
        if report.failed and (job.halt or (job.check_first and report.associations == 0)):
            why = "not sent: the transfer stopped at the first object that was not stored"
            yield from _give_up(job, report, pending, DcmnetError(why))
            return
        answered = len(report.results)
        lost = yield from _transfer_over_one(job, contexts, pending, report)
        if lost is None:
            continue
        seconds = backoff.lost(lost.error, progress=len(report.results) > answered)
        if seconds is None:
            if report.associations == 0:
                raise lost.error
            yield from _give_up(job, report, pending, lost.error, lost.unanswered)
        else:
            if job.on_retry is not None:
                yield Call(job.on_retry, (lost.error, seconds))
            yield Wait(seconds)


class _Lost(NamedTuple):
    """An association ended before its time.

    Attributes:
        error: Why.
        unanswered: How many of what is pending now, from the front, had been sent over it.
    """

    error: DcmnetError
    unanswered: int = 0


def _transfer_over_one(
    job: Transfer, contexts: list[ProposedContext], pending: deque[Instance], report: Report
) -> Procedure[_Lost | None]:
    """Send what is pending over one association; what is left afterwards has to go over another one."""
    core = job.new_core()
    try:
        lost: _Lost | None = yield Spawn(
            core, closing(core, _send_plan(core, contexts, pending, job, report))
        )
    except (AssociationError, DeadlineExceeded, ProtocolError) as error:
        return _Lost(error)
    return lost


def store_source(
    core: AssociationCore, source: Source, priority: Priority = Priority.MEDIUM
) -> Procedure[CStoreRSP]:
    """C-STORE of one source on an association that is there (PS3.7 9.1.1).

    Raises:
        InputFileError: The source cannot be sent.
        NoPresentationContext: No accepted presentation context fits it.
    """
    opener = DataSetOpener()
    return (yield from _closing_files(opener, _store_source(core, opener, source, priority)))


def _store_source(
    core: AssociationCore, opener: DataSetOpener, source: Source, priority: Priority
) -> Procedure[CStoreRSP]:
    instance, context, opened = yield Call(_look_and_open, (core.agreed, opener, source))
    uid, payload = instance.sop_instance_uid, opened.payload
    try:
        return (yield from scu.store(core, context, uid, payload, priority=priority))
    except InputFileError as error:
        raise _named(error, instance.name) from error


def _look_and_open(
    agreed: Negotiated, opener: DataSetOpener, source: Source
) -> tuple[Instance, AcceptedContext, OpenDataSet]:
    instance = describe(source)
    context = choose_context(agreed, instance)
    return instance, context, opener.open(instance, context.transfer_syntax)


def _named(error: DcmnetError, name: str) -> DcmnetError:
    """The error with the file's name: who reads the file knows a descriptor, and no name."""
    if not isinstance(error, InputFileError):
        return error
    named = InputFileError(name, error.why)
    named.__cause__ = error
    return named


def _closing_files(opener: DataSetOpener, procedure: Procedure[T]) -> Procedure[T]:
    """Run a procedure, then close what it opened last."""
    try:
        result = yield from procedure
    except GeneratorExit:
        raise  # nobody is left to carry out an effect: the file goes with the last reference to it
    except BaseException:
        yield Call(opener.close)
        raise
    yield Call(opener.close)
    return result


def _describe_all(job: Transfer, report: Report) -> Procedure[list[Instance]]:
    if job.dicomdir:
        from dcmnet.storage import dicomdir  # few transfers have one

        found = dicomdir.find_files(job.sources)
    else:
        found = find_files(job.sources, recurse=job.recurse, pattern=job.pattern)
    instances: list[Instance] = []
    while (item := (yield Next(found))) is not None:
        source, in_folder = item
        try:
            instance, former = yield Call(_describe, (source, job))
        except InputFileError as error:
            yield from _cannot_send(
                job, report, error, pass_over=in_folder and isinstance(error, ForeignFile)
            )
        else:
            if former is None:
                instances.append(instance)
            else:
                report.former.append(former)
    return instances


def _describe(source: Source, job: Transfer) -> tuple[Instance, StoreResult | None]:
    if isinstance(source, InputFileError):
        raise source
    instance = describe(source, meta=job.meta, bare=job.bare, uid_checks=job.uid_checks)
    return instance, None if job.former is None else job.former(instance)


def _cannot_send(job: Transfer, report: Report, error: InputFileError, *, pass_over: bool) -> Procedure[None]:
    if not pass_over:
        yield from _record(job, report, StoreResult(name=error.name, error=error))
        return
    report.skipped.append((error.name, str(error)))
    if job.on_skipped is not None:
        yield Call(job.on_skipped, (error.name, str(error)))


def _send_plan(
    core: AssociationCore,
    contexts: list[ProposedContext],
    pending: deque[Instance],
    job: Transfer,
    report: Report,
) -> Procedure[_Lost | None]:
    request = build_request(job.request(contexts))
    yield from association.establish(core, job.host, job.port, request, job.tls)
    _check_identity(job, core)
    report.associations += 1
    report.contexts += len(contexts)
    if job.max_send_pdu_length:
        core.limit_sending(job.max_send_pdu_length)
    if job.on_association is not None:
        yield Call(job.on_association, (core,))
    opener = DataSetOpener(job.proposal.encoding)
    lost = yield from _closing_files(opener, _send_pending(core, opener, pending, job, report))
    if core.upper_layer.established:
        yield from _end(core, job, report)
    return lost


def _check_identity(job: Transfer, core: AssociationCore) -> None:
    """Raise where a positive response to the user identity was asked for and none came (PS3.7 D.3.3.7)."""
    asked = job.user_identity is not None and job.user_identity.positive_response_requested
    if asked and core.agreed.user_identity_response is None:
        raise AssociationError(
            "User Identity Negotiation failed: a positive response was requested, and none received"
        )


def _send_pending(
    core: AssociationCore, opener: DataSetOpener, pending: deque[Instance], job: Transfer, report: Report
) -> Procedure[_Lost | None]:
    ready: list[_Prepared] = []
    while pending:
        instance = pending[0]
        result = yield from _send_one(core, opener, pending, ready, job, report.associations)
        if job.on_result is not None and not (ready and ready[0].opened):
            yield Call(opener.close)  # so that the hook may move or delete the file
        ended = result.error is not None and not core.upper_layer.established
        if ended and result.error is not None and not isinstance(result.error, InputFileError):
            pending.appendleft(instance)
            return _Lost(result.error, unanswered=1)
        yield from _record(job, report, result)
        if ended:
            return None
        if job.halt and not result.ok:
            why = f"not sent: the transfer stopped when {result.name} was not stored"
            yield Call(opener.close)  # the next one may be prepared
            yield from _give_up(job, report, pending, DcmnetError(why))
    return None


class _Prepared(NamedTuple):
    """An object that can be sent at once, or why it cannot."""

    context: AcceptedContext | None = None
    opened: OpenDataSet | None = None
    error: DcmnetError | None = None


def _prepare(
    core: AssociationCore,
    instance: Instance,
    open_data_set: Callable[[Instance, str], OpenDataSet],
    decompress: Decompress,
) -> Procedure[_Prepared]:
    try:
        context = choose_context(core.agreed, instance, decompress)
        opened: OpenDataSet = yield Call(open_data_set, (instance, context.transfer_syntax))
    except HARMLESS as error:
        return _Prepared(error=error)
    return _Prepared(context, opened)


def _prepare_ahead(
    core: AssociationCore,
    opener: DataSetOpener,
    instance: Instance,
    ready: list[_Prepared],
    decompress: Decompress,
) -> Procedure[None]:
    """Prepare the next object while the peer deals with the one before; that one's file is closed."""
    ready.append((yield from _prepare(core, instance, opener.open_ahead, decompress)))


def _end(core: AssociationCore, job: Transfer, report: Report) -> Procedure[None]:
    if job.on_end is not None:
        yield Call(job.on_end, (core,))
    try:
        yield from association.abort(core) if job.abort else association.release(core)
    except (AssociationError, DeadlineExceeded, ProtocolError) as error:
        report.endings.append(error)  # every object has its answer by now


def _send_one(
    core: AssociationCore,
    opener: DataSetOpener,
    pending: deque[Instance],
    ready: list[_Prepared],
    job: Transfer,
    number: int,
) -> Procedure[StoreResult]:
    """Send the first of what is pending; `ready` holds it where it is prepared, and then the one behind."""
    instance = pending.popleft()
    if job.on_sending is not None:
        yield Call(job.on_sending, (instance,))
    decompress = job.proposal.decompress
    if ready:
        context, opened, error = ready.pop()
    else:
        context, opened, error = yield from _prepare(core, instance, opener.open, decompress)
    if context is None or opened is None:
        return _result_of(instance, association=number, error=error)
    if job.on_request is not None:
        yield Call(job.on_request, (instance, context, core.message_ids.upcoming))
    uid, payload = instance.sop_instance_uid, opened.payload
    following = _prepare_ahead(core, opener, pending[0], ready, decompress) if pending else None
    try:
        response = yield from scu.store(
            core, context, uid, payload, priority=job.priority, meanwhile=following
        )
    except (*HARMLESS, AssociationError, DeadlineExceeded, ProtocolError) as failure:
        return _result_of(instance, association=number, error=_named(failure, instance.name))
    return _result_of(
        instance,
        association=number,
        context_id=context.context_id,
        transfer_syntax=context.transfer_syntax,
        size=len(payload),
        status=response.status,
        comment=response.error_comment,
    )


def _give_up(
    job: Transfer, report: Report, pending: deque[Instance], error: DcmnetError, unanswered: int = 0
) -> Procedure[None]:
    """Everything pending fails with `error`; the first `unanswered` of it over the last association."""
    while pending:
        number = report.associations if unanswered > 0 else 0
        unanswered -= 1
        yield from _record(job, report, _result_of(pending.popleft(), association=number, error=error))


def _record(job: Transfer, report: Report, result: StoreResult) -> Procedure[None]:
    report.results.append(result)
    if job.on_result is not None:
        yield Call(job.on_result, (result,))


def _result_of(instance: Instance, **outcome: Any) -> StoreResult:
    return StoreResult(
        name=instance.name,
        sop_class_uid=instance.sop_class_uid,
        sop_instance_uid=instance.sop_instance_uid,
        original_transfer_syntax=instance.transfer_syntax,
        file_length=instance.offset + instance.size,
        file_modified=instance.modified,
        **outcome,
    )
