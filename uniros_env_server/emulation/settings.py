"""What the emulated arm is made of: the plant's parameters and the servos on the bus, read once from config/robots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from uniros_env_server.data import load_yaml


@dataclass(frozen=True)
class JointPhysics:
    """How a joint resists; Nm, rad and s, or N, m and s."""

    coulomb: float
    viscous: float
    rotor: float  # kg m2 or kg, as seen at the joint
    play: float  # rad between the encoder and the link


@dataclass(frozen=True)
class ServoPhysics:
    """What every servo has in common."""

    dead_time: float  # s
    velocity_filter: float  # s
    boot_time: float  # s
    goal_follows: bool  # the goal becomes the present position when the torque comes on


@dataclass(frozen=True)
class Overload:
    """When a servo gives up."""

    share: float  # of the full output
    time: float  # s


@dataclass(frozen=True)
class Thermal:
    """How a servo warms up."""

    ambient: float  # degrees C
    rise: float  # degrees at full output
    time: float  # s


@dataclass(frozen=True)
class Supply:
    """The power of all servos."""

    voltage: float  # V
    resistance: float  # Ohm
    brown_out: float  # V below which a servo is dead


@dataclass(frozen=True)
class Adapter:
    """The USB adapter between the host and the bus."""

    latency: float  # s it may keep received bytes
    chunk: int  # bytes it hands over at once


@dataclass(frozen=True)
class PlantSettings:
    """config/robots/<robot>/plant.yaml."""

    timestep: float  # s
    tick: float  # s
    seed: int
    mass_spread: float
    friction_spread: float
    start: str
    joints: dict[str, JointPhysics]
    servo: ServoPhysics
    overload: Overload
    thermal: Thermal
    supply: Supply
    adapter: Adapter
    hand: float  # Nm
    patience: float  # s


@dataclass(frozen=True)
class ServoPlace:
    """A servo of config/robots/<robot>/servos.yaml as it came from the works and was mounted."""

    number: int  # its id
    joint: str
    model: str
    settings: dict[str, int]  # registers that differ from the model's initial values

    @property
    def mounting(self) -> int:
        """1 when the shaft turns with the joint, -1 when it is mounted the other way: what drive_mode makes up for."""
        return -1 if self.settings["drive_mode"] & 1 else 1


def load_plant(robot: str, **changes: Any) -> PlantSettings:
    """The plant of a robot, with top-level entries of the file changed, for example seed=7 or start="home"."""
    data = {**load_yaml("robots", robot, "plant.yaml"), **changes}
    parts: dict[str, Any] = {"servo": ServoPhysics, "overload": Overload, "thermal": Thermal, "supply": Supply,
                             "adapter": Adapter}
    built = {key: parts[key](**value) if key in parts else value for key, value in data.items()}
    built["joints"] = {name: JointPhysics(**values) for name, values in data["joints"].items()}
    return PlantSettings(**built)


def load_servos(robot: str) -> tuple[ServoPlace, ...]:
    """The servos on a robot's bus, in the order of the file."""
    data = load_yaml("robots", robot, "servos.yaml")
    return tuple(ServoPlace(entry["id"], entry["joint"], entry["model"],
                            {"id": entry["id"], **data["settings"], **entry["settings"]}) for entry in data["servos"])


@dataclass(frozen=True)
class Ticks:
    """How a robot's servos count: config/robots/<robot>/servos.yaml."""

    per_turn: int
    centre: int  # where the shaft's angle is 0


def load_ticks(robot: str) -> Ticks:
    """The counting of a robot's encoders."""
    data = load_yaml("robots", robot, "servos.yaml")
    return Ticks(data["ticks_per_turn"], data["centre"])
