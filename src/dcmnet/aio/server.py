"""The asyncio server: one task an association."""

from __future__ import annotations

import asyncio
import inspect
import socket
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Self

from dcmnet._net.admission import Admission, Verdict
from dcmnet._net.listening import OUT_OF_RESOURCES, PAUSE, open_listeners
from dcmnet._net.trace import log_failure, log_trace, logger
from dcmnet._net.transfer import address_text
from dcmnet.acse import REJECT_LOCAL_LIMIT_EXCEEDED
from dcmnet.aio.driver import Driver
from dcmnet.aio.readiness import Waiter
from dcmnet.errors import DcmnetError
from dcmnet.limits import MAX_HANDLER_THREADS
from dcmnet.procedures.association import AssociationCore
from dcmnet.procedures.scp import reject, serve
from dcmnet.storage.node import Handlers, Node

if TYPE_CHECKING:
    from dcmnet._net.tls import Security

LOOPBACK = "127.0.0.1"
DRAIN_SECONDS = 10.0

ABORT_SECONDS = 5.0
"""How long aborted associations may take to end; a handler that never returns does not hold `shutdown`."""


class Server(Handlers):
    """A server that performs what its handlers say; see `Handlers` for its options and decorators.

    Handlers may be coroutine functions; others run in threads.
    """

    _sockets: tuple[socket.socket, ...] = ()
    _ended: asyncio.Event | None = None

    @property
    def port(self) -> int:
        """The TCP port it listens on."""
        port: int = self._running()[0].getsockname()[1]
        return port

    @property
    def addresses(self) -> list[str]:
        """The addresses it listens on, `host:port` each."""
        return [address_text(sock.getsockname()) for sock in self._running()]

    @property
    def associations(self) -> int:
        """How many associations are being served now."""
        self._running()
        return len(self._tasks)

    async def serve(self, port: int, host: str = LOOPBACK, *, family: int = socket.AF_UNSPEC) -> None:
        """Listen and serve until `shutdown` is called, or the task is cancelled.

        Args:
            port: TCP port; 0 for a free one.
            host: Address to listen on: loopback unless told otherwise; "" for every address.
            family: `socket.AF_INET`, `AF_INET6`, or `AF_UNSPEC` for both.

        Raises:
            OSError: The port cannot be had.
            TLSSettingsError: The settings of TLS cannot be used.
        """
        await self.start(port, host, family=family)
        try:
            await self.wait()
        finally:
            await self.shutdown()

    async def start(self, port: int, host: str = LOOPBACK, *, family: int = socket.AF_UNSPEC) -> Self:
        """Listen, and serve from tasks; returns at once. Arguments and errors as for `serve`."""
        if self._sockets:
            raise RuntimeError("the server is running already")
        self._security = await _security(self.node)
        self._sockets = tuple(open_listeners(host, port, family))
        self._acceptor = self.node.acceptor(log_failure)
        self._tasks: set[asyncio.Task[None]] = set()
        self._admission = Admission(self.node.max_associations, self.node.max_associations_by_peer)
        self._ended = asyncio.Event()
        threads = min(MAX_HANDLER_THREADS, self.node.max_associations)
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="dcmnet")
        self._accepting = [asyncio.create_task(self._accept(sock)) for sock in self._sockets]
        return self

    async def wait(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109  # as the blocking one
        """Wait until the server stops accepting; False when `timeout` seconds passed first."""
        if not self._sockets:
            return True
        _, pending = await asyncio.wait(self._accepting, timeout=timeout)
        return not pending

    async def shutdown(self, drain: float = DRAIN_SECONDS) -> None:
        """Stop accepting, let associations finish for `drain` seconds, abort those that are left.

        One whose handler does not return within a few seconds more is logged and left behind.
        """
        sockets, self._sockets = self._sockets, ()
        if self._ended is None:  # it never ran
            return
        try:
            if sockets:
                await self._stop_accepting(sockets)
            elif asyncio.current_task() not in self._tasks:  # somebody else is at it
                await self._ended.wait()
            await self._end(drain)
        finally:
            self._executor.shutdown(wait=False)
            self._ended.set()

    async def _stop_accepting(self, sockets: tuple[socket.socket, ...]) -> None:
        for task in self._accepting:
            task.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        for sock in sockets:
            sock.close()

    async def _end(self, drain: float) -> None:
        tasks = self._tasks - {asyncio.current_task()}  # a handler may stop its own server
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=drain)
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                await _wait_for_aborted(tasks)

    def hasten_shutdown(self) -> None:
        """While `shutdown` waits: abort what is left at once."""
        if self._ended is not None:
            for task in self._tasks:
                task.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.shutdown()

    def _running(self) -> tuple[socket.socket, ...]:
        if not self._sockets:
            raise RuntimeError("the server is not running: call start or serve")
        return self._sockets

    async def _accept(self, listener: socket.socket) -> None:
        # Not loop.sock_accept: a cancellation would lose the connection that it has just accepted.
        waiter = Waiter(asyncio.get_running_loop(), listener)
        try:
            while True:
                await waiter.wait()
                try:
                    connection, address = listener.accept()
                except OSError as error:
                    if error.errno in OUT_OF_RESOURCES:  # the connection goes on waiting
                        logger.warning("cannot accept a connection: %s", error)
                        await asyncio.sleep(PAUSE)
                    continue  # or it is gone again
                self._begin(connection, address_text(address).rpartition(":")[0])
        finally:
            waiter.close()

    def _begin(self, connection: socket.socket, peer: str) -> None:
        verdict = self._admission.decide(peer)
        if verdict is Verdict.CLOSE:
            connection.close()
            return
        task = asyncio.create_task(self._serve(connection, peer, verdict), name=f"dcmnet-{peer}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: socket.socket, peer: str, verdict: Verdict) -> None:
        try:
            with connection:
                await self._serve_one(connection, verdict)
        finally:
            self._admission.done(peer, verdict)

    async def _serve_one(self, connection: socket.socket, verdict: Verdict) -> None:
        core = self.node.new_core(log_trace())
        error: BaseException | None = None
        try:
            if self._security is None:
                await self._drive(core, Driver(core, connection, executor=self._executor), verdict)
            else:
                await self._serve_securely(core, self._security, connection, verdict)
        except (DcmnetError, OSError) as ended:
            error = ended
            logger.warning("%s: %s", core.peer, str(ended))  # a record must not hold the association
        except asyncio.CancelledError as cancelled:
            error = cancelled
            raise
        except Exception as failure:  # a hook's mistake must not end the server
            error = failure
            logger.exception("%s: a handler failed", core.peer)
        finally:
            await self._call_ended(core, error)

    async def _serve_securely(
        self, core: AssociationCore, security: Security, connection: socket.socket, verdict: Verdict
    ) -> None:
        from dcmnet.aio.tls import secure

        core.peer = address_text(connection.getpeername())
        seconds = core.timeouts.artim  # a client that is silent has this long, with TLS or without
        with await secure(connection, security, seconds=seconds) as secured:
            await self._drive(core, Driver(core, secured, executor=self._executor), verdict)

    async def _drive(self, core: AssociationCore, driver: Driver, verdict: Verdict) -> None:
        if verdict is Verdict.REJECT:
            logger.warning("%s: rejected, too many associations", core.peer)
            await driver.run(reject(core, REJECT_LOCAL_LIMIT_EXCEEDED))
        else:
            await driver.run(serve(core, self._acceptor))

    async def _call_ended(self, core: AssociationCore, error: BaseException | None) -> None:
        hook = self.node.hooks.ended
        if hook is None:
            return
        try:
            outcome = hook(core, error)
            if inspect.isawaitable(outcome):
                await outcome
        except Exception:
            logger.exception("%s: a hook failed", core.peer)


async def _security(node: Node) -> Security | None:
    """TLS for the connections of a server, if they are to have it; the rest of the program never loads it."""
    if node.tls is None:
        return None
    from dcmnet._net.tls import acceptor_security

    return await asyncio.to_thread(acceptor_security, node.tls)  # it reads files, and may ask for a password


async def _wait_for_aborted(tasks: set[asyncio.Task[None]]) -> None:
    ended, left = await asyncio.wait(tasks, timeout=ABORT_SECONDS)
    await asyncio.gather(*ended, return_exceptions=True)  # whatever they ended with has been logged
    for task in left:
        logger.error("%s: left behind, a handler has not returned", task.get_name())
