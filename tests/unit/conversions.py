"""Conversions of files in tests: what is behind the File Meta Information, in the transfer syntax it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

from pydicom.filereader import _read_file_meta_info, read_preamble

from dcmnet.dataset import convert
from dcmnet.dataset.layout import Layout
from dcmnet.dataset.transcoder import transcode


def own_part(source: str | Path | BinaryIO) -> tuple[bytes, str]:
    """The encoded data set of a file, and its transfer syntax."""
    if isinstance(source, str | Path):
        with open(source, "rb") as file:
            return own_part(file)
    read_preamble(source, force=True)
    own = str(_read_file_meta_info(source).TransferSyntaxUID)
    return source.read(), own


def convert_file(source: str | Path | BinaryIO, target: str, *, name: str, **options: Any) -> bytes:
    data, own = own_part(source)
    return convert(data, own, target, name=name, **options)


def encode_anew(
    source: str | Path, target: str | None, layout: Layout, *, name: str, before: int = 0
) -> bytes:
    data, own = own_part(source)
    limit = 1 << 30
    return transcode(data, own, target or own, layout, name=name, max_inflated_length=limit, before=before)
