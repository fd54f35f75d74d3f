"""The planner's process: deadlines kept, deaths survived, nobody held up, nothing left behind."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil
import pytest
from live import wait_until

from uniros_env_server.planning.builtin import BuiltinPlanner
from uniros_env_server.planning.margins import Margins
from uniros_env_server.planning.planner import Planner, make_planner
from uniros_env_server.planning.process import STARTING
from uniros_env_server.planning.settings import Settings
from uniros_env_server.safety.gate import SafetyLimits
from uniros_msgs.errors import Closed, NoPath

PARENT = """
import time
from uniros_env_server.planning.builtin import BuiltinPlanner
planner = BuiltinPlanner()
planner.plan(planner.model.poses["sleep"], planner.model.poses["ready"])
print(planner.process.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def planner(tmp_path: Path) -> Iterator[BuiltinPlanner]:
    with BuiltinPlanner(log_file=tmp_path / "planner.log") as made:
        yield made


def go(planner: BuiltinPlanner, deadline: float = 5.0) -> float:
    """Plan from sleep to ready, and how long that took (s)."""
    start = time.monotonic()
    trajectory = planner.plan(planner.model.poses["sleep"], planner.model.poses["ready"], deadline=deadline)
    assert np.array_equal(trajectory.positions[-1], planner.model.poses["ready"])
    return time.monotonic() - start


def gone(pid: int) -> bool:
    """Whether a process has ended, be it that nobody has taken note yet."""
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def random_places(planner: BuiltinPlanner, count: int) -> np.ndarray:
    """Configurations that keep all margins."""
    margins = Margins(planner.model, planner.limits, planner.settings)
    q = np.random.default_rng(0).uniform(margins.lower, margins.upper, (3 * count, 5))
    return q[margins.keeps(q)][:count]


def test_the_planner_is_chosen_by_name(planner: BuiltinPlanner) -> None:
    with make_planner("builtin") as named:  # type: ignore[attr-defined]
        assert isinstance(named, BuiltinPlanner) and named.joints == planner.joints
    with pytest.raises(ValueError, match="builtin, moveit, not 'chomp'"):
        make_planner("chomp")
    chosen: Planner = planner  # for mypy and the reader: it keeps the contract
    assert chosen.joints[0] == "waist"


def test_a_question_that_makes_no_sense_is_refused_at_once(planner: BuiltinPlanner) -> None:
    ready = planner.model.poses["ready"]
    for start, goal, message in (
        (ready[:4], ready, r"start must be 5 finite numbers \(waist, shoulder"),
        (ready, [np.nan, 0, 0, 0, 0], "goal must be 5 finite numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            planner.plan(start, goal)
    with pytest.raises(ValueError, match=r"position must be 3 finite numbers \(x, y, z\)"):
        planner.to_pose(ready, [0.2, 0.0])
    with pytest.raises(ValueError, match="of length 1, not 2"):
        planner.to_pose(ready, [0.2, 0.0, 0.2], [0, 0, 0, 2])


def test_a_speed_that_the_gate_would_refuse_is_refused_when_made() -> None:
    fast = dataclasses.replace(Settings.load("rx200"), speed_share=0.9)
    allowed = SafetyLimits.load("rx200", "real").speed_share
    with pytest.raises(ValueError, match=re.escape(f"at most that of the safety gate, {allowed}, not 0.9")):
        BuiltinPlanner(settings=fast)


def test_a_pose_is_reached_and_the_reason_comes_back_when_it_is_not(planner: BuiltinPlanner) -> None:
    trajectory = planner.to_pose(planner.model.poses["sleep"], [0.2, 0.0, 0.22])
    assert trajectory.joints == planner.joints and trajectory.duration > 0.5
    with pytest.raises(NoPath, match=r"no joint positions bring the tool to \(0\.900"):
        planner.to_pose(planner.model.poses["sleep"], [0.9, 0.0, 0.22])
    with pytest.raises(NoPath, match="the goal is no place to rest"):
        planner.plan(planner.model.poses["sleep"], [0, 1.2, 0.3, 0, 0])


def test_another_planner_with_the_same_seed_plans_the_same(planner: BuiltinPlanner) -> None:
    with BuiltinPlanner() as other:
        for start, goal in random_places(planner, 20).reshape(-1, 2, 5):
            one, two = planner.plan(start, goal), other.plan(start, goal)
            assert np.array_equal(one.times, two.times) and np.array_equal(one.positions, two.positions)


@pytest.mark.deadline
@pytest.mark.parametrize("deadline", [0.2, 1.0])
def test_a_frozen_process_costs_no_more_than_the_deadline(planner: BuiltinPlanner, deadline: float) -> None:
    go(planner)
    frozen = planner.process.pid
    os.kill(frozen, signal.SIGSTOP)
    start = time.monotonic()
    with pytest.raises(NoPath, match=rf"no answer within {deadline:g} s; its process was ended and started anew"):
        go(planner, deadline)
    assert time.monotonic() - start <= deadline
    assert not psutil.pid_exists(frozen) and planner.process.pid != frozen
    go(planner)


@pytest.mark.deadline
def test_one_that_is_still_starting_is_not_ended_for_it(planner: BuiltinPlanner) -> None:
    """However short the deadlines, in the end it listens."""
    first = planner.process.pid
    os.kill(first, signal.SIGSTOP)
    start = time.monotonic()
    for _ in range(3):
        with pytest.raises(NoPath, match="was still starting"):
            go(planner, 0.05)
    assert time.monotonic() - start <= 0.15
    os.kill(first, signal.SIGCONT)
    go(planner)
    assert planner.process.pid == first and STARTING > 5


def test_one_that_died_is_replaced_before_the_next_answer(planner: BuiltinPlanner) -> None:
    go(planner)
    for _ in range(2):
        victim = planner.process.pid
        os.kill(victim, signal.SIGKILL)
        wait_until(partial(gone, victim), timeout=2.0)
        go(planner)
        assert planner.process.pid != victim


def test_one_that_dies_while_it_plans_is_replaced_too(planner: BuiltinPlanner) -> None:
    go(planner)
    os.kill(planner.process.pid, signal.SIGSTOP)  # so that the question waits
    threading.Timer(0.2, os.kill, (planner.process.pid, signal.SIGKILL)).start()
    assert go(planner) > 0.2


def test_one_that_cannot_start_is_reported_with_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ompl").mkdir()
    (tmp_path / "ompl" / "__init__.py").write_text("raise ImportError('this OMPL is broken')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ['PYTHONPATH']}")
    with BuiltinPlanner(log_file=tmp_path / "log") as planner, pytest.raises(NoPath, match="this OMPL is broken"):
        go(planner)


def test_closing_ends_it_and_whoever_waits_for_it(planner: BuiltinPlanner) -> None:
    go(planner)
    pid = planner.process.pid
    os.kill(pid, signal.SIGSTOP)
    raised: list[BaseException] = []

    def ask() -> None:
        try:
            go(planner, 10.0)
        except Closed as error:
            raised.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.1)
    planner.close()
    thread.join(2.0)
    assert len(raised) == 1 and not psutil.pid_exists(pid)
    planner.close()
    with pytest.raises(Closed, match="make it again"):
        go(planner)


def test_nothing_is_left_of_it_after_sigkill_of_its_owner() -> None:
    owner = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    child = int(owner.stdout.readline())
    owner.kill()
    owner.wait(2.0)
    wait_until(lambda: gone(child), timeout=1.0)


def test_threads_are_answered_one_by_one_each_with_its_own(planner: BuiltinPlanner) -> None:
    places = random_places(planner, 40).reshape(4, 10, 5)
    wrong: list[str] = []

    def ask(mine: np.ndarray) -> None:
        for start, goal in pairwise(mine):
            trajectory = planner.plan(start, goal)
            if not np.allclose(trajectory.positions[[0, -1]], [start, goal]):
                wrong.append(f"{start} {goal}")

    threads = [threading.Thread(target=ask, args=(mine,)) for mine in places]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20.0)
    assert not wrong


@pytest.mark.deadline
def test_who_waits_behind_others_keeps_his_own_deadline(planner: BuiltinPlanner) -> None:
    go(planner)
    os.kill(planner.process.pid, signal.SIGSTOP)

    def wait() -> None:
        with pytest.raises(NoPath):
            go(planner, 1.0)

    first = threading.Thread(target=wait)
    first.start()
    time.sleep(0.1)
    start = time.monotonic()
    with pytest.raises(NoPath, match=r"busy with other questions for 0\.2 s"):
        go(planner, 0.2)
    assert time.monotonic() - start < 0.25
    first.join(3.0)


def lateness(seconds: float) -> np.ndarray:
    """ms by which a loop of 50 Hz in this thread is late, period by period."""
    period, late = 0.02, []
    due = time.monotonic()
    for _ in range(int(seconds / period)):
        due += period
        time.sleep(max(0.0, due - time.monotonic()))
        late.append(1000 * (time.monotonic() - due))
    return np.array(late)


def test_planning_takes_no_time_of_the_process_that_asks(planner: BuiltinPlanner) -> None:
    """Of its CPU, that is: with Python's lock free, a control loop there goes on. The figures are for the reader."""
    places = random_places(planner, 2000)
    waits, used, stop = [], [], threading.Event()

    def ask() -> None:
        for start, goal in pairwise(places):
            before, cpu = time.monotonic(), time.thread_time()
            planner.plan(start, goal)
            used.append(1000 * (time.thread_time() - cpu))
            waits.append(1000 * (time.monotonic() - before))
            if stop.wait(0.005):
                break

    alone = lateness(2.0)
    thread = threading.Thread(target=ask)
    thread.start()
    beside = lateness(2.0)
    stop.set()
    thread.join(5.0)
    print(f"\n50 Hz loop late by (median, p99, most): {np.percentile(alone, [50, 99, 100]).round(2)} ms alone, "
          f"{np.percentile(beside, [50, 99, 100]).round(2)} ms beside {len(waits)} plans; a plan takes (median, p95) "
          f"{np.percentile(waits, [50, 95]).round(2)} ms, of the asking thread's CPU {np.median(used):.2f} ms")
    assert len(waits) > 50 and np.median(used) < 2.0
