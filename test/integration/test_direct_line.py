"""Steps that do not go by the worker: lent, called back, broken."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator

import numpy as np
import pytest

import uniros_learner as uniros
from uniros_learner.proxy import GymProxy
from uniros_msgs.errors import Timeout

STEP_TIMEOUT = 2.0  # s


@pytest.fixture(scope="module")
def env() -> Iterator[GymProxy]:
    with uniros.make("CartPole-v1", step_timeout=STEP_TIMEOUT) as made:
        made.reset(seed=0)
        yield made


def step(env: GymProxy, count: int) -> list[np.ndarray]:
    """Observations; begins anew when an episode ends."""
    seen = []
    for number in range(count):
        observation, _, terminated, truncated, _ = env.step(number % 2)
        seen.append(observation)
        if terminated or truncated:
            env.reset()
    return seen


def direct(env: GymProxy) -> bool:
    return env._link._line is not None


def until(env: GymProxy, wanted: bool) -> None:
    """Step until steps go that way. Raises AssertionError when they do not within 5 s."""
    end = time.monotonic() + 5.0
    while direct(env) != wanted:
        step(env, 1)
        assert time.monotonic() < end


def test_after_a_few_steps_they_are_direct_and_say_the_same(env: GymProxy) -> None:
    assert not direct(env)
    until(env, True)
    env.reset(seed=3)
    seen = step(env, 200)
    env._link._line.over = True
    until(env, False)
    env._link._relayed = 100  # far from the next attempt
    env.reset(seed=3)
    assert np.array_equal(seen, step(env, 20) + seen[20:])
    assert not direct(env)


def test_whoever_listens_to_goals_hears_them(env: GymProxy) -> None:
    until(env, True)
    master = env._link.address.rpartition(" ")[2]
    echo = subprocess.Popen(["rostopic", "echo", "-n", "3", "/cart_pole/env/step/goal/goal/step"],
                            env={**os.environ, "ROS_MASTER_URI": master}, stdout=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + 15.0
        while echo.poll() is None and time.monotonic() < end:
            step(env, 1)
            time.sleep(0.01)
        assert echo.returncode == 0
        numbers = [int(line) for line in echo.stdout.read().split() if line.isdigit()]
        assert len(numbers) == 3
    finally:
        echo.kill()
        echo.communicate()
    env._link._relayed = 1
    until(env, True)  # now that nobody else listens


def test_a_connection_that_breaks_is_an_error_within_the_time_of_a_step(env: GymProxy) -> None:
    """Last: rospy does not make it anew."""
    env.reset(seed=0)
    until(env, True)
    for end in (env._link._line._goals, env._link._line._results):
        end.shutdown(socket.SHUT_RDWR)
    start = time.monotonic()
    with pytest.raises(Timeout, match="step_timeout"):
        step(env, 1)
    assert time.monotonic() - start < STEP_TIMEOUT + 0.5
