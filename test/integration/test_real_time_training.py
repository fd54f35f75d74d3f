"""Learning with Stable-Baselines3 while a simulated arm moves in real time."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from sb3_contrib import TQC
from stable_baselines3 import DQN, PPO, SAC, TD3, HerReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback

import uniros_learner as uniros
from uniros_learner.proxy import GymProxy
from uniros_learner.training.idle import training_while_waiting
from uniros_msgs.errors import ServerDied

pytestmark = pytest.mark.deadline
CYCLE = 0.08  # s
STARTS, STEPS = 7, 16

pytestmark = pytest.mark.deadline  # of cycles, none of which may be missed


def tiny(kind: type[Any], env: gymnasium.Env, **settings: Any) -> Any:
    """A model that learns next to nothing, fast."""
    given = {"batch_size": 8, "learning_starts": STARTS, "buffer_size": 500, "seed": 0, "device": "cpu",
             "train_freq": 1, "policy_kwargs": {"net_arch": [8]}} | settings
    return kind("MultiInputPolicy", env, **given)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """The other core is for the env server, as in training."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def env() -> Iterator[GymProxy]:
    with uniros.make("RX200ReachGoalSim-v0", real_time=True, cycle_time=CYCLE) as served:
        yield served


class Nudges(gymnasium.ActionWrapper):
    """One joint at a time, for an algorithm that chooses from a list."""

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        self.action_space = gymnasium.spaces.Discrete(10)

    def action(self, action: Any) -> np.ndarray:
        return np.eye(5, dtype=np.float32)[action // 2] * (1 if action % 2 else -1)


class Overruns(BaseCallback):
    """Counts the cycles that passed without an action."""

    def __init__(self) -> None:
        super().__init__()
        self.cycles = 0

    def _on_step(self) -> bool:
        self.cycles = max(self.cycles, self.locals["infos"][0]["overruns"])
        return True


@pytest.mark.parametrize("kind", [TD3, SAC, TQC, DQN, "TD3 with hindsight"])
def test_every_algorithm_with_a_replay_buffer_learns_while_it_waits(env: GymProxy, kind: Any) -> None:
    settings: dict[str, Any] = {}
    if kind == "TD3 with hindsight":
        kind, settings = TD3, {"replay_buffer_class": HerReplayBuffer, "learning_starts": 6}
    inside = gymnasium.wrappers.TimeLimit(Nudges(env) if kind is DQN else env, 6)
    model = tiny(kind, inside, **settings)
    overruns = Overruns()
    with training_while_waiting(model, env) as work:
        assert work
        assert model.gradient_steps == 0
        model.learn(STEPS, overruns)
    assert model.gradient_steps == 1
    report = work.report
    assert report.steps == STEPS
    assert report.updates == model._n_updates > STEPS - STARTS
    assert report.idle == pytest.approx(STEPS * CYCLE, rel=0.2)
    assert 0 < report.used < report.idle
    assert report.late <= 2  # of 8 with training: a machine under load may stop any update for a while
    assert overruns.cycles == 0
    assert all(np.isfinite(value.numpy()).all() for value in model.policy.state_dict().values())


def test_algorithms_that_learn_from_whole_rollouts_learn_as_ever(env: GymProxy) -> None:
    model = PPO("MultiInputPolicy", env, n_steps=8, batch_size=8, n_epochs=1, device="cpu")
    with training_while_waiting(model, env) as work:
        assert work is None
        model.learn(8)


def weights(env: GymProxy, inside: bool) -> dict[str, Any]:
    model = tiny(TD3, env)
    if inside:
        with training_while_waiting(model, env) as work:
            assert work is None
            model.learn(STEPS)
    else:
        model.learn(STEPS)
    return model.policy.state_dict()


def test_in_lock_step_nothing_changes() -> None:
    with uniros.make("RX200ReachGoalSim-v0") as env:
        one, other = weights(env, True), weights(env, False)
    assert all(bool((one[name] == other[name]).all()) for name in one)


def test_a_server_that_dies_ends_the_learning(env: GymProxy) -> None:
    """Last: it takes the server away from the others."""

    class Kill(BaseCallback):
        def _on_step(self) -> bool:
            if self.num_timesteps == STARTS + 3:
                os.kill(env.description.pid, signal.SIGKILL)
            return True

    model = tiny(TD3, env)
    with pytest.raises(ServerDied), training_while_waiting(model, env):
        model.learn(STEPS, Kill())
    assert model.gradient_steps == 1
