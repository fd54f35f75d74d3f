"""A robot on a host behind a bad link, the same policy acting there and here, and how regular its control is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from impaired import FarHost, Link
from live import wait_until
from policies import drawn

import uniros_learner as uniros
from uniros_bringup.process import free_port, spawn
from uniros_bringup.xmlrpc import CallFailed, call
from uniros_msgs.transitions import Transitions, seconds

PATIENCE = 30.0  # s for a robot to come up, and to be reached


@contextmanager
def robot(link: Link, *words: str) -> Iterator[uniros.GymProxy]:
    """`rosrun uniros bringup WORDS` over there, and its environment here."""
    with FarHost(link) as host:
        port = free_port(host.here)
        command = ["rosrun", "uniros", "bringup", *words, "record:=false", "--port", str(port), "--address", host.there]
        there, uri = spawn(host.command(*command), name="the other host"), f"http://{host.there}:{port}"
        try:
            wait_until(lambda: _offers(uri), PATIENCE)
            with uniros.connect(uri, local_address=host.here, timeout=PATIENCE) as env:
                yield env
        finally:
            there.stop(sigint_first=True, timeout=10.0)


def _offers(uri: str) -> bool:
    try:
        return bool(call(uri, "lookupService", "/rx200/env/describe"))
    except CallFailed:
        return False


def rolled(env: Any, duration: float) -> list[Transitions]:
    """All transitions of a rollout of so many seconds; none may be lost."""
    found = []
    with env.rollout(drawn(env.observation_space, env.action_space)) as rollout:
        end = time.monotonic() + duration
        for batch in rollout:
            found.append(batch)
            if time.monotonic() > end:
                rollout.cancel()
    assert rollout.report.lost == 0
    return found


def rolled_periods(batches: list[Transitions]) -> np.ndarray:
    """s between the commands within each episode, by the robot's clock."""
    times: dict[int, list[float]] = {}
    for batch in batches:
        times.setdefault(batch.episode, []).extend(seconds(batch.stamps["commanded"])[1:])
    return np.concatenate([np.diff(each) for each in times.values()])


def stepped_periods(env: Any, duration: float) -> np.ndarray:
    """The same of the policy acting here, step by step."""
    policy, found, times = drawn(env.observation_space, env.action_space), [], list[float]()
    observation, _ = env.reset()
    end = time.monotonic() + duration
    while time.monotonic() < end:
        observation, _, terminated, truncated, info = env.step(policy.act(observation))
        times.append(info["commanded"])
        if terminated or truncated:
            observation, _ = env.reset()
            found.append(np.diff(times))
            times = []
    return np.concatenate([*found, np.diff(times)])
