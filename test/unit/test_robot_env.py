"""The environment put together: what a learner may rely on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from uniros_env_server import registration, tasks
from uniros_env_server.environments.robot_env import RobotTaskEnv
from uniros_env_server.robots.kinematics import Kinematics
from uniros_env_server.tasks.relabel import compute_reward
from uniros_msgs.errors import InvalidAction, InvalidObservation, ResetNeeded

registration.register()
REACH, GOAL = "RX200ReachSim-v0", "RX200ReachGoalSim-v0"
ARM = Kinematics("rx200")


@pytest.fixture
def env() -> Iterator[RobotTaskEnv]:
    made = gymnasium.make(REACH).unwrapped
    yield made
    made.close()


def roll(seed: int, steps: int = 250, **kwargs: Any) -> list[Any]:
    env = gymnasium.make(GOAL, **kwargs)
    rng = np.random.default_rng(seed)
    said: list[Any] = [env.reset(seed=seed)]
    for _ in range(steps):
        said.append(env.step(rng.uniform(-1, 1, env.action_space.shape)))
        if said[-1][2] or said[-1][3]:
            said.append(env.reset())
    env.close()
    return said


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    return type(one) is type(other) and one == other


@pytest.mark.parametrize("env_id", [REACH, GOAL])
@pytest.mark.parametrize("kwargs", [{}, {"action_type": "ee"}, {"reward_type": "shaped", "action_scale": 1.5}])
@pytest.mark.filterwarnings("error")
def test_the_checkers_of_gymnasium_and_sb3_are_content(env_id: str, kwargs: dict[str, Any]) -> None:
    env = gymnasium.make(env_id, **kwargs)
    check_env(env.unwrapped, skip_render_check=True)
    sb3_check_env(env.unwrapped)
    env.close()


def test_two_runs_with_one_seed_are_bit_identical_and_with_another_are_not() -> None:
    one, two, other = roll(3), roll(3), roll(4)
    assert same(one, two) and not same(one, other)


def test_a_reset_leaves_nothing_of_the_episode_before() -> None:
    env = gymnasium.make(REACH)
    env.reset(seed=5)
    first = [env.step(np.full(5, 0.3)) for _ in range(5)]
    for _ in range(20):
        env.step(np.array([1, -1, 1, 0, 1.0]))
    env.reset(seed=5)
    assert same(first, [env.step(np.full(5, 0.3)) for _ in range(5)])
    env.close()


def test_zero_action_for_ten_seconds_keeps_the_end_effector_within_2_cm_of_its_command(env: RobotTaskEnv) -> None:
    env.reset(seed=0)
    for _ in range(8):  # out towards the front, where gravity pulls most
        env.step([0.0, 1.0, -0.6, 0.0, 0.0])
    commanded = ARM.position(env.clock.latest.setpoint[:, :5])[0]
    farthest = 0.0
    for _ in range(100):
        info = env.step(np.zeros(5))[4]
        assert info["refusal"] == ""
        farthest = max(farthest, np.linalg.norm(ARM.position(env.clock.latest.position[:, :5])[0] - commanded))
    assert np.array_equal(ARM.position(env.clock.latest.setpoint[:, :5])[0], commanded)
    assert farthest < 0.02


def test_a_unit_action_turns_its_joint_by_one_rad_per_second(env: RobotTaskEnv) -> None:
    env.reset(seed=0)
    for joint in range(5):
        before = env.clock.latest.setpoint[0, :5].copy()
        info = env.step(np.eye(5)[joint] * 0.5)[4]
        assert env.clock.latest.setpoint[0, :5] - before == pytest.approx(np.eye(5)[joint] * 0.05, abs=1e-9)
        assert info["executed_action"] == pytest.approx(np.eye(5)[joint] * 0.5, abs=1e-6)


def test_an_end_effector_action_moves_the_tool_along_its_axis() -> None:
    env = gymnasium.make(REACH, action_type="ee").unwrapped
    env.reset(seed=0)
    assert env.action_space.shape == (3,)
    for axis in range(3):
        before = ARM.position(env.clock.latest.setpoint[:, :5])[0]
        env.step(np.eye(3)[axis] * 0.8)
        moved = ARM.position(env.clock.latest.setpoint[:, :5])[0] - before
        assert moved == pytest.approx(np.eye(3)[axis] * 0.02, abs=0.003)
    env.close()


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (np.zeros(4), r"expected an action of \(5,\) numbers"),
        (np.array(["a"] * 5), "got <U1"),
        (np.array([True] * 5), "got bool"),
        ([0, 0, np.nan, 0, 0], "finite numbers from -1 to 1"),
        ([0, 0, np.inf, 0, 0], "finite numbers from -1 to 1"),
        ([0, 0, 1.01, 0, 0], "finite numbers from -1 to 1"),
    ],
)
def test_a_malformed_action_is_an_error_and_nothing_moves(env: RobotTaskEnv, action: Any, message: str) -> None:
    env.reset(seed=0)
    env.step(np.full(5, 0.2))
    before = env.clock.latest
    with pytest.raises(InvalidAction, match=message):
        env.step(action)
    assert env.clock.latest is before
    assert env.step(np.zeros(5))[4]["refusal"] == ""


def test_safe_casts_are_accepted(env: RobotTaskEnv) -> None:
    env.reset(seed=0)
    for action in ([0, 1, 0, -1, 0], np.ones(5, dtype=np.float64) * (1 + 1e-9), np.zeros(5, dtype=np.int8)):
        assert env.step(action)[4]["refusal"] == ""


def test_an_unsafe_action_counts_as_a_step_and_holds_the_arm(env: RobotTaskEnv) -> None:
    env.reset(seed=0)
    for _ in range(40):
        observation, _, terminated, _, info = env.step([0, 0, 0, 0, 1.0])
    assert info["refusal"] == "joint_limit" and not terminated
    assert (info["executed_action"] == 0).all() and (observation[15:20] == 0).all()
    before = env.clock.latest.setpoint
    assert env.step([1.0, 0, 0, 0, 1.0])[4]["refusal"] == "joint_limit"
    assert np.array_equal(env.clock.latest.setpoint, before)
    assert env.step([1.0, 0, 0, 0, -1.0])[4]["refusal"] == ""


def test_a_state_that_is_not_finite_is_raised_at_the_source(
    env: RobotTaskEnv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # MuJoCo writes a log of its own where it stands
    env.reset(seed=0)
    env.clock.robot.worlds[0].qvel[2] = np.nan
    with pytest.raises(InvalidObservation, match="not finite: positions"):
        env.step(np.zeros(5))
    env.reset(seed=0)
    env.step(np.zeros(5))


def test_step_before_reset_is_refused(env: RobotTaskEnv) -> None:
    with pytest.raises(ResetNeeded, match="call reset"):
        env.step(np.zeros(5))


def test_success_ends_the_episode_and_the_step_limit_truncates() -> None:
    env = gymnasium.make(REACH, reward_type="sparse")
    assert env.spec is not None and env.spec.max_episode_steps == 100
    tool = ARM.position(env.unwrapped.gate.model.poses["ready"])[0]
    _, info = env.reset(seed=0, options={"goal": tool + [0.0, 0.0, 0.01]})
    assert info["is_success"] and info["distance"] == pytest.approx(0.01, abs=1e-6)
    _, reward, terminated, truncated, info = env.step(np.zeros(5))
    assert (reward, terminated, truncated, info["is_success"]) == (0.0, True, False, True)
    env.reset(seed=0, options={"goal": [0.2, 0.14, 0.2]})
    flags = [env.step(np.zeros(5))[2:4] for _ in range(100)]
    assert flags[:99] == [(False, False)] * 99 and flags[99] == (False, True)
    env.close()


def test_a_goal_out_of_reach_is_refused(env: RobotTaskEnv) -> None:
    for goal in ([0.9, 0, 0.2], [0.2, 0.0, 0.02], [np.nan, 0, 0], [0.2, 0.2]):
        with pytest.raises(ValueError, match="reaches safely"):
            env.reset(options={"goal": goal})


def test_goal_observations_and_rewards_fit_what_relabelling_computes() -> None:
    env = gymnasium.make(GOAL, reward_type="dense")
    told = env.unwrapped.describe_task()
    rng = np.random.default_rng(0)
    observation, _ = env.reset(seed=1)
    seen, rewards, infos = [], [], []
    for _ in range(60):
        observation, reward, terminated, _, info = env.step(rng.uniform(-1, 1, 5))
        assert np.array_equal(observation["observation"][:3], observation["achieved_goal"])
        way = observation["desired_goal"] - observation["achieved_goal"]
        assert np.linalg.norm(way) == pytest.approx(info["distance"])
        seen.append(observation)
        rewards.append(reward)
        infos.append(info)
        if terminated:
            break
    achieved = np.array([one["achieved_goal"] for one in seen])
    desired = np.array([one["desired_goal"] for one in seen])
    assert env.unwrapped.compute_reward(achieved, desired, infos).tolist() == rewards
    task = tasks.load(told["name"], **json.loads(json.dumps(told["parameters"])))
    assert compute_reward(task, achieved, desired, infos).tolist() == rewards
    env.close()


def test_aliases_and_defaults() -> None:
    for env_id, reward in (("RX200ReacherSim-v0", "dense"), ("RX200ReacherGoalSim-v0", "sparse")):
        env = gymnasium.make(env_id)
        assert env.unwrapped.describe_task()["parameters"]["reward_type"] == reward
        assert env.unwrapped.mode == "lock_step" and env.unwrapped.cycle_time == 0.1
        env.close()


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"action_type": "torque"}, "action_type must be one of joint, ee"),
        ({"action_scale": 2.0}, "at most 1.5 rad/s, not 2.0"),
        ({"cycle_time": 0.01}, "cycle_time must be 0.04 to 2.0 s"),
        ({"reward_type": "fancy"}, "reward_type must be one of"),
        ({"real_time": True, "control_rate": 500.0}, "control_rate must be 10 to 100 Hz"),
        ({"robot": "rx300"}, "unknown robot 'rx300'"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gymnasium.make(REACH, **kwargs)


def test_everything_told_of_the_arm_is_json(env: RobotTaskEnv) -> None:
    limits = json.loads(json.dumps(env.limits))
    assert limits["joints"]["shoulder"]["speed"] < 2.35 and limits["workspace"]["low"][2] == 0.10
    assert limits["margins"]["table"] == 0.015
    for name in (*env.remote_attributes, *env.remote_methods):
        assert hasattr(env, name)


def test_a_snapshot_shows_eight_joints_by_name_and_the_goal(env: RobotTaskEnv) -> None:
    assert np.isnan(env.snapshot().goal).all()
    env.reset(seed=0)
    snapshot = env.snapshot()
    assert snapshot.state.names == ("waist", "shoulder", "elbow", "wrist_angle", "wrist_rotate", "gripper",
                                    "left_finger", "right_finger")
    assert snapshot.state.position.shape == (1, 8) and snapshot.goal.shape == (3,)
    left, right = snapshot.state.positions(("left_finger", "right_finger"))[0]
    assert left == -right == 0.030


def test_registering_loads_no_simulator_and_no_learning_library() -> None:
    code = ("import sys; from uniros_env_server import registration as r, tasks; r.register(); r.register(); "
            "print([name for name in ('mujoco', 'torch', 'rospy') if name in sys.modules])")
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip() == "[]"


def test_a_picture_shows_arm_and_goal_and_does_not_disturb_the_physics() -> None:
    code = f"""
import gymnasium, numpy as np
from uniros_env_server import registration
registration.register()
plain, drawn = gymnasium.make({REACH!r}), gymnasium.make({REACH!r}, render_mode="rgb_array")
for env in (plain, drawn):
    env.reset(seed=0)
picture = drawn.render()
assert picture.shape == (480, 640, 3) and picture.std() > 20
green = (picture[..., 1].astype(int) - picture[..., 0] > 40).sum()
assert green > 100, green
for _ in range(5):
    drawn.render()
    assert np.array_equal(plain.step(np.full(5, 0.3))[0], drawn.step(np.full(5, 0.3))[0])
drawn.close()
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False,
                          env={**os.environ, "MUJOCO_GL": "egl"})
    assert told.returncode == 0, told.stderr


# --- in real time


@pytest.fixture
def real_time() -> Iterator[RobotTaskEnv]:
    made = gymnasium.make(REACH, real_time=True).unwrapped
    yield made
    made.close()


def test_real_time_results_carry_their_stamps(real_time: RobotTaskEnv) -> None:
    env = real_time
    env.reset(seed=0)
    begun = time.time()
    for _ in range(3):
        info = env.step(np.full(5, 0.2))[4]
        assert begun <= info["commanded"] < info["measured"] <= time.time()
        assert info["measured"] - info["commanded"] == pytest.approx(0.1, abs=0.05)
        assert 0 <= info["observation_age"] < 0.05 and 0 <= info["command_delay"] < 0.05
        assert info["overruns"] == 0 and info["cancelled"] is False
        commanded, measured, age, overruns = env.stamps()
        assert (commanded, measured, overruns) == (info["commanded"], info["measured"], 0) and age < 0.1
    assert env.mode == "real_time"


def test_real_time_goes_the_way_lock_step_goes(real_time: RobotTaskEnv, env: RobotTaskEnv) -> None:
    """The same ramps: after the same ten actions both arms stand within 0.02 rad of each other."""
    rng = np.random.default_rng(0)
    for one in (real_time, env):
        one.reset(seed=0)
    for action in rng.uniform(-0.5, 0.5, (10, 5)):
        for one in (real_time, env):
            one.step(action)
    assert np.array_equal(real_time.clock.latest.setpoint, env.clock.latest.setpoint)
    assert real_time.clock.latest.position[0, :5] == pytest.approx(env.clock.latest.position[0, :5], abs=0.02)


def test_emergency_stop_of_the_environment(real_time: RobotTaskEnv) -> None:
    real_time.reset(seed=0)
    real_time.estop()
    info = real_time.step(np.full(5, 0.5))[4]
    assert info["refusal"] == "estop" and (info["executed_action"] == 0).all()
    real_time.clear_estop()
    assert real_time.step(np.full(5, 0.1))[4]["refusal"] == ""
