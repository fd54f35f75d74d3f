"""Goals for algorithms that see no Dict: observations as one vector, and a replay buffer that knows its parts."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.spaces.utils import flatten_space
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, unwrap_vec_wrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn
from stable_baselines3.her.her_replay_buffer import HerReplayBuffer
from torch import Tensor, cat


class FlatGoals(VecEnvWrapper):
    """Dict observations as one vector, their parts in the space's order."""

    def __init__(self, venv: VecEnv):
        assert isinstance(venv.observation_space, spaces.Dict)
        self.parts = venv.observation_space
        flat = flatten_space(self.parts)
        assert isinstance(flat, spaces.Box)
        super().__init__(venv, observation_space=flat)

    def observed(self, observations: dict[str, np.ndarray]) -> np.ndarray:
        """(n, D) of observations with a leading dimension of rows."""
        return np.concatenate([observations[key].reshape(len(observations[key]), -1) for key in self.parts], axis=1,
                              dtype=np.float32)

    def split(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        """What `observed` was given."""
        widths = [int(np.prod(part.shape or ())) for part in self.parts.values()]
        cut = np.split(flat, np.cumsum(widths)[:-1], axis=1)
        return {key: part.reshape(-1, *(space.shape or ())) for (key, space), part in zip(self.parts.items(), cut)}

    def reset(self) -> VecEnvObs:
        """As the environment does."""
        return self.observed(self.venv.reset())  # type: ignore[arg-type]

    def step_wait(self) -> VecEnvStepReturn:
        """As the environment does."""
        observations, rewards, dones, infos = self.venv.step_wait()
        for row in np.flatnonzero(dones):
            last = {key: value[None] for key, value in infos[row]["terminal_observation"].items()}
            infos[row]["terminal_observation"] = self.observed(last)[0]
        return self.observed(observations), rewards, dones, infos  # type: ignore[arg-type]


class FlatHerReplayBuffer(HerReplayBuffer):
    """HER for observations that `FlatGoals` has joined: kept and relabelled by part, handed out as one vector."""

    def __init__(self, buffer_size: int, observation_space: spaces.Box, action_space: spaces.Space, env: VecEnv,
                 **settings: Any):
        flat = unwrap_vec_wrapper(env, FlatGoals)
        assert flat is not None
        self._flat = flat
        super().__init__(buffer_size, self._flat.parts, action_space, env, **settings)

    def add(self, obs: Any, next_obs: Any, *rest: Any) -> None:
        """Observations are vectors."""
        super().add(self._flat.split(obs), self._flat.split(next_obs), *rest)

    def sample(self, batch_size: int, env: Any = None) -> Any:
        """Transitions whose observations are vectors."""
        drawn = super().sample(batch_size, env)
        return ReplayBufferSamples(self._joined(drawn.observations), drawn.actions,
                                   self._joined(drawn.next_observations), drawn.dones, drawn.rewards)

    def _joined(self, parts: dict[str, Tensor]) -> Tensor:
        return cat([parts[key].flatten(1) for key in self._flat.parts], dim=1)
