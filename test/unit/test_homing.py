"""How an arm is brought to rest, however long its action cycles are."""

from __future__ import annotations

from types import SimpleNamespace as Record
from typing import Any

import numpy as np
import pytest

from uniros_env_server.environments.homing import Homing
from uniros_msgs.errors import RobotFault

HOME = np.zeros((1, 2))  # rad: one joint of the arm; m: a finger
GATE: Any = Record(model=Record(arm=["waist"]))


class Swinging:
    """A clock of its own time, whose arm swings for so many cycles."""

    def __init__(self, cycle_time: float, cycles: int) -> None:
        self.cycle_time, self.cycles, self.now = cycle_time, cycles, 0.0

    def engage(self) -> Any:
        return self._state(0.0)

    def cycle(self, decide: Any) -> Any:
        self.now += self.cycle_time
        self.cycles -= 1
        state = self._state(0.3 if self.cycles >= 0 else 0.0)
        return Record(state=state, cancelled=False, decision=Record(refusal=[0]))

    def _state(self, speed: float) -> Any:
        speeds = np.array([[speed]])
        return Record(setpoint=HOME, positions=lambda joints: HOME[:, :1], velocities=lambda joints: speeds)


def bring(arm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.monotonic", lambda: arm.now)
    planner: Any = None  # it is there already
    Homing(arm, GATE, planner, prepare=lambda: None).bring(HOME, lambda share, phase: None)


@pytest.mark.parametrize(("cycle_time", "cycles"), [(0.1, 15), (1.6, 4)])
def test_a_swinging_arm_is_waited_for_in_long_cycles_too(
    cycle_time: float, cycles: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm = Swinging(cycle_time, cycles)
    bring(arm, monkeypatch)
    assert arm.now == pytest.approx((cycles + 1) * cycle_time)


@pytest.mark.parametrize("cycle_time", [0.1, 1.6])
def test_an_arm_that_goes_on_swinging_is_a_fault(cycle_time: float, monkeypatch: pytest.MonkeyPatch) -> None:
    arm = Swinging(cycle_time, 1000)
    with pytest.raises(RobotFault, match="does not come to rest"):
        bring(arm, monkeypatch)
    assert arm.now < 12.0
