"""Threads that do what others must not wait for."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from dcmnet._net.hands import Hands

DEADLINE = 20.0
NAME = "test-hands"


def threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == NAME]


@pytest.fixture
def hands() -> Iterator[Hands]:
    made = Hands(3, NAME)
    yield made
    made.close()
    made.close()  # once is enough
    for thread in threads():
        thread.join(DEADLINE)
    assert not threads()


class Job:
    """What waits until it may end."""

    def __init__(self, begun: SimpleQueue[Job] | None = None) -> None:
        self.go_on = threading.Event()
        self.ended = threading.Event()
        self.thread = 0
        self._begun = begun

    def __call__(self) -> None:
        self.thread = threading.get_ident()
        if self._begun is not None:
            self._begun.put(self)
            assert self.go_on.wait(DEADLINE)
        self.ended.set()


def done(hands: Hands) -> Job:
    """A job that was done, by a thread that is idle again."""
    job = Job()
    before = len(hands._idle)
    hands.do(job)
    assert job.ended.wait(DEADLINE)
    while len(hands._idle) < max(before, 1):
        pass
    return job


def test_an_idle_thread_is_used_again(hands: Hands) -> None:
    assert len({done(hands).thread for _ in range(5)}) == 1
    assert len(threads()) == 1
    assert threads()[0].daemon


def test_there_are_more_while_none_is_idle(hands: Hands) -> None:
    begun: SimpleQueue[Job] = SimpleQueue()
    jobs = [Job(begun) for _ in range(5)]
    for job in jobs:
        hands.do(job)
    first = [begun.get(timeout=DEADLINE) for _ in range(3)]
    assert set(first) == set(jobs[:3])
    assert len({job.thread for job in first}) == len(threads()) == 3
    first[0].go_on.set()
    assert begun.get(timeout=DEADLINE) is jobs[3]
    for job in jobs:
        job.go_on.set()
        assert job.ended.wait(DEADLINE)


def test_an_idle_thread_holds_nothing(hands: Hands) -> None:
    done(hands)
    job = Job()
    gone = weakref.ref(job)
    hands.do(job)
    assert job.ended.wait(DEADLINE)
    del job
    done(hands)
    gc.collect()
    assert gone() is None


def test_what_waits_is_done_before_the_end(hands: Hands) -> None:
    begun: SimpleQueue[Job] = SimpleQueue()
    jobs = [Job(begun) for _ in range(4)]
    for job in jobs:
        hands.do(job)
        job.go_on.set()
    hands.close()
    for job in jobs:
        assert job.ended.wait(DEADLINE)


def test_what_comes_after_the_end_is_done_all_the_same(hands: Hands) -> None:
    """By a thread of its own, also where one is still at work that was there before."""
    begun: SimpleQueue[Job] = SimpleQueue()
    before, after = Job(begun), Job()
    hands.do(before)
    assert begun.get(timeout=DEADLINE) is before
    hands.close()
    hands.do(after)
    assert after.ended.wait(DEADLINE)
    before.go_on.set()
    assert before.ended.wait(DEADLINE)


def test_no_more_threads(hands: Hands, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are there do it; where there is none somebody has to know."""

    def refuse(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    begun: SimpleQueue[Job] = SimpleQueue()
    first, second = Job(begun), Job()
    hands.do(first)
    assert begun.get(timeout=DEADLINE) is first
    monkeypatch.setattr(threading.Thread, "start", refuse)
    hands.do(second)
    first.go_on.set()
    assert second.ended.wait(DEADLINE)
    assert second.thread == first.thread
    with pytest.raises(RuntimeError, match="can't start"):
        Hands(1, NAME).do(second)
