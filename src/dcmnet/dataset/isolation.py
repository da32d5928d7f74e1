"""Where a decoder runs: in a process of its own if a face has put one here, else in this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from dcmnet.dataset.codestreams import PixelModule


class DecodingTask(NamedTuple):
    """Pixel Data to be decompressed, without anything about a patient.

    Attributes:
        transfer_syntax: UID of the one that they are in.
        module: What their data set says of them.
        data_set: Those elements that a decoder needs, in Explicit VR Little Endian.
    """

    transfer_syntax: str
    module: PixelModule
    data_set: bytes


class DecodedPixels(NamedTuple):
    """Pixel Data that are decompressed.

    Attributes:
        value: All frames, one behind the other.
        photometric_interpretation: (0028,0004) that they have now.
        planar_configuration: (0028,0006) that they have now; None when there is one sample per pixel.
    """

    value: bytearray
    photometric_interpretation: str
    planar_configuration: int | None


class UndecodablePixelData(ValueError):
    """They cannot be decompressed; the message is the rest of a sentence that begins with the object."""


class DecodingLimitExceeded(UndecodablePixelData):
    """They are too long, or their decoder took too much time or memory, of which most decoders crash."""


Decode = Callable[[DecodingTask], DecodedPixels]

_chosen: list[Decode] = []


def use(decode: Decode) -> None:
    """Have Pixel Data decoded by this function from now on.

    Args:
        decode: Raises `UndecodablePixelData`.
    """
    _chosen[:] = [decode]


def chosen() -> Decode | None:
    """The function that was put here last; None when there is none."""
    return _chosen[0] if _chosen else None
