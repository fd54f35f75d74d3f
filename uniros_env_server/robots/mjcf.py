"""The MuJoCo model of a robot on its table, made from the same description as the URDF."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import numpy as np

from uniros_env_server.robots.model import Array, Geometry, Joint, Link, RobotModel
from uniros_env_server.robots.urdf import COLOURS, numbers

TABLE = "table"
SHAPES = {"revolute": "hinge", "continuous": "hinge", "prismatic": "slide"}


def mjcf(model: RobotModel) -> str:
    """The robot as MJCF text: the table top is the plane z = 0 of the base frame, where also the base stands.

    Each driven joint has a servo whose set-point is an activation that moves at the rate given as control, so that a
    ramp needs no attention between two commands. Joints without a servo in the description are welded. What may touch
    what is listed pair by pair: the search for contacts would cost more than the few that there are.
    """
    root = ET.Element("mujoco", model=model.name)
    ET.SubElement(root, "compiler", angle="radian", autolimits="true", inertiafromgeom="false")
    option = ET.SubElement(root, "option", timestep=numbers(model.simulation["timestep"]), integrator="implicitfast")
    ET.SubElement(option, "flag", island="disable", autoreset="disable")  # a broken state is to be seen, not tidied up
    ET.SubElement(ET.SubElement(root, "default"), "geom", contype="0", conaffinity="0")
    world = ET.SubElement(root, "worldbody")
    ET.SubElement(world, "light", pos="0.3 -0.4 1.2", dir="-0.2 0.3 -1")
    ET.SubElement(world, "camera", name="front", pos="0.75 -0.60 0.55", xyaxes="0.62 0.78 0 -0.37 0.29 0.88")
    ET.SubElement(world, "geom", name=TABLE, type="plane", size="1 1 0.1", rgba="0.8 0.78 0.72 1")
    ET.SubElement(world, "site", name="goal", pos="0 0 1", size="0.02", rgba="0.1 0.7 0.2 0")
    _body(world, model.base, None, np.zeros(3), model)
    contact = ET.SubElement(root, "contact")
    for one, other in touching(model):
        ET.SubElement(contact, "pair", geom1=one, geom2=other)
    actuators = ET.SubElement(root, "actuator")
    for name, gains in model.simulation["gains"].items():
        actuators.append(_servo(model.joints[name], *gains[:2]))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def touching(model: RobotModel) -> list[tuple[str, str]]:
    """The pairs of geoms that may touch: what moves with the table, near links with far ones not jointed to them."""
    solid = {link.name: [f"{link.name}_{number}" for number, geometry in enumerate(link.geometry) if geometry.solid]
             for link in model.links.values()}
    moving = [link for link in (*model.near, *model.far) if any(joint.moves for joint in model.chain(link))]
    pairs = [(TABLE, geom) for link in moving for geom in solid[link]]
    return pairs + [(one, other) for near, far in model.meeting for one in solid[near] for other in solid[far]]


def _body(parent: ET.Element, name: str, above: Joint | None, offset: Array, model: RobotModel) -> None:
    """Add a link at an offset (m) in its parent's body and all that hangs on it. Without mass it is a mere site."""
    link = model.links[name]
    if link.mass:
        body = ET.SubElement(parent, "body", name=name, pos=numbers(offset))
        offset = np.zeros(3)
        if above and above.name in model.simulation["gains"]:
            body.append(_joint(above, model))
        body.append(_inertial(link, model))
    else:
        body = parent
        ET.SubElement(body, "site", name=name, pos=numbers(offset), size="0.004", rgba="0 0 0 0")
    for number, geometry in enumerate(link.geometry):
        body.append(_geom(geometry, f"{name}_{number}", COLOURS[list(model.links).index(name) % 2]))
    for joint in model.joints.values():
        if joint.parent == name:
            _body(body, joint.child, joint, offset + joint.origin, model)


def _inertial(link: Link, model: RobotModel) -> ET.Element:
    inertia = link.inertia_matrix(model.inertia_yaw)
    six = (inertia[row, column] for row, column in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)))
    return ET.Element("inertial", pos=numbers(link.com), mass=numbers(link.mass), fullinertia=numbers([*six]))


def _joint(joint: Joint, model: RobotModel) -> ET.Element:
    armature = model.simulation["gains"][joint.name][2]
    element = ET.Element("joint", name=joint.name, type=SHAPES[joint.kind], axis=numbers(joint.axis),
                         frictionloss=numbers(model.friction), armature=numbers(armature))
    if joint.kind != "continuous":
        element.set("range", numbers((joint.lower, joint.upper)))
    return element


def _servo(joint: Joint, stiffness: float, damping: float) -> ET.Element:
    """A servo pulling towards its activation, which the control moves: force = k (act - q) - d dq/dt."""
    return ET.Element("general", name=joint.name, joint=joint.name, dyntype="integrator", gaintype="fixed",
                      gainprm=numbers(stiffness), biastype="affine", biasprm=numbers((0, -stiffness, -damping)),
                      actrange=numbers((joint.lower, joint.upper)), forcerange=numbers((-joint.effort, joint.effort)))


def _geom(geometry: Geometry, name: str, colour: str) -> ET.Element:
    if geometry.kind == "box":
        half = [side / 2 for side in geometry.size]
        return ET.Element("geom", name=name, type="box", rgba=colour, pos=numbers(geometry.start), size=numbers(half))
    return ET.Element("geom", name=name, type="capsule", rgba=colour, size=numbers(geometry.radius),
                      fromto=numbers((*geometry.start, *geometry.end)))
