"""The objects that are sent: made once, in a cache folder; and the check that they arrived as they were."""

from __future__ import annotations

import os
import struct
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dcmnet.storage.elements import HEAD_LENGTH
from dcmnet.storage.part10 import FileMeta, encode_file_meta, read_file_meta

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
ROOT = "1.2.826.0.1.3680043.10.1500.9"
CHUNK = 1 << 22


@dataclass(frozen=True, slots=True)
class Batch:
    """Objects of one size."""

    name: str
    count: int
    rows: int
    columns: int

    @property
    def size(self) -> int:
        """Bytes of pixel data in one object."""
        return 2 * self.rows * self.columns

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.count} x {self.name}"


BATCHES = {
    "12kB": Batch("12kB", 5000, 75, 76),
    "527kB": Batch("527kB", 1000, 512, 514),
    "524MB": Batch("524MB", 1, 16384, 16000),
}
HUGE = Batch("2GiB", 1, 32768, 32768)
HUGE_IN_SHORT = Batch("128MiB", 1, 8192, 8192)


def cache_folder() -> Path:
    """Where objects and scratch folders are; `DCMNET_BENCH_CACHE` says otherwise."""
    named = os.environ.get("DCMNET_BENCH_CACHE")
    folder = Path(named) if named else Path.home() / ".cache" / "dcmnet-bench"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def objects_of(batch: Batch, count: int) -> Path:
    """A folder with the first `count` objects of a batch, as links to the ones that are made once."""
    everything = _made(batch)
    if count == batch.count:
        return everything
    folder = cache_folder() / f"{batch.name}-first-{count}"
    if not folder.exists():
        making = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}")
        making.mkdir()
        for path in sorted(everything.iterdir())[:count]:
            os.link(path, making / path.name)
        making.rename(folder)
    return folder


def differences(sent: Path, received: Path) -> list[str]:
    """What is missing, too many or different among the received objects, whatever their files are called."""
    there = {_uid_of(path): path for path in received.rglob("*") if path.is_file()}
    wrong: list[str] = []
    count = 0
    for path in sent.iterdir():
        count += 1
        other = there.get(path.stem)
        if other is None:
            wrong.append(f"{path.name} is missing")
        elif not _same_data_set(path, other):
            wrong.append(f"{path.name} differs")
    if len(there) > count:
        wrong.append(f"{len(there)} files received for {count} sent")
    return wrong


def _made(batch: Batch) -> Path:
    folder = cache_folder() / f"{batch.name}-{batch.count}"
    if folder.exists():
        return folder
    making = folder.with_name(f"{folder.name}.{uuid.uuid4().hex}")
    making.mkdir()
    pixels = os.urandom(min(batch.size, CHUNK))
    for number in range(1, batch.count + 1):
        uid = f"{ROOT}.{len(batch.name)}.{batch.rows}.{number}"
        with (making / f"{uid}.dcm").open("wb") as file:
            file.writelines(_file(batch, uid, number, pixels))
    making.rename(folder)
    return folder


def _file(batch: Batch, uid: str, number: int, pixels: bytes) -> Iterator[bytes]:
    yield encode_file_meta(
        FileMeta(
            sop_class_uid=CT_IMAGE,
            sop_instance_uid=uid,
            transfer_syntax=EXPLICIT_VR_LITTLE_ENDIAN,
            implementation_class_uid=f"{ROOT}.1",
        )
    )
    yield b"".join(
        (
            _element(0x0008, 0x0016, "UI", CT_IMAGE),
            _element(0x0008, 0x0018, "UI", uid),
            _element(0x0008, 0x0020, "DA", "20240101"),
            _element(0x0008, 0x0030, "TM", "120000"),
            _element(0x0008, 0x0060, "CS", "CT"),
            _element(0x0010, 0x0010, "PN", "Bench^Mark"),
            _element(0x0010, 0x0020, "LO", "BENCH-1"),
            _element(0x0020, 0x000D, "UI", f"{ROOT}.2"),
            _element(0x0020, 0x000E, "UI", f"{ROOT}.2.1"),
            _element(0x0020, 0x0013, "IS", str(number)),
            _element(0x0028, 0x0002, "US", 1),
            _element(0x0028, 0x0004, "CS", "MONOCHROME2"),
            _element(0x0028, 0x0010, "US", batch.rows),
            _element(0x0028, 0x0011, "US", batch.columns),
            _element(0x0028, 0x0100, "US", 16),
            _element(0x0028, 0x0101, "US", 16),
            _element(0x0028, 0x0102, "US", 15),
            _element(0x0028, 0x0103, "US", 0),
            struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OW", 0, batch.size),
        )
    )
    left = batch.size
    while left:
        piece = pixels[:left]
        yield piece
        left -= len(piece)


def _element(group: int, number: int, vr: str, value: str | int) -> bytes:
    if isinstance(value, int):
        raw = struct.pack("<H", value)
    else:
        raw = value.encode("ascii")
        raw += (b"\0" if vr == "UI" else b" ") * (len(raw) & 1)
    return struct.pack("<HH2sH", group, number, vr.encode("ascii"), len(raw)) + raw


def read_head(path: Path) -> tuple[FileMeta, int]:
    """A file's File Meta Information, and where its data set begins."""
    with path.open("rb") as file:
        return read_file_meta(file.read(HEAD_LENGTH), path.name)


def data_set_start(path: Path) -> int:
    """Where a file's data set begins."""
    return read_head(path)[1]


def _uid_of(path: Path) -> str:
    return read_head(path)[0].sop_instance_uid


def _same_data_set(sent: Path, received: Path) -> bool:
    with sent.open("rb") as first, received.open("rb") as second:
        first.seek(data_set_start(sent))
        second.seek(data_set_start(received))
        while True:
            expected, found = first.read(CHUNK), second.read(CHUNK)
            if expected != found:
                return False
            if not expected:
                return True
