"""A driver on another host: master address and local address, in `make`, `connect` and the launch files alike."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest
from live import wait_until
from two_hosts import SecondHost, why_not

import uniros_learner as uniros
from uniros_bringup.process import free_port, spawn
from uniros_bringup.xmlrpc import CallFailed, call
from uniros_msgs.errors import MotionNotAllowed, RobotFault

ENV_ID = "RX200ReachReal-v0"

pytestmark = pytest.mark.real_time


@pytest.fixture(scope="module")
def host() -> Iterator[SecondHost]:
    if reason := why_not():
        pytest.skip(reason)
    with SecondHost() as host:
        yield host


@pytest.fixture(scope="module")
def master(host: SecondHost) -> Iterator[str]:
    """The driver and its master over there."""
    port = free_port(host.here)
    words = ["rosrun", "uniros", "bringup", "driver", "driver:=emulated", "--port", str(port), "--address", host.there]
    robot = spawn(host.command(*words), name="the other host")
    uri = f"http://{host.there}:{port}"
    try:
        wait_until(lambda: offers(uri, "/rx200/driver/torque"), 20.0)
        yield uri
    finally:
        robot.stop(sigint_first=True, timeout=10.0)


def offers(uri: str, service: str) -> bool:
    try:
        return bool(call(uri, "lookupService", service))
    except CallFailed:
        return False


def test_an_env_server_here_moves_the_arm_there(host: SecondHost, master: str) -> None:
    with pytest.raises(MotionNotAllowed, match="a ROS master elsewhere"):
        uniros.make(ENV_ID, master_uri=master)
    with uniros.make(ENV_ID, master_uri=master, local_address=host.here, allow_motion=True) as env:
        env.reset(seed=1)
        infos = [env.step(np.array([0.4, 0, 0, 0, 0], np.float32))[4] for _ in range(10)]
        assert all(not info["refusal"] and 0.0 < info["observation_age"] < 0.1 for info in infos)
        assert 0.0 < env.timing_report()["clock_bound_ms"] < 20.0, "estimated, bounded, and said"
        host.plug(False)
        unplugged = time.monotonic()
        with pytest.raises(RobotFault, match="no sound joint_states"):
            while time.monotonic() < unplugged + 2.0:
                env.step(np.zeros(5, np.float32))
        assert time.monotonic() - unplugged < 0.8
        host.plug(True)
        with pytest.raises(RobotFault):
            env.reset()
        wait_until(lambda: acknowledged(env), 10.0)
        env.reset()
        assert env.step(np.zeros(5, np.float32))[4]["refusal"] == ""


def acknowledged(env: uniros.GymProxy) -> bool:
    try:
        env.clear_estop()
    except uniros.errors.UnirosError:
        time.sleep(0.1)
        return False
    return True


def test_launch_files_and_connect_take_the_same_addresses(host: SecondHost, master: str) -> None:
    words = ["rosrun", "uniros", "bringup", "real", "driver:=none", "record:=false", "allow_motion:=true",
             "--join", master, "--address", host.here]
    server = spawn(words, name="real.launch here")
    try:
        wait_until(lambda: offers(master, "/rx200/env/describe"), 20.0)
        assert host.here in call(master, "lookupNode", "/rx200/env_server")
        with uniros.connect(master, local_address=host.here) as env:
            env.reset(seed=2)
            assert env.step(np.zeros(5, np.float32))[4]["observation_age"] < 0.1
    finally:
        server.stop(sigint_first=True, timeout=10.0)
