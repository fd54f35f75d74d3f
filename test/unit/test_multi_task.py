"""Several environments as one: whose turn it is, padding, what a broken episode looks like, and what a buffer keeps."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, Text
from gymnasium.utils.env_checker import check_env
from stable_baselines3 import TD3
from stable_baselines3.common.vec_env import DummyVecEnv

import uniros_learner as uniros
from uniros_learner.multi_task_choice import Choice
from uniros_learner.multi_task_spaces import Fit, common_space
from uniros_learner.whole_episodes import AwaitFirstEpisode, WholeEpisodesBuffer, WholeEpisodesHerBuffer
from uniros_msgs.errors import AllDown, Closed, InvalidAction, ResetNeeded, RobotFault, UnsupportedSpace


class Line(gymnasium.Env):
    """A point on a line, `length` steps an episode; it fails at the steps told, counted over its life, and on request
    at resets."""

    def __init__(self, length: int = 5, fails: tuple[int, ...] = (), goal: bool = False, tolerance: float = 0.1):
        point = Box(-10, 10, (1,), np.float32)
        parts = {"observation": point, "achieved_goal": point, "desired_goal": point}
        self.observation_space = Dict(parts) if goal else point
        self.action_space = Box(-1, 1, (1,), np.float32)
        self.length, self.fails, self.goal, self.tolerance = length, fails, goal, tolerance
        self.life = self.resets = self.count = 0
        self.stuck = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if self.stuck:
            raise RobotFault("somebody pressed the red button")
        self.resets += 1
        self.count, self.x = 0, self.np_random.uniform(-1, 1, 1).astype(np.float32)
        return self._see(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.life, self.count = self.life + 1, self.count + 1
        if self.life in self.fails:
            raise RobotFault("the driver fell silent")
        self.x = (self.x + action).astype(np.float32)
        info = {"count": self.count} | ({"life": self.life} if self.fails else {})
        return self._see(), float(-abs(self.x[0])), False, self.count >= self.length, info

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        return -(np.abs(achieved - desired)[..., 0] > self.tolerance).astype(np.float64)

    def _see(self) -> Any:
        goal = np.zeros(1, np.float32)
        return {"observation": self.x, "achieved_goal": self.x, "desired_goal": goal} if self.goal else self.x


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def turns(env: uniros.MultiTaskEnv, count: int, **first: Any) -> list[int]:
    return [env.reset(**(first if number == 0 else {}))[1]["task_id"] for number in range(count)]


# --- whose turn it is -------------------------------------------------------------------------------------------------


def test_one_after_the_other_leaves_out_those_that_are_down() -> None:
    choice, rng = Choice("round_robin", 3), np.random.default_rng(0)
    assert [choice.pick([0, 1, 2], rng) for _ in range(4)] == [0, 1, 2, 0]
    assert [choice.pick([0, 2], rng) for _ in range(3)] == [2, 0, 2]


def test_as_often_as_the_weights_say() -> None:
    choice, rng = Choice("weighted", 3, [1, 2, 5]), np.random.default_rng(0)
    shares = np.bincount([choice.pick([0, 1, 2], rng) for _ in range(8000)]) / 1000
    assert shares == pytest.approx([1, 2, 5], rel=0.1)
    shares = np.bincount([choice.pick([0, 2], rng) for _ in range(6000)]) / 1000
    assert shares == pytest.approx([1, 0, 5], rel=0.1)


@pytest.mark.parametrize(("kind", "weights", "advice"), [
    ("often", None, "random, round_robin, weighted"), ("weighted", None, "needs them"), ("random", [1, 2], "weighted"),
    ("weighted", [1], "2 positive"), ("weighted", [1, 0], "positive"), ("weighted", [1, float("nan")], "positive")])
def test_a_choice_that_is_none_is_refused(kind: str, weights: Any, advice: str) -> None:
    with pytest.raises(ValueError, match=advice):
        Choice(kind, 2, weights)


def test_a_seed_fixes_choice_and_environments() -> None:
    first, second = (uniros.MultiTaskEnv([Line(), Line(), Line()]) for _ in range(2))
    assert turns(first, 30, seed=7) == turns(second, 30, seed=7) != turns(second, 30, seed=8)
    starts = [[float(env.reset(seed=3 if number == 0 else None)[0][0]) for number in range(10)]
              for env in (first, second)]
    assert starts[0] == starts[1] and len(set(starts[0])) == 10


def test_the_turn_of_a_certain_one_can_be_asked_for() -> None:
    env = uniros.MultiTaskEnv([Line(), Line()], choice="round_robin")
    assert [env.reset(options={"task_id": 1})[1]["task_id"] for _ in range(3)] == [1, 1, 1]
    with pytest.raises(ValueError, match="0 to 1"):
        env.reset(options={"task_id": 2})


# --- as one environment -----------------------------------------------------------------------------------------------


def test_it_is_a_gymnasium_environment() -> None:
    env = uniros.MultiTaskEnv([Line(), Line()])
    assert isinstance(env, gymnasium.Env) and not hasattr(env, "compute_reward")
    check_env(env, skip_render_check=True)
    _, info = env.reset()
    *_, said = env.step(env.action_space.sample())
    assert said["task_id"] == info["task_id"] and said["task"] == "Line" and said["count"] == 1


def test_observations_and_actions_are_padded_to_the_largest_with_one_warning() -> None:
    with pytest.warns(UserWarning, match="padded") as warned:
        env = uniros.MultiTaskEnv([gymnasium.make("Pendulum-v1"), gymnasium.make("MountainCarContinuous-v0")],
                                  choice="round_robin")
    assert len([each for each in warned if "padded" in str(each.message)]) == 1
    assert env.observation_space.shape == (3,) and env.action_space == Box(-2, 2, (1,))
    check_env(env, skip_render_check=True)
    pendulum, _ = env.reset(seed=1)
    assert abs(pendulum[2]) > 0
    car, info = env.reset()
    assert info["task"] == "MountainCarContinuous-v0" and car[2] == 0.0 and env.observation_space.contains(car)
    told = env.envs[1].unwrapped
    before = told.state.copy()
    env.step(np.array([2.0], np.float32))  # twice what a car can do
    assert told.state[1] - before[1] == pytest.approx(0.0015 - 0.0025 * np.cos(3 * before[0]), abs=1e-6)
    with pytest.raises(InvalidAction, match=r"\(1,\)"):
        env.step(np.zeros(2))
    env.close()


def test_equal_spaces_are_left_alone() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert uniros.MultiTaskEnv([Line(), Line()]).observation_space == Line().observation_space


def test_spaces_of_all_kinds_that_can_be_padded() -> None:
    images = [Box(0, 255, (2, 3), np.uint8), Box(0, 255, (3, 3), np.uint8)]
    spaces = [Dict({"image": image, "mode": Discrete(n)}) for image, n in zip(images, (2, 4))]
    whole = common_space(spaces)
    assert whole == Dict({"image": Box(0, 255, (3, 3), np.uint8), "mode": Discrete(4)})
    for space in spaces:
        sample = space.sample()
        wide = Fit(space, whole).widen(sample)
        assert whole.contains(wide) and wide["image"].sum() == sample["image"].sum()
    assert Fit(Discrete(2), Discrete(4)).narrow(3) == 1
    high = common_space([Box(1, 2, (1,)), Box(5, 6, (2,))])
    assert high == Box(np.array([1, 0], np.float32), np.array([6, 6], np.float32))


@pytest.mark.parametrize("other", [Discrete(2), Box(0, 1, (1, 1)), Dict({"a": Discrete(2)}), Text(3)])
def test_spaces_that_do_not_go_together_are_refused(other: Any) -> None:
    with pytest.raises(UnsupportedSpace, match="padded to each other"):
        common_space([Box(0, 1, (1,)), other])


def test_wrappers_go_around_each() -> None:
    env = uniros.MultiTaskEnv([Line(), Line(9)], None, ["TimeLimit", gymnasium.wrappers.RescaleAction],
                              {"TimeLimit": {"max_episode_steps": 2},
                               "RescaleAction": {"min_action": np.float32(-5), "max_action": np.float32(5)}})
    assert env.action_space.high == [5.0]
    env.reset(options={"task_id": 1})
    assert [env.step(env.action_space.sample())[3] for _ in range(2)] == [False, True]
    with pytest.raises(ValueError, match="TimeLimt"):
        uniros.MultiTaskEnv([Line()], None, ["TimeLimt"])
    with pytest.raises(ValueError, match="Tim'"):
        uniros.MultiTaskEnv([Line()], None, ["TimeLimit"], {"Tim": {}})


def test_lists_that_do_not_fit_are_refused() -> None:
    line = Line()
    for wrong, advice in ((([],), "at least one"), (([line], [{}, {}]), "1 and 2"), (([line], [{"a": 1}]), "open alre"),
                          (([line, line],), "twice")):
        with pytest.raises(ValueError, match=advice):
            uniros.MultiTaskEnv(*wrong)


# --- when one fails ---------------------------------------------------------------------------------------------------


def test_a_step_that_fails_ends_the_episode_which_is_counted_apart() -> None:
    failing = Line(fails=(3,))
    env = uniros.MultiTaskEnv([failing, Line()], choice="round_robin")
    env.reset()
    env.step([0.1])
    good = env.step([0.1])[0]
    observation, reward, terminated, truncated, info = env.step([0.1])
    assert (observation == good).all() and (reward, terminated, truncated) == (0.0, False, True)
    assert info == {"broken": True, "error": "RobotFault: the driver fell silent", "task_id": 0, "task": "Line"}
    with pytest.raises(ResetNeeded):
        env.step([0.1])
    assert env.reset()[1]["task_id"] == 1
    for _ in range(5):
        env.step([0.0])
    status = env.status()
    assert [(each.episodes, each.steps, each.failures, each.dropped) for each in status] == [(0, 0, 1, 2), (1, 5, 0, 0)]
    assert "RobotFault: the driver fell silent" in str(status) and len(str(status).splitlines()) == 3
    env.reset(options={"task_id": 0})  # waits until it is back
    assert env.status()[0].state == "up" and failing.resets >= 3
    env.close()


def test_one_that_stays_away_is_left_out_and_when_all_do_that_is_an_error() -> None:
    stuck, other = Line(), Line()
    env = uniros.MultiTaskEnv([stuck, other], patience=0.5)
    stuck.stuck = True
    assert set(turns(env, 10)) == {1}
    assert env.status()[0].failures == 1
    other.stuck = True
    with pytest.raises(AllDown, match=r"within 0\.5 s(.|\n)*red button(.|\n)*red button"):
        env.reset()
    other.stuck = False
    assert env.reset()[1]["task_id"] == 1
    env.close()
    with pytest.raises(Closed):
        env.reset()


def test_an_action_that_is_refused_is_the_callers_business() -> None:
    class Strict(Line):
        def step(self, action: Any) -> Any:
            raise InvalidAction("nothing moved")

    env = uniros.MultiTaskEnv([Strict()])
    env.reset()
    with pytest.raises(InvalidAction):
        env.step([0.0])
    assert env.status()[0].state == "up"


# --- goals ------------------------------------------------------------------------------------------------------------


def test_each_row_is_rewarded_by_its_own_environment() -> None:
    env = uniros.MultiTaskGoalEnv([Line(goal=True, tolerance=0.1), Line(goal=True, tolerance=1.0)])
    check_env(env, skip_render_check=True)
    achieved, desired = np.full((3, 1), 0.5), np.zeros((3, 1))
    infos: list[dict[str, Any]] = [{"task_id": 0}, {"task_id": 1}, {"task_id": 0}]
    for given in (infos, np.array(infos), tuple(infos)):
        assert env.compute_reward(achieved, desired, given).tolist() == [-1.0, 0.0, -1.0]
    assert env.compute_reward(achieved, desired, {"task_id": 1}).tolist() == [0.0, 0.0, 0.0]
    assert env.compute_reward(achieved[0], desired[0], {"task_id": 1}) == 0.0
    for unsaid in (None, {}, [{}] * 3, [{"task_id": 0}, {}, {}]):
        with pytest.raises(ValueError, match="copy_info_dict"):
            env.compute_reward(achieved, desired, unsaid)
    with pytest.raises(ValueError, match="3 of them, got 2"):
        env.compute_reward(achieved, desired, infos[:2])


def test_what_is_no_goal_environment_is_refused() -> None:
    with pytest.raises(ValueError, match="desired_goal"):
        uniros.MultiTaskGoalEnv([Line(goal=True), Line()])


# --- what is learnt from ----------------------------------------------------------------------------------------------


def learn(env: gymnasium.Env, steps: int, buffer: Any, **settings: Any) -> TD3:
    policy = "MultiInputPolicy" if isinstance(env.observation_space, Dict) else "MlpPolicy"
    model = TD3(policy, env, learning_starts=1, batch_size=8, policy_kwargs={"net_arch": [8]}, seed=0,
                replay_buffer_class=buffer, replay_buffer_kwargs=settings)
    return model.learn(steps, callback=AwaitFirstEpisode())


def test_plain_stable_baselines_learns_nothing_from_an_episode_that_broke() -> None:
    env = uniros.MultiTaskEnv([Line(fails=(3, 9)), Line(fails=(2,))], choice="round_robin")
    model = learn(env, 60, WholeEpisodesBuffer)
    status = env.status()
    assert sum(each.failures for each in status) >= 2 and model._n_updates > 0
    assert model.replay_buffer.dropped == sum(each.dropped for each in status) > 0
    assert model.replay_buffer.size() == 5 * sum(each.episodes for each in status)
    buffer = model.replay_buffer
    moved = buffer.next_observations[: buffer.size(), 0] - buffer.observations[: buffer.size(), 0]
    assert moved == pytest.approx(buffer.actions[: buffer.size(), 0], abs=1e-5)  # each transition is a true one
    env.close()


def test_hindsight_learns_from_whole_episodes_only() -> None:
    env = uniros.MultiTaskGoalEnv([Line(fails=(8, 14), goal=True, tolerance=1.0), Line(goal=True)],
                                  choice="round_robin", seed=1)
    model = learn(env, 60, WholeEpisodesHerBuffer, copy_info_dict=True)
    buffer, status = model.replay_buffer, env.status()
    assert status[0].failures == 2 and buffer.size() == 5 * (status[0].episodes + status[1].episodes)
    assert buffer.ep_length[: buffer.size(), 0].tolist() == [5] * buffer.size()
    kept = {info["life"] for info in buffer.infos[: buffer.size(), 0] if info["task_id"] == 0}
    assert {1, 2, 3, 4, 5} <= kept and not {6, 7, 8, 14} & kept
    env.close()


def test_one_environment_per_buffer() -> None:
    venv = DummyVecEnv([Line, Line])
    with pytest.raises(ValueError, match="of its own"):
        WholeEpisodesBuffer(10, venv.observation_space, venv.action_space, n_envs=2)
