"""The named lists of an association negotiation file: their entries, in order, and what the values mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from dcmnet._records import dataclass, field
from dcmnet.acse import AcceptorRole
from dcmnet.asconfig_text import (
    Entry,
    Problems,
    Section,
    Supersection,
    canonical,
    nearest,
    shown,
    some,
)
from dcmnet.limits import (
    MAX_EXTENDED_NEGOTIATION_LENGTH,
    MAX_SUGGESTIONS,
    MAX_TRANSFER_SYNTAXES,
    Tolerance,
)
from dcmnet.registry._uids import UIDS
from dcmnet.registry.dcmtk_names import DCMTK_NAMES
from dcmnet.registry.transfer_syntaxes import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
)
from dcmnet.registry.uids import is_valid_uid, uid_for

T = TypeVar("T")

# The byte order of this computer plays no part: what an association carries depends on the peers alone.
_TRANSFER_SYNTAX_NAMES = {
    "LocalEndianExplicit": EXPLICIT_VR_LITTLE_ENDIAN,
    "OppositeEndianExplicit": EXPLICIT_VR_BIG_ENDIAN,
}
_ROLES = {"SCU": AcceptorRole.SCU, "SCP": AcceptorRole.SCP, "BOTH": AcceptorRole.BOTH}
_NUMBERED = re.compile(r"(.*?)(\d{1,9})")
_NUMBER_LIKE = re.compile(r"[0-9.]+")
_HEXADECIMAL = re.compile(r"([0-9A-Fa-f]{2})+")
_BLANKS = " \t\v\f"


@dataclass(frozen=True, slots=True)
class ProfileContext:
    """One entry of a list of presentation contexts.

    Attributes:
        abstract_syntax: UID.
        transfer_syntaxes: UIDs, the best first; at least one.
        transfer_syntax_list: Name of the list that they are from, in upper case.
        line: Where the entry is.
    """

    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]
    transfer_syntax_list: str
    line: int


@dataclass(slots=True)
class NamedList(Generic[T]):
    """A list that can be referred to.

    Attributes:
        title: Its name as it was written.
        line: Where it begins.
        items: In order, what could be understood.
        faulty: Something could not: what is missing in `items` has been told of.
    """

    title: str
    line: int
    items: list[T] = field(default_factory=list)
    faulty: bool = False
    _final: tuple[T, ...] | None = None

    def final(self) -> tuple[T, ...]:
        """The items, once there will be no more; one tuple for all who refer to them."""
        if self._final is None:
            self._final = tuple(self.items)
        return self._final


@dataclass(frozen=True, slots=True)
class OfClass(Generic[T]):
    """What an entry says about a SOP class."""

    sop_class_uid: str
    value: T
    line: int


NamedLists = dict[str, NamedList[T]]


@dataclass(frozen=True, slots=True)
class Lists:
    """Every list of a file, by canonical names, and the sections of its profiles.

    Where a supersection is missing that has to be there, what belongs into it is None.
    """

    contexts: NamedLists[ProfileContext] | None
    roles: NamedLists[OfClass[AcceptorRole]]
    extended_negotiation: NamedLists[OfClass[bytes]]
    profiles: list[Section]


@dataclass(frozen=True, slots=True)
class _Kind:
    """A supersection: its title, the key of its entries, and whether a file has to have it."""

    title: str
    key: str
    needed: bool


_TRANSFER_SYNTAXES = _Kind("TransferSyntaxes", "TransferSyntax", True)
_CONTEXTS = _Kind("PresentationContexts", "PresentationContext", True)
_ROLE_SELECTION = _Kind("SCPSCURoleSelection", "Role", False)
_EXTENDED = _Kind("ExtendedNegotiation", "ExtendedNegotiation", False)
_PROFILES = _Kind("Profiles", "", True)
_KINDS = {
    canonical(kind.title): kind
    for kind in (_TRANSFER_SYNTAXES, _CONTEXTS, _ROLE_SELECTION, _EXTENDED, _PROFILES)
}


def read_lists(tree: dict[str, Supersection], problems: Problems) -> Lists:
    """Every list of a file."""
    _check_supersections(tree, problems)

    def read(kind: _Kind, value_of: Callable[[Entry, Problems], T | None]) -> NamedLists[T] | None:
        found = tree.get(canonical(kind.title))
        return None if found is None else _read_lists(found.sections, kind, value_of, problems)

    transfer_syntaxes = read(_TRANSFER_SYNTAXES, _transfer_syntax)
    _check_transfer_syntaxes(transfer_syntaxes or {}, problems)

    def context(entry: Entry, problems: Problems) -> ProfileContext | None:
        return _context(entry, transfer_syntaxes, problems)

    contexts = read(_CONTEXTS, context)
    roles = read(_ROLE_SELECTION, _role) or {}
    extended = read(_EXTENDED, _extended_negotiation) or {}
    _refuse_repeated("role", roles, problems)
    _refuse_repeated("extended negotiation", extended, problems)
    profiles = tree.get(canonical(_PROFILES.title))
    return Lists(contexts, roles, extended, profiles.sections if profiles else [])


def find_list(
    lists: NamedLists[T] | None, kind: str, reference: str, line: int, problems: Problems
) -> NamedList[T] | None:
    """The list that a value refers to; None where there is none.

    Args:
        lists: Those that it may be.
        kind: What they are, for messages.
        reference: The value.
        line: Of the entry that refers.
        problems: Takes up what is wrong, unless that has been told of.
    """
    if lists is None:
        return None
    name = canonical(reference)
    found = lists.get(name)
    if found is None:
        fix = _suggestion(name, lists, problems) or f"there is {some(lists) or 'none'}"
        problems.error("unknown-list", line, f"there is no {kind} list {shown(reference)}", fix)
        return None
    if name != "".join(reference.split()).upper():
        what = f"{shown(reference)} is taken for [{found.title}], which DCMTK does not find"
        problems.warn("reference", line, what, "use letters, digits, '-' and '_' alone in names")
    if not found.items and not found.faulty:
        what = f"the {kind} list [{found.title}] in line {found.line} has no entry that counts"
        problems.error("empty-list", line, what, "add one")
    return found


# ---------------------------------------------------------------------- the shape of the file


def _check_supersections(tree: dict[str, Supersection], problems: Problems) -> None:
    for name, kind in _KINDS.items():
        if kind.needed and name not in tree:
            what = f"there is no [[{kind.title}]]"
            fix = "an association negotiation file has to have it"
            problems.error("no-supersection", 0, what, fix)
        elif kind.needed and not tree[name].sections:
            problems.error("no-section", tree[name].line, f"[[{kind.title}]] has no [section]", "add one")
    for name, found in tree.items():
        if name not in _KINDS:
            titles = [kind.title for kind in _KINDS.values()]
            fix = nearest(found.title, titles) or f"there are {', '.join(titles)}"
            problems.warn("unknown-supersection", found.line, f"[[{found.title}]] does not count", fix)


def _read_lists(
    sections: list[Section],
    kind: _Kind,
    value_of: Callable[[Entry, Problems], T | None],
    problems: Problems,
) -> NamedLists[T]:
    lists: NamedLists[T] = {}
    for section in sections:
        found = lists.setdefault(section.name, NamedList(section.title, section.line))
        if found.line != section.line:
            what = f"[{section.title}] stands in line {found.line} as well; its entries come behind those"
            problems.warn("repeated-section", section.line, what, "join them, or rename one")
        errors = len(problems.errors)
        values = [value_of(entry, problems) for entry in _in_order(section, kind.key, problems)]
        found.items += [value for value in values if value is not None]
        found.faulty |= len(problems.errors) > errors
    return lists


def _in_order(section: Section, key: str, problems: Problems) -> list[Entry]:
    """The entries of a list by their numbers."""
    numbered: list[tuple[int, Entry]] = []
    lines: dict[int, int] = {}
    for entry in section.entries:
        number = _number(entry, key, problems)
        if number is None:
            continue
        if lines.setdefault(number, entry.line) != entry.line:
            what = f"{key}{number} stands in line {lines[number]} as well; DCMTK leaves this one out"
            problems.warn("repeated-number", entry.line, what, "number it anew")
        numbered.append((number, entry))
    numbered.sort(key=_by_number)
    _warn_of_gap(section, key, [number for number, _ in numbered], problems)
    return [entry for _, entry in numbered]


def _by_number(numbered: tuple[int, Entry]) -> int:
    return numbered[0]


def _number(entry: Entry, key: str, problems: Problems) -> int | None:
    match = _NUMBERED.fullmatch(canonical(entry.key))
    if match is None or match[1] != key.upper():
        fix = f"write {key} and a number"
        problems.warn("unknown-key", entry.line, f"{shown(entry.key)} does not count", fix)
        return None
    if match[2][0] == "0":
        what = f"{shown(entry.key)}: DCMTK leaves out what has a number that begins with 0"
        problems.warn("number", entry.line, what, "number from 1, without zeros before")
    return int(match[2])


def _warn_of_gap(section: Section, key: str, numbers: list[int], problems: Problems) -> None:
    there = set(numbers)
    if not there or max(there) == len(there - {0}):
        return
    missing = next(number for number in range(1, len(there) + 2) if number not in there)
    what = f"[{section.title}] has no {key}{missing}; DCMTK leaves out everything behind the gap"
    problems.warn("gap", section.line, what, "number the entries 1, 2, 3 and so on")


def _check_transfer_syntaxes(lists: NamedLists[str], problems: Problems) -> None:
    for found in lists.values():
        distinct = list(dict.fromkeys(found.items))
        if len(distinct) < len(found.items):
            what = f"[{found.title}] has a transfer syntax more than once; the first one counts"
            problems.warn("repeated-transfer-syntax", found.line, what, "remove the others")
            found.items[:] = distinct
        if len(distinct) > MAX_TRANSFER_SYNTAXES:
            what = f"[{found.title}] has {len(distinct)} transfer syntaxes"
            fix = f"{MAX_TRANSFER_SYNTAXES} are the most for a presentation context"
            problems.error("too-many-transfer-syntaxes", found.line, what, fix)
            found.items.clear()
            found.faulty = True


def _refuse_repeated(kind: str, lists: NamedLists[OfClass[T]], problems: Problems) -> None:
    for found in lists.values():
        lines: dict[str, int] = {}
        for item in found.items:
            before = lines.setdefault(item.sop_class_uid, item.line)
            if before != item.line:
                what = f"the {kind} of {item.sop_class_uid} stands in line {before} as well"
                problems.error("repeated-class", item.line, what, "remove one of them")


# ---------------------------------------------------------------------- values


def _transfer_syntax(entry: Entry, problems: Problems) -> str | None:
    return _uid(entry.value, "transfer syntax", entry, problems)


def _context(entry: Entry, lists: NamedLists[str] | None, problems: Problems) -> ProfileContext | None:
    value = _after_class(entry, "the name of a transfer syntax list", problems)
    if value is None:
        return None
    uid, reference = value
    found = find_list(lists, "transfer syntax", reference, entry.line, problems)
    syntaxes = found.final() if found else ()
    return None if uid is None else ProfileContext(uid, syntaxes, canonical(reference), entry.line)


def _role(entry: Entry, problems: Problems) -> OfClass[AcceptorRole] | None:
    value = _after_class(entry, "SCU, SCP or BOTH", problems)
    if value is None:
        return None
    uid, word = value
    role = _ROLES.get(_trimmed(word, entry, problems).upper())
    if role is None:
        problems.error("role", entry.line, f"{shown(word)} is no role", "write SCU, SCP or BOTH")
    return None if uid is None or role is None else OfClass(uid, role, entry.line)


def _extended_negotiation(entry: Entry, problems: Problems) -> OfClass[bytes] | None:
    value = _after_class(entry, "bytes in hexadecimal digits", problems)
    if value is None:
        return None
    uid, digits = value
    digits = _trimmed(digits, entry, problems)
    if not _HEXADECIMAL.fullmatch(digits):
        what = f"{shown(digits)} does not consist of bytes with two hexadecimal digits each"
        problems.error("hexadecimal", entry.line, what, "write them without blanks, 0200 for example")
    elif len(digits) > 2 * MAX_EXTENDED_NEGOTIATION_LENGTH:
        what = f"{len(digits) // 2} bytes of extended negotiation"
        fix = f"{MAX_EXTENDED_NEGOTIATION_LENGTH} are the most"
        problems.error("too-long", entry.line, what, fix)
    elif uid is not None:
        return OfClass(uid, bytes.fromhex(digits), entry.line)
    return None


def _after_class(entry: Entry, what: str, problems: Problems) -> tuple[str | None, str] | None:
    r"""The SOP class before the `\`, None where it is none, and what is behind it."""
    name, separator, rest = entry.value.partition("\\")
    if not separator:
        text = f"{shown(entry.value)} has no '\\'"
        problems.error("separator", entry.line, text, f"write a SOP class, '\\' and {what}")
        return None
    return _uid(name, "SOP class", entry, problems), rest


def _trimmed(text: str, entry: Entry, problems: Problems) -> str:
    trimmed = text.strip(_BLANKS)
    if trimmed != text:
        what = f"blanks around {shown(trimmed)} do not count; DCMTK refuses the file for them"
        problems.warn("blanks", entry.line, what, "remove them")
    return trimmed


def _uid(text: str, kind: str, entry: Entry, problems: Problems) -> str | None:
    """The UID for a UID, a name of DCMTK's (also as `=Name`) or a keyword."""
    name = _trimmed(text, entry, problems).removeprefix("=")
    if _NUMBER_LIKE.fullmatch(name):
        uid = _checked(name, kind, entry, problems)
    else:
        uid = _named(name, kind, entry, problems)
    known = UIDS.get(uid or "")
    if known is not None and (known[2] == "Transfer Syntax") is not (kind == "transfer syntax"):
        what = f"{shown(name)} is a {known[2]}, and a {kind} belongs here"
        problems.warn("wrong-kind", entry.line, what, "no peer will accept that")
    return uid


def _checked(uid: str, kind: str, entry: Entry, problems: Problems) -> str | None:
    """The UID, if one can be sent that looks like this."""
    if is_valid_uid(uid):
        return uid
    usable = is_valid_uid(uid, Tolerance.NONCONFORMING_UID)
    what = f"{shown(uid)} is no valid UID for a {kind}" + ("" if usable else "; the entry is left out")
    fix = "numbers without zeros before them, joined by dots, 64 characters at most"
    problems.warn("malformed-uid", entry.line, what, fix)
    return uid if usable else None


def _named(name: str, kind: str, entry: Entry, problems: Problems) -> str | None:
    if kind == "transfer syntax" and name in _TRANSFER_SYNTAX_NAMES:
        return _TRANSFER_SYNTAX_NAMES[name]
    try:
        return uid_for(name)
    except ValueError:
        fix = _suggestion(name, _names(kind), problems) or "write a UID, DCMTK's name or the keyword"
        problems.error("uid", entry.line, f"{shown(name)} is not a known {kind}", fix)
        return None


def _suggestion(word: str, words: Iterable[str], problems: Problems) -> str:
    # To look for what is near takes milliseconds; a file that is none would take minutes.
    return nearest(word, words) if len(problems.errors) < MAX_SUGGESTIONS else ""


def _names(kind: str) -> Iterator[str]:
    wanted = kind == "transfer syntax"
    if wanted:
        yield from _TRANSFER_SYNTAX_NAMES
    for uid, entry in UIDS.items():
        if (entry[2] == "Transfer Syntax") is wanted:
            yield DCMTK_NAMES.get(uid, entry[1])
