"""Actions that mean harm: random, saturated, towards the table, towards the arm itself, and malformed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from uniros_env_server.robots.model import RobotModel
from uniros_env_server.safety.gate import SafetyLimits
from uniros_msgs.errors import InvalidAction

ANYWHERE = {"workspace_low": [-1.0] * 3, "workspace_high": [1.0] * 3}  # m: no box keeps the arm from its margins
FRESH_START = 200  # actions after which the arm begins anew
MALFORMED = (np.full(5, np.nan), np.array([0, np.inf, 0, 0, 0.0]), np.full(5, 1.5), np.zeros(4), np.zeros((5, 1)))
DOWN = np.array([0, 1, 1, 0, 0.0])  # shoulder and elbow forward and down
FOLD = np.array([0, -1, 1, 1, 0.0])  # back, and wound up


def adversary(rng: np.random.Generator, count: int) -> Iterator[np.ndarray]:
    """Bursts of 100 actions: random, saturated at random, drifting one way, saturated that way."""
    for burst in range(-(-count // 100)):
        way = rng.uniform(-1, 1, 5)
        for _ in range(min(100, count - burst * 100)):
            yield (
                rng.uniform(-1, 1, 5),
                rng.choice([-1.0, 1.0], 5),
                np.clip(way + rng.normal(0, 0.3, 5), -1, 1),
                np.sign(way) * rng.choice([-1, 1], 5, p=[0.15, 0.85]),
            )[burst % 4]


def hostile(rng: np.random.Generator, count: int) -> Iterator[np.ndarray]:
    """The same, mixed with malformed actions and with bursts of 20 that press towards the table or fold the arm."""
    steady = adversary(rng, count)
    for number in range(count):
        usual, kind = next(steady), number // 20 % 5
        if number % 13 == 0:
            yield MALFORMED[number // 13 % len(MALFORMED)]
        elif kind in (1, 3):
            yield np.clip((DOWN if kind == 1 else FOLD) + rng.normal(0, 0.2, 5), -1, 1)
        else:
            yield usual


def torment(env: Any, seed: int, count: int) -> Counter[str]:
    """Do all that to an environment; how often each refusal came, `malformed` among them, and how often none."""
    said: Counter[str] = Counter()
    for number, action in enumerate(hostile(np.random.default_rng(seed), count)):
        if number % FRESH_START == 0:
            env.reset(seed=seed + number)
        try:
            said[env.step(action.astype(np.float32))[4]["refusal"]] += 1
        except InvalidAction:
            said["malformed"] += 1
    return said


def harm(truth: dict[str, Any], model: RobotModel, limits: SafetyLimits) -> list[str]:
    """What the plant's truth holds that must not be: links below a margin, joints beyond a limit."""
    found = []
    if truth["table_least"] < limits.table:
        found.append(f"{truth['table_link']} was {truth['table_least'] * 1e3:.1f} mm above the table")
    if truth["links_least"] < limits.self_distance:
        found.append(f"{truth['links_pair']} were {truth['links_least'] * 1e3:.1f} mm apart")
    for name in (*model.arm, "left_finger", "right_finger"):
        joint = model.joints[name]
        if not joint.lower <= truth["lowest"][name] <= truth["highest"][name] <= joint.upper:
            found.append(f"{name} was from {truth['lowest'][name]:.3f} to {truth['highest'][name]:.3f}")
        if truth["fastest"][name] > joint.top_speed:
            found.append(f"{name} moved at {truth['fastest'][name]:.2f}/s")
    return found
