"""The knobs of an environment: where they stand, how far they may be turned, and who carries that out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from uniros_env_server.robots.mujoco import MujocoRobot
from uniros_env_server.safety.gate import SafetyGate
from uniros_env_server.timing.clock import Clock
from uniros_msgs.knobs import Bounds, Cycle, Physics, bounds, changed

Turn = Callable[[Any, Mapping[str, float]], None]  # from all values of a group, and the changes among them

SLOWEST = 0.1  # simulated s per s, unless as fast as it goes
FASTEST = 4.0  # ... where a control loop must keep up


@dataclass
class _Group:
    values: Any  # a class of uniros_msgs.knobs
    within: Bounds
    turn: Turn


class Tuning:
    """Groups of knobs by name: `cycle`, and `physics` where there is a simulator.

    Knobs are turned between two steps, by the environment's own thread; anybody may read where they stand.
    """

    def __init__(self) -> None:
        self._groups: dict[str, _Group] = {}

    def offer(self, group: str, values: Any, turn: Turn, **narrower: tuple[float, float]) -> None:
        """values: where the knobs stand. turn: carries changes out, or raises ValueError and does nothing."""
        self._groups[group] = _Group(values, bounds(values, **narrower), turn)

    @property
    def groups(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self._groups)

    def values(self, group: str) -> dict[str, float]:
        """Where a group's knobs stand."""
        return asdict(self._groups[group].values)

    def bounds(self, group: str) -> Bounds:
        """How far a group's knobs may be turned."""
        return dict(self._groups[group].within)

    def turn(self, group: str, changes: Mapping[str, float]) -> None:
        """Turn knobs, all at once. Raises ValueError, and nothing has changed, when one cannot be turned so far."""
        found = self._groups[group]
        values = changed(found.values, changes, found.within)
        found.turn(values, changes)
        found.values = values


def offer_cycle(tuning: Tuning, gate: SafetyGate, values: Cycle, turn: Turn) -> None:
    """Offer the knobs of an arm's action cycles, within what the gate allows."""
    row = bounds(Cycle())
    tuning.offer("cycle", values, turn, action_scale=(row["action_scale"][0], gate.limits.action_scale),
                 watchdog=(row["watchdog"][0], gate.limits.state_age))


def offer_physics(tuning: Tuning, robot: MujocoRobot, clock: Clock) -> None:
    """Offer the knobs of an arm's simulation."""
    real_time = clock.mode == "real_time"

    def turn(values: Physics, changes: Mapping[str, float]) -> None:
        check_pace(values)
        clock.between(lambda: robot.turn(changes))
        if "real_time_factor" in changes:
            clock.pace(values.real_time_factor)

    values = replace(robot.knobs, real_time_factor=1.0 if real_time else 0.0)
    tuning.offer("physics", values, turn, **{"real_time_factor": (SLOWEST, FASTEST)} if real_time else {})


def check_pace(values: Physics) -> None:
    """Raises ValueError for simulations that would hardly move."""
    if 0.0 < values.real_time_factor < SLOWEST:
        raise ValueError(f"real_time_factor must be 0 or at least {SLOWEST:g}, not {values.real_time_factor!r}")


def least_ramp(cycle: Cycle, gate: SafetyGate) -> float:
    """s, an action with less time left of its cycle than this could not be carried out at the speed allowed."""
    slowest = float(gate.speeds.min()) / gate.velocity_scale
    return cycle.cycle_time * min(1.0, cycle.action_scale / slowest)
