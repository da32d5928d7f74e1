"""Make the sample study that is part of the package: src/dcmnet/sample/*.dcm.

One study of a fictitious patient, DEMO^DCMNET: three CT slices of a chest and an Enhanced SR that refers to
one of them (Explicit VR Little Endian), an MR slice of a head (Implicit VR Little Endian), and a Secondary
Capture in colour (JPEG Baseline). Nothing else may be in the folder: tools are pointed at it.

Everything in it is drawn or written here; no patient, scanner or hospital is behind it. The same versions of
numpy, Pillow and pydicom give the same files, byte for byte.

    python tools/make_sample_study.py [folder]
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
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit

TARGET = Path(__file__).resolve().parent.parent / "src" / "dcmnet" / "sample"

CT_SIZE = 192
MR_SIZE = 160
CT_SLICES = 3

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
SECONDARY_CAPTURE_IMAGE = "1.2.840.10008.5.1.4.1.1.7"
ENHANCED_SR = "1.2.840.10008.5.1.4.1.1.88.22"

Plane = npt.NDArray[np.float64]


def uid(name: str) -> UID:
    """A UID under 2.25 (PS3.5 B.2) that depends on the name alone."""
    return UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_DNS, f'{name}.sample.dcmnet.invalid').int}")


# --- Pictures -----------------------------------------------------------------------------------------------


def grid(size: int) -> tuple[Plane, Plane]:
    """Coordinates from -1 to 1 to the patient's left and to the back."""
    axis = np.linspace(-1.0, 1.0, size)
    x, y = np.meshgrid(axis, axis)
    return x, y


def ellipse(size: int, centre: tuple[float, float], radii: tuple[float, float]) -> Plane:
    """1 inside the ellipse, 0 outside, with a soft edge of about one pixel."""
    x, y = grid(size)
    distance = np.hypot((x - centre[0]) / radii[0], (y - centre[1]) / radii[1])
    edge = 2.0 / size / min(radii)
    return np.asarray(np.clip((1.0 - distance) / edge + 0.5, 0.0, 1.0), dtype=np.float64)


def smooth_noise(size: int, seed: int, passes: int) -> Plane:
    """Noise with a standard deviation of 1, smoothed over neighbours."""
    noise = np.random.default_rng(seed).standard_normal((size, size))
    for _ in range(passes):
        for axis in (0, 1):
            noise = (np.roll(noise, 1, axis) + 2 * noise + np.roll(noise, -1, axis)) / 4
    return np.asarray(noise / noise.std(), dtype=np.float64)


def paint(canvas: Plane, mask: Plane, value: float | Plane) -> Plane:
    return canvas * (1 - mask) + mask * value


def chest(index: int) -> Plane:
    """A slice through a chest in Hounsfield units: body, lungs, heart, spine, ribs, table."""
    size = CT_SIZE
    lung = 1.0 - 0.12 * index
    hu = np.full((size, size), -1000.0)
    hu = paint(
        hu, ellipse(size, (0, 1.35), (1.1, 0.62)) - ellipse(size, (0, 1.43), (1.1, 0.66)).clip(0, 1), -150
    )
    hu = np.maximum(hu, -1000.0)
    hu = paint(hu, ellipse(size, (0, 0), (0.88, 0.64)), -95)
    hu = paint(hu, ellipse(size, (0, 0), (0.82, 0.58)), 45)
    vessels = -840 + 45 * smooth_noise(size, 100 + index, 4)
    for side in (-1, 1):
        hu = paint(hu, ellipse(size, (side * 0.42, -0.03), (0.31 * lung, 0.43 * lung)), vessels)
        hu = paint(hu, ellipse(size, (side * 0.30, 0.02), (0.035, 0.028)), 60)
    hu = paint(hu, ellipse(size, (0.12, -0.13), (0.27, 0.24 - 0.02 * index)), 52)
    hu = paint(hu, ellipse(size, (0.0, 0.16), (0.055, 0.05)), -950)
    hu = paint(hu, ellipse(size, (0.10, 0.27), (0.06, 0.06)), 130)
    hu = paint(hu, ellipse(size, (0, 0.36), (0.135, 0.115)), 650)
    hu = paint(hu, ellipse(size, (0, 0.36), (0.105, 0.085)), 230)
    hu = paint(hu, ellipse(size, (0, 0.475), (0.05, 0.04)), 20)
    for angle in np.deg2rad((20 + 9 * index, 65, 115, 160 - 9 * index, 215, 325)):
        centre = (0.78 * float(np.cos(angle)), 0.545 * float(np.sin(angle)))
        hu = paint(hu, ellipse(size, centre, (0.05, 0.032)), 520)
    return hu + 11 * smooth_noise(size, index, 1)


def head() -> Plane:
    """A T1-weighted slice through a head, in arbitrary units."""
    size = MR_SIZE
    signal = np.full((size, size), 12.0)
    for centre, radii, value in (
        ((0.0, 0.0), (0.72, 0.90), 760.0),  # scalp
        ((0.0, 0.0), (0.67, 0.85), 70.0),  # skull
        ((0.0, 0.0), (0.61, 0.79), 210.0),  # cerebrospinal fluid
        ((0.0, 0.0), (0.58, 0.76), 430.0),  # grey matter
    ):
        signal = paint(signal, ellipse(size, centre, radii), value)
    x, y = grid(size)
    folds = 0.06 * np.sin(13 * np.arctan2(y, x))
    white = np.clip((0.80 + folds - np.hypot(x / 0.58, y / 0.76)) * 18, 0, 1)
    signal = paint(signal, np.asarray(white, dtype=np.float64), 620.0)
    for side in (-1, 1):
        signal = paint(signal, ellipse(size, (side * 0.12, -0.05), (0.07, 0.26)), 160.0)
        signal = paint(signal, ellipse(size, (side * 0.25, 0.08), (0.08, 0.15)), 470.0)
    signal = paint(signal, ellipse(size, (0, 0), (0.012, 0.74)) * (np.abs(y) > 0.34), 190.0)
    bias = 1.0 + 0.10 * x - 0.06 * y
    return np.asarray(np.clip(signal * bias + 13 * smooth_noise(size, 7, 1), 0, None), dtype=np.float64)


def fusion(hu: Plane) -> bytes:
    """A chest slice in grey with a coloured hot spot over it, as a JPEG Baseline stream."""
    grey = np.clip((hu + 700) / 1100, 0, 1)
    heat = np.exp(-(((grid(CT_SIZE)[0] - 0.14) / 0.16) ** 2) - ((grid(CT_SIZE)[1] + 0.12) / 0.14) ** 2)
    colour = np.stack(
        (np.clip(heat * 2, 0, 1), np.clip(heat * 2 - 0.7, 0, 1), np.clip(heat * 3 - 2.3, 0, 1)), -1
    )
    pixels = np.clip(grey[..., None] * (1 - 0.65 * heat[..., None]) + 0.75 * colour, 0, 1)
    stream = io.BytesIO()
    image = Image.fromarray(np.round(pixels * 255).astype(np.uint8), "RGB")
    image.save(stream, "JPEG", quality=88, subsampling="4:2:2", optimize=False)
    return stream.getvalue()


# --- Attributes ---------------------------------------------------------------------------------------------


def instance(sop_class: str, name: str, modality: str, series: tuple[int, str]) -> Dataset:
    """The attributes that every object of the study shares."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.InstanceCreationDate, ds.InstanceCreationTime = "20250616", "101500"
    ds.SOPClassUID, ds.SOPInstanceUID = UID(sop_class), uid(name)
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = "20250616"
    ds.StudyTime, ds.SeriesTime, ds.ContentTime = "100000", f"10{series[0]:02}00", f"10{series[0]:02}30"
    ds.AccessionNumber = "DEMO0001"
    ds.Modality = modality
    ds.Manufacturer = "dcmnet"
    ds.ManufacturerModelName = "Sample Study"
    ds.SoftwareVersions = "1"
    ds.InstitutionName = "Nowhere Hospital (fictitious)"
    ds.ReferringPhysicianName = "NOBODY^NORA"
    ds.StudyDescription = "dcmnet sample study"
    ds.SeriesDescription = series[1]
    ds.PatientName = "DEMO^DCMNET"
    ds.PatientID = "DCMNET-DEMO"
    ds.PatientBirthDate = "19700101"
    ds.PatientSex = "O"
    ds.PatientAge = "055Y"
    ds.StudyInstanceUID = uid("study")
    ds.SeriesInstanceUID = uid(f"series-{series[0]}")
    ds.StudyID = "1"
    ds.SeriesNumber = series[0]
    ds.InstanceNumber = 1
    return ds


def add_monochrome(ds: Dataset, pixels: npt.NDArray[np.uint16], bits: int) -> None:
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, bits, bits - 1, 0
    ds.PixelData = pixels.astype("<u2").tobytes()
    ds["PixelData"].VR = "OW"


def add_plane(ds: Dataset, spacing: float, thickness: float, height: float) -> None:
    """Where the slice lies in the patient (PS3.3 C.7.6.2)."""
    ds.FrameOfReferenceUID = uid(f"frame-of-reference-{ds.SeriesNumber}")
    ds.PositionReferenceIndicator = ""
    ds.PatientPosition = "HFS"
    ds.SliceThickness = thickness
    ds.PixelSpacing = [spacing, spacing]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    corner = -spacing * (CT_SIZE if ds.Modality == "CT" else MR_SIZE) / 2
    ds.ImagePositionPatient = [corner, corner, height]
    ds.SliceLocation = height


def ct(index: int) -> Dataset:
    ds = instance(CT_IMAGE, f"ct-{index}", "CT", (1, "Chest 5 mm"))
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.InstanceNumber = index + 1
    ds.AcquisitionNumber = 1
    ds.AcquisitionDate, ds.AcquisitionTime = "20250616", "100110"
    ds.BodyPartExamined = "CHEST"
    ds.KVP = 120
    ds.XRayTubeCurrent = 180
    ds.ExposureTime = 500
    ds.ConvolutionKernel = "SOFT"
    ds.DataCollectionDiameter = 500
    ds.ReconstructionDiameter = 384
    ds.PatientOrientation = ["L", "P"]
    add_plane(ds, 2.0, 5.0, -120.0 + 5.0 * index)
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = -1024, 1, "HU"
    ds.WindowCenter, ds.WindowWidth = [40, -500], [400, 1500]
    ds.WindowCenterWidthExplanation = ["SOFT TISSUE", "LUNG"]
    stored = np.clip(np.round(chest(index)) + 1024, 0, 4095).astype(np.uint16)
    add_monochrome(ds, stored, 12)
    return ds


def mr() -> Dataset:
    ds = instance(MR_IMAGE, "mr", "MR", (2, "Head T1"))
    ds.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    ds.AcquisitionNumber = 1
    ds.AcquisitionDate, ds.AcquisitionTime = "20250616", "100210"
    ds.BodyPartExamined = "HEAD"
    ds.ScanningSequence, ds.SequenceVariant, ds.ScanOptions = "SE", "NONE", ""
    ds.MRAcquisitionType = "2D"
    ds.RepetitionTime, ds.EchoTime, ds.EchoTrainLength = 550, 12, 1
    ds.MagneticFieldStrength = 1.5
    ds.FlipAngle = 90
    ds.PatientOrientation = ["L", "P"]
    add_plane(ds, 1.5, 5.0, 40.0)
    ds.WindowCenter, ds.WindowWidth = 400, 800
    add_monochrome(ds, np.clip(np.round(head()), 0, 4095).astype(np.uint16), 12)
    return ds


def secondary_capture() -> Dataset:
    frame = fusion(chest(1))
    ds = instance(SECONDARY_CAPTURE_IMAGE, "fusion", "OT", (3, "Fused key image"))
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.BodyPartExamined = "CHEST"
    ds.ConversionType = "SYN"
    ds.DateOfSecondaryCapture, ds.TimeOfSecondaryCapture = "20250616", "100330"
    ds.PatientOrientation = ["L", "P"]
    ds.BurnedInAnnotation = "NO"
    ds.SamplesPerPixel = 3
    # PS3.5 8.2.1: lossy JPEG of a colour image is in YCbCr, here with half the columns of colour.
    ds.PhotometricInterpretation = "YBR_FULL_422"
    ds.PlanarConfiguration = 0
    ds.Rows, ds.Columns = CT_SIZE, CT_SIZE
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.LossyImageCompression = "01"
    ds.LossyImageCompressionRatio = round(3 * CT_SIZE * CT_SIZE / len(frame), 2)
    ds.LossyImageCompressionMethod = "ISO_10918_1"
    ds.PixelData = encapsulate([frame])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return ds


# --- Structured report --------------------------------------------------------------------------------------


def code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def content(relationship: str, value_type: str, concept: Dataset | None, *children: Dataset) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = relationship, value_type
    if concept is not None:
        item.ConceptNameCodeSequence = Sequence([concept])
    if value_type == "CONTAINER":
        item.ContinuityOfContent = "SEPARATE"
    if children:
        item.ContentSequence = Sequence(children)
    return item


def reference(image: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = image.SOPClassUID
    item.ReferencedSOPInstanceUID = image.SOPInstanceUID
    return item


def text(concept: Dataset, value: str, *children: Dataset) -> Dataset:
    item = content("CONTAINS", "TEXT", concept, *children)
    item.TextValue = value
    return item


def evidence(image: Dataset) -> Dataset:
    """The study, series and instance of an image that the report refers to (PS3.3 C.17.2.1)."""
    series = Dataset()
    series.SeriesInstanceUID = image.SeriesInstanceUID
    series.ReferencedSOPSequence = Sequence([reference(image)])
    study = Dataset()
    study.StudyInstanceUID = image.StudyInstanceUID
    study.ReferencedSeriesSequence = Sequence([series])
    return study


def measurement(image: Dataset) -> Dataset:
    item = content("CONTAINS", "NUM", code("103355008", "SCT", "Width"))
    value = Dataset()
    value.MeasurementUnitsCodeSequence = Sequence([code("mm", "UCUM", "mm")])
    value.NumericValue = "315"
    item.MeasuredValueSequence = Sequence([value])
    source = content("INFERRED FROM", "IMAGE", None)
    source.ReferencedSOPSequence = Sequence([reference(image)])
    item.ContentSequence = Sequence([source])
    return item


def observer() -> list[Dataset]:
    """Language and author of the report (PS3.16 TID 1204, 1002, 1003)."""
    language = content(
        "HAS CONCEPT MOD", "CODE", code("121049", "DCM", "Language of Content Item and Descendants")
    )
    language.ConceptCodeSequence = Sequence([code("en", "RFC5646", "English")])
    kind = content("HAS OBS CONTEXT", "CODE", code("121005", "DCM", "Observer Type"))
    kind.ConceptCodeSequence = Sequence([code("121006", "DCM", "Person")])
    person = content("HAS OBS CONTEXT", "PNAME", code("121008", "DCM", "Person Observer Name"))
    person.PersonName = "NOBODY^NORA"
    return [language, kind, person]


def report(image: Dataset) -> Dataset:
    ds = instance(ENHANCED_SR, "report", "SR", (4, "Report"))
    ds.ReferencedPerformedProcedureStepSequence = Sequence([])
    ds.PerformedProcedureCodeSequence = Sequence([])
    ds.CompletionFlag, ds.VerificationFlag = "COMPLETE", "UNVERIFIED"
    ds.CurrentRequestedProcedureEvidenceSequence = Sequence([evidence(image)])
    ds.ValueType = "CONTAINER"
    ds.ContinuityOfContent = "SEPARATE"
    ds.ConceptNameCodeSequence = Sequence([code("126000", "DCM", "Imaging Measurement Report")])
    source = content("INFERRED FROM", "IMAGE", None)
    source.ReferencedSOPSequence = Sequence([reference(image)])
    finding, conclusion = code("121071", "DCM", "Finding"), code("121077", "DCM", "Conclusion")
    ds.ContentSequence = Sequence(
        [
            *observer(),
            content(
                "CONTAINS",
                "CONTAINER",
                code("121070", "DCM", "Findings"),
                text(finding, "Both lungs are ellipses of even density. No focal lesion was drawn.", source),
                text(finding, "The spine is round, the heart lies left of the middle."),
                measurement(image),
            ),
            content(
                "CONTAINS",
                "CONTAINER",
                code("121076", "DCM", "Conclusions"),
                text(conclusion, "A computed phantom without a patient. Fit for tests only."),
            ),
        ]
    )
    return ds


# --- Files --------------------------------------------------------------------------------------------------


def save(ds: Dataset, path: Path, transfer_syntax: UID) -> None:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.FileMetaInformationVersion = b"\x00\x01"
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = transfer_syntax
    ds.file_meta.ImplementationClassUID = uid("implementation")
    ds.file_meta.ImplementationVersionName = "DCMNET_SAMPLE"
    ds.save_as(path, enforce_file_format=True)


def make_sample_study(folder: Path) -> list[Path]:
    """Write the study's files into a folder; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    slices = [ct(index) for index in range(CT_SLICES)]
    files: list[tuple[str, Dataset, UID]] = [
        *((f"ct-{number}.dcm", ds, ExplicitVRLittleEndian) for number, ds in enumerate(slices, 1)),
        ("mr.dcm", mr(), ImplicitVRLittleEndian),
        ("fusion.dcm", secondary_capture(), JPEGBaseline8Bit),
        ("report.dcm", report(slices[1]), ExplicitVRLittleEndian),
    ]
    for name, ds, transfer_syntax in files:
        save(ds, folder / name, transfer_syntax)
    return [folder / name for name, _, _ in files]


if __name__ == "__main__":
    for written in make_sample_study(Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET):
        print(f"{written}: {written.stat().st_size} bytes")
