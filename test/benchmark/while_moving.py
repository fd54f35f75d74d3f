"""Training while the arm moves: what of the idle time becomes gradient updates, and whether any action is late for it.

    .venv/bin/python test/benchmark/while_moving.py [id [rounds [width batch_size]]]

TD3 acts in real time. Rounds in which it updates while it waits take turns with rounds in which it only waits, and
between two rounds it updates as fast as the CPU can, with nothing to wait for. An action's reaction time counts from
the measurement it was chosen on to the moment it left for the robot, both by the env server's stamps.
"""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import dataclass, field

import numpy as np
import torch
from compare import Comparison, compare
from stable_baselines3 import TD3
from stable_baselines3.common.callbacks import BaseCallback

import uniros_learner as uniros
from uniros_learner.training.idle import IdleTraining, training_while_waiting

ROUND = 40  # steps
STARTS = 50  # steps before the first round
BARE = 0.25  # s of updates with nothing to wait for
TOLERANCE = 1.0  # ms between two reaction times that count as equal


@dataclass
class Found:
    """What all rounds gave."""

    share: list[float] = field(default_factory=list)  # of each round with training: updates over what the CPU could do
    per_step: list[float] = field(default_factory=list)  # of each such round: updates per step
    idle: list[float] = field(default_factory=list)  # of each such round: s per step
    reactions: dict[bool, list[float]] = field(default_factory=lambda: {False: [], True: []})  # s; with training?
    overruns: dict[bool, int] = field(default_factory=lambda: {False: 0, True: 0})  # cycles without an action
    late: int = 0  # updates that ended after the result had come

    def reaction(self, training: bool, percent: float) -> float:
        """A percentile, in ms."""
        return float(np.percentile(self.reactions[training], percent)) * 1e3

    @property
    def no_later(self) -> bool:
        """Whether training costs neither median nor p99 of the reaction, nor a cycle."""
        worse = any(self.reaction(True, percent) > self.reaction(False, percent) + TOLERANCE for percent in (50, 99))
        return not worse and self.overruns[True] <= self.overruns[False]


class Rounds(BaseCallback):
    """Lets the model train while it waits in every other round, and keeps account."""

    def __init__(self, work: IdleTraining, rounds: int):
        super().__init__()
        self.found = Found()
        self._work, self._left = work, 2 * rounds
        self._training = False
        self._steps = 0  # of this round
        self._rate = 0.0  # updates/s before this round
        self._before: dict | None = None  # the info of the step before, in the same episode and round
        work.most = 0

    def _on_step(self) -> bool:
        if self.num_timesteps <= STARTS:
            return True
        info = self.locals["infos"][0]
        self._note(info)
        self._before = None if self.locals["dones"][0] else info
        self._steps += 1
        if self._steps >= ROUND:
            self._turn()
        return self._left > 0

    def _note(self, info: dict) -> None:
        if self._before:
            self.found.reactions[self._training].append(info["commanded"] - self._before["measured"])
            self.found.overruns[self._training] += info["overruns"] - self._before["overruns"]

    def _turn(self) -> None:
        """From one round to the next."""
        report, after = self._work.report, self._bare()
        if self._training and self._rate:
            possible = report.idle * (self._rate + after) / 2
            self.found.share.append(report.updates / possible)
            self.found.per_step.append(report.updates / report.steps)
            self.found.idle.append(report.idle / report.steps)
            self.found.late += report.late
        self._work.report = type(report)()
        self._rate, self._left = after, self._left - 1
        self._steps, self._before, self._training = 0, None, not self._training
        self._work.most = None if self._training else 0

    def _bare(self) -> float:
        """Updates/s with nothing to wait for."""
        start, count = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - start) < BARE:
            self.model.train(1, self.model.batch_size)
            count += 1
        self.model.policy.set_training_mode(False)
        return count / elapsed


def measure(env_id: str = "RX200ReachSim-v0", rounds: int = 5, width: int = 64, batch_size: int = 128) -> Found:
    """rounds: with training, and as many without."""
    torch.set_num_threads(1)
    settings = {"real_time": True} if "Sim" in env_id else {}
    with uniros.make(env_id, **settings) as env:
        model = TD3("MlpPolicy", env, learning_starts=STARTS, batch_size=batch_size, train_freq=1, gradient_steps=0,
                    policy_kwargs={"net_arch": [width, width]}, device="cpu")
        with training_while_waiting(model, env) as work:
            assert work
            callback = Rounds(work, rounds)
            model.learn(10**9, callback)
    return callback.found


def rows(rounds: int = 5) -> list[Comparison]:
    """Updates beside what the CPU could do in the idle time, and reaction times beside those without training."""
    found = measure(rounds=rounds)
    possible = [done / share for done, share in zip(found.per_step, found.share, strict=True)]
    updates = compare("updates per step of 0.1 s, while the arm moves", "", found.per_step, "all the idle time holds",
                      possible)
    reactions = [compare(f"action's reaction time while training, p{percent}", "ms", [found.reaction(True, percent)],
                         "the same without training", [found.reaction(False, percent)], more=False)
                 for percent in (50, 99)]
    return [updates, *reactions]


def main(env_id: str = "RX200ReachSim-v0", rounds: int = 5, *sizes: int) -> Found:
    """Run, print, and return what was found for others to use."""
    found = measure(env_id, rounds, *sizes)
    per_step, idle, share = map(statistics.median, (found.per_step, found.idle, found.share))
    print(f"{env_id}: {per_step:.1f} updates per step in {idle * 1e3:.1f} ms of idle time, "
          f"{share:.2f} x what the CPU could do in it")
    for training, name in ((False, "only waiting"), (True, "training")):
        figures = ", ".join(f"{what} {found.reaction(training, percent):.2f}"
                            for what, percent in (("p50", 50), ("p99", 99), ("most", 100)))
        print(f"reaction, {name:<13}{figures} ms ({len(found.reactions[training])} actions), "
              f"{found.overruns[training]} cycles without an action")
    print(f"updates that held an action up: {found.late}")
    return found


if __name__ == "__main__":
    main(*sys.argv[1:2], *map(int, sys.argv[2:]))
