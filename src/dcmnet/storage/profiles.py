"""Association negotiation profiles from a file."""

from __future__ import annotations

from os import PathLike, fspath
from typing import Self

from dcmnet import asconfig
from dcmnet.errors import ProfileError
from dcmnet.limits import MAX_PROFILE_TEXT_LENGTH


class Profiles(asconfig.Profiles):
    """The profiles of a text in DCMTK's format, or of a file, by name.

    ```python
    policy = dcmnet.Profiles.load("profiles.cfg")["Archive"].acceptor_policy(ae_title="ARCHIVE")
    ```

    Of a name letters, digits, `-` and `_` count, in any case.

    Args:
        text: In DCMTK's format.
        source: Name of the file, for messages.

    Attributes:
        source: As it was given.
        warnings: What DCMTK's tools read otherwise, by line.

    Raises:
        ProfileError: The text cannot be used; all its errors are in there.
    """

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """The profiles of a file.

        Args:
            path: The file, in UTF-8; outside of comments it has to be ASCII.

        Raises:
            ProfileError: It cannot be read, or not be used; the message has the line and what to do.
        """
        name = fspath(path)
        try:
            with open(name, "rb") as file:
                content = file.read(4 * MAX_PROFILE_TEXT_LENGTH + 1)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise ProfileError(f"unable to open configuration file: {name}: {why}") from error
        return cls(content.decode("utf-8", "replace"), name)
