"""One thread looks out for all; where one holds it up another takes over."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from math import inf
from time import monotonic
from typing import Any

import pytest

from dcmnet.sync import lookout as module
from dcmnet.sync.lookout import Lookout

DEADLINE = 30.0


class Speaker:
    """A station that takes a byte from its peer, each time it goes on."""

    def __init__(self, act: Callable[[bytes], bool] = lambda word: word != b"q") -> None:
        self._ours, self.peer = socket.socketpair()
        self._ours.setblocking(False)
        self._act = act
        self.fd = self._ours.fileno()
        self.deadline = inf
        self.slow_steps = 0
        self.is_watched = False
        self.heard: queue.SimpleQueue[tuple[bytes, int]] = queue.SimpleQueue()
        self.within = threading.Lock()

    def go_on(self) -> bool:
        assert self.within.acquire(blocking=False), "two threads go on with one station"
        try:
            try:
                word = self._ours.recv(1)
            except BlockingIOError:
                word = b""
            goes_on = self._act(word)
            self.heard.put((word, threading.get_ident()))
            return goes_on
        finally:
            self.within.release()

    def say(self, word: bytes) -> tuple[bytes, int]:
        """What is heard of it, and in which thread."""
        self.peer.send(word)
        while (heard := self.heard.get(timeout=DEADLINE))[0] != word:
            pass
        return heard

    def close(self) -> None:
        self._ours.close()
        self.peer.close()


def holding(entered: threading.Event, leave: threading.Event) -> Callable[[bytes], bool]:
    """What a station does that holds everybody up at the word `h`, until it may leave."""

    def act(word: bytes) -> bool:
        if word == b"h":
            entered.set()
            leave.wait(DEADLINE)
        return True

    return act


@pytest.fixture
def lookout() -> Iterator[Lookout]:
    made = Lookout("test-lookout", 0.0)
    made.start()
    yield made
    for station in list(made._stations.values()):
        made.remove(station)
    made.end()
    assert made._ended.wait(DEADLINE)
    for thread in threading.enumerate():
        if thread.name.startswith("test-lookout"):
            thread.join(DEADLINE)
            assert not thread.is_alive()


@pytest.fixture
def new(lookout: Lookout) -> Iterator[Callable[..., Speaker]]:
    made: list[Speaker] = []

    def begin(*arguments: Any) -> Speaker:
        made.append(Speaker(*arguments))
        lookout.add(made[-1])
        assert (
            made[-1].heard.get(timeout=DEADLINE)[0] == b""
        )  # a first time, whether anything has come or not
        return made[-1]

    yield begin
    for each in made:
        lookout.remove(each)
        each.close()


def test_all_are_served_by_one_thread(new: Callable[..., Speaker]) -> None:
    speakers = [new() for _ in range(10)]
    threads = {each.say(word)[1] for word in (b"a", b"b") for each in speakers}
    assert len(threads) == 1


def test_the_end_of_a_station(lookout: Lookout, new: Callable[..., Speaker]) -> None:
    first, second = new(), new()
    first.say(b"q")
    second.say(b"a")  # by now the first is gone
    assert list(lookout._stations.values()) == [second]
    first.peer.send(b"x")
    second.say(b"b")
    assert first.heard.empty()


def test_one_that_holds_up(lookout: Lookout, new: Callable[..., Speaker]) -> None:
    entered, leave = threading.Event(), threading.Event()
    slow, others = new(holding(entered, leave)), [new() for _ in range(3)]
    before = others[0].say(b"a")[1]
    slow.peer.send(b"h")
    assert entered.wait(DEADLINE)
    slow.peer.send(b"i")  # nobody takes it while the first is under way
    after = {each.say(word)[1] for word in (b"b", b"c") for each in others}
    assert len(after) == 1
    assert before not in after
    leave.set()
    assert slow.heard.get(timeout=DEADLINE) == (b"h", before)
    assert slow.heard.get(timeout=DEADLINE)[0] == b"i"


def test_one_that_is_known_to_hold_up(lookout: Lookout, new: Callable[..., Speaker]) -> None:
    """The lookout is given away before it goes on; once it is quick it no longer is."""
    speaker, other = new(), new()
    before = other.say(b"a")[1]
    speaker.slow_steps = module.SLOW_STEPS
    speaker.say(b"b")
    assert speaker.say(b"c")[1] != before
    deadline = time.monotonic() + DEADLINE
    while speaker.slow_steps:  # a step is slow where the machine was busy elsewhere
        assert time.monotonic() < deadline
        speaker.say(b"d")


def test_no_more_threads(
    lookout: Lookout,
    new: Callable[..., Speaker],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    entered, leave = threading.Event(), threading.Event()

    def refuse(*_: object, **__: object) -> None:
        leave.set()
        raise RuntimeError("can't start new thread")

    slow, other = new(holding(entered, leave)), new()
    with monkeypatch.context() as patch:
        patch.setattr(threading, "Thread", refuse)
        slow.say(b"h")
        slow.say(b"i")
        other.say(b"a")
    assert "can't start new thread" in caplog.text


def test_many_that_hold_up_each_other(new: Callable[..., Speaker]) -> None:
    """As many wait for each other as there are: none is served after another."""
    barrier = threading.Barrier(5)

    def act(word: bytes) -> bool:
        if word == b"m":
            barrier.wait(DEADLINE)
        return True

    speakers = [new(act) for _ in range(5)]
    for _ in range(3):
        for each in speakers:
            each.peer.send(b"m")
        heard = [each.heard.get(timeout=DEADLINE) for each in speakers]
        assert {word for word, _ in heard} == {b"m"}
        assert len({thread for _, thread in heard}) == 5


def test_deadlines(lookout: Lookout, new: Callable[..., Speaker]) -> None:
    patient, hasty = new(), Speaker()
    hasty.deadline = monotonic() + 0.05
    lookout.add(hasty)
    assert hasty.heard.get(timeout=DEADLINE)[0] == b""
    hasty.deadline = inf if hasty.deadline < monotonic() else hasty.deadline
    assert hasty.heard.get(timeout=DEADLINE)[0] == b""
    assert patient.heard.empty()
    lookout.remove(hasty)
    hasty.close()


def test_an_exception_ends_one_alone(
    lookout: Lookout, new: Callable[..., Speaker], caplog: pytest.LogCaptureFixture
) -> None:
    def act(word: bytes) -> bool:
        if word:
            raise SystemExit("on purpose")
        return True

    failing, other = new(act), new()
    failing.peer.send(b"x")
    other.say(b"a")
    assert failing not in lookout._stations.values()
    assert "on purpose" in caplog.text


def test_all_go_on(lookout: Lookout, new: Callable[..., Speaker]) -> None:
    speakers = [new() for _ in range(3)]
    lookout.go_on_with_all()
    for each in speakers:
        assert each.heard.get(timeout=DEADLINE)[0] == b""


def test_a_removed_station_is_not_gone_on_with(lookout: Lookout, new: Callable[..., Speaker]) -> None:
    """Not even when it was due already."""
    done = threading.Event()
    speaker = new()

    def remove() -> None:
        lookout._ready[speaker.fd] = speaker
        lookout.remove(speaker)
        lookout.remove(speaker)

    lookout.post(remove)
    lookout.post(done.set)
    assert done.wait(DEADLINE)
    new().say(b"a")
    assert speaker.heard.empty()


def test_who_oversees_sleeps_when_nothing_happens(
    lookout: Lookout, new: Callable[..., Speaker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUIET_LOOKS", 0)
    rests = threading.Event()
    rest = lookout._rest

    def watched() -> None:
        rests.set()
        rest()

    monkeypatch.setattr(lookout, "_rest", watched)
    assert rests.wait(DEADLINE)
    test_one_that_holds_up(lookout, new)


def test_one_that_is_slow_again_and_again(
    lookout: Lookout, new: Callable[..., Speaker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not long enough for anybody to take over, but all the time: it gives the lookout away by itself."""
    monkeypatch.setattr(module, "QUICK_SECONDS", 0.0)
    monkeypatch.setattr(module, "HELD_UP_SECONDS", 3600.0)
    speaker, other = new(), new()
    first = {speaker.say(b"a")[1] for _ in range(module.SLOW_STEPS - 1)}
    assert len(first) == 1
    for _ in range(3):
        speaker.say(b"b")
    monkeypatch.setattr(module, "QUICK_SECONDS", 3600.0)
    speaker.say(b"c")
    other.say(b"d")
    assert speaker.slow_steps == 0


def test_one_that_never_waits_gives_way(
    lookout: Lookout, new: Callable[..., Speaker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It wants to go on at once, and the others have their turn before; that does not make it slow."""
    monkeypatch.setattr(module, "HELD_UP_SECONDS", DEADLINE)  # whatever else the machine does
    order: list[str] = []
    slow: set[int] = set()
    begun, done = threading.Event(), threading.Event()

    def go_on_at_once(word: bytes) -> bool:
        order.append("eager")
        slow.add(eager.slow_steps)
        time.sleep(2 * module.QUICK_SECONDS)
        begun.set()
        eager.deadline = 0.0 if "other" not in order[1:] else inf
        if eager.deadline:
            done.set()
        return True

    def take(word: bytes) -> bool:
        order.append("other")
        return True

    other = new(take)
    eager = Speaker(go_on_at_once)
    lookout.add(eager)
    assert begun.wait(DEADLINE)
    other.say(b"a")
    assert done.wait(DEADLINE)
    assert "other" in order[1:-1]
    assert slow == {0}
    lookout.remove(eager)
    eager.close()


def test_nobody_rings_for_who_is_awake(lookout: Lookout, new: Callable[..., Speaker]) -> None:
    """It would be done for each object."""
    speaker = new()
    deadline = monotonic() + DEADLINE
    while not lookout._is_overseen and monotonic() < deadline:
        pass
    lookout._alarm.clear()
    speaker.say(b"a")
    assert not lookout._alarm.is_set()


def test_those_at_work_go_on_once_more_when_all_do(lookout: Lookout, new: Callable[..., Speaker]) -> None:
    """They may have looked whether the server stops just before it did."""
    entered, leave = threading.Event(), threading.Event()
    slow = new(holding(entered, leave))
    slow.peer.send(b"h")
    assert entered.wait(DEADLINE)
    new().say(b"a")  # by now another thread has the lookout
    lookout.go_on_with_all()
    leave.set()
    assert slow.heard.get(timeout=DEADLINE)[0] == b"h"
    assert slow.heard.get(timeout=DEADLINE)[0] == b""
