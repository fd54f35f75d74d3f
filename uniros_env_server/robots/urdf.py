"""The URDF of a robot, made from its description."""

from __future__ import annotations

import math
from copy import deepcopy
from xml.etree import ElementTree as ET

import numpy as np

from uniros_env_server.robots.model import Geometry, Joint, Link, RobotModel

COLOURS = ("0.15 0.15 0.17 1", "0.55 0.57 0.60 1")


def urdf(model: RobotModel) -> str:
    """The robot as URDF text, link names prefixed with `<name>/`. The same description gives the same text, always."""
    robot = ET.Element("robot", name=model.name)
    robot.extend(_root(model))
    for number, link in enumerate(model.links.values()):
        robot.append(_link(link, model, COLOURS[number % 2]))
    for joint in model.joints.values():
        robot.append(_joint(joint, model))
    ET.indent(robot)
    return '<?xml version="1.0"?>\n' + ET.tostring(robot, encoding="unicode") + "\n"


def _root(model: RobotModel) -> list[ET.Element]:
    """A massless link below the base: KDL, and with it robot_state_publisher, cannot have a root with an inertia."""
    root = f"{model.name}/base_footprint"
    joint = ET.Element("joint", name="base_footprint", type="fixed")
    ET.SubElement(joint, "parent", link=root)
    ET.SubElement(joint, "child", link=f"{model.name}/{model.base}")
    ET.SubElement(joint, "origin", xyz="0 0 0", rpy="0 0 0")
    return [ET.Element("link", name=root), joint]


def numbers(values: object) -> str:
    """Numbers as XML attributes want them, exactly as written in the description."""
    return " ".join(f"{float(value):.12g}" for value in np.atleast_1d(np.asarray(values)))


def _link(link: Link, model: RobotModel, colour: str) -> ET.Element:
    element = ET.Element("link", name=f"{model.name}/{link.name}")
    if link.mass:
        inertial = ET.SubElement(element, "inertial")
        ET.SubElement(inertial, "origin", xyz=numbers(link.com), rpy=numbers((0, 0, model.inertia_yaw)))
        ET.SubElement(inertial, "mass", value=numbers(link.mass))
        names = ("ixx", "iyy", "izz", "ixy", "ixz", "iyz")
        ET.SubElement(inertial, "inertia", {k: numbers(v) for k, v in zip(names, link.inertia, strict=True)})
    for geometry in link.geometry:
        for origin, shape in _shapes(geometry):
            visual = ET.SubElement(element, "visual")
            visual.extend([deepcopy(origin), deepcopy(shape)])
            ET.SubElement(ET.SubElement(visual, "material", name=f"{model.name}_{colour[:4]}"), "color", rgba=colour)
            if geometry.solid:
                ET.SubElement(element, "collision").extend([origin, shape])
    return element


def _shapes(geometry: Geometry) -> list[tuple[ET.Element, ET.Element]]:
    """Origin and geometry elements of a primitive: URDF has no capsule, so one is a cylinder between two spheres."""
    if geometry.kind == "box":
        return [_shape(geometry.start, (0, 0, 0), "box", size=numbers(geometry.size))]
    start, end = np.array(geometry.start), np.array(geometry.end)
    length, radius = float(np.linalg.norm(end - start)), numbers(geometry.radius)
    x, y, z = (end - start) / length
    turn = (0.0, math.acos(z), math.atan2(y, x))  # takes z to the capsule's direction
    return [_shape((start + end) / 2, turn, "cylinder", radius=radius, length=numbers(length)),
            _shape(start, (0, 0, 0), "sphere", radius=radius), _shape(end, (0, 0, 0), "sphere", radius=radius)]


def _shape(at: object, rpy: object, kind: str, **attributes: str) -> tuple[ET.Element, ET.Element]:
    geometry = ET.Element("geometry")
    ET.SubElement(geometry, kind, attributes)
    return ET.Element("origin", xyz=numbers(at), rpy=numbers(rpy)), geometry


def _joint(joint: Joint, model: RobotModel) -> ET.Element:
    element = ET.Element("joint", name=joint.name, type=joint.kind)
    ET.SubElement(element, "parent", link=f"{model.name}/{joint.parent}")
    ET.SubElement(element, "child", link=f"{model.name}/{joint.child}")
    ET.SubElement(element, "origin", xyz=numbers(joint.origin), rpy="0 0 0")
    if joint.moves:
        ET.SubElement(element, "axis", xyz=numbers(joint.axis))
        bounds = {} if joint.kind == "continuous" else {"lower": numbers(joint.lower), "upper": numbers(joint.upper)}
        ET.SubElement(element, "limit", bounds, velocity=numbers(joint.velocity), effort=numbers(joint.effort))
        ET.SubElement(element, "dynamics", friction=numbers(model.friction))
    if joint.mimics:
        ET.SubElement(element, "mimic", joint=joint.mimics, multiplier=numbers(joint.multiplier))
    return element
