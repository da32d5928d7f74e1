"""The blocking driver: runs procedures on a socket, in the thread that asks for it."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from dcmnet._net.forks import inherited, own
from dcmnet._net.pacing import Pace, ReadingRate
from dcmnet._net.readiness import Waiter, Wake
from dcmnet._net.transfer import (
    Gatherer,
    address_text,
    prepare,
    reason_text,
    rest_after,
    send_some,
    total_length,
    unsent_length,
)
from dcmnet.errors import AssociationAborted, DeadlineExceeded, TransportClosed
from dcmnet.limits import REST_AFTER
from dcmnet.procedures.association import AssociationCore
from dcmnet.procedures.effects import (
    NEVER,
    Call,
    Close,
    Connect,
    Effect,
    Finished,
    Join,
    Look,
    Next,
    Procedure,
    Receive,
    Send,
    Spawn,
    Start,
    Store,
    Together,
    Wait,
)
from dcmnet.procedures.ended import note_end
from dcmnet.sync.beside import Beside
from dcmnet.sync.calls import awaited, call, waiting
from dcmnet.sync.deadlines import earliest, share_of, until
from dcmnet.sync.together import run_together

if TYPE_CHECKING:
    import asyncio

    from dcmnet._net.tls import TLSSocket

T = TypeVar("T")

Actions: TypeAlias = "dict[type, Callable[[Any, Any], Any]]"

STILL_TO_COME = object()
"""The outcome of an effect that is carried out later: by a driver that leaves the waiting to others."""

_UNDER_WAY = (errno.EINPROGRESS, errno.EWOULDBLOCK, getattr(errno, "WSAEWOULDBLOCK", errno.EWOULDBLOCK))
"""What a connection that is being made says at first."""


class Driver:
    """Carries out the effects of one association's procedures.

    Args:
        core: The association.
        sock: The connection of an acceptor; a requestor's comes with `Connect`.
        wake: Set when the server stops; the association is aborted then.
        family: Address family of `Connect`, AF_UNSPEC for any.
        pace: How fast to send, together with all that share it; None for as fast as the peer takes it.
        turn: Held while a handler is called, where the drivers of one transfer share it.
    """

    def __init__(
        self,
        core: AssociationCore,
        sock: socket.socket | TLSSocket | None = None,
        *,
        wake: Wake | None = None,
        family: int = socket.AF_UNSPEC,
        pace: Pace | None = None,
        turn: threading.RLock | None = None,
    ) -> None:
        self._core = core
        self._upper_layer = core.upper_layer
        self._pace = pace
        self._family = family
        self._wake = wake
        self._sock: socket.socket | TLSSocket | None = None
        self._connecting: socket.socket | None = None
        self._waiter: Waiter | None = None
        self._gatherer = Gatherer()
        self._reading = ReadingRate(core.timeouts)
        self._send_error: OSError | None = None
        self._out_of_step = False
        self._answer_due = False
        self._beside: Beside | None = None
        self._turn = turn
        self._spawned: dict[int, Driver] = {}
        self._runner: asyncio.Runner | None = None
        self._usual = self._table(pace is not None, turn is not None)
        self._actions = self._usual
        if sock is not None:
            self._attach(sock)

    @staticmethod
    def _table(is_paced: bool, takes_turns: bool) -> Actions:
        """What carries out each effect; one table for all drivers of a kind."""
        actions = _ACTIONS
        if is_paced:
            actions = actions | {Send: Driver._send_paced}
        if takes_turns:
            actions = actions | {Call: Driver._call_in_turn}
        return actions

    def run(self, procedure: Procedure[T]) -> T:
        """Run a procedure to its end; what it returns or raises comes out."""
        self._upper_layer.advance(time.monotonic())
        try:
            self._carry_out(procedure, next(procedure))
        except StopIteration as stop:
            value: T = stop.value
            return value
        raise AssertionError("this driver waits where it has to")

    def _carry_out(self, procedure: Procedure[Any], effect: Effect) -> Effect:
        """Carry out this effect and those that follow; returns one whose outcome is still to come.

        Raises:
            StopIteration: The procedure has ended.
        """
        advance = self._upper_layer.advance
        try:
            while True:
                try:
                    outcome = self._actions[type(effect)](self, effect)
                except BaseException as error:
                    advance(time.monotonic())
                    effect = procedure.throw(error)
                else:
                    if outcome is STILL_TO_COME:
                        return effect
                    advance(time.monotonic())
                    effect = procedure.send(outcome)
        except StopIteration:
            raise
        except BaseException:
            import inspect  # slow to load, and most associations end well

            if inspect.getgeneratorstate(procedure) != inspect.GEN_CLOSED:
                self._abandon(procedure)  # Ctrl-C between two effects: the procedure knows nothing of it
            raise

    def interrupt(self) -> None:
        """From another thread: the procedure under way gets AssociationAborted where it sends or receives."""
        self._actions = self._usual | {Send: Driver._interrupted, Receive: Driver._interrupted}
        for sock in (self._connecting, self._sock):
            if sock is not None:
                with contextlib.suppress(OSError):  # closed already
                    sock.shutdown(socket.SHUT_RD)  # wakes who waits for the peer

    def _interrupted(self, _: Send | Receive | None = None) -> Any:
        self.resume()
        raise AssociationAborted(0, 0, locally=True)

    def _check_interrupted(self) -> None:
        if self._actions[Receive] is Driver._interrupted:  # `interrupt` has shut the connection down
            self._interrupted()

    def resume(self) -> None:
        """Forget an interruption that nothing was under way for."""
        # What follows is an abort, which waits for no rate.
        self._actions = self._usual if self._pace is None else self._usual | {Send: Driver._send}

    def _abandon(self, procedure: Procedure[Any]) -> None:
        """Give up where no effect can be thrown into: the peer sees the connection close."""
        self._out_of_step = True
        for driver in (self, *self._spawned.values()):
            driver._close(Close())
        procedure.close()

    def _spawn(self, effect: Spawn) -> Any:
        driver = self._spawned.pop(id(effect.core), None)
        if driver is None:
            driver = Driver(effect.core, wake=self._wake, family=self._family, pace=self._pace)
        try:
            return driver.run(effect.procedure)
        finally:
            if driver._sock is not None:  # the association goes on with the next procedure
                self._spawned[id(effect.core)] = driver

    def _together(self, effect: Together) -> None:
        turn = threading.RLock()
        drivers = [
            Driver(spawn.core, wake=self._wake, family=self._family, pace=self._pace, turn=turn)
            for spawn in effect.spawns
        ]
        run_together(
            [partial(each.run, spawn.procedure) for each, spawn in zip(drivers, effect.spawns, strict=True)],
            [each.interrupt for each in drivers],
        )

    def _pass_time(self, effect: Wait) -> None:
        time.sleep(effect.seconds)

    # ------------------------------------------------------------------ calls

    def _store(self, effect: Store) -> None:
        effect.sink.write(effect.views)

    def _call(self, effect: Call) -> Any:
        outcome = effect.handler(*effect.args)
        return self._await(outcome) if hasattr(outcome, "__await__") else outcome

    def _next(self, effect: Next) -> Any:
        iterator = effect.iterator
        return self._await(anext(iterator, None)) if hasattr(iterator, "__anext__") else next(iterator, None)

    def _await(self, outcome: Awaitable[T]) -> T:
        """Wait for what an asynchronous handler does, in one event loop as long as the association lasts."""
        if self._sock is None:
            return awaited(outcome)
        if self._runner is None:
            import asyncio

            self._runner = asyncio.Runner()
        return self._runner.run(waiting(outcome))

    def _call_in_turn(self, effect: Call) -> Any:
        assert self._turn is not None
        with self._turn:
            return self._call(effect)

    def _start(self, effect: Start) -> None:
        if self._beside is None:
            self._beside = Beside(self._core.serves, call)
            self._waiting.heed(self._beside.wake)
        self._beside.start(effect)

    def _join(self, _: Join) -> Finished:
        assert self._beside is not None
        return self._beside.join()

    # ------------------------------------------------------------------ the connection

    def _attach(self, sock: socket.socket | TLSSocket) -> None:
        self._sock = sock
        if isinstance(sock, socket.socket):
            prepare(sock)
            self._core.peer = self._core.peer or address_text(sock.getpeername())
        else:
            from dcmnet.sync import tls

            tls.attach(self._core, sock)
        own(self)
        self._upper_layer.transport_connected(time.monotonic())

    @property
    def _waiting(self) -> Waiter:
        """Waits for the connection."""
        if self._waiter is None:
            assert self._sock is not None
            busy_wait = self._core.timeouts.busy_wait
            if isinstance(self._sock, socket.socket):
                self._waiter = Waiter(self._sock, self._wake, busy_wait=busy_wait)
            else:
                from dcmnet._net import tls

                self._waiter = tls.Waiter(self._sock, self._wake, busy_wait=busy_wait)
        return self._waiter

    def _connect(self, effect: Connect) -> None:
        deadline = None if effect.timeout is None else time.monotonic() + effect.timeout
        where = f"{effect.host}:{effect.port}"
        # Bytes need no IDNA codec, which is slow to load.
        host = effect.host.encode() if effect.host.isascii() else effect.host
        secure = _secured if effect.tls is None else self._handshake(effect, deadline)
        try:
            found = socket.getaddrinfo(host, effect.port, self._family, socket.SOCK_STREAM)
        except OSError as error:
            raise TransportClosed(f"cannot find the host {effect.host}: {error.strerror or error}") from error
        last: OSError | None = None
        for index, (family, kind, protocol, _, address) in enumerate(found):
            try:
                seconds = share_of(deadline, len(found) - index)
                self._connect_one(socket.socket(family, kind, protocol), address, seconds, secure)
                return
            except DeadlineExceeded:  # of the handshake
                raise
            except OSError as error:  # TimeoutError is one of them
                last = error
        if isinstance(last, TimeoutError) and deadline is not None and time.monotonic() >= deadline:
            raise DeadlineExceeded("connect", effect.timeout) from last
        raise TransportClosed(f"cannot connect to {where}: {reason_text(last)}") from last

    def _handshake(self, effect: Connect, deadline: float | None) -> Callable[[socket.socket], TLSSocket]:
        """What makes a TLS connection of a plain one, in the time that connecting has left over."""
        from dcmnet._net.tls import requestor_security
        from dcmnet.sync.tls import secure

        assert effect.tls is not None
        security = requestor_security(effect.tls, effect.host)
        seconds = earliest(effect.timeout, self._core.timeouts.acse)
        return partial(secure, security=security, seconds=seconds, deadline=deadline, wake=self._wake)

    def _connect_one(
        self,
        sock: socket.socket,
        address: Any,
        seconds: float | None,
        secure: Callable[[socket.socket], socket.socket | TLSSocket],
    ) -> None:
        try:
            self._open(sock, address, seconds)
            sock.settimeout(seconds)
            self._attach(secure(sock))
        except BaseException:
            sock.close()
            self._check_interrupted()
            raise
        finally:
            self._connecting = None

    def _open(self, sock: socket.socket, address: Any, seconds: float | None) -> None:
        sock.setblocking(False)
        failure = sock.connect_ex(address)
        self._connecting = sock  # only now does a shutdown end the waiting
        self._check_interrupted()
        if failure in _UNDER_WAY:
            if not Waiter(sock).wait(write=True, read=False, timeout=seconds).writable:
                raise TimeoutError("timed out")
            failure = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failure:
            raise OSError(failure, os.strerror(failure))

    def _close(self, _: Close) -> None:
        if self._beside is not None:
            self._beside.close()
        if self._runner is not None:
            self._runner.close()
            self._runner = None
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        self._upper_layer.transport_closed(time.monotonic())

    # ------------------------------------------------------------------ sending

    def _send(self, effect: Send) -> bool:
        sock = self._sock
        if self._out_of_step or sock is None:
            effect.note(NEVER, NEVER)
            return False
        buffers = self._gatherer.gather(effect.parts)
        limit = self._core.timeouts.write
        deadline: float | None = None
        self._out_of_step = True  # until all is out: whatever comes between may leave a PDU half sent
        while buffers:
            try:
                count = send_some(sock, buffers)
            except BlockingIOError:
                if deadline is None and limit is not None:
                    deadline = time.monotonic() + limit
                goes_on = self._wait_to_send(deadline, effect, buffers)
            except OSError as error:
                self._send_error = error
                goes_on = False
            else:
                deadline = None
                buffers = rest_after(buffers, count)
                if self._reading.seconds:
                    self._reading.moved(count)
                goes_on = not buffers or self._hear(effect, buffers)
            if not goes_on:
                effect.note(unsent_length(sock, buffers), NEVER)
                return False
        self._out_of_step = False
        self._answer_due = True
        return True

    def _hear(self, effect: Send, buffers: list[memoryview]) -> bool:
        """Read what the peer has sent while these are left to send; False when the association has ended."""
        room = self._upper_layer.get_buffer()
        assert self._sock is not None
        if len(room) and self._fill(room):
            effect.note(unsent_length(self._sock, buffers), self._upper_layer.received)
        return not (self._upper_layer.closing or self._upper_layer.abort_ahead())

    def _wait_to_send(self, deadline: float | None, effect: Send, buffers: list[memoryview]) -> bool:
        """Wait for room, reading what the peer says meanwhile; False when the association has ended."""
        if self._upper_layer.abort_ahead():  # it came together with what is being answered
            return False
        room = self._upper_layer.get_buffer()
        since = time.monotonic()
        ready = self._waiting.wait(write=True, read=len(room) > 0, timeout=until(deadline))
        self._reading.seconds += time.monotonic() - since
        if ready.readable and not self._hear(effect, buffers):
            return False
        if ready.woken:
            self._woken()
        if deadline is not None and not ready.writable and time.monotonic() >= deadline:
            raise DeadlineExceeded("write", self._core.timeouts.write)
        return True

    def _send_paced(self, effect: Send) -> bool:
        """Send piece by piece, each when its turn has come."""
        assert self._pace is not None
        if self._out_of_step or self._sock is None:
            effect.note(NEVER, NEVER)
            return False
        whole = self._gatherer.gather(effect.parts)  # a file that fails does so before anything is sent
        left = total_length(whole)
        for piece in self._pace.pieces(whole):
            self._out_of_step = True  # whatever comes while we wait may leave a PDU half sent
            length = total_length(piece)
            if not self._pause(self._pace.reserve(length, time.monotonic()), effect, left):
                effect.note(left, NEVER)
                return False
            self._out_of_step = False
            left -= length
            part = Send(piece)
            sent = self._send(part)
            for unsent, position in part.heard or ():
                effect.note(unsent + left, position)
            if not sent:
                return False
        return True

    def _pause(self, seconds: float, effect: Send, unsent: int) -> bool:
        """Let time pass, reading what the peer says meanwhile; False when the association has ended."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            room = self._upper_layer.get_buffer()
            ready = self._waiting.wait(read=len(room) > 0, timeout=left)
            if ready.readable:
                self._fill(room)
                effect.note(unsent, self._upper_layer.received)
            if ready.woken:
                self._stopped()
            if ready.writable or self._upper_layer.closing or self._upper_layer.abort_ahead():
                return False
        return True

    # ------------------------------------------------------------------ receiving

    def _receive(self, effect: Receive) -> Any:
        upper_layer = self._upper_layer
        if (finished := self._finished()) is not None:
            return finished
        event = None if effect.looked else upper_layer.next_event()
        if event is not None or upper_layer.closing:
            return event
        if self._wake is not None and self._wake.is_set:
            self._stopped()
        limit = None if effect.seconds is None else time.monotonic() + effect.seconds
        wait_first, self._answer_due = self._answer_due, False
        while event is None and not upper_layer.closing:
            if wait_first:
                self._wait_to_receive(limit)
                if (finished := self._finished()) is not None:
                    return finished
            wait_first = not self._fill(upper_layer.get_buffer())
            event = upper_layer.next_event()
            if event is None and not upper_layer.closing and self._time_is_up(limit, effect):
                event = upper_layer.next_event()
            self._answer_aside()
        return event

    def _look(self, effect: Look) -> bool:
        if self._wake is not None and self._wake.is_set:
            self._stopped()
        upper_layer = self._upper_layer
        if effect.to_the_end:
            self._fill_up()
        elif not (upper_layer.has_input or upper_layer.closing):
            self._fill(upper_layer.get_buffer())
        return upper_layer.has_input or upper_layer.closing

    def _fill_up(self) -> None:
        """Take all that has arrived and fits into the buffer."""
        upper_layer = self._upper_layer
        while not upper_layer.closing and len(room := upper_layer.get_buffer()) and self._fill(room):
            pass

    def disown(self) -> None:
        """In a child process that was forked: the association is the parent's."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        self._out_of_step = True
        note_end(self._core, inherited())

    def peek(self) -> None:
        """Take the bytes that have arrived, between two procedures."""
        if self._sock is not None and not self._upper_layer.closing:
            room = self._upper_layer.get_buffer()
            with contextlib.suppress(AssociationAborted):  # the abort that is about to come says so
                if len(room):
                    self._fill(room)

    def _fill(self, room: memoryview) -> bool:
        """Receive into `room` what has arrived; False when there was nothing, or the connection is lost."""
        if self._sock is None:
            self._upper_layer.transport_lost(time.monotonic(), self._send_error)
            return False
        try:
            count = self._sock.recv_into(room)
        except BlockingIOError:
            return False
        except OSError as error:
            self._lost(error)
            return False
        if count == 0:
            self._lost()
            return False
        self._upper_layer.bytes_received(count, time.monotonic())
        return True

    def _lost(self, error: OSError | None = None) -> None:
        self._check_interrupted()
        self._upper_layer.transport_lost(time.monotonic(), error)

    def _wait_to_receive(self, limit: float | None) -> None:
        waiter = self._waiting
        deadline = earliest(limit, self._upper_layer.deadline)
        is_near = deadline is not None and deadline - time.monotonic() <= REST_AFTER
        ready = waiter.wait(timeout=until(deadline) if is_near else REST_AFTER)
        if not (is_near or any(ready)):
            self._upper_layer.rest()
            self._gatherer.rest()
            ready = waiter.wait(timeout=until(deadline))
        if ready.woken:
            self._woken()

    def _finished(self) -> Finished | None:
        return None if self._beside is None else self._beside.take()

    def _time_is_up(self, limit: float | None, effect: Receive) -> bool:
        """Look at the clock, also when bytes keep coming: True when a timer of the Upper Layer ran out.

        Raises:
            DeadlineExceeded: The effect's own time is up.
        """
        now = time.monotonic()
        deadline = self._upper_layer.deadline
        if deadline is not None and now >= deadline:
            self._upper_layer.timer_expired(now)
            return True
        if limit is not None and now >= limit:
            raise DeadlineExceeded(effect.timer, effect.seconds)
        return False

    def _answer_aside(self) -> None:
        """Send what the Upper Layer answers by itself while nobody asked (an A-ABORT in Sta13)."""
        if self._upper_layer.has_output:
            self._send(Send(self._upper_layer.output()))

    def _woken(self) -> None:
        if self._wake is not None and self._wake.is_set:
            self._stopped()
        if self._beside is not None:
            self._beside.wake.clear()

    def _stopped(self) -> None:
        if self._waiter is not None and self._wake is not None:
            self._waiter.ignore(self._wake)
        self._wake = None  # said once: the abort that follows may take its time
        raise AssociationAborted(0, 0, locally=True)


def _secured(sock: socket.socket) -> socket.socket:
    return sock  # plain TCP was asked for


_ACTIONS: Actions = {
    Connect: Driver._connect,
    Send: Driver._send,
    Receive: Driver._receive,
    Look: Driver._look,
    Store: Driver._store,
    Call: Driver._call,
    Start: Driver._start,
    Join: Driver._join,
    Next: Driver._next,
    Spawn: Driver._spawn,
    Wait: Driver._pass_time,
    Together: Driver._together,
    Close: Driver._close,
}
