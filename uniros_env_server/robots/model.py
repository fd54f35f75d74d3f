"""A robot's description: links, joints, groups and poses, read once from config/robots/<name>/robot.yaml."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uniros_env_server.data import config_path, load_yaml

Array = NDArray[np.float64]
AXES = {"x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0)}
MOVING = ("revolute", "continuous", "prismatic")


@dataclass(frozen=True)
class Geometry:
    """A primitive of a link: a box of `size` around `start`, or a capsule of `radius` from `start` to `end` (m)."""

    kind: str
    start: tuple[float, ...]
    end: tuple[float, ...] = ()
    size: tuple[float, ...] = ()
    radius: float = 0.0
    solid: bool = True  # False for what is only to be looked at

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Geometry:
        """From a line of the YAML file."""
        solid = bool(data.get("solid", True))
        if "box" in data:
            return cls("box", tuple(data["at"]), size=tuple(data["box"]), solid=solid)
        return cls("capsule", tuple(data["from"]), tuple(data["to"]), radius=float(data["capsule"]), solid=solid)


@dataclass(frozen=True)
class Link:
    """A rigid body. Frames without mass are links too."""

    name: str
    mass: float = 0.0  # kg
    com: tuple[float, ...] = (0.0, 0.0, 0.0)  # m, in the link's frame
    inertia: tuple[float, ...] = (0.0,) * 6  # kg m2: xx yy zz xy xz yz about the com, in the model's turned frame
    geometry: tuple[Geometry, ...] = ()

    def inertia_matrix(self, yaw: float = 0.0) -> Array:
        """(3, 3) inertia about the centre of mass, from a frame in which the given one is turned by `yaw` (rad)."""
        xx, yy, zz, xy, xz, yz = self.inertia
        c, s = math.cos(yaw), math.sin(yaw)
        turn = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
        return turn @ np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) @ turn.T


@dataclass(frozen=True)
class Joint:
    """How a child link moves in its parent's frame."""

    name: str
    kind: str  # fixed | revolute | continuous | prismatic
    parent: str
    child: str
    origin: tuple[float, ...]  # m
    axis: tuple[float, float, float] = AXES["x"]
    lower: float = -math.inf  # rad or m
    upper: float = math.inf
    velocity: float = math.inf  # rad/s or m/s
    effort: float = math.inf  # Nm or N
    top_speed: float = math.inf  # rad/s or m/s that the real joint must never exceed
    mimics: str = ""  # the joint this one follows
    multiplier: float = 1.0

    @property
    def moves(self) -> bool:
        """Whether the joint has a degree of freedom."""
        return self.kind in MOVING

    @classmethod
    def read(cls, name: str, data: Mapping[str, Any]) -> Joint:
        """From an entry of the YAML file."""
        lower, upper = data.get("limits", (-math.inf, math.inf))
        return cls(name, data["type"], data["parent"], data["child"], tuple(data["origin"]),
                   AXES[data.get("axis", "x")], lower, upper, data.get("velocity", math.inf),
                   data.get("effort", math.inf), data.get("top_speed", data.get("velocity", math.inf)),
                   data.get("mimics", ""), data.get("multiplier", 1.0))


@dataclass(frozen=True)
class RobotModel:
    """Everything there is to know about a robot before it is connected."""

    name: str
    base: str
    tool: str
    arm: tuple[str, ...]  # the joints of the arm, base first
    finger: str  # the one finger joint that is commanded
    published: tuple[str, ...]  # joints in the order of joint_states
    poses: Mapping[str, Array]  # rad, (len(arm),) each
    opening: float  # m, the finger's position unless a task asks for another
    linkage: Mapping[str, float]  # m, horn and arm of the gripper
    friction: float  # Nm or N in every moving joint
    inertia_yaw: float  # rad, turn of the frame the inertias are given in
    links: Mapping[str, Link]
    joints: Mapping[str, Joint]
    near: tuple[str, ...]  # links that may be met by any of the far ones
    far: tuple[str, ...]
    simulation: Mapping[str, Any] = field(default_factory=dict)

    @property
    def commanded(self) -> tuple[str, ...]:
        """The joints of a command: the arm's, then the finger."""
        return (*self.arm, self.finger)

    @property
    def meeting(self) -> list[tuple[str, str]]:
        """The pairs of links that may meet: each near one with each far one unless a joint connects them."""
        jointed = {(joint.parent, joint.child) for joint in self.joints.values()}
        return [(near, far) for near in self.near for far in self.far if (near, far) not in jointed]

    def limits(self, names: tuple[str, ...]) -> tuple[Array, Array]:
        """Lower and upper position limits (rad or m) of the joints named, (len(names),) each."""
        joints = [self.joints[name] for name in names]
        return np.array([j.lower for j in joints]), np.array([j.upper for j in joints])

    def top_speeds(self, names: tuple[str, ...]) -> Array:
        """Speeds (rad/s or m/s) the joints named must never exceed, (len(names),)."""
        return np.array([self.joints[name].top_speed for name in names])

    def chain(self, frame: str) -> tuple[Joint, ...]:
        """The joints from the base to a frame. Raises ValueError for a frame the robot does not have."""
        frame = frame.removeprefix(f"{self.name}/")
        if frame not in self.links:
            raise ValueError(f"{self.name} has no frame {frame!r}; it has {', '.join(self.links)}")
        above = {joint.child: joint for joint in self.joints.values()}
        joints = []
        while frame != self.base:
            joints.append(above[frame])
            frame = above[frame].parent
        return tuple(reversed(joints))

    def linkage_angle(self, opening: Array) -> Array:
        """The gripper servo's angle (rad) at a finger position (m): the inverse of `linkage_opening`."""
        r, arm = self.linkage["horn"], self.linkage["arm"]
        cosine = (r * r + opening * opening - arm * arm) / (2.0 * r * opening)
        return math.pi / 2 - np.arccos(np.minimum(cosine, 1.0))

    def linkage_opening(self, angle: Array) -> Array:
        """The finger position (m) at a gripper servo angle (rad): a horn r driving a rod L along a rail."""
        r, arm = self.linkage["horn"], self.linkage["arm"]
        return r * np.sin(angle) + np.sqrt(arm * arm - (r * np.cos(angle)) ** 2)


def known_robots() -> list[str]:
    """The names of the robots described under config/robots."""
    return sorted(path.parent.name for path in config_path("robots").glob("*/robot.yaml"))


@cache
def load_model(name: str) -> RobotModel:
    """The description of a robot by name. Raises ValueError, naming the known ones, when there is no such robot."""
    if name not in known_robots():
        raise ValueError(f"unknown robot {name!r}; config/robots has {', '.join(known_robots())}")
    data = load_yaml("robots", name, "robot.yaml")
    links = {key: Link(key, link.get("mass", 0.0), tuple(link.get("com", (0.0, 0.0, 0.0))),
                       tuple(link.get("inertia", (0.0,) * 6)), tuple(map(Geometry.read, link.get("geometry", ()))))
             for key, link in data["links"].items()}
    model = RobotModel(
        data["name"], data["base"], data["tool"], tuple(data["arm"]), data["finger"], tuple(data["published"]),
        {key: np.array(pose, dtype=float) for key, pose in data["poses"].items()}, data["opening"], data["linkage"],
        data["friction"], data["inertia_yaw"], links, {key: Joint.read(key, j) for key, j in data["joints"].items()},
        tuple(data["collision"]["near"]), tuple(data["collision"]["far"]), data["simulation"])
    _check(model)
    return model


def _check(model: RobotModel) -> None:
    """Every name that is used must be defined, and every link but the base must hang on exactly one joint."""
    children = [joint.child for joint in model.joints.values()]
    wrong = [name for name in (*model.arm, model.finger, *model.published) if name not in model.joints]
    wrong += [joint.parent for joint in model.joints.values() if joint.parent not in model.links]
    wrong += [link for link in model.links if (link != model.base) != (children.count(link) == 1)]
    wrong += [name for name, pose in model.poses.items() if pose.shape != (len(model.arm),)]
    if wrong:
        raise ValueError(f"robot {model.name}: undefined, doubled or of the wrong length: {', '.join(wrong)}")
