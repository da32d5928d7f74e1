"""The options that say what becomes of received objects, as rows for the tools that receive.

Without any of them a data set is stored byte for byte as it came. With one that asks for another encoding it
is decoded and encoded again, as DCMTK's tools always do; what is not asked for is as they have it by default.
"""

from __future__ import annotations

import os

from dcmnet.cli.options import Choice, Integer, InvalidValue, Option

LONGEST_EXTENSION = 128
"""Together with modality, UID and a number behind it a file name stays below 255 bytes."""
LONGEST_PREFIX = 128

SORTS = ("--sort-conc-studies", "--sort-on-study-uid", "--sort-on-patientname")
_BIT_PRESERVING = "--bit-preserving"


class NamePart:
    """A part of the name of a file or folder; no part of a path.

    Args:
        longest: How many bytes it may have.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest

    def convert(self, text: str) -> str:
        """The text as it is."""
        if not text.isprintable() or any(sign in text for sign in '/\\:*?"<>|'):
            raise InvalidValue("a file name cannot hold that")
        if len(os.fsencode(text)) > self._longest:
            raise InvalidValue(f"longer than {self._longest} bytes")
        return text

    def describe(self) -> str:
        """Nothing: the metavar says it."""
        return ""


def directory() -> Option:
    """`-od`; attribute `output_directory`."""
    text = "where the files go; must exist"
    return Option("-od", "--output-directory", ("directory",), text, default=".")


def storage_mode() -> tuple[Option, ...]:
    """`-B +B`; attribute `bit_preserving`."""
    return (
        Option(
            "-B",
            "--normal",
            (),
            "allow what the other options ask for; objects are stored as they came even so",
            dest="bit_preserving",
            const=False,
            default=False,
            group="mode",
        ),
        Option(
            "+B",
            "--bit-preserving",
            (),
            "store data sets byte for byte, and refuse every option that would change them",
            dest="bit_preserving",
            group="mode",
            default=False,
        ),
    )


def ignore() -> Option:
    """`--ignore`; attribute `ignore`."""
    return Option("", "--ignore", (), "receive and answer, but store nothing")


def conversions() -> tuple[Option, ...]:
    """File format, transfer syntax and layout of what is stored; `cli.conversions` knows what they mean."""
    return (*_file_format(), *_write_transfer_syntax(), *_layout(), *_values())


def _file_format() -> tuple[Option, ...]:
    return (
        Option(
            "+F",
            "--write-file",
            (),
            "write DICOM files, with File Meta Information",
            dest="file_meta",
            default=True,
            group="format",
        ),
        Option(
            "-F",
            "--write-dataset",
            (),
            "write bare data sets, without File Meta Information",
            dest="file_meta",
            const=False,
            default=True,
            group="format",
        ),
    )


def _write_transfer_syntax() -> tuple[Option, ...]:
    rows = [
        Option(
            "+t=",
            "--write-xfer-same",
            (),
            "store in the transfer syntax that was received",
            dest="write_transfer_syntax",
            const="same",
            default="same",
            group="write",
        )
    ]
    for code, word, name in (
        ("e", "little", "Explicit VR Little Endian"),
        ("b", "big", "Explicit VR Big Endian"),
        ("i", "implicit", "Implicit VR Little Endian"),
        ("d", "deflated", "Deflated Explicit VR Little Endian"),
    ):
        rows.append(
            Option(
                f"+t{code}",
                f"--write-xfer-{word}",
                (),
                f"convert to {name}",
                dest="write_transfer_syntax",
                const=word,
                group="write",
                conflicts_with=(_BIT_PRESERVING,),
            )
        )
    return tuple(rows)


def _layout() -> tuple[Option, ...]:
    return (
        _way("group_lengths", "recalculate", "+g=", "--group-length-recalc", "correct group lengths"),
        _way("group_lengths", "create", "+g", "--group-length-create", "write every group with its length"),
        _way("group_lengths", "remove", "-g", "--group-length-remove", "write no group lengths"),
        _way("lengths", "explicit", "+e", "--length-explicit", "write sequences and items with their length"),
        _way("lengths", "undefined", "-e", "--length-undefined", "write sequences and items with delimiters"),
        _way("padding_off", True, "-p", "--padding-off", "write no padding", group="padding"),
        Option(
            "+p",
            "--padding-create",
            ("file-pad", "item-pad"),
            "make lengths of files and items multiples of these",
            kind=Integer(0, 1 << 20),
            dest="padding",
            group="padding",
            conflicts_with=("--write-dataset", _BIT_PRESERVING),
        ),
    )


def _values() -> tuple[Option, ...]:
    return (
        Option(
            "+u",
            "--enable-new-vr",
            (),
            "leave late value representations (UN, UT, OF, ...) as they are",
            dest="new_vr",
            default=True,
            group="new_vr",
            conflicts_with=(_BIT_PRESERVING,),
        ),
        Option(
            "-u",
            "--disable-new-vr",
            (),
            "write OB in the place of late value representations",
            dest="new_vr",
            const=False,
            group="new_vr",
            conflicts_with=(_BIT_PRESERVING,),
        ),
        Option(
            "+cl",
            "--compression-level",
            ("level",),
            "of deflated files: 0 none, 9 best",
            kind=Integer(0, 9),
            default=6,
        ),
    )


def unknown_values() -> tuple[Option, ...]:
    """`-uc +uc`; attribute `known_vrs`."""
    return (
        Option(
            "-uc",
            "--retain-un",
            (),
            "leave elements of value representation UN as they are",
            dest="known_vrs",
            const=False,
            default=False,
            group="unknown",
        ),
        Option(
            "+uc",
            "--convert-un",
            (),
            "give elements of value representation UN the one that is known for them",
            dest="known_vrs",
            default=False,
            group="unknown",
            conflicts_with=(_BIT_PRESERVING,),
        ),
    )


def sorting() -> tuple[Option, ...]:
    """`-ss -su -sp`; attributes `sort_conc_studies` and `sort_on_study_uid`, prefixes both."""
    prefix = (NamePart(LONGEST_PREFIX),)
    return (
        Option(
            "-ss",
            "--sort-conc-studies",
            ("prefix",),
            "a folder for each study, named PREFIX_date_time",
            kind=prefix,
            group="sort",
        ),
        Option(
            "-su",
            "--sort-on-study-uid",
            ("prefix",),
            "a folder for each study, named PREFIX_UID, or UID where the prefix is empty",
            kind=prefix,
            group="sort",
        ),
        Option(
            "-sp",
            "--sort-on-patientname",
            (),
            "a folder for each study, named after the patient and the time",
            group="sort",
        ),
    )


def extension() -> Option:
    """`-fe`; attribute `filename_extension`."""
    return Option(
        "-fe",
        "--filename-extension",
        ("extension",),
        "let file names end in this",
        kind=(NamePart(LONGEST_EXTENSION),),
        default="",
    )


def name(const: str, short: str, long: str, text: str, *, default: bool = False) -> Option:
    """One of several ways to name files; attribute `names`."""
    return Option(
        short,
        long,
        (),
        text,
        dest="names",
        const=const,
        default=const if default else None,
        group="names",
    )


def events() -> tuple[Option, ...]:
    """`-xcr -xcs -rns -tos -xs`."""
    return (
        Option(
            "-xcr",
            "--exec-on-reception",
            ("command",),
            "execute this after each stored object; #a #c #f #p #r are calling and called AE title, "
            "file name, folder, peer",
        ),
        Option(
            "-xcs",
            "--exec-on-eostudy",
            ("command",),
            "execute this after each complete study; #a #c #p #r as above",
            requires=SORTS,
            conflicts_with=("--fork", "--workers"),
        ),
        Option(
            "-rns",
            "--rename-on-eostudy",
            (),
            "rename the files of a complete study to modality and number",
            requires=SORTS,
            conflicts_with=("--fork", "--workers"),
        ),
        Option(
            "-tos",
            "--eostudy-timeout",
            ("seconds",),
            "a study is complete when nothing has come for so long",
            kind=Integer(),
            default_text="when another study comes, or at the end",
            requires=(*SORTS, "--exec-on-eostudy", "--rename-on-eostudy"),
        ),
        Option("-xs", "--exec-sync", (), "wait for each command to end before the next step"),
    )


def safe_storing() -> tuple[Option, ...]:
    """`--on-duplicate --fsync`."""
    return (
        Option(
            "",
            "--on-duplicate",
            ("action",),
            "what to do where a file of that name exists",
            kind=Choice(("replace", "keep", "rename", "refuse"), "Invalid value for option --on-duplicate"),
            default="replace",
            beyond_dcmtk=True,
        ),
        Option("", "--fsync", (), "have each file on the disk before answering for it", beyond_dcmtk=True),
    )


def faults() -> tuple[Option, ...]:
    """`--refuse --reject --sleep-after --sleep-during --abort-after --abort-during`."""
    seconds = Integer()
    return (
        Option("", "--refuse", (), "reject every association"),
        Option("", "--reject", (), "reject associations without an implementation class UID"),
        Option("", "--sleep-after", ("seconds",), "wait after each object", kind=seconds, default=0),
        Option("", "--sleep-during", ("seconds",), "wait during each object", kind=seconds, default=0),
        Option("", "--abort-after", (), "abort when an object is stored, instead of answering"),
        Option("", "--abort-during", (), "abort while an object is coming"),
    )


def _way(dest: str, const: object, short: str, long: str, text: str, *, group: str = "") -> Option:
    return Option(
        short,
        long,
        (),
        text,
        dest=dest,
        const=const,
        group=group or dest,
        conflicts_with=(_BIT_PRESERVING,),
    )
