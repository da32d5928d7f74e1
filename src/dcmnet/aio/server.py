"""The asyncio server: one task an association."""

from __future__ import annotations

import asyncio
import inspect
import socket
import threading
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from dcmnet import arguments
from dcmnet._net.admission import Admission, Verdict
from dcmnet._net.forks import own
from dcmnet._net.isolation import isolate_decoders
from dcmnet._net.listening import OUT_OF_RESOURCES, PAUSE, close_listener, open_listeners
from dcmnet._net.trace import log_failure, log_trace, logger
from dcmnet._net.transfer import address_text
from dcmnet.acse import REJECT_LOCAL_LIMIT_EXCEEDED
from dcmnet.aio.buffers import WideBuffers
from dcmnet.aio.driver import Driver, serving_task
from dcmnet.aio.readiness import Waiter
from dcmnet.aio.threads import Threads
from dcmnet.errors import DcmnetError
from dcmnet.limits import MAX_HANDLER_THREADS
from dcmnet.procedures.association import AssociationCore
from dcmnet.procedures.scp import reject, serve
from dcmnet.storage.node import CurrentAcceptor, Handlers, Node

if TYPE_CHECKING:
    from dcmnet._net.crew import Crew
    from dcmnet._net.link import Link
    from dcmnet._net.tls import Security, TLSSocket

isolate_decoders()

LOOPBACK = "127.0.0.1"
DRAIN_SECONDS = 10.0

ABORT_SECONDS = 5.0
"""How long aborted associations may take to end; a handler that never returns does not hold `shutdown`."""


class Server(Handlers):
    """A server that performs what its handlers say; see `Handlers` for its options and decorators.

    Handlers may be coroutine functions; others run in threads.
    """

    _sockets: tuple[socket.socket, ...] = ()
    _crew: Crew | Link | None = None
    _crew_ended: asyncio.Task[None] | None = None
    _ended: asyncio.Event | None = None

    @property
    def port(self) -> int:
        """The TCP port it listens on."""
        running = self._running()
        port: int = running[0].getsockname()[1] if isinstance(running, tuple) else running.port
        return port

    @property
    def addresses(self) -> list[str]:
        """The addresses it listens on, `host:port` each."""
        running = self._running()
        if isinstance(running, tuple):
            return [address_text(sock.getsockname()) for sock in running]
        return running.addresses

    @property
    def associations(self) -> int:
        """How many associations are being served now."""
        running = self._running()
        return len(self._tasks) if isinstance(running, tuple) else running.associations

    async def serve(self, port: int, host: str = LOOPBACK, *, family: int = socket.AF_UNSPEC) -> None:
        """Listen and serve until `shutdown` is called, or the task is cancelled.

        Args:
            port: TCP port; 0 for a free one.
            host: Address to listen on: loopback unless told otherwise; "" for every address.
            family: `socket.AF_INET`, `AF_INET6`, or `AF_UNSPEC` for both.

        Raises:
            TypeError: An argument has another type.
            OSError: The port cannot be had, or the folder for objects does not exist.
            TLSSettingsError: The settings of TLS cannot be used.
            ValueError: There is no such port; `workers` were asked for, and this system cannot have them.
        """
        await self.start(port, host, family=family)
        try:
            await self.wait()
        finally:
            await self.shutdown()

    async def start(self, port: int, host: str = LOOPBACK, *, family: int = socket.AF_UNSPEC) -> Self:
        """Listen, and serve from tasks; returns at once. Arguments and errors as for `serve`."""
        if self._sockets or self._crew is not None:
            raise RuntimeError("the server is running already")
        self._check_start(host, port, family)
        if self.node.workers:
            self._start_crew(host, port, family)
            return self
        self._security = await _security(self.node)
        self._sockets = tuple(open_listeners(host, port, family))
        own(self)
        self._prepare()
        self._admission = Admission(self.node.max_associations, self.node.max_associations_by_peer)
        self._accepting = [asyncio.create_task(self._accept(sock)) for sock in self._sockets]
        return self

    def _start_crew(self, host: str, port: int, family: int) -> None:
        from dcmnet._net.crew import Crew  # for those who ask for it

        self._security = None
        if self.node.tls is not None:
            from dcmnet._net.tls import acceptor_security

            self._security = acceptor_security(self.node.tls)  # in place: threads do not go with a fork
        self._crew = Crew(host, port, family, self.node, self._work)
        self._has_workers = True
        self._crew_ended = asyncio.create_task(_end_of(self._crew))

    def _prepare(self) -> None:
        self._acceptor = CurrentAcceptor(self.node, log_failure)
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()
        most = min(MAX_HANDLER_THREADS, self.node.max_associations)
        self._wide = WideBuffers()
        self._threads = Threads(asyncio.get_running_loop(), most)

    async def wait(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109  # as the blocking one
        """Wait until the server stops accepting; False when `timeout` seconds passed first.

        With workers until these have ended.
        """
        arguments.seconds(timeout, "timeout")
        if self._crew_ended is not None:
            return bool((await asyncio.wait((self._crew_ended,), timeout=timeout))[0])
        if not self._sockets:
            return True
        _, pending = await asyncio.wait(self._accepting, timeout=timeout)
        return not pending

    async def shutdown(self, drain: float = DRAIN_SECONDS) -> None:
        """Stop accepting, let associations finish for `drain` seconds, abort those that are left.

        One whose handler does not return within a few seconds more is logged and left behind; with workers
        it ends with its process.
        """
        arguments.seconds(drain, "drain")
        if self._crew is not None:
            await self._end_crew(self._crew, drain)
            return
        sockets, self._sockets = self._sockets, ()
        if self._ended is None:  # it never ran
            return
        try:
            if sockets:
                await self._stop_accepting(sockets)
            elif serving_task() not in self._tasks:  # somebody else is at it
                await self._ended.wait()
            await self._end(drain)
        finally:
            self._threads.close()
            self._ended.set()

    async def _end_crew(self, crew: Crew | Link, drain: float) -> None:
        ended = self._crew_ended
        seconds = crew.begin_shutdown(drain)
        if ended is None:  # in a worker: nobody waits for himself
            return
        try:
            if not (await asyncio.wait((ended,), timeout=seconds))[0]:
                crew.kill()
        finally:
            crew.hasten()  # in vain but where the waiting was cancelled
            await asyncio.wait((ended,), timeout=ABORT_SECONDS)
            self._crew = self._crew_ended = None
            self._has_workers = False

    async def _stop_accepting(self, sockets: tuple[socket.socket, ...]) -> None:
        for task in self._accepting:
            task.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        for sock in sockets:
            close_listener(sock)

    async def _end(self, drain: float) -> None:
        tasks = self._tasks - {serving_task()}  # a handler may stop its own server
        try:
            if tasks:
                await asyncio.wait(tasks, timeout=drain)
        finally:
            for task in tasks:
                task.cancel()
            if tasks:
                await _wait_for_aborted(tasks)

    def hasten_shutdown(self) -> None:
        """While `shutdown` waits: abort what is left at once.

        Called again it ends what workers are left, which are processes of their own.
        """
        if self._crew is not None:
            self._crew.hasten()
        elif self._ended is not None:
            for task in self._tasks:
                task.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.shutdown()

    def disown(self) -> None:
        """In a child process that was forked: the server runs in the parent only."""
        for sock in self._sockets:
            sock.close()
        self._sockets, self._ended = (), None

    def _running(self) -> tuple[socket.socket, ...] | Crew | Link:
        if self._crew is not None and not self._crew.stopping:
            return self._crew
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
        self._begin_task(connection, peer, verdict, partial(self._admission.done, peer, verdict))

    def _begin_task(
        self, connection: socket.socket, peer: str, verdict: Verdict, done: Callable[[], None]
    ) -> None:
        task = asyncio.create_task(self._serve(connection, verdict), name=f"dcmnet-{peer}")
        self._tasks.add(task)
        task.add_done_callback(partial(self._ended_with, connection, done))

    def _ended_with(
        self, connection: socket.socket, done: Callable[[], None], task: asyncio.Task[None]
    ) -> None:
        """A task is over, be it that it was cancelled before its first step."""
        connection.close()
        self._tasks.discard(task)
        done()

    async def _serve(self, connection: socket.socket, verdict: Verdict) -> None:
        core = self.node.new_core(log_trace())
        error: BaseException | None = None
        try:
            if self._security is None:
                await self._drive(core, connection, verdict)
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
            await self._drive(core, secured, verdict)

    async def _drive(self, core: AssociationCore, sock: socket.socket | TLSSocket, verdict: Verdict) -> None:
        driver = Driver(core, sock, threads=self._threads, wide=self._wide)
        if verdict is Verdict.REJECT:
            logger.warning("%s: rejected, too many associations", core.peer)
            await driver.run(reject(core, REJECT_LOCAL_LIMIT_EXCEEDED))
            return
        try:
            await driver.run(serve(core, self._acceptor()))
        finally:
            driver.give_back_buffer()

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

    # ------------------------------------------------------------------ in a worker

    def _work(self, index: int, link: Link) -> None:
        """Be a worker: serve what comes over `link` until that says to stop."""
        self._crew, self._crew_ended = link, None
        failures: list[BaseException] = []

        def run() -> None:
            try:
                # Not asyncio.run, which would wait for handlers that have been left behind; the process ends.
                asyncio.new_event_loop().run_until_complete(self._serve_link(index, link))
            except BaseException as error:
                failures.append(error)

        # This thread was in the parent's event loop when it was copied; a new one knows of none.
        thread = threading.Thread(target=run, name="dcmnet-worker")
        thread.start()
        thread.join()
        if failures:
            raise failures[0]

    async def _serve_link(self, index: int, link: Link) -> None:
        self._prepare()
        self._has_workers = False  # each worker calls the hook, which may register handlers therefore
        hook = self.node.hooks.worker
        if hook is not None:
            outcome = hook(index)
            if inspect.isawaitable(outcome):
                await outcome
        self._has_workers = True
        waiter = Waiter(asyncio.get_running_loop(), link.sock)
        while link.drain is None:
            await waiter.wait()
            arrival = link.receive()
            if arrival is not None:
                self._begin_task(*arrival)
        hastening = asyncio.create_task(self._hasten(link, waiter))
        await self._end(link.drain)
        hastening.cancel()
        self._threads.close()

    async def _hasten(self, link: Link, waiter: Waiter) -> None:
        while not link.hastened:
            await waiter.wait()
            link.refuse(link.receive())
        for task in self._tasks:
            task.cancel()


async def _end_of(crew: Crew) -> None:
    """Wait until a supervisor has ended, and collect it."""
    waiter = Waiter(asyncio.get_running_loop(), crew.sock)
    try:
        await waiter.wait()
    finally:
        waiter.close()
    crew.reap()


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
