"""The Storage Service Class (PS3.4 Annex B): how an SCP receives a composite object and answers for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from dcmnet.acse import AcceptedContext
from dcmnet.dimse.messages import CStoreRQ, Response, store_rsp
from dcmnet.dimse.responses import response_to
from dcmnet.limits import DETACHED_LENGTH
from dcmnet.procedures.association import (
    AssociationCore,
    await_end,
    make_room,
    pieces_at_hand,
    receive_data,
    receive_rest,
    start,
)
from dcmnet.procedures.effects import Call, Finished, Procedure, Send, Start, Store
from dcmnet.procedures.scp import Service, parts_of_response, respond

Outcome = tuple[int, str]
"""Status and Error Comment of a C-STORE-RSP."""


class Reception(Protocol):
    """One object on its way in.

    `write` takes its bytes, as a `Sink`, and `commit` the last of them; where that cannot be called, or
    fails, `discard` is.
    """

    def write(self, views: Sequence[memoryview]) -> None:
        """Take the next bytes of the data set."""

    def commit(self, views: Sequence[memoryview]) -> Outcome | Awaitable[Outcome]:
        """Take the last bytes; keep the object safe, then say with which status to answer (PS3.4 B.2.3)."""

    def discard(self, error: BaseException | None) -> Outcome:
        """The data set will not be complete, or could not be written: leave nothing visible behind.

        Args:
            error: Why: the OSError of `write`, or the exception that ended the association.
        """


class StoreTarget(Protocol):
    """Where objects go."""

    @property
    def may_take_long(self) -> bool:
        """Whether keeping an object may take longer than writing it: for a handler, or for the disk."""

    @property
    def ask_first(self) -> Callable[[Reception], Outcome | Awaitable[Outcome | None] | None] | None:
        """Called with a reception before its first bytes come; an outcome refuses the object.

        It may do as it likes, as a handler. None when nobody is to be asked.
        """

    def begin(
        self, core: AssociationCore, context: AcceptedContext, request: CStoreRQ
    ) -> Reception | Outcome:
        """Decide on one object: how to receive it, or a status and a comment that refuse it.

        It decides and touches nothing: it is called in place, where input and output would stall the others.
        """

    def refused(
        self, core: AssociationCore, context: AcceptedContext, request: CStoreRQ, outcome: Outcome
    ) -> None:
        """An object was refused before it came, and its data set is passed over: tell who wants to know."""


def storage(target: StoreTarget) -> Service:
    """The service that performs C-STORE (PS3.7 9.1.1): receive, keep, and only then answer."""

    def serve_store(core: AssociationCore, context: AcceptedContext, request: CStoreRQ) -> Procedure[None]:
        reception = target.begin(core, context, request)
        if isinstance(reception, tuple) or target.ask_first is not None:
            return _ask(target, core, context, request, reception)
        return _serve(target, core, context, request, reception)

    return serve_store


def _ask(
    target: StoreTarget,
    core: AssociationCore,
    context: AcceptedContext,
    request: CStoreRQ,
    reception: Reception | Outcome,
) -> Procedure[None]:
    """Receive an object, if nobody refuses it."""
    if target.ask_first is not None and not isinstance(reception, tuple):
        reception = (yield Call(target.ask_first, (reception,))) or reception
    if not isinstance(reception, tuple):
        yield from _serve(target, core, context, request, reception)
        return
    yield from receive_data(core, None)
    yield Call(target.refused, (core, context, request, reception))
    yield from respond(core, context, _response(request, reception))


def _serve(
    target: StoreTarget,
    core: AssociationCore,
    context: AcceptedContext,
    request: CStoreRQ,
    reception: Reception,
) -> Procedure[None]:
    """The procedure that receives an object, here or beside what comes next."""
    if core.serves > 1 and (core.calls_in_threads or target.may_take_long):
        return _receive_beside(core, context, request, reception)
    return _receive(core, context, request, reception)


def _receive_beside(
    core: AssociationCore, context: AcceptedContext, request: CStoreRQ, reception: Reception
) -> Procedure[None]:
    yield from _receive(core, context, request, reception, _Beside(core, context, request, reception))
    yield from make_room(core)


class _Beside:
    """Keeps an object while the next ones come (PS3.7 D.3.3.3); the answer follows when it is safe."""

    __slots__ = ("_operation", "_reception")

    def __init__(
        self, core: AssociationCore, context: AcceptedContext, request: CStoreRQ, reception: Reception
    ) -> None:
        self._operation = (core, context, request)
        self._reception = reception

    def begin(self, views: Sequence[memoryview]) -> Procedure[None]:
        """Begin to keep it; the views are not valid any longer when that goes on."""
        if sum(map(len, views)) > DETACHED_LENGTH:
            yield Store(self._reception, views)
            views = ()
        rest = [memoryview(bytes(view)) for view in views]
        reception = self._reception
        call = Start(reception.commit, (rest,), self.end, reception.discard)
        yield from start(self._operation[0], call)

    def end(self, finished: Finished) -> Procedure[None]:
        """Answer."""
        outcome, error = finished.outcome, finished.error
        if error is not None:
            outcome = yield Call(self._reception.discard, (error,))
            if not isinstance(error, OSError):
                raise error
        core, context, request = self._operation
        yield from respond(core, context, _response(request, outcome))


def _response(request: CStoreRQ, outcome: Outcome) -> Response:
    """The response; most have nothing to say but their status."""
    status, comment = outcome
    if comment:
        return response_to(request, status, error_comment=comment)
    sop_class_uid, sop_instance_uid = request.affected_sop_class_uid, request.affected_sop_instance_uid
    return store_rsp(sop_class_uid, request.message_id, status, sop_instance_uid)


def _receive(
    core: AssociationCore,
    context: AcceptedContext,
    request: CStoreRQ,
    reception: Reception,
    beside: _Beside | None = None,
) -> Procedure[None]:
    """Receive an object, keep it and answer; with `beside` the latter two go on while others come.

    This is what a server does most, and so it does it in as few steps as possible.
    """
    views: list[memoryview] = []
    try:
        failure = None
        if not pieces_at_hand(core, views):
            failure = yield from receive_rest(core, reception, views)
        if failure is None:
            try:
                if beside is not None:
                    yield from beside.begin(views)
                    return
                outcome: Outcome = yield Call(reception.commit, (views,))
            except OSError as error:  # the last bytes found no place
                failure = error
    except GeneratorExit as error:  # nobody is left to carry out an effect
        reception.discard(error)
        raise
    except BaseException as error:
        yield Call(reception.discard, (error,))
        raise
    if failure is not None:
        outcome = yield Call(reception.discard, (failure,))
    parts = parts_of_response(core, context, _response(request, outcome))
    if parts and not (yield Send(parts)):
        yield from await_end(core)
