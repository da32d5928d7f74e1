from __future__ import annotations

import os
import signal

from dcmnet.cli.signals import FIRST_NOTE, Inbox


def test_signals_and_notes_come_in_order() -> None:
    with Inbox(signal.SIGINT, signal.SIGTERM) as inbox:
        inbox.put(FIRST_NOTE)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert [inbox.get() for _ in range(3)] == [FIRST_NOTE, signal.SIGTERM, signal.SIGINT]


def test_what_was_there_before_is_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Inbox(signal.SIGTERM) as inbox:
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
    assert signal.set_wakeup_fd(-1) == -1
    inbox.put(FIRST_NOTE)  # a thread that is late harms nobody


def test_other_signals_are_passed_over() -> None:
    taken: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, _: taken.append(number))
    try:
        with Inbox(signal.SIGTERM) as inbox:
            os.kill(os.getpid(), signal.SIGUSR1)
            os.kill(os.getpid(), signal.SIGTERM)
            assert inbox.get() == signal.SIGTERM
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert taken == [signal.SIGUSR1]
