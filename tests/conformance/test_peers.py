"""The harness itself: a missing peer fails, and a program that ends at once is told of."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.conformance import peers


def test_missing_peer_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path: None)
    with pytest.raises(pytest.fail.Exception, match=r"storescp is not installed; .*: apt-get install dcmtk"):
        peers.program("storescp")


def test_peer_that_does_not_start(tmp_path: Path) -> None:
    command = (sys.executable, "-c", "print('no such luck')")
    with (
        pytest.raises(pytest.fail.Exception, match="does not start:\nno such luck"),
        peers.listening(lambda port: (*command, str(port)), tmp_path / "log"),
    ):
        pass
