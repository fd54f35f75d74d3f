"""Rewards by name, for batches: from distance to the goal (m) and the refusals' codes to (N,) floats."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from uniros_env_server.safety.refusal import Refusal

Array = NDArray[np.float64]
Reward = Callable[[Array, float, NDArray[np.int8]], Array]

SUCCESS_BONUS = 20.0
OUTSIDE_PENALTY = 2.0  # the command would have left the joint limits or the workspace
REFUSED_PENALTY = 5.0  # the command could not be carried out for any other reason
_PENALTY = np.full(len(Refusal), REFUSED_PENALTY)
_PENALTY[Refusal.NONE] = 0.0
_PENALTY[[Refusal.JOINT_LIMIT, Refusal.WORKSPACE]] = OUTSIDE_PENALTY


def sparse(distance: Array, tolerance: float, refusal: NDArray[np.int8]) -> Array:
    """0 within the tolerance, else -1 (the convention of gymnasium-robotics)."""
    return np.where(distance <= tolerance, 0.0, -1.0)


def dense(distance: Array, tolerance: float, refusal: NDArray[np.int8]) -> Array:
    """Minus the distance."""
    return -distance


def shaped(distance: Array, tolerance: float, refusal: NDArray[np.int8]) -> Array:
    """A bonus for success; before it, distance, a cost for every step and a penalty for what was refused."""
    return np.where(distance <= tolerance, SUCCESS_BONUS, -2.0 * distance - 0.5 - _PENALTY[refusal])


REWARDS: dict[str, Reward] = {"sparse": sparse, "dense": dense, "shaped": shaped}
