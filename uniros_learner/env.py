"""`RosEnv`: an environment behind an env server, as a true `gymnasium.Env`.

It looks like the served environment in every respect that crosses the wire: spaces, spec, metadata, rewards, infos,
and by name its attributes and methods. What it sends and gets it leaves to a `Link`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Self

import gymnasium

from uniros_learner.dialogue import Dialogue, Meanwhile, spec_of
from uniros_learner.link import Link
from uniros_learner.relabel import local_reward
from uniros_learner.rollout import Rollout, goal_of
from uniros_msgs import spaces, wire
from uniros_msgs.errors import ConnectionFailed
from uniros_msgs.exploration import Exploration
from uniros_msgs.policy import Policy
from uniros_msgs.srv import CallRequest

INT64 = range(-(2**63), 2**63)
REWARD = "compute_reward"  # HER calls it for every update: where the task is known, the env server is not asked


class RosEnv(gymnasium.Env):
    """One env server's environment. Not for two threads at once, as any `gymnasium.Env`."""

    def __init__(self, link: Link, **timeouts: float):
        """timeouts: step_timeout and reset_timeout (s), as `Dialogue` has them."""
        self._link = link
        self._dialogue = Dialogue(link, **timeouts)
        self.description = self._dialogue.description
        self.metadata = json.loads(self.description.metadata)
        try:
            if "autoreset_mode" in self.metadata:
                raise ConnectionFailed(f"{link.address} serves a batch of {self.description.num_envs} environments: "
                                       "take it with connect_vec, not with connect")
            self.observation_space = spaces.build(self.description.observation_space)
            self.action_space = spaces.build(self.description.action_space)
        except BaseException:
            link.close()
            raise
        self.render_mode = self.description.render_mode or None
        self.spec = spec_of(self.description)

    # --- gymnasium ----------------------------------------------------------------------------------------------------

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As `gymnasium.Env.reset`.

        Raises EnvironmentFailed when the served environment raises, Timeout, ServerDied, ...
        """
        super().reset(seed=seed)
        reply = self._dialogue.reset(seeds_of(seed), options)
        return reply.observation, reply.info

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """As `gymnasium.Env.step`.

        Raises InvalidAction (nothing moved, the episode goes on), EnvironmentFailed, ResetNeeded, Timeout,
        ServerDied, ...
        """
        reply = self._dialogue.step(action)
        return reply.observation, reply.reward, reply.terminated, reply.truncated, reply.info

    def render(self) -> Any:
        """What the served environment renders, in its own render mode."""
        return self._call("render")

    def close(self) -> None:
        """Give the environment back and end what was started for it. Idempotent."""
        self._link.close()

    # --- beyond gymnasium ---------------------------------------------------------------------------------------------

    def rollout(self, policy: Policy | bytes, *, episodes: int = 0, steps: int = 0, seed: int | None = None,
                exploration: Exploration | None = None, options: dict[str, Any] | None = None, stream: bool = True,
                timeout: float | None = None) -> Rollout:
        """Have the server go through whole episodes with a policy that acts there; what comes back is a `Rollout`.

        policy: what `uniros_learner.training.actor.actor_of` makes of a model, or a `Policy`. episodes, steps: at most
        so many, 0 for no bound; the last episode may be cut off by `steps`. seed: of the first episode; options: of
        every reset. exploration: how actions are varied, None for not at all. stream: whether transitions come back,
        or the report alone. timeout: s between two signs of life; None takes what a reset and a step may.
        Raises InvalidPolicy, and nothing moves, for a policy or an exploration that is none for this environment.
        """
        goal = goal_of(episodes, steps, seeds_of(seed), options, stream)
        return Rollout(self._dialogue, policy, goal, exploration, timeout)

    def while_stepping(self, work: Meanwhile | None) -> None:
        """Have `work` called whenever a step is waited for; None ends that."""
        self._dialogue.meanwhile = work

    def last_stamps(self) -> wire.Stamps:
        """When the last reset or step touched the world; zeros where the environment has no clock of its own."""
        return self._dialogue.stamps

    def __enter__(self) -> Self:
        return self

    def __str__(self) -> str:
        return f"<{type(self).__name__} {self.description.env_id} at {self._link.address}>"

    def __getattr__(self, name: str) -> Any:
        """An attribute or method of the served environment.

        Raises NotReachable, an AttributeError, when it offers none.
        """
        if name.startswith("_") or "description" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        if name in self.description.methods:
            return (local_reward(self.description.task) if name == REWARD else None) or self._method(name)
        return self._remote(CallRequest.GET, name, None)

    def set_wrapper_attr(self, name: str, value: Any, *, force: bool = True) -> bool:
        """Set an attribute of the served environment."""
        if name in self.__dict__:
            setattr(self, name, value)
        else:
            self._remote(CallRequest.SET, name, value)
        return True

    def _method(self, name: str) -> Callable[..., Any]:
        def method(*args: Any, **kwargs: Any) -> Any:
            return self._call(name, *args, **kwargs)

        method.__name__ = name
        return method

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return self._remote(CallRequest.CALL, name, [args, kwargs])

    def _remote(self, op: int, name: str, arguments: Any) -> Any:
        return self._dialogue.call(op, name, arguments)


def seeds_of(seed: int | None) -> list[int]:
    """As a goal carries it. Raises ValueError for one that it cannot."""
    if seed is None:
        return []
    if int(seed) not in INT64:
        raise ValueError(f"a seed must fit into 64 bits, {seed} does not")
    return [int(seed)]
