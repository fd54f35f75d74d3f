"""A real arm's environment on the emulated bus: emulator, driver, env server, operator, and a learner here."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from driver_rig import NS, Rig
from live import serve, wait_until

import uniros_learner as uniros
from uniros_bringup.xmlrpc import CallFailed, call
from uniros_env_server.safety.gate import SafetyLimits
from uniros_msgs.errors import LeaseHeld, UnirosError

CYCLE, PERIOD = 0.1, 0.02  # s
AGE = SafetyLimits.load("rx200", "real").state_age  # s
ARM = ("waist", "shoulder", "elbow", "wrist_angle", "wrist_rotate")


class RealRig(Rig):
    """`Rig` with an env server behind which the arm is, and `env`, the learner's."""

    hands = "real_operator"

    def __init__(self, start: str = "sleep", **arguments: Any) -> None:
        super().__init__(start=start)
        self._arguments = arguments
        self.serve()

    def serve(self) -> None:
        """Start an env server and connect to it."""
        self.server = serve(self.graph, "RX200ReachReal-v0", NS, **self._arguments)
        wait_until(self._answers, 15.0)  # the master may still know one that was killed
        self.env: Any = uniros.connect(self.graph.master.uri, NS)

    @contextmanager
    def without_learner(self) -> Iterator[None]:
        """The environment is free for another learner; afterwards it is ours again, when a lease runs out at last."""
        self.env.close()
        try:
            yield
        finally:
            wait_until(self._take, 10.0)

    def _take(self) -> bool:
        try:
            self.env = uniros.connect(self.graph.master.uri, NS, timeout=10.0)
        except LeaseHeld:
            return False
        return True

    def close(self) -> None:
        self.env.close()
        super().close()

    def _answers(self) -> bool:
        try:
            uri = call(self.graph.master.uri, "lookupNode", f"{NS}/env_server")
            return bool(call(uri, "getPid") == self.server.pid and self._offers("env/describe"))
        except CallFailed:
            return False

    def speed(self) -> float:
        """rad/s of the fastest joint of the arm, now and really."""
        velocity = self.truth()["velocity"]
        return max(abs(velocity[name]) for name in ARM)

    def fastest(self) -> float:
        """rad/s of any joint of the arm since `forget`."""
        fastest = self.truth()["fastest"]
        return max(fastest[name] for name in ARM)

    def rests(self) -> bool:
        """Whether the arm has not moved for a while."""
        before = self.joints()
        time.sleep(0.3)
        return bool(np.abs(self.joints() - before).max() < 2e-3)

    def joints(self) -> Any:
        """(5,) rad, where the arm's joints really are."""
        position = self.truth()["position"]
        return np.array([position[name] for name in ARM])

    def acknowledge(self) -> None:
        """Somebody has looked at the arm: clear the driver's stop and the environment's fault."""
        self.operator.lie("")
        for service in ("driver/clear_estop", "env/clear_estop"):
            wait_until(lambda service=service: self.operator.trigger(service)[0], 5.0)


class Swing(threading.Thread):
    """A learner that swings the waist to and fro until something is raised."""

    def __init__(self, env: Any, speed: float = 0.8) -> None:
        super().__init__(daemon=True)
        self._env, self._speed = env, speed
        self.error: UnirosError | None = None
        self.ended = 0.0  # s, monotonic
        self.infos: list[dict[str, Any]] = []
        self._ending = threading.Event()
        self.start()

    def run(self) -> None:
        try:
            for number in range(2000):
                if self._ending.is_set():
                    break
                action = np.array([self._speed if number // 20 % 2 == 0 else -self._speed, 0, 0, 0, 0], np.float32)
                self.infos.append(self._env.step(action)[4])
        except UnirosError as error:
            self.error = error
        self.ended = time.monotonic()

    def stop(self) -> None:
        """End it; the arm holds."""
        self._ending.set()
        self.join(2.0)

    def failure(self, since: float, within: float) -> UnirosError:
        """What was raised, at most `within` seconds after `since` (monotonic)."""
        self.join(max(0.0, since + within + 1.0 - time.monotonic()))
        assert self.error is not None, "nothing was raised"
        assert self.ended - since <= within, f"raised after {self.ended - since:.2f} s, not within {within} s"
        return self.error
