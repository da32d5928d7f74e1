"""What the tests of procedures start from: two ends, what they negotiate, and where objects go."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dcmnet.acse import (
    AcceptedContext,
    AcceptorPolicy,
    ProposedContext,
    RequestorPolicy,
    SupportedContext,
    acceptor_contexts,
    build_request,
    negotiate,
)
from dcmnet.dimse.messages import CEchoRQ, CStoreRQ, Message
from dcmnet.dimse.stream import Assembler, MessageStart, fragment_message
from dcmnet.limits import Limits, Timeouts
from dcmnet.payload import Payload
from dcmnet.procedures.association import AssociationCore, establish, flush
from dcmnet.procedures.effects import Procedure, Receive
from dcmnet.procedures.scp import Acceptor, serve
from dcmnet.registry.sop_classes import VERIFICATION
from dcmnet.registry.transfer_syntaxes import EXPLICIT_VR_LITTLE_ENDIAN as EXPLICIT
from dcmnet.registry.transfer_syntaxes import IMPLICIT_VR_LITTLE_ENDIAN as IMPLICIT
from dcmnet.services.storage import Outcome, Reception, storage
from dcmnet.services.verification import verification
from dcmnet.ul.pdu import AAbort, AAssociateAC, AAssociateRQ
from dcmnet.ul.reader import Fragment
from tests.procedures.memory import End, Network, RawPeer, gather

CT = "1.2.840.10008.5.1.4.1.1.2"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
INSTANCE = "1.2.3.4"
SYNTAXES = (EXPLICIT, IMPLICIT)
MAX_PDU_LENGTH = 4096

TIMEOUTS = Timeouts(connect=3, artim=5, acse=7, dimse=11, network=13, write=17, minimum_rate=0)
"""Each with its own length, so that a test sees which one ran out."""

CLASSES = (VERIFICATION, CT, STUDY_ROOT_FIND)
ECHO_ID, CT_ID, FIND_ID = 1, 3, 5

REQUEST = build_request(
    RequestorPolicy(
        called_ae_title="ARCHIVE",
        calling_ae_title="MODALITY",
        contexts=tuple(ProposedContext(abstract_syntax=uid, transfer_syntaxes=SYNTAXES) for uid in CLASSES),
        max_pdu_length=MAX_PDU_LENGTH,
    )
)
POLICY = AcceptorPolicy(
    ae_title="ARCHIVE",
    contexts=tuple(SupportedContext(abstract_syntax=uid, transfer_syntaxes=SYNTAXES) for uid in CLASSES),
    max_pdu_length=MAX_PDU_LENGTH,
)


def accepting(request: AAssociateRQ = REQUEST) -> AAssociateAC:
    """The AC to a request."""
    answer = negotiate(request, POLICY)
    assert isinstance(answer, AAssociateAC)
    return answer


@dataclass
class Kept(Reception):
    """One object in memory."""

    store: MemoryStore
    data: bytearray = field(default_factory=bytearray)

    def write(self, views: Sequence[memoryview]) -> None:
        for view in views:
            self.data += view
            if self.store.full_after is not None and len(self.data) > self.store.full_after:
                raise OSError(errno.ENOSPC, "No space left on device")

    def commit(self, views: Sequence[memoryview]) -> Outcome:
        self.write(views)
        self.store.kept.append(bytes(self.data))
        return self.store.outcome

    def discard(self, error: BaseException | None) -> Outcome:
        self.store.discarded.append(error)
        return 0xA700, "no space left"


@dataclass
class MemoryStore:
    """A target that keeps objects in memory, or does not.

    Attributes:
        may_take_long: Whether objects are kept beside the next ones where the peer's window allows it.
        ask_first: What is asked before the first bytes come.
        full_after: Bytes of an object after which there is no space left.
        refusal: What `begin` answers at once, or raises.
        outcome: What `commit` answers.
        kept: The complete data sets.
        discarded: Why others were not kept.
        refused_with: What `begin` answered, as told afterwards.
        begun: The requests that `begin` was asked about.
    """

    may_take_long: bool = False
    ask_first: Callable[[Any], tuple[int, str] | None] | None = None
    full_after: int | None = None
    refusal: Outcome | Exception | None = None
    outcome: Outcome = (0, "")
    kept: list[bytes] = field(default_factory=list)
    discarded: list[BaseException | None] = field(default_factory=list)
    refused_with: list[Outcome] = field(default_factory=list)
    begun: list[CStoreRQ] = field(default_factory=list)

    def begin(
        self, core: AssociationCore, context: AcceptedContext, request: CStoreRQ
    ) -> Reception | Outcome:
        assert context.abstract_syntax == request.affected_sop_class_uid
        self.begun.append(request)
        if isinstance(self.refusal, Exception):
            raise self.refusal
        return Kept(self) if self.refusal is None else self.refusal

    def refused(
        self, core: AssociationCore, context: AcceptedContext, request: CStoreRQ, outcome: Outcome
    ) -> None:
        self.refused_with.append(outcome)


def acceptor(store: MemoryStore | None = None, **options: Any) -> Acceptor:
    """An acceptor that performs C-ECHO, and C-STORE where there is a store."""
    services: dict[type[Message], Any] = {CEchoRQ: verification()}
    if store is not None:
        services[CStoreRQ] = storage(store)
    return Acceptor(**{"policy": POLICY, "services": services, **options})


class Pair:
    """A requestor and an acceptor that serves, both ours.

    Args:
        seed: Of the random cutting.
        client: Timeouts of the requestor.
        server: Timeouts of the acceptor.
        limits: Of both.
        options: As for `acceptor`.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        client: Timeouts = TIMEOUTS,
        server: Timeouts = TIMEOUTS,
        limits: Limits | None = None,
        **options: Any,
    ) -> None:
        self.network = Network(seed)
        self.traced: list[tuple[str, str, Any]] = []
        self.server = self.network.acceptor(
            timeouts=server,
            limits=limits,
            max_pdu_length=MAX_PDU_LENGTH,
            trace=lambda what, subject: self.traced.append(("server", what, subject)),
        )
        self.client = self.network.requestor(
            self.server,
            timeouts=client,
            limits=limits,
            max_pdu_length=MAX_PDU_LENGTH,
            trace=lambda what, subject: self.traced.append(("client", what, subject)),
        )
        self.acceptor = acceptor(**options)

    def establish(self) -> Pair:
        """Bring both to Sta6, the server serving; returns itself."""
        self.server.start(serve(self.server.core, self.acceptor))
        self.client.run(establish(self.client.core, "peer", 104, REQUEST))
        return self

    def establish_idle(self) -> Pair:
        """Bring both to Sta6, without anybody serving; returns itself."""
        self.server.start(accept(self.server.core))
        self.client.run(establish(self.client.core, "peer", 104, REQUEST))
        self.server.finish()
        return self

    def states(self, side: str) -> list[int]:
        """The states that one side has been in."""
        return [subject[2].next_state for who, what, subject in self.traced if (who, what) == (side, "state")]


def accept(core: AssociationCore) -> Procedure[None]:
    """Accept an association and do no more."""
    request = yield Receive()
    answer = accepting(request)
    core.negotiated = acceptor_contexts(request, answer)
    core.upper_layer.associate_accept(answer)
    yield from flush(core)


class RawClient(RawPeer):
    """A raw requestor in front of an acceptor that serves."""

    def __init__(
        self,
        *,
        timeouts: Timeouts = TIMEOUTS,
        limits: Limits | None = None,
        seed: int = 0,
        room: int = 1 << 62,
        **options: Any,
    ) -> None:
        super().__init__(Network(seed), room)
        self.server: End = self.network.acceptor(
            timeouts=timeouts, limits=limits, max_pdu_length=MAX_PDU_LENGTH
        )
        self.connect(self.server)
        self.server.start(serve(self.server.core, acceptor(**options)))

    def associate(self) -> RawClient:
        """Bring the server to Sta6; returns itself."""
        self.send(REQUEST)
        assert [type(pdu) for pdu in self.received()] == [AAssociateAC]
        self.incoming.seen.clear()
        return self


class RawServer(RawPeer):
    """A raw acceptor that a requestor of ours has connected to."""

    def __init__(
        self,
        *,
        timeouts: Timeouts = TIMEOUTS,
        limits: Limits | None = None,
        seed: int = 0,
        room: int = 1 << 62,
    ) -> None:
        super().__init__(Network(seed), room)
        self.client: End = self.network.requestor(
            self, timeouts=timeouts, limits=limits, max_pdu_length=MAX_PDU_LENGTH
        )

    def associate(self, answer: AAssociateAC | None = None) -> RawServer:
        """Bring the client to Sta6; returns itself."""
        self.client.start(establish(self.client.core, "peer", 104, REQUEST))
        self.send(answer or accepting())
        self.client.finish()
        self.received()
        self.incoming.seen.clear()
        return self


def message(context_id: int, message: Message, payload: Payload | None = None, size: int = 1000) -> bytes:
    """The P-DATA-TF PDUs of a message."""
    batches = fragment_message(context_id, message, payload, size)
    return b"".join(gather(parts) for parts in batches)


def store_request(message_id: int = 1) -> CStoreRQ:
    """A C-STORE-RQ for the CT context."""
    return CStoreRQ(message_id=message_id, affected_sop_class_uid=CT, affected_sop_instance_uid=INSTANCE)


def messages(pdus: Sequence[object]) -> list[Message]:
    """The messages in what a peer received."""
    assembler = Assembler(Limits())
    items = [assembler.feed(pdu) for pdu in pdus if isinstance(pdu, Fragment)]
    return [item.message for item in items if isinstance(item, MessageStart)]


def aborts(pdus: Sequence[object]) -> list[tuple[int, int]]:
    """Source and reason of the A-ABORTs in what a peer received."""
    return [(pdu.source, pdu.reason) for pdu in pdus if isinstance(pdu, AAbort)]
