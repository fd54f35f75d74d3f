"""The emulated bus as a ROS node: its port, faults and truth by service, a complaint when it is held up."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dynamixel import opened
from dynamixel_sdk import COMM_RX_TIMEOUT, COMM_SUCCESS, PacketHandler
from live import wait_until

from uniros_bringup.graph import Graph
from uniros_bringup.process import Process
from uniros_bringup.xmlrpc import CallFailed, call

DXL = PacketHandler(2.0)
NODE = Path(__file__).resolve().parents[2] / "uniros_env_server" / "nodes" / "rx200_emulator"


class Emulator:
    def __init__(self, graph: Graph, **parameters: Any) -> None:
        self.graph = graph
        for name, value in parameters.items():
            call(graph.master.uri, "setParam", f"/rx200/emulator/{name}", value)
        self.process: Process = graph.node([NODE, "__ns:=/rx200", "__name:=emulator"], "emulator", self._port_known)
        self.port = call(graph.master.uri, "getParam", "/rx200/emulator/port")

    def _port_known(self) -> bool:
        try:
            return bool(call(self.graph.master.uri, "getParam", "/rx200/emulator/port"))
        except CallFailed:
            return False

    def service(self, name: str, *arguments: str) -> str:
        """What `rosservice call` prints."""
        command = [shutil.which("rosservice") or "rosservice", "call", f"/rx200/emulator/{name}", *arguments]
        return subprocess.run(command, env={**os.environ, **self.graph.master.env()}, capture_output=True, text=True,
                              timeout=20, check=True).stdout

    def truth(self) -> dict[str, Any]:
        return json.loads(yaml.safe_load(self.service("truth"))["message"])


@pytest.fixture
def emulator(graph: Graph) -> Iterator[Emulator]:
    yield Emulator(graph, start="home", eeprom={"4": {"drive_mode": 0}})


def test_its_port_is_a_parameter_and_faults_are_a_service(emulator: Emulator) -> None:
    with opened(emulator.port) as port:
        assert DXL.ping(port, 4)[1] == COMM_SUCCESS
        assert DXL.read1ByteTxRx(port, 4, 10)[0] == 0  # drive_mode, as the parameter ~eeprom says
        assert "success: True" in emulator.service("fault", "silence", "4", "", "0")
        assert DXL.ping(port, 4)[1] == COMM_RX_TIMEOUT
        refused = emulator.service("fault", "explode", "4", "", "0")
        assert "success: False" in refused and "overheat" in refused
        assert "success: True" in emulator.service("fault", "clear", "0", "", "0")
        assert DXL.ping(port, 4)[1] == COMM_SUCCESS
    emulator.process.stop()
    assert not os.path.lexists(emulator.port)


def test_the_truth_is_a_service_and_a_held_up_emulator_complains(emulator: Emulator) -> None:
    before = emulator.truth()
    assert before["table_least"] <= before["table"] and before["fastest"]["waist"] >= 0.0
    emulator.process.send_signal(signal.SIGSTOP)
    time.sleep(0.5)
    emulator.process.send_signal(signal.SIGCONT)
    wait_until(lambda: "held up" in emulator.process.tail(), timeout=5.0)
    assert emulator.truth()["counts"]["lost"] > 0.3
    assert "success: True" in emulator.service("reset_truth")


def test_a_robot_that_does_not_exist_ends_the_node_with_advice(graph: Graph) -> None:
    call(graph.master.uri, "setParam", "/rx200/emulator/robot", "rx2000")
    process = graph.node([NODE, "__ns:=/rx200", "__name:=emulator"], "emulator")
    assert process.wait(10.0) == 1
    assert "config/robots has rx200" in process.tail()
