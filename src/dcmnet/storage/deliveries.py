"""The objects of a retrieval that come to this side: counted, and compared with what the peer says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from dcmnet._records import dataclass, field, replace
from dcmnet.dimse.messages import CStoreRQ, StatusClass, status_class
from dcmnet.limits import UNCOUNTED_ARRIVAL
from dcmnet.procedures.association import AssociationCore
from dcmnet.storage.node import Node
from dcmnet.storage.scp import FileStore, StoreRequest


@dataclass(frozen=True, slots=True)
class Claim:
    """How many objects a peer says it has sent, in one retrieval or several that are over.

    Attributes:
        delivered: Sub-operations that have ended with success or a warning.
        failed: Those that have failed.
        is_counted: Whether the peer has said how many; `delivered` is a lower bound if it has not.
    """

    delivered: int = 0
    failed: int = 0
    is_counted: bool = True

    def __add__(self, other: Claim) -> Claim:
        return Claim(
            self.delivered + other.delivered, self.failed + other.failed, self.is_counted and other.is_counted
        )


@dataclass(slots=True)
class Deliveries:
    """The objects that have come so far.

    Several associations may bring them, each in a thread of its own: a list and a set change in one step
    there, and a number that grows twice at once has grown. What waits reads `changes` before the others.

    Attributes:
        files: Where the objects are that were kept as files, in the order in which they came.
        kept: SOP Instance UIDs of those that were answered with success or a warning; one that came twice is
            there twice, as it is among the sub-operations that the peer counts.
        refused: Those that were answered with a failure.
        under_way: The associations that may bring more.
        changes: Grows whenever an object has come, or an association begins or ends.
        on_change: Called then, in whatever thread that is.
    """

    files: list[Path] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    under_way: set[int] = field(default_factory=set)
    changes: int = 0
    on_change: Callable[[], Any] | None = None

    def collecting(self, store: FileStore) -> FileStore:
        """A store that does as `store` does, and tells of each object."""
        given = store.on_stored

        def stored(request: StoreRequest, status: int) -> None:
            self._stored(request, status)
            if given is not None:
                given(request, status)

        given_refused = store.on_refused

        def refused(request: CStoreRQ, status: int) -> None:
            self.refused.append(request.affected_sop_instance_uid)
            self._changed()
            if given_refused is not None:
                given_refused(request, status)

        return replace(store, on_stored=stored, on_refused=refused)

    def attach(self, node: Node) -> None:
        """Watch the objects and the associations of a server that has not been started."""
        assert node.store is not None
        node.store = self.collecting(node.store)
        on_accepted, on_ended = node.hooks.accepted, node.hooks.ended

        def accepted(core: AssociationCore) -> Any:
            self.under_way.add(id(core))
            self._changed()
            return None if on_accepted is None else on_accepted(core)

        def ended(core: AssociationCore, error: BaseException | None) -> Any:
            self.under_way.discard(id(core))
            self._changed()
            return None if on_ended is None else on_ended(core, error)

        node.hooks = replace(node.hooks, accepted=accepted, ended=ended)

    def missing(self, claim: Claim) -> int:
        """How many of the objects that the peer says it has sent have not been kept here."""
        return max(0, claim.delivered - len(self.kept))

    @property
    def lost(self) -> int:
        """How many objects were refused here and have not been kept when they came again."""
        return len(set(self.refused) - set(self.kept))

    def patience(self, claim: Claim, limit: float | None) -> float | None:
        """How long to wait for the next change.

        Args:
            claim: What the peer has said.
            limit: Seconds without a change after which nothing more is expected; None for no limit.

        Returns:
            Seconds; 0 when everything has come, None for as long as it takes: an association that brings what
            is missing ends by its own timers.
        """
        if claim.is_counted and self._has_come(claim):
            return limit if self.under_way else 0.0
        if self.under_way:
            return None
        if self.missing(claim):
            return limit
        return UNCOUNTED_ARRIVAL if limit is None else min(limit, UNCOUNTED_ARRIVAL)

    def _has_come(self, claim: Claim) -> bool:
        # A peer may count an object that was refused here as failed, or, wrongly, as completed.
        came = len(self.kept) + len(self.refused)
        return not self.missing(claim) or came >= claim.delivered + claim.failed

    def _stored(self, request: StoreRequest, status: int) -> None:
        is_refused = status_class(status) is StatusClass.FAILURE
        (self.refused if is_refused else self.kept).append(request.sop_instance_uid)
        if request.saved_as is not None:
            self.files.append(request.saved_as)
        self._changed()

    def _changed(self) -> None:
        self.changes += 1
        if self.on_change is not None:
            self.on_change()
