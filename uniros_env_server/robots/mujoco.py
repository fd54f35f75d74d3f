"""The arm as physics in this process: MuJoCo behind the robot contract."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import mujoco
import numpy as np
from numpy.typing import NDArray

from uniros_env_server.robots.delay import Delay
from uniros_env_server.robots.mjcf import mjcf
from uniros_env_server.robots.model import RobotModel
from uniros_env_server.robots.mujoco_models import MujocoModels
from uniros_env_server.robots.robot import Array, RobotState
from uniros_env_server.robots.sensor_noise import SensorNoise
from uniros_msgs.knobs import Physics


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
        self._models = MujocoModels(self.physics, num, model.arm)
        self._delay = Delay()
        self._plan = _Plan(model, self.physics)
        self._noise = SensorNoise(num, self._plan.arm)
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
        setpoint[:] = self._delay.told(self._act())[:, plan.commanded]
        self._noise.add(raw)
        plan.add_horn(raw)
        raw.flags.writeable = setpoint.flags.writeable = False
        return RobotState(self.model.published, raw[0], raw[1], raw[2], self.model.commanded, setpoint,
                          time.monotonic(), time.time())

    def command(self, q: Array, duration: float) -> None:
        """See `Robot.command`. The ramp takes the whole physics steps that fit, at least one."""
        target, steps = self._plan.servos(q), max(1, int(duration / self._timestep + 1e-6))
        if self._delay.idle or not self._delay.send(target, steps, self._act()):
            self._ramp(target, steps)

    def hold(self) -> None:
        """See `Robot.hold`. After the dead time, where there is one."""
        if not self._delay.idle and self._delay.send(self._delay.told(self._act()), 1, self._act()):
            return
        self._steps_left = 0
        for world in self.worlds:
            world.ctrl[:] = 0.0

    def reset(self, q: Array, rows: NDArray[np.intp] | None = None) -> None:
        """Put arms at rest at the command q, without the way there: a simulation can."""
        chosen, targets = range(self.num) if rows is None else rows, self._plan.servos(q)
        for row, target in zip(chosen, targets, strict=True):
            world, physics = self.worlds[row], self._models.rows[row]
            mujoco.mj_resetData(physics, world)
            world.act[:] = target
            world.qpos[self._plan.joints] = target
            mujoco.mj_forward(physics, world)
            self._target[row] = target
        self._delay.put(chosen, targets)
        self._noise.draw(chosen)
        if rows is None:
            self._delay.clear()
            self._steps_left = 0
            self._debt = 0.0

    def advance(self, duration: float) -> None:
        """See `Robot.advance`."""
        self._debt += duration
        steps = int(self._debt / self._timestep + 1e-6)
        self._debt = max(0.0, self._debt - steps * self._timestep)
        for piece, ramp in self._delay.stretches(steps):
            self._pass(piece)
            if ramp:
                self._ramp(ramp.target, ramp.steps)
        if steps:
            self._noise.draw(range(self.num))

    @property
    def knobs(self) -> Physics:
        """Where the knobs of the first arm stand."""
        return self._models.knobs[0]

    def turn(self, changes: Mapping[str, float], rows: NDArray[np.intp] | None = None) -> None:
        """Turn knobs of `Physics`: of the arms of `rows`, or of all. Nothing jumps; a ramp under way goes on.

        Raises ValueError for a knob of some arms only that all share. The real-time factor is the clock's affair.
        """
        self._models.turn(changes, rows)
        for row in range(self.num) if rows is None else rows:
            self._noise.turn(row, self._models.knobs[row].position_noise, self._models.knobs[row].velocity_noise)
        share = self.knobs.time_step / self._timestep
        self._timestep = self.knobs.time_step
        if share != 1.0:
            self._steps_left = math.ceil(self._steps_left / share - 1e-6)
            self._delay.rescale(share)
        self._delay.steps = round(self.knobs.latency / self._timestep)

    def begin_noise(self, rows: Iterable[int], streams: Sequence[np.random.SeedSequence]) -> None:
        """Where the random numbers of arms' measurements begin, from their next reset on."""
        self._noise.begin(rows, streams)

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

    def _act(self) -> Array:
        """(N, nu) rad, m: the servos' set-points."""
        return np.array([world.act for world in self.worlds])

    def _ramp(self, target: Array, steps: int) -> None:
        """Begin to move the servos' set-points."""
        self._target, self._steps_left = target, steps
        seconds = steps * self._timestep
        for world, end in zip(self.worlds, target, strict=True):
            world.ctrl[:] = (end - world.act) / seconds

    def _pass(self, steps: int) -> None:
        """Integrate: what is left of the ramp, and then at rest."""
        ramp = min(steps, self._steps_left)
        if ramp:
            self._integrate(ramp)
            self._steps_left -= ramp
            if self._steps_left == 0:
                self._arrive()
        if steps > ramp:
            self._integrate(steps - ramp)

    def _integrate(self, steps: int) -> None:
        """Each thread takes the next arm as long as there is one: a core that others use takes fewer."""
        left = iter(zip(self._models.rows, self.worlds, strict=True))

        def work() -> None:
            for physics, world in left:
                mujoco.mj_step(physics, world, steps)

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
        arm = [model.published.index(name) for name in model.arm]
        self.arm = slice(arm[0], arm[-1] + 1)  # among those published

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
