"""Handlers that are called in the thread of their association, coroutine functions too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")


def call(handler: Callable[..., Any], *args: Any) -> Any:
    """Call a handler, and wait for what it returns when that is awaitable."""
    outcome = handler(*args)
    return awaited(outcome) if hasattr(outcome, "__await__") else outcome


def awaited(outcome: Awaitable[T]) -> T:
    """Run what a coroutine function made, in a loop of its own."""
    import asyncio

    return asyncio.run(waiting(outcome))


async def waiting(outcome: Awaitable[T]) -> T:
    """A coroutine of what is awaitable only."""
    return await outcome
