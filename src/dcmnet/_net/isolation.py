"""Puts the decoder processes into their place in `dcmnet.dataset`; nothing is started or loaded by that."""

from __future__ import annotations

from dcmnet.dataset import isolation
from dcmnet.dataset.isolation import DecodedPixels, DecodingTask


def isolate_decoders() -> None:
    """Have Pixel Data decoded in processes of their own from now on, if any have to be."""
    isolation.use(_decode)


def _decode(task: DecodingTask) -> DecodedPixels:
    from dcmnet._net.decoders import decode  # few programs decode

    return decode(task)
