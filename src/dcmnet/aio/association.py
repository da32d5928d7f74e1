"""The asyncio face of an association."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Generator, Sequence
from types import TracebackType
from typing import Any, TypeVar

from dcmnet._net.trace import log_trace
from dcmnet.acse import AcceptedContext, Negotiated, ProposedContext, RequestorPolicy, build_request
from dcmnet.aio.driver import Driver
from dcmnet.dimse.messages import CEchoRSP, CStoreRSP, Priority
from dcmnet.limits import DEFAULT_MAX_PDU_LENGTH, Limits, Timeouts
from dcmnet.procedures import association as procedures
from dcmnet.procedures import scu
from dcmnet.procedures.association import AssociationCore, new_core
from dcmnet.procedures.effects import Procedure
from dcmnet.services.defaults import DEFAULT_CONTEXTS
from dcmnet.storage.scu import store_source
from dcmnet.storage.sources import Source
from dcmnet.ul.items import UserIdentityRQ

T = TypeVar("T")


class Association:
    """An established association, as its requestor has it. Made by `connect`.

    Leaving an `async with` block releases the association, or aborts it when an exception is on its way out.
    One operation runs at a time; other tasks wait for their turn.
    """

    def __init__(self, driver: Driver, core: AssociationCore) -> None:
        self._driver = driver
        self._core = core
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Association:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await self.release()
        else:
            await self.abort()

    @property
    def negotiated(self) -> Negotiated:
        """What both sides agreed on: contexts, window, maximum lengths."""
        return self._core.agreed

    @property
    def accepted_contexts(self) -> tuple[AcceptedContext, ...]:
        """The accepted presentation contexts, in the order of proposal."""
        return tuple(self._core.agreed.contexts.values())

    @property
    def peer(self) -> str:
        """The peer's address, `host:port`."""
        return self._core.peer

    @property
    def is_established(self) -> bool:
        """True until the association is released, aborted or lost."""
        return self._core.upper_layer.established

    async def echo(self) -> CEchoRSP:
        """C-ECHO (PS3.7 9.1.5): verify that the peer understands DICOM.

        Raises:
            NoPresentationContext: Verification was not accepted.
            AssociationError: The association ended.
            DeadlineExceeded: The peer did not answer in time.
        """
        return await self._run(scu.echo(self._core))

    async def store(self, source: Source, *, priority: Priority = Priority.MEDIUM) -> CStoreRSP:
        """C-STORE (PS3.7 9.1.1) of one object.

        Args:
            source: A path, a binary file object or a pydicom data set.
            priority: Told to the peer.

        Raises:
            InputFileError: It cannot be sent: not DICOM, no UIDs, unreadable.
            NoPresentationContext: Its SOP class was not accepted in a transfer syntax that serves.
            AssociationError: The association ended.
            DeadlineExceeded: The peer did not answer in time.
        """
        return await self._run(store_source(self._core, source, priority))

    async def release(self) -> None:
        """Release the association in good order and close the connection; once is enough."""
        return await self._run(procedures.release(self._core))

    async def abort(self) -> None:
        """End the association at once with an A-ABORT."""
        return await self._run(procedures.abort(self._core))

    async def _run(self, procedure: Procedure[T]) -> T:
        async with self._lock:
            return await self._driver.run(procedure)


class connect:  # reads as a function: awaited, or the target of `async with`
    """Connect to a peer and establish an association (PS3.8 7.1).

    Either `assoc = await connect(...)` or `async with connect(...) as assoc:`.

    Args:
        host: Name or address.
        port: TCP port.
        called: The peer's AE title.
        calling: This side's AE title.
        contexts: Presentation contexts to propose; Verification when not given.
        max_pdu_length: Longest P-DATA-TF this side takes, in bytes.
        user_identity: Who is calling (PS3.7 D.3.3.7).
        timeouts: Every timer.
        limits: What the peer may send.
        family: `socket.AF_INET`, `AF_INET6`, or `AF_UNSPEC` for whatever the name stands for.

    Raises:
        TransportClosed: The connection could not be made.
        AssociationRejected: The peer refused; result, source and reason say why.
        AssociationAborted: The peer aborted.
        DeadlineExceeded: It took too long.
    """

    def __init__(  # noqa: PLR0913  # every one is a keyword
        self,
        host: str,
        port: int,
        *,
        called: str = "ANY-SCP",
        calling: str = "DCMNET",
        contexts: Sequence[ProposedContext] = DEFAULT_CONTEXTS,
        max_pdu_length: int = DEFAULT_MAX_PDU_LENGTH,
        user_identity: UserIdentityRQ | None = None,
        timeouts: Timeouts | None = None,
        limits: Limits | None = None,
        family: int = socket.AF_UNSPEC,
    ) -> None:
        self._address = (host, port)
        self._policy = RequestorPolicy(
            called_ae_title=called,
            calling_ae_title=calling,
            contexts=tuple(contexts),
            max_pdu_length=max_pdu_length,
            user_identity=user_identity,
        )
        self._timeouts = timeouts or Timeouts()
        self._limits = limits or Limits()
        self._family = family
        self._association: Association | None = None

    def __await__(self) -> Generator[Any, None, Association]:
        return self._connect().__await__()

    async def __aenter__(self) -> Association:
        self._association = await self._connect()
        return self._association

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._association is not None
        await self._association.__aexit__(kind, error, trace)

    async def _connect(self) -> Association:
        core = new_core(
            requestor=True,
            timeouts=self._timeouts,
            limits=self._limits,
            max_pdu_length=self._policy.max_pdu_length,
            trace=log_trace(),
        )
        driver = Driver(core, family=self._family)
        await driver.run(procedures.establish(core, *self._address, build_request(self._policy)))
        return Association(driver, core)
