"""Each failure the client claims to survive, caused for real."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from live import marked_processes, serve, wait_until

import uniros_learner as uniros
from uniros_bringup.process import free_port
from uniros_bringup.xmlrpc import call
from uniros_msgs import errors

LEFT, RAISE, SLOW, DIE, NAN = range(5)


@pytest.fixture
def mortal() -> Any:
    """An environment of its own for a test that ends some part of it."""
    with uniros.make("odd_envs:Faulty") as env:
        yield env


@pytest.fixture(scope="module")
def faulty() -> Any:
    """One that survives what the tests do to it."""
    with uniros.make("odd_envs:Faulty") as env:
        yield env


def children(env: uniros.GymProxy) -> dict[str, psutil.Process]:
    """The worker of an environment and the processes it started, by role."""
    worker = psutil.Process(env._link.pid)
    found = {"worker": worker}
    for child in worker.children(recursive=True):
        line = " ".join(child.cmdline())
        found["master" if "rosmaster" in line else "server"] = child
    return found


@pytest.mark.parametrize(
    ("victim", "expected"),
    [
        ("worker", errors.WorkerDied),
        ("server", errors.ServerDied),
        ("master", errors.MasterDied),
    ],
)
def test_a_killed_process_is_a_typed_error_within_a_second(mortal: Any, victim: str, expected: type) -> None:
    mortal.reset()
    process = children(mortal)[victim]
    start = time.monotonic()
    process.kill()
    with pytest.raises(expected):
        while time.monotonic() - start < 2.0:
            mortal.step(LEFT)
    assert time.monotonic() - start < 1.0


def test_death_during_a_step_ends_the_wait(mortal: Any) -> None:
    mortal.reset()
    start = time.monotonic()
    with pytest.raises(errors.ServerDied, match="exit code -9"):
        mortal.step(DIE)
    assert time.monotonic() - start < 1.0


def test_a_frozen_server_is_a_timeout_and_its_late_answer_harms_nobody() -> None:
    with uniros.make("odd_envs:Faulty", step_timeout=0.6) as env:
        env.reset()
        server = children(env)["server"]
        server.suspend()
        start = time.monotonic()
        with pytest.raises(errors.Timeout, match=r"within 0\.6 s"):
            env.step(LEFT)
        assert time.monotonic() - start < 1.0
        server.resume()
        with pytest.raises(errors.ResetNeeded):
            env.step(LEFT)
        env.reset()
        observation = env.step(LEFT)[0]
        assert observation[0] == np.float32(0.01)
        assert env.count() == 1  # the step that timed out belonged to the other episode, and was applied once there


def test_a_step_asked_twice_is_applied_once() -> None:
    with uniros.make("odd_envs:Faulty", step_timeout=4.0) as env:
        env.reset()
        env.step(LEFT)
        wire_request, asked = env._link.request, []

        def twice(op: Any, payload: bytes, timeout: float) -> bytes:
            asked.append(wire_request(op, payload, timeout))
            return wire_request(op, payload, timeout)

        env._link.request = twice
        observation = env.step(LEFT)[0]
        env._link.request = wire_request
        assert observation[0] == np.float32(0.02)
        assert env.count() == 2


def test_an_exception_inside_arrives_with_its_traceback_and_the_next_reset_works(faulty: Any) -> None:
    faulty.reset()
    with pytest.raises(errors.EnvironmentFailed, match="the gripper divided by zero") as caught:
        faulty.step(RAISE)
    assert "odd_envs.py" in caught.value.remote_traceback
    with pytest.raises(errors.ResetNeeded):
        faulty.step(LEFT)
    with pytest.raises(errors.EnvironmentFailed, match="cannot go home"):
        faulty.reset(options={"fail": True})
    faulty.reset()
    assert faulty.step(LEFT)[1] == 1.0


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (6, "6"),
        (-1, "-1"),
        (1.5, "1.5"),
        ("left", "left"),
        (np.zeros(2), "shape"),
        (None, "None"),
    ],
)
def test_a_bad_action_is_refused_and_the_environment_stays_usable(faulty: Any, action: Any, expected: str) -> None:
    faulty.reset()
    faulty.step(LEFT)
    with pytest.raises(errors.InvalidAction, match=expected):
        faulty.step(action)
    assert faulty.count() == 1
    assert faulty.step(LEFT)[0][0] == np.float32(0.02)


def test_nan_and_wrong_shape_never_reach_a_box_environment() -> None:
    with uniros.make("Pendulum-v1") as env:
        observation, _ = env.reset(seed=1)
        for bad in (np.array([np.nan], np.float32), np.zeros(2, np.float32), np.array([9.0], np.float32), [np.inf]):
            with pytest.raises(errors.InvalidAction):
                env.step(bad)
        state = env.get_wrapper_attr("state")
        assert np.cos(state[0]) == pytest.approx(observation[0])
        env.step([0.5])
        env.step(np.array([0.5]))


def test_step_before_reset(mortal: Any) -> None:
    with pytest.raises(errors.ResetNeeded, match="reset"):
        mortal.step(LEFT)


def test_a_second_learner_is_told_who_holds_the_environment(graph: Any) -> None:
    serve(graph, "CartPole-v1", "/pole")
    with uniros.connect(graph.master.uri, "/pole") as first:
        first.reset()
        with pytest.raises(errors.LeaseHeld, match=f"process {os.getpid()}"):
            uniros.connect(graph.master.uri, "/pole")
        first.step(0)
    with uniros.connect(graph.master.uri, "/pole") as second:
        second.reset()


def test_a_paused_echo_holds_nobody_up(graph: Any) -> None:
    serve(graph, "odd_envs:Sampled", "/odd", length=1_000_000)
    environment = {**os.environ, **graph.master.env()}
    with uniros.connect(graph.master.uri, "/odd") as env:
        env.reset(seed=1)
        action = env.action_space.sample()
        command = ["rostopic", "echo", "/odd/env/step/result"]
        echo = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
        try:
            while echo.stdout and not select.select([echo.stdout], [], [], 0.1)[0]:
                env.step(action)
            echo.send_signal(signal.SIGSTOP)
            slowest, end = 0.0, time.monotonic() + 20.0
            while "dropped /rostopic" not in graph.nodes[0].tail(5):
                assert time.monotonic() < end, "the stalled subscriber was not dropped"
                for _ in range(200):
                    start = time.monotonic()
                    env.step(action)
                    slowest = max(slowest, time.monotonic() - start)
        finally:
            echo.kill()
            echo.wait()
        assert slowest < 0.5


def test_a_stopped_clock_holds_nobody_up(graph: Any) -> None:
    call(graph.master.uri, "setParam", "/use_sim_time", True)
    clock = subprocess.Popen(
        ["rostopic", "pub", "-r", "20", "/clock", "rosgraph_msgs/Clock", "clock: {secs: 100, nsecs: 0}"],
        env={**os.environ, **graph.master.env()},
        stdout=subprocess.DEVNULL,
    )
    try:
        serve(graph, "CartPole-v1", "/pole")
        with uniros.connect(graph.master.uri, "/pole") as env:
            env.reset()
            clock.send_signal(signal.SIGSTOP)
            start = time.monotonic()
            for _ in range(5):
                env.step(0)
            env.reset()
            assert time.monotonic() - start < 1.0
    finally:
        clock.kill()
        clock.wait()


def test_a_killed_learner_leaves_nothing_and_frees_the_environment(graph: Any, tmp_path: Path) -> None:
    serve(graph, "CartPole-v1", "/pole")
    before = set(marked_processes())
    script = textwrap.dedent(f"""
        import uniros_learner as uniros
        private = uniros.make("CartPole-v1")
        shared = uniros.connect({graph.master.uri!r}, "/pole")
        private.reset(), shared.reset()
        print("ready", flush=True)
        while True:
            private.step(0), private.reset()
    """)  # no __main__ guard
    (tmp_path / "learner.py").write_text(script)
    learner = subprocess.Popen([sys.executable, tmp_path / "learner.py"], stdout=subprocess.PIPE, text=True)
    assert learner.stdout and learner.stdout.readline() == "ready\n"
    assert len(set(marked_processes()) - before) >= 5  # learner, two workers, master, server
    learner.kill()
    learner.wait()
    wait_until(lambda: set(marked_processes()) <= before, timeout=5.0)
    with uniros.connect(graph.master.uri, "/pole") as env:
        env.reset()


@pytest.mark.parametrize("state", ["idle", "stepping", "frozen", "server frozen"])
def test_close_is_idempotent_and_done_in_time(state: str) -> None:
    env = uniros.make("odd_envs:Faulty", step_timeout=0.2)
    env.reset()
    if state == "stepping":
        with pytest.raises(errors.Timeout):
            env.step(SLOW)
    if state.endswith("frozen"):
        children(env)["worker" if state == "frozen" else "server"].send_signal(signal.SIGSTOP)
    start = time.monotonic()
    env.close()
    assert time.monotonic() - start < 7.0
    env.close()
    with pytest.raises(errors.Closed):
        env.reset()


def test_an_environment_that_cannot_be_built_says_why() -> None:
    with pytest.raises(errors.StartFailed, match="no arm on the table"):
        uniros.make("odd_envs:Faulty", fail_in_init=True)
    with pytest.raises(errors.StartFailed, match="CartPole-v1"):
        uniros.make("CartPol-v1")
    with pytest.raises(errors.StartFailed, match="cannot be sent"):
        uniros.make("CartPole-v1", render_mode=print)


def test_connecting_to_nothing_says_what_is_there(graph: Any) -> None:
    with pytest.raises(errors.ConnectionFailed, match="no ROS master"):
        uniros.connect(f"http://127.0.0.1:{free_port()}", "/rx200", timeout=1.0)
    serve(graph, "CartPole-v1", "/pole")
    with pytest.raises(errors.ConnectionFailed, match="/pole"):
        uniros.connect(graph.master.uri, "/rx200", timeout=0.5)


def test_remote_attributes_and_methods_by_name_only(faulty: Any) -> None:
    faulty.reset()
    faulty.step(LEFT)
    assert faulty.colour == "red"
    assert faulty.unwrapped.count(times=3) == 3
    faulty.set_wrapper_attr("colour", "blue")
    assert faulty.get_wrapper_attr("colour") == "blue"
    assert not hasattr(faulty, "gripper")
    assert not hasattr(faulty, "_np_random_seed_of_nobody")
    with pytest.raises(errors.EnvironmentFailed, match="cannot be read"):
        _ = faulty.broken
    assert isinstance(faulty.step(LEFT)[4]["function"], uniros.Opaque)


def test_a_forked_child_cannot_use_the_parents_environment(faulty: Any) -> None:
    faulty.reset()
    child = os.fork()
    if child == 0:
        try:
            faulty.step(LEFT)
        except errors.ConnectionFailed:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    faulty.step(LEFT)
