"""What would cost too much is refused before pydicom sees it, and quickly; what is usual is not."""

from __future__ import annotations

import time
import zlib
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from dcmnet.dataset.attributes import read_attributes
from dcmnet.dataset.content import read_elements
from dcmnet.dataset.directories import referenced_files
from dcmnet.dataset.identifiers import decode_identifier
from dcmnet.dataset.keys import read_query
from dcmnet.errors import InputFileError, LimitExceeded
from dcmnet.limits import Limits
from dcmnet.storage.extent import check_extent
from dcmnet.storage.querying import Match
from tests.unit.objects import EXPLICIT, IMPLICIT

BIG = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"

ITEM = b"\xfe\xff\x00\xe0\0\0\0\0"
OPEN_ITEM = b"\xfe\xff\x00\xe0\xff\xff\xff\xff\xfe\xff\x0d\xe0\0\0\0\0"
END = b"\xfe\xff\xdd\xe0\0\0\0\0"
SEQUENCE = b"\x08\0\x40\x11"
UID = b"\x20\0\x0d\0UI\x04\x001.2\0"
IMPLICIT_UID = b"\x20\0\x0d\0\x04\0\0\x001.2\0"
SMALL = Limits(max_identifier_items=50, max_identifier_elements=200, max_items=50, max_elements=200)


def deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


def undefined(content: bytes, vr: bytes = b"SQ\0\0") -> bytes:
    return SEQUENCE + vr + b"\xff\xff\xff\xff" + content + END


def defined(content: bytes, vr: bytes = b"SQ\0\0") -> bytes:
    return SEQUENCE + vr + len(content).to_bytes(4, "little") + content


def nested(depth: int) -> bytes:
    inner = b""
    for _ in range(depth):
        inner = undefined(b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + inner + b"\xfe\xff\x0d\xe0\0\0\0\0")
    return inner


def swapped(data: bytes) -> bytes:
    """Items of no length, and what is around them, in Explicit VR Big Endian."""
    head, tail = b"\0\x08\x11\x40SQ\0\0\xff\xff\xff\xff", b"\xff\xfe\xe0\xdd\0\0\0\0"
    return head + b"\xff\xfe\xe0\0\0\0\0\0" * data.count(ITEM) + tail


BOMBS = {
    "empty items": (undefined(ITEM * 51), EXPLICIT),
    "open items": (undefined(OPEN_ITEM * 51), EXPLICIT),
    "known length": (defined(ITEM * 51), EXPLICIT),
    "UN": (undefined(ITEM * 51, b"UN\0\0"), EXPLICIT),
    "implicit": (undefined(ITEM * 51, b""), IMPLICIT),
    "implicit, known length": (defined(ITEM * 51, b""), IMPLICIT),
    "big endian": (swapped(ITEM * 51), BIG),
    "deflated": (deflate(undefined(ITEM * 51)), DEFLATED),
    "elements": (b"\x08\0\x40\x11LO\0\0" * 201, EXPLICIT),
    "depth": (nested(65), EXPLICIT),
}


@pytest.mark.parametrize(("data", "syntax"), BOMBS.values(), ids=BOMBS)
def test_too_much_of_it(data: bytes, syntax: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"before" + data)
    with pytest.raises(LimitExceeded, match=r"has (more than (50 items|200 elements)|sequences that are)"):
        check_extent(str(path), 6, syntax, SMALL, name="object")
    with pytest.raises(LimitExceeded, match=r"has (more than (50 items|200 elements)|sequences that are)"):
        decode_identifier(data, syntax, limits=SMALL)


@pytest.mark.parametrize("name", [each for each in BOMBS if each != "depth"])
def test_a_match_with_too_much_of_it(name: str) -> None:
    data, syntax = BOMBS[name]
    match = Match(0xFF00, data, syntax, SMALL)
    with pytest.raises(InputFileError, match="has more than"):
        assert match.identifier
    assert "has more than" in match.faults[-1]


def test_too_many_values() -> None:
    data = b"\x08\0\x18\0UI" + (300).to_bytes(2, "little") + b"\\" * 300
    with pytest.raises(LimitExceeded, match="has more than 200 elements"):
        decode_identifier(data, EXPLICIT, limits=SMALL)
    assert "has more than 200 elements" in read_elements(data, EXPLICIT, limits=SMALL).fault


def test_as_much_as_is_allowed(tmp_path: Path) -> None:
    for data in (undefined(ITEM * 50), defined(ITEM * 50), nested(64)):
        (tmp_path / "x").write_bytes(data)
        check_extent(str(tmp_path / "x"), 0, EXPLICIT, Limits(max_items=64), name="object")
        assert decode_identifier(data, EXPLICIT, limits=Limits(max_identifier_items=64))


def test_what_is_damaged_and_too_long_to_be_counted() -> None:
    """pydicom would read it in another way, perhaps element by element."""
    data = b"\x08\0\x40\x11LO\0\0" * 150 + b"\x08\0\x40\x11LO\xff\xff" + bytes(1000)
    with pytest.raises(InputFileError, match="truncated within"):
        decode_identifier(data, EXPLICIT, limits=SMALL)


def test_a_deflated_object_that_is_too_long(tmp_path: Path) -> None:
    element = b"\x11\0\x10\x10OB\0\0" + (100_000).to_bytes(4, "little") + bytes(100_000)
    (tmp_path / "x").write_bytes(deflate(UID + element + UID))
    check_extent(str(tmp_path / "x"), 0, DEFLATED, Limits(), name="object")
    with pytest.raises(LimitExceeded, match="longer than 5000 bytes when inflated"):
        check_extent(str(tmp_path / "x"), 0, DEFLATED, Limits(max_inflated_length=5000), name="object")
    (tmp_path / "x").write_bytes(b"no deflated data")
    with pytest.raises(InputFileError, match="cannot be inflated"):
        check_extent(str(tmp_path / "x"), 0, DEFLATED, Limits(), name="object")


@pytest.mark.parametrize("name", ["CT_small.dcm", "JPEG2000.dcm", "rtplan.dcm", "image_dfl.dcm"])
def test_real_files(name: str) -> None:
    import pydicom

    path = get_testdata_file(name, download=False)
    assert path is not None
    with open(path, "rb") as file:
        pydicom.filereader.read_preamble(file, force=True)
        syntax = str(pydicom.filereader._read_file_meta_info(file).TransferSyntaxUID)
        check_extent(str(path), file.tell(), syntax, Limits(), name="object")


@pytest.mark.parametrize(("syntax", "uid", "vr"), [(EXPLICIT, UID, b"SQ\0\0"), (IMPLICIT, IMPLICIT_UID, b"")])
def test_attributes_behind_many_items(tmp_path: Path, syntax: str, uid: bytes, vr: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(undefined(OPEN_ITEM * 2000, vr) + uid)
    keywords = ["StudyInstanceUID"]
    assert read_attributes(str(path), 0, syntax, keywords, name="x") == {"StudyInstanceUID": "1.2"}
    began = time.process_time()
    path.write_bytes(undefined(OPEN_ITEM * 600_000, vr) + uid)
    with pytest.raises(LimitExceeded, match=r"has (more than 50000 items|an element of more than)"):
        read_attributes(str(path), 0, syntax, keywords, name="x")
    assert time.process_time() - began < 10


def test_attributes_behind_a_long_value(tmp_path: Path) -> None:
    """It is passed over, and not read."""
    long = b"\x09\0\x10\x10OB\0\0" + (1 << 22).to_bytes(4, "little") + bytes(1 << 22)
    (tmp_path / "x").write_bytes(long + UID)
    found = read_attributes(str(tmp_path / "x"), 0, EXPLICIT, ["StudyInstanceUID", "PatientName"], name="x")
    assert found == {"StudyInstanceUID": "1.2", "PatientName": ""}


def test_a_query_file_with_too_much_of_it(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(undefined(ITEM * 60_000))
    with pytest.raises(LimitExceeded, match="more than 50000 items"):
        read_query(tmp_path / "x")
    (tmp_path / "x").write_bytes(b"\x10\0\x10\0XX\x02\0AB")
    with pytest.raises(InputFileError, match="'XX', which is no value representation"):
        read_query(tmp_path / "x")


def test_a_deflated_dicomdir_is_bounded(tmp_path: Path) -> None:
    uid = DEFLATED.encode()
    meta = b"\x02\0\x10\0UI" + len(uid).to_bytes(2, "little") + uid
    head = bytes(128) + b"DICM" + b"\x02\0\0\0UL\x04\0" + len(meta).to_bytes(4, "little") + meta
    records = b"\x04\0\x20\x12SQ\0\0\xff\xff\xff\xff" + ITEM * 300_000 + END
    (tmp_path / "x").write_bytes(head + deflate(records))
    with pytest.raises(LimitExceeded, match="more than 250000 items"):
        referenced_files(str(tmp_path / "x"))
    (tmp_path / "x").write_bytes(head + deflate(bytes(17 << 20)))
    with pytest.raises(LimitExceeded, match="longer than 16777216 bytes when inflated"):
        referenced_files(str(tmp_path / "x"))
