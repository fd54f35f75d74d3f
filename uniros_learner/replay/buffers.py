"""Recorded transitions as experience to learn from: into Stable-Baselines3's replay buffers, thousands at once.

What lies in the buffer afterwards is what `ReplayBuffer.add` would have put there, step by step. Importing this loads
PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer, ReplayBuffer
from stable_baselines3.her.her_replay_buffer import HerReplayBuffer

from uniros_learner.replay.bags import Bags
from uniros_learner.replay.trajectory import Trajectory, trajectories
from uniros_msgs.errors import MalformedData

KNOWN = (ReplayBuffer, DictReplayBuffer, HerReplayBuffer, NStepReplayBuffer)
ACTIONS = ("requested", "executed")
Source = Bags | Path | str | Iterable[Path | str] | Iterable[Trajectory]


def fill(buffer: ReplayBuffer, source: Source, actions: str = "requested", failed: bool = False) -> int:
    """Add what is in bags, newest last; returns how many transitions the buffer took.

    source: bags, their paths, or trajectories. actions: requested, as the learner chose them, or executed, as the robot
    carried them out. failed: episodes that broke off with an error, too.
    A buffer of n environments gets whole trajectories one below the other in n columns of equal length: of the longest
    columns what is too much is left out. A trajectory that is cut off counts as truncated. For HER a buffer needs to
    be told its environment as always.
    Raises MalformedData when what was recorded does not fit the buffer's spaces, ValueError for another kind of buffer,
    and what `Bags` raises.
    """
    if type(buffer) not in KNOWN or buffer.optimize_memory_usage:
        names = ", ".join(kind.__name__ for kind in KNOWN)
        raise ValueError(f"expected one of {names} without optimize_memory_usage, got {type(buffer).__name__}")
    if actions not in ACTIONS:
        raise ValueError(f"actions must be one of {', '.join(ACTIONS)}, not {actions!r}")
    columns = _Columns(buffer.n_envs, buffer.buffer_size)
    for trajectory in _each(source, failed):
        _check(trajectory, buffer)
        columns.add(trajectory)
    length = min(columns.lengths)
    for number, column in enumerate(columns.columns):
        _write(buffer, number, column, length, actions)
    _advance(buffer, length)
    return min(length, buffer.buffer_size) * buffer.n_envs


def _each(source: Source, failed: bool) -> Iterable[Trajectory]:
    if isinstance(source, (Bags, Path, str)):
        return trajectories(source, failed)
    given = list(source)
    if all(isinstance(each, Trajectory) for each in given):
        return given  # type: ignore[return-value]
    return trajectories(given, failed)  # type: ignore[arg-type]


class _Columns:
    """Trajectories dealt out to a buffer's environments: the newest, as many as there is room for."""

    def __init__(self, count: int, room: int) -> None:
        self._room = room
        self.columns: list[list[Trajectory]] = [[] for _ in range(count)]
        self.lengths = [0] * count

    def add(self, trajectory: Trajectory) -> None:
        """To the shortest column; the oldest goes when it is not needed."""
        number = int(np.argmin(self.lengths))
        column = self.columns[number]
        column.append(trajectory)
        self.lengths[number] += len(trajectory)
        while self.lengths[number] - len(column[0]) >= self._room:
            self.lengths[number] -= len(column.pop(0))


def _check(trajectory: Trajectory, buffer: ReplayBuffer) -> None:
    """Raises MalformedData unless observations and actions are those of the buffer's spaces."""
    name = trajectory.about.env_id
    try:
        parts = {"observations": (trajectory.observation, buffer.observation_space),
                 "actions": (trajectory.action, buffer.action_space)}
    except MalformedData as error:
        raise MalformedData(f"{name}: {error}") from error
    for what, (found, space) in parts.items():
        if not _fits(found, space):
            raise MalformedData(f"{name} has other {what} than the buffer, which holds samples of {space}")


def _fits(found: Any, space: spaces.Space[Any]) -> bool:
    if isinstance(space, spaces.Dict):
        return isinstance(found, dict) and all(key in found and _fits(found[key], inner)
                                               for key, inner in space.spaces.items())
    return isinstance(found, np.ndarray) and found.shape[1:] == space.shape and np.can_cast(
        found.dtype, space.dtype or found.dtype, "same_kind")


def _write(buffer: ReplayBuffer, number: int, column: list[Trajectory], length: int, actions: str) -> None:
    """Put `length` transitions of a column at the buffer's position."""
    kept = min(length, buffer.buffer_size)
    skip, at = length - kept, buffer.pos + length - kept  # those that newer ones would overwrite at once
    if isinstance(buffer, HerReplayBuffer):
        _forget(buffer, number, np.arange(at, at + kept) % buffer.buffer_size)
    for trajectory in column:
        first, last = skip, min(len(trajectory), skip + kept)
        skip = max(0, skip - len(trajectory))
        if first < last:
            rows = np.arange(at, at + last - first) % buffer.buffer_size
            _put(buffer, number, rows, trajectory, slice(first, last), actions)
            at, kept = at + len(rows), kept - len(rows)


def _put(buffer: ReplayBuffer, number: int, rows: np.ndarray, trajectory: Trajectory, some: slice, actions: str
         ) -> None:
    """Some transitions of a trajectory into these rows of one environment."""
    action = trajectory.action if actions == "requested" else trajectory.executed_action
    _set(buffer.observations, rows, number, trajectory.observation, some)
    _set(buffer.next_observations, rows, number, trajectory.next_observation, some)
    buffer.actions[rows, number] = scaled(action[some], buffer.action_space).reshape(len(rows), buffer.action_dim)
    buffer.rewards[rows, number] = trajectory.reward[some]
    done = trajectory.terminated[some] | trajectory.truncated[some]
    late = trajectory.truncated[some] & ~trajectory.terminated[some]
    if buffer.handle_timeout_termination:
        if not done[-1]:  # cut off: nothing follows it here, and its value is still to be estimated
            done[-1] = late[-1] = True
        buffer.timeouts[rows, number] = late
    buffer.dones[rows, number] = done
    if isinstance(buffer, HerReplayBuffer):
        buffer.ep_start[rows, number], buffer.ep_length[rows, number] = rows[0], len(rows)
        if buffer.copy_info_dict:
            buffer.infos[rows, number] = _infos(trajectory)[some]


def _set(into: Any, rows: np.ndarray, number: int, values: Any, some: slice) -> None:
    if isinstance(into, dict):
        for key, inner in into.items():
            _set(inner, rows, number, values[key], some)
    else:
        into[rows, number] = values[some].reshape(len(rows), *into.shape[2:])


def scaled(action: np.ndarray, space: spaces.Space[Any]) -> np.ndarray:
    """As Stable-Baselines3 keeps the actions of a Box: from -1 to 1."""
    if not isinstance(space, spaces.Box):
        return action
    result: np.ndarray = 2.0 * ((action - space.low) / (space.high - space.low)) - 1.0
    return result


def _infos(trajectory: Trajectory) -> np.ndarray:
    rows = np.empty(len(trajectory), dtype=object)
    rows[:] = trajectory.infos()
    return rows


def _forget(buffer: HerReplayBuffer, number: int, rows: np.ndarray) -> None:
    """Episodes that are overwritten in part cannot be sampled any more."""
    if not len(rows):
        return
    start, length = buffer.ep_start[rows[-1], number], buffer.ep_length[rows[-1], number]
    if length:
        beyond = (start + length - 1 - rows[-1]) % buffer.buffer_size
        buffer.ep_length[(rows[-1] + 1 + np.arange(beyond)) % buffer.buffer_size, number] = 0
    buffer.ep_length[rows, number] = 0


def _advance(buffer: ReplayBuffer, length: int) -> None:
    buffer.full = buffer.full or buffer.pos + length >= buffer.buffer_size
    buffer.pos = (buffer.pos + length) % buffer.buffer_size
    if isinstance(buffer, HerReplayBuffer):
        buffer._current_ep_start[:] = buffer.pos
