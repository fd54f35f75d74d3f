"""Speed of the step action.

The benchmarks of `test/benchmark/`, each of which runs all its sides in turn in one run.
"""

from __future__ import annotations

from collections.abc import Iterator

import lock_step
import step_round_trip
from run import Row


def measure() -> Iterator[Row]:
    step = step_round_trip.main(30)
    yield Row(
        "step round trip over a bare pipe, same payload",
        "at most 3 x",
        f"{step['uniros / pipe']:.2f} x",
        step["uniros / pipe"] <= 3,
    )
    stock = step["stock / uniros"]
    yield Row("stock SimpleActionServer and client over ours, means", "at least 100 x", f"{stock:.0f} x", stock >= 100)
    ratio = lock_step.main(20)["uniros / in-process"]
    yield Row(
        "RX200 Reach in lock-step through worker and ROS, steps/s over in-process",
        "at least 0.4 x",
        f"{ratio:.2f} x",
        ratio >= 0.4,
    )
