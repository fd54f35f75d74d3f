"""Batches through ROS: what comes back is the batch, to the last bit, for gymnasium and for Stable-Baselines3."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import gymnasium
import gymnasium_robotics
import numpy as np
import psutil
import pytest
from exact import assert_same
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.error import AlreadyPendingCallError, NoAsyncCallError
from live import serve, wait_until
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

import uniros_learner as uniros
from uniros_bringup.graph import Graph
from uniros_bringup.xmlrpc import call
from uniros_env_server.serving.load import load_batch
from uniros_learner.link import Op
from uniros_learner.sb3 import RosVecEnv, make_vec_env
from uniros_msgs import errors

pytestmark = pytest.mark.patient

gymnasium.register_envs(gymnasium_robotics)
SLOW = 2  # the action of odd_envs:Faulty that takes 1.5 s
FINE, RAISE, DIE = 0, 1, 3

SERVED = [
    ("CartPole-v1", "NextStep", {}),  # gymnasium's own batch
    ("CartPole-v1", "SameStep", {}),  # a SyncVectorEnv
    ("gymnasium_robotics:FetchReach-v4", "SameStep", {"max_episode_steps": 15}),
    ("odd_envs:Batchable", "SameStep", {"kind": "dict"}),
    ("odd_envs:Batchable", "NextStep", {"kind": "tuple"}),
    ("RX200ReachSim-v0", "NextStep", {"tolerance": 0.08}),
    ("RX200ReachGoalSim-v0", "SameStep", {"tolerance": 0.08}),
]


def serve_batch(graph: Graph, env_id: str, ns: str, size: int, mode: str, **kwargs: Any) -> None:
    call(graph.master.uri, "setParam", f"{ns}/env_server/num_envs", size)
    call(graph.master.uri, "setParam", f"{ns}/env_server/autoreset_mode", mode)
    serve(graph, env_id, ns, **kwargs)


def test_same_seed_and_actions_give_the_same_bits(graph: Graph) -> None:
    for number, (env_id, mode, kwargs) in enumerate(SERVED):
        serve_batch(graph, env_id, f"/batch{number}", 3, mode, **kwargs)
        here = load_batch(env_id, 3, mode, kwargs)
        with uniros.connect_vec(graph.master.uri, f"/batch{number}") as there:
            assert there.metadata["autoreset_mode"] is here.metadata["autoreset_mode"]
            assert there.observation_space == here.observation_space and there.action_space == here.action_space
            assert there.single_observation_space == here.single_observation_space
            there.action_space.seed(7)
            assert_same(there.reset(seed=42), here.reset(seed=42))
            for _ in range(30):
                actions = there.action_space.sample()
                assert_same(there.step(actions), here.step(actions), env_id)
            if not isinstance(here, CartPoleVectorEnv):  # which takes a single seed
                assert_same(there.reset(seed=[1, 2, 3]), here.reset(seed=[1, 2, 3]))
                assert_same(there.reset(seed=[4, None, 6]), here.reset(seed=[4, None, 6]))
        here.close()


@pytest.fixture(scope="module")
def two() -> Iterator[Graph]:
    """Two servers, each with a batch of two that do as they are told."""
    with Graph() as graph:
        for ns in ("/one", "/other"):
            serve_batch(graph, "odd_envs:Faulty", ns, 2, "SameStep")
        yield graph


@pytest.fixture
def faulty(two: Graph) -> Iterator[tuple[uniros.RosVectorEnv, uniros.RosVectorEnv]]:
    with (uniros.connect_vec(two.master.uri, "/one", step_timeout=4.0) as one,
          uniros.connect_vec(two.master.uri, "/other", step_timeout=4.0) as other):
        yield one, other


def test_steps_of_two_servers_overlap(faulty: Any) -> None:
    for batch in faulty:
        batch.reset()
    start = time.monotonic()
    for batch in faulty:
        batch.step_async(np.array([SLOW, FINE]))
    for batch in faulty:
        assert batch.step_wait()[1].tolist() == [1.0, 1.0]
    assert time.monotonic() - start < 2.5  # 1.5 s each


def test_calls_out_of_order_are_named_and_harmless(faulty: Any) -> None:
    batch, _ = faulty
    with pytest.raises(errors.ResetNeeded):
        batch.step_async(np.array([FINE, FINE]))
    batch.reset()
    with pytest.raises(NoAsyncCallError, match="step_async"):
        batch.step_wait()
    batch.step_async(np.array([FINE, FINE]))
    for early in (lambda: batch.step_async(np.array([FINE, FINE])), lambda: batch.step(np.array([FINE, FINE])),
                  batch.reset, lambda: batch.get_attr("steps")):
        with pytest.raises(AlreadyPendingCallError, match="step_wait"):
            early()
    batch.step_wait()
    assert batch.get_attr("steps") == (1, 1)


def test_a_wait_that_timed_out_leaves_the_link_usable(faulty: Any) -> None:
    batch, _ = faulty
    batch._dialogue.step_timeout = 0.4
    batch.reset()
    batch.step_async(np.array([SLOW, FINE]))
    with pytest.raises(errors.Timeout, match="step_timeout"):
        batch.step_wait()
    batch._dialogue.step_timeout = 4.0
    with pytest.raises(errors.ResetNeeded):
        batch.step(np.array([FINE, FINE]))
    batch.reset()
    assert batch.step(np.array([FINE, FINE]))[0][0, 0] == np.float32(0.01)  # of this step, not of the late one
    assert batch.get_attr("steps") == (1, 1)


def test_answers_may_be_taken_in_any_order(faulty: Any) -> None:
    link = faulty[0]._link
    first, second = (link.begin(Op.DESCRIBE, b"") for _ in range(2))
    assert link.finish(second, 5.0) == link.finish(first, 5.0)
    with pytest.raises(ValueError, match="never begun, or has been finished"):
        link.finish(first, 1.0)
    assert not link._answers._boxes  # nothing is kept of what is finished


def test_a_row_that_raises_is_told_and_the_next_reset_works(faulty: Any) -> None:
    venv = RosVecEnv(faulty)
    venv.reset()
    with pytest.raises(errors.EnvironmentFailed, match="the gripper divided by zero"):
        venv.step(np.array([FINE, RAISE, FINE, FINE]))
    assert venv.reset().shape == (4, 2)
    assert venv.step(np.zeros(4, int))[1].tolist() == [1.0] * 4
    with pytest.raises(errors.InvalidAction):
        venv.step(np.array([FINE, FINE, FINE, 99]))


def test_rows_are_reached_by_name_and_number(faulty: Any) -> None:
    venv = RosVecEnv(faulty)
    venv.set_attr("colour", "blue", indices=[1, 2])
    assert venv.get_attr("colour") == ["red", "blue", "blue", "red"]
    assert venv.get_attr("colour", indices=[3, 2]) == ["red", "blue"]
    venv.reset()
    venv.step(np.zeros(4, int))
    assert venv.env_method("count", times=3, indices=1) == [3]
    assert faulty[0].call("count", 2) == (2, 2)
    faulty[0].set_attr("colour", ["green", "grey"])
    assert faulty[0].get_attr("colour") == ("green", "grey")
    assert not venv.has_attr("nothing_of_that_name") and not venv.has_attr("_np_random")
    with pytest.raises(errors.NotReachable, match="Generator"):
        faulty[0].get_attr("np_random")


def test_a_server_that_dies_takes_no_other_along(faulty: Any) -> None:
    """The last test with these servers."""
    venv = RosVecEnv(faulty)
    venv.reset()
    with pytest.raises(errors.ServerDied):
        venv.step(np.array([DIE, FINE, FINE, FINE]))
    with pytest.raises(errors.ServerDied):
        venv.reset()
    assert faulty[1].reset()[0].shape == (2, 2)


def test_a_batch_is_not_taken_for_one_nor_one_for_a_batch(graph: Graph) -> None:
    serve_batch(graph, "CartPole-v1", "/batch", 2, "NextStep")
    serve(graph, "CartPole-v1", "/single")
    with pytest.raises(errors.ConnectionFailed, match="batch of 2 environments: take it with connect_vec"):
        uniros.connect(graph.master.uri, "/batch")
    with pytest.raises(errors.ConnectionFailed, match="_num_envs"):
        uniros.connect_vec(graph.master.uri, "/single")
    with uniros.connect_vec(graph.master.uri, "/batch") as batch:  # the lease was given back
        with pytest.raises(ValueError, match="SameStep"):
            RosVecEnv(batch)
        assert repr(batch).startswith("<VectorProxy 2 x CartPole-v1 at /batch")


def test_stable_baselines_sees_what_its_own_batch_shows() -> None:
    there = make_vec_env("CartPole-v1", 3, servers=2)
    here = DummyVecEnv([lambda: gymnasium.make("CartPole-v1")] * 3)
    for venv in (there, here):
        venv.seed(7)
    assert_same(there.reset(), here.reset())
    rng, ends = np.random.default_rng(0), 0
    for _ in range(60):
        actions = rng.integers(0, 2, 3)
        ours, theirs = there.step(actions), here.step(actions)
        assert_same(ours[:3], theirs[:3])
        for mine, other in zip(ours[3], theirs[3], strict=True):
            assert_same(dict(sorted(mine.items())), dict(sorted(other.items())))
        ends += int(ours[2].sum())
    assert ends >= 3
    there.close()


def test_ppo_trains_over_64_served_arms() -> None:
    venv = VecMonitor(make_vec_env("RX200ReachSim-v0", 64))
    try:
        model = PPO("MlpPolicy", venv, n_steps=8, batch_size=128, n_epochs=4, learning_rate=1e-3, gamma=0.9,
                    gae_lambda=0.9, policy_kwargs={"net_arch": [64, 64], "log_std_init": -0.5}, seed=0, device="cpu")
        before = _distance(model, venv)
        model.learn(4_096)
        assert _distance(model, venv) < 0.5 * before
    finally:
        venv.close()


def _distance(model: PPO, venv: Any) -> float:
    """Mean distance (m) to the goal after ten steps, or where the episode ended before."""
    venv.seed(99)
    observations = venv.reset()
    left = np.full(64, np.nan)
    for _ in range(10):
        observations, _, dones, infos = venv.step(model.predict(observations, deterministic=True)[0])
        now = np.array([info["distance"] for info in infos])
        left[dones & np.isnan(left)] = now[dones & np.isnan(left)]
    return float(np.mean(np.where(np.isnan(left), now, left)))


def test_closing_a_batch_that_gymnasium_made_leaves_nothing() -> None:
    batch = gymnasium.make_vec("uniros/RX200ReachSim-v0", 4, reward_type="sparse")
    assert isinstance(batch, uniros.RosVectorEnv) and batch.num_envs == 4
    processes = [psutil.Process(batch._link.pid), *psutil.Process(batch._link.pid).children(recursive=True)]
    assert len(processes) >= 3
    batch.reset()
    assert batch.step(batch.action_space.sample())[1].tolist() == [-1.0] * 4
    batch.close()
    batch.close()
    wait_until(lambda: not any(process.is_running() for process in processes), 5.0)
    with pytest.raises(errors.Closed):
        batch.reset()
