"""What happens beside learning, as callbacks of Stable-Baselines3: recording, showing progress, ending early."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from uniros_learner.training.config import EarlyStop
from uniros_learner.training.episodes import Episode, EpisodeLog, summarise
from uniros_learner.training.terminal import Display

SHOWN_EPISODES = 40  # for the running figures, where early stopping asks for no window
RATE_PERIOD = 3.0  # s over which speeds are averaged
STEP = ("buffer_actions", "new_obs", "rewards", "dones", "infos")  # what is stored of one
SHORTEST_SPAN = 0.2  # s below which a speed would be noise


class Record(BaseCallback):
    """Logs every finished episode and remembers the last ones."""

    def __init__(self, log: EpisodeLog, plan: EarlyStop, start: float, recent: int = 0):
        """start: monotonic seconds of the first reset. recent: how many of the log's last episodes count already."""
        super().__init__()
        self._log, self._plan, self._start = log, plan, start
        self.recent: deque[Episode] = deque(log.episodes[-recent:] if recent else (),
                                            maxlen=plan.window or SHOWN_EPISODES)

    def _on_step(self) -> bool:
        for done, info in zip(self.locals["dones"], self.locals["infos"], strict=True):
            if done:
                episode = Episode.from_info(info, self.num_timesteps, time.monotonic() - self._start)
                self.recent.append(episode)
                self._log.add(episode)
        return True

    def convincing(self) -> bool:
        """Whether the last episodes succeed as often as early stopping asks for."""
        if not self._plan.window or len(self.recent) < self._plan.window:
            return False
        rate = summarise(self.recent).success_rate
        return rate is not None and rate >= self._plan.success_rate


class Show(BaseCallback):
    """Keeps a display up to date with the running success rate, return and speeds."""

    def __init__(self, display: Display, recent: deque[Episode]):
        super().__init__()
        self._display, self._recent = display, recent
        self._marks: deque[tuple[float, int, int]] = deque()  # (monotonic s, steps, updates)

    def _on_training_start(self) -> None:
        self._marks.clear()
        self._mark(time.monotonic())

    def _mark(self, now: float) -> None:
        self._marks.append((now, self.num_timesteps, getattr(self.model, "_n_updates", 0)))

    def _on_step(self) -> bool:
        self._display.update(self.num_timesteps, self._detail)
        return True

    def _detail(self) -> str:
        found = summarise(self._recent)
        parts = [] if found.success_rate is None else [f"success {found.success_rate:.0%}"]
        if found.mean_return is not None:
            parts += [f"return {found.mean_return:.2f} (last {found.episodes} episodes)"]
        return ", ".join([*parts, *self._speeds()])

    def _speeds(self) -> list[str]:
        """Of the last seconds; nothing until there is something to average over."""
        now = time.monotonic()
        self._mark(now)
        while len(self._marks) > 2 and self._marks[1][0] < now - RATE_PERIOD:
            self._marks.popleft()
        (t0, steps0, updates0), (t1, steps1, updates1) = self._marks[0], self._marks[-1]
        span = t1 - t0
        if span < SHORTEST_SPAN:
            return []
        return [f"{(steps1 - steps0) / span:.0f} steps/s", f"{(updates1 - updates0) / span:.0f} updates/s"]


class Until(BaseCallback):
    """Ends `learn()` after the first step for which `stop()` or `done()` is true.

    An algorithm that learns from whole rollouts is asked `done()` between them: what it has collected is not lost.
    """

    def __init__(self, stop: Callable[[], bool], done: Callable[[], bool]):
        super().__init__()
        self._stop, self._done = stop, done
        self._due = False

    def _on_rollout_start(self) -> None:
        self._due = not isinstance(self.model, OffPolicyAlgorithm) and self._done()

    def _on_step(self) -> bool:
        if not isinstance(self.model, OffPolicyAlgorithm):
            return not (self._stop() or self._due)
        if not (self._stop() or self._done()):
            return True
        self._keep_step(self.model)
        return False

    def _keep_step(self, model: OffPolicyAlgorithm) -> None:
        """Stable-Baselines3 would drop the step after which it ends, and HER miss the end of an episode."""
        assert model.replay_buffer is not None
        model._store_transition(model.replay_buffer, *(self.locals[name] for name in STEP))
