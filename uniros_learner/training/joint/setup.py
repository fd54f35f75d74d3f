"""Puts a joint run together: domains, model, replay buffers, loop; with what fits to what checked first."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.her.her_replay_buffer import HerReplayBuffer

from uniros_learner.env import RosEnv
from uniros_learner.multi_task import MultiTaskEnv
from uniros_learner.multi_task_goal import MultiTaskGoalEnv
from uniros_learner.multi_task_member import Member
from uniros_learner.relabel import local_reward
from uniros_learner.training.algorithms import build
from uniros_learner.training.catalogue import ALGORITHMS, TORCH
from uniros_learner.training.config import TrainingConfig
from uniros_learner.training.environments import has_goals, vectorise
from uniros_learner.training.fields import InvalidConfig
from uniros_learner.training.joint.actors_loop import ActorsLoop
from uniros_learner.training.joint.domain import Domain, names
from uniros_learner.training.joint.loop import Loop
from uniros_learner.training.joint.plain_loop import PlainLoop
from uniros_learner.training.joint.replay import MixedReplay

WHOLE = "uniros_learner.whole_episodes:WholeEpisodes{}Buffer"
REFUSAL = "refusal"  # all that the reward of a task that is known here looks at in an info

Relevant = Callable[[dict[str, Any]], Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Setup:
    """What a joint run consists of."""

    domains: Sequence[Domain]
    model: OffPolicyAlgorithm
    loop: Loop
    note: Callable[[], str]  # what there is to say of the learner while it learns
    close: Callable[[], None]


def set_up(config: TrainingConfig, envs: Sequence[RosEnv]) -> Setup:
    """For environments that become the setup's. In a ROS node the learner's knobs may be turned.

    Raises InvalidConfig, after closing the environments.
    """
    with ExitStack() as failing:
        for env in envs:
            failing.callback(env.close)
        config.joint.check(len(envs))
        _check_algorithm(config, envs)
        _check_spaces(config, envs)
        made = (_actors if config.joint.loop == "actors" else _plain)(config, envs)
        failing.pop_all()
    return made


def _check_algorithm(config: TrainingConfig, envs: Sequence[RosEnv]) -> None:
    entry, goals = ALGORITHMS[config.algorithm], bool(envs) and has_goals(envs[0].observation_space)
    if not entry.off_policy or entry.actions != "continuous" or entry.jax:
        able = [name for name, each in TORCH.items() if each.off_policy and each.actions == "continuous"]
        raise InvalidConfig(f"algorithm: {config.algorithm} cannot learn from what several domains bring at their own "
                            f"pace; expected one of {', '.join(able)}")
    if goals and not entry.dict_observations:
        raise InvalidConfig(f"algorithm: {config.algorithm} joins the parts of a goal environment's observation, which "
                            "an env server does not; expected another algorithm, or an environment without goals")
    for name, only in (("normalise", "none"), ("max_episode_steps", 0), ("num_envs", 1)):
        if getattr(config, name) != only:
            raise InvalidConfig(f"{name}: the policy acts at the env servers, on what they observe; expected {only} "
                                f"for joint training, not {getattr(config, name)}")


def _check_spaces(config: TrainingConfig, envs: Sequence[RosEnv]) -> None:
    first = envs[0]
    for env in envs:
        if not isinstance(env.action_space, spaces.Box):
            raise InvalidConfig(f"{env.description.env_id}: {config.algorithm} needs actions that are a Box, this has "
                                f"{env.action_space}")
        if (env.observation_space, env.action_space) != (first.observation_space, first.action_space):
            raise InvalidConfig(f"{env.description.env_id} has other spaces than {first.description.env_id}; one "
                                "policy acts in all of them, so they must be the same (uniros.MultiTaskEnv pads them)")


def _domains(config: TrainingConfig, members: Sequence[Member]) -> list[Domain]:
    window = max(config.early_stop.window, config.joint.window, 1)
    called = names([member.task for member in members])
    return [Domain(number, called[number], member, window) for number, member in enumerate(members)]


# --- actors ---------------------------------------------------------------------------------------------------------


def _actors(config: TrainingConfig, envs: Sequence[RosEnv]) -> Setup:
    model = build(config, vectorise(envs[0], config))
    assert isinstance(model, OffPolicyAlgorithm)
    members = [Member(number, env, lambda: None) for number, env in enumerate(envs)]
    replay = MixedReplay([_part(model, env) for env in envs], config.joint.shares, config.joint.enough)
    domains = _domains(config, members)
    loop = ActorsLoop(config, model, replay, domains, _relevant(envs), _knobs(model, replay))

    def note() -> str:
        mix = zip(domains, replay.weights(), strict=True)
        return "batches " + ", ".join(f"{share:.0%} {domain.name}" for domain, share in mix)

    def close() -> None:
        for member in members:
            member.close()

    return Setup(domains, model, loop, note, close)


def _knobs(model: OffPolicyAlgorithm, replay: MixedReplay) -> Callable[[], object]:
    if "rospy" not in sys.modules:  # then this is no node
        return lambda: None
    from uniros_learner.training.knobs import LearnerKnobs

    knobs = LearnerKnobs(replay if len(replay.parts) > 1 else None)
    knobs.init_callback(model)
    return knobs.on_step


def _part(model: OffPolicyAlgorithm, env: RosEnv) -> ReplayBuffer:
    """A domain's own buffer, as the model would have one. Raises InvalidConfig where its rewards are not known here."""
    kind = model.replay_buffer_class
    assert kind is not None
    arguments = dict(model.replay_buffer_kwargs)
    if issubclass(kind, HerReplayBuffer):
        arguments |= {"env": _Rewards(env), "copy_info_dict": True}
    return kind(model.buffer_size, env.observation_space, env.action_space, device=model.device, n_envs=1,
                optimize_memory_usage=model.optimize_memory_usage, **arguments)


class _Rewards:
    """All that a HerReplayBuffer wants of a VecEnv: the rewards of relabelled goals, worked out here."""

    def __init__(self, env: RosEnv):
        reward = local_reward(env.description.task)
        if reward is None:
            raise InvalidConfig(f"{env.description.env_id}: HER needs its rewards here, but its task is known to its "
                                "env server alone; expected joint.loop: plain, which asks there")
        self._reward = reward

    def env_method(self, name: str, *arguments: Any, indices: Any = None) -> list[Any]:
        """As `VecEnv.env_method`, for compute_reward."""
        return [np.asarray(self._reward(*arguments))]


def _relevant(envs: Sequence[RosEnv]) -> Relevant:
    """What of an info is kept for relabelling."""
    if not has_goals(envs[0].observation_space):
        return lambda info: {}
    return lambda info: {REFUSAL: info.get(REFUSAL, "")}


# --- plain ----------------------------------------------------------------------------------------------------------


def _plain(config: TrainingConfig, envs: Sequence[RosEnv]) -> Setup:
    goals = has_goals(envs[0].observation_space)
    choice: dict[str, Any] = {"choice": "weighted", "weights": config.joint.shares} if config.joint.shares else {}
    multi = (MultiTaskGoalEnv if goals else MultiTaskEnv)(envs, seed=config.seed, **choice)
    venv = vectorise(multi, config)
    model = build(_with_whole_episodes(config, multi.observation_space), venv)
    assert isinstance(model, OffPolicyAlgorithm)
    domains = _domains(config, multi.members)
    return Setup(domains, model, PlainLoop(config, model, venv, domains), str, multi.close)


def _with_whole_episodes(config: TrainingConfig, space: spaces.Space) -> TrainingConfig:
    """The settings with a buffer that learns nothing of an episode that broke."""
    given = config.hyperparameters
    kind = given["replay_buffer_class"]
    if kind not in (None, "plain", "her"):
        return config
    hindsight = kind == "her" or (kind is None and has_goals(space))
    name = "Her" if hindsight else "Dict" if isinstance(space, spaces.Dict) else ""
    arguments = dict(given["replay_buffer_kwargs"] or {}) | ({"copy_info_dict": True} if hindsight else {})
    whole = {"replay_buffer_class": WHOLE.format(name), "replay_buffer_kwargs": arguments}
    return dataclasses.replace(config, hyperparameters=given | whole)
