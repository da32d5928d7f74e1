"""The Storage SCU: a list of objects, the associations they need, and what came of each (PS3.4 Annex B)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from dcmnet import arguments
from dcmnet._records import dataclass, field
from dcmnet.acse import AcceptedContext, Negotiated, RequestorPolicy, build_request
from dcmnet.dimse.messages import CStoreRSP, Priority
from dcmnet.errors import (
    AssociationError,
    DcmnetError,
    DeadlineExceeded,
    InputFileError,
    LocalProtocolError,
    ProtocolError,
)
from dcmnet.limits import (
    DEFAULT_MAX_PDU_LENGTH,
    MAX_LOST_IN_A_ROW,
    MAX_WINDOW,
    SCAN_FIRST,
    Limits,
    Timeouts,
)
from dcmnet.payload import Payload
from dcmnet.procedures import association, scu
from dcmnet.procedures.association import AssociationCore, closing, new_core
from dcmnet.procedures.effects import Call, Procedure, Spawn, Together, Wait
from dcmnet.storage.contents import Contents
from dcmnet.storage.feed import Feed, Line, Scanned
from dcmnet.storage.inventing import Inventor
from dcmnet.storage.looking import Looker
from dcmnet.storage.pipeline import Outcomes, Pipeline, closing_files, named_error
from dcmnet.storage.planning import Plan, Proposal, choose_context, plan
from dcmnet.storage.report import Report, StoreResult
from dcmnet.storage.retrying import Backoff, may_be_the_object
from dcmnet.storage.sources import DataSetOpener, Instance, Source, check_source
from dcmnet.ul.items import UserIdentityRQ
from dcmnet.ul.provider import Trace

if TYPE_CHECKING:
    from dcmnet.tls import TLS


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
        check: Whether files must be whole and in the transfer syntax that they are labelled with; one that is
            not is refused before it is sent.
        former: What a former transfer has stored already, by its report: asked about each instance, the
            result of that transfer, or None to send it.
        inventor: Makes up UIDs, patients and studies for every object that is sent; None leaves them.
        single_association: Raise rather than use several associations because of many contexts.
        check_first: Look at every source before anything is sent, and send nothing when one cannot be.
        halt: Stop at the first object that is not kept, or source that cannot be sent.
        repeat: How often each object is sent.
        window: How many objects may be under way on an association, 1 to 1000: the asynchronous operations
            window (PS3.7 D.3.3.3) that is asked for. The peer may grant less.
        parallel: How many associations share the work.
        abort: End the association with an abort instead of a release, for tests of the peer.
        priority: Told to the peer.
        retries: How often in a row, without an object answered for meanwhile, to ask again for an association
            that cannot be had. With 1 or more, an object that was under way when its association ended is
            sent once more, alone, at the end; with `halt` at once, and so often.
        retry_wait: Seconds before the first of these attempts, and before the association that follows a lost
            one; each next one in a row waits twice as long.
        max_lost_in_a_row: After so many associations in a row that ended early, with nothing stored over any
            of them, the rest is not sent.
        rate: Bytes a second that all associations together send at most; 0 for no limit.
        on_start: Called with the instances that were found before the first association is asked for.
        on_found: Called with instances that are found later.
        on_association: Called with the core when an association is established.
        on_skipped: Called with the name of each file that is passed over, and why.
        on_sending: Called with each instance before it is sent; where it returns False the instance is
            passed over.
        on_request: Called with the instance, the context it goes out on and the Message ID, right before.
        on_progress: Called with the instance and how many bytes of it have left, while one of more than 64
            KiB goes out.
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
    check: bool = True
    former: Callable[[Instance], StoreResult | None] | None = None
    inventor: Inventor | None = None
    single_association: bool = False
    check_first: bool = False
    halt: bool = False
    repeat: int = 1
    window: int = 1
    parallel: int = 1
    abort: bool = False
    priority: Priority = Priority.MEDIUM
    retries: int = 0
    retry_wait: float = 1.0
    max_lost_in_a_row: int = MAX_LOST_IN_A_ROW
    rate: int = 0
    on_start: Callable[[list[Instance]], Any] | None = None
    on_found: Callable[[list[Instance]], Any] | None = None
    on_association: Callable[[AssociationCore], Any] | None = None
    on_skipped: Callable[[str, str], Any] | None = None
    on_sending: Callable[[Instance], Any] | None = None
    on_request: Callable[[Instance, AcceptedContext, int], Any] | None = None
    on_progress: Callable[[Instance, int], Any] | None = None
    on_result: Callable[[StoreResult], Any] | None = None
    on_retry: Callable[[DcmnetError, float], Any] | None = None
    on_end: Callable[[AssociationCore], Any] | None = None
    family: int = 0
    trace: Trace | None = None

    def __post_init__(self) -> None:
        arguments.check_types(self)
        arguments.port(self.port, free=True)  # it may be set later: `transfer` needs one
        for name in ("called", "calling"):
            setattr(self, name, arguments.ae_title(getattr(self, name), name))
        arguments.whole_number(self.window, "window", 1, MAX_WINDOW)
        for name in ("parallel", "repeat", "max_lost_in_a_row"):
            arguments.whole_number(getattr(self, name), name, 1)
        for name in ("max_pdu_length", "max_send_pdu_length", "retries", "rate", "family"):
            arguments.whole_number(getattr(self, name), name)
        arguments.seconds(self.retry_wait, "retry_wait")

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
            max_invoked=self.window,
            user_identity=self.user_identity,
            extended_negotiations=self.proposal.extended_negotiations,
        )


def transfer(job: Transfer) -> Procedure[Report]:
    """Send everything, over as many associations as it needs.

    Objects that cannot be sent, or that the peer does not keep, are in the report. More is looked for while
    the first objects are sent; what needs other presentation contexts then goes over further associations.

    If an association ends while an object is under way (abort, timeout, lost connection, a release too early,
    a peer that breaks the protocol), that object has failed, or is sent once more at the end, and the rest
    goes over another association. So does the rest after a file that fails in the middle of its message.

    Raises:
        ValueError: The port is 0.
        LocalProtocolError: What is to be asked for cannot be: too many contexts, for example.
        AssociationRejected: The peer refused the first association.
        TransportClosed: There was no connection for the first association.
        DeadlineExceeded: The peer did not answer to it.
    """
    arguments.port(job.port)
    return (yield from _Sending(job).run())


@dataclass(slots=True)
class _Attempt:
    """What came of one association.

    Attributes:
        number: Which of the transfer's it is; 0 when there was none.
        error: What ended it before its time.
        unanswered: What had been sent over it by then, and not been answered for.
    """

    number: int = 0
    error: DcmnetError | None = None
    unanswered: list[Instance] = field(default_factory=list)


_Sent: TypeAlias = "tuple[Instance, _Attempt]"
"""An object that was under way when its association ended, and what came of that."""


class _Sending:
    """The associations of one transfer.

    When an association ends early, the object under way is set aside, and the rest goes over another one. If
    several were under way, each of them is sent again alone first, which shows the one at fault. What was set
    aside has failed; with `retries` it is sent once more, alone, after everything else.
    """

    def __init__(self, job: Transfer) -> None:
        self._job = job
        self._report = Report()
        self._outcomes = Outcomes(job, self._report)
        self._feed = Feed(job)
        self._aside: list[tuple[Line, _Sent]] = []
        self._ends = False  # everything else has been sent: what fails now is not set aside any more
        self._lost_in_a_row = 0
        self._given_up: DcmnetError | None = None
        self._wait: tuple[DcmnetError, float] | None = None

    def run(self) -> Procedure[Report]:
        found = yield from self._find()
        if self._job.on_start is not None:
            yield Call(self._job.on_start, (found,))
        reachable = True
        while found:
            later: list[Instance] = []
            for step in self._plan(found):
                line = Line(
                    step, self._job.repeat, None if self._job.inventor is None else self._job.invented
                )
                reachable = yield from self._send(line, self._new_backoff())
                later += line.later
            found = later
        yield from self._send_once_more(reachable)
        return self._report

    def _find(self) -> Procedure[list[Instance]]:
        """Look at the first files, or at all where that has to come first."""
        all_first = self._job.check_first or self._job.single_association
        instances: list[Instance] = []
        while self._feed.more and (all_first or len(instances) < SCAN_FIRST):
            instances += yield from self._scan()
        return instances

    def _scan(self) -> Procedure[list[Instance]]:
        found: list[Instance | Scanned] = yield Call(self._feed.scan, (SCAN_FIRST,))
        return (yield from self._outcomes.scanned(found))

    def _plan(self, found: list[Instance]) -> list[Plan]:
        plans = plan(found, self._job.proposal)
        if self._job.single_association and len(plans) > 1:
            count = sum(len(step.contexts) for step in plans)
            raise LocalProtocolError(
                f"{count} presentation contexts are needed: too many for one association"
            )
        return plans

    def _new_backoff(self) -> Backoff:
        return Backoff(self._job.retries, self._job.retry_wait)

    # ------------------------------------------------------------------ one plan

    def _send(self, line: Line, backoff: Backoff, before: Sequence[_Sent] = ()) -> Procedure[bool]:
        """Send what waits, over further associations when one is lost; False when the rest was given up.

        Args:
            line: What waits.
            backoff: Says how long to wait for an association that cannot be had.
            before: What is known of the objects, if they were under way before.
        """
        while (yield from self._has_work(line)):
            self._consider(line)
            why = DcmnetError(line.stopped) if line.stopped else self._given_up
            if why is not None:
                yield from self._give_up(line, why, before)
                return False
            yield from self._let_time_pass()
            known = len(self._report.results)
            attempts = yield from self._attempt_all(line)
            results = self._report.results[known:]
            if any(result.ok for result in results):
                self._lost_in_a_row = 0
            if any(attempt.number for attempt in attempts):
                self._report.missing += [each.error for each in attempts if each.error and not each.number]
                lost = [attempt for attempt in attempts if attempt.error and attempt.number]
                yield from self._recover(line, lost, backoff, progress=bool(results))
            elif (error := self._have_none(attempts, backoff)) is not None:
                yield from self._give_up(line, error, before)
                return False
        return True

    def _has_work(self, line: Line) -> Procedure[bool]:
        """Whether something waits; if nothing does, look for more: an association may end before that."""
        stopped = bool(line.stopped or self._given_up)
        while not (line.alone or stopped or line.waiting or line.later) and self._feed.more:
            instances = yield from self._scan()
            line.add(instances)
            if instances and self._job.on_found is not None:
                yield Call(self._job.on_found, (instances,))
        return bool(line.waiting) or (stopped and self._feed.more and not line.alone)

    def _attempt_all(self, line: Line) -> Procedure[list[_Attempt]]:
        """Send over as many associations as are to share the work."""
        count = 1 if line.alone else min(self._job.parallel, len(line.waiting))
        attempts = [_Attempt() for _ in range(count)]
        spawns = [self._association(line, attempt) for attempt in attempts]
        yield spawns[0] if len(spawns) == 1 else Together(spawns)
        return attempts

    def _consider(self, line: Line) -> None:
        job, report = self._job, self._report
        if report.failed and (job.halt or (job.check_first and report.associations == 0)):
            line.stopped = (
                line.stopped or "not sent: the transfer stopped at the first object that was not stored"
            )

    def _let_time_pass(self) -> Procedure[None]:
        """Before an association that follows a lost one: tell it, and wait."""
        if self._wait is None:
            return
        (error, seconds), self._wait = self._wait, None
        if self._job.on_retry is not None:
            yield Call(self._job.on_retry, (error, seconds))
        yield Wait(seconds)

    def _have_none(self, attempts: list[_Attempt], backoff: Backoff) -> DcmnetError | None:
        """No association could be had: the error that ends it, or None to try again after a while."""
        error = attempts[0].error
        assert error is not None
        seconds = backoff.lost(error, progress=False)
        if seconds is not None:
            self._wait = error, seconds
            return None
        if self._report.associations == 0:
            raise error
        return error

    def _recover(
        self, line: Line, lost: list[_Attempt], backoff: Backoff, *, progress: bool
    ) -> Procedure[None]:
        """Associations ended early: see to what they had under way, so that the rest can go on."""
        errors = [attempt.error for attempt in lost if attempt.error is not None]
        suspects = [(instance, attempt) for attempt in lost for instance in attempt.unanswered]
        if not (suspects or line.waiting):
            self._report.missing += errors
            return
        if not errors:
            return
        seconds = backoff.lost(errors[0], progress=progress)
        self._wait = None if seconds is None else (errors[0], seconds)
        if not suspects or not all(map(may_be_the_object, errors)):
            self._given_up = errors[0]
        if self._job.halt:
            yield from self._halt(line, suspects)
            return
        self._count_lost(errors[0])
        if len(suspects) == 1 or self._given_up is not None:
            yield from self._set_aside(line, suspects)
        else:
            yield from self._send(_alone(line, suspects), backoff, suspects)

    def _halt(self, line: Line, suspects: list[_Sent]) -> Procedure[None]:
        """As `_recover`, if the transfer stops at the first failure: nothing else may go before these."""
        if self._wait is not None:
            line.give_back(instance for instance, _ in suspects)
            return
        yield from self._fail(suspects)
        for instance, _ in suspects[:1]:
            line.stopped = f"not sent: the transfer stopped when {instance.name} was not stored"

    def _count_lost(self, error: DcmnetError) -> None:
        """Give up when too many were lost one after the other, except at the end, which has its end."""
        self._lost_in_a_row += not self._ends
        if self._lost_in_a_row < self._job.max_lost_in_a_row or self._given_up is not None:
            return
        self._given_up = AssociationError(
            f"not sent: {self._lost_in_a_row} associations in a row ended early with nothing stored; "
            f"the last one: {error}"
        )
        self._given_up.__cause__ = error

    def _set_aside(self, line: Line, suspects: list[_Sent]) -> Procedure[None]:
        if self._job.retries and not self._ends:
            self._aside += [(line, each) for each in suspects]
        else:
            yield from self._fail(suspects)

    def _send_once_more(self, reachable: bool) -> Procedure[None]:
        """Send each object that was set aside over an association of its own, if the peer can be reached."""
        self._ends = True
        backoff = self._new_backoff()
        for line, sent in self._aside:
            if reachable:
                reachable = yield from self._send(_alone(line, [sent]), backoff, [sent])
            else:
                yield from self._fail([sent])

    def _give_up(self, line: Line, error: DcmnetError, before: Sequence[_Sent]) -> Procedure[None]:
        """Nothing of what waits is sent, nor of what has not been looked for yet and would wait here."""
        while self._feed.more and not line.alone:
            line.add((yield from self._scan()))
        known = {id(instance): attempt for instance, attempt in before}
        rest = _Attempt(error=error)
        yield from self._fail((each, known.get(id(each), rest)) for each in line.take_all())

    def _fail(self, suspects: Iterable[_Sent]) -> Procedure[None]:
        """These were not stored: because of what ended their association, or because they had none."""
        for instance, attempt in suspects:
            assert attempt.error is not None
            yield from self._outcomes.failed((instance,), attempt.error, attempt.number)

    # ------------------------------------------------------------------ one association

    def _association(self, line: Line, attempt: _Attempt) -> Spawn:
        core = self._job.new_core()
        return Spawn(core, self._attempt(core, line, attempt))

    def _attempt(self, core: AssociationCore, line: Line, attempt: _Attempt) -> Procedure[None]:
        try:
            yield from closing(core, self._send_over(core, line, attempt))
        except InputFileError:
            line.give_back(attempt.unanswered)
        except (AssociationError, DeadlineExceeded, ProtocolError) as error:
            attempt.error = error

    def _send_over(self, core: AssociationCore, line: Line, attempt: _Attempt) -> Procedure[None]:
        job = self._job
        request = build_request(job.request(line.contexts))
        yield from association.establish(core, job.host, job.port, request, job.tls)
        _check_identity(job, core)
        attempt.number = yield Call(self._count, (len(line.contexts),))
        if job.max_send_pdu_length:
            core.limit_sending(job.max_send_pdu_length)
        if job.on_association is not None:
            yield Call(job.on_association, (core,))
        pipeline = Pipeline(core, job, self._outcomes, self._feed, line, attempt.number)
        try:
            yield from pipeline.run()
        except DcmnetError:
            attempt.unanswered = pipeline.under_way
            raise
        if core.upper_layer.established:
            yield from self._end(core)

    def _count(self, contexts: int) -> int:
        """One association more; its number."""
        self._report.associations += 1
        self._report.contexts += contexts
        return self._report.associations

    def _end(self, core: AssociationCore) -> Procedure[None]:
        job = self._job
        if job.on_end is not None:
            yield Call(job.on_end, (core,))
        try:
            yield from association.abort(core) if job.abort else association.release(core)
        except (AssociationError, DeadlineExceeded, ProtocolError) as error:
            self._report.endings.append(error)  # every object has its answer by now


def _alone(line: Line, suspects: Iterable[_Sent]) -> Line:
    """A line in which each of these is sent alone."""
    return Line(Plan(line.contexts, [instance for instance, _ in suspects]), alone=True)


def _check_identity(job: Transfer, core: AssociationCore) -> None:
    """Raise where a positive response to the user identity was asked for and none came (PS3.7 D.3.3.7)."""
    asked = job.user_identity is not None and job.user_identity.positive_response_requested
    if asked and core.agreed.user_identity_response is None:
        raise AssociationError(
            "User Identity Negotiation failed: a positive response was requested, and none received"
        )


def store_source(
    core: AssociationCore, source: Source, priority: Priority = Priority.MEDIUM, *, check: bool = True
) -> Procedure[CStoreRSP]:
    """C-STORE of one source on an association that is there (PS3.7 9.1.1).

    Raises:
        TypeError: An argument has another type.
        InputFileError: The source cannot be sent.
        NoPresentationContext: No accepted presentation context fits it.
    """
    check_source(source)
    arguments.whole_number(priority, "priority", 0, max(Priority))
    arguments.check_type(check, "check", "bool")
    contents = Contents()
    opener, looker = DataSetOpener(contents=contents), Looker(check=check, contents=contents)
    return (yield from closing_files(opener, _store_source(core, opener, looker, source, priority)))


def _store_source(
    core: AssociationCore, opener: DataSetOpener, looker: Looker, source: Source, priority: Priority
) -> Procedure[CStoreRSP]:
    yield from association.settle(core)
    instance, context, payload = yield Call(_look_and_open, (core.agreed, opener, looker, source))
    uid = instance.sop_instance_uid
    try:
        return (yield from scu.store(core, context, uid, payload, priority=priority))
    except InputFileError as error:
        raise named_error(error, instance.name) from error


def _look_and_open(
    agreed: Negotiated, opener: DataSetOpener, looker: Looker, source: Source
) -> tuple[Instance, AcceptedContext, Payload]:
    instance = looker.look(source)
    context = choose_context(agreed, instance)
    return instance, context, opener.open(instance, context.transfer_syntax)
