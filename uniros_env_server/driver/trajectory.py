"""Paths of the set-point through time: polynomials from point to point, starting from where the set-point is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STRETCHES = 4  # attempts to slow a path down until it keeps the speed limit
SPEED_SLACK = 1.001
SAMPLES = 25  # per segment, where its speed is looked at
LEAST_TIME = 1e-3  # s


@dataclass(frozen=True)
class Points:
    """Where to be and when: N points for J axes, times (N,) in s from the start, increasing, the first above zero."""

    times: np.ndarray
    positions: np.ndarray  # (N, J) rad
    velocities: np.ndarray | None = None  # (N, J) rad/s
    accelerations: np.ndarray | None = None  # (N, J) rad/s2

    def slower(self, factor: float) -> Points:
        """The same path, taking `factor` times as long."""
        return Points(self.times * factor, self.positions,
                      None if self.velocities is None else self.velocities / factor,
                      None if self.accelerations is None else self.accelerations / factor**2)


@dataclass(frozen=True)
class Sample:
    """A moment of a path: (J,) each, rad, rad/s, rad/s2."""

    position: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray

    @classmethod
    def rest(cls, position: np.ndarray) -> Sample:
        """Standing still."""
        return cls(position, np.zeros_like(position), np.zeros_like(position))


@dataclass(frozen=True)
class Path:
    """Piecewise polynomials: coefficients (S, 6, J) of rising powers of the time since a segment's start (S + 1,)."""

    starts: np.ndarray
    coefficients: np.ndarray

    @property
    def duration(self) -> float:
        """s from start to end."""
        return float(self.starts[-1])

    @property
    def end(self) -> np.ndarray:
        """(J,) the last position (rad)."""
        return self.at(self.duration).position

    def at(self, time: float) -> Sample:
        """The moment `time` s after the start; after the end the path stands still there."""
        over = time > self.duration
        segment = int(np.clip(np.searchsorted(self.starts, time, "right") - 1, 0, len(self.coefficients) - 1))
        t = min(max(time, 0.0), self.duration) - self.starts[segment]
        c = self.coefficients[segment]
        powers = t ** np.arange(6)
        position = powers @ c
        if over:
            return Sample.rest(position)
        order = np.arange(1, 6)
        velocity = (order * powers[:5]) @ c[1:]
        acceleration = (order[1:] * order[:4] * powers[:4]) @ c[2:]
        return Sample(position, velocity, acceleration)

    def top_speed(self) -> np.ndarray:
        """(J,) the greatest speed (rad/s) on the way."""
        lengths = np.diff(self.starts)
        t = np.linspace(0.0, 1.0, SAMPLES)[None, :] * lengths[:, None]
        powers = t[..., None] ** np.arange(5) * np.arange(1, 6)
        return np.abs(np.einsum("stp,spj->stj", powers, self.coefficients[:, 1:])).max(axis=(0, 1))


def plan(points: Points, start: Sample, speed: np.ndarray) -> tuple[Path, float]:
    """A path from `start` through the points that keeps to `speed` (J,), and by what factor it had to be slowed down.

    With positions alone, one point is a straight ramp at even speed (what a stream of set-points needs), several are
    joined by a smooth curve that does not overshoot them and rests at the end. With velocities the pieces are cubic,
    with accelerations quintic, as ros_control's joint_trajectory_controller has them.
    """
    total = 1.0
    path = _join(points, start)
    for _ in range(STRETCHES):
        factor = float(np.max(path.top_speed() / speed))
        if factor <= SPEED_SLACK:
            break
        total *= factor
        points = points.slower(factor)
        path = _join(points, start)
    return path, total


def brake(start: Sample, deceleration: float) -> Path:
    """From motion to rest, every axis evenly, all in the same time; `deceleration` (rad/s2) is that of the fastest."""
    time = max(float(np.max(np.abs(start.velocity))) / deceleration, LEAST_TIME)
    end = start.position + start.velocity * time / 2
    stop = Points(np.array([time]), end[None], np.zeros((1, len(end))))
    return _join(stop, start)


def calm(start: Sample, end: np.ndarray, speed: float) -> Path:
    """From rest to rest with a smooth rise and fall of speed, `speed` (rad/s) at the fastest."""
    distance = float(np.max(np.abs(end - start.position)))
    time = max(1.875 * distance / speed, 0.1)  # a minimum-jerk motion peaks at 15/8 of its mean speed
    rest = np.zeros((1, len(end)))
    return _join(Points(np.array([time]), end[None], rest, rest), start)


def _join(points: Points, start: Sample) -> Path:
    times = np.concatenate([[0.0], points.times])
    positions = np.vstack([start.position, points.positions])
    if points.velocities is None and len(points.times) == 1:
        coefficients = np.zeros((1, 6, positions.shape[1]))
        coefficients[0, 0] = positions[0]
        coefficients[0, 1] = (positions[1] - positions[0]) / times[1]
        return Path(times, coefficients)
    if points.velocities is None:
        velocities = _slopes(times, positions, start.velocity)
    else:
        velocities = np.vstack([start.velocity, points.velocities])
    if points.accelerations is None:
        return Path(times, _cubics(np.diff(times), positions, velocities))
    accelerations = np.vstack([start.acceleration, points.accelerations])
    return Path(times, _quintics(np.diff(times), positions, velocities, accelerations))


def _slopes(times: np.ndarray, positions: np.ndarray, first: np.ndarray) -> np.ndarray:
    """(N + 1, J) velocities at the points, so that cubics between them do not overshoot (Fritsch and Butland 1984)."""
    lengths = np.diff(times)[:, None]
    rise = np.diff(positions, axis=0) / lengths
    before, after = rise[:-1], rise[1:]
    weight = (lengths[:-1] + 2 * lengths[1:]) / (3 * (lengths[:-1] + lengths[1:]))
    mean = weight * after + (1 - weight) * before
    with np.errstate(divide="ignore", invalid="ignore"):
        inner = np.where(before * after > 0, before * after / mean, 0.0)
    return np.vstack([first, inner, np.zeros_like(first)])


def _cubics(t: np.ndarray, p: np.ndarray, v: np.ndarray) -> np.ndarray:
    t = t[:, None]
    rise = (p[1:] - p[:-1]) / t
    c = np.zeros((len(t), 6, p.shape[1]))
    c[:, 0], c[:, 1] = p[:-1], v[:-1]
    c[:, 2] = (3 * rise - 2 * v[:-1] - v[1:]) / t
    c[:, 3] = (v[:-1] + v[1:] - 2 * rise) / t**2
    return c


def _quintics(t: np.ndarray, p: np.ndarray, v: np.ndarray, a: np.ndarray) -> np.ndarray:
    t = t[:, None]
    gap = p[1:] - p[:-1]
    c = np.zeros((len(t), 6, p.shape[1]))
    c[:, 0], c[:, 1], c[:, 2] = p[:-1], v[:-1], a[:-1] / 2
    c[:, 3] = (20 * gap - (8 * v[1:] + 12 * v[:-1]) * t - (3 * a[:-1] - a[1:]) * t**2) / (2 * t**3)
    c[:, 4] = (-30 * gap + (14 * v[1:] + 16 * v[:-1]) * t + (3 * a[:-1] - 2 * a[1:]) * t**2) / (2 * t**4)
    c[:, 5] = (12 * gap - 6 * (v[1:] + v[:-1]) * t + (a[1:] - a[:-1]) * t**2) / (2 * t**5)
    return c
