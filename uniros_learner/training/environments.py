"""The one form in which training steps environments: a `VecEnv`, of one environment or of a batch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import gymnasium
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecEnvWrapper, VecMonitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from uniros_env_server.tasks import TASKS, load  # pure functions: the one thing both sides share
from uniros_env_server.tasks.relabel import compute_reward
from uniros_learner.training.catalogue import ALGORITHMS
from uniros_learner.training.config import TrainingConfig
from uniros_learner.training.fields import InvalidConfig
from uniros_learner.training.flat_goals import FlatGoals
from uniros_learner.training.normalise import Normalise
from uniros_learner.training.nudging import Nudges
from uniros_learner.training.packed import Packed
from uniros_learner.training.seeding import SeededEpisodes


def vectorise(env: gymnasium.Env | VecEnv, config: TrainingConfig | None = None) -> VecEnv:
    """`env` as Stable-Baselines3 steps it, with returns and lengths of episodes in the infos. Never closes `env`.

    config: of the algorithm that is to act in it; without one, actions are as they are.
    Raises InvalidConfig when the algorithm cannot act in this environment.
    """
    venv: VecEnv = VecMonitor(env) if isinstance(env, VecEnv) else _single(env, config)
    task = task_of(env)
    if task and has_goals(env.observation_space):
        venv = LocalReward(venv, task)
    if config is None:
        return venv
    venv = _acted_in(venv, config)
    if has_goals(venv.observation_space) and not ALGORITHMS[config.algorithm].dict_observations:
        if config.normalise in ("observations", "both"):
            raise InvalidConfig(f"normalise: {config.algorithm} scales observations by itself; expected none "
                                "or rewards in goal environments")
        venv = FlatGoals(venv)
    if config.normalise == "none":
        return venv
    return Normalise(venv, norm_obs=config.normalise != "rewards", norm_reward=config.normalise != "observations",
                     gamma=config.hyperparameters["gamma"])


def for_policy(policy: Any, env: gymnasium.Env | VecEnv, config: TrainingConfig) -> VecEnv:
    """`env` as a policy that was saved sees it. One that is packed for env servers brings all but nudges with it."""
    if not isinstance(policy, Packed):
        return vectorise(env, config)
    venv = vectorise(env)
    discrete = isinstance(policy.action_space, spaces.Discrete) and isinstance(venv.action_space, spaces.Box)
    return Nudges(venv, config.nudge) if discrete else venv


def limited(env: gymnasium.Env, config: TrainingConfig) -> gymnasium.Env:
    """With the time limit of the settings, if there is one."""
    return TimeLimit(env, config.max_episode_steps) if config.max_episode_steps else env


def _single(env: gymnasium.Env, config: TrainingConfig | None) -> VecEnv:
    one = limited(env, config) if config else env
    return DummyVecEnv([lambda: Monitor(SeededEpisodes(one))])


def _acted_in(venv: VecEnv, config: TrainingConfig) -> VecEnv:
    actions, offered = ALGORITHMS[config.algorithm].actions, venv.action_space
    if actions == "discrete" and isinstance(offered, spaces.Box):
        return Nudges(venv, config.nudge)
    if actions == "continuous" and not isinstance(offered, spaces.Box):
        raise InvalidConfig(f"{config.algorithm} needs continuous actions, a Box; {config.env_id} has {offered}")
    if actions == "discrete" and not isinstance(offered, spaces.Discrete):
        raise InvalidConfig(f"{config.algorithm} needs actions that are Discrete or a Box; {config.env_id} has "
                            f"{offered}")
    return venv


def has_goals(observation_space: spaces.Space) -> bool:
    return isinstance(observation_space, spaces.Dict) and "desired_goal" in observation_space.spaces


def description_of(env: gymnasium.Env | VecEnv) -> Any:
    """What the env server says of itself; None for an environment that is none of ours."""
    inner: Any = env.unwrapped
    if isinstance(inner, DummyVecEnv):
        inner = inner.envs[0].unwrapped
    return getattr(inner, "description", None)


def longest_episode(venv: VecEnv) -> int | None:
    """Steps after which an episode is over at the latest, as far as that is known."""
    description = description_of(venv)
    if description is not None:
        told: int | None = (json.loads(description.spec or "{}") or {}).get("max_episode_steps")
    else:
        specs = venv.get_attr("spec") if isinstance(venv.unwrapped, DummyVecEnv) else [None]
        told = getattr(specs[0], "max_episode_steps", None)
    return told


def task_of(env: gymnasium.Env | VecEnv) -> dict[str, Any]:
    """Name and parameters of the task behind an env server, when it is known here; else {}."""
    description = description_of(env)
    task = json.loads(getattr(description, "task", "") or "{}")
    return task if task.get("name") in TASKS else {}


class LocalReward(VecEnvWrapper):
    """`compute_reward` here instead of at the env server: HER asks for it in every update."""

    def __init__(self, venv: VecEnv, task: Mapping[str, Any]):
        super().__init__(venv)
        self._task = load(task["name"], **task["parameters"])

    def reset(self) -> VecEnvObs:
        """As the environment does."""
        return self.venv.reset()

    def step_wait(self) -> VecEnvStepReturn:
        """As the environment does."""
        return self.venv.step_wait()

    def env_method(self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
                   ) -> list[Any]:
        """Call a method of each row."""
        if method_name != "compute_reward":
            return self.venv.env_method(method_name, *method_args, indices=indices, **method_kwargs)
        reward = compute_reward(self._task, *method_args, **method_kwargs)
        return [reward for _ in self._get_indices(indices)]
