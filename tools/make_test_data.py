"""Make one small object for each way to encode a data set, for the tests.

    python tools/make_test_data.py folder

Tests import `make_test_data` and have the files written into a folder of their own.
"""

from __future__ import annotations

import io
import sys
import uuid
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

SIZE = 64
SECONDARY_CAPTURE_IMAGE = "1.2.840.10008.5.1.4.1.1.7"

Pixels = npt.NDArray[np.uint8]


def uid(name: str) -> UID:
    """A UID under 2.25 (PS3.5 B.2) that depends on the name alone."""
    return UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_DNS, f'{name}.test.dcmnet.invalid').int}")


def picture() -> Pixels:
    """A soft disc on a ramp, 8 bits grey."""
    axis = np.linspace(-1.0, 1.0, SIZE)
    x, y = np.meshgrid(axis, axis)
    disc = np.clip((0.7 - np.hypot(x, y)) * 8, 0, 1)
    return np.round(60 + 50 * x + 120 * disc).clip(0, 255).astype(np.uint8)


def image(name: str) -> Dataset:
    """A Secondary Capture image without its pixels, with sequences of both kinds before its Study UID."""
    referenced = Dataset()
    referenced.ReferencedSOPClassUID = UID(SECONDARY_CAPTURE_IMAGE)
    referenced.ReferencedSOPInstanceUID = uid("reference")
    procedure = Dataset()
    procedure.CodeValue, procedure.CodingSchemeDesignator, procedure.CodeMeaning = (
        "P5-00000",
        "99TEST",
        "Drawing",
    )
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.SOPClassUID, ds.SOPInstanceUID = UID(SECONDARY_CAPTURE_IMAGE), uid(name)
    ds.StudyDate = ds.ContentDate = "20250616"
    ds.StudyTime = ds.ContentTime = "100000"
    ds.AccessionNumber = "TEST1"
    ds.Modality, ds.ConversionType = "OT", "SYN"
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = name
    ds.SourceImageSequence = [referenced]
    ds["SourceImageSequence"].is_undefined_length = True
    ds.ProcedureCodeSequence = [procedure]
    ds.PatientName, ds.PatientID = "TEST^DCMNET", "DCMNET-TEST"
    ds.PatientBirthDate, ds.PatientSex = "19700101", "O"
    ds.BodyPartExamined = "CHEST"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid("study"), uid("series")
    ds.StudyID, ds.SeriesNumber, ds.InstanceNumber = "1", 1, 1
    ds.PatientOrientation = ""
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = SIZE, SIZE
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    return ds


def with_native_pixels(name: str, byte_order: str) -> Dataset:
    """The image with 16 bits a pixel in the byte order ("<" or ">") of its transfer syntax."""
    ds = image(name)
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.PixelData = (picture().astype(np.uint16) << 4).astype(f"{byte_order}u2").tobytes()
    ds["PixelData"].VR = "OW"
    return ds


def with_frame(name: str, stream: bytes) -> Dataset:
    """The image with one encapsulated frame (PS3.5 A.4)."""
    ds = image(name)
    ds.PixelData = encapsulate([stream])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return ds


def jpeg_baseline(name: str) -> Dataset:
    stream = io.BytesIO()
    Image.fromarray(picture()).save(stream, "JPEG", quality=90)
    ds = with_frame(name, stream.getvalue())
    ds.LossyImageCompression, ds.LossyImageCompressionMethod = "01", "ISO_10918_1"
    ds.LossyImageCompressionRatio = round(SIZE * SIZE / len(stream.getvalue()), 2)
    return ds


def jpeg_2000(name: str) -> Dataset:
    stream = io.BytesIO()
    # PS3.5 8.2.4: the codestream alone, without the boxes of a JP2 file.
    Image.fromarray(picture()).save(stream, "JPEG2000", irreversible=False, no_jp2=True)
    return with_frame(name, stream.getvalue())


def rle(name: str) -> Dataset:
    ds = image(name)
    ds.compress(RLELossless, picture(), encoding_plugin="pydicom", generate_instance_uid=False)
    return ds


def save(ds: Dataset, path: Path, transfer_syntax: UID) -> None:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.FileMetaInformationVersion = b"\x00\x01"
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = transfer_syntax
    ds.file_meta.ImplementationClassUID = uid("implementation")
    ds.file_meta.ImplementationVersionName = "DCMNET_TEST"
    ds.save_as(path, enforce_file_format=True)


def make_test_data(folder: Path) -> dict[str, Path]:
    """Write one file for each encoding into a folder.

    Returns:
        The path of each file, by a short name of its encoding.
    """
    objects: dict[str, tuple[Dataset, UID]] = {
        "explicit_little": (with_native_pixels("explicit-little", "<"), ExplicitVRLittleEndian),
        "implicit_little": (with_native_pixels("implicit-little", "<"), ImplicitVRLittleEndian),
        "explicit_big": (with_native_pixels("explicit-big", ">"), ExplicitVRBigEndian),
        "deflated": (with_native_pixels("deflated", "<"), DeflatedExplicitVRLittleEndian),
        "rle": (rle("rle"), RLELossless),
        "jpeg_baseline": (jpeg_baseline("jpeg-baseline"), JPEGBaseline8Bit),
        "jpeg_2000_lossless": (jpeg_2000("jpeg-2000-lossless"), JPEG2000Lossless),
    }
    folder.mkdir(parents=True, exist_ok=True)
    paths: dict[str, Path] = {}
    for name, (ds, transfer_syntax) in objects.items():
        paths[name] = folder / f"{name}.dcm"
        save(ds, paths[name], transfer_syntax)
    return paths


if __name__ == "__main__":
    for made in make_test_data(Path(sys.argv[1])).values():
        print(f"{made}: {made.stat().st_size} bytes")
