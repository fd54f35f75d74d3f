"""What turning a knob of the cycle does: to actions, to what the gate allows, to the control loop's time."""

from __future__ import annotations

import time
from collections.abc import Iterator

import gymnasium
import numpy as np
import pytest

from uniros_env_server import registration
from uniros_env_server.environments.robot_env import RobotTaskEnv
from uniros_env_server.robots.model import load_model
from uniros_env_server.safety.gate import SafetyGate, SafetyLimits
from uniros_env_server.safety.refusal import Refusal
from uniros_env_server.timing.pace import Timeline

registration.register()
TURN = np.array([1, 0, 0, 0, 0], np.float32)  # the waist, at full speed
STAY = np.zeros(5, np.float32)


def make(**kwargs: object) -> RobotTaskEnv:
    env = gymnasium.make("RX200ReachSim-v0", **kwargs).unwrapped
    assert isinstance(env, RobotTaskEnv)
    env.reset(seed=1)
    return env


@pytest.fixture
def env() -> RobotTaskEnv:
    return make()


@pytest.fixture
def real_time() -> Iterator[RobotTaskEnv]:
    made = make(real_time=True)
    yield made
    made.close()


def waist(env: RobotTaskEnv) -> float:
    """rad, where it has been told to be."""
    return float(env.snapshot().state.setpoint[0, 0])


@pytest.mark.parametrize(("changes", "way"), [
    ({}, 0.1), ({"cycle_time": 0.2}, 0.2), ({"action_scale": 0.5}, 0.05), ({"velocity_scale": 0.25}, 0.025),
    ({"cycle_time": 0.05, "action_scale": 1.5, "velocity_scale": 0.5}, 0.0375), ({"smoothing": 0.75}, 0.025),
])  # fmt: skip
def test_an_action_goes_as_far_as_the_knobs_say(env: RobotTaskEnv, changes: dict[str, float], way: float) -> None:
    env.tuning.turn("cycle", changes)
    info = env.step(TURN)[4]
    assert waist(env) == pytest.approx(way) and info["refusal"] == ""
    assert info["executed_action"][0] == pytest.approx(1 - changes.get("smoothing", 0.0))
    assert env.cycle_time == changes.get("cycle_time", 0.1)


def test_actions_in_space_are_slowed_too() -> None:
    ways = []
    for scale in (1.0, 0.5):
        env = make(action_type="ee")
        env.tuning.turn("cycle", {"velocity_scale": scale})
        env.step(np.array([0, 0.3, 0], np.float32))
        ways.append(waist(env))
    assert ways[1] == pytest.approx(ways[0] / 2, rel=1e-3)


def test_smoothed_actions_approach_what_is_asked_and_fade_when_nothing_is(env: RobotTaskEnv) -> None:
    env.tuning.turn("cycle", {"smoothing": 0.5})
    done = [env.step(action)[4]["executed_action"][0] for action in (TURN, TURN, TURN, STAY, STAY)]
    assert done == pytest.approx([0.5, 0.75, 0.875, 0.4375, 0.21875])
    env.reset()
    assert env.step(TURN)[4]["executed_action"][0] == pytest.approx(0.5), "an episode begins at rest"


def test_the_tolerance_decides_what_success_is(env: RobotTaskEnv) -> None:
    env.tuning.turn("cycle", {"tolerance": 0.2})
    assert env.step(STAY)[2] and env.describe_task()["parameters"]["tolerance"] == 0.2
    env.tuning.turn("cycle", {"tolerance": 0.001})
    assert not env.step(STAY)[2]


def test_limits_tell_what_holds_now(env: RobotTaskEnv) -> None:
    before = env.limits
    env.tuning.turn("cycle", {"velocity_scale": 0.5, "watchdog": 0.1})
    after = env.limits
    assert after["joints"]["waist"]["speed"] == pytest.approx(before["joints"]["waist"]["speed"] / 2)
    assert after["margins"]["state_age"] == 0.1 and after["cycle"]["velocity_scale"] == 0.5


def test_a_measurement_older_than_the_watchdog_is_no_ground_to_move_on(env: RobotTaskEnv) -> None:
    state = env.snapshot().state
    assert env.gate.watch(state, 0.2) is Refusal.NONE
    env.tuning.turn("cycle", {"watchdog": 0.1})
    assert env.gate.watch(state, 0.2) is Refusal.STATE and env.gate.watch(state, 0.05) is Refusal.NONE


@pytest.mark.parametrize(("changes", "message"), [
    ({"velocity_scale": 1.01}, "velocity_scale must be a number from 0.05 to 1, not 1.01"),
    ({"action_scale": 1.6}, "action_scale must be a number from 0.05 to 1.5, not 1.6"),
    ({"watchdog": 0.3}, "watchdog must be a number from 0.02 to 0.25, not 0.3"),
    ({"cycle_time": float("nan")}, "cycle_time must be a number from 0.04 to 2, not nan"),
])  # fmt: skip
def test_no_knob_goes_beyond_the_robots_safety_figures(env: RobotTaskEnv, changes: dict, message: str) -> None:
    before = env.limits
    with pytest.raises(ValueError, match=message):
        env.tuning.turn("cycle", {"tolerance": 0.1, **changes})
    assert env.limits == before


def test_the_gate_itself_is_never_widened() -> None:
    gate = SafetyGate(load_model("rx200"), SafetyLimits.load("rx200", "real"))
    speeds = gate.speeds.copy()
    for wide in ((1.1, 0.25), (1.0, 0.3), (float("nan"), 0.25), (0.0, 0.25)):
        with pytest.raises(ValueError, match=r"safety\.yaml allows a velocity_scale of at most 1"):
            gate.narrow(*wide)
    assert np.array_equal(gate.speeds, speeds)
    gate.narrow(0.5, 0.1)
    assert gate.speeds == pytest.approx(speeds / 2) and gate.velocity_scale == 0.5
    gate.narrow(1.0, 0.25)
    assert np.array_equal(gate.speeds, speeds), "to the last bit"


# --- real time


def test_a_cycle_in_real_time_is_a_whole_number_of_periods(real_time: RobotTaskEnv) -> None:
    with pytest.raises(ValueError, match=r"whole number of control periods of 0\.02 s, not 0\.09"):
        real_time.tuning.turn("cycle", {"cycle_time": 0.09, "velocity_scale": 0.5})
    assert real_time.cycle_time == 0.1 and real_time.gate.velocity_scale == 1.0
    real_time.tuning.turn("cycle", {"cycle_time": 0.06})
    begun = time.monotonic()
    for _ in range(5):
        info = real_time.step(TURN)[4]
    assert time.monotonic() - begun == pytest.approx(0.06 * (5 + info["overruns"]), abs=0.03)
    assert waist(real_time) == pytest.approx(0.3)


def test_simulated_time_passes_at_the_factor_and_never_jumps(real_time: RobotTaskEnv) -> None:
    real_time.step(TURN)
    real_time.tuning.turn("physics", {"real_time_factor": 4.0})
    begun = time.monotonic()
    for _ in range(8):
        info = real_time.step(TURN)[4]
    cycles = 8 + info["overruns"]  # on a busy machine an action may come too late for its cycle
    assert time.monotonic() - begun == pytest.approx(cycles * 0.025, abs=0.03)
    assert waist(real_time) == pytest.approx(0.9), "of which the arm sees nothing"


def test_a_timeline_goes_on_from_where_it_is() -> None:
    timeline = Timeline()
    for factor in (4.0, 0.25, 1.0):
        before = timeline.now()
        timeline.pace(factor)
        assert 0.0 <= timeline.now() - before < 0.01


def test_a_silent_learner_is_noticed_once_after_the_watchdogs_time(real_time: RobotTaskEnv) -> None:
    real_time.tuning.turn("cycle", {"watchdog": 0.06})
    real_time.step(TURN)
    assert real_time.timing_report()["silences"] == 0
    time.sleep(0.15)
    assert real_time.timing_report()["silences"] == 1
    real_time.reset()
    time.sleep(0.1)
    assert real_time.timing_report()["silences"] == 1, "an episode that has not begun waits for nobody"


def test_smoothing_forgets_what_was_done_before_a_rest(real_time: RobotTaskEnv) -> None:
    real_time.tuning.turn("cycle", {"smoothing": 0.5})
    for _ in range(3):
        real_time.step(TURN)
    time.sleep(0.25)
    info = real_time.step(STAY)[4]
    assert info["overruns"] > 0 and info["executed_action"][0] == pytest.approx(0.0, abs=1e-6)
