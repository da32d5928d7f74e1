"""`dcmnet movescu`: have a peer send objects to a third one, or here (C-MOVE).

Exit codes: see `TOOL.exit_codes`. They are DCMTK's, but that it does not end with 0 when the association
ended early.
"""

from __future__ import annotations

from dcmnet._records import replace
from dcmnet.cli import families, output_options, querying_options, tls_options
from dcmnet.cli.options import PORT, Arguments, Integer, Option, Section, Tool
from dcmnet.cli.running import run_tool
from dcmnet.limits import MAX_ASSOCIATIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_PRIVILEGE = 2
EXIT_NOT_WRITABLE = 40
EXIT_NO_DIRECTORY = 45
EXIT_LISTEN = 60
EXIT_NO_ASSOCIATION = 61
EXIT_NO_CONTEXT = 66
EXIT_NOT_RELEASED = 67

TOOL = Tool(
    "movescu",
    "DICOM retrieve (C-MOVE) SCU",
    querying_options.PARAMETERS,
    (
        families.general_options(),
        Section(
            "network options",
            (
                querying_options.keys(),
                *querying_options.models("patient", "study", "psonly"),
                *families.ip_protocol(),
                families.own_ae_title("MOVESCU"),
                families.called_ae_title(),
                Option(
                    "-aem",
                    "--move",
                    ("aetitle",),
                    "application entity title that the objects go to; the peer has to know its address",
                    kind=families.AETitle(),
                    default_text="that of this side",
                ),
                families.connect_timeout(),
                families.acse_timeout(),
                replace(families.dimse_timeout(), default_text="60"),
                families.max_pdu(),
                families.max_window(),
                families.disable_host_lookup(),
                querying_options.repeat(),
                querying_options.abort(),
                querying_options.cancel(),
                Option(
                    "-pi",
                    "--pending-ignore",
                    (),
                    "take a pending response to have no data set; one that is announced is read and dropped "
                    "in any case",
                    dest="pending_read",
                    const=False,
                    default=False,
                    group="pending",
                ),
                Option(
                    "-pr",
                    "--pending-read",
                    (),
                    "read and drop the data set of a pending response",
                    dest="pending_read",
                    default=False,
                    group="pending",
                ),
                Option("-up", "--uid-padding", (), "take blanks off the UIDs of objects; it always does"),
            ),
        ),
        Section(
            "port for the objects",
            (
                Option(
                    "",
                    "--no-port",
                    (),
                    "listen on no port: the objects go to a third peer",
                    dest="listen_port",
                    const=None,
                    group="port",
                ),
                Option(
                    "+P",
                    "--port",
                    ("number",),
                    "listen on this port for the objects, in as many associations as come",
                    kind=PORT,
                    dest="listen_port",
                    group="port",
                ),
                Option(
                    "",
                    "--bind",
                    ("address",),
                    "listen on this address alone, 127.0.0.1 for this computer",
                    default_text="every address",
                    requires=("--port",),
                    beyond_dcmtk=True,
                ),
                Option(
                    "",
                    "--max-associations",
                    ("number",),
                    "take so many associations with objects at once",
                    kind=querying_options.POSITIVE,
                    default=MAX_ASSOCIATIONS,
                    requires=("--port",),
                    beyond_dcmtk=True,
                ),
                Option(
                    "",
                    "--arrival-timeout",
                    ("seconds",),
                    "wait so long for the next object after the final response, if the peer says that it has "
                    "sent more than have come",
                    kind=Integer(0),
                    default=60,
                    requires=("--port",),
                    beyond_dcmtk=True,
                ),
                *families.access_control(),
            ),
        ),
        Section(
            "transfer syntaxes of objects (without any: all, in the order in which the peer proposes them)",
            tuple(
                replace(option, default=None)
                for option in families.preferred_transfer_syntaxes(accept_all=True)
            ),
        ),
        Section(
            "transfer syntaxes of the query",
            families.proposed_transfer_syntaxes(querying_options.PROPOSED),
        ),
        Section(
            "output options",
            (
                replace(output_options.directory(), requires=("--port",)),
                *output_options.storage_mode(),
                *output_options.conversions(),
                output_options.ignore(),
                *output_options.safe_storing(),
            ),
        ),
        tls_options.both_tls(),
        families.reporting(),
    ),
    exit_codes=(
        ("0", "every object was sent, or the retrieval cancelled as --cancel asks for"),
        ("1", "a mistake on the command line; a query cannot be used"),
        ("2", "the port needs privileges"),
        ("40", "the output directory is not writable"),
        ("45", "the output directory does not exist"),
        ("60", "the port cannot be had"),
        ("61", "no association"),
        ("66", "no presentation context for the information model"),
        ("67", "the association could not be released"),
        ("68", "some objects were not sent or did not arrive, or the peer answered with another warning"),
        ("69", "the peer answered with a failure status"),
        ("70", "the association ended early: the peer aborted or broke the protocol, or a timeout ran out"),
        ("130", "interrupted"),
    ),
    notes=(
        "With --port it listens on every address of this computer while it runs, as DCMTK's tool does; "
        "--bind keeps it to one.",
    ),
)


def run(argv: Sequence[str]) -> int:
    """Run the tool; returns its exit code."""
    return run_tool(TOOL, argv, _work)


def _work(arguments: Arguments) -> int:
    from dcmnet.cli.moving import move  # the network, which --help does without

    return move(arguments)
