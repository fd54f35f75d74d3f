"""The arm itself: physics that the servos' motors push and that the bus sees through encoders only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from uniros_env_server.emulation.plant_model import PLAY, build_plant
from uniros_env_server.emulation.settings import PlantSettings, ServoPlace
from uniros_env_server.robots.model import Array, RobotModel


@dataclass(frozen=True, slots=True)
class Law:
    """What a motor does: torque = clip(gain setpoint - stiffness angle - damping speed, +-limit) - braking speed.

    Angles (rad) and torques (Nm) are those of the shaft; the setpoint's unit is the law's affair.
    """

    gain: float
    stiffness: float
    damping: float  # Nm s/rad
    limit: float  # Nm
    braking: float  # Nm s/rad, by the motor's own voltage


OFF = Law(0.0, 0.0, 0.0, 0.0, 0.0)


class Motor:
    """A servo's motor and encoder in the physics."""

    def __init__(self, physics: mujoco.MjModel, world: mujoco.MjData, index: int) -> None:
        self._physics, self._world, self._index = physics, world, index
        joint = int(physics.actuator_trnid[index, 0])
        self._sign = float(physics.actuator_gear[index, 0])
        self._position, self._velocity = int(physics.jnt_qposadr[joint]), int(physics.jnt_dofadr[joint])
        self._law = OFF

    @property
    def angle(self) -> float:
        """Of the shaft, rad."""
        return self._sign * float(self._world.qpos[self._position])

    @property
    def speed(self) -> float:
        """Of the shaft, rad/s."""
        return self._sign * float(self._world.qvel[self._velocity])

    @property
    def drive_torque(self) -> float:
        """What the power stage asks of the motor, Nm: the voltage in terms of torque at standstill."""
        return float(self._world.actuator_force[self._index])

    @property
    def torque(self) -> float:
        """At the shaft before friction, Nm: what the current makes."""
        return self.drive_torque - self._law.braking * self.speed

    def obey(self, law: Law) -> None:
        """Follow a law from the next physics step on."""
        self._physics.actuator_gainprm[self._index, 0] = law.gain
        self._physics.actuator_biasprm[self._index, 1:3] = -law.stiffness, -law.damping
        self._physics.actuator_forcerange[self._index] = -law.limit, law.limit
        self._physics.dof_damping[self._velocity] += law.braking - self._law.braking
        self._law = law

    def aim(self, setpoint: float) -> None:
        """Set the law's setpoint."""
        self._world.ctrl[self._index] = setpoint


class Plant:
    """The arm on its table. Time in it passes in `run` only."""

    def __init__(self, model: RobotModel, settings: PlantSettings, servos: Sequence[ServoPlace]) -> None:
        self.model = model
        self.physics = build_plant(model, settings, tuple(servos))
        self.world = mujoco.MjData(self.physics)
        self.motors = [Motor(self.physics, self.world, index) for index in range(self.physics.nu)]
        self.joints = tuple(settings.joints)
        self._hand = settings.hand
        self._dofs = {name: int(self.physics.joint(name).dofadr[0]) for name in self.joints}
        self._friction = self.physics.dof_frictionloss.copy()
        self._addresses = np.array([self.physics.joint(name).qposadr[0] for name in self.joints])
        self._rattling = [index for index, joint in enumerate(settings.joints.values()) if joint.play]
        self._play = np.array([self.physics.joint(PLAY + self.joints[index]).qposadr[0] for index in self._rattling])
        self.put(model.poses[settings.start])

    @property
    def seconds(self) -> float:
        """Of the plant's own time."""
        return float(self.world.time)

    def put(self, pose: Array, opening: float | None = None) -> None:
        """Place the arm at rest in a pose (rad, in the order of the arm), fingers at `opening` (m)."""
        opening = self.model.opening if opening is None else opening
        fingers = [name for name, joint in self.model.joints.items() if joint.kind == "prismatic"]
        self.world.qpos[:] = self.world.qvel[:] = 0.0
        self._place(dict(zip(self.model.arm, pose, strict=True)))
        self._place({name: opening * self.model.joints[name].multiplier for name in fingers})
        self._place({"gripper": float(self.model.linkage_angle(np.array(opening)))})
        mujoco.mj_forward(self.physics, self.world)

    def run(self, steps: int) -> None:
        """Let that many physics steps pass."""
        mujoco.mj_step(self.physics, self.world, steps)

    def block(self, joint: str) -> None:
        """Hold a joint where it is, as a hand would. Raises ValueError, naming the joints, for one the arm has not."""
        if joint not in self._dofs:
            raise ValueError(f"the arm has no joint {joint!r}; it has {', '.join(self._dofs)}")
        self.physics.dof_frictionloss[self._dofs[joint]] = self._hand

    def let_go(self) -> None:
        """Hold no joint any more."""
        self.physics.dof_frictionloss[:] = self._friction

    def positions(self) -> Array:
        """(len(joints),) rad and m, where the links really are: with the play the encoders do not see."""
        values: Array = self.world.qpos[self._addresses]
        values[self._rattling] += self.world.qpos[self._play]
        return values

    def speeds(self) -> Array:
        """(len(joints),) rad/s and m/s of the joints, without the rattling."""
        speeds: Array = self.world.qvel[list(self._dofs.values())]
        return speeds

    def _place(self, positions: dict[str, float]) -> None:
        for name, position in positions.items():
            self.world.qpos[self.physics.joint(name).qposadr[0]] = position
