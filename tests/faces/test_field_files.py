"""Files as they are met in the field: what is sent of each, under which identity, or why it is refused."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest

import dcmnet
from tests.faces.adapters import Face, Server

FILES = Path(__file__).parents[1] / "data" / "field"
CT = "1.2.840.10008.5.1.4.1.1.2"

SENT = {
    "01-stale-instance": ("2.25.101", "1.2.840.10008.1.2.1", 250),
    "02-stale-class": ("2.25.102", "1.2.840.10008.1.2.1", 252),
    "03-group2-behind-meta": ("2.25.103", "1.2.840.10008.1.2.1", 252),
    "04-deflated-odd": ("2.25.104", "1.2.840.10008.1.2.1.99", 254),
    "05-odd-pixels": ("2.25.105", "1.2.840.10008.1.2.1", 252),
    "08-no-class-in-meta": ("2.25.108", "1.2.840.10008.1.2.1", None),
    "09-no-instance-in-meta": ("2.25.109", "1.2.840.10008.1.2.1", None),
    "10-no-syntax-in-meta": ("2.25.110", "1.2.840.10008.1.2.1", None),
    "11-implicit-meta": ("2.25.111", "1.2.840.10008.1.2.1", None),
    "12-no-preamble": ("2.25.112", "1.2.840.10008.1.2.1", None),
    "13-bare-implicit": ("2.25.113", "1.2.840.10008.1.2", 0),
    "14-bare-explicit": ("2.25.114", "1.2.840.10008.1.2.1", 0),
    "15-dicm-then-data-set": ("2.25.115", "1.2.840.10008.1.2.1", 132),
    "16-latin1-declared-utf8": ("2.25.116", "1.2.840.10008.1.2.1", 252),
    "17-big-endian-relabelled": ("2.25.117", "1.2.840.10008.1.2.2", None),
    "19-odd-un": ("2.25.119", "1.2.840.10008.1.2.1", 252),
    "20-wrong-length-us": ("2.25.120", "1.2.840.10008.1.2", 250),
}
"""By name: SOP Instance UID, transfer syntax, and where the data set begins, if that is known beforehand."""

REFUSED = {
    "06-truncated-pixels": r"is truncated: \(7FE0,0010\) claims 4096 bytes, 3096 are there",
    "07-truncated-even-element": r"is truncated: the element at byte 224 is cut off",
    "18-encapsulated-labelled-native": (
        r"is labelled Explicit VR Little Endian, and its Pixel Data are encapsulated"
    ),
}


def data_set_of(path: Path) -> bytes:
    whole = path.read_bytes()
    return whole[144 + int.from_bytes(whole[140:144], "little") :]


def without_padding(name: str, data: bytes) -> bytes:
    """The data set as it was before its one odd value was padded."""
    if name == "04-deflated-odd":
        return data[:-1]
    header = {
        "05-odd-pixels": b"\xe0\x7f\x10\0OW\0\0",
        "19-odd-un": b"\x21\0\x01\x10UN\0\0",
        "20-wrong-length-us": b"\x20\0\x57\x90",
    }[name]
    start = data.index(header) + len(header)
    length = int.from_bytes(data[start : start + 4], "little")
    end = start + 4 + length
    return data[:start] + (length - 1).to_bytes(4, "little") + data[start + 4 : end - 1] + data[end:]


@pytest.mark.parametrize("name", SENT)
def test_what_is_sent(face: Face, server: Server, received: Path, name: str) -> None:
    uid, transfer_syntax, offset = SENT[name]
    path = FILES / f"{name}.dcm"
    report = face.send(server.port, path)
    [result] = report.results
    report.raise_for_failures()
    assert (result.sop_class_uid, result.sop_instance_uid) == (CT, uid)
    assert (result.original_transfer_syntax, result.transfer_syntax) == (transfer_syntax, transfer_syntax)
    [file] = received.iterdir()
    assert uid in file.name
    data = data_set_of(file)
    assert len(data) % 2 == 0
    if offset is not None:
        original = path.read_bytes()[offset:]
        assert (without_padding(name, data) if len(original) % 2 else data) == original


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(face: Face, server: Server, received: Path, name: str, ct: Path) -> None:
    path = FILES / f"{name}.dcm"
    report = face.send(server.port, [path, ct])
    assert [result.ok for result in report.results] == [False, True]
    error = report.results[0].error
    assert isinstance(error, dcmnet.InputFileError)
    assert error.name == str(path)
    assert re.fullmatch(REFUSED[name], error.why)
    assert len(list(received.iterdir())) == 1
    with (
        face.connect(server.port, contexts=dcmnet.contexts_for(path)) as assoc,
        pytest.raises(dcmnet.InputFileError, match=REFUSED[name]),
    ):
        assoc.store(io.BytesIO(path.read_bytes()))


@pytest.mark.parametrize("name", REFUSED)
def test_the_check_can_be_switched_off(face: Face, server: Server, received: Path, name: str) -> None:
    path = FILES / f"{name}.dcm"
    face.send(server.port, path, check=False).raise_for_failures()
    assert len(list(received.iterdir())) == 1


def test_all_of_them(face: Face, server: Server, received: Path) -> None:
    """One folder, one call: the bad ones cost no other one its place."""
    report = face.send(server.port, FILES)
    assert {Path(result.name).stem for result in report.results if result.ok} == set(SENT)
    assert {Path(result.name).stem for result in report.results if not result.ok} == set(REFUSED)
    assert not report.skipped
    assert len(list(received.iterdir())) == len(SENT)
