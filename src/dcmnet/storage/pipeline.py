"""The objects that go over one association, with as many requests under way as were negotiated.

With a window of one this is the lockstep of request and response. The next objects are opened and read, and
more are looked for, while responses are due.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

from dcmnet.acse import AcceptedContext
from dcmnet.dimse.messages import CStoreRQ
from dcmnet.dimse.stream import fragment_message
from dcmnet.errors import DcmnetError, InputFileError
from dcmnet.limits import (
    MAX_WINDOW,
    SCAN_MANY,
    SCAN_STEP,
    SEND_BATCH_LENGTH,
    SEND_READ_LENGTH,
    SMALL_DATA_SET_LENGTH,
)
from dcmnet.payload import FileRange, Payload
from dcmnet.procedures.association import HARMLESS, AssociationCore
from dcmnet.procedures.effects import Call, Procedure
from dcmnet.procedures.scu import next_response
from dcmnet.procedures.sending import never_sent, send_parts
from dcmnet.registry.statuses import SUCCESS
from dcmnet.storage.feed import Feed, Line, Scanned
from dcmnet.storage.planning import choose_context
from dcmnet.storage.report import Report, StoreResult
from dcmnet.storage.sources import DataSetOpener, Instance

if TYPE_CHECKING:
    from dcmnet.storage.scu import Transfer

T = TypeVar("T")

_Opened: TypeAlias = "tuple[Instance, AcceptedContext, Payload]"


class Prepared(NamedTuple):
    """An object that can be sent at once.

    Attributes:
        instance: What it is.
        context: What it goes out on.
        request: The message.
        payload: The encoded data set.
        batches: What to send, one after the other.
    """

    instance: Instance
    context: AcceptedContext
    request: CStoreRQ
    payload: Payload
    batches: Iterable[list[Payload]]


class Unusable(NamedTuple):
    """An object that cannot be sent, and why."""

    instance: Instance
    error: DcmnetError


class Outcomes:
    """Tells what came of each object: once, to the report and to the hook."""

    def __init__(self, job: Transfer, report: Report) -> None:
        self._job = job
        self._report = report

    def scanned(self, found: Iterable[Instance | Scanned]) -> Procedure[list[Instance]]:
        """Tell what will not be sent of what was found; returns the rest."""
        instances = []
        for each in found:
            if isinstance(each, Instance):
                instances.append(each)
            elif each.error is not None:
                yield from self._unusable(each.error, each.skipped)
            elif each.former is not None:
                self._report.former.append(each.former)
        return instances

    def _unusable(self, error: InputFileError, skipped: bool) -> Procedure[None]:
        if not skipped:
            yield from self.record(StoreResult(name=error.name, error=error))
            return
        yield from self.skip(error.name, str(error))

    def skip(self, name: str, why: str) -> Procedure[None]:
        """A source is passed over."""
        self._report.skipped.append((name, why))
        if self._job.on_skipped is not None:
            yield Call(self._job.on_skipped, (name, why))

    def failed(
        self, instances: Iterable[Instance], error: DcmnetError, association: int = 0
    ) -> Procedure[None]:
        """None of these was answered."""
        for instance in instances:
            why = named_error(error, instance.name)
            result = StoreResult(
                name=instance.name,
                sop_class_uid=instance.sop_class_uid,
                sop_instance_uid=instance.sop_instance_uid,
                original_transfer_syntax=instance.transfer_syntax,
                file_length=instance.offset + instance.size,
                file_modified=instance.modified,
                association=association,
                error=why,
            )
            yield from self.record(result)

    def record(self, result: StoreResult) -> Procedure[None]:
        """One object is done with."""
        if (call := self.note(result)) is not None:
            yield call

    def note(self, result: StoreResult) -> Call | None:
        """Put a result into the report; what is left to be done is to carry out the call, if any."""
        self._report.results.append(result)
        return None if self._job.on_result is None else Call(self._job.on_result, (result,))


class Pipeline:
    """Sends what waits in a line over one association.

    Args:
        core: The association, established.
        job: The transfer.
        outcomes: Who is told what came of each object.
        feed: Where more is found.
        line: What waits.
        number: Which of the transfer's associations this is.
    """

    def __init__(
        self, core: AssociationCore, job: Transfer, outcomes: Outcomes, feed: Feed, line: Line, number: int
    ) -> None:
        self._core = core
        self._agreed = core.agreed
        self._job = job
        self._outcomes = outcomes
        self._feed = feed
        self._line = line
        self._number = number
        self._window = 1 if line.alone else min(self._agreed.max_invoked or MAX_WINDOW, MAX_WINDOW)
        # So few in lockstep that it takes no longer than a response; many where each call costs a turn.
        self._scan_step = SCAN_STEP if self._window == 1 and not core.calls_in_threads else SCAN_MANY
        feed.contents.era += 1
        # What is in memory leaves in one call, unless somebody wants to see how it proceeds.
        self._read_length = SEND_READ_LENGTH if job.on_progress is None else SEND_BATCH_LENGTH
        self._opener = DataSetOpener(job.proposal.encoding, feed.contents)
        self._contexts: dict[tuple[str, str], AcceptedContext] = {}
        self._ready: deque[Prepared | Unusable] = deque()
        self._outstanding: dict[int, tuple[Instance, AcceptedContext, int]] = {}
        self._ended = False

    def run(self) -> Procedure[None]:
        """Send until nothing waits any more, and everything is answered.

        Raises:
            InputFileError: A file failed in the middle of its message, and has its result.
            AssociationError: The association ended. What was not sent waits in the line again; what was is
            `under_way`.
        """
        try:
            yield from closing_files(self._opener, self._run())
        finally:
            self._line.give_back([each.instance for each in self._ready])

    @property
    def under_way(self) -> list[Instance]:
        """What was sent and has not been answered for, in order."""
        return [instance for instance, _, _ in self._outstanding.values()]

    def _run(self) -> Procedure[None]:
        while True:
            while len(self._outstanding) < self._window and not (self._line.stopped or self._ended):
                if not self._ready and not (yield from self._prepare()):
                    break
                yield from self._send_ready()
            if not self._outstanding:
                return
            if not self._ended:  # while the answers are due
                if not self._ready:
                    yield from self._prepare()
                if self._feed.more and self._line.wants_more:
                    yield from self._look_for_more()
            yield from self._take_answers()

    # ------------------------------------------------------------------ getting ready

    def _prepare(self) -> Procedure[bool]:
        """Open and read what comes next; False when there is nothing."""
        line = self._line
        while not line.waiting and self._feed.more and line.wants_more:
            yield from self._look_for_more()
        taken = [] if line.stopped else line.take(self._window, SEND_BATCH_LENGTH)
        if not taken:
            return False
        opened: list[_Opened | Unusable]
        if all(map(self._is_at_hand, taken)):
            opened = self._open_all(taken)
        else:
            opened = yield Call(self._open_all, (taken,))
        self._ready.extend([self._encoded(*each) if len(each) == 3 else each for each in opened])
        return True

    def _look_for_more(self) -> Procedure[None]:
        found: list[Instance | Scanned] = yield Call(self._feed.scan, (self._scan_step,))
        instances = yield from self._outcomes.scanned(found)
        later = self._line.add(instances)
        if later:  # what was read of them would be in the way for long
            yield Call(self._feed.contents.drop, (later,))
        if instances and self._job.on_found is not None:
            yield Call(self._job.on_found, (instances,))

    def _is_at_hand(self, instance: Instance) -> bool:
        """Whether it is in memory as it goes out, so that to open it holds nobody up."""
        if self._job.parallel > 1:  # the contents are shared: one `Call` at a time
            return False
        context = self._contexts.get((instance.sop_class_uid, instance.transfer_syntax))
        as_it_is = context is not None and context.transfer_syntax == instance.transfer_syntax
        return as_it_is and self._feed.contents.has(instance)

    def _open_all(self, instances: list[Instance]) -> list[_Opened | Unusable]:
        return [self._open(instance) for instance in instances]

    def _open(self, instance: Instance) -> _Opened | Unusable:
        kind = instance.sop_class_uid, instance.transfer_syntax
        try:
            context = self._contexts.get(kind)
            if context is None:
                context = choose_context(self._agreed, instance, self._job.proposal.decompress)
                self._contexts[kind] = context
            return instance, context, self._opener.open(instance, context.transfer_syntax)
        except HARMLESS as error:
            return Unusable(instance, error)

    def _encoded(self, instance: Instance, context: AcceptedContext, payload: Payload) -> Prepared | Unusable:
        """The whole message, ready to leave; that of a file which is not read yet is cut while it leaves."""
        request = CStoreRQ(
            message_id=self._core.message_ids.next(),
            affected_sop_class_uid=context.abstract_syntax,
            affected_sop_instance_uid=instance.sop_instance_uid,
            priority=self._job.priority,
        )
        longest = self._agreed.max_pdu_length_to_send
        length = SEND_BATCH_LENGTH if isinstance(payload, FileRange) else self._read_length
        try:
            batches: Iterable[list[Payload]] = fragment_message(
                context.context_id, request, payload, longest, length
            )
        except HARMLESS as error:
            return Unusable(instance, error)
        if not isinstance(payload, FileRange):
            batches = list(batches)
        return Prepared(instance, context, request, payload, batches)

    # ------------------------------------------------------------------ sending

    def _send_ready(self) -> Procedure[None]:
        """Send what is ready, as far as the window goes; small objects leave together."""
        core, job, ready, outstanding = self._core, self._job, self._ready, self._outstanding
        parts: list[Payload] = []
        requests: list[tuple[int, int]] = []
        while ready and len(outstanding) < self._window and not (self._line.stopped or self._ended):
            prepared = ready.popleft()
            if job.on_sending is not None and not (yield from self._is_wanted(prepared)):
                continue
            if isinstance(prepared, Unusable):
                yield from self._fail(prepared.instance, prepared.error)
                continue
            instance, context, request, payload, batches = prepared
            if job.on_request is not None:
                yield Call(job.on_request, (instance, context, request.message_id))
            core.upper_layer.trace_message("message sent", context.context_id, request)
            core.message_ids.add(request)
            outstanding[request.message_id] = instance, context, len(payload)
            if _is_small(payload):
                for batch in batches:
                    parts += batch
                requests.append((request.message_id, len(parts)))
            else:
                yield from self._send(parts, requests)
                parts, requests = [], []
                yield from self._send_alone(prepared)
        yield from self._send(parts, requests)

    def _is_wanted(self, prepared: Prepared | Unusable) -> Procedure[bool]:
        """Ask whether to send an object."""
        assert self._job.on_sending is not None
        instance = prepared.instance
        if (yield Call(self._job.on_sending, (instance,))) is not False:
            return True
        if isinstance(prepared, Prepared) and isinstance(prepared.payload, FileRange):
            yield Call(self._opener.close)
        yield from self._outcomes.skip(instance.name, "left out by on_sending")
        return False

    def _send(
        self, parts: list[Payload], requests: Sequence[tuple[int, int]], *, is_first: bool = True
    ) -> Procedure[None]:
        """Send the parts, unless the association has ended (see `send_parts`)."""
        if self._ended:
            never_sent(self._core, [number for number, _ in requests])
        elif parts:
            self._core.busy = True
            self._ended = not (yield from send_parts(self._core, parts, requests, is_first=is_first))

    def _send_alone(self, prepared: Prepared) -> Procedure[None]:
        """Send an object that is not small; it may be a file that fails when it is read."""
        part_has_left = False
        failure: InputFileError | None = None
        sent = 0
        try:
            for batch in prepared.batches:
                requests = ((prepared.request.message_id, len(batch)),)
                yield from self._send(batch, requests, is_first=not part_has_left)
                if self._ended:
                    break
                part_has_left = True
                if self._job.on_progress is not None:
                    sent += sum(map(len, batch[1::2]))  # the others are headers
                    data = sent - len(prepared.request.encode())
                    yield Call(self._job.on_progress, (prepared.instance, data))
        except InputFileError as error:
            failure = error
        if isinstance(prepared.payload, FileRange):
            yield Call(self._opener.close)
        if failure is not None:
            self._forget(prepared.request)
            yield from self._fail(prepared.instance, failure)
            if part_has_left:
                raise failure
        self._core.busy = bool(self._outstanding)

    def _forget(self, request: CStoreRQ) -> None:
        """It was not sent as a whole, and will have no answer."""
        del self._outstanding[request.message_id]
        del self._core.message_ids.outstanding[request.message_id]

    # ------------------------------------------------------------------ answers

    def _take_answers(self) -> Procedure[None]:
        """Wait for an answer; take those that have come with it."""
        core, outstanding = self._core, self._outstanding
        while True:
            response = yield from next_response(core)
            instance, context, size = outstanding.pop(response.message_id_being_responded_to)
            core.busy = bool(outstanding)
            result = StoreResult(
                name=instance.name,
                sop_class_uid=instance.sop_class_uid,
                sop_instance_uid=instance.sop_instance_uid,
                transfer_syntax=context.transfer_syntax,
                size=size,
                original_transfer_syntax=instance.transfer_syntax,
                file_length=instance.offset + instance.size,
                file_modified=instance.modified,
                association=self._number,
                context_id=context.context_id,
                status=response.status,
                comment=response.error_comment,
                offending_element=response.offending_element,
                error_id=response.error_id,
            )
            if (call := self._outcomes.note(result)) is not None:
                yield call
            if response.status != SUCCESS and not result.ok:
                self._judge(instance)
            if not (outstanding and core.upper_layer.has_input):
                return

    def _fail(self, instance: Instance, error: DcmnetError) -> Procedure[None]:
        yield from self._outcomes.failed((instance,), error, self._number)
        self._judge(instance)

    def _judge(self, instance: Instance) -> None:
        """An object was not stored: whether to go on."""
        if self._job.halt and not self._line.stopped:
            self._line.stopped = f"not sent: the transfer stopped when {instance.name} was not stored"


def _is_small(payload: Payload) -> bool:
    return not isinstance(payload, FileRange) and len(payload) <= SMALL_DATA_SET_LENGTH


def named_error(error: DcmnetError, name: str) -> DcmnetError:
    """The error with the file's name: who reads the file knows a descriptor, and no name."""
    if not isinstance(error, InputFileError):
        return error
    named = InputFileError(name, error.why)
    named.__cause__ = error
    return named


def closing_files(opener: DataSetOpener, procedure: Procedure[T]) -> Procedure[T]:
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
