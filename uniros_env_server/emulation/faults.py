"""What can be made to go wrong on the emulated bus."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from uniros_env_server.emulation.instructions import Answer
from uniros_env_server.emulation.packets import Packet
from uniros_env_server.emulation.plant import Plant
from uniros_env_server.emulation.protection import HardwareError
from uniros_env_server.emulation.servo import Servo

TOO_HOT = 10.0  # degrees C above a servo's limit, unless a temperature is given


class FaultRefused(ValueError):
    """Raised when a fault is asked for that does not exist or lacks what it needs."""


@dataclass
class Trouble:
    """All that is wrong with the bus at the moment; the rest is wrong with a servo or the plant."""

    seed: int
    loss: float = 0.0  # probability that a packet, either way, is lost
    corruption: float = 0.0  # probability that a packet, either way, arrives with a wrong byte
    cut: bool = False  # the cable between adapter and servos is open
    unplugged: bool = False  # the adapter is pulled out of the computer
    volts: float | None = None  # of the supply, if not what it should be
    random: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)

    def arriving(self, packet: Packet) -> Packet | None:
        """What reaches the servos of a packet."""
        if self.cut or self._happens(self.loss):
            return None
        return replace(packet, intact=False) if self._happens(self.corruption) else packet

    def answering(self, answers: Sequence[Answer]) -> list[Answer]:
        """What reaches the host of the servos' answers."""
        return [replace(answer, data=self._spoilt(answer.data), lost=self._happens(self.loss)) for answer in answers]

    def _spoilt(self, data: bytes) -> bytes:
        if not self._happens(self.corruption):
            return data
        wrong = bytearray(data)
        wrong[self.random.integers(len(data))] ^= 1 << int(self.random.integers(8))
        return bytes(wrong)

    def _happens(self, probability: float) -> bool:
        return probability > 0 and bool(self.random.random() < probability)


@dataclass(frozen=True)
class Scene:
    """What faults happen to."""

    trouble: Trouble
    servos: Sequence[Servo]
    plant: Plant

    def servo(self, number: int) -> Servo:
        """A servo by the id it came with. Raises FaultRefused, naming the ids, when there is none."""
        for servo in self.servos:
            if servo.place.number == number:
                return servo
        raise FaultRefused(f"no servo {number}: the bus has {', '.join(str(s.place.number) for s in self.servos)}")


@dataclass(frozen=True)
class Fault:
    """A request: which fields count depends on the kind."""

    kind: str
    servo: int = 0  # id
    joint: str = ""
    value: float = 0.0


def _lose(scene: Scene, fault: Fault) -> None:
    scene.trouble.loss = _probability(fault)


def _corrupt(scene: Scene, fault: Fault) -> None:
    scene.trouble.corruption = _probability(fault)


def _overheat(scene: Scene, fault: Fault) -> None:
    servo = scene.servo(fault.servo)
    servo.protection.heated = fault.value or servo.table["temperature_limit"] + TOO_HOT


def _overload(scene: Scene, fault: Fault) -> None:
    scene.servo(fault.servo).protection.injected |= HardwareError.OVERLOAD


def _silence(scene: Scene, fault: Fault) -> None:
    scene.servo(fault.servo).silent = True


def _unplug(scene: Scene, fault: Fault) -> None:
    scene.trouble.unplugged = True


def _cut(scene: Scene, fault: Fault) -> None:
    scene.trouble.cut = True


def _block(scene: Scene, fault: Fault) -> None:
    try:
        scene.plant.block(fault.joint)
    except ValueError as error:
        raise FaultRefused(str(error)) from error


def _voltage(scene: Scene, fault: Fault) -> None:
    if not 0.0 <= fault.value <= 20.0:
        raise FaultRefused(f"expected a voltage of 0 to 20 V, not {fault.value:g}")
    scene.trouble.volts = fault.value


def _clear(scene: Scene, fault: Fault) -> None:
    trouble = scene.trouble
    trouble.loss = trouble.corruption = 0.0
    trouble.cut = trouble.unplugged = False
    trouble.volts = None
    scene.plant.let_go()
    for servo in scene.servos:
        servo.silent = False
        servo.protection.cool()


FAULTS: dict[str, tuple[str, Callable[[Scene, Fault], None]]] = {
    "lose": ("lose packets, either way, with probability `value`", _lose),
    "corrupt": ("spoil a byte of packets, either way, with probability `value`", _corrupt),
    "overheat": ("heat `servo` to `value` degrees C, or 10 above its limit", _overheat),
    "overload": ("make `servo` report an overload", _overload),
    "silence": ("`servo` hears and says nothing more; it keeps its power", _silence),
    "unplug": ("pull the adapter out: the port hangs up and vanishes", _unplug),
    "cut": ("open the cable behind the adapter: nothing arrives any more", _cut),
    "block": ("hold `joint` where it is", _block),
    "voltage": ("supply `value` V; all servos are dead below 5.5 V and restart above", _voltage),
    "clear": ("mend everything; what a servo has shut down for stays on record until it is rebooted", _clear),
}


def cause(scene: Scene, fault: Fault) -> None:
    """Let a fault happen. Raises FaultRefused, saying what was expected."""
    if fault.kind not in FAULTS:
        raise FaultRefused(f"no fault {fault.kind!r}: there are {', '.join(FAULTS)}")
    FAULTS[fault.kind][1](scene, fault)


def _probability(fault: Fault) -> float:
    if not 0.0 <= fault.value <= 1.0:
        raise FaultRefused(f"expected a probability, 0 to 1, not {fault.value:g}")
    return fault.value
