"""When an association that was lost is made again: after what wait, and how often."""

from __future__ import annotations

from dcmnet.errors import (
    AssociationAborted,
    AssociationRejected,
    AssociationReleased,
    DcmnetError,
    DeadlineExceeded,
    RemoteProtocolError,
    TransportClosed,
)

LONGEST_WAIT = 300.0
"""Seconds; the wait doubles up to this."""

_TRANSIENT = 2


class Backoff:
    """Counts the attempts that came to nothing, and says how long to wait before the next one.

    Args:
        retries: Attempts in a row, without an object answered for, before it is given up.
        first_wait: Seconds before the first of them; each next one waits twice as long.
    """

    __slots__ = ("_attempts", "_first_wait", "_retries")

    def __init__(self, retries: int, first_wait: float) -> None:
        self._retries = retries
        self._first_wait = first_wait
        self._attempts = 0

    def lost(self, error: DcmnetError, *, progress: bool) -> float | None:
        """An association is lost.

        Args:
            error: Why.
            progress: Whether an object was answered for since the last time.

        Returns:
            Seconds to wait; None when it is not tried again.
        """
        if progress:
            self._attempts = 0
        if self._attempts >= self._retries or not may_pass(error):
            return None
        self._attempts += 1
        return min(LONGEST_WAIT, self._first_wait * 2.0 ** min(self._attempts - 1, 32))


def may_pass(error: DcmnetError) -> bool:
    """Whether another attempt may fare better: not where the peer refuses for good or breaks the protocol."""
    if isinstance(error, AssociationRejected):
        return error.result == _TRANSIENT  # PS3.8 Table 9-21
    if isinstance(error, AssociationAborted):
        return not error.locally
    return isinstance(error, AssociationReleased | TransportClosed | DeadlineExceeded)


def may_be_the_object(error: DcmnetError) -> bool:
    """Whether the object under way may be why an established association ended: so others may still go."""
    return may_pass(error) or isinstance(error, RemoteProtocolError)
