"""The blocking face of the Storage service: send objects, receive objects into a folder."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from typing import TYPE_CHECKING, Any, Self

from dcmnet import arguments
from dcmnet._net.pacing import pace_of
from dcmnet._net.trace import log_trace
from dcmnet._records import fields
from dcmnet.storage.files import Duplicates, existing_folder
from dcmnet.storage.naming import Namer, Sorter, named_dcm
from dcmnet.storage.report import Report
from dcmnet.storage.scp import FileStore
from dcmnet.storage.scu import Transfer, transfer
from dcmnet.storage.sources import Source, as_sources
from dcmnet.sync.driver import Driver
from dcmnet.sync.server import Server

if TYPE_CHECKING:
    from dcmnet.storage.conversion import Conversion


_SERVER_OPTIONS = tuple(Server.__init__.__kwdefaults__ or ())


class StorageSCU:
    """Sends a list of objects; contexts are worked out from them, over as many associations as they need.

    Args:
        host: Name or address of the peer.
        port: TCP port.
        options: The attributes of `dcmnet.storage.scu.Transfer`: `called`, `calling`, `proposal`, `timeouts`,
            `halt`, `on_result` and the others.

    Raises:
        TypeError: An argument has another type, or is unknown.
        ValueError: A number is out of range, the port is none, or an AE title is none.
    """

    def __init__(self, host: str, port: int, **options: Any) -> None:
        arguments.known(options, (each.name for each in fields(Transfer)), type(self).__name__)
        self.transfer = Transfer(host=host, port=port, **options)
        self.transfer.trace = self.transfer.trace or log_trace()

    def add(self, *sources: Source) -> Self:
        """Add paths, folders, binary file objects or pydicom data sets to what will be sent."""
        self.transfer.sources.extend(sources)
        return self

    def send(self) -> Report:
        """Send everything that was added.

        Returns:
            What came of each object. Look at `report.ok`, or call `report.raise_for_failures()`.

        Raises:
            TransportClosed: There was no connection.
            AssociationRejected: The peer refused.
            DeadlineExceeded: The peer did not answer in time.
        """
        job = self.transfer
        driver = Driver(job.new_core(), family=job.family, pace=pace_of(job.rate))
        return driver.run(transfer(job))


def send(host: str, port: int, sources: Source | Iterable[Source], **options: Any) -> Report:
    """Send objects to a Storage SCP.

    Args:
        host: Name or address of the peer.
        port: TCP port.
        sources: Paths, folders, binary file objects, pydicom data sets: one, or any iterable of them.
        options: As for `StorageSCU`.

    Returns:
        What came of each object.

    Raises:
        TransportClosed: There was no connection.
        AssociationRejected: The peer refused.
        DeadlineExceeded: The peer did not answer in time.
    """
    return StorageSCU(host, port, **options).add(*as_sources(sources)).send()


class StorageSCP(Server):
    """A server that keeps what it receives in a folder.

    Args:
        directory: Where files go; must exist.
        ae_title: The server's AE title.
        namer: Names the files; `CT.<SOP Instance UID>.dcm` and the like unless given.
        sorter: Names the folder below `directory` that an object goes into; none unless given.
        conversion: What objects are converted to; they are kept byte for byte unless given.
        file_meta: Whether files begin with File Meta Information, or are bare data sets.
        duplicates: What happens when a name is taken.
        fsync: Whether a file must be on the disk before it is answered for.
        options: As for `Server`.

    Raises:
        TypeError: An argument has another type, or is unknown.
        ValueError: A number is out of range, or an AE title is none.
        OSError: The folder does not exist.
    """

    def __init__(
        self,
        directory: str | PathLike[str],
        ae_title: str = "DCMNET",
        *,
        namer: Namer | None = None,
        sorter: Sorter | None = None,
        conversion: Conversion | None = None,
        file_meta: bool = True,
        duplicates: Duplicates = Duplicates.REPLACE,
        fsync: bool = False,
        **options: Any,
    ) -> None:
        arguments.known(options, _SERVER_OPTIONS, type(self).__name__)
        super().__init__(ae_title, **options)
        self.node.store = FileStore(
            directory=existing_folder(directory, "directory"),
            namer=named_dcm if namer is None else namer,
            sorter=sorter,
            conversion=conversion,
            file_meta=file_meta,
            duplicates=duplicates,
            fsync=fsync,
        )
