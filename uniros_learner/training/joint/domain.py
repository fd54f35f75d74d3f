"""One of the environments that a policy learns in: what it is called, what came of it, and what is known of it now."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from uniros_learner.env import RosEnv
from uniros_learner.multi_task_member import Member
from uniros_learner.training.episodes import Statistics, summarise
from uniros_learner.training.joint.experience import DomainEpisode, Experience

RATE_PERIOD = 5.0  # s over which rates are averaged


class Doing(Enum):
    """What a domain's actor is at."""

    STARTING = "starting"
    WAITING = "waits for updates"
    AWAITS_SIMULATION = "awaits simulation"
    AWAITS_TURN = "awaits its turn"
    SPENT = "has done its steps"
    ACTING = "acts"
    EXAMINED = "is examined"
    DOWN = "down"
    DONE = "done"


class Domain:
    """Counters are written by one thread each, and may be read by any."""

    def __init__(self, number: int, name: str, member: Member, window: int):
        """window: episodes that the running figures are taken from."""
        self.number, self.name, self.member = number, name, member
        self.env_id = member.task
        self.lock_step = self.env.description.mode != "real_time"
        self.cycle_time = self.env.description.cycle_time
        self.doing = Doing.STARTING
        self.policy = 0  # number of the version that acts
        self.policy_since = time.monotonic()  # s, when that version was made
        self.made = 0  # steps, those of broken episodes too
        self.learnt = 0  # steps, of whole episodes
        self.dropped = 0  # steps, of episodes that broke, were left or have a gap
        self.late = 0  # action cycles that passed without an action
        self.episodes: list[DomainEpisode] = []
        self.recent: deque[DomainEpisode] = deque(maxlen=window)
        self._periods: list[NDArray[np.float64]] = []
        self._marks: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    @property
    def env(self) -> RosEnv:
        """The environment as it is now: one that came back is another."""
        env = self.member.env.unwrapped
        assert isinstance(env, RosEnv)
        return env

    def note(self, episode: DomainEpisode) -> None:
        """A whole episode has come."""
        self.learnt = episode.step
        self.late += episode.late
        self.episodes.append(episode)
        self.recent.append(episode)

    def counters(self) -> dict[str, int]:
        """All that a checkpoint needs of it beside its episodes."""
        return {"made": self.made, "learnt": self.learnt, "recent": len(self.recent)}

    def go_on_from(self, counters: Mapping[str, int], episodes: Sequence[DomainEpisode]) -> None:
        """Before anything happens. episodes: those up to the checkpoint; of one that went on then nothing is left."""
        self.made, self.learnt = counters["made"], counters["learnt"]
        self.dropped = self.made - self.learnt
        self.episodes = list(episodes)
        self.late = sum(episode.late for episode in episodes)
        self._marks = deque([(time.monotonic(), self.made)])
        self.recent.extend(episodes[len(episodes) - counters["recent"] :])

    def time(self, experience: Experience) -> None:
        """Keep when its commands came, where time is real."""
        if not self.lock_step:
            self._periods.append(experience.periods())

    def running(self) -> Statistics:
        """Of the last episodes."""
        return summarise(list(self.recent))

    def rate(self) -> float:
        """Steps/s, lately."""
        now = time.monotonic()
        self._marks.append((now, self.made))
        while len(self._marks) > 2 and self._marks[1][0] < now - RATE_PERIOD:
            self._marks.popleft()
        (t0, made0), (t1, made1) = self._marks[0], self._marks[-1]
        return (made1 - made0) / max(1e-3, t1 - t0)

    def jitter(self, quantile: float) -> float | None:
        """s by which commands came at other times than a whole number of cycles after the one before; None in
        lock-step."""
        periods = np.concatenate(self._periods) if self._periods else np.empty(0)
        if not periods.size or not self.cycle_time:
            return None
        return float(np.quantile(np.abs(periods - np.rint(periods / self.cycle_time) * self.cycle_time), quantile))


def names(env_ids: list[str]) -> list[str]:
    """Short and different from each other: sim, real, or else the id's own; numbered where several are the same."""
    short = ["real" if "Real" in each else "sim" if "Sim" in each else each.rpartition(":")[2] for each in env_ids]
    return [f"{name}{short[: n + 1].count(name)}" if short.count(name) > 1 else name for n, name in enumerate(short)]
