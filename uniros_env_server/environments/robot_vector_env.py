"""N arms at one task as a gymnasium.vector.VectorEnv: one batch of physics, checks and rewards, not N environments.

Row i, reset with seed s, says to the last bit what the single environment reset with seed s says: `SyncVectorEnv` of
the single environments is the reference, infos and autoreset included.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from uniros_env_server.environments.robot_env import Snapshot
from uniros_env_server.environments.row_draws import RowDraws
from uniros_env_server.environments.row_goals import RowGoals, row_seeds
from uniros_env_server.environments.row_layout import RowLayout, masked, row_of
from uniros_env_server.environments.targets import Targets
from uniros_env_server.environments.tuning import Tuning, check_pace, offer_cycle
from uniros_env_server.robots.kinematics import Kinematics
from uniros_env_server.robots.robot import Array
from uniros_env_server.safety.gate import Codes, SafetyGate
from uniros_env_server.safety.refusal import NAMES
from uniros_env_server.tasks.relabel import compute_reward
from uniros_env_server.tasks.task import Task, View
from uniros_env_server.timing.pace import Pace
from uniros_msgs.errors import Closed, InvalidAction, InvalidObservation, ResetNeeded
from uniros_msgs.knobs import Cycle, Physics

if TYPE_CHECKING:
    from uniros_env_server.robots.picture import Painter

Flags = NDArray[np.bool_]
_NAMES = np.array(NAMES, dtype=object)


class RobotTaskVectorEnv(VectorEnv):
    """N simulated arms in lock-step. Spaces, actions and infos of a row are those of `RobotTaskEnv`.

    A bad action of one row refuses the whole step: nothing moves.
    """

    remote_attributes = ("mode", "cycle_time", "limits", "knobs")
    mode = "lock_step"
    has_driver = False

    def __init__(self, task: Task, gate: SafetyGate, robot: Any, targets: Targets, start: Array, layout: RowLayout,
                 cycle_time: float, max_episode_steps: int, autoreset_mode: AutoresetMode,
                 render_mode: str | None = None, draws: RowDraws | None = None) -> None:
        """robot: a `MujocoRobot` of N arms. start: (1, C) rad and m, where every episode begins. draws: physics that
        each row's episodes draw anew.
        """
        self.task, self.gate, self.robot, self.targets = task, gate, robot, targets
        self.num_envs, self.cycle_time = robot.num, cycle_time
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": 10, "autoreset_mode": autoreset_mode}
        self.single_observation_space, self.single_action_space = layout.observation_space, layout.action_space
        self.observation_space = batch_space(layout.observation_space, self.num_envs)
        self.action_space = batch_space(layout.action_space, self.num_envs)
        self.remote_methods = ("describe_task", "clear_estop", *(("compute_reward",) if layout.goal else ()))
        self.render_mode = render_mode
        self._painter: Painter | None = None
        self._layout, self._start, self._limit, self._autoreset = layout, start, max_episode_steps, autoreset_mode
        self._kinematics = Kinematics(gate.model)
        self._goals = RowGoals(self.num_envs, task, self._reachable)
        self._draws = draws or RowDraws(robot)
        self._pace = Pace()
        self._smoothing = 0.0  # share of the last executed actions in the next ones
        self.tuning = Tuning()
        offer_cycle(self.tuning, gate, Cycle(cycle_time, targets.speed, watchdog=gate.limits.state_age,
                                             tolerance=task.tolerance), self._turn_cycle)
        self.tuning.offer("physics", robot.knobs, self._turn_physics)
        self._elapsed = np.zeros(self.num_envs, dtype=np.int64)
        self._over = np.zeros(self.num_envs, dtype=bool)  # rows whose episode has ended and is not begun anew yet
        self._executed: Array = np.zeros((self.num_envs, targets.size))  # the last actions, as they were carried out
        self._refusal: Codes = np.zeros(self.num_envs, dtype=np.int8)  # why they were not
        self._begun = False
        self._latest = robot.state()
        self._commanded = 0.0  # s since the epoch

    # --- gymnasium.vector.VectorEnv ---------------------------------------------------------------------------------

    def reset(self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
              ) -> tuple[Any, dict[str, Any]]:
        """Begin new episodes: of all rows, or of those in options["reset_mask"], (N,) bool.

        seed: s gives row i the seed s + i; a sequence has one for each. options["goal"]: (3,) or (N, 3) m in the base
        frame instead of drawn goals. Raises ValueError for a goal that the arm does not reach safely.
        """
        self._raise_if_closed()
        options = options or {}
        rows = self._rows(options.get("reset_mask"))
        self._goals.seed(rows, seed)
        self._draws.seed(rows, row_seeds(seed, self.num_envs))
        drawn = self._begin(rows, options.get("goal"))
        self._begun = True
        observations, achieved = self._see()
        return observations, masked(self._infos(achieved), rows, self.num_envs) | drawn

    def step(self, actions: ArrayLike) -> tuple[Any, Array, Flags, Flags, dict[str, Any]]:
        """One action cycle of all rows. Actions of rows that are only begun anew (NEXT_STEP) do not count.

        Raises InvalidAction, and nothing moves, for anything but finite numbers in the action space; ResetNeeded before
        the first reset, or with autoreset disabled when a row has ended; InvalidObservation.
        """
        self._raise_if_closed()
        if not self._begun:
            raise ResetNeeded("the environments have no episode yet: call reset() first")
        if self._autoreset is AutoresetMode.DISABLED and self._over.any():
            raise ResetNeeded(f"rows {np.flatnonzero(self._over).tolist()} have ended: reset them with "
                              'options={"reset_mask": mask}')
        fresh = np.flatnonzero(self._over)
        self._cycle(self._checked(actions))
        self._elapsed += 1
        # NEXT_STEP: these moved, too, but what they do now is begin anew
        drawn = self._begin(fresh) if len(fresh) else {}
        observations, achieved = self._see()
        infos = self._infos(achieved) | drawn
        rewards = self.task.reward(achieved, self._goals.current, self._refusal)
        terminated, truncated = infos["is_success"].copy(), self._elapsed >= self._limit
        rewards[fresh], terminated[fresh] = 0.0, False
        self._over = terminated | truncated
        if self._autoreset is AutoresetMode.SAME_STEP and self._over.any():
            observations, infos = self._begin_same_step(observations, infos)
        return observations, rewards, terminated, truncated, infos

    def render(self) -> tuple[Any, ...] | None:
        """(480, 640, 3) uint8 pictures of the arms and their goals, when made with render_mode="rgb_array"."""
        if not self.render_mode:
            return None
        if self._painter is None:
            from uniros_env_server.robots.picture import Painter  # opens a graphics library: not before it is needed

            self._painter = Painter(self.gate.model)
        return tuple(self._painter.draw(row_of(self._latest, row), self._goals.current[row])
                     for row in range(self.num_envs))

    def close_extras(self, **kwargs: Any) -> None:
        """Let go of the physics."""
        self.robot.close()
        if self._painter is not None:
            self._painter.close()

    # --- beyond it --------------------------------------------------------------------------------------------------

    def describe_task(self) -> dict[str, Any]:
        """See `RobotTaskEnv.describe_task`."""
        return self.task.describe()

    def compute_reward(self, achieved_goal: ArrayLike, desired_goal: ArrayLike, info: Any = None) -> Any:
        """See `RobotGoalEnv.compute_reward`."""
        return compute_reward(self.task, achieved_goal, desired_goal, info)

    @property
    def observation_names(self) -> list[str]:
        """See `Task.observation_names`."""
        return self.task.observation_names(self.gate.model, self.targets.size)

    @property
    def limits(self) -> dict[str, Any]:
        """See `RobotTaskEnv.limits`."""
        box = {"low": self.task.workspace.low.tolist(), "high": self.task.workspace.high.tolist()}
        return self.gate.describe() | {"workspace": box, "cycle": self.tuning.values("cycle")}

    @property
    def knobs(self) -> dict[str, dict[str, float]]:
        """Where the knobs stand that were turned for all rows, by group."""
        return {group: self.tuning.values(group) for group in self.tuning.groups}

    def snapshot(self) -> Snapshot:
        """The newest state, and the goal of the first arm; may be called from any thread, never waits."""
        return Snapshot(self._latest, self._goals.current[0])

    def stamps(self) -> tuple[float, float, float, int]:
        """Of the last result: commanded and measured (s since the epoch), the observation's age (s), overruns."""
        state = self._latest
        return self._commanded, state.wall, time.monotonic() - state.stamp, 0

    def estop(self) -> None:
        """Emergency stop: refuse all motion of all arms."""
        self.gate.estop()

    def clear_estop(self) -> None:
        """End the emergency stop."""
        self.gate.clear_estop()

    # --- knobs ------------------------------------------------------------------------------------------------------

    def _turn_cycle(self, values: Cycle, changes: Mapping[str, float]) -> None:
        check_whole(values.cycle_time, self.robot.knobs.time_step)
        self.gate.narrow(values.velocity_scale, values.watchdog)
        self.cycle_time, self._smoothing = values.cycle_time, values.smoothing
        self.targets = self.targets.paced(values)
        self.task = replace(self.task, tolerance=values.tolerance)  # type: ignore[type-var]

    def _turn_physics(self, values: Physics, changes: Mapping[str, float]) -> None:
        check_pace(values)
        check_whole(self.cycle_time, values.time_step)
        self.robot.turn(changes)
        self._pace.factor = values.real_time_factor

    # --- the parts of a step ----------------------------------------------------------------------------------------

    def _checked(self, actions: ArrayLike) -> Array:
        """(N, A) float64 of the actions, rounded to the space's float32."""
        array = np.asarray(actions)
        if array.shape != self.action_space.shape or array.dtype.kind not in "fiu":
            raise InvalidAction(f"expected actions of {self.action_space.shape} numbers from -1 to 1, "
                                f"got {array.dtype} of shape {array.shape}; nothing moved")
        array = array.astype(np.float32)
        array[self._over] = 0.0  # they count for nothing
        fine = (np.abs(array) <= 1.0).all(axis=1)
        if not fine.all():
            raise InvalidAction("expected actions of finite numbers from -1 to 1, those of rows "
                                f"{np.flatnonzero(~fine).tolist()} are not; nothing moved")
        return array.astype(np.float64)

    def _cycle(self, wanted: Array) -> None:
        """Move all arms, as far as it is safe."""
        before = self._latest
        self._pace.begin()
        if self._smoothing:
            wanted = wanted + self._smoothing * (self._executed - wanted)
        target = self.targets.target(before.setpoint, wanted)
        decision = self.gate.check(before, 0.0, target, self.cycle_time, self.task.workspace)
        self._commanded = time.time()
        self.robot.command(decision.command, self.cycle_time)
        self.robot.advance(self.cycle_time)
        self._pace.end(self.cycle_time)
        self._latest = self.robot.state()
        self._executed = self.targets.executed(before.setpoint, self._latest.setpoint)
        self._refusal = decision.refusal

    def _begin(self, rows: NDArray[np.intp], given: Any = None) -> dict[str, Any]:
        """Bring arms to the start, with new goals; returns what there is to add to the infos."""
        self._goals.renew(rows, given)
        drawn = self._draws.begin(rows)
        self.robot.reset(np.repeat(self._start, len(rows), axis=0), rows)
        self._elapsed[rows], self._over[rows], self._executed[rows], self._refusal[rows] = 0, False, 0.0, 0
        self._latest = self.robot.state()
        return drawn

    def _begin_same_step(self, last: Any, infos: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Begin anew the rows that have just ended; what they said last goes into the infos."""
        rows = np.flatnonzero(self._over)
        final = {"final_obs": self._layout.rows(last, rows, self.num_envs), "_final_obs": self._over.copy(),
                 "final_info": masked(infos, rows, self.num_envs), "_final_info": self._over.copy()}
        first = bool(self._over[0])  # a dict's order is that in which the rows, one after the other, bring its keys
        drawn = self._begin(rows)
        observations, achieved = self._see()
        infos = self._infos(achieved)
        return observations, (final | infos if first else infos | final) | drawn

    def _see(self) -> tuple[Any, Array]:
        """The observations, and where what is to reach the goals stands, (N, 3) m."""
        state, goal = self._latest, self._goals.current
        view = View(state, self._kinematics.fk(state.positions(self.gate.model.arm)), goal, self._executed)
        values = self.task.observe(view)
        finite = np.isfinite(values).all(axis=1)
        if not finite.all():
            raise InvalidObservation(f"the arms of rows {np.flatnonzero(~finite).tolist()} measured something not "
                                     "finite; reset")
        achieved = self.task.achieved(view).astype(np.float32)
        return self._layout.batch(values, achieved, goal), achieved.astype(np.float64)

    def _infos(self, achieved: Array) -> dict[str, Any]:
        """As `SyncVectorEnv` puts the rows' infos together: each value with a mask of the rows that have one."""
        distance = self.task.distance(achieved, self._goals.current)
        values = {"is_success": distance <= self.task.tolerance, "distance": distance, "refusal": _NAMES[self._refusal],
                  "executed_action": self._executed.astype(np.float32),
                  "power": self._latest.power(self.gate.model.arm)}
        return {key: each for name, value in values.items()
                for key, each in ((name, value), (f"_{name}", np.ones(self.num_envs, dtype=bool)))}

    def _raise_if_closed(self) -> None:
        if self.closed:
            raise Closed("the environments are closed: make them again")

    def _rows(self, mask: Any) -> NDArray[np.intp]:
        """The rows to reset. Raises ValueError for what is no mask of them."""
        if mask is None:
            return np.arange(self.num_envs)
        mask = np.asarray(mask)
        if mask.shape != (self.num_envs,) or mask.dtype != bool or not mask.any():
            raise ValueError(f'options["reset_mask"] must be ({self.num_envs},) bool with a row to reset, not {mask!r}')
        return np.flatnonzero(mask)

    def _reachable(self, points: Array) -> Any:
        """See `RobotTaskEnv._reachable`."""
        solution = self._kinematics.ik(points, self._start[0, : len(self._kinematics.joints)])
        return solution.success & self.gate.safe(solution.q, self.task.workspace)


def check_whole(cycle_time: float, time_step: float) -> None:
    """Raises ValueError for cycles that are no whole number of physics steps: rows that begin at different times share
    them.
    """
    steps = cycle_time / time_step
    if abs(steps - round(steps)) > 1e-6:
        raise ValueError(f"cycle_time of a batch must be a whole number of physics steps of {time_step:g} s, not "
                         f"{cycle_time}")
