"""Objects to be sent without their bulk data (PS3.4 Annex Z)."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Any

from dcmnet import dataset
from dcmnet._records import replace
from dcmnet.dataset import headers
from dcmnet.errors import InputFileError
from dcmnet.storage.sources import Instance, rewound


def header_of(instance: Instance) -> Instance:
    """The same instance without its bulk data, in an uncompressed transfer syntax.

    Raises:
        InputFileError: It cannot be read.
    """
    source = instance.source
    try:
        header = headers.header_of(source) if dataset.is_data_set(source) else _read(instance)
    except OSError as error:
        raise InputFileError(instance.name, f"cannot be read: {error.strerror or error}") from error
    syntax = dataset.transfer_syntax_of(header)
    return replace(instance, source=header, transfer_syntax=syntax, offset=0, size=0, modified=0)


def labelled(header: Instance, transfer_syntax: str) -> Instance:
    """The same header in another transfer syntax that encodes it no differently."""
    header.source.file_meta.TransferSyntaxUID = transfer_syntax  # type: ignore[union-attr]
    return replace(header, transfer_syntax=transfer_syntax)


def _read(instance: Instance) -> Any:
    source = instance.source
    with ExitStack() as stack:
        file = open(source, "rb") if isinstance(source, str | os.PathLike) else rewound(source)
        opened = stack.enter_context(file)
        opened.seek(instance.offset)
        return headers.read_header(opened, instance.transfer_syntax, name=instance.name)
