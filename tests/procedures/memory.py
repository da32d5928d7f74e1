"""The third driver: both ends of associations in one thread, without sockets, on a clock that tests move.

A `Network` holds the ends and the clock. Every end runs one procedure at a time; the network lets them take
turns until nobody can go on, and only then moves the clock to the next deadline. How bytes are cut on their
way is random, and repeatable by its seed.

```python
network = Network(seed=1)
server = network.acceptor()
server.start(serve(server.core, acceptor))
client = network.requestor(server)
client.run(establish(client.core, "peer", 104, request))
```

A `RawPeer` takes the place of an end where a test says byte by byte what the peer does.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from dcmnet.errors import DeadlineExceeded, InputFileError, TransportClosed
from dcmnet.limits import Limits, Timeouts
from dcmnet.payload import FileRange, Payload
from dcmnet.procedures.association import AssociationCore, new_core
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
from dcmnet.ul.pdu import PDU
from dcmnet.ul.provider import Trace
from dcmnet.ul.reader import Fragment, Reader

T = TypeVar("T")

Turns: TypeAlias = Generator[None, None, T]
"""What an end does; each `yield` lets the others have their turn."""

PIPE_LENGTH = 1 << 16
"""Bytes under way in one direction before the sender has to wait."""


class Stuck(AssertionError):
    """Nobody can go on, and no deadline will change that."""


class Network:
    """The ends, what is between them, and the time.

    Args:
        seed: Of the random sizes in which bytes arrive.
        whole: Bytes arrive uncut.
    """

    def __init__(self, seed: int = 0, *, whole: bool = False) -> None:
        self.now = 1000.0
        self.random = random.Random(seed)
        self.whole = whole
        self.ends: list[End] = []

    def acceptor(self, **options: Any) -> End:
        """An end that waits for a connection; options as for `End`."""
        return End(self, requestor=False, **options)

    def requestor(self, server: Acceptable | None, **options: Any) -> End:
        """An end whose `Connect` reaches `server`; None for nobody."""
        end = End(self, requestor=True, **options)
        end.server = server
        return end

    def cut(self, count: int) -> int:
        """How many of `count` bytes arrive now."""
        if self.whole or count <= 1:
            return count
        return min(count, self.random.choice((1, 2, 7, self.random.randint(1, count), count)))

    def settle(self) -> None:
        """Let everybody go on until nobody can, without time passing."""
        moved = True
        while moved:
            moved = False
            for end in self.random.sample(self.ends, len(self.ends)):
                moved = end.step() or moved

    def wait(self, seconds: float) -> None:
        """Let time pass, with everything that happens meanwhile."""
        until = self.now + seconds
        self.settle()
        while (deadline := self._next_deadline()) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            self.settle()
        self.now = until
        self.settle()

    def run_until(self, done: Callable[[], bool]) -> None:
        """Let everybody go on, and time pass, until `done()`.

        Raises:
            Stuck: It will never be.
        """
        self.settle()
        while not done():
            deadline = self._next_deadline()
            if deadline is None:
                raise Stuck([end.describe() for end in self.ends])
            self.now = max(self.now, deadline)
            self.settle()

    def _next_deadline(self) -> float | None:
        deadlines = (end.deadline for end in self.ends if end.reading)
        return min((each for each in deadlines if each is not None), default=None)


@dataclass(slots=True)
class Pipe:
    """One direction of a connection.

    Attributes:
        room: Bytes that fit before the sender has to wait.
        data: Bytes under way.
        seen: Every byte that was ever sent.
        ended: The sender has closed.
        broken: Reading and writing fail with this.
    """

    room: int = PIPE_LENGTH
    data: bytearray = field(default_factory=bytearray)
    seen: bytearray = field(default_factory=bytearray)
    ended: bool = False
    broken: OSError | None = None

    def write(self, data: memoryview, cut: Callable[[int], int]) -> int:
        if self.broken is not None:
            raise self.broken
        count = min(len(data), self.room - len(self.data))
        if count <= 0:
            return 0
        count = cut(count)
        self.data += data[:count]
        self.seen += data[:count]
        return count

    def read_into(self, room: memoryview, cut: Callable[[int], int]) -> int | None:
        """None when there is nothing yet, 0 at the end."""
        if not self.data:
            if self.broken is not None:
                raise self.broken
            return 0 if self.ended else None
        count = cut(min(len(room), len(self.data)))
        room[:count] = self.data[:count]
        del self.data[:count]
        return count


class End:
    """One end of an association: a core, and the driver that runs its procedures.

    Args:
        network: What it belongs to.
        requestor: Which end it is.
        timeouts: Of the core.
        limits: Of the core.
        max_pdu_length: What this end announces.
        trace: Of the core.
        core: The association, where there is one already.

    Attributes:
        core: The association.
        server: Whom `Connect` reaches.
        connect_error: `Connect` fails with it.
        connect_never: `Connect` is never answered.
        reading: False for an end whose machine has stalled: it neither reads nor sees time.
        started: Calls that have been started and not carried out yet.
        held_until: None of them ends before this time.
        effects: The effects that were carried out.
        result: What the procedure returned.
        error: What it raised.
    """

    def __init__(
        self,
        network: Network,
        *,
        requestor: bool,
        timeouts: Timeouts | None = None,
        limits: Limits | None = None,
        max_pdu_length: int = 16384,
        trace: Trace | None = None,
        core: AssociationCore | None = None,
    ) -> None:
        self.network = network
        self.core = core or new_core(
            requestor=requestor,
            timeouts=timeouts or Timeouts(),
            limits=limits or Limits(),
            max_pdu_length=max_pdu_length,
            trace=trace,
        )
        self.server: Acceptable | None = None
        self.connect_error: OSError | None = None
        self.connect_never = False
        self.reading = True
        self.effects: list[Effect] = []
        self.incoming: Pipe | None = None
        self.outgoing: Pipe | None = None
        self.open = False
        self.result: Any = None
        self.error: BaseException | None = None
        self.finished = True
        self.deadline: float | None = None
        self._awaits_connection = not requestor
        self._procedure: Procedure[Any] | None = None
        self._running: Turns[None] | None = None
        self._interrupt: BaseException | None = None
        self._interrupt_at: tuple[type, int, BaseException] | None = None
        self._out_of_step = False
        self._stepping = False
        self._moved = False
        self.started: list[Start] = []
        self.held_until = 0.0
        self._spawned: dict[int, End] = {}
        network.ends.append(self)

    # ------------------------------------------------------------------ what tests call

    def start(self, procedure: Procedure[Any]) -> None:
        """Begin a procedure; the network runs it."""
        assert self.finished, "a procedure is running already"
        self.finished, self.result, self.error = False, None, None
        self._procedure = procedure
        self._running = self._run(procedure)

    def run(self, procedure: Procedure[Any]) -> Any:
        """Run a procedure to its end; what it returns or raises comes out."""
        self.start(procedure)
        return self.finish()

    def finish(self) -> Any:
        """Run what was started to its end; what it returns or raises comes out."""
        self.network.run_until(lambda: self.finished)
        if self.error is not None:
            raise self.error
        return self.result

    def attach(self, incoming: Pipe, outgoing: Pipe) -> None:
        """The transport connection is there."""
        self.incoming, self.outgoing, self.open = incoming, outgoing, True
        self._awaits_connection = False
        self.core.peer = "memory:104"
        self.core.upper_layer.transport_connected(self.network.now)

    def interrupt(self, error: BaseException) -> None:
        """Throw `error` into the effect that is being waited for (Ctrl-C, a cancellation)."""
        self._interrupt = error

    def interrupt_at(self, effect: type, error: BaseException, number: int = 1) -> None:
        """Throw `error` into the `number`-th effect of a type from here on, before it is carried out."""
        self._interrupt_at = (effect, number, error)

    def drop(self) -> None:
        """Forget the procedure, as garbage collection does: GeneratorExit, and no more effects."""
        assert self._procedure is not None
        self._procedure.close()
        self.finished, self._running, self.deadline = True, None, None

    def describe(self) -> str:
        """For the message of `Stuck`."""
        last = self.effects[-1] if self.effects else None
        side = "requestor" if self.server is not None else "acceptor"
        return f"{side} in {self.core.upper_layer.state.name}, finished {self.finished}, at {last}"

    def sent(self) -> list[PDU | Fragment]:
        """The PDUs that this end has sent, and the fragments of P-DATA-TF."""
        return [] if self.outgoing is None else parse(self.outgoing.seen)

    # ------------------------------------------------------------------ running

    def step(self) -> bool:
        """Take a turn; False when nothing could be done."""
        if self._running is None or self._stepping or not self.reading:
            return False
        if self._awaits_connection:
            return False
        self._stepping, self._moved = True, False
        try:
            next(self._running)
        except StopIteration:
            self._running, self.deadline, self._moved = None, None, True
        finally:
            self._stepping = False
        return self._moved

    def _run(self, procedure: Procedure[Any]) -> Turns[None]:
        upper_layer = self.core.upper_layer
        upper_layer.advance(self.network.now)
        try:
            effect = next(procedure)
            while True:
                self.effects.append(effect)
                try:
                    outcome = yield from self._carry_out(effect)
                except BaseException as error:
                    self._done()
                    effect = procedure.throw(error)
                else:
                    self._done()
                    effect = procedure.send(outcome)
                yield
        except StopIteration as stop:
            self.result = stop.value
        except BaseException as error:
            self.error = error
        self.finished = True

    def _done(self) -> None:
        self.deadline, self._moved = None, True
        self.core.upper_layer.advance(self.network.now)

    def _carry_out(self, effect: Effect) -> Turns[Any]:
        self._interrupt_before(effect)
        match effect:
            case Connect():
                return (yield from self._connect(effect))
            case Send():
                return (yield from self._send(effect))
            case Receive():
                return (yield from self._receive(effect))
            case Wait():
                return (yield from self._wait_until(self.network.now + effect.seconds))
            case _:
                return self._carry_out_at_once(effect)

    def _carry_out_at_once(self, effect: Effect) -> Any:
        actions: dict[type, Callable[[Any], Any]] = {
            Look: self._look,
            Store: lambda each: each.sink.write(each.views),
            Call: lambda each: each.handler(*each.args),
            Start: self.started.append,
            Join: lambda _: self._end_a_call(),
            Next: lambda each: next(each.iterator, None),
            Spawn: self._spawn,
            Together: self._together,
            Close: lambda _: self._close(),
        }
        return actions[type(effect)](effect)

    def _wait_until(self, end: float) -> Turns[None]:
        while self.network.now < end:
            yield from self._wait(end)

    def _interrupt_before(self, effect: Effect) -> None:
        if self._interrupt_at is not None and isinstance(effect, self._interrupt_at[0]):
            kind, number, error = self._interrupt_at
            self._interrupt_at = None if number == 1 else (kind, number - 1, error)
            if number == 1:
                raise error

    def _wait(self, deadline: float | None) -> Turns[None]:
        """Until something may have changed, or `deadline`."""
        self.deadline = deadline
        yield
        if self._interrupt is not None:
            error, self._interrupt = self._interrupt, None
            raise error

    def _spawn(self, effect: Spawn) -> Any:
        child = self._spawned.pop(id(effect.core), None)
        if child is None:
            child = End(self.network, requestor=True, core=effect.core)
            child.server = self.server
        else:
            self.network.ends.append(child)
        try:
            return child.run(effect.procedure)
        finally:
            self.network.ends.remove(child)
            if child.open:
                self._spawned[id(effect.core)] = child

    def _together(self, effect: Together) -> None:
        assert self.server is not None
        children = [End(self.network, requestor=True, core=spawn.core) for spawn in effect.spawns]
        for child, spawn in zip(children, effect.spawns, strict=True):
            child.server = self.server
            child.start(spawn.procedure)
        self.network.run_until(lambda: all(child.finished for child in children))
        for child in children:
            self.network.ends.remove(child)
            if child.error is not None:
                raise child.error

    # ------------------------------------------------------------------ effects

    def _may_end_a_call(self) -> bool:
        return bool(self.started) and self.network.now >= self.held_until

    def _end_a_call(self) -> Finished:
        """Carry out one of the calls that were started; the order in which they end is random."""
        call = self.started.pop(self.network.random.randrange(len(self.started)))
        try:
            return Finished(call, call.handler(*call.args))
        except BaseException as error:
            return Finished(call, error=error)

    def _connect(self, effect: Connect) -> Turns[Any]:
        if self.connect_never:
            deadline = None if effect.timeout is None else self.network.now + effect.timeout
            while deadline is None or self.network.now < deadline:
                yield from self._wait(deadline)
            raise DeadlineExceeded("connect", effect.timeout)
        if self.connect_error is not None or self.server is None:
            raise TransportClosed(f"cannot connect to {effect.host}") from self.connect_error
        there, back = Pipe(), Pipe()
        self.server.attach(there, back)
        self.attach(back, there)

    def _close(self) -> None:
        if self.open:
            assert self.incoming is not None and self.outgoing is not None
            self.outgoing.ended = True
            self.incoming.broken = BrokenPipeError(32, "Broken pipe")
            self.open = False
        self.core.upper_layer.transport_closed(self.network.now)

    def _send(self, effect: Send) -> Turns[Any]:
        if self._out_of_step or not self.open:
            effect.note(NEVER, NEVER)
            return False
        assert self.outgoing is not None
        data = memoryview(gather(effect.parts))
        self._out_of_step = True
        limit = self.core.timeouts.write
        deadline: float | None = None
        while data:
            try:
                count = self.outgoing.write(data, self.network.cut)
            except OSError:
                effect.note(len(data), NEVER)
                return False
            if count:
                data = data[count:]
                deadline, self._moved = None, True
                continue
            if deadline is None and limit is not None:
                deadline = self.network.now + limit
            if self.core.upper_layer.abort_ahead():
                effect.note(len(data), NEVER)
                return False
            yield from self._wait(deadline)
            room = self.core.upper_layer.get_buffer()
            if room and self._fill(room):
                effect.note(len(data), self.core.upper_layer.received)
                if self._has_ended():
                    effect.note(len(data), NEVER)
                    return False
            if deadline is not None and self.network.now >= deadline:
                raise DeadlineExceeded("write", limit)
        self._out_of_step = False
        return True

    def _receive(self, effect: Receive) -> Turns[Any]:
        upper_layer = self.core.upper_layer
        if self._may_end_a_call() and self.network.random.random() < 0.3:
            return self._end_a_call()
        event = None if effect.looked else upper_layer.next_event()
        if event is not None or upper_layer.closing:
            return event
        limit = None if effect.seconds is None else self.network.now + effect.seconds
        while event is None and not upper_layer.closing:
            if self._fill(upper_layer.get_buffer()):
                yield
            elif self._may_end_a_call():
                return self._end_a_call()
            else:
                held = self.held_until if self.started else None
                ahead = [each for each in (limit, upper_layer.deadline, held) if each is not None]
                yield from self._wait(min(ahead, default=None))
            event = upper_layer.next_event()
            if event is None and not upper_layer.closing and self._time_is_up(limit, effect):
                event = upper_layer.next_event()
            if upper_layer.has_output:
                yield from self._send(Send(upper_layer.output()))
        return event

    def _look(self, effect: Look) -> bool:
        upper_layer = self.core.upper_layer
        if not upper_layer.closing and (effect.to_the_end or not upper_layer.has_input):
            self._fill(upper_layer.get_buffer())
        return upper_layer.has_input or upper_layer.closing

    def _has_ended(self) -> bool:
        return self.core.upper_layer.closing or self.core.upper_layer.abort_ahead()

    def _fill(self, room: memoryview) -> bool:
        upper_layer = self.core.upper_layer
        now = self.network.now
        if not self.open:
            upper_layer.transport_lost(now)
            return True
        assert self.incoming is not None
        try:
            count = self.incoming.read_into(room, self.network.cut)
        except OSError as error:
            upper_layer.transport_lost(now, error)
            self._moved = True
            return True
        if count is None:
            return False
        self._moved = True
        if count == 0:
            upper_layer.transport_lost(now)
        else:
            upper_layer.bytes_received(count, now)
        return True

    def _time_is_up(self, limit: float | None, effect: Receive) -> bool:
        now = self.network.now
        deadline = self.core.upper_layer.deadline
        if deadline is not None and now >= deadline:
            self.core.upper_layer.timer_expired(now)
            return True
        if limit is not None and now >= limit:
            raise DeadlineExceeded(effect.timer, effect.seconds)
        return False


class RawPeer:
    """A peer that does exactly what the test says; connect it to an acceptor, or let a requestor find it.

    Args:
        network: What it belongs to.
        room: Bytes that may wait to be read by `received`; a small number makes a peer that does not read.
    """

    def __init__(self, network: Network, room: int = 1 << 62) -> None:
        self.network = network
        self.incoming = Pipe(room)
        self.outgoing = Pipe(1 << 62)

    def attach(self, incoming: Pipe, outgoing: Pipe) -> None:
        """A requestor has connected."""
        incoming.room, outgoing.room = self.incoming.room, 1 << 62
        outgoing.data += self.outgoing.data
        outgoing.ended = self.outgoing.ended
        self.incoming, self.outgoing = incoming, outgoing

    def connect(self, server: End) -> RawPeer:
        """Connect to an acceptor; returns itself."""
        server.attach(self.outgoing, self.incoming)
        return self

    def send(self, *pdus: PDU | bytes) -> None:
        """Send bytes, and let everybody do what these lead to."""
        for pdu in pdus:
            self.outgoing.data += pdu if isinstance(pdu, bytes) else pdu.encode()
        self.network.settle()

    def close(self) -> None:
        """Send no more."""
        self.outgoing.ended = True
        self.network.settle()

    def reset(self) -> None:
        """Break the connection; what has not arrived is lost."""
        self.outgoing.data.clear()
        self.outgoing.broken = self.incoming.broken = ConnectionResetError(104, "Connection reset by peer")
        self.network.settle()

    def received(self) -> list[PDU | Fragment]:
        """The PDUs that came, and the fragments of P-DATA-TF; they are read by this."""
        self.incoming.data.clear()
        return parse(self.incoming.seen)


Acceptable: TypeAlias = "End | RawPeer"


def gather(parts: Iterable[Payload]) -> bytes:
    """The bytes of the parts, files included."""
    return b"".join(_read(part) if isinstance(part, FileRange) else part for part in parts)


def _read(part: FileRange) -> bytes:
    data = os.pread(part.fd, part.count, part.offset)
    if len(data) != part.count:
        raise InputFileError(f"descriptor {part.fd}", "the file has become shorter")
    return data


def parse(data: bytes | bytearray) -> list[PDU | Fragment]:
    """The whole PDUs in `data`; fragments hold their own bytes.

    Garbage collection in here may end a procedure that an earlier test dropped. Where its GeneratorExit is
    kept, so are its traceback and, from Python 3.12 on, the frames that were running, and what they hold.
    """
    reader = Reader(limits=Limits(receive_buffer_length=len(data) + 16), max_pdu_length=0)
    found: list[PDU | Fragment] = []
    rest = memoryview(bytes(data))  # `data` itself must be free to change afterwards
    while rest:
        room = reader.get_buffer()
        count = min(len(room), len(rest))
        room[:count] = rest[:count]
        reader.received(count)
        rest = rest[count:]
        while (item := reader.next()) is not None:
            if isinstance(item, Fragment):
                item.data = memoryview(bytes(item.data))
            found.append(item)
    return found
