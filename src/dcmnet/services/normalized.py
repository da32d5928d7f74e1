"""The normalized services (PS3.7 10.1) as an SCP performs them: many service classes are made of these.

Data sets are bytes here: whoever performs decodes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from dcmnet.acse import AcceptedContext
from dcmnet.dimse.messages import NEventReportRQ, NEventReportRSP, Request
from dcmnet.dimse.responses import response_to
from dcmnet.limits import MAX_KEPT_REPORTS
from dcmnet.procedures.association import AssociationCore, join, receive_data
from dcmnet.procedures.effects import Call, Procedure
from dcmnet.procedures.query_retrieve import receive_identifier
from dcmnet.procedures.scp import Service, refuse, respond
from dcmnet.procedures.scu import send_request
from dcmnet.procedures.sending import match
from dcmnet.registry.statuses import RESOURCE_LIMITATION
from dcmnet.services.query_retrieve import HandlerFailed, asked, send_response
from dcmnet.services.storage import Outcome


class Report(NamedTuple):
    """An N-EVENT-REPORT that is to be sent once the request has been answered.

    Attributes:
        sop_class_uid: Affected SOP Class UID.
        sop_instance_uid: Affected SOP Instance UID.
        event_type_id: As the service class has it.
        data: The Event Information, encoded; None when there is none.
    """

    sop_class_uid: str
    sop_instance_uid: str
    event_type_id: int
    data: bytes | None


class Performed(NamedTuple):
    """What came of a request.

    Attributes:
        status: To answer with.
        data: The data set of the response, encoded; None when it has none.
        sop_instance_uid: The instance, where the response says something else than the request.
        reports: The events to be reported afterwards.
    """

    status: int
    data: bytes | None = None
    sop_instance_uid: str = ""
    reports: Sequence[Report] = ()


class Performer(Protocol):
    """Performs requests; the methods are called as handlers are, and may raise anything."""

    def begin(self, core: AssociationCore, context: AcceptedContext, request: Any, data: bytes) -> Any:
        """Perform one request; returns its `Performed`, or an awaitable of that."""

    def failed(self, error: BaseException) -> Outcome:
        """Tell people what the handler raised; returns the status and the comment to answer with."""

    def reported(self, response: NEventReportRSP) -> None:
        """The peer has answered an event report."""


def normalized(performer: Performer) -> Service:
    """The service that performs N-EVENT-REPORT, N-GET, N-SET, N-ACTION, N-CREATE and N-DELETE."""

    def serve_request(core: AssociationCore, context: AcceptedContext, request: Request) -> Procedure[None]:
        yield from join(core)  # whatever else the peer has asked for is answered first
        if len(core.reports or ()) >= MAX_KEPT_REPORTS:
            yield from refuse(core, context, request, RESOURCE_LIMITATION, "answer the event reports first")
            return
        data = (yield from receive_identifier(core)) if request.has_data_set else b""
        if data is None:
            comment = f"data set longer than {core.limits.max_identifier_length} bytes"
            yield from respond(
                core, context, response_to(request, RESOURCE_LIMITATION, error_comment=comment)
            )
            return
        try:
            performed = yield from asked(Call(performer.begin, (core, context, request, data)))
        except HandlerFailed as failed:
            status, comment = yield Call(performer.failed, (failed.__cause__,))
            yield from send_response(core, context, response_to(request, status, error_comment=comment))
            return
        yield from _answer(core, context, request, performed)
        core.reports = [*(core.reports or ()), *((context, report) for report in performed.reports)]
        yield from _report(core)

    return serve_request


def _answer(
    core: AssociationCore, context: AcceptedContext, request: Request, performed: Performed
) -> Procedure[None]:
    given = performed.sop_instance_uid
    fields: dict[str, Any] = {"affected_sop_instance_uid": given} if given else {}
    response = response_to(request, performed.status, has_data_set=performed.data is not None, **fields)
    yield from send_response(core, context, response, performed.data)


def event_responses(performer: Performer) -> Service:
    """The service that takes the responses to event reports, and sends the next one."""

    def take(core: AssociationCore, _: AcceptedContext, response: NEventReportRSP) -> Procedure[None]:
        match(core, response)
        if response.has_data_set:
            yield from receive_data(core, None)
        yield Call(performer.reported, (response,))
        yield from _report(core)

    return take


def _report(core: AssociationCore) -> Procedure[None]:
    """Send the next event report, unless one is under way: without a window a peer takes one at a time."""
    if not core.reports or core.message_ids.outstanding:
        return
    context, report = core.reports.pop(0)
    request = NEventReportRQ(
        message_id=core.message_ids.next(),
        affected_sop_class_uid=report.sop_class_uid,
        affected_sop_instance_uid=report.sop_instance_uid,
        event_type_id=report.event_type_id,
        has_data_set=report.data is not None,
    )
    yield from send_request(core, context, request, report.data)
