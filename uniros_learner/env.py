"""`RosEnv`: an environment behind an env server, as a true `gymnasium.Env`.

It looks like the served environment in every respect that crosses the wire: spaces, spec, metadata, rewards, infos,
and by name its attributes and methods. What it sends and gets it leaves to a `Link`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Self

import gymnasium
from gymnasium.envs.registration import EnvSpec

from uniros_learner.link import Link, Op, raise_error, serialise
from uniros_msgs import codec, spaces, wire
from uniros_msgs.errors import Closed, InvalidAction, NotReachable, ResetNeeded, Timeout, by_name
from uniros_msgs.msg import ResetGoal
from uniros_msgs.srv import CallRequest, CallResponse, DescribeRequest, DescribeResponse

STEP_TIMEOUT = 10.0  # s
RESET_TIMEOUT = 60.0  # s; a real arm plans its way home
CALL_TIMEOUT = 30.0  # s
INT64 = range(-(2**63), 2**63)


class RosEnv(gymnasium.Env):
    """One env server's environment. Not for two threads at once, as any `gymnasium.Env`."""

    def __init__(self, link: Link, step_timeout: float = STEP_TIMEOUT, reset_timeout: float = RESET_TIMEOUT):
        self._link = link
        self._step_timeout, self._reset_timeout = step_timeout, reset_timeout
        self._episode, self._step = link.episode, 0
        self._running = False
        self._stamps = wire.Stamps()
        try:
            answer = link.request(Op.DESCRIBE, serialise(DescribeRequest()), CALL_TIMEOUT)
            self.description: DescribeResponse = DescribeResponse().deserialize(answer)
            self.observation_space = spaces.build(self.description.observation_space)
            self.action_space = spaces.build(self.description.action_space)
        except BaseException:
            link.close()
            raise
        self.metadata = json.loads(self.description.metadata)
        self.render_mode = self.description.render_mode or None
        self.spec = _spec(self.description)

    # --- gymnasium ----------------------------------------------------------------------------------------------------

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As `gymnasium.Env.reset`.

        Raises EnvironmentFailed when the served environment raises, Timeout, ServerDied, ...
        """
        super().reset(seed=seed)
        self._episode, self._step, self._running = self._episode + 1, 0, False
        goal = ResetGoal(self._link.token, self._episode, _seed(seed), codec.encode(options))
        answer = self._ask(Op.RESET, serialise(goal), self._reset_timeout)
        reply = wire.unpack_reset_reply(answer)
        self._stamps = reply.stamps
        if reply.error.kind:
            raise by_name(*reply.error)
        self._running = True
        return reply.observation, reply.info

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """As `gymnasium.Env.step`.

        Raises InvalidAction (nothing moved, the episode goes on), EnvironmentFailed, ResetNeeded, Timeout,
        ServerDied, ...
        """
        if not self._running:
            raise ResetNeeded("there is no running episode: call reset() first")
        payload = wire.pack_step_goal(self._link.token, self._episode, self._step + 1, action)
        self._running = False  # until the answer says that it still is
        reply = wire.unpack_step_reply(self._ask(Op.STEP, payload, self._step_timeout))
        self._stamps = reply.stamps
        if reply.error.kind:
            self._running = reply.error.kind == InvalidAction.__name__
            raise by_name(*reply.error)
        self._running = True
        self._step += 1
        return reply.observation, reply.reward, reply.terminated, reply.truncated, reply.info

    def render(self) -> Any:
        """What the served environment renders, in its own render mode."""
        return self._call("render")

    def close(self) -> None:
        """Give the environment back and end what was started for it. Idempotent."""
        self._link.close()

    # --- beyond gymnasium ---------------------------------------------------------------------------------------------

    def last_stamps(self) -> wire.Stamps:
        """When the last reset or step touched the world; zeros where the environment has no clock of its own."""
        return self._stamps

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
            return self._method(name)
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
        request = CallRequest(self._link.token, op, name, codec.encode(arguments))
        try:
            payload = self._link.request(Op.CALL, serialise(request), CALL_TIMEOUT)
        except Closed as error:
            raise NotReachable(f"{name}: {error}") from error
        answer = CallResponse().deserialize(payload)
        if answer.error.kind:
            raise_error(answer.error)
        return codec.decode(answer.value)

    def _ask(self, op: Op, payload: bytes, timeout: float) -> bytes:
        """Ask, and halfway through the time ask again: the server carries out the same numbers only once."""
        try:
            return self._link.request(op, payload, timeout / 2)
        except Timeout:
            pass
        try:
            return self._link.request(op, payload, timeout / 2)
        except Timeout:
            raise Timeout(
                f"no answer to {op.name.lower()} from {self._link.address} within {timeout:g} s: is the env server "
                f"(process {self.description.pid}) busy, stopped or out of reach? "
                f"To wait longer: {op.name.lower()}_timeout=..."
            ) from None


def _seed(seed: int | None) -> list[int]:
    if seed is None:
        return []
    if int(seed) not in INT64:
        raise ValueError(f"a seed must fit into 64 bits, {seed} does not")
    return [int(seed)]


def _spec(description: DescribeResponse) -> EnvSpec | None:
    """A spec to read (id, step limit, threshold); the server has applied the step limit already."""
    given = json.loads(description.spec)
    if not given:
        return None
    return EnvSpec(
        id=description.env_id.rpartition(":")[2],
        entry_point="uniros_learner:make",
        kwargs={"env_id": description.env_id},
        max_episode_steps=given["max_episode_steps"],
        reward_threshold=given["reward_threshold"],
        nondeterministic=given["nondeterministic"],
    )
