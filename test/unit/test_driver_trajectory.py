"""Paths of the driver's set-point: through the points, without jumps, within the speed limit."""

from __future__ import annotations

import numpy as np
import pytest

from uniros_env_server.driver.trajectory import Points, Sample, brake, calm, plan

SPEED = np.array([1.5, 1.5])


def rest(*position: float) -> Sample:
    return Sample.rest(np.array(position))


def walk(path: object, dt: float = 0.001) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    times = np.arange(0.0, path.duration + dt, dt)  # type: ignore[attr-defined]
    samples = [path.at(t) for t in times]  # type: ignore[attr-defined]
    return times, np.array([s.position for s in samples]), np.array([s.velocity for s in samples])


def test_one_point_without_velocity_is_a_ramp_at_even_speed() -> None:
    path, factor = plan(Points(np.array([0.1]), np.array([[0.1, -0.05]])), rest(0, 0), SPEED)
    assert factor == 1.0
    for t in (0.0, 0.03, 0.05, 0.1):
        assert path.at(t).position == pytest.approx(np.array([0.1, -0.05]) * t / 0.1)
        assert path.at(t).velocity == pytest.approx([1.0, -0.5])
    assert path.at(0.5).position == pytest.approx([0.1, -0.05])
    assert path.at(0.5).velocity == pytest.approx([0, 0])


def test_several_points_are_passed_smoothly_and_never_overshot() -> None:
    points = Points(np.array([1.0, 2.0, 3.0, 4.0]), np.array([[0.5, 0.2], [0.8, 0.2], [0.8, -0.4], [0.1, -0.5]]))
    path, factor = plan(points, rest(0, 0), SPEED)
    assert factor == 1.0
    for time, position in zip(points.times, points.positions):
        assert path.at(time).position == pytest.approx(position, abs=1e-12)
    times, positions, velocities = walk(path)
    assert np.abs(np.diff(velocities, axis=0)).max() < 0.01  # rad/s in a ms: no step
    assert np.abs(np.diff(positions, axis=0) / np.diff(times)[:, None]).max() < 1.5
    assert positions[:, 0].max() <= 0.8 + 1e-12 and positions[:, 1].min() >= -0.5 - 1e-12
    assert np.all(np.diff(positions[times < 2.0, 0]) >= -1e-12)  # as monotonous as the points
    assert velocities[-1] == pytest.approx([0, 0], abs=1e-9)


def test_velocities_and_accelerations_given_are_met() -> None:
    velocities = np.array([[0.4, -0.2], [0.0, 0.0]])
    cubic = Points(np.array([1.0, 2.0]), np.array([[0.3, -0.2], [0.6, -0.3]]), velocities)
    path, _ = plan(cubic, rest(0, 0), SPEED)
    assert path.at(1.0).velocity == pytest.approx(velocities[0])
    assert path.at(0.0).velocity == pytest.approx([0, 0])
    quintic = Points(cubic.times, cubic.positions, velocities, np.array([[0.5, 0.1], [0.0, 0.0]]))
    path, _ = plan(quintic, Sample(np.zeros(2), np.array([0.1, 0.0]), np.array([0.2, 0.0])), SPEED)
    assert path.at(0.0).velocity == pytest.approx([0.1, 0.0])
    assert path.at(0.0).acceleration == pytest.approx([0.2, 0.0])
    assert path.at(1.0).acceleration == pytest.approx([0.5, 0.1])
    assert path.at(1.0 - 1e-9).acceleration == pytest.approx([0.5, 0.1], abs=1e-6)
    assert path.at(2.0).position == pytest.approx([0.6, -0.3])


def test_a_new_path_starts_where_and_as_fast_as_the_old_one_was() -> None:
    start = Sample(np.array([0.2, 0.1]), np.array([0.5, -0.4]), np.zeros(2))
    path, _ = plan(Points(np.array([1.0, 2.0]), np.array([[0.5, 0.0], [0.4, 0.1]])), start, SPEED)
    assert path.at(0.0).position == pytest.approx(start.position)
    assert path.at(0.0).velocity == pytest.approx(start.velocity)


@pytest.mark.parametrize("points", [
    Points(np.array([0.001]), np.array([[1.0, 0.5]])),
    Points(np.array([0.2, 0.4]), np.array([[1.0, 0.5], [0.0, 0.0]])),
    Points(np.array([0.2, 0.4]), np.array([[1.0, 0.5], [0.0, 0.0]]), np.zeros((2, 2))),
    Points(np.array([0.3]), np.array([[1.0, 0.5]]), np.zeros((1, 2)), np.zeros((1, 2)))],
    ids=["ramp", "smooth", "cubic", "quintic"])
def test_what_is_too_fast_is_slowed_down_as_a_whole(points: Points) -> None:
    path, factor = plan(points, rest(0, 0), SPEED)
    assert factor > 1.0
    _, positions, velocities = walk(path)
    assert np.abs(velocities).max() <= 1.5 * 1.002
    assert np.abs(velocities).max() > 1.4  # and not slower than need be
    assert path.end == pytest.approx(points.positions[-1])
    assert np.allclose(positions[:, 1], positions[:, 0] / 2, atol=1e-9)  # the same line through space


def test_braking_stops_evenly() -> None:
    path = brake(Sample(np.zeros(2), np.array([1.0, -0.5]), np.zeros(2)), 5.0)
    assert path.duration == pytest.approx(0.2)
    assert path.end == pytest.approx([0.1, -0.05])
    assert path.at(0.1).velocity == pytest.approx([0.5, -0.25])


def test_a_calm_motion_keeps_its_speed() -> None:
    path = calm(rest(0, 0), np.array([1.0, -0.3]), 0.8)
    _, _, velocities = walk(path)
    assert np.abs(velocities).max() == pytest.approx(0.8, rel=1e-3)
    assert path.end == pytest.approx([1.0, -0.3])


def test_a_thousand_points_are_planned_in_time() -> None:
    times = np.linspace(0.01, 10, 1000)
    path, factor = plan(Points(times, np.stack([np.sin(times), np.cos(times)], axis=1)), rest(0, 1), SPEED)
    assert factor == 1.0
    assert np.abs(path.top_speed()).max() < 1.5
