"""The asyncio driver: runs procedures on a socket, in the task that asks for it."""

from __future__ import annotations

import asyncio
import inspect
import socket
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from dcmnet._net.connecting import happy_eyeballs
from dcmnet._net.forks import inherited, own
from dcmnet._net.pacing import Pace, ReadingRate
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
from dcmnet.aio.buffers import WideBuffers
from dcmnet.aio.readiness import Waiter
from dcmnet.aio.threads import Threads, of_clients
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

if TYPE_CHECKING:
    from dcmnet._net.tls import TLSSocket

T = TypeVar("T")

_ON_BEHALF: ContextVar[tuple[asyncio.Task[Any] | None, asyncio.Task[Any] | None]] = ContextVar(
    "_ON_BEHALF", default=(None, None)
)
"""A task that carries out an operation, and that of its association; inherited by tasks that are neither."""

TURN = 16
"""Receptions in a row, without waiting, after which the other tasks of the loop get their turn."""


def serving_task() -> asyncio.Task[Any] | None:
    """The task of the association that the current one works for; itself where it works for none."""
    current = asyncio.current_task()
    worker, served = _ON_BEHALF.get()
    return served if worker is current else current


class Driver:
    """Carries out the effects of one association's procedures.

    Handlers that are no coroutine functions, and writes to files, run in threads, so that a slow one never
    stalls the other associations.

    Args:
        core: The association.
        sock: The connection of an acceptor; a requestor's comes with `Connect`.
        family: Address family of `Connect`, AF_UNSPEC for any.
        threads: What blocks is called in; those that all clients of the loop share when not given.
        wide: Longer receive buffers, for as many associations as may have one; see `give_back_buffer`.
        pace: How fast to send, together with all that share it; None for as fast as the peer takes it.
        turn: Held while a handler is called, where the drivers of one transfer share it.
    """

    def __init__(
        self,
        core: AssociationCore,
        sock: socket.socket | TLSSocket | None = None,
        *,
        family: int = socket.AF_UNSPEC,
        threads: Threads | None = None,
        wide: WideBuffers | None = None,
        pace: Pace | None = None,
        turn: asyncio.Lock | None = None,
    ) -> None:
        core.calls_in_threads = True
        self._core = core
        self._upper_layer = core.upper_layer
        self._pace = pace
        self._family = family
        self._loop = asyncio.get_running_loop()
        self._threads = threads or of_clients()
        self._wide = wide
        self._has_wide = False
        self._sock: socket.socket | TLSSocket | None = None
        self._waiter: Waiter | None = None
        self._gatherer = Gatherer()
        self._reading = ReadingRate(core.timeouts)
        self._send_error: OSError | None = None
        self._out_of_step = False
        self._answer_due = False
        self._spawned: dict[int, Driver] = {}
        self._in_a_row = 0
        self._started: set[asyncio.Task[None]] = set()
        self._joining: asyncio.Future[None] | None = None
        self._finished: list[Finished] = []  # a deque takes ten times as much, idle
        self._turn = turn
        self._usual = _ACTIONS  # one table for all associations, and another only for those that differ
        if turn is not None:
            self._usual = self._usual | {Call: Driver._call_in_turn}
        if pace is not None:
            self._usual = self._usual | {Send: Driver._send_paced}
        self._actions = self._usual
        if sock is not None:
            self._attach(sock)

    async def run(self, procedure: Procedure[T]) -> T:
        """Run a procedure to its end; what it returns or raises comes out."""
        advance = self._upper_layer.advance
        clock = self._loop.time
        advance(clock())
        try:
            effect: Effect = next(procedure)
            while True:
                try:
                    outcome = await self._actions[type(effect)](self, effect)
                except BaseException as error:
                    advance(clock())
                    effect = procedure.throw(error)
                else:
                    advance(clock())
                    effect = procedure.send(outcome)
        except StopIteration as stop:
            value: T = stop.value
            return value

    def interrupt(self) -> None:
        """From another task: the procedure under way gets AssociationAborted where it sends or receives."""
        error = AssociationAborted(0, 0, locally=True)
        if self._waiter is None or not self._waiter.fail(error):
            self._actions = self._usual | {Send: Driver._interrupted, Receive: Driver._interrupted}

    async def _interrupted(self, _: Send | Receive | None = None) -> Any:
        self.resume()
        raise AssociationAborted(0, 0, locally=True)

    def give_back_buffer(self) -> None:
        """Let other associations have the wide buffer of this one, if it has one; at the end it must."""
        if self._wide is not None and self._has_wide:
            self._has_wide = False
            self._wide.give_back()

    def resume(self) -> None:
        """Forget an interruption that nothing was under way for."""
        # What follows is an abort, which waits for no rate.
        self._actions = self._usual if self._pace is None else self._usual | {Send: Driver._send}

    async def _spawn(self, effect: Spawn) -> Any:
        driver = self._spawned.pop(id(effect.core), None)
        if driver is None:
            driver = Driver(effect.core, family=self._family, threads=self._threads, pace=self._pace)
        try:
            return await driver.run(effect.procedure)
        finally:
            if driver._sock is not None:  # the association goes on with the next procedure
                self._spawned[id(effect.core)] = driver

    async def _together(self, effect: Together) -> None:
        turn = asyncio.Lock()
        drivers = [
            Driver(spawn.core, family=self._family, threads=self._threads, pace=self._pace, turn=turn)
            for spawn in effect.spawns
        ]
        tasks = [
            self._loop.create_task(each.run(spawn.procedure))
            for each, spawn in zip(drivers, effect.spawns, strict=True)
        ]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # ------------------------------------------------------------------ calls

    async def _call_in_turn(self, effect: Call) -> Any:
        assert self._turn is not None
        async with self._turn:
            return await self._call(effect)

    async def _start(self, effect: Start) -> None:
        served = asyncio.current_task()
        if inspect.iscoroutinefunction(effect.handler):
            self._begin_task(effect, partial(effect.handler, *effect.args), served)
        else:
            ended = partial(self._returned, effect, served)
            self._threads.begin(effect.handler, effect.args, ended)

    def _returned(
        self,
        effect: Start,
        served: asyncio.Task[Any] | None,
        outcome: Any,
        error: BaseException | None,
    ) -> None:
        """A handler that is no coroutine function has ended; it may have returned an awaitable."""
        if inspect.isawaitable(outcome):
            self._begin_task(effect, lambda: outcome, served)
        else:
            self._note(Finished(effect, outcome, error))

    def _begin_task(
        self, effect: Start, handler: Callable[[], Awaitable[Any]], served: asyncio.Task[Any] | None
    ) -> None:
        task = self._loop.create_task(self._carry_out(effect, handler, served))
        self._started.add(task)
        task.add_done_callback(partial(self._ended, effect))

    def _ended(self, effect: Start, task: asyncio.Task[None]) -> None:
        self._started.discard(task)
        if task.cancelled():  # before its first step, in which it would have seen to that
            self._note(Finished(effect, error=asyncio.CancelledError()))

    async def _carry_out(
        self, effect: Start, handler: Callable[[], Awaitable[Any]], served: asyncio.Task[Any] | None
    ) -> None:
        token = _ON_BEHALF.set((asyncio.current_task(), served))
        try:
            finished = Finished(effect, await handler())
        except BaseException as error:  # whoever waits for the end gets it
            finished = Finished(effect, error=error)
        _ON_BEHALF.reset(token)
        self._note(finished)

    def _note(self, finished: Finished) -> None:
        """Something has ended: tell who waits for that."""
        self._finished.append(finished)
        if self._joining is not None and not self._joining.done():
            self._joining.set_result(None)
        if self._waiter is not None:
            self._waiter.wake()

    async def _join(self, effect: Join) -> Finished:
        if effect.cancel:
            for task in self._started:
                task.cancel()
        while not self._finished:
            self._joining = self._loop.create_future()
            await self._joining
        return self._finished.pop(0)

    # ------------------------------------------------------------------ the connection

    def _attach(self, sock: socket.socket | TLSSocket) -> None:
        self._sock = sock
        if isinstance(sock, socket.socket):
            prepare(sock)
            self._core.peer = address_text(sock.getpeername())
            self._waiter = Waiter(self._loop, sock, busy_wait=self._core.timeouts.busy_wait)
        else:
            from dcmnet.aio import tls

            self._waiter = tls.attach(self._core, sock, self._loop)
        own(self)
        self._upper_layer.transport_connected(self._loop.time())

    async def _connect(self, effect: Connect) -> None:
        deadline = None if effect.timeout is None else self._loop.time() + effect.timeout
        secure = None if effect.tls is None else await self._handshake(effect, deadline)
        try:
            async with asyncio.timeout_at(deadline):
                sock = await self._open(effect)
        except TimeoutError as error:
            raise DeadlineExceeded("connect", effect.timeout) from error
        self._attach(sock if secure is None else await secure(sock))

    async def _handshake(
        self, effect: Connect, deadline: float | None
    ) -> Callable[[socket.socket], Awaitable[TLSSocket]]:
        """What makes a TLS connection of a plain one, in the time that connecting has left over."""
        from dcmnet._net.tls import requestor_security
        from dcmnet.aio.tls import secure

        security = await self._threads.call(requestor_security, effect.tls, effect.host)  # reads files
        limits = (effect.timeout, self._core.timeouts.acse)
        seconds = min((each for each in limits if each is not None), default=None)
        return partial(secure, security=security, seconds=seconds, deadline=deadline)

    async def _open(self, effect: Connect) -> socket.socket:
        try:
            found = await self._loop.getaddrinfo(
                effect.host, effect.port, family=self._family, type=socket.SOCK_STREAM
            )
        except OSError as error:
            raise TransportClosed(f"cannot find the host {effect.host}: {error.strerror or error}") from error
        try:
            return await happy_eyeballs(self._loop, found)
        except OSError as error:
            where = f"{effect.host}:{effect.port}"
            raise TransportClosed(f"cannot connect to {where}: {reason_text(error)}") from error

    async def _close(self, _: Close) -> None:
        if self._waiter is not None:
            self._waiter.close()
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        self._upper_layer.transport_closed(self._loop.time())

    # ------------------------------------------------------------------ sending

    async def _send(self, effect: Send) -> bool:
        sock = self._sock
        if self._out_of_step or sock is None:
            effect.note(NEVER, NEVER)
            return False
        buffers = self._gatherer.gather(effect.parts)
        limit = self._core.timeouts.write
        deadline: float | None = None
        self._out_of_step = True  # until all is out: a cancellation may leave a PDU half sent
        while buffers:
            try:
                count = send_some(sock, buffers)
            except BlockingIOError:
                if deadline is None and limit is not None:
                    deadline = self._loop.time() + limit
                goes_on = await self._wait_to_send(deadline, effect, buffers)
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

    async def _wait_to_send(self, deadline: float | None, effect: Send, buffers: list[memoryview]) -> bool:
        """Wait for room, reading what the peer says meanwhile; False when the association has ended."""
        assert self._waiter is not None
        if self._upper_layer.abort_ahead():  # it came together with what is being answered
            return False
        room = self._upper_layer.get_buffer()
        since = self._loop.time()
        ready = await self._waiter.wait(write=True, read=len(room) > 0, deadline=deadline)
        self._reading.seconds += self._loop.time() - since
        if ready.readable and not self._hear(effect, buffers):
            return False
        if deadline is not None and not ready.writable and self._loop.time() >= deadline:
            raise DeadlineExceeded("write", self._core.timeouts.write)
        return True

    async def _send_paced(self, effect: Send) -> bool:
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
            if not await self._pause(self._pace.reserve(length, self._loop.time()), effect, left):
                effect.note(left, NEVER)
                return False
            self._out_of_step = False
            left -= length
            part = Send(piece)
            sent = await self._send(part)
            for unsent, position in part.heard or ():
                effect.note(unsent + left, position)
            if not sent:
                return False
        return True

    async def _pause(self, seconds: float, effect: Send, left: int) -> bool:
        """Let time pass, reading what the peer says meanwhile; False when the association has ended."""
        assert self._waiter is not None
        end = self._loop.time() + seconds
        while self._loop.time() < end:
            room = self._upper_layer.get_buffer()
            ready = await self._waiter.wait(read=len(room) > 0, deadline=end)
            if ready.readable:
                self._fill(room)
                effect.note(left, self._upper_layer.received)
            if self._upper_layer.closing or self._upper_layer.abort_ahead():
                return False
        return True

    # ------------------------------------------------------------------ receiving

    async def _receive(self, effect: Receive) -> Any:
        upper_layer = self._upper_layer
        if self._finished:
            return self._finished.pop(0)
        event = None if effect.looked else upper_layer.next_event()
        if event is not None or upper_layer.closing:
            return event
        limit = None if effect.seconds is None else self._loop.time() + effect.seconds
        wait_first, self._answer_due = self._answer_due, False
        while event is None and not upper_layer.closing:
            if wait_first:
                if not self._finished:  # it may have been one since, while other tasks had their turn
                    await self._wait_to_receive(limit)
                if self._finished:
                    return self._finished.pop(0)
            wait_first = not self._fill(upper_layer.get_buffer())
            if not wait_first:
                await self._take_turns()
            event = upper_layer.next_event()
            if event is None and not upper_layer.closing and self._time_is_up(limit, effect):
                event = upper_layer.next_event()
            if upper_layer.has_output:
                await self._send(Send(upper_layer.output()))
        return event

    async def _look(self, effect: Look) -> bool:
        upper_layer = self._upper_layer
        if effect.to_the_end:
            self._fill_up()
        elif not (upper_layer.has_input or upper_layer.closing):
            self._fill(upper_layer.get_buffer())
            await self._take_turns()
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
            if len(room):
                self._fill(room)

    def _fill(self, room: memoryview) -> bool:
        """Receive into `room` what has arrived; False when there was nothing, or the connection is lost."""
        if self._sock is None:
            self._upper_layer.transport_lost(self._loop.time(), self._send_error)
            return False
        try:
            count = self._sock.recv_into(room)
        except BlockingIOError:
            return False
        except OSError as error:
            self._upper_layer.transport_lost(self._loop.time(), error)
            return False
        if count == 0:
            self._upper_layer.transport_lost(self._loop.time())
            return False
        self._upper_layer.bytes_received(count, self._loop.time())
        return True

    async def _take_turns(self) -> None:
        self._in_a_row += 1
        if self._in_a_row >= TURN:
            self._in_a_row = 0
            await asyncio.sleep(0)
            if self._actions[Receive] is not Driver._receive:  # `interrupt` found nobody waiting
                await self._interrupted()

    async def _wait_to_receive(self, limit: float | None) -> None:
        assert self._waiter is not None
        self._in_a_row = 0
        deadline = self._upper_layer.deadline
        if deadline is None or (limit is not None and limit < deadline):
            deadline = limit
        rest_at = self._loop.time() + REST_AFTER
        if deadline is None or rest_at < deadline:
            if (await self._waiter.wait(deadline=rest_at)).readable or self._finished:
                return
            if self._upper_layer.rest():
                self.give_back_buffer()
            self._gatherer.rest()
        await self._waiter.wait(deadline=deadline)

    def _time_is_up(self, limit: float | None, effect: Receive) -> bool:
        """Look at the clock, also when bytes keep coming: True when a timer of the Upper Layer ran out.

        Raises:
            DeadlineExceeded: The effect's own time is up.
        """
        now = self._loop.time()
        deadline = self._upper_layer.deadline
        if deadline is not None and now >= deadline:
            self._upper_layer.timer_expired(now)
            return True
        if limit is not None and now >= limit:
            raise DeadlineExceeded(effect.timer, effect.seconds)
        return False

    # ------------------------------------------------------------------ the rest

    async def _store(self, effect: Store) -> None:
        if self._wide is not None and not self._has_wide:
            self._has_wide = self._wide.take(self._core)
        await self._threads.call(effect.sink.write, effect.views)

    async def _call(self, effect: Call) -> Any:
        if inspect.iscoroutinefunction(effect.handler):
            return await effect.handler(*effect.args)
        outcome = await self._threads.call(effect.handler, *effect.args)
        return await outcome if inspect.isawaitable(outcome) else outcome

    async def _next(self, effect: Next) -> Any:
        if hasattr(effect.iterator, "__anext__"):
            return await anext(effect.iterator, None)
        return await self._threads.call(next, effect.iterator, None)


async def _wait(_: Driver, effect: Wait) -> None:
    await asyncio.sleep(effect.seconds)


_ACTIONS: dict[type, Callable[[Driver, Any], Awaitable[Any]]] = {
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
    Wait: _wait,
    Together: Driver._together,
    Close: Driver._close,
}
