"""Commands that mean no good, sent to the driver past every gate: no joint leaves its limits, measured on the plant."""

from __future__ import annotations

import math
import random
import time
from typing import Any

import pytest
from driver_rig import READY, Rig
from live import wait_until

from uniros_env_server.robots.model import load_model

COMMANDS = 250
SPACING = 0.02  # s between two commands
OVERSHOOT = 0.05  # rad, of a servo that was told to stop at its limit
MODEL = load_model("rx200")
# Beyond the limits, but clear of table and base: the driver alone does not look after those.
REACH = {"waist": (-9, 9), "shoulder": (-4, 0.3), "elbow": (-0.5, 0.5), "wrist_angle": (-6, 6), "wrist_rotate": (-9, 9)}

pytestmark = pytest.mark.real_time


def command(rng: random.Random) -> list[dict[str, Any]]:
    """One to three points, rarely of the kind that a sane client sends."""
    points, moment = [], 0.0
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        moment += rng.choice([0.0, 0.001, 0.02, 0.1, 0.4])
        point: dict[str, Any] = {"time": moment, "positions": [rng.uniform(*span) for span in REACH.values()]}
        if rng.random() < 0.3:
            point["velocities"] = [rng.choice([-50.0, -1.0, 0.0, 1.0, 50.0]) for _ in REACH]
        if rng.random() < 0.1:
            point["accelerations"] = [rng.uniform(-1e3, 1e3) for _ in REACH]
        if rng.random() < 0.1:
            point["positions"][rng.randrange(5)] = rng.choice([math.nan, math.inf, 1e300])
        if rng.random() < 0.05:
            point["positions"].pop()
        points.append(point)
    return points


def test_no_joint_leaves_its_limits_of_position_and_velocity() -> None:
    rng = random.Random(200)
    with Rig(start="ready", torque_on_start=True) as rig:
        rig.ready()
        rig.forget()
        due = time.monotonic()
        for _ in range(COMMANDS):
            rig.operator.send(command(rng))
            due += SPACING
            time.sleep(max(0.0, due - time.monotonic()))
        truth = rig.truth()
        done = rig.operator.now()
        wait_until(lambda: rig.operator.diagnostics()["driver"][3] > done, 3.0)  # they come once a second
        values = rig.operator.diagnostics()["driver"][2]
        counts = {name: int(value) for name, value in values.items() if value.isdigit()}
        assert counts["commands taken"] > COMMANDS / 3 and counts["commands refused"] > COMMANDS / 10
        assert counts["commands clamped"] > COMMANDS / 3
        for name in REACH:
            joint = MODEL.joints[name]
            assert joint.lower - OVERSHOOT < truth["lowest"][name] and truth["highest"][name] < joint.upper + OVERSHOOT
            assert truth["fastest"][name] < joint.top_speed, name
        assert truth["fastest"]["waist"] > 1.2  # it was made to move
        rig.operator.send([{"time": 3.0, "positions": READY}])  # and still does what it is told
        rig.wait_for("following")
        rig.wait_for("holding", 10.0)
        assert abs(rig.truth()["position"]["waist"]) < 0.03
