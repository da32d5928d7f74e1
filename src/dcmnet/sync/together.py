"""Several associations of one transfer, each in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


def run_together(runs: list[Callable[[], Any]], interrupts: list[Callable[[], None]]) -> None:
    """Run each in a thread of its own; when one raises, or Ctrl-C comes, interrupt the others, then raise."""
    errors: list[BaseException] = []

    def run(one: Callable[[], Any]) -> None:
        try:
            one()
        except BaseException as error:
            errors.append(error)
            interrupt()

    def interrupt() -> None:
        for each in interrupts:
            each()

    threads = [threading.Thread(target=run, args=(one,), name="dcmnet-association") for one in runs]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except BaseException:  # Ctrl-C, or there are no more threads to be had
        interrupt()
        _join_begun(threads)
        raise
    if errors:
        raise errors[0]


def _join_begun(threads: list[threading.Thread]) -> None:
    for thread in threads:
        if thread.ident is not None:
            thread.join()
