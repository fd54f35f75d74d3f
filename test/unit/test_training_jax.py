"""SBX's algorithms, where they are installed: resumed to the bit, and saved as policies that need no JAX."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from uniros_learner.training import config as configs
from uniros_learner.training import jax_models, run_folder
from uniros_learner.training.agent import Agent
from uniros_learner.training.catalogue import JAX
from uniros_learner.training.checkpoint import Checkpoint
from uniros_learner.training.environments import for_policy
from uniros_learner.training.policy_file import load_policy
from uniros_learner.training.run_folder import RunFolder
from uniros_learner.training.terminal import Terminal
from uniros_learner.training.trainer import Trainer

pytest.importorskip("sbx", reason="SBX is optional: requirements/jax.txt")

OFF = {"learning_starts": 210, "batch_size": 16, "buffer_size": 500, "net_arch": [8]}
ON = {"n_steps": 50, "batch_size": 25, "net_arch": [8]}


def settings(algorithm: str) -> configs.TrainingConfig:
    return configs.of({
        "algorithm": algorithm, "env_id": "Pendulum-v1", "num_envs": 1, "steps": 440, "early_stop": {"window": 0},
        "hyperparameters": OFF if JAX[algorithm].off_policy else ON, "checkpoints": {"steps": 200, "seconds": 0},
        "evaluation": {"episodes": 1},
    })  # fmt: skip


def trained(
    config: configs.TrainingConfig, folder: RunFolder, resume: Checkpoint | None = None, stop: int = 0
) -> Trainer:
    trainer = Trainer(config, gymnasium.make("Pendulum-v1"), folder, Terminal(io.StringIO()),
                      stop=lambda: 0 < stop <= trainer.steps, resume=resume)
    if stop:
        trainer.save = lambda: None  # type: ignore[method-assign] - as if it had been killed
    trainer.train()
    return trainer


def leaves(tree: Any) -> list[np.ndarray]:
    return [leaf for each in tree.values() for leaf in leaves(each)] if isinstance(tree, dict) else [np.asarray(tree)]


@pytest.mark.parametrize("algorithm", JAX)
def test_a_jax_run_is_resumed_to_the_bit_and_its_policy_needs_none(algorithm: str, tmp_path: Path) -> None:
    config = settings(algorithm)
    whole = trained(config, run_folder.create(tmp_path / "whole"))
    trained(config, run_folder.create(tmp_path / "cut"), stop=430)
    shutil.copytree(tmp_path / "cut", tmp_path / "left")
    left = run_folder.existing(tmp_path / "left")
    resumed = trained(config, left, Checkpoint(left.checkpoint))
    states = [leaves(jax_models.state(trainer.model)) for trainer in (whole, resumed)]
    assert all(map(np.array_equal, *states))
    env = gymnasium.make("Pendulum-v1")
    policy = load_policy(whole.folder.policy)
    agents = Agent(policy, for_policy(policy, env, config)), Agent(whole.model, whole._venv)
    for seen in (env.observation_space.sample() for _ in range(50)):
        one, other = (agent.act(seen) for agent in agents)
        assert np.abs(one - other).max() <= 1e-5
