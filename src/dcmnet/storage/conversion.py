"""Conversion of received objects, where it is asked for.

The converted object is complete in a hidden file of its own before it takes the place of what was received.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dcmnet._records import dataclass
from dcmnet.dataset.layout import Layout, encode_anew
from dcmnet.errors import InputFileError, LimitExceeded, StatusError
from dcmnet.registry.statuses import CANNOT_UNDERSTAND, OUT_OF_RESOURCES
from dcmnet.storage.files import PartialFile

if TYPE_CHECKING:
    from dcmnet.storage.scp import FileStore, StoreRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """What received objects are converted to.

    Each is encoded again, with all of it in memory: its values stay as they are. One that cannot be is not
    kept, and the sender is told so: C000, or A700 if that would take more memory or time than the
    limits allow.

    Attributes:
        transfer_syntax: UID of the one they get, an uncompressed or deflated one; None for the one that they
            came in. Compressed objects are decompressed, which needs `dcmnet[codecs]`.
        layout: What they look like.
    """

    transfer_syntax: str | None = None
    layout: Layout = Layout()


def convert(store: FileStore, request: StoreRequest, file: PartialFile) -> PartialFile:
    """Convert an object that is complete in `file`.

    Returns:
        The file it is in now, hidden as well. The old one is gone.

    Raises:
        StatusError: It cannot be converted.
        OSError: A file could not be read or written.
    """
    assert store.conversion is not None
    conversion = store.conversion
    syntax = conversion.transfer_syntax or request.transfer_syntax
    header = store.header(request, syntax) if store.file_meta else b""
    file.finish(fsync=False)
    try:
        name = f"object {request.sop_instance_uid}"
        own = request.transfer_syntax, file.header_length
        encoded = encode_anew(file.name, syntax, conversion.layout, name=name, before=len(header), own=own)
    except LimitExceeded as error:
        store.report(str(error), None)
        raise StatusError(OUT_OF_RESOURCES, "converting the object takes too much memory or time") from error
    except InputFileError as error:
        store.report(str(error), None)
        raise StatusError(CANNOT_UNDERSTAND, "the object cannot be converted") from error
    converted = PartialFile(store.directory, header)
    converted.write([encoded])
    file.discard()
    return converted
