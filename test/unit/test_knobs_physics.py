"""What turning a knob of the physics does to an arm: what physics says, and nothing once it is turned back."""

from __future__ import annotations

import time
from collections.abc import Iterator

import gymnasium
import numpy as np
import pytest
from arm_statics import gravity_torques

from uniros_env_server import registration
from uniros_env_server.environments.robot_env import RobotTaskEnv
from uniros_env_server.robots.model import load_model
from uniros_env_server.robots.mujoco import MujocoRobot

registration.register()
MODEL = load_model("rx200")
READY = MODEL.poses["ready"]
START = np.array([[*READY, MODEL.opening]])
TURN = START + [[0.1, 0, 0, 0, 0, 0]]  # rad, the waist
GAINS = np.array([MODEL.simulation["gains"][name] for name in MODEL.arm])
CYCLE = 0.1  # s


@pytest.fixture
def robot() -> Iterator[MujocoRobot]:
    made = MujocoRobot(MODEL)
    made.turn({"friction": 0.0})  # it would hold the arm a little away from where gravity wants it
    made.reset(START)
    yield made
    made.close()


def droop(robot: MujocoRobot) -> np.ndarray:
    """(5,) rad by which the arm hangs away from where it is told to be."""
    robot.reset(START)
    robot.advance(3.0)
    return robot.state().positions(MODEL.arm)[0] - READY


def lag(robot: MujocoRobot) -> float:
    """s by which the waist is behind a set-point that moves at 1 rad/s."""
    robot.reset(START)
    for number in range(1, 11):
        robot.command(START + [[number * CYCLE, 0, 0, 0, 0, 0]], CYCLE)
        robot.advance(CYCLE)
    return float(robot.state().setpoint[0, 0] - robot.state().position[0, 0])


@pytest.mark.parametrize(("knob", "value", "share"), [
    ("gravity", -9.81, 1.0), ("gravity", -5.0, 5.0 / 9.81), ("gravity", 9.81, -1.0), ("mass", 2.0, 2.0),
    ("position_gain", 2.0, 0.5), ("velocity_gain", 2.0, 1.0),
])  # fmt: skip
def test_the_arm_hangs_by_the_torque_over_the_stiffness(robot: MujocoRobot, knob: str, value: float, share: float
                                                        ) -> None:
    robot.turn({knob: value})
    expected = share * gravity_torques(MODEL, READY, -9.81) / GAINS[:, 0]
    assert expected[2] == pytest.approx(share * 4.4e-3, rel=0.02)
    assert droop(robot)[1:4] == pytest.approx(expected[1:4], rel=0.02)


def test_without_gravity_nothing_hangs(robot: MujocoRobot) -> None:
    robot.turn({"gravity": 0.0})
    assert np.abs(droop(robot)).max() < 1e-6


@pytest.mark.parametrize(("changes", "expected"), [
    ({}, GAINS[0, 1] / GAINS[0, 0]),
    ({"velocity_gain": 1.5}, 1.5 * GAINS[0, 1] / GAINS[0, 0]),
    ({"damping": 3.0}, (GAINS[0, 1] + 3.0) / GAINS[0, 0]),
    ({"latency": 0.08}, GAINS[0, 1] / GAINS[0, 0] + 0.08),
    ({"latency": 0.08, "time_step": 0.004}, GAINS[0, 1] / GAINS[0, 0] + 0.08),
    ({"friction": 2.0}, (GAINS[0, 1] + 2 * MODEL.friction) / GAINS[0, 0]),
])  # fmt: skip
def test_the_arm_lags_by_damping_dead_time_and_friction(robot: MujocoRobot, changes: dict[str, float], expected: float
                                                        ) -> None:
    robot.turn(changes)
    assert lag(robot) == pytest.approx(expected, rel=0.02)


def test_the_time_step_is_that_of_the_integration(robot: MujocoRobot) -> None:
    robot.turn({"time_step": 0.005})
    robot.advance(0.012)
    assert robot.worlds[0].time == pytest.approx(0.010)
    robot.advance(0.003)
    assert robot.worlds[0].time == pytest.approx(0.015)


def test_a_ramp_under_way_ends_where_and_when_it_was_to_however_knobs_are_turned(robot: MujocoRobot) -> None:
    robot.command(TURN, CYCLE)
    robot.advance(0.05)
    half = robot.state().setpoint
    robot.turn({"time_step": 0.005, "mass": 2.0})
    assert np.array_equal(robot.state().setpoint, half), "nothing jumps"
    robot.advance(0.025)
    assert robot.state().setpoint[0, 0] == pytest.approx(0.075)
    robot.advance(0.025)
    assert np.array_equal(robot.state().setpoint, TURN)


def test_commands_come_after_the_dead_time_and_the_set_point_says_what_was_told(robot: MujocoRobot) -> None:
    robot.turn({"latency": 0.15})
    seen = []
    for number in range(1, 5):
        robot.command(START + [[0.1 * number, 0, 0, 0, 0, 0]], CYCLE)
        robot.advance(CYCLE)
        seen.append((robot.state().setpoint[0, 0], robot.worlds[0].act[0]))
    assert np.array(seen) == pytest.approx(np.array([(0.1, 0.0), (0.2, 0.05), (0.3, 0.15), (0.4, 0.25)]), abs=1e-9)
    robot.turn({"latency": 0.0})
    robot.advance(0.15)
    assert robot.worlds[0].act[0] == pytest.approx(0.4), "what was on its way arrives"
    robot.command(START, CYCLE)
    robot.advance(CYCLE)
    assert robot.worlds[0].act[0] == 0.0


def test_what_is_on_its_way_keeps_its_time_when_the_time_step_changes(robot: MujocoRobot) -> None:
    robot.turn({"latency": 0.15})
    robot.command(TURN, CYCLE)
    robot.advance(0.05)
    robot.turn({"time_step": 0.005})
    seen = []
    for _ in range(4):
        robot.advance(0.05)
        seen.append((robot.state().setpoint[0, 0], robot.worlds[0].act[0]))
    assert np.array(seen) == pytest.approx(np.array([(0.1, 0.0), (0.1, 0.0), (0.1, 0.05), (0.1, 0.1)]), abs=1e-9)


def test_heavier_links_turn_harder_too(robot: MujocoRobot) -> None:
    physics, names = robot.physics, ("body_mass", "body_inertia", "body_subtreemass")
    before = {name: getattr(physics, name).copy() for name in names}
    robot.turn({"mass": 2.0})
    for name in names:
        assert getattr(physics, name) == pytest.approx(2 * before[name]), name


def test_a_hold_stops_what_was_told_and_comes_after_the_dead_time_too(robot: MujocoRobot) -> None:
    robot.turn({"latency": 0.1})
    robot.command(TURN, CYCLE)
    robot.advance(0.05)
    robot.hold()
    robot.advance(0.2)
    assert robot.state().setpoint[0, 0] == pytest.approx(0.05)
    assert robot.worlds[0].act[0] == pytest.approx(0.05)


def test_noise_is_as_wide_as_told_and_only_on_what_is_measured(robot: MujocoRobot) -> None:
    robot.turn({"position_noise": 0.01, "velocity_noise": 0.2})
    robot.begin_noise([0], [np.random.SeedSequence(1)])
    robot.reset(START)
    robot.advance(3.0)
    seen = []
    for _ in range(1000):
        robot.advance(0.002)
        seen.append(robot.state())
    position, velocity = (np.array([getattr(state, name)(MODEL.arm)[0] for state in seen])
                          for name in ("positions", "velocities"))
    assert position.std(axis=0) == pytest.approx(0.01, rel=0.1) and velocity.std(axis=0) == pytest.approx(0.2, rel=0.1)
    assert abs(np.corrcoef(position[:, 0], velocity[:, 0])[0, 1]) < 0.1
    assert np.ptp([state.positions((MODEL.finger,)) for state in seen]) < 1e-6, "the fingers have none"
    assert np.array_equal(robot.state().position, robot.state().position), "looking twice shows the same"


def test_single_arms_of_a_batch_can_be_told_apart_but_not_in_what_all_share() -> None:
    robot = MujocoRobot(MODEL, 3)
    robot.turn({"friction": 0.0})
    robot.turn({"gravity": -5.0}, np.array([1]))
    robot.reset(np.repeat(START, 3, axis=0))
    robot.advance(3.0)
    hang = robot.state().positions(("elbow",))[:, 0] - READY[2]
    assert hang == pytest.approx(4.36e-3 * np.array([1, 5.0 / 9.81, 1]), rel=0.02)
    with pytest.raises(ValueError, match="latency: all arms of a batch share this"):
        robot.turn({"latency": 0.1}, np.array([1]))
    robot.turn({"gravity": 0.0})
    robot.reset(np.repeat(START, 3, axis=0))
    robot.advance(3.0)
    assert np.abs(robot.state().positions(("elbow",))[:, 0] - READY[2]).max() < 1e-6, "all rows"
    robot.close()


# --- in an environment


def episode(env: gymnasium.Env, seed: int = 3) -> np.ndarray:
    rng = np.random.default_rng(0)
    first = env.reset(seed=seed)[0]
    return np.array([first, *(env.step(rng.uniform(-1, 1, 5).astype(np.float32))[0] for _ in range(20))])


def turned(**changes: float) -> RobotTaskEnv:
    env = gymnasium.make("RX200ReachSim-v0").unwrapped
    assert isinstance(env, RobotTaskEnv)
    env.tuning.turn("physics", changes)
    return env


def test_knobs_turned_back_leave_no_trace() -> None:
    plain = episode(turned())
    env = turned(mass=2.0, gravity=-1.0, friction=3.0, damping=1.0, position_gain=0.5, velocity_gain=2.0, latency=0.05,
                 position_noise=0.02, velocity_noise=0.3, time_step=0.004)
    assert not np.array_equal(episode(env), plain)
    env.tuning.turn("physics", {"mass": 1.0, "gravity": -9.81, "friction": 1.0, "damping": 0.0, "position_gain": 1.0,
                                "velocity_gain": 1.0, "latency": 0.0, "position_noise": 0.0, "velocity_noise": 0.0,
                                "time_step": 0.002})
    assert np.array_equal(episode(env), plain)


def test_noise_comes_from_the_seed_and_leaves_the_goals_alone() -> None:
    noisy = [episode(turned(position_noise=0.01)) for _ in range(2)]
    assert np.array_equal(*noisy)
    env, plain = turned(position_noise=0.01), turned()
    goals = [(each.reset(seed=3), each.snapshot().goal, each.reset(), each.snapshot().goal) for each in (env, plain)]
    assert np.array_equal(goals[0][1], goals[1][1]) and np.array_equal(goals[0][3], goals[1][3])


@pytest.mark.parametrize(("changes", "message"), [
    ({"gravity": float("nan")}, "gravity must be a number from -20 to 20, not nan; it stays at -9.81"),
    ({"mass": 2.0, "friction": 50.0}, "friction must be a number from 0 to 5, not 50.0; it stays at 1"),
    ({"mass": 2.0, "real_time_factor": 0.01}, "real_time_factor must be 0 or at least 0.1, not 0.01"),
    ({"mass": "heavy"}, "mass must be a number from 0.2 to 5, not 'heavy'"),
    ({"mass": 2.0, "colour": 1.0}, "there is no knob 'colour', only time_step, gravity"),
])  # fmt: skip
def test_what_cannot_be_is_refused_as_a_whole(changes: dict, message: str) -> None:
    env = turned()
    before = env.knobs
    with pytest.raises(ValueError, match=message):
        env.tuning.turn("physics", changes)
    assert env.knobs == before


def test_lock_step_can_be_held_back_to_a_multiple_of_real_time() -> None:
    env = turned(real_time_factor=5.0)
    env.reset(seed=1)
    begun = time.monotonic()
    for _ in range(10):
        env.step(np.zeros(5))
    assert time.monotonic() - begun >= 0.199  # s, for 1 simulated one
    env.tuning.turn("physics", {"real_time_factor": 0.0})
    begun = time.monotonic()
    env.step(np.zeros(5))
    assert time.monotonic() - begun < 0.02
