"""The real arm, on the emulated bus.

Everything up to the serial port is what drives a real RX200 (`RX200ReachReal-v0`: env server, driver, dynamixel-sdk);
behind it servos are emulated packet by packet and MuJoCo moves an arm that differs from the one in the training
simulation. Truth is what the plant measures. Times are those that the env server reports itself (`timing_report`), with
a loop of 50 Hz, while another learner trains on the same cores. An observation's age counts from the middle of the
exchange on the bus until the result is handed over, a command's delay from the action's arrival until it leaves.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from adversary import ANYWHERE, harm, torment
from real_rig import RealRig
from run import Row

import uniros_learner as uniros
from uniros_env_server.robots.model import load_model
from uniros_env_server.safety.gate import SafetyLimits
from uniros_learner.training.environments import vectorise
from uniros_learner.training.evaluation import evaluate
from uniros_learner.training.policy_file import load_policy

GOALS, TARGET = 100, 0.90
HOSTILE = 2000  # actions
MEASURED = 40.0  # s for each row of times
ASKED = {"jitter": 5.0, "command_delay": 5.0, "observation_age": 20.0}  # ms, p99
NAMES = {"jitter": "loop jitter", "command_delay": "action to command", "observation_age": "observation age"}


def measure() -> Iterator[Row]:
    yield from_simulation()
    with training_beside():
        for cycle, lock in ((0.1, True), (0.1, False), (0.04, True), (0.04, False)):
            yield from times(cycle, lock)
    yield from hostile_actions()


def from_simulation() -> Row:
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        subprocess.run(["rosrun", "uniros", "train", "td3_reach", "--seed", "0", "--run-dir", str(run)], check=True)
        policy = load_policy(run / "policy.safetensors", False)
    with RealRig() as rig:
        episodes = evaluate(policy, vectorise(rig.env), GOALS, seed=20_000)
    reached = [episode.success for episode in episodes]
    rate, steps = float(np.mean(reached)), float(np.mean([episode.length for episode in episodes]))
    return Row("goals reached within 2 cm by a policy trained in simulation", f"at least {TARGET:.0%} of {GOALS}",
               f"{rate:.0%} of {len(reached)}, {steps:.1f} steps on average", rate >= TARGET)


@contextmanager
def training_beside() -> Iterator[None]:
    """A learner that keeps the cores busy."""
    learner = subprocess.Popen([sys.executable, "-m", "busy_learner"], stdout=subprocess.PIPE, text=True)
    assert learner.stdout
    while "training" not in (line := learner.stdout.readline()):
        assert line, "the other learner has ended"
    try:
        yield
    finally:
        learner.kill()
        learner.wait()


def times(cycle: float, lock: bool) -> Iterator[Row]:
    """Rows of one setting; without the lock to the driver's samples for comparison only."""
    rng = np.random.default_rng(0)
    with uniros.make("RX200ReachReal-v0", cycle_time=cycle, phase_lock=lock) as env:
        env.reset(seed=0)
        env.timing_report(True)
        end = time.monotonic() + MEASURED
        while time.monotonic() < end:
            if env.step(rng.uniform(-0.5, 0.5, 5).astype(np.float32))[3]:
                env.reset()
        report = env.timing_report()
    setting = f"{cycle:g} s cycles" + ("" if lock else ", not locked to the driver's samples")
    if not lock:
        yield Row(f"observation age, {setting}", "", figures(report, "observation_age"))
        return
    for kind, asked in ASKED.items():
        p99 = report[f"{kind}_p99_ms"]
        yield Row(f"{NAMES[kind]}, {setting}", f"p99 at most {asked:g} ms", figures(report, kind), p99 <= asked)
    late = f"{report['missed_ticks']} of {report['ticks']} turns of the loop, {report['overruns']} action cycles"
    yield Row(f"late, {setting}", "all reported", late)


def figures(report: dict, kind: str) -> str:
    p50, p99, most = (report[f"{kind}_{quantile}_ms"] for quantile in ("p50", "p99", "max"))
    return f"p50 {p50:.1f}, p99 {p99:.1f}, most {most:.1f} ms ({report[f'{kind}_count']} values)"


def hostile_actions() -> Iterator[Row]:
    model, limits = load_model("rx200"), SafetyLimits.load("rx200", "real")
    with RealRig(start="ready", action_scale=limits.action_scale, **ANYWHERE) as rig:
        rig.env.reset(seed=0)
        rig.forget()
        said = torment(rig.env, 7, HOSTILE)
        truth = rig.truth()
    found = harm(truth, model, limits)
    refused = ", ".join(f"{count} {name}" for name, count in said.most_common() if name)
    yield Row(f"{HOSTILE:,} hostile actions through driver and bus ({refused})", "no harm at the plant",
              "; ".join(found) or "none", not found)
    yield Row("lowest link above the table", f"at least {limits.table * 1e3:g} mm",
              f"{truth['table_least'] * 1e3:.1f} mm", truth["table_least"] >= limits.table)
    yield Row("links nearest to each other", f"at least {limits.self_distance * 1e3:g} mm",
              f"{truth['links_least'] * 1e3:.1f} mm", truth["links_least"] >= limits.self_distance)
    share, name = max((truth["fastest"][name] / model.joints[name].top_speed, name) for name in model.arm)
    yield Row("fastest joint", "within its top speed", f"{name}, {share:.0%} of it", share <= 1)
