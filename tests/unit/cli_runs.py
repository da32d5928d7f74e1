"""Runs of tools for the tests: in this process, against servers on the loopback interface."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from dcmnet import Server, StorageSCP, StoreRequest, cli

SAMPLE = Path(str(resources.files("dcmnet") / "sample"))
CT = str(SAMPLE / "ct-1.dcm")
MR = str(SAMPLE / "mr.dcm")
JPEG = str(SAMPLE / "fusion.dcm")
HOST = "127.0.0.1"


def run_cli(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of `dcmnet argv...`."""
    code = cli.main([str(word) for word in argv])
    out, err = capsys.readouterr()
    return code, out, err


def json_lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def answering(*statuses: int) -> Server:
    """A server that answers C-STORE with these statuses, one after the other, and has not started."""
    answers = iter(statuses)
    server = Server("REFUSER")

    @server.on_store
    def store(request: StoreRequest) -> int:
        return next(answers)

    return server


def received(archive: StorageSCP) -> list[str]:
    """The names of the files that an archive has kept, up to their first dot."""
    assert archive.node.store is not None
    return sorted(path.name.partition(".")[0] for path in archive.node.store.directory.iterdir())
