"""What was experienced, kept in the order it happened and sent in batches: `env/transitions` and rollouts carry it.

Whoever steps the environment notes each reset and step; noting costs little, because columns are made once a batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from uniros_msgs import wire
from uniros_msgs.columns import stack
from uniros_msgs.transitions import ABANDONED, DONE, FAILED, GOES_ON, Transitions, pack, stamps_of

LONGEST = 1.0  # s that a transition waits to be sent
MOST = 1000  # transitions in a batch

Sink = Callable[[bytes], None]


class Journal:
    """Of one environment or a batch (`num_envs` of them, 0 for one). One thread notes; sinks are called in it.

    `wanted` is asked at each reset: an episode that nobody wants is only counted.
    """

    def __init__(self, env_id: str, spec_hash: str, domain: str, num_envs: int, wanted: Callable[[], bool],
                 send: Sink) -> None:
        self._origin: dict[str, Any] = {"env_id": env_id, "spec_hash": spec_hash, "domain": domain,
                                        "num_envs": num_envs}
        self._wanted, self._sinks = wanted, [send]
        self.sequence = 0  # transitions so far
        self.policy = ""  # version of the policy that acts, for what is noted from now on
        self._keeping = False
        self._over = True
        self._episode, self._step = 0, 0
        self._seed: list[int] = []
        self._options: Any = None
        self._settings: list[Any] = []
        self._since = 0.0  # monotonic s
        self._clear()

    def also(self, sink: Sink) -> Callable[[], None]:
        """Send to `sink`, too, until the function that is returned is called."""
        self._sinks.append(sink)
        return lambda: self._sinks.remove(sink)

    def begin(self, episode: int, seed: list[int], options: Any, observation: Any, info: dict[str, Any],
              stamps: wire.Stamps) -> None:
        """Note a reset; an episode that goes on has been abandoned."""
        if self._actions or not self._over:
            self.close(ABANDONED)
        self._clear()
        self._settings = [[1, values] for _, values in self._settings]  # changed since the last episode's last step
        self._episode, self._step, self._over = episode, 0, False
        self._seed, self._options = list(seed), options
        self._keeping = len(self._sinks) > 1 or self._wanted()
        self._since = time.monotonic()
        if self._keeping:
            self._note(observation, info, stamps)

    def add(self, action: Any, observation: Any, reward: Any, terminated: Any, truncated: Any, info: dict[str, Any],
            stamps: wire.Stamps) -> None:
        """Note a step."""
        self.sequence += 1
        self._step += 1
        if not self._keeping:
            self._over = self._over or bool(np.any(terminated) or np.any(truncated))
            return
        self._actions.append(own(action))
        self._scalars.append((reward, terminated, truncated))
        self._note(observation, info, stamps)
        if not self._origin["num_envs"] and (terminated or truncated):
            self.close(DONE)
        elif len(self._actions) >= MOST or time.monotonic() - self._since > LONGEST:
            self._send(GOES_ON)

    def fail(self) -> None:
        """Note that the episode broke off with an error."""
        if not self._over:
            self.close(FAILED)

    def change(self, values: dict[str, Any]) -> None:
        """Note that settings were changed, which counts from the next step on."""
        self._settings.append([self._step + 1, values])

    def close(self, end: str) -> None:
        """The episode is over: send the rest of it."""
        if self._keeping and (self._actions or self._step):
            self._send(end)
        self._over = True

    def _note(self, observation: Any, info: dict[str, Any], stamps: wire.Stamps) -> None:
        self._observations.append(own(observation))
        self._infos.append(own(info))
        self._stamps.append(stamps)

    def _send(self, end: str) -> None:
        count = len(self._actions)
        columns = list(zip(*self._scalars)) or [(), (), ()]
        reward, terminated, truncated = (np.array(column, kind) for column, kind in zip(columns, (float, bool, bool)))
        batch = Transitions(
            self._episode, self._step - count + 1, count, stack(self._observations),
            stack(self._actions) if count else ("rows", []), reward, terminated, truncated, stack(self._infos),
            stamps_of(self._stamps), sequence=self.sequence - count, end=end, policy=self.policy, seed=self._seed,
            options=self._options, settings=self._settings, sent=time.time(), **self._origin)
        body = pack(batch)
        for sink in self._sinks:
            sink(body)
        last = self._observations[-1], self._infos[-1], self._stamps[-1]
        self._clear()
        self._settings = []
        for rows, row in zip((self._observations, self._infos, self._stamps), last):
            rows.append(row)
        self._since = time.monotonic()

    def _clear(self) -> None:
        self._observations: list[Any] = []
        self._actions: list[Any] = []
        self._scalars: list[tuple[Any, Any, Any]] = []
        self._infos: list[dict[str, Any]] = []
        self._stamps: list[wire.Stamps] = []


def own(value: Any) -> Any:
    """`value` with arrays of its own: an environment may write its next observation into the same memory."""
    kind = type(value)
    if kind is np.ndarray:
        return value.copy()
    if kind is dict:
        return {key: own(inner) for key, inner in value.items()}
    if kind is tuple or kind is list:
        return kind(map(own, value))
    return value
