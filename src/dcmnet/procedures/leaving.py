"""The end of an association on which every operation is complete."""

from __future__ import annotations

from dcmnet.errors import AssociationError, DeadlineExceeded, RemoteProtocolError
from dcmnet.procedures.association import AssociationCore, await_end, closing, release
from dcmnet.procedures.effects import Procedure


def leave(core: AssociationCore, *, strict: bool = False) -> Procedure[None]:
    """Release the association after complete operations.

    A peer that aborts, closes or does not answer instead takes nothing away from what it has answered before:
    that is noted in `core.endings`.

    Args:
        core: The association.
        strict: Raise it as well.

    Raises:
        LocalProtocolError: An operation is under way; it goes on.
    """
    try:
        if core.upper_layer.closing and core.upper_layer.established:  # the peer did not wait for the release
            yield from closing(core, await_end(core))
        yield from release(core, hasty=True)
    except (AssociationError, DeadlineExceeded, RemoteProtocolError) as error:
        core.endings = (error,)
        if strict:
            raise
