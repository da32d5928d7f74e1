"""What a process inherits by fork() belongs to its parent: a child closes its copies, and sends nothing."""

from __future__ import annotations

import os
import weakref
from typing import Protocol

from dcmnet.errors import AssociationAborted


class Owner(Protocol):
    """Has sockets that only the process that made it may use."""

    def disown(self) -> None:
        """In a forked child: close this process's copies of the sockets, without a byte to the peer."""


_owners: weakref.WeakSet[Owner] = weakref.WeakSet()


def own(owner: Owner) -> None:
    """Have `owner.disown` called in a child that this process forks."""
    _owners.add(owner)


def inherited() -> AssociationAborted:
    """The error of an association that a child process has inherited."""
    return AssociationAborted(0, 0, locally=True, message="it belongs to the process that made it")


def _disown_all() -> None:
    for owner in list(_owners):
        owner.disown()
    _owners.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown_all)
