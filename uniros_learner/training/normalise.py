"""Observations and rewards at a common scale, learnt while training goes on; goals all at one."""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

Statistics = dict[str, tuple[Any, Any, float]]  # name: mean, variance, and how many values they come of


class Normalise(VecNormalize):
    """As Stable-Baselines3 does it, but with one scale for achieved and desired goals: their distance keeps its sense,
    and a goal that hindsight takes from what was achieved means what it meant.
    """

    obs_rms: Any

    def __init__(self, venv: VecEnv, **settings: Any):
        """settings: as VecNormalize has them."""
        super().__init__(venv, **settings)
        if self.norm_obs and isinstance(self.obs_rms, dict) and "desired_goal" in self.obs_rms:
            self.obs_rms["desired_goal"] = self.obs_rms["achieved_goal"]

    def observed(self, observations: Any) -> Any:
        """As the policy sees them."""
        return self.normalize_obs(observations)

    def statistics(self) -> Statistics:
        """What it has learnt."""
        return {name: (each.mean, each.var, each.count) for name, each in self._parts().items()}

    def put(self, statistics: Statistics) -> None:
        """Go on from what another has learnt. Raises KeyError when it normalises other things."""
        for name, each in self._parts().items():
            each.mean, each.var, each.count = statistics[name]

    def _parts(self) -> dict[str, RunningMeanStd]:
        observations = (self.obs_rms if isinstance(self.obs_rms, dict) else {"": self.obs_rms}) if self.norm_obs else {}
        return {f"observation/{key}": each for key, each in observations.items()} | {"return": self.ret_rms}
