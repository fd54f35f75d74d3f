"""A robot behind a bad link, 50 ms +- 20 ms and 1 % lost each way: with a rollout its actions are on time anyway."""

from __future__ import annotations

import numpy as np
import pytest
from far_robot import robot, rolled, rolled_periods, stepped_periods
from impaired import Link
from two_hosts import why_not

CYCLE = 0.1  # s
ON_TIME = 5e-3  # s that a control period may be off here; test/evidence/rollouts.py asks for less, on an idle machine

pytestmark = pytest.mark.deadline  # of control periods, in ms


def test_a_rollout_keeps_the_control_period_where_stepping_cannot() -> None:
    if reason := why_not():
        pytest.skip(reason)
    with robot(Link(), "sim", "real_time:=true") as env:
        rolling, stepping = rolled_periods(rolled(env, 3.0)), stepped_periods(env, 2.0)
        env.reset()
    assert len(rolling) > 20 and np.mean(np.abs(rolling - CYCLE) < ON_TIME) > 0.9
    assert np.median(stepping) > 1.5 * CYCLE
