"""What the sending tools show while they send: log lines, the bar, JSON lines, reports and the totals."""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable
from logging import INFO, Logger
from typing import Any, NamedTuple

from dcmnet.acse import AcceptedContext
from dcmnet.cli import networking
from dcmnet.cli.json_output import JsonLines, details
from dcmnet.cli.options import Arguments
from dcmnet.cli.progress import NoBar, Progressing, is_wanted, progress, totals
from dcmnet.cli.reporting import Reporter
from dcmnet.errors import DcmnetError, NoPresentationContext
from dcmnet.procedures.association import AssociationCore
from dcmnet.registry.sop_classes import UNKNOWN_PREFIX, prefix_of
from dcmnet.registry.statuses import SUCCESS, text_of
from dcmnet.registry.uids import name_of
from dcmnet.storage.report import Report, StoreResult
from dcmnet.storage.sources import Instance


class Wording(NamedTuple):
    """What a tool's log lines say.

    Attributes:
        message: What a request and a response are called.
        before: What is said before an association is requested, with its number.
        after: What is said when it is there.
        each_file: Whether each file is named before it is sent, or only where details are logged.
        summary: Whether the summary of the report is logged at the end.
    """

    message: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    each_file: bool = True
    summary: bool = False


STORESCU_WORDING = Wording("Store")
DCMSEND_WORDING = Wording(
    "C-STORE",
    ("starting association #%d", "initializing network ...", "negotiating network association ..."),
    ("sending SOP instances ...",),
    each_file=False,
    summary=True,
)


class Session:
    """One run of the tool.

    Args:
        arguments: The command line.
        log: The tool's logger.
        wording: What it says.
        reporter: Writes report files.

    Attributes:
        log: The tool's logger.
        started: When the first association was requested, by the monotonic clock; None before.
        seconds: How long the transfer took.
    """

    def __init__(self, arguments: Arguments, log: Logger, wording: Wording, reporter: Reporter) -> None:
        self.log = self._log = log
        self.started: float | None = None
        self.seconds = 0.0
        self._arguments = arguments
        self._wording = wording
        self._reporter = reporter
        self._renaming = Renaming(log, arguments) if getattr(arguments, "rename", False) else None
        self._json = JsonLines() if arguments.json else None
        self._bar: Progressing = NoBar()
        self._silent = False
        self._associations = 0
        self._failed = 0
        self._told: DcmnetError | None = None

    def hooks(self) -> dict[str, Callable[..., Any]]:
        """What a `Transfer` calls; for each object only what will be shown."""
        hooks: dict[str, Callable[..., Any]] = {
            "on_start": self._start,
            "on_skipped": self._skipped,
            "on_association": self._associated,
            "on_result": self._result,
            "on_end": self._end,
            "on_retry": self._retry,
        }
        if is_wanted(self._arguments) or self._reporter.is_wanted:
            hooks["on_found"] = self._found
        if self._log.isEnabledFor(INFO):
            hooks |= {"on_sending": self._sending, "on_request": self._request}
        return hooks

    def end_bar(self) -> None:
        """Take the bar away."""
        bar, self._bar = self._bar, NoBar()
        bar.__exit__(None, None, None)

    def write_reports(self, report: Report | None, error: BaseException | None) -> bool:
        """Write the report files; False when one could not be written."""
        return self._reporter.write(report, error)

    def close(self, report: Report | None, code: int, error: DcmnetError | None = None) -> int:
        """Show what there is to say at the end; returns the exit code."""
        self.end_bar()
        if report is not None:
            self._conclude(report)
        if error is not None:
            self._event("error", text=str(error))
        if self._json is not None:
            report = report or Report()
            self._json.summary(
                objects=len(report.results),
                stored=report.stored,
                warnings=report.warnings,
                failed=report.failed,
                stored_before=len(report.former),
                skipped=len(report.skipped),
                associations=report.associations,
                bytes=report.size,
                seconds=round(self.seconds, 6),
                exit_code=code,
            )
            self._json.close(code)
        return code

    def _conclude(self, report: Report) -> None:
        for error in report.missing:
            self._log.warning("one association less: %s", error)
            self._event("error", text=str(error))
        for ending in report.endings:
            self._log.error("Association Release Failed: %s", ending)
            self._event("error", text=str(ending))
        if report.former:
            self._log.info("%d stored before, not sent again", len(report.former))
        if report.skipped:
            count = len(report.skipped)
            self._log.warning("%d file%s left out", count, "" if count == 1 else "s")
        if not report.results:
            if not report.former:
                self._log.critical("no input files to be sent")
            return
        self._count_unsent(report)
        if self._wording.summary:
            from dcmnet.storage.report_file import summary_lines  # dcmsend's

            self._log.info("")
            for summary in summary_lines(report):
                self._log.info("%s", summary)
        line = totals(report.stored, report.size, self.seconds, verb="stored", failed=report.failed)
        if is_wanted(self._arguments):
            sys.stderr.write(line + "\n")
        else:
            self._log.info("%s", line)

    def _count_unsent(self, report: Report) -> None:
        """What was not tried any more: it has an SOP class, and no association."""
        left = [each for each in report.results if each.sop_class_uid and not each.association]
        if left and all(type(each.error) is DcmnetError for each in left):
            self._log.warning("%d more not sent; with -nh (--no-halt) they would have been", len(left))
        elif left:
            self._log.warning("%d not sent", len(left))

    def _event(self, name: str, **fields: object) -> None:
        if self._json is not None:
            self._json.event(name, **fields)

    # ------------------------------------------------------------------ what happens, in this order

    def _skipped(self, name: str, why: str) -> None:
        self._log.warning("ignoring %s", why)
        self._event("skipped", file=name, reason=why)

    def _start(self, instances: list[Instance]) -> None:
        self._reporter.found(instances)
        if not instances or (self._failed and not self._arguments.no_halt):
            return
        repeat = getattr(self._arguments, "repeat", 1)
        length = sum(instance.size for instance in instances) * repeat
        self._bar = progress(self._arguments, objects=len(instances) * repeat, length=length)
        self._bar.__enter__()
        shows = self._json is not None or self._log.isEnabledFor(INFO) or not isinstance(self._bar, NoBar)
        self._silent = not (shows or self._reporter.is_wanted or self._renaming is not None)
        self.started = time.monotonic()
        self._requesting()

    def _requesting(self) -> None:
        for number, line in enumerate(self._wording.before):
            self._log.info(line, *((self._associations + 1,) if number == 0 else ()))
        self._log.info("Requesting Association")

    def _found(self, instances: list[Instance]) -> None:
        self._reporter.found(instances)
        repeat = getattr(self._arguments, "repeat", 1)
        length = sum(instance.size for instance in instances) * repeat
        self._bar.extend(objects=len(instances) * repeat, length=length)

    def _retry(self, error: DcmnetError, seconds: float) -> None:
        self._log.warning("%s: trying again in %g s", error, seconds)
        self._event("retry", text=str(error), seconds=seconds)

    def _associated(self, core: AssociationCore) -> None:
        agreed = core.agreed
        self._associations += 1
        if self._associations > 1:
            self._requesting()
        self._log.info("Association Accepted (Max Send PDV: %d)", networking.max_send_pdv(agreed))
        for line in self._wording.after:
            self._log.info(line)
        if self._arguments.verbose_pc:
            networking.log_contexts(self._log, agreed)
        if not agreed.contexts:
            self._log.critical("No Acceptable Presentation Contexts")
        self._event(
            "association",
            peer=core.peer,
            called_ae_title=agreed.called_ae_title,
            calling_ae_title=agreed.calling_ae_title,
            contexts_proposed=len(agreed.proposed),
            contexts_accepted=len(agreed.contexts),
            max_send_pdv=networking.max_send_pdv(agreed),
        )

    def _sending(self, instance: Instance) -> None:
        if self._wording.each_file:
            self._log.info("Sending file: %s", instance.name)
        else:
            self._log.debug("sending SOP instance from file: %s", instance.name)
        if instance.changes is not None:
            self._log.info("Inventing Identifying Information:")
            for keyword, value in instance.changes.items():
                self._log.info("  %s=%s", keyword, value)

    def _request(self, instance: Instance, context: AcceptedContext, message_id: int) -> None:
        if context.transfer_syntax != instance.transfer_syntax:
            names = name_of(instance.transfer_syntax), name_of(context.transfer_syntax)
            self._log.info("Converting transfer syntax: %s -> %s", *names)
        prefix = prefix_of(instance.sop_class_uid)
        prefix = "OT" if prefix == UNKNOWN_PREFIX else prefix
        self._log.info("Sending %s Request (MsgID %d, %s)", self._wording.message, message_id, prefix)

    def _result(self, result: StoreResult) -> None:
        if self._silent and result.status == SUCCESS:
            return  # as most are, one for each object
        self._bar.advance(objects=int(result.ok), length=result.size)
        self._reporter.told(result)
        if self._renaming is not None:
            self._renaming.rename(result)
        if result.status == SUCCESS and self._json is None and not self._log.isEnabledFor(INFO):
            return
        text = "" if result.status is None else text_of(result.status, "storage")
        if text:
            detail = f"{text}: {result.details}" if result.details else text
            self._log.info("Received %s Response (%s)", self._wording.message, detail)
        if not result.ok:
            self._failed += 1
            self._tell(result)
        elif result.status != SUCCESS and result.details:
            self._log.warning("Store Warning, file: %s:\n%s", result.name, result.describe())
        self._event(
            "object",
            file=result.name,
            stored=result.ok,
            sop_class_uid=result.sop_class_uid,
            sop_instance_uid=result.sop_instance_uid,
            transfer_syntax=result.transfer_syntax,
            bytes=result.size,
            association=result.association,
            status=None if result.status is None else f"0x{result.status:04X}",
            text=result.describe() if result.error is not None else text,
            **{"comment": "", **details(result.comment, result.offending_element, result.error_id)},
        )

    def _tell(self, result: StoreResult) -> None:
        """Log a failure: once for all objects that fail for the same reason."""
        error = result.error
        if not result.sop_class_uid:  # it could not be read
            self._log.error("%s", error)
        elif error is None:
            self._log.error("Store Failed, file: %s:\n%s", result.name, result.describe())
        elif type(error) is not DcmnetError and error is not self._told:
            self._log.error("Store Failed, file: %s:\n%s", result.name, error)
            self._told = error
            if isinstance(error, NoPresentationContext):
                self._advise()

    def _advise(self) -> None:
        """What decides over the contexts, where that is an option."""
        if "--config-file" in self._arguments:
            self._log.error("without -xf what each file needs is proposed")
        elif getattr(self._arguments, "proposed", None) is not None:
            self._log.error("without -x? the transfer syntax of each file is proposed")
        elif getattr(self._arguments, "decompress", "lossy") != "lossy":
            self._log.error("+dly (--decompress-lossy) may have it decompressed")

    def _end(self, core: AssociationCore) -> None:
        aborts = getattr(self._arguments, "abort", False)
        self._log.info("%s Association", "Aborting" if aborts else "Releasing")


class Renaming:
    """Gives files that were dealt with other names.

    Args:
        log: The tool's logger.
        arguments: The command line.
    """

    def __init__(self, log: Logger, arguments: Arguments) -> None:
        self._log = log
        self._repeat = arguments.repeat
        self._outcomes: dict[str, list[bool]] = {}

    def rename(self, result: StoreResult) -> None:
        """Append `.done`, or `.bad` where it was not stored, once it has been sent as often as asked for."""
        if not result.association:  # it was not tried
            return
        outcomes = self._outcomes.setdefault(result.name, [])
        outcomes.append(result.ok)
        if len(outcomes) < self._repeat:
            return
        target = result.name + (".done" if all(outcomes) else ".bad")
        try:
            if os.path.lexists(target):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            os.rename(result.name, target)
        except OSError as error:
            self._log.error("cannot rename %s to %s: %s", result.name, target, error.strerror)
