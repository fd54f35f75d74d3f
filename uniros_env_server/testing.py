"""The contract of an environment, as a test class: override `make_env` and inherit every test.

    class TestMyArm(EnvContract):
        @classmethod
        def make_env(cls):
            return MyArm()                          # or uniros_learner.make("my_package:MyArm"), to test it served

It needs pytest, and nothing of ROS unless `make_env` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence

from uniros_msgs import codec, spaces


class EnvContract:
    """What a learner, and an env server, rely on."""

    steps = 30  # of each roll-out

    @classmethod
    def make_env(cls) -> gymnasium.Env:
        """A new environment. The one method to override."""
        raise NotImplementedError

    @pytest.fixture(scope="class")
    @classmethod
    def env(cls) -> Iterator[gymnasium.Env]:
        env = cls.make_env()
        yield env
        env.close()

    def roll(self, env: gymnasium.Env, seed: int) -> list[Any]:
        """Everything the environment says from reset(seed) on; after an episode's end comes a reset without a seed."""
        env.action_space.seed(seed)
        said: list[Any] = [env.reset(seed=seed)]
        for _ in range(self.steps):
            said.append(env.step(env.action_space.sample()))
            if said[-1][2] or said[-1][3]:
                said.append(env.reset())
        return said

    def test_gymnasiums_own_checker_is_content(self, env: gymnasium.Env) -> None:
        check_env(env, skip_render_check=True)

    def test_spaces_can_be_described(self, env: gymnasium.Env) -> None:
        for space in (env.observation_space, env.action_space):
            assert spaces.build(spaces.describe(space)) == space

    def test_everything_said_can_be_sent_exactly(self, env: gymnasium.Env) -> None:
        for said in self.roll(env, seed=3):
            back = codec.decode(codec.encode(said))
            assert data_equivalence(said, back, exact=True)

    def test_observations_lie_in_their_space(self, env: gymnasium.Env) -> None:
        for said in self.roll(env, seed=4):
            assert env.observation_space.contains(said[0])

    def test_rewards_and_flags_are_numbers_and_truth_values(self, env: gymnasium.Env) -> None:
        for said in self.roll(env, seed=5):
            if len(said) == 5:
                _, reward, terminated, truncated, info = said
                assert np.isfinite(reward)
                assert terminated in (True, False) and truncated in (True, False)
                assert isinstance(info, dict)

    def test_the_same_seed_says_the_same(self, env: gymnasium.Env) -> None:
        if env.spec is not None and env.spec.nondeterministic:
            pytest.skip("declared nondeterministic")
        first, second = self.roll(env, seed=6), self.roll(env, seed=6)
        assert data_equivalence(first, second, exact=True)

    def test_what_was_returned_does_not_change_afterwards(self, env: gymnasium.Env) -> None:
        observation, _ = env.reset(seed=7)
        before = codec.dumps(observation)
        env.step(env.action_space.sample())
        assert codec.dumps(observation) == before

    def test_closing_twice_is_fine(self) -> None:
        env = self.make_env()
        env.reset()
        env.close()
        env.close()
