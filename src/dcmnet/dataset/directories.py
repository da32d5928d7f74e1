"""What a DICOMDIR lists (PS3.3 Annex F)."""

from __future__ import annotations

from typing import Any

from dcmnet.dataset import read
from dcmnet.errors import InputFileError

_FILE_ID = 0x00041500


def referenced_files(path: str) -> list[tuple[str, ...]]:
    """The File IDs that a DICOMDIR lists, in its order, without records that are not in use (PS3.3 F.3).

    Raises:
        InputFileError: It is no DICOMDIR.
    """
    try:
        records = read(path).get("DirectoryRecordSequence")
        found = None if records is None else [_file_id(record) for record in records]
    except Exception as error:  # what a bad file makes pydicom raise depends on where it is bad
        raise InputFileError(path, f"cannot be read as a DICOMDIR: {error}") from error
    if found is None:
        raise InputFileError(path, "is no DICOMDIR: it has no Directory Record Sequence (0004,1220)")
    return list(filter(None, found))


def _file_id(record: Any) -> tuple[str, ...]:
    # PS3.3 F.3.2.2: a Record In-use Flag of 0 says that the record is not in use.
    if _FILE_ID not in record or record.get("RecordInUseFlag", 0xFFFF) == 0:
        return ()
    value = record.get_item(_FILE_ID).value  # its bytes: pydicom would complain about characters
    return tuple(part.strip(" \0") for part in value.decode("latin-1").split("\\")) if value else ()
