"""driver.launch on an emulated arm, driven by the example, which is stock rospy; both as a user starts them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from live import wait_until

from uniros_bringup.graph import Graph
from uniros_bringup.xmlrpc import CallFailed, call

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.real_time


def offered(graph: Graph, service: str) -> bool:
    try:
        return bool(call(graph.master.uri, "lookupService", service))
    except CallFailed:
        return False


def test_the_example_drives_the_launched_arm(graph: Graph) -> None:
    launch = graph.node(["rosrun", "uniros", "bringup", "driver", "driver:=emulated", "--join", graph.master.uri],
                        "driver_launch", lambda: offered(graph, "/rx200/driver/torque"), timeout=30.0)
    result = subprocess.run([sys.executable, ROOT / "examples/drive_rx200.py"], capture_output=True, text=True,
                            timeout=60, check=False, env={**os.environ, **graph.master.env()})
    assert result.returncode == 0, result.stdout + result.stderr + launch.tail()
    said = result.stdout
    assert "/rx200/driver/torque: holding" in said and "/rx200/driver/sleep: at sleep" in said
    assert float(re.search(r"furthest from the goal \(rad\): (\S+)", said)[1]) < 0.03  # type: ignore[index]
    left, right = map(float, re.search(r"fingers \(m\): (\S+) (\S+)", said).groups())  # type: ignore[union-attr]
    assert abs(left - 0.020) < 0.002 and abs(left + right) < 1e-3
    assert said.rstrip().endswith("lowered, torque is off")
    launch.send_signal(signal.SIGINT)
    wait_until(lambda: not launch.alive, 20.0)
