"""pydicom's folder of test files: what DCMTK's dcmsend delivers of it, dcmnet delivers too.

Many of the files are odd, some are broken, and peers end the association over a few of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest

import dcmnet
from tests.conformance import peers
from tests.conformance.peers import DCMNET, HOST, Process, listening, run

FILES = Path(pydicom.__file__).parent / "data" / "test_files"
DETAILS = re.compile(r"^Filename +: (.+)$|^DIMSE Status +: 0x(....) ", re.MULTILINE)
STORED = re.compile("0000|[Bb]...")


@contextmanager
def server(peer: str, folder: Path) -> Iterator[Process]:
    """A server that takes every transfer syntax."""
    folder.mkdir()
    maker = () if peer == "dcmtk" else DCMNET
    command = (*maker, "storescp", "+xa", "-od", str(folder))
    with listening(lambda port: (*command, str(port)), folder.parent / f"{folder.name}.log") as process:
        yield process


def delivered_by_dcmtk(port: int, folder: Path) -> set[str]:
    """The files that DCMTK's dcmsend delivers, by its report."""
    report = folder / "report.txt"
    run("dcmsend", "-nh", "+sd", "+r", "+crf", report, HOST, str(port), FILES)
    found: set[str] = set()
    name = ""
    for match in DETAILS.finditer(report.read_text()):
        if match[1]:
            name = match[1]
        elif STORED.fullmatch(match[2]):
            found.add(name)
    return found


def delivered_by_a_face(name: str, port: int) -> set[str]:
    with peers.face(name) as face:
        report: dcmnet.Report = face.send(port, FILES)
    assert report.missing == []
    return {result.name for result in report.results if result.ok}


def delivered_by_a_tool(tool: str, port: int, folder: Path) -> set[str]:
    report = folder / "report.json"
    run(*DCMNET, tool, "-nh", "+sd", "+r", "--report-json", report, HOST, str(port), FILES, expect=None)
    return {each["file"] for each in json.loads(report.read_text())["objects"] if each["stored"]}


@pytest.mark.parametrize("peer", ["dcmtk", "dcmnet"])
@pytest.mark.parametrize("sender", ["blocking", "asyncio", "dcmsend", "storescu"])
def test_what_dcmtk_delivers(peer: str, sender: str, tmp_path: Path) -> None:
    with server(peer, tmp_path / "theirs") as process:
        theirs = delivered_by_dcmtk(process.port, tmp_path)
    with server(peer, tmp_path / "ours") as process:
        if sender in ("blocking", "asyncio"):
            ours = delivered_by_a_face(sender, process.port)
        else:
            ours = delivered_by_a_tool(sender, process.port, tmp_path)
    assert len(theirs) >= 134
    assert sorted(Path(each).name for each in theirs - ours) == []
