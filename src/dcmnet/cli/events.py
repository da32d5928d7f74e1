"""What storescp does beside storing: commands after objects and studies, and names at the end of a study."""

from __future__ import annotations

import os
import socket
import threading
import time
from functools import lru_cache
from logging import Logger
from typing import Any

from dcmnet.cli.execution import Command, Runner, cleaned, output_beside_json, safe_path
from dcmnet.cli.options import Arguments
from dcmnet.storage.scp import StoreRequest
from dcmnet.storage.studies import Studies, Study, rename_in_order

FINISH_SECONDS = 10.0
"""For commands that still run when the server ends; they are left running then."""


class Events:
    """Does what `-xcr`, `-xcs`, `-rns` and `-tos` ask for.

    Args:
        arguments: The command line.
        log: The tool's logger.
        studies: What sorts the objects; None where they are not sorted.
    """

    def __init__(self, arguments: Arguments, log: Logger, studies: Studies | None) -> None:
        self._log = log
        self._studies = studies
        self._received = _command(arguments.exec_on_reception, "--exec-on-reception")
        self._complete = _command(arguments.exec_on_eostudy, "--exec-on-eostudy")
        self._rename: bool = arguments.rename_on_eostudy
        self._timeout: float | None = arguments.eostudy_timeout
        self._look_up: bool = not arguments.disable_host_lookup
        self._runner = Runner(log, wait=arguments.exec_sync, output=output_beside_json(arguments.json))
        self._changed = threading.Condition()
        self._over = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Say what is wrong with the commands, and begin to wait for studies that nothing comes for."""
        for command in (self._received, self._complete):
            if command is not None and command.warning:
                self._log.warning("%s", command.warning)
        if self._timeout is not None and self._wants_studies:
            self._thread = threading.Thread(target=self._watch, name="dcmnet-studies", daemon=True)
            self._thread.start()

    def stored(self, request: StoreRequest) -> None:
        """An object has been received; `saved_as` says whether it has a file."""
        if self._studies is not None:
            self._studies.stored(request)
        if request.saved_as is not None and self._received is not None:
            values = self._values(self._received, request)
            values["f"] = request.saved_as.name
            self._runner.run(self._received, values)
        self._end_studies()

    def association_ended(self, state: dict[str, Any]) -> None:
        """An association has ended."""
        if self._studies is None:
            return
        self._studies.association_ended(state, time.monotonic())
        self._end_studies()
        with self._changed:
            self._changed.notify()

    def close(self) -> None:
        """The server has ended: so has every study."""
        with self._changed:
            self._over = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
        if self._studies is not None:
            self._conclude(self._studies.take_all())
        self._runner.finish(FINISH_SECONDS)

    @property
    def _wants_studies(self) -> bool:
        return self._studies is not None and (self._rename or self._complete is not None)

    def _watch(self) -> None:
        assert self._studies is not None
        assert self._timeout is not None
        while True:
            deadline = self._studies.next_deadline(self._timeout)
            with self._changed:
                if not self._over:
                    self._changed.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
                if self._over:
                    return
            self._end_studies()

    def _end_studies(self) -> None:
        if self._studies is not None:
            self._conclude(self._studies.take_complete(time.monotonic(), self._timeout))

    def _conclude(self, studies: list[Study]) -> None:
        for study in studies:
            self._log.info("end of study %s: %d objects", study.uid, len(study.files))
            if self._rename:
                self._rename_files(study)
            if self._complete is not None and study.last is not None:
                self._runner.run(self._complete, self._values(self._complete, study.last))

    def _rename_files(self, study: Study) -> None:
        try:
            for old, new in rename_in_order(study.files):
                self._log.info("renamed %s to %s", old, os.path.basename(new))
        except OSError as error:
            self._log.error("cannot rename the files of study %s: %s", study.uid, error)

    def _values(self, command: Command, request: StoreRequest) -> dict[str, str]:
        assert request.saved_as is not None
        address = request.peer.rpartition(":")[0].strip("[]")
        named = self._look_up and command.uses("r")
        return {
            "a": cleaned(request.calling_ae_title),
            "c": cleaned(request.called_ae_title),
            "p": safe_path(os.path.dirname(request.saved_as) or os.curdir),
            "r": cleaned(host_name(address) if named else address),
        }


def asked_for(arguments: Arguments) -> bool:
    """Whether there is anything to do beside storing."""
    options = ("--exec-on-reception", "--exec-on-eostudy", "--rename-on-eostudy")
    return any(option in arguments for option in options)


def _command(text: str | None, option: str) -> Command | None:
    return None if text is None else Command(text, option)


@lru_cache(maxsize=1024)
def host_name(address: str) -> str:
    """The name that belongs to an address, as far as its first dot; the address itself when it has none."""
    try:
        name = socket.gethostbyaddr(address)[0]
    except OSError:
        return address
    return name.partition(".")[0]
