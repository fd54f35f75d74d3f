"""What became of a rollout's episodes: one row of figures for each."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from uniros_msgs import wire

REPORTED = 100_000  # episodes, the latest


class Tally:
    """Counts steps and finished episodes of one environment (rows None), or of a batch of `rows` of them."""

    def __init__(self, rows: int | None, resets_late: bool) -> None:
        """resets_late: a row that ended spends its next step on its reset (gymnasium's autoreset mode NextStep)."""
        self.steps = self.episodes = 0
        self._batch, self._resets_late = rows is not None, resets_late
        self._returns, self._lengths = np.zeros(rows or 1), np.zeros(rows or 1, np.int64)
        self._resetting = np.zeros(rows or 1, np.bool_)
        self._rows: deque[tuple[int, float, int, float, str]] = deque(maxlen=REPORTED)

    def begin(self) -> None:
        """A reset of all there is."""
        self._returns[:], self._lengths[:], self._resetting[:] = 0.0, 0, False

    def add(self, reply: wire.StepReply, policy: str) -> bool:
        """Note a step; whether a single environment's episode is over."""
        self.steps += 1
        acted = ~self._resetting
        self._returns += np.where(acted, reply.reward, 0.0)
        self._lengths += acted
        done = np.atleast_1d(np.logical_or(reply.terminated, reply.truncated)) & acted
        for row in np.flatnonzero(done):
            success = _success(reply.info, int(row) if self._batch else None)
            self._rows.append((reply.episode, float(self._returns[row]), int(self._lengths[row]), success, policy))
        self.episodes += int(done.sum())
        self._returns[done], self._lengths[done] = 0.0, 0
        if self._resets_late:
            self._resetting[:] = done
        return bool(done[0]) and not self._batch

    def columns(self) -> dict[str, Any]:
        """episode, return, length, success (NaN where the environment does not tell) and policy of each episode."""
        episode, returns, length, success, policy = zip(*self._rows) if self._rows else ((),) * 5
        return {"episode": np.array(episode, np.int64), "return": np.array(returns, np.float64),
                "length": np.array(length, np.int64), "success": np.array(success, np.float64), "policy": list(policy)}


def _success(info: dict[str, Any], row: int | None) -> float:
    if row is not None:  # a row that was begun anew in the same step has the end of its episode apart
        info = info.get("final_info", info)
    told = info.get("is_success", info.get("success"))
    if told is None:
        return np.nan
    return float(told if row is None else np.asarray(told)[row])
