"""A run killed with SIGKILL goes on where it was; what it leaves can be filmed."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
from pathlib import Path

import imageio.v3 as images
import pytest
from live import wait_until

pytestmark = pytest.mark.patient

NODES = Path(__file__).resolve().parents[2] / "uniros_learner" / "nodes"
SETTINGS = ["hyperparameters.net_arch=[8]", "hyperparameters.learning_starts=20", "hyperparameters.batch_size=8",
            "early_stop.window=0", "evaluation.episodes=1", "max_episode_steps=10", "checkpoints.steps=40"]  # fmt: skip


def command(*arguments: object) -> list[str]:
    name, *rest = map(str, arguments)
    return [sys.executable, str(NODES / name), *rest]


def finish(*arguments: object) -> str:
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=90.0, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def column(path: Path, name: str) -> list[float]:
    with path.open(newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file)]


def test_a_killed_run_goes_on_and_is_filmed(tmp_path: Path) -> None:
    run = tmp_path / "run"
    changes = [word for setting in SETTINGS for word in ("--set", setting)]
    killed = subprocess.Popen(command("train", "td3_reach", "--run-dir", run, "--steps", 10**6, *changes),
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: killed.poll() is not None or (run / "checkpoint.safetensors").exists(), timeout=60.0)
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=10.0)
    before = column(run / "metrics.csv", "step")
    out = finish("train", "--resume", run, "--steps", int(before[-1]) + 100)
    said = next(line for line in out.splitlines() if line.startswith("goes on after step "))
    reached = int(said.rsplit(" ", 1)[1].replace(",", ""))
    steps, seconds = column(run / "metrics.csv", "step"), column(run / "metrics.csv", "seconds")
    assert 40 <= reached <= before[-1] + 10
    assert steps == [10.0 * number for number in range(1, len(steps) + 1)]
    assert steps[-1] == before[-1] + 100
    assert seconds == sorted(seconds)
    film = run / "rollout.gif"
    finish("render", run, "--episodes", 1, "--out", film)
    pictures = images.imread(film)
    assert pictures.shape[1:] == (480, 640, 3)
    assert len(pictures) > 5 and pictures.std() > 10.0
