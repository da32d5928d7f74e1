"""What a DICOMDIR lists (PS3.3 Annex F)."""

from __future__ import annotations

from dcmnet.dataset import read_encoded
from dcmnet.dataset.elements import Allowance, Item, MalformedDataSet, iterate_items, refusal
from dcmnet.dataset.quiet import silently
from dcmnet.dataset.transcoder import inflated
from dcmnet.errors import InputFileError
from dcmnet.limits import MAX_DICOMDIR_ELEMENTS, MAX_DICOMDIR_RECORDS, MAX_INFLATED_DICOMDIR_LENGTH
from dcmnet.registry.transfer_syntaxes import is_big_endian, is_deflated, is_implicit

_RECORDS = 0x00041220
_IN_USE = 0x00041410
_FILE_ID = 0x00041500


@silently
def referenced_files(path: str) -> list[tuple[str, ...]]:
    """The File IDs that a DICOMDIR lists, in its order, without records that are not in use (PS3.3 F.3).

    Raises:
        InputFileError: It is no DICOMDIR.
    """
    try:
        with open(path, "rb") as file:
            data, syntax = read_encoded(file, path)
    except OSError as error:
        raise InputFileError(path, f"cannot be read as a DICOMDIR: {error.strerror or error}") from error
    except ValueError:
        raise InputFileError(path, "cannot be read as a DICOMDIR: it is no DICOM file") from None
    allowance = Allowance(MAX_DICOMDIR_ELEMENTS, MAX_DICOMDIR_RECORDS)
    if is_deflated(syntax):
        data = inflated(data, path, MAX_INFLATED_DICOMDIR_LENGTH)
        allowance = Allowance()
    implicit, little = is_implicit(syntax), not is_big_endian(syntax)
    records = iterate_items(data, _RECORDS, implicit=implicit, little=little, allowance=allowance)
    found = None
    try:
        for record in records:
            found = [] if found is None else found
            if file_id := _file_id(record):
                found.append(file_id)
    except MalformedDataSet as error:
        raise refusal(path, error, "cannot be read as a DICOMDIR: it ") from None
    if found is None:
        raise InputFileError(path, "is no DICOMDIR: it has no Directory Record Sequence (0004,1220)")
    return found


def _file_id(record: Item) -> tuple[str, ...]:
    values = {element.tag: bytes(element.value) for element in record.elements}
    # PS3.3 F.3.2.2: a Record In-use Flag of 0 says that the record is not in use.
    if values.get(_IN_USE) == b"\0\0":
        return ()
    value = values.get(_FILE_ID, b"")
    return tuple(part.strip(" \0") for part in value.decode("latin-1").split("\\")) if value else ()
