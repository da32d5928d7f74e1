"""The file format: File Meta Information, and what the start of a data set tells."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import pydicom
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_file_meta_info
from tools.make_test_data import make_test_data

from dcmnet.errors import InputFileError
from dcmnet.limits import MAX_SEQUENCE_DEPTH
from dcmnet.registry import transfer_syntaxes
from dcmnet.storage import identity as identity_module
from dcmnet.storage.elements import HEAD_LENGTH, guess_transfer_syntax
from dcmnet.storage.heads import DataSetHead
from dcmnet.storage.identity import Identifiers, is_as_expected, scan_identifiers
from dcmnet.storage.part10 import (
    FileMeta,
    encode_file_meta,
    frame_of,
    has_file_meta,
    padded_uid,
    read_file_meta,
)

CT = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT = transfer_syntaxes.IMPLICIT_VR_LITTLE_ENDIAN
LITTLE = transfer_syntaxes.EXPLICIT_VR_LITTLE_ENDIAN
BIG = transfer_syntaxes.EXPLICIT_VR_BIG_ENDIAN
DEFLATED = transfer_syntaxes.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN

META = FileMeta(
    sop_class_uid=CT,
    sop_instance_uid="1.2.3.4",
    transfer_syntax=LITTLE,
    implementation_class_uid="1.2.3",
    implementation_version_name="VERSION_1",
    source_application_entity_title="STORESCU",
)

uids = st.lists(st.integers(0, 10**8), min_size=1, max_size=7).map(lambda arcs: ".".join(map(str, arcs)))
texts = st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=16).map(
    lambda text: text.strip()
)
metas = st.builds(
    FileMeta,
    sop_class_uid=uids,
    sop_instance_uid=uids,
    transfer_syntax=uids,
    implementation_class_uid=uids,
    implementation_version_name=texts,
    source_application_entity_title=texts,
)


def element(tag: int, vr: str, value: bytes, *, order: str = "<", length: int | None = None) -> bytes:
    """An element in Explicit VR; with `vr` empty in Implicit VR, and as an item or delimiter."""
    group, number = tag >> 16, tag & 0xFFFF
    length = len(value) if length is None else length
    if not vr:
        return struct.pack(f"{order}HHL", group, number, length) + value
    if vr in {"OB", "SQ", "UN", "UT", "ZZ"}:
        return struct.pack(f"{order}HH2s2xL", group, number, vr.encode(), length) + value
    return struct.pack(f"{order}HH2sH", group, number, vr.encode(), length) + value


UNDEFINED = 0xFFFFFFFF
SEQUENCE_END = element(0xFFFEE0DD, "", b"")
ITEM_END = element(0xFFFEE00D, "", b"")
ITEM_OPEN = element(0xFFFEE000, "", b"", length=UNDEFINED)

CLASS_UID = element(0x00080016, "UI", b"1.2\0")
INSTANCE_UID = element(0x00080018, "UI", b"1.2.3\0")
STUDY_UID = element(0x0020000D, "UI", b"1.4\0")


def part10(*elements: bytes) -> bytes:
    return bytes(128) + b"DICM" + b"".join(elements)


def required(*, without: int = 0) -> bytes:
    found = {
        0x00020002: element(0x00020002, "UI", b"1.2\0"),
        0x00020003: element(0x00020003, "UI", b"1.2.3\0"),
        0x00020010: element(0x00020010, "UI", LITTLE.encode() + b"\0"),
    }
    return b"".join(value for tag, value in found.items() if tag != without)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_test_data(tmp_path_factory.mktemp("data"))


class TestEncodeFileMeta:
    def test_bytes(self) -> None:
        encoded = encode_file_meta(META)
        assert encoded[:132] == bytes(128) + b"DICM"
        assert encoded[132:144] == b"\x02\x00\x00\x00UL\x04\x00" + (len(encoded) - 144).to_bytes(4, "little")
        assert encoded[144:158] == b"\x02\x00\x01\x00OB\x00\x00\x02\x00\x00\x00\x00\x01"
        assert encoded[158:192] == b"\x02\x00\x02\x00UI\x1a\x00" + CT.encode() + b"\0"
        assert encoded.endswith(b"\x02\x00\x16\x00AE\x08\x00STORESCU")

    def test_optional_elements_are_left_out(self) -> None:
        encoded = encode_file_meta(
            FileMeta(
                sop_class_uid=CT,
                sop_instance_uid="1.2",
                transfer_syntax=LITTLE,
                implementation_class_uid="1.2.3",
            )
        )
        assert b"\x02\x00\x13\x00" not in encoded
        assert b"\x02\x00\x16\x00" not in encoded

    @given(metas)
    def test_reads_back(self, meta: FileMeta) -> None:
        encoded = encode_file_meta(meta)
        assert len(encoded) % 2 == 0
        assert read_file_meta(encoded + b"\x08\x00", "x") == (meta, len(encoded))

    @given(metas)
    def test_pydicom_reads_the_same(self, meta: FileMeta) -> None:
        found = pydicom.dcmread(io.BytesIO(encode_file_meta(meta))).file_meta
        assert found.FileMetaInformationVersion == b"\x00\x01"
        assert found.MediaStorageSOPClassUID == meta.sop_class_uid
        assert found.MediaStorageSOPInstanceUID == meta.sop_instance_uid
        assert found.TransferSyntaxUID == meta.transfer_syntax
        assert found.ImplementationClassUID == meta.implementation_class_uid

    def test_pydicom_reads_the_texts_and_the_group_length(self, tmp_path: Path) -> None:
        path = tmp_path / "meta.dcm"
        path.write_bytes(encode_file_meta(META))
        found = read_file_meta_info(path)
        assert found.FileMetaInformationGroupLength == path.stat().st_size - 144
        assert found.ImplementationVersionName == "VERSION_1"
        assert found.SourceApplicationEntityTitle == "STORESCU"

    @pytest.mark.parametrize(
        "field", ["sop_class_uid", "sop_instance_uid", "transfer_syntax", "implementation_class_uid"]
    )
    @pytest.mark.parametrize("value", ["", "1..2", "../x", "1.2 ", "1" * 65])
    def test_what_is_no_uid_is_refused(self, field: str, value: str) -> None:
        values = {
            "sop_class_uid": CT,
            "sop_instance_uid": "1.2",
            "transfer_syntax": LITTLE,
            "implementation_class_uid": "1.2",
        }
        with pytest.raises(ValueError, match=r"\(0002,00.*needs a UID"):
            encode_file_meta(FileMeta(**{**values, field: value}))

    @pytest.mark.parametrize("value", ["A" * 17, "NOËL", "A\nB"])
    def test_what_is_no_title_is_refused(self, value: str) -> None:
        with pytest.raises(ValueError, match=r"\(0002,0016\) takes at most 16 characters"):
            encode_file_meta(
                FileMeta(
                    sop_class_uid=CT,
                    sop_instance_uid="1.2",
                    transfer_syntax=LITTLE,
                    implementation_class_uid="1.2",
                    source_application_entity_title=value,
                )
            )


class TestReadFileMeta:
    @pytest.mark.parametrize(
        ("head", "why"),
        [
            (b"", "the file is empty"),
            (b"\x00" * 100, "not a DICOM file"),
            (b"%PDF-1.7" + b"x" * 300, "not a DICOM file"),
            (part10(), "not a DICOM file: it has no File Meta Information"),
            (part10(CLASS_UID), "not a DICOM file: it has no File Meta Information"),
            (
                part10(required())[:-3],
                "truncated within its File Meta Information: (0002,0010) claims 20 bytes, 17 are there",
            ),
            (
                part10(required(), b"\x02\x00\x12\x00"),
                "truncated within its File Meta Information: the element at byte 186 is cut off",
            ),
            (
                part10(element(0x00020001, "OB", b"")[:-2]),
                "truncated within its File Meta Information: the element at byte 132 is cut off",
            ),
        ],
    )
    def test_unfit(self, head: bytes, why: str) -> None:
        with pytest.raises(InputFileError) as caught:
            read_file_meta(head, "scan.dcm")
        assert str(caught.value).startswith("scan.dcm: ")
        assert why in str(caught.value)
        assert caught.value.name == "scan.dcm"

    def test_unknown_elements_are_passed_over(self) -> None:
        head = part10(
            element(0x00020001, "OB", b"\0\1"),
            element(0x00020002, "UI", b"1.2\0"),
            element(0x00020003, "UI", b"1.2.3\0"),
            element(0x00020010, "UI", LITTLE.encode() + b"\0"),
            element(0x00020017, "AE", b"SENDER"),
            element(0x00020100, "UI", b"1.9\0"),
            element(0x00020102, "OB", bytes(5000)),
        )
        meta, offset = read_file_meta(head + CLASS_UID, "x")
        assert meta == FileMeta(sop_class_uid="1.2", sop_instance_uid="1.2.3", transfer_syntax=LITTLE)
        assert offset == len(head)

    def group(self, declared: int, *elements: bytes, order: str = "<") -> bytes:
        return element(0x00020000, "UL", struct.pack(f"{order}L", declared), order=order) + b"".join(elements)

    def test_the_group_ends_where_its_length_says(self) -> None:
        """PS3.10 7.1: what follows belongs to the data set, and is not believed."""
        stray = element(0x00020010, "UI", b"1.2.840.10008.1.2.4.70\0"), element(0x00020003, "UI", b"9.9\0")
        for begin in (b"", bytes(128) + b"DICM"):
            head = begin + self.group(len(required()), required())
            meta, offset = read_file_meta(head + b"".join(stray) + CLASS_UID, "x")
            assert (offset, meta.transfer_syntax, meta.sop_instance_uid) == (len(head), LITTLE, "1.2.3")

    def test_a_length_that_names_no_boundary_plays_no_part(self) -> None:
        more = element(0x00020102, "OB", bytes(50))
        inside = len(required()) + 20
        for declared in (inside, len(required()) - 2, len(required()) + len(more) + 2):
            head = part10(self.group(declared, required(), more))
            assert read_file_meta(head + CLASS_UID, "x")[1] == len(head)

    def test_a_length_in_front_of_the_transfer_syntax_plays_no_part(self) -> None:
        head = part10(self.group(len(required(without=0x00020010)), required()))
        meta, offset = read_file_meta(head + CLASS_UID, "x")
        assert (offset, meta.transfer_syntax) == (len(head), LITTLE)

    @pytest.mark.parametrize(("vr", "order"), [("", "<"), ("UI", ">"), ("", ">")])
    def test_a_length_in_front_of_an_element_in_another_encoding_than_the_data_set_plays_no_part(
        self, vr: str, order: str
    ) -> None:
        first = element(0x00020010, vr, LITTLE.encode() + b"\0", order=order)
        last = element(0x00020012, vr, b"1.9\0", order=order)
        length = element(0x00020000, vr and "UL", struct.pack(f"{order}L", len(first)), order=order)
        head = part10(length, first, last)
        meta, offset = read_file_meta(head + CLASS_UID, "x")
        assert (offset, meta.transfer_syntax, meta.implementation_class_uid) == (len(head), LITTLE, "1.9")

    def test_a_second_value_is_not_believed(self) -> None:
        """If the length is missing, what follows the group cannot be told from it."""
        stray = element(0x00020010, "UI", b"1.2.840.10008.1.2.4.70\0"), element(0x00020003, "UI", b"9.9\0")
        head = part10(required(), *stray)
        meta, offset = read_file_meta(head + CLASS_UID, "x")
        assert (offset, meta.transfer_syntax, meta.sop_instance_uid) == (len(head), LITTLE, "1.2.3")

    def test_only_the_first_element_is_the_length(self) -> None:
        again = element(0x00020000, "UL", struct.pack("<L", 0))
        head = part10(required(), again, element(0x00020102, "OB", bytes(50)))
        assert read_file_meta(head + CLASS_UID, "x")[1] == len(head)

    @pytest.mark.parametrize("begin", [b"", bytes(128) + b"DICM"])
    @pytest.mark.parametrize(("vr", "order"), [("UI", "<"), ("", "<"), ("UI", ">"), ("", ">")])
    def test_other_encodings_of_the_group(self, begin: bytes, vr: str, order: str) -> None:
        texts = b"".join(
            element(tag, vr, value, order=order)
            for tag, value in (
                (0x00020002, b"1.2\0"),
                (0x00020003, b"1.2.3\0"),
                (0x00020010, LITTLE.encode() + b"\0"),
            )
        )
        length = element(0x00020000, vr and "UL", struct.pack(f"{order}L", len(texts)), order=order)
        for head in (begin + length + texts, begin + texts):
            assert has_file_meta(head)
            meta, offset = read_file_meta(head + CLASS_UID, "x")
            assert offset == len(head)
            assert meta == FileMeta(sop_class_uid="1.2", sop_instance_uid="1.2.3", transfer_syntax=LITTLE)

    @pytest.mark.parametrize("without", [0x00020002, 0x00020003, 0x00020010])
    def test_what_is_missing_is_empty(self, without: int) -> None:
        meta, offset = read_file_meta(part10(required(without=without)) + CLASS_UID, "x")
        assert "" in (meta.sop_class_uid, meta.sop_instance_uid, meta.transfer_syntax)
        assert offset == len(part10(required(without=without)))

    @pytest.mark.parametrize(
        "start", [b"\x02\0\x10\0", b"\0\x02AB\0\0\0\4", b"\x02\0\x10\0\xff\xff\xff\xff", CLASS_UID, b"\0" * 9]
    )
    def test_what_is_no_group(self, start: bytes) -> None:
        for head in (start, part10(start)):
            assert not has_file_meta(head)
            with pytest.raises(InputFileError, match="not a DICOM file"):
                read_file_meta(head, "x")

    @pytest.mark.parametrize("length", [0, 1, 30, 10**6, UNDEFINED])
    def test_wrong_group_length_plays_no_part(self, length: int) -> None:
        head = part10(element(0x00020000, "UL", struct.pack("<L", length)), required())
        assert read_file_meta(head + CLASS_UID, "x")[1] == len(head)

    def test_missing_group_length_plays_no_part(self) -> None:
        head = part10(required())
        assert read_file_meta(head + CLASS_UID, "x")[1] == len(head)

    def test_a_file_may_end_behind_its_meta_information(self) -> None:
        head = part10(required())
        assert read_file_meta(head, "x")[1] == len(head)

    def test_deflated_data_that_look_like_group_0002(self) -> None:
        head = part10(required())
        assert read_file_meta(head + b"\x02\x00\xff\xff\x00\x01\x02\x03", "x")[1] == len(head)

    def test_padding_and_control_characters(self) -> None:
        head = part10(
            required(),
            element(0x00020013, "SH", b"  V\x07\xe91 \0"),
            element(0x00020016, "AE", b" TITLE  "),
        )
        meta, _ = read_file_meta(head, "x")
        assert meta.implementation_version_name == "V?\ufffd1"
        assert meta.source_application_entity_title == "TITLE"

    @pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
    def test_any_buffer(self, wrap: type) -> None:
        assert read_file_meta(wrap(encode_file_meta(META)), "x")[0] == META

    def test_files_of_pydicom(self, files: dict[str, Path]) -> None:
        for path in files.values():
            meta, offset = read_file_meta(path.read_bytes()[:HEAD_LENGTH], path.name)
            expected = read_file_meta_info(path)
            assert meta.sop_class_uid == expected.MediaStorageSOPClassUID
            assert meta.sop_instance_uid == expected.MediaStorageSOPInstanceUID
            assert meta.transfer_syntax == expected.TransferSyntaxUID
            assert meta.implementation_version_name == expected.ImplementationVersionName
            assert offset == 144 + expected.FileMetaInformationGroupLength

    @given(st.binary(max_size=400), st.booleans())
    @example(b"\x02\x00\x10\x00UI\xff\xff", True)
    @example(b"\x02\x00\x10\x00SQ\x00\x00\xff\xff\xff\xff\xfe\xff", True)
    def test_arbitrary_bytes(self, data: bytes, framed: bool) -> None:
        try:
            meta, offset = read_file_meta(part10(data) if framed else data, "x")
        except InputFileError:
            return
        assert len(meta.transfer_syntax) <= 256
        begin = 132 if framed else 0
        assert begin <= offset <= begin + len(data)

    @given(metas, st.integers(0, 300))
    def test_cut_anywhere(self, meta: FileMeta, length: int) -> None:
        whole = encode_file_meta(meta)
        try:
            found, offset = read_file_meta(whole[:length], "x")
        except InputFileError:
            return
        assert found == meta or offset == length < len(whole)
        assert offset == min(length, len(whole))


def nested(depth: int, inner: bytes) -> bytes:
    """Sequences of undefined length within each other, `depth` of them."""
    opened = element(0x00080006, "SQ", b"", length=UNDEFINED) + ITEM_OPEN
    return opened * depth + inner + (ITEM_END + SEQUENCE_END) * depth


class TestScanIdentifiers:
    complete = Identifiers("1.2", "1.2.3", True)

    def test_explicit_little(self) -> None:
        assert scan_identifiers(CLASS_UID + INSTANCE_UID + STUDY_UID, LITTLE) == self.complete

    @pytest.mark.parametrize("transfer_syntax", [transfer_syntaxes.JPEG_BASELINE_8BIT, "1.2.3.4"])
    def test_others_are_explicit_little(self, transfer_syntax: str) -> None:
        assert scan_identifiers(CLASS_UID + INSTANCE_UID + STUDY_UID, transfer_syntax) == self.complete

    def test_implicit(self) -> None:
        data = b"".join(
            (
                element(0x00080005, "", b"ISO_IR 100"),
                element(0x00080006, "", ITEM_OPEN + ITEM_END + SEQUENCE_END, length=UNDEFINED),
                element(0x00080016, "", b"1.2\0"),
                element(0x00080018, "", b"1.2.3\0"),
                element(0x0020000D, "", b"1.4\0"),
            )
        )
        assert scan_identifiers(data, IMPLICIT) == self.complete

    def test_explicit_big(self) -> None:
        item = element(0xFFFEE000, "", element(0x00080100, "SH", b"AB", order=">"), order=">")
        data = b"".join(
            (
                element(
                    0x00080006,
                    "SQ",
                    item + element(0xFFFEE0DD, "", b"", order=">"),
                    order=">",
                    length=UNDEFINED,
                ),
                element(0x00080016, "UI", b"1.2\0", order=">"),
                element(0x00080018, "UI", b"1.2.3\0", order=">"),
                element(0x0020000D, "UI", b"1.4\0", order=">"),
            )
        )
        assert scan_identifiers(data, BIG) == self.complete

    def test_files_of_pydicom(self, files: dict[str, Path]) -> None:
        for path in files.values():
            head = path.read_bytes()[:HEAD_LENGTH]
            meta, offset = read_file_meta(head, path.name)
            expected = pydicom.dcmread(path, stop_before_pixels=True)
            assert scan_identifiers(head[offset:], meta.transfer_syntax) == Identifiers(
                expected.SOPClassUID, expected.SOPInstanceUID, True
            )

    def test_an_element_behind_them_ends_the_search(self) -> None:
        behind = element(0x00280010, "US", b"\0\0")
        assert scan_identifiers(CLASS_UID + behind, LITTLE) == Identifiers("1.2", "", True)
        assert scan_identifiers(INSTANCE_UID + behind, LITTLE) == Identifiers("", "1.2.3", True)
        assert scan_identifiers(behind + CLASS_UID + INSTANCE_UID, LITTLE) == Identifiers(complete=True)

    @pytest.mark.parametrize("behind", [b"", b"\x08", ITEM_OPEN, element(0x00080020, "DA", b"2", length=99)])
    def test_what_stands_behind_them_is_not_looked_at(self, behind: bytes) -> None:
        assert scan_identifiers(CLASS_UID + INSTANCE_UID + behind, LITTLE) == self.complete

    def test_only_one_of_them_is_not_all(self) -> None:
        assert scan_identifiers(CLASS_UID, LITTLE) == Identifiers("1.2")
        assert scan_identifiers(INSTANCE_UID, LITTLE) == Identifiers("", "1.2.3")

    def test_absent_ones_stay_empty(self) -> None:
        assert scan_identifiers(element(0x7FE00010, "OB", b"", length=UNDEFINED), LITTLE) == Identifiers(
            complete=True
        )

    def test_empty_value(self) -> None:
        data = CLASS_UID + element(0x00080018, "UI", b"") + STUDY_UID
        assert scan_identifiers(data, LITTLE) == Identifiers("1.2", "", True)

    @pytest.mark.parametrize(
        "front",
        [
            element(0x00080001, "UT", bytes(300)),
            element(0x00080006, "SQ", b""),
            element(0x00080006, "SQ", element(0xFFFEE000, "", INSTANCE_UID)),
            element(0x00080006, "SQ", SEQUENCE_END, length=UNDEFINED),
            element(0x00080006, "SQ", element(0xFFFEE000, "", STUDY_UID) + SEQUENCE_END, length=UNDEFINED),
            element(0x00080006, "SQ", ITEM_OPEN + STUDY_UID + ITEM_END + SEQUENCE_END, length=UNDEFINED),
            nested(1, b""),
            nested(MAX_SEQUENCE_DEPTH, CLASS_UID),
            # Encapsulated fragments look like a sequence whose items have lengths.
            element(0x00080007, "OB", element(0xFFFEE000, "", b"\1\2") + SEQUENCE_END, length=UNDEFINED),
            # A UN of undefined length is a sequence in Implicit VR.
            element(
                0x00080007,
                "UN",
                ITEM_OPEN + element(0x00080018, "", b"9.9\0") + ITEM_END + SEQUENCE_END,
                length=UNDEFINED,
            ),
            # A value representation of a later edition.
            element(0x00080007, "ZZ", b"\1\2\3\4"),
        ],
    )
    def test_what_stands_in_front_is_passed_over(self, front: bytes) -> None:
        assert scan_identifiers(front + CLASS_UID + INSTANCE_UID + STUDY_UID, LITTLE) == self.complete

    @pytest.mark.parametrize(
        "rest",
        [
            b"",
            b"\x08\x00\x18",
            element(0x00080018, "UT", b"")[:-2],
            element(0x00080018, "UI", b"1.2", length=100),
            element(0x00080018, "UT", b"1.2", length=0xFFFFFFFE),
            element(0x00080018, "UI", b"../etc"),
            element(0x00080018, "UI", b"1" * 66),
            element(0x00080018, "UI", b"1" * 1000),
            element(0x00080018, "UI", b"\xff\xfe"),
            b"\x08\x00\x18\x00\x00\x00\x02\x001.",
            ITEM_OPEN,
            SEQUENCE_END,
            nested(MAX_SEQUENCE_DEPTH + 1, b"") + INSTANCE_UID,
            nested(2000, b"") + INSTANCE_UID,
            element(0x00080017, "SQ", b"", length=UNDEFINED),
            element(0x00080017, "SQ", ITEM_END, length=UNDEFINED) + INSTANCE_UID,
            element(0x00080017, "SQ", INSTANCE_UID, length=UNDEFINED) + INSTANCE_UID,
            element(0x00080017, "SQ", ITEM_OPEN + SEQUENCE_END, length=UNDEFINED) + INSTANCE_UID,
            element(0x00080017, "SQ", ITEM_OPEN + ITEM_OPEN, length=UNDEFINED) + INSTANCE_UID,
            element(0x00080017, "SQ", element(0xFFFEE000, "", b"", length=50), length=UNDEFINED),
        ],
    )
    def test_malformed_or_cut_off(self, rest: bytes) -> None:
        assert scan_identifiers(CLASS_UID + rest, LITTLE) == Identifiers("1.2")

    def test_deflated(self) -> None:
        assert scan_identifiers(deflate(CLASS_UID + INSTANCE_UID + STUDY_UID), DEFLATED) == self.complete

    def test_deflated_and_cut_off(self) -> None:
        data = deflate(CLASS_UID + INSTANCE_UID + STUDY_UID + bytes(range(256)) * 40)
        assert scan_identifiers(data[: len(data) // 2], DEFLATED) == self.complete

    def test_inflating_is_bounded(self) -> None:
        bomb = deflate(element(0x00080001, "UT", bytes(1 << 26)) + CLASS_UID)
        assert len(bomb) < 1 << 17
        assert scan_identifiers(bomb, DEFLATED) == Identifiers()

    def test_what_is_no_deflate_stream(self) -> None:
        assert scan_identifiers(b"\xff" * 50, DEFLATED) == Identifiers()

    @pytest.mark.parametrize("transfer_syntax", [IMPLICIT, LITTLE, BIG, DEFLATED])
    @given(data=st.binary(max_size=300))
    @example(data=(ITEM_OPEN + nested(3, b"")) * 20)
    def test_arbitrary_bytes(self, transfer_syntax: str, data: bytes) -> None:
        found = scan_identifiers(data, transfer_syntax)
        assert isinstance(found.complete, bool)

    @given(st.data())
    def test_mutated_data_set(self, data: st.DataObject) -> None:
        whole = bytearray(nested(3, CLASS_UID) + CLASS_UID + INSTANCE_UID + STUDY_UID)
        for _ in range(data.draw(st.integers(1, 4))):
            whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
        found = scan_identifiers(whole, LITTLE)
        assert set(found.sop_class_uid + found.sop_instance_uid) <= set("0123456789.")

    @given(
        sop_class=uids, instance=uids, study=uids, transfer_syntax=st.sampled_from([IMPLICIT, LITTLE, BIG])
    )
    def test_written_by_pydicom(
        self, sop_class: str, instance: str, study: str, transfer_syntax: str
    ) -> None:
        ds = pydicom.Dataset()
        ds.SOPClassUID, ds.SOPInstanceUID, ds.StudyInstanceUID = map(ignoring, (sop_class, instance, study))
        ds.ProcedureCodeSequence = [pydicom.Dataset()]
        stream = DicomBytesIO()
        pydicom.dcmwrite(
            stream, ds, implicit_vr=transfer_syntax == IMPLICIT, little_endian=transfer_syntax != BIG
        )
        found = scan_identifiers(stream.getvalue(), transfer_syntax)
        assert found == Identifiers(sop_class, instance, True)


def ignoring(uid: str) -> pydicom.uid.UID:
    return pydicom.uid.UID(uid, validation_mode=pydicom.config.IGNORE)


def deflate(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(data) + deflater.flush()


class TestExpectation:
    """`is_as_expected`: fast, and never wrong."""

    expected = CLASS_UID + INSTANCE_UID
    openings = st.lists(
        st.tuples(
            st.sampled_from([0x00080005, 0x00080008, 0x00080012, 0x00080013, 0x00020010]),
            st.sampled_from(["CS", "DA", "UI", "ST"]),
            st.binary(max_size=12) | st.just(expected),
        ),
        max_size=4,
    ).map(lambda found: b"".join(element(*each) for each in found))

    @given(st.lists(openings, min_size=1, max_size=4), st.sampled_from([b"", INSTANCE_UID, expected]))
    def test_a_data_set_that_begins_alike(self, begins: list[bytes], end: bytes) -> None:
        for begin in (*begins, *begins):
            data = begin + end + bytes(20)
            found = scan_identifiers(data, LITTLE)
            if is_as_expected(data, self.expected):
                assert found == Identifiers("1.2", "1.2.3", True)
            elif end == self.expected:
                assert found != Identifiers("1.2", "1.2.3", True)

    def test_a_value_is_not_taken_for_the_elements(self) -> None:
        begin = element(0x00080005, "CS", b"ISO ")
        assert is_as_expected(begin + self.expected, self.expected)
        hidden = (
            element(0x00080005, "CS", b"ISO " + self.expected) + CLASS_UID + element(0x00080018, "UI", b"9\0")
        )
        assert not is_as_expected(hidden, self.expected)
        assert is_as_expected(begin + self.expected, self.expected)
        assert not is_as_expected(begin + self.expected[:-1], self.expected)

    def test_a_long_opening_is_not_remembered(self) -> None:
        is_as_expected(self.expected, self.expected)
        recent = identity_module._recent
        begin = element(0x00080005, "CS", b"A") * 200
        assert is_as_expected(begin + self.expected, self.expected)
        assert identity_module._recent is recent
        assert identity_module._opening_of.cache_info().maxsize is not None

    def test_a_data_set_in_another_transfer_syntax_is_looked_at_closely(self) -> None:
        meta = ("1.2", 6, "1.2.3", "VERSION", "SOURCE")
        for transfer_syntax in (IMPLICIT, BIG, DEFLATED):
            assert frame_of(*meta[:2], transfer_syntax, *meta[2:]).in_data_set == b""
        assert frame_of(*meta[:2], LITTLE, *meta[2:]).in_data_set + b"1.2.3\0" == self.expected

    @given(metas)
    def test_the_frame_is_that_of_the_file_meta_information(self, meta: FileMeta) -> None:
        instance = padded_uid(meta.sop_instance_uid)
        frame = frame_of(
            meta.sop_class_uid,
            len(instance),
            meta.transfer_syntax,
            meta.implementation_class_uid,
            meta.implementation_version_name,
            meta.source_application_entity_title,
        )
        whole = frame.before + instance + frame.behind
        assert whole == encode_file_meta(meta)
        assert read_file_meta(whole, "x") == (meta, len(whole))


class TestDataSetHead:
    data = CLASS_UID + INSTANCE_UID + STUDY_UID + element(0x00280010, "US", b"\0\0")

    @given(st.integers(1, 3000))
    def test_any_cutting_gives_the_same(self, size: int) -> None:
        data = element(0x00080001, "UT", bytes(3000)) + self.data + bytes(10_000)
        head = DataSetHead(LITTLE)
        for start in range(0, len(data), size):
            if not head.feed(data[start : start + size]):
                break
        else:
            pytest.fail("it took more than it needed")
        assert head.identifiers == Identifiers("1.2", "1.2.3", True)

    def test_short_data_set(self) -> None:
        head = DataSetHead(LITTLE)
        assert head.feed(self.data)
        assert head.identifiers.complete
        assert head.identifiers is head.identifiers
        assert not head.feed(b"more")

    def test_a_first_piece_that_says_it_all_is_not_kept(self) -> None:
        piece = bytearray(self.data + bytes(DataSetHead.FIRST_LOOK))
        head = DataSetHead(LITTLE)
        assert not head.feed(memoryview(piece))
        piece[:] = bytes(len(piece))
        assert head.identifiers == Identifiers("1.2", "1.2.3", True)
        assert not head.feed(b"more")

    def test_incomplete_data_set_may_go_on(self) -> None:
        head = DataSetHead(LITTLE)
        assert head.feed(CLASS_UID)
        assert head.identifiers == Identifiers("1.2")
        assert head.feed(INSTANCE_UID + STUDY_UID)
        assert head.identifiers.complete

    def test_it_holds_no_more_than_a_head(self) -> None:
        head = DataSetHead(LITTLE)
        start = element(0x00080001, "UT", b"", length=1 << 30)
        assert head.feed(start)
        assert not head.feed(memoryview(bytes(10 * HEAD_LENGTH)))
        assert not head.feed(b"more")
        assert head.identifiers == Identifiers()

    def test_tiny_pieces_are_looked_at_seldom(self, monkeypatch: pytest.MonkeyPatch) -> None:
        looks: list[int] = []

        def scan(data: bytes, transfer_syntax: str) -> Identifiers:
            looks.append(len(data))
            return scan_identifiers(data, transfer_syntax)

        monkeypatch.setattr("dcmnet.storage.identity.scan_identifiers", scan)
        head = DataSetHead(LITTLE)
        head.feed(element(0x00080001, "UT", b"", length=1 << 30))
        while head.feed(bytes(16)):
            pass
        assert len(looks) < 10


class TestGuessTransferSyntax:
    @pytest.mark.parametrize(
        ("head", "expected"),
        [
            (element(0x00080005, "CS", b"ISO_IR 100"), LITTLE),
            (element(0x00080005, "CS", b"ISO_IR 100", order=">"), BIG),
            (element(0x00080005, "", b"ISO_IR 100"), IMPLICIT),
            (element(0x00080006, "", b"", length=UNDEFINED), IMPLICIT),
            (element(0x00080006, "SQ", b"", length=UNDEFINED), LITTLE),
            (element(0x00100010, "PN", b"", order=">"), BIG),
            (element(0x00080005, "", b"", length=11), None),
            (element(0x00080005, "", b"", length=0x10000002), None),
            (element(0x00090010, "", b"", length=2), None),
            (element(0x00020010, "UI", b"1.2\0"), None),
            (element(0x77777777, "CS", b"", length=2), None),
            (element(0x77767777, "", b"", length=2), None),
            (b"\x08\x00\x05\x00CS\x0a", None),
            (b"", None),
            (b"%PDF-1.7" + bytes(100), None),
            (b"\x89PNG\r\n\x1a\n" + bytes(100), None),
            (b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(100), None),
            (b"PK\x03\x04" + bytes(100), None),
            (b"\x7fELF\x02\x01\x01\x00" + bytes(100), None),
            (b'{\n  "a": 1 }', None),
            (bytes(200), None),
        ],
    )
    def test_first_element(self, head: bytes, expected: str | None) -> None:
        assert guess_transfer_syntax(head) == expected

    def test_files(self, files: dict[str, Path]) -> None:
        for name, expected in (
            ("explicit_little", LITTLE),
            ("implicit_little", IMPLICIT),
            ("explicit_big", BIG),
            ("rle", LITTLE),
            ("deflated", None),
        ):
            head = files[name].read_bytes()
            assert guess_transfer_syntax(head[read_file_meta(head, name)[1] :]) == expected

    @given(st.binary(max_size=40))
    def test_arbitrary_bytes(self, data: bytes) -> None:
        assert guess_transfer_syntax(data) in {None, LITTLE, BIG, IMPLICIT}
