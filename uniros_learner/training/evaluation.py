"""Judging a policy: episodes without exploration, on goals of their own seeds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.type_aliases import PolicyPredictor
from stable_baselines3.common.vec_env import VecEnv, unwrap_vec_wrapper

from uniros_learner.training.config import EvaluationPlan
from uniros_learner.training.episodes import Episode, summarise
from uniros_learner.training.normalise import Normalise
from uniros_learner.training.terminal import Terminal


def evaluate(
    policy: PolicyPredictor,
    venv: VecEnv,
    episodes: int,
    seed: int,
    on_episode: Callable[[Episode], None] = lambda episode: None,
) -> list[Episode]:
    """`episodes` episodes of the policy's best actions; `seed` alone decides which goals they have.

    venv: as `environments.vectorise` makes it; left at the start of other episodes.
    on_episode is called after each; what it raises ends the evaluation.
    """
    done: list[Episode] = []
    steps, start = 0, time.monotonic()

    def after_step(locals_: dict[str, Any], globals_: dict[str, Any]) -> None:
        nonlocal steps
        steps += 1
        if locals_["done"]:
            done.append(Episode.from_info(locals_["info"], steps, time.monotonic() - start))
            on_episode(done[-1])

    venv.seed(seed)
    with frozen(venv):
        evaluate_policy(policy, venv, episodes, deterministic=True, callback=after_step)
    return done


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
    on_episode: Callable[[Episode], None] = lambda episode: None,
) -> list[Episode]:
    """`evaluate` as planned, with a progress bar."""
    seen: list[Episode] = []
    with terminal.progress("evaluating", f"{plan.episodes} episodes", plan.episodes) as display:

        def show(episode: Episode) -> None:
            on_episode(episode)
            seen.append(episode)
            display.update(len(seen), lambda: _running(seen))

        return evaluate(policy, venv, plan.episodes, plan.seed, show)


def _running(seen: list[Episode]) -> str:
    found = summarise(seen)
    return f"return {found.mean_return:.2f}" if found.success_rate is None else f"success {found.success_rate:.0%}"
