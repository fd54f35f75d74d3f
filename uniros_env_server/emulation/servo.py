"""One servo: what it does with what is written to it, and what it shows of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from uniros_env_server.emulation.control_table import EEPROM_END, ControlTable, Refused, Register, load_servo_model
from uniros_env_server.emulation.drive import CURRENT_UNIT, FULL_PWM, Mode
from uniros_env_server.emulation.packets import LAST_ID, Error
from uniros_env_server.emulation.plant import Motor
from uniros_env_server.emulation.protection import TRIPPED, BusWatchdog, Protection
from uniros_env_server.emulation.settings import PlantSettings, ServoPlace, Ticks
from uniros_env_server.emulation.steering import Steering

LIMITED_BY = {"goal_velocity": "velocity_limit", "goal_pwm": "pwm_limit", "goal_current": "current_limit"}
GOALS = (*LIMITED_BY, "goal_position")
RESET_BY_MODE = ("velocity_i_gain", "velocity_p_gain", "position_d_gain", "position_i_gain", "position_p_gain",
                 "feedforward_2nd_gain", "feedforward_1st_gain", "profile_acceleration", "profile_velocity")
KEPT_BY_RESET = {0xFF: (), 0x01: ("id",), 0x02: ("id", "baud_rate")}  # option of factory reset -> what stays
IN_POSITION = 5  # ticks around the goal
CLOCK_TURN = 32768  # ms after which realtime_tick starts again
CLOCK_PHASE = 1.37  # s that each servo's clock is ahead of the one before


@dataclass(frozen=True)
class Power:
    """What the supply gives at this moment, V: to regulate with, and as measured under load."""

    volts: float
    measured: float


class Servo:
    """A servo on the bus. `now` is always the plant's time, s."""

    def __init__(self, place: ServoPlace, motor: Motor, settings: PlantSettings, ticks: Ticks,
                 eeprom: Mapping[str, int]) -> None:
        self.place = place
        self.table = ControlTable(load_servo_model(place.model), {**place.settings, **eeprom})
        self.protection = Protection(self.table, settings.thermal, settings.overload)
        self.watchdog = BusWatchdog(self.table)
        self.silent = False  # a loose connector: hears nothing and says nothing, but has power
        self._steering = Steering(self.table, motor, settings, ticks)
        self._settings = settings
        self._registered: tuple[int, bytes] | None = None
        self._power = Power(0.0, 0.0)
        self._awake_at = self._born = 0.0  # s, when it answers, when its own clock began
        self.boot(0.0)

    # What the bus sees.

    @property
    def number(self) -> int:
        """Its id."""
        return self.table["id"]

    def obeys(self, number: int) -> bool:
        """Whether an instruction to this id concerns it: its own, or its secondary one."""
        return number == self.number or number == self.table["secondary_id"] <= LAST_ID

    def awake(self, now: float) -> bool:
        """Whether it hears and answers: it has power, is not booting and not cut off."""
        return not self.silent and now >= self._awake_at and self._power.volts >= self._settings.supply.brown_out

    def read(self, address: int, length: int, now: float) -> bytes:
        """Bytes of its table as they are now. Raises Refused."""
        if address + length > EEPROM_END:
            self._refresh(now)
        return self.table.read(address, length)

    def write(self, address: int, data: bytes, now: float, secondary: bool = False) -> None:
        """Write registers, all or none. Raises Refused, also for EEPROM through the secondary id."""
        changes = list(self.table.split(address, data))
        for register, value in changes:
            self._check(register, value, secondary)
        for register, value in changes:
            self._assign(register.name, value, now)
        self._steering.obey(self._power.volts)

    def get(self, name: str, now: float) -> int:
        """A register as it is now."""
        self._refresh(now)
        return self.table[name]

    def set(self, name: str, value: int, now: float) -> None:
        """Write one register by name. Raises Refused."""
        register = self.table.model.registers[name]
        self.write(register.address, register.encode(value), now)

    def register(self, address: int, data: bytes, secondary: bool = False) -> None:
        """Keep a write for `act`. Raises Refused as the write itself would."""
        for register, value in self.table.split(address, data):
            self._check(register, value, secondary)
        self._registered = address, data
        self.table["registered_instruction"] = 1

    def act(self, now: float) -> None:
        """Carry out the write that was kept. Raises Refused when there is none."""
        if self._registered is None:
            raise Refused(Error.INSTRUCTION)
        (address, data), self._registered = self._registered, None
        self.table["registered_instruction"] = 0
        self.write(address, data, now)

    def reset(self, option: int, now: float) -> None:
        """Factory reset, then reboot. Raises Refused for an unknown option, and with the torque on."""
        if option not in KEPT_BY_RESET:
            raise Refused(Error.DATA_RANGE)
        if self.table["torque_enable"]:
            raise Refused(Error.ACCESS)
        kept = {name: self.table[name] for name in KEPT_BY_RESET[option]}
        for register in self.table.model.registers.values():
            self.table[register.name] = kept.get(register.name, register.initial)
        self.boot(now)

    def boot(self, now: float) -> None:
        """Start afresh: torque off, RAM as from the works, errors forgotten; silent for a while."""
        self.table.reset_ram()
        self.protection.forget()
        self._registered = None
        self.table["goal_pwm"] = self.table["pwm_limit"]
        self._awake_at, self._born = now + self._settings.servo.boot_time, now
        self._steering.halt()
        self._steering.obey(self._power.volts)

    def settle(self) -> None:
        """Be as after having been on for long, standing where the arm is."""
        self._awake_at, self._born = 0.0, -CLOCK_PHASE * self.place.number
        self._steering.halt()

    @property
    def standing(self) -> bool:
        """Whether it neither moves nor means to."""
        return not self._steering.going and abs(self._steering.speed) <= self.table["moving_threshold"]

    # What time does to it.

    def tick(self, now: float, power: Power) -> None:
        """Supervise: power, protection, watchdog, motion."""
        if power.volts != self._power.volts:
            self._feed(power, now)
        self._power = power
        self.protection.observe(abs(self._steering.share), power.measured, self._settings.tick)
        if self.protection.shut_down and self.table["torque_enable"]:
            self._assign("torque_enable", 0, now)
            self._steering.obey(power.volts)
        if self.watchdog.trips(now):
            self.table["profile_velocity"] = self.table["profile_acceleration"] = 0
            self._steering.halt()
        self._steering.step(now)

    @property
    def current(self) -> float:
        """A that it draws."""
        return abs(self._steering.current)

    # Inside.

    def _check(self, register: Register, value: int, secondary: bool) -> None:
        """Raise Refused for a value that the table allows and the servo's condition does not."""
        name = register.name
        if register.eeprom and (secondary or self.table["torque_enable"]):
            raise Refused(Error.ACCESS)
        if name in GOALS and self.watchdog.tripped:
            raise Refused(Error.DATA_RANGE)
        if name == "bus_watchdog" and (value == TRIPPED or (self.watchdog.tripped and value)):
            raise Refused(Error.DATA_RANGE)
        if name == "operating_mode" and value not in self.table.model.operating_modes:
            raise Refused(Error.DATA_RANGE)
        if name == "torque_enable" and value and self.protection.shut_down:
            raise Refused(Error.RESULT_FAIL)
        if name in LIMITED_BY and abs(value) > self.table[LIMITED_BY[name]]:
            raise Refused(Error.DATA_LIMIT)
        if (name == "goal_position" and self.table["operating_mode"] == Mode.POSITION
                and not self.table["min_position_limit"] <= value <= self.table["max_position_limit"]):
            raise Refused(Error.DATA_LIMIT)

    def _assign(self, name: str, value: int, now: float) -> None:
        """Store a value and do what it asks for."""
        before, self.table[name] = self.table[name], value
        if name == "torque_enable" and value != before:
            self._switch(now)
        elif name == "operating_mode":
            self._change_mode()
        elif name in GOALS:
            self._steering.take(name, now)

    def _switch(self, now: float) -> None:
        """The torque was switched."""
        self.watchdog.feed(now)
        goal = self.table["goal_position"]
        self._steering.halt()
        if self.table["torque_enable"] and not self._settings.servo.goal_follows:
            self.table["goal_position"] = goal
            self._steering.aim()

    def _change_mode(self) -> None:
        """Another operating mode: gains and profile as from the works."""
        for name in RESET_BY_MODE:
            self.table[name] = self.table.model.registers[name].initial
        self.table["goal_pwm"] = self.table["pwm_limit"]
        self._steering.halt()

    def _feed(self, power: Power, now: float) -> None:
        """The supply changed: restart when it was below what a servo needs, else go on with what there is."""
        dead = self._settings.supply.brown_out
        was_dead, self._power = self._power.volts < dead, power
        if power.volts < dead:
            self.table["torque_enable"] = 0
        elif was_dead:
            self.boot(now)
        self._steering.obey(power.volts)

    def _refresh(self, now: float) -> None:
        """Bring the registers that show the present state up to date."""
        table, steering = self.table, self._steering
        arrived = abs(steering.position - table["goal_position"]) <= IN_POSITION
        table["realtime_tick"] = int((now - self._born) * 1e3) % CLOCK_TURN
        table["moving"] = int(not self.standing)
        table["moving_status"] = arrived | steering.going << 1
        table["present_pwm"] = round(FULL_PWM * steering.share)
        table["present_velocity"] = round(steering.speed)
        table["present_position"] = round(steering.position)
        table["velocity_trajectory"] = round(steering.trajectory_speed)
        table["position_trajectory"] = round(steering.trajectory.position)
        table["present_input_voltage"] = round(10 * self._power.measured)
        table["present_temperature"] = round(self.protection.temperature)
        if "present_load" in table:
            table["present_load"] = round(1000 * steering.share)
        else:
            table["present_current"] = round(steering.current / CURRENT_UNIT)
