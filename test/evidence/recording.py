"""Recording and what comes of it.

Every transition in bags, at full lock-step speed and beside a loop of 50 Hz; and back again, into a replay buffer, and
into a policy that has hardly stepped. The tests in `test/integration/test_recorder.py` kill the recorder and the
master, and fill the disk.
"""

from __future__ import annotations

import hashlib
import re
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from benchmark import recording as cost
from live import record, serve, wait_until
from run import Row
from stable_baselines3.common.buffers import ReplayBuffer

import uniros_learner as uniros
from uniros_bringup.command import find_launch_file
from uniros_bringup.graph import Graph
from uniros_bringup.supervisor import Launch
from uniros_bringup.xmlrpc import CallFailed, call
from uniros_learner.replay import Bags, Trajectory, fill, trajectories
from uniros_learner.replay.drift import drift

ENV_ID = "RX200ReachSim-v0"
COUNT = 100_000  # transitions
ROUNDS, ROUND = 5, 8.0  # of the loop's measurement, and s of each


def measure() -> Iterator[Row]:
    ratio = cost.main(20)["recorded / not recorded"]
    yield Row("lock-step steps/s with a recorder over without, side by side", "at least 0.9 x", f"{ratio:.2f} x",
              ratio >= 0.9)
    with tempfile.TemporaryDirectory() as folder:
        yield from whole(Path(folder))
    yield beside_a_loop()
    with tempfile.TemporaryDirectory() as folder:
        yield from learnt_from(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        yield reality_gap(Path(folder))


# --- nothing is lost -------------------------------------------------------------------------------------------------


def whole(folder: Path) -> Iterator[Row]:
    """Record, compare, and fill a buffer."""
    with Graph() as graph:
        serve(graph, ENV_ID, "/rx200")
        recorder = record(graph, folder)
        heard(recorder)
        with uniros.connect(graph.master.uri, "/rx200") as env:
            seen, begun = drive(env), time.monotonic()
            env.reset()
        time.sleep(2.0)
        end(recorder)
    gaps: list[Any] = []
    found = list(trajectories(folder, on_gap=lambda *gap: gaps.append(gap)))
    read = digest(step for trajectory in found for step in steps_of(trajectory))
    number = sum(map(len, found))
    yield Row(f"{COUNT:,} transitions at full speed: recorded, missing, and equal to the learner's in every bit",
              f"{COUNT:,}, 0, yes", f"{number:,}, {len(gaps)}, {'yes' if read == seen else 'no'}",
              (number, len(gaps), read) == (COUNT, 0, seen))
    size = sum(path.stat().st_size for path in folder.iterdir())
    yield Row("size on the disk", "", f"{size / COUNT:.0f} bytes per transition")
    with Bags(folder) as bags:
        description = next(iter(bags.descriptions.values()))
    rates = []
    for _ in range(3):
        buffer = ReplayBuffer(COUNT, description.observation_space, description.action_space, device="cpu")
        begun = time.perf_counter()
        count = fill(buffer, folder)
        rates.append(count / (time.perf_counter() - begun))
    rate = statistics.median(rates)
    yield Row("from the bag into a replay buffer of Stable-Baselines3", "at least 20,000 transitions/s",
              f"{rate:,.0f} transitions/s", rate >= 20_000 and count == COUNT)


def drive(env: uniros.GymProxy) -> str:
    """The digest of COUNT random steps, as the learner sees them."""
    rng = np.random.default_rng(0)

    def steps() -> Iterator[tuple[Any, ...]]:
        before = env.reset(seed=0)[0]
        for _ in range(COUNT):
            action = rng.uniform(-1, 1, 5).astype(np.float32)
            after, reward, terminated, truncated, info = env.step(action)
            yield before, action, after, reward, terminated, truncated, info["distance"]
            before = env.reset()[0] if terminated or truncated else after

    return digest(steps())


def steps_of(trajectory: Trajectory) -> Iterable[tuple[Any, ...]]:
    distance = trajectory.info("distance")
    assert distance is not None
    return zip(trajectory.observation, trajectory.action, trajectory.next_observation, trajectory.reward,
               trajectory.terminated, trajectory.truncated, distance, strict=True)


def digest(steps: Iterable[tuple[Any, ...]]) -> str:
    """Of every bit of every step."""
    total = hashlib.sha256()
    for before, action, after, reward, terminated, truncated, distance in steps:
        for array in (before, action, after, np.array([reward, terminated, truncated, distance], np.float64)):
            total.update(array.tobytes())
    return total.hexdigest()


# --- the loop --------------------------------------------------------------------------------------------------------


def beside_a_loop() -> Row:
    """Two equal simulated arms in real time, one of them recorded, measured in turn."""
    late: dict[str, list[float]] = {"not recorded": [], "recorded": []}
    with ExitStack() as stack:
        envs = {}
        for name in late:
            graph = stack.enter_context(Graph())
            serve(graph, ENV_ID, "/rx200", real_time=True)
            if name == "recorded":
                heard(record(graph, Path(stack.enter_context(tempfile.TemporaryDirectory()))))
            envs[name] = stack.enter_context(uniros.connect(graph.master.uri, "/rx200"))
        for number in range(ROUNDS):
            for name in list(late)[:: 1 if number % 2 else -1]:
                late[name].append(jitter(envs[name]))
    without, recorded = (statistics.median(late[name]) for name in late)
    highest = max(late["not recorded"])
    return Row(f"loop of 50 Hz, start late p99, with a recorder and without ({ROUNDS} rounds of {ROUND:g} s in turn)",
               f"no more than without: {min(late['not recorded']):.2f} to {highest:.2f} ms",
               f"{recorded:.2f} ms, {without:.2f} ms", recorded <= highest)


def jitter(env: uniros.GymProxy) -> float:
    """ms that the loop's turns began late, p99, while a learner acts at random."""
    rng = np.random.default_rng(0)
    env.reset()
    env.timing_report(fresh=True)
    deadline = time.monotonic() + ROUND
    while time.monotonic() < deadline:
        _, _, terminated, truncated, _ = env.step(rng.uniform(-1, 1, 5).astype(np.float32))
        if terminated or truncated:
            env.reset()
    return float(env.timing_report()["jitter_p99_ms"])


# --- what comes of it ------------------------------------------------------------------------------------------------


def learnt_from(folder: Path) -> Iterator[Row]:
    """A run that is recorded, and one that begins with what its training steps left in the bag."""
    ratios, successes = [], []
    for seed in range(3):
        bags = folder / f"bags-{seed}"
        first = recorded_run(bags, folder / f"first-{seed}", seed)
        again = said(["rosrun", "uniros", "train", "reach", "--from-bag", str(bags), "--seed", str(seed + 100),
                      "--run-dir", str(folder / f"again-{seed}")])
        ratios.append(steps(again) / steps(first))
        successes.append((success(first), success(again)))
    worst = max(ratios)
    pairs = ", ".join(f"{before:.0%} and {after:.0%}" for before, after in successes)
    yield Row("steps to its early stop of a run that begins with the bag of another, over that one's; worst of 3",
              "at most 0.33 x", f"{worst:.2f} x", worst <= 1 / 3)
    yield Row("success of 100 fresh goals, earlier run and the one from its bag", "at least the target of 95%", pairs,
              all(after >= 0.95 for _, after in successes))


def recorded_run(bags: Path, run: Path, seed: int) -> str:
    """What a run says that trains beside a recorder. Recording ends with training: no evaluation is learnt from."""
    with Graph() as graph:
        serve(graph, ENV_ID, "/rx200")
        recorder = record(graph, bags)
        heard(recorder)
        command = ["rosrun", "uniros", "train", "reach", "--master", graph.master.uri, "--seed", str(seed), "--run-dir",
                   str(run)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as training:
            lines = []
            for line in training.stdout or ():
                lines.append(line)
                if line.startswith("check after"):  # ... and its last hundred episodes are not, either
                    end(recorder)
        return "".join(lines)


def said(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def steps(text: str) -> int:
    return int(re.findall(r"training +([\d,]+) steps in", text)[0].replace(",", ""))


def success(text: str) -> float:
    return int(re.findall(r"success +(\d+)% of", text)[-1]) / 100


def reality_gap(folder: Path) -> Row:
    """Two episodes of random motion of the emulated arm, recorded by real.launch, again in simulation."""
    with Graph() as graph:
        launch = Launch(find_launch_file("real"), [f"bags:={folder}"], graph.master)
        try:
            wait_until(lambda: offers(graph, "/rx200/env/describe"), 30.0)
            with uniros.connect(graph.master.uri, "/rx200") as env:
                env.reset(seed=1)
                wander(env, 200)
                env.reset()
        finally:
            launch.close()
    gaps = [drift(trajectory) for trajectory in trajectories(folder) if trajectory.whole]
    for gap in gaps:
        print(gap.text())
    tool = np.concatenate([gap.tool for gap in gaps if gap.tool is not None]) * 1e3
    joints = {name: max(np.abs(gap.joints[name]).max() for gap in gaps) for name in ("waist", "shoulder", "elbow")}
    told = ", ".join(f"{name} {angle:.3f}" for name, angle in joints.items())
    return Row(f"reality gap: executed actions of {len(gaps)} episodes of the emulated arm again in simulation, "
               "distance of the end effectors; joints at most", "",
               f"mean {tool.mean():.1f} mm, largest {tool.max():.1f} mm; {told} rad")


def wander(env: uniros.GymProxy, count: int) -> None:
    """Slow random motion: each joint's speed is drawn anew now and then."""
    rng, action = np.random.default_rng(2), np.zeros(5, np.float32)
    for number in range(count):
        if number % 10 == 0:
            action = rng.uniform(-0.5, 0.5, 5).astype(np.float32)
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()


def offers(graph: Graph, service: str) -> bool:
    try:
        return bool(call(graph.master.uri, "lookupService", service))
    except CallFailed:
        return False


def heard(recorder: Any) -> None:
    wait_until(lambda: "/rx200/env/transitions: an env server is heard" in recorder.tail(100), 20.0)


def end(recorder: Any) -> None:
    recorder.send_signal(signal.SIGINT)
    recorder.wait(10.0)
