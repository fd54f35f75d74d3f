"""Kinematics of a robot, batched: where frames are, how they move with the joints, which joints reach a point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from uniros_env_server.robots.model import Array, Joint, RobotModel, load_model

_HERE = np.eye(4)
_YZX, _ZXY = [1, 2, 0], [2, 0, 1]  # a x b = a_yzx b_zxy - a_zxy b_yzx
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
        return chain.poses(self._columns(q, chain))[:, -1]

    def position(self, q: Joints, frame: str = "") -> Array:
        """(N, 3) positions (m) of a frame's origin."""
        return self.fk(q, frame)[:, :3, 3]

    def bodies(self, q: Array) -> Array:
        """(N, A + 2, 4, 4) poses of the base, of what each joint of the arm moves, and of the tool. q: (N, A) rad."""
        result = np.empty((len(q), len(self.joints) + 2, 4, 4))
        result[:, 0] = _HERE
        self._chain("").fill(q, result[:, 1:])
        return result

    def jacobian(self, q: Joints, frame: str = "") -> Array:
        """(N, 6, A) velocity of a frame (m/s, then rad/s about the base's axes) for each joint's unit velocity."""
        chain = self._chain(frame)
        poses = chain.poses(self._columns(q, chain))
        result = np.zeros((len(poses), 6, len(self.joints)))
        place, slides, axes = chain.columns(self.joints)
        frames = poses[:, place]
        axis = (frames[..., :3, :3] @ axes[:, :, None])[..., 0]
        arm = poses[:, -1:, :3, 3] - frames[..., :3, 3]
        linear = axis[..., _YZX] * arm[..., _ZXY] - axis[..., _ZXY] * arm[..., _YZX]
        used = [self.joints.index(chain.moving[number].name) for number in place]
        result[:, :3, used] = np.where(slides[:, None], axis, linear).transpose(0, 2, 1)
        result[:, 3:, used] = np.where(slides[:, None], 0.0, axis).transpose(0, 2, 1)
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
                raise ValueError(f"{self.model.name} has no joint {', '.join(unknown)}; "
                                 f"it has {', '.join(self.model.joints)}")
            rows = max((len(value) for value in values.values()), default=1)
            columns = np.zeros((rows, len(chain.moving)))
            for number, joint in enumerate(chain.moving):
                columns[:, number] = values.get(joint.name, 0.0)
            return columns
        array = np.atleast_2d(np.asarray(q, dtype=float))
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
        self._slides = np.array([joint.kind == "prismatic" for joint in self.moving], dtype=bool)
        self._any_slides = bool(self._slides.any())
        self._constant, self._sine, self._cosine = np.zeros((3, len(self.moving), 4, 4))
        self._tip = np.eye(4)
        offset: Array = np.zeros(3)
        number = 0
        for joint in joints:
            offset = offset + joint.origin
            if joint.moves:
                self._fill(number, joint, offset)
                offset, number = np.zeros(3), number + 1
        self._tip[:3, 3] = offset

    def columns(self, joints: tuple[str, ...]) -> tuple[list[int], NDArray[np.bool_], Array]:
        """Of the moving joints that are among `joints`: their numbers, whether they slide, and their axes."""
        numbers = [number for number, joint in enumerate(self.moving) if joint.name in joints]
        return numbers, self._slides[numbers], np.array([self.moving[number].axis for number in numbers]).reshape(-1, 3)

    def poses(self, q: Array) -> Array:
        """(N, len(moving) + 1, 4, 4) frames of the moving joints, then of the chain's end. q: (N, len(moving))."""
        result = np.empty((len(q), len(self.moving) + 1, 4, 4))
        self.fill(q, result)
        return result

    def fill(self, q: Array, result: Array) -> None:
        """Write what `poses` gives into `result`."""
        sine, cosine = np.sin(q), np.cos(q)
        if self._any_slides:
            sine = np.where(self._slides, q, sine)
        steps = sine[:, :, None, None] * self._sine
        steps += cosine[:, :, None, None] * self._cosine
        steps += self._constant
        result[:, 0] = steps[:, 0] if self.moving else _HERE
        for number in range(1, len(self.moving)):
            np.matmul(result[:, number - 1], steps[:, number], out=result[:, number])
        np.matmul(result[:, max(0, len(self.moving) - 1)], self._tip, out=result[:, -1])

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
