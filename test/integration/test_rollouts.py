"""Rollouts through real masters and servers: what comes back is what happened, and every way to end one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from exact import assert_same
from live import serve
from policies import drawn, stepwise

import uniros_learner as uniros
from uniros_bringup.graph import Graph
from uniros_bringup.xmlrpc import call
from uniros_env_server import registration
from uniros_msgs import errors
from uniros_msgs.exploration import Exploration
from uniros_msgs.policy import Policy
from uniros_msgs.transitions import Transitions, seconds

LEFT, RAISE, SLOW, DIE, NAN = range(5)  # of odd_envs:Faulty
CYCLE = 0.1  # s
SERVERS = [("RX200ReachSim-v0", "/real_time", {"real_time": True}), ("RX200ReachSim-v0", "/lock_step", {}),
           ("odd_envs:Faulty", "/faulty", {}), ("odd_envs:Wide", "/wide", {}), ("CartPole-v1", "/batch", {})]

pytestmark = pytest.mark.real_time


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """The URI of a master with all the servers the tests share."""
    with Graph() as graph:
        call(graph.master.uri, "setParam", "/batch/env_server/num_envs", 3)
        call(graph.master.uri, "setParam", "/batch/env_server/autoreset_mode", "SameStep")
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda each: serve(graph, each[0], each[1], **each[2]), SERVERS))
        yield graph.master.uri


@pytest.fixture
def lock_step(served: str) -> Iterator[uniros.GymProxy]:
    with uniros.connect(served, "/lock_step") as env:
        yield env


@pytest.fixture
def real_time(served: str) -> Iterator[uniros.GymProxy]:
    with uniros.connect(served, "/real_time") as env:
        yield env


@pytest.fixture
def faulty(served: str) -> Iterator[uniros.GymProxy]:
    with uniros.connect(served, "/faulty") as env:
        yield env


def random_policy(env: Any, **kwargs: Any) -> Policy:
    return drawn(env.observation_space, env.action_space, **kwargs)


def episodes(batches: list[Transitions]) -> dict[int, list[Transitions]]:
    """By number, each checked to be without a gap."""
    found: dict[int, list[Transitions]] = {}
    for batch in batches:
        found.setdefault(batch.episode, []).append(batch)
    for parts in found.values():
        assert parts[0].step == 1
        for before, after in pairwise(parts):
            assert after.step == before.step + before.count
            assert_same(before.observations()[-1], after.observations()[0])
    return found


# --- what comes back ------------------------------------------------------------------------------------------------


def test_it_is_what_the_policy_does_in_this_process_to_the_last_bit(lock_step: uniros.GymProxy) -> None:
    registration.register()
    here, policy = gymnasium.make("RX200ReachSim-v0"), random_policy(lock_step, version="v1")
    with lock_step.rollout(policy, episodes=3, seed=5) as rollout:
        found = episodes(list(rollout))
    assert len(found) == 3
    returns = []
    for number, parts in enumerate(found.values()):
        observation, info = here.reset(seed=5 if number == 0 else None)
        assert_same(parts[0].observations()[0], observation)
        rows = [(part, row) for part in parts for row in range(part.count)]
        for part, row in rows:
            action = policy.act(observation)
            observation, reward, terminated, truncated, info = here.step(action)
            assert_same((part.actions()[row], part.observations()[row + 1]), (action, observation))
            assert (part.reward[row], part.terminated[row], part.truncated[row]) == (reward, terminated, truncated)
            assert_same(part.infos()[row + 1], info)
        assert (terminated or truncated) and parts[-1].end == "done"
        returns.append(sum(part.reward.sum() for part in parts))
        assert {part.policy for part in parts} == {"v1"}
    report = rollout.report
    assert (report.episodes, report.steps, report.lost) == (3, sum(report.figures["length"]), 0)
    np.testing.assert_allclose(report.figures["return"], returns)
    assert report.figures["policy"].tolist() == ["v1"] * 3
    assert report.figures["episode"].tolist() == list(found)
    here.close()


def test_exploration_is_reproducible_and_ends_with_its_steps(lock_step: uniros.GymProxy) -> None:
    policy, noise = random_policy(lock_step), Exploration("normal", sigma=0.2, random_steps=20, seed=7)
    runs = []
    for _ in range(2):
        with lock_step.rollout(policy, steps=150, seed=1, exploration=noise) as rollout:
            runs.append(list(rollout))
        assert rollout.report.steps == 150
    first, again = (np.concatenate([batch.actions() for batch in run]) for run in runs)
    np.testing.assert_array_equal(first, again)
    seen = np.concatenate([batch.observations()[:-1] for batch in runs[0]])
    noise_made = (first - policy.act(seen))[20:]
    assert 0.1 < noise_made.std() < 0.25 and np.abs(first).max() <= 1.0
    assert runs[0][-1].end == "abandoned"
    assert [batch.sequence for batch in runs[0]][1:] == [batch.sequence + batch.count for batch in runs[0]][:-1]


def test_the_environment_is_stepped_as_ever_before_and_after(lock_step: uniros.GymProxy) -> None:
    action = np.full(5, 0.1, np.float32)
    lock_step.reset(seed=3)
    before = lock_step.step(action)
    with lock_step.rollout(random_policy(lock_step), episodes=1, stream=False) as rollout:
        assert rollout.wait().episodes == 1
        assert list(rollout) == []
    with pytest.raises(errors.ResetNeeded):
        lock_step.step(action)
    lock_step.reset(seed=3)
    assert_same(lock_step.step(action), before)
    for _ in range(3):
        with lock_step.rollout(random_policy(lock_step), steps=5) as rollout:
            assert sum(batch.count for batch in rollout) == 5


def test_a_batch_of_environments_rolls_together(served: str) -> None:
    with uniros.connect_vec(served, "/batch") as env:
        policy = drawn(env.single_observation_space, env.single_action_space)
        with env.rollout(policy, episodes=20, seed=4, exploration=Exploration(epsilon=0.2, seed=0)) as rollout:
            batches = list(rollout)
        figures = rollout.report.figures
        ends = np.concatenate([batch.terminated | batch.truncated for batch in batches])
        assert ends.shape[1] == 3 and ends.sum() == rollout.report.episodes >= 20
        np.testing.assert_array_equal(figures["return"], figures["length"])  # as CartPole rewards
        assert sum(figures["length"]) <= rollout.report.steps * 3
        env.reset(seed=1)
        env.step(env.action_space.sample())


# --- other policies --------------------------------------------------------------------------------------------------


def test_another_policy_acts_from_the_next_episode_on(lock_step: uniros.GymProxy) -> None:
    swapped = False
    with lock_step.rollout(random_policy(lock_step, version="old")) as rollout:
        batches = []
        for batch in rollout:
            batches.append(batch)
            if not swapped:
                rollout.swap(random_policy(lock_step, seed=1, version="new"))
                swapped = True
            if batch.policy == "new" and batch.end:
                rollout.cancel()
    found = [{batch.policy for batch in parts} for parts in episodes(batches).values()]
    assert found[0] == {"old"} and found[-1] == {"new"} and all(len(versions) == 1 for versions in found)
    with pytest.raises(errors.ResetNeeded, match="no rollout"):
        rollout.swap(random_policy(lock_step))


def test_another_policy_acts_from_the_next_step_on_while_another_thread_iterates(real_time: uniros.GymProxy) -> None:
    batches: list[Transitions] = []
    with real_time.rollout(random_policy(real_time, version="old")) as rollout:
        thread = threading.Thread(target=lambda: batches.extend(rollout))
        thread.start()
        time.sleep(4.5 * CYCLE)
        rollout.swap(random_policy(real_time, seed=1, version="new"), now=True)
        with pytest.raises(errors.InvalidPolicy, match="safetensors"):
            rollout.swap(b"no policy")
        time.sleep(3 * CYCLE)
        rollout.cancel()
        thread.join(5.0)
    assert [batch.policy for batch in episodes(batches).popitem()[1]] == ["old", "new"]
    assert batches[0].count == pytest.approx(5, abs=1)


# --- its end ---------------------------------------------------------------------------------------------------------


def test_in_real_time_transitions_come_within_a_second_and_a_cancel_ends_it_within_a_cycle(
        real_time: uniros.GymProxy) -> None:
    with real_time.rollout(random_policy(real_time)) as rollout:
        batch = next(rollout)
        assert time.time() - seconds(batch.stamps["measured"])[1] < 1.0 + 2.5 * CYCLE
        periods = np.diff(seconds(batch.stamps["commanded"])[1:])
        assert np.median(periods) == pytest.approx(CYCLE, abs=0.01)
        start = time.monotonic()
        rollout.cancel()
        rest = list(rollout)
        assert time.monotonic() - start < 2 * CYCLE
    assert rest[-1].end == "abandoned" and rest[-1].infos()[-1]["cancelled"]
    assert rollout.report.steps == batch.count + sum(each.count for each in rest)


def test_others_are_answered_meanwhile_and_the_emergency_stop_holds_the_arm(real_time: uniros.GymProxy, served: str
                                                                            ) -> None:
    with real_time.rollout(random_policy(real_time)) as rollout:
        for request, name in (((), "reset"), ((np.zeros(5),), "step"), ((), "timing_report")):
            with pytest.raises(errors.Busy, match=name):
                getattr(real_time, name)(*request)
        with pytest.raises(errors.Busy):
            real_time.rollout(random_policy(real_time))
        with pytest.raises(errors.LeaseHeld):
            uniros.connect(served, "/real_time")
        subprocess.run(["rosservice", "call", "/real_time/env/estop"], env={**os.environ, "ROS_MASTER_URI": served},
                       check=True, stdout=subprocess.DEVNULL)
        time.sleep(2 * CYCLE)
        rollout.cancel()
        infos = [info for batch in rollout for info in batch.infos()]
    assert infos[0]["refusal"] == "" and infos[-1]["refusal"] == "estop"
    real_time.clear_estop()
    real_time.reset()
    assert real_time.step(np.zeros(5, np.float32))[4]["refusal"] == ""


def test_what_the_environment_raises_comes_after_what_happened_before(faulty: uniros.GymProxy) -> None:
    policy = stepwise(faulty.observation_space, faulty.action_space, LEFT, RAISE, above=0.045)
    batches = []
    with faulty.rollout(policy) as rollout:
        with pytest.raises(errors.EnvironmentFailed, match="divided by zero") as caught:
            batches.extend(rollout)
        assert list(rollout) == []
    assert "odd_envs.py" in caught.value.remote_traceback
    assert [(batch.count, batch.end) for batch in batches] == [(5, "failed")]
    assert (rollout.report.episodes, rollout.report.steps) == (0, 5)
    with pytest.raises(errors.EnvironmentFailed, match="cannot go home"), \
            faulty.rollout(policy, options={"fail": True}) as rollout:
        rollout.wait()
    faulty.reset()
    faulty.step(LEFT)


def test_bad_requests_are_refused_and_nothing_moves(faulty: uniros.GymProxy, lock_step: uniros.GymProxy) -> None:
    good = random_policy(faulty)
    steps = faulty.count()
    requests: list[tuple[Any, dict[str, Any], str]] = [
        (random_policy(lock_step), {}, "observation space"), (b"\x80\x04\x95pickle", {}, "safetensors"),
        (good.pack()[:-1], {}, "safetensors"), (good, {"exploration": Exploration("normal")}, "continuous"),
    ]
    for policy, arguments, reason in requests:
        with pytest.raises(errors.InvalidPolicy, match=reason):
            faulty.rollout(policy, **arguments)
    for arguments in ({"episodes": -1}, {"steps": 2**32}, {"seed": 2**70}):
        with pytest.raises(ValueError):
            faulty.rollout(good, **arguments)
    assert faulty.count() == steps
    with faulty.rollout(stepwise(faulty.observation_space, faulty.action_space, LEFT, LEFT, 1.0), steps=3) as rollout:
        assert rollout.wait().steps == 3


def test_a_slow_learner_is_waited_for_and_loses_nothing(served: str) -> None:
    with uniros.connect(served, "/wide") as env, env.rollout(random_policy(env, widths=(1,))) as rollout:
        time.sleep(1.5)  # in which as fast as it goes would be some 200 MB
        rollout.cancel()
        counted = np.concatenate([batch.observations()[1:, 0] for batch in rollout])
    assert rollout.report.lost == 0 and 100 < len(counted) == rollout.report.steps < 1000
    np.testing.assert_array_equal(counted, np.arange(1, len(counted) + 1))


def test_a_killed_learner_ends_it(served: str, tmp_path: Path) -> None:
    (tmp_path / "learner.py").write_text(textwrap.dedent(f"""
        import sys; sys.path.insert(0, {str(Path(__file__).parents[1] / "support")!r})
        import uniros_learner as uniros
        from policies import drawn
        env = uniros.connect({served!r}, "/real_time")
        rollout = env.rollout(drawn(env.observation_space, env.action_space))
        next(rollout)
        print("rolling", flush=True)
        list(rollout)
    """))
    learner = subprocess.Popen([sys.executable, tmp_path / "learner.py"], stdout=subprocess.PIPE, text=True)
    assert learner.stdout and learner.stdout.readline() == "rolling\n"
    learner.send_signal(signal.SIGKILL)
    learner.wait()
    start = time.monotonic()
    with uniros.connect(served, "/real_time", timeout=3.0) as env:
        env.reset()
        assert time.monotonic() - start < 2.0
        env.step(np.zeros(5, np.float32))


def test_a_server_that_dies_is_an_error_after_what_it_sent() -> None:
    with uniros.make("odd_envs:Faulty") as env:
        policy = stepwise(env.observation_space, env.action_space, LEFT, DIE, above=0.095)
        start = time.monotonic()
        with pytest.raises(errors.ServerDied), env.rollout(policy) as rollout:
            list(rollout)
        assert time.monotonic() - start < 1.5
        with pytest.raises(errors.ServerDied):
            env.reset()
