"""`dcmnet findscu`: query archives and worklists (C-FIND).

Exit codes: see `TOOL.exit_codes`. Unlike DCMTK's tool it does not end with 0 when the peer answered with a
failure, or aborted, and finds a wrong key before it connects.
"""

from __future__ import annotations

from dcmnet._records import replace
from dcmnet.cli import families, querying_options, sending_options, tls_options
from dcmnet.cli.options import Arguments, Integer, Option, Section, Tool, UsageError
from dcmnet.cli.running import run_tool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_USAGE = 1
EXIT_NO_ASSOCIATION = 2
EXIT_NOT_RELEASED = 3
EXIT_NOT_WRITTEN = 43

EXTRACTS = ("--extract", "--extract-xml", "--extract-xml-single")
_PRINTED = ("--json", "--csv", "--table")


def _needs_an_extract(arguments: Arguments) -> None:
    if not any(option in arguments for option in EXTRACTS):
        raise UsageError(
            "--output-directory only allowed with --extract, --extract-xml or --extract-xml-single"
        )


class Columns:
    """Keys with commas between them, for the columns of a table."""

    def convert(self, text: str) -> tuple[object, ...]:
        """The keys; the commas within tags do not count."""
        kind = querying_options.QueryKey()
        return tuple(kind.convert(word) for word in _words(text))

    def describe(self) -> str:
        """What they look like."""
        return "PatientID,StudyDate,(0040,0100)[0].Modality"


def _words(text: str) -> list[str]:
    """The words between commas, but for those in parentheses and those between two numbers of a tag."""
    words: list[str] = []
    depth = 0
    for part in text.split(","):
        if words and (depth or _is_group(words[-1])):
            words[-1] += f",{part}"
        else:
            words.append(part)
        depth += part.count("(") - part.count(")")
    return words


def _is_group(word: str) -> bool:
    last = word.rpartition(".")[2]
    return 0 < len(last) <= 4 and all(sign in "0123456789abcdefABCDEF" for sign in last)


def _one_of(dest: str, const: object, short: str, long: str, text: str, default: object = None) -> Option:
    return Option(short, long, (), text, dest=dest, const=const, default=default, group=dest)


TOOL = Tool(
    "findscu",
    "DICOM query (C-FIND) SCU",
    querying_options.PARAMETERS,
    (
        families.general_options(),
        Section(
            "network options",
            (
                querying_options.keys(),
                *querying_options.models("worklist", "patient", "study", "psonly"),
                *families.ip_protocol(),
                families.own_ae_title("FINDSCU"),
                families.called_ae_title(),
                families.connect_timeout(),
                families.socket_timeout(),
                families.acse_timeout(),
                replace(families.dimse_timeout(), default_text="as --socket-timeout"),
                families.max_pdu(),
                querying_options.repeat(),
                querying_options.abort(),
                querying_options.cancel(),
            ),
        ),
        Section(
            "proposed transfer syntaxes",
            families.proposed_transfer_syntaxes(querying_options.PROPOSED),
        ),
        Section(
            "encoding",
            (
                _one_of(
                    "new_vr",
                    True,
                    "+u",
                    "--enable-new-vr",
                    "with the value representations of the standard",
                    True,
                ),
                _one_of(
                    "new_vr", False, "-u", "--disable-new-vr", "OB for those that came late to the standard"
                ),
                sending_options.compression_level("--propose-deflated"),
                _one_of(
                    "correction",
                    True,
                    "+dc",
                    "--enable-correction",
                    "take responses with bad values; it always does, and shows these as they came",
                ),
                _one_of("correction", False, "-dc", "--disable-correction", "the same", False),
            ),
        ),
        Section(
            "output options",
            (
                Option(
                    "-od",
                    "--output-directory",
                    ("directory",),
                    "where the files of -X, -Xx and -Xs go; must exist",
                    default=".",
                    check=_needs_an_extract,
                ),
                _one_of(
                    "show_responses",
                    "show",
                    "+sr",
                    "--show-responses",
                    "print responses even where they go elsewhere",
                ),
                _one_of("show_responses", "hide", "-sr", "--hide-responses", "print no responses"),
                _one_of("extract", "dicom", "-X", "--extract", "write responses to rsp0001.dcm and so on"),
                _one_of("extract", "xml", "-Xx", "--extract-xml", "write responses to rsp0001.xml and so on"),
                Option(
                    "-Xs",
                    "--extract-xml-single",
                    ("filename",),
                    "write all responses to this XML file",
                    group="extract",
                ),
                Option(
                    "-Xlo",
                    "--limit-output",
                    ("number",),
                    "write only so many responses to files",
                    kind=Integer(1),
                    default_text="unlimited",
                    requires=EXTRACTS,
                ),
            ),
        ),
        Section(
            "report options",
            (
                Option(
                    "",
                    "--table",
                    (),
                    "print the matches as a table, with the keys of the query as columns",
                    conflicts_with=("--csv", "--json"),
                    beyond_dcmtk=True,
                ),
                Option(
                    "",
                    "--csv",
                    ("keys",),
                    "print the matches as comma-separated values, with these keys as columns",
                    kind=Columns(),
                    conflicts_with=("--json",),
                    beyond_dcmtk=True,
                ),
                *families.json_reporting().options,
            ),
        ),
        tls_options.requestor_tls(),
    ),
    exit_codes=(
        ("0", "every query was answered to its end, or cancelled as --cancel asks for"),
        ("1", "a mistake on the command line; a query or the output directory cannot be used"),
        ("2", "no association, or no presentation context for the information model"),
        ("3", "the association could not be released"),
        ("43", "a response could not be written to a file"),
        ("69", "the peer answered a query with a failure status, or with what cannot be read"),
        ("70", "the association ended early: the peer aborted or broke the protocol, or a timeout ran out"),
        ("130", "interrupted"),
    ),
    notes=(
        "Responses are printed on stderr, as log lines; --table, --csv and --json print on stdout.",
        "--json has each match in the DICOM JSON Model (PS3.18 F), as `identifier`.",
    ),
)


def run(argv: Sequence[str]) -> int:
    """Run the tool; returns its exit code."""
    return run_tool(TOOL, argv, _work)


def _work(arguments: Arguments) -> int:
    from dcmnet.cli.finding import find  # the network, which --help does without

    return find(arguments)
