"""An exported policy acts as the trained one does, and needs no learning library for it."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import onnxruntime
import pytest
from gymnasium import spaces

from uniros_learner.training import config as configs
from uniros_learner.training import run_folder
from uniros_learner.training.agent import Agent
from uniros_learner.training.environments import vectorise
from uniros_learner.training.export_command import export
from uniros_learner.training.run_folder import RunFolder
from uniros_learner.training.terminal import Terminal
from uniros_learner.training.trainer import Trainer
from uniros_msgs import spaces as described
from uniros_msgs.policy import Policy

TOLERANCE = 1e-5
TINY = {"net_arch": [12, 8], "learning_starts": 40, "batch_size": 16, "buffer_size": 500}
CASES: dict[str, tuple[bool, dict[str, Any]]] = {  # goals, settings
    "td3": (False, {"normalise": "observations", "hyperparameters": {**TINY, "activation_fn": "silu"}}),
    "sac": (True, {"hyperparameters": {**TINY, "activation_fn": "gelu"}}),
    "crossq": (True, {"hyperparameters": TINY}),
    "dqn": (False, {"nudge": 0.5, "hyperparameters": {**TINY, "activation_fn": "elu"}}),
    "ppo": (False, {"hyperparameters": {"n_steps": 40, "batch_size": 20, "net_arch": [8], "activation_fn": "tanh"}}),
}


class Point(gymnasium.Env):
    """Observations and rewards that only have to be of the right form."""

    action_space = spaces.Box(np.array([-2.0, 0.0], np.float32), np.array([1.0, 4.0], np.float32))

    def __init__(self, goals: bool):
        part = spaces.Box(-3.0, 5.0, (3,), np.float32)
        parts = {"observation": part, "achieved_goal": part, "desired_goal": part}
        self.observation_space = spaces.Dict(parts) if goals else part

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.left = 8
        return self.observation_space.sample(), {}

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict]:
        assert self.action_space.contains(action)
        self.left -= 1
        return self.observation_space.sample(), float(action[0]), False, self.left == 0, {"is_success": False}

    def compute_reward(self, achieved: np.ndarray, desired: np.ndarray, infos: Any) -> np.ndarray:
        return -np.linalg.norm(achieved - desired, axis=-1)


def finished(algorithm: str, folder: RunFolder) -> tuple[Trainer, Point]:
    goals, settings = CASES[algorithm]
    common = {"env_id": "Point", "num_envs": 1, "steps": 80, "early_stop": {"window": 0}, "evaluation": {"episodes": 1}}
    env = Point(goals)
    trainer = Trainer(configs.of({"algorithm": algorithm, **common, **settings}), env, folder, Terminal(io.StringIO()))
    trainer.run()
    return trainer, env


@pytest.mark.parametrize("algorithm", CASES)
def test_an_exported_policy_acts_as_the_trained_one(algorithm: str, tmp_path: Path) -> None:
    folder = run_folder.create(tmp_path / "run")
    trainer, env = finished(algorithm, folder)
    onnx, safetensors = export(folder.actor, folder)
    session = onnxruntime.InferenceSession(onnx)
    said = session.get_modelmeta().custom_metadata_map
    assert described.build(said["observation_space"]) == env.observation_space
    assert described.build(said["action_space"]) == env.action_space
    agent, packed = Agent(trainer.model, trainer._venv), Policy.load(safetensors.read_bytes())
    env.observation_space.seed(1)
    for _ in range(50):
        seen = env.observation_space.sample()
        parts = seen if isinstance(seen, dict) else {"observation": seen}
        (acted,) = session.run(None, {name: value[None] for name, value in parts.items()})
        expected = agent.act(seen)
        assert np.abs(acted[0] - expected).max() <= TOLERANCE
        if algorithm != "dqn":  # its safetensors file gives the number of the nudge
            assert np.abs(packed.act(seen) - expected).max() <= TOLERANCE


def test_what_is_exported_needs_no_learning_library(tmp_path: Path) -> None:
    folder = run_folder.create(tmp_path / "run")
    finished("sac", folder)
    onnx, safetensors = export(folder.actor, folder)
    code = f"""
import sys
import numpy as np, onnxruntime
from uniros_msgs.policy import Policy
seen = {{name: np.full(3, 0.5, np.float32) for name in ("observation", "achieved_goal", "desired_goal")}}
one = Policy.load(open({str(safetensors)!r}, "rb").read()).act(seen)
session = onnxruntime.InferenceSession({str(onnx)!r})
other = session.run(None, {{name: value[None] for name, value in seen.items()}})[0][0]
assert np.abs(one - other).max() <= {TOLERANCE}, (one, other)
assert not {{"torch", "stable_baselines3", "onnx", "uniros_learner"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_best_and_provenance_are_in_the_folder(tmp_path: Path) -> None:
    folder = run_folder.create(tmp_path / "run")
    trainer, env = finished("td3", folder)
    recorded = {"recorder": "/recorder", "master": "http://x:1", "folder": "/bags", "bags": ["/bags/a.bag"]}
    page = trainer.describe([recorded])
    assert "TD3 on Point" in page
    told = folder.report.read_text()
    for expected in ("![learning_curve.png]", "![evaluation.png]", "`/bags/a.bag`", "torch 2.", "seeds | run 0"):
        assert expected in told
    assert Policy.load(folder.best_actor.read_bytes()).observation_space == env.observation_space
    assert vectorise(env).observation_space == env.observation_space
