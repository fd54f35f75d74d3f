"""One of several environments: it counts what it gave, and when it fails it comes back by itself, in the background."""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import Enum
from typing import Any

import gymnasium

from uniros_learner.env import REWARD
from uniros_learner.multi_task_status import TaskStatus
from uniros_learner.proxy import GymProxy
from uniros_msgs.errors import ConnectionFailed, LeaseHeld, LeaseLost

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0  # s before the first attempt to rejoin; it doubles with each that fails
LAST_WAIT = 10.0  # s that close() waits for an attempt under way
CUT_OFF = (ConnectionFailed, LeaseLost, LeaseHeld)  # after these a connection is of no more use

Reset = tuple[Any, dict[str, Any]]
Step = tuple[Any, Any, Any, Any, dict[str, Any]]


class State(Enum):
    """Where an environment stands."""

    UP = "up"
    DOWN = "down"
    CLOSED = "closed"


LEADS_TO = {State.UP: {State.DOWN, State.CLOSED}, State.DOWN: {State.UP, State.CLOSED}, State.CLOSED: set[State]()}


class Member:
    """Holds one environment, which belongs to the caller's thread while it is up, and to a thread here while not.

    An environment that is connected by `uniros_learner` is made or connected anew when the connection is what failed.
    When it is still connected, it is only reset, again and again: an emergency stop is not ended by starting a server
    anew. Any other environment is reset, too. `wake` is called when it is up again.
    """

    def __init__(self, number: int, env: gymnasium.Env, wake: Callable[[], None]):
        self.number, self.env = number, env
        self.state = State.UP
        self.task = name_of(env)
        self._where = getattr(getattr(env.unwrapped, "_link", None), "address", "this process")
        self._spaces = env.observation_space, env.action_space
        self._wake = wake
        self._lock = threading.Lock()  # around changes of state
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._episodes = self._steps = self._failures = self._dropped = self._attempts = 0
        self._running = 0  # steps of the episode that runs
        self._error: Exception | None = None

    # --- while it is up ---------------------------------------------------------------------------------------------

    def reset(self, seed: int | None, options: dict[str, Any] | None) -> Reset:
        """As `gymnasium.Env.reset`."""
        self._running = 0
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> Step:
        """As `gymnasium.Env.step`."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._steps += 1
        self._running += 1
        if terminated or truncated:
            self._episodes += 1
            self._running = 0
        return observation, reward, terminated, truncated, info

    @property
    def reward(self) -> Callable[..., Any]:
        """`compute_reward` of the environment. Raises AttributeError when it has none."""
        return self.env.get_wrapper_attr(REWARD)

    def fail(self, error: Exception) -> None:
        """It has failed: drop the episode that ran, and have the environment come back by itself."""
        if not self._become(State.DOWN):
            return
        self._failures += 1
        self._dropped += self._running
        self._steps -= self._running
        self._running = self._attempts = 0
        self._error = error
        self._thread = threading.Thread(target=self._rejoin, name=f"rejoin {self.task}", daemon=True)
        self._thread.start()

    # --- while it is down -------------------------------------------------------------------------------------------

    def _rejoin(self) -> None:
        pause = FIRST_PAUSE
        while not self._closing.wait(pause):
            self._attempts += 1
            try:
                if isinstance(self._error, CUT_OFF):
                    self._reconnect()
                self.env.reset()
            except Exception as error:  # noqa: BLE001 - told by status(), whatever it is
                self._error = error
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                break
        if self._become(State.UP):
            self._wake()
        else:  # closed meanwhile, and perhaps without waiting for us
            self.env.close()

    def _reconnect(self) -> None:
        """Exchange the environment inside all wrappers for one made anew. Raises ConnectionFailed and others."""
        outside, env = None, self.env
        while isinstance(env, gymnasium.Wrapper):
            outside, env = env, env.env
        if not isinstance(env, GymProxy):
            return
        fresh = env.again()
        if outside is None:
            self.env = fresh
        else:
            outside.env = fresh
        if (self.env.observation_space, self.env.action_space) != self._spaces:
            fresh.close()
            raise ConnectionFailed(f"{self.task} came back with other spaces than it had: {self.env.observation_space} "
                                   f"and {self.env.action_space}; end this learner and begin a new one")
        self._where = fresh._link.address

    def _become(self, state: State) -> bool:
        """Change the state; False when the one it is in does not lead there."""
        with self._lock:
            possible = state in LEADS_TO[self.state]
            self.state = state if possible else self.state
            return possible

    # --- at any time ------------------------------------------------------------------------------------------------

    def status(self) -> TaskStatus:
        """May be called from any thread."""
        error = f"{type(self._error).__name__}: {self._error}" if self._error else ""
        return TaskStatus(self.number, self.task, self._where, self.state.value, self._episodes, self._steps,
                          self._failures, self._dropped, self._attempts, error)

    def close(self) -> None:
        """Close the environment. Idempotent; takes at most 7 s, or 17 s while it is just being made anew."""
        self._become(State.CLOSED)
        self._closing.set()
        if self._thread:
            self._thread.join(LAST_WAIT)
        self.env.close()


def name_of(env: gymnasium.Env) -> str:
    """The id of an environment, as far as it has one."""
    description = getattr(env.unwrapped, "description", None)
    if description is not None:
        return description.env_id
    return env.spec.id if env.spec else type(env.unwrapped).__name__
