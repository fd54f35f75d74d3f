"""Batches of transitions as a rollout would send them."""

from __future__ import annotations

import numpy as np

from uniros_msgs.columns import stack
from uniros_msgs.transitions import DONE, GOES_ON, STAMP, Transitions


def batch(episode: int, step: int, count: int, end: str = GOES_ON) -> Transitions:
    """Transitions `step` to `step + count - 1`, whose observations and rewards say which step they are."""
    steps = range(step - 1, step + count)
    flags = np.zeros(count, bool)
    ended = flags.copy()
    ended[-1:] = end == DONE
    infos = [{"is_success": end == DONE, "distance": 0.01 * step, "refusal": ""} for step in steps]
    stamps = np.zeros(count + 1, STAMP)
    stamps["commanded"][:, 0] = list(steps)
    return Transitions(
        episode, step, count, stack([np.full(2, number, np.float32) for number in steps]),
        stack([np.full(1, number, np.float32) for number in steps[:-1]]) if count else ("rows", []),
        np.array(steps[1:], float), ended, flags, stack(infos), stamps, end=end, policy="7",
    )
