"""What was experienced, kept in the order it happened and sent in batches: `env/transitions` and rollouts carry it.

Whoever steps the environment notes each reset and step; noting costs little, because columns are made once a batch.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from uniros_msgs import codec, wire
from uniros_msgs.columns import stack
from uniros_msgs.transitions import ABANDONED, DONE, FAILED, GOES_ON, Transitions, pack, stamps_of

LONGEST = 1.0  # s that a transition waits to be sent
MOST = 1000  # transitions in a batch
LARGEST = 4 << 20  # bytes of observations in a batch

Sink = Callable[[bytes], None]
log = logging.getLogger("rosout")


class Journal:
    """Of one environment or a batch (`num_envs` of them, 0 for one).

    One thread notes; sinks are called in it, or where `work` has it.
    What nobody wants is only counted: `wanted` is asked until somebody does, and again whenever a batch is due.
    """

    def __init__(self, env_id: str, spec_hash: str, domain: str, num_envs: int, wanted: Callable[[], bool],
                 send: Sink) -> None:
        self._origin: dict[str, Any] = {"env_id": env_id, "spec_hash": spec_hash, "domain": domain,
                                        "num_envs": num_envs}
        self._wanted, self._sinks = wanted, [send]
        self.sequence = 0  # transitions so far
        self.work: Callable[[Callable[[], None]], None] = lambda job: job()  # packs and sends; may do so later
        self.policy = ""  # version of the policy that acts, for what is noted from now on
        self._over = True
        self._episode, self._step = 0, 0
        self._seed: list[int] = []
        self._options: Any = None
        self._values: dict[str, Any] = {}  # of all settings that were ever changed
        self._settings: list[Any] = []  # [step, values] of those changes that have not been sent yet
        self._since = 0.0  # monotonic s
        self._most = MOST  # steps in a batch
        self._complained = False
        self._clear()

    def also(self, sink: Sink) -> Callable[[], None]:
        """Send to `sink`, too, until the function that is returned is called."""
        self._sinks.append(sink)
        return lambda: self._sinks.remove(sink)

    def begin(self, episode: int, seed: Sequence[int], options: Any, observation: Any, info: dict[str, Any],
              stamps: wire.Stamps) -> None:
        """Note a reset; an episode that goes on has been abandoned."""
        self.leave()
        known = bool(self._observations)
        self._clear()
        self._settings = [[1, values] for _, values in self._settings]  # changed since the last episode's last step
        self._episode, self._step, self._over = episode, 0, False
        self._seed, self._options = list(seed), options
        if self._is_wanted():
            self._start(observation, info, stamps, known)
        self._note_draw(info)

    def add(self, action: Any, observation: Any, reward: Any, terminated: Any, truncated: Any, info: dict[str, Any],
            stamps: wire.Stamps) -> None:
        """Note a step."""
        self.sequence += 1
        self._step += 1
        done = not self._origin["num_envs"] and (_true(terminated) or _true(truncated))
        if self._observations:
            self._actions.append(own(action))
            self._scalars.append((reward, terminated, truncated))
            self._note(observation, info, stamps)
            if done or len(self._actions) >= self._most or time.monotonic() - self._since > LONGEST:
                self._send(DONE if done else GOES_ON)
        elif not done and self._is_wanted():
            self._start(observation, info, stamps, known=False)
        self._note_draw(info)
        self._over = self._over or done

    def leave(self) -> None:
        """An episode that goes on is abandoned, and what there is of it sent."""
        if not self._over:
            self.close(ABANDONED)

    def act(self, policy: str) -> None:
        """From now on the policy of that version acts; "" stands for a learner's single steps."""
        if policy != self.policy and self._actions:
            self._send(GOES_ON)
        self.policy = policy

    def fail(self) -> None:
        """Note that the episode broke off with an error."""
        if not self._over:
            self.close(FAILED)

    def change(self, values: dict[str, Any], spec_hash: str = "") -> None:
        """Note that settings were changed, and the specification perhaps, which counts from the next step on."""
        if spec_hash and spec_hash != self._origin["spec_hash"]:
            if self._actions:
                self._send(GOES_ON)
            self._origin["spec_hash"] = spec_hash
        self._values |= values
        self._settings.append([self._step + 1, values])
        if not self._observations:  # nobody is told of changes one by one
            self._settings = [[self._step + 1, dict(self._values)]]

    def close(self, end: str) -> None:
        """The episode is over: send the rest of it."""
        if self._observations and self._step:
            self._send(end)
        self._over = True

    def _note_draw(self, info: dict[str, Any]) -> None:
        """Physics that an episode has drawn anew are settings that have changed."""
        drawn = info.get("randomisation") if isinstance(info, dict) else None
        if isinstance(drawn, dict):
            self.change(own(drawn))

    def _is_wanted(self) -> bool:
        return len(self._sinks) > 1 or self._wanted()

    def _start(self, observation: Any, info: dict[str, Any], stamps: wire.Stamps, known: bool) -> None:
        """Keep rows from this one on. known: who wants them has been told the settings."""
        if self._values and not known:
            self._settings = [[self._step + 1, dict(self._values)]]
        self._since = time.monotonic()
        self._note(observation, info, stamps)
        rows = max(1, LARGEST // (1 + _size(self._observations[0])))
        self._most = min(rows, max(1, MOST // (self._origin["num_envs"] or 1)))

    def _note(self, observation: Any, info: dict[str, Any], stamps: wire.Stamps) -> None:
        self._observations.append(own(observation))
        self._infos.append(own(info))
        self._stamps.append(stamps)

    def _send(self, end: str) -> None:
        """Hand what there is to those who want it; the last row begins the next batch."""
        observation, info, stamps = self._observations[-1], self._infos[-1], self._stamps[-1]
        wanted = self._is_wanted()
        if wanted:
            self.work(partial(self._hand_on, self._rows(), self._about(end)))
        self._clear()
        self._settings = [change for change in self._settings if change[0] > self._step]
        if wanted:
            self._observations.append(observation)
            self._infos.append(info)
            self._stamps.append(stamps)
            self._since = time.monotonic()

    def _rows(self) -> tuple[list[Any], ...]:
        return self._observations, self._actions, self._scalars, self._infos, self._stamps

    def _about(self, end: str) -> dict[str, Any]:
        """What a batch of all there is says beside its rows."""
        count = len(self._actions)
        settings = [change for change in self._settings if change[0] <= self._step]
        return self._origin | {"episode": self._episode, "step": self._step - count + 1, "count": count, "end": end,
                               "sequence": self.sequence - count, "policy": self.policy, "seed": self._seed,
                               "options": self._options, "settings": settings}

    def _hand_on(self, rows: tuple[list[Any], ...], about: dict[str, Any]) -> None:
        """Pack a batch for all sinks; none where the environment gave something as a reward that is no number."""
        try:
            body = _packed(rows, about)
        except (TypeError, ValueError) as error:
            if not self._complained:
                log.warning("transitions of %s cannot be recorded: %s", self._origin["env_id"], error)
            self._complained = True
            return
        for sink in self._sinks:
            sink(body)

    def _clear(self) -> None:
        self._observations: list[Any] = []
        self._actions: list[Any] = []
        self._scalars: list[tuple[Any, Any, Any]] = []
        self._infos: list[dict[str, Any]] = []
        self._stamps: list[wire.Stamps] = []


def _packed(rows: tuple[list[Any], ...], about: dict[str, Any]) -> bytes:
    """A batch as bytes. Raises TypeError, ValueError for rewards and flags that are none."""
    observations, actions, scalars, infos, stamps = rows
    columns = list(zip(*scalars)) or [(), (), ()]
    shape = (about["count"], about["num_envs"]) if about["num_envs"] else (about["count"],)
    reward, terminated, truncated = (np.array(column, kind).reshape(shape)
                                     for column, kind in zip(columns, (float, bool, bool)))
    return pack(Transitions(
        observation=stack(observations), action=stack(actions) if actions else ("rows", []), reward=reward,
        terminated=terminated, truncated=truncated, info=stack(infos), stamps=stamps_of(stamps), sent=time.time(),
        **about))


def _true(flag: Any) -> bool:
    return flag if type(flag) is bool else bool(np.any(flag))


def own(value: Any) -> Any:
    """`value` with arrays of its own: an environment may write its next observation into the same memory."""
    try:
        return _own(value)
    except RecursionError:
        return codec.Opaque(type(value).__qualname__, "contains itself, or is nested too deeply to be recorded")


def _own(value: Any) -> Any:
    kind = type(value)
    if kind is np.ndarray:
        return value.copy()
    if kind is dict:
        return {key: _own(inner) for key, inner in value.items()}
    if kind is tuple or kind is list:
        return kind(map(_own, value))
    return value


def _size(value: Any) -> int:
    """Bytes of the arrays in an observation."""
    if isinstance(value, dict):
        return sum(map(_size, value.values()))
    if isinstance(value, (tuple, list)):
        return sum(map(_size, value))
    return getattr(value, "nbytes", 8)
