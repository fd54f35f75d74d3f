"""What gravity does to an arm at rest, from its description alone: no simulator has a part in it."""

from __future__ import annotations

import numpy as np

from uniros_env_server.robots.kinematics import Kinematics
from uniros_env_server.robots.model import RobotModel

STEP = 1e-5  # rad, of the numerical derivative


def gravity_torques(model: RobotModel, q: np.ndarray, gravity: float) -> np.ndarray:
    """(A,) Nm with which gravity (m/s2, along z) turns each joint of the arm at q, (A,) rad."""
    ways = np.eye(len(q)) * STEP
    return np.array([_potential(model, q - way, gravity) - _potential(model, q + way, gravity) for way in ways]) / (
        2 * STEP)


def _potential(model: RobotModel, q: np.ndarray, gravity: float) -> float:
    """J, of all links."""
    kinematics, energy = Kinematics(model), 0.0
    joints = dict(zip(model.arm, q[:, None], strict=True)) | {model.finger: np.array([model.opening])}
    for link in model.links.values():
        pose = kinematics.fk(joints, link.name)[0]
        energy -= link.mass * gravity * (pose[:3, :3] @ np.array(link.com) + pose[:3, 3])[2]
    return energy
