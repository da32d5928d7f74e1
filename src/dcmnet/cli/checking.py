"""What `dcmnet asconfig check` does once its command line is read."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from dcmnet.asconfig import Problem, Profile
from dcmnet.cli.json_output import JsonLines
from dcmnet.cli.options import Arguments
from dcmnet.cli.running import EXIT_SUCCESS
from dcmnet.errors import ProfileError
from dcmnet.registry.uids import name_of
from dcmnet.storage.profiles import Profiles

EXIT_PROBLEMS = 1
_PLAIN_WIDTH = 110
_ROLE_NAMES = {0: "", 1: "SCU", 2: "SCP", 3: "SCU and SCP"}


def check(arguments: Arguments) -> int:
    """Show what a file means and what is wrong with it; returns the exit code."""
    show: _Text | _Json = _Json(JsonLines(is_essential=True)) if arguments.json else _Text()
    profiles: Profiles | None = None
    try:
        profiles = Profiles.load(arguments.file)
        wanted = list(profiles) if arguments.profile is None else [arguments.profile]
        chosen = [profiles[name] for name in wanted]
    except ProfileError as error:
        problems = error.problems if profiles is None else profiles.warnings
        show.problems(arguments.file, problems)
        if not any(problem.severity == "error" for problem in problems):
            show.failure(str(error))
        show.conclude(arguments.file, len(profiles or ()), EXIT_PROBLEMS)
        return EXIT_PROBLEMS
    show.problems(arguments.file, profiles.warnings)
    for profile in chosen:
        show.profile(profile)
    code = EXIT_PROBLEMS if arguments.strict and profiles.warnings else EXIT_SUCCESS
    show.conclude(arguments.file, len(profiles), code)
    return code


class _Json:
    """JSON lines."""

    def __init__(self, lines: JsonLines) -> None:
        self._lines = lines
        self._counts = {"error": 0, "warning": 0}

    def failure(self, text: str) -> None:
        """Why there is nothing to show."""
        self._counts["error"] += 1
        self._lines.event("error", text=text)

    def problems(self, file: str, problems: Sequence[Problem]) -> None:
        """What is wrong."""
        for problem in problems:
            self._counts[problem.severity] += 1
            self._lines.event(
                problem.severity,
                file=file,
                line=problem.line,
                kind=problem.kind,
                text=problem.text,
                fix=problem.fix,
            )

    def profile(self, profile: Profile) -> None:
        """What a profile means."""
        self._lines.event(
            "profile",
            name=profile.name,
            line=profile.line,
            requestor=profile.requestor_problem is None,
            acceptor=profile.acceptor_problem is None,
            contexts=[
                {
                    "sop_class_uid": context.abstract_syntax,
                    "transfer_syntaxes": context.transfer_syntaxes,
                    "role": _role_name(profile, context.abstract_syntax),
                    "extended_negotiation": _information_of(profile, context.abstract_syntax) or None,
                }
                for context in profile.contexts
            ],
        )

    def conclude(self, file: str, profiles: int, code: int) -> None:
        """The totals."""
        errors, warnings = self._counts["error"], self._counts["warning"]
        self._lines.summary(file=file, profiles=profiles, errors=errors, warnings=warnings, exit_code=code)


class _Text:
    """Lines and tables for a person."""

    def __init__(self) -> None:
        self._counts = {"error": 0, "warning": 0}
        self._failed = False

    def failure(self, text: str) -> None:
        """Why there is nothing to show."""
        self._failed = True
        print(f"error: {text}")

    def problems(self, file: str, problems: Sequence[Problem]) -> None:
        """What is wrong."""
        for problem in problems:
            self._counts[problem.severity] += 1
            print(f"{problem.severity}: {problem.describe(file)}")
        if problems:
            print()

    def profile(self, profile: Profile) -> None:
        """What a profile means."""
        console = _console()
        console.print(f"profile {profile.name} (line {profile.line}), {_sides(profile)}", soft_wrap=True)
        _print_contexts(console, profile)
        _print_lists(console, profile)

    def conclude(self, file: str, profiles: int, code: int) -> None:
        """The verdict."""
        if self._failed:
            return
        verdict = "cannot be used" if self._counts["error"] else "can be used"
        print(
            f"{file} {verdict}: {_count(profiles, 'profile')}, {_count(self._counts['error'], 'error')}, "
            f"{_count(self._counts['warning'], 'warning')}"
        )


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _console() -> Console:
    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = _PLAIN_WIDTH
    return console


def _sides(profile: Profile) -> str:
    """For which side of an association it is, and why not for the other one."""
    problems = {"requestor": profile.requestor_problem, "acceptor": profile.acceptor_problem}
    sides = [f"{side}s" for side, problem in problems.items() if problem is None]
    text = f"for {' and '.join(sides)}" if sides else "for nobody"
    for side, problem in problems.items():
        if problem is not None:
            text += f"; not for {side}s: line {problem.line}: {problem.text}"
    return text


def _print_contexts(console: Console, profile: Profile) -> None:
    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("", justify="right")
    table.add_column("SOP class", overflow="fold")
    table.add_column("transfer syntaxes", overflow="fold")
    with_roles, with_information = bool(profile.roles), bool(profile.extended_negotiation)
    if with_roles:
        table.add_column("the requestor is")
    if with_information:
        table.add_column("extended negotiation", overflow="fold")
    for number, context in enumerate(profile.contexts, 1):
        uid = context.abstract_syntax
        row = [str(number), name_of(uid), context.transfer_syntax_list]
        row += [_role_of(profile, uid)] * with_roles + [_information_of(profile, uid)] * with_information
        table.add_row(*row)
    console.print(table)


def _print_lists(console: Console, profile: Profile) -> None:
    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("transfer syntaxes")
    table.add_column("the best first", overflow="fold")
    table.add_column("UID", overflow="fold")
    lists = {context.transfer_syntax_list: context.transfer_syntaxes for context in profile.contexts}
    for name, syntaxes in lists.items():
        for position, uid in enumerate(syntaxes):
            table.add_row("" if position else name, name_of(uid), uid)
    console.print(table)


def _role_name(profile: Profile, uid: str) -> str | None:
    role = profile.roles.get(uid)
    return None if role is None else role.name


def _role_of(profile: Profile, uid: str) -> str:
    role = profile.roles.get(uid)
    return "" if role is None else _ROLE_NAMES[role.value]


def _information_of(profile: Profile, uid: str) -> str:
    return profile.extended_negotiation.get(uid, b"").hex()
