"""Compressed objects of every codec, made here, and ways to make them lie. Made by us."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from dcmnet.registry.transfer_syntaxes import (
    JPEG_2000_LOSSLESS,
    JPEG_BASELINE_8BIT,
    JPEG_LS_LOSSLESS,
    RLE_LOSSLESS,
)
from tests.unit.objects import CT, EXPLICIT

ROWS, COLUMNS = 40, 64
CODECS = (JPEG_BASELINE_8BIT, JPEG_LS_LOSSLESS, JPEG_2000_LOSSLESS, RLE_LOSSLESS)


def native(*, frames: int = 1, samples: int = 1, bits: int = 8, uid: str = "1.2.3") -> Dataset:
    """An image that is not compressed."""
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID, made.PatientName = CT, uid, "A"
    made.StudyInstanceUID, made.SeriesInstanceUID = "1.2.4", "1.2.5"
    made.Rows, made.Columns, made.SamplesPerPixel, made.PixelRepresentation = ROWS, COLUMNS, samples, 0
    made.BitsAllocated, made.BitsStored, made.HighBit = bits, bits, bits - 1
    made.PhotometricInterpretation = "MONOCHROME2" if samples == 1 else "RGB"
    if samples > 1:
        made.PlanarConfiguration = 0
    if frames > 1:
        made.NumberOfFrames = frames
    pixels = np.arange(frames * ROWS * COLUMNS * samples) % 200
    made.PixelData = pixels.astype(f"<u{bits // 8}").tobytes()
    made["PixelData"].VR = "OB" if bits == 8 else "OW"
    labelled(made, EXPLICIT)
    return made


def labelled(made: Dataset, transfer_syntax: str) -> None:
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID


def image(transfer_syntax: str, **options: Any) -> Dataset:
    """An image that is compressed."""
    made = native(**options)
    if transfer_syntax == JPEG_BASELINE_8BIT:
        replace_frames(made, [_jpeg(made)] * int(made.get("NumberOfFrames", 1)))
        if made.SamplesPerPixel == 3:
            made.PhotometricInterpretation = "YBR_FULL_422"
        labelled(made, transfer_syntax)
    else:
        made.compress(UID(transfer_syntax), generate_instance_uid=False)
    return made


def _jpeg(made: Dataset) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    shape = (ROWS, COLUMNS) if made.SamplesPerPixel == 1 else (ROWS, COLUMNS, 3)
    pixels = np.frombuffer(made.PixelData, "u1")[: int(np.prod(shape))]
    Image.fromarray(pixels.reshape(shape)).save(buffer, "JPEG")
    return buffer.getvalue()


def codestream(made: Dataset) -> bytearray:
    """The first frame."""
    return bytearray(next(pydicom.encaps.generate_frames(made.PixelData, number_of_frames=1)))


def replace_frames(made: Dataset, frames: list[bytes]) -> Dataset:
    made.PixelData = encapsulate(frames)
    made["PixelData"].VR = "OB"
    made["PixelData"].is_undefined_length = True
    return made


def says(stream: bytearray, marker: bytes, offset: int, value: bytes) -> bytes:
    """A code stream with another value behind a marker, `offset` bytes from where that begins."""
    start = stream.index(marker) + offset
    return bytes(stream[:start] + value + stream[start + len(value) :])
