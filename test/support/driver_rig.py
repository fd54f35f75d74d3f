"""An emulated arm, its driver and an operator on a master of their own, for tests of the driver."""

from __future__ import annotations

import itertools
import json
import socket
import sys
import time
from multiprocessing.connection import Connection
from typing import Any, Self

from live import wait_until

from uniros_bringup.graph import Graph
from uniros_bringup.process import Process, spawn
from uniros_bringup.xmlrpc import CallFailed, call

NS = "/rx200"
HOME = [0.0] * 5
READY = [0.0, -0.83, 0.59, 0.95, 0.0]
PERIOD = 0.01  # s, of the driver's loop
WATCHDOG = 0.1  # s, of the servos (servos.yaml)
SOON = 0.2  # s, a point this near is reached as fast as the driver lets any joint go


class Operator:
    """Calls the methods of driver_operator.Hands, or of another module's, in a process of its own."""

    def __init__(self, graph: Graph, module: str = "driver_operator") -> None:
        ours, theirs = socket.socketpair()
        self._connection = Connection(ours.detach())
        with theirs:
            number = theirs.fileno()
            log = graph.log_dir / "operator.log"
            self.process = spawn([sys.executable, "-m", module, str(number)], graph.master.env(), log,
                                 "operator", [number])
        graph.nodes.append(self.process)

    def __getattr__(self, name: str) -> Any:
        def remote(*args: Any, **kwargs: Any) -> Any:
            self._connection.send((name, args, kwargs))
            assert self._connection.poll(60), f"the operator has not done {name} within 60 s"
            good, value = self._connection.recv()
            assert good, value
            return value

        return remote


class Rig:
    """Everything, started. `start`: the pose that the arm lies in; eeprom: settings that are wrong, by servo id."""

    hands = "driver_operator"  # the module that the operator runs

    def __init__(self, start: str = "sleep", eeprom: dict[int, dict[str, int]] | None = None, **driver: Any) -> None:
        self.graph = Graph()
        self._set("emulator/start", start)
        if eeprom:
            self._set("emulator/eeprom", {str(servo): values for servo, values in eeprom.items()})
        self.operator = Operator(self.graph, self.hands)
        self.emulator = self.graph.node(
            [sys.executable, "-c", "from uniros_env_server.emulation.node import run; run()", f"__ns:={NS}",
             "__name:=emulator"], "emulator")
        self.driver = self.start_driver(**driver)

    def start_driver(self, wait: bool = True, **parameters: Any) -> Process:
        """A driver node, ready to be asked unless `wait` is False."""
        for name, value in parameters.items():
            self._set(f"rx200_driver/{name}", value)
        ready = (lambda: self._offers("driver/torque")) if wait else None
        self.driver = self.graph.node([sys.executable, "-m", "uniros_env_server.driver", f"__ns:={NS}",
                                       "_port_from:=emulator/port"], "rx200_driver", ready, timeout=20.0)
        if wait:
            wait_until(self.operator.connected, timeout=10.0)
        return self.driver

    def _set(self, name: str, value: Any) -> None:
        call(self.graph.master.uri, "setParam", f"{NS}/{name}", value)

    def _offers(self, service: str) -> bool:
        try:
            return bool(call(self.graph.master.uri, "lookupService", f"{NS}/{service}"))
        except CallFailed:
            return False

    @property
    def port(self) -> str:
        """The emulated bus's device."""
        return str(call(self.graph.master.uri, "getParam", f"{NS}/emulator/port"))

    def truth(self) -> dict[str, Any]:
        """What really happened to the arm since `forget`."""
        return json.loads(self.operator.trigger("emulator/truth")[1])

    def forget(self) -> None:
        """Let the extremes in `truth` start anew."""
        self.operator.trigger("emulator/reset_truth")

    def ready(self) -> None:
        """Torque on, nothing wrong, the arm at READY: where most tests begin."""
        self.operator.fault("clear")
        if self.operator.state() in ("estop", "fault"):
            good, text = self.operator.trigger("driver/clear_estop")
            assert good, text
        good, text = self.operator.torque(True)
        assert good, text
        if max(abs(now - then) for now, then in zip(self.operator.joints()[-1][3], READY)) > 0.03:
            self.operator.send([{"time": SOON, "positions": READY}])
            self.wait_for("following")
            self.wait_for("holding", timeout=10.0)
        wait_until(self.standstill, 3.0)

    def wait_for(self, state: str, timeout: float = 5.0) -> float:
        """Seconds until the driver is in a state."""
        return wait_until(lambda: self.operator.state() == state, timeout)

    def standstill(self, limit: float = 0.02) -> bool:
        """Whether no joint really moves (rad/s)."""
        return max(map(abs, self.truth()["velocity"].values())) < limit

    def close(self) -> None:
        """End everything."""
        self.graph.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()


def jump(positions: list[list[float]]) -> float:
    """The greatest step (rad) of any joint between two messages of joint_states."""
    return max((abs(b - a) for one, two in itertools.pairwise(positions) for a, b in zip(one, two)), default=0.0)


def pause(seconds: float) -> None:
    """Let real time pass: what is measured here takes it."""
    time.sleep(seconds)
