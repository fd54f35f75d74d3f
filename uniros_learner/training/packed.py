"""Policies as env servers take them, in the place of those of Stable-Baselines3."""

from __future__ import annotations

from typing import Any

from uniros_msgs.policy import Policy


class Packed:
    """A policy as an env server takes it, where Stable-Baselines3 expects one of its own."""

    def __init__(self, policy: Policy):
        self.observation_space, self.action_space = policy.observation_space, policy.action_space
        self._policy = policy

    def predict(self, observation: Any, state: Any = None, episode_start: Any = None, deterministic: bool = False
                ) -> tuple[Any, Any]:
        """Its best actions, whatever is asked."""
        return self._policy.act(observation), state
