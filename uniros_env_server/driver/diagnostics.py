"""/diagnostics: one status for the driver, one for the bus, one for each servo."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_updater import DiagnosticStatusWrapper, Updater

from uniros_env_server.driver.config import Servo
from uniros_env_server.driver.inputs import Tally
from uniros_env_server.driver.loop import ControlLoop
from uniros_env_server.driver.registers import TRIPPED, hardware_error_names
from uniros_env_server.driver.states import State

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
HOT_MARGIN = 3  # degrees Celsius below a servo's limit: an error, it is about to let go
RATE_SHARE = 0.95  # of the rate that the loop should have, for it to be in order


class Diagnostics:
    """Reports on everything. Called from the main thread; reads what the loop leaves behind."""

    def __init__(self, loop: ControlLoop, tally: Tally) -> None:
        self._loop, self._tally = loop, tally
        self._setup, self._arm = loop.driver.setup, loop.driver.arm
        self._before: dict[str, float] = {}
        self._updater = Updater()
        self._updater.setHardwareID(self._setup.robot)
        self._updater.add("driver", self._driver)
        self._updater.add("bus", self._bus)
        for servo in self._setup.servos:
            self._updater.add(str(servo), partial(self._servo, servo))

    def publish(self) -> None:
        """Say how everything is."""
        self._updater.force_update()

    def _driver(self, status: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        snapshot, tally = self._loop.snapshot, self._tally
        stopped = snapshot.state in (State.ESTOP, State.FAULT)
        text = f"{snapshot.state.value}: {snapshot.reason}" if stopped else snapshot.state.value
        return _told(status, ERROR if stopped else OK, text, {
            "state": snapshot.state.value, "reason": snapshot.reason, "torque": snapshot.torque,
            "emergency stop": snapshot.state is State.ESTOP, "commands taken": tally.taken,
            "commands refused": tally.refused, "commands clamped": tally.clamped, "commands slowed down": tally.slowed,
            "last refusal": tally.last_refusal, "cycles the arm was waited for": self._loop.driver.motion.held_back})

    def _bus(self, status: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        timing, counters, tuning = self._loop.timing, self._arm.bus.counters, self._setup.tuning
        values: dict[str, Any] = {
            "rate (Hz)": round(timing.rate(), 1), "cycles": timing.cycles, "overruns": timing.overruns,
            "cycles without a measurement": timing.failed_reads,
            "start late p50 (ms)": _ms(timing.late(50)), "start late p99 (ms)": _ms(timing.late(99)),
            "start late max (ms)": _ms(timing.late(100)), "cycle p50 (ms)": _ms(timing.busy(50)),
            "cycle p99 (ms)": _ms(timing.busy(99)), "cycle max (ms)": _ms(timing.busy(100)),
            "reads": counters.reads, "lost answers": counters.lost, "corrupt packets": counters.corrupt,
            "stale answers": counters.stale, "failed writes": counters.write_errors, "port reopened": counters.reopened,
            "port": self._arm.bus.port.port_name, "bus watchdog (s)": self._setup.watchdog}
        errors = [f"{count - self._before.get(name, 0):.0f} {name}" for name in
                  ("lost answers", "corrupt packets", "stale answers", "failed writes", "overruns")
                  for count in [values[name]] if count > self._before.get(name, 0)]
        self._before = {name: value for name, value in values.items() if isinstance(value, (int, float))}
        if not self._arm.bus.port.is_open or self._loop.driver.watch.failed_reads >= tuning.lost_reads:
            return _told(status, ERROR, "no answer from the bus", values)
        slow = timing.cycles > tuning.rate and timing.rate() < RATE_SHARE * tuning.rate
        if slow or errors:
            return _told(status, WARN, ", ".join(errors) or f"only {timing.rate():.0f} Hz", values)
        return _told(status, OK, f"{timing.rate():.0f} Hz", values)

    def _servo(self, servo: Servo, status: DiagnosticStatusWrapper) -> DiagnosticStatusWrapper:
        health, tuning = self._arm.health, self._setup.tuning
        error, watchdog = health.get("hardware_error_status", servo.id), health.get("bus_watchdog", servo.id)
        temperature, voltage = health.get("present_temperature", servo.id), health.voltage(servo.id)
        level, text = OK, "in order"
        limit = servo.model.temperature_limit
        if error:
            level, text = ERROR, hardware_error_names(int(error)) if not math.isnan(error) else "never answered"
        elif watchdog == TRIPPED:
            level, text = ERROR, "stopped by its bus watchdog"
        elif temperature >= limit - HOT_MARGIN:
            level, text = ERROR, f"{temperature:.0f} C, it lets go at {limit} C: lower the arm, let it cool"
        elif temperature >= tuning.temperature_warning:
            level, text = WARN, f"hot: {temperature:.0f} C, it lets go at {limit} C"
        elif not tuning.voltage[0] <= voltage <= tuning.voltage[1]:
            level, text = WARN, f"{voltage:.1f} V: {tuning.voltage[0]:g} to {tuning.voltage[1]:g} V were expected"
        return _told(status, level, text, {
            "id": servo.id, "model": servo.model.name, "temperature (C)": temperature,
            "voltage (V)": round(voltage, 1), "effort (Nm)": self._effort(servo),
            "torque": health.get("torque_enable", servo.id), "hardware error": error, "bus watchdog": watchdog})

    def _effort(self, servo: Servo) -> float:
        measurement = self._loop.snapshot.measurement
        if measurement is None:
            return math.nan
        return round(float(measurement.effort[self._setup.axes.index(servo.joint)]), 3)


def _told(status: DiagnosticStatusWrapper, level: int, text: str, values: Mapping[str, Any]) -> DiagnosticStatusWrapper:
    status.summary(level, text)
    for key, value in values.items():
        status.add(key, str(value))
    return status


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 2)
