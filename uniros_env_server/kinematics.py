"""Kinematics of a robot, batched: where its frames are, how they move with the joints, and which joints reach a point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uniros_env_server.robots.model import Array, Joint, RobotModel, load_model

Joints = ArrayLike | Mapping[str, ArrayLike]


@dataclass(frozen=True, slots=True)
class Solution:
    """What inverse kinematics found, row by row."""

    q: Array  # (N, A) rad, within the limits
    success: NDArray[np.bool_]  # (N,) whether the row's error is within the tolerance
    error: Array  # (N,) m, distance that is left


class Kinematics:
    """Forward and inverse kinematics of a robot's arm, for batches of N configurations.

    Joint positions come as an array whose columns are the arm's joints in the model's order, (N, A) or (A,), or as a
    mapping from joint names to (N,) arrays; joints left out stand at 0. Poses are in the base frame.
    """

    def __init__(self, robot: RobotModel | str) -> None:
        self.model = load_model(robot) if isinstance(robot, str) else robot
        self.joints = self.model.arm
        self._chains: dict[str, _Chain] = {}

    def fk(self, q: Joints, frame: str = "") -> Array:
        """(N, 4, 4) poses of a frame (the tool, unless named) as homogeneous matrices (m)."""
        chain = self._chain(frame)
        return chain.poses(self._columns(q, chain))[-1]

    def position(self, q: Joints, frame: str = "") -> Array:
        """(N, 3) positions (m) of a frame's origin."""
        return self.fk(q, frame)[:, :3, 3]

    def jacobian(self, q: Joints, frame: str = "") -> Array:
        """(N, 6, A) velocity of a frame (m/s, then rad/s about the base's axes) for each joint's unit velocity."""
        chain = self._chain(frame)
        poses = chain.poses(self._columns(q, chain))
        result = np.zeros((len(poses[0]), 6, len(self.joints)))
        tip = poses[-1][:, :3, 3]
        for joint, pose in zip(chain.moving, poses, strict=False):
            if joint.name not in self.joints:
                continue
            column = self.joints.index(joint.name)
            axis = pose[:, :3, :3] @ np.array(joint.axis)
            if joint.kind == "prismatic":
                result[:, :3, column] = axis
            else:
                result[:, :3, column] = np.cross(axis, tip - pose[:, :3, 3])
                result[:, 3:, column] = axis
        return result

    def ik(self, target: ArrayLike, start: ArrayLike, frame: str = "", tolerance: float = 1e-4,
           iterations: int = 60, damping: float = 0.02, margin: float = 0.0) -> Solution:
        """Joint positions that bring a frame's origin to target, (N, 3) m, from start, (N, A) or (A,) rad.

        Damped least squares (Wampler 1986): dq = J' (J J' + damping^2 I)^-1 e, clipped to the limits less `margin`
        (rad). Rows end as soon as they are within `tolerance` (m); a row that never is has success False.
        """
        target = np.atleast_2d(np.asarray(target, dtype=float))
        lower, upper = self.model.limits(self.joints)
        q = np.clip(np.broadcast_to(np.asarray(start, dtype=float), (len(target), len(self.joints))),
                    lower + margin, upper - margin)
        damped = damping**2 * np.eye(3)
        for _ in range(iterations):
            error = target - self.position(q, frame)
            distance = np.linalg.norm(error, axis=1)
            if (distance <= tolerance).all():
                break
            jacobian = self.jacobian(q, frame)[:, :3]
            transposed = jacobian.transpose(0, 2, 1)
            step = transposed @ np.linalg.solve(jacobian @ transposed + damped, error[:, :, None])
            step = np.where((distance > tolerance)[:, None], step[:, :, 0], 0.0)
            q = np.clip(q + np.clip(step, -0.5, 0.5), lower + margin, upper - margin)
        distance = np.linalg.norm(target - self.position(q, frame), axis=1)
        return Solution(q, distance <= tolerance, distance)

    def _chain(self, frame: str) -> _Chain:
        if frame not in self._chains:
            self._chains[frame] = _Chain(self.model.chain(frame or self.model.tool))
        return self._chains[frame]

    def _columns(self, q: Joints, chain: _Chain) -> Array:
        """(N, len(chain.moving)) positions of the chain's joints."""
        if isinstance(q, Mapping):
            values = {name: np.atleast_1d(np.asarray(value, dtype=float)) for name, value in q.items()}
            unknown = [name for name in values if name not in self.model.joints]
            if unknown:
                raise ValueError(f"{self.model.name} has no joint {', '.join(unknown)}; it has {', '.join(self.model.joints)}")
            rows = max((len(value) for value in values.values()), default=1)
            return np.stack([np.broadcast_to(values.get(joint.name, 0.0), rows) for joint in chain.moving], axis=1)
        array = np.asarray(q, dtype=float)
        if array.ndim == 1:
            array = array[None]
        if array.ndim != 2 or array.shape[1] != len(self.joints):
            raise ValueError(f"expected joint positions of shape (N, {len(self.joints)}) for {', '.join(self.joints)}; "
                             f"got {np.shape(q)}")
        names = [joint.name for joint in chain.moving]
        if names == list(self.joints[: len(names)]):
            return array[:, : len(names)]
        return self._columns(dict(zip(self.joints, array.T, strict=True)), chain)


class _Chain:
    """The moving joints from the base to a frame, each with the transform A(q) = constant + s sine + c cosine."""

    def __init__(self, joints: tuple[Joint, ...]) -> None:
        self.moving = tuple(joint for joint in joints if joint.moves)
        self._slides = np.array([joint.kind == "prismatic" for joint in self.moving])
        self._constant, self._sine, self._cosine = np.zeros((3, len(self.moving), 4, 4))
        self._tip = np.eye(4)
        offset = np.zeros(3)
        number = 0
        for joint in joints:
            offset = offset + joint.origin
            if joint.moves:
                self._fill(number, joint, offset)
                offset, number = np.zeros(3), number + 1
        self._tip[:3, 3] = offset

    def poses(self, q: Array) -> list[Array]:
        """(N, 4, 4) frame of each moving joint, then of the chain's end. q: (N, len(moving))."""
        sine, cosine = np.sin(q), np.cos(q)
        if self._slides.any():
            sine = np.where(self._slides, q, sine)
        steps = self._constant + sine[:, :, None, None] * self._sine + cosine[:, :, None, None] * self._cosine
        poses = []
        pose = np.broadcast_to(np.eye(4), (len(q), 4, 4))
        for number in range(len(self.moving)):
            pose = pose @ steps[:, number] if number else steps[:, 0]
            poses.append(pose)
        poses.append(pose @ self._tip)
        return poses

    def _fill(self, number: int, joint: Joint, offset: Array) -> None:
        """Rodrigues: R = a a' + cos q (1 - a a') + sin q [a]x, behind the fixed offset."""
        x, y, z = joint.axis
        axis = np.array(joint.axis)
        self._constant[number, :3, 3] = offset
        self._constant[number, 3, 3] = 1.0
        if joint.kind == "prismatic":
            self._constant[number, :3, :3] = np.eye(3)
            self._sine[number, :3, 3] = axis
            return
        self._constant[number, :3, :3] = np.outer(axis, axis)
        self._cosine[number, :3, :3] = np.eye(3) - np.outer(axis, axis)
        self._sine[number, :3, :3] = [[0, -z, y], [z, 0, -x], [-y, x, 0]]
