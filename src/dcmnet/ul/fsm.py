"""The Upper Layer state machine of PS3.8 9.2, written as the standard prints it.

`TABLE` is Table 9-10, `ACTIONS` are Tables 9-6 to 9-9. Both are read into dictionaries when the module is
imported. `StateMachine` is the only place in the library where a state is assigned.
"""

from __future__ import annotations

import enum

from dcmnet._records import dataclass
from dcmnet.errors import LocalProtocolError


class Sta(enum.IntEnum):
    """The thirteen states of PS3.8 Tables 9-1 to 9-5."""

    STA1 = 1
    """Idle."""
    STA2 = 2
    """Transport connection open (awaiting A-ASSOCIATE-RQ PDU)."""
    STA3 = 3
    """Awaiting local A-ASSOCIATE response primitive."""
    STA4 = 4
    """Awaiting transport connection opening to complete."""
    STA5 = 5
    """Awaiting A-ASSOCIATE-AC or A-ASSOCIATE-RJ PDU."""
    STA6 = 6
    """Association established and ready for data transfer."""
    STA7 = 7
    """Awaiting A-RELEASE-RP PDU."""
    STA8 = 8
    """Awaiting local A-RELEASE response primitive."""
    STA9 = 9
    """Release collision, requestor side: awaiting A-RELEASE response primitive."""
    STA10 = 10
    """Release collision, acceptor side: awaiting A-RELEASE-RP PDU."""
    STA11 = 11
    """Release collision, requestor side: awaiting A-RELEASE-RP PDU."""
    STA12 = 12
    """Release collision, acceptor side: awaiting A-RELEASE response primitive."""
    STA13 = 13
    """Awaiting transport connection close indication (association no longer exists)."""


class Evt(enum.IntEnum):
    """The nineteen events of PS3.8 Table 9-10."""

    EVT1 = 1
    """A-ASSOCIATE request (local user)."""
    EVT2 = 2
    """Transport connection confirmation (local transport service)."""
    EVT3 = 3
    """A-ASSOCIATE-AC PDU received."""
    EVT4 = 4
    """A-ASSOCIATE-RJ PDU received."""
    EVT5 = 5
    """Transport connection indication (local transport service)."""
    EVT6 = 6
    """A-ASSOCIATE-RQ PDU received."""
    EVT7 = 7
    """A-ASSOCIATE response primitive (accept)."""
    EVT8 = 8
    """A-ASSOCIATE response primitive (reject)."""
    EVT9 = 9
    """P-DATA request primitive."""
    EVT10 = 10
    """P-DATA-TF PDU received."""
    EVT11 = 11
    """A-RELEASE request primitive."""
    EVT12 = 12
    """A-RELEASE-RQ PDU received."""
    EVT13 = 13
    """A-RELEASE-RP PDU received."""
    EVT14 = 14
    """A-RELEASE response primitive."""
    EVT15 = 15
    """A-ABORT request primitive."""
    EVT16 = 16
    """A-ABORT PDU received."""
    EVT17 = 17
    """Transport connection closed indication (local transport service)."""
    EVT18 = 18
    """ARTIM timer expired."""
    EVT19 = 19
    """Unrecognized or invalid PDU received."""


class Op(enum.Enum):
    """What an action asks its provider to do, in the order given."""

    CONNECT = "connect"
    SEND = "send"
    SEND_REJECT = "send-reject"
    SEND_USER_ABORT = "send-user-abort"
    SEND_PROVIDER_ABORT = "send-provider-abort"
    INDICATE = "indicate"
    INDICATE_P_ABORT = "indicate-p-abort"
    START_ARTIM = "start-artim"
    STOP_ARTIM = "stop-artim"
    CLOSE = "close"
    IGNORE = "ignore"


# PS3.8 Tables 9-6, 9-7, 9-8 and 9-9. "/" parts the two outcomes of an action: of AE-6 for a request that the
# service-provider finds acceptable or not, of AR-8 for the association-requestor and the acceptor.
ACTIONS_TEXT = """
AE-1   connect                                              Sta4
AE-2   send                                                 Sta5
AE-3   indicate                                             Sta6
AE-4   indicate close                                       Sta1
AE-5   start-artim                                          Sta2
AE-6   stop-artim indicate                                  Sta3  / stop-artim send-reject start-artim Sta13
AE-7   send                                                 Sta6
AE-8   send start-artim                                     Sta13
DT-1   send                                                 Sta6
DT-2   indicate                                             Sta6
AR-1   send                                                 Sta7
AR-2   indicate                                             Sta8
AR-3   indicate close                                       Sta1
AR-4   send start-artim                                     Sta13
AR-5   stop-artim                                           Sta1
AR-6   indicate                                             Sta7
AR-7   send                                                 Sta8
AR-8   indicate                                             Sta9  / indicate Sta10
AR-9   send                                                 Sta11
AR-10  indicate                                             Sta12
AA-1   send-user-abort start-artim                          Sta13
AA-2   stop-artim close                                     Sta1
AA-3   indicate close                                       Sta1
AA-4   indicate-p-abort                                     Sta1
AA-5   stop-artim                                           Sta1
AA-6   ignore                                               Sta13
AA-7   send-provider-abort                                  Sta13
AA-8   send-provider-abort indicate-p-abort start-artim     Sta13
"""

# PS3.8 Table 9-10. A dot is an empty cell: the event cannot occur, or must not, in that state.
TABLE_TEXT = """
       Sta1  Sta2  Sta3  Sta4  Sta5  Sta6  Sta7  Sta8  Sta9  Sta10 Sta11 Sta12 Sta13
Evt1   AE-1  .     .     .     .     .     .     .     .     .     .     .     .
Evt2   .     .     .     AE-2  .     .     .     .     .     .     .     .     .
Evt3   .     AA-1  AA-8  .     AE-3  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
Evt4   .     AA-1  AA-8  .     AE-4  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
Evt5   AE-5  .     .     .     .     .     .     .     .     .     .     .     .
Evt6   .     AE-6  AA-8  .     AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-7
Evt7   .     .     AE-7  .     .     .     .     .     .     .     .     .     .
Evt8   .     .     AE-8  .     .     .     .     .     .     .     .     .     .
Evt9   .     .     .     .     .     DT-1  .     AR-7  .     .     .     .     .
Evt10  .     AA-1  AA-8  .     AA-8  DT-2  AR-6  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
Evt11  .     .     .     .     .     AR-1  .     .     .     .     .     .     .
Evt12  .     AA-1  AA-8  .     AA-8  AR-2  AR-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-6
Evt13  .     AA-1  AA-8  .     AA-8  AA-8  AR-3  AA-8  AA-8  AR-10 AR-3  AA-8  AA-6
Evt14  .     .     .     .     .     .     .     AR-4  AR-9  .     .     AR-4  .
Evt15  .     .     AA-1  AA-2  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1  AA-1  .
Evt16  .     AA-2  AA-3  .     AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-3  AA-2
Evt17  .     AA-5  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AA-4  AR-5
Evt18  .     AA-2  .     .     .     .     .     .     .     .     .     .     AA-2
Evt19  .     AA-1  AA-8  .     AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-8  AA-7
"""


@dataclass(frozen=True, slots=True)
class Transition:
    """What one event does: the action's name, its operations in order, and the next state."""

    action: str
    operations: tuple[Op, ...]
    next_state: Sta


def _read_outcome(name: str, text: str) -> Transition:
    *operations, state = text.split()
    return Transition(name, tuple(Op(word) for word in operations), Sta[state.upper()])


def _read_actions(text: str) -> dict[str, tuple[Transition, ...]]:
    rows = (line.split(maxsplit=1) for line in text.strip().splitlines())
    return {name: tuple(_read_outcome(name, part) for part in rest.split("/")) for name, rest in rows}


def _read_table(text: str) -> dict[tuple[Evt, Sta], str]:
    header, *rows = (line.split() for line in text.strip().splitlines())
    return {
        (Evt[event.upper()], Sta[state.upper()]): cell
        for event, *cells in rows
        for state, cell in zip(header, cells, strict=True)
        if cell != "."
    }


ACTIONS = _read_actions(ACTIONS_TEXT)
TABLE = _read_table(TABLE_TEXT)


class StateMachine:
    """The state of one association, and the only writer of it.

    Args:
        requestor: True on the side that asks for the association; it decides AR-8's outcome.
    """

    __slots__ = ("_requestor", "_state")

    def __init__(self, *, requestor: bool) -> None:
        self._requestor = requestor
        self._state = Sta.STA1

    @property
    def state(self) -> Sta:
        """The state the association is in."""
        return self._state

    def handle(self, event: Evt, *, acceptable: bool = True) -> Transition:
        """Take one event, go to the next state.

        Args:
            event: What happened.
            acceptable: For EVT6, whether the service-provider finds the request acceptable.

        Returns:
            The action's name, its operations and the state that has now been reached.

        Raises:
            LocalProtocolError: The cell of Table 9-10 is empty; the state is as it was.
        """
        name = TABLE.get((event, self._state))
        if name is None:
            where = self._state.name.capitalize()
            raise LocalProtocolError(f"{event.name.capitalize()} cannot happen in {where} (PS3.8 Table 9-10)")
        outcomes = ACTIONS[name]
        first = self._requestor if name == "AR-8" else acceptable
        transition = outcomes[0] if first or len(outcomes) == 1 else outcomes[1]
        self._state = transition.next_state
        return transition
