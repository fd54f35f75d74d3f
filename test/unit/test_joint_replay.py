"""Batches are drawn from all domains in the shares asked for; relabelled with the rewards of where they come from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from episodes import batch
from gymnasium import spaces
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.her.her_replay_buffer import HerReplayBuffer

from uniros_env_server import tasks
from uniros_env_server.tasks.relabel import compute_reward
from uniros_learner.training.joint.experience import Experience
from uniros_learner.training.joint.replay import MixedReplay, split
from uniros_msgs.columns import stack
from uniros_msgs.transitions import DONE, STAMP, Transitions

OBSERVATIONS = spaces.Box(-1000.0, 1000.0, (2,), np.float32)
ACTIONS = spaces.Box(np.float32(0.0), np.float32(4.0), (1,), np.float32)
POINT = spaces.Box(-1.0, 1.0, (3,), np.float32)
GOALS = spaces.Dict({"observation": OBSERVATIONS, "achieved_goal": POINT, "desired_goal": POINT})


def plain(size: int = 1000) -> ReplayBuffer:
    return ReplayBuffer(size, OBSERVATIONS, ACTIONS, device="cpu")


def filled(*lengths: int, **settings: Any) -> MixedReplay:
    """Domain n has one episode of lengths[n] steps, whose rewards are all n."""
    replay = MixedReplay([plain() for _ in lengths], **settings)
    for number, length in enumerate(lengths):
        if length:
            episode = batch(1, 1, length, DONE)
            episode.reward[:] = number
            replay.add(number, Experience([episode]), lambda info: {})
    return replay


def of_domain(replay: MixedReplay, size: int, domain: int) -> int:
    return int((replay.sample(size).rewards == domain).sum())


def test_shares_are_kept_exactly() -> None:
    replay = filled(50, 50, shares=(0.75, 0.25))
    assert {of_domain(replay, 128, 1) for _ in range(5)} == {32}
    replay.real_share = 0.5
    assert of_domain(replay, 128, 1) == 64
    assert replay.real_share == 0.5


def test_without_shares_all_have_the_same() -> None:
    replay = filled(10, 10, 10)
    assert [of_domain(replay, 90, number) for number in range(3)] == [30, 30, 30]
    assert replay.real_share == pytest.approx(2 / 3)


def test_a_domain_with_too_little_leaves_its_share_to_the_others() -> None:
    replay = filled(50, 9, shares=(0.5, 0.5), enough=10)
    assert of_domain(replay, 64, 1) == 0
    replay.add(1, Experience([batch(2, 1, 1, DONE)]), lambda info: {})
    assert replay.weights().tolist() == [0.5, 0.5]


def test_nothing_can_be_drawn_before_there_is_something() -> None:
    assert not filled(0, 0).ready
    assert filled(0, 3).ready
    assert filled(3, 0, shares=(0.0, 1.0)).ready


@pytest.mark.parametrize(("total", "weights", "counts"), [
    (128, [0.5, 0.5], [64, 64]), (10, [1 / 3, 1 / 3, 1 / 3], [3, 4, 3]), (7, [0.0, 1.0], [0, 7])])
def test_every_row_of_a_batch_belongs_to_somebody(total: int, weights: list[float], counts: list[int]) -> None:
    assert split(total, np.array(weights)) == counts


def test_what_is_kept_is_what_stable_baselines_would_keep() -> None:
    replay = MixedReplay([plain()])
    late = batch(1, 1, 3, DONE)
    late.terminated[-1], late.truncated[-1] = False, True
    replay.add(0, Experience([late]), lambda info: {})
    part = replay.parts[0]
    assert part.size() == 3
    assert part.actions[:3].ravel().tolist() == [-1.0, -0.5, 0.0]  # 0, 1, 2 of [0, 4] as of [-1, 1]
    assert part.dones[:3].ravel().tolist() == [0, 0, 1]
    assert part.timeouts[:3].ravel().tolist() == [0, 0, 1]


# --- hindsight ------------------------------------------------------------------------------------------------------


class Rewards:
    """As `env_method` of a domain's environment."""

    def __init__(self, task: Any):
        self._task = task

    def env_method(self, name: str, *arguments: Any, indices: Any = None) -> list[Any]:
        assert name == "compute_reward"
        return [compute_reward(self._task, *arguments)]


TASKS = [tasks.load("reach", reward_type="sparse", tolerance=0.1),
         tasks.load("reach", reward_type="shaped", tolerance=0.3)]
REFUSALS = ("", "table", "joint_limit")


def episode_of(rng: np.random.Generator, task: Any, first: int, length: int) -> tuple[Transitions, list[str]]:
    """An episode in random places, whose observations are numbers from `first` on; and what was refused in it."""
    achieved = rng.uniform(-0.3, 0.3, (length + 1, 3)).astype(np.float32)
    goal = rng.uniform(-0.3, 0.3, 3).astype(np.float32)
    refused = [REFUSALS[number] for number in rng.integers(0, len(REFUSALS), length + 1)]
    observations = [{"observation": np.full(2, first + t, np.float32), "achieved_goal": achieved[t],
                     "desired_goal": goal} for t in range(length + 1)]
    infos = [{"refusal": each, "distance": 0.0} for each in refused]
    reward = compute_reward(task, achieved[1:], np.tile(goal, (length, 1)), infos[1:])
    ended = np.zeros(length, bool)
    ended[-1] = True
    return Transitions(1, 1, length, stack(observations), stack([np.ones(1, np.float32)] * length), reward, ended,
                       np.zeros(length, bool), stack(infos), np.zeros(length + 1, STAMP), end=DONE), refused


def test_every_relabelled_reward_is_that_of_the_domain_it_comes_from() -> None:
    rng = np.random.default_rng(0)
    np.random.seed(0)  # Stable-Baselines3 draws from it
    parts = [HerReplayBuffer(2000, GOALS, ACTIONS, Rewards(task), device="cpu", copy_info_dict=True)  # type: ignore
             for task in TASKS]
    replay = MixedReplay(parts)
    refused: dict[int, str] = {}
    for number, task in enumerate(TASKS):
        for count in range(20):
            first = 10_000 * number + 100 * count
            episode, refusals = episode_of(rng, task, first, 10)
            refused |= {first + t: refusals[t + 1] for t in range(10)}
            replay.add(number, Experience([episode]), lambda info: {"refusal": info["refusal"]})
    relabelled = kinds = 0
    for _ in range(20):
        drawn: Any = replay.sample(256)
        names = drawn.observations["observation"][:, 0].int().tolist()
        achieved, desired = drawn.next_observations["achieved_goal"].numpy(), drawn.observations["desired_goal"].numpy()
        assert np.array_equal(desired, drawn.next_observations["desired_goal"].numpy())
        for row, name in enumerate(names):
            task = TASKS[name // 10_000]
            assert drawn.rewards[row] == np.float32(
                compute_reward(task, achieved[row], desired[row], {"refusal": refused[name]}))
            relabelled += bool((achieved[row] == desired[row]).all())
            kinds += name // 10_000
    assert relabelled > 300  # of 5,120: four fifths have another goal, now and then the place they came to themselves
    assert kinds == 20 * 128
