"""What came of a transfer, object by object and in all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from dcmnet._records import dataclass, field
from dcmnet.dimse.codes import StatusClass, status_class, status_details
from dcmnet.errors import DcmnetError, StatusError
from dcmnet.registry.statuses import text_of

_MOST_NAMES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreResult:
    """What came of one object.

    Attributes:
        name: The file's name, or what stands for it.
        sop_class_uid: UID, empty where the file could not be read.
        sop_instance_uid: UID, empty where the file could not be read.
        transfer_syntax: UID of the one it was sent in, empty where it was not sent.
        size: Length of its data set as sent, in bytes.
        original_transfer_syntax: UID of the one its file or data set is in.
        file_length: Length of its file in bytes; 0 where there is none.
        file_modified: When its file was last modified, in nanoseconds since 1970; 0 where there is none.
        association: Number of the association it went over, from 1; 0 where there was none.
        context_id: The presentation context it was sent on, 0 where it was not sent.
        status: The peer's answer; None where there was none.
        comment: The peer's Error Comment (0000,0902).
        offending_element: Tags of the peer's Offending Element (0000,0901).
        error_id: The peer's Error ID (0000,0903); None where there was none.
        error: Why there was no answer; None where there was one.
    """

    name: str
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    transfer_syntax: str = ""
    size: int = 0
    original_transfer_syntax: str = ""
    file_length: int = 0
    file_modified: int = 0
    association: int = 0
    context_id: int = 0
    status: int | None = None
    comment: str = ""
    offending_element: tuple[int, ...] = ()
    error_id: int | None = None
    error: DcmnetError | None = None

    @property
    def status_class(self) -> StatusClass:
        """Success, warning or failure; failure where there was no answer."""
        return StatusClass.FAILURE if self.status is None else status_class(self.status)

    @property
    def ok(self) -> bool:
        """Whether the peer has kept the object (success, or success with a warning)."""
        return self.status_class in (StatusClass.SUCCESS, StatusClass.WARNING)

    @property
    def details(self) -> str:
        """What the peer said beside the status, on one line; "" for nothing."""
        return status_details(self.comment, self.offending_element, self.error_id)

    def describe(self) -> str:
        """One line for a person: the status in the standard's words, or the error."""
        if self.status is None:
            return str(self.error or "not sent")
        text = f"0x{self.status:04X} ({text_of(self.status, 'storage')})"
        return f"{text}: {self.details}" if self.details else text


@dataclass(slots=True)
class Report:
    """What came of a whole transfer.

    Attributes:
        results: One a source, in the order in which they were dealt with.
        skipped: What was passed over, each with the reason: files in folders that are not DICOM, and what
            `on_sending` left out.
        former: What a former transfer has stored, and was not sent again.
        associations: Associations that were established.
        contexts: Presentation contexts that were proposed, on all of them together.
        missing: Why associations that were to share the work with others could not be had, or ended with
            nothing under way. What an association had under way when it ended early is among the results.
        endings: What went wrong when associations were to be released, after everything had its answer.
    """

    results: list[StoreResult] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    former: list[StoreResult] = field(default_factory=list)
    associations: int = 0
    contexts: int = 0
    missing: list[DcmnetError] = field(default_factory=list)
    endings: list[DcmnetError] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """True when the peer has kept every object, now or before, and there was one."""
        return bool(self.results or self.former) and all(result.ok for result in self.results)

    @property
    def stored(self) -> int:
        """Objects that the peer has kept."""
        return sum(result.ok for result in self.results)

    @property
    def failed(self) -> int:
        """Objects that the peer has not kept, whatever the reason."""
        return len(self.results) - self.stored

    @property
    def warnings(self) -> int:
        """Objects that the peer has kept with a warning."""
        return sum(result.status_class is StatusClass.WARNING for result in self.results)

    @property
    def size(self) -> int:
        """Bytes of the data sets that the peer has kept."""
        return sum(result.size for result in self.results if result.ok)

    @property
    def statuses(self) -> dict[int, int]:
        """How often the peer answered with each status."""
        return dict(Counter(each.status for each in self.results if each.status is not None))

    def raise_for_failures(self) -> None:
        """Raise when an object was not kept, or there was nothing to send.

        Raises:
            StatusError: It names the first such object and how many there are, or the files passed over.
        """
        if not (self.results or self.former):
            raise StatusError(self._why_nothing(), status=0)
        failures: Iterable[StoreResult] = [result for result in self.results if not result.ok]
        for first in failures:
            message = (
                f"{self.failed} of {len(self.results)} objects not stored; {first.name}: {first.describe()}"
            )
            raise StatusError(
                message,
                status=first.status or 0,
                comment=first.comment,
                offending_element=first.offending_element,
                error_id=first.error_id,
            ) from first.error

    def _why_nothing(self) -> str:
        if not self.skipped:
            return "nothing to send"
        names = ", ".join(name for name, _ in self.skipped[:_MOST_NAMES])
        more = len(self.skipped) - _MOST_NAMES
        return f"nothing to send; passed over: {names}" + (f" and {more} more" if more > 0 else "")
