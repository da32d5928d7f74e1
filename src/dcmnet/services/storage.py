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

    `write` takes its bytes, as a `Sink`. Then `commit` is called or, where it cannot be or fails, `discard`.
    """

    def write(self, views: Sequence[memoryview]) -> None:
        """Take the next bytes of the data set."""

    def commit(self) -> Outcome | Awaitable[Outcome]:
        """The data set is complete: keep it safe, then say with which status to answer (PS3.4 B.2.3)."""

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
        """Prepare for one object, or refuse it with a status and a comment."""


def storage(target: StoreTarget) -> Service:
    """The service that performs C-STORE (PS3.7 9.1.1): receive, keep, and only then answer."""

    def serve_store(core: AssociationCore, context: AcceptedContext, request: CStoreRQ) -> Procedure[None]:
        reception = yield Call(target.begin, (core, context, request))
        if isinstance(reception, tuple):
            yield from receive_data(core, None)
            status, comment = reception
        else:
            status, comment = yield from _receive(core, reception)
        yield from respond(core, context, response_to(request, status, error_comment=comment))

    return serve_store


def _receive(core: AssociationCore, reception: Reception) -> Procedure[Outcome]:
    try:
        failure = yield from receive_data(core, reception)
        if failure is None:
            outcome: Outcome = yield Call(reception.commit)
            return outcome
    except GeneratorExit as error:  # nobody is left to carry out an effect
        reception.discard(error)
        raise
    except BaseException as error:
        yield Call(reception.discard, (error,))
        raise
    refusal: Outcome = yield Call(reception.discard, (failure,))
    return refusal
