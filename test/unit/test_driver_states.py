"""The driver's state machine: the table walked as a whole."""

from __future__ import annotations

import pytest

from uniros_env_server.driver.states import Event, NotNow, State, after, require


def reachable(state: State) -> set[State]:
    found, new = set(), {state}
    while new:
        found |= new
        new = {step for one in new for event in Event if (step := after(one, event))} - found
    return found


def test_every_state_is_reachable_and_none_is_a_trap() -> None:
    for state in State:
        assert reachable(state) == set(State)


def test_an_emergency_stop_and_a_fault_are_heard_in_every_state() -> None:
    for state in State:
        assert after(state, Event.ESTOP) is (State.FAULT if state is State.FAULT else State.ESTOP)
        assert after(state, Event.FAULT) is State.FAULT


def test_only_clearing_leads_out_of_a_stop() -> None:
    for state in (State.ESTOP, State.FAULT):
        out = {event for event in Event if after(state, event) not in (None, State.ESTOP, State.FAULT)}
        assert out == {Event.CLEAR, Event.CLEAR_LIMP}


def test_nothing_moves_without_torque_or_while_stopped() -> None:
    for state in (State.LIMP, State.ESTOP, State.FAULT, State.LOWERING):
        with pytest.raises(NotNow, match=r"cannot follow a command now; .+"):
            require(state, Event.COMMAND)


def test_torque_goes_only_from_an_arm_that_was_lowered() -> None:
    assert [state for state in State if after(state, Event.LET_GO)] == [State.LOWERING]
