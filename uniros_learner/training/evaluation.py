"""Judging a policy: episodes without exploration, on goals of their own seeds."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.type_aliases import PolicyPredictor
from stable_baselines3.common.vec_env import VecEnv, unwrap_vec_wrapper

from uniros_learner.training.config import EvaluationPlan
from uniros_learner.training.environments import description_of
from uniros_learner.training.episodes import Episode, Judged, summarise
from uniros_learner.training.normalise import Normalise
from uniros_learner.training.terminal import Terminal


def evaluate(
    policy: PolicyPredictor,
    venv: VecEnv,
    episodes: int,
    seed: int,
    on_episode: Callable[[Judged], None] = lambda episode: None,
) -> list[Judged]:
    """`episodes` episodes of the policy's best actions; `seed` alone decides which goals they have.

    venv: as `environments.vectorise` makes it; left at the start of other episodes.
    on_episode is called after each; what it raises ends the evaluation.
    """
    jury = _Jury(venv, on_episode)
    venv.seed(seed)
    with frozen(venv):
        evaluate_policy(policy, venv, episodes, deterministic=True, callback=jury.after_step)
    return jury.done


class _Jury:
    """Watches every step of an evaluation."""

    def __init__(self, venv: VecEnv, on_episode: Callable[[Judged], None]):
        self.done: list[Judged] = []
        self._on_episode = on_episode
        self._cycle_time = getattr(description_of(venv), "cycle_time", 0.0)  # s
        self._rows: list[list[dict[str, Any]]] = [[] for _ in range(venv.num_envs)]  # the infos of unfinished episodes
        self._steps, self._start = 0, time.monotonic()

    def after_step(self, locals_: dict[str, Any], globals_: dict[str, Any]) -> None:
        """For each environment after each step, as `evaluate_policy` calls it."""
        self._steps += 1
        infos = self._rows[locals_["i"]]
        infos.append(locals_["info"])
        if not locals_["done"]:
            return
        episode = Episode.from_info(infos[-1], self._steps, time.monotonic() - self._start)
        duration = episode.length * self._cycle_time or None
        self.done.append(Judged(**dataclasses.asdict(episode), duration=duration, energy=self._energy(infos),
                                refusals=_refusals(infos)))
        infos.clear()
        self._on_episode(self.done[-1])

    def _energy(self, infos: list[dict[str, Any]]) -> float | None:
        """J, from the power at the end of each cycle."""
        power = [info["power"] for info in infos if "power" in info]
        return float(np.sum(power)) * self._cycle_time if any(power) and self._cycle_time else None


def _refusals(infos: list[dict[str, Any]]) -> int | None:
    told = [info["refusal"] for info in infos if "refusal" in info]
    return sum(bool(refusal) for refusal in told) if told else None


@contextmanager
def frozen(venv: VecEnv) -> Iterator[None]:
    """Normalisation stays as it is, and rewards are the environment's own."""
    normalise = unwrap_vec_wrapper(venv, Normalise)
    if normalise is None:
        yield
        return
    before = normalise.training, normalise.norm_reward
    normalise.training, normalise.norm_reward = False, False
    try:
        yield
    finally:
        normalise.training, normalise.norm_reward = before


def evaluate_shown(
    policy: PolicyPredictor,
    venv: VecEnv,
    plan: EvaluationPlan,
    terminal: Terminal,
    on_episode: Callable[[Judged], None] = lambda episode: None,
) -> list[Judged]:
    """`evaluate` as planned, with a progress bar."""
    seen: list[Judged] = []
    with terminal.progress("evaluating", f"{plan.episodes} episodes", plan.episodes) as display:

        def show(episode: Judged) -> None:
            on_episode(episode)
            seen.append(episode)
            display.update(len(seen), lambda: _running(seen))

        return evaluate(policy, venv, plan.episodes, plan.seed, show)


def _running(seen: list[Judged]) -> str:
    found = summarise(seen)
    return f"return {found.mean_return:.2f}" if found.success_rate is None else f"success {found.success_rate:.0%}"
