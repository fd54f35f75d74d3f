"""Judging a policy by rollouts: it acts beside the robot, without exploration, on goals of their own seed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from uniros_learner.env import RosEnv
from uniros_learner.multi_task_member import State
from uniros_learner.rollout import Rollout
from uniros_learner.training.joint.domain import Domain
from uniros_learner.training.joint.experience import Assembly, DomainEpisode

LOOK = 0.05  # s between two looks at how far they are


@dataclass
class Exam:
    """A policy, and how each domain finds it. Results are put in by the domains' threads."""

    policy: bytes
    seed: int
    results: dict[int, list[DomainEpisode] | None] = field(default_factory=dict)  # None: the domain failed meanwhile
    asked: dict[int, int] = field(default_factory=dict)  # episodes of each domain

    @property
    def over(self) -> bool:
        return self.results.keys() >= self.asked.keys()


def examine(env: RosEnv, policy: bytes, episodes: int, seed: int, domain: str = "",
            on_episode: Callable[[DomainEpisode], None] = lambda episode: None,
            begun: Callable[[Rollout], None] = lambda rollout: None) -> list[DomainEpisode]:
    """`episodes` episodes of the policy's best actions; `seed` alone decides which goals they have.

    begun: told of the rollout, which others may cancel: then there are fewer. Raises as rollouts do.
    """
    found: list[DomainEpisode] = []
    assembly, steps, start = Assembly(), 0, time.monotonic()
    with env.rollout(policy, episodes=episodes, seed=seed) as rollout:
        begun(rollout)
        for batch in rollout:
            if whole := assembly.add(batch):
                steps += whole.length
                found.append(whole.episode(domain, steps, time.monotonic() - start))
                on_episode(found[-1])
    return found


class Sitting(threading.Thread):
    """`examine` beside others; `stop` ends it early."""

    def __init__(self, env: RosEnv, policy: bytes, episodes: int, seed: int, domain: str):
        super().__init__(name=f"examine {domain}", daemon=True)
        self.episodes: list[DomainEpisode] = []
        self.error: Exception | None = None
        self._work = lambda: examine(env, policy, episodes, seed, domain, self.episodes.append, self._begun)
        self._rollout: Rollout | None = None
        self._stopped = False
        self.start()

    def run(self) -> None:
        """Raises nothing: `error` says what went wrong."""
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 - for the thread that waits
            self.error = error

    def stop(self) -> None:
        """End after this step."""
        self._stopped = True
        if self._rollout:
            self._rollout.cancel()

    def _begun(self, rollout: Rollout) -> None:
        self._rollout = rollout
        if self._stopped:
            rollout.cancel()


def sit_in_all(asked: Mapping[Domain, int], policy: bytes, seed: int, stop: Callable[[], bool],
               shown: Callable[[Mapping[Domain, Sequence[DomainEpisode]]], None] = lambda found: None
               ) -> dict[Domain, list[DomainEpisode] | None]:
    """What each domain finds, side by side; None where it is down or failed. Nobody else may use them meanwhile.

    asked: episodes of each. stop: whether to end early; then there are fewer. shown: told of what there is so far.
    """
    sittings: dict[Domain, Sitting | None] = {
        domain: Sitting(domain.env, policy, count, seed, domain.name) if domain.member.state is State.UP else None
        for domain, count in asked.items()
    }
    so_far = {domain: sitting.episodes for domain, sitting in sittings.items() if sitting}
    running = [sitting for sitting in sittings.values() if sitting]
    while any(sitting.is_alive() for sitting in running):
        if stop():
            for sitting in running:
                sitting.stop()
        shown(so_far)
        time.sleep(LOOK)
    shown(so_far)
    return {domain: sitting.episodes if sitting and not sitting.error else None for domain, sitting in sittings.items()}
