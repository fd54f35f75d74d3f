"""Loading a policy runs none of the file's code, and what comes back acts bit for bit as what was saved."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from safetensors.torch import save_file
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from uniros_learner.training.algorithms import build
from uniros_learner.training.config import TrainingConfig
from uniros_learner.training.environments import vectorise
from uniros_learner.training.policy_file import PolicyRefused, check_fits, load_policy, save_policy

NETWORKS = {"net_arch": [8, 16], "activation_fn": "tanh", "buffer_size": 1000}
CONFIG = TrainingConfig(env_id="Pendulum-v1", hyperparameters=NETWORKS)


@pytest.fixture(scope="module")
def model() -> OffPolicyAlgorithm:
    return build(CONFIG, vectorise(gymnasium.make("Pendulum-v1")))


@pytest.fixture
def saved(model: OffPolicyAlgorithm, tmp_path: Path) -> Path:
    save_policy(tmp_path / "policy.safetensors", model, CONFIG)
    return tmp_path / "policy.safetensors"


class Bomb:
    """Pickled, it makes a file of that name when it is loaded."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_a_loaded_policy_acts_bit_for_bit_as_the_saved_one(model: OffPolicyAlgorithm, saved: Path) -> None:
    policy = load_policy(saved)
    rng = np.random.default_rng(0)
    for observation in rng.normal(0.0, 3.0, (200, 3)).astype(np.float32):
        assert policy.predict(observation, deterministic=True)[0] == model.predict(observation, deterministic=True)[0]


def test_a_dict_observation_comes_back_too(tmp_path: Path) -> None:
    class Goal(gymnasium.Env):
        observation_space = gymnasium.spaces.Dict({name: gymnasium.spaces.Box(-1, 1, (2,)) for name in ("a", "b")})
        action_space = gymnasium.spaces.Box(-2, 3, (2,))

    goal_model = build(CONFIG, vectorise(Goal()))
    save_policy(tmp_path / "policy", goal_model, CONFIG)
    policy, sample = load_policy(tmp_path / "policy"), Goal.observation_space.sample()
    acted, expected = (actor.predict(sample, deterministic=True)[0] for actor in (policy, goal_model))
    assert np.array_equal(acted, expected)


def test_a_zip_is_opened_on_the_users_word_only(model: OffPolicyAlgorithm, tmp_path: Path) -> None:
    model.save(tmp_path / "model.zip")
    with pytest.raises(PolicyRefused, match="--trust"):
        load_policy(tmp_path / "model.zip")
    observation = np.ones(3, np.float32)
    trusted = load_policy(tmp_path / "model.zip", trust=True)
    assert trusted.predict(observation, deterministic=True)[0] == model.predict(observation, deterministic=True)[0]


@pytest.mark.parametrize("trust", [False, True])
def test_a_pickle_is_refused_and_does_not_run(trust: bool, tmp_path: Path) -> None:
    (tmp_path / "policy.safetensors").write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    with pytest.raises(PolicyRefused, match="not a policy of ours"):
        load_policy(tmp_path / "policy.safetensors", trust)
    assert not (tmp_path / "exploded").exists()


def test_a_damaged_file_is_refused(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-1])
    with pytest.raises(PolicyRefused, match="not a policy of ours"):
        load_policy(saved)


def test_weights_of_something_else_are_refused(model: OffPolicyAlgorithm, tmp_path: Path) -> None:
    save_file(model.policy.state_dict(), tmp_path / "weights")
    with pytest.raises(PolicyRefused, match="format None"):
        load_policy(tmp_path / "weights")


def test_a_description_that_does_not_fit_its_weights_is_refused(saved: Path) -> None:
    raw = saved.read_bytes()
    assert rb"[8, 16]" in raw
    saved.write_bytes(raw.replace(rb"[8, 16]", rb"[8, 17]"))
    with pytest.raises(PolicyRefused, match="do not go together"):
        load_policy(saved)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyRefused, match="cannot be read"):
        load_policy(tmp_path / "nothing")


def test_a_policy_for_other_spaces_is_refused_with_both(saved: Path) -> None:
    with pytest.raises(PolicyRefused, match=r"observation_space Box\(.*\(3,\).*this environment has Box\(.*\(2,\)"):
        check_fits(load_policy(saved), gymnasium.make("MountainCarContinuous-v0"))
