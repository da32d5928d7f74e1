"""Small objects and files of the tests, made byte by byte: no pydicom is needed for them."""

from __future__ import annotations

import contextlib
import os
import struct
import zlib
from pathlib import Path

from dcmnet.storage.part10 import FileMeta, encode_file_meta

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPEG = "1.2.840.10008.1.2.4.50"
JPEG_2000 = "1.2.840.10008.1.2.4.91"
RLE = "1.2.840.10008.1.2.5"


def element(group: int, number: int, vr: str, value: bytes) -> bytes:
    """An element of Explicit VR Little Endian with a length of two bytes."""
    padding = b"\0" if vr == "UI" else b" "
    value += padding * (len(value) & 1)
    return struct.pack("<HH2sH", group, number, vr.encode(), len(value)) + value


def data_set(uid: str = "1.2.3", sop_class: str = CT, extra: bytes = b"") -> bytes:
    """A data set in Explicit VR Little Endian that says what it is."""
    return b"".join(
        (
            element(0x0008, 0x0016, "UI", sop_class.encode()),
            element(0x0008, 0x0018, "UI", uid.encode()),
            element(0x0010, 0x0010, "PN", b"TEST^OBJECT"),
            element(0x0020, 0x000D, "UI", b"1.2.9"),
            extra,
        )
    )


def file_meta(uid: str = "1.2.3", sop_class: str = CT, transfer_syntax: str = EXPLICIT) -> bytes:
    return encode_file_meta(
        FileMeta(
            sop_class_uid=sop_class,
            sop_instance_uid=uid,
            transfer_syntax=transfer_syntax,
            implementation_class_uid="1.2.3.4",
        )
    )


def encoded(data: bytes, transfer_syntax: str) -> bytes:
    """A data set of elements with a short length, which is in Explicit VR Little Endian, in another one."""
    if transfer_syntax == DEFLATED:
        deflated = zlib.compress(data, wbits=-zlib.MAX_WBITS)
        return deflated + b"\0" * (len(deflated) & 1)
    if transfer_syntax not in (IMPLICIT, BIG_ENDIAN):
        return data
    parts = []
    while data:
        group, number, vr, length = struct.unpack_from("<HH2sH", data)
        if transfer_syntax == IMPLICIT:
            parts.append(struct.pack("<HHI", group, number, length))
        else:
            parts.append(struct.pack(">HH2sH", group, number, vr, length))
        parts.append(data[8 : 8 + length])
        data = data[8 + length :]
    return b"".join(parts)


def write_file(
    path: Path, uid: str = "1.2.3", sop_class: str = CT, transfer_syntax: str = EXPLICIT, data: bytes = b""
) -> Path:
    """A DICOM file; unless given its data set is the one that says what it is."""
    data = data or encoded(data_set(uid, sop_class), transfer_syntax)
    path.write_bytes(file_meta(uid, sop_class, transfer_syntax) + data)
    return path


def open_descriptors() -> set[tuple[int, int, int]]:
    """The descriptors of this process, and the device and inode of each.

    Compare them with `<=`: nothing new is open. That something else is closed meanwhile, when an earlier
    test's garbage is collected, says nothing.
    """
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the one that listed them is closed
            status = os.fstat(int(name))
            found.add((int(name), status.st_dev, status.st_ino))
    return found
