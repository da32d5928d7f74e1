"""How an association ended, for calls that come afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcmnet.errors import (
    ABORT_SOURCE_PROVIDER,
    AssociationAborted,
    AssociationError,
    AssociationReleased,
    DcmnetError,
    DeadlineExceeded,
    TransportClosed,
)
from dcmnet.ul.fsm import Sta

if TYPE_CHECKING:
    from dcmnet.procedures.association import AssociationCore

_NOT_READ = ("write", "minimum send rate")
"""Timers of a peer that does not read: no A-ABORT reaches it."""

RELEASED_HERE = "this side released the association"


def note_end(core: AssociationCore, error: DcmnetError) -> None:
    """Keep how the association ended; what comes later is a consequence of that."""
    if core.ending is None:
        core.ending = core.upper_layer.now, error


def check_not_over(core: AssociationCore) -> None:
    """Refuse an operation on an association that is over.

    Raises:
        AssociationReleased: It was released, by either side.
        AssociationAborted: It was aborted, by either side, or lost; what ended it is the cause.
    """
    if core.ending is None:
        if core.negotiated is None or core.upper_layer.state is not Sta.STA1:
            return
        note_end(core, TransportClosed("the connection was closed"))
    assert core.ending is not None
    at, error = core.ending
    raise _later(error, f"the association is over: {error}, {core.upper_layer.now - at:.1f} s ago") from error


def is_over(core: AssociationCore) -> bool:
    """Whether the association has ended, as far as has arrived here."""
    upper_layer = core.upper_layer
    return core.ending is not None or not upper_layer.established or upper_layer.end_ahead()


def is_silent(core: AssociationCore, error: BaseException) -> bool:
    """Whether an association ends because its peer has been waited for: it is not waited for again."""
    return isinstance(error, DeadlineExceeded) and (core.requestor or error.timer in _NOT_READ)


def _later(error: DcmnetError, text: str) -> AssociationError:
    if isinstance(error, AssociationReleased):
        return AssociationReleased(text)
    if isinstance(error, AssociationAborted):
        return AssociationAborted(error.source, error.reason, locally=error.locally, message=text)
    # PS3.8 7.4: an association that is lost is aborted by the provider; any other was aborted by this side.
    lost = isinstance(error, TransportClosed)
    return AssociationAborted(ABORT_SOURCE_PROVIDER if lost else 0, 0, locally=not lost, message=text)
