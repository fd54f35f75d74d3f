"""The recorder beside a real env server: nothing is lost, nobody held up, and whatever dies, what was done is read."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from live import record, serve, wait_until

import uniros_learner as uniros
from uniros_bringup.graph import Graph
from uniros_bringup.process import Process
from uniros_bringup.xmlrpc import call
from uniros_learner.replay import Bags, Trajectory, trajectories

FLIGHT = 0.25  # s that an episode may take from its end to the disk, on a busy machine


@dataclass
class Seen:
    """What the learner saw, episode by episode; the last one is running."""

    episodes: list[list[tuple[Any, ...]]] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)  # monotonic s

    def drive(self, env: Any, steps: int, rng: np.random.Generator, until: Callable[[], object] = lambda: 0) -> None:
        """Random steps, whole episodes, until enough steps are done or `until()` is true."""
        for _ in range(steps):
            if len(self.episodes) == len(self.ended):
                self.episodes.append([(None, *env.reset())])
            action = rng.uniform(-1, 1, 5).astype(np.float32)
            self.episodes[-1].append((action, *env.step(action)))
            if self.episodes[-1][-1][3] or self.episodes[-1][-1][4]:
                self.ended.append(time.monotonic())
            if until():
                return

    def finished(self, before: float = float("inf")) -> int:
        """Episodes that had ended by then, in flight not counted."""
        return sum(moment < before - FLIGHT for moment in self.ended)


def assert_recorded(found: list[Trajectory], seen: list[list[tuple[Any, ...]]]) -> None:
    """Every number of every step, and the observation each episode began with."""
    assert len(found) == len(seen)
    for trajectory, episode in zip(found, seen, strict=True):
        actions, observations, rewards, terminated, truncated, infos = map(list, zip(*episode[1:], strict=True))
        before = [episode[0][1], *observations[:-1]]
        assert trajectory.whole
        assert np.array_equal(trajectory.action, actions)
        assert np.array_equal(trajectory.observation, before)
        assert np.array_equal(trajectory.next_observation, observations)
        assert trajectory.reward.tolist() == rewards
        assert (trajectory.terminated.tolist(), trajectory.truncated.tolist()) == (terminated, truncated)
        for recorded, info in zip(trajectory.infos(), infos, strict=True):
            assert recorded.keys() == info.keys()
            assert all(np.array_equal(recorded[key], info[key]) for key in info)


@dataclass
class Arm:
    graph: Graph
    env: uniros.GymProxy
    rng: np.random.Generator
    server: Process

    def hears(self, recorder: Process) -> None:
        """Wait until the recorder listens to the arm."""
        wait_until(lambda: "/rx200/env/transitions: an env server is heard" in recorder.tail(100), 10.0)


@pytest.fixture(scope="module")
def arm() -> Iterator[Arm]:
    with Graph() as graph:
        server = serve(graph, "RX200ReachSim-v0", "/rx200")
        with uniros.connect(graph.master.uri, "/rx200") as env:
            env.reset(seed=3)
            yield Arm(graph, env, np.random.default_rng(3), server)


def diagnostics(graph: Graph, key: str, value: str) -> tuple[int, str, dict[str, str]]:
    """Level, text and values of the recorder's first status with that value. It has ten seconds."""
    said = subprocess.run([sys.executable, "-c", LISTEN, key, value], env={**os.environ, **graph.master.env()},
                          check=True, capture_output=True, text=True, timeout=30).stdout
    level, text, values = json.loads(said)
    return level, text, values


LISTEN = """
import json, sys, time, rospy
from diagnostic_msgs.msg import DiagnosticArray
rospy.init_node("asks", anonymous=True)
end = time.monotonic() + 10
while True:
    for status in rospy.wait_for_message("/diagnostics", DiagnosticArray, 10).status:
        values = {pair.key: pair.value for pair in status.values}
        if "bags" in status.name and (values.get(sys.argv[1]) == sys.argv[2] or time.monotonic() > end):
            print(json.dumps([status.level, status.message, values]))
            raise SystemExit
"""


@pytest.fixture
def recorders() -> Iterator[Callable[..., Process]]:
    """Starts recorders, of which none is left in the end."""
    started: list[Process] = []

    def start(*arguments: Any) -> Process:
        started.append(record(*arguments))
        return started[-1]

    yield start
    for each in started:
        each.stop()


def end(recorder: Process) -> None:
    recorder.send_signal(signal.SIGINT)
    assert recorder.wait(10.0) == 0


def test_5000_transitions_are_what_the_learner_saw(arm: Arm, tmp_path: Path, recorders: Any) -> None:
    recorder = recorders(arm.graph, tmp_path)
    arm.hears(recorder)
    seen = Seen()
    seen.drive(arm.env, 5000, arm.rng)
    arm.env.reset()  # the last episode is abandoned
    level, text, values = diagnostics(arm.graph, "transitions", "5000")
    assert (level, text, values["transitions"]) == (0, "recording", "5000")
    assert (values["lost on the way"], values["dropped, could not keep up"], values["env servers"]) == ("0", "0", "1")
    end(recorder)
    bag, = tmp_path.iterdir()
    gaps: list[Any] = []
    found = list(trajectories(bag, on_gap=lambda *gap: gaps.append(gap)))
    assert gaps == [] and sum(map(len, found)) == 5000
    finished = len(seen.ended)
    assert_recorded(found[:finished], seen.episodes[:finished])
    assert [trajectory.end for trajectory in found[finished:]] == ["abandoned"][: len(found) - finished]
    with Bags(bag) as opened:
        description = opened.descriptions["/rx200", found[0].about.spec_hash]
    assert (description.env_id, description.domain, description.cycle_time) == ("RX200ReachSim-v0", "sim", 0.1)
    assert description.observation_space == arm.env.observation_space
    assert "waist" in description.limits["joints"]


def test_a_killed_recorder_loses_the_running_episode_at_most(arm: Arm, tmp_path: Path, recorders: Any) -> None:
    recorder = recorders(arm.graph, tmp_path)
    arm.hears(recorder)
    seen = Seen()
    seen.drive(arm.env, 100_000, arm.rng, until=lambda: seen.finished(before=time.monotonic()) > 3)
    recorder.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    seen.drive(arm.env, 200, arm.rng)  # stepping goes on
    left, = tmp_path.iterdir()
    assert left.suffix == ".active"
    other = recorders(arm.graph, tmp_path)
    arm.hears(other)
    assert "was not ended by its recorder: repaired" in other.tail(100)
    later = Seen()
    arm.env.reset()
    later.drive(arm.env, 250, arm.rng)
    time.sleep(FLIGHT)
    end(other)
    assert len(list(tmp_path.glob("*.bag"))) == 2 and not list(tmp_path.glob("*.active"))
    first, second = (list(trajectories(path)) for path in sorted(tmp_path.iterdir()))
    finished = sum(trajectory.whole for trajectory in first)
    assert finished >= seen.finished(before=killed) > 2
    assert_recorded(first[:finished], seen.episodes[:finished])
    assert_recorded([each for each in second if each.whole][-len(later.ended):], later.episodes[: len(later.ended)])


def test_a_full_disk_stops_the_recorder_and_nobody_else(arm: Arm, small_disk: Path, recorders: Any) -> None:
    recorder = recorders(arm.graph, small_disk, "_min_free:=0")
    arm.hears(recorder)
    seen = Seen()
    seen.drive(arm.env, 400, arm.rng)
    time.sleep(FLIGHT)
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(1024))
    filled = time.monotonic()
    seen.drive(arm.env, 600, arm.rng)
    wait_until(lambda: "nothing is recorded in" in recorder.tail(100), 5.0)
    level, text, values = diagnostics(arm.graph, "file", "")
    assert level == 2 and "nothing is recorded in" in text and int(values["dropped, no room"]) > 0
    filler.unlink()
    wait_until(lambda: "there is room on the disk again" in recorder.tail(100), 5.0)
    arm.env.reset()
    later = Seen()
    later.drive(arm.env, 250, arm.rng)
    time.sleep(FLIGHT)
    end(recorder)
    found = [trajectory for trajectory in trajectories(small_disk) if trajectory.whole]
    before = seen.finished(before=filled)
    assert before > 1
    assert_recorded(found[:before], seen.episodes[:before])
    assert_recorded(found[-len(later.ended):], later.episodes[: len(later.ended)])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MiB."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", tmp_path], capture_output=True).returncode:
        pytest.skip("mounting a small disk takes root")
    yield tmp_path
    subprocess.run(["umount", "-l", tmp_path], check=True)


def test_the_commands_of_ros_work_on_topics_and_files(arm: Arm, tmp_path: Path, recorders: Any) -> None:
    variables = {**os.environ, **arm.graph.master.env()}
    ours = recorders(arm.graph, tmp_path / "ours")
    theirs = subprocess.Popen(["rosbag", "record", "--lz4", "-O", tmp_path / "theirs.bag", "/rx200/env/transitions",
                               "/rx200/env/description"], env=variables, stdout=subprocess.DEVNULL)
    try:
        arm.hears(ours)
        wait_until(lambda: len(subscribers(arm.graph, "/rx200/env/transitions")) == 2, 10.0)
        time.sleep(0.5)
        arm.env.reset()
        Seen().drive(arm.env, 120, arm.rng)
        time.sleep(FLIGHT)
    finally:
        theirs.send_signal(signal.SIGINT)
        theirs.wait(10)
    end(ours)
    bag, = (tmp_path / "ours").iterdir()
    same = [trajectory.reward.tolist() for trajectory in trajectories(bag)]
    assert [trajectory.reward.tolist() for trajectory in trajectories(tmp_path / "theirs.bag")] == same
    shutil.rmtree(tmp_path / "ours")
    with Graph() as elsewhere:  # played on another master, and recorded there
        again = recorders(elsewhere, tmp_path / "again", "_namespaces:=/rx200")
        subprocess.run(["rosbag", "play", "-q", "-d", "1", "-r", "20", tmp_path / "theirs.bag"], check=True, timeout=30,
                       env={**os.environ, **elsewhere.master.env()}, stdout=subprocess.DEVNULL)
        time.sleep(FLIGHT)
        end(again)
    assert [trajectory.reward.tolist() for trajectory in trajectories(tmp_path / "again")] == same


def subscribers(graph: Graph, topic: str) -> list[str]:
    return next((names for name, names in call(graph.master.uri, "getSystemState")[1] if name == topic), [])


def test_the_bag_is_ended_when_the_master_is_killed(arm: Arm, tmp_path: Path, recorders: Any) -> None:
    """The last test: nobody can use the arm afterwards."""
    recorder = recorders(arm.graph, tmp_path)
    arm.hears(recorder)
    seen = Seen()
    seen.drive(arm.env, 300, arm.rng)
    time.sleep(FLIGHT)
    assert arm.graph.master.process
    arm.graph.master.process.send_signal(signal.SIGKILL)
    with pytest.raises(uniros.errors.MasterDied):
        seen.drive(arm.env, 100_000, arm.rng)
    arm.server.stop()
    wait_until(lambda: not recorder.alive, 15.0)
    bag, = tmp_path.iterdir()
    assert bag.suffix == ".bag"
    finished = len(seen.ended)
    found = list(trajectories(bag))
    assert sum(trajectory.whole for trajectory in found) >= finished - 1 > 0
    assert_recorded([each for each in found if each.whole][: finished - 1], seen.episodes[: finished - 1])
