"""The benchmarks themselves: ratios, bars, canned bytes. What they measure is not tested here."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from benchmarks import canned, canned_client, canned_server, delay, figures, micro, pouring, raw, run
from benchmarks.cells import Cell, Transfer
from benchmarks.objects import BATCHES, Batch, data_set_start, differences, objects_of
from benchmarks.programs import Invalid, Usage
from benchmarks.rows import measure, rows
from benchmarks.tables import Bar, Row, ratio, summed_up, table

import dcmnet
from dcmnet.dimse.messages import CStoreRSP

SMALL = Batch("small", 3, 8, 8)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("DCMNET_BENCH_CACHE", str(folder))
    return folder


def measured(label: str, *rates: float | None, invalid: str = "") -> dict[str, object]:
    runs = [None if each is None else {"/s": each, "ms": 10.0} for each in rates]
    return {"cell": label, "runs": runs, "invalid": [invalid] if invalid else []}


def row_of(*bars: Bar) -> Row:
    cells: list[Cell] = [Transfer(each, each, BATCHES["12kB"], 1, 16384) for each in ("ours", "peer", "raw")]
    references = {"of peer": "peer -> peer", "of raw": "raw -> raw"}
    return Row("made-up", "numbers", cells, references, bars)


def test_a_ratio_is_the_median_of_the_ratios_of_each_round() -> None:
    own: list[dict[str, float] | None] = [{"/s": 10}, {"/s": 30}, {"/s": 8}]
    other: list[dict[str, float] | None] = [{"/s": 5}, {"/s": 10}, {"/s": 8}]
    assert ratio(own, other) == 2
    assert ratio([{"/s": 6}, None], [{"/s": 4}, {"/s": 1}]) == 1.5
    assert ratio([None], [{"/s": 1}]) is None


def test_medians_ranges_ratios_and_bars() -> None:
    ours = "ours -> ours"
    row = row_of(
        Bar(ours, 2, "of peer"),
        Bar(ours, 0.9, "of raw"),
        Bar(ours, 10, column="ms", at_most=True),
        Bar(ours, 300),
        Bar("raw -> raw", 2, "of peer"),
    )
    results = summed_up(
        row,
        [
            measured(ours, 300, 200, 410),
            measured("peer -> peer", 100, 100, 200),
            measured("raw -> raw", None, None, None, invalid="3 objects: 1.dcm is missing"),
        ],
    )
    first, _, broken = results
    assert first["median"] == {"/s": 300, "ms": 10}
    assert first["range"] == [200, 410]
    assert first["ratios"] == {"of peer": 2.05, "of raw": None}
    assert [each["ok"] for each in first["bars"]] == [True, None, False, True]
    assert [each["ok"] for each in broken["bars"]] == [None]
    document = {
        "rows": [{"name": row.name, "title": row.title, "references": row.references, "cells": results}]
    }
    assert list(figures.lines(document))[2:] == [
        "| `made-up` | `ours -> ours` | 300/s, 10.0 ms | 2.05 of peer | "
        "2 of peer: ok; 0.9 of raw: ?; ms < 10: below; first >= 300: ok |",
        "| `made-up` | `peer -> peer` | 100/s |  |  |",
        "| `made-up` | `raw -> raw` | invalid |  | 2 of peer: ? |",
    ]
    lines = table(row, results).splitlines()
    assert lines[1] == "made-up: numbers"
    assert lines[3].split()[:6] == ["ours", "->", "ours", "300", "10.0", "200..410"]
    assert "2.05" in lines[3] and lines[3].endswith(
        "2 of peer ok; 0.9 of raw ?; ms < 10 below; first >= 300 ok"
    )
    assert lines[5].endswith("2 of peer ?; INVALID: 3 objects: 1.dcm is missing")


def test_figures_go_into_a_page(tmp_path: Path) -> None:
    page, result = tmp_path / "page.md", tmp_path / "result.json"
    page.write_text(f"before\n{figures.BEGIN}\nold\n{figures.END}\nafter\n")
    machine = {
        "system": "X",
        "processors": 2,
        "load": [0.5, 1, 1],
        "python": "3.11.7 (main)",
        "dcmtk": "$dcmtk $",
    }
    result.write_text(json.dumps({"machine": machine, "rounds": 5, "quick": False, "rows": []}))
    figures.main(str(result), str(page))
    head, _, rest = page.read_text().partition(f"{figures.BEGIN}\n")
    assert head == "before\n"
    assert rest.startswith(
        "2 processors, loopback, X, Python 3.11.7, dcmtk; rounds: 5; load when it began: 0.5"
    )
    assert "old" not in rest and rest.endswith(f"|\n{figures.END}\nafter\n")
    assert figures.BEGIN in (Path(__file__).parent.parent / "docs/topics/performance.md").read_text()


class Made:
    """A cell that notes when it is measured, and is invalid in its second round if it is to be."""

    def __init__(self, label: str, log: list[str], broken: bool) -> None:
        self.label = label
        self._log = log
        self._broken = broken

    def measure(self) -> dict[str, float]:
        self._log.append(self.label)
        if self._broken and self._log.count(self.label) == 2:
            raise Invalid("1.dcm differs")
        return {"/s": 1.0}


def test_cells_run_in_turn_and_what_is_wrong_counts_for_nothing() -> None:
    log: list[str] = []
    row = Row("made-up", "numbers", [Made("A", log, False), Made("B", log, True)], {"of A": "A"})
    results = summed_up(row, measure(row, 3, lambda line: None))
    assert log == ["A", "B"] * 3
    assert [each["invalid"] for each in results] == [[], ["1.dcm differs"]]
    assert results[1]["runs"] == [{"/s": 1.0}, None, {"/s": 1.0}]
    assert results[1]["ratios"] == {"of A": 1.0}
    assert table(row, results).splitlines()[-1].endswith("INVALID: 1.dcm differs")


def test_usage_of_a_short_run_comes_off() -> None:
    taken = Usage(3.0, {"client user": 2.0}) - Usage(1.0, {"client user": 0.5})
    assert taken == Usage(2.0, {"client user": 1.5})


def test_list_shows_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["--list"]) == 0
    found = capsys.readouterr().out.splitlines()
    assert {"12kB-131072", "scp-12kB", "scu-527kB", "527kB-tls", "rtt-20ms", "memory", "start"} <= {
        row.split()[0] for row in found
    }
    assert run.main(["--list", "rtt-*"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_every_bar_is_about_a_cell_and_a_ratio_of_its_row() -> None:
    for row in rows(quick=True):
        labels = {cell.label for cell in row.cells}
        for bar in row.bars:
            assert bar.cell in labels, row.name
            assert not bar.of or bar.of in row.references, row.name


@contextmanager
def served(serve: Callable[..., None], *arguments: object) -> Iterator[int]:
    """A server in a thread; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener, *arguments))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(60)


def test_canned_client_and_canned_server(tmp_path: Path) -> None:
    path = next(objects_of(SMALL, 1).iterdir())
    octets = len(canned.Template(path).data_set)
    counts = tmp_path / "counts.json"
    with served(canned_server.serve, counts) as port:
        # Message IDs up to 522: 521 is 0209H, which looks like the status element's number.
        assert canned_client.store(port, path, 530, 1)["responses"] == 530
        assert json.loads(counts.read_text()) == {"objects": 530, "octets": 530 * octets}
        assert canned_client.store(port, path, 20, 3, pdu=256)["responses"] == 20
        assert json.loads(counts.read_text()) == {"objects": 550, "octets": 550 * octets}
        assert canned_client.associate(port, 3, 2)["responses"] == 3
        report = dcmnet.send("127.0.0.1", port, objects_of(SMALL, SMALL.count), window=3)
        assert report.ok
        assert json.loads(counts.read_text())["objects"] == 550 + SMALL.count


def test_canned_instances_differ_in_their_uid_alone() -> None:
    path = next(objects_of(SMALL, 1).iterdir())
    template = canned.Template(path)
    whole = canned.CannedStore.encode(template, 16384)
    store = canned.CannedStore(whole)
    assert store.instance(7) == 8
    sent = b"".join(store.parts)
    assert len(sent) == len(whole)
    assert sent.count(canned.instance_uid(7).encode()) == 2
    assert canned.instance_uid(0).encode() not in sent
    assert template.data_set_of(7) in sent
    assert len(template.data_set_of(7)) - len(path.read_bytes()) + data_set_start(path) in range(-64, 65)


def answer(status: int, message_id: int) -> bytearray:
    content = CStoreRSP(message_id_being_responded_to=message_id, status=status)
    return canned.message(content, None, 16384)


def test_canned_client_takes_nothing_for_success_but_success() -> None:
    canned.check_response(answer(0, 3), len(answer(0, 3)), 3)
    for wrong in (answer(0xA700, 3), answer(0, 4), bytearray(canned.RELEASED)):
        with pytest.raises(canned.Unexpected):
            canned.check_response(wrong.ljust(20, b"\0"), len(wrong), 3)


@pytest.mark.parametrize("spin", [False, True])
def test_raw_pair_moves_files_as_they_are(spin: bool, tmp_path: Path) -> None:
    sent = objects_of(SMALL, SMALL.count)
    received = tmp_path / "received"
    received.mkdir()
    with served(raw.receive, str(received), spin) as port:
        raw.send(port, str(sent), spin)
    assert differences(sent, received) == []
    (received / "0.dcm").unlink()
    assert len(differences(sent, received)) == 1


async def test_the_distant_proxy_delays_each_way_and_keeps_the_order() -> None:
    async def mirror(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()
        await writer.wait_closed()
        mirrored.set()

    mirrored = asyncio.Event()
    target = await asyncio.start_server(mirror, "127.0.0.1", 0)
    proxy = await delay.listen(0, target.sockets[0].getsockname()[1], 0.05)
    sent = b"".join(b"%7d\n" % number for number in range(20_000))
    async with asyncio.timeout(60):
        reader, writer = await asyncio.open_connection(*proxy.sockets[0].getsockname())
        begun = time.perf_counter()
        writer.write(sent)
        writer.write_eof()
        first = await reader.read(8)
        taken = time.perf_counter() - begun
        assert first + await reader.read() == sent
        writer.close()
        await writer.wait_closed()
        await mirrored.wait()
    assert taken >= 0.1
    proxy.close()
    target.close()


def test_parts_in_memory_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BATCHES, "12kB", SMALL)
    (tmp_path / "received").mkdir()
    micro.store_exchange("12kB", True, tmp_path / "received")()
    assert differences(objects_of(SMALL, 1), tmp_path / "received") == []
    for part in (micro.echo_exchange, micro.negotiation, micro.send_only, lambda: micro.reader(12_000)):
        part()()


@pytest.mark.parametrize("way", pouring.all_ways(1))
def test_every_way_pours_the_same(way: str, tmp_path: Path) -> None:
    data_set = bytes(range(256)) * 1100  # three pieces
    path = tmp_path / "object"
    path.write_bytes(bytes(pouring.OFFSET) + data_set)
    received = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = socket.create_connection(listener.getsockname())
        connection, _ = listener.accept()

    def receive() -> None:
        while data := connection.recv(1 << 16):
            received.extend(data)

    thread = threading.Thread(target=receive)
    with connection:
        thread.start()
        with sender:
            pouring.all_ways(2 * len(data_set))[way](sender, [str(path)] * 5)
        thread.join(60)
        assert not thread.is_alive()
    piece = pouring.PIECE
    parts = [data_set[start : start + piece] for start in range(0, len(data_set), piece)]
    assert bytes(received) == 5 * b"".join(pouring.HEADER + part for part in parts)
