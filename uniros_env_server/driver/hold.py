"""Taking hold of the arm without moving it: at the start, when torque goes on, and after anything that stopped it."""

from __future__ import annotations

import numpy as np

from uniros_env_server.driver.arm import Arm
from uniros_env_server.driver.bus import BusError
from uniros_env_server.driver.config import Setup
from uniros_env_server.driver.motion import Motion
from uniros_env_server.driver.registers import TRIPPED
from uniros_env_server.driver.states import NotNow


class Hold:
    """Every verb raises NotNow with advice when the arm must not be held, BusError when a servo does not obey."""

    def __init__(self, setup: Setup, arm: Arm, motion: Motion) -> None:
        self.setup, self.arm, self.motion = setup, arm, motion

    def found(self) -> tuple[bool, str]:
        """How the arm was found: whether it has torque, and what is wrong with it; then take it over as it is."""
        self.arm.look_at_all()
        present = self.arm.present("present_position")
        self.motion.place(present, "start")
        stiff, wrong = bool(self.arm.health.where("torque_enable", 1)), self._wrong()
        if stiff and not wrong:
            goals = self.arm.present("goal_position")
            near = np.abs(goals - present) <= self.setup.tuning.lead
            self.motion.place(np.where(near, goals, present), "start")
            self.arm.stiffen(self.motion.setpoint)
        return stiff, wrong

    def limp_arm(self) -> None:
        """Make an arm without torque hold where it is."""
        self.arm.look_at_all()
        self._refuse_broken()
        present = self.arm.present("present_position")
        outside = np.maximum(self.setup.lower - present, present - self.setup.upper)
        worst = int(np.argmax(outside))
        if outside[worst] > self.setup.tuning.start_margin:
            raise NotNow(f"{self.setup.axes[worst]} is {outside[worst]:.2f} rad beyond its limits: move it by hand,"
                         " then turn torque on")
        self.motion.place(present, "torque on")
        self.arm.release(self.motion.setpoint)
        self.arm.stiffen(self.motion.setpoint)

    def stopped_arm(self) -> bool:
        """Make an arm hold that was stopped: whether it has torque. One that has none is left limp.

        A joint that has held all the time keeps its set-point; one that was on its own, or is far from it, holds where
        it is now.
        """
        if not self.arm.bus.port.is_open:
            raise BusError(f"{self.arm.bus.port.port_name} is not there: plug it in")
        self.arm.look_at_all()
        self._refuse_broken()
        health = self.arm.health
        alone = {*health.where("bus_watchdog", TRIPPED), *health.where("torque_enable", 0)}
        present = self.arm.present("present_position")
        kept = np.abs(self.motion.setpoint - present) <= self.setup.tuning.following_error
        kept &= np.array([servo.id not in alone for servo in self.setup.leaders])
        self.motion.place(np.where(kept, self.motion.setpoint, present), "cleared")
        stiff = bool(health.where("torque_enable", 1))
        if stiff and alone:
            self.arm.release(self.motion.setpoint)
            self.arm.stiffen(self.motion.setpoint)
        return stiff

    def _wrong(self) -> str:
        """What keeps the arm from being taken over as it was found."""
        health = self.arm.health
        found = [f"{self.arm.servo(servo)}: {error}" for servo, error in health.broken.items()]
        if health.where("torque_enable", 1):
            tripped, limp = health.where("bus_watchdog", TRIPPED), health.where("torque_enable", 0)
            found += [f"the bus watchdog has stopped {self.arm.names(tripped)}"] if tripped else []
            found += [f"there is no torque at {self.arm.names(limp)}, but at the others"] if limp else []
        return "; ".join(found)

    def _refuse_broken(self) -> None:
        broken = self.arm.health.broken
        if broken:
            errors = "; ".join(f"{self.arm.servo(servo)}: {error}" for servo, error in broken.items())
            raise NotNow(f"{errors}; let it cool, relieve it, support the arm, then call driver/reboot")
