"""What became of a rollout's episodes: one row of figures for each."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from uniros_msgs import wire

REPORTED = 100_000  # episodes, the latest


class Tally:
    """Counts steps and finished episodes of one environment."""

    def __init__(self) -> None:
        self.steps = self.episodes = 0
        self._return, self._length = 0.0, 0
        self._rows: deque[tuple[int, float, int, float, str]] = deque(maxlen=REPORTED)

    def begin(self) -> None:
        """A reset of all there is."""
        self._return, self._length = 0.0, 0

    def add(self, reply: wire.StepReply, policy: str) -> bool:
        """Note a step; whether it is time for a reset."""
        self.steps += 1
        self._return += reply.reward
        self._length += 1
        if not (reply.terminated or reply.truncated):
            return False
        self._finish(reply.episode, float(self._return), self._length, _success(reply.info), policy)
        return True

    def columns(self) -> dict[str, Any]:
        """episode, return, length, success (NaN where the environment does not tell) and policy of each episode."""
        episode, returns, length, success, policy = zip(*self._rows) if self._rows else ((),) * 5
        return {"episode": np.array(episode, np.int64), "return": np.array(returns, np.float64),
                "length": np.array(length, np.int64), "success": np.array(success, np.float64), "policy": list(policy)}

    def _finish(self, episode: int, total: float, length: int, success: float, policy: str) -> None:
        self.episodes += 1
        self._rows.append((episode, total, length, success, policy))


class BatchTally(Tally):
    """The same of a batch, whose rows are begun anew by themselves, and whose episodes are those of all rows."""

    def __init__(self, rows: int, resets_late: bool) -> None:
        """resets_late: a row that ended spends its next step on its reset (gymnasium's autoreset mode NextStep)."""
        super().__init__()
        self._resets_late = resets_late
        self._returns, self._lengths = np.zeros(rows), np.zeros(rows, np.int64)
        self._resetting = np.zeros(rows, np.bool_)

    def begin(self) -> None:
        """See `Tally.begin`."""
        self._returns[:], self._lengths[:], self._resetting[:] = 0.0, 0, False

    def add(self, reply: wire.StepReply, policy: str) -> bool:
        """Note a step of all rows; it is never time for a reset."""
        self.steps += 1
        acted = ~self._resetting
        self._returns += np.where(acted, reply.reward, 0.0)
        self._lengths += acted
        done = np.logical_or(reply.terminated, reply.truncated) & acted
        for row in np.flatnonzero(done):
            success = _success(reply.info, row)
            self._finish(reply.episode, float(self._returns[row]), int(self._lengths[row]), success, policy)
        self._returns[done], self._lengths[done] = 0.0, 0
        if self._resets_late:
            self._resetting[:] = done
        return False


def _success(info: dict[str, Any], row: Any = ()) -> float:
    """1 or 0, NaN if it is not told. A row that was begun anew in the same step has the end of its episode apart."""
    last = info.get("final_info", info)
    told = np.asarray(last.get("is_success", last.get("success")))
    return float(told[row]) if told.dtype.kind in "biuf" else np.nan
