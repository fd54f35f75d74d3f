"""One policy, simulation and arm at once.

`make demo` as a user runs it (two ROS masters, simulated and emulated arm, `td3_joint`), with 100 fresh goals in each
domain at the end instead of 20, and the same with sparse rewards and HER (`td3_her_joint`). Training ends when the last
episodes in both succeed and a check without exploration agrees, after 180 s at the latest. Then how regularly commands
leave for the arm, from one to the next by the env server's own stamps, while everything learns and while nobody does.
"""

from __future__ import annotations

import csv
import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from run import Row

import uniros_learner as uniros
from uniros_learner.training.joint.experience import Assembly
from uniros_learner.training.joint.plan import JointPlan

RUNS = (("td3_joint", 0), ("td3_joint", 1), ("td3_joint", 2), ("td3_her_joint", 0), ("td3_her_joint", 1),
        ("td3_her_joint", 2))
EPISODES = 100  # of the evaluation, in each domain
ASKED = {"sim": 0.95, "real": 0.90}
LIMIT = JointPlan().seconds
QUIET = 30  # episodes with nobody learning
JITTER = "command jitter on the arm's side"


def measure() -> Iterator[Row]:
    policy = b""
    for config, seed in RUNS:
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            subprocess.run(
                ["rosrun", "uniros", "bringup", "joint", "record:=false", *environments(config), "--", "rosrun",
                 "uniros", "train", config, "--seed", str(seed), "--run-dir", str(run), "--set",
                 f"evaluation.episodes={EPISODES}"], check=True, cwd=folder)
            yield from judged(config, seed, run)
            policy = policy or (run / "actor.safetensors").read_bytes()
    yield Row(f"{JITTER} while nobody learns, same policy", "", quiet(policy))


def environments(config: str) -> list[str]:
    """As bringup joint has them."""
    goal = "Goal" if "her" in config else ""
    return [f"sim_env:=RX200Reach{goal}Sim-v0", f"real_env:=RX200Reach{goal}Real-v0"]


def judged(config: str, seed: int, run: Path) -> Iterator[Row]:
    """Rows of one run."""
    found = json.loads((run / "result.json").read_text())
    evaluated = list(csv.DictReader((run / "evaluation.csv").open()))
    for domain, asked in ASKED.items():
        rows = [row for row in evaluated if row["domain"] == domain]
        success = float(np.mean([int(row["success"]) for row in rows])) if rows else 0.0
        error = 1e3 * float(np.mean([float(row["final_error"]) for row in rows])) if rows else np.nan
        spent = found["domains"][domain]
        yield Row(f"{config}, seed {seed}: {domain}", f"at least {asked:.0%} of {EPISODES}",
                  f"{success:.0%} of {len(rows)}, final error {error:.1f} mm, after {spent['steps']:,} steps there",
                  success >= asked and len(rows) == EPISODES)
    seconds = found["seconds"]
    yield Row(f"{config}, seed {seed}: training", f"at most {LIMIT:g} s",
              f"{seconds:.0f} s, {found['updates']:,} updates; {found['end']}", seconds <= LIMIT + 1.0)
    real = found["domains"]["real"]
    yield Row(f"{config}, seed {seed}: {JITTER}", "",
              f"p50 {1e3 * real['jitter_p50']:.1f}, p99 {1e3 * real['jitter_p99']:.1f} ms, {real['late']} late cycles")


def quiet(policy: bytes) -> str:
    """The same without anybody who learns."""
    assembly, periods = Assembly(), []
    late = 0
    with uniros.make("RX200ReachReal-v0") as env, env.rollout(policy, episodes=QUIET, seed=1) as rollout:
        for batch in rollout:
            if whole := assembly.add(batch):
                periods.append(whole.periods())
                late += whole.episode("real", 0, 0.0).late
    cycle = env.description.cycle_time
    found = np.concatenate(periods)
    off = np.abs(found - np.rint(found / cycle) * cycle)
    return f"p50 {1e3 * np.quantile(off, 0.5):.1f}, p99 {1e3 * np.quantile(off, 0.99):.1f} ms, {late} late cycles"
