"""What the output options ask for, as parameters of a store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from dcmnet.cli.options import Arguments
from dcmnet.registry.transfer_syntaxes import (
    ALL,
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from dcmnet.storage.files import Duplicates
from dcmnet.storage.naming import (
    Lock,
    Namer,
    SystemTimeNames,
    TimeNames,
    default_name,
    short_unique_name,
    unique_name,
    with_extension,
)

if TYPE_CHECKING:
    from dcmnet.storage.conversion import Conversion
    from dcmnet.storage.studies import Studies

_TRANSFER_SYNTAXES = {
    "same": None,
    "little": EXPLICIT_VR_LITTLE_ENDIAN,
    "big": EXPLICIT_VR_BIG_ENDIAN,
    "implicit": IMPLICIT_VR_LITTLE_ENDIAN,
    "deflated": DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
}
_CHANGES = (
    "--write-xfer-little",
    "--write-xfer-big",
    "--write-xfer-implicit",
    "--write-xfer-deflated",
    "--group-length-recalc",
    "--group-length-create",
    "--group-length-remove",
    "--length-explicit",
    "--length-undefined",
    "--padding-off",
    "--padding-create",
    "--disable-new-vr",
    "--convert-un",
)
"""Options that ask for another encoding; the others say that it stays as it is."""


def conversion_asked_for(arguments: Arguments) -> Conversion | None:
    """What received objects are to be converted to; None where they are to be stored as they come."""
    if not any(option in arguments for option in _CHANGES):
        return None
    from dcmnet.dataset import Encoding
    from dcmnet.dataset.layout import GroupLengths, Layout  # few runs convert
    from dcmnet.storage.conversion import Conversion

    new_vr = "--disable-new-vr" not in arguments
    layout = Layout(
        group_lengths=GroupLengths(arguments.group_lengths or "recalculate"),
        explicit_lengths=arguments.lengths != "undefined",
        padding=arguments.padding or (0, 0),
        known_vrs=arguments.known_vrs,
        encoding=Encoding(compression_level=arguments.compression_level, new_vr=new_vr),
    )
    return Conversion(transfer_syntax=_TRANSFER_SYNTAXES[arguments.write_transfer_syntax], layout=layout)


def storable_transfer_syntaxes(arguments: Arguments) -> tuple[str, ...]:
    """The transfer syntaxes of objects that can be stored as asked for: all, or all that can be converted."""
    if arguments.write_transfer_syntax == "same":
        return ALL
    from dcmnet.dataset import CONVERTIBLE
    from dcmnet.dataset.decoding import decoders

    usable = {*CONVERTIBLE, *(uid for uid, installed in decoders() if installed)}
    return tuple(uid for uid in ALL if uid in usable)


def new_namer(arguments: Arguments, lock: Lock, now: Callable[[], datetime] = datetime.now) -> Namer:
    """What names the files."""
    namers: dict[str, Namer] = {
        "default": default_name,
        "unique": unique_name,
        "short": short_unique_name,
        "system-time": SystemTimeNames(now),
    }
    namer = TimeNames(now, lock) if names_by_time(arguments) else namers[arguments.names]
    return with_extension(namer, arguments.filename_extension)


def names_by_time(arguments: Arguments) -> bool:
    """Whether `-tn` was given."""
    return bool(getattr(arguments, "timenames", False))


def duplicates_of(arguments: Arguments) -> Duplicates:
    """What happens when a name is taken."""
    by_time = names_by_time(arguments) or arguments.names == "system-time"
    if by_time and "--on-duplicate" not in arguments:
        return Duplicates.RENAME  # such a name says nothing about the object: it must not replace another one
    return Duplicates(arguments.on_duplicate)


def new_studies(
    arguments: Arguments, lock: Lock, now: Callable[[], datetime] = datetime.now
) -> Studies | None:
    """What sorts objects into a folder a study; None where nothing does."""
    from dcmnet.storage.studies import Studies, by_patient_name, by_time, by_uid

    if "--sort-on-patientname" in arguments:
        return Studies(by_patient_name(now), lock)
    if "--sort-conc-studies" in arguments:
        return Studies(by_time(arguments.sort_conc_studies, now), lock)
    if "--sort-on-study-uid" in arguments:
        return Studies(by_uid(arguments.sort_on_study_uid), lock)
    return None
