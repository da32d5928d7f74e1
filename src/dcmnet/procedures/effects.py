"""The whole contract between the procedures and the drivers that do their input and output.

A procedure is a generator. It yields one of the effects below; the driver carries it out and sends the
outcome back in, or throws the exception it ended with. Nothing else passes between the two.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from dcmnet._records import dataclass
from dcmnet.payload import Payload

if TYPE_CHECKING:
    from dcmnet.procedures.association import AssociationCore
    from dcmnet.tls import TLS

T = TypeVar("T")


class Sink(Protocol):
    """Where the bytes of a data set go as they arrive."""

    def write(self, views: Sequence[memoryview]) -> None:
        """Take all the bytes of `views`, which are valid during this call only.

        Raises:
            OSError: They could not be written.
        """


@dataclass(slots=True)
class Connect:
    """Open the transport connection.

    Outcome: None; TransportClosed or DeadlineExceeded where it fails, TLSSettingsError where `tls` cannot be
    used.
    """

    host: str
    port: int
    timeout: float | None
    tls: TLS | None = None


NEVER = sys.maxsize
"""A position in the incoming stream that lies behind everything."""


@dataclass(slots=True)
class Send:
    """Send the parts in order.

    Outcome: True when all were handed to the system; False when the association ended meanwhile. How it
    ended, and what the peer sent before, comes with the events of the next `Receive`.

    Attributes:
        parts: What to send.
        heard: What came from the peer before all of it was handed to the system: pairs of how many bytes were
            left to send, and of the position in the incoming stream up to which the peer had sent by then.
            The position is `NEVER` for bytes that are not sent at all.
    """

    parts: Sequence[Payload]
    heard: list[tuple[int, int]] | None = None

    def note(self, left: int, position: int) -> None:
        """Something came from the peer while so many bytes were left to send."""
        if self.heard is None:
            self.heard = []
        elif self.heard[-1][0] == left:
            self.heard.pop()  # the later position covers the earlier one
        self.heard.append((left, position))


@dataclass(slots=True)
class Receive:
    """Wait for the next event of the Upper Layer.

    Outcome: the event, or the `Finished` of a call that was started; None when the connection is closed and
    there is no more. The exception that ends the association is raised, DeadlineExceeded(timer) after
    `seconds` without an event.

    Attributes:
        looked: The procedure has asked the Upper Layer already, and it needs more bytes.
    """

    timer: str = ""
    seconds: float | None = None
    looked: bool = False


@dataclass(slots=True)
class Look:
    """Take the bytes that have arrived, without waiting.

    Outcome: whether a `Receive` would bring something now, be it the end of the association.

    Attributes:
        to_the_end: Take all that fits into the buffer, also if something is there already.
    """

    to_the_end: bool = False


@dataclass(slots=True)
class Store:
    """Write the views to the sink. Outcome: None; an OSError where it fails."""

    sink: Sink
    views: Sequence[memoryview]


@dataclass(slots=True)
class Call:
    """Call the handler, in a thread or awaited where the face asks for that. Outcome: what it returns."""

    handler: Callable[..., Any]
    args: tuple[Any, ...] = ()


@dataclass(slots=True)
class Start:
    """Begin to call the handler beside what the procedure does. Outcome: None.

    How it ended comes as `Finished` from a later `Receive` or `Join`. Only where the peer may have several
    operations under way (PS3.7 D.3.3.3), and no more of them than that.

    Attributes:
        then: Makes the procedure that deals with the end of the call.
        failed: Called with the error where there was one and the association has ended, so that nobody is
            left to be answered.
    """

    handler: Callable[..., Any]
    args: tuple[Any, ...]
    then: Callable[[Finished], Procedure[None]]
    failed: Callable[[BaseException], Any]


@dataclass(slots=True)
class Finished:
    """A call that was begun with `Start` has ended; with an error also where it was cancelled before."""

    call: Start
    outcome: Any = None
    error: BaseException | None = None


@dataclass(slots=True)
class Join:
    """Wait for the end of a call that was started, and for nothing else. Outcome: its `Finished`.

    Attributes:
        cancel: Cancel those that can be.
    """

    cancel: bool = False


@dataclass(slots=True)
class Next:
    """Take the next item, of an asynchronous iterator too. Outcome: it, or None when there are no more."""

    iterator: Any


@dataclass(slots=True)
class Spawn:
    """Run a procedure of another association, on a connection of its own. Outcome: that of the procedure.

    The connection lasts until a procedure closes it: the next one for the same core goes on with it.
    """

    core: AssociationCore
    procedure: Procedure[Any]


@dataclass(slots=True)
class Wait:
    """Let time pass; there is no connection meanwhile. Outcome: None."""

    seconds: float


@dataclass(slots=True)
class Together:
    """Run procedures of other associations beside each other; none of them may raise. Outcome: None."""

    spawns: Sequence[Spawn]


@dataclass(slots=True)
class Close:
    """Close the transport connection. Outcome: None."""


Effect: TypeAlias = (
    "Connect | Send | Receive | Look | Store | Call | Start | Join | Next | Spawn | Together | Wait | Close"
)
Procedure: TypeAlias = Generator[Effect, Any, T]
