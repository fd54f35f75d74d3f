"""Training while the arm moves: gradient updates in the part of each control cycle in which a learner only waits.

In real time a step takes a whole action cycle, of which acting and storing take a few milliseconds. The rest goes to
updates, as many as fit, and none that would hold up the next action: when a result will come is known from those that
came before, and an update is begun only if even a slow one ends before that.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from uniros_learner.env import RosEnv
from uniros_learner.vector import RosVectorEnv

REMEMBERED = 400  # durations of updates
SLOW = 0.99  # the share of them that is faster than what the next update is expected to take
MARGIN = 1e-3  # s between the end of the last update and the result
RISE = 0.1  # of the way, by which the expected arrival follows results that come later; earlier ones it follows at once


@dataclass
class IdleReport:
    """How waiting was spent, since the beginning."""

    steps: int = 0  # that were waited for
    updates: int = 0
    idle: float = 0.0  # s waited for results
    used: float = 0.0  # s of them in updates
    late: int = 0  # updates that were still under way when the result came

    def __str__(self) -> str:
        per_step = self.updates / max(1, self.steps)
        return (f"{per_step:.1f} updates per step in {self.used / max(1e-9, self.idle):.0%} of {self.idle:.1f} s idle "
                f"time, {self.late} late")


class Arrivals:
    """When results come: on a grid of cycles that the first action of an episode begins. Monotonic seconds."""

    def __init__(self, cycle_time: float) -> None:
        self._cycle = cycle_time
        self._expected = -math.inf

    def expect(self, step: int, sent: float) -> float:
        """When the result of the `step`th action of its episode will come, at the earliest."""
        if step == 1 or math.isinf(self._expected):
            self._expected = sent + self._cycle
        else:
            self._expected += max(1, math.ceil((sent - self._expected) / self._cycle)) * self._cycle
        return self._expected

    def came(self, when: float) -> None:
        """Learn from a result, which may have missed cycles."""
        error = when - self._expected
        missed = round(error / self._cycle)
        error -= missed * self._cycle
        self._expected += missed * self._cycle + (error if error < 0 else RISE * error)


class IdleTraining:
    """A `Meanwhile` that trains `model`.

    cycle_time: s of an action cycle. most: updates per step, None for as many as fit; may be changed at any time.
    """

    def __init__(self, model: OffPolicyAlgorithm, cycle_time: float, most: int | None = None) -> None:
        self.report, self.most = IdleReport(), most
        self._model, self._cycle = model, cycle_time
        self._arrivals = Arrivals(cycle_time)
        self._durations: deque[float] = deque(maxlen=REMEMBERED)  # s

    def __call__(self, step: int, answered: Callable[[float], bool]) -> None:
        """See `Meanwhile`. Returns when the answer has come, or is a whole cycle late."""
        sent = time.monotonic()
        due = self._arrivals.expect(step, sent)
        updates, used, late = self._train(due, answered) if self._ready() else (0, 0.0, False)
        if answered(due + self._cycle - time.monotonic()) and not late:
            self._arrivals.came(time.monotonic())
        self._note(updates, time.monotonic() - sent, used, late)

    def _train(self, due: float, answered: Callable[[float], bool]) -> tuple[int, float, bool]:
        """Update until shortly before `due`: how often, for how long (s), and whether the last update was late."""
        reserve, begun = self._reserve() + MARGIN, time.monotonic()
        count, before, now = 0, begun, begun
        while count != self.most and now + reserve < due and not answered(0.0):
            self._model.train(1, self._model.batch_size)
            count, before, now = count + 1, now, time.monotonic()
            self._durations.append(now - before)
        self._model.policy.set_training_mode(False)
        late = count > 0 and answered(0.0)
        if late:
            self._arrivals.came(before)
        if not count and self.most != 0 and self._durations:
            self._durations.popleft()  # else a single slow one could end all training
        return count, now - begun, late

    def _reserve(self) -> float:
        """What an update may well take (s); the first ones take longer than all others."""
        if not self._durations:
            return self._cycle / 2
        return sorted(self._durations)[int(SLOW * (len(self._durations) - 1))]

    def _ready(self) -> bool:
        """Whether there is something to learn from."""
        model, buffer = self._model, self._model.replay_buffer
        if buffer is None or not model.num_timesteps > model.learning_starts:
            return False
        return bool(buffer.ep_length.any()) if isinstance(buffer, HerReplayBuffer) else buffer.size() > 0

    def _note(self, updates: int, idle: float, used: float, late: bool) -> None:
        report = self.report
        report.steps, report.updates = report.steps + 1, report.updates + updates
        report.idle, report.used, report.late = report.idle + idle, report.used + used, report.late + late
        figures = {"updates_per_step": updates, "idle_s": idle, "used_s": used, "late": float(late)}
        for name, value in figures.items():
            self._model.logger.record_mean(f"idle/{name}", value)


@contextmanager
def training_while_waiting(model: BaseAlgorithm, env: RosEnv | RosVectorEnv, most: int | None = None
                           ) -> Iterator[IdleTraining | None]:
    """`model.learn()` inside this block updates while steps of `env` are under way, and not between them.

    env: the environment of ours that the model learns in, without wrappers. most: updates per step.
    Where nothing is to be gained, in lock-step or for an algorithm that learns from whole rollouts, nothing changes and
    None is given.
    """
    if env.description.mode != "real_time" or not isinstance(model, OffPolicyAlgorithm):
        yield None
        return
    work = IdleTraining(model, env.description.cycle_time, most)
    between, model.gradient_steps = model.gradient_steps, 0
    env.while_stepping(work)
    try:
        yield work
    finally:
        env.while_stepping(None)
        model.gradient_steps = between
