"""The profile that `-xf` names, and what the logs say about its file."""

from __future__ import annotations

from logging import Logger
from typing import TYPE_CHECKING

from dcmnet.cli.options import Arguments

if TYPE_CHECKING:
    from dcmnet.asconfig import Profile
    from dcmnet.errors import ProfileError

_MOST_ERRORS = 20


def chosen_profile(arguments: Arguments, log: Logger) -> Profile | None:
    """The profile that `-xf` names; None without it. Warnings about the file are logged.

    Raises:
        ProfileError: The file cannot be used, or has no such profile.
    """
    if arguments.config_file is None:
        return None
    from dcmnet.storage.profiles import Profiles  # few runs need it

    filename, name = arguments.config_file
    found = Profiles.load(filename)
    for problem in found.warnings:
        log.warning("%s", problem.describe(found.source))
    return found[name]


def log_refusal(log: Logger, error: ProfileError) -> None:
    """Say why a profile cannot be used, as far as a person reads."""
    log.critical("cannot read config file: %s", error)
    others = [problem for problem in error.problems if problem.severity == "error"][1:]
    for problem in others[:_MOST_ERRORS]:
        log.error("line %d: %s: %s", problem.line, problem.text, problem.fix)
