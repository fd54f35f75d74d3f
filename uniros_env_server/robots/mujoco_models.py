"""The MuJoCo models of N simulated arms: one that all share, until the knobs of single arms are turned."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from uniros_msgs.knobs import Physics

SHARED = ("time_step", "latency", "real_time_factor")  # the knobs that are the same for all arms


class MujocoModels:
    """`rows` holds the model of each arm, `knobs` where its knobs stand.

    A knob that stands at its default leaves the model as it was made, to the last bit.
    """

    def __init__(self, model: mujoco.MjModel, num: int, arm: tuple[str, ...]) -> None:
        """arm: the joints that the knob `damping` acts on."""
        self.rows = [model] * num
        self.knobs = [Physics(time_step=float(model.opt.timestep), gravity=float(model.opt.gravity[2]))] * num
        self._made = copy.copy(model)
        self._damped = [model.joint(name).dofadr[0] for name in arm]
        self._scratch = mujoco.MjData(model)

    def turn(self, changes: Mapping[str, float], rows: NDArray[np.intp] | None = None) -> None:
        """Turn knobs of the arms of `rows`, or of all. Raises ValueError for some arms' share of what all share."""
        count = len(self.rows)
        chosen = range(count) if rows is None else rows
        apart = len(chosen) < count
        if shared := [name for name in changes if name in SHARED and apart]:
            raise ValueError(f"{', '.join(shared)}: all arms of a batch share this, it cannot differ between them")
        if apart and self.rows[0] is self.rows[-1]:
            self.rows = [copy.copy(self.rows[0]) for _ in self.rows]
        for row in chosen:
            self.knobs[row] = replace(self.knobs[row], **changes)
        for row, model in {id(self.rows[row]): (row, self.rows[row]) for row in chosen}.values():
            self._write(model, self.knobs[row])

    def _write(self, model: mujoco.MjModel, knobs: Physics) -> None:
        made: Any = self._made
        model.opt.timestep = knobs.time_step
        model.opt.gravity[2] = knobs.gravity
        model.dof_damping[self._damped] = made.dof_damping[self._damped] + knobs.damping
        model.dof_frictionloss[:] = made.dof_frictionloss * knobs.friction
        model.actuator_gainprm[:, 0] = made.actuator_gainprm[:, 0] * knobs.position_gain
        model.actuator_biasprm[:, 1] = made.actuator_biasprm[:, 1] * knobs.position_gain
        model.actuator_biasprm[:, 2] = made.actuator_biasprm[:, 2] * knobs.velocity_gain
        model.body_mass[:] = made.body_mass * knobs.mass
        model.body_inertia[:] = made.body_inertia * knobs.mass
        mujoco.mj_setConst(model, self._scratch)  # what MuJoCo derives from masses
