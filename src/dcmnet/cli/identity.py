"""The user identity that a command line asks for (PS3.7 D.3.3.7). What is secret goes into no message."""

from __future__ import annotations

from logging import Logger

from dcmnet.cli.options import Arguments, UsageError
from dcmnet.ul.items import UserIdentityRQ

# PS3.7 D.3.3.7.1, Table D.3-14.
USER_NAME, USER_NAME_AND_PASSCODE, KERBEROS, SAML, JWT = 1, 2, 3, 4, 5

MAX_FIELD_LENGTH = 65535
"""PS3.7 D.3.3.7.1: a field's length has two bytes."""

_IN_FILES = (("kerberos", KERBEROS), ("saml", SAML), ("jwt", JWT))


def user_identity(arguments: Arguments, log: Logger) -> UserIdentityRQ | None:
    """What `-usr`, `-kt`, `--saml` or `--jwt` stands for; None without any of them.

    Raises:
        UsageError: A file cannot be read, is empty or too long.
    """
    confirm = arguments.pos_response is True
    for name, kind in _IN_FILES:
        if f"--{name}" in arguments:
            content = _content(getattr(arguments, name))
            # a token has no blanks, and an editor leaves a line feed
            return UserIdentityRQ(kind, content.strip() if kind == JWT else content, b"", confirm)
    if "--user" not in arguments:
        return None
    user = _field(arguments.user.encode(), "the user name")
    password = _password(arguments, log)
    if password is None:
        return UserIdentityRQ(USER_NAME, user, b"", confirm)
    return UserIdentityRQ(USER_NAME_AND_PASSCODE, user, _field(password, "the password"), confirm)


def _password(arguments: Arguments, log: Logger) -> bytes | None:
    if "--empty-password" in arguments:
        return b""
    if "--password-file" in arguments:
        return _content(arguments.password_file).split(b"\n")[0].rstrip(b"\r")
    if "--password" not in arguments:
        return None
    log.warning("the password of -pwd shows in the list of processes: -pwf reads it from a file")
    password: str = arguments.password
    return password.encode()


def _content(name: str) -> bytes:
    try:
        with open(name, "rb") as file:
            content = file.read(MAX_FIELD_LENGTH + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"cannot read {name}: {why}") from error
    if not content:
        raise UsageError(f"{name} is empty")
    return _field(content, name)


def _field(value: bytes, what: str) -> bytes:
    if len(value) > MAX_FIELD_LENGTH:
        raise UsageError(f"{what} is longer than {MAX_FIELD_LENGTH} bytes")
    return value
