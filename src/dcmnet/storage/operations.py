"""Which handlers perform the normalized services, and the decorators that say so."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from dcmnet import arguments
from dcmnet._records import dataclass, field
from dcmnet.acse import AcceptorRole, SupportedContext
from dcmnet.dimse.messages import (
    Message,
    NActionRQ,
    NCreateRQ,
    NDeleteRQ,
    NEventReportRQ,
    NEventReportRSP,
    NGetRQ,
    NSetRQ,
    Request,
)
from dcmnet.procedures.scp import Service
from dcmnet.storage.registering import H, Registering

if TYPE_CHECKING:
    from dcmnet.storage.performing import OperationHandler


class Registration(NamedTuple):
    """A handler, and the classes that may be negotiated for it."""

    handler: OperationHandler
    negotiated_as: tuple[str, ...]


@dataclass(slots=True)
class Operations:
    """What performs the normalized services.

    Attributes:
        handlers: By kind of request and SOP Class UID.
    """

    handlers: dict[tuple[type[Request], str], Registration] = field(default_factory=dict)

    def contexts(self) -> tuple[SupportedContext, ...]:
        """The classes that there are handlers for, with the role that a requestor needs."""
        if not self.handlers:
            return ()
        from dcmnet.dataset import CONVERTIBLE

        kinds: dict[str, set[bool]] = {}
        for (kind, _), registration in self.handlers.items():
            for uid in registration.negotiated_as:
                kinds.setdefault(uid, set()).add(kind is NEventReportRQ)
        return tuple(
            SupportedContext(abstract_syntax=uid, transfer_syntaxes=CONVERTIBLE, role=_role(reports))
            for uid, reports in kinds.items()
        )

    def services(
        self, report: Callable[[str, BaseException | None], Any] | None
    ) -> dict[type[Message], Service]:
        """The services that call the handlers; what performs them is loaded when there is a handler."""
        if not self.handlers:
            return {}
        from dcmnet.services.normalized import event_responses, normalized
        from dcmnet.storage.performing import Handling

        handling = Handling(self.handlers, report)
        services: dict[type[Message], Service] = {kind: normalized(handling) for kind, _ in self.handlers}
        services[NEventReportRSP] = event_responses(handling)
        return services


def _role(reports: set[bool]) -> AcceptorRole:
    # PS3.7 10.1.1, D.3.3.4: who reports events is the SCP of the class.
    if reports == {True}:
        return AcceptorRole.SCP
    return AcceptorRole.BOTH if True in reports else AcceptorRole.DEFAULT


class OperationHandlers(Registering):
    """The decorators of both faces' `Server` for the normalized services (PS3.7 10.1).

    A handler may be a function or a coroutine function. It gets an `OperationRequest` and returns None for
    success, a status, a data set (a mapping of keywords and values, a pydicom data set, encoded bytes) that
    goes out with success, or a pair of a status and a data set. A `StatusError` that it raises is the status;
    any other exception becomes 0110, processing failure, and a log record.

    Contexts for the class are accepted in the uncompressed transfer syntaxes, unless the server was given its
    own. `negotiated_as` names the class or classes that are negotiated in the place of this one: a Meta SOP
    Class (PS3.4 H.3), or UPS Watch for UPS Push (PS3.4 CC.2). A TypeError says that the class was left out,
    or that the handler is no function of one argument.
    """

    _operations: Operations

    def on_n_get(self, sop_class_uid: str, *, negotiated_as: str | Iterable[str] = ()) -> Callable[[H], H]:
        """Decorator: `handler(request)` answers each N-GET of a SOP class (PS3.7 10.1.2).

        It returns the attributes; those that were not asked for are left out.

        ```python
        @server.on_n_get(PRINTER)
        def get(request):
            return {"PrinterStatus": "NORMAL", "PrinterName": "LASER"}
        ```
        """
        return self._performing(NGetRQ, sop_class_uid, negotiated_as)

    def on_n_set(self, sop_class_uid: str, *, negotiated_as: str | Iterable[str] = ()) -> Callable[[H], H]:
        """Decorator: `handler(request)` performs each N-SET of a SOP class (PS3.7 10.1.3)."""
        return self._performing(NSetRQ, sop_class_uid, negotiated_as)

    def on_n_action(self, sop_class_uid: str, *, negotiated_as: str | Iterable[str] = ()) -> Callable[[H], H]:
        """Decorator: `handler(request)` performs each N-ACTION of a SOP class (PS3.7 10.1.4).

        `request.action_type_id` says what is to be done. What comes of it later can be told on the same
        association with `request.report_event`.
        """
        return self._performing(NActionRQ, sop_class_uid, negotiated_as)

    def on_n_create(self, sop_class_uid: str, *, negotiated_as: str | Iterable[str] = ()) -> Callable[[H], H]:
        """Decorator: `handler(request)` performs each N-CREATE of a SOP class (PS3.7 10.1.5).

        `request.sop_instance_uid` is what the peer has chosen, or one made up where it has not.
        """
        return self._performing(NCreateRQ, sop_class_uid, negotiated_as)

    def on_n_delete(self, sop_class_uid: str, *, negotiated_as: str | Iterable[str] = ()) -> Callable[[H], H]:
        """Decorator: `handler(request)` performs each N-DELETE of a SOP class (PS3.7 10.1.6)."""
        return self._performing(NDeleteRQ, sop_class_uid, negotiated_as)

    def on_n_event_report(
        self, sop_class_uid: str, *, negotiated_as: str | Iterable[str] = ()
    ) -> Callable[[H], H]:
        """Decorator: `handler(request)` is told of each N-EVENT-REPORT of a SOP class (PS3.7 10.1.1).

        It comes from the SCP of the class, which has to propose that role (PS3.7 D.3.3.4).
        `request.event_type_id` says what has happened.
        """
        return self._performing(NEventReportRQ, sop_class_uid, negotiated_as)

    def _performing(
        self, kind: type[Request], sop_class_uid: str, negotiated_as: str | Iterable[str]
    ) -> Callable[[H], H]:
        name = f"on_{kind.NAME.removesuffix('-RQ').replace('-', '_').lower()}"
        if callable(sop_class_uid):  # the parentheses were forgotten
            raise TypeError(f'name the SOP class that the handler is for: @server.{name}("1.2.840....")')
        arguments.text(sop_class_uid, "sop_class_uid")
        others = arguments.strings(negotiated_as, "negotiated_as")

        def register(handler: H) -> H:
            self._check(name, handler, 1)
            registration = Registration(handler, others or (sop_class_uid,))
            self._operations.handlers[kind, sop_class_uid] = registration
            return handler

        return register
