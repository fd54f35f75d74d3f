"""How a rollout varies the actions of its policy, reproducibly: numbers that can be sent, and what they do."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces as gs

from uniros_msgs.errors import InvalidPolicy

if TYPE_CHECKING:  # at run time this must stay Python 3.8
    import gymnasium

    from uniros_msgs.policy import Policy

NOISES = ("none", "normal", "ornstein_uhlenbeck", "policy")


@dataclass(frozen=True)
class Exploration:
    """Noise is that of actions scaled to [-1, 1], as in Stable-Baselines3; what leaves the bounds is put onto them."""

    noise: str = "none"  # or normal, ornstein_uhlenbeck; policy: the policy's own sampling
    sigma: float | tuple[float, ...] = 0.1  # of normal and ornstein_uhlenbeck, for all or each of an action's numbers
    theta: float = 0.15  # 1/s, of ornstein_uhlenbeck: how fast it returns to zero
    dt: float = 1e-2  # s, of ornstein_uhlenbeck
    random_steps: int = 0  # at the beginning of the rollout, with actions drawn uniformly
    epsilon: float = 0.0  # share of the other steps with an action drawn uniformly
    seed: int | None = None

    def __post_init__(self) -> None:
        """Raises InvalidPolicy for values that are none."""
        sigma = np.asarray(self.sigma)
        rules = {
            f"noise must be one of {', '.join(NOISES)}": self.noise in NOISES,
            "sigma must be finite numbers, at least 0": sigma.dtype.kind in "fi" and sigma.ndim <= 1
            and bool(np.isfinite(sigma).all() and (sigma >= 0).all()),
            "theta and dt must be positive": _within(self.theta, 0.0, 1e6) and _within(self.dt, 1e-9, 1e3),
            "random_steps must be a whole number, at least 0": _whole(self.random_steps),
            "epsilon must be within [0, 1]": _within(self.epsilon, 0.0, 1.0),
            "seed must be a whole number, at least 0, or None": self.seed is None or _whole(self.seed),
        }
        for rule, kept in rules.items():
            if not kept:
                raise InvalidPolicy(f"of an exploration {rule}; got {self}")

    def describe(self) -> dict[str, Any]:
        """As the codec sends it."""
        return asdict(self)

    @classmethod
    def read(cls, said: Any) -> Exploration:
        """The inverse of `describe`; None explores nothing. Raises InvalidPolicy."""
        if said is None:
            return cls()
        known = {field.name for field in fields(cls)}
        if not isinstance(said, dict) or not said.keys() <= known:
            raise InvalidPolicy(f"an exploration is a dict of {', '.join(sorted(known))}, or None; got {said!r:.200}")
        return cls(**said)


class Explorer:
    """Carries an exploration out, for one environment, or for a batch of `rows` of them.

    Raises InvalidPolicy when the exploration is not one for the action space.
    """

    def __init__(self, exploration: Exploration, space: gymnasium.Space, rows: int | None = None) -> None:
        self._exploration, self._space = exploration, space
        self._rng = np.random.default_rng(exploration.seed)
        self._shape = (space.shape or ()) if rows is None else (rows, *(space.shape or ()))
        self._left = exploration.random_steps
        self._sampled = exploration.noise == "policy"
        self._noisy = exploration.noise in ("normal", "ornstein_uhlenbeck")
        uniform = exploration.random_steps or exploration.epsilon
        if isinstance(space, gs.Box) and (self._noisy or uniform):
            if not space.is_bounded() or space.dtype.kind != "f":  # type: ignore[union-attr]
                raise InvalidPolicy(f"noise and random actions need an action space with bounds, not {space}")
        elif self._noisy:
            raise InvalidPolicy(f"noise is for continuous actions; for {space} there are epsilon and random_steps")
        if self._noisy and np.ndim(exploration.sigma) and np.shape(exploration.sigma) != space.shape:
            raise InvalidPolicy(f"sigma must be one number or {space.shape} of them, not {np.shape(exploration.sigma)}")
        self.begin()

    def begin(self) -> None:
        """An episode begins: noise that remembers forgets."""
        self._state = np.zeros(self._shape, np.float64)

    def act(self, policy: Policy, observation: Any) -> Any:
        """The action to take."""
        if self._left > 0:
            self._left -= 1
            return self._uniform()
        epsilon = self._exploration.epsilon
        if epsilon and self._rng.random() < epsilon:
            return self._uniform()
        action = policy.act(observation, self._rng, deterministic=not self._sampled)
        return self._noised(action) if self._noisy else action

    def _uniform(self) -> Any:
        space = self._space
        if isinstance(space, gs.Discrete):
            first = int(space.start)
            drawn = self._rng.integers(first, first + int(space.n), self._shape)
            return drawn.astype(space.dtype)[()]
        assert isinstance(space, gs.Box)
        return self._bounded(self._rng.uniform(space.low, space.high, self._shape))

    def _noised(self, action: np.ndarray) -> np.ndarray:
        space: Any = self._space
        half = (space.high.astype(np.float64) - space.low) / 2
        return self._bounded(action + half * self._noise())

    def _noise(self) -> np.ndarray:
        made, draw = self._exploration, self._rng.standard_normal(self._shape)
        sigma = np.asarray(made.sigma)
        if made.noise == "normal":
            return sigma * draw
        self._state = self._state * (1.0 - made.theta * made.dt) + sigma * np.sqrt(made.dt) * draw
        return self._state

    def _bounded(self, values: np.ndarray) -> np.ndarray:
        space: Any = self._space
        return np.clip(values.astype(space.dtype), space.low, space.high)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _within(value: Any, low: float, high: float) -> bool:
    return isinstance(value, (int, float)) and bool(low <= value <= high)
