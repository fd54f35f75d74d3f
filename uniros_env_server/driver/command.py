"""From a trajectory_msgs/JointTrajectory to points the driver can follow: refused as a whole, or taken and clamped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from uniros_env_server.driver.linkage import Linkage
from uniros_env_server.driver.trajectory import LEAST_TIME, Points

MIRROR_TOLERANCE = 1e-3  # m, left and right finger of one command must agree this well
MOST_POINTS = 1000  # of one command: planning them must not hold the loop up
CLAMP_SLACK = 1e-6  # rad


class Refused(Exception):
    """Raised when a command is malformed; nothing moves. `kind` is what follow_joint_trajectory answers."""

    def __init__(self, text: str, kind: str = "INVALID_GOAL") -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True)
class Command:
    """A trajectory for the axes of one controller. Without points: stop."""

    points: Points | None
    clamped: tuple[str, ...] = ()  # what was outside its limits, in words


@dataclass(frozen=True)
class Joints:
    """The axes of one controller, and the joint names it takes for them."""

    axes: tuple[str, ...]
    lower: np.ndarray  # (J,) rad
    upper: np.ndarray  # (J,) rad
    fingers: Mapping[str, float]  # joints that stand for the last axis through the linkage: 1 or -1, the side
    linkage: Linkage

    def read(self, message: Any, held: np.ndarray) -> Command:
        """The command in a message; joints it leaves out stay at `held` (J,) rad. Raises Refused."""
        if not message.points:
            return Command(None)
        if len(message.points) > MOST_POINTS:
            raise Refused(f"{len(message.points)} points, a command may have at most {MOST_POINTS}: send it in parts")
        names = self._names(message.joint_names)
        times = _times(message.points)
        positions = _table(message.points, "positions", names)
        if positions is None:
            raise Refused("positions are needed: efforts or velocities alone are not followed")
        rates = _table(message.points, "velocities", names)
        curves = _table(message.points, "accelerations", names)
        if len(times) > 1 and times[0] == 0.0:  # where the sender thinks the arm is: it starts where it really is
            times, positions = times[1:], positions[1:]
            rates, curves = (None if table is None else table[1:] for table in (rates, curves))
        if any(name in self.fingers for name in names):
            positions, rates, curves = self._horn(names, positions, rates), None, None
            names = (self.axes[-1],)
        points = self._spread(names, times, positions, rates, curves, held)
        return self._clamp(points)

    def _names(self, names: Sequence[str]) -> tuple[str, ...]:
        known = (*self.axes, *self.fingers)
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            what = f"no joint {', '.join(unknown)} here" if unknown else "no joint is named"
            raise Refused(f"{what}; known are {', '.join(known)}", "INVALID_JOINTS")
        if len(set(names)) < len(names):
            raise Refused("a joint is named twice: {}".format(", ".join(names)), "INVALID_JOINTS")
        if any(name in self.fingers for name in names) and any(name in self.axes for name in names):
            raise Refused(f"give the fingers (m) or {self.axes[-1]} (rad), not both", "INVALID_JOINTS")
        return tuple(names)

    def _horn(self, names: Sequence[str], positions: np.ndarray, rates: np.ndarray | None) -> np.ndarray:
        """(N, 1) horn angles for finger positions (m). Velocities of fingers are left to the path between them."""
        openings = positions * np.array([self.fingers[name] for name in names])
        if np.ptp(openings, axis=1).max() > MIRROR_TOLERANCE:
            raise Refused("left_finger and right_finger must mirror each other: one servo moves both")
        return self.linkage.angle(openings[:, :1])

    def _spread(self, names: Sequence[str], times: np.ndarray, positions: np.ndarray, rates: np.ndarray | None,
                curves: np.ndarray | None, held: np.ndarray) -> Points:
        """From the columns as named to the axes in their order."""
        columns = [self.axes.index(name) for name in names]

        def wide(table: np.ndarray | None, rest: np.ndarray) -> np.ndarray | None:
            if table is None:
                return None
            full = np.tile(rest, (len(times), 1))
            full[:, columns] = table
            return full

        full = wide(positions, held)
        assert full is not None
        rest = np.zeros_like(held)
        return Points(np.maximum(times, LEAST_TIME), full, wide(rates, rest), wide(curves, rest))

    def _clamp(self, points: Points) -> Command:
        inside = np.clip(points.positions, self.lower, self.upper)
        off = np.abs(inside - points.positions).max(axis=0)
        clamped = tuple(f"{name} by {float(gap):.3f} rad"
                        for name, gap in zip(self.axes, off) if gap > CLAMP_SLACK)
        return Command(Points(points.times, inside, points.velocities, points.accelerations), clamped)


def _times(points: Sequence[Any]) -> np.ndarray:
    times = np.array([point.time_from_start.to_sec() for point in points], dtype=float)
    if times[0] < 0 or np.any(np.diff(times) <= 0):
        shown = np.array2string(times, precision=3, threshold=8)
        raise Refused(f"time_from_start must be positive and increase from point to point, it is {shown}")
    return times


def _table(points: Sequence[Any], field: str, names: Sequence[str]) -> np.ndarray | None:
    """(N, names) numbers of one field; None when no point has any."""
    rows = [getattr(point, field) for point in points]
    if not any(len(row) for row in rows):
        return None
    lengths = {len(row) for row in rows}
    if lengths != {len(names)}:
        raise Refused("{} must have {} numbers in every point, as many as joints are named; it has {}".format(
            field, len(names), ", ".join(map(str, sorted(lengths)))))
    table = np.array(rows, dtype=float)
    if not np.all(np.isfinite(table)):
        raise Refused(f"{field} must be finite, they hold {table[~np.isfinite(table)][0]}")
    return table


def check_age(stamp: float, now: float, limit: float) -> None:
    """Refuse a command stamped more than `limit` s before or after `now`; stamp 0 means none. Raises Refused."""
    if stamp and abs(now - stamp) > limit:
        raise Refused("the command is stamped {:.2f} s {}: it was held up, or the clocks of the two computers differ"
                      " (leave the stamp zero to have none checked)".format(
                          abs(now - stamp), "ago" if stamp < now else "ahead"), "OLD_HEADER_TIMESTAMP")
