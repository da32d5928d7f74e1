"""What a transfer still has to send: looked for in folders while the first objects are under way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from dcmnet.errors import InputFileError
from dcmnet.limits import SCAN_FIRST, SCAN_STEP, SMALL_DATA_SET_LENGTH
from dcmnet.storage.planning import Plan
from dcmnet.storage.report import StoreResult
from dcmnet.storage.sources import ForeignFile, Instance, describe, find_files

if TYPE_CHECKING:
    from dcmnet.storage.scu import Transfer


class Scanned(NamedTuple):
    """One file that was looked at.

    Attributes:
        instance: What it is; None where it cannot be sent.
        former: What a former transfer has done with it; None where it is to be sent.
        error: Why it cannot be sent.
        skipped: It was found in a folder, and nobody expects that it can be sent.
    """

    instance: Instance | None = None
    former: StoreResult | None = None
    error: InputFileError | None = None
    skipped: bool = False


class Feed:
    """Finds out what the sources of a transfer are, some at a time.

    Args:
        job: The transfer.

    Attributes:
        more: Whether there may be more to find.
    """

    def __init__(self, job: Transfer) -> None:
        self._job = job
        self._found = _found(job)
        self.more = True

    def scan(self, count: int) -> list[Scanned]:
        """Look at the next `count` files; fewer only when there are no more."""
        scanned: list[Scanned] = []
        for source, in_folder in self._found:
            scanned.append(self._look(source, in_folder))
            if len(scanned) == count:
                return scanned
        self.more = False
        return scanned

    def _look(self, source: Any, in_folder: bool) -> Scanned:
        job = self._job
        if isinstance(source, InputFileError):
            return Scanned(error=source)
        try:
            instance = describe(source, meta=job.meta, bare=job.bare, uid_checks=job.uid_checks)
        except InputFileError as error:
            return Scanned(error=error, skipped=in_folder and isinstance(error, ForeignFile))
        return Scanned(instance, None if job.former is None else job.former(instance))


def _found(job: Transfer) -> Iterator[tuple[Any, bool]]:
    if job.dicomdir:
        from dcmnet.storage import dicomdir  # few transfers have one

        return dicomdir.find_files(job.sources)
    return find_files(job.sources, recurse=job.recurse, pattern=job.pattern)


class Line:
    """What waits to go over the associations of one plan, which may be several at once.

    Args:
        plan: The contexts, and what to begin with.
        repeat: How often each object is sent.
        change: Makes of an instance what is to be sent.

    Attributes:
        contexts: To be proposed.
        waiting: What nobody has taken yet.
        later: What was found meanwhile and needs other contexts.
        stopped: Why nothing else shall be sent; empty while it shall.
    """

    def __init__(
        self, plan: Plan, repeat: int = 1, change: Callable[[Instance], Instance] | None = None
    ) -> None:
        self.contexts = plan.contexts
        self.waiting: deque[Instance] = deque()
        self.later: list[Instance] = []
        self.stopped = ""
        self._repeat = repeat
        self._change = change
        self._kinds = {_kind(instance) for instance in plan.instances}
        for instance in plan.instances:
            self.add(instance)

    def add(self, instance: Instance) -> None:
        """An object that was found; it waits here if its kind is among those of the plan."""
        if _kind(instance) not in self._kinds:
            self.later.append(instance)
            return
        for _ in range(self._repeat):
            self.waiting.append(instance if self._change is None else self._change(instance))

    @property
    def wants_more(self) -> bool:
        """Whether it is time to look for more."""
        room = SCAN_FIRST - SCAN_STEP
        return len(self.waiting) <= room and len(self.later) <= room and not self.stopped

    def take(self, count: int, length: int) -> list[Instance]:
        """The next objects, at most `count` and about `length` bytes; one that is not small is the last."""
        taken: list[Instance] = []
        while self.waiting and len(taken) < count and length > 0:
            try:
                instance = self.waiting.popleft()
            except IndexError:  # another thread was faster
                break
            taken.append(instance)
            small = 0 < instance.size <= SMALL_DATA_SET_LENGTH  # what is encoded later has no size yet
            length -= instance.size if small else length
        return taken

    def take_all(self) -> Iterator[Instance]:
        """Whatever waits."""
        while self.waiting:
            yield self.waiting.popleft()

    def give_back(self, instances: Iterable[Instance]) -> None:
        """Put objects back to the front: they have not been sent, or not been answered for."""
        self.waiting.extendleft(reversed(list(instances)))


def _kind(instance: Instance) -> tuple[str, str]:
    return instance.sop_class_uid, instance.transfer_syntax
