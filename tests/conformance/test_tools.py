"""`dcmnet echoscu`, `storescu` and `storescp` against DCMTK's tools of these names, in both directions."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pydicom
import pytest

from tests.conformance.peers import (
    DCMNET,
    HOST,
    Folder,
    Process,
    data_set_bytes,
    encoded_by_dcmtk,
    eventually,
    listening,
    run,
)

TOOLS: dict[str, tuple[str, ...]] = {"dcmnet": DCMNET, "dcmtk": ()}


@pytest.fixture(scope="module")
def dcmtk_scp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, Folder]]:
    """DCMTK's storescp, which takes everything and writes exactly what arrives."""
    folder = tmp_path_factory.mktemp("dcmtk-storescp")
    log = tmp_path_factory.mktemp("log") / "storescp.log"
    command = ("storescp", "-v", "+xa", "+B", "-dhl", "-od", folder)
    with listening(lambda port: (*command, str(port)), log) as process:
        yield process, Folder(folder)


@pytest.fixture(scope="module")
def dcmnet_scp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, Folder]]:
    """`dcmnet storescp`."""
    folder = tmp_path_factory.mktemp("dcmnet-storescp")
    log = tmp_path_factory.mktemp("log") / "storescp.log"
    command = (*DCMNET, "storescp", "-v", "--bind", HOST, "-od", folder)
    with listening(lambda port: (*command, str(port)), log) as process:
        yield process, Folder(folder)


def test_echoscu(dcmtk_scp: tuple[Process, Folder]) -> None:
    said = run(*DCMNET, "echoscu", "-v", "--repeat", "3", HOST, str(dcmtk_scp[0].port))
    assert said.count("Received Echo Response (Success)") == 3


def test_echoscu_of_dcmtk(dcmnet_scp: tuple[Process, Folder]) -> None:
    said = run("echoscu", "-v", "--repeat", "3", HOST, str(dcmnet_scp[0].port))
    assert said.count("Received Echo Response (Success)") == 3
    assert dcmnet_scp[0].said().count("Received Echo Request") >= 3


def test_storescu(dcmtk_scp: tuple[Process, Folder], objects: dict[str, Path], encoding: str) -> None:
    path = objects[encoding]
    run(*DCMNET, "storescu", HOST, str(dcmtk_scp[0].port), path)
    assert data_set_bytes(dcmtk_scp[1].take_one()) == data_set_bytes(path.read_bytes())


def test_storescu_in_json(dcmtk_scp: tuple[Process, Folder], objects: dict[str, Path]) -> None:
    said = run(*DCMNET, "storescu", "--json", HOST, str(dcmtk_scp[0].port), *objects.values())
    lines = [json.loads(line) for line in said.splitlines()]
    assert len(dcmtk_scp[1].take(len(objects))) == len(objects)
    assert [line["status"] for line in lines if line["event"] == "object"] == ["0x0000"] * len(objects)


@pytest.mark.parametrize(
    ("encoding", "proposal"),
    [
        ("explicit_little", "-xe"),
        ("implicit_little", "-xi"),
        ("explicit_big", "-xb"),
        ("deflated", "-xd"),
        ("rle", "-xr"),
        ("jpeg_baseline", "-xy"),
        ("jpeg_2000_lossless", "-xv"),
    ],
)
@pytest.mark.parametrize("maker", ["dcmnet", "dcmtk"])
def test_storescp(
    dcmnet_scp: tuple[Process, Folder],
    objects: dict[str, Path],
    maker: str,
    encoding: str,
    proposal: str,
    tmp_path: Path,
) -> None:
    """The same command line for our storescu and for DCMTK's, which encodes anew what it sends."""
    path = objects[encoding]
    arguments = ("-aet", "SENDER", "-aec", "RECEIVER", "-R", proposal, HOST, str(dcmnet_scp[0].port), path)
    run(*TOOLS[maker], "storescu", *arguments)
    content = dcmnet_scp[1].take_one()
    (tmp_path / "received.dcm").write_bytes(content)
    meta = pydicom.dcmread(tmp_path / "received.dcm").file_meta
    assert meta.TransferSyntaxUID == pydicom.dcmread(path).file_meta.TransferSyntaxUID
    assert meta.SourceApplicationEntityTitle == "SENDER"
    expected = {
        "dcmnet": data_set_bytes(path.read_bytes()),
        "dcmtk": encoded_by_dcmtk(path, meta.TransferSyntaxUID, tmp_path),
    }
    assert data_set_bytes(content) == expected[maker]


def test_dcmsend_to_storescp(
    dcmnet_scp: tuple[Process, Folder], objects: dict[str, Path], tmp_path: Path
) -> None:
    run("dcmsend", "--decompress-never", HOST, str(dcmnet_scp[0].port), *objects.values())
    received = dcmnet_scp[1].take(len(objects))
    assert len({data_set_bytes(content) for content in received}) == len(objects)


@pytest.mark.parametrize("maker", ["dcmnet", "dcmtk"])
def test_same_file_name(maker: str, objects: dict[str, Path], tmp_path: Path) -> None:
    """Both storescps name an object alike, and take the same options to the same end."""
    (tmp_path / "in").mkdir()
    bind = ("--bind", HOST) if maker == "dcmnet" else ()
    options: tuple[str | Path, ...] = ("-fe", ".dcm", "-aet", "RECEIVER", "-od", tmp_path / "in")
    command = (*TOOLS[maker], "storescp", *bind, *options)
    with listening(lambda port: (*command, str(port)), tmp_path / "log") as peer:
        run("storescu", "-xe", "-R", HOST, str(peer.port), objects["explicit_little"])
    uid = pydicom.dcmread(objects["explicit_little"]).SOPInstanceUID
    assert [path.name for path in (tmp_path / "in").iterdir()] == [f"SC.{uid}.dcm"]


def test_preferred_transfer_syntax(objects: dict[str, Path], tmp_path: Path) -> None:
    """+xi: DCMTK's SCU converts to what our SCP takes."""
    (tmp_path / "in").mkdir()
    command = (*DCMNET, "storescp", "--bind", HOST, "+xi", "-od", tmp_path / "in")
    with listening(lambda port: (*command, str(port)), tmp_path / "log") as peer:
        run("storescu", HOST, str(peer.port), objects["explicit_little"])
    (received,) = (tmp_path / "in").iterdir()
    expected = encoded_by_dcmtk(objects["explicit_little"], "1.2.840.10008.1.2", tmp_path)
    assert data_set_bytes(received.read_bytes()) == expected


@pytest.mark.parametrize("maker", ["dcmnet", "dcmtk"])
def test_rejected_by_storescp(maker: str, objects: dict[str, Path], tmp_path: Path) -> None:
    """Both storescus say the same, and fail with the same exit status."""
    command = (*DCMNET, "storescp", "--bind", HOST, "--check-aetitle", "-aet", "RIGHT", "-od", tmp_path)
    with listening(lambda port: (*command, str(port)), tmp_path / "log") as peer:
        arguments = ("-aec", "WRONG", HOST, str(peer.port), objects["explicit_little"])
        said = run(*TOOLS[maker], "storescu", *arguments, expect=1)
    assert "Result: Rejected Permanent, Source: Service User" in said
    assert "Reason: Called AE Title Not Recognized" in said


def test_storescp_ends_in_good_order(tmp_path: Path, objects: dict[str, Path]) -> None:
    command = (*DCMNET, "storescp", "--json", "--bind", HOST, "-od", tmp_path)
    with listening(lambda port: (*command, str(port)), tmp_path / "log") as peer:
        run("storescu", "-R", "-xe", HOST, str(peer.port), objects["explicit_little"])
        eventually(lambda: '"release"' in peer.said(), "release in the log")
        peer.process.send_signal(signal.SIGTERM)
        assert peer.process.wait(30) == 0
        lines = [json.loads(line) for line in peer.said().splitlines() if line.startswith("{")]
    assert [line["event"] for line in lines].count("object") == 1
    assert lines[-1]["event"] == "summary"
    assert (lines[-1]["stored"], lines[-1]["failed"]) == (1, 0)


def test_four_storescus_of_dcmtk_at_once(objects: dict[str, Path], tmp_path: Path) -> None:
    """Two workers share what comes; every object arrives as it was sent."""
    received, sent = tmp_path / "received", tmp_path / "sent"
    received.mkdir()
    sent.mkdir()
    path = objects["explicit_little"]
    expected: dict[str, bytes] = {}
    folders = [sent / str(number) for number in range(4)]
    for folder in folders:
        folder.mkdir()
        for number in range(25):
            data_set = pydicom.dcmread(path)
            data_set.SOPInstanceUID = f"1.2.3.{folder.name}.{number}"
            data_set.file_meta.MediaStorageSOPInstanceUID = data_set.SOPInstanceUID
            data_set.save_as(folder / f"{number}.dcm")
            transfer_syntax = data_set.file_meta.TransferSyntaxUID
            expected[data_set.SOPInstanceUID] = encoded_by_dcmtk(
                folder / f"{number}.dcm", transfer_syntax, tmp_path
            )
    command = (*DCMNET, "storescp", "-v", "--workers", "2", "--bind", HOST, "-od", received)
    with listening(lambda port: (*command, str(port)), tmp_path / "log") as process:
        sending = ("storescu", "-R", "-xe", "+sd", HOST, str(process.port))
        with ThreadPoolExecutor(4) as senders:
            list(senders.map(lambda folder: run(*sending, folder), folders))
        process.process.send_signal(signal.SIGTERM)
        assert process.process.wait(30) == 0
        said = process.said()
    assert "objects stored: 100 " in said
    assert said.count(": process ") == 2
    found = {path.name.partition(".")[2]: data_set_bytes(path.read_bytes()) for path in received.iterdir()}
    assert found == expected
