"""Pictures of an arm, drawn from its description and a snapshot: of a simulated arm as of a real one."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from uniros_env_server.robots.mjcf import mjcf
from uniros_env_server.robots.model import RobotModel
from uniros_env_server.robots.robot import Array, RobotState

GOAL_OPACITY = 0.6


class Painter:
    """Draws off screen. Without a display MuJoCo needs MUJOCO_GL=egl in the environment. Stays in one thread."""

    def __init__(self, model: RobotModel, width: int = 640, height: int = 480) -> None:
        self._physics = mujoco.MjModel.from_xml_string(mjcf(model))
        self._world = mujoco.MjData(self._physics)
        self._renderer = mujoco.Renderer(self._physics, height, width)
        self._joints = tuple(self._physics.joint(number).name for number in range(self._physics.njnt))

    def draw(self, state: RobotState, goal: Array) -> NDArray[np.uint8]:
        """(height, width, 3) picture of the first arm, and a ball at the goal, (3,) m."""
        self._world.qpos[:] = state.positions(self._joints)[0]
        site = self._physics.site("goal")
        site.pos[:], site.rgba[3] = goal, GOAL_OPACITY
        mujoco.mj_forward(self._physics, self._world)
        self._renderer.update_scene(self._world, camera="front")
        picture: NDArray[np.uint8] = self._renderer.render()
        return picture

    def close(self) -> None:
        """Free the drawing context."""
        self._renderer.close()
