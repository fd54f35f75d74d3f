"""The seven servos as one arm: measured, moved, made stiff or limp, watched over."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from uniros_env_server.driver.bus import VERY_QUIET, Answers, Bus, BusError
from uniros_env_server.driver.config import Servo, Setup, velocity_counts
from uniros_env_server.driver.registers import (
    FULL_PWM,
    STATE,
    STATE_ADDRESS,
    TICK_PERIOD,
    TRIPPED,
    VELOCITY_UNIT,
    VOLTAGE_UNIT,
    WATCHDOG_UNIT,
    Register,
    hardware_error_names,
)

SLOW = ("torque_enable", "hardware_error_status", "bus_watchdog", "present_input_voltage", "present_temperature")
ATTEMPTS = 3  # at a register that matters; a packet may be lost
MOST_AGE = 4.0  # ms that an answer may be older than half its exchange
CLOCK_DRIFT = 0.02  # by how much a servo's clock may be wrong, as a share
TURN_MARGIN = 100  # ticks that a servo with torque may be outside of its one turn
REBOOT_TIME = 2.0  # s until a servo must answer again after a reboot


@dataclass(frozen=True)
class Measurement:
    """What all servos answered in one cycle. Arrays are in the order of the axes, (J,)."""

    stamp: float  # s, monotonic: the middle of the exchange
    spread: float  # s, half its length: no servo was measured further from the stamp
    position: np.ndarray  # rad
    velocity: np.ndarray  # rad/s
    effort: np.ndarray  # Nm, estimated from current or load
    alerts: tuple[int, ...] = ()  # ids of servos with a hardware error
    disagreement: float = 0.0  # rad, the most that a shadow is away from the servo it imitates


@dataclass
class Health:
    """The slow registers of every servo, by id; NaN until they were read."""

    values: dict[str, dict[int, float]] = field(default_factory=lambda: {name: {} for name in SLOW})

    def get(self, name: str, servo: int) -> float:
        """The value (raw), NaN when it was never read."""
        return self.values[name].get(servo, float("nan"))

    def where(self, name: str, value: float) -> list[int]:
        """The servos whose register has this value."""
        return [servo for servo, found in self.values[name].items() if found == value]

    @property
    def broken(self) -> dict[int, str]:
        """Servos with a hardware error, and which."""
        errors = self.values["hardware_error_status"]
        return {servo: hardware_error_names(int(bits)) for servo, bits in errors.items() if bits}

    def voltage(self, servo: int) -> float:
        """V."""
        return self.get("present_input_voltage", servo) * VOLTAGE_UNIT


class Arm:
    """All servos. Raises BusError and PortLost as the bus does."""

    def __init__(self, setup: Setup, bus: Bus) -> None:
        self.setup, self.bus = setup, bus
        self.health = Health()
        self.silent: tuple[int, ...] = ()  # after an incomplete measurement: who did not answer
        self._ids = [servo.id for servo in setup.servos]
        self._rows = [self._ids.index(servo.id) for servo in setup.leaders]
        self._leader_of = np.array([self._ids.index(servo.shadow_of or servo.id) for servo in setup.servos])
        self._unit = np.array([servo.model.effort for servo in setup.servos])
        self._behind: np.ndarray = np.full(len(self._ids), np.nan)  # ms that the servos' own clocks were behind ours
        self._looked = 0.0  # ms, when that was
        self._limits = np.array([[servo.settings[name] for servo in setup.leaders]
                                 for name in ("min_position_limit", "max_position_limit")])
        self._slow = 0

    def servo(self, number: int) -> Servo:
        """The servo with this id."""
        return self.setup.servos[self._ids.index(number)]

    def names(self, numbers: Iterable[int]) -> str:
        """Servos in words."""
        return ", ".join(str(self.servo(number)) for number in numbers)

    def register(self, name: str) -> Register:
        """A register that all models have."""
        return self.setup.servos[0].model.registers[name]

    def measure(self) -> Measurement | None:
        """All servos in one exchange; None when one was silent, or answered with what it had answered before."""
        answers = self.bus.sync_read(self._ids, STATE_ADDRESS, STATE.itemsize)
        self.silent = answers.missing
        if answers.missing:
            return None
        raw = np.frombuffer(b"".join(answers.data[servo] for servo in self._ids), STATE)
        if self._stale(raw["tick"], answers):
            self.bus.counters.stale += 1
            self.bus.settle()
            return None
        return self._convert(raw, answers)

    def _stale(self, clocks: np.ndarray, answers: Answers) -> bool:
        """Whether an answer is older than its question: by the servos' own clocks, which must go on as ours does."""
        middle, spread = (answers.sent + answers.received) / 2 * 1e3, (answers.received - answers.sent) / 2 * 1e3
        behind = middle - clocks
        older = (behind - self._behind + TICK_PERIOD / 2) % TICK_PERIOD - TICK_PERIOD / 2
        most = MOST_AGE + spread + CLOCK_DRIFT * (middle - self._looked)
        self._behind, self._looked = behind, middle
        return bool(np.any(older > most))

    def _convert(self, raw: np.ndarray, answers: Answers) -> Measurement:
        angles = self.setup.angle(raw["position"])
        efforts = np.bincount(self._leader_of, raw["effort"] * self._unit, len(self._ids))
        return Measurement(
            (answers.sent + answers.received) / 2, (answers.received - answers.sent) / 2, angles[self._rows],
            raw["velocity"][self._rows] * VELOCITY_UNIT, efforts[self._rows], tuple(sorted(answers.alerts)),
            float(np.abs(angles - angles[self._leader_of]).max()))

    def move(self, position: np.ndarray) -> None:
        """Give every servo its goal (rad), in one packet; shadows follow their leaders by themselves."""
        ticks = np.clip(self.setup.ticks(position), *self._limits)
        goals = {servo.id: int(goal) for servo, goal in zip(self.setup.leaders, ticks)}
        self.bus.sync_write(goals, self.register("goal_position"))

    def poll(self) -> None:
        """Look at the next of the slow registers."""
        self.look(SLOW[self._slow])
        self._slow = (self._slow + 1) % len(SLOW)

    def look(self, name: str) -> bool:
        """Read a register of all servos into `health`; False when some were silent."""
        register = self.register(name)
        answers = self.bus.sync_read(self._ids, register.address, register.size)
        self.health.values[name].update({servo: register.decode(data) for servo, data in answers.data.items()})
        return not answers.missing

    def look_at_all(self) -> None:
        """Read all slow registers. Raises BusError naming the silent servos."""
        for name in SLOW:
            if not any(self._look_calmly(name) for _ in range(ATTEMPTS)):
                raise BusError("no complete answer about {}: {}".format(name, self.search() or "packets get lost"))

    def _look_calmly(self, name: str) -> bool:
        if self.look(name):
            return True
        self.bus.settle(VERY_QUIET)
        return False

    def search(self) -> str:
        """Which servos do not answer, in words; empty when all do."""
        silent = [servo for servo in self._ids if not any(self._answers(servo) for _ in range(ATTEMPTS))]
        if len(silent) == len(self._ids):
            return "no servo answers: power and cables?"
        return f"{self.names(silent)}: no answer" if silent else ""

    def _answers(self, servo: int) -> bool:
        try:
            self.bus.ping(servo)
        except BusError:
            return False
        return True

    def present(self, name: str) -> np.ndarray:
        """(J,) angles (rad) in a position register of the leaders. Raises BusError.

        Without torque a servo counts whole turns, which it forgets when torque goes on: so they are left out here.
        """
        register = self.register(name)
        ids = [servo.id for servo in self.setup.leaders]
        for _ in range(ATTEMPTS):
            answers = self.bus.sync_read(ids, register.address, register.size)
            if not answers.missing:
                ticks = np.array([register.decode(answers.data[servo]) for servo in ids])
                turn = self.setup.ticks_per_turn
                beyond = (ticks < -TURN_MARGIN) | (ticks > turn + TURN_MARGIN)
                return self.setup.angle(np.where(beyond, ticks % turn, ticks))
            self.bus.settle(VERY_QUIET)
        raise BusError("no complete answer about {}: {}".format(name, self.search() or "packets get lost"))

    def write(self, name: str, values: Mapping[int, int]) -> None:
        """A register of some servos, all at once, and read back. Raises BusError with the refusal of one."""
        register = self.register(name)
        for _ in range(ATTEMPTS):
            self.bus.sync_write(values, register)
            answers = self.bus.sync_read(values, register.address, register.size)
            wrong = [servo for servo, value in values.items()
                     if servo not in answers.data or register.decode(answers.data[servo]) != value]
            if not wrong:
                return
            self.bus.settle(VERY_QUIET)
        for servo in wrong:
            self.bus.write(servo, register, values[servo])

    def prepare(self) -> None:
        """Set what the servos forget without power: gains, speed limit and grip. Raises BusError."""
        for name in self.setup.servos[0].gains:
            self.write(name, {servo.id: servo.gains[name] for servo in self.setup.servos})
        speed = {servo: velocity_counts(limit) for servo, limit in zip(
            (s.id for s in self.setup.leaders), self.setup.top_speed)}
        speed.update({s.id: speed[s.shadow_of] for s in self.setup.servos if s.shadow_of})
        self.write("profile_velocity", speed)
        gripper = self.setup.leaders[-1]
        self.write("goal_pwm", {gripper.id: int(self.setup.tuning.grip * FULL_PWM)})

    def stiffen(self, position: np.ndarray) -> None:
        """Torque on, holding `position` (rad). Raises BusError."""
        self.prepare()
        self.move(position)
        self.write("torque_enable", dict.fromkeys(self._ids, 1))
        self.move(position)
        self.guard(True)
        self.look_at_all()

    def slacken(self) -> None:
        """Torque off, all servos at once. Raises BusError when one keeps it."""
        self.guard(False)
        self.write("torque_enable", dict.fromkeys(self._ids, 0))

    def guard(self, on: bool) -> None:
        """Arm or disarm the bus watchdogs: armed, a servo stops when it hears nothing for a while. Raises BusError."""
        counts = max(1, round(self.setup.watchdog / WATCHDOG_UNIT)) if on else 0
        self.write("bus_watchdog", dict.fromkeys(self._ids, counts))

    def release(self, position: np.ndarray) -> None:
        """Wake servos that their watchdog has stopped, holding `position` (rad): no servo sees its old goal again."""
        tripped = self.health.where("bus_watchdog", TRIPPED)
        self.bus.sync_write(dict.fromkeys(tripped, 0), self.register("bus_watchdog"))
        self.move(position)
        self.guard(False)
        self.move(position)

    def reboot(self, servos: Iterable[int]) -> None:
        """Restart servos and wait until they answer. Raises BusError when one does not."""
        for servo in servos:
            self.bus.reboot(servo)
        for servo in servos:
            end = time.monotonic() + REBOOT_TIME
            while not self._answers(servo):
                if time.monotonic() > end:
                    raise BusError(f"{self.servo(servo)} does not answer after its reboot")
        self.look_at_all()
