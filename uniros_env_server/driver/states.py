"""What the driver does with the arm, as a table: nothing happens that is not listed here."""

from __future__ import annotations

import enum


class State(enum.Enum):
    """The driver's state; its value is what `driver/state` and diagnostics say."""

    LIMP = "limp"  # torque off
    HOLDING = "holding"
    FOLLOWING = "following"
    LOWERING = "lowering"  # on the way down, torque goes off at the end
    ESTOP = "estop"  # holds (or is limp), refuses everything until cleared
    FAULT = "fault"  # something is broken; holds what it can, refuses everything until cleared


class Event(enum.Enum):
    """What can happen; its value completes the sentence 'cannot ...'."""

    TORQUE_ON = "turn torque on"
    COMMAND = "follow a command"
    ARRIVED = "arrive"
    LOWER = "lower the arm"
    LET_GO = "turn torque off"
    REBOOT = "reboot servos"
    ESTOP = "stop"
    FAULT = "fail"
    CLEAR = "clear"
    CLEAR_LIMP = "clear without torque"


class NotNow(Exception):
    """Raised when the driver's state does not allow what was asked; the message says what would."""


_TABLE = {
    (State.LIMP, Event.TORQUE_ON): State.HOLDING,
    (State.LIMP, Event.REBOOT): State.LIMP,
    (State.HOLDING, Event.TORQUE_ON): State.HOLDING,
    (State.HOLDING, Event.COMMAND): State.FOLLOWING,
    (State.HOLDING, Event.LOWER): State.LOWERING,
    (State.FOLLOWING, Event.TORQUE_ON): State.FOLLOWING,
    (State.FOLLOWING, Event.COMMAND): State.FOLLOWING,
    (State.FOLLOWING, Event.ARRIVED): State.HOLDING,
    (State.FOLLOWING, Event.LOWER): State.LOWERING,
    (State.LOWERING, Event.LET_GO): State.LIMP,
    (State.LOWERING, Event.ARRIVED): State.HOLDING,
    (State.LOWERING, Event.LOWER): State.LOWERING,
    (State.ESTOP, Event.CLEAR): State.HOLDING,
    (State.ESTOP, Event.CLEAR_LIMP): State.LIMP,
    (State.FAULT, Event.CLEAR): State.HOLDING,
    (State.FAULT, Event.CLEAR_LIMP): State.LIMP,
    (State.FAULT, Event.REBOOT): State.FAULT,
    (State.FAULT, Event.ESTOP): State.FAULT,
    # Clearing what is not stopped is harmless.
    (State.LIMP, Event.CLEAR_LIMP): State.LIMP,
    (State.HOLDING, Event.CLEAR): State.HOLDING,
    (State.FOLLOWING, Event.CLEAR): State.FOLLOWING,
    (State.LOWERING, Event.CLEAR): State.LOWERING,
}
_TABLE.update({(state, Event.ESTOP): State.ESTOP for state in State if state is not State.FAULT})
_TABLE.update({(state, Event.FAULT): State.FAULT for state in State})

_ADVICE = {
    State.LIMP: "torque is off: call driver/torque with data: true",
    State.HOLDING: "it holds a position: lower the arm first (driver/torque with data: false)",
    State.FOLLOWING: "the arm is moving: stop it first",
    State.LOWERING: "the arm is on its way down",
    State.ESTOP: "emergency stop: call driver/clear_estop when it is safe",
    State.FAULT: "fault: see /diagnostics, then call driver/clear_estop",
}


def after(state: State, event: Event) -> State | None:
    """The next state; None when the event is not allowed in this one."""
    return _TABLE.get((state, event))


def require(state: State, event: Event) -> State:
    """The next state. Raises NotNow with advice when the event is not allowed in this one."""
    following = after(state, event)
    if following is None:
        raise NotNow(f"cannot {event.value} now; {_ADVICE[state]}")
    return following
