"""Received files, encoded anew: lengths of sequences, group lengths and padding as they are asked for."""

from __future__ import annotations

from os import PathLike

from dcmnet.dataset import read_encoded
from dcmnet.dataset.quiet import quietly
from dcmnet.dataset.transcoder import transcode
from dcmnet.dataset.writer import GroupLengths, Layout
from dcmnet.limits import MAX_INFLATED_LENGTH

__all__ = ["GroupLengths", "Layout", "encode_anew"]


@quietly
def encode_anew(
    source: str | PathLike[str],
    transfer_syntax: str | None,
    layout: Layout,
    *,
    name: str,
    before: int = 0,
    own: tuple[str, int] | None = None,
) -> bytes:
    """The data set of a file, encoded again. All of it is in memory, before and after.

    Args:
        source: The file.
        transfer_syntax: UID of the one to encode in; None for the one that it is in.
        layout: What it will look like.
        name: What to call the file in an error.
        before: Length of what will stand before the data set in the new file, which padding counts.
        own: The transfer syntax that it is in, and where its data set begins; None if its File Meta
            Information says so.

    Raises:
        InputFileError: It is truncated, too large, or cannot be converted.
        OSError: It cannot be read.
    """
    with open(source, "rb") as file:
        data, syntax = read_encoded(file, name, own)
    target = transfer_syntax or syntax
    limit = MAX_INFLATED_LENGTH
    return transcode(data, syntax, target, layout, name=name, max_inflated_length=limit, before=before)
