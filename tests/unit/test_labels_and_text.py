"""What goes out is what its labels say: transfer syntax, character set, lengths (PS3.5 A.4, 6.1.2, 7.1.1)."""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from dcmnet.dataset import convert, encode
from dcmnet.dataset.elements import Element, read_elements
from dcmnet.dataset.identifiers import decode_identifier, encode_identifier
from dcmnet.errors import InputFileError
from dcmnet.storage.sources import describe
from tests.unit.objects import BIG_ENDIAN, CT, DEFLATED, EXPLICIT, IMPLICIT, JPEG, RLE, element, file_meta

J2K = "1.2.840.10008.1.2.4.90"
FRAGMENTS = encapsulate([b"\xff\xd8\xff\xe0frame!"])
SEGMENTS = encapsulate([b"\1\0\0\0\x40\0\0\0" + bytes(56) + b"\x80\0"])
NAME = "Иванов^Иван"


def picture(syntax: str = EXPLICIT, pixels: bytes = bytes(range(128)), bits: int = 16) -> Dataset:
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = UID(CT), UID("1.2.3")
    made.Rows = made.Columns = 8
    made.SamplesPerPixel, made.BitsAllocated, made.PixelRepresentation = 1, bits, 0
    made.add_new("PixelData", "OB" if bits == 8 or pixels is FRAGMENTS else "OW", pixels)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = UID(syntax)
    return made


def reread(made: Dataset, **options: Any) -> Dataset:
    syntax = str(made.file_meta.TransferSyntaxUID)
    content = file_meta(transfer_syntax=syntax) + encode(made, syntax)
    return pydicom.dcmread(io.BytesIO(content), **options)


def relabelled(made: Dataset, syntax: str) -> Dataset:
    made.file_meta.TransferSyntaxUID = UID(syntax)
    return made


def without_meta(made: Dataset) -> Dataset:
    del made.file_meta
    return made


def with_icon(made: Dataset, pixels: bytes) -> Dataset:
    icon = Dataset()
    icon.add_new("PixelData", "OB", pixels)
    icon.Rows = icon.Columns = icon.BitsAllocated = 8
    made.IconImageSequence = [icon]
    return made


CONTRADICTIONS: dict[str, tuple[Callable[[], Dataset], str]] = {
    "encapsulated under native": (lambda: relabelled(picture(JPEG, FRAGMENTS), EXPLICIT), "encapsulated"),
    "as it was read": (lambda: relabelled(reread(picture(JPEG, FRAGMENTS)), IMPLICIT), "encapsulated"),
    "deflated": (lambda: relabelled(picture(JPEG, FRAGMENTS), DEFLATED), "encapsulated"),
    "lost meta": (lambda: without_meta(reread(picture(JPEG, FRAGMENTS))), "encapsulated"),
    "half a fragment": (lambda: picture(EXPLICIT, FRAGMENTS[:-2]), "encapsulated"),
    "half a fragment, compressed": (lambda: picture(JPEG, FRAGMENTS[:-2]), "not whole"),
    "native under compressed": (lambda: relabelled(picture(), JPEG), "native"),
    "native, as it was read": (lambda: relabelled(reread(picture()), RLE), "native"),
    "another codec": (lambda: relabelled(picture(JPEG, FRAGMENTS), J2K), "in JPEG"),
    "RLE under JPEG": (lambda: relabelled(picture(RLE, SEGMENTS), JPEG), "in RLE"),
    "RLE under JPEG 2000": (lambda: relabelled(reread(picture(RLE, SEGMENTS)), J2K), "in RLE"),
    "JPEG under RLE": (lambda: relabelled(picture(JPEG, FRAGMENTS), RLE), "in JPEG"),
    "big to little": (lambda: relabelled(reread(picture(BIG_ENDIAN)), EXPLICIT), "read as big endian"),
    "little to big": (lambda: relabelled(reread(picture()), BIG_ENDIAN), "read as little endian"),
    "floats": (lambda: float_picture(), "encapsulated"),
}


def float_picture() -> Dataset:
    made = picture()
    del made.PixelData
    made.add_new("FloatPixelData", "OF", FRAGMENTS)
    return made


@pytest.mark.parametrize("case", CONTRADICTIONS)
@pytest.mark.parametrize("target", [EXPLICIT, IMPLICIT])
def test_a_label_that_the_bytes_contradict_is_refused(case: str, target: str) -> None:
    make, why = CONTRADICTIONS[case]
    with pytest.raises(InputFileError, match=f"^x: cannot be encoded: it .*{why}"):
        encode(make(), target, name="x")
    with pytest.raises(InputFileError, match=why):
        describe(make())


def test_an_encapsulated_icon_in_a_native_picture_is_refused() -> None:
    with pytest.raises(InputFileError, match="encapsulated Pixel Data"):
        encode(with_icon(picture(), FRAGMENTS), EXPLICIT)
    both = with_icon(picture(JPEG, FRAGMENTS), FRAGMENTS)
    assert encode(both, JPEG).count(FRAGMENTS + b"\xfe\xff\xdd\xe0\0\0\0\0") == 2
    native = encode(with_icon(picture(JPEG, FRAGMENTS), bytes(64)), JPEG)
    assert b"OB\0\0\x40\0\0\0" + bytes(64) in native


def test_what_was_decompressed_by_hand_goes_out() -> None:
    made = relabelled(reread(picture(JPEG, FRAGMENTS)), EXPLICIT)
    made.PixelData = bytes(range(128))
    made["PixelData"].is_undefined_length = True
    assert describe(made).transfer_syntax == EXPLICIT
    assert encode(made, EXPLICIT).endswith(b"OW\0\0\x80\0\0\0" + bytes(range(128)))
    assert made["PixelData"].is_undefined_length


def test_without_pixels_a_compressed_data_set_can_be_converted() -> None:
    made = relabelled(picture(), "1.2.840.10008.1.2.4.102")  # MPEG-4, which cannot be decompressed
    del made.PixelData
    assert encode(made, IMPLICIT) == encode(relabelled(made, EXPLICIT), IMPLICIT)


def test_pixels_that_look_like_fragments() -> None:
    pixels = b"\xfe\xff\x00\xe0" + bytes(range(124))
    assert encode(picture(pixels=pixels), EXPLICIT).endswith(pixels)


def test_what_was_read_later_is_read(tmp_path: Any) -> None:
    path = tmp_path / "a.dcm"
    path.write_bytes(file_meta() + encode(picture(), EXPLICIT))
    put_off = pydicom.dcmread(path, defer_size=64)
    assert encode(put_off, IMPLICIT) == encode(picture(), IMPLICIT)
    assert put_off.get_item("PixelData", keep_deferred=True).value is None
    path.unlink()
    with pytest.raises(InputFileError, match="cannot be encoded: OSError"):
        encode(put_off, IMPLICIT)


# ---------------------------------------------------------------------- text


def patient(name: str = NAME, charset: Any = ..., **more: Any) -> Dataset:
    made = Dataset()
    if charset is not ...:
        with quietly():
            made.add_new("SpecificCharacterSet", "CS", charset)
    made.PatientName = name
    with quietly():
        for keyword, value in more.items():
            setattr(made, keyword, value)
    return made


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """pydicom complains when such a data set is made; nothing may do so when it is sent."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize(
    "charset", [..., None, "", "ISO_IR 100", "ISO_IR 999", "ISO_IR 13", "utf8", ["", "ISO 2022 IR 87x"]]
)
@pytest.mark.parametrize(
    "keyword", ["PatientID", "PatientComments", "StudyDescription", "InstitutionAddress"]
)
def test_text_that_does_not_fit_goes_out_in_utf_8(charset: Any, keyword: str) -> None:
    made = patient(charset=charset, **{keyword: NAME})
    with quietly():
        before = str(made)
    for encoded in (encode(made, IMPLICIT), encode_identifier(made, IMPLICIT)):
        found = decode_identifier(encoded, IMPLICIT)
        assert (found.SpecificCharacterSet, found.PatientName, found[keyword].value) == (
            "ISO_IR 192",
            NAME,
            NAME,
        )
    with quietly():
        assert str(made) == before


@pytest.mark.parametrize("value", ["", None])
def test_an_empty_return_key_is_no_character_set(value: Any) -> None:
    query = encode_identifier({"SpecificCharacterSet": value, "PatientName": "Иванов*"}, EXPLICIT)
    assert "Иванов*".encode() in query
    assert b"ISO_IR 192" in query
    assert b"CS\0\0" in encode_identifier({"SpecificCharacterSet": value, "PatientName": "A*"}, EXPLICIT)


@pytest.mark.parametrize(
    ("charset", "name", "encoded"),
    [
        ("ISO_IR 144", NAME, NAME.encode("iso8859_5")),
        ("GB18030", "王^小东", "王^小东".encode("gb18030")),
        ("ISO_IR 13", "ﾔﾏﾀﾞ^TARO", "ﾔﾏﾀﾞ^TARO".encode("shift_jis")),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田", b"Yamada^Tarou=\x1b$B;3ED\x1b(B"),
        (["ISO 2022 IR 100", "ISO 2022 IR 144"], "Ü^Я", b"\xdc^\x1b-L\xcf"),
    ],
)
def test_text_that_fits_stays_in_its_character_set(charset: Any, name: str, encoded: bytes) -> None:
    assert encoded in encode(patient(name, charset), EXPLICIT)
    assert b"ISO_IR 192" not in encode(patient(name, charset), EXPLICIT)


def test_items_with_a_character_set_of_their_own() -> None:
    made = patient("Müller", "ISO_IR 100")
    made.ReferencedPatientSequence = [patient(charset="ISO_IR 100"), patient("Größe")]
    found = decode_identifier(encode(made, EXPLICIT), EXPLICIT)
    inner, plain = found.ReferencedPatientSequence
    assert (found.SpecificCharacterSet, found.PatientName) == ("ISO_IR 100", "Müller")
    assert (inner.SpecificCharacterSet, inner.PatientName) == ("ISO_IR 192", NAME)
    assert ("SpecificCharacterSet" in plain, plain.PatientName) == (False, "Größe")
    made.ReferencedPatientSequence[1].PatientName = NAME
    found = decode_identifier(encode(made, EXPLICIT), EXPLICIT)
    assert (found.SpecificCharacterSet, found.PatientName) == ("ISO_IR 192", "Müller")
    assert found.ReferencedPatientSequence[1].PatientName == NAME


def latin_1(charset: bytes = b"ISO_IR 100") -> Dataset:
    inner = element(0x10, 0x10, "PN", "Größe".encode("latin-1"))
    item = b"\xfe\xff\x00\xe0" + len(inner).to_bytes(4, "little") + inner
    data = element(0x08, 0x05, "CS", charset) if charset else b""
    data += element(0x08, 0x1030, "LO", "Schädel".encode("latin-1"))
    data += b"\x08\0\x10\x11SQ\0\0" + len(item).to_bytes(4, "little") + item
    data += element(0x10, 0x10, "PN", "Müller".encode("latin-1"))
    with quietly():
        return pydicom.dcmread(io.BytesIO(file_meta() + data))


@pytest.mark.parametrize("looked_at", [False, True])
def test_what_was_read_is_encoded_anew_with_the_rest(looked_at: bool) -> None:
    made = latin_1()
    if looked_at:
        str(made)
    made.PatientComments = NAME
    found = decode_identifier(encode(made, IMPLICIT), IMPLICIT)
    assert (found.SpecificCharacterSet, found.PatientComments) == ("ISO_IR 192", NAME)
    assert (found.StudyDescription, found.PatientName) == ("Schädel", "Müller")
    assert found.ReferencedStudySequence[0].PatientName == "Größe"


def test_a_character_set_that_was_changed() -> None:
    made = latin_1()
    made.SpecificCharacterSet = "ISO_IR 192"
    assert decode_identifier(encode(made, EXPLICIT), EXPLICIT).PatientName == "Müller"
    declared = latin_1(b"")
    declared.SpecificCharacterSet = "ISO_IR 100"
    assert "Müller".encode("latin-1") in encode(declared, EXPLICIT)


@pytest.mark.parametrize("charset", [b"", b"ISO_IR 192", b"ISO_IR 999"])
def test_bytes_that_cannot_be_read_are_not_labelled_anew(charset: bytes) -> None:
    made = latin_1(charset)
    assert "Schädel".encode("latin-1") in encode(made, IMPLICIT)
    made.PatientComments = NAME
    if charset == b"ISO_IR 192":
        assert "Schädel".encode("latin-1") in encode(made, IMPLICIT)  # nothing is labelled anew
        return
    with pytest.raises(InputFileError, match=r"has text in \(\w{4},\w{4}\) that is not in its Specific"):
        encode(made, IMPLICIT)


@pytest.mark.parametrize("charset", [b"", b"ISO_IR 100", b"ISO_IR 999"])
def test_elements_that_were_taken_from_a_data_set_that_was_read(charset: bytes) -> None:
    """What is not decoded yet is in the character set that came with it."""
    taken = Dataset()
    taken.update(latin_1(charset))
    assert "Müller".encode("latin-1") in encode(taken, EXPLICIT)
    assert "Größe".encode("latin-1") in encode(taken, IMPLICIT)


@pytest.mark.parametrize("around", [NAME, "Smith"])
def test_an_item_that_was_read_in_another_character_set(around: str) -> None:
    made, item = patient(around, "ISO_IR 192"), latin_1()
    del item.SpecificCharacterSet
    made.ReferencedPatientSequence = [item]
    found = decode_identifier(encode(made, EXPLICIT), EXPLICIT)
    assert (found.SpecificCharacterSet, found.PatientName) == ("ISO_IR 192", around)
    [inner] = found.ReferencedPatientSequence
    assert (inner.PatientName, inner.ReferencedStudySequence[0].PatientName) == ("Müller", "Größe")
    unknown = patient(around, "ISO_IR 192")
    unknown.ReferencedPatientSequence = [latin_1(b"")]
    with pytest.raises(InputFileError, match="that is not in its Specific Character Set"):
        encode(unknown, EXPLICIT)


def test_what_pydicom_replaced_is_not_sent() -> None:
    """What could not be decoded is gone once it was looked at; question marks are not kept either."""
    made: Dataset = pydicom.dcmread(io.BytesIO(file_meta() + latin_1_name_declared_utf_8()))
    with pytest.warns(UserWarning, match="replacement"):
        assert "\ufffd" in str(made.PatientName)
    with pytest.raises(InputFileError, match="that pydicom replaced when it was looked at"):
        encode(made, IMPLICIT)
    made = patient(NAME)
    with pytest.warns(UserWarning, match="replacement"):
        made.PatientName.encode(["latin_1"])
    assert NAME.encode() in encode(made, EXPLICIT)


def latin_1_name_declared_utf_8() -> bytes:
    return element(0x08, 0x05, "CS", b"ISO_IR 192") + element(0x10, 0x10, "PN", b"M\xfcller")


def test_characters_that_there_are_not() -> None:
    with pytest.raises(InputFileError, match=r"has characters in \(0010,0010\) that cannot be encoded"):
        encode(patient("A\ud800"), EXPLICIT)
    with pytest.raises(InputFileError, match=r"has a value in \(0008,0060\) that .* \(CS\) does not allow$"):
        encode(patient("A", Modality="Иван"), EXPLICIT)


@pytest.mark.parametrize("named", [None, ""])
def test_a_transfer_syntax_that_is_not_named(named: str | None) -> None:
    for syntax, found in ((BIG_ENDIAN, BIG_ENDIAN), (EXPLICIT, EXPLICIT), (IMPLICIT, IMPLICIT)):
        made = reread(picture(syntax))
        made.file_meta["TransferSyntaxUID"].value = named
        assert describe(made).transfer_syntax == found
    compressed = reread(picture(JPEG, FRAGMENTS))
    compressed.file_meta["TransferSyntaxUID"].value = named
    with pytest.raises(InputFileError, match="encapsulated"):
        describe(compressed)


def test_pixel_data_that_were_taken_out() -> None:
    made = relabelled(reread(picture(JPEG, FRAGMENTS)), EXPLICIT)
    made.PixelData = None
    assert encode(made, EXPLICIT).endswith(b"\xe0\x7f\x10\0OW\0\0\0\0\0\0")


# ---------------------------------------------------------------------- re-encoding


def implicit(tag: int, value: bytes) -> bytes:
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value)) + value


def converted(data: bytes, own: str, target: str) -> dict[int, Element]:
    encoded = convert(io.BytesIO(data), target, name="x", own=(own, 0))
    assert len(encoded) % 2 == 0
    found = read_elements(encoded, implicit=target == IMPLICIT, little=target != BIG_ENDIAN)
    return {each.tag: each for each in found}


@pytest.mark.parametrize(
    ("tag", "value", "vr"),
    [
        (0x5000_3000, b"abcd", "OW"),
        (0x501E_3000, b"abcd", "OW"),
        (0x5000_200C, b"abcd", "OW"),
        (0x6002_3000, b"abcd", "OW"),
        (0x7FE0_0010, b"abcd", "OW"),
        (0x0014_3050, b"abcd", "OW"),
        (0x0028_0106, b"ab", "US"),
        (0x0028_0071, b"abcd", "US"),
        (0x0028_1200, b"abcd", "OW"),
        (0x0028_3006, b"abcd", "OW"),
        (0x0028_3006, b"ab", "US"),
        (0x5400_1010, b"abcd", "OW"),
        (0x0009_0010, b"ACME", "LO"),
        (0x0009_1001, b"abcd", "UN"),
        (0x0020_9057, b"abc", "UL"),
        (0x0020_9057, b"ab", "UN"),
        (0x0028_0010, b"abcd", "US"),
        (0x0018_9324, b"abcdef", "UN"),
        (0x0008_1140, b"rubbish!", "UN"),
        (0x0010_4000, b"x" * 70000, "UN"),
        (0x0011_2222, implicit(0xFFFE_E000, b""), "UN"),
        (0x0008_8888, b"ab", "UN"),
    ],
)
def test_implicit_to_explicit(tag: int, value: bytes, vr: str) -> None:
    found = converted(implicit(tag, value), IMPLICIT, EXPLICIT)[tag]
    assert (found.vr, bytes(found.value[: len(value)])) == (vr, value)
    big = convert(io.BytesIO(implicit(tag, value)), BIG_ENDIAN, name="x", own=(IMPLICIT, 0))
    back = converted(big, BIG_ENDIAN, IMPLICIT)
    assert bytes(back[tag].value[: len(value)]) == value


@pytest.mark.parametrize(("representation", "vr"), [(b"\0\0", "US"), (b"\1\0", "SS")])
def test_pixel_representation_decides_also_in_items(representation: bytes, vr: str) -> None:
    inner = implicit(0x0028_0120, b"\xff\xff")
    sequence = implicit(0x0008_1140, implicit(0xFFFE_E000, inner))
    found = converted(sequence + implicit(0x0028_0103, representation), IMPLICIT, EXPLICIT)[0x0008_1140]
    assert found.items is not None
    assert found.items[0].elements[0].vr == vr


def test_every_ambiguous_element_of_the_dictionary_has_a_form() -> None:
    from pydicom._dicom_dict import DicomDictionary

    tags = [tag for tag, entry in DicomDictionary.items() if " or " in entry[0]]
    assert len(tags) > 20
    for tag in tags:
        assert converted(implicit(tag, b"ab"), IMPLICIT, EXPLICIT)[tag].vr in ("US", "OW", "OB")


@pytest.mark.parametrize("target", [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED])
def test_text_is_not_decoded(target: str) -> None:
    data = element(0x08, 0x05, "CS", b"ISO_IR 192") + element(0x10, 0x10, "PN", b"M\xfcller")
    encoded = convert(io.BytesIO(data), target, name="x", own=(EXPLICIT, 0))
    back = convert(io.BytesIO(encoded), EXPLICIT, name="x", own=(target, 0))
    assert back == data


def test_an_un_of_undefined_length_is_a_sequence_in_implicit_vr() -> None:
    inner = implicit(0x0008_0060, b"CT") + implicit(0xFFFE_E00D, b"")
    endless = b"\x11\0\x01\x10UN\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" + inner
    endless += implicit(0xFFFE_E0DD, b"")
    found = converted(endless, EXPLICIT, BIG_ENDIAN)[0x0011_1001]
    assert found.items is not None
    (inner_element,) = found.items[0].elements
    assert (found.vr, inner_element.vr, bytes(inner_element.value)) == ("SQ", "CS", b"CT")


@pytest.mark.parametrize("target", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_odd_lengths_are_padded(target: str) -> None:
    odd = b"\x09\0\x01\x10UN\0\0\x03\0\0\0abc" + b"\xe0\x7f\x10\0OW\0\0\x03\0\0\0abc"
    found = converted(odd, EXPLICIT, target)
    assert bytes(found[0x0009_1001].value) == b"abc\0"
    made = Dataset()
    made.add_new(0x00091001, "UN", b"abc")
    assert len(encode(made, target)) % 2 == 0


def odd_fragments(*lengths: int) -> bytes:
    return b"".join(b"\xfe\xff\x00\xe0" + bytes((length, 0, 0, 0)) + b"x" * length for length in lengths)


def test_the_last_fragment_is_padded() -> None:
    encoded = encode(picture(JPEG, odd_fragments(0, 4, 3)), JPEG)
    assert encoded.endswith(b"\xfe\xff\x00\xe0\4\0\0\0xxx\0\xfe\xff\xdd\xe0\0\0\0\0")
    with pytest.raises(InputFileError, match="a fragment of odd length"):
        encode(picture(JPEG, odd_fragments(0, 3, 4)), JPEG)


@pytest.mark.parametrize("depth", [10, 70])
def test_depth_has_a_limit(depth: int) -> None:
    data = b""
    for _ in range(depth):
        data = implicit(0x0008_1140, implicit(0xFFFE_E000, data))
    if depth > 64:
        with pytest.raises(InputFileError, match="nested deeper than 64"):
            converted(data, IMPLICIT, EXPLICIT)
    else:
        assert converted(data, IMPLICIT, EXPLICIT)
