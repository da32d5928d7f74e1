"""Connect to the first address that answers (RFC 8305, "Happy Eyeballs"), for the asyncio face."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

ATTEMPT_DELAY = 0.25
"""Seconds after which the next address is tried while the last one has not answered (RFC 8305 5)."""


async def happy_eyeballs(loop: asyncio.AbstractEventLoop, found: Sequence[Any]) -> socket.socket:
    """A connected socket to one of the addresses that `getaddrinfo` found.

    Raises:
        OSError: None of them can be connected to; the error of the last.
    """
    attempts: set[asyncio.Task[socket.socket]] = set()
    error: OSError = OSError("there is no address")
    addresses = list(_interleaved(found))
    try:
        while addresses or attempts:
            if addresses:
                attempts.add(loop.create_task(_connect(loop, addresses.pop(0))))
            timeout = ATTEMPT_DELAY if addresses else None
            done, _ = await asyncio.wait(attempts, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                attempts.discard(task)
                failure = task.exception()
                if failure is None:
                    return task.result()
                if not isinstance(failure, OSError):
                    raise failure
                error = failure
        raise error
    finally:
        _drop(attempts)


def _interleaved(found: Sequence[Any]) -> list[Any]:
    """The addresses, the families taking turns (RFC 8305 4)."""
    families: dict[int, list[Any]] = {}
    for address in found:
        families.setdefault(address[0], []).append(address)
    return [address for turn in zip_longest(*families.values()) for address in turn if address is not None]


async def _connect(loop: asyncio.AbstractEventLoop, address: Any) -> socket.socket:
    family, kind, protocol, _, where = address
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        await loop.sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock


def _drop(tasks: set[asyncio.Task[socket.socket]]) -> None:
    for task in tasks:
        task.add_done_callback(_close_late)
        task.cancel()


def _close_late(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()
