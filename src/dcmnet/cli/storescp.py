"""`dcmnet storescp`: receive DICOM objects and store them as files.

Every association is served, as they come, side by side. An object is answered for when its file has its name;
until then nobody sees it.
"""

from __future__ import annotations

import os

from dcmnet._records import replace
from dcmnet.cli import families, output_options, tls_options
from dcmnet.cli.options import (
    Arguments,
    Integer,
    Option,
    Parameter,
    Section,
    Tool,
    UsageError,
)
from dcmnet.cli.running import run_tool
from dcmnet.limits import MAX_ASSOCIATIONS, MAX_WORKERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


class Workers:
    """How many worker processes: a number, or `auto`."""

    def convert(self, text: str) -> int:
        """The number; one a processor for `auto`."""
        return available_processors() if text.lower() == "auto" else Integer(0, MAX_WORKERS).convert(text)

    def describe(self) -> str:
        """The range."""
        return f"0..{MAX_WORKERS}, auto"


def available_processors() -> int:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _check_workers(arguments: Arguments) -> None:
    if not hasattr(os, "fork"):
        raise UsageError(
            "this system cannot have worker processes",
            "leave --workers and --fork out: associations are served side by side without them too",
        )
    if arguments.timenames and arguments.on_duplicate != "rename" and "--on-duplicate" in arguments:
        raise UsageError(
            "--timenames with worker processes needs --on-duplicate rename",
            "two of them may receive an object in the same millisecond",
        )


PREFERRED = tuple(
    replace(option, default=None) for option in families.preferred_transfer_syntaxes(accept_all=True)
)

TOOL = Tool(
    "storescp",
    "DICOM storage (C-STORE) SCP",
    (Parameter("port", "TCP port to listen on, 0 for a free one", kind=Integer(0, 65535), unless="--inetd"),),
    (
        families.general_options(verbose_pc=True),
        Section(
            "network options",
            (
                *families.ip_protocol(),
                Option(
                    "",
                    "--bind",
                    ("address",),
                    "listen on this address alone, 127.0.0.1 for this computer",
                    default_text="every address",
                    beyond_dcmtk=True,
                ),
                families.own_ae_title("STORESCP"),
                families.check_ae_title(),
                Option(
                    "",
                    "--max-associations",
                    ("number",),
                    "serve so many at once, and reject the others for now",
                    kind=Integer(1),
                    default=MAX_ASSOCIATIONS,
                ),
                Option(
                    "",
                    "--workers",
                    ("number",),
                    "serve in so many processes behind the one port, auto: one a processor",
                    kind=(Workers(),),
                    group="processes",
                    default=0,
                    default_text="none, serve in this process",
                    beyond_dcmtk=True,
                    check=_check_workers,
                ),
                Option(
                    "",
                    "--fork",
                    (),
                    "as --workers auto",
                    dest="workers",
                    const=available_processors(),
                    group="processes",
                    default=0,
                    check=_check_workers,
                ),
                Option(
                    "",
                    "--single-process",
                    (),
                    "serve in this process, associations still side by side",
                    dest="workers",
                    const=0,
                    group="processes",
                    default=0,
                ),
                Option(
                    "-id",
                    "--inetd",
                    (),
                    "serve the one association whose connection is standard input, then end",
                    conflicts_with=("--fork", "--workers", "--enable-tls"),
                ),
                *families.access_control(),
                families.disable_host_lookup(),
                Option("-pm", "--promiscuous", (), "accept SOP classes that are not known as well"),
                Option("-up", "--uid-padding", (), "take UIDs padded with blanks, as is done anyway"),
                families.socket_timeout(),
                families.acse_timeout(),
                replace(families.dimse_timeout(), default_text="as --socket-timeout"),
                families.max_pdu(),
                families.max_window(),
            ),
        ),
        Section(
            "accepted transfer syntaxes (without any: all, in the order in which the peer proposes them)",
            (
                *PREFERRED,
                families.config_file(
                    (*(each.long for each in PREFERRED if each.short != "+x="), "--promiscuous")
                ),
            ),
        ),
        Section(
            "output options (without any: every data set byte for byte as it came)",
            (
                output_options.directory(),
                *output_options.storage_mode(),
                *output_options.conversions(),
                *output_options.unknown_values(),
                *output_options.sorting(),
                output_options.name(
                    "default",
                    "-uf",
                    "--default-filenames",
                    "name files by modality and SOP Instance UID",
                    default=True,
                ),
                output_options.name(
                    "unique", "+uf", "--unique-filenames", "name files by modality and a new UID each"
                ),
                Option(
                    "-tn",
                    "--timenames",
                    (),
                    "name files by time and modality",
                    conflicts_with=("--unique-filenames",),
                ),
                output_options.extension(),
                output_options.ignore(),
                *output_options.safe_storing(),
            ),
        ),
        Section("event options", output_options.events()),
        Section("options for testing the peer", output_options.faults()),
        tls_options.acceptor_tls(),
        families.json_reporting(),
    ),
    exit_codes=(
        ("0", "ended by SIGINT (Ctrl-C) or SIGTERM"),
        ("1", "a mistake on the command line; the directory or the port cannot be used"),
        ("70", "with --workers: the process that shares connections out was killed"),
        ("99", "with --inetd: standard input is no connection"),
    ),
    notes=(
        "It listens on every address of this computer, as DCMTK's tool does: whoever can reach it can store "
        "files. --bind 127.0.0.1 keeps it to this computer.",
        "SIGINT or SIGTERM ends it: no new associations, 30 seconds for those under way. A second signal "
        "ends it at once.",
    ),
)


def run(argv: Sequence[str]) -> int:
    """Run the tool; returns its exit code."""
    return run_tool(TOOL, argv, _work)


def _work(arguments: Arguments) -> int:
    from dcmnet.cli.serving import STORESCP, serve  # the network, which --help does without

    return serve(arguments, STORESCP)
