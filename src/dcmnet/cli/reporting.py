"""The report files of the sending tools: what came of each object, whatever came of the transfer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from logging import Logger

from dcmnet.cli.options import Arguments
from dcmnet.errors import DcmnetError
from dcmnet.storage.report import Report, StoreResult
from dcmnet.storage.sources import Instance


class Reporter:
    """Writes the reports that a command line asks for, if any.

    Args:
        arguments: The command line.
        log: The tool's logger.
    """

    def __init__(self, arguments: Arguments, log: Logger) -> None:
        self._arguments = arguments
        self._log = log
        self._text: str | None = getattr(arguments, "create_report_file", None)
        self._json: str | None = arguments.report_json
        self._started = time.localtime()
        self._clock = time.monotonic()
        self._instances: list[Instance] = []
        self._results: list[StoreResult] = []

    @property
    def is_wanted(self) -> bool:
        """Whether there will be a report."""
        return bool(self._text or self._json)

    def can_write(self) -> bool:
        """Find out before the transfer whether the reports can be written; what is wrong is logged."""
        from dcmnet.storage.report_file import check_writable  # few transfers have one

        return all(self._tried(name, check_writable) for name in (self._text, self._json) if name)

    def found(self, instances: Sequence[Instance]) -> None:
        """More is known of what will be sent."""
        if self.is_wanted:
            self._instances.extend(instances)

    def told(self, result: StoreResult) -> None:
        """An object has its result."""
        if self.is_wanted:
            self._results.append(result)

    def write(self, report: Report | None, error: BaseException | None) -> bool:
        """Write the reports; False when one could not be written.

        Args:
            report: That of the transfer; None where an error ended it.
            error: What ended it.
        """
        if not self.is_wanted:
            return True
        from dcmnet.storage.report_file import Occasion, to_json, to_text, write_file  # as above

        report = report or self._unfinished(error)
        occasion = Occasion(
            host=self._arguments.peer,
            port=self._arguments.port,
            called=self._arguments.called_ae_title,
            calling=self._arguments.ae_title,
            started=time.strftime("%Y-%m-%d %H:%M:%S%z", self._started),
            seconds=time.monotonic() - self._clock,
        )
        written = True
        for name, made in ((self._text, to_text), (self._json, to_json)):
            if name:
                text = made(report, occasion)
                written = self._tried(name, lambda name, text=text: write_file(name, text)) and written
        return written

    def _unfinished(self, error: BaseException | None) -> Report:
        """What is known where the transfer has no report: the results so far, and the rest as not sent."""
        why = error if isinstance(error, DcmnetError) else DcmnetError("not sent: interrupted")
        known = {result.name for result in self._results}
        rest = [
            StoreResult(
                name=each.name,
                sop_class_uid=each.sop_class_uid,
                sop_instance_uid=each.sop_instance_uid,
                original_transfer_syntax=each.transfer_syntax,
                file_length=each.offset + each.size,
                file_modified=each.modified,
                error=why,
            )
            for each in self._instances
            if each.name not in known
        ]
        numbers = [result.association for result in self._results]
        return Report(results=[*self._results, *rest], associations=max(numbers, default=0))

    def _tried(self, name: str, function: object) -> bool:
        assert callable(function)
        try:
            function(name)
        except OSError as error:
            self._log.error("cannot write the report %s: %s", name, error.strerror or error)
            return False
        return True
