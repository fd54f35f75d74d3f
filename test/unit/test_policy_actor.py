"""A model's actor as numbers that can be sent: it acts as the model predicts, for all algorithms and observations."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
import sb3_contrib
import stable_baselines3 as sb3
import torch
from gymnasium import spaces as gs
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from torch import nn

from uniros_learner.training.actor import actor_of
from uniros_msgs.errors import InvalidPolicy
from uniros_msgs.policy import Policy

torch.set_num_threads(1)
SHORT = {"buffer_size": 300, "learning_starts": 32, "train_freq": 8, "batch_size": 16}
LONG = {"n_steps": 32}
ALGORITHMS: dict[str, tuple[Any, dict[str, Any]]] = {
    "TD3": (sb3.TD3, SHORT), "DDPG": (sb3.DDPG, SHORT), "SAC": (sb3.SAC, SHORT), "TQC": (sb3_contrib.TQC, SHORT),
    "CrossQ": (sb3_contrib.CrossQ, SHORT), "PPO": (sb3.PPO, LONG | {"batch_size": 32}), "A2C": (sb3.A2C, {}),
    "DQN": (sb3.DQN, SHORT),
}
VECTOR = gs.Box(-2.0, 2.0, (6,), np.float32)
ACTIONS = gs.Box(np.array([-1.0, 0.5, -3.0], np.float32), np.array([1.0, 2.0, 7.0], np.float32))
GOAL = gs.Dict({"observation": VECTOR, "desired_goal": gs.Box(-1, 1, (3,)), "achieved_goal": gs.Box(-1, 1, (3,))})
MIXED = gs.Dict({"z": gs.Discrete(3), "a": gs.MultiDiscrete([2, 4]), "m": gs.MultiBinary(3),
                 "b": gs.Box(-1, 1, (2, 2))})


class Drawn(gymnasium.Env):
    """Observations and rewards by chance."""

    def __init__(self, observation_space: gs.Space, action_space: gs.Space):
        self.observation_space, self.action_space = observation_space, action_space
        observation_space.seed(0)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        reward, done = self.np_random.normal(), self.np_random.random() < 0.1
        return self.observation_space.sample(), float(reward), bool(done), False, {}


def trained(name: str, observations: gs.Space, actions: gs.Space = ACTIONS, steps: int = 96, normalise: bool = False,
            **policy: Any) -> Any:
    cls, settings = ALGORITHMS[name]
    venv: Any = DummyVecEnv([lambda: Drawn(observations, actions)])
    if normalise:
        venv = VecNormalize(venv, clip_obs=1.5)
    kind = "MultiInputPolicy" if isinstance(observations, gs.Dict) else "MlpPolicy"
    model = cls(kind, venv, seed=1, device="cpu", policy_kwargs={"net_arch": [16, 16], **policy}, **settings)
    return model.learn(steps)


def assert_acts_alike(model: Any, count: int = 50) -> None:
    policy, venv = Policy.load(actor_of(model)), model.get_vec_normalize_env()
    space = model.observation_space
    seen = [space.sample() for _ in range(count)]
    for observation in seen:
        given = venv.normalize_obs(observation) if venv else observation
        expected, _ = model.predict(given, deterministic=True)
        action = policy.act(observation)
        np.testing.assert_allclose(action, expected, atol=1e-5)
        assert model.action_space.contains(action)
    together = policy.act(rows_of(space, seen))
    np.testing.assert_allclose(together, np.stack([policy.act(each) for each in seen]), atol=1e-6)
    assert together.dtype == model.action_space.dtype


def rows_of(space: gs.Space, seen: list[Any]) -> Any:
    if not isinstance(space, gs.Dict):
        return np.stack(seen)
    return {key: np.stack([each[key] for each in seen]) for key in space}


@pytest.mark.parametrize("name", [name for name in ALGORITHMS if name != "DQN"])
def test_it_acts_as_the_model_predicts(name: str) -> None:
    assert_acts_alike(trained(name, GOAL if name in ("TD3", "SAC") else VECTOR))


@pytest.mark.parametrize("name", ["DQN", "PPO"])
def test_it_chooses_as_the_model_does(name: str) -> None:
    assert_acts_alike(trained(name, VECTOR, gs.Discrete(5)))


def test_keys_and_whole_numbers_are_flattened_as_the_model_does() -> None:
    assert_acts_alike(trained("TD3", MIXED))


@pytest.mark.parametrize("activation", [nn.Tanh, nn.ELU, nn.SiLU, nn.LeakyReLU, nn.GELU])
def test_activations(activation: type[nn.Module]) -> None:
    assert_acts_alike(trained("TD3", VECTOR, activation_fn=activation))


@pytest.mark.parametrize("observations", [VECTOR, GOAL])
def test_the_normalisation_comes_along(observations: gs.Space) -> None:
    assert_acts_alike(trained("PPO", observations, normalise=True))


def test_small_images_are_scaled_as_the_model_does() -> None:
    assert_acts_alike(trained("PPO", gs.Box(0, 255, (40, 40, 3), np.uint8), steps=32))


@pytest.mark.parametrize("name", ["SAC", "PPO"])
def test_it_samples_as_the_model_does(name: str) -> None:
    model = trained(name, VECTOR)
    policy, rng = Policy.load(actor_of(model)), np.random.default_rng(0)
    rows = np.tile(VECTOR.sample(), (4000, 1))
    ours, theirs = policy.act(rows, rng, deterministic=False), model.predict(rows)[0]
    np.testing.assert_allclose(ours.mean(0), theirs.mean(0), atol=0.2)
    np.testing.assert_allclose(ours.std(0), theirs.std(0), atol=0.2)


def test_choices_are_sampled_with_their_probabilities() -> None:
    model = trained("PPO", VECTOR, gs.Discrete(3, start=0))
    policy, rng = Policy.load(actor_of(model)), np.random.default_rng(0)
    observation = VECTOR.sample()
    expected = model.policy.get_distribution(torch.as_tensor(observation[None])).distribution.probs[0].detach().numpy()
    drawn = policy.act(np.tile(observation, (8000, 1)), rng, deterministic=False)
    np.testing.assert_allclose(np.bincount(drawn, minlength=3) / 8000, expected, atol=0.03)


def test_versions_are_given_or_a_fingerprint() -> None:
    model = trained("TD3", VECTOR)
    first = Policy.load(actor_of(model)).version
    assert len(first) == 12 and Policy.load(actor_of(model.policy)).version == first
    assert Policy.load(actor_of(model, "step 96")).version == "step 96"
    model.learn(48)
    assert Policy.load(actor_of(model)).version != first


def test_what_cannot_be_sent_is_said() -> None:
    box = gs.Box(-1, 1, (2,))
    with pytest.raises(InvalidPolicy, match="use_sde"):
        actor_of(sb3.PPO("MlpPolicy", Drawn(VECTOR, box), use_sde=True, device="cpu"))
    with pytest.raises(InvalidPolicy, match="NatureCNN"):
        actor_of(sb3.PPO("CnnPolicy", Drawn(gs.Box(0, 255, (40, 40, 3), np.uint8), box), device="cpu"))
    with pytest.raises(InvalidPolicy, match="Softplus"):
        actor_of(sb3.TD3("MlpPolicy", Drawn(VECTOR, box), policy_kwargs={"activation_fn": nn.Softplus}, device="cpu"))
    with pytest.raises(InvalidPolicy, match="MultiDiscrete"):
        actor_of(sb3.PPO("MlpPolicy", Drawn(VECTOR, gs.MultiDiscrete([2, 2])), device="cpu"))
    with pytest.raises(InvalidPolicy, match="Stable-Baselines3"):
        actor_of(object())
