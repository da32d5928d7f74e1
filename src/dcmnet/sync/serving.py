"""A driver that does not wait for its peer: whoever runs it is told when there is nothing to be done."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any

from dcmnet._net.readiness import Wake
from dcmnet.limits import REST_AFTER, TURN_SECONDS
from dcmnet.procedures.association import AssociationCore
from dcmnet.procedures.effects import Close, Effect, Procedure, Receive
from dcmnet.sync.deadlines import earliest
from dcmnet.sync.driver import STILL_TO_COME, Actions, Driver

if TYPE_CHECKING:
    from dcmnet._net.tls import TLSSocket


class ServingDriver(Driver):
    """Carries out the effects of a procedure as far as that goes without waiting for the peer to speak.

    For what else takes time, a handler, the disk, a peer that does not read, it waits as every driver does.

    Args:
        core: The association.
        sock: The connection.
        procedure: What to run.
        wake: Set when the server stops; the association is aborted then.
        on_close: Called before the connection is closed.

    Attributes:
        deadline: When `go_on` has to be called in any case; `inf` for never, 0 for as soon as the others had
            their turn.
    """

    def __init__(
        self,
        core: AssociationCore,
        sock: socket.socket | TLSSocket,
        procedure: Procedure[Any],
        *,
        wake: Wake,
        on_close: Callable[[], None],
    ) -> None:
        self.deadline = inf
        self._procedure = procedure
        self._effect: Effect | None = None
        self._is_waiting = False
        self._turn_ends = 0.0
        self._rest_at = inf
        self._limit: float | None = None
        self._on_close = on_close
        super().__init__(core, sock, wake=wake)
        self._is_plain = isinstance(sock, socket.socket)

    @staticmethod
    def _table(is_paced: bool, takes_turns: bool) -> Actions:
        return _ACTIONS

    def go_on(self) -> bool:
        """Go on with the procedure, when something has come or the time is up; False at its end.

        Raises what the procedure raises.
        """
        self._turn_ends = time.monotonic() + TURN_SECONDS
        try:
            self._effect = self._carry_out(self._procedure, self._effect or next(self._procedure))
        except StopIteration:
            return False
        return True

    def _receive(self, effect: Receive) -> Any:
        if self._beside is not None:  # what goes on beside may end meanwhile: wait for both
            return super()._receive(effect)
        upper_layer = self._upper_layer
        if self._wake is not None and self._wake.is_set:
            self._is_waiting = False
            self._stopped()
        if not self._is_waiting:
            event = None if effect.looked else upper_layer.next_event()
            if event is not None or upper_layer.closing:
                return event
            now = time.monotonic()
            answer_due, self._answer_due = self._answer_due, False
            if now >= self._turn_ends and not answer_due:
                self.deadline = 0.0
                return STILL_TO_COME
            self._limit = None if effect.seconds is None else now + effect.seconds
            # TLS may have decrypted more than was asked for, which no poll tells of.
            if answer_due and self._is_plain:
                return self._leave_waiting(now)
        return self._take(effect)

    def _take(self, effect: Receive) -> Any:
        """What has come; only where there is nothing the waiting begins, or goes on."""
        upper_layer = self._upper_layer
        while True:
            filled = self._fill(upper_layer.get_buffer())
            event = upper_layer.next_event()
            if event is None and not upper_layer.closing and self._time_is_up(self._limit, effect):
                event = upper_layer.next_event()
            self._answer_aside()
            if event is not None or upper_layer.closing:
                self._is_waiting = False
                return event
            if filled:
                self._is_waiting = False
            elif self._is_plain or not self._sock.reading_writes:  # type: ignore[union-attr]  # it is TLS
                return self._leave_waiting(time.monotonic())
            else:
                self._wait_to_receive(self._limit)

    def _leave_waiting(self, now: float) -> object:
        """Say when to go on at the latest; give the buffers up where that has been for nothing."""
        if not self._is_waiting:
            self._is_waiting = True
            self._rest_at = now + REST_AFTER
        elif now >= self._rest_at:
            self._rest_at = inf
            self._upper_layer.rest()
            self._gatherer.rest()
        due = earliest(self._limit, self._upper_layer.deadline)
        self.deadline = self._rest_at if due is None or due > self._rest_at else due
        return STILL_TO_COME

    def _close(self, effect: Close) -> None:
        if self._sock is not None:
            self._on_close()
        super()._close(effect)


_ACTIONS = Driver._table(False, False) | {Receive: ServingDriver._receive, Close: ServingDriver._close}
