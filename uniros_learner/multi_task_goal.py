"""`MultiTaskGoalEnv`: several goal environments as one, with a reward that knows whose transition it looks at."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Dict
from numpy.typing import ArrayLike, NDArray

from uniros_learner.multi_task import MultiTaskEnv
from uniros_learner.multi_task_member import Member
from uniros_learner.multi_task_spaces import Fit
from uniros_learner.relabel import LocalReward
from uniros_msgs.errors import ConnectionFailed

GOAL_KEYS = ("observation", "achieved_goal", "desired_goal")


class MultiTaskGoalEnv(MultiTaskEnv):
    """The same of goal environments, whose `compute_reward` knows which of them a transition comes from."""

    def _fit(self, envs: Sequence[gymnasium.Env]) -> None:
        for env in envs:
            if not isinstance(env.observation_space, Dict) or set(env.observation_space) != set(GOAL_KEYS):
                raise ValueError(f"a goal environment observes a Dict of {', '.join(GOAL_KEYS)}; {env} observes "
                                 f"{env.observation_space}. For others there is MultiTaskEnv")
        super()._fit(envs)
        parts = [env.observation_space for env in envs]
        self._goals = [Fit(part["desired_goal"], self.observation_space["desired_goal"]) for part in parts]  # type: ignore

    def compute_reward(self, achieved_goal: ArrayLike, desired_goal: ArrayLike, info: Any = None) -> Any:
        """Rewards of achieved and desired goals: (N,) float64 for (N, D), a float for (D,).

        info: one info dict or N of them, as `step` gave them; "task_id" says whose reward function counts. Without it
        (None, or dicts that do not hold it) the environments must agree on one: else ValueError. Stable-Baselines3's
        HerReplayBuffer hands infos on only with `copy_info_dict=True`.
        A task that is known here is not asked for over ROS; others are asked once for all rows of an environment.
        """
        achieved, desired = np.asarray(achieved_goal), np.asarray(desired_goal)
        if achieved.ndim == 1:
            return float(self._rewards(achieved[None], desired[None], [info])[0])
        if info is None or isinstance(info, Mapping):
            info = [info] * len(achieved)
        if len(info) != len(achieved):
            raise ValueError(f"expected one info dict, or {len(achieved)} of them, got {len(info)}")
        return self._rewards(achieved, desired, info)

    def _rewards(self, achieved: NDArray[Any], desired: NDArray[Any], infos: Sequence[Any]) -> NDArray[np.float64]:
        ids = self._owners(infos)
        rewards = np.empty(len(achieved))
        for number in np.unique(ids):
            rows = np.flatnonzero(ids == number)
            cut = self._goals[number].crop
            told = [infos[row] or {} for row in rows]
            rewards[rows] = self._ask(self.members[number], cut(achieved[rows]), cut(desired[rows]), told)
        return rewards

    def _owners(self, infos: Sequence[Any]) -> NDArray[np.intp]:
        """(N,) numbers of the environments; where it makes no difference, 0. Raises ValueError where it does."""
        ids = [info.get("task_id") if info else None for info in infos]
        if None in ids:
            first = self.members[0].reward
            if any(member.reward != first for member in self.members[1:]):
                raise ValueError('these environments reward differently: each transition needs its info dict with '
                                 '"task_id" in it. HerReplayBuffer keeps them with copy_info_dict=True: '
                                 "replay_buffer_kwargs={'copy_info_dict': True}")
        return np.array([each or 0 for each in ids], dtype=np.intp)

    def _ask(self, member: Member, achieved: Any, desired: Any, infos: Sequence[Any]) -> Any:
        """The rewards of one environment. One that must be asked over ROS, and is down, is waited for."""
        deadline = time.monotonic() + self.patience
        while not isinstance(member.reward, LocalReward):
            self.await_some(deadline, [member])
            try:
                return member.reward(achieved, desired, infos)
            except ConnectionFailed as error:
                member.fail(error)
        return member.reward(achieved, desired, infos)
