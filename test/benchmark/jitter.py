"""How well a control loop keeps its times while a learner trains: our env server's, and one that lives in the learner.

    .venv/bin/python test/benchmark/jitter.py [rounds]

A learner updates TD3 all the time. Beside it runs a loop of 50 Hz: in turn the env server's, which moves a simulated
arm in real time for that learner, and a thread of the learner's own process, which sleeps until absolute deadlines and
does nothing else. Jitter is how late a turn of the loop begins.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import Self

import numpy as np
import torch
from compare import Comparison, compare, show, turns
from stable_baselines3 import TD3

import uniros_learner as uniros
from uniros_learner.training.idle import training_while_waiting

ENV_ID = "RX200ReachSim-v0"
RATE = 50.0  # Hz
STEPS = 50  # per round, of 0.1 s each
QUANTILES = (50, 99)


class Thread:
    """A loop as one would write it beside the training."""

    def __init__(self) -> None:
        self.late: list[float] = []  # s
        self._over = False
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._thread.join()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._over:
            due += 1 / RATE
            time.sleep(max(0.0, due - time.monotonic()))
            self.late.append(time.monotonic() - due)


def ours(model: TD3, env: uniros.RosEnv) -> dict[int, float]:
    """ms of jitter by percentile, of the env server's loop while the model learns in its environment."""
    env.timing_report(True)
    with training_while_waiting(model, env):
        model.learn(STEPS, reset_num_timesteps=False)
    report = env.timing_report()
    return {percent: report[f"jitter_p{percent}_ms"] for percent in QUANTILES}


def theirs(model: TD3) -> dict[int, float]:
    """The same of a loop in this process."""
    with Thread() as loop:
        end = time.monotonic() + STEPS * 0.1
        while time.monotonic() < end:
            model.train(1, model.batch_size)
    return {percent: float(np.percentile(loop.late, percent)) * 1e3 for percent in QUANTILES}


def rows(rounds: int = 4) -> list[Comparison]:
    """Ours beside a loop in the learner's process."""
    torch.set_num_threads(1)
    with uniros.make(ENV_ID, real_time=True, control_rate=RATE) as env:
        model = TD3("MlpPolicy", env, learning_starts=20, batch_size=128, train_freq=1, gradient_steps=0,
                    policy_kwargs={"net_arch": [64, 64]}, device="cpu")
        model.learn(40)
        found = turns({"ours": lambda: ours(model, env), "theirs": lambda: theirs(model)}, rounds)
    return [compare(f"jitter of a {RATE:g} Hz loop beside training, p{percent}", "ms",
                    [each[percent] for each in found["ours"]], "thread of the learner's",
                    [each[percent] for each in found["theirs"]], more=False) for percent in QUANTILES]


def main(rounds: int = 4) -> None:
    show(rows(rounds))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
