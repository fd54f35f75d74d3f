"""What a bag holds, in figures: by env server its episodes, how they went, and how well it kept its times."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from uniros_learner.replay.bags import Description
from uniros_learner.replay.trajectory import Trajectory
from uniros_msgs.transitions import seconds

TRACES = 12  # trajectories that are kept for pictures


@dataclass
class Server:
    """What one env server did; lists with an item for each whole episode, but for the times."""

    namespace: str
    env_id: str
    domain: str
    description: Description | None
    transitions: int = 0
    ends: Counter[str] = field(default_factory=Counter)  # how trajectories ended; "whole" for whole episodes
    returns: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    successes: list[bool | None] = field(default_factory=list)
    refusals: Counter[str] = field(default_factory=Counter)  # why steps were held
    policies: Counter[str] = field(default_factory=Counter)  # transitions by the version of the policy that acted
    changes: int = 0  # of settings
    overruns: int = 0
    missing: int = 0  # transitions between those that are there
    first: float = np.inf  # s since the epoch
    last: float = -np.inf
    cycles: list[np.ndarray] = field(default_factory=list)  # s from one measurement to the next
    ages: list[np.ndarray] = field(default_factory=list)  # s, of observations
    delays: list[np.ndarray] = field(default_factory=list)  # s from an action's arrival to its command

    def add(self, trajectory: Trajectory) -> None:
        """Count one trajectory."""
        self.transitions += len(trajectory)
        self.ends["whole" if trajectory.whole else trajectory.end or "cut off"] += 1
        for part in trajectory.parts:
            self.policies[part.batch.policy] += part.stop - part.start
            self.changes += len(part.batch.settings) if not part.row else 0
            self.first, self.last = min(self.first, part.batch.sent), max(self.last, part.batch.sent)
        if trajectory.whole:
            self.returns.append(float(trajectory.reward.sum()))
            self.lengths.append(len(trajectory))
            self.successes.append(trajectory.success)
        self.refusals.update(text for text in trajectory.texts("refusal") if text)
        if not trajectory.parts[0].row:  # the rows of a batch share their times
            self._time(trajectory)

    def _time(self, trajectory: Trajectory) -> None:
        stamps = trajectory.stamps
        measured = seconds(stamps["measured"])
        if not measured.any():
            return
        self.cycles.append(np.diff(measured))
        self.ages.append(stamps["observation_age"])
        self.overruns += int(stamps["overruns"].max())
        delay = trajectory.info("command_delay")
        if delay is not None:
            self.delays.append(delay)

    @property
    def mode(self) -> str:
        return self.description.mode if self.description else ""

    def rows(self) -> list[tuple[str, str]]:
        """(figure, value) for people to read."""
        ends = ", ".join(f"{count} {end}" for end, count in self.ends.most_common())
        told = [success for success in self.successes if success is not None]
        rows = [("recorded", f"{self.transitions:,} transitions, {max(0.0, self.last - self.first):.0f} s"),
                ("episodes", ends)]
        if told:
            rows.append(("success", f"{np.mean(told):.0%} of {len(told)}"))
        if self.returns:
            rows.append(("return", _spread(self.returns, "{:.3g}")))
            rows.append(("length", _spread(self.lengths, "{:.0f}") + " steps"))
        if self.refusals:
            rows.append(("refused", ", ".join(f"{count} x {why}" for why, count in self.refusals.most_common())))
        rows += [(name, _percentiles(times)) for name, times in
                 (("cycle", self.cycles), ("observation age", self.ages), ("command delay", self.delays)) if times]
        if self.cycles and self.mode == "real_time":
            rows.append(("overruns", str(self.overruns)))
        if any(self.policies.keys()):
            rows.append(("policies", f"{len(self.policies)} versions acted"))
        if self.changes:
            rows.append(("settings", f"changed {self.changes} times"))
        return [*rows, ("gaps", f"{self.missing:,} transitions are missing" if self.missing else "none")]

    def title(self) -> str:
        """One line."""
        what = [self.env_id, self.domain, self.mode.replace("_", "-")]
        if self.description and self.description.cycle_time:
            what.append(f"cycle {self.description.cycle_time:g} s")
        if self.description and self.description.num_envs > 1:
            what.append(f"{self.description.num_envs} environments")
        return f"{self.namespace}: {', '.join(filter(None, what))}"


class Summary:
    """Of everything in some bags; fed trajectory by trajectory."""

    def __init__(self) -> None:
        self.servers: dict[tuple[str, str, str], Server] = {}

    def add(self, trajectory: Trajectory) -> Server:
        """Count one trajectory; returns what its env server did so far."""
        about = trajectory.about
        key = (trajectory.namespace, about.env_id, about.domain)
        if key not in self.servers:
            self.servers[key] = Server(*key, trajectory.description)
        self.servers[key].add(trajectory)
        return self.servers[key]

    def gap(self, namespace: str, count: int) -> None:
        """Count transitions that are missing, as `trajectories` tells them."""
        for server in self.servers.values():
            if server.namespace == namespace:
                server.missing += count
                return

    def text(self) -> str:
        """A table for each env server."""
        return "\n\n".join("\n".join([server.title(), *(f"  {name:<18}{value}" for name, value in server.rows())])
                           for server in self.servers.values())


class Recent:
    """The last whole trajectories of each env server, for pictures of traces."""

    def __init__(self) -> None:
        self._kept: dict[int, deque[Trajectory]] = {}

    def add(self, server: Server, trajectory: Trajectory) -> None:
        """Keep it if it is whole; forget the oldest."""
        if trajectory.whole:
            self._kept.setdefault(id(server), deque(maxlen=TRACES)).append(trajectory)

    def of(self, server: Server) -> list[Trajectory]:
        return list(self._kept.get(id(server), ()))


def _spread(values: list[Any], form: str) -> str:
    mean, low, high = (form.format(value) for value in (np.mean(values), min(values), max(values)))
    return f"{mean} on average, {low} to {high}"


def _percentiles(times: list[np.ndarray]) -> str:
    """In ms, of times in s."""
    joined = np.concatenate(times) * 1e3
    if not len(joined):
        return "too short to tell"
    return f"p50 {np.percentile(joined, 50):.2f} ms, p99 {np.percentile(joined, 99):.2f} ms, max {joined.max():.2f} ms"
