"""What takes time on purpose: a limited rate, and attempts after a wait."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import dcmnet
from dcmnet.procedures.association import AssociationCore
from tests.faces.adapters import Face, Server, running
from tests.faces.test_sending import accepting, data_set_bytes
from tests.faces.wire import ABORT, DEADLINE, Acceptor, RawPeer


def test_a_limited_rate(face: Face, server: Server, ct: Path, received: Path) -> None:
    """Twice the file's 128 kB: nothing waits for the first piece, everything else does."""
    started = time.monotonic()
    report = face.send(server.port, [ct], repeat=2, rate=500_000)
    seconds = time.monotonic() - started
    assert report.ok
    assert seconds > report.size / 500_000 - 0.1
    (kept,) = received.iterdir()
    assert data_set_bytes(kept) == data_set_bytes(ct)


def test_an_abort_is_seen_while_the_rate_holds_back(face: Face, big_ct: Path) -> None:
    """It would take minutes to send it."""
    seen = threading.Event()

    def script(peer: RawPeer) -> None:
        peer.read(20_000)
        peer.send(ABORT)
        assert seen.wait(DEADLINE)

    with Acceptor(accepting(script)) as acceptor:
        report = face.send(acceptor.port, big_ct, rate=50_000)
        seen.set()
    assert type(report.results[0].error) is dcmnet.AssociationAborted


def test_a_connection_lost_while_the_rate_holds_back(face: Face, big_ct: Path) -> None:
    def script(peer: RawPeer) -> None:
        peer.read(20_000)
        peer.reset()

    with Acceptor(accepting(script)) as acceptor:
        report = face.send(acceptor.port, big_ct, rate=50_000)
    assert type(report.results[0].error) is dcmnet.TransportClosed


def test_a_file_that_gets_shorter_at_a_limited_rate(
    face: Face, server: Server, ct: Path, big_ct: Path, received: Path
) -> None:
    """It is noticed before a byte of it is sent: the association goes on."""

    def shorten(instance: Any, *_: Any) -> None:
        if instance.name == str(big_ct):
            os.truncate(big_ct, 100_000)

    report = face.send(server.port, [big_ct, ct], rate=1_000_000, on_request=shorten)
    assert type(report.results[0].error) is dcmnet.InputFileError
    assert (report.results[1].status, report.associations) == (0, 1)
    assert len(list(received.iterdir())) == 1


@pytest.mark.parametrize("parallel", [1, 3])
def test_associations_share_a_rate(face: Face, server: Server, ct: Path, parallel: int) -> None:
    started = time.monotonic()
    report = face.send(server.port, [ct], repeat=6, rate=1_000_000, parallel=parallel, window=2)
    seconds = time.monotonic() - started
    assert report.ok
    assert seconds > report.size / 1_000_000 - 0.1


@pytest.mark.parametrize("retries", [0, 1])
def test_a_lost_association_is_replaced(face: Face, sample: Path, retries: int) -> None:
    cores: list[AssociationCore] = []

    def fail_once(core: AssociationCore) -> None:
        cores.append(core)
        if len(cores) == 1:
            raise ValueError("the first association fails, as this test wants it")

    server = face.new_server()
    server.node.hooks = dcmnet.Hooks(accepted=fail_once)
    server.on_store(lambda request: 0)
    waited: list[float] = []
    with running(face, server) as started:
        report = face.send(
            started.port,
            sample,
            retries=retries,
            retry_wait=0.01,
            on_retry=lambda error, seconds: waited.append(seconds),
        )
    assert report.ok is bool(retries)
    assert len(report.results) == 6
    assert waited == [0.01] * retries
