"""Batches put together again: trajectories, the consecutive transitions of one environment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from uniros_learner.replay.bags import Bags, Description
from uniros_msgs.columns import Column
from uniros_msgs.transitions import DONE, FAILED, GOES_ON, Transitions

NEXT_STEP, SAME_STEP = "NextStep", "SameStep"  # when a batch begins a row anew, as gymnasium calls it


@dataclass
class Part:
    """Transitions `start` to `stop` of one batch, of one row where it is of several environments."""

    batch: Transitions
    start: int
    stop: int
    row: int | None = None
    final: Any = None  # the last observation, where the batch holds that of the next episode in its place

    def of(self, array: np.ndarray, later: int = 0) -> np.ndarray:
        """The part's share of something by transition; later=1 of what came of them, in columns of T + 1 rows."""
        rows = array[self.start + later : self.stop + later]
        return rows if self.row is None else rows[:, self.row]


@dataclass
class Trajectory:
    """T transitions. What is recorded of them comes as arrays with T rows."""

    namespace: str  # of the env server
    description: Description | None
    parts: list[Part] = field(default_factory=list)
    end: str = GOES_ON  # done, abandoned, failed; empty when the record ends first
    begun: bool = False  # it begins with a reset

    def __len__(self) -> int:
        return sum(part.stop - part.start for part in self.parts)

    @property
    def about(self) -> Transitions:
        """The batch it begins in: env_id, domain, episode, seed, options."""
        return self.parts[0].batch

    @property
    def whole(self) -> bool:
        """From a reset to the end of its episode."""
        return self.begun and self.end == DONE

    # --- what was experienced ---------------------------------------------------------------------------------------

    @cached_property
    def observation(self) -> Any:
        """In which the actions were chosen: an array (T, ...), or a dict or tuple of them as the space is.

        Raises MalformedData for observations that are no numbers.
        """
        return _joined([_mapped(part.of, part.batch.observations()) for part in self.parts])

    @cached_property
    def next_observation(self) -> Any:
        """What came of them. Raises MalformedData as `observation` does."""
        return _joined([_after(part) for part in self.parts])

    @cached_property
    def action(self) -> Any:
        """As requested. Raises MalformedData as `observation` does."""
        return _joined([_mapped(part.of, part.batch.actions()) for part in self.parts])

    @cached_property
    def executed_action(self) -> Any:
        """As carried out, where the environment tells; else as requested."""
        executed = self.info("executed_action")
        return self.action if executed is None else executed

    @cached_property
    def reward(self) -> np.ndarray:
        """(T,) float64."""
        return np.concatenate([part.of(part.batch.reward) for part in self.parts])

    @cached_property
    def terminated(self) -> np.ndarray:
        """(T,) bool."""
        return np.concatenate([part.of(part.batch.terminated) for part in self.parts])

    @cached_property
    def truncated(self) -> np.ndarray:
        """(T,) bool."""
        return np.concatenate([part.of(part.batch.truncated) for part in self.parts])

    @cached_property
    def stamps(self) -> np.ndarray:
        """(T,) of `uniros_msgs.transitions.STAMP`: when each transition touched the world."""
        return np.concatenate([part.batch.stamps[part.start + 1 : part.stop + 1] for part in self.parts])

    def infos(self) -> list[dict[str, Any]]:
        """T dicts. Of a batch of environments, those of all of them."""
        return [info for part in self.parts for info in part.batch.infos()[part.start + 1 : part.stop + 1]]

    def info(self, name: str) -> np.ndarray | None:
        """(T, ...) what the infos call `name`; None unless each has it, and it is numbers."""
        found = [each for part in self.parts if (each := _info(part, name)) is not None]
        return np.concatenate(found) if len(found) == len(self.parts) else None

    def texts(self, name: str) -> list[str]:
        """What the infos call `name`, of each transition that has it, where it is text."""
        return [text for part in self.parts for text in _texts(part, name)]

    def parts_of_observation(self) -> dict[str, np.ndarray]:
        """(T + 1,) of each number of the observations by its name, where the env server names them; else by its index.

        Of a goal environment, those of "observation". Raises MalformedData where they are no numbers.
        """
        first, rest = self.observation, self.next_observation
        if isinstance(first, dict):
            first, rest = first["observation"], rest["observation"]
        table = np.concatenate([first[:1], rest]).reshape(len(self) + 1, -1)
        names = self.description.metadata.get("observation_names", []) if self.description else []
        if len(names) != table.shape[1]:
            names = [f"observation[{number}]" for number in range(table.shape[1])]
        return dict(zip(names, table.T, strict=True))

    @property
    def success(self) -> bool | None:
        """Whether it ended in success; None where the environment does not tell."""
        told = _last(self.parts[-1], "is_success")
        return None if told is None else bool(told)


def trajectories(bags: Bags | Path | str | Iterable[Path | str], failed: bool = False,
                 on_gap: Callable[[str, int], None] = lambda namespace, count: None) -> Iterator[Trajectory]:
    """All that is recorded, in the order it ended. Without those that broke off with an error, unless `failed`.

    on_gap: told the namespace and the number of transitions that are missing between two batches.
    Raises what `Bags` raises.
    """
    if not isinstance(bags, Bags):
        with Bags(bags) as opened:
            yield from trajectories(opened, failed, on_gap)
        return
    servers: dict[str, _Server] = {}
    for namespace, batch in bags.batches():
        server = servers.get(namespace)
        if server is None:
            server = servers[namespace] = _Server(namespace)
        for trajectory in server.take(batch, bags.describe(namespace, batch), on_gap):
            if failed or trajectory.end != FAILED:
                yield trajectory
    for server in servers.values():
        yield from server.rest()


class _Server:
    """What of one env server's trajectories is open."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._last: Transitions | None = None
        self._open: dict[int | None, Trajectory] = {}  # row -> trajectory that may go on
        self._fresh: set[int | None] = set()  # rows whose next transition begins an episode
        self._skip: set[int | None] = set()  # rows whose next transition is a reset and nothing else

    def take(self, batch: Transitions, description: Description | None, on_gap: Callable[[str, int], None]
             ) -> Iterator[Trajectory]:
        """What ends in this batch."""
        last, self._last = self._last, batch
        if last is None or not _follows(batch, last):
            if last is not None and (gap := batch.sequence - last.sequence - last.count) > 0:
                on_gap(self._namespace, gap)
            yield from self.rest()
            self._skip.clear()
            self._fresh.clear()
        rows = range(batch.num_envs) if batch.num_envs else (None,)
        if batch.step == 1:
            self._fresh.update(rows)
        mode = _autoreset(description)
        for row in rows:
            yield from self._cut(batch, row, description, mode)
        if batch.end != GOES_ON:
            yield from self.rest(batch.end)

    def rest(self, end: str = GOES_ON) -> Iterator[Trajectory]:
        """What has not ended."""
        for trajectory in self._open.values():
            trajectory.end = end
            yield trajectory
        self._open.clear()

    def _cut(self, batch: Transitions, row: int | None, description: Description | None, mode: str
             ) -> Iterator[Trajectory]:
        """One row's transitions, cut where episodes end."""
        ended = batch.terminated | batch.truncated
        ends = np.flatnonzero(ended if row is None else ended[:, row]).tolist()
        start = 0
        for end in [*ends, batch.count]:
            if start < batch.count and row in self._skip:
                self._skip.discard(row)
                start += 1
            stop = min(end + 1, batch.count)
            if start < stop:
                trajectory = self._open.setdefault(row, Trajectory(self._namespace, description))
                if not trajectory.parts:
                    trajectory.begun = row in self._fresh
                self._fresh.discard(row)
                trajectory.parts.append(Part(batch, start, stop, row))
            if end < batch.count and row in self._open:
                yield self._finish(self._open.pop(row), row, mode)
            start = stop

    def _finish(self, trajectory: Trajectory, row: int | None, mode: str) -> Trajectory:
        trajectory.end = DONE
        if row is not None:
            self._fresh.add(row)
            if mode == NEXT_STEP:
                self._skip.add(row)
            if mode == SAME_STEP:
                part = trajectory.parts[-1]
                part.final = part.batch.infos()[part.stop]["final_obs"][row]
        return trajectory


def _follows(batch: Transitions, last: Transitions) -> bool:
    """Whether no transition lies between two batches of one episode."""
    return (batch.sequence == last.sequence + last.count and batch.episode == last.episode
            and batch.step == last.step + last.count)


def _autoreset(description: Description | None) -> str:
    mode = description.metadata.get("autoreset_mode", "") if description else ""
    return str(mode)


# --- columns ---------------------------------------------------------------------------------------------------------


def _after(part: Part) -> Any:
    """The observations that came of a part's transitions."""
    after = _mapped(lambda array: part.of(array, later=1), part.batch.observations())
    return after if part.final is None else _with_last(after, part.final)


def _with_last(after: Any, final: Any) -> Any:
    if isinstance(after, dict):
        return {key: _with_last(inner, final[key]) for key, inner in after.items()}
    if isinstance(after, tuple):
        return tuple(map(_with_last, after, final))
    changed = after.copy()
    changed[-1] = final
    return changed


def _mapped(change: Callable[[np.ndarray], np.ndarray], value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _mapped(change, inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return tuple(_mapped(change, inner) for inner in value)
    return change(value)


def _joined(parts: list[Any]) -> Any:
    """One below the other."""
    first = parts[0]
    if len(parts) == 1:
        return first
    if isinstance(first, dict):
        return {key: _joined([part[key] for part in parts]) for key in first}
    if isinstance(first, tuple):
        return tuple(map(_joined, map(list, zip(*parts, strict=True))))
    return np.concatenate(parts)


def _info(part: Part, name: str) -> np.ndarray | None:
    """A part's share of one column of the infos, if it is numbers for every transition of it."""
    inner, rows = _column(part, name)
    if len(rows) < part.stop - part.start or inner[0] not in ("array", "scalar", "float", "int", "bool"):
        return None
    found: np.ndarray = inner[1][rows]
    if found.dtype.kind not in "biuf":
        return None
    return found if part.row is None else found[:, part.row]


def _column(part: Part, name: str) -> tuple[Column, np.ndarray]:
    """The column of infos called `name`, and which of its rows belong to the part's transitions."""
    column: Column = part.batch.info
    rows: np.ndarray = np.arange(part.start + 1, part.stop + 1)
    if column[0] == "dict" and name in column[1]:
        return column[1][name], rows
    if column[0] == "some" and name in column[2]:
        where, inner = column[2][name]
        return inner, np.flatnonzero((where > part.start) & (where <= part.stop))
    return ("rows", []), rows[:0]


def _texts(part: Part, name: str) -> list[str]:
    inner, rows = _column(part, name)
    if inner[0] == "same":
        return [inner[2]] * len(rows) if isinstance(inner[2], str) else []
    if inner[0] != "rows" and not (inner[0] == "array" and inner[1].dtype.kind in "UT"):
        return []
    values = [inner[1][row] for row in rows]
    return [str(value if part.row is None else value[part.row]) for value in values]


def _last(part: Part, name: str) -> Any:
    """What the info of a part's last transition calls `name`."""
    if part.final is not None:
        told = part.batch.infos()[part.stop].get("final_info", {}).get(name)
        return None if told is None else told[part.row]
    found = _info(Part(part.batch, part.stop - 1, part.stop, part.row), name)
    return None if found is None else found[0]

