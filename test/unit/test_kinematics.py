"""Kinematics: derivatives that fit the positions, solutions that arrive, and inputs that are refused."""

from __future__ import annotations

import numpy as np
import pytest

from uniros_env_server.robots.kinematics import Kinematics

ARM = Kinematics("rx200")
LOWER, UPPER = ARM.model.limits(ARM.joints)
READY = ARM.model.poses["ready"]


def random_q(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(LOWER, UPPER, (count, 5))


def test_a_batch_equals_its_rows() -> None:
    q = random_q(7)
    assert ARM.fk(q).shape == (7, 4, 4)
    assert np.array_equal(ARM.position(q), np.concatenate([ARM.position(row) for row in q]))


def test_joints_by_name_equal_joints_by_column_in_any_order() -> None:
    q = random_q(4)
    named = dict(reversed(list(zip(ARM.joints, q.T, strict=True))))
    assert np.array_equal(ARM.fk(named), ARM.fk(q))
    assert np.array_equal(ARM.jacobian(named), ARM.jacobian(q))


@pytest.mark.parametrize("frame", ["ee_gripper_link", "rx200/forearm_link", "base_link"])
def test_jacobian_is_the_derivative_of_the_pose(frame: str) -> None:
    q, step = random_q(6), 1e-6
    jacobian = ARM.jacobian(q, frame)
    for joint in range(5):
        ahead, behind = q.copy(), q.copy()
        ahead[:, joint] += step
        behind[:, joint] -= step
        velocity = (ARM.fk(ahead, frame) - ARM.fk(behind, frame)) / (2 * step)
        assert jacobian[:, :3, joint] == pytest.approx(velocity[:, :3, 3], abs=1e-8)
        spin = velocity[:, :3, :3] @ ARM.fk(q, frame)[:, :3, :3].transpose(0, 2, 1)
        turning = np.stack([spin[:, 2, 1], spin[:, 0, 2], spin[:, 1, 0]], axis=1)
        assert jacobian[:, 3:, joint] == pytest.approx(turning, abs=1e-8)


def test_ik_arrives_at_every_point_of_the_goal_box() -> None:
    axes = np.linspace(0.15, 0.25, 5), np.linspace(-0.15, 0.15, 9), np.linspace(0.15, 0.25, 5)
    points = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 3)
    found = ARM.ik(points, READY)
    assert found.success.all()
    assert np.abs(ARM.position(found.q) - points).max() < 1e-4
    assert ((found.q >= LOWER) & (found.q <= UPPER)).all()


def test_ik_reports_each_row_and_keeps_to_the_limits_where_it_fails() -> None:
    found = ARM.ik([[0.2, 0.0, 0.2], [1.0, 0.0, 0.2]], READY)
    assert found.success.tolist() == [True, False]
    assert found.error[1] == pytest.approx(np.linalg.norm([1.0, 0.0, 0.2] - ARM.position(found.q)[1]))
    assert found.error[1] > 0.4 and ((found.q >= LOWER) & (found.q <= UPPER)).all()


def test_an_ik_row_does_not_depend_on_its_neighbours() -> None:
    points = ARM.position(random_q(5, seed=3))
    together = ARM.ik(points, READY)
    for row, point in enumerate(points):
        alone = ARM.ik(point, READY)
        assert together.q[row] == pytest.approx(alone.q[0], abs=1e-12)
        assert together.success[row] == alone.success[0]


def test_wrong_shapes_and_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected joint positions of shape \(N, 5\).*got \(3,\)"):
        ARM.fk(np.zeros(3))
    with pytest.raises(ValueError, match="no joint wirst_angle"):
        ARM.fk({"wirst_angle": 0.0})
    with pytest.raises(ValueError, match="no frame 'hand'"):
        ARM.fk(np.zeros(5), "hand")
