"""`dcmnet storescp`: receive DICOM objects and store them as files.

Every association is served, as they come, side by side. An object is answered for when its file has its name;
until then nobody sees it.
"""

from __future__ import annotations

import os

from dcmnet._records import replace
from dcmnet.cli import families, tls_options
from dcmnet.cli.options import (
    Arguments,
    Choice,
    Integer,
    InvalidValue,
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

LONGEST_EXTENSION = 128
"""Together with modality, UID and a number behind it a file name stays below 255 bytes."""


class Extension:
    """What file names end in; no part of a path."""

    def convert(self, text: str) -> str:
        """The text as it is."""
        if not text.isprintable() or any(sign in text for sign in '/\\:*?"<>|'):
            raise InvalidValue("a file name cannot hold that")
        if len(os.fsencode(text)) > LONGEST_EXTENSION:
            raise InvalidValue(f"longer than {LONGEST_EXTENSION} bytes")
        return text

    def describe(self) -> str:
        """Nothing: the metavar says it."""
        return ""


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
    (Parameter("port", "TCP port to listen on, 0 for a free one", kind=Integer(0, 65535)),),
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
                Option(
                    "",
                    "--check-aetitle",
                    (),
                    "reject who calls another title than --aetitle",
                    beyond_dcmtk=True,
                ),
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
                Option("-pm", "--promiscuous", (), "accept SOP classes that are not known as well"),
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
            "output options",
            (
                Option(
                    "-od", "--output-directory", ("directory",), "where the files go; must exist", default="."
                ),
                Option(
                    "-uf",
                    "--default-filenames",
                    (),
                    "name files by modality and SOP Instance UID",
                    dest="names",
                    const="default",
                    default="default",
                    group="names",
                ),
                Option(
                    "+uf",
                    "--unique-filenames",
                    (),
                    "name files by modality and a new UID each",
                    dest="names",
                    const="unique",
                    group="names",
                ),
                Option(
                    "-tn",
                    "--timenames",
                    (),
                    "name files by time and modality",
                    conflicts_with=("--unique-filenames",),
                ),
                Option(
                    "-fe",
                    "--filename-extension",
                    ("extension",),
                    "let file names end in this",
                    kind=(Extension(),),
                    default="",
                ),
                Option("", "--ignore", (), "receive and answer, but store nothing"),
                Option(
                    "",
                    "--on-duplicate",
                    ("action",),
                    "what to do where a file of that name exists",
                    kind=Choice(
                        ("replace", "keep", "rename", "refuse"),
                        "Invalid value for option --on-duplicate",
                    ),
                    default="replace",
                    beyond_dcmtk=True,
                ),
                Option(
                    "",
                    "--fsync",
                    (),
                    "have each file on the disk before answering for it",
                    beyond_dcmtk=True,
                ),
            ),
        ),
        tls_options.acceptor_tls(),
        families.json_reporting(),
    ),
    exit_codes=(
        ("0", "ended by SIGINT (Ctrl-C) or SIGTERM"),
        ("1", "a mistake on the command line; the directory or the port cannot be used"),
        ("70", "with --workers: the process that shares connections out was killed"),
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
    from dcmnet.cli.serving import serve  # the network, which --help does without

    return serve(arguments)
