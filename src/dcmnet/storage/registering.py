"""What the decorators of a server have in common: which handlers they take, and when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from dcmnet import arguments

H = TypeVar("H", bound=Callable[..., Any])


class Registering:
    """The check that comes before each registration.

    What is registered on a running server is used for the associations that are accepted afterwards. With
    workers it raises, since each of these has a copy of the server of its own.
    """

    _has_workers = False

    def _check(self, name: str, handler: H, parameters: int, *, waits: bool = True) -> H:
        """Return the handler, if it can be registered.

        Args:
            name: Of the decorator, for the error message.
            handler: What was decorated.
            parameters: How many arguments it will be called with.
            waits: Whether it may be a coroutine function.

        Raises:
            TypeError: It is no function, or one that cannot be called so, as far as that is known.
            RuntimeError: The workers are running.
        """
        self._refuse_if_shared(name)
        check = arguments.handler if waits else arguments.plain_handler
        check(handler, name, parameters)
        return handler

    def _refuse_if_shared(self, name: str) -> None:
        if self._has_workers:
            raise RuntimeError(f"{name}: the workers run with a copy of the server: set this before start()")
