"""The real arm's environment in order: consent, the way to the start, what a learner sees, a policy from simulation."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from adversary import ANYWHERE, harm, torment
from driver_rig import NS, Operator, Rig, pause
from live import serve, wait_until
from real_rig import CYCLE, RealRig

import uniros_learner as uniros
from uniros_bringup.command import find_launch_file
from uniros_bringup.graph import Graph
from uniros_bringup.supervisor import Launch
from uniros_bringup.xmlrpc import CallFailed, call
from uniros_env_server.robots.kinematics import Kinematics
from uniros_env_server.robots.model import load_model
from uniros_env_server.safety.gate import SafetyLimits
from uniros_env_server.testing import EnvContract
from uniros_msgs.errors import Cancelled, InvalidAction, MotionNotAllowed, StartFailed

SLEEP = {"shoulder": -1.85, "elbow": 1.55, "wrist_angle": 0.80}  # rad
TOLERANCE = 0.02  # m, of the task
HOSTILE = 100  # actions
PLAY = 0.01  # m that the gears' play and the encoders let the end effector differ from what is measured

pytestmark = pytest.mark.real_time


@pytest.fixture(scope="module")
def rig() -> Iterator[RealRig]:
    with RealRig() as rig:
        yield rig


def test_a_reset_brings_a_limp_arm_from_sleep_home_calmly_and_says_how_far_it_is(rig: RealRig) -> None:
    assert rig.operator.state() == "limp"
    assert all(abs(rig.truth()["position"][name] - angle) < 0.06 for name, angle in SLEEP.items())
    begun = time.time()
    rig.forget()
    observation, info = rig.env.reset(seed=3)
    assert rig.operator.state() in ("holding", "following")
    assert np.abs(rig.joints() - [0, -0.83, 0.59, 0.95, 0]).max() < 0.06
    truth = rig.truth()
    assert rig.fastest() < 1.2 and truth["table_least"] > 0.02, "sleep itself lies lower than the margin"
    assert info["is_success"] is False and 0.0 < info["observation_age"] < 0.1
    told = [(share, phase) for _, share, phase in rig.operator.feedback(begun)]
    shares = [share for share, phase in told if phase == "on the way"]
    assert len(shares) > 5 and shares == sorted(shares) and shares[-1] == pytest.approx(1.0)
    assert "planning the way" in [phase for _, phase in told]
    assert np.allclose(observation[:3], Kinematics("rx200").position(rig.joints()[None])[0], atol=PLAY)


def test_what_was_executed_is_what_the_learner_sees(rig: RealRig) -> None:
    rig.env.reset(seed=4)
    action = np.array([0.5, 0.2, -0.3, 0.1, 0.4], np.float32)
    before = rig.joints()
    for _ in range(8):
        info = rig.env.step(action)[4]
        assert info["refusal"] == "" and np.allclose(info["executed_action"], action, atol=0.01)
        assert info["overruns"] >= 0 and info["command_delay"] > 0.0
    rig.env.step(np.zeros(5, np.float32))
    assert np.allclose(rig.joints() - before, 8 * CYCLE * action, atol=0.03), "radians, really travelled"
    towards_table = [rig.env.step(np.array([0, 1, 1, 0, 0], np.float32))[4] for _ in range(25)]
    refused = [info for info in towards_table if info["refusal"]]
    assert refused and all(np.abs(info["executed_action"]).max() < 0.05 for info in refused[1:])
    assert rig.truth()["table_least"] > 0.02


def test_a_malformed_action_moves_nothing(rig: RealRig) -> None:
    rig.env.reset(seed=5)
    rig.env.step(np.zeros(5, np.float32))
    before = rig.joints()
    for action in (np.full(5, np.nan), np.full(5, 2.0), np.zeros(4)):
        with pytest.raises(InvalidAction):
            rig.env.step(action)
    pause(0.2)
    assert np.abs(rig.joints() - before).max() < 0.005
    assert rig.env.step(np.zeros(5, np.float32))[4]["refusal"] == ""


def test_a_late_learner_means_hold_and_is_counted(rig: RealRig) -> None:
    rig.env.reset(seed=6)
    rig.env.step(np.array([0.5, 0, 0, 0, 0], np.float32))
    pause(0.15)
    before = rig.joints()
    pause(0.3)
    assert np.abs(rig.joints() - before).max() < 0.01
    assert rig.env.step(np.zeros(5, np.float32))[4]["overruns"] >= 4


def test_a_cancelled_reset_holds_the_arm_where_it_is(rig: RealRig) -> None:
    rig.env.reset(seed=7)
    for _ in range(12):
        rig.env.step(np.array([1, 0, 0, 0, 0], np.float32))
    begun = time.time()

    def cancel() -> None:
        wait_until(lambda: any(share > 0.2 and phase == "on the way"
                               for _, share, phase in rig.operator.feedback(begun)), 10.0)
        rig.operator.cancel_reset()

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(Cancelled, match="the arm holds where it is"):
        rig.env.reset(seed=8)
    thread.join()
    wait_until(lambda: rig.speed() < 0.05, 0.5)
    assert rig.joints()[0] > 0.2, "on the way only"
    rig.env.reset(seed=8)
    assert abs(rig.joints()[0]) < 0.05


def test_hostile_actions_through_driver_and_bus_do_no_harm() -> None:
    """Margins, limits and speeds as the plant measures them. 2,000 of them in `make evidence`."""
    limits = SafetyLimits.load("rx200", "real")
    with RealRig(start="ready", action_scale=limits.action_scale, **ANYWHERE) as rig:
        rig.env.reset(seed=0)
        rig.forget()
        said = torment(rig.env, seed=7, count=HOSTILE)
        assert not harm(rig.truth(), load_model("rx200"), limits)
    assert said["malformed"] > 5 and said["self_collision"] + said["table"] > 5 and said[""] > 5


class TestContract(EnvContract):
    """As every other environment, and as a goal environment."""

    steps = 4

    @classmethod
    def make_env(cls) -> gymnasium.Env:
        return uniros.make("RX200ReachGoalReal-v0")


# --- consent, and who is there


def test_a_port_or_a_master_elsewhere_takes_consent() -> None:
    for place in ({"port": "/dev/ttyDXL"}, {"master_uri": "http://127.0.0.1:1"}):
        for consent in ({}, {"allow_motion": False}, {"allow_motion": 1}):
            with pytest.raises(MotionNotAllowed, match="allow_motion=True"):
                uniros.make("RX200ReachReal-v0", **place, **consent)
    with pytest.raises(StartFailed, match="rx200_driver ended"):
        uniros.make("RX200ReachReal-v0", port="/dev/no_such_port", allow_motion=True)
    with pytest.raises(MotionNotAllowed, match="allow_motion=True"):
        gymnasium.make("uniros/RX200ReacherGoalReal-v0", port="/dev/ttyDXL")


def test_an_arm_that_is_not_known_to_be_emulated_takes_consent() -> None:
    """The driver is given the device as any other one: nothing tells that it is not a real arm's."""
    with Graph() as graph:
        emulator = [*["rosrun", "uniros", "rx200_emulator", "__name:=elsewhere"], f"__ns:={NS}"]
        graph.node(emulator, "emulator")
        operator = Operator(graph, "real_operator")
        wait_until(lambda: parameter(graph, "elsewhere/port"), 10.0)
        port = parameter(graph, "elsewhere/port")
        graph.node([*["rosrun", "uniros", "rx200_driver"], f"__ns:={NS}", f"_port:={port}"], "rx200_driver")
        serve(graph, "RX200ReachReal-v0", NS)
        with uniros.connect(graph.master.uri, NS) as env:
            with pytest.raises(MotionNotAllowed, match="allow_motion"):
                env.reset()
            assert operator.state() == "limp"


def test_nobody_there_is_said_with_what_was_expected() -> None:
    missing = "sensor_msgs/JointState on /rx200/joint_states was expected"
    with Graph() as graph, pytest.raises(StartFailed, match=missing):
        serve(graph, "RX200ReachReal-v0", NS, patience=1.0)
    with Rig() as rig, pytest.raises(StartFailed, match="JointTrajectory on /rx200/arm/command was expected"):
        serve(rig.graph, "RX200ReachReal-v0", NS, patience=1.0, arm_command="arm/command")


def test_a_driver_with_other_topic_names_that_says_nothing_of_itself() -> None:
    """As Interbotix' own: no driver/state, no services in the namespace, torque on from the start."""
    renamed = ("joint_states", "arm_controller/command", "gripper_controller/command", "driver/state", "driver/torque")
    with Graph() as graph:
        graph.node(["rosrun", "uniros", "rx200_emulator", f"__ns:={NS}", "__name:=emulator"], "emulator")
        call(graph.master.uri, "setParam", f"{NS}/rx200_driver/port_from", "emulator/port")
        call(graph.master.uri, "setParam", f"{NS}/rx200_driver/torque_on_start", True)
        graph.node(["rosrun", "uniros", "rx200_driver", f"__ns:={NS}", "__name:=rx200_driver",
                    *(f"{name}:={NS}/xs/{name}" for name in renamed)], "rx200_driver")
        serve(graph, "RX200ReachReal-v0", NS, joint_states="xs/joint_states", arm_command="xs/arm_controller/command",
              gripper_command="")
        with uniros.connect(graph.master.uri, NS) as env:
            observation, _ = env.reset(seed=1)
            for _ in range(5):
                observation, _, _, _, info = env.step(np.array([0.5, 0, 0, 0, 0], np.float32))
                assert info["refusal"] == ""
            assert observation[7] == pytest.approx(0.25, abs=0.06), "rad, the waist"


# --- from simulation to the arm


def test_a_policy_trained_in_simulation_reaches_on_the_emulated_arm(tmp_path: Path) -> None:
    """10 goals through real.launch. 100 in `make evidence`."""
    run = tmp_path / "run"
    subprocess.run(["rosrun", "uniros", "train", "td3_reach", "--seed", "1", "--run-dir", str(run)], check=True,
                   stdout=subprocess.DEVNULL)
    with Graph() as graph:
        launch = Launch(find_launch_file("real"), ["record:=false"], graph.master)
        try:
            command = ["rosrun", "uniros", "evaluate", str(run), "--master", graph.master.uri, "--episodes", "10"]
            said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        finally:
            launch.close()
    found = re.search(r"success\s+(\d+)% of 10 fresh goals", said)
    assert found and int(found[1]) >= 90, said


def parameter(graph: Graph, name: str) -> str:
    """A parameter in the robot's namespace; empty while it is not set."""
    try:
        return str(call(graph.master.uri, "getParam", f"{NS}/{name}"))
    except CallFailed:
        return ""
