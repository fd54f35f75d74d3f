"""Replay buffers of Stable-Baselines3 that learn from whole episodes only. Importing this loads PyTorch, too.

    env = uniros.MultiTaskGoalEnv([...])
    TD3("MultiInputPolicy", env, replay_buffer_class=WholeEpisodesHerBuffer,
        replay_buffer_kwargs={"copy_info_dict": True}).learn(20_000, callback=AwaitFirstEpisode())

An episode is kept back until it has ended. One that broke (`info["broken"]`, see `MultiTaskEnv`) is dropped, so that
none of its transitions is ever sampled. What Stable-Baselines3 itself would make of a broken step is wrong: it stores
it as a transition, on which the policy seems to have gone nowhere.
"""

from __future__ import annotations

from typing import Any

from stable_baselines3.common.buffers import BaseBuffer, DictReplayBuffer, ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.her.her_replay_buffer import HerReplayBuffer


class WholeEpisodes(BaseBuffer):
    """What the buffers below add to Stable-Baselines3's. For one environment, whose episodes end."""

    def __init__(self, *args: Any, **kwargs: Any):
        """As the class it is mixed into. Raises ValueError for a VecEnv of several environments."""
        super().__init__(*args, **kwargs)
        if self.n_envs != 1:
            raise ValueError(f"episodes are kept back of one environment, not of {self.n_envs} side by side: give each "
                             "a MultiTaskEnv, or a buffer, of its own")
        self.dropped = 0  # transitions of episodes that broke
        self._episode: list[tuple[Any, ...]] = []  # what `add` was given since the episode began

    def add(self, *transition: Any) -> None:
        """As `ReplayBuffer.add(obs, next_obs, action, reward, done, infos)`."""
        *_, done, infos = transition
        if infos[0].get("broken"):
            self.dropped += len(self._episode)
            self._episode.clear()
            return
        self._episode.append(transition)
        if done[0]:
            for each in self._episode:
                super().add(*each)
            self._episode.clear()


class WholeEpisodesBuffer(WholeEpisodes, ReplayBuffer):
    """`ReplayBuffer` of whole episodes."""


class WholeEpisodesDictBuffer(WholeEpisodes, DictReplayBuffer):
    """`DictReplayBuffer` of whole episodes."""


class WholeEpisodesHerBuffer(WholeEpisodes, HerReplayBuffer):
    """`HerReplayBuffer` of whole episodes."""


class AwaitFirstEpisode(BaseCallback):
    """Puts off learning until a buffer of whole episodes holds one, however many of the first ones break.

    Without it, `learning_starts` must be more steps than the first episode that ends well needs.
    """

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        model = self.model
        assert isinstance(model, OffPolicyAlgorithm) and model.replay_buffer is not None
        if model.replay_buffer.size() == 0:
            model.learning_starts = max(model.learning_starts, model.num_timesteps)
