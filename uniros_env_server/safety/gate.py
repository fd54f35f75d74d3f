"""The safety gate: what stands between every command and every robot."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from uniros_env_server.data import load_yaml
from uniros_env_server.robots.model import RobotModel
from uniros_env_server.robots.robot import Array, RobotState
from uniros_env_server.safety.clearance import Needs, PathClearance
from uniros_env_server.safety.refusal import Refusal
from uniros_env_server.tasks.task import Workspace

Codes = NDArray[np.int8]
_OF_PATH = (Refusal.TABLE, Refusal.SELF_COLLISION, Refusal.WORKSPACE)  # in the order of PathClearance.judge


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate lets a batch of N arms do."""

    command: Array  # (N, C) rad and m: the target, or where it was refused the set-point that is held
    refusal: Codes  # (N,) codes of `Refusal`


@dataclass(frozen=True)
class SafetyLimits:
    """Figures the gate keeps to."""

    lead: float  # rad, of a command before the measured position
    limit_margin: float  # rad, that commands keep from a joint's end
    speed_share: float  # of each joint's top speed, for the commanded motion
    action_scale: float  # rad/s, the most that one unit of an action may stand for
    table: float  # m, between every link that moves and the table
    self_distance: float  # m, between links that may meet
    tracking: float  # m, that a link may stray from its commanded path; commands keep this much more distance
    haste: float  # m, how much further when a task's actions move it
    overshoot: float  # rad, that a task's actions keep from a joint's end beyond the limit margin
    state_age: float  # s, of the oldest measurement to move on

    @classmethod
    def load(cls, robot: str, world: str = "simulated") -> SafetyLimits:
        """The figures of a robot's safety.yaml, for the `simulated` or the `real` world."""
        data = load_yaml("robots", robot, "safety.yaml")
        return cls(data["lead"], data["limit_margin"], data["speed_share"][world], data["action_scale"][world],
                   data["table"][world], data["self"], data["tracking"], data["haste"][world],
                   data["overshoot"][world], data["state_age"])


class SafetyGate:
    """Checks commands for N arms at once; holds those it refuses and says why.

    `estop()` may be called from any thread; it takes effect with the next check.
    """

    def __init__(self, model: RobotModel, limits: SafetyLimits) -> None:
        self.model = model
        self.limits = self._widest = limits
        self._lower, self._upper = model.limits(model.commanded)
        self._arm = len(model.arm)
        self._lower[: self._arm] += limits.limit_margin
        self._upper[: self._arm] -= limits.limit_margin
        self._speed = self._speeds(limits)
        self._clearance = PathClearance(model)
        self._calm, self._hasty = self._needs(limits.tracking), self._needs(limits.tracking + limits.haste)
        self._stopped = False

    @property
    def speeds(self) -> Array:
        """(A,) rad/s, the fastest commanded motion of each joint of the arm."""
        return self._speed[: self._arm]

    @property
    def velocity_scale(self) -> float:
        """The share of the speeds in safety.yaml that is allowed now."""
        return self.limits.speed_share / self._widest.speed_share

    def narrow(self, velocity_scale: float, state_age: float) -> None:
        """From now on, allow a share of the speeds in safety.yaml, and measurements as old as state_age (s).

        Raises ValueError for more than is written there.
        """
        widest = self._widest
        if not 0.0 < velocity_scale <= 1.0 or not 0.0 < state_age <= widest.state_age:
            raise ValueError(f"safety.yaml allows a velocity_scale of at most 1 and states {widest.state_age:g} s old, "
                             f"not {velocity_scale!r} and {state_age!r}")
        self.limits = replace(widest, speed_share=widest.speed_share * velocity_scale, state_age=state_age)
        self._speed = self._speeds(self.limits)

    @property
    def stopped(self) -> bool:
        """Whether the emergency stop is in force."""
        return self._stopped

    def estop(self) -> None:
        """Refuse every motion until `clear_estop`."""
        self._stopped = True

    def clear_estop(self) -> None:
        """Let the arm move again."""
        self._stopped = False

    def check(self, state: RobotState, age: float, target: Array, duration: float,
              workspace: Workspace | None) -> Decision:
        """What may be executed of targets, (N, C), within `duration` seconds, for a state measured `age` seconds ago.

        A refused row holds its set-point. No command leads the measured position by more than the lead, so one whose
        arm is held back or pushed away follows the arm. Without a workspace the end effector may go anywhere safe.
        """
        measured, setpoint = state.positions(self.model.arm), state.setpoint
        target = self._leashed(target, measured)
        refusal = self._check_joints(age, measured, setpoint, target, duration)
        self._check_ends(refusal, setpoint, target, 0.0 if workspace is None else self.limits.overshoot)
        moves = refusal == Refusal.NONE
        if moves.any():
            self._check_paths(refusal, moves, measured, setpoint, target, workspace)
        if not refusal.any():
            return Decision(target, refusal)
        held = np.where(refusal[:, None] > 0, setpoint, target)
        return Decision(self._leashed(held, measured), refusal)

    def describe(self) -> dict[str, Any]:
        """The limits as JSON can hold them (rad, m, s)."""
        ranges = zip(self._lower.tolist(), self._upper.tolist(), self._speed.tolist(), strict=True)
        joints = {name: {"lower": lower, "upper": upper, "speed": speed}
                  for name, (lower, upper, speed) in zip(self.model.commanded, ranges, strict=True)}
        return {"joints": joints, "margins": asdict(self.limits)}

    def watch(self, state: RobotState, age: float) -> Refusal:
        """Why arms under way must hold, for a state measured `age` seconds ago; NONE when they may go on."""
        if self._stopped:
            return Refusal.ESTOP
        if age > self.limits.state_age or not np.isfinite(state.positions(self.model.arm)).all():
            return Refusal.STATE
        return Refusal.NONE

    def safe(self, q: Array, workspace: Workspace | None = None) -> NDArray[np.bool_]:
        """(M,) whether arms may rest at the joint positions q, (M, A) rad."""
        inside = ((q >= self._lower[: self._arm]) & (q <= self._upper[: self._arm])).all(axis=1)
        table, links, box = self._clearance.at(q, workspace)
        needs = self._calm if workspace is None else self._hasty
        return inside & (table >= needs.table[0]) & (links >= needs.links[0]) & (box >= 0)

    def _speeds(self, limits: SafetyLimits) -> Array:
        """(C,) rad/s, m/s that commands may ask for."""
        return limits.speed_share * self.model.top_speeds(self.model.commanded) * (1 + 1e-6)

    def _needs(self, stray: float) -> Needs:
        """Clearance (m) of the commanded way, from which links may stray, then of the one from where the arm is."""
        way = np.array([[stray], [0.0]])
        return Needs(self.limits.table + way, self.limits.self_distance + way, way - stray)

    def _leashed(self, target: Array, measured: Array) -> Array:
        """Targets within the lead of the measured positions; where nothing sound was measured, as they are."""
        ahead = target[:, : self._arm] - measured
        within = (np.abs(ahead) <= self.limits.lead).all(axis=1, keepdims=True)
        if within.all():
            return target
        leashed = target.copy()
        bounded = measured + np.clip(ahead, -self.limits.lead, self.limits.lead)
        leashed[:, : self._arm] = np.where(np.isfinite(ahead) & ~within, bounded, target[:, : self._arm])
        return leashed

    def _check_joints(self, age: float, measured: Array, setpoint: Array, target: Array, duration: float) -> Codes:
        """Codes for what needs no geometry."""
        motion = target - setpoint
        refusal = np.zeros(len(target), dtype=np.int8)
        refusal[(np.abs(motion) > self._speed * duration).any(axis=1)] = Refusal.VELOCITY
        sound = np.isfinite(measured).all(axis=1) & np.isfinite(target).all(axis=1)
        refusal[~sound] = Refusal.STATE
        if age > self.limits.state_age:
            refusal[:] = Refusal.STATE
        if self._stopped:
            refusal[:] = Refusal.ESTOP
        return refusal

    def _check_ends(self, refusal: Codes, setpoint: Array, target: Array, spare: float) -> None:
        """Add the code for arms that nothing else forbids to move, but that come too near to a joint's end."""
        motion = target - setpoint
        kept = np.where(np.arange(target.shape[1]) < self._arm, spare, 0.0)
        outward = ((target < self._lower + kept) & (motion < 0)) | ((target > self._upper - kept) & (motion > 0))
        refusal[(refusal == Refusal.NONE) & outward.any(axis=1)] = Refusal.JOINT_LIMIT

    def _check_paths(self, refusal: Codes, moves: NDArray[np.bool_], measured: Array, setpoint: Array, target: Array,
                     workspace: Workspace | None) -> None:
        """Add the codes for the two ways the arm may take: the commanded one, and straight from where it is."""
        rows = np.flatnonzero(moves)
        starts = np.stack([setpoint[rows, : self._arm], measured[rows]])
        needs = self._calm if workspace is None else self._hasty
        clear = self._clearance.judge(starts, target[rows, : self._arm], needs, workspace)
        for code, reason in enumerate(_OF_PATH):
            refusal[rows[~(clear[code, 0] & clear[code, 1])]] = reason
