"""The arm as physics in this process: MuJoCo behind the robot contract."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

import mujoco
import numpy as np
from numpy.typing import NDArray

from uniros_env_server.robots.mjcf import mjcf
from uniros_env_server.robots.model import RobotModel
from uniros_env_server.robots.robot import Array, RobotState


class MujocoRobot:
    """N simulated arms that share one model.

    A command is a ramp of each servo's set-point. The set-point is an activation of the physics and its rate the
    control, so a ramp of many physics steps is one call. Time passes in whole physics steps: the rest of an
    `advance` is kept for the next. The arms of a batch share the cores: MuJoCo lets other threads run meanwhile.
    """

    clock_bound = 0.0

    def __init__(self, model: RobotModel, num: int = 1) -> None:
        self.model = model
        self.num = num
        self.physics = mujoco.MjModel.from_xml_string(mjcf(model))
        self.worlds = [mujoco.MjData(self.physics) for _ in range(num)]
        helpers = min(num, len(os.sched_getaffinity(0))) - 1  # beside the thread that calls
        self._threads = ThreadPoolExecutor(helpers, "physics") if helpers else None
        self._helpers = helpers
        self._timestep = float(self.physics.opt.timestep)
        self._plan = _Plan(model, self.physics)
        self._target = np.zeros((num, self.physics.nu))
        self._steps_left = 0  # of the ramp
        self._debt = 0.0  # s that have passed but make no whole physics step yet
        self.reset(np.tile([*model.poses["home"], model.opening], (num, 1)))

    def state(self) -> RobotState:
        """A snapshot of the physics as it stands, stamped now."""
        plan = self._plan
        raw = np.empty((3, self.num, len(self.model.published)))
        setpoint = np.empty((self.num, len(self.model.commanded)))
        raw[0][:, plan.published] = np.array([world.qpos for world in self.worlds])[:, plan.joints]
        raw[1][:, plan.published] = np.array([world.qvel for world in self.worlds])[:, plan.joints]
        raw[2][:, plan.published] = np.array([world.actuator_force for world in self.worlds])
        setpoint[:] = np.array([world.act for world in self.worlds])[:, plan.commanded]
        plan.add_horn(raw)
        raw.flags.writeable = setpoint.flags.writeable = False
        return RobotState(self.model.published, raw[0], raw[1], raw[2], self.model.commanded, setpoint,
                          time.monotonic(), time.time())

    def command(self, q: Array, duration: float) -> None:
        """See `Robot.command`. The ramp takes the whole physics steps that fit, at least one."""
        self._target = self._plan.servos(q)
        self._steps_left = max(1, int(duration / self._timestep + 1e-6))
        seconds = self._steps_left * self._timestep
        for world, target in zip(self.worlds, self._target, strict=True):
            world.ctrl[:] = (target - world.act) / seconds

    def hold(self) -> None:
        """See `Robot.hold`."""
        self._steps_left = 0
        for world in self.worlds:
            world.ctrl[:] = 0.0

    def reset(self, q: Array, rows: NDArray[np.intp] | None = None) -> None:
        """Put arms at rest at the command q, without the way there: a simulation can."""
        for row, target in zip(range(self.num) if rows is None else rows, self._plan.servos(q), strict=True):
            world = self.worlds[row]
            mujoco.mj_resetData(self.physics, world)
            world.act[:] = target
            world.qpos[self._plan.joints] = target
            mujoco.mj_forward(self.physics, world)
            self._target[row] = target
        self._steps_left = 0
        self._debt = 0.0

    def advance(self, duration: float) -> None:
        """See `Robot.advance`."""
        self._debt += duration
        steps = int(self._debt / self._timestep + 1e-6)
        self._debt = max(0.0, self._debt - steps * self._timestep)
        ramp = min(steps, self._steps_left)
        if ramp:
            self._integrate(ramp)
            self._steps_left -= ramp
            if self._steps_left == 0:
                self._arrive()
        if steps > ramp:
            self._integrate(steps - ramp)

    def settle(self) -> None:
        """See `Robot.settle`. Nobody else moves these arms: there is nothing to forget."""

    def trouble(self) -> str:
        """See `Robot.trouble`. What can go wrong with physics is seen in its state."""
        return ""

    def next_sample(self, after: float) -> float:
        """See `Robot.next_sample`. Physics can be looked at any time."""
        return after

    def close(self) -> None:
        """See `Robot.close`."""
        self.worlds = []
        if self._threads:
            self._threads.shutdown()

    def _integrate(self, steps: int) -> None:
        """Each thread takes the next arm as long as there is one: a core that others use takes fewer."""
        left = iter(self.worlds)

        def work() -> None:
            for world in left:
                mujoco.mj_step(self.physics, world, steps)

        helping = [self._threads.submit(work) for _ in range(self._helpers)] if self._threads else []
        work()
        for each in helping:
            each.result()

    def _arrive(self) -> None:
        """End the ramp exactly at its target, whatever rounding the integration left."""
        for world, target in zip(self.worlds, self._target, strict=True):
            world.act[:] = target
            world.ctrl[:] = 0.0


class _Plan:
    """Which number of the physics belongs to which joint of the model."""

    def __init__(self, model: RobotModel, physics: mujoco.MjModel) -> None:
        servos = [physics.actuator(number).name for number in range(physics.nu)]
        self._model = model
        self._mirror = np.array([-1.0 if model.joints[name].mimics else 1.0 for name in servos])
        sources = [model.joints[name].mimics or name for name in servos]
        self._sources = np.array([model.commanded.index(name) for name in sources])
        self.joints = np.array([physics.joint(name).qposadr[0] for name in servos])  # qpos and qvel of each servo
        self.published = np.array([model.published.index(name) for name in servos])
        self.commanded = np.array([servos.index(name) for name in model.commanded])
        self._finger = model.published.index(model.finger)
        self._horn = model.published.index("gripper")

    def servos(self, q: Array) -> Array:
        """(N, nu) set-points of all servos for a command (N, C)."""
        return q[:, self._sources] * self._mirror

    def add_horn(self, raw: Array) -> None:
        """Fill in the gripper's horn, which the fingers' position determines: (3, N, J) position, velocity, effort."""
        finger = raw[0, :, self._finger]
        lever = self._model.linkage["horn"]
        raw[0, :, self._horn] = self._model.linkage_angle(finger)
        raw[1, :, self._horn] = raw[1, :, self._finger] / lever
        raw[2, :, self._horn] = raw[2, :, self._finger] * lever
