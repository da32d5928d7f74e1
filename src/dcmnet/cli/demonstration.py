"""What `dcmnet demo` shows."""

from __future__ import annotations

import shlex
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from importlib import resources
from pathlib import Path

from dcmnet._records import dataclass
from dcmnet.cli.options import Arguments
from dcmnet.cli.progress import readable_length, totals
from dcmnet.cli.running import EXIT_SUCCESS
from dcmnet.errors import DcmnetError
from dcmnet.registry.sop_classes import prefix_of
from dcmnet.registry.uids import name_of
from dcmnet.storage.part10 import read_file_meta
from dcmnet.storage.report import Report
from dcmnet.storage.scp import StoreRequest
from dcmnet.sync.association import connect
from dcmnet.sync.storage import StorageSCP, send

EXIT_FAILED = 1
AE_TITLE = "DEMO"
LOOPBACK = "127.0.0.1"
_PLAIN_WIDTH = 110
_FIRST_PORT_TO_TRY = 11112


@dataclass(frozen=True, slots=True)
class Arrival:
    """One object at its destination.

    Attributes:
        name: The sample file's name.
        prefix: Short code of the modality.
        sop_class: Name of its SOP class.
        transfer_syntax: Name of its transfer syntax.
        size: Bytes of its data set.
        identical: Whether the data set is, byte for byte, the one that was sent.
    """

    name: str
    prefix: str
    sop_class: str
    transfer_syntax: str
    size: int
    identical: bool


def demonstrate(_: Arguments) -> int:
    """Show a transfer; returns the exit code."""
    with ExitStack() as stack:
        sample = stack.enter_context(resources.as_file(resources.files("dcmnet") / "sample"))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dcmnet-demo-")))
        try:
            return _demonstrate(sample, directory)
        except (DcmnetError, OSError) as error:
            sys.stderr.write(f"the demonstration failed: {error}\n")
            return EXIT_FAILED


def _demonstrate(sample: Path, directory: Path) -> int:
    received: dict[str, StoreRequest] = {}
    node = StorageSCP(directory, AE_TITLE, require_called_ae_title=True)
    assert node.node.store is not None
    node.node.store.on_stored = lambda request, _: received.update({request.sop_instance_uid: request})
    with node.start(0, LOOPBACK):
        print(f"A storage node, {AE_TITLE}, listens on {LOOPBACK}:{node.port}.")
        with connect(LOOPBACK, node.port, called=AE_TITLE) as association:
            status = association.echo().status
        print(f"C-ECHO: {'success' if status == 0 else f'status 0x{status:04X}'}.")
        started = time.perf_counter()
        report = send(LOOPBACK, node.port, sorted(sample.glob("*.dcm")), called=AE_TITLE)
        seconds = time.perf_counter() - started
    arrivals = [_arrival(result.name, received.get(result.sop_instance_uid)) for result in report.results]
    _show(arrivals, report, seconds)
    _show_next_steps(sample)
    succeeded = report.ok and arrivals and all(each.identical for each in arrivals) and status == 0
    return EXIT_SUCCESS if succeeded else EXIT_FAILED


def _arrival(name: str, request: StoreRequest | None) -> Arrival:
    if request is None or request.saved_as is None:
        return Arrival(Path(name).name, "", "not received", "", 0, False)
    sent, kept = _data_set(Path(name)), _data_set(request.saved_as)
    return Arrival(
        Path(name).name,
        prefix_of(request.sop_class_uid),
        name_of(request.sop_class_uid),
        name_of(request.transfer_syntax),
        len(kept),
        sent == kept,
    )


def _data_set(path: Path) -> bytes:
    """The bytes of a file behind its File Meta Information."""
    content = path.read_bytes()
    _, offset = read_file_meta(content, str(path))
    return content[offset:]


def _show(arrivals: Sequence[Arrival], report: Report, seconds: float) -> None:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE, pad_edge=False)
    for heading in ("file", "modality", "SOP class", "transfer syntax"):
        table.add_column(heading, overflow="fold")
    table.add_column("bytes", justify="right")
    table.add_column("identical")
    for each in arrivals:
        answer = "[green]yes[/]" if each.identical else "[bold red]no[/]"
        row = (each.name, each.prefix, each.sop_class, each.transfer_syntax, f"{each.size:,}", answer)
        table.add_row(*row)
    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    console.print(table)
    verdict = "all identical" if all(each.identical for each in arrivals) else "not all identical"
    line = totals(report.stored, report.size, seconds, failed=report.failed)
    print(f"{line}, {verdict} ({readable_length(sum(each.size for each in arrivals))} compared).")
    for result in report.results:
        if not result.ok:
            print(f"{result.name}: {result.describe()}")


def _show_next_steps(sample: Path) -> None:
    port = _free_port()
    where = shlex.quote(str(sample))
    dcmnet = _command()
    steps = (
        ("Receive: a storage node that keeps what it gets in ./received", "mkdir -p received"),
        ("", f"{dcmnet} storescp -v --bind {LOOPBACK} -od received {port}"),
        ("In a second terminal: verify it, then send it the sample study", ""),
        ("", f"{dcmnet} echoscu -v {LOOPBACK} {port}"),
        ("", f"{dcmnet} storescu -v +sd {LOOPBACK} {port} {where}"),
        ("Every tool and its options", f"{dcmnet} --help"),
    )
    print("\nTo try it yourself:")
    for text, command in steps:
        if text:
            print(f"\n  {text}:")
        if command:
            print(f"    {command}")


def _command() -> str:
    """What calls this here: a virtual environment that is not activated is not in PATH."""
    if shutil.which("dcmnet"):
        return "dcmnet"
    script = Path(sys.executable).with_name("dcmnet")
    python = shlex.quote(sys.executable)
    return shlex.quote(str(script)) if script.exists() else f"{python} -m dcmnet"


def _free_port() -> int:
    """A port that can be had now: DICOM's own, or any other."""
    for port in (_FIRST_PORT_TO_TRY, 0):
        with socket.socket() as sock:
            try:
                sock.bind((LOOPBACK, port))
            except OSError:
                continue
            found: int = sock.getsockname()[1]
            return found
    return _FIRST_PORT_TO_TRY
