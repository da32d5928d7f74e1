"""Whether a data set is whole and what it is labelled as: found out before anything is sent."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmnet.errors import InputFileError
from dcmnet.storage.completeness import check_data_set, ends_with_pixel_data
from dcmnet.storage.elements import WINDOW_LENGTH, Window, element_at, encoding_of, end_of
from dcmnet.storage.sources import describe
from tests.unit.objects import (
    BIG_ENDIAN,
    CT,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    JPEG_2000,
    RLE,
    data_set,
    encoded,
    file_meta,
    write_file,
)

UNDEFINED = 0xFFFFFFFF
SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"
ITEM_END = b"\xfe\xff\x0d\xe0\0\0\0\0"
PRIVATE_SYNTAX = "1.2.3.4.5"


def item(content: bytes, length: int | None = None) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(content) if length is None else length) + content


def long(group: int, number: int, vr: str, value: bytes, length: int | None = None) -> bytes:
    length = len(value) if length is None else length
    return struct.pack("<HH2s2xI", group, number, vr.encode(), length) + value


def implicit(group: int, number: int, value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<HHI", group, number, len(value) if length is None else length) + value


def pixels(value: bytes, vr: str = "OW", length: int | None = None) -> bytes:
    return long(0x7FE0, 0x10, vr, value, length)


def fragments(*values: bytes) -> bytes:
    return item(b"") + b"".join(map(item, values)) + SEQUENCE_END


ENCAPSULATED = pixels(fragments(b"\xff\xd8\xffframe", b"frame2\xff\xd9"), "OB", UNDEFINED)
ICON = pixels(b"icon" * 4)
ICON_OPEN = long(0x88, 0x200, "SQ", item(ICON + ITEM_END, UNDEFINED) + SEQUENCE_END, UNDEFINED)
ICON_CLOSED = long(0x88, 0x200, "SQ", item(ICON))
TRAILING = long(0xFFFC, 0xFFFC, "OB", bytes(20))
UNKNOWN_SEQUENCE = long(0x9, 0x1001, "UN", item(implicit(9, 1, b"abcd")) + SEQUENCE_END, UNDEFINED)

WHOLE = {
    "no pixels": (EXPLICIT, data_set()),
    "pixels": (EXPLICIT, data_set() + pixels(b"pixels" * 20)),
    "pixels of bytes": (EXPLICIT, data_set() + pixels(b"pixels" * 20, "OB")),
    "no pixel": (EXPLICIT, data_set() + pixels(b"")),
    "an open icon": (EXPLICIT, data_set() + ICON_OPEN + pixels(b"pixels" * 20)),
    "a closed icon": (EXPLICIT, data_set() + ICON_CLOSED + pixels(b"pixels" * 20)),
    "an icon alone": (EXPLICIT, data_set() + ICON_CLOSED),
    "behind the pixels": (EXPLICIT, data_set() + pixels(b"pixels") + TRAILING),
    "unknown sequence": (EXPLICIT, data_set() + UNKNOWN_SEQUENCE + pixels(b"pixels")),
    "compressed": (JPEG, data_set() + ENCAPSULATED),
    "compressed, with an icon": (JPEG, data_set() + ICON_OPEN + ENCAPSULATED),
    "behind compressed pixels": (JPEG, data_set() + ENCAPSULATED + TRAILING),
    "compressed, without pixels": (JPEG, data_set()),
    "implicit": (IMPLICIT, encoded(data_set(), IMPLICIT)),
    "implicit pixels": (IMPLICIT, encoded(data_set(), IMPLICIT) + implicit(0x7FE0, 0x10, b"pixels" * 20)),
    "implicit sequence": (
        IMPLICIT,
        encoded(data_set(), IMPLICIT)
        + implicit(0x40, 0x275, item(b"") + SEQUENCE_END, UNDEFINED)
        + implicit(0x7FE0, 0x10, b"pixels" * 20),
    ),
    "big endian": (BIG_ENDIAN, encoded(data_set(), BIG_ENDIAN)),
    "big endian pixels": (
        BIG_ENDIAN,
        encoded(data_set(), BIG_ENDIAN) + struct.pack(">HH2s2xI", 0x7FE0, 0x10, b"OW", 6) + b"pixels",
    ),
    "deflated": (DEFLATED, zlib.compress(data_set(), wbits=-zlib.MAX_WBITS)),
}
whole = pytest.mark.parametrize(("transfer_syntax", "data"), WHOLE.values(), ids=WHOLE.keys())


def check(data: bytes, transfer_syntax: str, first: int | None = None) -> None:
    """Check a data set of which the first bytes are at hand, and the others are read."""
    file = io.BytesIO(data)

    def read(offset: int, count: int) -> bytes:
        file.seek(offset)
        return file.read(count)

    check_data_set(data[:first], len(data), transfer_syntax, read)


def boundaries(data: bytes, transfer_syntax: str) -> Iterator[int]:
    """Where the top-level elements of a data set end, found the slow way."""
    window, encoding = Window(data), encoding_of(transfer_syntax)
    offset = 0
    while offset < len(data):
        yield offset
        offset = end_of(window, element_at(window, offset, encoding), encoding)
    yield offset


@whole
@pytest.mark.parametrize("first", [None, 8, 100])
def test_whole(transfer_syntax: str, data: bytes, first: int | None) -> None:
    check(data, transfer_syntax, first)


@whole
def test_truncated_anywhere(transfer_syntax: str, data: bytes) -> None:
    """Every length but those at which a top-level element ends is noticed, by both ways of looking."""
    allowed = set() if transfer_syntax == DEFLATED else set(boundaries(data, transfer_syntax))
    for length in range(1, len(data)):
        if length in allowed:
            continue
        cut = data[:length]
        assert not ends_with_pixel_data(cut, 0, length, transfer_syntax), length
        with pytest.raises(ValueError, match=r"truncated|not deflated"):
            check(cut, transfer_syntax, 50)


@whole
@pytest.mark.parametrize("count", [8, 9, 512, 3 * WINDOW_LENGTH])
def test_files_may_be_filled_up_with_nuls(transfer_syntax: str, data: bytes, count: int) -> None:
    check(data + bytes(count), transfer_syntax)


@pytest.mark.parametrize("more", [b"\n", b"\0", bytes(7), b"garbage"])
def test_what_is_too_short_for_an_element(more: bytes) -> None:
    with pytest.raises(ValueError, match="is truncated: the element at byte"):
        check(data_set() + pixels(b"pixels") + more, EXPLICIT)


def test_the_quick_way_is_taken() -> None:
    for name in ("pixels", "pixels of bytes", "no pixel", "compressed", "implicit pixels"):
        transfer_syntax, data = WHOLE[name]
        for before in (b"", file_meta()):
            expected = name != "no pixel"  # it has no first bytes that show what it is
            assert ends_with_pixel_data(before + data, len(before), len(data), transfer_syntax) is expected
            large = before + data[:-1]  # of a file that is not read whole
            ends = ends_with_pixel_data(large, len(before), len(data), transfer_syntax)
            assert ends is (expected and name != "compressed")


MISLABELLED = {
    "fragments as native": (EXPLICIT, data_set() + ENCAPSULATED, "Pixel Data are encapsulated"),
    "fragments as native, implicit": (
        IMPLICIT,
        encoded(data_set(), IMPLICIT) + implicit(0x7FE0, 0x10, fragments(b"frame1"), UNDEFINED),
        "Pixel Data are encapsulated",
    ),
    "fragments of defined length": (
        EXPLICIT,
        data_set() + pixels(fragments(b"frame1"), "OB"),
        "Pixel Data are encapsulated",
    ),
    "fragments of defined length, without an end": (
        IMPLICIT,
        encoded(data_set(), IMPLICIT) + implicit(0x7FE0, 0x10, item(b"") + item(b"frame1")),
        "Pixel Data are encapsulated",
    ),
    "native as JPEG": (JPEG, data_set() + pixels(b"pixels" * 20, "OB"), "Pixel Data are not encapsulated"),
    "JPEG as JPEG 2000": (JPEG_2000, data_set() + ENCAPSULATED, "Pixel Data are in JPEG"),
    "JPEG as RLE, with a Basic Offset Table": (
        RLE,
        data_set()
        + pixels(item(bytes(8)) + item(b"\xff\xd8\xff\xe0") + SEQUENCE_END, "OB", UNDEFINED)
        + TRAILING,
        "Pixel Data are in JPEG",
    ),
    "JPEG 2000 as JPEG": (
        JPEG,
        data_set() + pixels(fragments(b"\xff\x4f\xff\x51"), "OB", UNDEFINED),
        "Pixel Data are in JPEG 2000",
    ),
    "RLE as JPEG": (
        JPEG,
        data_set() + pixels(fragments(b"\x02\0\0\0\x40\0\0\0" + bytes(56)), "OB", UNDEFINED),
        "Pixel Data are in RLE",
    ),
    "native as RLE": (RLE, data_set() + ICON_OPEN + pixels(b"pixels"), "Pixel Data are not encapsulated"),
    "big as little": (EXPLICIT, encoded(data_set(), BIG_ENDIAN), "encoded as Explicit VR Big Endian"),
    "little as big": (BIG_ENDIAN, data_set(), "encoded as Explicit VR Little Endian"),
    "implicit as explicit": (EXPLICIT, encoded(data_set(), IMPLICIT), "encoded as Implicit"),
    "implicit as JPEG": (JPEG, encoded(data_set(), IMPLICIT), "encoded as Implicit VR Little Endian"),
    "explicit as implicit": (IMPLICIT, data_set(), "encoded as Explicit VR Little Endian"),
    "explicit as deflated": (DEFLATED, data_set(), "is not deflated"),
    "deflated as explicit": (EXPLICIT, encoded(data_set(), DEFLATED), "does not begin with a data element"),
    "text": (EXPLICIT, b"Dear colleague, " * 10, "does not begin with a data element"),
}


@pytest.mark.parametrize(("transfer_syntax", "data", "why"), MISLABELLED.values(), ids=MISLABELLED.keys())
def test_mislabelled(tmp_path: Path, transfer_syntax: str, data: bytes, why: str) -> None:
    assert not ends_with_pixel_data(data, 0, len(data), transfer_syntax)
    with pytest.raises(ValueError, match=why):
        check(data, transfer_syntax)
    path = write_file(tmp_path / "a.dcm", transfer_syntax=transfer_syntax, data=data)
    for source in (path, io.BytesIO(path.read_bytes())):
        with pytest.raises(InputFileError, match=rf"(a\.dcm|file object): .*{why}"):
            describe(source)
        assert describe(source, check=False).transfer_syntax == transfer_syntax


def test_native_pixels_that_look_like_an_item() -> None:
    """An image may begin with any pixels; only a value that consists of items is one of fragments."""
    value = struct.pack("<HHI", 0xFFFE, 0xE000, 4) + b"pixels" * 4
    check(data_set() + pixels(value), EXPLICIT)


def test_a_value_that_looks_like_pixel_data_is_found_out() -> None:
    """A truncated file whose last bytes are Pixel Data of an icon image is not taken for a whole one."""
    data = data_set() + long(0x88, 0x200, "SQ", item(ICON + ITEM_END, UNDEFINED), UNDEFINED)
    data = data[: data.index(ICON) + len(ICON)]
    assert not ends_with_pixel_data(data, 0, len(data), EXPLICIT)
    with pytest.raises(ValueError, match="is truncated"):
        check(data, EXPLICIT)


def test_what_is_not_registered_is_not_checked() -> None:
    check(b"anything", PRIVATE_SYNTAX)
    assert not ends_with_pixel_data(b"anything", 0, 8, PRIVATE_SYNTAX)


def test_elements_that_only_their_readers_know() -> None:
    """A value representation of old devices does not keep an image back."""
    check(data_set() + struct.pack("<HH2sH", 9, 1, b"  ", 4) + b"abcd", EXPLICIT)


def test_a_deflated_bomb_is_inflated_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dcmnet.storage.completeness.MAX_INFLATED_LENGTH", 1 << 20)
    bomb = zlib.compress(bytes(8 << 20), wbits=-zlib.MAX_WBITS)
    check(bomb[: len(bomb) // 2], DEFLATED)  # it is not followed to its end, and so not known to be truncated


@given(st.binary(max_size=300), st.sampled_from([EXPLICIT, IMPLICIT, BIG_ENDIAN, JPEG, DEFLATED]))
def test_arbitrary_bytes(data: bytes, transfer_syntax: str) -> None:
    for content in (data, encoded(data_set(), transfer_syntax) + data):
        try:
            check(content, transfer_syntax, 20)
        except ValueError as error:
            assert not ends_with_pixel_data(content, 0, len(content), transfer_syntax), error


@pytest.mark.parametrize("check_it", [True, False])
def test_files_of_a_series(tmp_path: Path, check_it: bool) -> None:
    """The second file is recognised by its start, and is truncated all the same."""
    from dcmnet.storage.looking import Looker

    looker = Looker(check=check_it)
    data = data_set("1.2.3") + ICON_OPEN + pixels(bytes(5000))
    assert looker.look(write_file(tmp_path / "1.dcm", "1.2.3", data=data)).sop_instance_uid == "1.2.3"
    cut = data_set("1.2.4") + ICON_OPEN + pixels(bytes(5000))[:-1]
    path = write_file(tmp_path / "2.dcm", "1.2.4", data=cut)
    if check_it:
        with pytest.raises(InputFileError, match=r"2\.dcm: is truncated: \(7FE0,0010\) claims 5000 bytes"):
            looker.look(path)
    else:
        assert looker.look(path).sop_instance_uid == "1.2.4"
    assert looker.look(write_file(tmp_path / "3.dcm", "1.2.3", CT, data=data)).sop_instance_uid == "1.2.3"
