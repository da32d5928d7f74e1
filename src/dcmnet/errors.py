"""Every exception that dcmnet raises on purpose.

```
DcmnetError
├── ProtocolError                 source and reason of the A-ABORT it maps to
│   ├── LocalProtocolError        asked for what the state, the negotiation or PS3.7 forbids now
│   │   └── InvalidAETitle        (ValueError) a text that cannot be an AE title
│   └── RemoteProtocolError       the peer did; A-ABORT already queued
├── AssociationError
│   ├── AssociationRejected       result, source, reason, the text of PS3.8 Table 9-21
│   ├── AssociationAborted        source, reason, by provider or user
│   ├── AssociationReleased       the peer asked for release where a message was due
│   └── TransportClosed           Evt17, chained OSError
├── DeadlineExceeded(TimeoutError)  which timer
├── NoPresentationContext         abstract and transfer syntaxes, offered and accepted
├── StatusError                   a status and a comment: of a response, or for the one that a handler gives
├── InputFileError                a file or data set that cannot be sent: which, and why
│   └── LimitExceeded             one that a limit of `dcmnet.Limits` keeps from being read
├── TLSSettingsError              TLS settings that cannot be used: which file or option, and why
└── ProfileError                  an association negotiation profile, or its file: which line, and what to do
```
"""

from __future__ import annotations

TYPE_CHECKING = False  # as type checkers see it, without importing `typing`
if TYPE_CHECKING:
    from typing import Any

    from dcmnet.asconfig_text import Problem

# PS3.8 9.3.8, Table 9-26: the source field of an A-ABORT PDU.
ABORT_SOURCE_USER = 0
ABORT_SOURCE_PROVIDER = 2

# PS3.8 9.3.8, Table 9-26: the reason field, significant when the source is the service-provider.
ABORT_NOT_SPECIFIED = 0
ABORT_UNRECOGNIZED_PDU = 1
ABORT_UNEXPECTED_PDU = 2
ABORT_UNRECOGNIZED_PARAMETER = 4
ABORT_UNEXPECTED_PARAMETER = 5
ABORT_INVALID_PARAMETER_VALUE = 6

_ABORT_SOURCES = {0: "service-user", 1: "reserved", 2: "service-provider"}
_ABORT_REASONS = {
    0: "reason-not-specified",
    1: "unrecognized-PDU",
    2: "unexpected-PDU",
    3: "reserved",
    4: "unrecognized-PDU-parameter",
    5: "unexpected-PDU-parameter",
    6: "invalid-PDU-parameter-value",
}

# PS3.8 9.3.4, Table 9-21.
_REJECT_RESULTS = {1: "rejected-permanent", 2: "rejected-transient"}
_REJECT_SOURCES = {
    1: "service-user",
    2: "service-provider (ACSE related function)",
    3: "service-provider (Presentation related function)",
}
_REJECT_REASONS = {
    (1, 1): "no-reason-given",
    (1, 2): "application-context-name-not-supported",
    (1, 3): "calling-AE-title-not-recognized",
    (1, 7): "called-AE-title-not-recognized",
    (2, 1): "no-reason-given",
    (2, 2): "protocol-version-not-supported",
    (3, 1): "temporary-congestion",
    (3, 2): "local-limit-exceeded",
}


class DcmnetError(Exception):
    """The root of every exception of this library. All of them can be pickled and copied."""

    def __reduce__(self) -> Any:
        # What BaseException has would call the class with the message alone.
        return _made_again, (type(self), self.args), self.__dict__


def _made_again(kind: type[DcmnetError], args: tuple[object, ...]) -> DcmnetError:
    error = kind.__new__(kind)
    error.args = args
    return error


class ProtocolError(DcmnetError):
    """The protocol was broken.

    Attributes:
        source: Source field of the A-ABORT PDU that answers it (PS3.8 Table 9-26).
        reason: Reason field of that PDU, 0 when the source is the service-user.
    """

    def __init__(self, message: str, *, source: int = ABORT_SOURCE_USER, reason: int = 0) -> None:
        super().__init__(message)
        self.source = source
        self.reason = reason


class LocalProtocolError(ProtocolError):
    """The caller asked for what the state, the negotiation or PS3.7 forbids now. Nothing was sent."""


class InvalidAETitle(LocalProtocolError, ValueError):
    """A text that cannot be an AE title: empty, too long, or with characters that it may not have."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol. An A-ABORT has been queued; the association is over."""

    def __init__(
        self,
        message: str,
        *,
        source: int = ABORT_SOURCE_PROVIDER,
        reason: int = ABORT_INVALID_PARAMETER_VALUE,
    ) -> None:
        super().__init__(message, source=source, reason=reason)


class AssociationError(DcmnetError):
    """The association could not be established, or ended before its work was done."""


class AssociationRejected(AssociationError):
    """The peer answered with A-ASSOCIATE-RJ.

    Attributes:
        result: 1 permanent, 2 transient (PS3.8 Table 9-21).
        source: 1 service-user, 2 ACSE, 3 presentation.
        reason: Reason or diagnostic, its meaning depends on the source.
    """

    def __init__(self, result: int, source: int, reason: int) -> None:
        self.result = result
        self.source = source
        self.reason = reason
        super().__init__(f"association rejected: {self.describe()}")

    def describe(self) -> str:
        """The result, source and reason in the words of PS3.8 Table 9-21."""
        return ", ".join(reject_texts(self.result, self.source, self.reason))


class AssociationAborted(AssociationError):
    """The association ended with an A-ABORT PDU from the peer, or with a local abort.

    Attributes:
        source: 0 service-user, 2 service-provider (PS3.8 Table 9-26).
        reason: Reason, significant when the source is the service-provider.
    """

    def __init__(self, source: int, reason: int, *, locally: bool = False) -> None:
        self.source = source
        self.reason = reason
        self.locally = locally
        by = "this side" if locally else "the peer"
        super().__init__(f"association aborted by {by}: {abort_text(source, reason)}")


class AssociationReleased(AssociationError):
    """The peer released the association where this side still waited for a message."""


class TransportClosed(AssociationError):
    """The transport connection could not be made, or is gone (PS3.8 Evt17); an OSError may be chained."""


class DeadlineExceeded(DcmnetError, TimeoutError):
    """A timer ran out.

    Attributes:
        timer: Which one: `connect`, `TLS handshake`, `ARTIM`, `ACSE`, `DIMSE`, `network`, `write` or `minimum
            rate`.
        seconds: Its length in seconds.
    """

    def __init__(self, timer: str, seconds: float | None = None) -> None:
        self.timer = timer
        self.seconds = seconds
        length = "" if seconds is None else f" of {seconds:g} s"
        super().__init__(f"the {timer} timer{length} ran out")


class NoPresentationContext(DcmnetError):
    """No accepted presentation context fits.

    Attributes:
        abstract_syntax: UID that was needed.
        transfer_syntaxes: UIDs that would have served, in order of preference.
        offered: Transfer syntaxes that were proposed for the abstract syntax.
        accepted: Transfer syntaxes that the peer accepted for it.
    """

    def __init__(
        self,
        message: str,
        *,
        abstract_syntax: str,
        transfer_syntaxes: tuple[str, ...] = (),
        offered: tuple[str, ...] = (),
        accepted: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.abstract_syntax = abstract_syntax
        self.transfer_syntaxes = transfer_syntaxes
        self.offered = offered
        self.accepted = accepted


class StatusError(DcmnetError):
    """A status that is no success.

    It is raised by `raise_for_status()` for the response of a peer, and by handlers, namers, sorters and
    conversions for the response that goes to a peer:

    ```python
    raise dcmnet.StatusError(0xA700, "no room left")
    ```

    `StatusError("a text for the log", status=0xA700, comment="no room left")` has a message of its own.

    Attributes:
        status: The status, 0 to 0xFFFF.
        comment: Error Comment (0000,0902), at most 64 characters; nothing about patients. Empty for none.
        offending_element: Tags of Offending Element (0000,0901), empty when the peer sent none.
        error_id: Error ID (0000,0903), None when the peer sent none.

    Raises:
        TypeError: The status is no integer, or is missing.
        ValueError: It has more than 16 bits.
    """

    def __init__(
        self,
        what: int | str = "",
        comment: str = "",
        *,
        status: int | None = None,
        offending_element: tuple[int, ...] = (),
        error_id: int | None = None,
    ) -> None:
        message = ""
        if isinstance(what, str):
            message = what
        elif status is None:
            status = what
        else:
            raise TypeError("status: it is given twice, expected once")
        if not isinstance(status, int) or isinstance(status, bool) or not isinstance(comment, str):
            raise TypeError("a StatusError has an integer as its status, and a text as its comment")
        if not 0 <= status <= 0xFFFF:
            raise ValueError(f"status: {status}, expected 0 to 0xFFFF")
        self.status = int(status)
        self.offending_element = offending_element
        self.error_id = error_id
        self.comment = comment
        super().__init__(message or f"0x{status:04X}" + (f": {comment}" if comment else ""))


class InputFileError(DcmnetError):
    """A file or data set cannot be sent.

    Attributes:
        name: The file's name, or what stands for it.
        why: What is wrong with it.
    """

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name = name
        self.why = why


class LimitExceeded(InputFileError):
    """A file or data set is not read because of a limit of `dcmnet.Limits`: it would cost too much."""


class TLSSettingsError(DcmnetError):
    """The settings of TLS cannot be used: a missing file, a wrong password, an unknown cipher suite.

    Attributes:
        name: The file, or the setting.
        why: What is wrong with it, and what to do.
    """

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.name = name
        self.why = why


class ProfileError(DcmnetError):
    """An association negotiation profile, or the file it is in, cannot be used.

    Attributes:
        problems: Everything that was found in the file, by line: what makes it unusable has the severity
            "error". Empty when the file could not be read, or has no such profile.
    """

    def __init__(self, message: str, *, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


def abort_text(source: int, reason: int) -> str:
    """An A-ABORT's source and reason in the words of PS3.8 Table 9-26."""
    by = _ABORT_SOURCES.get(source, f"source {source}")
    if source != ABORT_SOURCE_PROVIDER:
        return by
    return f"{by}, {_ABORT_REASONS.get(reason, f'reason {reason}')}"


def reject_texts(result: int, source: int, reason: int) -> tuple[str, str, str]:
    """An A-ASSOCIATE-RJ's result, source and reason in the words of PS3.8 Table 9-21."""
    return (
        _REJECT_RESULTS.get(result, f"result {result}"),
        _REJECT_SOURCES.get(source, f"source {source}"),
        _REJECT_REASONS.get((source, reason), f"reserved reason {reason}"),
    )
