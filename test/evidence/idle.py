"""Training while the arm moves.

TD3 acts at 10 Hz in real time and updates while it waits for results (`uniros_learner/training/idle.py`). Rounds of 40
steps with and without training take turns, as `test/benchmark/while_moving.py` has it; between them the same model
updates as fast as it can with nothing to wait for, which says what the CPU could do in the idle time. An action's
reaction time counts from the measurement it was chosen on to the moment it left for the robot, by the server's stamps.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import while_moving
from run import Row

ASKED = 0.8  # of the updates that the CPU could do in the idle time
ROUNDS = 6
SIDES = (("simulated arm in real time", "RX200ReachSim-v0"), ("emulated real arm", "RX200ReachReal-v0"))
SIZES = ((64, 128), (256, 256))  # units in each of two layers, transitions in a batch


def measure() -> Iterator[Row]:
    for side, env_id in SIDES:
        for width, batch_size in SIZES:
            yield from rows(f"{side}, {width} x {width} units", while_moving.main(env_id, ROUNDS, width, batch_size))


def rows(setting: str, found: while_moving.Found) -> Iterator[Row]:
    share, per_step = statistics.median(found.share), statistics.median(found.per_step)
    yield Row(f"{setting}: updates over what the CPU could do in the idle time", f"at least {ASKED:g} x",
              f"{share:.2f} x, {per_step:.1f} per step", share >= ASKED)
    told = " / ".join(f"p50 {found.reaction(training, 50):.1f}, p99 {found.reaction(training, 99):.1f}"
                      for training in (False, True))
    late = f"{found.late} of {len(found.reactions[True])} held up, {found.overruns[True]} cycles missed"
    yield Row(f"{setting}: reaction without / with training", f"p50, p99 within {while_moving.TOLERANCE:g} ms",
              f"{told} ms; {late}", found.no_later)
