"""`RosVectorEnv`: a batch of environments behind one env server, as a true `gymnasium.vector.VectorEnv`.

One Step goal carries all actions. `step_async` sends it and `step_wait` takes the result, so that servers whose steps
were sent before any was waited for work at the same time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Self

from gymnasium.error import AlreadyPendingCallError, NoAsyncCallError
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from uniros_learner.dialogue import Dialogue, Meanwhile, spec_of
from uniros_learner.env import seeds_of
from uniros_learner.link import Link
from uniros_learner.rollout import Rollout, goal_of
from uniros_msgs import spaces, wire
from uniros_msgs.errors import ConnectionFailed
from uniros_msgs.exploration import Exploration
from uniros_msgs.policy import Policy
from uniros_msgs.srv import CallRequest

Stepped = tuple[Any, Any, Any, Any, dict[str, Any]]  # observations, rewards, terminations, truncations, infos
LEFT_ALONE = -1  # on the wire: the seed of a row whose generator goes on


class RosVectorEnv(VectorEnv):
    """One env server's batch. Rows that end are begun anew as metadata["autoreset_mode"] says.

    Not for two threads at once, as any `VectorEnv`.
    """

    def __init__(self, link: Link, **timeouts: float):
        """timeouts: step_timeout and reset_timeout (s), as `Dialogue` has them."""
        self._link = link
        self._dialogue = Dialogue(link, **timeouts)
        self.description = self._dialogue.description
        self.metadata = json.loads(self.description.metadata)
        try:
            if "autoreset_mode" not in self.metadata:
                raise ConnectionFailed(f"{link.address} serves a single environment: take it with connect, not with "
                                       "connect_vec, or start its server with _num_envs:=N")
            self.metadata["autoreset_mode"] = AutoresetMode(self.metadata["autoreset_mode"])
            self.single_observation_space = spaces.build(self.description.observation_space)
            self.single_action_space = spaces.build(self.description.action_space)
        except BaseException:
            link.close()
            raise
        self.num_envs = self.description.num_envs
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.render_mode = self.description.render_mode or None
        self.spec = spec_of(self.description)

    # --- gymnasium ----------------------------------------------------------------------------------------------------

    def reset(self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
              ) -> tuple[Any, dict[str, Any]]:
        """As `VectorEnv.reset`; one seed for the batch, or one per row (None leaves that row's generator as it is).

        Raises AlreadyPendingCallError while a step is under way, EnvironmentFailed when the batch raises, Timeout, ...
        """
        self._refuse_pending("reset")
        reply = self._dialogue.reset(_seeds(seed, self.num_envs), options)
        return reply.observation, reply.info

    def step(self, actions: Any) -> Stepped:
        """As `VectorEnv.step`. Raises InvalidAction (nothing moved, the episodes go on), EnvironmentFailed, ..."""
        self._refuse_pending("step")
        return _stepped(self._dialogue.step(actions))

    @property
    def stepping(self) -> bool:
        """Whether a step was sent that nobody has waited for."""
        return self._dialogue.stepping

    def step_async(self, actions: Any) -> None:
        """Send the actions and return. Raises AlreadyPendingCallError when a step is under way."""
        self._refuse_pending("step_async")
        self._dialogue.begin_step(actions)

    def step_wait(self) -> Stepped:
        """What `step` returns and raises, for the actions sent. Raises NoAsyncCallError when none were."""
        if not self.stepping:
            raise NoAsyncCallError("step_wait() waits for a step that step_async() has begun; none was", "step")
        return _stepped(self._dialogue.finish_step())

    def render(self) -> tuple[Any, ...] | None:
        """What each row renders; None without a render mode."""
        return tuple(self.call("render")) if self.render_mode else None

    def close_extras(self, **kwargs: Any) -> None:
        """Give the batch back and end what was started for it."""
        self._link.close()

    # --- beyond gymnasium's base class, but as its SyncVectorEnv has it -----------------------------------------------

    def call(self, name: str, *args: Any, rows: Sequence[int] | None = None, **kwargs: Any) -> tuple[Any, ...]:
        """Call a method of each row, or of the rows given; what they return, in that order."""
        return self._remote(CallRequest.CALL, name, [args, kwargs, rows])

    def get_attr(self, name: str, rows: Sequence[int] | None = None) -> tuple[Any, ...]:
        """An attribute of each row, or of the rows given."""
        return self._remote(CallRequest.GET, name, [rows])

    def set_attr(self, name: str, values: Any, rows: Sequence[int] | None = None) -> None:
        """Set an attribute of each row, or of the rows given: a list or tuple holds one value for each."""
        chosen = range(self.num_envs) if rows is None else rows
        each = values if isinstance(values, (list, tuple)) else [values] * len(chosen)
        if len(each) != len(chosen):
            raise ValueError(f"set_attr expects one value, or one for each of {len(chosen)} rows; got {len(each)}")
        for row, value in zip(chosen, each, strict=True):
            self._remote(CallRequest.SET, name, [value, [row]])

    def rollout(self, policy: Policy | bytes, *, episodes: int = 0, steps: int = 0,
                seed: int | Sequence[int | None] | None = None, exploration: Exploration | None = None,
                options: dict[str, Any] | None = None, stream: bool = True, timeout: float | None = None) -> Rollout:
        """As `RosEnv.rollout`, with a policy that acts for every row. episodes: of all rows together; steps: of the
        batch. The batch is reset once, at the start, and its rows as metadata["autoreset_mode"] says.
        """
        self._refuse_pending("rollout")
        goal = goal_of(episodes, steps, _seeds(seed, self.num_envs), options, stream)
        return Rollout(self._dialogue, policy, goal, exploration, timeout)

    def while_stepping(self, work: Meanwhile | None) -> None:
        """Have `work` called whenever a step is waited for; None ends that."""
        self._dialogue.meanwhile = work

    def last_stamps(self) -> wire.Stamps:
        """When the last reset or step touched the world; zeros where the batch has no clock of its own."""
        return self._dialogue.stamps

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.num_envs} x {self.description.env_id} at {self._link.address}>"

    def _remote(self, op: int, name: str, arguments: Any) -> tuple[Any, ...]:
        self._refuse_pending(name)
        return tuple(self._dialogue.call(op, name, arguments))

    def _refuse_pending(self, name: str) -> None:
        if self.stepping:
            raise AlreadyPendingCallError(f"{name}() came while a step is under way: call step_wait() first", "step")


def _stepped(reply: wire.StepReply) -> Stepped:
    return reply.observation, reply.reward, reply.terminated, reply.truncated, reply.info


def _seeds(seed: int | Sequence[int | None] | None, num_envs: int) -> list[int]:
    """As a goal carries them. Raises ValueError for what it cannot."""
    if not isinstance(seed, Sequence):
        return seeds_of(seed)
    if len(seed) != num_envs:
        raise ValueError(f"a list of seeds must hold one for each of {num_envs} rows, not {len(seed)}")
    if num_envs == 1:
        return seeds_of(seed[0])
    if any(each is not None and each < 0 for each in seed):
        raise ValueError(f"seeds are whole numbers from 0 on, got {list(seed)}")
    return [LEFT_ALONE if each is None else seeds_of(each)[0] for each in seed]
