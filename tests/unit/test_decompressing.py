"""Compressed objects for peers that do not take them as they are."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import Decoder

from dcmnet import dataset
from dcmnet.acse import (
    AcceptorPolicy,
    Negotiated,
    RequestorPolicy,
    SupportedContext,
    build_request,
    negotiate,
    requestor_contexts,
)
from dcmnet.dataset import Encoding, decoding, encode, isolation
from dcmnet.errors import InputFileError, NoPresentationContext
from dcmnet.storage.planning import Decompress, Proposal, choose_context, plan
from dcmnet.storage.sources import Instance, describe, open_data_set
from tests.unit.objects import BIG_ENDIAN, CT, DEFLATED, EXPLICIT, IMPLICIT, JPEG, RLE, data_set, write_file

LOSSLESS_FILES = ["MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm"]
MPEG2 = "1.2.840.10008.1.2.4.100"
NEVER, LOSSLESS, LOSSY = Decompress.NEVER, Decompress.LOSSLESS, Decompress.LOSSY


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests that change a decoder change the one of this process."""
    monkeypatch.setattr(isolation, "_chosen", [])


def example(name: str) -> str:
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    return path


def sent(
    path: str | Path, transfer_syntax: str, folder: Path, encoding: Encoding = dataset.AS_USUAL
) -> Dataset:
    """What arrives, read back."""
    instance = describe(path)
    payload = open_data_set(instance, transfer_syntax, encoding).payload
    assert isinstance(payload, bytes)
    arrived = write_file(folder / "arrived", instance.sop_instance_uid, CT, transfer_syntax, payload)
    return pydicom.dcmread(arrived)


@pytest.mark.parametrize("name", LOSSLESS_FILES)
@pytest.mark.parametrize("transfer_syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED])
def test_lossless_ones(name: str, transfer_syntax: str, tmp_path: Path) -> None:
    arrived = sent(example(name), transfer_syntax, tmp_path)
    original = pydicom.dcmread(example("MR_small.dcm"))
    assert np.array_equal(arrived.pixel_array, original.pixel_array)
    assert arrived.SOPInstanceUID == pydicom.dcmread(example(name)).SOPInstanceUID


def test_a_lossy_one_becomes_rgb(tmp_path: Path) -> None:
    path = example("SC_rgb_jpeg_dcmtk.dcm")
    arrived = sent(path, EXPLICIT, tmp_path)
    assert arrived.PhotometricInterpretation == "RGB"
    assert np.array_equal(arrived.pixel_array, pydicom.dcmread(path).pixel_array)


def test_a_data_set_of_the_caller_is_left_alone() -> None:
    original = pydicom.dcmread(example("MR_small_RLE.dcm"))
    pixels = original.PixelData
    assert len(encode(original, EXPLICIT)) > 8192
    assert original.PixelData == pixels
    assert original.file_meta.TransferSyntaxUID == RLE


def test_one_without_pixel_data(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.dcm", transfer_syntax=JPEG)
    assert open_data_set(describe(path), EXPLICIT).payload == data_set()


def test_without_a_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Decoder, "is_available", False)
    with pytest.raises(InputFileError, match="is in RLE Lossless, and cannot be decompressed") as caught:
        encode(pydicom.dcmread(example("MR_small_RLE.dcm")), EXPLICIT)
    assert "pip install 'dcmnet[codecs]'" in str(caught.value)
    assert not any(available for _, available in decoding.decoders())


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    path = example("MR_small_RLE.dcm")
    monkeypatch.setattr(decoding, "MAX_DECOMPRESSED_LENGTH", 64 * 64 * 2 - 1)
    with pytest.raises(InputFileError, match="has 8192 bytes of pixel data when decompressed"):
        dataset.convert(path, EXPLICIT, name="a")
    monkeypatch.setattr(dataset, "MAX_CONVERTED_LENGTH", 1000)
    with pytest.raises(InputFileError, match="and only up to 1000 can be converted"):
        dataset.convert(path, EXPLICIT, name="a")


def test_broken_pixel_data() -> None:
    broken = pydicom.dcmread(example("MR_small_RLE.dcm"))
    broken.PixelData = broken.PixelData[:-2000] + bytes(2000)
    with pytest.raises(InputFileError, match="cannot be decompressed"):
        encode(broken, EXPLICIT)


# ---------------------------------------------------------------------- planning


def instance(transfer_syntax: str) -> Instance:
    return Instance("a", CT, "1.2.3", transfer_syntax, "a")


def negotiated(proposal: Proposal, one: Instance, *accepted: str) -> Negotiated:
    contexts = tuple(plan([one], proposal)[0].contexts)
    request = build_request(RequestorPolicy(called_ae_title="A", calling_ae_title="B", contexts=contexts))
    supported = (SupportedContext(abstract_syntax=CT, transfer_syntaxes=accepted),)
    answer = negotiate(request, AcceptorPolicy(contexts=supported))
    return requestor_contexts(request, answer)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("own", "decompress", "fallback"),
    [
        (JPEG, NEVER, False),
        (JPEG, LOSSLESS, False),
        (JPEG, LOSSY, True),
        (RLE, NEVER, False),
        (RLE, LOSSLESS, True),
        (RLE, LOSSY, True),
        (MPEG2, LOSSY, False),
        (EXPLICIT, NEVER, True),
    ],
)
def test_what_may_be_decompressed(own: str, decompress: Decompress, fallback: bool) -> None:
    one = instance(own)
    proposal = Proposal(decompress=decompress)
    proposed = [context.transfer_syntaxes for context in plan([one], proposal)[0].contexts]
    assert proposed[0] == (own,)
    assert (len(proposed) == 2) is fallback
    agreed = negotiated(proposal, one, IMPLICIT)
    if fallback:
        assert choose_context(agreed, one, decompress).transfer_syntax == IMPLICIT
    else:
        with pytest.raises(NoPresentationContext):
            choose_context(agreed, one, decompress)


def test_uncompressed_for_every_class() -> None:
    proposed = plan([instance(MPEG2)], Proposal(always_uncompressed=True))[0].contexts
    assert [context.transfer_syntaxes for context in proposed] == [(MPEG2,), (EXPLICIT, IMPLICIT)]
    agreed = negotiated(Proposal(always_uncompressed=True), instance(MPEG2), EXPLICIT)
    with pytest.raises(NoPresentationContext):
        choose_context(agreed, instance(MPEG2))


# ---------------------------------------------------------------------- encodings


@pytest.mark.parametrize("level", [0, 1, 9])
def test_levels_of_compression(level: int, tmp_path: Path) -> None:
    arrived = sent(example("MR_small.dcm"), DEFLATED, tmp_path, Encoding(compression_level=level))
    assert np.array_equal(arrived.pixel_array, pydicom.dcmread(example("MR_small.dcm")).pixel_array)
    size = (tmp_path / "arrived").stat().st_size
    assert (size > 9000) is (level == 0)


def test_old_value_representations(tmp_path: Path) -> None:
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID, made.LongCodeValue = CT, "1.2.3", "abc"
    made.FloatPixelData = struct.pack("<f", 0.5)
    inner = Dataset()
    inner.URNCodeValue = "urn:x"
    made.ConceptNameCodeSequence = [inner]
    made.PatientName = "A"
    source = tmp_path / "source"
    write_file(source, "1.2.3", CT, EXPLICIT, encode(made, EXPLICIT))
    arrived = sent(source, EXPLICIT, tmp_path, Encoding(new_vr=False))
    assert (arrived["LongCodeValue"].VR, arrived["LongCodeValue"].value) == ("OB", b"abc ")
    assert (arrived["FloatPixelData"].VR, arrived["FloatPixelData"].value) == ("OB", struct.pack("<f", 0.5))
    inside = arrived.ConceptNameCodeSequence[0]["URNCodeValue"]
    assert (inside.VR, inside.value) == ("OB", b"urn:x ")
    assert arrived["PatientName"].VR == "PN"
    assert made["LongCodeValue"].VR == "UC"


def test_implicit_needs_no_old_value_representations(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.dcm", transfer_syntax=IMPLICIT)
    opened = open_data_set(describe(path), IMPLICIT, Encoding(new_vr=False))
    assert not isinstance(opened.payload, bytes)  # it goes out as it is
    opened.close()
