"""What a transfer still has to send: looked for in folders while the first objects are under way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from dcmnet.errors import InputFileError
from dcmnet.limits import KEPT_LENGTH, LOOK_AHEAD, SCAN_FIRST, SCAN_STEP, SMALL_DATA_SET_LENGTH
from dcmnet.storage.contents import Contents
from dcmnet.storage.looking import Looker
from dcmnet.storage.planning import Plan
from dcmnet.storage.report import StoreResult
from dcmnet.storage.sources import ForeignFile, Instance, find_files

if TYPE_CHECKING:
    from dcmnet.storage.scu import Transfer


class Scanned(NamedTuple):
    """One file that was looked at and is not sent.

    Attributes:
        former: What a former transfer has done with it.
        error: Why it cannot be sent.
        skipped: It was found in a folder, and nobody expects that it can be sent.
    """

    former: StoreResult | None = None
    error: InputFileError | None = None
    skipped: bool = False


class Feed:
    """Finds out what the sources of a transfer are, some at a time.

    Args:
        job: The transfer.

    Attributes:
        more: Whether there may be more to find.
        contents: What was read of small files on the way.
    """

    def __init__(self, job: Transfer) -> None:
        self._job = job
        self._found = _found(job)
        # What goes out otherwise than it is has to be read from the file once more.
        as_it_is = job.inventor is None and job.proposal.encoding.new_vr
        self.contents = Contents(KEPT_LENGTH if as_it_is else 0)
        looker = Looker(
            meta=job.meta,
            bare=job.bare,
            uid_checks=job.uid_checks,
            check=job.check,
            contents=self.contents,
        )
        self._look_at = looker.look
        self.more = True

    def scan(self, count: int) -> list[Instance | Scanned]:
        """Look at the next `count` files; fewer only when there are no more."""
        look = self._look
        scanned = [look(source, in_folder) for source, in_folder in islice(self._found, count)]
        self.more = len(scanned) == count
        return scanned

    def _look(self, source: Any, in_folder: bool) -> Instance | Scanned:
        if isinstance(source, InputFileError):
            return Scanned(error=source)
        try:
            instance = self._look_at(source)
        except InputFileError as error:
            return Scanned(error=error, skipped=in_folder and isinstance(error, ForeignFile))
        if self._job.former is None or (former := self._job.former(instance)) is None:
            return instance
        self.contents.take(instance)
        return Scanned(former)


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
        alone: Whether one object is under way at a time and nothing is added, so that the one at fault shows
            when an association ends.

    Attributes:
        contexts: To be proposed.
        alone: As given.
        waiting: What nobody has taken yet.
        later: What was found meanwhile and needs other contexts.
        stopped: Why nothing else shall be sent; empty while it shall.
    """

    def __init__(
        self,
        plan: Plan,
        repeat: int = 1,
        change: Callable[[Instance], Instance] | None = None,
        *,
        alone: bool = False,
    ) -> None:
        self.contexts = plan.contexts
        self.alone = alone
        self.waiting: deque[Instance] = deque()
        self.later: list[Instance] = []
        self.stopped = ""
        self._repeat = repeat
        self._change = change
        self._kinds = {_kind(instance) for instance in plan.instances}
        self.add(plan.instances)

    def add(self, instances: Iterable[Instance]) -> list[Instance]:
        """Objects that were found; they wait here if their kind is among those of the plan.

        Returns:
            The others, which wait for another association.
        """
        kinds, change, wait = self._kinds, self._change, self.waiting.append
        later: list[Instance] = []
        for instance in instances:
            if (instance.sop_class_uid, instance.transfer_syntax) not in kinds:
                later.append(instance)
                continue
            for _ in range(self._repeat):
                wait(instance if change is None else change(instance))
        self.later += later
        return later

    @property
    def wants_more(self) -> bool:
        """Whether it is time to look for more."""
        if self.alone or self.stopped:
            return False
        return len(self.waiting) <= LOOK_AHEAD and len(self.later) <= SCAN_FIRST - SCAN_STEP

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
