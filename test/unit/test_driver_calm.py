"""The driver's home and sleep look at no obstacles: from where the safety gate lets the arm be, they meet none."""

from __future__ import annotations

import numpy as np
import pytest

from uniros_env_server.driver.config import load_setup
from uniros_env_server.robots.model import load_model
from uniros_env_server.safety.collision import CollisionModel

MODEL = load_model("rx200")
TABLE, SELF = 0.030, 0.010  # m, what the gate demands of a real arm
POSES, WAY = 1000, 40


@pytest.mark.parametrize("pose", ["home", "sleep"])
def test_the_straight_way_of_the_joints_is_clear(pose: str) -> None:
    collision, setup = CollisionModel(MODEL), load_setup()
    lower, upper = MODEL.limits(MODEL.arm)
    starts = np.random.default_rng(1).uniform(lower, upper, (12 * POSES, 5))
    bodies = collision.poses(starts)
    starts = starts[(collision.height(bodies) > TABLE) & (collision.gap(bodies) > SELF)][:POSES]
    assert len(starts) == POSES
    asleep = float(collision.gap(collision.poses(setup.poses["sleep"][None]))[0])  # its covers touch, the links do not
    clear = np.ones(POSES, bool)
    for share in np.linspace(0, 1, WAY):
        bodies = collision.poses(starts + share * (setup.poses[pose] - starts))
        clear &= (collision.height(bodies) > 0.0) & (collision.gap(bodies) > min(0.0, asleep - 1e-6))
    assert clear.mean() >= {"home": 1.0, "sleep": 0.995}[pose]
