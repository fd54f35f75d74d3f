"""What planned ways keep away from: joint limits, the table, other links, each with the safety gate's margins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from uniros_env_server.planning.settings import Settings
from uniros_env_server.robots.model import RobotModel
from uniros_env_server.robots.robot import Array
from uniros_env_server.safety.clearance import FINE_PIECES
from uniros_env_server.safety.collision import CollisionModel
from uniros_env_server.safety.gate import SafetyLimits

COARSE = 0.10  # m that a link moves at most between the first looks at a way
FINE = 0.001  # m, nearer looks than this are not taken: less than half of it can be missed in between
GROWTH = 1e-3  # m of clearance per m of motion: a piece that gains as much has no dip within that the gate would see
ROUNDING = 1e-9  # m, rad


class Margins:
    """Judges configurations, (A,) rad, and straight ways between them.

    What is needed is what the safety gate needs to let commands along such a way pass: its margins, and between links
    what it takes for unseen between its FINE_PIECES looks at a command.
    """

    def __init__(self, model: RobotModel, limits: SafetyLimits, settings: Settings) -> None:
        self.model = model
        self.rests = tuple(model.poses.values())  # (A,) rad each: known to be safe, even where that is within margins
        self.limit_margin = limits.limit_margin
        lower, upper = model.limits(model.arm)
        self.lower, self.upper = lower + self.limit_margin, upper - self.limit_margin
        self._collision = CollisionModel(model)
        at_once = settings.speeds(model) * settings.command_period  # (A,) rad, of one command
        unseen = float(self._collision.travel(0 * at_once[None], at_once[None])[0]) / (2 * FINE_PIECES)
        beyond = limits.tracking + settings.spare
        self._needs = np.array([[limits.table + beyond], [limits.self_distance + beyond + unseen]])

    def spare(self, q: Array) -> Array:
        """(2, M) m by which configurations (M, A) are further from the table, and links from links, than they must."""
        poses = self._collision.poses(q)
        spare: Array = np.stack([self._collision.height(poses), self._collision.gap(poses)]) - self._needs
        return spare

    def inside(self, q: Array) -> NDArray[np.bool_]:
        """(M,) whether configurations (M, A) are within the joint limits."""
        of_joints = (q >= self.lower - ROUNDING) & (q <= self.upper + ROUNDING)
        within: NDArray[np.bool_] = np.logical_and.reduce(of_joints, axis=1)
        return within

    def keeps(self, q: Array) -> NDArray[np.bool_]:
        """(M,) whether configurations (M, A) keep all limits and margins."""
        kept: NDArray[np.bool_] = self.inside(q) & (self.spare(q).min(axis=0) >= 0)
        return kept

    def clear(self, start: Array, end: Array) -> bool:
        """Whether the straight way from start to end, which must be within the joint limits, keeps clear.

        Pieces of it are halved until the clearance at both ends exceeds what is needed by more than links can move in
        between, so that nothing is missed, or until links move no more than FINE. Where the start is too near already,
        a piece on which the clearance grows, or stays as it is, is clear, too: an arm may always move away.
        """
        if not self.inside(end[None])[0]:
            return False
        pieces = max(1, int(np.ceil(self._collision.travel(start[None], end[None])[0] / COARSE)))
        points = start + (end - start) * np.linspace(0.0, 1.0, pieces + 1)[:, None]
        spare = self.spare(points)
        least = np.minimum(spare[:, :1], 0.0) - ROUNDING
        one, two, spare_one, spare_two = points[:-1], points[1:], spare[:, :-1], spare[:, 1:]
        while (spare_two >= least).all():
            travel = self._collision.travel(one, two)
            sure = spare_one + spare_two >= travel
            fine = travel <= FINE
            gain = spare_two - spare_one
            worse = (spare_two < 0) & (gain < GROWTH * travel) & (np.abs(gain) > ROUNDING)
            if (fine & worse.any(axis=0)).any():
                return False
            unsure = ~sure.all(axis=0) & ~fine
            if not unsure.any():
                return True
            one, two, spare_one, spare_two = one[unsure], two[unsure], spare_one[:, unsure], spare_two[:, unsure]
            middle = (one + two) / 2
            between = self.spare(middle)
            one, two = np.concatenate([one, middle]), np.concatenate([middle, two])
            spare_one, spare_two = np.hstack([spare_one, between]), np.hstack([between, spare_two])
        return False

    def trouble(self, q: Array) -> str:
        """What is wrong with a configuration (A,); empty when nothing is."""
        found = [f"{name} would stand at {angle:.3f} rad, it may from {low:.3f} to {high:.3f}"
                 for name, angle, low, high in zip(self.model.arm, q, self.lower, self.upper, strict=True)
                 if not low - ROUNDING <= angle <= high + ROUNDING]
        spare = self.spare(q[None])[:, 0]
        for what, need, over in zip(("a link and the table", "two links"), self._needs[:, 0], spare, strict=True):
            if over < 0:
                found.append(f"{what} would be {1000 * max(0.0, need + over):.0f} mm apart, {1000 * need:.0f} mm are "
                             "needed")
        return "; ".join(found)

    def first_trouble(self, start: Array, end: Array) -> str:
        """What is in the way from start to end, at its worst."""
        points = start + (end - start) * np.linspace(0.0, 1.0, 101)[:, None]
        worst = int(self.spare(points).min(axis=0).argmin())
        return f"{worst} % along the straight way, " + (self.trouble(points[worst]) or "the clearance hardly suffices")
