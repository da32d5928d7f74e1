"""The parts by themselves, without sockets: `python benchmarks/micro.py [--json FILE] [--profile NAME]`."""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import pstats
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

if not __package__:  # run as a script
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    sys.path.insert(1, str(Path(__file__).resolve().parent.parent / "src"))

from benchmarks.objects import BATCHES, objects_of
from dcmnet._net.transfer import Gatherer
from dcmnet.acse import (
    AcceptorPolicy,
    ProposedContext,
    RequestorPolicy,
    acceptor_contexts,
    build_request,
    negotiate,
    requestor_contexts,
)
from dcmnet.dimse.messages import CEchoRQ, CStoreRQ, CStoreRSP, Message, decode_message
from dcmnet.dimse.responses import response_to
from dcmnet.dimse.stream import Assembler, fragment_message
from dcmnet.limits import DEFAULT_MAX_PDU_LENGTH, Limits, Timeouts
from dcmnet.procedures import association, scp, scu
from dcmnet.procedures.association import AssociationCore, new_core
from dcmnet.procedures.effects import Call, Close, Connect, Next, Procedure, Receive, Send, Spawn, Store
from dcmnet.registry.sop_classes import STORAGE, VERIFICATION
from dcmnet.registry.transfer_syntaxes import EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN
from dcmnet.services.defaults import VERIFICATION_CONTEXT, storage_contexts
from dcmnet.services.storage import storage
from dcmnet.services.verification import verification
from dcmnet.storage.scp import FileStore
from dcmnet.storage.scu import store_source
from dcmnet.ul.pdu import AAssociateAC, AAssociateRQ
from dcmnet.ul.reader import Fragment, Reader

CT = "1.2.840.10008.5.1.4.1.1.2"
UID = "1.2.826.0.1.3680043.10.1500.9.1.2.3.4.5.6.7"
REQUEST = CStoreRQ(message_id=7, affected_sop_class_uid=CT, affected_sop_instance_uid=UID)
RESPONSE = CStoreRSP(
    message_id_being_responded_to=7, status=0, affected_sop_class_uid=CT, affected_sop_instance_uid=UID
)
SECONDS = 0.5
MEMORY = Path("/dev/shm")
"""Files go here where it is there: the disk is not what is measured."""


class InMemory:
    """Runs procedures of both ends of an association in one thread, handing bytes over in memory."""

    def __init__(
        self, requestor: AssociationCore, acceptor: AssociationCore, serving: Procedure[Any]
    ) -> None:
        self._cores = (requestor, acceptor)
        self._gatherers = (Gatherer(), Gatherer())
        acceptor.upper_layer.transport_connected(0.0)
        self._serving = serving
        self._waiting: Any = self._advance(1, serving, None)

    def run(self, procedure: Procedure[Any]) -> Any:
        """Run one of the requestor's procedures to its end."""
        outcome = None
        while True:
            try:
                effect = self._advance(0, procedure, outcome)
            except StopIteration as stop:
                return stop.value
            outcome = self._exchange()
            assert isinstance(effect, Receive)

    def _exchange(self) -> Any:
        """Let the acceptor work until it waits; the requestor's next event."""
        event = self._cores[0].upper_layer.next_event()
        if event is None and self._serving is not None:
            self._waiting = self._advance(1, self._serving, self._cores[1].upper_layer.next_event())
            event = self._cores[0].upper_layer.next_event()
        return event

    def _advance(self, side: int, procedure: Procedure[Any], outcome: Any) -> Any:
        """Go on until the procedure waits for the other side."""
        effect = procedure.send(outcome)
        while True:
            match effect:
                case Receive():
                    event = self._cores[side].upper_layer.next_event()
                    if event is None:
                        return effect
                    effect = procedure.send(event)
                case Send(parts):
                    self._deliver(1 - side, self._gatherers[side].gather(parts))
                    effect = procedure.send(True)
                case _:
                    effect = procedure.send(self._perform(side, effect))

    def _perform(self, side: int, effect: Any) -> Any:
        match effect:
            case Store(sink, views):
                return sink.write(views)
            case Call(handler, args):
                return handler(*args)
            case Next(iterator):
                return next(iterator, None)
            case Connect():
                return self._cores[side].upper_layer.transport_connected(0.0)
            case Close():
                return self._cores[side].upper_layer.transport_closed(0.0)
            case Spawn():
                raise TypeError("no procedure that is measured here starts another")

    def _deliver(self, side: int, buffers: Sequence[memoryview]) -> None:
        """Put bytes into the other side's buffer, letting it work whenever that is full."""
        upper_layer = self._cores[side].upper_layer
        for view in buffers:
            position = 0
            while position < len(view):
                room = upper_layer.get_buffer()
                count = min(len(room), len(view) - position)
                room[:count] = view[position : position + count]
                upper_layer.bytes_received(count, 0.0)
                position += count
                if side == 1:
                    event = upper_layer.next_event()
                    if event is not None:
                        self._waiting = self._advance(1, self._serving, event)


def associated(services: dict[type[Message], Any], sop_class_uid: str) -> tuple[InMemory, AssociationCore]:
    """Both ends of an association in memory, the acceptor with one service."""
    requestor, acceptor = (
        new_core(requestor=side, timeouts=Timeouts(), limits=Limits()) for side in (True, False)
    )
    policy = AcceptorPolicy(contexts=(VERIFICATION_CONTEXT, *storage_contexts()))
    serving = scp.serve(acceptor, scp.Acceptor(policy=policy, services=services))
    pair = InMemory(requestor, acceptor, serving)
    proposed = ProposedContext(abstract_syntax=sop_class_uid, transfer_syntaxes=(EXPLICIT_VR_LITTLE_ENDIAN,))
    pair.run(association.establish(requestor, "", 0, build_request(_asking((proposed,)))))
    return pair, requestor


def _asking(contexts: tuple[ProposedContext, ...]) -> RequestorPolicy:
    return RequestorPolicy(called_ae_title="A", calling_ae_title="B", contexts=contexts)


def reader(length: int) -> Callable[[], object]:
    """Parse a C-STORE message with a data set of `length` bytes, received in 256 kB pieces."""
    payload = bytes(length)
    stream = b"".join(
        bytes(part)  # type: ignore[arg-type]  # no file range
        for parts in fragment_message(1, REQUEST, payload, DEFAULT_MAX_PDU_LENGTH)
        for part in parts
    )
    limits = Limits()
    parser = Reader(limits=limits, max_pdu_length=DEFAULT_MAX_PDU_LENGTH)
    assembler = Assembler(limits)

    def parse() -> None:
        position = 0
        while position < len(stream):
            room = parser.get_buffer()
            count = min(len(room), len(stream) - position)
            room[:count] = stream[position : position + count]
            parser.received(count)
            position += count
            while (item := parser.next()) is not None:
                assert isinstance(item, Fragment)
                assembler.feed(item)

    return parse


def store_exchange(name: str, keep: bool, folder: Path) -> Callable[[], object]:
    """One object from its file to a response: both ends, and the file on the disk unless it is discarded."""
    path = next(objects_of(BATCHES[name], 1).iterdir())
    store = FileStore(directory=folder, discard=not keep)
    pair, core = associated({CStoreRQ: storage(store)}, CT)
    return lambda: pair.run(store_source(core, path))


def send_only() -> Callable[[], object]:
    """Cut a C-STORE message with 12 kB of data into PDUs."""
    payload = bytes(11800)
    return lambda: list(fragment_message(1, REQUEST, payload, DEFAULT_MAX_PDU_LENGTH))


def negotiation() -> Callable[[], object]:
    """Build, encode, decode, negotiate, answer and evaluate a request with 128 contexts."""
    syntaxes = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN)
    contexts = tuple(
        ProposedContext(abstract_syntax=uid, transfer_syntaxes=syntaxes) for uid in list(STORAGE)[:128]
    )
    policy = AcceptorPolicy(contexts=(VERIFICATION_CONTEXT, *storage_contexts()))
    limits = Limits()

    def negotiate_once() -> None:
        request = build_request(_asking(contexts))
        received = AAssociateRQ.decode(memoryview(request.encode())[6:], limits)
        answer = negotiate(received, policy)
        assert isinstance(answer, AAssociateAC)
        acceptor_contexts(received, answer)
        requestor_contexts(request, AAssociateAC.decode(memoryview(answer.encode())[6:], limits))

    return negotiate_once


def echo_exchange() -> Callable[[], object]:
    """One C-ECHO, both ends."""
    pair, core = associated({CEchoRQ: verification()}, VERIFICATION)
    return lambda: pair.run(scu.echo(core))


def parts(folder: Path) -> dict[str, Callable[[], Callable[[], object]]]:
    """What can be measured, by name."""
    limits = Limits()
    request, response = REQUEST.encode(), RESPONSE.encode()
    return {
        "encode-request": lambda: REQUEST.encode,
        "decode-request": lambda: lambda: decode_message(request, limits),
        "make-response": lambda: lambda: response_to(REQUEST, 0, error_comment=""),
        "encode-response": lambda: RESPONSE.encode,
        "decode-response": lambda: lambda: decode_message(response, limits),
        "fragment-12kB": send_only,
        "read-12kB": lambda: reader(12_000),
        "read-527kB": lambda: reader(527_000),
        "negotiate-128": negotiation,
        "echo": echo_exchange,
        "store-12kB-discard": lambda: store_exchange("12kB", False, folder),
        "store-12kB": lambda: store_exchange("12kB", True, folder),
        "store-527kB-discard": lambda: store_exchange("527kB", False, folder),
        "store-527kB": lambda: store_exchange("527kB", True, folder),
    }


def microseconds(function: Callable[[], object]) -> float:
    """The best of several averages: what disturbs can only add."""
    function()
    count = 1
    while (taken := _time(function, count)) < SECONDS / 10:
        count = max(2 * count, int(count * SECONDS / 10 / max(taken, 1e-9)))
    return 1e6 * min(_time(function, count) for _ in range(9)) / count


def _time(function: Callable[[], object], count: int) -> float:
    begun = time.perf_counter()
    for _ in range(count):
        function()
    return time.perf_counter() - begun


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, or profile one part."""
    parser = argparse.ArgumentParser(description="Measure parts of dcmnet by themselves, in microseconds.")
    parser.add_argument("names", nargs="*", help="which parts (default: all)")
    parser.add_argument("--profile", action="store_true", help="show where the time goes instead")
    parser.add_argument("--json", metavar="FILE", help="write the numbers to FILE")
    options = parser.parse_args(argv)
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        for name, make in parts(Path(folder)).items():
            if options.names and name not in options.names:
                continue
            if options.profile:
                _profile(make())
                continue
            found[name] = microseconds(make())
            print(f"{name:22}{found[name]:10.2f} us", flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1) + os.linesep)
    return 0


def _profile(function: Callable[[], object], count: int = 2000) -> None:
    function()
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(count):
        function()
    profile.disable()
    pstats.Stats(profile).sort_stats("tottime").print_stats(45)


if __name__ == "__main__":
    sys.exit(main())
