"""The arm behind the emulated servos: how it moves, what its encoders miss, and what the truth says."""

from __future__ import annotations

import math

import mujoco
import numpy as np
import pytest
from dynamixel import ALL, Host

from uniros_env_server.emulation.arm import EmulatedArm
from uniros_env_server.emulation.distances import Distances
from uniros_env_server.emulation.faults import FAULTS, FaultRefused
from uniros_env_server.emulation.robot import EmulatedRobot
from uniros_env_server.emulation.trajectory import Trajectory
from uniros_env_server.robots.model import load_model
from uniros_env_server.robots.mujoco import MujocoRobot

TICK = 2 * math.pi / 4096
MODEL = load_model("rx200")
HOME = np.array([[*MODEL.poses["home"], MODEL.opening]])


def switched_on(**changes: object) -> Host:
    host = Host(EmulatedArm(**{"start": "home", **changes}))
    host.switch_on()
    host.arm.advance(1.0)
    return host


def test_without_torque_the_arm_falls_and_lies_on_the_table() -> None:
    arm = EmulatedArm(start="home")
    arm.advance(3.0)
    truth = arm.truth()
    assert truth.table == pytest.approx(0.0, abs=0.003)
    assert max(abs(speed) for speed in truth.velocity.values()) < 0.05


def test_torque_on_holds_the_arm_where_it_is() -> None:
    """X servos take the present position as their goal; with `goal_follows` off, the old goal counts."""
    host = Host(EmulatedArm(start="home"))
    assert host.write(1, "goal_position", 2500) == 0
    host.switch_on()
    host.arm.advance(1.0)
    assert abs(host.read(1, "present_position") - 2048) <= 1
    stubborn = Host(EmulatedArm(start="home", servo={"dead_time": 0.004, "velocity_filter": 0.012, "boot_time": 0.25,
                                                     "goal_follows": False}))
    assert stubborn.write(1, "goal_position", 2500) == 0
    stubborn.switch_on()
    stubborn.arm.advance(1.0)
    assert abs(stubborn.read(1, "present_position") - 2500) <= 20


def test_the_loaded_shoulder_sags_and_both_its_servos_agree() -> None:
    host = switched_on()
    found = host.sync_read("present_position")
    assert found[2] == found[3]
    assert 5 * TICK < host.arm.truth().position["shoulder"] < 0.06
    assert host.read(2, "present_current") < -50 and host.read(3, "present_current") < -50


def test_a_profile_keeps_its_speed_and_acceleration() -> None:
    host = switched_on()
    host.write(1, "profile_velocity", 40)  # 0.96 rad/s
    host.write(1, "profile_acceleration", 10)  # 3.75 rad/s2
    host.arm.reset_truth()
    host.write(1, "goal_position", 2048 + 652)
    assert host.read(1, "moving") == 1
    host.arm.advance(0.1)
    assert abs(host.arm.truth().velocity["waist"]) < 0.5
    host.arm.advance(0.5)
    assert host.read(1, "velocity_trajectory") == 40
    assert host.read(1, "present_velocity") == pytest.approx(40, abs=4)
    host.arm.advance(1.5)
    assert host.arm.truth().fastest["waist"] == pytest.approx(0.96, rel=0.2)
    assert (host.read(1, "moving"), host.read(1, "moving_status") & 3) == (0, 1)  # at rest, arrived
    assert abs(host.read(1, "present_position") - 2700) <= 5


def test_a_time_based_profile_takes_its_time() -> None:
    trajectory = Trajectory(0.0)
    trajectory.aim_in(1000.0, 1.0, 0.3)
    steps = [trajectory.step(0.004) for _ in range(250)]
    assert max(np.diff(steps)) / 0.004 == pytest.approx(1000 / 0.7, rel=0.01)
    assert steps[235] < 1000.0 == steps[-1]


@pytest.mark.parametrize("mode", ["velocity", "pwm"])
def test_other_operating_modes_do_what_they_say(mode: str) -> None:
    host = switched_on()
    host.write(1, "torque_enable", 0)
    assert host.write(1, "operating_mode", {"velocity": 1, "pwm": 16}[mode]) == 0
    host.write(1, "torque_enable", 1)
    assert host.write(1, f"goal_{mode}", {"velocity": 30, "pwm": 200}[mode]) == 0
    host.arm.advance(1.0)
    speed = host.arm.truth().velocity["waist"]
    expected = {"velocity": (0.6, 30 * 0.02398), "pwm": (0.3, 200 / 885 * 6.39)}  # rad/s; friction takes some
    assert expected[mode][0] < speed < expected[mode][1]


def test_the_gripper_moves_both_fingers_by_its_linkage() -> None:
    host = switched_on()
    for opening in (0.018, 0.035):
        angle = float(MODEL.linkage_angle(np.array(opening)))
        assert host.write(7, "goal_position", round(angle / TICK) + 2048) == 0
        host.arm.advance(1.0)
        found = float(MODEL.linkage_opening((np.array(host.read(7, "present_position")) - 2048) * TICK))
        truth = host.arm.truth().position
        assert truth["left_finger"] == pytest.approx(found, abs=1e-4)
        assert truth["right_finger"] == pytest.approx(-found, abs=1e-4)
        assert found == pytest.approx(opening, abs=1e-3)


def test_encoders_count_steps_and_do_not_see_the_play() -> None:
    host = switched_on()
    read = (host.read(5, "present_position") - 2048) * TICK
    difference = abs(host.arm.truth().position["wrist_angle"] - read)
    assert TICK < difference < 0.005 / 2 + TICK


def test_a_seed_makes_an_arm_and_another_seed_another() -> None:
    def droop(**changes: int) -> float:
        return switched_on(**changes).arm.truth().position["elbow"]

    assert droop() == droop()
    assert abs(droop() - droop(seed=7)) > 1e-4


def test_there_is_a_gap_to_the_simulator() -> None:
    """The same command on both: the plant lags, sags and rattles where the simulator does not."""
    target = np.array([[0.5, 0.3, -0.3, 0.4, 0.5, 0.03]])
    paths = []
    for robot in (EmulatedRobot(MODEL), MujocoRobot(MODEL)):
        robot.reset(HOME)
        robot.command(target, 0.5)
        robot.advance(0.3)
        paths.append(robot.state().positions(MODEL.arm)[0])
    assert 0.005 < np.abs(paths[0] - paths[1]).max() < 0.1


def test_the_emulated_robot_arrives_and_reports_like_any_robot() -> None:
    robot = EmulatedRobot(MODEL)
    target = np.array([[0.5, 0.3, -0.3, 0.4, 0.5, 0.02]])
    robot.command(target, 1.0)
    robot.advance(0.5)
    halfway = robot.state()
    assert halfway.setpoint[0] == pytest.approx((target + HOME)[0] / 2, abs=1e-9)
    robot.advance(3.5)
    state = robot.state()
    assert state.names == MODEL.published and not state.position.flags.writeable
    assert state.positions(MODEL.commanded)[0] == pytest.approx(target[0], abs=0.006)
    assert robot.arm.truth().position["left_finger"] == pytest.approx(0.02, abs=0.001)
    robot.command(HOME, 1.0)
    robot.hold()
    robot.advance(0.1)
    assert robot.state().setpoint[0] == pytest.approx(target[0])


def test_the_truth_keeps_extremes_until_it_is_reset() -> None:
    arm = EmulatedArm(start="home")
    arm.advance(2.0)
    fallen = arm.truth()
    assert fallen.table_least <= fallen.table < 0.005 and fallen.fastest["shoulder"] > 1.0
    assert fallen.table_link in MODEL.links
    arm.put(MODEL.poses["home"])
    arm.reset_truth()
    fresh = arm.truth()
    assert fresh.table_least == pytest.approx(fresh.table) and fresh.table > 0.05
    assert max(fresh.fastest.values()) == 0.0
    assert fresh.lowest == fresh.highest == fresh.position


def test_the_truth_measures_what_the_gate_measures() -> None:
    """Clearances of the plant's geometry agree with the safety gate's collision model, which never says more."""
    from uniros_env_server.safety.collision import CollisionModel

    collision = CollisionModel(MODEL)
    arm = EmulatedArm()
    for pose in ([0.3, 0.5, 0.2, 0.6, 1.0], [0.0, -1.85, 1.55, 0.8, 0.0], [1.0, 0.9, -0.4, 1.0, -2.0]):
        arm.put(np.array(pose), 0.037)
        arm.reset_truth()
        poses = collision.poses(np.array([pose]))
        assert collision.height(poses)[0] == pytest.approx(arm.truth().table, abs=0.004)
        assert collision.gap(poses)[0] <= arm.truth().links + 1e-6


def test_distances_between_links_are_those_of_their_surfaces() -> None:
    """Against the nearest of many points on both surfaces, which are never nearer and hardly farther apart."""
    chance = np.random.default_rng(3)
    arm = EmulatedArm()
    physics, world = arm.plant.physics, arm.plant.world
    geoms = {physics.geom(number).name: number for number in range(physics.ngeom)}
    names = [("base_link_0", "left_finger_link_0"), ("base_link_0", "wrist_link_0"),
             ("upper_arm_link_0", "gripper_link_0")]
    pairs = [(geoms[one], geoms[other]) for one, other in names]
    distances = Distances(physics, pairs)
    low, high = MODEL.limits(MODEL.arm)
    for _ in range(10):
        arm.plant.put(chance.uniform(low, high), 0.03)
        measured = distances.measure(world)
        for pair, distance in zip(pairs, measured, strict=True):
            one, other = (surface(physics, world, geom, chance) for geom in pair)
            sampled = float(np.sqrt(((one[:, None] - other) ** 2).sum(axis=2).min()))
            assert distance < 0.005 or 0.0 <= sampled - distance < 0.015


def surface(physics: mujoco.MjModel, world: mujoco.MjData, geom: int, chance: np.random.Generator) -> np.ndarray:
    """(1500, 3) points (m) on a box or a capsule, where it is now."""
    size, points = physics.geom_size[geom], chance.normal(size=(1500, 3))
    if physics.geom_type[geom] == mujoco.mjtGeom.mjGEOM_BOX:
        local = points / np.abs(points).max(axis=1, keepdims=True)
        face = np.abs(local) == 1.0
        local = np.where(face, np.sign(local), chance.uniform(-1, 1, local.shape)) * size
    else:
        middle = chance.uniform(-size[1], size[1], 1500)
        ball = points / np.linalg.norm(points, axis=1, keepdims=True)
        around = points * [1, 1, 0] / np.linalg.norm(points[:, :2], axis=1, keepdims=True)
        end = np.sign(ball[:, 2]) * size[1]
        at_end = chance.random(1500) < 0.5
        local = size[0] * np.where(at_end[:, None], ball, around)
        local[:, 2] += np.where(at_end, end, middle)
    return local @ world.geom_xmat[geom].reshape(3, 3).T + world.geom_xpos[geom]


# --- faults -----------------------------------------------------------------------------------------------------------


def test_faults_that_make_no_sense_are_refused_with_advice() -> None:
    arm = EmulatedArm()
    for arguments, words in [(("melt",), "overheat"), (("overheat", 9), "1, 2, 3"), (("lose", 0, "", 1.5), "0 to 1"),
                             (("block", 0, "knee"), "elbow"), (("voltage", 0, "", 230.0), "20 V")]:
        with pytest.raises(FaultRefused, match=words):
            arm.fault(*arguments)
    with pytest.raises(FaultRefused, match=", ".join(FAULTS)):
        arm.fault("")


def test_packets_get_lost_and_corrupted_as_often_as_asked() -> None:
    host = Host(EmulatedArm())
    host.arm.fault("lose", value=0.2)
    assert sum(len(host.ask(1, 1)) for _ in range(500)) == pytest.approx(500 * 0.64, abs=45)
    host.arm.fault("clear")
    host.arm.fault("corrupt", value=0.2)
    answers = [answer for _ in range(500) for answer in host.ask(1, 1)]
    good = sum(answer.intact and answer.parameters[0] == 0 for answer in answers)
    assert good == pytest.approx(500 * 0.64, abs=45)
    assert any(answer.intact and answer.parameters[0] == 3 for answer in answers)  # the servo got a spoilt packet
    host.arm.fault("clear")
    assert all(len(host.ask(1, 1)) == 1 for _ in range(50))


def test_a_silent_servo_holds_and_its_watchdog_stops_it() -> None:
    host = switched_on()
    host.write(4, "bus_watchdog", 5)
    host.arm.fault("silence", servo=4)
    for _ in range(20):
        host.arm.advance(0.02)
        host.sync_write("goal_position", {4: 2500})
    assert host.ask(4, 1) == [] and len(host.ask(5, 1)) == 1
    host.arm.fault("clear")
    assert (host.read(4, "bus_watchdog"), host.read(4, "torque_enable")) == (-1, 1)
    assert abs(host.read(4, "present_position") - 2048) < 80  # where it was, sagging, and 0.1 s of nothing heard


def test_a_cut_cable_is_silence_everywhere() -> None:
    host = switched_on()
    host.arm.fault("cut")
    assert host.ask(0xFE, 1) == []
    host.arm.fault("clear")
    assert len(host.ask(0xFE, 1)) == len(ALL)


def test_an_overload_on_request_drops_the_joint() -> None:
    host = switched_on()
    before = host.arm.truth().position["elbow"]
    host.arm.fault("overload", servo=4)
    host.arm.advance(0.5)
    assert (host.read(4, "hardware_error_status"), host.read(4, "torque_enable")) == (32, 0)
    assert host.arm.truth().position["elbow"] > before + 0.2


def test_a_blocked_link_does_not_move_and_is_free_again() -> None:
    host = switched_on()
    host.arm.fault("block", joint="elbow")
    host.arm.reset_truth()
    host.write(4, "goal_position", 2048 - 200)
    host.arm.advance(0.5)
    truth = host.arm.truth()
    assert truth.highest["elbow"] - truth.lowest["elbow"] < 0.01
    host.arm.fault("clear")
    host.arm.advance(0.5)
    assert host.read(4, "present_position") < 2048 - 100
