"""Several masters under one learner: what is relabelled, what happens when one of them is killed, and no crosstalk."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import psutil
import pytest
import torch
from live import serve, wait_until
from stable_baselines3 import SAC

import uniros_learner as uniros
from uniros_bringup.graph import Graph
from uniros_bringup.master import Master
from uniros_learner.relabel import LocalReward
from uniros_learner.whole_episodes import WholeEpisodesHerBuffer

SUPPORT = Path(__file__).resolve().parents[1] / "support"


def server_of(env: gymnasium.Env) -> psutil.Process:
    """The env server that was started for an environment."""
    children = psutil.Process(env.unwrapped._link.pid).children(recursive=True)
    return next(child for child in children if "env_server" in " ".join(child.cmdline()))


def counts(env: uniros.MultiTaskEnv) -> list[tuple[int, int, int, int]]:
    return [(each.episodes, each.steps, each.failures, each.dropped) for each in env.status()]


def play(env: uniros.MultiTaskEnv, task: int, steps: int = 0) -> None:
    """An episode in that one: all of it, or its first steps."""
    env.reset(options={"task_id": task})
    ended, count = False, 0
    while not ended and (not steps or count < steps):
        _, _, terminated, truncated, info = env.step(np.zeros(1, np.float32))
        assert info["task_id"] == task and "broken" not in info
        ended, count = terminated or truncated, count + 1


def broken(env: uniros.MultiTaskEnv, within: float) -> tuple[dict[str, Any], int]:
    """Step until the episode breaks; what its info says, and how many steps went through meanwhile."""
    end, more = time.monotonic() + within, 0
    while time.monotonic() < end:
        *_, terminated, truncated, info = env.step(np.zeros(1, np.float32))
        if info.get("broken"):
            assert truncated and not terminated
            return info, more
        more += 1
        assert not terminated and not truncated, "the episode ended before it broke"
        time.sleep(0.01)  # else a whole episode of 200 steps fits into the time until an end is noticed
    raise AssertionError(f"nothing broke within {within} s")


def test_hindsight_over_a_mixed_buffer_is_what_each_environment_itself_would_say() -> None:
    """Two arms whose tasks reward differently; plain SB3 fills the buffer and relabels it."""
    torch.set_num_threads(1)
    arguments = [{"reward_type": "shaped"}, {"tolerance": 0.08}]
    with uniros.MultiTaskGoalEnv(["RX200ReachGoalSim-v0"] * 2, arguments, choice="round_robin", seed=1) as env:
        assert all(isinstance(member.reward, LocalReward) for member in env.members)
        model = SAC("MultiInputPolicy", env, learning_starts=450, seed=1, policy_kwargs={"net_arch": [8]},
                    replay_buffer_class=WholeEpisodesHerBuffer, replay_buffer_kwargs={"copy_info_dict": True})
        model.learn(455)
        buffer = model.replay_buffer
        rows = np.arange(buffer.size())
        batch = buffer._get_virtual_samples(rows, np.zeros_like(rows))
        achieved, desired = (batch.next_observations[key].numpy() for key in ("achieved_goal", "desired_goal"))
        infos = buffer.infos[rows, 0]
        asked = [env.envs[info["task_id"]]._call("compute_reward", *row, info)  # over ROS, one by one
                 for info, *row in zip(infos, achieved, desired)]
        assert batch.rewards.numpy()[:, 0].tolist() == np.float32(asked).tolist()
        kinds = {(info["task_id"], reward > -1) for info, reward in zip(infos, asked)}
        assert kinds == {(0, True), (0, False), (1, True), (1, False)}  # both kinds of each occur
        buffer.copy_info_dict = False
        with pytest.raises(ValueError, match="copy_info_dict"):
            buffer._get_virtual_samples(rows, np.zeros_like(rows))


class Robot:
    """A robot's master, on the same port whenever it is started, and an env server on it."""

    def __init__(self) -> None:
        self.port = 0
        self.start()

    def start(self) -> None:
        self.master = Master(port=self.port or None)
        self.port = self.master.port
        self.graph = Graph(self.master)
        serve(self.graph, "Pendulum-v1", "/arm")

    def stop(self) -> None:
        self.graph.stop()
        self.master.stop()


@pytest.fixture
def robot() -> Iterator[Robot]:
    robot = Robot()
    yield robot
    robot.stop()


def test_what_is_killed_is_dropped_and_comes_back(robot: Robot) -> None:
    """The simulator's server, then the robot's master: the other goes on meanwhile, and every counter is right."""
    with uniros.MultiTaskEnv(["Pendulum-v1", uniros.connect(robot.master.uri, "/arm")], patience=40.0) as env:
        play(env, 0), play(env, 1), play(env, 0, steps=7)
        before = server_of(env.envs[0])
        before.kill()
        assert broken(env, 3.0)[0]["error"].startswith("ServerDied")
        env.reset()
        assert env.step([0.0])[4]["task_id"] == 1  # the other one goes on
        play(env, 1)
        play(env, 0)  # made anew
        assert server_of(env.envs[0]).pid != before.pid
        assert counts(env)[0] == (2, 400, 1, 7) and counts(env)[1] == (2, 401, 0, 0)

        play(env, 1, steps=3)
        robot.master.process.kill()
        info, more = broken(env, 3.0)  # the server lives: a step may go through until the master's end is noticed
        assert info["error"].startswith("MasterDied") and info["task_id"] == 1
        robot.stop()
        for _ in range(3):
            play(env, env.reset()[1]["task_id"], steps=2)
        assert counts(env)[0] == (2, 406, 1, 7) and env.status()[1].state == "down"
        robot.start()
        wait_until(lambda: env.status()[1].state == "up", 40.0)
        play(env, 1)
        assert counts(env)[1] == (3, 601, 1, 3 + more)


def test_one_that_cannot_be_made_leaves_none_of_the_others() -> None:
    with pytest.raises(uniros.errors.StartFailed, match="CartPol-v1"):
        uniros.MultiTaskEnv(["Pendulum-v1", "CartPol-v1"])


@pytest.fixture(scope="module")
def graphs() -> Iterator[list[Graph]]:
    """Four masters, each with an env server, started side by side."""
    with ExitStack() as cleanup:
        graphs = [cleanup.enter_context(Graph()) for _ in range(4)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda graph: serve(graph, "Pendulum-v1", "/arm"), graphs))
        yield graphs


def test_two_learners_with_two_robots_know_nothing_of_each_other(graphs: list[Graph]) -> None:
    """Four masters on one machine."""
    with ExitStack() as cleanup:
        uris = [graph.master.uri for graph in graphs]
        assert len(set(uris)) == 4
        learners = [_learner(cleanup, seed, uris[2 * seed : 2 * seed + 2]) for seed in range(2)]
        for learner in learners:
            assert learner.stdout and learner.stdout.readline() == "ready\n"
        for learner in learners:
            assert learner.stdin
            learner.stdin.write("go\n")
            learner.stdin.flush()
        said = [learner.communicate(timeout=30.0)[0].split() for learner in learners]
    from joint_learner import play as play_alone

    alone = [uniros.MultiTaskEnv([gymnasium.make("Pendulum-v1"), gymnasium.make("Pendulum-v1")], choice="round_robin")
             for _ in range(2)]
    assert said == [[play_alone(env, seed, 8), "800", "800"] for seed, env in enumerate(alone)]
    assert said[0][0] != said[1][0]


def test_closing_ends_also_what_is_just_being_made_anew(graphs: list[Graph]) -> None:
    env = uniros.MultiTaskEnv([uniros.connect(graphs[0].master.uri, "/arm")])
    env.reset()
    graphs[0].nodes[0].kill()
    assert broken(env, 3.0)[0]["error"].startswith("ServerDied")
    start = time.monotonic()
    env.close()
    assert time.monotonic() - start < 17.0
    env.close()


def _learner(cleanup: ExitStack, seed: int, uris: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "joint_learner", str(seed), "8", *uris]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    cleanup.callback(process.kill)
    return process
