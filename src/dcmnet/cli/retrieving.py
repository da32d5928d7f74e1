"""What getscu and movescu do alike: retrievals with their progress, counts, and what did not arrive."""

from __future__ import annotations

from dcmnet.cli.options import Arguments
from dcmnet.cli.progress import Progressing, totals
from dcmnet.cli.querying import (
    EXIT_FAILURE,
    EXIT_WARNING,
    Session,
    details_of,
    log_request,
    status_text,
)
from dcmnet.cli.receiving import Reporter
from dcmnet.cli.running import EXIT_SUCCESS
from dcmnet.dimse.messages import Response, StatusClass, status_class
from dcmnet.registry.statuses import CANCEL, service_of
from dcmnet.storage.deliveries import Claim, Deliveries
from dcmnet.storage.querying import Progress, missing_text, refused_text
from dcmnet.storage.scp import StoreRequest
from dcmnet.sync.query_retrieve import Responses

_COUNTS = ("remaining", "completed", "failed", "warnings")


class Arrivals:
    """Counts the objects that arrive, for the bar and for the totals.

    Args:
        bar: Shows progress.
    """

    def __init__(self, bar: Progressing) -> None:
        self.objects = 0
        self.length = 0
        self._bar = bar

    def stored(self, request: StoreRequest) -> None:
        """One has arrived, whatever became of it."""
        self.objects += 1
        self.length += request.size
        self._bar.advance(length=request.size)


class Retrieval:
    """One C-GET or C-MOVE after the other; says how far each is.

    Args:
        session: Of the run.
        bar: Shows progress.

    Attributes:
        claim: How many objects the peer says it has sent.
    """

    def __init__(self, session: Session, bar: Progressing) -> None:
        self._session = session
        self._bar = bar
        self._number = 0
        self._known = 0
        self._done = 0
        self._sums = dict.fromkeys(_COUNTS[1:], 0)
        self.claim = Claim()

    def begin(self, identifier: bytes, syntax: str) -> None:
        """A request is about to be sent."""
        self._number += 1
        self._known = self._done = 0
        log_request(self._session, self._number, identifier, syntax)

    def follow(self, responses: Responses[Progress]) -> None:
        """Take the responses to the end, and say what came of it."""
        session, service = self._session, service_of(self._session.sop_class)
        cancel = getattr(session.arguments, "cancel", None)
        for count, progress in enumerate(responses, 1):
            self.pending(count, status_text(progress.status, service))
            self._show(progress)
            session.event("progress", query=self._number, **_fields(progress))
            if count == cancel:
                session.log.info("Sending Cancel Request (MsgID %d)", self._number)
        result, claim, response = responses.result, responses.claim, responses.response
        # the loop has ended by itself
        assert result is not None and claim is not None and response is not None
        self.claim += claim
        self._show(result)
        for name in self._sums:
            self._sums[name] += getattr(result, name) or 0
        self._conclude(result, response, status_text(result.status, service), cancel is not None)

    def pending(self, count: int, text: str) -> None:
        """Say that a pending response has come."""
        self._session.log.info("Received %s Response (%s)", self._session.manner.title, text)

    def final(self, result: Progress, text: str) -> None:
        """Say what the final response has."""
        log, title = self._session.log, self._session.manner.title
        log.info("Received %s Response (%s)", title, text)
        log.info("Final status report from last %s message:", title)
        for name, count in zip(("Remaining", "Completed", "Failed", "Warning"), _values(result), strict=True):
            told = "not told" if count is None and name != "Remaining" else count or 0
            log.info("  Number of %s Suboperations%s : %s", name, " " * (9 - len(name)), told)

    def compare(self, deliveries: Deliveries, advice: str = "") -> None:
        """Notice when objects that the peer says it has sent have not come here, or were not kept."""
        missing, lost = deliveries.missing(self.claim), deliveries.lost
        if missing:
            self._lost(missing_text(missing, self.claim), advice)
        elif lost:
            self._lost(refused_text(lost))

    def _lost(self, text: str, advice: str = "") -> None:
        session = self._session
        session.log.warning("%s%s", text, advice)
        if session.code == session.manner.not_released:
            session.code = EXIT_SUCCESS  # that has lost nothing, and this has
        session.fail(EXIT_WARNING, text)

    def summary(self, arrivals: Arrivals | None, seconds: float) -> dict[str, object]:
        """Show the totals; returns them for the last JSON line."""
        if arrivals is not None:
            text = totals(
                arrivals.objects, arrivals.length, seconds, verb="received", failed=self._sums["failed"]
            )
            self._session.log.info("%s", text)
        arrived = {} if arrivals is None else {"received": arrivals.objects, "bytes": arrivals.length}
        return {"queries": self._number, **self._sums, **arrived, "seconds": round(seconds, 6)}

    def _show(self, progress: Progress) -> None:
        """Bring the bar to where the peer says it is."""
        remaining, *others = (count or 0 for count in _values(progress))
        done = sum(others)
        if done + remaining > self._known:
            self._bar.extend(objects=done + remaining - self._known, length=0)
            self._known = done + remaining
        if done > self._done:
            self._bar.advance(objects=done - self._done)
            self._done = done

    def _conclude(self, result: Progress, response: Response, text: str, cancelling: bool) -> None:
        session, detail = self._session, f"{text}: {response.details}" if response.details else text
        self.final(result, detail)
        for uid in result.failed_sop_instance_uids:
            session.log.error("not retrieved: %s", uid)
        if result.fault:
            session.log.error("cannot read the list of what was not retrieved: it %s", result.fault)
        session.event(
            "final",
            query=self._number,
            text=text,
            **_fields(result),
            **details_of(response),
            failed_sop_instance_uids=result.failed_sop_instance_uids,
            **({"fault": result.fault} if result.fault else {}),
        )
        self._judge(result, detail, cancelling)

    def _judge(self, result: Progress, detail: str, cancelling: bool) -> None:
        """Say whether everything was retrieved, and note the exit code."""
        session, kind = self._session, status_class(result.status)
        if (kind is StatusClass.SUCCESS and not result.failed) or (result.status == CANCEL and cancelling):
            if result.fault:
                session.fail(EXIT_WARNING)
            return
        partly = kind in (StatusClass.SUCCESS, StatusClass.WARNING)
        title, failed = session.manner.title, result.failed
        count = f"; {failed} failed" if failed else ""
        session.log.log(
            30 if partly else 40,
            "%s response with error status 0x%04X (%s)%s",
            title,
            result.status,
            detail,
            count,
        )
        session.fail(EXIT_WARNING if partly else EXIT_FAILURE)


def for_storing(arguments: Arguments) -> None:
    """Give the store what only other tools have options for."""
    for name, value in (("names", "default"), ("filename_extension", ""), ("known_vrs", False)):
        arguments.assign(name, value)


def share_events(reporter: Reporter, session: Session) -> None:
    """Have a reporter write its JSON lines where the session does."""
    reporter._json = session.json


def _values(progress: Progress) -> tuple[int | None, ...]:
    return tuple(getattr(progress, name) for name in _COUNTS)


def _fields(progress: Progress) -> dict[str, object]:
    return {"status": f"0x{progress.status:04X}", **dict(zip(_COUNTS, _values(progress), strict=True))}
