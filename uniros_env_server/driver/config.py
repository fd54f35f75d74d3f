"""What the driver knows before it is connected: servos, joints, limits and tuning, from config/robots/<name>."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from uniros_env_server.driver.files import load_yaml
from uniros_env_server.driver.linkage import Linkage
from uniros_env_server.driver.registers import VELOCITY_UNIT, Model, load_models


@dataclass(frozen=True)
class Servo:
    """One servo on the bus."""

    id: int
    joint: str
    model: Model
    settings: Mapping[str, int]  # EEPROM registers as they must be, raw
    gains: Mapping[str, int]  # RAM registers to be written before torque goes on, raw
    shadow_of: int = 0  # id of the servo on the same axis that this one imitates; 0: none

    def __str__(self) -> str:
        return "servo {} ({}{})".format(self.id, self.joint, ", shadow" if self.shadow_of else "")


@dataclass(frozen=True)
class Tuning:
    """The numbers in driver.yaml, which says what each is for."""

    rate: float  # Hz
    response_timeout: float  # s
    realtime_priority: int
    slow_every: int  # cycles
    velocity: float  # rad/s
    deceleration: float  # rad/s2
    lead: float  # rad
    lag: float  # s
    calm_speed: float  # rad/s
    lost_reads: int
    following_error: float  # rad
    following_time: float  # s
    shadow_error: float  # rad
    start_margin: float  # rad
    goal_tolerance: float  # rad
    goal_time_tolerance: float  # s
    command_age: float  # s
    temperature_warning: float  # degrees Celsius
    voltage: tuple[float, float]  # V
    grip: float  # share of full PWM

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Tuning:
        """From driver.yaml. Raises ValueError naming the keys that are missing, unknown or not positive."""
        names = {field.name for field in dataclasses.fields(cls)}
        wrong = sorted(names.symmetric_difference(data))
        wrong += [key for key, value in data.items()
                  if key != "realtime_priority" and not np.all(np.asarray(value, dtype=float) > 0)]
        if wrong:
            raise ValueError(f"driver.yaml: missing, unknown or not positive: {', '.join(wrong)}")
        return cls(**dict(data, voltage=tuple(data["voltage"])))


@dataclass(frozen=True)
class Setup:
    """The robot as its driver sees it. Axes are what a servo turns: the arm's joints, then the gripper's horn."""

    robot: str
    device: str
    baud_rate: int  # bit/s
    watchdog: float  # s
    ticks_per_turn: int
    centre: int  # ticks at angle 0
    servos: tuple[Servo, ...]
    axes: tuple[str, ...]
    arm: tuple[str, ...]
    published: tuple[str, ...]  # joints in the order of joint_states
    lower: np.ndarray  # (axes,) rad, within both the joint's limits and the servo's
    upper: np.ndarray  # (axes,) rad
    top_speed: np.ndarray  # (axes,) rad/s, what the hardware stands
    poses: Mapping[str, np.ndarray]  # rad, of the arm
    linkage: Linkage
    tuning: Tuning

    @property
    def leaders(self) -> tuple[Servo, ...]:
        """The servos that are told where to go, in the order of the axes: all but the shadows."""
        return tuple(servo for servo in self.servos if not servo.shadow_of)

    @property
    def speed(self) -> np.ndarray:
        """(axes,) rad/s, the fastest a set-point may move."""
        return np.minimum(self.top_speed, self.tuning.velocity)

    def angle(self, ticks: Any) -> np.ndarray:
        """The joint's angle (rad) at servo positions (ticks). Reversed servos reverse by themselves (drive_mode)."""
        return (np.asarray(ticks) - self.centre) * (2 * math.pi / self.ticks_per_turn)

    def ticks(self, angle: Any) -> np.ndarray:
        """The servo position (whole ticks) nearest to a joint's angle (rad)."""
        return np.rint(np.asarray(angle) * (self.ticks_per_turn / (2 * math.pi))).astype(int) + self.centre


def velocity_counts(speed: float) -> int:
    """A speed (rad/s) in a servo's unit, rounded down."""
    return int(speed / VELOCITY_UNIT)


def load_setup(robot: str = "rx200", **tuning: Any) -> Setup:
    """The robot from its YAML files; keywords replace values of driver.yaml. Raises ValueError when they contradict."""
    body = load_yaml("robots", robot, "robot.yaml")
    bus = load_yaml("robots", robot, "servos.yaml")
    servos = _servos(bus)
    leaders = [servo for servo in servos if not servo.shadow_of]
    axes = tuple(servo.joint for servo in leaders)
    arm = tuple(body["arm"])
    if axes[:len(arm)] != arm or len(axes) != len(arm) + 1:
        raise ValueError(f"servos.yaml must list the joints {arm} and then the gripper, it lists {axes}")
    linkage = Linkage(**bus["linkage"])
    joints = [body["joints"][name] for name in axes]
    spans = [joint["limits"] for joint in joints[:-1]]
    spans.append([float(linkage.angle(opening)) for opening in body["joints"][body["finger"]]["limits"]])
    turn, centre = bus["ticks_per_turn"], bus["centre"]
    ticks = np.array([(s.settings["min_position_limit"], s.settings["max_position_limit"]) for s in leaders])
    low, high = (ticks - centre).T * (2 * math.pi / turn)
    return Setup(
        robot, bus["bus"]["device"], bus["bus"]["baud_rate"], bus["watchdog"], turn, centre, servos, axes, arm,
        tuple(body["published"]), np.maximum(low, [span[0] for span in spans]),
        np.minimum(high, [span[1] for span in spans]),
        np.array([float(joint.get("top_speed", joint["velocity"])) for joint in joints]),
        {name: np.array(pose, dtype=float) for name, pose in body["poses"].items()}, linkage,
        Tuning.read(dict(load_yaml("robots", robot, "driver.yaml"), **tuning)))


def _servos(bus: Mapping[str, Any]) -> tuple[Servo, ...]:
    models = load_models()
    servos = []
    for entry in bus["servos"]:
        settings = dict(bus["settings"])
        settings.update(entry["settings"])
        servos.append(Servo(entry["id"], entry["joint"], models[entry["model"]], settings, bus["gains"][entry["model"]],
                            entry.get("shadow_of", 0)))
    return tuple(servos)
