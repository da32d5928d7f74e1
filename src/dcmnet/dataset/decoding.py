"""Compressed pixel data, decompressed by pydicom's decoders, which are loaded when the first is asked for.

`decompressed` takes encapsulated Pixel Data out of the elements of a data set and puts native ones in their
place. What a decoder needs of the rest is a handful of numbers, so that is all it gets (`DecodingTask`), in a
process of its own (`dataset.isolation`), where `decode` runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from dcmnet.dataset import DECODABLE
from dcmnet.dataset.codestreams import PixelModule, check_frame
from dcmnet.dataset.elements import Element, MalformedDataSet, shown
from dcmnet.dataset.isolation import (
    DecodedPixels,
    DecodingLimitExceeded,
    DecodingTask,
    UndecodablePixelData,
    chosen,
)
from dcmnet.dataset.level import PIXEL_DATA, Level
from dcmnet.dataset.writer import AS_IT_WAS, write_elements
from dcmnet.limits import MAX_DECOMPRESSED_LENGTH
from dcmnet.payload import Buffer
from dcmnet.registry.transfer_syntaxes import EXPLICIT_VR_LITTLE_ENDIAN, LOSSLESS
from dcmnet.registry.uids import name_of

_SAMPLES, _PHOTOMETRIC, _PLANAR, _FRAMES = 0x00280002, 0x00280004, 0x00280006, 0x00280008
_ROWS, _COLUMNS, _BITS_ALLOCATED, _BITS_STORED = 0x00280010, 0x00280011, 0x00280100, 0x00280101
_HIGH_BIT, _PIXEL_REPRESENTATION = 0x00280102, 0x00280103
# PS3.3 C.7.6.3.1.8: these are about encapsulated Pixel Data
_OF_FRAGMENTS = frozenset((0x7FE00001, 0x7FE00002, 0x7FE00003))
_NEEDED = _OF_FRAGMENTS | {
    _SAMPLES,
    _PHOTOMETRIC,
    _PLANAR,
    _FRAMES,
    _ROWS,
    _COLUMNS,
    _BITS_ALLOCATED,
    _BITS_STORED,
    _HIGH_BIT,
    _PIXEL_REPRESENTATION,
    PIXEL_DATA,
}
_LONGEST_REASON = 200


def decompressed(elements: list[Element], transfer_syntax: str) -> list[Element]:
    """The elements of a compressed data set with native Pixel Data, those of icons in its items too.

    Args:
        elements: All of the data set's; items with compressed Pixel Data get others.
        transfer_syntax: UID of the one that it is in.

    Raises:
        UndecodablePixelData: They contradict the data set, are too long, or no decoder could read them.
    """
    return _Decompression(transfer_syntax).level(elements)


class _Decompression:
    """Of one data set: what its items and itself become is counted together."""

    def __init__(self, transfer_syntax: str) -> None:
        self._transfer_syntax = transfer_syntax
        self._length = 0

    def level(self, elements: list[Element]) -> list[Element]:
        """The elements of the data set, or of an item."""
        for element in elements:
            for item in element.items or ():
                item.elements = self.level(item.elements)
        compressed = any(each.tag == PIXEL_DATA and each.fragments is not None for each in elements)
        return self._decoded(elements) if compressed else elements

    def _decoded(self, elements: list[Element]) -> list[Element]:
        module = pixel_module(elements)
        self._length += module.frame_length * module.frames
        if self._length > MAX_DECOMPRESSED_LENGTH:
            most = MAX_DECOMPRESSED_LENGTH
            raise DecodingLimitExceeded(
                f"has {self._length} bytes of pixel data when decompressed, more than {most}"
            )
        needed = [element for element in elements if element.tag in _NEEDED]
        encoded = write_elements(needed, EXPLICIT_VR_LITTLE_ENDIAN, AS_IT_WAS)
        task = DecodingTask(self._transfer_syntax, module, encoded)
        return _replaced(elements, (chosen() or _decoded_here)(task), module)


def pixel_module(elements: list[Element]) -> PixelModule:
    """What the elements of a data set, or of an item, say of its Pixel Data.

    Raises:
        UndecodablePixelData: Something is missing, or is none that Pixel Data can have.
    """
    level = Level(elements)
    tags = (_ROWS, _COLUMNS, _SAMPLES, _BITS_ALLOCATED)
    rows, columns, samples, bits = (level.number(tag) or 0 for tag in tags)
    for tag, number in zip(tags, (rows, columns, samples, bits), strict=True):
        if not number:
            raise UndecodablePixelData(f"cannot be decompressed: it has no {shown(tag)}")
    if bits % 8 or bits > 64:
        raise UndecodablePixelData(f"cannot be decompressed: {shown(_BITS_ALLOCATED)} says {bits}")
    return PixelModule(rows, columns, samples, bits, _number_of_frames(level))


def _number_of_frames(level: Level) -> int:
    element = level.get(_FRAMES)
    text = b"" if element is None else bytes(element.value[:16]).split(b"\\")[0].strip(b" \0+")
    if text and not text.isdigit():
        raise UndecodablePixelData(f"cannot be decompressed: {shown(_FRAMES)} says no number of frames")
    return int(text or 1) or 1


def _replaced(elements: list[Element], pixels: DecodedPixels, module: PixelModule) -> list[Element]:
    vr = "OB" if module.bits_allocated <= 8 else "OW"  # PS3.5 A.2
    new = [
        Element(PIXEL_DATA, vr, pixels.value),
        Element(_PHOTOMETRIC, "CS", pixels.photometric_interpretation.encode("ascii")),
    ]
    if pixels.planar_configuration is not None:
        new.append(Element(_PLANAR, "US", bytes((pixels.planar_configuration, 0))))
    gone = _OF_FRAGMENTS | {element.tag for element in new}
    return [element for element in elements if element.tag not in gone] + new


# ---------------------------------------------------------------------- where the decoder runs


def _decoded_here(task: DecodingTask) -> DecodedPixels:
    value = bytearray()
    photometric_interpretation, planar_configuration = decode(task, value.extend)
    return DecodedPixels(value, photometric_interpretation, planar_configuration)


def decode(task: DecodingTask, take: Callable[[Buffer], object]) -> tuple[str, int | None]:
    """Check and decompress Pixel Data, frame by frame.

    Args:
        task: What to decompress.
        take: Gets each frame, `frame_length` bytes of it.

    Returns:
        Photometric Interpretation and Planar Configuration of what they are now.

    Raises:
        UndecodablePixelData: A code stream contradicts the data set, or no decoder could read it.
    """
    try:
        data_set = _pydicom_data_set(task)
        _check(data_set, task)
        return _decode(data_set, task, take)
    except MalformedDataSet as error:
        raise UndecodablePixelData(str(error)) from None
    except (UndecodablePixelData, BrokenPipeError):  # nothing takes the frames any more
        raise
    except Exception as error:  # it depends on the decoder
        reason = " ".join(str(error).split())[:_LONGEST_REASON]
        raise UndecodablePixelData(f"cannot be decompressed: {reason or type(error).__name__}") from error


def _pydicom_data_set(task: DecodingTask) -> Any:
    import io

    from dcmnet.dataset.bridge import UID, FileMetaDataset, read_dataset

    data_set = read_dataset(io.BytesIO(task.data_set), is_implicit_VR=False, is_little_endian=True)
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = UID(task.transfer_syntax)
    return data_set


def _check(data_set: Any, task: DecodingTask) -> None:
    """Hold every code stream against the data set, as the decoder will cut them."""
    module, number = task.module, 0
    for number, frame in enumerate(_frames(data_set, module.frames), 1):
        if number > module.frames:
            break
        check_frame(frame, task.transfer_syntax, module, number)
    if number != module.frames:
        found = f"more than {module.frames}" if number > module.frames else number
        raise MalformedDataSet(f"has {found} frames, and {shown(_FRAMES)} says {module.frames}")


def _frames(data_set: Any, number: int) -> Iterator[bytes]:
    from dcmnet.dataset.bridge import generate_frames

    offsets = (data_set.get("ExtendedOffsetTable"), data_set.get("ExtendedOffsetTableLengths"))
    return generate_frames(
        data_set.PixelData, number_of_frames=number, extended_offsets=offsets if all(offsets) else None
    )


def _decode(data_set: Any, task: DecodingTask, take: Callable[[Buffer], object]) -> tuple[str, int | None]:
    from dcmnet.dataset.bridge import get_decoder

    decoder = get_decoder(task.transfer_syntax)
    if not decoder.is_available:
        raise UndecodablePixelData(
            f"is in {name_of(task.transfer_syntax)}, and cannot be decompressed: "
            "there is no decoder for it (pip install 'dcmnet[codecs]' installs one)"
        )
    # A lossless codec gives back what was compressed, whatever its colours; a lossy one's YCbCr few can read.
    as_rgb = task.transfer_syntax not in LOSSLESS
    last: dict[str, Any] = {}
    for array, last in decoder.iter_array(data_set, as_rgb=as_rgb):  # noqa: B007
        take(_frame(array, task.module))
    planar = int(last["planar_configuration"]) if task.module.samples > 1 else None
    return str(last["photometric_interpretation"]), planar


def _frame(array: Any, module: PixelModule) -> bytes:
    """The bytes of a frame; a decoder may give samples of fewer bits than are allocated."""
    width = module.bits_allocated // 8
    if array.dtype.itemsize < width:
        array = array.astype(f"<{array.dtype.kind}{width}")
    frame: bytes = array.tobytes()
    if len(frame) != module.frame_length:
        raise UndecodablePixelData(
            f"has frames of {len(frame)} bytes when decompressed, not {module.frame_length}"
        )
    return frame


def load_decoders() -> None:
    """Load all that `decode` will need."""
    import dcmnet.dataset.bridge  # noqa: F401


def decoders() -> list[tuple[str, bool]]:
    """The transfer syntaxes that can be decompressed in principle, and whether a decoder is installed."""
    from dcmnet.dataset.bridge import get_decoder

    return [(uid, get_decoder(uid).is_available) for uid in DECODABLE]
