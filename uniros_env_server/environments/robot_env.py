"""The environment: a task, a robot, a safety gate and a clock, put together as a gymnasium.Env."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from uniros_env_server.environments.homing import Homing, Progress
from uniros_env_server.environments.randomisation import Randomisation, Streams
from uniros_env_server.environments.targets import Targets
from uniros_env_server.environments.tuning import Tuning, least_ramp, offer_cycle
from uniros_env_server.robots.kinematics import Kinematics
from uniros_env_server.robots.robot import Array, RobotState
from uniros_env_server.safety.gate import Decision, SafetyGate
from uniros_env_server.safety.refusal import NAMES
from uniros_env_server.tasks.task import Task, View
from uniros_env_server.timing.clock import Clock, Outcome, Timing
from uniros_msgs.errors import InvalidAction, InvalidObservation, ResetNeeded
from uniros_msgs.knobs import Cycle

if TYPE_CHECKING:
    from uniros_env_server.robots.picture import Painter

GOALS_AHEAD = 32  # goals that are drawn and checked at once


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What there is to see of an environment at one moment."""

    state: RobotState
    goal: Array  # (3,) m in the base frame; NaN before the first reset


class RobotTaskEnv(gymnasium.Env[Any, Array]):
    """One arm at one task.

    Episodes begin with the arm at the command `start`, (1, C) rad and m, and end when the task succeeds. Actions are
    numbers from -1 to 1 that move the last executed command; zero means stay. `info` holds `is_success`, `distance` (m
    to the goal), `refusal` (why the arm held instead; empty when it did not) and `executed_action`; in real time also
    `commanded` and `measured` (s since the epoch), `command_delay` and `observation_age` (s), `overruns`, `cancelled`.
    Where physics are randomised, the `info` of a reset says how: `randomisation`, a figure for each knob drawn.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 - as gymnasium declares it
    remote_attributes = ("mode", "cycle_time", "limits", "knobs")
    remote_methods: tuple[str, ...] = ("describe_task", "timing_report", "clear_estop")

    def __init__(self, task: Task, gate: SafetyGate, clock: Clock, targets: Targets, start: Array,
                 render_mode: str | None = None, homing: Homing | None = None) -> None:
        """homing: how the arm is brought to its start, where it cannot be put there."""
        self.task, self.gate, self.clock, self.targets = task, gate, clock, targets
        self.mode, self.cycle_time, self.render_mode = clock.mode, clock.cycle_time, render_mode
        self._start, self._homing = start, homing
        self.tuning = Tuning()
        self._smoothing = 0.0  # share of the last executed action in the next one
        self._executed: Array = np.zeros((1, targets.size))  # the last action, as it was carried out
        self._rested = 0  # cycles without an action, when the last one was commanded
        self._randomisation: Randomisation | None = None
        self._streams = Streams(1)
        offer_cycle(self.tuning, gate, Cycle(clock.cycle_time, targets.speed, watchdog=gate.limits.state_age,
                                             tolerance=task.tolerance), self._turn_cycle)
        self.has_driver = homing is not None  # that publishes the arm's joints
        self.on_progress: Progress = lambda share, phase: None  # told how a reset goes on
        self.arrival: float | None = None  # s, monotonic, when the next step's action came, if it came from elsewhere
        self._kinematics = Kinematics(gate.model)
        self.action_space = spaces.Box(-1.0, 1.0, (targets.size,), np.float32)
        inner = task.observation_space(gate.model, targets.size)
        self._low, self._high = inner.low, inner.high
        self.observation_space: spaces.Space[Any] = inner
        self._goals: list[Array] = []  # drawn ahead, last one next
        self._goal: Array = np.full((1, 3), np.nan)
        self._outcome: Outcome | None = None
        self._painter: Painter | None = None

    # --- gymnasium.Env ----------------------------------------------------------------------------------------------

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Bring the arm to its start and draw a goal, or take the one in options["goal"], (3,) m in the base frame.

        Raises ValueError for a goal that the arm does not reach safely. An arm that cannot be put there but must go may
        raise what `Homing.bring` does; it holds then.
        """
        super().reset(seed=seed)
        self._streams.seed([0], [seed])
        if seed is not None:
            self._goals = []
        self._goal = self._given_goal(options) if options and "goal" in options else self._next_goal()
        self._outcome = None
        drawn = self._randomise()
        if self._homing:
            self._homing.bring(self._start, self.on_progress)
        state = self.clock.reset(self._start)
        nothing = Decision(state.setpoint, np.zeros(1, dtype=np.int8))
        self._outcome = Outcome(nothing, state, Timing())
        self._executed = executed = np.zeros((1, self.targets.size))
        observation, achieved = self._see(state, executed)
        return observation, self._info(self._outcome, achieved, executed) | drawn

    def step(self, action: ArrayLike) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Carry out an action, as far as it is safe, for one action cycle.

        Raises InvalidAction, and nothing moves, for anything but finite numbers in the action space; ResetNeeded before
        the first reset; InvalidObservation when the robot's state is not finite; RobotFault when it cannot go on.
        """
        if self._outcome is None:
            raise ResetNeeded("the environment has no episode yet: call reset() first")
        wanted = self._checked(action)
        before = self._outcome.state.setpoint

        def decide(state: RobotState, age: float, duration: float) -> Decision:
            nonlocal before
            before = state.setpoint
            target = self.targets.target(before, self._eased(wanted))
            return self.gate.check(state, age, target, duration, self.task.workspace)

        arrival, self.arrival = self.arrival, None
        outcome = self._outcome = self.clock.cycle(decide, arrival)
        self._executed = executed = self.targets.executed(before, outcome.state.setpoint)
        observation, achieved = self._see(outcome.state, executed)
        reward = self.task.reward(achieved, self._goal, outcome.decision.refusal)
        info = self._info(outcome, achieved, executed)
        return observation, float(reward[0]), info["is_success"], False, info

    def render(self) -> Any:
        """(480, 640, 3) uint8 picture of the arm and its goal, when made with render_mode="rgb_array"."""
        if not self.render_mode:
            return None
        if self._painter is None:
            from uniros_env_server.robots.picture import Painter  # opens a graphics library: not before it is needed

            self._painter = Painter(self.gate.model)
        return self._painter.draw(self.clock.latest, self._goal[0])

    def close(self) -> None:
        """Let go of the robot; the arm holds. Harmless when repeated."""
        if self._homing:
            self._homing.close()
        self.clock.close()
        if self._painter is not None:
            self._painter.close()
            self._painter = None

    # --- beyond it --------------------------------------------------------------------------------------------------

    def describe_task(self) -> dict[str, Any]:
        """The task's name and parameters, from which `uniros_env_server.tasks.load` makes it again."""
        return self.task.describe()

    @property
    def observation_names(self) -> list[str]:
        """See `Task.observation_names`."""
        return self.task.observation_names(self.gate.model, self.targets.size)

    @property
    def limits(self) -> dict[str, Any]:
        """What binds the arm, as JSON can hold it: joint ranges, speeds, margins and the workspace (rad, m, s), and
        how its actions are carried out: the knobs of its cycle.
        """
        box = {"low": self.task.workspace.low.tolist(), "high": self.task.workspace.high.tolist()}
        return self.gate.describe() | {"workspace": box, "cycle": self.tuning.values("cycle")}

    @property
    def knobs(self) -> dict[str, dict[str, float]]:
        """Where the knobs stand, by group."""
        return {group: self.tuning.values(group) for group in self.tuning.groups}

    def randomise(self, randomisation: Randomisation) -> None:
        """Draw knobs of the physics anew for each episode from now on. Needs a simulator."""
        self._randomisation = randomisation if randomisation.ranges else None

    def snapshot(self) -> Snapshot:
        """The newest state and the goal, for anybody who watches; may be called from any thread, never waits."""
        return Snapshot(self.clock.latest, self._goal[0])

    def stamps(self) -> tuple[float, float, float, int]:
        """Of the last result: commanded and measured (s since the epoch), the observation's age (s), overruns."""
        if self._outcome is None:
            return 0.0, 0.0, 0.0, 0
        timing, state = self._outcome.timing, self._outcome.state
        return timing.commanded, state.wall, time.monotonic() - state.stamp, timing.overruns

    def cancel(self) -> None:
        """Hold the arm and let a waiting step or reset return now; may be called from any thread."""
        if self._homing:
            self._homing.cancel()
        self.clock.cancel()

    def estop(self) -> None:
        """Emergency stop: hold the arm, within one control period in real time, and refuse all motion."""
        self.gate.estop()

    def clear_estop(self) -> None:
        """End the emergency stop, and acknowledge a fault. The arm stays where it is until it is told to move.

        Raises RobotFault when what was wrong still is.
        """
        self.gate.clear_estop()
        self.clock.clear()

    def timing_report(self, fresh: bool = False) -> dict[str, Any]:
        """How well the control loop keeps its times: see `LoopRecord.report`. fresh: forget them afterwards."""
        record = self.clock.record
        report = record.report() | {"clock_bound_ms": round(self.clock.robot.clock_bound * 1e3, 3)}
        if fresh:
            record.clear()
        return report

    # --- knobs ------------------------------------------------------------------------------------------------------

    def _turn_cycle(self, values: Cycle, changes: Mapping[str, float]) -> None:
        self.clock.retime(values.cycle_time, least_ramp(values, self.gate), values.watchdog)
        self.gate.narrow(values.velocity_scale, values.watchdog)
        self.cycle_time, self._smoothing = values.cycle_time, values.smoothing
        self.targets = self.targets.paced(values)
        self.task = replace(self.task, tolerance=values.tolerance)  # type: ignore[type-var]

    def _randomise(self) -> dict[str, Any]:
        """Draw what the coming episode draws anew; returns what there is to add to the info."""
        if "physics" not in self.tuning.groups:
            return {}
        physics, noise = self._streams.next(0)
        robot: Any = self.clock.robot
        self.clock.between(lambda: robot.begin_noise([0], [noise]))
        if self._randomisation is None:
            return {}
        drawn = self._randomisation.draw(physics)
        self.tuning.turn("physics", drawn)
        return {"randomisation": drawn}

    def _eased(self, wanted: Array) -> Array:
        """(1, A) the action asked for, drawn towards the last executed one, unless the arm has rested since."""
        before, self._rested = self._rested, self.clock.record.overruns
        if not self._smoothing or before != self._rested:
            return wanted * (1.0 - self._smoothing) if self._smoothing else wanted
        return wanted + self._smoothing * (self._executed - wanted)

    # --- the parts of a step ----------------------------------------------------------------------------------------

    def _checked(self, action: ArrayLike) -> Array:
        """(1, A) float64 of an action; numbers of any kind are taken, rounded to the space's float32."""
        array = np.asarray(action)
        shape = self.action_space.shape
        if array.shape != shape or array.dtype.kind not in "fiu":
            raise InvalidAction(f"expected an action of {shape} numbers from -1 to 1, "
                                f"got {array.dtype} of shape {array.shape}; nothing moved")
        array = array.astype(np.float32)
        if not (np.abs(array) <= 1.0).all():
            raise InvalidAction(f"expected an action of finite numbers from -1 to 1, got {array.tolist()}; "
                                "nothing moved")
        return array.astype(np.float64)[None]

    def _see(self, state: RobotState, executed: Array) -> tuple[Any, Array]:
        """The observation, and where what is to reach the goal stands, (1, 3) m; `executed` is (1, A)."""
        view = View(state, self._kinematics.fk(state.positions(self.gate.model.arm)), self._goal, executed)
        values = self.task.observe(view)
        if not np.isfinite(values).all():
            raise InvalidObservation(f"the robot measured something not finite: positions {state.position.tolist()}, "
                                     f"velocities {state.velocity.tolist()}. Check its joints, then reset")
        observation = np.minimum(np.maximum(values[0].astype(np.float32), self._low), self._high)
        achieved = self.task.achieved(view).astype(np.float32)
        return self._presented(observation, achieved[0]), achieved.astype(np.float64)

    def _presented(self, observation: NDArray[np.float32], achieved: NDArray[np.float32]) -> Any:
        """The observation in the form of the observation space."""
        return observation

    def _info(self, outcome: Outcome, achieved: Array, executed: Array) -> dict[str, Any]:
        distance = float(self.task.distance(achieved, self._goal)[0])
        info: dict[str, Any] = {"is_success": distance <= self.task.tolerance, "distance": distance,
                                "refusal": NAMES[outcome.decision.refusal[0]],
                                "executed_action": executed[0].astype(np.float32),
                                "power": float(outcome.state.power(self.gate.model.arm)[0])}
        if self.mode == "real_time":
            commanded, measured, age, overruns = self.stamps()
            self.clock.record.note("observation_age", age)
            info |= {"commanded": commanded, "measured": measured, "observation_age": age, "overruns": overruns,
                     "command_delay": outcome.timing.command_delay, "cancelled": outcome.cancelled}
        return info

    # --- goals ------------------------------------------------------------------------------------------------------

    def _next_goal(self) -> Array:
        if not self._goals:
            drawn = self.task.sample_goals(self.np_random, GOALS_AHEAD, self._reachable)
            self._goals = [drawn[number : number + 1] for number in reversed(range(GOALS_AHEAD))]
        return self._goals.pop()

    def _given_goal(self, options: dict[str, Any]) -> Array:
        goal = np.asarray(options["goal"], dtype=np.float32).astype(np.float64)
        if goal.shape != (3,) or not np.isfinite(goal).all() or not self._reachable(goal[None])[0]:
            raise ValueError("the goal must be a point (m, base frame) that the arm reaches safely, "
                             f"not {options['goal']!r}")
        return goal[None]

    def _reachable(self, points: Array) -> Any:
        """(M,) whether the arm can rest with its tool at points, (M, 3) m, in the workspace and with all margins."""
        solution = self._kinematics.ik(points, self._start[0, : len(self._kinematics.joints)])
        return solution.success & self.gate.safe(solution.q, self.task.workspace)
