"""The emulated arm: servos, supply and plant, without a port and without a clock of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from uniros_env_server.data import load_yaml
from uniros_env_server.emulation.faults import Fault, Scene, Trouble, cause
from uniros_env_server.emulation.instructions import Answer, carry_out
from uniros_env_server.emulation.packets import Packet, PacketReader
from uniros_env_server.emulation.plant import Plant
from uniros_env_server.emulation.servo import Power, Servo
from uniros_env_server.emulation.settings import PlantSettings, load_plant, load_servos, load_ticks
from uniros_env_server.emulation.truth import Truth, Witness
from uniros_env_server.robots.model import Array, load_model

DISTANCES_EVERY = 0.02  # s between two looks at how near the links come to table and each other


class EmulatedArm:
    """A robot's servos on their bus. Time passes in `advance` only, so that tests run as fast as the CPU allows.

    Not thread-safe: `bus.EmulatedBus` adds the serial port, the wall clock and a lock.

    Args:
        robot: a folder of config/robots with servos.yaml and plant.yaml.
        eeprom: registers that differ from servos.yaml, by servo id: {4: {"drive_mode": 0}} is an arm that was never
            configured there.
        changes: entries of plant.yaml, for example seed=7, start="home".
    """

    def __init__(self, robot: str = "rx200", eeprom: Mapping[int, Mapping[str, int]] | None = None,
                 **changes: Any) -> None:
        self.model = load_model(robot)
        self.settings: PlantSettings = load_plant(robot, **changes)
        places = load_servos(robot)
        self.plant = Plant(self.model, self.settings, places)
        self.servos = [Servo(place, motor, self.settings, load_ticks(robot), (eeprom or {}).get(place.number, {}))
                       for place, motor in zip(places, self.plant.motors, strict=True)]
        self.trouble = Trouble(self.settings.seed)
        self._scene = Scene(self.trouble, self.servos, self.plant)
        self._witness = Witness(self.plant, max(1, round(DISTANCES_EVERY / self.settings.tick)))
        self._bauds = load_yaml("dynamixel", "x430.yaml")["baud_rates"]
        self._tick_steps = round(self.settings.tick / self.settings.timestep)
        self._steps = 0  # of the physics, so far
        self._tick()
        for servo in self.servos:
            servo.settle()

    @property
    def now(self) -> float:
        """Seconds of plant time."""
        return self._steps * self.settings.timestep

    def advance(self, seconds: float) -> None:
        """Let time pass, to the physics step that is nearest."""
        self.advance_to(self.now + seconds)

    def advance_to(self, moment: float) -> None:
        """Let time pass until `moment`, s of plant time; nothing happens when that is over already."""
        last = round(moment / self.settings.timestep)
        while self._steps < last:
            steps = min(last - self._steps, self._tick_steps - self._steps % self._tick_steps)
            self.plant.run(steps)
            self._steps += steps
            if self._steps % self._tick_steps == 0:
                self._tick()

    def handle(self, packet: Packet, baud: int) -> list[Answer]:
        """What the servos answer to a packet, in order, less what gets lost."""
        arrived = self.trouble.arriving(packet)
        if arrived is None:
            return []
        hearing = [servo for servo in self.servos
                   if servo.awake(self.now) and self._bauds[servo.table["baud_rate"]] == baud]
        return self.trouble.answering(carry_out(arrived, hearing, self.now))

    def exchange(self, data: bytes, baud: int = 1_000_000) -> bytes:
        """The bytes that come back for whole packets, without any line between: for tests in lock-step."""
        answers = [answer for packet in PacketReader().feed(data) for answer in self.handle(packet, baud)]
        return b"".join(answer.data for answer in answers if not answer.lost)

    def fault(self, kind: str, servo: int = 0, joint: str = "", value: float = 0.0) -> None:
        """Let something go wrong, or "clear" all: see `faults.FAULTS`. Raises FaultRefused."""
        cause(self._scene, Fault(kind, servo, joint, value))

    def truth(self) -> Truth:
        """What really happened since the start or the last `reset_truth`."""
        return self._witness.truth()

    def reset_truth(self) -> None:
        """Forget the extremes."""
        self._witness.reset()

    def put(self, pose: Array, opening: float | None = None) -> None:
        """Place the arm at rest in a pose (rad), fingers at an opening (m), as a strong hand would; goals follow."""
        self.plant.put(pose, opening)
        for servo in self.servos:
            servo.settle()

    def _tick(self) -> None:
        supply = self.settings.supply
        volts = supply.voltage if self.trouble.volts is None else self.trouble.volts
        drop = supply.resistance * sum(servo.current for servo in self.servos)
        power = Power(volts, max(0.0, volts - drop))
        for servo in self.servos:
            servo.tick(self.now, power)
        self._witness.observe()
