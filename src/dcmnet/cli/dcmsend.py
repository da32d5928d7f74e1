"""`dcmnet dcmsend`: send many DICOM files to a peer, over as many associations as they need (C-STORE).

Exit codes: see `TOOL.exit_codes`. Unlike DCMTK's tool it tells the truth about objects that were not stored.
"""

from __future__ import annotations

from dcmnet._records import replace
from dcmnet.cli import families, sending_options, tls_options
from dcmnet.cli.options import PORT, Arguments, Option, Parameter, Section, Tool
from dcmnet.cli.running import run_tool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_NO_INPUT_FILES = 21
EXIT_INVALID_INPUT = 22
EXIT_NO_VALID_INPUT = 23
EXIT_NO_REPORT = 43
EXIT_NO_ASSOCIATION = 61
EXIT_SENDING_FAILED = 62
EXIT_NO_CONTEXT = 65
EXIT_NOT_STORED = 70

_LIST_DECODERS = "--list-decoders"


def _general() -> Section:
    general = families.general_options(verbose_pc=True)
    text = "list what can be decompressed, and exit"
    return replace(general, options=(*general.options, Option("", _LIST_DECODERS, (), text, exclusive=True)))


def _decompression(short: str, long: str, text: str, *, default: str | None = None) -> Option:
    mode = long.rpartition("-")[2]
    return Option(short, long, (), text, dest="decompress", const=mode, default=default, group="decompress")


TOOL = Tool(
    "dcmsend",
    "simple DICOM storage SCU (sender)",
    (
        Parameter("peer", "host name or address of the peer"),
        Parameter("port", "TCP port of the peer", kind=PORT),
        Parameter(
            "dcmfile-in", "DICOM file to send, or with +sd a directory, or with +rd a DICOMDIR", many=True
        ),
    ),
    (
        _general(),
        Section(
            "input options",
            (
                *sending_options.read_formats("file"),
                sending_options.no_check(),
                Option(
                    "+rd",
                    "--read-from-dicomdir",
                    (),
                    "send the files that DICOMDIRs list",
                    conflicts_with=("--scan-directories",),
                ),
                *sending_options.scanning(),
            ),
        ),
        Section(
            "processing options",
            (
                _decompression("-dn", "--decompress-never", "never decompress"),
                _decompression(
                    "+dls",
                    "--decompress-lossless",
                    "decompress what lost nothing, for a peer that does not take it as it is",
                    default="lossless",
                ),
                _decompression("+dly", "--decompress-lossy", "decompress also what may have lost something"),
                sending_options.compression_level(),
                Option("-nh", "--no-halt", (), "go on with the other files when one cannot be sent"),
                Option(
                    "-nip",
                    "--no-illegal-proposal",
                    (),
                    "propose an uncompressed transfer syntax for every class",
                ),
                Option("-nuc", "--no-uid-checks", (), "do not check the UIDs of files"),
            ),
        ),
        Section(
            "network options",
            (
                *families.ip_protocol(),
                families.own_ae_title("DCMSEND"),
                families.called_ae_title(),
                Option(
                    "+ma",
                    "--multi-associations",
                    (),
                    "use several associations if need be",
                    dest="single_association",
                    const=False,
                    default=False,
                    group="associations",
                ),
                Option(
                    "-ma",
                    "--single-association",
                    (),
                    "use one association, or none when it cannot do",
                    dest="single_association",
                    group="associations",
                ),
                families.connect_timeout(),
                families.acse_timeout(),
                replace(families.dimse_timeout(), default_text="60"),
                families.max_pdu(),
                families.max_send_pdu(),
                *families.sharing(),
            ),
        ),
        tls_options.requestor_tls(beyond_dcmtk=True),
        sending_options.going_on(),
        families.reporting(
            Option(
                "+crf",
                "--create-report-file",
                ("filename",),
                "write what came of each object to this file, as text",
            ),
            sending_options.json_report(),
        ),
    ),
    exit_codes=(
        ("0", "everything was stored, if need be with a warning"),
        ("1", "a mistake on the command line"),
        ("21", "there are no input files"),
        ("22", "an input file cannot be sent; without -nh nothing was"),
        ("23", "none of the input files can be sent"),
        ("43", "a report cannot be written"),
        ("61", "no association"),
        ("62", "an association ended early: the peer aborted or broke the protocol, or a timeout ran out"),
        ("65", "no presentation context for an object, or with -ma too many for one association"),
        ("70", "the peer did not store an object"),
        ("130", "interrupted"),
    ),
    notes=("Where several apply it is the first of 62, 70, 65, 22. They are the same with --no-halt.",),
)


def run(argv: Sequence[str]) -> int:
    """Run the tool; returns its exit code."""
    return run_tool(TOOL, argv, _work)


def _work(arguments: Arguments) -> int:
    if arguments.exclusive == _LIST_DECODERS:
        return _list_decoders()
    from dcmnet.cli.sending import dcmsend, send  # the network, which --help does without

    return send(arguments, dcmsend())


def _list_decoders() -> int:
    from dcmnet.cli import usage  # not for a run
    from dcmnet.dataset import CONVERTIBLE
    from dcmnet.dataset.decoding import decoders
    from dcmnet.registry.uids import name_of

    lines = [usage.heading(TOOL), "Transfer syntaxes that need no decoder:"]
    lines += [f"- {name_of(uid)}" for uid in CONVERTIBLE]
    found = decoders()
    lines += ["", "Transfer syntaxes with a decoder:"]
    lines += [f"- {name_of(uid)}" for uid, available in found if available] or ["(none)"]
    if missing := [uid for uid, available in found if not available]:
        lines += ["", "Transfer syntaxes whose decoder is not installed (pip install 'dcmnet[codecs]'):"]
        lines += [f"- {name_of(uid)}" for uid in missing]
    print("\n".join(lines))
    return 0
