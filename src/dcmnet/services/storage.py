"""The Storage Service Class (PS3.4 Annex B): how an SCP receives a composite object and answers for it."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Protocol

from dcmnet.acse import AcceptedContext
from dcmnet.dimse.messages import CStoreRQ, response_to
from dcmnet.procedures.association import AssociationCore, receive_data
from dcmnet.procedures.effects import Call, Procedure
from dcmnet.procedures.scp import Service, respond

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

    def begin(
        self, core: AssociationCore, context: AcceptedContext, request: CStoreRQ
    ) -> Reception | Outcome:
        """Decide on one object: how to receive it, or a status and a comment that refuse it.

        It decides and touches nothing: it is called in place, where input and output would stall the others.
        """

    def refused(
        self, core: AssociationCore, context: AcceptedContext, request: CStoreRQ, outcome: Outcome
    ) -> None:
        """`begin` has refused an object, whose data set is passed over: tell who wants to know."""


def storage(target: StoreTarget) -> Service:
    """The service that performs C-STORE (PS3.7 9.1.1): receive, keep, and only then answer."""

    def serve_store(core: AssociationCore, context: AcceptedContext, request: CStoreRQ) -> Procedure[None]:
        reception = target.begin(core, context, request)
        if isinstance(reception, tuple):
            yield from receive_data(core, None)
            yield Call(target.refused, (core, context, request, reception))
            status, comment = reception
        else:
            status, comment = yield from _receive(core, reception)
        yield from respond(core, context, response_to(request, status, error_comment=comment))

    return serve_store


def _receive(core: AssociationCore, reception: Reception) -> Procedure[Outcome]:
    try:
        failure, views = yield from receive_data(core, reception)
        if failure is None:
            try:
                outcome: Outcome = yield Call(reception.commit, (views,))
                return outcome
            except OSError as error:  # the last bytes found no place
                failure = error
    except GeneratorExit as error:  # nobody is left to carry out an effect
        reception.discard(error)
        raise
    except BaseException as error:
        yield Call(reception.discard, (error,))
        raise
    refusal: Outcome = yield Call(reception.discard, (failure,))
    return refusal
