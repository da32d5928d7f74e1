r"""Association negotiation profiles from a text in DCMTK's format: text in, policies out.

```ini
[[TransferSyntaxes]]
[Plain]
TransferSyntax1 = LittleEndianExplicit
[[PresentationContexts]]
[Outgoing]
PresentationContext1 = CTImageStorage\Plain
[[Profiles]]
[Default]
PresentationContexts = Outgoing
```

A file that DCMTK refuses is refused, with the line and what to do. What DCMTK reads otherwise than it was
meant, without a word (entries behind a gap in the numbers, for example), is read as it was meant, with a
warning. Nothing here does I/O: `dcmnet.Profiles.load` reads a file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from dcmnet import arguments
from dcmnet._records import dataclass
from dcmnet.acse import AcceptorPolicy, AcceptorRole, ProposedContext, RequestorPolicy, SupportedContext
from dcmnet.asconfig_lists import Lists, NamedList, NamedLists, OfClass, ProfileContext, find_list, read_lists
from dcmnet.asconfig_text import Problem, Problems, Section, canonical, nearest, read_sections, shown, some
from dcmnet.errors import ProfileError
from dcmnet.limits import MAX_PRESENTATION_CONTEXTS, MAX_PROFILE_TEXT_LENGTH, MAX_PROFILES
from dcmnet.ul.items import SOPClassExtendedNegotiation

T = TypeVar("T")

__all__ = ["Problem", "Profile", "ProfileContext", "Profiles"]

_CONTEXTS, _ROLES, _EXTENDED = "PRESENTATIONCONTEXTS", "SCPSCUROLESELECTION", "EXTENDEDNEGOTIATION"
_KEYS = {
    _CONTEXTS: "PresentationContexts",
    _ROLES: "SCPSCURoleSelection",
    _EXTENDED: "ExtendedNegotiation",
}


@dataclass(frozen=True, slots=True)
class Profile:
    """What to negotiate, as either side of an association.

    Attributes:
        name: In upper case, as it is referred to.
        source: Name of the file, for messages.
        line: Where the profile is.
        contexts: Presentation contexts in order.
        roles: By SOP class the roles of the requestor: what it proposes, and what an acceptor lets it take.
        extended_negotiation: By SOP class the service-class-application-information (PS3.7 D.3.3.5).
    """

    name: str
    source: str
    line: int
    contexts: tuple[ProfileContext, ...]
    roles: dict[str, AcceptorRole]
    extended_negotiation: dict[str, bytes]

    @property
    def requestor_problem(self) -> Problem | None:
        """Why it cannot serve a requestor."""
        # PS3.8 9.3.2.2: ids are odd, 1 to 255.
        if len(self.contexts) <= MAX_PRESENTATION_CONTEXTS:
            return None
        line = self.contexts[MAX_PRESENTATION_CONTEXTS].line
        text = f"{len(self.contexts)} presentation contexts, and a requestor proposes at most 128"
        return Problem("error", "too-many-contexts", line, text, "split the list over several profiles")

    @property
    def acceptor_problem(self) -> Problem | None:
        """Why it cannot serve an acceptor."""
        seen: dict[str, int] = {}
        for context in self.contexts:
            before = seen.setdefault(context.abstract_syntax, context.line)
            if before != context.line:
                text = (
                    f"{context.abstract_syntax} is listed in line {before} as well: not a valid SCP profile"
                )
                fix = "an acceptor has one entry for a SOP class; put the transfer syntaxes into one list"
                return Problem("error", "repeated-class", context.line, text, fix)
        return None

    def proposed_contexts(self) -> tuple[ProposedContext, ...]:
        """What a requestor proposes, with its roles.

        Raises:
            ProfileError: More than 128 contexts.
        """
        self._refuse(self.requestor_problem, "a requestor")
        return tuple(
            ProposedContext(
                abstract_syntax=each.abstract_syntax,
                transfer_syntaxes=each.transfer_syntaxes,
                scu_role=_proposed(self.roles, each.abstract_syntax, AcceptorRole.SCU),
                scp_role=_proposed(self.roles, each.abstract_syntax, AcceptorRole.SCP),
            )
            for each in self.contexts
        )

    def proposed_extended_negotiations(self) -> tuple[SOPClassExtendedNegotiation, ...]:
        """The SOP Class Extended Negotiation items of a requestor."""
        items = self.extended_negotiation.items()
        return tuple(SOPClassExtendedNegotiation(uid, information) for uid, information in items)

    def requestor_policy(
        self, *, called_ae_title: str = "ANY-SCP", calling_ae_title: str = "DCMNET", **settings: Any
    ) -> RequestorPolicy:
        """What a requestor asks for: one context an entry, in order, roles and extended negotiation.

        Args:
            called_ae_title: Of the peer.
            calling_ae_title: Its own.
            settings: Other attributes of RequestorPolicy.

        Raises:
            ProfileError: More than 128 contexts.
        """
        return RequestorPolicy(
            called_ae_title=called_ae_title,
            calling_ae_title=calling_ae_title,
            contexts=self.proposed_contexts(),
            extended_negotiations=self.proposed_extended_negotiations(),
            **settings,
        )

    def acceptor_policy(self, *, ae_title: str = "", **settings: Any) -> AcceptorPolicy:
        """How an acceptor answers: the listed classes, the first transfer syntax of its own list that fits.

        Classes that are not listed are refused. Extended negotiation is answered where it was proposed.

        Args:
            ae_title: Its own title.
            settings: Other attributes of AcceptorPolicy.

        Raises:
            ProfileError: A SOP class is listed more than once.
        """
        self._refuse(self.acceptor_problem, "an acceptor")
        contexts = tuple(
            SupportedContext(
                abstract_syntax=each.abstract_syntax,
                transfer_syntaxes=each.transfer_syntaxes,
                role=self.roles.get(each.abstract_syntax, AcceptorRole.DEFAULT),
            )
            for each in self.contexts
        )
        answers = _Answers(tuple(self.extended_negotiation.items())) if self.extended_negotiation else None
        return AcceptorPolicy(
            ae_title=ae_title,
            contexts=contexts,
            transfer_syntax_order="acceptor",
            extended_negotiation=answers,
            **settings,
        )

    def _refuse(self, problem: Problem | None, side: str) -> None:
        if problem is not None:
            text = f"{problem.describe(self.source)}; profile {self.name} cannot serve {side}"
            raise ProfileError(text, problems=(problem,))


def _proposed(roles: dict[str, AcceptorRole], uid: str, role: AcceptorRole) -> bool | None:
    return role in roles[uid] if uid in roles else None


@dataclass(frozen=True, slots=True)
class _Answers:
    """Answers a SOP Class Extended Negotiation item with what is configured for its class."""

    information: tuple[tuple[str, bytes], ...]

    def __call__(self, item: SOPClassExtendedNegotiation) -> bytes | None:
        return dict(self.information).get(item.sop_class_uid)


class Profiles:
    """The profiles of a text, by name; of a name only letters, digits, `-` and `_` count, in any case.

    Args:
        text: In DCMTK's format.
        source: Name of the file, for messages.

    Attributes:
        source: As it was given.
        warnings: What DCMTK's tools read otherwise, by line.

    Raises:
        ProfileError: The text cannot be used; all its errors are in there.
    """

    def __init__(self, text: str, source: str = "profiles") -> None:
        arguments.text(text, "text")
        self.source = arguments.text(source, "source")
        problems = Problems()
        self._profiles = _read(text, source, problems)
        if problems.errors:
            raise _failure(source, problems)
        self.warnings = tuple(sorted(problems.warnings, key=_line))

    def __getitem__(self, name: str) -> Profile:
        """The profile of that name.

        Raises:
            ProfileError: There is none.
        """
        profile = self._profiles.get(canonical(name))
        if profile is None:
            there = f"{self.source} has {some(self._profiles)}"
            raise ProfileError(f"unknown configuration profile name: {canonical(name)}: {there}")
        return profile

    def __contains__(self, name: object) -> bool:
        """Whether there is a profile of that name."""
        return isinstance(name, str) and canonical(name) in self._profiles

    def __iter__(self) -> Iterator[str]:
        """The names, in the order of the text."""
        return iter(self._profiles)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._profiles)


def _line(problem: Problem) -> int:
    return problem.line


def _failure(source: str, problems: Problems) -> ProfileError:
    first, *others = sorted(problems.errors, key=_line)
    more = f" (and {len(others)} more)" if others else ""
    found = tuple(sorted((*problems.errors, *problems.warnings), key=_line))
    return ProfileError(first.describe(source) + more, problems=found)


def _read(text: str, source: str, problems: Problems) -> dict[str, Profile]:
    if len(text) > MAX_PROFILE_TEXT_LENGTH:
        limit = f"longer than {MAX_PROFILE_TEXT_LENGTH} characters"
        problems.error("length", 0, limit, "is it an association negotiation file?")
        return {}
    tree = read_sections(text, problems)
    lists = read_lists(tree, problems)
    if len(lists.profiles) > MAX_PROFILES:
        text = f"{len(lists.profiles)} profiles"
        fix = f"spread them over several files, {MAX_PROFILES} are the most"
        problems.error("too-many-profiles", lists.profiles[MAX_PROFILES].line, text, fix)
    profiles: dict[str, Profile] = {}
    for section in lists.profiles[:MAX_PROFILES]:
        before = profiles.get(section.name)
        if before is not None:
            what = f"profile [{section.title}] is defined in line {before.line} as well"
            problems.error("repeated-profile", section.line, what, "rename one of them")
        profiles[section.name] = _read_profile(section, source, lists, problems)
    return profiles


def _read_profile(section: Section, source: str, lists: Lists, problems: Problems) -> Profile:
    references = _references(section, problems)
    contexts: NamedList[ProfileContext] | None = None
    if _CONTEXTS in references:
        contexts = find_list(lists.contexts, "presentation context", *references[_CONTEXTS], problems)
    else:
        what = f"profile [{section.title}] names no presentation contexts"
        problems.error("no-contexts", section.line, what, "add PresentationContexts = and the name of a list")
    roles, extended = lists.roles, lists.extended_negotiation
    return Profile(
        section.name,
        source,
        section.line,
        contexts.final() if contexts else (),
        _by_class(references.get(_ROLES), "role", roles, contexts, problems),
        _by_class(references.get(_EXTENDED), "extended negotiation", extended, contexts, problems),
    )


def _references(section: Section, problems: Problems) -> dict[str, tuple[str, int]]:
    """By key the name of a list, and the line; of two entries with the same key the first one counts."""
    references: dict[str, tuple[str, int]] = {}
    for entry in section.entries:
        key = canonical(entry.key)
        if key not in _KEYS:
            fix = nearest(entry.key, _KEYS.values()) or f"a profile has {', '.join(_KEYS.values())}"
            problems.warn("unknown-key", entry.line, f"{shown(entry.key)} does not count", fix)
        elif key in references:
            what = f"{_KEYS[key]} stands in line {references[key][1]} as well, and that one counts"
            problems.warn("repeated-key", entry.line, what, "remove one of them")
        else:
            references[key] = entry.value, entry.line
    return references


def _by_class(
    reference: tuple[str, int] | None,
    kind: str,
    lists: NamedLists[OfClass[T]],
    contexts: NamedList[ProfileContext] | None,
    problems: Problems,
) -> dict[str, T]:
    """What the list that is referred to says about SOP classes, all of which have to be in the contexts."""
    found = None if reference is None else find_list(lists, kind, *reference, problems)
    if found is None or reference is None:
        return {}
    if contexts is not None and not contexts.faulty:
        listed = {context.abstract_syntax for context in contexts.items}
        for item in found.items:
            if item.sop_class_uid not in listed:
                what = f"the {kind} of {item.sop_class_uid} is for no presentation context of the profile"
                fix = f"line {reference[1]} puts the two lists together: add the context, or remove this"
                problems.error("unlisted-class", item.line, what, fix)
    return {item.sop_class_uid: item.value for item in found.items}
