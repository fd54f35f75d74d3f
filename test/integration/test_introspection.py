"""What people see of two masters: one table, diagnostics, one arm beside the other."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from live import serve, wait_until
from policies import drawn
from sensor_msgs.msg import JointState

import uniros_learner as uniros
from uniros_bringup.eavesdrop import Eavesdropper
from uniros_bringup.graph import Graph
from uniros_bringup.watch import Part, Watch
from uniros_bringup.xmlrpc import call
from uniros_msgs.errors import EnvironmentFailed, InvalidAction

NODES = Path(__file__).parents[2] / "uniros_bringup" / "nodes"
URDF = """<robot name="arm"><link name="rx200/base_link"/><link name="rx200/base_footprint"/>
<joint name="foot" type="fixed"><parent link="rx200/base_footprint"/><child link="rx200/base_link"/></joint></robot>"""


@pytest.fixture(scope="module")
def masters() -> Iterator[tuple[Graph, Graph]]:
    """One with a simulated arm, and one with an arm that passes for real."""
    with Graph() as first, Graph() as second:
        call(second.master.uri, "setParam", "/rx200/env_server/domain", "real")
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda graph: serve(graph, "RX200ReachSim-v0", "/rx200"), (first, second)))
        yield first, second


def names(graph: Graph) -> set[str]:
    """Of all nodes that the master knows."""
    return {node for kind in call(graph.master.uri, "getSystemState") for _name, nodes in kind for node in nodes}


def status(*masters: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, NODES / "status", *masters], capture_output=True, text=True, timeout=20,
                          check=False)


def heard(watch: Watch, node: str, name: str) -> Part | None:
    return next((part for part in watch.look().parts if (part.node, part.name) == (node, name)), None)


def test_one_table_over_both_masters_that_leaves_no_trace(masters: tuple[Graph, Graph]) -> None:
    first, second = masters
    before = names(first), names(second)
    with uniros.connect(second.master.uri, "/rx200") as env:
        env.reset(seed=1)
        shown = status(first.master.uri, second.master.uri)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    rows = [line.split() for line in shown.stdout.splitlines()]
    holder = Path(sys.argv[0]).name
    assert ["RX200ReachSim-v0", "sim", "free", "0", "0", "0"] in rows
    assert ["RX200ReachSim-v0", "real", holder, f"({os.getpid()})", "0", "1", "0"] in rows
    assert (names(first), names(second)) == before, "neither the table nor the learner is on the graph any more"


def test_a_master_that_does_not_answer_is_told(masters: tuple[Graph, Graph]) -> None:
    shown = status(masters[0].master.uri, "http://127.0.0.1:9")
    assert shown.returncode == 1
    assert "http://127.0.0.1:9  no ROS master answers" in shown.stdout and "RX200ReachSim-v0" in shown.stdout


def test_diagnostics_tell_what_was_refused(masters: tuple[Graph, Graph]) -> None:
    uri, node = masters[1].master.uri, "/rx200/env_server"
    with closing(Watch(uri)) as watch, uniros.connect(uri, "/rx200") as env:
        env.reset(seed=2)
        with pytest.raises(InvalidAction):
            env.step(np.full(5, math.nan, np.float32))
        wait_until(lambda: (part := heard(watch, node, "environment")) and part.level == 1, 5.0)
        found, loop = heard(watch, node, "environment"), heard(watch, node, "loop")
        assert found and found.text.startswith("InvalidAction: action: expected")
        assert found.values["failed: InvalidAction"] == "1" and int(found.values["episode"]) > 0
        assert loop and loop.level == 0 and loop.values["overruns"] == "0"
        policy = drawn(env.observation_space, env.action_space).pack()
        with pytest.raises(EnvironmentFailed), env.rollout(policy, options={"goal": [9.0, 9.0, 9.0]}) as rollout:
            rollout.wait()
        wait_until(lambda: (part := heard(watch, node, "environment")) and
                   part.values.get("failed: EnvironmentFailed") == "1", 5.0)


def test_the_other_arm_is_shown_beside_this_one_and_nothing_registered_there(masters: tuple[Graph, Graph]) -> None:
    here, there = masters
    before = names(there)
    call(here.master.uri, "setParam", "/real/rx200/robot_description", URDF)
    command = [sys.executable, NODES / "mirror", "__ns:=/real/rx200", f"_master:={there.master.uri}"]
    shown: list[JointState] = []
    ears = Eavesdropper(here.master.uri, "/real/rx200/joint_states", JointState, lambda _, state: shown.append(state))
    mirror = here.node(command, "mirror")
    with closing(ears), uniros.connect(there.master.uri, "/rx200") as env:
        env.reset(seed=3)
        wait_until(lambda: ears.look(["/real/rx200/mirror"]) or shown or not mirror.alive, 10.0)
        for _ in range(5):
            env.step(np.array([1, 0, 0, 0, 0], np.float32))
        wait_until(lambda: shown[-1].position[0] > 0.1, 5.0)
    assert shown[-1].name[0] == "waist"
    assert names(there) == before, "on the other master nobody knows"
    mirror.stop()
