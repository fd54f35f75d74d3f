"""A run that was killed goes on from its last checkpoint as if it had not been: the model is the same to the bit."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv

from uniros_learner.training import config as configs
from uniros_learner.training import run_folder
from uniros_learner.training.checkpoint import Checkpoint
from uniros_learner.training.config import TrainingConfig
from uniros_learner.training.episodes import read
from uniros_learner.training.fields import InvalidConfig
from uniros_learner.training.run_folder import RunFolder
from uniros_learner.training.terminal import Terminal
from uniros_learner.training.trainer import Trainer

POINT = spaces.Box(-8.0, 8.0, (2,), np.float32)


class Killed(BaseException):
    """Stands for SIGKILL: nothing that runs afterwards counts."""


class Plane(gymnasium.Env):
    """Walk to a point. `killed_at` ends the process, so to speak, in that step of all episodes together."""

    observation_space = POINT
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def __init__(self, killed_at: int = -1, folder: RunFolder | None = None):
        self.left, self.folder = killed_at, folder

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.way = self.np_random.uniform(-2.0, 2.0, 2).astype(np.float32)
        self.steps = 0
        return self._see(), {}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict]:
        self.left -= 1
        if self.left == 0 and self.folder:
            shutil.copytree(self.folder.path, self.folder.path.with_name("killed"))
            raise Killed
        self.way = self.way - 0.4 * np.asarray(action, np.float32)
        self.steps += 1
        distance = float(np.linalg.norm(self.way))
        return self._see(), -distance, distance < 0.2, self.steps == 15, {"is_success": distance < 0.2}

    def _see(self) -> Any:
        return self.way.copy()


class GoalPlane(Plane):
    """The same with goals."""

    observation_space = spaces.Dict({"observation": POINT, "achieved_goal": POINT, "desired_goal": POINT})

    def _see(self) -> Any:
        way = self.way.copy()
        return {"observation": way, "achieved_goal": way, "desired_goal": np.zeros(2, np.float32)}

    def compute_reward(self, achieved: np.ndarray, desired: np.ndarray, infos: Any) -> np.ndarray:
        return -(np.linalg.norm(achieved - desired, axis=-1) > 0.2).astype(np.float64)


OFF = {"learning_starts": 60, "batch_size": 16, "buffer_size": 150, "net_arch": [8]}
NO_TIMEOUTS = {"handle_timeout_termination": False}
CASES: dict[str, tuple[type[Plane], int, dict[str, Any], dict[str, Any]]] = {  # environments, settings, hyperparameters
    "td3": (Plane, 1, {}, {**OFF, "action_noise": {"kind": "ornstein_uhlenbeck", "sigma": 0.2}}),
    "sac": (Plane, 1, {}, {**OFF, "use_sde": True, "buffer_size": 5000, "learning_rate": {"linear": 1e-3}}),
    "dqn": (Plane, 1, {}, {**OFF, "n_steps": 3}),
    "tqc": (GoalPlane, 1, {"normalise": "both"}, OFF),
    "ddpg": (GoalPlane, 3, {}, {**OFF, "replay_buffer_kwargs": {"copy_info_dict": True}}),
    "crossq": (Plane, 1, {}, {**OFF, "optimize_memory_usage": True, "replay_buffer_kwargs": NO_TIMEOUTS}),
    "ppo": (Plane, 3, {"normalise": "observations"}, {"n_steps": 16, "batch_size": 16, "net_arch": [8]}),
    "a2c": (Plane, 1, {}, {"n_steps": 7, "use_sde": True, "net_arch": [8]}),
}


def settings(algorithm: str, hyperparameters: dict[str, Any], **extra: Any) -> TrainingConfig:
    common = {"env_id": "Plane", "num_envs": 1, "steps": 150, "early_stop": {"window": 0},
              "checkpoints": {"steps": 40, "seconds": 0}, "evaluation": {"episodes": 2}}
    return configs.of({"algorithm": algorithm, "hyperparameters": hyperparameters, **common, **extra})


def several(kind: type[Plane], count: int, **first: Any) -> Plane | DummyVecEnv:
    if count == 1:
        return kind(**first)
    return DummyVecEnv([lambda: kind(**first), *[kind] * (count - 1)])


def trained(
    config: TrainingConfig, env: Plane | DummyVecEnv, folder: RunFolder, resume: Checkpoint | None = None
) -> Trainer:
    trainer = Trainer(config, env, folder, Terminal(io.StringIO()), resume=resume)
    trainer.train()
    return trainer


def tensors(value: Any, name: str = "") -> dict[str, Any]:
    """All tensors and numbers in nested state, by where they are."""
    if isinstance(value, dict):
        value = value.items()
    elif isinstance(value, (list, tuple)):
        value = enumerate(value)
    else:
        return {name: value}
    return {key: leaf for inner, each in value for key, leaf in tensors(each, f"{name}/{inner}").items()}


def assert_same(one: Trainer, other: Trainer) -> None:
    first, second = tensors(one.model.get_parameters()), tensors(other.model.get_parameters())
    assert first.keys() == second.keys()
    for name, value in first.items():
        same = torch.equal(value, second[name]) if isinstance(value, torch.Tensor) else value == second[name]
        assert same, name
    assert (one.steps, one.updates) == (other.steps, other.updates)


@pytest.mark.parametrize("algorithm", CASES)
def test_the_resumed_model_equals_the_uninterrupted_one(algorithm: str, tmp_path: Path) -> None:
    kind, count, extra, hyperparameters = CASES[algorithm]
    config = settings(algorithm, hyperparameters, steps=150 * count, **extra)
    whole = trained(config, several(kind, count), run_folder.create(tmp_path / "whole"))
    cut = run_folder.create(tmp_path / "cut")
    with pytest.raises(Killed):
        trained(config, several(kind, count, killed_at=120, folder=cut), cut)
    left = run_folder.existing(tmp_path / "killed")
    checkpoint = Checkpoint(left.checkpoint)
    resumed = trained(config, several(kind, count), left, checkpoint)
    assert_same(whole, resumed)
    assert [e.step for e in read(left.metrics)] == [e.step for e in read(whole.folder.metrics)]
    assert [e.total_reward for e in resumed.episodes] == [e.total_reward for e in whole.episodes]


def test_two_runs_with_one_seed_are_one(tmp_path: Path) -> None:
    config = settings("sac", OFF)
    assert_same(*(trained(config, Plane(), run_folder.create(tmp_path / name)) for name in "ab"))


def test_an_interrupted_run_goes_on_and_its_counters_never_go_back(tmp_path: Path) -> None:
    config = settings("tqc", OFF)
    folder = run_folder.create(tmp_path / "run")
    asked = iter([False] * 100)
    first = Trainer(config, GoalPlane(), folder, Terminal(io.StringIO()), stop=lambda: next(asked, True))
    first.run()
    resumed = trained(config, GoalPlane(), run_folder.existing(folder.path), Checkpoint(folder.checkpoint))
    steps, seconds = zip(*((e.step, e.seconds) for e in read(folder.metrics)))
    assert first.steps == 101
    assert resumed.steps == 150
    assert list(steps) == sorted(steps) and list(seconds) == sorted(seconds)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path: Path) -> None:
    config = settings("sac", OFF)
    folder = run_folder.create(tmp_path / "run")
    trained(config, Plane(), folder)
    other = settings("sac", {**OFF, "net_arch": [9]})
    with pytest.raises(InvalidConfig, match="does not fit these settings"):
        Trainer(other, Plane(), folder, Terminal(io.StringIO()), resume=Checkpoint(folder.checkpoint))


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="had not come to its first checkpoint"):
        Checkpoint(tmp_path / "none")
    (tmp_path / "cut").write_bytes(b"\x10\x00")
    with pytest.raises(InvalidConfig, match="no checkpoint that can be gone on from"):
        Checkpoint(tmp_path / "cut")
