"""Which of several environments has the next episode."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

KINDS = ("random", "round_robin", "weighted")


class Choice:
    """random: each as likely as any other; weighted: as likely as its weight says; round_robin: one after the other."""

    def __init__(self, kind: str, count: int, weights: Sequence[float] | None = None):
        """weights: `count` positive numbers, for weighted alone. Raises ValueError for what does not fit together."""
        if kind not in KINDS:
            raise ValueError(f"choice must be one of {', '.join(KINDS)}, not {kind!r}")
        if (weights is not None) != (kind == "weighted"):
            raise ValueError(f"weights are for choice='weighted', which needs them; got {kind!r} and {weights}")
        self._weights = np.ones(count) if weights is None else np.asarray(weights, dtype=np.float64)
        if self._weights.shape != (count,) or not (np.isfinite(self._weights) & (self._weights > 0)).all():
            raise ValueError(f"weights must be {count} positive numbers, one for each environment, not {weights}")
        self._in_turn = kind == "round_robin"
        self._last = -1

    def restart(self) -> None:
        """Begin the round anew."""
        self._last = -1

    def pick(self, available: Sequence[int], rng: np.random.Generator) -> int:
        """One of the available numbers, which are in order. One number is drawn from the generator at most."""
        if self._in_turn:
            self._last = next((number for number in available if number > self._last), available[0])
        elif len(available) == 1:
            self._last = available[0]
        else:
            ends = np.cumsum(self._weights[list(available)])
            self._last = available[int(np.searchsorted(ends, rng.random() * ends[-1], side="right"))]
        return self._last
