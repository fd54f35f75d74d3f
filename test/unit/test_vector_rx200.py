"""A batch of arms is N single arms: to the last bit, infos and autoreset included."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from exact import assert_same
from gymnasium.vector import AutoresetMode, VectorEnv

from uniros_env_server import registration
from uniros_env_server.environments.robot_vector_env import RobotTaskVectorEnv
from uniros_msgs.errors import Closed, InvalidAction, InvalidObservation, ResetNeeded

registration.register()
NEXT, SAME, DISABLED = AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED
EASY = {"tolerance": 0.08}  # m: random motion reaches the goal now and then


def batch(env_id: str = "RX200ReachSim-v0", size: int = 3, mode: AutoresetMode = NEXT, **kwargs: Any
          ) -> RobotTaskVectorEnv:
    made = gymnasium.make_vec(env_id, size, autoreset_mode=mode, **kwargs)
    assert isinstance(made, RobotTaskVectorEnv)
    return made


def reference(env_id: str, size: int, mode: AutoresetMode, **kwargs: Any) -> VectorEnv:
    return gymnasium.make_vec(env_id, size, "sync", {"autoreset_mode": mode}, disable_env_checker=True, **kwargs)


def bold(rng: np.random.Generator, size: int, number: int, actions: int) -> np.ndarray:
    """Random actions, now and then as large as can be: those end in refusals."""
    drawn = rng.uniform(-1, 1, (size, actions)).astype(np.float32)
    return np.sign(drawn) if number % 30 > 15 else drawn


@pytest.fixture
def small() -> Iterator[RobotTaskVectorEnv]:
    made = batch(mode=DISABLED)
    yield made
    made.close()


@pytest.mark.parametrize(("env_id", "size", "mode", "kwargs"), [
    ("RX200ReachSim-v0", 64, NEXT, EASY),
    ("RX200ReachGoalSim-v0", 5, SAME, EASY),
    ("RX200ReachSim-v0", 5, SAME, {**EASY, "action_type": "ee", "reward_type": "shaped"}),
    ("RX200ReachGoalSim-v0", 4, NEXT, {**EASY, "cycle_time": 0.2}),
])  # fmt: skip
def test_it_says_what_single_environments_say(env_id: str, size: int, mode: AutoresetMode, kwargs: dict[str, Any]
                                              ) -> None:
    ours, theirs = batch(env_id, size, mode, **kwargs), reference(env_id, size, mode, **kwargs)
    assert ours.observation_space == theirs.observation_space and ours.action_space == theirs.action_space
    assert_same(ours.reset(seed=5), theirs.reset(seed=5))
    rng, ends, refusals = np.random.default_rng(1), 0, set()
    for number in range(110 if size < 10 else 30):
        actions = bold(rng, size, number, ours.single_action_space.shape[0])
        said = ours.step(actions)
        assert_same(said, theirs.step(actions), f"step {number}")
        ends += int((said[2] | said[3]).sum())
        refusals |= set(said[4]["refusal"])
    assert ends >= 2 and len(refusals) > 1
    ours.close()
    theirs.close()


def test_rows_can_be_reset_apart_from_the_others() -> None:
    ours, theirs = batch(mode=DISABLED), reference("RX200ReachSim-v0", 3, DISABLED)
    for each in (ours, theirs):
        each.reset(seed=[4, 5, 6])
        each.step(np.full((3, 5), 0.3, np.float32))
    mask = np.array([False, True, False])
    told = [each.reset(seed=[None, 9, None], options={"reset_mask": mask.copy()}) for each in (ours, theirs)]
    assert_same(*told)
    actions = np.full((3, 5), -0.2, np.float32)
    assert_same(ours.step(actions), theirs.step(actions))
    ours.close()
    theirs.close()


def test_a_bad_action_of_one_row_moves_no_row(small: RobotTaskVectorEnv) -> None:
    before = small.reset(seed=1)[0]
    for bad in (np.zeros((3, 4)), np.zeros(5), np.array([[0.0] * 5, [np.nan] * 5, [0.0] * 5]),
                [[0.0] * 5, [0.0] * 5, [1.5] * 5]):
        with pytest.raises(InvalidAction, match="nothing moved"):
            small.step(bad)
    assert_same(small.step(np.zeros((3, 5)))[0][:, :3].round(2), before[:, :3].round(2))


def test_an_ended_row_must_be_reset_where_nobody_else_does_it() -> None:
    made = batch(mode=DISABLED, tolerance=1.0)
    made.reset(seed=1)
    assert made.step(np.zeros((3, 5)))[2].all()
    with pytest.raises(ResetNeeded, match=r"rows \[0, 1, 2\]"):
        made.step(np.zeros((3, 5)))
    made.reset(options={"reset_mask": np.array([True, True, False])})
    with pytest.raises(ResetNeeded, match=r"rows \[2\]"):
        made.step(np.zeros((3, 5)))
    made.close()


def test_goals_may_be_given_to_all_or_to_each(small: RobotTaskVectorEnv) -> None:
    goals = np.array([[0.2, 0.0, 0.2], [0.2, 0.1, 0.2], [0.2, -0.1, 0.2]])
    distance = small.reset(options={"goal": goals})[1]["distance"]
    for row, goal in enumerate(goals):
        assert small.reset(options={"goal": goal})[1]["distance"][0] == distance[row]
    with pytest.raises(ValueError, match="reaches safely"):
        small.reset(options={"goal": (2.0, 0.0, 0.0)})


def test_an_emergency_stop_holds_every_arm(small: RobotTaskVectorEnv) -> None:
    small.reset(seed=1)
    small.estop()
    assert list(small.step(np.ones((3, 5)))[4]["refusal"]) == ["estop"] * 3
    small.clear_estop()
    assert list(small.step(np.full((3, 5), 0.1))[4]["refusal"]) == [""] * 3


def test_broken_physics_of_a_row_is_named(small: RobotTaskVectorEnv) -> None:
    small.reset(seed=1)
    small.robot.worlds[1].qvel[:] = np.nan
    with pytest.raises(InvalidObservation, match=r"rows \[1\]"):
        small.step(np.zeros((3, 5)))


def test_what_a_batch_cannot_be_is_refused(small: RobotTaskVectorEnv) -> None:
    with pytest.raises(ResetNeeded):
        small.step(np.zeros((3, 5)))
    with pytest.raises(ValueError, match="one seed or 3"):
        small.reset(seed=[1, 2])
    with pytest.raises(ValueError, match="lock-step"):
        batch(real_time=True)
    with pytest.raises(ValueError, match="rad/s"):
        batch(action_scale=2.0)
    with pytest.raises(ValueError, match="whole number of physics steps"):
        batch(cycle_time=0.0505)
    small.close()
    with pytest.raises(Closed):
        small.reset()
