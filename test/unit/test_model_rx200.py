"""One description, three readers: URDF, MuJoCo and our kinematics must agree on where everything is and how heavy."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import mujoco
import numpy as np
import PyKDL
import pytest

from uniros_env_server.robots.kinematics import Kinematics
from uniros_env_server.robots.mjcf import mjcf
from uniros_env_server.robots.model import load_model
from uniros_env_server.robots.urdf import urdf

MODEL = load_model("rx200")
URDF = ET.fromstring(urdf(MODEL))
NODE = Path(__file__).parents[2] / "uniros_env_server" / "nodes" / "urdf"


def vector(text: str) -> np.ndarray:
    return np.array([float(number) for number in text.split()])


def kdl_chain(frame: str) -> tuple[PyKDL.Chain, list[str]]:
    """The URDF's own chain to a frame, as KDL sees it, and the names of its moving joints."""
    above = {joint.find("child").get("link"): joint for joint in URDF.iter("joint")}
    joints = []
    link = f"rx200/{frame}"
    while link in above:
        joints.insert(0, above[link])
        link = above[link].find("parent").get("link")
    chain, names = PyKDL.Chain(), []
    for joint in joints:
        origin = PyKDL.Vector(*vector(joint.find("origin").get("xyz")))
        if joint.get("type") == "fixed":
            chain.addSegment(PyKDL.Segment(PyKDL.Joint(PyKDL.Joint.Fixed), PyKDL.Frame(origin)))
            continue
        kind = PyKDL.Joint.TransAxis if joint.get("type") == "prismatic" else PyKDL.Joint.RotAxis
        axis = PyKDL.Vector(*vector(joint.find("axis").get("xyz")))
        segment = PyKDL.Joint(joint.get("name"), origin, axis, kind)
        chain.addSegment(PyKDL.Segment(segment, PyKDL.Frame(origin)))
        names.append(joint.get("name"))
    return chain, names


def random_joints(seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    moving = [joint for joint in MODEL.joints.values() if joint.moves]
    return {joint.name: rng.uniform(max(joint.lower, -np.pi), min(joint.upper, np.pi)) for joint in moving}


def inertials() -> Iterator[tuple[str, float, np.ndarray, np.ndarray]]:
    """Name, mass, centre of mass and inertia about it, in the link's own frame, of each link with a mass."""
    for link in URDF.iter("link"):
        inertial = link.find("inertial")
        if inertial is None:
            continue
        turn = PyKDL.Rotation.RPY(*vector(inertial.find("origin").get("rpy")))
        rotation = np.array([[turn[row, column] for column in range(3)] for row in range(3)])
        i = {key: float(value) for key, value in inertial.find("inertia").attrib.items()}
        six = [i[key] for key in ("ixx", "ixy", "ixz", "ixy", "iyy", "iyz", "ixz", "iyz", "izz")]
        given = np.reshape(six, (3, 3))
        yield (link.get("name").removeprefix("rx200/"), float(inertial.find("mass").get("value")),
               vector(inertial.find("origin").get("xyz")), rotation @ given @ rotation.T)


def test_zero_joints_put_the_end_effector_where_the_figures_say() -> None:
    assert Kinematics("rx200").position(np.zeros(5))[0] == pytest.approx([0.408575, 0, 0.30457], abs=1e-12)


def test_sleep_puts_the_end_effector_at_81_mm() -> None:
    assert Kinematics("rx200").position(MODEL.poses["sleep"])[0, 2] == pytest.approx(0.081, abs=5e-4)


@pytest.mark.parametrize("frame", list(MODEL.links))
def test_kinematics_agree_with_kdl_on_the_urdf(frame: str) -> None:
    chain, names = kdl_chain(frame)
    solver = PyKDL.ChainFkSolverPos_recursive(chain)
    for seed in range(5):
        joints = random_joints(seed)
        q, result = PyKDL.JntArray(len(names)), PyKDL.Frame()
        for number, name in enumerate(names):
            q[number] = joints[name]
        solver.JntToCart(q, result)
        expected = np.array([[result[row, column] for column in range(4)] for row in range(3)])
        assert Kinematics("rx200").fk(joints, frame)[0, :3] == pytest.approx(expected, abs=1e-9)


def test_mujoco_agrees_with_the_kinematics_on_poses() -> None:
    physics = mujoco.MjModel.from_xml_string(mjcf(MODEL))
    world = mujoco.MjData(physics)
    kinematics = Kinematics("rx200")
    for seed in range(20):
        joints = random_joints(seed)
        for number in range(physics.njnt):
            world.qpos[number] = joints[physics.joint(number).name]
        mujoco.mj_forward(physics, world)
        for number in range(1, physics.nbody):
            name = physics.body(number).name
            assert kinematics.position(joints, name)[0] == pytest.approx(world.xpos[number], abs=1e-12), name
        assert kinematics.position(joints)[0] == pytest.approx(world.site("ee_gripper_link").xpos, abs=1e-12)


def test_mujoco_agrees_with_the_urdf_on_masses_centres_and_inertias() -> None:
    physics = mujoco.MjModel.from_xml_string(mjcf(MODEL))
    bodies = {physics.body(number).name for number in range(physics.nbody)}
    assert bodies == {name for name, link in MODEL.links.items() if link.mass} | {"world"}
    for name, mass, centre, inertia in inertials():
        body = physics.body(name)
        turn = np.zeros(9)
        mujoco.mju_quat2Mat(turn, body.iquat)
        turn = turn.reshape(3, 3)
        assert body.mass[0] == pytest.approx(mass, rel=1e-9), name
        assert body.ipos == pytest.approx(centre, abs=1e-9), name
        assert turn @ np.diag(body.inertia) @ turn.T == pytest.approx(inertia, abs=1e-9), name


def test_the_given_inertias_stand_in_a_frame_turned_by_a_quarter() -> None:
    """The forearm is long along x, so it is hard to turn about y and z: about x only once the turn is undone."""
    own = MODEL.links["forearm_link"].inertia_matrix(MODEL.inertia_yaw)
    assert own[0, 0] == pytest.approx(6.421e-5) and own[1, 1] == pytest.approx(0.001055)


def test_urdf_names_limits_and_mimic() -> None:
    assert all(link.get("name").startswith("rx200/") for link in URDF.iter("link"))
    joints = {joint.get("name"): joint for joint in URDF.iter("joint")}
    limit = joints["shoulder"].find("limit")
    assert np.degrees(float(limit.get("lower"))) == pytest.approx(-108) and float(limit.get("velocity")) == 1.0
    assert joints["right_finger"].find("mimic").attrib == {"joint": "left_finger", "multiplier": "-1"}
    assert joints["gripper"].get("type") == "continuous" and joints["gripper"].find("limit").get("lower") is None
    assert joints["waist"].find("dynamics").get("friction") == "0.1"


def test_generation_is_deterministic_and_the_node_prints_it() -> None:
    printed = subprocess.run([sys.executable, str(NODE), "rx200"], capture_output=True, text=True, check=True).stdout
    assert printed == urdf(MODEL) and mjcf(MODEL) == mjcf(load_model("rx200"))


def test_the_gripper_linkage_and_its_inverse() -> None:
    opening = np.linspace(0.015, 0.037, 23)
    assert MODEL.linkage_opening(MODEL.linkage_angle(opening)) == pytest.approx(opening, abs=1e-12)
    assert MODEL.linkage_opening(np.array([0.0])) == pytest.approx([np.sqrt(0.024**2 - 0.014**2)])


def test_an_unknown_robot_or_frame_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"unknown robot 'rx201'; config/robots has rx200"):
        load_model("rx201")
    with pytest.raises(ValueError, match="no frame 'elbow_link'"):
        MODEL.chain("elbow_link")
