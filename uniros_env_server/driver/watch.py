"""What makes the driver give up on the arm: looked at in every cycle, answered with a sentence."""

from __future__ import annotations

import numpy as np

from uniros_env_server.driver.arm import Arm, Measurement
from uniros_env_server.driver.config import Setup
from uniros_env_server.driver.registers import TRIPPED


class Watch:
    """Remembers how long something has been wrong."""

    def __init__(self, setup: Setup, arm: Arm) -> None:
        self.setup, self.arm = setup, arm
        self.failed_reads = 0  # in a row
        self._behind: np.ndarray = np.zeros(len(setup.arm))  # s that each joint has been far behind its set-point

    def reset(self) -> None:
        """Forget the past: somebody has looked at the arm."""
        self.failed_reads = 0
        self._behind[:] = 0.0

    def count(self, measurement: Measurement | None) -> None:
        """Note whether a read has failed."""
        self.failed_reads = 0 if measurement else self.failed_reads + 1

    def look(self, measurement: Measurement | None, setpoint: np.ndarray, torque: bool, dt: float) -> str:
        """Why the arm cannot be driven any more; empty when it can. `torque`: the servos are meant to have it."""
        if measurement is None:
            return self._lost()
        return (self._hardware(measurement) or (self._on_their_own() if torque else "")
                or (self._blocked(measurement, setpoint, dt) if torque else "") or self._twisted(measurement))

    def _lost(self) -> str:
        if self.failed_reads < self.setup.tuning.lost_reads:
            return ""
        first = self.arm.silent[:1]  # those asked after a silent servo wait for it in vain
        who = self.arm.names(first) if first and first[0] != self.setup.servos[0].id else "the bus"
        return f"{who} has not answered {self.failed_reads} times in a row"

    def _hardware(self, measurement: Measurement) -> str:
        if measurement.alerts:
            self.arm.look("hardware_error_status")
        broken = self.arm.health.broken
        return "; ".join(f"{self.arm.servo(servo)}: {error}" for servo, error in sorted(broken.items()))

    def _on_their_own(self) -> str:
        tripped = self.arm.health.where("bus_watchdog", TRIPPED)
        if tripped:
            return f"the bus watchdog has stopped {self.arm.names(tripped)}"
        limp = self.arm.health.where("torque_enable", 0)
        return f"torque has gone at {self.arm.names(limp)}: did it lose power?" if limp else ""

    def _blocked(self, measurement: Measurement, setpoint: np.ndarray, dt: float) -> str:
        arm = len(self._behind)
        error = np.abs(setpoint - measurement.position)[:arm]
        self._behind = np.where(error > self.setup.tuning.following_error, self._behind + dt, 0.0)
        worst = int(np.argmax(self._behind))
        if self._behind[worst] <= self.setup.tuning.following_time:
            return ""
        return (f"{self.setup.axes[worst]} is blocked: {error[worst]:.2f} rad behind its set-point"
                f" for {self._behind[worst]:.1f} s")

    def _twisted(self, measurement: Measurement) -> str:
        if measurement.disagreement <= self.setup.tuning.shadow_error:
            return ""
        return f"the two servos of one joint disagree by {measurement.disagreement:.2f} rad: is a horn loose?"
