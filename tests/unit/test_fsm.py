"""Table 9-10 of PS3.8: every one of the 247 cells, as requestor and as acceptor."""

from __future__ import annotations

import pytest

from dcmnet.errors import LocalProtocolError
from dcmnet.ul.fsm import ACTIONS, TABLE, Evt, Op, Sta, StateMachine

# The table once more, typed from the standard column by column (a state a line), so that a slip in the
# module's own block, which is written row by row, shows. Events without an entry must not happen.
_AA8 = dict.fromkeys((3, 4, 6, 10, 12, 13, 19), "AA-8")
_END = {15: "AA-1", 16: "AA-3", 17: "AA-4"}
COLUMNS: dict[int, dict[int, str]] = {
    1: {1: "AE-1", 5: "AE-5"},
    2: {**dict.fromkeys((3, 4, 10, 12, 13, 19), "AA-1"), 6: "AE-6", 16: "AA-2", 17: "AA-5", 18: "AA-2"},
    3: {**_AA8, **_END, 7: "AE-7", 8: "AE-8"},
    4: {2: "AE-2", 15: "AA-2", 17: "AA-4"},
    5: {**_AA8, **_END, 3: "AE-3", 4: "AE-4"},
    6: {**_AA8, **_END, 9: "DT-1", 10: "DT-2", 11: "AR-1", 12: "AR-2"},
    7: {**_AA8, **_END, 10: "AR-6", 12: "AR-8", 13: "AR-3"},
    8: {**_AA8, **_END, 9: "AR-7", 14: "AR-4"},
    9: {**_AA8, **_END, 14: "AR-9"},
    10: {**_AA8, **_END, 13: "AR-10"},
    11: {**_AA8, **_END, 13: "AR-3"},
    12: {**_AA8, **_END, 14: "AR-4"},
    13: {
        **dict.fromkeys((3, 4, 10, 12, 13), "AA-6"),
        **dict.fromkeys((6, 19), "AA-7"),
        16: "AA-2",
        17: "AR-5",
        18: "AA-2",
    },
}
NEXT_STATE = {
    "AE-1": 4, "AE-2": 5, "AE-3": 6, "AE-4": 1, "AE-5": 2, "AE-6": 3, "AE-7": 6, "AE-8": 13,
    "DT-1": 6, "DT-2": 6,
    "AR-1": 7, "AR-2": 8, "AR-3": 1, "AR-4": 13, "AR-5": 1, "AR-6": 7, "AR-7": 8, "AR-9": 11, "AR-10": 12,
    "AA-1": 13, "AA-2": 1, "AA-3": 1, "AA-4": 1, "AA-5": 1, "AA-6": 13, "AA-7": 13, "AA-8": 13,
}  # fmt: skip

# How to bring a machine into each state by events alone; the last three columns need a collision.
PATHS: dict[int, tuple[int, ...]] = {
    1: (), 2: (5,), 3: (5, 6), 4: (1,), 5: (1, 2), 6: (1, 2, 3), 7: (1, 2, 3, 11), 8: (1, 2, 3, 12),
    9: (1, 2, 3, 11, 12), 10: (5, 6, 7, 11, 12), 11: (1, 2, 3, 11, 12, 14), 12: (5, 6, 7, 11, 12, 13),
    13: (5, 6, 8),
}  # fmt: skip
COLLISION_SIDE = {9: True, 10: False, 11: True, 12: False}


def machine_in(state: int, requestor: bool) -> StateMachine:
    machine = StateMachine(requestor=COLLISION_SIDE.get(state, requestor))
    for event in PATHS[state]:
        machine.handle(Evt(event))
    assert machine.state == state
    return machine


@pytest.mark.parametrize("requestor", [True, False], ids=["requestor", "acceptor"])
@pytest.mark.parametrize("state", range(1, 14))
@pytest.mark.parametrize("event", range(1, 20))
def test_every_cell(event: int, state: int, requestor: bool) -> None:
    machine = machine_in(state, requestor)
    expected = COLUMNS[state].get(event)
    if expected is None:
        with pytest.raises(LocalProtocolError, match=rf"Evt{event} cannot happen in Sta{state} "):
            machine.handle(Evt(event))
        assert machine.state == state
        return
    transition = machine.handle(Evt(event))
    assert transition.action == expected
    next_state = (9 if requestor else 10) if expected == "AR-8" else NEXT_STATE[expected]
    assert machine.state == transition.next_state == next_state


def test_the_table_has_no_other_cells() -> None:
    assert len(TABLE) == sum(len(column) for column in COLUMNS.values())
    assert len(ACTIONS) == 28
    assert set(TABLE.values()) == set(ACTIONS)


def test_a_request_the_provider_cannot_accept_is_rejected_at_once() -> None:
    machine = machine_in(2, requestor=False)
    transition = machine.handle(Evt.EVT6, acceptable=False)
    assert transition.operations == (Op.STOP_ARTIM, Op.SEND_REJECT, Op.START_ARTIM)
    assert machine.state is Sta.STA13


@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_artim_runs_in_sta2_and_sta13_only(action: str) -> None:
    # PS3.8 9.1.5: the timer guards the wait for an A-ASSOCIATE-RQ and for the close of the connection.
    for outcome in ACTIONS[action]:
        if Op.START_ARTIM in outcome.operations:
            assert outcome.next_state in (Sta.STA2, Sta.STA13)
        if outcome.next_state is Sta.STA1 and action not in ("AE-4", "AR-3", "AA-3", "AA-4"):
            assert Op.STOP_ARTIM in outcome.operations
