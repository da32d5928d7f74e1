"""The options that the sending tools share, as rows for their tables."""

from __future__ import annotations

from dcmnet._records import dataclass
from dcmnet.cli.options import Integer, InvalidValue, Option, Section

SMALLEST_RATE = 1000
"""Bytes a second; with less a peer takes the transfer for a stall."""

_UNITS = {"K": 1000, "M": 1000**2, "G": 1000**3}
_INVENTING = ("--invent-instance", "--invent-series", "--invent-study", "--invent-patient")
"""What is sent then is another object each time, and no report knows it again."""

_IDENTITIES = ("--user", "--kerberos", "--saml", "--jwt")


@dataclass(frozen=True, slots=True)
class Rate:
    """Bytes a second: a number, with K, M or G behind it for thousands, millions or milliards."""

    def convert(self, text: str) -> int:
        """The number of bytes."""
        unit = _UNITS.get(text[-1:].upper(), 1)
        digits = text[:-1] if unit > 1 else text
        if not (digits.isascii() and digits.isdigit()) or len(digits) > 12:
            raise InvalidValue("a number, or one with K, M or G")
        if int(digits) * unit < SMALLEST_RATE:
            raise InvalidValue("underflow")
        return int(digits) * unit

    def describe(self) -> str:
        """The units."""
        return f"{SMALLEST_RATE} or more; K, M and G are 1000, 1000000 and 1000000000"


def read_formats(default: str) -> tuple[Option, ...]:
    """`+f +fo -f`; attribute `format`: any, file or bare."""
    return (
        _format("+f", "--read-file", "any", "read DICOM files and bare data sets", default),
        _format("+fo", "--read-file-only", "file", "read DICOM files only", default),
        _format(
            "-f",
            "--read-dataset",
            "bare",
            "read bare data sets only, without File Meta Information",
            default,
        ),
    )


def no_check() -> Option:
    """`--no-check`, which DCMTK's tools do not have; attribute `no_check`."""
    text = "send files that are truncated, or are not in the transfer syntax that they are labelled with"
    return Option("", "--no-check", (), text, beyond_dcmtk=True)


def scanning() -> tuple[Option, ...]:
    """`+sd +sp -r +r`; attributes `scan_directories`, `scan_pattern`, `recurse`."""
    return (
        Option("+sd", "--scan-directories", (), "send the DICOM files in directories as well"),
        Option(
            "+sp",
            "--scan-pattern",
            ("pattern",),
            "only files of such names, with wildcards",
            default="",
            requires=("--scan-directories",),
        ),
        Option(
            "-r",
            "--no-recurse",
            (),
            "stay out of sub-directories",
            dest="recurse",
            const=False,
            default=False,
            group="recurse",
        ),
        Option(
            "+r",
            "--recurse",
            (),
            "go into sub-directories",
            dest="recurse",
            group="recurse",
            requires=("--scan-directories",),
        ),
    )


def compression_level(*requires: str) -> Option:
    """`+cl`; attribute `compression_level`."""
    text = "deflate so hard, where a data set is deflated: 0 not at all, 9 best"
    kind = Integer(0, 9)
    return Option("+cl", "--compression-level", ("level",), text, kind=kind, default=6, requires=requires)


def going_on() -> Section:
    """`--retry --retry-wait --limit-rate --resume`, which DCMTK's tools do not have."""
    return Section(
        "transfer options",
        (
            Option(
                "",
                "--retry",
                ("number",),
                "when the peer is busy or not there, try again so often; an object over which an association "
                "ended is sent once more at the end",
                kind=Integer(0),
                default=0,
                beyond_dcmtk=True,
            ),
            Option(
                "",
                "--retry-wait",
                ("seconds",),
                "seconds before the first of these attempts; the next ones wait twice as long each",
                kind=Integer(0),
                default=1,
                requires=("--retry",),
                beyond_dcmtk=True,
            ),
            Option(
                "",
                "--limit-rate",
                ("bytes",),
                "send at most so many bytes a second",
                kind=Rate(),
                default_text="unlimited",
                beyond_dcmtk=True,
            ),
            Option(
                "",
                "--resume",
                ("report",),
                "leave out what this file, written by --report-json, says is stored already; files that "
                "have changed since are sent",
                conflicts_with=(_INVENTING,),
                beyond_dcmtk=True,
            ),
        ),
    )


def json_report() -> Option:
    """`--report-json`; attribute `report_json`: a file name or None."""
    text = "write what came of each object to this file, as JSON"
    return Option("", "--report-json", ("filename",), text, beyond_dcmtk=True)


def user_identity() -> Section:
    """`-usr -pwd -pwf -epw -kt --saml --jwt -rsp`; see `dcmnet.cli.identity`."""
    return Section(
        "user identity",
        (
            _identity("-usr", "--user", "name", "tell the peer this user name"),
            _password("-pwd", "--password", ("password",), "tell it this password, which others may see"),
            _password(
                "-pwf", "--password-file", ("filename",), "tell it the password in this file", beyond=True
            ),
            _password("-epw", "--empty-password", (), "tell it an empty password"),
            _identity("-kt", "--kerberos", "filename", "tell the peer the Kerberos ticket in this file"),
            _identity("", "--saml", "filename", "tell the peer the SAML assertion in this file"),
            _identity("", "--jwt", "filename", "tell the peer the JSON Web Token in this file"),
            Option(
                "-rsp",
                "--pos-response",
                (),
                "ask the peer to confirm the identity, and send nothing when it does not",
                requires=_IDENTITIES,
            ),
        ),
    )


def _format(short: str, long: str, const: str, text: str, default: str) -> Option:
    return Option(short, long, (), text, dest="format", const=const, default=default, group="format")


def _identity(short: str, long: str, metavar: str, text: str) -> Option:
    return Option(short, long, (metavar,), text, group="identity")


def _password(short: str, long: str, metavars: tuple[str, ...], text: str, *, beyond: bool = False) -> Option:
    return Option(
        short,
        long,
        metavars,
        text,
        group="password",
        requires=("--user",),
        secret=long == "--password",
        beyond_dcmtk=beyond,
    )
