"""The reality gap as a number: a recorded episode's executed actions on a simulated arm, and where it ends up."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from matplotlib.figure import Figure

from uniros_learner.api import make
from uniros_learner.env import RosEnv
from uniros_learner.replay.trajectory import Trajectory
from uniros_msgs.errors import EnvironmentFailed, MalformedData

TOOL = ("tool_x", "tool_y", "tool_z")
JOINT = "position/"


@dataclass(frozen=True)
class Drift:
    """Of one episode: what was recorded, and what the simulation did with the same actions; T + 1 moments each."""

    trajectory: Trajectory
    simulated_in: str  # id of the environment
    recorded: Mapping[str, np.ndarray]  # (T + 1,) of each number of the observations
    simulated: Mapping[str, np.ndarray]
    refused: int  # steps that the simulation's safety gate held

    @property
    def tool(self) -> np.ndarray | None:
        """(T + 1,) m between the end effectors; None where the observations do not name them."""
        if not all(name in self.recorded for name in TOOL):
            return None
        gaps = [self.recorded[name].astype(float) - self.simulated[name] for name in TOOL]
        return np.sqrt(np.sum(np.square(gaps), axis=0))

    @property
    def joints(self) -> dict[str, np.ndarray]:
        """(T + 1,) rad (m of fingers) between each joint's positions, by joint."""
        return {name.removeprefix(JOINT): values.astype(float) - self.simulated[name]
                for name, values in self.recorded.items() if name.startswith(JOINT)}

    def text(self) -> str:
        """A table."""
        about = self.trajectory.about
        lines = [f"episode {about.episode} of {self.trajectory.namespace}, {len(self.trajectory)} executed actions, in "
                 f"{self.simulated_in}" + (f"; {self.refused} of them were refused there" if self.refused else "")]
        lines.append(f"  {'':<22}{'at first':>10}{'mean':>10}{'largest':>10}{'at last':>10}")
        if self.tool is not None:
            lines.append(_row("end effector (mm)", self.tool * 1e3, "{:10.2f}"))
        named = {f"{name} (rad)" if "finger" not in name else f"{name} (m)": gap for name, gap in self.joints.items()}
        others = {name: self.recorded[name].astype(float) - self.simulated[name] for name in self.recorded}
        lines += [_row(name, np.abs(gap), "{:10.4f}") for name, gap in (named or others).items()]
        return "\n".join(lines)

    def draw(self, path: Path) -> None:
        """Recorded and simulated positions over time, and the distance of the end effectors, as a PNG."""
        names = [*(name for name in TOOL if name in self.recorded),
                 *(name for name in self.recorded if name.startswith(JOINT))] or list(self.recorded)[:12]
        cycle = self.trajectory.description.cycle_time if self.trajectory.description else 0.0
        rows = -(-(len(names) + 1) // 4)
        figure = Figure(figsize=(13, 2.1 * rows + 0.6), dpi=110, layout="constrained")
        grid = figure.subplots(rows, 4, sharex=True, squeeze=False)
        figure.suptitle(self.text().split("\n")[0], fontsize=10)
        time = np.arange(len(self.trajectory) + 1) * (cycle or 1.0)
        panels = [(name, [("recorded", self.recorded[name]), ("simulated", self.simulated[name])]) for name in names]
        if self.tool is not None:
            panels.append(("end effectors apart (mm)", [("", self.tool * 1e3)]))
        for axes, (title, lines) in zip(grid.flat, panels, strict=False):
            for label, values in lines:
                axes.plot(time, values, label=label, linewidth=1)
            axes.set_title(title.replace("_", " ").replace("/", " "), fontsize=9)
            axes.tick_params(labelsize=7)
            axes.grid(alpha=0.25)
        grid.flat[0].legend(frameon=False, fontsize=7)
        for axes in grid.flat[len(panels):]:
            axes.set_visible(False)
        figure.supxlabel("time (s)" if cycle else "step", fontsize=9)
        figure.savefig(path)


def drift(trajectory: Trajectory, env: RosEnv | None = None) -> Drift:
    """Carry out a recorded episode's executed actions in simulation. Needs ROS.

    env: where; by default the simulated environment of the same task is started, with the recorded one's cycle and
    action scale, and ended afterwards. Raises MalformedData for a trajectory that does not begin with a reset.
    """
    if not trajectory.begun:
        raise MalformedData(f"episode {trajectory.about.episode} has no recorded beginning: take another one")
    if env is None:
        with make(simulated_id(trajectory.about.env_id), **_arguments(trajectory)) as made:
            return drift(trajectory, made)
    recorded = trajectory.parts_of_observation()
    seen, refused = [_begin(env, trajectory, recorded)], 0
    for action in trajectory.executed_action:
        observation, _, _, _, info = env.step(_within(action, env.action_space))
        seen.append(observation)
        refused += bool(info.get("refusal"))
    table = np.array([each["observation"] if isinstance(each, dict) else each for each in seen])
    simulated = dict(zip(recorded, table.reshape(len(seen), -1).T, strict=True))
    return Drift(trajectory, env.description.env_id, recorded, simulated, refused)


def _within(action: Any, space: spaces.Space[Any]) -> Any:
    """What rounding has left beyond the bounds goes back to them."""
    return np.clip(action, space.low, space.high) if isinstance(space, spaces.Box) else action


def simulated_id(env_id: str) -> str:
    """The simulated environment of the same task; an environment that is neither real nor simulated itself."""
    return re.sub(r"Real(-v\d+)$", r"Sim\1", env_id)


def _arguments(trajectory: Trajectory) -> dict[str, Any]:
    description = trajectory.description
    if description is None or not re.search(r"(Sim|Real)-v\d+$", description.env_id):
        return {}
    cycle = description.limits.get("cycle", {})
    return {"cycle_time": description.cycle_time, **description.task.get("parameters", {}),
            **({"action_scale": cycle["action_scale"]} if "action_scale" in cycle else {}),
            **({"action_type": "ee"} if description.action_space.shape == (3,) else {})}


def _begin(env: RosEnv, trajectory: Trajectory, recorded: Mapping[str, np.ndarray]) -> Any:
    """Reset to where the episode began, with its goal if the simulated arm reaches it."""
    seed = trajectory.about.seed[0] if len(trajectory.about.seed) == 1 else None
    goal = _goal(trajectory, recorded)
    if goal is not None:
        try:
            return env.reset(seed=seed, options={"goal": goal})[0]
        except EnvironmentFailed:  # a goal at the edge of what the arm reaches
            pass
    return env.reset(seed=seed)[0]


def _goal(trajectory: Trajectory, recorded: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """(3,) m, where the observations tell."""
    first = trajectory.observation
    if isinstance(first, dict):
        return np.asarray(first["desired_goal"][0]) if "desired_goal" in first else None
    if "distance" not in recorded or TOOL[0] not in recorded:
        return None
    way = np.array([recorded[f"to_goal_{axis}"][0] for axis in "xyz"])
    return np.array([recorded[name][0] for name in TOOL]) + way * recorded["distance"][0]


def _row(name: str, gap: np.ndarray, form: str) -> str:
    figures = (gap[0], gap.mean(), gap.max(), gap[-1])
    return f"  {name:<22}" + "".join(form.format(float(figure)) for figure in figures)
