"""The options that several tools share, as rows for their tables.

Every function gives fresh rows, so that a tool sets its own defaults and conflicts; unless a default says
otherwise they are those of DCMTK's tools.
"""

from __future__ import annotations

from dcmnet._records import dataclass
from dcmnet.cli.options import Arguments, Choice, Integer, InvalidValue, Option, Section, UsageError
from dcmnet.limits import DEFAULT_WINDOW_SERVED, MAX_WINDOW

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

LOG_LEVELS = ("fatal", "error", "warn", "info", "debug", "trace")
DEFAULT_LOG_LEVEL = "warn"
VERBOSE_LEVELS = frozenset({"info", "debug", "trace"})

SMALLEST_MAX_PDU = 4096
LARGEST_MAX_PDU = 131072
DEFAULT_MAX_PDU = 16384
DEFAULT_CALLED_AE_TITLE = "ANY-SCP"
MAX_AE_TITLE_LENGTH = 16

_VERBOSITY = ("--verbose", "--debug", "--quiet")

_TRANSFER_SYNTAX_TEXTS = {
    "=": "explicit VR little endian, then the other uncompressed ones",
    "e": "explicit VR little endian, then the other uncompressed ones",
    "b": "explicit VR big endian, then the other uncompressed ones",
    "i": "implicit VR little endian only",
    "s": "JPEG lossless, first-order prediction",
    "y": "JPEG baseline, lossy, 8 bit",
    "x": "JPEG extended, lossy, 12 bit",
    "v": "JPEG 2000 lossless",
    "w": "JPEG 2000",
    "t": "JPEG-LS lossless",
    "u": "JPEG-LS near-lossless",
    "m": "MPEG2 main profile, main level",
    "h": "MPEG2 main profile, high level",
    "n": "MPEG-4 AVC/H.264 high profile, level 4.1",
    "l": "MPEG-4 AVC/H.264 BD-compatible, level 4.1",
    "2": "MPEG-4 AVC/H.264 level 4.2 for 2D video",
    "3": "MPEG-4 AVC/H.264 level 4.2 for 3D video",
    "o": "MPEG-4 AVC/H.264 stereo, level 4.2",
    "4": "HEVC/H.265 main profile, level 5.1",
    "5": "HEVC/H.265 main 10 profile, level 5.1",
    "r": "RLE lossless",
    "d": "deflated explicit VR little endian",
}


@dataclass(frozen=True, slots=True)
class AETitle:
    """An application entity title (PS3.5 6.2, VR AE); the spaces around it are not significant."""

    def convert(self, text: str) -> str:
        """The title without the spaces around it."""
        title = text.strip(" ")
        if not title:
            raise InvalidValue("empty")
        # PS3.5 6.2: 16 bytes at most, Default Character Repertoire without backslash and control characters.
        if len(title) > MAX_AE_TITLE_LENGTH:
            raise InvalidValue(f"longer than {MAX_AE_TITLE_LENGTH} characters")
        if not (title.isascii() and title.isprintable()) or "\\" in title:
            raise InvalidValue("no control characters, backslashes or characters outside ASCII")
        return title

    def describe(self) -> str:
        """Nothing: the metavar says it."""
        return ""


def general_options(*, verbose_pc: bool = False) -> Section:
    """Help, version and logs; the first section of every tool.

    Attributes set: `log_level` (one of LOG_LEVELS), `log_config` (a file name or None), `verbose_pc`.

    Args:
        verbose_pc: With `+v`, for tools that show negotiated presentation contexts.
    """
    rows = [
        Option("-h", "--help", (), "print this text and exit", exclusive=True),
        Option(
            "", "--version", (), "print the version of the tool and of its libraries and exit", exclusive=True
        ),
        Option("", "--arguments", (), "log the command line with every @file expanded"),
        _verbosity("-q", "--quiet", "fatal", "log nothing but what ends the tool"),
        _verbosity("-v", "--verbose", "info", "log what is being done"),
        _verbosity("-d", "--debug", "debug", "log details for finding faults"),
        Option(
            "-ll",
            "--log-level",
            ("level",),
            "log from this level up",
            kind=Choice(LOG_LEVELS, "Invalid log level for --log-level option"),
            dest="log_level",
            default_text=DEFAULT_LOG_LEVEL,
            conflicts_with=(_VERBOSITY,),
        ),
        Option(
            "-lc",
            "--log-config",
            ("filename",),
            "set the logs up from a log4cplus property file, or from a .toml or .json file for dictConfig",
            conflicts_with=("--log-level", _VERBOSITY),
        ),
    ]
    if verbose_pc:
        text = "show presentation contexts in verbose mode"
        rows.append(Option("+v", "--verbose-pc", (), text, check=_needs_verbose_mode))
    return Section("general options", tuple(rows))


def ip_protocol() -> tuple[Option, ...]:
    """`-i4 -i6 -i0`; attribute `ip_version`: 4, 6, or 0 for either."""
    return (
        _one_of("ip_version", 4, "-i4", "--ipv4", "use IPv4", default=4),
        _one_of("ip_version", 6, "-i6", "--ipv6", "use IPv6"),
        _one_of(
            "ip_version", 0, "-i0", "--ip-auto", "use IPv4 or IPv6, as the name lookup or the peer has it"
        ),
    )


def connect_timeout(default: int | None = None) -> Option:
    """`-to`; attribute `connect_timeout`: seconds, None waits as long as the operating system does."""
    return _timeout("-to", "--timeout", "connect_timeout", "for the connection to the peer", default)


def socket_timeout(default: int | None = 60) -> Option:
    """`-ts`; attribute `socket_timeout`: seconds, 0 none, -1 leave the socket alone."""
    text = "for reading from and writing to the network, 0 for none"
    return _timeout("-ts", "--socket-timeout", "socket_timeout", text, default, minimum=-1)


def acse_timeout(default: int | None = 30) -> Option:
    """`-ta`; attribute `acse_timeout`: seconds."""
    return _timeout(
        "-ta", "--acse-timeout", "acse_timeout", "for establishing and releasing associations", default
    )


def dimse_timeout(default: int | None = None) -> Option:
    """`-td`; attribute `dimse_timeout`: seconds, None waits for ever."""
    return _timeout("-td", "--dimse-timeout", "dimse_timeout", "for DIMSE messages", default)


def max_pdu(default: int = DEFAULT_MAX_PDU) -> Option:
    """`-pdu`; attribute `max_pdu`: bytes."""
    text = "largest PDU the peer may send, in bytes"
    return Option("-pdu", "--max-pdu", ("bytes",), text, kind=_PDU_LENGTH, default=default)


def max_send_pdu() -> Option:
    """`--max-send-pdu`; attribute `max_send_pdu`: bytes, None for what the peer allows."""
    text = "largest PDU to send, in bytes, where the peer allows more"
    return Option("", "--max-send-pdu", ("bytes",), text, kind=_PDU_LENGTH)


def sharing() -> tuple[Option, ...]:
    """`--window` and `--parallel`; attributes of the same names."""
    return (
        Option(
            "",
            "--window",
            ("number",),
            "so many objects under way at once, where the peer agrees",
            kind=Integer(1, MAX_WINDOW),
            default=1,
            beyond_dcmtk=True,
        ),
        Option(
            "",
            "--parallel",
            ("number",),
            "so many associations that share the work",
            kind=Integer(1, MAX_WINDOW),
            default=1,
            beyond_dcmtk=True,
        ),
    )


def max_window() -> Option:
    """`--max-window`; attribute `max_window`."""
    text = "keep so many objects of an association at once, where its peer asks for a window"
    kind = Integer(1, MAX_WINDOW)
    return Option(
        "", "--max-window", ("number",), text, kind=kind, default=DEFAULT_WINDOW_SERVED, beyond_dcmtk=True
    )


def own_ae_title(default: str) -> Option:
    """`-aet`; attribute `ae_title`."""
    text = "application entity title of this side"
    return Option("-aet", "--aetitle", ("aetitle",), text, kind=AETitle(), dest="ae_title", default=default)


def check_ae_title() -> Option:
    """`--check-aetitle`."""
    text = "reject peers that call another AE title than --aetitle"
    return Option("", "--check-aetitle", (), text, beyond_dcmtk=True)


def called_ae_title(default: str = DEFAULT_CALLED_AE_TITLE) -> Option:
    """`-aec`; attribute `called_ae_title`."""
    text = "application entity title of the peer"
    return Option(
        "-aec", "--call", ("aetitle",), text, kind=AETitle(), dest="called_ae_title", default=default
    )


def proposed_transfer_syntaxes(codes: Iterable[str] | None = None) -> tuple[Option, ...]:
    """`-x?`; attribute `proposed`: a letter of registry.transfer_syntaxes.PREFERENCE_CODES.

    Args:
        codes: The letters the tool offers; None for all that can be proposed.
    """
    from dcmnet.registry.transfer_syntaxes import PREFERENCE_CODES  # echoscu does without

    rows = []
    for code in _chosen(codes):
        preference = PREFERENCE_CODES[code]
        text = f"propose {_TRANSFER_SYNTAX_TEXTS[code]}"
        if preference.adds_uncompressed:
            text += ", and the uncompressed ones"
        long = f"--propose-{preference.suffix}"
        rows.append(_one_of("proposed", code, f"-x{code}", long, text, default="=" if code == "=" else None))
    return tuple(rows)


def preferred_transfer_syntaxes(
    codes: Iterable[str] | None = None, *, accept_all: bool = False
) -> tuple[Option, ...]:
    """`+x?`; attribute `preferred`: a letter of registry.transfer_syntaxes.PREFERENCE_CODES.

    Args:
        codes: The letters the tool offers; None for all.
        accept_all: With `+xa`, letter `a`.
    """
    from dcmnet.registry.transfer_syntaxes import PREFERENCE_CODES  # echoscu does without

    rows = []
    for code in _chosen(codes):
        verb, prefix = ("accept", "--") if code == "i" else ("prefer", "--prefer-")
        text = f"{verb} {_TRANSFER_SYNTAX_TEXTS[code]}"
        long = prefix + PREFERENCE_CODES[code].suffix
        rows.append(_one_of("preferred", code, f"+x{code}", long, text, default="=" if code == "=" else None))
    if accept_all:
        rows.append(_one_of("preferred", "a", "+xa", "--accept-all", "accept every transfer syntax known"))
    return tuple(rows)


def config_file(conflicts_with: Iterable[str] = ()) -> Option:
    """`-xf`; attribute `config_file`: a file name and the name of a profile in it, None without.

    `cli.profiles.chosen_profile` reads it.

    Args:
        conflicts_with: Long spellings of what the profile decides.
    """
    text = "negotiate as a profile of an association negotiation file says"
    conflicts = tuple(conflicts_with)
    return Option("-xf", "--config-file", ("filename", "profile"), text, conflicts_with=conflicts)


def access_control() -> tuple[Option, ...]:
    """`-ac +ac`: TCP wrappers are not there, and asking for them is an error rather than a false safety."""
    return (
        Option("-ac", "--access-full", (), "accept connections from every address", group="access"),
        Option(
            "+ac",
            "--access-control",
            (),
            "not supported: TCP wrappers (hosts.allow) are not there",
            group="access",
            check=_no_access_control,
        ),
    )


def _no_access_control(arguments: Arguments) -> None:
    raise UsageError(
        "--access-control is not supported",
        "there are no TCP wrappers: let a firewall decide, or listen on one address with --bind",
    )


def disable_host_lookup() -> Option:
    """`-dhl`; attribute `disable_host_lookup`."""
    return Option("-dhl", "--disable-host-lookup", (), "show addresses of peers, and look up no names")


def reporting(*more: Option) -> Section:
    """`--json`, `--no-progress`, and what a tool has besides; attributes `json`, `no_progress`."""
    no_progress = Option("", "--no-progress", (), "show no progress bar on a terminal", beyond_dcmtk=True)
    return Section("report options", (*more, _JSON, no_progress))


def json_reporting() -> Section:
    """`--json`, for a tool without a progress bar; attribute `json`."""
    return Section("report options", (_JSON,))


_JSON = Option(
    "", "--json", (), "print every event and a summary on stdout, as JSON lines", beyond_dcmtk=True
)


_PDU_LENGTH = Integer(SMALLEST_MAX_PDU, LARGEST_MAX_PDU)


def _chosen(codes: Iterable[str] | None) -> tuple[str, ...]:
    return tuple(_TRANSFER_SYNTAX_TEXTS) if codes is None else tuple(codes)


def _one_of(dest: str, const: object, short: str, long: str, text: str, *, default: object = None) -> Option:
    return Option(short, long, (), text, dest=dest, const=const, default=default, group=dest)


def _verbosity(short: str, long: str, level: str, text: str) -> Option:
    return Option(
        short, long, (), text, dest="log_level", const=level, default=DEFAULT_LOG_LEVEL, group="verbosity"
    )


def _timeout(short: str, long: str, dest: str, text: str, default: int | None, *, minimum: int = 1) -> Option:
    return Option(
        short,
        long,
        ("seconds",),
        f"seconds to wait {text}",
        kind=Integer(minimum),
        dest=dest,
        default=default,
        default_text="unlimited" if default is None else None,
    )


def _needs_verbose_mode(arguments: Arguments) -> None:
    if arguments.log_level not in VERBOSE_LEVELS and arguments.log_config is None:
        raise UsageError("--verbose-pc only allowed with verbose mode", "verbose mode is -v, -d, or -ll info")
