"""`dcmnet dcmrecv`: receive DICOM objects, as an association negotiation profile allows it."""

from __future__ import annotations

from dcmnet._records import replace
from dcmnet.cli import families, output_options, tls_options
from dcmnet.cli.options import Arguments, Integer, Option, Parameter, Section, Tool
from dcmnet.cli.running import run_tool
from dcmnet.limits import MAX_ASSOCIATIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_SOCKET_TIMEOUT = 60

TOOL = Tool(
    "dcmrecv",
    "simple DICOM storage SCP (receiver)",
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
                families.config_file(),
                Option(
                    "",
                    "--accept-all",
                    (),
                    "accept every storage class in every transfer syntax, without a profile",
                    conflicts_with=("--config-file",),
                    beyond_dcmtk=True,
                ),
                replace(families.own_ae_title("DCMRECV"), group="title"),
                families.check_ae_title(),
                Option(
                    "-uca",
                    "--use-called-aetitle",
                    (),
                    "answer to whatever title is called",
                    group="title",
                    default_text="",
                    conflicts_with=("--check-aetitle",),
                ),
                families.acse_timeout(),
                replace(families.dimse_timeout(), default_text=f"{_SOCKET_TIMEOUT}"),
                families.max_pdu(),
                families.max_window(),
                families.disable_host_lookup(),
            ),
        ),
        Section(
            "output options",
            (
                output_options.directory(),
                Option(
                    "-s",
                    "--no-subdir",
                    (),
                    "all files in that directory",
                    dest="series_date_subdir",
                    const=False,
                    default=False,
                    group="subdir",
                ),
                Option(
                    "+ssd",
                    "--series-date-subdir",
                    (),
                    "a folder for each Series Date: data/2026/01/31",
                    group="subdir",
                    default=False,
                ),
                output_options.name(
                    "default",
                    "+fd",
                    "--default-filenames",
                    "name files by modality and SOP Instance UID",
                    default=True,
                ),
                output_options.name(
                    "unique", "+fu", "--unique-filenames", "name files by modality and a new UID each"
                ),
                output_options.name(
                    "short", "+fsu", "--short-unique-names", "name files by modality and a random number"
                ),
                output_options.name(
                    "system-time", "+fst", "--system-time-names", "name files by time and modality"
                ),
                output_options.extension(),
                *output_options.storage_mode(),
                output_options.ignore(),
                *output_options.safe_storing(),
            ),
        ),
        tls_options.acceptor_tls(),
        families.json_reporting(),
    ),
    exit_codes=(
        ("0", "ended by SIGINT (Ctrl-C) or SIGTERM"),
        ("1", "a mistake on the command line"),
        ("45", "the output directory cannot be used"),
        ("64", "the port cannot be had"),
        ("66", "the association negotiation profile cannot be used"),
    ),
    notes=(
        "Without -xf or --accept-all it answers C-ECHO and accepts no objects. An association without an "
        "acceptable presentation context is rejected.",
        "It listens on every address of this computer, as DCMTK's tool does: whoever can reach it can store "
        "files. --bind 127.0.0.1 keeps it to this computer.",
    ),
)


def run(argv: Sequence[str]) -> int:
    """Run the tool; returns its exit code."""
    return run_tool(TOOL, argv, _work)


def _work(arguments: Arguments) -> int:
    from dcmnet.cli.dcmrecv_serving import DCMRECV  # the network, which --help does without
    from dcmnet.cli.serving import serve

    arguments.assign("socket_timeout", _SOCKET_TIMEOUT)  # DCMTK's tool has no option for it
    arguments.assign("max_associations", MAX_ASSOCIATIONS)
    arguments.assign("workers", 0)
    return serve(arguments, DCMRECV)
