"""From a name to a batch: whose it is, and how it resets its rows."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from odd_envs import Faulty

from uniros_env_server.environments.robot_vector_env import RobotTaskVectorEnv
from uniros_env_server.serving.describe import describe
from uniros_env_server.serving.lease import Lease
from uniros_env_server.serving.load import load_batch
from uniros_env_server.serving.session import Session
from uniros_msgs import codec, wire
from uniros_msgs.errors import StartFailed, UnsupportedSpace
from uniros_msgs.msg import ResetGoal


@pytest.mark.parametrize(("env_id", "mode", "kind"), [
    ("CartPole-v1", "NextStep", CartPoleVectorEnv),
    ("CartPole-v1", "SameStep", SyncVectorEnv),  # gymnasium's own batch of it knows NextStep only
    ("Pendulum-v1", "Disabled", SyncVectorEnv),
    ("odd_envs:Faulty", "SameStep", SyncVectorEnv),
    ("gymnasium.envs.classic_control.cartpole:CartPoleVectorEnv", "NextStep", CartPoleVectorEnv),
    ("RX200ReachSim-v0", "SameStep", RobotTaskVectorEnv),
])  # fmt: skip
def test_a_name_gives_a_batch(env_id: str, mode: str, kind: type[VectorEnv]) -> None:
    made = load_batch(env_id, 2, mode, {})
    assert type(made) is kind and made.num_envs == 2
    assert made.metadata["autoreset_mode"] is AutoresetMode(mode)
    made.close()


@pytest.mark.parametrize(("env_id", "size", "mode", "hint"), [
    ("CartPole-v1", 0, "NextStep", "at least 1"),
    ("CartPole-v1", 2, "Never", "NextStep, SameStep, Disabled"),
    ("CartPoole-v1", 2, "NextStep", "CartPole-v1"),
    ("gymnasium.envs.classic_control.cartpole:CartPoleVectorEnv", 2, "SameStep", "knows no autoreset mode"),
    ("RX200ReachReal-v0", 2, "NextStep", "one environment, not a batch"),
])  # fmt: skip
def test_what_cannot_be_a_batch_is_refused(env_id: str, size: int, mode: str, hint: str) -> None:
    with pytest.raises(StartFailed, match=hint):
        load_batch(env_id, size, mode, {})


def test_rows_of_different_spaces_are_not_served() -> None:
    class Longer(Faulty):
        observation_space = gymnasium.spaces.Box(-2, 2, (2,), np.float32)

    with pytest.raises(UnsupportedSpace, match="share one space"):
        describe(SyncVectorEnv([Faulty, Longer], observation_mode="different"), "mixed")


def test_seeds_come_one_for_all_or_one_for_each_row() -> None:
    def observed(seeds: list[int], episode: int = 0) -> np.ndarray | str:
        body = session.reset(ResetGoal("", episode, seeds, codec.encode(None))).body
        reply = wire.unpack_reset_reply(body)
        return reply.error.message or reply.observation

    env = load_batch("Pendulum-v1", 3, "NextStep", {})
    session = Session(env, Lease())
    first = observed([7])
    assert np.array_equal(observed([7, 8, 9]), first)
    partly = observed([7, -1, 9])
    assert np.array_equal(partly[[0, 2]], first[[0, 2]]) and not np.array_equal(partly[1], first[1])
    assert "give one seed, 3 or none, not 2" in observed([1, 2])
