"""Reach as pure functions: rewards, goals, observations, and the description a learner rebuilds it from."""

from __future__ import annotations

import json

import numpy as np
import pytest

from uniros_env_server import tasks
from uniros_env_server.robots.kinematics import Kinematics
from uniros_env_server.robots.model import load_model
from uniros_env_server.robots.mujoco import MujocoRobot
from uniros_env_server.safety.gate import SafetyGate, SafetyLimits
from uniros_env_server.safety.refusal import Refusal
from uniros_env_server.tasks.reach import Reach
from uniros_env_server.tasks.relabel import compute_reward
from uniros_env_server.tasks.task import View

MODEL = load_model("rx200")
ARM = Kinematics(MODEL)
GOALS = np.array([[0.2, 0.0, 0.2], [0.2, 0.0, 0.2], [0.15, 0.1, 0.25]])
ACHIEVED = GOALS + [[0.0, 0.0, 0.02], [0.0, 0.03, 0.04], [0.1, 0.0, 0.0]]


def everywhere(points: np.ndarray) -> np.ndarray:
    return np.ones(len(points), dtype=bool)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("sparse", [0.0, -1.0, -1.0]), ("dense", [-0.02, -0.05, -0.1]), ("shaped", [20.0, -0.6, -0.7])],
)
def test_rewards_are_those_of_the_figures(kind: str, expected: list[float]) -> None:
    assert Reach(kind).reward(ACHIEVED, GOALS) == pytest.approx(expected)


def test_shaped_reward_charges_for_refusals() -> None:
    refused = np.array([Refusal.WORKSPACE, Refusal.JOINT_LIMIT, Refusal.SELF_COLLISION], dtype=np.int8)
    assert Reach("shaped").reward(ACHIEVED, GOALS, refused) == pytest.approx([20.0, -0.6 - 2, -0.7 - 5])


def test_a_batch_of_rewards_equals_its_rows_at_any_size() -> None:
    rng = np.random.default_rng(0)
    achieved, desired = rng.uniform(-0.3, 0.3, (2, 5000, 3))
    for kind in ("sparse", "dense", "shaped"):
        whole = Reach(kind).reward(achieved, desired)
        assert whole.shape == (5000,) and whole.dtype == np.float64
        assert [compute_reward(Reach(kind), a, d) for a, d in zip(achieved[:50], desired[:50])] == whole[:50].tolist()


def test_relabelling_reads_the_refusals_of_the_infos_it_is_given() -> None:
    infos = [{"refusal": ""}, {"refusal": "workspace"}, {"refusal": "table"}]
    assert compute_reward(Reach("shaped"), ACHIEVED, GOALS, infos) == pytest.approx([20.0, -2.6, -5.7])
    assert compute_reward(Reach("shaped"), ACHIEVED, GOALS, np.array(infos)) == pytest.approx([20.0, -2.6, -5.7])
    assert compute_reward(Reach("shaped"), ACHIEVED[1], GOALS[1], infos[1]) == pytest.approx(-2.6)
    with pytest.raises(ValueError, match="expected one info dict or 3 of them"):
        compute_reward(Reach("shaped"), ACHIEVED, GOALS, infos[:2])


def test_goals_come_from_the_seeded_generator_alone() -> None:
    one, two, other = (Reach().sample_goals(np.random.default_rng(seed), 50, everywhere) for seed in (1, 1, 2))
    assert np.array_equal(one, two) and not np.array_equal(one, other)


def test_goals_fill_the_box_and_can_be_reached_with_all_margins() -> None:
    gate = SafetyGate(MODEL, SafetyLimits.load("rx200"))
    goals = Reach().sample_goals(np.random.default_rng(0), 500, everywhere)
    assert (goals >= Reach().goal_low).all() and (goals <= np.float32(Reach().goal_high)).all()
    assert np.ptp(goals, axis=0) == pytest.approx([0.1, 0.3, 0.1], abs=0.01)
    solution = ARM.ik(goals, MODEL.poses["ready"])
    assert solution.success.all() and gate.safe(solution.q, Reach().workspace).all()


def test_points_out_of_reach_never_become_goals() -> None:
    task = Reach(goal_low=(0.2, -0.1, 0.2), goal_high=(0.9, 0.1, 0.3))
    goals = task.sample_goals(np.random.default_rng(0), 100, lambda p: ARM.ik(p, MODEL.poses["ready"]).success)
    assert len(goals) == 100 and np.linalg.norm(goals[:, :2], axis=1).max() < 0.55
    with pytest.raises(ValueError, match="next to nothing of the goal box"):
        task.sample_goals(np.random.default_rng(0), 10, lambda points: np.zeros(len(points), dtype=bool))


def test_observation_holds_28_numbers_in_the_order_of_the_figures() -> None:
    robot = MujocoRobot(MODEL, 2)
    robot.command(np.tile([0.1, -0.2, 0.3, 0.4, 0.5, 0.02], (2, 1)), 0.5)
    robot.advance(0.3)
    state = robot.state()
    tool = ARM.fk(state.positions(MODEL.arm))
    executed = np.array([[0.1, 0.2, 0.3, 0.4, 0.5], [0, 0, 0, 0, 0]])
    seen = Reach().observe(View(state, tool, GOALS[:2], executed))
    way = GOALS[:2] - tool[:, :3, 3]
    assert seen.shape == (2, 28)
    assert np.array_equal(seen[:, :3], tool[:, :3, 3])
    assert seen[:, 3:6] * seen[:, 6:7] == pytest.approx(way)
    assert np.linalg.norm(seen[:, 3:6], axis=1) == pytest.approx([1, 1])
    assert np.array_equal(seen[:, 7:15], state.positions(MODEL.published))
    assert np.array_equal(seen[:, 15:20], executed)
    assert np.array_equal(seen[:, 20:28], state.velocities(MODEL.published)) and np.abs(seen[:, 20:25]).min() > 0.05


def test_observation_space_has_signed_velocity_bounds() -> None:
    space = Reach().observation_space(MODEL, 5)
    assert space.shape == (28,) and space.dtype == np.float32
    assert np.array_equal(space.low[20:], -space.high[20:]) and space.high[21] == np.float32(2.35)


def test_direction_at_the_goal_itself_is_finite() -> None:
    robot = MujocoRobot(MODEL)
    tool = ARM.fk(robot.state().positions(MODEL.arm))
    assert np.isfinite(Reach().observe(View(robot.state(), tool, tool[:, :3, 3], np.zeros((1, 5))))).all()


def test_a_task_is_made_again_from_its_description_through_json() -> None:
    task = Reach("sparse", tolerance=0.03, goal_low=(0.1, 0.0, 0.2))
    told = json.loads(json.dumps(task.describe()))
    assert tasks.load(told["name"], **told["parameters"]) == task


def test_only_known_tasks_and_sound_parameters_are_loaded() -> None:
    with pytest.raises(ValueError, match=r"unknown task 'os\.system'; known are reach"):
        tasks.load("os.system")
    with pytest.raises(TypeError, match="tolerence"):
        tasks.load("reach", tolerence=0.1)
    with pytest.raises(ValueError, match="reward_type must be one of sparse, dense, shaped, not 'fancy'"):
        Reach("fancy")
    with pytest.raises(ValueError, match="tolerance must be a positive length"):
        Reach(tolerance=0.0)
