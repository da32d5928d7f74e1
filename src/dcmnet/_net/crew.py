"""Several worker processes behind one port: what the process that has started them holds of them.

It listens, forks a supervisor and closes its own copies of the sockets. The supervisor, which has one thread
whatever the program does, forks the workers, and others in the place of those that die.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

from dcmnet._net.link import Link, encode_record
from dcmnet._net.listening import open_listeners
from dcmnet._net.readiness import Waiter
from dcmnet._net.supervisor import KILL_SECONDS, Supervisor
from dcmnet._net.trace import logger
from dcmnet._net.transfer import address_text
from dcmnet.storage.node import Node

Work = Callable[[int, Link], None]
"""Serves, as the worker of that number, the connections of a link until that says to stop."""


def check_platform() -> None:
    """See whether this system can have workers.

    Raises:
        ValueError: It cannot.
    """
    if not (hasattr(os, "fork") and hasattr(socket, "SCM_RIGHTS")):
        raise ValueError(
            f"worker processes need fork, which this system ({sys.platform}) does not have: serve with "
            "workers=0, or start several servers on ports of their own"
        )


class Crew:
    """A supervisor and its workers, from outside.

    Args:
        host: Name or address to listen on; "" for all.
        port: TCP port; 0 for a free one.
        family: Address family.
        node: The server's configuration.
        work: What each worker does.

    Attributes:
        port: The port, the same for every worker.
        addresses: `host:port` each.
        stopping: Whether it has been told to stop.

    Raises:
        ValueError: This system cannot have workers.
        OSError: The port cannot be had, or no process.
    """

    def __init__(self, host: str, port: int, family: int, node: Node, work: Work) -> None:
        check_platform()
        listeners = open_listeners(host, port, family)
        self.port: int = listeners[0].getsockname()[1]
        self.addresses = [address_text(sock.getsockname()) for sock in listeners]
        self.stopping = False
        self._lock = threading.Lock()
        self._reaped = False
        self._count = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")
        self.sock, control = socket.socketpair()
        try:
            self._pid = self._fork(listeners, control, node, work)
        except BaseException:
            self.sock.close()
            raise
        finally:
            for sock in (*listeners, control):
                sock.close()

    @property
    def associations(self) -> int:
        """How many associations all workers have now."""
        return self._count[0]

    def tell(self, *words: object) -> None:
        """Tell the supervisor something; nothing happens when it is gone."""
        with contextlib.suppress(OSError):
            self.sock.send(encode_record(*words))

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the supervisor has ended; False when `timeout` seconds passed first."""
        with self._lock:
            if self._reaped:
                return True
            sock = self.sock.dup()  # whoever reaps it first closes the other
        with sock:
            if not Waiter(sock).wait(timeout=timeout).readable:
                return False
        self.reap()
        return True

    def begin_shutdown(self, drain: float) -> float:
        """Have it stop; returns after how many seconds it must have ended."""
        self.stopping = True
        self.tell("drain", drain)
        return drain + 2 * KILL_SECONDS

    def shutdown(self, drain: float) -> None:
        """Have it stop, and wait until it has: at most some seconds more than `drain`."""
        ended = False
        try:
            ended = self.wait(self.begin_shutdown(drain))
            if not ended:
                self.kill()
        finally:
            if not ended:
                self.hasten()  # where the waiting was interrupted
                self.wait(KILL_SECONDS)

    def hasten(self) -> None:
        """Have every worker abort what is left."""
        self.tell("hasten")

    def kill(self) -> None:
        """End a supervisor that does not end itself; its workers see that and end too."""
        with self._lock:
            if not self._reaped:
                logger.error("the supervisor of the workers (process %d) does not end: killed", self._pid)
                os.kill(self._pid, signal.SIGKILL)

    def reap(self) -> None:
        """Collect the supervisor, which has ended."""
        with self._lock:
            if self._reaped:
                return
            code = 0
            with contextlib.suppress(ChildProcessError):  # somebody else has collected it
                code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
            self._reaped = True
            self.sock.close()
            if code:
                logger.error("the supervisor of the workers has ended (%d), and the server with it", code)

    def _fork(self, listeners: list[socket.socket], control: socket.socket, node: Node, work: Work) -> int:
        parent = os.getpid()
        _flush()
        pid = os.fork()
        if pid:
            return pid
        run_and_exit(lambda: self._supervise(parent, listeners, control, node, work))

    def _supervise(
        self, parent: int, listeners: list[socket.socket], control: socket.socket, node: Node, work: Work
    ) -> None:
        self.sock.close()

        def begin(index: int, sock: socket.socket) -> None:
            link = Link(sock, self.port, self.addresses, lambda: self._count[0])
            run_and_exit(lambda: work(index, link))

        Supervisor(node, parent, listeners, control, self._count, begin).run()


def run_and_exit(function: Callable[[], None]) -> NoReturn:
    """Run it and end this process, which is a copy: nothing of what it was copied from may go on."""
    code = 1
    try:
        function()
        code = 0
    except BaseException:
        with contextlib.suppress(Exception):
            logger.exception("process %d failed", os.getpid())
    finally:
        _flush()
        os._exit(code)


def _flush() -> None:
    """Write out what is buffered: it must not be written twice, nor be lost."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
