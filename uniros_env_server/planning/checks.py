"""What a question to a planner may hold: numbers of the right count, finite, and quaternions of length 1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from uniros_env_server.robots.robot import Array


def checked(name: str, values: ArrayLike, axes: Sequence[str]) -> Array:
    """An array of finite numbers, one for each of the axes. Raises ValueError for anything else."""
    array = np.asarray(values, dtype=float)
    if array.shape != (len(axes),) or not np.isfinite(array).all():
        raise ValueError(f"{name} must be {len(axes)} finite numbers ({', '.join(axes)}), not {np.asarray(values)}")
    return array


def quaternion(values: ArrayLike) -> Array:
    """A unit quaternion x, y, z, w. Raises ValueError for anything that is none within 1 %."""
    array = checked("orientation", values, "xyzw")
    length = float(np.linalg.norm(array))
    if abs(length - 1.0) > 0.01:
        raise ValueError(f"orientation must be a quaternion x, y, z, w of length 1, not {length:.3f}")
    unit: Array = array / length
    return unit
