"""Both faces behind the same blocking calls, so that each test is written once."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import dcmnet
from dcmnet import aio
from dcmnet.acse import Negotiated
from dcmnet.dimse.messages import CEchoRSP, CStoreRSP
from dcmnet.limits import Timeouts
from dcmnet.storage.node import Handlers
from dcmnet.storage.report import Report
from tests.faces.wire import DEADLINE

T = TypeVar("T")

QUICK = Timeouts(connect=10.0, artim=1.5, acse=10.0, dimse=2.0, network=2.0, write=2.0, minimum_rate=0)
"""For tests in which a timer has to run out."""

PATIENT = Timeouts(connect=10.0, artim=5.0, acse=10.0, dimse=10.0, network=10.0, write=10.0)
"""For tests in which none may: a hang shows as an error."""


class Responses(Protocol):
    """What the responses of a query or retrieval are."""

    def __iter__(self) -> Iterator[Any]: ...

    def wait(self) -> Any: ...

    def cancel(self) -> None: ...

    def close(self) -> None: ...

    def raise_for_status(self) -> Any: ...

    @property
    def status(self) -> int | None: ...

    @property
    def response(self) -> Any: ...

    @property
    def result(self) -> Any: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Association(Protocol):
    """What `dcmnet.Association` is."""

    def find(self, *args: Any, **options: Any) -> Responses: ...

    def get(self, *args: Any, **options: Any) -> Responses: ...

    def move(self, *args: Any, **options: Any) -> Responses: ...

    def n_get(self, *args: Any, **options: Any) -> Any: ...

    def n_set(self, *args: Any, **options: Any) -> Any: ...

    def n_action(self, *args: Any, **options: Any) -> Any: ...

    def n_create(self, *args: Any, **options: Any) -> Any: ...

    def n_delete(self, *args: Any, **options: Any) -> Any: ...

    def n_event_report(self, *args: Any, **options: Any) -> Any: ...

    def next_event(self, timeout: float | None = None) -> Any: ...

    def echo(self) -> CEchoRSP: ...

    def store(self, source: Any, *, priority: Any = ..., check: Any = ...) -> CStoreRSP: ...

    def release(self) -> None: ...

    def abort(self) -> None: ...

    @property
    def negotiated(self) -> Negotiated: ...

    @property
    def is_established(self) -> bool: ...

    @property
    def endings(self) -> tuple[Exception, ...]: ...

    @property
    def accepted_contexts(self) -> tuple[Any, ...]: ...

    @property
    def peer(self) -> str: ...

    @property
    def tls(self) -> dcmnet.TLSSession | None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Server(Protocol):
    """A server that runs."""

    @property
    def port(self) -> int: ...

    @property
    def associations(self) -> int: ...

    @property
    def addresses(self) -> list[str]: ...

    def shutdown(self, drain: float = 10.0) -> None: ...

    def wait(self, timeout: float | None = None) -> bool: ...


class Face(Protocol):
    """One of the two."""

    name: str

    def connect(self, port: int, host: str = "127.0.0.1", **options: Any) -> Association: ...

    def send(self, port: int, sources: Any, **options: Any) -> Report: ...

    def ask(self, kind: str, port: int, *args: Any, **options: Any) -> Any:
        """`find`, `get` or `move` of the face."""

    def new_server(self, *args: Any, **options: Any) -> Handlers:
        """A Server that does not run yet, to be decorated."""

    def new_storage_scp(self, directory: Path, **options: Any) -> Handlers: ...

    def start(self, server: Handlers, port: int = 0, host: str = "127.0.0.1") -> Server:
        """Make it run."""

    def close(self) -> None: ...


@contextlib.contextmanager
def running(face: Face, server: Handlers, drain: float = 0.0) -> Iterator[Server]:
    """Start a server, and shut it down in the end."""
    started = face.start(server)
    try:
        yield started
    finally:
        started.shutdown(drain)


class BlockingFace:
    """`dcmnet` itself."""

    name = "blocking"

    def connect(self, port: int, host: str = "127.0.0.1", **options: Any) -> Association:
        return dcmnet.connect(host, port, **{"timeouts": PATIENT, **options})

    def send(self, port: int, sources: Any, **options: Any) -> Report:
        return dcmnet.send("127.0.0.1", port, sources, **{"timeouts": PATIENT, **options})

    def ask(self, kind: str, port: int, *args: Any, **options: Any) -> Any:
        return getattr(dcmnet, kind)("127.0.0.1", port, *args, **{"timeouts": PATIENT, **options})

    def new_server(self, *args: Any, **options: Any) -> Handlers:
        return dcmnet.Server(*args, **{"timeouts": PATIENT, **options})

    def new_storage_scp(self, directory: Path, **options: Any) -> Handlers:
        return dcmnet.StorageSCP(directory, **{"timeouts": PATIENT, **options})

    def start(self, server: Handlers, port: int = 0, host: str = "127.0.0.1") -> Server:
        assert isinstance(server, dcmnet.Server)
        return server.start(port, host)

    def close(self) -> None:
        pass


class LoopThread:
    """An event loop in a thread, and calls into it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def begin(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.begin(coroutine).result(3 * DEADLINE)

    def close(self) -> None:
        left = self.call(_cancel_all())
        self.call(self.loop.shutdown_default_executor())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(DEADLINE)
        self.loop.close()
        assert not left, f"tasks left behind: {left}"


async def _cancel_all() -> list[str]:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return [repr(task) for task in tasks]


class AsyncioResponses:
    """Responses of the asyncio face."""

    def __init__(self, thread: LoopThread, responses: Any) -> None:
        self._thread = thread
        self._responses = responses

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return self._thread.call(_next_of(self._responses))
        except StopAsyncIteration:
            raise StopIteration from None

    def wait(self) -> Any:
        return self._thread.call(self._responses.wait())

    def cancel(self) -> None:
        self._thread.call(self._responses.cancel())

    def close(self) -> None:
        self._thread.call(self._responses.close())

    def raise_for_status(self) -> Any:
        return self._responses.raise_for_status()

    @property
    def status(self) -> int | None:
        status: int | None = self._responses.status
        return status

    @property
    def response(self) -> Any:
        return self._responses.response

    @property
    def result(self) -> Any:
        return self._responses.result

    def __enter__(self) -> Self:
        self._thread.call(self._responses.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.call(self._responses.__aexit__(kind, error, trace))


async def _next_of(responses: Any) -> Any:
    return await anext(responses)


class AsyncioAssociation:
    """An association of the asyncio face."""

    def find(self, *args: Any, **options: Any) -> Responses:
        return AsyncioResponses(self._thread, self.association.find(*args, **options))

    def get(self, *args: Any, **options: Any) -> Responses:
        return AsyncioResponses(self._thread, self.association.get(*args, **options))

    def move(self, *args: Any, **options: Any) -> Responses:
        return AsyncioResponses(self._thread, self.association.move(*args, **options))

    def __init__(self, thread: LoopThread, association: aio.Association) -> None:
        self._thread = thread
        self.association = association

    def n_get(self, *args: Any, **options: Any) -> Any:
        return self._thread.call(self.association.n_get(*args, **options))

    def n_set(self, *args: Any, **options: Any) -> Any:
        return self._thread.call(self.association.n_set(*args, **options))

    def n_action(self, *args: Any, **options: Any) -> Any:
        return self._thread.call(self.association.n_action(*args, **options))

    def n_create(self, *args: Any, **options: Any) -> Any:
        return self._thread.call(self.association.n_create(*args, **options))

    def n_delete(self, *args: Any, **options: Any) -> Any:
        return self._thread.call(self.association.n_delete(*args, **options))

    def n_event_report(self, *args: Any, **options: Any) -> Any:
        return self._thread.call(self.association.n_event_report(*args, **options))

    def next_event(self, timeout: float | None = None) -> Any:
        return self._thread.call(self.association.next_event(timeout))

    def echo(self) -> CEchoRSP:
        return self._thread.call(self.association.echo())

    def store(self, source: Any, **options: Any) -> CStoreRSP:
        return self._thread.call(self.association.store(source, **options))

    def release(self) -> None:
        self._thread.call(self.association.release())

    def abort(self) -> None:
        self._thread.call(self.association.abort())

    @property
    def negotiated(self) -> Negotiated:
        return self.association.negotiated

    @property
    def is_established(self) -> bool:
        return self.association.is_established

    @property
    def endings(self) -> tuple[Exception, ...]:
        return self.association.endings

    @property
    def accepted_contexts(self) -> tuple[Any, ...]:
        return self.association.accepted_contexts

    @property
    def peer(self) -> str:
        return self.association.peer

    @property
    def tls(self) -> dcmnet.TLSSession | None:
        return self.association.tls

    def __enter__(self) -> Self:
        self._thread.call(self.association.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.call(self.association.__aexit__(kind, error, trace))


class AsyncioServer:
    """A running server of the asyncio face."""

    def __init__(self, thread: LoopThread, server: aio.Server) -> None:
        self._thread = thread
        self._server = server

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def associations(self) -> int:
        return self._server.associations

    @property
    def addresses(self) -> list[str]:
        return self._server.addresses

    def shutdown(self, drain: float = 10.0) -> None:
        self._thread.call(self._server.shutdown(drain))

    def wait(self, timeout: float | None = None) -> bool:
        return self._thread.call(self._server.wait(timeout))


class AsyncioFace:
    """`dcmnet.aio`."""

    name = "asyncio"

    def __init__(self) -> None:
        self.thread = LoopThread()

    def connect(self, port: int, host: str = "127.0.0.1", **options: Any) -> Association:
        association = self.thread.call(_connected(host, port, {"timeouts": PATIENT, **options}))
        return AsyncioAssociation(self.thread, association)

    def send(self, port: int, sources: Any, **options: Any) -> Report:
        options = {"timeouts": PATIENT, **options}
        return self.thread.call(aio.send("127.0.0.1", port, sources, **options))

    def ask(self, kind: str, port: int, *args: Any, **options: Any) -> Any:
        options = {"timeouts": PATIENT, **options}
        return self.thread.call(getattr(aio, kind)("127.0.0.1", port, *args, **options))

    def new_server(self, *args: Any, **options: Any) -> Handlers:
        return aio.Server(*args, **{"timeouts": PATIENT, **options})

    def new_storage_scp(self, directory: Path, **options: Any) -> Handlers:
        return aio.StorageSCP(directory, **{"timeouts": PATIENT, **options})

    def start(self, server: Handlers, port: int = 0, host: str = "127.0.0.1") -> Server:
        assert isinstance(server, aio.Server)
        return AsyncioServer(self.thread, self.thread.call(server.start(port, host)))

    def close(self) -> None:
        self.thread.close()


async def _connected(host: str, port: int, options: dict[str, Any]) -> aio.Association:
    return await aio.connect(host, port, **options)
