"""Infos of a batch as infos of its rows."""

from __future__ import annotations

import gymnasium
import numpy as np
from exact import assert_same

from uniros_learner.sb3 import rows_of

INFOS = [{"success": True, "distance": 0.5, "why": "table", "pose": np.arange(3.0), "more": {"count": 3}}, {},
         {"success": False, "distance": 0.25, "why": "", "pose": np.ones(3), "more": {"count": 4}, "late": 2}]


def test_rows_get_back_what_they_told() -> None:
    batch: dict = {}
    for row, info in enumerate(INFOS):
        batch = gymnasium.vector.VectorEnv._add_info(_Three(), batch, info, row)
    assert_same(rows_of(batch, 3), INFOS)


class _Three:
    num_envs = 3
    _add_info = gymnasium.vector.VectorEnv._add_info
