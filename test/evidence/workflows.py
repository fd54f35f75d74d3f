"""Three ways to a policy for the arm.

The same task, algorithm (TD3) and settings, three seeds each: learning on the arm alone; in simulation alone, then used
on the arm as it is; in both, one after the other (`MultiTaskEnv`, the plain loop); in both at once (actors). The arm is
the emulated one, which differs from the training simulator. Each ends when its own check is passed, or after 300 s.
Time counts from the first reset, on this machine; robot steps are all that the arm was commanded while it learnt. Every
policy then tries fresh goals on the arm, without exploration. The final error is where an episode ended, which is as
soon as the tool is within 20 mm of its goal, or after 100 steps.

![what each gives](images/workflows.png)
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from run import Row

import uniros_learner as uniros
from uniros_learner.training.joint.exam import examine

SEEDS = tuple(map(int, os.environ.get("UNIROS_SEEDS", "0 1 2").split()))
EPISODES = int(os.environ.get("UNIROS_EPISODES", "30"))  # on the arm, for each policy
KEPT = os.environ.get("UNIROS_OUTCOMES", "")  # a file that keeps each outcome: what is in it is not measured again
LIMIT = 300.0  # s of training
GOALS = 3_000_000  # seed
PICTURE = Path(__file__).resolve().parents[2] / "docs" / "images" / "workflows.png"
REAL, SIM = "RX200ReachReal-v0", "RX200ReachSim-v0"
WAYS = {  # name: words after `train`, colour
    "real only": (["td3_joint", "--env", REAL], "#d94801"),
    "sim, then real": (["td3_reach", "--env", SIM], "#08519c"),
    "joint, plain loop": (["td3_joint", "--loop", "plain", "--env", SIM, "--env", REAL], "#6a51a3"),
    "joint, actors": (["td3_joint", "--env", SIM, "--env", REAL], "#238b45"),
}

AXES = {"seconds": "training time (s)", "steps": "steps of the arm in training"}


@dataclass(frozen=True)
class Outcome:
    """What one run gave."""

    way: str
    seed: int
    seconds: float  # s of training
    steps: int  # of the arm
    success: float  # share of the arm's fresh goals
    error: float  # mm, mean
    end: str


def measure() -> Iterator[Row]:
    outcomes = kept()
    for seed in SEEDS:
        for way in WAYS:
            if not any((each.way, each.seed) == (way, seed) for each in outcomes):
                outcomes.append(outcome(way, seed))
                print(outcomes[-1], flush=True)
                keep(outcomes)
    picture(outcomes)
    for way in WAYS:
        yield row(way, [each for each in outcomes if each.way == way])
    yield from verdicts(outcomes)


def kept() -> list[Outcome]:
    return [Outcome(**each) for each in json.loads(Path(KEPT).read_text())] if KEPT and Path(KEPT).exists() else []


def keep(outcomes: list[Outcome]) -> None:
    if KEPT:
        Path(KEPT).write_text(json.dumps([asdict(each) for each in outcomes]))


def outcome(way: str, seed: int) -> Outcome:
    """Train as the command line does, then judge the policy on the arm."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        joint = "joint" in WAYS[way][0][0]
        settings = ["evaluation.episodes=1", *([f"joint.seconds={LIMIT}"] if joint else [])]
        subprocess.run(["rosrun", "uniros", "train", *WAYS[way][0], "--seed", str(seed), "--run-dir", str(run),
                        *[word for each in settings for word in ("--set", each)]], check=True)
        seconds, steps, end = spent(run)
        with uniros.make(REAL) as env:
            judged = examine(env, (run / "actor.safetensors").read_bytes(), EPISODES, GOALS)
    success = float(np.mean([bool(episode.success) for episode in judged]))
    error = 1e3 * float(np.mean([episode.final_error or 0.0 for episode in judged]))
    return Outcome(way, seed, seconds, steps, success, error, end)


def spent(run: Path) -> tuple[float, int, str]:
    """Seconds of training, steps of the arm, and why it ended."""
    if (run / "result.json").exists():
        found = json.loads((run / "result.json").read_text())
        return found["seconds"], found["domains"]["real"]["steps"], found["end"]
    episodes = list(csv.DictReader((run / "metrics.csv").open()))
    return float(episodes[-1]["seconds"]), 0, "solved early"


def row(way: str, found: list[Outcome]) -> Row:
    """One way, all seeds."""
    def each(name: str, form: str) -> str:
        return " / ".join(format(getattr(outcome, name), form) for outcome in found)

    return Row(f"{way}: success on the arm, final error; robot steps, training time", "",
               f"{each('success', '.0%')}, {each('error', '.1f')} mm; {each('steps', ',')} steps, "
               f"{each('seconds', '.0f')} s")


def verdicts(outcomes: list[Outcome]) -> Iterator[Row]:
    """What joint training with actors promises, medians over the seeds."""
    def median(way: str, name: str) -> float:
        return float(np.median([getattr(each, name) for each in outcomes if each.way == way]))

    ours = median("joint, actors", "steps")
    others = {way: median(way, "steps") for way in ("real only", "joint, plain loop")}
    yield Row("robot steps of joint training with actors, of those that train on the arm", "the least",
              f"{ours:,.0f}; " + ", ".join(f"{way} {steps:,.0f}" for way, steps in others.items()),
              ours < min(others.values()))
    here, there = median("joint, actors", "error"), median("sim, then real", "error")
    yield Row("final error on the arm, joint training with actors and sim, then real", "less than sim, then real",
              f"{here:.1f} mm and {there:.1f} mm", here < there)


def picture(outcomes: list[Outcome]) -> None:
    """Final error and success on the arm against time and against robot steps."""
    figure = Figure(figsize=(10, 6), dpi=120, layout="constrained")
    figure.suptitle(f"On the arm, after training; {EPISODES} fresh goals each, without exploration")
    axes = figure.subplots(2, 2, sharex="col", sharey="row")
    for column, (name, label) in enumerate(AXES.items()):
        for way, (_, colour) in WAYS.items():
            mine = [each for each in outcomes if each.way == way]
            x = [getattr(each, name) for each in mine]
            axes[0, column].plot(x, [100 * each.success for each in mine], "o", color=colour, label=way)
            axes[1, column].plot(x, [each.error for each in mine], "o", color=colour)
        for each in axes[:, column]:
            each.set_xscale("symlog", linthresh=10)
            each.grid(alpha=0.25)
            each.spines[["top", "right"]].set_visible(False)
        axes[1, column].set_xlabel(label)
        axes[1, column].set_xlim(left=-1 if name == "steps" else 0)
    axes[0, 0].set_ylim(-3, 103)
    axes[0, 0].set_ylabel("success (%)")
    axes[1, 0].set_ylabel("final error (mm)")
    axes[1, 0].set_yscale("log")
    axes[1, 0].set_yticks([5, 10, 20, 50, 100, 200, 500], minor=False)
    axes[1, 0].yaxis.set_major_formatter("{x:g}")
    axes[1, 0].yaxis.set_minor_formatter("")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(WAYS), frameon=False)
    figure.savefig(PICTURE)
