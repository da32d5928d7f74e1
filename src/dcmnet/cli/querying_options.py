"""The options that findscu, getscu and movescu share, as rows for their tables."""

from __future__ import annotations

from dcmnet._records import dataclass
from dcmnet.cli.options import PORT, Integer, Option, Parameter, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dcmnet.services.query_keys import Key

PARAMETERS = (
    Parameter("peer", "host name or address of the peer"),
    Parameter("port", "TCP port of the peer", kind=PORT),
    Parameter("dcmfile-in", "DICOM file with a query; each is one of its own", optional=True, many=True),
)

POSITIVE = Integer(1)

PROPOSED = ("=", "e", "b", "d", "i")
"""The letters of `-x?` that these tools have."""

_MODELS = {
    "worklist": ("-W", "Modality Worklist"),
    "patient": ("-P", "Patient Root"),
    "study": ("-S", "Study Root"),
    "psonly": ("-O", "Patient/Study Only"),
}


@dataclass(frozen=True, slots=True)
class QueryKey:
    """A matching key: a tag, a keyword or a path, with `=` and a value where there is something to match."""

    def convert(self, text: str) -> Key:
        """The key."""
        from dcmnet.services.query_keys import parse_key  # not for --help

        try:
            return parse_key(text)
        except ValueError as error:
            raise UsageError(f"Bad override key/path: {text}", str(error)) from None

    def describe(self) -> str:
        """What it looks like."""
        return "gggg,eeee=value, Keyword=value, Sequence[0].Keyword=value; without a value it is asked for"


def keys() -> Option:
    """`-k`; attribute `key`: a tuple of `Key`."""
    text = "put this key into the query, over what a query file has"
    return Option(
        "-k", "--key", ("key",), text, kind=QueryKey(), repeatable=True, default=(), default_text=""
    )


def models(*names: str) -> tuple[Option, ...]:
    """`-W -P -S -O`; attribute `model`, one of the names. The first is the default."""
    rows = []
    for name in names:
        short, title = _MODELS[name]
        default = name if name == names[0] else None
        rows.append(
            Option(
                short,
                f"--{name}",
                (),
                f"use the {title} information model",
                dest="model",
                const=name,
                default=default,
                group="model",
            )
        )
    return tuple(rows)


def repeat() -> Option:
    """`--repeat`; attribute of that name."""
    return Option("", "--repeat", ("number",), "make every query so often", kind=POSITIVE, default=1)


def abort() -> Option:
    """`--abort`; attribute of that name."""
    return Option("", "--abort", (), "abort the association instead of releasing it")


def cancel(*, beyond_dcmtk: bool = False) -> Option:
    """`--cancel`; attribute of that name: None for never."""
    text = "cancel every query after so many responses; 0 cancels it at once"
    return Option(
        "",
        "--cancel",
        ("number",),
        text,
        kind=Integer(0),
        default_text="never",
        beyond_dcmtk=beyond_dcmtk,
    )
