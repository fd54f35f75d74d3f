"""`MultiTaskEnv`: several environments, each on its own master, as one environment for one learner."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Self

import gymnasium
import numpy as np

from uniros_learner.multi_task_choice import Choice
from uniros_learner.multi_task_member import Member, Reset, State, Step
from uniros_learner.multi_task_opening import Wrapper, open_all, wrap
from uniros_learner.multi_task_spaces import Fit, common_space
from uniros_learner.multi_task_status import Statuses
from uniros_msgs.errors import AllDown, Closed, EnvironmentFailed, InvalidAction, ResetNeeded, UnirosError

PATIENCE = 60.0  # s


class MultiTaskEnv(gymnasium.Env):
    """Each episode takes place in one of several environments; all of them stay open.

    Observations and actions that differ in size are padded with zeros to the largest, with one warning. `info` says
    whose it is: "task_id" is the number of the environment in `env_list`, "task" its id.

    When an environment fails, its episode is over and must not be learnt from: `step` then gives the last good
    observation again, reward 0, truncated, and in `info` "broken": True and "error". The replay buffers of
    `uniros_learner.whole_episodes` leave such an episode out. The next reset goes to one of the others, while the one
    that failed is made, connected or reset anew in the background until it is back; `status()` tells.
    """

    metadata: dict[str, Any]

    def __init__(
        self,
        env_list: Sequence[str | gymnasium.Env],
        env_args_list: Sequence[Mapping[str, Any] | None] | None = None,
        wrapper_list: Sequence[Wrapper] | None = None,
        wrapper_args_dict: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        choice: str = "random",
        weights: Sequence[float] | None = None,
        seed: int | None = None,
        patience: float = PATIENCE,
    ):
        """env_list: ids, which `uniros_learner.make` starts side by side, and environments that are open already, for
        instance from `connect`. All of them are closed by `close()`.
        env_args_list: for each id the arguments of `make`.
        wrapper_list: wrappers around each environment, innermost first: classes, or names of `gymnasium.wrappers`.
        wrapper_args_dict: their arguments, by the wrapper's name.
        choice: who has the next episode: random, round_robin, or weighted (with `weights`).
        seed: of choice and environments, as in `reset`. patience: s that `reset` waits while none of them works.
        Raises what `make` raises, ValueError or UnsupportedSpace when they do not go together; then nothing that was
        started here is left.
        """
        arguments = list(env_args_list or [None] * len(env_list))
        if not env_list or len(arguments) != len(env_list):
            raise ValueError(f"expected at least one environment and arguments for each, got {len(env_list)} and "
                             f"{len(arguments)}")
        self._choice = Choice(choice, len(env_list), weights)
        self.patience = patience
        self._changed = threading.Condition()
        self._current: Member | None = None
        self._closed = False
        with ExitStack() as failing:
            envs = open_all(env_list, arguments, failing)
            wrapped = [wrap(env, wrapper_list or (), wrapper_args_dict or {}) for env in envs]
            self.members = [Member(number, env, self._wake) for number, env in enumerate(wrapped)]
            self._fit(wrapped)
            failing.pop_all()
        self.metadata = wrapped[0].metadata
        modes = {env.render_mode for env in wrapped}
        self.render_mode = modes.pop() if len(modes) == 1 else None
        self._seeds: dict[int, int] = {}
        self._last: Any = None
        if seed is not None:
            self._reseed(seed)

    def _fit(self, envs: Sequence[gymnasium.Env]) -> None:
        """Find the spaces. Raises UnsupportedSpace."""
        self.observation_space = common_space([env.observation_space for env in envs])
        self.action_space = common_space([env.action_space for env in envs])
        self._observations = [Fit(env.observation_space, self.observation_space) for env in envs]
        self._actions = [Fit(env.action_space, self.action_space) for env in envs]
        if any(fit.pads for fit in self._observations) or not all(fit.exact for fit in self._actions):
            warnings.warn("these environments differ in size: observations are padded with zeros, actions cut to what "
                          "each of them takes. A policy that was trained on padding transfers badly", stacklevel=3)

    # --- gymnasium --------------------------------------------------------------------------------------------------

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Reset:
        """Begin an episode in the environment whose turn it is.

        seed: of the choice and, when their turn comes, of all environments. options: "task_id" makes it the turn of
        that one, the rest is handed on. While all that could be chosen are down it waits for one, and raises AllDown
        when none is back in time. Raises EnvironmentFailed for options that an environment refuses.
        """
        if seed is not None:
            self._reseed(seed)
        self._current = None
        among, options = self._wanted(options)
        deadline = time.monotonic() + self.patience
        while self._current is None:
            member = self.members[self._choice.pick(self.await_some(deadline, among), self.np_random)]
            try:
                observation, info = member.reset(self._seeds.get(member.number), options)
            except InvalidAction:
                raise
            except UnirosError as error:
                member.fail(error)
                if options and isinstance(error, EnvironmentFailed):
                    raise
            else:
                self._seeds.pop(member.number, None)
                self._current = member
        self._last = self._observations[member.number].widen(observation)
        return self._last, self._signed(info)

    def step(self, action: Any) -> Step:
        """As `gymnasium.Env.step`, in the environment of this episode; see above for one that fails.

        Raises InvalidAction (nothing moved, the episode goes on), ResetNeeded, Closed.
        """
        member = self._acting()
        if member.state is not State.UP:  # it failed when it was asked for rewards
            return self._broken(member)
        try:
            said = member.step(self._actions[member.number].narrow(action))
        except InvalidAction:
            raise
        except UnirosError as error:
            member.fail(error)
            return self._broken(member)
        observation, reward, terminated, truncated, info = said
        self._last = self._observations[member.number].widen(observation)
        info = self._signed(info)
        if terminated or truncated:
            self._current = None
        return self._last, reward, terminated, truncated, info

    def render(self) -> Any:
        """A picture of the environment of this episode; of the first before there is one."""
        return (self._current or self.members[0]).env.render()

    def close(self) -> None:
        """Close all environments, side by side. Idempotent."""
        self._closed = True
        with ThreadPoolExecutor(len(self.members)) as pool:
            for done in [pool.submit(member.close) for member in self.members]:
                done.result()

    # --- beyond gymnasium -------------------------------------------------------------------------------------------

    def status(self) -> Statuses:
        """What became of each environment so far, in the order of `env_list`; its text is a table."""
        return Statuses(member.status() for member in self.members)

    @property
    def envs(self) -> tuple[gymnasium.Env, ...]:
        """The environments as they are now; one that came back is another than it was."""
        return tuple(member.env for member in self.members)

    def __enter__(self) -> Self:
        return self

    def __str__(self) -> str:
        return f"<{type(self).__name__} of {', '.join(member.task for member in self.members)}>"

    # --- the parts --------------------------------------------------------------------------------------------------

    def _reseed(self, seed: int) -> None:
        super().reset(seed=seed)
        self._choice.restart()
        drawn = np.random.SeedSequence(seed).generate_state(len(self.members))
        self._seeds = {number: int(each) for number, each in enumerate(drawn)}

    def _wanted(self, options: dict[str, Any] | None) -> tuple[Sequence[Member], dict[str, Any] | None]:
        """Who may have the episode, and the options for it."""
        if not options or "task_id" not in options:
            return self.members, options
        wanted = options["task_id"]
        if wanted not in range(len(self.members)):
            raise ValueError(f"task_id must be a number from 0 to {len(self.members) - 1}, not {wanted!r}")
        return [self.members[wanted]], {key: value for key, value in options.items() if key != "task_id"} or None

    def _acting(self) -> Member:
        if self._closed:
            raise Closed("this environment is closed: make a new one")
        if self._current is None:
            raise ResetNeeded("there is no running episode: call reset() first")
        return self._current

    def _signed(self, info: dict[str, Any]) -> dict[str, Any]:
        assert self._current
        return info | {"task_id": self._current.number, "task": self._current.task}

    def _broken(self, member: Member) -> Step:
        info = self._signed({"broken": True, "error": member.status().error})
        self._current = None
        return self._last, 0.0, False, True, info

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def await_some(self, deadline: float, among: Sequence[Member]) -> list[int]:
        """The numbers of those that are up, as soon as one is. Raises AllDown, Closed."""
        with self._changed:
            while not (up := [member.number for member in among if member.state is State.UP]):
                if self._closed:
                    raise Closed("this environment is closed: make a new one")
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AllDown(f"{' and '.join(member.task for member in among)} did not come back within "
                                  f"{self.patience:g} s (patience=...):\n{self.status()}")
                self._changed.wait(left)
        return up
